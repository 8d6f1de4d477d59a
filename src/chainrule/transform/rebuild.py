"""The one loop every transformation shares: read equations in order, write new ones."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.ir.hints import Hint, settle
from chainrule.prims import TABLE

Env = dict[Var, Value]


def value_of(b: Builder, env: Env, a: Atom) -> Value:
    """What an atom of the old graph has become in the new one."""
    return Value(b, a, a.value) if isinstance(a, Lit) else env[a]


def same_input(b: Builder, v: Var) -> Value:
    """An input like `v`."""
    return b.input(v.type, weak=v.weak, hint=v.hint)


def call(x: Value, hint: Hint | None) -> None:
    """Let `x` be called so, unless it has a name."""
    if hint and isinstance(x.atom, Var) and not x.atom.hint:
        x.atom.hint = hint


def replay(b: Builder, e: Eqn, ins: Sequence[Value]) -> tuple[Value, ...]:
    """Write `e` again with other operands."""
    b.where = e.where
    ys = b.add(TABLE[e.prim], ins, e.params)
    for v, y in zip(e.outs, ys, strict=True):
        call(y, v.hint)
    return ys


def inline(b: Builder, g: Graph, args: Sequence[Value]) -> list[Value]:
    """Copy `g` into `b`, reading its inputs from `args`."""
    env = dict(zip(g.ins, args, strict=True))
    outside = b.where
    settle(g)
    for e in g.eqns:
        env.update(zip(e.outs, replay(b, e, [value_of(b, env, a) for a in e.ins]), strict=True))
    b.where = outside
    return [value_of(b, env, a) for a in g.outs]
