"""REINFORCE and A2C: their parts against their definitions, and what they learn."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import chainrule as cr
from chainrule.rl import actor_critic as a2c_function
from chainrule.rl.actor_critic import Settings as A2CSettings
from chainrule.rl.actor_critic import objective as a2c_objective
from chainrule.rl.policy import ActorCritic, actor_critic_network
from chainrule.rl.reinforce import Settings, objective, returns
from chainrule.rl.rollout import Batch, begin, play


def network(key: int = 0, states: int = 3) -> ActorCritic:
    return actor_critic_network(cr.rl.Discrete(states), cr.rl.Discrete(2), (), cr.random.key(key))


def episodes(net: ActorCritic, n: int, longest: int, key: Any) -> Batch:
    """Whole episodes of a process of three states in a row with noisy rewards; the last is left for good."""
    env = chain(longest)
    _, batch, _, _ = play(env, lambda x, k: (net.sample(x, k),) * 2, begin(env, n, key), longest, key, True)
    return batch


TRANSITIONS = np.zeros((3, 2, 3))
TRANSITIONS[0] = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
TRANSITIONS[1] = [[0.3, 0.3, 0.0], [0.0, 0.1, 0.5]]
TRANSITIONS[2] = [[0.0, 0.5, 0.1], [0.2, 0.0, 0.2]]
REWARDS = np.array([[1.0, -1.0], [0.5, 2.0], [0.0, 1.5]])


def chain(longest: int) -> cr.rl.Environment:
    from chainrule.rl.environment import of_outcomes
    from chainrule.rl.table import outcomes

    return of_outcomes("chain", outcomes(cr.rl.Table(TRANSITIONS, REWARDS)), np.array([1.0, 0.0, 0.0]), longest)


def test_returns_by_their_definition() -> None:
    rng = np.random.default_rng(0)
    t, n = 12, 6
    ends = np.array([3, 5, 12, 7, 1, 12])  # how long each episode is; the last of each kind is cut off
    reward, following = rng.normal(size=(2, t, n))
    valid = np.arange(t)[:, None] < ends
    last = np.arange(t)[:, None] == ends - 1
    cut = np.array([False, True, False, True, False, True])
    b = Batch(None, None, reward, None, last & ~cut, last & cut, valid)
    g = returns(b, following, 0.9)
    for k in range(n):
        for i in range(ends[k]):
            rest = sum(0.9 ** (j - i) * reward[j, k] for j in range(i, ends[k]))
            after = 0.9 ** (ends[k] - i) * following[ends[k] - 1, k] if cut[k] else 0.0
            assert g[i, k] == pytest.approx(rest + after, abs=1e-12)


def gradient_of_return(net: ActorCritic, discount: float) -> Any:
    """sum_s d(s) sum_a grad pi(a|s) Q(s, a) with d the expected visits, discounted not at all: what REINFORCE without gamma^t follows."""
    x = net.outputs(np.arange(3)).astype(float)
    pi = cr.special.softmax(x, axis=1)
    t = cr.rl.Table(TRANSITIONS, REWARDS)
    q = cr.rl.policy_evaluation(t, pi, discount=discount).action_values
    visits = np.linalg.solve((np.eye(3) - np.einsum("sa,sat->st", pi, TRANSITIONS)).T, np.eye(3)[0])
    return cr.grad(lambda x: np.sum(visits[:, None] * cr.special.softmax(x, axis=1) * q))(x), visits.sum()


@pytest.mark.parametrize("baseline", [False, True])
def test_the_gradient_of_reinforce_is_that_of_the_return(baseline: bool) -> None:
    """The actor's weights are its logits here (no hidden layer), so the gradient can be compared with the exact one."""
    net = network(1)
    h = Settings(0.9, baseline, 1e-3, False, 0.0, 0.0, 1e9, 1, 1, ())
    exact, length = gradient_of_return(net, 0.9)
    found = list[Any]()
    for k in range(12):
        b = episodes(net, 1000, 40, cr.random.key(k))
        g = cr.grad(lambda n, b=b: objective(n, b, h)[0])(net).actor.layers[0].weight
        values = net.value(b.observation) if baseline else 0.0
        weight = returns(b, np.zeros_like(b.reward), 0.9) - values
        found.append(-np.transpose(g) * np.sqrt((weight**2)[b.valid].mean()))  # undo the scale
    error = np.std(found, 0, ddof=1) / np.sqrt(len(found))
    assert np.abs((np.mean(found, 0) - exact / length) / error).max() < 4
    assert np.abs(exact / length / error).max() > 10


