"""The native engine against the numpy engine: every row, random programs, loops, errors, odd shapes, threads."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from tests import programs, row_samples

import chainrule as cr
from chainrule.build.builder import Builder
from chainrule.build.tree import flatten
from chainrule.emit.native import module
from chainrule.emit.native.engine import Native, to_native
from chainrule.emit.native.lower import lowered
from chainrule.emit.native.operations import Survey
from chainrule.emit.native.plan import plan
from chainrule.emit.native.pool import using
from chainrule.emit.native.target import named
from chainrule.emit.native.write import program_ir
from chainrule.emit.numpy import Program
from chainrule.ir.graph import Graph
from chainrule.ir.types import ArrayType, type_of
from chainrule.prims import TABLE

SAMPLES = list(row_samples.samples())
ULPS = {"float64": 8, "float32": 8}
"""How far results of one equation may be apart: both engines are right within a few units, sums add in another order."""
LEFT = {
    "solve", "inv", "det", "slogdet", "adjugate", "adjugate_slope", "cholesky", "eigh", "qr", "svd", "pinv", "lstsq", "matrix_rank",
    "argsort", "searchsorted", "conj", "real", "imag", "gamma", "gammaln", "digamma", "zeta", "riemann_zeta", "beta", "betaln",
    "erfinv", "erfcinv", "ndtri", "inverse_mills", "rel_entr", "kl_div", "hyp1f1", "exprel", "iv", "ive", "i0", "i1", "i0e", "i1e",
    "incomplete_gamma_slope", "gammaincinv",
}  # fmt: skip
"""Rows that the engine leaves to NumPy."""


def native(g: Graph) -> Native:
    f = to_native(g)
    assert isinstance(f, Native)
    return f


def near(got: Any, want: Any, ulps: float) -> None:
    """Same dtypes and shapes; numbers within units of the last place of the largest of the array."""
    for a, b in zip(got, want, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        assert np.array_equal(np.isnan(a), np.isnan(b))
        assert np.array_equal(a[np.isinf(b)], b[np.isinf(b)])
        finite = np.isfinite(b)
        scale = np.max(np.abs(b[finite]), initial=0) + np.finfo(a.dtype).tiny
        assert np.max(np.abs(a - b)[finite] / scale, initial=0) <= ulps * np.finfo(a.dtype).eps


def against_numpy(f: Any, *args: Any, ulps: float = 64) -> Native:
    g = cr.jit(f).trace(*args)
    leaves = [np.asarray(x) for x in flatten((args, {}))[0]]
    n = native(g)
    near(n(*leaves), Program(g)(*leaves), ulps)
    return n


# --- rows ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(len(SAMPLES)), ids=[f"{s.row}-{k}" for k, s in enumerate(SAMPLES)])
def test_every_row_agrees_with_numpy(k: int) -> None:
    s = SAMPLES[k]
    f = native(s.graph)
    near(f(*s.args), Program(s.graph)(*map(np.asarray, s.args)), 8)
    assert bool(f.survey.calls) == (s.row in LEFT)


def test_float32_and_integers_agree_with_numpy() -> None:
    """All elementwise samples in one graph, in float32, and all that take integers in each integer dtype."""
    for dtype in (np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint32, np.uint64, np.bool_):
        args: list[Any] = []
        with Builder().here() as b, np.errstate(all="ignore"):
            outs = []
            for s in SAMPLES:
                row = TABLE[s.row]
                if not row.pointwise or s.row in LEFT or s.row == "cast" or row.value is None:
                    continue
                xs = [np.asarray(x).astype(np.bool_ if s.row == "select" and k == 0 else dtype) for k, x in enumerate(s.args)]
                try:
                    y = np.asarray(row.value(*xs))
                except (TypeError, ValueError):  # NumPy has no such loop, or no negative powers of integers
                    continue
                if y.dtype.name in ("float16", "complex128") or any(x.dtype.name == "float16" for x in xs):
                    continue
                args += xs
                outs.append(row(*[b.input(type_of(x)) for x in xs]))
            g = b.finish(outs)
        with np.errstate(all="ignore"):
            near(native(g)(*args), Program(g)(*args), 8)


def test_casts_agree_with_numpy() -> None:
    kinds = [
        np.dtype(n)
        for n in ("float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")
    ]
    x = np.array([0.0, 1.0, 2.75, 100.0, 127.0])
    with Builder().here() as b:
        ins = [b.input(ArrayType(d, (5,))) for d in kinds]
        g = b.finish([TABLE["cast"](v, dtype=d) for v in ins for d in kinds])
    args = [x.astype(d) for d in kinds]
    near(native(g)(*args), Program(g)(*args), 0)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (0, 3), (1, 1), (1, 5), (5, 1), (2, 1, 3), (17,), (33, 2)])
def test_odd_shapes(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)

    def f(x: Any) -> Any:
        total = np.sum(np.tanh(x) * x)
        return (
            total,
            np.sum(x, axis=0) if x.ndim else x,
            x * total,
            x.T + 1,
            np.reshape(x, (-1,)),
            np.concatenate([x, x], -1) if x.ndim else x,
        )

    against_numpy(f, x)


def test_results_that_are_inputs_or_constants() -> None:
    x = np.arange(6.0).reshape(2, 3)
    y = np.array([1.0, 2.0, 3.0])
    f = native(cr.jit(lambda x: (x, x, x.T, y, np.zeros((2, 2)), 3.0)).trace(x))
    got = f(x)
    for a, b in zip(got, (x, x, x.T, y, np.zeros((2, 2)), 3.0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.shares_memory(got[0], x)
    assert not np.shares_memory(got[0], got[1])


# --- random programs -------------------------------------------------------------------------------------------------------


def _batch(seeds: range) -> None:
    """Several programs and their gradients as one graph."""
    runs, args = [], []
    for seed in seeds:
        p, xs = programs.random_program(np.random.default_rng(seed), 8)
        runs.append((p, len(xs)))
        args.append(xs)

    def everything(args: Any) -> Any:
        return [
            cr.value_and_grad(lambda *a, p=p: p.run(np, *a), tuple(range(n)))(*xs) for (p, n), xs in zip(runs, args, strict=True)
        ]

    g = cr.jit(everything).trace(args)
    leaves = flatten(args)[0]
    got, want = native(g)(*leaves), Program(g)(*leaves)
    for a, b in zip(got, want, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.allclose(a, b, rtol=1e-11, atol=1e-11, equal_nan=True), f"seeds {seeds}"


@pytest.mark.parametrize("first", range(0, 300, 20))
def test_random_programs_and_their_gradients(first: int) -> None:
    _batch(range(first, first + 20))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 101_000, 1000))
def test_very_many_random_programs(first: int) -> None:
    for k in range(first, first + 1000, 20):
        _batch(range(k, k + 20))


# --- control flow ------------------------------------------------------------------------------------------------------------


def _mlp(p: Any, x: Any, y: Any) -> Any:
    (w1, b1), (w2, b2) = p
    return np.mean((np.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2)


def _training(p: Any, x: Any, y: Any) -> Any:
    def step(p: Any, i: Any) -> Any:
        loss, g = cr.value_and_grad(_mlp)(p, x[i], y[i])
        return [(a - 0.1 * c, b - 0.1 * d) for (a, b), (c, d) in zip(p, g, strict=True)], loss

    order = np.arange(60).reshape(15, 4) % 12
    return cr.scan(step, p, order)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_training_loop(dtype: Any, rng: np.random.Generator) -> None:
    p = [(rng.normal(size=(3, 9)), np.zeros(9)), (rng.normal(size=(9, 2)), np.zeros(2))]
    p = [(a.astype(dtype), b.astype(dtype)) for a, b in p]
    x, y = rng.normal(size=(12, 3)).astype(dtype), rng.normal(size=(12, 2)).astype(dtype)
    n = against_numpy(_training, p, x, y)
    assert not n.survey.calls


def test_gradient_through_a_scan(rng: np.random.Generator) -> None:
    def f(h: Any, xs: Any) -> Any:
        h, ys = cr.scan(lambda h, x: (np.tanh(h + x), np.sum(h * x)), h, xs)
        return np.sum(h) + np.sum(ys**2)

    against_numpy(cr.value_and_grad(f, (0, 1)), rng.normal(size=3), rng.normal(size=(11, 3)))


def test_nested_loops_and_choices(rng: np.random.Generator) -> None:
    def f(x: Any) -> Any:
        def outer(c: Any, r: Any) -> Any:
            inner = cr.while_loop(lambda s: s[1] < 5, lambda s: (s[0] * 0.9 + r, s[1] + 1), (c, 0))[0]
            c = cr.cond(np.sum(inner) > 1, lambda v: np.sin(v), lambda v: v + 1, inner)
            return c, np.max(c)

        return cr.scan(outer, x[0], x)

    against_numpy(f, rng.normal(size=(6, 4)))


def test_loops_of_no_and_one_step() -> None:
    for n in (0, 1, 2):
        against_numpy(
            lambda x: cr.scan(lambda c, v: (c + v, c * v), x[0] * 1.0, x),
            np.arange(3.0 * max(n, 1)).reshape(-1, 3)[:n] if n else np.zeros((1, 3)),
        )


def test_random_numbers_in_a_loop_have_the_same_bits() -> None:
    def f(key: Any) -> Any:
        def step(k: Any, _: Any) -> Any:
            a, b = cr.random.split(k)
            return a, (cr.random.bits(b, (37,)), cr.random.uniform(b, (3, 5)))

        return cr.scan(step, key, None, length=6)

    g = cr.jit(f).trace(cr.random.key(7))
    n = native(g)
    assert not n.survey.calls
    for a, b in zip(n(cr.random.key(7)), Program(g)(cr.random.key(7)), strict=True):
        np.testing.assert_array_equal(a, b)


# --- errors and interruptions -------------------------------------------------------------------------------------------------


def test_an_index_out_of_range_is_numpys_error() -> None:
    f = cr.jit(lambda x, i: x[i] * 2, engine="native")
    assert f(np.arange(4.0), np.array([0, -1]))[1] == 6.0
    with pytest.raises(IndexError):
        f(np.arange(4.0), np.array([0, 4]))
    assert f(np.arange(4.0), np.array([3, -4]))[1] == 0.0


def test_an_error_in_an_equation_left_to_numpy_is_raised() -> None:
    f = cr.jit(lambda a: np.linalg.cholesky(a) + 1, engine="native")
    np.testing.assert_allclose(f(np.eye(2) * 4), np.array([[3.0, 1], [1, 3]]))
    with pytest.raises(np.linalg.LinAlgError):
        f(-np.eye(2))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals")
def test_ctrl_c_stops_a_long_loop() -> None:
    f = cr.jit(lambda x, n: cr.while_loop(lambda s: s[1] < n, lambda s: (np.sin(s[0]), s[1] + 1), (x, 0))[0], engine="native")
    f(np.ones(4), np.array(3))  # compiled before the key is pressed
    sent: list[float] = []

    def press() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(np.ones(4), np.array(2_000_000_000))
    assert time.perf_counter() - sent[0] < 5  # 0.1 s on a quiet machine


# --- determinism ----------------------------------------------------------------------------------------------------------------


def test_the_same_bits_for_any_number_of_threads(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(3000, 40)), rng.normal(size=(40, 30))

    def f(x: Any, w: Any) -> Any:
        z = np.tanh(x @ w)
        return np.sum(np.exp(z) * z, 0), np.mean(z), z.T @ x

    n = native(cr.jit(f).trace(x, w))
    results = []
    for threads in (1, 2, 3):
        with using(threads):
            results.append([np.array(y) for y in n(x, w)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("m", [64, 100, 128, 131])
def test_products_that_are_shared_out(m: int, rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(m, 128)).astype(np.float32), rng.normal(size=(128, 96)).astype(np.float32)
    many = rng.normal(size=(9, m, 32))
    f: Any = lambda a, b, many: (a @ b, a.T @ a, b @ b.T, np.einsum("bij,bkj->bik", many, many))
    for threads in (1, 2):
        with using(threads):
            against_numpy(f, a, b, many)


def test_arguments_in_other_layouts(rng: np.random.Generator) -> None:
    x = rng.normal(size=(6, 4))
    f = cr.jit(lambda a: np.cumsum(a, 0) * 2, engine="native")
    want = np.cumsum(x, 0) * 2
    for a in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::2], x[::-1][::-1]):
        np.testing.assert_array_equal(f(a), want)


def test_calls_take_the_short_way_and_notice_other_arguments() -> None:
    f = cr.jit(lambda p, x: {"w": p["w"] * x, "b": (p["b"][0] + x,)}, engine="native")
    p: dict[str, Any] = {"w": np.arange(3.0), "b": (np.ones(3),)}
    for x in (np.ones(3), np.full(3, 2.0), np.float64(2.0), 3.0, np.ones(3, np.float32), np.arange(3)):
        for _ in range(2):
            y = f(p, x)
            np.testing.assert_array_equal(y["w"], p["w"] * x)
            np.testing.assert_array_equal(y["b"][0], p["b"][0] + x)
    assert f(p, np.ones((2, 3)))["w"].shape == (2, 3)
    single = cr.jit(lambda x, s: x * s, engine="native")
    x = np.ones(2, np.float32)
    assert single(x, 2.0).dtype == np.float32
    assert single(x, np.array(2.0)).dtype == np.float64
    assert single(x, 2.0).dtype == np.float32
    with cr.debug_nans(), pytest.raises(cr.errors.NonFiniteError):
        cr.jit(lambda x: np.log(x), engine="native")(np.array([-1.0, 1.0]))


# --- the size of the code -------------------------------------------------------------------------------------------------------


def _code(f: Any, *args: Any) -> str:
    return native(cr.jit(f).trace(*args))._ir(0)  # pyright: ignore[reportPrivateUsage]


def test_equal_layers_share_their_code(rng: np.random.Generator) -> None:
    w, x = rng.normal(size=(12, 24, 24)) / 5, rng.normal(size=(20, 24))

    def f(n: int) -> Any:
        def run(w: Any, x: Any) -> Any:
            for k in range(n):
                x = np.tanh(x @ w[k])
            return np.sum(x * x)

        return cr.value_and_grad(run)

    against_numpy(f(12), w, x)
    assert len(_code(f(12), w, x)) < 1.5 * len(_code(f(6), w, x))


@pytest.mark.parametrize("name", ["aarch64", "avx2", "avx512"])
def test_whole_programs_are_generated_for_other_machines(name: str, rng: np.random.Generator) -> None:
    """Verified by LLVM and turned into objects for them; only the machine we run on can say what they compute."""
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    p = [(rng.normal(size=(3, 9)), np.zeros(9)), (rng.normal(size=(9, 2)), np.zeros(2))]
    long = rng.normal(size=(300, 200)), rng.normal(size=(300, 300))
    f: Any = lambda p, x, y, a, b: (_training(p, x, y), np.tanh(a.T @ b), np.exp(np.sum(a, 1)))
    g = cr.jit(f).trace(p, x, y, *long)
    target = named(name)
    code = program_ir(plan(lowered(g, Survey(g))), 0, len(Survey(g).constants), target)
    assert f'target triple = "{target.triple}"' in code
    image = module.compile_object(code, target)
    machine = {"aarch64": 183, "avx2": 62, "avx512": 62}[name]
    assert image[:4] != b"\x7fELF" or int.from_bytes(image[18:20], "little") == machine
