"""9.5 Optimisers: one table of update rules, walked over the same ground, against the rates that theory promises."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study import steps
from chainrule.study.data import classification
from chainrule.study.gradient_descent import rosenbrock
from chainrule.study.model import Chapter, Context, Experiment, Figure, Formula, Table, at_least, at_most, equals, text
from chainrule.study.steps import walk
from chainrule.study.tools import Array, drawn

TEXT = """All first-order optimisers are told the same thing, the gradient, and differ in what they remember of it.
Momentum remembers a direction. AdaGrad, RMSProp and Adam remember a size for every parameter and divide by it. Nesterov
looks ahead before it asks.

The pictures show their paths over the same ground. What can be promised about them is shown beside what they do: the
rates of gradient descent and of Nesterov's method on convex functions, the price of bad scaling with and without
momentum, and the step by which Adam, as it is usually written, walks away from the answer."""

o = cr.optim

# Rules by what they remember, each with a rate that suits the ravine below.
FAMILIES: dict[str, dict[str, Any]] = {
    "a direction": {
        "gradient descent": o.gradient_descent(0.07),
        "momentum": o.momentum(0.02, momentum=0.8),
        "Nesterov": o.nesterov(0.02, momentum=0.8),
    },
    "a size for each parameter": {
        "AdaGrad": o.adagrad(1.5),
        "RMSProp": o.rmsprop(0.15, decay=0.9),
        "AdaDelta": o.adadelta(5.0),
    },
    "both": {
        "Adam": o.adam(0.5),
        "AMSGrad": o.amsgrad(0.5),
        "NAdam": o.nadam(0.5),
        "RAdam": o.radam(0.07),
        "AdamW": o.adamw(0.5, weight_decay=0.01),
    },
}


def ravine(x: Any, y: Any) -> Any:
    """Curvature 1 along x and 25 along y."""
    return 0.5 * (x**2 + 25.0 * y**2)


def all_paths(context: Context) -> Experiment:
    """Eleven rules in the same ravine."""
    count, start = 150, np.array([8.0, 1.5])
    paths = {
        family: {name: walk(rule, ravine, start, count) for name, rule in rules.items()} for family, rules in FAMILIES.items()
    }
    figures: list[Figure] = []
    for k, (family, found) in enumerate(paths.items()):
        made = plot.contours_with_paths(
            ravine,
            (-4, 9),
            (-2.6, 2.6),
            {n: p[:81] for n, p in found.items()},
            f"Rules that remember {family}",
            minimum=(0, 0),
            loc="lower left",
        )
        figures.append(
            drawn(made, f"family-{k}", "Eighty steps each.", f"Contours of a ravine with the paths of {', '.join(found)}.")
        )
    gaps = {name: np.array([ravine(*p) for p in path]) for found in paths.values() for name, path in found.items()}
    bowl = {
        name: walk(rule, lambda x, y: ravine(x, y) * 1000.0, start, count)
        for name, rule in FAMILIES["both"].items()
        if name != "AdamW"
    }
    moved = max(float(np.max(np.abs(bowl[n] - paths["both"][n]))) for n in bowl if n != "RAdam")
    plain = walk(FAMILIES["a direction"]["gradient descent"], lambda x, y: ravine(x, y) * 1000.0, start, 20)
    rows = [[name, gap[20], gap[60], gap[-1]] for name, gap in gaps.items()]
    return Experiment(
        "All of them in one ravine",
        f"""Curvature 25 across, 1 along. Gradient descent must take steps that suit the walls. Momentum averages the
        zigzag away and keeps what is common to the steps. Dividing by a size for each parameter makes the walls as gentle
        as the floor: the first step of Adam is $\\alpha$ in every coordinate, whatever the gradient. So nothing changes
        for it if the loss is multiplied by a thousand, while gradient descent is thrown out: after twenty steps it is at
        {text(float(np.max(np.abs(plain[-1]))), 2)}.

        Two are slow here. AdaDelta has no rate of its own and must first find out how far to step. RAdam does not divide
        in its first five steps, so its rate must suit gradient descent, and is then too small.""",
        [
            at_most(
                "largest objective after 150 steps (from 60.1 at the start), all but AdaDelta and RAdam",
                max(float(g[-1]) for n, g in gaps.items() if n not in ("AdaDelta", "RAdam")),
                1.0,
            ),
            at_most("how far a loss times 1000 moves the path of Adam and its relatives", moved, 1e-3),
            equals("length of Adam's first step in each coordinate, α", float(np.ptp(paths["both"]["Adam"][:2, 0])), 0.5, 1e-6),
            at_least("where a loss times 1000 sends gradient descent", float(np.max(np.abs(plain[-1]))), 1e6),
        ],
        figures=figures,
        tables=[Table("Objective after", ["Rule", "20 steps", "60 steps", "150 steps"], rows)],
    )


def round_the_bend(context: Context) -> Experiment:
    """The same rules in Rosenbrock's valley."""
    count = context.pick(4000, 1500)
    rules: dict[str, Any] = {
        "gradient descent": o.gradient_descent(1e-3),
        "momentum": o.momentum(1e-3, momentum=0.9),
        "Nesterov": o.nesterov(1e-3, momentum=0.9),
        "RMSProp": o.rmsprop(o.schedules.cosine(0.02, count)),
        "Adam": o.adam(0.02),
    }
    paths = {name: walk(rule, rosenbrock, np.array([-1.2, 1.0]), count) for name, rule in rules.items()}
    far = {name: np.linalg.norm(p - 1.0, axis=1) for name, p in paths.items()}
    keep = plot.thinned(count + 1, 250)
    made = plot.contours_with_paths(
        lambda x, y: np.log10(1e-2 + rosenbrock(x, y)), (-1.7, 1.7), (-0.6, 1.9), {n: p[keep] for n, p in paths.items()},
        "Rosenbrock's valley", minimum=(1, 1), marked=0, loc="upper center",
    )  # fmt: skip
    decay = plot.curves(
        {n: (np.array(keep)[1:], d[keep][1:]) for n, d in far.items()},
        "Distance to the minimum",
        "step k",
        "‖xₖ − x*‖",
        xscale="log",
        loc="lower left",
    )
    ratio = float(far["momentum"][-1] / far["gradient descent"][-1])
    return Experiment(
        "Round the bend",
        """The valley of the first chapter again. With the same step size, momentum 0.9 goes about ten times as fast as
        gradient descent along the floor: a velocity that is fed the same gradient again and again grows to $1/(1 - 0.9)$
        times a single step.""",
        [
            at_most("distance from the minimum at the end, momentum over gradient descent", ratio, 0.2),
            at_most("distance of Nesterov's method at the end", float(far["Nesterov"][-1]), 0.1 if not context.quick else 0.35),
        ],
        figures=[
            drawn(made, "bend", "Five rules, one valley.", "Contours of a curved valley with five paths towards the minimum."),
            drawn(
                decay,
                "bend-decay",
                "The last stretch is what takes time.",
                "Distances to the minimum against steps for five rules.",
            ),
        ],
    )


