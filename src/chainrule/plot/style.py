"""One house style: vector, the same bytes every time, colours that colour-blind readers tell apart, light and dark."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import NDArray

Array = NDArray[Any]
P = ParamSpec("P")
T = TypeVar("T")

# Colours by their part in a picture.  In an SVG each becomes a CSS variable with this value as its default, so that a page can
# set other ones for dark paper.  The series are darkened from Okabe and Ito's palette to have contrast 3 on white.
COLOURS = {
    "ink": "#1c2330",
    "muted": "#5b6474",
    "rule": "#d3d8e0",
    "paper": "#fefefd",
    "series-0": "#0069ad",
    "series-1": "#cc5200",
    "series-2": "#008563",
    "series-3": "#a8488a",
    "series-4": "#8a6d00",
    "level-0": "#f4f7fb",
    "level-1": "#e7eef7",
    "level-2": "#d9e5f2",
    "level-3": "#cadbed",
    "level-4": "#bbd1e8",
    "level-5": "#abc6e2",
    "level-6": "#9abbdb",
    "level-7": "#88aed4",
    "side-0": "#fbe3d3",
    "side-1": "#fdf1e8",
    "side-2": "#e9f1f8",
    "side-3": "#d3e4f3",
}
INK, MUTED, RULE, PAPER = (COLOURS[k] for k in ("ink", "muted", "rule", "paper"))
SERIES = [v for k, v in COLOURS.items() if k.startswith("series")]
LEVELS = [v for k, v in COLOURS.items() if k.startswith("level")]
SIDES = [v for k, v in COLOURS.items() if k.startswith("side")]
DASHES: list[Any] = ["-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (8, 2, 2, 2)), (0, (4, 1, 1, 1, 1, 1))]
MARKERS = "osD^v"

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "chainrule",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "axes.xmargin": 0.02,
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.8,
    "legend.labelcolor": INK,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.8,
    "ytick.labelsize": 8.8,
    "path.simplify_threshold": 0.3,
    "image.cmap": "RdBu_r",
}


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """A drawing function that draws in the house style."""

    @wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawing


@styled
def figure(width: float = 4.6, height: float = 3.3, rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Figure, Any]:
    """An empty figure, without a window and without a place in any registry, and its axes."""
    fig = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(fig)
    return fig, fig.subplots(rows, columns, **kwargs)


@styled
def svg(fig: Figure, name: str) -> str:
    """The picture as an SVG element for a page: `name` makes its ids unique, and its colours follow the page."""
    out = io.StringIO()
    fig.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg xmlns="http://www.w3.org/2000/svg" viewBox="\1">', text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r"<!--.*?-->\n?|<defs>\s*<style.*?</defs>\n?", "", text, flags=re.DOTALL)
    text = re.sub(r' d="([^"]+)"', lambda m: f' d="{_short(m[1])}"', text)
    return _themed(_own_ids(text.strip(), name))


def _short(path: str) -> str:
    """A path with two decimals, which no eye tells from six."""
    return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), " ".join(path.split()))


def _own_ids(text: str, name: str) -> str:
    """Only the ids that something points to, with names that no other picture has."""
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    new = {old: f"{name}-{k}" for k, old in enumerate(used)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{new[m[1]]}"' if m[1] in new else "", text)
    return re.sub(r'(url\(#|href="#)([^)"]+)', lambda m: m[1] + new[m[2]], text)


def _themed(text: str) -> str:
    """Colours of the house as CSS variables; text in the page's font."""
    for part, colour in COLOURS.items():
        text = re.sub(rf"(fill|stroke|stop-color): {colour}\b", rf"\1: var(--{part}, {colour})", text)
    return re.sub(r" font-family: [^;\"]*;", "", re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text))


def variables() -> str:
    """The colours as CSS declarations, for light paper."""
    return "".join(f"--{part}: {colour}; " for part, colour in COLOURS.items())


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(x: float, _: object = None) -> str:
    """10⁻³ in plain characters, 1 and 10 as they are."""
    k = round(np.log10(x))
    return f"{10**k}" if k in (0, 1) else "10" + str(k).translate(_SUPERSCRIPT)


def _between(x: float, low: float, high: float) -> str:
    """A mark between powers of ten, on axes that are too short for enough of them."""
    return f"{x:g}" if high <= 50 * low and 1e-3 <= x < 1e4 else ""


def logarithmic(axis: Any, ticks: int = 6) -> None:
    """Mark a logarithmic axis at powers of ten."""
    axis.set_major_locator(LogLocator(10, numticks=ticks))
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_locator(LogLocator(10, subs=(2.0, 5.0), numticks=6))
    axis.set_minor_formatter(FuncFormatter(lambda x, _: _between(x, *axis.get_view_interval())))


def label(ax: Axes, title: str, x: str, y: str) -> None:
    """Title and axes of a plot; the title says what is to be seen."""
    ax.set_title(title)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
