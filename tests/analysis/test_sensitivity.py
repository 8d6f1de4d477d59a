"""Attributions against what they promise, on functions that can be done by hand, on networks and on real data."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import special

import chainrule as cr
from chainrule import analysis as sens

KEY = cr.random.key(2)


@cache
def network() -> Any:
    return cr.nn.MLP([4, 16, 16, 1], "tanh", key=cr.random.key(0))


def score(x: Any) -> Any:
    return network()(x)[0]


X = np.array([0.5, -1.0, 2.0, 0.3])


def test_gradients_of_a_polynomial() -> None:
    f = lambda x: x[0] * x[1] ** 2 - 3 * x[2]
    x = np.array([2.0, -1.0, 4.0])
    np.testing.assert_allclose(sens.saliency(f, x), [1.0, 4.0, 3.0])
    np.testing.assert_allclose(sens.input_x_gradient(f, x), [2.0, 4.0, -12.0])
    np.testing.assert_allclose(sens.integrated_gradients(f, x), [2 / 3, 4 / 3, -12.0], rtol=1e-12)


def test_integrated_gradients_are_complete() -> None:
    b = np.array([0.0, 1.0, -1.0, 0.0])
    found = sens.integrated_gradients(score, X, b, steps=32, full_output=True)
    np.testing.assert_allclose(found.difference, score(X) - score(b), rtol=1e-12)
    assert abs(found.gap) < 1e-9
    np.testing.assert_allclose(found.values.sum(), found.difference, rtol=1e-8)
    few = sens.integrated_gradients(score, X, b, steps=2, full_output=True)
    assert abs(few.gap) > 10 * abs(found.gap)  # and an incomplete one is reported as such
    np.testing.assert_allclose(few.values.sum() - few.difference, few.gap, rtol=1e-9)


def test_integrated_gradients_of_what_does_not_matter_and_of_twins() -> None:
    f = lambda x: np.tanh(x[0] + x[1]) * np.exp(x[2])
    values = sens.integrated_gradients(f, np.array([0.7, 0.7, 0.2, 9.0]))
    assert values[3] == 0
    np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


def test_the_same_attribution_for_the_same_function_written_otherwise() -> None:
    a = lambda x: np.log1p(np.exp(x[0] - x[1]))
    b = lambda x: np.logaddexp(0, x[0] - x[1])
    np.testing.assert_allclose(sens.integrated_gradients(a, X), sens.integrated_gradients(b, X), rtol=1e-10)


def test_smoothgrad_is_the_gradient_of_the_smoothed_function() -> None:
    """E (x + s e)^3 = x^3 + 3 s^2 x, whose derivative is 3 x^2 + 3 s^2."""
    found = sens.smoothgrad(lambda x: np.sum(x**3), np.array([1.0, -2.0]), noise=0.5, samples=20_000, key=KEY)
    np.testing.assert_allclose(found, 3 * np.array([1.0, 4.0]) + 0.75, atol=4 * 3 * 2 * 2 * 0.5 / np.sqrt(20_000))
    np.testing.assert_allclose(sens.smoothgrad(score, X, noise=0.0, samples=3, key=KEY), cr.grad(score)(X))


def test_expected_gradients_average_integrated_ones() -> None:
    data = cr.random.normal(KEY, (8, 4))
    exact = np.mean([sens.integrated_gradients(score, X, b) for b in data], 0)
    found = sens.expected_gradients(score, X, data, samples=4000, key=KEY, full_output=True)
    np.testing.assert_allclose(found.values, exact, atol=0.02)
    np.testing.assert_allclose(found.difference, score(X) - np.mean([score(b) for b in data]))
    assert abs(found.gap) < 4 * found.error
    assert 0 < found.error < 0.05


def test_jacobian_norms() -> None:
    a = np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    f = lambda x: a @ x
    assert sens.jacobian_norm(f, np.zeros(3)) == pytest.approx(5.0)
    assert sens.jacobian_norm(f, np.zeros(3), "spectral") == pytest.approx(4.0)
    near = X + 1e-6 * cr.random.normal(KEY, (200, 4))
    stretch = np.abs(np.array([score(x) - score(X) for x in near])) / np.linalg.norm(near - X, axis=1)
    assert stretch.max() <= sens.jacobian_norm(lambda x: network()(x), X, "spectral") * (1 + 1e-4)


def test_partial_dependence_shows_and_hides_interactions() -> None:
    f = lambda x: x[0] * x[1] + x[0] ** 2
    data = np.array([[0.0, 1.0], [1.0, -1.0], [2.0, 2.0], [-1.0, -2.0]])
    found = sens.partial_dependence(f, data, 0, grid=5)
    np.testing.assert_allclose(found.grid, np.linspace(-1, 2, 5))
    np.testing.assert_allclose(found.curves, np.outer(data[:, 1], found.grid) + found.grid**2)
    np.testing.assert_allclose(found.slopes, data[:, 1:] + 2 * found.grid)
    np.testing.assert_allclose(found.mean, found.grid**2, atol=1e-15)  # the mean hides the product,
    assert np.ptp(found.slopes[:, 0]) == 4.0  # the curves show it
    np.testing.assert_allclose(found.slope, 2 * found.grid)


def test_partial_dependence_is_scikit_learns() -> None:
    from sklearn.datasets import load_diabetes
    from sklearn.inspection import partial_dependence
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    x, y = load_diabetes(return_X_y=True)
    model = make_pipeline(PolynomialFeatures(2), Ridge(1e-3)).fit(x, y)
    theirs = partial_dependence(model, x, [2], kind="both", grid_resolution=7, percentiles=(0, 1))
    c, powers = model[-1], model[0].powers_
    f = lambda row: c.intercept_ + np.sum(c.coef_ * np.prod(np.where(powers > 0, row**powers, 1.0), 1))
    ours = sens.partial_dependence(f, x, 2, grid=theirs["grid_values"][0])
    np.testing.assert_allclose(ours.mean, theirs["average"][0], rtol=1e-9)
    np.testing.assert_allclose(ours.curves, theirs["individual"][0], rtol=1e-8)


def test_where_the_gradient_misleads() -> None:
    """A unit that is full has no gradient, and is why f has its value."""
    f = lambda x: 1 - np.maximum(0, 1 - x[0]) + 0.01 * x[1]
    x = np.array([3.0, 3.0])
    assert np.argmax(sens.saliency(f, x)) == 1
    values = sens.integrated_gradients(f, x, steps=200, full_output=True)
    assert np.argmax(values.values) == 0
    assert abs(values.gap) < 0.01
    found = sens.saturation(f, x)
    assert found.actual == pytest.approx(1.03)
    assert found.share == pytest.approx(0.03 / 1.03)
    assert sens.saturation(lambda x: 2 * np.sum(x), x).share == pytest.approx(1.0)


def test_saturation_on_the_digits() -> None:
    """A classifier that is sure of itself: p is flat, its gradient tiny, and the attribution from a blank page is complete."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    x, y = load_digits(return_X_y=True)
    x = x / 16
    model = LogisticRegression(C=100, max_iter=500).fit(x, y)
    w, c = model.coef_, model.intercept_
    sure = np.argsort(-model.predict_proba(x).max(1))[:5]
    for k in sure:
        p = lambda v, d=y[k]: cr.special.softmax(w @ v + c)[d]
        assert sens.saturation(p, x[k]).share < 0.05
        found = sens.integrated_gradients(p, x[k], steps=300, full_output=True)
        assert abs(found.gap) < 1e-3
        assert found.values[x[k] == 0].sum() == 0


