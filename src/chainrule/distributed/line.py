"""The line between the processes of one training: who is there, who is gone, and small values that all of them know.

JAX moves the arrays.  What it does not do is say in time, and in words, what is wrong: a coordinator that cannot be reached ends
the process from within C++, a peer that dies ends it or hangs it.  So every process keeps a TCP connection to the first one, over
which lines of JSON go: a roll call with versions before JAX starts, a sign of life every second, values to agree on, and the end.
A connection that breaks is a process that is gone, and all others know at once which.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from chainrule import errors

ALIVE = 1.0  # seconds between two signs of life
SILENT = 60.0  # seconds without one after which a process is given up
FAREWELL = 1.0  # seconds between the first process's word that it ends and its end
RESTART = "Start all processes again; a training that has a checkpoint goes on from there."
_RETRY = 0.1


class Wire:
    """One connection: messages there and back."""

    def __init__(self, s: socket.socket) -> None:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = s
        self.lock = threading.Lock()
        self.file = s.makefile("rb")

    def send(self, **message: Any) -> None:
        """Send a message; nothing happens if nobody is there any more, which who reads will notice."""
        with self.lock, suppress(OSError):
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages until the connection ends."""
        try:
            for text in self.file:
                yield json.loads(text)
        except (OSError, ValueError):
            return

    def close(self) -> None:
        """End the connection, so that whoever reads comes to its end."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self.file.close()
        self.socket.close()


class Line:
    """What a process knows of the others.

    Args:
        id: The number of this process.
        hosts: Where each process is.
        timeout: Seconds that the others may take to come to the same place.
    """

    def __init__(self, id: int, hosts: Sequence[str], timeout: float) -> None:
        self.id, self.hosts, self.timeout = id, list(hosts), timeout
        self.changed = threading.Condition()
        self.fault: str | None = None
        self.fault_at = 0.0
        self.alone: Callable[[str], None] = lambda why: None  # what to do at once when the first process is gone
        self.ended: set[int] = set()
        self.answers: dict[int, list[Any]] = {}
        self.count = 0
        self.closing = False

    def start(self) -> None:
        """Listen, and show signs of life."""
        for f in (*self._readers(), self._alive):
            threading.Thread(target=f, name="chainrule line", daemon=True).start()

    def name(self, k: int) -> str:
        """A process as people know it."""
        return f"Process {k} on {self.hosts[k]}"

    def exchange(self, label: str, value: Any, timeout: float | None = -1) -> list[Any]:
        """The values of all processes, by their numbers, once all have come to this place.

        Raises:
            DistributedError: A process is gone, is somewhere else, or does not come in time.
        """
        self.count += 1
        self._say(self.count, label, value)
        return self._answer(self.count, label, self.timeout if timeout == -1 else timeout)

    def _answer(self, number: int, label: str, timeout: float | None) -> list[Any]:
        with self.changed:
            done = self.changed.wait_for(lambda: number in self.answers or self.fault, timeout and timeout + self.patience)
            if not done:
                self._broken(f"{self._missing(number)} has not come to {label!r} within {timeout:g} s.")
            self.check()
            return self.answers.pop(number)

    def check(self) -> None:
        """Raise if something is wrong."""
        if self.fault:
            raise errors.DistributedError(self.fault, RESTART)

    def broken(self, why: str) -> None:
        """Something is wrong here: all must know."""
        with self.changed:
            self._broken(why)

    def _broken(self, why: str) -> None:
        if self.fault is None and not self.closing:
            self.fault, self.fault_at = why, time.monotonic()
            self._tell(why)
        self.changed.notify_all()

    @property
    def silence(self) -> float:
        """Seconds without a sign of life after which a process is given up."""
        return max(5 * ALIVE, min(SILENT, self.timeout)) + self.patience

    # What the first process does otherwise than the others.
    patience = 0.0

    def _readers(self) -> list[Any]:
        raise NotImplementedError

    def _say(self, number: int, label: str, value: Any) -> None:
        raise NotImplementedError

    def _tell(self, why: str) -> None:
        raise NotImplementedError

    def _missing(self, number: int) -> str:
        raise NotImplementedError

    def _alive(self) -> None:
        raise NotImplementedError

    def farewell(self) -> None:
        """Let the others end in order before the first process, and with it JAX's coordinator, is gone."""

    def close(self) -> None:
        """End all connections."""
        raise NotImplementedError


