"""How a run compares with theory: which theorem speaks of it, what it promises, what happened, and the worst that could have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.analysis.certificates import available, worst_case
from chainrule.analysis.curvature import kinks
from chainrule.analysis.evidence import Evidence, Run, Walks
from chainrule.analysis.hypotheses import CHECKS, Hypothesis, momentum_of
from chainrule.analysis.theorems import QUANTITIES, THEOREMS, Facts, Theorem, Vector
from chainrule.analysis.walks import walked
from chainrule.optim.explain import stability_limit
from chainrule.optim.minimize import Minimum


@dataclass(frozen=True)
class ConvergenceReport:
    """A run beside the theorem that speaks of it.

    Attributes:
        method: name of the method.
        theorem: the theorem, or None for methods of which none is known that holds far from the minimum.
        hypotheses: what it assumes, each with what the run shows of it.
        measured: (k + 1,) the quantity that the theorem bounds, for the start and each step; less what
            rounding may have added to it; 0 where it hides all.
        bound: (k + 1,) what the theorem promises; infinite where its hypotheses do not hold.
        facts: the numbers in its formula.
        quantity: what is measured, in words.
        others: further theorems whose hypotheses hold.
        diagnosis: why it diverged or stalled, with numbers; empty where all is well.
        ending: how the run ended.
        error: (k + 1,) standard error of `measured` as a mean over runs of SGD (NaN for one run, whose theorem is about the mean
            of many); 0 for methods without chance.
    """

    method: str
    theorem: Theorem | None
    hypotheses: tuple[Hypothesis, ...]
    measured: Vector
    bound: Vector
    facts: Facts
    quantity: str
    others: tuple[Theorem, ...]
    diagnosis: str
    ending: str = field(repr=False, default="")
    error: Vector = field(repr=False, default_factory=lambda: np.zeros(1))

    @property
    def applies(self) -> bool:
        """Do all hypotheses hold?"""
        return self.theorem is not None and all(h.holds for h in self.hypotheses)

    @cached_property
    def _worst(self) -> tuple[Vector, Vector]:
        nothing = np.zeros(len(self.bound), bool)
        if self.theorem is None or not self.applies:
            return self.bound, nothing
        tight = self.theorem.tight(self.facts)
        if tight is not None:
            return np.minimum(tight, self.bound), ~nothing
        worst, exact = worst_case(self.theorem, self.method, self.facts)
        return np.minimum(worst, self.bound), exact

    @property
    def certificate(self) -> Vector:
        """(k + 1,) the least upper bound that is known: the exact worst case where `exact`, elsewhere `bound`."""
        return self._worst[0]

    @property
    def exact(self) -> Vector:
        """(k + 1,) where `certificate` is attained by some function that satisfies the hypotheses."""
        return self._worst[1]

    def plot(self) -> Any:
        """The three curves, as a Matplotlib figure and its axes."""
        return import_module("chainrule.plot").convergence(self)  # by name: pictures belong to a layer above

    def __str__(self) -> str:
        head = [f"{self.method}: {self.ending}"] if self.ending else [self.method]
        if self.diagnosis:
            head.append(self.diagnosis)
        if self.theorem is None:
            return "\n".join([*head, "no theorem here speaks of this method far from a minimum", "", self._table()])
        verdict = "applies" if self.applies else "does not apply"
        head.append(f"theorem ({self.theorem.name}) {verdict}: {self.theorem.statement}")
        checks = [f"  {'✓' if h.holds else '✗'} {h}" for h in self.hypotheses]
        table = self._table()
        if self.applies and not np.any(self.exact[1:]) and not available():
            table += "\nthe extra `certificates` (PEPit, CVXPY) computes worst cases"
        return "\n".join([*head, *checks, f"  [{self.theorem.source}]", "", table])

    def _table(self, rows: int = 12) -> str:
        n = len(self.measured)
        shown = sorted({0, n - 1, *(np.geomspace(1, max(n - 1, 1), rows - 1).astype(int).tolist())} & set(range(n)))
        head = ["step", f"measured {self.quantity}", "worst case", "bound"]
        of_bound = ["" if exact else " (bound)" for exact in self.exact]
        plus = ["" if error == 0 else f" ± {error:.1g}" for error in np.broadcast_to(self.error, n)]
        body = [
            [str(k), f"{self.measured[k]:.4g}{plus[k]}", f"{self.certificate[k]:.4g}{of_bound[k]}", f"{self.bound[k]:.4g}"]
            for k in shown
        ]  # fmt: skip
        return _aligned([head, *body])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


@errors.boundary
def convergence_report(
    result: Any, *, f: Any = None, learning_rate: Any = None, minimum: float | None = None, minimiser: Any = None
) -> ConvergenceReport:
    r"""Compare a run with the theorems on its method.

    A theorem is about all functions that satisfy its hypotheses.  Whether the run is one on such a function can be seen from its
    points, values and gradients: of the theorems whose hypotheses are borne out, the report shows the one that promises most.

    Args:
        result: what `cr.minimize` returned; or the points of a loop of one's own, x_0 to x_k along a new first axis, or a list
            of several such runs.  Steps are taken for $x_{k+1} = x_k - \alpha_k g_k$; if g is not the gradient of f, it is
            taken for a stochastic gradient, whose noise is measured.  The theorems are about means, so many runs say more.
        f: the objective of a loop of one's own, over all the data.
        learning_rate: its learning rate, a number or a schedule.
        minimum: the least value f*, if it is known; otherwise the run is continued until it is.
        minimiser: where it is attained, like x0.

    Returns:
        A `ConvergenceReport`: ``measured <= certificate <= bound``, as arrays, a table (``str``) and a picture (``.plot()``).

    Raises:
        TypeError: points without `f` and `learning_rate`.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> result = cr.minimize(lambda x: x[0] ** 2 + 4 * x[1] ** 2, np.ones(2), learning_rate=0.1)
        >>> report = cr.analysis.convergence_report(result)
        >>> report.theorem.name, bool(np.all(report.measured <= report.bound))
        ('strongly convex', True)

    Source: Taylor, Hendrickx and Glineur 2017 (when points, values and gradients belong to a function of a class).
    """
    with np.errstate(all="ignore"):  # a run that diverged has been where f overflows
        return _report(result, f, learning_rate, minimum, minimiser)


def _report(result: Any, f: Any, learning_rate: Any, minimum: float | None, minimiser: Any) -> ConvergenceReport:
    run = Run.of(result) if isinstance(result, Minimum) else walked(result, f, learning_rate)
    e = Evidence(run, minimum, None if minimiser is None else _vector(run, minimiser))
    lowest = float(np.min(run.fun[: run.usable], initial=np.inf))
    if minimum is not None or minimiser is not None:
        if not np.isfinite(e.best.value):
            raise ValueError(f"the least value is a number, not {e.best.value}")
        if lowest < e.best.value - e.resolution:
            raise ValueError(f"f was {lowest:.6g} on the run, below the least value given, {e.best.value:.6g}")
    return report_of(e)


def _vector(run: Run, minimiser: Any) -> Vector:
    x = np.asarray(run.p.vector(minimiser), run.p.dtype)
    if x.shape != run.p.x0.shape:
        raise errors.ShapeError(f"minimiser has {x.size} elements, x0 has {run.p.x0.size}")
    return x


def report_of(e: Evidence) -> ConvergenceReport:
    """The report of a run whose points are known."""
    run = e.run
    bent = bool(kinks(e.p))
    known = [t for t in THEOREMS.get(run.method, ()) if bent or "bounded gradients" not in t.needs]
    looked = {n: CHECKS[n](e) for n in dict.fromkeys(n for t in known for n in t.needs)}
    checked = {t.name: tuple(looked[n] for n in t.needs) for t in known}
    holding = [t for t in known if all(checked[t.name])]
    theorem = _strongest(holding, e) if holding else _nearest(known, checked)
    facts, (seen, error) = facts_of(e, theorem), measured(e, theorem)
    bound = theorem.bound(facts) if theorem is not None and theorem in holding else np.full(len(seen), np.inf)
    return ConvergenceReport(
        run.method, theorem, () if theorem is None else checked[theorem.name], seen, bound, facts,
        QUANTITIES["gap" if theorem is None else theorem.measure], tuple(t for t in holding if t is not theorem),
        "" if run.success else _diagnosis(e), run.message, error,
    )  # fmt: skip


def _strongest(holding: Sequence[Theorem], e: Evidence) -> Theorem:
    """The first of the theorems, or a later one that promises much more at the end of the run."""
    if kinks(e.p):  # where smoothness is an accident of the points
        holding = [t for t in holding if "gradient" not in t.measure] or holding
    chosen, least = holding[0], _promise(holding[0], e)
    for t in holding[1:]:
        implied = "Polyak-Lojasiewicz" in t.needs and "strongly convex" in chosen.needs
        same = t.measure == chosen.measure or {t.measure, chosen.measure} == {"gap", "best gap"}
        if same and not implied and _promise(t, e) < 0.5 * least:
            chosen, least = t, _promise(t, e)
    return chosen


def _promise(theorem: Theorem, e: Evidence) -> float:
    facts = facts_of(e, theorem)
    tight = theorem.tight(facts)
    return float((theorem.bound(facts) if tight is None else tight)[-1])


def _nearest(known: Sequence[Theorem], checked: dict[str, tuple[Hypothesis, ...]]) -> Theorem | None:
    """The theorem of which least is missing."""
    return min(known, key=lambda t: sum(not h.holds for h in checked[t.name]), default=None)


def facts_of(e: Evidence, theorem: Theorem | None) -> Facts:
    """The numbers that a theorem's formulas need."""
    needs = theorem.needs if theorem is not None else ()
    mu = 0.0
    if "Polyak-Lojasiewicz" in needs:
        mu = e.lojasiewicz.value
    elif "convex" in needs or "strongly convex" in needs:
        mu = float(np.nan_to_num(e.convex.value))
    w = e.run.walks
    gap = float(e.run.fun[0] - e.best.value)
    distance = float(np.linalg.norm(e.run.x[0] - e.best.x))
    noise = np.zeros(0) if w is None else w.variance
    return Facts(e.smoothness.value, mu, np.asarray(e.run.rates, float), gap, distance, momentum_of(e), e.steepest, noise)


