"""The processes that train together, as training sees them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from chainrule import errors
from chainrule.distributed.line import END, RESTART, Line

FAULT = 75  # exit status of a process that others have left alone: try again
GRACE = 5.0  # seconds that JAX gets to notice by itself that a peer is gone
_TICK = 0.1
_RESCUE = 30.0  # seconds that saving may take when all else is lost


class Alone:
    """One process."""

    processes = 1
    id = 0
    rescue: Callable[[], Any] | None = None

    def exchange(self, label: str, value: Any) -> list[Any]:
        """The values of all processes."""
        return [value]

    @contextmanager
    def together(self, what: str) -> Generator[None, None, None]:
        """Something that all processes do at once."""
        yield

    def failed(self, e: BaseException) -> None:
        """Tell the others that this process does not go on."""


class Group(Alone):
    """Several processes.

    A thread watches over what they do together.  It ends this process, with a message and after what could be saved was saved,
    where nothing else can: if JAX does not return because a peer is gone, or because nothing moves.

    Args:
        line: The line to the others, which listens already.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.processes, self.id = len(line.hosts), line.id
        self.busy: tuple[str, float] | None = None
        self.rescue = None
        line.alone = _abandon
        threading.Thread(target=self._watch, name="chainrule watch", daemon=True).start()

    def exchange(self, label: str, value: Any) -> list[Any]:
        """The values of all processes, once all have come to this place.

        Raises:
            DistributedError: A process is gone, is somewhere else, or does not come in time.
        """
        return self.line.exchange(label, value)

    @contextmanager
    def together(self, what: str) -> Generator[None, None, None]:
        """Something that all processes do at once, for which JAX makes each wait for the others.

        Raises:
            DistributedError: It cannot be done, since a process is gone.
        """
        self.line.check()
        self.busy = (what, time.monotonic())
        try:
            yield
        except errors.ChainruleError:
            raise
        except Exception as e:
            raise self._explained(what, e) from None
        finally:
            self.busy = None

    def _explained(self, what: str, e: Exception) -> Exception:
        """What the line knows about an error of JAX's."""
        with self.line.changed:
            self.line.changed.wait_for(lambda: self.line.fault, GRACE)
        if self.line.fault is None:
            self.failed(e)
            return e
        return errors.DistributedError(f"{self.line.fault} It happened during {what}.", RESTART)

    def failed(self, e: BaseException) -> None:
        """Tell the others that this process does not go on."""
        said = (str(e).splitlines() or [""])[0]
        own = f"{self.line.name(self.id)} cannot go on: {type(e).__name__}: {said}"
        self.line.broken(e.seen if isinstance(e, errors.DistributedError) else own)

    def _watch(self) -> None:
        line = self.line
        while not line.closing:
            with line.changed:
                line.changed.wait(_TICK)
            now, busy = time.monotonic(), self.busy
            if busy is None:
                continue
            if line.fault and now - max(line.fault_at, busy[1]) > GRACE:
                self._end(line.fault)
            elif line.ended and now - busy[1] > GRACE + line.timeout / 10:
                line.broken(f"{line.name(min(line.ended))} has ended its program, and {busy[0]} needs it.")
            elif now - busy[1] > line.timeout:
                line.broken(f"{line.name(self.id)}: {busy[0]} has not come to its end within {line.timeout:.0f} s.")

    def _end(self, why: str | None) -> None:
        """End this process."""
        if self.rescue is not None:
            _within(_RESCUE, self.rescue)
        _within(1.0, sys.stdout.flush)
        self.line.farewell()
        _abandon(str(why))

    def leave(self) -> None:
        """Part from the others at the end of the program: once they have come to theirs, or at once if something is wrong."""
        raised = getattr(sys, "last_value", None)
        if raised is not None and self.line.fault is None:
            self.failed(raised)
        try:
            self.line.exchange(END, None, None)
        except errors.DistributedError as e:
            _within(1.0, sys.stdout.flush)
            if raised is None:
                os.write(2, f"chainrule: {e.seen} {e.needed}\n".encode())
            self.line.farewell()
            os._exit(1 if raised is not None and not isinstance(raised, errors.DistributedError) else FAULT)
        from chainrule.emit.xla_processes import disconnect

        disconnect()
        self.line.close()


def _abandon(why: str) -> None:
    """End this process at once: without the first one, JAX would abort it."""
    os.write(2, f"chainrule: {why} {RESTART}\n".encode())
    os._exit(FAULT)


def _within(seconds: float, f: Callable[[], Any]) -> None:
    """Call a function, and do not wait longer than so many seconds for it."""
    t = threading.Thread(target=f, daemon=True)
    t.start()
    t.join(seconds)
