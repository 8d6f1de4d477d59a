"""Functions with gradients written by hand, and mistakes planted in these: what the doctor is tested on.

`CASES` are (name, function, gradient maker, arguments, argnums, {mistake: kinds that name it}).  A maker takes the set of
mistakes that are made and returns the gradient function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LOCAL, SCALE, SIGN, TERM, CONSTANT, LAYOUT, JACOBIAN = (
    "local_derivative", "scale", "sign", "term", "constant", "layout", "jacobian",
)  # fmt: skip


class Case(NamedTuple):
    name: str
    f: Callable[..., Any]
    make: Callable[..., Callable[..., Any]]
    args: tuple[Any, ...]
    argnums: int | tuple[int, ...]
    mistakes: dict[str, tuple[str, ...]]


def draw(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) for s in shapes]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# --- least squares, logistic regression ------------------------------------------------------------------------------------


def ridge(w, X, y, lam):
    r = X @ w - y
    return np.mean(r**2) + lam * np.sum(w**2)


def ridge_gradient(*bugs):
    def g(w, X, y, lam):
        n, r = len(y), X @ w - y
        data = 2 * X.T @ r / n
        if "no 1/n" in bugs:
            data = data * n
        if "no 2" in bugs:
            data = data / 2
        if "data sign" in bugs:
            data = -data
        reg = 2 * lam * w
        if "no reg" in bugs:
            reg = 0 * w
        if "reg no 2" in bugs:
            reg = lam * w
        if "reg sign" in bugs:
            reg = -reg
        if "reg twice" in bugs:
            reg = 2 * reg
        if "reg 1/n" in bugs:
            reg = reg / n
        out = data + reg
        if "sign" in bugs:
            out = -out
        if "column" in bugs:
            out = out[:, None]
        if "not summed" in bugs:
            out = 2 * X * r[:, None] / n + reg / n
        return out

    return g


def logistic(w, b, X, y, lam):
    z = X @ w + b
    p = 1 / (1 + np.exp(-z))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss + 0.5 * lam * np.sum(w**2)


def logistic_gradient(*bugs):
    def g(w, b, X, y, lam):
        n = len(y)
        p = sigmoid(X @ w + b)
        dz = (p - y) / n
        if "no target" in bugs:
            dz = p / n
        if "no 1/n" in bugs:
            dz = dz * n
        if "sigma'" in bugs:
            dz = dz * p * (1 - p)
        if "sign" in bugs:
            dz = -dz
        dw, db = X.T @ dz, dz.sum()
        if "bias mean" in bugs:
            db = dz.mean()
        reg = lam * w
        if "reg 2" in bugs:
            reg = 2 * reg
        if "no reg" in bugs:
            reg = 0 * w
        return dw + reg, db

    return g


# --- layers -----------------------------------------------------------------------------------------------------------------


def dense(W, b, V, X, Y):
    a = X @ W + b
    h = np.maximum(a, 0)
    z = h @ V
    return np.mean(np.sum((z - Y) ** 2, axis=1))


def dense_gradient(*bugs):
    def g(W, b, V, X, Y):
        n = len(X)
        a = X @ W + b
        h = np.maximum(a, 0)
        dz = 2 * (h @ V - Y) / n
        if "mean over outputs" in bugs:
            dz = dz / Y.shape[1]
        dV = h.T @ dz
        dh = dz @ V.T
        da = dh * (a > 0)
        if "no mask" in bugs:
            da = dh
        dW, db = X.T @ da, da.sum(0)
        if "bias mean" in bugs:
            db = da.mean(0)
        if "bias not summed" in bugs:
            db = da
        if "bias keepdims" in bugs:
            db = da.sum(0, keepdims=True)
        if "W transposed" in bugs:
            dW = dW.T
        if "V sign" in bugs:
            dV = -dV
        return dW, db, dV

    return g


def tanh_net(W, V, X, Y):
    a = X @ W
    h = np.tanh(a)
    z = h @ V
    return 0.5 * np.sum((z - Y) ** 2) / len(X)


def tanh_gradient(*bugs):
    def g(W, V, X, Y):
        a = X @ W
        h = np.tanh(a)
        dz = (h @ V - Y) / len(X)
        dh = dz @ V.T
        slope = 1 - h * h
        if "no tanh'" in bugs:
            slope = np.ones_like(h)
        if "at output" in bugs:
            slope = 1 - np.tanh(h) ** 2
        if "input for output" in bugs:
            slope = 1 - a * a
        if "sigmoid'" in bugs:
            slope = sigmoid(a) * (1 - sigmoid(a))
        if "twice" in bugs:
            slope = slope**2
        return X.T @ (dh * slope), h.T @ dz

    return g


def batch_norm(X, gamma, beta, T):
    mu = np.mean(X, axis=0)
    v = np.mean((X - mu) ** 2, axis=0)
    s = np.sqrt(v + 1e-5)
    xhat = (X - mu) / s
    y = gamma * xhat + beta
    return np.sum(np.sin(y) * T)


def batch_norm_gradient(*bugs):
    def g(X, gamma, beta, T):
        n = len(X)
        mu = X.mean(0)
        v = ((X - mu) ** 2).mean(0)
        s = np.sqrt(v + 1e-5)
        xhat = (X - mu) / s
        dy = np.cos(gamma * xhat + beta) * T
        dxhat = dy * gamma
        if "no gamma" in bugs:
            dxhat = dy
        dv = np.sum(dxhat * (X - mu), axis=0) * -0.5 / s**3
        dmu = -np.sum(dxhat, axis=0) / s
        if "variance constant" in bugs:
            dv = 0 * dv
        if "mean constant" in bugs:
            dmu = 0 * dmu
        if "variance sign" in bugs:
            dv = -dv
        if "variance no 1/2" in bugs:
            dv = 2 * dv
        if "mean no 1/n" in bugs:
            dmu = n * dmu
        dX = dxhat / s + dv * 2 * (X - mu) / n + dmu / n
        dgamma, dbeta = np.sum(dy * xhat, axis=0), np.sum(dy, axis=0)
        if "gamma not summed" in bugs:
            dgamma = dy * xhat
        return dX, dgamma, dbeta

    return g


def layer_norm(x, T):
    mu = np.mean(x, axis=1, keepdims=True)
    v = np.var(x, axis=1, keepdims=True)
    y = (x - mu) / np.sqrt(v + 1e-5)
    return np.sum(y * T)


def layer_norm_gradient(*bugs):
    def g(x, T):
        d = x.shape[1]
        mu, v = x.mean(1, keepdims=True), x.var(1, keepdims=True)
        s = np.sqrt(v + 1e-5)
        dmu = -np.sum(T / s, axis=1, keepdims=True)
        dv = np.sum(T * (x - mu), axis=1, keepdims=True) * -0.5 / s**3
        if "mean constant" in bugs:
            dmu = 0
        if "variance constant" in bugs:
            dv = 0
        if "variance no 1/d" in bugs:
            dv = dv * d
        return T / s + dmu / d + 2 * dv * (x - mu) / d

    return g


def attention(Q, K, V, T):
    d = Q.shape[1]
    scores = Q @ K.T / np.sqrt(d)
    e = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    p = e / np.sum(e, axis=1, keepdims=True)
    o = p @ V
    return np.sum(o * T)


def attention_gradient(*bugs):
    def g(Q, K, V, T):
        d = Q.shape[1]
        p = softmax(Q @ K.T / np.sqrt(d))
        dp = T @ V.T
        ds = p * (dp - np.sum(dp * p, axis=1, keepdims=True))
        if "diagonal" in bugs:
            ds = dp * p * (1 - p)
        if "normaliser constant" in bugs:
            ds = dp * p
        if "no softmax" in bugs:
            ds = dp
        c = 1 / np.sqrt(d)
        if "no 1/sqrt(d)" in bugs:
            c = 1.0
        if "1/d" in bugs:
            c = 1 / d
        dQ, dK, dV = c * ds @ K, c * ds.T @ Q, p.T @ T
        if "V transposed" in bugs:
            dV = dV.T
        return dQ, dK, dV

    return g


def cross_entropy(W, X, Y):
    z = X @ W
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    p = e / np.sum(e, axis=1, keepdims=True)
    return -np.sum(Y * np.log(p)) / len(X)


def cross_entropy_gradient(*bugs):
    def g(W, X, Y):
        p = softmax(X @ W)
        dz = (p - Y) / len(X)
        if "no target" in bugs:
            dz = p / len(X)
        if "only target" in bugs:
            dz = -Y / len(X)
        if "diagonal" in bugs:
            dz = -Y * (1 - p) / len(X)
        if "no 1/n" in bugs:
            dz = dz * len(X)
        if "mean over classes" in bugs:
            dz = dz / Y.shape[1]
        dW = X.T @ dz
        if "transposed" in bugs:
            dW = dW.T
        if "column order" in bugs:
            dW = dW.ravel(order="F").reshape(dW.shape)
        return dW

    return g


def bellman(w, X, r, Z, discount):
    q = X @ w
    target = r + discount * (Z @ w)
    return 0.5 * np.mean((q - target) ** 2)


def bellman_gradient(*bugs):
    def g(w, X, r, Z, discount):
        delta = (X @ w - r - discount * (Z @ w)) / len(X)
        if "semi-gradient" in bugs:
            return X.T @ delta
        if "no discount" in bugs:
            return (X - Z).T @ delta
        if "target sign" in bugs:
            return (X + discount * Z).T @ delta
        return (X - discount * Z).T @ delta

    return g


def dropout(W, X, M, p, T):
    h = np.tanh(X @ W)
    o = h * M / (1 - p)
    return np.sum((o - T) ** 2)


def dropout_gradient(*bugs):
    def g(W, X, M, p, T):
        h = np.tanh(X @ W)
        do = 2 * (h * M / (1 - p) - T)
        dh = do * M / (1 - p)
        if "no mask" in bugs:
            dh = do / (1 - p)
        if "no 1/(1-p)" in bugs:
            dh = do * M
        return X.T @ (dh * (1 - h * h))

    return g


def _one_hot(n: int, c: int) -> Any:
    return np.eye(c)[np.random.default_rng(3).integers(c, size=n)]


W34, b4, V42, X53, Y52 = draw((3, 4), (4,), (4, 2), (5, 3), (5, 2))
y5 = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
CASES = [
    Case("ridge", ridge, ridge_gradient, (*draw((3,), (6, 3), (6,)), 0.3), 0, {
        "no 1/n": (SCALE,), "no 2": (SCALE,), "data sign": (SIGN,), "no reg": (TERM,), "reg no 2": (SCALE,), "reg sign": (SIGN,),
        "reg twice": (TERM, SCALE), "reg 1/n": (SCALE,), "sign": (SIGN,), "column": (LAYOUT,), "not summed": (LAYOUT,),
    }),
    Case("ridge, small", ridge, ridge_gradient, (*draw((3,), (6, 3), (6,)), 1e-6), 0, {
        "no reg": (TERM,), "reg no 2": (SCALE,), "reg sign": (SIGN,), "no 1/n": (SCALE,),
    }),
    Case("ridge, n = d", ridge, ridge_gradient, (*draw((4,), (4, 4), (4,)), 0.3), 0, {"no 1/n": (SCALE,), "reg 1/n": (SCALE,)}),
    Case("logistic", logistic, logistic_gradient, (*draw((3,)), 0.2, *draw((5, 3)), y5, 0.1), (0, 1), {
        "no target": (TERM, CONSTANT), "no 1/n": (SCALE,), "sigma'": (LOCAL,), "sign": (SIGN,), "bias mean": (SCALE,),
        "reg 2": (TERM, SCALE), "no reg": (TERM,),
    }),
    Case("dense", dense, dense_gradient, (W34, b4, V42, X53, Y52), (0, 1, 2), {
        "mean over outputs": (SCALE,), "no mask": (LOCAL,), "bias mean": (SCALE,), "bias not summed": (LAYOUT,),
        "bias keepdims": (LAYOUT,), "W transposed": (LAYOUT,), "V sign": (SIGN,),
    }),
    Case("tanh", tanh_net, tanh_gradient, (W34, V42, X53, Y52), (0, 1), {
        "no tanh'": (LOCAL,), "at output": (LOCAL,), "input for output": (LOCAL,), "sigmoid'": (LOCAL,), "twice": (LOCAL,),
    }),
    Case("batch norm", batch_norm, batch_norm_gradient, tuple(draw((6, 3), (3,), (3,), (6, 3))), (0, 1, 2), {
        "no gamma": (LOCAL, SCALE), "variance constant": (CONSTANT, TERM), "mean constant": (CONSTANT, TERM), "variance sign": (SIGN,),
        "variance no 1/2": (SCALE, TERM), "mean no 1/n": (SCALE,), "gamma not summed": (LAYOUT,),
    }),
    Case("layer norm", layer_norm, layer_norm_gradient, tuple(draw((4, 6), (4, 6))), 0, {
        "mean constant": (CONSTANT, TERM), "variance constant": (CONSTANT, TERM), "variance no 1/d": (SCALE,),
    }),
    Case("attention", attention, attention_gradient, tuple(draw((4, 3), (5, 3), (5, 2), (4, 2))), (0, 1, 2), {
        "diagonal": (JACOBIAN,), "normaliser constant": (CONSTANT, TERM), "no softmax": (LOCAL, JACOBIAN), "no 1/sqrt(d)": (SCALE,),
        "1/d": (SCALE,), "V transposed": (LAYOUT,),
    }),
    Case("cross entropy", cross_entropy, cross_entropy_gradient, (*draw((3, 4), (5, 3)), _one_hot(5, 4)), 0, {
        "no target": (TERM, CONSTANT), "only target": (CONSTANT, TERM), "diagonal": (JACOBIAN,), "no 1/n": (SCALE,),
        "mean over classes": (SCALE,), "transposed": (LAYOUT,), "column order": (LAYOUT,),
    }),
    Case("bellman", bellman, bellman_gradient, (*draw((3,), (6, 3), (6,), (6, 3)), 0.9), 0, {
        "semi-gradient": (CONSTANT,), "no discount": (SCALE,), "target sign": (SIGN,),
    }),
    Case("dropout", dropout, dropout_gradient, (*draw((3, 4), (5, 3)), (np.arange(20).reshape(5, 4) % 3 > 0) * 1.0, 0.4, *draw((5, 4))), 0, {
        "no mask": (LOCAL,), "no 1/(1-p)": (SCALE,),
    }),
]  # fmt: skip
PAIRS = [
    ("ridge", ("no 1/n", "no reg")), ("ridge", ("no 2", "reg sign")), ("ridge", ("no 1/n", "column")), ("tanh", ("no tanh'",)),
    ("batch norm", ("variance constant", "mean constant")), ("dense", ("no mask", "mean over outputs")),
    ("cross entropy", ("no 1/n", "transposed")), ("attention", ("diagonal", "no 1/sqrt(d)")),
]  # fmt: skip
