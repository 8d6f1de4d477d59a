"""Expectations by every method against closed forms; their gradients three ways, unbiased, with the variances theory gives."""

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import chainrule as cr
from chainrule import distributions as d
from chainrule.integrals import compare_gradients, expectation, generalization_gap

KEY = cr.random.key(3)
# family of one parameter, function, the exact expectation of it and its derivative
CASES: dict[str, tuple[Any, Any, Any, Any, float]] = {
    "normal mean": (lambda t: d.normal(t, 1.5), lambda x: x**2, lambda t: t * t + 2.25, lambda t: 2 * t, 0.7),
    "normal std": (
        lambda t: d.normal(0.5, t),
        lambda x: np.exp(x),
        lambda t: np.exp(0.5 + t * t / 2),
        lambda t: t * np.exp(0.5 + t * t / 2),
        0.7,
    ),
    "uniform": (lambda t: d.uniform(-t, 2 * t), lambda x: x**2, lambda t: t * t, lambda t: 2 * t, 0.7),
    "gamma shape": (
        lambda t: d.gamma(t, 2.0),
        lambda x: np.log(x),
        lambda t: special.digamma(t) - np.log(2),
        lambda t: special.polygamma(1, t),
        1.7,
    ),
    "small gamma": (lambda t: d.gamma(t, 2.0), lambda x: x**2, lambda t: t * (t + 1) / 4, lambda t: (2 * t + 1) / 4, 0.4),
    "gamma rate": (lambda t: d.gamma(3.0, t), lambda x: x**2, lambda t: 12 / t**2, lambda t: -24 / t**3, 1.7),
    "beta": (lambda t: d.beta(t, 2.0), lambda x: x, lambda t: t / (t + 2), lambda t: 2 / (t + 2) ** 2, 1.7),
    "bernoulli": (lambda t: d.bernoulli(t), lambda x: 3.0 * x + 1, lambda t: 3 * t + 1, lambda t: 3.0, 0.3),
}


@pytest.mark.parametrize("method", ["exact", "quadrature"])
@pytest.mark.parametrize("name", CASES)
def test_rules_give_value_and_derivative(name: str, method: str) -> None:
    family, f, value, slope, t = CASES[name]
    mine = lambda t: expectation(f, family(t), method)
    np.testing.assert_allclose(mine(t), value(t), rtol=1e-8)
    np.testing.assert_allclose(cr.grad(mine)(t), slope(t), rtol=1e-7)
    h = 1e-4
    np.testing.assert_allclose(cr.grad(cr.grad(mine))(t), (slope(t + h) - slope(t - h)) / (2 * h), rtol=1e-5, atol=1e-6)
    estimate = expectation(f, family(t), method, full_output=True)
    assert abs(estimate.value - value(t)) <= estimate.error + 1e-14 * abs(value(t))
    assert estimate.interval[0] <= estimate.value <= estimate.interval[1]


@pytest.mark.parametrize("method", ["exact", "quadrature"])
def test_the_score_under_the_integral(method: str) -> None:
    for name in ("normal mean", "normal std", "gamma shape", "beta", "bernoulli"):
        family, f, _, slope, t = CASES[name]
        g = cr.grad(lambda t, f=f, family=family: expectation(f, family(t), method, gradient="score"))(t)
        np.testing.assert_allclose(g, slope(t), rtol=1e-7)


@pytest.mark.parametrize("method", ["monte_carlo", "quasi"])
@pytest.mark.parametrize("name", CASES)
def test_draws_give_value_within_interval(name: str, method: str) -> None:
    family, f, value, _, t = CASES[name]
    found = expectation(f, family(t), method, 4096, KEY, full_output=True, confidence=0.999)
    assert found.interval[0] <= value(t) <= found.interval[1]
    assert found.error < 0.05 * (1 + abs(value(t)))


def test_quasi_points_are_nearer_than_draws() -> None:
    family, f, _, _, t = CASES["normal std"]
    errors = [expectation(f, family(t), m, 4096, KEY, full_output=True).error for m in ("monte_carlo", "quasi")]
    assert errors[1] < errors[0] / 5


def test_intervals_cover_as_often_as_they_say() -> None:
    family, f, value, _, t = CASES["gamma shape"]

    def inside(key: Any) -> Any:
        found = expectation(f, family(t), "monte_carlo", 200, key, full_output=True, confidence=0.9)
        return np.logical_and(found.interval[0] <= value(t), value(t) <= found.interval[1])

    hits = cr.vmap(inside)(cr.random.split(KEY, 400)).sum()
    assert abs(hits - 360) < 3.5 * np.sqrt(400 * 0.9 * 0.1)


@pytest.mark.parametrize("name", [n for n in CASES if n != "uniform"])
def test_gradients_three_ways_are_unbiased(name: str) -> None:
    family, f, _, _, t = CASES[name]
    found = compare_gradients(f, family, t, key=KEY, samples=16, repeats=400)
    assert ("pathwise" in found) == (name != "bernoulli")
    assert all(abs(e.z) < 3.5 for e in found.values())
    assert found["score with baseline"].variance < found["score"].variance


