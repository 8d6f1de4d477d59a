r"""Policies $\pi(a \mid s)$ and values $V(s)$ as networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import nn, random
from chainrule.nn.module import STATIC, Module, replaced
from chainrule.rl.environment import Box, Discrete, Space
from chainrule.special import log_softmax


@dataclass(frozen=True, eq=False, repr=False)
class ActorCritic(Module):
    r"""A policy and a value, one network each.

    Where actions are whole numbers, the actor's outputs are logits; where they are arrays, they are the mean of a normal
    distribution of actions in units of half the range of the space, whose deviation does not depend on the state.

    Attributes:
        actor: Features to logits or means.
        critic: Features to V.
        log_std: Of a normal policy.
        observations, actions: The spaces.
    """

    actor: nn.MLP
    critic: nn.MLP
    log_std: Any
    observations: Space = field(metadata=STATIC)
    actions: Space = field(metadata=STATIC)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """The best action: observations (..., *shape) to actions."""
        out = self.outputs(x)
        return np.argmax(out, -1) if isinstance(self.actions, Discrete) else self._in_range(out)

    def features(self, x: Any) -> Any:
        """Observations as the networks take them: numbers of states as unit vectors, arrays flattened; float32."""
        if isinstance(self.observations, Discrete):
            return (x[..., None] == np.arange(self.observations.n)).astype(np.float32)
        n = len(self.observations.shape)
        lead = x.shape[: len(x.shape) - n]
        return x.reshape((*lead, math.prod(self.observations.shape))).astype(np.float32)

    def outputs(self, x: Any) -> Any:
        """Logits, or means."""
        return self.actor(self.features(x))

    def value(self, x: Any) -> Any:
        """V: observations (..., *shape) to (...)."""
        return self.critic(self.features(x))[..., 0]

    def sample(self, x: Any, key: Any) -> Any:
        """A random action for each observation, as the networks see it (see `played`)."""
        out = self.outputs(x)
        if isinstance(self.actions, Discrete):
            return random.categorical(key, out)
        return out + np.exp(self.log_std) * random.normal(key, out.shape, np.float32)

    def played(self, action: Any) -> Any:
        """A sampled action as the environment takes it."""
        return action if isinstance(self.actions, Discrete) else self._in_range(action)

    def judged(self, x: Any, action: Any) -> tuple[Any, Any]:
        r"""$\ln \pi(a \mid s)$ and the entropy of $\pi(\cdot \mid s)$."""
        out = self.outputs(x)
        if isinstance(self.actions, Discrete):
            log_p = log_softmax(out, axis=-1)
            chosen = action[..., None] == np.arange(self.actions.n)
            return np.sum(np.where(chosen, log_p, 0), -1), -np.sum(np.exp(log_p) * log_p, -1)
        z = (action - out) * np.exp(-self.log_std)
        constant = np.float32(0.5 * math.log(2 * math.pi))
        log_density = -np.sum(np.square(z) / 2 + self.log_std + constant, -1)
        return log_density, np.sum(self.log_std + constant + np.float32(0.5)) + 0 * log_density

    def _in_range(self, a: Any) -> Any:
        s = self.actions
        assert isinstance(s, Box)
        low, high = (np.asarray(b, np.float32) for b in (s.low, s.high))
        bounded = np.isfinite(low) & np.isfinite(high)
        middle, half = np.where(bounded, low / 2 + high / 2, 0), np.where(bounded, high / 2 - low / 2, 1)
        a = np.clip(middle.astype(np.float32) + half.astype(np.float32) * a, low, high)
        return a.reshape((*a.shape[:-1], *s.shape))


def actor_critic_network(observations: Space, actions: Space, hidden: Sequence[int], key: Any) -> ActorCritic:
    """Networks with tanh; the actor's last layer is small, so that it starts near the uniform policy."""
    a, b = random.split(key)
    n = observations.n if isinstance(observations, Discrete) else math.prod(observations.shape)
    outputs = actions.n if isinstance(actions, Discrete) else math.prod(actions.shape)
    actor = nn.MLP([n, *hidden, outputs], "tanh", key=a, dtype=np.float32)
    critic = nn.MLP([n, *hidden, 1], "tanh", key=b, dtype=np.float32)
    *rest, last = actor.layers
    actor = replaced(actor, layers=(*rest, replaced(last, weight=last.weight * np.float32(0.01))))
    log_std = None if isinstance(actions, Discrete) else np.zeros(outputs, np.float32)
    return ActorCritic(actor, critic, log_std, observations, actions)


__all__ = ["ActorCritic", "actor_critic_network"]
