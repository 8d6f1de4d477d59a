"""Dropout: both conventions keep the expectation, and are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

K = cr.random.key
KINDS = [nn.Dropout, nn.DropoutScaledAtInference]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", KINDS)
def test_expectation_in_training_is_the_output_in_inference(kind: Any, rate: float, seed: int) -> None:
    layer, x = kind(rate), np.array([1.0, -2.0, 3.0])
    n = 40_000
    y = layer(np.broadcast_to(x, (n, 3)), training=True, key=K(seed))
    mean, deviation = y.mean(0), y.std(0, ddof=1)
    # A 99.99% confidence interval of the mean: 3.89 standard errors.
    assert np.all(np.abs(mean - layer(x)) < 3.89 * deviation / np.sqrt(n))
    # The variance of a product with a Bernoulli number is known exactly; its estimate has a relative error of order 1/sqrt(n).
    scale = 1 if kind is nn.DropoutScaledAtInference else 1 - rate
    np.testing.assert_allclose(deviation**2, x**2 * rate * (1 - rate) / scale**2, rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_rate_is_the_share_that_is_dropped(kind: Any, seed: int) -> None:
    n, rate = 100_000, 0.3
    y = kind(rate)(np.ones(n), training=True, key=K(seed))
    assert abs(np.mean(y == 0) - rate) < 3.89 * np.sqrt(rate * (1 - rate) / n)
    kept = 1 / 0.7 if kind is nn.Dropout else 1.0
    np.testing.assert_allclose(np.unique(y), [0, kept])


def test_the_two_conventions_differ_by_the_factor_and_its_place() -> None:
    x = np.arange(1.0, 9.0)
    inverted, first = nn.Dropout(0.25), nn.DropoutScaledAtInference(0.25)
    np.testing.assert_allclose(inverted(x, training=True, key=K(3)) * 0.75, first(x, training=True, key=K(3)))
    np.testing.assert_array_equal(inverted(x), x)
    np.testing.assert_allclose(first(x), 0.75 * x)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_mask(kind: Any) -> None:
    layer, x = kind(0.5), np.arange(1.0, 9.0)
    y = layer(x, training=True, key=K(0))
    np.testing.assert_allclose(cr.grad(lambda x: np.sum(layer(x, training=True, key=K(0))))(x), y / x)
    compiled = cr.jit(lambda x, key: layer(x, training=True, key=key))
    np.testing.assert_array_equal(compiled(x, K(0)), y)
    each = cr.vmap(lambda key: layer(x, training=True, key=key))(cr.random.split(K(1), 50))
    assert len(np.unique(each, axis=0)) > 25


@pytest.mark.parametrize("kind", KINDS)
def test_no_rate_is_the_identity_and_needs_no_key(kind: Any) -> None:
    x = np.arange(3.0)
    np.testing.assert_array_equal(kind(0.0)(x, training=True), x)
    np.testing.assert_array_equal(kind(0.0)(x), x)


def test_layers_of_a_container_draw_independently() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    y = model(np.ones(20_000), training=True, key=K(0))
    assert np.mean(y != 0) == pytest.approx(0.25, abs=3.89 * np.sqrt(0.25 * 0.75 / 20_000))  # one mask twice would give 1/2
