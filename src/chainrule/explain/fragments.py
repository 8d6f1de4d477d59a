"""Pieces of NumPy source: expressions that know which axes they have."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from chainrule.emit import source as s
from chainrule.explain.nodes import Node

Axes = frozenset[int]
NONE: Axes = frozenset()


class Code:
    """An expression and which axes of its value it has (the others are left to broadcasting)."""

    __slots__ = ("axes", "node")

    def __init__(self, node: ast.expr, axes: Axes) -> None:
        self.node = node
        self.axes = axes


def every(x: Node) -> Axes:
    """All axes."""
    return frozenset(range(x.rank))


def quotient(top: Sequence[ast.expr], bottom: Sequence[ast.expr]) -> ast.expr:
    """``a * b / (c * d)``"""
    out = times(top) if top else s.fill("1")
    return s.fill("{0} / {1}", out, times(bottom)) if bottom else out


def negative(x: ast.expr) -> ast.expr:
    """``-a * b`` rather than ``-(a * b)``."""
    if isinstance(x, ast.BinOp) and isinstance(x.op, ast.Mult | ast.Div | ast.MatMult):
        return ast.BinOp(negative(x.left), x.op, x.right)
    if isinstance(x, ast.Constant) and isinstance(x.value, int | float):
        return ast.Constant(-x.value)
    return s.fill("-{0}", x)


def times(xs: Sequence[ast.expr]) -> ast.expr:
    out = xs[0]
    for x in xs[1:]:
        out = s.fill("{0} * {1}", out, x)
    return out
