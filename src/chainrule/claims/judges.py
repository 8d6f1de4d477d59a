"""Judges that many claims share: equality with a reference, with the exact derivative, with a proof; bounds; seeds."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

import chainrule as cr
from chainrule.claims.claim import Finding

Case = tuple[Any, ...]
TIGHT = 1e-9  # a formula in float64, a few operations from the exact value, on numbers of order one


def leaves(x: Any) -> list[Any]:
    """The arrays in nested tuples and lists."""
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, tuple | list) else [np.asarray(x, float)]


def distance(a: Any, b: Any) -> float:
    """Largest difference, relative to the largest number of `b` where that is above one; infinite for other shapes and for NaN."""
    a, b = leaves(a), leaves(b)
    if [x.shape for x in a] != [y.shape for y in b]:
        return np.inf
    gaps = [float(np.max(np.abs(x - y), initial=0.0)) for x, y in zip(a, b, strict=True)]
    if np.isnan(gaps).any():
        return np.inf
    return max(gap / max(1.0, float(np.max(np.abs(y), initial=0.0))) for gap, y in zip(gaps, b, strict=True))


_MISFIT = ("matmul", "broadcast", "mismatch", "not aligned", "shape")


def evaluated(formula: Callable[..., Any], case: Case) -> Any:
    """The formula's value, or None if its shapes do not fit together."""
    try:
        return formula(*case)
    except ValueError as e:
        if any(word in str(e) for word in _MISFIT):
            return None
        raise


class Same:
    """Does the formula give the same numbers as the reference, on every case?"""

    method = "The formula is evaluated beside a reference on several cases."

    def __init__(self, reference: Callable[..., Any], cases: Sequence[Case], name: str = "", tolerance: float = TIGHT) -> None:
        self.reference, self.cases, self.tolerance = reference, cases, tolerance
        self.name = name or f"same as {getattr(reference, '__name__', 'reference')}"

    def __call__(self, formula: Callable[..., Any]) -> Finding:
        """Compare on every case."""
        found = [self._gap(formula, c) for c in self.cases]
        gaps = [gap for gap in found if gap is not None]
        if len(gaps) < len(found):
            return Finding(False, {"shapes fit": 0.0})
        return Finding(max(gaps) <= self.tolerance, {"largest difference": max(gaps), "cases": len(self.cases)})

    def _gap(self, formula: Callable[..., Any], case: Case) -> float | None:
        """Difference from the reference in one case; None if shapes do not fit."""
        value = evaluated(formula, case)
        return None if value is None else distance(value, self.reference(*case))


class Derivative(Same):
    """Is the formula the derivative of `f` with respect to its first argument (or those in `argnums`)?"""

    method = "The formula is compared with the derivative by automatic differentiation, which is exact."

    def __init__(
        self,
        f: Callable[..., Any],
        cases: Sequence[Case],
        argnums: int | tuple[int, ...] = 0,
        name: str = "",
        tolerance: float = TIGHT,
    ) -> None:
        super().__init__(cr.grad(f, argnums), cases, name or f"derivative of {getattr(f, '__name__', 'f')}", tolerance)
        self.f, self.argnums = f, argnums

    def diagnose(self, formula: Callable[..., Any]) -> str:
        """What the doctor says about the formula; empty if there is nothing to say."""
        check: Any = getattr(cr, "check", None)
        if check is None:
            return ""
        gaps = [self._gap(formula, c) for c in self.cases]
        if any(gap is None for gap in gaps):
            return "The shapes do not fit together."
        worst = max(zip(gaps, self.cases, strict=True), key=lambda pair: pair[0] or 0.0)[1]
        found = check(self.f, formula, *worst, argnums=self.argnums)
        said = [d for d in found.diagnoses if not d.same_numbers]  # the rest are other names for the first
        return " ".join(f"{d.message} Right: {d.correction}" if d.correction else str(d.message) for d in said)


