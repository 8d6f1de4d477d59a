"""Shapes of functions, and the shape that one operation gives to operands of known shape."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule.analysis.intervals import Interval
from chainrule.build.row import Row
from chainrule.ir.graph import Params


class Shape(Enum):
    """What is known of a value as a function of the inputs."""

    CONSTANT = "constant"
    AFFINE = "affine"
    CONVEX = "convex"
    CONCAVE = "concave"
    UNKNOWN = "unknown"


STRAIGHT = (Shape.CONSTANT, Shape.AFFINE)
CONVEX = (Shape.AFFINE, Shape.CONVEX)
CONCAVE = (Shape.AFFINE, Shape.CONCAVE)


def turned(s: Shape, sign: int) -> Shape:
    """The shape of c s for constants c of this sign (0: of both)."""
    if s in STRAIGHT or sign == 1:
        return s
    return {Shape.CONVEX: Shape.CONCAVE, Shape.CONCAVE: Shape.CONVEX}.get(s, s) if sign == -1 else Shape.UNKNOWN


def joined(shapes: Sequence[Shape]) -> Shape:
    """The shape that all of these have."""
    kinds = {s for s in shapes if s not in STRAIGHT}
    if len(kinds) > 1:
        return Shape.UNKNOWN
    if kinds:
        return kinds.pop()
    return Shape.AFFINE if Shape.AFFINE in shapes else Shape.CONSTANT


def composed(curvature: str | None, signs: Sequence[int | None], shapes: Sequence[Shape]) -> Shape:
    """A function of this curvature that rises or falls in each operand, of operands of these shapes.

    Convex of affine is convex; convex and rising of convex, convex and falling of concave too.

    Source: Boyd and Vandenberghe 2004, equation 3.15.
    """

    def holds(target: Shape) -> bool:
        kept = {1: target, -1: turned(target, -1)}
        return all(s in STRAIGHT or (sign is not None and s is kept[sign]) for s, sign in zip(shapes, signs, strict=True))

    if curvature == "affine" and all(s in STRAIGHT for s in shapes):
        return joined(shapes)
    if curvature in ("convex", "affine") and holds(Shape.CONVEX):
        return Shape.CONVEX
    return Shape.CONCAVE if curvature in ("concave", "affine") and holds(Shape.CONCAVE) else Shape.UNKNOWN


BENT_AT_ZERO = {
    **dict.fromkeys(("tanh", "expit", "arctan", "erf", "ndtr", "arcsinh"), "concave"),
    **dict.fromkeys(("sinh", "arcsin", "arctanh", "i1"), "convex"),
}
"""Rising rows that have this curvature where x >= 0, and the other one where x <= 0."""


def row_shape(row: Row, params: Params, shapes: Sequence[Shape], ranges: Sequence[Interval]) -> Shape:
    """The shape of what a row makes of operands of these shapes and ranges."""
    if row.name in ("pow", "div", "reciprocal", "xlogy"):
        return _special(row.name, shapes, ranges)
    if row.name in BENT_AT_ZERO:
        return composed(_side(BENT_AT_ZERO[row.name], ranges[0]), (1,), shapes)
    if row.curvature is None or not _where_it_holds(row, ranges):
        return Shape.UNKNOWN
    signs = [*row.monotone, *row.monotone[-1:] * len(shapes)][: len(shapes)] or [None] * len(shapes)
    return composed(row.curvature, [s if s is not None else _sign(row, r) for s, r in zip(signs, ranges, strict=True)], shapes)


def _side(right: str, x: Interval) -> str | None:
    if np.all(x.low >= 0):
        return right
    return {"convex": "concave", "concave": "convex"}[right] if np.all(x.high <= 0) else None


def _sign(row: Row, x: Interval) -> int | None:
    """Functions that are even rise with the distance from 0."""
    if row.name not in ("square", "abs", "cosh", "hypot", "i0"):
        return None
    return 1 if np.all(x.low >= 0) else -1 if np.all(x.high <= 0) else None


def _where_it_holds(row: Row, ranges: Sequence[Interval]) -> bool:
    """Does the curvature hold where the operands are: is the row undefined outside of its domain, or do they stay inside?"""
    for k, (domain, x) in enumerate(zip(row.on, ranges, strict=False)):
        inside = np.all(x.low >= domain.low) and np.all(x.high <= domain.high)
        if not inside and not _undefined_outside(row, k):
            return False
    return True


@lru_cache(maxsize=256)
def _undefined_outside(row: Row, k: int) -> bool:
    """Is the value NaN, or infinite in the direction that extends the curvature, at points outside of the domain?"""
    assert row.value is not None
    d, edge = row.on[k], []
    if np.isfinite(d.low):
        edge += [d.low - t for t in (1e-3, 0.3, 0.5, 0.9, 1.3, 2.5, 3.5, 10.7)]
    if np.isfinite(d.high):
        edge += [d.high + t for t in (1e-3, 0.3, 0.9, 1.3, 10.7)]
    with np.errstate(all="ignore"):
        args: list[Any] = [np.full(len(edge), i.inside) for i in row.on]
        args[k] = np.array(edge)
        y = np.asarray(row.value(*args))
    outside = np.inf if row.curvature == "convex" else -np.inf
    return bool(np.all(np.isnan(y) | (y == outside)))


def _special(name: str, shapes: Sequence[Shape], ranges: Sequence[Interval]) -> Shape:
    if name == "reciprocal":
        return _inverse(shapes[0], ranges[0])
    if name == "div":
        if shapes[1] is Shape.CONSTANT:
            return turned(shapes[0], _one_sign(ranges[1]))
        return turned(_inverse(shapes[1], ranges[1]), _one_sign(ranges[0])) if shapes[0] is Shape.CONSTANT else Shape.UNKNOWN
    if name == "xlogy":
        if shapes[0] is not Shape.CONSTANT:
            return Shape.UNKNOWN
        return turned(composed("concave", (1,), shapes[1:]), _one_sign(ranges[0]))
    return _power(shapes, ranges)


def _one_sign(c: Interval) -> int:
    return 1 if np.all(c.low >= 0) else -1 if np.all(c.high <= 0) else 0


def _inverse(s: Shape, x: Interval) -> Shape:
    """1 / x is convex and falls where x > 0, concave and falls where x < 0."""
    if np.all(x.low > 0):
        return composed("convex", (-1,), (s,))
    return composed("concave", (-1,), (s,)) if np.all(x.high < 0) else Shape.UNKNOWN


def _power(shapes: Sequence[Shape], ranges: Sequence[Interval]) -> Shape:
    """x^k and b^x, with a constant k or b."""
    (x, k), exponent = ranges, shapes[1]
    if exponent is not Shape.CONSTANT:
        base = shapes[0] is Shape.CONSTANT and np.all(x.low > 0)
        return composed("convex", (_rises(x),), shapes[1:]) if base else Shape.UNKNOWN
    if not k.exact or k.low.size == 0 or np.ptp(k.low) != 0:
        return Shape.UNKNOWN
    return _constant_power(float(k.low.flat[0]), shapes[0], x)


def _rises(base: Interval) -> int | None:
    return 1 if np.all(base.low >= 1) else -1 if np.all(base.high <= 1) else None


def _constant_power(k: float, s: Shape, x: Interval) -> Shape:
    side = _one_sign(x)
    if k in (0.0, 1.0):
        return Shape.CONSTANT if k == 0 else s
    if k == int(k) and k > 0:
        if k % 2 == 0:
            return composed("convex", (side or None,), (s,))
        return composed({1: "convex", -1: "concave"}.get(side), (1,), (s,))
    if k == int(k):  # negative whole exponents jump at 0
        if np.all(x.low > 0):
            return composed("convex", (-1,), (s,))
        negative = ("convex", 1) if k % 2 == 0 else ("concave", -1)
        return composed(negative[0], (negative[1],), (s,)) if np.all(x.high < 0) else Shape.UNKNOWN
    # NaN for negative bases
    curvature, sign = ("convex", 1) if k > 1 else ("concave", 1) if k > 0 else ("convex", -1)
    return composed(curvature, (sign,), (s,))
