"""Cost laws: a gradient has at most four times the equations of its function, and everything grows linearly with depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import chainrule as cr
from chainrule.calls import traced
from chainrule.emit.numpy import Program
from chainrule.transform.prepare import prepare
from chainrule.transform.simplify import simplify
from chainrule.transform.tidy import tidy
from chainrule.transform.vjp import vjp


def chain(ws: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    for w in ws:
        x = np.tanh(w @ x)
    return np.sum(x)


def graphs(layers: int) -> tuple[object, object]:
    t = traced(chain, ([np.eye(4)] * layers, np.ones(4)), {}, (0, 1), name="chain", values=False)
    return t.graph, tidy(vjp(prepare(t.graph), t.wrt))


def test_gradient_has_at_most_four_times_the_equations() -> None:
    f, g = graphs(64)
    assert len(g.eqns) <= 4 * len(f.eqns)
    assert len(simplify(g).eqns) <= len(g.eqns)


def test_equations_grow_linearly() -> None:
    sizes = [len(graphs(n)[1].eqns) for n in (8, 16, 32)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])


def test_four_thousand_layers() -> None:
    f, g = graphs(4096)
    assert len(f.eqns) == 2 * 4096 + 1
    assert len(g.eqns) <= 4 * len(f.eqns)
    rng = np.random.default_rng(0)
    ws = [np.eye(4) + 0.01 * rng.normal(size=(4, 4)) for _ in range(4096)]
    _, *grads = Program(g)(*ws, np.ones(4), np.ones(()))
    assert all(np.all(np.isfinite(x)) for x in grads)


@pytest.mark.parametrize("layers", [3, 300])
def test_eager_and_compiled_agree(layers: int, rng: np.random.Generator) -> None:
    ws = [np.eye(4) + 0.1 * rng.normal(size=(4, 4)) for _ in range(layers)]
    eager = cr.grad(chain)(ws, np.ones(4))
    compiled = cr.jit(cr.grad(chain))(ws, np.ones(4))
    for a, b in zip(eager, compiled, strict=True):  # the engines round differently, 300 times over
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.max(np.abs(a)))


def test_simplified_graph_computes_the_same(rng: np.random.Generator) -> None:
    _, g = graphs(5)
    xs = [rng.normal(size=v.type.shape) for v in g.ins]
    for a, b in zip(Program(g)(*xs), Program(simplify(g))(*xs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
