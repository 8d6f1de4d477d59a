"""Pictures of learning: each function draws one and returns (figure, axes)."""

from chainrule.plot.convergence import convergence
from chainrule.plot.curves import curves, measured_against_theory, steps_on_curve, thinned
from chainrule.plot.network import heat, network, pictures
from chainrule.plot.predictions import predicted
from chainrule.plot.style import COLOURS, SERIES, figure, styled, svg
from chainrule.plot.surface import contours_with_paths, decision

__all__ = [
    "COLOURS",
    "SERIES",
    "contours_with_paths",
    "convergence",
    "curves",
    "decision",
    "figure",
    "heat",
    "measured_against_theory",
    "network",
    "pictures",
    "predicted",
    "steps_on_curve",
    "styled",
    "svg",
    "thinned",
]
