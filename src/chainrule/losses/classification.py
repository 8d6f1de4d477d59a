"""Losses for classes: p stands for predicted probabilities, z for logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.special as sp

from chainrule import errors
from chainrule.losses.loss import SLACK, Facts, Loss, known
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
    return (p >= eps) & (p <= 1 - eps) if eps else 1.0


def shares(y: Any) -> Any:
    """Is it a probability?"""
    return (y >= -SLACK) & (y <= 1 + SLACK)


def signs(y: Any) -> Any:
    """Is it -1 or 1?"""
    return np.abs(np.abs(y) - 1) <= SLACK


# --- two classes ----------------------------------------------------------------------------------------------------------------


def _bce(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    if from_logits:  # ln(e^{-y z} + e^{(1 - y) z}): nothing cancels, and an infinite logit that counts for nothing is none
        return np.logaddexp(-y * np.where(y == 0, 0.0, p), (1 - y) * np.where(y == 1, 0.0, p))
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
    targets=shares,
)  # fmt: skip
"""Cross-entropy of a probability.  A probability of 0 for what happened costs infinity, unless `eps` clips it."""


def _shortfall(y: Any, p: Any) -> Any:
    """By how much the margin is short of 1; NaN where there is none."""
    short = 1 - y * p
    return np.where(short <= 0, 0.0, short)


hinge = Loss(
    "hinge",
    _shortfall,
    lambda y, p: np.where(y * p >= 1, 0.0 * y, -y),
    r"\frac{1}{n} \sum_{i=1}^{n} \max(0, 1 - y_i \hat{y}_i)",
    r"\frac{1}{n} \begin{cases} -y_i & y_i \hat{y}_i < 1 \\ 0 & \text{otherwise} \end{cases}",
    Facts(
        "y in {-1, 1}; predictions are real scores", convex=True, differentiable=False, lipschitz="1",
        minimiser="sign of P(y = 1 given x) - 1/2", hessian="0 away from the kink", kink="0 at margin 1, out of [-y, 0]",
        source="Cortes and Vapnik 1995; Hastie, Tibshirani and Friedman 2009, equation 12.25",
    ),
    targets=signs,
)  # fmt: skip
"""Hinge loss of a support vector machine."""

squared_hinge = Loss(
    "squared_hinge",
    lambda y, p: np.square(_shortfall(y, p)),
    lambda y, p: -2 * y * _shortfall(y, p),
    r"\frac{1}{n} \sum_{i=1}^{n} \max(0, 1 - y_i \hat{y}_i)^2",
    r"-\frac{2}{n} y_i \max(0, 1 - y_i \hat{y}_i)",
    Facts(
        "y in {-1, 1}; predictions are real scores", convex=True, differentiable=True, smooth="2",
        minimiser="2 P(y = 1 given x) - 1", hessian="2 where the margin is below 1, 0 above", source="Chang, Hsieh and Lin 2008, equation 2",
    ),
    targets=signs,
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
    targets=shares,
)  # fmt: skip
"""Cross-entropy of class probabilities on the last axis, targets one-hot or probabilities."""


def _one_hot(y: Any, p: Any) -> Any:
    """Rows of zeros with a 1 for the class, in the dtype of the predictions; of NaN where there is no such class."""
    if np.dtype(y.dtype).kind not in "iu":
        raise errors.DtypeError(f"sparse_categorical_cross_entropy: labels are integers, not {y.dtype}")
    classes, dtype = np.shape(p)[-1], np.dtype(p.dtype)
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    labels, numbers = known(y), np.arange(classes)
    if labels is None:  # compiled: the labels are seen when it is too late to raise
        y = np.expand_dims(y, -1)
        return np.where((y >= 0) & (y < classes), (y == numbers).astype(dtype), dtype.type(np.nan))
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"sparse_categorical_cross_entropy: the predictions are for {classes} classes, so labels are 0 to {classes - 1}, "
            f"and y_true holds {labels.min()} to {labels.max()}"
        )
    return (np.expand_dims(y, -1) == numbers).astype(dtype)


def _sparse(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    return _cce(_one_hot(y, p), p, from_logits, eps)


def _sparse_slope(y: Any, p: Any, from_logits: bool, eps: Any) -> Any:
    return _cce_slope(_one_hot(y, p), p, from_logits, eps)


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


class _Side(NamedTuple):
    """What may have happened: its target, its probability p, 1 - p and ln p, each without cancellation."""

    y: Any
    p: Any
    rest: Any
    log: Any

    @classmethod
    def of(cls, y: Any, p: Any, rest: Any, log: Any) -> _Side:
        """With numbers that do no harm where the target is 0."""
        none = y == 0
        return cls(y, *[np.where(none, safe, x) for safe, x in zip((0.5, 0.5, 0.0), (p, rest, log), strict=True)])


def _sides(y: Any, p: Any, from_logits: bool, eps: Any) -> list[_Side]:
    """One side for rows of classes, yes and no for two classes."""
    many, direct = _many_classes(p), from_logits and not eps
    if direct and many:
        q = softmax(p, axis=-1)
        return [_Side.of(y, q, 1 - q, log_softmax(p, axis=-1))]
    if direct:
        yes, no = sp.expit(p), sp.expit(-p)
        return [_Side.of(y, yes, no, -np.logaddexp(0.0, -p)), _Side.of(1 - y, no, yes, -np.logaddexp(0.0, p))]
    q = clipped(_link(p, from_logits), eps)
    shown = [(y, q, 1 - q)] if many else [(y, q, 1 - q), (1 - y, 1 - q, q)]
    return [_Side.of(t, a, b, np.log(np.where(t == 0, 1.0, a))) for t, a, b in shown]


def _link(p: Any, from_logits: bool) -> Any:
    return p if not from_logits else softmax(p, axis=-1) if _many_classes(p) else sp.expit(p)


def _focal_cost(s: _Side, gamma: Any) -> Any:
    """-y (1 - p)^gamma ln p; 0 at p = 1 without a root of 0 to differentiate."""
    sure = (s.rest == 0) & (gamma != 0)
    return -s.y * np.where(sure, 0.0, np.where(sure, 1.0, s.rest) ** gamma * s.log)


def _focal_gain(s: _Side, gamma: Any) -> Any:
    """The derivative of the cost by ln p, y (1 - p)^gamma (gamma p ln p / (1 - p) - 1)."""
    sure, never = s.rest == 0, s.p == 0
    bend = np.where(sure, -1.0, s.p * np.where(never, 0.0, s.log) / np.where(sure, 1.0, s.rest))
    return s.y * s.rest**gamma * (gamma * bend - 1)


def _balanced(alpha: Any, parts: list[Any]) -> Any:
    """Classes weighted: by a number each, or by alpha and 1 - alpha."""
    if len(parts) == 1:
        return parts[0] if alpha is None else np.asarray(alpha, parts[0].dtype) * parts[0]
    yes, no = parts
    return yes + no if alpha is None else alpha * yes + (1 - alpha) * no


def _focal(y: Any, p: Any, gamma: Any, alpha: Any, from_logits: bool, eps: Any) -> Any:
    cost = _balanced(alpha, [_focal_cost(s, gamma) for s in _sides(y, p, from_logits, eps)])
    return np.sum(cost, axis=-1) if _many_classes(p) else cost


def _focal_slope(y: Any, p: Any, gamma: Any, alpha: Any, from_logits: bool, eps: Any) -> Any:
    many, sides = _many_classes(p), _sides(y, p, from_logits, eps)
    gains = [_focal_gain(s, gamma) for s in sides]
    if not from_logits or eps:
        signs = (1.0, -1.0)
        link = _link(p, from_logits)
        slope = _balanced(alpha, [d * g / s.p for d, g, s in zip(signs, gains, sides, strict=False)]) * inside(link, eps)
        if not from_logits:
            return slope
        return link * (slope - np.sum(slope * link, axis=-1, keepdims=True)) if many else slope * link * (1 - link)
    if many:
        gain = _balanced(alpha, gains)
        return gain - softmax(p, axis=-1) * np.sum(gain, axis=-1, keepdims=True)
    return _balanced(alpha, [gains[0] * sides[0].rest, -gains[1] * sides[1].rest])


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
    targets=shares,
)  # fmt: skip
"""Cross-entropy with well-predicted examples turned down by (1 - p)^gamma; binary, or many classes on the last axis."""
