"""The pool of threads: every piece once, whoever calls, forks, interrupts or resizes."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from chainrule.emit.native.builder import I64, PTR, Module
from chainrule.emit.native.module import Code
from chainrule.emit.native.pool import Pool, default_threads, shared, system_kind, using
from chainrule.emit.native.target import host
from native_code import load


@functools.cache
def code() -> Code:
    """`mark` counts the calls of each piece; `spin` takes some time; `nested` runs a task inside a piece."""
    m = Module(host().triple)
    f = m.function("mark", [("c", PTR), ("i", I64)])
    p = f.offset(f.params[0], f.params[1], I64)
    f.store(f.load(p, I64) + 1, p)
    f = m.function("spin", [("c", PTR), ("i", I64)])
    room = f.alloca(I64)
    f.store(f.i64(1), room)
    f.loop(0, 2_000_000, 1, lambda i, _: f.store(f.load(room, I64) + i, room))
    f.call("mark", None, *f.params)
    f = m.function("nested", [("c", PTR), ("i", I64)])
    run, state, inner, marks = (f.load(f.offset(f.params[0], k, PTR), PTR) for k in range(4))
    f.call_pointer(run, I64, state, inner, f.offset(marks, f.params[1] * 8, I64), f.i64(8))
    f = m.function("repeat", [("run", PTR), ("state", PTR), ("fn", PTR), ("c", PTR), ("n", I64), ("times", I64)])
    f.loop(0, f.params[5], 1, lambda *_: f.call_pointer(f.params[0], I64, *f.params[1:5]) and None)
    return load(m.text(), ["mark", "spin", "nested", "repeat"])


def repeat(pool: Pool, name: str, context: int, pieces: int, times: int) -> None:
    f = code().function("repeat", *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)
    f(pool.run_address, pool.state, code().addresses[name], context, pieces, times)


@pytest.fixture(params=[1, 2, 4])
def pool(request: pytest.FixtureRequest):
    p = Pool(request.param)
    yield p
    p.close()


@pytest.mark.parametrize("pieces", [0, 1, 2, 7, 64])
def test_every_piece_is_done_once(pool: Pool, pieces: int):
    marks = np.zeros(65, np.int64)
    repeat(pool, "mark", marks.ctypes.data, pieces, 3000)
    assert (marks[:pieces] == 3000).all()
    assert not marks[pieces:].any()


def test_several_callers_at_once(pool: Pool):
    marks = np.zeros((6, 16), np.int64)
    callers = [threading.Thread(target=repeat, args=(pool, "mark", row.ctypes.data, 16, 3000)) for row in marks]
    for t in callers:
        t.start()
    for t in callers:
        t.join(60)
    assert (marks == 3000).all()


def test_a_task_inside_a_task(pool: Pool):
    marks = np.zeros(64, np.int64)
    context = np.array([pool.run_address, pool.state, code().addresses["mark"], marks.ctypes.data], np.int64)
    repeat(pool, "nested", context.ctypes.data, 8, 100)
    assert (marks == 100).all()


@pytest.mark.parametrize("kind", ["nap", *([system_kind()] if system_kind() != "nap" else [])])
def test_workers_sleep_and_wake(kind: str):
    pool, marks = Pool(3, kind), np.zeros(8, np.int64)
    try:
        for k in range(20):
            time.sleep(0.003 if k % 2 else 0)
            assert pool.run(code().addresses["mark"], marks.ctypes.data, 8)
        assert (marks == 20).all()
        time.sleep(0.02)
        before = resource.getrusage(resource.RUSAGE_SELF)
        time.sleep(0.3)
        after = resource.getrusage(resource.RUSAGE_SELF)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert busy < 0.15, "an idle pool keeps a processor busy"
    finally:
        pool.close()


def test_workers_do_take_pieces():
    """With a worker, some pieces run on a thread that is not the caller's."""
    with using(2) as pool:
        spent = lambda: time.thread_time()
        marks = np.zeros(64, np.int64)
        own = wall = 0.0
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            process, caller = time.process_time(), spent()
            pool.run(code().addresses["spin"], marks.ctypes.data, 64)
            wall, own = time.process_time() - process, spent() - caller
            if own < 0.9 * wall:
                break
        assert own < 0.9 * wall


def test_resizing_between_tasks():
    pool, marks, done = Pool(1), np.zeros(8, np.int64), 0
    for threads in (3, 1, 2, 4, 1):
        pool.resize(threads)
        assert pool.threads == threads
        repeat(pool, "mark", marks.ctypes.data, 8, 50)
        done += 50
    assert (marks == done).all()
    with pytest.raises(ValueError, match="at least one thread"):
        pool.resize(0)


def test_the_number_of_threads_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    assert default_threads() == 3
    for nonsense in ("", "0", "many"):
        monkeypatch.setenv("CHAINRULE_THREADS", nonsense)
        assert default_threads() >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_can_go_on():
    """Forked while a task of another thread is under way: the child works alone, then with new workers."""
    with using(2) as pool:
        marks, done = np.zeros(64, np.int64), np.zeros(8, np.int64)
        other = threading.Thread(target=repeat, args=(pool, "spin", marks.ctypes.data, 64, 4))
        other.start()
        time.sleep(0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
            child = os.fork()
        if child == 0:
            code_ = 1
            try:
                alone = pool.threads == 1
                repeat(pool, "mark", done.ctypes.data, 8, 100)
                shared().resize(2)
                repeat(pool, "mark", done.ctypes.data, 8, 100)
                shared().resize(1)
                code_ = 0 if alone and (done == 200).all() else 2
            finally:
                os._exit(code_)
        other.join(60)
        deadline = time.monotonic() + 30
        pid, status = 0, 0
        while not pid and time.monotonic() < deadline:
            pid, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if not pid:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert pid == child
        assert os.waitstatus_to_exitcode(status) == 0
        assert (marks == 4).all()


def test_an_interrupt_stops_a_long_task_between_pieces():
    """Ctrl-C in the main thread: the task ends early, says so, and the exception is raised."""
    marks, pieces = np.zeros(100_000, np.int64), 100_000
    for threads in (1, 2):
        pool = Pool(threads)
        marks[:] = 0
        run = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3, ctypes.c_int64)(pool.run_address)
        old = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        start = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                run(pool.state, code().addresses["spin"], marks.ctypes.data, pieces)
        finally:
            signal.signal(signal.SIGALRM, old)
            pool.close()
        assert time.monotonic() - start < 5
        assert 0 < marks.sum() < pieces
        assert marks.max() == 1


def test_the_interpreter_ends_with_workers_waiting():
    text = "from chainrule.emit.native.pool import shared; shared().resize(3); print(shared().threads)"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "3\n", "")
