"""9.1, where everything is known: quadratic functions, whose paths and rates can be written down."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.model import Claim, Context, Experiment, Figure, Formula, at_least, at_most, equals
from chainrule.study.tools import Array, Path, descend, drawn, printed, to_zero, value_and_gradient


def parabola(x: Any) -> Any:
    """x squared: curvature 2 everywhere."""
    return x**2


def bowl(x: Any, y: Any) -> Any:
    """The same curvature, 2, in every direction."""
    return x**2 + y**2


def ravine(x: Any, y: Any) -> Any:
    """Curvature 1 along x and 25 along y."""
    return 0.5 * (x**2 + 25.0 * y**2)


def _stays(step: float) -> bool:
    return bool(abs(descend(parabola, [1.0], step, 60).points[-1, 0]) <= 1.0)


def _largest_step(halvings: int) -> float:
    """Bisect for the largest step size with which the distance does not grow."""
    low, high = 0.5, 1.5
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _stays(middle) else (low, middle)
    return low


_ONE_DIMENSION_CLAIMS = [
    Claim(
        "With α ≤ 1/L gradient descent converges.",
        "conditional",
        "Here L = 2, and every α below 2/L = 1 converges. In general the gradient norm goes to zero if f is bounded "
        "below; that the points converge, and to what, needs more (see the last experiment with exact gradients).",
    ),
    Claim(
        "If f is μ-strongly convex, a step brings the point closer by the factor 1 − αμ.",
        "conditional",
        "Only for α ≤ 2/(L + μ), and f must also be L-smooth. At α = 0.9 the factor would be 1 − 1.8 = −0.8, and no "
        "distance is negative; measured is 0.8. The factor for every α is max(|1 − αμ|, |1 − αL|).",
    ),
]


def one_dimension(context: Context) -> Experiment:
    """The parabola: every step multiplies by 1 - 2 alpha."""
    steps = (0.1, 0.45, 0.9, 1.05)
    paths = {a: descend(parabola, [1.0], a, 24) for a in steps}
    exact = {a: (1 - 2 * a) ** paths[a].steps for a in steps}
    error = max(float(np.max(np.abs(p.points[:, 0] - exact[a]) / np.maximum(1, np.abs(exact[a])))) for a, p in paths.items())
    slope = max(float(np.max(np.abs(p.slopes - 2 * np.abs(p.points[:, 0])))) for p in paths.values())
    ratio = float(np.max(np.abs(paths[0.9].points[1:, 0] / paths[0.9].points[:-1, 0])))
    walk = plot.steps_on_curve(
        parabola, (-1.15, 1.15), {f"α = {a}": paths[a].points[:8, 0] for a in (0.1, 0.45, 0.9)}, "Steps on f(x) = x²"
    )
    names = {a: f"α = {a}: |1 − 2α| = {abs(1 - 2 * a):.1f}" for a in steps}
    k = paths[0.1].steps
    decay = plot.curves(
        {names[a]: (k, np.maximum(np.abs(p.points[:, 0]), 1e-18)) for a, p in paths.items()},
        "Distance to the minimum",
        "step k",
        "|xₖ|",
        ylim=(1e-12, 1e2),
        loc="lower right",
    )
    return Experiment(
        "One dimension: f(x) = x²",
        """The gradient is $2x$, so a step multiplies $x$ by $1 - 2\\alpha$, and the whole path is known:
        $x_k = (1-2\\alpha)^k x_0$. Below $\\alpha = \\frac12$ the point creeps down one side; between $\\frac12$ and $1$ it
        jumps across the minimum and still comes closer; above $1$ every jump lands farther out. The largest step that works
        is $2/L = 1$, twice the $1/L$ that theorems usually ask for.""",
        [
            at_most("largest relative difference between path and closed form", error, 1e-13),
            at_most("largest error of the gradient", slope, 1e-14),
            equals(
                "largest step that does not diverge, by bisection (theory: 2/L)", _largest_step(context.pick(16, 11)), 1.0, 2e-3
            ),
            equals("contraction per step at α = 0.9 (theory: |1 − αL|)", ratio, 0.8, 1e-9),
        ],
        formulas=[
            printed(
                cr.grad(parabola), 1.0, note="The gradient of x²: a bar marks the derivative with respect to what is under it."
            ),
            Formula("x_{k+1} = x_k - \\alpha \\cdot 2 x_k = (1 - 2\\alpha)\\, x_k", "One step on the parabola."),
        ],
        figures=[
            drawn(
                walk,
                "parabola",
                "Small steps creep, steps beyond ½ jump across.",
                "A parabola with three sequences of points descending on it; the one with step 0.9 alternates sides.",
            ),
            drawn(
                decay,
                "parabola-decay",
                "Each step multiplies the distance by the same factor. Those of 0.1 and 0.9 are equal, and their lines coincide.",
                "Distance to the minimum against the step for four step sizes; three fall in straight lines, the one with "
                "step 1.05 rises.",
            ),
        ],
        claims=_ONE_DIMENSION_CLAIMS,
    )


_ROUND_BOWL_CLAIMS = [
    Claim(
        "For convex functions f(xₖ) − f(x*) ≤ L‖x₀ − x*‖² / 2k.",
        "conditional",
        "f must be L-smooth and have a minimiser, and the step must be α = 1/L. For any α ≤ 1/L the right-hand side is "
        "‖x₀ − x*‖² / 2αk.",
    ),
]


def round_bowl(context: Context) -> Experiment:
    """Equal curvature in all directions: straight to the minimum, at the speed that the step size allows."""
    start, short = np.array([2.0, 1.0]), 0.02
    paths = {f"α = {a}": descend(bowl, start, a, 60) for a in (0.1, 0.3)}
    slow = descend(bowl, start, short, 120)
    main = paths["α = 0.1"]
    crooked = float(np.max(np.abs(main.points[:, 0] * start[1] - main.points[:, 1] * start[0])))
    gradient = np.array(value_and_gradient(bowl, (0, 1))(*start)[1])
    k = slow.steps[1:]
    stated, correct = 2 * (start @ start) / (2 * k), (start @ start) / (2 * short * k)
    seen = plot.curves(
        {"f(xₖ) at α = 0.02": (k, slow.values[1:])},
        "A bound that forgets the step size",
        "step k",
        "f(xₖ) − f(x*)",
        bounds={"L‖x₀ − x*‖² / 2k": (k, stated), "‖x₀ − x*‖² / 2αk": (k, correct)},
        xscale="log",
    )
    contours = plot.contours_with_paths(
        bowl, (-2.4, 2.4), (-1.6, 1.6), {n: p.points for n, p in paths.items()}, "f(x, y) = x² + y²", minimum=(0, 0), equal=True
    )
    return Experiment(
        "Two dimensions: f(x, y) = x² + y²",
        """The gradient $(2x, 2y)$ points straight away from the minimum, so the path is a straight line and each step
        multiplies both coordinates by $1 - 2\\alpha$. Because the curvature is the same everywhere, this is the best case;
        the next experiment stretches it.

        The last picture makes a point about step sizes. The bound $L\\|x_0 - x^*\\|^2 / 2k$ does not mention
        $\\alpha$, and so it cannot be true for all of them: with a step ten or more times shorter than $1/L$ the objective
        lies far above it.""",
        [
            at_most(
                "largest ratio of f(xₖ) − f(x*) to ‖x₀ − x*‖²/2αk at α = 0.02", float(np.max(slow.values[1:] / correct)), 1.0
            ),
            at_least(
                "largest ratio to L‖x₀ − x*‖²/2k at the same α: above 1, the bound is broken",
                float(np.max(slow.values[1:] / stated)),
                1.0,
            ),
            at_most("how far the path leaves the straight line", crooked, 1e-14),
            at_most("error of the gradient against (2x, 2y)", float(np.max(np.abs(gradient - 2 * start))), 1e-15),
        ],
        formulas=[printed(cr.grad(bowl, (0, 1)), 1.0, 1.0, note="The gradient.")],
        figures=[
            drawn(
                contours,
                "bowl",
                "Straight to the minimum, whatever the step size.",
                "Circular contours with two straight paths of points to the centre.",
            ),
            to_zero(
                main, "bowl-zero", "To zero, α = 0.1", "f falls twice as fast as the gradient: it is its square, divided by four."
            ),
            drawn(
                seen,
                "bowl-bound",
                "The bound without α is broken at once; with α it holds.",
                "Objective against step between two bounds: it lies above the one without the step size and below the one with "
                "it.",
            ),
        ],
        claims=_ROUND_BOWL_CLAIMS,
    )


def _steps_to(kappa: float, target: float) -> int:
    """Steps that the best constant step size needs on a quadratic of condition kappa, from the worst start."""

    def quadratic(x: Any, y: Any) -> Any:
        return 0.5 * (x**2 + kappa * y**2)

    rate = (kappa - 1) / (kappa + 1)
    count = int(np.ceil(np.log(target) / np.log(rate))) + 5
    path = descend(quadratic, [kappa**0.5, kappa**-0.5], 2 / (1 + kappa), count)
    far = path.distances([0, 0])
    return int(np.argmax(far <= target * far[0]))


def _ravine_pictures(paths: dict[str, Path], strong: Array, optimal: Array, convex: Array) -> list[Figure]:
    """The paths in the ravine, and their distances and objectives under the bounds that theory gives."""
    safe, best, bold = paths
    k = paths[safe].steps
    contours = plot.contours_with_paths(
        ravine,
        (-9, 9),
        (-2.2, 2.2),
        {n: paths[n].points[:61] for n in (safe, bold)},
        "Two step sizes in a ravine",
        minimum=(0, 0),
        loc="lower left",
    )
    decay = plot.curves(
        {n: (k, path.distances([0, 0])) for n, path in paths.items()},
        "Distance to the minimum",
        "step k",
        "‖xₖ − x*‖",
        bounds={"(1 − αμ)ᵏ at α = 1/L": (k, strong), "((κ−1)/(κ+1))ᵏ": (k, optimal)},
        ylim=(1e-6, 30),
        loc="lower left",
    )
    gap = plot.curves(
        {"f(xₖ) at α = 1/L": (k[1:], paths[safe].values[1:])},
        "Objective under the convex bound",
        "step k",
        "f(xₖ) − f(x*)",
        bounds={"L‖x₀ − x*‖² / 2k": (k[1:], convex)},
        xscale="log",
    )
    return [
        drawn(
            contours,
            "ravine",
            "The careful step crawls along the floor, the bold one zigzags.",
            "Elongated elliptic contours with two paths to the centre; the larger step zigzags between the walls.",
        ),
        drawn(
            decay,
            "ravine-decay",
            "Each bound touches the curve it belongs to.",
            "Distances against steps for three step sizes with two dashed bounds, on a logarithmic axis.",
        ),
        to_zero(paths[best], "ravine-zero", "To zero, α = 2/(L + μ)", "Objective and gradient norm at the best constant step."),
        drawn(
            gap,
            "ravine-gap",
            "For this function the general bound is true and far too pessimistic: it knows nothing of μ.",
            "Objective against step, well under the line that falls like one over k.",
        ),
    ]


_BADLY_SCALED_QUADRATIC_CLAIMS = [
    Claim(
        "If f is μ-strongly convex, ‖xₖ₊₁ − x*‖ ≤ (1 − αμ)‖xₖ − x*‖.",
        "conditional",
        "f must be L-smooth too, and α ≤ 2/(L + μ). At α = 1.96/L the left side shrinks by 0.96, not by the 0.92 that "
        "is promised.",
    ),
    Claim(
        "The learning rate decides speed and stability.",
        "true",
        "On quadratics completely: it converges for 0 < α < 2/L, and fastest for 2/(L + μ).",
    ),
]


def badly_scaled_quadratic(context: Context) -> Experiment:
    """Curvature 1 one way and 25 the other: the step must suit the steep way, and the flat way waits."""
    mu, L, start = 1.0, 25.0, [8.0, 1.0]
    sizes = {"α = 1/L": 1 / L, "α = 2/(L + μ)": 2 / (L + mu), "α = 1.96/L": 1.96 / L}
    paths = {name: descend(ravine, start, a, context.pick(150, 150)) for name, a in sizes.items()}
    far = {name: p.distances([0, 0]) for name, p in paths.items()}
    k = next(iter(paths.values())).steps
    safe, best, bold = sizes
    strong = (1 - sizes[safe] * mu) ** k * far[safe][0]
    optimal = ((L - mu) / (L + mu)) ** k * far[best][0]
    convex = L * far[safe][0] ** 2 / (2 * k[1:])
    late = float(far[bold][-1] / far[bold][-2])
    kappas = np.array([2.0, 5.0, 10.0, 30.0, 100.0, 300.0][: context.pick(6, 5)])
    needed = np.array([_steps_to(c, 1e-3) for c in kappas])
    predicted = np.ceil(np.log(1e-3) / np.log((kappas - 1) / (kappas + 1)))
    cost = plot.measured_against_theory(
        {"measured": (kappas, needed, 0 * kappas)},
        {"ln 10⁻³ / ln((κ−1)/(κ+1))": (kappas, predicted)},
        "The price of bad scaling",
        "condition number κ = L/μ",
        "steps to a thousandth",
    )
    return Experiment(
        "A badly scaled quadratic: f(x, y) = ½(x² + 25y²)",
        """The steep direction allows steps up to $2/L$; the flat one would like $1/\\mu$, which is $\\kappa = L/\\mu = 25$
        times $1/L$. One number must serve both. At $1/L$ the steep coordinate is done in one step and the flat one crawls
        with factor $1 - \\mu/L$. The best constant step, $2/(L+\\mu)$, makes both equally slow. Close to $2/L$ the path
        zigzags across the ravine, and the bound $1 - \\alpha\\mu$, which looks only at the flat direction, is wrong: the
        steep direction now decides, with $\\lvert 1 - \\alpha L\\rvert = 0.96$.

        The last picture repeats this for other condition numbers. The number of steps grows in proportion to $\\kappa$:
        this is why scaling data, normalising layers, and adaptive step sizes pay.""",
        [
            at_most("largest ratio of ‖xₖ − x*‖ to (1 − αμ)ᵏ‖x₀ − x*‖ at α = 1/L", float(np.max(far[safe] / strong)), 1 + 1e-9),
            at_most("largest ratio to ((κ−1)/(κ+1))ᵏ at α = 2/(L + μ)", float(np.max(far[best] / optimal)), 1 + 1e-9),
            equals("late contraction at α = 1.96/L (theory |1 − αL|; 1 − αμ would be 0.9216)", late, 0.96, 1e-3),
            at_most(
                "largest ratio of f(xₖ) − f(x*) to L‖x₀ − x*‖²/2k at α = 1/L", float(np.max(paths[safe].values[1:] / convex)), 1.0
            ),
            at_most("largest difference from the predicted number of steps", float(np.max(np.abs(needed - predicted))), 1),
        ],
        formulas=[
            printed(cr.grad(ravine, (0, 1)), 1.0, 1.0, note="The gradient: one slope changes 25 times as fast as the other."),
            Formula(
                "\\|x_{k+1} - x^*\\| \\le \\max(\\lvert 1 - \\alpha\\mu\\rvert,\\, \\lvert 1 - \\alpha L\\rvert)\\; \\|x_k"
                " - x^*\\|",
                "Holds for every step size, if f is μ-strongly convex and L-smooth; it equals 1 − αμ for α ≤ 2/(L + μ) only.",
            ),
        ],
        figures=[
            *_ravine_pictures(paths, strong, optimal, convex),
            drawn(
                cost,
                "ravine-cost",
                "Thirty times the condition, thirty times the work.",
                "Steps needed against the condition number on logarithmic axes; measured points lie on the predicted line.",
            ),
        ],
        claims=_BADLY_SCALED_QUADRATIC_CLAIMS,
    )
