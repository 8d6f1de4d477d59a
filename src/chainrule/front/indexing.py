"""x[...], and everything else that reads elements by index or puts them in order."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.build.value import FUNCTIONS, METHODS, UFUNCS, Value
from chainrule.front.operands import array, broadcast, broadcast_shape, implements, no_out, retyped, value
from chainrule.front.reductions import one_axis, ravelled
from chainrule.front.shaping import axis_of, flip, permuted, reshaped
from chainrule.ir.graph import Lit
from chainrule.ir.types import BOOL
from chainrule.prims import indexing as rows
from chainrule.prims import linear
from chainrule.prims.indexing import take, take_along
from chainrule.prims.kinds import constant
from chainrule.prims.kinked import select

# --- x[...] ----------------------------------------------------------------------------------------------------------------


class _Cut(NamedTuple):
    """What basic indexing does: a slice per axis, axes to turn round, the shape that is left."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]
    flipped: tuple[int, ...]


def _getitem(x: Value, key: Any) -> Value:
    if type(key) is int and x.shape:
        return _row(x, key)
    keys = [_plain(k) for k in (key if isinstance(key, tuple) else (key,))]  # pyright: ignore[reportUnknownVariableType]
    if any(type(k) in (list, np.ndarray, Value) for k in keys):
        return _advanced(x, keys)
    return _basic(x, _whole(keys, x.ndim, lambda k: 1))


METHODS["__getitem__"] = _getitem


def _row(x: Value, k: int) -> Value:
    """x[k]."""
    shape = x.atom.type.shape
    n = shape[0]
    if not -n <= k < n:
        raise IndexError(f"index {k} is out of bounds for axis 0 with size {n}")
    k %= n
    rest = shape[1:]
    none = (0,) * len(rest)
    y = linear.slice_(x, start=(k, *none), stop=(k + 1, *rest), step=(1,) * len(shape))
    return linear.reshape(y, shape=rest)


def _plain(k: Any) -> Any:
    """One entry of an index as an int, slice, None, Ellipsis, integer or boolean array, or traced integers."""
    if k is None or k is Ellipsis or type(k) is int:
        return k
    if isinstance(k, slice):
        return slice(*[None if e is None else index(e) for e in (k.start, k.stop, k.step)])
    if isinstance(k, bool | np.bool_):
        return np.asarray(k)
    if isinstance(k, Value):
        return _traced(k)
    if isinstance(k, list):
        k = array(k) if _has_value(k) else np.asarray(k if k else np.zeros(0, np.intp))  # pyright: ignore[reportUnknownArgumentType]
        return _traced(k) if isinstance(k, Value) else k
    if isinstance(k, np.ndarray):
        return k if k.ndim or k.dtype == bool else index(k)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
    try:
        return index(k)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean arrays are indices"
        ) from None


def _has_value(k: Any) -> bool:
    return isinstance(k, Value) or (isinstance(k, list) and any(map(_has_value, k)))  # pyright: ignore[reportUnknownArgumentType]


def _traced(k: Value) -> Any:
    if k.dtype == BOOL:
        if k.data is None:
            raise errors.ValueNeededError.about(k, "indexing with a boolean array")
        return k.full
    if k.type.inexact:
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    return k


def _whole(keys: Sequence[Any], ndim: int, width: Any) -> list[Any]:
    """The index with an entry for every axis, the ellipsis written out."""
    used = sum(0 if k is None or k is Ellipsis else width(k) for k in keys)
    if used > ndim:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed")
    at = next((j for j, k in enumerate(keys) if k is Ellipsis), len(keys))
    if any(k is Ellipsis for k in keys[at + 1 :]):
        raise IndexError("an index can only have a single ellipsis ('...')")
    return [*keys[:at], *[slice(None)] * (ndim - used), *keys[at + 1 :]]


