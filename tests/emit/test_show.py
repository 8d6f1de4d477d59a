"""The text of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.graphs import names

LINE = "test_show.py"


def layer(W: Any, x: Any, b: Any) -> Any:
    h = np.tanh(W @ x + b)
    return np.sum(h * h)


def test_function() -> None:
    first = layer.__code__.co_firstlineno
    text = str(cr.trace(layer)(np.ones((2, 3)), np.ones(3), np.ones(2)))
    assert (
        text
        == f"""\
graph(W: f64[2,3], x: f64[3], b: f64[2]):
  a: f64[2] = contract[spec=ij,j->i] W x                      # {LINE}:{first + 1}
  c: f64[2] = add a b                                         # {LINE}:{first + 1}
  h: f64[2] = tanh c                                          # {LINE}:{first + 1}
  d: f64[2] = mul h h                                         # {LINE}:{first + 2}
  e: f64[] = contract[spec=a->] d                             # {LINE}:{first + 2}
  return e"""
    )


def test_gradient() -> None:
    first = layer.__code__.co_firstlineno
    text = str(cr.trace(cr.grad(layer))(np.ones((2, 3)), np.ones(3), np.ones(2)))
    assert (
        text
        == f"""\
graph(W: f64[2,3], x: f64[3], b: f64[2]):
  a: f64[2] = contract[spec=ij,j->i] W x                      # {LINE}:{first + 1}
  c: f64[2] = add a b                                         # {LINE}:{first + 1}
  h: f64[2] = tanh c                                          # {LINE}:{first + 1}
  d: f64[2] = mul h h                                         # {LINE}:{first + 1}
  e: f64[2] = sub 1 d                                         # {LINE}:{first + 1}
  bar_h: f64[2] = mul 2 h                                     # {LINE}:{first + 2}
  f: f64[2] = mul bar_h e                                     # {LINE}:{first + 1}
  bar_W: f64[2,3] = contract[spec=i,j->ij] f x                # {LINE}:{first + 1}
  return bar_W"""
    )


def test_graphs_inside_are_indented() -> None:
    text = str(cr.trace(lambda x: cr.cond(x > 0, np.sin, np.cos, x))(1.0))
    lines = text.splitlines()
    assert sum(line.lstrip() == "branches:" for line in lines) == 2
    assert [line.split(" = ")[1].split()[0] for line in lines if line.startswith("        ") and " = " in line] == ["sin", "cos"]


def test_tangents_and_cotangents_have_names() -> None:
    def f(x: Any) -> Any:
        y = np.exp(x)
        return y * np.sin(y)

    text = str(cr.trace(lambda x, v: cr.jvp(f, (x,), (v,)))(1.0, 2.0))
    assert "  d_y: f64[]" in text
    assert "  bar_y: f64[]" in str(cr.trace(cr.grad(f))(1.0))


@pytest.mark.parametrize(
    ("f", "args", "expected"),
    [
        (lambda W, x: W, (1.0, 2.0), ["W", "x"]),
        (lambda params: params, ({"W": 1.0, "b": 2.0},), ["W", "b"]),
        (lambda params, X: X, ([(1.0, 2.0), (3.0, 4.0)], 1.0), ["params_0_0", "params_0_1", "params_1_0", "params_1_1", "X"]),
        (lambda layers: layers, ([{"W": 1.0}, {"W": 2.0}],), ["W_0", "W_1"]),
        (lambda a, b: a, ({"w": 1.0}, {"w": 2.0}), ["a_w", "b_w"]),
        (lambda *xs: xs, (1.0, 2.0), ["xs_0", "xs_1"]),
    ],
)
def test_input_names(f: Any, args: Any, expected: list[str]) -> None:
    assert names(f, args) == expected


def test_every_equation_knows_its_line_and_columns() -> None:
    g = cr.trace(layer)(np.ones((2, 3)), np.ones(3), np.ones(2))
    where = [e.where for e in g.eqns]
    assert all(w is not None for w in where)
    assert [w.source for w in where if w] == ["W @ x", "W @ x + b", "np.tanh(W @ x + b)", "h * h", "np.sum(h * h)"]
    assert {w.file for w in where if w} == {__file__}