class Proof:
    """Is the formula equal to the reference for all values of the symbols?  SymPy proves it, or shows a point where it is not."""

    method = "SymPy proves the identity, or finds a point where the sides differ."

    def __init__(self, reference: Callable[..., Any], symbols: str, name: str = "", **assumptions: bool) -> None:
        self.reference, self.symbols, self.assumptions = reference, symbols, assumptions or {"real": True}
        self.name = name or f"proof of {getattr(reference, '__name__', 'identity')}"

    def __call__(self, formula: Callable[..., Any]) -> Finding:
        """Prove the two equal, or find a point where they differ."""
        import sympy as sp

        symbols = [sp.Symbol(name, **self.assumptions) for name in self.symbols.split()]
        gap = sp.sympify(self.reference(*symbols)) - sp.sympify(formula(*symbols))
        left = sp.simplify(gap)
        if left == 0:
            return Finding(True, {"left after simplifying": 0.0})
        rng = np.random.default_rng(0)
        points = [dict(zip(symbols, rng.uniform(0.3, 1.7, len(symbols)), strict=True)) for _ in range(5)]
        worst = max(abs(complex(gap.evalf(subs=p))) for p in points)
        if worst < 1e-8:
            raise ArithmeticError(f"{left} is zero at random points, and SymPy cannot prove that it is zero")
        return Finding(False, {"difference at a point": worst})


class Bound:
    """Does the bound hold in every case?  Its slack shows whether it is tight."""

    method = "The bounded quantity is measured while the constants in the bound are swept."

    def __init__(self, measured: Callable[..., float], cases: Iterable[Case], name: str = "", slack: float = 1e-9) -> None:
        self.measured, self.cases, self.slack = measured, list(cases), slack
        self.name = name or f"bound on {getattr(measured, '__name__', 'f')}"

    def __call__(self, bound: Callable[..., float]) -> Finding:
        """Compare measured and bound in every case."""
        pairs = [(self.measured(*c), bound(*c)) for c in self.cases]
        ratios = [m / b if b > 0 else np.inf for m, b in pairs if b > 0 or not m <= self.slack]
        broken = [r for r in ratios if not r <= 1 + self.slack]  # NaN is no bound
        worst = max(ratios, default=0.0)
        return Finding(not broken, {"largest measured / bound": worst, "broken": len(broken), "cases": len(pairs)})


class Matches:
    """Is the answer to a yes-or-no question about a setting yes?  For facts that a setting has or has not."""

    def __init__(self, question: Callable[[Any], tuple[bool, dict[str, float]]], name: str = "") -> None:
        self.question = question
        self.name = name or question.__name__.replace("_", " ").strip()
        self.method = (question.__doc__ or "").strip()

    def __call__(self, setting: Any) -> Finding:
        """Ask."""
        return Finding(*self.question(setting))


def interval(samples: Any, level: float = 0.99) -> tuple[float, float, float]:
    """Mean of the samples and the ends of Student's confidence interval."""
    x = np.asarray(samples, float)
    half = float(stats.t.ppf(0.5 + level / 2, len(x) - 1)) * float(np.std(x, ddof=1)) / np.sqrt(len(x))
    mean = float(np.mean(x))
    return mean, mean - half, mean + half


def above(samples: Any, threshold: float = 0.0) -> Finding:
    """Is the mean above the threshold, with 99 % confidence?"""
    mean, low, high = interval(samples)
    return Finding(low > threshold, {"mean": mean, "99 % from": low, "99 % to": high, "seeds": len(samples)})


def descend(gradient: Callable[..., Any], x: Any, rate: Any, steps: int) -> Any:
    """Plain gradient descent; `rate` is a number or a function of k."""
    for k in range(steps):
        x = x - (rate(k) if callable(rate) else rate) * gradient(x)
    return x


def run_rule(rule: Any, gradient: Callable[..., Any], x: Any, steps: int) -> Any:
    """The points an optimiser visits, first to last."""
    state, points = rule.init(x), [x]
    for _ in range(steps):
        x, state = rule.step(x, gradient(x), state)
        points.append(x)
    return np.array(points)


def normals(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    """Standard normal arrays of these shapes."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s) for s in shapes]


__all__ = [
    "Bound", "Derivative", "Matches", "Proof", "Same", "above", "descend", "distance", "evaluated", "interval", "leaves", "normals",
    "run_rule",
]  # fmt: skip