# --- theory ------------------------------------------------------------------------------------------------------------------


def _logistic(context: Context) -> tuple[Callable[[Any], Any], int]:
    """A convex objective on real data: the loss of logistic regression."""
    given = classification(context)
    x, sign = given.x[:, :10], 2.0 * given.y - 1
    return lambda w: np.mean(np.logaddexp(0.0, -sign * (x @ w))) + 0.5e-3 * np.sum(w**2), x.shape[1]


def promises(context: Context) -> Experiment:
    """Runs on logistic regression beside the bounds of the theorems that speak of them."""
    f, d = _logistic(context)
    best = cr.minimize(f, np.zeros(d), method="lbfgs", tol=1e-11)
    curvature = cr.analysis.smoothness(f, np.zeros(d))
    steps_, reports, figures = context.pick(400, 150), dict[str, Any](), list[Figure]()
    for method in ("gradient_descent", "nesterov"):
        run = cr.minimize(f, np.zeros(d), method=method, learning_rate=1 / curvature.value, tol=0.0, max_steps=steps_)
        report = cr.analysis.convergence_report(run, minimum=float(best.fun), minimiser=best.x)
        reports[method] = report
        k = np.arange(1, len(report.measured))
        made = plot.curves(
            {"measured": (k, np.maximum(report.measured[1:], 1e-17))},
            f"{method.replace('_', ' ').capitalize()} on logistic regression",
            "step k",
            report.quantity,
            bounds={"bound": (k, report.bound[1:])},
            xscale="log",
        )
        said = report.theorem.statement if report.theorem else "no theorem"
        figures.append(
            drawn(made, f"promise-{method}", f"{said}.", f"Measured values of {method} below the bound of its theorem.")
        )
    slow, fast = (reports[m] for m in ("gradient_descent", "nesterov"))
    ratios = {m: float(np.max(r.measured[1:] / r.bound[1:])) for m, r in reports.items()}
    return Experiment(
        "What is promised, and what happens",
        f"""Logistic regression is convex, and the curvature of its loss is nowhere larger than at zero, where it is
        {text(curvature.value)}. With the step $1/L$ theorems bound what gradient descent and Nesterov's method can lose
        after $k$ steps, on every function of the kind. The measured curves stay below, far below where the function is
        kinder than the worst one.""",
        [
            at_most("gradient descent: largest ratio of the measured to the bound", ratios["gradient_descent"], 1 + 1e-9),
            at_most("Nesterov: largest ratio of the measured to the bound", ratios["nesterov"], 1 + 1e-9),
            at_least("hypotheses of both theorems that hold (1: all)", float(slow.applies and fast.applies), 1.0),
        ],
        formulas=[
            Formula(
                "f(x_k) - f^* \\le \\frac{L\\|x_0 - x^*\\|^2}{2k}, \\qquad "
                "f(x_k) - f^* \\le \\frac{2L\\|x_0 - x^*\\|^2}{(k+1)^2}",
                "Gradient descent and Nesterov's method with the step $1/L$, for convex functions.",
            )
        ],
        figures=figures,
    )


