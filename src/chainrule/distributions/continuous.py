"""Distributions of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special as scipy_special

from chainrule import errors
from chainrule.distributions.base import Continuous, Shape, Spread, finite, parameter, positive, require, together
from chainrule.flow import stop_gradient

special: Any = scipy_special
_LOG_2PI = float(np.log(2 * np.pi))
_FAR = 38.0
"""Where the standard normal density underflows."""
_TAIL = 1e-17
"""Probability left out at each end of the coordinates of gamma and beta numbers."""


def _flat(x: Any, shape: Shape) -> Any:
    """A parameter as one number per component."""
    return np.reshape(np.broadcast_to(x, shape), (-1,))


def standard_weight(z: Any) -> Any:
    """The standard normal density."""
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi)


def hermite(n: int, m: int) -> tuple[Any, Any]:
    """Gauss-Hermite nodes and weights for the standard normal density, exact for polynomials of degree 2n - 1; (n, m) each."""
    z, w = special.roots_hermitenorm(n)
    return np.repeat(z[:, None], m, 1), np.repeat(w[:, None] / np.sqrt(2 * np.pi), m, 1)


@dataclass(frozen=True, eq=False)
class Normal(Continuous):
    """See `normal`."""

    mean: Any
    std: Any

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""
        return together(self.mean, self.std)

    @property
    def variance(self) -> Any:
        """Square of the deviation."""
        return np.square(self.std)

    def log_density(self, x: Any) -> Any:
        r"""$-\tfrac12 ((x - \mu) / \sigma)^2 - \ln\sigma - \tfrac12 \ln 2\pi$."""
        return -0.5 * np.square((x - self.mean) / self.std) - np.log(self.std) - 0.5 * _LOG_2PI

    def entropy(self) -> Any:
        r"""$\tfrac12 \ln(2\pi e \sigma^2)$."""
        return np.broadcast_to(np.log(self.std) + 0.5 * (1 + _LOG_2PI), self.batch_shape)[()]

    def from_uniform(self, u: Any) -> Any:
        r"""$\mu + \sigma \Phi^{-1}(u)$."""
        return self.mean + self.std * special.ndtri(u)

    def bounds(self) -> tuple[Any, Any]:
        """All of the line where the density is not 0 in double precision."""
        return np.full(self.coordinates, -_FAR), np.full(self.coordinates, _FAR)

    def point(self, z: Any) -> Any:
        """Standard coordinates."""
        return self.mean + self.std * np.reshape(z, self.shape)

    def weight(self, z: Any) -> Any:
        """The standard normal density."""
        return standard_weight(z)

    def rule(self, n: int) -> tuple[Any, Any]:
        """Gauss and Hermite's."""
        return hermite(n, self.coordinates)


@dataclass(frozen=True, eq=False)
class Uniform(Spread, Continuous):
    """See `uniform`."""

    low: Any
    high: Any

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""
        return together(self.low, self.high)

    @property
    def mean(self) -> Any:
        """The middle."""
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Any:
        """Square of the length, by 12."""
        return np.square(self.high - self.low) / 12

    def log_density(self, x: Any) -> Any:
        """Minus the logarithm of the length; -inf outside."""
        inside = np.logical_and(np.greater_equal(x, self.low), np.less_equal(x, self.high))
        return np.where(inside, -np.log(self.high - self.low), -np.inf)

    def entropy(self) -> Any:
        """Logarithm of the length."""
        return np.log(self.high - self.low)

    def from_uniform(self, u: Any) -> Any:
        """low + (high - low) u."""
        return self.low + (self.high - self.low) * u

    def bounds(self) -> tuple[Any, Any]:
        """0 and 1."""
        return np.zeros(self.coordinates), np.ones(self.coordinates)

    def point(self, z: Any) -> Any:
        """The share of the way from low to high."""
        return self.from_uniform(np.reshape(z, self.shape))

    def weight(self, z: Any) -> Any:
        """1."""
        return np.ones_like(z)

    def rule(self, n: int) -> tuple[Any, Any]:
        """Gauss and Legendre's."""
        t, w = special.roots_legendre(n)
        m = self.coordinates
        return np.repeat((t[:, None] + 1) / 2, m, 1), np.repeat(w[:, None] / 2, m, 1)


