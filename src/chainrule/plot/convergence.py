"""A run beside the theorem that speaks of it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.plot.curves import curves, thinned

if TYPE_CHECKING:
    from chainrule.analysis import ConvergenceReport


def convergence(report: ConvergenceReport) -> tuple[Figure, Axes]:
    """What was measured, under the worst case that is possible, under the bound that the theorem promises.

    Args:
        report: of `cr.analysis.convergence_report`.
    """
    keep = np.asarray(thinned(len(report.measured)))
    seen, worst, bound = (
        np.where(np.isfinite(y) & (y > 0), y, np.nan)[keep] for y in (report.measured, report.certificate, report.bound)
    )
    bounds = {"worst case": (keep, np.where(report.exact[keep], worst, np.nan))} if np.any(report.exact) else {}
    if np.any(np.isfinite(bound)):
        bounds["bound"] = (keep, bound)
    name = report.theorem.name if report.theorem is not None and report.applies else "no theorem applies"
    scale = "log" if np.any(np.isfinite(seen)) else "linear"
    return curves({"measured": (keep, seen)}, f"{report.method}: {name}", "step", report.quantity, bounds=bounds, yscale=scale)
