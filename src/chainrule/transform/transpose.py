"""Running a linear graph backwards."""

from __future__ import annotations

from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.build.row import Tangent, Unknown, Zero
from chainrule.ir.graph import Eqn, Graph, Var
from chainrule.ir.hints import cotangent
from chainrule.prims import TABLE
from chainrule.prims.kinds import dense, plus
from chainrule.transform.rebuild import Env, call, replay, same_input, value_of


def transpose(g: Graph, known: int) -> Graph:
    """(r, dx...) -> dy...  linear in dx  becomes  (r, ct_y...) -> ct_x..."""
    unknown: set[Var] = set(g.ins[known:])
    with Builder().here() as b:
        value: Env = {v: same_input(b, v) for v in g.ins[:known]}
        ct: dict[Var, Tangent] = {}
        linear: list[Eqn] = []
        for e in g.eqns:
            if any(a in unknown for a in e.ins if isinstance(a, Var)):
                unknown.update(e.outs)
                linear.append(e)
            else:
                value.update(zip(e.outs, replay(b, e, [value_of(b, value, a) for a in e.ins]), strict=True))
        for a in g.outs:
            seed = b.input(a.type, hint=cotangent(a.hint if isinstance(a, Var) else None))
            if isinstance(a, Var) and a in unknown:
                ct[a] = plus(ct[a], seed) if a in ct else seed
        for e in reversed(linear):
            if any(v in ct for v in e.outs):
                _pull(b, e, value, unknown, ct)
        b.where = None
        for v in g.ins[known:]:
            _call(ct, v)
        return b.finish([dense(ct.get(v, Zero(v.type))) for v in g.ins[known:]])


def _pull(b: Builder, e: Eqn, value: Env, unknown: set[Var], ct: dict[Var, Tangent]) -> None:
    """Carry the cotangents of the outputs of `e` to its unknown operands."""
    row = TABLE[e.prim]
    for v in e.outs:
        _call(ct, v)
    if row.transpose is None:
        raise errors.NotDifferentiableError(f"'{row.name}' is not linear, so it has no transpose")
    b.where = e.where
    ins = [Unknown(a.type) if isinstance(a, Var) and a in unknown else value_of(b, value, a) for a in e.ins]
    cts = row.transpose([ct.get(v, Zero(v.type)) for v in e.outs], ins, e.params)
    for a, c in zip(e.ins, cts, strict=True):
        if c is not None and not isinstance(c, Zero) and isinstance(a, Var) and a in unknown:
            ct[a] = plus(ct[a], c) if a in ct else c


def _call(ct: dict[Var, Tangent], v: Var) -> None:
    """Let the cotangent of `v`, now that all of it has been collected, be called after it."""
    c = ct.get(v)
    if c is not None and not isinstance(c, Zero):
        call(c, cotangent(v.hint))
