"""What `chainrule bench` times: the work of which machine learning is made. Each is written once, in the words that chainrule
and JAX share; where PyTorch is the best peer, in its own words too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from chainrule.calculus import grad, hessian, jvp, value_and_grad
from chainrule.compilation import Jitted, jit
from chainrule.flow import scan

__all__ = ["WORK", "Work", "in_jax"]

Run = Callable[[], Any]


class Calculus(NamedTuple):
    """What a program is written with."""

    np: Any
    grad: Any
    value_and_grad: Any
    hessian: Any
    jvp: Any
    scan: Any


OURS = Calculus(np, grad, value_and_grad, hessian, jvp, scan)
Program = Callable[[Calculus], Callable[..., Any]]


@dataclass(frozen=True)
class Work:
    """One row of the table.

    Args:
        title: what is done.
        target: how many times faster than the best peer it is meant to be.
        ours, args: the compiled function and what it is called with.
        program: what is timed, in the words that chainrule and JAX share.
        peers: name of a package -> what prepares its side; called only where it is installed.
    """

    title: str
    target: float
    ours: Jitted
    args: tuple[Any, ...]
    program: Program
    peers: dict[str, Callable[[tuple[Any, ...]], Run]] = field(default_factory=dict[str, Callable[[tuple[Any, ...]], Run]])
    brief: tuple[Any, ...] | None = None


WORK: dict[str, Callable[[], Work]] = {}
"""Name of a row -> how its work is prepared."""


def _work(name: str) -> Callable[[Callable[[], Work]], Callable[[], Work]]:
    def keep(f: Callable[[], Work]) -> Callable[[], Work]:
        WORK[name] = f
        return f

    return keep


def _made(title: str, target: float, program: Program, *args: Any, torch: Callable[..., Any] | None = None) -> Work:
    peers: dict[str, Callable[[tuple[Any, ...]], Run]] = {"jax": lambda args: _jax(program, args)}
    if torch is not None:
        peers["torch"] = lambda args: _torch(torch, args)
    return Work(title, target, jit(program(OURS)), args, program, peers)


def in_jax(program: Program) -> Any:
    """A program in JAX, compiled."""
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.jit(program(Calculus(jax.numpy, jax.grad, jax.value_and_grad, jax.hessian, jax.jvp, jax.lax.scan)))


def _jax(program: Program, args: tuple[Any, ...]) -> Run:
    f, jax = in_jax(program), import_module("jax")
    xs = jax.tree.map(jax.numpy.asarray, args)
    return lambda: jax.block_until_ready(f(*xs))


def _torch(f: Callable[..., Any], args: tuple[Any, ...]) -> Run:
    """Value and gradient with respect to the first argument, a tensor or a dict of tensors."""
    torch = import_module("torch")
    tensors = [{k: torch.tensor(v) for k, v in a.items()} if isinstance(a, dict) else torch.tensor(a) for a in args]
    leaves: list[Any] = list(tensors[0].values()) if isinstance(args[0], dict) else tensors[:1]
    for x in leaves:
        x.requires_grad_()

    def run() -> Any:
        value = f(torch, *tensors)
        return value, torch.autograd.grad(value, leaves)

    return run


# --- training loops ------------------------------------------------------------------------------------------------------------


@_work("P1")
def _xor() -> Work:
    r = np.random.default_rng(1)
    x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([[0.0], [1], [1], [0]])
    start = [r.normal(size=(2, 8)), np.zeros(8), r.normal(size=(8, 1)), np.zeros(1)]

    def program(c: Calculus) -> Callable[..., Any]:
        def loss(p: Any) -> Any:
            w1, b1, w2, b2 = p
            h = 1 / (1 + c.np.exp(-(x @ w1 + b1)))
            return c.np.mean((1 / (1 + c.np.exp(-(h @ w2 + b2))) - t) ** 2)

        def step(p: Any, _: Any) -> Any:
            return [a - b for a, b in zip(p, c.grad(loss)(p), strict=True)], None

        return lambda p: c.scan(step, p, None, length=10_000)[0]

    return _made("XOR 2-8-1, 10,000 full-batch steps, float64", 5, program, start)


def _classifier(c: Calculus, p: Any, x: Any, y: Any) -> Any:
    """Cross-entropy of a network with rectified layers."""
    h = x
    for k in range(0, len(p), 2):
        h = h @ p[k] + p[k + 1]
        if k < len(p) - 2:
            h = c.np.maximum(h, 0)
    m = c.np.max(h, 1, keepdims=True)
    lse = c.np.log(c.np.sum(c.np.exp(h - m), 1)) + m[:, 0]
    return c.np.mean(lse - c.np.sum(h * (y[:, None] == c.np.arange(10, dtype=np.int32)), 1))


def _adam(c: Calculus) -> Callable[..., Any]:
    """Epochs of Adam over rows in a given order."""

    def run(p: Any, x: Any, y: Any, order: Any) -> Any:
        def step(state: Any, i: Any) -> Any:
            p, m, v, k = state
            g = c.grad(lambda p: _classifier(c, p, x[i], y[i]))(p)
            k = k + 1
            m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
            v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
            rate = (c.np.sqrt(1 - 0.999**k) / (1 - 0.9**k) * 1e-3).astype(np.float32)
            p = [a - rate * b / (c.np.sqrt(d) + 1e-8) for a, b, d in zip(p, m, v, strict=True)]
            return (p, m, v, k), None

        zeros = [a * 0 for a in p]
        return c.scan(step, (p, zeros, zeros, c.np.zeros((), np.float64)), order)[0]

    return run


def _mlp(title: str, target: float, sizes: tuple[int, ...], rows: int, batch: int, epochs: int) -> Work:
    r = np.random.default_rng(7)
    x = r.random((rows, sizes[0]), dtype=np.float32)
    y = (x @ r.normal(size=(sizes[0], 10))).argmax(1).astype(np.int32)
    p: list[Any] = []
    for a, b in pairwise(sizes):
        p += [(r.normal(size=(a, b)) * np.sqrt(2 / a)).astype(np.float32), np.zeros(b, np.float32)]
    steps = rows // batch
    order = np.concatenate([r.permutation(rows)[: steps * batch].reshape(steps, batch) for _ in range(epochs)]).astype(np.int32)
    return replace(_made(title, target, _adam, p, x, y, order), brief=(p, x, y, order[:1]))


@_work("P2")
def _digits() -> Work:
    return _mlp("MLP 64-128-64-10, Adam, batch 64, 10 epochs of 1,792, float32", 2, (64, 128, 64, 10), 1792, 64, 10)


@_work("P3")
def _medium() -> Work:
    return _mlp("MLP 784-512-256-10, Adam, batch 128, an epoch of 10,000, float32", 1.2, (784, 512, 256, 10), 10_000, 128, 1)


def _regression(shuffled: bool) -> Work:
    r = np.random.default_rng(3)
    n, batch = 1_000_000, 256
    x, steps = r.normal(size=(n, 32)), n // batch
    y = x @ r.normal(size=32) + 0.1 * r.normal(size=n)

    def program(c: Calculus) -> Callable[..., Any]:
        def descent(rows: Callable[[Any], Any]) -> Callable[..., Any]:
            def step(s: Any, at: Any) -> Any:
                w, k = s
                a, b = rows(at)
                g = c.grad(lambda w: 0.5 * c.np.mean((a @ w - b) ** 2))(w)
                return (w - 0.1 / (1 + 1e-3 * k) * g, k + 1.0), None

            return step

        if shuffled:
            return lambda w, x, y, order: c.scan(descent(lambda i: (x[i], y[i])), (w, 0.0), order)[0][0]
        return lambda w, x, y: c.scan(descent(lambda row: row), (w, 0.0), (x, y))[0][0]

    title = f"linear regression, n = 1e6, d = 32, batches of 256 {'shuffled' if shuffled else 'in order'}, float64"
    if shuffled:
        return _made(title, 1.3, program, np.zeros(32), x, y, r.permutation(n)[: steps * batch].reshape(steps, batch))
    batches = x[: steps * batch].reshape(steps, batch, 32), y[: steps * batch].reshape(steps, batch)
    return _made(title, 2.5, program, np.zeros(32), *batches)


@_work("P4")
def _ordered() -> Work:
    return _regression(False)


@_work("P4s")
def _shuffled() -> Work:
    return _regression(True)


# --- functions and their derivatives --------------------------------------------------------------------------------------------


def _logistic(n: int, d: int = 100) -> tuple[Callable[..., Any], tuple[Any, ...], Any]:
    r = np.random.default_rng(5)
    x, w = r.normal(size=(n, d)), 0.1 * r.normal(size=d)
    y = (r.random(n) < 0.5).astype(np.float64)

    def loss(c: Calculus) -> Callable[..., Any]:
        def f(w: Any, x: Any, y: Any) -> Any:
            z = x @ w
            return c.np.mean(c.np.logaddexp(0.0, z) - y * z)

        return f

    return loss, (w, x, y), r.normal(size=d)


@_work("P5")
def _logistic_gradient() -> Work:
    loss, args, _ = _logistic(100_000)
    title = "logistic regression, value and gradient, n = 1e5, d = 100, float64"
    theirs = lambda torch, w, x, y: (torch.nn.functional.softplus(x @ w) - y * (x @ w)).mean()
    return _made(title, 3, lambda c: c.value_and_grad(loss(c)), *args, torch=theirs)


def _chain(n: int, target: float) -> Work:
    x = np.random.default_rng(0).normal(size=n)
    program = lambda c: c.grad(lambda x: c.np.sum(c.np.tanh(x) * c.np.exp(-(x**2)) + c.np.log1p(x**2)))
    return _made(f"gradient of sum(tanh(x) exp(-x^2) + log1p(x^2)), {n:,} elements, float64", target, program, x)


@_work("P6")
def _long_chain() -> Work:
    return _chain(1_000_000, 1.5)


@_work("P6s")
def _short_chain() -> Work:
    return _chain(10_000, 2.5)


@_work("P7")
def _hessian() -> Work:
    loss, args, _ = _logistic(10_000)
    return _made("Hessian (100 x 100) of the logistic loss, n = 1e4, float64", 1, lambda c: c.hessian(loss(c)), *args)


@_work("P7v")
def _hessian_product() -> Work:
    loss, args, v = _logistic(10_000)
    program = lambda c: lambda w, x, y, v: c.jvp(lambda w: c.grad(loss(c))(w, x, y), (w,), (v,))[1]
    return _made("Hessian-vector product of the logistic loss, n = 1e4, float64", 1, program, *args, v)


# --- networks -------------------------------------------------------------------------------------------------------------------

_D, _HEADS, _LENGTH, _BATCH = 128, 4, 64, 16


def _block(c: Calculus) -> Callable[..., Any]:
    """A transformer block with normalisation in front, and the mean of the squares of its output."""
    xp = c.np

    def norm(x: Any, g: Any, b: Any) -> Any:
        u = x - xp.mean(x, -1, keepdims=True)
        return u / xp.sqrt(xp.mean(u * u, -1, keepdims=True) + 1e-5) * g + b

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1 + xp.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))

    def f(p: Any, x: Any) -> Any:
        qkv = xp.reshape(norm(x, p["g1"], p["b1"]) @ p["Wqkv"] + p["bqkv"], (_BATCH, _LENGTH, 3, _HEADS, _D // _HEADS))
        q, k, v = xp.transpose(qkv, (2, 0, 3, 1, 4))
        a = xp.einsum("bhid,bhjd->bhij", q, k) * np.float32(1 / np.sqrt(_D // _HEADS))
        a = xp.exp(a - xp.max(a, -1, keepdims=True))
        a = a / xp.sum(a, -1, keepdims=True)
        o = xp.reshape(xp.transpose(xp.einsum("bhij,bhjd->bhid", a, v), (0, 2, 1, 3)), (_BATCH, _LENGTH, _D))
        y = x + o @ p["Wo"] + p["bo"]
        o = y + gelu(norm(y, p["g2"], p["b2"]) @ p["W1"] + p["c1"]) @ p["W2"] + p["c2"]
        return xp.mean(o * o)

    return c.value_and_grad(f)


def _torch_block(torch: Any, p: Any, x: Any) -> Any:
    F = torch.nn.functional
    h = F.layer_norm(x, (_D,), p["g1"], p["b1"])
    q, k, v = F.linear(h, p["Wqkv"].T, p["bqkv"]).view(_BATCH, _LENGTH, 3, _HEADS, _D // _HEADS).permute(2, 0, 3, 1, 4)
    o = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(_BATCH, _LENGTH, _D)
    y = x + F.linear(o, p["Wo"].T, p["bo"])
    h = F.gelu(F.linear(F.layer_norm(y, (_D,), p["g2"], p["b2"]), p["W1"].T, p["c1"]), approximate="tanh")
    return (y + F.linear(h, p["W2"].T, p["c2"])).square().mean()


@_work("P8")
def _transformer() -> Work:
    r = np.random.default_rng(9)
    weight = lambda *shape: (r.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
    small = lambda n: (0.01 * r.normal(size=n)).astype(np.float32)
    d = _D
    p = {
        "g1": 1 + small(d), "b1": small(d), "Wqkv": weight(d, 3 * d), "bqkv": small(3 * d), "Wo": weight(d, d), "bo": small(d),
        "g2": 1 + small(d), "b2": small(d), "W1": weight(d, 4 * d), "c1": small(4 * d), "W2": weight(4 * d, d), "c2": small(d),
    }  # fmt: skip
    x = r.normal(size=(_BATCH, _LENGTH, d)).astype(np.float32)
    title = "transformer block (d 128, 4 heads, 64 tokens, batch 16), value and gradient, float32"
    return _made(title, 1.3, _block, p, x, torch=_torch_block)


@_work("P9")
def _layer_norm() -> Work:
    r = np.random.default_rng(2)
    x, g, b, ct = (r.normal(size=s).astype(np.float32) for s in ((4096, 512), 512, 512, (4096, 512)))

    def program(c: Calculus) -> Callable[..., Any]:
        def f(p: Any, ct: Any) -> Any:
            u = p["x"] - c.np.mean(p["x"], -1, keepdims=True)
            return c.np.sum((u / c.np.sqrt(c.np.mean(u * u, -1, keepdims=True) + 1e-5) * p["g"] + p["b"]) * ct)

        return c.value_and_grad(f)

    def theirs(torch: Any, p: Any, ct: Any) -> Any:
        return (torch.nn.functional.layer_norm(p["x"], (512,), p["g"], p["b"]) * ct).sum()

    return _made("layer norm, forward and backward, 4096 x 512, float32", 1, program, {"x": x, "g": g, "b": b}, ct, torch=theirs)


@_work("P9x")
def _cross_entropy() -> Work:
    r = np.random.default_rng(2)
    x, y = r.normal(size=(4096, 512)).astype(np.float32), r.integers(0, 512, 4096)

    def program(c: Calculus) -> Callable[..., Any]:
        def f(x: Any, y: Any) -> Any:
            m = c.np.max(x, 1, keepdims=True)
            return c.np.mean(c.np.log(c.np.sum(c.np.exp(x - m), 1)) + m[:, 0] - x[c.np.arange(4096), y])

        return c.value_and_grad(f)

    theirs = lambda torch, x, y: torch.nn.functional.cross_entropy(x, y)
    return _made("softmax cross-entropy, forward and backward, 4096 x 512, float32", 1, program, x, y, torch=theirs)


def _deep(gradient: bool) -> Work:
    r = np.random.default_rng(4)
    w, x = r.normal(size=(64, 64, 64)) / 8, r.normal(size=(32, 64))

    def program(c: Calculus) -> Callable[..., Any]:
        def run(w: Any, x: Any) -> Any:
            for k in range(64):
                x = c.np.tanh(x @ w[k])
            return c.np.sum(x)

        return c.value_and_grad(run) if gradient else run

    what = "value and gradient" if gradient else "function"
    return _made(f"64 tanh layers of 64 x 64, batch 32, float64: {what}", 1.5, program, w, x)


@_work("P11")
def _deep_function() -> Work:
    return _deep(False)


@_work("P11g")
def _deep_gradient() -> Work:
    return _deep(True)


# --- calls ----------------------------------------------------------------------------------------------------------------------


@_work("call")
def _call() -> Work:
    r = np.random.default_rng(6)
    xs = [r.normal(size=16) for _ in range(4)]
    return _made("a call with four arrays of 16, float64", 10, lambda c: lambda a, b, c, d: a + b * c - d, *xs)


@_work("tree")
def _tree_call() -> Work:
    r = np.random.default_rng(6)
    p = {"w": r.normal(size=(4, 4)), "b": [r.normal(size=4), r.normal(size=4)]}
    program = lambda c: lambda p, x: {"w": p["w"] * x, "b": [p["b"][0] + x, p["b"][1] - x]}
    return _made("a call with nested parameters, float64", 3, program, p, r.normal(size=4))
