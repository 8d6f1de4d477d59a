"""A training as arrays and facts, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.build.tree import flatten, map_tree, paths, unflatten
from chainrule.train import checkpoint, together
from chainrule.train.history import Array
from chainrule.train.steps import State

if TYPE_CHECKING:
    from chainrule.train.training import Training

Tree = Any


def as_arrays(tree: Tree) -> Tree:
    """Numbers of a tree as arrays."""
    return map_tree(lambda x: np.array(x) if isinstance(x, int | float | np.generic | np.ndarray) else x, tree)


def shapes(tree: Tree) -> list[list[Any]]:
    """Name, dtype and shape of every array of a tree."""
    return [[name, str(x.dtype), list(x.shape)] for name, x in zip(paths(tree), flatten(tree)[0], strict=True)]


def _named(prefix: str, tree: Tree) -> dict[str, Array]:
    return {f"{prefix}{name}": x for name, x in zip(paths(tree), flatten(tree)[0], strict=True)}


def _filled(prefix: str, tree: Tree, arrays: Any) -> Tree:
    """`tree` with the arrays of a checkpoint in place of its own."""
    return unflatten(flatten(tree)[1], [arrays[f"{prefix}{name}"] for name in paths(tree)])


def _state(prefix: str, state: State) -> dict[str, Array]:
    return {
        name: x for part, tree in zip(state._fields, state, strict=True) for name, x in _named(f"{prefix}{part}", tree).items()
    }


def _restored(prefix: str, like: State, arrays: Any) -> State:
    return State(*[_filled(f"{prefix}{part}", tree, arrays) for part, tree in zip(like._fields, like, strict=True)])


def write(t: Training, folder: Path) -> None:
    """Save a training as it is now."""
    r, b = t.record, t.best
    arrays = _state("", t.state)
    if t.best_state is not None:
        arrays |= _state("best/", t.best_state)
    arrays |= {f"history/{name}": np.array(c, np.float64) for name, c in r.columns.items()}
    arrays |= {"steps/loss": _all(r.losses, np.float64), "steps/size": _all(r.sizes, np.int64)}
    facts = {
        "made_for": t.signature(),
        "epoch": r.epoch,
        "at": r.at,
        "examples": r.examples,
        "stopped": r.stopped,
        "best": {"monitor": b.monitor, "value": b.value if np.isfinite(b.value) else None, "epoch": b.epoch, "waited": b.waited},
    }
    checkpoint.save(folder, r.step, checkpoint.Checkpoint(arrays, facts), t.options.keep)


def _all(parts: Sequence[Array], dtype: Any) -> Array:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def begin(t: Training, folder: Path) -> None:
    """Go on from the newest checkpoint of a folder, if that is wanted and there is one."""
    if not t.options.resume:
        if t.group.id == 0:
            checkpoint.clear(folder)
        return
    found = together.loaded(t, folder)
    if found is None:
        return
    checkpoint.compare(found.facts.get("made_for", {}), t.signature())
    arrays, facts, r = found.arrays, found.facts, t.record
    t.state = _restored("", t.state, arrays)
    if any(name.startswith("best/") for name in arrays):
        t.best_state = _restored("best/", t.state, arrays)
    _columns(t, arrays, facts["epoch"])
    r.losses, r.sizes = [arrays["steps/loss"]], [arrays["steps/size"]]
    r.epoch, r.at, r.step, r.examples = facts["epoch"], facts["at"], facts["step"], facts["examples"]
    t.saved = (r.epoch, r.at, r.step)
    best = facts["best"]
    if best["monitor"] == t.best.monitor:
        t.best.value = np.inf if best["value"] is None else best["value"]
        t.best.epoch, t.best.waited = best["epoch"], best["waited"]


def _columns(t: Training, arrays: Any, epochs: int) -> None:
    """The history; what was not measured then is NaN."""
    for name in t.record.columns:
        saved = arrays.get(f"history/{name}")
        t.record.columns[name] = [float("nan")] * epochs if saved is None else saved.tolist()
