"""Hyperparameters and gradients that cannot be meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

o, s = cr.optim, cr.optim.schedules
BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "negative rate": (lambda: o.sgd(-0.1), ValueError, "sgd: learning_rate is 0 or more, not -0.1"),
    "NaN": (lambda: o.adam(float("nan")), ValueError, "adam: learning_rate"),
    "text": (lambda: o.adam("0.1"), TypeError, "adam: learning_rate is a number or a schedule"),
    "nothing": (lambda: o.sgd(None), TypeError, "sgd: learning_rate is a number or a schedule, not None"),
    "array": (lambda: o.adam(np.ones(2)), TypeError, "learning_rate is a number"),
    "beta1": (lambda: o.adam(0.1, beta1=1.0), ValueError, "adam: beta1 is 0 or more and below 1"),
    "beta2": (lambda: o.adamw(0.1, beta2=2.0), ValueError, "adamw: beta2"),
    "epsilon": (lambda: o.adam(0.1, epsilon=-1.0), ValueError, "adam: eps is 0 or more"),
    "momentum": (lambda: o.momentum(0.1, momentum=-1), ValueError, "momentum: momentum"),
    "decay": (lambda: o.rmsprop(0.1, decay=1.0), ValueError, "rmsprop: decay"),
    "weight decay": (lambda: o.adamw(0.1, weight_decay=-0.1), ValueError, "adamw: weight_decay"),
    "no steps": (lambda: s.cosine(0.1, 0), ValueError, "cosine: steps is 1 or more"),
    "growing": (lambda: s.decay(0.1, beta=-1), ValueError, "decay: beta"),
    "minimize": (lambda: cr.minimize(np.sum, np.ones(2), learning_rate=-1.0), ValueError, "learning_rate"),
}


@pytest.mark.parametrize("name", BAD)
def test_numbers_that_cannot_be_meant(name: str) -> None:
    make, error, message = BAD[name]
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("params", "grads"), [
    (np.zeros(2), np.zeros(3)), (np.zeros(2), np.zeros(1)), (np.zeros((3, 1)), np.zeros(3)), (np.zeros(2), 1.0),
    ({"a": np.zeros(2), "b": np.zeros(1)}, {"a": np.zeros(2)}),
])  # fmt: skip
def test_gradients_of_another_shape_never_broadcast(params: Any, grads: Any) -> None:
    rule = o.adam(0.1)
    with pytest.raises(cr.errors.ShapeError, match="step: "):
        rule.step(params, grads, rule.init(params))


def test_traced_rates_and_schedules_pass() -> None:
    def end(rate: Any) -> Any:
        rule = o.sgd(rate)
        return rule.step(np.array(1.0), np.array(2.0), rule.init(np.array(1.0)))[0]

    assert cr.grad(end)(0.1) == -2
    assert cr.grad(lambda a: s.decay(a, beta=1.0)(1))(0.1) == 0.5
    assert o.adam(s.cosine(0.1, 10), beta1=0.0, eps=0.0, weight_decay=0.0).atoms
    assert o.sgd(0.0).atoms
    assert o.sgd(np.float32(0.1)).atoms


def test_gradients_of_other_containers_are_an_error() -> None:
    rule, one = o.adam(0.1), np.ones(1)
    with pytest.raises(cr.errors.TreeError, match=r"have \['a'\], the gradients have \['b'\]"):
        rule.step({"a": one}, {"b": one}, rule.init({"a": one}))
    assert rule.step([one], (one,), rule.init([one]))[0][0] == pytest.approx(0.9)
