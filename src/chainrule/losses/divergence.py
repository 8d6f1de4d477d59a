"""Distances between distributions on the last axis: the first argument is the truth, the second the model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sp

from chainrule.losses.classification import ratio
from chainrule.losses.loss import Facts, Loss

LN2 = math.log(2.0)
_DOMAIN = "rows of both arguments are probabilities"

kl_divergence = Loss(
    "kl_divergence",
    lambda p, q: np.sum(sp.rel_entr(p, q), axis=-1),
    lambda p, q: -ratio(p, q),
    r"\frac{1}{n} \sum_{i=1}^{n} \sum_{j} p_{ij} \ln \frac{p_{ij}}{q_{ij}}",
    r"-\frac{1}{n} \frac{p_{ij}}{q_{ij}}",
    Facts(_DOMAIN, convex=True, differentiable=True, minimiser="q = p", hessian="diag(p / q^2)", source="Kullback and Leibler 1951"),
    axes=1,
)  # fmt: skip
"""Kullback-Leibler divergence D(p || q), the derivative with respect to q; infinite where q is 0 and p is not."""


def _js(p: Any, q: Any) -> Any:
    none, p1, q1 = _neither(p, q)
    m = 0.5 * (p1 + q1)
    return 0.5 * np.sum(np.where(none, LN2 * (p + q), sp.rel_entr(p1, m) + sp.rel_entr(q1, m)), axis=-1)


def _js_slope(p: Any, q: Any) -> Any:
    none, p1, q1 = _neither(p, q)
    return 0.5 * np.where(none, LN2, np.log(2 * q1 / (p1 + q1)))


def _neither(p: Any, q: Any) -> tuple[Any, Any, Any]:
    """Where both are 0, and both with a 1 there: the divergence is linear in one of them while the other is 0."""
    none = (p == 0) & (q == 0)
    return none, np.where(none, 1.0, p), np.where(none, 1.0, q)


js_divergence = Loss(
    "js_divergence",
    _js,
    _js_slope,
    r"\frac{1}{2} D(p \,\|\, m) + \frac{1}{2} D(q \,\|\, m), \quad m = \frac{1}{2}(p + q)",
    r"\frac{1}{2n} \ln \frac{2 q_{ij}}{p_{ij} + q_{ij}}",
    Facts(_DOMAIN, convex=True, differentiable=True, minimiser="q = p", hessian="diag(p / (2 q (p + q)))", source="Lin 1991, equation 4.1"),
    axes=1,
)  # fmt: skip
"""Jensen-Shannon divergence: symmetric, at most ln 2."""
