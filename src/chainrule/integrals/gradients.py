"""Estimators of the gradient of an expectation, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.batching import vmap
from chainrule.calculus import grad
from chainrule.distributions.base import Continuous, Distribution
from chainrule.integrals.expectation import expectation


@dataclass(frozen=True, eq=False)
class GradientEstimate:
    """One estimator, run many times.

    Attributes:
        mean: mean over the runs.
        error: standard error of that mean.
        variance: variance of one draw's gradient (that of a run, times the draws in it).
        z: (mean - exact) / error; for an unbiased estimator about standard normal.
    """

    mean: Any
    error: Any
    variance: Any
    z: Any


@errors.boundary
def compare_gradients(
    f: Callable[[Any], Any],
    family: Callable[[Any], Distribution],
    theta: Any,
    *,
    key: Any,
    samples: int = 32,
    repeats: int = 500,
) -> dict[str, GradientEstimate]:
    r"""$\nabla_\theta E_{p_\theta} f$ by the pathwise gradient, the score, and the score with a baseline, against the exact one.

    Args:
        f: function of one draw, to a number.
        family: theta -> distribution.
        theta: a floating-point number or array.
        key: random key.
        samples: draws in a run.
        repeats: runs.

    Returns:
        "pathwise" (where the distribution is continuous), "score" and "score with baseline", each a `GradientEstimate`.

    Example:
        >>> import chainrule as cr
        >>> found = compare_gradients(lambda x: x**2, lambda m: cr.distributions.normal(m, 1.0), 1.0, key=cr.random.key(0))
        >>> bool(found["pathwise"].variance < found["score with baseline"].variance < found["score"].variance)
        True
    """
    exact = grad(lambda t: expectation(f, family(t)))(theta)
    cases = {"score": ("score", False), "score with baseline": ("score", True)}
    if isinstance(family(theta), Continuous):
        cases = {"pathwise": ("pathwise", False), **cases}
    keys = random.split(key, repeats)
    return {name: _runs(f, family, theta, keys, samples, exact, *case) for name, case in cases.items()}


def _runs(
    f: Any, family: Any, theta: Any, keys: Any, samples: int, exact: Any, gradient: str, baseline: bool
) -> GradientEstimate:
    def run(key: Any) -> Any:
        def estimate(t: Any) -> Any:
            return expectation(f, family(t), "monte_carlo", samples, key, gradient, baseline=baseline)

        return grad(estimate)(theta)

    found = vmap(run)(keys)
    variance = np.var(found, 0, ddof=1)
    error = np.sqrt(variance / len(keys))
    mean = np.mean(found, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, (mean - exact) / error, np.where(np.isclose(mean, exact), 0.0, np.inf))
    return GradientEstimate(mean, error, variance * samples, z)


__all__ = ["GradientEstimate", "compare_gradients"]
