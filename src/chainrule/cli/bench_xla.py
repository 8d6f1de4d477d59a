"""``chainrule bench --engine xla``: the XLA engine beside the same programs by hand in JAX, two processes beside one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from chainrule.cli.bench import Time, in_turns, largest_difference, unit
from chainrule.cli.common import CommandError, need
from chainrule.cli.workloads import WORK, in_jax
from chainrule.compilation import jit
from chainrule.emit.xla import Compiled

NAMES = ("P2", "P3", "P8")
LIMIT = 1.05  # what is aimed at: the engine's time over that of the program written by hand
_PAIRS = (("on the device", "jax", "chainrule"), ("numpy in, numpy out", "jax, numpy", "chainrule, numpy"))


@dataclass(frozen=True)
class Overhead:
    """One program: times of each contender, and the largest difference of results."""

    name: str
    title: str
    difference: float
    times: dict[str, Time]

    def ratio(self, theirs: str, ours: str) -> tuple[float, float, float]:
        """Our time over theirs: of the best rounds, of the median ones, and of the processors' time."""
        a, b = self.times[ours], self.times[theirs]
        return a.best / b.best, a.median / b.median, a.processor / b.processor


def overhead(name: str, rounds: int, seconds: float) -> Overhead:
    """Time one program, written once for both: arrays that lie on the device, and arrays of NumPy that come and go."""
    jax = import_module("jax")
    work = WORK[name]()
    by_hand = in_jax(work.program)
    ours = jit(work.ours.function, engine="xla")
    made = Compiled(ours.trace(*work.args))
    held = [jax.device_put(x) for x in jax.tree.leaves(work.args)]
    placed = jax.tree.unflatten(jax.tree.structure(work.args), held)
    contenders: dict[str, Callable[[], Any]] = {
        "jax": lambda: jax.block_until_ready(by_hand(*placed)),
        "chainrule": lambda: jax.block_until_ready(made.on_device(*held)),
        "jax, numpy": lambda: jax.tree.map(import_module("numpy").asarray, by_hand(*work.args)),
        "chainrule, numpy": lambda: ours(*work.args),
    }
    first = dict[str, float]()
    for each, call in contenders.items():
        start = time.perf_counter()
        call()
        first[each] = time.perf_counter() - start
    difference = largest_difference(contenders["chainrule, numpy"](), contenders["jax, numpy"]())
    return Overhead(name, work.title, difference, in_turns(contenders, rounds, seconds, first))


def shown(found: Overhead) -> str:
    """A program as text."""
    lines = [f"{found.name}  {found.title}"]
    for what, theirs, ours in _PAIRS:
        a, b = found.times[theirs], found.times[ours]
        best, median, busy = found.ratio(theirs, ours)
        ratios = f"ratio {best:.3f} (of medians {median:.3f}, of processor time {busy:.3f})"
        lines.append(f"  {what:<20} jax {unit(a.best):>8}  chainrule {unit(b.best):>8}  {ratios}")
    lines.append(f"  largest difference of results {found.difference:.1e}; aimed at a ratio of at most {LIMIT}")
    return "\n".join(lines) + "\n"


# --- from one process to two ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaling:
    """Examples per second of one batch size, by processes, each on as many cores as there are for it."""

    batch_size: int
    cores_each: int | None
    rates: dict[int, float]


def scaling(batch_size: int, cores_each: int | None, rounds: int) -> Scaling:
    """Train the network of P3 with one process and with two, in turns; the best epoch of each counts."""
    rates = {1: 0.0, 2: 0.0}
    for _ in range(rounds):
        for n in rates:
            rates[n] = max(rates[n], _rate(n, batch_size, cores_each))
    return Scaling(batch_size, cores_each, rates)


def _rate(processes: int, batch_size: int, cores_each: int | None) -> float:
    command = [sys.executable, "-m", "chainrule.cli.scaling", str(batch_size), str(cores_each or 0)]
    if processes > 1:
        command = [sys.executable, "-m", "chainrule.distributed", "-n", str(processes), "-m", *command[2:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise CommandError(f"a training of {processes} processes has failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def told(found: Scaling) -> str:
    """One line."""
    cores = f"{found.cores_each} core each" if found.cores_each else f"all {os.cpu_count()} cores shared"
    one, two = found.rates[1], found.rates[2]
    return f"  batch {found.batch_size:<5} {cores:<22} 1 process {one:>9.0f}/s  2 processes {two:>9.0f}/s  ratio {two / one:.2f}"


def run(names: Sequence[str], rounds: int, seconds: float, as_json: bool, machine: str) -> int:
    """Time what was asked for."""
    need("xla", "jax")
    unknown = [n for n in names if n not in WORK]
    if unknown:
        raise CommandError(f"no row is called {unknown[0]}; there are {', '.join(WORK)}")
    say = (lambda text: None) if as_json else (lambda text: print(text, flush=True))
    say(f"{machine}\n")
    rows, scaled = list[Overhead](), list[Scaling]()
    for name in names or NAMES:
        rows.append(overhead(name, rounds, seconds))
        say(shown(rows[-1]))
    if not names:
        say("Training the network of P3 on this machine, examples per second:")
        for batch_size, cores in ((128, 1), (1024, 1), (1024, None)):
            if cores is None or (os.cpu_count() or 1) > 1:
                scaled.append(scaling(batch_size, cores, 2))
                say(told(scaled[-1]))
    if as_json:
        ratios = [asdict(r) | {what: r.ratio(a, b) for what, a, b in _PAIRS} for r in rows]
        print(json.dumps({"machine": machine, "rows": ratios, "scaling": [asdict(s) for s in scaled]}, indent=1))
    return 0
