"""The introduction: slopes, areas and averages, and what a trained model owes to its inputs."""

# pyright: reportMissingTypeStubs=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study import sensitivity
from chainrule.study.model import Chapter, Context, Experiment, Formula, Table, at_least, at_most, equals, text
from chainrule.study.stochastic import interval
from chainrule.study.tools import Array, drawn, printed

TEXT = """
Learning is written with three operations. Derivatives say which way is down. Integrals are hidden in every expectation:
what a model should minimise is the mean loss over all examples there could be, and what it can compute is the mean over
those it has. And derivatives of expectations are what stochastic training, policy gradients and variational methods compute.

The experiments of this chapter measure each of the three against what is known exactly, and then ask a trained model what
its answers owe to its inputs: first by its gradient, then by integrating the gradient along a path.
"""


# --- integrals -----------------------------------------------------------------------------------------------------------


def area(c: Any, a: Any, b: Any) -> Any:
    """The integral of exp(-c x^2) from a to b."""
    return cr.integrate(lambda x: np.exp(-c * x**2), a, b)


def _rule_errors(counts: Array) -> dict[str, Array]:
    """Errors of three rules with n nodes for the integral of exp(-x^2) from 0 to 2."""
    from scipy.special import erf

    exact = np.sqrt(np.pi) / 2 * erf(2.0)
    f = lambda x: np.exp(-(x**2))
    middle, trapezoid, gauss = [], [], []
    for n in counts:
        xs = np.linspace(0, 2, n + 1)
        middle.append(abs(np.mean(f((xs[1:] + xs[:-1]) / 2)) * 2 - exact))
        trapezoid.append(abs(np.trapezoid(f(xs), xs) - exact))
        nodes, weights = np.polynomial.legendre.leggauss(int(n))
        gauss.append(abs(weights @ f(nodes + 1) - exact))
    return {"trapezoid": np.array(trapezoid), "midpoint": np.array(middle), "Gauss": np.array(gauss) + 1e-17}


def areas(context: Context) -> Experiment:
    """An integral is a number with derivatives: by what is in it, and by its bounds."""
    from scipy.special import erf

    c, a, b = 0.7, 0.25, 2.0
    exact = np.sqrt(np.pi / c) / 2 * (erf(np.sqrt(c) * b) - erf(np.sqrt(c) * a))
    by_c, by_a, by_b = cr.grad(area, (0, 1, 2))(c, a, b)
    inside = cr.integrate(lambda x: -(x**2) * np.exp(-c * x**2), a, b)
    counts = np.array([2, 3, 4, 6, 8, 12, 16, 24, 32, 64])
    errors = _rule_errors(counts)
    order = float(np.polyfit(np.log(counts[4:]), np.log(errors["trapezoid"][4:]), 1)[0])
    made = plot.curves(
        {name: (counts, e) for name, e in errors.items()},
        "Error of three rules for ∫ exp(−x²) from 0 to 2",
        "evaluations",
        "error",
        xscale="log",
        ylim=(1e-16, 1),
        loc="lower left",
    )
    return Experiment(
        "Areas, and how they change",
        """An integral depends on its bounds and on everything its integrand reads, and it can be differentiated by all of
        them. By a bound the derivative is the integrand there; by a number inside, it is the integral of the derivative
        (Leibniz). chainrule chooses nodes for the value and then differentiates the sum over them, so both come from the
        rule that computed the value.

        How many nodes are needed depends on the rule. Equal spacing gains a factor four for twice the work. Gauss' nodes
        gain digits with each node, because the integrand is smooth.""",
        [
            at_most("error of the integral against the error function", abs(float(area(c, a, b)) - float(exact)), 1e-12),
            at_most("error of the derivative by the upper bound, f(b)", abs(float(by_b) - np.exp(-c * b**2)), 1e-10),
            at_most("error of the derivative by the lower bound, −f(a)", abs(float(by_a) + np.exp(-c * a**2)), 1e-10),
            at_most("error of the derivative by c against the integral of ∂f/∂c", abs(float(by_c) - float(inside)), 1e-10),
            equals("order of the trapezoid rule", order, -2.0, 0.05),
        ],
        formulas=[
            Formula(
                "\\frac{d}{dc} \\int_a^b f(x, c)\\, dx = \\int_a^b \\frac{\\partial f}{\\partial c}(x, c)\\, dx, \\qquad "
                "\\frac{d}{db} \\int_a^b f(x, c)\\, dx = f(b, c)",
                "Leibniz' rule, for bounds that do not depend on $c$.",
            )
        ],
        figures=[
            drawn(
                made,
                "rules",
                "Seven evaluations at Gauss' nodes are worth thousands at equal spacing.",
                "Errors of three rules against evaluations on logarithmic axes: two fall in straight lines, Gauss' plunges.",
            )
        ],
    )


