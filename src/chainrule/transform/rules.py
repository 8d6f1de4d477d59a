"""Rewrite rules, written as formulas: ``rule("log(1 + exp(x))", "logaddexp(0, x)")``.

A rule is an equation between expressions over the table's rows.  Names that are no rows stand for anything; a name that
occurs twice stands for the same value twice.  `when` says which further conditions make the equation true.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.ir.hints import settle
from chainrule.prims import TABLE
from chainrule.prims.kinds import constant
from chainrule.transform.rebuild import Env, call, replay, same_input, value_of

Bound = dict[str, Atom]
Condition = Callable[[Bound], bool]

_OPERATORS = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Pow": "pow", "USub": "neg"}
_COMMUTE = frozenset({"add", "mul", "maximum", "minimum", "logaddexp", "eq", "ne"})


@dataclass(frozen=True)
class Node:
    """An operation of a formula: the name of a row, and its operands."""

    row: str
    operands: tuple[Pattern, ...]


Pattern = Node | str | float
"""A formula: an operation, a name, or a number."""


@cache
def parse(text: str) -> Pattern:
    """A formula over rows, in Python's syntax."""
    return _parsed(ast.parse(text, mode="eval").body)


def _parsed(e: Any) -> Pattern:
    if isinstance(e, ast.Constant):
        return float(e.value)  # pyright: ignore[reportArgumentType]
    if isinstance(e, ast.Name):
        return e.id
    if isinstance(e, ast.BinOp):
        return Node(_OPERATORS[type(e.op).__name__], (_parsed(e.left), _parsed(e.right)))
    if isinstance(e, ast.UnaryOp):
        inner = _parsed(e.operand)
        return -inner if isinstance(inner, int | float) else Node("neg", (inner,))
    assert isinstance(e, ast.Call), "a rule is made of rows, names and numbers"
    assert isinstance(e.func, ast.Name), "a rule names its rows"
    return Node(e.func.id, tuple(map(_parsed, e.args)))


@dataclass(frozen=True)
class Rule:
    """`left` may be replaced by `right` wherever `when` holds."""

    left: Node
    right: Pattern
    text: str
    when: Condition | None = None


def rule(left: str, right: str, when: Condition | None = None) -> Rule:
    """An equation from left to right."""
    pattern = parse(left)
    assert isinstance(pattern, Node), "the left side of a rule is an operation"
    return Rule(pattern, parse(right), f"{left} = {right}", when)


def is_inexact(name: str) -> Condition:
    """The named value is floating, not integer."""
    return lambda bound: bound[name].type.inexact


def matches(p: Pattern, a: Atom, made: Mapping[Var, Eqn], bound: Bound) -> Bound | None:
    """The meaning of the names of `p` under which it is `a`, if there is one."""
    if isinstance(p, int | float):
        return bound if isinstance(a, Lit) and a.is_number(p) else None
    if isinstance(p, str):
        known = bound.get(p)
        if known is None:
            return {**bound, p: a}
        return bound if _same(known, a) else None
    e = made.get(a) if isinstance(a, Var) else None
    if e is None or e.prim != p.row or len(e.ins) != len(p.operands):
        return None
    found = _all(p.operands, e.ins, made, bound)
    if found is None and p.row in _COMMUTE:
        found = _all(p.operands, e.ins[::-1], made, bound)
    return found


def _all(ps: Sequence[Pattern], atoms: Sequence[Atom], made: Mapping[Var, Eqn], bound: Bound) -> Bound | None:
    found: Bound | None = bound
    for p, a in zip(ps, atoms, strict=True):
        found = matches(p, a, made, found)
        if found is None:
            return None
    return found


def _same(a: Atom, b: Atom) -> bool:
    if isinstance(a, Lit) and isinstance(b, Lit):
        return a.splat and b.splat and a.type == b.type and bool(a.value == b.value)
    return a is b


def rewrite(g: Graph, rules: Sequence[Rule]) -> Graph:
    """`g` with every rule applied wherever it fits, first rule first; `g` itself where none does."""
    by_row: dict[str, list[Rule]] = {}
    for r in rules:
        by_row.setdefault(r.left.row, []).append(r)
    if not any(e.prim in by_row for e in g.eqns):
        return g
    made = {v: e for e in g.eqns for v in e.outs}
    if not any(_found(e, by_row, made) for e in g.eqns if e.prim in by_row):
        return g
    settle(g)
    with Builder().here() as b:
        env: Env = {v: same_input(b, v) for v in g.ins}
        new: dict[Var, Eqn] = {}
        for e in g.eqns:
            ins = [value_of(b, env, a) for a in e.ins]
            before = len(b.eqns)
            ys = _rewritten(b, e, ins, by_row, new) or replay(b, e, ins)
            new.update((v, q) for q in b.eqns[before:] for v in q.outs)
            for v, y in zip(e.outs, ys, strict=True):
                call(y, v.hint)
                env[v] = y
        b.where = None
        return b.finish([value_of(b, env, a) for a in g.outs])


def _found(e: Eqn, by_row: Mapping[str, Sequence[Rule]], made: Mapping[Var, Eqn]) -> tuple[Rule, Bound] | None:
    for r in by_row.get(e.prim, ()):
        bound = matches(r.left, e.outs[0], made, {})
        if bound is not None and (r.when is None or r.when(bound)):
            return r, bound
    return None


def _rewritten(
    b: Builder, e: Eqn, ins: Sequence[Value], by_row: Mapping[str, Sequence[Rule]], made: Mapping[Var, Eqn]
) -> tuple[Value, ...] | None:
    if e.prim not in by_row:
        return None
    b.where = e.where
    here = e._replace(ins=tuple([b.lift(x).atom for x in ins]))
    found = _found(here, by_row, ChainMap({here.outs[0]: here}, made))  # pyright: ignore[reportArgumentType]
    if found is None:
        return None
    r, bound = found
    return (_written(b, r.right, bound, e.outs[0]),)


def _written(b: Builder, p: Pattern, bound: Bound, like: Var) -> Value:
    if isinstance(p, int | float):
        return constant(p, like.type)
    if isinstance(p, str):
        a = bound[p]
        return Value(b, a, a.value if isinstance(a, Lit) else None)
    return TABLE[p.row](*[_written(b, q, bound, like) for q in p.operands])
