"""9.1, second half: stochastic gradient descent on real data, measured over seeds against its exact mean."""

# pyright: reportMissingTypeStubs=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

import chainrule as cr
from chainrule import plot
from chainrule.study import data as sets
from chainrule.study.data import Dataset, regression
from chainrule.study.model import Claim, Context, Experiment, Formula, Table, at_least, at_most, equals, text
from chainrule.study.moments import Array, LeastSquares, Schedule, expected, floor
from chainrule.study.tools import drawn, printed, value_and_gradient


def loss(theta: Any, x: Any, y: Any) -> Any:
    """Half the mean squared error of a linear model.

    Args:
        theta: (d,) coefficients.
        x: (n, d) examples.
        y: (n,) targets.
    """
    return 0.5 * np.mean((x @ theta - y) ** 2)


@cache
def diabetes() -> LeastSquares:
    """scikit-learn's diabetes data, 442 patients and 10 features, each column with mean 0 and standard deviation 1."""
    return LeastSquares(sets.diabetes().x, sets.diabetes().y)


def sgd(
    data: LeastSquares, start: Array, schedule: Schedule, count: int, batch: int, seeds: int, context: Context
) -> tuple[Array, Array]:
    """Runs of stochastic gradient descent, all seeds side by side.

    Args:
        data: the problem.
        start: (d,) where every run begins.
        schedule: step k -> learning rate.
        count: how many steps.
        batch: examples in a mini-batch, drawn with replacement.
        seeds: how many runs.
        context: whom to tell how far it is.

    Returns:
        f - f* at every step (count + 1, seeds), and the same at the mean of the points so far.
    """
    gradients = cr.jit(cr.vmap(cr.grad(loss)))
    rng = np.random.default_rng(91)
    theta = np.tile(start, (seeds, 1))
    total = np.zeros_like(theta)
    excess, averaged = np.empty((count + 1, seeds)), np.empty((count + 1, seeds))
    for k in context.steps(count + 1):
        total += theta
        excess[k], averaged[k] = data.excess(theta), data.excess(total / (k + 1))
        rows = rng.integers(len(data.x), size=(seeds, batch))
        theta = theta - schedule(k) * gradients(theta, data.x[rows], data.y[rows])
    return excess, averaged


def interval(samples: Array) -> tuple[Array, Array]:
    """Mean over the last axis, and the half-width of its 95% confidence interval (Student's t)."""
    n = samples.shape[-1]
    half = stats.t.ppf(0.975, n - 1) * np.std(samples, axis=-1, ddof=1) / np.sqrt(n)
    return np.mean(samples, axis=-1), half


def deviation(samples: Array, exact: Any) -> Array:
    """By how many standard errors the mean over the last axis misses the exact value."""
    error = np.std(samples, axis=-1, ddof=1) / np.sqrt(samples.shape[-1])
    return np.abs(np.mean(samples, axis=-1) - exact) / error


# --- experiments ---------------------------------------------------------------------------------------------------------


_DIABETES_STORY = """From ten measurements of 442 patients, predict how their diabetes progresses in a year; the blood values
s1 to s6 are strongly correlated."""


def _explained_by_others(given: Dataset) -> float:
    from sklearn.linear_model import LinearRegression

    return float(LinearRegression().fit(given.x, given.y).score(given.x, given.y))


