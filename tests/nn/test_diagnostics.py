"""Diagnostics: each finding on a net that has the illness and none on one that has not; effects against the plain net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.build.tree import flatten, map_tree

K = cr.random.key
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 8))
Y = np.sin(X[:, :1])


def deep(activation: str, gain: float = 1.0, depth: int = 15, **parts: bool) -> nn.Sequential:
    return nn.deep_net(8, 32, depth, 1, key=K(0), activation=activation, gain=gain, **parts)


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (deep("sigmoid"), {"vanishing"}),
        (deep("tanh", 0.4), {"vanishing"}),
        (deep("identity", 2.0), {"exploding"}),
        (deep("tanh"), set()),
        (deep("tanh", 0.4, residual=True), set()),
        (deep("tanh", 0.4, normalised=True), set()),
    ],
)
def test_vanishing_and_exploding_gradients_are_named(model: Any, kinds: set[str]) -> None:
    d = nn.diagnose(model, cr.losses.mse, X, Y)
    assert d.kinds == kinds
    share = d.layers[0].delta_rms / d.layers[-1].delta_rms
    assert d.rate == pytest.approx(share ** (1 / (len(d.layers) - 1)))
    assert ("vanishing" in d.kinds) == (share < 1e-3)
    assert ("exploding" in d.kinds) == (share > 1e3)
    for f in d.findings:
        assert f"{share:.2g} times" in str(f)
        assert str(f) in str(d)


def test_the_rate_of_a_sigmoid_net_is_below_a_quarter_of_the_weights_gain() -> None:
    """|delta_l| <= max|sigma'| ||W_{l+1}|| |delta_{l+1}|, the bound behind vanishing gradients (Bengio et al. 1994)."""
    model = deep("sigmoid")
    d = nn.diagnose(model, cr.losses.mse, X, Y)
    for k in range(15):
        bound = 0.25 * np.linalg.norm(model.layers[k + 1].weight, 2)
        assert d.layers[k].delta_rms <= bound * d.layers[k + 1].delta_rms * (1 + 1e-9)


def test_norms_are_those_of_grad() -> None:
    model = nn.MLP([8, 6, 1], "tanh", key=K(0))
    g = cr.grad(lambda m: cr.losses.mse(Y, m(X)))(model)
    want = [np.sqrt(np.sum(p.weight**2) + np.sum(p.bias**2)) for p in g.layers]
    d = nn.diagnose(model, cr.losses.mse, X, Y)
    np.testing.assert_allclose([x.gradient_norm for x in d.layers], want, rtol=1e-10)
    np.testing.assert_allclose(nn.gradient_norms(g), want, rtol=1e-12)
    np.testing.assert_allclose(d.layers[0].weight_norm, np.linalg.norm(model.layers[0].weight), rtol=1e-12)


def test_dead_units_are_counted() -> None:
    model = nn.MLP([8, 10, 1], "relu", key=K(0))
    object.__setattr__(model.layers[0], "bias", np.where(np.arange(10) < 3, -1e3, 1.0))
    d = nn.diagnose(model, cr.losses.mse, X, Y)
    active = np.sum(np.any(X @ model.layers[0].weight.T + model.layers[0].bias > 0, axis=0))
    assert active == 7
    assert (d.layers[0].dead, d.layers[0].units) == (0.3, 10)
    assert d.kinds == {"dead"}
    assert "3 of 10 in layer 1 (Dense)" in str(d)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_saturated_units_are_counted(activation: str) -> None:
    model = nn.MLP([8, 10, 1], activation, key=K(0))
    assert nn.diagnose(model, cr.losses.mse, X, Y).layers[0].saturated == 0
    object.__setattr__(model.layers[0], "bias", np.where(np.arange(10) < 6, 15.0, 0.0))
    d = nn.diagnose(model, cr.losses.mse, X, Y)
    assert d.layers[0].saturated == 0.6
    assert d.kinds == {"saturated"}
    assert "6 of 10 in layer 1" in str(d)


def test_units_of_a_mixing_activation_are_not_judged() -> None:
    model = nn.Sequential(nn.Dense(8, 3, key=K(0)), nn.softmax)
    d = nn.diagnose(model, cr.losses.mse, X, np.ones((64, 3)) / 3)
    assert (d.layers[0].units, d.layers[0].dead) == (0, 0.0)


def test_update_ratio_is_the_step_over_the_weights() -> None:
    model = nn.MLP([8, 6, 1], "tanh", key=K(0))
    d = nn.diagnose(model, cr.losses.mse, X, Y, rule=cr.optim.sgd(0.01))
    for x in d.layers:
        assert x.update_ratio == pytest.approx(0.01 * x.gradient_norm / x.weight_norm, rel=1e-9)
    assert not d.findings
    kinds = {rate: nn.diagnose(model, cr.losses.mse, X, Y, rule=cr.optim.sgd(rate)).kinds for rate in (10.0, 1e-9)}
    assert kinds == {10.0: {"large updates"}, 1e-9: {"small updates"}}
    assert np.isnan(nn.diagnose(model, cr.losses.mse, X, Y).layers[0].update_ratio)


