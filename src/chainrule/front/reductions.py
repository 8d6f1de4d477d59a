"""Sums, products, extremes and their relatives."""

from __future__ import annotations

from functools import lru_cache
from math import prod as product
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import METHODS, UFUNCS, Value
from chainrule.front.operands import array, axis_tuple, broadcast, broadcast_shape, implements, no_out, retyped
from chainrule.ir.types import BOOL, F32, F64, INT, ArrayType, DType
from chainrule.prims import reductions as rows
from chainrule.prims.elementwise import div
from chainrule.prims.indexing import argmax as argmax_row
from chainrule.prims.indexing import argmin as argmin_row
from chainrule.prims.kinds import constant
from chainrule.prims.kinked import select
from chainrule.prims.linear import LETTERS, contract, reshape
from chainrule.prims.linear import cumsum as cumsum_row

Axes = tuple[int, ...]
_UNSET: Any = object()


# --- what all of them share ------------------------------------------------------------------------------------------------


def keep(y: Value, shape: tuple[int, ...], axes: Axes, keepdims: Any) -> Value:
    """The reduced axes kept with size 1, if asked."""
    return reshape(y, shape=tuple([1 if k in axes else n for k, n in enumerate(shape)])) if keepdims and axes else y


@lru_cache(maxsize=1024)
def sum_spec(rank: int, axes: Axes) -> str:
    """Letters of a sum over these axes."""
    every = LETTERS[:rank]
    return f"{every}->{''.join(a for k, a in enumerate(every) if k not in axes)}"


def summed(x: Value, axes: Axes) -> Value:
    """Sum over these axes."""
    return contract(x, spec=sum_spec(len(x.atom.type.shape), axes)) if axes else x


@lru_cache(maxsize=64)
def accumulator(dtype: DType) -> DType:
    """The dtype NumPy adds and multiplies elements of this one in: small integers and booleans in long ones."""
    return np.add.reduce(np.zeros(1, dtype)).dtype if dtype.kind in "bui" else dtype


def _prepared(a: Any, dtype: Any) -> Value:
    x = array(a)
    return retyped(x, accumulator(x.dtype) if dtype is None else np.dtype(dtype))


def masked(x: Value, where: Any, fill: complex) -> Value:
    """`fill` in place of the elements that `where` leaves out."""
    if where is True:
        return x
    c = retyped(array(where), BOOL)
    shape = broadcast_shape([x.shape, c.shape])
    return select(broadcast(c, shape), broadcast(x, shape), constant(fill, ArrayType(x.dtype, shape)))


def count(x: Value, axes: Axes, where: Any) -> Any:
    """How many elements are reduced to one: a number, or values where `where` is given."""
    if where is True:
        return product(x.shape[k] for k in axes)
    return summed(retyped(broadcast(retyped(array(where), BOOL), x.shape), INT), axes)


def ravelled(x: Value) -> Value:
    """All elements along one axis."""
    return x if x.ndim == 1 else reshape(x, shape=(x.size,))


def one_axis(x: Value, axis: Any) -> tuple[Value, int]:
    """`x` and the axis to run along; flattened where that is None."""
    return (ravelled(x), 0) if axis is None else (x, axis_tuple(axis, x.ndim)[0])


def nan_at(x: Value) -> Value | None:
    """Where there is no number; None for dtypes that always hold one."""
    return UFUNCS[np.not_equal](x, x) if x.type.inexact else None


def _without_nan(x: Value, fill: complex) -> Value:
    at = nan_at(x)
    return x if at is None else select(at, constant(fill, x.type), x)


# --- sums ------------------------------------------------------------------------------------------------------------------


@implements(np.sum, method="sum")
def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = 0, where: Any = True
) -> Value:
    """Sum of elements."""
    no_out(out)
    x = masked(_prepared(a, dtype), where, 0)
    axes = axis_tuple(axis, x.ndim)
    y = keep(summed(x, axes), x.shape, axes, keepdims)
    return y if isinstance(initial, int) and initial == 0 else retyped(y + initial, y.dtype)


