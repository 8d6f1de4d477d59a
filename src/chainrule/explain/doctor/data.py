"""Fresh data of the same kind as an example: labels stay labels, probabilities stay probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.ir.graph import Array

Rng = np.random.Generator


def fresh(x: Any, shape: Sequence[int], rng: Rng, near: bool = False, moving: bool = True) -> Any:
    """Random data like `x`, of another shape; `near` stays within the range of x (for functions with a small domain).

    Args:
        x: an array or a number of the user's example.
        shape: the shape wanted.
        rng: where the randomness comes from.
        near: draw only values between the least and the greatest of x.
        moving: is this one of the arguments the derivative is for? Those are never whole numbers by nature.
    """
    if isinstance(x, float):
        return _number(x, rng, near)
    if not isinstance(x, np.ndarray | np.generic):
        return x
    a = np.asarray(x)
    if a.dtype.kind in "iub":
        return _whole(a, shape, rng).astype(a.dtype)
    if a.dtype.kind != "f" or a.size == 0 or not np.all(np.isfinite(a)):
        return x if tuple(shape) == a.shape else np.resize(a, tuple(shape))
    if a.ndim == 0:
        return np.asarray(_number(float(a), rng, near))
    y = _near(a, shape, rng) if near else _floating(np.asarray(a, float), tuple(shape), rng, moving)
    return np.asarray(y, float)


def _number(x: float, rng: Rng, near: bool) -> float:
    if near:
        return x * rng.uniform(0.9, 1.1)
    if 0 <= x < 1:
        return float(rng.uniform(0.2, 0.8))
    return float(x * rng.uniform(0.7, 1.4))


def _whole(a: Array, shape: Sequence[int], rng: Rng) -> Array:
    if a.size == 0:
        return np.resize(a, tuple(shape))
    if a.shape == tuple(shape) and a.ndim == 1 and len(np.unique(a)) == a.size:
        return rng.permutation(a)
    return rng.choice(np.unique(a), size=tuple(shape))


def _near(a: Array, shape: Sequence[int], rng: Rng) -> Array:
    if tuple(shape) == a.shape:
        return np.clip(a * (1 + 0.05 * rng.normal(size=a.shape)), a.min(), a.max())
    low, high = float(a.min()), float(a.max())
    return rng.uniform(low, high, size=tuple(shape)) if low < high else np.full(tuple(shape), low)


def _sums_to_one(a: Array, axis: int) -> bool:
    return a.shape[axis] > 1 and bool(np.all(a >= 0)) and bool(np.allclose(a.sum(axis), 1, atol=1e-6))


def _floating(a: Array, shape: tuple[int, ...], rng: Rng, moving: bool) -> Array:
    values = {float(x) for x in np.unique(a)[:3]} if a.size else set[float]()
    few = len(np.unique(a)) <= 2
    for axis in (-1, 0):
        if _sums_to_one(a, axis):
            return _simplex(shape, axis, rng, one_hot=few and values == {0.0, 1.0})
    if few and values == {0.0, 1.0} and not moving:
        return (rng.random(shape) < 0.5) * 1.0
    if few and values == {-1.0, 1.0} and not moving:
        return np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    if not moving and a.size > 2 and bool(np.all(a == np.rint(a))) and len(np.unique(a)) > 1:
        return rng.choice(np.unique(a), size=shape)
    structured = _structured(a, shape, rng)
    if structured is not None:
        return structured
    if np.all(a > 0):
        if np.all(a < 1):
            return rng.uniform(0.05, 0.95, size=shape)
        return float(np.clip(np.median(a), 0.3, 3)) * np.exp(0.5 * rng.normal(size=shape))
    scale = float(np.clip(np.sqrt(np.mean(a * a)), 0.3, 3)) if np.any(a) else 1.0
    return scale * rng.normal(size=shape)


def _simplex(shape: tuple[int, ...], axis: int, rng: Rng, one_hot: bool) -> Array:
    last = tuple(np.moveaxis(np.empty(shape), axis, -1).shape)
    if one_hot:
        y = np.eye(last[-1])[rng.integers(last[-1], size=last[:-1])]
    else:
        y = rng.dirichlet(np.full(last[-1], 2.0), size=last[:-1])
    return np.moveaxis(np.reshape(y, last), -1, axis)


def _structured(a: Array, shape: tuple[int, ...], rng: Rng) -> Array | None:
    """Symmetric, positive definite and triangular matrices keep what they are."""
    if a.ndim != 2 or a.shape[0] != a.shape[1] or len(a) < 2 or shape[0] != shape[1]:
        return None
    b = rng.normal(size=shape)
    if np.allclose(a, a.T, rtol=1e-12, atol=0) and np.any(a):
        if np.all(np.linalg.eigvalsh(a) > 0):
            return b @ b.T / len(b) + 0.5 * np.eye(len(b))
        return b + b.T
    if not np.any(np.triu(a, 1)) and np.any(np.tril(a, -1)):
        return np.tril(b)
    if not np.any(np.tril(a, -1)) and np.any(np.triu(a, 1)):
        return np.triu(b)
    return None
