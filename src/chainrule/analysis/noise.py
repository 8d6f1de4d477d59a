r"""The noise of mini-batch gradients: how large it is, what batch drowns it, and what a constant step never gets below.

The gradient of a batch B of b examples is $g_B = \frac1b \sum_{i \in B} g_i$, with mean G, the gradient over all N examples.
With $\sigma^2 = \frac1N \sum_i \lVert g_i - G \rVert^2$ its variance $E \lVert g_B - G \rVert^2$ is $\sigma^2 / b$ for
examples drawn with replacement, and $\frac{\sigma^2}{b} \frac{N - b}{N - 1}$ without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from chainrule import errors
from chainrule.analysis.curvature import DENSE, Estimate, matrix, quadratic
from chainrule.batching import vmap
from chainrule.build.tree import flatten, unflatten
from chainrule.calculus import grad, hessian
from chainrule.compilation import jit
from chainrule.optim.flat import Flat, Vector

CHUNK = 2**24
"""So many numbers of gradients are held at once."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class GradientNoise:
    r"""The noise of mini-batch gradients at a point.

    Attributes:
        batch_size: b.
        replacement: are examples drawn with replacement?
        examples: N; infinite for a population.
        used: how many examples were looked at.
        gradient_square: estimate of $\lVert G \rVert^2$ without bias: noise is subtracted, so it may be negative.
        trace: $\sigma^2$, the trace of the covariance of the gradient of one example.
        variance: $E \lVert g_B - G \rVert^2$.
        scale: the gradient noise scale $\sigma^2 / \lVert G \rVert^2$: at this batch size noise and signal are alike.
        trace_interval, variance_interval, scale_interval: confidence intervals; points where all examples were looked at.
        confidence: their level.
    """

    batch_size: int
    replacement: bool
    examples: float
    used: int
    gradient_square: float
    trace: float
    variance: float
    scale: float
    trace_interval: Interval
    variance_interval: Interval
    scale_interval: Interval
    confidence: float

    def __str__(self) -> str:
        drawn = "with replacement" if self.replacement else "without replacement"
        seen = f"all {self.used} examples" if self.used == self.examples else f"{self.used} of {self.examples:g} examples"

        def line(name: str, value: float, interval: Interval) -> str:
            low, high = interval
            return f"  {name:<42} {value:.4g}" + ("" if low == high else f"  [{low:.4g}, {high:.4g}]")

        level = "" if self.used == self.examples else f", {100 * self.confidence:g}% intervals"
        return "\n".join([
            f"noise of the gradient of {self.batch_size} examples drawn {drawn} ({seen}{level})",
            line("variance of the gradient of a batch", self.variance, self.variance_interval),
            line("trace of the covariance for one example", self.trace, self.trace_interval),
            line("squared norm of the gradient", self.gradient_square, (0.0, 0.0)),
            line("gradient noise scale", self.scale, self.scale_interval),
        ])  # fmt: skip


@errors.boundary
def gradient_noise(
    loss: Callable[..., Any], params: Any, data: Any, batch_size: int = 1, *, replacement: bool = False,
    sample: int | None = None, population: bool = False, confidence: float = 0.95, seed: int = 0,
) -> GradientNoise:  # fmt: skip
    r"""The variance of mini-batch gradients, and the gradient noise scale.

    Args:
        loss: function of (params, *data), the mean over the examples that it is given.
        params: an array, or nested containers of arrays.
        data: an array or a tuple of arrays (or containers of them), with examples along the first axis.
        batch_size: b.
        replacement: are the examples of a batch drawn with replacement?
        sample: look at so many examples only, drawn without replacement; by default at all.
        population: take the data for a sample from an infinite population, whose noise is asked for.
        confidence: level of the intervals.
        seed: of the sample.

    Returns:
        A `GradientNoise`.  If all examples were looked at, its numbers are exact and its intervals are points.  Otherwise the
        estimates of variances are without bias, and the intervals are Student's on the logarithm, by the jackknife.

    Raises:
        ValueError: fewer than 3 examples, a batch larger than the data, or a loss that is not a mean over examples.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4)
        >>> noise = cr.analysis.gradient_noise(lambda w, x, y: np.mean((w - x) ** 2) / 2, 0.0, (x, y), batch_size=2)
        >>> round(noise.trace, 12), round(noise.variance, 12), round(noise.scale, 12)
        (1.25, 0.416666666667, 0.2)

    Source: Cochran 1977, theorem 2.2 (without replacement); McCandlish, Kaplan and Amodei 2018, equation 2.9 (the simple scale).
    """
    examples = Examples(loss, params, data)
    n, b = examples.n, _checked(examples.n, batch_size, replacement or population, confidence)
    m = n if sample is None else sample
    if not 3 <= m <= n:
        raise ValueError(f"gradient_noise needs 3 examples or more, and no more than the {n} there are; it is to look at {m}")
    rows = np.arange(n) if m == n else np.sort(np.random.default_rng(seed).choice(n, m, replace=False))
    size = np.inf if population else n
    moments = _Moments(examples, rows, size)
    trace = moments.square * (1.0 if population else (n - 1) / n)
    share = 1 / b if replacement or population else (n - b) / (b * (n - 1))
    low, high = moments.interval(confidence)
    ends = low / moments.square * trace if moments.square else trace, high / moments.square * trace if moments.square else trace
    scale, around = moments.scale(trace, confidence)
    return GradientNoise(
        b, replacement, size, m, moments.signal, trace, trace * share, scale, ends, (ends[0] * share, ends[1] * share), around,
        confidence,
    )  # fmt: skip


