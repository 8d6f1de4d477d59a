"""Every layer against an independent implementation, forward and backward; its shapes, dtypes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.build.tree import flatten, map_tree

K = cr.random.key


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def perturbed(layer: Any, seed: int = 5) -> Any:
    """The layer with every parameter moved off its start, so that no term can hide behind a 0 or a 1."""
    rng = np.random.default_rng(seed)
    leaves = iter(nn.learned(layer))
    return map_tree(lambda p: p + 0.3 * rng.normal(size=p.shape) if next(leaves) else p + 0.2 * rng.uniform(size=p.shape), layer)


# --- oracles: hand-written in JAX from the papers ------------------------------------------------------------------------------


def dense(m: Any, x: Any) -> Any:
    return jnp.tanh(jnp.einsum("...i,oi->...o", x, m.weight) + m.bias)


def layer_norm(m: Any, x: Any) -> Any:
    mu = x.mean(-1, keepdims=True)
    return m.gamma * (x - mu) / jnp.sqrt(((x - mu) ** 2).mean(-1, keepdims=True) + 1e-5) + m.beta


def rms_norm(m: Any, x: Any) -> Any:
    return m.gamma * x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)


def group_norm(m: Any, x: Any) -> Any:
    parts = []
    for part in jnp.split(x, m.groups, axis=1):
        mu = part.mean(axis=(1, 2, 3), keepdims=True)
        parts.append((part - mu) / jnp.sqrt(((part - mu) ** 2).mean(axis=(1, 2, 3), keepdims=True) + 1e-5))
    return jnp.concatenate(parts, 1) * m.gamma[:, None, None] + m.beta[:, None, None]


def batch_norm(m: Any, x: Any) -> Any:
    return m.gamma[:, None] * (x - m.mean[:, None]) / jnp.sqrt(m.variance[:, None] + 1e-5) + m.beta[:, None]


def conv1d(m: Any, x: Any) -> Any:
    y = jax.lax.conv_general_dilated(x, m.weight, (2,), [(1, 1)], rhs_dilation=(2,), dimension_numbers=("NCH", "OIH", "NCH"))
    return jax.nn.relu(y + m.bias[:, None])


def conv2d(m: Any, x: Any) -> Any:
    y = jax.lax.conv_general_dilated(x, m.weight, (1, 2), [(1, 1), (0, 0)], dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y + m.bias[:, None, None]


def conv_same(m: Any, x: Any) -> Any:
    return jax.lax.conv_general_dilated(x, m.weight, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))


def pool(op: Any, start: float, size: tuple[int, ...], stride: tuple[int, ...], scale: float = 1.0) -> Callable[..., Any]:
    return lambda m, x: jax.lax.reduce_window(x, start, op, (1, 1, *size), (1, 1, *stride), "VALID") * scale


def embedding(m: Any, x: Any) -> Any:
    return jax.nn.one_hot(x, m.weight.shape[0]) @ m.weight


def heads(m: Any, x: Any, context: Any, mask: Any) -> Any:
    """Vaswani et al., section 3.2.2, one head at a time."""
    q, k, v = (p.weight for p in (m.query, m.keys, m.values))
    size, out = q.shape[0] // m.heads, []
    for h in range(m.heads):
        rows = slice(h * size, (h + 1) * size)
        Q, K, V = (a @ w[rows].T + p.bias[rows] for a, w, p in ((x, q, m.query), (context, k, m.keys), (context, v, m.values)))
        out.append(jax.nn.softmax(jnp.where(mask, Q @ K.swapaxes(-1, -2) / np.sqrt(size), -jnp.inf)) @ V)
    return jnp.concatenate(out, -1) @ m.output.weight.T + m.output.bias


def multi_head(m: Any, x: Any) -> Any:
    return heads(m, x, x, np.tril(np.ones((x.shape[-2],) * 2, bool)))


def self_attention(m: Any, x: Any) -> Any:
    Q, K, V = (x @ p.weight.T for p in (m.query, m.keys, m.values))
    return jax.nn.softmax(Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])) @ V


def block(m: Any, x: Any) -> Any:
    h = x + heads(m.attention, *[layer_norm(m.norm1, x)] * 2, True)
    z = layer_norm(m.norm2, h) @ m.expand.weight.T + m.expand.bias
    return h + jax.nn.gelu(z, approximate=False) @ m.contract.weight.T + m.contract.bias


CASES: dict[str, tuple[Any, Any, Callable[[Any, Any], Any]]] = {
    "Dense": (nn.Dense(3, 4, key=K(0), activation="tanh"), normal(5, 3), dense),
    "Dense of sequences": (nn.Dense(3, 4, key=K(0), activation="tanh"), normal(2, 5, 3), dense),
    "LayerNorm": (nn.LayerNorm(6), normal(2, 4, 6), layer_norm),
    "RMSNorm": (nn.RMSNorm(6), normal(4, 6), rms_norm),
    "GroupNorm": (nn.GroupNorm(2, 4), normal(3, 4, 5, 2), group_norm),
    "BatchNorm in inference": (nn.BatchNorm(4), normal(3, 4, 5), batch_norm),
    "Conv1d": (
        nn.Conv1d(2, 3, 3, key=K(1), stride=2, padding=1, dilation=2, activation=nn.relu), normal(2, 2, 11), conv1d,
    ),
    "Conv2d": (nn.Conv2d(2, 3, (3, 2), key=K(2), stride=(1, 2), padding=(1, 0)), normal(2, 2, 6, 7), conv2d),
    "Conv2d, same": (nn.Conv2d(2, 3, (4, 3), key=K(2), padding="same", bias=False), normal(2, 2, 6, 7), conv_same),
    "MaxPool1d": (nn.MaxPool1d(3), normal(2, 2, 8), pool(jax.lax.max, -np.inf, (3,), (3,))),
    "MaxPool2d": (nn.MaxPool2d((2, 3), stride=2), normal(2, 2, 6, 7), pool(jax.lax.max, -np.inf, (2, 3), (2, 2))),
    "AvgPool1d": (nn.AvgPool1d(2), normal(2, 2, 8), pool(jax.lax.add, 0.0, (2,), (2,), 0.5)),
    "AvgPool2d": (nn.AvgPool2d(2, stride=1), normal(2, 2, 4, 5), pool(jax.lax.add, 0.0, (2, 2), (1, 1), 0.25)),
    "SelfAttention": (nn.SelfAttention(6, 4, 5, key=K(3)), normal(2, 5, 6), self_attention),
    "MultiHeadAttention, causal": (nn.MultiHeadAttention(6, 2, key=K(4), causal=True), normal(2, 5, 6), multi_head),
    "TransformerBlock": (nn.TransformerBlock(6, 3, key=K(5)), normal(2, 5, 6), block),
    "Residual": (nn.Residual(nn.Dense(4, 4, key=K(6), activation="tanh")), normal(5, 4), lambda m, x: x + dense(m.layer, x)),
    "LearnedPositions": (nn.LearnedPositions(9, 4, key=K(7)), normal(2, 5, 4), lambda m, x: x + m.weight[:5]),
    "MLP": (
        nn.MLP([3, 8, 2], "gelu", K(8), output_activation="softmax"), normal(5, 3),
        lambda m, x: jax.nn.softmax(
            jax.nn.gelu(x @ m.layers[0].weight.T + m.layers[0].bias, approximate=False) @ m.layers[1].weight.T + m.layers[1].bias
        ),
    ),
    "Sequential": (
        nn.Sequential(nn.Flatten(), nn.Dense(6, 4, key=K(9), activation="tanh"), np.sin), normal(5, 2, 3),
        lambda m, x: jnp.sin(dense(m.layers[1], x.reshape(5, 6))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward_equal_an_independent_implementation(name: str) -> None:
    layer, x, oracle = CASES[name]
    layer = perturbed(layer)
    y = layer(x)
    np.testing.assert_allclose(y, oracle(layer, x), rtol=1e-12, atol=1e-12)
    c = normal(*y.shape, seed=3)
    got = cr.grad(lambda m, x: np.sum(c * m(x)), (0, 1))(layer, x)
    leaves, spec = flatten(layer)

    def scalar(leaves: Any, x: Any) -> Any:
        from chainrule.build.tree import unflatten

        return jnp.sum(c * oracle(unflatten(spec, leaves), x))

    want, want_x = jax.grad(scalar, (0, 1))(leaves, x)
    assert flatten(got[0])[1] == spec
    assert type(got[0]) is type(layer)
    for g, w, ours in zip(flatten(got[0])[0], want, nn.learned(layer), strict=True):
        np.testing.assert_allclose(g, w if ours else 0 * w, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(got[1], want_x, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_jit_vmap_and_scan_agree_with_the_plain_call(name: str) -> None:
    layer, x, _ = CASES[name]
    layer = perturbed(layer)
    y = layer(x)
    np.testing.assert_allclose(cr.jit(lambda m, x: m(x))(layer, x), y, rtol=1e-12, atol=1e-13)
    many = np.stack([x, x + 0.5])
    both = np.stack([y, layer(x + 0.5)])
    np.testing.assert_allclose(cr.vmap(lambda m, x: m(x), (None, 0))(layer, many), both, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(cr.scan(lambda c, x: (c, layer(x)), 0.0, many)[1], both, rtol=1e-12, atol=1e-13)


def single(layer: Any) -> Any:
    return map_tree(lambda p: p.astype(np.float32), layer)


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32(name: str) -> None:
    layer, x, oracle = CASES[name]
    y = single(layer)(x.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, oracle(layer, x), rtol=1e-3, atol=1e-5)
    g = cr.grad(lambda m, x: np.sum(m(x)), (0, 1))(single(layer), x.astype(np.float32))
    assert {a.dtype for a in flatten(g)[0]} == {np.dtype(np.float32)}


FACTORIES: dict[str, Callable[[Any], Any]] = {
    "Dense": lambda d: nn.Dense(3, 2, key=K(0), dtype=d),
    "MLP": lambda d: nn.MLP([3, 4, 2], key=K(0), dtype=d),
    "Conv1d": lambda d: nn.Conv1d(3, 2, 3, key=K(0), dtype=d),
    "Conv2d": lambda d: nn.Conv2d(3, 2, 3, key=K(0), dtype=d),
    "BatchNorm": lambda d: nn.BatchNorm(3, dtype=d),
    "LayerNorm": lambda d: nn.LayerNorm(3, dtype=d),
    "GroupNorm": lambda d: nn.GroupNorm(3, 6, dtype=d),
    "RMSNorm": lambda d: nn.RMSNorm(3, dtype=d),
    "Embedding": lambda d: nn.Embedding(5, 3, key=K(0), dtype=d),
    "LearnedPositions": lambda d: nn.LearnedPositions(5, 3, key=K(0), dtype=d),
    "SelfAttention": lambda d: nn.SelfAttention(3, key=K(0), dtype=d),
    "MultiHeadAttention": lambda d: nn.MultiHeadAttention(4, 2, key=K(0), dtype=d),
    "TransformerBlock": lambda d: nn.TransformerBlock(4, 2, key=K(0), dtype=d),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FACTORIES)
def test_parameters_have_the_dtype_asked_for(name: str, dtype: Any) -> None:
    assert {a.dtype for a in flatten(FACTORIES[name](dtype))[0]} == {np.dtype(dtype)}


def test_embedding_looks_up_and_scatters_back() -> None:
    layer = nn.Embedding(5, 3, key=K(0))
    x = np.array([[0, 4, 4], [2, 0, 4]])
    np.testing.assert_array_equal(layer(x), layer.weight[x])
    g = cr.grad(lambda m: np.sum(m(x)))(layer)
    np.testing.assert_array_equal(g.weight[:, 0], [2, 0, 1, 0, 3])
    with pytest.raises(IndexError, match="0 to 4, and was asked for 0 to 5"):
        layer(np.array([0, 5]))
    with pytest.raises(IndexError, match="asked for -1"):
        layer(np.array([-1, 3]))
    with pytest.raises(cr.errors.DtypeError, match="whole numbers"):
        layer(np.array([0.5]))


def test_sinusoidal_positions_are_those_of_the_paper() -> None:
    p = nn.sinusoidal(7, 5)
    for t in range(7):
        for j in range(5):
            angle = t / 10000 ** (2 * (j // 2) / 5)
            assert p[t, j] == pytest.approx(np.cos(angle) if j % 2 else np.sin(angle), abs=1e-15)
    x = normal(2, 7, 5)
    np.testing.assert_allclose(nn.SinusoidalPositions(5)(x), x + p)
    assert nn.SinusoidalPositions(5)(x.astype(np.float32)).dtype == np.float32


# --- errors ----------------------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "Dense": (nn.Dense(3, 2, key=K(0)), (5, 4), r"Dense\(.*needs an input of shape \(\.\.\., 3\).*\(5, 4\)"),
    "MLP": (nn.MLP([3, 4, 2], key=K(0)), (4,), r"Dense\(.*\(\.\.\., 3\).*\(4,\)"),
    "LayerNorm": (nn.LayerNorm(3), (5, 4), r"LayerNorm\(.*\(\.\.\., 3\).*\(5, 4\)"),
    "RMSNorm": (nn.RMSNorm(3), (), r"RMSNorm\(.*\(\.\.\., 3\).*\(\)"),
    "BatchNorm": (nn.BatchNorm(3), (5, 4), r"BatchNorm\(.*needs 3 channels on axis 1.*\(5, 4\)"),
    "GroupNorm": (nn.GroupNorm(1, 3), (3,), r"GroupNorm\(.*needs 3 channels on axis 1.*\(3,\)"),
    "Conv1d": (nn.Conv1d(3, 2, 3, key=K(0)), (2, 5, 9), r"Conv1d\(.*\(examples, 3, positions\).*\(2, 5, 9\)"),
    "Conv1d, short": (nn.Conv1d(3, 2, 3, key=K(0), dilation=2), (2, 3, 4), r"Conv1d\(.*covers \(5,\) positions.*has \(4,\)"),
    "Conv2d": (nn.Conv2d(3, 2, 3, key=K(0)), (3, 9, 9), r"Conv2d\(.*\(examples, 3, positions, positions\).*\(3, 9, 9\)"),
    "MaxPool2d": (nn.MaxPool2d(3), (1, 1, 2, 9), r"MaxPool2d\(.*covers \(3, 3\).*has \(2, 9\)"),
    "SelfAttention": (nn.SelfAttention(4, key=K(0)), (4,), r"SelfAttention\(.*\(\.\.\., length, 4\).*\(4,\)"),
    "MultiHeadAttention": (nn.MultiHeadAttention(4, 2, key=K(0)), (5, 3), r"MultiHeadAttention\(.*length, 4\).*\(5, 3\)"),
    "Residual": (nn.Residual(nn.Dense(3, 2, key=K(0))), (5, 3), r"Residual\(.*\(5, 3\) and \(5, 2\)"),
    "LearnedPositions": (nn.LearnedPositions(4, 3, key=K(0)), (5, 3), r"LearnedPositions\(.*4 positions.*sequence of 5"),
}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_shapes_name_the_layer_and_the_shapes(name: str, traced: bool) -> None:
    layer, shape, says = WRONG[name]
    f = cr.grad(lambda x: np.sum(layer(x))) if traced else layer
    with pytest.raises(cr.errors.ShapeError, match=says):
        f(np.ones(shape))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nn.Dense(0, 2, key=K(0)), "n_in is a whole number of at least 1, not 0"),
        (lambda: nn.Dense(2.5, 2, key=K(0)), "n_in is a whole number"),
        (lambda: nn.Dense(2, 2, key=K(0), activation="rely"), "no activation 'rely'.*relu"),
        (lambda: nn.Dense(2, 2, key=K(0), init="xavier"), "no initialiser 'xavier'.*glorot_uniform"),
        (lambda: nn.MLP([3], key=K(0)), "sizes are those of the input"),
        (lambda: nn.GroupNorm(2, 3), "3 channels do not divide into 2 groups"),
        (lambda: nn.MultiHeadAttention(6, 4, key=K(0)), "6 features do not divide into 4 heads"),
        (lambda: nn.Dropout(1.0), "0 <= rate < 1, not 1.0"),
        (lambda: nn.DropoutScaledAtInference(-0.1), "0 <= rate < 1, not -0.1"),
        (lambda: nn.BatchNorm(3, momentum=1.5), "momentum is between 0 and 1"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3), key=K(0)), "size is one number"),
        (lambda: nn.Conv2d(1, 1, 3, key=K(0), padding="same", stride=2), "with stride"),
    ],
)
def test_impossible_layers_are_errors(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_missing_key_is_named() -> None:
    with pytest.raises(TypeError, match="needs a random key"):
        nn.MLP([2, 2])
    with pytest.raises(ValueError, match=r"Dropout\(rate=0.5\) draws at random in training: pass key="):
        nn.Dropout(0.5)(np.ones(3), training=True)


def test_a_layer_says_what_it_is_and_cannot_be_changed() -> None:
    layer = nn.Dense(3, 2, key=K(0), activation=np.tanh)
    assert repr(layer) == "Dense(weight: float64[2, 3], bias: float64[2], activation=tanh)"
    with pytest.raises(AttributeError):
        layer.weight = np.ones((2, 3))  # type: ignore[misc]
