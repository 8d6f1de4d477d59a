"""Why a run failed, in numbers: steps above the limit of stability, NaN, no lower bound, too few steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.optim.first_order import Options, Point
from chainrule.optim.flat import Flat
from chainrule.optim.schedules import as_schedule

GROWTH = 1e8
"""A value so many times above where the run began counts as divergence."""
FIXED = ("gradient_descent", "momentum", "nesterov", "proximal_gradient", "fista")


def stability_limit(method: str, curvature: float, momentum: float | None) -> float:
    r"""The learning rate above which a method diverges on a quadratic function of this curvature.

    2/L for gradient descent, (2 + 2 mu)/L with momentum mu, (2 + 2 theta)/((1 + 2 theta) L) for Nesterov's with momentum theta,
    which tends to 4/(3 L) as theta grows to 1.

    Source: Polyak 1964; Flammarion and Bach 2015, section 3.
    """
    if method == "momentum":
        mu = 0.9 if momentum is None else momentum
        return (2 + 2 * mu) / curvature
    if method in ("nesterov", "fista"):
        theta = 1.0 if momentum is None else momentum
        return (2 + 2 * theta) / ((1 + 2 * theta) * curvature)
    return 2 / curvature


def diverged(p: Flat, points: Sequence[Point], method: str, options: Options) -> str:
    """Empty while all is well."""
    new, first = points[-1], points[0]
    k = len(points) - 1
    if new.value == -np.inf:
        return f"f is unbounded below: it reached minus infinity after {k} steps"
    lost = not (np.isfinite(new.value) and np.all(np.isfinite(new.gradient)))
    if not lost and new.value <= first.value + GROWTH * (1 + abs(first.value)):
        return ""
    seen = f"f went from {first.value:.3g} to {new.value:.3g}" if not np.isnan(new.value) else "f became NaN"
    why = too_long(p, points[:-1] if lost else points, method, options)
    if why:
        return f"diverged at step {k}: {seen}; {why}"
    if lost:
        return f"stopped at step {k}: {seen}; run under cr.debug_nans() to find the operation"
    return f"diverged at step {k}: {seen}"


def too_long(p: Flat, points: Sequence[Point], method: str, options: Options) -> str:
    """What there is to say of the learning rate, if it is above the limit; empty otherwise."""
    if method not in FIXED or not points:
        return ""
    from chainrule.analysis.curvature import extremes

    best = min(range(len(points)), key=lambda k: points[k].value)
    rate = max(q.rate for q in points[1:]) if len(points) > 1 else float(_first_rate(options))
    places = {"at x0": points[0], f"at the best point (step {best})": points[best], "at the last point": points[-1]}
    for where, q in places.items():
        low, high = extremes(p, q.x)
        curvature = max(abs(low.value), abs(high.value))
        if not np.isfinite(curvature) or curvature <= 0:
            continue
        limit = stability_limit(method, curvature, options.momentum)
        if rate >= limit * (1 - 1e-9):
            times = 2 if method not in ("momentum", "nesterov", "fista") else limit * curvature
            return (
                f"the learning rate {rate:.3g} is not below the limit {times:.3g}/L = {limit:.3g}, "
                f"where L = {curvature:.4g} is the curvature {where}; try {1 / curvature:.3g} = 1/L"
            )
    return ""


def _first_rate(options: Options) -> float:
    return 0.0 if options.learning_rate is None else float(as_schedule(options.learning_rate)(0))


def exhausted(p: Flat, points: Sequence[Point], method: str, options: Options, rule: str, tol: float) -> str:
    """What to say when the steps are used up."""
    k, last = len(points) - 1, points[-1]
    text = f"not converged after {k} steps: gradient norm {float(np.linalg.norm(last.gradient)):.2e}, tol {tol:.0e} ({rule})"
    if len(points) < 3:
        return text
    recent = np.array([q.value for q in points[-min(50, len(points)) :]])
    falls, rises = recent[0] - recent[-1], bool(np.any(np.diff(recent) > 1e-12 * np.abs(recent[:-1])))
    if falls > 0 and not rises:
        return f"{text}; f still falls, by {falls:.1e} in the last {len(recent) - 1} steps: more steps would help"
    why = too_long(p, points, method, options)
    what = "f rose" if rises else "f did not change"
    return f"{text}; {what} in the last {len(recent) - 1} steps" + (f": {why}" if why else "")