def measured(e: Evidence, theorem: Theorem | None) -> tuple[Vector, Vector]:
    """(k + 1,) what the theorem is about, and its standard error as a mean over runs."""
    w = e.run.walks
    if w is not None:
        found = _averaged(e, theorem, w)
        error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.full(found.shape[1], np.nan)
        mean = np.maximum(np.mean(found, axis=0), 0.0)
        return mean, np.where(error <= 1e-14 * mean, 0.0, error)
    if theorem is not None and theorem.measure == "gradient":
        found = np.minimum.accumulate(e.run.gradient**2)
    else:
        gap = np.maximum(e.gaps, 0.0) if np.isfinite(e.best.value) else e.run.fun - np.nanmin(e.run.fun)
        found = np.minimum.accumulate(gap) if theorem is not None and theorem.measure == "best gap" else gap
    return found, np.zeros_like(found)


def _averaged(e: Evidence, theorem: Theorem | None, w: Walks) -> Vector:
    """(runs, k + 1) what the theorem is about: f - f*, or means over the points so far."""
    gaps = w.values - e.best.value
    if theorem is None or theorem.measure not in ("mean gap", "mean gradient"):
        return gaps
    a, smooth = e.run.rates, facts_of(e, theorem).L
    of_gaps = theorem.measure == "mean gap"
    weights = a * (1 - a * smooth * (1.0 if of_gaps else 0.5))
    values = gaps if of_gaps else w.squares
    total = np.cumsum(weights * values[:, :-1], axis=1) / np.cumsum(weights)
    return np.concatenate([values[:, :1], total], axis=1)


