"""Normalisation: the gradient through mean and variance, running averages, containers in training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.build.tree import flatten

K = cr.random.key
EPS = 1e-5


def ioffe_szegedy(x: np.ndarray, gamma: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Section 3, the six equations for the gradients of the batch normalising transform, as printed."""
    m = len(x)
    mu, var = x.mean(0), x.var(0)
    x_hat = (x - mu) / np.sqrt(var + EPS)
    dx_hat = dy * gamma
    dvar = np.sum(dx_hat * (x - mu) * -0.5 * (var + EPS) ** -1.5, axis=0)
    dmu = np.sum(dx_hat * -1 / np.sqrt(var + EPS), axis=0) + dvar * np.sum(-2 * (x - mu), axis=0) / m
    dx = dx_hat / np.sqrt(var + EPS) + dvar * 2 * (x - mu) / m + dmu / m
    return dx, np.sum(dy * x_hat, axis=0), np.sum(dy, axis=0)


def batch(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, nn.BatchNorm]:
    x = rng.normal(2.0, 3.0, (6, 4))
    layer = cr.grad(lambda m: np.sum(m.gamma * rng.normal(size=4) + m.beta * rng.normal(size=4)))(nn.BatchNorm(4))
    return x, rng.normal(size=(6, 4)), layer


def test_batch_norm_gradient_is_that_of_ioffe_and_szegedy(rng: np.random.Generator) -> None:
    x, dy, layer = batch(rng)
    g, dx = cr.grad(lambda m, x: np.sum(dy * m(x, training=True)[0]), (0, 1))(layer, x)
    want = ioffe_szegedy(x, layer.gamma, dy)
    for got, w in zip((dx, g.gamma, g.beta), want, strict=True):
        np.testing.assert_allclose(got, w, rtol=1e-10, atol=1e-12)
    assert not np.any(g.mean)
    assert not np.any(g.variance)


def test_the_gradient_without_mean_and_variance_is_another_one(rng: np.random.Generator) -> None:
    """dL/dy gamma / sqrt(var + eps), which is sometimes printed, is the gradient in inference, not in training."""
    x, dy, layer = batch(rng)
    dx = cr.grad(lambda x: np.sum(dy * layer(x, training=True)[0]))(x)
    short = dy * layer.gamma / np.sqrt(x.var(0) + EPS)
    assert np.max(np.abs(dx - short)) > 0.1 * np.max(np.abs(short))
    x_hat = (x - x.mean(0)) / np.sqrt(x.var(0) + EPS)
    np.testing.assert_allclose(np.sum(dx, axis=0), 0, atol=1e-12)
    # Orthogonal to x_hat but for epsilon: what is left is of the order eps / var.
    assert np.max(np.abs(np.sum(dx * x_hat, axis=0))) < 10 * EPS / np.min(x.var(0))
    inference = cr.grad(lambda x: np.sum(dy * layer(x)))(x)
    np.testing.assert_allclose(inference, dy * layer.gamma / np.sqrt(layer.variance + EPS), rtol=1e-12)


