r"""Advantage actor-critic (A2C; Mnih et al. 2016), from the gradient to its training.

The actor follows $E\, \nabla \ln \pi(a_t \mid s_t)\, A_t$ and the critic lowers $(V(s_t) - R_t)^2$, where both A and
$R_t = A_t + V(s_t)$ come from a few steps that the current policy has just played, and are constants: a gradient that went
through them would let the critic bring its targets to its values in the place of its values to the targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, optim
from chainrule.calculus import grad
from chainrule.flow import stop_gradient
from chainrule.rl.advantage import generalised_advantages, normalised
from chainrule.rl.agent import Agent
from chainrule.rl.policy import ActorCritic, actor_critic_network
from chainrule.rl.rollout import Batch
from chainrule.rl.table import checked_discount
from chainrule.rl.training import Algorithm, train


class Settings(NamedTuple):
    """The hyperparameters of `actor_critic`."""

    discount: float
    decay: float
    learning_rate: float
    anneal: bool
    entropy: float
    value: float
    max_norm: float
    copies: int
    horizon: int
    hidden: tuple[int, ...]


def objective(net: ActorCritic, b: Batch, h: Settings) -> tuple[Any, Any]:
    """The loss of a batch, and (policy loss, value loss, entropy)."""
    log_prob, entropy = net.judged(b.observation, b.action)
    values = net.value(b.observation)
    following = stop_gradient(net.value(b.following))
    fixed = stop_gradient(values)
    advantage = generalised_advantages(b.reward, fixed, following, b.terminated, b.truncated, h.discount, h.decay)
    policy = -np.mean(log_prob * normalised(advantage))
    value = np.mean(np.square(values - (advantage + fixed))) / 2
    entropy = np.mean(entropy)
    return policy + h.value * value - h.entropy * entropy, (policy, value, entropy)


@lru_cache
def algorithm(h: Settings) -> Algorithm:
    """A2C with these hyperparameters."""

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

    return Algorithm("A2C", init, update, ("policy_loss", "value_loss", "entropy"), h.copies, h.horizon)


@errors.boundary
def actor_critic(
    env: Any,
    *,
    key: Any,
    steps: int,
    discount: float = 0.99,
    decay: float = 0.95,
    learning_rate: float = 2e-3,
    anneal: bool = True,
    entropy: float = 0.0,
    value: float = 0.5,
    max_norm: float = 0.5,
    envs: int = 16,
    horizon: int = 5,
    hidden: Sequence[int] = (64, 64),
    engine: str | None = "native",
    after: Callable[[Agent], object] | None = None,
) -> Agent:
    r"""Learn a policy by the advantage actor-critic.

    Args:
        env, key, steps, engine, after: As for `ppo`.
        discount: $\gamma$.
        decay: $\lambda$ of the advantages; 1 makes them returns of n steps, as in the paper.
        learning_rate: Of Adam.
        anneal: Lower the rate to 0 over the training.
        entropy: Weight of the policy's entropy, which is raised.
        value: Weight of the values' mean square error.
        max_norm: Bound of the gradient's norm.
        envs: Copies of the environment.
        horizon: Steps of each copy between updates.
        hidden: Units of the hidden layers of both networks.

    Returns:
        An `Agent`.

    Raises:
        ValueError, ArithmeticError: As for `ppo`.

    Example:
        >>> import chainrule as cr
        >>> agent = cr.rl.actor_critic("CartPole-v1", key=cr.random.key(0), steps=8192)
        >>> agent.act([0.0, 0.0, 0.1, 0.5])
        1

    Source: Mnih et al. 2016, algorithm S3, with copies that play in step in the place of threads; advantages as Schulman et al.
    2016, brought to mean 0 and deviation 1, and Adam in the place of RMSProp.
    """
    h = Settings(checked_discount(discount), decay, learning_rate, anneal, entropy, value, max_norm, envs, horizon, tuple(hidden))
    return train(env, algorithm(h), key, steps, engine, after)


__all__ = ["Settings", "actor_critic", "algorithm", "objective"]