# --- influence ----------------------------------------------------------------------------------------------------------------


def logistic(w: Any, x: Any, y: Any) -> Any:
    return np.logaddexp(0, (1 - 2 * y) * np.dot(w, x))


@cache
def small(n: int = 40) -> Any:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(n, 2)), np.ones(n)])
    y = (x[:, 0] + 0.5 * rng.normal(size=n) > 0).astype(float)
    return x, y


RIDGE = 0.02


def fitted(x: Any, y: Any, n: int) -> Any:
    """Newton's method on (1/n) sum of the losses + ridge."""
    w = np.zeros(3)
    for _ in range(30):
        p = special.expit(x @ w)
        h = (x * (p * (1 - p))[:, None]).T @ x / n + 2 * RIDGE * np.eye(3)
        w = w - np.linalg.solve(h, x.T @ (p - y) / n + 2 * RIDGE * w)
    return w


def test_influence_is_leaving_one_out() -> None:
    n = 200
    x, y = small(n)
    w = fitted(x, y, n)
    test = lambda w: logistic(w, np.array([1.0, -0.5, 1.0]), 0.0)
    predicted = sens.influence(logistic, w, (x, y), test, penalty=lambda w: RIDGE * np.sum(w**2))
    actual = np.array([test(fitted(np.delete(x, i, 0), np.delete(y, i), n)) - test(w) for i in range(n)])
    assert np.corrcoef(predicted, actual)[0, 1] > 0.999
    np.testing.assert_allclose(predicted, actual, atol=0.06 * np.abs(actual).max())  # the second order is about 1/n of the first
    assert np.argmax(np.abs(predicted)) == np.argmax(np.abs(actual))


