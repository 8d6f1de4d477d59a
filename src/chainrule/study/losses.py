"""9.3 Loss functions: each beside its derivative, what each one estimates, and which one an outlier can move."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study import divergences
from chainrule.study.data import regression
from chainrule.study.model import Chapter, Context, Experiment, Figure, Formula, Table, at_least, at_most, equals, text
from chainrule.study.stochastic import interval
from chainrule.study.tools import Array, drawn

TEXT = """A loss says what a mistake costs, and its derivative says how hard a mistake pulls. Most of what is said about
losses can be read from the derivative. Where it grows with the mistake, one outlier outweighs a crowd; where it is
bounded, none can; where it vanishes though the prediction is wrong, nothing is learnt.

And a loss is a question. Over examples with the same inputs the best constant answer to the squared error is their mean,
to the absolute error their median, to the quantile loss a quantile, to the cross-entropy their frequency. The experiments
ask."""

L = cr.losses
AMOUNTS: dict[str, Callable[..., Any]] = {
    "mse": L.mse,
    "mae": L.mae,
    "huber, δ = 1": partial(L.huber, delta=1.0),
    "log cosh": L.log_cosh,
    "quantile, q = 0.9": partial(L.quantile, q=0.9),
}
MARGINS: dict[str, Callable[[Any, Any], Any]] = {
    "cross-entropy": lambda y, z: L.binary_cross_entropy((y + 1) / 2, z, from_logits=True),
    "hinge": L.hinge,
    "squared hinge": L.squared_hinge,
    "focal, γ = 2": lambda y, z: L.focal((y + 1) / 2, z, gamma=2.0, from_logits=True),
}


def _one_at_a_time(loss: Callable[..., Any], y: float) -> Callable[[Any], Any]:
    """The loss of one example as a function of its prediction."""
    return lambda p: loss(np.array([y]), np.reshape(p, (1,)))


def _curves(losses: Mapping[str, Callable[..., Any]], y: float, xs: Array) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and derivatives of losses along predictions."""
    both = {name: cr.vmap(cr.value_and_grad(_one_at_a_time(loss, y)))(xs) for name, loss in losses.items()}
    return {n: (xs, v) for n, (v, _) in both.items()}, {n: (xs, d) for n, (_, d) in both.items()}


def _pair(losses: Mapping[str, Callable[..., Any]], y: float, xs: Array, name: str, x: str, top: float) -> list[Figure]:
    """Losses beside their derivatives."""
    values, slopes = _curves(losses, y, xs)
    cost = plot.curves(values, "What a mistake costs", x, "loss", yscale="linear", ylim=(-0.1, top), loc="upper center")
    pull = plot.curves(slopes, "How hard it pulls", x, "derivative", yscale="linear", loc="best")
    return [
        drawn(cost, f"{name}-cost", "Losses of one example.", f"Curves of {', '.join(losses)} against the {x}."),
        drawn(pull, f"{name}-pull", "Their derivatives by the prediction.", f"Derivatives of the same losses against the {x}."),
    ]


def _worst_slope(xs: Array) -> float:
    """The largest difference between a loss's own derivative and difference quotients away from kinks."""
    away = xs[np.abs(np.abs(xs) - np.round(np.abs(xs))) > 0.01]
    worst = 0.0
    for loss in (L.mse, L.mae, L.huber, L.log_cosh, L.quantile):
        options: dict[str, Any] = {"delta": 1.0} if loss is L.huber else {"q": 0.9} if loss is L.quantile else {}
        own = np.array([loss.derivative(np.zeros(1), np.array([p]), **options)[0] for p in away])
        h = 1e-4
        high, low = (np.array([loss(np.zeros(1), np.array([p + s]), **options) for p in away]) for s in (h, -h))
        worst = max(worst, float(np.max(np.abs(own - (high - low) / (2 * h)))))
    return worst


