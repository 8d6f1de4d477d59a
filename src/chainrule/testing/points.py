"""Random points of given shapes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.ir.graph import Array

SIZES = (7, 4, 5, 3, 6, 9, 8, 11, 10, 13, 12)


def parts(shape: str) -> list[str]:
    """``"n, d"`` as ["n", "d"]; nothing for a number."""
    return [x for x in shape.replace(" ", "").strip("()").split(",") if x]


def random_point(f: Callable[..., Any], shapes: Mapping[str, str], seed: int) -> list[Array | float]:
    """Normal data for the parameters of f in order; letters are sizes, all different; a parameter without sizes is a number.

    Raises:
        ValueError: a parameter without a default has no shape.
    """
    parameters = inspect.signature(f).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    missing = [n for n in needed if n not in shapes]
    if missing:
        raise ValueError(f"the function also takes {', '.join(missing)}: give --shape {' '.join(f'{n}=...' for n in missing)}")
    for name, shape in shapes.items():
        bad = next((x for x in parts(shape) if not (x.isidentifier() or (x.isdigit() and int(x)))), None)
        if bad is not None:
            raise ValueError(f"the shape of {name} is {shape!r}: a shape is names and numbers from 1 on, as X=n,3")
    unknown = [n for n in shapes if n not in inspect.signature(f).parameters]
    if unknown:
        raise ValueError(f"--shape names {', '.join(unknown)}, and the function takes {', '.join(p.name for p in parameters)}")
    free = iter(SIZES)
    sizes: dict[str, int] = {}
    rng = np.random.default_rng(seed)
    out: list[Array | float] = []
    for p in parameters:
        if p.name in shapes:
            for x in parts(shapes[p.name]):
                if not x.isdigit() and x not in sizes:
                    sizes[x] = next(free)
            shape = [int(x) if x.isdigit() else sizes[x] for x in parts(shapes[p.name])]
            out.append(rng.normal(size=shape) if shape else float(rng.uniform(0.2, 0.8)))
    return out
