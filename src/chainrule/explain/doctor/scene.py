"""A function at one point: its graph, every value in it, its gradient, and a backward pass that can be bent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten
from chainrule.calls import Traced, run, traced
from chainrule.emit.numpy import Program, to_numpy
from chainrule.front.custom import KEEP_STOPS
from chainrule.graphs import names
from chainrule.ir.graph import Array, Atom, Eqn, Graph, Lit, Var, structure
from chainrule.ir.hints import settle
from chainrule.prims import TABLE
from chainrule.transform.jvp import jvp
from chainrule.transform.prepare import prepare
from chainrule.transform.tidy import live, tidy
from chainrule.transform.vjp import vjp

Edge = tuple[int, int]
"""Number of an equation, position of an operand."""


def is_float(x: Any) -> bool:
    """Is it a number or an array that a derivative can be taken of?"""
    return isinstance(x, float) or (isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f")


def leaf_names(f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]) -> list[str]:
    """What the leaves of these arguments are called."""
    at, spans = 0, list[tuple[int, int]]()
    for x in args:
        n = len(flatten(x)[0])
        spans.append((at, at + n))
        at += n
    every = names(f, args)
    return [name for k in argnums for name in every[slice(*spans[k])]]


@dataclass(eq=False)
class Scene:
    """The graph of f at one point, tidied; `wrt` are the inputs that the gradient is for, `jumps` says that it may have kinks."""

    graph: Graph
    values: dict[Var, Array]
    wrt: list[Var]
    names: list[str]
    jumps: bool = True
    blocked: frozenset[Var] = frozenset()
    active: set[Var] = field(default_factory=set[Var])

    def __post_init__(self) -> None:
        self.active = reached(self.graph, self.wrt, self.blocked)
        self.maker = {v: k for k, e in enumerate(self.graph.eqns) for v in e.outs}
        self.locals: dict[int, tuple[Program, list[int], tuple[int, ...]] | None] = {}
        self.uses: dict[Var, list[Edge]] = {}
        for k, e in enumerate(self.graph.eqns):
            for i, a in enumerate(e.ins):
                if isinstance(a, Var) and a in self.active and any(v in self.active for v in e.outs):
                    self.uses.setdefault(a, []).append((k, i))

    def value(self, a: Atom) -> Array:
        """What an atom is here, at its full shape."""
        x = a.value if isinstance(a, Lit) else self.values[a]
        return np.broadcast_to(x, a.type.shape)

    def uses_any(self, v: Var) -> bool:
        """Does anything read it?"""
        return any(a is v for e in self.graph.eqns for a in e.ins)

    @property
    def out(self) -> Atom:
        """The number that is differentiated."""
        return self.graph.outs[0]


def reached(g: Graph, sources: Sequence[Var], blocked: frozenset[Var] = frozenset()) -> set[Var]:
    """Variables that depend smoothly on the sources, other than through those `blocked`."""
    found = set(sources)
    for e in g.eqns:
        if e.prim == "stop_gradient":
            continue
        if any(a in found for a in e.ins if isinstance(a, Var)):
            found.update(v for v in e.outs if v.type.inexact and v not in blocked)
    return found


def scene(f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]) -> Scene:
    """Trace `f` at `args`: all floating arguments are inputs where the function allows it, `argnums` alone otherwise."""
    floats = [k for k, x in enumerate(args) if k in argnums or _all_float(x)]
    token = KEEP_STOPS.set(True)
    try:
        return _traced(f, args, floats, argnums)
    finally:
        KEEP_STOPS.reset(token)


def _traced(f: Callable[..., Any], args: Sequence[Any], floats: list[int], argnums: Sequence[int]) -> Scene:
    try:
        t = traced(f, args, {}, floats, name="check")
    except Exception:
        if floats == list(argnums):
            raise
        floats = list(argnums)
        t = traced(f, args, {}, floats, name="check")
    return _scene(t, f, args, floats, argnums)


def _all_float(x: Any) -> bool:
    leaves = flatten(x)[0]
    return bool(leaves) and all(map(is_float, leaves))


def _scene(t: Traced, f: Callable[..., Any], args: Sequence[Any], floats: Sequence[int], argnums: Sequence[int]) -> Scene:
    if len(t.outs) != 1 or t.outs[0].shape != ():
        raise errors.NonScalarError.of("check", [x.type for x in t.outs])
    g = t.graph
    own = g.ins[len(g.ins) - len(t.leaves) :]
    for v, hint in zip(own, leaf_names(f, args, floats), strict=True):
        v.hint = hint
    settle(g)
    counts = [len(flatten(args[k])[0]) for k in floats]
    starts = {k: sum(counts[:i]) for i, k in enumerate(floats)}
    wrt = [own[starts[k] + j] for k in argnums for j in range(counts[list(floats).index(k)])]
    tidied = tidy(g)
    data = {v: np.asarray(x) for v, x in t.builder.data.items()}
    if any(v not in data for e in tidied.eqns for v in e.outs):
        data = _evaluated(tidied, [data[v] for v in g.ins])
    return Scene(tidied, data, wrt, leaf_names(f, args, argnums), any(map(_jumps, g.eqns)))


def _jumps(e: Eqn) -> bool:
    """May the derivative jump there? (Comparisons that Python decided by are in the graph as traced, though unread.)"""
    return bool(TABLE[e.prim].kink) or e.prim in ("select", "argsort", "cond", "while", "scan") or bool(e.params.get("body"))


def _evaluated(g: Graph, xs: Sequence[Array]) -> dict[Var, Array]:
    known = [v for e in g.eqns for v in e.outs]
    out = to_numpy(Graph(g.ins, g.eqns, tuple(known)))(*xs)
    return {**dict(zip(g.ins, xs, strict=True)), **dict(zip(known, out, strict=True))}


def settled(s: Scene) -> Scene:
    """The same without the paths through extremes that add up to nothing: the largest logit that softmax is shifted by.

    People hold these constant without thinking; what one mistake does must not depend on it.
    """
    back = Backward(s)
    shifts = [e.out for e in s.graph.eqns if e.prim in ("reduce_max", "reduce_min") and e.out in back.cts and e.out in s.active]
    scale = [float(np.max(np.abs(x), initial=0)) for x in back.total]
    idle: set[Var] = set()
    for v in shifts:
        through = back.pull({v: back.cts[v]})
        if all(float(np.max(np.abs(x), initial=0)) <= 1e-9 * m for x, m in zip(through, scale, strict=True)):
            idle.add(v)
    return Scene(s.graph, s.values, s.wrt, s.names, s.jumps, frozenset(idle)) if idle else s


def gradient(s: Scene) -> list[Array]:
    """The gradient by the library's own reverse mode, written so that it is finite wherever it exists."""
    position = {v: k for k, v in enumerate(s.graph.ins)}
    wrt = tuple(position[v] for v in s.wrt)

    def transform(g: Graph) -> Graph:
        back = vjp(prepare(g), wrt)
        return live(Graph(back.ins, back.eqns, back.outs[1:]))

    return run(s.graph, ("check", wrt), transform, [s.value(v) for v in s.graph.ins], [np.ones((), s.out.type.dtype)])


