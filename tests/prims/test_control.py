"""Loops and choices: values and derivatives of every order against the same Python loop, and against JAX."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import errors
from chainrule.transform.tidy import tidy

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
W, U = rng.normal(size=(3, 3)) * 0.5, rng.normal(size=(5, 3))


def rnn(scan: Any, xp: Any) -> Any:
    """A recurrent network: final state and all outputs, from weights, start and inputs."""

    def f(w: Any, h: Any, u: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = xp.tanh(w @ h["a"] + x) * h["b"]
            return {"a": h, "b": xp.sin(h) + 1}, h * h

        last, ys = scan(step, {"a": h, "b": h * 0 + 1}, u)
        return (last["a"] ** 2).sum() + (xp.cos(ys) * ys).sum()

    return f


OURS, JAXS = rnn(cr.scan, np), rnn(jax.lax.scan, jnp)
H0 = rng.normal(size=3)


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def test_scan_value_and_gradients_agree_with_jax() -> None:
    close(OURS(W, H0, U), JAXS(W, H0, U))
    close(cr.grad(OURS, (0, 1, 2))(W, H0, U), jax.grad(JAXS, (0, 1, 2))(W, H0, U))


def test_scan_jvp_agrees_with_jax() -> None:
    primals, tangents = (W, H0, U), (W * 0.3 + 1, H0 - 1, np.cos(U))
    close(cr.jvp(OURS, primals, tangents), jax.jvp(JAXS, primals, tangents))


@pytest.mark.parametrize("argnum", [0, 2])
def test_scan_hessians_agree_with_jax(argnum: int) -> None:
    close(cr.hessian(OURS, argnum)(W, H0, U), jax.hessian(JAXS, argnum)(W, H0, U))


def test_scan_reverse_over_reverse_and_third_order() -> None:
    def f(scan: Any, xp: Any) -> Any:
        return lambda x: scan(lambda c, u: (xp.sin(c) * u + x, c * c), x, xp.arange(1.0, 5.0))[1].sum()

    for order in (2, 3):
        ours, theirs = f(cr.scan, np), f(jax.lax.scan, jnp)
        for _ in range(order):
            ours, theirs = cr.grad(ours), jax.grad(theirs)
        close(ours(0.3), theirs(0.3))


def test_reverse_scan_keeps_positions() -> None:
    xs = np.array([1.0, 2.0, 4.0])
    last, ys = cr.scan(lambda c, x: (c + x, c + x), 0.0, xs, reverse=True)
    assert last == 7.0
    assert ys.tolist() == [7.0, 6.0, 4.0]
    weights = np.array([1.0, 10.0, 100.0])
    g = cr.grad(lambda x: (weights * cr.scan(lambda c, v: (c + v, (c + v) ** 2), 0.0, x, reverse=True)[1]).sum())(xs)
    suffix = np.array([7.0, 6.0, 4.0])
    np.testing.assert_allclose(g, np.cumsum(2 * weights * suffix))


@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, 1)])
def test_vmap_of_the_gradient_of_a_scan_is_a_loop(axes: Any) -> None:
    def stacked(x: Any, axis: Any) -> Any:
        return x if axis is None else np.stack([x, 2 * x, x - 1, x + 0.5], axis)

    args = [stacked(x, a) for x, a in zip((W, H0, U), axes, strict=True)]
    got = cr.vmap(cr.grad(OURS, (0, 1, 2)), axes)(*args)
    want = jax.vmap(jax.grad(JAXS, (0, 1, 2)), axes)(*args)
    close(got, want)


def test_gradient_of_a_vmapped_scan() -> None:
    hs = rng.normal(size=(4, 3))
    ours = cr.grad(lambda w: cr.vmap(lambda h: OURS(w, h, U))(hs).sum())(W)
    theirs = jax.grad(lambda w: jax.vmap(lambda h: JAXS(w, h, U))(hs).sum())(W)
    close(ours, theirs)


def nested(scan: Any, cond: Any, xp: Any) -> Any:
    def f(x: Any) -> Any:
        def inner(c: Any, v: Any) -> Any:
            c = cond(v > 0.5, lambda c: xp.sin(c) * v, lambda c: c * c - v, c)
            return c, c * x

        def outer(c: Any, v: Any) -> Any:
            last, ys = scan(inner, c * v, xp.stack([v, v * 0.3, v + x]))
            return last, ys.sum()

        last, ys = scan(outer, x, xp.asarray(np.linspace(0.1, 1.2, 4)))
        return last * ys.sum()

    return f


def test_scans_of_scans_of_choices() -> None:
    ours, theirs = nested(cr.scan, cr.cond, np), nested(jax.lax.scan, jax.lax.cond, jnp)
    close(ours(0.7), theirs(0.7))
    close(cr.grad(ours)(0.7), jax.grad(theirs)(0.7))
    close(cr.grad(cr.grad(ours))(0.7), jax.grad(jax.grad(theirs))(0.7))
    xs = np.linspace(-1, 1, 5)
    close(cr.vmap(cr.grad(ours))(xs), jax.vmap(jax.grad(theirs))(xs))


def test_cond_runs_the_branch_that_is_chosen_and_differentiates_it() -> None:
    def f(cond: Any, xp: Any) -> Any:
        return lambda x, y: cond(x > 1, lambda x, y: xp.sin(x * y), lambda x, y: x * xp.exp(y) + y, x, y)

    ours, theirs = f(cr.cond, np), f(jax.lax.cond, jnp)
    for x in (0.5, 2.0):
        close(cr.grad(ours, (0, 1))(x, 0.3), jax.grad(theirs, (0, 1))(x, 0.3))
        close(cr.grad(cr.grad(ours), 1)(x, 0.3), jax.grad(jax.grad(theirs), 1)(x, 0.3))
        close(cr.jvp(ours, (x, 0.3), (1.0, 2.0)), jax.jvp(theirs, (x, 0.3), (1.0, 2.0)))


def test_cond_with_a_batched_predicate_selects() -> None:
    xs = np.array([0.5, 2.0, -1.0])
    f = cr.vmap(cr.grad(lambda x: cr.cond(x > 0, lambda x: x**3, lambda x: -2 * x, x)))
    np.testing.assert_allclose(f(xs), [0.75, 12.0, -2.0])


def test_cond_branches_may_return_python_numbers() -> None:
    x = np.float32(2)
    y = cr.cond(x > 0, lambda x: x * 2, lambda x: 0.0, x)
    assert (y, y.dtype) == (4, np.float32)


def test_while_loop_value_forward_mode_and_batching() -> None:
    def collatz(n: Any) -> Any:
        def step(c: Any) -> Any:
            n, k = c
            return cr.cond(n % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, n), k + 1

        return cr.while_loop(lambda c: c[0] > 1, step, (n, 0))[1]

    assert collatz(np.int64(27)) == 111
    assert cr.vmap(collatz)(np.array([1, 6, 27])).tolist() == [0, 8, 111]

    def root(a: Any) -> Any:  # Newton's method; the derivative of the limit is 1 / (2 sqrt a)
        return cr.while_loop(lambda x: np.abs(x * x - a) > 1e-14 * a, lambda x: 0.5 * (x + a / x), a)

    y, dy = cr.jvp(root, (2.0,), (1.0,))
    np.testing.assert_allclose([y, dy], [2**0.5, 0.5 / 2**0.5])
    a = np.array([2.0, 9.0, 1e4])
    np.testing.assert_allclose(cr.vmap(lambda x: cr.jvp(root, (x,), (1.0,))[1])(a), 0.5 / np.sqrt(a))


def test_while_loop_has_no_reverse_mode_and_says_so() -> None:
    with pytest.raises(errors.NotDifferentiableError, match="fori_loop"):
        cr.grad(lambda x: cr.while_loop(lambda c: c < 10, lambda c: c * x, 1.5))(2.0)
    with pytest.raises(errors.NotDifferentiableError):
        cr.grad(lambda x: cr.scan(lambda c, _: (cr.while_loop(lambda k: k < 10, lambda k: k * x, c), None), x, None, 2)[0])(2.0)


def test_forward_mode_goes_through_while_loops_inside_scans_and_choices() -> None:
    def f(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return cr.cond(c > 0, lambda c: cr.while_loop(lambda k: k < 10, lambda k: k * x, c), lambda c: c, c) * 0.2, c

        return cr.scan(step, x, None, 3)

    (last, ys), (dlast, dys) = cr.jvp(f, (2.0,), (1.0,))
    # x; 0.2 x^4 / x (2, 4, 8, 16); 0.2 times that times x^2 (3.2, 6.4, 12.8); and once more
    np.testing.assert_allclose([*ys, last], [2, 3.2, 2.56, 2.048])
    np.testing.assert_allclose([*dys, dlast], [1, 0.2 * 4 * 2**3, 0.04 * 6 * 2**5, 0.008 * 8 * 2**7])


def test_fori_loop() -> None:
    power = lambda x, n: cr.fori_loop(0, n, lambda i, c: c * x + i * 0, 1.0)
    assert cr.grad(power)(2.0, 5) == 80.0
    assert cr.jvp(lambda x: cr.vmap(lambda n: power(x, n))(np.array([1, 3])), (2.0,), (1.0,))[1].tolist() == [1.0, 12.0]
    with pytest.raises(errors.NotDifferentiableError):
        cr.vmap(lambda n: cr.grad(power)(2.0, n))(np.array([1, 3]))


def test_plain_calls_return_arrays() -> None:
    last, ys = cr.scan(lambda c, x: (c + x, c), np.zeros(2), np.ones((3, 2)))
    assert (type(last), type(ys), ys.shape) == (np.ndarray, np.ndarray, (3, 2))
    ys[0] = 7  # ours to write to
    assert isinstance(cr.cond(True, lambda: 1.0, lambda: 2.0), float)
    assert cr.scan(lambda c, _: (c, None), 1.0, None, 0)[0] == 1.0


def test_integers_are_carried_along() -> None:
    f = lambda x: cr.scan(lambda c, v: ((c[0] + 1, c[1] * v * c[0]), c[0]), (1, x), np.array([2.0, 3.0]))[0][1]
    assert f(1.5) == 1.5 * 2 * 3 * 2
    assert cr.grad(f)(1.5) == 12.0


def test_python_numbers_take_the_dtype_of_the_body() -> None:
    x = np.arange(3, dtype=np.float32)
    last, _ = cr.scan(lambda c, v: (c + v, None), 0.0, x)
    assert (last.dtype, last) == (np.float32, 3)
    last, _ = cr.scan(lambda c, v: (c + v, None), 0, x)
    assert last.dtype == np.float32


def test_closed_over_constants_may_change_between_calls() -> None:
    scale = 2.0
    f = cr.grad(lambda x: cr.scan(lambda c, _: (c * scale, None), x, None, 3)[0])
    assert f(1.0) == 8.0
    scale = 5.0
    assert f(1.0) == 125.0
    a = np.array([1.0, 2.0])
    g = cr.grad(lambda x: cr.scan(lambda c, _: (c * a, None), x, None, 2)[0].sum())
    assert g(np.ones(2)).tolist() == [1.0, 4.0]
    a[:] = 3.0
    assert g(np.ones(2)).tolist() == [9.0, 9.0]


X = np.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: cr.scan(lambda c, x: ({"a": c["a"] + x * np.ones(2)}, x), {"a": 1.5}, X), errors.TreeError, r"'a'.*f64\[2\]"),
        (lambda: cr.scan(lambda c, x: (c * x, x), np.float32(1), np.ones(3)), errors.DtypeError, "f32.*f64"),
        (lambda: cr.scan(lambda c, x: (c, c, x), 1.0, np.ones(3)), errors.TreeError, "pair"),
        (lambda: cr.scan(lambda c, x: ((c, c), x), 1.0, np.ones(3)), errors.TreeError, "carry"),
        (lambda: cr.scan(lambda c, x: (c, c), 1.0, (np.ones(3), np.ones(4))), errors.ShapeError, "has 3.*has 4"),
        (lambda: cr.scan(lambda c, x: (c, c), 1.0, None), errors.TreeError, "length"),
        (lambda: cr.scan(lambda c, x: (c, c), 1.0, 2.0), errors.ShapeError, "axis"),
        (lambda: cr.cond(True, lambda x: x, lambda x: (x, x), 1.0), errors.TreeError, "branches"),
        (lambda: cr.cond(True, lambda x: x, lambda x: np.ones(2) * x, 1.0), errors.TreeError, r"f64\[2\]"),
        (lambda: cr.cond(np.ones(2) > 0, lambda: 1.0, lambda: 2.0), errors.ShapeError, "condition"),
        (lambda: cr.while_loop(lambda c: c < 3, lambda c: (c, c), 1.0), errors.TreeError, "while_loop"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_what_does_not_change_is_not_stacked_and_what_is_not_needed_is_not_computed() -> None:
    big = rng.normal(size=(64, 64))

    def f(w: Any, h: Any) -> Any:
        return cr.scan(lambda h, _: (np.tanh((w + w.T) @ h), np.exp(h)), h, None, 100)[0].sum()

    g = tidy(cr.trace(cr.grad(f))(big, np.ones(64)))
    scans = [e for e in g.eqns if e.prim == "scan"]
    assert len(scans) == 2
    stacked = [v.type.shape for e in scans for v in e.outs if v.type.shape[:1] == (100,)]
    assert stacked
    assert all(np.prod(s) <= 100 * 64 for s in stacked)
    assert not any(e.prim == "exp" for s in scans for e in s.params["body"].eqns)


def test_long_loops_are_quick() -> None:
    xs, h = rng.normal(size=(4096, 4)), np.zeros(4)
    f = cr.grad(lambda w: (cr.scan(lambda h, x: (np.tanh(w @ h + x), None), h, xs)[0] ** 2).sum())
    w = rng.normal(size=(4, 4)) * 0.3
    f(w)
    start = time.perf_counter()
    f(w)
    assert time.perf_counter() - start < 10  # about 0.2 s on an idle core
