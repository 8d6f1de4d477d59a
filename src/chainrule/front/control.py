"""Control flow on traced values: the bodies are traced once, without values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import index
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.build.builder import Builder, current
from chainrule.build.tree import flatten, paths, unflatten
from chainrule.build.value import Value
from chainrule.front.operands import retyped, value
from chainrule.ir.graph import Array, Graph, Lit, Params, Var, opened, structure
from chainrule.ir.types import BOOL, ArrayType, DType
from chainrule.prims import control as rows
from chainrule.prims.kinds import zeros
from chainrule.prims.kinked import ne

Function = Callable[..., Any]
_KNOWN_BODIES = 1024
_known: OrderedDict[Any, Graph] = OrderedDict()


class Leaf(NamedTuple):
    """One argument of a body: its type, whether it came in as a Python number, its value where that is known."""

    type: ArrayType
    weak: type | None = None
    data: Array | None = None


class Body(NamedTuple):
    """A traced function: ``graph`` (captured..., arguments...) -> results.

    `spec` are the containers of the results, `leaves` the results as the function gave them, `datas` their values if known.
    """

    graph: Graph
    captured: list[Value]
    spec: Any
    leaves: list[Any]
    datas: list[Array | None]


def known(g: Graph) -> Graph:
    """The graph like `g` that was seen before, so that it is compiled once."""
    key, lits = structure(g, slot=lambda a: a.value.ndim != 0)
    if lits:  # arrays inside: nothing like it can be found again
        return g
    found = _known.setdefault(key, g)
    _known.move_to_end(key)
    if len(_known) > _KNOWN_BODIES:
        _known.popitem(last=False)
    return found


def trace(f: Function, args: Sequence[tuple[Any, Sequence[Leaf]]], what: str, evaluate: Any = None, closed: bool = False) -> Body:
    """Run `f` on handles; each argument is its containers and its leaves.

    Values of an outer function and constants that `f` reads from outside become captured values; with `closed`, constants stay
    in the graph.
    """
    with Builder(evaluate, what=what).here() as b:
        result = f(*[unflatten(spec, [b.input(x.type, x.data, x.weak) for x in leaves]) for spec, leaves in args])
        leaves, spec = flatten(result)
        ys = [b.lift(value(x)) for x in leaves]
        g = b.finish(ys)
        datas = [None if y.data is None else y.full for y in ys]
    captured = list(b.captured.values())
    graph, captured = (g, captured) if closed else _opened(g, captured)
    return Body(graph, captured, spec, leaves, datas)


def _opened(g: Graph, captured: list[Value]) -> tuple[Graph, list[Value]]:
    """Constants of the body made captured values, so that bodies that differ in them alone are one program."""
    lits = structure(g)[1]
    wide, n, c = opened(g), len(g.ins), len(captured)
    ins = (*wide.ins[:c], *wide.ins[n:], *wide.ins[c:n])
    return known(Graph(ins, wide.eqns, wide.outs)), [*captured, *[Value(current(), a, a.value) for a in lits]]


def weak_of(x: Any) -> type | None:
    """The Python type of a number that takes the dtype it meets."""
    return x.weak if isinstance(x, Value) else type(x) if type(x) in (int, float, complex) else None


def widened(g: Graph, before: Sequence[Value], after: Sequence[Value], own: int) -> Graph:
    """`g`, whose first `own` inputs are captured, with further captured inputs that it does not read."""
    more = [tuple([Var(x.type) for x in xs]) for xs in (before, after)]
    return known(Graph((*more[0], *g.ins[:own], *more[1], *g.ins[own:]), g.eqns, g.outs))


# --- loops ----------------------------------------------------------------------------------------------------------------


def scan(f: Function, init: Any, xs: Any, length: int | None = None, reverse: bool = False) -> Any:
    """``carry, y[t] = f(carry, x[t])`` for every t: the last carry, and the y stacked."""
    seqs, xs_spec = flatten(xs)
    seqs = [value(x) for x in seqs]
    n = _length(seqs, length, xs)
    rows_of_xs = [Leaf(ArrayType(x.dtype, x.shape[1:])) for x in seqs]

    def step(carry: Any, x: Any) -> Any:
        return pair(f(carry, x), "scan: the body", "(carry, y)")

    body, start = _settled(step, init, [(xs_spec, rows_of_xs)], "scan")
    params = {"body": body.graph, "consts": len(body.captured), "carry": len(start), "length": n, "reverse": bool(reverse)}
    out = write(rows.scan, [*body.captured, *start, *seqs], params)
    return unflatten(body.spec, out)


def pair(result: Any, who: str, what: str) -> Any:
    """`result`, which must be a pair."""
    if type(result) is not tuple or len(result) != 2:  # pyright: ignore[reportUnknownArgumentType]
        raise errors.TreeError(f"{who} returns a pair {what}, and this one returned {type(result).__name__}")  # pyright: ignore[reportUnknownArgumentType]
    return result  # pyright: ignore[reportUnknownVariableType]


def _length(seqs: Sequence[Value], length: int | None, xs: Any) -> int:
    names = paths(xs)
    for x, name in zip(seqs, names, strict=True):
        if not x.shape:
            raise errors.ShapeError(f"scan: xs{name} is a number; a sequence needs an axis to run along")
    sizes = {x.shape[0] for x in seqs} | ({length.__index__()} if length is not None else set[int]())
    if len(sizes) > 1:
        each = [f"xs{name} has {x.shape[0]}" for x, name in zip(seqs, names, strict=True)]
        each += [f"length is {length}"] if length is not None else []
        raise errors.ShapeError(f"scan: the sequences differ in length: {', '.join(each)}")
    if not sizes:
        raise errors.TreeError("scan: say length=..., there are no sequences to tell the number of steps")
    (n,) = sizes
    if n < 0:
        raise ValueError(f"scan: length is {n}")
    return n


def _settled(step: Function, init: Any, others: Sequence[tuple[Any, Sequence[Leaf]]], what: str) -> tuple[Body, list[Value]]:
    """The traced body and the initial carry, whose Python numbers take the dtypes that the body gives them."""
    leaves, spec = flatten(init)
    start = [value(x) for x in leaves]
    weak = [weak_of(x) for x in leaves]
    body = trace(step, [(spec, [Leaf(x.type, w) for x, w in zip(start, weak, strict=True)]), *others], what)
    ends = _ends(body, spec, what)
    if any(weak):
        start = [retyped(x, y.dtype) if w and x.shape == y.shape else x for x, y, w in zip(start, ends, weak, strict=True)]
        body = trace(step, [(spec, [Leaf(x.type) for x in start]), *others], what)
        ends = _ends(body, spec, what)
    for x, y, name in zip(start, ends, paths(init), strict=True):
        if x.type != y.type:
            kind = errors.DtypeError if x.shape == y.shape else errors.TreeError
            raise kind(f"{what}: the carry{name} comes in as {x.type} and the body returns {y.type}; they must be the same")
    return body, start


def _ends(body: Body, spec: Any, what: str) -> list[Value]:
    result = unflatten(body.spec, body.leaves)
    ends, got = flatten(result[0] if what == "scan" else result)
    if got != spec:
        raise errors.TreeError(f"{what}: the carry comes in as {spec} and the body returns {got}; they must be the same")
    return [value(x) for x in ends]


def while_loop(cond: Function, body: Function, init: Any) -> Any:
    """``while cond(carry): carry = body(carry)``."""
    step, start = _settled(body, init, [], "while_loop")
    spec = flatten(init)[1]

    def holds(carry: Any) -> Value:
        return _truth(cond(carry), "while_loop")

    test = trace(holds, [(spec, [Leaf(x.type) for x in start])], "while_loop")
    params = {"test": test.graph, "body": step.graph, "test_consts": len(test.captured), "body_consts": len(step.captured)}
    return unflatten(spec, write(rows.while_, [*test.captured, *step.captured, *start], params))


def _truth(p: Any, what: str) -> Value:
    """One boolean."""
    if not isinstance(p, Value) and np.ndim(p) == 0:
        return value(np.asarray(bool(p)))
    p = value(p)
    if p.shape != ():
        raise errors.ShapeError(f"{what}: the condition is {p.type}; one number is needed (np.any or np.all makes one)")
    return p if p.dtype == BOOL else ne(p, zeros(p.type))


def fori_loop(low: Any, high: Any, body: Function, init: Any) -> Any:
    """``for i in range(low, high): carry = body(i, carry)``."""
    if isinstance(low, Value) or isinstance(high, Value):
        return _fori_while(value(low), value(high), body, init)
    try:
        steps = np.arange(index(low), index(high))
    except TypeError:
        raise errors.DtypeError(f"fori_loop: the bounds are integers, not {low!r} and {high!r}") from None

    def step(carry: Any, i: Any) -> Any:
        return body(i, carry), None

    return scan(step, init, steps)[0]


def _fori_while(low: Value, high: Value, body: Function, init: Any) -> Any:
    if low.dtype.kind not in "iu" or high.dtype.kind not in "iu" or low.shape or high.shape:
        raise errors.DtypeError(f"fori_loop: the bounds are integers, not {low.type} and {high.type}")
    high = retyped(high, np.result_type(low.dtype, high.dtype))
    low = retyped(low, high.dtype)
    one = np.ones((), high.dtype)

    def goes_on(c: Any) -> Any:
        return c[0] < high

    def step(c: Any) -> Any:
        return c[0] + one, body(c[0], c[1])

    return while_loop(goes_on, step, (low, init))[1]


# --- choices ----------------------------------------------------------------------------------------------------------------


def cond(p: Any, yes: Function, no: Function, *args: Any) -> Any:
    """``yes(*args)`` where p holds, else ``no(*args)``."""
    p = _truth(p, "cond")
    flat = [flatten(a) for a in args]
    xs = [value(x) for leaves, _ in flat for x in leaves]
    ins = [(spec, [Leaf(value(x).type, weak_of(x)) for x in leaves]) for leaves, spec in flat]
    both = [trace(f, ins, "cond") for f in (yes, no)]
    if both[0].spec != both[1].spec:
        raise errors.TreeError(f"cond: the branches return different containers, {both[0].spec} and {both[1].spec}")
    dtypes = [_met(a, b) for a, b in zip(both[0].leaves, both[1].leaves, strict=True)]
    both = [trace(_typed(f, dtypes), ins, "cond") if _differs(t, dtypes) else t for f, t in zip((yes, no), both, strict=True)]
    for a, b, name in zip(both[0].graph.outs, both[1].graph.outs, paths(unflatten(both[0].spec, both[0].leaves)), strict=True):
        if a.type != b.type:
            kind = errors.DtypeError if a.type.shape == b.type.shape else errors.TreeError
            raise kind(f"cond: for the result{name} one branch returns {a.type} and the other {b.type}; they must be the same")
    c1, c2 = both[0].captured, both[1].captured
    branches = (widened(both[0].graph, [], c2, len(c1)), widened(both[1].graph, c1, [], len(c2)))
    return unflatten(both[0].spec, write(rows.cond, [p, *c1, *c2, *xs], {"branches": branches}))


def _met(a: Any, b: Any) -> DType | None:
    """The dtype that a Python number returned by one branch takes from the other; None where there is nothing to do."""
    if weak_of(a) is None and weak_of(b) is None:
        return None
    return np.result_type(*[w(0) if (w := weak_of(x)) else value(x).dtype for x in (a, b)])


def _differs(t: Body, dtypes: Sequence[DType | None]) -> bool:
    return any(d is not None and d != a.type.dtype for a, d in zip(t.graph.outs, dtypes, strict=True))


def _typed(f: Function, dtypes: Sequence[DType | None]) -> Function:
    def g(*args: Any) -> Any:
        leaves, spec = flatten(f(*args))
        return unflatten(spec, [x if d is None else retyped(value(x), d) for x, d in zip(leaves, dtypes, strict=True)])

    return g


def write(row: Any, xs: Sequence[Value], params: Params) -> list[Any]:
    """Append the equation; where nothing traced comes in and values are at hand, the results are arrays."""
    b = current()
    if b.evaluate is not None and all(isinstance(x.atom, Lit) for x in xs):
        return [y if y.ndim else y[()] for y in b.evaluate(row, [x.full for x in xs], params)]
    return list(row.all(*xs, **params))
