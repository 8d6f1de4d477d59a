"""Rules of `scan` and `while`: to transform a loop, transform its body.

A differentiated scan is two scans.  The first computes the values and stacks what the tangents will need, and no more:
what does not change from step to step, or is an element of the sequences already, is not stacked.  The second is linear,
so its transpose is a scan in the other direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from chainrule import errors
from chainrule.build.builder import Builder, current
from chainrule.build.row import Operand, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Eqn, Graph, Params, Var
from chainrule.ir.types import BOOL, INT, ArrayType
from chainrule.prims.control import RULES, BodyRules, scan, while_
from chainrule.prims.kinds import batched, dense, plus, size_of
from chainrule.prims.kinked import gt, select
from chainrule.prims.linear import LETTERS, cast, contract, spread
from chainrule.transform.bodies import (
    Halves,
    closure,
    differentiated,
    halves,
    is_zero,
    kept,
    nonzero,
    placed,
    reaches,
    reads,
    reordered,
    where,
)  # fmt: skip
from chainrule.transform.rebuild import inline
from chainrule.transform.tidy import PRUNE, live, tidy
from chainrule.transform.transpose import transpose
from chainrule.transform.vmap import vmap

T = TypeVar("T")


def run_scan(body: Graph, consts: Sequence[Value], carry: Sequence[Value], xs: Sequence[Value], p: Params) -> tuple[Value, ...]:
    """Write a scan."""
    return scan.all(
        *consts, *carry, *xs, body=tidy(body), consts=len(consts), carry=len(carry), length=p["length"], reverse=p["reverse"]
    )


def _parts(xs: Sequence[T], p: Params) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    c, k = p["consts"], p["carry"]
    return xs[:c], xs[c : c + k], xs[c + k :]


# --- forward mode -------------------------------------------------------------------------------------------------------


def _active(body: Graph, given: Sequence[bool], first: int, carry: int) -> list[bool]:
    """`given`, and the carries that get a tangent on the way round."""
    active = list(given)
    while True:
        moving = differentiated(body, active)[1][:carry]
        grown = [a or b for a, b in zip(active[first : first + carry], moving, strict=True)]
        if grown == active[first : first + carry]:
            return active
        active[first : first + carry] = grown


def _push_scan(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    body: Graph = p["body"]
    active = _active(body, nonzero(dxs), p["consts"], p["carry"])
    always = [*_parts(active, p)[1], *[False] * (len(body.outs) - p["carry"])]
    h = halves(body, active, always)
    if h is None:
        return _push_jointly(xs, dxs, active, always, p)
    m, k = len(body.outs), p["carry"]
    stays, xs_of, fresh, again = _residuals(h, m, p)
    consts, carry, seqs = _parts(xs, p)
    known = _invariant(h, stays, consts, p)
    first, more = _hoisted(h.forward, (*h.forward.outs[:m], *fresh), stays, p["consts"])
    outs = run_scan(first, [*consts, *[x for r, x in zip(stays, known, strict=True) if r in more]], carry, seqs, p)
    stacked = dict(zip(fresh, outs[m:], strict=True))
    stacked.update({r: outs[i] for r, i in again.items()})
    stacked.update(zip(xs_of, kept(seqs, [v in xs_of for v in _parts(h.forward.ins, p)[2]]), strict=True))
    inputs = dict(zip(where(active), h.linear.ins[len(h.residuals) :], strict=True))
    dc, dk, dx = ([i for i in part if active[i]] for part in _parts(range(len(xs)), p))
    order = [*stays, *[inputs[i] for i in (*dc, *dk)], *stacked, *[inputs[i] for i in dx]]
    tangents = [dense(d) for d in dxs]
    dys = run_scan(
        reordered(h.linear, order), [*known, *[tangents[i] for i in dc]], [tangents[i] for i in dk],
        [*stacked.values(), *[tangents[i] for i in dx]], p,
    )  # fmt: skip
    return outs[:m], placed(dys, h.moving, [*body.outs[:k], *_stacked_outs(body, k, p)])


def _stacked_outs(body: Graph, k: int, p: Params) -> list[Atom]:
    return [Var(ArrayType(a.type.dtype, (p["length"], *a.type.shape))) for a in body.outs[k:]]


def _residuals(h: Halves, m: int, p: Params) -> tuple[list[Var], list[Var], list[Var], dict[Var, int]]:
    """Residuals that stay the same, that are elements of the sequences, that must be stacked, that are stacked already."""
    consts, _, seqs = _parts(h.forward.ins, p)
    fixed, _ = closure(h.forward, consts)
    used = set(h.residuals)
    outputs = {a: i for i, a in enumerate(h.forward.outs[:m]) if i >= p["carry"] and isinstance(a, Var)}
    stays = [r for r in h.residuals if r in fixed]
    rest = [r for r in h.residuals if r not in fixed and r not in set(seqs)]
    again = {r: outputs[r] for r in rest if r in outputs}
    return stays, [v for v in seqs if v in used], [r for r in rest if r not in again], again


def _invariant(h: Halves, stays: Sequence[Var], consts: Sequence[Value], p: Params) -> list[Value]:
    """Residuals that are the same at every step, computed once."""
    ins = _parts(h.forward.ins, p)[0]
    before = live(Graph(tuple(ins), tuple(closure(h.forward, ins)[1]), tuple(stays)))
    return inline(current(), before, consts)


def _hoisted(g: Graph, outs: Sequence[Atom], stays: Sequence[Var], consts: int) -> tuple[Graph, set[Var]]:
    """The body, reading what was computed once before the loop, and which of these values that is."""
    more = {e.outs[0] for e in g.eqns if len(e.outs) == 1} & set(stays)
    eqns = tuple([e for e in g.eqns if e.outs[0] not in more])
    return Graph((*g.ins[:consts], *[r for r in stays if r in more], *g.ins[consts:]), eqns, tuple(outs)), more


def _push_jointly(
    xs: Sequence[Value], dxs: Sequence[Tangent], active: Sequence[bool], always: Sequence[bool], p: Params
) -> tuple[Sequence[Value], Sequence[Tangent]]:
    """Values and tangents in one scan, where they cannot be parted."""
    body: Graph = p["body"]
    both, moving = differentiated(body, active, always)
    n, m, k = len(body.ins), len(body.outs), p["carry"]
    inputs = dict(zip(where(active), both.ins[n:], strict=True))
    tangents = [dense(d) for d in dxs]
    order, operands = list[Var](), list[list[Value]]()  # the operands of the three parts
    for part in _parts(range(n), p):
        mine = [i for i in part if active[i]]
        order += [*[both.ins[i] for i in part], *[inputs[i] for i in mine]]
        operands.append([*[xs[i] for i in part], *[tangents[i] for i in mine]])
    a = m + sum(moving[:k])
    outs = (*both.outs[:k], *both.outs[m:a], *both.outs[k:m], *both.outs[a:])
    got = run_scan(reordered(Graph(both.ins, both.eqns, outs), order), operands[0], operands[1], operands[2], p)
    b = k + a - m
    dys = [*got[k:b], *got[b + m - k :]]
    return [*got[:k], *got[b : b + m - k]], placed(dys, moving, [*body.outs[:k], *_stacked_outs(body, k, p)])


# --- transposition ------------------------------------------------------------------------------------------------------


def _transpose_scan(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    k = p["carry"]
    body = live(_kept_outs(p["body"], [*[True] * k, *nonzero(cts[k:])]))
    consts, carry, seqs = _parts(list(range(len(xs))), p)
    if any(isinstance(x, Value) and not is_zero(x.atom) for x in (xs[i] for i in carry)):
        raise errors.NotDifferentiableError("a scan that is linear in its sequences but not in its carry has no transpose")
    known_c, free_c = _sorted(consts, xs)
    known_x, free_x = _sorted(seqs, xs)
    order = [body.ins[i] for i in (*known_c, *known_x, *free_c, *carry, *free_x)]
    back = tidy(transpose(reordered(body, order), known=len(known_c) + len(known_x)))
    ct_c, _, ct_x = _three(back.outs, len(free_c), k)
    summed, mapped = [not is_zero(a) for a in ct_c], [not is_zero(a) for a in ct_x]
    step = _backward_step(back, (len(known_c), len(known_x)), k, summed, mapped)
    start = [*[dense(c) for c in cts[:k]], *[dense(Zero(a.type)) for a in kept(ct_c, summed)]]
    sequences = [*[_value(xs[i]) for i in known_x], *[ct for ct in cts[k:] if not isinstance(ct, Zero)]]
    out = run_scan(step, [_value(xs[i]) for i in known_c], start, sequences, {"length": p["length"], "reverse": not p["reverse"]})
    result: list[Tangent | None] = [None] * len(xs)
    for i, ct in zip((*carry, *kept(free_c, summed), *kept(free_x, mapped)), out, strict=True):
        result[i] = ct if isinstance(xs[i], Unknown) else None
    return result


def _kept_outs(g: Graph, flags: Sequence[bool]) -> Graph:
    return Graph(g.ins, g.eqns, tuple(kept(g.outs, flags)))


def _backward_step(back: Graph, known: tuple[int, int], carry: int, summed: Sequence[bool], mapped: Sequence[bool]) -> Graph:
    """One step backwards, (known consts, ct_carry, sums, known xs, ct_ys) -> (ct_carry, sums, ct_xs)."""
    c, x = known
    with Builder().here() as b:
        consts = [b.input(v.type) for v in back.ins[:c]]
        ct_k = [b.input(v.type) for v in back.ins[c + x : c + x + carry]]
        totals = [b.input(a.type) for a in kept(back.outs[: len(summed)], summed)]
        seqs = [b.input(v.type) for v in back.ins[c : c + x]]
        ct_y = [b.input(v.type) for v in back.ins[c + x + carry :]]
        got_c, got_k, got_x = _three(inline(b, back, [*consts, *seqs, *ct_k, *ct_y]), len(summed), carry)
        added = [dense(plus(t, g)) for t, g in zip(totals, kept(got_c, summed), strict=True)]
        return b.finish([*got_k, *added, *kept(got_x, mapped)])


def _three(xs: Sequence[T], a: int, b: int) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    return xs[:a], xs[a : a + b], xs[a + b :]


def _sorted(part: Sequence[int], xs: Sequence[Operand]) -> tuple[list[int], list[int]]:
    """Positions of the known and of the unknown operands."""
    free = [isinstance(xs[i], Unknown) for i in part]
    return kept(part, [not f for f in free]), kept(part, free)


def _value(x: Operand) -> Value:
    assert isinstance(x, Value)
    return x


# --- batching -----------------------------------------------------------------------------------------------------------


def swapped(x: Value) -> Value:
    """The first two axes exchanged."""
    every = LETTERS[: x.ndim]
    return contract(x, spec=f"{every}->{every[1]}{every[0]}{every[2:]}")


def _mapped_carry(body: Graph, mapped: Sequence[bool], first: int, carry: int) -> list[bool]:
    """`mapped`, and the carries that become mapped on the way round."""
    flags = list(mapped)
    while True:
        grown = [a or b for a, b in zip(flags[first : first + carry], reaches(body, flags)[:carry], strict=True)]
        if grown == flags[first : first + carry]:
            return flags
        flags[first : first + carry] = grown


def _batch_scan(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    body: Graph = p["body"]
    n, k = size_of(xs, mapped), p["carry"]
    flags = _mapped_carry(body, mapped, p["consts"], k)
    wide = vmap(body, n, flags, [*_parts(flags, p)[1], *[True] * (len(body.outs) - k)])
    consts, carry, seqs = _parts(xs, p)
    _, carry_was, seq_is = _parts(mapped, p)
    start = [batched(x, was, n) if now else x for x, was, now in zip(carry, carry_was, _parts(flags, p)[1], strict=True)]
    out = run_scan(wide, consts, start, [swapped(x) if m else x for x, m in zip(seqs, seq_is, strict=True)], p)
    ends = [batched(y, m, n) for y, m in zip(out[:k], _parts(flags, p)[1], strict=True)]
    return [*ends, *map(swapped, out[k:])]


# --- while --------------------------------------------------------------------------------------------------------------


def run_while(
    test: Graph, body: Graph, consts: tuple[Sequence[Value], Sequence[Value]], carry: Sequence[Value]
) -> tuple[Value, ...]:
    """Write a while loop."""
    a, b = consts
    return while_.all(*a, *b, *carry, test=tidy(test), body=tidy(body), test_consts=len(a), body_consts=len(b))


def _push_while(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
    test, body, a, b = p["test"], p["body"], p["test_consts"], p["body_consts"]
    ds = dxs[a:]
    k = len(body.outs)
    active = _active(body, nonzero(ds), b, k)
    both, _ = differentiated(body, active, active[b:])
    n = len(body.ins)
    inputs = dict(zip(where(active), both.ins[n:], strict=True))
    moving = [[inputs[i] for i in part if active[i]] for part in (range(b), range(b, n))]
    order = [*both.ins[:b], *moving[0], *both.ins[b:n], *moving[1]]
    tangents = [dense(d) for d in ds]
    dk = [tangents[i] for i in range(b, n) if active[i]]
    wide_test = Graph((*test.ins, *[Var(d.type) for d in dk]), test.eqns, test.outs)
    consts = [*xs[a : a + b], *[tangents[i] for i in range(b) if active[i]]]
    out = run_while(wide_test, reordered(both, order), (xs[:a], consts), [*xs[a + b :], *dk])
    return out[:k], placed(out[k:], active[b:], body.outs)


def _batch_while(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    test, body, a, b = p["test"], p["body"], p["test_consts"], p["body_consts"]
    n, k = size_of(xs, mapped), len(body.outs)
    flags = [*mapped[:a], *_mapped_carry(body, mapped[a:], b, k)]
    each = reaches(test, [*flags[:a], *flags[a + b :]])[0]
    if each:  # examples stop at different times: go on until all have, and leave alone those that have
        flags[a + b :] = [True] * k
    carry = [batched(x, was, n) if now else x for x, was, now in zip(xs[a + b :], mapped[a + b :], flags[a + b :], strict=True)]
    wide_test = vmap(test, n, [*flags[:a], *flags[a + b :]], [each])
    wide = vmap(body, n, flags[a:], flags[a + b :])
    if each:
        out = run_while(_any(wide_test), _guarded(wide_test, wide, a, b), (xs[:a], xs[: a + b]), carry)
    else:
        out = run_while(wide_test, wide, (xs[:a], xs[a : a + b]), carry)
    return [batched(y, m, n) for y, m in zip(out, flags[a + b :], strict=True)]


def _any(test: Graph) -> Graph:
    """Does the condition hold for any example?"""
    with Builder().here() as b:
        (holds,) = inline(b, test, [b.input(v.type) for v in test.ins])
        count = contract(cast(holds, dtype=INT), spec="a->")
        return b.finish([gt(count, dense(Zero(count.type)))])


def _guarded(test: Graph, body: Graph, a: int, b: int) -> Graph:
    """The body, but examples whose condition does not hold stay as they are."""
    with Builder().here() as builder:
        tests = [builder.input(v.type) for v in test.ins[:a]]
        consts = [builder.input(v.type) for v in body.ins[:b]]
        carry = [builder.input(v.type) for v in body.ins[b:]]
        (holds,) = inline(builder, test, [*tests, *carry])
        new = inline(builder, body, [*consts, *carry])
        return builder.finish([chosen(holds, y, x) for y, x in zip(new, carry, strict=True)])


def chosen(holds: Value, yes: Value, no: Value) -> Value:
    """Example by example, one or the other; `holds` has the batch axis alone."""
    assert holds.dtype == BOOL
    if yes.ndim > 1:
        holds = spread(holds, shape=yes.shape, axes=tuple(range(1, yes.ndim)))
    return select(holds, yes, no)


# --- dead code ------------------------------------------------------------------------------------------------------------


def _prune_scan(e: Eqn, needed: Sequence[bool]) -> Eqn:
    """`e` without the outputs that nobody needs and all that only they needed."""
    p = e.params
    body: Graph = p["body"]
    c, k = p["consts"], p["carry"]
    carry, ys = list(needed[:k]), list(needed[k:])
    while True:
        small = live(Graph(body.ins, body.eqns, tuple(kept(body.outs, [*carry, *ys]))))
        used = reads(small)
        grown = [a or b for a, b in zip(carry, used[c : c + k], strict=True)]
        if grown == carry:
            break
        carry = grown
    keep = [*used[:c], *carry, *used[c + k :]]
    if all(keep) and all(carry) and all(ys) and small is body:
        return e
    params = {**p, "body": Graph(tuple(kept(body.ins, keep)), small.eqns, small.outs), "consts": sum(keep[:c])}
    params["carry"] = sum(carry)
    return e._replace(ins=tuple(kept(e.ins, keep)), outs=tuple(kept(e.outs, [*carry, *ys])), params=params)


RULES["scan"] = BodyRules(_push_scan, _batch_scan, _transpose_scan)
RULES["while"] = BodyRules(_push_while, _batch_while)
PRUNE["scan"] = _prune_scan