def test_variances_are_those_of_theory() -> None:
    """For f = x^2 under N(m, 1): pathwise 4, score Var(x^2 (x - m)) = m^4 + 14 m^2 + 15."""
    m = 1.3
    found = compare_gradients(lambda x: x**2, lambda t: d.normal(t, 1.0), m, key=KEY, samples=32, repeats=2000)
    np.testing.assert_allclose(found["pathwise"].variance, 4.0, rtol=0.15)
    np.testing.assert_allclose(found["score"].variance, m**4 + 14 * m**2 + 15, rtol=0.15)
    fixed = m**4 + 14 * m**2 + 15 - (m * m + 1) * (2 * (m * m + 3) - (m * m + 1))  # Var((f - E f) score)
    np.testing.assert_allclose(found["score with baseline"].variance, fixed, rtol=0.2)


def test_the_score_has_second_derivatives() -> None:
    """E x^2 under N(t, 1) has second derivative 2; the estimator must be unbiased for it too."""

    def second(key: Any) -> Any:
        f = lambda t: expectation(lambda x: x**2, d.normal(t, 1.0), "monte_carlo", 64, key, "score")
        return cr.grad(cr.grad(f))(0.4)

    found = cr.vmap(second)(cr.random.split(KEY, 500))
    assert abs(found.mean() - 2) < 3.5 * found.std() / np.sqrt(500)


def test_a_parameter_in_the_function_and_in_the_distribution() -> None:
    for how in ({}, {"method": "quadrature"}, {"method": "quadrature", "gradient": "score"}):
        f = lambda t, how=how: expectation(lambda x: np.sin(t * x), d.normal(t, 1.0), **how)
        exact = lambda t: np.sin(t * t) * np.exp(-t * t / 2)
        slope = (2 * 0.8 * np.cos(0.64) - 0.8 * np.sin(0.64)) * np.exp(-0.32)
        np.testing.assert_allclose([f(0.8), cr.grad(f)(0.8)], [exact(0.8), slope], rtol=1e-8)


def test_exact_gradient_of_a_drawn_value() -> None:
    f = lambda t: expectation(lambda x: x**2, d.normal(t, 1.0), "monte_carlo", 50, KEY, "exact")
    drawn = expectation(lambda x: x**2, d.normal(1.2, 1.0), "monte_carlo", 50, KEY)
    value, g = cr.value_and_grad(f)(1.2)
    np.testing.assert_allclose(value, drawn)
    np.testing.assert_allclose(g, 2.4, rtol=1e-9)


def test_mixtures_differentiate_in_their_weights() -> None:
    def f(w: Any, method: str, **how: Any) -> Any:
        parts = [d.normal(-1.0, 0.5), d.gamma(2.0, 1.0)]
        return expectation(lambda x: x**2, d.mixture(np.stack([w, 1 - w]), parts), method, **how)

    np.testing.assert_allclose(f(0.3, "exact"), 0.3 * 1.25 + 0.7 * 6, rtol=1e-9)
    np.testing.assert_allclose(cr.grad(f)(0.3, "exact"), 1.25 - 6, rtol=1e-9)
    found = f(0.3, "monte_carlo", samples=5000, key=KEY, full_output=True, confidence=0.999)
    assert found.interval[0] < 4.575 < found.interval[1]
    np.testing.assert_allclose(cr.grad(f)(0.3, "monte_carlo", samples=5000, key=KEY), 1.25 - 6, rtol=0.1)


def test_several_components_and_dimensions() -> None:
    n = d.normal(np.array([1.0, 2.0]), 0.5)
    for how in ({}, {"method": "quadrature"}):
        np.testing.assert_allclose(expectation(lambda x: x[0] * x[1] ** 2, n, **how), 1.0 * 4.25, rtol=1e-7)
    cov = np.array([[1.0, 0.3], [0.3, 2.0]])
    mv = d.multivariate_normal(np.array([1.0, -1.0]), cov)
    np.testing.assert_allclose(
        expectation(lambda x: np.outer(x, x), mv, "quadrature"), cov + np.outer(mv.mean, mv.mean), rtol=1e-11
    )
    g = cr.grad(lambda m: expectation(lambda x: np.prod(x), d.multivariate_normal(m, cov)))(mv.mean)
    np.testing.assert_allclose(g, [-1.0, 1.0], rtol=1e-6)
    c = d.categorical(np.array([[0.2, 0.8], [0.5, 0.5]]))
    np.testing.assert_allclose(expectation(lambda x: x[0] * x[1], c), 0.4)
    found = expectation(lambda x: x[0] * x[1], c, "monte_carlo", 4000, KEY, full_output=True)
    assert abs(found.value - 0.4) < 4 * found.error


