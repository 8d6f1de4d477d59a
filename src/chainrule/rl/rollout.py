"""Playing: copies of an environment side by side, in the graph or in Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import random
from chainrule.build.tree import map_tree
from chainrule.flow import scan
from chainrule.rl.environment import Environment
from chainrule.rl.gymnasium import Players

Choose = Callable[[Any, Any], tuple[Any, Any]]
"""(observations, key) -> actions as the networks see them and as the environment takes them."""


class Batch(NamedTuple):
    """What was played: arrays of steps x copies.

    Attributes:
        observation, action, reward: s, a and r.
        following: The observation after the step, in the same episode even where it ends.
        terminated: The process came to its end: nothing follows that is worth anything.
        truncated: The episode was cut off here: what would have followed has a value, which `following` tells.
        valid: False for steps after the end of an episode, which do not count (where whole episodes are played).
    """

    observation: Any
    action: Any
    reward: Any
    following: Any
    terminated: Any
    truncated: Any
    valid: Any


class World(NamedTuple):
    """Where every copy is: its state, the steps of its episode and the rewards so far."""

    state: Any
    time: Any
    total: Any


def as_key(key: Any) -> Any:
    """A random key; a number stands for the key that is made of it."""
    return random.key(key) if isinstance(key, int) else key


def begin(env: Environment, n: int, key: Any) -> World:
    """n new episodes."""
    return World(env.reset(key, n), np.zeros(n, np.int64), np.zeros(n))


def advance(env: Environment, choose: Choose, world: World, key: Any) -> tuple[World, Batch, Any]:
    """One step of every copy; an episode that ends is followed by a new one.

    Returns:
        The new world, the step, and the sum of rewards of each episode up to it.
    """
    a, b, c = random.split(key, 3)
    seen = env.observe(world.state)
    action, played = choose(seen, a)
    state, reward, terminated = env.step(world.state, played, b)
    time, total = world.time + 1, world.total + reward
    cut = np.zeros_like(terminated) if env.limit is None else (time >= env.limit) & ~terminated
    fresh = begin(env, time.shape[0], c)
    batch = Batch(seen, action, reward, env.observe(state), terminated, cut, np.ones_like(cut))
    return _where(terminated | cut, fresh, World(state, time, total)), batch, total


def _where(p: Any, yes: Any, no: Any) -> Any:
    return map_tree(lambda a, b: np.where(p.reshape(p.shape + (1,) * (a.ndim - 1)), a, b), yes, no)


def play(env: Environment, choose: Choose, world: World, horizon: int, key: Any, whole: bool) -> tuple[World, Batch, Any, Any]:
    """So many steps of every copy, in the graph.

    Args:
        env: The environment.
        choose: The policy.
        world: Where the copies are.
        horizon: How many steps.
        key: Random key.
        whole: Begin an episode in every copy and let only its steps count.

    Returns:
        The world afterwards, the batch, where episodes ended (steps x copies), and the sums of rewards up to each step.
    """
    again, key = random.split(key)
    if whole:
        world = begin(env, world.time.shape[0], again)

    def step(carry: Any, key: Any) -> Any:
        world, running = carry
        after, b, total = advance(env, choose, world, key)
        over = (b.terminated | b.truncated) & running
        return (after, running & ~over if whole else running), (b._replace(valid=running), over, total)

    running = np.ones(world.time.shape, bool)
    (world, _), (batch, over, totals) = scan(step, (world, running), random.split(key, horizon))
    return world, batch, over, totals


def play_gymnasium(players: Players, choose: Choose, horizon: int, key: Any, whole: bool) -> tuple[Batch, list[float]]:
    """So many steps of every environment of Gymnasium's, as `play` does it: the batch, and the returns of what ended."""
    rows, ended = list[Batch](), list[float]()
    running = np.ones(len(players.envs), bool)
    if whole:
        players.restart()
    for k in random.split(key, horizon):
        seen = np.stack(players.now)
        action, played = choose(seen, k)
        following, reward, terminated, truncated, returns = players.step(played, running)
        rows.append(Batch(seen, action, reward, following, terminated, truncated, running))
        ended += returns
        if whole:
            running = running & ~(terminated | truncated)
            if not running.any():
                break
    rows += [rows[-1]._replace(valid=running)] * (horizon - len(rows))  # of one shape, so that one compiled update does
    return Batch(*map(np.stack, zip(*rows, strict=True))), ended


__all__ = ["Batch", "Choose", "World", "advance", "as_key", "begin", "play", "play_gymnasium"]
