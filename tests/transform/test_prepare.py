"""What is done before differentiating: stable forms and guarded branches; each rewrite is an identity and does its work."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special as sp

import chainrule as cr
from chainrule.build.builder import Builder
from chainrule.emit.numpy import Program
from chainrule.ir.graph import structure
from chainrule.ir.types import F64, ArrayType
from chainrule.transform import simplify as simplifying
from chainrule.transform import stable as stabilising
from chainrule.transform.guard import guard
from chainrule.transform.prepare import prepare
from chainrule.transform.rules import Node, Rule, rewrite
from chainrule.transform.tidy import live

V = ArrayType(F64, (5,))


def names(p: object) -> set[str]:
    """Names that a formula binds."""
    if isinstance(p, Node):
        return set().union(*map(names, p.operands)) if p.operands else set()
    return {p} if isinstance(p, str) else set()


def graph_of(r: Rule) -> object:
    """The left side of a rule as a graph of its names."""
    from chainrule.transform.rules import _written

    free = sorted(names(r.left))
    with Builder().here() as b:
        xs = {n: b.input(ArrayType(np.dtype(bool), (5,)) if n == "c" else V) for n in free}
        like = b.input(V).atom
        y = _written(b, r.left, {n: x.atom for n, x in xs.items()}, like)
        return b.finish([y])


RULES = [*stabilising.RULES, *simplifying.RULES]


@pytest.mark.parametrize("r", RULES, ids=[r.text for r in RULES])
def test_every_rule_is_true(r: Rule, rng: np.random.Generator) -> None:
    g = graph_of(r)
    new = rewrite(g, [r])
    assert new is not g, "the rule does not fit its own left side"
    assert structure(live(new))[0] != structure(g)[0]
    xs = [rng.uniform(0.3, 2.0, 5) if v.type.dtype == F64 else rng.random(5) > 0.5 for v in g.ins]
    np.testing.assert_allclose(Program(new)(*xs)[0], Program(g)(*xs)[0], rtol=4e-15)


@pytest.mark.parametrize(
    ("f", "x", "want"),
    [
        (lambda x: np.log(1 + np.exp(x)), 1000.0, 1.0),
        (lambda x: np.log(1 + np.exp(x)), -1000.0, 0.0),
        (lambda x: np.log1p(np.exp(x)), 1000.0, 1.0),
        (lambda x: 1 / (1 + np.exp(-x)), -1000.0, 0.0),
        (lambda x: 1 / (1 + np.exp(-x)), 1000.0, 0.0),
        (lambda x: np.exp(x) / (1 + np.exp(x)), 1000.0, 0.0),
        (lambda x: np.log(1 / (1 + np.exp(-x))), -1000.0, 1.0),
        (lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)), 800.0, 0.0),
        (lambda x: np.log(sp.expit(x)), -1000.0, 1.0),
        (lambda x: np.sqrt(x**2), 0.0, 0.0),
        (lambda x: np.where(x < 1, x, np.sqrt(x)), 0.0, 1.0),
        (lambda x: np.where(x > 0, np.log(x), 0.0), 0.0, 0.0),
        (lambda x: np.where(x > 0, x * np.log(x), 0.0), 0.0, 0.0),
        (lambda x: np.where(x == 0, 1.0, np.sin(x) / x), 0.0, 0.0),
        (lambda x: np.where(np.abs(x) < 1, np.arcsin(x), x), 3.0, 1.0),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_derivative_is_finite_where_it_exists(f: object, x: float, want: float) -> None:
    assert cr.grad(f)(x) == want
    assert cr.jvp(f, (x,), (1.0,))[1] == want
    assert cr.jit(cr.grad(f))(x) == want
    assert cr.vmap(cr.grad(f))(np.array([x, x]))[0] == want


def test_value_is_that_of_the_function_itself() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        return np.sum(np.log(1 + np.exp(x)))

    x = np.linspace(-3, 3, 17)
    assert cr.value_and_grad(f)(x)[0] == f(x)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_infinite_value_is_mended() -> None:
    assert cr.value_and_grad(lambda x: np.log(1 + np.exp(x)))(1000.0) == (1000.0, 1.0)


def test_square_of_a_norm_is_smooth_at_zero() -> None:
    np.testing.assert_array_equal(cr.hessian(lambda x: np.linalg.norm(x) ** 2)(np.zeros(2)), 2 * np.eye(2))
    np.testing.assert_array_equal(cr.hessian(lambda x: np.std(x) ** 2)(np.ones(2)), np.array([[0.5, -0.5], [-0.5, 0.5]]))


def test_guard_leaves_other_graphs_alone() -> None:
    g = cr.calls.traced(lambda x: np.sqrt(x) + np.where(x > 0, x, -x), (np.ones(3),), {}, name="f", values=False).graph
    assert guard(g) is g
    assert prepare(g) is g


def test_guard_does_not_touch_what_others_read() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        root = np.sqrt(x)
        return np.where(x > 1, root, x) + root

    assert cr.grad(f)(4.0) == 0.5
    assert np.isinf(cr.grad(f)(0.0))
