"""Where in a sequence a position is, told to layers that do not know (attention)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.nn.module import STATIC, Module, fill, keys, last_axis, positive


def sinusoidal(length: int, n: int, dtype: Any = np.float64) -> Any:
    r"""$P_{t,2k} = \sin(t / 10000^{2k/n}), \quad P_{t,2k+1} = \cos(t / 10000^{2k/n})$.

    Args:
        length: number of positions.
        n: number of features.
        dtype: float64 or float32.

    Returns:
        (length, n).

    Source: Vaswani et al. 2017, section 3.5.
    """
    columns = np.arange(n)
    angle = np.arange(length)[:, None] / 10000.0 ** (columns // 2 * 2 / n)
    return np.where(columns % 2 == 0, np.sin(angle), np.cos(angle)).astype(dtype)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SinusoidalPositions(Module):
    """x plus the sines and cosines of `sinusoidal`; nothing is learned, and any length will do.

    Args:
        n: size of the features, the last axis.
    """

    n: int = field(metadata=STATIC)

    def __init__(self, n: int) -> None:
        positive(n=n)
        fill(self, n=n)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(..., length, n) to the same shape."""
        x = last_axis(self, x, self.n, ndim=2)
        return x + sinusoidal(np.shape(x)[-2], self.n, x.dtype if x.dtype.kind == "f" else np.float64)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class LearnedPositions(Module):
    """x plus one learned vector per position.

    Args:
        length: the greatest length.
        n: size of the features, the last axis.
        key: random key; the vectors start as normal numbers of deviation 0.02.
        dtype: float64 or float32.

    Source: Gehring et al. 2017, section 3.1; the deviation is that of Devlin et al. 2019.
    """

    weight: Any

    def __init__(self, length: int, n: int, *, key: Any, dtype: Any = np.float64) -> None:
        positive(length=length, n=n)
        fill(self, weight=random.normal(keys(key, 1)[0], (length, n), dtype) * 0.02)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(..., length, n) to the same shape; a shorter sequence uses the first vectors."""
        x = last_axis(self, x, self.weight.shape[1], ndim=2)
        length = np.shape(x)[-2]
        if length > self.weight.shape[0]:
            raise errors.ShapeError(f"{self!r} has {self.weight.shape[0]} positions, and was given a sequence of {length}.")
        return x + self.weight[:length]
