r"""Convergence theorems of methods of first order: what they assume, what they promise, and where the promise is attained.

Each row has two curves.  `bound` is the textbook's, whose proof takes a few lines.  `tight` is the exact worst case over all
functions that satisfy the hypotheses, where a closed form is known; so the measured curve lies below `tight`, and `tight` below
`bound`.  Without a closed form the worst case is computed (`chainrule.analysis.certificates`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[Any]
Measure = Literal["gap", "best gap", "gradient", "mean gap", "mean gradient"]

QUANTITIES: dict[Measure, str] = {
    "gap": "f(x_k) - f*",
    "best gap": "min_j f(x_j) - f*",
    "gradient": "min_j ‖∇f(x_j)‖²",
    "mean gap": "mean_j f(x_j) - f*",
    "mean gradient": "mean_j ‖∇f(x_j)‖²",
}
"""What a theorem speaks of, in words."""


@dataclass(frozen=True)
class Facts:
    """The numbers in the formulas.

    Attributes:
        L: Lipschitz constant of the gradient.
        mu: strong convexity, or the constant of the Polyak-Lojasiewicz inequality; 0 where there is none.
        rates: (k,) learning rates of the steps.
        gap: f(x_0) - f*.
        distance: distance of x_0 from the minimiser.
        momentum: of the methods that have a constant one.
        G: greatest norm of the gradient.
        noise: (k,) variances of the gradients of the steps, where they are drawn.
    """

    L: float
    mu: float
    rates: Vector
    gap: float
    distance: float
    momentum: float = 0.0
    G: float = np.nan
    noise: Vector = field(default_factory=lambda: np.zeros(0))


Curve = Callable[[Facts], Vector]
"""One number for the start and one for each step."""


@dataclass(frozen=True)
class Theorem:
    """A theorem, as data.

    Attributes:
        name: of the class of functions, and of the method where it is not plain descent.
        statement: the bound.
        measure: what is bounded.
        start: what the start enters the worst case by: "gap", f(x_0) - f*, or "distance", the distance to the minimiser.
        needs: the hypotheses, names of the checks in `chainrule.analysis.hypotheses`.
        bound: the textbook's bound.
        tight: the exact worst case; None where no closed form holds.
        source: where it is from.
    """

    name: str
    statement: str
    measure: Measure
    start: Literal["gap", "distance"]
    needs: tuple[str, ...]
    bound: Curve
    tight: Callable[[Facts], Vector | None]
    source: str


def products(factors: Vector) -> Vector:
    """1, a_0, a_0 a_1, ..."""
    return np.concatenate([np.ones(1), np.cumprod(factors)])


def sums(terms: Vector) -> Vector:
    """0, a_0, a_0 + a_1, ..."""
    return np.concatenate([np.zeros(1), np.cumsum(terms)])


def unknown(f: Facts) -> None:
    """No closed form."""
    return


# --- gradient descent -----------------------------------------------------------------------------------------------------


def descent(f: Facts) -> Vector:
    r"""$\alpha (1 - \alpha L / 2)$: what a step takes off f, for each $\lVert \nabla f \rVert^2$."""
    return f.rates * (1 - 0.5 * f.rates * f.L)


def linear(f: Facts) -> Vector:
    r"""$(f_0 - f^*) \prod_j (1 - \alpha_j \mu (2 - \alpha_j L))$."""
    return f.gap * products(1 - 2 * f.mu * descent(f))


def contraction(f: Facts) -> Vector | None:
    r"""$(f_0 - f^*) \prod_j \max(|1 - \alpha_j L|, |1 - \alpha_j \mu|)^2$, attained where the maximum stays at one end."""
    below, above = f.rates * (f.L + f.mu) <= 2 * (1 + 1e-12), f.rates * (f.L + f.mu) >= 2 * (1 - 1e-12)
    if not (np.all(below) or np.all(above)):
        return None
    return contracted(f)


def contracted(f: Facts) -> Vector:
    """The same as a bound, for any rates below 2/L."""
    return f.gap * products(np.maximum(np.abs(1 - f.rates * f.L), np.abs(1 - f.rates * f.mu)) ** 2)


def sublinear(f: Facts) -> Vector:
    r"""$R^2 / (2 \sum \alpha_j)$ for rates up to 1/L, and $R^2 / (2/L + \sum \alpha_j (1 - \alpha_j L / 2))$ up to 2/L."""
    short = bool(np.all(f.rates * f.L <= 1 + 1e-9))
    total = np.maximum(2 / f.L, 2 * sums(f.rates)) if short else 2 / f.L + sums(descent(f))
    return f.distance**2 / total


def drori_teboulle(f: Facts) -> Vector | None:
    r"""$L R^2 / (4 k \alpha L + 2)$, for a constant rate up to 1/L."""
    if f.rates.size and (np.ptp(f.rates) > 1e-12 * f.rates[0] or f.rates[0] * f.L > 1 + 1e-9):
        return None
    return f.L * f.distance**2 / (4 * f.L * sums(f.rates) + 2)


def stationary(f: Facts) -> Vector:
    r"""$(f_0 - f^*) / (1/(2L) + \sum \alpha_j (1 - \alpha_j L / 2))$."""
    return f.gap / (0.5 / f.L + sums(descent(f)))


def stationary_tight(f: Facts) -> Vector | None:
    r"""$(f_0 - f^*) / (1/(2L) + \sum \alpha_j (1 - \alpha_j L / 4))$, for rates up to 1/L."""
    if not np.all(f.rates * f.L <= 1 + 1e-9):
        return None
    return f.gap / (0.5 / f.L + sums(f.rates * (1 - 0.25 * f.rates * f.L)))


STRONGLY_CONVEX = Theorem(
    "strongly convex", "f(x_k) - f* ≤ Π (1 - α μ (2 - α L)) (f(x_0) - f*)", "gap", "gap",
    ("smooth", "strongly convex", "rate below 2/L"), linear, contraction,
    "bound: Karimi, Nutini and Schmidt 2016, theorem 1; worst case: Taylor, Hendrickx and Glineur 2018, theorem 3.3",
)  # fmt: skip
CONVEX = Theorem(
    "convex", "f(x_k) - f* ≤ ‖x_0 - x*‖² / (2 Σ α)", "gap", "distance", ("smooth", "convex", "minimiser", "rate below 2/L"),
    sublinear, drori_teboulle,
    "bound: Nesterov 2018, theorem 2.1.14; worst case for α ≤ 1/L: Drori and Teboulle 2014, theorem 3.1",
)  # fmt: skip
POLYAK = Theorem(
    "Polyak-Lojasiewicz", "f(x_k) - f* ≤ Π (1 - α μ (2 - α L)) (f(x_0) - f*)", "gap", "gap",
    ("smooth", "Polyak-Lojasiewicz", "rate below 2/L"), linear, unknown,
    "Polyak 1963; Karimi, Nutini and Schmidt 2016, theorem 1",
)  # fmt: skip
SMOOTH = Theorem(
    "smooth", "min_j ‖∇f(x_j)‖² ≤ (f(x_0) - f*) / (1/(2L) + Σ α (1 - α L/2))", "gradient", "gap",
    ("smooth", "bounded below", "rate below 2/L"), stationary, stationary_tight,
    "bound: Nesterov 2018, section 1.2.3; worst case: Abbaszadehpeivasti, de Klerk and Zamani 2022, theorem 2",
)  # fmt: skip


def halved(f: Facts) -> Vector:
    r"""$(f_0 - f^*) \prod_j (1 - \alpha_j \mu)$."""
    return f.gap * products(1 - f.rates * f.mu)


def summed(f: Facts) -> Vector:
    r"""$\min(f_0 - f^*, R^2 / (2 \sum \alpha_j))$."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.fmin(f.distance**2 / (2 * sums(f.rates)), f.gap)


