"""The table of calculus: one row per operation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from chainrule.build.row import Row
from chainrule.prims import control, custom, elementwise, indexing, kinked, linalg, linear, random, reductions, special
from chainrule.prims.kinds import rows_of

TABLE: Mapping[str, Row] = MappingProxyType(
    dict(rows_of(control, custom, elementwise, kinked, linalg, linear, indexing, random, reductions, special))
)
"""Every row, by name."""

__all__ = ["TABLE"]
