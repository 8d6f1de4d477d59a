"""Tensor expressions in index notation, kept in a normal form: sums of products of indexed factors.

An expression is a list of terms; a term is a coefficient times factors, each an atom at some indices to some power, summed
over every index that the expression does not have itself (Einstein's convention).  Products, sums over axes, transposes,
broadcasting and identity matrices all disappear in this form, so that like terms meet and cancel.  What is not a sum or a
product (a function, an inverse) is an atom, and so is a sum that is multiplied by something: it is not multiplied out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from chainrule.explain.atoms import (
    Apply,
    At,
    Atom,
    Basis,
    Bracket,
    Delta,
    Factor,
    Index,
    Leaf,
    Op,
    Pattern,
    Tensor,
    Term,
    is_symmetric,
    term_key,
)
from chainrule.explain.sizes import ONE, Monomial

__all__ = [
    "RULES", "Apply", "At", "Atom", "Basis", "Bracket", "Delta", "Factor", "Index", "Leaf", "Op", "Pattern", "Tensor", "Term", "add",
    "apply", "atoms", "content", "expanded", "factors_of", "hold", "is_positive", "is_symmetric", "leaf_tensor", "number", "positive",
    "power", "product", "reduced", "replaced", "spread_sum", "sub", "tensor", "term_key", "times", "with_parts",
]  # fmt: skip


def number(m: Monomial, sizes: Sequence[Monomial] = ()) -> Tensor:
    """One number everywhere."""
    terms = () if m.number == 0 else (Term(m),)
    return Tensor(tuple(map(Index, sizes)), terms)


def leaf_tensor(a: Atom) -> Tensor:
    """An atom as an expression."""
    at = tuple(map(Index, a.sizes))
    return Tensor(at, (Term(ONE, (Factor(a, at),)),))


def tensor(free: At, terms: Iterable[Term]) -> Tensor:
    """The sum of terms, each simplified, like terms put together."""
    found: dict[str, list[Term]] = {}
    order: list[str] = []
    for t in terms:
        for u in reduced(t, free):
            key = f"{u.coef.powers}|{term_key(u, free)}"
            if key not in found:
                found[key] = []
                order.append(key)
            found[key].append(u)
    out: list[Term] = []
    for key in order:
        same = found[key]
        total = sum((u.coef.number for u in same[1:]), same[0].coef.number)
        if isinstance(total, float) and abs(total) < 1e-14 * max(abs(float(u.coef.number)) for u in same):
            total = Fraction(0)
        if total != 0:
            out.append(Term(Monomial(total, same[0].coef.powers), same[0].factors))
    return Tensor(free, tuple(out))


def reduced(t: Term, free: At) -> list[Term]:
    """A term with equal factors gathered, identities done away with, and brackets opened that are none."""
    own = set(free)
    while True:
        before = [i for i in t.indices if i not in own]
        factors, gone, opened = _gathered(t, own)
        if opened is not None:
            return [v for u in opened for v in reduced(u, free)]
        lost = [i for i in before if i not in gone and all(i not in f.at for f in factors)]
        coef = t.coef
        for i in lost:
            coef = coef * i.size
        new = Term(coef, tuple(factors))
        if len(new.factors) == len(t.factors) and not gone:
            return [new] if new.coef.number != 0 else []
        t = new


def _gathered(t: Term, own: set[Index]) -> tuple[list[Factor], set[Index], list[Term] | None]:
    merged: dict[tuple[str, At], Factor] = {}
    for f in t.factors:
        if isinstance(f.atom, Delta):
            i, j = f.at
            if i is j:
                continue
            if j not in own or i not in own:
                old, new = (j, i) if j not in own else (i, j)
                rest = [g.renamed({old: new}) for g in t.factors if g is not f]
                return rest, {old}, None
        if isinstance(f.atom, Bracket) and not f.atom.held and f.power.denominator == 1:
            inner = f.atom.inner
            if len(inner.terms) == 1 and (f.power == 1 or not _sums(inner)):
                others = tuple(g for g in t.factors if g is not f)
                (u,) = (
                    inner.at(f.at).terms
                    if len(set(f.at)) == len(f.at)
                    else (inner.terms[0].fresh(inner.free).renamed(dict(zip(inner.free, f.at, strict=True))),)
                )
                u = Term(u.coef.raised(f.power), tuple(Factor(g.atom, g.at, g.power * f.power) for g in u.factors))
                return [], set(), [Term(t.coef * u.coef, (*others, *u.factors))]
        slot = (f.atom.key, f.at)
        if f.atom.symmetric and (f.atom.key, f.at[::-1]) in merged:
            slot = (f.atom.key, f.at[::-1])
        g = merged.get(slot)
        merged[slot] = f if g is None else Factor(f.atom, f.at, f.power + g.power)
    factors = [f for f in merged.values() if f.power != 0]
    summed = _summed_inside(factors, own)
    if summed is not None:
        return [], set(), [Term(t.coef * u.coef, u.factors) for u in summed]
    for rule in RULES:
        found = rule(factors, own)
        if found is not None:
            return [], set(), [Term(t.coef * found[0], tuple(found[1]))]
    return factors, set(), None


def _summed_inside(factors: Sequence[Factor], own: set[Index]) -> list[Term] | None:
    """A sum over an index that only one bracket has, done inside it where terms cancel: deviations from a mean add up to 0."""
    for f in factors:
        if not isinstance(f.atom, Bracket) or f.atom.held or f.power != 1 or len(set(f.at)) != len(f.at):
            continue
        lonely = [i for i in f.at if i not in own and all(i not in g.at for g in factors if g is not f)]
        if not lonely:
            continue
        kept = tuple(i for i in f.at if i not in lonely)
        inner = product(kept, (f.atom.inner, f.at))
        if len(inner.terms) < len(f.atom.inner.terms):
            rest = [g for g in factors if g is not f]
            return [Term(u.coef, (*rest, *u.fresh(kept).factors)) for u in inner.terms]
    return None


Reduction = Callable[[Sequence[Factor], "set[Index]"], "tuple[Monomial, Sequence[Factor]] | None"]
RULES: list[Reduction] = []
"""Identities between factors of one term; filled by `chainrule.explain.facts`."""


def _sums(x: Tensor) -> bool:
    """Is some term summed over an index?"""
    own = set(x.free)
    return any(i not in own for t in x.terms for i in t.indices)


def add(a: Tensor, b: Tensor) -> Tensor:
    """Sum of expressions with as many indices."""
    return tensor(a.free, [*a.terms, *b.at(a.free).terms])


def sub(a: Tensor, b: Tensor) -> Tensor:
    """Difference."""
    return add(a, b.negative)


def factors_of(x: Tensor, at: At) -> Term:
    """An expression as one term that can be multiplied."""
    if len(x.terms) == 1:
        return x.terms[0].fresh(x.free).renamed(dict(zip(x.free, at, strict=True)))
    coef, inner = content(x)
    used = [k for k, i in enumerate(x.free) if any(i in t.indices for t in x.terms)]
    closed = Tensor(tuple(x.free[k] for k in used), inner.terms)
    atom = Bracket(closed, tuple(i.size for i in closed.free))
    return Term(coef, (Factor(atom, tuple(at[k] for k in used)),))


def content(x: Tensor) -> tuple[Monomial, Tensor]:
    """What all terms of a sum have in common: a number and powers of sizes; and the sum without it."""
    first = x.terms[0].coef
    common: list[tuple[Any, Fraction]] = []
    for b, p in first.powers:
        ps = [dict(t.coef.powers).get(b, Fraction(0)) for t in x.terms]
        q = min(ps) if p > 0 else max(ps)
        if all(r * p > 0 for r in ps):
            common.append((b, q))
    numbers = [t.coef.number for t in x.terms]
    c: Fraction | float = Fraction(1)
    if all(isinstance(n, Fraction) for n in numbers):
        tops = [abs(n.numerator) for n in numbers if isinstance(n, Fraction)]
        bottoms = [n.denominator for n in numbers if isinstance(n, Fraction)]
        c = Fraction(gcd(*tops), lcm(*bottoms) if len(set(bottoms)) == 1 else 1)
    elif all(abs(n) == abs(numbers[0]) for n in numbers):
        c = abs(numbers[0])
    if all(n < 0 for n in numbers):
        c = -c
    m = Monomial(c, tuple(common))
    return m, x if m.one else x.scaled(ONE / m)


def hold(x: Tensor) -> Tensor:
    """The same expression as one atom."""
    used = [k for k, i in enumerate(x.free) if any(i in t.indices for t in x.terms)]
    closed = Tensor(tuple(x.free[k] for k in used), x.terms)
    atom = Bracket(closed, tuple(i.size for i in closed.free), held=True)
    return Tensor(x.free, (Term(ONE, (Factor(atom, closed.free),)),))


def product(free: At, *xs: tuple[Tensor, At]) -> Tensor:
    """Product of expressions at these letters, summed over those that are not `free`."""
    if any(x.zero for x, _ in xs):
        return Tensor(free, ())
    if len(xs) == 1:
        (x, at), own = xs[0], set(free)
        terms: list[Term] = []
        for t in x.terms:
            u = t.fresh(x.free).renamed(dict(zip(x.free, at, strict=True)))
            terms.append(spread_sum(u, [i for i in at if i not in own]))
        return tensor(free, terms)
    parts = [factors_of(x, at) for x, at in xs]
    coef, factors = ONE, list[Factor]()
    for p in parts:
        coef = coef * p.coef
        factors += p.factors
    letters = dict.fromkeys(i for _, at in xs for i in at)
    own = set(free)
    scalars = [x for x, _ in xs if x.constant is not None]
    if len(scalars) == len(xs) - 1:  # a number times a sum stays a sum
        (x, at), *_ = [(x, at) for x, at in xs if x.constant is None]
        m = ONE
        for s in scalars:
            m = m * (s.constant or ONE)
        gone = [i for i in letters if i not in own]
        inner = x.scaled(m)
        return tensor(free, [spread_sum(t.fresh(x.free).renamed(dict(zip(x.free, at, strict=True))), gone) for t in inner.terms])
    return tensor(free, [spread_sum(Term(coef, tuple(factors)), [i for i in letters if i not in own])])


def spread_sum(t: Term, over: Iterable[Index]) -> Term:
    """The sum over letters that do not occur is a multiplication."""
    coef, there = t.coef, set(t.indices)
    for i in over:
        if i not in there:
            coef = coef * i.size
    return Term(coef, t.factors)


def times(a: Tensor, b: Tensor) -> Tensor:
    """Element by element."""
    return product(a.free, (a, a.free), (b, a.free))


def power(x: Tensor, p: Fraction) -> Tensor:
    """To a constant power, element by element."""
    if p == 0:
        return Tensor(x.free, (Term(ONE),))
    if p == 1:
        return x
    m = x.constant
    if m is not None and (p.denominator == 1 or m.number > 0):
        return Tensor(x.free, (Term(m.raised(p)),))
    t = factors_of(x, x.free)
    summed = any(i not in x.free for i in t.indices)
    positive = p.denominator == 1 or (t.coef.number > 0 and all(is_positive(f) for f in t.factors))
    if not summed and positive:
        return tensor(x.free, [Term(t.coef.raised(p), tuple(Factor(f.atom, f.at, f.power * p) for f in t.factors))])
    coef = ONE
    if t.coef.number > 0 or p.denominator == 1:
        coef, t = t.coef.raised(p), Term(ONE, t.factors)
    if len(t.factors) == 1 and not summed and _even_root(t.factors[0], p):
        return tensor(x.free, [Term(coef, (Factor(t.factors[0].atom, t.factors[0].at, t.factors[0].power * p),))])
    loose = [f for f in t.factors if all(i in x.free for i in f.at) and (p.denominator == 1 or is_positive(f))] if summed else []
    t = Term(t.coef, tuple(f for f in t.factors if f not in loose))
    used = tuple(i for i in x.free if i in t.indices)
    atom = Bracket(Tensor(used, (t,)), tuple(i.size for i in used))
    outside = [Factor(f.atom, f.at, f.power * p) for f in loose]
    return tensor(x.free, [Term(coef, (*outside, Factor(atom, used, p)))])


def _even_root(f: Factor, p: Fraction) -> bool:
    """May the powers of this factor be multiplied?  (x^2)^(1/2) is |x|, not x."""
    return f.power == 1 or (f.power.denominator == 1 and f.power.numerator % 2 == 1)


def is_positive(f: Factor) -> bool:
    """Is this factor above 0 whatever its operands are?"""
    a = f.atom
    if isinstance(a, Apply):
        return a.row in ("exp", "expit", "cosh", "exp2")
    if isinstance(a, Op):
        return a.prim == "softmax"
    if isinstance(a, Bracket):
        return positive(a.inner)
    return False


def positive(x: Tensor) -> bool:
    """Is it above 0 whatever its operands are?"""
    return (
        bool(x.terms)
        and all(
            t.coef.number > 0 and all(is_positive(f) or (f.power % 2 == 0 and len(x.terms) > 1) for f in t.factors)
            for t in x.terms
        )
        and any(all(is_positive(f) for f in t.factors) for t in x.terms)
    )


def apply(row: str, args: Sequence[Tensor]) -> Tensor:
    """A function element by element."""
    free = args[0].free
    args = [args[0], *[a.at(free) for a in args[1:]]]
    used = tuple(i for i in free if any(i in t.indices for a in args for t in a.terms))
    closed = tuple(Tensor(used, a.terms) for a in args)
    atom = Apply(row, closed, tuple(i.size for i in used))
    return Tensor(free, (Term(ONE, (Factor(atom, used),)),))


# --- walking ------------------------------------------------------------------------------------------------------------------


def atoms(x: Tensor) -> Iterator[Atom]:
    """Every atom, inner ones first, as often as it occurs."""
    for t in x.terms:
        for f in t.factors:
            for part in f.atom.parts:
                yield from atoms(part)
            yield f.atom


def replaced(x: Tensor, by: Callable[[Atom], Tensor | None], known: dict[str, Tensor] | None = None) -> Tensor:
    """`x` with atoms replaced: `by` says by what (its indices those of the atom), None where an atom stays as it is."""
    known = {} if known is None else known

    def new(a: Atom) -> Tensor:
        if a.key not in known:
            found = by(a)
            if found is None:
                parts = [replaced(p, by, known) for p in a.parts]
                changed = any(p is not q for p, q in zip(parts, a.parts, strict=True))
                found = with_parts(a, parts) if changed else leaf_tensor(a)
            known[a.key] = found
        return known[a.key]

    if not any(_differs(new(f.atom), f.atom) for t in x.terms for f in t.factors):
        return x
    total: list[Term] = []
    for t in x.terms:
        u = Term(t.coef)
        for f in t.factors:
            y = new(f.atom)
            if not _differs(y, f.atom):
                u = Term(u.coef, (*u.factors, f))
                continue
            y = y if f.power == 1 else power(y, f.power)
            if y.zero:
                u = Term(Monomial(Fraction(0)))
                break
            v = factors_of(y, f.at)
            u = Term(u.coef * v.coef, (*u.factors, *v.factors))
        total.append(spread_sum(u, [i for i in t.indices if i not in x.free]))
    if (
        len(total) == 1
        and len(total[0].factors) == 1
        and total[0].factors[0].power == 1
        and isinstance(total[0].factors[0].atom, Bracket)
        and not total[0].factors[0].atom.held
    ):
        f = total[0].factors[0]
        inner = f.atom.parts[0].scaled(total[0].coef)
        if len(set(f.at)) == len(f.at):
            return tensor(x.free, inner.at(f.at).terms)
    return tensor(x.free, total)


def _differs(y: Tensor, a: Atom) -> bool:
    return not (len(y.terms) == 1 and len(y.terms[0].factors) == 1 and y.terms[0].factors[0].atom is a)


def with_parts(a: Atom, parts: Sequence[Tensor]) -> Tensor:
    """An atom of other expressions, at fresh indices."""
    if isinstance(a, Apply):
        return apply(a.row, parts)
    if isinstance(a, Bracket):
        return hold(parts[0]) if a.held else parts[0]
    if isinstance(a, Op):
        return leaf_tensor(Op(a.prim, a.params, tuple(parts), a.sizes, a.output))
    return leaf_tensor(a)


def expanded(x: Tensor, limit: int = 200) -> Tensor:
    """`x` with products of sums multiplied out (powers of sums other than 1 and 2 stay)."""
    out: list[Term] = []
    own = set(x.free)
    for t in x.terms:
        out += _expanded_term(t, own)
        if len(out) > limit:
            return x
    return tensor(x.free, out)


def _expanded_term(t: Term, own: set[Index]) -> list[Term]:
    for k, f in enumerate(t.factors):
        if isinstance(f.atom, Bracket) and not f.atom.held and f.power in (1, 2):
            inner = f.atom.inner
            to = dict(zip(inner.free, f.at, strict=True))
            rest = (*t.factors[:k], *([Factor(f.atom, f.at)] if f.power == 2 else []), *t.factors[k + 1 :])
            out: list[Term] = []
            for u in inner.terms:
                v = u.fresh(inner.free).renamed(to)
                w = Term(t.coef * v.coef, (*v.factors, *rest))
                out += _expanded_term(spread_sum(w, [i for i in f.at if i not in own]), own)
            return out
    return [t]