def falling(f: Facts) -> Vector:
    r"""$2 (f_0 - f^*) / \sum \alpha_j$; nothing is said of the start."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums(f.rates) > 0, 2 * f.gap / sums(f.rates), np.inf)


FALLING_CONVEX = Theorem(
    "convex, sufficient decrease", "f(x_k) - f* ≤ ‖x_0 - x*‖² / (2 Σ α)", "gap", "distance",
    ("convex", "minimiser", "sufficient decrease"), summed, unknown, "Beck and Teboulle 2009, theorem 3.1, with R = 0",
)  # fmt: skip
FALLING_POLYAK = Theorem(
    "Polyak-Lojasiewicz, sufficient decrease", "f(x_k) - f* ≤ Π (1 - α μ) (f(x_0) - f*)", "gap", "gap",
    ("Polyak-Lojasiewicz", "sufficient decrease"), halved, unknown, "Karimi, Nutini and Schmidt 2016, theorem 1",
)  # fmt: skip
FALLING = Theorem(
    "sufficient decrease", "min_j ‖∇f(x_j)‖² ≤ 2 (f(x_0) - f*) / Σ α", "gradient", "gap",
    ("bounded below", "sufficient decrease"), falling, unknown, "Nesterov 2018, section 1.2.3",
)  # fmt: skip


def subgradient(f: Facts) -> Vector:
    r"""$(R^2 + G^2 \sum \alpha^2) / (2 \sum \alpha)$, and $G R$ at the start."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (f.distance**2 + f.G**2 * sums(f.rates**2)) / (2 * sums(f.rates))
    return np.fmin(found, f.G * f.distance)


