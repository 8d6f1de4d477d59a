"""From graphs to expressions: the same program traced at several sizes is read as one expression with symbolic sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.explain import tensor as tn
from chainrule.explain.sizes import ONE, Monomial, NotSymbolicError, Sizes, fitted
from chainrule.explain.tensor import Delta, Factor, Index, Op, Pattern, Tensor, Term
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var, subgraphs
from chainrule.prims import TABLE

Params = Mapping[str, Any]
EXTREMES = ("reduce_max", "reduce_min", "cummax", "cummin")


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
    if all(x.ndim == 1 and x.size > 2 and bool((x == np.arange(x.size)).all()) for x in xs) and len({x.size for x in xs}) > 1:
        return tn.leaf_tensor(Pattern("range", sizes))
    if all(x.ndim == 2 and x.shape[0] == x.shape[1] and len(x) > 1 for x in xs) and len({len(x) for x in xs}) > 1:
        found = _triangular(xs, sizes)
        if found is not None:
            return found
    if all(x.size and bool((x == x.flat[0]).all()) for x in xs) and len({x.flat[0].item() for x in xs}) == 1:
        return tn.number(Monomial.of(float(xs[0].flat[0])), sizes)
    if all(x.shape == xs[0].shape and bool((x == xs[0]).all()) for x in xs):
        return tn.leaf_tensor(Constant(xs[0], sizes))
    raise DifferentStructureError


def _triangular(xs: Sequence[Any], sizes: tuple[Monomial, ...]) -> Tensor | None:
    """One number below the diagonal, one on it, one above."""
    x = xs[0].astype(float)
    below, on, above = x[1, 0], x[0, 0], x[0, 1]
    for y in xs:
        n = len(y)
        if not bool((y == below * np.tri(n, k=-1) + on * np.eye(n) + above * np.tri(n, k=-1).T).all()):
            return None
    i, j = Index(sizes[0]), Index(sizes[1])
    low = Pattern("below", sizes)
    parts = [(below, Factor(low, (i, j))), (on, Factor(Delta(sizes), (i, j))), (above, Factor(low, (j, i)))]
    return tn.tensor((i, j), [Term(Monomial.of(float(c)), (f,)) for c, f in parts if c])


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
    if row.kind == "linear" and len(xs) == 1:
        m, x = tn.content(xs[0]) if xs[0].terms else (ONE, xs[0])
        op = tn.leaf_tensor(Op(prim, tuple(sorted(params.items())), (x,), outs[k], k))
        return op.scaled(m) if xs[0].terms else Tensor(op.free, ())
    return tn.leaf_tensor(Op(prim, tuple(sorted(params.items())), tuple(xs), outs[k], k))


# --- how rows are read ------------------------------------------------------------------------------------------


Rule = Callable[[Reader, "list[Tensor]", Params, "Sequence[tuple[Monomial, ...]]", Eqn], "list[Tensor] | None"]
READ: dict[str, Rule] = {}


def reads(*names: str) -> Callable[[Rule], Rule]:
    """Say how these rows are read."""

    def decorate(f: Rule) -> Rule:
        READ.update(dict.fromkeys(names, f))
        return f

    return decorate
