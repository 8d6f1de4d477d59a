"""Convolution and pooling as contractions of windows.

Inputs are (examples, channels, positions...).  A window is a strided slice for each of its cells, so everything here is slices,
one stack and one contraction, and the derivative is made of the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.nn import activations, init
from chainrule.nn.dense import Function, default_init
from chainrule.nn.module import STATIC, Module, array, fill, keys, positive

Sizes = tuple[int, ...]
_AXES = "xyz"


def per_axis(n: int | Sequence[int], ndim: int, name: str, least: int = 1) -> Sizes:
    """One number for each axis of positions."""
    sizes = (n,) * ndim if isinstance(n, int) else tuple(n)
    if len(sizes) != ndim or any(k < least for k in sizes):
        raise ValueError(f"{name} is one number of at least {least}, or {ndim} of them, not {n!r}")
    return sizes


def windows(x: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    """(..., positions...) to (window cells, ..., window positions...): the cells of every window, in row-major order."""
    lengths = np.shape(x)[-len(size) :]
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(lengths, size, stride, dilation, strict=True)]

    def cell(offsets: Sequence[int]) -> Any:
        cuts = [slice(o * d, o * d + s * (c - 1) + 1, s) for o, d, s, c in zip(offsets, dilation, stride, counts, strict=True)]
        return x[(..., *cuts)]

    return np.stack([cell(offsets) for offsets in product(*map(range, size))])


def padded(x: Any, padding: Sequence[tuple[int, int]]) -> Any:
    """Zeros around the positions."""
    if not any(map(any, padding)):
        return x
    return np.pad(x, [(0, 0)] * (np.ndim(x) - len(padding)) + [*padding])


def convolve(x: Any, weight: Any, stride: Sizes, padding: Sequence[tuple[int, int]], dilation: Sizes) -> Any:
    """Cross-correlation, as every library calls a convolution.

    $y_{n,o,p} = \\sum_{i,k} W_{o,i,k}\\, x_{n,i,s p + d k}$, with x continued by zeros.
    """
    size = np.shape(weight)[2:]
    letters = _AXES[: len(size)]
    cells = windows(padded(x, padding), size, stride, dilation)
    kernel = np.reshape(weight, (*np.shape(weight)[:2], math.prod(size)))
    return np.einsum(f"oik,kni{letters}->no{letters}", kernel, cells)


def _checked(layer: Module, x: Any, channels: int | None, needed: Sequence[int], padding: Sequence[tuple[int, int]]) -> Any:
    """`x` as (examples, channels, positions...), long enough for one window."""
    x = array(x)
    shape = np.shape(x)
    said = f"{layer!r} needs an input of shape (examples, {channels or 'channels'}, {', '.join(['positions'] * len(needed))})"
    if len(shape) != len(needed) + 2 or (channels is not None and shape[1] != channels):
        raise errors.ShapeError(f"{said}, and was given one of shape {shape}.")
    room = [n + a + b for n, (a, b) in zip(shape[2:], padding, strict=True)]
    if any(n < k for n, k in zip(room, needed, strict=True)):
        raise errors.ShapeError(f"{layer!r}: the window covers {tuple(needed)} positions, and the input has {tuple(room)}.")
    return x


def _padding(given: str | int | Sequence[int], size: Sizes, stride: Sizes, dilation: Sizes) -> tuple[tuple[int, int], ...]:
    if isinstance(given, str):
        if given == "valid":
            return ((0, 0),) * len(size)
        if given != "same" or any(s != 1 for s in stride):
            raise ValueError(f'padding is "valid", "same" (with a stride of 1) or numbers, not {given!r} with stride {stride}')
        return tuple([(d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for k, d in zip(size, dilation, strict=True)])
    return tuple([(p, p) for p in per_axis(given, len(size), "padding", least=0)])


class _Conv(Module):
    """What convolutions over one and two axes share."""

    weight: Any
    bias: Any
    activation: Callable[[Any], Any]
    stride: Sizes
    padding: tuple[tuple[int, int], ...]
    dilation: Sizes

    def _build(
        self, ndim: int, n_in: int, n_out: int, size: int | Sequence[int], key: Any, stride: Any, padding: Any, dilation: Any,
        activation: Function, bias: bool, given: Any, dtype: Any,
    ) -> None:  # fmt: skip
        positive(n_in=n_in, n_out=n_out)
        window, step, spread = (per_axis(n, ndim, s) for n, s in ((size, "size"), (stride, "stride"), (dilation, "dilation")))
        f = activations.activation(activation)
        draw = default_init(f) if given is None else init.initializer(given)
        fill(
            self, weight=draw(keys(key, 1)[0], (n_out, n_in, *window), dtype), bias=np.zeros(n_out, dtype) if bias else None,
            activation=f, stride=step, padding=_padding(padding, window, step, spread), dilation=spread,
        )  # fmt: skip

    def linear(self, x: Any) -> Any:
        """The pre-activation."""
        size = np.shape(self.weight)[2:]
        needed = [d * (k - 1) + 1 for k, d in zip(size, self.dilation, strict=True)]
        x = _checked(self, x, np.shape(self.weight)[1], needed, self.padding)
        z = convolve(x, self.weight, self.stride, self.padding, self.dilation)
        return z if self.bias is None else z + np.reshape(self.bias, (-1, *[1] * len(size)))

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(examples, n_in, positions...) to (examples, n_out, window positions...)."""
        return self.activation(self.linear(x))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Conv1d(_Conv):
    r"""$z_{n,o,p} = b_o + \sum_{i,k} W_{o,i,k}\, x_{n,i,s p + d k}, \quad a = \sigma(z)$.

    Args:
        n_in: number of input channels.
        n_out: number of output channels.
        size: cells of the window.
        key: random key for the weights.
        stride: s, the distance between windows.
        padding: "valid" (none), "same" (as many positions come out as go in) or the number of zeros on both sides.
        dilation: d, the distance between a window's cells.
        activation, bias, init, dtype: as in `Dense`.

    Attributes:
        weight: (n_out, n_in, size), as in PyTorch.
        bias: (n_out,), or None.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.nn.Conv1d(2, 4, 3, key=cr.random.key(0), padding="same")(np.ones((5, 2, 10))).shape
        (5, 4, 10)
    """

    weight: Any
    bias: Any
    activation: Callable[[Any], Any] = field(metadata=STATIC)
    stride: Sizes = field(metadata=STATIC)
    padding: tuple[tuple[int, int], ...] = field(metadata=STATIC)
    dilation: Sizes = field(metadata=STATIC)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        size: int,
        *,
        key: Any,
        stride: int = 1,
        padding: str | int = "valid",
        dilation: int = 1,
        activation: Function = None,
        bias: bool = True,
        init: str | Callable[..., Any] | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self._build(1, n_in, n_out, size, key, stride, padding, dilation, activation, bias, init, dtype)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Conv2d(_Conv):
    """A convolution over two axes; see `Conv1d`, where size, stride, padding and dilation may now be pairs.

    Attributes:
        weight: (n_out, n_in, rows, columns), as in PyTorch.
        bias: (n_out,), or None.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.nn.Conv2d(1, 4, 3, key=cr.random.key(0), stride=2)(np.ones((5, 1, 9, 9))).shape
        (5, 4, 4, 4)
    """

    weight: Any
    bias: Any
    activation: Callable[[Any], Any] = field(metadata=STATIC)
    stride: Sizes = field(metadata=STATIC)
    padding: tuple[tuple[int, int], ...] = field(metadata=STATIC)
    dilation: Sizes = field(metadata=STATIC)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        size: int | Sequence[int],
        *,
        key: Any,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "valid",
        dilation: int | Sequence[int] = 1,
        activation: Function = None,
        bias: bool = True,
        init: str | Callable[..., Any] | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self._build(2, n_in, n_out, size, key, stride, padding, dilation, activation, bias, init, dtype)


