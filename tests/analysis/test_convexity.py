"""The certificate proves what is convex in a table of functions, and nothing that is not, in random programs too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp

import chainrule as cr

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(6, 3)), np.ones(6)
S = A.T @ A
L = cr.losses
Y = np.array([0.0, 1, 1, 0, 1, 0])

CONVEX: dict[str, Callable[[Any], Any]] = {
    "least squares": lambda x: np.sum((A @ x - B) ** 2),
    "mean of squares": lambda x: np.mean(np.square(A @ x - B)),
    "least absolute deviations": lambda x: np.sum(np.abs(A @ x - B)),
    "norm": lambda x: np.linalg.norm(A @ x - B),
    "norm, written out": lambda x: np.sqrt(np.sum((A @ x - B) ** 2)),
    "ridge": lambda x: np.mean((A @ x - B) ** 2) + 0.1 * np.sum(x**2),
    "lasso": lambda x: np.mean((A @ x - B) ** 2) + 0.1 * np.sum(np.abs(x)),
    "elastic net": lambda x: np.sum((A @ x - B) ** 2) + np.sum(np.abs(x)) + np.sum(x * x),
    "logistic": lambda x: np.mean(np.logaddexp(0, -(A @ x))),
    "cross-entropy of logits": lambda x: L.binary_cross_entropy(Y, A @ x, from_logits=True),
    "softmax cross-entropy": lambda x: L.categorical_cross_entropy(
        np.eye(3)[[0, 1]], np.reshape(A @ x, (2, 3)), from_logits=True
    ),
    "hinge": lambda x: L.hinge(2 * Y - 1, A @ x),
    "huber": lambda x: L.huber(B, A @ x, delta=0.7),
    "huber, by hand": lambda x: np.sum(np.where(np.abs(x) < 2, x**2, 4 * np.abs(x) - 4)),
    "two slopes": lambda x: np.sum(np.where(x > 1, 3 * x - 2, x)),
    "flat, then a parabola": lambda x: np.sum(np.where(x <= 1, 0 * x, (x - 1) ** 2)),
    "nothing, chosen first": lambda x: np.sum(np.where(A @ x >= 1, 0.0, 1 - A @ x)),
    "squared hinge of the losses": lambda x: L.squared_hinge(2 * Y - 1, A @ x),
    "greater, chosen": lambda x: np.where(x[0] < x[1], x[1], x[0]),
    "squared hinge": lambda x: np.mean(np.maximum(0, 1 - A @ x) ** 2),
    "log-cosh": lambda x: L.log_cosh(B, A @ x),
    "mae": lambda x: L.mae(B, A @ x),
    "quantile": lambda x: L.quantile(B, A @ x, q=0.3),
    "poisson, log rate": lambda x: np.mean(np.exp(A @ x) - B * (A @ x)),
    "logsumexp": lambda x: cr.special.logsumexp(A @ x),
    "logsumexp along an axis": lambda x: np.sum(cr.special.logsumexp(np.reshape(A @ x, (2, 3)), axis=1)),
    "logsumexp, written out": lambda x: np.log(np.sum(np.exp(A @ x))),
    "quadratic form": lambda x: x @ S @ x + x[0],
    "greatest": lambda x: np.max(A @ x),
    "exp of a square": lambda x: np.sum(np.exp(x**2)),
    "fourth power": lambda x: np.sum(x**4),
    "power of a norm": lambda x: np.abs(x[0]) ** 1.5,
    "half of r r": lambda x: np.sum(0.5 * (A @ x - B) * (A @ x - B)),
    "negative entropy": lambda x: np.sum(x * np.log(x)),
    "barrier": lambda x: -np.sum(np.log(B - A @ x)),
    "hypot": lambda x: np.hypot(x[0], x[1] - x[2]),
    "constant branch": lambda x: np.sum(np.where(Y > 0, A @ x, np.square(A @ x))),
    "sum of convex and affine": lambda x: np.cosh(x[0]) + 3 * x[1] - 2,
    "distance to a point, squared": lambda x: np.sum((x - np.arange(3.0)) @ (x - np.arange(3.0))),
}
CONCAVE: dict[str, Callable[[Any], Any]] = {
    "least": lambda x: np.min(x),
    "less, chosen": lambda x: np.where(x[0] < x[1], x[0], x[1]),
    "minus least squares": lambda x: -np.sum((A @ x - B) ** 2),
    "root": lambda x: np.sum(np.sqrt(x)),
    "logarithm": lambda x: np.mean(np.log(1 + x)),
    "log-likelihood": lambda x: np.mean(cr.special.log_softmax(x)),
    "log of a least": lambda x: np.log(np.minimum(x[0], x[1])),
    "negative semidefinite form": lambda x: -(x @ S @ x),
}
AFFINE: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x),
    "shift": lambda x: np.mean(A @ x - B),
    "cumulated": lambda x: np.cumsum(x)[-1] - 2 * x[0] / 5,
    "joined": lambda x: np.sum(np.concatenate([x, B]) * np.arange(9.0)),
}
NEITHER: dict[str, Callable[[Any], Any]] = {
    "product": lambda x: x[0] * x[1],
    "indefinite form": lambda x: x[0] ** 2 - x[1] ** 2,
    "cube": lambda x: np.sum(x**3),
    "sine": lambda x: np.sum(np.sin(x)),
    "network": lambda x: np.sum(np.tanh(A @ x) ** 2),
    "square of a square less one": lambda x: np.sum((x**2 - 1) ** 2),
    "gammaln has humps below zero": lambda x: np.sum(sp.gammaln(x)),
    "inverse": lambda x: np.sum(1 / x),
    "root of an absolute value": lambda x: np.sqrt(np.abs(x[0])),
    "step": lambda x: np.sum(np.sign(x)),
    "rounding": lambda x: np.sum(np.floor(x)),
    "a product hidden from derivatives": lambda x: cr.stop_gradient(x[0]) * x[1],
    "difference of convex": lambda x: np.sum(np.exp(x)) - np.sum(x**2),
    "norm of a square less one": lambda x: np.linalg.norm(x**2 - 1),
    "log of a square": lambda x: np.log(1 + x[0] ** 2),
    "a shift that is another row's": lambda x: np.sum(
        np.log(np.exp(x - cr.stop_gradient(np.max(x)))) + x[::-1] * x
    ),
    "huber with a jump": lambda x: np.sum(np.where(np.abs(x) < 2, x**2, 4 * np.abs(x))),
    "a slope that falls at the seam": lambda x: np.sum(np.where(np.abs(x) < 2, x**2, np.abs(x) + 2)),
    "capped": lambda x: np.sum(np.where(np.abs(x) < 2, x**2, 4.0)),
    "two pieces of a falling function of a convex one": lambda x: np.sum(np.where(np.square(x) < 2, -3 * np.square(x), -np.square(x) - 4)),
    "the wrong choice": lambda x: np.where(x[0] < 1.0, x[1], x[0]),
    "truncation": lambda x: np.sum(x.astype(np.int64)),
}  # fmt: skip
ALL = {"convex": CONVEX, "concave": CONCAVE, "affine": AFFINE, "unknown": NEITHER}


@pytest.mark.parametrize(("verdict", "name"), [(v, n) for v, t in ALL.items() for n in t])
def test_verdicts(verdict: str, name: str) -> None:
    found = cr.analysis.convexity(ALL[verdict][name], np.ones(3))
    assert found.verdict == verdict, str(found)
    assert found.path


def bent(f: Callable[[Any], Any], sign: float, rng: np.random.Generator, width: float) -> float:
    """The greatest violation of convexity (of sign f) on random segments, relative to the values."""
    worst = 0.0
    with np.errstate(all="ignore"):
        for _ in range(60):
            a, b = rng.normal(size=(2, 3)) * width
            t = rng.uniform()
            fa, fb, fm = (sign * float(f(z)) for z in (a, b, t * a + (1 - t) * b))
            if np.all(np.isfinite([fa, fb, fm])):
                worst = max(worst, (fm - t * fa - (1 - t) * fb) / (1 + abs(fa) + abs(fb)))
    return worst


@pytest.mark.parametrize("verdict", ["convex", "concave", "affine"])
def test_the_table_is_true(verdict: str) -> None:
    for f in ALL[verdict].values():
        for sign in {"convex": (1,), "concave": (-1,), "affine": (1, -1)}[verdict]:
            assert bent(f, sign, np.random.default_rng(1), 1.0) < 1e-12


def test_the_other_table_is_bent_both_ways() -> None:
    """So that "unknown" is the only right verdict there."""
    for name, f in NEITHER.items():
        for sign in (1, -1):
            assert max(bent(f, sign, np.random.default_rng(k), 0.6 * k) for k in (1, 2, 3)) > 1e-9, name


UNARY = [
    np.exp, np.square, np.abs, np.negative, np.log1p, np.sqrt, np.tanh, np.sin, np.reciprocal, np.cosh, np.log, lambda v: v**3,
    lambda v: v**4, lambda v: np.maximum(v, 0.3), lambda v: np.minimum(v, 1.0), lambda v: 2 * v - 1, lambda v: -0.5 * v,
    lambda v: np.max(v) + 0 * v, lambda v: np.sum(v) * np.ones(3), lambda v: np.logaddexp(v, 1.0), lambda v: v**1.5, lambda v: 2.0 / v,
    lambda v: v[::-1], lambda v: np.cumsum(v), lambda v: S @ v, sp.expit, np.arctan, np.sinh, lambda v: cr.special.logsumexp(v) * np.ones(3),
    lambda v: cr.special.log_softmax(v), lambda v: np.linalg.norm(v) * np.ones(3), sp.entr, lambda v: sp.xlogy(2.0, v), lambda v: 2.0**v,
]  # fmt: skip
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.logaddexp, np.hypot, np.divide, sp.rel_entr]


def program(rng: np.random.Generator) -> Callable[[Any], Any]:
    steps: list[tuple[Any, list[int]]] = []
    for k in range(int(rng.integers(1, 5))):
        ops, n = (UNARY, 1) if rng.random() < 0.65 else (BINARY, 2)
        steps.append((ops[rng.integers(len(ops))], [int(rng.integers(max(0, k - 1), k + 1)) for _ in range(n)]))

    def f(x: Any) -> Any:
        values = [x]
        for op, ins in steps:
            values.append(op(*[values[i] for i in ins]))
        return np.sum(values[-1])

    return f


def test_random_programs_are_never_called_what_they_are_not() -> None:
    rng, proved = np.random.default_rng(4), 0
    for _ in range(700):
        f = program(rng)
        verdict = cr.analysis.convexity(f, np.ones(3)).verdict
        for sign in {"convex": (1,), "concave": (-1,), "affine": (1, -1), "unknown": ()}[verdict]:
            proved += 1
            for width in (0.5, 2.0):
                assert bent(f, sign, rng, width) < 1e-9
    assert proved > 100  # a certificate that never certifies is of no use


def test_several_arguments_are_taken_together() -> None:
    assert cr.analysis.convexity(lambda w, b: np.mean((A @ w + b - B) ** 2), np.ones(3), 0.0).verdict == "convex"
    assert cr.analysis.convexity(lambda u, v: u * v, 1.0, 1.0).verdict == "unknown"
    assert cr.analysis.convexity(lambda p: np.sum(p["w"] ** 2) + np.abs(p["b"]), {"w": np.ones(2), "b": 1.0}).verdict == "convex"


def test_a_box_lets_more_be_proved() -> None:
    cube, sigmoid = (lambda x: np.sum(x**3)), (lambda x: np.sum(np.tanh(x)))
    assert cr.analysis.convexity(cube, np.ones(3), box=(0.0, 2.0)).verdict == "convex"
    assert cr.analysis.convexity(cube, np.ones(3), box=(-2.0, 0.0)).verdict == "concave"
    assert cr.analysis.convexity(sigmoid, np.ones(3), box=(0.0, 9.0)).verdict == "concave"
    assert cr.analysis.convexity(lambda x: np.sum(1 / x), np.ones(3), box=(0.1, 9.0)).verdict == "convex"
    assert cr.analysis.convexity(lambda x: np.sum(sp.gammaln(x)), np.ones(3), box=(0.1, 9.0)).verdict == "convex"


def test_the_path_leads_to_the_verdict_or_to_the_step_that_failed() -> None:
    found = cr.analysis.convexity(lambda x: np.mean(np.maximum(0, 1 - A @ x) ** 2), np.ones(3))
    assert [line.split(":")[0] for line in found.path][:4] == [
        "contract of affine",
        "sub of affine",
        "maximum of affine",
        "square of convex",
    ]
    lost = cr.analysis.convexity(lambda x: np.sum(np.exp(np.sin(x)) + x**2), np.ones(3))
    assert lost.path == ("sin of affine: unknown [np.sin(x)]",)
    values = cr.analysis.convexity(lambda x: x[0] if x[0] > 0 else -x[0], np.ones(3))
    assert values.verdict == "unknown"
    assert "asks for values" in values.path[0]
    assert "least eigenvalue" in cr.analysis.convexity(lambda x: x[0] ** 2 + x[0] * x[1] + x[1] ** 2, np.ones(2)).path[0]
