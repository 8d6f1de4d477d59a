"""Random numbers: published test vectors, distributions, derivatives, and the same bits wherever they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import chainrule as cr
from chainrule import errors
from chainrule.prims.random import threefry

N = 200_000
KEY = cr.random.key(20)


def word(text: str) -> Any:
    return np.array([int(text, 16)], np.uint32)


@pytest.mark.parametrize(
    ("key", "counter", "result"),
    [
        ("00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
        ("ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
        ("13198a2e 03707344", "243f6a88 85a308d3", "c4923a9c 483df7a0"),
    ],
)
def test_known_answers_of_random123(key: str, counter: str, result: str) -> None:
    k, c, r = (tuple(map(word, x.split())) for x in (key, counter, result))
    assert threefry(k, c) == r


def test_bits_are_the_encrypted_counters_in_order() -> None:
    key = cr.random.key(7)
    b = cr.random.bits(key, 5)
    for block in range(3):
        x, y = threefry((key[:1], key[1:]), (np.array([block], np.uint32), np.zeros(1, np.uint32)))
        assert [*x, *y][: 5 - 2 * block] == b[2 * block : 2 * block + 2].tolist()
    assert cr.random.bits(key, (2, 3)).ravel()[:5].tolist() == b.tolist()


def test_keys() -> None:
    assert cr.random.key(2**40 + 5).tolist() == [256, 5]
    assert cr.random.key(-1).tolist() == [2**32 - 1, 2**32 - 1]
    keys = [KEY, *cr.random.split(KEY, 100), *[cr.random.fold_in(KEY, k) for k in range(100)], cr.random.bits(KEY, 2)]
    assert len({tuple(k) for k in keys}) == 202
    with pytest.raises(errors.DtypeError, match=r"cr\.random\.key"):
        cr.random.normal(3)
    with pytest.raises(errors.DtypeError, match="float32 or float64"):
        cr.random.normal(KEY, 3, np.int64)


def uniformity(x: Any, cdf: Any) -> float:
    return float(stats.kstest(np.asarray(x, np.float64).ravel(), cdf).pvalue)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distributions(dtype: Any) -> None:
    """Kolmogorov-Smirnov at a fixed seed: a wrong distribution gives 0 at this size, a right one under 0.01 for 1 seed in 100."""
    r = cr.random
    for x, cdf in [
        (r.uniform(KEY, N, dtype=dtype), stats.uniform.cdf),
        (r.uniform(KEY, N, -2.0, 3.0, dtype), stats.uniform(-2, 5).cdf),
        (r.normal(KEY, N, dtype), stats.norm.cdf),
        (r.exponential(KEY, N, dtype), stats.expon.cdf),
        (r.gumbel(KEY, N, dtype), stats.gumbel_r.cdf),
        (r.gamma(KEY, 0.7, N, dtype), stats.gamma(0.7).cdf),
        (r.gamma(KEY, 30.0, N, dtype), stats.gamma(30).cdf),
        (r.truncated_normal(KEY, -1.0, 2.0, N, dtype), stats.truncnorm(-1, 2).cdf),
    ]:
        assert x.dtype == dtype
        assert x.shape == (N,)
        assert uniformity(x, cdf) > 0.01


def test_moments_of_normal_numbers() -> None:
    x = cr.random.normal(KEY, N)
    error = 4 / np.sqrt(N)
    assert abs(x.mean()) < error
    assert abs(x.var() - 1) < error * np.sqrt(2)
    assert abs((x**3).mean()) < error * np.sqrt(15)
    assert abs((x**4).mean() - 3) < error * np.sqrt(96)
    assert abs((x[1:] * x[:-1]).mean()) < error
    y = cr.random.normal(cr.random.split(KEY)[1], N)
    assert abs((x * y).mean()) < error


def chi_square(counts: Any, p: Any) -> float:
    return float(stats.chisquare(counts, np.asarray(p) * counts.sum()).pvalue)


def test_frequencies() -> None:
    r, p = cr.random, np.array([0.1, 0.2, 0.0, 0.7])
    drawn = [
        r.categorical(KEY, np.log(np.where(p > 0, p, 1e-300)), shape=(N,)),
        r.choice(KEY, 4, N, p=p),
        r.choice(KEY, np.array([0, 1, 2, 3]), (N,), p=p),
    ]
    for x in drawn:
        counts = np.bincount(x, minlength=4)
        assert counts[2] == 0
        assert chi_square(counts[p > 0], p[p > 0]) > 0.01
    x = r.randint(KEY, N, -2, 5)
    assert (x.min(), x.max(), x.dtype) == (-2, 4, np.int64)
    assert chi_square(np.bincount(x + 2), np.full(7, 1 / 7)) > 0.01
    x = r.bernoulli(KEY, 0.3, N)
    assert x.dtype == bool
    assert abs(x.mean() - 0.3) < 4 * np.sqrt(0.21 / N)
    ways = np.array([r.permutation(k, 3) @ [9, 3, 1] for k in r.split(KEY, 3000)])
    assert chi_square(np.unique(ways, return_counts=True)[1], np.full(6, 1 / 6)) > 0.01


def test_permutation_and_choice_without_replacement() -> None:
    r = cr.random
    assert sorted(r.permutation(KEY, 1000).tolist()) == list(range(1000))
    x = np.arange(12.0).reshape(4, 3)
    assert sorted(r.permutation(KEY, x)[:, 0].tolist()) == [0, 3, 6, 9]
    assert sorted(r.permutation(KEY, x, axis=1)[0].tolist()) == [0, 1, 2]
    assert len(set(r.choice(KEY, 50, (5, 8), replace=False).ravel().tolist())) == 40
    firsts = np.array([r.choice(k, 3, 1, replace=False, p=np.array([0.2, 0.3, 0.5]))[0] for k in r.split(KEY, 3000)])
    assert chi_square(np.bincount(firsts), [0.2, 0.3, 0.5]) > 0.01
    with pytest.raises(ValueError, match="without replacement"):
        r.choice(KEY, 3, 4, replace=False)


DRAWS = {
    "uniform": lambda k: cr.random.uniform(k, (3,), -1.0, 2.0),
    "normal": lambda k: cr.random.normal(k, (2, 3)),
    "normal32": lambda k: cr.random.normal(k, (3,), np.float32),
    "exponential": lambda k: cr.random.exponential(k, (3,)),
    "gamma": lambda k: cr.random.gamma(k, 2.5, (3,)),
    "truncated": lambda k: cr.random.truncated_normal(k, -1.0, 1.0, (3,)),
    "bernoulli": lambda k: cr.random.bernoulli(k, 0.5, (9,)),
    "categorical": lambda k: cr.random.categorical(k, np.array([0.1, 0.5, 0.4]), shape=(5,)),
    "randint": lambda k: cr.random.randint(k, (5,), 0, 100),
    "permutation": lambda k: cr.random.permutation(k, 7),
    "choice": lambda k: cr.random.choice(k, np.arange(5.0), (4,), p=np.full(5, 0.2)),
    "split": lambda k: cr.random.split(k, 3),
    "fold_in": lambda k: cr.random.fold_in(k, 12),
    "scalar": lambda k: cr.random.normal(k),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_same_numbers_wherever_they_are_drawn(name: str) -> None:
    draw, keys = DRAWS[name], cr.random.split(KEY, 3)
    want = np.stack([draw(k) for k in keys])
    assert not np.array_equal(want[0], want[1]) or name == "bernoulli"
    np.testing.assert_array_equal(cr.vmap(draw)(keys), want)
    np.testing.assert_array_equal(cr.scan(lambda c, k: (c, draw(k)), 0.0, keys)[1], want)
    np.testing.assert_array_equal(cr.jit(draw, engine="numpy")(keys[0]), want[0])


def test_fold_in_of_a_traced_step() -> None:
    want = [cr.random.fold_in(KEY, k).tolist() for k in range(4)]
    assert cr.scan(lambda c, k: (c, cr.random.fold_in(KEY, k)), 0.0, np.arange(4))[1].tolist() == want
    assert cr.vmap(lambda k: cr.random.fold_in(KEY, k))(np.arange(4)).tolist() == want


def test_pathwise_gradients() -> None:
    r = cr.random
    z = r.normal(KEY, 5)
    g = cr.grad(lambda m, s: ((m + s * r.normal(KEY, 5)) ** 2).sum(), (0, 1))(0.5, 2.0)
    np.testing.assert_allclose(g, [(2 * (0.5 + 2 * z)).sum(), (2 * z * (0.5 + 2 * z)).sum()])
    u = r.uniform(KEY, 5)
    np.testing.assert_allclose(cr.grad(lambda a, b: r.uniform(KEY, 5, a, b).sum(), (0, 1))(1.0, 2.0), [(1 - u).sum(), u.sum()])
    keys = r.split(KEY, 3)
    per_key = cr.vmap(lambda k: cr.grad(lambda s: (s * r.normal(k, 4)).sum())(2.0))(keys)
    np.testing.assert_allclose(per_key, [r.normal(k, 4).sum() for k in keys])
    edge = cr.grad(lambda b: r.truncated_normal(KEY, -1.0, b, 3).sum())(1.0)
    difference = (r.truncated_normal(KEY, -1.0, 1 + 1e-6, 3) - r.truncated_normal(KEY, -1.0, 1 - 1e-6, 3)).sum() / 2e-6
    np.testing.assert_allclose(edge, difference, rtol=1e-7)


@pytest.mark.parametrize("a", [0.05, 0.7, 1.0, 3.3, 40.0, 900.0])
def test_gamma_derivative_is_implicit(a: float) -> None:
    f = lambda a: cr.random.gamma(KEY, a, 200)
    dx = cr.jvp(f, (a,), (1.0,))[1]
    h = 1e-4 * a
    want = (8 * (f(a + h) - f(a - h)) - (f(a + 2 * h) - f(a - 2 * h))) / (12 * h)
    np.testing.assert_allclose(dx, want, rtol=2e-7, atol=1e-12)
    second = cr.jvp(lambda s: cr.grad(lambda t: (np.log(t * f(a)) ** 2).sum())(s), (2.0,), (1.0,))[1]
    assert np.isfinite(second)
    with pytest.raises(errors.NotDifferentiableError, match="second derivative of a gamma"):
        cr.grad(cr.grad(lambda a: f(a).sum()))(a)


def test_the_mean_of_gamma_gradients_is_the_gradient_of_the_mean() -> None:
    g = cr.grad(lambda a: cr.random.gamma(KEY, a, 20_000).mean())(2.5)  # E x = a
    assert abs(g - 1) < 0.02


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**63 + 12345])
def test_few_words_are_the_first_of_many(seed: int) -> None:
    """A handful is computed with Python's integers: the same bits."""
    key = cr.random.key(seed)
    many = cr.random.bits(key, 64)
    for n in range(20):
        few = cr.random.bits(key, n)
        assert few.dtype == np.uint32
        assert np.array_equal(few, many[:n])


def test_sizes_and_seeds_that_are_none_are_refused() -> None:
    for draw in (cr.random.normal, cr.random.uniform, cr.random.split):
        with pytest.raises(ValueError, match="0 or more"):
            draw(KEY, -1)
    with pytest.raises(TypeError, match="integer"):
        cr.random.key(1.5)  # pyright: ignore[reportArgumentType]
