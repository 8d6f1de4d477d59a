"""Control flow: rows that hold graphs.

====================  ==========================================================================================
``scan``              ``(consts..., carry..., xs...) -> (carry..., ys...)``; body ``(consts, carry, x) -> (carry, y)``
``cond``              ``(p, xs...) -> ys...``; `branches` are two functions ``xs -> ys``, the first runs where p holds
``while``             ``(test consts..., body consts..., carry...) -> carry...``
====================  ==========================================================================================

What a table of formulas cannot say, the derivative of a function that is itself a graph, is supplied from above:
`chainrule.transform` fills `RULES`, because differentiating a loop differentiates its body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from chainrule import errors
from chainrule.build.row import BatchRule, Operand, PushRule, Row, Tangent, TransposeRule, TypeRule
from chainrule.build.value import Value
from chainrule.ir.graph import Graph, Params
from chainrule.ir.types import BOOL, ArrayType


class BodyRules(NamedTuple):
    """The rules of a row that holds graphs, in terms of the same rules on those graphs."""

    push: PushRule
    batch: BatchRule
    transpose: TransposeRule | None = None
    graph: Callable[[Params], Graph] | None = None
    """The function that the row computes, for rows that are one function of their operands (not loops, not choices)."""


RULES: dict[str, BodyRules] = {}
"""Row that holds graphs -> its rules; filled by `chainrule.transform`."""


def holder(name: str, *, type: TypeRule, transposed: bool = True, **columns: Any) -> Row:
    """A row that holds graphs; its rules are looked up in `RULES` when they are needed."""

    def push(xs: Sequence[Value], dxs: Sequence[Tangent], p: Params) -> tuple[Sequence[Value], Sequence[Tangent]]:
        return RULES[name].push(xs, dxs, p)

    def batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
        return RULES[name].batch(xs, mapped, p)

    def transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
        rule = RULES[name].transpose
        if rule is None:
            raise errors.NotDifferentiableError(f"'{name}' has no transpose")
        return rule(cts, xs, p)

    return Row(
        name=name, kind="structured", type=type, value=None, push=push, batch=batch,
        transpose=transpose if transposed else None, notation=columns.pop("notation", rf"\operatorname{{{{{name}}}}}({{*}})"), **columns,
    )  # fmt: skip


def agree(what: str, want: Sequence[ArrayType], got: Sequence[ArrayType]) -> None:
    """Raise unless a graph is given what it takes."""
    if tuple(want) != tuple(got):
        raise errors.ShapeError(f"{what} takes {', '.join(map(str, want))} and was given {', '.join(map(str, got))}")


def _scan_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    body: Graph = p["body"]
    c, k, n = p["consts"], p["carry"], p["length"]
    if any(t.shape[:1] != (n,) for t in ts[c + k :]):
        raise errors.ShapeError(f"scan over {n} steps was given sequences {', '.join(map(str, ts[c + k :]))}")
    agree("the body of scan", body.in_types, [*ts[: c + k], *[ArrayType(t.dtype, t.shape[1:]) for t in ts[c + k :]]])
    agree("the next step of scan", body.in_types[c : c + k], body.out_types[:k])
    return (*body.out_types[:k], *[ArrayType(t.dtype, (n, *t.shape)) for t in body.out_types[k:]])


def _cond_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    yes, no = p["branches"]
    agree("cond", [ArrayType(BOOL, ())], ts[:1])
    for g in (yes, no):
        agree("a branch of cond", g.in_types, ts[1:])
    agree("cond, whose branches return the same types,", yes.out_types, no.out_types)
    return yes.out_types


def _while_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    test, body, a, b = p["test"], p["body"], p["test_consts"], p["body_consts"]
    agree("the condition of while_loop", test.in_types, [*ts[:a], *ts[a + b :]])
    agree("the body of while_loop", body.in_types, ts[a:])
    agree("the next step of while_loop", ts[a + b :], body.out_types)
    agree("while_loop, whose condition is one boolean,", [ArrayType(BOOL, ())], test.out_types)
    return body.out_types


scan = holder("scan", type=_scan_type)
"""``carry, y[t] = body(consts, carry, x[t])`` for t < length (from the last to the first with `reverse`)."""
cond = holder("cond", type=_cond_type)
"""The first branch where the predicate holds, the second elsewhere."""
while_ = holder("while", type=_while_type, transposed=False)
"""``while test(carry): carry = body(carry)``."""