def amounts(context: Context) -> Experiment:
    """Losses for numbers, beside their derivatives."""
    xs = np.linspace(-4, 4, context.pick(401, 161))
    _, slopes = _curves(AMOUNTS, 0.0, xs)
    reach = {name: float(np.max(np.abs(d))) for name, (_, d) in slopes.items()}
    facts = {"mse": L.mse, "mae": L.mae, "huber": L.huber, "log cosh": L.log_cosh, "quantile": L.quantile}
    rows = [
        [n, loss.facts.minimiser, loss.facts.lipschitz or "none", loss.facts.smooth or "none", loss.facts.kink or "none"]
        for n, loss in facts.items()
    ]
    return Experiment(
        "Losses for numbers",
        """The squared error pulls in proportion to the mistake: at four it pulls eight times as hard as at one half. All
        the others here have a largest pull. Huber's and log cosh are squares near zero and straight lines far away, the
        first by a seam, the second smoothly. The quantile loss is a tilted absolute error: it forgives overshooting and
        punishes falling short.""",
        [
            at_most("largest difference of stated derivatives from difference quotients", _worst_slope(xs), 1e-6),
            equals("pull of the squared error at 4", reach["mse"], 8.0, 1e-12),
            equals("largest pull of Huber's loss, δ", reach["huber, δ = 1"], 1.0, 1e-12),
            equals("pull of log cosh at 4, tanh 4", reach["log cosh"], float(np.tanh(4.0)), 1e-12),
        ],
        formulas=[
            Formula(loss.latex, f"{n}; its derivative by a prediction: ${loss.derivative_latex}$.", printed=True)
            for n, loss in (("Squared error", L.mse), ("Huber's loss", L.huber), ("Quantile loss", L.quantile))
        ],
        figures=_pair(AMOUNTS, 0.0, xs, "amounts", "prediction − truth", 8),
        tables=[
            Table("What is known of them", ["Loss", "Best constant answer", "Largest pull", "Largest curvature", "Kinks"], rows)
        ],
    )


def classes(context: Context) -> Experiment:
    """Losses for two classes as functions of the margin, above the mistake they stand for."""
    xs = np.linspace(-3, 4, context.pick(401, 161))
    values, slopes = _curves(MARGINS, 1.0, xs)
    mistake = (xs <= 0).astype(float)
    figures = _pair(MARGINS, 1.0, xs, "margins", "margin y·z", 5)
    z = np.linspace(-8, 8, 161)
    square = cr.vmap(cr.grad(lambda t: np.square(cr.nn.sigmoid(t) - 1)))(z)
    cross = cr.vmap(cr.grad(lambda t: np.logaddexp(0.0, -t)))(z)
    stuck = plot.curves(
        {"cross-entropy: σ(z) − 1": (z, -cross), "(σ(z) − 1)²": (z, -square)},
        "The pull on a wrong answer, label 1",
        "logit z",
        "−derivative",
        yscale="linear",
    )
    figures.append(
        drawn(
            stuck,
            "stuck",
            "At z = −8 the answer is as wrong as it can be. Only one of the two notices.",
            "The pull of the cross-entropy tends to one for very wrong answers, that of the squared error to zero.",
        )
    )
    above = min(float(np.min(values[n][1] / np.log(2) - mistake)) for n in ("cross-entropy",))
    above = min(above, *(float(np.min(values[n][1] - mistake)) for n in ("hinge", "squared hinge")))
    convex = {n: float(np.min(np.diff(d))) for n, (_, d) in slopes.items()}
    return Experiment(
        "Losses for two classes",
        """Counting mistakes gives a step, whose derivative is zero wherever it exists. The usual losses lie above the
        step and slope the right way. The hinge forgets an example once it is right by a margin of one. The cross-entropy
        never quite does. The focal loss turns away from easy examples, and pays for it: it is not convex, and its best
        answer is not a probability.

        The last picture is why a squared error on top of a sigmoid learns badly: where the answer is utterly wrong, the
        sigmoid is flat, and the derivative vanishes. The logarithm in the cross-entropy cancels that factor.""",
        [
            at_least("how far the losses stay above the count of mistakes (cross-entropy over ln 2)", above, 0.0),
            at_least("smallest increase of a derivative: cross-entropy, so convex", convex["cross-entropy"], 0.0),
            at_most("smallest increase of a derivative: focal, so not convex", convex["focal, γ = 2"], -1e-6),
            at_most("pull of the squared error at z = −8", float(-square[0]), 1e-3),
            equals("pull of the cross-entropy at z = −8", float(-cross[0]), 1.0, 1e-3),
        ],
        formulas=[
            Formula(
                "\\frac{\\partial}{\\partial z}\\left[-y \\ln \\sigma(z) - (1 - y)\\ln(1 - \\sigma(z))\\right] = \\sigma(z) - y",
                "By the logit. By the probability $p$ it is $(p - y)/(p(1 - p))$, and both are divided by $n$ in a mean.",
            )
        ],
        figures=figures,
    )


