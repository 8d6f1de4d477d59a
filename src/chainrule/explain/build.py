"""From a problem to formulas: trace at several sizes, differentiate, read, simplify, name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.explain import facts as _facts
from chainrule.explain import functions as _functions
from chainrule.explain import rows as _rows
from chainrule.explain import tensor as tn
from chainrule.explain.algebra import best, cost
from chainrule.explain.instances import instances, repeatable
from chainrule.explain.naming import Definition, Named, named, renumber
from chainrule.explain.problem import Problem
from chainrule.explain.reading import DifferentStructureError, Reader
from chainrule.explain.sizes import ONE, Monomial, NotSymbolicError, Sizes, samples
from chainrule.explain.tensor import Bracket, Delta, Factor, Index, Tensor, Term
from chainrule.ir.graph import Graph, Var
from chainrule.ir.hints import settle, text
from chainrule.ir.where import Where
from chainrule.transform.rebuild import inline, same_input
from chainrule.transform.rules import rewrite
from chainrule.transform.stable import RULES, stable
from chainrule.transform.tidy import tidy
from chainrule.transform.vjp import vjp
from chainrule.transform.vmap import vmap

assert _facts.RULES  # the identities are in force, and how rows are read is known
assert _rows.READ is _functions.READ
MANY = 120
"""Programs of more equations are read with a name for every value the user named, and in no other way."""
_SHOWN = tuple(r for r in RULES if isinstance(r.right, str) or getattr(r.right, "row", "") in ("expit", "tanh", "abs"))


@dataclass
class Formulas:
    """Expressions of a value and its derivatives, with the definitions they rest on."""

    definitions: list[Definition]
    value: Tensor
    targets: list[Tensor]
    notes: list[str] = field(default_factory=list[str])


class Unreadable(Exception):
    """No formula: why."""


def points(p: Problem) -> list[dict[str, int]]:
    """Sizes to trace at."""
    return samples(p.sizes, 3) if p.sizes else [{}]


def formulas(p: Problem, order: int) -> Formulas:
    """The derivatives of this order, as short as they are found."""
    try:
        return _formulas(p, order)
    except (DifferentStructureError, NotSymbolicError) as e:
        repeatable(p, instances(p, 1)[0])
        why = str(e) or "it does other things at other sizes"
        raise errors.NoFormulaError(
            f"The derivative is not a formula in symbolic sizes: {why}.", "cr.grad computes it all the same.", where=None
        ) from None


def _formulas(p: Problem, order: int) -> Formulas:
    at = points(p)
    graphs = [p.trace(s) for s in at]
    user = _user_names(p, graphs, at)
    tried: list[tuple[float, Formulas]] = []
    small = len(graphs[0].eqns) <= MANY
    for hold in (False, True):
        if (hold and not user) or (not hold and not small and user):
            continue
        found = _attempt(p, graphs, at, order, user, hold)
        size = sum(cost(t) for t in found.targets) + sum(cost(d) for _, d in found.definitions)
        tried.append((size * (1.0 if hold else 0.97), found))
    return min(tried, key=lambda t: t[0])[1]


def _attempt(
    p: Problem, graphs: Sequence[Graph], at: Sequence[Sizes], order: int, user: list[Definition], hold: bool
) -> Formulas:
    inputs = [tn.leaf_tensor(tn.Leaf(n, p.symbolic(k))) for k, n in enumerate(p.names)]
    reader = Reader([rewrite(g, _SHOWN) for g in graphs], at, inputs)
    held: dict[str, Tensor] = {}
    if hold:
        reader.hook = _holder(reader.graph, p.names, held)
    value = best(reader.run()[0]) if reader.graph.outs[0].type.rank < 3 else reader.run()[0]
    known = dict(held)
    targets, notes = _derivatives(p, graphs, at, inputs, order, held if hold else None)
    notes = list(dict.fromkeys([*reader.notes, *notes]))
    seen = {a.inner.key for a in tn.atoms(value) if isinstance(a, Bracket)}
    targets = [with_signs(_in_order(best(t)), seen) for t in targets]
    definitions: list[Definition] = [(k, best(v)) for k, v in {**known, **held}.items()]
    if hold:
        others = [(k, d) for k, d in user if k not in held]
        n = _with_held(targets, value, definitions, others, [*p.names, *p.sizes])
    else:
        n = named(targets, value, user, [*p.names, *p.sizes])
    return Formulas(n.definitions, n.value, [best(t) for t in n.targets], notes)


def _in_order(x: Tensor) -> Tensor:
    """Terms in the order of the function's: reverse mode meets the last one first."""
    return Tensor(x.free, x.terms[::-1])


