"""Which operations share a pass over memory.

Groups run in order, and a node may join any group that no operand of it comes after: then no cycle can arise. In a group
with the grid (..., n) a value lives at one of two levels: `elem`, one number per point of the grid, or `row`, one number per
row (per point of all axes but the last). A reduction over the last axis leads from one to the other, and what is made of it
may be used in the same group, in a later pass over the same row: softmax and normalisation are one group. Other reductions
are complete only when the group ends (`late`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .assembling import merged
from .math import HEAVY
from .nodes import Access, Block, Buffer, Map, Node, Num, Operand, Reduce, contiguous, direct

__all__ = ["ELEM", "LATE", "ROW", "Group", "groups", "needed"]

ELEM, ROW, LATE = "elem", "row", "late"
_WINDOW = 64  # how far back a node looks for a group
_MOST_NODES = 160
_MOST_STREAMS = 40
_SMALL = 2
_MOST_AGAIN, _MOST_LEAVES = 6, 2  # operations done again rather than stored, and large arrays that they may read
COSTLY = HEAVY | {"divide", "sqrt", "reciprocal", "remainder", "fmod", "floor_divide"}


class Group:
    """Nodes that run as one: elementwise operations and reductions on one grid, or a single node of another kind."""

    def __init__(self, index: int, node: Node, grid: tuple[int, ...] | None):
        self.index, self.grid = index, grid
        self.nodes: list[Node] = [] if grid is not None else [node]
        self.level: dict[Buffer, str] = {}
        self.reads: dict[Buffer, None] = {}
        self.clones: dict[Buffer, Buffer] = {}

    @property
    def is_loop(self) -> bool:
        return self.grid is not None

    def add(self, n: Node, level: str) -> None:
        self.nodes.append(n)
        for b in n.outs:
            self.level[b] = level
        for x in n.ins:
            if isinstance(x, Access) and x.base not in self.level:
                self.reads.setdefault(x.base)


def needed(b: Block) -> list[Node]:
    """The nodes of a block that its outputs need."""
    wanted, kept = set(b.outputs), list[Node]()
    for n in reversed(b.nodes):
        if any(o in wanted for o in n.outs):
            kept.append(n)
            wanted.update(x.base for x in n.ins if isinstance(x, Access))
    return kept[::-1]


def groups(b: Block) -> list[Group]:
    """The groups of a block, in the order in which they run."""
    return _Fuser(b).all()


class _Fuser:
    """Places nodes one by one. A cheap operation on what lies in memory waits until somebody needs its result, and is then
    done there, once in every group that does: to load its operands is no dearer than to load it."""

    def __init__(self, b: Block) -> None:
        self.list: list[Group] = []
        self.home: dict[Buffer, Group] = {}
        self.waiting: dict[Buffer, Map] = {}
        self.nodes = merged(needed(b), b.outputs)
        loops = (Map, Reduce)
        self.kept = {x.base for n in self.nodes if not isinstance(n, loops) for x in n.ins if isinstance(x, Access)}
        self.kept.update(b.outputs)

    def all(self) -> list[Group]:
        for n in self.nodes:
            if isinstance(n, Map) and self._waits(n):
                self.waiting[n.out] = n
            else:
                self._place(n)
        return self.list

    # -- what waits -------------------------------------------------------------------------------------------------------

    def _waits(self, n: Map) -> bool:
        """Is it cheap, and does everything that it reads lie in memory anyway, in at most two large arrays?"""
        if n.op in COSTLY or n.out in self.kept or n.out.size < _SMALL:
            return False
        for x in n.ins:
            if isinstance(x, Access) and not (direct(x) if x.base in self.waiting else self._lies(x.base)):
                return False
        leaves, steps = self._leaves(n)
        return steps <= _MOST_AGAIN and sum(4 * b.size >= n.out.size for b in leaves) <= _MOST_LEAVES

    def _lies(self, b: Buffer) -> bool:
        g = self.home.get(b)
        return g is None or not g.is_loop or g.level[b] == LATE or b in self.kept

    def _leaves(self, n: Map | Reduce) -> tuple[set[Buffer], int]:
        """The arrays that a node reads in the end, and the operations that this takes."""
        found, steps = set[Buffer](), 1
        for x in n.ins:
            if isinstance(x, Access):
                if x.base in self.waiting:
                    more, k = self._leaves(self.waiting[x.base])
                    found, steps = found | more, steps + k
                else:
                    found.add(x.base)
        return found, steps

    def _wake(self, n: Node) -> None:
        """Place what waits and cannot be done beside its reader, which reads it in another order or is no pass."""
        for x in n.ins:
            if isinstance(x, Num) or x.base not in self.waiting:
                continue
            if not (isinstance(n, (Map, Reduce)) and (direct(x) or spread_rows(x, x.shape))):
                self._place(self.waiting.pop(x.base))

    def _beside(self, g: Group, x: Operand, level: str) -> Operand:
        """An operand, made in the group if it waits."""
        if isinstance(x, Num) or x.base not in self.waiting:
            return x
        if x.base not in g.clones:
            n = self.waiting[x.base]
            mine = ROW if level == ROW or not direct(x) else ELEM
            ins = tuple([self._beside(g, y, mine) for y in n.ins])
            clone = g.clones[x.base] = Buffer(n.out.dtype, n.out.shape)
            g.add(Map(clone, n.op, ins, n.to), mine)
            self.home[clone] = g
        return Access(g.clones[x.base], x.shape, x.strides, x.offset)

    # -- placing ----------------------------------------------------------------------------------------------------------

    def _place(self, n: Node) -> None:
        self._wake(n)
        if isinstance(n, (Map, Reduce)):
            for g in self._candidates(n):
                level = self._level(g, n)
                if level is not None:
                    self._put(g, n, level)
                    return
            grid = n.out.shape if isinstance(n, Map) else n.x.shape
            g = self._new(n, grid or (1,))
            level = self._level(g, n)
            assert level is not None
            self._put(g, n, level)
        else:
            g = self._new(n, None)
            self.home.update((o, g) for o in n.outs)

    def _new(self, n: Node, grid: tuple[int, ...] | None) -> Group:
        g = Group(len(self.list), n, grid)
        self.list.append(g)
        return g

    def _put(self, g: Group, n: Map | Reduce, level: str) -> None:
        if isinstance(n, Map):
            n = Map(n.out, n.op, tuple([self._beside(g, x, level) for x in n.ins]), n.to)
        else:
            per_row = n.x.shape == (g.grid or ())[:-1]
            x = self._beside(g, n.x, ROW if per_row else ELEM)
            assert isinstance(x, Access)
            n = Reduce(n.out, n.op, x, n.axes)
        g.add(n, level)
        self.home[n.out] = g

    # -- which group ----------------------------------------------------------------------------------------------------

    def _candidates(self, n: Map | Reduce) -> Iterator[Group]:
        """Groups that no operand comes after, and that have something in common with the node: nearest first."""
        bases = self._leaves(n)[0]
        first = max([self.home[b].index for b in bases if b in self.home], default=0)
        first = max(first, len(self.list) - _WINDOW)
        for g in self.list[first:]:
            if g.is_loop and len(g.nodes) < _MOST_NODES and len(g.reads) < _MOST_STREAMS and self._related(g, bases):
                yield g

    @staticmethod
    def _related(g: Group, bases: set[Buffer]) -> bool:
        return g.grid == (1,) or any(b in g.level or b in g.reads for b in bases)

    def _level(self, g: Group, n: Map | Reduce) -> str | None:
        """The level that a node has in a group, if it can join it."""
        grid = g.grid
        assert grid is not None
        if isinstance(n, Reduce):
            return self._reduce_level(g, grid, n)
        if n.out.shape == grid and (grid != (1,) or n.out.shape != ()) and all(self._elem(g, grid, x) for x in n.ins):
            return ELEM
        row = grid[:-1]
        if n.out.shape == row and (grid == (1,) or self._uses_rows(g, n)) and all(self._row(g, row, x) for x in n.ins):
            return ROW
        return None

    def _reduce_level(self, g: Group, grid: tuple[int, ...], n: Reduce) -> str | None:
        if n.x.shape == grid and self._elem(g, grid, n.x):
            return ROW if n.axes == (len(grid) - 1,) else LATE
        if n.x.shape == grid[:-1] and n.x.base in g.level and self._row(g, grid[:-1], n.x):
            return LATE
        return None

    @staticmethod
    def _uses_rows(g: Group, n: Map) -> bool:
        return any(isinstance(x, Access) and g.level.get(x.base) == ROW for x in n.ins)

    def _elem(self, g: Group, grid: tuple[int, ...], x: Operand) -> bool:
        """Can an operand be had at every point of the grid?"""
        if isinstance(x, Num):
            return True
        level = g.level.get(x.base)
        if level == ELEM:
            return x.shape == grid and direct(x)
        if level == ROW:
            return spread_rows(x, grid)
        if x.base in self.waiting:
            ins, row = self.waiting[x.base].ins, spread_rows(x, grid)
            if row:
                return all(self._row(g, grid[:-1], y) for y in ins)
            return x.shape == grid and direct(x) and all(self._elem(g, grid, y) for y in ins)
        return level is None and self._before(g, x.base)

    def _row(self, g: Group, row: tuple[int, ...], x: Operand) -> bool:
        """Can an operand be had once per row?"""
        if isinstance(x, Num):
            return True
        level = g.level.get(x.base)
        if level == ROW:
            return x.shape == row and direct(x)
        if x.base in self.waiting:
            return x.shape == row and direct(x) and all(self._row(g, row, y) for y in self.waiting[x.base].ins)
        return level is None and self._before(g, x.base)

    def _before(self, g: Group, b: Buffer) -> bool:
        home = self.home.get(b)
        return home is None or home.index < g.index


def spread_rows(x: Access, grid: tuple[int, ...]) -> bool:
    """Is it a value of rows, repeated along the last axis?"""
    return x.base.shape == grid[:-1] and x.offset == 0 and x.strides == (*contiguous(grid[:-1]), 0)


def stored(gs: Sequence[Group], outputs: Sequence[Buffer]) -> set[Buffer]:
    """The buffers that must lie in memory: outputs, those that another group reads, and all that a loop does not make."""
    found, home = set(outputs), {o: g for g in gs for n in g.nodes for o in n.outs}
    for g in gs:
        for n in g.nodes:
            if not g.is_loop:
                found.update(n.outs)
            found.update(o for o in n.outs if g.level.get(o) == LATE)
            found.update(x.base for x in n.ins if isinstance(x, Access) and home.get(x.base) is not g)
    return found
