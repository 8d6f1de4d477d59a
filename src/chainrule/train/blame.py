"""What can be said of a step that goes wrong besides which operation made NaN: the data it was given, or what the loss says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.build.tree import flatten, map_tree
from chainrule.train.data import Array, Piece, named
from chainrule.train.model import Objective, Parts, Tree


def blamed(objective: Objective, model: Tree, step: Piece, data: Parts, runs: Sequence[Array], key: Any) -> str:
    """The first element of the step's data that is not finite, or the error that the loss raises when it sees values.

    Args:
        objective: the loss.
        model: the model before the step.
        step: the rows of the step.
        data: arrays in memory.
        runs: the same rows, as rows of `data`.
        key: random key of the step.

    Returns:
        A sentence, or "" where nothing is wrong with what the step was given.
    """
    here = np.concatenate([r.ravel() for r in runs])
    there = np.concatenate([r.ravel() for r in step.runs])
    for name, x in zip(named(data), flatten(data)[0], strict=True):
        wrong = np.argwhere(~np.isfinite(x[here]))
        if len(wrong):
            k, *rest = wrong[0].tolist()
            place, value = ", ".join(map(str, [there[k], *rest])), x[here[k]][tuple(rest)]
            return f"{name}[{place}] is {value}: leave such rows out, or fill them."
    batch = map_tree(lambda x: x[runs[0].reshape(-1, runs[0].shape[-1])[0]], data)
    try:
        with np.errstate(all="ignore"):
            objective.training(model, batch, key)
    except (ValueError, IndexError) as e:
        return str(e)
    return ""
