"""The shortest of several true forms: common factors taken out, products multiplied out where that makes things cancel."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from chainrule.explain import tensor as tn
from chainrule.explain.sizes import ONE
from chainrule.explain.tensor import Bracket, Delta, Factor, Index, Tensor, Term

MANY = 40
"""A sum of more terms than this is not searched for common factors."""


def cost(x: Tensor) -> float:
    """How much there is to read."""
    seen: set[str] = set()
    return sum(_cost(t, seen) for t in x.terms)


def _cost(t: Term, seen: set[str]) -> float:
    total = 1.5 + 0.5 * (abs(t.coef.number) != 1) + 0.3 * len(t.coef.powers)
    for f in t.factors:
        total += 1 + 0.3 * (f.power != 1)
        if isinstance(f.atom, Bracket):
            total += 0.3 + sum(_cost(u, seen) - 1 for u in f.atom.inner.terms)
        elif f.atom.key not in seen:
            seen.add(f.atom.key)
            total += sum(_cost(u, seen) for p in f.atom.parts for u in p.terms)
    return total


def best(x: Tensor, rounds: int = 3) -> Tensor:
    """`x` in the shortest form found; the expressions inside its functions too."""
    x = tn.replaced(x, _better_inside)
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
    return a.with_parts(parts)


def _forms(x: Tensor) -> list[Tensor]:
    out = [x, factored(x)]
    wide = tn.expanded(x)
    if wide is not x:
        out += [wide, factored(wide)]
    for k, t in enumerate(x.terms):
        if len(x.terms) > 1 and any(isinstance(f.atom, Bracket) for f in t.factors):
            opened = tn.expanded(Tensor(x.free, (t,)))
            rest = Tensor(x.free, (*x.terms[:k], *x.terms[k + 1 :]))
            out.append(factored(tn.add(opened, rest)))
    return out


# --- common factors -----------------------------------------------------------------------------------------------------------


def factored(x: Tensor) -> Tensor:
    """Sums of products with a common factor as a product with a sum, the greatest common factor first."""
    if not 2 <= len(x.terms) <= MANY:
        return x
    terms = list(x.terms)
    best_gain, choice = 0.0, None
    for a in range(len(terms)):
        for b in range(a + 1, len(terms)):
            common = _common(terms[a], terms[b], x.free)
            weight = sum(1.0 for f, _ in common if not isinstance(f.atom, Delta))
            if weight > best_gain:
                best_gain, choice = weight, (a, common)
    if choice is None:
        return x
    a, common = choice
    shared = [f for f, _ in common]
    inside: list[Term] = []
    outside: list[Term] = []
    place: int | None = None
    for k, t in enumerate(terms):
        rest = _without(shared, terms[a] if k != a else t, t, x.free)
        if rest is None:
            outside.append(t)
            continue
        if place is None:
            place = len(outside)
            outside.append(t)
        inside.append(rest)
    if len(inside) < 2 or place is None:
        return x
    letters = list(dict.fromkeys([*[i for f in shared for i in f.at], *x.free]))
    inner = factored(tn.tensor(tuple(letters), inside))
    if inner.zero:
        return tn.tensor(x.free, [*outside[:place], *outside[place + 1 :]])
    m = tn.factors_of(inner, inner.free)
    outside[place] = Term(m.coef, (*shared, *m.factors))
    ordered = tn.tensor(x.free, outside)
    return factored(ordered) if len(ordered.terms) < len(x.terms) else ordered


def _common(s: Term, t: Term, free: Sequence[Index]) -> list[tuple[Factor, Factor]]:
    """Pairs of equal factors of both terms, under one renaming of the summed letters."""
    own, found = set(free), list[tuple[Factor, Factor]]()
    best: list[tuple[Factor, Factor]] = []
    for seed in s.factors:
        for start in t.factors:
            to: dict[Index, Index] = {i: i for i in own}
            if not _match(seed, start, to, own):
                continue
            found, used = [_least(seed, start)], {id(start)}
            for f in s.factors:
                if f is seed:
                    continue
                for g in t.factors:
                    if id(g) not in used and _match(f, g, to, own):
                        found.append(_least(f, g))
                        used.add(id(g))
                        break
            if len(found) > len(best):
                best = found
    return best


def _least(f: Factor, g: Factor) -> tuple[Factor, Factor]:
    p = min(f.power, g.power) if f.power > 0 else max(f.power, g.power)
    return Factor(f.atom, f.at, p), Factor(g.atom, g.at, p)


def _match(f: Factor, g: Factor, to: dict[Index, Index], own: set[Index]) -> bool:
    """Are they the same atom, under a renaming that extends `to`?  It is extended if so."""
    if f.atom != g.atom or (f.power > 0) != (g.power > 0) or (f.power != g.power and (f.power - g.power).denominator != 1):
        return False
    new = dict(to)
    for i, j in zip(f.at, g.at, strict=True):
        if (i in own) != (j in own) or new.setdefault(i, j) is not j:
            return False
    if len(set(new.values())) != len(new):
        return False
    to.update(new)
    return True


def _without(shared: Sequence[Factor], source: Term, t: Term, free: Sequence[Index]) -> Term | None:
    """`t` divided by the shared factors, in their letters; None where it does not have them."""
    own = set(free)
    to: dict[Index, Index] = {i: i for i in own}  # letters of the shared factors -> letters of t
    left = list(t.factors)
    for f in shared:
        for k, g in enumerate(left):
            enough = (g.power >= f.power) if f.power > 0 else (g.power <= f.power)
            if enough and _match(f, g, to, own):
                left[k] = Factor(g.atom, g.at, g.power - f.power)
                break
        else:
            return None
    back = {j: i for i, j in to.items()}
    fresh = {i: back.get(i) or (i if i in own else Index(i.size)) for i in Term(ONE, tuple(left)).indices}
    return Term(t.coef, tuple(g.renamed(fresh) for g in left if g.power != Fraction(0)))
