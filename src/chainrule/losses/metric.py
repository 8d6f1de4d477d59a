"""Losses that place examples at distances from each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import errors
from chainrule.losses.classification import shares
from chainrule.losses.loss import Facts, Loss, as_array, per_example, real, reduced, share
from chainrule.special import log_softmax, softmax


def _shortfall(y: Any, d: Any, margin: Any) -> Any:
    return np.where(d < margin, margin - d, 0.0)


contrastive = Loss(
    "contrastive",
    lambda y, d, margin: y * np.square(d) + (1 - y) * np.square(_shortfall(y, d, margin)),
    lambda y, d, margin: 2 * y * d - 2 * (1 - y) * _shortfall(y, d, margin),
    r"\frac{1}{n} \sum_{i=1}^{n} \left[ y_i d_i^2 + (1 - y_i) \max(0, m - d_i)^2 \right]",
    r"\frac{2}{n} \left[ y_i d_i - (1 - y_i) \max(0, m - d_i) \right]",
    Facts(
        "y is 1 for a like pair, 0 for an unlike one; y_pred is the distance d >= 0", convex=True, differentiable=True, smooth="2",
        minimiser="0 for like pairs, at least the margin for unlike ones", hessian="2 where a pair counts",
        source="Hadsell, Chopra and LeCun 2006, equation 4, times 2 and with y = 1 for like pairs",
    ),
    defaults={"margin": 1.0},
    targets=shares,
)  # fmt: skip
"""Contrastive loss of a distance."""


def _cosine(y: Any, p: Any) -> Any:
    return 1 - np.sum(y * p, axis=-1) / (_norm(y) * _norm(p))


def _norm(x: Any) -> Any:
    return np.sqrt(np.sum(np.square(x), axis=-1))


def _cosine_slope(y: Any, p: Any) -> Any:
    u, v = np.expand_dims(_norm(y), -1), np.expand_dims(_norm(p), -1)
    similarity = np.sum(y * p, axis=-1, keepdims=True) / (u * v)
    return -(y / (u * v) - similarity * p / np.square(v))


cosine = Loss(
    "cosine",
    _cosine,
    _cosine_slope,
    r"\frac{1}{n} \sum_{i=1}^{n} \left( 1 - \frac{y_i^\top \hat{y}_i}{\|y_i\| \|\hat{y}_i\|} \right)",
    r"-\frac{1}{n} \left( \frac{y_i}{\|y_i\| \|\hat{y}_i\|} - \cos_i \frac{\hat{y}_i}{\|\hat{y}_i\|^2} \right)",
    Facts("vectors other than 0 on the last axis", convex=False, differentiable=True, minimiser="any positive multiple of y",
          hessian="indefinite", source="Singhal 2001, IEEE Data Eng. Bull. 24(4)"),
    axes=1,
)  # fmt: skip
"""One minus the cosine of the angle between vectors on the last axis."""


def _info_nce(keys: Any, queries: Any, temperature: Any) -> Any:
    scores = log_softmax(queries @ np.swapaxes(keys, -1, -2) / temperature, axis=-1)
    return -np.sum(scores * np.eye(np.shape(scores)[-1], dtype=scores.dtype), axis=-1)


def _info_nce_slope(keys: Any, queries: Any, temperature: Any) -> Any:
    p = softmax(queries @ np.swapaxes(keys, -1, -2) / temperature, axis=-1)
    return (p - np.eye(np.shape(p)[-1], dtype=p.dtype)) @ keys / temperature


info_nce = Loss(
    "info_nce",
    _info_nce,
    _info_nce_slope,
    r"-\frac{1}{n} \sum_{i=1}^{n} \ln \frac{e^{q_i^\top k_i / \tau}}{\sum_j e^{q_i^\top k_j / \tau}}",
    r"\frac{1}{n \tau} \sum_j \left( s_{ij} - [i = j] \right) k_j, \quad s = \operatorname{softmax}(q k^\top / \tau)",
    Facts("y_true are the keys, y_pred the queries, shape (n, d), row i of each belongs together; temperature > 0", convex=True,
          differentiable=True, minimiser="queries close to their own key and far from the others", hessian="positive semi-definite in the queries",
          source="van den Oord, Li and Vinyals 2018, equation 4, with a temperature"),
    axes=1,
    defaults={"temperature": 0.1},
)  # fmt: skip
"""InfoNCE: each query must find its own key among all keys of the batch."""


class Triplet:
    """Triplet loss, ``triplet(anchor, positive, negative, margin=1.0)``: mean of max(0, d(a, p) - d(a, n) + margin).

    ``d`` is the squared Euclidean distance over the last axis; ``squared=False`` takes the distance itself.
    """

    name = "triplet"
    latex = r"\frac{1}{n} \sum_{i=1}^{n} \max(0, d(a_i, p_i) - d(a_i, n_i) + \alpha), \quad d(u, v) = \|u - v\|^2"
    derivative_latex = r"\frac{2}{n} (n_i - p_i), \quad \frac{2}{n} (p_i - a_i), \quad \frac{2}{n} (a_i - n_i) \quad \text{where the maximum is not } 0"
    facts = Facts(
        "vectors on the last axis; margin >= 0", convex=False, differentiable=False,
        minimiser="every negative farther away than the positive by the margin", hessian="indefinite",
        kink="0 where the maximum is just 0, and 0 for the distance of equal vectors with squared=False",
        source="Schroff, Kalenichenko and Philbin 2015, equation 2, divided by n",
    )  # fmt: skip

    def __call__(
        self,
        anchor: Any,
        positive: Any,
        negative: Any,
        margin: Any = 1.0,
        *,
        squared: bool = True,
        weights: Any = None,
        reduction: str = "mean",
    ) -> Any:
        """The loss as one number, or one per example with ``reduction="none"``."""
        a, p, n = self._checked(anchor, positive, negative)
        gap = self._distance(a - p, squared) - self._distance(a - n, squared) + margin
        values = np.where(gap <= 0, 0.0, gap)
        return reduced(values, per_example(weights, np.shape(values), "triplet"), reduction)

    def derivative(
        self,
        anchor: Any,
        positive: Any,
        negative: Any,
        margin: Any = 1.0,
        *,
        squared: bool = True,
        weights: Any = None,
        reduction: str = "mean",
    ) -> tuple[Any, Any, Any]:
        """Derivatives with respect to anchor, positive and negative."""
        a, p, n = self._checked(anchor, positive, negative)
        near, far = a - p, a - n
        gap = self._distance(near, squared) - self._distance(far, squared) + margin
        factor = share(per_example(weights, np.shape(gap), "triplet"), np.shape(gap), reduction)
        on = np.expand_dims((gap > 0).astype(gap.dtype) * factor, -1)
        du, dv = on * self._slope(near, squared), on * self._slope(far, squared)
        return du - dv, -du, dv

    @staticmethod
    def _checked(anchor: Any, positive: Any, negative: Any) -> tuple[Any, Any, Any]:
        a, p, n = [real("triplet", as_array(x)) for x in (anchor, positive, negative)]
        if not np.shape(a) == np.shape(p) == np.shape(n):
            raise errors.ShapeError(
                f"triplet: anchor, positive and negative have shapes {np.shape(a)}, {np.shape(p)} and {np.shape(n)}; they must be equal"
            )
        return a, p, n

    @staticmethod
    def _distance(u: Any, squared: bool) -> Any:
        s = np.sum(np.square(u), axis=-1)
        return s if squared else np.where(s == 0, 0.0, np.sqrt(s))

    @staticmethod
    def _slope(u: Any, squared: bool) -> Any:
        if squared:
            return 2 * u
        s = np.sum(np.square(u), axis=-1, keepdims=True)
        return np.where(s > 0, u / np.sqrt(np.where(s > 0, s, 1.0)), 0.0)

    def __repr__(self) -> str:
        return "<loss triplet>"


triplet = Triplet()
"""Triplet loss: an anchor closer to its positive than to its negative by a margin."""
