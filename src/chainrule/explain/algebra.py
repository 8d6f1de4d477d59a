"""The shortest of several true forms: common factors taken out, products multiplied out where that makes things cancel."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from chainrule.explain import tensor as tn
from chainrule.explain.sizes import ONE, Monomial
from chainrule.explain.tensor import Bracket, Delta, Factor, Index, Tensor, Term

MANY = 40
"""A sum of more terms than this is not searched for common factors."""


def cost(x: Tensor) -> float:
    """How much there is to read."""
    seen: set[str] = set()
    return sum(_cost(t, seen, x.free) for t in x.terms)


def _cost(t: Term, seen: set[str], free: Sequence[Index]) -> float:
    total = 1.5 + 0.5 * (abs(t.coef.number) != 1) + 0.3 * len(t.coef.powers) + 0.6 * len(_lonely(t, free))
    for f in t.factors:
        written_out = isinstance(f.atom, tn.Apply | tn.Op) or (isinstance(f.atom, tn.Leaf) and f.at)
        total += 1 + (1.0 if written_out else 0.3) * (f.power != 1)
        if isinstance(f.atom, Bracket) and f.atom.key in seen:
            total += 0.3
        elif isinstance(f.atom, Bracket):
            seen.add(f.atom.key)
            total += 0.3 + sum(_cost(u, seen, f.atom.inner.free) - 1 for u in f.atom.inner.terms) + 8 * (f.atom.rank > 2)
            total += 1.5 * any(isinstance(g.atom, Delta) for u in f.atom.inner.terms for g in u.factors)
        elif f.atom.key not in seen:
            seen.add(f.atom.key)
            total += sum(_cost(u, seen, p.free) for p in f.atom.parts for u in p.terms)
    return total


def _lonely(t: Term, free: Sequence[Index]) -> list[Index]:
    """Summed letters that one factor has once: sums that are written with a vector of ones."""
    at = [i for f in t.factors for i in f.at]
    return [
        i for i in dict.fromkeys(at) if i not in free and at.count(i) == 1 and any(f.power == 1 for f in t.factors if i in f.at)
    ]


def best(x: Tensor, rounds: int = 3) -> Tensor:
    """`x` in the shortest form found; the expressions inside its functions too."""
    x = tn.replaced(x, _better_inside)
    for _ in range(rounds):
        y = tn.tensor(x.free, [absorbed(t, x.free) for t in x.terms])
        if cost(y) >= cost(x):
            break
        x = y
    for _ in range(rounds):
        found = min(_forms(x), key=cost)
        if cost(found) >= cost(x) - 1e-9:
            break
        x = found
    return x


def _better_inside(a: tn.Atom) -> Tensor | None:
    if not a.parts:
        return None
    parts = [best(p, 2) for p in a.parts]
    if all(p is q for p, q in zip(parts, a.parts, strict=True)):
        return tn.leaf_tensor(a)
    if isinstance(a, Bracket) and not a.held:
        (p,) = parts
        if p.rank == a.rank:
            return p
    return tn.with_parts(a, parts)


def absorbed(t: Term, free: Sequence[Index]) -> Term:
    """Factors multiplied into a bracket beside them where something cancels: (1 - y / p) p = p - y."""
    for f in t.factors:
        if not isinstance(f.atom, Bracket) or f.atom.held or f.power != 1 or len(set(f.at)) != len(f.at):
            continue
        beside = [g for g in t.factors if g is not f and g.at and set(g.at) <= set(f.at) and len(set(g.at)) == len(g.at)]
        if not beside:
            continue
        inner = f.atom.inner.at(f.at)
        for chosen in [[g] for g in beside] + ([beside] if len(beside) > 1 else []):
            wide = tn.expanded(Tensor(f.at, tuple(Term(u.coef, (*u.factors, *chosen)) for u in inner.terms)))
            new = tn.tensor(f.at, wide.terms)
            seen = {g.atom.key for g in beside}
            if _bare(new, seen) < _bare(inner, seen) + len(chosen) - 0.1 or len(new.terms) < len(inner.terms):
                m = tn.factors_of(new, f.at) if new.terms else Term(tn.Monomial(Fraction(0)))
                rest = [g for g in t.factors if g is not f and all(g is not c for c in chosen)]
                found = Term(t.coef * m.coef, (*rest, *m.factors))
                return tn.spread_sum(found, [i for i in t.indices if i not in free])
    return t


def _bare(x: Tensor, seen: set[str]) -> float:
    return sum(_cost(t, set(seen), x.free) for t in x.terms)


def _forms(x: Tensor) -> list[Tensor]:
    out = [x, factored(x), gathered(x)]
    wide = tn.expanded(x)
    if wide is not x:
        out += [wide, factored(wide)]
    for k, t in enumerate(x.terms):
        if len(x.terms) > 1 and any(isinstance(f.atom, Bracket) for f in t.factors):
            opened = tn.expanded(Tensor(x.free, (t,)))
            rest = Tensor(x.free, (*x.terms[:k], *x.terms[k + 1 :]))
            out.append(factored(tn.add(opened, rest)))
    return out


def gathered(x: Tensor) -> Tensor:
    """A sum of sums as the sum of a sum: 1^T u - 1^T v + n c as 1^T (u - v + c)."""
    if not 2 <= len(x.terms) <= MANY or x.rank > 1:
        return x
    sizes = [{i.size for i in _lonely(t, x.free)} for t in x.terms]
    for size in set[Monomial]().union(*sizes):
        over = Index(size)
        inside: list[Term] = []
        for t, has in zip(x.terms, sizes, strict=True):
            if size in has:
                old = next(i for i in _lonely(t, x.free) if i.size == size)
                inside.append(t.renamed({old: over}))
            else:
                inside.append(Term(t.coef / size, t.factors))
        inner = tn.tensor((*x.free, over), inside)
        if sum(size in has for has in sizes) > 1 and len(inner.terms) > 1:
            return tn.tensor(x.free, [tn.factors_of(inner, inner.free)])
    return x


# --- common factors -----------------------------------------------------------------------------------------------------------


def factored(x: Tensor) -> Tensor:
    """Sums of products with a common factor as a product with a sum, the greatest common factor first."""
    if not 2 <= len(x.terms) <= MANY:
        return x
    found: list[tuple[float, int, list[Factor]]] = []
    for a in range(len(x.terms)):
        for b in range(a + 1, len(x.terms)):
            shared = [f for f, _ in common(x.terms[a], x.terms[b], x.free)]
            fixed = [f for f in shared if set(f.at) <= set(x.free)]
            for fs in [shared] + ([fixed] if len(fixed) < len(shared) else []):
                weight = sum(1.0 for f in fs if not isinstance(f.atom, Delta))
                if weight:
                    found.append((weight, a, fs))
    found.sort(key=lambda w: -w[0])
    tried = [y for _, a, fs in found[:8] if (y := _taken_out(x, a, fs)) is not None]
    if not tried:
        return x
    y = min(tried, key=cost)
    return factored(y) if len(y.terms) < len(x.terms) else y


def _taken_out(x: Tensor, a: int, shared: Sequence[Factor], matrices: bool = False) -> Tensor | None:
    """The factors `shared` of term a taken out of every term that has them (and is a matrix without them, if `matrices`)."""
    letters = list(dict.fromkeys([*[i for f in shared for i in f.at], *x.free]))
    inside: list[Term] = []
    outside: list[Term] = []
    place = 0
    for t in x.terms:
        rest = without(shared, t, x.free)
        if rest is None or (matrices and not any(len(set(f.at)) == 2 and set(f.at) <= set(letters) for f in rest.factors)):
            outside.append(t)
            continue
        if not inside:
            place = len(outside)
            outside.append(t)
        inside.append(rest)
    if len(inside) < 2 or (
        not x.rank and any(t.factors and all(isinstance(f.atom, tn.Basis) for f in t.factors) for t in inside)
    ):
        return None  # x_1 + x_2^2 is no product of x with a sum of unit vectors
    if x.rank <= 2 and sum(any(i in t.indices for t in inside) for i in letters) > 2:
        return None  # no matrix would stand in the brackets
    used = [i for i in letters if any(i in t.indices for t in inside)]
    if x.rank == 1 and len(used) == 2 and not all(any(set(f.at) == set(used) for f in t.factors) for t in inside):
        # outer products stay apart: (u v^T + w z^T) x is harder to read than u (v^T x) + w (z^T x)
        return None if matrices else _taken_out(x, a, shared, True)
    inner = factored(tn.tensor(tuple(letters), inside))
    if inner.zero:
        return tn.tensor(x.free, [*outside[:place], *outside[place + 1 :]])
    m = tn.factors_of(inner, inner.free)
    outside[place] = Term(m.coef, (*shared, *m.factors))
    return tn.tensor(x.free, outside)


def common(s: Term, t: Term, free: Sequence[Index]) -> list[tuple[Factor, Factor]]:
    """Pairs of equal factors of both terms, under one renaming of the summed letters."""
    own, found = set(free), list[tuple[Factor, Factor]]()
    best: list[tuple[Factor, Factor]] = []
    for seed in s.factors:
        for start in t.factors:
            to: dict[Index, Index] = {i: i for i in own}
            if not match(seed, start, to, own):
                continue
            found, used = [_least(seed, start)], {id(start)}
            for f in s.factors:
                if f is seed:
                    continue
                for g in t.factors:
                    if id(g) not in used and match(f, g, to, own):
                        found.append(_least(f, g))
                        used.add(id(g))
                        break
            if len(found) > len(best):
                best = found
    return best


def _least(f: Factor, g: Factor) -> tuple[Factor, Factor]:
    p = min(f.power, g.power) if f.power > 0 else max(f.power, g.power)
    return Factor(f.atom, f.at, p), Factor(g.atom, g.at, p)


def match(f: Factor, g: Factor, to: dict[Index, Index], own: set[Index]) -> bool:
    """Are they the same atom, under a renaming that extends `to`?  It is extended if so."""
    if f.atom != g.atom or (f.power > 0) != (g.power > 0) or (f.power != g.power and (f.power - g.power).denominator != 1):
        return False
    new = dict(to)
    for i, j in zip(f.at, g.at, strict=True):
        if i.size != j.size or (i in own) != (j in own) or new.setdefault(i, j) is not j:
            return False
    if len(set(new.values())) != len(new):
        return False
    to.update(new)
    return True


def without(shared: Sequence[Factor], t: Term, free: Sequence[Index]) -> Term | None:
    """`t` divided by the shared factors, in their letters; None where it does not have them."""
    own = set(free)
    to: dict[Index, Index] = {i: i for i in own}  # letters of the shared factors -> letters of t
    left = list(t.factors)
    for f in shared:
        for k, g in enumerate(left):
            enough = (g.power >= f.power) if f.power > 0 else (g.power <= f.power)
            if enough and match(f, g, to, own):
                left[k] = Factor(g.atom, g.at, g.power - f.power)
                break
        else:
            return None
    back = {j: i for i, j in to.items()}
    fresh = {i: back.get(i) or (i if i in own else Index(i.size)) for i in Term(ONE, tuple(left)).indices}
    return Term(t.coef, tuple(g.renamed(fresh) for g in left if g.power != Fraction(0)))
