"""Random formulas: each is derived and verified, or refused with the reason; never is a line found wrong."""

import random
import re

import numpy as np
import pytest
from latex2mathml.converter import convert

import chainrule as cr

SHAPES = {"x": ("n",), "y": ("n",), "w": ("d",), "X": ("n", "d"), "A": ("n", "n"), "B": ("d", "d"), "s": (), "t": ()}
ELEMENTWISE = (
    "sigmoid({})", "tanh({})", "exp({}/3)", "sin({})", "({})**2", "log(1 + ({})**2)", "sqrt(1 + ({})**2)", "relu({})", "abs({})",
    "1/(2 + ({})**2)", "softplus({})",
)  # fmt: skip
Shape = tuple[str, ...]


def formula(r: random.Random, shape: Shape, depth: int) -> str:
    """A formula of this shape."""
    leaves = [k for k, v in SHAPES.items() if v == shape] + (["X'"] if shape == ("d", "n") else [])
    if depth <= 0 or r.random() < 0.1:
        return r.choice(leaves)
    again = lambda s: formula(r, s, depth - 1)
    kind, size = r.random(), r.choice(["n", "d"])
    if kind < 0.25:
        return r.choice(ELEMENTWISE).format(f"({again(shape)})")
    if kind < 0.5:
        return f"({again(shape)} {r.choice('+-*')} {again(shape)})"
    if kind < 0.58:
        return f"({again(())}*{again(shape)})"
    if not shape:
        return r.choice(
            [
                lambda: f"sum({again((size,))})",
                lambda: f"mean({again((size,))})",
                lambda: f"({again((size,))} @ {again((size,))})",
                lambda: f"norm({again((size,))})**2",
                lambda: f"logsumexp({again((size,))})",
                lambda: f"sum({again(('n', 'd'))})",
                lambda: f"({again((size,))} @ {again((size, size))} @ ({again((size,))}))",
                lambda: f"tr({again((size, size))})",
            ]
        )()
    if len(shape) == 1:
        return r.choice(
            [
                lambda: f"({again((shape[0], size))} @ ({again((size,))}))",
                lambda: f"softmax({again(shape)})",
                lambda: f"{r.choice(['sum', 'mean'])}({again((shape[0], size))}, axis=1)",
                lambda: f"diag({again((shape[0], shape[0]))})",
            ]
        )()
    return r.choice(
        [
            lambda: f"({again((shape[0], size))} @ ({again((size, shape[1]))}))",
            lambda: f"outer({again(shape[:1])}, {again(shape[1:])})",
            lambda: f"({again(shape[::-1])})'",
            lambda: f"softmax({again(shape)}, axis=1)",
            lambda: f"({again(shape)} + {again(shape[1:])})",
        ]
    )()


def derived(seed: int) -> None:
    r = random.Random(seed)
    text = formula(r, (), r.choice([2, 3, 3]))
    used = [k for k in SHAPES if re.search(rf"\b{k}\b", text)]
    wrt = r.choice(used)
    order = r.choice([1, 1, 1, 2]) if len(SHAPES[wrt]) < 2 else 1
    d = cr.derive(text, wrt=wrt, shapes={k: SHAPES[k] for k in used if SHAPES[k]}, order=order)
    convert(d.latex)
    assert d.source  # what it computes has been compared with the formula
    if order == 1 and seed % 3 == 0:
        assert d.steps
        assert d.forward_steps


@pytest.mark.parametrize("seed", range(24))
def test_random_formulas(seed: int) -> None:
    derived(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many_random_formulas(block: int) -> None:
    for seed in range(100 * (block + 1), 100 * (block + 2)):
        derived(seed)


def test_where_there_is_nothing_to_tell() -> None:
    for d, rule, told in (
        (cr.derive("x", wrt="x", shapes={"x": "n"}), "identity", "I"),
        (cr.derive("s", wrt="s"), "identity", "1"),
        (cr.derive(lambda x: 3.0, np.ones(3)), "constant", "0"),
    ):
        for steps in (d.steps, d.forward_steps):
            assert [(s.rule, s.local) for s in steps] == [(rule, told)]


def test_a_derivative_that_is_zero_because_terms_cancel() -> None:
    """What softmax gives adds up to 1: automatic differentiation leaves rounding, and the formula says 0."""
    assert cr.derive("mean(softmax(A @ x))", wrt="x", shapes={"A": "n,n", "x": "n"}).latex == r"\frac{\partial f}{\partial x} = 0"
    assert cr.derive("sum(softmax(x))", wrt="x", shapes={"x": "n"}, order=2).latex.endswith("= 0")