def linear_regression(context: Context) -> Experiment:
    """All the data in every step: the closed-form solution is reached at the predicted speed."""
    given = regression(context)
    problem = LeastSquares(given.x, given.y)
    curvature = np.linalg.eigvalsh(problem.hessian)
    low, high = curvature[curvature > 1e-10 * curvature[-1]][[0, -1]]  # along flat directions descent from zero never moves
    step, count = 2 / (low + high), context.pick(6_000, 2_500)
    both = value_and_gradient(loss)
    theta = np.zeros(problem.x.shape[1])
    far, slope = np.empty(count + 1), np.empty(count + 1)
    for k in context.steps(count + 1):
        _, g = both(theta, problem.x, problem.y)
        far[k], slope[k] = np.linalg.norm(theta - problem.solution), np.linalg.norm(g)
        theta = theta - step * g
    rng = np.random.default_rng(1)
    point = rng.standard_normal(len(theta))
    by_hand = problem.x.T @ (problem.x @ point - problem.y) / len(problem.x)
    error = float(np.max(np.abs(both(point, problem.x, problem.y)[1] - by_hand)))
    explained = 1 - np.mean(problem.residuals**2) / np.var(problem.y)
    rate = (high - low) / (high + low)
    keep = plot.thinned(count + 1)
    k = np.arange(count + 1)[keep]
    bound = far[0] * rate**k
    made = plot.curves(
        {"distance ‖θₖ − θ*‖": (k, far[keep]), "gradient ‖∇f‖": (k, slope[keep])},
        "Gradient descent on all rows",
        "step k",
        "value",
        bounds={"((κ−1)/(κ+1))ᵏ‖θ₀ − θ*‖": (k, bound)},
        ylim=(1e-10, 10),
        loc="lower left",
    )
    story = "" if given.own else _DIABETES_STORY
    goal = float(bound[-1]) * (1 + 1e-6) + 1e-9 if given.own else 1e-3 if context.quick else 1e-8
    return Experiment(
        f"Linear regression on {given.name}, all data in every step",
        f"""{story} {given.size}. With
        $f(\\theta) = \\frac{{1}}{{2n}}\\|X\\theta - y\\|^2$ the best coefficients have a closed form, so the distance of
        any method from its goal can be measured exactly. Columns are standardised. Where they are correlated, curvature is
        uneven: here it goes from {text(low)} to {text(high)}: a condition number of {text(high / low)},
        which sets how many steps it takes.""",
        [
            at_most("distance from the closed-form solution at the end", float(far[-1]), goal),
            at_most(
                "largest ratio of that distance to its bound on the way",
                float(np.max(far[keep][bound > 1e-9] / bound[bound > 1e-9])),
                1 + 1e-6,
            ),
            at_most("largest error of the gradient against Xᵀ(Xθ − y)/n", error, 1e-13),
            equals(
                f"variance explained, R² ({'by scikit-learn' if given.own else 'published value for these data'})",
                float(explained),
                _explained_by_others(given) if given.own else 0.5177,
                5e-5,
            ),
        ],
        formulas=[
            printed(
                cr.grad(loss), np.zeros(len(theta)), problem.x, problem.y, note="The gradient of half the mean squared error."
            ),
            Formula(
                "\\nabla f(\\theta) = \\tfrac{1}{n} X^\\top(X\\theta - y), \\qquad \\theta^* = (X^\\topX)^{-1}X^\\topy",
                "What the computed gradient is compared with; $\\theta^*$ itself is found by orthogonal factors, which "
                "lose fewer digits.",
            ),
        ],
        figures=[
            drawn(
                made,
                "diabetes",
                "The slowest direction sets the pace, and the bound runs parallel to it.",
                "Distance to the solution and gradient norm against steps, both falling to the predicted line's slope.",
            )
        ],
        tables=[
            Table(
                "Coefficients per standard deviation",
                ["Feature", "Closed form", "Descent"],
                [[n, float(a), float(b)] for n, a, b in zip(given.features, problem.solution, theta, strict=True)],
            )
        ],
    )


_START = 0.1  # the first learning rate of every schedule
SCHEDULES: dict[str, Schedule] = {
    "constant α₀": lambda k: _START,
    "α₀/(1 + βk), β = 0.01": lambda k: _START / (1 + 0.01 * k),
    "α₀/√(k + 1)": lambda k: _START / np.sqrt(k + 1),
}


_SCHEDULES_CLAIMS = [
    Claim(
        "A square-root schedule is αₖ = α₀/√k.",
        "imprecise",
        "It divides by zero at k = 0. Count from 1, or use α₀/√(k + 1) as here.",
    ),
    Claim(
        "Learning-rate schedules make SGD converge.",
        "conditional",
        "To the solution itself if the steps sum to infinity and their squares to a finite number (Robbins and "
        "Monro), which 1/(1 + βk) satisfies and 1/√k does not; for it, f(θₖ) still tends to f* here, since αₖ → 0 "
        "slowly enough.",
    ),
    Claim(
        "The gradient of a random example is right on average.",
        "true",
        "If it is drawn uniformly. Sweeping through shuffled data, as is usual, makes the steps of one sweep dependent.",
    ),
]


