"""Kullback-Leibler divergences with a closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special as scipy_special

from chainrule import errors
from chainrule.distributions.base import Distribution
from chainrule.distributions.continuous import Beta, Gamma, MultivariateNormal, Normal, Uniform
from chainrule.distributions.discrete import Bernoulli, Categorical

special: Any = scipy_special


def _normal(p: Normal, q: Normal) -> Any:
    r"""$\ln(\sigma_q / \sigma_p) + (\sigma_p^2 + (\mu_p - \mu_q)^2) / 2\sigma_q^2 - 1/2$."""
    ratio = p.std / q.std
    return 0.5 * (np.square(ratio) + np.square((p.mean - q.mean) / q.std) - 1) - np.log(ratio)


def _uniform(p: Uniform, q: Uniform) -> Any:
    inside = np.logical_and(np.greater_equal(p.low, q.low), np.less_equal(p.high, q.high))
    return np.where(inside, np.log((q.high - q.low) / (p.high - p.low)), np.inf)


def _bernoulli(p: Bernoulli, q: Bernoulli) -> Any:
    return special.rel_entr(p.p, q.p) + special.rel_entr(1 - p.p, 1 - q.p)


def _categorical(p: Categorical, q: Categorical) -> Any:
    if np.shape(p.p)[-1] != np.shape(q.p)[-1]:
        raise errors.ShapeError(f"the distributions have {np.shape(p.p)[-1]} and {np.shape(q.p)[-1]} values")
    return np.sum(special.rel_entr(p.p, q.p), -1)


def _beta(p: Beta, q: Beta) -> Any:
    psi, da, db = special.digamma, p.a - q.a, p.b - q.b
    return special.betaln(q.a, q.b) - special.betaln(p.a, p.b) + da * psi(p.a) + db * psi(p.b) - (da + db) * psi(p.a + p.b)


def _gamma(p: Gamma, q: Gamma) -> Any:
    a, c, ratio = p.concentration, q.concentration, q.rate / p.rate
    return (a - c) * special.digamma(a) - special.gammaln(a) + special.gammaln(c) - c * np.log(ratio) + a * (ratio - 1)


def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Any:
    if p.shape != q.shape:
        raise errors.ShapeError(f"the distributions have {p.coordinates} and {q.coordinates} dimensions")
    r = q.mean - p.mean
    inverse = np.linalg.inv(q.cov)
    quadratic = np.sum(inverse * np.transpose(p.cov)) + np.dot(r, np.matmul(inverse, r))
    return 0.5 * (quadratic - p.coordinates + q.log_det - p.log_det)


_CLOSED: dict[type, Callable[[Any, Any], Any]] = {
    Normal: _normal, Uniform: _uniform, Bernoulli: _bernoulli, Categorical: _categorical, Beta: _beta, Gamma: _gamma,
    MultivariateNormal: _multivariate,
}  # fmt: skip


def kl(p: Distribution, q: Distribution) -> Any:
    r"""$\mathrm{KL}(p \| q) = E_p \ln(p / q)$, one number per component, in nats.

    Args:
        p, q: two distributions of the same family: normal, uniform, bernoulli, categorical, beta, gamma or multivariate_normal.

    Raises:
        TypeError: there is no closed form.

    Example:
        >>> import chainrule as cr
        >>> d = cr.distributions
        >>> float(d.kl(d.normal(1.0, 1.0), d.normal(0.0, 1.0)))
        0.5
    """
    closed = _CLOSED.get(type(p)) if type(p) is type(q) else None
    if closed is None:
        names = f"{type(p).__name__} and {type(q).__name__}"
        raise TypeError(
            f"the divergence between {names} has no closed form; "
            "take cr.expectation(lambda x: p.log_density(x) - q.log_density(x), p, method=...)"
        )
    return closed(p, q)


__all__ = ["kl"]
