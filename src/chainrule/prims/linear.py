"""Linear and multilinear algebra: the only rows that need a transpose.

Everything that multiplies and sums is `contract`, an Einstein sum, so its transposes and its batching are rules about
letters: to transpose it, swap the operand's letters with the result's; to batch it, write one more letter in front.
Its transpose partner is `spread`, which repeats an array along new axes; all broadcasting is written with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.row import Operand, Row, Unknown
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Params
from chainrule.ir.types import ArrayType
from chainrule.prims.einsum import plan
from chainrule.prims.kinds import batched, linear, loop_type, multilinear, size_of

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _shape_of(x: Operand) -> tuple[int, ...]:
    return x.type.shape


def _known(x: Operand) -> Value:
    if isinstance(x, Unknown):
        raise errors.NotDifferentiableError("a product of two unknowns is not linear")
    return x


# --- sums and products, element by element ----------------------------------------------------------------------------


def _add_transpose(ct: Value, xs: Sequence[Operand], p: Params) -> Sequence[Value | None]:
    return [ct if isinstance(x, Unknown) else None for x in xs]


def _sub_transpose(ct: Value, xs: Sequence[Operand], p: Params) -> Sequence[Value | None]:
    return [
        ct if isinstance(xs[0], Unknown) else None,
        neg(ct) if isinstance(xs[1], Unknown) else None,
    ]


add = linear(
    "add", np.add, _add_transpose, "{0} + {1}", level=3, type=loop_type(np.add), arity=2, pointwise=True,
    python="{0} + {1}", native="add", curvature="affine", monotone=(1, 1),
)  # fmt: skip
sub = linear(
    "sub", np.subtract, _sub_transpose, "{0} - {1}", level=3, type=loop_type(np.subtract), arity=2, pointwise=True,
    python="{0} - {1}", native="sub", curvature="affine", monotone=(1, -1),
)  # fmt: skip
neg = linear(
    "neg", np.negative, lambda ct, xs, p: [neg(ct)], "-{0}", level=4, type=loop_type(np.negative), pointwise=True,
    python="-{0}", native="neg", curvature="affine", monotone=(-1,),
)  # fmt: skip
mul = multilinear(
    "mul", np.multiply, lambda ct, xs, i, p: mul(ct, _known(xs[1 - i])), r"{0} \odot {1}", level=5,
    type=loop_type(np.multiply), arity=2, pointwise=True, python="{0} * {1}", native="mul",
)  # fmt: skip


# --- cast -----------------------------------------------------------------------------------------------------------------


def _cast_value(x: Array, *, dtype: Any) -> Array:
    return np.asarray(x).astype(dtype, copy=False)


cast = linear(
    "cast", _cast_value, lambda ct, xs, p: [cast(ct, dtype=xs[0].type.dtype)], "{0}", level=9,
    type=lambda ts, p: (ArrayType(p["dtype"], ts[0].shape),), pointwise=True, python="np.asarray({0}).astype(np.{dtype})", native="cast",
    curvature="affine", monotone=(1,),
)  # fmt: skip


# --- contract: sum, dot, matmul, trace, outer, permute ------------------------------------------------------------------


def letters_of(p: Params) -> tuple[list[str], str]:
    """Letters of each operand, letters of the result."""
    ins, out = p["spec"].split("->")
    return ins.split(","), out


def _contract_value(*xs: Array, spec: str) -> Array:
    return plan(spec, tuple([x.shape for x in xs]))(*xs)


def _contract_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    return _contract_result(p["spec"], tuple(ts))


@lru_cache(maxsize=4096)
def _contract_result(spec: str, ts: tuple[ArrayType, ...]) -> Sequence[ArrayType]:
    ins, out = letters_of({"spec": spec})
    size: dict[str, int] = {}
    for t, axes in zip(ts, ins, strict=True):
        if t.rank != len(axes):
            raise errors.ShapeError.contraction([t.shape for t in ts])
        for axis, n in zip(axes, t.shape, strict=True):
            if size.setdefault(axis, n) != n:
                raise errors.ShapeError.contraction([t.shape for t in ts])
    return (ArrayType(ts[0].dtype, tuple([size[a] for a in out])),)


def _contract_transpose(ct: Value, xs: Sequence[Operand], i: int, p: Params) -> Value:
    spec, lost = _contract_back(p["spec"], i)
    rest = [_known(x) for j, x in enumerate(xs) if j != i]
    y = contract(ct, *rest, spec=spec) if spec else ct
    return spread(y, shape=_shape_of(xs[i]), axes=lost) if lost else y


@lru_cache(maxsize=4096)
def _contract_back(spec: str, i: int) -> tuple[str, tuple[int, ...]]:
    """The product that carries a cotangent back to operand i ("" for none), and the axes it must be repeated along."""
    ins, out = letters_of({"spec": spec})
    rest = [s for j, s in enumerate(ins) if j != i]
    seen = set(out).union(*rest)
    found = "".join(a for a in ins[i] if a in seen)
    back = f"{','.join([out, *rest])}->{found}"
    return "" if back == f"{out}->{out}" else back, tuple(k for k, a in enumerate(ins[i]) if a not in seen)


def _contract_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    ins, out = letters_of(p)
    new = next(a for a in reversed(LETTERS) if a not in p["spec"])
    ins = [new + s if m else s for s, m in zip(ins, mapped, strict=True)]
    return contract.all(*xs, spec=f"{','.join(ins)}->{new}{out}")


contract = multilinear(
    "contract", _contract_value, _contract_transpose, r"\langle {*} \rangle", type=_contract_type, batch=_contract_batch,
    python="np.einsum('{spec}', {*})", arity=2, native="contract",
)  # fmt: skip
"""Einstein sum of one or two operands, no letter twice in one of them: ``contract(a, b, spec="ij,jk->ik")``."""


# --- spread: broadcasting, the transpose of summing -----------------------------------------------------------------------


def _spread_value(x: Array, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Left smaller than its type: NumPy's broadcasting does the rest where it is used."""
    n = len(axes)
    if axes == tuple(range(n)):
        return x
    return np.asarray(x)[tuple([None if k in axes else slice(None) for k in range(len(shape))])]


