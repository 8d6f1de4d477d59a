"""The NumPy source of a graph does what the graph does, and reads as a person would have written it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.build.tree import flatten
from chainrule.emit.numpy import to_numpy
from chainrule.emit.python import to_python
from chainrule.ir.graph import Graph
from chainrule.prims import TABLE
from functions import FUNCTIONS, network
from programs import random_program
from row_samples import WITHOUT, Sample, samples

SAMPLES = list(samples())


def agree(g: Graph, args: Any) -> str:
    """Run the source and the engine; both give the same types and numbers."""
    source = to_python(g)
    scope: dict[str, Any] = {}
    exec(compile(source, "<source>", "exec"), scope)
    arrays = [np.asarray(x) for x in flatten(args)[0]]
    got = scope["f"](*arrays)
    got = got if isinstance(got, tuple) else (got,)
    want = to_numpy(g)(*arrays)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (b.shape, b.dtype), source
        # Another order of summation in a product may move the last bits.
        np.testing.assert_allclose(a, b, rtol=1e-12 if b.dtype.itemsize > 4 else 1e-5, atol=1e-14)
    return source


def test_every_row_has_a_sample() -> None:
    assert {s.row for s in SAMPLES} | WITHOUT == set(TABLE)


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{s.row}-{k}" for k, s in enumerate(SAMPLES)])
def test_row(sample: Sample) -> None:
    agree(sample.graph, sample.args)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    f, args = FUNCTIONS[name]
    agree(cr.trace(f)(*args), args)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient(name: str) -> None:
    f, args = FUNCTIONS[name]
    agree(cr.trace(cr.grad(f))(*args), args)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "network"])
def test_hessian(name: str) -> None:
    f, args = FUNCTIONS[name]
    agree(cr.trace(cr.hessian(f))(*args), args)


def test_source_is_what_a_person_writes() -> None:
    source = cr.trace(network)(*FUNCTIONS["network"][1]).to_python("loss")
    assert (
        source
        == """\
import numpy as np


def loss(params_0_0, params_0_1, params_1_0, params_1_1, X, Y):
    # params_0_0: f64[4,5]
    # params_0_1: f64[5]
    # params_1_0: f64[5,2]
    # params_1_1: f64[2]
    # X: f64[6,4]
    # Y: f64[6,2]
    h = np.tanh(X @ params_0_0 + params_0_1)  # f64[6,5]
    p = h @ params_1_0 + params_1_1           # f64[6,2]
    return np.sum(np.square(p - Y)) / 12
"""
    )


def test_gradient_is_what_a_person_writes() -> None:
    def loss(W: Any, x: Any, y: Any) -> Any:
        h = np.tanh(W @ x)
        return np.sum((h - y) ** 2)

    source = cr.trace(cr.grad(loss))(np.ones((2, 3)), np.ones(3), np.ones(2)).to_python()
    assert (
        source
        == """\
import numpy as np


def f(W, x, y):  # f64[2,3], f64[3], f64[2]
    h = np.tanh(W @ x)                              # f64[2]
    bar_W = np.outer(2 * (h - y) * (1 - h * h), x)  # f64[2,3]
    return bar_W
"""
    )


def test_names_are_valid_and_apart() -> None:
    def f(lambda_: Any, np_: Any) -> Any:
        x = lambda_ * 2
        x = x + np_
        sum = x * x
        return sum + x

    g = cr.trace(f)(1.0, np.ones(2))
    source = agree(g, (1.0, np.ones(2)))
    assert "def f(lambda_, np_)" in source
    assert "x_2 = " in source
    assert "sum_ = " in source


def test_source_is_deterministic() -> None:
    f, args = FUNCTIONS["attention"]
    first, second = (cr.trace(cr.grad(f))(*args).to_python() for _ in range(2))
    assert first == second


def test_long_expressions_are_broken_up() -> None:
    def f(x: Any) -> Any:
        for _ in range(30):
            x = np.sin(x) * 2 + np.cos(x)
        return x

    source = agree(cr.trace(f)(np.ones(3)), (np.ones(3),))
    assert max(map(len, source.splitlines())) < 110


@pytest.mark.parametrize("seed", range(24))
def test_random_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, xs = random_program(rng, int(rng.integers(3, 14)))
    run = lambda *xs: program.run(np, *xs)
    agree(cr.trace(run)(*xs), xs)
    agree(cr.trace(cr.grad(run, tuple(range(len(xs)))))(*xs), xs)
