"""A network as a chain of steps, each a map to z followed by an activation: what backpropagation is told about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from chainrule.build.tree import flatten, paths
from chainrule.calculus import jacobian, value_and_grad
from chainrule.nn.activations import identity
from chainrule.nn.dense import MLP, Activation, Dense, Sequential
from chainrule.nn.module import Array, Module, applied, array, folded, learned

Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Step:
    """One row of the table: ``z = map(a)``, then ``activation(z)``.

    Attributes:
        layer: the layer whose parameters these are.
        activation: what follows z; the identity if nothing does.
        key: the random key the layer gets, or None.
    """

    layer: Module
    activation: Callable[[Any], Any]
    key: Any = None

    @property
    def name(self) -> str:
        """The layer's class."""
        return type(self.layer).__name__

    @property
    def affine(self) -> bool:
        """Is z = a W^T + b?"""
        return isinstance(self.layer, Dense)

    def map(self, a: Any, training: bool, mask: Any) -> Any:
        """z, what comes before the activation."""
        linear = getattr(self.layer, "linear", None)
        return applied(self.layer, a, training, self.key, mask)[0] if linear is None else linear(a)


def _chain(model: Module, key: Any) -> Iterator[tuple[Module, Any]]:
    """The layers of nested chains, with the keys that a call of the model gives them."""
    if not isinstance(model, Sequential | MLP):
        yield model, key
        return
    for k, layer in enumerate(model.layers):
        yield from _chain(layer, folded(key, k))


def unrolled(model: Module, key: Any = None) -> list[Step]:
    """The rows for a model; a lone activation belongs to the layer before it."""
    out: list[Step] = []
    for layer, one in _chain(model, key):
        if isinstance(layer, Activation) and out and out[-1].activation is identity:
            out[-1] = Step(out[-1].layer, layer.function, out[-1].key)
        else:
            follows = layer.activation if hasattr(layer, "linear") else identity  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
            out.append(Step(layer, follows, one))  # pyright: ignore[reportUnknownArgumentType]
    return out


def forward(
    rows: Sequence[Step], x: Any, training: bool, mask: Any, shifts: Sequence[Any] | None = None
) -> tuple[list[Any], list[Any]]:
    """Every z and every a; a shift is added to each z, so that the derivative with respect to it is dL/dz."""
    zs, activations, a = list[Any](), list[Any](), array(x)
    for k, row in enumerate(rows):
        z = row.map(a, training, mask)
        z = z if shifts is None else z + shifts[k]
        a = row.activation(z)
        zs.append(z)
        activations.append(a)
    return zs, activations


@dataclass(frozen=True)
class Pass:
    """A forward and a backward pass: the loss, and for each step z, a, delta = dL/dz; gradients in the model's containers."""

    rows: list[Step]
    loss: float
    zs: list[Array]
    activations: list[Array]
    deltas: list[Array]
    grads: Any


def passes(loss: Loss, x: Any, y: Any, training: bool, mask: Any = None) -> Callable[[Module, Sequence[Any], Any], Any]:
    """(model, shifts, key) -> ((loss, (zs, activations)), (gradients, deltas)), to be called or compiled."""

    def shifted(model: Module, shifts: Sequence[Any], key: Any) -> Any:
        kept = forward(unrolled(model, key), x, training, mask, shifts)
        return loss(y, kept[1][-1]), kept

    return value_and_grad(shifted, (0, 1), has_aux=True)


def no_shifts(model: Module, x: Any, training: bool, key: Any, mask: Any = None) -> list[Array]:
    """Zeros of the shape of each z."""
    return [np.zeros_like(z) for z in forward(unrolled(model, key), x, training, mask)[0]]


def both_ways(model: Module, loss: Loss, x: Any, y: Any, training: bool, key: Any, mask: Any) -> Pass:
    """One forward and one backward pass, with everything on the way kept."""
    shifts = no_shifts(model, x, training, key, mask)
    (value, (zs, activations)), (grads, deltas) = passes(loss, x, y, training, mask)(model, shifts, key)
    return Pass(unrolled(model, key), float(value), zs, activations, deltas, grads)


def gradients(grad: Module) -> dict[str, Array]:
    """The gradients of one layer by the names of its parameters."""
    names = [p.lstrip(".") for p in paths(grad)]
    return {n: g for n, g, ours in zip(names, flatten(grad)[0], learned(grad), strict=True) if ours}


@cache
def elementwise(f: Callable[[Any], Any]) -> bool:
    """Does each output depend on the input in its own place only?"""
    J = jacobian(f)(np.array([0.3, -0.7, 1.1]))
    return bool(np.all(J[~np.eye(3, dtype=bool)] == 0))


def norm(x: Any) -> float:
    """Euclidean length of all elements together."""
    return float(np.sqrt(np.sum(np.square(np.asarray(x, np.float64)))))
