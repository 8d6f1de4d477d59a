"""The autoencoder against what is known exactly: probabilistic PCA, closed forms of the bound, and its gradients."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

import chainrule as cr
from chainrule.generative import VAE
from chainrule.generative import vae as parts

KEY = cr.random.key(4)


@cache
def flat_data(n: int = 400) -> Any:
    """Five numbers about a plane in a space of five, noise 0.5."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(5, 2))
    return rng.normal(size=(n, 2)) @ w.T + 0.5 * rng.normal(size=(n, 5)) + np.array([1.0, 0.0, -2.0, 0.0, 3.0])


def principal(x: Any, latent: int) -> tuple[float, Any, Any, float]:
    """Log-likelihood per example, mean, loadings and noise of probabilistic PCA at its maximum (Tipping and Bishop 1999)."""
    mean, values_vectors = x.mean(0), np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values_vectors[0][::-1], values_vectors[1][:, ::-1]
    noise = values[latent:].mean()
    w = vectors[:, :latent] * np.sqrt(values[:latent] - noise)
    cov = w @ w.T + noise * np.eye(x.shape[1])
    return float(stats.multivariate_normal(mean, cov).logpdf(x).mean()), mean, w, float(noise)


def at_optimum(x: Any, latent: int) -> Any:
    """A linear model with the parameters of probabilistic PCA and its exact posterior."""
    _, mean, w, noise = principal(x, latent)
    model = VAE(x.shape[1], latent=latent, hidden=(), key=KEY)
    m = w.T @ w + noise * np.eye(latent)
    guess = np.linalg.solve(m, w.T)
    log_std = 0.5 * np.log(noise * np.diag(np.linalg.inv(m)))
    set_ = lambda layer, weight, bias: (object.__setattr__(layer, "weight", weight), object.__setattr__(layer, "bias", bias))
    set_(model.net.encoder.layers[0], np.vstack([guess, np.zeros((latent, x.shape[1]))]), np.hstack([-guess @ mean, log_std]))
    set_(model.net.decoder.layers[0], w, mean)
    object.__setattr__(model.net, "log_std", np.array(0.5 * np.log(noise)))
    return model


def test_the_bound_is_the_likelihood_of_principal_components() -> None:
    x = flat_data()
    exact = principal(x, 2)[0]
    model = at_optimum(x, 2)
    np.testing.assert_allclose(model.elbo(x, key=KEY, samples=2000), exact, atol=0.01)
    np.testing.assert_allclose(model.log_likelihood(x, key=KEY, samples=2), exact, rtol=1e-10)  # q is exact: every weight is p(x)
    g = cr.grad(lambda net: np.mean(parts.importance_weighted(net, x, cr.random.normal(KEY, (2000, len(x), 2)))))(model.net)
    assert max(np.abs(a).max() for a in (g.decoder.layers[0].weight, g.decoder.layers[0].bias, g.log_std)) < 0.01


def test_training_reaches_it() -> None:
    x = flat_data()
    exact = principal(x, 2)[0]
    model = VAE(5, latent=2, hidden=(), key=cr.random.key(1))
    start = model.elbo(x, key=KEY)
    fitted = model.fit(x, epochs=400, batch_size=100, key=KEY, learning_rate=cr.optim.schedules.cosine(0.02, 1600))
    assert fitted is model
    end = model.elbo(x, key=KEY, samples=1000)
    assert start < exact - 1
    assert exact - 0.03 < end < exact + 0.01  # the estimate has a deviation of about 0.003
    assert model.history[-1] > model.history[0]
    _, _, w, noise = principal(x, 2)
    mine = model.net.decoder.layers[0].weight
    np.testing.assert_allclose(mine @ mine.T, w @ w.T, atol=0.25)
    np.testing.assert_allclose(np.exp(2 * model.net.log_std), noise, rtol=0.1)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_bound_is_below_the_likelihood(likelihood: str) -> None:
    x = flat_data(60) if likelihood == "gaussian" else (flat_data(60) > 0).astype(float)
    model = VAE(5, latent=2, hidden=(16,), likelihood=likelihood, key=KEY)
    model.fit(x, epochs=3, batch_size=20, key=KEY, learning_rate=0.01)
    elbo = model.elbo(x, key=KEY, samples=400, each=True)
    better = model.log_likelihood(x, key=KEY, samples=400, each=True)
    assert np.all(elbo <= better)
    assert elbo.shape == (60,)
    middle = np.mean([model.log_likelihood(x, key=cr.random.key(k), samples=4) for k in range(30)])
    assert elbo.mean() < middle < better.mean() + 0.01


