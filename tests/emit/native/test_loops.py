"""Fused kernels against NumPy: every shape of access, every tail, reductions in their fixed order, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.emit.native import module
from chainrule.emit.native.loops import Kernel, Operand, Reduce, Stage, Step, emit_columns
from chainrule.emit.native.target import host, named
from native_code import elementwise, kernel_ir, run

RNG = np.random.default_rng(0)


def guarded(n: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """An array of n elements between two fences, and the fences."""
    whole = np.full(n + 64, 77, dtype)
    return whole[32 : 32 + n], whole


@pytest.mark.parametrize("n", [*range(1, 20), 31, 32, 33, 127, 128, 129])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32"])
def test_every_tail_is_exact_and_touches_nothing_else(n: int, dtype: str):
    x, y = (RNG.integers(-50, 50, n).astype(dtype) for _ in range(2))
    out, whole = guarded(n, dtype)
    run(elementwise("add", n, dtype, arity=2), {"x0": x, "x1": y, "y": out})
    np.testing.assert_array_equal(out, x + y)
    assert (whole[:32] == 77).all()
    assert (whole[32 + n :] == 77).all()


def test_booleans_are_bytes():
    x, y = RNG.normal(size=37), RNG.normal(size=37)
    out = np.zeros(37, bool)
    run(elementwise("less", 37, "float64", arity=2, out="bool"), {"x0": x, "x1": y, "y": out})
    np.testing.assert_array_equal(out, x < y)


def test_rows_columns_scalars_and_strides_in_one_pass():
    """y = where(m, x + row, column * s) + transposed"""
    r, c = 7, 21
    x, row, column, s = RNG.normal(size=(r, c)), RNG.normal(size=c), RNG.normal(size=r), RNG.normal(size=1)
    t, m = RNG.normal(size=(c, r)), RNG.random((r, c)) < 0.5
    operands = {
        "x": Operand("float64", (c, 1), r * c),
        "row": Operand("float64", (0, 1), c),
        "column": Operand("float64", (1, 0), r),
        "s": Operand("float64", (0, 0), 1),
        "t": Operand("float64", (1, r), r * c),
        "m": Operand("bool", (c, 1), r * c),
        "y": Operand("float64", (c, 1), r * c),
    }
    steps = (
        Step("a", "add", ("x", "row")),
        Step("b", "multiply", ("column", "s")),
        Step("w", "where", ("m", "a", "b")),
        Step("v", "add", ("w", "t")),
    )
    y = np.zeros((r, c))
    arrays = {"x": x, "row": row, "column": column, "s": s, "t": t, "m": m, "y": y}
    run(Kernel((r, c), operands, (Stage(steps, (("v", "y"),)),)), arrays)
    np.testing.assert_array_equal(y, np.where(m, x + row, (column * s)[:, None]) + t.T)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 9), (1, 1, 1), (5, 2, 3, 2)])
def test_any_number_of_axes(shape: tuple[int, ...]):
    """A transposed array plus an array with a repeated axis: no two axes collapse."""
    x, y = RNG.normal(size=shape[::-1]), RNG.normal(size=shape[1:])
    strides = lambda a: tuple(s // 8 for s in a.strides)
    operands = {
        "x": Operand("float64", strides(x.T), x.size),
        "y": Operand("float64", (0, *strides(y)), y.size),
        "z": Operand("float64", strides(np.empty(shape)), x.size),
    }
    z = np.zeros(shape)
    run(Kernel(shape, operands, (Stage((Step("v", "multiply", ("x", "y")),), (("v", "z"),)),)), {"x": x, "y": y, "z": z})
    np.testing.assert_array_equal(z, x.T * y)


def tree_sum(x: np.ndarray, lanes: int, group: int) -> float:
    """The order of additions that the engine promises, in NumPy."""
    group = min(group, max(x.size // lanes, 1))
    parts = np.zeros((group, lanes), x.dtype)
    whole = x.size // lanes
    for k in range(whole):
        block = k if k < whole // group * group else k - whole // group * group
        parts[block % group] += x[k * lanes : (k + 1) * lanes]
    parts[0, : x.size % lanes] += x[whole * lanes :] if x.size % lanes else 0
    while len(parts) > 1:
        pairs = [parts[i] + parts[i + 1] for i in range(0, len(parts) - 1, 2)]
        parts = np.array(pairs + list(parts[len(pairs) * 2 :]))
    v = parts[0]
    while v.size > 1:
        v = v[: v.size // 2] + v[v.size // 2 :]
    return v[0]


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 100, 1000])
@pytest.mark.parametrize(("dtype", "lanes"), [("float64", 8), ("float32", 16)])
def test_a_sum_adds_in_the_promised_order(n: int, dtype: str, lanes: int):
    x, out = RNG.normal(size=n).astype(dtype), np.zeros(1, dtype)
    operands = {"x": Operand(dtype, (0, 1), n), "s": Operand(dtype, (1, 0), 1)}
    stage = Stage(reduces=(Reduce("t", "sum", "x"),), row_stores=(("t", "s"),))
    run(Kernel((1, n), operands, (stage,)), {"x": x, "s": out})
    assert out[0] == tree_sum(x, lanes, 4)


@pytest.mark.parametrize(("op", "numpy"), [("max", np.max), ("min", np.min), ("prod", np.prod), ("sum", np.sum)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("n", [1, 5, 16, 47])
def test_reductions_of_rows(op: str, numpy, dtype: str, n: int):
    x = RNG.integers(-3, 4, (6, n)).astype(dtype) - np.asarray(10, dtype) * (op in ("max", "min"))
    out = np.zeros(6, dtype)
    operands = {"x": Operand(dtype, (n, 1), 6 * n), "s": Operand(dtype, (1, 0), 6)}
    stage = Stage(reduces=(Reduce("t", op, "x"),), row_stores=(("t", "s"),))
    run(Kernel((6, n), operands, (stage,)), {"x": x, "s": out})
    np.testing.assert_array_equal(out, numpy(x, axis=1))


def test_nan_wins_a_maximum():
    x, out = np.array([1.0, np.nan, 3.0]), np.zeros(1)
    operands = {"x": Operand("float64", (0, 1), 3), "s": Operand("float64", (1, 0), 1)}
    stage = Stage(reduces=(Reduce("t", "max", "x"),), row_stores=(("t", "s"),))
    run(Kernel((1, 3), operands, (stage,)), {"x": x, "s": out})
    assert np.isnan(out[0])


def softmax_kernel(r: int, c: int, dtype: str) -> Kernel:
    operands = {"x": Operand(dtype, (c, 1), r * c), "y": Operand(dtype, (c, 1), r * c), "lse": Operand(dtype, (1, 0), r)}
    shifted = Step("d", "subtract", ("x", "m"))
    return Kernel(
        (r, c),
        operands,
        (
            Stage(reduces=(Reduce("m", "max", "x"),)),
            Stage(
                (shifted, Step("e", "exp", ("d",))),
                (("e", "y"),),
                (Reduce("s", "sum", "e"),),
                (Step("l", "log", ("s",)), Step("t", "add", ("l", "m")), Step("i", "reciprocal", ("s",))),
                (("t", "lse"),),
            ),
            Stage((Step("p", "multiply", ("y", "i")),), (("p", "y"),)),
        ),
    )


@pytest.mark.parametrize("c", [1, 3, 10, 16, 64, 100])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softmax_in_three_stages(c: int, dtype: str):
    x = (RNG.normal(size=(9, c)) * 20).astype(dtype)
    y, lse = np.zeros_like(x), np.zeros(9, dtype)
    run(softmax_kernel(9, c, dtype), {"x": x, "y": y, "lse": lse})
    e = np.exp((x - x.max(1, keepdims=True)).astype(float))  # the difference is rounded in both
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=8 * eps, atol=2 * np.finfo(dtype).tiny)
    np.testing.assert_allclose(lse, np.log(e.sum(1)) + x.max(1), rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("columns", [1, 5, 8, 21, 32, 70])
@pytest.mark.parametrize("rows", [1, 2, 13])
def test_reductions_down_the_columns_in_the_order_of_the_rows(rows: int, columns: int):
    """bias -= rate * sum over rows of (x * s), the product stored on the way, in one pass."""
    x, s, bias = RNG.normal(size=(rows, columns)), RNG.normal(size=rows), RNG.normal(size=columns)
    operands = {
        "x": Operand("float64", (columns, 1), x.size),
        "s": Operand("float64", (1, 0), rows),
        "rate": Operand("float64", (0, 0), 1),
        "p": Operand("float64", (columns, 1), x.size),
        "bias": Operand("float64", (0, 1), columns),
    }
    stage = Stage(
        (Step("v", "multiply", ("x", "s")),),
        (("v", "p"),),
        (Reduce("t", "sum", "v"),),
        (Step("d", "multiply", ("t", "rate")), Step("new", "subtract", ("bias", "d"))),
        (("new", "bias"),),
    )
    p, rate = np.zeros_like(x), np.array([0.1])
    want = np.zeros(columns)
    for row in x * s[:, None]:
        want = want + row
    want = bias - 0.1 * want
    run(Kernel((rows, columns), operands, (stage,)), {"x": x, "s": s, "rate": rate, "p": p, "bias": bias}, write=emit_columns)
    np.testing.assert_array_equal(p, x * s[:, None])
    np.testing.assert_array_equal(bias, want)


@pytest.mark.parametrize(
    ("source", "to"),
    [("float64", "float32"), ("float32", "float64"), ("int64", "float64"), ("float64", "int64"), ("bool", "float32")],
)
def test_conversions_are_numpys(source: str, to: str):
    x = (RNG.normal(size=43) * 10).astype(source)
    y = np.zeros(43, to)
    operands = {"x": Operand(source, (1,), 43), "y": Operand(to, (1,), 43)}
    run(Kernel((43,), operands, (Stage((Step("v", "astype", ("x",), to),), (("v", "y"),)),)), {"x": x, "y": y})
    np.testing.assert_array_equal(y, x.astype(to))


EXACT = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "negative": np.negative,
    "absolute": np.absolute,
    "sqrt": np.sqrt,
    "square": np.square,
}


@pytest.mark.parametrize("trial", range(40))
def test_random_programs_to_the_bit(trial: int):
    """Up to a dozen exact operations on operands that vary, repeat and transpose, on a grid of up to three axes."""
    rng = np.random.default_rng(trial)
    dtype = "float64" if trial % 2 else "float32"
    shape = tuple(int(n) for n in rng.integers(1, 24, rng.integers(1, 4)))
    arrays, operands = {}, {}
    for k in range(4):
        own = tuple(n if rng.random() < 0.7 else 1 for n in shape)
        axes = rng.permutation(len(shape)) if rng.random() < 0.3 else np.arange(len(shape))
        a = rng.normal(size=tuple(own[i] for i in axes)).astype(dtype)
        strides = dict(zip(axes, a.strides, strict=True))
        step = tuple(strides[i] // a.itemsize if own[i] > 1 else 0 for i in range(len(shape)))
        arrays[f"x{k}"], operands[f"x{k}"] = a, Operand(dtype, step, a.size)
        arrays[f"x{k}"] = a
    values = {
        n: np.lib.stride_tricks.as_strided(a, shape, [s * a.itemsize for s in operands[n].strides]) for n, a in arrays.items()
    }
    steps = []
    with np.errstate(all="ignore"):
        for k in range(rng.integers(1, 12)):
            op = rng.choice(list(EXACT))
            chosen = [str(rng.choice(list(values))) for _ in range(EXACT[op].nin)]
            steps.append(Step(f"v{k}", str(op), tuple(chosen)))
            values[f"v{k}"] = EXACT[op](*(values[c] for c in chosen))
    out = np.zeros(shape, dtype)
    arrays["y"], operands["y"] = out, Operand(dtype, tuple(s // out.itemsize for s in out.strides), out.size)
    run(Kernel(shape, operands, (Stage(tuple(steps), ((steps[-1].out, "y"),)),)), arrays)
    np.testing.assert_array_equal(out, values[steps[-1].out])


@pytest.mark.parametrize(
    "operand",
    [
        Operand("float64", (1,), 9),
        Operand("float64", (1,), 10, offset=1),
        Operand("float64", (-1,), 10, offset=8),
        Operand("float64", (2,), 18),
        Operand("float64", (1, 1), 100),
    ],
)
def test_an_access_outside_the_buffer_is_refused(operand: Operand):
    kernel = Kernel((10,), {"x": operand, "y": Operand("float64", (1,), 10)}, (Stage((), (("x", "y"),)),))
    with pytest.raises(ValueError, match="operand x"):
        kernel_ir({"k": kernel})


def test_a_value_of_another_type_is_not_stored():
    kernel = Kernel((4,), {"x": Operand("float64", (1,), 4), "y": Operand("float32", (1,), 4)}, (Stage((), (("x", "y"),)),))
    with pytest.raises(ValueError, match="cannot be stored"):
        kernel_ir({"k": kernel})


@pytest.mark.parametrize("name", ["avx512", "avx2", "plain", "aarch64"])
def test_code_for_other_machines_is_generated(name: str):
    target = named(name)
    ir = kernel_ir({"softmax": softmax_kernel(9, 100, "float32"), "add": elementwise("add", 33, "float64", 2)}, target)
    assert len(module.compile_object(ir, target)) > 500


@pytest.mark.skipif(not host().has_fma, reason="needs fused multiply-add")
def test_the_same_bits_with_narrow_and_wide_registers():
    x = (RNG.normal(size=(9, 100)) * 20).astype("float32")
    results = []
    for target in {host(), named("avx2"), named("plain")} if host().is_x86 else {host()}:
        y, lse = np.zeros_like(x), np.zeros(9, "float32")
        run(softmax_kernel(9, 100, "float32"), {"x": x, "y": y, "lse": lse}, target)
        results.append((y.tobytes(), lse.tobytes()))
    assert len(set(results)) == 1


@pytest.mark.parametrize("shape", [(1 << 21,), (3, 1 << 20), (2, 100_003)])
def test_rounding_errors_of_long_sums_do_not_grow_with_their_length(shape: tuple[int, ...]) -> None:
    """All elements alike: the errors of one running sum would all point the same way, 3e-4 of it in the longest."""
    x = np.full(shape, 0.1, np.float32)
    got = cr.jit(lambda x: np.sum(x, -1), engine="native")(x)
    np.testing.assert_allclose(got, np.float32(0.1).astype(np.float64) * shape[-1], rtol=8e-6)
