"""Distributions against SciPy's: densities, moments, entropies, draws, divergences, and derivatives of all of them."""

from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import chainrule as cr
from chainrule import distributions as d

KEY = cr.random.key(11)
COV = np.array([[2.0, 0.6], [0.6, 0.5]])
CONTINUOUS: dict[str, tuple[Any, Any]] = {
    "normal": (d.normal(1.5, 0.7), stats.norm(1.5, 0.7)),
    "uniform": (d.uniform(-1.0, 3.0), stats.uniform(-1, 4)),
    "gamma": (d.gamma(2.5, 1.5), stats.gamma(2.5, scale=1 / 1.5)),
    "gamma, flat at zero": (d.gamma(1.0, 2.0), stats.gamma(1.0, scale=0.5)),
    "gamma, small": (d.gamma(0.3, 2.0), stats.gamma(0.3, scale=0.5)),
    "beta": (d.beta(2.0, 3.5), stats.beta(2.0, 3.5)),
    "beta, small": (d.beta(0.4, 0.6), stats.beta(0.4, 0.6)),
}
DISCRETE: dict[str, tuple[Any, Any]] = {
    "bernoulli": (d.bernoulli(0.3), stats.bernoulli(0.3)),
    "categorical": (d.categorical([0.2, 0.5, 0.3]), stats.rv_discrete(values=([0, 1, 2], [0.2, 0.5, 0.3]))),
}
ALL = {**CONTINUOUS, **DISCRETE}
OUTSIDE = np.array([-1.0, -0.5, 0.0, 0.2, 0.5, 1.0, 2.0, 3.0, 3.5])


@pytest.mark.parametrize("name", ALL)
def test_log_density_is_scipys_inside_and_outside(name: str) -> None:
    ours, theirs = ALL[name]
    want = theirs.logpdf(OUTSIDE) if name in CONTINUOUS else theirs.logpmf(OUTSIDE)
    np.testing.assert_allclose(ours.log_density(OUTSIDE), want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_moments_and_entropy_are_scipys(name: str) -> None:
    ours, theirs = ALL[name]
    np.testing.assert_allclose([ours.mean, ours.std, ours.variance], [theirs.mean(), theirs.std(), theirs.var()], rtol=1e-13)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_draws_have_the_distribution(name: str) -> None:
    ours, theirs = ALL[name]
    x = ours.sample(KEY, 4000)
    assert x.shape == (4000,)
    if name in CONTINUOUS:
        assert stats.kstest(x, theirs.cdf).pvalue > 1e-3
    else:
        values, counts = np.unique(x, return_counts=True)
        assert stats.chisquare(counts, 4000 * theirs.pmf(values)).pvalue > 1e-3
    assert np.array_equal(x, ours.sample(KEY, 4000))
    assert not np.array_equal(x, ours.sample(cr.random.key(12), 4000))


def test_draws_of_tiny_parameters_do_not_become_nan() -> None:
    x = d.beta(1e-3, 1e-3).sample(KEY, 2000)
    assert np.all(np.isfinite(x))
    assert abs(np.mean(x > 0.5) - 0.5) < 0.05


def test_multivariate_normal_is_scipys() -> None:
    mean = np.array([1.0, -2.0])
    ours, theirs = d.multivariate_normal(mean, COV), stats.multivariate_normal(mean, COV)
    x = np.array([[0.0, 0.0], [1.0, -2.0], [3.0, 1.0]])
    np.testing.assert_allclose(ours.log_density(x), theirs.logpdf(x), rtol=1e-13)
    np.testing.assert_allclose(ours.log_density(x[2]), theirs.logpdf(x[2]), rtol=1e-13)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-13)
    y = ours.sample(KEY, (50, 200)).reshape(-1, 2)
    white = np.linalg.solve(np.linalg.cholesky(COV), (y - mean).T)
    assert all(stats.kstest(z, "norm").pvalue > 1e-3 for z in (*white, white.sum(0) / np.sqrt(2)))


def test_mixture_is_the_weighted_sum() -> None:
    w = np.array([0.3, 0.7])
    parts = [stats.norm(-1, 0.5), stats.norm(2, 1.0)]
    m = d.mixture(w, [d.normal(-1.0, 0.5), d.normal(2.0, 1.0)])
    x = np.linspace(-3, 5, 9)
    want = np.log(w[0] * parts[0].pdf(x) + w[1] * parts[1].pdf(x))
    np.testing.assert_allclose(m.log_density(x), want, rtol=1e-12)
    np.testing.assert_allclose(m.log_density(0.5), np.log(w[0] * parts[0].pdf(0.5) + w[1] * parts[1].pdf(0.5)), rtol=1e-12)
    y = m.sample(KEY, 4000)
    assert stats.kstest(y, lambda t: w[0] * parts[0].cdf(t) + w[1] * parts[1].cdf(t)).pvalue > 1e-3
    density = lambda t: np.exp(m.log_density(t))
    mean = integrate.quad(lambda t: t * density(t), -20, 20)[0]
    np.testing.assert_allclose(m.mean, mean, rtol=1e-7)
    np.testing.assert_allclose(m.variance, integrate.quad(lambda t: (t - mean) ** 2 * density(t), -20, 20)[0], rtol=1e-7)
    np.testing.assert_allclose(m.responsibilities(x).sum(-1), 1.0, rtol=1e-13)


