"""Vector functions against mpmath to fractions of a unit in the last place, and NumPy's special cases."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import scipy.special as sp

from chainrule.emit.native import module
from chainrule.emit.native.loops import Kernel, Operand, Stage, Step
from chainrule.emit.native.math import FUNCTIONS
from chainrule.emit.native.target import host, named
from native_code import Functions, elementwise, kernel_ir, load

RNG = np.random.default_rng(7)


def normal_tail(x):
    """The chance that a standard normal number is above x."""
    return mp.erfc(x / mp.sqrt(2)) / 2


UNARY = {
    "exp": (mp.exp, np.exp),
    "exp2": (lambda x: mp.mpf(2) ** x, np.exp2),
    "expm1": (mp.expm1, np.expm1),
    "log": (mp.log, np.log),
    "log1p": (mp.log1p, np.log1p),
    "log2": (lambda x: mp.log(x, 2), np.log2),
    "log10": (lambda x: mp.log(x, 10), np.log10),
    "tanh": (mp.tanh, np.tanh),
    "sinh": (mp.sinh, np.sinh),
    "cosh": (mp.cosh, np.cosh),
    # SciPy's expit is 0 where the function is still a subnormal.
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), lambda x: np.where(x < -30, np.exp(x), sp.expit(x))),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), lambda x: np.logaddexp(x, x.dtype.type(0))),
    "erf": (mp.erf, sp.erf),
    "erfc": (mp.erfc, sp.erfc),
    "ndtr": (lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, sp.ndtr),
    "log_ndtr": (
        lambda x: mp.log1p(-mp.erfc(x / mp.sqrt(2)) / 2) if x > 0 else mp.log(mp.erfc(-x / mp.sqrt(2)) / 2),
        sp.log_ndtr,
    ),
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), np.cbrt),
    "arcsinh": (mp.asinh, np.arcsinh),
    "arccosh": (mp.acosh, np.arccosh),
    "arctanh": (mp.atanh, np.arctanh),
    "sin": (mp.sin, np.sin),
    "cos": (mp.cos, np.cos),
    "tan": (mp.tan, np.tan),
    "arcsin": (mp.asin, np.arcsin),
    "arccos": (mp.acos, np.arccos),
    "arctan": (mp.atan, np.arctan),
    "sqrt": (mp.sqrt, np.sqrt),
}
BINARY = {
    "power": (mp.power, np.power),
    "logaddexp": (lambda a, b: mp.log(mp.exp(a) + mp.exp(b)), np.logaddexp),
    "arctan2": (mp.atan2, np.arctan2),
}
# Units in the last place. What each function promises; most are well inside.
BOUND = {"float64": 2.0, "float32": 1.5}


@functools.cache
def functions(dtype: str) -> tuple[Functions, Functions]:
    return Functions(list(UNARY), dtype), Functions(list(BINARY), dtype, arity=2)


def both_signs(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, -x])


def decades(low: float, high: float, n: int) -> np.ndarray:
    """From 10**low to 10**high, evenly in the exponent."""
    return 10 ** RNG.uniform(low, high, n)


def points(op: str, dtype: str) -> np.ndarray:
    """Where a function is hard: its whole range, its zeros, its ends, numbers near zero."""
    wide = dtype == "float64"
    span, least, most = (700, -307, 307) if wide else (86, -37, 37)
    normal, small = RNG.normal(size=500), both_signs(decades(-12, 0, 300))
    near_one = np.concatenate([1 + RNG.normal(0, 0.1, 400), 1 + RNG.normal(0, 1e-4, 200)])
    groups = {
        "exp exp2 expm1 sinh cosh sigmoid softplus": [RNG.uniform(-span, span, 600), RNG.normal(0, 3, 600), small],
        "log log2 log10 sqrt": [decades(least, most, 600), near_one, decades(least - 6, least - 1, 100)],
        "log1p": [small[np.abs(small) < 1], decades(-3, 10, 400), RNG.uniform(-1, 0, 400)],
        "tanh erf arcsinh arctan": [normal, small, both_signs(decades(-1, 1.5, 200)), RNG.uniform(-1.2, 1.2, 400)],
        "erfc": [normal, RNG.uniform(-6, 26.5 if wide else 9, 900)],
        "ndtr": [normal, RNG.uniform(-37 if wide else -12, 6, 900)],
        "log_ndtr": [normal, RNG.uniform(-60, 36 if wide else 12, 900), -decades(1.5, 8, 200)],
        "cbrt": [both_signs(decades(least - 5, most, 400)), normal],
        "arccosh": [1 + decades(-6, 1, 600), decades(0, 30, 300)],
        "arctanh arcsin arccos": [RNG.uniform(-1, 1, 900), small, 1 - decades(-6, 0, 300)],
        "sin cos tan": [
            RNG.uniform(-10, 10, 600),
            both_signs(decades(-8, 9, 300)),
            np.round(RNG.uniform(1, 1e6, 300)) * (np.pi / 2),
            decades(9, most, 200),
        ],
    }
    chosen = next(parts for names, parts in groups.items() if op in names.split())
    x = np.concatenate(chosen).astype(dtype)
    low, high = {"log1p": (-1, np.inf), "arctanh": (-1, 1), "log": (0, np.inf), "log2": (0, np.inf), "log10": (0, np.inf)}.get(
        op, (-np.inf, np.inf)
    )
    return x[(x > low) & (x < high)]


def units(got: np.ndarray, exact: list, dtype: str) -> np.ndarray:
    """Distance from the exact value in units in the last place of the result."""
    out = np.zeros(len(exact))
    for k, (g, e) in enumerate(zip(got, exact, strict=True)):
        rounded = np.dtype(dtype).type(float(e))
        if np.isfinite(rounded):
            out[k] = abs((mp.mpf(float(g)) - e) / mp.mpf(float(np.spacing(np.abs(rounded)))))
        else:
            out[k] = 0 if g == rounded else np.inf
    return out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", UNARY)
def test_accuracy(op: str, dtype: str):
    x = points(op, dtype)
    got = functions(dtype)[0](op, x)
    precision = 1300 if op in ("sin", "cos", "tan") else 160
    with mp.workprec(precision):
        exact = [UNARY[op][0](mp.mpf(float(v))) for v in x]
        error = units(got, exact, dtype)
    assert error.max() <= BOUND[dtype], f"{op}({x[error.argmax()]!r}) is {error.max():.3f} units off"


def pairs(op: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    n = 1500
    if op == "power":
        x = np.concatenate([decades(-30, 30, n), 1 + RNG.normal(0, 1e-3, n)])
        limit = (700 if dtype == "float64" else 85) / np.maximum(np.abs(np.log(x)), 1e-6)
        y = RNG.uniform(-1, 1, 2 * n) * np.minimum(limit, 1e6)
    elif op == "logaddexp":
        x, y = np.abs(RNG.normal(0, 20, n)), RNG.normal(0, 20, n)  # a sum of opposite signs cancels, as NumPy's does
    else:
        x, y = RNG.normal(size=n) * decades(-8, 8, n), RNG.normal(size=n) * decades(-8, 8, n)
    return x.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", BINARY)
def test_accuracy_of_two_arguments(op: str, dtype: str):
    x, y = pairs(op, dtype)
    got = functions(dtype)[1](op, x, y)
    with mp.workprec(200):
        exact = [BINARY[op][0](mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(x, y, strict=True)]
        error = units(got, exact, dtype)
    k = error.argmax()
    assert error.max() <= BOUND[dtype], f"{op}({x[k]!r}, {y[k]!r}) is {error.max():.3f} units off"


def specials(dtype: str) -> np.ndarray:
    info = np.finfo(dtype)
    values = [0.0, info.smallest_subnormal, info.tiny, 0.5, 1.0, 2.0, 3.0, 100.0, 745.0, info.max, np.inf]
    return np.array([*values, *(-v for v in values), np.nan], dtype)


def same(got: np.ndarray, want: np.ndarray, ulps: int) -> np.ndarray:
    """Equal up to a few units; the same zeros, infinities and NaNs."""
    with np.errstate(all="ignore"):
        close = np.abs(got - want) <= ulps * np.spacing(np.abs(want))
    exact = (got == want) & (np.signbit(got) == np.signbit(want))
    return np.where(np.isfinite(want) & (want != 0), close, exact) | (np.isnan(got) & np.isnan(want))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", UNARY)
def test_specials_are_numpys(op: str, dtype: str):
    x = specials(dtype)
    with np.errstate(all="ignore"):
        want = UNARY[op][1](x)
    assert want.dtype == x.dtype
    got = functions(dtype)[0](op, x)
    ok = same(got, want, 32 if "ndtr" in op else 4)  # SciPy's own error
    assert ok.all(), [(a, g, w) for a, g, w in zip(x[~ok], got[~ok], want[~ok], strict=True)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", BINARY)
def test_specials_of_two_arguments_are_numpys(op: str, dtype: str):
    x, y = (v.ravel() for v in np.meshgrid(specials(dtype), specials(dtype)))
    with np.errstate(all="ignore"):
        want = BINARY[op][1](x, y)
    got = functions(dtype)[1](op, x, y)
    ok = same(got, want, 4)
    assert ok.all(), [(a, b, g, w) for a, b, g, w in zip(x[~ok], y[~ok], got[~ok], want[~ok], strict=True)][:10]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_odd_functions_are_odd_to_the_bit(dtype: str):
    x = np.abs(RNG.normal(0, 3, 1000)).astype(dtype)
    for op in ("tanh", "erf", "sin", "tan", "sinh", "arctan", "arcsinh", "cbrt", "expm1")[:-1]:
        assert (functions(dtype)[0](op, -x) == -functions(dtype)[0](op, x)).all(), op


def test_exact_powers_have_exact_logarithms():
    n = np.arange(-1022, 1024, dtype=float)
    np.testing.assert_array_equal(functions("float64")[0]("log2", 2.0**n), n)
    np.testing.assert_array_equal(functions("float64")[0]("exp2", n), 2.0**n)
    k = np.arange(0, 23, dtype=float)
    np.testing.assert_array_equal(functions("float64")[0]("log10", 10.0**k), k)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_number_at_a_time_gives_the_same_bits(dtype: str):
    """Values of a row are scalars: they go through the same functions as vectors."""
    n = 200
    operands = {"x": Operand(dtype, (1, 0), n), "y": Operand(dtype, (1, 0), n)}
    stage = lambda op: Stage(row_steps=(Step("v", op, ("x",)),), row_stores=(("v", "y"),))
    code = load(kernel_ir({op: Kernel((n, 1), operands, (stage(op),)) for op in UNARY}), list(UNARY))
    for op in UNARY:
        x = RNG.permutation(points(op, dtype))[:n]
        y = np.zeros_like(x)
        code.function(op, ctypes.c_void_p, ctypes.c_void_p)(x.ctypes.data, y.ctypes.data)
        assert y.tobytes() == functions(dtype)[0](op, x).tobytes(), op


@pytest.mark.skipif(not (host().is_x86 and host().has_fma), reason="compares x86 instruction sets")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_bits_without_wide_registers(dtype: str):
    ops = ["exp", "log", "tanh", "erf", "sin", "log_ndtr", "sigmoid"]
    narrow = Functions(ops, dtype, target=named("avx2"))
    for op in ops:
        x = points(op, dtype)
        assert narrow(op, x).tobytes() == functions(dtype)[0](op, x).tobytes(), op


@pytest.mark.parametrize("name", ["aarch64", "avx512"])
def test_every_function_compiles_for_other_machines(name: str):
    target = named(name)
    kernels = {op: elementwise(op, 64, d) for op in UNARY for d in ("float64",)}
    kernels |= {op: elementwise(op, 64, "float32", 2) for op in BINARY}
    assert module.compile_object(kernel_ir(kernels, target), target)


def test_the_table_of_coefficients_is_what_the_script_makes():
    root = Path(__file__).parents[3]
    spec = importlib.util.spec_from_file_location("coefficients", root / "tools/make_native_coefficients.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert json.loads(script.OUT.read_text()) == script.make()


def test_an_unknown_function_is_an_error():
    with pytest.raises(KeyError, match="no function 'airy'"):
        kernel_ir({"k": elementwise("airy", 8, "float64")})
    assert "airy" not in FUNCTIONS


@pytest.mark.slow
@pytest.mark.parametrize("op", ["exp", "log", "tanh", "sigmoid", "erf"])
def test_every_float32(op: str):
    """All 2**32 arguments against float64, whose own error is 2**-29 of a float32 unit."""
    narrow, reference = Functions([op], "float32"), Functions([op], "float64")
    for start in range(0, 2**32, 2**17):
        x = np.arange(start, start + 2**17, dtype=np.uint64).astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            got, exact = narrow(op, x), reference(op, x.astype(float))
            rounded = exact.astype(np.float32)
            error = np.abs(got - exact) / np.spacing(np.abs(rounded)).astype(float)
        finite = np.isfinite(rounded)
        assert (error[finite] <= BOUND["float32"]).all()
        assert ((got == rounded) | (np.isnan(got) & np.isnan(rounded)))[~finite].all()
