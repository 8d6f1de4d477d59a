"""How each row of the table is read as an expression: arithmetic, shapes, truths, slices."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from chainrule.explain import tensor as tn
from chainrule.explain.reading import EXTREMES, READ, Params, Reader, Rule, reads
from chainrule.explain.sizes import ONE, Monomial
from chainrule.explain.tensor import Apply, Basis, Delta, Factor, Index, Op, Tensor, Term
from chainrule.ir.graph import Eqn

COMPARISONS = {"gt": "le", "le": "gt", "lt": "ge", "ge": "lt", "eq": "ne", "ne": "eq"}


@reads("add", "sub")
def _add(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [tn.add(*xs) if e.prim == "add" else tn.sub(*xs)]


@reads("neg")
def _neg(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [xs[0].negative]


@reads("mul")
def _mul(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [tn.times(*xs)]


@reads("div")
def _div(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [tn.times(xs[0], tn.power(xs[1], Fraction(-1)))]


def _powers(p: Fraction) -> Rule:
    return lambda r, xs, params, outs, e: [tn.power(xs[0], p)]


READ["square"] = _powers(Fraction(2))
READ["reciprocal"] = _powers(Fraction(-1))
READ["sqrt"] = _powers(Fraction(1, 2))


@reads("pow")
def _pow(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    m = xs[1].constant
    if m is None or not m.plain or not isinstance(m.number, Fraction):
        return None
    return [tn.power(xs[0], m.number)]


@reads("cast", "conj", "real")
def _cast(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [xs[0]]


@reads("stop_gradient")
def _stop(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    r.note("stopped")
    return [xs[0]]


@reads("contract")
def _contract(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    ins, out = p["spec"].split("->")
    letters: dict[str, Index] = {}
    pairs: list[tuple[Tensor, tuple[Index, ...]]] = []
    for x, a in zip(xs, ins.split(","), strict=True):
        at = tuple(letters.setdefault(s, i) for s, i in zip(a, [Index(i.size) for i in x.free], strict=True))
        pairs.append((x, at))
    return [tn.product(tuple(letters[s] for s in out), *pairs)]


@reads("spread")
def _spread(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    axes = [a.whole({}) for a in p["axes"]]
    free = [Index(n) for n in outs[0]]
    kept = [i for k, i in enumerate(free) if k not in axes]
    return [Tensor(tuple(free), xs[0].at(kept).terms)]


@reads("reshape")
def _reshape(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    (x,), new = xs, outs[0]
    old = [i.size for i in x.free]
    if [s for s in old if not s.one] == [s for s in new if not s.one]:
        wide = [i for i in x.free if not i.size.one]
        one = {i: Index(ONE) for i in x.free if i.size.one}
        y = tn.tensor(tuple(wide), [t.fresh(x.free) for t in x.terms]) if not one else _without(x, wide)
        rest = iter(y.free)
        return [Tensor(tuple(Index(s) if s.one else next(rest) for s in new), y.terms)]
    if len(x.terms) == 1 and len(x.terms[0].factors) == 1:
        t = x.terms[0]
        a = t.factors[0].atom
        if (
            isinstance(a, Op)
            and a.prim == "reshape"
            and t.factors[0].power == 1
            and tuple(i.size for i in a.args[0].free) == tuple(new)
        ):
            return [a.args[0].scaled(t.coef)]
    return _diagonal(x, new)


def _without(x: Tensor, wide: Sequence[Index]) -> Tensor:
    """Axes of size 1 dropped: factors that carry them are read at their only element."""
    single = [i for i in x.free if i.size.one and any(i in t.indices for t in x.terms)]
    if not single:
        return Tensor(tuple(wide), x.terms)
    return tn.tensor(tuple(wide), x.terms)  # the sum over one element is that element


def _diagonal(x: Tensor, new: tuple[Monomial, ...]) -> list[Tensor] | None:
    """``pad`` with n zeros between n elements, seen as an n by n matrix, is a diagonal matrix."""
    if len(new) == 2 and new[0] == new[1] and len(x.terms) == 1:
        t = x.terms[0]
        f = t.factors[0] if len(t.factors) == 1 else None
        if f is not None and isinstance(f.atom, Op) and f.atom.prim == "pad" and f.power == 1:
            q, inner = dict(f.atom.params), f.atom.args[0]
            if inner.rank == 1 and inner.free[0].size == new[0] and q["interior"] == (new[0],):
                i, j = Index(new[0]), Index(new[0])
                y = inner.at([i])
                delta = Factor(Delta(new), (i, j))
                return [tn.tensor((i, j), [Term(u.coef * t.coef, (*u.factors, delta)) for u in _as_factors(y)])]
    return None


def _as_factors(y: Tensor) -> list[Term]:
    return [tn.factors_of(y, y.free)] if y.terms else []


@reads("slice")
def _slice(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    """Every (n+1)st element of a flattened n by n matrix is its diagonal."""
    (x,), t = xs, xs[0].terms[0] if len(xs[0].terms) == 1 else None
    if (
        all(a.number == 0 for a in p["start"])
        and all(s.one for s in p["step"])
        and tuple(p["stop"]) == tuple(i.size for i in x.free)
    ):
        return [x]
    part = _part_of_joined(x, p)
    if part is not None:
        return [part]
    single = [a for a in range(x.rank) if _one_element(p, a) and not x.free[a].size.one]
    whole = [a for a in range(x.rank) if p["start"][a].number == 0 and p["step"][a].one and p["stop"][a] == x.free[a].size]
    if single and len(single) + len(whole) == x.rank:
        free = [Index(i.size) for i in x.free]
        units = [(tn.leaf_tensor(Basis(p["start"][a].whole({}), (x.free[a].size,))), (free[a],)) for a in single]
        y = tn.product(tuple(i for a, i in enumerate(free) if a not in single), (x, tuple(free)), *units)
        rest = iter(y.free)
        return [Tensor(tuple(Index(ONE) if a in single else next(rest) for a in range(x.rank)), y.terms)]
    f = t.factors[0] if t is not None and len(t.factors) == 1 else None
    if t is None or f is None or x.rank != 1 or p["start"][0].number != 0:
        return None if not _flat_constant(x, p) else [tn.number(x.constant or ONE, outs[0])]
    if isinstance(f.atom, Op) and f.atom.prim == "reshape" and f.power == 1:
        (inner,) = f.atom.args
        n = outs[0][0]
        step = p["step"][0]
        square = inner.rank == 2 and inner.free[0].size == inner.free[1].size == n
        if square and all(step.whole(s) == n.whole(s) + 1 for s in r.samples):
            i, j = Index(n), Index(n)
            y = tn.factors_of(inner, (i, j))
            return [tn.tensor((i,), [Term(y.coef * t.coef, y.renamed({j: i}).factors)])]
    return None


def _part_of_joined(x: Tensor, p: Params) -> Tensor | None:
    """A slice of joined arrays that is one of them."""
    t = x.terms[0] if len(x.terms) == 1 else None
    f = t.factors[0] if t is not None and len(t.factors) == 1 else None
    if (
        t is None
        or f is None
        or not isinstance(f.atom, Op)
        or f.atom.prim != "concat"
        or f.power != 1
        or not all(s.one for s in p["step"])
    ):
        return None
    axis = dict(f.atom.params)["axis"].whole({})
    at = Monomial(Fraction(0))
    for y in f.atom.args:
        size = y.free[axis].size
        end = _plus(at, size)
        if end is None:
            return None
        if p["start"][axis] == at and p["stop"][axis] == end:
            return y.scaled(t.coef)
        at = end
    return None


def _plus(a: Monomial, b: Monomial) -> Monomial | None:
    """Sum of two sizes."""
    if a.number == 0:
        return b
    total: dict[str, int] = {}
    rest = 0
    for m in (a, b):
        if m.plain and isinstance(m.number, Fraction) and m.number.denominator == 1:
            rest += m.number.numerator
        elif len(m.powers) == 1 and m.powers[0][1] == 1 and m.number == 1:
            for name, k in m.powers[0][0][0]:
                total[name] = total.get(name, 0) + k
            rest += m.powers[0][0][1]
        else:
            return None
    if not total:
        return Monomial.of(rest)
    return Monomial(Fraction(1), (((tuple(sorted(total.items())), rest), Fraction(1)),))


def _one_element(p: Params, a: int) -> bool:
    start, stop = p["start"][a], p["stop"][a]
    return start.plain and stop.plain and stop.number - start.number == 1


def _flat_constant(x: Tensor, p: Params) -> bool:
    return x.constant is not None


@reads("pad")
def _pad(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    if all(a.number == 0 for k in ("low", "high", "interior") for a in p[k]):
        return [xs[0]]
    (x,) = xs
    moved = [a for a in range(x.rank) if p["low"][a].number != 0 or p["high"][a].number != 0]
    if any(a.number != 0 for a in p["interior"]) or not all(x.free[a].size.one and p["low"][a].plain for a in moved):
        return None
    free = [Index(n) for n in outs[0]]
    units = [(tn.leaf_tensor(Basis(p["low"][a].whole({}), (outs[0][a],))), (free[a],)) for a in moved]
    y = Tensor(tuple(i for a, i in enumerate(x.free) if a not in moved), x.terms)
    return [tn.product(tuple(free), (y, tuple(i for a, i in enumerate(free) if a not in moved)), *units)]


# --- truths -------------------------------------------------------------------------------------------------------------------


def _truth(x: Tensor) -> bool | None:
    m = x.constant
    return None if m is None else m.number != 0


def _false(x: Tensor) -> Tensor:
    return Tensor(x.free, ())


def _true(x: Tensor) -> Tensor:
    return Tensor(x.free, (Term(ONE),))


@reads("eq", "ne")
def _equal(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    """Real numbers that are not built to be equal are taken to differ."""
    if not e.ins[0].type.inexact:
        return None
    if any(x.zero and tn.positive(y) for x, y in (xs, xs[::-1])):
        return [_false(xs[0]) if e.prim == "eq" else _true(xs[0])]
    if any(isinstance(a, Op) and a.prim in EXTREMES for x in xs for a in tn.atoms(x)):
        return None
    if xs[0].key == xs[1].key:
        return [_true(xs[0]) if e.prim == "eq" else _false(xs[0])]
    r.note("generic")
    return [_false(xs[0]) if e.prim == "eq" else _true(xs[0])]


_FLIPPED = {"gt": "lt", "lt": "gt", "ge": "le", "le": "ge"}


@reads("gt", "lt", "ge", "le")
def _compared(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    """1 - z > 0 as z < 1: numbers on the right, a positive term first."""
    x, y, name = xs[0], xs[1], e.prim
    if x.constant is not None and y.constant is None:
        x, y, name = y, x.at(y.free), _FLIPPED[name]
    c = y.constant
    if c is None or x.constant is not None or not c.plain:
        return None
    numbers = [t for t in x.terms if not t.factors and t.coef.plain]
    rest = Tensor(x.free, tuple(t for t in x.terms if t not in numbers))
    bound = c.number - sum((t.coef.number for t in numbers), Fraction(0))
    if all(t.coef.number < 0 for t in rest.terms):
        rest, bound, name = rest.negative, -bound, _FLIPPED[name]
    return [tn.apply(name, [rest, tn.number(Monomial(bound), [i.size for i in x.free])])]


@reads("isfinite", "isnan", "isinf")
def _finite(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [_true(xs[0]) if e.prim == "isfinite" else _false(xs[0])]


@reads("bitand", "bitor")
def _both(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    for x, y in (xs, xs[::-1]):
        known = _truth(x)
        if known is not None:
            return [y.at(xs[0].free) if known == (e.prim == "bitand") else x.at(xs[0].free)]
    return [tn.times(*xs)] if e.prim == "bitand" else None


def negated(x: Tensor) -> Tensor:
    """1 where a truth is 0."""
    if len(x.terms) == 1 and x.terms[0].coef.one and len(x.terms[0].factors) == 1:
        f = x.terms[0].factors[0]
        if isinstance(f.atom, Apply) and f.atom.row in COMPARISONS:
            return Tensor(x.free, (Term(ONE, (Factor(Apply(COMPARISONS[f.atom.row], f.atom.args, f.atom.sizes), f.at),)),))
    return tn.sub(_true(x), x)


@reads("invert")
def _invert(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    return [negated(xs[0])] if e.ins[0].type.dtype.kind == "b" else None


@reads("select")
def _select(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    c, a, b = xs
    known = _truth(c)
    if known is not None:
        return [(a if known else b).at(c.free)]
    if a.key == b.key:
        return [a]
    if b.zero:
        return [tn.times(c, a)]
    if a.zero:
        return [tn.times(negated(c), b)]
    if b.constant is not None and b.constant.one and a.zero:
        return [negated(c)]
    return None


# --- functions ----------------------------------------------------------------------------------------------------------------
