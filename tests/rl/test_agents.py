"""Agents in files, learning curves, and what environments may be."""

import copy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import chainrule as cr
from chainrule.rl.agent import History
from chainrule.rl.gymnasium import Gym, Players, environment
from chainrule.rl.policy import actor_critic_network
from chainrule.rl.rollout import play_gymnasium


def test_an_agent_comes_back_from_its_file(tmp_path: Path) -> None:
    agent = cr.rl.ppo("Pendulum-v1", key=cr.random.key(0), steps=512, envs=2, horizon=64, hidden=(8, 6))
    cr.rl.save_agent(agent, tmp_path / "agent.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["agent.npz"]
    back = cr.rl.load_agent(tmp_path / "agent.npz")
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    np.testing.assert_array_equal(back.act(x), agent.act(x))
    np.testing.assert_array_equal(back.act(x, cr.random.key(1)), agent.act(x, cr.random.key(1)))
    assert (back.algorithm, back.env.name, list(back.history)) == ("PPO", "Pendulum-v1", list(agent.history))
    with pytest.raises(ValueError, match="CartPole-v1 has other spaces"):
        cr.rl.load_agent(tmp_path / "agent.npz", "CartPole-v1")
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(ValueError, match="holds no agent"):
        cr.rl.load_agent(tmp_path / "other.npz")


class Told:
    """An agent of which only the history is known."""

    def __init__(self, **columns: Any) -> None:
        self.history = History({k: np.array(v, float) for k, v in columns.items()})


def test_learning_curves_by_hand() -> None:
    told = [
        Told(steps=[5, 10, 15, 20], episodes=[1, 3, 0, 2], returns=[1.0, 5.0, np.nan, 7.0]),
        Told(steps=[10, 20, 25], episodes=[2, 2, 1], returns=[2.0, 9.0, 50.0]),
    ]
    found = cr.rl.learning_curves(lambda k: told[k], [0, 1], points=2)
    np.testing.assert_array_equal(found.steps, [10, 20])  # as far as both have come
    np.testing.assert_allclose(found.each, [[4.0, 7.0], [2.0, 9.0]])
    np.testing.assert_allclose(found.mean, [3.0, 8.0])
    half = 12.7062047 * np.sqrt(2) / np.sqrt(2)  # Student's t with one degree of freedom, deviation sqrt(2), two keys
    np.testing.assert_allclose(found.high - found.mean, half, rtol=1e-6)
    np.testing.assert_allclose(found.mean - found.low, half, rtol=1e-6)
    with pytest.raises(ValueError, match="two keys"):
        cr.rl.learning_curves(lambda k: told[k], [0])


def test_stretches_without_an_end_keep_the_last_number() -> None:
    told = [Told(steps=[5, 10, 15, 20], episodes=[0, 1, 0, 1], returns=[np.nan, 4.0, np.nan, 6.0])] * 2
    found = cr.rl.learning_curves(lambda k: told[k], [0, 1], points=4)
    np.testing.assert_array_equal(found.each[0], [np.nan, 4, 4, 6])


def test_what_may_be_an_environment() -> None:
    assert environment("CartPole-v1") is cr.rl.cart_pole()
    made = gymnasium.make("CartPole-v1")
    e = environment(made)
    assert isinstance(e, Gym)
    assert (e.name, e.limit, e.actions) == ("CartPole-v1", 500, cr.rl.Discrete(2))
    with pytest.raises(TypeError, match="say envs=3"):
        environment(gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync"))
    with pytest.raises(ValueError, match="observations of Blackjack-v1 are a space Tuple"):
        environment("Blackjack-v1")


def test_copies_are_of_the_environment_as_it_is() -> None:
    """Gravity was changed by hand: making the environment again from its name would lose it."""
    made: Any = gymnasium.make("CartPole-v1")
    made.unwrapped.gravity = 3.7
    copies = Gym(made).copies(3)
    assert [c.unwrapped.gravity for c in copies] == [3.7] * 3
    assert len({id(c.unwrapped) for c in copies}) == 3


class Alone(gymnasium.Env[Any, Any]):
    """Cannot be copied; ends after 3 steps, or is cut off after 2 if it was told to."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, cut: bool = False) -> None:
        self.cut, self.time = cut, 0

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("one of its kind")

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.time = 0
        return np.array([0.0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return np.array([self.time], np.float32), 1.0, self.time == 3, self.cut and self.time == 2, {}


@pytest.mark.parametrize("cut", [False, True])
def test_what_follows_a_step_is_of_the_same_episode(cut: bool) -> None:
    """Not the first observation of the next one, which is what the policy sees next."""
    with pytest.raises(TypeError, match="one of its kind"):
        copy.deepcopy(Alone())
    players = Players(Gym(Alone(cut)), 4, cr.random.key(0))
    assert len(players.envs) == 1
    batch, ended = play_gymnasium(players, lambda x, key: (np.zeros(1, int), np.zeros(1, int)), 6, cr.random.key(0), False)
    n = 2 if cut else 3
    np.testing.assert_array_equal(batch.observation[:, 0, 0], np.arange(6) % n)
    np.testing.assert_array_equal(batch.following[:, 0, 0], np.arange(6) % n + 1)
    np.testing.assert_array_equal((batch.truncated if cut else batch.terminated)[:, 0], np.arange(6) % n == n - 1)
    assert not (batch.terminated if cut else batch.truncated).any()
    assert ended == [float(n)] * (6 // n)


def test_in_the_graph_and_in_gymnasium_the_same_policy_earns_the_same() -> None:
    """Of a network that has learned nothing: the two means agree within their errors."""
    e = cr.rl.cart_pole()
    net = actor_critic_network(e.observations, e.actions, (8,), cr.random.key(0))
    agents = [cr.rl.Agent("none", env, net, History({"steps": np.zeros(0)})) for env in (e, Gym(gymnasium.make("CartPole-v1")))]
    a, b = (agent.evaluate(200, key=cr.random.key(1), sample=True) for agent in agents)
    assert abs(a.mean() - b.mean()) < 4 * np.hypot(a.std(), b.std()) / np.sqrt(200)
    assert 15 < a.mean() < 35
    np.testing.assert_array_equal(a, agents[0].evaluate(200, key=cr.random.key(1), sample=True))


def test_a_number_may_be_the_key() -> None:
    a, b = (cr.rl.q_learning("FrozenLake-v1", episodes=10, key=k) for k in (3, cr.random.key(3)))
    np.testing.assert_array_equal(a.action_values, b.action_values)
