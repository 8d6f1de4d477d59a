"""L and mu against eigenvalues known by other means, bounds over boxes against samples, spectra against their matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.analysis.curvature import abstract, lanczos, start
from chainrule.analysis.intervals import Interval, bounds, of

an = cr.analysis
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(20, 5)), RNG.normal(size=20)
H = 2 * A.T @ A / 20
EIGENVALUES = np.linalg.eigvalsh(H)


def least_squares(x: Any) -> Any:
    return np.mean((A @ x - B) ** 2)


def logistic(x: Any) -> Any:
    return np.mean(np.logaddexp(0, -(A @ x)))


def rosenbrock(x: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_quadratics_are_exact_everywhere() -> None:
    big, small = an.smoothness(least_squares, np.ones(5)), an.strong_convexity(least_squares, np.ones(5))
    assert big.scope == small.scope == "everywhere"
    for found, true in ((big, EIGENVALUES[-1]), (small, EIGENVALUES[0])):
        assert abs(found.value - true) <= found.error + 1e-14
        assert found.error < 1e-12
    kappa = an.condition_number(least_squares, np.ones(5))
    assert kappa.value == pytest.approx(EIGENVALUES[-1] / EIGENVALUES[0], rel=1e-12)
    assert an.recommended_step(least_squares, np.ones(5)) == pytest.approx(2 / (EIGENVALUES[0] + EIGENVALUES[-1]), rel=1e-12)


def test_other_functions_are_known_at_a_point() -> None:
    x = np.array([-1.2, 1.0])
    h = np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]])
    big, small = an.smoothness(rosenbrock, x), an.strong_convexity(rosenbrock, x)
    assert (big.scope, small.scope) == ("at x", "at x")
    np.testing.assert_allclose([small.value, big.value], np.linalg.eigvalsh(h), rtol=1e-12)
    assert an.recommended_step(rosenbrock, x) == pytest.approx(1 / big.value, rel=1e-9)
    assert an.strong_convexity(rosenbrock, np.array([0.0, 1.0])).value < 0  # not convex there


def test_indefinite_functions_have_an_L_too() -> None:
    found = an.smoothness(lambda x: x[0] ** 2 - 5 * x[1] ** 2, np.ones(2))
    assert found.value == pytest.approx(10)
    assert an.condition_number(lambda x: x[0] ** 2 - 5 * x[1] ** 2, np.ones(2)).value == np.inf
    assert an.recommended_step(lambda x: np.sum(x), np.ones(2)) == np.inf


def test_containers_arguments_and_what_counts_as_quadratic() -> None:
    p = {"w": np.ones((2, 2)), "b": 1.0}
    found = an.smoothness(lambda p, c: np.sum(p["w"] ** 2) + c * p["b"] ** 2, p, args=(3.0,))
    assert (found.scope, found.value) == ("everywhere", pytest.approx(6))
    for f in (lambda x: np.sum(np.maximum(x, 0) ** 2), lambda x: np.sum(x**3), lambda x: np.sum(np.abs(x) ** 2)):
        assert an.smoothness(f, np.ones(3)).scope == "at x"
    assert "kinks (abs)" in an.smoothness(lambda x: np.sum(np.abs(x)), np.ones(3)).how
    hidden = an.smoothness(lambda x: cr.stop_gradient(x[0]) * x[1], np.ones(2))
    assert hidden.scope == "at x"


@pytest.mark.parametrize("n", [200, 400])
def test_lanczos_finds_the_ends_of_the_spectrum_within_its_error(n: int) -> None:
    d = np.concatenate([[-3.0], np.linspace(0, 10, n - 2), [50.0]])
    q = np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]
    m = q @ np.diag(d) @ q.T
    x = np.zeros(n)
    big, small = an.smoothness(lambda x: 0.5 * x @ (m @ x), x), an.strong_convexity(lambda x: 0.5 * x @ (m @ x), x)
    assert abs(big.value - 50) <= big.error < 1e-4
    assert abs(small.value + 3) <= small.error < 1e-4
    assert "Lanczos" in big.how


def test_ritz_values_have_honest_residuals() -> None:
    d = np.linspace(1, 2, 300) ** 3
    run = lanczos(lambda v: d * v, 300, start(300, 0), 25)
    for node, residual in zip(run.nodes, run.residuals, strict=True):
        assert np.min(np.abs(d - node)) <= residual + 1e-12
    assert np.sum(run.weights) == pytest.approx(1)


# --- over a box ------------------------------------------------------------------------------------------------------------


BOXED: dict[str, tuple[Callable[[Any], Any], int, float, float]] = {
    "logistic": (logistic, 5, -1.0, 1.0),
    "rosenbrock": (rosenbrock, 2, -2.0, 2.0),
    "exponentials": (lambda x: np.sum(np.exp(x)) + x[0] ** 2 * x[1], 3, -1.0, 0.5),
    "waves": (lambda x: np.sum(np.sin(3 * x)) + np.cos(x[0] * x[1]), 2, -0.4, 1.3),
    "network": (lambda x: np.sum(np.tanh(A[:, :3] @ x) ** 2) / 20, 3, -0.3, 0.3),
    "logarithms": (lambda x: -np.sum(np.log(x)) + np.sqrt(x[0] + x[1]), 2, 0.5, 2.0),
    "quotient": (lambda x: x[0] ** 3 / (1 + x[1] ** 2), 2, -1.0, 1.0),
    "away from a kink": (lambda x: np.sum(np.abs(x) ** 3), 2, 0.5, 1.0),
}


@pytest.mark.parametrize("name", BOXED)
def test_bounds_over_a_box_hold_at_every_point_of_it(name: str) -> None:
    f, n, low, high = BOXED[name]
    big = an.smoothness(f, np.full(n, low), box=(low, high))
    small = an.strong_convexity(f, np.full(n, low), box=(low, high))
    assert np.isfinite(big.value)
    assert big.scope == "in the box"
    hessian = cr.jit(cr.hessian(f))
    rng = np.random.default_rng(1)
    for x in rng.uniform(low, high, (200, n)):
        values = np.linalg.eigvalsh(hessian(x))
        assert small.value <= values[0] + 1e-12
        assert max(-values[0], values[-1]) <= big.value + 1e-12
    # and it is a bound on the gradient's change
    g = cr.grad(f)
    for x, y in rng.uniform(low, high, (50, 2, n)):
        assert np.linalg.norm(g(x) - g(y)) <= big.value * np.linalg.norm(x - y) * (1 + 1e-9)


def test_logistic_regression_is_known_well() -> None:
    """Its L is at most the largest eigenvalue of A'A / (4 n)."""
    found = an.smoothness(logistic, np.zeros(5), box=(-0.01, 0.01))
    assert found.value == pytest.approx(np.linalg.eigvalsh(A.T @ A / 80)[-1], rel=0.05)


