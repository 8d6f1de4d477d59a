"""Normalisation: over the examples of a batch, or over the features of each example.

The derivative goes through mean and variance too, which is what makes it differ from that of a mere scaling: the gradient
with respect to the input sums to zero over what was normalised and is orthogonal to the normalised input (up to epsilon).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.front.custom import stop_gradient
from chainrule.nn.module import STATIC, STATISTIC, Module, array, fill, last_axis, positive, replaced


def standardised(x: Any, mean: Any, variance: Any, eps: float) -> Any:
    r"""$\hat x = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$."""
    return (x - mean) / np.sqrt(variance + eps)


def moments(x: Any, axes: int | tuple[int, ...]) -> tuple[Any, Any]:
    r"""$\mu = \frac1m \sum x_i$ and $\sigma^2 = \frac1m \sum (x_i - \mu)^2$, with axes of size 1 left for broadcasting."""
    return np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class LayerNorm(Module):
    r"""$y = \gamma \hat x + \beta$, normalised over the last axis of each example.

    Args:
        n: size of the last axis.
        eps: added to the variance, inside the root.
        dtype: float64 or float32.

    Source: Ba, Kiros and Hinton 2016.
    """

    gamma: Any
    beta: Any
    eps: float = field(metadata=STATIC)

    def __init__(self, n: int, *, eps: float = 1e-5, dtype: Any = np.float64) -> None:
        positive(n=n)
        fill(self, gamma=np.ones(n, dtype), beta=np.zeros(n, dtype), eps=eps)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(..., n) to (..., n)."""
        x = last_axis(self, x, self.gamma.shape[0])
        return self.gamma * standardised(x, *moments(x, -1), self.eps) + self.beta


@dataclass(frozen=True, eq=False, repr=False, init=False)
class RMSNorm(Module):
    r"""$y = \gamma x / \sqrt{\frac1n \sum_i x_i^2 + \epsilon}$: scaled, not centred.

    Args:
        n: size of the last axis.
        eps: added to the mean square, inside the root.
        dtype: float64 or float32.

    Source: Zhang and Sennrich 2019, equation 4.
    """

    gamma: Any
    eps: float = field(metadata=STATIC)

    def __init__(self, n: int, *, eps: float = 1e-5, dtype: Any = np.float64) -> None:
        positive(n=n)
        fill(self, gamma=np.ones(n, dtype), eps=eps)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(..., n) to (..., n)."""
        x = last_axis(self, x, self.gamma.shape[0])
        return self.gamma * standardised(x, 0.0, np.mean(np.square(x), axis=-1, keepdims=True), self.eps)


def channels(layer: Module, x: Any, n: int, axis: int) -> Any:
    """`x` as an array with `n` channels on this axis."""
    x = array(x)
    if np.ndim(x) <= (axis if axis >= 0 else -axis - 1) or np.shape(x)[axis] != n:
        raise errors.ShapeError(f"{layer!r} needs {n} channels on axis {axis}, and was given an input of shape {np.shape(x)}.")
    return x


def along(v: Any, ndim: int, axis: int) -> Any:
    """A vector laid along one axis of `ndim`."""
    shape = [1] * ndim
    shape[axis] = v.shape[0]
    return np.reshape(v, shape)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class GroupNorm(Module):
    r"""$y = \gamma \hat x + \beta$, normalised for each example over the channels of a group and all positions.

    Args:
        groups: number of groups; it divides the number of channels. One group normalises each example as a whole.
        n: number of channels, on axis 1.
        eps: added to the variance, inside the root.
        dtype: float64 or float32.

    Source: Wu and He 2018.
    """

    gamma: Any
    beta: Any
    groups: int = field(metadata=STATIC)
    eps: float = field(metadata=STATIC)

    def __init__(self, groups: int, n: int, *, eps: float = 1e-5, dtype: Any = np.float64) -> None:
        positive(groups=groups, n=n)
        if n % groups:
            raise ValueError(f"GroupNorm: {n} channels do not divide into {groups} groups of one size")
        fill(self, gamma=np.ones(n, dtype), beta=np.zeros(n, dtype), groups=groups, eps=eps)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(examples, n, ...) to the same shape."""
        x = channels(self, x, self.gamma.shape[0], 1)
        shape = np.shape(x)
        grouped = np.reshape(x, (shape[0], self.groups, int(np.prod(shape[1:])) // self.groups))
        y = np.reshape(standardised(grouped, *moments(grouped, -1), self.eps), shape)
        return along(self.gamma, len(shape), 1) * y + along(self.beta, len(shape), 1)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class BatchNorm(Module):
    r"""$y = \gamma \hat x + \beta$, normalised for each channel over the examples of the batch (and all positions).

    In training, mean and variance are those of the batch, the derivative goes through both, and the call returns
    ``(y, new layer)``; the new layer's running averages are
    $\mu \leftarrow m \mu + (1 - m) \mu_B$ and $\sigma^2 \leftarrow m \sigma^2 + (1 - m) \frac{n}{n - 1} \sigma_B^2$.
    In inference they take the place of the batch's, and y is returned alone.

    Args:
        n: number of channels.
        momentum: m, the share of the old average that is kept (PyTorch's argument of this name is 1 - m).
        eps: added to the variance, inside the root.
        axis: the axis of channels.
        dtype: float64 or float32.

    Attributes:
        gamma, beta: scale and shift, learned.
        mean, variance: running averages. They are measured, not learned: no gradient flows into them.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> y, layer = cr.nn.BatchNorm(2)(np.array([[1.0, 10.0], [3.0, 30.0]]), training=True)
        >>> y.round(3).tolist(), layer.mean.round(3).tolist()
        ([[-1.0, -1.0], [1.0, 1.0]], [0.2, 2.0])

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    gamma: Any
    beta: Any
    mean: Any = field(metadata=STATISTIC)
    variance: Any = field(metadata=STATISTIC)
    momentum: float = field(metadata=STATIC)
    eps: float = field(metadata=STATIC)
    axis: int = field(metadata=STATIC)

    def __init__(self, n: int, *, momentum: float = 0.9, eps: float = 1e-5, axis: int = 1, dtype: Any = np.float64) -> None:
        positive(n=n)
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is between 0 and 1, not {momentum}")
        ones, zeros = np.ones(n, dtype), np.zeros(n, dtype)
        fill(self, gamma=ones, beta=zeros, mean=zeros.copy(), variance=ones.copy(), momentum=momentum, eps=eps, axis=axis)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Any shape with n channels on the axis: y in inference, (y, new layer) in training."""
        x = channels(self, x, self.gamma.shape[0], self.axis)
        if not training:
            return self._scaled(x, *[along(stop_gradient(s), x.ndim, self.axis) for s in (self.mean, self.variance)])
        axes = tuple([k for k in range(x.ndim) if k != self.axis % x.ndim])
        mean, variance = moments(x, axes)
        count = x.size // self.gamma.shape[0]
        unbiased = variance * (count / max(count - 1, 1))
        after = replaced(self, mean=self._average(self.mean, mean), variance=self._average(self.variance, unbiased))
        return self._scaled(x, mean, variance), after

    def _scaled(self, x: Any, mean: Any, variance: Any) -> Any:
        y = standardised(x, mean, variance, self.eps)
        return along(self.gamma, x.ndim, self.axis) * y + along(self.beta, x.ndim, self.axis)

    def _average(self, old: Any, new: Any) -> Any:
        return stop_gradient(self.momentum * old + (1 - self.momentum) * np.reshape(new, (-1,)))
