"""What calculus says about training: curvature, convexity, convergence and the noise of stochastic gradients."""

from chainrule.analysis.convexity import Convexity, convexity
from chainrule.analysis.curvature import (
    Estimate,
    Spectrum,
    condition_number,
    recommended_step,
    smoothness,
    spectrum,
    strong_convexity,
)

__all__ = [
    "Convexity", "Estimate", "Spectrum", "condition_number", "convexity", "recommended_step", "smoothness", "spectrum",
    "strong_convexity",
]  # fmt: skip
