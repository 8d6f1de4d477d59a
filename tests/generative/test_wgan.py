"""Critics against the exact Wasserstein distance, and the penalty's second derivatives against difference quotients."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import chainrule as cr
from chainrule.generative import WGAN, coverage, ring, ring_centers, train_critic
from chainrule.generative.wgan import gradient_penalty, make_critic, singular, slopes

KEY = cr.random.key(8)
PAIRS = [(2.0, 1.0), (0.5, 1.0), (0.0, 2.0), (3.0, 0.5), (1.0, 3.0)]


def samples(mean: float, std: float, n: int = 1000) -> Any:
    rng = np.random.default_rng(1)
    return rng.normal(size=n), mean + std * rng.normal(size=n)


@pytest.mark.parametrize(("mean", "std"), PAIRS)
def test_distance_between_normals(mean: float, std: float) -> None:
    x, y = samples(mean, std)
    exact = stats.wasserstein_distance(x, y)
    found = WGAN.distance(x, y, key=KEY)
    assert 0.97 * exact < found <= exact * (1 + 1e-9)  # a 1-Lipschitz critic can never find more


def test_distance_in_two_dimensions_and_of_samples_of_unequal_size() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    shift = np.array([3.0, 4.0])
    assert 0.95 * 5 < WGAN.distance(x, x + shift, key=KEY) <= 5 + 1e-9  # moving every point by 5 is the best plan
    a, b = rng.normal(size=700), rng.normal(1.0, 1.0, size=300)
    exact = stats.wasserstein_distance(a, b)
    assert 0.95 * exact < WGAN.distance(a, b, key=KEY) <= exact * (1 + 1e-9)
    assert abs(WGAN.distance(a, a, key=KEY, steps=50)) < 1e-12
    assert WGAN.distance(100 * a, 100 * b, key=KEY) == pytest.approx(100 * WGAN.distance(a, b, key=KEY), rel=1e-6)


def test_sorting_critics_are_1_lipschitz_whatever_their_weights() -> None:
    rng = np.random.default_rng(0)
    for k in range(5):
        critic = make_critic(3, (16, 8), "sorting", "relu", cr.random.key(k))
        x, y = rng.normal(size=(2, 500, 3))
        assert np.all(np.abs(critic(x) - critic(y)) <= np.linalg.norm(x - y, axis=1) * (1 + 1e-12))
        assert np.all(slopes(critic, x) <= 1 + 1e-9)


def test_the_penalty_is_biased_by_what_theory_says() -> None:
    """For two points at distance W (standardised) the slope under the penalty is 1 + W / (2 lambda)."""
    x, y = np.full((64, 1), 1.0), np.full((64, 1), -1.0)
    for penalty in (2.0, 10.0):
        options = {"key": KEY, "constraint": "one_sided", "penalty": penalty, "hidden": (16,), "learning_rate": 3e-3}
        critic, a, b, scale = train_critic(x, y, **options)
        raw = float(np.mean(critic(a)) - np.mean(critic(b))) * scale
        width = 2.0 / scale
        np.testing.assert_allclose(raw / 2, 1 + width / (2 * penalty), rtol=0.03)
        np.testing.assert_allclose(WGAN.distance(x, y, **options), 2.0, rtol=0.08)  # the correction


def test_penalty_is_over_the_features_of_each_row() -> None:
    critic = make_critic(3, (8, 8), "penalty", "tanh", KEY)
    x, y = cr.random.normal(KEY, (2, 5, 3))
    t = np.linspace(0.1, 0.9, 5)
    rows = [t[k] * x[k] + (1 - t[k]) * y[k] for k in range(5)]
    norms = [np.linalg.norm(cr.grad(lambda r: critic(r[None])[0])(r)) for r in rows]
    np.testing.assert_allclose(slopes(critic, np.array(rows)), norms, rtol=1e-9)
    np.testing.assert_allclose(gradient_penalty(critic, x, y, t), np.mean((np.array(norms) - 1) ** 2), rtol=1e-9)
    above = np.mean(np.maximum(np.array(norms) - 1, 0) ** 2)
    np.testing.assert_allclose(gradient_penalty(critic, x, y, t, one_sided=True), above, rtol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_the_derivative_of_the_derivative(activation: str) -> None:
    critic = make_critic(3, (8, 8), "penalty", activation, KEY)
    x, y = cr.random.normal(KEY, (2, 5, 3))
    t = np.linspace(0.1, 0.9, 5)
    of = lambda c: gradient_penalty(c, x, y, t)
    rng = np.random.default_rng(0)
    leaves = [w for layer in critic.net.layers for w in (layer.weight,)]
    g = cr.grad(of)(critic)
    direction = [rng.normal(size=w.shape) for w in leaves]
    exact = sum(np.sum(layer.weight * d) for layer, d in zip(g.net.layers, direction, strict=True))

    def moved(h: float) -> float:
        for w, d in zip(leaves, direction, strict=True):
            w += h * d
        value = of(critic)
        for w, d in zip(leaves, direction, strict=True):
            w -= h * d
        return value

    np.testing.assert_allclose(exact, (moved(1e-6) - moved(-1e-6)) / 2e-6, rtol=1e-5)


def test_the_power_method_finds_the_singular_value_and_its_derivative() -> None:
    w = cr.random.normal(KEY, (6, 4))
    u = cr.random.normal(cr.random.key(1), 6)
    for _ in range(200):
        u = singular(w, u)[1]
    left, s, right = np.linalg.svd(w)
    np.testing.assert_allclose(singular(w, u)[0], s[0], rtol=1e-10)
    np.testing.assert_allclose(cr.grad(lambda w: singular(w, u)[0])(w), np.outer(left[:, 0], right[0]), rtol=1e-6, atol=1e-9)


def test_clipping_and_spectral_normalisation_hold_after_training() -> None:
    x, y = samples(1.0, 1.0, 200)
    clipped = train_critic(x, y, key=KEY, constraint="clip", clip=0.05, steps=50)[0]
    assert max(np.abs(w.weight).max() for w in clipped.net.layers) <= 0.05
    spectral = train_critic(x, y, key=KEY, constraint="spectral", steps=400, learning_rate=1e-3)[0]
    for k in range(3):
        assert np.linalg.norm(spectral.weight(k), 2) < 1.05
    assert slopes(spectral, np.linspace(-3, 3, 200)[:, None]).max() < 1.05


@pytest.mark.parametrize("constraint", ["one_sided", "spectral"])
def test_a_normal_distribution_is_learned(constraint: str) -> None:
    x = 3.0 + 0.5 * cr.random.normal(KEY, (2048, 1))
    model = WGAN(1, latent=1, hidden=(16,), constraint=constraint, key=KEY)
    before = stats.wasserstein_distance(model.sample(2000, KEY)[:, 0], x[:, 0])
    model.fit(x, epochs=150, batch_size=128, key=KEY, learning_rate=cr.optim.schedules.cosine(5e-3, 2250))
    after = stats.wasserstein_distance(model.sample(2000, KEY)[:, 0], x[:, 0])
    assert before > 2
    assert after < 0.35
    assert abs(model.history[-1].distance) < abs(model.history[0].distance)


def test_clipping_trains_too() -> None:
    x = 3.0 + 0.5 * cr.random.normal(KEY, (512, 1))
    model = WGAN(1, latent=1, hidden=(16,), constraint="clip", clip=0.1, key=KEY)
    before = stats.wasserstein_distance(model.sample(500, KEY)[:, 0], x[:, 0])
    model.fit(x, epochs=150, batch_size=64, key=KEY, learning_rate=2e-3)
    assert stats.wasserstein_distance(model.sample(500, KEY)[:, 0], x[:, 0]) < before / 2
    assert max(np.abs(w.weight).max() for w in model.critic.net.layers) <= 0.1


def test_repeatable_to_the_bit() -> None:
    x = cr.random.normal(KEY, (128, 3))
    runs = [WGAN(3, latent=2, hidden=(8,), key=KEY).fit(x, epochs=2, batch_size=8, key=KEY) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].sample(4, KEY), runs[1].sample(4, KEY))


@pytest.mark.slow
def test_modes_of_a_ring() -> None:
    model = WGAN(2, latent=2, hidden=(64, 64), key=cr.random.key(1))
    model.fit(ring(4096, cr.random.key(0)), epochs=300, batch_size=256, key=cr.random.key(2), learning_rate=1e-3)
    assert coverage(model.sample(2000, cr.random.key(3)), ring_centers(), 0.05, within=6).modes == 8


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: WGAN(2, latent=1, constraint="hope", key=KEY), ValueError, "hope"),
    (lambda: WGAN(2, latent=1, constraint="sorting", key=KEY), ValueError, "sorting"),
    (lambda: WGAN.distance(np.ones(3), np.zeros(3), key=KEY, hidden=(5,)), ValueError, "even"),
    (lambda: WGAN(2, latent=1, penalty=0.0, key=KEY), ValueError, "positive"),
    (lambda: WGAN(2, latent=1, hidden=(4,), key=KEY).fit(np.zeros((3, 1)), epochs=1, key=KEY), cr.errors.ShapeError, r"\(n, 2\)"),
    (lambda: WGAN(2, latent=1, hidden=(4,), key=KEY).fit(np.zeros((3, 2)), epochs=1, key=KEY, critic_steps=0), ValueError, "critic_steps"),
    (lambda: WGAN.distance(np.zeros((3, 2)), np.zeros((3, 3)), key=KEY), cr.errors.ShapeError, r"y is an array of shape \(n, 2\)"),
    (lambda: WGAN.distance(np.array([1.0, np.nan]), np.zeros(3), key=KEY), ValueError, "NaN"),
    (lambda: WGAN.distance(np.ones(3), np.zeros(3), key=KEY, steps=0), ValueError, "steps"),
])  # fmt: skip
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
