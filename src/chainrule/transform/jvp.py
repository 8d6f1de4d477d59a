"""Forward mode."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.build.row import Tangent, Zero
from chainrule.ir.graph import Graph, Var
from chainrule.ir.hints import settle, tangent
from chainrule.prims import TABLE
from chainrule.prims.kinds import dense
from chainrule.transform.rebuild import Env, call, replay, same_input, value_of


def jvp(g: Graph, wrt: Sequence[int] | None = None) -> Graph:
    """(x...) -> (y...)  becomes  (x..., dx...) -> (y..., dy...), one dx per input named in `wrt`."""
    return jvp_and_names(g, wrt)[0]


def jvp_and_names(g: Graph, wrt: Sequence[int] | None = None) -> tuple[Graph, Env]:
    """`jvp`, and what each variable of `g` is called in the result."""
    wrt = range(len(g.ins)) if wrt is None else wrt
    settle(g)
    with Builder().here() as b:
        value: Env = {v: same_input(b, v) for v in g.ins}
        for i in wrt:
            _real(g.ins[i])
        direction: dict[Var, Tangent] = {g.ins[i]: b.input(g.ins[i].type, hint=tangent(g.ins[i].hint)) for i in wrt}
        for e in g.eqns:
            ins = [value_of(b, value, a) for a in e.ins]
            dins: list[Tangent] = [direction[a] if isinstance(a, Var) and a in direction else Zero(a.type) for a in e.ins]
            if all(isinstance(d, Zero) for d in dins):
                value.update(zip(e.outs, replay(b, e, ins), strict=True))
                continue
            b.where = e.where
            row = TABLE[e.prim]
            if row.push is not None:
                ys, dys = row.push(ins, dins, e.params)
            else:
                ys = b.add(row, ins, e.params)
                if row.jvp is None:
                    raise errors.NotDifferentiableError(f"'{row.name}' has no derivative")
                dys = row.jvp(ins, dins, ys, e.params)
            for v, y, dy in zip(e.outs, ys, dys, strict=True):
                value[v] = y
                call(y, v.hint)
                if v.type.inexact and not isinstance(dy, Zero):
                    _real(v)
                    direction[v] = dy
                    call(dy, tangent(v.hint))
        b.where = None
        ys = [value_of(b, value, a) for a in g.outs]
        dys = [direction[a] if isinstance(a, Var) and a in direction else Zero(a.type) for a in g.outs]
        return b.finish([*ys, *map(dense, dys)]), value


def _real(v: Var) -> None:
    """Raise where a tangent would be complex: transposing it would need conjugates that the rows do not write."""
    if v.type.dtype.kind == "c":
        raise errors.NotDifferentiableError(
            "complex numbers can be evaluated, not differentiated: write the function of real and imaginary parts"
        )