class Leader(Line):
    """The line of the first process, to which all others are connected."""

    def __init__(self, wires: Sequence[Wire | None], hosts: Sequence[str], timeout: float) -> None:
        super().__init__(0, hosts, timeout)
        self.wires = wires
        self.said: dict[int, dict[int, tuple[str, Any]]] = {}
        self.heard = [time.monotonic()] * len(hosts)

    def _readers(self) -> list[Any]:
        return [lambda k=k, w=w: self._read(k, w) for k, w in enumerate(self.wires) if w is not None]

    def _read(self, k: int, wire: Wire) -> None:
        for m in wire.messages():
            self.heard[k] = time.monotonic()
            if "say" in m:
                self._said(k, m["say"], m["label"], m["value"])
            elif "fault" in m:
                self.broken(m["fault"])
        if k not in self.ended:
            self.broken(f"{self.name(k)} is gone.")

    def _say(self, number: int, label: str, value: Any) -> None:
        self._said(0, number, label, value)

    def _said(self, k: int, number: int, label: str, value: Any) -> None:
        with self.changed:
            said = self.said.setdefault(number, {})
            said[k] = (label, value)
            if label == END:
                self.ended.add(k)
                self._all(ended=k)
            first, found = next(iter(said.items()))
            if found[0] != label:
                self._broken(
                    f"{self.name(first)} is at {found[0]!r} and {self.name(k)} at {label!r}: they run different programs."
                )
            elif len(said) == len(self.hosts):
                values = [said[j][1] for j in range(len(self.hosts))]
                del self.said[number]
                self._all(all=number, values=values)
                self.answers[number] = values
            self.changed.notify_all()

    def _all(self, **message: Any) -> None:
        for w in self.wires:
            if w is not None:
                w.send(**message)

    def _tell(self, why: str) -> None:
        self._all(fault=why)

    def _missing(self, number: int) -> str:
        return self.name(min(set(range(len(self.hosts))) - set(self.said.get(number, {}))))

    def _alive(self) -> None:
        while not self.closing:
            time.sleep(ALIVE)
            self._all(alive=0)
            now = time.monotonic()
            for k, at in enumerate(self.heard[1:], 1):
                if now - at > self.silence and k not in self.ended:
                    self.broken(f"{self.name(k)} has not been heard from for {now - at:.0f} s.")

    def farewell(self) -> None:
        self._all(over=True)
        time.sleep(FAREWELL)

    def close(self) -> None:
        self.closing = True
        for w in self.wires:
            if w is not None:
                w.close()


class Follower(Line):
    """The line of any other process, to the first one."""

    patience = 5.0  # the first process sees what is wrong and says it better

    def __init__(self, wire: Wire, id: int, hosts: Sequence[str], timeout: float) -> None:
        super().__init__(id, hosts, timeout)
        self.wire = wire
        self.heard = time.monotonic()

    def _readers(self) -> list[Any]:
        return [self._read]

    def _read(self) -> None:
        for m in self.wire.messages():
            self.heard = time.monotonic()
            with self.changed:
                if "all" in m:
                    self.answers[m["all"]] = m["values"]
                elif "ended" in m:
                    self.ended.add(m["ended"])
                elif "fault" in m:
                    self.fault, self.fault_at = self.fault or m["fault"], time.monotonic()
                self.changed.notify_all()
            if "over" in m:
                time.sleep(FAREWELL / 2)  # for this process's own words
                self._lost(self.fault or f"{self.name(0)} has ended.")
        if 0 not in self.ended:
            self._lost(f"{self.name(0)} is gone.")

    def _lost(self, why: str) -> None:
        self.broken(why)
        if not self.closing:
            self.alone(self.fault or why)

    def _say(self, number: int, label: str, value: Any) -> None:
        self.wire.send(say=number, label=label, value=value)

    def _tell(self, why: str) -> None:
        self.wire.send(fault=why)

    def _missing(self, number: int) -> str:
        return "Another process"

    def _alive(self) -> None:
        while not self.closing:
            time.sleep(ALIVE)
            self.wire.send(alive=self.id)
            silent = time.monotonic() - self.heard
            if silent > self.silence:
                self._lost(f"{self.name(0)} has not been heard from for {silent:.0f} s.")

    def close(self) -> None:
        self.closing = True
        self.wire.close()


