r"""Proximal policy optimisation (Schulman et al. 2017), from the objective to its training.

With $r(\theta) = \pi_\theta(a \mid s) / \pi_{\text{old}}(a \mid s)$ and advantages A of what the old policy has played,

$$L(\theta) = E \min\bigl(r(\theta) A,\ \operatorname{clip}(r(\theta), 1 - \epsilon, 1 + \epsilon) A\bigr):$$

a step that has moved the policy by more than $\epsilon$ to its advantage has no gradient any more, so that the same
steps can be learned from several times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, optim, random
from chainrule.calculus import grad
from chainrule.flow import scan, stop_gradient
from chainrule.rl.advantage import generalised_advantages, normalised
from chainrule.rl.agent import Agent
from chainrule.rl.policy import ActorCritic, actor_critic_network
from chainrule.rl.rollout import Batch
from chainrule.rl.table import checked_discount
from chainrule.rl.training import Algorithm, train


class Settings(NamedTuple):
    """The hyperparameters of `ppo`."""

    discount: float
    decay: float
    clip: float
    epochs: int
    minibatches: int
    learning_rate: float
    anneal: bool
    entropy: float
    value: float
    max_norm: float
    copies: int
    horizon: int
    hidden: tuple[int, ...]


class Sample(NamedTuple):
    """What the objective needs of each step; all but the parameters' own functions are constants in it."""

    observation: Any
    action: Any
    log_prob: Any
    advantage: Any
    target: Any


def objective(net: ActorCritic, s: Sample, h: Settings) -> tuple[Any, Any]:
    """The loss of a minibatch, and (policy loss, value loss, entropy)."""
    log_prob, entropy = net.judged(s.observation, s.action)
    ratio = np.exp(log_prob - s.log_prob)
    advantage = normalised(s.advantage)
    clipped = np.clip(ratio, 1 - h.clip, 1 + h.clip)
    policy = -np.mean(np.minimum(ratio * advantage, clipped * advantage))
    value = np.mean(np.square(net.value(s.observation) - s.target)) / 2
    entropy = np.mean(entropy)
    return policy + h.value * value - h.entropy * entropy, (policy, value, entropy)


def prepare(net: ActorCritic, b: Batch, h: Settings) -> Sample:
    """Advantages and targets of what was played, one row per step."""
    values, following = net.value(b.observation), net.value(b.following)
    advantage = generalised_advantages(b.reward, values, following, b.terminated, b.truncated, h.discount, h.decay)
    log_prob, _ = net.judged(b.observation, b.action)
    s = Sample(b.observation, b.action, log_prob, advantage, advantage + values)
    return Sample(*[stop_gradient(x.reshape((-1, *x.shape[2:]))) for x in s])


@lru_cache
def algorithm(h: Settings) -> Algorithm:
    """PPO with these hyperparameters."""

    def rule(rate: Any) -> optim.Rule:
        return optim.chain(optim.clip_by_global_norm(h.max_norm), optim.adam(lambda k: rate, eps=1e-5))

    def init(observations: Any, actions: Any, key: Any) -> Any:
        net = actor_critic_network(observations, actions, h.hidden, key)
        return net, rule(h.learning_rate).init(net)

    def update(net: Any, state: Any, batch: Batch, key: Any, progress: Any) -> Any:
        data = prepare(net, batch, h)
        rows = data.log_prob.shape[0]
        rate = h.learning_rate * (1 - progress) if h.anneal else h.learning_rate

        def step(learner: Any, rows: Any) -> Any:
            net, state = learner
            part = Sample(*[x[rows] for x in data])
            grads = grad(lambda n: objective(n, part, h)[0])(net)
            return rule(rate).step(net, grads, state), None

        def epoch(learner: Any, key: Any) -> Any:
            return scan(step, learner, random.permutation(key, rows).reshape(h.minibatches, -1))

        (net, state), _ = scan(epoch, (net, state), random.split(key, h.epochs))
        return net, state, objective(net, data, h)[1]

    return Algorithm("PPO", init, update, ("policy_loss", "value_loss", "entropy"), h.copies, h.horizon)


@errors.boundary
def ppo(
    env: Any,
    *,
    key: Any,
    steps: int,
    discount: float = 0.99,
    decay: float = 0.95,
    clip: float = 0.2,
    epochs: int = 10,
    minibatches: int = 4,
    learning_rate: float = 1e-3,
    anneal: bool = True,
    entropy: float = 0.0,
    value: float = 0.5,
    max_norm: float = 0.5,
    envs: int = 8,
    horizon: int = 128,
    hidden: Sequence[int] = (64, 64),
    engine: str | None = "native",
    after: Callable[[Agent], object] | None = None,
) -> Agent:
    r"""Learn a policy by proximal policy optimisation.

    Args:
        env: The name of one of Gymnasium's environments (CartPole-v1 and FrozenLake-v1 are played in the graph, with rollouts and
            updates in one compiled loop), an environment of Gymnasium's, or a `cr.rl.Environment`.
        key: Random key, or a number.
        steps: How many steps of the environment may be taken, over all copies.
        discount: $\gamma$.
        decay: $\lambda$ of the advantages.
        clip: $\epsilon$.
        epochs: How often each step is learned from.
        minibatches: Parts of a batch of envs x horizon steps, one update each.
        learning_rate: Of Adam.
        anneal: Lower the rate to 0 over the training.
        entropy: Weight of the policy's entropy, which is raised.
        value: Weight of the values' mean square error.
        max_norm: Bound of the gradient's norm.
        envs: Copies of the environment.
        horizon: Steps of each copy between updates.
        hidden: Units of the hidden layers of both networks.
        engine: What compiles; the numpy engine makes the same steps, many times slower.
        after: Called with the agent after each part of the training: to show progress, to save.

    Returns:
        An `Agent`: ``agent.act(observation)``, ``agent.evaluate()``, ``agent.history``.

    Raises:
        ValueError: There is no such environment, or it gives rewards that are NaN.
        ArithmeticError: The training diverged.

    Example:
        >>> import chainrule as cr
        >>> agent = cr.rl.ppo("CartPole-v1", key=cr.random.key(0), steps=4096)
        >>> agent.act([0.0, 0.0, 0.1, 0.5])
        1

    Source: Schulman, Wolski, Dhariwal, Radford and Klimov 2017, equation 7 and algorithm 1; as they do, the advantages of each
    minibatch are brought to mean 0 and deviation 1.  The values' own clipping, which is not in the paper, is left out.
    """
    h = Settings(
        checked_discount(discount), decay, clip, epochs, minibatches, learning_rate, anneal, entropy, value, max_norm,
        envs, horizon, tuple(hidden),
    )  # fmt: skip
    if envs * horizon % minibatches:
        raise ValueError(f"{envs} x {horizon} steps do not divide into {minibatches} minibatches")
    return train(env, algorithm(h), key, steps, engine, after)


__all__ = ["Sample", "Settings", "algorithm", "objective", "ppo", "prepare"]
