"""Distributions on finitely many points, and the distribution of data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import special as scipy_special

from chainrule import errors
from chainrule.build.value import Value
from chainrule.distributions.base import Discrete, Shape, parameter, require
from chainrule.front.operands import value

special: Any = scipy_special
_MOST = 2**20
"""The most points a product of independent components may have."""


def _products(k: int, shape: Shape) -> Any:
    """All arrays of this shape with elements 0 .. k-1."""
    n = int(np.prod(shape))
    if k**n > _MOST:
        raise ValueError(f'{n} components of {k} values have {k}^{n} states, too many to add up: take method="monte_carlo"')
    return np.array(list(product(range(k), repeat=n)), np.int64).reshape(-1, *shape)


@dataclass(frozen=True, eq=False)
class Bernoulli(Discrete):
    """See `bernoulli`."""

    p: Any

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""
        return np.shape(self.p)

    @property
    def mean(self) -> Any:
        """p."""
        return self.p

    @property
    def variance(self) -> Any:
        """p (1 - p)."""
        return self.p * (1 - self.p)

    def log_density(self, x: Any) -> Any:
        """ln p at 1, ln(1 - p) at 0, -inf elsewhere."""
        one, zero = np.equal(x, 1), np.equal(x, 0)
        chosen = np.where(one, self.p, 1 - self.p)
        return np.where(np.logical_or(one, zero), np.log(chosen), -np.inf)

    def entropy(self) -> Any:
        """-p ln p - (1 - p) ln(1 - p)."""
        return special.entr(self.p) + special.entr(1 - self.p)

    def from_uniform(self, u: Any) -> Any:
        """1 where u < p."""
        return np.less(u, self.p).astype(np.int64)

    def support(self) -> tuple[Any, Any]:
        """Zeros and ones."""
        points = _products(2, self.shape)
        factors = np.where(points == 1, self.p, 1 - self.p)
        return points, np.prod(np.reshape(factors, (len(points), -1)), 1)


@dataclass(frozen=True, eq=False)
class Categorical(Discrete):
    """See `categorical`."""

    p: Any

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""
        return np.shape(self.p)[:-1]

    @property
    def _values(self) -> Any:
        return np.arange(np.shape(self.p)[-1])

    @property
    def mean(self) -> Any:
        """Mean of the index."""
        return np.sum(self.p * self._values, -1)

    @property
    def variance(self) -> Any:
        """Variance of the index."""
        return np.sum(self.p * np.square(self._values), -1) - np.square(self.mean)

    def _chosen(self, x: Any) -> Any:
        """p_x, and 0 where x is no index."""
        here = np.equal(np.expand_dims(np.asarray(x) if not isinstance(x, Value) else x, -1), self._values)
        return np.sum(np.where(here, self.p, 0.0), -1)

    def log_density(self, x: Any) -> Any:
        """ln p_x, -inf where x is no index."""
        p = self._chosen(x)
        none = np.equal(p, 0)
        return np.where(none, -np.inf, np.log(np.where(none, 1.0, p)))

    def entropy(self) -> Any:
        """-sum p_k ln p_k."""
        return np.sum(special.entr(self.p), -1)

    def from_uniform(self, u: Any) -> Any:
        """The number of cumulated probabilities that u has passed."""
        total = np.cumsum(self.p, -1)
        return np.sum(np.greater_equal(np.expand_dims(u, -1), total[..., :-1]), -1)

    def support(self) -> tuple[Any, Any]:
        """All indices."""
        points = _products(np.shape(self.p)[-1], self.shape)
        return points, np.prod(np.reshape(self._chosen(points), (len(points), -1)), 1)


@dataclass(frozen=True, eq=False)
class Empirical(Discrete):
    """See `empirical`."""

    data: Any

    @property
    def batch_shape(self) -> Shape:
        """There is one component."""
        return ()

    @property
    def event_shape(self) -> Shape:
        """Shape of one row."""
        return np.shape(self.data)[1:]

    @property
    def units(self) -> Shape:
        """One number chooses the row."""
        return ()

    @property
    def mean(self) -> Any:
        """Mean of the rows."""
        return np.mean(self.data, 0)

    @property
    def variance(self) -> Any:
        """Mean squared distance from the mean (divided by n, not n - 1: the variance of this distribution)."""
        return np.var(self.data, 0)

    def log_density(self, x: Any) -> Any:
        """Logarithm of the share of rows equal to x, -inf where there is none."""
        event = len(self.event_shape)
        same = np.equal(np.expand_dims(np.asarray(x) if not isinstance(x, Value) else x, -1 - event), self.data)
        share = np.mean(np.all(same, axis=tuple(range(-event, 0))) if event else same, -1)
        none = np.equal(share, 0)
        return np.where(none, -np.inf, np.log(np.where(none, 1.0, share)))

    def entropy(self) -> Any:
        """Of the shares of the different rows; the data must be known."""
        if isinstance(self.data, Value):
            raise errors.ValueNeededError("The entropy of data counts equal rows, so the values must be known.")
        counts = np.unique(self.data, axis=0, return_counts=True)[1]
        return np.sum(special.entr(counts / counts.sum()))

    def from_uniform(self, u: Any) -> Any:
        """Row number floor(n u)."""
        n = np.shape(self.data)[0]
        row = np.minimum(np.floor(u * n), n - 1).astype(np.int64)
        return np.take(value(self.data) if isinstance(row, Value) else self.data, row, 0)

    def support(self) -> tuple[Any, Any]:
        """The rows, each of probability 1/n."""
        n = np.shape(self.data)[0]
        return self.data, np.full(n, 1 / n)


def _distribution(p: Any) -> Any:
    return (p >= 0).all(-1) & (np.abs(p.sum(-1) - 1) < 1e-6)


def bernoulli(p: Any) -> Bernoulli:
    """1 with probability p and 0 otherwise; in SciPy ``bernoulli(p)``.

    Args:
        p: a number or an array, in [0, 1].

    Example:
        >>> import chainrule as cr
        >>> f = lambda p: cr.expectation(lambda x: 3.0 * x + 1.0, cr.distributions.bernoulli(p))
        >>> float(f(0.25)), float(cr.grad(f)(0.25))
        (1.75, 3.0)
    """
    p = parameter(p, "p")
    require(p, "p", "a probability, in [0, 1]", lambda a: (a >= 0) & (a <= 1))
    return Bernoulli(p)


def categorical(p: Any) -> Categorical:
    """The index k with probability p_k; in SciPy ``multinomial(1, p)`` as one-hot rows.

    Args:
        p: (..., k), not negative; the last axis sums to 1.  The derivative with respect to p_k moves p_k alone: for a derivative
            on the probabilities that sum to 1, make p with `cr.special.softmax`.
    """
    p = parameter(p, "p")
    if np.ndim(p) == 0 or np.shape(p)[-1] == 0:
        raise errors.ShapeError(f"p is an array of probabilities along its last axis, not one of shape {np.shape(p)}")
    require(p, "p", "not negative, with a sum of 1 along the last axis", _distribution)
    return Categorical(p)


def empirical(data: Any) -> Empirical:
    """The distribution of data: each row with probability 1/n.

    Args:
        data: (n, ...), n at least 1.
    """
    data = parameter(data, "data")
    if np.ndim(data) == 0 or np.shape(data)[0] == 0:
        raise errors.ShapeError(f"data is an array with at least one row, not one of shape {np.shape(data)}")
    return Empirical(data)


__all__ = ["Bernoulli", "Categorical", "Empirical", "bernoulli", "categorical", "empirical"]
