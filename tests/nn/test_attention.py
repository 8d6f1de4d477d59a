"""Attention: masks, causality by the gradient, cross attention, what a fully masked row does."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import chainrule as cr
from chainrule import nn
from chainrule.build.tree import flatten

K = cr.random.key
X = np.random.default_rng(0).normal(size=(2, 5, 6))


def layers(causal: bool) -> list[Any]:
    return [
        nn.SelfAttention(6, key=K(0), causal=causal),
        nn.MultiHeadAttention(6, 3, key=K(1), causal=causal),
        nn.TransformerBlock(6, 2, key=K(2), causal=causal),
        nn.Sequential(nn.TransformerBlock(6, 2, key=K(3), causal=causal), nn.TransformerBlock(6, 3, key=K(4), causal=causal)),
    ]


@pytest.mark.parametrize("layer", layers(True), ids=lambda x: type(x).__name__)
def test_causal_layers_do_not_see_the_future(layer: Any) -> None:
    J = np.abs(cr.jacobian(layer)(X[0])).max(axis=(1, 3))  # (query, position)
    assert np.all(J[np.triu_indices(5, 1)] == 0)
    assert np.all(J[np.tril_indices(5)] > 0)


@pytest.mark.parametrize("layer", layers(False), ids=lambda x: type(x).__name__)
def test_other_layers_see_everything(layer: Any) -> None:
    assert np.all(np.abs(cr.jacobian(layer)(X[0])).max(axis=(1, 3)) > 0)


@pytest.mark.parametrize("layer", layers(False), ids=lambda x: type(x).__name__)
def test_a_mask_decides_what_is_read_and_what_gets_a_gradient(layer: Any) -> None:
    mask = np.array([[1, 1, 0, 1, 0]] * 5, bool)
    first = layer.layers[0] if isinstance(layer, nn.Sequential) else layer
    J = np.abs(cr.jacobian(lambda x: first(x, mask=mask))(X[0])).max(axis=(1, 3))
    off = ~mask & ~np.eye(5, dtype=bool)  # a block's residual reads its own position
    assert np.all(J[off] == 0)
    assert np.all(J[mask] > 0)
    changed = X[0] + 100 * ~mask[0][:, None]
    np.testing.assert_array_equal(layer(X[0], mask=mask)[mask[0]], layer(changed, mask=mask)[mask[0]])


def test_padding_gives_what_the_short_sequence_alone_gives() -> None:
    layer = nn.MultiHeadAttention(6, 2, key=K(0))
    mask = nn.padding_mask([3, 5], 5)
    assert mask.shape == (2, 1, 5)
    y = layer(X, mask=mask)
    np.testing.assert_allclose(y[0, :3], layer(X[0, :3]), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(y[1], layer(X[1]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(5,), (5, 5), (1, 5), (2, 5, 5), (2, 1, 5), (2, 3, 5, 5), (2, 1, 1, 5), (1, 3, 5, 5)])
def test_masks_of_every_shape_mean_what_broadcasting_says(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    layer = nn.MultiHeadAttention(6, 3, key=K(0))
    mask = rng.uniform(size=shape) < 0.6
    full = np.broadcast_to(mask[:, None] if len(shape) == 3 else mask, (2, 3, 5, 5))
    w = layer.weights(X, mask=mask)
    q, k = (np.moveaxis(p(X).reshape(2, 5, 3, 2), 2, 1) for p in (layer.query, layer.keys))
    scores = np.where(full, q @ np.swapaxes(k, -1, -2) / np.sqrt(2), -np.inf)
    empty = ~full.any(-1, keepdims=True)
    want = np.where(empty, 0.0, scipy.special.softmax(np.where(empty, 0.0, scores), -1))
    np.testing.assert_allclose(w, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("layer", layers(False), ids=lambda x: type(x).__name__)
def test_a_fully_masked_row_gives_no_nan(layer: Any, compiled: bool) -> None:
    mask = np.ones((5, 5), bool)
    mask[2] = False
    f = cr.value_and_grad(lambda m, x: np.sum(np.sin(m(x, mask=mask))), (0, 1))
    value, (g, dx) = (cr.jit(f) if compiled else f)(layer, X)
    assert all(np.all(np.isfinite(a)) for a in (value, dx, *flatten(g)[0]))
    if isinstance(layer, nn.MultiHeadAttention):
        np.testing.assert_array_equal(layer(X, mask=mask)[:, 2], np.broadcast_to(layer.output.bias, (2, 6)))
    if isinstance(layer, nn.SelfAttention):
        assert not np.any(layer(X, mask=mask)[:, 2])


def test_scores_far_apart_do_not_overflow() -> None:
    q = np.array([[1e4, 0.0], [-1e4, 0.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = nn.scaled_dot_product_attention(q, q, np.eye(2), np.array([[True, True], [False, True]]))
    np.testing.assert_array_equal(y, [[1, 0], [0, 1]])


def test_cross_attention_equals_jax() -> None:
    layer = nn.MultiHeadAttention(6, 2, key=K(0), n_context=4)
    context = np.random.default_rng(1).normal(size=(2, 7, 4))
    mask = np.random.default_rng(2).uniform(size=(5, 7)) < 0.7

    def oracle(x: Any, c: Any) -> Any:
        q, k, v = (
            (a @ p.weight.T).reshape(2, -1, 2, 3).swapaxes(1, 2)
            for a, p in ((x, layer.query), (c, layer.keys), (c, layer.values))
        )
        w = jax.nn.softmax(jnp.where(mask, q @ k.swapaxes(-1, -2) / np.sqrt(3), -jnp.inf))
        return (w @ v).swapaxes(1, 2).reshape(2, -1, 6) @ layer.output.weight.T

    np.testing.assert_allclose(layer(X, context, mask=mask), oracle(X, context), rtol=1e-12, atol=1e-13)
    got = cr.grad(lambda x, c: np.sum(layer(x, c, mask=mask) ** 3), (0, 1))(X, context)
    want = jax.grad(lambda x, c: jnp.sum(oracle(x, c) ** 3), (0, 1))(X, context)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-12)


def test_attention_weights_are_probabilities_and_permute_with_the_input() -> None:
    layer = nn.MultiHeadAttention(6, 3, key=K(0))
    w = layer.weights(X)
    assert w.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(w.sum(-1), 1, rtol=1e-12)
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(layer(X[:, order]), layer(X)[:, order], rtol=1e-12, atol=1e-14)


def test_wrong_masks_are_errors_that_say_what_fits() -> None:
    layer = nn.MultiHeadAttention(6, 3, key=K(0))
    with pytest.raises(cr.errors.ShapeError, match=r"MultiHeadAttention\(.*\(2, 5, 5\).*shape \(2, 5\)"):
        layer(X, mask=np.ones((2, 5), bool))
    with pytest.raises(cr.errors.ShapeError, match=r"\(batch, keys\), for padding, becomes one by mask\[:, None, :\]"):
        nn.SelfAttention(6, key=K(0))(X, mask=np.ones((2, 5), bool))
    with pytest.raises(cr.errors.DtypeError, match="True where a query may look, not float64"):
        layer(X, mask=np.ones((5, 5)))
    causal = nn.MultiHeadAttention(6, 3, key=K(0), causal=True)
    with pytest.raises(cr.errors.ShapeError, match="as many queries as keys, and there are 5 and 4"):
        causal(X, X[:, :4])


def test_dropout_in_a_block_is_random_in_training_only() -> None:
    block = nn.TransformerBlock(6, 2, key=K(0), rate=0.5)
    a, b, c = (block(X, training=True, key=K(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.any(a != c)
    np.testing.assert_array_equal(block(X), block(X, key=K(1)))
    rest = nn.TransformerBlock(6, 2, key=K(0))
    np.testing.assert_array_equal(block(X), rest(X))
    np.testing.assert_array_equal(rest(X, training=True), rest(X))