def tangents(s: Scene, directions: Sequence[Sequence[Array]]) -> list[dict[Var, Array]]:
    """How every active value moves when the inputs asked about move along each direction."""
    eqns: list[Eqn] = []
    for e in s.graph.eqns:
        if any(v in s.blocked for v in e.outs):
            inner = tuple(Var(v.type) for v in e.outs)
            eqns.append(e._replace(outs=inner))
            eqns += [Eqn("stop_gradient", (x,), (v,), {}, None) for x, v in zip(inner, e.outs, strict=True)]
        else:
            eqns.append(e)
    known = [v for v in (*s.graph.ins, *[v for e in s.graph.eqns for v in e.outs]) if v in s.active]
    position = {v: k for k, v in enumerate(s.graph.ins)}
    g = jvp(Graph(s.graph.ins, tuple(eqns), tuple(known)), [position[v] for v in s.wrt])
    program = Program(tidy(Graph(g.ins, g.eqns, g.outs[len(known) :])))
    xs = [s.value(v) for v in s.graph.ins]
    return [dict(zip(known, program(*xs, *d), strict=True)) for d in directions]


# --- the backward pass, equation by equation --------------------------------------------------------------------------

_locals: dict[Any, tuple[Program, list[int]]] = {}


def _local(e: Eqn, pulled: tuple[int, ...]) -> tuple[Program, list[int]]:
    """The program (operands that are no plain numbers, cotangents) -> cotangents of the operands `pulled`."""
    variables = [k for k, a in enumerate(e.ins) if isinstance(a, Var) or not a.splat]
    new = {k: Var(e.ins[k].type) for k in variables}
    outs = tuple(Var(v.type) for v in e.outs)
    one = Graph(tuple(new.values()), (e._replace(ins=tuple(new.get(k, a) for k, a in enumerate(e.ins)), outs=outs),), outs)
    key = (structure(one, slot=lambda a: False)[0], pulled)
    found = _locals.get(key)
    if found is None:
        g = vjp(one, [variables.index(k) for k in pulled])
        back = tidy(Graph(g.ins, g.eqns, g.outs[len(outs) :]))
        if len(_locals) > 4096:
            _locals.clear()
        found = _locals[key] = (Program(back), variables)
    return found


