"""Points where the derivative jumps: is what was claimed one of the derivatives there?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from chainrule.build.tree import flatten, unflatten
from chainrule.explain.doctor.scene import flat
from chainrule.ir.graph import Array

Gradient = Callable[[Sequence[Any]], list[Array]]


class Kink(NamedTuple):
    """What is known about a point where the gradient jumps.

    Attributes:
        inside: is the claimed gradient an element of the subdifferential? None if it could not be decided.
        low, high: the least and greatest slopes met nearby, per element.
        worst: the element that lies farthest outside.
    """

    inside: bool | None
    low: Array
    high: Array
    worst: int


class _Around:
    """Gradients a little away from a point, in chosen directions."""

    def __init__(self, gradient: Gradient, args: Sequence[Any], argnums: Sequence[int], seed: int) -> None:
        self.gradient = gradient
        self.args = tuple(args)
        self.argnums = argnums
        self.rng = np.random.default_rng([seed, 77])
        leaves = [np.asarray(x, float) for k in argnums for x in flatten(args[k])[0]]
        self.steps = flat([np.full(np.shape(x), 3e-8 * max(1e-3, float(np.max(np.abs(x), initial=0)))) for x in leaves])
        self.size = len(self.steps)

    def at(self, d: Array) -> Array | None:
        """The gradient a small step along d."""
        args = list(self.args)
        start = 0
        for k in self.argnums:
            leaves, spec = flatten(args[k])
            moved: list[Any] = []
            for x in leaves:
                n = int(np.size(x))
                y = np.asarray(x, float) + np.reshape((self.steps * d)[start : start + n], np.shape(x))
                moved.append(float(y) if isinstance(x, float) else y)
                start += n
            args[k] = unflatten(spec, moved)
        with np.errstate(all="ignore"):
            try:
                g = flat(self.gradient(args))
            except Exception:
                return None
        return g if np.all(np.isfinite(g)) else None

    def random(self) -> Array:
        """A random direction with no small component."""
        return self.rng.choice([-1.0, 1.0], size=self.size) * self.rng.uniform(0.5, 1.0, size=self.size)


def kink(
    gradient: Gradient, args: Sequence[Any], argnums: Sequence[int], claim: Array, truth: Array, seed: int = 0
) -> Kink | None:
    """None where the gradient does not jump; else whether `claim` is in the convex hull of the gradients around (Clarke 1983)."""
    around = _Around(gradient, args, argnums, seed)
    found = [g for _ in range(12) if (g := around.at(around.random())) is not None]
    if len(found) < 4:
        return None
    scale = max(float(np.max(np.abs(np.stack(found)))), float(np.max(np.abs(truth), initial=0)), 1e-300)
    spread = np.ptp(np.stack([*found, truth]), axis=0)
    if np.max(spread) <= 1e-5 * scale:
        return None
    claimed_gap = float(np.max(np.abs(claim - truth), initial=0))
    if float(np.max(spread)) < 1e-3 * claimed_gap:
        return None
    tol = 2e-5 * scale
    for e in np.eye(around.size)[:64]:
        for sign in (1, -1):
            g = around.at(sign * e + 1e-2 * around.random())
            found += [] if g is None else [g]
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    outside = np.maximum(low - claim, claim - high)
    worst = int(np.argmax(outside))
    if outside[worst] > tol:
        return Kink(False, low, high, worst)
    return Kink(_within(around, found, claim, tol), low, high, worst)


def _within(around: _Around, found: list[Array], claim: Array, tol: float) -> bool | None:
    """Is the claim in the convex hull? Gradients are added in the direction where the hull falls short."""
    for _ in range(120):
        a = np.stack(found, axis=1)
        weight = 1e3 * max(1.0, float(np.max(np.abs(a))))
        w, _ = nnls(np.vstack([a, weight * np.ones((1, a.shape[1]))]), np.append(claim, weight))
        rest = claim - a @ w
        if float(np.max(np.abs(rest))) <= tol:
            return True
        d = rest / float(np.max(np.abs(rest)))
        new = [g for x in (d, -d) if (g := around.at(x + 1e-3 * around.random())) is not None]
        new = [g for g in new if float(g @ rest) > float(np.max(rest @ a)) + 0.1 * tol * float(np.linalg.norm(rest))]
        if not new:
            new = [
                g for _ in range(4) if (g := around.at(around.random())) is not None and float(g @ rest) > float(np.max(rest @ a))
            ]
        if not new:
            moving = int(np.sum(np.ptp(a, axis=1) > tol))
            return False if moving <= 2 else None
        found += new
    return None
