"""Rules of `cond`: to transform a choice, transform its branches."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.build.builder import current
from chainrule.build.row import Operand, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Eqn, Graph, Params, Var
from chainrule.prims.control import RULES, BodyRules, cond
from chainrule.prims.kinds import batched, dense, size_of
from chainrule.transform.bodies import Halves, differentiated, halves, is_zero, kept, nonzero, placed, reads, where
from chainrule.transform.loops import chosen
from chainrule.transform.rebuild import inline
from chainrule.transform.tidy import PRUNE, live, tidy
from chainrule.transform.transpose import transpose
from chainrule.transform.vmap import vmap


def run_cond(p: Value, branches: Sequence[Graph], xs: Sequence[Value]) -> tuple[Value, ...]:
    """Write a choice."""
    return cond.all(p, *xs, branches=tuple([tidy(g) for g in branches]))


def _either(a: Sequence[bool], b: Sequence[bool]) -> list[bool]:
    return [x or y for x, y in zip(a, b, strict=True)]


def _push(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    yes, no = p["branches"]
    active = nonzero(dxs[1:])
    m = len(yes.outs)
    moving = _either(differentiated(yes, active)[1], differentiated(no, active)[1])
    tangents = [dense(d) for d in kept(dxs[1:], active)]
    parted = halves(yes, active, moving), halves(no, active, moving)
    if parted[0] is None or parted[1] is None:
        both = [differentiated(g, active, moving)[0] for g in (yes, no)]
        out = run_cond(xs[0], both, [*xs[1:], *tangents])
        return out[:m], placed(out[m:], moving, yes.outs)
    return _push_parted(xs, tangents, (parted[0], parted[1]), m, moving)


def _push_parted(
    xs: Sequence[Value], tangents: Sequence[Value], parted: tuple[Halves, Halves], m: int, moving: Sequence[bool]
) -> tuple[Sequence[Value], Sequence[Tangent]]:
    """A choice of the values that also returns what the tangents need, and a linear choice of the tangents."""
    made = [[r for r in h.residuals if r not in set(h.forward.ins)] for h in parted]
    none = [dense(Zero(r.type)) for r in made[0]], [dense(Zero(r.type)) for r in made[1]]
    first = [
        Graph(h.forward.ins, h.forward.eqns, (*h.forward.outs[:m], *[x.atom for x in before], *rs, *[x.atom for x in after]))
        for h, rs, before, after in zip(parted, made, ([], none[0]), (none[1], []), strict=True)
    ]
    out = run_cond(xs[0], first, xs[1:])
    saved = out[m : m + len(made[0])], out[m + len(made[0]) :]
    branches = [_later(h, made, k, [t.type for t in tangents]) for k, h in enumerate(parted)]
    dys = run_cond(xs[0], branches, [*xs[1:], *saved[0], *saved[1], *tangents])
    return out[:m], placed(dys, moving, parted[0].forward.outs[:m])


def _later(h: Halves, made: Sequence[Sequence[Var]], k: int, tangents: Sequence[object]) -> Graph:
    """The linear half as a function of (operands, residuals of both branches, tangents)."""
    others = [Var(r.type) for r in made[1 - k]]
    mine = list(made[k])
    ins = (*h.forward.ins, *([*mine, *others] if k == 0 else [*others, *mine]), *h.linear.ins[len(h.residuals) :])
    assert len(tangents) == len(h.linear.ins) - len(h.residuals)
    return Graph(ins, h.linear.eqns, h.linear.outs)


def _transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    free = [isinstance(x, Unknown) for x in xs[1:]]
    fixed, some = [not f for f in free], nonzero(cts)
    backs: list[Graph] = []
    for g in p["branches"]:
        ins = (*kept(g.ins, fixed), *kept(g.ins, free))
        backs.append(transpose(live(Graph(ins, g.eqns, tuple(kept(g.outs, some)))), known=sum(fixed)))
    mapped = _either(*[[not is_zero(a) for a in g.outs] for g in backs])
    backs = [Graph(g.ins, g.eqns, tuple(kept(g.outs, mapped))) for g in backs]
    known = [x for x in xs if isinstance(x, Value)]
    given = [ct for ct in cts if not isinstance(ct, Zero)]
    out = run_cond(known[0], backs, [*known[1:], *given]) if any(mapped) else ()
    result: list[Tangent | None] = [None] * len(xs)
    for i, ct in zip(kept(where([False, *free]), mapped), out, strict=True):
        result[i] = ct
    return result


def _batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    n = size_of(xs, mapped)
    wide = [vmap(g, n, mapped[1:]) for g in p["branches"]]
    if not mapped[0]:
        return run_cond(xs[0], wide, xs[1:])
    yes, no = [inline(current(), g, xs[1:]) for g in wide]
    return [chosen(batched(xs[0], mapped[0], n), a, b) for a, b in zip(yes, no, strict=True)]


def _prune(e: Eqn, needed: Sequence[bool]) -> Eqn:
    """`e` without the outputs that nobody needs and the operands that no branch reads."""
    branches = [live(Graph(g.ins, g.eqns, tuple(kept(g.outs, needed)))) for g in e.params["branches"]]
    used = _either(*[reads(g) for g in branches])
    if all(needed) and all(used) and all(a.eqns is b.eqns for a, b in zip(branches, e.params["branches"], strict=True)):
        return e
    smaller = tuple([Graph(tuple(kept(g.ins, used)), g.eqns, g.outs) for g in branches])
    return e._replace(ins=(e.ins[0], *kept(e.ins[1:], used)), outs=tuple(kept(e.outs, needed)), params={"branches": smaller})


RULES["cond"] = BodyRules(_push, _batch, _transpose)
PRUNE["cond"] = _prune
