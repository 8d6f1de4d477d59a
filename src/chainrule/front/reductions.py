"""Sums and their relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.build.value import Value
from chainrule.front.operands import axis_tuple, implements, retyped, stacked, value
from chainrule.prims.linear import LETTERS, contract, reshape


def keep(y: Value, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Value:
    """The reduced axes kept with size 1, if asked."""
    return reshape(y, shape=tuple([1 if k in axes else n for k, n in enumerate(shape)])) if keepdims else y


def summed(x: Value, axes: tuple[int, ...]) -> Value:
    """Sum over these axes."""
    every = LETTERS[: x.ndim]
    return contract(x, spec=f"{every}->{''.join(a for k, a in enumerate(every) if k not in axes)}") if axes else x


@implements(np.sum, method="sum")
def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Value:
    """Sum of elements."""
    x = value(stacked(a))
    if dtype is not None or x.dtype.kind in "bui":
        x = retyped(x, np.dtype(dtype) if dtype is not None else np.add.reduce(np.zeros(1, x.dtype)).dtype)
    axes = axis_tuple(axis, x.ndim)
    return keep(summed(x, axes), x.shape, axes, bool(keepdims))
