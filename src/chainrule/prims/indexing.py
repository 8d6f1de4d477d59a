"""Reading elements by integer index, adding them back, and the indices that order gives: arguments of extremes and sorting.

`take` and `scatter_add` are each other's transposes.  Both share `lead` leading axes with their indices, so a batch of
arrays with a batch of indices is one equation, and no index arithmetic can run past the end of one array into the next.
Indices count from the end where they are negative; out of range they raise IndexError, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.row import Operand, Row, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Params
from chainrule.ir.types import INT, ArrayType
from chainrule.prims.kinds import batched, size_of
from chainrule.prims.linear import LETTERS, contract


def moved(x: Value, source: int, to: int) -> Value:
    """One axis put in another place."""
    if source == to:
        return x
    every = LETTERS[: x.ndim]
    rest = every[:source] + every[source + 1 :]
    return contract(x, spec=f"{every}->{rest[:to]}{every[source]}{rest[to:]}")


# --- take and scatter_add ---------------------------------------------------------------------------------------------


def _key(shape: tuple[int, ...], lead: int, indices: Sequence[Array]) -> Any:
    """The NumPy index: the shared axes run along, the others are looked up."""
    if not lead:
        return indices[0] if len(indices) == 1 else tuple(indices)
    rank = indices[0].ndim
    along = [np.arange(n).reshape(tuple([n if j == k else 1 for j in range(rank)])) for k, n in enumerate(shape[:lead])]
    return (*along, *indices)


def _checked(ts: Sequence[ArrayType], lead: int) -> tuple[int, ...]:
    """Shape of the indices, which all have one."""
    x, *indices = ts
    shape = indices[0].shape
    for t in indices:
        if t.shape != shape or t.shape[:lead] != x.shape[:lead] or t.dtype.kind not in "iu":
            raise errors.ShapeError(f"{x} cannot be indexed by {', '.join(map(str, indices))} with {lead} shared axes")
    return shape


def _take_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    shape = _checked(ts, p["lead"])
    return (ArrayType(ts[0].dtype, (*shape, *ts[0].shape[p["lead"] + len(ts) - 1 :])),)


def _take_value(x: Array, *indices: Array, lead: int) -> Array:
    return np.asarray(x[_key(x.shape, lead, indices)])


def _take_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    return (Zero(ys[0].type),) if isinstance(dxs[0], Zero) else take.all(dxs[0], *xs[1:], **p)


def _take_transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    (ct,), (x, *indices) = cts, xs
    none: list[Tangent | None] = [None] * len(xs)
    if isinstance(ct, Zero) or not isinstance(x, Unknown):
        return none
    lead = p["lead"]
    sizes = x.type.shape[lead : lead + len(indices)]
    return [scatter_add(ct, *[i for i in indices if isinstance(i, Value)], lead=lead, sizes=sizes), *none[1:]]


def _take_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    x, *indices = xs
    n, lead = size_of(xs, mapped), p["lead"]
    if not any(mapped[1:]):  # the new axis goes behind those that are looked up, and comes back in front
        y = take(moved(x, 0, lead + len(indices)), *indices, lead=lead)
        return (moved(y, indices[0].ndim, 0),)
    indices = [batched(i, m, n) for i, m in zip(indices, mapped[1:], strict=True)]
    if not mapped[0] and not lead:
        return take.all(x, *indices, lead=0)
    return take.all(batched(x, mapped[0], n), *indices, lead=lead + 1)


take = Row(
    name="take", kind="structured", type=_take_type, value=_take_value, jvp=_take_jvp, transpose=_take_transpose, batch=_take_batch,
    arity=2, native="take", level=9, notation="{0}_{{{1}}}", python="{0}[{1}]",
)  # fmt: skip
"""Elements of the first operand at the indices, one integer array per axis after the `lead` shared ones: the shape of the
indices, then the axes that were not looked up."""


def take_along(x: Value, i: Value, axis: int) -> Value:
    """Elements along `axis` at indices that share all other axes with `x`."""
    last = x.ndim - 1
    return moved(take(moved(x, axis, last), moved(i, axis, last), lead=last), last, axis)


def _scatter_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    lead, shape = p["lead"], ts[1].shape
    if ts[0].shape[: len(shape)] != shape:
        raise errors.ShapeError(f"{ts[0]} has not the leading axes of its indices {ts[1]}")
    return (ArrayType(ts[0].dtype, (*shape[:lead], *p["sizes"], *ts[0].shape[len(shape) :])),)


def _scatter_value(x: Array, *indices: Array, lead: int, sizes: tuple[int, ...]) -> Array:
    rank = indices[0].ndim
    y = np.zeros((*x.shape[:lead], *sizes, *x.shape[rank:]), x.dtype)
    if x.size:
        np.add.at(y, _key(x.shape, lead, indices), x)
    return y


def _scatter_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    return (Zero(ys[0].type),) if isinstance(dxs[0], Zero) else scatter_add.all(dxs[0], *xs[1:], **p)


def _scatter_transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    (ct,), (x, *indices) = cts, xs
    none: list[Tangent | None] = [None] * len(xs)
    if isinstance(ct, Zero) or not isinstance(x, Unknown):
        return none
    return [take(ct, *[i for i in indices if isinstance(i, Value)], lead=p["lead"]), *none[1:]]


def _scatter_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    x, *indices = xs
    lead, rank = p["lead"], indices[0].ndim
    if not any(mapped[1:]):
        y = scatter_add(moved(x, 0, rank), *indices, **p)
        return (moved(y, lead + len(p["sizes"]), 0),)
    n = size_of(xs, mapped)
    indices = [batched(i, m, n) for i, m in zip(indices, mapped[1:], strict=True)]
    return scatter_add.all(batched(x, mapped[0], n), *indices, lead=lead + 1, sizes=p["sizes"])


scatter_add = Row(
    name="scatter_add", kind="structured", type=_scatter_type, value=_scatter_value, jvp=_scatter_jvp, arity=2,
    transpose=_scatter_transpose, batch=_scatter_batch, native="scatter_add", notation=r"\sum_{{{1}}} {0}",
)  # fmt: skip
"""Zeros of `sizes` (after the `lead` shared axes) with the elements of the first operand added at the indices."""


# --- indices that order gives: constant between jumps -----------------------------------------------------------------------


def _no_tangent(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    return (Zero(ys[0].type),)


def _arg_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    shape, axis = ts[0].shape, p["axis"]
    if not shape[axis]:
        raise errors.ShapeError(f"{ts[0]} has no extreme along axis {axis}: it is empty")
    return (ArrayType(INT, (*shape[:axis], *shape[axis + 1 :])),)


def _along(row: Any) -> Any:
    """Batching of a row along one axis."""
    return lambda xs, mapped, p: row().all(xs[0], axis=p["axis"] + 1)


argmax = Row(
    name="argmax", kind="flat", type=_arg_type, value=lambda x, *, axis: np.asarray(np.argmax(x, axis)), jvp=_no_tangent,
    batch=_along(lambda: argmax), notation=r"\operatorname{{argmax}} {0}", python="np.argmax({0}, {axis})", native="argmax",
    kink="the first of equals",
)  # fmt: skip
argmin = Row(
    name="argmin", kind="flat", type=_arg_type, value=lambda x, *, axis: np.asarray(np.argmin(x, axis)), jvp=_no_tangent,
    batch=_along(lambda: argmin), notation=r"\operatorname{{argmin}} {0}", python="np.argmin({0}, {axis})", native="argmin",
    kink="the first of equals",
)  # fmt: skip
argsort = Row(
    name="argsort", kind="flat", type=lambda ts, p: (ArrayType(INT, ts[0].shape),), jvp=_no_tangent,
    value=lambda x, *, axis: np.argsort(x, axis, kind="stable"), batch=_along(lambda: argsort), native="argsort",
    notation=r"\operatorname{{argsort}} {0}", python="np.argsort({0}, {axis}, kind='stable')", kink="equals keep their order",
)  # fmt: skip


def _searchsorted_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    a, v = ts
    lead = a.shape[:-1]
    if not a.rank or v.shape[: len(lead)] != lead:
        raise errors.ShapeError(f"{v} cannot be looked up in {a}")
    return (ArrayType(INT, v.shape),)


def _searchsorted_value(a: Array, v: Array, *, side: Any) -> Array:
    if a.ndim == 1:
        return np.asarray(np.searchsorted(a, v, side))
    out = np.empty(v.shape, INT)
    for k in np.ndindex(a.shape[:-1]):
        out[k] = np.searchsorted(a[k], v[k], side)
    return out


def _searchsorted_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    a, v = xs
    if not mapped[0] and a.ndim == 1:
        return searchsorted.all(a, v, **p)
    n = size_of(xs, mapped)
    return searchsorted.all(batched(a, mapped[0], n), batched(v, mapped[1], n), **p)


searchsorted = Row(
    name="searchsorted", kind="flat", type=_searchsorted_type, value=_searchsorted_value, jvp=_no_tangent, batch=_searchsorted_batch,
    arity=2, notation=r"\operatorname{{searchsorted}}({0}, {1})", python="np.searchsorted({0}, {1}, '{side}')", native="searchsorted",
    kink="as `side` says",
)  # fmt: skip
"""How many elements of the sorted last axis of the first operand come before each of the second; leading axes are shared."""
