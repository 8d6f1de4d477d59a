"""A group of fused nodes as a kernel: in which pass along the row each value is made, what is kept, what is made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from . import loops
from .fuse import COSTLY, ELEM, ROW, Group
from .loops import Stage, Step
from .nodes import Access, Buffer, Map, Num, Operand, Reduce, contiguous

__all__ = ["Built", "Start", "build", "merging", "neutral"]

_MERGE = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum", "any": "logical_or", "all": "logical_and"}


@dataclass(frozen=True)
class Start:
    """An array that a kernel gathers into: its operand, what it starts from, and the operation that gathers."""

    buffer: Buffer
    name: str
    value: Any
    op: str


@dataclass
class Built:
    """A kernel, the buffer behind each of its operands, sizes of its scratch rows, and what accumulators start from."""

    kernel: loops.Kernel
    buffers: dict[str, Buffer]
    scratch: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    starts: list[Start] = field(default_factory=list[Start])


def neutral(op: str, dtype: str) -> Any:
    """What a reduction starts from."""
    if op in ("max", "min"):
        if dtype.startswith("float"):
            return -np.inf if op == "max" else np.inf
        info = np.iinfo(dtype)
        return int(info.min if op == "max" else info.max)
    return {"sum": 0, "prod": 1, "any": 0, "all": 1}[op]


def merging(op: str) -> str:
    """The elementwise operation of a reduction."""
    return _MERGE[op]


def build(g: Group, stored: set[Buffer]) -> Built:
    """The kernel of a group."""
    return _Builder(g, stored).built()


class _Passes:
    """The growing contents of one stage."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.stores: list[tuple[Any, str]] = []
        self.reduces: list[loops.Reduce] = []
        self.row_steps: list[Step] = []
        self.row_stores: list[tuple[Any, str]] = []
        self.row_adds: list[tuple[Any, str, str]] = []
        self.known: set[Buffer] = set()

    def stage(self) -> Stage:
        return Stage(
            tuple(self.steps),
            tuple(self.stores),
            tuple(self.reduces),
            tuple(self.row_steps),
            tuple(self.row_stores),
            tuple(self.row_adds),
        )


