"""What the rules of rows that hold graphs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from chainrule import errors
from chainrule.build.row import Tangent, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.transform.jvp import jvp
from chainrule.transform.split import split
from chainrule.transform.tidy import live, tidy

T = TypeVar("T")


def is_zero(a: Atom) -> bool:
    """Is this output known, without computing, to be zero?"""
    return isinstance(a, Lit) and a.is_number(0)


def nonzero(ds: Sequence[Tangent]) -> list[bool]:
    """Which tangents are not known to be zero."""
    return [not isinstance(d, Zero) for d in ds]


def where(flags: Sequence[bool]) -> list[int]:
    """Positions of the flags that are set."""
    return [i for i, f in enumerate(flags) if f]


def kept(xs: Sequence[T], flags: Sequence[bool]) -> list[T]:
    """The elements whose flag is set."""
    return [x for x, f in zip(xs, flags, strict=True) if f]


def placed(values: Sequence[Value], flags: Sequence[bool], outs: Sequence[Atom]) -> list[Tangent]:
    """One tangent per output: the values where the flag is set, zero elsewhere."""
    given = iter(values)
    return [next(given) if f else Zero(a.type) for f, a in zip(flags, outs, strict=True)]


def reaches(g: Graph, flags: Sequence[bool]) -> list[bool]:
    """Which outputs depend on the flagged inputs."""
    found = set(kept(g.ins, flags))
    for e in g.eqns:
        if any(a in found for a in e.ins if isinstance(a, Var)):
            found.update(e.outs)
    return [isinstance(a, Var) and a in found for a in g.outs]


def reads(g: Graph) -> list[bool]:
    """Which inputs are used."""
    used = {a for e in g.eqns for a in e.ins} | set(g.outs)
    return [v in used for v in g.ins]


class Halves(NamedTuple):
    """A differentiated body: ``forward`` x -> (y, r), ``linear`` (r, dx) -> dy; `moving` says which dy there are."""

    forward: Graph
    linear: Graph
    residuals: tuple[Var, ...]
    moving: list[bool]


def differentiated(body: Graph, active: Sequence[bool], always: Sequence[bool] | None = None) -> tuple[Graph, list[bool]]:
    """(x, dx) -> (y, dy) with the dx of the active inputs and the dy that are not zero or are wanted `always`."""
    both, m = jvp(body, where(active)), len(body.outs)
    moving = [not is_zero(a) for a in both.outs[m:]]
    if always is not None:
        moving = [a or b for a, b in zip(moving, always, strict=True)]
    return tidy(Graph(both.ins, both.eqns, (*both.outs[:m], *kept(both.outs[m:], moving)))), moving


def halves(body: Graph, active: Sequence[bool], always: Sequence[bool] | None = None) -> Halves | None:
    """The two halves of a derivative; None where they cannot be parted (there is a while loop inside)."""
    both, moving = differentiated(body, active, always)
    m = len(body.outs)
    try:
        forward, linear = split(both, known=len(body.ins), outs=m)
    except errors.NotDifferentiableError:
        return None
    residuals = forward.outs[m:]
    return Halves(live(forward), linear, tuple([a for a in residuals if isinstance(a, Var)]), moving)


def reordered(g: Graph, order: Sequence[Var]) -> Graph:
    """The same function with its inputs in another order."""
    return Graph(tuple(order), g.eqns, g.outs)


def closure(g: Graph, known: Sequence[Var]) -> tuple[set[Var], list[Eqn]]:
    """What can be computed from some of the inputs alone, and the equations that do it."""
    found, eqns = set(known), list[Eqn]()
    for e in g.eqns:
        if all(isinstance(a, Lit) or a in found for a in e.ins):
            found.update(e.outs)
            eqns.append(e)
    return found, eqns
