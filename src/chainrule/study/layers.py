"""A network of sigmoid layers in plain NumPy, its training, and its gradients layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit

import chainrule as cr
from chainrule.study.model import Context, Table, text
from chainrule.study.tools import Array, value_and_gradient

Params = list[tuple[Any, Any]]


def create(sizes: Sequence[int], seed: int) -> Params:
    """Weights W (out, in) of variance 1/in, and biases b (out,) of zero, for layers between these sizes."""
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((m, n)) / np.sqrt(n), np.zeros(m)) for n, m in pairwise(sizes)]


def forward(params: Params, x: Any, shifts: Sequence[Any] | None = None) -> tuple[list[Any], list[Any]]:
    """Pre-activations and activations of every layer.

    Args:
        params: (W, b) of each layer.
        x: (n, inputs), one example per row.
        shifts: added to the pre-activations; the derivative with respect to them is each layer's delta.

    Returns:
        [z_1, ..., z_L] and [a_0 = x, a_1, ..., a_L].
    """
    zs, activations = list[Any](), [x]
    for k, (W, b) in enumerate(params):
        z = activations[-1] @ W.T + b
        z = z if shifts is None else z + shifts[k]
        zs.append(z)
        activations.append(expit(z))
    return zs, activations


def cross_entropy(z: Any, y: Any) -> Any:
    """-y log a - (1 - y) log(1 - a) with a = sigmoid(z), summed over outputs, averaged over examples; never log 0."""
    each: Any = np.logaddexp(0.0, z) - y * z
    return np.sum(each) / z.shape[0]


def loss(params: Params, x: Any, y: Any) -> Any:
    """The loss of the network: x (n, inputs), y (n, outputs) of zeros and ones."""
    return cross_entropy(forward(params, x)[0][-1], y)


# --- training ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """Parameters at the end; loss (steps,) and gradient norm per layer (steps, layers) on the way."""

    params: Params
    losses: Array
    slopes: Array


def train(
    params: Params, x: Array, y: Array, *, learning_rate: float, epochs: int, batch_size: int, seed: int, context: Context
) -> Training:
    """Stochastic gradient descent in shuffled mini-batches; `batch_size` = n takes all examples in every step."""
    both = value_and_gradient(loss)
    rng = np.random.default_rng(seed)
    losses, slopes = list[float](), list[list[float]]()
    for _ in context.steps(epochs):
        order = rng.permutation(len(x)) if batch_size < len(x) else np.arange(len(x))
        for at in range(0, len(x), batch_size):
            rows = order[at : at + batch_size]
            value, grads = both(params, x[rows], y[rows])
            losses.append(float(value))
            slopes.append([float(np.sqrt(np.sum(dW**2) + np.sum(db**2))) for dW, db in grads])
            params = [(W - learning_rate * dW, b - learning_rate * db) for (W, b), (dW, db) in zip(params, grads, strict=True)]
    return Training(params, np.array(losses), np.array(slopes))


# --- gradients, three ways -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """What flows through one layer: forward z and a, backward delta = dL/dz, dL/dW and dL/db."""

    z: Array
    a: Array
    delta: Array
    dW: Array
    db: Array

    def items(self) -> list[tuple[str, Array]]:
        """The arrays with the names they have in formulas."""
        return [("z", self.z), ("a", self.a), ("δ", self.delta), ("∂L/∂W", self.dW), ("∂L/∂b", self.db)]


def by_chainrule(params: Params, x: Array, y: Array) -> list[Layer]:
    """Every layer's values and derivatives by automatic differentiation."""

    def shifted(params: Params, shifts: list[Any]) -> Any:
        zs, activations = forward(params, x, shifts)
        return cross_entropy(zs[-1], y), (zs, activations[1:])

    shifts = [np.zeros((len(x), len(b))) for _, b in params]
    (_, (zs, activations)), (grads, deltas) = cr.value_and_grad(shifted, (0, 1), has_aux=True)(params, shifts)
    return [Layer(z, a, d, *g) for z, a, d, g in zip(zs, activations, deltas, grads, strict=True)]