def test_importance_sampling_finds_the_integral() -> None:
    """With one latent number ln p(x) is an integral that quadrature gives."""
    x = (flat_data(4) > 0).astype(float)
    model = VAE(5, latent=1, hidden=(8,), likelihood="bernoulli", key=KEY)
    for k in range(4):
        p = cr.expectation(lambda z, k=k: np.exp(model.net.log_likelihood(x[k], np.reshape(z, (1,)))), cr.distributions.normal())
        found = model.log_likelihood(x[k : k + 1], key=KEY, samples=20_000)
        np.testing.assert_allclose(found, np.log(p), atol=0.03)


@pytest.mark.parametrize("kl", ["analytic", "sampled"])
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_gradients_by_score_and_through_the_noise_agree(kl: str, beta: float) -> None:
    x = flat_data(6)
    net = VAE(5, latent=2, hidden=(), key=KEY).net
    noises = cr.random.normal(KEY, (4000, 6, 2))

    def through(noise: Any) -> Any:
        return cr.grad(lambda net: np.mean(parts.reparameterised(net, x, noise, beta, kl)))(net).encoder.layers[0].bias

    def score(noise: Any) -> Any:
        return cr.grad(lambda net: np.mean(parts.by_score(net, x, noise, beta)))(net).encoder.layers[0].bias

    a, b = cr.vmap(through)(noises), cr.vmap(score)(noises)
    error = np.sqrt((a.var(0) + b.var(0)) / len(noises))
    assert np.abs((a.mean(0) - b.mean(0)) / error).max() < 4
    assert b.var(0).sum() > 5 * a.var(0).sum()  # what reparameterisation is for


def test_bounds_of_one_draw_agree() -> None:
    x, noise = flat_data(6), cr.random.normal(KEY, (1, 6, 2))
    net = VAE(5, latent=2, hidden=(4,), key=KEY).net
    one = parts.importance_weighted(net, x, noise)
    np.testing.assert_allclose(one, parts.reparameterised(net, x, noise[0], 1.0, "sampled"), rtol=1e-12)
    np.testing.assert_allclose(one, parts.by_score(net, x, noise[0], 1.0), rtol=1e-12)
    q = net.posterior(x)
    np.testing.assert_allclose(q.kl(cr.distributions.normal()), 0.5 * (q.mean**2 + q.std**2 - 1) - np.log(q.std), rtol=1e-12)


def test_beta_presses_the_code_to_the_prior() -> None:
    x = flat_data()
    size = [
        np.mean(VAE(5, latent=2, hidden=(), key=KEY).fit(x, epochs=60, batch_size=100, key=KEY, learning_rate=0.02, beta=beta)
                .encode(x).kl(cr.distributions.normal()))
        for beta in (0.2, 1.0, 8.0)
    ]  # fmt: skip
    assert size[0] > size[1] > size[2]


@pytest.mark.parametrize("how", [{"samples": 5}, {"gradient": "score"}, {"kl": "sampled"}])
def test_other_objectives_learn(how: Any) -> None:
    x = flat_data()
    model = VAE(5, latent=2, hidden=(), key=KEY)
    before = model.elbo(x, key=KEY)
    model.fit(x, epochs=40, batch_size=100, key=KEY, learning_rate=0.02, **how)
    assert model.elbo(x, key=KEY) > before + 1


