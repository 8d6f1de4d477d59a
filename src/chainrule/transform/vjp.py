"""Reverse mode: forward mode, unzipped, with the linear half transposed."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Graph, Lit, Var
from chainrule.transform.jvp import jvp, jvp_and_names
from chainrule.transform.rebuild import Env, inline, replay, same_input
from chainrule.transform.split import join, split
from chainrule.transform.transpose import transpose


def vjp(g: Graph, wrt: Sequence[int] | None = None) -> Graph:
    """(x...) -> (y...)  becomes  (x..., ct_y...) -> (y..., ct_x...)."""
    n, m = len(g.ins), len(g.outs)
    forward, linear = split(jvp(g, wrt), known=n, outs=m)
    return join(forward, transpose(linear, known=len(forward.outs) - m), outs=m)


def pullback(g: Graph, wrt: Sequence[int] | None = None) -> tuple[Graph, list[Var]]:
    """The backward half alone: (v..., ct_y...) -> ct_x..., and which variables of `g` the v are.

    For callers that ran `g` already and kept its values.
    """
    n, m = len(g.ins), len(g.outs)
    both, names = jvp_and_names(g, wrt)
    forward, linear = split(both, known=n, outs=m)
    back = transpose(linear, known=len(forward.outs) - m)
    kept = {x.atom: v for v, x in names.items() if isinstance(x.atom, Var)}
    with Builder().here() as b:
        env: Env = {}
        read: list[Var] = []

        def find(a: Atom) -> Value:
            if isinstance(a, Lit):
                return Value(b, a, a.value)
            if a not in env:
                read.append(kept[a])
                env[a] = same_input(b, a)
            return env[a]

        for e in forward.eqns:
            fresh = [v for v in e.outs if v not in kept]
            if fresh:
                ys = replay(b, e, [find(a) for a in e.ins])
                env.update((v, y) for v, y in zip(e.outs, ys, strict=True) if v in fresh)
        residuals = [find(a) for a in forward.outs[m:]]
        cts = [same_input(b, v) for v in back.ins[len(residuals) :]]
        return b.finish(inline(b, back, [*residuals, *cts])), read
