"""Trainings on all devices of this process and on one: ``compare_devices.py NAME...`` prints what was equal but for rounding."""

import re
import sys
from unittest.mock import patch

import jax
import numpy as np

import chainrule as cr
from chainrule.build.tree import flatten
from chainrule.emit.xla import x64
from chainrule.emit.xla_mesh import Loop

A, B, C = cr.random.split(cr.random.key(5), 3)
X = np.asarray(cr.random.normal(C, (66, 4)))
Y = np.sin(X.sum(1, keepdims=True))


def normed():
    return cr.nn.Sequential(cr.nn.Dense(4, 8, key=A), cr.nn.BatchNorm(8), np.tanh, cr.nn.Dense(8, 1, key=B))


def dropped():
    return cr.nn.Sequential(cr.nn.Dense(4, 8, key=A), np.tanh, cr.nn.Dropout(0.3), cr.nn.Dense(8, 1, key=B))


CASES = {
    "even": (normed, {"batch_size": 8}),
    "ragged": (normed, {"batch_size": 7}),
    "accumulated": (normed, {"batch_size": 7, "accumulate": 2, "validation": 0.2}),
    "dropout": (dropped, {"batch_size": 10}),
    "attention": (
        lambda: cr.nn.SelfAttention(2, key=A),
        {"batch_size": 6, "apply": lambda m, x: m(x.reshape(-1, 2, 2)).reshape(-1, 4).sum(1, keepdims=True)},
    ),
}


def close(a, b):
    for p, q in zip(flatten(a.model)[0], flatten(b.model)[0], strict=True):
        if isinstance(p, np.ndarray):
            np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(a.history.steps, b.history.steps, rtol=1e-10)
    np.testing.assert_allclose(a.history["loss"], b.history["loss"], rtol=1e-10)


def sums(size):
    """What the compiled step of a network sends between devices, by name."""
    found = []

    def call(loop, *given, run=Loop.__call__):
        with x64():
            text = loop.run.lower(*loop.arguments(*given)).compile().as_text()
        found.extend(re.findall(r" (all-reduce|all-gather|collective-permute|all-to-all|reduce-scatter)(?:-start)?\(", text))
        return run(loop, *given)

    net = cr.nn.MLP([4, 8, 8, 1], "tanh", key=A)
    with patch.object(Loop, "__call__", call):
        cr.fit(net, cr.losses.mse, (X[: 2 * size], Y[: 2 * size]), cr.optim.adam(0.02), epochs=1, batch_size=size, engine="xla")
    return found


if __name__ == "__main__":
    print(len(jax.devices()))
    for name in sys.argv[1:]:
        if name == "sums":
            assert sums(8) == sums(7) == ["all-reduce"], (sums(8), sums(7))
            print(name)
            continue
        make, options = CASES[name]
        one, all_ = (
            cr.fit(make(), cr.losses.mse, (X, Y), cr.optim.momentum(0.02), epochs=2, key=1, engine="xla", devices=n, **options)
            for n in (1, None)
        )
        close(one, all_)
        print(name)
