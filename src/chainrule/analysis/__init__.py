"""What calculus says about training, and about what a model owes to its inputs and its data."""

from chainrule.analysis.convergence import ConvergenceReport, convergence_report
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
from chainrule.analysis.influence import (
    Laplace,
    influence,
    laplace,
)
from chainrule.analysis.noise import GradientNoise, gradient_noise, noise_floor
from chainrule.analysis.sensitivity import (
    Attribution,
    PartialDependence,
    Saturation,
    expected_gradients,
    input_x_gradient,
    integrated_gradients,
    jacobian_norm,
    partial_dependence,
    saliency,
    saturation,
    smoothgrad,
)

__all__ = [
    "Attribution", "ConvergenceReport", "Convexity", "Estimate", "GradientNoise", "Laplace", "PartialDependence",
    "Saturation", "Spectrum", "condition_number", "convergence_report", "convexity", "expected_gradients",
    "gradient_noise", "influence", "input_x_gradient", "integrated_gradients", "jacobian_norm", "laplace", "noise_floor",
    "partial_dependence", "recommended_step", "saliency", "saturation", "smoothgrad", "smoothness", "spectrum",
    "strong_convexity",
]  # fmt: skip
