"""Methods that learn the curvature: conjugate gradient, Newton-CG and L-BFGS.  Each is a generator of the points it visits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.optim.first_order import Options, Point, Stuck
from chainrule.optim.flat import Flat
from chainrule.optim.line_search import Trial, strong_wolfe

Vector = NDArray[Any]


def _no_step(value: float, gradient: Vector) -> Stuck:
    rounding = float(np.finfo(gradient.dtype).eps) * abs(value)
    return Stuck(
        f"the line search found no lower value along the direction of descent; f = {value:.6g} is known to about {rounding:.1e}, "
        "and smaller decreases are lost in rounding"
    )


def _search(p: Flat, at: Point, d: Vector, first: float, c2: float) -> Trial | None:
    return strong_wolfe(p.both, at.x, d, at.value, at.gradient, first, c2=c2)


def _begin(p: Flat) -> Point:
    value, gradient = p.both(p.x0)
    return Point(p.x0, value, gradient, 0.0)


def _first_length(d: Vector) -> float:
    """A first step of length at most 1, before anything is known of the scale."""
    return 1.0 / max(1.0, float(np.linalg.norm(d)))


def conjugate_gradient(p: Flat, options: Options) -> Iterator[Point]:
    r"""$d_{k+1} = -g_{k+1} + \beta d_k$ with $\beta = \max(0, g_{k+1}^{\mathsf T} (g_{k+1} - g_k) / \lVert g_k \rVert^2)$.

    The formula of Polak and Ribiere.  Starts again along -g when successive gradients are far from orthogonal, or d is no
    descent.

    Source: Nocedal and Wright 2006, equations 5.44 and 5.45, restart 5.52.
    """
    at = _begin(p)
    d, length = -at.gradient, _first_length(at.gradient)
    while True:
        t = _search(p, at, d, length, c2=0.1)
        if t is None and not np.array_equal(d, -at.gradient):
            d, length = -at.gradient, _first_length(at.gradient)
            continue
        if t is None:
            raise _no_step(at.value, at.gradient)
        new = Point(at.x + t.step * d, t.value, t.gradient, t.step)
        yield new
        square = float(new.gradient @ new.gradient)
        beta = max(0.0, (square - float(new.gradient @ at.gradient)) / float(at.gradient @ at.gradient))
        if abs(float(new.gradient @ at.gradient)) > 0.5 * square:
            beta = 0.0
        old = float(at.gradient @ d)
        d = -new.gradient + beta * d
        if float(new.gradient @ d) >= 0:
            d = -new.gradient
        slope = float(new.gradient @ d)
        length = t.step * old / slope if slope < 0 else 1.0  # the first change is guessed to be what it was (3.60)
        at = new


def newton_cg(p: Flat, options: Options) -> Iterator[Point]:
    r"""Newton's direction, $H d = -g$, solved by conjugate gradients on Hessian-vector products as far as is of use.

    Source: Nocedal and Wright 2006, algorithm 7.1; forcing sequence $\min(\tfrac12, \sqrt{\lVert g \rVert})$.
    """
    at = _begin(p)
    while True:
        x = at.x
        d = _newton_direction(lambda v, x=x: p.product(x, v), at.gradient)
        t = _search(p, at, d, 1.0, c2=0.9)
        if t is None:
            d = -at.gradient
            t = _search(p, at, d, _first_length(d), c2=0.9)
        if t is None:
            raise _no_step(at.value, at.gradient)
        at = Point(at.x + t.step * d, t.value, t.gradient, t.step)
        yield at


def _newton_direction(product: Callable[[Vector], Vector], g: Vector) -> Vector:
    size = float(np.linalg.norm(g))
    enough = min(0.5, size**0.5) * size
    z, r = np.zeros_like(g), g.copy()
    d = -r
    for k in range(min(2 * g.size + 10, 1000)):
        h = product(d)
        curvature = float(d @ h)
        if not curvature > 0:
            return -g if k == 0 else z
        square = float(r @ r)
        a = square / curvature
        z, r = z + a * d, r + a * h
        if float(np.linalg.norm(r)) < enough:
            break
        d = -r + (float(r @ r) / square) * d
    return z


def lbfgs(p: Flat, options: Options) -> Iterator[Point]:
    r"""$d = -H_k g$ with $H_k$ the BFGS matrix of the last `memory` pairs $s = x_{k+1} - x_k$, $y = g_{k+1} - g_k$.

    Source: Liu and Nocedal 1989; Nocedal and Wright 2006, algorithms 7.4 and 7.5.
    """
    at, pairs = _begin(p), deque[tuple[Vector, Vector, float]](maxlen=options.memory)
    while True:
        d = -_two_loops(pairs, at.gradient)
        t = _search(p, at, d, 1.0 if pairs else _first_length(d), c2=0.9)
        if t is None and pairs:
            pairs.clear()
            continue
        if t is None:
            raise _no_step(at.value, at.gradient)
        new = Point(at.x + t.step * d, t.value, t.gradient, t.step)
        s, y = new.x - at.x, new.gradient - at.gradient
        curvature = float(s @ y)
        if curvature > np.finfo(s.dtype).eps * float(y @ y):  # keeps the matrix positive definite
            pairs.append((s, y, 1 / curvature))
        at = new
        yield at


def _two_loops(pairs: deque[tuple[Vector, Vector, float]], g: Vector) -> Vector:
    """The BFGS matrix times g, without forming the matrix."""
    q, alphas = g.copy(), list[float]()
    for s, y, rho in reversed(pairs):
        alphas.append(rho * float(s @ q))
        q = q - alphas[-1] * y
    if pairs:
        s, y, rho = pairs[-1]
        q = q / (rho * float(y @ y))
    for (s, y, rho), a in zip(pairs, reversed(alphas), strict=True):
        q = q + (a - rho * float(y @ q)) * s
    return q