# --- what a loss asks -------------------------------------------------------------------------------------------------------


def what_it_asks(context: Context) -> Experiment:
    """The best constant answer to each loss on the same numbers."""
    given = regression(context)
    y = np.sort(given.y)
    asked = {
        "mse": (L.mse, "mean", float(np.round(np.mean(y), 12)) + 0.0),
        "mae": (L.mae, "median", float(np.median(y))),
        "quantile, q = 0.9": (partial(L.quantile, q=0.9), "0.9 quantile", float(np.quantile(y, 0.9, method="inverted_cdf"))),
    }
    grid = np.linspace(y[0], y[-1], context.pick(2001, 801))
    seen, found = dict[str, Any](), dict[str, float]()
    for name, (loss, _, _) in asked.items():
        values = np.asarray(cr.vmap(lambda c, loss=loss: loss(y, c + 0 * y))(grid))
        seen[name] = grid, values
        found[name] = float(grid[np.argmin(values)])
    cell = float(grid[1] - grid[0])
    gap = float(np.max(np.diff(y[int(0.85 * len(y)) : int(0.95 * len(y))]))) + float(np.median(np.diff(y)))
    made = plot.curves(
        {n: (x, v) for n, (x, v) in seen.items()},
        "Mean loss of one answer for all",
        "answer",
        "mean loss",
        yscale="linear",
        ylim=(0, 3),
    )
    rows = [[n, what, exact, found[n]] for n, (_, what, exact) in asked.items()]
    return Experiment(
        f"What a loss asks: {given.name}",
        f"""Give the same answer for every example and look for the best. The losses disagree, because they ask for different
        things, and each gets what it asks for. Here the mean lies {text(abs(asked["mse"][2] - asked["mae"][2]), 2)} standard
        deviations {"above" if asked["mse"][2] >= asked["mae"][2] else "below"} the median: the targets are skewed.""",
        [
            equals("best answer to the squared error (the mean)", found["mse"], asked["mse"][2], cell),
            equals("best answer to the absolute error (the median)", found["mae"], asked["mae"][2], cell + gap),
            equals(
                "best answer to the quantile loss (the 0.9 quantile)",
                found["quantile, q = 0.9"],
                asked["quantile, q = 0.9"][2],
                cell + gap,
            ),
        ],
        figures=[
            drawn(
                made,
                "asks",
                "Three losses, three lowest points.",
                "Mean losses against the answer; their minima lie at different answers.",
            )
        ],
        tables=[Table("In standard deviations of the target", ["Loss", "It asks for the", "Exactly", "Found"], rows)],
    )


# --- robust? ----------------------------------------------------------------------------------------------------------------