def averages(context: Context) -> Experiment:
    """The same expectation by quadrature, by random draws and by evenly spread ones."""
    f = lambda x: np.exp(np.sin(x))
    normal = cr.distributions.normal(0.5, 1.0)
    exact = float(cr.expectation(f, normal))
    counts = 2 ** np.arange(4, context.pick(13, 10))
    repeats = context.pick(64, 32)
    found: dict[str, tuple[Array, Array]] = {}
    keys = [cr.random.key(k) for k in range(repeats)]
    for name, method in (("random draws", "monte_carlo"), ("evenly spread draws", "quasi")):
        rms = np.array(
            [_rms([float(cr.expectation(f, normal, method, samples=int(n), key=k)) - exact for k in keys]) for n in counts]
        )
        found[name] = counts, rms
    orders = {name: float(np.polyfit(np.log(n), np.log(e), 1)[0]) for name, (n, e) in found.items()}
    square = float(cr.expectation(lambda x: (f(x) - exact) ** 2, normal))
    made = plot.curves(
        found,
        "Error of a mean over n draws",
        "draws n",
        "root mean square error",
        bounds={"σ/√n": (counts, np.sqrt(square / counts))},
        xscale="log",
    )
    ratio = found["random draws"][1] / np.sqrt(square / counts)
    return Experiment(
        "Averages",
        f"""The expected value of $e^{{\\sin x}}$ for $x$ normal with mean ½ is {text(exact, 8)}. In one dimension a quadrature
        gets all digits. Random draws get it with an error of $\\sigma/\\sqrt n$, in any number of dimensions: a hundred times
        the work for one more digit. Points that are spread evenly on purpose, and then shifted at random, do better where
        the function is smooth.""",
        [
            equals("order of the error of random draws", orders["random draws"], -0.5, 0.1),
            at_most("order of the error of evenly spread draws", orders["evenly spread draws"], -0.7),
            equals("mean ratio of the measured error to σ/√n", float(np.mean(ratio)), 1.0, 0.15),
        ],
        formulas=[printed(f, 1.0, note="What is averaged.")],
        figures=[
            drawn(
                made,
                "averages",
                "The dashed line is computed, not fitted.",
                "Errors against draws on logarithmic axes; random draws lie on the predicted line, spread draws fall faster.",
            )
        ],
    )


def _rms(xs: Any) -> float:
    return float(np.sqrt(np.mean(np.square(xs))))


# --- derivatives of expectations ------------------------------------------------------------------------------------------


def gradients_of_averages(context: Context) -> Experiment:
    """Two unbiased estimators of the same derivative, and what they cost."""
    f = lambda x: x**2
    means = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
    found = [
        cr.integrals.compare_gradients(
            f, lambda m: cr.distributions.normal(m, 1.0), float(m), key=cr.random.key(k), repeats=context.pick(4000, 1000)
        )
        for k, m in enumerate(means)
    ]
    measured = {name: np.array([float(e[name].variance) for e in found]) for name in found[0]}
    theory = {"pathwise: 4": 4 + 0 * means, "score: m⁴ + 14m² + 15": means**4 + 14 * means**2 + 15}
    z = max(abs(float(e[name].z)) for e in found for name in e)
    ratios = measured["score"] / (means**4 + 14 * means**2 + 15)
    made = plot.curves(
        {name: (means, v) for name, v in measured.items()},
        "Variance of the derivative of E x² by the mean",
        "mean m",
        "variance of one draw",
        bounds={name: (means, v) for name, v in theory.items()},
        loc="upper left",
    )
    return Experiment(
        "Derivatives of averages",
        """The derivative of $E_{x \\sim N(m, 1)}[x^2]$ by $m$ is $2m$. There are two ways to estimate it from draws. The
        pathwise one writes $x = m + \\epsilon$ and differentiates what is averaged. The score function leaves the draw alone
        and differentiates its probability, $f(x)\\,\\partial_m \\ln p(x)$: it needs no derivative of $f$, which is why policy
        gradients use it. Both are right on average. Their variances differ by a factor that grows with $m^4$; subtracting a
        baseline takes part of it away.""",
        [
            at_most("largest deviation of any estimator's mean, in standard errors", z, 4.5),
            equals("variance of the pathwise estimator, mean over m", float(np.mean(measured["pathwise"])), 4.0, 0.4),
            equals("ratio of the score estimator's variance to theory, mean over m", float(np.mean(ratios)), 1.0, 0.15),
            at_least(
                "variance of the score over the pathwise estimator at m = 3",
                float(measured["score"][-1] / measured["pathwise"][-1]),
                20,
            ),
        ],
        formulas=[
            Formula(
                "\\nabla_\\theta E_{x \\sim p_\\theta}[f(x)] = E\\left[f(x)\\, \\nabla_\\theta \\ln p_\\theta(x)\\right] "
                "= E_\\epsilon\\left[\\nabla_\\theta f(g_\\theta(\\epsilon))\\right]",
                "The score function, and the path through $x = g_\\theta(\\epsilon)$.",
            )
        ],
        figures=[
            drawn(
                made,
                "estimators",
                "The price of not differentiating f.",
                "Variances of three gradient estimators against the mean; the pathwise stays at four, the score grows.",
            )
        ],
    )


