"""Worst cases by semidefinite programming: they agree with the closed forms, and lie between runs and bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.analysis import certificates, theorems
from chainrule.analysis.theorems import Facts

pytest.importorskip("PEPit")
pytest.importorskip("cvxpy")

DATA = np.random.default_rng(5).normal(size=(60, 4))
LABELS = (DATA @ np.ones(4) + np.random.default_rng(6).normal(size=60) > 0) * 1.0


def logistic(w: Any) -> Any:
    return np.mean(np.logaddexp(0, DATA @ w) - LABELS * (DATA @ w))


def wavy(x: Any) -> Any:
    return x**2 + 3 * np.sin(x) ** 2


CLOSED = {
    "strongly convex, 1/L": (theorems.STRONGLY_CONVEX, [0.5] * 3),
    "strongly convex, 1.8/L": (theorems.STRONGLY_CONVEX, [0.9] * 3),
    "convex, 1/L": (theorems.CONVEX, [0.5] * 3),
    "convex, 0.4/L": (theorems.CONVEX, [0.2] * 3),
    "smooth, 1/L": (theorems.SMOOTH, [0.5] * 3),
    "smooth, varying": (theorems.SMOOTH, [0.5, 0.3, 0.1]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_the_programs_values(name: str) -> None:
    theorem, rates = CLOSED[name]
    facts = Facts(2.0, 0.3, np.array(rates), 1.5, 2.0)
    worst, exact = certificates.worst_case(theorem, "gradient_descent", facts)
    tight = theorem.tight(facts)
    assert tight is not None
    assert np.all(exact[1:])
    # the solver is accurate to about 1e-6, and its answer is raised by SLACK
    np.testing.assert_allclose(worst[1:], tight[1:], rtol=3 * certificates.SLACK)


RUNS: dict[str, Any] = {
    "nesterov": lambda: cr.minimize(logistic, np.zeros(4), method="nesterov", max_steps=30),
    "Polyak-Lojasiewicz": lambda: cr.minimize(wavy, 3.0, max_steps=30),
    "convex, beyond 1/L": lambda: cr.minimize(lambda x: x**4, 1.0, learning_rate=0.14, max_steps=200),
    "subgradients": lambda: cr.minimize(lambda x: np.sum(np.abs(x - 1)), np.zeros(2), learning_rate=0.3, max_steps=30),
    "fista": lambda: cr.minimize(logistic, np.zeros(4), method="fista", regularizer=cr.regularizers.l1(0.05), max_steps=30),
    "momentum": lambda: cr.minimize(logistic, np.zeros(4), method="momentum", momentum=0.5, learning_rate=0.5, max_steps=30),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs_lie_below_certificates_and_these_below_bounds(name: str) -> None:
    report = RUNS[name]().report
    assert report.applies
    assert report.theorem.tight(report.facts) is None
    assert np.all(report.measured <= report.certificate * (1 + 1e-9))
    assert np.all(report.certificate <= report.bound)
    known = slice(1, certificates.STEPS + 1)
    assert np.all(report.certificate[known] < 0.999 * report.bound[known]) or name == "fista"  # k = 1 and 2 of FISTA: the same
    assert np.all(report.exact[known]) or name == "Polyak-Lojasiewicz"


def test_a_constant_step_of_subgradients_is_the_known_worst_case() -> None:
    """Drori and Teboulle 2016: no method does better than G R / sqrt(N + 1); the constant step R / (G sqrt(N + 1)) attains it."""
    n, size, away = 4, 3.0, 2.0
    rates = np.full(n, away / (size * np.sqrt(n + 1)))
    worst, exact = certificates.worst_case(theorems.SUBGRADIENT, "gradient_descent", Facts(np.nan, 0.0, rates, 1.0, away, G=size))
    assert exact[n]
    np.testing.assert_allclose(worst[n], size * away / np.sqrt(n + 1), rtol=1e-4)


def test_without_pepit_the_bound_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "find_spec", lambda name: None)
    report = RUNS["nesterov"]().report
    np.testing.assert_array_equal(report.certificate, report.bound)
    assert not np.any(report.exact)
