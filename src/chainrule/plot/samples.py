"""What generative models make: sheets of samples, rows of them through training, and maps of their codes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chainrule.plot.style import MARKERS, MUTED, SERIES, Array, figure, label, styled


def tiled(images: Array, columns: int, gap: int = 1) -> Array:
    """Images (n, h, w) side by side as one, `columns` in a row, with a gap of the lightest tone around each."""
    n, h, w = images.shape
    rows = -(-n // columns)
    out = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap), images.min())
    for k, image in enumerate(images):
        i, j = gap + (k // columns) * (h + gap), gap + (k % columns) * (w + gap)
        out[i : i + h, j : j + w] = image
    return out


@styled
def sheet(parts: Mapping[str, Array], title: str, columns: int) -> tuple[Figure, Axes]:
    """Sheets of small grey images below each other, dark where the number is large.

    Args:
        parts: name -> images (n, h, w), elements from 0 to 1.
        title: what is to be seen.
        columns: images in a row.
    """
    tiles = {name: tiled(np.clip(images, 0, 1), columns) for name, images in parts.items()}
    width = 4.6
    heights = [width * t.shape[0] / t.shape[1] for t in tiles.values()]
    fig, axes = figure(width, 0.45 + sum(heights) + 0.28 * len(tiles), len(tiles), 1, squeeze=False, height_ratios=heights)
    for ax, (name, tile) in zip(axes[:, 0], tiles.items(), strict=True):
        ax.imshow(tile, cmap="Greys", interpolation="nearest", vmin=0, vmax=1)
        ax.set_axis_off()
        ax.set_title(name, fontsize=8.8, color=MUTED, pad=3)
    fig.suptitle(title, x=0.02, ha="left", fontsize=10.5)
    return fig, axes[0, 0]


@styled
def map_of_codes(codes: Array, labels: Array | None, title: str, names: Sequence[str]) -> tuple[Figure, Axes]:
    """Codes in the plane, each class in its own colour and mark, named at its middle.

    Args:
        codes: (n, 2).
        labels: (n,) numbers of classes, or None.
        title: what is to be seen.
        names: of the axes.
    """
    fig, ax = figure()
    for k in range(1 if labels is None else int(labels.max()) + 1):
        points = codes if labels is None else codes[labels == k]
        if not len(points):
            continue
        colour = SERIES[k % len(SERIES)]
        ax.plot(*points.T, MARKERS[k // len(SERIES) % len(MARKERS)], color=colour, markersize=2.6, alpha=0.55, mew=0)
        if labels is not None:
            middle = np.median(points, 0)
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": colour, "lw": 0.8}
            ax.text(*middle, str(k), ha="center", va="center", fontsize=8.2, color=colour, bbox=box)
    label(ax, title, *names)
    return fig, ax
