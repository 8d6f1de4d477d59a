"""Initial weights, each with the variance it has and what that variance preserves.

For a layer z = W a with independent weights of mean 0 and variance v,

    Var z_i = fan_in v E[a^2]      and      Var (dL/da)_j = fan_out v Var (dL/dz)_i,

so v = 1/fan_in keeps the size of activations and v = 1/fan_out that of gradients from layer to layer, as long as the activation
is near the identity; a relu halves E[a^2], and a factor 2 makes up for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import random

Fans = tuple[int, int]


def fans(shape: Sequence[int]) -> Fans:
    """fan_in and fan_out of weights (out, in, window...): how many numbers one output reads, and how many read one input."""
    if len(shape) < 2:
        raise ValueError(f"weights have at least two axes, (out, in, ...), and this shape is {tuple(shape)}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


@dataclass(frozen=True, eq=False, repr=False)
class Initializer:
    """A way to draw weights: ``initializer(key, shape, dtype=np.float64)``.

    Attributes:
        name: its name.
        variance: (fan_in, fan_out) -> variance of one weight.
        preserves: what stays the same from layer to layer, and under which assumption.
        latex: the variance as a formula.
        source: where it is taken from.
    """

    name: str
    draw: Callable[[Any, Sequence[int], float, Any], Any]
    variance: Callable[[int, int], float]
    preserves: str
    latex: str
    source: str

    def __call__(self, key: Any, shape: Sequence[int], dtype: Any = np.float64) -> Any:
        """Weights of a shape (out, in, window...)."""
        return self.draw(key, tuple(shape), math.sqrt(self.variance(*fans(shape))), dtype)

    def __repr__(self) -> str:
        return f"<initializer {self.name}>"


def _uniform(key: Any, shape: Sequence[int], deviation: float, dtype: Any) -> Any:
    reach = math.sqrt(3) * deviation  # U(-r, r) has the variance r^2 / 3
    return random.uniform(key, shape, -reach, reach, dtype)


def _normal(key: Any, shape: Sequence[int], deviation: float, dtype: Any) -> Any:
    return deviation * random.normal(key, shape, dtype)


def _orthogonal(key: Any, shape: Sequence[int], deviation: float, dtype: Any) -> Any:
    """Rows (or columns, where there are fewer) of a uniformly distributed rotation or reflection.

    Signs are moved so that the triangular factor has a positive diagonal, without which the matrices are not uniformly
    distributed (Mezzadri 2007).
    """
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(random.normal(key, (max(rows, columns), min(rows, columns)), dtype))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.reshape(q if rows >= columns else np.transpose(q), shape)


_GLOROT = "a compromise between the size of activations and that of gradients, for an activation of slope 1 at 0 (tanh)"
_HE = "the mean square of activations forward, for relu"
_LECUN_SOURCE = "LeCun, Bottou, Orr and Müller 1998, section 4.6"
_LECUN = "the variance of activations forward, for an activation of slope 1 at 0; what self-normalising networks ask for"

glorot_uniform = Initializer(
    "glorot_uniform", _uniform, lambda i, o: 2 / (i + o), _GLOROT, r"\frac{2}{n_{\text{in}} + n_{\text{out}}}",
    "Glorot and Bengio 2010, equation 16",
)  # fmt: skip
glorot_normal = Initializer(
    "glorot_normal", _normal, lambda i, o: 2 / (i + o), _GLOROT, r"\frac{2}{n_{\text{in}} + n_{\text{out}}}",
    "Glorot and Bengio 2010, equation 12",
)  # fmt: skip
he_uniform = Initializer(
    "he_uniform", _uniform, lambda i, o: 2 / i, _HE, r"\frac{2}{n_{\text{in}}}", "He, Zhang, Ren and Sun 2015, equation 10"
)
he_normal = Initializer(
    "he_normal", _normal, lambda i, o: 2 / i, _HE, r"\frac{2}{n_{\text{in}}}", "He, Zhang, Ren and Sun 2015, equation 10"
)
lecun_uniform = Initializer("lecun_uniform", _uniform, lambda i, o: 1 / i, _LECUN, r"\frac{1}{n_{\text{in}}}", _LECUN_SOURCE)
lecun_normal = Initializer("lecun_normal", _normal, lambda i, o: 1 / i, _LECUN, r"\frac{1}{n_{\text{in}}}", _LECUN_SOURCE)
orthogonal = Initializer(
    "orthogonal", _orthogonal, lambda i, o: 1 / max(i, o),
    "lengths and angles exactly: of inputs if there are at least as many outputs, else of gradients",
    r"\frac{1}{\max(n_{\text{in}}, n_{\text{out}})}", "Saxe, McClelland and Ganguli 2014, section 3",
)  # fmt: skip
"""For a convolution, orthogonal refers to the matrix (out, in x window)."""

INITIALIZERS: dict[str, Initializer] = {
    f.name: f for f in (glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal)
}
"""Initialisers by name."""


def initializer(f: str | Callable[..., Any]) -> Callable[..., Any]:
    """An initialiser given by name or as a function of (key, shape, dtype)."""
    if isinstance(f, str):
        if f not in INITIALIZERS:
            raise ValueError(f"there is no initialiser {f!r}; there are {', '.join(INITIALIZERS)}")
        return INITIALIZERS[f]
    return f
