"""Sums of arrays that are zero in most places, as the gradients of slices and look-ups are, put together in one place.

The gradient of ``x[k]`` is an array of the size of `x` with one part that is not zero, and the gradients of all the slices of
`x` are added. Here the parts go straight into one array: what makes a part writes it where it belongs, and nothing is added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from .nodes import Access, Assemble, Buffer, Map, Node, Part, Special, contiguous, direct, whole

if TYPE_CHECKING:
    from .fuse import Group

__all__ = ["Aliases", "aliases", "merged"]

Aliases = dict[Buffer, tuple[Buffer, int]]
"""Buffer -> the buffer that it is a part of, and from which element on."""


# --- sums ---------------------------------------------------------------------------------------------------------------------


def merged(nodes: Sequence[Node], outputs: Sequence[Buffer]) -> list[Node]:
    """The nodes, with sums of arrays that are zero but for their parts as one array with all the parts."""
    made: dict[Buffer, Node] = {o: n for n in nodes for o in n.outs}
    uses = Counter(x.base for n in nodes for x in n.ins if isinstance(x, Access))
    uses.update(outputs)
    kept: dict[Buffer, list[Node]] = {n.outs[0]: [n] for n in nodes}
    for n in nodes:
        if not (isinstance(n, Map) and n.op == "add"):
            continue
        found = _sum(n, [_only(x, made, uses) for x in n.ins])
        if found is not None:
            new, old = found
            for gone in old:
                kept[gone.outs[0]].remove(gone)
            kept[n.out], made[n.out] = new, new[-1]
    return [k for n in nodes for k in kept[n.outs[0]]]


def _only(x: object, made: dict[Buffer, Node], uses: Counter[Buffer]) -> Node | None:
    """The node that makes an operand, all of it, for this reader alone."""
    return made.get(x.base) if isinstance(x, Access) and direct(x) and uses[x.base] == 1 else None


def _sum(n: Map, makers: Sequence[Node | None]) -> tuple[list[Node], list[Node]] | None:
    """The nodes that replace a sum, and those of which nothing is left."""
    a, b = makers
    if isinstance(a, Assemble) and isinstance(b, Assemble) and a.fill == 0 and b.fill == 0 and _apart(n.out, a.parts, b.parts):
        parts = (*a.parts, *b.parts)
        full = sum(prod(p.x.shape) for p in parts) == n.out.size
        return [Assemble(n.out, None if full else 0, parts)], [a, b]
    for k, s in enumerate(makers):
        x = n.ins[1 - k]
        if isinstance(s, Special) and s.kind == "scatter_add" and isinstance(x, Access) and n.out.dtype != "bool":
            if "onto" not in s.params:
                return [Special("scatter_add", (n.out,), (*s.ins, x), {**s.params, "onto": True})], [s]
            more = Map(Buffer(n.out.dtype, n.out.shape), "add", (s.ins[-1], x))  # passes before look-ups, to fuse
            return [more, Special("scatter_add", (n.out,), (*s.ins[:-1], whole(more.out)), s.params)], [s]
    return None


def _apart(out: Buffer, some: Sequence[Part], others: Sequence[Part]) -> bool:
    """Do no two parts share an element?"""
    boxes = [_box(out.shape, p) for p in others]
    return all(_separate(_box(out.shape, p), q) for p in some for q in boxes)


def _box(shape: tuple[int, ...], p: Part) -> list[tuple[int, int]]:
    """The first and last index of a part along each axis."""
    steps, rest, box = contiguous(shape), p.offset, list[tuple[int, int]]()
    for s in steps:
        box.append((rest // s, rest // s))
        rest %= s
    for n, stride in zip(p.x.shape, p.strides, strict=True):
        k = next(k for k, s in enumerate(steps) if stride >= s)
        box[k] = (box[k][0], box[k][0] + (n - 1) * (stride // steps[k]))
    return box


def _separate(a: Sequence[tuple[int, int]], b: Sequence[tuple[int, int]]) -> bool:
    return any(x[1] < y[0] or y[1] < x[0] for x, y in zip(a, b, strict=True))


# --- places -------------------------------------------------------------------------------------------------------------------


def aliases(gs: Sequence[Group], outputs: Sequence[Buffer]) -> Aliases:
    """The buffers that are written where they are needed: parts of an array, and what a look-up's gradient is added to."""
    home = {o: g.index for g in gs for n in g.nodes for o in n.outs}
    last = {x.base: g.index for g in gs for n in g.nodes for x in n.ins if isinstance(x, Access)}
    found: Aliases = {}
    for g in gs:
        n = g.nodes[0]
        here = Counter(x.base for x in n.ins if isinstance(x, Access))
        for x, offset in _parts(n):
            free = x.base in home and x.base not in outputs and last[x.base] == g.index and here[x.base] == 1
            if free and direct(x):
                found[x.base] = n.outs[0], offset
    return {b: _root(found, b) for b in found}


def _parts(n: Node) -> list[tuple[Access, int]]:
    """Operands that may lie in the result, each at its offset."""
    if isinstance(n, Assemble) and n.fill is None:
        return [(p.x, p.offset) for p in n.parts if isinstance(p.x, Access) and p.strides == contiguous(p.x.shape)]
    if isinstance(n, Special) and "onto" in n.params and isinstance(n.ins[-1], Access):
        return [(n.ins[-1], 0)]
    return []


def _root(found: Aliases, b: Buffer) -> tuple[Buffer, int]:
    at = 0
    while b in found:
        b, offset = found[b]
        at += offset
    return b, at
