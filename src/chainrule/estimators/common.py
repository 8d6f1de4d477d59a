"""What estimators share: checked input, weights, columns brought to one scale."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data  # pyright: ignore[reportPrivateUsage]

Array = np.ndarray[Any, np.dtype[Any]]


def checked(estimator: Any, x: Any, y: Any, **options: Any) -> tuple[Array, Array]:
    """Training data as arrays of float64, and its number and names of columns remembered."""
    found: Any = validate_data(estimator, x, y, dtype=np.float64, **options)
    return found


def new_data(estimator: Any, x: Any) -> Array:
    """Data to predict from, of the columns that were seen in training."""
    check_is_fitted(estimator)
    found: Any = validate_data(estimator, x, dtype=np.float64, reset=False)
    return found


def weights_of(sample_weight: Any, x: Array) -> Array:
    """One weight per example, 1 by default."""
    w = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
    if not w.sum() > 0:
        raise ValueError("sample_weight: the weights of all examples are zero")
    return w


class Scale(NamedTuple):
    """Means and scales of columns: the minimiser is the same, and it is found in fewer steps."""

    mean: Array
    size: Array

    @classmethod
    def of(cls, x: Array, weights: Array | None = None, center: bool = True) -> Scale:
        """The scale of the columns; that of a constant column is 1."""
        mean = np.average(x, axis=0, weights=weights)
        size = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
        flat = size <= 10 * np.finfo(x.dtype).eps * np.abs(mean)
        return cls(mean if center else np.zeros_like(mean), np.where(flat, 1.0, size))

    def with_curvature(self, extra: float) -> Scale:
        """Sizes that also take account of a penalty's curvature, so that no column is scaled up to where the penalty rules."""
        return self._replace(size=np.sqrt(self.size**2 + extra))

    def __call__(self, x: Array) -> Array:
        return (x - self.mean) / self.size


def positive(**values: Any) -> None:
    """Raise unless all these parameters are above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, and is {value!r}")


def not_negative(**values: Any) -> None:
    """Raise unless all these parameters are 0 or more."""
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must be 0 or more, and is {value!r}")


def warn_unfinished(estimator: Any, steps: int, what: str) -> None:
    """Say that the minimiser has not been reached."""
    text = f"{type(estimator).__name__} stopped after {steps} steps: {what}. Raise max_iter or scale the data."
    warnings.warn(text, ConvergenceWarning, stacklevel=3)


class Classes(ClassifierMixin):
    """Labels as numbers 0, 1, ..., and predictions from scores."""

    classes_: Array

    def _encoded(self, y: Any, x: Array) -> Array:
        """The number of the class of every example."""
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            name = type(self).__name__
            raise ValueError(f"{name} needs examples of 2 or more classes; the data holds one class: {self.classes_[0]}")
        return codes.reshape(-1)

    def _scores(self, x: Any) -> Array:
        """One score per class, or for two classes one score."""
        raise NotImplementedError

    def predict(self, x: Any) -> Array:
        """The class of the highest score, for each row of x (n, features)."""
        scores = self._scores(x)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)]