def _checked(n: int, batch_size: int, unlimited: bool, confidence: float) -> int:
    if not hasattr(batch_size, "__index__") or batch_size < 1:
        raise ValueError(f"batch_size is a whole number, 1 or more, not {batch_size!r}")
    if batch_size > n and not unlimited:
        raise ValueError(f"a batch of {batch_size} examples cannot be drawn without replacement from {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is a number between 0 and 1, not {confidence!r}")
    return int(batch_size)


class Examples:
    """Gradients example by example.

    Attributes:
        n: how many examples there are.
        p: the loss over all of them, of a vector.
    """

    def __init__(self, loss: Callable[..., Any], params: Any, data: Any) -> None:
        parts = data if isinstance(data, tuple) else (data,)
        leaves, self.spec = flatten(parts)
        self.leaves = [np.asarray(a) for a in leaves]
        sizes = {a.shape[0] if a.ndim else 0 for a in self.leaves}
        if len(sizes) != 1 or 0 in sizes:
            raise errors.ShapeError(f"data holds examples along the first axis of every array; their numbers are {sorted(sizes)}")
        self.n = sizes.pop()
        self.p = Flat(loss, params, parts)
        self.loss, self.parts = loss, parts

    def one(self, v: Any, *leaves: Any) -> Any:
        """The loss of one example."""
        return self.loss(self.p.tree(v), *unflatten(self.spec, [np.expand_dims(a, 0) for a in leaves]))

    def gradients(self, v: Vector, rows: Any) -> Iterator[Vector]:
        """Parts (m, d) of the gradients at v of the examples in these rows."""
        run = jit(vmap(grad(self.one), (None, *[0] * len(self.leaves))))
        size = max(1, min(len(rows), CHUNK // max(v.size, 1)))
        for a in range(0, len(rows), size):
            part = rows[a : a + size]
            yield np.asarray(run(v, *[leaf[part] for leaf in self.leaves]))

    def checked(self, mean: Vector, rows: Any) -> None:
        """Is the loss the mean over its examples?"""
        whole = grad(self.loss)(self.p.tree(self.p.x0), *unflatten(self.spec, [a[rows] for a in self.leaves]))
        whole = np.asarray(self.p.vector(whole))
        near = float(np.finfo(self.p.dtype).eps) ** 0.5 * (float(np.linalg.norm(whole)) + float(np.linalg.norm(mean)) + 1e-3)
        if np.all(np.isfinite(whole)) and not np.linalg.norm(whole - mean) <= near:
            raise ValueError(
                f"the loss is not the mean over its examples: the gradient over {len(rows)} of them has norm "
                f"{np.linalg.norm(whole):.4g}, the mean of their gradients {np.linalg.norm(mean):.4g}"
            )


class _Moments:
    """Mean and variance of the gradients of some rows, and what leaving one out makes of them."""

    def __init__(self, examples: Examples, rows: Any, size: float) -> None:
        v, self.m = examples.p.x0, len(rows)
        self.mean = np.sum([np.sum(g, 0, dtype=float) for g in examples.gradients(v, rows)], 0) / self.m
        examples.checked(self.mean, rows)
        parts = [(np.sum((g - self.mean) ** 2, 1), g @ self.mean, np.sum(g * g, 1)) for g in examples.gradients(v, rows)]
        self.far, self.along, self.norms = (np.concatenate(c) for c in zip(*parts, strict=True))
        self.left = 1 - self.m / size
        """The share of examples that were not looked at: none leaves no doubt."""
        self.square = float(np.sum(self.far)) / (self.m - 1)
        self.signal = self._signal(float(self.mean @ self.mean), self.square, self.m)

    def _signal(self, norm: Any, square: Any, m: int) -> Any:
        """|G|^2 without the noise in |mean|^2."""
        return norm - square / m * self.left

    def interval(self, confidence: float) -> Interval:
        """For the variance with divisor n - 1."""
        if self.square == 0:
            return 0.0, 0.0
        logs = np.log(np.maximum(self._squares_without(), 1e-300))
        half = self._half(logs, confidence)
        return self.square * float(np.exp(-half)), self.square * float(np.exp(half))

    def scale(self, trace: float, confidence: float) -> tuple[float, Interval]:
        """trace / |G|^2, by way of its inverse, which is a number also where the gradient may be zero."""
        value = trace / self.signal if self.signal > 0 else np.inf if trace > 0 else np.nan
        if trace == 0:
            return value, (value, value)
        mean = float(self.mean @ self.mean)
        norms = (self.m**2 * mean - 2 * self.m * self.along + self.norms) / (self.m - 1) ** 2
        squares = self._squares_without()
        half = self._half(self._signal(norms, squares, self.m - 1) / np.maximum(squares, 1e-300), confidence)
        inverse, half = self.signal / trace, half * self.square / trace
        low, high = inverse - half, inverse + half
        return float(value), (1 / high if high > 0 else np.inf, 1 / low if low > 0 else np.inf)

    def _squares_without(self) -> Vector:
        return np.maximum((self.m - 1) * self.square - self.far * self.m / (self.m - 1), 0.0) / (self.m - 2)

    def _half(self, values: Vector, confidence: float) -> float:
        """Half the width of an interval, from the values with one example left out each."""
        error = np.sqrt((self.m - 1) / self.m * np.sum((values - np.mean(values)) ** 2) * self.left)
        return float(stats.t.ppf(0.5 + 0.5 * confidence, self.m - 1) * error)


# --- the floor --------------------------------------------------------------------------------------------------------------


@errors.boundary
def noise_floor(
    loss: Callable[..., Any], params: Any, data: Any, learning_rate: float, batch_size: int = 1, *, replacement: bool = False
) -> Estimate:
    r"""What a constant learning rate leaves in the long run: $\lim_k E[f(x_k)] - f^*$ of stochastic gradient descent.

    With the Hessians $H_i$ and gradients $g_i$ of the examples at the minimiser, and $c = 1/b$ with replacement,
    $\frac{N - b}{b (N - 1)}$ without, the second moment M of the distance from the minimiser is where

    .. math:: H M + M H = \alpha \left( H M H + c \, \Big( \frac1N \sum_i (H_i M H_i + g_i g_i^{\mathsf T}) - H M H \Big) \right)

    and the floor is $\frac12 \operatorname{tr}(H M)$.  This is exact if the losses of the examples are quadratic.  Otherwise it
    is the floor to first order in $\alpha$, $\frac12 \sum_j \alpha C_{jj} / (2 - \alpha \lambda_j)$ in the eigenvectors of H,
    with the covariance C of the batch's gradient.

    Batches are drawn afresh for each step.  Passing through the data in epochs, as `cr.fit` does, leaves less.

    Args:
        loss: function of (params, *data), the mean over the examples that it is given.
        params: the minimiser; for quadratic losses any point.
        data: an array or a tuple of arrays (or containers of them), with examples along the first axis.
        learning_rate: $\alpha$.
        batch_size: b.
        replacement: are the examples of a batch drawn with replacement?

    Returns:
        An `Estimate`; its error is the rounding for quadratic losses, and infinite (unknown) for others.

    Raises:
        ValueError: the second moment grows without limit at this rate, or `params` is not a minimum.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> x = np.array([1.0, 2.0, 3.0, 4.0])
        >>> floor = cr.analysis.noise_floor(lambda w, x: np.mean((w - x) ** 2) / 2, 0.0, x, learning_rate=0.5)
        >>> round(floor.value, 9)  # 0.5 * 0.5 * 1.25 / (2 - 0.5)
        0.208333333

    Source: Murata 1998 for the first order; the second moment of least squares: Bach and Moulines 2013, section 3.
    """
    examples = Examples(loss, params, data)
    b, n = _checked(examples.n, batch_size, replacement, 0.5), examples.n
    if examples.p.x0.size > DENSE:
        raise ValueError(f"the floor needs the Hessian whole: {examples.p.x0.size} parameters are more than {DENSE}")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate is positive, not {learning_rate!r}")
    share = 1 / b if replacement else (n - b) / (b * max(n - 1, 1))
    exact = quadratic(examples.p)
    x, h = _minimiser(examples.p, exact)
    if exact and examples.p.x0.size <= 32:
        return _floor_exact(examples, x, h, learning_rate, share)
    return _floor_near(examples, x, h, learning_rate, share)


def _minimiser(p: Flat, exact: bool) -> tuple[Vector, Vector]:
    """The minimum and the Hessian there."""
    x = p.x0.astype(float)
    h = np.asarray(matrix(p, x))
    h = 0.5 * (h + h.T)
    values, vectors = np.linalg.eigh(h)
    if exact:
        on = values > 1e-12 * values[-1]
        for _ in range(2):
            x = x - vectors[:, on] @ ((vectors[:, on].T @ p.both(x)[1]) / values[on])
    slope = float(np.linalg.norm(p.both(x)[1]))
    if values[0] < -1e-8 * abs(values[-1]) or slope > 1e-4 * (1 + float(values[-1])) * (1 + float(np.linalg.norm(x))):
        raise ValueError(f"params is not a minimum: gradient norm {slope:.3g}, least curvature {values[0]:.3g}; minimise first")
    return x, h


def _residual_covariance(examples: Examples, x: Vector) -> Vector:
    """The mean of g g' over the examples, whose mean is zero at a minimum."""
    parts = list(examples.gradients(x, np.arange(examples.n)))
    mean = np.sum([np.sum(g, 0) for g in parts], 0) / examples.n
    return np.sum([(g - mean).T @ (g - mean) for g in parts], 0) / examples.n


def _floor_exact(examples: Examples, x: Vector, h: Vector, rate: float, share: float) -> Estimate:
    d, eye = x.size, np.eye(x.size)
    run = jit(vmap(hessian(examples.one), (None, *[0] * len(examples.leaves))))
    fourth = np.zeros((d * d, d * d))
    size = max(1, CHUNK // d**4)
    for a in range(0, examples.n, size):
        h_i = np.asarray(run(x, *[leaf[a : a + size] for leaf in examples.leaves]))
        fourth += np.einsum("nij,nkl->ikjl", h_i, h_i, optimize=True).reshape(d * d, d * d)
    fourth /= examples.n
    once = np.kron(eye, h) + np.kron(h, eye)
    change = once - rate * ((1 - share) * np.kron(h, h) + share * fourth)
    values, vectors = np.linalg.eigh(0.5 * (change + change.T))
    noise = rate * share * _residual_covariance(examples, x).ravel()
    # a direction without curvature has no noise either: the gradients of all examples vanish along it
    flat = np.abs(values) <= 1e-12 * np.max(np.abs(values), initial=0.0)
    if np.any(values[~flat] < 0):
        raise ValueError(f"with a learning rate of {rate:g} the mean square distance grows without limit")
    part = vectors[:, ~flat]
    moment = (part @ ((part.T @ noise) / values[~flat])).reshape(d, d)
    value = 0.5 * float(np.sum(h * moment))
    condition = float(np.max(values) / np.min(values[~flat])) if np.any(~flat) else 1.0
    return Estimate(
        value, 8 * d * d * 2.3e-16 * condition * abs(value), "everywhere", "second moment of the distance, in closed form"
    )


def _floor_near(examples: Examples, x: Vector, h: Vector, rate: float, share: float) -> Estimate:
    values, vectors = np.linalg.eigh(h)
    noise = share * np.einsum("ij,ik,kj->j", vectors, _residual_covariance(examples, x), vectors)
    if rate * values[-1] >= 2:
        raise ValueError(f"a learning rate of {rate:g} is not below 2/L = {2 / values[-1]:.4g}: the distance grows without limit")
    value = 0.5 * float(np.sum(rate * noise / (2 - rate * values)))
    return Estimate(value, float("inf"), "at x", "to first order in the learning rate")


__all__: Sequence[str] = ["GradientNoise", "gradient_noise", "noise_floor"]
