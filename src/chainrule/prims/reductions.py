"""Extremes and products along axes, and the first-order linear recurrence that products are derived with."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.row import Operand, Row, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Params
from chainrule.ir.types import INT, ArrayType
from chainrule.prims.indexing import take_along
from chainrule.prims.kinds import batched, constant, plus, size_of
from chainrule.prims.kinked import eq
from chainrule.prims.linear import LETTERS, cast, concat, contract, pad, reshape, slice_, spread

Axes = tuple[int, ...]


def _kept(t: ArrayType, axes: Axes) -> tuple[int, ...]:
    return tuple([n for k, n in enumerate(t.shape) if k not in axes])


def _total(x: Value, axes: Axes) -> Value:
    every = LETTERS[: x.ndim]
    return contract(x, spec=f"{every}->{''.join(a for k, a in enumerate(every) if k not in axes)}")


def _on_axes(row: Any) -> Any:
    return lambda xs, mapped, p: row().all(xs[0], axes=tuple([a + 1 for a in p["axes"]]))


# --- extremes ---------------------------------------------------------------------------------------------------------------


def _extreme_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    if any(not ts[0].shape[k] for k in p["axes"]):
        raise errors.ShapeError(f"zero-size array: {ts[0]} has no extreme along axes {p['axes']}")
    return (ArrayType(ts[0].dtype, _kept(ts[0], p["axes"])),)


def _extreme_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """d max = mean of the tangents where the maximum is attained."""
    (x,), (dx,), (y,) = xs, dxs, ys
    if isinstance(dx, Zero):
        return (Zero(y.type),)
    at = cast(eq(x, spread(y, shape=x.shape, axes=p["axes"])), dtype=x.dtype)
    share = at / spread(_total(at, p["axes"]), shape=x.shape, axes=p["axes"])
    return (_total(dx * share, p["axes"]),)


reduce_max = Row(
    name="reduce_max", kind="structured", type=_extreme_type, value=lambda x, *, axes: np.asarray(np.maximum.reduce(x, axes)),
    jvp=_extreme_jvp, batch=_on_axes(lambda: reduce_max), notation=r"\max {0}", python="np.max({0}, {axes})", native="reduce_max",
    kink="equals share the derivative", curvature="convex", monotone=(1,),
)  # fmt: skip
reduce_min = Row(
    name="reduce_min", kind="structured", type=_extreme_type, value=lambda x, *, axes: np.asarray(np.minimum.reduce(x, axes)),
    jvp=_extreme_jvp, batch=_on_axes(lambda: reduce_min), notation=r"\min {0}", python="np.min({0}, {axes})", native="reduce_min",
    kink="equals share the derivative", curvature="concave", monotone=(1,),
)  # fmt: skip


# --- running along an axis ----------------------------------------------------------------------------------------------------


def _along(row: Any) -> Any:
    return lambda xs, mapped, p: row().all(xs[0], axis=p["axis"] + 1, reverse=p["reverse"])


def _run(f: Any, x: Array, axis: int, reverse: bool) -> Array:
    return np.flip(f(np.flip(x, axis), axis), axis) if reverse else f(x, axis)


def _delayed(x: Value, axis: int, first: float, reverse: bool) -> Value:
    """The element before each one along the axis (after it, where reverse), `first` where there is none."""
    n = x.shape[axis]
    if not n:
        return x
    start = tuple([1 if reverse and k == axis else 0 for k in range(x.ndim)])
    stop = tuple([m - 1 if not reverse and k == axis else m for k, m in enumerate(x.shape)])
    part = slice_(x, start=start, stop=stop, step=(1,) * x.ndim)
    one = tuple([1 if k == axis else 0 for k in range(x.ndim)])
    none = (0,) * x.ndim
    if first == 0:
        return pad(part, low=none if reverse else one, high=one if reverse else none, interior=none)
    edge = constant(first, ArrayType(x.dtype, tuple([1 if k == axis else m for k, m in enumerate(x.shape)])))
    return concat(part, edge, axis=axis) if reverse else concat(edge, part, axis=axis)


def _recur_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    if ts[0] != ts[1]:
        raise errors.ShapeError(f"the coefficients of a recurrence are {ts[0]} and {ts[1]}")
    return (ts[0],)


def _recur_value(a: Array, b: Array, *, axis: int, reverse: bool) -> Array:
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    if reverse:
        a, b = a[::-1], b[::-1]
    y = np.array(b)
    if y.size == len(y) and y.dtype == float:  # one recurrence: Python's own numbers are quickest, and round the same
        _recur_numbers(a.reshape(-1), y.reshape(-1))
    else:
        for k in range(1, len(y)):
            y[k] += a[k] * y[k - 1]
    return np.moveaxis(y[::-1] if reverse else y, 0, axis)


def _recur_numbers(a: Array, y: Array) -> None:
    last, out = 0.0, list[float]()
    for c, d in zip(a.tolist(), y.tolist(), strict=True):
        last = c * last + d if out else d
        out.append(last)
    y[:] = out


def _recur_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """y_k = a_k y_{k-1} + b_k  gives  dy_k = a_k dy_{k-1} + (da_k y_{k-1} + db_k)."""
    a, (da, db), (y,) = xs[0], dxs, ys
    if not isinstance(da, Zero):
        da = da * _delayed(y, p["axis"], 0, p["reverse"])
    d = plus(da, db)
    return (Zero(y.type) if isinstance(d, Zero) else recur(a, d, **p),)


def _recur_transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    (ct,), (a, b) = cts, xs
    if isinstance(ct, Zero) or not isinstance(b, Unknown):
        return [None, None]
    if not isinstance(a, Value):
        raise errors.NotDifferentiableError("a recurrence is not linear in its coefficients and its terms together")
    axis, reverse = p["axis"], p["reverse"]
    return [None, recur(_delayed(a, axis, 0, not reverse), ct, axis=axis, reverse=not reverse)]


def _recur_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    n = size_of(xs, mapped)
    ins = [batched(x, m, n) for x, m in zip(xs, mapped, strict=True)]
    return recur.all(*ins, axis=p["axis"] + 1, reverse=p["reverse"])


recur = Row(
    name="recur", kind="structured", type=_recur_type, value=_recur_value, jvp=_recur_jvp, transpose=_recur_transpose,
    batch=_recur_batch, arity=2, native="recur", notation=r"\left(y_k = {0}_k\, y_{{k-1}} + {1}_k\right)",
)  # fmt: skip
"""First-order linear recurrence along `axis`: y_k = a_k y_{k-1} + b_k with nothing before the first (after the last, where
`reverse`); a_0 is never read."""


def _cumprod_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """y_k = x_k y_{k-1}  gives  dy_k = x_k dy_{k-1} + dx_k y_{k-1}: no division, so zeros are nothing special."""
    (x,), (dx,), (y,) = xs, dxs, ys
    if isinstance(dx, Zero):
        return (Zero(y.type),)
    return recur.all(x, dx * _delayed(y, p["axis"], 1, p["reverse"]), **p)


cumprod = Row(
    name="cumprod", kind="structured", type=lambda ts, p: (ts[0],), jvp=_cumprod_jvp, batch=_along(lambda: cumprod),
    value=lambda x, *, axis, reverse: _run(lambda z, k: np.cumprod(z, k, dtype=z.dtype), x, axis, reverse),
    native="cumprod", notation=r"\operatorname{{cumprod}}({0})", python="np.cumprod({0}, {axis})",
)  # fmt: skip
"""Products of the first 1, 2, ... elements along `axis`, of the last ones where `reverse`."""


def last_axis(x: Value, axes: Axes) -> Value:
    """These axes as one last axis."""
    every = LETTERS[: x.ndim]
    order = "".join(a for k, a in enumerate(every) if k not in axes) + "".join(every[k] for k in axes)
    if order != every:
        x = contract(x, spec=f"{every}->{order}")
    rank = x.ndim - len(axes)
    return reshape(x, shape=(*x.shape[:rank], prod(x.shape[rank:]))) if len(axes) != 1 else x


def _prod_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """d prod = sum_k dx_k prod_{j<k} x_j prod_{j>k} x_j: no division, so zeros are nothing special."""
    (x,), (dx,), (y,) = xs, dxs, ys
    if isinstance(dx, Zero):
        return (Zero(y.type),)
    x, dx = last_axis(x, p["axes"]), last_axis(dx, p["axes"])
    axis = x.ndim - 1
    before = _delayed(cumprod(x, axis=axis, reverse=False), axis, 1, False)
    after = _delayed(cumprod(x, axis=axis, reverse=True), axis, 1, True)
    return (_total(dx * (before * after), (axis,)),)


reduce_prod = Row(
    name="reduce_prod", kind="structured", type=lambda ts, p: (ArrayType(ts[0].dtype, _kept(ts[0], p["axes"])),),
    value=lambda x, *, axes: np.asarray(np.multiply.reduce(x, axes, x.dtype)), jvp=_prod_jvp, batch=_on_axes(lambda: reduce_prod),
    notation=r"\prod {0}", level=5, python="np.prod({0}, {axes})", native="reduce_prod",
)  # fmt: skip


# --- running extremes ---------------------------------------------------------------------------------------------------------


def _record_value(y: Array, *, axis: int) -> Array:
    y = np.moveaxis(y, axis, 0)
    place = np.zeros(y.shape, INT)
    place[1:] = np.where(y[1:] != y[:-1], np.arange(1, len(y)).reshape(-1, *[1] * (y.ndim - 1)), 0)
    return np.moveaxis(np.maximum.accumulate(place, 0), 0, axis)


record = Row(
    name="record", kind="flat", type=lambda ts, p: (ArrayType(INT, ts[0].shape),), value=_record_value, native="record",
    jvp=lambda xs, dxs, ys, p: (Zero(ys[0].type),), batch=lambda xs, mapped, p: record.all(xs[0], axis=p["axis"] + 1),
    notation=r"\operatorname{{record}}({0})", kink="the first of equals",
)  # fmt: skip
"""Where the running extreme along `axis` last changed."""


def _running_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """The tangent of the element that set the record."""
    (dx,), (y,), axis = dxs, ys, p["axis"]
    return (Zero(y.type) if isinstance(dx, Zero) else take_along(dx, record(y, axis=axis), axis),)


cummax = Row(
    name="cummax", kind="structured", type=lambda ts, p: (ts[0],), value=lambda x, *, axis: np.maximum.accumulate(x, axis),
    jvp=_running_jvp, batch=lambda xs, mapped, p: cummax.all(xs[0], axis=p["axis"] + 1), native="cummax",
    notation=r"\operatorname{{cummax}}({0})", python="np.maximum.accumulate({0}, {axis})", kink="the first of equals",
)  # fmt: skip
cummin = Row(
    name="cummin", kind="structured", type=lambda ts, p: (ts[0],), value=lambda x, *, axis: np.minimum.accumulate(x, axis),
    jvp=_running_jvp, batch=lambda xs, mapped, p: cummin.all(xs[0], axis=p["axis"] + 1), native="cummin",
    notation=r"\operatorname{{cummin}}({0})", python="np.minimum.accumulate({0}, {axis})", kink="the first of equals",
)  # fmt: skip
