"""Differences, integrals, polynomials, interpolation and comparisons of whole arrays."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import FUNCTIONS, UFUNCS, Value
from chainrule.front.joining import concatenate
from chainrule.front.operands import array, axis_tuple, broadcast, implements, retyped
from chainrule.front.reductions import all_, cumsum, summed
from chainrule.front.shaping import axis_of, cut, reshaped
from chainrule.ir.types import BOOL, F64, ArrayType
from chainrule.prims import indexing as index_rows
from chainrule.prims.indexing import take
from chainrule.prims.kinds import constant
from chainrule.prims.kinked import select

# --- differences and integrals ---------------------------------------------------------------------------------------------


def _beside(x: Value, extra: Any, axis: int) -> Value:
    v = array(extra)
    return broadcast(v, (*x.shape[:axis], 1, *x.shape[axis + 1 :])) if not v.ndim else v


@implements(np.diff)
def diff(a: Any, n: Any = 1, axis: Any = -1, prepend: Any = None, append: Any = None) -> Value:
    """Each element less the one before, n times over."""
    if index(n) < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    x = array(a)
    if not x.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    k = axis_of(axis, x.ndim)
    parts = [*([] if prepend is None else [_beside(x, prepend, k)]), x, *([] if append is None else [_beside(x, append, k)])]
    x = concatenate(parts, k) if len(parts) > 1 and n else x
    minus = UFUNCS[np.not_equal if x.dtype == BOOL else np.subtract]
    for _ in range(index(n)):
        m = x.shape[k]
        x = minus(cut(x, k, min(1, m), m), cut(x, k, 0, max(m - 1, 0)))
    return x


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Value:
    """Each element less the one before, of the flattened array."""
    x = array(ary)
    y = diff(reshaped(x, (x.size,)))
    parts = [retyped(FUNCTIONS[np.ravel](p), y.dtype) for p in (to_begin, y, to_end) if p is not None]
    return concatenate(parts) if len(parts) > 1 else y


def _spacing(x: Value, d: Any, axis: int) -> Value:
    """Distances of neighbours, ready to be multiplied along an axis."""
    if d.ndim != 1:
        return diff(d, axis=axis)
    gaps = diff(d)
    return reshaped(gaps, tuple([gaps.size if k == axis else 1 for k in range(x.ndim)]))


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Value:
    """Integral of the line through the points: sum of (x_{k+1} - x_k) (y_k + y_{k+1}) / 2."""
    f = array(y)
    k = axis_of(axis, f.ndim)
    d = dx if x is None else _spacing(f, array(x), k)
    n = f.shape[k]
    means = (cut(f, k, min(1, n), n) + cut(f, k, 0, max(n - 1, 0))) / 2.0
    return summed(d * means, (k,))


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Any:
    """Slopes: central differences within, one-sided ones at the ends."""
    y = array(f)
    y = retyped(y, F64) if y.dtype.kind in "bui" else y
    axes = axis_tuple(axis, y.ndim) if axis is None else [axis_of(k, y.ndim) for k in np.atleast_1d(axis)]
    steps: list[Any] = [1.0] * len(axes) if not varargs else list(varargs) * (len(axes) if len(varargs) == 1 else 1)
    if len(varargs) == 1 and np.ndim(varargs[0]) and len(axes) > 1:
        steps = [varargs[0]] * len(axes)
    if len(steps) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    out = [_slope(y, h, k, edge_order) for k, h in zip(axes, steps, strict=True)]
    return out[0] if len(out) == 1 else tuple(out)


def _slope(y: Value, h: Any, k: int, edge_order: int) -> Value:
    n = y.shape[k]
    if n < edge_order + 1:
        raise errors.ShapeError(
            "Shape of array too small to calculate a numerical gradient, at least (edge_order + 1) elements are required."
        )

    def part(a: int, b: int) -> Value:
        return cut(y, k, a, b)

    if np.ndim(h) == 0:
        inner = (part(2, n) - part(0, n - 2)) / (2.0 * h)
        if edge_order == 1:
            first, last = (part(1, 2) - part(0, 1)) / h, (part(n - 1, n) - part(n - 2, n - 1)) / h
        else:
            first = part(0, 1) * (-1.5 / h) + part(1, 2) * (2.0 / h) + part(2, 3) * (-0.5 / h)
            last = part(n - 3, n - 2) * (0.5 / h) + part(n - 2, n - 1) * (-2.0 / h) + part(n - 1, n) * (1.5 / h)
        return concatenate([first, inner, last], k)
    gaps = _spacing(y, array(h), k)
    if gaps.shape[k] != n - 1:
        raise errors.ShapeError("when 1d, distances must match the length of the corresponding dimension")
    a, b = cut(gaps, k, 0, n - 2), cut(gaps, k, 1, n - 1)
    inner = -b / (a * (a + b)) * part(0, n - 2) + (b - a) / (a * b) * part(1, n - 1) + a / (b * (a + b)) * part(2, n)
    u, v = cut(gaps, k, 0, 1), cut(gaps, k, n - 2, n - 1)
    if edge_order == 1:
        return concatenate([(part(1, 2) - part(0, 1)) / u, inner, (part(n - 1, n) - part(n - 2, n - 1)) / v], k)
    w, z = cut(gaps, k, 1, 2), cut(gaps, k, n - 3, n - 2)
    first = -(2.0 * u + w) / (u * (u + w)) * part(0, 1) + (u + w) / (u * w) * part(1, 2) - u / (w * (u + w)) * part(2, 3)
    last = v / (z * (z + v)) * part(n - 3, n - 2) - (v + z) / (z * v) * part(n - 2, n - 1)
    last = last + (2.0 * v + z) / (v * (z + v)) * part(n - 1, n)
    return concatenate([first, inner, last], k)


# --- polynomials and interpolation -----------------------------------------------------------------------------------------


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Value:
    """Horner's rule, the highest power first."""
    c, v = array(p), array(x)
    y: Any = FUNCTIONS[np.zeros_like](v)
    for k in range(c.size):
        y = y * v + c[k]
    return y


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Value:
    """The line through the points (xp, fp) at x; constant outside. At a point its slope is that of the piece to the right."""
    v, at, f = retyped(array(x), F64), retyped(array(xp), F64), array(fp)
    f = f if f.dtype.kind == "c" else retyped(f, F64)
    if period is not None:
        v, at, f = _periodic(v, at, f, period)
        left = right = None
    n = at.size
    if at.ndim != 1 or f.shape != at.shape:
        raise ValueError("fp and xp are not of the same length.")
    if not n:
        raise ValueError("array of sample points is empty")
    low, high = (_end(end, f, k) for end, k in ((left, 0), (right, n - 1)))
    if n == 1:
        y: Any = broadcast(f[0], v.shape)
    else:
        place = index_rows.searchsorted(at, v, side="right") - 1
        k = UFUNCS[np.minimum](UFUNCS[np.maximum](place, 0), n - 2)
        x0, f0 = take(at, k, lead=0), take(f, k, lead=0)
        slope = (take(f, k + 1, lead=0) - f0) / (take(at, k + 1, lead=0) - x0)
        y = slope * (v - x0) + f0
        y = select(UFUNCS[np.equal](v, at[n - 1]), broadcast(f[n - 1], v.shape), y) if right is not None else y
    y = _choose(UFUNCS[np.less](v, at[0]), low, y)
    y = _choose(UFUNCS[np.greater](v, at[n - 1]), high, y)
    return _choose(UFUNCS[np.not_equal](v, v), v, y)


