"""Gymnasium's environments: found by name, copied, played side by side."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import random
from chainrule.rl.environment import Box, Discrete, Environment, Space, cart_pole, frozen_lake, of_outcomes
from chainrule.rl.table import Table, outcomes, start_distribution, table

_IN_THE_GRAPH: dict[str, Callable[[], Environment]] = {
    "CartPole-v1": cart_pole,
    "FrozenLake-v1": frozen_lake,
    "FrozenLake8x8-v1": lambda: frozen_lake(8),
}
"""Environments that exist as functions in the graph too; they are played there when they are asked for by name."""


class Gym:
    """An environment of Gymnasium's and as many copies of it as are needed.

    Attributes:
        name: What it is called.
        observations, actions: Their spaces.
        limit: Steps after which an episode is cut off, or None.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        self.limit: int | None = env.spec.max_episode_steps if env.spec is not None else None
        self.observations = space(env.observation_space, f"the observations of {self.name}")
        self.actions = space(env.action_space, f"the actions of {self.name}")
        if isinstance(self.actions, Discrete) and getattr(env.action_space, "start", 0) != 0:
            raise ValueError(f"the actions of {self.name} do not start at 0")

    def __repr__(self) -> str:
        return f"<environment {self.name} of Gymnasium>"

    def copies(self, n: int) -> list[Any]:
        """The environment and copies of it, n in all; if it cannot be copied, itself alone."""
        try:
            return [self.env, *[copy.deepcopy(self.env) for _ in range(n - 1)]]
        except Exception:  # an environment may hold anything: a window, a connection
            return [self.env]


def space(s: Any, what: str) -> Space:
    """A space of Gymnasium's."""
    kind = type(s).__name__
    if kind == "Discrete":
        return Discrete(int(s.n))
    if kind == "Box":
        return Box(tuple(s.shape), *[tuple(np.ravel(b).astype(float).tolist()) for b in (s.low, s.high)])
    raise ValueError(f"{what} are a space {s}; there are algorithms for Discrete and Box")


def environment(env: Any, what: str = "env") -> Environment | Gym:
    """What a user has given as an environment.

    Args:
        env: The name of one of Gymnasium's (played in the graph where there is a copy), an environment of Gymnasium's, or an
            `Environment`.
        what: Its name in messages.

    Raises:
        ValueError: There is no environment of this name.
        ImportError: Gymnasium is needed and not installed.
        TypeError: It is no environment.
    """
    if isinstance(env, Environment | Gym):
        return env
    if isinstance(env, str):
        return _IN_THE_GRAPH[env]() if env in _IN_THE_GRAPH else Gym(named(env))
    if hasattr(env, "step") and hasattr(env, "reset") and hasattr(env, "action_space"):
        if hasattr(env, "num_envs"):
            raise TypeError(f"{what} is one environment; copies of it are made here: say envs={env.num_envs}")
        return Gym(env)
    raise TypeError(f"{what} is the name of an environment, an environment of Gymnasium's or a cr.rl.Environment, not {env!r}")


def named(name: str) -> Any:
    """Gymnasium's environment of this name."""
    try:
        import gymnasium
    except ImportError:
        raise ImportError(f'{name} is an environment of Gymnasium. Try: pip install "chainrule[env]"') from None
    try:
        return gymnasium.make(name)
    except gymnasium.error.DependencyNotInstalled as e:
        raise ImportError(f"{name}: {e}") from None
    except gymnasium.error.Error as e:
        near = difflib.get_close_matches(name, list(gymnasium.registry), 3, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else f" {e}"
        raise ValueError(f"there is no environment {name!r}.{hint}") from None


def tabular(env: Any, start: Any = None) -> Environment | Gym:
    """An environment with finitely many states and actions: in the graph if it is a table or asked for by name.

    Args:
        env: As for `environment`, or a Markov decision process as for `table`.
        start: For a process: a state, a distribution, or None (every state alike).
    """
    if isinstance(env, str):
        if env in _IN_THE_GRAPH:
            return _finite(_IN_THE_GRAPH[env]())
        made = named(env)
        p, first = getattr(made.unwrapped, "P", None), getattr(made.unwrapped, "initial_state_distrib", None)
        if p is None or first is None:
            return _finite(Gym(made))
        return of_outcomes(env, outcomes(p), np.asarray(first), made.spec.max_episode_steps)
    if isinstance(env, Environment | Gym) or hasattr(env, "step"):
        return _finite(environment(env))
    t = table(env)
    lists = isinstance(env, Table) or not hasattr(env, "__len__") or len(env) == 2
    return of_outcomes("table", outcomes(t if lists else env), start_distribution(start, len(t.rewards)), None)


def _finite(env: Environment | Gym) -> Environment | Gym:
    for what, s, instead in (
        ("actions", env.actions, "take cr.rl.ppo or cr.rl.actor_critic"),
        ("observations", env.observations, "take cr.rl.ppo, cr.rl.actor_critic or cr.rl.reinforce"),
    ):
        if not isinstance(s, Discrete):
            raise ValueError(
                f"{env.name} has {what} that are arrays {list(s.shape)}; this algorithm needs finitely many: {instead}"
            )
    return env


def seeds(key: Any, n: int) -> list[int]:
    """Seeds for Gymnasium's own generators."""
    return [int(x) for x in random.bits(key, (n,))]


class Players:
    """Environments of Gymnasium's, each in some episode of its own; an episode that ends is followed by a new one."""

    def __init__(self, env: Gym, n: int, key: Any) -> None:
        self.name, self.envs = env.name, env.copies(n)
        self.now = [e.reset(seed=s)[0] for e, s in zip(self.envs, seeds(key, len(self.envs)), strict=True)]
        self.returns = [0.0] * len(self.envs)

    def restart(self) -> None:
        """A new episode in each."""
        self.now = [e.reset()[0] for e in self.envs]
        self.returns = [0.0] * len(self.envs)

    def step(self, actions: Sequence[Any], running: Any) -> tuple[Any, Any, Any, Any, list[float]]:
        """One step of each.

        Args:
            actions: One for each.
            running: Which to play; the others stand still.

        Returns:
            Observations after the step (the last ones of episodes that end), rewards, terminated, truncated, and the returns of
            the episodes that ended.
        """
        n, ended = len(self.envs), list[float]()
        following, rewards = list(self.now), np.zeros(n)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        for k in np.flatnonzero(running).tolist():
            after, reward, end, cut, _ = self.envs[k].step(actions[k])
            if not np.isfinite(reward):
                raise ValueError(f"{self.name} gave the reward {reward} for the action {actions[k]}")
            following[k], rewards[k], terminated[k], truncated[k] = after, reward, end, cut and not end
            self.returns[k] += float(reward)
            if end or cut:
                ended.append(self.returns[k])
                self.returns[k], after = 0.0, self.envs[k].reset()[0]
            self.now[k] = after
        return np.stack(following), rewards, terminated, truncated, ended


__all__ = ["Gym", "Players", "environment", "named", "seeds", "space", "tabular"]
