"""Several processes, on one machine or on many, that train as one.

Every process runs the same program.  `initialize` makes them known to each other; `cr.fit` then spreads every batch over the
devices of all of them.
"""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from chainrule import errors
from chainrule.distributed.group import FAULT, Alone, Group
from chainrule.distributed.line import Follower, Leader, call, gather, listen
from chainrule.distributed.slurm import from_slurm

PORT = 41000
_here: list[Alone] = [Alone()]


def initialize(
    coordinator: str | None = None, processes: int | None = None, process_id: int | None = None, *, timeout: float = 300.0
) -> None:
    """Make this process one of several that train together; call it before anything that uses JAX.

    What is not given is read from the environment: ``CHAINRULE_COORDINATOR``, ``CHAINRULE_PROCESSES`` and
    ``CHAINRULE_PROCESS_ID``, or what SLURM's ``srun`` sets.

    Args:
        coordinator: ``host:port`` where process 0 listens, as the others reach it.
        processes: How many there are.
        process_id: Which of them this is, from 0.
        timeout: Seconds within which the others must call, and within which anything they do together must come to its end.

    Raises:
        DistributedError: The coordinator or another process is not there, its port is in use, or it has another version.
        ImportError: JAX is not installed.

    Example:
        >>> import chainrule as cr
        >>> cr.distributed.initialize(processes=1)
        >>> cr.distributed.process_count(), cr.distributed.process_id()
        (1, 0)
    """
    host, port, n, k = _resolved(coordinator, processes, process_id, os.environ)
    if process_count() > 1:
        raise errors.DistributedError("This process is one of several already.", "Call cr.distributed.initialize once.")
    if n == 1:
        return
    from chainrule.emit import xla_processes

    facts = {"host": socket.gethostname(), "processes": n, **_versions()}
    if k == 0:
        server = listen(port)
        try:
            wires, hosts = gather(server, facts, n, timeout)
        finally:
            server.close()
        meeting = f"{host}:{xla_processes.free_port()}"
        for w in wires[1:]:
            if w is not None:
                w.send(go=meeting, hosts=hosts)
        line = Leader(wires, hosts, timeout)
    else:
        wire, said = call(host, port, k, facts, timeout)
        meeting, line = said["go"], Follower(wire, k, said["hosts"], timeout)
    line.start()
    group = Group(line)
    with group.together("the start of JAX"):
        xla_processes.connect(meeting, n, k, timeout)
    atexit.register(group.leave)
    _here[0] = group


def process_id() -> int:
    """Which of the processes this is: 0 where there is one."""
    return _here[0].id


def process_count() -> int:
    """How many processes train together."""
    return _here[0].processes


def current() -> Alone:
    """The processes that train together."""
    return _here[0]


def _versions() -> dict[str, str]:
    out: dict[str, str] = {}
    for name in ("chainrule", "jax", "jaxlib", "numpy"):
        try:
            out[f"{name} version"] = version(name)
        except PackageNotFoundError:
            if name.startswith("jax"):
                raise ImportError('Several processes need JAX. Try: pip install "chainrule[xla]"') from None
            out[f"{name} version"] = "unknown"
    return out


def told(env: Mapping[str, str]) -> dict[str, Any]:
    """What the environment says of ``coordinator``, ``processes`` and ``process_id``."""
    found: dict[str, Any] = from_slurm(env, PORT)
    for name in ("coordinator", "processes", "process_id"):
        if text := env.get(f"CHAINRULE_{name.upper()}"):
            found[name] = text if name == "coordinator" else int(text)
    return found


def _resolved(
    coordinator: str | None, processes: int | None, process_id: int | None, env: Mapping[str, str]
) -> tuple[str, int, int, int]:
    """Host and port of the coordinator, the number of processes and that of this one."""
    found = told(env)
    given = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    found |= {k: v for k, v in given.items() if v is not None}
    n = found.get("processes")
    if n == 1:
        return "", 0, 1, 0
    missing = [name for name in given if name not in found]
    if missing:
        raise ValueError(f"initialize: {' and '.join(missing)} must be given, or be in the environment")
    k, (host, colon, port) = found["process_id"], found["coordinator"].rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"initialize: coordinator is 'host:port', not {found['coordinator']!r}")
    if n is None or n < 1 or not 0 <= k < n:
        raise ValueError(f"initialize: process_id goes from 0 to processes - 1, and {k} of {n} does not")
    return host, int(port), n, k


__all__ = ["FAULT", "PORT", "current", "initialize", "process_count", "process_id", "told"]