def _log_gamma_quantiles(a: Any) -> tuple[Any, Any]:
    """Logarithms of what lies below and above all but `_TAIL` of the gamma distribution of shape a and rate 1.

    For small a the lower quantile underflows, and its logarithm is taken from P(a, x) < x^a / Gamma(a + 1).
    """
    small = (np.log(_TAIL) + special.gammaln(a + 1)) / a
    wide = np.maximum(a, 1.0)
    return np.where(a < 1, small, np.log(special.gammaincinv(wide, _TAIL))), np.log(special.gammaincinv(wide, 1 - 1e-16))


def _log_gamma_sample(a: Any, u: Any, v: Any) -> Any:
    """Logarithm of a gamma number: G(a) is G(a + 1) times v^(1/a), which does not underflow as a logarithm."""
    return np.log(special.gammaincinv(a + 1.0 + np.zeros_like(u), u)) + np.log(v) / a


@dataclass(frozen=True, eq=False)
class Gamma(Spread, Continuous):
    """See `gamma`."""

    concentration: Any
    rate: Any

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""
        return together(self.concentration, self.rate)

    @property
    def mean(self) -> Any:
        """Shape by rate."""
        return self.concentration / self.rate

    @property
    def variance(self) -> Any:
        """Shape by squared rate."""
        return self.concentration / np.square(self.rate)

    def log_density(self, x: Any) -> Any:
        r"""$a \ln\lambda + (a - 1) \ln x - \lambda x - \ln\Gamma(a)$; -inf below 0."""
        a, inside = self.concentration, np.greater_equal(x, 0)
        safe = np.where(inside, x, 1.0)
        return np.where(
            inside, a * np.log(self.rate) + special.xlogy(a - 1, safe) - self.rate * safe - special.gammaln(a), -np.inf
        )

    def entropy(self) -> Any:
        r"""$a - \ln\lambda + \ln\Gamma(a) + (1 - a) \psi(a)$."""
        a = self.concentration
        return a - np.log(self.rate) + special.gammaln(a) + (1 - a) * special.digamma(a)

    def from_uniform(self, u: Any) -> Any:
        """By inversion; the derivative with respect to the shape is implicit."""
        return special.gammaincinv(self.concentration + np.zeros_like(u), u) / self.rate

    def bounds(self) -> tuple[Any, Any]:
        """Where the extreme quantiles are."""
        low, high = _log_gamma_quantiles(stop_gradient(_flat(self.concentration, self.shape)))
        return np.where(low < 0, -np.log1p(np.maximum(-low, 0.0)), low), high + np.exp(-high)

    def point(self, z: Any) -> Any:
        """ln(rate x) = z - e^(-z): both tails of the density then vanish doubly exponentially."""
        return np.reshape(np.exp(z - np.exp(-z)), self.shape) / self.rate

    def weight(self, z: Any) -> Any:
        """The density of z, in logarithms so that no factor overflows."""
        a, log_x = _flat(self.concentration, self.shape), z - np.exp(-z)
        return np.exp(a * log_x - np.exp(log_x) - special.gammaln(a)) * (1 + np.exp(-z))


