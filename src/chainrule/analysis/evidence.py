r"""What a run shows of its function: the minimiser it heads for, smoothness, convexity, and how far rounding blurs them.

A theorem on L-smooth, mu-strongly convex functions speaks of a run as soon as some such function has the run's values and
gradients at the run's points.  Whether one has can be read off the points: it has if and only if every two of them satisfy

.. math:: (1 - \mu/L) (f_i - f_j - g_j^\top (x_i - x_j)) \ge
          \tfrac12 (\lVert g_i - g_j \rVert^2 / L + \mu \lVert x_i - x_j \rVert^2 - 2 (\mu/L) (g_i - g_j)^\top (x_i - x_j)).

mu = 0 is convexity, and mu = -L is smoothness alone.

Source: Taylor, Hendrickx and Glineur 2017, theorems 4 and 6 (extended to mu < 0 by Rotaru, Glineur and Patrinos 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.analysis.curvature import DENSE, extremes, kinks, matrix, quadratic
from chainrule.build.tree import flatten
from chainrule.optim.first_order import Composite
from chainrule.optim.flat import Flat, Vector
from chainrule.optim.minimize import PROXIMAL, Minimum, minimize

MANY = 2000
"""Of longer runs, the gradients at so many points are looked at."""
PAIRED = 48
"""Every two of so many points are compared; all consecutive ones are."""
LEAST = 1e-300
"""In place of a curvature of zero."""
PLACES = 6
"""At so many points the curvature is looked at."""


@dataclass(frozen=True)
class Walks:
    """What runs with drawn gradients add up to.

    Attributes:
        values: (runs, k + 1) f(x_k).
        squares: (runs, k + 1) squared norms of the gradient of f.
        variance: (k,) mean of the squared distance of the gradient that was used from that of f.
        drift: (n,) mean of this distance over all steps of all runs.
    """

    values: Vector
    squares: Vector
    variance: Vector
    drift: Vector

    @property
    def steps(self) -> int:
        """Of all runs together."""
        return len(self.values) * len(self.variance)


@dataclass(frozen=True)
class Run:
    """A run of a method.

    Attributes:
        p: the function, of vectors.
        method: its name.
        x: (k + 1, n) points.
        fun: (k + 1,) values of the objective.
        gradient: (k + 1,) norms of the gradient (of the gradient mapping, with a penalty).
        rates: (k,) learning rates.
        momentum: the constant one; None for one that grows, or none.
        regularizer: the penalty R of f + R, or None.
        success: did it converge?
        message: why it stopped.
        walks: of runs with drawn gradients; then x, fun and gradient are those of points of all runs.
    """

    p: Flat
    method: str
    x: Vector
    fun: Vector
    gradient: Vector
    rates: Vector
    momentum: float | None = None
    regularizer: Any = None
    success: bool = True
    message: str = ""
    walks: Walks | None = None

    @classmethod
    def of(cls, result: Minimum) -> Run:
        """What `minimize` returned."""
        h = result.history
        x = np.concatenate([np.reshape(leaf, (len(h.fun), -1)) for leaf in flatten(h.x)[0]], axis=1)
        proximal = result.method in PROXIMAL
        return cls(
            result.objective, result.method, x, h.fun, h.gradient_norm, h.learning_rate[1:], result.options.momentum,
            result.options.regularizer if proximal else None, result.success, result.message,
        )  # fmt: skip

    @cached_property
    def usable(self) -> int:
        """How many points come before the first that is not finite."""
        bad = ~(np.isfinite(self.fun) & np.isfinite(self.gradient) & np.all(np.isfinite(self.x), axis=1))
        return int(np.argmax(bad)) if np.any(bad) else len(self.fun)


@dataclass(frozen=True)
class Best:
    """The least value, as far as it is known.

    Attributes:
        x: (n,) where.
        value: f*.
        found: is x a minimiser, up to rounding?
        how: how it was found, or why not.
    """

    x: Vector
    value: float
    found: bool
    how: str


@dataclass(frozen=True)
class Known:
    """A constant of the function.

    Attributes:
        value: the number; NaN where none fits.
        proved: does it hold everywhere, or was it only seen to hold on the run?
        how: how it was found.
    """

    value: float
    proved: bool
    how: str


class Evidence:
    """The run's points with their values and gradients, and what follows from them.

    Args:
        run: the run.
        minimum: the least value, where it is known.
        minimiser: (n,) a minimiser, where one is known.
    """

    def __init__(self, run: Run, minimum: float | None = None, minimiser: Vector | None = None) -> None:
        self.run, self.p = run, run.p
        self.given = minimum, minimiser

    # --- points -------------------------------------------------------------------------------------------------------------

    @cached_property
    def z(self) -> Vector:
        """(m, n) points where the method saw the gradient, in order, and the minimiser last if there is one."""
        x = self.run.x[: self.run.usable]
        keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MANY)).astype(int))
        parts = [x[keep]]
        if self.run.method in ("nesterov", "fista"):
            parts.append(self._extrapolated(x)[keep[1:] - 1])
        return np.concatenate([*parts, self.best.x[None]]) if self.best.found else np.concatenate(parts)

    def _extrapolated(self, x: Vector) -> Vector:
        """Where an accelerated method looked: y_k = x_k + theta_k (x_k - x_{k-1})."""
        k = np.arange(len(x) - 1)
        if self.run.method == "fista":
            theta = fista_momentum(len(k))
        else:
            theta = k / (k + 3.0) if self.run.momentum is None else np.full(len(k), self.run.momentum)
        before = np.concatenate([x[:1], x[:-2]])
        return x[:-1] + theta[:, None] * (x[:-1] - before)

    @cached_property
    def seen(self) -> tuple[Vector, Vector]:
        """(m,) values and (m, n) gradients of the smooth part at the points."""
        with np.errstate(all="ignore"):
            found = [self.p.both(z) for z in self.z]
        return np.array([v for v, _ in found]), np.array([g for _, g in found])

    @cached_property
    def steps(self) -> tuple[Vector, Vector]:
        """Indices of points that follow each other, and of each and the minimiser, both ways."""
        k, last = np.arange(len(self.z) - 1), len(self.z) - 1
        if not self.best.found:
            return np.concatenate([k, k + 1]), np.concatenate([k + 1, k])
        end = np.full(last, last)
        return np.concatenate([k[:-1], k[1:], k, end]), np.concatenate([k[1:], k[:-1], end, k])

    @cached_property
    def pairs(self) -> tuple[Vector, Vector]:
        """The steps, and all pairs of some of the points."""
        some = np.unique(np.linspace(0, len(self.z) - 1, min(len(self.z), PAIRED)).astype(int))
        i, j = np.meshgrid(some, some)
        away = i != j
        return np.concatenate([self.steps[0], i[away]]), np.concatenate([self.steps[1], j[away]])

    # --- the minimum --------------------------------------------------------------------------------------------------------

    @cached_property
    def best(self) -> Best:
        """The minimum that the run heads for."""
        minimum, x = self.given
        if x is not None:
            return Best(x, self.objective(x) if minimum is None else minimum, True, "given")
        with np.errstate(all="ignore"):
            found = self._composite() if self.run.regularizer is not None else self._solved() or self._polished()
        return found if minimum is None else Best(found.x, minimum, found.found, "given")

    def objective(self, x: Vector) -> float:
        """f, or f + R."""
        r = self.run.regularizer
        return self.p.value(x) + (0.0 if r is None else Composite(self.p, r).penalty(x))

    def _lowest(self) -> Vector:
        k = self.run.usable
        return self.run.x[int(np.argmin(self.run.fun[:k]))] if k else self.p.x0

    def _solved(self) -> Best | None:
        """The minimiser of a quadratic function that is nearest to the start, by its Hessian."""
        p, x = self.p, self.run.x[0]
        if x.size > DENSE or not quadratic(p):
            return None
        h = matrix(p, x)
        values, vectors = np.linalg.eigh(0.5 * (h + h.T))
        room = 16 * x.size * float(np.finfo(p.dtype).eps) * float(np.max(np.abs(values), initial=0.0))
        on = values > room
        for _ in range(2):  # the second time for the rounding of the first
            x = x - vectors[:, on] @ ((vectors[:, on].T @ p.both(x)[1]) / values[on])
        left = float(np.linalg.norm(p.both(x)[1]))
        scale = float(np.linalg.norm(p.both(np.zeros_like(x))[1])) + float(values[-1]) * float(np.linalg.norm(x))
        if np.any(values < -room) or left > 1e3 * room / max(float(values[-1]), 1e-300) * scale:
            return Best(self._lowest(), -np.inf, False, "the function is quadratic and unbounded below")
        return Best(x, p.value(x), True, "solved: the function is quadratic")

    def _polished(self) -> Best:
        """The run continued by faster methods."""
        start = self._lowest()
        first = max(float(np.max(self.run.gradient[: self.run.usable], initial=0.0)), 1e-300)
        found = self._continued(start, "lbfgs", 1e-11 * first, 300)
        low, gradient = self.p.both(start)
        x, value, norm = start, low, float(np.linalg.norm(gradient))
        if found.fun <= value:
            x, value, norm = found.x, float(found.fun), float(np.linalg.norm(found.jac))
        method = "newton_cg" if start.size <= 2000 else "lbfgs"
        found = self._continued(x, method, 1e-11 * first, 40)
        if found.fun <= value and float(np.linalg.norm(found.jac)) <= norm:
            x, value, norm = found.x, float(found.fun), float(np.linalg.norm(found.jac))
        # where x runs off to infinity, the gradient vanishes too: but then the next step is as long as the last
        onward = self._continued(x, method, 0.0, 1).history.step[-1]
        ok = norm <= 1e-6 * first and np.isfinite(value) and onward <= 1e-3 * float(np.linalg.norm(x - self.run.x[0])) + 1e-300
        why = f"the run continued by L-BFGS and Newton's method: gradient norm {norm:.1e}"
        return Best(x, value, bool(ok), why if ok else f"none was found ({why}); f* stands for the lowest value seen")

    def _continued(self, x: Vector, method: str, tol: float, steps: int) -> Minimum:
        p = self.p
        if p.jac is not None:
            return minimize(p.both, x, method, jac=True, tol=tol, max_steps=steps)
        return minimize(Flat(p, x), x, method, tol=tol, max_steps=steps)

    def _composite(self) -> Best:
        """The run continued by FISTA."""
        p, start = self.p, self._lowest()
        found = minimize(
            p.f, p.tree(start), "fista", p.args, jac=p.jac, regularizer=self.run.regularizer, tol=1e-13, max_steps=20_000
        )
        x = np.asarray(p.vector(found.x), p.dtype)
        candidates = [(self.objective(v), k, v) for k, v in enumerate((x, start))]
        value, _, x = min(candidates, key=lambda c: c[:2])
        norm = float(found.history.gradient_norm[-1])
        first = max(float(found.history.gradient_norm[0]), float(self.run.gradient[0]))
        ok = norm <= 1e-6 * max(first, 1e-300) or norm <= 1e-9
        return Best(x, value, bool(ok), f"the run continued by fista: gradient mapping of norm {norm:.1e}")

    # --- rounding -----------------------------------------------------------------------------------------------------------

    @cached_property
    def blur(self) -> tuple[float, float]:
        """How far rounding moves values and gradients: their spread where x moves by its last digits.

        Source: More and Wild 2011, section 2.
        """
        x, eps = self.best.x, float(np.finfo(self.p.dtype).eps)
        rng = np.random.default_rng(0)
        with np.errstate(all="ignore"):
            near = [self.p.both(np.asarray(x * (1 + 4 * eps * u), x.dtype)) for u in rng.uniform(-1, 1, (8, x.size))]
            value, gradient = self.p.both(x)
        values = np.array([v for v, _ in near])
        moved = max(float(np.linalg.norm(g - gradient)) for _, g in near)
        size = max(float(np.linalg.norm(g)) for _, g in near)
        return 4 * float(np.ptp(values)) + 8 * eps * abs(value), 4 * moved + 8 * eps * size

    # --- constants ----------------------------------------------------------------------------------------------------------

    def holds(self, L: float, mu: float) -> bool:
        """Is there an L-smooth, mu-strongly convex function through the points?"""
        i, j = self.pairs
        f, g = self.seen
        values, gradients = self.blur
        eps = float(np.finfo(self.p.dtype).eps)
        worst = True
        for a in range(0, len(i), 4096):
            ia, ja = i[a : a + 4096], j[a : a + 4096]
            dx, dg = self.z[ia] - self.z[ja], g[ia] - g[ja]
            xx, gg, gx = np.sum(dx * dx, 1), np.sum(dg * dg, 1), np.sum(dg * dx, 1)
            bregman = f[ia] - f[ja] - np.sum(g[ja] * dx, 1)
            right = 0.5 * (gg / L + mu * xx - 2 * (mu / L) * gx)
            unsure_f = 2 * values + 16 * eps * (np.abs(f[ia]) + np.abs(f[ja])) + gradients * np.sqrt(xx)
            unsure_f += 16 * eps * np.linalg.norm(g[ja], axis=1) * (np.linalg.norm(self.z[ia], axis=1) + np.sqrt(xx))
            unsure_g = gradients + 16 * eps * (np.linalg.norm(g[ia], axis=1) + np.linalg.norm(g[ja], axis=1))
            unsure = (1 - mu / L) * unsure_f + unsure_g * (np.sqrt(gg) / L + abs(mu) / L * np.sqrt(xx)) + unsure_g**2 / L
            worst = worst and bool(np.all((1 - mu / L) * bregman >= right * (1 - 1e-9) - unsure))
        return worst

    @cached_property
    def curvatures(self) -> tuple[float, float, int]:
        """The least and the greatest eigenvalue of the Hessian seen, and at how many points."""
        places = 1 if quadratic(self.p) else PLACES if self.p.x0.size <= DENSE else PLACES // 2
        k = np.unique(np.linspace(0, len(self.z) - 1, places).astype(int))
        found = [extremes(self.p, self.z[j]) for j in k]
        lows = [low.value - low.error for low, _ in found]
        highs = [max(abs(low.value) + low.error, abs(high.value) + high.error) for low, high in found]
        return float(np.min(lows)), float(np.max(highs)), len(k)

    @cached_property
    def steepest(self) -> float:
        """The greatest norm of the gradient on the run."""
        return float(np.max(np.linalg.norm(self.seen[1], axis=1)))

    @cached_property
    def smoothness(self) -> Known:
        """L, such that the points are those of an L-smooth function."""
        low, high, places = self.curvatures
        if not np.isfinite(high):
            return Known(np.nan, False, "the curvature is not finite")
        if quadratic(self.p):
            return Known(max(high, LEAST), True, "the function is quadratic")
        i, j = self.steps
        _, g = self.seen
        dx, dg = np.linalg.norm(self.z[i] - self.z[j], axis=1), np.linalg.norm(g[i] - g[j], axis=1)
        far = dx > 1e-6 * np.max(dx, initial=0.0)
        secant = float(np.max(dg[far] / dx[far], initial=0.0))
        least = raised(max(high, secant, LEAST), lambda v: self.holds(v, -v))
        bent = kinks(self.p)
        # a convex function through the points may have to be more curved
        convex = raised(least, lambda v: self.holds(v, 0.0)) if low >= -1e-7 * least else least
        L = convex if bent or np.isfinite(convex) else least
        note = f"; kinks are possible ({', '.join(bent)})" if bent else ""
        if not np.isfinite(L):
            return Known(np.nan, False, f"the gradient jumps between points of the run{note}")
        return Known(L, False, f"curvature at {places} points and between all pairs looked at{note}")

    @cached_property
    def convex(self) -> Known:
        """mu >= 0, or NaN if the points are not those of a convex function."""
        L = self.smoothness.value
        if not L > 0:
            return Known(np.nan, False, "L is unknown")
        low, _, places = self.curvatures
        if quadratic(self.p):
            room = 1e-12 * L if self.p.dtype == np.float64 else 1e-5 * L
            mu = low if low > room else 0.0 if low >= -room else np.nan
            return Known(mu, True, f"the least eigenvalue of the Hessian is {low:.4g} everywhere")
        if low < -1e-7 * L:
            return Known(np.nan, False, f"the Hessian has the eigenvalue {low:.4g} at a point of the run")
        if not self.holds(L, 0.0):
            return Known(np.nan, False, "two points of the run rule it out")
        mu = lowered(min(max(low, 0.0), L), lambda v: self.holds(L, v))
        return Known(mu, False, f"least eigenvalue at {places} points, and between all pairs looked at")

    @cached_property
    def gaps(self) -> Vector:
        """(k + 1,) f(x_k) - f*, less what rounding may have added; 0 where it hides all."""
        gap = self.run.fun - self.best.value
        return np.where(np.abs(gap) <= self.resolution, 0.0, gap - self.resolution)

    @cached_property
    def resolution(self) -> float:
        """Differences of values below this are rounding."""
        eps = float(np.finfo(self.p.dtype).eps)
        return 2 * self.blur[0] + 8 * eps * abs(self.best.value if np.isfinite(self.best.value) else 0.0)

    @cached_property
    def lojasiewicz(self) -> Known:
        """The greatest mu with |gradient|^2 >= 2 mu (f - f*) at all points of the run."""
        if quadratic(self.p) and self.p.x0.size <= DENSE and self.best.found:
            h = matrix(self.p, self.run.x[0])
            values = np.linalg.eigvalsh(0.5 * (h + h.T))
            rest = values[values > 1e-10 * values[-1]]
            if len(rest):
                return Known(float(rest[0]) * (1 - 1e-12), True, "the least positive eigenvalue of the Hessian")
        k = self.run.usable
        gap, square = self.gaps[:k], self.run.gradient[:k] ** 2
        clear = gap > 100 * self.resolution
        if not self.best.found or not np.any(clear):
            return Known(np.nan, False, "needs a minimum to compare with")
        mu = float(np.min(square[clear] / (2 * gap[clear])))
        return Known(mu, False, "least ‖∇f‖² / (2 (f - f*)) on the run")


def fista_momentum(count: int) -> Vector:
    """(t_{k-1} - 1) / t_k for k = 0, 1, ...; t_{-1} = t_0 = 1."""
    t = np.ones(count + 1)
    for k in range(1, count):
        t[k] = 0.5 * (1 + np.sqrt(1 + 4 * t[k - 1] ** 2))
    before = np.concatenate([np.ones(1), t[: count - 1]])
    return (before - 1) / t[:count]


def raised(L: float, fits: Any, limit: float = 1e3) -> float:
    """The least of L, 1.02 L, 1.04 L, ... that fits; NaN beyond `limit` times L."""
    factors: Sequence[float] = [1.0, *(1.02 ** np.arange(1, 8)), *(1.2 ** np.arange(1, 40))]
    return next((L * t for t in factors if t <= limit and fits(L * t)), np.nan)


def lowered(mu: float, fits: Any) -> float:
    """The greatest of mu, 0.98 mu, ... that fits; 0 if none does."""
    factors: Sequence[float] = [1.0, *(0.98 ** np.arange(1, 8)), *(0.8 ** np.arange(1, 40))]
    return next((mu * t for t in factors if mu > 0 and fits(mu * t)), 0.0)
