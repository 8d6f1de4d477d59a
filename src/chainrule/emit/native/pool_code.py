"""The machine code of the pool of threads, and the state it shares with Python.

A task is published by the store that makes `NEXT` positive, after its function, context and `DONE` are in place. A piece is
taken by counting `NEXT` down; whoever has one keeps the task in place until `DONE` has counted it. All of these are
sequentially consistent: they happen a few times per task.
"""

from __future__ import annotations

import sys

from .builder import I1, I32, I64, PTR, Function, Module, Val
from .target import Target, host

# Bytes from the start of the state. What different threads write lies on different pairs of cache lines.
FUNCTION, CONTEXT, LIMIT, LAST_POLL = 0, 8, 16, 24
WAIT, WAKE, CLOCK, YIELD, ENSURE, RELEASE, SIGNALS = range(64, 120, 8)
BUSY, NEXT, DONE, ASLEEP, WAKES, CANCEL = range(128, 128 * 7, 128)
SIZE = 128 * 7
SYSTEM_SLOTS = (WAIT, WAKE, CLOCK, YIELD, ENSURE, RELEASE, SIGNALS)

SPIN_NS = 500_000
POLL_NS = 20_000_000
_PATIENCE = 20_000  # looks at `DONE` before the caller gives its processor away between looks
_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # private to the process


def pool_ir(kind: str, target: Target | None = None) -> str:
    """The module: `pool_run`, `pool_poll`, `pool_wake`, `pool_worker`; `kind` is how a thread sleeps."""
    processor = target or host()
    m = Module(processor.triple)
    writer = _Writer(m, kind, processor)
    for write in (writer.now, writer.poll, writer.wake, writer.worker, writer.run):
        write()
    return m.text()


def _at(state: Val, offset: int) -> Val:
    return state.f.emit(f"getelementptr i8, ptr {state.ref}, i64 {offset}", PTR)


def read(state: Val, offset: int) -> Val:
    return state.f.emit(f"load atomic i64, ptr {_at(state, offset).ref} seq_cst, align 8", I64)


def write(state: Val, offset: int, value: Val | int) -> None:
    ref = value.ref if isinstance(value, Val) else value
    state.f.do(f"store atomic i64 {ref}, ptr {_at(state, offset).ref} seq_cst, align 8")


def add(state: Val, offset: int, amount: int) -> Val:
    """Add, and return the value before."""
    return state.f.emit(f"atomicrmw add ptr {_at(state, offset).ref}, i64 {amount} seq_cst, align 8", I64)


def slot(state: Val, offset: int) -> Val:
    return state.f.load(_at(state, offset), PTR)


