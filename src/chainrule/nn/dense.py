"""Fully connected layers, and layers one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.nn import activations, init
from chainrule.nn.module import STATIC, Module, applied, array, fill, folded, keys, last_axis, positive, returned

Function = str | Callable[[Any], Any] | None


def default_init(f: Callable[[Any], Any]) -> init.Initializer:
    """He's initialiser before a rectifier, Glorot's before everything else."""
    return init.he_normal if f in activations.RECTIFIERS else init.glorot_uniform


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Dense(Module):
    r"""$a = \sigma(z), \quad z = x W^\top + b$.

    Args:
        n_in: size of the last axis of the input.
        n_out: size of the last axis of the output.
        key: random key for the weights.
        activation: a name (see `chainrule.nn.ACTIVATIONS`) or a function; the identity by default.
        bias: is there a b? It starts at zero.
        init: an initialiser or its name; by default `he_normal` before a rectifier and `glorot_uniform` otherwise.
        dtype: float64 or float32.

    Attributes:
        weight: W, of shape (n_out, n_in), as in PyTorch.
        bias: b, of shape (n_out,), or None.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> layer = cr.nn.Dense(3, 2, key=cr.random.key(0), activation="tanh")
        >>> layer(np.ones((5, 3))).shape
        (5, 2)
        >>> cr.grad(lambda m: np.sum(m(np.ones((5, 3)))))(layer)
        Dense(weight: float64[2, 3], bias: float64[2], activation=tanh)
    """

    weight: Any
    bias: Any
    activation: Callable[[Any], Any] = field(metadata=STATIC)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        key: Any,
        activation: Function = None,
        bias: bool = True,
        init: str | Callable[..., Any] | None = None,
        dtype: Any = np.float64,
    ) -> None:
        positive(n_in=n_in, n_out=n_out)
        f = activations.activation(activation)
        fill(
            self,
            weight=_initializer(init, f)(keys(key, 1)[0], (n_out, n_in), dtype),
            bias=np.zeros(n_out, dtype) if bias else None,
            activation=f,
        )

    def linear(self, x: Any) -> Any:
        """The pre-activation z."""
        z = np.matmul(last_axis(self, x, self.weight.shape[1]), np.transpose(self.weight))
        return z if self.bias is None else z + self.bias

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Inputs (..., n_in) to activations (..., n_out)."""
        return self.activation(self.linear(x))


def _initializer(given: str | Callable[..., Any] | None, f: Callable[[Any], Any]) -> Callable[..., Any]:
    return default_init(f) if given is None else init.initializer(given)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Activation(Module):
    """A function without parameters as a layer: ``Activation("relu")``, ``Activation(np.sin)``."""

    function: Callable[[Any], Any] = field(metadata=STATIC)

    def __init__(self, function: Function) -> None:
        fill(self, function=activations.activation(function))

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """The function of the input."""
        return self.function(array(x))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Flatten(Module):
    """All axes but the first, as one."""

    def __init__(self) -> None:
        """There is nothing to choose."""

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(n, ...) to (n, size of the rest)."""
        x = array(x)
        return np.reshape(x, (np.shape(x)[0], int(np.prod(np.shape(x)[1:]))))


def as_module(layer: Any) -> Module:
    """A layer; a name or a plain function counts as an activation."""
    return layer if isinstance(layer, Module) else Activation(layer)


def chained(layers: Sequence[Module], x: Any, training: bool, key: Any, mask: Any) -> tuple[Any, tuple[Module, ...]]:
    """The output of layers one after another, and the layers afterwards; each has a key of its own."""
    after: list[Module] = []
    for k, layer in enumerate(layers):
        x, new = applied(layer, x, training, folded(key, k), mask)
        after.append(new)
    return x, tuple(after)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Sequential(Module):
    """Layers one after another: ``Sequential(a, b, c)(x) = c(b(a(x)))``.

    Args:
        layers: layers, or plain functions of arrays (activations); one list of them is taken apart.

    In training it returns (y, new Sequential) if one of its layers learns statistics.  The key is split among the layers;
    every layer gets the mask.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> a, b = cr.random.split(cr.random.key(0))
        >>> net = cr.nn.Sequential(cr.nn.Dense(3, 8, key=a), np.tanh, cr.nn.Dense(8, 1, key=b))
        >>> net(np.ones((5, 3))).shape
        (5, 1)
    """

    layers: tuple[Module, ...]

    def __init__(self, *layers: Any) -> None:
        one = layers[0] if len(layers) == 1 else None
        fill(self, layers=tuple(map(as_module, one if isinstance(one, list | tuple) else layers)))  # pyright: ignore[reportUnknownArgumentType]

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """The layers' outputs, one fed to the next."""
        y, layers = chained(self.layers, x, training, key, mask)
        return returned(self, y, training, layers=layers)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MLP(Module):
    """A multilayer perceptron: Dense layers between the sizes, with an activation after each but the last.

    Args:
        sizes: number of inputs, hidden units, ..., outputs.
        activation: of the hidden layers, a name or a function.
        key: random key for the weights.
        output_activation: of the last layer; the identity by default.
        bias, init, dtype: as in `Dense`.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> net = cr.nn.MLP([2, 8, 8, 1], "tanh", key=cr.random.key(0))
        >>> net(np.ones((5, 2))).shape
        (5, 1)
    """

    layers: tuple[Dense, ...]

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Function = "relu",
        key: Any = None,
        *,
        output_activation: Function = None,
        bias: bool = True,
        init: str | Callable[..., Any] | None = None,
        dtype: Any = np.float64,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes are those of the input, the hidden layers and the output, not {list(sizes)}")
        n = len(sizes) - 1
        parts = zip(pairwise(sizes), keys(key, n), [activation] * (n - 1) + [output_activation], strict=True)
        layers = [Dense(i, o, key=k, activation=f, bias=bias, init=init, dtype=dtype) for (i, o), k, f in parts]
        fill(self, layers=tuple(layers))

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Inputs (..., sizes[0]) to outputs (..., sizes[-1])."""
        return chained(self.layers, x, training, key, mask)[0]
