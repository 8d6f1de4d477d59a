"""Predictions beside what was true."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.plot.style import INK, SERIES, Array, figure, label, styled


@styled
def predicted(y_true: Array, y_pred: Array, title: str, name: str, most: int = 1000) -> tuple[Figure, Axes]:
    """A point per example and the line on which predictions are right.

    Args:
        y_true: (n,) what was true.
        y_pred: (n,) what was predicted.
        title: what is to be seen.
        name: of the quantity.
        most: how many of the examples to draw.
    """
    fig, ax = figure()
    y_true, y_pred = y_true[:most], y_pred[:most]
    ends = [min(y_true.min(), y_pred.min()), max(y_true.max(), y_pred.max())]
    ax.plot(ends, ends, color=INK, linewidth=1.0)
    ax.plot(y_true, y_pred, "o", color=SERIES[0], alpha=0.5, markersize=3)
    label(ax, title, f"{name}, true", f"{name}, predicted")
    return fig, ax
