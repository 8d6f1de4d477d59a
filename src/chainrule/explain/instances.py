"""Random arguments at random unequal sizes, where a function is finite: what formulas are tried on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.explain.problem import Problem
from chainrule.explain.sizes import Sizes

Rng = np.random.Generator
Kind = Callable[[Rng, "tuple[int, ...]"], Any]


class Instance(NamedTuple):
    """Sizes, and arrays of these sizes."""

    sizes: dict[str, int]
    arrays: list[Any]


def _normal(rng: Rng, shape: tuple[int, ...]) -> Any:
    return rng.normal(size=shape)


def _unit(rng: Rng, shape: tuple[int, ...]) -> Any:
    return rng.uniform(0.15, 0.85, size=shape)


def _probabilities(rng: Rng, shape: tuple[int, ...]) -> Any:
    x = rng.uniform(0.2, 1.0, size=shape)
    return x / x.sum(-1, keepdims=True) if shape else x


def _definite(rng: Rng, shape: tuple[int, ...]) -> Any:
    if len(shape) == 2 and shape[0] == shape[1]:
        a = rng.normal(size=shape)
        return a @ a.T / shape[0] + np.eye(shape[0])
    return rng.uniform(0.5, 1.5, size=shape)


def _above_one(rng: Rng, shape: tuple[int, ...]) -> Any:
    return rng.uniform(1.1, 2.5, size=shape)


_KINDS: tuple[Kind, ...] = (_normal, _unit, _definite, _probabilities, _above_one)
_MIXED = 60
"""Tries with a kind and a scale of its own for each argument, once all arguments of one kind have failed."""


def instances(p: Problem, count: int = 3, seed: int = 0) -> list[Instance]:
    """Random arguments at random unequal sizes where the function is finite.

    Raises:
        NoFormulaError: no such arguments were found, so that nothing could be checked.
    """
    rng = np.random.default_rng(seed)
    out: list[Instance] = []
    for _ in range(count):
        values = rng.permutation(np.arange(3, 5 + max(len(p.sizes), 3)))
        sizes = {n: int(v) for n, v in zip(p.sizes, values, strict=False)}
        xs = arguments(p, sizes, rng)
        if xs is not None:
            out.append(Instance(sizes, xs))
    if not out:
        raise errors.NoFormulaError(
            "No arguments were found where the function is finite, so no formula for it could be checked.",
            "Give example arguments from its domain." if p.formula is None and p.example is None else "",
        )
    return out


def arguments(p: Problem, sizes: Sizes, rng: Rng) -> list[Any] | None:
    """Random arrays where the function is finite: around 0 if it is, else positive, else definite matrices, else mixtures."""
    plans: list[list[Kind]] = [[kind] * len(p.names) for kind in _KINDS]
    if p.example is not None:
        plans.append([_like(x) for x in p.example])
    for plan in plans:
        xs = [_array(p, k, sizes, rng, kind) for k, kind in enumerate(plan)]
        if _finite(p, xs, sizes):
            return xs
    for _ in range(_MIXED):
        xs = [_array(p, k, sizes, rng, _scaled(rng)) for k in range(len(p.names))]
        if _finite(p, xs, sizes):
            return xs
    return None


def _like(x: Any) -> Kind:
    """Elements near those of an example."""
    values = np.ravel(np.asarray(x, float))
    return lambda rng, shape: (
        rng.choice(values, size=shape) * rng.uniform(0.95, 1.05, size=shape) if values.size else np.ones(shape)
    )


def _scaled(rng: Rng) -> Kind:
    kind, scale = _KINDS[rng.integers(len(_KINDS))], float(rng.choice([1.0, -1.0, 10.0, 100.0, 0.1]))
    return lambda rng, shape: scale * kind(rng, shape)


def _array(p: Problem, k: int, sizes: Sizes, rng: Rng, kind: Kind) -> Any:
    shape, dtype = p.shape(k, sizes), p.dtypes[k]
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":  # perhaps an index into an axis, which has 2 places at least
        top = int(np.max(p.example[k])) + 1 if p.example is not None and p.example[k].size else 2
        return rng.integers(0, min(max(top, 1), 2), shape).astype(dtype)
    return np.asarray(kind(rng, shape), np.float64)


def _finite(p: Problem, xs: list[Any], sizes: Sizes) -> bool:
    try:
        with np.errstate(all="ignore"):
            return bool(np.all(np.isfinite(p.call(xs, sizes))))
    except (np.linalg.LinAlgError, ValueError, FloatingPointError):
        return False


def repeatable(p: Problem, at: Instance) -> None:
    """Raise NoFormulaError if the function gives different results for the same arguments."""
    with np.errstate(all="ignore"):
        first, second = (np.asarray(p.call(at.arrays, at.sizes)) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        raise errors.NoFormulaError("The function gives different results for the same arguments; a formula has none to give.")