# --- the loss that counts ---------------------------------------------------------------------------------------------------


def expected_loss(context: Context) -> Experiment:
    """The loss on the examples that were learnt from, and on all others, against an exact formula."""
    d, noise, repeats = 10, 1.0, context.pick(400, 120)
    counts = np.array([20, 25, 32, 40, 70, 120, 200])
    rng = np.random.default_rng(3)
    seen, unseen = np.empty((len(counts), repeats)), np.empty((len(counts), repeats))
    for i in context.steps(len(counts)):
        for j in range(repeats):
            x, e = rng.standard_normal((counts[i], d)), noise * rng.standard_normal(counts[i])
            w = np.linalg.lstsq(x, e, rcond=None)[0]  # the true coefficients are zero; the error does not depend on them
            seen[i, j], unseen[i, j] = np.mean((x @ w - e) ** 2), noise**2 + w @ w
    measured = {"on the examples learnt from": interval(seen), "expected on new ones": interval(unseen)}
    fine = np.linspace(counts[0], counts[-1], 200)
    theory = {
        "σ²(1 − d/n)": (fine, noise**2 * (1 - d / fine)),
        "σ²(1 + d/(n − d − 1))": (fine, noise**2 * (1 + d / (fine - d - 1))),
    }
    low, high = noise**2 * (1 - d / counts), noise**2 * (1 + d / (counts - d - 1))
    z = lambda samples, exact: float(np.max(np.abs(samples.mean(1) - exact) / (samples.std(1, ddof=1) / np.sqrt(repeats))))
    made = plot.measured_against_theory(
        {name: (counts, mean, half) for name, (mean, half) in measured.items()},
        theory,
        "Two losses of the same model",
        "examples n",
        "mean squared error",
        yscale="linear",
    )
    return Experiment(
        "The loss that counts",
        """What should be small is $E[L] = \\int L(y, f(x))\\, p(x, y)\\, dx\\, dy$. What a learner makes small is the
        mean over its $n$ examples, and it is an honest estimate of the integral only for a model that has not seen them.
        For least squares with ten normal features both can be worked out: each coefficient that is fitted takes
        $\\sigma^2/n$ away from the loss that is seen, and adds a little more than that to the one that is not.""",
        [
            at_most("largest deviation from σ²(1 − d/n), in standard errors", z(seen, low), 4.5),
            at_most("largest deviation from σ²(1 + d/(n − d − 1)), in standard errors", z(unseen, high), 4.5),
        ],
        figures=[
            drawn(
                made,
                "gap",
                "The gap closes like 2d/n.",
                "Training error rising and expected error falling towards the same level, both on predicted lines.",
            )
        ],
        tables=[
            Table(
                "Means over the runs",
                ["Examples", "Seen", "Theory", "Expected on new ones", "Theory"],
                [
                    [int(n), float(a), float(b), float(c), float(e)]
                    for n, a, b, c, e in zip(counts, seen.mean(1), low, unseen.mean(1), high, strict=True)
                ],
            )
        ],
    )


CHAPTER = Chapter(
    "0",
    "Introduction: slopes, areas and averages",
    TEXT,
    (areas, averages, gradients_of_averages, expected_loss, *sensitivity.EXPERIMENTS),
    cover="gradients_of_averages",
)