def schedules(context: Context) -> Experiment:
    """Three schedules, a hundred runs each, on the lines that the exact mean predicts."""
    data, batch = diabetes(), 16
    count, seeds = context.pick(3_000, 600), 100
    marks = np.unique(np.geomspace(1, count, 60).astype(int))
    seen: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    bands: dict[str, Any] = {}
    worst, last = 0.0, dict[str, float]()
    for name, schedule in SCHEDULES.items():
        runs, _ = sgd(data, np.zeros(data.x.shape[1]), schedule, count, batch, seeds, context)
        mean, half = interval(runs[marks])
        theory = expected(data, np.zeros(data.x.shape[1]), schedule, count, batch).excess
        seen[name], bands[name] = (marks, mean), (np.maximum(mean - half, 1e-9), mean + half)
        exact["exact mean" if not exact else f"_{name}"] = (marks, theory[marks])
        checked = marks[marks >= 8]
        worst = max(worst, float(np.max(deviation(runs[checked], theory[checked]))))
        last[name] = float(mean[-1])
    constant, decay, root = last.values()
    made = plot.curves(
        seen,
        f"Three schedules, {seeds} runs each",
        "step k",
        "f(θₖ) − f(θ*)",
        bounds=exact,
        bands=bands,
        xscale="log",
        loc="lower left",
    )
    k = np.arange(1, count + 1)
    rates = plot.curves(
        {n: (k, [s(int(j) - 1) for j in k]) for n, s in SCHEDULES.items()},
        "The schedules",
        "step k + 1",
        "learning rate",
        xscale="log",
        loc="lower left",
    )
    return Experiment(
        "Mini-batches and schedules",
        """Now a step sees 16 patients, drawn at random. Their gradient is right on average, and wrong every time. While the
        goal is far the error hardly matters; near it, the error is all that is left. A constant learning rate ends in a
        cloud around the solution. A falling one shrinks the cloud, and pays for it with slower steps.

        Because the loss is quadratic, the mean over all ways to draw the batches can be computed exactly, step by step,
        from the data: the dashed lines. They are not fitted to the runs.""",
        [
            at_most("largest deviation of measured means from exact ones, in standard errors", worst, 5.0),
            at_most("final f − f* of α₀/(1 + βk), as a part of that of constant α₀", decay / constant, 1.0),
            at_most(
                "final f − f* of α₀/√(k + 1), as a part of that of constant α₀",
                root / constant,
                1.0 if not context.quick else 3.0,
            ),
        ],
        formulas=[
            Formula(
                "\\theta_{k+1} = \\theta_k - \\alpha_k\\, \\frac{1}{B}\\sum_{i\\in\\mathcal{B}_k} \\nabla L_i(\\theta_k)",
                "One step on the mini-batch $\\mathcal{B}_k$ of $B$ examples.",
            ),
        ],
        figures=[
            drawn(
                made,
                "schedules",
                "Shaded: 95% confidence interval of the mean. Dashed: the exact mean.",
                "Excess loss against steps for three schedules with confidence bands lying on dashed predictions; the "
                "constant one levels off, the others go on falling.",
            ),
            drawn(
                rates,
                "schedule-rates",
                "The same first step, three ways to go on.",
                "Learning rates against steps on logarithmic axes.",
            ),
        ],
        claims=_SCHEDULES_CLAIMS,
    )


@dataclass(frozen=True)
class Floor:
    """The excess of late points with a constant step, measured and exact."""

    step: float
    batch: int
    mean: float
    half: float
    deviation: float
    exact: float
    limit: float

    @property
    def row(self) -> list[str]:
        """The numbers for a table."""
        measured = f"{text(self.mean, 3)} ± {text(self.half, 2)}"
        return [f"α = {self.step}, B = {self.batch}", measured, text(self.exact, 3), text(self.limit, 3)]