def with_signs(x: Tensor, seen: set[str]) -> Tensor:
    """Differences the way round in which they were met first: x - m and not m - x, if the function says x - m."""

    def by(a: tn.Atom) -> Tensor | None:
        if not a.parts:
            return tn.leaf_tensor(a)
        parts = [with_signs(p, seen) for p in a.parts]
        if not isinstance(a, Bracket):
            return tn.leaf_tensor(a) if all(p is q for p, q in zip(parts, a.parts, strict=True)) else tn.with_parts(a, parts)
        (inner,) = parts
        if len(inner.terms) < 2 or inner.key in seen:
            return tn.leaf_tensor(a) if inner is a.inner else inner
        back = inner.negative
        if back.key not in seen:
            seen.add(inner.key)
            return tn.leaf_tensor(a) if inner is a.inner else inner
        sizes = tuple(i.size for i in back.free)
        first = sorted(back.terms, key=lambda t: t.coef.number < 0)
        return tn.leaf_tensor(Bracket(Tensor(back.free, tuple(first)), sizes)).negative

    return tn.replaced(x, by)


def _with_held(
    targets: list[Tensor], value: Tensor, held: list[Definition], user: list[Definition], taken: Sequence[str]
) -> Named:
    count = len(targets)
    n = named([*targets, *[d for _, d in held]], value, user, [*taken, *[k for k, _ in held]])
    held = [(k, d) for (k, _), d in zip(held, n.targets[count:], strict=True)]
    n.targets = n.targets[:count]
    from chainrule.explain.naming import needed_by

    every = [*held, *n.definitions]
    order = dict[str, Tensor]()
    for x in [*n.targets, n.value, *[d for _, d in n.definitions]]:
        order.update(needed_by([x], every))
    # definitions made of others come after them
    out: dict[str, Tensor] = {}

    def put(name: str) -> None:
        if name in out or name not in table:
            return
        for a in tn.atoms(table[name]):
            if isinstance(a, tn.Leaf):
                put(a.name)
        out[name] = table[name]

    table = dict(every)
    for name in order:
        put(name)
    for name, _ in n.definitions:
        put(name)
    done = Named(list(out.items()), n.targets, n.value)
    renumber(done, taken, {k for k, _ in held if not k.startswith("delta")})
    return done


def _holder(g: Graph, names: Sequence[str], held: dict[str, Tensor]) -> Callable[[Var, Tensor], Tensor]:
    """Replaces the values that the user's code names by these names."""
    settle(g)
    outs = set(g.outs)

    def hook(v: Var, y: Tensor) -> Tensor:
        name = text(v.hint) if isinstance(v.hint, Where | str) and v.hint else None
        if not name or name in names or v in outs or cost(y) < 3.5 or (name in held and held[name].key != y.key):
            return y
        if not _plain_name(name):
            return y
        held.setdefault(name, y)
        return tn.leaf_tensor(tn.Leaf(name, tuple(i.size for i in y.free))).at(y.free)

    return hook


def _plain_name(name: str) -> bool:
    return name.isidentifier() and name.strip("_") != ""


def _user_names(p: Problem, graphs: Sequence[Graph], at: Sequence[Sizes]) -> list[Definition]:
    """What the user's own code gives names to, as expressions of the arguments."""
    if p.formula is not None:
        return []
    inputs = [tn.leaf_tensor(tn.Leaf(n, p.symbolic(k))) for k, n in enumerate(p.names)]
    reader = Reader([rewrite(g, _SHOWN) for g in graphs], at, inputs)
    found: dict[str, Tensor] = {}
    settle(reader.graph)

    def hook(v: Var, y: Tensor) -> Tensor:
        name = text(v.hint) if isinstance(v.hint, Where | str) and v.hint else None
        if name and _plain_name(name) and name not in p.names:
            found[name] = y
        return y

    reader.hook = hook
    reader.run()
    if len(reader.graph.eqns) > MANY:
        return list(found.items())
    return [(k, best(v)) for k, v in found.items()]


