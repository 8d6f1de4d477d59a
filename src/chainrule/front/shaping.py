"""Rearranging elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.build.value import Value
from chainrule.front.operands import axis_tuple, implements, stacked, value
from chainrule.prims.linear import LETTERS, contract


@implements(np.transpose)
def transpose(a: Any, axes: Any = None) -> Value:
    """Axes in another order (reversed by default)."""
    x = value(stacked(a))
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple([k % x.ndim for k in axes])
    if order == tuple(range(x.ndim)):
        return x
    every = LETTERS[: x.ndim]
    return contract(x, spec=f"{every}->{''.join(every[k] for k in order)}")


__all__ = ["axis_tuple", "transpose"]
