"""Methods that use the gradient alone.  Each is a generator of the points it visits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.optim.flat import Flat
from chainrule.optim.schedules import as_schedule

Vector = NDArray[Any]


class Point(NamedTuple):
    """A point, the objective and its gradient there, and the learning rate of the step that led to it.

    For composite objectives f + R, `gradient` is the gradient mapping (x - prox(x - a g)) / a, which is zero at a minimum.
    """

    x: Vector
    value: float
    gradient: Vector
    rate: float


class Stuck(Exception):
    """A method cannot go on; says why."""


@dataclass
class Options:
    """What the methods may be told.

    Attributes:
        learning_rate: a number, a schedule or None: the largest safe step, from an estimate of the curvature at x0.
        momentum: of `momentum` and `nesterov`; None for their defaults.
        regularizer: R of the composite objective f + R.
        memory: number of pairs that L-BFGS keeps.
    """

    learning_rate: Any = None
    momentum: float | None = None
    regularizer: Any = None
    memory: int = 10


class Steps:
    """Learning rates: those given, or 1 / L with L raised wherever the function turns out to be more curved."""

    def __init__(self, p: Flat, learning_rate: Any) -> None:
        self.p, self.given = p, learning_rate is not None
        self.schedule = as_schedule(learning_rate if self.given else safe_step(p))
        self.shrink = 1.0

    def rate(self, k: int) -> float:
        """The rate of step k."""
        return float(self.schedule(k)) * self.shrink

    def take(self, k: int, y: Vector, value: float, gradient: Vector, to: Callable[[float], Vector]) -> Point:
        """The step from y to ``to(rate)``, with a smaller rate where the one guessed was too long."""
        while True:
            rate = self.rate(k)
            x = to(rate)
            new, slope = self.p.both(x)
            if self.given or _descends(x - y, value, gradient, new, slope, rate):
                return Point(x, new, slope, rate)
            self.shrink *= 0.5
            if rate < 1e-300:
                raise Stuck("no step is short enough to lower the value: the gradient is another function's, or f is not smooth")


def _descends(d: Vector, value: float, gradient: Vector, new: float, slope: Vector, rate: float) -> bool:
    """Does the curvature along the step d stay below 1 / rate?  Asked of the gradients where the values are lost in rounding."""
    square, rounding = float(d @ d), 64 * float(np.finfo(d.dtype).eps)
    above = new - value - float(gradient @ d)
    if above <= square / (2 * rate):
        return True
    noise = rounding * float(np.linalg.norm(gradient)) * square**0.5
    return above <= rounding * abs(value) + noise and float((slope - gradient) @ d) <= square / rate + noise


def safe_step(p: Flat) -> float:
    """1 / L with L the largest curvature at x0 (and its error); a step of length 1 where there is none."""
    from chainrule.analysis.curvature import extremes

    low, high = extremes(p, p.x0)
    curvature = max(abs(low.value), abs(high.value)) + max(low.error, high.error)
    if np.isfinite(curvature) and curvature > 0:
        return 1 / curvature
    return 1 / max(float(np.linalg.norm(p.both(p.x0)[1])), 1e-8)


def gradient_descent(p: Flat, options: Options) -> Iterator[Point]:
    r"""$x_{k+1} = x_k - \alpha \nabla f(x_k)$."""
    steps = Steps(p, options.learning_rate)
    x, (value, gradient) = p.x0, p.both(p.x0)
    for k in count():
        at, g = x, gradient
        point = steps.take(k, x, value, gradient, lambda a, at=at, g=g: at - a * g)
        x, value, gradient, _ = point
        yield point


def momentum(p: Flat, options: Options) -> Iterator[Point]:
    r"""$b_{k+1} = \mu b_k + \nabla f(x_k)$, $x_{k+1} = x_k - \alpha b_{k+1}$.

    With a rate of its own choice it starts again from the best point with half the rate whenever f rises above where it began.
    """
    steps, mu = Steps(p, options.learning_rate), 0.9 if options.momentum is None else options.momentum
    x, (value, gradient) = p.x0, p.both(p.x0)
    ceiling, best, b = value, (x, value, gradient), np.zeros_like(x)
    for k in count():
        b = mu * b + gradient
        rate = steps.rate(k)
        x = x - rate * b
        value, gradient = p.both(x)
        if not steps.given and not value <= ceiling:
            steps.shrink *= 0.5
            (x, value, gradient), b = best, np.zeros_like(x)
        elif value < best[1]:
            best = x, value, gradient
        yield Point(x, value, gradient, rate)


def nesterov(p: Flat, options: Options) -> Iterator[Point]:
    r"""$y_k = x_k + \theta_k (x_k - x_{k-1})$, $x_{k+1} = y_k - \alpha \nabla f(y_k)$, $\theta_k = k / (k + 3)$ or constant."""
    mu = options.momentum

    def theta(k: int) -> float:
        return k / (k + 3.0) if mu is None else mu

    return _accelerated(p, options, theta)


def _accelerated(p: Flat, options: Options, theta: Callable[[int], float]) -> Iterator[Point]:
    steps = Steps(p, options.learning_rate)
    x = before = p.x0
    for k in count():
        y = x + theta(k) * (x - before)
        value, gradient = p.both(y)
        point = steps.take(k, y, value, gradient, lambda a, y=y, g=gradient: y - a * g)
        x, before = point.x, x
        yield point


class Composite:
    """f + R on vectors: the penalty and its proximal map."""

    def __init__(self, p: Flat, regularizer: Any) -> None:
        if regularizer is None:
            raise ValueError("proximal_gradient and fista minimise f + R: give regularizer=R, something with prox(params, step)")
        self.p, self.regularizer = p, regularizer

    def penalty(self, x: Vector) -> float:
        """R(x)."""
        return float(self.regularizer(self.p.tree(x)))

    def prox(self, x: Vector, step: float) -> Vector:
        """argmin_z R(z) + |z - x|^2 / (2 step)."""
        return np.asarray(self.p.vector(self.regularizer.prox(self.p.tree(x), step)), x.dtype)

    def whole(self, point: Point) -> Point:
        """The point with the value of f + R and the gradient mapping."""
        step = (point.x - self.prox(point.x - point.rate * point.gradient, point.rate)) / point.rate
        return Point(point.x, point.value + self.penalty(point.x), step, point.rate)


def proximal_gradient(p: Flat, options: Options) -> Iterator[Point]:
    r"""$x_{k+1} = \operatorname{prox}_{\alpha R}(x_k - \alpha \nabla f(x_k))$."""
    both, steps = Composite(p, options.regularizer), Steps(p, options.learning_rate)
    x, (value, gradient) = p.x0, p.both(p.x0)
    for k in count():
        point = steps.take(k, x, value, gradient, lambda a, x=x, g=gradient: both.prox(x - a * g, a))
        x, value, gradient, _ = point
        yield both.whole(point)


def fista(p: Flat, options: Options) -> Iterator[Point]:
    r"""Proximal gradient steps from $y_k = x_k + \frac{t_k - 1}{t_{k+1}} (x_k - x_{k-1})$.

    $t_{k+1} = \tfrac12 (1 + \sqrt{1 + 4 t_k^2})$ and $t_0 = 1$.

    Source: Beck and Teboulle 2009, equations 4.1 to 4.3.
    """
    both, steps = Composite(p, options.regularizer), Steps(p, options.learning_rate)
    x = before = p.x0
    t, t_before = 1.0, 1.0
    for k in count():
        y = x + ((t_before - 1) / t) * (x - before)
        value, gradient = p.both(y)
        point = steps.take(k, y, value, gradient, lambda a, y=y, g=gradient: both.prox(y - a * g, a))
        x, before = point.x, x
        t_before, t = t, 0.5 * (1 + float(np.sqrt(1 + 4 * t * t)))
        yield both.whole(point)