def _needed(rule_of: Callable[[float], Any], kappa: float, target: float, most: int) -> int:
    """Steps until both coordinates of a quadratic with curvatures 1 and kappa have shrunk to `target` and stay there."""
    f = lambda x, y: 0.5 * (x**2 + kappa * y**2)
    path = walk(rule_of(kappa), f, np.array([1.0, 1.0]), most)
    late = np.flatnonzero(np.max(np.abs(path), 1) > target)
    return int(late[-1]) + 1


def bad_scaling(context: Context) -> Experiment:
    """Steps against the condition number, with and without momentum, at the best constants of each."""
    kappas = np.array([4.0, 10.0, 30.0, 100.0, 300.0, 1000.0][: context.pick(6, 5)])

    def descent(kappa: float) -> Any:
        return o.gradient_descent(2 / (1 + kappa))

    def heavy_ball(kappa: float) -> Any:
        root = np.sqrt(kappa)
        return o.momentum(4 / (1 + root) ** 2, momentum=((root - 1) / (root + 1)) ** 2)

    plain = np.array([_needed(descent, k, 1e-4, int(10 * k) + 50) for k in kappas])
    heavy = np.array([_needed(heavy_ball, k, 1e-4, int(20 * np.sqrt(k)) + 100) for k in kappas])
    slope_plain, slope_heavy = (float(np.polyfit(np.log(kappas[1:]), np.log(n[1:]), 1)[0]) for n in (plain, heavy))
    rate = lambda r: np.log(1e-4) / np.log(r)
    roots = np.sqrt(kappas)
    made = plot.measured_against_theory(
        {"gradient descent": (kappas, plain, 0 * kappas), "momentum": (kappas, heavy, 0 * kappas)},
        {
            "rate (κ−1)/(κ+1)": (kappas, rate((kappas - 1) / (kappas + 1))),
            "rate (√κ−1)/(√κ+1)": (kappas, rate((roots - 1) / (roots + 1))),
        },
        "Steps to a ten-thousandth",
        "condition number κ",
        "steps",
    )
    return Experiment(
        "The price of bad scaling, with momentum",
        """On a quadratic with condition number $\\kappa$ gradient descent needs steps in proportion to $\\kappa$;
        momentum, with the right constants, in proportion to $\\sqrt\\kappa$. At $\\kappa = 1000$ that is the difference
        between thousands and a few hundred. Momentum does not shrink the error by the same factor in each step: it
        overshoots first, so it lies somewhat above its line.""",
        [
            equals("growth of the steps with κ: gradient descent, exponent", slope_plain, 1.0, 0.05),
            equals("growth of the steps with κ: momentum, exponent", slope_heavy, 0.5, 0.1),
            at_most("steps of momentum over those of gradient descent at the largest κ", float(heavy[-1] / plain[-1]), 0.3),
        ],
        formulas=[
            Formula(
                "\\alpha = \\frac{4}{(\\sqrt L + \\sqrt\\mu)^2}, \\qquad "
                "\\beta = \\left(\\frac{\\sqrt\\kappa - 1}{\\sqrt\\kappa + 1}\\right)^2",
                "Polyak's constants. They are for quadratics: on other convex functions momentum with them can fail to converge.",
            )
        ],
        figures=[
            drawn(
                made,
                "scaling",
                "One slope is half the other.",
                "Steps against condition number on logarithmic axes, slope one for gradient descent, one half for momentum.",
            )
        ],
    )


