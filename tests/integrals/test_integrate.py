"""Integrals against closed forms by SymPy, and against SciPy; derivatives of every kind against the derivatives of those forms."""

from typing import Any

import numpy as np
import pytest
import sympy as sp
from scipy import integrate as scipy_integrate
from scipy import special

import chainrule as cr
from chainrule.integrals import IntegrationError, integrate
from chainrule.integrals.rules import gauss_kronrod

X, C, A, B = sp.symbols("x c a b", positive=True)
FORMS = {
    "exponential": (lambda x, c: np.exp(-c * x), sp.exp(-C * X), (1.3, 0.2, 1.7)),
    "sine": (lambda x, c: np.sin(c * x), sp.sin(C * X), (2.1, 0.3, 4.0)),
    "power": (lambda x, c: x**c, X**C, (0.7, 0.5, 2.0)),
    "rational": (lambda x, c: 1 / (c + x), 1 / (C + X), (0.4, 0.1, 3.0)),
    "quadratic": (lambda x, c: c * x * x + x, C * X**2 + X, (0.4, 2.0, -1.0)),
}


@pytest.mark.parametrize("name", FORMS)
def test_value_gradient_and_hessian_are_those_of_the_closed_form(name: str) -> None:
    f, form, point = FORMS[name]
    whole = sp.integrate(form, (X, A, B))
    args = dict(zip((C, A, B), map(sp.Float, point), strict=True))
    exact = [float(whole.subs(args)), [float(whole.diff(s).subs(args)) for s in (C, A, B)]]

    def ours(c: Any, a: Any, b: Any) -> Any:
        return integrate(lambda x: f(x, c), a, b)

    np.testing.assert_allclose(ours(*point), exact[0], rtol=1e-12)
    np.testing.assert_allclose(cr.grad(ours, (0, 1, 2))(*point), exact[1], rtol=1e-10)
    forward = [cr.jvp(ours, point, tuple(e))[1] for e in np.eye(3)]
    np.testing.assert_allclose(forward, exact[1], rtol=1e-10)
    second = [[float(whole.diff(s, t).subs(args)) for t in (C, A, B)] for s in (C, A, B)]
    np.testing.assert_allclose(np.array(cr.hessian(ours, (0, 1, 2))(*point)), second, rtol=1e-9, atol=1e-12)


def test_third_derivative_by_a_bound() -> None:
    f = cr.grad(cr.grad(cr.grad(lambda b: integrate(lambda x: np.exp(2 * x), 0.0, b))))
    np.testing.assert_allclose(f(0.5), 4 * np.exp(1.0), rtol=1e-12)


def test_leibniz_with_the_parameter_in_both_places() -> None:
    f = lambda t: integrate(lambda x: np.sin(t * x), t, t**2)
    exact = sp.integrate(sp.sin(C * X), (X, C, C**2)).diff(C)
    np.testing.assert_allclose(cr.grad(f)(1.4), float(exact.subs(C, 1.4)), rtol=1e-11)


def test_a_jump_at_a_bound_is_seen_by_the_bound() -> None:
    f = lambda b: integrate(lambda x: np.where(x < 0.5, 1.0, 3.0), 0.0, b, points=[0.5])
    np.testing.assert_allclose(f(0.9), 1.7, rtol=1e-12)
    np.testing.assert_allclose(cr.grad(f)(0.9), 3.0, rtol=1e-12)


