"""Functions that graphs are read and written of, with arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr


def network(params: Any, X: Any, Y: Any) -> Any:
    (W1, b1), (W2, b2) = params
    h = np.tanh(X @ W1 + b1)
    p = h @ W2 + b2
    return np.mean((p - Y) ** 2)


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = q @ k.T / np.sqrt(q.shape[-1])
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = e / e.sum(axis=-1, keepdims=True)
    return np.sum((weights @ v) ** 2)


def branches(x: Any, y: Any) -> Any:
    big = np.where(x > y, x * y, np.maximum(x, 0.5))
    return np.sum(big[1:] * big[:-1]) + np.log1p(np.abs(x[0]))


def softplus_mean(w: Any, x: Any) -> Any:
    z = x @ w
    return np.logaddexp(0, z).mean()


def loop(x: Any, w: Any) -> Any:
    h, ys = cr.scan(lambda h, x: (np.tanh(w * h + x), h * x), x[0], x)
    return h + np.sum(ys)


RNG = np.random.default_rng(1)
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "network": (network, ([(RNG.normal(size=(4, 5)), RNG.normal(size=5)), (RNG.normal(size=(5, 2)), RNG.normal(size=2))],
                          RNG.normal(size=(6, 4)), RNG.normal(size=(6, 2)))),
    "attention": (attention, tuple(RNG.normal(size=(3, 4)) for _ in range(3))),
    "branches": (branches, (RNG.normal(size=5), RNG.normal(size=5))),
    "softplus": (softplus_mean, (RNG.normal(size=3), RNG.normal(size=(7, 3)))),
    "loop": (loop, (RNG.normal(size=4), 0.3)),
    "float32": (branches, (RNG.normal(size=5).astype(np.float32), RNG.normal(size=5).astype(np.float32))),
    "constants": (lambda x: np.sum(np.arange(12.0).reshape(3, 4) @ x * np.array([1.5, -np.inf, np.nan])), (RNG.normal(size=4),)),
}  # fmt: skip