END = "the end of the program"


# --- the roll call ------------------------------------------------------------------------------------------------------------


def listen(port: int) -> socket.socket:
    """A socket that others can connect to.

    Raises:
        DistributedError: The port is in use.
    """
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind(("", port))
    except OSError as e:
        s.close()
        why = f"Port {port} of this machine cannot be listened on: {os.strerror(e.errno or 0)}."
        raise errors.DistributedError(why, "Name another port for the coordinator, or end the program that uses it.") from None
    s.listen(1024)
    return s


def gather(server: socket.socket, facts: dict[str, Any], processes: int, timeout: float) -> tuple[list[Wire | None], list[str]]:
    """Wait until every process has called; their wires and hosts.

    Raises:
        DistributedError: One is missing after the timeout, or is not like this one.
    """
    wires: list[Wire | None] = [None] * processes
    hosts = [str(facts["host"])] + [""] * (processes - 1)
    end = time.monotonic() + timeout
    while None in wires[1:]:
        server.settimeout(max(0.01, end - time.monotonic()))
        try:
            s, _ = server.accept()
        except TimeoutError:
            absent = [k for k in range(1, processes) if wires[k] is None]
            _refuse(wires, f"Process {', '.join(map(str, absent))} of {processes} has not called within {timeout:g} s.")
        s.settimeout(5.0)
        wire = Wire(s)
        said = next(wire.messages(), {})
        if "hello" not in said:  # somebody else, or a process that was ended at once
            wire.close()
            continue
        s.settimeout(None)
        why = _unlike(facts, said, wires)
        if why:
            _refuse([*wires, wire], why)
        wires[said["hello"]], hosts[said["hello"]] = wire, said["facts"]["host"]
    return wires, hosts


def _refuse(wires: Sequence[Wire | None], why: str) -> NoReturn:
    for w in wires:
        if w is not None:
            w.send(refused=why)
            w.close()
    raise errors.DistributedError(why)


def _unlike(facts: dict[str, Any], said: dict[str, Any], wires: Sequence[Wire | None]) -> str | None:
    """Why a process that has called cannot take part."""
    k, theirs = said["hello"], said["facts"]
    who = f"Process {k} on {theirs.get('host')}"
    for name, value in facts.items():
        if name != "host" and theirs.get(name) != value:
            return f"{who} has {name} {theirs.get(name)}, and process 0 has {value}."
    if not 0 < k < len(wires):
        return f"{who}: the numbers of processes go from 0 to {len(wires) - 1}, and that of the coordinator is 0."
    return f"{who}: another process has this number." if wires[k] is not None else None


def call(host: str, port: int, id: int, facts: dict[str, Any], timeout: float) -> tuple[Wire, dict[str, Any]]:
    """Call the first process until it answers: the wire, and what it says when all are there.

    Raises:
        DistributedError: Nobody answers, or this process is not wanted.
    """
    end = time.monotonic() + timeout
    s = _connected(host, port, timeout)
    wire = Wire(s)
    wire.send(hello=id, facts=facts)
    s.settimeout(max(0.1, end - time.monotonic()) + 5.0)
    said = next(wire.messages(), {})
    s.settimeout(None)
    if "go" not in said:
        wire.close()
        silent = f"Who answers at {host}:{port} does not know of this training, or has ended it."
        raise errors.DistributedError(said.get("refused", silent))
    return wire, said


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    end = time.monotonic() + timeout
    while True:
        try:
            return socket.create_connection((host, port), max(0.05, min(5.0, end - time.monotonic())))
        except OSError as e:
            if time.monotonic() + _RETRY > end:
                why = f"Nobody answers at {host}:{port} ({e.strerror or e}), and process 0 should within {timeout:g} s."
                need = "Is it running, is this its address, and does a firewall let the port through?"
                raise errors.DistributedError(why, need) from None
            time.sleep(_RETRY)
