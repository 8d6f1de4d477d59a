r"""REINFORCE (Williams 1992): whole episodes, and the gradient of their expected return.

$$\nabla J = E \sum_t \nabla \ln \pi(a_t \mid s_t)\, (G_t - b(s_t)), \qquad G_t = \sum_{k \ge t} \gamma^{k - t} r_k.$$

The baseline b is learned along with the policy, as V; it takes away variance and adds no bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, optim
from chainrule.calculus import grad
from chainrule.flow import scan, stop_gradient
from chainrule.rl.agent import Agent
from chainrule.rl.gymnasium import environment
from chainrule.rl.policy import ActorCritic, actor_critic_network
from chainrule.rl.rollout import Batch
from chainrule.rl.table import checked_discount
from chainrule.rl.training import Algorithm, train


class Settings(NamedTuple):
    """The hyperparameters of `reinforce`."""

    discount: float
    baseline: bool
    learning_rate: float
    anneal: bool
    entropy: float
    value: float
    max_norm: float
    episodes: int
    longest: int
    hidden: tuple[int, ...]


def returns(b: Batch, following: Any, discount: float) -> Any:
    r"""$G_t = r_t + \gamma G_{t+1}$ of whole episodes, (T, episodes).

    Nothing follows an end of the process.  Where an episode was only cut off, `following` (the value of the state after each
    step; 0 where there is no baseline) stands for the rest.
    """
    last = b.terminated | b.truncated

    def back(g: Any, x: Any) -> Any:
        reward, end, over, after, valid = x
        g = np.where(valid, reward + discount * np.where(end, 0.0, np.where(over, after, g)), after)
        return g, g

    dtype = following.dtype
    return scan(back, following[-1], (b.reward.astype(dtype), b.terminated, last, following, b.valid), reverse=True)[1].astype(
        dtype
    )


def objective(net: ActorCritic, b: Batch, h: Settings) -> tuple[Any, Any]:
    """The loss of a batch of episodes, and (policy loss, value loss, entropy)."""
    log_prob, entropy = net.judged(b.observation, b.action)
    counts = b.valid.astype(log_prob.dtype)
    n = np.sum(counts)
    values = net.value(b.observation) if h.baseline else np.zeros_like(log_prob)
    following = stop_gradient(net.value(b.following)) if h.baseline else np.zeros_like(log_prob)
    g = returns(b, following, h.discount)
    weight = g - stop_gradient(values)
    spread = np.sqrt(np.sum(counts * np.square(weight)) / n) + 1e-8  # one scale for all: it turns no gradient
    policy = -np.sum(counts * log_prob * weight / spread) / n
    value = np.sum(counts * np.square(values - g)) / n / 2
    entropy = np.sum(counts * entropy) / n
    return policy + h.value * value - h.entropy * entropy, (policy, value, entropy)


@lru_cache
def algorithm(h: Settings) -> Algorithm:
    """REINFORCE with these hyperparameters."""

    def rule(rate: Any) -> optim.Rule:
        return optim.chain(optim.clip_by_global_norm(h.max_norm), optim.adam(lambda k: rate, eps=1e-5))

    def init(observations: Any, actions: Any, key: Any) -> Any:
        net = actor_critic_network(observations, actions, h.hidden, key)
        return net, rule(h.learning_rate).init(net)

    def update(net: Any, state: Any, batch: Batch, key: Any, progress: Any) -> Any:
        grads = grad(lambda n: objective(n, batch, h)[0])(net)
        rate = h.learning_rate * (1 - progress) if h.anneal else h.learning_rate
        net, state = rule(rate).step(net, grads, state)
        return net, state, objective(net, batch, h)[1]

    return Algorithm("REINFORCE", init, update, ("policy_loss", "value_loss", "entropy"), h.episodes, h.longest, whole=True)


@errors.boundary
def reinforce(
    env: Any,
    *,
    key: Any,
    steps: int,
    discount: float = 0.99,
    baseline: bool = True,
    learning_rate: float = 1e-2,
    anneal: bool = True,
    entropy: float = 0.0,
    value: float = 0.5,
    max_norm: float = 1.0,
    episodes: int = 8,
    longest: int | None = None,
    hidden: Sequence[int] = (64,),
    engine: str | None = "native",
    after: Callable[[Agent], object] | None = None,
) -> Agent:
    r"""Learn a policy by REINFORCE.

    Args:
        env, key, steps, engine, after: As for `ppo`.
        discount: $\gamma$.
        baseline: Learn V and subtract it.
        learning_rate: Of Adam.
        anneal: Lower the rate to 0 over the training.
        entropy: Weight of the policy's entropy, which is raised.
        value: Weight of the values' mean square error.
        max_norm: Bound of the gradient's norm.
        episodes: Episodes of an update.
        longest: Steps of the longest episode; the environment's limit if None.
        hidden: Units of the hidden layers.

    Returns:
        An `Agent`.

    Raises:
        ValueError, ArithmeticError: As for `ppo`.

    Example:
        >>> import chainrule as cr
        >>> agent = cr.rl.reinforce("CartPole-v1", key=cr.random.key(0), steps=8192)
        >>> agent.act([0.0, 0.0, 0.1, 0.5])
        1

    Source: Williams 1992; Sutton and Barto 2018, section 13.4.  As everybody does, it leaves out the factor $\gamma^t$ of each
    step (`policy_gradient_estimate` has it), and divides by the size of the weights, which changes no direction.
    """
    e = environment(env)
    longest = longest or e.limit
    if longest is None:
        raise ValueError(f"{e.name} does not limit its episodes: say longest=")
    h = Settings(
        checked_discount(discount), baseline, learning_rate, anneal, entropy, value, max_norm, episodes, longest, tuple(hidden)
    )
    return train(e, algorithm(h), key, steps, engine, after)


__all__ = ["Settings", "algorithm", "objective", "reinforce", "returns"]
