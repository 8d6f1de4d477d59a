"""Networks with the numbers that flow through them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from chainrule.plot.style import INK, MUTED, PAPER, SERIES, Array, figure, styled


@styled
def network(weights: Sequence[Array], values: Sequence[Array], title: str, names: Sequence[str]) -> tuple[Figure, Axes]:
    """Units as circles with a number in each; edges are weights: wider is larger, blue is positive and orange negative.

    Args:
        weights: one (to, from) matrix per layer.
        values: one vector per column of units, the input's first.
        title: what is to be seen.
        names: one heading per column of units.
    """
    fig, ax = figure(4.6, 1.3 + 0.65 * max(map(len, values)))
    ax.set_axis_off()
    ax.set_aspect("equal")
    places = [[(2.2 * k, 1.0 * ((len(v) - 1) / 2 - j)) for j in range(len(v))] for k, v in enumerate(values)]
    largest = max(float(np.max(np.abs(w))) for w in weights)
    for w, left, right in zip(weights, places[:-1], places[1:], strict=True):
        for (j, i), strength in np.ndenumerate(w):
            colour = SERIES[0] if strength > 0 else SERIES[1]
            width = 0.4 + 3.2 * abs(strength) / largest
            ax.plot(*zip(left[i], right[j], strict=True), color=colour, linewidth=width, zorder=1, solid_capstyle="round")
    top = max(y for column in places for _, y in column) + 0.7
    for column, numbers, name in zip(places, values, names, strict=True):
        ax.text(column[0][0], top, name, ha="center", color=MUTED, fontsize=9.5)
        for (x, y), number in zip(column, numbers, strict=True):
            ax.add_patch(Circle((x, y), 0.4, facecolor=PAPER, edgecolor=INK, linewidth=1.1, zorder=2))
            ax.text(x, y, f"{number:.2g}".replace("-", "−"), ha="center", va="center", fontsize=8.2, zorder=3)
    ax.set_xlim(-0.6, 2.2 * (len(values) - 1) + 0.6)
    ax.set_ylim(-top + 0.2, top + 0.25)
    ax.set_title(title)
    return fig, ax


@styled
def heat(arrays: Mapping[str, Array], title: str, note: str = "") -> tuple[Figure, Axes]:
    """Small matrices, one below the other, each on a scale of its own: blue negative, white zero, red positive.

    Args:
        arrays: name -> (rows, columns).
        title: what is to be seen.
        note: a line below.
    """
    fig, axes = figure(4.6, 0.5 + 0.62 * len(arrays), rows=len(arrays), squeeze=False)
    for ax, (name, a) in zip(axes[:, 0], arrays.items(), strict=True):
        reach = float(np.max(np.abs(a))) or 1.0
        ax.imshow(a, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set_title(f"largest {reach:.2g}", fontsize=7.8, color=MUTED, loc="right", pad=2)
        ax.grid(False)
    fig.suptitle(title, x=0.02, ha="left", fontsize=10.5)
    fig.supxlabel(note, fontsize=8.6, color=MUTED)
    return fig, axes[0, 0]


@styled
def pictures(images: Sequence[Array], captions: Sequence[str], title: str, columns: int = 6) -> tuple[Figure, Axes]:
    """A sheet of small grey pictures, dark where the number is large.

    Args:
        images: (rows, columns) each.
        captions: one below each.
        title: what is to be seen.
        columns: pictures side by side.
    """
    rows = -(-len(images) // columns)
    fig, axes = figure(4.6, 0.5 + 0.98 * rows, rows=rows, columns=columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    for ax, image, caption in zip(axes.ravel(), images, captions, strict=False):
        ax.imshow(image, cmap="Greys", interpolation="nearest")
        ax.set_title(caption, fontsize=8.2, loc="center", pad=3)
    fig.suptitle(title, x=0.02, ha="left", fontsize=10.5)
    return fig, axes[0, 0]
