"""What the experiments share: gradients, descent, printed formulas, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

import chainrule as cr
from chainrule import plot
from chainrule.study.model import Context, Figure, Formula, text

Array = NDArray[Any]
Objective = Callable[..., Any]


def value_and_gradient(f: Objective, argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """x -> (f(x), gradient of f at x), compiled once per kind of argument.  All gradients of the study come from here."""
    return cr.jit(cr.value_and_grad(f, argnums))


@dataclass(frozen=True)
class Path:
    """Where a method went: points (k, n), objective (k,) and gradient norm (k,) at them."""

    points: Array
    values: Array
    slopes: Array

    def distances(self, minimiser: Sequence[float]) -> Array:
        """How far from the minimiser each point is."""
        return np.linalg.norm(self.points - np.asarray(minimiser), axis=1)

    @property
    def steps(self) -> Array:
        """0, 1, ..."""
        return np.arange(len(self.values), dtype=float)


def descend(f: Objective, start: Sequence[float] | Array, step: float, count: int, context: Context | None = None) -> Path:
    """Gradient descent with a constant step: x <- x - step * gradient(x).

    Args:
        f: function of as many numbers as `start` has.
        start: where to begin.
        step: the learning rate.
        count: how many steps.
        context: whom to tell how far it is.
    """
    both = value_and_gradient(f, tuple(range(len(start))))
    x = np.array(start, dtype=float)
    points, values, slopes = np.empty((count + 1, len(x))), np.empty(count + 1), np.empty(count + 1)
    for k in (context or Context()).steps(count + 1):
        value, gradient = both(*x)
        points[k], values[k], slopes[k] = x, value, np.linalg.norm(gradient)
        x = x - step * np.array(gradient)
    return Path(points, values, slopes)


def hessian_at(f: Objective, *x: float) -> Array:
    """The matrix of second derivatives of a function of numbers."""
    n = len(x)
    blocks = cr.hessian(f, tuple(range(n)))(*map(float, x))
    return np.array([[blocks[i][j] for j in range(n)] for i in range(n)])


def drawn(made: tuple[Any, Axes | Any], name: str, caption: str, alt: str, wide: bool = False) -> Figure:
    """A figure for the page: `name` is unique in the study."""
    return Figure(plot.svg(made[0], name), caption, alt, wide)


def printed(f: Objective, *args: Any, note: str = "") -> Formula:
    """A function or a gradient as chainrule recorded it at these arguments, in LaTeX."""
    return Formula(cr.trace(f)(*args).to_latex(), note, printed=True)


def to_zero(path: Path, name: str, title: str, what: str) -> Figure:
    """Objective and gradient norm on the way to zero."""
    keep = plot.thinned(len(path.values))
    k = path.steps[keep]
    seen = {"objective f": (k, path.values[keep]), "gradient ‖∇f‖": (k, path.slopes[keep])}
    alt = f"Logarithmic plot of objective and gradient norm against the step; both fall from about {text(path.values[0], 2)} and "
    alt += f"{text(path.slopes[0], 2)} to {text(path.values[-1], 2)} and {text(path.slopes[-1], 2)}."
    scale: Any = "log" if len(k) < len(path.values) else "linear"
    made = plot.curves(seen, title, "step k", "value", xscale=scale)
    return drawn(made, name, what, alt)
