"""What all generative models share: data that are checked, and epochs of shuffled batches run by a compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.build.tree import flatten


def whole(n: Any, name: str) -> int:
    """A whole number of at least 1."""
    if not hasattr(n, "__index__") or isinstance(n, bool) or n.__index__() < 1:
        raise ValueError(f"{name} is a whole number of at least 1, not {n!r}")
    return n.__index__()


def checked(x: Any, features: int, name: str = "x") -> Any:
    """Data as floating-point rows of the right length, all finite."""
    try:
        a = np.asarray(x)
    except ValueError:
        raise errors.ShapeError(f"{name} is an array of shape (n, {features}); these rows differ in length") from None
    if a.dtype.kind not in "biuf":
        raise errors.DtypeError.of(x, name)
    if a.ndim == 1 and features == 1:
        a = a[:, None]
    if a.ndim != 2 or a.shape[1] != features or len(a) == 0:
        raise errors.ShapeError(f"{name} is an array of shape (n, {features}), not {a.shape}")
    if not np.all(np.isfinite(a)):
        raise ValueError(f"{name} has elements that are NaN or infinite")
    return a.astype(np.float64, copy=False)


def run_epochs(
    epoch: Callable[..., Any], state: Any, data: Any, epochs: int, batch_size: int, key: Any, group: int = 1
) -> Iterator[tuple[Any, Any]]:
    """The state and the losses after each epoch.

    Args:
        epoch: compiled, (state, data, rows, keys) -> (state, losses), with rows int[steps, batch] (int[steps, group, batch] for
            groups of several) and keys uint32[steps, 2].
        state: what training changes.
        data: (n, features).
        epochs: how many.
        batch_size: rows in a batch, at most n.
        key: random key.
        group: batches in a step.
    """
    size = min(whole(batch_size, "batch_size"), len(data))
    for k in range(whole(epochs, "epochs")):
        shuffle, noise = random.split(random.fold_in(key, k))
        rows = random.permutation(shuffle, len(data))
        steps = max(len(data) // (size * group), 1)
        rows = np.resize(rows, steps * size * group).reshape((steps, size) if group == 1 else (steps, group, size))
        state, losses = epoch(state, data, rows, random.split(noise, steps))
        if not all(np.all(np.isfinite(x)) for x in flatten(losses)[0]):
            raise ArithmeticError(f"training diverged in epoch {k + 1}: the loss is no longer finite; lower the learning rate")
        yield state, losses


__all__ = ["checked", "run_epochs", "whole"]