def _line(loss: Callable[..., Any], steps: int) -> Callable[[Any, Any], Any]:
    """Fits linear models to a stack of problems, (k, n, d) and (k, n), by Adam with a falling rate: (k, d)."""
    rule = cr.optim.adam(cr.optim.schedules.cosine(0.05, steps))

    def fitted(x: Any, y: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            w, state = carry
            return rule.step(w, cr.grad(lambda w: loss(y, x @ w))(w), state), 0.0

        start = np.zeros(x.shape[1])
        return cr.scan(step, (start, rule.init(start)), None, length=steps)[0][0]

    return cr.jit(cr.vmap(fitted))


def _spoilt(x: Array, y: Array, share: float, seed: int) -> Array:
    """Targets, some of them replaced by a value ten standard deviations up."""
    rng = np.random.default_rng(seed)
    bad = rng.permutation(len(y))[: round(share * len(y))]
    out = y.copy()
    out[bad] = 10.0
    return out


def which_is_robust(context: Context) -> Experiment:
    """Targets are spoilt, models are fitted with each loss, and judged on clean targets."""
    given = regression(context)
    shares, seeds, steps = np.array([0, 0.05, 0.1, 0.2, 0.3]), context.pick(12, 5), context.pick(600, 300)
    parts = [given.split(s) for s in range(seeds)]
    ones = lambda x: np.concatenate([x, np.ones((len(x), 1))], axis=1)
    xs = np.stack([ones(x) for x, *_ in parts])
    errors = dict[str, Array]()
    losses = {n: AMOUNTS[n] for n in ("mse", "huber, δ = 1", "mae", "log cosh")}
    for k, (name, loss) in enumerate(losses.items()):
        fit = _line(loss, steps)
        errors[name] = np.empty((len(shares), seeds))
        for i, share in enumerate(shares):
            context.tell((k + i / len(shares)) / len(losses))
            ws = fit(xs, np.stack([_spoilt(x, y, share, s) for s, (x, y, _, _) in enumerate(parts)]))
            errors[name][i] = [np.mean(np.abs(ones(x) @ w - y)) for w, (_, _, x, y) in zip(ws, parts, strict=True)]
    bands = {n: interval(e) for n, e in errors.items()}
    made = plot.curves(
        {n: (shares, m) for n, (m, _) in bands.items()},
        "Error on clean examples",
        "share of spoilt targets",
        "mean absolute error",
        bands={n: (m - h, m + h) for n, (m, h) in bands.items()},
        yscale="linear",
        loc="upper left",
    )
    at = 2  # ten percent
    loss_of = {n: float(np.mean(errors[n][at] - errors[n][0])) for n in errors}
    paired = errors["mse"][at] - errors["huber, δ = 1"][at]
    mean, half = interval(paired)
    return Experiment(
        f"Which one is robust? {given.name}",
        f"""Some targets are replaced by a value ten standard deviations up, a linear model is fitted with each loss, and
        judged on examples that were not spoilt. With a tenth of them spoilt, the squared error's answers are worse by
        {text(loss_of["mse"], 3)}, Huber's by {text(loss_of["huber, δ = 1"], 3)} and the absolute error's by
        {text(loss_of["mae"], 3)}. A bounded pull does not make a loss immune: with enough spoilt targets on one side, all
        of them move.""",
        [
            at_least("squared error's error minus Huber's at 10% spoilt, lower end of the 95% interval", float(mean - half), 0.0),
            at_least("the same at 20%", float(np.subtract(*interval(errors["mse"][3] - errors["huber, δ = 1"][3]))), 0.0),
            at_most(
                "how much worse the absolute error gets at 10% spoilt, over the squared error",
                loss_of["mae"] / loss_of["mse"],
                0.5,
            ),
        ],
        figures=[
            drawn(
                made,
                "robust",
                "Bands are 95% intervals over random splits.",
                "Error against the share of spoilt targets: the squared error's rises steeply, the others' slowly at first.",
            )
        ],
    )


CHAPTER = Chapter(
    "9.3", "Loss functions", TEXT, (amounts, classes, what_it_asks, which_is_robust, *divergences.EXPERIMENTS), cover="amounts"
)
