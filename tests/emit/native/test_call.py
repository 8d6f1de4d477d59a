"""From Python into machine code: every argument checked, nothing leaked, wrong calls sent to the slow path."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from chainrule.emit.native.builder import F32, F64, I64, PTR, Module, Val
from chainrule.emit.native.call import ARENA, POOL_POLL, POOL_STATE, Array, Program, aligned
from chainrule.emit.native.pool import Pool
from chainrule.emit.native.target import host
from native_code import load

N = 6
VECTOR = Array(np.dtype(np.float64), (N,))
SCALAR = Array(np.dtype(np.float64), ())


def kernel_ir() -> str:
    """`axpy`: s x + y and the sum of x; `update`: p -= s g in place; `forever`: until interrupted."""
    m = Module(host().triple)

    def start(name: str, count: int) -> tuple[Val, Val, list[Val]]:
        f = m.function(name, [("arrays", PTR), ("context", PTR)], I64)
        arrays, context = f.params
        return arrays, context, [f.load(f.offset(arrays, k, PTR), PTR) for k in range(count)]

    arrays, _, (s, x, y, z, t) = start("axpy", 5)
    f = arrays.f
    scale = f.load(s, F64)

    def step(i: Val, total: list[Val]) -> list[Val]:
        v = f.load(f.offset(x, i, F64), F64)
        f.store(scale * v + f.load(f.offset(y, i, F64), F64), f.offset(z, i, F64))
        return [total[0] + v]

    f.store(f.loop(0, N, 1, step, [f.const(0.0, F64)])[0], t)
    f.return_(f.i64(0))

    arrays, context, (p, g) = start("update", 2)
    f = arrays.f
    room = f.load(f.offset(context, ARENA, PTR), PTR)
    f.store(f.load(g, F64), room)
    f.loop(0, N, 1, lambda i, _: f.store(f.load(f.offset(p, i, F64), F64) - f.load(room, F64), f.offset(p, i, F64)))
    f.return_(f.i64(0))

    arrays, context, _ = start("forever", 0)
    f = arrays.f
    poll, state = (f.load(f.offset(context, k, PTR), PTR) for k in (POOL_POLL, POOL_STATE))

    def wait(_: list[Val]) -> tuple[Val, list[Val]]:
        status = f.call_pointer(poll, I64, state)
        return status.eq(0), [status]

    f.return_(f.do_while(wait, [f.i64(0)])[0])

    arrays, _, _ = start("nothing", 0)
    arrays.f.return_(arrays.f.i64(3))

    arrays, _, (x, y) = start("narrow", 2)
    f = arrays.f
    f.store(f.load(x, F32) + 1.0, y)
    f.return_(f.i64(0))
    return m.text()


@pytest.fixture(scope="module")
def code():
    return load(kernel_ir(), ["axpy", "update", "forever", "nothing", "narrow"])


def slow(*args: object, **names: object) -> tuple[str, int, dict[str, object]]:
    return "slow", len(args), names


@pytest.fixture(params=[False, True], ids=["with the GIL", "without the GIL"])
def axpy(code, request: pytest.FixtureRequest):
    return Program(code, "axpy", (SCALAR, VECTOR, VECTOR), (VECTOR, SCALAR), release_gil=request.param)


def test_results_are_new_arrays_and_scalars(axpy: Program):
    x, y = np.arange(6.0), np.ones(6)
    z, t = axpy.callable("axpy", slow)(np.array(2.0), x, y)
    np.testing.assert_array_equal(z, 2 * x + y)
    assert type(z) is np.ndarray
    assert z.flags.owndata
    assert type(t) is np.float64
    assert t == 15.0


def test_a_float_serves_as_a_number(axpy: Program):
    z, _ = axpy.callable("axpy", slow)(0.5, np.arange(6.0), np.zeros(6))
    np.testing.assert_array_equal(z, 0.5 * np.arange(6))


GOOD = (np.array(2.0), np.arange(6.0), np.ones(6))


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, np.array([2.0])),
        (0, 2),
        (0, True),
        (0, np.float32(2)),
        (0, np.float64(2)),
        (0, None),
        (1, np.arange(7.0)),
        (1, np.arange(5.0)),
        (1, np.arange(6)),
        (1, np.arange(6.0).astype(">f8")),
        (1, np.arange(6, dtype=np.float32)),
        (1, np.arange(12.0)[::2]),
        (1, np.arange(6.0)[::-1]),
        (1, np.arange(6.0).reshape(2, 3)),
        (1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        (1, np.zeros(49, np.uint8)[1:].view(np.float64)),
        (1, np.ma.array(np.arange(6.0))),
        (2, "abcdef"),
        (2, 3.5),
    ],
)
def test_what_is_not_plainly_right_goes_the_slow_way(axpy: Program, position: int, value: object):
    args = list(GOOD)
    args[position] = value
    assert axpy.callable("axpy", slow)(*args) == ("slow", 3, {})


def test_a_wrong_number_of_arguments_and_keywords_go_the_slow_way(axpy: Program):
    f = axpy.callable("axpy", slow)
    assert f() == ("slow", 0, {})
    assert f(*GOOD[:2]) == ("slow", 2, {})
    assert f(*GOOD, 1) == ("slow", 4, {})
    assert f(*GOOD, k=1) == ("slow", 3, {"k": 1})
    assert f(*GOOD[:2], y=GOOD[2])[1:] == (2, {"y": GOOD[2]})


def test_an_error_of_the_slow_path_comes_through(axpy: Program):
    def broken(*_: object) -> None:
        raise LookupError("slow")

    with pytest.raises(LookupError, match="slow"):
        axpy.callable("axpy", broken)(1)


def test_an_argument_written_in_place_is_the_result(code):
    program = Program(code, "update", (VECTOR, SCALAR), (Array(VECTOR.dtype, (N,), alias=0),), arena=64)
    f, p = program.callable("update", slow), np.arange(6.0)
    assert f(p, np.array(1.0)) is p
    np.testing.assert_array_equal(p, np.arange(6.0) - 1)
    frozen = np.arange(6.0)
    frozen.flags.writeable = False
    assert f(frozen, np.array(1.0))[0] == "slow"
    assert f(p, p[2:3].reshape(()))[0] == "slow"  # shares memory with what is written
    kept = np.arange(6.0)
    np.testing.assert_array_equal(program.run(kept, 1.0)[0], kept - 1)
    np.testing.assert_array_equal(kept, np.arange(6.0))


def test_the_slow_run_takes_any_memory_but_only_the_right_type(axpy: Program):
    z, t = axpy.run(2.0, np.arange(12.0)[::-2], np.ones(6))
    np.testing.assert_array_equal(z, 2 * np.arange(12.0)[::-2] + 1)
    assert t == np.arange(12.0)[::-2].sum()
    with pytest.raises(TypeError, match=r"array 1 is float64\[7\], not float64\[6\]"):
        axpy.run(2.0, np.arange(7.0), np.ones(6))
    with pytest.raises(TypeError, match="takes 3 arrays, not 2"):
        axpy.run(2.0, np.arange(6.0))


def test_nothing_is_leaked(code):
    class Marked(np.ndarray):
        pass

    program = Program(code, "axpy", (SCALAR, VECTOR, VECTOR), (VECTOR, SCALAR))
    f, x, y, s = program.callable("axpy", slow), np.arange(6.0), np.ones(6), np.array(1.0)
    f(s, x, y)
    gc.collect()
    before = [sys.getrefcount(v) for v in (x, y, s, None, np.dtype(np.float64))]
    for _ in range(1000):
        f(s, x, y)
        f(s, x)
    assert [sys.getrefcount(v) for v in (x, y, s, None, np.dtype(np.float64))] == before
    table = weakref.ref(f.__self__)
    del f
    gc.collect()
    assert table() is None


def test_a_callable_keeps_its_code_alive():
    code = load(kernel_ir(), ["axpy"])
    f = Program(code, "axpy", (SCALAR, VECTOR, VECTOR), (VECTOR, SCALAR)).callable("axpy", slow)
    del code
    gc.collect()
    for _ in range(100):
        f(*GOOD)


def test_threads_call_one_program_at_once(code):
    """The arena belongs to one call at a time: the others go the slow way."""
    program = Program(code, "update", (VECTOR, SCALAR), (Array(VECTOR.dtype, (N,), alias=0),), arena=64, release_gil=True)
    f, wrong = program.callable("update", lambda *a: program.run(*a)[0]), []

    def work(k: int) -> None:
        for _ in range(2000):
            out = f(np.arange(6.0), np.array(float(k)))
            if not (out == np.arange(6.0) - k).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not wrong


@pytest.mark.parametrize("fast", [True, False])
def test_an_interrupt_raises_within_a_tenth_of_a_second(code, fast: bool):
    pool = Pool(1)
    program = Program(code, "forever", (), (SCALAR,), pool=pool, release_gil=True)
    run = program.callable("forever", slow) if fast else program.run
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        signal.signal(signal.SIGALRM, old)
        pool.close()
    assert time.monotonic() - start < 0.05 + 0.1 + 5  # seconds to spare for a busy machine


def test_a_failure_without_a_reason_is_a_system_error(code):
    with pytest.raises(SystemError):
        Program(code, "nothing", (VECTOR,), (VECTOR,)).callable("nothing", slow)(np.arange(6.0))


def test_other_types(code):
    a = Array(np.dtype(np.float32), ())
    result = Program(code, "narrow", (a,), (a,)).callable("narrow", slow)(np.array(1, np.float32))
    assert type(result) is np.float32
    assert result == 2


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((), (), "has an output"),
        ((Array(np.dtype(">f8"), (2,)),), (VECTOR,), "native byte order"),
        ((VECTOR,), (Array(VECTOR.dtype, (5,), alias=0),), "cannot take over input 0"),
        ((VECTOR,), (Array(VECTOR.dtype, (6,), alias=1),), "cannot take over input 1"),
        ((VECTOR,), (Array(VECTOR.dtype, (6,), alias=0), Array(VECTOR.dtype, (6,), alias=0)), "one input"),
    ],
)
def test_impossible_programs_are_refused(code, inputs, outputs, message: str):
    with pytest.raises(ValueError, match=message):
        Program(code, "axpy", inputs, outputs)


def test_arenas_are_aligned():
    for size in (0, 1, 100, 10_000):
        room = aligned(size)
        assert room.size == max(size, 64)
        assert room.ctypes.data % 64 == 0