def test_repeatable_to_the_bit() -> None:
    x = flat_data()
    runs = [VAE(5, latent=2, hidden=(4,), key=KEY).fit(x, epochs=2, batch_size=64, key=KEY) for _ in range(2)]
    assert runs[0].history == runs[1].history
    np.testing.assert_array_equal(runs[0].sample(5, KEY), runs[1].sample(5, KEY))


def test_samples_have_the_distribution_of_the_model() -> None:
    model = at_optimum(flat_data(), 2)
    _, mean, w, noise = principal(flat_data(), 2)
    x = model.sample(20_000, KEY)
    np.testing.assert_allclose(x.mean(0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(x.T), w @ w.T + noise * np.eye(5), atol=0.2)
    np.testing.assert_allclose(model.decode(np.zeros((1, 2)))[0], mean)
    binary = VAE(5, latent=2, likelihood="bernoulli", key=KEY).sample(10, KEY)
    assert set(np.unique(binary)) <= {0.0, 1.0}


@pytest.mark.slow
def test_digits() -> None:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    x = digits.data / 16
    model = VAE(64, latent=8, hidden=(128,), likelihood="bernoulli", key=KEY)
    model.fit(x[:1500], epochs=60, batch_size=100, key=KEY, learning_rate=2e-3)
    held = x[1500:]
    error = np.mean((model.reconstruct(held) - held) ** 2)
    assert error < 0.5 * np.mean((held - x[:1500].mean(0)) ** 2)
    assert model.elbo(held, key=KEY) < model.log_likelihood(held, key=KEY, samples=200)


MODEL = VAE(5, latent=2, key=KEY)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: VAE(5, latent=0, key=KEY), ValueError, "latent is a whole number"),
    (lambda: VAE(5, latent=2, likelihood="poisson", key=KEY), ValueError, "poisson"),
    (lambda: VAE(5, latent=2, hidden=8, key=KEY), TypeError, "hidden is a sequence"),  # pyright: ignore[reportArgumentType]
    (lambda: MODEL.fit(np.zeros((0, 5)), epochs=1, key=KEY), cr.errors.ShapeError, "empty"),
    (lambda: MODEL.fit(np.zeros((3, 5)), epochs=1, key=3), cr.errors.DtypeError, "random key"),
    (lambda: MODEL.fit(np.ma.masked_less(flat_data(), 0), epochs=1, key=KEY), cr.errors.DtypeError, "masked"),
    (lambda: MODEL.fit(np.zeros((3, 4)), epochs=1, key=KEY), cr.errors.ShapeError, r"\(n, 5\), not \(3, 4\)"),
    (lambda: MODEL.fit([[1.0], [1.0, 2.0]], epochs=1, key=KEY), cr.errors.ShapeError, "differ in length"),
    (lambda: MODEL.fit(np.full((3, 5), np.nan), epochs=1, key=KEY), ValueError, "NaN"),
    (lambda: MODEL.fit(np.array([["a"] * 5]), epochs=1, key=KEY), cr.errors.DtypeError, "number"),
    (lambda: VAE(5, latent=2, likelihood="bernoulli", key=KEY).fit(np.full((3, 5), 2.0), epochs=1, key=KEY), ValueError, r"in \[0, 1\]"),
    (lambda: MODEL.fit(np.zeros((3, 5)), epochs=0, key=KEY), ValueError, "epochs"),
    (lambda: MODEL.fit(np.zeros((3, 5)), epochs=1, key=KEY, beta=-1), ValueError, "beta"),
    (lambda: MODEL.fit(np.zeros((3, 5)), epochs=1, key=KEY, samples=4, beta=2.0), ValueError, "importance-weighted"),
    (lambda: MODEL.fit(np.zeros((3, 5)), epochs=1, key=KEY, gradient="reinforce"), ValueError, "reinforce"),
    (lambda: VAE(5, latent=2, key=KEY).fit(1e3 * flat_data(), epochs=30, key=KEY, learning_rate=1e3), ArithmeticError, "diverged"),
])  # fmt: skip
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        call()
