"""Gradient clipping: by the norm of all gradients together, by value, and by the size of each array."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.build.tree import flatten
from chainrule.optim.rule import Atom, Tree, directed, each, stateless, times

__all__ = ["clip_by_block_rms", "clip_by_global_norm", "clip_by_value", "clipped", "global_norm"]


def global_norm(tree: Tree) -> Any:
    r"""$\lVert g \rVert = \sqrt{\sum_i g_i^2}$ over all elements of all arrays.

    Numerics:
        Divided by the greatest element first, so that squares do not overflow where gradients explode.  The derivative where
        all are 0 is 0.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> print(f"{cr.optim.global_norm({'w': np.array([3e200]), 'b': np.array([4e200])}):.6g}")
        5e+200
    """
    leaves = [x for x in flatten(tree)[0] if np.size(x)]
    if not leaves:
        return np.zeros(())
    top = np.max(np.abs(leaves[0]))
    for x in leaves[1:]:
        top = np.maximum(top, np.max(np.abs(x)))
    unit = np.where((top > 0) & np.isfinite(top), top, 1)
    total = sum([np.sum(np.square(x / unit)) for x in leaves])
    none = total == 0
    return unit * np.where(none, 0.0, np.sqrt(np.where(none, 1.0, total)))


def clipped(grads: Tree, c: Any) -> Tree:
    r"""$g \min(1, c / \lVert g \rVert)$ for all arrays of `grads` together."""
    norm = global_norm(grads)
    factor = c / np.maximum(norm, c)
    return each(lambda g: times(factor, g), grads)


def clip_by_global_norm(c: float) -> Atom:
    r"""$g \leftarrow g \cdot \min(1, c / \lVert g \rVert)$: the direction is kept, the norm is at most c.

    Computed as $g \cdot c / \max(\lVert g \rVert, c)$, the same number without a division by zero.  A NaN stays a NaN.

    Args:
        c: the greatest norm, positive; an infinite one clips nothing.

    Raises:
        ValueError: if c is not positive.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> rule = cr.optim.chain(cr.optim.clip_by_global_norm(5.0), cr.optim.sgd(1.0))
        >>> rule.step(np.zeros(2), np.array([6.0, 8.0]), rule.init(np.zeros(2)))[0]
        array([-3., -4.])

    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    if positive(c) == np.inf:
        return Atom()
    return directed(lambda g, state, params: (clipped(g, c), state))


def clip_by_value(c: float) -> Atom:
    r"""$g_i \leftarrow \operatorname{sign}(g_i) \min(|g_i|, c)$: each element on its own; the direction may change.

    Args:
        c: the greatest size of an element, positive.

    Raises:
        ValueError: if c is not positive.
    """
    positive(c)
    return stateless(lambda g: np.sign(g) * np.minimum(np.abs(g), c))


def clip_by_block_rms(c: float) -> Atom:
    r"""$g \leftarrow g / \max(1, \operatorname{rms}(g) / c)$ for each array on its own.

    Source: Shazeer and Stern 2018, section 6.
    """
    positive(c)
    return stateless(lambda g: g / np.maximum(np.sqrt(np.mean(np.square(g))) / c, 1))


def positive(c: float) -> float:
    """`c`, or an error."""
    if not c > 0:
        raise ValueError(f"a gradient can be clipped at a positive number, not at {c}")
    return c
