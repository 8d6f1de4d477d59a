"""The XLA engine computes what the numpy engine computes: every row, control flow, derivatives, random programs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")

import chainrule as cr
import row_samples
from chainrule.emit.numpy import Program
from chainrule.emit.xla import fallbacks, to_xla
from programs import random_program

SAMPLES = list(row_samples.samples())
ULP = 256
"""Units in the last place by which one operation may differ; XLA's own approximations of special functions set it."""
LOOSE = {"erfinv": 4096, "digamma": 4096, "zeta": 4096, "betaln": 4096, "gammaln": 4096, "i1": 4096, "kl_div": 4096}


def close(got: np.ndarray, want: np.ndarray, ulp: float) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype.kind in "fc":
        eps = np.finfo(want.dtype).eps
        np.testing.assert_allclose(got, want, rtol=ulp * eps, atol=ulp * eps)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("s", SAMPLES, ids=[f"{s.row}-{k}" for k, s in enumerate(SAMPLES)])
@pytest.mark.filterwarnings("ignore")
def test_every_row(s: row_samples.Sample) -> None:
    args = [np.asarray(x) for x in s.args]
    want = Program(s.graph)(*args)
    got = to_xla(s.graph)(*args)
    if s.row in ("eigh", "svd", "qr"):  # vectors are unique up to sign
        got, want = [np.abs(x) for x in got], [np.abs(x) for x in want]
    for a, b in zip(got, want, strict=True):
        close(a, np.asarray(b), LOOSE.get(s.row, ULP))


def test_what_runs_on_the_host_is_said() -> None:
    g = cr.trace(lambda x: np.linalg.pinv(x))(np.eye(3))
    assert fallbacks(g) == ["pinv"]
    assert fallbacks(cr.trace(lambda x: np.tanh(x) @ x)(np.eye(3))) == []


@pytest.mark.parametrize("seed_", range(6))
def test_random_programs(seed_: int) -> None:
    rng = np.random.default_rng(seed_)
    for _ in range(2):
        p, xs = random_program(rng, 5)
        n = tuple(range(len(xs)))

        def f(*xs: np.ndarray, p: object = p) -> np.ndarray:
            return p.run(np, *xs)

        y, gs = cr.jit(cr.value_and_grad(f, n), engine="xla")(*xs)
        z, hs = cr.value_and_grad(f, n)(*xs)
        np.testing.assert_allclose(y, z, rtol=1e-12, err_msg=str(p))
        for a, b in zip(gs, hs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=str(p))


def test_float32_stays_float32_and_float64_stays_float64() -> None:
    f = cr.jit(lambda x: np.exp(x) * 2, engine="xla")
    assert f(np.ones(3, np.float32)).dtype == np.float32
    assert f(np.ones(3)).dtype == np.float64
    assert f(np.arange(3)).dtype == np.float64


def test_same_random_bits() -> None:
    key = cr.random.key(7)

    def draw(key: np.ndarray) -> tuple[np.ndarray, ...]:
        a, b = cr.random.split(key)
        return cr.random.bits(a, (5,)), cr.random.uniform(b, (4,)), cr.random.normal(a, (3,))

    got, want = cr.jit(draw, engine="xla")(key), draw(key)
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_allclose(got[2], want[2], rtol=1e-12)


def test_a_training_loop() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(64, 3)), np.array([1.0, -2.0, 0.5])
    y = x @ w

    def train(w: np.ndarray) -> np.ndarray:
        def step(w: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            loss, g = cr.value_and_grad(lambda w: np.mean((x @ w - y) ** 2))(w)
            return w - 0.1 * g, loss

        return cr.scan(step, w, np.zeros(200))

    last, losses = cr.jit(train, engine="xla")(np.zeros(3))
    np.testing.assert_allclose(last, w, atol=1e-8)
    np.testing.assert_allclose(losses, train(np.zeros(3))[1], rtol=1e-9, atol=1e-15)