def _cut(shape: Sequence[int], keys: Sequence[Any]) -> _Cut:
    """A slice for every axis: whole where the key is an array."""
    start, stop, step, flipped = list[int](), list[int](), list[int](), list[int]()
    for axis, (n, k) in enumerate(zip(shape, keys, strict=True)):
        if isinstance(k, int):
            if not -n <= k < n:
                raise IndexError(f"index {k} is out of bounds for axis {axis} with size {n}")
            a, b, c = k % n, k % n + 1, 1
        elif isinstance(k, slice):
            a, b, c = k.indices(n)
            if c < 0:  # the same elements from the other end
                flipped.append(axis)
                many = len(range(a, b, c))
                a, b, c = (a + (many - 1) * c, a + 1, -c) if many else (0, 0, 1)
            b = max(a, b)
        else:
            a, b, c = 0, n, 1
        start.append(a)
        stop.append(b)
        step.append(c)
    return _Cut(tuple(start), tuple(stop), tuple(step), tuple(flipped))


def _sliced(x: Value, keys: Sequence[Any]) -> Value:
    """Slices applied; integers leave an axis of size 1, arrays a whole one."""
    c = _cut(x.shape, keys)
    if any(c.start) or c.stop != x.shape or any(k != 1 for k in c.step):
        x = linear.slice_(x, start=c.start, stop=c.stop, step=c.step)
    return linear.flip(x, axes=c.flipped) if c.flipped else x


def _basic(x: Value, keys: Sequence[Any]) -> Value:
    y = _sliced(x, [k for k in keys if k is not None])
    sizes = iter(y.shape)
    return reshaped(y, tuple([n for k in keys for n in ([1] if k is None else _size(k, next(sizes)))]))


def _size(k: Any, n: int) -> list[int]:
    return [] if isinstance(k, int) else [n]


def _advanced(x: Value, keys: Sequence[Any]) -> Value:
    """Indexing with arrays, NumPy's rules for where their axes go.

    Integers beside arrays count as arrays. The axes of the result come first if something stands between the arrays,
    and in their place otherwise.
    """
    keys = _whole(keys, x.ndim, lambda k: k.ndim if getattr(k, "dtype", None) == BOOL else 1)
    entries, x = _masks(x, keys)
    arrays = [j for j, k in enumerate(entries) if not (k is None or isinstance(k, slice))]
    together = arrays[-1] - arrays[0] + 1 == len(arrays)
    lifted = [0 if k is None else k for k in entries]
    sizes = iter(x.shape)
    x = reshaped(x, tuple([1 if k is None else next(sizes) for k in entries]))
    x = _sliced(x, [slice(None) if j in arrays or entries[j] is None else k for j, k in enumerate(lifted)])
    indices = _aligned([entries[j] for j in arrays], [x.shape[j] for j in arrays])
    rest = [j for j in range(x.ndim) if j not in arrays]
    y = take(permuted(x, [*arrays, *rest]), *indices, lead=0)
    if not together or arrays[0] == 0:
        return y
    k, before = indices[0].ndim, arrays[0]
    return permuted(y, (*range(k, k + before), *range(k), *range(k + before, y.ndim)))


def _masks(x: Value, keys: Sequence[Any]) -> tuple[list[Any], Value]:
    """Boolean arrays as the integers where they hold; a 0-d one indexes a new axis of size 1."""
    entries, shape, axis = list[Any](), list[int](), 0
    for k in keys:
        if k is None:
            entries.append(None)
            continue
        if getattr(k, "dtype", None) != BOOL:
            entries.append(k)
            shape.append(x.shape[axis])
            axis += 1
            continue
        if k.shape != x.shape[axis : axis + k.ndim]:
            raise IndexError(f"boolean index of shape {k.shape} did not match axes of sizes {x.shape[axis : axis + k.ndim]}")
        entries += [np.nonzero(k)[0]] if k.ndim == 1 else list(np.nonzero(k)) if k.ndim else [np.zeros(int(k), np.intp)]
        shape += x.shape[axis : axis + k.ndim] if k.ndim else (1,)
        axis += k.ndim
    return entries, reshaped(x, tuple(shape))


def _aligned(entries: Sequence[Any], sizes: Sequence[int]) -> list[Value]:
    """Integer arrays of one shape; known ones are checked against the sizes now."""
    out: list[Value] = []
    for k, n in zip(entries, sizes, strict=True):
        if isinstance(k, Value):
            out.append(k)
            continue
        k = np.asarray(k)
        if k.dtype.kind not in "iu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        bad = k[(k < -n) | (k >= n)]
        if bad.size:
            raise IndexError(f"index {bad.flat[0]} is out of bounds for axis with size {n}")
        out.append(value(k))
    shape = broadcast_shape([k.shape for k in out])
    return [broadcast(k, shape) for k in out]


