"""The expected loss of a model against its mean over the data it was fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special as scipy_special

from chainrule import errors
from chainrule.batching import vmap

special: Any = scipy_special


@dataclass(frozen=True, eq=False)
class GeneralizationGap:
    """What a fitted model loses on new examples.

    Attributes:
        empirical: mean loss over the training examples.
        expected: estimate of E[L] from examples that were not trained on.
        gap: expected - empirical.
        error: standard error of `expected`, and so of `gap`: the mean over the training examples is a known number.
        interval: confidence interval of `gap`.
    """

    empirical: float
    expected: float
    gap: float
    error: float
    interval: tuple[float, float]


@errors.boundary
def generalization_gap(loss: Callable[..., Any], train: Any, test: Any, *, confidence: float = 0.95) -> GeneralizationGap:
    r"""$E[L] - \frac1n \sum_i L(x_i, y_i)$, E[L] estimated on examples that the model has not seen.

    Args:
        loss: function of one example, ``loss(x, y)``, to its loss: it calls the fitted model.
        train: arrays (x, y, ...) of the examples the model was fitted to, the first axis counting them.
        test: arrays of independent examples from the same source.
        confidence: of the interval.

    Returns:
        A `GeneralizationGap`.

    Raises:
        ShapeError: arrays with different numbers of examples, or fewer than two examples to test on.

    Numerics:
        The interval is that of the mean of independent losses (Student's).  It says nothing about other training sets: the
        model is taken as given.

    Source: Vapnik 1998, section 1.2.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {confidence}")
    seen, new = _losses(loss, train, "train"), _losses(loss, test, "test")
    if len(new) < 2:
        raise errors.ShapeError("an interval needs at least two examples to test on")
    empirical, expected = float(seen.mean()), float(new.mean())
    error = float(new.std(ddof=1) / np.sqrt(len(new)))
    half = float(special.stdtrit(len(new) - 1, 0.5 + confidence / 2)) * error
    gap = expected - empirical
    return GeneralizationGap(empirical, expected, gap, error, (gap - half, gap + half))


def _losses(loss: Callable[..., Any], data: Any, name: str) -> Any:
    arrays = [np.asarray(x) for x in data]
    if not arrays or len({len(x) for x in arrays}) != 1 or len(arrays[0]) == 0:
        raise errors.ShapeError(f"{name} is a tuple of arrays with the same number of examples, not {[x.shape for x in arrays]}")
    found = vmap(loss)(*arrays)
    if np.shape(found) != (len(arrays[0]),):
        raise errors.ShapeError(f"loss(x, y) is one number for one example, not an array of shape {np.shape(found)[1:]}")
    return found


__all__ = ["GeneralizationGap", "generalization_gap"]
