"""How each row of the table is read as an expression: exponentials and logarithms, inverses and determinants."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from chainrule.explain import tensor as tn
from chainrule.explain.reading import EXTREMES, READ, Params, Reader, reads
from chainrule.explain.sizes import ONE, Monomial
from chainrule.explain.tensor import Apply, Bracket, Factor, Index, Op, Tensor, Term
from chainrule.ir.graph import Eqn

MINUS = Monomial(Fraction(-1))


def _shift(t: Term) -> bool:
    return any(isinstance(f.atom, Op) and f.atom.prim in EXTREMES for f in t.factors)


@reads("exp")
def _exp(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    """exp(x - max) = exp(x) exp(-max): what is shifted to keep numbers small cancels later."""
    return [exponential(xs[0])]


def exponential(x: Tensor) -> Tensor:
    """exp of an expression; logarithms inside are undone."""
    shifts = [t for t in x.terms if _shift(t)]
    if shifts and len(shifts) < len(x.terms):
        rest = Tensor(x.free, tuple(t for t in x.terms if not _shift(t)))
        out = exponential(rest)
        for t in shifts:
            sign = Fraction(-1) if t.coef.number < 0 else Fraction(1)
            one = tn.apply("exp", [Tensor(x.free, (Term(Monomial(abs(t.coef.number), t.coef.powers), t.factors),))])
            out = tn.times(out, tn.power(one, sign))
        return out
    return tn.apply("exp", [x])


@reads("log")
def _log(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    return [logarithm(xs[0])]


def logarithm(x: Tensor) -> Tensor:
    """log of an expression: that of an exponential is its argument."""
    if len(x.terms) != 1:
        return tn.apply("log", [x])
    (t,) = x.terms
    out = Tensor(x.free, ())
    left: list[Factor] = []
    for f in t.factors:
        found = _log_of(f) if all(i in x.free for i in f.at) and len(set(f.at)) == len(f.at) else None
        if found is None:
            left.append(f)
        else:
            out = tn.add(out, Tensor(x.free, found.terms).scaled(Monomial(f.power)))
    if not left and t.coef.one:
        return out
    rest = tn.tensor(x.free, [Term(t.coef, tuple(left))])
    whole = _logsumexp(rest)
    return tn.add(whole if whole is not None else tn.apply("log", [rest]), out)


def _log_of(f: Factor) -> Tensor | None:
    """log of an exponential, of a sum of exponentials, of a softmax."""
    a = f.atom
    if isinstance(a, Apply) and a.row == "exp":
        return a.args[0].at(f.at)
    if isinstance(a, Bracket):
        return _logsumexp(a.inner.at(f.at))
    if isinstance(a, Op) and a.prim == "softmax":
        axes = dict(a.params)["axes"]
        kept = tuple(i for k, i in enumerate(f.at) if k not in axes)
        lse = Op("logsumexp", a.params, a.args, tuple(i.size for i in kept))
        return tn.add(a.args[0].at(f.at), Tensor(f.at, (Term(MINUS, (Factor(lse, kept),)),)))
    return None


def _logsumexp(x: Tensor) -> Tensor | None:
    """log of a sum of exponentials, as one function that does not overflow."""
    if len(x.terms) != 1:
        return None
    (t,) = x.terms
    if not t.coef.one or len(t.factors) != 1:
        return None
    f = t.factors[0]
    if not (isinstance(f.atom, Apply) and f.atom.row == "exp" and f.power == 1) or len(set(f.at)) != len(f.at):
        return None
    axes = tuple(k for k, i in enumerate(f.at) if i not in x.free)
    kept = tuple(i for i in f.at if i in x.free)
    if not axes:
        return None
    op = Op("logsumexp", (("axes", axes),), f.atom.args, tuple(i.size for i in kept))
    return Tensor(x.free, (Term(ONE, (Factor(op, kept),)),))


@reads("expit")
def _expit(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor]:
    """sigma(-x) = 1 - sigma(x): one sigmoid for both."""
    x = xs[0]
    if x.terms and all(t.coef.number < 0 for t in x.terms):
        return [tn.sub(Tensor(x.free, (Term(ONE),)), tn.apply("expit", [x.negative]))]
    return [tn.apply("expit", [x])]


# --- matrices -----------------------------------------------------------------------------------------------------------------


def inverse(x: Tensor) -> Tensor:
    """Inverse of a matrix; that of a product of square matrices is not taken apart."""
    if len(x.terms) == 1 and len(x.terms[0].factors) == 1:
        t = x.terms[0]
        f = t.factors[0]
        if f.power == 1 and isinstance(f.atom, Op) and f.atom.prim == "inv" and len(set(f.at)) == 2:
            back = f.atom.args[0]
            return tn.tensor(x.free, back.at(f.at).scaled(t.coef.raised(Fraction(-1))).terms)
        if f.power == 1 and f.at == x.free[::-1]:  # the inverse of a transpose is the transpose of the inverse
            inner = inverse(Tensor(f.at, x.terms))
            return Tensor(inner.free[::-1], inner.terms)
    return tn.leaf_tensor(Op("inv", (), (x,), tuple(i.size for i in x.free)))


@reads("inv")
def _inv(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    return [inverse(xs[0])] if xs[0].rank == 2 else None


@reads("solve")
def _solve(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    if xs[0].rank != 2:
        return None
    a = inverse(xs[0])
    (i, j), k = a.free, Index(xs[1].free[1].size)
    return [tn.product((i, k), (a, (i, j)), (xs[1], (j, k)))]


@reads("adjugate")
def _adjugate(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    if xs[0].rank != 2:
        return None
    r.note("invertible")
    det = tn.leaf_tensor(Op("det", (), (xs[0],), ()))
    a = inverse(xs[0])
    return [tn.product(a.free, (det, ()), (a, a.free))]


@reads("adjugate_slope")
def _adjugate_slope(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    """det(a) (tr(x e) x - x e x) with x = 1/a."""
    if xs[0].rank != 2:
        return None
    r.note("invertible")
    det = tn.leaf_tensor(Op("det", (), (xs[0],), ()))
    x, d = inverse(xs[0]), xs[1]
    n = x.free[0].size
    i, j, k, m = (Index(n) for _ in range(4))
    first = tn.product((i, j), (det, ()), (x, (k, m)), (d, (m, k)), (x, (i, j)))
    second = tn.product((i, j), (det, ()), (x, (i, k)), (d, (k, m)), (x, (m, j)))
    return [tn.sub(first, second)]


@reads("slogdet")
def _slogdet(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    if xs[0].rank != 2:
        return None
    r.note("determinant")
    return [tn.leaf_tensor(Op("slogdet", (), (xs[0],), (), k)) for k in (0, 1)]


@reads("reduce_prod")
def _nothing(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    axes = tuple(a.whole({}) for a in p["axes"])
    return [tn.leaf_tensor(Op(e.prim, (("axes", axes),), tuple(xs), outs[0]))]


READ["reduce_max"] = READ["reduce_min"] = _nothing