class Backward:
    """A backward pass over a scene; ``inject[v]`` is added to the cotangent of v on the way."""

    def __init__(self, s: Scene, inject: Mapping[Var, Array] | None = None) -> None:
        self.scene = s
        self.inject = dict(inject or {})
        self.cts: dict[Var, Array] = {}
        self.sent: dict[Edge, Array] = {}
        seed = s.out
        self.total = self.pull({seed: np.ones((), seed.type.dtype)} if isinstance(seed, Var) else {}, record=True)

    def send(self, k: int, cts: Mapping[Var, Array]) -> dict[int, Array]:
        """What equation k sends to its active operands."""
        s, e = self.scene, self.scene.graph.eqns[k]
        if k not in s.locals:
            pulled = tuple(i for i, a in enumerate(e.ins) if isinstance(a, Var) and a in s.active)
            s.locals[k] = (*_local(e, pulled), pulled) if pulled and any(v in s.active for v in e.outs) else None
        found = s.locals[k]
        if found is None:
            return {}
        program, variables, pulled = found
        given = [cts[v] if v in cts else np.zeros(v.type.shape, v.type.dtype) for v in e.outs]
        return dict(zip(pulled, program(*[s.value(e.ins[j]) for j in variables], *given), strict=True))

    def pull(self, seeds: Mapping[Var, Array], record: bool = False) -> list[Array]:
        """What cotangents of some variables are worth at the inputs asked about."""
        s = self.scene
        cts = dict(seeds)
        if record:
            for v, x in self.inject.items():
                cts[v] = cts[v] + x if v in cts else x
        for k in range(max((s.maker.get(v, -1) for v in cts), default=-1), -1, -1):
            if any(v in cts for v in s.graph.eqns[k].outs):
                for i, c in self.send(k, cts).items():
                    a = s.graph.eqns[k].ins[i]
                    assert isinstance(a, Var)
                    cts[a] = cts[a] + c if a in cts else c
                    if record:
                        self.sent[k, i] = c
        if record:
            self.cts = cts
        return [cts[v] if v in cts else np.zeros(v.type.shape, v.type.dtype) for v in s.wrt]

    def inside(self, seeds: Mapping[Var, Array], to: Var) -> Array:
        """What cotangents of some variables are worth at one that everything they need flows through."""
        s = self.scene
        cts = dict(seeds)
        for k in range(max(s.maker.get(v, -1) for v in cts), s.maker.get(to, -1), -1):
            if any(v in cts for v in s.graph.eqns[k].outs):
                for i, c in self.send(k, cts).items():
                    a = s.graph.eqns[k].ins[i]
                    assert isinstance(a, Var)
                    cts[a] = cts[a] + c if a in cts else c
        return cts[to] if to in cts else np.zeros(to.type.shape, to.type.dtype)

    def magnitude(self) -> list[Array]:
        """The gradient with every product and sum taken of absolute values: how large what cancels is."""
        s = self.scene
        cts: dict[Var, Array] = {s.out: np.ones((), s.out.type.dtype)} if isinstance(s.out, Var) else {}
        sizes = Scene(s.graph, {v: np.abs(x) for v, x in s.values.items() if x.dtype.kind == "f"} | _others(s), s.wrt, s.names)
        absolute = Backward.__new__(Backward)
        absolute.scene = sizes
        for k in range(len(s.graph.eqns) - 1, -1, -1):
            e = s.graph.eqns[k]
            if any(v in cts for v in e.outs):
                sender = absolute if e.prim in ("contract", "mul") else self
                for i, c in sender.send(k, cts).items():
                    a = e.ins[i]
                    assert isinstance(a, Var)
                    cts[a] = cts[a] + np.abs(c) if a in cts else np.abs(c)
        return [cts[v] if v in cts else np.zeros(v.type.shape, v.type.dtype) for v in s.wrt]


def _others(s: Scene) -> dict[Var, Array]:
    return {v: x for v, x in s.values.items() if x.dtype.kind != "f"}


def flat(xs: Sequence[Array]) -> Array:
    """All elements in one row."""
    return np.concatenate(
        [np.ravel(np.asarray(x, float if np.asarray(x).dtype.itemsize <= 8 else np.asarray(x).dtype)) for x in xs]
    )
