"""Vectorisation over a new leading axis."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.build.builder import Builder
from chainrule.ir.graph import Graph, Var
from chainrule.ir.hints import settle
from chainrule.ir.types import ArrayType
from chainrule.prims import TABLE
from chainrule.prims.kinds import batched
from chainrule.transform.rebuild import Env, call, replay, value_of


def vmap(g: Graph, size: int, mapped: Sequence[bool] | None = None, wanted: Sequence[bool] | None = None) -> Graph:
    """f: (x...) -> (y...)  becomes  F with F(X)[k] = f(X[k]) for k < size.

    Outputs that no mapped input reaches are repeated along the new axis, except those not `wanted` there.
    """
    mapped = [True] * len(g.ins) if mapped is None else mapped
    with Builder().here() as b:
        env: Env = {}
        settle(g)
        for v, m in zip(g.ins, mapped, strict=True):
            t = ArrayType(v.type.dtype, (size, *v.type.shape)) if m else v.type
            env[v] = b.input(t, weak=v.weak, hint=v.hint)
        has: set[Var] = {v for v, m in zip(g.ins, mapped, strict=True) if m}
        for e in g.eqns:
            ins = [value_of(b, env, a) for a in e.ins]
            ms = [isinstance(a, Var) and a in has for a in e.ins]
            if any(ms):
                b.where = e.where
                has.update(e.outs)
                ys = TABLE[e.prim].batch(ins, ms, e.params)
                for v, y in zip(e.outs, ys, strict=True):
                    call(y, v.hint)
            else:
                ys = replay(b, e, ins)
            env.update(zip(e.outs, ys, strict=True))
        b.where = None
        wide = [True] * len(g.outs) if wanted is None else wanted
        ys = [value_of(b, env, a) for a in g.outs]
        return b.finish(
            [batched(y, isinstance(a, Var) and a in has, size) if w else y for a, y, w in zip(g.outs, ys, wide, strict=True)]
        )
