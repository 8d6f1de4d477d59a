"""Losses: each a formula, its exact derivative, and the facts one chooses by.

``loss(y_true, y_pred, *, weights=None, reduction="mean", ...)`` is plain NumPy code, so it can be differentiated,
derived, compiled and batched like any function; ``loss.derivative`` is the derivative written out, ``loss.latex`` the
formula, ``loss.facts`` what is known about it.

Example:
    >>> import numpy as np, chainrule as cr
    >>> y, p = np.array([1.0, 2.0]), np.array([1.5, 1.0])
    >>> float(cr.losses.mse(y, p)), cr.losses.mse.derivative(y, p).tolist()
    (0.625, [0.5, -1.0])
"""

from __future__ import annotations

from chainrule.losses.classification import (
    binary_cross_entropy,
    categorical_cross_entropy,
    focal,
    hinge,
    sparse_categorical_cross_entropy,
    squared_hinge,
)
from chainrule.losses.divergence import js_divergence, kl_divergence
from chainrule.losses.loss import Facts, Loss
from chainrule.losses.metric import contrastive, cosine, info_nce, triplet
from chainrule.losses.regression import huber, log_cosh, mae, mse, poisson, quantile

LOSSES = {
    loss.name: loss
    for loss in (
        mse, mae, huber, log_cosh, quantile, poisson, binary_cross_entropy, categorical_cross_entropy,
        sparse_categorical_cross_entropy, hinge, squared_hinge, focal, kl_divergence, js_divergence, triplet, contrastive,
        info_nce, cosine,
    )
}  # fmt: skip
"""Every loss, by name."""

__all__ = [
    "LOSSES", "Facts", "Loss", "binary_cross_entropy", "categorical_cross_entropy", "contrastive", "cosine", "focal", "hinge", "huber",
    "info_nce", "js_divergence", "kl_divergence", "log_cosh", "mae", "mse", "poisson", "quantile", "sparse_categorical_cross_entropy",
    "squared_hinge", "triplet",
]  # fmt: skip
