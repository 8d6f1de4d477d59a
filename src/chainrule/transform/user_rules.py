"""Rules of the rows of `chainrule.prims.custom`: derivatives that are recomputed, or given by the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from chainrule import errors
from chainrule.build.builder import current
from chainrule.build.row import Operand, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Eqn, Graph, Params
from chainrule.prims.control import RULES, BodyRules
from chainrule.prims.custom import Rule, checkpoint, custom_jvp, custom_vjp, pulled
from chainrule.prims.kinds import batched, dense, size_of
from chainrule.transform.bodies import differentiated, kept, nonzero, placed, reaches, reads
from chainrule.transform.jvp import jvp
from chainrule.transform.rebuild import inline
from chainrule.transform.split import join, split
from chainrule.transform.tidy import PRUNE, live, tidy
from chainrule.transform.transpose import transpose
from chainrule.transform.vmap import vmap

# --- checkpoint: the tangents are a function of the arguments alone, so nothing else is kept for them ------------------------


def _push_checkpoint(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    body: Graph = p["body"]
    active, m = nonzero(dxs), len(body.outs)
    ys = checkpoint.all(*xs, **p)
    both, moving = differentiated(body, active)
    tangents = live(Graph(both.ins, both.eqns, both.outs[m:]))
    dys = checkpoint.all(*xs, *[dense(d) for d in kept(dxs, active)], body=tangents) if any(moving) else ()
    return ys, placed(dys, moving, body.outs)


def _transpose_checkpoint(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    body: Graph = p["body"]
    free = [isinstance(x, Unknown) for x in xs]
    fixed = [not f for f in free]
    some = nonzero(cts)
    g = live(Graph((*kept(body.ins, fixed), *kept(body.ins, free)), body.eqns, tuple(kept(body.outs, some))))
    before, linear = split(g, known=sum(fixed), outs=0)
    back = join(before, transpose(linear, known=len(before.outs)), outs=0)
    known = [x for x in xs if isinstance(x, Value)]
    out = iter(checkpoint.all(*known, *[dense(ct) for ct in kept(cts, some)], body=tidy(back)))
    return [next(out) if f else None for f in free]


def _batch_checkpoint(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    return checkpoint.all(*xs, body=vmap(p["body"], size_of(xs, mapped), mapped))


def _prune_checkpoint(e: Eqn, needed: Sequence[bool]) -> Eqn:
    body: Graph = e.params["body"]
    small = live(Graph(body.ins, body.eqns, tuple(kept(body.outs, needed))))
    used = reads(small)
    if all(needed) and all(used) and small.eqns is body.eqns:
        return e
    smaller = Graph(tuple(kept(small.ins, used)), small.eqns, small.outs)
    return e._replace(ins=tuple(kept(e.ins, used)), outs=tuple(kept(e.outs, needed)), params={"body": smaller})


# --- custom_jvp ---------------------------------------------------------------------------------------------------------------


def _only_arguments(dxs: Sequence[Tangent], consts: int, name: str) -> None:
    """Raise where a derivative is asked with respect to what the function reads from outside: its rule says nothing of it."""
    if any(nonzero(dxs[:consts])):
        raise errors.NotDifferentiableError(
            f"a {name} function reads a differentiated value from outside, and its rule has no derivative for that; "
            "pass it as an argument (or wrap it in cr.stop_gradient)"
        )


def _made(rule: Any) -> Any:
    return rule.make() if isinstance(rule, Rule) else rule


_linear: WeakKeyDictionary[Graph, Graph] = WeakKeyDictionary()


def linearized(g: Graph, known: int, outs: int) -> Graph:
    """(x, v) -> (y, w) with w linear in v, written with rows that have a transpose.

    A linear function is its own derivative, and derivatives are written with such rows: v / a becomes v * (1 / a).
    """
    found = _linear.get(g)
    if found is None:
        n, m = len(g.ins), len(g.outs)
        d = jvp(g, range(known, n))
        h = Graph(d.ins, d.eqns, (*d.outs[:outs], *d.outs[m + outs :]))
        reached = reaches(h, [known <= k < n for k in range(len(h.ins))])
        if any(reached[:outs]):
            raise errors.NotDifferentiableError("the value that a derivative rule returns depends on the tangents")
        if any(reached):
            raise errors.NotDifferentiableError(
                "a derivative rule is linear in the tangents (or cotangents), and this one is not"
            )
        h = tidy(h)
        found = _linear[g] = Graph((*h.ins[:known], *h.ins[n:]), h.eqns, h.outs)
    return found


def _batched(rule: Any, wide: Callable[[Any], Any], key: tuple[Any, ...]) -> Any:
    """A rule for every example at once, as late as the rule itself."""
    return Rule(lambda: wide(rule.make()), ("batched", *key, rule.key)) if isinstance(rule, Rule) else wide(rule)


def _push_custom_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    _only_arguments(dxs, p["consts"], "custom_jvp")
    body: Graph = p["body"]
    m = len(body.outs)
    inexact = [d.type.inexact for d in dxs[p["consts"] :]]
    rule = linearized(_made(p["rule"]), len(xs), m)
    out = inline(current(), rule, [*xs, *[dense(d) for d in kept(dxs[p["consts"] :], inexact)]])
    return out[:m], placed(out[m:], [t.inexact for t in body.out_types], body.outs)


def _batch_custom_jvp(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    n, c = size_of(xs, mapped), p["consts"]
    xs = [*xs[:c], *[batched(x, m, n) for x, m in zip(xs[c:], mapped[c:], strict=True)]]
    flags = [*mapped[:c], *[True] * (len(xs) - c)]

    def wide(rule: Graph) -> Graph:
        return vmap(rule, n, [*flags, *[True] * (len(rule.ins) - len(flags))])

    rule = _batched(p["rule"], wide, (n, *flags))
    return custom_jvp.all(*xs, **{**p, "body": vmap(p["body"], n, flags), "rule": rule})


# --- custom_vjp ---------------------------------------------------------------------------------------------------------------


def _push_custom_vjp(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    _only_arguments(dxs, p["consts"], "custom_vjp")
    body: Graph = p["body"]
    forward, backward = _made(p["rule"])
    m = len(body.outs)
    out = inline(current(), forward, xs)
    some = [t.inexact for t in body.out_types]
    ds = [dense(d) for d in dxs[p["consts"] :] if d.type.inexact]
    dys = pulled.all(*out[m:], *ds, backward=backward, known=len(out) - m)
    return out[:m], placed(dys, some, body.outs)


def _batch_custom_vjp(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    n, c = size_of(xs, mapped), p["consts"]
    xs = [*xs[:c], *[batched(x, m, n) for x, m in zip(xs[c:], mapped[c:], strict=True)]]
    flags = [*mapped[:c], *[True] * (len(xs) - c)]
    rule = _batched(p["rule"], lambda pair: (vmap(pair[0], n, flags), vmap(pair[1], n)), (n, *flags))
    return custom_vjp.all(*xs, **{**p, "body": vmap(p["body"], n, flags), "rule": rule})


_forward: WeakKeyDictionary[Graph, Graph] = WeakKeyDictionary()


def ahead(backward: Graph, known: int) -> Graph:
    """(r, dx) -> dy: the transpose of ``backward`` (r, ct) -> ct_x, where that is linear in ct."""
    found = _forward.get(backward)
    if found is None:
        try:
            first, linear = split(linearized(backward, known, 0), known=known, outs=0)
        except errors.NotDifferentiableError:
            raise errors.NotDifferentiableError(
                "a custom_vjp function has forward mode only where its backward rule is linear in the cotangent"
            ) from None
        found = _forward[backward] = join(first, transpose(linear, known=len(first.outs)), outs=0)
    return found


def _push_pulled(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    g = ahead(p["backward"], p["known"])
    active, m = nonzero(dxs), len(g.outs)
    out = inline(current(), jvp(g, [i for i, a in enumerate(active) if a]), [*xs, *[dense(d) for d in kept(dxs, active)]])
    return out[:m], out[m:]


def _transpose_pulled(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    k = p["known"]
    if all(isinstance(ct, Zero) for ct in cts):
        return [None] * len(xs)
    if any(isinstance(x, Unknown) for x in xs[:k]):
        raise errors.NotDifferentiableError("what a custom_vjp function keeps for its backward rule is not linear")
    got = inline(current(), p["backward"], [*[x for x in xs[:k] if isinstance(x, Value)], *[dense(ct) for ct in cts]])
    return [*[None] * k, *[g if isinstance(x, Unknown) else None for g, x in zip(got, xs[k:], strict=True)]]


def _batch_pulled(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    n = size_of(xs, mapped)
    xs = [batched(x, m, n) for x, m in zip(xs, mapped, strict=True)]
    return pulled.all(*xs, backward=vmap(p["backward"], n), known=p["known"])


def _body(p: Params) -> Graph:
    return p["body"]


def _ahead(p: Params) -> Graph:
    return ahead(p["backward"], p["known"])


RULES["checkpoint"] = BodyRules(_push_checkpoint, _batch_checkpoint, _transpose_checkpoint, graph=_body)
RULES["custom_jvp"] = BodyRules(_push_custom_jvp, _batch_custom_jvp, graph=_body)
RULES["custom_vjp"] = BodyRules(_push_custom_vjp, _batch_custom_vjp, graph=_body)
RULES["pulled"] = BodyRules(_push_pulled, _batch_pulled, _transpose_pulled, graph=_ahead)
PRUNE["checkpoint"] = _prune_checkpoint
