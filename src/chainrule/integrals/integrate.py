"""Integrals that differentiate: in the parameters of the integrand, and in both bounds.

The nodes are chosen on values (`adaptive`); the sum over them is part of the graph.  So the derivative with respect to a
parameter is the integral of the derivative, by the same rule.  Bounds enter through the sliver between a bound and its own value,
which is empty and has a derivative: Leibniz' rule, of every order that a Gauss rule with three nodes is exact for (six).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, random
from chainrule.batching import vmap
from chainrule.build.builder import Builder
from chainrule.build.tree import flatten, map_tree
from chainrule.build.value import Value
from chainrule.emit.numpy import evaluate
from chainrule.flow import stop_gradient
from chainrule.integrals.adaptive import IntegrationError, Mesh, mesh
from chainrule.integrals.rules import Array, gauss_kronrod, gauss_legendre, sobol

Function = Callable[[Any], Any]
_RTOL = {1: 1e-10, 2: 1e-7, 3: 1e-3}
_REPLICATES = 8
_STUDENT = 2.3646242515927844
"""97.5 % quantile of Student's distribution with 7 degrees of freedom."""
_SLIVER = gauss_legendre(3)


class Integral(NamedTuple):
    """What `integrate` returns with ``full_output=True``."""

    value: Any
    error: Any


@dataclass(frozen=True)
class Options:
    """How an integral is to be found."""

    method: str
    rtol: float | None
    atol: float
    panels: int | None
    samples: int
    key: Any
    max_evaluations: int


@errors.boundary
def integrate(
    f: Function,
    a: Any,
    b: Any,
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    full_output: bool = False,
    method: str = "auto",
    points: Sequence[float] = (),
    panels: int | None = None,
    samples: int = 2**14,
    key: Any = None,
    max_evaluations: int = 2_000_000,
) -> Any:
    r"""$\int_a^b f(x)\,dx$, with derivatives with respect to a, b and everything traced that f reads.

    Args:
        f: function of one point: a number, or an array of shape (d,) where a and b have that shape.  It returns a number, an
            array or a nested container of arrays, and is traced for all points at once, so a choice is written with ``np.where``.
        a, b: bounds: numbers, or arrays of shape (d,).  They may be infinite, and a may exceed b.
        rtol: error allowed relative to the greatest component of the result; 1e-10 in one dimension, 1e-7 in two,
            1e-3 in three (where estimates are far above the errors).  Where parts cancel, so that the result is about 0, the
            error is seen against the integral of |f|: a thousandth of rtol of it, and in three dimensions rtol of it.
        atol: absolute error allowed.
        full_output: also return the estimated error.
        method: "adaptive" (Gauss and Kronrod's rule, and products of it in two and three dimensions), "quasi" (randomly shifted
            Sobol points), or "auto": adaptive in up to three dimensions.
        points: places in between where f jumps, bends or is infinite (one dimension only).
        panels: in one dimension, a fixed number of parts in place of adaptivity; needed under `cr.jit` and `cr.vmap`, where no
            values are known.
        samples: number of points of "quasi".
        key: random key of the shifts of "quasi"; ``cr.random.key(0)`` by default.
        max_evaluations: greatest number of points of "adaptive".

    Returns:
        The integral, in the containers of f's result; with `full_output` the pair (value, error).  The error is an estimate for
        the value, not for its derivatives; that of "quasi" is half the width of a 95 % confidence interval.

    Raises:
        IntegrationError: the accuracy was not reached, or f is not finite at a node.
        ValueError: a bound is NaN, an option is unknown.
        ValueNeededError: adaptivity where no values are known.

    Numerics:
        Finite ranges are substituted by t^2 (3 - 2t), infinite ones by t / (1 - t^2) and its relatives, which smooths
        roots and logarithms at the ends.  Only what f shows at the nodes is seen: name the place of a narrow peak in `points`.
        A jump of f whose place depends on a parameter has a derivative that no rule of this kind sees; split the range there, in
        two integrals, and the bound carries it.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> area = lambda c, b: cr.integrate(lambda x: np.exp(-c * x), 0.0, b)
        >>> float(cr.grad(area, argnums=1)(2.0, 1.0).round(12)) == float(np.exp(-2.0).round(12))
        True

    Source: Piessens et al. 1983 (QUADPACK); Cranley and Patterson 1976 for shifted points.
    """
    low, high, flat = _bounds(a, b)
    how = Options(method, rtol, atol, panels, samples, key, max_evaluations)
    _check(how, len(low), points)
    g = f if flat else lambda x: f(x[0])
    cuts = [low, *[[float(p)] for p in points], high]
    parts = [_box(g, i, j, how) for i, j in pairwise(cuts)]
    value = map_tree(lambda *xs: sum(xs[1:], xs[0]), *[p.value for p in parts])
    error = map_tree(lambda *xs: sum(xs[1:], xs[0]), *[p.error for p in parts])
    return Integral(value, error) if full_output else value


