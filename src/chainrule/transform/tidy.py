"""Dead code and repeated code, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var

PRUNE: dict[str, Callable[[Eqn, Sequence[bool]], Eqn]] = {}
"""Row that holds graphs -> the equation without the outputs that nobody needs, and without what only they needed."""


def live(g: Graph) -> Graph:
    """The same function without the equations that no output needs."""
    needed: set[Var] = {a for a in g.outs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for e in reversed(g.eqns):
        if any(v in needed for v in e.outs):
            e = PRUNE[e.prim](e, [v in needed for v in e.outs]) if e.prim in PRUNE else e
            kept.append(e)
            needed.update(a for a in e.ins if isinstance(a, Var))
    kept.reverse()
    same = len(kept) == len(g.eqns) and all(a is b for a, b in zip(kept, g.eqns, strict=True))
    return g if same else Graph(g.ins, tuple(kept), g.outs)


def shared(g: Graph) -> Graph:
    """The same function with equal equations computed once."""
    known: dict[Any, tuple[Var, ...]] = {}
    renamed: dict[Var, Var] = {}

    def name(a: Atom) -> Atom:
        return renamed.get(a, a) if isinstance(a, Var) else a

    eqns: list[Eqn] = []
    for e in g.eqns:
        ins = tuple([name(a) for a in e.ins])
        key = (e.prim, tuple([_lit_key(a) if isinstance(a, Lit) else a for a in ins]), _params_key(e))
        outs = known.setdefault(key, e.outs)
        if outs is e.outs:
            eqns.append(e if ins == e.ins else e._replace(ins=ins))
        else:
            renamed.update(zip(e.outs, outs, strict=True))
    return Graph(g.ins, tuple(eqns), tuple([name(a) for a in g.outs]))


def _lit_key(a: Lit) -> Any:
    return (a.type, a.value.tobytes()) if a.splat else (a.type, id(a.value))


def _params_key(e: Eqn) -> Any:
    return tuple([(k, id(p) if isinstance(p, Graph) or callable(p) else _inner(p)) for k, p in e.params.items()])


def _inner(p: Any) -> Any:
    if isinstance(p, tuple):
        return tuple([_inner(q) for q in p])  # pyright: ignore[reportUnknownVariableType]
    return id(p) if isinstance(p, Graph) else p


def tidy(g: Graph) -> Graph:
    """Equal equations computed once, useless ones not at all."""
    return live(shared(g))
