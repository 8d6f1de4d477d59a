"""From the graph to nodes: views become strides, products find their shape, everything else an operation or a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.ir.types import ArrayType
from chainrule.prims import TABLE

from .nodes import Access, Block, Buffer, Call, Map, Num, Operand, Reduce, Special, contiguous, direct, packed, whole
from .operations import INLINED, Survey, expanded, operation, promoted
from .turning import turned_axis

__all__ = ["LOWER", "Lowering", "lowered"]

LOWER: dict[str, Callable[[Lowering, Eqn], None]] = {}
"""Row -> how its equations become nodes; filled here and by the modules beside."""
_STAYS = frozenset({"take", "scatter_add", "scan", "while", "cond", *INLINED})  # may fail, or never end: not moved out of a loop


def squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """The axes that are longer (or shorter) than 1."""
    return tuple([n for n in shape if n != 1])


def places(shape: Sequence[int]) -> list[int]:
    """Number of each axis among those that are kept; -1 for axes of length 1."""
    out, k = list[int](), 0
    for n in shape:
        out.append(-1 if n == 1 else k)
        k += n != 1
    return out


class Lowering:
    """Writes one block; `parent` writes the block around it, where what does not change in a loop is moved."""

    def __init__(self, survey: Survey, parent: Lowering | None = None):
        self.survey, self.parent = survey, parent
        self.block = Block()
        self.env: dict[Var, Operand] = {}
        self.made: set[Buffer] = set()
        self.claimed: set[Buffer] = set()
        self.hoists = False

    # -- operands ---------------------------------------------------------------------------------------------------

    def operand(self, a: Atom) -> Operand:
        """An atom as an operand without axes of length 1."""
        if isinstance(a, Var):
            return self.env[a]
        shape = squeezed(a.type.shape)
        if a.splat or a.value.size == 1:
            return Num(a.value.reshape(())[()], a.type.dtype.name, shape)
        return whole(self._constant(a, shape))

    def _constant(self, a: Lit, shape: tuple[int, ...]) -> Buffer:
        return Buffer(a.type.dtype.name, shape, self.survey.constant_numbers[id(a.value)], a.value)

    def buffer(self, dtype: str, shape: Sequence[int]) -> Buffer:
        b = Buffer(dtype, tuple(shape))
        self.made.add(b)
        return b

    def map(self, op: str, ins: Sequence[Operand], dtype: str, to: str = "") -> Operand:
        """One elementwise operation; those that change nothing are left out."""
        same = _unchanged(op, ins)
        if same is not None:
            return same
        order = _walked(ins)
        if order is not None:
            ins = [permuted(x, order) for x in ins]
        out = self.buffer(dtype, ins[0].shape)
        if out.size:
            self.block.nodes.append(Map(out, op, tuple(ins), to))
        return whole(out) if order is None else permuted(whole(out), [order.index(k) for k in range(len(order))])

    def cast(self, x: Operand, to: str) -> Operand:
        """`x` in another dtype."""
        if x.dtype == to:
            return x
        if isinstance(x, Num):
            return Num(np.asarray(x.value, x.dtype).astype(to)[()], to, x.shape)
        op = "unsigned_astype" if x.dtype.startswith("uint") else "astype"
        if x.dtype.startswith("float") and to.startswith("uint"):
            x = self.map("astype", (x,), "int64", "int64")
        return self.map(op, (x,), to, to)

    def copy(self, x: Operand) -> Access:
        """A contiguous copy, made outside a loop if it is the same in every step."""
        if self.hoists and self.parent is not None and not (isinstance(x, Access) and x.base in self.made):
            return self.parent.copy(x)
        return self._copied(x)

    def _copied(self, x: Operand) -> Access:
        out = self.buffer(x.dtype, x.shape)
        if turned_axis(x) is not None:
            self.block.nodes.append(Special("transpose", (out,), (x,), {}))
        elif out.size:
            self.block.nodes.append(Map(out, "positive", (x,)))
        return whole(out)

    def memory(self, x: Operand) -> Access:
        """`x` as a contiguous array that lies in memory."""
        return x if isinstance(x, Access) and packed(x) else self.copy(x)

    def own(self, x: Operand) -> Buffer:
        """`x` as a buffer that a node of this block makes and no other output is."""
        if isinstance(x, Access) and direct(x) and x.base in self.made and x.base not in self.claimed:
            self.claimed.add(x.base)
            return x.base
        b = self._copied(x).base
        self.claimed.add(b)
        return b

    # -- equations ----------------------------------------------------------------------------------------------------

    def graph(self, g: Graph, args: Sequence[Operand]) -> list[Operand]:
        """The equations of `g` on these operands; its outputs."""
        self.env.update(zip(g.ins, args, strict=True))
        for e in g.eqns:
            if self.hoists and self._fixed(e):
                self._outside(e)
            else:
                self.equation(e)
        return [self.operand(a) for a in g.outs]

    def _fixed(self, e: Eqn) -> bool:
        """Does nothing that an equation reads change in this block?"""
        if e.prim in _STAYS or id(e) in self.survey.call_numbers:
            return False
        ins = [self.operand(a) for a in e.ins]
        return not any(isinstance(x, Access) and x.base in self.made for x in ins)

    def _outside(self, e: Eqn) -> None:
        assert self.parent is not None
        parent, env = self.parent, self.parent.env
        parent.env = self.env
        if parent.hoists and parent._fixed(e):
            parent._outside(e)
        else:
            parent.equation(e)
        parent.env = env

    def equation(self, e: Eqn) -> None:
        number = self.survey.call_numbers.get(id(e))
        if number is not None:
            self._call(e, number)
        elif all(0 in v.type.shape for v in e.outs):
            for v in e.outs:
                self.env[v] = whole(self.buffer(v.type.dtype.name, squeezed(v.type.shape)))
        elif e.prim in LOWER:
            LOWER[e.prim](self, e)
        else:
            self._pointwise(e)

    def _call(self, e: Eqn, number: int) -> None:
        outs = tuple([self.buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in e.outs])
        ins = tuple([self.memory(self.operand(a)) for a in e.ins])
        self.block.nodes.append(Call(outs, ins, e, number, self.survey.calls[number][1]))
        self.env.update(zip(e.outs, map(whole, outs), strict=True))

    def _pointwise(self, e: Eqn) -> None:
        ins, row = [self.operand(a) for a in e.ins], TABLE[e.prim]
        t = e.out.type
        if all(isinstance(x, Num) for x in ins):
            assert row.value is not None
            with np.errstate(all="ignore"):
                y = np.asarray(row.value(*[np.asarray(x.value, x.dtype) for x in ins if isinstance(x, Num)], **e.params), t.dtype)
            self.env[e.out] = Num(y[()], t.dtype.name, squeezed(t.shape))
            return
        wide = promoted(e)
        ins = [self.cast(x, a.dtype.name) for x, a in zip(ins, wide, strict=True)]
        types = tuple([ArrayType(a.dtype, x.shape) for a, x in zip(wide, ins, strict=True)])
        op = operation(e.prim, types)
        if op is not None:
            self.env[e.out] = self.map(op, ins, t.dtype.name)
            return
        g = expanded(e.prim, types)
        assert g is not None
        (self.env[e.out],) = self.graph(g, ins)

    # -- sums -------------------------------------------------------------------------------------------------------------

    def reduce(self, op: str, x: Operand, axes: Sequence[int]) -> Operand:
        """A reduction over axes of `x`, walked in the order in which it lies in memory."""
        dtype = x.dtype
        if dtype == "bool":
            op = {"sum": "any", "max": "any", "prod": "all", "min": "all"}.get(op, op)
        if not axes:
            return x
        n = prod(x.shape[k] for k in axes)
        kept = [k for k in range(len(x.shape)) if k not in axes]
        if n == 0:
            return Num(
                np.asarray({"sum": 0, "prod": 1, "any": 0, "all": 1}[op], dtype)[()], dtype, tuple([x.shape[k] for k in kept])
            )
        if isinstance(x, Num):
            return self._reduced_number(op, x, n, tuple([x.shape[k] for k in kept]))
        order = sorted(range(len(x.shape)), key=lambda k: (-abs(x.strides[k]), k))
        if order != sorted(order) and direct(x):
            order = sorted(order)
        y = Access(x.base, tuple([x.shape[k] for k in order]), tuple([x.strides[k] for k in order]), x.offset)
        left = [k for k in order if k in kept]
        out = self.buffer(dtype, [x.shape[k] for k in left])
        if out.size:
            self.block.nodes.append(Reduce(out, op, y, tuple([order.index(k) for k in sorted(axes, key=order.index)])))
        return permuted(whole(out), [left.index(k) for k in kept])

    @staticmethod
    def _reduced_number(op: str, x: Num, n: int, shape: tuple[int, ...]) -> Num:
        value: Any = np.asarray(x.value, x.dtype)
        with np.errstate(all="ignore"):
            many = {"sum": lambda: value * value.dtype.type(n), "prod": lambda: value ** value.dtype.type(n)}
            return Num(np.asarray(many[op]() if op in many else value, x.dtype)[()], x.dtype, shape)


def _unchanged(op: str, ins: Sequence[Operand]) -> Operand | None:
    """The operand that an operation returns as it is, if it does."""
    if op == "positive":
        return ins[0]
    if op == "where" and isinstance(ins[0], Num):
        return ins[1] if ins[0].value else ins[2]
    if op == "multiply":
        for x, y in (ins, ins[::-1]):
            if isinstance(y, Num) and y.value == 1 and isinstance(x, Access):
                return x
    if op == "divide" and isinstance(ins[1], Num) and ins[1].value == 1:
        return ins[0]
    if op == "subtract" and isinstance(ins[1], Num) and ins[1].value == 0 and not np.signbit(np.asarray(ins[1].value, float)):
        return ins[0]
    return None


def _walked(ins: Sequence[Operand]) -> list[int] | None:
    """The order in which all operands lie in memory that are not repeated, if it is one and not that of their axes."""
    orders = {tuple(sorted(range(len(x.shape)), key=lambda k, x=x: -abs(x.strides[k]))) for x in ins
              if isinstance(x, Access) and all(x.strides)}  # fmt: skip
    found = list(orders.pop()) if len(orders) == 1 else []
    return found if found != sorted(found) else None


def permuted(x: Operand, order: Sequence[int]) -> Operand:
    """Axis k of the result is axis order[k] of `x`."""
    shape = tuple([x.shape[k] for k in order])
    if isinstance(x, Num):
        return Num(x.value, x.dtype, shape)
    return Access(x.base, shape, tuple([x.strides[k] for k in order]), x.offset)


def reshaped(x: Access, shape: tuple[int, ...]) -> Access | None:
    """The same elements in another shape, if strides can say it."""
    if packed(x):
        return Access(x.base, shape, contiguous(shape), x.offset)
    strides, old, new = list[int](), 0, 0
    while new < len(shape):
        first_old, first_new = old, new
        n, m = x.shape[old], shape[new]
        while n != m:
            if n < m:
                old += 1
                n *= x.shape[old]
            else:
                new += 1
                m *= shape[new]
        if any(x.strides[k] != x.shape[k + 1] * x.strides[k + 1] for k in range(first_old, old)):
            return None
        strides += [s * x.strides[old] for s in contiguous(shape[first_new : new + 1])]
        old, new = old + 1, new + 1
    return Access(x.base, shape, tuple(strides), x.offset)


def lowered(g: Graph, survey: Survey) -> Block:
    """The nodes of a graph."""
    from . import lower_loops, lower_products, lower_rows  # noqa: F401  # pyright: ignore[reportUnusedImport]

    low = Lowering(survey)
    low.block.inputs = [Buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in g.ins]
    outs = low.graph(g, [whole(b) for b in low.block.inputs])
    low.block.outputs = [low.own(x) for x in outs]
    return low.block