@dataclass(frozen=True, eq=False)
class Beta(Spread, Continuous):
    """See `beta`."""

    a: Any
    b: Any

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""
        return together(self.a, self.b)

    @property
    def units(self) -> Shape:
        """Two gamma numbers, each of two uniform ones."""
        return (4, *self.shape)

    @property
    def mean(self) -> Any:
        """a / (a + b)."""
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> Any:
        """ab / ((a + b)^2 (a + b + 1))."""
        n = self.a + self.b
        return self.a * self.b / (np.square(n) * (n + 1))

    def log_density(self, x: Any) -> Any:
        r"""$(a - 1) \ln x + (b - 1) \ln(1 - x) - \ln B(a, b)$; -inf outside of [0, 1]."""
        inside = np.logical_and(np.greater_equal(x, 0), np.less_equal(x, 1))
        safe = np.where(inside, x, 0.5)
        log_p = special.xlogy(self.a - 1, safe) + special.xlog1py(self.b - 1, -safe) - special.betaln(self.a, self.b)
        return np.where(inside, log_p, -np.inf)

    def entropy(self) -> Any:
        r"""$\ln B(a, b) - (a - 1) \psi(a) - (b - 1) \psi(b) + (a + b - 2) \psi(a + b)$."""
        a, b, psi = self.a, self.b, special.digamma
        return special.betaln(a, b) - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b)

    def from_uniform(self, u: Any) -> Any:
        """G / (G + G') of gamma numbers G of shape a and G' of shape b."""
        axis = -1 - len(self.shape)
        u = np.moveaxis(u, axis, 0)
        return special.expit(_log_gamma_sample(self.a, u[0], u[1]) - _log_gamma_sample(self.b, u[2], u[3]))

    def bounds(self) -> tuple[Any, Any]:
        """Where the log-odds of extreme gamma numbers are."""
        la, ha = _log_gamma_quantiles(stop_gradient(_flat(self.a, self.shape)))
        lb, hb = _log_gamma_quantiles(stop_gradient(_flat(self.b, self.shape)))
        return np.arcsinh((la - hb) / np.pi), np.arcsinh((ha - lb) / np.pi)

    def point(self, z: Any) -> Any:
        """Log-odds pi sinh(z): both tails of the density then vanish doubly exponentially."""
        return np.reshape(special.expit(np.pi * np.sinh(z)), self.shape)

    def weight(self, z: Any) -> Any:
        """The density of z, in logarithms so that no factor overflows."""
        a, b = _flat(self.a, self.shape), _flat(self.b, self.shape)
        odds = np.pi * np.sinh(z)
        log_p = a * special.log_expit(odds) + b * special.log_expit(-odds) - special.betaln(a, b)
        return np.exp(log_p) * np.pi * np.cosh(z)


@dataclass(frozen=True, eq=False)
class MultivariateNormal(Spread, Continuous):
    """See `multivariate_normal`."""

    mean: Any
    cov: Any

    @property
    def batch_shape(self) -> Shape:
        """There is one component."""
        return ()

    @property
    def event_shape(self) -> Shape:
        """(d,)."""
        return np.shape(self.mean)

    @property
    def variance(self) -> Any:
        """Diagonal of the covariance."""
        return np.diagonal(self.cov)

    @property
    def factor(self) -> Any:
        """Lower triangular L with L L' = cov; both triangles count, so that a derivative is symmetric."""
        return np.linalg.cholesky((self.cov + np.transpose(self.cov)) / 2)

    @property
    def log_det(self) -> Any:
        """Logarithm of the determinant of the covariance."""
        return 2 * np.sum(np.log(np.diagonal(self.factor)))

    def log_density(self, x: Any) -> Any:
        r"""$-\tfrac12 (x - \mu)^{\mathsf T} \Sigma^{-1} (x - \mu) - \tfrac12 \ln |2\pi\Sigma|$."""
        r = x - self.mean
        lead, d = np.shape(r)[:-1], np.shape(r)[-1]
        z = np.linalg.solve(self.factor, np.transpose(np.reshape(r, (-1, d))))
        return np.reshape(-0.5 * np.sum(np.square(z), 0), lead)[()] - 0.5 * (self.log_det + d * _LOG_2PI)

    def entropy(self) -> Any:
        r"""$\tfrac12 \ln |2\pi e \Sigma|$."""
        return 0.5 * (self.log_det + self.coordinates * (1 + _LOG_2PI))

    def from_uniform(self, u: Any) -> Any:
        """mean + L times standard normal numbers."""
        return self.mean + np.matmul(special.ndtri(u), np.transpose(self.factor))

    def bounds(self) -> tuple[Any, Any]:
        """All of the space where the density is not 0 in double precision."""
        return np.full(self.coordinates, -_FAR), np.full(self.coordinates, _FAR)

    def point(self, z: Any) -> Any:
        """Standard coordinates."""
        return self.mean + np.matmul(self.factor, z)

    def weight(self, z: Any) -> Any:
        """The standard normal density."""
        return standard_weight(z)

    def rule(self, n: int) -> tuple[Any, Any]:
        """Gauss and Hermite's."""
        return hermite(n, self.coordinates)