def test_targets_of_actor_critic_are_constants() -> None:
    """The critic's gradient is that of (V - R)^2 / 2 with R fixed; through R as well it would be another."""
    net = network(2)
    h = A2CSettings(0.9, 0.95, 1e-3, False, 0.0, 1.0, 1e9, 1, 1, ())
    env = chain(50)
    _, b, _, _ = play(env, lambda x, k: (net.sample(x, k),) * 2, begin(env, 8, cr.random.key(0)), 16, cr.random.key(1), False)
    v, after = net.value(b.observation), net.value(b.following)
    target = v + cr.rl.generalised_advantages(b.reward, v, after, b.terminated, b.truncated, 0.9, 0.95)
    expected = cr.grad(lambda n: np.mean((n.value(b.observation) - target) ** 2) / 2)(net).critic.layers[0].weight
    found = cr.grad(lambda n: a2c_objective(n, b, h)[0])(net).critic.layers[0].weight
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("method", "steps"), [(cr.rl.reinforce, 50_000), (a2c_function, 80_000)], ids=["reinforce", "a2c"])
def test_they_learn_and_repeat_themselves(method: Any, steps: int) -> None:
    """CartPole; who acts at random is at 22."""
    agent = method("CartPole-v1", key=cr.random.key(1), steps=steps)
    assert agent.evaluate(50).mean() >= 150
    assert steps - 4100 < agent.history.steps[-1] <= steps
    again = method("CartPole-v1", key=cr.random.key(1), steps=steps)
    for name, column in agent.history.items():
        np.testing.assert_array_equal(column, again.history[name])


@pytest.mark.parametrize("method", [cr.rl.reinforce, a2c_function], ids=["reinforce", "a2c"])
def test_gymnasium_is_played_the_same_way(method: Any) -> None:
    a, b = (method(gymnasium.make("CartPole-v1"), key=cr.random.key(3), steps=6_000, hidden=(16,)).history for _ in range(2))
    assert a.steps[-1] <= 6_000
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert np.nanmean(a.returns[-max(len(a.returns) // 4, 2) :]) > np.nanmean(a.returns[: max(len(a.returns) // 4, 2)])


def test_frozen_lake_from_whole_episodes() -> None:
    """States as numbers; the ice does not slip, so the best policy always arrives."""
    agent = cr.rl.reinforce(cr.rl.frozen_lake(slippery=False), key=cr.random.key(0), steps=16_000, episodes=16, entropy=0.01)
    assert agent.evaluate(20).mean() == 1.0
    assert isinstance(agent.act(0), int)


def test_an_environment_without_a_limit_needs_one() -> None:
    with pytest.raises(ValueError, match="say longest="):
        cr.rl.reinforce(cr.rl.cart_pole(limit=None), key=cr.random.key(0), steps=10_000)


def test_observations_are_checked() -> None:
    agent = cr.rl.reinforce("CartPole-v1", key=cr.random.key(0), steps=4_000)
    with pytest.raises(ValueError, match=r"has the shape \(4,\), not \(3,\)"):
        agent.act(np.zeros(3))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "least"), [(cr.rl.reinforce, 8), (a2c_function, 9)], ids=["reinforce", "a2c"])
def test_most_of_ten_seeds_solve_cart_pole(method: Any, least: int) -> None:
    """A mean return of 475 over 100 episodes within 300,000 steps."""
    solved = [
        method("CartPole-v1", key=cr.random.key(k), steps=300_000).evaluate(100, key=cr.random.key(100 + k)).mean() >= 475
        for k in range(10)
    ]
    assert sum(solved) >= least
