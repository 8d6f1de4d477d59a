"""What training gives: a policy that acts, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from chainrule import random
from chainrule.compilation import jit
from chainrule.ir.graph import Array
from chainrule.rl.environment import Box, Discrete, Environment
from chainrule.rl.gymnasium import Gym, Players
from chainrule.rl.policy import ActorCritic
from chainrule.rl.rollout import as_key, begin, play, play_gymnasium
from chainrule.train.history import aligned


class History(Mapping[str, Array]):
    """What was measured in training, one number per iteration.

    A column is an item and an attribute: "steps" (taken until then), "episodes" (that ended in the iteration), "returns" (their
    mean return, NaN where none ended), and what the algorithm tells of its updates.
    """

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self.columns = dict(columns)

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __getattr__(self, name: str) -> Array:
        columns = self.__dict__.get("columns", {})
        if name in columns:
            return columns[name]
        raise AttributeError(f"the history has no {name!r}; it has {', '.join(columns)}")

    def __repr__(self) -> str:
        n = len(self.steps)
        shown = range(n) if n <= 20 else sorted({round(k * (n - 1) / 19) for k in range(20)})
        return aligned([list(self.columns), *[[f"{c[k]:.6g}" for c in self.columns.values()] for k in shown]])


class Agent:
    """A trained policy.

    Attributes:
        algorithm: The name of what has trained it.
        env: The environment it was trained in.
        net: Its networks.
        history: How training went, a `History`.
    """

    def __init__(self, algorithm: str, env: Environment | Gym, net: ActorCritic, history: History) -> None:
        self.algorithm, self.env, self.net, self.history = algorithm, env, net, history

    def __repr__(self) -> str:
        steps = self.history.steps
        return f"Agent({self.algorithm}, {self.env.name}, {int(steps[-1]) if len(steps) else 0} steps)"

    def act(self, observation: Any, key: Any = None) -> Any:
        """The most likely action (of a normal policy, its mean), or with a key a random one.

        Args:
            observation: As the environment gives it, or several along a first axis.
            key: Random key.

        Returns:
            What the environment's ``step`` takes; an array with a first axis for several observations.

        Raises:
            ShapeError, ValueError: It is no observation of this environment.
        """
        x = np.asarray(observation)
        shape = self.env.observations.shape if isinstance(self.env.observations, Box) else ()
        if x.shape[x.ndim - len(shape) :] != shape:
            raise ValueError(f"an observation of {self.env.name} has the shape {shape}, not {x.shape}")
        several = x if x.ndim > len(shape) else x[None]
        net = self.net
        action = net(several) if key is None else net.played(net.sample(several, key))
        action = action if x.ndim > len(shape) else action[0]
        return int(action) if isinstance(self.env.actions, Discrete) and x.ndim == len(shape) else action

    def evaluate(self, episodes: int = 100, *, key: Any = None, longest: int | None = None, sample: bool = False) -> Array:
        """The returns of whole episodes.

        Args:
            episodes: How many.
            key: Random key of their beginnings (and of sampled actions); key(0) if None.
            longest: Steps of the longest, where the environment sets no limit.
            sample: Take random actions from the policy in the place of the most likely ones.

        Returns:
            (episodes,).
        """
        horizon = longest or self.env.limit
        if horizon is None:
            raise ValueError(f"{self.env.name} does not limit its episodes: say longest=")
        key = as_key(0 if key is None else key)
        if isinstance(self.env, Environment):
            return _evaluation(self.env, episodes, horizon, sample)(self.net, key)
        start, key = random.split(key)
        returns = list[float]()
        players = Players(self.env, min(episodes, 8), start)
        for k in range(-(-episodes // len(players.envs))):
            chosen = play_gymnasium(players, self._chooser(sample), horizon, random.fold_in(key, k), True)
            returns += np.sum(chosen[0].reward * chosen[0].valid, 0).tolist()
        return np.array(returns[:episodes])

    def _chooser(self, sample: bool) -> Any:
        def choose(seen: Any, key: Any) -> Any:
            action = self.act(seen, key if sample else None)
            return action, action

        return choose


@lru_cache(maxsize=16)
def _evaluation(env: Environment, episodes: int, horizon: int, sample: bool) -> Any:
    def run(net: ActorCritic, key: Any) -> Any:
        def choose(seen: Any, key: Any) -> Any:
            action = net.played(net.sample(seen, key)) if sample else net(seen)
            return action, action

        start, key = random.split(key)
        _, batch, _, _ = play(env, choose, begin(env, episodes, start), horizon, key, True)
        return np.sum(np.where(batch.valid, batch.reward, 0.0), 0)

    return jit(run, engine="native")


__all__ = ["Agent", "History"]