# --- what people call -----------------------------------------------------------------------------------------------------------


def normal(mean: Any = 0.0, std: Any = 1.0) -> Normal:
    r"""The normal distribution $\mathcal N(\mu, \sigma^2)$; in SciPy ``norm(loc=mean, scale=std)``.

    Args:
        mean: $\mu$, a number or an array.
        std: $\sigma$, the standard deviation (not the variance), positive.

    Example:
        >>> import chainrule as cr
        >>> float(round(cr.distributions.normal(1.0, 2.0).log_density(1.0), 4))
        -1.6121
    """
    mean, std = parameter(mean, "mean"), parameter(std, "std")
    finite(mean, "mean")
    positive(std, "std")
    together(mean, std)
    return Normal(mean, std)


def uniform(low: Any = 0.0, high: Any = 1.0) -> Uniform:
    """The uniform distribution on [low, high]; in SciPy ``uniform(loc=low, scale=high - low)``.

    Args:
        low: lower end, a number or an array.
        high: upper end, greater than `low`.
    """
    low, high = parameter(low, "low"), parameter(high, "high")
    finite(low, "low")
    finite(high, "high")
    together(low, high)
    require(high - low, "high - low", "positive", lambda d: d > 0)
    return Uniform(low, high)


def beta(a: Any, b: Any) -> Beta:
    """The beta distribution, with density proportional to x^(a-1) (1-x)^(b-1); in SciPy ``beta(a, b)``.

    Args:
        a, b: positive numbers or arrays.
    """
    a, b = parameter(a, "a"), parameter(b, "b")
    positive(a, "a")
    positive(b, "b")
    together(a, b)
    return Beta(a, b)


def gamma(shape: Any, rate: Any = 1.0) -> Gamma:
    """The gamma distribution, with density proportional to x^(shape-1) e^(-rate x); in SciPy ``gamma(a=shape, scale=1 / rate)``.

    Args:
        shape: positive number or array (kept as ``concentration``).
        rate: positive number or array; the reciprocal of the scale.
    """
    shape, rate = parameter(shape, "shape"), parameter(rate, "rate")
    positive(shape, "shape")
    positive(rate, "rate")
    together(shape, rate)
    return Gamma(shape, rate)


def _symmetric(a: Any) -> bool:
    return bool(np.all(np.abs(a - a.T) <= 1e-8 * np.abs(a).max())) and bool(np.linalg.eigvalsh(a).min() > 0)


def multivariate_normal(mean: Any, cov: Any) -> MultivariateNormal:
    """The normal distribution in d dimensions; in SciPy ``multivariate_normal(mean, cov)``.

    Args:
        mean: (d,).
        cov: (d, d), symmetric and positive definite.
    """

    mean, cov = parameter(mean, "mean"), parameter(cov, "cov")
    if np.ndim(mean) != 1 or np.shape(cov) != (*np.shape(mean), *np.shape(mean)):
        raise errors.ShapeError(f"mean has shape (d,) and cov (d, d); they have {np.shape(mean)} and {np.shape(cov)}")
    finite(mean, "mean")
    finite(cov, "cov")
    require(cov, "cov", "symmetric and positive definite", _symmetric)
    return MultivariateNormal(mean, cov)


__all__ = [
    "Beta", "Gamma", "MultivariateNormal", "Normal", "Uniform", "beta", "gamma", "multivariate_normal", "normal",
    "uniform",
]  # fmt: skip
