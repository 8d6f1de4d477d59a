"""The table of the backward pass: against the recursion by hand, against grad, and as text, LaTeX and picture."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import latex2mathml.converter
import numpy as np
import pytest
from scipy.special import expit

import chainrule as cr
from chainrule import nn
from chainrule.build.tree import flatten

K = cr.random.key


def data(n: int = 6, n_in: int = 3, n_out: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n_in)), rng.uniform(0.1, 0.9, (n, n_out))


def recursion(model: nn.MLP, x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """z, a, delta, dL/dW, dL/db of a sigmoid net under the mean squared error, by the printed recursion."""
    zs, activations = [], [x]
    for layer in model.layers:
        zs.append(activations[-1] @ layer.weight.T + layer.bias)
        activations.append(expit(zs[-1]))
    slope = 2 * (activations[-1] - y) / y.size
    out = []
    for k in reversed(range(len(zs))):
        delta = slope * expit(zs[k]) * (1 - expit(zs[k]))
        out.append((zs[k], activations[k + 1], delta, delta.T @ activations[k], delta.sum(0)))
        slope = delta @ model.layers[k].weight
    return out[::-1]


def test_equals_the_recursion_by_hand() -> None:
    x, y = data()
    model = nn.MLP([3, 5, 4, 2], "sigmoid", key=K(0), output_activation="sigmoid")
    table = nn.backpropagation(model, cr.losses.mse, x, y)
    assert len(table) == 3
    for layer, want in zip(table, recursion(model, x, y), strict=True):
        for got, w in zip((layer.z, layer.a, layer.delta, layer.dW, layer.db), want, strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-10, atol=1e-14)
    assert table.loss == pytest.approx(np.mean((table[2].a - y) ** 2))


def models() -> dict[str, tuple[Any, Any]]:
    inner = nn.Sequential(nn.LayerNorm(4), nn.Dense(4, 4, key=K(1)), "tanh", nn.Dropout(0.3))
    nested = nn.Sequential(nn.Dense(3, 4, key=K(2)), nn.BatchNorm(4), nn.relu, nn.Residual(inner), nn.Dropout(0.5), inner)
    return {
        "sequential": (nn.Sequential(nn.Dense(3, 4, key=K(3)), np.tanh, nn.Dense(4, 2, key=K(4)), nn.softmax), (6, 3)),
        "nested": (nn.Sequential(nested, nn.Dense(4, 2, key=K(5), activation="sigmoid", bias=False)), (6, 3)),
        "dense": (nn.Dense(3, 2, key=K(6), activation="gelu"), (6, 3)),
        "convolution": (
            nn.Sequential(nn.Conv1d(2, 3, 3, key=K(7)), nn.relu, nn.MaxPool1d(2), nn.Flatten(), nn.Dense(6, 2, key=K(8))),
            (6, 2, 6),
        ),
        "transformer": (
            nn.Sequential(nn.TransformerBlock(4, 2, key=K(9), rate=0.2), nn.Flatten(), nn.Dense(12, 2, key=K(10))),
            (6, 3, 4),
        ),
    }


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", models())
def test_gradients_equal_those_of_grad(name: str, training: bool) -> None:
    model, shape = models()[name]
    x, y = np.random.default_rng(0).normal(size=shape), np.random.default_rng(1).uniform(size=(6, 2))
    key = K(11) if training else None

    def loss(m: Any) -> Any:
        out = m(x, training=training, key=key)
        return cr.losses.mse(y, out[0] if training and m.learns_statistics else out)

    table = nn.backpropagation(model, cr.losses.mse, x, y, training=training, key=key)
    value, want = cr.value_and_grad(loss)(model)
    assert table.loss == pytest.approx(value, rel=1e-12)
    assert flatten(table.grads)[1] == flatten(want)[1]
    for g, w in zip(flatten(table.grads)[0], flatten(want)[0], strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-13)
    listed = [g for layer in table for g in layer.gradients.values()]
    kept = [g for g, ours in zip(flatten(want)[0], nn.learned(want), strict=True) if ours]
    for g, w in zip(listed, kept, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-13)


def test_delta_is_the_derivative_with_respect_to_z() -> None:
    x, y = data()
    model = nn.Sequential(nn.Dense(3, 4, key=K(0)), nn.LayerNorm(4), np.tanh, nn.Dense(4, 2, key=K(1)))
    table = nn.backpropagation(model, cr.losses.mse, x, y)
    assert [layer.name for layer in table] == ["Dense", "LayerNorm", "Dense"]
    rest = lambda z: cr.losses.mse(y, model.layers[3](np.tanh(z)))
    h = 1e-6
    for at in [(0, 0), (3, 2), (5, 1)]:
        e = np.zeros((6, 4))
        e[at] = h
        z = table[1].z
        assert table[1].delta[at] == pytest.approx((rest(z + e) - rest(z - e)) / (2 * h), rel=1e-6)
    np.testing.assert_allclose(table[1].a, np.tanh(table[1].z))
    assert table[1].dW is None
    assert set(table[1].gradients) == {"gamma", "beta"}


def test_the_text_lists_every_array_with_shape_norm_and_formula() -> None:
    x, y = data()
    model = nn.MLP([3, 4, 2], "tanh", key=K(0))
    table = nn.backpropagation(model, cr.losses.mse, x, y)
    lines = table.text.splitlines()
    want = [
        ("1 Dense", "z1", "6 x 4", table[0].z, "x W1^T + b1"),
        ("1 Dense", "a1", "6 x 4", table[0].a, "tanh(z1)"),
        ("2 Dense", "z2", "6 x 2", table[1].z, "a1 W2^T + b2"),
        ("2 Dense", "a2", "6 x 2", table[1].a, "z2"),
        ("2 Dense", "delta2", "6 x 2", table[1].delta, "dL/da2"),
        ("2 Dense", "dL/dW2", "2 x 4", table[1].dW, "delta2^T a1"),
        ("2 Dense", "dL/db2", "2", table[1].db, "sum over examples of delta2"),
        ("1 Dense", "delta1", "6 x 4", table[0].delta, "(delta2 W2) * tanh'(z1)"),
        ("1 Dense", "dL/dW1", "4 x 3", table[0].dW, "delta1^T x"),
        ("1 Dense", "dL/db1", "4", table[0].db, "sum over examples of delta1"),
    ]
    shown = [re.split(r"\s{2,}", line) for line in lines[2:] if not line.startswith("-")]
    assert shown == [[a, b, c, f"{np.linalg.norm(v):.6g}", how] for a, b, c, v, how in want]
    assert str(table) == table.text


@pytest.mark.parametrize("name", models())
def test_latex_and_picture_are_well_formed_and_complete(name: str) -> None:
    model, shape = models()[name]
    x, y = np.random.default_rng(0).normal(size=shape), np.random.default_rng(1).uniform(size=(6, 2))
    table = nn.backpropagation(model, cr.losses.mse, x, y)
    latex2mathml.converter.convert(table.latex)
    assert table.latex.count("&=") == len(table.rows)
    root = ElementTree.fromstring(table.svg)
    said = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    for layer, e in table.rows:
        assert f"{layer.number} {layer.name}" in said
        assert any(t and f"{e.norm:.3g}" in t and "×".join(map(str, e.shape)) in t for t in said)


def test_a_mixing_activation_has_a_jacobian_in_its_formula() -> None:
    model, _ = models()["sequential"]
    table = nn.backpropagation(model, cr.losses.mse, *data())
    assert r"J_{\operatorname{softmax}}(z_{2})" in table.latex
    assert r"\left(\delta_{2} W_{2}\right) \odot \tanh'(z_{1})" in table.latex


def test_a_function_is_no_model() -> None:
    with pytest.raises(cr.errors.DtypeError, match=r"a layer of chainrule\.nn, not a ufunc"):
        nn.backpropagation(np.tanh, cr.losses.mse, *data())  # type: ignore[arg-type]
