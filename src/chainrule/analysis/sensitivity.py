"""What a result owes to its inputs: gradients as explanations, and where they mislead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, random
from chainrule.batching import vmap
from chainrule.calculus import grad, jacobian

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[[Any], Any]


class Attribution(NamedTuple):
    """What each input contributes, and what is missing from the sum.

    Attributes:
        values: one number per input, of the shape of x.
        difference: f(x) - f(baseline), which the values should add up to.
        gap: sum of the values - difference; 0 where the attribution is complete.
        error: standard error of the gap where it was sampled, else 0.
    """

    values: Array
    difference: float
    gap: float
    error: float


def _input(x: Any, name: str = "x") -> Array:
    a = np.asarray(x)
    if a.dtype.kind not in "biuf":
        raise errors.DtypeError.of(x, name)
    if a.dtype.kind != "f":
        a = a.astype(np.float64)
    if not np.all(np.isfinite(a)):
        raise ValueError(f"{name} has elements that are NaN or infinite")
    return a


def _like(baseline: Any, x: Array) -> Array:
    b = np.zeros_like(x) if baseline is None else _input(baseline, "baseline")
    try:
        return np.broadcast_to(b, x.shape)
    except ValueError:
        raise errors.ShapeError(f"the baseline has shape {b.shape} and x {x.shape}") from None


def _count(n: Any, name: str, least: int = 1) -> int:
    if not hasattr(n, "__index__") or n.__index__() < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {n!r}")
    return n.__index__()


@errors.boundary
def saliency(f: Function, x: Any) -> Array:
    r"""$|\partial f / \partial x_i|$: how much the result moves with each input, to first order.

    Args:
        f: function of one input array to one number (a class's score, say).
        x: (...).

    Returns:
        Array of the shape of x.

    Source: Simonyan, Vedaldi and Zisserman 2014, section 3.
    """
    return np.abs(grad(f)(_input(x)))


@errors.boundary
def input_x_gradient(f: Function, x: Any) -> Array:
    r"""$x_i\,\partial f / \partial x_i$: the share of each input in f, if f were linear through the origin.

    Args:
        f: function of one input array to one number.
        x: (...).

    Source: Shrikumar, Greenside and Kundaje 2017, section 2.
    """
    x = _input(x)
    return x * grad(f)(x)


@errors.boundary
def integrated_gradients(f: Function, x: Any, baseline: Any = None, steps: int = 64, *, full_output: bool = False) -> Any:
    r"""$(x_i - b_i) \int_0^1 \frac{\partial f}{\partial x_i}(b + t (x - b))\,dt$.

    The values are complete: they add up to f(x) - f(b), up to the error of the rule.

    Args:
        f: function of one input array to one number.
        x: (...).
        baseline: b, of a shape that broadcasts to that of x; zeros by default.
        steps: nodes of Gauss and Legendre's rule on the line from b to x.
        full_output: return an `Attribution`, which reports the gap in completeness.

    Returns:
        Array of the shape of x.

    Numerics:
        Exact where f is a polynomial of degree up to 2 steps along the path; where its slope jumps (rectifiers) the error falls
        like 1 / steps, and the gap shows it.

    Example:
        >>> import numpy as np
        >>> f = lambda x: x[0] * x[1] + 3 * x[1]
        >>> integrated_gradients(f, np.array([2.0, 1.0])).round(12)
        array([1., 4.])

    Source: Sundararajan, Taly and Yan 2017, equation 1.
    """
    x = _input(x)
    b = _like(baseline, x)
    t, w = np.polynomial.legendre.leggauss(_count(steps, "steps"))
    path = b + np.reshape((t + 1) / 2, (-1, *[1] * x.ndim)) * (x - b)
    values = (x - b) * np.tensordot(w / 2, vmap(grad(f))(path), 1)
    if not full_output:
        return values
    difference = float(f(x)) - float(f(b))
    return Attribution(values, difference, float(values.sum()) - difference, 0.0)


@errors.boundary
def smoothgrad(f: Function, x: Any, *, noise: float, samples: int = 64, key: Any) -> Array:
    r"""$E\,\nabla f(x + \sigma \epsilon)$ with standard normal $\epsilon$: the gradient of f smoothed.

    Args:
        f: function of one input array to one number.
        x: (...).
        noise: $\sigma$, in the units of x.
        samples: draws of the noise.
        key: random key.

    Source: Smilkov et al. 2017.
    """
    x = _input(x)
    if not noise >= 0:
        raise ValueError(f"noise is a deviation, not negative, not {noise}")
    draws = x + noise * random.normal(key, (_count(samples, "samples"), *x.shape), x.dtype)
    return np.mean(vmap(grad(f))(draws), 0)


@errors.boundary
def expected_gradients(f: Function, x: Any, baselines: Any, *, samples: int = 256, key: Any, full_output: bool = False) -> Any:
    r"""$E\,(x_i - b_i)\,\partial_i f(b + t (x - b))$ over baselines b from data and t uniform in (0, 1).

    Integrated gradients averaged over baselines: complete in the mean, the sum being f(x) less the mean of f over the baselines.

    Args:
        f: function of one input array to one number.
        x: (...).
        baselines: (n, ...), examples to compare with.
        samples: draws of (b, t); each baseline is drawn equally often, and t from as many equal parts of (0, 1).
        key: random key.
        full_output: return an `Attribution`.

    Source: Erion et al. 2021, equation 4.
    """
    x, data = _input(x), _input(baselines, "baselines")
    if data.shape[1:] != x.shape or len(data) == 0:
        raise errors.ShapeError(f"baselines has shape (n, {', '.join(map(str, x.shape))}), not {data.shape}")
    n = _count(samples, "samples", 2)
    choose, shift, order = random.split(key, 3)
    rows = random.permutation(choose, np.arange(n) % len(data))
    t = (random.permutation(order, n) + random.uniform(shift, n)) / n
    b = data[rows]
    away = x - b
    each = away * vmap(grad(f))(b + np.reshape(t, (-1, *[1] * x.ndim)) * away)
    values = np.mean(each, 0)
    if not full_output:
        return values
    sums = np.reshape(each, (n, -1)).sum(1)
    difference = float(f(x)) - float(np.mean(vmap(f)(data)))
    return Attribution(values, difference, float(values.sum()) - difference, float(sums.std(ddof=1) / np.sqrt(n)))


@errors.boundary
def jacobian_norm(f: Function, x: Any, norm: str = "frobenius") -> float:
    r"""Size of the derivative of a map: how much it can stretch a small change of x.

    Args:
        f: function of one input array to one array.
        x: (...).
        norm: "frobenius", the root of the sum of squares, or "spectral", the greatest stretch of any direction (the local
            Lipschitz constant in Euclidean norms).

    Source: Novak et al. 2018, section 4.
    """
    if norm not in ("frobenius", "spectral"):
        raise ValueError(f'norm is "frobenius" or "spectral", not {norm!r}')
    x = _input(x)
    j = np.reshape(jacobian(f)(x), (-1, x.size))
    return float(np.linalg.norm(j, 2 if norm == "spectral" else None))


# --- one feature at a time ---------------------------------------------------------------------------------------------------


class PartialDependence(NamedTuple):
    """f as a function of one feature.

    Attributes:
        grid: values of the feature, (g,).
        mean: mean of f over the data with the feature set to each value, (g,): partial dependence.
        slope: derivative of `mean` by the feature, (g,).
        curves: f of each row with the feature set to each value, (n, g): individual conditional expectation.
        slopes: derivatives of the curves, (n, g).
    """

    grid: Array
    mean: Array
    slope: Array
    curves: Array
    slopes: Array


@errors.boundary
def partial_dependence(f: Function, data: Any, feature: int, grid: Any = 50) -> PartialDependence:
    r"""$\frac1n \sum_k f(x_k \text{ with feature } j = v)$ for values v, each row's curve, and their derivatives.

    Where the curves of rows are not parallel, the feature acts together with others, and the mean alone hides it.

    Args:
        f: function of one row (p,) to one number.
        data: (n, p).
        feature: j, the column.
        grid: values of the feature, or how many between the least and the greatest in the data.

    Source: Friedman 2001, section 8.2; Goldstein et al. 2015 for the curves and their derivatives.
    """
    rows = _input(data, "data")
    if rows.ndim != 2 or len(rows) == 0:
        raise errors.ShapeError(f"data has shape (n, p), not {rows.shape}")
    if not -rows.shape[1] <= feature < rows.shape[1]:
        raise errors.AxisError.of(feature, rows.shape[1])
    column = rows[:, feature]
    values = np.linspace(column.min(), column.max(), _count(grid, "grid", 2)) if np.ndim(grid) == 0 else _input(grid, "grid")
    here = np.arange(rows.shape[1]) == feature % rows.shape[1]

    def at(v: Any, row: Any) -> Any:
        return f(np.where(here, v, row))

    def along(g: Callable[[Any, Any], Any]) -> Array:
        return vmap(vmap(g, in_axes=(0, None)), in_axes=(None, 0))(values, rows)

    curves, slopes = along(at), along(grad(at))
    return PartialDependence(values, curves.mean(0), slopes.mean(0), curves, slopes)


# --- where the gradient misleads ------------------------------------------------------------------------------------------------


class Saturation(NamedTuple):
    """How far the gradient at x explains the way from a baseline.

    Attributes:
        predicted: the change of f from the baseline to x if f were linear with the gradient at x.
        actual: f(x) - f(baseline).
        share: predicted / actual; 1 where f is linear, near 0 where f is saturated at x (nan where f does not change).
    """

    predicted: float
    actual: float
    share: float


@errors.boundary
def saturation(f: Function, x: Any, baseline: Any = None) -> Saturation:
    """How far the gradient at x explains f: where f has levelled off, a feature can matter and have no gradient.

    Args:
        f: function of one input array to one number.
        x: (...).
        baseline: what x is compared with; zeros by default.

    Example:
        >>> import numpy as np
        >>> f = lambda x: np.minimum(np.sum(x), 1.0)  # full at 1
        >>> x = np.array([2.0, 1.0])
        >>> saliency(f, x), saturation(f, x).share
        (array([0., 0.]), 0.0)
        >>> bool(abs(integrated_gradients(f, x).sum() - 1) < 0.02)
        True

    Source: Shrikumar, Greenside and Kundaje 2017, section 2.2.
    """
    x = _input(x)
    b = _like(baseline, x)
    predicted = float(np.sum((x - b) * grad(f)(x)))
    actual = float(f(x)) - float(f(b))
    return Saturation(predicted, actual, predicted / actual if actual else float("nan"))


__all__: Sequence[str] = [
    "Attribution", "PartialDependence", "Saturation", "expected_gradients", "input_x_gradient", "integrated_gradients",
    "jacobian_norm", "partial_dependence", "saliency", "saturation", "smoothgrad",
]  # fmt: skip