SUBGRADIENT = Theorem(
    "convex, with bounded gradients", "min_j f(x_j) - f* ≤ (‖x_0 - x*‖² + G² Σ α²) / (2 Σ α)", "best gap", "distance",
    ("convex", "reference", "bounded gradients"), subgradient, unknown,
    "Shor 1985, theorem 2.2; Boyd, Xiao and Mutapcic 2003, section 3",
)  # fmt: skip

# --- proximal, accelerated, with momentum --------------------------------------------------------------------------------------


def proximal_linear(f: Facts) -> Vector:
    r"""$(F_0 - F^*) \prod_j (1 - \alpha_j \mu)$ for rates up to 1/L; the exact worst case beyond."""
    return f.gap * products(1 - f.rates * f.mu) if np.all(f.rates * f.L <= 1 + 1e-9) else contracted(f)


def proximal_sublinear(f: Facts) -> Vector:
    r"""$R^2 / (2 \sum \alpha_j)$; nothing is said of the start, where the penalty may be anything."""
    with np.errstate(divide="ignore"):
        return f.distance**2 / (2 * sums(f.rates))


def beck_teboulle(f: Facts) -> Vector:
    r"""$2 R^2 / (\alpha_{k-1} (k + 1)^2)$ for rates that never grow; nothing is said of the start."""
    k = np.arange(1, len(f.rates) + 1)
    return np.concatenate([np.full(1, np.inf), 2 * f.distance**2 / (f.rates * (k + 1.0) ** 2)])


def accelerated(f: Facts) -> Vector:
    r"""$(2 + 1.5 \alpha_0 L) R^2 / (\alpha_{k-1} (k + 2)^2)$ for rates that never grow, with $\theta_k = k / (k + 3)$.

    $\alpha_{k-1} t_{k-1}^2 (f_k - f^*) \le \alpha_0 (t_0^2 - t_0) (f_0 - f^*) + R^2 / 2$ with $t_k = (k + 3) / 2$, and
    $f_0 - f^* \le L R^2 / 2$.
    """
    k = np.arange(1, len(f.rates) + 1)
    top = (2 + 1.5 * f.rates[:1] * f.L) * f.distance**2
    return np.concatenate([np.full(1, 0.5 * f.L * f.distance**2), top / (f.rates * (k + 2.0) ** 2)])


def heavy_ball(f: Facts) -> Vector:
    r"""$R^2 ((1 - \beta) / \alpha + \beta L / (1 - \beta)) / (2 c (k + 1))$, $c = \min(1, 2 - \alpha L / (1 - \beta))$."""
    k, b = np.arange(len(f.rates) + 1), f.momentum
    if not f.rates.size:
        return np.full(1, 0.5 * f.L * f.distance**2)
    a = float(f.rates[0])
    c = min(1.0, 2 - a * f.L / (1 - b))
    average = f.distance**2 / (2 * c * (k + 1.0)) * ((1 - b) / a + b * f.L / (1 - b))
    return np.minimum(average, 0.5 * f.L * f.distance**2)


def extrapolated(f: Facts) -> Vector:
    r"""The same for gradients taken at $x_k + \theta (x_k - x_{k-1})$.

    $p_{k+1} = (1 - \alpha_k \lambda) ((1 + \theta) p_k - \theta p_{k-1})$.
    """
    curvature = grid(f)
    p = before = np.ones_like(curvature)
    worst = [1.0]
    for a in f.rates:
        p, before = (1 - a * curvature) * (p + f.momentum * (p - before)), p
        worst.append(float(np.max(p * p)))
    return f.gap * np.asarray(worst)


def grid(f: Facts) -> Vector:
    """Curvatures from mu to L, denser at the ends."""
    return f.mu + (f.L - f.mu) * (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 2001)))