def _bounds(a: Any, b: Any) -> tuple[list[Any], list[Any], bool]:
    """Lower and upper bound of each axis, and whether f takes an array."""
    shape = np.broadcast_shapes(_shape(a), _shape(b))
    if len(shape) > 1:
        raise errors.ShapeError(f"bounds are numbers or arrays of shape (d,), not {shape}")
    if not shape:
        return [_bound(a)], [_bound(b)], False
    ends = [[_bound(x if _shape(x) == () else x[k]) for k in range(shape[0])] for x in (a, b)]
    return ends[0], ends[1], True


def _shape(x: Any) -> tuple[int, ...]:
    return (len(x),) if isinstance(x, list | tuple) else np.shape(x)  # pyright: ignore[reportUnknownArgumentType]


def _bound(x: Any) -> Any:
    x = x.astype(np.float64) if isinstance(x, Value) else np.asarray(x, np.float64)
    fixed = stop_gradient(x)
    if not isinstance(fixed, Value) and np.isnan(fixed):
        raise ValueError("a bound of an integral is NaN")
    return x if isinstance(fixed, Value) or np.isfinite(fixed) else fixed


def _check(how: Options, d: int, points: Sequence[float]) -> None:
    if how.method not in ("auto", "adaptive", "quasi"):
        raise ValueError(f'method is "auto", "adaptive" or "quasi", not {how.method!r}')
    if d > 1 and (points or how.panels is not None):
        raise ValueError("points and panels are for integrals in one dimension")
    if how.panels is not None and how.panels < 1:
        raise ValueError(f"panels is a number of at least 1, not {how.panels}")
    if how.method == "adaptive" and d > 3:
        raise ValueError(f'an adaptive integral in {d} dimensions needs too many points; take method="quasi"')
    if how.samples < 2 * _REPLICATES:
        raise ValueError(f"samples is at least {2 * _REPLICATES}, not {how.samples}")


# --- one box --------------------------------------------------------------------------------------------------------------------


def _box(f: Function, low: Sequence[Any], high: Sequence[Any], how: Options) -> Integral:
    """The integral over a box: with the bounds held fixed, and the slivers by which they move."""
    fixed = [stop_gradient(x) for x in low], [stop_gradient(x) for x in high]
    total = _fixed(f, *fixed, how)
    value = total.value
    for k in range(len(low)):
        for sign, end, at in ((1.0, high[k], fixed[1][k]), (-1.0, low[k], fixed[0][k])):
            if isinstance(end, Value):
                others = [*low[:k], *fixed[0][k + 1 :]], [*high[:k], *fixed[1][k + 1 :]]
                value = map_tree(lambda x, y: x + y, value, _sliver(f, k, sign, end, at, others, how))
    return Integral(value, total.error)


