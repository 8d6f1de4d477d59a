"""9.5, second half: the size of the step, by clipping, by schedule, by correction, and on real data."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.data import digits
from chainrule.study.model import Context, Experiment, Formula, Table, at_least, at_most, equals
from chainrule.study.tools import Array, drawn, printed

o = cr.optim


def walk(rule: Any, f: Any, start: Array, count: int) -> Array:
    """Points that a rule visits on f, a function of as many numbers as `start` has: (count + 1, n)."""

    def run(x: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            x, state = carry
            x, state = rule.step(x, cr.grad(lambda v: f(*[v[i] for i in range(len(start))]))(x), state)
            return (x, state), x

        return cr.scan(step, (x, rule.init(x)), None, length=count)[1]

    return np.concatenate([start[None], np.asarray(cr.jit(run)(np.asarray(start, float)))])


# --- clipping ----------------------------------------------------------------------------------------------------------------


def cliff(w: Any, b: Any) -> Any:
    """What a unit that reads its own output says after thirty rounds, against a target (Pascanu et al. 2013)."""
    x = 0.5
    for _ in range(30):
        x = w * cr.nn.sigmoid(x) + b
    return (cr.nn.sigmoid(x) - 0.7) ** 2


def over_the_cliff(context: Context) -> Experiment:
    """Gradient descent at a wall, with and without clipping."""
    start, rate, bound, count = np.array([6.6, -2.86]), 0.5, 0.1, context.pick(200, 200)
    plain = walk(o.gradient_descent(rate), cliff, start, count)
    clipped = walk(o.chain(o.clip_by_global_norm(bound), o.gradient_descent(rate)), cliff, start, count)
    gradient = cr.jit(cr.grad(cliff, (0, 1)))
    sizes = {n: np.array([np.hypot(*gradient(*p)) for p in path[:-1]]) for n, path in (("plain", plain), ("clipped", clipped))}
    lengths = {n: np.linalg.norm(np.diff(path, axis=0), axis=1) for n, path in (("plain", plain), ("clipped", clipped))}
    steepest = float(max(np.max(s) for s in sizes.values()))
    made = plot.contours_with_paths(
        lambda x, y: np.sqrt(cliff(x, y)),
        (4.5, 8.0),
        (-4.0, -1.8),
        {"plain": np.clip(plain, -50, 50), "clipped": clipped},
        "A wall in the plain",
        loc="lower left",
        marked=12,
    )
    strides = plot.curves(
        {n: (np.arange(1, count + 1), np.maximum(v, 1e-8)) for n, v in lengths.items()},
        "Length of each step",
        "step",
        "length",
        bounds={"α c": ([1, count], [rate * bound] * 2)},
    )
    g = np.array([3.0, 4.0])
    by_norm, by_value = (
        np.asarray(
            o.chain(a, o.gradient_descent(1.0)).step(np.zeros(2), g, o.chain(a, o.gradient_descent(1.0)).init(np.zeros(2)))[0]
        )
        for a in (o.clip_by_global_norm(1.0), o.clip_by_value(1.0))
    )
    angle = lambda v: float(np.degrees(np.arccos(v @ -g / np.linalg.norm(v) / np.linalg.norm(g))))
    return Experiment(
        "Over the cliff",
        """A unit that feeds on its own output for thirty rounds either settles low or settles high. Between the two
        regions the loss is a wall, and its gradient there is the product of thirty slopes. One step taken with that
        gradient is the end of the run. Clipping by the norm keeps the direction and shortens the step: no step is longer
        than $\\alpha c$. Clipping each value apart keeps every entry in bounds and turns the direction.""",
        [
            at_most("longest clipped step over α c", float(np.max(lengths["clipped"])) / (rate * bound), 1 + 1e-9),
            at_least("longest plain step over α c", float(np.max(lengths["plain"])) / (rate * bound), 2.0),
            at_least("largest gradient on the way", steepest, 0.2),
            equals("angle by which clipping the norm turns a gradient, in degrees", angle(by_norm), 0.0, 1e-4),
            equals("angle by which clipping values turns (3, 4), in degrees", angle(by_value), 8.13, 0.01),
        ],
        formulas=[
            Formula("g \\leftarrow g \\cdot \\min\\left(1, \\frac{c}{\\|g\\|}\\right)", "By the norm of all parameters together.")
        ],
        figures=[
            drawn(
                made,
                "cliff",
                "Darker is higher.",
                "Contours with a steep wall; the plain path jumps away from it, the clipped one goes down along it.",
            ),
            drawn(
                strides,
                "cliff-steps",
                "One step too long.",
                "Lengths of steps: the plain path has long ones, the clipped path's are at most alpha c.",
            ),
        ],
    )


# --- schedules ---------------------------------------------------------------------------------------------------------------


def rates_over_time(context: Context) -> Experiment:
    """Schedules as curves, and what each leaves of the noise."""
    count, seeds = context.pick(2000, 800), 48
    s = o.schedules
    schedules: dict[str, Any] = {
        "constant": s.constant(0.2),
        "1/(1 + βk)": s.decay(0.2, 0.02),
        "1/√(k + 1)": s.sqrt(0.2),
        "cosine": s.cosine(0.2, count),
        "warm-up, then constant": s.warmup(0.2, count // 10),
    }
    noise = np.random.default_rng(1).standard_normal((seeds, count, 2))
    h = np.array([1.0, 0.1])
    seen = dict[str, Array]()
    for name, schedule in schedules.items():
        rule = o.sgd(schedule)

        def one(e: Any, rule: Any = rule) -> Any:
            def step(carry: Any, n: Any) -> Any:
                x, state = carry
                x, state = rule.step(x, h * x + n, state)
                return (x, state), 0.5 * np.sum(h * x * x)

            start = np.array([3.0, 3.0])
            return cr.scan(step, (start, rule.init(start)), e)[1]

        seen[name] = np.asarray(cr.jit(cr.vmap(one))(noise)).mean(0)
    k = np.arange(count)
    keep = plot.thinned(count, 200)
    shapes = plot.curves(
        {n: (k, [float(f(i)) for i in k]) for n, f in schedules.items()}, "Learning rates", "step k", "αₖ", yscale="linear"
    )
    losses = plot.curves(
        {n: (k[keep] + 1, v[keep]) for n, v in seen.items()},
        "Mean excess loss of 48 runs",
        "step k",
        "f − f*",
        xscale="log",
        loc="lower left",
    )
    late = {n: float(v[-count // 20 :].mean()) for n, v in seen.items()}
    floor = float(np.sum(0.5 * h * 0.2 / (h * (2 - 0.2 * h))))  # stationary: E x^2 = a / (h (2 - a h))
    return Experiment(
        "Rates over time",
        """With noisy gradients a constant rate stops at a floor, which can be computed. Every schedule that falls goes
        below it. How fast is a trade: the root falls so quickly at first that the flat direction is hardly learnt; the
        cosine, and $1/(1 + \\beta k)$ with a small $\\beta$, keep high rates for a while and then let go. A warm-up
        changes the start and not the floor.""",
        [
            equals("floor of the constant rate over theory, ∑ α/(2(2 − αh))", late["constant"] / floor, 1.0, 0.25),
            at_most("cosine: loss at the end over the floor", late["cosine"] / floor, 0.35),
            at_most("1/√(k + 1): loss at the end over the floor", late["1/√(k + 1)"] / floor, 0.7),
            equals(
                "warm-up: loss at the end over that of the constant rate",
                late["warm-up, then constant"] / late["constant"],
                1.0,
                0.1,
            ),
        ],
        figures=[
            drawn(shapes, "rates", "Five schedules from the same α₀.", "Learning rates against steps for five schedules."),
            drawn(
                losses,
                "rates-loss",
                "All start alike; what is left differs.",
                "Mean losses over steps: constant rates level off, falling rates go on.",
            ),
        ],
    )


def the_first_steps(context: Context) -> Experiment:
    """Why Adam divides its means by 1 - beta^t."""
    count, b2 = context.pick(3000, 1000), 0.999
    grads = 1 + 0.1 * np.random.default_rng(2).standard_normal(count)
    v = np.zeros(count + 1)
    for t in range(count):
        v[t + 1] = b2 * v[t] + (1 - b2) * grads[t] ** 2
    k = np.arange(1, count + 1)
    corrected = v[1:] / (1 - b2**k)
    truth = 1 + 0.1**2
    rule = o.adam(0.01)
    x, state = rule.step(np.zeros(1), np.array([1e-3]), rule.init(np.zeros(1)))
    made = plot.curves(
        {"vₜ": (k, v[1:]), "vₜ/(1 − β₂ᵗ)": (k, corrected)},
        "The mean square that Adam remembers",
        "step t",
        "value",
        bounds={"E g²": ([1, count], [truth] * 2)},
        xscale="log",
    )
    del state
    return Experiment(
        "The first steps of Adam",
        """Adam's running means start at zero and take a thousand steps to forget it. Dividing by $1 - \\beta^t$ makes
        them right on average from the first step on. Without it the first step would be divided by $\\sqrt{1 - \\beta_2}$
        of what it should be, and come out more than three times too long even with the first mean uncorrected as well.""",
        [
            equals("corrected mean square at step 10 over its expectation", float(corrected[9] / truth), 1.0, 0.2),
            at_most("uncorrected mean square at step 10 over its expectation", float(v[10] / truth), 0.02),
            equals("first step of Adam for a gradient of 0.001, over α", float(-x[0] / 0.01), 1.0, 1e-4),
            equals("first step without either correction, over α", 0.1 / np.sqrt(1 - b2), 3.16, 0.01),
        ],
        formulas=[
            Formula(
                "\\hat m_t = \\frac{m_t}{1 - \\beta_1^t}, \\qquad \\hat v_t = \\frac{v_t}{1 - \\beta_2^t}, "
                "\\qquad \\theta \\leftarrow \\theta - \\alpha\\, \\frac{\\hat m_t}{\\sqrt{\\hat v_t} + \\epsilon}",
                "Adam. Where $\\epsilon$ stands matters when gradients are tiny.",
            )
        ],
        figures=[
            drawn(
                made,
                "correction",
                "Right from the start, or after a thousand steps.",
                "The corrected mean square stays near one, the uncorrected one rises from near zero to it.",
            )
        ],
    )


# --- digits ------------------------------------------------------------------------------------------------------------------


def reading_digits(context: Context) -> Experiment:
    """Six rules train the same network on the same batches; the rate of each is the best of a few."""
    x, y = digits()
    order = np.random.default_rng(0).permutation(len(x))
    (train, test), epochs, batch = [(x[r], y[r]) for r in (order[:1347], order[1347:])], context.pick(12, 8), 64
    kinds: dict[str, Any] = {"SGD": o.sgd, "momentum": o.momentum, "AdaGrad": o.adagrad, "RMSProp": o.rmsprop, "Adam": o.adam}
    grid = {
        "SGD": (0.1, 0.5, 1.0),
        "momentum": (0.03, 0.1, 0.3),
        "AdaGrad": (0.03, 0.1),
        "RMSProp": (1e-3, 3e-3, 1e-2),
        "Adam": (1e-3, 3e-3, 1e-2),
    }
    start = cr.nn.MLP([64, 64, 10], "relu", key=cr.random.key(0))
    loss = lambda target, out: cr.losses.sparse_categorical_cross_entropy(target, out, from_logits=True)
    best = dict[str, Any]()
    tries = [(name, a) for name in kinds for a in (grid[name] if not context.quick else grid[name][1:2])]
    for k, (name, a) in enumerate(tries):
        context.tell(k / len(tries))
        fit = cr.fit(start, loss, train, kinds[name](a), epochs=epochs, batch_size=batch, key=5, progress=False)
        if name not in best or fit.history.loss[-1] < best[name][1].history.loss[-1]:
            best[name] = a, fit
    left = {name: float(fit.history.loss[-1]) for name, (_, fit) in best.items()}
    read = {name: float(np.mean(np.argmax(fit.model(test[0]), 1) == test[1])) for name, (_, fit) in best.items()}
    rows = [[name, a, left[name], read[name]] for name, (a, _) in best.items()]
    k = np.arange(1, epochs + 1)
    made = plot.curves(
        {n: (k, fit.history.loss) for n, (_, fit) in best.items()},
        "Training loss on digits",
        "pass over the data",
        "cross-entropy",
    )
    return Experiment(
        "Reading digits",
        """The same network, the same start, the same batches. Each rule gets the best of a few learning rates, because a
        comparison at one rate compares rates. On a problem of this size the differences in what is learnt are small: all
        read most of the digits that they have not seen.""",
        [
            at_least("held-out digits read by the worst of them", min(read.values()), 0.85),
            at_most("largest training loss at the end", max(left.values()), 0.3 if not context.quick else 0.5),
        ],
        formulas=[
            printed(
                lambda w, g, m: (0.9 * m + g, w - 0.1 * (0.9 * m + g)),
                1.0,
                1.0,
                1.0,
                note="Momentum, as it is recorded: the velocity and the new weight.",
            )
        ],
        figures=[
            drawn(made, "race", "Learning rates were chosen for each rule.", "Training losses of five rules falling over passes.")
        ],
        tables=[Table("At the end", ["Rule", "Learning rate", "Training loss", "Held-out digits read"], rows)],
    )


EXPERIMENTS = (over_the_cliff, rates_over_time, the_first_steps, reading_digits)
