"""Keeping the branch not taken inside its domain, so that its derivative is finite.

The derivative of ``where(c, a, b)`` multiplies the derivative of the branch not taken by zero.  Where that branch has
no finite derivative the product is NaN.  So an operation with a restricted domain that only one branch reads gets, for
the elements that take the other branch, an argument well inside its domain.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.build.builder import Builder
from chainrule.build.row import LINE, Interval
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Eqn, Graph, Var
from chainrule.ir.hints import settle
from chainrule.prims import TABLE
from chainrule.prims.kinds import constant
from chainrule.prims.kinked import select
from chainrule.transform.rebuild import Env, replay, same_input, value_of

Choice = tuple[Var, bool]
"""The condition of a `select`, and which of its branches an equation serves."""


def guard(g: Graph) -> Graph:
    """The same function; where a branch is not chosen its operations see a safe point.  `g` itself if nothing is at risk."""
    chosen = _chosen(g)
    at_risk = {k for k in chosen if any(_risky(i) for i in TABLE[g.eqns[k].prim].on)}
    if not at_risk:
        return g
    order = _conditions_first(g, {k: chosen[k] for k in at_risk})
    settle(g)
    with Builder().here() as b:
        env: Env = {v: same_input(b, v) for v in g.ins}
        for k in order:
            e = g.eqns[k]
            ins = [value_of(b, env, a) for a in e.ins]
            if k in at_risk:
                b.where = e.where
                ins = _safe(e, ins, chosen[k], env)
            env.update(zip(e.outs, replay(b, e, ins), strict=True))
        b.where = None
        return b.finish([value_of(b, env, a) for a in g.outs])


def _risky(i: Interval) -> bool:
    return i is not LINE and (i.open or not i.everything)


def _safe(e: Eqn, ins: Sequence[Value], choice: Choice, env: Env) -> list[Value]:
    c, side = choice
    out: list[Value] = []
    for x, i in zip(ins, TABLE[e.prim].on, strict=True):
        if not _risky(i):
            out.append(x)
            continue
        inside = constant(i.inside, x.type)
        out.append(select(env[c], x, inside) if side else select(env[c], inside, x))
    return out


def _chosen(g: Graph) -> dict[int, Choice]:
    """Equations that only one branch of one `select` reads, element by element, and which."""
    users: dict[Var, set[int]] = {}
    for k, e in enumerate(g.eqns):
        for a in e.ins:
            if isinstance(a, Var):
                users.setdefault(a, set()).add(k)
    made = {v: k for k, e in enumerate(g.eqns) for v in e.outs}
    kept = {a for a in g.outs if isinstance(a, Var)}
    chosen: dict[int, Choice] = {}
    for k, e in enumerate(g.eqns):
        if e.prim == "select" and isinstance(e.ins[0], Var):
            for side, root in ((True, e.ins[1]), (False, e.ins[2])):
                for j in _only_for(g, k, root, users, made, kept):
                    chosen.setdefault(j, (e.ins[0], side))
    return chosen


def _only_for(g: Graph, k: int, root: Atom, users: dict[Var, set[int]], made: dict[Var, int], kept: set[Var]) -> list[int]:
    """Elementwise equations of the shape of select `k` whose results nobody but this branch of it reads.

    The condition is not among them, though the branch may read it again, and so nothing that it depends on is.
    """
    shape, inside, found, condition = g.eqns[k].outs[0].type.shape, {k}, list[int](), g.eqns[k].ins[0]
    stack: list[Atom] = [root]
    while stack:
        a = stack.pop()
        j = made.get(a) if isinstance(a, Var) else None
        if j is None or a in kept or a is condition or j in inside:
            continue
        e = g.eqns[j]
        if TABLE[e.prim].pointwise and e.outs[0].type.shape == shape and users[e.outs[0]] <= inside:
            inside.add(j)
            found.append(j)
            stack.extend(e.ins)
    return found


def _conditions_first(g: Graph, needs: dict[int, Choice]) -> list[int]:
    """An order of the equations in which each comes after what it reads, its condition included."""
    made = {v: k for k, e in enumerate(g.eqns) for v in e.outs}
    order: list[int] = []
    state = [0] * len(g.eqns)
    for start in range(len(g.eqns)):
        stack = [start]
        while stack:
            k = stack[-1]
            if state[k] == 0:
                state[k] = 1
                reads: list[Atom] = [*g.eqns[k].ins, *([needs[k][0]] if k in needs else [])]
                stack.extend(made[a] for a in reads if isinstance(a, Var) and a in made and state[made[a]] == 0)
            else:
                stack.pop()
                if state[k] == 1:
                    state[k] = 2
                    order.append(k)
    return order
