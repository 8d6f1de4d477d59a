"""A step length that satisfies the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[Any]
Both = Callable[[Vector], tuple[float, Vector]]


class Trial(NamedTuple):
    """A point on the line: step length, value, slope along the line, gradient."""

    step: float
    value: float
    slope: float
    gradient: Vector


@dataclass(frozen=True)
class Conditions:
    """When a step is good enough."""

    start: Trial
    c1: float
    c2: float
    noise: float

    def rises(self, t: Trial) -> bool:
        """Is the value too high: above the line of slope c1 (by more than rounding)?"""
        if not np.isfinite(t.value):
            return True
        if t.value <= self.start.value + self.c1 * t.step * self.start.slope:
            return False
        flat = t.value <= self.start.value + self.noise
        return not (flat and t.slope <= (2 * self.c1 - 1) * self.start.slope)

    def flat(self, t: Trial) -> bool:
        """Has the slope become small enough?"""
        return abs(t.slope) <= -self.c2 * self.start.slope


def strong_wolfe(
    both: Both, x: Vector, d: Vector, value: float, gradient: Vector, first: float = 1.0, c1: float = 1e-4, c2: float = 0.9,
    limit: int = 40,
) -> Trial | None:  # fmt: skip
    r"""A step with enough decrease, $f(x + \alpha d) \le f(x) + c_1 \alpha\, g^{\mathsf T} d$, and a flatter slope.

    The second condition is $|g(x + \alpha d)^{\mathsf T} d| \le c_2 |g^{\mathsf T} d|$.  Near a minimum, where the decrease
    is lost in rounding, the first is asked of the slope instead:
    $g(x + \alpha d)^{\mathsf T} d \le (2 c_1 - 1)\, g^{\mathsf T} d$, which says the same of a parabola.

    Args:
        both: x -> (value, gradient).
        x: (n,) where to start.
        d: (n,) a direction of descent.
        value, gradient: f and its gradient at x.
        first: the first step to try.
        c1, c2: 0 < c1 < c2 < 1.
        limit: greatest number of evaluations.

    Returns:
        The point found; None if d is no direction of descent or there was none within the limit.

    Source: Nocedal and Wright 2006, algorithms 3.5 and 3.6; the condition on slopes from Hager and Zhang 2005, equation 4.1.
    """
    start = Trial(0.0, value, float(gradient @ d), gradient)
    if not start.slope < 0:
        return None
    ends = Conditions(start, c1, c2, 4 * float(np.finfo(x.dtype).eps) * abs(value))
    search = _Search(both, x, d, ends, limit)
    before, t = start, search.at(first)
    while search.left > 0:
        if ends.rises(t) or (before.step > 0 and t.value >= before.value + ends.noise):
            return search.zoom(before, t)
        if ends.flat(t):
            return t
        if t.slope >= 0:
            return search.zoom(t, before)
        before, t = t, search.at(2.5 * t.step)
    return None


class _Search:
    def __init__(self, both: Both, x: Vector, d: Vector, ends: Conditions, limit: int) -> None:
        self.both, self.x, self.d, self.ends, self.left = both, x, d, ends, limit

    def at(self, step: float) -> Trial:
        self.left -= 1
        value, gradient = self.both(self.x + step * self.d)
        return Trial(step, value, float(gradient @ self.d), gradient)

    def zoom(self, low: Trial, high: Trial) -> Trial | None:
        """Shrink the interval whose end `low` is the best step so far and between whose ends there are good ones."""
        while self.left > 0:
            t = self.at(_between(low, high))
            if self.ends.rises(t) or t.value > low.value + self.ends.noise:
                high = t
                if not abs(high.step - low.step) > 1e-14 * max(abs(low.step), 1e-300):
                    break
                continue
            if self.ends.flat(t):
                return t
            if t.slope * (high.step - low.step) >= 0:
                high = low
            low = t
        # the sufficient decrease alone is still progress
        return low if low.step > 0 and low.value < self.ends.start.value else None


def _between(a: Trial, b: Trial) -> float:
    """Minimum of the cubic through values and slopes, kept off the ends; the middle where there is none."""
    width = b.step - a.step
    with np.errstate(all="ignore"):
        d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
        d2 = np.sign(width) * np.sqrt(d1 * d1 - a.slope * b.slope)
        t = b.step - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
    low, high = sorted((a.step + 0.1 * width, b.step - 0.1 * width))
    return float(np.clip(t, low, high)) if np.isfinite(t) else a.step + 0.5 * width
