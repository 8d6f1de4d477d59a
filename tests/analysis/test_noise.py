"""Variance of mini-batch gradients against all batches there are, intervals against their level, floors against simulation."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.analysis import gradient_noise, noise_floor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2))
Y = X @ np.array([1.0, -0.5]) + RNG.normal(size=6)
W = np.array([0.3, 0.2])


def squares(w: Any, x: Any, y: Any) -> Any:
    return np.mean((x @ w - y) ** 2) / 2


def cross_entropy(w: Any, x: Any, y: Any) -> Any:
    return np.mean(np.logaddexp(0, x @ w) - y * (x @ w))


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("b", [1, 2, 3])
def test_variance_is_the_mean_over_all_batches(b: int, replacement: bool) -> None:
    batches = product(range(6), repeat=b) if replacement else combinations(range(6), b)
    whole = cr.grad(squares)(W, X, Y)
    off = [np.sum((cr.grad(squares)(W, X[list(rows)], Y[list(rows)]) - whole) ** 2) for rows in batches]
    found = gradient_noise(squares, W, (X, Y), b, replacement=replacement)
    np.testing.assert_allclose(found.variance, np.mean(off), rtol=1e-12)
    np.testing.assert_allclose(found.gradient_square, whole @ whole, rtol=1e-12)
    np.testing.assert_allclose(found.scale, found.trace / (whole @ whole), rtol=1e-12)
    assert found.variance_interval == (found.variance, found.variance)


def test_a_batch_of_everything_has_no_noise() -> None:
    assert gradient_noise(squares, W, (X, Y), 6).variance == 0
    assert gradient_noise(squares, W, (X, Y), 6, replacement=True).variance > 0


def test_estimates_from_samples_have_no_bias_and_intervals_have_their_level() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 2))
    y = x @ np.ones(2) + rng.normal(size=300)
    truth = gradient_noise(squares, W, (x, y), 10)
    runs = [gradient_noise(squares, W, (x, y), 10, sample=60, seed=s, confidence=0.9) for s in range(200)]
    for name in ("variance", "trace", "gradient_square"):
        values = np.array([getattr(r, name) for r in runs])
        assert abs(np.mean(values) - getattr(truth, name)) < 4 * np.std(values) / np.sqrt(200)
    for name in ("variance", "scale"):
        covered = np.mean(
            [getattr(r, f"{name}_interval")[0] <= getattr(truth, name) <= getattr(r, f"{name}_interval")[1] for r in runs]
        )
        assert 0.82 < covered < 0.96, name  # squares of near-Gaussian gradients have heavy tails: a little below 0.9


def test_population_takes_no_credit_for_having_seen_everything() -> None:
    finite, endless = gradient_noise(squares, W, (X, Y), 2), gradient_noise(squares, W, (X, Y), 2, population=True)
    np.testing.assert_allclose(endless.trace, finite.trace * 6 / 5, rtol=1e-12)
    assert endless.variance_interval[0] < endless.variance < endless.variance_interval[1]
    assert endless.gradient_square < finite.gradient_square


def test_containers_and_single_arrays() -> None:
    net = {"w": W, "b": 0.1}
    loss = lambda p, x, y: np.mean((x @ p["w"] + p["b"] - y) ** 2)
    found = gradient_noise(loss, net, (X, Y), 2)
    g = [np.concatenate([2 * (x @ W + 0.1 - y) * x, [2 * (x @ W + 0.1 - y)]]) for x, y in zip(X, Y, strict=True)]
    np.testing.assert_allclose(found.trace, np.sum(np.var(g, axis=0)), rtol=1e-12)
    assert gradient_noise(lambda m, x: np.mean((m - x) ** 2), 0.0, X[:, 0], 2).trace > 0


def simulated(x: Any, y: Any, rate: float, b: int, replacement: bool) -> tuple[float, float]:
    """The mean of f - f* late in many runs, and its standard error."""
    rng = np.random.default_rng(7)
    best, h, runs = np.linalg.lstsq(x, y, rcond=None)[0], x.T @ x / len(x), 2000
    w, late = np.tile(best, (runs, 1)), np.zeros(runs)
    for k in range(260):
        rows = rng.integers(len(x), size=(runs, b)) if replacement else np.argsort(rng.random((runs, len(x))), axis=1)[:, :b]
        off = np.einsum("sbd,sd->sb", x[rows], w) - y[rows]
        w = w - rate * np.einsum("sbd,sb->sd", x[rows], off) / b
        if k >= 60:
            late += 0.5 * np.sum(((w - best) @ h) * (w - best), axis=1) / 200
    return float(np.mean(late)), float(np.std(late) / np.sqrt(runs))


@pytest.mark.parametrize(("b", "replacement"), [(1, True), (3, True), (3, False)])
def test_the_floor_is_where_simulated_runs_stay(b: int, replacement: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(12, 2))
    y = x @ np.ones(2) + rng.normal(size=12)
    mean, error = simulated(x, y, 0.2, b, replacement)
    floor = noise_floor(squares, np.zeros(2), (x, y), 0.2, b, replacement=replacement)
    assert abs(floor.value - mean) < 4 * error
    assert 4 * error < 0.1 * floor.value  # or the test could not fail
    assert floor.scope == "everywhere"
    assert floor.error < 1e-9 * floor.value


def test_the_first_order_is_the_limit_of_small_rates() -> None:
    """The least-squares floor, seen as that of a loss that is not known to be quadratic."""
    best = np.linalg.lstsq(X, Y, rcond=None)[0]
    near = lambda w, x, y: np.mean((x @ w - y) ** 2 / 2 + 1e-9 * (x @ w) ** 4)
    for rate, rtol in ((1e-2, 0.1), (1e-4, 1e-3)):
        exact, first = noise_floor(squares, best, (X, Y), rate, 2), noise_floor(near, best, (X, Y), rate, 2)
        assert first.scope == "at x"
        assert first.error == np.inf
        np.testing.assert_allclose(first.value, exact.value, rtol=rtol)


def test_the_floor_of_a_logistic_regression_is_near_the_simulated_one() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 2))
    y = (x[:, 0] + rng.normal(size=30) > 0) * 1.0
    found = cr.minimize(lambda w: cross_entropy(w, x, y), np.zeros(2), method="newton_cg")
    floor = noise_floor(cross_entropy, found.x, (x, y), 0.1, 4, replacement=True)
    w, late = np.tile(found.x, (1000, 1)), 0.0
    for k in range(900):
        rows = rng.integers(30, size=(1000, 4))
        p = 1 / (1 + np.exp(-np.einsum("sbd,sd->sb", x[rows], w)))
        w = w - 0.1 * np.einsum("sbd,sb->sd", x[rows], p - y[rows]) / 4
        if k >= 600:
            z = w @ x.T
            late += float(np.mean(np.mean(np.logaddexp(0, z) - y * z, axis=1)) - found.fun) / 300
    np.testing.assert_allclose(floor.value, late, rtol=0.15)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        gradient_noise(squares, W, (X, Y), 7)
    with pytest.raises(ValueError, match="batch_size"):
        gradient_noise(squares, W, (X, Y), 0)
    with pytest.raises(ValueError, match="3 examples"):
        gradient_noise(squares, W, (X[:2], Y[:2]))
    with pytest.raises(ValueError, match="not the mean over its examples"):
        gradient_noise(lambda w, x, y: np.sum((x @ w - y) ** 2), W, (X, Y))
    with pytest.raises(cr.errors.ShapeError):
        gradient_noise(squares, W, (X, Y[:4]))
    with pytest.raises(ValueError, match="without limit"):
        noise_floor(squares, W, (X, Y), 5.0)
    with pytest.raises(ValueError, match="not a minimum"):
        noise_floor(cross_entropy, W, (X, (Y > 0) * 1.0), 0.1)