@implements(np.mean, method="mean")
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Value:
    """Sum over number of elements."""
    no_out(out)
    x = array(a)
    final = np.dtype(dtype) if dtype is not None else F64 if x.dtype.kind in "bui" else x.dtype
    x = retyped(x, F32 if final == np.float16 else final)
    axes = axis_tuple(axis, x.ndim)
    n = count(x, axes, where)
    s = summed(masked(x, where, 0), axes)
    y = s / n if isinstance(n, Value) else div(s, constant(n, s.type))
    return keep(retyped(y, final), x.shape, axes, keepdims)


@implements(np.var, method="var")
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, *,
    where: Any = True, mean: Any = None, correction: Any = None,
) -> Value:  # fmt: skip
    """Mean square distance from the mean, over n - ddof."""
    no_out(out)
    x = array(a)
    final = np.dtype(dtype) if dtype is not None else F64 if x.dtype.kind in "bui" else x.dtype
    x = retyped(x, F32 if final == np.float16 else final)
    axes = axis_tuple(axis, x.ndim)
    n = count(x, axes, where)
    middle = keep(summed(masked(x, where, 0), axes) / n, x.shape, axes, True) if mean is None else mean
    d = x - middle
    square = (d.real * d.real + d.imag * d.imag) if d.dtype.kind == "c" else d * d
    free = n - (ddof if correction is None else correction)
    free = max(free, 0) if not isinstance(free, Value) else UFUNCS[np.maximum](free, 0)
    y = summed(masked(square, where, 0), axes) / free
    return keep(retyped(y, np.zeros((), final).real.dtype), x.shape, axes, keepdims)


def root(v: Value) -> Value:
    """Square root whose derivative at 0 is 0, the smallest subgradient of what it is taken of (a norm, a deviation)."""
    flat = UFUNCS[np.equal](v, 0)
    return select(flat, constant(0, v.type), UFUNCS[np.sqrt](select(flat, constant(1, v.type), v)))


@implements(np.std, method="std")
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, **kwargs: Any
) -> Value:
    """Square root of the variance; its derivative where all elements are equal is 0."""
    return root(var(a, axis, dtype, out, ddof, keepdims, **kwargs))


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    """Weighted mean."""
    x = array(a)
    axes = axis_tuple(axis, x.ndim)
    if weights is None:
        y = mean(x, axis, keepdims=keepdims)
        scale: Any = constant(count(x, axes, True), y.type)
    else:
        w = array(weights)
        dtype = np.result_type(x.dtype, w.dtype, *([F64] if x.dtype.kind in "bui" else []))
        w = retyped(_weights_like(w, x, axis, axes), dtype)
        scale = keep(summed(w, axes), x.shape, axes, keepdims)
        y = keep(summed(retyped(x, dtype) * w, axes), x.shape, axes, keepdims) / scale
    return (y, broadcast(scale, y.shape)) if returned else y


def _weights_like(w: Value, x: Value, axis: Any, axes: Axes) -> Value:
    if w.shape == x.shape:
        return w
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    given = [k % x.ndim for k in ([axis] if np.ndim(axis) == 0 else axis)]
    if w.shape != tuple([x.shape[k] for k in given]):
        raise errors.ShapeError("Shape of weights must be consistent with shape of a along specified axis.")
    order = sorted(range(len(given)), key=given.__getitem__)
    w = w.transpose(order) if len(order) > 1 else w
    return broadcast(reshape(w, shape=tuple([n if k in axes else 1 for k, n in enumerate(x.shape)])), x.shape)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Value:
    """How many elements are not 0."""
    return sum(UFUNCS[np.not_equal](array(a), 0), axis, keepdims=keepdims)


@implements(np.cumsum, method="cumsum")
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Value:
    """Sums of the first 1, 2, ... elements."""
    no_out(out)
    x, k = one_axis(_prepared(a, dtype), axis)
    return cumsum_row(x, axis=k, reverse=False)


# --- products --------------------------------------------------------------------------------------------------------------


@implements(np.prod, method="prod")
def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = 1, where: Any = True
) -> Value:
    """Product of elements."""
    no_out(out)
    x = masked(_prepared(a, dtype), where, 1)
    axes = axis_tuple(axis, x.ndim)
    y = keep(rows.reduce_prod(x, axes=axes) if axes else x, x.shape, axes, keepdims)
    return y if isinstance(initial, int) and initial == 1 else retyped(y * initial, y.dtype)