def _end(given: Any, f: Value, k: int) -> Value:
    return f[k] if given is None else retyped(array(given), f.dtype)


def _choose(c: Value, a: Value, b: Value) -> Value:
    return select(c, broadcast(retyped(a, b.dtype), b.shape), b)


def _periodic(x: Value, xp: Value, fp: Value, period: Any) -> tuple[Value, Value, Value]:
    if period == 0:
        raise ValueError("period must be a non-zero value")
    period = abs(period)
    x, xp = x % period, xp % period
    order = index_rows.argsort(xp, axis=0)
    xp, fp = take(xp, order, lead=0), take(fp, order, lead=0)
    xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return x, xp, concatenate([fp[-1:], fp, fp[:1]])


# --- comparisons of whole arrays -------------------------------------------------------------------------------------------


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Are shapes and elements equal?"""
    x, y = array(a1), array(a2)
    if x.shape != y.shape:
        return False
    same = UFUNCS[np.equal](x, y)
    return all_(same | (UFUNCS[np.not_equal](x, x) & UFUNCS[np.not_equal](y, y)) if equal_nan else same)


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """Are all elements equal after broadcasting?"""
    try:
        return all_(UFUNCS[np.equal](array(a1), array(a2)))
    except errors.ShapeError:
        return False


# --- sums of running kind that NumPy 2 adds --------------------------------------------------------------------------------


@implements(np.cumulative_sum)
def cumulative_sum(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Value:
    """Sums of the first 1, 2, ... elements, of the first 0 as well where asked."""
    return _cumulative(cumsum, 0, x, axis, dtype, out, include_initial)


@implements(np.cumulative_prod)
def cumulative_prod(x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False) -> Value:
    """Products of the first 1, 2, ... elements, of the first 0 as well where asked."""
    return _cumulative(FUNCTIONS[np.cumprod], 1, x, axis, dtype, out, include_initial)


def _cumulative(f: Any, first: int, x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool) -> Value:
    v = array(x)
    if axis is None and v.ndim != 1:
        raise ValueError("For arrays which have more than one dimension ``axis`` argument is required.")
    k = axis_of(axis or 0, v.ndim)
    y = f(v, k, dtype, out)
    if not include_initial:
        return y
    return concatenate([constant(first, ArrayType(y.dtype, (*y.shape[:k], 1, *y.shape[k + 1 :]))), y], k)