def where_adam_fails(context: Context) -> Experiment:
    """A linear function of one number, seen through random gradients: Adam goes the wrong way (Reddi, Kale and Kumar 2018)."""
    count, seeds = context.pick(6000, 3000), 12
    large, chance = 10.0, 0.13  # the mean gradient is 10 * 0.13 - 1 * 0.87 > 0, so the minimum in [-1, 1] is at -1
    rng = np.random.default_rng(0)
    draws = np.where(rng.random((seeds, count)) < chance, large, -1.0)

    def run(rule: Any) -> Array:
        def one(gs: Any) -> Any:
            def step(carry: Any, g: Any) -> Any:
                x, state = carry
                x, state = rule.step(x, g, state)
                x = np.minimum(np.maximum(x, -1.0), 1.0)
                return (x, state), x

            start = np.array(0.0)
            return cr.scan(step, (start, rule.init(start)), gs)[1]

        return np.asarray(cr.jit(cr.vmap(one))(draws))

    rate, slow = o.schedules.sqrt(0.5), o.schedules.sqrt(0.1)
    found = {
        "Adam, β₂ = 0.5": run(o.adam(rate, beta1=0.0, beta2=0.5)),
        "AMSGrad, β₂ = 0.5": run(o.amsgrad(rate, beta1=0.0, beta2=0.5)),
        "SGD": run(o.sgd(slow)),
    }
    k = np.arange(1, count + 1)
    keep = plot.thinned(count, 200)
    made = plot.curves(
        {n: (k[keep], x.mean(0)[keep]) for n, x in found.items()},
        "Mean position of 12 runs; the answer is −1",
        "step",
        "x",
        yscale="linear",
        ylim=(-1.1, 1.1),
    )
    adam, ams = (found[n][:, -count // 4 :].mean() for n in ("Adam, β₂ = 0.5", "AMSGrad, β₂ = 0.5"))
    return Experiment(
        "Where Adam fails",
        f"""The function is $f(x) = {large * chance - (1 - chance):.2f}\\,x$ on $[-1, 1]$, and its minimum is at $-1$. The
        gradient is seen through noise: +10 now and then, −1 most of the time, right on average. Adam divides each by the
        size of those it remembers, so the rare large gradient is divided by itself, and the many small ones win. With a
        short memory it settles at the wrong end. AMSGrad never lets the size shrink, and goes the right way. With the
        usual $\\beta_2 = 0.999$ the memory is long enough here: this is about the limit, not about the default.""",
        [
            at_least("mean position of Adam in the last quarter (the minimum is at −1)", float(adam), 0.5),
            at_most("mean position of AMSGrad in the last quarter", float(ams), -0.7),
            at_most("mean position of SGD in the last quarter", float(found["SGD"][:, -count // 4 :].mean()), -0.7),
        ],
        figures=[
            drawn(
                made,
                "wrong-way",
                "The same gradients for all three.",
                "Adam's mean position goes to plus one, that of AMSGrad and SGD to minus one.",
            )
        ],
    )


CHAPTER = Chapter(
    "9.5",
    "Optimisers",
    TEXT,
    (all_paths, round_the_bend, promises, bad_scaling, where_adam_fails, *steps.EXPERIMENTS),
    cover="all_paths",
)