def polynomial(f: Facts) -> Vector:
    r"""$(f_0 - f^*) \max_{\mu \le \lambda \le L} p_k(\lambda)^2$: on quadratics the error is $p_k(H) (x_0 - x^*)$.

    $q_{k+1} = \beta q_k + \lambda p_k$ and $p_{k+1} = p_k - \alpha_k q_{k+1}$, from $p_0 = 1$ and $q_0 = 0$.
    """
    curvature = grid(f)
    p, q = np.ones_like(curvature), np.zeros_like(curvature)
    worst = [1.0]
    for a in f.rates:
        q = f.momentum * q + curvature * p
        p = p - a * q
        worst.append(float(np.max(p * p)))
    return f.gap * np.asarray(worst)


PROXIMAL_STRONG = Theorem(
    "strongly convex, proximal", "F(x_k) - F* ≤ Π (1 - α μ) (F(x_0) - F*)", "gap", "gap",
    ("smooth", "strongly convex", "convex penalty", "rate below 2/L"), proximal_linear, contraction,
    "bound: Karimi, Nutini and Schmidt 2016, theorem 5; worst case: Taylor, Hendrickx and Glineur 2018, theorem 3.3",
)  # fmt: skip
PROXIMAL = Theorem(
    "convex, proximal", "F(x_k) - F* ≤ ‖x_0 - x*‖² / (2 Σ α)", "gap", "distance",
    ("smooth", "convex", "convex penalty", "minimiser", "rate up to 1/L"), proximal_sublinear, unknown,
    "Beck and Teboulle 2009, theorem 3.1",
)  # fmt: skip
FISTA = Theorem(
    "convex, accelerated proximal", "F(x_k) - F* ≤ 2 ‖x_0 - x*‖² / (α (k + 1)²)", "gap", "distance",
    ("smooth", "convex", "convex penalty", "minimiser", "rate up to 1/L", "rates never grow"), beck_teboulle, unknown,
    "Beck and Teboulle 2009, theorem 4.4",
)  # fmt: skip
ACCELERATED = Theorem(
    "convex, accelerated", "f(x_k) - f* ≤ (2 + 3 α_0 L / 2) ‖x_0 - x*‖² / (α (k + 2)²)", "gap", "distance",
    ("smooth", "convex", "minimiser", "rate up to 1/L", "rates never grow", "growing momentum"), accelerated, unknown,
    "Nesterov 1983; the constant follows from Chambolle and Dossal 2015, theorem 1, with t_k = (k + 3) / 2",
)  # fmt: skip
HEAVY_BALL = Theorem(
    "convex, momentum", "min_j f(x_j) - f* ≤ ‖x_0 - x*‖² ((1 - β)/α + β L/(1 - β)) / (2 c (k + 1))", "best gap", "distance",
    ("smooth", "convex", "minimiser", "constant rate", "rate below 2(1 - β)/L"), heavy_ball, unknown,
    "Ghadimi, Feyzmahdavian and Johansson 2015, theorem 1",
)  # fmt: skip
HEAVY_QUADRATIC = Theorem(
    "quadratic, momentum", "f(x_k) - f* ≤ max_λ p_k(λ)² (f(x_0) - f*)", "gap", "gap",
    ("quadratic", "convex", "minimiser", "rate below 2(1 + β)/L"), polynomial, polynomial, "Polyak 1964",
)  # fmt: skip

# --- stochastic gradients ---------------------------------------------------------------------------------------------------


def driven(factors: Vector, kicks: Vector, start: float) -> Vector:
    """e_0 = start, e_{k+1} = factor_k e_k + kick_k."""
    e = np.empty(len(factors) + 1)
    e[0] = start
    for k, (a, b) in enumerate(zip(factors, kicks, strict=True)):
        e[k + 1] = a * e[k] + b
    return e


def kicked(f: Facts) -> Vector:
    r"""$\alpha^2 L \sigma^2 / 2$: what noise of variance $\sigma^2$ adds to f."""
    return 0.5 * f.L * f.rates**2 * f.noise


def noisy_linear(f: Facts) -> Vector:
    r"""$e_{k+1} = (1 - \alpha_k \mu (2 - \alpha_k L)) e_k + \alpha_k^2 L \sigma_k^2 / 2$."""
    return driven(1 - 2 * f.mu * descent(f), kicked(f), f.gap)


def noisy_contraction(f: Facts) -> Vector:
    r"""The same with $\max(|1 - \alpha_k L|, |1 - \alpha_k \mu|)^2$; attained in the first step."""
    return driven(np.maximum(np.abs(1 - f.rates * f.L), np.abs(1 - f.rates * f.mu)) ** 2, kicked(f), f.gap)


