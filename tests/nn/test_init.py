"""Initialisers: the variance they have and what it preserves; activations against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn.init import fans

K = cr.random.key
RANDOM = [name for name in nn.INITIALIZERS if name != "orthogonal"]


@pytest.mark.parametrize("shape", [(300, 200), (50, 20, 5, 4)])
@pytest.mark.parametrize("name", RANDOM)
def test_weights_have_the_variance_stated(name: str, shape: tuple[int, ...], seed: int) -> None:
    f = nn.INITIALIZERS[name]
    w = f(K(seed), shape)
    fan_in, fan_out = fans(shape)
    assert (fan_in, fan_out) == (shape[1] * int(np.prod(shape[2:])), shape[0] * int(np.prod(shape[2:])))
    formulas = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}
    want = formulas[name.partition("_")[0]]
    assert f.variance(fan_in, fan_out) == want
    # Relative deviation of a sample variance: sqrt((kurtosis - 1) / n), kurtosis 3 for normal and 9/5 for uniform numbers.
    error = np.sqrt((2 if name.endswith("normal") else 0.8) / w.size)
    assert np.var(w) == pytest.approx(want, rel=5 * error)
    assert abs(np.mean(w)) < 5 * np.sqrt(want / w.size)
    assert (np.max(np.abs(w)) <= np.sqrt(3 * want)) == name.endswith("uniform")
    assert f(K(seed), shape, np.float32).dtype == np.float32


@pytest.mark.parametrize("shape", [(30, 30), (20, 30), (30, 20), (4, 3, 3, 2)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    w = nn.orthogonal(K(0), shape).reshape(shape[0], -1)
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(w.shape)), atol=1e-13)


def test_orthogonal_matrices_are_spread_evenly() -> None:
    w = cr.vmap(lambda key: nn.orthogonal(key, (3, 3)))(cr.random.split(K(0), 4000))
    # Every entry of a uniformly distributed rotation or reflection has mean 0 and variance 1/3.
    assert np.max(np.abs(w.mean(0))) < 5 * np.sqrt(1 / 3 / 4000)
    np.testing.assert_allclose(w.var(0), 1 / 3, rtol=0.1)
    assert 0.4 < np.mean(np.linalg.det(w) > 0) < 0.6


def layerwise(init: str, f: Callable[[Any], Any], n: int, depth: int) -> tuple[float, float]:
    """By which factor one layer changes the mean square of activations, and that of gradients."""
    rng = np.random.default_rng(0)
    ws = [nn.INITIALIZERS[init](k, (n, n)) for k in cr.random.split(K(1), depth)]
    x = rng.normal(size=(100, n)) * (1.0 if f is nn.relu else 0.01)  # small, so that tanh is linear

    def forward(x: Any) -> Any:
        for w in ws:
            x = f(x @ w.T)
        return x

    y, pull = cr.vjp(forward, x)
    ct = rng.normal(size=y.shape)
    back = pull(ct)
    back = back[0] if isinstance(back, tuple) else back
    return (np.mean(y**2) / np.mean(x**2)) ** (1 / depth), (np.mean(back**2) / np.mean(ct**2)) ** (1 / depth)


@pytest.mark.parametrize(
    ("init", "f", "forward", "backward"),
    [
        ("glorot_normal", np.tanh, 1.0, 1.0), ("glorot_uniform", np.tanh, 1.0, 1.0), ("lecun_normal", np.tanh, 1.0, 1.0),
        ("orthogonal", np.tanh, 1.0, 1.0), ("he_normal", nn.relu, 1.0, 1.0), ("he_uniform", nn.relu, 1.0, 1.0),
        ("glorot_normal", nn.relu, 0.5, 0.5),  # what He et al. mend
    ],
)  # fmt: skip
def test_variance_is_preserved_from_layer_to_layer(init: str, f: Any, forward: float, backward: float) -> None:
    found = layerwise(init, f, n=400, depth=12)
    # Over 12 layers of 400 units the factor's geometric mean fluctuates by about sqrt(c / (400 * 12)), c of order 5.
    assert found == pytest.approx((forward, backward), rel=0.1)


def test_dense_starts_with_he_before_rectifiers_and_glorot_elsewhere() -> None:
    relu = nn.Dense(1000, 100, key=K(0), activation="relu").weight
    tanh = nn.Dense(1000, 100, key=K(0), activation="tanh").weight
    assert np.var(relu) == pytest.approx(2 / 1000, rel=0.05)
    assert np.var(tanh) == pytest.approx(2 / 1100, rel=0.05)
    mine = nn.Dense(1000, 100, key=K(0), init=lambda key, shape, dtype: np.full(shape, 7, dtype)).weight
    assert np.all(mine == 7)


def test_layers_of_one_model_start_from_different_numbers() -> None:
    a, b = nn.MLP([5, 5, 5], key=K(0)).layers
    assert np.all(a.weight != b.weight)
    q = nn.MultiHeadAttention(6, 2, key=K(0))
    assert np.all(q.query.weight != q.keys.weight)


# --- activations -----------------------------------------------------------------------------------------------------------------

ORACLES: dict[str, tuple[Any, Any]] = {
    "identity": (nn.identity, lambda x: x),
    "sigmoid": (nn.sigmoid, jax.nn.sigmoid),
    "tanh": (nn.tanh, jax.numpy.tanh),
    "relu": (nn.relu, jax.nn.relu),
    "leaky_relu": (nn.leaky_relu, jax.nn.leaky_relu),
    "elu": (nn.elu, jax.nn.elu),
    "gelu": (nn.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    "gelu tanh": (lambda x: nn.gelu(x, approximate="tanh"), lambda x: jax.nn.gelu(x, approximate=True)),
    "softplus": (nn.softplus, jax.nn.softplus),
    "silu": (nn.silu, jax.nn.silu),
    "softmax": (nn.softmax, jax.nn.softmax),
}


def test_every_activation_has_an_oracle() -> None:
    assert {k.partition(" ")[0] for k in ORACLES} == set(nn.ACTIVATIONS)


@pytest.mark.parametrize("name", ORACLES)
def test_activations_and_their_derivatives_equal_jax(name: str) -> None:
    f, oracle = ORACLES[name]
    x = np.concatenate([np.linspace(-8, 8, 41)[:, None] + np.array([0.01, 0.0, 0.3]), [[-700.0, 600.0, -40.0]]])
    x = x[np.all(x != 0, axis=1)]  # kinks are stated, and tested below
    c = np.random.default_rng(0).normal(size=x.shape)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(f(x), oracle(x), rtol=1e-12, atol=1e-14)
        got = cr.grad(lambda x: np.sum(c * f(x)))(x)
    np.testing.assert_allclose(got, jax.grad(lambda x: jax.numpy.sum(c * oracle(x)))(x), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("f", "slope"), [(nn.relu, 0.0), (nn.leaky_relu, 0.01), (nn.elu, 1.0)])
def test_derivatives_at_the_kinks_are_those_stated(f: Any, slope: float) -> None:
    assert cr.grad(f)(0.0) == slope
    assert np.isnan(f(np.array(np.nan)))


def test_gelu_knows_two_formulas() -> None:
    x = np.linspace(-4, 4, 99)
    difference = np.abs(nn.gelu(x) - nn.gelu(x, approximate="tanh"))
    assert 1e-4 < np.max(difference) < 1e-3
    with pytest.raises(ValueError, match="approximate"):
        nn.gelu(x, approximate="erf")


def test_parameters_of_activations() -> None:
    x = np.array([-2.0, 3.0])
    np.testing.assert_allclose(nn.leaky_relu(x, 0.2), [-0.4, 3.0])
    np.testing.assert_allclose(nn.elu(x, 0.5), [0.5 * np.expm1(-2), 3.0])
    np.testing.assert_allclose(nn.softmax(np.ones((2, 4))), 0.25)
    np.testing.assert_allclose(nn.softmax(np.ones((2, 4)), axis=0), 0.5)
