r"""Environments as functions in the graph, and copies of two of Gymnasium's.

Everything has a leading axis of copies that are played side by side.  The copies give what Gymnasium's own give, step for step:
the same observations, rewards and ends from the same state, action and random number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule import random
from chainrule.rl.table import Outcomes, outcomes


class Discrete(NamedTuple):
    """The whole numbers below n."""

    n: int


class Box(NamedTuple):
    """Arrays of numbers between bounds, which may be infinite; the bounds are given in the order of the flattened array."""

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


Space = Discrete | Box


@dataclass(frozen=True, eq=False)
class Environment:
    """A Markov decision process in the graph.

    Attributes:
        name: What it is called.
        observations, actions: Their spaces.
        limit: Steps after which an episode is cut off (truncated, which is no end of the process), or None.
        reset: (key, n) -> the states of n new episodes.
        step: (states, actions (n,), key) -> (states, rewards (n,), terminated (n,)).
        observe: states -> observations, as Gymnasium gives them.
    """

    name: str
    observations: Space
    actions: Space
    limit: int | None
    reset: Callable[[Any, int], Any]
    step: Callable[[Any, Any, Any], tuple[Any, Any, Any]]
    observe: Callable[[Any], Any]

    def __repr__(self) -> str:
        return f"<environment {self.name} in the graph>"


# --- CartPole -----------------------------------------------------------------------------------------------------------------

_GRAVITY, _CART, _POLE, _HALF_LENGTH, _FORCE, _TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
_TOTAL, _MOMENT = _POLE + _CART, _POLE * _HALF_LENGTH
_FAR, _TILTED = 2.4, 12 * 2 * math.pi / 360


def cart_pole_step(state: Any, action: Any) -> tuple[Any, Any]:
    """Euler's step of the cart and its pole: (..., 4) states and (...) actions to the next states and where they have failed.

    Source: Barto, Sutton and Anderson 1983; the operations, and their order, are those of Gymnasium.
    """
    x, speed, angle, turn = (state[..., k] for k in range(4))
    force = np.where(action == 1, _FORCE, -_FORCE)
    cosine, sine = np.cos(angle), np.sin(angle)
    push = (force + _MOMENT * np.square(turn) * sine) / _TOTAL
    bend = (_GRAVITY * sine - cosine * push) / (_HALF_LENGTH * (4.0 / 3.0 - _POLE * np.square(cosine) / _TOTAL))
    pull = push - _MOMENT * bend * cosine / _TOTAL
    x, speed = x + _TAU * speed, speed + _TAU * pull
    angle, turn = angle + _TAU * turn, turn + _TAU * bend
    failed = (x < -_FAR) | (x > _FAR) | (angle < -_TILTED) | (angle > _TILTED)
    return np.stack([x, speed, angle, turn], -1), failed


@lru_cache
def cart_pole(limit: int | None = 500) -> Environment:
    """Gymnasium's CartPole-v1: a pole on a cart that is pushed left or right; 1 for every step until it falls.

    Args:
        limit: Steps after which an episode is cut off.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> env = cr.rl.cart_pole()
        >>> state = env.reset(cr.random.key(0), 3)
        >>> state, reward, terminated = env.step(state, np.array([0, 1, 1]), cr.random.key(1))
        >>> env.observe(state).shape, reward.tolist(), terminated.tolist()
        ((3, 4), [1.0, 1.0, 1.0], [False, False, False])
    """

    def step(state: Any, action: Any, key: Any) -> tuple[Any, Any, Any]:
        state, failed = cart_pole_step(state, action)
        return state, np.ones(state.shape[:1]), failed

    high = (2 * _FAR, math.inf, 2 * _TILTED, math.inf)
    return Environment(
        "CartPole-v1",
        Box((4,), tuple(-h for h in high), high),
        Discrete(2),
        limit,
        lambda key, n: random.uniform(key, (n, 4), -0.05, 0.05),
        step,
        lambda state: state.astype(np.float32),
    )


# --- processes with finitely many states ------------------------------------------------------------------------------------


def of_outcomes(name: str, o: Outcomes, start: Any, limit: int | None) -> Environment:
    """The environment that a table of outcomes describes: one uniform number u per step, drawn from its key by
    ``cr.random.uniform(key, (n,))``, chooses the first outcome whose cumulated probability exceeds u.

    Args:
        name: What it is called.
        o: Outcomes of each state and action.
        start: (S,), the probabilities of the first state.
        limit: Steps after which an episode is cut off.
    """
    states, actions, _ = o.cumulated.shape
    first = np.cumsum(start)
    rewards = o.rewards.astype(np.float64)

    def reset(key: Any, n: int) -> Any:
        return np.argmax(first > random.uniform(key, (n, 1)), -1)

    def step(state: Any, action: Any, key: Any) -> tuple[Any, Any, Any]:
        u = random.uniform(key, state.shape)
        row = state * actions + action
        k = np.argmax(_rows(o.cumulated, row) > u[:, None], -1)
        return tuple(_picked(_rows(x, row), k) for x in (o.following, rewards, o.terminated))  # type: ignore[return-value]

    return Environment(name, Discrete(states), Discrete(actions), limit, reset, step, lambda state: state)


def _rows(x: Any, row: Any) -> Any:
    return np.take_along_axis(x.reshape(-1, x.shape[-1]), row[:, None], 0)


def _picked(x: Any, k: Any) -> Any:
    return np.take_along_axis(x, k[:, None], 1)[:, 0]


_MAPS = {4: "SFFF FHFH FFFH HFFG", 8: "SFFFFFFF FFFFFFFF FFFHFFFF FFFFFHFF FFFHFFFF FHHFFFHF FHFFHFHF FFFHFFFG"}
_MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))  # left, down, right, up


def frozen_lake_table(size: int = 4, slippery: bool = True) -> dict[int, dict[int, list[tuple[float, int, int, bool]]]]:
    """The table ``env.unwrapped.P`` of Gymnasium's FrozenLake-v1.

    Args:
        size: 4 or 8: the maps that Gymnasium has by name.
        slippery: Go to either side as often as forward.
    """
    if size not in _MAPS:
        raise ValueError(f"there are maps of size 4 and 8, none of size {size}")
    fields = _MAPS[size].replace(" ", "")

    def moved(s: int, a: int) -> tuple[int, int, bool]:
        row, column = (min(max(x + d, 0), size - 1) for x, d in zip(divmod(s, size), _MOVES[a], strict=True))
        new = row * size + column
        return new, int(fields[new] == "G"), fields[new] in "GH"

    def of(s: int, a: int) -> list[tuple[float, int, int, bool]]:
        if fields[s] in "GH":
            return [(1.0, s, 0, True)]
        if not slippery:
            return [(1.0, *moved(s, a))]
        forward = 1.0 / 3.0
        return [(forward if b == a else (1.0 - forward) / 2.0, *moved(s, b)) for b in ((a - 1) % 4, a, (a + 1) % 4)]

    return {s: {a: of(s, a) for a in range(4)} for s in range(size * size)}


@lru_cache
def frozen_lake(size: int = 4, slippery: bool = True, limit: int | None = None) -> Environment:
    """Gymnasium's FrozenLake-v1: cross the ice to the goal without falling into a hole; 1 for the goal.

    Args:
        size: 4 or 8: the maps that Gymnasium has by name.
        slippery: Go to either side as often as forward.
        limit: Steps after which an episode is cut off; as in Gymnasium, 100 on the small map and 200 on the large one.
    """
    o = outcomes(frozen_lake_table(size, slippery))
    name = "FrozenLake-v1" if size == 4 else "FrozenLake8x8-v1"
    return of_outcomes(name, o, np.eye(size * size)[0], limit or (100 if size == 4 else 200))


__all__ = [
    "Box",
    "Discrete",
    "Environment",
    "Space",
    "cart_pole",
    "cart_pole_step",
    "frozen_lake",
    "frozen_lake_table",
    "of_outcomes",
]
