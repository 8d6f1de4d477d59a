"""Penalties: values, subgradients, proximal maps; exact zeros; smoothed labels."""

from __future__ import annotations

from typing import Any

import latex2mathml.converter
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import ElasticNet, Lasso

import chainrule as cr
from chainrule import nn
from chainrule import regularizers as reg

ALL = [reg.l1(0.7), reg.l2(0.7), reg.elastic_net(0.4, 0.3), reg.group_lasso(0.9), reg.nuclear(0.8)]
NAMED = [pytest.param(r, id=r.name.partition("(")[0]) for r in ALL]
W = np.random.default_rng(0).normal(size=(4, 3))

VALUES = {
    "l1": lambda w: 0.7 * np.abs(w).sum(),
    "l2": lambda w: 0.35 * (w**2).sum(),
    "elastic_net": lambda w: 0.4 * np.abs(w).sum() + 0.3 * (w**2).sum(),
    "group_lasso": lambda w: 0.9 * sum(np.sqrt(row @ row) for row in np.atleast_2d(w)),
    "nuclear": lambda w: 0.8 * np.linalg.norm(np.atleast_2d(w), "nuc"),
}


def plain(r: Any) -> Any:
    return VALUES[r.name.partition("(")[0]]


@pytest.mark.parametrize("r", NAMED)
def test_value_is_the_formula_summed_over_the_tree(r: Any) -> None:
    b = np.array([0.3, -2.0, 0.1])
    assert r({"w": W, "b": b}) == pytest.approx(plain(r)(W) + plain(r)(b), rel=1e-10)
    assert r([]) == 0.0


@pytest.mark.parametrize("r", NAMED)
def test_subgradient_is_the_derivative_where_there_is_one(r: Any) -> None:
    g = r.subgradient([W])[0]
    np.testing.assert_allclose(g, cr.grad(r)([W])[0], rtol=1e-10, atol=1e-12)
    h = 1e-6
    for k in np.ndindex(W.shape):
        e = np.zeros_like(W)
        e[k] = h
        assert g[k] == pytest.approx((plain(r)(W + e) - plain(r)(W - e)) / (2 * h), abs=1e-7)


@pytest.mark.parametrize("r", NAMED)
@pytest.mark.parametrize("at", ["zero", "partly zero", "low rank"])
def test_subgradient_inequality_holds_at_kinks(r: Any, at: str, rng: np.random.Generator) -> None:
    w = {"zero": 0 * W, "partly zero": W * (np.arange(4) > 1)[:, None], "low rank": np.outer(W[:, 0], W[0])}[at]
    g = r.subgradient(w)
    assert np.all(np.isfinite(g))
    for _ in range(100):
        v = w + rng.normal(size=w.shape) * 10.0 ** rng.integers(-4, 1)
        assert r(v) >= r(w) + np.sum(g * (v - w)) - 1e-12


@pytest.mark.parametrize("r", NAMED)
def test_the_subgradient_chosen_at_zero_is_zero(r: Any) -> None:
    np.testing.assert_array_equal(r.subgradient(0 * W), 0)
    if not r.name.startswith("nuclear"):  # there cr.grad chooses another one, U V^T of all singular vectors
        np.testing.assert_array_equal(cr.grad(r)(0 * W), 0)


@pytest.mark.parametrize("step", [0.3, 1.0, 100.0])
@pytest.mark.parametrize("r", NAMED)
def test_prox_satisfies_its_optimality_condition(r: Any, step: float, rng: np.random.Generator) -> None:
    """(v - p) / step is a subgradient at p, which for a convex penalty is the same as being the minimiser."""
    v = rng.normal(size=(4, 3))
    p = r.prox({"w": v}, step)["w"]
    g = (v - p) / step
    for _ in range(200):
        u = p + rng.normal(size=p.shape) * 10.0 ** rng.integers(-5, 2)
        assert plain(r)(u) >= plain(r)(p) + np.sum(g * (u - p)) - 1e-9 * (1 + np.abs(u).max())


@pytest.mark.parametrize("r", NAMED)
def test_prox_is_the_minimiser_that_a_general_search_finds(r: Any) -> None:
    v = W[:2, :2]
    f = lambda w: 0.5 * ((w.reshape(2, 2) - v) ** 2).sum() + 0.5 * plain(r)(w.reshape(2, 2))
    found = minimize(
        f, v.ravel(), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 20000, "maxfev": 20000}
    )
    p = r.prox(v, 0.5)
    gap = found.fun - f(p.ravel())
    assert gap < 1e-4  # the search came close
    assert 0.5 * np.sum((found.x - p.ravel()) ** 2) <= gap + 1e-12  # f is 1-strongly convex, and p its minimiser