RANGES = {
    "line": (lambda x: np.exp(-x * x), -np.inf, np.inf, np.sqrt(np.pi)),
    "backwards": (lambda x: np.exp(-x * x), np.inf, -np.inf, -np.sqrt(np.pi)),
    "half": (lambda x: 1 / x**2, 2.0, np.inf, 0.5),
    "slow tail": (lambda x: x**-1.5, 1.0, np.inf, 2.0),
    "left half": (lambda x: np.exp(3 * x), -np.inf, 0.5, np.exp(1.5) / 3),
    "root at the left": (lambda x: 1 / np.sqrt(x), 0.0, 1.0, 2.0),
    "root at the right": (lambda x: 1 / np.sqrt(1 - x), 0.0, 1.0, 2.0),
    "logarithm": (lambda x: np.log(x), 0.0, 1.0, -1.0),
    "bend": (lambda x: np.abs(x - 0.3), 0.0, 1.0, 0.29),
    "jump": (lambda x: np.where(x > 0.3, 1.0, 0.0), 0.0, 1.0, 0.7),
    "constant": (lambda x: 2.0, 0.0, 3.0, 6.0),
    "empty": (lambda x: np.exp(x), 1.0, 1.0, 0.0),
    "odd": (lambda x: np.sin(x), -2.0, 2.0, 0.0),
    "waves": (lambda x: np.cos(200 * x), 0.0, 1.0, np.sin(200) / 200),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges_and_singular_ends(name: str) -> None:
    f, a, b, want = RANGES[name]
    value, error = integrate(f, a, b, full_output=True)
    assert abs(value - want) <= 1e-10 * max(abs(want), 1)
    assert abs(value - want) <= error + 1e-15
    assert error < 2e-10 * max(abs(want), 1)


def test_gauss_and_kronrods_degrees() -> None:
    rule = gauss_kronrod()
    for degree in range(33):
        exact = 1 / (degree + 1)
        assert abs(rule.weights @ rule.nodes[:, 0] ** degree - exact) < (1e-15 if degree < 32 else 1) * 10
        if degree < 20:
            assert abs(rule.coarse[0] @ rule.nodes[:, 0] ** degree - exact) < 1e-14
    plane = gauss_kronrod(2)
    assert abs(plane.weights @ (plane.nodes[:, 0] ** 9 * plane.nodes[:, 1] ** 20) - 1 / 210) < 1e-15


def test_containers_and_arrays() -> None:
    value, error = integrate(lambda x: {"p": np.stack([x, x**2]), "s": np.sin(x)}, 0.0, 1.0, full_output=True)
    np.testing.assert_allclose(value["p"], [1 / 2, 1 / 3], rtol=1e-13)
    np.testing.assert_allclose(value["s"], 1 - np.cos(1), rtol=1e-13)
    assert error["p"].shape == (2,)
    g = cr.jacobian(lambda c: integrate(lambda x: np.stack([np.exp(c * x), x]), 0.0, 1.0))(1.0)
    np.testing.assert_allclose(g, [1.0, 0.0], rtol=1e-12)


def test_a_parameter_that_is_a_tree_of_arrays() -> None:
    w = {"k": np.array([1.0, 2.0]), "c": 0.5}
    g = cr.grad(lambda w: integrate(lambda x: np.sum(w["k"] * x) + w["c"] * x**2, 0.0, 2.0))(w)
    np.testing.assert_allclose(g["k"], [2.0, 2.0], rtol=1e-12)
    np.testing.assert_allclose(g["c"], 8 / 3, rtol=1e-12)


def test_two_dimensions_with_moving_bounds() -> None:
    def f(c: Any, a: Any, b: Any) -> Any:
        return integrate(lambda x: np.exp(c * x[0]) * x[1] ** 2, a, b)

    c, a1, a2, b1, b2 = sp.symbols("c a1 a2 b1 b2")
    whole = (sp.exp(c * b1) - sp.exp(c * a1)) / c * (b2**3 - a2**3) / 3
    point = {c: 0.7, a1: 0.1, a2: 0.2, b1: 1.0, b2: 1.5}
    args = (0.7, np.array([0.1, 0.2]), np.array([1.0, 1.5]))
    np.testing.assert_allclose(f(*args), float(whole.subs(point)), rtol=1e-9)
    ours = cr.grad(f, (0, 1, 2))(*args)
    np.testing.assert_allclose(np.hstack(ours), [float(whole.diff(s).subs(point)) for s in (c, a1, a2, b1, b2)], rtol=1e-9)
    second = cr.hessian(lambda b: f(0.7, args[1], b))(args[2])
    np.testing.assert_allclose(second, [[float(whole.diff(s, t).subs(point)) for t in (b1, b2)] for s in (b1, b2)], rtol=1e-8)


def test_a_disc_is_not_taken_for_smooth() -> None:
    value, error = integrate(lambda x: np.where(np.sum(x**2) < 1, 1.0, 0.0), [-1, -1], [1, 1], rtol=1e-3, full_output=True)
    assert abs(value - np.pi) <= error < 4e-3


def test_three_dimensions_and_an_infinite_plane() -> None:
    value, error = integrate(lambda x: np.cos(np.sum(x**2)), [0, 0, 0], [1, 1, 1], full_output=True)
    cos, sin = special.fresnel(np.sqrt(2 / np.pi))[::-1]
    z = (np.sqrt(np.pi / 2) * (cos + 1j * sin)) ** 3
    assert abs(value - z.real) <= error < 1e-3
    value, error = integrate(lambda x: np.exp(-np.sum(x**2)), [-np.inf] * 2, [np.inf] * 2, full_output=True)
    assert abs(value - np.pi) <= error < 1e-6


def test_many_dimensions_by_shifted_points() -> None:
    f = lambda c, **how: integrate(lambda x: np.exp(-c * np.sum(x)), np.zeros(6), np.ones(6), **how)
    exact = (1 - np.exp(-1.0)) ** 6
    value, error = f(1.0, full_output=True)
    assert abs(value - exact) <= 2 * error < 1e-3
    assert f(1.0) == value
    assert f(1.0, key=cr.random.key(5)) != value
    coarse = f(1.0, samples=512, full_output=True).error
    assert error < coarse / 4  # plain sampling would gain sqrt(32) = 5.7 less often than this
    slope = 6 * (1 - np.exp(-1.0)) ** 5 * (2 * np.exp(-1.0) - 1)
    np.testing.assert_allclose(cr.grad(f)(1.0), slope, rtol=2e-3)


def test_intervals_of_shifted_points_cover_the_truth() -> None:
    exact = np.sqrt(np.pi / 2) ** 4 * special.erf(np.sqrt(0.5)) ** 4
    hits = 0
    for k in range(60):
        key = cr.random.key(k)
        f = lambda x: np.exp(-0.5 * np.sum(x**2))
        value, error = integrate(f, np.zeros(4), np.ones(4), samples=256, key=key, full_output=True)
        hits += abs(value - exact) <= error
    assert 51 <= hits <= 60  # 95 % of 60 is 57, with a deviation of 1.7


def test_compiled_and_mapped_with_fixed_panels() -> None:
    f = lambda b: integrate(lambda x: np.exp(b * x), 0.0, b, panels=3)
    exact = lambda b: (np.exp(b * b) - 1) / b
    np.testing.assert_allclose(cr.jit(f)(1.2), exact(1.2), rtol=1e-12)
    b = np.array([0.5, 1.2])
    np.testing.assert_allclose(cr.vmap(f)(b), exact(b), rtol=1e-12)
    np.testing.assert_allclose(cr.vmap(cr.grad(f))(b), 2 * np.exp(b * b) - (np.exp(b * b) - 1) / b**2, rtol=1e-11)
    np.testing.assert_allclose(cr.jit(lambda y: y * integrate(np.exp, 0.0, 1.0))(2.0), 2 * (np.e - 1), rtol=1e-12)


def test_agrees_with_scipy_on_a_network() -> None:
    w = cr.random.normal(cr.random.key(0), (2, 8))
    f = lambda x: np.sum(w[1] * np.tanh(w[0] * x))
    np.testing.assert_allclose(integrate(f, -1.0, 2.0), scipy_integrate.quad(f, -1, 2)[0], rtol=1e-10)


def test_the_derivative_has_only_the_nodes_that_were_kept() -> None:
    graph = cr.trace(lambda b: integrate(lambda x: np.exp(-x * x), 0.0, b, panels=2))(1.0)
    assert len(graph.eqns) < 60


@pytest.mark.parametrize("d", [2, 3])
def test_parts_that_cancel_are_no_lack_of_accuracy(d: int) -> None:
    standard = cr.distributions.normal(np.zeros(d), 1.0)
    found = cr.expectation(np.sum, standard, method="exact", full_output=True)
    assert abs(found.value) < 1e-9
    assert found.error < (1e-8, 1e-2)[d - 2]


def test_both_parts_of_a_complex_integrand_count() -> None:
    f = lambda x: np.exp(40j * x) / np.sqrt(x)  # the real part alone would be content with fewer points
    real, imaginary = (integrate(lambda x, p=p: p(40 * x) / np.sqrt(x), 0.0, 1.0) for p in (np.cos, np.sin))
    found = integrate(lambda x: {"f": f(x), "g": np.stack([x, x * x])}, 0.0, 1.0, full_output=True)
    np.testing.assert_allclose(found.value["f"], real + 1j * imaginary, rtol=1e-9)
    np.testing.assert_allclose(found.value["g"], [1 / 2, 1 / 3])
    assert np.shape(found.error["f"]) == ()
    assert np.shape(found.error["g"]) == (2,)
    assert 0 < found.error["f"] < 1e-9


def test_an_infinite_end_without_decay_is_said_and_nothing_is_warned() -> None:
    with pytest.raises(IntegrationError, match="does not vanish fast enough"):
        integrate(np.ones_like, 0.0, np.inf)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: integrate(lambda x: 1 / x, 0.0, 1.0), IntegrationError, "not finite|the error is about"),
    (lambda: integrate(lambda x: 1 / x, 1.0, np.inf), IntegrationError, "not finite|the error is about"),
    (lambda: integrate(lambda x: 1 / np.abs(x - 0.5), 0.0, 1.0), IntegrationError, "not finite|the error is about"),
    (lambda: integrate(lambda x: x / 0.0 * 0.0, 0.0, 1.0), IntegrationError, "f is not finite at x = "),
    (lambda: integrate(lambda x: np.cos(1e6 * x), 0.0, 1.0, max_evaluations=1000), IntegrationError, "After"),
    (lambda: integrate(np.exp, np.nan, 1.0), ValueError, "NaN"),
    (lambda: integrate(np.exp, 0.0, 1.0, method="simpson"), ValueError, "simpson"),
    (lambda: integrate(np.exp, 0.0, 1.0, panels=0), ValueError, "at least 1"),
    (lambda: integrate(np.sum, [0, 0], [1, 1], panels=3), ValueError, "one dimension"),
    (lambda: integrate(np.sum, np.zeros(4), np.ones(4), method="adaptive"), ValueError, "quasi"),
    (lambda: integrate(np.sum, np.zeros((2, 2)), 1.0), cr.errors.ShapeError, "shape"),
    (lambda: cr.jit(lambda b: integrate(np.exp, 0.0, b))(1.0), cr.errors.ValueNeededError, "panels"),
    (lambda: cr.jit(lambda c: integrate(lambda x: c * x, 0.0, 1.0))(1.0), cr.errors.ValueNeededError, "panels"),
])  # fmt: skip
def test_what_cannot_be_done_is_said(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        call()