class _Writer:
    def __init__(self, m: Module, kind: str, target: Target):
        self.m, self.kind, self.target = m, kind, target

    def pause(self, f: Function) -> None:
        """Tell the processor that this is a loop that waits."""
        if self.target.is_x86:
            f.call("llvm.x86.sse2.pause", None)
        else:
            f.call("llvm.aarch64.hint", None, f.const(1, I32))

    def now(self) -> None:
        """Nanoseconds of a clock that only goes forward."""
        f = self.m.function("pool_now", [("state", PTR)], I64, internal=True)
        clock = slot(f.params[0], CLOCK)
        if self.kind == "address":
            f.return_(f.call_pointer(clock, I64) * 1_000_000)
            return
        room = f.alloca(I64, 2)
        f.call_pointer(clock, I32, f.const(6 if sys.platform == "darwin" else 1, I32), room)
        f.return_(f.load(room, I64) * 1_000_000_000 + f.load(f.offset(room, 1, I64), I64))

    def poll(self) -> None:
        """1 if Ctrl-C was pressed (and the exception is set), looked up at most every 20 ms; else 0."""
        f = self.m.function("pool_poll", [("state", PTR)], I64)
        (state,) = f.params
        now = f.call("pool_now", I64, state)
        due = (now - read(state, LAST_POLL)).gt(POLL_NS)

        def look() -> list[Val]:
            write(state, LAST_POLL, now)
            gil = f.call_pointer(slot(state, ENSURE), I32)
            found = f.call_pointer(slot(state, SIGNALS), I32)
            f.call_pointer(slot(state, RELEASE), None, gil)
            return [f.cast("zext", found.ne(0), I64)]

        f.return_(f.when(due, look, [f.i64(0)])[0])

    # -- sleeping -----------------------------------------------------------------------------------------------------

    def _futex(self, f: Function, call: Val, address: Val, operation: int, value: Val) -> None:
        number, low = 202 if self.target.is_x86 else 98, f.cast("trunc", value, I32)
        f.do(f"call i64 (i64, ...) {call.ref}(i64 {number}, ptr {address.ref}, i32 {operation}, i32 {low.ref}, ptr null)")

    def sleep(self, f: Function, state: Val, wakes: Val) -> None:
        """Sleep until `WAKES` is no longer what it was, or for a while."""
        address, wait = _at(state, WAKES), slot(state, WAIT)
        if self.kind == "futex":
            self._futex(f, wait, address, _FUTEX_WAIT, wakes)
        elif self.kind == "ulock":
            f.call_pointer(wait, I32, f.const(1, I32), address, wakes, f.const(0, I32))
        elif self.kind == "address":
            old = f.alloca(I64)
            f.store(wakes, old)
            f.call_pointer(wait, I32, address, old, f.i64(8), f.const(-1, I32))
        else:
            f.call_pointer(wait, I32, f.const(300, I32))

    def wake(self) -> None:
        """Wake everybody."""
        f = self.m.function("pool_wake", [("state", PTR)])
        (state,) = f.params
        add(state, WAKES, 1)
        address, call = _at(state, WAKES), slot(state, WAKE)
        if self.kind == "futex":
            self._futex(f, call, address, _FUTEX_WAKE, f.i64(2**31 - 1))
        elif self.kind == "ulock":
            f.call_pointer(call, I32, f.const(0x101, I32), address, f.i64(0))
        elif self.kind == "address":
            f.call_pointer(call, None, address)

    # -- working ------------------------------------------------------------------------------------------------------

    def pieces(self, f: Function, state: Val, caller: bool) -> None:
        """Take pieces and do them until none is left. After a cancellation they are only counted."""

        def work(ticket: Val) -> None:
            function, context = slot(state, FUNCTION), slot(state, CONTEXT)
            f.call_pointer(function, None, context, ticket - 1)
            if caller:
                f.when(f.call("pool_poll", I64, state).ne(0), lambda: write(state, CANCEL, 1))

        def mine(ticket: Val) -> None:
            f.when(read(state, CANCEL).eq(0), lambda: work(ticket))
            add(state, DONE, 1)

        def body(_: list[Val]) -> tuple[Val, list[Val]]:
            ticket = add(state, NEXT, -1)
            have = ticket.gt(0)
            f.when(have, lambda: mine(ticket))
            return have, []

        f.do_while(body)

    def worker(self) -> None:
        """Look for work; after a while sleep; leave when there are to be fewer workers than my number."""
        f = self.m.function("pool_worker", [("state", PTR), ("index", I64)])
        state, index = f.params

        def look(start: Val) -> tuple[Val, list[Val]]:
            wakes = read(state, WAKES)  # before the looks, so that what happens after them ends the sleep
            wanted, found = index.lt(read(state, LIMIT)), read(state, NEXT).gt(0)
            f.when(found & wanted, lambda: self.pieces(f, state, caller=False))
            f.loop(0, 16, 1, lambda _, __: self.pause(f))
            spun = f.call("pool_now", I64, state) - start
            return ~found & wanted & spun.lt(SPIN_NS), [wakes, _flag(found), _flag(wanted)]

        def rest(wakes: Val) -> None:
            def nap(_: list[Val]) -> tuple[Val, list[Val]]:
                quiet = read(state, NEXT).le(0) & index.lt(read(state, LIMIT)) & read(state, WAKES).eq(wakes)
                f.when(quiet, lambda: self.sleep(f, state, wakes))
                return quiet, []

            add(state, ASLEEP, 1)
            f.do_while(nap)
            add(state, ASLEEP, -1)

        def life(_: list[Val]) -> tuple[Val, list[Val]]:
            start = f.call("pool_now", I64, state)
            wakes, found, wanted = f.do_while(lambda _: look(start), [f.i64(0)] * 3)
            f.when(found.eq(0) & wanted.ne(0), lambda: rest(wakes))
            return index.lt(read(state, LIMIT)), []

        f.do_while(life)

    def run(self) -> None:
        """Do all pieces of a task; 0, or 1 if it was interrupted and is not complete."""
        f = self.m.function("pool_run", [("state", PTR), ("function", PTR), ("context", PTR), ("n", I64)], I64)
        state, _, _, n = f.params
        share = n.ge(2) & read(state, LIMIT).ge(1)
        (got,) = f.when(share, lambda: [self._claim(f, state)], [f.const(0, I1)])
        result = f.alloca(I64)
        f.when(got, lambda: self._shared(f, result))
        f.when(~got, lambda: self._alone(f, result))
        f.return_(f.load(result, I64))

    @staticmethod
    def _claim(f: Function, state: Val) -> Val:
        """Make the pool mine, if nobody else's task is under way."""
        pair = f.fresh("pair")
        f.do(f"%{pair} = cmpxchg ptr {_at(state, BUSY).ref}, i64 0, i64 1 seq_cst seq_cst, align 8")
        return f.emit(f"extractvalue {{ i64, i1 }} %{pair}, 1", I1)

    def _alone(self, f: Function, result: Val) -> None:
        state, function, context, n = f.params

        def piece(i: Val, stopped: list[Val]) -> list[Val]:
            def work() -> list[Val]:
                f.call_pointer(function, None, context, i)
                return [f.call("pool_poll", I64, state)]

            return f.when(stopped[0].eq(0), work, stopped)

        f.store(f.loop(0, n, 1, piece, [f.i64(0)])[0], result)

    def _shared(self, f: Function, result: Val) -> None:
        state, function, context, n = f.params
        f.store(function, _at(state, FUNCTION))
        f.store(context, _at(state, CONTEXT))
        write(state, CANCEL, 0)
        write(state, DONE, 0)
        write(state, NEXT, n)
        f.when(read(state, ASLEEP).gt(0), lambda: f.call("pool_wake", None, state) and None)
        self.pieces(f, state, caller=True)

        def wait(count: list[Val]) -> tuple[Val, list[Val]]:
            self.pause(f)
            f.when(count[0].gt(_PATIENCE), lambda: f.call_pointer(slot(state, YIELD), I32) and None)
            return read(state, DONE).lt(n), [count[0] + 1]

        f.do_while(wait, [f.i64(0)])
        f.store(read(state, CANCEL), result)
        write(state, BUSY, 0)


def _flag(condition: Val) -> Val:
    return condition.f.cast("zext", condition, I64)