def _floor(data: LeastSquares, step: float, batch: int, length: int, seeds: int, context: Context) -> Floor:
    """Measure the second half of runs that start at the solution."""

    def constant(k: int) -> float:
        return step

    runs, _ = sgd(data, data.solution, constant, length, batch, seeds, context)
    late = slice(length // 2, None)
    exact = np.mean(expected(data, data.solution, constant, length, batch).excess[late])
    samples = np.mean(runs[late], axis=0)
    mean, half = interval(samples)
    limit = floor(data, step, batch)
    return Floor(step, batch, float(mean), float(half), float(deviation(samples, exact)), float(exact), limit)


def _against(data: LeastSquares, floors: Sequence[Floor], name: str, over: Array, title: str) -> Any:
    """Measured floors on the exact line, against `name`, which is "step" or "batch"."""
    xs = [getattr(f, name) for f in floors]
    limits = [floor(data, float(v), 8) if name == "step" else floor(data, floors[0].step, int(v)) for v in over]
    return plot.measured_against_theory(
        {"measured, 95% interval": (xs, [f.mean for f in floors], [f.half for f in floors])},
        {"exact, k → ∞": (over, limits)},
        title,
        "learning rate α" if name == "step" else "batch size B",
        "f(θₖ) − f(θ*), late",
    )


_NOISE_FLOOR_CLAIMS = [
    Claim(
        "Larger batches make gradients less noisy.",
        "true",
        "The variance is divided by B if examples are drawn independently.",
    ),
    Claim(
        "Noise in the gradients helps generalisation.",
        "conditional",
        "An observation about some networks, not a theorem. On this convex problem noise only costs accuracy.",
    ),
]


def noise_floor(context: Context) -> Experiment:
    """How far above the minimum a constant step stays: measured over seeds, with intervals, against the exact value."""
    data, seeds, length_times_step = diabetes(), context.pick(64, 24), context.pick(60, 20)
    cases = [(0.0125, 8), (0.025, 8), (0.05, 8), (0.1, 8), (0.1, 32), (0.1, 128)]
    floors = list[Floor]()
    for done, (step, batch) in enumerate(cases):
        part = context.part(done, len(cases))
        floors.append(_floor(data, step, batch, round(length_times_step / step), seeds, part))
    inside = sum(abs(f.mean - f.exact) <= f.half for f in floors)
    worst, rows = max(f.deviation for f in floors), [f.row for f in floors]
    by_step = _against(data, floors[:4], "step", np.geomspace(0.01, 0.13, 12), "Floor against learning rate, B = 8")
    by_batch = _against(data, floors[3:], "batch", np.array([6, 8, 16, 32, 64, 128, 170]), "Floor against batch size, α = 0.1")
    return Experiment(
        "The noise floor of a constant step",
        f"""Even from the solution itself a constant step walks away, into a cloud whose mean excess can be computed. So
        that nothing but the noise is seen, we start there: {seeds} seeds for each of six settings. We average the second
        half of each run, and give a 95% confidence interval over the seeds. The exact value comes from the recursion for
        the second moment, and its limit from a linear system; nothing is fitted. Half the step, about half the floor; four
        times the batch, about a quarter.""",
        [
            at_most("largest deviation from the exact mean, in standard errors", worst, 5.0),
            at_least("95% intervals, of six, that hold the exact mean", inside, 4),
            equals(
                "floor at α = 0.1 over floor at α = 0.05, exact, B = 8: a little more than 2",
                floor(data, 0.1, 8) / floor(data, 0.05, 8),
                2.25,
                0.25,
            ),
            equals(
                "floor at B = 8 over floor at B = 32, exact: a little more than 4",
                floor(data, 0.1, 8) / floor(data, 0.1, 32),
                4.75,
                0.75,
            ),
        ],
        formulas=[
            Formula(
                "\\mathbb{E}[f(\\theta_k)] - f(\\theta^*) \\;\\to\\; \\approx \\frac{\\alpha\\,\\sigma^2}{4B}\\operatorname{tr}H",
                "The floor for small steps, if residuals have variance $\\sigma^2$ and do not depend on the examples. The "
                "lines are exact for any step.",
            )
        ],
        figures=[
            drawn(
                by_step,
                "floor-step",
                "Proportional to the step while it is small, faster beyond.",
                "Four measured floors with intervals on the predicted rising line.",
            ),
            drawn(
                by_batch,
                "floor-batch",
                "Inversely proportional to the batch.",
                "Three measured floors with intervals on the predicted falling line.",
            ),
        ],
        tables=[
            Table(
                "f(θₖ) − f(θ*) in the second half of the runs",
                ["Setting", "Measured, 95% interval", "Exact, same steps", "Exact, k → ∞"],
                rows,
            )
        ],
        claims=_NOISE_FLOOR_CLAIMS,
    )


def a_bound_that_cannot_hold(context: Context) -> Experiment:
    """A bound for constant steps that tends to zero, against runs that do not."""
    data, step, batch = diabetes(), 0.1, 8
    count, seeds = context.pick(4_000, 1_500), 40
    runs, averaged = sgd(data, np.zeros(data.x.shape[1]), lambda k: step, count, batch, seeds, context)
    theory = expected(data, np.zeros(data.x.shape[1]), lambda k: step, count, batch)
    k = np.arange(1, count + 1)
    distance = float(data.solution @ data.solution)
    noise = float(np.trace((data.x.T * data.residuals**2) @ data.x)) / (len(data.x) * batch)
    stated = (distance + noise) / (2 * step * k)
    square = float(np.max(theory.squared_gradient))
    holds = distance / (2 * step * k) + step * square / 2
    mean, half = interval(runs[1:])
    average, _ = interval(averaged[:-1])
    broken = int(k[np.argmax(theory.excess[1:] > stated)])
    marks = np.unique(np.geomspace(1, count, 80).astype(int)) - 1
    made = plot.curves(
        {"E f(θₖ) − f*": (k[marks], mean[marks]), "at the mean of the θⱼ": (k[marks], average[marks])},
        "Two bounds for a constant step",
        "step k",
        "excess loss",
        bounds={"(R² + σ²)/2αk": (k[marks], stated[marks]), "R²/2αk + αG²/2": (k[marks], holds[marks])},
        bands={"E f(θₖ) − f*": ((mean - half)[marks], (mean + half)[marks])},
        xscale="log",
        loc="lower left",
    )
    return Experiment(
        "A bound that cannot hold",
        f"""For convex functions one finds the bound $E[f(\\theta_k)] - f^* \\le (R^2+\\sigma^2)/(2\\alpha k)$, with $R$ the
        distance at the start and $\\sigma^2$ the variance of the gradient. Two things are wrong with it. It adds a squared
        length in parameters to a squared gradient, which have different units. And for a constant $\\alpha$ it tends to
        zero, while the last experiment showed a floor. The runs cross it at step {broken:,}.

        What holds is a statement about the average of the points, $\\bar\\theta_k$, and it keeps the floor:
        $R^2/(2\\alpha k) + \\alpha G^2/2$, where $G^2$ bounds the mean squared length of the gradients that were used.""",
        [
            at_most("largest ratio of the average's measured excess to R²/2αk + αG²/2", float(np.max(average / holds)), 1.0),
            at_least(
                "exact E f(θₖ) − f* over (R² + σ²)/2αk at the end: above 1, the bound is broken",
                float(theory.excess[-1] / stated[-1]),
                1.0,
            ),
            at_least(
                "the same, with the lower end of the measured 95% interval",
                float((mean - half)[-200:].mean() / stated[-200:].mean()),
                1.0,
            ),
        ],
        formulas=[
            Formula(
                "\\mathbb{E}\\,[f(\\bar\\theta_k)] - f^* \\le \\frac{R^2}{2\\alpha k} + \\frac{\\alpha G^2}{2}, \\qquad "
                "\\bar\\theta_k = \\frac1k \\sum_{j<k} \\theta_j",
                "For convex $f$, unbiased gradients with $E\\|g_j\\|^2 \\le G^2$, and a constant step.",
            ),
        ],
        figures=[
            drawn(
                made,
                "bounds",
                "The dashed bound goes to zero and is crossed; the other keeps the floor.",
                "Excess loss of SGD levels off and crosses the bound that falls like one over k; the average's stays below"
                " the corrected bound.",
            )
        ],
        claims=[
            Claim(
                "For convex functions E[f(θₖ)] − f* ≤ (R² + σ²)/(2αk).",
                "false",
                f"For a constant step it is broken from step {broken:,} on. Correct: E[f(θ̄ₖ)] − f* ≤ R²/(2αk) + αG²/2 for"
                " the averaged point; with α proportional to 1/√k this gives the rate 1/√k.",
            ),
        ],
    )


EXPERIMENTS = (linear_regression, schedules, noise_floor, a_bound_that_cannot_hold)