@pytest.mark.parametrize(
    "f", [lambda x: np.sum(np.abs(x)), lambda x: np.sum(1 / x), lambda x: np.max(x), lambda x: np.sum(np.log(x))]
)
def test_no_bound_where_there_is_none(f: Callable[[Any], Any]) -> None:
    assert an.smoothness(f, np.ones(2), box=(-1.0, 1.0)).value == np.inf
    assert an.strong_convexity(f, np.ones(2), box=(-1.0, 1.0)).value == -np.inf


def test_a_box_must_be_one() -> None:
    with pytest.raises(cr.errors.ShapeError):
        an.smoothness(rosenbrock, np.ones(2), box=(1.0, -1.0))
    with pytest.raises(cr.errors.ShapeError):
        an.smoothness(rosenbrock, np.ones(2), box=(np.zeros(3), np.ones(3)))
    with pytest.raises(cr.errors.ShapeError, match="low, high"):
        an.smoothness(rosenbrock, np.ones(2), box=3)


RULES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "square": lambda x, y: x * x, "div": lambda x, y: x / y,
    "reciprocal": lambda x, y: 1 / x, "pow": lambda x, y: x**3 - y**4, "negative pow": lambda x, y: x**-2, "root": lambda x, y: np.abs(x) ** 1.7,
    "sin": lambda x, y: np.sin(3 * x), "cos": lambda x, y: np.cos(3 * y), "hypot": lambda x, y: np.hypot(x, y), "abs": lambda x, y: np.abs(x),
    "where": lambda x, y: np.where(x < y, x, 2 * y), "max": lambda x, y: np.maximum(x, y) + np.minimum(x, 2 * y), "exp": lambda x, y: np.exp(x - y),
    "cosh": lambda x, y: np.cosh(x), "logistic": lambda x, y: sp.expit(x) * (1 - sp.expit(x)), "dot": lambda x, y: x @ y * np.ones(3),
    "matrix": lambda x, y: np.outer(x, y) @ x, "sum": lambda x, y: np.cumsum(x) + np.sum(y), "sort of": lambda x, y: np.sign(x) + np.floor(y),
    "equal": lambda x, y: np.where(x == y, 1.0, -1.0), "logs": lambda x, y: np.log(np.abs(x)) + np.sqrt(np.abs(y)),
    "join": lambda x, y: np.concatenate([x, y])[::-1] - np.pad(x, (1, 2)), "single": lambda x, y: x.astype(np.float32).astype(np.float64),
    "any": lambda x, y: np.where((x > 0) & ~(y > 0) | np.isnan(x), x, y),
}  # fmt: skip
END = st.floats(-4, 4, allow_nan=False)