# --- pooling -----------------------------------------------------------------------------------------------------------------


class _Pool(Module):
    """What all pooling shares: a window without parameters."""

    size: Sizes
    stride: Sizes

    def _build(self, ndim: int, size: int | Sequence[int], stride: int | Sequence[int] | None) -> None:
        window = per_axis(size, ndim, "size")
        fill(self, size=window, stride=window if stride is None else per_axis(stride, ndim, "stride"))

    def _windows(self, x: Any) -> Any:
        x = _checked(self, x, None, self.size, ((0, 0),) * len(self.size))
        return windows(x, self.size, self.stride, (1,) * len(self.size))


class _MaxPool(_Pool):
    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """The greatest cell of each window; cells that tie share the derivative."""
        return np.max(self._windows(x), axis=0)


class _AvgPool(_Pool):
    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """The mean of each window."""
        return np.mean(self._windows(x), axis=0)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MaxPool1d(_MaxPool):
    """The greatest number of each window of `size` positions.

    Windows are `stride` (by default `size`) apart; positions that fill no window are dropped.
    """

    size: Sizes = field(metadata=STATIC)
    stride: Sizes = field(metadata=STATIC)

    def __init__(self, size: int, *, stride: int | None = None) -> None:
        self._build(1, size, stride)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MaxPool2d(_MaxPool):
    """`MaxPool1d` over two axes; size and stride may be pairs."""

    size: Sizes = field(metadata=STATIC)
    stride: Sizes = field(metadata=STATIC)

    def __init__(self, size: int | Sequence[int], *, stride: int | Sequence[int] | None = None) -> None:
        self._build(2, size, stride)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class AvgPool1d(_AvgPool):
    """The mean of each window of `size` positions, `stride` (by default `size`) apart; what is left over is dropped."""

    size: Sizes = field(metadata=STATIC)
    stride: Sizes = field(metadata=STATIC)

    def __init__(self, size: int, *, stride: int | None = None) -> None:
        self._build(1, size, stride)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class AvgPool2d(_AvgPool):
    """`AvgPool1d` over two axes; size and stride may be pairs."""

    size: Sizes = field(metadata=STATIC)
    stride: Sizes = field(metadata=STATIC)

    def __init__(self, size: int | Sequence[int], *, stride: int | Sequence[int] | None = None) -> None:
        self._build(2, size, stride)
