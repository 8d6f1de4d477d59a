"""Unzipping: what can be computed before the tangents arrive, and what must wait."""

from __future__ import annotations

from chainrule import errors
from chainrule.ir.graph import Atom, Graph, Var


def split(g: Graph, known: int, outs: int) -> tuple[Graph, Graph]:
    """(x, dx) -> (y, dy)  becomes  x -> (y, r)  and  (r, dx) -> dy."""
    waits: set[Var] = set(g.ins[known:])
    for e in g.eqns:
        if any(a in waits for a in e.ins if isinstance(a, Var)):
            waits.update(e.outs)
    for a in g.outs[:outs]:
        if a in waits:
            made = next((e.where for e in g.eqns if a in e.outs), None)
            reason = (
                "the number of its steps is not known, so they cannot be gone back through; use cr.scan, or cr.fori_loop with "
                "bounds that are constants (under jit: static_argnums)"
            )
            raise errors.NotDifferentiableError.row("while_loop", reason, made)
    now = tuple([e for e in g.eqns if e.outs[0] not in waits])
    later = tuple([e for e in g.eqns if e.outs[0] in waits])
    needed = [a for e in later for a in e.ins] + list(g.outs[outs:])
    residuals = tuple(dict.fromkeys([a for a in needed if isinstance(a, Var) and a not in waits]))
    first = Graph(g.ins[:known], now, (*g.outs[:outs], *residuals))
    second = Graph((*residuals, *g.ins[known:]), later, g.outs[outs:])
    return first, second


def join(first: Graph, second: Graph, outs: int) -> Graph:
    """x -> (y, r)  and  (r, z) -> w  become  (x, z) -> (y, w)."""
    residuals = len(first.outs) - outs
    renamed: dict[Var, Atom] = dict(zip(second.ins[:residuals], first.outs[outs:], strict=True))

    def name(a: Atom) -> Atom:
        return renamed.get(a, a) if isinstance(a, Var) else a

    eqns = [e._replace(ins=tuple(map(name, e.ins))) if any(a in renamed for a in e.ins) else e for e in second.eqns]
    return Graph((*first.ins, *second.ins[residuals:]), (*first.eqns, *eqns), (*first.outs[:outs], *map(name, second.outs)))
