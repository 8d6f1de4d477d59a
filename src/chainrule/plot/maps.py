"""Bars, points, and maps of numbers on a grid."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from chainrule.plot.style import INK, LEVELS, MARKERS, MUTED, PAPER, SERIES, Array, figure, label, styled

ARROWS = {"left": (-1, 0), "down": (0, -1), "right": (1, 0), "up": (0, 1)}


@styled
def bars(
    values: Mapping[str, Mapping[str, float]], title: str, x: str, errors: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[Figure, Axes]:
    """Horizontal bars, grouped by row.

    Args:
        values: series -> row -> number; every series has the same rows.
        title: what is to be seen.
        x: what the numbers are.
        errors: series -> row -> half-width of an interval.
    """
    rows = list(next(iter(values.values())))
    fig, ax = figure(height=1.2 + 0.27 * len(rows) * max(1.0, 0.62 * len(values)))
    thick = 0.8 / len(values)
    for k, (name, numbers) in enumerate(values.items()):
        at = np.arange(len(rows)) + (k - (len(values) - 1) / 2) * thick
        style: dict[str, Any] = {"color": SERIES[k], "height": thick * 0.88, "label": name}
        if errors:
            style |= {"xerr": [errors[name][r] for r in rows], "error_kw": {"ecolor": INK, "elinewidth": 1.0}}
        ax.barh(at, [numbers[r] for r in rows], **style)
    ax.set_yticks(np.arange(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.grid(visible=False, axis="y")
    label(ax, title, x, "")
    if len(values) > 1:
        ax.legend(loc="best")
    return fig, ax


@styled
def points(
    groups: Mapping[str, Array],
    title: str,
    x: str = "x₁",
    y: str = "x₂",
    *,
    span: float | None = None,
    size: float = 2.6,
    equal: bool = True,
    loc: str = "best",
) -> tuple[Figure, Axes]:
    """Clouds of points in the plane, each with a colour and a marker of its own.

    Args:
        groups: name -> (n, 2).
        title: what is to be seen.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        span: how far both axes reach to either side of zero.
        size: of the markers.
        equal: whether one unit is as long in both directions.
        loc: where the legend goes.
    """
    fig, ax = figure(height=3.9 if equal else 3.3)
    for k, (name, cloud) in enumerate(groups.items()):
        style: dict[str, Any] = {"color": SERIES[k % len(SERIES)], "markersize": size, "alpha": 0.6, "markeredgewidth": 0}
        ax.plot(cloud[:, 0], cloud[:, 1], MARKERS[k % len(MARKERS)], label=name, **style)
    if span:
        ax.set_xlim(-span, span)
        ax.set_ylim(-span, span)
    if equal:
        ax.set_aspect("equal")
    label(ax, title, x, y)
    if len(groups) > 1:
        ax.legend(loc=loc, markerscale=2)
    return fig, ax


@styled
def written(
    places: Array, marks: Sequence[str], groups: Sequence[int], title: str, x: str = "z₁", y: str = "z₂"
) -> tuple[Figure, Axes]:
    """A sign at each place in the plane, in the colour of its group: legible without colours.

    Args:
        places: (n, 2).
        marks: what to write at each.
        groups: a number for each, which chooses the colour.
        title: what is to be seen.
        x: label of the horizontal axis.
        y: label of the vertical axis.
    """
    fig, ax = figure(height=4.2)
    for (a, b), mark, group in zip(places, marks, groups, strict=True):
        ax.text(a, b, mark, color=SERIES[group % len(SERIES)], fontsize=7, ha="center", va="center")
    low, high = places.min(0), places.max(0)
    ax.set_xlim(low[0] - 0.2, high[0] + 0.2)
    ax.set_ylim(low[1] - 0.2, high[1] + 0.2)
    label(ax, title, x, y)
    return fig, ax


def _cells(ax: Axes, a: Array, top: float) -> None:
    """The numbers as cells in the levels of the house, which dark pages replace."""
    norm: Any = BoundaryNorm(np.linspace(0, top, len(LEVELS) + 1), len(LEVELS))
    ax.pcolormesh(a[::-1], cmap=ListedColormap(LEVELS), norm=norm, edgecolors=PAPER, linewidth=0.8)
    ax.set_aspect("equal")
    ax.grid(visible=False)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)


@styled
def value_map(
    values: Array,
    title: str,
    names: Mapping[tuple[int, int], str] | None = None,
    arrows: Mapping[tuple[int, int], str] | None = None,
) -> tuple[Figure, Axes]:
    """Numbers on a grid, darker where they are larger, with names on some cells and arrows on others.

    Args:
        values: (rows, columns), the first row at the top; all at least 0.
        title: what is to be seen.
        names: (row, column) -> what to write instead of the number.
        arrows: (row, column) -> "left", "down", "right" or "up".
    """
    names, arrows = names or {}, arrows or {}
    fig, ax = figure(height=0.5 + 4.2 * len(values) / len(values[0]))
    _cells(ax, values, max(float(values.max()), 1e-12))
    for (i, j), v in np.ndenumerate(values):
        cx, cy = j + 0.5, len(values) - i - 0.5
        written_in = names.get((i, j), f"{v:.2f}")
        ax.text(cx, cy + (0.2 if (i, j) in arrows else 0), written_in, ha="center", va="center", fontsize=8.2)
        if (i, j) in arrows:
            dx, dy = ARROWS[arrows[i, j]]
            tip: dict[str, Any] = {"arrowstyle": "->", "color": SERIES[1], "linewidth": 1.4}
            ax.annotate("", (cx + 0.2 * dx, cy - 0.18 + 0.2 * dy), (cx - 0.2 * dx, cy - 0.18 - 0.2 * dy), arrowprops=tip)
    ax.set_title(title)
    return fig, ax


@styled
def attention(maps: Mapping[str, Array], title: str, rows: Sequence[str], columns: Sequence[str]) -> tuple[Figure, Axes]:
    """Matrices of weights side by side: who (down) looks at what (across), darker for more.

    Args:
        maps: name -> (rows, columns), numbers from 0 to 1.
        title: what is to be seen.
        rows: a name for each row.
        columns: a name for each column.
    """
    fig, axes = figure(2.35 * max(2, len(maps)), 3.0, columns=len(maps), squeeze=False)
    for ax, (name, a) in zip(axes[0], maps.items(), strict=True):
        _cells(ax, a, 1.0)
        ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
        ax.set_yticks(len(rows) - np.arange(len(rows)) - 0.5, rows)
        ax.tick_params(length=0)
        ax.set_title(name, fontsize=9, loc="center", pad=4)
    fig.suptitle(title, x=0.02, ha="left", fontsize=10.5)
    return fig, axes[0, 0]
