"""The network of the study: its derivatives three ways, and that the comparison notices a wrong one."""

import dataclasses

import numpy as np
import pytest

from chainrule.study import layers
from chainrule.study.layers import by_chainrule, by_hand, compare, create, forward, loss, quotient, train
from chainrule.study.model import Context

X = np.array([[0.0, 1.0], [1.0, 1.0], [0.5, -0.25]])
Y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("sizes", [[2, 2], [2, 3, 2], [2, 4, 3, 2]])
def test_three_opinions_agree(sizes: list[int]) -> None:
    comparisons = compare(create(sizes, 3), X, Y, entries=1000)
    assert [(c.layer, c.name) for c in comparisons] == [
        (k + 1, n) for k in range(len(sizes) - 1) for n in ("z", "a", "δ", "∂L/∂W", "∂L/∂b")
    ]
    assert max(c.hand_error for c in comparisons) < 1e-15
    assert max(c.quotient_error for c in comparisons if c.entries) < 1e-11
    checked = [c for c in comparisons if c.name not in ("z", "a")]
    assert all(c.entries == int(np.prod(c.shape)) and c.norm > 0 for c in checked)


@pytest.mark.parametrize("name", ["delta", "dW", "db"])
def test_a_wrong_derivative_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(params: layers.Params, x: np.ndarray, y: np.ndarray) -> list[layers.Layer]:
        first, *rest = by_chainrule(params, x, y)
        return [dataclasses.replace(first, **{name: getattr(first, name) * 1.001}), *rest]

    monkeypatch.setattr(layers, "by_chainrule", wrong)
    comparisons = compare(create([2, 3, 2], 3), X, Y, entries=1000)
    assert max(c.quotient_error for c in comparisons if c.entries) > 1e-6
    assert max(c.hand_error for c in comparisons) > 1e-6


def test_loss_is_the_cross_entropy() -> None:
    params = create([2, 3, 2], 0)
    a = forward(params, X)[1][-1]
    assert loss(params, X, Y) == pytest.approx(-np.mean(np.sum(Y * np.log(a) + (1 - Y) * np.log(1 - a), axis=1)), rel=1e-13)
    assert loss([(np.full((1, 1), 1000.0), np.zeros(1))], np.ones((1, 1)), np.zeros((1, 1))) == 1000.0


def test_comparing_leaves_the_network_as_it_was() -> None:
    params = create([2, 3, 2], 1)
    before = [(W.copy(), b.copy()) for W, b in params]
    compare(params, X, Y, entries=5)
    for (W, b), (W0, b0) in zip(params, before, strict=True):
        np.testing.assert_array_equal(W, W0)
        np.testing.assert_array_equal(b, b0)


def test_quotient_is_of_fourth_order() -> None:
    assert quotient(lambda t: float(np.exp(t))) == pytest.approx(1.0, abs=1e-12)
    errors = [abs(quotient(lambda t: float(np.exp(t)), h) - 1) for h in (0.4, 0.2)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.1)


def test_hand_recursion_is_not_chainrule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers.cr, "value_and_grad", None)
    assert len(by_hand(create([2, 3, 2], 1), X, Y)) == 2


def test_training_records_what_happened() -> None:
    start = create([2, 3, 2], 1)
    result = train(start, X, Y, learning_rate=0.5, epochs=20, batch_size=2, seed=0, context=Context())
    assert result.losses.shape == (40,)
    assert result.slopes.shape == (40, 2)
    assert loss(result.params, X, Y) < loss(start, X, Y)
    again = train(start, X, Y, learning_rate=0.5, epochs=20, batch_size=2, seed=0, context=Context())
    np.testing.assert_array_equal(result.losses, again.losses)