# --- take ------------------------------------------------------------------------------------------------------------------


@implements(np.take, method="take")
def take_(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Value:
    """Elements at indices along an axis."""
    no_out(out)
    x, k = one_axis(array(a), axis)
    i = array(indices)
    if i.type.inexact or i.dtype == BOOL:
        raise TypeError("Cannot cast array data to integers for use as indices")
    n = x.shape[k]
    if mode == "wrap":
        i = UFUNCS[np.remainder](i, n)
    elif mode == "clip":
        i = UFUNCS[np.minimum](UFUNCS[np.maximum](i, 0), n - 1)
    return _getitem(x, (*[slice(None)] * k, i.full if isinstance(i.atom, Lit) else i))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Value:
    """Elements along an axis at indices that have the shape of the array but for that axis."""
    x, k = one_axis(array(arr), axis)
    i = array(indices)
    if i.type.inexact or i.dtype == BOOL:
        raise IndexError("`indices` must be an integer array")
    if i.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    lead = broadcast_shape([(*s[:k], *s[k + 1 :]) for s in (x.shape, i.shape)])
    x, i = (broadcast(v, (*lead[:k], v.shape[k], *lead[k:])) for v in (x, i))
    return take_along(x, i, k)


@implements(np.compress, method="compress")
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Value:
    """Slices along an axis where a known condition holds."""
    no_out(out)
    x, k = one_axis(array(a), axis)
    return _getitem(x, (*[slice(None)] * k, np.flatnonzero(_known(condition, "np.compress"))))


METHODS["compress"] = lambda x, condition, axis=None, out=None: compress(condition, x, axis, out)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Value:
    """Elements where a known condition holds."""
    return compress(np.ravel(_known(condition, "np.extract")), ravelled(array(arr)))


# --- order -----------------------------------------------------------------------------------------------------------------


@implements(np.argsort, method="argsort")
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Value:
    """Indices that sort; equals keep their order, whichever kind is asked for."""
    x, k = one_axis(array(a), axis)
    return rows.argsort(x, axis=k)


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Value:
    """Elements in ascending order; each carries its derivative along, equals in the order they had."""
    x, k = one_axis(array(a), axis)
    return take_along(x, rows.argsort(x, axis=k), k)


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Value:
    """Elements in an order in which the kth is where sorting puts it: all of them are."""
    return sort(a, axis)


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Value:
    """How many elements of a sorted vector come before each of v."""
    x, y = array(a), array(v)
    if x.ndim != 1:
        raise ValueError("object too deep for desired array")
    if side not in ("left", "right"):
        raise ValueError(f"'{side}' is an invalid value for keyword 'side'")
    if sorter is not None:
        x = take_(x, sorter)
    dtype = np.result_type(x.dtype, y.dtype)
    return rows.searchsorted(retyped(x, dtype), retyped(y, dtype), side=side)


METHODS["searchsorted"] = searchsorted


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Value:
    """Which of the bins, ascending or descending, each element falls into."""
    b, side = array(bins), "left" if right else "right"
    if b.size < 2:
        return searchsorted(b, x, side)
    up, down = searchsorted(b, x, side), b.size - searchsorted(flip(b), x, side)
    return select(broadcast(b[0] > b[-1], up.shape), down, up)


# --- only where the value is known -----------------------------------------------------------------------------------------


def _known(x: Any, what: str) -> Any:
    v = array(x)
    if v.data is None:
        raise errors.ValueNeededError.about(v, what)
    return v.full


@implements(np.nonzero, method="nonzero")
def nonzero(a: Any) -> tuple[Any, ...]:
    """Indices of the elements that are not 0."""
    return np.nonzero(_known(a, "np.nonzero"))


@implements(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """Indices of the elements that are not 0, flattened."""
    return np.flatnonzero(_known(a, "np.flatnonzero"))


@implements(np.argwhere)
def argwhere(a: Any) -> Any:
    """Indices of the elements that are not 0, one row each."""
    return np.argwhere(_known(a, "np.argwhere"))


@implements(np.unique)
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: Any = None,
    *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    """Different elements in ascending order; each carries the derivative of the first of its equals."""
    x = array(ar)
    if axis is not None:
        raise errors.UnknownFunctionError("np.unique along an axis cannot be traced")
    _, first, inverse, counts = np.unique(_known(x, "np.unique"), True, True, True, equal_nan=equal_nan)
    found = take(ravelled(x), value(first), lead=0)
    more = [y for y, asked in ((first, return_index), (inverse, return_inverse), (counts, return_counts)) if asked]
    return (found, *more) if more else found


# --- diagonals and triangles -----------------------------------------------------------------------------------------------


def diagonal_of(x: Value, offset: int, axis1: int, axis2: int) -> Value:
    """The elements (i, i + offset) of two axes, as a new last axis: every (n + 1)th element of the matrix read row by row."""
    order = [k for k in range(x.ndim) if k not in (axis1, axis2)]
    x = permuted(x, [*order, axis1, axis2])
    m, n = x.shape[-2:]
    lead = x.shape[:-2]
    start = offset if offset >= 0 else -offset * n
    many = max(0, min(m, n - offset) if offset >= 0 else min(m + offset, n))
    if not many:
        start = 0
    stop = start + (many - 1) * (n + 1) + 1 if many else 0
    none = (0,) * len(lead)
    y = reshaped(x, (*lead, m * n))
    return linear.slice_(y, start=(*none, start), stop=(*lead, stop), step=(*[1] * len(lead), n + 1))


@implements(np.diagonal, method="diagonal")
def diagonal(a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Value:
    """The elements (i, i + offset) of two axes."""
    x = array(a)
    if x.ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    i, j = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    if i == j:
        raise ValueError("axis1 and axis2 cannot be the same")
    return diagonal_of(x, index(offset), i, j)


@implements(np.trace, method="trace")
def trace(a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1, dtype: Any = None, out: Any = None) -> Value:
    """Sum of the diagonal."""
    return FUNCTIONS[np.sum](diagonal(a, offset, axis1, axis2), -1, dtype, out)


def diagonal_matrix(v: Value, k: int) -> Value:
    """The square matrix with a vector on a diagonal."""
    (n,) = v.shape
    m = n + abs(k)
    start = k if k >= 0 else -k * m
    end = start + (n - 1) * (m + 1) + 1 if n else start
    flat = linear.pad(v, low=(start,), high=(m * m - end,), interior=(m,)) if m else v
    return reshaped(flat, (m, m))


@implements(np.diag)
def diag(v: Any, k: Any = 0) -> Value:
    """The diagonal of a matrix, or the matrix with this diagonal."""
    x = array(v)
    if x.ndim == 1:
        return diagonal_matrix(x, index(k))
    if x.ndim != 2:
        raise ValueError("Input must be 1- or 2-d.")
    return diagonal(x, k)


@implements(np.diagflat)
def diagflat(v: Any, k: Any = 0) -> Value:
    """The matrix with all elements on a diagonal."""
    return diagonal_matrix(ravelled(array(v)), index(k))


def _triangle(m: Any, k: Any, lower: bool) -> Value:
    x = array(m)
    if x.ndim < 1:
        raise ValueError("np.tril and np.triu need an array of at least one dimension")
    if x.ndim == 1:
        x = broadcast(x, (x.size, x.size))
    inside = np.tri(*x.shape[-2:], k=index(k) if lower else index(k) - 1, dtype=bool)
    c = broadcast(value(inside if lower else ~inside), x.shape)
    return select(c, x, constant(0, x.type))


@implements(np.tril)
def tril(m: Any, k: Any = 0) -> Value:
    """On and below a diagonal; zero above."""
    return _triangle(m, k, True)


@implements(np.triu)
def triu(m: Any, k: Any = 0) -> Value:
    """On and above a diagonal; zero below."""
    return _triangle(m, k, False)


# --- methods that change an array in place, or that need its value ---------------------------------------------------------


def _in_place(name: str) -> Any:
    def refuse(x: Value, *args: Any, **kwargs: Any) -> Any:
        raise errors.InPlaceError.about(x, name)

    return refuse


for _name in ("sort", "fill", "put", "partition", "resize", "setfield", "setflags"):
    METHODS[_name] = _in_place(_name)
METHODS["argpartition"] = lambda x, kth, axis=-1, kind="introselect", order=None: argsort(x, axis)
