"""Activation functions, on arrays and inside functions that are being differentiated.

Where one has a kink, the derivative that is chosen there is said, and it is the one of the other well-known libraries.
"""

# pyright: reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as scipy_special

from chainrule import special

sp: Any = scipy_special
_ROOT = math.sqrt(2 / math.pi)


def identity(x: Any) -> Any:
    """x itself: a layer without an activation."""
    return x


def sigmoid(x: Any) -> Any:
    r"""$\sigma(x) = 1 / (1 + e^{-x})$, without overflow; its derivative is $\sigma (1 - \sigma) \le 1/4$."""
    return sp.expit(x)


def tanh(x: Any) -> Any:
    r"""$\tanh x$; its derivative is $1 - \tanh^2 x \le 1$."""
    return np.tanh(x)


def relu(x: Any) -> Any:
    """max(x, 0); the derivative at 0 is 0, as in PyTorch and JAX (`np.maximum` has 1/2 there). NaN stays NaN."""
    return np.where(x <= 0, 0.0, x)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where x > 0, ``slope * x`` elsewhere; the derivative at 0 is `slope`, as in PyTorch.

    Source: Maas, Hannun and Ng 2013.
    """
    return np.where(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    r"""x where x > 0, $\alpha (e^x - 1)$ elsewhere; the derivative at 0 is `alpha`.

    Source: Clevert, Unterthiner and Hochreiter 2016.
    """
    below = np.where(x > 0, 0.0, x)  # so that e^x cannot overflow where it is not used
    return np.where(x > 0, x, alpha * np.expm1(below))


def gelu(x: Any, approximate: str = "none") -> Any:
    r"""$x \Phi(x)$ with the normal distribution function; with ``approximate="tanh"`` the formula

    $\tfrac12 x (1 + \tanh(\sqrt{2/\pi} (x + 0.044715 x^3)))$.

    Source: Hendrycks and Gimpel 2016.
    """
    if approximate == "none":
        return x * sp.ndtr(x)
    if approximate != "tanh":
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')
    return 0.5 * x * (1 + np.tanh(_ROOT * (x + 0.044715 * x * x * x)))


def softplus(x: Any) -> Any:
    r"""$\ln(1 + e^x)$, without overflow; its derivative is the sigmoid."""
    return np.logaddexp(x, 0.0)


def silu(x: Any) -> Any:
    r"""$x \sigma(x)$, also called swish.

    Source: Elfwing, Uchibe and Doya 2018.
    """
    return x * sp.expit(x)


def softmax(x: Any, axis: int = -1) -> Any:
    r"""$e^{x_i} / \sum_k e^{x_k}$ along the last axis."""
    return special.softmax(x, axis=axis)


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (identity, sigmoid, tanh, relu, leaky_relu, elu, gelu, softplus, silu, softmax)
}
"""Activation functions by name."""

RECTIFIERS = frozenset({relu, leaky_relu, elu, gelu, silu, softplus})
"""Those that let about half of a symmetric input through, for which He's initialisation is made."""


def activation(f: str | Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """An activation given by name, as a function, or as None (the identity)."""
    if f is None:
        return identity
    if isinstance(f, str):
        if f not in ACTIVATIONS:
            raise ValueError(f"there is no activation {f!r}; there are {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[f]
    if not callable(f):
        raise TypeError(f"an activation is a name or a function, not {f!r}")
    return f
