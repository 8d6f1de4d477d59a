"""Every loss: its derivative is that of its formula, its facts hold, its ends are stable, its shapes are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import latex2mathml.converter
import numpy as np
import optax
import pytest
import sklearn.metrics as skm

import chainrule as cr
from chainrule.losses import LOSSES

N, C = 7, 4
RNG = np.random.default_rng(0)


def simplex(rng: np.random.Generator) -> np.ndarray:
    p = rng.uniform(0.1, 1, (N, C))
    return p / p.sum(1, keepdims=True)


def one_hot(rng: np.random.Generator) -> np.ndarray:
    return np.eye(C)[rng.integers(0, C, N)]


REAL = lambda rng: rng.normal(size=N)
BIT = lambda rng: rng.integers(0, 2, N).astype(float)
SIGN = lambda rng: rng.choice([-1.0, 1.0], N)
PROB = lambda rng: rng.uniform(0.05, 0.95, N)
ROWS = lambda rng: rng.normal(size=(N, C))

CASES: dict[str, list[tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]]] = {
    "mse": [(REAL, REAL, {}), (ROWS, ROWS, {})],
    "mae": [(REAL, REAL, {})],
    "huber": [(REAL, REAL, {}), (REAL, REAL, {"delta": 0.3})],
    "log_cosh": [(REAL, REAL, {})],
    "quantile": [(REAL, REAL, {"q": 0.9}), (REAL, REAL, {})],
    "poisson": [(lambda rng: rng.poisson(2, N).astype(float), PROB, {}), (BIT, REAL, {"from_logits": True})],
    "binary_cross_entropy": [(BIT, PROB, {}), (PROB, PROB, {}), (BIT, REAL, {"from_logits": True}), (BIT, PROB, {"eps": 0.2})],
    "categorical_cross_entropy": [
        (one_hot, simplex, {}),
        (simplex, ROWS, {"from_logits": True}),
        (one_hot, simplex, {"eps": 1e-3}),
    ],
    "sparse_categorical_cross_entropy": [
        (lambda rng: rng.integers(0, C, N), simplex, {}),
        (lambda rng: rng.integers(0, C, N), ROWS, {"from_logits": True}),
    ],
    "hinge": [(SIGN, REAL, {})],
    "squared_hinge": [(SIGN, REAL, {})],
    "focal": [
        (BIT, PROB, {}),
        (BIT, PROB, {"gamma": 0.0}),
        (BIT, PROB, {"gamma": 1.5, "alpha": 0.25}),
        (BIT, REAL, {"from_logits": True}),
        (one_hot, simplex, {}),
        (one_hot, ROWS, {"from_logits": True, "alpha": np.array([0.1, 0.2, 0.3, 0.4])}),
    ],
    "kl_divergence": [(simplex, simplex, {}), (one_hot, simplex, {})],
    "js_divergence": [(simplex, simplex, {})],
    "contrastive": [(BIT, lambda rng: rng.uniform(0, 2, N), {}), (BIT, PROB, {"margin": 0.5})],
    "info_nce": [(ROWS, ROWS, {"temperature": 0.7})],
    "cosine": [(ROWS, ROWS, {})],
}
EVERY = [pytest.param(name, *case, id=f"{name}-{k}") for name, cases in CASES.items() for k, case in enumerate(cases)]


def test_every_loss_has_cases() -> None:
    assert set(CASES) | {"triplet"} == set(LOSSES)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("name", "true", "pred", "params"), EVERY)
def test_derivative_is_that_of_the_formula(
    name: str, true: Any, pred: Any, params: Any, reduction: str, weighted: bool, rng: np.random.Generator
) -> None:
    loss = LOSSES[name]
    y, p = true(rng), pred(rng)
    more = {**params, "reduction": reduction, **({"weights": rng.uniform(0.5, 2, N)} if weighted else {})}
    got = loss.derivative(y, p, **more)
    assert got.shape == p.shape
    np.testing.assert_allclose(got, cr.grad(lambda p: loss(y, p, **more))(p), rtol=1e-10, atol=1e-12)
    h = 1e-6
    quotient = np.zeros_like(p)
    for k in np.ndindex(p.shape):
        e = np.zeros_like(p)
        e[k] = h
        quotient[k] = (loss(y, p + e, **more) - loss(y, p - e, **more)) / (2 * h)
    np.testing.assert_allclose(got, quotient, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "true", "pred", "params"), EVERY)
def test_reductions_and_weights(name: str, true: Any, pred: Any, params: Any, rng: np.random.Generator) -> None:
    loss = LOSSES[name]
    y, p = true(rng), pred(rng)
    each = loss(y, p, reduction="none", **params)
    np.testing.assert_allclose(loss(y, p, **params), np.mean(each))
    np.testing.assert_allclose(loss(y, p, reduction="sum", **params), np.sum(each))
    w = rng.uniform(0.5, 2, N)
    full = np.broadcast_to(w.reshape(N, *[1] * (each.ndim - 1)), each.shape)
    np.testing.assert_allclose(loss(y, p, weights=w, **params), np.sum(full * each) / np.sum(full))


@pytest.mark.parametrize(("name", "true", "pred", "params"), EVERY)
def test_convexity_is_as_stated(name: str, true: Any, pred: Any, params: Any, rng: np.random.Generator) -> None:
    loss = LOSSES[name]
    if "eps" in params:
        pytest.skip("clipping makes it constant, and so not convex, near the ends")
    scale = 6.0 if name == "focal" and params.get("from_logits") else 1.0
    bent = False
    for _ in range(60):
        y, a, b = true(rng), scale * pred(rng), scale * pred(rng)
        t = rng.uniform()
        ends = [loss(y, p, reduction="none", **params) for p in (a, b, t * a + (1 - t) * b)]
        bent = bent or np.any(t * ends[0] + (1 - t) * ends[1] - ends[2] < -1e-9)
    if loss.facts.convex:
        assert not bent
    elif name == "cosine" or (name == "focal" and params.get("from_logits")):
        assert bent


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_formulas_parse(name: str) -> None:
    loss = LOSSES[name]
    for text in (loss.latex, loss.derivative_latex):
        assert "<math" in latex2mathml.converter.convert(text)
    assert loss.facts.source


def test_against_published_implementations(rng: np.random.Generator) -> None:
    y, p, b, q, z = REAL(rng), REAL(rng), BIT(rng), PROB(rng), ROWS(rng)
    k = rng.integers(0, C, N)
    s, t = simplex(rng), simplex(rng)
    pairs = [
        (cr.losses.mse(y, p), skm.mean_squared_error(y, p)),
        (cr.losses.mae(y, p), skm.mean_absolute_error(y, p)),
        (cr.losses.quantile(y, p, q=0.8), skm.mean_pinball_loss(y, p, alpha=0.8)),
        (cr.losses.binary_cross_entropy(b, q), skm.log_loss(b, q, labels=[0, 1])),
        (cr.losses.sparse_categorical_cross_entropy(k, s), skm.log_loss(k, s, labels=range(C))),
        (cr.losses.hinge(2 * b - 1, p), skm.hinge_loss(b, p, labels=[0, 1])),
        (cr.losses.huber(y, p, delta=0.4), np.mean(optax.losses.huber_loss(p, y, delta=0.4))),
        (cr.losses.log_cosh(y, p), np.mean(optax.losses.log_cosh(p, y))),
        (cr.losses.binary_cross_entropy(b, p, from_logits=True), np.mean(optax.losses.sigmoid_binary_cross_entropy(p, b))),
        (
            cr.losses.sparse_categorical_cross_entropy(k, z, from_logits=True),
            np.mean(optax.losses.softmax_cross_entropy_with_integer_labels(z, k)),
        ),
        (cr.losses.focal(b, p, from_logits=True, gamma=1.7), np.mean(optax.losses.sigmoid_focal_loss(p, b, gamma=1.7))),
        (
            cr.losses.focal(b, p, from_logits=True, alpha=0.3),
            np.mean(optax.losses.sigmoid_focal_loss(p, b, alpha=0.3, gamma=2.0)),
        ),
        (cr.losses.kl_divergence(s, t), np.mean(optax.losses.kl_divergence(np.log(t), s))),
        (cr.losses.cosine(s, t), np.mean(optax.losses.cosine_distance(t, s))),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("z", [1000.0, -1000.0])
def test_logits_of_a_thousand(z: float) -> None:
    for y in (0.0, 1.0):
        p = np.array([z])
        value, slope = cr.value_and_grad(lambda p, y=y: cr.losses.binary_cross_entropy(np.array([y]), p, from_logits=True))(p)
        assert value == max(z, 0) - y * z
        assert slope[0] == (z > 0) - y
    logits = np.array([[z, 0.0, -z]])
    value, slope = cr.value_and_grad(lambda p: cr.losses.sparse_categorical_cross_entropy(np.array([1]), p, from_logits=True))(
        logits
    )
    assert value == 1000.0
    assert np.all(np.isfinite(slope))


def test_masked_logits() -> None:
    logits = np.array([[0.3, -np.inf, 0.1]])
    target = np.array([[1.0, 0.0, 0.0]])
    f = lambda p: cr.losses.categorical_cross_entropy(target, p, from_logits=True)
    value, slope = cr.value_and_grad(f)(logits)
    assert np.isfinite(value)
    np.testing.assert_allclose(slope, cr.losses.categorical_cross_entropy.derivative(target, logits, from_logits=True))
    assert slope[0, 1] == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_probabilities_at_the_ends() -> None:
    bce = cr.losses.binary_cross_entropy
    one, zero = np.array([1.0]), np.array([0.0])
    assert bce(one, zero) == np.inf
    assert bce(zero, one) == np.inf
    assert bce(one, one) == bce(zero, zero) == 0
    assert np.isfinite(bce(one, zero, eps=1e-7))
    assert bce.derivative(one, one)[0] == -1
    assert bce.derivative(zero, zero)[0] == 1
    assert cr.grad(lambda p: bce(one, p))(one)[0] == -1
    assert cr.grad(lambda p: bce(zero, p))(zero)[0] == 1
    cce = cr.losses.categorical_cross_entropy
    rows = np.array([[1.0, 0.0]])
    assert cce(rows, rows) == 0
    np.testing.assert_array_equal(cr.grad(lambda p: cce(rows, p))(rows), [[-1.0, 0.0]])
    kl = cr.losses.kl_divergence
    assert kl(rows, rows) == 0
    assert kl(np.array([[0.5, 0.5]]), rows) == np.inf


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"triplet", "sparse_categorical_cross_entropy"}))
def test_column_against_row_is_an_error(name: str) -> None:
    loss = LOSSES[name]
    with pytest.raises(cr.errors.ShapeError, match="shape"):
        loss(np.ones(4), np.ones((4, 1)))
    with pytest.raises(ValueError, match=r"\(4,\)"):
        loss.derivative(np.ones((4, 1)), np.ones(4))


def test_wrong_keywords_and_labels() -> None:
    with pytest.raises(TypeError, match="delta"):
        cr.losses.huber(np.ones(3), np.ones(3), gamma=2)
    with pytest.raises(ValueError, match="reduction"):
        cr.losses.mse(np.ones(3), np.ones(3), reduction="average")
    with pytest.raises(cr.errors.DtypeError, match="integers"):
        cr.losses.sparse_categorical_cross_entropy(np.ones(3), np.ones((3, 2)))
    with pytest.raises(cr.errors.ShapeError, match="weights"):
        cr.losses.mse(np.ones(3), np.ones(3), weights=np.ones(4))


def test_lists_and_compiled_calls() -> None:
    assert cr.losses.mse([1, 2], [1.0, 4.0]) == 2.0
    y, p = np.array([0.0, 1.0]), np.array([0.2, 0.6])
    np.testing.assert_allclose(
        cr.jit(cr.grad(lambda p: cr.losses.binary_cross_entropy(y, p)))(p), cr.losses.binary_cross_entropy.derivative(y, p)
    )


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("margin", [0.0, 1.0, 5.0])
def test_triplet(squared: bool, margin: float, rng: np.random.Generator) -> None:
    a, p, n = rng.normal(size=(3, N, C))
    w = rng.uniform(0.5, 2, N)
    for weights in (None, w):
        got = cr.losses.triplet.derivative(a, p, n, margin, squared=squared, weights=weights)
        want = cr.grad(lambda a, p, n, w=weights: cr.losses.triplet(a, p, n, margin, squared=squared, weights=w), (0, 1, 2))(
            a, p, n
        )
        for g, h in zip(got, want, strict=True):
            np.testing.assert_allclose(g, h, rtol=1e-10, atol=1e-13)
    each = cr.losses.triplet(a, p, n, margin, squared=squared, reduction="none")
    d = np.linalg.norm(a - p, axis=-1), np.linalg.norm(a - n, axis=-1)
    power = 2 if squared else 1
    np.testing.assert_allclose(each, np.maximum(0, d[0] ** power - d[1] ** power + margin))
    same = cr.losses.triplet.derivative(a, a, a, margin=1.0, squared=squared)
    assert all(np.all(g == 0) for g in same)


def test_minimisers(rng: np.random.Generator) -> None:
    """The prediction that minimises the mean loss is the statistic that the facts name."""
    y = rng.exponential(size=2001)
    grid = np.linspace(0.01, 4, 4000)
    best = lambda loss, **k: grid[np.argmin([loss(y, np.full_like(y, c), **k) for c in grid])]
    assert abs(best(cr.losses.mse) - y.mean()) < 2e-3
    assert abs(best(cr.losses.mae) - np.median(y)) < 2e-3
    assert abs(best(cr.losses.quantile, q=0.9) - np.quantile(y, 0.9)) < 1e-2
    assert abs(best(cr.losses.poisson) - y.mean()) < 2e-3
    assert np.median(y) < best(cr.losses.huber, delta=0.5) < y.mean()
    b = (rng.random(2000) < 0.3).astype(float)
    ps = np.linspace(0.01, 0.99, 981)
    at = lambda loss, **k: ps[np.argmin([loss(b, np.full_like(b, c), **k) for c in ps])]
    assert abs(at(cr.losses.binary_cross_entropy) - b.mean()) < 2e-3
    assert b.mean() < at(cr.losses.focal) < 0.5


# --- what must not pass for an answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_that_are_no_class_are_an_error_and_nan_where_it_is_too_late_to_raise(labels: list[int]) -> None:
    loss, y, z = cr.losses.sparse_categorical_cross_entropy, np.array(labels), np.zeros((2, 3))
    f = lambda y, z: loss(y, z, from_logits=True)
    for call in (f, cr.grad(f, argnums=1), lambda y, z: loss.derivative(y, z, from_logits=True)):
        with pytest.raises(ValueError, match="3 classes, so labels are 0 to 2"):
            call(y, z)
    assert np.isnan(cr.jit(f)(y, z))
    assert cr.jit(f)(np.array([0, 2]), z) == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("hinge", 0.0),
        ("squared_hinge", 0.0),
        ("binary_cross_entropy", -1.0),
        ("focal", -1.0),
        ("contrastive", 2.0),
        ("poisson", -3.0),
        ("categorical_cross_entropy", 5.0),
    ],
)
def test_targets_of_another_coding_are_an_error(name: str, target: float) -> None:
    loss = LOSSES[name]
    shape = (4, 1) if loss.axes else (4,)
    with pytest.raises(ValueError, match=f"{name} is for .*holds {target}"):
        loss(np.full(shape, target), np.full(shape, 0.5))
    assert np.isnan(loss(np.full(shape, np.nan), np.full(shape, 0.5)))  # no mistake in coding


@pytest.mark.parametrize(
    ("name", "bad"),
    [("quantile", {"q": 1.5}), ("huber", {"delta": 0.0}), ("focal", {"gamma": -1.0}), ("info_nce", {"temperature": 0.0})],
)
def test_parameters_out_of_range_are_an_error(name: str, bad: dict[str, float]) -> None:
    x = np.full((2, 2) if LOSSES[name].axes else (2,), 0.5)
    with pytest.raises(ValueError, match=next(iter(bad))):
        LOSSES[name](x, x, **bad)


@pytest.mark.parametrize(("name", "true", "pred", "params"), EVERY)
def test_single_precision_stays_single_precision(name: str, true: Any, pred: Any, params: Any, rng: np.random.Generator) -> None:
    loss, y, p = LOSSES[name], true(rng), pred(rng).astype(np.float32)
    whole = y.astype(np.int64) if not loss.axes and not loss.labels and np.all(y == np.round(y)) else y
    for target in (y if loss.labels else y.astype(np.float32), whole if loss.labels or whole is not y else y.astype(np.float32)):
        assert loss(target, p, **params).dtype == np.float32
        assert loss.derivative(target, p, **params).dtype == np.float32


def test_triplet_stays_in_single_precision() -> None:
    a, p, n = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    assert {d.dtype for d in cr.losses.triplet.derivative(a, p, n)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("z", [40.0, -40.0, 1000.0, -1000.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_great_logits(z: float, y: float, gamma: float) -> None:
    import mpmath

    with mpmath.workdps(500):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(z if y else -z)))
        want = float(-((1 - p) ** gamma) * mpmath.log(p))
        slope = float((1 - p) ** gamma * (gamma * p * mpmath.log(p) - (1 - p))) * (1 if y else -1)
    t, x = np.array([y]), np.array([z])
    for loss in (cr.losses.focal, lambda t, x, **k: cr.losses.focal(np.stack([t, 1 - t], 1), np.stack([x, 0 * x], 1), **k)):
        f = lambda x, loss=loss: loss(t, x, gamma=gamma, from_logits=True)
        assert f(x) == pytest.approx(want, rel=1e-12, abs=1e-16)
        assert cr.grad(f)(x)[0] == pytest.approx(slope, rel=1e-12, abs=1e-16)
    assert cr.losses.focal.derivative(t, x, gamma=gamma, from_logits=True)[0] == pytest.approx(slope, rel=1e-12, abs=1e-16)


def test_focal_loss_has_a_derivative_where_the_truth_is_certain() -> None:
    y, p = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for gamma, want in ((0.0, [-0.5, 0.5]), (0.5, [0.0, 0.0]), (2.0, [0.0, 0.0])):
        np.testing.assert_array_equal(cr.losses.focal.derivative(y, p, gamma=gamma), want)
        np.testing.assert_array_equal(cr.grad(lambda p, g=gamma: cr.losses.focal(y, p, gamma=g))(p), want)


@pytest.mark.parametrize(
    ("y", "z", "want"), [(0.0, -np.inf, 0.0), (1.0, np.inf, 0.0), (0.0, np.inf, np.inf), (1.0, -np.inf, np.inf)]
)
def test_infinite_logits_of_two_classes(y: float, z: float, want: float) -> None:
    f = lambda z: cr.losses.binary_cross_entropy(np.array([y]), z, from_logits=True)
    assert f(np.array([z])) == want
    assert cr.grad(f)(np.array([z]))[0] == (z > 0) - y


def test_cross_entropy_of_a_logit_does_not_cancel() -> None:
    got = cr.losses.binary_cross_entropy(np.ones(1), np.array([30.0]), from_logits=True)
    assert got == pytest.approx(np.log1p(np.exp(-30.0)), rel=1e-14)


def test_the_symmetric_divergence_has_a_derivative_where_both_are_0() -> None:
    p, q = np.array([[1.0, 0.0, 0.0]]), np.array([[0.5, 0.0, 0.5]])
    want = 0.5 * np.log([2 * 0.5 / 1.5, 2.0, 2.0])
    np.testing.assert_allclose(cr.losses.js_divergence.derivative(p, q)[0], want)
    np.testing.assert_allclose(cr.grad(cr.losses.js_divergence, argnums=1)(p, q)[0], want)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("name", "true", "pred", "params"), EVERY)
def test_a_prediction_that_is_nan_makes_nan(name: str, true: Any, pred: Any, params: Any, rng: np.random.Generator) -> None:
    y, p = true(rng), pred(rng)
    p[-1] = np.nan
    assert np.isnan(LOSSES[name](y, p, **params))


def test_triplets_with_nan_make_nan() -> None:
    a, p, n = np.random.default_rng(0).normal(size=(3, 4, 2))
    n[1, 0] = np.nan
    assert np.isnan(cr.losses.triplet(a, p, n))
    assert np.isnan(cr.losses.triplet(a, p, n, squared=False))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_])
def test_whole_numbers_do_not_overflow(dtype: type) -> None:
    y, p = np.array([1, 100], dtype), np.array([2, 0], dtype)
    want = np.mean((y.astype(float) - p.astype(float)) ** 2)
    assert cr.losses.mse(y, p) == want
    assert cr.losses.mse(-y.astype(float), p) == np.mean((y.astype(float) + p.astype(float)) ** 2)
    np.testing.assert_array_equal(cr.losses.mse.derivative(y, p), p.astype(float) - y)
    three = [np.array([x], dtype) for x in ([1, 100], [0, 0], [1, 0])]
    assert cr.losses.triplet(*three) == cr.losses.triplet(*[x.astype(float) for x in three])


def test_complex_numbers_and_text_are_refused() -> None:
    for bad in (np.array([1j]), np.array(["a"]), np.array([None])):
        for pair in ((bad, np.ones(1)), (np.ones(1), bad)):
            with pytest.raises(cr.errors.DtypeError, match="mse: targets and predictions are real numbers"):
                cr.losses.mse(*pair)


def test_columns_of_tables_are_compared_by_place_as_scikit_learn_does() -> None:
    import pandas as pd

    y, p = pd.Series([1.0, 2.0], index=[1, 0]), pd.Series([1.0, 3.0], index=[0, 1])
    assert cr.losses.mse(y, p) == skm.mean_squared_error(y, p) == 0.5
