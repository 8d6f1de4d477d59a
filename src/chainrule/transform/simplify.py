"""Algebra that makes a graph smaller and changes no value.

Every rule is true in floating point for all arguments (but for the sign of a zero result), so simplified graphs may be
run as well as read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.ir.hints import settle
from chainrule.prims.linear import contract, letters_of, reshape
from chainrule.transform.rebuild import Env, call, replay, same_input, value_of
from chainrule.transform.rules import rewrite, rule
from chainrule.transform.tidy import tidy

RULES = (
    rule("x + 0", "x"),
    rule("x - 0", "x"),
    rule("0 - x", "-x"),
    rule("x * 1", "x"),
    rule("x * -1", "-x"),
    rule("x / 1", "x"),
    rule("pow(x, 1)", "x"),
    rule("pow(x, 2)", "x * x"),
    rule("-(-x)", "x"),
    rule("x + -y", "x - y"),
    rule("x - -y", "x + y"),
    rule("-x - y", "-(x + y)"),
    rule("-x * -y", "x * y"),
    rule("x * -y", "-(x * y)"),
    rule("-x / -y", "x / y"),
    rule("-x / y", "-(x / y)"),
    rule("x / -y", "-(x / y)"),
    rule("-(x - y)", "y - x"),
    rule("select(c, x, x)", "x"),
    rule("x + x", "2 * x"),
)
"""Equations from left to right."""


def simplify(g: Graph) -> Graph:
    """The same function with fewer equations: algebra, permutations folded into products, equal equations once."""
    for _ in range(8):
        smaller = tidy(structural(rewrite(tidy(g), RULES)))
        if len(smaller.eqns) == len(g.eqns) and all(a.prim == b.prim for a, b in zip(smaller.eqns, g.eqns, strict=True)):
            return smaller
        g = smaller
    return g


def structural(g: Graph) -> Graph:
    """Permutations folded into the products around them, reshapes and casts of reshapes and casts done once."""
    if not any(e.prim in _FOLDS for e in g.eqns):
        return g
    settle(g)
    with Builder().here() as b:
        env: Env = {v: same_input(b, v) for v in g.ins}
        made: dict[Var, Eqn] = {}
        for e in g.eqns:
            ins = [value_of(b, env, a) for a in e.ins]
            b.where = e.where
            before = len(b.eqns)
            y = _folded(b, e, ins, made)
            ys = replay(b, e, ins) if y is None else (y,)
            made.update((v, q) for q in b.eqns[before:] for v in q.outs)
            for v, y in zip(e.outs, ys, strict=True):
                call(y, v.hint)
                env[v] = y
        b.where = None
        return b.finish([value_of(b, env, a) for a in g.outs])


def _producer(a: Atom, made: dict[Var, Eqn], prim: str) -> Eqn | None:
    e = made.get(a) if isinstance(a, Var) else None
    return e if e is not None and e.prim == prim else None


def _folded(b: Builder, e: Eqn, ins: Sequence[Value], made: dict[Var, Eqn]) -> Value | None:
    fold = _FOLDS.get(e.prim)
    return None if fold is None else fold(b, e, ins, made)


def _value(b: Builder, a: Atom) -> Value:
    return Value(b, a, a.value if isinstance(a, Lit) else None)


def _fold_contract(b: Builder, e: Eqn, ins: Sequence[Value], made: dict[Var, Eqn]) -> Value | None:
    """A permuted operand is the operand with its letters permuted; a product permuted is a product with its result's."""
    letters, out = letters_of(e.params)
    if letters == [out]:
        return ins[0]
    if len(ins) == 1 and sorted(letters[0]) == sorted(out):
        inner = _producer(ins[0].atom, made, "contract")
        if inner is not None:
            parts, result = letters_of(inner.params)
            if len(parts) == 2:
                order = "".join(result[letters[0].index(x)] for x in out)
                return contract(*[_value(b, a) for a in inner.ins], spec=f"{','.join(parts)}->{order}")
    changed = False
    operands: list[Value] = []
    for k, x in enumerate(ins):
        inner = _producer(x.atom, made, "contract")
        if inner is not None and len(inner.ins) == 1:
            (source,), result = letters_of(inner.params)
            if sorted(source) == sorted(result):
                rename = dict(zip(result, letters[k], strict=True))
                letters[k] = "".join(rename[s] for s in source)
                x, changed = _value(b, inner.ins[0]), True
        operands.append(x)
    return contract(*operands, spec=f"{','.join(letters)}->{out}") if changed else None


def _fold_reshape(b: Builder, e: Eqn, ins: Sequence[Value], made: dict[Var, Eqn]) -> Value | None:
    if ins[0].shape == e.params["shape"]:
        return ins[0]
    inner = _producer(ins[0].atom, made, "reshape")
    return None if inner is None else reshape(_value(b, inner.ins[0]), shape=e.params["shape"])


def _fold_cast(b: Builder, e: Eqn, ins: Sequence[Value], made: dict[Var, Eqn]) -> Value | None:
    return ins[0] if ins[0].dtype == e.params["dtype"] else None


def _fold_spread(b: Builder, e: Eqn, ins: Sequence[Value], made: dict[Var, Eqn]) -> Value | None:
    """One number for all elements needs no broadcasting."""
    a = ins[0].atom
    return b.constant(a.value, e.params["shape"]) if isinstance(a, Lit) and a.splat else None


_FOLDS: dict[str, Callable[[Builder, Eqn, Sequence[Value], dict[Var, Eqn]], Value | None]] = {
    "spread": _fold_spread,
    "contract": _fold_contract,
    "reshape": _fold_reshape,
    "cast": _fold_cast,
}
