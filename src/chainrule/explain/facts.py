"""Identities between the factors of one product: inverses that cancel, exponentials over their sum, sums met again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from chainrule.explain.algebra import without
from chainrule.explain.sizes import ONE, Monomial
from chainrule.explain.tensor import RULES, Apply, Bracket, Delta, Factor, Index, Op, Tensor, Term, factors_of, power


def cancelled_inverse(factors: Sequence[Factor], own: set[Index]) -> tuple[Monomial, Sequence[Factor]] | None:
    """A^-1 A = A A^-1 = I."""
    for f in factors:
        if not (isinstance(f.atom, Op) and f.atom.prim == "inv" and f.power == 1):
            continue
        inner = f.atom.args[0]
        for g in factors:
            if g is f or g.power != 1 or len(g.at) != 2:
                continue
            coef = _same_matrix(inner, g)
            if coef is None:
                continue
            for a, b in ((0, 1), (1, 0)):
                shared = f.at[a]
                met = g.at[b] is shared and shared not in own and f.at[b] is not g.at[a]
                if met and sum(h.at.count(shared) for h in factors) == 2:
                    rest = [h for h in factors if h is not f and h is not g]
                    i, j = (f.at[b], g.at[a]) if a == 1 else (g.at[a], f.at[b])
                    return coef, [*rest, Factor(Delta(f.atom.sizes), (i, j))]
    return None


def _same_matrix(inner: Tensor, g: Factor) -> Monomial | None:
    """Is `g` the matrix `inner` (times a number)?"""
    if isinstance(g.atom, Bracket):
        return ONE if g.atom.inner.key == inner.key and g.atom.inner.rank == 2 else None
    if len(inner.terms) == 1 and len(inner.terms[0].factors) == 1:
        t = inner.terms[0]
        h = t.factors[0]
        if h.atom == g.atom and h.power == 1 and h.at == inner.free:
            return ONE / t.coef
    return None


def softmax(factors: Sequence[Factor], own: set[Index]) -> tuple[Monomial, Sequence[Factor]] | None:
    """exp(x_i) / sum_j exp(x_j)."""
    for f in factors:
        a = f.atom
        if not (isinstance(a, Apply) and a.row == "exp") or f.power < 1 or len(set(f.at)) != len(f.at):
            continue
        for g in factors:
            axes = _normaliser(g, a, f)
            if axes is not None:
                rest = [h for h in factors if h is not f and h is not g]
                atom = Op("softmax", (("axes", axes),), a.args, a.sizes)
                left = [Factor(a, f.at, f.power - 1), Factor(g.atom, g.at, g.power + 1), Factor(atom, f.at)]
                return ONE, [*rest, *[h for h in left if h.power != 0]]
    return None


def _normaliser(g: Factor, a: Apply, f: Factor) -> tuple[int, ...] | None:
    """The axes that `g`, a sum of `a` to the power -1 or below, is summed over."""
    if not isinstance(g.atom, Bracket) or g.power > Fraction(-1):
        return None
    inner = g.atom.inner
    if len(inner.terms) != 1 or len(inner.terms[0].factors) != 1 or not inner.terms[0].coef.one:
        return None
    h = inner.terms[0].factors[0]
    if h.atom != a or h.power != 1:
        return None
    axes = tuple(k for k, i in enumerate(h.at) if i not in inner.free)
    kept = [f.at[k] for k in range(len(f.at)) if k not in axes]
    places = [h.at[k] for k in range(len(h.at)) if k not in axes]
    at = dict(zip(inner.free, g.at, strict=True))
    return axes if axes and [at.get(i) for i in places] == kept else None


def total_softmax(factors: Sequence[Factor], own: set[Index]) -> tuple[Monomial, Sequence[Factor]] | None:
    """What a softmax gives adds up to 1 over its axes."""
    for f in factors:
        if not (isinstance(f.atom, Op) and f.atom.prim == "softmax" and f.power == 1) or len(set(f.at)) != len(f.at):
            continue
        rest = [g for g in factors if g is not f]
        axes = dict(f.atom.params)["axes"]
        elsewhere = own | {i for g in rest for i in g.at}
        if any(f.at[k] in elsewhere for k in axes):
            continue
        kept = [i for k, i in enumerate(f.at) if k not in axes and i not in elsewhere]
        return prod([i.size for i in kept], start=ONE), rest
    return None


def whole_again(factors: Sequence[Factor], own: set[Index]) -> tuple[Monomial, Sequence[Factor]] | None:
    """A sum beside a power of itself: |x|^2 / |x| = |x|, the sum being that of the squares."""
    for g in factors:
        if not isinstance(g.atom, Bracket) or g.atom.rank or g.atom.held or g.power == 1 or len(g.atom.inner.terms) != 1:
            continue
        (t,) = g.atom.inner.terms
        others = [f for f in factors if f is not g]
        left = without(t.factors, Term(ONE, tuple(others)), tuple(own)) if t.factors and len(others) >= len(t.factors) else None
        if left is None or set(left.indices) & set(t.indices):
            continue
        return ONE / t.coef, [*left.factors, *([Factor(g.atom, (), g.power + 1)] if g.power != -1 else [])]
    return None


def quotients(factors: Sequence[Factor], own: set[Index]) -> tuple[Monomial, Sequence[Factor]] | None:
    """sinh / cosh = tanh, sign(x) / |x| = 1 / x."""
    for f in factors:
        if not isinstance(f.atom, Apply) or f.power != 1 or f.atom.row not in ("sinh", "sign"):
            continue
        other = {"sinh": "cosh", "sign": "abs"}[f.atom.row]
        key = Apply(other, f.atom.args, f.atom.sizes).key
        g = next((g for g in factors if g.atom.key == key and g.at == f.at and g.power == -1), None)
        if g is None:
            continue
        rest = [h for h in factors if h is not f and h is not g]
        if f.atom.row == "sinh":
            return ONE, [*rest, Factor(Apply("tanh", f.atom.args, f.atom.sizes), f.at)]
        t = factors_of(power(f.atom.args[0], Fraction(-1)), f.at) if len(set(f.at)) == len(f.at) else None
        if t is not None:
            return t.coef, [*rest, *t.factors]
    return None


RULES.extend([cancelled_inverse, softmax, total_softmax, whole_again, quotients])
