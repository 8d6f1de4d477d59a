"""Runs beside theorems: measured <= certificate <= bound, hypotheses that hold or fail, and why a run diverged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.analysis.theorems import QUANTITIES

CURVATURES = np.array([1.0, 4.0, 25.0])
RNG = np.random.default_rng(5)
DATA = RNG.normal(size=(60, 4))
LABELS = (DATA @ RNG.normal(size=4) + RNG.normal(size=60) > 0) * 1.0


def bowl(x: Any) -> Any:
    return 0.5 * np.sum(CURVATURES * x**2)


def logistic(w: Any) -> Any:
    return np.mean(np.logaddexp(0, DATA @ w) - LABELS * (DATA @ w))


def regularised(w: Any) -> Any:
    return logistic(w) + 0.05 * np.sum(w**2)


def wavy(x: Any) -> Any:
    """Not convex, and satisfies the Polyak-Lojasiewicz inequality (Karimi, Nutini and Schmidt 2016, section 2.2)."""
    return x**2 + 3 * np.sin(x) ** 2


def least_squares(x: Any) -> Any:
    return np.mean((DATA @ x - LABELS) ** 2)


def underdetermined(x: Any) -> Any:
    return np.mean((DATA[:2] @ x - 1) ** 2)


def untraceable(x: Any) -> Any:
    return math.sin(float(x[0])) + float(x[0]) ** 2


def in_order(r: Any) -> None:
    """measured <= certificate <= bound."""
    assert r.measured.shape == r.certificate.shape == r.bound.shape
    assert np.all(r.measured <= r.certificate * (1 + 1e-9))
    assert np.all(r.certificate <= r.bound)
    assert np.all(r.measured >= 0)


START = np.array([1.0, 1.0, 1.0])
CASES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "quadratic, 1/L": (bowl, START, {"learning_rate": 0.04}, "strongly convex"),
    "quadratic, 2/(L + mu)": (bowl, START, {"learning_rate": 2 / 26}, "strongly convex"),
    "quadratic, 1.9/L": (bowl, START, {"learning_rate": 1.9 / 25}, "strongly convex"),
    "quadratic, decaying": (bowl, START, {"learning_rate": cr.optim.schedules.decay(0.04, beta=0.01)}, "strongly convex"),
    "quadratic, momentum": (bowl, START, {"method": "momentum"}, "quadratic, momentum"),
    "quadratic, momentum, decaying": (bowl, START, {"method": "momentum", "learning_rate": cr.optim.schedules.sqrt(0.1)}, "quadratic, momentum"),
    "quadratic, far from zero": (lambda x: 1e5 + bowl(x), START, {"learning_rate": 0.07}, "strongly convex"),
    "quadratic, nesterov": (bowl, START, {"method": "nesterov"}, "convex, accelerated"),
    "logistic": (logistic, np.zeros(4), {}, "strongly convex"),
    "logistic, momentum": (logistic, np.zeros(4), {"method": "momentum", "momentum": 0.5, "learning_rate": 0.5}, "convex, momentum"),
    "logistic, nesterov": (logistic, np.zeros(4), {"method": "nesterov"}, "convex, accelerated"),
    "logistic with a penalty": (regularised, np.zeros(4), {}, "strongly convex"),
    "quadratic, constant nesterov": (bowl, START, {"method": "nesterov", "momentum": 0.6, "learning_rate": 0.04}, "quadratic, accelerated"),
    "gradient given": (untraceable, np.array([1.5]), {"jac": lambda x: np.array([math.cos(x[0]) + 2 * x[0]]), "learning_rate": 0.1}, "strongly convex"),
    "fourth powers": (lambda x: np.sum(x**4), np.ones(2), {}, "convex"),
    "Polyak-Lojasiewicz": (wavy, 3.0, {}, "Polyak-Lojasiewicz"),
    "least squares without a unique solution": (underdetermined, np.zeros(4), {}, "Polyak-Lojasiewicz"),
    "no minimum": (lambda x: np.exp(-x), 0.0, {"learning_rate": 1.0}, "smooth"),
    "lasso": (least_squares, np.zeros(4), {"method": "proximal_gradient", "regularizer": cr.regularizers.l1(0.1)}, "strongly convex, proximal"),
    "lasso, fista": (least_squares, np.zeros(4), {"method": "fista", "regularizer": cr.regularizers.l1(0.1)}, "convex, accelerated proximal"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_measured_is_below_the_worst_case_and_that_below_the_bound(name: str) -> None:
    f, x0, options, theorem = CASES[name]
    r = cr.analysis.convergence_report(cr.minimize(f, x0, max_steps=200, **options))
    assert r.theorem is not None
    assert r.theorem.name == theorem
    assert r.applies
    assert all(r.hypotheses)
    assert r.quantity == QUANTITIES[r.theorem.measure]
    in_order(r)
    assert theorem in str(r)


def test_constants_of_a_quadratic_are_exact() -> None:
    r = cr.minimize(bowl, START, learning_rate=0.04, max_steps=100).report
    np.testing.assert_allclose(r.facts.L, 25, rtol=1e-12)
    assert r.facts.mu == pytest.approx(1, rel=1e-12)
    assert r.facts.gap == pytest.approx(15, rel=1e-12)
    assert r.facts.distance == pytest.approx(np.sqrt(3), rel=1e-12)
    np.testing.assert_allclose(r.measured[:60], [bowl(START * (1 - 0.04 * CURVATURES) ** k) for k in range(60)], rtol=1e-9)


def test_the_worst_case_is_attained() -> None:
    """On x^2 / 2 the strongly convex worst case, on a Huber function the convex one."""
    r = cr.minimize(lambda x: 0.5 * x**2, 1.0, learning_rate=0.3, max_steps=30).report
    assert np.all(r.exact)
    np.testing.assert_allclose(r.measured, r.certificate, rtol=1e-9)
    tau = 1 / 11
    huber = lambda x: np.where(np.abs(x) >= tau, tau * np.abs(x) - tau**2 / 2, x**2 / 2)
    run = cr.minimize(huber, 1.0, learning_rate=1.0, max_steps=5)
    r = cr.analysis.convergence_report(run, minimum=0.0, minimiser=0.0)
    assert r.theorem is not None
    assert r.theorem.name == "convex"
    assert r.measured[-1] == pytest.approx(r.certificate[-1], rel=1e-9)


def test_a_step_above_the_limit_is_told() -> None:
    r = cr.minimize(bowl, START, learning_rate=0.0801).report
    assert not r.applies
    assert [h.name for h in r.hypotheses if not h.holds] == ["rate below 2/L"]
    assert np.all(np.isinf(r.bound))
    assert "α = 0.0801 is not below 2/L = 0.08, with L = 25" in r.diagnosis
    assert r.diagnosis in str(r)
    just_below = cr.minimize(bowl, START, learning_rate=0.0799, max_steps=50).report
    assert just_below.applies
    assert not just_below.diagnosis


def test_kinks_are_the_subgradient_methods() -> None:
    f = lambda x: np.sum(np.abs(x))
    constant = cr.minimize(f, np.array([1.0, 0.33]), learning_rate=0.1, max_steps=50).report
    assert constant.theorem is not None
    assert constant.theorem.name == "convex, with bounded gradients"
    in_order(constant)
    assert constant.bound[-1] > 0.1  # alpha G^2 / 2
    assert constant.measured[-1] > 0.01
    assert "kinks (abs)" in constant.diagnosis
    decaying = cr.minimize(f, np.array([1.0, 0.33]), learning_rate=cr.optim.schedules.sqrt(0.3), max_steps=500).report
    in_order(decaying)
    assert decaying.measured[-1] < 0.3 * constant.measured[-1]


def test_steps_with_sufficient_decrease_need_no_curvature() -> None:
    """Steps longer than 2/L for the L of the whole run, but each short enough where it was taken."""
    r = cr.minimize(lambda x: np.cosh(3 * x), 2.0, learning_rate=lambda k: 5e-4 if k < 300 else 0.08, max_steps=340).report
    assert r.theorem is not None
    assert r.facts.L > 2 / 0.08
    assert "sufficient decrease" in r.theorem.name
    in_order(r)
    assert r.bound[-1] < 0.1 * r.bound[0]


def test_ends_without_a_minimum_are_told() -> None:
    assert "unbounded below" in cr.minimize(lambda x: -(x**2), 1.0, learning_rate=0.5, max_steps=20).report.diagnosis
    assert "unbounded below" in cr.minimize(lambda x: np.sum(x), np.ones(2), learning_rate=0.5, max_steps=20).report.diagnosis
    assert cr.minimize(lambda x: 0 * np.sum(x) + 3.0, np.ones(2)).report.measured.tolist() == [0.0]
    lost = cr.minimize(lambda x: np.log(x), 1.0, learning_rate=0.5, max_steps=20).report
    assert not lost.applies
    assert "is not below 2/L" in lost.diagnosis


def test_what_is_not_convex_is_not_called_so() -> None:
    valley = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    r = cr.minimize(valley, np.array([-1.2, 1.0]), max_steps=300).report
    assert "convex" not in [t.name for t in [r.theorem, *r.others] if t is not None]
    in_order(r)


def test_methods_without_a_theorem_say_so() -> None:
    r = cr.minimize(logistic, np.zeros(4), method="lbfgs").report
    assert r.theorem is None
    assert "no theorem" in str(r)
    assert r.measured[0] > 0.01
    assert r.measured[-1] < 1e-12


def test_what_is_known_can_be_given() -> None:
    run = cr.minimize(lambda x: np.exp(-x), 0.0, learning_rate=1.0, max_steps=50)
    assert cr.analysis.convergence_report(run, minimum=0.0).facts.gap == 1.0


def test_what_is_given_is_looked_at() -> None:
    run = cr.minimize(bowl, START, learning_rate=0.04, max_steps=50)
    with pytest.raises(ValueError, match="below the least value given, 1"):
        cr.analysis.convergence_report(run, minimum=1.0)
    with pytest.raises(ValueError, match="below the least value given"):
        cr.analysis.convergence_report(run, minimiser=START)
    with pytest.raises(cr.errors.ShapeError, match="minimiser has 2 elements"):
        cr.analysis.convergence_report(run, minimiser=np.zeros(2))


def test_containers_and_single_precision() -> None:
    f = lambda p: np.sum((p["a"] - 1) ** 2) + 3 * p["b"] ** 2
    r = cr.minimize(f, {"a": np.zeros(2), "b": 1.0}, learning_rate=0.1, max_steps=30).report
    assert r.facts.distance == pytest.approx(np.sqrt(3))
    in_order(r)
    single = cr.minimize(bowl, START.astype(np.float32), learning_rate=0.04, max_steps=300).report
    assert single.applies
    in_order(single)


def test_a_start_at_the_minimum() -> None:
    r = cr.minimize(bowl, np.zeros(3)).report
    assert r.measured.tolist() == [0.0]
    in_order(r)


def test_the_picture_shows_three_curves() -> None:
    _, axes = cr.minimize(bowl, START, learning_rate=0.04, max_steps=50).report.plot()
    assert [line.get_label() for line in axes.get_lines()] == ["measured", "worst case", "bound"]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata()[0], 15)
    _, axes = cr.minimize(bowl, START, learning_rate=0.09).report.plot()
    assert [line.get_label() for line in axes.get_lines()] == ["measured"]
