"""The data of the experiments: scikit-learn's sets, or a table of the reader's own in their place."""

# pyright: reportMissingTypeStubs=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from chainrule.study.model import Context
from chainrule.study.tools import Array

MOST_ROWS = 5_000
"""Of a table of the reader's own: more would make a study long and its lessons no different."""


@dataclass(frozen=True)
class Dataset:
    """Examples with something to predict; no constant columns, each column with mean 0 and standard deviation 1.

    Attributes:
        name: what to call it in a sentence: "the diabetes data".
        x: (n, d).
        y: (n,) amounts with mean 0 and standard deviation 1, or numbers of classes.
        features: a name for each column.
        classes: a name for each class; None if y is an amount.
        own: whether it is the reader's.
    """

    name: str
    x: Array
    y: Array
    features: Sequence[str]
    classes: Sequence[str] | None = None
    own: bool = False

    @property
    def size(self) -> str:
        """How much there is of it, in words."""
        return f"{len(self.x):,} rows with {self.x.shape[1]} features"

    def split(self, seed: int = 0, part: float = 0.3) -> tuple[Array, Array, Array, Array]:
        """x and y to learn from, then x and y to test with, drawn at random."""
        order = np.random.default_rng(seed).permutation(len(self.x))
        cut = max(1, round(part * len(order)))
        test, train = order[:cut], order[cut:]
        return self.x[train], self.y[train], self.x[test], self.y[test]


def made(
    name: str, x: Any, y: Any, features: Sequence[str], classes: Sequence[str] | None = None, own: bool = False, seed: int = 0
) -> Dataset:
    """Standardise: no constant column, mean 0, deviation 1; at most `MOST_ROWS` rows, drawn at random."""
    x, y = np.asarray(x, float), np.asarray(y)
    if len(x) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(x))[:MOST_ROWS])
        x, y = x[rows], y[rows]
    varied = x.std(0) > 1e-12 * np.maximum(1.0, np.abs(x.mean(0)))
    x, names = x[:, varied], [str(n) for n, v in zip(features, varied, strict=True) if v]
    x = (x - x.mean(0)) / x.std(0)
    y = (y.astype(float) - y.mean()) / y.std() if classes is None else y.astype(int)
    return Dataset(name, x, y, names, classes, own)


@cache
def diabetes() -> Dataset:
    """442 patients, ten measurements, and how their diabetes progressed in a year."""
    from sklearn.datasets import load_diabetes

    found: Any = load_diabetes()
    return made("the diabetes data", found.data, found.target, found.feature_names)


@cache
def breast_cancer() -> Dataset:
    """569 tumours, thirty measurements of their cells, and whether they were malignant (class 1)."""
    from sklearn.datasets import load_breast_cancer

    found: Any = load_breast_cancer()
    return made("the breast cancer data", found.data, 1 - found.target, found.feature_names, ["benign", "malignant"])


@cache
def digits() -> tuple[Array, Array]:
    """1,797 pictures of handwritten digits, (n, 64) from 0 to 1, and which digit each is, (n,)."""
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return np.asarray(found.data, float) / 16, np.asarray(found.target, int)


def regression(context: Context) -> Dataset:
    """Amounts to predict: the reader's table if it has them, else the diabetes data."""
    own = context.data
    return own if own is not None and own.classes is None else diabetes()


def classification(context: Context) -> Dataset:
    """Two classes to tell apart: the reader's table if it has classes (its commonest against the rest), else the tumours."""
    own = context.data
    if own is None or own.classes is None:
        return breast_cancer()
    if len(own.classes) == 2:
        return own
    most = int(np.argmax(np.bincount(own.y)))
    names = [f"not {own.classes[most]}", str(own.classes[most])]
    return Dataset(own.name, own.x, (own.y == most).astype(int), own.features, names, own=True)


__all__ = ["Dataset", "breast_cancer", "classification", "diabetes", "digits", "made", "regression"]
