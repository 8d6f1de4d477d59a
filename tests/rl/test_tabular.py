"""Dynamic programming against linear systems and against each other."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import chainrule as cr

TOYS = {"FrozenLake": {"is_slippery": True}, "CliffWalking": {}, "Taxi": {}}


def toy(name: str) -> Any:
    return gymnasium.make(newest(name), **TOYS[name]).unwrapped.P  # type: ignore[attr-defined]


def newest(name: str) -> str:
    """The last version there is: Gymnasium retires older ones."""
    return max(n for n in gymnasium.registry if n.startswith(f"{name}-v"))


def random_process(seed: int, states: int = 7, actions: int = 3) -> cr.rl.Table:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(states + 1), (states, actions))[..., :states]  # the rest is the end
    return cr.rl.Table(p, rng.normal(size=(states, actions)))


@pytest.mark.parametrize("name", TOYS)
def test_three_ways_to_the_best_policy_agree(name: str) -> None:
    p = toy(name)
    v = cr.rl.value_iteration(p, discount=0.97)
    h = cr.rl.policy_iteration(p, discount=0.97)
    np.testing.assert_allclose(v.values, h.values, atol=1e-8)
    of_greedy = cr.rl.policy_evaluation(p, v.policy, discount=0.97)
    np.testing.assert_allclose(of_greedy.values, h.values, atol=1e-8)
    assert v.policy.shape == v.action_values.shape
    np.testing.assert_array_equal(v.policy.sum(1), 1)


def test_known_values() -> None:
    """The cliff is passed in 13 steps of -1, one above it; a slippery lake is crossed with probability 14/17 without a limit."""
    assert cr.rl.value_iteration(toy("CliffWalking"), discount=1.0).values[36] == -13
    lake = cr.rl.value_iteration(toy("FrozenLake"), discount=1.0, tol=1e-13)
    np.testing.assert_allclose(lake.values[0], 14 / 17, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_iteration_comes_to_the_solution_of_the_linear_system(seed: int) -> None:
    t = random_process(seed)
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), 7)
    p = np.einsum("sa,sat->st", policy, t.transitions)
    exact = np.linalg.inv(np.eye(7) - 0.9 * p) @ (policy * t.rewards).sum(1)
    for method in ("solve", "iterate"):
        found = cr.rl.policy_evaluation(t, policy, discount=0.9, method=method, tol=1e-12)
        np.testing.assert_allclose(found.values, exact, atol=1e-11)
        np.testing.assert_allclose((found.policy * found.action_values).sum(1), exact, atol=1e-11)


def test_bellman_operators_contract() -> None:
    t = random_process(1)
    rng = np.random.default_rng(2)
    policy = rng.dirichlet(np.ones(3), 7)
    for _ in range(50):
        u, v = rng.normal(size=(2, 7))
        far = np.max(np.abs(u - v))
        assert np.max(np.abs(cr.rl.bellman(t, u, policy, 0.9) - cr.rl.bellman(t, v, policy, 0.9))) <= 0.9 * far
        assert np.max(np.abs(cr.rl.bellman_optimality(t, u, 0.9) - cr.rl.bellman_optimality(t, v, 0.9))) <= 0.9 * far
    residuals = cr.rl.value_iteration(t, discount=0.9).residuals
    assert np.all(residuals[1:] <= 0.9 * residuals[:-1] + 1e-15)


def test_arrays_lists_and_environments_say_the_same() -> None:
    p = toy("FrozenLake")
    t = cr.rl.table(p)
    of_lists = cr.rl.value_iteration(p, discount=0.9)
    for form in (t, (t.transitions, t.rewards), gymnasium.make("FrozenLake-v1")):
        np.testing.assert_array_equal(cr.rl.value_iteration(form, discount=0.9).values, of_lists.values)


def test_rewards_may_depend_on_the_next_state() -> None:
    t = random_process(4)
    each = np.random.default_rng(5).normal(size=t.transitions.shape)
    np.testing.assert_allclose(cr.rl.table((t.transitions, each)).rewards, np.einsum("sat,sat->sa", t.transitions, each))


def test_values_differentiate() -> None:
    t = random_process(3)
    policy = np.full((7, 3), 1 / 3)
    cr.testing.assert_gradient(
        lambda r: cr.rl.policy_values(cr.rl.Table(t.transitions, r), policy, 0.8)[0],
        cr.grad(lambda r: cr.rl.policy_values(cr.rl.Table(t.transitions, r), policy, 0.8)[0]),
        t.rewards,
    )


def test_bad_input_is_named() -> None:
    t = random_process(0)
    with pytest.raises(ValueError, match="pair of arrays"):
        cr.rl.value_iteration(3)
    rewards = t.rewards.copy()
    rewards[1, 2] = np.nan
    with pytest.raises(ValueError, match="reward of state 1, action 2 is nan"):
        cr.rl.value_iteration((t.transitions, rewards))
    with pytest.raises(ValueError, match="no probabilities"):
        cr.rl.value_iteration((2 * t.transitions + 1, t.rewards))
    with pytest.raises(ValueError, match=r"sum to 0\.5"):
        cr.rl.table({0: {0: [(0.5, 0, 1.0, False)]}})
    with pytest.raises(cr.errors.ShapeError, match="states x actions x states"):
        cr.rl.table((np.ones((2, 3)), np.ones((2, 3))))
    with pytest.raises(cr.errors.ShapeError, match="7 x 3 probabilities"):
        cr.rl.policy_evaluation(t, np.ones((3, 7)))
    with pytest.raises(ValueError, match="policy of state 0"):
        cr.rl.policy_evaluation(t, np.ones((7, 3)))
    with pytest.raises(ValueError, match="discount"):
        cr.rl.value_iteration(t, discount=1.5)
    with pytest.raises(ValueError, match="method"):
        cr.rl.policy_evaluation(t, np.full((7, 3), 1 / 3), method="guess")
    endless = np.ones((1, 1, 1)), np.ones((1, 1))
    with pytest.raises(ValueError, match="from state 0 it never comes to an end"):
        cr.rl.policy_evaluation(endless, np.ones((1, 1)), discount=1.0)
    with pytest.raises(ArithmeticError, match="still change by 1"):
        cr.rl.value_iteration(endless, discount=1.0, max_sweeps=50)
