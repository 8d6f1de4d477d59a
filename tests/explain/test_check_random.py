"""No correct gradient is ever called wrong: random programs, two precisions, bad scales, kinks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from programs import random_program


def case(seed: int) -> tuple[Callable[..., Any], Callable[..., Any], list[Any]]:
    """A random program, its gradient by forward mode, and a point: plain, badly scaled, in single precision, or on kinks."""
    rng = np.random.default_rng(seed)
    program, xs = random_program(rng, int(rng.integers(2, 8)))
    scale = 10.0 ** rng.integers(-8, 9, size=len(xs)) if seed % 4 == 1 else np.ones(len(xs))

    def f(*args: Any) -> Any:
        return program.run(np, *[x / s for x, s in zip(args, scale, strict=True)])

    xs = [np.asarray(x * s) for x, s in zip(xs, scale, strict=True)]
    if seed % 4 == 2:
        xs = [x.astype(np.float32) for x in xs]
    if seed % 4 == 3:
        xs = [np.round(x) for x in xs]
    nums = tuple(range(len(xs)))
    forward = cr.jacobian(f, argnums=nums, mode="forward")
    return f, lambda *args: tuple(forward(*args)), xs


def accused(seeds: range) -> list[str]:
    found = []
    undecided = 0
    for seed in seeds:
        f, claimed, xs = case(seed)
        c = cr.check(f, claimed, *xs, argnums=tuple(range(len(xs))))
        undecided += c.ok is None
        if c.ok is False:
            found.append(f"seed {seed}: {c}")
    assert undecided <= 0.05 * len(seeds)
    return found


@pytest.mark.parametrize("block", range(8))
def test_correct_gradients_are_not_accused(block: int) -> None:
    assert accused(range(125 * block, 125 * (block + 1))) == []


@pytest.mark.slow
@pytest.mark.parametrize("block", range(100))
def test_a_hundred_thousand_correct_gradients_are_not_accused(block: int) -> None:
    assert accused(range(1000 * (block + 1), 1000 * (block + 2))) == []


@pytest.mark.parametrize("seed", range(12))
def test_any_element_of_the_subdifferential_is_right_and_others_are_not(seed: int) -> None:
    """Sums of |x_i - c_i| and max(x_i, 0) with many elements on their kinks."""
    rng = np.random.default_rng(seed)
    n = 7
    sign, on = rng.choice([-1.0, 1.0], size=n), rng.random(n) < 0.6
    x = np.where(on, 0.0, rng.normal(size=n))
    pick = rng.random(n)

    def f(x):
        return np.sum(2 * np.abs(x) + sign * np.maximum(x, 0))

    def slope(x, t):
        return 2 * np.where(x == 0, 2 * t - 1, np.sign(x)) + sign * np.where(x == 0, t, x > 0)

    assert cr.check(f, lambda x: slope(x, pick), x).ok is True
    if on.any():
        beyond = cr.check(f, lambda x: slope(x, np.where(np.arange(n) == np.argmax(on), 1.6, pick)), x)
        assert beyond.ok is False
        assert beyond.diagnoses[0].kind == "kink"
        assert "jumps" in beyond.diagnoses[0].message