def test_batch_norm_over_positions_equals_a_batch_of_positions(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4, 5, 2))
    flat = np.moveaxis(x, 1, -1).reshape(-1, 4)
    y, after = nn.BatchNorm(4)(x, training=True)
    y_flat, after_flat = nn.BatchNorm(4)(flat, training=True)
    np.testing.assert_allclose(np.moveaxis(y, 1, -1).reshape(-1, 4), y_flat, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(after.variance, after_flat.variance, rtol=1e-12)
    last, _ = nn.BatchNorm(4, axis=-1)(np.moveaxis(x, 1, -1), training=True)
    np.testing.assert_allclose(np.moveaxis(last, -1, 1), y, rtol=1e-12, atol=1e-14)


def test_running_averages_follow_algorithm_2(rng: np.random.Generator) -> None:
    layer = nn.BatchNorm(2, momentum=0.7)
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(5):
        x = rng.normal(1.0, 2.0, (8, 2))
        y, layer = layer(x, training=True)
        np.testing.assert_allclose(y.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(y.var(0), x.var(0) / (x.var(0) + EPS), rtol=1e-12)
        mean, variance = 0.7 * mean + 0.3 * x.mean(0), 0.7 * variance + 0.3 * x.var(0, ddof=1)
    np.testing.assert_allclose(layer.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.variance, variance, rtol=1e-12)
    x = rng.normal(size=(3, 2))
    np.testing.assert_allclose(layer(x), (x - mean) / np.sqrt(variance + EPS), rtol=1e-12)


def test_running_averages_converge_to_mean_and_variance_of_the_population() -> None:
    rng = np.random.default_rng(0)
    layer = nn.BatchNorm(1, momentum=0.99)
    n, steps = 16, 2000
    for _ in range(steps):
        layer = layer(rng.normal(3.0, 2.0, (n, 1)), training=True)[1]
    # An exponential average with weight 0.01 has the variance of one batch's statistic times 0.01 / 1.99: five deviations.
    share = np.sqrt(0.01 / 1.99)
    assert abs(layer.mean[0] - 3) < 5 * share * 2 / np.sqrt(n)
    assert abs(layer.variance[0] - 4) < 5 * share * 4 * np.sqrt(2 / (n - 1))


def test_layer_norm_is_group_norm_with_one_group_and_batch_norm_of_the_transpose(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 6))
    y = nn.LayerNorm(6)(x)
    np.testing.assert_allclose(nn.GroupNorm(1, 6)(x), y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(nn.BatchNorm(5)(x.T, training=True)[0].T, y, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(nn.RMSNorm(6)(x - x.mean(1, keepdims=True)), y, rtol=1e-12, atol=1e-14)


def test_scaling_the_input_changes_nothing_and_halves_the_gradient(rng: np.random.Generator) -> None:
    x, c = rng.normal(size=(5, 6)), rng.normal(size=(5, 6))
    layer = nn.LayerNorm(6, eps=0.0)
    f = lambda x: np.sum(c * layer(x))
    np.testing.assert_allclose(layer(2 * x), layer(x), rtol=1e-12)
    np.testing.assert_allclose(2 * cr.grad(f)(2 * x), cr.grad(f)(x), rtol=1e-10, atol=1e-14)


# --- containers -----------------------------------------------------------------------------------------------------------------


def net() -> nn.Sequential:
    inner = nn.Sequential(nn.BatchNorm(4), nn.Dense(4, 4, key=K(2), activation="tanh"))
    return nn.Sequential(nn.Dense(3, 4, key=K(1)), nn.Residual(inner), nn.Dropout(0.25), nn.Dense(4, 1, key=K(3)))


def test_containers_pass_new_statistics_on(rng: np.random.Generator) -> None:
    model, x = net(), rng.normal(size=(7, 3))
    y, after = model(x, training=True, key=K(0))
    assert y.shape == model(x).shape == (7, 1)
    z = x @ model.layers[0].weight.T
    got = after.layers[1].layer.layers[0]
    np.testing.assert_allclose(got.mean, 0.1 * z.mean(0), rtol=1e-12)
    np.testing.assert_allclose(got.variance, 0.9 + 0.1 * z.var(0, ddof=1), rtol=1e-12)
    assert model.layers[1].layer.layers[0].mean.tolist() == [0] * 4
    assert isinstance(after.layers[1], nn.Residual)
    assert after.learns_statistics


def test_containers_without_statistics_return_y_alone_in_training(rng: np.random.Generator) -> None:
    model = nn.Sequential(nn.Dense(3, 4, key=K(1)), nn.Dropout(0.5), nn.Residual(nn.LayerNorm(4)))
    assert model(rng.normal(size=(7, 3)), training=True, key=K(0)).shape == (7, 4)
    assert not model.learns_statistics


def test_training_with_statistics_as_a_compiled_scan_equals_the_loop(rng: np.random.Generator) -> None:
    xs, ys = rng.normal(size=(6, 8, 3)), rng.normal(size=(6, 8, 1))

    def loss(m: Any, x: Any, y: Any, key: Any) -> Any:
        out, after = m(x, training=True, key=key)
        return np.mean((out - y) ** 2), after

    def step(m: Any, batch: Any) -> Any:
        x, y, key = batch
        (value, after), g = cr.value_and_grad(loss, has_aux=True)(m, x, y, key)
        moved = cr.optim.sgd(0.1).step(m, g, cr.optim.sgd(0.1).init(m))[0]
        return nn.with_statistics(moved, after), value

    keys = cr.random.split(K(9), 6)
    looped, values = net(), []
    for batch in zip(xs, ys, keys, strict=True):
        looped, value = step(looped, batch)
        values.append(value)
    scanned, found = cr.jit(lambda m, xs, ys, keys: cr.scan(step, m, (xs, ys, keys)))(net(), xs, ys, keys)
    np.testing.assert_allclose(found, values, rtol=1e-9)
    for a, b in zip(flatten(scanned)[0], flatten(looped)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    assert values[-1] != values[0]


def test_with_statistics_takes_statistics_only() -> None:
    a, b = net(), cr.grad(lambda m: 0.0 * np.sum(m.layers[0].weight))(net())
    mixed = nn.with_statistics(a, b)
    for x, p, q, ours in zip(flatten(mixed)[0], flatten(a)[0], flatten(b)[0], nn.learned(a), strict=True):
        assert x is (p if ours else q)
    with pytest.raises(cr.errors.TreeError, match="differ in their layers"):
        nn.with_statistics(a, nn.BatchNorm(3))


def test_batch_norm_of_a_whole_net_equals_jax(rng: np.random.Generator) -> None:
    model, x = net(), rng.normal(size=(7, 3))
    first, inner, last = model.layers[0], model.layers[1].layer.layers, model.layers[3]

    def oracle(w: Any) -> Any:
        z = x @ w.T
        hat = (z - z.mean(0)) / jnp.sqrt(z.var(0) + EPS)
        h = z + jnp.tanh(hat @ inner[1].weight.T)
        return jnp.sum(h @ last.weight.T) ** 2

    plain = nn.Sequential(*[layer for layer in model.layers if not isinstance(layer, nn.Dropout)])
    g = cr.grad(lambda m: np.sum(m(x, training=True)[0]) ** 2)(plain)
    np.testing.assert_allclose(g.layers[0].weight, jax.grad(oracle)(first.weight), rtol=1e-9, atol=1e-12)
