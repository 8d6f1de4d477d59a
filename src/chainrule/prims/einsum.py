"""How to evaluate an Einstein sum of one or two operands with NumPy: sums, views and one BLAS product."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.graph import Array

Evaluator = Callable[..., Array]


@lru_cache(maxsize=4096)
def plan(spec: str, shapes: tuple[tuple[int, ...], ...]) -> Evaluator:
    """The function of arrays of these shapes."""
    ins, out = spec.split("->")
    operands = ins.split(",")
    if len(operands) == 1:
        return _one(operands[0], out)
    return _two(operands[0], operands[1], out, shapes)


def _one(a: str, out: str) -> Evaluator:
    """Sum out the letters that do not come back, then permute."""
    lost = tuple(k for k, x in enumerate(a) if x not in out)
    kept = "".join(x for x in a if x in out)
    order = tuple(kept.index(x) for x in out)
    if order == tuple(range(len(order))):
        if not lost:
            return lambda x: x
        axis: Any = None if len(lost) == len(a) else lost[0] if len(lost) == 1 else lost
        add = np.add.reduce
        return lambda x: add(x, axis, x.dtype)
    if not lost:
        return lambda x: x.transpose(order)
    return lambda x: np.add.reduce(x, lost, x.dtype).transpose(order)


def _two(a: str, b: str, out: str, shapes: tuple[tuple[int, ...], ...]) -> Evaluator:
    lone_a = "".join(x for x in a if x in b or x in out)
    lone_b = "".join(x for x in b if x in a or x in out)
    if lone_a != a or lone_b != b:  # letters of one operand alone: sum them first
        first_a, first_b = _one(a, lone_a), _one(b, lone_b)
        shape_a = tuple(n for n, x in zip(shapes[0], a, strict=True) if x in lone_a)
        shape_b = tuple(n for n, x in zip(shapes[1], b, strict=True) if x in lone_b)
        rest = plan(f"{lone_a},{lone_b}->{out}", (shape_a, shape_b))
        return lambda x, y: rest(first_a(x), first_b(y))
    summed = "".join(x for x in a if x in b and x not in out)
    if not summed:
        return _outer(a, b, out)
    batch = "".join(x for x in out if x in a and x in b)
    free_a = "".join(x for x in out if x in a and x not in b)
    free_b = "".join(x for x in out if x in b and x not in a)
    size = dict(zip(a + b, shapes[0] + shapes[1], strict=True))
    if out == batch + free_b + free_a and free_a and free_b:  # the product the other way round saves a transpose
        return _matmul(b, a, batch, free_b, summed, free_a, out, size, swap=True)
    return _matmul(a, b, batch, free_a, summed, free_b, out, size, swap=False)


def _outer(a: str, b: str, out: str) -> Evaluator:
    """No sum: permute and broadcast."""
    left, right = _aligned(a, out), _aligned(b, out)
    return lambda x, y: left(x) * right(y)


def _aligned(a: str, out: str) -> Callable[[Array], Array]:
    order = tuple(a.index(x) for x in out if x in a)
    index = tuple(slice(None) if x in a else None for x in out)
    straight = order == tuple(range(len(order)))
    if straight and None not in index:
        return lambda x: x
    if straight:
        return lambda x: x[index]
    return lambda x: x.transpose(order)[index]


def _matmul(
    a: str, b: str, batch: str, free_a: str, summed: str, free_b: str, out: str, size: dict[str, int], *, swap: bool
) -> Evaluator:
    plain = not batch and a == free_a + summed and b == summed + free_b and out == free_a + free_b and len(summed) == 1
    if plain and len(a) <= 2 and len(b) <= 2:
        return (lambda y, x: x @ y) if swap else (lambda x, y: x @ y)
    order_a = tuple(a.index(x) for x in batch + free_a + summed)
    order_b = tuple(b.index(x) for x in batch + summed + free_b)
    n = [size[x] for x in batch]
    shape_a = (*n, prod(size[x] for x in free_a), prod(size[x] for x in summed))
    shape_b = (*n, prod(size[x] for x in summed), prod(size[x] for x in free_b))
    shape_out = tuple(size[x] for x in batch + free_a + free_b)
    flat = batch + free_a + free_b
    order_out = tuple(flat.index(x) for x in out)
    one = len(summed) == 1
    prepare_a = _viewed(order_a, shape_a, one and len(free_a) == 1)
    prepare_b = _viewed(order_b, shape_b, one and len(free_b) == 1)
    finish = _finished(shape_out, order_out)

    def run(x: Array, y: Array) -> Array:
        return finish(prepare_a(x) @ prepare_b(y))

    return (lambda y, x: run(x, y)) if swap else run


def _viewed(order: tuple[int, ...], shape: tuple[int, ...], matrix: bool) -> Callable[[Array], Array]:
    """The operand as a (batch of) matrix; `matrix` says that it is one once its axes are in order."""
    straight = order == tuple(range(len(order)))
    if straight:
        return (lambda x: x) if matrix else (lambda x: x.reshape(shape))
    return (lambda x: x.transpose(order)) if matrix else (lambda x: x.transpose(order).reshape(shape))


def _finished(shape: tuple[int, ...], order: tuple[int, ...]) -> Callable[[Array], Array]:
    if order == tuple(range(len(order))):
        return lambda z: z.reshape(shape)
    return lambda z: z.reshape(shape).transpose(order)
