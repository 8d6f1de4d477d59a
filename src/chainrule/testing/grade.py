"""Grading: every submission runs in a process of its own, and its verdict is computed here from the arrays it returns."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from chainrule.explain.check import Check, check

_LARGEST = 256 << 20
_WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Task:
    """One gradient that is asked for."""

    name: str
    loss: Callable[..., Any]
    gradient: str
    point: tuple[Any, ...]
    argnums: int | tuple[int, ...] = 0
    points: float = 1.0


@dataclass(frozen=True)
class Grade:
    """The result of one submission on one task: `verdict` as in `Check`, and points for what is right."""

    file: str
    task: str
    verdict: str
    points: float
    message: str
    kind: str = ""
    correction: str = ""
    seconds: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


class FailedError(Exception):
    """The submission's process gives no more answers, and why."""


class _Process:
    """A submission at work."""

    def __init__(self, source: str, path: str, seconds: float, megabytes: int) -> None:
        self.deadline = time.monotonic() + seconds
        self.failed = ""
        command = [sys.executable, "-I", str(_WORKER), str(int(seconds) + 1), str(megabytes)]
        env = {**os.environ, **{f"{x}_NUM_THREADS": "1" for x in ("OPENBLAS", "OMP", "MKL")}}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, env=env
        )
        try:
            self._send((source, path))
        except FailedError as e:
            self.failed = str(e)

    def _send(self, message: Any) -> None:
        data = pickle.dumps(message)
        pipe = self.process.stdin
        assert pipe is not None
        try:
            os.set_blocking(pipe.fileno(), False)
            data = memoryview(struct.pack("<Q", len(data)) + data)
            while data:
                _, ready, _ = select.select([], [pipe], [], max(0.0, self.deadline - time.monotonic()))
                if not ready:
                    raise FailedError("it ran out of time")
                data = data[os.write(pipe.fileno(), data[: 1 << 16]) :]
        except OSError:
            raise FailedError("its process ended: it crashed, left, or took more memory than allowed") from None

    def _read(self, n: int) -> bytes:
        pipe = self.process.stdout
        assert pipe is not None
        out = bytearray()
        while len(out) < n:
            ready, _, _ = select.select([pipe], [], [], max(0.0, self.deadline - time.monotonic()))
            if not ready:
                raise FailedError("it ran out of time")
            piece = os.read(pipe.fileno(), min(n - len(out), 1 << 20))
            if not piece:
                raise FailedError(self._ending())
            out += piece
        return bytes(out)

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(1)
            if code in (-signal.SIGXCPU, 256 - signal.SIGXCPU):
                return "it ran out of time"
        return "its process ended: it crashed, left, or took more memory than allowed"

    def call(self, name: str, args: Sequence[Any]) -> Any:
        """What the submission's function returns; arrays it changed are changed here too."""
        if self.failed:
            raise FailedError(self.failed)
        try:
            self._send((name, tuple(args)))
            return self._answer(args)
        except FailedError as e:
            self.failed = str(e)
            raise

    def _answer(self, args: Sequence[Any]) -> Any:
        try:
            (n,) = struct.unpack("<Q", self._read(8))
            if n > 1 << 20:
                raise ValueError
            header = json.loads(self._read(n))
            sizes = [int(k) for k in header["bytes"]]
            if min(sizes, default=0) < 0 or sum(sizes) > _LARGEST:
                raise ValueError
            blobs = [self._read(k) for k in sizes]
            if "error" in header:
                self.failed = f"it raised {str(header['error'])[:500]}"
                raise FailedError(self.failed)
            for k, x in dict(header["changed"]).items():
                np.copyto(args[int(k)], _unpacked(x, blobs))
            return _unpacked(header["result"], blobs)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise FailedError("it wrote what is no answer") from None

    def end(self) -> None:
        """Kill it and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _unpacked(x: Mapping[str, Any], blobs: Sequence[bytes]) -> Any:
    """Containers of arrays from what a process wrote: numbers only, nothing that runs."""
    if "tuple" in x:
        return tuple(_unpacked(y, blobs) for y in x["tuple"])
    if "list" in x:
        return [_unpacked(y, blobs) for y in x["list"]]
    if "dict" in x:
        return {str(k): _unpacked(y, blobs) for k, y in x["dict"].items()}
    dtype, shape = np.dtype(str(x["dtype"])), tuple(int(n) for n in x["shape"])
    data = blobs[int(x["array"])]
    if dtype.kind not in "fiub" or min(shape, default=1) < 0 or prod(shape) * dtype.itemsize != len(data):
        raise ValueError("no array")
    return np.frombuffer(data, dtype).reshape(shape).copy()


# --- the assignment ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[list[Task], dict[str, float]]:
    """The tasks and limits of an assignment file.

    ``seconds`` and ``megabytes`` are per submission and task; each ``[[task]]`` has ``loss = "file.py:function"``, ``gradient``,
    the name of the function asked for, and ``example = "file.py:function"`` or ``shapes = {X = "n,d"}``; also
    ``argnums``, ``points`` and ``name`` if need be.
    """
    try:
        data = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as e:
        raise ValueError(f"{path} is no TOML: {e}") from None
    given = data.get("task") or [data]
    tasks = [_task(path.parent, t) for t in given]
    limits = {"seconds": float(data.get("seconds", 20)), "megabytes": float(data.get("megabytes", 2048))}
    return tasks, limits


_modules: dict[Path, ModuleType] = {}


def _function(folder: Path, spec: str) -> Callable[..., Any]:
    import importlib.util

    file, _, name = spec.rpartition(":")
    path = (folder / file).resolve()
    if path not in _modules:
        found = importlib.util.spec_from_file_location(path.stem, path)
        if found is None or found.loader is None or not path.is_file():
            raise ValueError(f"{spec!r} names no function: write file.py:name")
        _modules[path] = importlib.util.module_from_spec(found)
        found.loader.exec_module(_modules[path])
    function = getattr(_modules[path], name, None)
    if not callable(function):
        raise ValueError(f"{file} has no function {name!r}")
    return function


def _task(folder: Path, t: Mapping[str, Any]) -> Task:
    missing = [k for k in ("loss", "gradient") if k not in t] + ([] if "example" in t or "shapes" in t else ["example or shapes"])
    if missing:
        raise ValueError(f"a task lacks {', '.join(missing)}")
    loss = _function(folder, t["loss"])
    if "example" in t:
        point = _function(folder, t["example"])()
        point = point if isinstance(point, tuple) else (point,)  # pyright: ignore[reportUnknownVariableType]
    else:
        from chainrule.testing.points import random_point

        point = tuple(random_point(loss, dict(t["shapes"]), int(t.get("seed", 0))))
    argnums = t.get("argnums", 0)
    name = str(t.get("name", t["gradient"]))
    return Task(
        name, loss, t["gradient"], point, argnums if isinstance(argnums, int) else tuple(argnums), float(t.get("points", 1))
    )


# --- grading ------------------------------------------------------------------------------------------------------------------


def grade(assignment: Path, folder: Path) -> list[Grade]:
    """Grade every ``.py`` file in a folder.

    All files are read before the first one runs, and all that decides has been loaded: a submission that writes to the disk,
    loops, takes all memory, crashes or changes the checker in its own process fails itself and nobody else.

    Args:
        assignment: the TOML file that says what is asked for (see `read`).
        folder: the submissions.

    Returns:
        One `Grade` for each submission and task, in order.
    """
    tasks, limits = read(assignment)
    sources = [(p.name, p.read_text(errors="replace")) for p in sorted(folder.glob("*.py"))]
    _warm()
    return [_graded(name, source, t, limits) for name, source in sources for t in tasks]


def _warm() -> None:
    """Run one wrong gradient through all stages, so that nothing is left to be imported."""
    x = np.array([[0.3, -0.7, 1.1], [0.2, 0.9, -0.4]])
    str(
        check(
            lambda w, z: np.mean(np.tanh(z @ w) ** 2),
            lambda w, z: z.T @ np.tanh(z @ w),
            np.array([0.3, 0.1, -0.5]),
            x,
            seconds=0.2,
        )
    )


def _graded(file: str, source: str, t: Task, limits: Mapping[str, float]) -> Grade:
    start = time.monotonic()
    worker = _Process(source, file, limits["seconds"], int(limits["megabytes"]))
    try:
        c = check(t.loss, lambda *args: worker.call(t.gradient, args), *t.point, argnums=t.argnums, seconds=2.0)
    except Exception as e:  # no submission may stop the run
        c = Check("wrong", float("nan"))
        worker.failed = worker.failed or str(e)
    finally:
        worker.end()
    return _grade(file, t, c, worker.failed, time.monotonic() - start)


def _grade(file: str, t: Task, c: Check, failed: str, seconds: float) -> Grade:
    if failed:
        return Grade(file, t.name, "wrong", 0.0, f"The submission failed: {failed}.", "preflight", seconds=round(seconds, 3))
    first = c.diagnoses[0] if c.diagnoses else None
    message = first.message if first is not None else c.reason
    points = t.points if c.verdict == "right" else 0.0
    kind, fix = (first.kind, first.correction) if first is not None else ("", "")
    return Grade(file, t.name, c.verdict, points, message, kind, fix, round(seconds, 3))


def table(grades: Sequence[Grade]) -> str:
    """One line each."""
    wide = max((len(g.file) for g in grades), default=4)
    tasks = max((len(g.task) for g in grades), default=4)
    lines = [f"{g.file:{wide}}  {g.task:{tasks}}  {g.verdict:11}  {g.points:g}  {g.message}".rstrip() for g in grades]
    return "\n".join(lines) if lines else "There are no submissions (files that end in .py)."


__all__ = ["Grade", "Task", "grade", "read", "table"]
