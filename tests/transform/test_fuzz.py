"""Random programs: forward mode = reverse mode = difference quotients = JAX; second derivatives too."""

from __future__ import annotations

import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import calls
from chainrule.prims import TABLE
from programs import Program, near_kink, random_program

BLOCKS, BLOCK = 40, 50  # 2,000 programs here; 100,000 with -m slow


def check(p: Program, xs: list[np.ndarray], rng: np.random.Generator, *, oracle: bool, second: bool) -> None:
    """Every way of differentiating `p` agrees; raises AssertionError with the program's text."""

    def f(*xs: np.ndarray) -> np.ndarray:
        return p.run(np, *xs)

    n = tuple(range(len(xs)))
    ds = [rng.normal(size=x.shape) for x in xs]
    text = str(p)
    y, gs = cr.value_and_grad(f, n)(*xs)
    np.testing.assert_allclose(y, f(*xs), rtol=1e-13, atol=1e-13, err_msg=text)
    slope = sum(np.sum(g * d) for g, d in zip(gs, ds, strict=True))
    _, dy = cr.jvp(f, xs, ds)
    np.testing.assert_allclose(dy, slope, rtol=1e-9, atol=1e-11, err_msg=text)
    if not near_kink(p, xs, ds):
        h = 1e-4
        q = [f(*[x + k * h * d for x, d in zip(xs, ds, strict=True)]) for k in (-2, -1, 1, 2)]
        quotient = (q[0] - 8 * q[1] + 8 * q[2] - q[3]) / (12 * h)
        np.testing.assert_allclose(slope, quotient, rtol=2e-6, atol=2e-7, err_msg=text)
    if oracle:
        want = jax.grad(lambda *xs: p.run(jnp, *xs), n)(*map(jnp.asarray, xs))
        for g, w in zip(gs, want, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-10, err_msg=text)
    if second:
        reverse_reverse = cr.grad(lambda *xs: sum(np.sum(g * d) for g, d in zip(cr.grad(f, n)(*xs), ds, strict=True)), n)(*xs)
        _, forward_reverse = cr.jvp(lambda *xs: cr.grad(f, n)(*xs), xs, ds)
        for a, b in zip(reverse_reverse, forward_reverse, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9, err_msg=text)


def run_block(block: int, size: int = BLOCK) -> None:
    rng = np.random.default_rng(block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for k in range(size):
            p, xs = random_program(rng, int(rng.integers(2, 9)))
            check(p, xs, rng, oracle=k == block % size, second=k % 3 == 0)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_programs(block: int) -> None:
    run_block(block)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS, BLOCKS + 1960))
def test_many_random_programs(block: int) -> None:
    run_block(block)


def test_a_wrong_derivative_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer itself must be able to fail."""
    sin = TABLE["sin"]
    wrong = replace(sin, jvp=lambda xs, dxs, ys, p: [1.001 * d for d in sin.jvp(xs, dxs, ys, p)])
    for module in ("jvp", "transpose", "vmap", "rebuild"):
        monkeypatch.setattr(f"chainrule.transform.{module}.TABLE", {**TABLE, "sin": wrong})
    calls._programs.clear()
    with pytest.raises(AssertionError):
        run_block(3)
    calls._programs.clear()
