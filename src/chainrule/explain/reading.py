"""From graphs to expressions: the same program traced at several sizes is read as one expression with symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.explain import tensor as tn
from chainrule.explain.sizes import ONE, Monomial, NotSymbolicError, Sizes, fitted
from chainrule.explain.tensor import Apply, Bracket, Delta, Factor, Index, Op, Tensor, Term
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var, subgraphs
from chainrule.prims import TABLE

Params = Mapping[str, Any]
MINUS = Monomial(Fraction(-1))
COMPARISONS = {"gt": "le", "le": "gt", "lt": "ge", "ge": "lt", "eq": "ne", "ne": "eq"}
_EXTREMES = ("reduce_max", "reduce_min", "cummax", "cummin")


class DifferentStructureError(Exception):
    """The program does other things at other sizes: some size is part of its structure."""


class Aligned:
    """One program at several sizes: its equations with numbers that are formulas of the sizes."""

    def __init__(self, graphs: Sequence[Graph], samples: Sequence[Sizes]) -> None:
        self.graphs = graphs
        self.samples = samples
        first = graphs[0]
        if any(len(g.eqns) != len(first.eqns) or len(g.outs) != len(first.outs) for g in graphs):
            raise DifferentStructureError
        self.places: list[dict[Var, int]] = []
        for g in graphs:
            place = {v: k for k, v in enumerate(g.ins)}
            for e in g.eqns:
                for v in e.outs:
                    place[v] = len(place)
            self.places.append(place)
        for es in zip(*[g.eqns for g in graphs], strict=True):
            if any(e.prim != es[0].prim or len(e.ins) != len(es[0].ins) for e in es):
                raise DifferentStructureError
            for atoms in zip(*[e.ins for e in es], strict=True):
                self._same(atoms)
        for atoms in zip(*[g.outs for g in graphs], strict=True):
            self._same(atoms)

    def _same(self, atoms: Sequence[Atom]) -> None:
        refs = {place[a] if isinstance(a, Var) else None for a, place in zip(atoms, self.places, strict=True)}
        if len(refs) != 1:
            raise DifferentStructureError

    def shape(self, atoms: Sequence[Atom]) -> tuple[Monomial, ...]:
        """Symbolic sizes of the axes."""
        shapes = [a.type.shape for a in atoms]
        if len({len(s) for s in shapes}) != 1:
            raise DifferentStructureError
        return tuple(fitted(column, self.samples) for column in zip(*shapes, strict=True))

    def symbolic(self, values: Sequence[Any]) -> Any:
        """A parameter of an equation, its numbers as formulas."""
        first = values[0]
        if isinstance(first, bool | str | np.dtype | type(None)):
            if any(v != first for v in values):
                raise DifferentStructureError
            return first
        if isinstance(first, int | np.integer):
            return fitted([int(v) for v in values], self.samples)
        if isinstance(first, float):
            return fitted(values, self.samples)
        if isinstance(first, tuple | list):
            if len({len(v) for v in values}) != 1:
                raise DifferentStructureError
            return tuple(self.symbolic(column) for column in zip(*values, strict=True))
        if all(v == first for v in values):
            return first
        raise DifferentStructureError


class Reader:
    """Reads aligned graphs; `values` are the expressions of the inputs."""

    def __init__(self, graphs: Sequence[Graph], samples: Sequence[Sizes], values: Sequence[Tensor]) -> None:
        self.aligned = Aligned(graphs, samples)
        self.graph = graphs[0]
        self.samples = samples
        self.env: dict[Var, Tensor] = dict(zip(self.graph.ins, values, strict=False))
        self.notes: list[str] = []
        self.hook: Callable[[Var, Tensor], Tensor] | None = None

    def run(self) -> list[Tensor]:
        """The expressions of the outputs."""
        columns = list(zip(*[g.eqns for g in self.aligned.graphs], strict=True))
        for es in columns:
            self.equation(es)
        return [self.atom(column) for column in zip(*[g.outs for g in self.aligned.graphs], strict=True)]

    def note(self, text: str) -> None:
        """A convention the expression relies on."""
        if text not in self.notes:
            self.notes.append(text)

    def equation(self, es: Sequence[Eqn]) -> None:
        """One equation, the same at all sizes."""
        e = es[0]
        if any(True for _ in subgraphs(e)):
            raise NotSymbolicError(f"'{e.prim}' holds a program of its own")
        xs = [self.atom(column) for column in zip(*[q.ins for q in es], strict=True)]
        params = {k: self.aligned.symbolic([q.params[k] for q in es]) for k in e.params}
        outs = [self.aligned.shape(column) for column in zip(*[q.outs for q in es], strict=True)]
        rule = READ.get(e.prim)
        ys = rule(self, xs, params, outs, e) if rule is not None else None
        if ys is None:
            ys = [_general(e.prim, xs, params, outs, k) for k in range(len(outs))]
        for v, y in zip(e.outs, ys, strict=True):
            self.env[v] = y if self.hook is None else self.hook(v, y)

    def atom(self, column: Sequence[Atom]) -> Tensor:
        """An operand."""
        a = column[0]
        if isinstance(a, Var):
            return self.env[a]
        sizes = self.aligned.shape(column)
        lits = [b for b in column if isinstance(b, Lit)]
        if all(b.splat for b in lits):
            value = [b.value.item() for b in lits]
            if isinstance(value[0], complex):
                raise NotSymbolicError("complex numbers")
            return tn.number(fitted([float(v) for v in value], self.samples), sizes)
        return constant_array(lits, sizes)


def constant_array(lits: Sequence[Lit], sizes: tuple[Monomial, ...]) -> Tensor:
    """A constant array: an identity at every size, or the same at all of them."""
    xs = [b.value for b in lits]
    if all(x.ndim == 2 and x.shape[0] == x.shape[1] and bool((x == np.eye(len(x))).all()) for x in xs):
        return tn.leaf_tensor(Delta(sizes))
    if all(x.size and bool((x == x.flat[0]).all()) for x in xs) and len({x.flat[0].item() for x in xs}) == 1:
        return tn.number(Monomial.of(float(xs[0].flat[0])), sizes)
    if all(x.shape == xs[0].shape and bool((x == xs[0]).all()) for x in xs):
        return tn.leaf_tensor(Constant(xs[0], sizes))
    raise DifferentStructureError


class Constant(tn.Atom):
    """An array that the program holds itself."""

    def __init__(self, value: Any, sizes: tuple[Monomial, ...]) -> None:
        self.value = value
        self.sizes = sizes
        self.key = f"array{value.tolist()}"


def _general(prim: str, xs: Sequence[Tensor], params: Params, outs: Sequence[tuple[Monomial, ...]], k: int) -> Tensor:
    row = TABLE[prim]
    if row.pointwise and not params:
        return tn.apply(prim, xs)
    if row.value is None:
        raise NotSymbolicError(f"'{prim}' is not a formula")
    return tn.leaf_tensor(Op(prim, tuple(sorted(params.items())), tuple(xs), outs[k], k))


# --- rows -----------------------------------------------------------------------------------------------------------------------

Rule = Callable[[Reader, "list[Tensor]", Params, "Sequence[tuple[Monomial, ...]]", Eqn], "list[Tensor] | None"]
READ: dict[str, Rule] = {}


def reads(*names: str) -> Callable[[Rule], Rule]:
    """Say how these rows are read."""

    def decorate(f: Rule) -> Rule:
        READ.update(dict.fromkeys(names, f))
        return f

    return decorate


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
    if all(a.number == 0 for a in p["start"]) and all(s.one for s in p["step"]) and tuple(p["stop"]) == tuple(i.size for i in x.free):
        return [x]
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


def _flat_constant(x: Tensor, p: Params) -> bool:
    return x.constant is not None


@reads("pad")
def _pad(r: Reader, xs: list[Tensor], p: Params, outs: Any, e: Eqn) -> list[Tensor] | None:
    return [xs[0]] if all(a.number == 0 for k in ("low", "high", "interior") for a in p[k]) else None


# --- truths ---------------------------------------------------------------------------------------------------------------------


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
    if any(isinstance(a, Op) and a.prim in _EXTREMES for x in xs for a in tn.atoms(x)):
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


# --- functions -------------------------------------------------------------------------------------------------------------------


def _shift(t: Term) -> bool:
    return any(isinstance(f.atom, Op) and f.atom.prim in _EXTREMES for f in t.factors)


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
        return [tn.sub(_true(x), tn.apply("expit", [x.negative]))]
    return [tn.apply("expit", [x])]


# --- matrices -------------------------------------------------------------------------------------------------------------------


def inverse(x: Tensor) -> Tensor:
    """Inverse of a matrix; that of a product of square matrices is not taken apart."""
    if len(x.terms) == 1 and len(x.terms[0].factors) == 1:
        t = x.terms[0]
        f = t.factors[0]
        if f.power == 1 and isinstance(f.atom, Op) and f.atom.prim == "inv" and len(set(f.at)) == 2:
            back = f.atom.args[0]
            y = back.at(f.at) if f.at == x.free else back.at(f.at)
            return tn.tensor(x.free, y.scaled(t.coef.raised(Fraction(-1))).terms)
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
