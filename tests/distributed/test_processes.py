"""Trainings of several processes on one machine: the numbers of one process, and clear ends whatever happens to one of them."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("jax")

from chainrule.distributed import FAULT

WORKER = Path(__file__).parent / "worker.py"
_spec = importlib.util.spec_from_file_location("worker", WORKER)
assert _spec is not None
assert _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)

LONGEST = 240  # seconds that anything here may take, on a machine that has other things to do


class End(NamedTuple):
    """How a process ended."""

    status: int
    out: str
    err: str
    at: float

    @property
    def last(self):
        """Its last line: why training ended, and a digest of its numbers."""
        return self.out.split("\n")[-2].split()


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def run(n, job, ids=None, **environment):
    """Train with n processes; how each ended, once all have."""
    env = {**os.environ, **environment}
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, str(WORKER), address, str(n)]
    started = [
        subprocess.Popen([*command, str(k), json.dumps(job)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        for k in (range(n) if ids is None else ids)
    ]
    ends, until = {}, time.monotonic() + LONGEST
    try:
        while len(ends) < len(started):
            assert time.monotonic() < until, f"processes hang: {[k for k in range(n) if k not in ends]}"
            for k, p in enumerate(started):
                if k not in ends and p.poll() is not None:
                    out, err = p.communicate()
                    ends[k] = End(p.returncode, out, err, time.monotonic())
                elif k not in ends and job.get("victim") == k and job.get("kill") == "SIGSTOP" and len(ends) == n - 1:
                    p.kill()  # it was halted, and is no survivor
            time.sleep(0.02)
    finally:
        for p in started:
            if p.poll() is None:
                p.kill()
                p.communicate()
    return [ends[k] for k in range(len(started))]


def trained(n, job, tmp_path):
    """The digest of a training of n processes that comes to its end, the same on all of them, and its numbers."""
    ends = run(n, {**job, "out": str(tmp_path / "out")})
    for e in ends:
        assert e.status == 0, e.err
        assert e.last[0] == "finished"
    assert len({e.last[1] for e in ends}) == 1
    with np.load(tmp_path / f"out-{n}-0.npz") as found:
        return ends[0].last[1], [found[name] for name in found.files]


def like_one(n, job, tmp_path):
    """n processes compute what one computes, but for rounding."""
    _, found = trained(n, job, tmp_path)
    expected = worker.numbers(worker.train(0, job))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_two_processes_are_one(tmp_path):
    """49 examples in batches of 7, of which one process has 4 and the other 3; held-out examples; a last batch that is short."""
    like_one(2, {"examples": 62, "epochs": 3}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("job", [{"model": "network"}, {"accumulate": 2}, {"batches": -1}], ids=json.dumps)
def test_several_processes_are_one(n, job, tmp_path):
    """Batch statistics, dropout, accumulated gradients, and batches from outside."""
    like_one(n, job, tmp_path)


KILLS = [
    {"kill": "SIGKILL", "victim": 1},
    {"kill": "SIGKILL", "victim": 0},
    {"kill": "SIGTERM", "victim": 1},
    {"kill": "SIGTERM", "victim": 0},
    {"kill": "SIGSTOP", "victim": 1, "timeout": 25},
]


@pytest.mark.slow
@pytest.mark.parametrize("kill", KILLS, ids=json.dumps)
def test_killed_and_started_again_has_the_same_bits(kill, tmp_path):
    job = {"folder": str(tmp_path / "checkpoints"), "every": 0.5}
    expected, _ = trained(2, {**job, "folder": str(tmp_path / "through")}, tmp_path)
    ends = run(2, {**job, **kill})
    victim = kill["victim"]
    survivor, dead = ends[1 - victim], ends[victim]
    if kill["kill"] == "SIGTERM":  # all stop in order
        for e in ends:
            assert e.status == 0
            assert e.last[0] == "interrupted"
            assert f"Process {victim} was asked to stop (SIGTERM): all stop after step" in e.err
    else:
        assert dead.status == -signal.SIGKILL
        assert survivor.status == FAULT
        assert f"Process {victim} on " in survivor.err
        assert "Start all processes again" in survivor.err
        assert survivor.at - dead.at < 15
    again, _ = trained(2, job, tmp_path)
    assert again == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "message", "statuses"),
    [
        ({"raise": "no more", "victim": 1}, "Process 1 on .* cannot go on: RuntimeError: no more", (FAULT, 1)),
        ({"leave": True, "victim": 1}, "Process 1 on .* cannot go on: SystemExit", (FAULT, FAULT)),
        ({"other_data": 1}, "Process 1 trains with data with the checksum", (FAULT, FAULT)),
        ({"other_rate": 1}, "Process 1 trains with a step whose program has the checksum", (FAULT, FAULT)),
        ({"other_version": 1}, "Process 1 on .* has chainrule version 0.0.0, and process 0 has", (1, 1)),
        ({"batches": 1}, "Process 1 was given other batches than process 0 in epoch 1", (FAULT, FAULT)),
    ],
    ids=str,
)
def test_what_is_wrong_with_one_is_said_by_all(job, message, statuses):
    ends = run(2, job)
    for k, e in enumerate(ends):
        if not (k == job.get("victim") and "raise" in job):
            assert re.search(message, e.err), e.err
    assert tuple(e.status for e in ends) == statuses


@pytest.mark.slow
def test_one_who_wants_to_stop_stops_all():
    ends = run(2, {"stop": True, "victim": 1})
    assert [e.status for e in ends] == [0, 0]
    assert {e.last[0] for e in ends} == {"callback"}
    assert len({e.last[1] for e in ends}) == 1


@pytest.mark.slow
def test_a_halted_step_comes_to_an_end(tmp_path):
    """A process that sleeps in a callback, for longer than the others may wait."""
    ends = run(2, {"sleep": 100, "victim": 1, "timeout": 25, "folder": str(tmp_path)})
    assert "Process 1 on " in ends[0].err
    assert "has not come to 'callbacks' within 25 s" in ends[0].err
    assert [e.status for e in ends] == [FAULT, FAULT]


@pytest.mark.slow
def test_processes_that_are_not_there(tmp_path):
    (end,) = run(2, {"timeout": 2}, ids=[1])
    assert end.status == 1
    assert "Nobody answers at 127.0.0.1" in end.err
    (end,) = run(2, {"timeout": 2}, ids=[0])
    assert end.status == 1
    assert "Process 1 of 2 has not called within 2 s." in end.err


@pytest.mark.slow
def test_two_devices_in_each_process_are_refused():
    """On processors, JAX hangs with them."""
    ends = run(2, {}, XLA_FLAGS="--xla_force_host_platform_device_count=2")
    for e in ends:
        assert e.status
        assert "has 2 CPU devices, and with several processes each must have one" in e.err
