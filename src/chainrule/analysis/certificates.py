r"""The exact worst case of a method over a class of functions, by semidefinite programming.

The worst case after k steps is the value of a convex program over the Gram matrix of the points and gradients that a function of
the class can show.  PEPit writes the program and a solver of CVXPY solves it: both come with the extra `certificates`.

Source: Drori and Teboulle 2014; Taylor, Hendrickx and Glineur 2017; Goujaud et al. 2024 (PEPit).
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingImports=false

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from chainrule.analysis.theorems import Facts, Theorem, Vector, noisy_contraction

STEPS = 5
"""Worst cases of so many steps are computed; their programs grow with the cube of the number."""
SLACK = 1e-5
"""How far above its true value the solver's answer is taken to be, relative."""


class Question(NamedTuple):
    """What determines a worst case, in units where L = 1 and the start is at 1."""

    theorem: Theorem
    method: str
    rates: tuple[float, ...]
    mu: float
    momentum: float


def available() -> bool:
    """Are PEPit and CVXPY there?"""
    return find_spec("PEPit") is not None and find_spec("cvxpy") is not None


def worst_case(theorem: Theorem, method: str, f: Facts, steps: int = STEPS) -> tuple[Vector, Vector]:
    """Upper bounds from semidefinite programs, for the start and each step; infinite where there are none.

    Args:
        theorem: what is assumed of the function, and what is measured.
        method: of `chainrule.minimize`.
        f: the numbers.
        steps: for so many steps programs are solved.

    Returns:
        Bounds (k + 1,), and whether each is attained (k + 1,), up to the accuracy of the solver.
    """
    n = len(f.rates)
    worst, exact = np.full(n + 1, np.inf), np.zeros(n + 1, bool)
    if theorem.start == theorem.measure == "gap":
        worst[0], exact[0] = f.gap, True
    if theorem.measure == "gap" and "strongly convex" in theorem.needs and f.noise.size:
        exact[:2] = True  # noise along the most curved direction, the error along the least curved one
        return noisy_contraction(f), exact
    unit, scale = _units(theorem, f)
    if f.noise.size or "sufficient decrease" in theorem.needs or not available() or not np.isfinite(unit) or unit <= 0:
        return worst, exact
    for k in range(1, min(n, steps) + 1):
        rates = tuple(float(f"{a * scale:.12g}") for a in f.rates[:k])
        found = _solved(Question(theorem, method, rates, 0.0 if f.mu == 0 else float(f"{f.mu / f.L:.12g}"), f.momentum))
        worst[k], exact[k] = found * unit * (1 + SLACK), np.isfinite(found) and "Polyak-Lojasiewicz" not in theorem.needs
    if theorem.start == theorem.measure == "gap" and _constant(f.rates) and method in ("gradient_descent", "proximal_gradient"):
        for k in range(steps + 1, n + 1):  # every step is a start
            worst[k] = worst[k - steps] * worst[steps] / f.gap
    return worst, exact


def _constant(rates: Vector) -> bool:
    return bool(rates.size and np.ptp(rates) <= 1e-12 * rates[0])


def _units(theorem: Theorem, f: Facts) -> tuple[float, float]:
    """What the answer has to be multiplied by, and what the rates, to be in units where L (or G) and the start are 1."""
    if "bounded gradients" in theorem.needs:
        return f.G * f.distance, f.G / max(f.distance, 1e-300)
    start = f.gap if theorem.start == "gap" else f.L * f.distance**2
    return start * f.L if theorem.measure == "gradient" else start, f.L


@lru_cache(maxsize=1024)
def _solved(q: Question) -> float:
    from cvxpy.error import SolverError
    from PEPit import PEP, Expression

    problem = PEP()
    smooth = _declared(problem, q)
    penalty = _penalty(problem, q)
    whole = smooth if penalty is None else smooth + penalty
    best = whole.stationary_point()
    start = problem.set_initial_point()
    convex = "convex" in q.theorem.needs or "strongly convex" in q.theorem.needs
    least = whole(best) if convex else Expression()
    problem.set_initial_condition(whole(start) - least <= 1 if q.theorem.start == "gap" else (start - best) ** 2 <= 1)
    points = list(_points(q, smooth, penalty, start))
    for x in points if not convex else ():
        gradient, value = smooth.gradient(x), smooth(x)
        problem.add_constraint(value - gradient**2 / 2 >= least)  # or a step of 1/L would fall below the least value
        if "Polyak-Lojasiewicz" in q.theorem.needs:
            problem.add_constraint(gradient**2 >= 2 * q.mu * (value - least))
    measured = points if q.theorem.measure != "gap" else points[-1:]
    for x in measured:
        problem.set_performance_metric(smooth.gradient(x) ** 2 if q.theorem.measure == "gradient" else whole(x) - least)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an inaccurate answer is refused below
        try:
            value: Any = problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0)
        except SolverError:
            return np.inf
    solver: Any = problem.wrapper
    return float(value) if value is not None and solver.prob.status == "optimal" else np.inf


def _declared(problem: Any, q: Question) -> Any:
    from PEPit.functions import ConvexLipschitzFunction, SmoothConvexFunction, SmoothFunction, SmoothStronglyConvexFunction

    needs = q.theorem.needs
    if "bounded gradients" in needs:
        return problem.declare_function(ConvexLipschitzFunction, M=1.0)
    if "strongly convex" in needs:
        return problem.declare_function(SmoothStronglyConvexFunction, mu=q.mu, L=1.0)
    return problem.declare_function(SmoothConvexFunction if "convex" in needs else SmoothFunction, L=1.0)


def _penalty(problem: Any, q: Question) -> Any:
    from PEPit.functions import ConvexFunction

    return problem.declare_function(ConvexFunction) if "convex penalty" in q.theorem.needs else None


def _points(q: Question, f: Any, penalty: Any, start: Any) -> Iterator[Any]:
    """The points of the method, the start first."""
    x = before = start
    t, t_before = 1.0, 1.0
    yield x
    for k, rate in enumerate(q.rates):
        theta = {"nesterov": k / (k + 3.0), "fista": (t_before - 1) / t, "momentum": q.momentum}.get(q.method, 0.0)
        y = x + theta * (x - before)
        slope = f.gradient(x if q.method == "momentum" else y)
        before, x = x, _moved(y - rate * slope, penalty, rate)
        t_before, t = t, 0.5 * (1 + float(np.sqrt(1 + 4 * t * t)))
        yield x


def _moved(x: Any, penalty: Any, rate: float) -> Any:
    if penalty is None:
        return x
    from PEPit.primitive_steps import proximal_step

    proximal: Callable[..., Any] = proximal_step
    return proximal(x, penalty, rate)[0]
