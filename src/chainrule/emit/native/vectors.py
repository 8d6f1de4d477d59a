"""Parts of vectors in memory, and reductions of a vector to a number in a fixed order.

A row whose length is no multiple of the vector ends in a part of it. The part is moved in powers of two, not under a mask:
masked stores are slow on some processors and loops of branches on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .builder import I8, Function, Type, Val
from .math import FUNCTIONS

__all__ = ["combine", "in_blocks", "load", "load_strided", "memory_type", "neutral", "store", "store_strided", "tree"]


def memory_type(type_: Type) -> Type:
    """How a type lies in memory: a boolean is a byte."""
    return I8.of(type_.lanes) if type_.elem == "i1" else type_


def _from_memory(v: Val, type_: Type) -> Val:
    return v.ne(0) if type_.elem == "i1" else v


def _to_memory(v: Val) -> Val:
    return v.f.cast("zext", v, I8.of(v.type.lanes)) if v.type.elem == "i1" else v


def _pieces(lanes: int, count: int) -> list[tuple[int, int]]:
    """(start, length) of powers of two that make up the first `count` of `lanes`."""
    out: list[tuple[int, int]] = []
    start, size = 0, lanes
    while start < count:
        while size > count - start:
            size //= 2
        out.append((start, size))
        start += size
    return out


def load(pointer: Val, type_: Type, count: int | None = None) -> Val:
    """The first `count` lanes from memory (all of them if absent); the others are zero, and their memory is not touched."""
    f, memory = pointer.f, memory_type(type_)
    if not type_.lanes or count is None or count >= type_.lanes:
        return _from_memory(f.load(pointer, memory), type_)
    lanes, whole = type_.lanes, f.const(0, memory)
    for start, size in _pieces(lanes, count):
        piece = memory.of(size if size > 1 else 0)
        v = f.load(f.offset(pointer, start, piece), piece)
        if size == 1:
            whole = f.insert(whole, v, start)
        else:
            wide = f.shuffle(v, None, [k if k < size else -1 for k in range(lanes)])
            whole = f.shuffle(whole, wide, [lanes + k - start if start <= k < start + size else k for k in range(lanes)])
    return _from_memory(whole, type_)


def store(value: Val, pointer: Val, count: int | None = None) -> None:
    """Write the first `count` lanes (all of them if absent); memory beyond is not touched."""
    f, v = value.f, _to_memory(value)
    lanes = v.type.lanes
    if not lanes or count is None or count >= lanes:
        f.store(v, pointer)
        return
    for start, size in _pieces(lanes, count):
        piece = f.extract(v, start) if size == 1 else f.shuffle(v, None, range(start, start + size))
        f.store(piece, f.offset(pointer, start, v.type))


def load_strided(pointer: Val, stride: int, type_: Type, count: int | None = None) -> Val:
    """Lanes that lie `stride` elements apart."""
    f, memory = pointer.f, memory_type(type_)
    whole = f.const(0, memory)
    for lane in range(min(count or type_.lanes, type_.lanes)):
        whole = f.insert(whole, f.load(f.offset(pointer, lane * stride, memory), memory.scalar), lane)
    return _from_memory(whole, type_)


def store_strided(value: Val, pointer: Val, stride: int, count: int | None = None) -> None:
    """Write lanes `stride` elements apart."""
    f, v = value.f, _to_memory(value)
    for lane in range(min(count or v.type.lanes, v.type.lanes)):
        f.store(f.extract(v, lane), f.offset(pointer, lane * stride, v.type))


# reductions ----------------------------------------------------------------------------------------------------------

_COMBINE: dict[str, Callable[[Val, Val], Val]] = {
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "max": FUNCTIONS["maximum"],
    "min": FUNCTIONS["minimum"],
    "any": lambda a, b: a | b,
    "all": lambda a, b: a & b,
}


def combine(op: str, a: Val, b: Val) -> Val:
    """One step of a reduction: `sum`, `prod`, `max`, `min`, `any` or `all`."""
    return _COMBINE[op](a, b)


def neutral(op: str, like: Val) -> Val:
    """The value that a reduction starts from."""
    t = like.type
    if op in ("max", "min"):
        if t.is_float:
            return like.like(float("-inf") if op == "max" else float("inf"))
        top = 2 ** (t.bits - 1)
        return like.like(-top if op == "max" else top - 1)
    return like.like({"sum": 0, "prod": 1, "any": 0, "all": 1}[op])


def only(op: str, v: Val, count: int | None) -> Val:
    """The first `count` lanes of v, the others neutral."""
    if count is None or not v.type.lanes or count >= v.type.lanes:
        return v
    # A shuffle, not a select: of `select(mask, x / y, 0)` with y = 0 in the lanes that are left out, LLVM 22 makes NaN.
    lanes = v.type.lanes
    return v.f.shuffle(v, neutral(op, v), [k if k < count else lanes + k for k in range(lanes)])


_BLOCK = 256


def in_blocks(
    f: Function, whole: int, step: int, body: Callable[[Val, list[Val]], list[Val]], zeros: list[Val], ops: Sequence[str]
) -> list[Val]:
    """`for i in range(0, whole, step): state = body(i, state)` from `zeros`; long sums in blocks, each from 0.

    So rounding errors grow with the length of a block and the number of blocks, not with their product.
    """
    span = step * _BLOCK
    blocks = whole // span * span if whole >= 2 * span and "sum" in ops else 0

    def one(i: Val, old: list[Val]) -> list[Val]:
        return [combine(op, a, b) for op, a, b in zip(ops, old, f.loop(i, i + span, step, body, zeros), strict=True)]

    return f.loop(blocks, whole, step, body, f.loop(0, blocks, span, one, zeros))


def tree(op: str, parts: Sequence[Val]) -> Val:
    """Vectors to one number: neighbours first, then halves, in the same order on every machine."""
    level = list(parts)
    while len(level) > 1:
        pairs = [combine(op, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    v, f = level[0], level[0].f
    lanes = v.type.lanes
    while lanes > 1:
        lanes //= 2
        v = combine(op, f.shuffle(v, None, range(lanes)), f.shuffle(v, None, range(lanes, 2 * lanes)))
    return f.extract(v, 0) if v.type.lanes else v
