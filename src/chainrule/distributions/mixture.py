"""Mixtures: one of several distributions, chosen at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.distributions.base import Distribution, Shape, Spread, parameter, require
from chainrule.special import logsumexp


@dataclass(frozen=True, eq=False)
class Mixture(Spread):
    """See `mixture`."""

    weights: Any
    parts: tuple[Distribution, ...]

    @property
    def batch_shape(self) -> Shape:
        """There is one component."""
        return ()

    @property
    def event_shape(self) -> Shape:
        """Shape of a draw of each part."""
        return self.parts[0].shape

    def _average(self, xs: Sequence[Any]) -> Any:
        return sum([self.weights[k] * x for k, x in enumerate(xs)])

    @property
    def mean(self) -> Any:
        """Mean of the means."""
        return self._average([d.mean for d in self.parts])

    @property
    def variance(self) -> Any:
        """Mean of the variances plus variance of the means."""
        return self._average([d.variance + np.square(d.mean - self.mean) for d in self.parts])

    def log_density(self, x: Any) -> Any:
        """Logarithm of the weighted sum of densities."""
        return logsumexp(np.stack([d.log_density(x) for d in self.parts]), 0, b=_lifted(self.weights, x, self.event_shape))

    def responsibilities(self, x: Any) -> Any:
        """The probability that each part made x: (..., k)."""
        each = np.stack([np.log(self.weights[k]) + d.log_density(x) for k, d in enumerate(self.parts)], -1)
        return np.exp(each - np.expand_dims(logsumexp(each, -1), -1))

    def entropy(self) -> Any:
        """There is no closed form: an error that names the way out."""
        raise NotImplementedError(
            "the entropy of a mixture has no closed form; take cr.expectation(lambda x: -d.log_density(x), d, method=...)"
        )

    def sample(self, key: Any, shape: int | Sequence[int] = ()) -> Any:
        """Independent draws.

        They move with the parameters of the parts, and jump with the weights: that derivative is 0 almost everywhere, and is not
        the one of an expectation (`cr.expectation` has that).
        """
        lead = (shape,) if isinstance(shape, int) else tuple(shape)
        chooser, *keys = random.split(key, len(self.parts) + 1)
        total = np.cumsum(self.weights)
        which = np.sum(np.greater_equal(random.uniform(chooser, (*lead, 1)), total[:-1]), -1)
        which = np.reshape(which, (*lead, *[1] * len(self.event_shape)))
        draws = [d.sample(k, lead) for d, k in zip(self.parts, keys, strict=True)]
        return sum([np.where(np.equal(which, k), x, 0) for k, x in enumerate(draws)])


def _lifted(weights: Any, x: Any, event: Shape) -> Any:
    return np.reshape(weights, (-1, *[1] * (np.ndim(x) - len(event))))


def mixture(weights: Any, parts: Sequence[Distribution]) -> Mixture:
    """Part k with probability weights_k.

    Args:
        weights: (k,), not negative, with a sum of 1.
        parts: k distributions whose draws have the same shape; each is one component (no array parameters, `multivariate_normal`
            apart).

    Example:
        >>> import chainrule as cr
        >>> d = cr.distributions
        >>> two = d.mixture([0.25, 0.75], [d.normal(0.0, 1.0), d.normal(4.0, 1.0)])
        >>> float(two.mean), float(two.variance)
        (3.0, 4.0)
    """
    weights = parameter(weights, "weights")
    if np.shape(weights) != (len(parts),) or not parts:
        raise errors.ShapeError(f"weights has one number for each of the {len(parts)} parts, not shape {np.shape(weights)}")
    for d in parts:
        if not isinstance(d, Distribution):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a part of a mixture is a distribution, not {type(d).__name__}")
        if d.batch_shape or d.event_shape != parts[0].event_shape:
            raise errors.ShapeError(f"every part of a mixture is one component of the same shape; one has shape {d.shape}")
    require(weights, "weights", "not negative, with a sum of 1", lambda a: (a >= 0).all() & (abs(a.sum() - 1) < 1e-6))
    return Mixture(weights, tuple(parts))


__all__ = ["Mixture", "mixture"]
