"""Eager calls look their derivative up by structure: nothing may depend on what the structure leaves out."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

CONSTANTS = [0.0, -0.0, 1.0, 5.0, True, 2, 2.0, 3, -1.0, 0.5, 7.25, np.float32(1.5), 1e-300]


@pytest.mark.parametrize("order", [CONSTANTS, CONSTANTS[::-1]], ids=["forward", "backward"])
def test_constants_of_one_structure_are_kept_apart(order: list[float]) -> None:
    x = np.array([0.3, 1.7])
    for c in order:
        for d in order:
            got = cr.grad(lambda x, c=c, d=d: np.sum(np.where(x > c, x * c, x**2 * d) + c * d * x))(x)
            want = np.where(x > c, c, 2 * x * d) + c * d
            np.testing.assert_allclose(got, want, err_msg=f"{c!r}, {d!r}")


def test_exponents_of_one_structure_are_kept_apart() -> None:
    for n in (0.0, 1.0, 2.0, 2.7, 3.1, -1.0, 0.5, 3, 2, 1, 0, 7):
        assert cr.grad(lambda x, n=n: x**n)(1.3) == pytest.approx(n * 1.3 ** (n - 1.0), rel=1e-14)


def test_arrays_of_one_structure_are_kept_apart(rng: np.random.Generator) -> None:
    for _ in range(5):
        a = rng.normal(size=3)
        np.testing.assert_array_equal(cr.grad(lambda x, a=a: np.sum(a * x))(np.ones(3)), a)
        np.testing.assert_array_equal(cr.jvp(lambda x, a=a: a * x, (np.ones(3),), (np.ones(3),))[1], a)


def test_python_control_flow_is_followed() -> None:
    def f(x: float) -> float:
        n = 0
        while x < 10:
            x, n = x * x, n + 1
        return x if n % 2 else -x

    assert cr.grad(f)(3.5) == 2 * 3.5
    assert cr.grad(f)(2.0) == -(4 * 2.0**3) if f(2.0) < 0 else 4 * 2.0**3


def test_results_may_be_written_to() -> None:
    x = np.ones(3)
    g = cr.grad(lambda x: np.sum(x * x))(x)
    g += 1
    y, pull = cr.vjp(lambda x: x, x)
    y += 5
    (ct,) = pull(np.ones(3))
    ct += 5
    np.testing.assert_array_equal(x, 1)
    np.testing.assert_array_equal(pull(np.ones(3))[0], 1)
    np.testing.assert_array_equal(cr.grad(lambda x: np.sum(x))(x) * 1, 1)
