"""What the algorithms with tables share: episodes, step by step; in the graph as one compiled loop.

A `Method` says how to act and what a step teaches.  In an environment of the graph all episodes are one compiled loop (a `scan`
over episodes around a `while_loop` over steps); in one of Gymnasium's, Python steps and calls the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import random
from chainrule.compilation import jit
from chainrule.flow import scan, while_loop
from chainrule.ir.graph import Array
from chainrule.rl.agent import History
from chainrule.rl.environment import Discrete, Environment
from chainrule.rl.gymnasium import Gym, seeds, tabular
from chainrule.rl.rollout import as_key

_LONGEST = 1000
"""Steps of an episode where the environment sets no limit: a greedy policy may go in circles for ever."""


class Step(NamedTuple):
    """One step: $s, a, r, s', a'$ (the action that will be taken next), and whether s' is the end."""

    state: Any
    action: Any
    reward: Any
    following: Any
    next_action: Any
    terminated: Any


class Method(NamedTuple):
    """A method that learns tables.

    Attributes:
        init: (states, actions) -> tables.
        begin: tables -> tables, at the beginning of an episode.
        policy: (tables, state, progress) -> the probabilities of actions; progress goes from 0 to 1.
        update: (tables, step, progress, uniform number) -> tables.
    """

    init: Callable[[int, int], Any]
    begin: Callable[[Any], Any]
    policy: Callable[[Any, Any, Any], Any]
    update: Callable[[Any, Step, Any, Any], Any]


def epsilon_greedy(q: Any, epsilon: Any) -> Any:
    """(A,) action values to probabilities: the best with 1 - epsilon (equals share it), any with epsilon.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.rl.epsilon_greedy(np.array([1.0, 2.0, 2.0, 0.0]), 0.2)
        array([0.05, 0.45, 0.45, 0.05])
    """
    best = (q == np.max(q)).astype(np.float64)
    return epsilon / q.shape[0] + (1 - epsilon) * best / np.sum(best)


def added(x: Any, at: tuple[Any, ...], amount: Any) -> Any:
    """An array with something added to one element."""
    place = at[0] if len(at) == 1 else at[0] * x.shape[1] + at[1]
    flat = x.reshape(-1)  # one long row: the native engine is slow on many short ones
    return np.where(np.arange(flat.shape[0]) == place, flat + amount, flat).reshape(x.shape)


def chosen(probabilities: Any, u: Any) -> Any:
    """The action that a uniform number stands for."""
    total = np.cumsum(probabilities)
    return np.argmax(total > u * total[-1])


class Played(NamedTuple):
    """What episodes have taught: tables, and the return and the length of each episode."""

    tables: Any
    returns: Array
    lengths: Array


def learn(
    env: Any, start: Any, make: Callable[[Environment | Gym], Method], episodes: int, key: Any, engine: str | None
) -> Played:
    """Play episodes and learn from every step.

    Args:
        env: As for `tabular`.
        start: As for `tabular`.
        make: The method for this environment.
        episodes: How many.
        key: Random key.
        engine: The engine that compiles.
    """
    if not hasattr(episodes, "__index__") or episodes < 1:
        raise ValueError(f"episodes is a whole number of at least 1, not {episodes!r}")
    e, key = tabular(env, start), as_key(key)
    found = (
        _in_the_graph(e, make(e), episodes, key, engine) if isinstance(e, Environment) else _stepped(e, make(e), episodes, key)
    )
    if not np.all(np.isfinite(found.returns)):
        raise ValueError(f"{e.name} gave a reward that is NaN or infinite")
    return found


def sizes(env: Environment | Gym) -> tuple[int, int]:
    """States and actions."""
    assert isinstance(env.observations, Discrete)
    assert isinstance(env.actions, Discrete)
    return env.observations.n, env.actions.n


