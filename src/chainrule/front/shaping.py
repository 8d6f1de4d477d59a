"""Rearranging elements: other shapes, other orders, joined, cut and repeated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import FUNCTIONS, METHODS, UFUNCS, Value
from chainrule.front.operands import array, axis_tuple, broadcast, broadcast_shape, implements, no_out, retyped, value
from chainrule.ir.types import ArrayType, DType
from chainrule.prims import linear
from chainrule.prims.indexing import moved, take
from chainrule.prims.kinds import constant
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


# --- shapes -----------------------------------------------------------------------------------------------------------------


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


# --- joining ----------------------------------------------------------------------------------------------------------------


def common(arrays: Any, dtype: Any = None) -> list[Value]:
    """Values of one dtype."""
    xs = [array(a) for a in arrays]
    if not xs:
        raise ValueError("need at least one array to concatenate")
    found: DType = np.dtype(dtype) if dtype is not None else np.result_type(*[x.dtype for x in xs])
    return [retyped(x, found) for x in xs]


def _joined(xs: Sequence[Value], axis: int) -> Value:
    return xs[0] if len(xs) == 1 else concat(*xs, axis=axis)


@implements(np.concatenate)
def concatenate(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Value:
    """End to end along an axis."""
    no_out(out)
    xs = common(arrays, dtype)
    if axis is None:
        return _joined([ravel(x) for x in xs], 0)
    if not xs[0].ndim:
        raise errors.ShapeError("zero-dimensional arrays cannot be concatenated")
    if any(x.ndim != xs[0].ndim for x in xs):
        raise errors.ShapeError.joining([x.shape for x in xs], axis)
    return _joined(xs, axis_of(axis, xs[0].ndim))


@implements(np.stack)
def stack(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Value:
    """Along a new axis."""
    no_out(out)
    xs = common(arrays, dtype)
    shape = xs[0].shape
    if any(x.shape != shape for x in xs):
        raise errors.ShapeError.stacking([x.shape for x in xs])
    k = axis_of(axis, len(shape) + 1)
    return _joined([reshaped(x, (*shape[:k], 1, *shape[k:])) for x in xs], k)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Value:
    """Rows upon rows."""
    return concatenate([FUNCTIONS[np.atleast_2d](x) for x in tup], 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Value:
    """Side by side."""
    xs = [FUNCTIONS[np.atleast_1d](x) for x in tup]
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Any) -> Value:
    """Along the third axis."""
    return concatenate([FUNCTIONS[np.atleast_3d](x) for x in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Value:
    """Vectors as columns, matrices as they are."""
    return concatenate([reshaped(x, (x.size, 1)) if x.ndim < 2 else x for x in map(array, tup)], 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Value:
    """With more elements at the end."""
    return concatenate([arr, values], axis)


def _assembled(x: Any, depth: int, deepest: int, rank: int) -> Value:
    if not isinstance(x, list):
        v = array(x)
        return reshaped(v, (1,) * (rank - v.ndim) + v.shape)
    return concatenate([_assembled(y, depth + 1, deepest, rank) for y in x], depth - deepest)  # pyright: ignore[reportUnknownVariableType]


def _depth(x: Any) -> int:
    return 1 + _depth(x[0]) if isinstance(x, list) else 0  # pyright: ignore[reportUnknownArgumentType]


def _rank(x: Any) -> int:
    return max(map(_rank, x)) if isinstance(x, list) else np.ndim(x)  # pyright: ignore[reportUnknownArgumentType]


@implements(np.block)
def block(arrays: Any) -> Value:
    """A matrix from nested lists of blocks."""
    deepest = _depth(arrays)
    return _assembled(arrays, 0, deepest, max(_rank(arrays), deepest))


# --- cutting ----------------------------------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Value]:
    """Parts along an axis, of sizes that differ by one at most, or between the given indices."""
    x = array(ary)
    k = axis_of(axis, x.ndim)
    n = x.shape[k]
    if np.ndim(indices_or_sections) == 0:
        parts = index(indices_or_sections)
        if parts <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, extra = divmod(n, parts)
        ends = np.cumsum([0] + extra * [each + 1] + (parts - extra) * [each]).tolist()
        pairs = list(zip(ends[:-1], ends[1:], strict=True))
    else:
        marks = [0, *map(index, indices_or_sections), n]
        pairs = [slice(a, b).indices(n)[:2] for a, b in zip(marks[:-1], marks[1:], strict=True)]
    return [cut(x, k, a, max(a, b)) for a, b in pairs]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Value]:
    """Equal parts along an axis, or those between the given indices."""
    x = array(ary)
    if np.ndim(indices_or_sections) == 0 and x.shape[axis_of(axis, x.ndim)] % index(indices_or_sections):
        raise errors.ShapeError("array split does not result in an equal division")
    return array_split(x, indices_or_sections, axis)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Value]:
    """Parts along the first axis."""
    x = array(ary)
    if x.ndim < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return split(x, indices_or_sections, 0)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Value]:
    """Parts along the second axis (the first of a vector)."""
    x = array(ary)
    if not x.ndim:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Value]:
    """Parts along the third axis."""
    x = array(ary)
    if x.ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return split(x, indices_or_sections, 2)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: Any = 0) -> tuple[Value, ...]:
    """Every part along an axis."""
    v = moveaxis(x, axis, 0)
    return tuple([reshaped(cut(v, 0, k, k + 1), v.shape[1:]) for k in range(v.shape[0])])


# --- other orders -------------------------------------------------------------------------------------------------------------


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


# --- repeating ----------------------------------------------------------------------------------------------------------------


@implements(np.repeat, method="repeat")
def repeat(a: Any, repeats: Any, axis: Any = None) -> Value:
    """Every element several times."""
    x = array(a)
    x, k = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim))
    times = np.asarray(repeats)
    if times.size == 1:
        r = int(times.reshape(()))
        y = linear.spread(x, shape=(*x.shape[: k + 1], r, *x.shape[k + 1 :]), axes=(k + 1,))
        return reshaped(y, (*x.shape[:k], x.shape[k] * r, *x.shape[k + 1 :]))
    return looked_up(x, np.repeat(np.arange(x.shape[k]), times), k)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Value:
    """The whole array several times along each axis."""
    x = array(A)
    times = (index(reps),) if np.ndim(reps) == 0 else tuple(map(index, reps))
    times = (1,) * (x.ndim - len(times)) + times
    x = reshaped(x, (1,) * (len(times) - x.ndim) + x.shape)
    new = [2 * k for k, r in enumerate(times)]
    whole = tuple([m for r, n in zip(times, x.shape, strict=True) for m in (r, n)])
    return reshaped(linear.spread(x, shape=whole, axes=tuple(new)), tuple([r * n for r, n in zip(times, x.shape, strict=True)]))


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Value:
    """As many elements as the new shape has, from the start again when they run out."""
    x = ravel(a)
    shape = (index(new_shape),) if np.ndim(new_shape) == 0 else tuple(map(index, new_shape))
    if not x.size:
        return constant(0, ArrayType(x.dtype, shape))
    return looked_up(x, np.resize(np.arange(x.size), shape), 0)


_INDEXED = ("edge", "reflect", "symmetric", "wrap")


@implements(np.pad)
def pad(array_: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Value:
    """More elements around: constants, or the array's own (edge, reflect, symmetric, wrap)."""
    x = array(array_)
    widths = _pairs(pad_width, x.ndim)
    if mode == "constant":
        return _padded(x, widths, kwargs.pop("constant_values", 0))
    if mode not in _INDEXED or kwargs.get("reflect_type", "even") != "even":
        raise errors.UnknownFunctionError(f"np.pad with mode={mode!r} and {kwargs} cannot be traced; there are constant, {', '.join(_INDEXED)}")
    for k, (a, b) in enumerate(widths):
        if a or b:
            x = looked_up(x, np.pad(np.arange(x.shape[k]), (a, b), mode=mode), k)
    return x


