"""Whole derivative matrices: one direction at a time, all directions at once by batching."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.ir.graph import Graph
from chainrule.ir.types import ArrayType
from chainrule.prims.linear import LETTERS, contract, reshape
from chainrule.transform.jvp import jvp
from chainrule.transform.rebuild import inline, same_input
from chainrule.transform.vjp import vjp
from chainrule.transform.vmap import vmap


def forward(g: Graph, wrt: Sequence[int]) -> Graph:
    """(x...) -> (y...)  becomes  (x...) -> (y..., dy/dx...), column by column; dy/dx has the axes of y, then those of x."""
    push = jvp(g, wrt)
    m = len(g.outs)
    with Builder().here() as b:
        xs = [same_input(b, v) for v in g.ins]
        types = [g.ins[i].type for i in wrt]
        ys = inline(b, g, xs)
        blocks: list[list[Value]] = [[] for _ in g.outs]
        for t, seeds in zip(types, _seeds(b, types), strict=True):
            columns = inline(b, vmap(push, t.size, [False] * len(xs) + [True] * len(types)), [*xs, *seeds])[m:]
            for block, column, y in zip(blocks, columns, g.outs, strict=True):
                block.append(reshape(_first_axis_last(column), shape=(*y.type.shape, *t.shape)))
        return b.finish([*ys, *[j for block in blocks for j in block]])


def reverse(g: Graph, wrt: Sequence[int]) -> Graph:
    """(x...) -> (y...)  becomes  (x...) -> (y..., dy/dx...), row by row; dy/dx has the axes of y, then those of x."""
    pull = vjp(g, wrt)
    m = len(g.outs)
    with Builder().here() as b:
        xs = [same_input(b, v) for v in g.ins]
        types = [a.type for a in g.outs]
        ys = inline(b, g, xs)
        out = list(ys)
        for t, seeds in zip(types, _seeds(b, types), strict=True):
            rows = inline(b, vmap(pull, t.size, [False] * len(xs) + [True] * m), [*xs, *seeds])[m:]
            out += [reshape(r, shape=(*t.shape, *r.shape[1:])) for r in rows]
        return b.finish(out)


def _seeds(b: Builder, types: Sequence[ArrayType]) -> list[list[Value]]:
    """For each type, one batch of directions: every unit vector of it, zero in the others."""
    return [[_units(b, t) if i == k else _no_direction(b, t.size, u) for i, u in enumerate(types)] for k, t in enumerate(types)]


def _units(b: Builder, t: ArrayType) -> Value:
    return b.constant(np.eye(t.size, dtype=t.dtype).reshape(t.size, *t.shape))


def _no_direction(b: Builder, n: int, t: ArrayType) -> Value:
    return b.constant(np.zeros((), t.dtype), (n, *t.shape))


def _first_axis_last(x: Value) -> Value:
    every = LETTERS[: x.ndim]
    return contract(x, spec=f"{every}->{every[1:]}{every[0]}") if x.ndim > 1 else x
