"""Formulas as trees of matrix algebra: what is printed is such a tree, and every tree can be evaluated.

Values of rank 1 are columns.  A tree knows its value on arrays (`evaluate`), so that a formula is checked by evaluating the
very tree that is printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import special

from chainrule.explain.sizes import Monomial, Sizes
from chainrule.prims import TABLE

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Node:
    """A formula with these sizes along its axes."""

    sizes: tuple[Monomial, ...]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.sizes)

    @property
    def children(self) -> tuple[Node, ...]:
        """The formulas inside."""
        return ()

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        """Its value; arrays that broadcast may be smaller than `sizes` says."""
        raise NotImplementedError

    def full(self, env: Arrays, sizes: Sizes) -> Any:
        """Its value at its full shape."""
        return np.broadcast_to(self.evaluate(env, sizes), tuple(s.whole(sizes) for s in self.sizes))


@dataclass(frozen=True)
class Name(Node):
    """A variable; `mirrored` ones are symmetric matrices."""

    name: str
    mirrored: bool = False

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return env[self.name]


@dataclass(frozen=True, eq=False)
class Literal(Node):
    """An array that the program holds itself."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and np.array_equal(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.value.tobytes())

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return self.value


@dataclass(frozen=True)
class Num(Node):
    """A number, or a formula of sizes."""

    m: Monomial

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.float64(self.m.value(sizes))


@dataclass(frozen=True)
class Total(Node):
    """A sum; parts of rank 0 are added to every element."""

    parts: tuple[tuple[int, Node], ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(x for _, x in self.parts)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        out: Any = 0.0
        for sign, x in self.parts:
            out = out + sign * x.evaluate(env, sizes)
        return out


@dataclass(frozen=True)
class Scaled(Node):
    """A number, scalars above and below the line, and what they multiply."""

    m: Monomial
    top: tuple[Node, ...]
    bottom: tuple[Node, ...]
    body: Node | None

    @property
    def children(self) -> tuple[Node, ...]:
        return (*self.top, *self.bottom, *([self.body] if self.body is not None else []))

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        out: Any = np.float64(self.m.value(sizes))
        for x in self.top:
            out = out * x.evaluate(env, sizes)
        for x in self.bottom:
            out = out / x.evaluate(env, sizes)
        return out if self.body is None else out * self.body.evaluate(env, sizes)


@dataclass(frozen=True)
class Turn(Node):
    """Transpose; of a column, a row."""

    x: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.x,)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return self.x.full(env, sizes).T


@dataclass(frozen=True)
class Chain(Node):
    """A matrix product; `a b^T` of two columns is a matrix, `a^T b` a number."""

    factors: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.factors

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        out: Any = None
        for f in self.factors:
            x = f.full(env, sizes)
            if isinstance(f, Turn) and f.x.rank == 1:
                x = x.reshape(1, -1)
            elif f.rank == 1:
                x = x.reshape(-1, 1)
            out = x if out is None else out @ x
        return out.reshape(tuple(s.whole(sizes) for s in self.sizes))


@dataclass(frozen=True)
class Had(Node):
    """Products and quotients element by element."""

    top: tuple[Node, ...]
    bottom: tuple[Node, ...] = ()

    @property
    def children(self) -> tuple[Node, ...]:
        return (*self.top, *self.bottom)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        out: Any = 1.0
        for x in self.top:
            out = out * x.full(env, sizes)
        for x in self.bottom:
            out = out / x.full(env, sizes)
        return out


@dataclass(frozen=True)
class Power(Node):
    """A power element by element."""

    x: Node
    p: Fraction

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.x,)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        x = self.x.evaluate(env, sizes)
        return np.sqrt(x) if self.p == Fraction(1, 2) else x ** (int(self.p) if self.p.denominator == 1 else float(self.p))


@dataclass(frozen=True)
class Func(Node):
    """A row of the table, element by element."""

    row: str
    args: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.args

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        value = TABLE[self.row].value
        assert value is not None
        y = value(*[x.evaluate(env, sizes) for x in self.args])
        return y.astype(np.float64) if y.dtype == np.bool_ and self.row not in ("select",) else y