@pytest.mark.parametrize("name", RULES)
@given(st.lists(st.tuples(END, END), min_size=6, max_size=6), st.integers(0, 2**32 - 1))
def test_intervals_contain_every_value(name: str, ends: list[tuple[float, float]], seed: int) -> None:
    low, high = np.sort(np.array(ends), axis=1).T.reshape(2, 2, 3)
    g = abstract(RULES[name], np.ones(3), np.ones(3))
    assert g is not None
    got = of(bounds(g, [Interval(low[0], high[0]), Interval(low[1], high[1])]), g.outs[0])
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        for t in [np.zeros((2, 3)), np.ones((2, 3)), *rng.uniform(size=(6, 2, 3)), *rng.integers(0, 2, (4, 2, 3))]:
            x, y = np.clip(low + t * (high - low), low, high)
            value = np.asarray(RULES[name](x, y))
            inside = np.isnan(value) | ((got.low <= value) & (value <= got.high))
            assert np.all(inside), (x, y, value, got)


# --- the spectrum -------------------------------------------------------------------------------------------------------------


def test_spectrum_of_few_parameters_is_the_eigenvalues() -> None:
    found = an.spectrum(least_squares, np.zeros(5))
    np.testing.assert_allclose(found.nodes, EIGENVALUES, rtol=1e-10)
    assert found.exact
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-3)
    assert found.share(EIGENVALUES[0] - 1e-9, EIGENVALUES[1] + 1e-9) == pytest.approx(0.4)


def test_spectrum_of_many_parameters_is_their_density() -> None:
    n = 400
    d = np.concatenate([np.full(300, 1.0), np.full(90, 5.0), np.full(10, 20.0)])
    q = np.linalg.qr(np.random.default_rng(3).normal(size=(n, n)))[0]
    m = q @ np.diag(d) @ q.T
    found = an.spectrum(lambda x: 0.5 * x @ (m @ x), np.zeros(n), steps=20, probes=16)
    assert not found.exact
    # the weights are squared components of random vectors: their means have a standard deviation of about sqrt(2 p / (n probes))
    for centre, share in ((1.0, 0.75), (5.0, 0.225), (20.0, 0.025)):
        assert found.share(centre - 0.5, centre + 0.5) == pytest.approx(share, abs=4 * np.sqrt(2 * share / (n * 16)))
    assert np.sum(found.nodes * found.weights) == pytest.approx(np.mean(d), rel=0.05)


@pytest.mark.parametrize("measure", [an.smoothness, an.strong_convexity, an.condition_number, an.recommended_step, an.spectrum])
def test_no_curvature_where_there_is_no_function(measure: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="f is nan at x"):
        measure(lambda x: np.sum(np.log(x)), -np.ones(2))
    with pytest.raises(cr.errors.ShapeError, match="no elements"):
        measure(lambda x: np.sum(x), np.zeros(0))
