"""NumPy's and SciPy's functions on traced values, said in rows.

Importing this package gives every handle (`chainrule.build.value.Value`) its meaning: each module fills the tables of
ufuncs, functions and methods with what it defines.
"""

from __future__ import annotations

from chainrule.front import (
    arithmetic,
    choosing,
    creation,
    indexing,
    joining,
    linalg,
    numeric,
    products,
    reductions,
    shaping,
    statistics,
)

__all__ = [
    "arithmetic",
    "choosing",
    "creation",
    "indexing",
    "joining",
    "linalg",
    "numeric",
    "products",
    "reductions",
    "shaping",
    "statistics",
]
