"""Loops of one's own: gradient descent is recognised, stochastic gradients are measured, and theorems on SGD hold for means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 3))
Y = X @ np.ones(3) + RNG.normal(size=40)
Z = (Y > 0) * 1.0
decay = cr.optim.schedules.decay(0.2, beta=0.05)


def squares(w: Any) -> Any:
    return np.mean((X @ w - Y) ** 2) / 2


def logistic(w: Any) -> Any:
    return np.mean(np.logaddexp(0, X @ w) - Z * (X @ w))


def slope_of_squares(w: Any, rows: Any) -> Any:
    return np.einsum("sbd,sb->sd", X[rows], np.einsum("sbd,sd->sb", X[rows], w) - Y[rows]) / rows.shape[1]


def slope_of_logistic(w: Any, rows: Any) -> Any:
    p = 1 / (1 + np.exp(-np.einsum("sbd,sd->sb", X[rows], w)))
    return np.einsum("sbd,sb->sd", X[rows], p - Z[rows]) / rows.shape[1]


def loops(slope: Callable[[Any, Any], Any], rate: Any, runs: int = 40, steps: int = 120, batch: int = 2) -> list[Any]:
    """Runs of SGD, each (steps + 1, 3)."""
    rng = np.random.default_rng(3)
    schedule = cr.optim.schedules.as_schedule(rate)
    points = [np.zeros((runs, 3))]
    for k in range(steps):
        points.append(points[-1] - schedule(k) * slope(points[-1], rng.integers(40, size=(runs, batch))))
    return list(np.stack(points, axis=1))


CASES = {
    "constant": (squares, slope_of_squares, 0.1, "SGD, strongly convex, constant step"),
    "decaying": (squares, slope_of_squares, decay, "SGD, strongly convex, decaying step"),
    "warm-up": (squares, slope_of_squares, cr.optim.schedules.warmup(0.1, 20), "SGD, Polyak-Lojasiewicz"),
    "logistic": (logistic, slope_of_logistic, 0.3, "SGD, strongly convex, constant step"),
}


@pytest.mark.parametrize("name", CASES)
def test_means_over_runs_obey_the_theorems(name: str) -> None:
    f, slope, rate, theorem = CASES[name]
    r = cr.analysis.convergence_report(loops(slope, rate), f=f, learning_rate=rate)
    assert r.theorem is not None
    assert theorem in [t.name for t in (r.theorem, *r.others)]
    assert r.applies
    assert np.all(r.measured <= r.certificate * (1 + 1e-9) + 4 * r.error)  # the theorem is about the mean of all runs
    assert np.mean(r.measured < r.certificate) > 0.9
    assert np.all(r.certificate <= r.bound * (1 + 1e-12))
    assert np.all(np.isfinite(r.bound))
    assert "±" in str(r)
    assert r.measured[-1] > 0.001


def test_the_constant_step_levels_off_where_the_floor_is() -> None:
    runs = loops(slope_of_squares, 0.1, runs=200, steps=200)
    r = cr.analysis.convergence_report(runs, f=squares, learning_rate=0.1)
    floor = cr.analysis.noise_floor(lambda w, x, y: np.mean((x @ w - y) ** 2) / 2, np.zeros(3), (X, Y), 0.1, 2, replacement=True)
    np.testing.assert_allclose(np.mean(r.measured[-60:]), floor.value, rtol=0.1)
    assert floor.value < r.bound[-1]


def test_theorems_without_strong_convexity_hold_too() -> None:
    """The convex and the smooth one, on the mean over the points so far."""
    from chainrule.analysis.convergence import Evidence, facts_of, measured
    from chainrule.analysis.theorems import SGD_CONVEX, SGD_POLYAK, SGD_SMOOTH
    from chainrule.analysis.walks import walked

    for rate in (0.1, decay):
        e = Evidence(walked(loops(slope_of_squares, rate), squares, rate))
        for theorem in (SGD_CONVEX, SGD_POLYAK, SGD_SMOOTH):
            bound, (seen, error) = theorem.bound(facts_of(e, theorem)), measured(e, theorem)
            assert np.all(seen <= bound * (1 + 1e-9) + 4 * error), theorem.name
            assert bound[-1] < 40 * seen[-1]  # or it says nothing


def test_the_variance_is_that_of_the_batches() -> None:
    r = cr.analysis.convergence_report(loops(slope_of_squares, 0.1, runs=2000, steps=1), f=squares, learning_rate=0.1)
    loss = lambda w, x, y: np.mean((x @ w - y) ** 2) / 2
    noise = cr.analysis.gradient_noise(loss, np.zeros(3), (X, Y), 2, replacement=True)
    np.testing.assert_allclose(r.facts.noise[0], noise.variance, rtol=0.1)


def test_a_loop_with_the_whole_gradient_is_gradient_descent() -> None:
    x, path = {"w": np.zeros(3)}, [np.zeros(3)]
    rule = cr.optim.sgd(0.1)
    state = rule.init(x)
    f = lambda p: squares(p["w"])
    for _ in range(50):
        x, state = rule.step(x, cr.grad(f)(x), state)
        path.append(x["w"])
    r = cr.analysis.convergence_report({"w": np.array(path)}, f=f, learning_rate=0.1)
    assert r.method == "gradient_descent"
    assert r.theorem is not None
    assert r.theorem.name == "strongly convex"
    assert np.all(r.measured <= r.certificate * (1 + 1e-9))


def test_steps_along_another_functions_gradient_are_noticed() -> None:
    r = cr.analysis.convergence_report(loops(slope_of_logistic, 0.1), f=squares, learning_rate=0.1)
    assert not r.applies
    assert "noise of mean zero" in [h.name for h in r.hypotheses if not h.holds]
    assert np.all(np.isinf(r.bound))


def test_a_function_with_branches_is_seen_point_by_point() -> None:
    def huber(x: Any) -> Any:
        return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5

    path = [3.0]
    for _ in range(20):
        path.append(path[-1] - 0.5 * float(np.clip(path[-1], -1, 1)))
    r = cr.analysis.convergence_report(np.array(path), f=huber, learning_rate=0.5)
    assert r.applies
    assert np.all(r.measured <= r.bound)


def test_what_cannot_be_is_refused() -> None:
    path = np.zeros((3, 2))
    with pytest.raises(TypeError, match="f= and learning_rate="):
        cr.analysis.convergence_report(path)
    with pytest.raises(cr.errors.ShapeError):
        cr.analysis.convergence_report([path, path[:2]], f=np.sum, learning_rate=0.1)
    with pytest.raises(cr.errors.ShapeError):
        cr.analysis.convergence_report(1.0, f=np.sum, learning_rate=0.1)
    with pytest.raises(ValueError, match="finite"):
        cr.analysis.convergence_report(path * np.nan, f=np.sum, learning_rate=0.1)
    with pytest.raises(ValueError, match="same point"):
        cr.analysis.convergence_report([path, path + 1], f=np.sum, learning_rate=0.1)
    with pytest.raises(ValueError, match="positive"):
        cr.analysis.convergence_report(path, f=np.sum, learning_rate=0.0)
