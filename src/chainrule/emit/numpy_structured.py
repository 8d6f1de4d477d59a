"""Run the rows that hold graphs with NumPy: one compiled program per body, no other work per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.emit.numpy import STRUCTURED, Runner, compiled
from chainrule.ir.graph import Array, Graph, Params
from chainrule.prims.control import RULES


def _scan(xs: Sequence[Array], p: Params) -> Sequence[Array]:
    """The body step by step; the stacked results are allocated once."""
    body: Graph = p["body"]
    c, k, n = p["consts"], p["carry"], p["length"]
    run = compiled(body).run
    fixed, carry = list(xs[:c]), list(xs[c : c + k])
    ys = [np.empty((n, *t.shape), t.dtype) for t in body.out_types[k:]]
    order = range(n)[::-1] if p["reverse"] else range(n)
    rows: Any = zip(*[x[::-1] if p["reverse"] else x for x in xs[c + k :]], strict=True) if len(xs) > c + k else [()] * n
    with np.errstate(all="ignore"):
        for t, row in zip(order, rows, strict=True):
            out = run([*fixed, *carry, *row])
            carry = out[:k]
            for y, z in zip(ys, out[k:], strict=True):
                y[t] = z
    return [*carry, *ys]


def _cond(xs: Sequence[Array], p: Params) -> Sequence[Array]:
    yes, no = p["branches"]
    return compiled(yes if xs[0] else no)(*xs[1:])


def _while(xs: Sequence[Array], p: Params) -> Sequence[Array]:
    a, b = p["test_consts"], p["body_consts"]
    test, step = compiled(p["test"]).run, compiled(p["body"]).run
    fixed, known, carry = list(xs[:a]), list(xs[a : a + b]), list(xs[a + b :])
    with np.errstate(all="ignore"):
        while test([*fixed, *carry])[0]:
            carry = step([*known, *carry])
    return carry


def _graph(name: str) -> Runner:
    """A row that is one function of its operands."""

    def run(xs: Sequence[Array], p: Params) -> Sequence[Array]:
        graph = RULES[name].graph
        assert graph is not None
        return compiled(graph(p))(*xs)

    return run


STRUCTURED.update({"scan": _scan, "cond": _cond, "while": _while})
STRUCTURED.update({name: _graph(name) for name in ("checkpoint", "custom_jvp", "custom_vjp", "pulled")})