def _in_the_graph(env: Environment, m: Method, episodes: int, key: Any, engine: str | None) -> Played:
    def episode(tables: Any, xs: Any) -> Any:
        progress, key = xs
        first, act, key = random.split(key, 3)
        state = env.reset(first, 1)
        tables = m.begin(tables)
        action = chosen(m.policy(tables, env.observe(state)[0], progress), random.uniform(act))

        def goes_on(c: Any) -> Any:
            return ~c[-1]

        def step(c: Any) -> Any:
            tables, state, action, time, total, _ = c
            move, draw = random.split(random.fold_in(key, time))
            u = random.uniform(draw, (2,))
            after, reward, terminated = env.step(state, action[None], move)
            s, t, r, end = env.observe(state)[0], env.observe(after)[0], reward[0], terminated[0]
            following = chosen(m.policy(tables, t, progress), u[0])
            tables = m.update(tables, Step(s, action, r, t, following, end), progress, u[1])
            time = time + 1
            over = end | (time >= (env.limit or _LONGEST))
            return tables, after, following, time, total + r, over

        begin = (tables, state, action, np.zeros((), np.int64), np.zeros(()), np.zeros((), bool))
        tables, _, _, time, total, _ = while_loop(goes_on, step, begin)
        return tables, (total, time)

    loop = jit(lambda tables, xs: scan(episode, tables, xs), engine=engine)
    tables, (returns, lengths) = loop(m.init(*sizes(env)), (np.arange(episodes) / episodes, random.split(key, episodes)))
    return Played(tables, returns, lengths)


def _stepped(env: Gym, m: Method, episodes: int, key: Any) -> Played:
    tables, returns, lengths = m.init(*sizes(env)), np.zeros(episodes), np.zeros(episodes, np.int64)
    (seed,) = seeds(key, 1)
    uniform = np.random.Generator(np.random.Philox(seed)).random  # one number at a time: keys would take longer than the steps
    for k in range(episodes):
        progress = k / episodes
        state, _ = env.env.reset(seed=seed) if k == 0 else env.env.reset()
        tables = m.begin(tables)
        action, over = chosen(m.policy(tables, state, progress), uniform()), False
        while not over:
            after, reward, terminated, truncated, _ = env.env.step(int(action))
            if not np.isfinite(reward):
                raise ValueError(f"{env.name} gave the reward {reward} in state {state} for the action {action}")
            following = chosen(m.policy(tables, after, progress), uniform())
            tables = m.update(tables, Step(state, action, reward, after, following, terminated), progress, uniform())
            returns[k] += reward
            lengths[k] += 1
            state, action, over = after, following, terminated or truncated or lengths[k] >= (env.limit or _LONGEST)
    return Played(tables, returns, lengths)


def rate(x: Any) -> Callable[[Any], Any]:
    """A learning rate as a function of the number of earlier visits."""
    return x if callable(x) else lambda k: x + 0.0 * k


def exploration_of(x: Any) -> Callable[[Any], Any]:
    """Epsilon as a function of progress: a number, a function, or a pair, which falls from one to the other."""
    if callable(x):
        return x
    first, last = x if isinstance(x, tuple) else (x, x)  # pyright: ignore[reportUnknownVariableType]
    if not (0 <= first <= 1 and 0 <= last <= 1):
        raise ValueError(f"exploration is a probability, a pair of them or a function of progress, not {x!r}")
    return lambda progress: first + (last - first) * progress


class TabularAgent:
    """What a table-based algorithm has learned.

    Attributes:
        action_values: (S, A), Q.
        values: (S,), the largest of each state.
        policy: (S, A), the greedy policy.
        history: "returns" and "steps" (taken until then), one number per episode.
    """

    def __init__(self, action_values: Array, played: Played) -> None:
        self.action_values, self.values = action_values, action_values.max(1)
        self.policy = np.eye(action_values.shape[1])[action_values.argmax(1)]
        self.history = History({"steps": np.cumsum(played.lengths), "returns": played.returns})

    def __repr__(self) -> str:
        states, actions = self.action_values.shape
        return f"TabularAgent({states} states, {actions} actions, {len(self.history.returns)} episodes)"

    def act(self, observation: Any) -> int:
        """The best action."""
        return int(np.argmax(self.action_values[observation]))


__all__ = [
    "Method", "Played", "Step", "TabularAgent", "added", "chosen", "epsilon_greedy", "exploration_of", "learn", "rate", "sizes",
]  # fmt: skip
