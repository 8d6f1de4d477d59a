"""The policy gradient: exactly, by difference quotients, by its theorem, and as an estimate."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import chainrule as cr


def process(seed: int = 0) -> cr.rl.Table:
    rng = np.random.default_rng(seed)
    return cr.rl.Table(rng.dirichlet(np.ones(6), (5, 3))[..., :5], rng.normal(size=(5, 3)))


LOGITS = np.random.default_rng(9).normal(size=(5, 3))
START = np.array([0.5, 0.2, 0.1, 0.1, 0.1])


def test_exact_is_the_derivative_of_the_value() -> None:
    t = process()

    def value(x: Any) -> Any:
        pi = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        return START @ cr.rl.policy_evaluation(t, pi, discount=0.9).values

    g = cr.rl.policy_gradient_exact(t, LOGITS, discount=0.9, start=START)
    for s, a in np.ndindex(5, 3):
        h = 1e-6 * np.eye(15)[3 * s + a].reshape(5, 3)
        assert g[s, a] == pytest.approx((value(LOGITS + h) - value(LOGITS - h)) / 2e-6, abs=1e-8)


def test_exact_is_the_theorem() -> None:
    """sum_s d(s) pi(a|s) (Q(s, a) - V(s)), with d the discounted number of visits: Sutton et al. 2000."""
    t = process(1)
    pi = cr.special.softmax(LOGITS, axis=1)
    known = cr.rl.policy_evaluation(t, pi, discount=0.9)
    visits = np.linalg.solve((np.eye(5) - 0.9 * np.einsum("sa,sat->st", pi, t.transitions)).T, START)
    theorem = visits[:, None] * pi * (known.action_values - known.values[:, None])
    np.testing.assert_allclose(cr.rl.policy_gradient_exact(t, LOGITS, discount=0.9, start=START), theorem, atol=1e-13)


@pytest.mark.parametrize("baseline", [False, True, np.arange(5.0)], ids=["none", "values", "anything"])
def test_the_estimate_is_unbiased(baseline: Any) -> None:
    """z-scores against the exact gradient, together chi-square (correlations by the covariance of the episodes)."""
    t = process(2)
    exact = cr.rl.policy_gradient_exact(t, LOGITS, discount=0.8, start=0)
    each = cr.rl.policy_gradient_estimate(
        t, LOGITS, discount=0.8, start=0, key=cr.random.key(5), episodes=20_000, baseline=baseline, each=True
    )
    off = (each.mean(0) - exact).ravel()
    covariance = np.cov(each.reshape(len(each), -1).T) / len(each)
    assert np.abs(off / np.sqrt(np.diag(covariance))).max() < 4
    chi_square = off @ np.linalg.pinv(covariance, rcond=1e-8) @ off
    assert 0.001 < stats.chi2(10).sf(chi_square) < 0.9999  # each row sums to 0: 5 x 2 free numbers


def test_a_wrong_estimate_is_noticed() -> None:
    """The gradient from other first states: the same test can tell."""
    t = process(2)
    exact = cr.rl.policy_gradient_exact(t, LOGITS, discount=0.8)
    biased = cr.rl.policy_gradient_exact(t, LOGITS, discount=0.8, start=cr.special.softmax(np.arange(5.0)))
    each = cr.rl.policy_gradient_estimate(t, LOGITS, discount=0.8, key=cr.random.key(5), episodes=20_000, each=True)
    error = each.std(0) / np.sqrt(len(each))
    assert np.abs((each.mean(0) - exact) / error).max() < 4
    assert np.abs((each.mean(0) - biased) / error).max() > 6


def test_a_baseline_lowers_the_variance() -> None:
    t = process(3)._replace(rewards=process(3).rewards + 2.0)  # far from zero: the return says little of the action

    def variance(baseline: bool) -> float:
        each = cr.rl.policy_gradient_estimate(
            t, LOGITS, discount=0.9, key=cr.random.key(1), episodes=5_000, baseline=baseline, each=True
        )
        return float(each.var(0).sum())

    assert variance(True) < 0.4 * variance(False)


def test_the_mean_is_the_mean_of_each() -> None:
    of: Any = {"discount": 0.9, "key": cr.random.key(4), "episodes": 50, "baseline": True}
    g = cr.rl.policy_gradient_estimate(process(), LOGITS, **of)
    np.testing.assert_allclose(g, cr.rl.policy_gradient_estimate(process(), LOGITS, each=True, **of).mean(0), atol=1e-13)
    np.testing.assert_array_equal(g, cr.rl.policy_gradient_estimate(process(), LOGITS, **of))


def test_frozen_lake_from_its_table() -> None:
    p = cr.rl.frozen_lake_table()
    logits = np.random.default_rng(0).normal(size=(16, 4))
    exact = cr.rl.policy_gradient_exact(p, logits, discount=0.95, start=0)
    each = cr.rl.policy_gradient_estimate(p, logits, discount=0.95, start=0, key=cr.random.key(0), episodes=4_000, each=True)
    error = each.std(0) / np.sqrt(len(each))
    assert np.all(np.abs(each.mean(0) - exact) <= 4.5 * error + 1e-15)
    assert exact[15].max() == 0  # nothing is decided at the goal


def test_ascent_reaches_the_best_policy() -> None:
    t = process(4)
    best = START @ cr.rl.policy_iteration(t, discount=0.9).values
    x = np.zeros((5, 3))
    for _ in range(100):
        x = x + 10.0 * cr.rl.policy_gradient_exact(t, x, discount=0.9, start=START)
    assert best - 0.05 < cr.rl.policy_objective(t, x, discount=0.9, start=START) <= best


def test_bad_input_is_named() -> None:
    with pytest.raises(cr.errors.ShapeError, match="states x actions"):
        cr.rl.policy_gradient_exact(process(), LOGITS.T)
    with pytest.raises(ValueError, match="does not come to an end"):
        cr.rl.policy_gradient_exact((np.ones((1, 1, 1)), np.ones((1, 1))), np.zeros((1, 1)), discount=1.0)
    with pytest.raises(ValueError, match="episodes"):
        cr.rl.policy_gradient_estimate(process(), LOGITS, key=cr.random.key(0), episodes=0)
    with pytest.raises(cr.errors.ShapeError, match="one number per state"):
        cr.rl.policy_gradient_estimate(process(), LOGITS, key=cr.random.key(0), baseline=np.ones(3))
    with pytest.raises(ValueError, match="start is a state from 0 to 4"):
        cr.rl.policy_gradient_exact(process(), LOGITS, start=7)