def _diagnosis(e: Evidence) -> str:
    """Is there no minimum, a kink in the way, or is the step above what the curvature allows?"""
    run, L = e.run, e.smoothness.value
    if e.best.value == -np.inf:
        return "f is unbounded below: there is no minimum to converge to"
    if run.method not in THEOREMS or not run.rates.size or _still_falls(run.fun):
        return ""
    rate, bent = float(run.rates[-1]), kinks(e.p)
    if bent and run.method != "sgd":
        return (
            f"f has kinks ({', '.join(bent)}): near one, steps of constant α = {rate:.4g} jump to and fro and stay up to "
            f"α G²/2 = {0.5 * rate * e.steepest**2:.3g} above the minimum (G = {e.steepest:.3g}, the greatest gradient); let the "
            "step decay, or leave the kink to the proximal map of a regularizer"
        )
    limit = stability_limit(run.method, L, run.momentum) if L > 0 else np.inf
    if rate < limit * (1 - 1e-9):
        return ""
    return (
        f"the step is too long: α = {rate:.4g} is not below {limit * L:.4g}/L = {limit:.4g}, with L = {L:.4g}, so an error along "
        f"the most curved direction does not shrink; α = 1/L = {1 / L:.4g} is safe"
    )


def _still_falls(fun: Vector, last: int = 50) -> bool:
    """Did the objective go down in every one of the last steps?"""
    recent = fun[-last:]
    return bool(np.all(np.isfinite(recent)) and np.all(np.diff(recent) < 0))
