"""What a compiled program does, in words and numbers: its passes over memory, what each does at once, what bounds it."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from .costs import Cost, kernel_cost, node_cost
from .fuse import Group
from .nodes import Assemble, Call, Cond, Contract, Map, Node, Reduce, Scan, Special, While, inner_blocks
from .plan import Plan

__all__ = ["Limits", "cost", "limits", "report"]


class Limits:
    """What the machine can do on one thread: bytes per second from its memory and caches, operations per second."""

    def __init__(self, memory: float, cached: float, flops: float):
        self.memory, self.cached, self.flops = memory, cached, flops

    def seconds(self, c: Cost) -> float:
        """The least time for a cost: whichever takes longer, moving or computing."""
        return max(self._moving(c), c.flops / self.flops)

    def what(self, c: Cost) -> str:
        """What bounds it."""
        return "arithmetic" if self._moving(c) < c.flops / self.flops else "caches" if c.moved < 1 << 20 else "memory"

    def _moving(self, c: Cost) -> float:
        return c.moved / (self.cached if c.moved < 1 << 20 else self.memory)


def _best(f: Callable[[], object], times: int = 5) -> float:
    """Seconds of processor time: others may be using the machine, and a product of NumPy's may use several threads."""
    fine = time.get_clock_info("process_time").resolution < 1e-6
    clock = time.process_time if fine else time.perf_counter
    found = float("inf")
    for _ in range(times):
        start = clock()
        f()
        found = min(found, clock() - start)
    return max(found, 1e-9)


@functools.cache
def limits() -> Limits:
    """Measured in some 50 ms, once: a copy beyond the caches, a copy within them, a product that BLAS does on one thread."""
    big, small, m = np.ones(4 << 20), np.ones(16 << 10), np.ones((64, 64), np.float32)
    out = np.empty_like(m)
    other, little = np.empty_like(big), np.empty_like(small)
    memory = 2 * big.nbytes / _best(lambda: np.copyto(other, big))
    cached = 2 * small.nbytes / _best(lambda: np.copyto(little, small), 50)
    return Limits(memory, max(cached, memory), 2 * 64**3 / _best(lambda: np.dot(m, m, out), 200))


def cost(g: Group, p: Plan) -> Cost:
    """What one group costs, its inner blocks included."""
    if g.is_loop:
        return kernel_cost(p.kernels[g.index])
    (n,) = g.nodes
    inner = [_total(p.inner[g.index, k]) for k in range(len(inner_blocks(n)))]
    if not inner:
        return node_cost(n)
    return inner[0].times(n.length) if isinstance(n, Scan) else sum(inner, Cost())


def _total(p: Plan) -> Cost:
    return sum((cost(g, p) for g in p.groups), Cost())


# --- words ----------------------------------------------------------------------------------------------------------------


def report(p: Plan, arena: int, calls: list[str], threads: int, cached: bool) -> str:
    """The schedule as text."""
    limit, total = limits(), _total(p)
    head = [
        f"native engine, {threads} thread{'s' if threads != 1 else ''}, code {'from the cache' if cached else 'compiled now'}",
        f"arena {_size(arena)}; moves {_size(total.moved)}, {_count(total.flops)}flop",
        f"at least {_time(limit.seconds(total))} on one thread of this machine, bound by its {limit.what(total)}",
    ]
    head += [f"left to NumPy: {why}" for why in calls]
    return "\n".join([*head, *_lines(p, "", limit)])


def _lines(p: Plan, pad: str, limit: Limits) -> Iterator[str]:
    for g in p.groups:
        c = cost(g, p)
        what = _pass(g, p) if g.is_loop else _node(g.nodes[0])
        yield f"{pad}{g.index + 1:>3}. {what} [{_size(c.moved)}, {_count(c.flops)}flop, {_time(limit.seconds(c))}]"
        if not g.is_loop:
            for k in range(len(inner_blocks(g.nodes[0]))):
                yield from _lines(p.inner[g.index, k], pad + "     ", limit)


def _pass(g: Group, p: Plan) -> str:
    k = p.kernels[g.index].kernel
    maps = Counter(n.op for n in g.nodes if isinstance(n, Map))
    sums = Counter(n.op for n in g.nodes if isinstance(n, Reduce))
    did = [f"{op} x{n}" if n > 1 else op for op, n in maps.items()]
    text = f"pass over {list(k.shape)}" if k.shape != (1,) else "numbers"
    if len(k.stages) > 1:
        text += f", {len(k.stages)} times along each row"
    text += f": {', '.join(did)}" if did else ""
    return text + (f"; reduces {', '.join(f'{op} x{n}' if n > 1 else op for op, n in sums.items())}" if sums else "")


def _node(n: Node) -> str:
    if isinstance(n, Contract):
        batch = n.out.size // (n.m * n.n)
        return f"product {f'{batch} x ' if batch > 1 else ''}({n.m} x {n.k}) ({n.k} x {n.n}) {n.out.dtype}"
    if isinstance(n, Scan):
        return f"loop of {n.length} steps, carrying {len(n.carry)} arrays"
    if isinstance(n, While):
        return f"loop while a condition holds, carrying {len(n.carry)} arrays"
    if isinstance(n, Cond):
        return "one of two branches"
    if isinstance(n, Call):
        return f"CALL of the numpy engine: {n.why}"
    if isinstance(n, Assemble):
        return f"put {len(n.parts)} part{'s' if len(n.parts) != 1 else ''} into {list(n.out.shape)}"
    return n.kind if isinstance(n, Special) else type(n).__name__


def _scaled(x: float, step: float, names: str) -> str:
    k = 0
    while x >= step and k < len(names) - 1:
        x /= step
        k += 1
    return f"{x:.3g} {names[k].strip()}"


def _size(x: float) -> str:
    return _scaled(x, 1024, " KMG") + "B"


def _count(x: float) -> str:
    return _scaled(x, 1000, " KMGT")


def _time(seconds: float) -> str:
    return (
        f"{seconds * 1e3:.3g} ms"
        if seconds >= 1e-3
        else f"{seconds * 1e6:.3g} us"
        if seconds >= 1e-6
        else f"{seconds * 1e9:.3g} ns"
    )
