"""Gradient checkers side by side: where SciPy, JAX and PyTorch pass a wrong gradient or refuse a right one.

Each case is a function, a gradient and the truth about it.  The same NumPy function is given to all: as it is to
`scipy.optimize.check_grad` and `chainrule.check`, through a callback with the claimed gradient as its derivative to
`jax.test_util.check_grads`, and as an autograd Function to `torch.autograd.gradcheck` where PyTorch is installed.  Default
settings everywhere (SciPy returns a number and no verdict: the customary 1e-6 is taken).  Run: python benchmarks/checkers.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

Function = Callable[[Any], Any]


class Case(NamedTuple):
    """`right` is the truth about `gradient` at `x`."""

    name: str
    f: Function
    gradient: Function
    x: np.ndarray
    right: bool


def logistic(X: np.ndarray, y: np.ndarray, lam: float) -> tuple[Function, Function]:
    """Regularised logistic loss and its gradient."""

    def f(w: Any) -> Any:
        z = X @ w
        return np.mean(np.logaddexp(0, z) - y * z) + 0.5 * lam * np.sum(w * w)

    def g(w: Any) -> Any:
        return X.T @ (1 / (1 + np.exp(-(X @ w))) - y) / len(y) + lam * w

    return f, g


def cases() -> list[Case]:
    """Wrong gradients that are hard to see, right ones that look wrong."""
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(50, 6)), (rng.random(50) < 0.5) * 1.0, rng.normal(size=6)
    f, g = logistic(X, y, 0.1)
    small, small_gradient = logistic(X, y, 1e-6)
    data = logistic(X, y, 0.0)[1]
    scale = 10.0 ** np.array([6, 0, -6, 0, 0, 3])
    spike = np.zeros(6)
    spike[2] = 1e-5
    relu = lambda x: np.sum(np.maximum(x, 0))
    four = rng.normal(size=(6,))
    return [
        Case("the plain right gradient", f, g, w, True),
        Case("sign", f, lambda w: -g(w), w, False),
        Case("3 % off in one element", f, lambda w: g(w) * np.where(np.arange(6) == 2, 1.03, 1), w, False),
        Case("1e-5 off in one element", f, lambda w: g(w) + spike, w, False),
        Case("regulariser of 1e-6 forgotten", small, data, w, False),
        Case("regulariser of 1e-6 there", small, small_gradient, w, True),
        Case("inputs scaled from 1e-6 to 1e6, right", lambda v: f(v / scale), lambda v: g(v / scale) / scale, w * scale, True),
        Case("inputs scaled from 1e-6 to 1e6, smallest slope doubled", lambda v: f(v / scale),
             lambda v: g(v / scale) / scale * np.where(np.arange(6) == 0, 2, 1), w * scale, False),
        Case("ReLU at 0, a subgradient", relu, lambda x: (x > 0) * 1.0, np.array([0.0, 1.0, -2.0]), True),
        Case("ReLU at 0, 2 is no subgradient", relu, lambda x: np.where(x == 0, 2.0, x > 0), np.array([0.0, 1.0, -2.0]), False),
        Case("values of 1e8, right", lambda x: 1e8 + np.sum(np.sin(x)), np.cos, four, True),
        Case("kink within a step, right", lambda x: np.sum(np.abs(x)), np.sign, np.array([1e-7, 0.5, -0.3]), True),
        Case("forgets a term that is 0 here", lambda x: np.sum(np.sin(x)) + 0.5 * np.sum(x**2), np.cos, np.zeros(3), False),
    ]  # fmt: skip


def ours(c: Case) -> bool | None:
    """chainrule.check"""
    import chainrule as cr

    return cr.check(c.f, c.gradient, c.x).ok


def scipy(c: Case) -> bool:
    """scipy.optimize.check_grad"""
    from scipy.optimize import check_grad

    return bool(check_grad(c.f, c.gradient, c.x) < 1e-6)


def jax(c: Case) -> bool:
    """jax.test_util.check_grads"""
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def f(x: Any) -> Any:
        return jax.pure_callback(lambda x: np.asarray(c.f(np.asarray(x)), float), jax.ShapeDtypeStruct((), jnp.float64), x)

    def backward(x: Any, ct: Any) -> Any:
        g = jax.pure_callback(
            lambda x: np.asarray(c.gradient(np.asarray(x)), float), jax.ShapeDtypeStruct(x.shape, jnp.float64), x
        )
        return (ct * g,)

    f.defvjp(lambda x: (f(x), x), backward)
    try:
        check_grads(f, (jnp.asarray(c.x),), order=1, modes=["rev"])
    except AssertionError:
        return False
    return True


def torch(c: Case) -> bool:
    """torch.autograd.gradcheck"""
    import torch as t  # pyright: ignore[reportMissingImports]

    class F(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return t.tensor(float(c.f(x.detach().numpy())), dtype=t.float64)

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            (x,) = ctx.saved_tensors
            return ct * t.tensor(np.asarray(c.gradient(x.detach().numpy()), float))

    try:
        return bool(t.autograd.gradcheck(F.apply, (t.tensor(c.x, requires_grad=True),)))
    except RuntimeError:
        return False


CHECKERS: dict[str, Callable[[Case], bool | None]] = {"chainrule": ours, "scipy": scipy, "jax": jax, "torch": torch}


def measure() -> list[dict[str, Any]]:
    """One row per case: the truth and each verdict."""
    there = {name: run for name, run in CHECKERS.items() if name == "chainrule" or find_spec(name) is not None}
    return [{"case": c.name, "right": c.right, **{name: run(c) for name, run in there.items()}} for c in cases()]


def main() -> int:
    """Print the table; with --json the rows."""
    rows = measure()
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=1))
        return 0
    names = [k for k in rows[0] if k not in ("case", "right")]
    word = {True: "right", False: "wrong", None: "cannot tell"}
    print(f"{'case':55}{'truth':8}" + "".join(f"{n:14}" for n in names))
    for r in rows:
        cells = [word[r[n]] + ("" if r[n] is r["right"] else " !") for n in names]
        print(f"{r['case']:55}{word[r['right']]:8}" + "".join(f"{x:14}" for x in cells))
    print("! is a verdict against the truth: " + ", ".join(f"{n} {sum(r[n] is not r['right'] for r in rows)}" for n in names))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
