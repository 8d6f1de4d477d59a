"""What the algorithms with networks share: play some steps, update, again; in the graph as one compiled loop.

An algorithm is two functions, `Algorithm.init` and `Algorithm.update`.  In an environment of the graph the loop over iterations
(play, then update) is a `scan` that is compiled once; in one of Gymnasium's, Python plays, with a compiled policy, and the
update is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from chainrule import random
from chainrule.compilation import jit
from chainrule.flow import cond, scan
from chainrule.rl.agent import Agent, History
from chainrule.rl.environment import Environment, Space
from chainrule.rl.gymnasium import Gym, Players, environment
from chainrule.rl.rollout import as_key, begin, play, play_gymnasium

_TOGETHER = 16
"""Iterations in one call of the compiled loop: its result is looked at (and Ctrl-C is heard) in between."""


class Algorithm(NamedTuple):
    """An algorithm that learns a network from what is played.

    Attributes:
        name: What it is called.
        init: (observations, actions, key) -> (network, state of the optimiser).
        update: (network, state, batch, key, progress) -> (network, state, numbers to report, of the batch
            and the new network); progress goes from 0 to 1.
        reports: The names of these numbers.
        copies: Copies of the environment.
        horizon: Steps of each copy in an iteration.
        whole: Play one whole episode in each copy, of `horizon` steps at most, and not so many steps.
    """

    name: str
    init: Callable[[Space, Space, Any], tuple[Any, Any]]
    update: Callable[[Any, Any, Any, Any, Any], tuple[Any, Any, tuple[Any, ...]]]
    reports: tuple[str, ...]
    copies: int
    horizon: int
    whole: bool = False


class Report(NamedTuple):
    """Of an iteration: steps until then, episodes that ended in it and the sum of their returns, what `update` tells."""

    steps: Any
    episodes: Any
    returns: Any
    told: tuple[Any, ...]


def train(env: Any, algorithm: Algorithm, key: Any, steps: int, engine: str | None, after: Any = None) -> Agent:
    """Train on at most so many steps of an environment.

    Args:
        env: As for `environment`.
        algorithm: What to do.
        key: Random key.
        steps: How many steps of the environment may be taken.
        engine: The engine that compiles.
        after: Called with the agent now and then: to show progress, to save.
    """
    e = environment(env)
    a, b = random.split(as_key(key))
    size = algorithm.copies * algorithm.horizon
    if steps < size:
        raise ValueError(
            f"{algorithm.name} plays {algorithm.copies} x {algorithm.horizon} steps at a time; steps={steps} is less"
        )
    learner = algorithm.init(e.observations, e.actions, a)
    loop = _in_the_graph(e, algorithm, learner, b, steps, engine) if isinstance(e, Environment) else None
    reports, net = list[Report](), learner[0]
    for net, part in loop or _in_gymnasium(e, algorithm, learner, b, steps, engine):  # type: ignore[arg-type]
        _check(e.name, algorithm, part)
        reports.append(part)
        if after is not None:
            after(Agent(algorithm.name, e, net, _history(reports, algorithm)))
    return Agent(algorithm.name, e, net, _history(reports, algorithm))


def _check(name: str, algorithm: Algorithm, r: Report) -> None:
    if not np.all(np.isfinite(r.returns)):
        raise ValueError(f"{name} gave a reward that is NaN or infinite")
    for what, x in zip(algorithm.reports, r.told, strict=True):
        if not np.all(np.isfinite(x)):
            raise ArithmeticError(
                f"training diverged within {int(np.max(r.steps))} steps: {what} is not finite; lower learning_rate"
            )


def _history(reports: list[Report], algorithm: Algorithm) -> History:
    steps, episodes, returns = (np.concatenate([np.atleast_1d(r[k]) for r in reports]) for k in range(3))
    with np.errstate(invalid="ignore"):
        columns = {"steps": steps, "episodes": episodes, "returns": returns / episodes}
    for k, name in enumerate(algorithm.reports):
        columns[name] = np.concatenate([np.atleast_1d(r.told[k]) for r in reports])
    played = np.flatnonzero(np.diff(steps, prepend=0))  # the others came after the last step
    return History({name: c[played] for name, c in columns.items()})


def _in_the_graph(
    env: Environment, algorithm: Algorithm, learner: Any, key: Any, steps: int, engine: str | None
) -> Iterator[tuple[Any, Report]]:
    start, key = random.split(key)
    carry: Any = (*learner, begin(env, algorithm.copies, start), np.zeros((), np.int64))
    loop, size, k = compiled_loop(env, algorithm, engine), algorithm.copies * algorithm.horizon, 0
    while int(carry[3]) + size <= steps:
        carry, report = loop(carry, random.split(random.fold_in(key, k), _TOGETHER), np.asarray(steps))
        k += 1
        yield carry[0], report


@lru_cache(maxsize=32)
def compiled_loop(env: Environment, algorithm: Algorithm, engine: str | None) -> Callable[..., Any]:
    """(carry, keys, steps) -> (carry, reports): an iteration for each key, as long as there are steps left."""
    size = algorithm.copies * algorithm.horizon

    def iterate(carry: Any, key: Any, steps: Any) -> Any:
        net, state, world, used = carry
        a, b = random.split(key)
        world, batch, over, totals = play(env, _sampled(net), world, algorithm.horizon, a, algorithm.whole)
        net, state, told = algorithm.update(net, state, batch, b, used / steps)
        used = used + np.sum(batch.valid)
        bad = np.where(np.all(np.isfinite(batch.reward)), 0.0, np.nan)
        told = tuple([x.astype(np.float64) for x in told])
        return (net, state, world, used), Report(used, np.sum(over), np.sum(np.where(over, totals, 0.0)) + bad, told)

    def stay(carry: Any, key: Any, steps: Any) -> Any:
        return carry, Report(carry[3], np.zeros((), np.int64), np.zeros(()), (np.zeros(()),) * len(algorithm.reports))

    def loop(carry: Any, keys: Any, steps: Any) -> Any:
        return scan(lambda c, key: cond(c[3] + size <= steps, iterate, stay, c, key, steps), carry, keys)

    return jit(loop, engine=engine)


def _sampled(net: Any) -> Any:
    def choose(seen: Any, key: Any) -> Any:
        action = net.sample(seen, key)
        return action, net.played(action)

    return choose


def _in_gymnasium(
    env: Gym, algorithm: Algorithm, learner: Any, key: Any, steps: int, engine: str | None
) -> Iterator[tuple[Any, Report]]:
    start, key = random.split(key)
    players = Players(env, algorithm.copies, start)
    n = len(players.envs)
    horizon = algorithm.horizon if algorithm.whole else algorithm.horizon * algorithm.copies // n
    sample, update = compiled_parts(algorithm, engine)
    (net, state), used, k = learner, 0, 0
    while used + horizon * n <= steps:
        a, b = random.split(random.fold_in(key, k))
        batch, ended = play_gymnasium(players, lambda x, key, net=net: sample(net, x, key), horizon, a, algorithm.whole)
        net, state, told = update(net, state, batch, b, np.asarray(used / steps))
        used, k = used + int(np.sum(batch.valid)), k + 1
        yield net, Report(used, len(ended), float(np.sum(ended)), told)


@lru_cache(maxsize=32)
def compiled_parts(algorithm: Algorithm, engine: str | None) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The policy, (network, observations, key) -> (actions, actions for the environment), and the update."""
    return jit(lambda net, x, key: _sampled(net)(x, key), engine=engine), jit(algorithm.update, engine=engine)


__all__ = ["Algorithm", "Report", "compiled_loop", "compiled_parts", "train"]
