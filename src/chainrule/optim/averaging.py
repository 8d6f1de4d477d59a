"""Averages of the iterates: they forget the noise that a constant step leaves in the last one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule.optim.rule import Atom, Tree, counter, each, times

__all__ = ["Average", "average", "ema", "polyak_averaging"]


class Average(NamedTuple):
    """Number of steps taken, and the average of the parameters."""

    count: Any
    mean: Tree


def _averaging(weight: Any) -> Atom:
    """mean <- mean + weight(k) (x - mean) after each step; the parameters themselves are left alone."""

    def after(params: Tree, s: Average, rate: Any) -> tuple[Tree, Average]:
        w = weight(s.count)
        return params, Average(s.count + 1, each(lambda a, x: a + times(w, x - a), s.mean, params))

    return Atom(lambda params: Average(counter(), each(np.array, params)), after=after)


def polyak_averaging(start: int = 0) -> Atom:
    r"""$\bar x_k = \frac{1}{k - s} \sum_{j=s+1}^{k} x_j$: the mean of the iterates after step s = `start`.

    Read it with `average`.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> rule = cr.optim.chain(cr.optim.sgd(1.0), cr.optim.polyak_averaging())
        >>> x = np.array([0.0]); state = rule.init(x)
        >>> for g in (-1.0, -2.0, -3.0):
        ...     x, state = rule.step(x, np.array([g]), state)
        >>> x, cr.optim.average(state)
        (array([6.]), array([3.33333333]))

    Source: Polyak and Juditsky 1992, equation 4.
    """
    return _averaging(lambda k: 1 / np.maximum(k - start + 1, 1))


def ema(decay: float = 0.999) -> Atom:
    r"""$\bar x \leftarrow \gamma \bar x + (1 - \gamma) x$, from $\bar x = x_0$; read it with `average`."""
    return _averaging(lambda k: 1 - decay)


def average(state: Tree) -> Tree:
    """The average in the state of a rule.

    Args:
        state: state of a rule that has `polyak_averaging` or `ema` in its chain.

    Raises:
        ValueError: if it has neither.
    """
    for s in state:
        if isinstance(s, Average):
            return s.mean
    raise ValueError("the rule keeps no average: put polyak_averaging() or ema() into its chain")
