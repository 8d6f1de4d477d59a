"""The chain rule step by step: two stories of one derivative, each of its lines evaluated."""

import re

import numpy as np
import pytest
from latex2mathml.converter import convert

import chainrule as cr
from chainrule.emit.symbols import symbol
from chainrule.explain.steps import Step
from derivation_cases import CLASSICS, FUNCTIONS

BY_NAME = {c.name: c for c in CLASSICS}
TOLD = (
    "least squares",
    "logistic regression",
    "two layers",
    "layer normalisation",
    "attention",
    "softmax, Jacobian",
    "log-determinant",
)


def lines(steps: list[Step]) -> list[str]:
    return [f"{s.rule}: {s.expression} -> {s.result}" for s in steps]


def test_the_story_backward() -> None:
    d = cr.derive("mean((sigmoid(W @ x + b) - y)**2)", wrt=("W", "b"), shapes={"W": "m,n", "x": "n", "b": "m", "y": "m"})
    assert lines(d.steps) == [
        r"start: f -> \bar{f} = \frac{\partial f}{\partial f} = 1",
        r"constant factor: f = \frac{v_{6}}{m} -> \bar{v}_{6} = \frac{1}{m}",
        r"sum over an index: v_{6} = \mathbf{1}^{\top} v_{5} -> \bar{v}_{5} = \bar{v}_{6} \mathbf{1}",
        r"power rule: v_{5} = v_{4}^{\odot 2} -> \bar{v}_{4} = 2 \bar{v}_{5} \odot v_{4}",
        r"sum rule: v_{4} = v_{3} - y -> \bar{v}_{3} = \bar{v}_{4}",
        r"derivative of the sigmoid: v_{3} = \sigma\left(v_{2}\right) -> \bar{v}_{2} = \bar{v}_{3} \odot v_{3} \odot \left(\mathbf{1} - v_{3}\right)",
        r"sum rule: v_{2} = v_{1} + b -> \bar{v}_{1} = \bar{v}_{2}",
        r"sum rule: v_{2} = v_{1} + b -> \bar{b} = \bar{v}_{2}",
        r"linear map: v_{1} = W x -> \bar{W} = \bar{v}_{1} x^{\top}",
        r"end: W -> \frac{\partial f}{\partial W} = \bar{W}",
        r"end: b -> \frac{\partial f}{\partial b} = \bar{b}",
    ]
    assert d.steps[5].local == r"\frac{\partial v_{3}}{\partial v_{2}} = v_{3} \odot \left(\mathbf{1} - v_{3}\right)"


def test_the_story_forward() -> None:
    d = cr.derive("mean((X @ w - y)**2)", wrt="w", shapes={"X": "n,d", "w": "d", "y": "n"})
    assert lines(d.forward_steps) == [
        r"start: w -> dw \text{ is the change of the argument}",
        "linear map: v_{1} = X w -> dv_{1} = X dw",
        "sum rule: v_{2} = v_{1} - y -> dv_{2} = dv_{1}",
        r"power rule: v_{3} = v_{2}^{\odot 2} -> dv_{3} = 2 dv_{2} \odot v_{2}",
        r"sum over an index: v_{4} = \mathbf{1}^{\top} v_{3} -> dv_{4} = \mathbf{1}^{\top} dv_{3}",
        r"constant factor: f = \frac{v_{4}}{n} -> df = \frac{dv_{4}}{n}",
    ]


def test_a_value_that_is_used_twice_collects_both() -> None:
    d = cr.derive("x * sin(x)", wrt="x")
    assert [s.result for s in d.steps if "bar{x}" in s.result][:2] == [
        r"\bar{x} = v_{1}",
        r"\bar{x} \mathrel{+}= \bar{v}_{1} \, \cos x",
    ]


@pytest.mark.parametrize("name", TOLD)
def test_both_stories_are_told_and_differ(name: str) -> None:
    """Each line is LaTeX and has been evaluated: a wrong one raises.  Forward starts where backward ends."""
    d = BY_NAME[name].derive()
    back, forward = d.steps, d.forward_steps
    assert back[-1].rule == "end"
    assert back[0].expression == d.function_name
    assert forward[0].rule == "start"
    assert forward[0].expression in [symbol(n).text for n in d.problem.names]
    assert forward[-1].expression.startswith(f"{d.function_name} =")
    assert {s.result for s in back}.isdisjoint({s.result for s in forward})
    told = [s.expression for s in forward if s.rule != "start"]
    assert list(dict.fromkeys(s.expression for s in back[1:] if s.rule != "end")) == told[::-1]
    for s in (*back, *forward):
        for text in (s.expression, s.local, s.result):
            convert(text or "1")
            assert not re.search(r"_\{[^{}]*\}_", text)


def test_the_users_names_are_in_it() -> None:
    f, make, wrt = FUNCTIONS[3]
    d = cr.derive(f, *make(np.random.default_rng(0)), wrt=wrt)
    told = "\n".join(map(str, d.steps))
    assert r"H = \tanh v_{2}" in told
    assert r"\bar{H} =" in told
    assert r"\bar{O} =" in told
