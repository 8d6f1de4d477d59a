"""``chainrule bench``: the native engine beside its peers on this machine, interleaved, with what bounds each row."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optree

from chainrule.cli.common import CommandError

_WIDTH = 44  # characters of the longest bar
_ROUNDS, _SECONDS = 15, 0.06  # rounds, and how long each contender runs in one
_QUICK = 5, 0.02


@dataclass(frozen=True)
class Time:
    """Seconds of one call: the best and the median round, and of the processors' time of all threads the least."""

    best: float
    median: float
    processor: float
    first: float


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    title: str
    target: float
    bound: str
    difference: float | None
    times: dict[str, Time]

    @property
    def ratio(self) -> float | None:
        """How many times slower the best peer is."""
        peers = [t.best for name, t in self.times.items() if name != "native"]
        return min(peers) / self.times["native"].best if peers else None


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "bench",
        help="time the native engine beside its peers on this machine",
        description="Time the native engine beside JAX and PyTorch, where they are installed, on the work of which machine "
        "learning is made. Contenders take turns in one process; the least time of each counts.",
        epilog="CHAINRULE_THREADS sets the number of threads of the native engine.",
    )
    p.add_argument("names", nargs="*", metavar="NAME", help="rows: P1, P2, ... (all)")
    p.add_argument("--quick", action="store_true", help="fewer rounds: rough figures in about a minute")
    p.add_argument("--alone", action="store_true", help="without peers")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    p.add_argument("--engine", choices=("native", "xla"), default="native", help="xla: beside programs written by hand in JAX")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Time what was asked for and draw it."""
    from chainrule.cli.workloads import WORK

    unknown = [n for n in args.names if n not in WORK]
    if unknown:
        raise CommandError(f"no row is called {unknown[0]}; there are {', '.join(WORK)}")
    rounds, seconds = _QUICK if args.quick else (_ROUNDS, _SECONDS)
    if args.engine == "xla":
        return import_module("chainrule.cli.bench_xla").run(args.names, rounds, seconds, args.json, machine())
    found: list[Row] = []
    if not args.json:
        print(f"{machine()}\n")
    for name in args.names or WORK:
        row = timed(name, WORK[name](), rounds, seconds, not args.alone)
        found.append(row)
        if not args.json:
            print(drawn(row), flush=True)
    if args.json:
        print(json.dumps({"machine": machine(), "rows": [asdict(r) | {"ratio": r.ratio} for r in found]}, indent=1))
    return 0


# --- timing ---------------------------------------------------------------------------------------------------------------------


def timed(name: str, work: Any, rounds: int, seconds: float, peers: bool) -> Row:
    """One row: every contender once to compile and to compare results, then in turns."""
    contenders: dict[str, Callable[[], Any]] = {"native": lambda: work.ours(*work.args)}
    if peers:
        contenders |= {peer: make(work.args) for peer, make in work.peers.items() if find_spec(peer) is not None}
    first: dict[str, float] = {}
    results: dict[str, Any] = {}
    for peer, call in contenders.items():
        start = time.perf_counter()
        results[peer] = call()
        first[peer] = time.perf_counter() - start
    if work.brief is not None and "jax" in contenders:
        results = {"native": work.ours(*work.brief), "jax": work.peers["jax"](work.brief)()}
    difference = largest_difference(results["native"], results["jax"]) if "jax" in results else None
    times = in_turns(contenders, rounds, seconds, first)
    bound = next((line for line in work.ours.explain(*work.args).split("\n") if line.startswith("at least")), "")
    return Row(name, work.title, work.target, bound, difference, times)


def in_turns(contenders: dict[str, Callable[[], Any]], rounds: int, seconds: float, first: dict[str, float]) -> dict[str, Time]:
    """Times of all contenders, each of which runs for a while in every round; `first` is what the first call of each took."""
    repeats: dict[str, int] = {}
    for name, call in contenders.items():
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(seconds / max(time.perf_counter() - start, 1e-9)))
    walls: dict[str, list[float]] = {name: [] for name in contenders}
    processors: dict[str, list[float]] = {name: [] for name in contenders}
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in contenders.items():
                n = repeats[name]
                start, busy = time.perf_counter(), time.process_time()
                for _ in range(n):
                    call()
                walls[name].append((time.perf_counter() - start) / n)
                processors[name].append((time.process_time() - busy) / n)
                time.sleep(0.002)  # the threads of one contender are asleep before the next one runs
    finally:
        gc.enable()
    return {n: Time(min(w), float(np.median(w)), min(processors[n]), first[n]) for n, w in walls.items()}


def largest_difference(ours: Any, theirs: Any) -> float:
    """The largest difference of results, against the largest number of its array."""
    found = 0.0
    for a, b in zip(optree.tree_leaves(ours), optree.tree_leaves(theirs), strict=True):  # type: ignore[arg-type]
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        found = max(found, float(np.max(np.abs(x - y), initial=0) / max(float(np.max(np.abs(y), initial=0)), 1e-300)))
    return found


# --- showing --------------------------------------------------------------------------------------------------------------------


def machine() -> str:
    """One line about where the figures come from."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    packages = ", ".join(f"{name} {found}" for name in ("numpy", "llvmlite", "jax", "torch") if (found := _version(name)))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{model}, {os.cpu_count()} cores{load}; Python {platform.python_version()}, {packages}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def drawn(row: Row) -> str:
    """A row as text: one bar for each contender, and what bounds the work."""
    longest = max(t.best for t in row.times.values())
    lines = [f"{row.name}  {row.title}"]
    for name, t in row.times.items():
        bar = "█" * max(1, round(_WIDTH * t.best / longest))
        lines.append(f"  {name:<7}{unit(t.best):>9}  {bar}  ({unit(t.processor)} of processor time; first call {unit(t.first)})")
    if row.ratio is not None:
        lines.append(f"  {row.ratio:.2f} times as fast as the best peer; aimed at {row.target:g}")
    lines.append(f"  {row.bound}" if row.bound else "")
    return "\n".join(lines) + "\n"


def unit(seconds: float) -> str:
    """A duration as people read it."""
    for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {name}"
    return f"{seconds * 1e9:.3g} ns"