def _sliver(f: Function, k: int, sign: float, end: Any, at: Any, others: tuple[list[Any], list[Any]], how: Options) -> Any:
    """The integral from the value of a bound to the bound, over the other axes: 0, with the derivatives of Leibniz' rule."""
    step = end - at

    def across(x: Any) -> Any:
        if not others[0]:
            return f(np.reshape(x, (1,)))
        return _box(lambda y: f(np.concatenate([y[:k], np.reshape(x, (1,)), y[k:]])), *others, how).value

    slices = [map_tree(lambda y, w=w: (sign * w * step) * y, across(at + t * step)) for t, w in zip(*_SLIVER, strict=True)]
    return map_tree(lambda *ys: sum(ys[1:], ys[0]), *slices)


def _fixed(f: Function, low: Sequence[Any], high: Sequence[Any], how: Options) -> Integral:
    """The integral between bounds that are constants."""
    d = len(low)
    if how.method == "quasi" or (how.method == "auto" and d > 3):
        return _quasi(f, low, high, how)
    if how.panels is not None:
        return _panels(f, low, high, how.panels)
    if any(isinstance(x, Value) for x in (*low, *high)):
        raise _no_values()
    place = _substitution(low, high)
    found: Mesh = mesh(
        lambda t: _values(f, *place(t)), d, _RTOL[d] if how.rtol is None else how.rtol, how.atol, how.max_evaluations
    )
    x, jacobian = place(found.nodes)
    value = _sum(vmap(f)(x), found.weights * jacobian)
    each = iter(_per_leaf(found.error, flatten(value)[0]))
    return Integral(value, map_tree(lambda y: next(each)[()], value))


def _per_leaf(error: Array, leaves: Sequence[Any]) -> list[Array]:
    """The errors of the columns as those of the results; a complex result has two columns for each number."""
    out: list[Array] = []
    for y in leaves:
        n = int(np.prod(np.shape(y)))
        wide = 2 * n if y.dtype.kind == "c" else n
        e, error = error[:wide], error[wide:]
        out.append((np.hypot(e[:n], e[n:]) if wide > n else e).reshape(np.shape(y)))
    return out


def _no_values() -> errors.ValueNeededError:
    return errors.ValueNeededError(
        "Adaptive integration looks at values, and under cr.jit and cr.vmap there are none.",
        'Say panels=... for a rule with fixed nodes (or method="quasi"), or integrate outside.',
    )


def _values(f: Function, x: Array, jacobian: Array) -> Array:
    """The integrand at points, as numbers: traced aside, so that looking leaves nothing in the graph."""
    with np.errstate(all="ignore"), Builder(evaluate, what="integrate").here():
        columns = [y.full if isinstance(y, Value) and y.data is not None else y for y in flatten(vmap(f)(x))[0]]
        if any(isinstance(y, Value) for y in columns):
            raise _no_values()
        y = np.concatenate([_real(np.reshape(c, (len(x), -1))) for c in columns], 1).astype(np.float64) * jacobian[:, None]
    bad = ~np.isfinite(y).all(1)
    if bad.any():
        raise _not_finite(x[np.argmax(bad)])
    return y


def _real(columns: Array) -> Array:
    return np.concatenate([np.real(columns), np.imag(columns)], 1) if columns.dtype.kind == "c" else columns


def _not_finite(at: Array) -> IntegrationError:
    place = f"x = {at[0] if len(at) == 1 else at}"
    if not np.isfinite(at).all():
        return IntegrationError(
            f"f(x) dx is not finite at {place}: f does not vanish fast enough there, or overflows.", "Does the integral converge?"
        )
    return IntegrationError(
        f"f is not finite at {place}.", "Where f is infinite inside the range, split it there with points=[...]."
    )


def _sum(ys: Any, weights: Any) -> Any:
    return map_tree(lambda y: np.tensordot(weights, y, 1)[()], ys)


def _panels(f: Function, low: Sequence[Any], high: Sequence[Any], n: int) -> Integral:
    rule = gauss_kronrod()
    t = ((np.arange(n)[:, None] + rule.nodes[:, 0]) / n).reshape(-1, 1)
    x, jacobian = _substitution(low, high)(t)
    y = vmap(f)(x)
    value = _sum(y, np.tile(rule.weights / n, n) * jacobian)
    coarse = _sum(y, np.tile(rule.coarse[0] / n, n) * jacobian)
    return Integral(value, stop_gradient(map_tree(lambda v, c: np.abs(v - c), value, coarse)))


