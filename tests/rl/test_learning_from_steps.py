"""Q-learning and its relatives against the exact solution of the same process."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import chainrule as cr
from chainrule.rl.episodes import Step, added, chosen
from chainrule.rl.gymnasium import tabular


def newest(name: str) -> str:
    """The last version there is: Gymnasium retires older ones."""
    return max(n for n in gymnasium.registry if n.startswith(f"{name}-v"))


def shortfall(name: str, policy: Any) -> float:
    """How much less the policy earns from the start than the best one."""
    env: Any = gymnasium.make(name).unwrapped
    best = cr.rl.value_iteration(env.P, discount=0.99).values
    return float(env.initial_state_distrib @ (best - cr.rl.policy_evaluation(env.P, policy, discount=0.99).values))


@pytest.mark.parametrize(
    ("name", "method", "episodes"),
    [
        ("FrozenLake", cr.rl.q_learning, 20_000),
        ("FrozenLake", cr.rl.double_q_learning, 60_000),
        ("CliffWalking", cr.rl.q_learning, 1_000),
        ("Taxi", cr.rl.q_learning, 6_000),
        ("Taxi", cr.rl.expected_sarsa, 6_000),
    ],
)
def test_the_greedy_policy_is_the_best(name: str, method: Any, episodes: int) -> None:
    """FrozenLake is slippery; what is compared is what the policies earn, since several are best."""
    agent = method(newest(name), discount=0.99, episodes=episodes, key=cr.random.key(0))
    assert abs(shortfall(newest(name), agent.policy)) < 1e-6
    assert len(agent.history.returns) == episodes


def test_sarsa_is_nearly_the_best_once_it_hardly_explores() -> None:
    for method in (cr.rl.sarsa, cr.rl.expected_sarsa):
        agent = method("FrozenLake-v1", discount=0.99, episodes=60_000, key=cr.random.key(0))
        assert shortfall("FrozenLake-v1", agent.policy) < 0.03  # of 0.54


def test_sarsa_keeps_away_from_the_cliff_and_q_learning_does_not() -> None:
    """Sutton and Barto, example 6.6: with exploration 0.1 for ever, the way that Q-learning finds is shorter and falls more often."""
    of: Any = {"discount": 1.0, "episodes": 2_000, "learning_rate": 0.5, "exploration": 0.1}
    q, s = (
        np.mean([m("CliffWalking-v1", key=cr.random.key(k), **of).history.returns[-1000:] for k in range(3)])
        for m in (cr.rl.q_learning, cr.rl.sarsa)
    )
    assert -35 < s < -20
    assert -65 < q < -40


def test_q_learning_is_watkins_step() -> None:
    """Replayed by hand from the steps of an environment that records them."""
    env: Any = Recorder(gymnasium.make("FrozenLake-v1"))
    agent = cr.rl.q_learning(env, discount=0.9, episodes=30, key=cr.random.key(2), learning_rate=0.5, initial=0.1)
    q = np.full((16, 4), 0.1)
    for s, a, r, t, terminated in env.steps:
        q[s, a] += 0.5 * (r + 0.9 * (0 if terminated else q[t].max()) - q[s, a])
    np.testing.assert_allclose(agent.action_values, q, rtol=1e-12)
    assert agent.history.steps[-1] == len(env.steps)


class Recorder(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Keeps (s, a, r, s', terminated) of every step."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.steps: list[Any] = []

    def reset(self, **kwargs: Any) -> Any:
        self.at, info = self.env.reset(**kwargs)
        return self.at, info

    def step(self, action: Any) -> Any:
        out = self.env.step(action)
        self.steps.append((self.at, action, out[1], out[0], out[2]))
        self.at = out[0]
        return out


def test_sarsa_learns_of_the_action_that_follows() -> None:
    env: Any = Recorder(gymnasium.make("CliffWalking-v1"))
    agent = cr.rl.sarsa(env, discount=0.9, episodes=5, key=cr.random.key(2), learning_rate=0.5, exploration=0.5)
    q = np.zeros((48, 4))
    for (s, a, r, t, terminated), (_, after, *_) in zip(env.steps, [*env.steps[1:], env.steps[-1]], strict=True):
        q[s, a] += 0.5 * (r + 0.9 * (0 if terminated else q[t, after]) - q[s, a])
    np.testing.assert_allclose(agent.action_values, q, rtol=1e-12)


def test_the_engines_play_the_same_episodes() -> None:
    a, b = (
        cr.rl.q_learning(cr.rl.frozen_lake(), episodes=20, key=cr.random.key(3), engine=engine) for engine in ("native", "numpy")
    )
    np.testing.assert_array_equal(a.history.returns, b.history.returns)
    np.testing.assert_allclose(a.action_values, b.action_values, rtol=1e-12)


def test_the_key_decides_everything() -> None:
    of: Any = {"episodes": 200, "learning_rate": 0.1}
    for env in (cr.rl.frozen_lake, lambda: gymnasium.make("FrozenLake-v1")):
        a, b, c = (cr.rl.q_learning(env(), key=cr.random.key(k), **of) for k in (1, 1, 2))
        np.testing.assert_array_equal(a.action_values, b.action_values)
        assert np.any(a.history.steps != c.history.steps)


def test_double_q_learning_does_not_overestimate() -> None:
    """One state to the left of the start, many actions of mean -0.1 and deviation 1 from there (Sutton and Barto, example 6.7)."""
    name = "the left state"
    arms, episodes = 10, 2_000

    def step(state: Any, action: Any, key: Any) -> Any:
        left = (state == 0) & (action % 2 == 0)
        reward = np.where(state == 1, -0.1 + cr.random.normal(key, (1,)), 0.0)
        return np.where(left, 1, 2), reward, (state == 1) | ~left

    env = cr.rl.Environment(
        name, cr.rl.Discrete(3), cr.rl.Discrete(arms), None, lambda key, n: np.zeros(n, np.int64), step, lambda s: s
    )

    def overestimate(method: Any) -> float:
        found = [
            method(env, discount=1.0, episodes=episodes, key=cr.random.key(k), learning_rate=0.1, exploration=1.0).action_values
            for k in range(5)
        ]
        return float(np.mean([q[0, ::2].mean() for q in found])) + 0.1  # going left is worth -0.1

    assert overestimate(cr.rl.q_learning) > 0.2
    assert abs(overestimate(cr.rl.double_q_learning)) < 0.1


def test_robbins_and_monro_against_a_constant_rate() -> None:
    """With falling rates the error goes on falling; a constant one leaves it at a floor."""
    p = cr.rl.frozen_lake_table()
    policy = np.full((16, 4), 0.25)
    exact = cr.rl.policy_evaluation(p, policy, discount=0.9).values
    inner = [s for s in range(16) if s not in (5, 7, 11, 12, 15)]

    def error(rate: Any, episodes: int) -> float:
        found = cr.rl.td_lambda(p, policy, discount=0.9, decay=0.0, episodes=episodes, key=cr.random.key(0), learning_rate=rate)
        return float(np.sqrt(np.mean((found.values - exact)[inner] ** 2)))

    def falling(k: Any) -> Any:
        return (1 + k / 10) ** -0.8

    assert error(falling, 100_000) < 0.5 * error(falling, 4_000)
    assert error(0.1, 100_000) > 3 * error(falling, 100_000)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 1.0])
def test_td_lambda_comes_to_the_values_of_the_policy(decay: float) -> None:
    p = cr.rl.frozen_lake_table()
    policy = cr.rl.value_iteration(p, discount=0.9).policy * 0.8 + 0.05
    exact = cr.rl.policy_evaluation(p, policy, discount=0.9).values
    found = cr.rl.td_lambda(
        p, policy, discount=0.9, decay=decay, episodes=60_000, key=cr.random.key(1), learning_rate=lambda k: (1 + k / 10) ** -0.8
    )
    np.testing.assert_allclose(found.values, exact, atol=0.03)
    assert found.visits.sum() > 60_000


def test_truncated_is_no_end() -> None:
    """Cut off after 5 steps, a state whose every step earns 1 is worth 1 / (1 - 0.9) all the same."""
    env = cr.rl.Environment(
        "For ever", cr.rl.Discrete(1), cr.rl.Discrete(2), 5, lambda key, n: np.zeros(n, np.int64),
        lambda s, a, key: (s, np.ones(1), s > 0), lambda s: s,
    )  # fmt: skip
    agent = cr.rl.q_learning(env, discount=0.9, episodes=400, key=cr.random.key(0))
    np.testing.assert_allclose(agent.action_values.max(), 10, atol=0.01)
    assert set(agent.history.returns) == {5.0}


def test_parts() -> None:
    np.testing.assert_array_equal(added(np.zeros((2, 3)), (1, 2), 5.0), [[0, 0, 0], [0, 0, 5]])
    np.testing.assert_array_equal(added(np.arange(3.0), (0,), -1.0), [-1, 1, 2])
    assert [int(chosen(np.array([0.25, 0.0, 0.75]), u)) for u in (0.0, 0.24, 0.26, 0.999)] == [0, 0, 2, 2]
    assert Step(0, 1, 2.0, 3, 4, True).following == 3
    assert tabular("FrozenLake-v1") is cr.rl.frozen_lake()


def test_bad_input_is_named() -> None:
    key = cr.random.key(0)
    with pytest.raises(ValueError, match="Pendulum-v1 has actions that are arrays"):
        cr.rl.q_learning("Pendulum-v1", key=key)
    with pytest.raises(ValueError, match="CartPole-v1 has observations that are arrays"):
        cr.rl.sarsa(gymnasium.make("CartPole-v1"), key=key)
    with pytest.raises(ValueError, match=r"there is no environment 'FrozenLak-v1'\. Did you mean FrozenLake-v1"):
        cr.rl.q_learning("FrozenLak-v1", key=key)
    with pytest.raises(ValueError, match="episodes"):
        cr.rl.q_learning("FrozenLake-v1", key=key, episodes=0)
    with pytest.raises(ValueError, match="exploration"):
        cr.rl.q_learning("FrozenLake-v1", key=key, exploration=2.0)
    with pytest.raises(cr.errors.ShapeError, match="16 x 4"):
        cr.rl.td_lambda("FrozenLake-v1", np.ones((4, 16)), key=key)
    lake: Any = gymnasium.make("FrozenLake-v1").unwrapped  # the wrappers warn
    lake.P = {s: {a: [(1.0, 0, float("nan"), False)] for a in range(4)} for s in range(16)}
    with pytest.raises(ValueError, match="FrozenLake-v1 gave the reward nan in state 0"):
        cr.rl.q_learning(lake, key=key)
