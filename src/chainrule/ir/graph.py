"""The one program representation: a typed, immutable, single-assignment graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.ir.hints import Hint
from chainrule.ir.types import ArrayType
from chainrule.ir.where import Where

Array: TypeAlias = NDArray[Any]
Params: TypeAlias = Mapping[str, Any]


class Var:
    """A name for one value in one graph.  `weak` marks what came in as a Python number, which takes the dtype it meets.

    `hint` is what it may be called: None until somebody asks, empty where nothing is known.
    """

    __slots__ = ("hint", "type", "weak")

    def __init__(self, type: ArrayType, weak: type | None = None, hint: Hint | None = None) -> None:
        self.type = type
        self.weak = weak
        self.hint = hint

    def __repr__(self) -> str:
        return f"Var({self.type})"


class Lit:
    """A constant: an array of exactly this type, or one number standing for all elements of it."""

    __slots__ = ("type", "value")

    def __init__(self, value: Array, type: ArrayType) -> None:
        self.value = value
        self.type = type

    @property
    def splat(self) -> bool:
        """Is it one number for all elements?"""
        return self.value.ndim == 0

    def is_number(self, number: complex) -> bool:
        """Is every element this number?"""
        return self.value.ndim == 0 and bool(self.value == number)

    def __repr__(self) -> str:
        return f"Lit({self.value!r}, {self.type})"


Atom: TypeAlias = "Var | Lit"


class Eqn(NamedTuple):
    """``outs = prim[params](*ins)``; `prim` is the name of a row of the table."""

    prim: str
    ins: tuple[Atom, ...]
    outs: tuple[Var, ...]
    params: Params
    where: Where | None

    @property
    def out(self) -> Var:
        """The output of an equation that has one."""
        (v,) = self.outs
        return v


@dataclass(frozen=True, eq=False)
class Graph:
    """A closed function: inputs, equations in order, outputs."""

    ins: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    outs: tuple[Atom, ...]

    @property
    def in_types(self) -> tuple[ArrayType, ...]:
        """Types of the inputs."""
        return tuple(v.type for v in self.ins)

    @property
    def out_types(self) -> tuple[ArrayType, ...]:
        """Types of the outputs."""
        return tuple(a.type for a in self.outs)

    def __str__(self) -> str:
        from chainrule.ir.show import show

        return show(self)


def number(value: Any, type: ArrayType) -> Lit:
    """One number, cast to the dtype of `type`, for all its elements."""
    return Lit(np.asarray(value, type.dtype), type)


def subgraphs(e: Eqn) -> Iterator[Graph]:
    """The graphs an equation carries among its parameters (bodies of loops, branches)."""
    for p in e.params.values():
        if isinstance(p, Graph):
            yield p
        elif isinstance(p, tuple):
            yield from (q for q in p if isinstance(q, Graph))  # pyright: ignore[reportUnknownVariableType]


def structure(g: Graph, slot: Callable[[Lit], bool] | None = None) -> tuple[tuple[Any, ...], list[Lit]]:
    """A hashable description that is equal for graphs that differ only in constants, and those constants in order.

    ``slot(lit)`` says which constants are left out of the description (all but a few small numbers by default).
    """
    slot = slot or _is_slot
    seen: dict[Var, int] = {v: k for k, v in enumerate(g.ins)}
    lits: list[Lit] = []
    parts: list[Any] = [tuple((v.type, v.weak) for v in g.ins)]

    def ref(a: Atom) -> Any:
        if isinstance(a, Var):
            return seen[a]
        if slot(a):
            lits.append(a)
            return ("open", a.type, a.value.ndim == 0)
        return ("fixed", a.type, a.value.tobytes())  # as bytes: 1.0 equals True, and 0.0 equals -0.0

    for e in g.eqns:
        ins = tuple([ref(a) for a in e.ins])
        parts.append((e.prim, ins, tuple([(k, _param_key(p)) for k, p in e.params.items()]) if e.params else ()))
        for v in e.outs:
            seen[v] = len(seen)
    parts.append(tuple([ref(a) for a in g.outs]))
    return tuple(parts), lits


def opened(g: Graph) -> Graph:
    """`g` with the constants that `structure` leaves out as further inputs, in the same order."""
    new: list[Var] = []

    def name(a: Atom) -> Atom:
        if isinstance(a, Lit) and _is_slot(a):
            new.append(Var(a.type))
            return new[-1]
        return a

    eqns = tuple([e._replace(ins=tuple([name(a) for a in e.ins])) for e in g.eqns])
    outs = tuple([name(a) for a in g.outs])
    return Graph((*g.ins, *new), eqns, outs)


def _is_slot(a: Lit) -> bool:
    return a.value.ndim != 0 or a.value.item() not in (0, 1, 2, 3, -1, 0.5)


def _param_key(p: Any) -> Any:
    if isinstance(p, Graph):
        # Constants inside a body are baked into its compiled form, so they belong to the key by identity.
        key, inner = structure(p, slot=lambda a: a.value.ndim != 0)
        return key, tuple([_Same(a.value) for a in inner])
    if isinstance(p, tuple):
        return tuple([_param_key(q) for q in p])  # pyright: ignore[reportUnknownVariableType]
    return p


class _Same:
    """Equality by identity, keeping the object alive so that its address is not reused."""

    __slots__ = ("of",)

    def __init__(self, of: object) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.of is self.of

    def __hash__(self) -> int:
        return id(self.of)
