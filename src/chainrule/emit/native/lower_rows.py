"""Rows that move elements: views where strides can say it, parts put together, and operations with loops of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.ir.graph import Eqn

from .lower import LOWER, Lowering, places, reshaped, squeezed
from .nodes import Access, Assemble, Num, Operand, Part, Special, contiguous, whole

__all__: list[str] = []


def _shape(e: Eqn) -> tuple[int, ...]:
    return squeezed(e.out.type.shape)


def _cast(low: Lowering, e: Eqn) -> None:
    low.env[e.out] = low.cast(low.operand(e.ins[0]), np.dtype(e.params["dtype"]).name)


def _spread(low: Lowering, e: Eqn) -> None:
    x, axes = low.operand(e.ins[0]), e.params["axes"]
    if isinstance(x, Num):
        low.env[e.out] = Num(x.value, x.dtype, _shape(e))
        return
    strides, own = list[int](), iter(x.strides)
    for k, n in enumerate(e.params["shape"]):
        if n != 1:
            strides.append(0 if k in axes else next(own))
    low.env[e.out] = Access(x.base, _shape(e), tuple(strides), x.offset)


def _reshape(low: Lowering, e: Eqn) -> None:
    x, shape = low.operand(e.ins[0]), _shape(e)
    if isinstance(x, Num):
        low.env[e.out] = Num(x.value, x.dtype, shape)
    elif x.shape == shape:
        low.env[e.out] = x
    else:
        y = reshaped(x, shape) or reshaped(low.copy(x), shape)
        assert y is not None
        low.env[e.out] = y


def _viewed(low: Lowering, e: Eqn, view: Callable[[int, int, int], tuple[int, int]]) -> None:
    """A view that, per axis of the operand, moves the start and multiplies the stride: ``view(axis, size, stride)``."""
    x, shape = low.operand(e.ins[0]), e.ins[0].type.shape
    if isinstance(x, Num):
        low.env[e.out] = Num(x.value, x.dtype, _shape(e))
        return
    offset, strides = x.offset, list[int]()
    for axis, (n, place) in enumerate(zip(shape, places(shape), strict=True)):
        start, step = view(axis, n, x.strides[place] if place >= 0 else 0)
        offset += start
        if e.out.type.shape[axis] != 1:
            strides.append(step)
    low.env[e.out] = Access(x.base, _shape(e), tuple(strides), offset)


def _slice(low: Lowering, e: Eqn) -> None:
    start, step = e.params["start"], e.params["step"]
    _viewed(low, e, lambda k, n, s: (start[k] * s, step[k] * s))


def _flip(low: Lowering, e: Eqn) -> None:
    axes = e.params["axes"]
    _viewed(low, e, lambda k, n, s: ((n - 1) * s, -s) if k in axes else (0, s))


def _strides_in(shape: Sequence[int]) -> list[int]:
    """Strides of an array per axis, those of length 1 included."""
    return list(contiguous(shape))


def _pad(low: Lowering, e: Eqn) -> None:
    p, x = e.params, low.operand(e.ins[0])
    strides = _strides_in(e.out.type.shape)
    offset = sum(a * s for a, s in zip(p["low"], strides, strict=True))
    steps = tuple([(k + 1) * s for k, s, n in zip(p["interior"], strides, e.ins[0].type.shape, strict=True) if n != 1])
    out = low.buffer(x.dtype, _shape(e))
    low.block.nodes.append(Assemble(out, 0, (Part(x, steps, offset),) if 0 not in x.shape else ()))
    low.env[e.out] = whole(out)


def _concat(low: Lowering, e: Eqn) -> None:
    axis, strides, at = e.params["axis"], _strides_in(e.out.type.shape), 0
    parts: list[Part] = []
    for a in e.ins:
        steps = tuple([s for s, n in zip(strides, a.type.shape, strict=True) if n != 1])
        if 0 not in a.type.shape:
            parts.append(Part(low.operand(a), steps, at * strides[axis]))
        at += a.type.shape[axis]
    out = low.buffer(e.out.type.dtype.name, _shape(e))
    low.block.nodes.append(Assemble(out, None, tuple(parts)))
    low.env[e.out] = whole(out)


def _reduction(op: str) -> Callable[[Lowering, Eqn], None]:
    def lower(low: Lowering, e: Eqn) -> None:
        place = places(e.ins[0].type.shape)
        axes = sorted(place[k] for k in e.params["axes"] if place[k] >= 0)
        low.env[e.out] = low.reduce(op, low.operand(e.ins[0]), axes)

    return lower


def _special(low: Lowering, kind: str, e: Eqn, ins: Sequence[Operand], params: dict[str, Any]) -> None:
    outs = tuple([low.buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in e.outs])
    low.block.nodes.append(Special(kind, outs, tuple(ins), params))
    low.env.update(zip(e.outs, map(whole, outs), strict=True))


def _along(kind: str) -> Callable[[Lowering, Eqn], None]:
    """Rows that run along one axis: outer x axis x inner, the operands contiguous."""

    def lower(low: Lowering, e: Eqn) -> None:
        t, axis = e.ins[0].type, e.params["axis"]
        ins = [low.memory(low.operand(a)) for a in e.ins]
        sizes = [int(np.prod(s, dtype=int)) for s in (t.shape[:axis], t.shape[axis], t.shape[axis + 1 :])]
        _special(low, kind, e, ins, {"sizes": sizes, "reverse": e.params.get("reverse", False)})

    return lower


def _take(low: Lowering, e: Eqn) -> None:
    """Sizes: the shared axes, the axes that are looked up, and what is left of them together."""
    lead, t = e.params["lead"], e.ins[0].type
    n = len(e.ins) - 1
    index = e.ins[1].type.shape
    sizes = {
        "lead": int(np.prod(t.shape[:lead], dtype=int)),
        "looked": t.shape[lead : lead + n],
        "points": int(np.prod(index[lead:], dtype=int)),
        "inner": int(np.prod(t.shape[lead + n :], dtype=int)),
    }
    _special(low, "take", e, [low.memory(low.operand(a)) for a in e.ins], sizes)


def _scatter(low: Lowering, e: Eqn) -> None:
    lead, index, t = e.params["lead"], e.ins[1].type.shape, e.ins[0].type
    sizes = {
        "lead": int(np.prod(t.shape[:lead], dtype=int)),
        "looked": e.params["sizes"],
        "points": int(np.prod(index[lead:], dtype=int)),
        "inner": int(np.prod(t.shape[len(index) :], dtype=int)),
    }
    _special(low, "scatter_add", e, [low.memory(low.operand(a)) for a in e.ins], sizes)


def _random_bits(low: Lowering, e: Eqn) -> None:
    keys = int(np.prod(e.ins[0].type.shape[:-1], dtype=int))
    n = int(np.prod(e.params["shape"], dtype=int))
    _special(low, "random_bits", e, [low.memory(low.operand(e.ins[0]))], {"keys": keys, "words": n})


LOWER.update(
    {
        "cast": _cast, "spread": _spread, "reshape": _reshape, "slice": _slice, "flip": _flip, "pad": _pad, "concat": _concat,
        "reduce_max": _reduction("max"), "reduce_min": _reduction("min"), "reduce_prod": _reduction("prod"),
        "take": _take, "scatter_add": _scatter, "random_bits": _random_bits,
        **{n: _along(n) for n in ("cumsum", "cumprod", "cummax", "cummin", "record", "recur", "argmax", "argmin")},
    }
)  # fmt: skip
