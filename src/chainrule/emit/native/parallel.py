"""Work in shares for the pool of threads. The shares depend on the sizes alone, so the bits do not depend on the threads.

What several shares would add to lies once per share; the copies are added in their order when all are done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from . import gemm, loops
from .builder import I64, PTR, Function, Type, Val
from .call import POOL_RUN, POOL_STATE
from .costs import Cost, lanes
from .kernels import Built, Start, merging, neutral
from .loops import TYPES, Kernel, Stage, Step
from .target import Target
from .vectors import memory_type

if TYPE_CHECKING:
    from .write import Writer

__all__ = ["Shares", "bounds", "copy_shares", "kernel_shares", "product_shares", "share", "write_kernel", "write_product"]

_WORTH, _WORTH_PRODUCT = 20_000, 8_000  # ns of work from which it is shared: what is little lies in the cache of one processor
_PIECE = 4_000  # ns of work of one share
_MOST = 16
_MOVED, _DONE = 12.0, 12.0  # bytes and operations per ns


@dataclass(frozen=True)
class Shares:
    """How a pass is shared: along the rows of `kernel`, or along its only axis; `slots` are what each share keeps apart."""

    kernel: Kernel
    parts: int
    slots: dict[str, int]  # bytes of one copy, by operand

    @property
    def line(self) -> bool:
        return len(self.kernel.shape) == 1


def _parts(ns: float, most: int, worth: int = _WORTH) -> int:
    return 0 if ns < worth else min(max(int(ns // _PIECE), 2), _MOST, most)


def kernel_shares(b: Built, c: Cost) -> Shares | None:
    """The shares of a pass over memory, if it is worth it and can be."""
    kernel = loops.collapse(b.kernel)
    if len(kernel.shape) == 1 and not _divisible(kernel):
        return None
    ns = max(c.moved / _MOVED, c.flops / _DONE / lanes(b))
    rows = next(iter(kernel.shape))
    parts = _parts(ns, rows if len(kernel.shape) > 1 else rows // 512)
    if parts < 2:
        return None
    slots = {name: n * np.dtype(dtype).itemsize for name, (dtype, n) in b.scratch.items()}
    if len(kernel.shape) == 1 and kernel.stages:
        slots |= dict.fromkeys([name for _, name in kernel.stages[0].row_stores], 8)
    for s in b.starts:
        if kernel.operands[s.name].strides[:1] == (0,):
            slots[s.name] = s.buffer.size * np.dtype(s.buffer.dtype).itemsize
    return Shares(kernel, parts, {k: _rounded(v) for k, v in slots.items()})


def _rounded(size: int) -> int:
    return -(-max(size, 1) // 64) * 64


def _divisible(k: Kernel) -> bool:
    """One axis, one pass, nothing done with its sums but storing them."""
    if len(k.stages) != 1:
        return False
    (s,) = k.stages
    sums = {r.out for r in s.reduces}
    return not (s.row_steps or s.row_adds) and all(v in sums for v, _ in s.row_stores)


def product_shares(p: gemm.Product, batch: int, target: Target) -> int:
    """The shares of a product, or of a batch of them; 0 if it is done in one piece."""
    ns = 2.0 * p.m * p.n * p.k * batch / (50 if p.dtype.bits == 64 else 100)
    return _parts(ns, batch if batch > 1 else gemm.row_blocks(target, p), _WORTH_PRODUCT)


def copy_shares(moved: int, most: int) -> int:
    """The shares of a copy of so many bytes; 0 if it is done in one piece."""
    return _parts(moved / _MOVED, most)


def strip_shares(p: gemm.Product, target: Target) -> int:
    """The shares of a product that copies B strip by strip; at least 1."""
    ns = 2.0 * p.m * p.n * p.k / (50 if p.dtype.bits == 64 else 100)
    return max(_parts(ns, gemm.strips(target, p), _WORTH_PRODUCT), 1)


# --- writing ----------------------------------------------------------------------------------------------------------------


def share(w: Writer, parts: int, addresses: Mapping[str, Val], body: Callable[[Function, dict[str, Val], Val], None]) -> None:
    """Call ``body(function, addresses, number of the share)`` for every share, on all threads."""
    from .write import INTERRUPTED

    f, m = w.f, w.f.module
    g = m.function(f"part{len(m.functions)}", [("context", PTR), ("i", I64)], None, internal=True)
    inside = {key: g.load(g.offset(g.params[0], k, PTR), PTR) for k, key in enumerate(addresses)}
    body(g, inside, g.params[1])
    g.return_()
    room = f.alloca(PTR, max(len(addresses), 1))
    for k, v in enumerate(addresses.values()):
        f.store(v, f.offset(room, k, PTR))
    state = f.load(f.offset(w.context, POOL_STATE, PTR), PTR)
    run = f.load(f.offset(w.context, POOL_RUN, PTR), PTR)
    status = f.call_pointer(run, I64, state, Val(f, f"@{g.name}", PTR), room, f.i64(parts))
    w.leave_if(status.ne(0), INTERRUPTED)


def bounds(i: Val, n: int, parts: int) -> tuple[Val, Val]:
    """First and last + 1 of the rows of a share."""
    if n % parts == 0:
        return i * (n // parts), (i + 1) * (n // parts)
    divide = i.f.op
    return divide("udiv", i * n, i.like(parts)), divide("udiv", (i + 1) * n, i.like(parts))


def _byte(base: Val, offset: Val) -> Val:
    return base.f.emit(f"getelementptr i8, ptr {base.ref}, i64 {offset.ref}", PTR)


def fill(f: Function, dtype: str, n: int, at: Val, value: float) -> None:
    """One number everywhere."""
    if n:
        loops.emit(f, Kernel((n,), {"y": loops.Operand(dtype, (1,), n)}, (Stage(stores=((value, "y"),)),)), {"y": at})


def write_kernel(w: Writer, b: Built, shares: Shares, pointers: Mapping[str, Val], slots: Mapping[str, Val]) -> None:
    """A pass in shares: `pointers` are those of operands, `slots` where the copies of what is kept apart begin."""
    addresses = {**pointers, **slots}
    starts = {s.name: s for s in b.starts}

    def body(f: Function, at: dict[str, Val], i: Val) -> None:
        for name, size in shares.slots.items():
            at[name] = _byte(at[name], i * size)
            if name in starts:
                s = starts[name]
                fill(f, s.buffer.dtype, s.buffer.size, at[name], s.value)
        if shares.line:
            _line(f, shares, at, i)
        else:
            loops.emit(f, shares.kernel, at, bounds(i, shares.kernel.shape[0], shares.parts))

    for s in b.starts:
        if s.name not in shares.slots:
            fill(w.f, s.buffer.dtype, s.buffer.size, pointers[s.name], s.value)
    share(w, shares.parts, addresses, body)
    for s in (*b.starts, *_line_results(b, shares)):
        if s.name in shares.slots:
            _combine(w.f, s, shares, slots[s.name], pointers[s.name])


def _line_results(b: Built, shares: Shares) -> list[Start]:
    """The sums of a pass along one axis, as what the copies are to be combined into."""
    if not shares.line:
        return []
    stage = shares.kernel.stages[0]
    ops = {r.out: r.op for r in stage.reduces}
    found: list[Start] = []
    for value, name in stage.row_stores:
        buffer, op = b.buffers[name], ops[str(value)]
        found.append(Start(buffer, name, neutral(op, buffer.dtype), op))
    return found


def _line(f: Function, shares: Shares, at: Mapping[str, Val], i: Val) -> None:
    """A stretch of the only axis; the last one is as long as what is left."""
    k, (n,) = shares.kernel, shares.kernel.shape
    chunk = n // shares.parts // 64 * 64
    last = n - chunk * (shares.parts - 1)
    here = {}
    for name, o in k.operands.items():
        memory = memory_type(TYPES[o.dtype])
        here[name] = f.offset(at[name], i * (chunk * o.strides[0]), memory) if o.strides[0] else at[name]

    def stretch(length: int) -> None:
        loops.emit(f, Kernel((length,), k.operands, k.stages), here)

    if last == chunk:
        stretch(chunk)
        return
    final = i.eq(shares.parts - 1)
    f.when(~final, lambda: stretch(chunk))
    f.when(final, lambda: stretch(last))


def _combine(f: Function, s: Start, shares: Shares, slots: Val, goal: Val) -> None:
    """The copies of all shares, in their order."""
    n, stride = max(s.buffer.size, 1), shares.slots[s.name]
    kind = np.dtype(s.buffer.dtype)
    op = merging(s.op)
    names = [f"s{k}" for k in range(shares.parts)]
    operands = {name: loops.Operand(s.buffer.dtype, (1,), n) for name in (*names, "y")}
    steps = [Step("r1", op, (names[0], names[1]))]
    steps += [Step(f"r{k}", op, (f"r{k - 1}", names[k])) for k in range(2, shares.parts)]
    t = Type(f"i{8 * kind.itemsize}")
    pointers = {name: f.offset(slots, k * (stride // kind.itemsize), t) for k, name in enumerate(names)}
    loops.emit(f, Kernel((n,), operands, (Stage(tuple(steps), ((steps[-1].out, "y"),)),)), {**pointers, "y": goal})


def write_strips(w: Writer, p: gemm.Product, at: list[Val], room: Val) -> None:
    """A large product in shares of its strips of columns, each with scratch memory of its own."""
    n, parts = gemm.strips(w.target, p), strip_shares(p, w.target)
    if parts == 1:
        gemm.emit_strips(w.f, w.target, p, at[0], at[1], at[2], room)
        return

    def body(f: Function, inside: dict[str, Val], i: Val) -> None:
        scratch = _byte(inside["room"], i * _rounded(gemm.strip_bytes(w.target, p)))
        gemm.emit_strips(f, w.target, p, inside["a"], inside["b"], inside["c"], scratch, strips_=bounds(i, n, parts))

    share(w, parts, dict(zip(("a", "b", "c", "room"), (*at, room), strict=True)), body)


Steps = tuple[tuple[int, ...], ...]


def write_product(w: Writer, p: gemm.Product, parts: int, batch: tuple[int, ...], strides: Steps, at: list[Val]) -> None:
    """A product in shares of its blocks of rows, or a batch of products in shares of the batch."""
    n = prod(batch) if batch else gemm.row_blocks(w.target, p)

    def body(f: Function, inside: dict[str, Val], i: Val) -> None:
        first, last = bounds(i, n, parts)
        base = [inside[k] for k in ("a", "b", "c")]
        if not batch:
            gemm.emit(f, w.target, p, base[0], base[1], base[2], rows=(first, last))
            return

        def one(k: Val, _: list[Val]) -> None:
            moved, rest = list(base), k
            for axis in reversed(range(len(batch))):
                place = f.op("urem", rest, f.i64(batch[axis])) if axis else rest
                moved = [f.offset(x, place * s[axis], p.dtype) if s[axis] else x for x, s in zip(moved, strides, strict=True)]
                rest = f.op("udiv", rest, f.i64(batch[axis])) if axis else rest
            gemm.emit(f, w.target, p, moved[0], moved[1], moved[2])

        f.loop(first, last, 1, one)

    share(w, parts, dict(zip("abc", at, strict=True)), body)
