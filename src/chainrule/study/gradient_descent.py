"""9.1 Gradient descent: how far one constant step size carries, and where the theorems about it stop."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study import quadratics, stochastic
from chainrule.study.model import Chapter, Claim, Context, Experiment, Table, at_least, at_most, equals, text
from chainrule.study.quadratics import ravine
from chainrule.study.tools import Array, descend, drawn, hessian_at, printed, to_zero, value_and_gradient

TEXT = """
A gradient is a list of slopes: one number per parameter, saying how fast the objective rises when that parameter alone
grows. Gradient descent walks against it, $x_{k+1} = x_k - \\alpha\\,\\nabla f(x_k)$, and everything that can be said about
it turns on three numbers: the step size $\\alpha$, the largest curvature $L$, and the smallest curvature $\\mu$.

The experiments go from a parabola, where the whole path can be written down, to real data, where each step sees only a few
examples. Beside every measured curve stands what theory promises, with the conditions it needs; where a condition is left
out, the picture shows what happens then.
"""


def rosenbrock(x: Any, y: Any) -> Any:
    """A curved valley; its only stationary point is its minimum, (1, 1)."""
    return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2


def two_wells(x: Any, y: Any) -> Any:
    """Minima at (0, 1) and (0, -1), and a saddle between them."""
    return 0.5 * x**2 + 0.25 * y**4 - 0.5 * y**2


def fading(x: Any) -> Any:
    """Bounded below, and without a minimum."""
    return np.exp(-x)


_STEEPEST_DIRECTION_CLAIMS = [
    Claim(
        "The negative gradient points in the direction of steepest descent.",
        "conditional",
        "For the Euclidean length, and where the gradient is not zero. In another norm another direction is steepest; "
        "Newton's and Adam's steps can be read that way.",
    ),
    Claim(
        "For small steps, f(x + Δ) ≈ f(x) + ∇f(x)ᵀΔ.",
        "true",
        "The error is at most L‖Δ‖²/2 where ∇f has Lipschitz constant L, which is what makes a fixed step size possible.",
    ),
]


def steepest_direction(context: Context) -> Experiment:
    """Try all directions, and all step lengths, from one point."""
    at = np.array([2.0, 0.5])
    gradient = np.array(value_and_gradient(ravine, (0, 1))(*at)[1])
    angles = np.linspace(-np.pi, np.pi, context.pick(3601, 721))
    down = np.arctan2(-gradient[1], -gradient[0])
    ways = np.stack([np.cos(down + angles), np.sin(down + angles)], axis=1)
    short = 1e-5
    rise = (ravine(*(at + short * ways).T) - ravine(*at)) / short
    lengths = np.logspace(-6, 0, 25)
    way = np.array([0.6, 0.8])
    remainder = np.abs([ravine(*(at + t * way)) - ravine(*at) - t * (gradient @ way) for t in lengths])
    slope = np.polyfit(np.log(lengths[8:]), np.log(remainder[8:]), 1)[0]
    degrees = np.degrees(angles)
    turn = plot.curves(
        {"measured with a step of 10⁻⁵": (degrees, rise)},
        "The slope in every direction",
        "angle from −∇f (degrees)",
        "rise per unit length",
        bounds={"−‖∇f‖ cos(angle)": (degrees, -np.linalg.norm(gradient) * np.cos(angles))},
        yscale="linear",
    )
    linear = plot.curves(
        {"|f(x + Δ) − f(x) − ∇fᵀΔ|": (lengths, remainder)},
        "What the straight line misses",
        "length of Δ",
        "error",
        bounds={"‖Δ‖² Δ̂ᵀHΔ̂ / 2": (lengths, lengths**2 * 0.5 * (way @ hessian_at(ravine, *at) @ way))},
        xscale="log",
    )
    return Experiment(
        "What the gradient says",
        """At one point of a stretched bowl we take tiny steps in every direction. The rise per unit length is a cosine,
        lowest exactly against the gradient: that is what steepest means, and it depends on measuring length the usual way.
        Then we keep one direction and lengthen the step. The straight line that the gradient defines misses by an amount
        that grows with the square of the length, and the second derivative says how much.""",
        [
            at_most(
                "angle between the steepest way down and −∇f, in degrees", abs(degrees[np.argmin(rise)]), 360 / (len(angles) - 1)
            ),
            equals("order of the error of the linear approximation", slope, 2.0, 0.01),
        ],
        figures=[
            drawn(
                turn,
                "steepest",
                "One cosine: downhill is a half-plane of directions, and −∇f is its middle.",
                "Measured slope against angle, on the predicted cosine with its minimum at zero.",
            ),
            drawn(
                linear,
                "linear",
                "A tenth of the step, a hundredth of the error.",
                "Error against step length on logarithmic axes, a line of slope two.",
            ),
        ],
        claims=_STEEPEST_DIRECTION_CLAIMS,
    )


_ROSENBROCK_VALLEY_CLAIMS = [
    Claim(
        "Gradient descent has linear convergence near a minimum.",
        "conditional",
        "Where the Hessian at the minimum is positive definite and α < 2/L for the L of that neighbourhood. Here L "
        "grows without limit away from the minimum, so no single α is safe everywhere.",
    ),
]


def rosenbrock_valley(context: Context) -> Experiment:
    """A curved valley, not convex; near its end it behaves like the quadratic that its second derivatives define."""
    step, count = 1e-3, context.pick(30_000, 12_000)
    path = descend(rosenbrock, [-1.2, 1.0], step, count, context)
    low, high = np.linalg.eigvalsh(hessian_at(rosenbrock, 1.0, 1.0))
    far = path.distances([1, 1])
    tail = float((far[-1] / far[-1001]) ** (1 / 1000))
    keep = plot.thinned(len(far), 400)
    k = path.steps[keep]
    bent = float(np.linalg.eigvalsh(hessian_at(rosenbrock, 0.0, 1.0))[0])
    local = far[-1] * (1 - step * low) ** (path.steps - path.steps[-1])

    def heights(x: Array, y: Array) -> Array:
        return np.log10(1e-2 + rosenbrock(x, y))

    contours = plot.contours_with_paths(
        heights,
        (-1.7, 1.7),
        (-0.6, 1.9),
        {"α = 0.001": path.points[keep]},
        "Rosenbrock's valley",
        minimum=(1, 1),
        marked=0,
        loc="lower center",
    )
    decay = plot.curves(
        {"measured": (k, far[keep])},
        "The end is a quadratic",
        "step k",
        "‖xₖ − x*‖",
        bounds={"(1 − αμ)ᵏ with μ from the Hessian": (k, local[keep])},
        ylim=(1e-6, 1e1),
        loc="lower left",
    )
    return Experiment(
        "Rosenbrock's valley",
        f"""$f(x,y) = (1-x)^2 + 100(y-x^2)^2$ has one stationary point, its minimum at $(1,1)$, at the end of a curved
        valley. The first steps fall to the valley's floor; the remaining thousands follow it. No theorem for convex
        functions applies: at $(0,1)$ the smallest curvature is {text(bent)}.

        Near the minimum, though, $f$ is almost its own second-order expansion. The Hessian there, computed by
        differentiating twice, has eigenvalues {text(low)} and {text(high)}: a condition number of {text(high / low)}, and
        with it the speed of the end can be predicted.""",
        [
            equals("contraction per step at the end (theory: 1 − αμ)", tail, 1 - step * low, context.pick(1, 5) * 2e-6),
            at_most("distance to the minimum at the end", float(far[-1]), 2e-2 if context.quick else 1e-4),
            at_most("gradient norm at the end", float(path.slopes[-1]), 1e-2 if context.quick else 1e-4),
            equals("smaller eigenvalue of the Hessian at (1, 1), exactly 501 − √250601", float(low), 501 - 250601**0.5, 1e-9),
            at_most("smallest curvature at (0, 1): negative, so f is not convex", bent, 0.0),
        ],
        formulas=[printed(rosenbrock, 1.0, 1.0, note="The function, as it was recorded.")],
        figures=[
            drawn(
                contours,
                "rosenbrock",
                "Down to the floor in a few steps, along the floor in thousands.",
                "Curved contours of a valley; the path drops to the floor and follows it to the minimum at (1, 1).",
            ),
            to_zero(
                path, "rosenbrock-zero", "To zero, α = 0.001", "Fast, then slow, then as fast as the smallest curvature allows."
            ),
            drawn(
                decay,
                "rosenbrock-decay",
                "The dashed line is not fitted: its slope is the smaller eigenvalue of the Hessian.",
                "Distance to the minimum against steps; its end lies on the predicted line.",
            ),
        ],
        claims=_ROSENBROCK_VALLEY_CLAIMS,
    )


_WHERE_IT_STOPS_TABLES = [
    Table(
        "What must be true for what",
        ["Promise", "Condition"],
        [
            ["f(xₖ) decreases", "∇f is L-Lipschitz, 0 < α < 2/L"],
            ["‖∇f(xₖ)‖ → 0", "and f is bounded below"],
            ["xₖ → a minimiser", "and f is convex and has one"],
            ["a rate L‖x₀ − x*‖²/2k", "and α = 1/L"],
            ["a rate (1 − αμ)ᵏ", "and f is μ-strongly convex, α ≤ 2/(L + μ)"],
            [
                "xₖ → a local minimum, f not convex",
                "almost every start, if saddles are strict, α < 1/L, and xₖ converges",
            ],
        ],
    ),
]
_WHERE_IT_STOPS_CLAIMS = [
    Claim(
        "Under suitable conditions gradient descent converges to a local minimum.",
        "imprecise",
        "In general to a stationary point, and only if the points converge at all. For convex functions with a "
        "minimiser it is a global one.",
    ),
]


def where_it_stops(context: Context) -> Experiment:
    """Converging need not mean reaching a local minimum."""
    on, off = descend(two_wells, [1.0, 0.0], 0.2, 200), descend(two_wells, [-1.0, 1e-6], 0.2, 200)
    count = context.pick(20_000, 4_000)
    away = descend(fading, [0.0], 1.0, count, context)
    x = away.points[:, 0]
    keep = plot.thinned(len(x))
    lowest = float(np.linalg.eigvalsh(hessian_at(two_wells, *on.points[-1]))[0])
    contours = plot.contours_with_paths(
        two_wells,
        (-1.3, 1.3),
        (-1.6, 1.6),
        {"from (1, 0)": on.points, "from (−1, 0.000001)": off.points},
        "A saddle and two minima",
        loc="lower left",
    )
    endless = plot.curves(
        {"xₖ": (away.steps[keep][1:], x[keep][1:]), "gradient": (away.steps[keep][1:], away.slopes[keep][1:])},
        "f(x) = e⁻ˣ has no minimum",
        "step k",
        "value",
        bounds={"ln(1 + k)": (away.steps[keep][1:], np.log1p(away.steps[keep][1:]))},
        xscale="log",
    )
    return Experiment(
        "Where it stops",
        """It is often said that gradient descent converges to a local minimum. What its theorem says is less: if $f$ is
        bounded below and $\\alpha < 2/L$, the gradient tends to zero. Started exactly on the ridge of
        $\\frac12x^2 + \\frac14y^4 - \\frac12y^2$, it walks into the saddle and stays. From the other side, and a millionth
        off the ridge, it leaves: the saddle repels, so almost every start escapes it. And for $e^{-x}$ the gradient goes to
        zero while the point goes to infinity, since there is nothing to converge to.""",
        [
            equals("smallest curvature where it stops from (1, 0): negative, a saddle", lowest, -1.0, 1e-9),
            at_most("distance to the minimum (0, 1) from (−1, 10⁻⁶)", float(off.distances([0, 1])[-1]), 1e-6),
            at_most("gradient on e⁻ˣ at the end", float(away.slopes[-1]), 2 / count),
            at_least("where the point is by then: still moving, like ln k", float(x[-1]), np.log(count)),
        ],
        formulas=[
            printed(two_wells, 1.0, 1.0, note="Two minima and a saddle."),
            printed(cr.grad(fading), 1.0, note="The gradient of e⁻ˣ: never zero."),
        ],
        tables=_WHERE_IT_STOPS_TABLES,
        figures=[
            drawn(
                contours,
                "saddle",
                "On the ridge, and a millionth off it.",
                "Contours of a function with two minima; one path ends at the saddle in the middle, the other at a minimum.",
            ),
            drawn(
                endless,
                "endless",
                "The gradient vanishes, the point never arrives.",
                "The point grows like the logarithm of k while the gradient falls like one over k.",
            ),
        ],
        claims=_WHERE_IT_STOPS_CLAIMS,
    )


CHAPTER = Chapter(
    "9.1",
    "Gradient descent",
    TEXT,
    (
        steepest_direction,
        quadratics.one_dimension,
        quadratics.round_bowl,
        quadratics.badly_scaled_quadratic,
        rosenbrock_valley,
        where_it_stops,
        *stochastic.EXPERIMENTS,
    ),
    cover="rosenbrock_valley",
)
