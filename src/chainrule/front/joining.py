"""Joining, cutting and repeating arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import FUNCTIONS, Value
from chainrule.front.operands import array, broadcast, implements, no_out, retyped
from chainrule.front.shaping import axis_of, cut, looked_up, moveaxis, ravel, reshaped
from chainrule.ir.types import ArrayType, DType
from chainrule.prims import linear
from chainrule.prims.indexing import moved
from chainrule.prims.kinds import constant
from chainrule.prims.linear import concat

# --- joining ---------------------------------------------------------------------------------------------------------------


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


# --- cutting ---------------------------------------------------------------------------------------------------------------


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
        pairs = list(pairwise(ends))
    else:
        marks = [0, *map(index, indices_or_sections), n]
        pairs = [slice(a, b).indices(n)[:2] for a, b in pairwise(marks)]
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


# --- repeating -------------------------------------------------------------------------------------------------------------


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
    new = [2 * k for k in range(len(times))]
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
        there = ", ".join(("constant", *_INDEXED))
        raise errors.UnknownFunctionError(f"np.pad with mode={mode!r} and {kwargs} cannot be traced; there are {there}")
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
