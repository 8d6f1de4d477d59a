"""Bounds on everything a graph computes, when its inputs lie in a box: interval arithmetic, rounded outwards.

What a row does to an interval is read from the table (`monotone`) wherever that says enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.build.row import Row
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.prims import TABLE

Vector = NDArray[Any]
LIBRARY_ULPS = 4
"""How far elementary functions may be off, in units in the last place."""


class Interval(NamedTuple):
    """Elementwise bounds; infinite where nothing is known."""

    low: Vector
    high: Vector

    @property
    def exact(self) -> bool:
        """Is it one value?"""
        return bool(np.all(self.low == self.high))


Rule = Callable[[Eqn, Row, Sequence[Interval]], Interval]
RULES: dict[str, Rule] = {}
EXACT = frozenset(
    {"reshape", "slice", "pad", "flip", "concat", "cast", "spread", "reduce_max", "reduce_min", "maximum", "minimum"}
)
"""Rows that round nothing."""


def everything(shape: tuple[int, ...]) -> Interval:
    """Nothing is known."""
    return Interval(np.full(shape, -np.inf), np.full(shape, np.inf))


def outward(low: Any, high: Any, ulps: int = 1) -> Interval:
    """Make room for rounding; what is not a number is not known."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    room = ulps * np.finfo(float).eps
    return Interval(np.nextafter(low - room * np.abs(low), -np.inf), np.nextafter(high + room * np.abs(high), np.inf))


def bounds(g: Graph, box: Sequence[Interval]) -> dict[Var, Interval]:
    """Bounds on every variable of a graph.

    Args:
        g: a graph of real numbers.
        box: bounds on its inputs.

    Returns:
        An interval for each variable, sound but not tight: each use of a variable is taken as if it were independent.
    """
    env: dict[Var, Interval] = dict(zip(g.ins, box, strict=True))
    made = {v: e for e in g.eqns for v in e.outs}
    with np.errstate(all="ignore"):
        for e in g.eqns:
            if len(e.outs) != 1 or any(a.type.dtype.kind == "c" for a in (*e.ins, *e.outs)):
                env.update({v: everything(v.type.shape) for v in e.outs})
                continue
            p = _share(e, made)
            env[e.out] = _parabola(of(env, p)) if p else _bound(e, [of(env, a) for a in e.ins])
    return env


def _share(e: Eqn, made: dict[Var, Eqn]) -> Var | None:
    """p, if e computes p (1 - p), the derivative of the logistic function: taken apart it would lose that p is in it twice."""
    if e.prim != "mul":
        return None
    for p, q in (e.ins, e.ins[::-1]):
        rest = made.get(q) if isinstance(q, Var) else None
        if not isinstance(p, Var) or rest is None or rest.prim != "sub" or rest.ins[1] is not p:
            continue
        if isinstance(rest.ins[0], Lit) and rest.ins[0].is_number(1):
            return p
    return None


def _parabola(p: Interval) -> Interval:
    ends = p.low * (1 - p.low), p.high * (1 - p.high)
    top = np.where((p.low <= 0.5) & (p.high >= 0.5), 0.25, np.maximum(*ends))
    return outward(np.minimum(*ends), top, LIBRARY_ULPS)


def of(env: dict[Var, Interval], a: Atom) -> Interval:
    """The bounds of an operand."""
    if isinstance(a, Lit):
        x = np.broadcast_to(np.asarray(a.value, float), a.type.shape)
        return Interval(x, x)
    return env[a]


def _bound(e: Eqn, xs: Sequence[Interval]) -> Interval:
    row, shape = TABLE[e.prim], e.out.type.shape
    rule = RULES.get(e.prim)
    if rule is None and row.value is not None and _monotone(row, len(e.ins)):
        rule = _by_monotonicity
    y = rule(e, row, xs) if rule else everything(shape)
    return Interval(np.broadcast_to(y.low, shape), np.broadcast_to(y.high, shape))


def _signs(row: Row, n: int) -> list[int | None]:
    """The direction of each operand; the last one given serves the rest (`concat`)."""
    return [*row.monotone, *row.monotone[-1:] * n][:n]


def _monotone(row: Row, n: int) -> bool:
    return bool(row.monotone) and None not in _signs(row, n)