def _pairs(given: Any, ndim: int) -> list[tuple[int, int]]:
    """A pair per axis, from a number, a pair, a list of pairs or a dict of axes."""
    if isinstance(given, dict):
        axes: dict[int, Any] = {k % ndim: v for k, v in given.items()}  # pyright: ignore[reportUnknownVariableType]
        given = [(v, v) if np.ndim(v) == 0 else v for v in (axes.get(k, 0) for k in range(ndim))]
    pairs = [(int(a), int(b)) for a, b in np.broadcast_to(np.asarray(given), (ndim, 2))]
    if any(a < 0 or b < 0 for a, b in pairs):
        raise ValueError("index can't contain negative values")
    return pairs


def _padded(x: Value, widths: Sequence[tuple[int, int]], values: Any) -> Value:
    if not isinstance(values, Value | list | tuple) and np.ndim(values) == 0 and values == 0:
        low, high = tuple([a for a, _ in widths]), tuple([b for _, b in widths])
        return linear.pad(x, low=low, high=high, interior=(0,) * x.ndim) if any(low + high) else x
    ends = broadcast(retyped(array(values), x.dtype), (x.ndim, 2))
    for k, (a, b) in enumerate(widths):
        sides = [broadcast(ends[k, j], (*x.shape[:k], n, *x.shape[k + 1 :])) for j, n in ((0, a), (1, b))]
        x = concat(sides[0], x, sides[1], axis=k)
    return x


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Value:
    """Without the elements at known indices."""
    x = array(arr)
    x, k = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim))
    return looked_up(x, np.delete(np.arange(x.shape[k]), obj), k)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Value:
    """With more elements before known indices."""
    x = array(arr)
    x, k = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim))
    marks = np.arange(x.shape[k])[obj] if isinstance(obj, slice) else np.asarray(obj)
    marks = np.flatnonzero(marks) if marks.dtype == bool else marks
    v = retyped(array(values), x.dtype)
    v = reshaped(v, (1,) * (x.ndim - v.ndim) + v.shape)
    if marks.size == 1:  # one place takes any number of elements; NumPy then reads their first axis along the chosen one
        v = moved(v, 0, k) if marks.ndim == 0 else v
        marks, more = marks.reshape(()), v.shape[k]
    else:
        more = marks.size
    v = broadcast(v, (*x.shape[:k], more, *x.shape[k + 1 :]))
    n = x.shape[k]
    return looked_up(concat(x, v, axis=k), np.insert(np.arange(n), marks, np.arange(n, n + more)), k)


# --- dtypes and copies --------------------------------------------------------------------------------------------------------


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


def _astype_method(x: Value, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True) -> Value:
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
