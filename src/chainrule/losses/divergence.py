"""Distances between distributions on the last axis: the first argument is the truth, the second the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from chainrule.losses.classification import ratio
from chainrule.losses.loss import Facts, Loss

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
    m = 0.5 * (p + q)
    return 0.5 * np.sum(sp.rel_entr(p, m) + sp.rel_entr(q, m), axis=-1)


js_divergence = Loss(
    "js_divergence",
    _js,
    lambda p, q: 0.5 * np.log(2 * q / (p + q)),
    r"\frac{1}{2} D(p \,\|\, m) + \frac{1}{2} D(q \,\|\, m), \quad m = \frac{1}{2}(p + q)",
    r"\frac{1}{2n} \ln \frac{2 q_{ij}}{p_{ij} + q_{ij}}",
    Facts(_DOMAIN, convex=True, differentiable=True, minimiser="q = p", hessian="diag(p / (2 q (p + q)))", source="Lin 1991, equation 4.1"),
    axes=1,
)  # fmt: skip
"""Jensen-Shannon divergence: symmetric, at most ln 2."""
