"""The hypotheses of convergence theorems, each looked for in a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.analysis.convexity import convexity
from chainrule.analysis.curvature import quadratic
from chainrule.analysis.evidence import LEAST, Evidence


@dataclass(frozen=True)
class Hypothesis:
    """What a theorem assumes, and whether the run bears it out.

    Attributes:
        name: the hypothesis.
        holds: was it seen to hold?
        proved: does it hold everywhere, by proof?
        why: the numbers.
    """

    name: str
    holds: bool
    proved: bool
    why: str

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        verdict = ("proved" if self.proved else "seen") if self.holds else "fails"
        return f"{self.name}: {verdict}; {self.why}"


Check = Callable[[Evidence], Hypothesis]


def _smooth(e: Evidence) -> Hypothesis:
    L = e.smoothness
    ok = bool(np.isfinite(L.value))
    shown = L.value if L.value > LEAST else 0.0
    return Hypothesis("smooth", ok, ok and L.proved, f"L = {shown:.4g}: {L.how}" if ok else L.how)


def _convex(e: Evidence) -> Hypothesis:
    verdict = convexity(e.p, e.p.x0)
    if verdict.verdict in ("convex", "affine"):
        return Hypothesis("convex", True, True, f"by its operations: {verdict.path[-1]}")
    if not np.isfinite(e.smoothness.value):
        return Hypothesis("convex", e.holds(np.inf, 0.0), False, "between all pairs of points looked at")
    mu = e.convex
    return Hypothesis("convex", bool(np.isfinite(mu.value)), mu.proved and bool(np.isfinite(mu.value)), mu.how)


def _strongly_convex(e: Evidence) -> Hypothesis:
    mu = e.convex
    ok = bool(mu.value > 0) and e.best.found
    why = f"μ = {mu.value:.4g}: {mu.how}" if e.best.found else f"it would have a minimiser: {e.best.how}"
    return Hypothesis("strongly convex", ok, ok and mu.proved, why)


def _polyak(e: Evidence) -> Hypothesis:
    mu = e.lojasiewicz
    ok = bool(mu.value > 0)
    return Hypothesis("Polyak-Lojasiewicz", ok, ok and mu.proved, f"μ = {mu.value:.4g}: {mu.how}" if ok else mu.how)


def _minimiser(e: Evidence) -> Hypothesis:
    return Hypothesis("minimiser", e.best.found, False, e.best.how)


def _bounded(e: Evidence) -> Hypothesis:
    ok = bool(np.isfinite(e.best.value))
    return Hypothesis("bounded below", ok, False, f"f* = {e.best.value:.6g}: {e.best.how}")


def _reference(e: Evidence) -> Hypothesis:
    """The subgradient method comes near any point; the lowest known one makes the strongest statement."""
    ok = bool(np.isfinite(e.best.value))
    return Hypothesis("reference", ok, ok, f"f* = {e.best.value:.6g}: {e.best.how}")


def _bounded_gradients(e: Evidence) -> Hypothesis:
    size, typical = e.steepest, float(np.median(np.linalg.norm(e.seen[1], axis=1)))
    ok = bool(size <= 100 * typical)
    return Hypothesis("bounded gradients", ok, False, f"G = {size:.4g}, the greatest on the run, {typical:.4g} the median")


def _quadratic(e: Evidence) -> Hypothesis:
    ok = quadratic(e.p)
    return Hypothesis("quadratic", ok, ok, "its Hessian does not depend on x" if ok else "its Hessian may depend on x")


def _convex_penalty(e: Evidence) -> Hypothesis:
    r: Any = e.run.regularizer
    if convexity(lambda v: r(e.p.tree(v)), e.p.x0).verdict in ("convex", "affine"):
        return Hypothesis("convex penalty", True, True, "by its operations")
    x = e.run.x[: e.run.usable]
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), 30)).astype(int))
    values = np.array([float(r(e.p.tree(x[k]))) for k in keep])
    middles = np.array([float(r(e.p.tree(0.5 * (x[a] + x[b])))) for a, b in pairwise(keep)])
    means = 0.5 * (values[1:] + values[:-1])
    ok = bool(np.all(middles <= means + 1e-12 * (1 + np.abs(means))))
    return Hypothesis("convex penalty", ok, False, f"at {len(middles)} midpoints of the run")


def _limited(name: str, times: float, sign: str, among: Callable[[Evidence], float] = lambda e: 1.0) -> Check:
    """Rates against `times` (a factor of the momentum) / L."""

    def check(e: Evidence) -> Hypothesis:
        rate, L = float(np.max(e.run.rates, initial=0.0)), e.smoothness.value
        if not np.isfinite(L):
            return Hypothesis(name, False, False, f"α = {rate:.4g}; L is unknown")
        limit = times * among(e) / L
        ok = rate < limit if sign == "<" else rate <= limit * (1 + 1e-9)
        shown = {"<": "≥", "≤": ">"}[sign] if not ok else sign
        factor = times * among(e)
        return Hypothesis(
            name, bool(ok), bool(ok) and e.smoothness.proved, f"α = {rate:.4g} {shown} {factor:.4g}/L = {limit:.4g}"
        )

    return check


def momentum_of(e: Evidence) -> float:
    """The constant momentum of a run."""
    if e.run.method == "momentum":
        return 0.9 if e.run.momentum is None else e.run.momentum
    return e.run.momentum or 0.0


def _mean_zero(e: Evidence) -> Hypothesis:
    """Is the mean of all noise no larger than chance makes it?"""
    w = e.run.walks
    if w is None:
        return Hypothesis("noise of mean zero", False, False, "the gradients of the steps are not known")
    size, expected = float(np.sum(w.drift**2)), float(np.mean(w.variance)) / w.steps
    ok = size <= 10 * expected  # by chance less than once in 500 runs, if all noise is in one direction
    why = f"‖mean noise‖² = {size:.3g} over {w.steps} steps, {expected:.3g} expected by chance"
    return Hypothesis("noise of mean zero", ok, False, why)


def _never_grow(e: Evidence) -> Hypothesis:
    ok = bool(np.all(np.diff(e.run.rates) <= 1e-12 * np.max(e.run.rates, initial=0.0)))
    return Hypothesis("rates never grow", ok, ok, "by the history")


def _constant(e: Evidence) -> Hypothesis:
    ok = not e.run.rates.size or bool(np.ptp(e.run.rates) <= 1e-12 * e.run.rates[0])
    return Hypothesis("constant rate", ok, ok, "by the history")


def _growing(e: Evidence) -> Hypothesis:
    ok = e.run.momentum is None
    return Hypothesis("growing momentum", ok, ok, "θ = k / (k + 3)" if ok else f"it is constant, {e.run.momentum}")


def _constant_momentum(e: Evidence) -> Hypothesis:
    ok = e.run.momentum is not None
    return Hypothesis("constant momentum", ok, ok, f"θ = {e.run.momentum}" if ok else "θ = k / (k + 3)")


def _decrease(e: Evidence) -> Hypothesis:
    """f(x_{k+1}) <= f(x_k) - alpha/2 |gradient|^2, in every step."""
    run = e.run
    if run.usable < len(run.fun):
        return Hypothesis("sufficient decrease", False, False, f"step {run.usable} led to a value that is not finite")
    least = 0.5 * run.rates * run.gradient[:-1] ** 2
    short = np.flatnonzero(-np.diff(run.fun) < least * (1 - 1e-9) - 2 * e.blur[0] - 1e-15 * np.abs(run.fun[:-1]))
    why = f"each step takes α/2 ‖∇f‖² or more off f, up to rounding: {run.fun[0]:.4g} to {run.fun[-1]:.4g} in all"
    if len(short):
        k = int(short[0])
        why = f"step {k + 1} takes {run.fun[k] - run.fun[k + 1]:.3g} off f, and α/2 ‖∇f‖² is {least[k]:.3g}"
    return Hypothesis("sufficient decrease", not len(short), not len(short), why)


CHECKS: dict[str, Check] = {
    "smooth": _smooth,
    "convex": _convex,
    "strongly convex": _strongly_convex,
    "Polyak-Lojasiewicz": _polyak,
    "minimiser": _minimiser,
    "bounded below": _bounded,
    "reference": _reference,
    "bounded gradients": _bounded_gradients,
    "quadratic": _quadratic,
    "convex penalty": _convex_penalty,
    "rate below 2/L": _limited("rate below 2/L", 2.0, "<"),
    "rate below 1/L": _limited("rate below 1/L", 1.0, "<"),
    "noise of mean zero": _mean_zero,
    "rate up to 1/L": _limited("rate up to 1/L", 1.0, "≤"),
    "rate below 2(1 - β)/L": _limited("rate below 2(1 - β)/L", 2.0, "<", lambda e: 1 - momentum_of(e)),
    "rate below 2(1 + β)/L": _limited("rate below 2(1 + β)/L", 2.0, "<", lambda e: 1 + momentum_of(e)),
    "rate below 2(1 + θ)/((1 + 2θ)L)": _limited(
        "rate below 2(1 + θ)/((1 + 2θ)L)", 2.0, "<", lambda e: (1 + momentum_of(e)) / (1 + 2 * momentum_of(e))
    ),
    "constant momentum": _constant_momentum,
    "sufficient decrease": _decrease,
    "rates never grow": _never_grow,
    "constant rate": _constant,
    "growing momentum": _growing,
}
"""Name -> how to look for it."""
