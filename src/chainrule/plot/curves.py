"""Curves on the way to zero, with the bounds that theory draws above them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.plot.style import DASHES, INK, MARKERS, MUTED, SERIES, Array, figure, label, logarithmic, styled

Scale = Literal["linear", "log"]


@styled
def curves(
    series: Mapping[str, tuple[Any, Any]],
    title: str,
    x: str,
    y: str,
    *,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    bands: Mapping[str, tuple[Any, Any]] | None = None,
    xscale: Scale = "linear",
    yscale: Scale = "log",
    ylim: tuple[float | None, float | None] | None = None,
    loc: str = "best",
) -> tuple[Figure, Axes]:
    """Named curves, solid where measured and dashed in the same order of colours where a theory speaks.

    Args:
        series: name -> (x, y), what was measured.
        title: what is to be seen.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        bounds: name -> (x, y), what theory says.
        bands: name of a series -> (low, high), an interval around it.
        xscale: "linear" or "log".
        yscale: "linear" or "log".
        ylim: limits of the vertical axis.
        loc: where the legend goes.
    """
    fig, ax = figure()
    for k, (name, (xs, ys)) in enumerate(series.items()):
        colour = SERIES[k % len(SERIES)]
        ax.plot(xs, ys, color=colour, linestyle=DASHES[k % len(DASHES)] if not bounds else "-", label=name)
        if bands and name in bands:
            ax.fill_between(xs, *bands[name], color=colour, alpha=0.2, linewidth=0)
    for k, (name, (xs, ys)) in enumerate((bounds or {}).items()):
        ax.plot(xs, ys, color=INK, linestyle=DASHES[1 + k % 4], linewidth=1.3, label=name)
    _scales(ax, xscale, yscale)
    if ylim:
        ax.set_ylim(*ylim)
    label(ax, title, x, y)
    if len(series) + len(bounds or {}) > 1:
        ax.legend(loc=loc)
    return fig, ax


def _scales(ax: Axes, xscale: Scale, yscale: Scale) -> None:
    for scale, set_scale, axis in ((xscale, ax.set_xscale, ax.xaxis), (yscale, ax.set_yscale, ax.yaxis)):
        set_scale(scale)
        if scale == "log":
            logarithmic(axis)


@styled
def measured_against_theory(
    points: Mapping[str, tuple[Any, Any, Any]],
    theory: Mapping[str, tuple[Any, Any]],
    title: str,
    x: str,
    y: str,
    xscale: Scale = "log",
    yscale: Scale = "log",
) -> tuple[Figure, Axes]:
    """Measured points with the half-widths of their intervals, on the lines that theory predicts without any fitting.

    Args:
        points: name -> (x, y, half-width).
        theory: name -> (x, y).
        title: what is to be seen.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        xscale: "linear" or "log".
        yscale: "linear" or "log".
    """
    fig, ax = figure()
    for name, (xs, ys) in theory.items():
        ax.plot(xs, ys, color=INK, linestyle=DASHES[1], linewidth=1.3, label=name)
    for k, (name, (xs, ys, error)) in enumerate(points.items()):
        style: dict[str, Any] = {"fmt": MARKERS[k], "color": SERIES[k], "capsize": 3, "elinewidth": 1.4}
        ax.errorbar(xs, ys, yerr=error, label=name, **style)
    _scales(ax, xscale, yscale)
    label(ax, title, x, y)
    ax.legend()
    return fig, ax


@styled
def steps_on_curve(
    f: Any, span: tuple[float, float], paths: Mapping[str, Array], title: str, x: str = "x", y: str = "f(x)"
) -> tuple[Figure, Axes]:
    """A function of one variable and the points that methods visit on it.

    Args:
        f: the function, of an array.
        span: from where to where to draw it.
        paths: name -> (k,) visited points.
        title: what is to be seen.
        x: label of the horizontal axis.
        y: label of the vertical axis.
    """
    fig, ax = figure()
    xs = np.linspace(*span, 200)
    ax.plot(xs, f(xs), color=MUTED, linewidth=1.4)
    for k, (name, points) in enumerate(paths.items()):
        ax.plot(points, f(points), color=SERIES[k], marker=MARKERS[k], linewidth=0.9, label=name)
    ax.set_xlim(*span)
    ax.set_ylim(-0.04 * np.max(f(xs)), 1.02 * np.max(f(xs)))
    label(ax, title, x, y)
    ax.legend(loc="upper center")
    return fig, ax


def thinned(count: int, keep: int = 300) -> Sequence[int]:
    """Indices 0, ..., count - 1, or about `keep` of them that grow geometrically: enough for a curve, few enough for a page."""
    if count <= keep:
        return range(count)
    spread = np.unique(np.geomspace(1, count, keep).astype(int) - 1)
    return [int(k) for k in spread]