def test_derivative_of_a_categorical_by_its_logits() -> None:
    values = np.array([1.0, -2.0, 4.0])

    def f(logits: Any, **how: Any) -> Any:
        return expectation(
            lambda k: np.sum(np.where(k == np.arange(3), values, 0.0)),
            d.categorical(cr.special.softmax(logits)),
            **how,
        )

    logits = np.array([0.1, 0.4, -0.2])
    p = special.softmax(logits)
    exact = p * (values - p @ values)
    np.testing.assert_allclose(cr.grad(f)(logits), exact, rtol=1e-12)
    draws = cr.vmap(lambda key: cr.grad(f)(logits, method="monte_carlo", samples=20, key=key))(cr.random.split(KEY, 400))
    z = (draws.mean(0) - exact) / (draws.std(0) / 20)
    assert np.abs(z).max() < 3.5


def test_data_are_a_distribution() -> None:
    x = np.array([1.0, 4.0, 2.5])
    g = cr.grad(lambda x: expectation(lambda t: t**2, d.empirical(x)))(x)
    np.testing.assert_allclose(g, 2 * x / 3)
    found = expectation(lambda t: t**2, d.empirical(x), "monte_carlo", 2000, KEY, full_output=True)
    assert abs(found.value - np.mean(x**2)) < 4 * found.error


def test_compiled() -> None:
    f = cr.jit(cr.grad(lambda t, key: expectation(lambda x: x**2, d.normal(t, 1.0), "monte_carlo", 1000, key)))
    np.testing.assert_allclose(f(1.0, KEY), 2.0, atol=0.3)
    g = cr.jit(cr.grad(lambda a: expectation(lambda x: np.log(x), d.gamma(a, 1.0), "quadrature")))
    np.testing.assert_allclose(g(1.7), special.polygamma(1, 1.7), rtol=1e-8)


def test_generalization_gap_on_real_data() -> None:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    order = np.random.default_rng(0).permutation(len(x))
    fit, held = order[:60], order[60:]
    loss = lambda w, x, y: np.logaddexp(0, (1 - 2 * y) * (np.dot(x, w[:-1]) + w[-1]))
    mean = lambda w: np.mean(np.logaddexp(0, (1 - 2 * y[fit]) * (x[fit] @ w[:-1] + w[-1])))
    w = np.zeros(31)
    step = cr.jit(lambda w: w - 0.5 * cr.grad(mean)(w))
    for _ in range(300):
        w = step(w)
    gap = generalization_gap(lambda x, y: loss(w, x, y), (x[fit], y[fit]), (x[held], y[held]))
    np.testing.assert_allclose(gap.empirical, mean(w))
    np.testing.assert_allclose(gap.expected, np.mean([loss(w, x[i], y[i]) for i in held]))
    assert gap.empirical < gap.expected
    assert gap.interval[0] < gap.gap < gap.interval[1]
    assert gap.interval[0] > 0  # sixty examples for 31 weights: the gap is there, beyond chance


def test_the_gaps_interval_covers_the_truth() -> None:
    """A classifier whose expected loss is known: a sign on N(+-1, 1) errs with probability Phi(-1)."""
    rng, hits = np.random.default_rng(1), 0
    error = lambda x, y: np.where(x * y > 0, 0.0, 1.0)
    for _ in range(100):
        y = np.sign(rng.normal(size=300))
        x = y + rng.normal(size=300)
        gap = generalization_gap(error, (x[:100], y[:100]), (x[100:], y[100:]))
        hits += gap.interval[0] <= stats.norm.cdf(-1) - gap.empirical <= gap.interval[1]
    assert 86 <= hits <= 100


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: expectation(np.exp, 3.0), TypeError, "needs a distribution"),  # pyright: ignore[reportArgumentType]
    (lambda: expectation(np.exp, d.normal(), "simpson"), ValueError, "method is one of"),
    (lambda: expectation(np.exp, d.normal(), "monte_carlo"), ValueError, "needs a random key"),
    (lambda: expectation(np.exp, d.normal(), gradient="reparam"), ValueError, "gradient is one of"),
    (lambda: expectation(np.exp, d.normal(), "monte_carlo", 1, KEY), ValueError, "at least 2"),
    (lambda: expectation(np.exp, d.normal(), "monte_carlo", 10, KEY, confidence=95), ValueError, "between 0 and 1"),
    (lambda: expectation(np.sum, d.normal(np.zeros(5), 1.0)), ValueError, "quasi"),
    (lambda: expectation(np.sum, d.normal(np.zeros(5), 1.0), "quadrature"), ValueError, "quasi"),
    (lambda: expectation(lambda x: x[0], d.bernoulli(np.full(40, 0.5))), ValueError, "2\\^40 states"),
    (lambda: cr.grad(lambda h: expectation(np.exp, d.uniform(0.0, h), "monte_carlo", 10, KEY, "score"))(1.0), ValueError, "pathwise"),
    (lambda: cr.grad(lambda p: expectation(lambda x: 2.0 * x, d.bernoulli(p), "monte_carlo", 10, KEY, "pathwise"))(0.5), ValueError, "jumps"),
    (lambda: generalization_gap(lambda x, y: x, (np.ones(3), np.ones(2)), (np.ones(3), np.ones(3))), cr.errors.ShapeError, "same number"),
    (lambda: generalization_gap(lambda x, y: x, (np.ones((3, 2)),) * 2, (np.ones((3, 2)),) * 2), cr.errors.ShapeError, "one number"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
