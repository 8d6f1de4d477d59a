"""Functions in two pieces, ``where(r <= c, f(r), g(r))``: convex if the pieces are and the slope does not fall at the seam."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from chainrule.analysis.intervals import Interval, bounds, of
from chainrule.analysis.shapes import Shape, composed
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.transform.jvp import jvp

POINTWISE = frozenset({"add", "sub", "mul", "neg", "square", "abs", "pow", "exp", "log", "sqrt", "div", "log1p", "expm1"})
"""Rows that a piece may be made of."""
NEAR = 1e-9
"""How far pieces that meet may miss each other by rounding, relative."""

Prove = Callable[[Graph, Interval], Shape]


def two_pieces(
    e: Eqn, made: Mapping[Var, Eqn], reach: Callable[[Atom], Interval], shape: Callable[[Atom], Shape], prove: Prove
) -> Shape:
    """The shape of a `select` between two functions of one value.

    Args:
        e: the equation.
        made: variable -> the equation that makes it.
        reach: the range of a value.
        shape: the shape of a value as a function of the inputs.
        prove: the shape of a graph of one input in a range.

    Source: Rockafellar 1970, theorem 24.1 (a function of one variable is convex if and only if its slope never falls).
    """
    test = made.get(e.ins[0]) if isinstance(e.ins[0], Var) else None
    if test is None or test.prim not in ("lt", "le", "gt", "ge"):
        return Shape.UNKNOWN
    low, high = test.ins if test.prim in ("lt", "le") else test.ins[::-1]
    r, c = (low, high) if isinstance(high, Lit) else (high, low)
    if not isinstance(r, Var) or not isinstance(c, Lit) or not c.splat:
        return Shape.UNKNOWN
    below, above = e.ins[1:] if r is low else e.ins[:0:-1]
    f, g = piece(r, below, made), piece(r, above, made)
    if f is None or g is None:
        return Shape.UNKNOWN
    seam, range_of_r = float(c.value), reach(r)
    left = Interval(range_of_r.low, np.minimum(range_of_r.high, seam))
    right = Interval(np.maximum(range_of_r.low, seam), range_of_r.high)
    for graph, part in ((f, left), (g, right)):
        if prove(graph, part) not in (Shape.CONSTANT, Shape.AFFINE, Shape.CONVEX):
            return Shape.UNKNOWN
    return _joined(f, g, seam, range_of_r, shape(r))


def _joined(f: Graph, g: Graph, seam: float, reach: Interval, inner: Shape) -> Shape:
    (value_f, slope_f), (value_g, slope_g) = _at(f, np.full(reach.low.shape, seam)), _at(g, np.full(reach.low.shape, seam))
    room = NEAR * (1 + np.max(np.abs([value_f, value_g, slope_f, slope_g]), initial=0.0))
    if not (np.all(np.abs(value_f - value_g) <= room) and np.all(slope_f <= slope_g + room)):
        return Shape.UNKNOWN
    rises = bool(np.all(np.isfinite(reach.low)) and np.all(_at(f, np.minimum(reach.low, seam))[1] >= 0))
    return composed("convex", (1 if rises else None,), [inner])


def _at(g: Graph, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and slope at a point."""
    both = jvp(g)
    here, one = Interval(point, point), Interval(np.ones_like(point), np.ones_like(point))
    found = bounds(both, [here, one])
    value, slope = (of(found, a) for a in both.outs)
    return 0.5 * (value.low + value.high), 0.5 * (slope.low + slope.high)


def piece(r: Var, out: Atom, made: Mapping[Var, Eqn]) -> Graph | None:
    """The function that leads from r to a value; None if anything else leads there."""
    needed, root = dict[int, Eqn](), made.get(r)
    inner = root.ins[0] if root is not None and root.prim == "abs" else None

    def reached(a: Atom) -> bool:
        if isinstance(a, Lit) or a is r:
            return True
        e = made.get(a)
        if e is not None and (e.prim == "square" or (e.prim == "mul" and e.ins[0] is e.ins[1])) and e.ins[0] is inner:
            needed[id(e)] = e._replace(ins=(r,) * len(e.ins))  # z z = |z| |z|
            return True
        if e is None or e.prim not in POINTWISE or e.out.type.shape != r.type.shape:
            return False
        if id(e) not in needed:
            if not all(reached(x) for x in e.ins):
                return False
            needed[id(e)] = e
        return True

    return Graph((r,), tuple(needed.values()), (out,)) if reached(out) else None
