"""Checkpoints, stopped gradients and derivatives given by the user."""

from __future__ import annotations

import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import errors
from chainrule.transform.tidy import tidy

rng = np.random.default_rng(1)


def same(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


# --- checkpoint -------------------------------------------------------------------------------------------------------


def block(w: Any, x: Any) -> Any:
    return np.tanh(w @ x) + np.sin(x)


def test_checkpoint_changes_no_number() -> None:
    w, x = rng.normal(size=(3, 3)), rng.normal(size=3)
    plain = lambda w, x: (block(w, block(w, x)) ** 2).sum()
    c = cr.checkpoint(block)
    kept = lambda w, x: (c(w, c(w, x)) ** 2).sum()
    for d in (cr.grad, lambda f: cr.grad(f, 1), cr.hessian, lambda f: cr.hessian(f, 1), cr.jacobian):
        same(d(kept)(w, x), d(plain)(w, x))
    same(cr.jvp(kept, (w, x), (w, x))[1], cr.jvp(plain, (w, x), (w, x))[1])
    ws = np.stack([w, 2 * w])
    same(cr.vmap(cr.grad(kept), (0, None))(ws, x), cr.vmap(cr.grad(plain), (0, None))(ws, x))
    twice = lambda f: cr.grad(lambda x: cr.grad(lambda y: f(w, y) * x[0])(x).sum())
    same(twice(kept)(x), twice(plain)(x))


def test_checkpoint_keeps_arguments_only() -> None:
    g = tidy(cr.trace(cr.grad(lambda x: cr.checkpoint(lambda x: np.sin(np.cos(np.tanh(x))))(x).sum()))(np.ones(3)))
    used = [e.prim for e in g.eqns]
    assert "tanh" not in used
    assert used.count("checkpoint") == 1  # the value is not needed, the backward pass starts from x
    g = cr.trace(cr.grad(lambda x: (cr.checkpoint(np.sin)(x) ** 2).sum()))(np.ones(3))
    assert [e.prim for e in g.eqns].count("checkpoint") == 2


def peak(depth: int, group: int) -> int:
    """Peak memory of the gradient of a chain of `depth` layers in groups."""
    x = np.linspace(-1, 1, 20_000)

    def layers(x: Any) -> Any:
        for _ in range(group):
            x = np.sin(x) * 1.01
        return x

    def chain(x: Any) -> Any:
        for _ in range(depth // group):
            x = (cr.checkpoint(layers) if group > 1 else layers)(x)
        return x.sum()

    f = cr.grad(chain)
    f(x)  # programs are made now
    tracemalloc.start()
    try:
        f(x)
        return tracemalloc.get_traced_memory()[1] // x.nbytes
    finally:
        tracemalloc.stop()


def test_memory_of_a_checkpointed_chain_grows_like_the_square_root_of_its_depth() -> None:
    small, large = peak(16, 4), peak(256, 16)
    assert peak(256, 1) > 256
    assert large < 6 * small  # sqrt(256 / 16) = 4
    assert large < 100


def test_python_control_flow_works_inside_a_checkpoint() -> None:
    f = cr.checkpoint(lambda x: x * x if x > 0 else -x)
    assert cr.grad(f)(3.0) == 6.0
    assert cr.grad(f)(-3.0) == -1.0


# --- stop_gradient ----------------------------------------------------------------------------------------------------


def test_stop_gradient() -> None:
    assert cr.grad(lambda x: x * cr.stop_gradient(x))(3.0) == 3.0
    assert cr.vmap(cr.grad(lambda x: x * cr.stop_gradient(x * x)))(np.array([2.0, 3.0])).tolist() == [4.0, 9.0]
    assert cr.scan(lambda c, x: (c * cr.stop_gradient(x), c), 1.0, np.array([2.0, 3.0]))[0] == 6.0
    g = cr.grad(lambda v: cr.scan(lambda c, x: (c * x + cr.stop_gradient(c), None), 1.0, v)[0])(np.array([2.0, 3.0]))
    assert g.tolist() == [3.0, 3.0]  # c1 = v0 + 1, c2 = c1 v1 + stop(c1)
    assert cr.stop_gradient({"a": 1.0}) == {"a": 1.0}
    assert cr.grad(lambda x: float(cr.stop_gradient(x)) * x)(2.0) == 2.0


# --- custom_jvp -------------------------------------------------------------------------------------------------------


@cr.custom_jvp
def log1pexp(x: Any) -> Any:
    return np.log(1 + np.exp(x))


@log1pexp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return log1pexp(x), dx / (1 + np.exp(-x))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_custom_jvp_in_every_position() -> None:
    x, s = np.array([-1.0, 0.3, 2.0]), sigmoid(np.array([-1.0, 0.3, 2.0]))
    f = lambda x: log1pexp(x).sum()
    same(cr.grad(f)(x), s)
    same(cr.jvp(log1pexp, (x,), (2 * x,))[1], 2 * x * s)
    same(cr.hessian(f)(x), np.diag(s * (1 - s)))
    third = cr.grad(cr.grad(cr.grad(log1pexp)))(0.3)
    p = sigmoid(0.3)
    same(third, p * (1 - p) * (1 - 2 * p))
    same(cr.vmap(cr.grad(log1pexp))(x), s)
    same(cr.grad(lambda x: cr.vmap(log1pexp)(x).sum())(x), s)
    same(cr.grad(lambda y: cr.scan(lambda c, v: (c + log1pexp(v * y), None), 0.0, x)[0])(1.0), (x * s).sum())
    same(log1pexp(x), np.log(1 + np.exp(x)))
    with np.errstate(over="ignore"):
        assert cr.grad(log1pexp)(800.0) == 1.0  # the formula alone gives inf / inf


def test_the_rule_is_used_and_not_the_formula() -> None:
    f = cr.custom_jvp(lambda x: x * x)
    f.defjvp(lambda primals, tangents: (primals[0] ** 2, tangents[0] * 100))
    assert f(3.0) == 9.0
    assert cr.value_and_grad(f)(3.0) == (9.0, 100.0)
    assert cr.jvp(f, (3.0,), (1.0,)) == (9.0, 100.0)


def test_trees_static_arguments_and_closures() -> None:
    @partial(cr.custom_jvp, nondiff_argnums=(0,))
    def apply(g: Any, p: Any, x: Any) -> Any:
        return {"y": g(p["w"]) * x, "n": x + 0}

    @apply.defjvp
    def _(g: Any, primals: Any, tangents: Any) -> Any:
        (p, x), (dp, dx) = primals, tangents
        return apply(g, p, x), {"y": dp["w"] * x + g(p["w"]) * dx, "n": 3 * dx}

    f = lambda w, x: (lambda r: r["y"] + r["n"])(apply(np.sin, {"w": w}, x))
    assert cr.grad(f, (0, 1))(0.5, 2.0) == (2.0, np.sin(0.5) + 3)
    scale = 2.0
    h = cr.custom_jvp(lambda x: x * scale)
    h.defjvp(lambda primals, tangents: (primals[0] * scale, tangents[0] * scale))
    assert cr.grad(h)(1.0) == 2.0
    scale = 3.0
    assert cr.grad(h)(1.0) == 3.0

    def outside(a: Any) -> Any:
        k = cr.custom_jvp(lambda x: a * x)
        k.defjvp(lambda primals, tangents: (a * primals[0], a * tangents[0]))
        return k(2.0 * a)

    with pytest.raises(errors.NotDifferentiableError, match="outside"):
        cr.grad(outside)(3.0)
    assert cr.grad(lambda a: outside(cr.stop_gradient(a)) + a)(3.0) == 1.0

    def inner(a: Any) -> Any:  # a constant of the inner derivative, so it may be read
        k = cr.custom_jvp(lambda x: a * x)
        k.defjvp(lambda primals, tangents: (a * primals[0], a * tangents[0]))
        return cr.grad(k)(2.0)

    assert cr.vmap(inner)(np.array([3.0, 4.0])).tolist() == [3.0, 4.0]


def test_integer_arguments_have_no_tangent() -> None:
    f = cr.custom_jvp(lambda x, n: x * n)
    f.defjvp(lambda primals, tangents: (primals[0] * primals[1], tangents[0] * primals[1]))
    assert cr.vmap(lambda n: cr.grad(f)(2.0, n))(np.array([3, 5])).tolist() == [3.0, 5.0]


@pytest.mark.parametrize(
    ("rule", "error", "text"),
    [
        (lambda p, t: p[0], errors.TreeError, "pair"),
        (lambda p, t: (p[0], (t[0], t[0])), errors.TreeError, "dy"),
        (lambda p, t: (p[0], t[0].sum()), errors.ShapeError, r"dy.*f64\[\].*f64\[3\]"),
        (lambda p, t: (p[0], np.astype(t[0], np.float32) if hasattr(np, "astype") else t[0]), errors.DtypeError, "f32"),
        (lambda p, t: (p[0] * 2 + t[0], t[0]), errors.NotDifferentiableError, "depends on the tangents"),
        (lambda p, t: (p[0], t[0] * t[0]), errors.NotDifferentiableError, "linear"),
    ],
)  # fmt: skip
def test_mistakes_in_forward_rules_are_named(rule: Any, error: Any, text: str) -> None:
    f = cr.custom_jvp(lambda x: x * 1)
    f.defjvp(rule)
    with pytest.raises(error, match=text):
        cr.jvp(f, (np.ones(3),), (np.ones(3),))


def test_a_rule_must_be_given() -> None:
    for f in (cr.custom_jvp(np.sin), cr.custom_vjp(np.sin)):
        assert f(0.0) == 0.0
        with pytest.raises(errors.NotDifferentiableError, match="without a rule"):
            cr.grad(f)(1.0)


# --- custom_vjp -------------------------------------------------------------------------------------------------------


def clipped(limit: float) -> Any:
    f = cr.custom_vjp(lambda x: x * 1)
    f.defvjp(lambda x: (x * 1, None), lambda kept, ct: (np.clip(ct, -limit, limit),))
    return f


def test_custom_vjp_may_change_the_gradient() -> None:
    f = clipped(1.0)
    assert cr.grad(lambda x: 5 * f(x))(2.0) == 1.0
    assert cr.grad(lambda x: 0.5 * f(x))(2.0) == 0.5
    assert cr.vmap(cr.grad(lambda x: f(x) ** 2))(np.array([0.1, 3.0])).tolist() == [0.2, 1.0]
    with pytest.raises(errors.NotDifferentiableError, match="linear in the cotangent"):
        cr.jvp(f, (2.0,), (1.0,))


@cr.custom_vjp
def product(p: Any, x: Any) -> Any:
    return np.sin(p["w"]) * x


def _forward(p: Any, x: Any) -> Any:
    return product(p, x), (p, {"x": x})


def _backward(kept: Any, ct: Any) -> Any:
    p, more = kept
    return {"w": ct * np.cos(p["w"]) * more["x"]}, ct * np.sin(p["w"])


product.defvjp(_forward, _backward)


def test_custom_vjp_in_every_position() -> None:
    plain = lambda w, x: np.sin(w) * x
    ours = lambda w, x: product({"w": w}, x)
    w, x = 0.7, 1.3
    for d in (
        cr.grad,
        lambda f: cr.grad(f, 1),
        lambda f: cr.grad(cr.grad(f)),
        lambda f: cr.grad(cr.grad(cr.grad(f), 1)),
        cr.hessian,
    ):
        same(d(ours)(w, x), d(plain)(w, x))
    same(cr.jvp(ours, (w, x), (0.3, 2.0)), cr.jvp(plain, (w, x), (0.3, 2.0)))  # by transposing the backward rule
    same(cr.jvp(lambda w: cr.jvp(lambda v: ours(v, x), (w,), (1.0,))[1], (w,), (1.0,))[1], -np.sin(w) * x)
    ws = np.array([0.1, 0.2, 0.3])
    same(cr.vmap(cr.grad(ours), (0, None))(ws, x), x * np.cos(ws))
    same(cr.grad(lambda x: cr.vmap(lambda w: ours(w, x))(ws).sum())(x), np.sin(ws).sum())
    same(cr.grad(lambda x: cr.scan(lambda c, w: (ours(w, c), None), x, ws)[0])(x), np.prod(np.sin(ws)))


def test_none_is_a_zero_cotangent_and_static_arguments_come_first() -> None:
    f = cr.custom_vjp(lambda n, x, y: x * n + y, nondiff_argnums=(0,))
    f.defvjp(lambda n, x, y: (x * n + y, ()), lambda n, kept, ct: (ct * n * 10, None))
    assert cr.grad(lambda x, y: f(3, x, y), (0, 1))(1.0, 2.0) == (30.0, 0.0)


@pytest.mark.parametrize(
    ("backward", "error", "text"),
    [
        (lambda kept, ct: ct, errors.TreeError, "tuple"),
        (lambda kept, ct: (ct, ct), errors.TreeError, "1 argument"),
        (lambda kept, ct: (ct.sum(),), errors.ShapeError, r"argument 0.*f64\[\].*f64\[3\]"),
        (lambda kept, ct: ([ct],), errors.TreeError, "argument 0"),
    ],
)
def test_mistakes_in_backward_rules_are_named(backward: Any, error: Any, text: str) -> None:
    f = cr.custom_vjp(lambda x: x * 1)
    f.defvjp(lambda x: (x * 1, None), backward)
    with pytest.raises(error, match=text):
        cr.grad(lambda x: f(x).sum())(np.ones(3))


def test_methods_keywords_and_their_errors() -> None:
    class Model:
        scale = 3.0

        @partial(cr.custom_jvp, nondiff_argnums=(0,))
        def apply(self, x: Any, power: Any = 2.0) -> Any:
            return self.scale * x**power

        @apply.defjvp
        def _rule(self, primals: Any, tangents: Any) -> Any:
            (x, power), (dx, dpower) = primals, tangents
            return self.apply(x, power), self.scale * power * x ** (power - 1) * dx + 0 * dpower

    assert cr.grad(lambda x: Model().apply(x))(2.0) == 12.0
    assert cr.grad(lambda x: Model().apply(x, power=3.0))(2.0) == 36.0
    f = cr.custom_jvp(lambda x, *, n: x * n)
    f.defjvp(lambda primals, tangents: (primals[0], tangents[0]))
    with pytest.raises(TypeError, match="keyword-only"):
        cr.grad(lambda x: f(x, n=2))(1.0)


def test_rules_that_call_their_function_read_constants_anew() -> None:
    a = np.array([2.0])

    f = cr.custom_jvp(lambda x: np.exp(a * x))
    f.defjvp(lambda primals, tangents: (f(*primals), a * f(*primals) * tangents[0]))
    g = cr.custom_vjp(lambda x: np.exp(a * x))
    g.defvjp(lambda x: (g(x), x), lambda x, ct: ((a * g(x) * ct).sum(),))
    for h in (f, g):
        second = cr.grad(cr.grad(lambda x, h=h: h(x)[0]))
        third = cr.grad(cr.grad(cr.grad(lambda x, h=h: h(x)[0])))
        a = np.array([2.0])
        same((second(0.0), third(0.0)), (4.0, 8.0))
        a = np.array([3.0])
        same((second(0.0), third(0.0)), (9.0, 27.0))
        a[:] = 5.0
        same((second(0.0), third(0.0)), (25.0, 125.0))
