"""Linear classifiers: the objective is a loss of `chainrule.losses`, its gradient is chainrule's."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator

from chainrule.calculus import value_and_grad
from chainrule.compilation import jit
from chainrule.estimators.common import Array, Classes, Scale, checked, new_data, positive, warn_unfinished, weights_of
from chainrule.losses import binary_cross_entropy, categorical_cross_entropy, squared_hinge
from chainrule.optim.minimize import minimize


def _logits(params: Any, x: Any) -> Any:
    return x @ params["w"] + params["b"]


def _penalty(params: Any, strengths: Any) -> Any:
    """Half the weighted squares of w; the intercept has no penalty."""
    return 0.5 * np.sum(strengths * np.sum(params["w"] ** 2, axis=1))


def _logistic(params: Any, x: Any, y: Any, weights: Any, strengths: Any) -> Any:
    z = _logits(params, x)
    return binary_cross_entropy(y[:, 0], z[:, 0], from_logits=True, weights=weights) + _penalty(params, strengths)


def _multinomial(params: Any, x: Any, y: Any, weights: Any, strengths: Any) -> Any:
    return categorical_cross_entropy(y, _logits(params, x), from_logits=True, weights=weights) + _penalty(params, strengths)


def _margins(params: Any, x: Any, y: Any, weights: Any, strengths: Any) -> Any:
    shortfalls = squared_hinge(y, _logits(params, x), reduction="none")
    return np.sum(weights * np.sum(shortfalls, axis=1)) / np.sum(weights) + _penalty(params, strengths)


_COMPILED = {f.__name__: jit(value_and_grad(f), "numpy") for f in (_logistic, _multinomial, _margins)}
"""Objective -> value and gradient, compiled once for each shape of the data."""


class _LinearClassifier(Classes, BaseEstimator):
    """A classifier with one weight per feature and class (for two classes, one weight per feature)."""

    C: float
    fit_intercept: bool
    max_iter: int
    tol: float
    coef_: Array
    intercept_: Array

    def _targets(self, codes: Array) -> tuple[str, Array]:
        """Which objective, and the targets (n, outputs) it wants."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit to X (n, features) and labels y (n,), with a weight s per example."""
        positive(C=self.C, max_iter=self.max_iter, tol=self.tol)
        x, y = checked(self, X, y)
        weights = weights_of(sample_weight, x)
        name, targets = self._targets(self._encoded(y, x))
        strength = 1 / (self.C * weights.sum())
        scale = Scale.of(x, weights, center=self.fit_intercept).with_curvature(4 * strength)
        strengths = strength / scale.size**2
        start = {"w": np.zeros((x.shape[1], targets.shape[1])), "b": np.zeros(targets.shape[1])}
        w, b = self._minimised(_COMPILED[name], start, (scale(x), targets, weights, strengths))
        self.coef_ = (w / scale.size[:, None]).T
        self.intercept_ = b - self.coef_ @ scale.mean
        return self

    def _minimised(self, compiled: Any, start: Any, data: Any) -> tuple[Array, Array]:
        def objective(params: Any) -> tuple[Any, Any]:
            value, slope = compiled(params, *data)
            return value, slope if self.fit_intercept else {**slope, "b": np.zeros_like(slope["b"])}

        found = minimize(objective, start, "lbfgs", jac=True, tol=self.tol, max_steps=self.max_iter)
        self.n_iter_ = max(1, found.steps)
        norms = found.history.gradient_norm
        if norms[-1] > max(self.tol, 1e-7 * norms[0]):  # a line search may end at the rounding of the objective
            warn_unfinished(self, found.steps, f"the gradient has norm {norms[-1]:.1e}, and tol is {self.tol:.1e}")
        return found.x["w"], found.x["b"]

    def decision_function(self, X: Any) -> Array:
        """Scores (n, classes); for two classes one score (n,), above 0 for the second."""
        scores = new_data(self, X) @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _scores(self, x: Any) -> Array:
        return self.decision_function(x)


class LogisticRegression(_LinearClassifier):
    r"""Logistic regression: $\min_{W, b} C \sum_i s_i \ell(y_i, W x_i + b) + \frac12 \lVert W \rVert_F^2$ with the cross-entropy.

    Args:
        C: inverse strength of the penalty, above 0.
        fit_intercept: is there a b, which has no penalty?
        max_iter: most steps of L-BFGS.
        tol: norm of the gradient, per example, to stop at.

    Attributes:
        classes_: the labels.
        coef_: W, of shape (classes, features), (1, features) for two classes.
        intercept_: b, of shape (classes,) or (1,).
        n_iter_: steps taken.

    Numerics: the columns are brought to one curvature first and the penalty with them, which leaves the minimiser as it is.
    """

    def __init__(self, C: float = 1.0, *, fit_intercept: bool = True, max_iter: int = 1000, tol: float = 1e-6) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    def _targets(self, codes: Array) -> tuple[str, Array]:
        k = len(self.classes_)
        return ("_logistic", codes[:, None].astype(np.float64)) if k == 2 else ("_multinomial", np.eye(k)[codes])

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, classes)."""
        z = self.decision_function(X)
        return np.stack([expit(-z), expit(z)], axis=1) if z.ndim == 1 else softmax(z, axis=1)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities, without underflow."""
        z = self.decision_function(X)
        return np.stack([log_expit(-z), log_expit(z)], axis=1) if z.ndim == 1 else log_softmax(z, axis=1)


class LinearSVM(_LinearClassifier):
    r"""Linear support vector machine: $\min_{w, b} C \sum_i s_i \max(0, 1 - y_i (w^\top x_i + b))^2 + \frac12 \lVert w \rVert_2^2$.

    With more than two classes, one such problem for each class against the rest.

    Args:
        C: inverse strength of the penalty, above 0.
        fit_intercept: is there a b?  It has no penalty (scikit-learn's LinearSVC penalises it).
        max_iter: most steps of L-BFGS.
        tol: norm of the gradient, per example, to stop at.

    Attributes:
        classes_: the labels.
        coef_: w, of shape (classes, features), (1, features) for two classes.
        intercept_: b, of shape (classes,) or (1,).
        n_iter_: steps taken.
    """

    def __init__(self, C: float = 1.0, *, fit_intercept: bool = True, max_iter: int = 1000, tol: float = 1e-6) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    def _targets(self, codes: Array) -> tuple[str, Array]:
        k = len(self.classes_)
        which = codes[:, None] == ([1] if k == 2 else np.arange(k))
        return "_margins", np.where(which, 1.0, -1.0)
