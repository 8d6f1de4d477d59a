"""The writer of IR: operators, loops with any number of trips, branches, constants to the last bit."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

from chainrule.emit.native.builder import F32, F64, I1, I64, PTR, Function, Module, Type, Val, fma, select
from chainrule.emit.native.target import host
from native_code import load


def function(params: list[tuple[str, Type]], ret: Type | None = None) -> Function:
    return Module(host().triple).function("k", params, ret)


def call(f: Function, *args: object, restype: object = None, argtypes: tuple[object, ...] = ()) -> object:
    return load(f.module.text(), ["k"]).function("k", *argtypes, restype=restype)(*args)


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, 1e-320, math.pi, -1.5e300, math.inf, -math.inf])
@pytest.mark.parametrize("type_", [F64, F32])
def test_constants_keep_every_bit(value: float, type_: Type):
    f = function([("p", PTR)])
    f.store(f.const(value, type_), f.params[0])
    out = np.zeros(1, "float64" if type_ is F64 else "float32")
    call(f, out.ctypes.data, argtypes=(ctypes.c_void_p,))
    with np.errstate(over="ignore"):
        assert out.tobytes() == np.array([value]).astype(out.dtype).tobytes()


@pytest.mark.parametrize("trips", [(0, 0, 1), (0, 1, 1), (0, 10, 1), (3, 10, 4), (5, 2, 1), (0, 8, 8)])
@pytest.mark.parametrize("known", [True, False])
def test_loops_make_as_many_trips_as_a_range(trips: tuple[int, int, int], known: bool):
    start, stop, step = trips
    f = function([("start", I64), ("stop", I64)], I64)
    a, b = (start, stop) if known else f.params
    (total,) = f.loop(a, b, step, lambda i, c: [c[0] * 7 + i + 1], [f.i64(0)])
    f.return_(total)
    want = 0
    for i in range(*trips):
        want = want * 7 + i + 1
    assert call(f, start, stop, restype=ctypes.c_int64, argtypes=(ctypes.c_int64,) * 2) == want


def test_loops_and_branches_nest():
    """The sum of i over the pairs (i, j), j < i < n, where i + j is even."""
    f = function([("n", I64)], I64)

    def inner(i: Val, total: Val, j: Val) -> list[Val]:
        return f.when(((i + j) & 1).eq(0), lambda: [total + i], [total])

    (total,) = f.loop(0, f.params[0], 1, lambda i, c: f.loop(0, i, 1, lambda j, d: inner(i, d[0], j), c), [f.i64(0)])
    f.return_(total)
    want = sum(i for i in range(20) for j in range(i) if (i + j) % 2 == 0)
    assert call(f, 20, restype=ctypes.c_int64, argtypes=(ctypes.c_int64,)) == want


@pytest.mark.parametrize("n", [1, 6, 27])
def test_do_while(n: int):
    """Steps of Collatz's sequence until 1, the first always made."""
    f = function([("n", I64)], I64)

    def step(c: list[Val]) -> tuple[Val, list[Val]]:
        x = select((c[0] & 1).eq(0), c[0] >> 1, c[0] * 3 + 1)
        return x.ne(1), [x, c[1] + 1]

    f.return_(f.do_while(step, [f.params[0], f.i64(0)])[1])
    x, want = n, 0
    while True:
        x, want = x // 2 if x % 2 == 0 else 3 * x + 1, want + 1
        if x == 1:
            break
    assert call(f, n, restype=ctypes.c_int64, argtypes=(ctypes.c_int64,)) == want


def test_vectors_shuffle_and_reflect_operators():
    f = function([("p", PTR), ("q", PTR)])
    v = f.load(f.params[0], F64.of(4))
    w = f.shuffle(v, None, [3, 2, 1, 0])
    f.store(select(v.lt(w), 1.0 - v, fma(2.0, w, v)), f.params[1])
    x, y = np.array([1.0, 5.0, 2.0, 4.0]), np.zeros(4)
    call(f, x.ctypes.data, y.ctypes.data, argtypes=(ctypes.c_void_p,) * 2)
    np.testing.assert_array_equal(y, np.where(x < x[::-1], 1 - x, 2 * x[::-1] + x))


def test_mixed_types_and_wrong_carries_are_errors_at_once():
    f = function([("a", F64), ("b", F32)])
    with pytest.raises(TypeError, match="add of double and float"):
        f.params[0] + f.params[1]
    with pytest.raises(ValueError, match="carries 1 values and its body returned 0"):
        f.loop(0, 5, 1, lambda *_: [], [f.i64(0)])
    with pytest.raises(ValueError, match="defined twice"):
        f.module.function("k", [])


def test_any_lane():
    f = function([("p", PTR)], I64)
    found = f.any(f.load(f.params[0], F64.of(8)).gt(1.0))
    assert found.type == I1
    f.return_(f.cast("zext", found, I64))
    code = load(f.module.text(), ["k"]).function("k", ctypes.c_void_p, restype=ctypes.c_int64)
    x = np.zeros(8)
    assert code(x.ctypes.data) == 0
    x[6] = 2
    assert code(x.ctypes.data) == 1