@implements(np.cumprod, method="cumprod")
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Value:
    """Products of the first 1, 2, ... elements."""
    no_out(out)
    x, k = one_axis(_prepared(a, dtype), axis)
    return rows.cumprod(x, axis=k, reverse=False)


# --- extremes --------------------------------------------------------------------------------------------------------------


def _extreme(row: Any, u: Any, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Value:
    no_out(out)
    x = array(a)
    axes = axis_tuple(axis, x.ndim)
    if where is not True and initial is _UNSET:
        raise ValueError(f"np.{u.__name__} has no identity, so to use a where mask one has to specify 'initial'")
    if where is not True:
        c = broadcast(retyped(array(where), BOOL), x.shape)
        x = select(c, x, broadcast(retyped(array(initial), x.dtype), x.shape))
    if initial is not _UNSET and not product(x.shape[k] for k in axes):
        kept = tuple([n for k, n in enumerate(x.shape) if k not in axes])
        return keep(broadcast(retyped(array(initial), x.dtype), kept), x.shape, axes, keepdims)
    y = keep(row(x, axes=axes) if axes else x, x.shape, axes, keepdims)
    return y if initial is _UNSET else UFUNCS[u](y, retyped(array(initial), x.dtype))


@implements(np.max, np.amax, method="max")
def max_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _UNSET, where: Any = True) -> Value:
    """The greatest element; equals share the derivative."""
    return _extreme(rows.reduce_max, np.maximum, a, axis, out, keepdims, initial, where)


@implements(np.min, np.amin, method="min")
def min_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = _UNSET, where: Any = True) -> Value:
    """The least element; equals share the derivative."""
    return _extreme(rows.reduce_min, np.minimum, a, axis, out, keepdims, initial, where)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Value:
    """From the least to the greatest element."""
    x = array(a)
    return max_(x, axis, out, keepdims) - min_(x, axis, out, keepdims)


def _logical(row: Any, a: Any, axis: Any, out: Any, keepdims: Any, where: Any, neutral: bool) -> Value:
    no_out(out)
    x = array(a)
    x = masked(x if x.dtype == BOOL else UFUNCS[np.not_equal](x, 0), where, neutral)
    axes = axis_tuple(axis, x.ndim)
    if any_empty(x, axes):
        kept = tuple([n for k, n in enumerate(x.shape) if k not in axes])
        return keep(constant(neutral, ArrayType(BOOL, kept)), x.shape, axes, keepdims)
    return keep(row(x, axes=axes) if axes else x, x.shape, axes, keepdims)


def any_empty(x: Value, axes: Axes) -> bool:
    """Is there nothing to reduce?"""
    return 0 in [x.shape[k] for k in axes]


@implements(np.any, method="any")
def any_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Value:
    """Is an element not 0?"""
    return _logical(rows.reduce_max, a, axis, out, keepdims, where, False)


@implements(np.all, method="all")
def all_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Value:
    """Is no element 0?"""
    return _logical(rows.reduce_min, a, axis, out, keepdims, where, True)


def _arg(row: Any, a: Any, axis: Any, out: Any, keepdims: Any) -> Value:
    no_out(out)
    x = array(a)
    flat, k = one_axis(x, axis)
    axes = tuple(range(x.ndim)) if axis is None else (k,)
    return keep(row(flat, axis=k), x.shape, axes, keepdims)


@implements(np.argmax, method="argmax")
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Value:
    """Index of the first greatest element."""
    return _arg(argmax_row, a, axis, out, keepdims)


@implements(np.argmin, method="argmin")
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Value:
    """Index of the first least element."""
    return _arg(argmin_row, a, axis, out, keepdims)


# --- the same, leaving out what is no number -------------------------------------------------------------------------------


@implements(np.nansum)
def nansum(a: Any, *args: Any, **kwargs: Any) -> Value:
    """Sum of the elements that are numbers."""
    return sum(_without_nan(array(a), 0), *args, **kwargs)


@implements(np.nanprod)
def nanprod(a: Any, *args: Any, **kwargs: Any) -> Value:
    """Product of the elements that are numbers."""
    return prod(_without_nan(array(a), 1), *args, **kwargs)


@implements(np.nancumsum)
def nancumsum(a: Any, *args: Any, **kwargs: Any) -> Value:
    """Cumulative sum that counts NaN as 0."""
    return cumsum(_without_nan(array(a), 0), *args, **kwargs)


