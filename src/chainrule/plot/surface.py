"""Functions of two variables: contours, and the paths of methods on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.plot.style import INK, LEVELS, MARKERS, MUTED, PAPER, SERIES, SIDES, Array, figure, label, styled


@styled
def contours_with_paths(
    f: Any,
    xspan: tuple[float, float],
    yspan: tuple[float, float],
    paths: Mapping[str, Array],
    title: str,
    *,
    minimum: tuple[float, float] | None = None,
    equal: bool = False,
    marked: int = 40,
    loc: str = "best",
) -> tuple[Figure, Axes]:
    """Level sets of f (darker is higher, levels spread evenly over the values seen) and the paths of methods on them.

    Args:
        f: function of two arrays.
        xspan: horizontal extent.
        yspan: vertical extent.
        paths: name -> (k, 2) points visited.
        title: what is to be seen.
        minimum: where the minimum is.
        equal: whether one unit is as long in both directions.
        marked: how many points of a path get a marker.
        loc: where the legend goes.
    """
    fig, ax = figure()
    xs, ys = np.meshgrid(np.linspace(*xspan, 121), np.linspace(*yspan, 121))
    zs = f(xs, ys)
    levels = np.unique(np.quantile(zs, np.linspace(0, 1, len(LEVELS) + 1) ** 1.5))
    ax.contourf(xs, ys, zs, levels=levels, colors=LEVELS[: len(levels) - 1])
    ax.contour(xs, ys, zs, levels=levels, colors=[MUTED], linewidths=0.4)
    for k, (name, path) in enumerate(paths.items()):
        style: dict[str, Any] = {"color": SERIES[k], "linewidth": 1.4, "label": name, "marker": MARKERS[k], "markersize": 3.4}
        ax.plot(path[:, 0], path[:, 1], markevery=[*range(min(marked, len(path)))], **style)
    if minimum:
        ax.plot(*minimum, marker="*", markersize=11, color=INK, markeredgecolor=PAPER, linestyle="none", label="minimum")
    ax.set_xlim(*xspan)
    ax.set_ylim(*yspan)
    ax.grid(False)
    if equal:
        ax.set_aspect("equal")
    label(ax, title, "x", "y")
    ax.legend(loc=loc, frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.85)
    return fig, ax


@styled
def decision(score: Any, points: Array, labels: Array, title: str) -> tuple[Figure, Axes]:
    """Where a classifier of points in the plane says yes, and the points it learnt from.

    Args:
        score: function of (k, 2) points, values from 0 to 1.
        points: (n, 2).
        labels: (n,) of 0 or 1.
        title: what is to be seen.
    """
    fig, ax = figure()
    grid = np.linspace(-0.4, 1.4, 91)
    xs, ys = np.meshgrid(grid, grid)
    zs = np.reshape(score(np.stack([xs.ravel(), ys.ravel()], axis=1)), xs.shape)
    ax.contourf(xs, ys, zs, levels=[-0.01, 0.1, 0.5, 0.9, 1.01], colors=[SIDES[0], SIDES[1], SIDES[2], SIDES[3]])
    ax.contour(xs, ys, zs, levels=[0.5], colors=[INK], linewidths=1.2)
    for k, colour in ((0, SERIES[1]), (1, SERIES[0])):
        chosen = points[labels == k]
        ax.plot(chosen[:, 0], chosen[:, 1], MARKERS[k], color=colour, markersize=10, label=f"label {k}")
    ax.set_aspect("equal")
    ax.grid(False)
    label(ax, title, "x₁", "x₂")
    ax.legend(loc="center", frameon=True, facecolor=PAPER, edgecolor="none", framealpha=0.85)
    return fig, ax