@pytest.mark.parametrize("r", NAMED)
def test_prox_never_moves_two_points_apart(r: Any, rng: np.random.Generator) -> None:
    for _ in range(50):
        a, b = rng.normal(size=(2, 4, 3))
        assert np.linalg.norm(r.prox(a, 0.8) - r.prox(b, 0.8)) <= np.linalg.norm(a - b) * (1 + 1e-12)


def test_exact_zeros_are_where_theory_puts_them() -> None:
    v = np.array([[0.1, -0.7, 0.71], [0.3, 0.4, 0.0], [3.0, 4.0, 0.0]])
    np.testing.assert_array_equal(reg.l1(0.7).prox(v, 1.0) == 0, np.abs(v) <= 0.7)
    np.testing.assert_array_equal(np.all(reg.group_lasso(0.9).prox(v, 1.0) == 0, axis=1), np.linalg.norm(v, axis=1) <= 0.9)
    u, _, vt = np.linalg.svd(v)
    p = reg.nuclear(1.0).prox(u @ np.diag([5.0, 0.9, 0.2]) @ vt, 1.0)
    np.testing.assert_allclose(np.linalg.svd(p, compute_uv=False), [4.0, 0.0, 0.0], atol=1e-14)
    assert not np.any(reg.l2(0.7).prox(np.array([1e-9]), 100.0) == 0)


@pytest.mark.parametrize("r", NAMED)
def test_facts_are_true(r: Any, rng: np.random.Generator) -> None:
    latex2mathml.converter.convert(r.latex)
    assert r.facts.convex
    assert r.facts.differentiable == (r.facts.smooth is not None)
    for _ in range(100):
        a, b = rng.normal(size=(2, 3, 2))
        t, mu = rng.uniform(), r.facts.strongly_convex
        bound = t * r(a) + (1 - t) * r(b) - 0.5 * mu * t * (1 - t) * np.sum((a - b) ** 2)
        assert r(t * a + (1 - t) * b) <= bound + 1e-12
        if r.facts.smooth is not None:
            slopes = r.subgradient(a) - r.subgradient(b)
            assert np.linalg.norm(slopes) <= r.facts.smooth * np.linalg.norm(a - b) * (1 + 1e-12)
    kinked = np.any(np.abs(r.subgradient(np.full((3, 2), 1e-9)) - r.subgradient(np.full((3, 2), -1e-9))) > 1e-3)
    assert kinked == (not r.facts.differentiable)


@pytest.mark.parametrize("r", NAMED)
def test_traced_and_single_precision(r: Any) -> None:
    np.testing.assert_allclose(cr.jit(lambda w: r.prox(w, 0.5))(W), r.prox(W, 0.5), rtol=1e-12, atol=1e-14)
    assert r.prox(W.astype(np.float32), np.float64(0.5)).dtype == np.float32
    assert r.subgradient(W.astype(np.float32)).dtype == np.float32
    assert r(W.astype(np.float32)).dtype == np.float32


def test_running_statistics_are_no_parameters() -> None:
    layer = nn.BatchNorm(3)
    assert reg.l1(1.0)(layer) == 3.0  # gamma is ones; the running variance is ones too, and does not count
    assert reg.l1(1.0).subgradient(layer).variance.tolist() == [0, 0, 0]
    p = reg.l1(1.0).prox({"layers": [layer]}, 0.25)["layers"][0]
    assert p.gamma.tolist() == [0.75] * 3
    assert p.variance.tolist() == [1.0] * 3


def test_elastic_net_is_the_sum_with_no_half_before_the_square() -> None:
    assert reg.elastic_net(0.5, 0.25)(np.array([2.0, -1.0])) == 0.5 * 3 + 0.25 * 5
    assert reg.elastic_net(0.0, 0.35)(W) == pytest.approx(reg.l2(0.7)(W))


@pytest.mark.parametrize("make", [reg.l1, reg.l2, reg.group_lasso, reg.nuclear])
def test_negative_strengths_are_errors(make: Any) -> None:
    with pytest.raises(ValueError, match="at least 0, not -1"):
        make(-1.0)


# --- the two updates ------------------------------------------------------------------------------------------------------------


