"""Losses for numbers: r stands for y_pred - y_true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sp

from chainrule.losses.loss import SLACK, Facts, Loss


def _huber(y: Any, p: Any, delta: Any) -> Any:
    r = np.abs(p - y)
    return np.where(r <= delta, 0.5 * r * r, delta * (r - 0.5 * delta))


def _quantile_slope(y: Any, p: Any, q: Any) -> Any:
    return 0.5 * np.sign(p - y) + (0.5 - q)


def _quantile(y: Any, p: Any, q: Any) -> Any:
    return np.maximum(q * (y - p), (q - 1) * (y - p))


mse = Loss(
    "mse",
    lambda y, p: np.square(p - y),
    lambda y, p: 2 * (p - y),
    r"\frac{1}{n} \sum_{i=1}^{n} (\hat{y}_i - y_i)^2",
    r"\frac{2}{n} (\hat{y}_i - y_i)",
    Facts(
        "real targets and predictions", convex=True, differentiable=True, smooth="2", minimiser="mean of y given x", hessian="2",
        source="Hastie, Tibshirani and Friedman 2009, section 2.4",
    ),
)  # fmt: skip
"""Mean squared error."""

mae = Loss(
    "mae",
    lambda y, p: np.abs(p - y),
    lambda y, p: np.sign(p - y),
    r"\frac{1}{n} \sum_{i=1}^{n} |\hat{y}_i - y_i|",
    r"\frac{1}{n} \operatorname{sign}(\hat{y}_i - y_i)",
    Facts(
        "real targets and predictions", convex=True, differentiable=False, lipschitz="1", minimiser="median of y given x",
        hessian="0 away from r = 0", kink="0 at r = 0, out of [-1, 1]", source="Hastie, Tibshirani and Friedman 2009, section 10.6",
    ),
)  # fmt: skip
"""Mean absolute error."""

huber = Loss(
    "huber",
    _huber,
    lambda y, p, delta: np.clip(p - y, -delta, delta),
    r"\frac{1}{n} \sum_{i=1}^{n} \begin{cases} \frac{1}{2} r_i^2 & |r_i| \le \delta \\ \delta |r_i| - \frac{1}{2} \delta^2 & "
    r"\text{otherwise} \end{cases}, \quad r = \hat{y} - y",
    r"\frac{1}{n} \min(\max(\hat{y}_i - y_i, -\delta), \delta)",
    Facts(
        "real targets and predictions; delta > 0", convex=True, differentiable=True, lipschitz="delta", smooth="1",
        minimiser="between mean and median of y given x", hessian="1 where |r| < delta, 0 where |r| > delta",
        source="Huber 1964, equation 3.1",
    ),
    defaults={"delta": 1.0},
)  # fmt: skip
"""Huber's loss: squared up to `delta`, linear beyond."""

log_cosh = Loss(
    "log_cosh",
    lambda y, p: np.logaddexp(p - y, y - p) - math.log(2.0),
    lambda y, p: np.tanh(p - y),
    r"\frac{1}{n} \sum_{i=1}^{n} \ln \cosh(\hat{y}_i - y_i)",
    r"\frac{1}{n} \tanh(\hat{y}_i - y_i)",
    Facts(
        "real targets and predictions", convex=True, differentiable=True, lipschitz="1", smooth="1",
        minimiser="between mean and median of y given x", hessian="1 - tanh(r)^2", source="Green 1990, IEEE Trans. Med. Imaging 9(1)",
    ),
)  # fmt: skip
"""Logarithm of the hyperbolic cosine: close to r^2/2 near 0 and to |r| - ln 2 far away."""

quantile = Loss(
    "quantile",
    _quantile,
    _quantile_slope,
    r"\frac{1}{n} \sum_{i=1}^{n} \max(q (y_i - \hat{y}_i), (q - 1)(y_i - \hat{y}_i))",
    r"\frac{1}{n} \begin{cases} 1 - q & \hat{y}_i > y_i \\ -q & \hat{y}_i < y_i \end{cases}",
    Facts(
        "real targets and predictions; 0 < q < 1", convex=True, differentiable=False, lipschitz="max(q, 1 - q)",
        minimiser="q-quantile of y given x", hessian="0 away from r = 0", kink="1/2 - q at r = 0, out of [-q, 1 - q]",
        source="Koenker and Bassett 1978, equation 2.1",
    ),
    defaults={"q": 0.5},
)  # fmt: skip
"""Pinball loss of the `q`-quantile."""


def _poisson(y: Any, p: Any, from_logits: bool) -> Any:
    return np.exp(p) - y * p if from_logits else p - sp.xlogy(y, p)


def _poisson_slope(y: Any, p: Any, from_logits: bool) -> Any:
    return np.exp(p) - y if from_logits else 1 - np.where(y == 0, 0.0, y / np.where(y == 0, 1.0, p))


poisson = Loss(
    "poisson",
    _poisson,
    _poisson_slope,
    r"\frac{1}{n} \sum_{i=1}^{n} (\hat{y}_i - y_i \ln \hat{y}_i)",
    r"\frac{1}{n} \left(1 - \frac{y_i}{\hat{y}_i}\right)",
    Facts(
        "counts y >= 0; predicted rates > 0 (any real number with from_logits=True, the logarithm of the rate)", convex=True,
        differentiable=True, minimiser="mean of y given x", link="exp", hessian="y / p^2 (exp(z) with from_logits=True)",
        source="McCullagh and Nelder 1989, section 2.2, without the terms that only y enters",
    ),
    defaults={"from_logits": False},
    targets=lambda y: y >= -SLACK,
)  # fmt: skip
"""Negative log-likelihood of a Poisson rate, up to terms of y alone."""
