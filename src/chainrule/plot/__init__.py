"""Pictures of learning: each function draws one and returns (figure, axes)."""

from chainrule.plot.convergence import convergence
from chainrule.plot.curves import curves, measured_against_theory, steps_on_curve, thinned
from chainrule.plot.maps import attention, bars, points, value_map, written
from chainrule.plot.network import heat, network, pictures
from chainrule.plot.predictions import predicted
from chainrule.plot.samples import map_of_codes, sheet
from chainrule.plot.style import COLOURS, SERIES, figure, styled, svg
from chainrule.plot.surface import contours_with_paths, decision

__all__ = [
    "COLOURS",
    "SERIES",
    "attention",
    "bars",
    "contours_with_paths",
    "convergence",
    "curves",
    "decision",
    "figure",
    "heat",
    "map_of_codes",
    "measured_against_theory",
    "network",
    "pictures",
    "points",
    "predicted",
    "sheet",
    "steps_on_curve",
    "styled",
    "svg",
    "thinned",
    "value_map",
    "written",
]