def noisy_sublinear(f: Facts) -> Vector:
    r"""$(R^2 + \sum \alpha^2 \sigma^2) / (2 \sum \alpha (1 - \alpha L))$."""
    with np.errstate(divide="ignore"):
        found = (f.distance**2 + sums(f.rates**2 * f.noise)) / (2 * sums(f.rates * (1 - f.rates * f.L)))
    found[0] = 0.5 * f.L * f.distance**2
    return found


def noisy_stationary(f: Facts) -> Vector:
    r"""$(f_0 - f^* + \tfrac{L}{2} \sum \alpha^2 \sigma^2) / \sum \alpha (1 - \alpha L / 2)$."""
    with np.errstate(divide="ignore"):
        found = (f.gap + sums(kicked(f))) / sums(descent(f))
    found[0] = 2 * f.L * f.gap
    return found


SGD_CONSTANT = Theorem(
    "SGD, strongly convex, constant step", "E f(x_k) - f* ≤ (1 - α μ (2 - α L))^k (f(x_0) - f*) + α L σ² / (2 μ (2 - α L))",
    "gap", "gap", ("smooth", "strongly convex", "rate below 2/L", "constant rate", "noise of mean zero"), noisy_linear, unknown,
    "Bottou, Curtis and Nocedal 2018, theorem 4.6",
)  # fmt: skip
SGD_DECAYING = Theorem(
    "SGD, strongly convex, decaying step", "E e_{k+1} ≤ (1 - α_k μ (2 - α_k L)) E e_k + α_k² L σ² / 2, e_k = f(x_k) - f*",
    "gap", "gap", ("smooth", "strongly convex", "rate below 2/L", "rates never grow", "noise of mean zero"),
    noisy_linear, unknown,
    "Bottou, Curtis and Nocedal 2018, theorem 4.7",
)  # fmt: skip
SGD_POLYAK = Theorem(
    "SGD, Polyak-Lojasiewicz", "E e_{k+1} ≤ (1 - α_k μ (2 - α_k L)) E e_k + α_k² L σ² / 2, e_k = f(x_k) - f*",
    "gap", "gap", ("smooth", "Polyak-Lojasiewicz", "rate below 2/L", "noise of mean zero"), noisy_linear, unknown,
    "Karimi, Nutini and Schmidt 2016, theorem 4",
)  # fmt: skip
SGD_CONVEX = Theorem(
    "SGD, convex", "E mean_j f(x_j) - f* ≤ (‖x_0 - x*‖² + Σ α² σ²) / (2 Σ α (1 - α L)), weighted by α (1 - α L)",
    "mean gap", "distance", ("smooth", "convex", "minimiser", "rate below 1/L", "noise of mean zero"), noisy_sublinear, unknown,
    "Nemirovski, Juditsky, Lan and Shapiro 2009, section 2.1, with ‖∇f‖² ≤ 2 L (f - f*)",
)  # fmt: skip
SGD_SMOOTH = Theorem(
    "SGD, smooth", "E mean_j ‖∇f(x_j)‖² ≤ (f(x_0) - f* + L Σ α² σ² / 2) / Σ α (1 - α L/2), weighted by α (1 - α L/2)",
    "mean gradient", "gap", ("smooth", "bounded below", "rate below 2/L", "noise of mean zero"), noisy_stationary, unknown,
    "Ghadimi and Lan 2013, theorem 2.1",
)  # fmt: skip
NESTEROV_QUADRATIC = Theorem(
    "quadratic, accelerated", "f(x_k) - f* ≤ max_λ p_k(λ)² (f(x_0) - f*)", "gap", "gap",
    ("quadratic", "convex", "minimiser", "constant momentum", "rate below 2(1 + θ)/((1 + 2θ)L)"), extrapolated, extrapolated,
    "Flammarion and Bach 2015, section 3",
)  # fmt: skip

THEOREMS: dict[str, tuple[Theorem, ...]] = {
    "gradient_descent": (STRONGLY_CONVEX, CONVEX, POLYAK, SMOOTH, FALLING_CONVEX, FALLING_POLYAK, FALLING, SUBGRADIENT),
    "proximal_gradient": (PROXIMAL_STRONG, PROXIMAL),
    "fista": (FISTA,),
    "nesterov": (ACCELERATED, NESTEROV_QUADRATIC),
    "momentum": (HEAVY_QUADRATIC, HEAVY_BALL),
    "sgd": (SGD_CONSTANT, SGD_DECAYING, SGD_CONVEX, SGD_POLYAK, SGD_SMOOTH),
}
"""What is known of each method, from the strongest hypotheses to the weakest."""