def _by_monotonicity(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """A row that rises or falls in each operand takes its extremes at the ends."""
    assert row.value is not None
    signs = _signs(row, len(xs))
    low = row.value(*[x.low if s == 1 else x.high for x, s in zip(xs, signs, strict=True)], **e.params)
    high = row.value(*[x.high if s == 1 else x.low for x, s in zip(xs, signs, strict=True)], **e.params)
    if e.prim == "cast" and np.dtype(e.params["dtype"]) != np.float64:
        return _narrowed(e, Interval(np.asarray(low, float), np.asarray(high, float)))
    if e.prim in EXACT:
        return Interval(low, high)
    ulps = LIBRARY_ULPS if row.kind in ("unary", "binary") else 1
    ulps = 2 * e.ins[0].type.size if e.prim == "cumsum" else ulps
    return outward(low, high, ulps)


def _narrowed(e: Eqn, x: Interval) -> Interval:
    dtype = np.dtype(e.params["dtype"])
    if dtype.kind != "f":
        return x
    room = np.finfo(dtype).eps
    return Interval(x.low - room * np.abs(x.low), x.high + room * np.abs(x.high))


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(f: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, f))
        return f

    return register


@_rule("stop_gradient")
def _same(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    return xs[0]


@_rule("square", "abs", "cosh")
def _even(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """Least at 0, rising with the distance from it."""
    assert row.value is not None
    (x,) = xs
    near = np.where((x.low <= 0) & (x.high >= 0), 0.0, np.minimum(np.abs(x.low), np.abs(x.high)))
    far = np.maximum(np.abs(x.low), np.abs(x.high))
    y = outward(row.value(near), row.value(far), LIBRARY_ULPS)
    return Interval(np.maximum(y.low, 1.0 if e.prim == "cosh" else 0.0), y.high)


@_rule("mul")
def _mul(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    if e.ins[0] is e.ins[1]:
        return _even(e._replace(prim="square"), TABLE["square"], xs[:1])
    return product(*xs)


def product(x: Interval, y: Interval) -> Interval:
    """The four products of the ends; 0 times infinity counts as 0, since no number is infinite."""
    ends = [np.where((a == 0) | (b == 0), 0.0, a * b) for a in x for b in y]
    return outward(np.minimum.reduce(ends), np.maximum.reduce(ends))


def inverse(x: Interval) -> Interval:
    """1 / x, unknown where x may be 0."""
    clear = (x.low > 0) | (x.high < 0)
    y = outward(1 / x.high, 1 / x.low)
    return Interval(np.where(clear, y.low, -np.inf), np.where(clear, y.high, np.inf))


@_rule("div")
def _div(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    return product(xs[0], inverse(xs[1]))


@_rule("reciprocal")
def _reciprocal(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    return inverse(xs[0])


@_rule("pow")
def _pow(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """Constant exponents; those that are no whole numbers for positive bases only."""
    x, p = xs
    if not p.exact or p.low.size == 0 or not np.all(p.low == p.low.flat[0]):
        return everything(e.out.type.shape)
    k = float(p.low.flat[0])
    if k == int(k):
        return _integer_power(x, int(k))
    safe = x.low >= 0 if k > 0 else x.low > 0
    ends = np.power(np.abs(x.low), k), np.power(np.abs(x.high), k)
    y = outward(np.minimum(*ends), np.maximum(*ends), LIBRARY_ULPS)
    return Interval(np.where(safe, y.low, -np.inf), np.where(safe, y.high, np.inf))


def _integer_power(x: Interval, k: int) -> Interval:
    if k < 0:
        return inverse(_integer_power(x, -k))
    if k % 2:
        return outward(x.low**k, x.high**k, LIBRARY_ULPS)
    near = np.where((x.low <= 0) & (x.high >= 0), 0.0, np.minimum(np.abs(x.low), np.abs(x.high)))
    y = outward(near**k, np.maximum(np.abs(x.low), np.abs(x.high)) ** k, LIBRARY_ULPS)
    return Interval(np.maximum(y.low, 0), y.high)


@_rule("sin", "cos")
def _wave(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """The ends, and 1 or -1 where a crest or a trough lies between them."""
    assert row.value is not None
    (x,) = xs
    shift = 0.25 if e.prim == "sin" else 0.0
    turns = x.low / (2 * np.pi) - shift, x.high / (2 * np.pi) - shift  # crests lie at whole numbers
    slack = 1e-9  # more than the rounding of the quotient for all arguments below 1e6
    wide = (turns[1] - turns[0] >= 1) | ~np.isfinite(turns[1] - turns[0]) | (np.maximum(*map(np.abs, turns)) > 1e5)
    crest = wide | (np.floor(turns[1] + slack) >= turns[0] - slack)
    trough = wide | (np.floor(turns[1] - 0.5 + slack) >= turns[0] - 0.5 - slack)
    ends = row.value(x.low), row.value(x.high)
    y = outward(np.where(trough, -1.0, np.minimum(*ends)), np.where(crest, 1.0, np.maximum(*ends)), LIBRARY_ULPS)
    return Interval(np.maximum(y.low, -1), np.minimum(y.high, 1))


@_rule("hypot")
def _hypot(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    sizes = [_even(e._replace(prim="abs"), TABLE["abs"], (x,)) for x in xs]
    y = outward(np.hypot(sizes[0].low, sizes[1].low), np.hypot(sizes[0].high, sizes[1].high), LIBRARY_ULPS)
    return Interval(np.maximum(y.low, 0), y.high)


@_rule("lt", "le", "gt", "ge", "eq", "ne")
def _compare(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """Decided where the intervals do not overlap."""
    x, y = xs[::-1] if e.prim in ("gt", "ge") else xs
    if e.prim in ("eq", "ne"):
        yes, no = (x.low == x.high) & (y.low == y.high) & (x.low == y.low), (x.high < y.low) | (y.high < x.low)
        yes, no = (yes, no) if e.prim == "eq" else (no, yes)
    elif e.prim in ("lt", "gt"):
        yes, no = x.high < y.low, x.low >= y.high
    else:
        yes, no = x.high <= y.low, x.low > y.high
    return Interval(np.where(yes, 1.0, 0.0), np.where(no, 0.0, 1.0))


@_rule("signbit", "bitxor")
def _perhaps(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    if e.out.type.dtype.kind != "b":
        return everything(e.out.type.shape)
    return Interval(np.zeros(e.out.type.shape), np.ones(e.out.type.shape))


@_rule("isnan", "isinf", "isfinite")
def _special(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """No where the bounds are finite."""
    finite = np.isfinite(xs[0].low) & np.isfinite(xs[0].high)
    if e.prim == "isfinite":
        return Interval(np.where(finite, 1.0, 0.0), np.ones(finite.shape))
    return Interval(np.zeros(finite.shape), np.where(finite, 0.0, 1.0))


@_rule("bitand", "bitor")
def _both(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    if e.out.type.dtype.kind != "b":
        return everything(e.out.type.shape)
    pick = np.minimum if e.prim == "bitand" else np.maximum
    return Interval(pick(xs[0].low, xs[1].low), pick(xs[0].high, xs[1].high))


@_rule("invert")
def _not(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    return Interval(1 - xs[0].high, 1 - xs[0].low) if e.out.type.dtype.kind == "b" else everything(e.out.type.shape)


@_rule("select")
def _select(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    c, yes, no = xs
    low = np.where(c.low == 1, yes.low, np.where(c.high == 0, no.low, np.minimum(yes.low, no.low)))
    high = np.where(c.low == 1, yes.high, np.where(c.high == 0, no.high, np.maximum(yes.high, no.high)))
    return Interval(low, high)


@_rule("contract")
def _contract(e: Eqn, row: Row, xs: Sequence[Interval]) -> Interval:
    """Midpoints and radii; the rounding of sums of n products of size s is at most 2 n eps s."""
    assert row.value is not None

    def total(*parts: Vector) -> Vector:
        assert row.value is not None
        return np.asarray(row.value(*parts, **e.params))

    room = 2 * (max([1, *[x.low.size for x in xs]]) + 2) * np.finfo(float).eps
    if len(xs) == 1:
        size = room * total(np.maximum(np.abs(xs[0].low), np.abs(xs[0].high)))
        return outward(total(xs[0].low) - size, total(xs[0].high) + size)
    (m, r), (n, s) = map(_middle, xs)
    centre = total(m, n)
    radius = total(np.abs(m), s) + total(r, np.abs(n) + s)
    radius = radius + room * (total(np.abs(m), np.abs(n)) + radius)
    y = outward(centre - radius, centre + radius)
    if e.ins[0] is e.ins[1] and len(set(e.params["spec"].split("->")[0].split(","))) == 1:
        return Interval(np.maximum(y.low, 0), y.high)
    return _finite_or_signs(y, xs, total)


def _middle(x: Interval) -> tuple[Vector, Vector]:
    m = 0.5 * x.low + 0.5 * x.high
    return m, np.nextafter(np.maximum(m - x.low, x.high - m), np.inf)


def _finite_or_signs(y: Interval, xs: Sequence[Interval], total: Callable[..., Vector]) -> Interval:
    """Where a bound is infinite, the sign may still be known: products of numbers of known sign."""
    if np.all(np.isfinite(y.low)) and np.all(np.isfinite(y.high)):
        return y
    p, q = xs

    def some(a: Any, b: Any) -> Vector:
        return total(np.asarray(a, float), np.asarray(b, float)) > 0

    negative = some(p.low < 0, q.high > 0) | some(p.high > 0, q.low < 0)
    positive = some(p.high > 0, q.high > 0) | some(p.low < 0, q.low < 0)
    low = np.where(np.isfinite(y.low), y.low, np.where(negative, -np.inf, 0.0))
    return Interval(low, np.where(np.isfinite(y.high), y.high, np.where(positive, np.inf, 0.0)))
