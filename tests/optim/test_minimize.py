"""`minimize` on published problems at their known minima, SciPy's habits, and every way a run can end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize as so

import chainrule as cr
from optim_problems import PROBLEMS

METHODS = ["lbfgs", "newton_cg", "conjugate_gradient"]
FIRST = ["gradient_descent", "momentum", "nesterov"]


def rosenbrock(x: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


class L1:
    """lam |x|_1 and its proximal map."""

    def __init__(self, lam: float) -> None:
        self.lam = lam

    def __call__(self, x: Any) -> Any:
        return self.lam * np.sum(np.abs(x))

    def prox(self, x: Any, step: Any) -> Any:
        return np.sign(x) * np.maximum(np.abs(x) - step * self.lam, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_more_garbow_hillstrom(name: str, method: str) -> None:
    p = PROBLEMS[name]
    scale, minimum, at = max(1.0, abs(p.minimum)), p.minimum, p.at
    found = cr.minimize(p, p.start, method=method, tol=1e-7 * scale, max_steps=5000)
    assert found.success, found.message
    # a gradient of norm t leaves an error of t^2 / (2 mu) in f: the flattest of these valleys have mu of 1e-8 or less
    if p.other and abs(found.fun - p.other[0]) < abs(found.fun - minimum):
        minimum, at = p.other
    assert found.fun == pytest.approx(minimum, rel=1e-7, abs=1e-7)
    if at is not None:
        np.testing.assert_allclose(found.x, at, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PROBLEMS)
def test_our_gradient_in_scipys_minimiser(name: str) -> None:
    p = PROBLEMS[name]
    found = so.minimize(p, p.start, jac=cr.grad(p), method="BFGS", options={"gtol": 1e-6, "maxiter": 2000})
    assert found.fun == pytest.approx(p.minimum, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("method", FIRST)
def test_first_order_methods_reach_the_minimum_of_a_bowl_by_themselves(method: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 4)), rng.normal(size=30)
    found = cr.minimize(lambda x: np.mean((a @ x - b) ** 2), np.zeros(4), method=method)
    assert found.success, found.message
    np.testing.assert_allclose(found.x, np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-7)


def test_gradient_descent_finds_its_way_down_the_valley_of_rosenbrock() -> None:
    found = cr.minimize(rosenbrock, np.array([-1.2, 1.0]), max_steps=3000)
    assert np.all(np.diff(found.history.fun) <= 1e-12)
    assert found.fun < 0.1
    assert not found.success
    assert "more steps would help" in found.message


@pytest.mark.parametrize("method", ["proximal_gradient", "fista"])
def test_proximal_methods_satisfy_the_conditions_of_the_lasso(method: str) -> None:
    rng = np.random.default_rng(1)
    a, lam = rng.normal(size=(40, 8)), 3.0
    b = a @ np.array([2.0, 0, 0, -1.5, 0, 0, 0, 1.0]) + 0.1 * rng.normal(size=40)
    found = cr.minimize(lambda x: 0.5 * np.sum((a @ x - b) ** 2), np.zeros(8), method=method, regularizer=L1(lam), tol=1e-9)
    assert found.success, found.message
    slope = a.T @ (a @ found.x - b)
    zero = found.x == 0
    assert 2 <= zero.sum() <= 6
    np.testing.assert_allclose(slope[~zero], -lam * np.sign(found.x[~zero]), atol=1e-7)
    assert np.all(np.abs(slope[zero]) <= lam + 1e-7)
    assert found.fun == pytest.approx(0.5 * np.sum((a @ found.x - b) ** 2) + lam * np.abs(found.x).sum(), rel=1e-14)


@pytest.mark.parametrize("method", [*METHODS, *FIRST, "fista", "proximal_gradient"])
@pytest.mark.parametrize("jac", [None, "function", True])
def test_every_method_counts_the_penalty(method: str, jac: Any) -> None:
    """argmin |x - c|^2 + (lam / 2) |x|^2 = 2 c / (2 + lam)."""
    c = np.array([1.0, -3.0])
    f, slope = (lambda x: np.sum((x - c) ** 2)), (lambda x: 2 * (x - c))
    given: dict[Any, Any] = {None: {}, "function": {"jac": slope}, True: {"jac": True}}[jac]
    called = (lambda x: (f(x), slope(x))) if jac is True else f
    found = cr.minimize(called, np.zeros(2), method=method, regularizer=cr.regularizers.l2(3.0), **given)
    assert found.success, found.message
    np.testing.assert_allclose(found.x, 2 * c / 5, atol=1e-7)
    np.testing.assert_allclose(found.fun, f(found.x) + 1.5 * found.x @ found.x, rtol=1e-12)


def test_the_steps_are_the_notes() -> None:
    """f(x) = x^2: x_{k+1} = (1 - 2 a) x_k; f(x, y) = x^2 + y^2 with both coordinates alike."""
    found = cr.minimize(lambda x: x**2, 1.0, learning_rate=0.1, max_steps=5)
    np.testing.assert_allclose(found.history.x, 0.8 ** np.arange(6), rtol=1e-14)
    two = cr.minimize(lambda x: np.sum(x**2), np.array([1.0, -2.0]), learning_rate=0.1, max_steps=5)
    np.testing.assert_allclose(two.history.x, np.outer(0.8 ** np.arange(6), [1.0, -2.0]), rtol=1e-14)


def test_history_is_what_happened() -> None:
    found = cr.minimize(rosenbrock, np.array([-1.2, 1.0]), learning_rate=1e-3, max_steps=50)
    h = found.history
    assert h.x.shape == (51, 2)
    assert found.steps == 50
    for k in (0, 1, 7, 50):
        assert h.fun[k] == pytest.approx(rosenbrock(h.x[k]), rel=1e-14)
        assert h.gradient_norm[k] == pytest.approx(np.linalg.norm(so.rosen_der(h.x[k])), rel=1e-12)
    np.testing.assert_allclose(h.step[1:], np.linalg.norm(np.diff(h.x, axis=0), axis=1), rtol=1e-14)
    np.testing.assert_array_equal(h.learning_rate[1:], 1e-3)


def test_schedules_and_momentum_are_the_rules() -> None:
    rate = cr.optim.schedules.decay(1e-3, beta=0.1)
    start = np.array([-1.2, 1.0])
    for method, rule in (("gradient_descent", cr.optim.sgd(rate)), ("momentum", cr.optim.momentum(rate, 0.8))):
        found = cr.minimize(rosenbrock, start, method=method, learning_rate=rate, momentum=0.8, max_steps=20)
        x, state = start, rule.init(start)
        for _ in range(20):
            x, state = rule.step(x, so.rosen_der(x), state)
        np.testing.assert_allclose(found.x, x, rtol=1e-10)


@pytest.mark.parametrize(("stop", "quantity"), [("gradient", "gradient_norm"), ("step", "step"), ("value", "fun")])
def test_stopping_rules(stop: str, quantity: str) -> None:
    found = cr.minimize(lambda x: np.sum(np.array([1.0, 5.0]) * x**2), np.ones(2), learning_rate=0.05, stop=stop, tol=1e-5)
    seen = getattr(found.history, quantity)
    seen = np.abs(np.diff(seen)) if stop == "value" else seen
    assert found.success
    assert seen[-1] <= 1e-5 < seen[-2]


def test_containers_and_numbers() -> None:
    x0 = {"w": np.zeros((2, 2)), "b": 0.0}
    target = np.arange(4.0).reshape(2, 2)
    found = cr.minimize(lambda p: np.sum((p["w"] - target) ** 2) + (p["b"] - 3) ** 4, x0, method="newton_cg", tol=1e-9)
    np.testing.assert_allclose(found.x["w"], target, atol=1e-8)
    assert found.x["b"] == pytest.approx(3, abs=2e-3)  # a fourth power: its gradient is 4 d^3
    assert found.history.x["w"].shape == (found.steps + 1, 2, 2)
    single = cr.minimize(lambda x: (x - 2) ** 2, np.float32(0), method="lbfgs", tol=1e-3)
    assert single.x == pytest.approx(2, abs=1e-3)
    assert np.asarray(single.x).dtype == np.float32


def test_scipys_habits() -> None:
    start = np.array([-1.2, 1.0])
    for found in (
        cr.minimize(rosenbrock, start, "L-BFGS-B"),
        cr.minimize(so.rosen, start, "CG", jac=so.rosen_der),
        cr.minimize(
            lambda x: (so.rosen(x), so.rosen_der(x)), start, "Newton-CG", jac=True, options={"gtol": 1e-6, "maxiter": 500}
        ),
        cr.minimize(lambda x, a, b: b * (x[1] - x[0] ** 2) ** 2 + (a - x[0]) ** 2, start, "bfgs", (1.0, 100.0)),
    ):
        assert found.success, found.message
        np.testing.assert_allclose(found.x, 1, atol=1e-5)
        assert found.nit == found.steps
        assert found.nfev >= found.nit
    theirs = so.minimize(rosenbrock, start, jac=cr.grad(rosenbrock), method="BFGS")
    np.testing.assert_allclose(theirs.x, 1, atol=1e-5)


def test_a_function_that_branches_on_values_is_minimised_without_compiling() -> None:
    def huber(x: Any) -> Any:
        return 0.5 * (x - 1) ** 2 if abs(x - 1) < 1 else abs(x - 1) - 0.5

    found = cr.minimize(huber, 5.0, method="lbfgs")
    assert found.success
    assert found.x == pytest.approx(1)


def test_divergence_is_explained_with_the_numbers() -> None:
    curvature = np.array([1.0, 10.0])
    f = lambda x: 0.5 * np.sum(curvature * x**2)
    found = cr.minimize(f, np.ones(2), learning_rate=0.25)
    assert not found.success
    assert "diverged" in found.message
    assert "0.25 is not below the limit 2/L = 0.2, where L = 10 " in found.message
    assert "try 0.1 = 1/L" in found.message
    heavy = cr.minimize(f, np.ones(2), method="momentum", learning_rate=0.4, momentum=0.9)
    assert "limit 3.8/L = 0.38" in heavy.message
    assert cr.minimize(f, np.ones(2), method="momentum", learning_rate=0.37, momentum=0.9, max_steps=3000).success
    at_the_limit = cr.minimize(f, np.array([0.0, 1.0]), learning_rate=0.2, max_steps=60)
    assert "did not change" in at_the_limit.message
    assert "2/L = 0.2" in at_the_limit.message
    assert cr.minimize(f, np.ones(2), learning_rate=0.19).success


def test_endings_are_told_apart() -> None:
    assert "unbounded below" in cr.minimize(lambda x: -np.exp(x), 1.0, learning_rate=1.0).message
    assert "nothing to descend from" in cr.minimize(lambda x: np.log(x), -1.0, learning_rate=1.0).message
    assert "NaN" in cr.minimize(lambda x: np.sqrt(x) + x, 0.5, learning_rate=1.0).message
    at_rest = cr.minimize(lambda x: x**2, 0.0)
    assert at_rest.success
    assert at_rest.steps == 0
    flat = cr.minimize(lambda x: 1e8 + 1e-3 * x**2, 1.0, method="lbfgs", tol=1e-14)
    assert flat.success or "lost in rounding" in flat.message
    wrong = cr.minimize(lambda x: x**2, 1.0, method="lbfgs", jac=lambda x: -2 * x)
    assert not wrong.success
    seen: list[Any] = []
    stopped = cr.minimize(rosenbrock, np.array([-1.2, 1.0]), callback=lambda x: seen.append(x) or len(seen) == 3)
    assert (stopped.steps, stopped.success) == (3, False)
    np.testing.assert_array_equal(seen, stopped.history.x[1:])


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="method is one of gradient_descent"):
        cr.minimize(rosenbrock, np.zeros(2), method="downhill")
    with pytest.raises(ValueError, match="stop is one of"):
        cr.minimize(rosenbrock, np.zeros(2), stop="soon")
    with pytest.raises(ValueError, match="regularizer"):
        cr.minimize(rosenbrock, np.zeros(2), method="fista")
    with pytest.raises(ValueError, match="gtol"):
        cr.minimize(rosenbrock, np.zeros(2), options={"ftol": 1})
    with pytest.raises(TypeError):
        cr.minimize(rosenbrock, "start")


# --- rates ---------------------------------------------------------------------------------------------------------------------------


def test_gradient_descents_tight_rate_is_attained_by_hubers_function() -> None:
    """Drori and Teboulle 2014, theorem 3.1: f(x_N) - f* <= L R^2 / (4 N h + 2), with equality for a Huber function."""
    for n, h in ((1, 1.0), (5, 1.0), (12, 0.5)):
        tau = 1 / (2 * n * h + 1)
        f = lambda x, tau=tau: np.where(np.abs(x) >= tau, tau * np.abs(x) - tau**2 / 2, x**2 / 2)
        found = cr.minimize(f, 1.0, learning_rate=h, max_steps=n, tol=0.0)
        assert found.fun == pytest.approx(1 / (4 * n * h + 2), rel=1e-12)


def test_strongly_convex_rate_is_attained_by_both_ends_of_the_spectrum() -> None:
    mu, big = 0.5, 4.0
    rate = 2 / (mu + big)
    for curvature in (mu, big):
        found = cr.minimize(lambda x, c=curvature: 0.5 * c * x**2, 1.0, learning_rate=rate, max_steps=20, tol=0.0)
        rho = (big - mu) / (big + mu)
        np.testing.assert_allclose(np.abs(found.history.x), rho ** np.arange(21), rtol=1e-12)


def worst(n: int) -> Any:
    """Nesterov's worst function in the world: (x_1^2 + sum (x_i - x_{i+1})^2 + x_n^2) / 8 - x_1 / 4, with L = 1."""
    return lambda x: (x[0] ** 2 + np.sum(np.diff(x) ** 2) + x[-1] ** 2) / 8 - x[0] / 4


@pytest.mark.parametrize("method", ["nesterov", "fista"])
def test_nesterovs_rate(method: str) -> None:
    n = 101
    f = worst(n)
    best = np.arange(n, 0, -1) / (n + 1)
    square, low = float(best @ best), float(f(best))

    class Nothing:
        def __call__(self, x: Any) -> float:
            return 0.0

        def prox(self, x: Any, step: Any) -> Any:
            return x

    found = cr.minimize(f, np.zeros(n), method=method, regularizer=Nothing(), learning_rate=1.0, max_steps=50, tol=0.0)
    k = np.arange(1, 51)
    gaps = found.history.fun[1:] - low
    assert np.all(gaps <= 2 * square / (k + 1) ** 2)  # Nesterov 1983
    assert gaps[-1] >= 3 * square / (32 * 51**2)  # no method is faster after (n - 1) / 2 steps (Nesterov 2018, theorem 2.1.7)
    plain = cr.minimize(f, np.zeros(n), learning_rate=1.0, max_steps=50, tol=0.0)
    assert plain.history.fun[-1] - low > 2 * gaps[-1]
