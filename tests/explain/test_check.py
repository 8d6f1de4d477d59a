"""The contract of `check`: verdicts, preflight, kinks, untraceable functions, formulas, the printed form."""

import json
import math

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
w, X, y = RNG.normal(size=3), RNG.normal(size=(5, 3)), RNG.normal(size=5)


def loss(w, X, y):
    return np.mean((X @ w - y) ** 2)


def right(w, X, y):
    return 2 * X.T @ (X @ w - y) / len(y)


def test_right_wrong_and_their_attributes() -> None:
    good, bad = cr.check(loss, right, w, X, y), cr.check(loss, lambda *a: -right(*a), w, X, y)
    assert (good.verdict, good.ok, bool(good), good.diagnoses) == ("right", True, True, ())
    assert (bad.verdict, bad.ok, bool(bad)) == ("wrong", False, False)
    assert good.max_error < 1e-14
    assert bad.max_error > 1
    d = bad.diagnoses[0]
    assert (d.kind, d.correction, d.parts) == ("sign", "-dw", ())
    assert "\\frac{\\partial L}{\\partial w}" in d.latex
    assert str(good).startswith("Right.")
    assert str(bad).startswith("Wrong.\n  The gradient for w has the wrong sign.")
    assert json.loads(bad.to_json())["diagnoses"][0]["kind"] == "sign"
    assert "<li>" in bad._repr_html_()


def test_arrays_and_formulas() -> None:
    g = right(w, X, y)
    assert cr.check(loss, g, w, X, y).ok is True
    assert cr.check(loss, 5 * g, w, X, y).diagnoses[0].kind == "scale"
    assert cr.check(loss, "2 * X' @ (X @ w - y) / n", w, X, y).ok is True
    c = cr.check(loss, "X' @ (X @ w - y) / n", w, X, y)
    assert (c.ok, c.diagnoses[0].correction) == (False, "2 * dw")
    with pytest.raises(cr.errors.TreeError, match="speaks of z"):
        cr.check(loss, "X' @ z", w, X, y)


def test_several_arguments_and_containers() -> None:
    def net(params, x):
        return np.sum(np.tanh(params["W"] @ x + params["b"]) ** 2)

    p, x = {"W": RNG.normal(size=(4, 3)), "b": RNG.normal(size=4)}, RNG.normal(size=3)
    assert cr.check(net, cr.grad(net), p, x).ok is True
    c = cr.check(net, lambda p, x: {**cr.grad(net)(p, x), "b": -cr.grad(net)(p, x)["b"]}, p, x)
    assert (c.diagnoses[0].kind, c.diagnoses[0].argument) == ("sign", "b")
    both = cr.grad(net, (0, 1))
    assert cr.check(net, both, p, x, argnums=(0, 1)).ok is True
    assert cr.check(net, lambda p, x: both(p, x)[0], p, x, argnums=(0, 1)).diagnoses[0].kind == "shape"
    with pytest.raises(cr.errors.TreeError, match="no argument 3"):
        cr.check(loss, right, w, X, y, argnums=3)
    with pytest.raises(cr.errors.IntegerArgumentError):
        cr.check(lambda n: n * 1.0, lambda n: 1.0, 3)


@pytest.mark.parametrize(
    ("claimed", "word"),
    [
        (lambda w, X, y: np.full(3, np.nan), "NaN"),
        (lambda w, X, y: right(w, X, y) + 1e-3 * np.random.default_rng().normal(size=3), "random"),
        (lambda w, X, y: 1 / 0, "ZeroDivisionError"),
        (lambda w, X, y: None, "no array"),
    ],
)
def test_preflight_of_the_claimed_gradient(claimed, word: str) -> None:
    c = cr.check(loss, claimed, w, X, y)
    assert c.ok is False
    assert c.diagnoses[0].kind in ("preflight", "shape")
    assert word in c.diagnoses[0].message


def test_mutation_is_wrong() -> None:
    def mutating(w, X, y):
        g = right(w, X, y)
        X *= 2
        return g

    c = cr.check(loss, mutating, w, X, y)
    assert c.diagnoses[0].kind == "preflight"
    assert "X" in c.diagnoses[0].message
    assert np.array_equal(X, np.random.default_rng(0).normal(size=18)[3:].reshape(5, 3))  # the caller's own array is untouched


@pytest.mark.parametrize(
    ("f", "word"),
    [
        (lambda x: np.sum(x) + np.random.default_rng().normal(), "random"),
        (lambda x: np.sum(np.log(x)), "domain"),
        (lambda x: np.sum(np.sqrt(np.abs(x) * 0)), "not finite"),
    ],
)
def test_cannot_tell(f, word: str) -> None:
    c = cr.check(f, lambda x: np.ones_like(x), np.array([-1.0, 2.0]))
    assert (c.verdict, c.ok) == ("cannot_tell", None)
    assert word in c.reason or "finite" in c.reason
    assert str(c).startswith("Cannot tell: ")


def test_a_function_that_changes_its_input_cannot_be_judged() -> None:
    def f(x):
        x += 1
        return np.sum(x)

    x = np.zeros(3)
    assert "in place" in cr.check(f, lambda x: np.ones(3), x).reason
    assert not x.any()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: float(np.sum(x)) ** 2 + np.sum(x * x),
        lambda x: sum(math.exp(v) for v in x),
        lambda x: np.sum(x).item() * np.sum(x),
    ],
)
def test_functions_that_leave_the_graph_are_judged_by_witnesses(f) -> None:
    x = np.array([0.5, -1.0, 2.0])
    true = [2 * np.sum(x) + 2 * x, np.exp(x), 2 * np.sum(x) * np.ones(3)]
    k = int(np.argmin([abs(f(x + 1e-6) - f(x) - 1e-6 * t.sum()) for t in true]))
    good, bad = cr.check(f, true[k], x), cr.check(f, -true[k], x)
    assert good.ok is True, good
    assert bad.ok is False
    assert bad.diagnoses[0].kind == "sign"
    assert "difference quotients" in " ".join(good.notes)


