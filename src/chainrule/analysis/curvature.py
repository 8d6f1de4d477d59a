r"""How curved a function is: smoothness L, strong convexity mu, condition number, step sizes, the spectrum of the Hessian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import errors
from chainrule.analysis import intervals
from chainrule.build.tree import flatten
from chainrule.calculus import hessian, hvp
from chainrule.compilation import jit
from chainrule.ir.graph import Eqn, Graph, Var
from chainrule.optim.flat import Flat, Function, Vector
from chainrule.prims import TABLE

DENSE = 128
"""Up to so many parameters the whole Hessian is formed."""
KRYLOV = 150
"""Greatest number of Lanczos steps."""

Matrix = NDArray[Any]


@dataclass(frozen=True)
class Estimate:
    """A number and how far off it may be.

    Attributes:
        value: the number.
        error: the true number lies within ``value - error`` and ``value + error``.
        scope: what it is true of: "everywhere", "at x" or "in the box".
        how: how it was found.
    """

    value: float
    error: float
    scope: str
    how: str

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.error:.1e} ({self.scope}; {self.how})"


# --- the extreme eigenvalues at a point ---------------------------------------------------------------------------------


def at_point(f: Function, x: Any, args: Sequence[Any]) -> Flat:
    """f as a function of vectors, if it has a value at x."""
    p = Flat(f, x, args)
    with np.errstate(all="ignore"):
        value, _ = p.both(p.x0)
    if not np.isfinite(value):
        raise ValueError(f"f is {value} at x, so it has no curvature there")
    return p


def extremes(p: Flat, x: Vector) -> tuple[Estimate, Estimate]:
    """The least and the greatest eigenvalue of the Hessian at a vector x."""
    scope = "everywhere" if quadratic(p) else "at x"
    if x.size <= DENSE:
        values, error = _dense(p, x)
        how = f"all {x.size} eigenvalues of the Hessian"
        return Estimate(float(values[0]), error, scope, how), Estimate(float(values[-1]), error, scope, how)
    run = lanczos(lambda d: p.product(x, d), x.size, start(x.size, 0), KRYLOV, accuracy=1e-7)
    how = f"{len(run.nodes)} Lanczos steps; the error is the norm of the residual"
    low, high = (Estimate(float(run.nodes[k]), float(run.residuals[k]), scope, how) for k in (0, -1))
    return low, high


def _dense(p: Flat, x: Vector) -> tuple[Vector, float]:
    """Eigenvalues, and a bound on their error: rounding, and how far the computed matrix is from symmetric."""
    h = matrix(p, x)
    if not np.all(np.isfinite(h)):
        return np.full(x.size, np.nan), float("nan")
    symmetric = 0.5 * (h + h.T)
    skew = float(np.linalg.norm(h - symmetric, 2))
    values: Vector = np.linalg.eigvalsh(symmetric)
    return values, skew + 4 * x.size * float(np.finfo(x.dtype).eps) * float(np.max(np.abs(values), initial=0.0))


def matrix(p: Flat, x: Vector) -> Matrix:
    """The Hessian at a vector, column by column."""
    return np.stack([p.product(x, e) for e in np.eye(x.size, dtype=x.dtype)], axis=1)


@dataclass(frozen=True)
class Krylov:
    """What Lanczos found.

    Attributes:
        nodes: Ritz values, ascending.
        weights: squared first components of their vectors; with the nodes a Gauss quadrature of the spectral density.
        residuals: norms of H y - theta y: an eigenvalue lies within this distance of each Ritz value.
    """

    nodes: Vector
    weights: Vector
    residuals: Vector


def start(n: int, seed: int) -> Vector:
    """A direction that favours no other."""
    v = np.random.default_rng(seed).standard_normal(n)
    return v / np.linalg.norm(v)


def lanczos(product: Function, n: int, v: Vector, steps: int, accuracy: float = 0.0) -> Krylov:
    r"""Ritz values of a symmetric matrix known by its products, with full orthogonalisation.

    Args:
        product: v -> H v.
        n: size of H.
        v: (n,) start of norm 1.
        steps: greatest number of products.
        accuracy: stop when both extreme Ritz values have residuals below this share of the largest.

    Source: Golub and Van Loan 2013, section 10.1; residuals, theorem 10.1.2.
    """
    basis, diagonal, beside = [v], list[float](), list[float]()
    for _ in range(min(steps, n)):
        w = product(basis[-1])
        diagonal.append(float(basis[-1] @ w))
        for _ in range(2):  # twice is enough (Kahan)
            known = np.asarray(basis)
            w = w - known.T @ (known @ w)
        size = float(np.linalg.norm(w))
        beside.append(size)
        scale = max(map(abs, diagonal)) + max(beside)
        if not size > 1e-12 * scale or (len(basis) % 10 == 0 and _settled(diagonal, beside, accuracy)):
            break
        basis.append(w / size)
    return _ritz(diagonal, beside)


def _ritz(diagonal: Sequence[float], beside: Sequence[float]) -> Krylov:
    t = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    if not np.all(np.isfinite(t)):
        nothing = np.full(1, np.nan)
        return Krylov(nothing, nothing, nothing)
    nodes, vectors = np.linalg.eigh(t)
    rounding = len(diagonal) * np.finfo(float).eps * np.max(np.abs(nodes))
    return Krylov(nodes, vectors[0] ** 2, np.abs(beside[-1] * vectors[-1]) + rounding)


def _settled(diagonal: Sequence[float], beside: Sequence[float], accuracy: float) -> bool:
    run = _ritz(diagonal, beside)
    return bool(max(run.residuals[0], run.residuals[-1]) <= accuracy * np.max(np.abs(run.nodes)))


# --- what the graph says ---------------------------------------------------------------------------------------------------


def abstract(f: Function, *args: Any) -> Graph | None:
    """The graph of f for all arguments like these; None where it asks for values, so that one graph does not speak for all."""
    try:
        return jit(f).trace(*args)
    except (errors.ValueNeededError, errors.ConversionError):
        return None


def depends(g: Graph, on: Sequence[Var]) -> set[Var]:
    """The variables that depend on some of the inputs."""
    reached = set(on)
    for e in g.eqns:
        if any(a in reached for a in e.ins if isinstance(a, Var)):
            reached.update(e.outs)
    return reached


@lru_cache(maxsize=256)
def quadratic(p: Flat) -> bool:
    """Is the Hessian provably the same everywhere: does its product with a vector not read x, and is there no kink?"""
    if p.jac is not None or kinks(p):
        return False
    g = abstract(hvp(p), p.x0, p.x0)
    return g is not None and not depends(g, g.ins[:1]) & set(g.outs)


@lru_cache(maxsize=256)
def kinks(p: Flat) -> tuple[str, ...]:
    """The rows with a kink that x runs into: there the gradient may jump."""
    g = abstract(p, p.x0)
    if g is None:
        return ("its own branches",)
    reached = depends(g, g.ins)
    return tuple(dict.fromkeys(e.prim for e in g.eqns if e.outs[0] in reached and _kinked(e)))


def _kinked(e: Eqn) -> bool:
    """May the derivative of this equation jump at a finite point of its domain, or differ from that of the value?"""
    if e.prim == "cast":
        return e.out.type.dtype.kind != "f"
    row = TABLE[e.prim]
    return (bool(row.kink) and e.prim not in _AT_INFINITY) or row.kind == "flat" or e.prim in _BRANCHES


_AT_INFINITY = frozenset({"logaddexp", "logaddexp2", "pow"})
"""Rows that note a choice of derivative at infinite arguments, or on the edge of the domain."""
_BRANCHES = frozenset({
    "select", "cond", "while", "scan", "reduce_max", "reduce_min", "cummax", "cummin", "custom_jvp", "custom_vjp", "pulled"
})  # fmt: skip


# --- L and mu -----------------------------------------------------------------------------------------------------------------


@errors.boundary
def smoothness(f: Function, x: Any, *, args: Sequence[Any] = (), box: Any = None) -> Estimate:
    r"""The Lipschitz constant L of the gradient: $\lVert \nabla f(x) - \nabla f(y) \rVert \le L \lVert x - y \rVert$.

    * A quadratic function: the largest eigenvalue (in size) of its Hessian, which holds everywhere.
    * Any other: that of the Hessian at x.  This is a lower bound on L: elsewhere the function may be more curved.  All
    eigenvalues up to
      128 parameters, Lanczos on Hessian-vector products beyond.
    * With `box`: a bound for the whole box, by interval arithmetic on the graph of the Hessian.  It is sound (outward rounded)
      and not tight; infinite where the graph gives none.

    Args:
        f: function of x that returns one number.
        x: an array, or nested containers of arrays.
        args: further arguments of f.
        box: (low, high), each like x or a number.

    Returns:
        An `Estimate`.  For a box, `value` is the bound and the true constant lies in [value - error, value].

    Example:
        >>> import numpy as np, chainrule as cr
        >>> L = cr.analysis.smoothness(lambda x: 2 * x[0] ** 2 + 0.5 * x[1] ** 2, np.ones(2))
        >>> round(L.value, 9), L.scope
        (4.0, 'everywhere')

    Source: Nesterov 2018, lemma 1.2.2.
    """
    p = Flat(f, x, args) if box is not None else at_point(f, x, args)
    if box is not None:
        low, high = _over_box(p, box)
        at = _inside(p, box)
        seen = max(max(abs(e.value) for e in extremes(p, v)) for v in at)
        bound = max(abs(low), abs(high))
        return Estimate(bound, bound - seen if np.isfinite(bound) else np.inf, "in the box", "interval bound on the Hessian")
    low, high = extremes(p, p.x0)
    larger = high if abs(high.value) >= abs(low.value) else low
    return Estimate(abs(larger.value), larger.error, larger.scope, _noting(p, larger.how))


def _noting(p: Flat, how: str) -> str:
    bent = kinks(p)
    return how if not bent else f"{how}; f may have kinks ({', '.join(bent)}), where the gradient jumps and no L holds"


@errors.boundary
def strong_convexity(f: Function, x: Any, *, args: Sequence[Any] = (), box: Any = None) -> Estimate:
    r"""The strong convexity $\mu$: $f(y) \ge f(x) + \nabla f(x)^{\mathsf T} (y - x) + \tfrac{\mu}{2} \lVert y - x \rVert^2$.

    The least eigenvalue of the Hessian, found as `smoothness` finds the largest.  Negative: not convex.  With `box` a lower
    bound for the whole box, minus infinity where the graph gives none.

    Args:
        f: function of x that returns one number.
        x: an array, or nested containers of arrays.
        args: further arguments of f.
        box: (low, high), each like x or a number.

    Returns:
        An `Estimate`.  For a box, the true constant lies in [value, value + error].

    Source: Nesterov 2018, theorem 2.1.11.
    """
    p = Flat(f, x, args) if box is not None else at_point(f, x, args)
    if box is not None:
        low, _ = _over_box(p, box)
        seen = min(extremes(p, v)[0].value for v in _inside(p, box))
        return Estimate(low, seen - low if np.isfinite(low) else np.inf, "in the box", "interval bound on the Hessian")
    least = extremes(p, p.x0)[0]
    return Estimate(least.value, least.error, least.scope, _noting(p, least.how))


@errors.boundary
def condition_number(f: Function, x: Any, *, args: Sequence[Any] = ()) -> Estimate:
    r"""$\kappa = L / \mu$, from the extreme eigenvalues of the Hessian at x; infinite where $\mu$ is not positive.

    Args:
        f: function of x that returns one number.
        x: an array, or nested containers of arrays.
        args: further arguments of f.
    """
    largest, least = smoothness(f, x, args=args), strong_convexity(f, x, args=args)
    if least.value <= least.error:
        return Estimate(float("inf"), float("inf") if least.value > -least.error else 0.0, least.scope, least.how)
    value = largest.value / least.value
    error = (largest.value + largest.error) / (least.value - least.error) - value
    return Estimate(value, error, least.scope, least.how)


@errors.boundary
def recommended_step(f: Function, x: Any, *, args: Sequence[Any] = ()) -> float:
    r"""A learning rate for gradient descent: $2 / (L + \mu)$ for a strongly convex quadratic, else $1 / L$ with L at x.

    For a quadratic it is the best constant step; otherwise the largest that the convergence theorems allow where the
    curvature is nowhere greater than at x.

    Args:
        f: function of x that returns one number.
        x: an array, or nested containers of arrays.
        args: further arguments of f.

    Returns:
        A positive number; infinity for a function without curvature.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> round(cr.analysis.recommended_step(lambda x: x[0] ** 2 + 4 * x[1] ** 2, np.ones(2)), 9)
        0.2

    Source: Nesterov 2018, theorem 2.1.15 and section 1.2.3.
    """
    p = at_point(f, x, args)
    low, high = extremes(p, p.x0)
    largest = max(abs(low.value), abs(high.value)) + max(low.error, high.error)
    if largest == 0:
        return float("inf")
    if quadratic(p) and low.value > low.error:
        return 2 / (high.value + low.value)
    return 1 / largest


# --- over a box ---------------------------------------------------------------------------------------------------------------


def box_of(p: Flat, box: Any) -> tuple[Vector, Vector]:
    """The two corners as vectors."""
    corners: list[Vector] = []
    if not isinstance(box, list | tuple) or len(box) != 2:
        raise errors.ShapeError(f"a box is (low, high), each a number or like x, not {box!r}")
    for side in box:
        leaves = flatten(side)[0]
        single = len(leaves) == 1 and np.ndim(leaves[0]) == 0
        corners.append(np.full(p.x0.size, float(leaves[0])) if single else np.asarray(p.vector(side), float))
    low, high = corners
    if low.shape != p.x0.shape or high.shape != p.x0.shape or not np.all(low <= high):
        raise errors.ShapeError("a box is (low, high), each a number or like x, with low <= high")
    return low, high


def _inside(p: Flat, box: Any, samples: int = 8) -> list[Vector]:
    """The middle, the corners of the diagonal and some points in between."""
    low, high = box_of(p, box)
    rng = np.random.default_rng(0)
    return [0.5 * low + 0.5 * high, low, high, *rng.uniform(low, high, (samples, low.size))]


def _over_box(p: Flat, box: Any) -> tuple[float, float]:
    """Bounds on the eigenvalues of all Hessians in the box: those of the middle, plus and minus the norm of the radius."""
    nothing = -np.inf, np.inf
    if p.x0.size > DENSE:
        return nothing
    g = abstract(hessian(p), p.x0.astype(float))
    if g is None or _jumps(p, box):
        return nothing
    low, high = box_of(p, box)
    h = intervals.of(intervals.bounds(g, [intervals.Interval(low, high)]), g.outs[0])
    if not (np.all(np.isfinite(h.low)) and np.all(np.isfinite(h.high))):
        return nothing
    middle = 0.5 * h.low + 0.5 * h.high
    radius = np.maximum(h.high - middle, middle - h.low)
    symmetric = 0.5 * (middle + middle.T)
    values = np.linalg.eigvalsh(symmetric)
    room = 8 * p.x0.size * np.finfo(float).eps * float(np.max(np.abs(values), initial=0.0))
    room += float(np.linalg.norm(0.5 * (radius + radius.T), 2)) * (1 + 1e-12) + float(np.linalg.norm(middle - symmetric, 2))
    return float(values[0]) - room, float(values[-1]) + room


def _jumps(p: Flat, box: Any) -> bool:
    """May a kink lie in the box, so that the Hessian does not bound the change of the gradient?"""
    g = abstract(p, p.x0)
    if g is None:
        return True
    low, high = box_of(p, box)
    env, reached = intervals.bounds(g, [intervals.Interval(low, high)]), depends(g, g.ins)
    near = [e for e in g.eqns if e.outs[0] in reached and _kinked(e)]
    return not all(_away(e.prim, [intervals.of(env, a) for a in e.ins]) for e in near)


def _away(prim: str, xs: Sequence[intervals.Interval]) -> bool:
    """Is the kink of this row outside of where its operands lie?"""
    if prim in ("abs", "sign"):
        return bool(np.all((xs[0].low > 0) | (xs[0].high < 0)))
    if prim in ("maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne"):
        return bool(np.all((xs[0].low > xs[1].high) | (xs[0].high < xs[1].low)))
    if prim == "select":
        return bool(np.all((xs[0].low == 1) | (xs[0].high == 0)))
    return prim == "hypot" and bool(np.all((xs[0].low > 0) | (xs[0].high < 0) | (xs[1].low > 0) | (xs[1].high < 0)))


# --- the whole spectrum ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spectrum:
    """The density of the eigenvalues of a Hessian.

    Attributes:
        nodes, weights: a discrete density: where the eigenvalues are, and what share of them.
        grid, density: the same, smoothed; the integral of the density is 1.
        width: the width of the smoothing.
        exact: are the nodes the eigenvalues themselves?
    """

    nodes: Vector
    weights: Vector
    grid: Vector
    density: Vector
    width: float
    exact: bool

    def share(self, low: float, high: float) -> float:
        """The share of eigenvalues in an interval."""
        return float(np.sum(self.weights[(self.nodes >= low) & (self.nodes <= high)]))


@errors.boundary
def spectrum(f: Function, x: Any, *, args: Sequence[Any] = (), steps: int = 64, probes: int = 8, seed: int = 0) -> Spectrum:
    r"""The spectral density of the Hessian at x, $\phi(t) = \frac1n \sum_i \delta(t - \lambda_i)$.

    The eigenvalues themselves up to 128 parameters; beyond, stochastic Lanczos quadrature: the mean over random `probes` of the
    Gauss quadratures of `steps` Lanczos steps each.

    Args:
        f: function of x that returns one number.
        x: an array, or nested containers of arrays.
        args: further arguments of f.
        steps, probes: number of Lanczos steps, and of random vectors.
        seed: of the random vectors.

    Source: Ghorbani, Krishnan and Xiao 2019, algorithm 1; Golub and Welsch 1969.
    """
    p = at_point(f, x, args)
    n = p.x0.size
    if n <= DENSE:
        nodes, _ = _dense(p, p.x0)
        return _smoothed(nodes, np.full(n, 1 / n), exact=True)
    runs = [lanczos(lambda d: p.product(p.x0, d), n, start(n, seed + k), steps) for k in range(probes)]
    nodes = np.concatenate([r.nodes for r in runs])
    weights = np.concatenate([r.weights for r in runs]) / probes
    order = np.argsort(nodes)
    return _smoothed(nodes[order], weights[order], exact=False)


def _smoothed(nodes: Vector, weights: Vector, exact: bool) -> Spectrum:
    span = float(nodes[-1] - nodes[0]) or max(abs(float(nodes[0])), 1.0)
    width = span / 50
    grid = np.linspace(nodes[0] - 5 * width, nodes[-1] + 5 * width, 512)
    bumps = np.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return Spectrum(nodes, weights, grid, bumps @ weights, width, exact)


__all__ = ["Estimate", "Spectrum", "condition_number", "recommended_step", "smoothness", "spectrum", "strong_convexity"]
