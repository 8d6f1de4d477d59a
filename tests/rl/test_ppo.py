"""Proximal policy optimisation: its parts against their definitions, and what it learns."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import chainrule as cr
from chainrule.rl.policy import ActorCritic, actor_critic_network
from chainrule.rl.ppo import Sample, Settings, objective, prepare
from chainrule.rl.rollout import begin, play

SMALL: Any = {"envs": 4, "horizon": 32, "epochs": 4, "minibatches": 2, "hidden": (16,)}


def advantage_by_definition(r: Any, v: Any, after: Any, terminated: Any, truncated: Any, discount: float, decay: float) -> Any:
    """Sums of (discount decay)^k delta_(t+k) up to the end of the episode."""
    delta = r + discount * np.where(terminated, 0, after) - v
    found = np.zeros_like(r)
    for t in range(len(r)):
        for k in range(t, len(r)):
            found[t] += (discount * decay) ** (k - t) * delta[k]
            if terminated[k] or truncated[k]:
                break
    return found


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_advantages_are_their_definition(decay: float) -> None:
    rng = np.random.default_rng(0)
    r, v, after = rng.normal(size=(3, 40))
    terminated = rng.random(40) < 0.1
    truncated = (rng.random(40) < 0.1) & ~terminated
    found = cr.rl.generalised_advantages(
        r[:, None], v[:, None], after[:, None], terminated[:, None], truncated[:, None], 0.9, decay
    )
    np.testing.assert_allclose(found[:, 0], advantage_by_definition(r, v, after, terminated, truncated, 0.9, decay), atol=1e-12)


def test_an_episode_that_is_cut_off_goes_on_in_its_value() -> None:
    """A reward of 1 for ever is worth 10 at discount 0.9, wherever the clock cuts; after an end it is worth what was received."""
    one, no = np.ones((5, 1)), np.zeros((5, 1), bool)
    last = np.arange(5)[:, None] == 4
    cut = cr.rl.generalised_advantages(one, 0 * one, 10.0 * last, no, last, 0.9, 1.0)
    np.testing.assert_allclose(cut[:, 0], 10)
    ended = cr.rl.generalised_advantages(one, 0 * one, 10.0 * last, last, no, 0.9, 1.0)
    np.testing.assert_allclose(ended[:, 0], (1 - 0.9 ** np.arange(5, 0, -1)) / 0.1)


def settings(**changes: Any) -> Settings:
    h = Settings(0.99, 0.95, 0.2, 4, 2, 1e-3, True, 0.01, 0.5, 0.5, 4, 32, (16,))
    return h._replace(**changes)


def sample(net: Any, n: int = 64) -> Sample:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    a = rng.integers(0, 2, n)
    log_p, _ = net.judged(x, a)
    return Sample(x, a, log_p + rng.normal(0, 0.3, n).astype(np.float32), *rng.normal(size=(2, n)).astype(np.float32))


def network(key: int = 0) -> ActorCritic:
    return actor_critic_network(cr.rl.cart_pole().observations, cr.rl.Discrete(2), (16,), cr.random.key(key))


def test_the_objective_is_the_papers() -> None:
    net = network()
    s = sample(net)
    h = settings()
    log_p = cr.special.log_softmax(net.actor(s.observation).astype(float), axis=-1)
    ratio = np.exp(log_p[np.arange(64), s.action] - s.log_prob)
    a = (s.advantage - s.advantage.mean()) / s.advantage.std()
    surrogate = np.where(a > 0, np.minimum(ratio, 1.2) * a, np.maximum(ratio, 0.8) * a).mean()
    value = ((net.critic(s.observation)[:, 0] - s.target) ** 2).mean() / 2
    entropy = -(np.exp(log_p) * log_p).sum(-1).mean()
    loss, told = objective(net, s, h)
    np.testing.assert_allclose(told, [-surrogate, value, entropy], rtol=1e-5)
    np.testing.assert_allclose(loss, -surrogate + 0.5 * value - 0.01 * entropy, rtol=1e-5)


def test_steps_that_have_gone_far_enough_have_no_gradient() -> None:
    net = network()
    s = sample(net)
    log_p, _ = net.judged(s.observation, s.action)
    sign = np.where(np.arange(64) % 2, 1, -1).astype(np.float32)
    for outwards, still in ((1, True), (-1, False)):
        far = s._replace(log_prob=log_p - outwards * sign, advantage=sign)  # the ratio is e or 1/e
        g = cr.grad(lambda n, far=far: objective(n, far, settings(entropy=0.0, value=0.0))[0])(net)
        assert (np.abs(g.actor.layers[0].weight).max() == 0) == still


def test_targets_are_constants() -> None:
    """Training the critic through its own targets is another method; here no gradient goes through them."""
    net = network()
    world = begin(cr.rl.cart_pole(), 4, cr.random.key(0))
    _, batch, _, _ = play(cr.rl.cart_pole(), lambda x, k: (net.sample(x, k),) * 2, world, 8, cr.random.key(1), False)
    through = cr.grad(lambda n: np.sum(prepare(n, batch, settings()).target))(net)
    assert np.abs(through.critic.layers[0].weight).max() == 0


def test_it_learns_and_repeats_itself() -> None:
    """CartPole in the graph, judged in Gymnasium's own; who acts at random is at 22."""
    agent = cr.rl.ppo("CartPole-v1", key=cr.random.key(0), steps=24_576)
    theirs = gymnasium.make("CartPole-v1")
    returns = list[float]()
    for seed in range(10):
        x, _ = theirs.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            x, r, terminated, truncated, _ = theirs.step(agent.act(x))
            total, over = total + float(r), terminated or truncated
        returns.append(total)
    assert np.mean(returns) >= 120
    assert agent.evaluate(50).mean() >= 120
    h = agent.history
    assert h.steps[-1] == 24_576
    assert list(h) == ["steps", "episodes", "returns", "policy_loss", "value_loss", "entropy"]
    again = cr.rl.ppo("CartPole-v1", key=cr.random.key(0), steps=24_576)
    for name, column in h.items():
        np.testing.assert_array_equal(column, again.history[name])
    np.testing.assert_array_equal(agent.net.actor.layers[0].weight, again.net.actor.layers[0].weight)


