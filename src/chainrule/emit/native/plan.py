"""Where every buffer lies: one arena, planned before anything runs, in which what is no longer needed makes room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .assembling import Aliases, aliases
from .costs import kernel_cost
from .fuse import Group, groups, stored
from .gemm import Matrix, Product, strip_bytes
from .kernels import Built, build
from .loops import TYPES
from .nodes import Access, Block, Buffer, Contract, Node, Scan, While, inner_blocks
from .parallel import Shares, kernel_shares, strip_shares
from .target import host

__all__ = ["Plan", "plan", "product"]

ALIGN = 64
_PACK_FROM = 1 << 16  # bytes of B from which a product copies it strip by strip


@dataclass
class Plan:
    """A block ready to be written: its groups, their kernels, and places in the arena (bytes from its start)."""

    block: Block
    groups: list[Group]
    kernels: dict[int, Built]
    places: dict[Buffer, int] = field(default_factory=dict[Buffer, int])
    aliases: Aliases = field(default_factory=Aliases)
    scratch: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    shares: dict[int, Shares] = field(default_factory=dict[int, Shares])
    inner: dict[tuple[int, int], Plan] = field(default_factory=dict[tuple[int, int], "Plan"])
    size: int = 0


def bytes_of(b: Buffer) -> int:
    return b.size * np.dtype(b.dtype).itemsize


def product(n: Contract) -> Product:
    """The matrix product of a node, at the start of its batch."""
    (rs, cs), (bs, one) = n.a.strides[-2:], n.b.strides[-2:]
    a = Matrix(rs, cs, (n.m - 1) * rs + (n.k - 1) * cs + 1)
    b = Matrix(bs, one, (n.k - 1) * bs + n.n)
    return Product(n.m, n.n, n.k, a, b, Matrix(n.n, 1, n.m * n.n), TYPES[n.out.dtype])


def packs(n: Contract) -> bool:
    """Is B too large for the caches as it lies?"""
    return len(n.a.shape) == 2 and n.k * n.n * np.dtype(n.out.dtype).itemsize > _PACK_FROM and n.m >= 32


def plan(b: Block, start: int = 0) -> Plan:
    """Plan a block whose part of the arena begins at `start`."""
    gs = groups(b)
    lying = stored(gs, b.outputs)
    p = Plan(b, gs, {g.index: build(g, lying) for g in gs if g.is_loop})
    for k, built in p.kernels.items():
        shares = kernel_shares(built, kernel_cost(built))
        if shares is not None:
            p.shares[k] = shares
    arena = _Arena(start)
    last = _last_uses(gs)
    made = {o: g.index for g in gs for n in g.nodes for o in n.outs}
    ends: dict[int, list[tuple[int, int]]] = {}
    outputs = set(b.outputs)
    p.aliases = aliases(gs, b.outputs)
    for g in gs:
        temporary = _temporaries(p, g, arena)
        for n in g.nodes:
            for o in n.outs:
                root = p.aliases.get(o, (o, 0))[0]
                if o in lying and root not in outputs and root not in p.places:
                    p.places[root] = place = arena.take(bytes_of(root))
                    ends.setdefault(last.get(root, made[root]), []).append((place, bytes_of(root)))
        for place, size in (*temporary, *ends.pop(g.index, ())):
            arena.give(place, size)
    p.size = arena.top - start
    return p


def _last_uses(gs: Sequence[Group]) -> dict[Buffer, int]:
    return {x.base: g.index for g in gs for n in g.nodes for x in n.ins if isinstance(x, Access)}


def _temporaries(p: Plan, g: Group, arena: _Arena) -> list[tuple[int, int]]:
    """Room that one group needs while it runs: rows of scratch, second copies of what a loop carries, the inner blocks."""
    found: list[tuple[int, int]] = []

    def take(key: str, size: int) -> int:
        p.scratch[g.index, key] = place = arena.take(size)
        found.append((place, size))
        return place

    if g.is_loop:
        shares = p.shares.get(g.index)
        if shares is not None:
            for name, size in shares.slots.items():
                take(name, size * shares.parts)
            return found
        for name, (dtype, n) in p.kernels[g.index].scratch.items():
            take(name, n * np.dtype(dtype).itemsize)
        return found
    (n,) = g.nodes
    if isinstance(n, Contract) and packs(n):
        take("packed", -(-strip_bytes(host(), product(n)) // ALIGN) * ALIGN * strip_shares(product(n), host()))
    if isinstance(n, (Scan, While)):
        for k in range(len(n.carry)):
            take(f"other{k}", bytes_of(n.outs[k]))
        if isinstance(n, While):
            take("test", 8)
    found += _inner(p, g, n, arena)
    return found


def _inner(p: Plan, g: Group, n: Node, arena: _Arena) -> list[tuple[int, int]]:
    """Blocks inside a node follow everything that lives meanwhile."""
    blocks = inner_blocks(n)
    if not blocks:
        return []
    start = arena.top
    for k, b in enumerate(blocks):
        p.inner[g.index, k] = plan(b, start)
    size = max(q.size for q in (p.inner[g.index, k] for k in range(len(blocks))))
    arena.top = max(arena.top, start + size)
    return [(start, size)] if size else []


class _Arena:
    """First fit among the gaps."""

    def __init__(self, start: int):
        self.top = start
        self.free: list[tuple[int, int]] = []

    @staticmethod
    def _rounded(size: int) -> int:
        return max(-(-size // ALIGN) * ALIGN, ALIGN)

    def take(self, size: int) -> int:
        size = self._rounded(size)
        for k, (at, room) in enumerate(self.free):
            if room >= size:
                self.free[k : k + 1] = [(at + size, room - size)] if room > size else []
                return at
        at, self.top = self.top, self.top + size
        return at

    def give(self, at: int, size: int) -> None:
        self.free.append((at, self._rounded(size)))
        self.free.sort()
        joined: list[tuple[int, int]] = []
        for start, room in self.free:
            if joined and joined[-1][0] + joined[-1][1] == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((start, room))
        self.free = joined
