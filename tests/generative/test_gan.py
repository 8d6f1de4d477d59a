"""Adversarial networks against what is known exactly: the best discriminator, the losses' slopes, modes counted."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import chainrule as cr
from chainrule.generative import (
    GAN,
    VAE,
    WGAN,
    class_quality,
    coverage,
    frechet_distance,
    ring,
    ring_centers,
    train_discriminator,
)
from chainrule.generative.gan import discriminator_loss, generator_loss

KEY = cr.random.key(6)


def test_the_best_discriminator_is_the_density_ratio() -> None:
    """N(0, 1) against N(1.5, 0.7): D = p / (p + q)."""
    a, b, c = cr.random.split(KEY, 3)
    x, y = cr.random.normal(a, 20_000), 1.5 + 0.7 * cr.random.normal(b, 20_000)
    best = train_discriminator(x, y, key=c, hidden=(32,), steps=1200)
    at = np.linspace(-1.5, 3.0, 46)
    p, q = stats.norm.pdf(at), stats.norm.pdf(at, 1.5, 0.7)
    np.testing.assert_allclose(best(at), p / (p + q), atol=0.05)
    assert np.mean(np.abs(best(at) - p / (p + q))) < 0.02


def test_the_value_of_the_game_is_the_jensen_shannon_divergence() -> None:
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])
    odds = np.log(p / q)
    mean = 0.5 * (p + q)
    js = 0.5 * stats.entropy(p, mean) + 0.5 * stats.entropy(q, mean)
    softplus = lambda t: np.logaddexp(0, t)
    np.testing.assert_allclose(-(p @ softplus(-odds) + q @ softplus(odds)), 2 * js - np.log(4), rtol=1e-12)
    real, fake = np.repeat(odds, (2, 5, 3)), np.repeat(odds, (6, 1, 3))
    np.testing.assert_allclose(discriminator_loss(real, fake), np.log(4) - 2 * js, rtol=1e-12)


def test_where_the_discriminator_is_sure_one_loss_has_a_slope_and_the_other_none() -> None:
    sure = np.array([-12.0])
    saturating = cr.grad(lambda o: generator_loss(o, "saturating"))(sure)
    not_saturating = cr.grad(lambda o: generator_loss(o, "non_saturating"))(sure)
    assert -1e-5 < saturating[0] < 0
    np.testing.assert_allclose(not_saturating, -1.0, rtol=1e-5)
    np.testing.assert_allclose(generator_loss(sure, "saturating"), np.log(1 - 1 / (1 + np.exp(12.0))), rtol=1e-9)
    np.testing.assert_allclose(generator_loss(sure, "non_saturating"), np.log(1 + np.exp(12.0)), rtol=1e-12)


@pytest.mark.parametrize("loss", ["non_saturating", "saturating"])
def test_a_normal_distribution_is_learned(loss: str) -> None:
    x = 3.0 + 0.5 * cr.random.normal(KEY, (2048, 1))
    model = GAN(1, latent=1, hidden=(16,), loss=loss, key=KEY)
    fitted = model.fit(x, epochs=80, batch_size=256, key=KEY, learning_rate=cr.optim.schedules.cosine(5e-3, 640))
    assert fitted is model
    samples = model.sample(4000, cr.random.key(9))
    assert abs(samples.mean() - 3.0) < 0.25
    assert 0.3 < samples.std() < 0.75
    assert len(model.history) == 80
    assert model.probability(samples).shape == (4000,)
    assert 0.3 < model.probability(samples).mean() < 0.7


def test_repeatable_to_the_bit_and_several_discriminator_steps() -> None:
    x = cr.random.normal(KEY, (128, 3))
    runs = [
        GAN(3, latent=2, hidden=(8,), key=KEY).fit(x, epochs=2, batch_size=16, key=KEY, discriminator_steps=2) for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0].sample(4, KEY), runs[1].sample(4, KEY))
    assert runs[0].history == runs[1].history


def test_every_epoch_is_told_of() -> None:
    x, seen = cr.random.normal(KEY, (32, 3)), []
    for kind in (GAN, WGAN, VAE):
        seen.clear()
        model = kind(3, latent=2, hidden=(4,), key=KEY)
        model.fit(x, epochs=3, batch_size=4, key=KEY, after_epoch=lambda m: seen.append((m, len(m.history))))
        assert seen == [(model, 1), (model, 2), (model, 3)]


@pytest.mark.slow
def test_modes_of_a_ring() -> None:
    model = GAN(2, latent=2, hidden=(64, 64), key=cr.random.key(1))
    model.fit(ring(4096, cr.random.key(0)), epochs=150, batch_size=256, key=cr.random.key(2), learning_rate=1e-3)
    found = coverage(model.sample(2000, cr.random.key(3)), ring_centers(), 0.05)
    assert found.modes >= 7
    assert found.quality > 0.5


# --- quality ------------------------------------------------------------------------------------------------------------------


def test_coverage_counts() -> None:
    x = ring(4000, KEY)
    full = coverage(x, ring_centers(), 0.05)
    assert full.modes == 8
    assert 0.98 < full.quality <= 1.0  # 3 deviations in two dimensions hold 1 - e^(-9/2) = 0.989
    assert full.counts.sum() == round(full.quality * 4000)
    half = coverage(x[np.linalg.norm(x - ring_centers()[0], axis=1) < 1.9], ring_centers(), 0.05)
    assert half.modes == 3
    nothing = coverage(np.zeros((10, 2)), ring_centers(), 0.05)
    assert (nothing.modes, nothing.quality) == (0, 0.0)


def test_frechet_distance_of_normals() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) @ np.diag([1.0, 2.0, 0.5])
    np.testing.assert_allclose(frechet_distance(x, x), 0, atol=1e-9)
    np.testing.assert_allclose(frechet_distance(x, x + np.array([3.0, 0.0, 4.0])), 25.0, rtol=1e-9)
    np.testing.assert_allclose(frechet_distance(x, 2 * x), 4 * np.sum(x.mean(0) ** 2) * 0.25 + np.trace(np.cov(x.T)), rtol=1e-9)
    from scipy.linalg import sqrtm

    y = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3))
    a, b = np.cov(x.T), np.cov(y.T)
    want = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    np.testing.assert_allclose(frechet_distance(x, y), want, rtol=1e-8)


def test_class_quality_of_sure_and_of_unsure_classifiers() -> None:
    eye = np.tile(np.eye(4), (5, 1))
    sure = class_quality(np.zeros(20), lambda x: eye)
    np.testing.assert_allclose([sure.confidence, sure.diversity, sure.score], [1.0, 4.0, 4.0])
    one = class_quality(np.zeros(20), lambda x: np.tile(np.eye(4)[:1], (20, 1)))
    np.testing.assert_allclose([one.confidence, one.diversity, one.score], [1.0, 1.0, 1.0])
    unsure = class_quality(np.zeros(20), lambda x: np.full((20, 4), 0.25))
    np.testing.assert_allclose([unsure.confidence, unsure.score], [0.25, 1.0])
    with pytest.raises(ValueError, match="probabilities"):
        class_quality(np.zeros(3), lambda x: np.ones((3, 2)))


MODEL = GAN(3, latent=2, hidden=(8,), key=KEY)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: GAN(3, latent=2, loss="hinge", key=KEY), ValueError, "hinge"),
    (lambda: GAN(0, latent=2, key=KEY), ValueError, "features"),
    (lambda: MODEL.fit(np.zeros((4, 2)), epochs=1, key=KEY), cr.errors.ShapeError, r"\(n, 3\)"),
    (lambda: MODEL.fit(np.full((4, 3), np.inf), epochs=1, key=KEY), ValueError, "infinite"),
    (lambda: MODEL.fit(np.zeros((4, 3)), epochs=1, key=KEY, discriminator_steps=0), ValueError, "discriminator_steps"),
    (lambda: MODEL.sample(0, KEY), ValueError, "n is a whole number"),
    (lambda: train_discriminator(np.zeros((3, 2)), np.zeros((3, 1)), key=KEY), cr.errors.ShapeError, r"y is an array of shape \(n, 2\)"),
    (lambda: frechet_distance(np.zeros((1, 2)), np.zeros((5, 2))), cr.errors.ShapeError, "two samples"),
])  # fmt: skip
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
