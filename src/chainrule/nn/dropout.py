"""Dropout, in the two conventions there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import random
from chainrule.nn.module import STATIC, Module, array, fill


def _rate(name: str, rate: float) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"{name}: rate is the probability of dropping a unit, 0 <= rate < 1, not {rate}")
    return rate


def _kept(layer: Module, x: Any, rate: float, key: Any) -> Any:
    """Which elements stay: each with the probability 1 - rate."""
    if key is None:
        raise ValueError(f"{layer!r} draws at random in training: pass key=cr.random.key(...), a new one in every step")
    return random.bernoulli(key, 1 - rate, np.shape(x))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Dropout(Module):
    r"""Inverted dropout: scaled in training, the identity in inference.

    In training $y = \frac{m \odot x}{1 - r}$ with independent $m_i$, which are 0 with probability r; so E[y] = x, and inference
    has nothing to do. This is what today's libraries mean by dropout.

    Args:
        rate: r, the probability of dropping an element.

    Raises:
        ValueError: in training without a key.

    Source: Srivastava et al. 2014, section 10 (the scaling at training is described there as the alternative).
    """

    rate: float = field(metadata=STATIC)

    def __init__(self, rate: float) -> None:
        fill(self, rate=_rate("Dropout", rate))

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Any shape to the same shape."""
        x = array(x)
        if not training or self.rate == 0:
            return x
        return np.where(_kept(self, x, self.rate, key), x * (1 / (1 - self.rate)), 0.0)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class DropoutScaledAtInference(Module):
    r"""The first form of dropout: not scaled in training, scaled in inference.

    In training $y = m \odot x$, whose expectation is (1 - r) x; in inference $y = (1 - r) x$. The factor is the probability of
    *keeping* an element.

    Args:
        rate: r, the probability of dropping an element.

    Raises:
        ValueError: in training without a key.

    Source: Srivastava et al. 2014, section 4 (whose p is the probability of keeping, 1 - r).
    """

    rate: float = field(metadata=STATIC)

    def __init__(self, rate: float) -> None:
        fill(self, rate=_rate("DropoutScaledAtInference", rate))

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Any shape to the same shape."""
        x = array(x)
        if not training:
            return x * (1 - self.rate)
        return x if self.rate == 0 else np.where(_kept(self, x, self.rate, key), x, 0.0)
