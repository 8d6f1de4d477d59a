"""Contenders timed side by side: interleaved rounds in one process, minimum and median, ratio to the first."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """Seconds per call of each contender, round by round."""

    title: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    def best(self, name: str) -> float:
        """The fastest round."""
        return min(self.seconds[name])

    def median(self, name: str) -> float:
        """The round in the middle."""
        return statistics.median(self.seconds[name])

    def rows(self) -> list[tuple[str, float, float, float, float]]:
        """(name, min, median, ratio of mins, ratio of medians) against the first contender."""
        first = next(iter(self.seconds))
        return [
            (n, self.best(n), self.median(n), self.best(n) / self.best(first), self.median(n) / self.median(first))
            for n in self.seconds
        ]


def unit(seconds: float) -> str:
    """A duration as people read it."""
    for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {name}"
    return f"{seconds * 1e9:.3g} ns"


def compare(
    title: str, contenders: Mapping[str, Callable[[], Any]], rounds: int = 15, seconds: float = 0.05, note: str = ""
) -> Result:
    """Time each contender in turn, `rounds` times, each time for about `seconds`."""
    result = Result(title, {name: [] for name in contenders}, note)
    repeats: dict[str, int] = {}
    for name, f in contenders.items():
        f()
        start = time.perf_counter()
        f()
        repeats[name] = max(1, int(seconds / max(time.perf_counter() - start, 1e-9)))
    was = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, f in contenders.items():
                n = repeats[name]
                start = time.perf_counter()
                for _ in range(n):
                    f()
                result.seconds[name].append((time.perf_counter() - start) / n)
    finally:
        if was:
            gc.enable()
    return result


def table(result: Result) -> str:
    """The result as Markdown."""
    lines = [f"### {result.title}", "", "| | min | median | ratio of mins | ratio of medians |", "|---|---|---|---|---|"]
    lines += [f"| {n} | {unit(a)} | {unit(b)} | {r:.2f} | {s:.2f} |" for n, a, b, r, s in result.rows()]
    return "\n".join([*lines, *(["", result.note] if result.note else []), ""])


def machine() -> str:
    """One line about where the figures come from."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), model)
    except OSError:
        pass
    import numpy as np

    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}"