@implements(np.nancumprod)
def nancumprod(a: Any, *args: Any, **kwargs: Any) -> Value:
    """Cumulative product that counts NaN as 1."""
    return cumprod(_without_nan(array(a), 1), *args, **kwargs)


def _numbers(x: Value, where: Any) -> Any:
    at = nan_at(x)
    if at is None:
        return where
    good = UFUNCS[np.equal](x, x)
    return good if where is True else good & retyped(array(where), BOOL)


@implements(np.nanmean)
def nanmean(a: Any, *args: Any, where: Any = True, **kwargs: Any) -> Value:
    """Mean of the elements that are numbers."""
    x = array(a)
    return mean(x, *args, where=_numbers(x, where), **kwargs)


@implements(np.nanvar)
def nanvar(a: Any, *args: Any, where: Any = True, **kwargs: Any) -> Value:
    """Variance of the elements that are numbers."""
    x = array(a)
    return var(x, *args, where=_numbers(x, where), **kwargs)


@implements(np.nanstd)
def nanstd(a: Any, *args: Any, where: Any = True, **kwargs: Any) -> Value:
    """Deviation of the elements that are numbers."""
    return root(nanvar(a, *args, where=where, **kwargs))


def _nan_extreme(f: Any, a: Any, fill: float, axis: Any, out: Any, keepdims: Any, kwargs: Any) -> Value:
    x = array(a)
    at = nan_at(x)
    y = f(_without_nan(x, fill), axis, out, keepdims, **kwargs)
    if at is None or "initial" in kwargs:
        return y
    return select(all_(at, axis, None, keepdims), constant(np.nan, y.type), y)


@implements(np.nanmax)
def nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Value:
    """The greatest element that is a number."""
    return _nan_extreme(max_, a, -np.inf, axis, out, keepdims, kwargs)


@implements(np.nanmin)
def nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Value:
    """The least element that is a number."""
    return _nan_extreme(min_, a, np.inf, axis, out, keepdims, kwargs)


# --- the methods of ufuncs -------------------------------------------------------------------------------------------------


def _running(row: Any) -> Any:
    def run(a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Value:
        no_out(out)
        x = array(a)
        return row(x if dtype is None else retyped(x, np.dtype(dtype)), axis=axis_tuple(axis, x.ndim)[0])

    return run


_REDUCE: dict[Any, Any] = {
    np.add: sum, np.multiply: prod, np.maximum: max_, np.minimum: min_, np.logical_or: any_, np.logical_and: all_,
}  # fmt: skip
_ACCUMULATE: dict[Any, Any] = {
    np.add: cumsum, np.multiply: cumprod, np.maximum: _running(rows.cummax), np.minimum: _running(rows.cummin),
}  # fmt: skip


def _known(table: dict[Any, Any], u: Any, method: str) -> Any:
    if u not in table:
        raise errors.UnknownFunctionError(f"np.{u.__name__}.{method} cannot be traced")
    return table[u]


def reduce(u: Any, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False, **kwargs: Any) -> Value:
    """``np.add.reduce`` and its like."""
    no_out(out)
    f = _known(_REDUCE, u, "reduce")
    if dtype is not None:
        kwargs["dtype"] = dtype
    return f(a, axis=axis, keepdims=keepdims, **kwargs)


def accumulate(u: Any, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Value:
    """``np.add.accumulate`` and its like."""
    return _known(_ACCUMULATE, u, "accumulate")(a, axis, dtype, out)


def outer(u: Any, a: Any, b: Any, **kwargs: Any) -> Value:
    """``np.multiply.outer`` and its like: every element of a with every element of b."""
    x, y = array(a), array(b)
    return _known(UFUNCS, u, "outer")(reshape(x, shape=(*x.shape, *[1] * y.ndim)), y, **kwargs)


def _unknown(method: str) -> Any:
    def refuse(u: Any, *args: Any, **kwargs: Any) -> Any:
        raise errors.UnknownFunctionError(f"np.{u.__name__}.{method} cannot be traced")

    return refuse


METHODS["ufunc.reduce"] = reduce
METHODS["ufunc.accumulate"] = accumulate
METHODS["ufunc.outer"] = outer
METHODS["ufunc.reduceat"] = _unknown("reduceat")
METHODS["ufunc.at"] = _unknown("at")
