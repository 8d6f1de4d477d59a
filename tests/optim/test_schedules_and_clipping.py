"""Schedules at known steps and against Optax's; clipping by the two formulas, and what it promises."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import chainrule as cr

o = cr.optim
s = cr.optim.schedules

TABLE: dict[str, tuple[Any, dict[int, float]]] = {
    "constant": (s.constant(0.3), {0: 0.3, 7: 0.3}),
    "decay": (s.decay(1.0, beta=0.5), {0: 1.0, 2: 0.5, 18: 0.1}),
    "sqrt": (s.sqrt(0.6), {0: 0.6, 3: 0.3, 8: 0.2}),
    "step": (s.step(1.0, rate=0.1, steps=10), {0: 1.0, 9: 1.0, 10: 0.1, 25: 0.01}),
    "exponential": (s.exponential(2.0, rate=0.25, steps=2), {0: 2.0, 1: 1.0, 2: 0.5, 4: 0.125}),
    "cosine": (s.cosine(1.0, steps=4, final=0.2), {0: 1.0, 2: 0.6, 4: 0.2, 9: 0.2}),
    "warmup": (s.warmup(1.0, warmup_steps=4), {0: 0.25, 1: 0.5, 3: 1.0, 10: 1.0}),
    "warmup of a schedule": (s.warmup(s.decay(1.0, 1.0), warmup_steps=2), {0: 0.5, 1: 1.0, 2: 0.5, 3: 1 / 3}),
}


@pytest.mark.parametrize("name", TABLE)
def test_schedules_at_known_steps(name: str) -> None:
    schedule, known = TABLE[name]
    traced = cr.jit(lambda k: np.asarray(1.0) * schedule(k))
    for k, rate in known.items():
        assert float(schedule(k)) == pytest.approx(rate, rel=1e-14)
        assert float(traced(np.int64(k))) == pytest.approx(rate, rel=1e-14)


def test_schedules_are_optaxs_where_it_has_them() -> None:
    pairs = [
        (s.cosine(0.3, 50), optax.cosine_decay_schedule(0.3, 50)),
        (s.one_cycle(0.7, 100), optax.cosine_onecycle_schedule(100, 0.7)),
        (s.exponential(0.3, 0.5, 20), optax.exponential_decay(0.3, 20, 0.5)),
        (s.step(0.3, 0.5, 20), optax.exponential_decay(0.3, 20, 0.5, staircase=True)),
    ]
    for ours, theirs in pairs:
        for k in range(101):
            assert float(ours(k)) == pytest.approx(float(theirs(k)), rel=2e-5, abs=1e-7)  # Optax counts in single precision


def test_robbins_and_monros_conditions() -> None:
    k = np.arange(100_000)
    decay, root = s.decay(1.0, 1.0)(k), s.sqrt(1.0)(k)
    assert decay.sum() > 12  # grows like the logarithm of the number of steps
    assert np.square(decay).sum() < np.pi**2 / 6
    assert np.square(root).sum() > 12  # the square root falls too slowly for them


FINITE = st.floats(-1e30, 1e30, width=64)
TREES = st.fixed_dictionaries({"w": arrays(float, (2, 3), elements=FINITE), "b": arrays(float, 2, elements=FINITE)})


def flat(tree: Any) -> Any:
    return np.concatenate([np.ravel(tree[k]) for k in sorted(tree)])


def direction(atom: Any, g: Any) -> Any:
    """What a step from 0 with rate 1 subtracts."""
    rule = o.chain(atom)
    zero = {k: np.zeros_like(v) for k, v in g.items()}
    x, _ = rule.step(zero, g, rule.init(zero))
    return {k: -v for k, v in x.items()}


@given(TREES, st.floats(1e-3, 1e6))
def test_clipping_by_norm_never_raises_it_and_keeps_the_direction(g: Any, c: float) -> None:
    before, after = flat(g), flat(direction(o.clip_by_global_norm(c), g))
    n, m = np.linalg.norm(before), np.linalg.norm(after)
    # squares, a sum, a root and a product: a few roundings
    assert m <= min(n, c) * (1 + 1e-14)
    np.testing.assert_allclose(after, before * min(1.0, c / n) if n else before, rtol=1e-13)


@given(TREES, st.floats(1e-3, 1e6))
def test_clipping_by_value_never_raises_an_element_and_keeps_signs(g: Any, c: float) -> None:
    before, after = flat(g), flat(direction(o.clip_by_value(c), g))
    np.testing.assert_array_equal(after, np.sign(before) * np.minimum(np.abs(before), c))
    assert np.linalg.norm(after) <= np.linalg.norm(before) * (1 + 1e-14)


def test_clipping_survives_explosions_and_zeros() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        huge = {"w": np.array([3e200, 4e200])}
        np.testing.assert_allclose(direction(o.clip_by_global_norm(5.0), huge)["w"], [3.0, 4.0], rtol=1e-14)
        single = {"w": np.array([3e30, 4e30], np.float32)}
        np.testing.assert_allclose(direction(o.clip_by_global_norm(5.0), single)["w"], [3.0, 4.0], rtol=1e-6)
        np.testing.assert_array_equal(direction(o.clip_by_global_norm(5.0), {"w": np.zeros(2)})["w"], [0.0, 0.0])
    assert np.isnan(direction(o.clip_by_global_norm(1.0), {"w": np.array([np.nan, 1.0])})["w"]).all()


def test_global_norm_is_of_all_arrays_together() -> None:
    assert o.global_norm({"a": np.array([[3.0]]), "b": [np.array([4.0]), np.zeros(0)]}) == 5.0
    assert o.global_norm({}) == 0.0


@pytest.mark.parametrize("make", [o.clip_by_global_norm, o.clip_by_value, o.clip_by_block_rms])
def test_a_bound_that_is_not_positive_is_an_error(make: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        make(0.0)


def test_an_infinite_bound_clips_nothing() -> None:
    rule = o.chain(o.clip_by_global_norm(np.inf), o.sgd(1.0))
    np.testing.assert_array_equal(rule.step(np.zeros(2), np.array([3.0, -4.0]), rule.init(np.zeros(2)))[0], [-3.0, 4.0])


def test_clipping_has_a_derivative_at_zero() -> None:
    rule = o.chain(o.clip_by_global_norm(1.0), o.sgd(1.0))
    step = lambda g: np.sum(rule.step(np.zeros(2), g, rule.init(np.zeros(2)))[0])
    np.testing.assert_array_equal(cr.grad(step)(np.zeros(2)), [-1.0, -1.0])
    assert np.isnan(o.global_norm(np.array([np.nan, 0.0])))
