"""Loops, choices and functions inside functions. A body reads what lies around it where it is, without a copy."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.ir.graph import Eqn, Graph, Var

from .lower import LOWER, Lowering, squeezed
from .nodes import Access, Block, Buffer, Cond, Num, Operand, Scan, While, outer_reads, whole
from .operations import INLINED

__all__: list[str] = []


def _inputs(vs: Sequence[Var]) -> list[Buffer]:
    return [Buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in vs]


def _body(low: Lowering, g: Graph, fixed: Sequence[Operand], moving: Sequence[Buffer], hoists: bool) -> Block:
    """The block of a body: `fixed` operands lie outside, `moving` buffers are its inputs."""
    inner = Lowering(low.survey, low)
    inner.hoists = hoists
    inner.block.inputs = list(moving)
    inner.made.update(moving)
    inner.claimed.update(moving)
    outs = inner.graph(g, [*fixed, *map(whole, moving)])
    inner.block.outputs = [inner.own(x) for x in outs]
    return inner.block


def _scan(low: Lowering, e: Eqn) -> None:
    p, body = e.params, e.params["body"]
    c, k, n = p["consts"], p["carry"], p["length"]
    ins = [low.operand(a) for a in e.ins]
    if not n:
        low.env.update(zip(e.outs[:k], ins[c : c + k], strict=True))
        low.env.update((v, whole(low.buffer(v.type.dtype.name, squeezed(v.type.shape)))) for v in e.outs[k:])
        return
    xs = [_sliceable(low, x, a.type.shape) for x, a in zip(ins[c + k :], e.ins[c + k :], strict=True)]
    block = _body(low, body, ins[:c], _inputs(body.ins[c:]), True)
    outs = tuple([low.buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in e.outs])
    node = Scan(outs, tuple(ins[c : c + k]), tuple(xs), block, n, p["reverse"], outer_reads([block]))
    low.block.nodes.append(node)
    low.env.update(zip(e.outs, map(whole, outs), strict=True))


def _sliceable(low: Lowering, x: Operand, shape: tuple[int, ...]) -> Access:
    """A sequence whose elements are each contiguous."""
    if isinstance(x, Num) or 0 in x.shape:
        return low.copy(x)
    first = 1 if shape[0] != 1 else 0
    inner = Access(x.base, x.shape[first:], x.strides[first:], 0)
    return x if inner.strides == whole(Buffer("bool", inner.shape)).strides else low.copy(x)


def _while(low: Lowering, e: Eqn) -> None:
    p = e.params
    a, b = p["test_consts"], p["body_consts"]
    ins = [low.operand(x) for x in e.ins]
    carry = ins[a + b :]
    test = _body(low, p["test"], ins[:a], _inputs(p["test"].ins[a:]), False)
    body = _body(low, p["body"], ins[a : a + b], _inputs(p["body"].ins[b:]), False)
    outs = tuple([low.buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in e.outs])
    low.block.nodes.append(While(outs, tuple(carry), test, body, outer_reads([test, body])))
    low.env.update(zip(e.outs, map(whole, outs), strict=True))


def _cond(low: Lowering, e: Eqn) -> None:
    ins = [low.operand(a) for a in e.ins]
    yes, no = e.params["branches"]
    if isinstance(ins[0], Num):
        low.env.update(zip(e.outs, low.graph(yes if ins[0].value else no, ins[1:]), strict=True))
        return
    blocks = _body(low, yes, ins[1:], [], False), _body(low, no, ins[1:], [], False)
    outs = tuple([low.buffer(v.type.dtype.name, squeezed(v.type.shape)) for v in e.outs])
    low.block.nodes.append(Cond(outs, ins[0], blocks, outer_reads(blocks)))
    low.env.update(zip(e.outs, map(whole, outs), strict=True))


def _inline(low: Lowering, e: Eqn) -> None:
    (g,) = low.survey.inner[id(e)]
    low.env.update(zip(e.outs, low.graph(g, [low.operand(a) for a in e.ins]), strict=True))


LOWER.update({"scan": _scan, "while": _while, "cond": _cond, **dict.fromkeys(INLINED, _inline)})
