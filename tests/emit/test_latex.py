"""Formulas parse, are bracketed rightly, and read as mathematics does."""

from __future__ import annotations

import re
from typing import Any

import latex2mathml.converter
import numpy as np
import pytest

import chainrule as cr
from chainrule.emit.latex import to_latex
from chainrule.emit.symbols import number, symbol
from functions import FUNCTIONS
from programs import random_program
from row_samples import Sample, samples

SAMPLES = list(samples())
_GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"


def parses(tex: str) -> None:
    """latex2mathml reads it; its braces, brackets and environments are paired; nothing has two subscripts."""
    assert latex2mathml.converter.convert(tex).startswith("<math")
    depth = 0
    for c in re.sub(r"\\[{}]", "", tex):
        depth += (c == "{") - (c == "}")
        assert depth >= 0, tex
    assert depth == 0, tex
    assert tex.count(r"\left") == tex.count(r"\right"), tex
    assert re.findall(r"\\begin\{(\w+)\}", tex).count("cases") == re.findall(r"\\end\{(\w+)\}", tex).count("cases")
    for mark in "_^":
        assert not re.search(rf"{re.escape(mark)}{_GROUP}\s*{re.escape(mark)}", tex), tex
    assert "{}" not in tex, tex


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{s.row}-{k}" for k, s in enumerate(SAMPLES)])
def test_row(sample: Sample) -> None:
    tex = to_latex(sample.graph)
    parses(tex)
    assert "None" not in tex


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("derivative", [lambda f: f, cr.grad], ids=["value", "gradient"])
def test_function(name: str, derivative: Any) -> None:
    f, args = FUNCTIONS[name]
    parses(cr.trace(derivative(f))(*args).to_latex())


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "network"])
def test_hessian(name: str) -> None:
    f, args = FUNCTIONS[name]
    parses(cr.trace(cr.hessian(f))(*args).to_latex())


@pytest.mark.parametrize(
    ("name", "tex"),
    [
        ("x", "x"), ("W1", "W_{1}"), ("theta_1", r"\theta_{1}"), ("sigma", r"\sigma"), ("lambda_", r"\lambda"), ("y_hat", r"\hat{y}"),
        ("bar_h_2", r"\bar{h}_{2}"), ("d_x", r"\dot{x}"), ("learning_rate", r"\mathrm{learning}_{\mathrm{rate}}"), ("loss", r"\mathrm{loss}"),
        ("y_true", r"y_{\mathrm{true}}"), ("d_bar_W", r"\dot{\bar{W}}"), ("grad_w", r"\nabla_{w}"),
    ],
)  # fmt: skip
def test_symbol(name: str, tex: str) -> None:
    assert symbol(name).text == tex
    parses(tex)


@pytest.mark.parametrize(
    ("x", "tex"),
    [
        (2.0, "2"), (0.5, r"\frac{1}{2}"), (1 / 3, r"\frac{1}{3}"), (0.1, "0.1"), (-1.5, "-1.5"), (np.pi, r"\pi"), (1e-5, r"10^{-5}"), (3e8, "300000000"),
        (2.5e-8, r"2.5 \times 10^{-8}"), (np.inf, r"\infty"), (-np.inf, r"-\infty"), (np.float32(0.1), "0.1"), (np.float32(1 / 3), r"\frac{1}{3}"), (7, "7"),
    ],
)  # fmt: skip
def test_number(x: Any, tex: str) -> None:
    assert number(np.asarray(x)).text == tex


def formula(f: Any, *args: Any) -> str:
    """The right side of the last line."""
    return cr.trace(f)(*args).to_latex().splitlines()[-2].split("&= ")[1]


A, B, u, v = np.ones((2, 3)), np.ones((3, 2)), np.ones(3), np.ones(3)