class _Builder:
    def __init__(self, g: Group, stored: set[Buffer]):
        assert g.grid is not None
        self.g, self.stored = g, stored
        self.grid = g.grid
        self.flat = self._merge_last()
        self.operands: dict[str, loops.Operand] = {}
        self.buffers: dict[str, Buffer] = {}
        self.scratch: dict[str, tuple[str, int]] = {}
        self.starts: list[Start] = []
        self.names: dict[Any, str] = {}
        self.number: dict[Buffer, int] = {}
        self.pass_of: dict[Buffer, int] = {}  # the pass in which an element is first made, or after which a row value is known
        self.maker: dict[Buffer, Map] = {}
        self.passes: list[_Passes] = []

    # -- the grid -------------------------------------------------------------------------------------------------------

    def _merge_last(self) -> int:
        """How many last axes become one, where every operand and every reduction allows it."""
        g, grid = self.g, self.grid
        if any(level == ROW for level in g.level.values()):
            return 1
        axes = 1
        while axes < len(grid):
            k = len(grid) - axes - 1
            inner = prod(grid[k + 1 :])
            for n in g.nodes:
                if isinstance(n, Reduce) and (k in n.axes) != (k + 1 in n.axes):
                    return axes
                for x in n.ins:
                    if isinstance(x, Access) and x.strides[k] != inner * x.strides[-1]:
                        return axes
            axes += 1
        return axes

    def _shape(self) -> tuple[int, ...]:
        kept = len(self.grid) - self.flat
        return (*self.grid[:kept], prod(self.grid[kept:]))

    def _strides(self, strides: Sequence[int]) -> tuple[int, ...]:
        return (*strides[: len(self.grid) - self.flat], strides[-1])

    # -- names ------------------------------------------------------------------------------------------------------------

    def _value(self, b: Buffer) -> str:
        return f"v{self.number.setdefault(b, len(self.number))}"

    def _operand(self, b: Buffer, strides: tuple[int, ...], offset: int = 0) -> str:
        key = (b, strides, offset)
        if key not in self.names:
            name = self.names[key] = f"m{len(self.names)}"
            self.operands[name] = loops.Operand(b.dtype, strides, max(b.size, 1), offset)
            self.buffers[name] = b
        return self.names[key]

    def _elem_place(self, b: Buffer) -> str:
        """Where an element of the grid is stored."""
        return self._operand(b, self._strides(contiguous(self.grid)))

    def _row_place(self, b: Buffer) -> str:
        return self._operand(b, (*contiguous(self.grid[:-1]), 0) if self.flat == 1 else (0,) * len(self._shape()))

    def _scratch(self, b: Buffer) -> str:
        key = ("scratch", b)
        if key not in self.names:
            name = self.names[key] = f"t{len(self.names)}"
            shape = self._shape()
            self.operands[name] = loops.Operand(b.dtype, (*(0 for _ in shape[:-1]), 1), shape[-1])
            self.scratch[name] = (b.dtype, shape[-1])
        return self.names[key]

    # -- passes -------------------------------------------------------------------------------------------------------------

    def built(self) -> Built:
        for n in self.g.nodes:
            if isinstance(n, Map):
                self.maker[n.out] = n
            self.pass_of[n.outs[0]] = self._pass(n)
        self.passes = [_Passes() for _ in range(max([0, *self.pass_of.values()]) + 1)]
        for n in self.g.nodes:
            assert isinstance(n, (Map, Reduce))
            self._reduce(n) if isinstance(n, Reduce) else self._map(n)
        kernel = loops.Kernel(self._shape(), self.operands, tuple([p.stage() for p in self.passes]))
        return Built(kernel, self.buffers, self.scratch, self.starts)

    def _pass(self, n: Any) -> int:
        """The pass of an element: the first after the row values that it needs. Of a row value: after which it is known."""
        mine = self.g.level[n.outs[0]]
        found = -1 if mine == ROW and isinstance(n, Map) else 0
        for x in n.ins:
            if isinstance(x, Access) and x.base in self.g.level:
                later = 1 if self.g.level[x.base] == ROW and not self._per_row(n, mine) else 0
                found = max(found, self.pass_of[x.base] + later)
        return found

    def _per_row(self, n: Any, level: str) -> bool:
        """Does the node work on values of rows?"""
        return (level == ROW and isinstance(n, Map)) or (
            isinstance(n, Reduce) and self.g.level.get(n.x.base) == ROW and n.x.shape == self.grid[:-1]
        )

    def _map(self, n: Map) -> None:
        at = self.pass_of[n.out]
        if self.g.level[n.out] == ROW:
            p = self.passes[max(at, 0)]
            value = self._row_value(n)
            if isinstance(value, Step):
                (p.row_steps if at >= 0 else p.steps).append(value)
                value = value.out
            if n.out in self.stored:
                p.row_stores.append((value, self._row_place(n.out)))
        elif n.out in self.stored:
            self.passes[at].stores.append((self._elem(n.out, at), self._elem_place(n.out)))

    def _row_value(self, n: Map) -> Step | Any:
        if all(isinstance(x, Num) for x in n.ins):
            return number(n.ins[0])
        return Step(self._value(n.out), n.op, tuple([self._row_input(x) for x in n.ins]), n.to or _dtype_of_where(n))

    def _row_input(self, x: Operand) -> Any:
        if isinstance(x, Num):
            return number(x)
        if x.base in self.g.level:
            return self._value(x.base)
        return self._operand(x.base, (*x.strides, 0), x.offset)

    def _elem(self, b: Buffer, at: int) -> str | Any:
        """The name of an element's value in a pass: made here, loaded, or made again."""
        p, n = self.passes[at], self.maker[b]
        if b in p.known:
            return self._value(b)
        if self.pass_of[b] < at:
            if b in self.stored:
                return self._elem_place(b)
            if n.op in COSTLY:
                return self._kept(b)
        if all(isinstance(x, Num) for x in n.ins):
            return number(n.ins[0])
        ins = tuple([self._elem_input(x, at) for x in n.ins])
        p.steps.append(Step(self._value(b), n.op, ins, n.to or _dtype_of_where(n)))
        p.known.add(b)
        return self._value(b)

    def _kept(self, b: Buffer) -> str:
        """An element that was dear to make, from a row of scratch memory that it was stored to."""
        first = self.passes[self.pass_of[b]]
        place = self._scratch(b)
        if not any(name == place for _, name in first.stores):
            first.stores.append((self._elem(b, self.pass_of[b]), place))
        return place

    def _elem_input(self, x: Operand, at: int) -> Any:
        if isinstance(x, Num):
            return number(x)
        level = self.g.level.get(x.base)
        if level == ELEM:
            return self._elem(x.base, at)
        if level == ROW:
            return self._value(x.base)
        return self._operand(x.base, self._strides(x.strides), x.offset)

    # -- reductions -----------------------------------------------------------------------------------------------------------

    def _reduce(self, n: Reduce) -> None:
        at = self.pass_of[n.out]
        p = self.passes[at]
        if self._per_row(n, self.g.level[n.out]):
            p.row_adds.append((self._row_input(n.x), n.op, self._accumulator(n, n.axes, self.grid[:-1], (0,))))
            return
        value = self._elem_input(n.x, at)
        last = len(self.grid) - 1
        if last not in n.axes:
            self._down(n, value, p)
            return
        p.reduces.append(loops.Reduce(self._value(n.out), n.op, value))
        everything = len(n.axes) == self.flat
        if self.g.level[n.out] == ROW or everything:
            if n.out in self.stored:
                outer = contiguous(self.grid[: len(self.grid) - self.flat])
                p.row_stores.append((self._value(n.out), self._operand(n.out, (*outer, 0))))
            return
        p.row_adds.append((self._value(n.out), n.op, self._accumulator(n, n.axes, self.grid, ())))

    def _down(self, n: Reduce, value: Any, p: _Passes) -> None:
        """Gather over the rows, in memory, one number for every place of the last axis."""
        place = self._accumulator(n, n.axes, self.grid, ())
        out = self._value(n.out)
        p.steps.append(Step(out, merging(n.op), (place, value)))
        p.stores.append((out, place))

    def _accumulator(self, n: Reduce, axes: Sequence[int], shape: tuple[int, ...], tail: tuple[int, ...]) -> str:
        """The operand of a result that lies still along the reduced axes."""
        kept = iter(contiguous([m for k, m in enumerate(shape) if k not in axes]))
        strides = tuple([0 if k in axes else next(kept) for k in range(len(shape))])
        name = self._operand(n.out, self._strides(strides) if not tail else (*strides, *tail))
        self.starts.append(Start(n.out, name, neutral(n.op, n.out.dtype), n.op))
        return name


def _dtype_of_where(n: Map) -> str:
    return n.out.dtype if n.op == "where" else ""


def number(x: Operand) -> Any:
    """A number as Python has it; unsigned ones by their bits."""
    assert isinstance(x, Num)
    if x.dtype.startswith("uint"):
        return np.asarray(x.value, x.dtype).view(x.dtype[1:])[()].item()
    return np.asarray(x.value, x.dtype)[()].item()
