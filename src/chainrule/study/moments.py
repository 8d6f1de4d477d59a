"""The exact mean of stochastic gradient descent on least squares: no simulation, no bound, no fit.

With e the distance from the least-squares solution, one step on a mini-batch drawn with replacement is linear in e, so its mean
m = E[e] and second moment M = E[e e'] obey a linear recursion.  Everything in it is an average over the data:

    E[g g'] = (1/B) mean_i(q_i x_i x_i') + (1 - 1/B) H M H,      q_i = E[(x_i'e + r_i)^2] = x_i'M x_i + 2 r_i x_i'm + r_i^2
    M <- M - a (H M + M H) + a^2 E[g g'],                        m <- m - a H m
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Schedule = Callable[[int], float]


@dataclass(frozen=True)
class LeastSquares:
    """Data of f(theta) = mean((x'theta - y)^2) / 2, and what follows from them in closed form.

    Args:
        x: (n, d) examples.
        y: (n,) targets.
    """

    x: Array
    y: Array

    @cached_property
    def hessian(self) -> Array:
        """(d, d) second derivatives of f, the same everywhere."""
        return self.x.T @ self.x / len(self.x)

    @cached_property
    def solution(self) -> Array:
        """(d,) the minimiser, by orthogonal factors of x."""
        return np.linalg.lstsq(self.x, self.y, rcond=None)[0]

    @cached_property
    def residuals(self) -> Array:
        """(n,) what the minimiser leaves unexplained."""
        return self.x @ self.solution - self.y

    @cached_property
    def fourth_moment(self) -> Array:
        """(d d, d d) mean of (x x') kron (x x')."""
        pairs = np.reshape(self.x[:, :, None] * self.x[:, None, :], (len(self.x), -1))
        return pairs.T @ pairs / len(self.x)

    def excess(self, theta: Array) -> Array:
        """f(theta) - f(solution), for any number of points in the last axis."""
        e = theta - self.solution
        return 0.5 * np.sum((e @ self.hessian) * e, axis=-1)


@dataclass(frozen=True)
class Expected:
    """Means over all ways to draw the batches: of f - f* (k + 1,) and of the squared gradient norm (k,)."""

    excess: Array
    squared_gradient: Array


def expected(data: LeastSquares, start: Array, schedule: Schedule, count: int, batch: int) -> Expected:
    """Exact means along `count` steps from `start`.

    Args:
        data: the problem.
        start: (d,) where every run begins.
        schedule: step k -> learning rate.
        count: how many steps.
        batch: examples in a mini-batch, drawn with replacement.
    """
    x, r, H, n = data.x, data.residuals, data.hessian, len(data.x)
    m = start - data.solution
    second = np.outer(m, m)
    excess, squared = np.empty(count + 1), np.empty(count)
    for k in range(count):
        excess[k] = 0.5 * np.sum(H * second)
        q = np.sum((x @ second) * x, axis=1) + 2 * r * (x @ m) + r**2
        HS, SH = H @ second, second @ H  # not one and its transpose: that would let what rounding breaks of the symmetry grow
        G = (x.T * q) @ x / (n * batch) + (1 - 1 / batch) * HS @ H
        squared[k] = np.trace(G)
        a = schedule(k)
        second = second - a * (HS + SH) + a**2 * G
        m = m - a * (H @ m)
    excess[count] = 0.5 * np.sum(H * second)
    return Expected(excess, squared)


def floor(data: LeastSquares, step: float, batch: int) -> float:
    """E[f - f*] in the long run with a constant step: the fixed point of the recursion, solved as a linear system.

    Args:
        data: the problem.
        step: the learning rate.
        batch: examples in a mini-batch.

    Raises:
        ValueError: The step is so large that the second moment grows without limit.
    """
    H, d = data.hessian, data.x.shape[1]
    eye = np.eye(d)
    once = np.kron(eye, H) + np.kron(H, eye)
    change = step * once - step**2 * (data.fourth_moment / batch + (1 - 1 / batch) * np.kron(H, H))
    if np.linalg.eigvalsh(change)[0] <= 0:
        raise ValueError(f"with a step of {step:g} and batches of {batch} the mean square distance grows without limit")
    noise = (data.x.T * data.residuals**2) @ data.x / (len(data.x) * batch)
    M = np.reshape(np.linalg.solve(change, step**2 * noise.ravel()), (d, d))
    return 0.5 * float(np.sum(H * M))