def by_hand(params: Params, x: Array, y: Array) -> list[Layer]:
    """The same by the recursion that textbooks print: an independent second opinion."""
    zs, activations = forward(params, x)
    a = activations[-1]
    above = (a - y) / (a * (1 - a)) / len(x)  # dL/da of the last layer
    layers = list[Layer]()
    for (W, _), z, a, before in reversed(list(zip(params, zs, activations[1:], activations[:-1], strict=True))):
        delta = above * a * (1 - a)
        layers.append(Layer(z, a, delta, delta.T @ before, delta.sum(axis=0)))
        above = delta @ W
    return layers[::-1]


def quotient(f: Callable[[float], float], h: float = 1e-3) -> float:
    """The derivative of f at 0 from four values, with an error of order h to the fourth (central differences, extrapolated)."""

    def central(h: float) -> float:
        return (f(h) - f(-h)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


@dataclass(frozen=True)
class Comparison:
    """One array of derivatives against difference quotients and against the recursion by hand."""

    layer: int
    name: str
    shape: tuple[int, ...]
    norm: float
    entries: int
    quotient_error: float
    hand_error: float


def compare(params: Params, x: Array, y: Array, entries: int, seed: int = 0) -> list[Comparison]:
    """Check every layer's derivatives at `entries` randomly chosen entries each (all, where there are fewer)."""
    rng = np.random.default_rng(seed)
    out = list[Comparison]()
    for k, (auto, hand) in enumerate(zip(by_chainrule(params, x, y), by_hand(params, x, y), strict=True)):
        for (name, found), (_, other) in zip(auto.items(), hand.items(), strict=True):
            chosen: list[int] = rng.permutation(found.size)[:entries].tolist() if name not in ("z", "a") else []
            worst = max((abs(_moved(params, x, y, k, name, i) - found.flat[i]) for i in chosen), default=np.nan)
            error = float(np.max(np.abs(found - other)))
            out.append(Comparison(k + 1, name, found.shape, float(np.linalg.norm(found)), len(chosen), float(worst), error))
    return out


def _moved(params: Params, x: Array, y: Array, layer: int, name: str, entry: int) -> float:
    """The difference quotient of the loss when one entry moves."""
    shifts = [np.zeros((len(x), len(b))) for _, b in params]
    places = {"δ": shifts[layer], "∂L/∂W": params[layer][0], "∂L/∂b": params[layer][1]}
    place = places[name]
    at = np.unravel_index(entry, place.shape)
    start = float(place[at])

    def f(t: float) -> float:
        place[at] = start + t
        value = float(cross_entropy(forward(params, x, shifts)[0][-1], y))
        place[at] = start
        return value

    return quotient(f)


# --- the same, to read ---------------------------------------------------------------------------------------------------


def in_numbers(layers: Sequence[Layer], caption: str) -> Table:
    """Every number of every layer, for networks small enough to read them."""
    rows = [
        [f"{k + 1}", name, ", ".join(text(float(v)) for v in values.ravel())]
        for k, layer in enumerate(layers)
        for name, values in layer.items()
    ]
    return Table(caption, ["Layer", "Array", "Numbers, row by row"], rows)


def checked(comparisons: list[Comparison], caption: str) -> Table:
    """The comparison as a table to read."""
    rows = [
        [
            f"{c.layer}",
            c.name,
            " × ".join(map(str, c.shape)),
            text(c.norm),
            f"{c.entries or '—'}",
            text(c.quotient_error, 2) if c.entries else "—",
            text(c.hand_error, 2),
        ]
        for c in comparisons
    ]
    return Table(
        caption,
        [
            "Layer",
            "Array",
            "Shape",
            "Norm",
            "Entries checked",
            "Error against difference quotients",
            "Error against the recursion",
        ],
        rows,
    )


def worst(comparisons: list[Comparison]) -> tuple[float, float]:
    """The largest errors against difference quotients and against the recursion."""
    return max(c.quotient_error for c in comparisons if c.entries), max(c.hand_error for c in comparisons)
