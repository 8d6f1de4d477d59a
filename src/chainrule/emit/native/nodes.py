"""The program between the graph and the machine: arrays without axes of length 1, and what computes them.

An `Access` is how an operand is read: broadcasting, transposing, slicing and reversing are strides, never work. Axes of
length 1 are left out everywhere, so that reshaping to and from them is nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from chainrule.ir.graph import Array as NumpyArray
from chainrule.ir.graph import Eqn

__all__ = ["Access", "Assemble", "Block", "Buffer", "Call", "Cond", "Contract", "Map", "Node", "Num", "Operand", "Reduce", "Scan",
           "Special", "While", "contiguous", "direct"]  # fmt: skip

Shape = tuple[int, ...]


class Buffer:
    """One array, contiguous if it comes to lie in memory; `external` is the number of a constant of the program."""

    __slots__ = ("constant", "dtype", "external", "shape")

    def __init__(self, dtype: str, shape: Shape, external: int | None = None, constant: NumpyArray | None = None):
        self.dtype, self.shape, self.external, self.constant = dtype, shape, external, constant

    @property
    def size(self) -> int:
        return prod(self.shape)

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}@{id(self) % 9973}"


@dataclass(frozen=True)
class Num:
    """One number for all elements."""

    value: Any
    dtype: str
    shape: Shape


@dataclass(frozen=True)
class Access:
    """Element (i, j, ...) is element ``offset + i strides[0] + j strides[1] + ...`` of the buffer."""

    base: Buffer
    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def dtype(self) -> str:
        return self.base.dtype

    @property
    def size(self) -> int:
        return prod(self.shape)


Operand = Access | Num


def contiguous(shape: Sequence[int]) -> Shape:
    """Strides of an array without gaps."""
    strides, n = list[int](), 1
    for k in reversed(shape):
        strides.append(n)
        n *= k
    return tuple(reversed(strides))


def whole(b: Buffer) -> Access:
    """All of a buffer, as it lies."""
    return Access(b, b.shape, contiguous(b.shape))


def direct(a: Access) -> bool:
    """Is it all of its buffer, in the shape that this has?"""
    return a.shape == a.base.shape and a.offset == 0 and a.strides == contiguous(a.shape)


def packed(a: Access) -> bool:
    """Do its elements lie one after the other?"""
    return a.strides == contiguous(a.shape)


@dataclass(eq=False)
class Map:
    """``out = op(*ins)``, element by element; `to` is the dtype of a cast."""

    out: Buffer
    op: str
    ins: tuple[Operand, ...]
    to: str = ""

    @property
    def outs(self) -> tuple[Buffer, ...]:
        return (self.out,)


@dataclass(eq=False)
class Reduce:
    """``out`` = sum, prod, max, min, any or all of `x` over `axes`."""

    out: Buffer
    op: str
    x: Access
    axes: tuple[int, ...]

    @property
    def outs(self) -> tuple[Buffer, ...]:
        return (self.out,)

    @property
    def ins(self) -> tuple[Operand, ...]:
        return (self.x,)


@dataclass(eq=False)
class Contract:
    """A batch of matrix products: out (batch, m, n) = a (batch, m, k) b (batch, k, n), b contiguous along n."""

    out: Buffer
    a: Access
    b: Access
    m: int
    n: int
    k: int

    @property
    def outs(self) -> tuple[Buffer, ...]:
        return (self.out,)

    @property
    def ins(self) -> tuple[Operand, ...]:
        return (self.a, self.b)


@dataclass(frozen=True)
class Part:
    """Where an operand goes in a larger array."""

    x: Operand
    strides: Shape
    offset: int


@dataclass(eq=False)
class Assemble:
    """`out` filled with a number, if there is one, then with its parts."""

    out: Buffer
    fill: Any
    parts: tuple[Part, ...]

    @property
    def outs(self) -> tuple[Buffer, ...]:
        return (self.out,)

    @property
    def ins(self) -> tuple[Operand, ...]:
        return tuple([p.x for p in self.parts])


@dataclass(eq=False)
class Special:
    """An operation with a loop of its own: a gather, a running sum, random bits."""

    kind: str
    outs: tuple[Buffer, ...]
    ins: tuple[Operand, ...]
    params: dict[str, Any]


@dataclass(eq=False)
class Call:
    """An equation that the numpy engine evaluates; its number among the program's calls."""

    outs: tuple[Buffer, ...]
    ins: tuple[Operand, ...]
    eqn: Eqn
    number: int
    why: str


@dataclass(eq=False)
class Block:
    """A straight program: it makes its outputs, each by a node of its own, from its inputs and whatever lies outside it."""

    inputs: list[Buffer] = field(default_factory=list[Buffer])
    nodes: list[Any] = field(default_factory=list[Any])
    outputs: list[Buffer] = field(default_factory=list[Buffer])


@dataclass(eq=False)
class Scan:
    """The body's first inputs and outputs are what is carried, the rest are slices of `xs` and of the stacked outputs."""

    outs: tuple[Buffer, ...]
    carry: tuple[Operand, ...]
    xs: tuple[Access, ...]
    body: Block
    length: int
    reverse: bool
    outer: tuple[Operand, ...] = ()

    @property
    def ins(self) -> tuple[Operand, ...]:
        return (*self.carry, *self.xs, *self.outer)


@dataclass(eq=False)
class While:
    """``while test(carry): carry = body(carry)``."""

    outs: tuple[Buffer, ...]
    carry: tuple[Operand, ...]
    test: Block
    body: Block
    outer: tuple[Operand, ...] = ()

    @property
    def ins(self) -> tuple[Operand, ...]:
        return (*self.carry, *self.outer)


@dataclass(eq=False)
class Cond:
    """One of two programs without inputs of their own."""

    outs: tuple[Buffer, ...]
    test: Access
    branches: tuple[Block, Block]
    outer: tuple[Operand, ...] = ()

    @property
    def ins(self) -> tuple[Operand, ...]:
        return (self.test, *self.outer)


Node = Map | Reduce | Contract | Assemble | Special | Call | Scan | While | Cond


def inner_blocks(n: Node) -> tuple[Block, ...]:
    """The programs inside a node."""
    if isinstance(n, Scan):
        return (n.body,)
    if isinstance(n, While):
        return (n.test, n.body)
    return n.branches if isinstance(n, Cond) else ()


def outer_reads(blocks: Sequence[Block]) -> tuple[Access, ...]:
    """The buffers that programs read and do not make themselves."""
    made: set[Buffer] = set()
    read: dict[Buffer, None] = {}

    def walk(b: Block) -> None:
        made.update(b.inputs)
        for n in b.nodes:
            for i in n.ins:
                if isinstance(i, Access):
                    read.setdefault(i.base)
            for inner in inner_blocks(n):
                walk(inner)
            made.update(n.outs)

    for b in blocks:
        walk(b)
    return tuple([whole(b) for b in read if b not in made])
