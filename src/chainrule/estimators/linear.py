"""Linear regression, with and without penalties."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from chainrule.estimators.common import Array, checked, new_data, not_negative, positive, warn_unfinished, weights_of
from chainrule.regularizers import soft_threshold


class _Linear(RegressorMixin, BaseEstimator):
    """Predictions of a linear model."""

    coef_: Array
    intercept_: Any
    fit_intercept: bool

    def predict(self, X: Any) -> Array:
        """$X w + b$, for X of shape (n, features)."""
        return new_data(self, X) @ self.coef_.T + self.intercept_

    def _centred(self, x: Array, y: Array, weights: Array) -> tuple[Array, Array, Array, Any]:
        """x and y less their means if there is an intercept, and the means."""
        if not self.fit_intercept:
            return x, y, np.zeros(x.shape[1]), np.zeros(y.shape[1:])
        x_mean, y_mean = np.average(x, axis=0, weights=weights), np.average(y, axis=0, weights=weights)
        return x - x_mean, y - y_mean, x_mean, y_mean

    def _finish(self, coef: Array, x_mean: Array, y_mean: Any) -> None:
        self.coef_ = coef
        self.intercept_ = y_mean - x_mean @ coef.T


class LinearRegression(MultiOutputMixin, _Linear):
    r"""Least squares: $\min_{w, b} \sum_i s_i (y_i - w^\top x_i - b)^2$, and of all minimisers the one of least norm.

    Args:
        fit_intercept: is there a b?

    Attributes:
        coef_: w, of shape (features,), or (targets, features) for several targets.
        intercept_: b.

    Numerics: by the singular values of the centred matrix, not from the normal equations, whose condition is squared.
    """

    def __init__(self, *, fit_intercept: bool = True) -> None:
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearRegression:
        """Fit to X (n, features) and y (n,) or (n, targets), with a weight s per example."""
        x, y = checked(self, X, y, y_numeric=True, multi_output=True)
        w = weights_of(sample_weight, x)
        x, y, x_mean, y_mean = self._centred(x, y.astype(np.float64), w)
        coef, _, self.rank_, self.singular_ = np.linalg.lstsq(*_rooted(x, y, w))
        self._finish(coef.T, x_mean, y_mean)
        return self


def _rooted(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    root = np.sqrt(weights)
    return x * root[:, None], (y.T * root).T


class Ridge(MultiOutputMixin, _Linear):
    r"""Least squares with a squared penalty: $\min_{w, b} \sum_i s_i (y_i - w^\top x_i - b)^2 + \alpha \lVert w \rVert_2^2$.

    Args:
        alpha: strength of the penalty, 0 or more.
        fit_intercept: is there a b, which has no penalty?

    Attributes:
        coef_: w, of shape (features,), or (targets, features) for several targets.
        intercept_: b.

    Numerics: least squares with rows $\sqrt\alpha I$ added, without normal equations.
    """

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Ridge:
        """Fit to X (n, features) and y (n,) or (n, targets), with a weight s per example."""
        not_negative(alpha=self.alpha)
        x, y = checked(self, X, y, y_numeric=True, multi_output=True)
        w = weights_of(sample_weight, x)
        x, y, x_mean, y_mean = self._centred(x, y.astype(np.float64), w)
        x, y = _rooted(x, y, w)
        more = np.sqrt(self.alpha) * np.eye(x.shape[1])
        coef = np.linalg.lstsq(np.vstack([x, more]), np.concatenate([y, np.zeros((len(more), *y.shape[1:]))]))[0]
        self._finish(coef.T, x_mean, y_mean)
        return self


class ElasticNet(_Linear):
    r"""Least squares with both penalties.

    $\min_{w, b} \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - w^\top x_i - b)^2 + \alpha \rho \lVert w \rVert_1
    + \frac{\alpha (1 - \rho)}{2} \lVert w \rVert_2^2$, which is `cr.regularizers.elastic_net` with
    $\lambda_1 = \alpha \rho$ and $\lambda_2 = \alpha (1 - \rho) / 2$.

    Args:
        alpha: strength of the penalties, 0 or more.
        l1_ratio: $\rho$, the share of the first, from 0 to 1.
        fit_intercept: is there a b, which has no penalty?
        max_iter: most steps.
        tol: when to stop: norm of the gradient mapping relative to that at w = 0.

    Attributes:
        coef_: w, of shape (features,), with exact zeros.
        intercept_: b.
        n_iter_: steps taken.

    Numerics: accelerated proximal gradient steps, started again when they overshoot; whenever the signs of w have settled, the
    minimiser with these signs is computed exactly, and taken if it satisfies the optimality conditions.

    Source: Beck and Teboulle 2009, section 4; O'Donoghue and Candes 2015, section 3.2 (gradient restart).
    """

    def __init__(
        self, alpha: float = 1.0, *, l1_ratio: float = 0.5, fit_intercept: bool = True, max_iter: int = 10_000, tol: float = 1e-8
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol

    def _penalties(self) -> tuple[float, float]:
        """Factors of |w|_1 and of |w|_2^2 / 2."""
        not_negative(alpha=self.alpha)
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio must be between 0 and 1, and is {self.l1_ratio!r}")
        return self.alpha * self.l1_ratio, self.alpha * (1 - self.l1_ratio)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ElasticNet:
        """Fit to X (n, features) and y (n,), with a weight s per example."""
        positive(max_iter=self.max_iter, tol=self.tol)
        first, second = self._penalties()
        x, y = checked(self, X, y, y_numeric=True)
        w = weights_of(sample_weight, x)
        x, y, x_mean, y_mean = self._centred(x, y.astype(np.float64), w)
        x, y = _rooted(x, y, w / w.sum())
        coef, self.n_iter_, done = sparse_least_squares(x, y, first, second, self.max_iter, self.tol)
        if not done:
            warn_unfinished(self, self.n_iter_, f"the gradient mapping is not below tol={self.tol}")
        self._finish(coef, x_mean, y_mean)
        return self


class Lasso(ElasticNet):
    r"""Least squares with a penalty on absolute values: `ElasticNet` with $\rho = 1$.

    $\min_{w, b} \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - w^\top x_i - b)^2 + \alpha \lVert w \rVert_1$.

    Args:
        alpha: strength of the penalty, 0 or more.
        fit_intercept, max_iter, tol: as for `ElasticNet`, and so are the attributes.
    """

    def __init__(self, alpha: float = 1.0, *, fit_intercept: bool = True, max_iter: int = 10_000, tol: float = 1e-8) -> None:
        super().__init__(alpha, l1_ratio=1.0, fit_intercept=fit_intercept, max_iter=max_iter, tol=tol)

    def _penalties(self) -> tuple[float, float]:
        not_negative(alpha=self.alpha)
        return self.alpha, 0.0


def sparse_least_squares(x: Array, y: Array, first: float, second: float, steps: int, tol: float) -> tuple[Array, int, bool]:
    r"""$\arg\min_w \frac12 \lVert X w - y \rVert^2 + \lambda_1 \lVert w \rVert_1 + \frac{\lambda_2}{2} \lVert w \rVert_2^2$.

    Args:
        x, y: X of shape (n, features), y of shape (n,).
        first, second: lambda_1 and lambda_2.
        steps: most steps.
        tol: norm of the gradient mapping to stop at, relative to that at w = 0.

    Returns:
        w, the number of steps, and whether w is the minimiser.
    """
    c = x.T @ y
    gram = x.T @ x if x.shape[1] <= x.shape[0] else None
    curvature = np.linalg.norm(x, 2) ** 2 + second
    if curvature == 0:
        return np.zeros_like(c), 0, True

    def slope(w: Array) -> Array:
        return (gram @ w if gram is not None else x.T @ (x @ w)) - c + second * w

    w = before = np.zeros_like(c)
    t, floor, signs, k = 1.0, 0.0, np.zeros_like(c), 0
    for k in range(1, steps + 1):
        after = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        at = w + ((t - 1) / after) * (w - before)
        new = soft_threshold(at - slope(at) / curvature, first / curvature)
        size = float(np.linalg.norm(new - at)) * curvature
        floor = floor or size
        w, before, t = new, w, after
        if (at - new) @ (w - before) > 0:
            before, t = w, 1.0
        exact = _with_signs(x, c, np.sign(w), first, second, slope) if k % 20 == 0 and np.array_equal(signs, np.sign(w)) else None
        if exact is not None:
            return exact, k, True
        if size <= tol * floor:
            return w, k, True
        signs = np.sign(w)
    return w, k, False


def _with_signs(x: Array, c: Array, signs: Array, first: float, second: float, slope: Any) -> Array | None:
    """The minimiser, if it has these signs."""
    on = signs != 0
    w = np.zeros_like(c)
    part = x[:, on]
    try:
        w[on] = np.linalg.solve(part.T @ part + second * np.eye(part.shape[1]), c[on] - first * signs[on])
    except np.linalg.LinAlgError:
        return None
    g, slack = slope(w), 1e-10 * max(float(np.abs(c).max(initial=0.0)), first)
    optimal = np.abs(g[~on]).max(initial=0.0) <= first + slack and np.abs(g[on] + first * signs[on]).max(initial=0.0) <= slack
    return w if optimal and np.array_equal(np.sign(w), signs) else None