def test_gymnasium_is_played_the_same_way() -> None:
    """Its own CartPole: the same hyperparameters learn there too, and the key decides everything."""
    made = [cr.rl.ppo(gymnasium.make("CartPole-v1"), key=cr.random.key(1), steps=2_560, **SMALL) for _ in range(2)]
    a, b = (m.history for m in made)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert a.steps.tolist() == list(range(128, 2_561, 128))
    assert np.nanmean(a.returns[-3:]) > np.nanmean(a.returns[:3])


def test_normal_policies_stay_in_the_space() -> None:
    agent = cr.rl.ppo("Pendulum-v1", key=cr.random.key(0), steps=512, **SMALL)
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    assert agent.act(x[0]).shape == (1,)
    for actions in (agent.act(x), agent.act(x, cr.random.key(0))):
        assert actions.shape == (100, 1)
        assert np.abs(actions).max() <= 2
    assert agent.history.entropy[0] == pytest.approx(0.5 * np.log(2 * np.pi * np.e), abs=0.02)


def test_log_densities_of_normal_policies_are_scipys() -> None:
    from scipy import stats

    net = actor_critic_network(
        cr.rl.Box((3,), (-1.0,) * 3, (1.0,) * 3), cr.rl.Box((2,), (-1.0,) * 2, (1.0,) * 2), (8,), cr.random.key(0)
    )
    net = cr.nn.module.replaced(net, log_std=np.array([0.3, -0.5], np.float32))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    a = net.sample(x, cr.random.key(1))
    log_p, entropy = net.judged(x, a)
    np.testing.assert_allclose(log_p, stats.norm(net.outputs(x), np.exp(net.log_std)).logpdf(a).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(entropy, stats.norm(0, np.exp(net.log_std)).entropy().sum(), rtol=1e-5)


class Broken(gymnasium.Env[Any, Any]):
    """Gives NaN for a reward in its third step."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return np.zeros(2, np.float32), np.nan if self.time == 3 else 1.0, False, False, {}


def test_bad_input_is_named() -> None:
    key = cr.random.key(0)
    with pytest.raises(ValueError, match="Did you mean CartPole-v1"):
        cr.rl.ppo("CartPole-v7", key=key, steps=4096)
    with pytest.raises(ValueError, match="Did you mean Pendulum-v1"):
        cr.rl.ppo("pendulum-v1", key=key, steps=4096)
    with pytest.raises(ValueError, match="Broken gave the reward nan"):
        cr.rl.ppo(Broken(), key=key, steps=512, **SMALL)
    e = cr.rl.cart_pole()
    broken = cr.rl.Environment(
        "Mine",
        *[getattr(e, n) for n in ("observations", "actions", "limit", "reset")],
        lambda s, a, k: (s, np.full(s.shape[0], np.nan), s[:, 0] > 9),
        e.observe,
    )
    with pytest.raises(ValueError, match="Mine gave a reward that is NaN"):
        cr.rl.ppo(broken, key=key, steps=512, engine="numpy", **SMALL)
    with pytest.raises(TypeError, match=r"env is the name .* not 3"):
        cr.rl.ppo(3, key=key, steps=4096)
    with pytest.raises(ValueError, match="steps=100 is less"):
        cr.rl.ppo("CartPole-v1", key=key, steps=100)
    with pytest.raises(ValueError, match="7 minibatches"):
        cr.rl.ppo("CartPole-v1", key=key, steps=4096, minibatches=7)
    with pytest.raises(ArithmeticError, match="lower learning_rate"):
        cr.rl.ppo("CartPole-v1", key=key, steps=4096, learning_rate=1e30, max_norm=1e30)


@pytest.mark.slow
def test_nine_of_ten_seeds_solve_cart_pole() -> None:
    """A mean return of 475 over 100 episodes within 300,000 steps."""
    solved = [
        cr.rl.ppo("CartPole-v1", key=cr.random.key(k), steps=300_000).evaluate(100, key=cr.random.key(100 + k)).mean() >= 475
        for k in range(10)
    ]
    assert sum(solved) >= 9
