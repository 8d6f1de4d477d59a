"""Integer operations and division with remainder, against NumPy on every pair of awkward numbers."""

from __future__ import annotations

import numpy as np
import pytest

from native_code import elementwise, run

RNG = np.random.default_rng(5)
DIVISIONS = {"remainder": np.remainder, "floor_divide": np.floor_divide}
BITS = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift,
    "right_shift": np.right_shift,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


def awkward(dtype: str) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        values = [0.0, 1.0, 2.5, 0.1, 1e-310, 7.0, 1e300 if dtype == "float64" else 1e30, np.inf]
        return np.array([*values, *(-v for v in values), np.nan], dtype)
    info = np.iinfo(dtype)
    return np.array([0, 1, 2, 3, 7, 31, 32, 63, 64, 100, -1, -2, -7, -100, info.min, info.min + 1, info.max], dtype)


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = (v.ravel() for v in np.meshgrid(awkward(dtype), awkward(dtype)))
    more = (RNG.normal(size=(2, 300)) * 50).astype(dtype)
    return np.concatenate([x, more[0]]), np.concatenate([y, more[1]])


def both(op: str, numpy, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = pairs(dtype)
    out = np.zeros_like(x)
    run(elementwise(op, x.size, dtype, arity=2), {"x0": x, "x1": y, "y": out})
    with np.errstate(all="ignore"):
        return out, numpy(x, y)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float64", "float32"])
@pytest.mark.parametrize("op", DIVISIONS)
def test_division_is_numpys_and_never_traps(op: str, dtype: str):
    got, want = both(op, DIVISIONS[op], dtype)
    np.testing.assert_array_equal(got, want)
    if np.dtype(dtype).kind == "f":
        np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("op", BITS)
def test_bits_are_numpys(op: str, dtype: str):
    got, want = both(op, BITS[op], dtype)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("op", "numpy"), [("sign", np.sign), ("absolute", np.absolute), ("negative", np.negative), ("invert", np.invert)]
)
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_one_integer(op: str, numpy, dtype: str):
    x = awkward(dtype)
    out = np.zeros_like(x)
    run(elementwise(op, x.size, dtype), {"x0": x, "y": out})
    np.testing.assert_array_equal(out, numpy(x))


@pytest.mark.parametrize("op", ["floor", "ceil", "trunc", "rint"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding(op: str, dtype: str):
    x = np.concatenate([awkward(dtype), np.arange(-8, 8).astype(dtype) / 2])
    out = np.zeros_like(x)
    run(elementwise(op, x.size, dtype), {"x0": x, "y": out})
    np.testing.assert_array_equal(out, getattr(np, op)(x))
