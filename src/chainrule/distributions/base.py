"""What a distribution is: a frozen dataclass that is a tree of parameters, with a density and a way to draw from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import errors, random
from chainrule.build.tree import flatten
from chainrule.build.value import Value

Shape = tuple[int, ...]


# --- parameters ---------------------------------------------------------------------------------------------------------------


def parameter(x: Any, name: str) -> Any:
    """A parameter as a floating-point number or array; a traced value as it is."""
    if isinstance(x, Value):
        return x if x.type.inexact else x.astype(np.float64)
    if type(x) in (int, float, bool):
        return float(x)
    a = np.asarray(x)
    if a.dtype.kind not in "biuf":
        raise errors.DtypeError(f"{name} is a number or an array of numbers, not {type(x).__name__}")
    return a if a.dtype.kind == "f" else a.astype(np.float64)


def require(x: Any, name: str, what: str, holds: Callable[[Any], Any]) -> None:
    """Raise unless a parameter, where its value is known, is what the distribution needs."""
    if isinstance(x, Value) and x.data is None:
        return
    a = x.full if isinstance(x, Value) else np.asarray(x)
    if not np.all(holds(a)):
        raise ValueError(f"{name} must be {what}, and is {a[()] if a.ndim == 0 else np.array2string(a, threshold=8)}")


def finite(x: Any, name: str) -> None:
    """Raise unless a parameter is finite."""
    require(x, name, "finite", np.isfinite)


def positive(x: Any, name: str) -> None:
    """Raise unless a parameter is positive and finite."""
    require(x, name, "positive and finite", lambda a: (a > 0) & np.isfinite(a))


def together(*xs: Any) -> Shape:
    """The shape of parameters that broadcast."""
    shapes = [np.shape(x) for x in xs]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise errors.ShapeError(f"parameters of shapes {', '.join(map(str, shapes))} do not broadcast") from None


# --- distributions ----------------------------------------------------------------------------------------------------------


class Distribution(ABC):
    """Base of every distribution.

    A distribution is a container of its parameters, so it passes through `cr.grad`, `cr.jit` and `cr.vmap`.  Parameters that
    are arrays stand for independent components: ``batch_shape`` is the shape they broadcast to, ``event_shape`` that of one draw
    of one component.
    """

    @property
    @abstractmethod
    def batch_shape(self) -> Shape:
        """Shape of the independent components."""

    @property
    def event_shape(self) -> Shape:
        """Shape of one draw of one component."""
        return ()

    @property
    def shape(self) -> Shape:
        """Shape of one draw."""
        return (*self.batch_shape, *self.event_shape)

    @property
    def dtype(self) -> Any:
        """dtype of the parameters: float64 unless all arrays among them are float32."""
        found = [x.dtype for x in flatten(self)[0] if hasattr(x, "dtype")]
        return np.result_type(*found) if found else np.dtype(np.float64)

    if TYPE_CHECKING:  # parameters of some families, formulas of others: a default here would hide the former

        @property
        def mean(self) -> Any:
            """Expected value, of the shape of one draw."""

        @property
        def variance(self) -> Any:
            """Variance of each element of a draw."""

        @property
        def std(self) -> Any:
            """Standard deviation of each element of a draw."""

    @abstractmethod
    def log_density(self, x: Any) -> Any:
        """Logarithm of the density (of the probability, where the distribution is discrete) at `x`, one number per component.

        Args:
            x: array of shape (..., *shape).
        """

    @abstractmethod
    def entropy(self) -> Any:
        """Minus the expected log-density, one number per component, in nats."""

    @abstractmethod
    def sample(self, key: Any, shape: int | Sequence[int] = ()) -> Any:
        """Independent draws.

        Args:
            key: uint32[2], a random key.
            shape: shape of the draws; the result has shape (*shape, *self.shape).
        """

    def kl(self, other: Distribution) -> Any:
        """Kullback-Leibler divergence from this distribution to `other`, where it has a closed form."""
        from chainrule.distributions.divergence import kl

        return kl(self, other)


class Spread(Distribution):
    """A distribution whose deviation is computed (that of `normal` is a parameter)."""

    @property
    def std(self) -> Any:
        """Standard deviation of each element of a draw."""
        return np.sqrt(self.variance)


class Drawn(Distribution):
    """A distribution whose draws are a function of uniform numbers, so that quasi-random points can take their place."""

    @property
    def units(self) -> Shape:
        """Shape of the uniform numbers that one draw is made of."""
        return self.shape

    @abstractmethod
    def from_uniform(self, u: Any) -> Any:
        """Draws from uniform numbers.

        Args:
            u: array of shape (..., *units), in (0, 1).

        Returns:
            Array of shape (..., *shape).
        """

    def sample(self, key: Any, shape: int | Sequence[int] = ()) -> Any:
        """Independent draws, of shape (*shape, *self.shape).

        A draw of numbers is a function of the parameters that can be differentiated.  A discrete draw jumps: with the key held
        fixed its derivative is 0 almost everywhere, which says nothing about expectations (`cr.expectation` has what does).
        """
        lead = (shape,) if isinstance(shape, int) else tuple(shape)
        grain = np.finfo(self.dtype).eps / 2  # uniform numbers are multiples of twice this: the middle keeps clear of 0 and 1
        return self.from_uniform(random.uniform(key, (*lead, *self.units), dtype=self.dtype) + self.dtype.type(grain))


class Continuous(Drawn):
    """A distribution on numbers, with coordinates in which an integral over it is a smooth one over independent variables.

    ``E f = ∫ f(point(z)) Π_j weight(z)_j dz`` over the box from `low` to `high` (arrays of m numbers, m the number of elements).
    """

    @property
    def coordinates(self) -> int:
        """Number of variables to integrate over."""
        return prod(self.shape)

    @abstractmethod
    def bounds(self) -> tuple[Any, Any]:
        """The box of the coordinates: two arrays of m numbers, constants in every derivative."""

    @abstractmethod
    def point(self, z: Any) -> Any:
        """The draw with these coordinates: (m,) to `shape`."""

    @abstractmethod
    def weight(self, z: Any) -> Any:
        """The density of the coordinates, one factor for each: (m,) to (m,)."""

    def rule(self, n: int) -> tuple[Any, Any]:
        """n nodes and weights per coordinate, (n, m) each: here the trapezoidal rule, which converges geometrically for smooth f,
        as the integrand is analytic and vanishes at both ends (Trefethen and Weideman 2014).
        """
        from chainrule.batching import vmap

        low, high = self.bounds()
        h = (high - low) / (n - 1)
        z = low + np.arange(n)[:, None] * h
        return z, vmap(self.weight)(z) * h


class Discrete(Spread, Drawn):
    """A distribution on finitely many points."""

    @abstractmethod
    def support(self) -> tuple[Any, Any]:
        """All points, (k, *shape), and their probabilities, (k,)."""
