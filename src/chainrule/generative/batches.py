"""What all generative models share: data that are checked, and epochs of shuffled batches run by a compiled loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, random
from chainrule.build.tree import flatten, paths, unflatten
from chainrule.front.operands import refuse
from chainrule.train import checkpoint


def whole(n: Any, name: str) -> int:
    """A whole number of at least 1."""
    if not hasattr(n, "__index__") or isinstance(n, bool) or n.__index__() < 1:
        raise ValueError(f"{name} is a whole number of at least 1, not {n!r}")
    return n.__index__()


def checked(x: Any, features: int, name: str = "x") -> Any:
    """Data as floating-point rows of the right length, all finite."""
    refuse(x, name)
    try:
        a = np.asarray(x)
    except ValueError:
        raise errors.ShapeError(f"{name} is an array of shape (n, {features}); these rows differ in length") from None
    if a.dtype.kind not in "biuf":
        raise errors.DtypeError.of(x, name)
    if a.ndim == 1 and features == 1:
        a = a[:, None]
    if a.ndim != 2 or a.shape[1] != features or len(a) == 0:
        empty = "" if a.size else ": it is empty"
        raise errors.ShapeError(f"{name} is an array of shape (n, {features}), not {a.shape}{empty}")
    if not np.all(np.isfinite(a)):
        raise ValueError(f"{name} has elements that are NaN or infinite")
    return a.astype(np.float64, copy=False)


def sizes(hidden: Any) -> list[int]:
    """The sizes of hidden layers, as a list."""
    if not isinstance(hidden, Iterable):
        raise TypeError(f"hidden is a sequence of sizes, like (128, 64) or (), not {hidden!r}")
    return list(hidden)


class Epoch(NamedTuple):
    """The state after an epoch, the means of its losses, and whether it was read from a checkpoint and not run now."""

    state: Any
    losses: Any
    read: bool = False


class Saved(NamedTuple):
    """Where a training is saved.

    Attributes:
        folder: of the checkpoints; None for none.
        every: epochs between two of them.
        resume: go on from the newest; else those that are there are deleted.
        made_for: what a checkpoint must have in common with this training, as JSON can hold it.
    """

    folder: Path | None
    every: int
    resume: bool
    made_for: dict[str, Any]


def saved(folder: Any, every: Any, resume: bool, data: Any, key: Any, **options: Any) -> Saved:
    """Where to save a training with these data, this key and these options."""
    digest = hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()
    made_for = {"data": [list(np.shape(data)), digest], "key": [int(w) for w in np.ravel(key)], **options}
    return Saved(None if folder is None else Path(folder), whole(every, "checkpoint_every"), resume, made_for)


def run_epochs(
    epoch: Callable[..., Any], state: Any, data: Any, epochs: int, batch_size: int, key: Any, where: Saved, group: int = 1
) -> Iterator[Epoch]:
    """The state and the losses after each epoch; those of a checkpoint first, all with the state that it holds.

    Args:
        epoch: compiled, (state, data, rows, keys) -> (state, losses), with rows int[steps, batch] (int[steps, group, batch] for
            groups of several) and keys uint32[steps, 2].
        state: what training changes.
        data: (n, features).
        epochs: how many.
        batch_size: rows in a batch, at most n.
        key: random key.
        where: where to save.
        group: batches in a step.
    """
    size = min(whole(batch_size, "batch_size"), len(data))
    state, past = _begun(where, state)
    for losses in past[: whole(epochs, "epochs")]:
        yield Epoch(state, losses, read=True)
    for k in range(len(past), epochs):
        shuffle, noise = random.split(random.fold_in(key, k))
        rows = random.permutation(shuffle, len(data))
        steps = max(len(data) // (size * group), 1)
        rows = np.resize(rows, steps * size * group).reshape((steps, size) if group == 1 else (steps, group, size))
        state, losses = epoch(state, data, rows, random.split(noise, steps))
        losses = [float(np.mean(x)) for x in flatten(losses)[0]]
        if not np.all(np.isfinite(losses)):
            raise ArithmeticError(f"training diverged in epoch {k + 1}: the loss is no longer finite; lower the learning rate")
        past.append(losses)
        if where.folder is not None and ((k + 1) % where.every == 0 or k + 1 == epochs):
            _save(where, state, past)
        yield Epoch(state, losses)


def _save(where: Saved, state: Any, past: Any) -> None:
    arrays = {f"state{name}": np.asarray(x) for name, x in zip(paths(state), flatten(state)[0], strict=True)}
    arrays["losses"] = np.array(past, np.float64)
    assert where.folder is not None
    checkpoint.save(where.folder, len(past), checkpoint.Checkpoint(arrays, {"made_for": where.made_for}), keep=2)


def _begun(where: Saved, state: Any) -> tuple[Any, list[Any]]:
    """The state and the losses of the newest checkpoint, or those of a beginning."""
    if where.folder is None:
        return state, []
    if not where.resume:
        checkpoint.clear(where.folder)
        return state, []
    found = checkpoint.load(where.folder)
    if found is None:
        return state, []
    checkpoint.compare(found.facts.get("made_for", {}), where.made_for)
    leaves = [found.arrays[f"state{name}"] for name in paths(state)]
    return unflatten(flatten(state)[1], leaves), found.arrays["losses"].tolist()


__all__ = ["Epoch", "Saved", "checked", "run_epochs", "saved", "whole"]
