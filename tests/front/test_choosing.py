"""Choosing, bounding, rounding and replacing: values and dtypes are NumPy's, for all kinds of operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule.front  # noqa: F401
from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.emit.numpy import Program
from chainrule.ir.types import type_of

F4, F8 = np.array([-2.5, -0.5, 0.5, 1.5], "f4"), np.array([-1.25, 0.0, 2.0, 3.75])
SPECIAL = np.array([np.nan, np.inf, -np.inf, 1.0])
I8, I4, B = np.array([-3, 0, 2, 7]), np.array([1, 0, -2, 5], "i4"), np.array([True, False, True, False])
C = np.array([1 + 2j, -1j, 0, 3])


def traced(f: Callable[..., Any], xs: tuple[Any, ...]) -> Any:
    """The result of tracing f without values and running its graph."""
    with Builder().here() as b:
        y = f(*[b.input(type_of(x)) for x in xs])
        assert isinstance(y, Value)
        (result,) = Program(b.finish([y]))(*xs)
    return result


CASES: list[tuple[str, Callable[..., Any], list[tuple[Any, ...]]]] = [
    ("where", lambda c, x, y: np.where(c, x, y), [(B, F4, F8), (B, F4, F4), (B, I8, I4), (I8, F4, I4), (F8, B, I4), (B, C, F8)]),
    ("where, repeated", lambda c, x, y: np.where(c, x, y), [(B, F8[:1], F4[:, None]), (B[:1], F8, np.array(2))]),
    ("where a number", lambda c, x: np.where(c, x, 1.5), [(B, F4), (B, F8), (B, I4), (B, C)]),
    ("where two numbers", lambda c: np.where(c, 1, 0.5), [(B,), (I8,)]),
    ("where an int", lambda c, x: np.where(c, 2, x), [(B, F4), (B, I4), (B, B)]),
    ("select", lambda a, b, x: np.select([a, b], [x, 2 * x], 7), [(B, ~B, F4), (B, B, I8), (B, np.array(True), F8)]),
    ("clip", lambda x: np.clip(x, -1, 2), [(F4,), (F8,), (I8,), (I4,), (SPECIAL,)]),
    ("clip by floats", lambda x: np.clip(x, -0.5, 1.5), [(F4,), (F8,), (I8,)]),
    ("clip from below", lambda x: x.clip(0), [(F4,), (I4,)]),
    ("clip from above", lambda x: np.clip(x, None, 1), [(F4,), (I4,)]),
    ("clip by keywords", lambda x: np.clip(x, min=0, max=1), [(F4,), (I4,)]),
    ("clip between arrays", lambda x, a, b: np.clip(x, a, b), [(F8, F4, F4 + 1), (I4, I8 - 9, I8 + 9), (F8, F8 + 1, F8 - 1)]),
    ("round", lambda x: np.round(x), [(F4,), (F8,), (I8,), (SPECIAL,)]),
    ("round to tenths", lambda x: np.round(x, 1), [(F4,), (F8,), (I4,)]),
    ("round to tens", lambda x: x.round(-1), [(10 * F8,), (F4,)]),
    ("around", lambda x: np.around(x, 2), [(F8 / 7,)]),
    ("fix", lambda x: np.fix(x), [(F4,), (F8,)]),
    ("nan_to_num", lambda x: np.nan_to_num(x), [(SPECIAL,), (SPECIAL.astype("f4"),), (I8,)]),
    ("nan_to_num by others", lambda x: np.nan_to_num(x, nan=5, posinf=9, neginf=-9), [(SPECIAL,), (SPECIAL.astype("f4"),)]),
    ("isclose", lambda x, y: np.isclose(x, y), [(F8, F8 + 1e-9), (F8, F4), (SPECIAL, SPECIAL), (I8, I4)]),
    ("isclose with NaN", lambda x, y: np.isclose(x, y, equal_nan=True), [(SPECIAL, SPECIAL)]),
    ("real", lambda x: np.real(x), [(C,), (F4,)]),
    ("imag", lambda x: np.imag(x), [(C,), (F4,)]),
    ("attributes", lambda x: x.real + x.imag, [(C,), (F4,)]),
    ("conj", lambda x: x.conj() + np.conj(x), [(C,), (F4,), (I8,)]),
    ("angle", lambda x: np.angle(x), [(C,), (F8,)]),
    ("angle in degrees", lambda x: np.angle(x, deg=True), [(C,)]),
    ("sinc", lambda x: np.sinc(x), [(F8,), (F4,), (I8,), (F8 / 20,)]),
    ("i0", lambda x: np.i0(x), [(F8,)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "xs"), [pytest.param(f, xs, id=f"{name}-{k}") for name, f, many in CASES for k, xs in enumerate(many)]
)
def test_values_and_dtypes_are_numpys(f: Callable[..., Any], xs: tuple[Any, ...]) -> None:
    got, want = traced(f, xs), np.asarray(f(*xs))
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    # sinc is a series near 0, and NumPy's i0 is another approximation than SciPy's; the rest is the same arithmetic.
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(got.dtype).eps if got.dtype.kind in "fc" else 0, atol=1e-16)


def test_what_cannot_be_traced_says_so() -> None:
    with pytest.raises(errors.ValueNeededError, match=r"np\.where needs a value"):
        traced(lambda x: np.where(x > 0), (F8,))
    with pytest.raises(errors.DtypeError, match="bool"):
        traced(lambda x: np.select([x], [x]), (F8,))
    with pytest.raises(ValueError, match="as many"):
        traced(lambda x: np.select([x > 0], [x, x]), (F8,))
    with pytest.raises(errors.InPlaceError):
        traced(lambda x: np.clip(x, 0, 1, out=np.zeros(4)), (F8,))
