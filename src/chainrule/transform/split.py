"""Unzipping: what can be computed before the tangents arrive, and what must wait."""

from __future__ import annotations

from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.ir.graph import Graph, Var
from chainrule.transform.rebuild import inline, same_input


def split(g: Graph, known: int, outs: int) -> tuple[Graph, Graph]:
    """(x, dx) -> (y, dy)  becomes  x -> (y, r)  and  (r, dx) -> dy."""
    waits: set[Var] = set(g.ins[known:])
    for e in g.eqns:
        if any(a in waits for a in e.ins if isinstance(a, Var)):
            waits.update(e.outs)
    for a in g.outs[:outs]:
        if a in waits:
            raise errors.NotDifferentiableError("while_loop has no reverse mode: its number of steps is not known; use scan or fori_loop")
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
    with Builder().here() as b:
        xs = [same_input(b, v) for v in first.ins]
        zs = [same_input(b, v) for v in second.ins[residuals:]]
        ys = inline(b, first, xs)
        ws = inline(b, second, [*ys[outs:], *zs])
        return b.finish([*ys[:outs], *ws])


