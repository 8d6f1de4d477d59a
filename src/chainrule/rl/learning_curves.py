"""Learning curves over several keys: one training says little, since the next may go another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from chainrule.ir.graph import Array


class Curves(NamedTuple):
    """Returns against steps.

    Attributes:
        steps: (n,).
        mean: (n,), the mean over the keys.
        low, high: (n,), a 95 % interval of that mean (Student's t).
        each: (keys, n).
        agents: The agents.
    """

    steps: Array
    mean: Array
    low: Array
    high: Array
    each: Array
    agents: tuple[Any, ...]


def learning_curves(train: Callable[[Any], Any], keys: Sequence[Any], points: int = 50) -> Curves:
    """Train once with each key.

    Args:
        train: key -> agent.
        keys: Random keys, two or more.
        points: Points of a curve; each is the mean return of the episodes that ended in a stretch of the training, or where none
            did, that of the stretch before.

    Returns:
        `Curves`; ``cr.plot.curves`` draws them.

    Example:
        >>> import chainrule as cr
        >>> train = lambda key: cr.rl.q_learning("FrozenLake-v1", episodes=5000, key=key)
        >>> found = cr.rl.learning_curves(train, cr.random.split(cr.random.key(0), 5), points=10)
        >>> bool(found.low[-1] > found.mean[0])
        True
    """
    if len(keys) < 2:
        raise ValueError("an interval needs two keys or more")
    agents = tuple(train(key) for key in keys)
    last = min(int(a.history["steps"][-1]) for a in agents)
    edges = np.linspace(0, last, points + 1)
    each = np.stack([_stretches(a.history, edges) for a in agents])
    with np.errstate(invalid="ignore"):
        n = np.sum(np.isfinite(each), 0)
        mean = np.nanmean(np.where(n > 0, each, 0.0), 0)
        spread = np.sqrt(np.nansum((each - mean) ** 2, 0) / np.maximum(n - 1, 1))
    student: Any = special.stdtrit
    half = student(np.maximum(n - 1, 1), 0.975) * spread / np.sqrt(np.maximum(n, 1))
    return Curves(edges[1:], mean, mean - half, mean + half, each, agents)


def _stretches(history: Any, edges: Array) -> Array:
    """The mean return of the episodes that ended between neighbouring edges."""
    steps, returns = history["steps"], history["returns"]
    weights = np.where(np.isfinite(returns), history.get("episodes", 1), 0)
    where = np.clip(np.searchsorted(edges, steps, "left") - 1, 0, len(edges) - 2)
    inside = steps <= edges[-1]
    count = np.bincount(where[inside], weights[inside], len(edges) - 1)
    total = np.bincount(where[inside], (weights * np.where(weights > 0, returns, 0.0))[inside], len(edges) - 1)
    found, latest = np.full(len(count), np.nan), np.nan
    for k in range(len(count)):
        latest = total[k] / count[k] if count[k] else latest
        found[k] = latest
    return found


__all__ = ["Curves", "learning_curves"]