def _quasi(f: Function, low: Sequence[Any], high: Sequence[Any], how: Options) -> Integral:
    d = len(low)
    t, n = quasi_points(how.samples, d, random.key(0) if how.key is None else how.key)
    x, jacobian = _substitution(low, high, soft=False)(t)
    y = vmap(f)(x)
    value = _sum(y, jacobian / np.size(jacobian))
    replicates = map_tree(lambda y: np.mean(np.reshape(_times(jacobian, y), (-1, n, *np.shape(y)[1:])), 1), y)
    error = map_tree(lambda r: _STUDENT * np.std(r, 0, ddof=1) / np.sqrt(_REPLICATES), replicates)
    return Integral(value, stop_gradient(error))


def _times(w: Any, y: Any) -> Any:
    return np.reshape(w, (-1, *[1] * (np.ndim(y) - 1))) * y


def quasi_points(samples: int, d: int, key: Any) -> tuple[Any, int]:
    """Sobol's points in (0, 1)^d, shifted at random 8 times: (8 n, d), and n, the power of two that makes about `samples`."""
    n = 2 ** max(1, round(np.log2(samples / _REPLICATES)))
    shifted = sobol(n, d) + random.uniform(key, (_REPLICATES, 1, d))
    return np.reshape(np.maximum(shifted - np.floor(shifted), 2.0**-54), (-1, d)), n


# --- ranges -----------------------------------------------------------------------------------------------------------------


def _substitution(low: Sequence[Any], high: Sequence[Any], soft: bool = True) -> Callable[[Any], tuple[Any, Any]]:
    """From points of the unit cube, (n, d), to points between the bounds, and the factor of the volume, (n,)."""
    axes = [_axis(a, b, soft) for a, b in zip(low, high, strict=True)]

    def place(t: Any) -> tuple[Any, Any]:
        with np.errstate(divide="ignore", over="ignore"):  # the ends of an infinite range
            columns = [axis(t[:, k]) for k, axis in enumerate(axes)]
            jacobian = columns[0][1]
            for _, j in columns[1:]:
                jacobian = jacobian * j
        return np.stack([x for x, _ in columns], 1), jacobian

    return place


def _axis(a: Any, b: Any, soft: bool) -> Callable[[Any], tuple[Any, Any]]:
    infinite = [not isinstance(x, Value) and np.isinf(x) for x in (a, b)]
    if not any(infinite):
        return lambda t: _finite(a, b, t) if soft else (a + (b - a) * t, (b - a) * np.ones_like(t))
    if a == b:
        return lambda t: (np.zeros_like(t), np.zeros_like(t))
    if a > b:
        back = _axis(b, a, soft)
        return lambda t: (back(t)[0], -back(t)[1])
    if all(infinite):
        return _line
    return (lambda t: _half(a, 1.0, t)) if infinite[1] else (lambda t: _half(b, -1.0, t))


def _finite(a: Any, b: Any, t: Any) -> tuple[Any, Any]:
    """x = a + (b - a) s(t), s = t^2 (3 - 2t), measured from the nearer end."""
    near = np.minimum(t, 1 - t)
    s = np.square(near) * (3 - 2 * near)
    return np.where(t < 0.5, a + (b - a) * s, b - (b - a) * s), (b - a) * (6 * t * (1 - t))


def _half(end: Any, sign: float, t: Any) -> tuple[Any, Any]:
    """x = end +- (t / (1 - t))^2."""
    return end + sign * np.square(t / (1 - t)), 2 * t / (1 - t) ** 3


def _line(t: Any) -> tuple[Any, Any]:
    """x = u / (1 - u^2) with u = 2t - 1."""
    u, w = 2 * t - 1, 4 * t * (1 - t)
    return u / w, 2 * (1 + np.square(u)) / np.square(w)


__all__ = ["Integral", "IntegrationError", "integrate", "quasi_points"]
