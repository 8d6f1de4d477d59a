"""Random stacks of layers: derivative against difference quotients, compiled and batched against plain, forward against reverse."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn
from chainrule.build.tree import flatten, map_tree, unflatten

K = cr.random.key
N = 4
SMOOTH = ["sigmoid", "tanh", "gelu", "softplus", "silu", "softmax", "elu"]  # elu's derivative has no jump


def one(kind: str, seed: int, activation: str) -> Any:
    k = K(seed)
    makers: dict[str, Any] = {
        "dense": lambda: nn.Dense(N, N, key=k, activation=activation),
        "layer norm": lambda: nn.LayerNorm(N),
        "rms norm": lambda: nn.RMSNorm(N),
        "batch norm": lambda: nn.BatchNorm(N, axis=-1),
        "attention": lambda: nn.MultiHeadAttention(N, 2, key=k, causal=seed % 2 == 0),
        "self attention": lambda: nn.SelfAttention(N, key=k, causal=seed % 2 == 1),
        "block": lambda: nn.TransformerBlock(N, 2, key=k, activation=activation, rate=0.25),
        "positions": lambda: nn.LearnedPositions(6, N, key=k),
        "convolution": lambda: nn.Conv1d(3, 3, 3, key=k, padding="same", activation=activation),
        "dropout": lambda: nn.Dropout(0.25),
        "residual": lambda: nn.Residual(nn.Dense(N, N, key=k, activation=activation)),
        "activation": lambda: nn.Activation(activation),
    }
    return makers[kind]()


KINDS = ["dense", "layer norm", "rms norm", "batch norm", "attention", "self attention", "block", "positions", "convolution",
         "dropout", "residual", "activation"]  # fmt: skip
LAYERS = st.builds(one, st.sampled_from(KINDS), st.integers(0, 99), st.sampled_from(SMOOTH))


def perturbed(tree: Any, rng: np.random.Generator, scale: float) -> Any:
    leaves, spec = flatten(tree)
    moved = [x + scale * rng.normal(size=x.shape) if ours else x for x, ours in zip(leaves, nn.learned(tree), strict=True)]
    return unflatten(spec, moved)


@settings(max_examples=25)
@given(st.lists(LAYERS, min_size=1, max_size=4), st.booleans(), st.integers(0, 1000))
def test_random_nets(layers: list[Any], training: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = perturbed(nn.Sequential(layers), rng, 0.2)
    x, c = rng.normal(size=(2, 3, N)), rng.normal(size=(2, 3, N))
    key = K(seed)

    def f(m: Any, x: Any) -> Any:
        out = m(x, training=training, key=key)
        return np.sum(c * (out[0] if training and m.learns_statistics else out))

    value, (g, dx) = cr.value_and_grad(f, (0, 1))(model, x)
    tangent = map_tree(np.zeros_like, model)
    tangent, direction = perturbed(tangent, rng, 1.0), rng.normal(size=x.shape)
    slope = sum(np.sum(a * b) for a, b in zip(flatten(g)[0], flatten(tangent)[0], strict=True)) + np.sum(dx * direction)

    def along(t: float) -> float:
        return float(f(map_tree(lambda a, b: a + t * b, model, tangent), x + t * direction))

    h = 1e-3
    central = [(along(s) - along(-s)) / (2 * s) for s in (h, h / 2, h / 4)]
    first = [(4 * b - a) / 3 for a, b in pairwise(central)]
    quotient = (16 * first[1] - first[0]) / 15
    # Extrapolated twice: the error is of order h^6 times a sixth derivative, which is large where a variance is small.
    scale = 1 + abs(slope) + abs(value)
    spread = abs(first[1] - first[0])
    assert abs(quotient - slope) < 1e-7 * scale + spread
    assert spread < 1e-2 * scale

    forward = cr.jvp(f, (model, x), (tangent, direction))[1]
    np.testing.assert_allclose(forward, slope, rtol=1e-9, atol=1e-10 * scale)
    compiled = cr.jit(cr.value_and_grad(f, (0, 1)))(model, x)
    np.testing.assert_allclose(compiled[0], value, rtol=1e-10, atol=1e-12 * scale)
    for a, b in zip(flatten(compiled[1])[0], flatten((g, dx))[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10 * scale)
