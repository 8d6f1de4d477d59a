"""What a group moves and computes."""

from __future__ import annotations

from math import prod

import numpy as np

from .fuse import COSTLY
from .kernels import Built
from .loops import Step
from .math import HEAVY
from .nodes import Access, Contract, Node

__all__ = ["Cost", "kernel_cost", "lanes", "node_cost"]

_HEAVY_FLOPS, _DIVISION_FLOPS = 20, 4
"""What an exponential and a quotient count for, beside one for a sum."""


class Cost:
    """Bytes that must move between memory and the processor, and floating-point operations."""

    def __init__(self, moved: float = 0, flops: float = 0):
        self.moved, self.flops = moved, flops

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.moved + other.moved, self.flops + other.flops)

    def times(self, n: int) -> Cost:
        return Cost(self.moved * n, self.flops * n)


def node_cost(n: Node) -> Cost:
    """A node that is neither a loop nor a pass."""
    moved = sum(_bytes(x.dtype, x.shape) for x in n.ins if isinstance(x, Access)) + sum(_bytes(o.dtype, o.shape) for o in n.outs)
    return Cost(moved, 2.0 * n.out.size * n.k if isinstance(n, Contract) else sum(o.size for o in n.outs))


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return prod(shape) * np.dtype(dtype).itemsize


def kernel_cost(b: Built) -> Cost:
    """A pass over memory."""
    k = b.kernel
    moved = 0
    for name, o in k.operands.items():
        if name not in b.scratch:
            moved += prod(n for n, s in zip(k.shape, o.strides, strict=True) if s) * np.dtype(o.dtype).itemsize
    rows, n = prod(k.shape[:-1]), prod(k.shape)
    flops = 0.0
    for stage in k.stages:
        flops += n * (sum(map(_weight, stage.steps)) + len(stage.reduces)) + rows * sum(map(_weight, stage.row_steps))
    return Cost(moved, flops)


def _weight(s: Step) -> int:
    return _HEAVY_FLOPS if s.op in HEAVY else _DIVISION_FLOPS if s.op in COSTLY else 1


def lanes(b: Built) -> int:
    """Numbers of a kernel that one vector holds, beside the eight of float64."""
    return max(b.kernel.lanes // 8, 1)