def test_mixture_of_vectors() -> None:
    a, b = d.multivariate_normal(np.zeros(2), np.eye(2)), d.multivariate_normal(np.ones(2), COV)
    m = d.mixture([0.5, 0.5], [a, b])
    x = np.array([[0.1, 0.2], [1.0, 1.0]])
    np.testing.assert_allclose(m.log_density(x), np.log(0.5 * np.exp(a.log_density(x)) + 0.5 * np.exp(b.log_density(x))))
    assert m.sample(KEY, (3, 4)).shape == (3, 4, 2)


def test_empirical_is_the_data() -> None:
    rows = np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [4.0, 4.0]])
    e = d.empirical(rows)
    np.testing.assert_allclose(np.exp(e.log_density(np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 3.0]]))), [0.5, 0.25, 0.0])
    np.testing.assert_allclose(e.entropy(), stats.entropy([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(e.variance, rows.var(0))
    drawn = e.sample(KEY, 2000)
    assert abs(np.mean(np.all(drawn == rows[1], -1)) - 0.25) < 0.04
    assert {tuple(r) for r in drawn} == {tuple(r) for r in rows}


PAIRS = [
    (d.normal(0.5, 0.8), d.normal(-0.2, 1.3)),
    (d.uniform(0.1, 0.7), d.uniform(0.0, 1.0)),
    (d.bernoulli(0.2), d.bernoulli(0.6)),
    (d.categorical([0.2, 0.5, 0.3]), d.categorical([0.4, 0.4, 0.2])),
    (d.beta(2.0, 3.0), d.beta(1.5, 1.2)),
    (d.gamma(2.0, 3.0), d.gamma(1.5, 0.7)),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: type(p[0]).__name__)
def test_divergence_is_the_expected_log_ratio(pair: tuple[Any, Any]) -> None:
    p, q = pair
    if p.__class__.__name__ in ("Bernoulli", "Categorical"):
        x = np.arange(3 if p.__class__.__name__ == "Categorical" else 2)
        want = np.sum(np.exp(p.log_density(x)) * (p.log_density(x) - q.log_density(x)))
    else:
        low, high = {"Normal": (-8, 8), "Uniform": (0.1, 0.7), "Beta": (0, 1), "Gamma": (0, 30)}[type(p).__name__]
        want = integrate.quad(lambda x: np.exp(p.log_density(x)) * (p.log_density(x) - q.log_density(x)), low, high)[0]
    np.testing.assert_allclose(p.kl(q), want, rtol=1e-7)
    np.testing.assert_allclose(p.kl(p), 0.0, atol=1e-14)


def test_divergence_of_vectors_and_where_there_is_none() -> None:
    p, q = d.multivariate_normal([0.5, 0.0], COV), d.multivariate_normal([0.0, 1.0], np.eye(2))
    x = p.sample(KEY, 200_000)
    ratio = p.log_density(x) - q.log_density(x)
    assert abs(p.kl(q) - ratio.mean()) < 4 * ratio.std() / np.sqrt(len(x))
    assert d.uniform(0.0, 2.0).kl(d.uniform(0.0, 1.0)) == np.inf
    with pytest.raises(TypeError, match="no closed form"):
        p.kl(d.normal(0.0, 1.0))
    with pytest.raises(cr.errors.ShapeError, match="3 and 2 values"):
        d.categorical([0.2, 0.5, 0.3]).kl(d.categorical([0.5, 0.5]))


DERIVED = {
    "normal": (d.normal, (0.3, 0.8), 0.9),
    "uniform": (d.uniform, (-0.5, 1.5), 0.9),
    "beta": (d.beta, (2.0, 3.0), 0.4),
    "gamma": (d.gamma, (2.0, 1.5), 0.9),
}


def difference(f: Any, x: float) -> float:
    h = 1e-5
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.parametrize("name", DERIVED)
@pytest.mark.parametrize("which", [0, 1])
def test_derivatives_by_parameters(name: str, which: int) -> None:
    make, parameters, x = DERIVED[name]

    def of(p: Any) -> Any:
        return make(*[p if k == which else q for k, q in enumerate(parameters)])

    for f in (lambda p: of(p).log_density(x), lambda p: of(p).entropy(), lambda p: np.sum(of(p).sample(KEY, 5) ** 2)):
        np.testing.assert_allclose(cr.grad(f)(parameters[which]), difference(f, parameters[which]), rtol=1e-6, atol=1e-9)


def test_a_distribution_is_a_container() -> None:
    g = cr.grad(lambda q: q.kl(d.normal(0.0, 1.0)))(d.normal(0.5, 2.0))
    assert isinstance(g, type(d.normal()))
    np.testing.assert_allclose([g.mean, g.std], [0.5, 2.0 - 1 / 2.0])
    np.testing.assert_allclose(cr.jit(lambda q, x: q.log_density(x))(d.normal(0.5, 2.0), 1.0), stats.norm(0.5, 2).logpdf(1.0))


def test_derivative_by_the_covariance_is_symmetric_and_right() -> None:
    x, mean = np.array([0.3, 1.0]), np.zeros(2)
    g = cr.grad(lambda c: d.multivariate_normal(mean, c).log_density(x))(COV)
    p = np.linalg.inv(COV)
    np.testing.assert_allclose(g, 0.5 * (p @ np.outer(x, x) @ p - p), rtol=1e-10)


def test_array_parameters_are_independent_components() -> None:
    n = d.normal(np.zeros((3, 1)), np.ones(2))
    assert n.batch_shape == (3, 2)
    assert n.sample(KEY, 5).shape == (5, 3, 2)
    assert n.log_density(np.zeros((3, 2))).shape == (3, 2)
    assert d.beta(np.array([1.0, 2.0]), 3.0).sample(KEY, (4, 6)).shape == (4, 6, 2)
    c = d.categorical(np.array([[0.1, 0.9], [1.0, 0.0]]))
    assert c.sample(KEY, 7).shape == (7, 2)
    assert np.all(c.sample(KEY, 50)[:, 1] == 0)
    np.testing.assert_allclose(np.exp(c.log_density(np.array([1, 0]))), [0.9, 1.0])


def test_single_precision_stays() -> None:
    n = d.normal(np.float32(1.0), np.ones(3, np.float32))
    assert n.sample(KEY, 4).dtype == np.float32
    assert n.log_density(np.ones(3, np.float32)).dtype == np.float32
    assert np.all(np.isfinite(n.sample(KEY, 10_000)))


def test_discrete_draws_may_be_compiled() -> None:
    for d_of in (d.bernoulli, lambda p: d.categorical(np.stack([p, 1 - p]))):
        np.testing.assert_array_equal(cr.jit(lambda p, f=d_of: f(p).sample(KEY, 9))(0.4), d_of(0.4).sample(KEY, 9))


def test_constant_draws_may_be_used_while_differentiating() -> None:
    def f(p: Any) -> Any:
        b = d.bernoulli(p)
        return np.sum(b.log_density(cr.stop_gradient(b).sample(KEY, 3)))

    x = d.bernoulli(0.4).sample(KEY, 3)
    np.testing.assert_allclose(cr.grad(f)(0.4), np.sum(x / 0.4 - (1 - x) / 0.6))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: d.normal(0.0, -1.0), "std must be positive and finite, and is -1.0"),
    (lambda: d.normal(np.nan), "mean must be finite"),
    (lambda: d.normal("a", 1.0), "mean is a number"),
    (lambda: d.normal(np.zeros(2), np.ones(3)), "do not broadcast"),
    (lambda: d.uniform(1.0, 1.0), "high - low must be positive"),
    (lambda: d.bernoulli(1.2), "p must be a probability"),
    (lambda: d.categorical([0.5, 0.6]), "sum of 1"),
    (lambda: d.categorical(0.5), "probabilities along its last axis"),
    (lambda: d.beta(0.0, 1.0), "a must be positive"),
    (lambda: d.gamma(1.0, -2.0), "rate must be positive"),
    (lambda: d.multivariate_normal(np.zeros(2), np.ones((2, 2))), "positive definite"),
    (lambda: d.multivariate_normal(np.zeros(2), np.array([[1.0, 0.5], [0.0, 1.0]])), "symmetric"),
    (lambda: d.multivariate_normal(np.zeros(2), np.eye(3)), r"cov \(d, d\)"),
    (lambda: d.mixture([1.0], [d.normal(), d.normal()]), "one number for each of the 2 parts"),
    (lambda: d.mixture([0.5, 0.5], [d.normal(), d.multivariate_normal(np.zeros(2), np.eye(2))]), "same shape"),
    (lambda: d.mixture([0.5, 0.5], [d.normal(), 3.0]), "not float"),  # pyright: ignore[reportArgumentType]
    (lambda: d.empirical(np.zeros((0, 2))), "at least one row"),
    (lambda: d.mixture([1.0], [d.normal()]).entropy(), "no closed form"),
    (lambda: cr.grad(lambda s: d.normal(0.0, s).entropy())(-1.0), "std must be positive"),
])  # fmt: skip
def test_bad_parameters_are_named(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=message):
        make()
