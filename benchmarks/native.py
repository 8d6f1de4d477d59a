"""The native engine beside JAX, on the work of which machine learning is made; interleaved in one process.

Run ``python benchmarks/native.py [P1 P2 ...]``. Each row is the same work in plain NumPy code under `cr.jit` and in JAX in the
form its own experts would write. `--no-jax` times the native engine alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from harness import compare, table

import chainrule as cr

Case = tuple[str, Callable[[], Any], Callable[[Any], Any]]
CASES: dict[str, Callable[[], Case]] = {}


def case(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(f: Callable[[], Case]) -> Callable[[], Case]:
        CASES[name] = f
        return f

    return keep


def _jit(f: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    g = cr.jit(f, engine="native")
    return lambda: g(*args)


def _jax(f: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    import jax

    g, xs = jax.jit(f), jax.tree.map(jax.numpy.asarray, args)
    return lambda: jax.block_until_ready(g(*xs))


@case("P1")
def xor() -> Case:
    r = np.random.default_rng(1)
    x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([[0.0], [1], [1], [0]])
    p = [r.normal(size=(2, 8)), np.zeros(8), r.normal(size=(8, 1)), np.zeros(1)]

    def loss(xp: Any, p: Any) -> Any:
        w1, b1, w2, b2 = p
        h = 1 / (1 + xp.exp(-(x @ w1 + b1)))
        return xp.mean((1 / (1 + xp.exp(-(h @ w2 + b2))) - t) ** 2)

    def ours(p: Any) -> Any:
        step = lambda p, _: ([a - b for a, b in zip(p, cr.grad(lambda p: loss(np, p))(p), strict=True)], None)
        return cr.scan(step, p, None, length=10_000)[0]

    def theirs(_: Any) -> Any:
        import jax

        step = lambda p, _: ([a - b for a, b in zip(p, jax.grad(lambda p: loss(jax.numpy, p))(p), strict=True)], None)
        return _jax(lambda p: jax.lax.scan(step, p, None, length=10_000)[0], p)

    return "XOR 2-8-1, 10,000 full-batch steps, float64", _jit(ours, p), theirs


def _mlp(sizes: tuple[int, ...], rows: int, batch: int, epochs: int) -> Any:
    r = np.random.default_rng(7)
    x = r.random((rows, sizes[0]), dtype=np.float32)
    y = (x @ r.normal(size=(sizes[0], 10))).argmax(1).astype(np.int32)
    p = []
    for a, b in pairwise(sizes):
        p += [(r.normal(size=(a, b)) * np.sqrt(2 / a)).astype(np.float32), np.zeros(b, np.float32)]
    steps = rows // batch
    order = np.concatenate([r.permutation(rows)[: steps * batch].reshape(steps, batch) for _ in range(epochs)]).astype(np.int32)

    def loss(xp: Any, p: Any, x: Any, y: Any) -> Any:
        h = x
        for k in range(0, len(p), 2):
            h = h @ p[k] + p[k + 1]
            if k < len(p) - 2:
                h = xp.maximum(h, 0)
        m = xp.max(h, 1, keepdims=True)
        lse = xp.log(xp.sum(xp.exp(h - m), 1)) + m[:, 0]
        return xp.mean(lse - xp.sum(h * (y[:, None] == xp.arange(10, dtype=np.int32)), 1))

    def training(xp: Any, grad: Any, scan: Any) -> Any:
        def run(p: Any, x: Any, y: Any, order: Any) -> Any:
            def step(state: Any, i: Any) -> Any:
                p, m, v, k = state
                g = grad(lambda p: loss(xp, p, x[i], y[i]))(p)
                k = k + 1
                m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
                v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
                c = (xp.sqrt(1 - 0.999**k) / (1 - 0.9**k) * 1e-3).astype(np.float32)
                p = [a - c * b / (xp.sqrt(d) + 1e-8) for a, b, d in zip(p, m, v, strict=True)]
                return (p, m, v, k), None

            zeros = [a * 0 for a in p]
            return scan(step, (p, zeros, zeros, xp.zeros((), np.float64)), order)[0]

        return run

    def theirs(_: Any) -> Any:
        import jax

        return _jax(training(jax.numpy, jax.grad, jax.lax.scan), p, x, y, order)

    return _jit(training(np, cr.grad, cr.scan), p, x, y, order), theirs


@case("P2")
def digits() -> Case:
    return "MLP 64-128-64-10, Adam, batch 64, 10 epochs of 1792, float32", *_mlp((64, 128, 64, 10), 1792, 64, 10)


@case("P3")
def medium() -> Case:
    return "MLP 784-512-256-10, Adam, batch 128, one epoch of 10,000, float32", *_mlp((784, 512, 256, 10), 10_000, 128, 1)


def _regression(shuffled: bool) -> Any:
    r = np.random.default_rng(3)
    n, batch = 1_000_000, 256
    x, steps = r.normal(size=(n, 32)), n // batch
    y = x @ r.normal(size=32) + 0.1 * r.normal(size=n)
    order = r.permutation(n)[: steps * batch].reshape(steps, batch)
    xs = x[: steps * batch].reshape(steps, batch, 32), y[: steps * batch].reshape(steps, batch)

    def training(xp: Any, grad: Any, scan: Any) -> Any:
        def loss(w: Any, a: Any, b: Any) -> Any:
            return 0.5 * xp.mean((a @ w - b) ** 2)

        def ordered(w: Any, xs: Any, ys: Any) -> Any:
            def step(s: Any, row: Any) -> Any:
                w, k = s
                return (w - 0.1 / (1 + 1e-3 * k) * grad(loss)(w, *row), k + 1.0), None

            return scan(step, (w, 0.0), (xs, ys))[0][0]

        def gathered(w: Any, x: Any, y: Any, order: Any) -> Any:
            def step(s: Any, i: Any) -> Any:
                w, k = s
                return (w - 0.1 / (1 + 1e-3 * k) * grad(loss)(w, x[i], y[i]), k + 1.0), None

            return scan(step, (w, 0.0), order)[0][0]

        return gathered if shuffled else ordered

    args = (np.zeros(32), x, y, order) if shuffled else (np.zeros(32), *xs)

    def theirs(_: Any) -> Any:
        import jax

        return _jax(training(jax.numpy, jax.grad, jax.lax.scan), *args)

    return _jit(training(np, cr.grad, cr.scan), *args), theirs


@case("P4")
def regression() -> Case:
    return "linear regression, n = 1e6, d = 32, batches of 256 in order, float64", *_regression(False)


@case("P4s")
def shuffled() -> Case:
    return "linear regression, n = 1e6, d = 32, batches of 256 shuffled, float64", *_regression(True)


def _logistic(n: int, d: int = 100) -> Any:
    r = np.random.default_rng(5)
    x, w = r.normal(size=(n, d)), 0.1 * r.normal(size=d)
    y = (r.random(n) < 0.5).astype(np.float64)

    def loss(xp: Any) -> Any:
        def f(w: Any, x: Any, y: Any) -> Any:
            z = x @ w
            return xp.mean(xp.logaddexp(0.0, z) - y * z)

        return f

    return loss, (w, x, y), r.normal(size=d)


@case("P5")
def logistic() -> Case:
    loss, args, _ = _logistic(100_000)

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.value_and_grad(loss(jax.numpy)), *args)

    return "logistic regression value and gradient, n = 1e5, d = 100, float64", _jit(cr.value_and_grad(loss(np)), *args), theirs


def _chain(n: int) -> Case:
    x = np.random.default_rng(0).normal(size=n)
    f = lambda xp: lambda x: xp.sum(xp.tanh(x) * xp.exp(-(x**2)) + xp.log1p(x**2))

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.grad(f(jax.numpy)), x)

    return f"gradient of sum(tanh(x) exp(-x^2) + log1p(x^2)), {n:,} elements, float64", _jit(cr.grad(f(np)), x), theirs


CASES["P6"] = lambda: _chain(1_000_000)
CASES["P6s"] = lambda: _chain(10_000)


@case("P7")
def hessian() -> Case:
    loss, args, _ = _logistic(10_000)

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.hessian(loss(jax.numpy)), *args)

    return "Hessian (100 x 100) of the logistic loss, n = 1e4", _jit(cr.hessian(loss(np)), *args), theirs


@case("P7v")
def hvp() -> Case:
    loss, args, v = _logistic(10_000)

    def theirs(_: Any) -> Any:
        import jax

        f = loss(jax.numpy)
        return _jax(lambda w, x, y, v: jax.jvp(lambda w: jax.grad(f)(w, x, y), (w,), (v,))[1], *args, v)

    f = loss(np)
    ours = lambda w, x, y, v: cr.jvp(lambda w: cr.grad(f)(w, x, y), (w,), (v,))[1]
    return "Hessian-vector product of the logistic loss, n = 1e4", _jit(ours, *args, v), theirs


@case("P8")
def transformer() -> Case:
    d, heads, s, b = 128, 4, 64, 16
    r = np.random.default_rng(9)
    f32 = lambda *shape: (r.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
    z = lambda n: (0.01 * r.normal(size=n)).astype(np.float32)
    p = {
        "g1": 1 + z(d), "b1": z(d), "Wqkv": f32(d, 3 * d), "bqkv": z(3 * d), "Wo": f32(d, d), "bo": z(d), "g2": 1 + z(d), "b2": z(d),
        "W1": f32(d, 4 * d), "c1": z(4 * d), "W2": f32(4 * d, d), "c2": z(d),
    }  # fmt: skip
    x = r.normal(size=(b, s, d)).astype(np.float32)

    def loss(xp: Any) -> Any:
        def norm(x: Any, g: Any, b: Any) -> Any:
            m = xp.mean(x, -1, keepdims=True)
            c = x - m
            return c / xp.sqrt(xp.mean(c * c, -1, keepdims=True) + 1e-5) * g + b

        def gelu(x: Any) -> Any:
            return 0.5 * x * (1 + xp.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))

        def f(p: Any, x: Any) -> Any:
            h = norm(x, p["g1"], p["b1"])
            qkv = xp.transpose(xp.reshape(h @ p["Wqkv"] + p["bqkv"], (b, s, 3, heads, d // heads)), (2, 0, 3, 1, 4))
            q, k, v = qkv[0], qkv[1], qkv[2]
            a = xp.einsum("bhid,bhjd->bhij", q, k) * (1 / np.sqrt(d // heads)).astype(np.float32)
            a = xp.exp(a - xp.max(a, -1, keepdims=True))
            a = a / xp.sum(a, -1, keepdims=True)
            o = xp.reshape(xp.transpose(xp.einsum("bhij,bhjd->bhid", a, v), (0, 2, 1, 3)), (b, s, d))
            y = x + o @ p["Wo"] + p["bo"]
            h = norm(y, p["g2"], p["b2"])
            o = y + gelu(h @ p["W1"] + p["c1"]) @ p["W2"] + p["c2"]
            return xp.mean(o * o)

        return f

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.value_and_grad(loss(jax.numpy)), p, x)

    return "transformer block, value and gradient, float32", _jit(cr.value_and_grad(loss(np)), p, x), theirs


@case("P9")
def layer_norm() -> Case:
    r = np.random.default_rng(2)
    x, g, b, ct = (r.normal(size=s).astype(np.float32) for s in ((4096, 512), 512, 512, (4096, 512)))

    def loss(xp: Any) -> Any:
        def f(x: Any, g: Any, b: Any, ct: Any) -> Any:
            m = xp.mean(x, -1, keepdims=True)
            c = x - m
            return xp.sum((c / xp.sqrt(xp.mean(c * c, -1, keepdims=True) + 1e-5) * g + b) * ct)

        return f

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.value_and_grad(loss(jax.numpy), (0, 1, 2)), x, g, b, ct)

    return (
        "layer norm forward and backward, 4096 x 512, float32",
        _jit(cr.value_and_grad(loss(np), (0, 1, 2)), x, g, b, ct),
        theirs,
    )


@case("P9x")
def cross_entropy() -> Case:
    r = np.random.default_rng(2)
    x, y = r.normal(size=(4096, 512)).astype(np.float32), r.integers(0, 512, 4096)

    def loss(xp: Any) -> Any:
        def f(x: Any) -> Any:
            m = xp.max(x, 1, keepdims=True)
            return xp.mean(xp.log(xp.sum(xp.exp(x - m), 1)) + m[:, 0] - x[xp.arange(4096), y])

        return f

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.value_and_grad(loss(jax.numpy)), x)

    return "softmax cross-entropy forward and backward, 4096 x 512, float32", _jit(cr.value_and_grad(loss(np)), x), theirs


def _deep(gradient: bool) -> Case:
    r = np.random.default_rng(4)
    w, x = r.normal(size=(64, 64, 64)) / 8, r.normal(size=(32, 64))

    def f(xp: Any) -> Any:
        def run(w: Any, x: Any) -> Any:
            for k in range(64):
                x = xp.tanh(x @ w[k])
            return xp.sum(x)

        return run

    def theirs(_: Any) -> Any:
        import jax

        return _jax(jax.value_and_grad(f(jax.numpy)) if gradient else f(jax.numpy), w, x)

    what = "value and gradient" if gradient else "function"
    return (
        f"64 tanh layers of 64 x 64, batch 32, float64: {what}",
        _jit(cr.value_and_grad(f(np)) if gradient else f(np), w, x),
        theirs,
    )


CASES["P11"] = lambda: _deep(False)
CASES["P11g"] = lambda: _deep(True)


@case("calls")
def calls() -> Case:
    r = np.random.default_rng(6)
    xs = [r.normal(size=16) for _ in range(4)]
    f = lambda a, b, c, d: a + b * c - d

    def theirs(_: Any) -> Any:
        return _jax(f, *xs)

    return "call with four arrays of 16", _jit(f, *xs), theirs


def main() -> None:
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or list(CASES)
    with_jax = "--no-jax" not in sys.argv
    if with_jax:
        import jax

        jax.config.update("jax_enable_x64", True)
    for name in names:
        title, ours, theirs = CASES[name]()
        contenders = {"native": ours} | ({"jax": theirs(None)} if with_jax else {})
        if with_jax:
            import jax

            for a, b in zip(jax.tree.leaves(ours()), jax.tree.leaves(contenders["jax"]()), strict=True):
                a, b = np.asarray(a), np.asarray(b)
                scale = np.max(np.abs(b), initial=1e-30)
                print(f"{name}: largest difference {np.max(np.abs(a - b)) / scale:.1e}", flush=True)
        print(table(compare(f"{name} {title}", contenders)), flush=True)


if __name__ == "__main__":
    main()