def test_influence_takes_trees_and_is_exact_in_the_limit() -> None:
    """Weighting an example by 1 - h changes the minimum by h times the influence."""
    x, y = small()
    loss = lambda p, x, y: (np.dot(p["w"], x[:2]) + p["b"] - y) ** 2
    solve = lambda s: np.linalg.solve((x * s[:, None]).T @ x, (x * s[:, None]).T @ y)
    w = solve(np.ones(40))
    found = sens.influence(loss, {"w": w[:2], "b": w[2]}, (x, y), lambda p: p["b"])
    h = 1e-5
    for i in (0, 7, 31):
        s = np.ones(40)
        s[i] -= h
        np.testing.assert_allclose(found[i], (solve(s)[2] - w[2]) / h, rtol=1e-3)


def test_influence_refuses_a_saddle() -> None:
    data = (np.ones((3, 1)),)
    with pytest.raises(ArithmeticError, match="no minimum"):
        sens.influence(lambda w, x: -np.sum(w**2) * x[0], np.ones(1), data, lambda w: w[0])
    with pytest.raises(cr.errors.ShapeError, match="same number"):
        sens.influence(logistic, np.ones(1), (np.ones((3, 1)), np.ones(2)), lambda w: w[0])
    with pytest.raises(cr.errors.TreeError, match="floating-point"):
        sens.influence(logistic, [], (np.ones((3, 1)), np.ones(3)), lambda w: w[0])


def test_laplace_is_exact_for_a_linear_model() -> None:
    x, y = small()
    noise, prior = 0.3, 2.0
    loss = lambda w, x, y: 0.5 * (np.dot(w, x) - y) ** 2 / noise**2 + np.log(noise) + 0.5 * np.log(2 * np.pi)
    penalty = lambda w: 0.5 * np.sum(w**2) / prior**2 + 3 * np.log(prior) + 1.5 * np.log(2 * np.pi)
    h = x.T @ x / noise**2 + np.eye(3) / prior**2
    w = np.linalg.solve(h, x.T @ y / noise**2)
    found = sens.laplace(loss, w, (x, y), penalty=penalty)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(h), rtol=1e-9)
    new = np.array([[0.5, 0.5, 1.0], [9.0, 0.0, 1.0]])
    mean, std = found.predict(lambda w: new @ w)
    np.testing.assert_allclose(mean, new @ w)
    np.testing.assert_allclose(std, np.sqrt(np.einsum("ij,jk,ik->i", new, np.linalg.inv(h), new)), rtol=1e-9)
    assert std[1] > std[0]
    c = prior**2 * x @ x.T + noise**2 * np.eye(40)
    evidence = -0.5 * (y @ np.linalg.solve(c, y) + np.linalg.slogdet(2 * np.pi * c)[1])
    np.testing.assert_allclose(found.log_evidence, evidence, rtol=1e-9)
    np.testing.assert_allclose(found.std, np.sqrt(np.diag(np.linalg.inv(h))), rtol=1e-9)
    draws = np.array([found.sample(cr.random.fold_in(KEY, k)) for k in range(300)])
    np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(h), atol=5 * np.abs(np.linalg.inv(h)).max() / np.sqrt(300))
    with pytest.raises(ArithmeticError, match="eigenvalue"):
        sens.laplace(lambda w, x, y: -loss(w, x, y), w, (x, y))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: sens.saliency(score, "abcd"), cr.errors.DtypeError, "number"),
    (lambda: sens.saliency(score, [np.nan, 0, 0, 0]), ValueError, "NaN"),
    (lambda: sens.saliency(lambda x: x, X), cr.errors.NonScalarError, "one number"),
    (lambda: sens.integrated_gradients(score, X, np.zeros(3)), cr.errors.ShapeError, r"\(3,\) and x \(4,\)"),
    (lambda: sens.integrated_gradients(score, X, steps=0), ValueError, "steps is a whole number of at least 1"),
    (lambda: sens.smoothgrad(score, X, noise=-1.0, key=KEY), ValueError, "not negative"),
    (lambda: sens.expected_gradients(score, X, np.zeros((3, 5)), key=KEY), cr.errors.ShapeError, "baselines"),
    (lambda: sens.jacobian_norm(score, X, "nuclear"), ValueError, "nuclear"),
    (lambda: sens.partial_dependence(score, np.zeros((3, 4)), 4), cr.errors.AxisError, "4"),
    (lambda: sens.partial_dependence(score, np.zeros(4), 0), cr.errors.ShapeError, r"\(n, p\)"),
])  # fmt: skip
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