@pytest.mark.parametrize(
    ("f", "args", "tex"),
    [
        (lambda A, B: A @ B, (A, B), "A B"),
        (lambda A, B: (A @ B).T, (A, B), r"B^{\top} A^{\top}"),
        (lambda u, v: u @ v, (u, v), r"u^{\top} v"),
        (lambda u, v: np.outer(u, v), (u, v), r"u v^{\top}"),
        (lambda A, u: A @ (u * u), (A, u), r"A u^{2}"),
        (lambda A, u: A @ (u + 1), (A, u), r"A \left(u + 1\right)"),
        (lambda A, u: 2 * (A @ u), (A, u), r"2 A u"),
        (lambda A, u: A @ u * (A @ u + 1), (A, u), r"a \odot \left(a + 1\right)"),
        (lambda u, v: (u - v) * (u + v), (u, v), r"\left(u - v\right) \odot \left(u + v\right)"),
        (lambda u, v: u - (v - u), (u, v), r"u - \left(v - u\right)"),
        (lambda u, v: u - (v + u), (u, v), r"u - \left(v + u\right)"),
        (lambda u, v: (u + v) ** 2, (u, v), r"{\left(u + v\right)}^{2}"),
        (lambda u: np.exp(u) ** 3.5, (u,), r"{\left(e^{u}\right)}^{3.5}"),
        (lambda u: np.sum(u), (u,), r"\sum_{i} u_{i}"),
        (lambda u, v: np.sum(u - v), (u, v), r"\sum_{i} \left(u_{i} - v_{i}\right)"),
        (lambda A, u: np.sum((A @ u) ** 2), (A, u), r"\sum_{i} {\left(A u\right)_{i}}^{2}"),
        (lambda A: A.sum(axis=0), (A,), r"\sum_{i} A_{i,{:}}"),
        (lambda A, u: np.sum(A * u), (A, u), r"\sum_{ij} A_{ij} \, u_{j}"),
        (lambda u: np.log(np.tanh(u)), (u,), r"\ln\left(\tanh u\right)"),
        (lambda u, v: u / (u + v), (u, v), r"\frac{u}{u + v}"),
        (lambda u: -np.sum(u), (u,), r"-\sum_{i} u_{i}"),
        (lambda u, v: np.where(u > v, u, v), (u, v), r"\begin{cases} u & \text{if } u > v \\ v & \text{otherwise} \end{cases}"),
        (lambda u: u[0] + u[1], (u,), "u_{0} + u_{1}"),
        (lambda A: A[:, 1], (A,), r"A_{{:},1}"),
        (lambda u: u[1:] - u[:-1], (u,), r"u_{1{:}} - u_{{:}-1}"),
        (lambda u: np.sum(u[1:] * u[:-1]), (u,), r"\sum_{i} u_{i+1} \, u_{i}"),
        (lambda A, B, u: np.einsum("ij,ij->i", A, A), (A, A, u), r"\sum_{j} A_{ij}^{2}"),
        (lambda i, j: np.sum(i * j), (u, v), r"\sum_{k} i_{k} \, j_{k}"),
    ],
)  # fmt: skip
def test_formula(f: Any, args: Any, tex: str) -> None:
    got = formula(f, *args)
    parses(got)
    assert got == tex


def test_lines_of_a_gradient() -> None:
    def loss(W: Any, x: Any, b: Any, y: Any) -> Any:
        h = np.tanh(W @ x + b)
        return np.sum((h - y) ** 2) / 2

    tex = cr.trace(cr.grad(loss))(A, u, np.ones(2), np.ones(2)).to_latex()
    assert (
        tex
        == r"""\begin{aligned}
h &= \tanh\left(W x + b\right) \\
\bar{W} &= \left(\left(h - y\right) \odot \left(1 - h^{2}\right)\right) x^{\top}
\end{aligned}"""
    )


@pytest.mark.parametrize("seed", range(24))
def test_random_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, xs = random_program(rng, int(rng.integers(3, 14)))
    parses(cr.trace(cr.grad(lambda *xs: program.run(np, *xs)))(*xs).to_latex())


def test_no_second_subscript() -> None:
    def f(h_1: Any) -> Any:
        return np.cumprod(h_1)

    parses(cr.trace(cr.jacobian(f))(np.ones(3)).to_latex())