def lasso_problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 12))
    truth = np.array([2.0, -1.5, 1.0, *[0.0] * 9])
    return X, X @ truth + 0.1 * rng.normal(size=60)


@pytest.mark.parametrize(
    ("penalty", "oracle"),
    [
        (reg.l1(0.2), Lasso(0.2, fit_intercept=False, tol=1e-12, max_iter=100_000)),
        (reg.elastic_net(0.2, 0.05), ElasticNet(0.3, l1_ratio=2 / 3, fit_intercept=False, tol=1e-12, max_iter=100_000)),
    ],
)
def test_proximal_update_reaches_exact_zeros_and_the_subgradient_update_none(penalty: Any, oracle: Any) -> None:
    X, y = lasso_problem()
    f = lambda w: np.sum((X @ w - y) ** 2) / (2 * len(y))
    L = np.linalg.eigvalsh(X.T @ X / len(y))[-1]
    paths = reg.side_by_side(f, penalty, np.ones(12), 1 / L, 500)
    want = oracle.fit(X, y).coef_
    np.testing.assert_allclose(paths.proximal, want, atol=1e-8)
    assert paths.proximal_zeros[-1] == np.sum(want == 0) >= 7
    assert np.all(paths.subgradient_zeros == 0)
    assert paths.proximal_values[-1] < paths.subgradient_values[-1]
    assert np.all(np.diff(paths.proximal_values) <= 1e-12)
    assert "0 of 12" in str(paths)
    assert f"{paths.proximal_zeros[-1]} of 12" in str(paths)


# --- weight decay -----------------------------------------------------------------------------------------------------------------


def test_l2_is_weight_decay_under_gradient_descent_and_not_under_adam() -> None:
    f = lambda w: np.sum((w - np.array([3.0, 0.01])) ** 2)
    start, lam, rate = np.array([5.0, 5.0]), 0.1, 0.05

    def run(rule: Any, penalty: Any) -> np.ndarray:
        w, state = start, rule.init(start)
        for _ in range(20):
            g = cr.grad(f)(w)
            w, state = rule.step(w, g + penalty.subgradient(w), state)
        return w

    decayed = start
    for _ in range(20):
        decayed = (1 - rate * lam) * decayed - rate * cr.grad(f)(decayed)
    np.testing.assert_allclose(run(cr.optim.sgd(rate), reg.l2(lam)), decayed, rtol=1e-12)
    coupled = run(cr.optim.adam(rate), reg.l2(lam))
    decoupled = run(cr.optim.adamw(rate, weight_decay=lam), reg.l2(0.0))
    assert np.max(np.abs(coupled - decoupled)) > 1e-2


# --- labels -------------------------------------------------------------------------------------------------------------------------


def test_label_smoothing_keeps_rows_of_probabilities_and_makes_the_best_logits_finite() -> None:
    y = np.eye(4)
    s = reg.label_smoothing(y, 0.1)
    np.testing.assert_allclose(s.sum(1), 1)
    assert s[0].tolist() == pytest.approx([0.925, 0.025, 0.025, 0.025])
    loss = lambda z: cr.losses.categorical_cross_entropy(s[:1], z[None], from_logits=True)
    gap = np.log((4 * 0.9 + 0.1) / 0.1)
    np.testing.assert_allclose(cr.grad(loss)(np.array([gap, 0.0, 0.0, 0.0])), 0, atol=1e-15)
    np.testing.assert_array_equal(reg.label_smoothing([[0.0, 1.0]], 0.0), [[0, 1]])
    with pytest.raises(ValueError, match="between 0 and 1"):
        reg.label_smoothing(y, 1.5)


def test_whole_numbers_are_real_numbers_to_a_penalty() -> None:
    penalty, w = cr.regularizers.l1(0.5), np.array([3, -1, 0])
    np.testing.assert_array_equal(penalty.subgradient(w), [0.5, -0.5, 0.0])
    np.testing.assert_array_equal(penalty.prox(w, 1.0), [2.5, -0.5, 0.0])
    assert cr.regularizers.l2(1.0)(np.array([200], np.uint8)) == 20_000


def test_label_smoothing_of_class_numbers_is_an_error() -> None:
    with pytest.raises(ValueError, match="one-hot"):
        cr.regularizers.label_smoothing(np.array([0, 2, 1]), 0.1)
    smooth = cr.jit(lambda y: cr.regularizers.label_smoothing(y, 0.1))
    np.testing.assert_allclose(smooth(np.eye(2)), [[0.95, 0.05], [0.05, 0.95]])
