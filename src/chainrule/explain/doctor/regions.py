"""Parts of a graph that a person thinks of as one function: elementwise ones, and ones with a full Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from chainrule.emit.numpy import evaluate
from chainrule.explain.doctor.scene import Backward, Scene
from chainrule.ir.graph import Array, Eqn, Var
from chainrule.ir.where import Where
from chainrule.prims import TABLE


class Region(NamedTuple):
    """Everything between `start` and `end`: end is a function of start (and of what does not change with it)."""

    start: Var
    end: Var


def order(s: Scene) -> dict[Var, int]:
    """Place of each variable: inputs first."""
    every = [*s.graph.ins, *[v for e in s.graph.eqns for v in e.outs]]
    return {v: k for k, v in enumerate(every)}


def is_named(v: Var) -> bool:
    """Did the user give it a name?"""
    return bool(v.hint.name if isinstance(v.hint, Where) else v.hint if isinstance(v.hint, str) else None)


def elementwise(s: Scene) -> list[Region]:
    """The elementwise functions of one argument: from each value to the nearest it depends on, the first, and named ones."""
    at = order(s)
    chain: dict[Var, frozenset[Var]] = {}
    found: list[Region] = []
    for e in s.graph.eqns:
        if not TABLE[e.prim].pointwise or len(e.outs) != 1 or e.out not in s.active:
            continue
        active = {a for a in e.ins if isinstance(a, Var) and a in s.active}
        if not active:
            continue
        chain[e.out] = below = frozenset.intersection(*[chain.get(a, frozenset[Var]()) | {a} for a in active])
        starts = sorted(below, key=lambda v: -at[v])
        wanted = [z for k, z in enumerate(starts) if k in (0, len(starts) - 1) or is_named(z)]
        found += [Region(z, e.out) for z in wanted[:4]]
    return found


def dominators(s: Scene) -> dict[Var, Var]:
    """For each active value the last one that everything flows through on its way there."""
    at = order(s)
    parent: dict[Var, Var | None] = dict.fromkeys(s.wrt)

    def meet(a: Var | None, b: Var | None) -> Var | None:
        while a is not b and a is not None and b is not None:
            if at[a] > at[b]:
                a = parent.get(a)
            else:
                b = parent.get(b)
        return a if a is b else None

    for e in s.graph.eqns:
        active = [a for a in e.ins if isinstance(a, Var) and a in s.active]
        if active:
            up: Var | None = active[0]
            for a in active[1:]:
                up = meet(up, a)
            parent.update((v, up) for v in e.outs)
    return {v: u for v, u in parent.items() if u is not None}


def full(s: Scene, pointwise: Sequence[Region], most: int = 128) -> list[Region]:
    """Functions from an array to one of the same shape whose elements depend on each other: softmax, normalisation."""
    up = dominators(s)
    plain = {(r.start, r.end) for r in pointwise}
    found: list[Region] = []
    for e in s.graph.eqns:
        for v in e.outs:
            z = up.get(v)
            steps = 0
            while z is not None and steps < 10:
                same = z.type.shape == v.type.shape and v.type.rank >= 1 and 1 < v.type.size <= most
                if same and (z, v) not in plain and any(not TABLE[q.prim].pointwise for q in between(s, z, v)):
                    found.append(Region(z, v))
                z, steps = up.get(z), steps + 1
    return found


def between(s: Scene, start: Var, end: Var) -> list[Eqn]:
    """The equations that end needs and that need start."""
    lead: set[Var] = {start}
    ahead: list[Eqn] = []
    for e in s.graph.eqns:
        if any(a in lead for a in e.ins if isinstance(a, Var)):
            lead.update(e.outs)
            ahead.append(e)
    needed: set[Var] = {end}
    out: list[Eqn] = []
    for e in reversed(ahead):
        if any(v in needed for v in e.outs):
            needed.update(a for a in e.ins if isinstance(a, Var))
            out.append(e)
    return out[::-1]


def slope(back: Backward, r: Region) -> Array:
    """d end / d start of an elementwise region."""
    return back.inside({r.end: np.ones(r.end.type.shape, r.end.type.dtype)}, r.start)


def diagonal(back: Backward, r: Region) -> Array:
    """The diagonal of the Jacobian of a region."""
    n = r.end.type.size
    out = np.zeros(n)
    for k in range(n):
        one = np.zeros(n)
        one[k] = 1
        out[k] = np.ravel(back.inside({r.end: one.reshape(r.end.type.shape)}, r.start))[k]
    return out.reshape(r.end.type.shape)


def moved(s: Scene, r: Region, value: Array) -> Scene:
    """The scene with another value at the start of a region, as far as its end sees it."""
    values: dict[Var, Array] = {**s.values, r.start: value}
    with np.errstate(all="ignore"):
        for e in between(s, r.start, r.end):
            row = TABLE[e.prim]
            ys = evaluate(
                row, [np.broadcast_to(a.value if not isinstance(a, Var) else values[a], a.type.shape) for a in e.ins], e.params
            )
            values.update(zip(e.outs, [np.broadcast_to(y, v.type.shape) for y, v in zip(ys, e.outs, strict=True)], strict=True))
    return Scene(s.graph, values, s.wrt, s.names)


def bare(s: Scene) -> Backward:
    """A backward pass that has not been run."""
    b = Backward.__new__(Backward)
    b.scene, b.inject, b.cts, b.sent = s, {}, {}, {}
    return b
