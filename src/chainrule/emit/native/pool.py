"""Our own threads: workers that wait in machine code and share the pieces of one task at a time.

A worker is a daemon thread of Python inside one call into machine code, so that no system's way of making threads is
needed. A task is a function and a number of pieces; the caller and the workers take pieces from a counter until none is
left. A worker that comes late, or never, costs nothing: the caller does its pieces. So nothing can wait forever, and a task
inside a task, or that of a second caller, simply runs on its own thread.

Workers look for work for half a millisecond and then sleep in the kernel.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

from . import cache
from .module import Code
from .pool_code import CLOCK, ENSURE, LIMIT, RELEASE, SIGNALS, SIZE, SYSTEM_SLOTS, WAIT, WAKE, YIELD, pool_ir

__all__ = ["Pool", "default_threads", "shared", "using"]

_VOID = ctypes.c_void_p


def default_threads() -> int:
    """`CHAINRULE_THREADS`, or the processors this process may use."""
    wanted = os.environ.get("CHAINRULE_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), _VOID).value or 0


@functools.cache
def system_kind() -> str:
    """How threads sleep here: Linux has futexes, macOS ulocks, Windows waits on addresses; anything else takes naps."""
    return {"linux": "futex", "darwin": "ulock", "win32": "address"}.get(sys.platform, "nap")


def _system(kind: str) -> dict[int, int]:
    """The addresses of the operating system's calls, by their place in the state."""
    if kind == "address":
        kernel, base = ctypes.CDLL("kernel32"), ctypes.CDLL("api-ms-win-core-synch-l1-2-0")
        found = (base, "WaitOnAddress"), (base, "WakeByAddressAll"), (kernel, "GetTickCount64"), (kernel, "SwitchToThread")
    else:
        libc = ctypes.CDLL(None)
        wait, wake = {"futex": ("syscall", "syscall"), "ulock": ("__ulock_wait", "__ulock_wake")}.get(kind, ("usleep", "usleep"))
        found = (libc, wait), (libc, wake), (libc, "clock_gettime"), (libc, "sched_yield")
    addresses = {slot: _address(*f) for slot, f in zip((WAIT, WAKE, CLOCK, YIELD), found, strict=True)}
    python = {ENSURE: "PyGILState_Ensure", RELEASE: "PyGILState_Release", SIGNALS: "PyErr_CheckSignals"}
    return addresses | {slot: _address(ctypes.pythonapi, name) for slot, name in python.items()}


class Pool:
    """Some worker threads and the state they share with machine code.

    Args:
        threads: how many threads work on a task, the caller's included.
        kind: how idle workers sleep; the system's own way if absent.
        pin: keep each worker on a processor of its own, away from the first (Linux). Left alone, the kernel may put a
            worker on its caller's processor for a long time.
    """

    def __init__(self, threads: int = 1, kind: str | None = None, pin: bool = True):
        self.kind, self.pin = kind or system_kind(), pin
        self._memory = ctypes.create_string_buffer(SIZE + 128)
        self.state = (ctypes.addressof(self._memory) + 127) // 128 * 128
        for slot, address in _system(self.kind).items():
            self._word(slot).value = address
        self.code = _code(self.kind)
        self.run_address = self.code.addresses["pool_run"]
        self.poll_address = self.code.addresses["pool_poll"]
        self._run = self.code.function("pool_run", _VOID, _VOID, _VOID, ctypes.c_int64, restype=ctypes.c_int64)
        self._wake = self.code.function("pool_wake", _VOID)
        self._work = self.code.function("pool_worker", _VOID, ctypes.c_int64)
        self._workers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.resize(threads)

    def _word(self, offset: int) -> ctypes.c_int64:
        return ctypes.c_int64.from_address(self.state + offset)

    @property
    def threads(self) -> int:
        """How many threads work on a task."""
        return self._word(LIMIT).value + 1

    def resize(self, threads: int) -> None:
        """Start or end workers, so that `threads` threads work on a task. A task under way is finished first."""
        if threads < 1:
            raise ValueError(f"a pool has at least one thread, not {threads}")
        with self._lock:
            self._word(LIMIT).value = threads - 1
            self._wake(self.state)
            for worker in self._workers[threads - 1 :]:
                worker.join()
            del self._workers[threads - 1 :]
            for index in range(len(self._workers), threads - 1):
                worker = threading.Thread(target=self._worker, args=(index,), daemon=True, name=f"chainrule-{index}")
                self._workers.append(worker)
                worker.start()

    def _worker(self, index: int) -> None:
        if self.pin and hasattr(os, "sched_setaffinity"):
            processors = sorted(os.sched_getaffinity(0))
            with suppress(OSError):
                os.sched_setaffinity(0, {processors[(index + 1) % len(processors)]})
        self._work(self.state, index)

    def run(self, function: int, context: int, pieces: int) -> bool:
        """Call machine code `function(context, i)` for every i below `pieces`, in any order; False if interrupted."""
        return not self._run(self.state, function, context, pieces)

    def close(self) -> None:
        """End the workers."""
        self.resize(1)

    def forget(self) -> None:
        """In a child process: the workers did not come along, and a task of another thread will never end."""
        kept = {slot: self._word(slot).value for slot in SYSTEM_SLOTS}
        ctypes.memset(self.state, 0, SIZE)
        for slot, address in kept.items():
            self._word(slot).value = address
        self._workers, self._lock = [], threading.Lock()


@functools.cache
def _code(kind: str) -> Code:
    exports = ["pool_run", "pool_poll", "pool_wake", "pool_worker"]
    code, _ = cache.build(cache.key(pool_ir(kind)), lambda: pool_ir(kind), exports)
    # Daemon threads run in it until the process ends, whatever the interpreter has let go of by then.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(code))
    return code


_shared: list[Pool] = []
_shared_lock = threading.Lock()


def shared() -> Pool:
    """The pool of this process, started when it is first wanted (again, in a child process)."""
    with _shared_lock:
        if not _shared:
            pool = Pool(default_threads())
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(pool))  # its state must outlive its workers
            _shared.append(pool)
            atexit.register(_close)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(before=_shared_lock.acquire, after_in_parent=_shared_lock.release, after_in_child=_after_fork)
        return _shared[0]


def _after_fork() -> None:
    """A child starts with one thread: `shared().resize(n)` gives it more."""
    _shared_lock.release()
    for pool in _shared:
        pool.forget()


def _close() -> None:
    for pool in _shared:
        pool.close()


@contextmanager
def using(threads: int) -> Generator[Pool]:
    """The shared pool with another number of threads for a while."""
    pool = shared()
    before = pool.threads
    pool.resize(threads)
    try:
        yield pool
    finally:
        pool.resize(before)
