"""Integrals and expectations that differentiate."""

from __future__ import annotations

from chainrule.integrals.adaptive import IntegrationError
from chainrule.integrals.expectation import Estimate, expectation
from chainrule.integrals.generalization import GeneralizationGap, generalization_gap
from chainrule.integrals.gradients import GradientEstimate, compare_gradients
from chainrule.integrals.integrate import Integral, integrate

__all__ = [
    "Estimate", "GeneralizationGap", "GradientEstimate", "Integral", "IntegrationError", "compare_gradients", "expectation",
    "generalization_gap", "integrate",
]  # fmt: skip