def _spread_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    shape, axes = p["shape"], p["axes"]
    kept = tuple([n for k, n in enumerate(shape) if k not in axes])
    if kept != ts[0].shape:
        raise errors.ShapeError(f"{ts[0]} cannot be repeated along axes {axes} to give shape {shape}")
    return (ArrayType(ts[0].dtype, shape),)


def _spread_transpose(ct: Value, xs: Sequence[Operand], p: Params) -> Sequence[Value | None]:
    every = LETTERS[: ct.ndim]
    kept = "".join(a for k, a in enumerate(every) if k not in p["axes"])
    return [contract(ct, spec=f"{every}->{kept}")]


def _spread_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    return spread.all(xs[0], shape=(xs[0].shape[0], *p["shape"]), axes=tuple([a + 1 for a in p["axes"]]))


spread = linear(
    "spread", _spread_value, _spread_transpose, r"\mathbf{{1}}\,{0}", level=5, type=_spread_type, batch=_spread_batch,
    python="np.broadcast_to(np.expand_dims({0}, {axes}), {shape})", native="spread", curvature="affine", monotone=(1,),
)  # fmt: skip
"""Repeat along new axes, `axes` counted in the result."""


# --- reshape, slice, pad, flip, concat -------------------------------------------------------------------------------------


def _reshape_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    t = ArrayType(ts[0].dtype, p["shape"])
    if t.size != ts[0].size:
        raise errors.ShapeError.reshaping(ts[0].shape, p["shape"])
    return (t,)


reshape = linear(
    "reshape", lambda x, *, shape: np.reshape(x, shape), lambda ct, xs, p: [reshape(ct, shape=_shape_of(xs[0]))],
    r"\operatorname{{reshape}}({0})", type=_reshape_type, python="np.reshape({0}, {shape})", native="reshape",
    batch=lambda xs, mapped, p: reshape.all(xs[0], shape=(xs[0].shape[0], *p["shape"])), curvature="affine", monotone=(1,),
)  # fmt: skip


def _cut(p: Params) -> tuple[slice, ...]:
    return tuple([slice(a, b, c) for a, b, c in zip(p["start"], p["stop"], p["step"], strict=True)])


def _slice_value(x: Array, **p: Any) -> Array:
    return x[_cut(p)]


