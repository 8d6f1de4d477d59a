"""From the plan to code: one function for the whole program, loops included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from . import gemm, loops, parallel, special_nodes
from .builder import I64, PTR, Function, Module, Type, Val
from .call import ARENA, EXTERNAL, POOL_POLL, POOL_STATE
from .fuse import Group
from .kernels import Built, number
from .loops import TYPES, Kernel, Stage
from .nodes import (
    Access,
    Assemble,
    Buffer,
    Call,
    Cond,
    Contract,
    Num,
    Operand,
    Scan,
    Special,
    While,
    contiguous,
)  # fmt: skip
from .plan import Plan, packs, product
from .target import Target
from .vectors import memory_type

__all__ = ["AGAIN", "INTERRUPTED", "program_ir"]

INTERRUPTED, AGAIN = 1, 2
"""What a kernel returns but 0: Ctrl-C was pressed; or NumPy is to compute it again, to raise the error that is due."""
_BETWEEN_POLLS = 1 << 19


def program_ir(p: Plan, arena: int, constants: int, target: Target) -> str:
    """The module of a planned program: `kernel`, and `arena`, which returns the bytes it needs."""
    m = Module(target.triple)
    f = m.function("kernel", [("arrays", PTR), ("context", PTR)], I64)
    writer = Writer(f, f.params[1], target, constants, _uses(p))
    for k, b in enumerate((*p.block.inputs, *p.block.outputs)):
        writer.pointers[b] = f.load(f.offset(f.params[0], k, PTR), PTR)
    writer.block(p)
    f.return_(f.i64(0))
    writer.exits()
    size = m.function("arena", [], I64)
    size.return_(size.i64(arena))
    return m.text()


def _uses(p: Plan) -> Counter[str]:
    """How often each pass and product occurs in a program."""
    found: Counter[str] = Counter()
    for g in p.groups:
        found.update([_key(p, g)] if g.is_loop or isinstance(g.nodes[0], Contract) else [])
    for inner in p.inner.values():
        found += _uses(inner)
    return found


def _key(p: Plan, g: Group) -> str:
    """A text that is equal for passes, and for products, that differ only in where their operands lie."""
    if g.is_loop:
        b = p.kernels[g.index]
        starts = [(s.name, s.value, s.op, s.buffer.dtype, s.buffer.size) for s in b.starts]
        return repr((b.kernel, b.scratch, starts))
    (n,) = g.nodes
    assert isinstance(n, Contract)
    return repr((product(n), n.out.shape, n.a.strides, n.b.strides, packs(n)))


def _made_in(p: Plan, x: Operand, whole: Buffer, offset: int) -> bool:
    """Was an operand made where it belongs, in this array at this offset? It may be a part of another array as well."""
    if not isinstance(x, Access) or x.base not in p.aliases:
        return False
    root, start = p.aliases.get(whole, (whole, 0))
    return p.aliases[x.base] == (root, start + offset)


class Writer:
    """Writes blocks into one function; knows where every buffer lies."""

    def __init__(self, f: Function, context: Val, target: Target, constants: int, uses: Counter[str]):
        self.f, self.context, self.target, self.constants, self.uses = f, context, target, constants, uses
        self.arena = f.load(f.offset(context, ARENA, PTR), PTR)
        self.pointers: dict[Buffer, Val] = {}
        self.codes: dict[int, str] = {}
        self.shared: dict[str, str] = {}

    # -- places -----------------------------------------------------------------------------------------------------------

    def at(self, place: int) -> Val:
        return self.f.emit(f"getelementptr i8, ptr {self.arena.ref}, i64 {place}", PTR)

    def external(self, k: int) -> Val:
        return self.f.load(self.f.offset(self.context, EXTERNAL + k, PTR), PTR)

    def pointer(self, b: Buffer) -> Val:
        """The address of a buffer."""
        return self.external(b.external) if b.external is not None else self.pointers[b]

    def leave_if(self, condition: Val, code: int) -> None:
        """Return from the whole program where the condition holds."""
        label, on = self.codes.setdefault(code, f"leave{code}"), self.f.fresh("on")
        self.f.branch_if(condition, label, on)
        self.f.label(on)

    def exits(self) -> None:
        for code, label in self.codes.items():
            self.f.label(label)
            self.f.return_(self.f.i64(code))

    def once(self, key: str, at: Mapping[str, Val], write: Callable[[Writer, dict[str, Val]], None]) -> None:
        """Write something that is given its addresses: here, or in a function if it occurs more than once."""
        if self.uses[key] < 2:
            write(self, dict(at))
            return
        m = self.f.module
        if key not in self.shared:
            params = [("context", PTR), *[(f"p{k}", PTR) for k in range(len(at))]]
            g = m.function(f"shared{len(m.functions)}", params, I64, internal=True)
            inner = Writer(g, g.params[0], self.target, self.constants, Counter())
            write(inner, dict(zip(at, g.params[1:], strict=True)))
            g.return_(g.i64(0))
            inner.exits()
            self.shared[key] = g.name
        status = self.f.call(self.shared[key], I64, self.context, *at.values())
        self.leave_if(status.ne(0), INTERRUPTED)

    # -- blocks -------------------------------------------------------------------------------------------------------------

    def block(self, p: Plan) -> None:
        for b, place in p.places.items():
            self.pointers[b] = self.at(place)
        for b, (whole, offset) in p.aliases.items():
            self.pointers[b] = self.f.offset(self.pointer(whole), offset, memory_type(TYPES[b.dtype]))
        for g in p.groups:
            if g.is_loop:
                self.kernel(p, g, p.kernels[g.index])
            else:
                (n,) = g.nodes
                _WRITERS[type(n)](self, p, g, n)

    def kernel(self, p: Plan, g: Group, built: Built) -> None:
        at = {name: self.pointer(b) for name, b in built.buffers.items()}
        shares = p.shares.get(g.index)
        room = shares.slots if shares is not None else built.scratch
        at |= {f"{name} apart": self.at(p.scratch[g.index, name]) for name in room}
        self.once(_key(p, g), at, partial(_write_kernel, built=built, shares=shares))

    def fill(self, b: Buffer, value: Any) -> None:
        """One number everywhere."""
        parallel.fill(self.f, b.dtype, b.size, self.pointer(b), value)

    def copy(self, x: Operand, to: Val, strides: Sequence[int], offset: int, size: int) -> None:
        """The elements of an operand to memory."""
        shape, steps = (x.shape, tuple(strides)) if x.shape else ((1,), (0,))
        y = loops.Operand(x.dtype, steps, size, offset)
        if isinstance(x, Num):
            kernel = Kernel(shape, {"y": y}, (Stage(stores=((number(x), "y"),)),))
            loops.emit(self.f, kernel, {"y": to})
            return
        source = loops.Operand(x.dtype, x.strides if x.shape else (0,), max(x.base.size, 1), x.offset)
        kernel = Kernel(shape, {"x": source, "y": y}, (Stage(stores=(("x", "y"),)),))
        loops.emit(self.f, kernel, {"x": self.pointer(x.base), "y": to})

    def contract(self, p: Plan, g: Group, n: Contract) -> None:
        t = TYPES[n.out.dtype]
        batch = n.out.shape[: len(n.a.shape) - 2]
        a, b = self.f.offset(self.pointer(n.a.base), n.a.offset, t), self.f.offset(self.pointer(n.b.base), n.b.offset, t)
        at = {"a": a, "b": b, "c": self.pointer(n.out)}
        room = p.scratch.get((g.index, "packed"))
        if room is not None:
            at["room"] = self.at(room)
        strides = n.a.strides[:-2], n.b.strides[:-2], tuple([s * n.m * n.n for s in contiguous(batch)])
        self.once(_key(p, g), at, lambda w, at: w.products(product(n), batch, strides, list(at.values())))

    def products(self, p: gemm.Product, batch: tuple[int, ...], strides: parallel.Steps, at: list[Val]) -> None:
        """A product, or a batch of them; with room to copy strips of B to as a fourth address."""
        if len(at) == 4:
            parallel.write_strips(self, p, at[:3], at[3])
            return
        parts = parallel.product_shares(p, int(np.prod(batch, dtype=int)), self.target)
        if parts:
            parallel.write_product(self, p, parts, batch, strides, at)
            return

        def axis(k: int, at: list[Val]) -> None:
            if k == len(batch):
                gemm.emit(self.f, self.target, p, at[0], at[1], at[2])
                return

            def one(i: Val, _: list[Val]) -> None:
                axis(k + 1, [self.step(x, i, s[k], p.dtype) for x, s in zip(at, strides, strict=True)])

            self.f.loop(0, batch[k], 1, one)

        axis(0, at)

    def step(self, base: Val, i: Val, stride: int, t: Type) -> Val:
        """The address `i` strides further."""
        return base if stride == 0 else self.f.offset(base, i * stride if i.ref.startswith("%") else int(i.ref) * stride, t)

    def assemble(self, p: Plan, g: Group, n: Assemble) -> None:
        if n.fill is not None:
            self.fill(n.out, n.fill)
        for part in n.parts:
            if _made_in(p, part.x, n.out, part.offset):
                continue
            self.copy(part.x, self.pointer(n.out), part.strides, part.offset, n.out.size)

    def special(self, p: Plan, g: Group, n: Special) -> None:
        base = n.ins[-1]
        if "onto" in n.params and not _made_in(p, base, n.outs[0], 0):
            self.initial(base, self.pointer(n.outs[0]))
        special_nodes.WRITE[n.kind](self, n)

    def call(self, p: Plan, g: Group, n: Call) -> None:
        """Call back into Python: the addresses of operands and results in an array on the stack."""
        f = self.f
        room = f.alloca(PTR, len(n.ins) + len(n.outs))
        for k, b in enumerate([x.base for x in n.ins if isinstance(x, Access)]):
            x = n.ins[k]
            assert isinstance(x, Access)
            f.store(f.offset(self.pointer(b), x.offset, memory_type(TYPES[b.dtype])), f.offset(room, k, PTR))
        for k, b in enumerate(n.outs, len(n.ins)):
            f.store(self.pointer(b), f.offset(room, k, PTR))
        status = f.call_pointer(self.external(self.constants + n.number), I64, room)
        self.leave_if(status.ne(0), AGAIN)

    # -- loops and choices ----------------------------------------------------------------------------------------------------

    def poll(self, i: Val, work: int) -> None:
        """Look for Ctrl-C now and then."""
        every = 1
        while every < 1 << 16 and every * work < _BETWEEN_POLLS:
            every *= 2
        f = self.f
        state = f.load(f.offset(self.context, POOL_STATE, PTR), PTR)
        function = f.load(f.offset(self.context, POOL_POLL, PTR), PTR)
        due = (i & (every - 1)).eq(every - 1)
        (stop,) = f.when(due, lambda: [f.call_pointer(function, I64, state)], [f.i64(0)])
        self.leave_if(stop.ne(0), INTERRUPTED)

    def carried(self, p: Plan, g: Group, n: Scan | While) -> list[tuple[Val, Val]]:
        """Two places for each value that is carried: the result's own, and another."""
        return [(self.pointer(n.outs[k]), self.at(p.scratch[g.index, f"other{k}"])) for k in range(len(n.carry))]

    def initial(self, x: Operand, to: Val) -> None:
        self.copy(x, to, contiguous(x.shape), 0, max(x.size if isinstance(x, Access) else int(np.prod(x.shape, dtype=int)), 1))

    def scan(self, p: Plan, g: Group, n: Scan) -> None:
        f, body, inner = self.f, n.body, p.inner[g.index, 0]
        k = len(n.carry)
        pairs = self.carried(p, g, n)
        ordered = [pair if n.length % 2 == 0 else pair[::-1] for pair in pairs]
        for x, (first, _) in zip(n.carry, ordered, strict=True):
            self.initial(x, first)
        xs = [(b, x, self.pointer(x.base)) for b, x in zip(body.inputs[k:], n.xs, strict=True)]
        ys = [(b, self.pointer(o)) for b, o in zip(body.outputs[k:], n.outs[k:], strict=True)]
        work = cost(inner)

        def step(i: Val, state: list[Val]) -> list[Val]:
            t = i if not n.reverse else (n.length - 1) - i if i.ref.startswith("%") else f.i64(n.length - 1 - int(i.ref))
            self.pointers.update(zip(body.inputs[:k], state[:k], strict=True))
            self.pointers.update(zip(body.outputs[:k], state[k:], strict=True))
            for b, x, at in xs:
                kind = memory_type(TYPES[b.dtype])
                stride = x.strides[0] if n.length != 1 else 0
                self.pointers[b] = self.step(f.offset(at, x.offset, kind), t, stride, kind)
            for b, at in ys:
                self.pointers[b] = self.step(at, t, b.size, memory_type(TYPES[b.dtype]))
            self.block(inner)
            if i.ref.startswith("%") and n.length * work > _BETWEEN_POLLS:
                self.poll(i, work)
            return [*state[k:], *state[:k]]

        f.loop(0, n.length, 1, step, [a for a, _ in ordered] + [b for _, b in ordered])

    def while_(self, p: Plan, g: Group, n: While) -> None:
        f, k = self.f, len(n.carry)
        pairs = self.carried(p, g, n)
        for x, (first, _) in zip(n.carry, pairs, strict=True):
            self.initial(x, first)
        verdict = self.at(p.scratch[g.index, "test"])

        def test(now: Sequence[Val]) -> Val:
            self.pointers.update(zip(n.test.inputs, now, strict=True))
            self.pointers[n.test.outputs[0]] = verdict
            self.block(p.inner[g.index, 0])
            return f.load(verdict, Type("i8")).ne(0)

        def step(state: list[Val]) -> tuple[Val, list[Val]]:
            i, now, following = state[0], state[1 : k + 1], state[k + 1 :]
            self.pointers.update(zip(n.body.inputs, now, strict=True))
            self.pointers.update(zip(n.body.outputs, following, strict=True))
            self.block(p.inner[g.index, 1])
            self.poll(i, cost(p.inner[g.index, 0]) + cost(p.inner[g.index, 1]))
            return test(following), [i + 1, *following, *now]

        first = [f.i64(0), *[a for a, _ in pairs], *[b for _, b in pairs]]
        begin = test(first[1 : k + 1])
        last = f.when(begin, lambda: f.do_while(step, first), first)
        for (result, other), now, b in zip(pairs, last[1 : k + 1], n.outs, strict=True):
            odd = f.compare("eq", now, other)
            f.when(odd, partial(self._move, b, result, other))

    def _move(self, b: Buffer, to: Val, source: Val) -> None:
        shape = (max(b.size, 1),)
        operand = loops.Operand(b.dtype, (1,), shape[0])
        loops.emit(self.f, Kernel(shape, {"x": operand, "y": operand}, (Stage(stores=(("x", "y"),)),)), {"x": source, "y": to})

    def cond(self, p: Plan, g: Group, n: Cond) -> None:
        f = self.f
        at = f.offset(self.pointer(n.test.base), n.test.offset, Type("i8"))
        chosen = f.load(at, Type("i8")).ne(0)

        def branch(k: int) -> Callable[[], None]:
            def write() -> None:
                self.pointers.update(zip(n.branches[k].outputs, map(self.pointer, n.outs), strict=True))
                self.block(p.inner[g.index, k])

            return write

        f.when(chosen, branch(0))
        f.when(~chosen, branch(1))


