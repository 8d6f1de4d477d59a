"""Dead code and repeated code, removed."""

from __future__ import annotations

from typing import Any

from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var


def live(g: Graph) -> Graph:
    """The same function without the equations that no output needs."""
    needed: set[Var] = {a for a in g.outs if isinstance(a, Var)}
    kept: list[Eqn] = []
    for e in reversed(g.eqns):
        if any(v in needed for v in e.outs):
            kept.append(e)
            needed.update(a for a in e.ins if isinstance(a, Var))
    return g if len(kept) == len(g.eqns) else Graph(g.ins, tuple(reversed(kept)), g.outs)


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