def _slice_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    shape: list[int] = []
    for n, a, b, c in zip(ts[0].shape, p["start"], p["stop"], p["step"], strict=True):
        if not (0 <= a <= b <= n and c > 0):
            raise errors.ShapeError(f"the slice {a}:{b}:{c} does not lie in an axis of size {n}")
        shape.append(-((a - b) // c))
    return (ArrayType(ts[0].dtype, tuple(shape)),)


def _slice_transpose(ct: Value, xs: Sequence[Operand], p: Params) -> Sequence[Value | None]:
    low, step = p["start"], p["step"]
    ends = [a + (k - 1) * c + 1 if k else a for a, c, k in zip(low, step, ct.shape, strict=True)]
    high = tuple([n - end for n, end in zip(_shape_of(xs[0]), ends, strict=True)])
    return [pad(ct, low=low, high=high, interior=tuple([c - 1 for c in step]))]


def _slice_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    return slice_.all(xs[0], start=(0, *p["start"]), stop=(xs[0].shape[0], *p["stop"]), step=(1, *p["step"]))


def _pad_value(x: Array, *, low: Sequence[int], high: Sequence[int], interior: Sequence[int]) -> Array:
    (t,) = _pad_type((ArrayType(x.dtype, x.shape),), {"low": low, "high": high, "interior": interior})
    y = np.zeros(t.shape, t.dtype)
    if x.size:
        y[_filled(x.shape, low, interior)] = x
    return y


def _filled(shape: Sequence[int], low: Sequence[int], interior: Sequence[int]) -> tuple[slice, ...]:
    return tuple([slice(a, a + (n - 1) * (k + 1) + 1, k + 1) for n, a, k in zip(shape, low, interior, strict=True)])


def _pad_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    sizes = zip(ts[0].shape, p["low"], p["high"], p["interior"], strict=True)
    return (ArrayType(ts[0].dtype, tuple([a + n + max(n - 1, 0) * k + b for n, a, b, k in sizes])),)


def _pad_transpose(ct: Value, xs: Sequence[Operand], p: Params) -> Sequence[Value | None]:
    low, step = p["low"], tuple([k + 1 for k in p["interior"]])
    stop = tuple([a + (n - 1) * c + 1 if n else a for n, a, c in zip(_shape_of(xs[0]), low, step, strict=True)])
    return [slice_(ct, start=low, stop=stop, step=step)]


def _pad_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    return pad.all(xs[0], low=(0, *p["low"]), high=(0, *p["high"]), interior=(0, *p["interior"]))


slice_ = linear(
    "slice", _slice_value, _slice_transpose, "{0}_{{{start}:{stop}}}", level=9, type=_slice_type, batch=_slice_batch,
    python="{0}[{cut}]", native="slice", curvature="affine", monotone=(1,),
)  # fmt: skip
"""Every `step`-th element from `start` up to `stop`, per axis; steps are positive."""
pad = linear(
    "pad", _pad_value, _pad_transpose, r"\operatorname{{pad}}({0})", type=_pad_type, batch=_pad_batch, native="pad",
    curvature="affine", monotone=(1,),
)  # fmt: skip
"""Zeros before, after and between the elements, per axis."""
flip = linear(
    "flip", lambda x, *, axes: np.flip(x, axes), lambda ct, xs, p: [flip(ct, **p)], r"\operatorname{{flip}}({0})",
    type=lambda ts, p: (ts[0],), python="np.flip({0}, {axes})", native="flip", curvature="affine", monotone=(1,),
    batch=lambda xs, mapped, p: flip.all(xs[0], axes=tuple([a + 1 for a in p["axes"]])),
)  # fmt: skip


def _concat_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    axis, first = p["axis"], ts[0]
    for t in ts[1:]:
        if t.rank != first.rank or any(a != b for k, (a, b) in enumerate(zip(t.shape, first.shape, strict=True)) if k != axis):
            raise errors.ShapeError.joining([t.shape for t in ts], axis)
    total = sum(t.shape[axis] for t in ts)
    return (ArrayType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :])),)


def _concat_transpose(ct: Value, xs: Sequence[Operand], p: Params) -> Sequence[Value | None]:
    axis, at = p["axis"], 0
    out: list[Value | None] = []
    for x in xs:
        n = _shape_of(x)[axis]
        start = tuple([at if k == axis else 0 for k in range(ct.ndim)])
        stop = tuple([at + n if k == axis else m for k, m in enumerate(ct.shape)])
        out.append(slice_(ct, start=start, stop=stop, step=(1,) * ct.ndim) if isinstance(x, Unknown) else None)
        at += n
    return out


def _concat_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    n = size_of(xs, mapped)
    return concat.all(*[batched(x, m, n) for x, m in zip(xs, mapped, strict=True)], axis=p["axis"] + 1)


concat = linear(
    "concat", lambda *xs, axis: np.concatenate(xs, axis), _concat_transpose, r"\left[{*}\right]", level=9, type=_concat_type,
    batch=_concat_batch, python="np.concatenate([{*}], {axis})", arity=2, native="concat", curvature="affine", monotone=(1, 1),
)  # fmt: skip
"""Arrays end to end along `axis`."""


# --- cumulative sums ---------------------------------------------------------------------------------------------------------


def _cumsum_value(x: Array, *, axis: int, reverse: bool) -> Array:
    return np.flip(np.cumsum(np.flip(x, axis), axis, dtype=x.dtype), axis) if reverse else np.cumsum(x, axis, dtype=x.dtype)


cumsum = linear(
    "cumsum", _cumsum_value, lambda ct, xs, p: [cumsum(ct, axis=p["axis"], reverse=not p["reverse"])],
    r"\operatorname{{cumsum}}({0})", type=lambda ts, p: (ts[0],), native="cumsum",
    batch=lambda xs, mapped, p: cumsum.all(xs[0], axis=p["axis"] + 1, reverse=p["reverse"]), curvature="affine", monotone=(1,),
)  # fmt: skip
"""Sums of the first 1, 2, ... elements along `axis`, from the end where `reverse`."""

ROWS: tuple[Row, ...] = (add, sub, neg, mul, cast, contract, spread, reshape, slice_, pad, flip, concat, cumsum)