@dataclass(frozen=True)
class Call(Node):
    """An operation on whole arrays."""

    prim: str
    params: tuple[tuple[str, Any], ...]
    args: tuple[Node, ...]
    output: int = 0

    @property
    def children(self) -> tuple[Node, ...]:
        return self.args

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        xs = [x.full(env, sizes) for x in self.args]
        return called(self.prim, xs, {k: concrete(p, sizes) for k, p in self.params}, self.output)


def concrete(p: Any, sizes: Sizes) -> Any:
    """A parameter at these sizes."""
    if isinstance(p, Monomial):
        v = p.value(sizes)
        return round(v) if float(v).is_integer() else v
    return tuple(concrete(q, sizes) for q in p) if isinstance(p, tuple) else p  # pyright: ignore[reportUnknownVariableType]


def called(prim: str, xs: Sequence[Any], params: Mapping[str, Any], output: int) -> Any:
    """The value of an operation on whole arrays."""
    if prim == "softmax":
        return special.softmax(xs[0], axis=params["axes"])
    if prim == "logsumexp":
        return special.logsumexp(xs[0], axis=params["axes"])
    row = TABLE[prim]
    assert row.value is not None
    y = row.value(*xs, **params)
    return y[output] if isinstance(y, tuple) else y


@dataclass(frozen=True)
class Diag(Node):
    """The diagonal matrix of a vector."""

    x: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.x,)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.diag(self.x.full(env, sizes))


@dataclass(frozen=True)
class DiagOf(Node):
    """The diagonal of a matrix."""

    x: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.x,)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.diagonal(self.x.full(env, sizes))


@dataclass(frozen=True)
class Trace(Node):
    """Sum of the diagonal."""

    x: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.x,)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.trace(self.x.full(env, sizes))


@dataclass(frozen=True)
class Norm(Node):
    """Euclidean (Frobenius) norm to a whole power."""

    x: Node
    p: int

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.x,)

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.sum(self.x.full(env, sizes) ** 2) ** (self.p / 2)


@dataclass(frozen=True)
class Ones(Node):
    """The vector of ones."""

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.ones(self.sizes[0].whole(sizes))


@dataclass(frozen=True)
class Unit(Node):
    """A unit vector: 1 at one place, counted from 0."""

    place: int

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.eye(self.sizes[0].whole(sizes))[self.place]


@dataclass(frozen=True)
class Known(Node):
    """A constant array that every size has."""

    kind: str

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        n = self.sizes[0].whole(sizes)
        return np.tri(n, k=-1) if self.kind == "below" else np.arange(n)


@dataclass(frozen=True)
class Eye(Node):
    """The identity matrix."""

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        return np.eye(self.sizes[0].whole(sizes))


@dataclass(frozen=True)
class Piece:
    """An operand of a sum with indices: what, its letters, its power."""

    x: Node
    letters: str
    p: Fraction = Fraction(1)


@dataclass(frozen=True)
class Einsum(Node):
    """A sum over indices of a product of elements."""

    pieces: tuple[Piece, ...]
    out: str
    extent: tuple[tuple[str, Monomial], ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return tuple(p.x for p in self.pieces)

    @property
    def summed(self) -> str:
        """The letters that do not stay."""
        return "".join(dict.fromkeys(s for p in self.pieces for s in p.letters if s not in self.out))

    def evaluate(self, env: Arrays, sizes: Sizes) -> Any:
        xs = [p.x.full(env, sizes) for p in self.pieces]
        xs = [x if p.p == 1 else x ** float(p.p) for x, p in zip(xs, self.pieces, strict=True)]
        letters = [p.letters for p in self.pieces]
        missing = [s for s in self.out if not any(s in a for a in letters)]
        xs += [np.ones(dict(self.extent)[s].whole(sizes)) for s in missing]
        return np.einsum(f"{','.join([*letters, *missing])}->{self.out}", *xs, optimize=True)


def in_elements(x: Node) -> bool:
    """Can it only be written element by element?"""
    if x.rank > 2 or (isinstance(x, Einsum) and x.rank > 0):
        return not isinstance(x, Name | Literal)
    return x.rank > 0 and any(in_elements(c) for c in x.children if c.rank)


def names_in(x: Node) -> list[str]:
    """Variables, each once, in order."""
    out: dict[str, None] = {x.name: None} if isinstance(x, Name) else {}
    for c in x.children:
        out.update(dict.fromkeys(names_in(c)))
    return list(out)