# --- derivatives --------------------------------------------------------------------------------------------------------------


def _derivatives(
    p: Problem, graphs: Sequence[Graph], at: Sequence[Sizes], inputs: list[Tensor], order: int, held: dict[str, Tensor] | None
) -> tuple[list[Tensor], list[str]]:
    scalar = graphs[0].outs[0].type.shape == ()
    if order == 2:
        if not scalar:
            raise errors.NoFormulaError("A second derivative is written for functions that return one number.")
        targets, notes = list[Tensor](), list[str]()
        for k in p.wrt:
            firsts = [_gradient_graph(stable(g), k) for g in graphs]
            found, more = jacobian(firsts, at, inputs, k)
            targets.append(found)
            notes += more
        return targets, notes
    ready = [stable(g) for g in graphs]
    if not scalar:
        pairs = [jacobian(ready, at, inputs, k) for k in p.wrt]
        return [t for t, _ in pairs], [n for _, ns in pairs for n in ns]
    backs = [tidy(vjp(g, p.wrt)) for g in ready]
    reader = Reader(backs, at, [*inputs, tn.number(ONE)])
    if held is not None:
        reader.hook = _hook_backward(reader.graph, p, held)
    return reader.run()[1:], reader.notes


def _hook_backward(g: Graph, p: Problem, held: dict[str, Tensor]) -> Callable[[Var, Tensor], Tensor]:
    """Forward values by their names; backward values of named ones that are used more than once get bars."""
    forward = _holder(g, p.names, held)
    seed = g.ins[-1]
    after: set[Var] = {seed}
    uses: dict[Var, int] = {}
    for e in g.eqns:
        for a in e.ins:
            if isinstance(a, Var):
                uses[a] = uses.get(a, 0) + 1
        if any(a in after for a in e.ins if isinstance(a, Var)):
            after.update(e.outs)
    outs = set(g.outs)

    def hook(v: Var, y: Tensor) -> Tensor:
        if v not in after:
            return forward(v, y)
        if uses.get(v, 0) < 2 or v in outs or y.rank == 0 or len(p.wrt) < 2 or cost(y) < 6:
            return y
        y = best(y)
        base = text(v.hint) or "delta"
        same = next((k for k, d in held.items() if d.key == y.key), None)
        name = same or _free(base if _plain_name(base) else "delta", held, p)
        held.setdefault(name, y)
        return tn.leaf_tensor(tn.Leaf(name, tuple(i.size for i in y.free))).at(y.free)

    return hook


def _free(base: str, held: dict[str, Tensor], p: Problem) -> str:
    name, k = base, 1
    while name in held or name in p.names or name in p.sizes:
        k += 1
        name = f"{base}_{k}"
    return name


def _gradient_graph(g: Graph, k: int) -> Graph:
    """x... -> df/dx_k"""
    both = vjp(g, [k])
    with Builder().here() as b:
        xs = [same_input(b, v) for v in g.ins]
        t = g.outs[0].type
        import numpy as np

        one = b.constant(np.ones((), t.dtype))
        return tidy(b.finish(inline(b, both, [*xs, one])[1:]))


def jacobian(graphs: Sequence[Graph], at: Sequence[Sizes], inputs: list[Tensor], k: int) -> tuple[Tensor, list[str]]:
    """Axes of the result first, then those of the argument."""
    backs: list[Graph] = []
    for g in graphs:
        shape = g.outs[0].type.shape
        back = vjp(g, [k])
        n = len(g.ins)
        for size in reversed(shape):
            back = vmap(back, size, [False] * n + [True])
        backs.append(tidy(Graph(back.ins, back.eqns, back.outs[1:])))
    reader = Reader(backs, at, inputs)
    sizes = reader.aligned.shape([g.outs[0] for g in graphs])
    reader.env[reader.graph.ins[-1]] = _unit(sizes)
    return reader.run()[0], reader.notes


def _unit(sizes: Sequence[Monomial]) -> Tensor:
    """The identity of arrays of this shape."""
    first, second = [Index(s) for s in sizes], [Index(s) for s in sizes]
    factors = tuple(Factor(Delta((s, s)), (i, j)) for s, i, j in zip(sizes, first, second, strict=True))
    return Tensor((*first, *second), (Term(Monomial(Fraction(1)), factors),))
