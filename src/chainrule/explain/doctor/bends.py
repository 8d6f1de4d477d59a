"""Single edits of a backward pass: a path scaled, a local derivative that is another one, a Jacobian cut to its diagonal.

Each bend says what it adds to the cotangents of some values; because a backward pass is linear, what it adds to the gradient
is what those additions are worth at the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.explain.doctor import known
from chainrule.explain.doctor.regions import Region, bare, diagonal, elementwise, full, is_named, moved, order, slope
from chainrule.explain.doctor.scene import Backward, Edge, Scene, gradient
from chainrule.ir.graph import Array, Eqn, Graph, Var
from chainrule.prims import TABLE

Seeds = Mapping[Var, Array]
Sends = Callable[[Backward], "Seeds | None"]


@dataclass(frozen=True, eq=False)
class Bend:
    """One edit.

    Attributes:
        key: the same for the same edit at other data and sizes.
        kind: what kind of mistake it is.
        free: may it be taken any number of times (a path scaled), or once (another local derivative)?
        seeds: what it adds to cotangents; with `free`, the whole of what flows there.
        story: what words are made of.
    """

    key: tuple[Any, ...]
    kind: str
    free: bool
    seeds: Sends
    story: Mapping[str, Any] = field(default_factory=dict[str, Any])


def bends(back: Backward) -> list[Bend]:
    """All single edits of this backward pass."""
    s = back.scene
    at = order(s)
    regions = elementwise(s)
    out = [*_paths(s, at), *_stops(s)]
    for r in regions:
        out += _local(r, (at[r.start], at[r.end]))
    for r in full(s, regions):
        out += _cut(r, (at[r.start], at[r.end]))
    out += _swaps(s)
    out += _extra(s, at)
    out += _inputs(s, at)
    return out


def _inputs(s: Scene, at: Mapping[Var, int]) -> list[Bend]:
    """Data that is left out of the gradient, or enters it with the wrong sign."""
    out: list[Bend] = []
    for v in s.graph.ins:
        if v in s.wrt or not v.type.inexact or not s.uses_any(v):
            continue
        for name, factor in (("left out", 0.0), ("negated", -1.0)):

            def seeds(b: Backward, v: Var = v, factor: float = factor) -> Seeds | None:
                other = Scene(b.scene.graph, {**b.scene.values, v: factor * b.scene.values[v]}, b.scene.wrt, b.scene.names)
                return {w: x - y for w, x, y in zip(s.wrt, gradient(other), gradient(b.scene), strict=True)}

            out.append(Bend((name, at[v]), "term", False, seeds, {"var": v}))
    return out


# --- paths: the same flow, scaled -------------------------------------------------------------------------------------


def _paths(s: Scene, at: Mapping[Var, int]) -> list[Bend]:
    """One bend for each stretch without branches: to scale it anywhere is the same."""
    parent: dict[Any, Any] = {}

    def find(x: Any) -> Any:
        while parent.setdefault(x, x) is not x:
            x = parent[x]
        return x

    for v in s.active:
        uses = s.uses.get(v, [])
        if len(uses) == 1 and v is not s.out:
            parent[find(v)] = find(uses[0])
    for k, e in enumerate(s.graph.eqns):
        inside = [i for i, a in enumerate(e.ins) if isinstance(a, Var) and a in s.active]
        if len(inside) == 1 and len(e.outs) == 1 and e.out in s.active:
            parent[find((k, inside[0]))] = find(e.out)
    members: dict[Any, list[Any]] = {}
    for x in [*sorted(s.active, key=lambda v: at[v]), *[edge for v in s.active for edge in s.uses.get(v, [])]]:
        members.setdefault(find(x), []).append(x)
    whole = find(s.out) if isinstance(s.out, Var) else None
    return [_path(s, at, xs) for root, xs in members.items() if root is not whole and root != whole]


def _path(s: Scene, at: Mapping[Var, int], members: list[Any]) -> Bend:
    nodes = sorted([x for x in members if isinstance(x, Var)], key=lambda v: -at[v])
    edges: list[Edge] = sorted([x for x in members if not isinstance(x, Var)], reverse=True)

    def seeds(b: Backward) -> Seeds | None:
        if nodes:
            return {nodes[0]: b.cts[nodes[0]]} if nodes[0] in b.cts else None
        a = s.graph.eqns[edges[0][0]].ins[edges[0][1]]
        assert isinstance(a, Var)
        return {a: b.sent[edges[0]]} if edges[0] in b.sent else None

    key = ("path", at[nodes[0]]) if nodes else ("path", *edges[0])
    return Bend(key, "term", True, seeds, {"nodes": nodes, "edges": edges, "wrt": s.wrt})


def _stops(s: Scene) -> list[Bend]:
    """A stop_gradient that the claimed gradient does not have."""
    out: list[Bend] = []
    for k, e in enumerate(s.graph.eqns):
        if e.prim != "stop_gradient" or not e.out.type.inexact:
            continue
        through = e._replace(prim="cast", params={"dtype": e.out.type.dtype})
        g = Graph(s.graph.ins, (*s.graph.eqns[:k], through, *s.graph.eqns[k + 1 :]), s.graph.outs)
        other = Scene(g, s.values, s.wrt, s.names)
        a = e.ins[0]
        if not isinstance(a, Var) or a not in other.active:
            continue

        def seeds(b: Backward, other: Scene = other, e: Any = e) -> Seeds | None:
            open_ = Backward(other)
            return {e.ins[0]: open_.cts[e.out]} if e.out in open_.cts else None

        out.append(Bend(("stop", k), "constant", False, seeds, {"var": a, "out": e.out}))
    return out


# --- local derivatives ------------------------------------------------------------------------------------------------


def _local(r: Region, at: tuple[int, int]) -> list[Bend]:
    """Other local derivatives of an elementwise function."""

    def bend(name: str, derivative: Callable[[Backward, Array], Array | None], **story: Any) -> Bend:
        def seeds(b: Backward) -> Seeds | None:
            if r.end not in b.cts:
                return None
            with np.errstate(all="ignore"):
                right = slope(b, r)
                wrong = derivative(b, right)
            if wrong is None or not np.all(np.isfinite(wrong)):
                return None
            return {r.start: b.cts[r.end] * (wrong - right)}

        return Bend((name, *at), "local_derivative", False, seeds, {"region": r, "how": name, **story})

    def at_output(b: Backward, right: Array) -> Array | None:
        s = moved(b.scene, r, b.scene.value(r.end))
        return slope(bare(s), r)

    def input_for_output(b: Backward, right: Array) -> Array | None:
        h = known.by_output(right, b.scene.value(r.end))
        return None if h is None else h(b.scene.value(r.start))

    out = [
        bend("skip", lambda b, right: np.ones_like(right) if np.ptp(right) else None),
        bend("at output", at_output),
        bend("input for output", input_for_output),
        bend("twice", lambda b, right: right * right if np.ptp(right) else None),
    ]
    for name, f in known.SLOPES.items():
        out.append(bend(f"of {name}", lambda b, right, f=f: f(b.scene.value(r.start)), function=name))
    return out


def _cut(r: Region, at: tuple[int, int]) -> list[Bend]:
    """Only the diagonal of the Jacobian, or none of it."""

    def bend(name: str, wrong: Callable[[Backward], Array]) -> Bend:
        def seeds(b: Backward) -> Seeds | None:
            if r.end not in b.cts:
                return None
            return {r.start: wrong(b) - b.inside({r.end: b.cts[r.end]}, r.start)}

        return Bend((name, *at), "jacobian", False, seeds, {"region": r, "how": name})

    return [bend("diagonal", lambda b: b.cts[r.end] * diagonal(b, r)), bend("no jacobian", lambda b: b.cts[r.end])]


def _swaps(s: Scene) -> list[Bend]:
    """The derivative of a product by one factor is the other factor: not itself, and not 1."""
    out: list[Bend] = []
    for k, e in enumerate(s.graph.eqns):
        if e.prim not in ("mul", "div") or e.out not in s.active or e.ins[0] is e.ins[1]:
            continue
        for i, a in enumerate(e.ins):
            other = e.ins[1 - i]
            if not isinstance(a, Var) or a not in s.active or not isinstance(other, Var) or (e.prim == "div" and i):
                continue
            for name in ("swap", "no factor") if other in s.active else ("swap",) if e.prim == "mul" else ():

                def seeds(b: Backward, e: Eqn = e, i: int = i, a: Var = a, name: str = name) -> Seeds | None:
                    if e.out not in b.cts:
                        return None
                    x, y = b.scene.value(a), b.scene.value(e.ins[1 - i])
                    with np.errstate(all="ignore"):
                        right = y if e.prim == "mul" else 1 / y
                    return {a: b.cts[e.out] * ((x if name == "swap" else 1.0) - right)}

                out.append(Bend((name, k, i), "local_derivative", False, seeds, {"var": a, "other": other, "out": e.out}))
    return out


def _extra(s: Scene, at: Mapping[Var, int]) -> list[Bend]:
    """A factor too many: the derivative of a link that the loss has already taken in."""
    out: list[Bend] = []
    for v in sorted(s.active, key=lambda v: at[v]):
        maker = s.maker.get(v)
        if not v.type.rank or not (maker is None or is_named(v) or s.graph.eqns[maker].prim in ("contract", "add")):
            continue
        for name, f in known.SLOPES.items():
            if len(out) >= 120:
                return out

            def seeds(b: Backward, v: Var = v, f: Callable[[Array], Array] = f) -> Seeds | None:
                if v not in b.cts:
                    return None
                with np.errstate(all="ignore"):
                    h = f(b.scene.value(v))
                return {v: b.cts[v] * (h - 1)} if np.all(np.isfinite(h)) else None

            out.append(Bend(("extra", name, at[v]), "local_derivative", False, seeds, {"var": v, "function": name}))
    return out


# --- what a bend adds to the gradient ---------------------------------------------------------------------------------


def effect(b: Backward, bend: Bend) -> list[Array] | None:
    """What the bend adds to the gradient (for `free` ones: what flows along it)."""
    seeds = bend.seeds(b)
    return None if seeds is None else b.pull(seeds)


def bent(b: Backward, bend: Bend, times: float = 1.0) -> Backward | None:
    """The backward pass with this bend in it, for a second one on top."""
    seeds = bend.seeds(b)
    if seeds is None:
        return None
    return Backward(b.scene, inject={v: times * x for v, x in seeds.items()})


def signature(s: Scene) -> tuple[Any, ...]:
    """Equal for graphs that differ in sizes only, so that keys mean the same in both."""
    at = order(s)
    return tuple((e.prim, tuple(at[a] if isinstance(a, Var) else -1 for a in e.ins)) for e in s.graph.eqns)


def reduces(s: Scene, v: Var) -> bool:
    """Is it a statistic: a sum, mean or extreme of something larger?"""
    k = s.maker.get(v)
    while k is not None:
        e = s.graph.eqns[k]
        larger = [a for a in e.ins if isinstance(a, Var) and a.type.size > v.type.size]
        if larger:
            return e.prim in ("contract", "reduce_max", "reduce_min", "reduce_prod")
        active = [a for a in e.ins if isinstance(a, Var) and a in s.active]
        if len(active) != 1 or not (TABLE[e.prim].pointwise or e.prim in ("reshape", "cast")):
            return False
        k = s.maker.get(active[0])
    return False


def addend(s: Scene, v: Var) -> bool:
    """Is it a term of the loss: does it only get added up on its way out?"""
    while v is not s.out:
        uses = s.uses.get(v, [])
        if len(uses) != 1:
            return False
        e = s.graph.eqns[uses[0][0]]
        linear = e.prim in ("add", "sub", "neg", "cast", "reshape") or (
            e.prim in ("mul", "div") and sum(isinstance(a, Var) and a in s.active for a in e.ins) == 1
        )
        if not linear or e.out.type.rank:
            return False
        v = e.out
    return True