def test_kinks() -> None:
    def relu(x):
        return np.sum(np.maximum(x, 0))

    x = np.array([0.0, 1.0, -1.0])
    for t in (0.0, 0.3, 1.0):
        assert cr.check(relu, lambda x, t=t: np.where(x == 0, t, x > 0), x).ok is True
    c = cr.check(relu, lambda x: np.where(x == 0, 2.0, x > 0), x)
    assert c.diagnoses[0].kind == "kink"
    assert "from 0 to 1" in c.diagnoses[0].message
    identity = lambda x: np.maximum(x, 0) - np.maximum(-x, 0)
    assert cr.check(identity, lambda x: 1.0, 0.0).ok is True
    assert cr.check(identity, lambda x: np.where(x == 0, 0.0, 1.0), 0.0).ok is False


def test_single_precision_and_a_small_term() -> None:
    def ridge(w, X, y):
        return np.mean((X @ w - y) ** 2) + 1e-6 * np.sum(w * w)

    args = [a.astype(np.float32) for a in (w, X, y)]
    full = lambda w, X, y: right(w, X, y) + 2e-6 * w
    assert cr.check(ridge, full, *args).ok is True
    c = cr.check(ridge, right, *args)
    assert c.diagnoses[0].kind == "term"
    assert "np.sum(w * w)" in c.diagnoses[0].message
    assert cr.check(ridge, full(*args), *args).ok is not False  # an array in single precision


def test_jacobians() -> None:
    A = RNG.normal(size=(4, 3))
    f = lambda x: np.tanh(A @ x)
    J = lambda x: (1 - np.tanh(A @ x) ** 2)[:, None] * A
    assert cr.check(f, J, w).ok is True
    assert cr.check(f, lambda x: J(x).T, w).diagnoses[0].kind == "layout"
    assert cr.check(f, lambda x: 2 * J(x), w).diagnoses[0].kind == "scale"
    assert cr.check(lambda x: x**2, lambda x: 2 * x, w).diagnoses[0].kind == "jacobian"


def test_the_mistake_need_not_show_at_the_point_given() -> None:
    def f(w, lam):
        return np.sum(np.sin(w)) + lam * np.sum(w**2)

    c = cr.check(f, lambda w, lam: np.cos(w), np.zeros(3), 0.1)
    assert c.ok is False
    assert c.diagnoses[0].kind == "term"
    assert c.diagnoses[0].correction == "dw + lam * (2 * w)"


def test_assert_gradient() -> None:
    cr.testing.assert_gradient(loss, right, w, X, y)
    with pytest.raises(AssertionError, match="wrong sign"):
        cr.testing.assert_gradient(loss, lambda *a: -right(*a), w, X, y)
    noisy = lambda x: np.sum(x) + np.random.default_rng().normal()
    with pytest.raises(AssertionError, match="random"):
        cr.testing.assert_gradient(noisy, np.ones(2), np.ones(2))
    cr.testing.assert_gradient(noisy, np.ones(2), np.ones(2), allow_undecided=True)


def test_formulas_in_latex() -> None:
    assert cr.check(loss, r"\frac{2}{n} X^\top (X w - y)", w, X, y).ok is True
    assert cr.check(loss, r"\frac{1}{n} X^\top (X w - y)", w, X, y).diagnoses[0].correction == "2 * dw"


def test_a_gradient_for_one_size_only_is_right_at_that_size() -> None:
    assert cr.check(np.sum, lambda x: np.ones(3), w).ok is True
    c = cr.check(np.sum, lambda x: 2 * np.ones(3), w)
    assert (c.ok, c.diagnoses[0].kind) == (False, "scale")


def test_a_gradient_that_leaves_the_interpreter_is_wrong() -> None:
    def leaves(*args):
        raise SystemExit(0)

    c = cr.check(loss, leaves, w, X, y)
    assert (c.ok, c.diagnoses[0].kind) == (False, "preflight")
    assert "SystemExit" in c.diagnoses[0].message


def test_the_error_at_a_kink_is_the_distance_to_the_subdifferential() -> None:
    c = cr.check(lambda x: np.maximum(x, 0), lambda x: 0.0 if x <= 0 else 1.0, 0.0)
    assert (c.ok, c.max_error) == (True, 0.0)


def test_corrections_have_plain_numbers() -> None:
    c = cr.check(lambda w, X, y: loss(w, X, y) + 1e-6 * w @ w, right, w, X, y)
    assert c.ok is False
    assert "float64" not in c.diagnoses[0].correction
    space = {"dw": right(w, X, y), "w": w}
    np.testing.assert_allclose(eval(c.diagnoses[0].correction, space), right(w, X, y) + 2e-6 * w, rtol=1e-12)


def test_complex_numbers_are_no_gradient() -> None:
    c = cr.check(loss, lambda *a: right(*a) * (1 + 0j), w, X, y)
    assert (c.ok, c.diagnoses[0].kind) == (False, "shape")
    assert "complex" in c.diagnoses[0].message