def cost(p: Plan) -> int:
    """About how many operations a block takes."""
    total = 0
    for g in p.groups:
        for n in g.nodes:
            if isinstance(n, Contract):
                total += 2 * n.out.size * n.k
            elif isinstance(n, Scan):
                total += n.length * cost(p.inner[g.index, 0])
            else:
                total += sum(o.size for o in n.outs) + 10
    return max(total, 1)


def _write_kernel(w: Writer, at: dict[str, Val], *, built: Built, shares: parallel.Shares | None) -> None:
    apart = {name.removesuffix(" apart"): v for name, v in at.items() if name.endswith(" apart")}
    pointers = {name: at[name] for name in built.buffers}
    if shares is not None:
        parallel.write_kernel(w, built, shares, pointers, apart)
        return
    for s in built.starts:
        parallel.fill(w.f, s.buffer.dtype, s.buffer.size, pointers[s.name], s.value)
    loops.emit(w.f, built.kernel, pointers | apart)


_WRITERS: Mapping[type, Callable[[Writer, Plan, Group, Any], None]] = {
    Contract: Writer.contract, Assemble: Writer.assemble, Special: Writer.special, Call: Writer.call, Scan: Writer.scan,
    While: Writer.while_, Cond: Writer.cond,
}  # fmt: skip
