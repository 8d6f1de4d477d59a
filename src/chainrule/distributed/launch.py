"""Starting the processes of a training: on this machine, or on others over SSH."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from chainrule.distributed.group import FAULT

SSH = ("ssh", "-tt", "-o", "BatchMode=yes")  # with a terminal, a process ends when its connection does
END = 90.0  # seconds that the others may take to notice that one has failed


def local(command: Sequence[str], processes: int, port: int) -> int:
    """Run a command in several processes on this machine.

    Args:
        command: The program and its arguments, the same for all; it calls `cr.distributed.initialize`.
        processes: How many.
        port: Where process 0 listens.

    Returns:
        0 if all have ended well, else the exit status that says most.
    """
    return _run([(command, {**os.environ, **_told(f"127.0.0.1:{port}", processes, k)}) for k in range(processes)])


def over_ssh(command: Sequence[str], hosts: Sequence[str], port: int, ssh: Sequence[str] = SSH) -> int:
    """Run a command on several machines, each in this working directory.

    Args:
        command: The program and its arguments, as they are on every host.
        hosts: The hosts, the first of which is the coordinator; one process for each time that it is named.
        port: Where the coordinator listens.
        ssh: How to run a command on a host.

    Returns:
        0 if all have ended well, else the exit status that says most.
    """
    address = f"{hosts[0].rpartition('@')[2]}:{port}"
    jobs: list[tuple[Sequence[str], Mapping[str, str]]] = []
    for k, host in enumerate(hosts):
        told = [f"{name}={value}" for name, value in _told(address, len(hosts), k).items()]
        there = f"cd {shlex.quote(os.getcwd())} && exec env {shlex.join(told)} {shlex.join(command)}"
        jobs.append(([*ssh, host, there], os.environ))
    return _run(jobs)


def _told(coordinator: str, processes: int, k: int) -> dict[str, str]:
    """What `cr.distributed.initialize` reads."""
    return {
        "CHAINRULE_COORDINATOR": coordinator,
        "CHAINRULE_PROCESSES": str(processes),
        "CHAINRULE_PROCESS_ID": str(k),
    }


def _run(jobs: Sequence[tuple[Sequence[str], Mapping[str, str]]]) -> int:
    """Run all jobs to their ends; what all but the first say on standard error is marked with their number."""
    started: list[subprocess.Popen[bytes]] = []
    marked: list[threading.Thread] = []
    stop: list[int] = []
    old = [(s, signal.signal(s, lambda number, frame: stop.append(number))) for s in (signal.SIGINT, signal.SIGTERM)]
    try:
        for k, (command, env) in enumerate(jobs):
            started.append(
                subprocess.Popen(command, env=dict(env), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE if k else None)
            )
            if k:
                marked.append(threading.Thread(target=_mark, args=(k, started[k].stderr), daemon=True))
                marked[-1].start()
        _wait(started, stop)
    finally:
        for p in started:
            if p.poll() is None:
                p.kill()
            p.wait()
        for t in marked:
            t.join(5.0)  # a process of theirs may still hold the pipe
        for s, handler in old:
            signal.signal(s, handler)
    statuses = [p.returncode for p in started]
    failed = [s for s in statuses if s]
    return next((s for s in failed if s != FAULT), failed[0] if failed else 0)


def _wait(started: Sequence[subprocess.Popen[bytes]], stop: list[int]) -> None:
    """Wait until all have ended, for a while only once one has failed; hand on the wish to stop."""
    until, told = float("inf"), 0
    while any(p.poll() is None for p in started) and time.monotonic() < until:
        if until == float("inf") and any(p.returncode for p in started):
            until = time.monotonic() + END
        for number in stop[told:]:
            for p in started:
                if number == signal.SIGTERM and p.poll() is None:  # a terminal sends Ctrl-C to all of them by itself
                    p.terminate()
        told = len(stop)
        time.sleep(0.05)


def _mark(k: int, lines: IO[bytes] | None) -> None:
    assert lines is not None
    with lines:
        for text in lines:
            sys.stderr.write(f"[{k}] {text.decode(errors='replace')}")
            sys.stderr.flush()
