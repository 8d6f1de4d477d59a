"""Losses for classes: p stands for predicted probabilities, z for logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from chainrule import errors
from chainrule.losses.loss import Facts, Loss
from chainrule.special import log_softmax, softmax


def clipped(p: Any, eps: Any) -> Any:
    """Probabilities kept `eps` away from 0 and 1."""
    return np.clip(p, eps, 1 - eps) if eps else p


def ratio(y: Any, p: Any) -> Any:
    """y / p, and 0 where y is 0 whatever p is."""
    none = y == 0
    return np.where(none, 0.0, y / np.where(none, 1.0, p))


def inside(p: Any, eps: Any) -> Any:
    """Derivative of clipping: 1 between the bounds, 0 beyond."""
    return ((p >= eps) & (p <= 1 - eps)) * 1.0 if eps else 1.0


# --- two classes ----------------------------------------------------------------------------------------------------------------


def _bce(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    if from_logits:
        return np.logaddexp(0.0, p) - y * p
    p = clipped(p, eps)
    return -(sp.xlogy(y, p) + sp.xlog1py(1 - y, -p))


def _bce_slope(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    if from_logits:
        return sp.expit(p) - y
    q = clipped(p, eps)
    return (ratio(1 - y, 1 - q) - ratio(y, q)) * inside(p, eps)


binary_cross_entropy = Loss(
    "binary_cross_entropy",
    _bce,
    _bce_slope,
    r"-\frac{1}{n} \sum_{i=1}^{n} \left[ y_i \ln \hat{y}_i + (1 - y_i) \ln(1 - \hat{y}_i) \right]",
    r"\frac{1}{n} \frac{\hat{y}_i - y_i}{\hat{y}_i (1 - \hat{y}_i)}",
    Facts(
        "y in [0, 1]; predicted probabilities in [0, 1] (any real number with from_logits=True)", convex=True, differentiable=True,
        lipschitz="1 with from_logits=True, none for probabilities", smooth="1/4 with from_logits=True, none for probabilities",
        minimiser="P(y = 1 given x)", link="logistic sigmoid", hessian="y / p^2 + (1 - y) / (1 - p)^2 (p (1 - p) for logits)",
        source="Bishop 2006, equation 4.90, divided by n",
    ),
    defaults={"from_logits": False, "eps": 0.0},
)  # fmt: skip
"""Cross-entropy of a probability.  A probability of 0 for what happened costs infinity, unless `eps` clips it."""


def _margin(y: Any, p: Any) -> Any:
    return y * p


hinge = Loss(
    "hinge",
    lambda y, p: np.where(_margin(y, p) < 1, 1 - _margin(y, p), 0.0),
    lambda y, p: np.where(_margin(y, p) < 1, -y, 0.0 * y),
    r"\frac{1}{n} \sum_{i=1}^{n} \max(0, 1 - y_i \hat{y}_i)",
    r"\frac{1}{n} \begin{cases} -y_i & y_i \hat{y}_i < 1 \\ 0 & \text{otherwise} \end{cases}",
    Facts(
        "y in {-1, 1}; predictions are real scores", convex=True, differentiable=False, lipschitz="1",
        minimiser="sign of P(y = 1 given x) - 1/2", hessian="0 away from the kink", kink="0 at margin 1, out of [-y, 0]",
        source="Cortes and Vapnik 1995; Hastie, Tibshirani and Friedman 2009, equation 12.25",
    ),
)  # fmt: skip
"""Hinge loss of a support vector machine."""

squared_hinge = Loss(
    "squared_hinge",
    lambda y, p: np.square(np.where(_margin(y, p) < 1, 1 - _margin(y, p), 0.0)),
    lambda y, p: -2 * y * np.where(_margin(y, p) < 1, 1 - _margin(y, p), 0.0),
    r"\frac{1}{n} \sum_{i=1}^{n} \max(0, 1 - y_i \hat{y}_i)^2",
    r"-\frac{2}{n} y_i \max(0, 1 - y_i \hat{y}_i)",
    Facts(
        "y in {-1, 1}; predictions are real scores", convex=True, differentiable=True, smooth="2",
        minimiser="2 P(y = 1 given x) - 1", hessian="2 where the margin is below 1, 0 above", source="Chang, Hsieh and Lin 2008, equation 2",
    ),
)  # fmt: skip
"""Squared hinge loss: the margin's shortfall, squared."""


# --- many classes, on the last axis -------------------------------------------------------------------------------------------------


