"""The core: eager gradients against autograd, import time, transforming large graphs, memory under `checkpoint`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from harness import compare, machine, table, unit

import chainrule as cr


def scalar(np, x):
    """A function of one number with 30 operations."""
    y = x
    for _ in range(7):
        y = np.sin(y) * x + y * 0.3
    return y + np.exp(-y)


def network_case():
    """A two-layer network on a batch of 64."""
    rng = np.random.default_rng(0)
    p = {"W1": rng.normal(size=(64, 128)) / 8, "b1": np.zeros(128), "W2": rng.normal(size=(128, 10)) / 11, "b2": np.zeros(10)}
    x, y = rng.normal(size=(64, 64)), rng.normal(size=(64, 10))

    def loss(np, p):
        return np.mean((np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"] - y) ** 2)

    return loss, p


def eager() -> list[str]:
    """Eager gradients, side by side with autograd."""
    import autograd
    import autograd.numpy as anp

    loss, p = network_case()
    ours, theirs = cr.grad(lambda x: scalar(np, x)), autograd.grad(lambda x: scalar(anp, x))
    net, peer = cr.grad(lambda p: loss(np, p)), autograd.grad(lambda p: loss(anp, p))
    np.testing.assert_allclose(ours(1.2), theirs(1.2), rtol=1e-12)
    for k in p:
        np.testing.assert_allclose(net(p)[k], peer(p)[k], rtol=1e-10, atol=1e-12)
    return [
        table(
            compare(
                "Eager gradient of a 30-operation scalar function",
                {"chainrule": lambda: ours(1.2), "autograd": lambda: theirs(1.2)},
            )
        ),
        table(
            compare(
                "Eager gradient of a two-layer network (64-128-10, batch 64)",
                {"chainrule": lambda: net(p), "autograd": lambda: peer(p)},
            )
        ),
    ]


def imports() -> str:
    """What importing chainrule adds to importing NumPy and SciPy's special functions."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    base, ours = [], []
    for _ in range(9):
        base.append(once("import numpy, scipy.special"))
        ours.append(once("import numpy, scipy.special, chainrule"))
    added = statistics.median(b - a for a, b in zip(base, ours, strict=True))
    return f"### Import\n\nNumPy and scipy.special {unit(min(base))}, with chainrule {unit(min(ours))}; added {unit(min(ours) - min(base))} (mins), {unit(added)} (median of pairs).\n"


def chain(ws, x):
    """A deep tanh network."""
    for w in ws:
        x = np.tanh(w @ x)
    return np.sum(x)


def transforming() -> str:
    """Tracing and differentiating chains of growing depth."""
    from chainrule.calls import no_collection, traced
    from chainrule.transform.prepare import prepare
    from chainrule.transform.vjp import vjp

    lines = [
        "### Tracing and differentiating a chain",
        "",
        "| layers | equations | trace | differentiate | both |",
        "|---|---|---|---|---|",
    ]
    for layers in (8, 64, 500, 4096):
        ws = [np.eye(4)] * layers
        best = (1e9, 1e9)
        for _ in range(3):
            with no_collection():
                a = time.perf_counter()
                t = traced(chain, (ws, np.ones(4)), {}, (0, 1), name="chain", values=False)
                b = time.perf_counter()
                vjp(prepare(t.graph), t.wrt)
                c = time.perf_counter()
            best = min(best, (b - a, c - b), key=sum)
        lines.append(f"| {layers} | {len(t.graph.eqns)} | {unit(best[0])} | {unit(best[1])} | {unit(sum(best))} |")
    return "\n".join([*lines, ""])


def memory() -> str:
    """Peak memory of the gradient of a chain, with and without checkpoints every sqrt(depth) layers."""
    lines = [
        "### Peak memory of the gradient of a chain (batch 256, width 64)",
        "",
        "| layers | plain | checkpoint | ratio |",
        "|---|---|---|---|",
    ]
    x = np.ones((256, 64))
    w = np.eye(64) * 0.9

    def segment(h, n):
        for _ in range(n):
            h = np.tanh(h @ w)
        return h

    for depth in (16, 64, 256):
        n = round(depth**0.5)

        def plain(h, depth=depth):
            return np.sum(segment(h, depth))

        def saved(h, depth=depth, n=n):
            for _ in range(depth // n):
                h = cr.checkpoint(lambda z: segment(z, n))(h)
            return np.sum(h)

        peaks = []
        for f in (plain, saved):
            g = cr.jit(cr.grad(f), engine="numpy")
            g(x)
            tracemalloc.start()
            g(x)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        lines.append(f"| {depth} | {peaks[0] / 1e6:.1f} MB | {peaks[1] / 1e6:.1f} MB | {peaks[0] / peaks[1]:.1f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print everything as Markdown."""
    print(f"## Core\n\n{machine()}\n")
    for part in [*eager(), imports(), transforming(), memory()]:
        print(part)


if __name__ == "__main__":
    main()
