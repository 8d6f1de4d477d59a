"""Where to put the nodes: boxes are halved until the estimated error is small enough.

Decided on values only.  What comes out is a list of nodes and weights, constants for every derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from chainrule import errors
from chainrule.integrals.rules import Array, Rule, gauss_kronrod

Values = Callable[[Array], Array]
"""Integrand on points of the unit cube, (n, d) to (n, m)."""
_START = {1: 4, 2: 2, 3: 1}
"""Parts per axis to begin with."""


class IntegrationError(errors.ChainruleError, ArithmeticError):
    """The integral was not found to the accuracy asked for: it diverges, or needs help."""

    code = "CR404"
    title = "INTEGRAL NOT FOUND"
    doing = "While integrating"


class Mesh(NamedTuple):
    """Nodes in the unit cube, (n, d), weights, (n,), and the estimated error of each component of the integral, (m,)."""

    nodes: Array
    weights: Array
    error: Array


class Boxes(NamedTuple):
    """Boxes in the unit cube with what is known about the integral over each."""

    low: Array
    width: Array
    integral: Array
    size: Array
    error: Array
    axis: Array

    def chosen(self, which: Array) -> Boxes:
        """Some of them."""
        return Boxes(*[x[which] for x in self])

    def and_also(self, others: Boxes) -> Boxes:
        """These and others."""
        return Boxes(*[np.concatenate(xs) for xs in zip(self, others, strict=True)])


_CANCELLED = {1: 1e-3, 2: 1e-3, 3: 1.0}
"""Where parts of the integral cancel, the relative error allowed is this times that of the integral of |f|."""


def mesh(values: Values, d: int, rtol: float, atol: float, most: int) -> Mesh:
    """Nodes and weights for an integral over the unit cube.

    Args:
        values: the integrand on points.
        d: number of dimensions.
        rtol, atol: the error may be atol, or rtol times the greatest component of the integral.
        most: greatest number of points.
    """
    rule = gauss_kronrod(d)
    boxes = _first(values, rule, d)
    spent = len(boxes.low) * len(rule.nodes)
    while True:
        worst = boxes.error.max(1)
        cancelled = max(1e-13, _CANCELLED[d] * rtol) * float(boxes.size.sum(0).max())
        allowed = max(atol, rtol * float(np.abs(boxes.integral.sum(0)).max()), cancelled)
        if settled := worst.sum() <= allowed:
            halved = np.arange(len(worst))
        else:
            order = np.argsort(-worst)
            halved = order[: 1 + int(np.argmax(worst.sum() - np.cumsum(worst[order]) <= allowed / 2))]
        spent += 2 * len(halved) * len(rule.nodes)
        if spent > most or boxes.width[halved].min() < 1e-280:
            raise _not_found(boxes, worst, allowed, spent)
        halves, change = _halves(values, rule, boxes.chosen(halved))
        if settled and change.max(1).sum() <= allowed:
            break
        boxes = halves if settled else boxes.chosen(np.setdiff1d(np.arange(len(worst)), halved)).and_also(halves)
    nodes = boxes.low[:, None, :] + rule.nodes * boxes.width[:, None, :]
    weights = rule.weights * boxes.width.prod(1)[:, None]
    rounding = 4 * np.finfo(np.float64).eps * boxes.size.sum(0)
    return Mesh(nodes.reshape(-1, d), weights.ravel(), np.maximum(boxes.error.sum(0), change.sum(0)) + rounding)


def _first(values: Values, rule: Rule, d: int) -> Boxes:
    n = _START[d]
    low = np.stack(np.meshgrid(*[np.arange(n) / n] * d, indexing="ij"), -1).reshape(-1, d)
    return _measured(values, rule, low, np.full_like(low, 1 / n))


def _halves(values: Values, rule: Rule, old: Boxes) -> tuple[Boxes, Array]:
    """Boxes cut in two where they are roughest, and how much that has changed the integral over each.

    A change that was not expected is an error too: two rules that agree by chance do not agree again on other nodes.
    """
    width = old.width.copy()
    rows = np.arange(len(width))
    width[rows, old.axis] /= 2
    upper = old.low.copy()
    upper[rows, old.axis] += width[rows, old.axis]
    new = _measured(values, rule, np.concatenate([old.low, upper]), np.concatenate([width, width]))
    change = np.abs(new.integral.reshape(2, len(width), -1).sum(0) - old.integral)
    surprise = np.where(change > old.error, change / 2, 0)
    return new._replace(error=np.maximum(new.error, np.concatenate([surprise, surprise]))), change


def _measured(values: Values, rule: Rule, low: Array, width: Array) -> Boxes:
    n, d = low.shape
    y = values((low[:, None, :] + rule.nodes * width[:, None, :]).reshape(-1, d)).reshape(n, len(rule.nodes), -1)
    volume = width.prod(1)[:, None]
    integral = volume * np.einsum("k,nkm->nm", rule.weights, y)
    size = volume * np.einsum("k,nkm->nm", rule.weights, np.abs(y))
    spread = volume * np.einsum("k,nkm->nm", rule.weights, np.abs(y - (integral / volume)[:, None]))
    errors = [_scaled(volume * np.abs(np.einsum("k,nkm->nm", rule.weights - c, y)), spread) for c in rule.coarse]
    axis = np.argmax([e.max(1) for e in errors], 0)
    return Boxes(low, width, integral, size, np.sum(errors, 0), axis)


def _scaled(difference: Array, spread: Array) -> Array:
    """The difference of the two rules; where it is small they converge, and it is far above the error (QUADPACK's estimate)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = spread * (200 * difference / spread) ** 1.5
    return np.where(spread > 0, np.minimum(scaled, difference), difference)


def _not_found(boxes: Boxes, worst: Array, allowed: float, spent: int) -> IntegrationError:
    at = int(np.argmax(worst))
    place = ", ".join(f"{100 * c:.3g} %" for c in boxes.low[at] + boxes.width[at] / 2)
    return IntegrationError(
        f"After {spent} points the error is about {worst.sum():.2g}, and {allowed:.2g} was asked for.\n"
        f"It is greatest near {place} of the way from a to b.",
        "Does the integral converge?  Where f jumps or is infinite inside, split the range there with points=[...];\n"
        "else raise rtol or max_evaluations.",
    )


__all__ = ["IntegrationError", "Mesh", "mesh"]
