"""The public derivatives: containers, argument numbers, modes, nesting in any order."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr


class Pair(NamedTuple):
    a: np.ndarray
    b: np.ndarray


def model(p: dict[str, object], x: np.ndarray) -> np.ndarray:
    h = np.tanh(x @ p["w"] + p["b"][0])
    return np.sum(h * p["b"][1]) ** 2


@pytest.fixture
def params(rng: np.random.Generator) -> dict[str, object]:
    return {"w": rng.normal(size=(3, 2)), "b": [rng.normal(size=2), rng.normal(size=2)]}


def oracle(p: dict[str, object], x: np.ndarray) -> object:
    return jnp.sum(jnp.tanh(x @ p["w"] + p["b"][0]) * p["b"][1]) ** 2


def same(a: object, b: object, rtol: float = 1e-10) -> None:
    xs, ys = jax.tree_util.tree_leaves(a), jax.tree_util.tree_leaves(b)
    assert len(xs) == len(ys)
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-12)


def test_gradients_have_the_shape_of_their_arguments(params: dict[str, object], rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 3))
    same(cr.grad(model)(params, x), jax.grad(oracle)(params, x))
    same(cr.grad(model, argnums=(0, 1))(params, x), jax.grad(oracle, argnums=(0, 1))(params, x))
    same(cr.grad(model, argnums=-1)(params, x), jax.grad(oracle, argnums=1)(params, x))


def test_named_tuples_and_tuples() -> None:
    g = cr.grad(lambda p: np.sum(p.a * p.b))(Pair(np.ones(2), np.full(2, 3.0)))
    assert isinstance(g, Pair)
    np.testing.assert_array_equal(g.a, [3, 3])


def test_aux_is_returned_as_arrays() -> None:
    (y, aux), g = cr.value_and_grad(lambda x: (np.sum(x**2), {"double": 2 * x, "n": 3}), has_aux=True)(np.ones(2))
    assert (y, aux["n"]) == (2.0, 3)
    np.testing.assert_array_equal(aux["double"], [2, 2])
    assert type(aux["double"]) is np.ndarray
    g, aux = cr.grad(lambda x: (np.sum(x**2), x), has_aux=True)(np.ones(2))
    np.testing.assert_array_equal(g, [2, 2])


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
def test_jacobian_blocks(mode: str, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 3)), rng.normal(size=3)

    def f(x, y, np=np):
        return {"s": np.sin(x) * y, "c": np.cos(x) @ y, "t": np.exp(x) * y}

    got = cr.jacobian(f, argnums=(0, 1), mode=mode)(x, y)
    want = jax.jacobian(lambda x, y: f(x, y, jnp), argnums=(0, 1))(x, y)
    for k in want:
        for a, b in zip(got[k], want[k], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_hessian_blocks(params: dict[str, object], rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 3))
    got, want = cr.hessian(model)(params, x), jax.hessian(oracle)(params, x)
    same(got["w"]["b"][1], want["w"]["b"][1])
    same(got, want, rtol=1e-8)


def test_hvp_is_the_hessian_times_a_vector(rng: np.random.Generator) -> None:
    x, v = rng.normal(size=4), rng.normal(size=4)

    def f(x):
        return np.sum(np.sin(x)) * np.prod(x)

    np.testing.assert_allclose(cr.hvp(f)(x, v), cr.hessian(f)(x) @ v, rtol=1e-10)


def test_linearize_and_vjp_agree(rng: np.random.Generator) -> None:
    x, y, u, v, w = rng.normal(size=(5, 3))

    def f(x, y):
        return np.sin(x) * y, np.sum(x * y)

    out, push = cr.linearize(f, x, y)
    out2, pull = cr.vjp(f, x, y)
    same(out, out2)
    du, ds = push(u, v)
    cx, cy = pull((w, np.float64(2.0)))
    np.testing.assert_allclose(w @ du + 2 * ds, cx @ u + cy @ v, rtol=1e-12)


ORDERS = [
    lambda f: cr.grad(cr.grad(cr.grad(f))),
    lambda f: cr.grad(lambda x: cr.jvp(cr.grad(f), (x,), (1.0,))[1]),
    lambda f: cr.jit(cr.grad(cr.jit(cr.grad(cr.grad(f))))),
    lambda f: cr.jacobian(cr.jacobian(cr.grad(f))),
    lambda f: lambda x: cr.vmap(cr.grad(cr.grad(cr.grad(f))))(np.array([x, x]))[0],
    lambda f: cr.grad(lambda x: cr.vmap(cr.grad(cr.grad(f)))(np.ones(2) * x)[1]),
    lambda f: cr.hessian(cr.grad(f)),
    lambda f: cr.grad(lambda x: cr.hvp(f)(x, 1.0)),
    lambda f: lambda x: cr.jvp(lambda x: cr.vjp(cr.grad(f), x)[1](1.0)[0], (x,), (1.0,))[1],
]


@pytest.mark.parametrize("third", ORDERS)
def test_third_derivative_in_any_order(third: object) -> None:
    got = third(lambda x: np.sin(x) * np.exp(2 * x))(0.4)
    want = np.exp(0.8) * (2 * np.sin(0.4) + 11 * np.cos(0.4))
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_perturbations_are_not_confused() -> None:
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(x))(3.0) == 6.0
    assert cr.grad(lambda x: x * cr.grad(lambda y: y * x)(2.0))(3.0) == 6.0
    assert cr.jvp(lambda x: cr.jvp(lambda y: x * y * y, (x,), (1.0,))[1], (3.0,), (1.0,))[1] == 12.0


def test_per_example_gradients(params: dict[str, object], rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 3))
    each = cr.vmap(cr.grad(model), in_axes=(None, 0))(params, x)
    for k in range(5):
        np.testing.assert_allclose(each["w"][k], cr.grad(model)(params, x[k])["w"], rtol=1e-10)


def test_vmap_axes(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(3, 5))
    got = cr.vmap(lambda a, b: a @ b, in_axes=(0, None))(x, y)
    np.testing.assert_allclose(got, x @ y)
    got = cr.vmap(lambda a, b: a * b, in_axes=(1, 0), out_axes=1)(x, y[:, :4])
    np.testing.assert_allclose(got, x * y[:, :4].T)
    got = cr.vmap(lambda p: p["a"] + p["b"], in_axes=({"a": 0, "b": None},))({"a": x, "b": 1.0})
    np.testing.assert_allclose(got, x + 1)


def test_jit_traces_once_per_kind_of_argument() -> None:
    count = 0

    def f(x, flag=True):
        nonlocal count
        count += 1
        return x * 2 if flag else x

    g = cr.jit(f)
    g(np.ones(3)), g(np.zeros(3)), g(np.ones(3), flag=True)
    assert count <= 2
    before = count
    g(np.ones(4)), g(np.ones(3, np.float32)), g(np.ones(3), flag=False)
    assert count == before + 3


def test_jit_static_arguments() -> None:
    g = cr.jit(lambda x, n: sum(x**k for k in range(n)), static_argnums=1)
    assert g(2.0, 4) == 15.0
    assert g(2.0, 5) == 31.0


def test_closed_over_arrays_are_copied_when_compiled() -> None:
    a = np.ones(2)
    g = cr.jit(lambda x: x * a)
    np.testing.assert_array_equal(g(np.ones(2)), [1, 1])
    a[:] = 7
    np.testing.assert_array_equal(g(np.ones(2)), [1, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_keep_the_dtype(dtype: type) -> None:
    x = np.ones(3, dtype)
    y, g = cr.value_and_grad(lambda x: np.mean(np.exp(x) * 2))(x)
    assert (y.dtype, g.dtype) == (dtype, dtype)
    assert cr.jacobian(lambda x: x * 2)(x).dtype == dtype
    assert cr.hessian(lambda x: np.sum(x**3))(x).dtype == dtype