def _cce(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    if from_logits:
        return -np.sum(y * np.where(y == 0, 0.0, log_softmax(p, axis=-1)), axis=-1)
    return -np.sum(sp.xlogy(y, clipped(p, eps)), axis=-1)


def _cce_slope(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    if from_logits:
        return softmax(p, axis=-1) * np.sum(y, axis=-1, keepdims=True) - y
    return -ratio(y, clipped(p, eps)) * inside(p, eps)


_MANY: dict[str, Any] = {
    "minimiser": "P(class given x)", "link": "softmax", "hessian": "diag(y / p^2) (diag(p) - p p^T for logits)", "convex": True,
    "differentiable": True, "lipschitz": "sqrt(2) with from_logits=True, none for probabilities",
    "smooth": "1/2 with from_logits=True, none for probabilities",
}  # fmt: skip

categorical_cross_entropy = Loss(
    "categorical_cross_entropy",
    _cce,
    _cce_slope,
    r"-\frac{1}{n} \sum_{i=1}^{n} \sum_{j=1}^{C} y_{ij} \ln \hat{y}_{ij}",
    r"-\frac{1}{n} \frac{y_{ij}}{\hat{y}_{ij}}",
    Facts("rows of y sum to 1; rows of predictions too (any real numbers with from_logits=True)",
          source="Bishop 2006, equation 4.108, divided by n", **_MANY),
    axes=1,
    defaults={"from_logits": False, "eps": 0.0},
)  # fmt: skip
"""Cross-entropy of class probabilities on the last axis, targets one-hot or probabilities."""


def _one_hot(y: Any, classes: int) -> Any:
    if np.dtype(y.dtype).kind not in "iu":
        raise errors.DtypeError(f"sparse_categorical_cross_entropy: labels are integers, not {y.dtype}")
    return (np.expand_dims(y, -1) == np.arange(classes)) * 1.0


def _sparse(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    return _cce(_one_hot(y, np.shape(p)[-1]), p, from_logits, eps)


def _sparse_slope(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    return _cce_slope(_one_hot(y, np.shape(p)[-1]), p, from_logits, eps)


sparse_categorical_cross_entropy = Loss(
    "sparse_categorical_cross_entropy",
    _sparse,
    _sparse_slope,
    r"-\frac{1}{n} \sum_{i=1}^{n} \ln \hat{y}_{i y_i}",
    r"-\frac{1}{n} \frac{[j = y_i]}{\hat{y}_{ij}}",
    Facts("integer labels 0 <= y < C; rows of predictions sum to 1 (any real numbers with from_logits=True)",
          source="Bishop 2006, equation 4.108, divided by n, with the class as a number", **_MANY),
    axes=1,
    defaults={"from_logits": False, "eps": 0.0},
    labels=True,
)  # fmt: skip
"""Cross-entropy of class probabilities on the last axis, targets class numbers."""


# --- focal ------------------------------------------------------------------------------------------------------------------------------


def _many_classes(p: Any) -> bool:
    return np.ndim(p) >= 2 and np.shape(p)[-1] > 1


def _focal_term(p: Any, gamma: Any) -> Any:
    """-(1 - p)^gamma ln p, the cost of probability p for what happened."""
    return -((1 - p) ** gamma) * np.log(p)


def _focal_term_slope(p: Any, gamma: Any) -> Any:
    bend = 0.0 if gamma == 0 else gamma * (1 - p) ** (gamma - 1) * np.log(p)
    return bend - (1 - p) ** gamma / p


def _weighted(y: Any, term: Any, gamma: Any, p: Any) -> Any:
    """y term(p), and 0 where y is 0 whatever p is."""
    none = y == 0
    return np.where(none, 0.0, y * term(np.where(none, 0.5, p), gamma))


def _focal(y: Any, p: Any, gamma: Any, alpha: Any, from_logits: bool, eps: Any) -> Any:
    if _many_classes(p):
        p = clipped(softmax(p, axis=-1) if from_logits else p, eps)
        terms = _weighted(y, _focal_term, gamma, p)
        return np.sum(terms if alpha is None else np.asarray(alpha) * terms, axis=-1)
    p = clipped(sp.expit(p) if from_logits else p, eps)
    positive, negative = _weighted(y, _focal_term, gamma, p), _weighted(1 - y, _focal_term, gamma, 1 - p)
    return positive + negative if alpha is None else alpha * positive + (1 - alpha) * negative


def _focal_slope(y: Any, p: Any, gamma: Any, alpha: Any, from_logits: bool, eps: Any) -> Any:
    many = _many_classes(p)
    link = (softmax(p, axis=-1) if many else sp.expit(p)) if from_logits else p
    q = clipped(link, eps)
    first = _weighted(y, _focal_term_slope, gamma, q)
    if many:
        slope = first if alpha is None else np.asarray(alpha) * first
    else:
        second = _weighted(1 - y, _focal_term_slope, gamma, 1 - q)
        slope = first - second if alpha is None else alpha * first - (1 - alpha) * second
    slope = slope * inside(link, eps)
    if not from_logits:
        return slope
    return link * (slope - np.sum(slope * link, axis=-1, keepdims=True)) if many else slope * link * (1 - link)


class _Focal(Loss):
    """Focal loss has one example per element for two classes, per row for many."""

    def derivative(self, y_true: Any, y_pred: Any, **kwargs: Any) -> Any:
        if not _many_classes(y_pred):
            return super().derivative(y_true, y_pred, **kwargs)
        from dataclasses import replace

        return Loss.derivative(replace(self, axes=1), y_true, y_pred, **kwargs)


focal = _Focal(
    "focal",
    _focal,
    _focal_slope,
    r"-\frac{1}{n} \sum_{i=1}^{n} (1 - p_i)^\gamma \ln p_i, \quad p_i = \hat{y}_i \text{ where } y_i = 1, \; 1 - \hat{y}_i \text{ where } y_i = 0",
    r"\frac{\pm 1}{n} \left( \gamma (1 - p_i)^{\gamma - 1} \ln p_i - \frac{(1 - p_i)^\gamma}{p_i} \right)",
    Facts(
        "y in {0, 1} (or one-hot rows); predicted probabilities in (0, 1) (any real number with from_logits=True); gamma >= 0",
        convex=False, differentiable=True, minimiser="not P(y = 1 given x) unless gamma = 0: it is pulled towards 1/2",
        link="logistic sigmoid or softmax", hessian="may be negative for logits when gamma > 0",
        source="Lin et al. 2017, equations 4 and 5",
    ),
    defaults={"gamma": 2.0, "alpha": None, "from_logits": False, "eps": 0.0},
)  # fmt: skip
"""Cross-entropy with well-predicted examples turned down by (1 - p)^gamma; binary, or many classes on the last axis."""
