"""Rearranging elements: other shapes, other orders, other dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import FUNCTIONS, METHODS, UFUNCS, Value
from chainrule.front.operands import array, axis_tuple, broadcast, broadcast_shape, implements, retyped, value
from chainrule.prims import linear
from chainrule.prims.indexing import moved, take
from chainrule.prims.linear import LETTERS, concat, contract

Shape = tuple[int, ...]


# --- pieces that other functions are said in -------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _order_spec(order: Shape) -> str:
    every = LETTERS[: len(order)]
    return f"{every}->{''.join(every[k] for k in order)}"


def permuted(x: Value, order: Sequence[int]) -> Value:
    """Axes in this order."""
    order = tuple(order)
    return x if order == tuple(range(len(order))) else contract(x, spec=_order_spec(order))


def reshaped(x: Value, shape: Shape) -> Value:
    """The same elements in another shape."""
    return x if x.shape == shape else linear.reshape(x, shape=shape)


def cut(x: Value, axis: int, start: int, stop: int) -> Value:
    """Elements from `start` up to `stop` along one axis."""
    if start == 0 and stop == x.shape[axis]:
        return x
    low = tuple([start if k == axis else 0 for k in range(x.ndim)])
    high = tuple([stop if k == axis else n for k, n in enumerate(x.shape)])
    return linear.slice_(x, start=low, stop=high, step=(1,) * x.ndim)


def looked_up(x: Value, i: Any, axis: int) -> Value:
    """Elements at known indices (an array of any rank) along one axis."""
    i = value(np.asarray(i, np.intp))
    y = take(moved(x, axis, 0), i, lead=0)
    if axis == 0:
        return y
    k = i.ndim
    return permuted(y, (*range(k, k + axis), *range(k), *range(k + axis, y.ndim)))


def axis_of(axis: Any, ndim: int) -> int:
    """One axis, counted from the front."""
    k = index(axis)
    if not -ndim <= k < ndim:
        raise errors.AxisError.of(k, ndim)
    return k % ndim


# --- shapes ----------------------------------------------------------------------------------------------------------------


def _shape(shape: Any, size: int) -> Shape:
    given = [index(shape)] if np.ndim(shape) == 0 else [index(n) for n in shape]
    free = [k for k, n in enumerate(given) if n == -1]
    rest = prod(n for n in given if n != -1)
    if len(free) > 1:
        raise ValueError("can only specify one unknown dimension")
    if free:
        if not rest or size % rest:
            raise errors.ShapeError.reshaping((size,), tuple(given))
        given[free[0]] = size // rest
    return tuple(given)


def _no_order(order: Any) -> None:
    if order not in ("C", "K", "A", None):
        raise errors.UnknownFunctionError(f"order={order!r} cannot be traced: arrays are read row by row; transpose first")


@implements(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None) -> Value:
    """The same elements in another shape, read row by row (column by column with order="F")."""
    x = array(a)
    new = _shape(newshape if shape is None else shape, x.size)
    if order == "F":
        return permuted(reshaped(permuted(x, range(x.ndim)[::-1]), new[::-1]), range(len(new))[::-1])
    _no_order(order)
    return reshaped(x, new)


def _reshape_method(x: Value, *shape: Any, order: Any = "C", copy: Any = None) -> Value:
    return reshape(x, shape[0] if len(shape) == 1 else shape, order)


METHODS["reshape"] = _reshape_method


@implements(np.ravel, method="ravel")
def ravel(a: Any, order: Any = "C") -> Value:
    """All elements along one axis."""
    return reshape(a, (-1,) if array(a).size else (0,), order)


METHODS["flatten"] = ravel


@implements(np.transpose)
def transpose(a: Any, axes: Any = None) -> Value:
    """Axes in another order (reversed by default)."""
    x = array(a)
    if axes is None:
        return permuted(x, range(x.ndim)[::-1])
    order = [axis_of(k, x.ndim) for k in axes]
    if sorted(order) != list(range(x.ndim)):
        raise ValueError("axes don't match array")
    return permuted(x, order)


def _transpose_method(x: Value, *axes: Any) -> Value:
    return transpose(x, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)


METHODS["transpose"] = _transpose_method


@implements(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Value:
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


@implements(np.swapaxes, method="swapaxes")
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Value:
    """Two axes exchanged."""
    x = array(a)
    i, j = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return permuted(x, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Value:
    """Some axes put in other places, the others in order."""
    x = array(a)
    source, destination = ([axis_of(k, x.ndim) for k in np.atleast_1d(s)] for s in (source, destination))
    if len(source) != len(destination):
        raise ValueError("`source` and `destination` arguments must have the same number of elements")
    order = [k for k in range(x.ndim) if k not in source]
    for to, k in sorted(zip(destination, source, strict=True)):
        order.insert(to, k)
    return permuted(x, order)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: Any, start: Any = 0) -> Value:
    """One axis put before another."""
    x = array(a)
    k, to = axis_of(axis, x.ndim), index(start)
    to = to + x.ndim if to < 0 else to
    if not 0 <= to <= x.ndim:
        raise np.exceptions.AxisError(start, x.ndim + 1)
    return moved(x, k, to - 1 if k < to else to)


@implements(np.squeeze, method="squeeze")
def squeeze(a: Any, axis: Any = None) -> Value:
    """Without axes of size 1."""
    x = array(a)
    axes = [k for k, n in enumerate(x.shape) if n == 1] if axis is None else axis_tuple(axis, x.ndim)
    if any(x.shape[k] != 1 for k in axes):
        raise errors.ShapeError("cannot select an axis to squeeze out which has size not equal to one")
    return reshaped(x, tuple([n for k, n in enumerate(x.shape) if k not in axes]))


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Value:
    """With new axes of size 1, counted in the result."""
    x = array(a)
    new = (axis,) if np.ndim(axis) == 0 else tuple(axis)
    axes = axis_tuple(new, x.ndim + len(new))
    rest = iter(x.shape)
    return reshaped(x, tuple([1 if k in axes else next(rest) for k in range(x.ndim + len(new))]))


@implements(np.broadcast_to)
def broadcast_to(array_: Any, shape: Any, subok: bool = False) -> Value:
    """Repeated along new and size-1 axes."""
    return broadcast(array(array_), (index(shape),) if np.ndim(shape) == 0 else tuple(map(index, shape)))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Value, ...]:
    """All at the shape they broadcast to."""
    xs = [array(a) for a in args]
    shape = broadcast_shape([x.shape for x in xs])
    return tuple([broadcast(x, shape) for x in xs])


def _at_least(shape_of: Any) -> Any:
    def at_least(*arys: Any) -> Any:
        out = [reshaped(x, shape_of(x.shape)) for x in map(array, arys)]
        return out[0] if len(out) == 1 else tuple(out)

    return at_least


def _three(s: Shape) -> Shape:
    return (1,) * (3 - len(s)) + s if len(s) == 0 else (1, *s, 1) if len(s) == 1 else (*s, 1) if len(s) == 2 else s


FUNCTIONS[np.atleast_1d] = _at_least(lambda s: s or (1,))
FUNCTIONS[np.atleast_2d] = _at_least(lambda s: (1,) * (2 - len(s)) + s)
FUNCTIONS[np.atleast_3d] = _at_least(_three)


# --- other orders ----------------------------------------------------------------------------------------------------------


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Value:
    """Backwards along axes."""
    x = array(m)
    axes = axis_tuple(axis, x.ndim)
    return linear.flip(x, axes=axes) if axes else x


@implements(np.fliplr)
def fliplr(m: Any) -> Value:
    """Columns backwards."""
    return flip(m, 1)


@implements(np.flipud)
def flipud(m: Any) -> Value:
    """Rows backwards."""
    return flip(m, 0)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Value:
    """Turned by k quarter turns, from the first of the axes towards the second."""
    x = array(m)
    i, j = (axis_of(a, x.ndim) for a in axes)
    if i == j:
        raise ValueError("Axes must be different.")
    turns = k % 4
    if turns == 0:
        return x
    if turns == 2:
        return linear.flip(x, axes=tuple(sorted((i, j))))
    return swapaxes(flip(x, j), i, j) if turns == 1 else flip(swapaxes(x, i, j), j)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Value:
    """Shifted along axes; what leaves at one end comes in at the other."""
    x = array(a)
    if axis is None:
        return reshaped(roll(ravel(x), shift, 0), x.shape)
    for s, k in np.broadcast(shift, axis):
        k = axis_of(k, x.ndim)
        n = x.shape[k]
        at = -int(s) % n if n else 0
        if at:
            x = concat(cut(x, k, at, n), cut(x, k, 0, at), axis=k)
    return x


# --- dtypes and copies -----------------------------------------------------------------------------------------------------


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Value:
    """With another dtype."""
    v = array(x)
    to = np.dtype(dtype)
    if to.kind not in "biufc":
        raise errors.DtypeError(f"{to} is not a dtype of numbers")
    if to.kind == "b" and v.dtype.kind != "b":
        return UFUNCS[np.not_equal](v, 0)
    return retyped(v, to)


def _astype_method(x: Value, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: Any = True, copy: Any = True) -> Value:
    return astype(x, dtype)


METHODS["astype"] = _astype_method


@implements(np.copy)
def copy(a: Any, order: Any = "K", subok: bool = False) -> Value:
    """The same value: traced values never change."""
    return array(a)


METHODS["copy"] = lambda x, order="C": x
FUNCTIONS[np.ndim] = lambda a: array(a).ndim
FUNCTIONS[np.shape] = lambda a: array(a).shape


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    """Number of elements."""
    x = array(a)
    return x.size if axis is None else prod(x.shape[k] for k in axis_tuple(axis, x.ndim))
