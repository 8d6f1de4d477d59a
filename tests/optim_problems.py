"""Test problems of More, Garbow and Hillstrom (1981): sums of squares with their standard starts and known minima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """Residuals, start, the sum of squares at its minimum and where that is (None where the paper gives no point)."""

    number: int
    residuals: Callable[[Any], Any]
    start: Any
    minimum: float
    at: Any = None
    other: tuple[float, Any] | None = None
    """A second minimum, which a method may well find instead."""

    def __call__(self, x: Any) -> Any:
        return np.sum(np.square(self.residuals(x)))


def stack(*xs: Any) -> Any:
    return np.stack(xs)


def helical_valley(x: Any) -> Any:
    theta = np.arctan2(x[1], x[0]) / (2 * np.pi)
    return stack(10 * (x[2] - 10 * theta), 10 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2])


BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(x: Any) -> Any:
    u = np.arange(1.0, 16.0)
    v = 16 - u
    return BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_U = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x: Any) -> Any:
    u = KOWALIK_U
    return KOWALIK_Y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x: Any) -> Any:
    t = np.arange(1.0, 21.0) / 5
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


def wood(x: Any) -> Any:
    return stack(
        10 * (x[1] - x[0] ** 2), 1 - x[0], np.sqrt(90) * (x[3] - x[2] ** 2), 1 - x[2], np.sqrt(10) * (x[1] + x[3] - 2),
        (x[1] - x[3]) / np.sqrt(10),
    )  # fmt: skip


def box_3d(x: Any) -> Any:
    t = 0.1 * np.arange(1.0, 11.0)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


def powell_singular(x: Any) -> Any:
    return stack(x[0] + 10 * x[1], np.sqrt(5) * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, np.sqrt(10) * (x[0] - x[3]) ** 2)


def variably_dimensioned(x: Any) -> Any:
    j = np.arange(1.0, 11.0)
    total = np.sum(j * (x - 1))
    return np.concatenate([x - 1, stack(total, total**2)])


def broyden_tridiagonal(x: Any) -> Any:
    zero = np.zeros(1)
    return (3 - 2 * x) * x - np.concatenate([zero, x[:-1]]) - 2 * np.concatenate([x[1:], zero]) + 1


def extended_rosenbrock(x: Any) -> Any:
    a, b = x[0::2], x[1::2]
    return np.concatenate([10 * (b - a**2), 1 - a])


def discrete_boundary_value(x: Any) -> Any:
    n = 10
    h, zero = 1 / (n + 1), np.zeros(1)
    t = h * np.arange(1.0, n + 1)
    return 2 * x - np.concatenate([zero, x[:-1]]) - np.concatenate([x[1:], zero]) + h**2 * (x + t + 1) ** 3 / 2


def watson(x: Any) -> Any:
    t = np.arange(1.0, 30.0)[:, None] / 29
    j = np.arange(6.0)
    rows = (t ** np.maximum(j - 1, 0) * j) @ x - ((t**j) @ x) ** 2 - 1
    return np.concatenate([rows, stack(x[0], x[1] - x[0] ** 2 - 1)])


def penalty_one(x: Any) -> Any:
    return np.concatenate([np.sqrt(1e-5) * (x - 1), np.reshape(np.sum(x**2) - 0.25, (1,))])


T = np.arange(1.0, 11.0)
PROBLEMS: dict[str, Problem] = {
    "Rosenbrock": Problem(1, lambda x: stack(10 * (x[1] - x[0] ** 2), 1 - x[0]), np.array([-1.2, 1.0]), 0.0, [1, 1]),
    "Freudenstein and Roth": Problem(
        2, lambda x: stack(-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]),
        np.array([0.5, -2.0]), 48.9842536792, [11.4127790, -0.8968052], (0.0, [5, 4]),
    ),
    "Beale": Problem(
        5, lambda x: np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** np.arange(1, 4)), np.ones(2), 0.0, [3, 0.5]
    ),
    "Jennrich and Sampson": Problem(
        6, lambda x: 2 + 2 * T - (np.exp(T * x[0]) + np.exp(T * x[1])), np.array([0.3, 0.4]), 124.36218235561, [0.2578252, 0.2578252]
    ),
    "helical valley": Problem(7, helical_valley, np.array([-1.0, 0.0, 0.0]), 0.0, [1, 0, 0]),
    "Bard": Problem(8, bard, np.ones(3), 8.214877306578e-3),
    "box three-dimensional": Problem(12, box_3d, np.array([0.0, 10.0, 20.0]), 0.0),
    "Powell singular": Problem(13, powell_singular, np.array([3.0, -1.0, 0.0, 1.0]), 0.0),
    "Wood": Problem(14, wood, np.array([-3.0, -1.0, -3.0, -1.0]), 0.0, [1, 1, 1, 1]),
    "Kowalik and Osborne": Problem(15, kowalik_osborne, np.array([0.25, 0.39, 0.415, 0.39]), 3.07505603849e-4),
    "Brown and Dennis": Problem(16, brown_dennis, np.array([25.0, 5.0, -5.0, -1.0]), 85822.2016263563),
    "Watson": Problem(20, watson, np.zeros(6), 2.28767005355e-3),
    "extended Rosenbrock": Problem(21, extended_rosenbrock, np.tile([-1.2, 1.0], 5), 0.0, np.ones(10)),
    "penalty I": Problem(23, penalty_one, np.arange(1.0, 5.0), 2.24997750e-5),
    "variably dimensioned": Problem(25, variably_dimensioned, 1 - np.arange(1.0, 11.0) / 10, 0.0, np.ones(10)),
    "discrete boundary value": Problem(
        28, discrete_boundary_value, np.arange(1, 11) / 11 * (np.arange(1, 11) / 11 - 1), 0.0
    ),
    "Broyden tridiagonal": Problem(30, broyden_tridiagonal, -np.ones(10), 0.0),
}  # fmt: skip
