"""Numbers that stand for things, as vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.build.value import Value
from chainrule.front.operands import value
from chainrule.nn.module import Module, array, fill, keys, positive


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Embedding(Module):
    """One vector for each of n things: y = weight[x].

    Args:
        n_things: how many there are (the size of a vocabulary).
        n: size of each vector.
        key: random key; the vectors start as standard normal numbers times 1/sqrt(n), so that their mean square length is 1.
        dtype: float64 or float32.

    Raises:
        IndexError: if a number is negative or too large, where its value is known.
    """

    weight: Any

    def __init__(self, n_things: int, n: int, *, key: Any, dtype: Any = np.float64) -> None:
        positive(n_things=n_things, n=n)
        fill(self, weight=random.normal(keys(key, 1)[0], (n_things, n), dtype) * n**-0.5)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Whole numbers of any shape to (..., n)."""
        x = array(x)
        if np.dtype(x.dtype).kind not in "iu":
            raise errors.DtypeError(f"{self!r} needs whole numbers, and was given {x.dtype}.")
        known: Any = getattr(x, "data", None) if isinstance(x, Value) else x
        if known is not None and known.size and not 0 <= known.min() <= known.max() < self.weight.shape[0]:
            raise IndexError(
                f"{self!r} has vectors for 0 to {self.weight.shape[0] - 1}, and was asked for {known.min()} to {known.max()}"
            )
        return np.take(value(self.weight) if isinstance(x, Value) else self.weight, x, axis=0)