def test_a_backward_pass_that_is_not_finite_is_said_so() -> None:
    model = map_tree(lambda w: w * 1e200, nn.MLP([8, 6, 6, 1], "identity", key=K(0)))
    with np.errstate(over="ignore", invalid="ignore"):
        assert "not finite" in nn.diagnose(model, cr.losses.mse, X, Y).kinds


# --- over a run ------------------------------------------------------------------------------------------------------------------


def test_observe_records_what_the_plain_loop_does() -> None:
    model, rule = nn.MLP([8, 6, 1], "tanh", key=K(0)), cr.optim.momentum(0.05)
    run = nn.observe(model, cr.losses.mse, X, Y, rule, 5)
    state, losses = rule.init(model), []
    f = cr.value_and_grad(lambda m: cr.losses.mse(Y, m(X)))
    for k in range(5):
        value, g = f(model)
        moved, state = rule.step(model, g, state)
        losses.append(value)
        np.testing.assert_allclose(run.gradient_norms[k], nn.gradient_norms(g), rtol=1e-8)
        step = np.sqrt(
            sum(np.sum((a - b) ** 2) for a, b in zip(flatten(moved.layers[0])[0], flatten(model.layers[0])[0], strict=True))
        )
        assert run.update_ratios[k, 0] == pytest.approx(step / nn.gradient_norms(model)[0], rel=1e-8)
        model = moved
    np.testing.assert_allclose(run.losses, [*losses, f(model)[0]], rtol=1e-9)
    np.testing.assert_allclose(run.model.layers[0].weight, model.layers[0].weight, rtol=1e-9)
    assert run.names == ("Dense", "Dense")


def test_observe_keeps_statistics_and_randomness() -> None:
    model = nn.Sequential(nn.Dense(8, 6, key=K(0)), nn.BatchNorm(6), nn.relu, nn.Dropout(0.2), nn.Dense(6, 1, key=K(1)))
    run = nn.observe(model, cr.losses.mse, X, Y, cr.optim.sgd(0.05), 40, training=True, key=K(2))
    assert np.all(run.model.layers[1].mean != 0)
    z = run.model.layers[0](X)
    np.testing.assert_allclose(run.model.layers[1].mean, z.mean(0), atol=0.1)
    assert cr.losses.mse(Y, run.model(X)) < 0.7 * cr.losses.mse(Y, model(X))
    again = nn.observe(model, cr.losses.mse, X, Y, cr.optim.sgd(0.05), 3, training=True, key=K(2))
    np.testing.assert_array_equal(again.losses[:3], run.losses[:3])


def test_findings_of_a_run_say_at_which_steps() -> None:
    run = nn.observe(deep("sigmoid"), cr.losses.mse, X, Y, cr.optim.sgd(0.01), 3)
    (finding,) = run.findings
    assert finding.kind == "vanishing"
    assert str(finding).startswith("In 3 of 3 steps, first in step 0: Vanishing gradient: delta at the first layer is ")


# --- effects ----------------------------------------------------------------------------------------------------------------------


def test_the_variants_differ_from_the_plain_net_in_nothing_else() -> None:
    plain, residual, normalised = (deep("tanh", 0.7, 4, **p) for p in ({}, {"residual": True}, {"normalised": True}))
    for k in range(1, 5):
        np.testing.assert_array_equal(plain.layers[k].weight, residual.layers[k].layer.weight)
        np.testing.assert_array_equal(plain.layers[k].weight, normalised.layers[k].layers[1].weight)
    h = X @ plain.layers[0].weight.T
    for k, layer in enumerate(plain.layers[:-1]):
        h = np.tanh(X @ layer.weight.T) if k == 0 else h + np.tanh(h @ layer.weight.T)
    np.testing.assert_allclose(residual(X), h @ plain.layers[-1].weight.T, rtol=1e-12)


def test_residuals_and_normalisation_cure_a_vanishing_gradient_and_clipping_does_not() -> None:
    found = nn.effects(X, Y, cr.losses.mse, key=K(0), gain=0.5, depth=12, learning_rate=0.01, steps=40)
    m = {name: found.measured(name) for name in found.runs}
    assert m["plain"]["first_over_last"] < 1e-3
    assert m["clipping"]["first_over_last"] == m["plain"]["first_over_last"]
    for name in ("residual", "normalisation"):
        assert m[name]["first_over_last"] > 0.1
        assert m[name]["loss_at_end"] < 0.2 * m["plain"]["loss_at_end"]
    assert m["plain"]["loss_at_end"] > 0.9 * m["plain"]["loss_at_start"]
    assert "normalisation" in str(found)


def test_clipping_keeps_an_exploding_net_from_diverging() -> None:
    rules = {
        "plain": cr.optim.sgd(0.02),
        "clipping": cr.optim.chain(cr.optim.clip_by_global_norm(1.0), cr.optim.sgd(0.02)),
    }
    model = deep("identity", 1.5, 8)
    runs = {name: nn.observe(model, cr.losses.mse, X, X[:, :1], rule, 60) for name, rule in rules.items()}
    assert runs["plain"].findings
    assert not np.isfinite(runs["plain"].losses[-1]) or runs["plain"].losses[-1] > 1e3 * runs["plain"].losses[0]
    assert runs["clipping"].losses[-1] < 0.1 * runs["clipping"].losses[0]
