"""9.4 Regularisation: exact zeros, shrinkage, stopping early, and an ensemble in one network."""

# pyright: reportMissingTypeStubs=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.data import classification, regression
from chainrule.study.model import Chapter, Context, Experiment, Formula, Table, at_least, at_most, equals, text
from chainrule.study.stochastic import interval
from chainrule.study.tools import Array, drawn

TEXT = """A penalty is a preference among models that explain the data equally well. What it prefers can be read from its
derivative, or, where it has none, from its proximal map: the absolute value pulls every coefficient towards zero with the
same force, however small it already is, and so reaches zero; the square pulls in proportion, and never does.

Other things act as penalties without being written as one. Stopping early leaves flat directions unlearnt. Dropping units
at random trains an ensemble that shares its weights. The experiments compare each with what it is said to be."""


# --- exact zeros ------------------------------------------------------------------------------------------------------------


def _half_mse(x: Array, y: Array) -> Any:
    return lambda w: 0.5 * np.mean((x @ w - y) ** 2)


def lasso_path(x: Array, y: Array, strengths: Array, context: Context, sweeps: int = 4000) -> Array:
    """Minimisers of half the mean squared error plus strength times the l1 norm, each found from the one before: (k, d)."""
    step = 1 / np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    gradient = cr.jit(cr.grad(lambda w: 0.5 * np.mean((x @ w - y) ** 2)))
    found, w = np.empty((len(strengths), x.shape[1])), np.zeros(x.shape[1])
    for k in context.steps(len(strengths)):
        penalty = cr.regularizers.l1(float(strengths[k]))
        ahead, inertia = w, 1.0
        for _ in range(sweeps):  # proximal steps with Nesterov's inertia (Beck and Teboulle 2009)
            new = penalty.prox(ahead - step * gradient(ahead), step)
            more = (1 + np.sqrt(1 + 4 * inertia**2)) / 2
            ahead, moved = new + (inertia - 1) / more * (new - w), float(np.max(np.abs(new - w)))
            w, inertia = new, more
            if moved < 1e-13:
                break
        found[k] = w
    return found


def the_path(context: Context) -> Experiment:
    """Coefficients as the penalty grows: one after another becomes zero, exactly."""
    from sklearn import linear_model

    given = regression(context)
    most = float(np.max(np.abs(given.x.T @ given.y)) / len(given.x))
    strengths = most * np.geomspace(1.05, 0.001 if not context.quick else 0.01, context.pick(60, 24))
    found = lasso_path(given.x, given.y, strengths, context)
    theirs: Any = linear_model.lasso_path
    _, other, _ = theirs(given.x, given.y, alphas=strengths, tol=1e-12, max_iter=200_000)
    zeros = np.sum(found == 0, 1)
    shown = np.argsort(-np.abs(found[-1]))[:5]
    made = plot.curves(
        {str(given.features[int(i)]): (strengths, found[:, i]) for i in shown},
        "Five coefficients along the path",
        "strength λ of the penalty",
        "coefficient",
        xscale="log",
        yscale="linear",
    )
    counts = plot.curves(
        {"exactly zero": (strengths, zeros)},
        "How many coefficients are exactly zero",
        "strength λ",
        "coefficients",
        xscale="log",
        yscale="linear",
    )
    middle = len(strengths) // 3
    pair = cr.regularizers.side_by_side(
        _half_mse(given.x, given.y),
        cr.regularizers.l1(float(strengths[middle])),
        np.ones(given.x.shape[1]),
        0.1,
        context.pick(1500, 400),
    )
    return Experiment(
        f"The path of the lasso: {given.name}",
        f"""With $\\lambda\\|w\\|_1$ added, all coefficients are zero from $\\lambda = \\max_j |x_j^\\top y|/n$ on, here
        {text(most)}. As it shrinks they enter one after another. That is a property of the minimiser. Whether an
        algorithm finds the zeros is another matter: subgradient descent steps over zero again and again and ends with
        {int(pair.subgradient_zeros[-1])} exact zeros, the proximal update, which knows where zero is, with
        {int(pair.proximal_zeros[-1])}.""",
        [
            at_most("largest difference from scikit-learn's path", float(np.max(np.abs(found - other.T))), 1e-5),
            equals("coefficients that are not zero above the largest λ", float(np.sum(found[0] != 0)), 0, 0.5),
            equals("exact zeros after subgradient steps", float(pair.subgradient_zeros[-1]), 0, 0.5),
            equals(
                "exact zeros after proximal steps, at the minimiser's count",
                float(pair.proximal_zeros[-1]),
                float(zeros[middle]),
                0.5,
            ),
        ],
        formulas=[
            Formula(cr.regularizers.l1(1.0).latex, "The penalty, printed from the library.", printed=True),
            Formula(
                "\\operatorname{prox}(v)_i = \\operatorname{sign}(v_i) \\max(|v_i| - \\alpha\\lambda, 0)",
                "Its proximal map for a step $\\alpha$: everything within $\\alpha\\lambda$ of zero becomes zero.",
            ),
        ],
        figures=[
            drawn(
                made,
                "lasso",
                "Where a curve meets zero it stays there.",
                "Five coefficients against the penalty's strength; each becomes zero.",
            ),
            drawn(
                counts,
                "lasso-zeros",
                "A staircase: zeros are counted with ==.",
                "The number of zero coefficients rises in steps with the strength.",
            ),
        ],
    )


def two_shapes(context: Context) -> Experiment:
    """The same two-dimensional problem under both penalties, from no penalty to a large one."""
    h, best = np.array([[1.0, 0.6], [0.6, 1.0]]), np.array([1.2, 0.35])

    def f(x: Any, y: Any) -> Any:
        a, b = x - best[0], y - best[1]
        return 0.5 * (h[0, 0] * a * a + 2 * h[0, 1] * a * b + h[1, 1] * b * b)

    strengths = np.linspace(0, 1.5, context.pick(151, 61))
    ridge = np.array([np.linalg.solve(h + s * np.eye(2), h @ best) for s in strengths])
    lasso = np.array([_lasso_2d(h, best, s) for s in strengths])
    on_axis = float(strengths[np.argmax(lasso[:, 1] == 0)])
    made = plot.contours_with_paths(
        f,
        (-0.3, 1.6),
        (-0.5, 1.1),
        {"l1": lasso, "l2": ridge},
        "Where the minimum goes as λ grows",
        minimum=(1.2, 0.35),
        equal=True,
        marked=0,
    )
    gradient = np.array(cr.grad(f, (0, 1))(1.0, 0.0))
    return Experiment(
        "Two ways to zero",
        f"""The minimum of a bowl plus a penalty moves as the penalty grows. Under the absolute values it walks to an
        axis, reached at $\\lambda$ = {text(on_axis, 3)}, and then along it: the second coefficient is zero while the
        first is not. Under squares both shrink together and neither is ever zero.""",
        [
            equals("λ at which the second coefficient becomes zero", on_axis, _first_zero(h, best), float(strengths[1])),
            at_least(
                "smallest second coefficient on the way of l2 (it starts at 0.35)", float(np.min(np.abs(ridge[1:, 1]))), 1e-4
            ),
            at_most(
                "error of the gradient at (1, 0)", float(np.max(np.abs(gradient - h @ (np.array([1.0, 0.0]) - best)))), 1e-15
            ),
        ],
        figures=[
            drawn(
                made,
                "shapes",
                "One path has a corner and an end on an axis.",
                "Contours of a bowl with two paths from its minimum to the origin; one runs along an axis, the other is a curve.",
            )
        ],
        formulas=[
            Formula(
                "-\\nabla f(w) \\in \\lambda\\, \\partial\\|w\\|_1",
                "At the minimum. For $w_i = 0$ it allows any slope between $-\\lambda$ and $\\lambda$.",
            )
        ],
    )


def _lasso_2d(h: Array, best: Array, strength: float) -> Array:
    penalty, w, step = cr.regularizers.l1(strength), best.copy(), 1 / np.linalg.eigvalsh(h)[-1]
    for _ in range(300):
        w = penalty.prox(w - step * (h @ (w - best)), step)
    return w


def _first_zero(h: Array, best: Array) -> float:
    """Where the second coefficient vanishes: both active, h (w - best) = -strength (1, 1), so w2 is linear in the strength."""
    return float(best[1] / np.linalg.solve(h, np.ones(2))[1])


# --- stopping early ---------------------------------------------------------------------------------------------------------


def stopping_early(context: Context) -> Experiment:
    """Gradient descent on more features than the data can tell apart, and ridge regression beside it."""
    repeats, d, n, noise = context.pick(60, 20), 40, 60, 1.0
    rng = np.random.default_rng(4)
    scale = np.arange(1, d + 1) ** -1.0
    count, step = context.pick(3000, 1500), 0.4
    marks = np.unique(np.geomspace(1, count, 60).astype(int))
    stopped, ridged, seen = (np.empty((len(marks), repeats)) for _ in range(3))
    worst = 0.0
    for r in context.steps(repeats):
        x, truth = rng.standard_normal((n, d)) * scale, rng.standard_normal(d)
        y = x @ truth + noise * rng.standard_normal(n)
        values, vectors = np.linalg.eigh(x.T @ x / n)
        goal = vectors.T @ x.T @ y / n
        filters = 1 - (1 - step * values) ** marks[:, None]  # what k steps have learnt along each direction
        w = (filters * goal / np.maximum(values, 1e-300)) @ vectors.T
        v = (goal / (values + 1 / (step * marks[:, None]))) @ vectors.T
        stopped[:, r] = np.sum(((w - truth) * scale) ** 2, 1)
        ridged[:, r] = np.sum(((v - truth) * scale) ** 2, 1)
        seen[:, r] = np.mean((w @ x.T - y) ** 2, 1)
        if r == 0:
            worst = _replayed(x, y, step, int(marks[25]), w[25])
    best = int(np.argmin(stopped.mean(1)))
    mean, half = interval(stopped[-1] - stopped[best])
    made = plot.curves(
        {
            "descent, stopped at step k": (marks, stopped.mean(1)),
            "ridge with λ = 1/αk": (marks, ridged.mean(1)),
            "loss that is seen": (marks, seen.mean(1)),
        },
        "Error on new examples",
        "step k",
        "excess squared error",
        xscale="log",
        yscale="linear",
        ylim=(0, 3),
    )
    return Experiment(
        "Stopping early",
        f"""Forty features of very different size, sixty noisy examples. The loss that is seen falls for ever. The error
        on new examples falls, too, while the large features are learnt, and rises again while the noise in the small ones
        is: the best step is {marks[best]:,}. After $k$ steps descent has learnt the part $1 - (1 - \\alpha s)^k$ of a
        direction with curvature $s$. Ridge regression keeps $s/(s + \\lambda)$ of it, and with $\\lambda = 1/\\alpha k$
        the two curves lie close together.""",
        [
            at_most("difference between the formula for k steps and k steps", worst, 1e-10),
            at_least("rise of the error from the best step to the last, lower end of the 95% interval", float(mean - half), 0.0),
            at_most(
                "largest relative difference from ridge regression, mean curves",
                float(np.max(np.abs(ridged.mean(1) / stopped.mean(1) - 1))),
                0.35,
            ),
            at_most(
                "rise of the loss that is seen from the best step to the last", float(seen.mean(1)[-1] - seen.mean(1)[best]), 0.0
            ),
        ],
        figures=[
            drawn(
                made,
                "early",
                "The training loss says nothing about when to stop.",
                "Errors against the step: descent and ridge fall and rise together, the training loss keeps falling.",
            )
        ],
    )


def _replayed(x: Array, y: Array, step: float, count: int, found: Array) -> float:
    """How far `count` actual steps end from where the formula says."""
    gradient, w = cr.jit(cr.grad(_half_mse(x, y))), np.zeros(x.shape[1])
    for _ in range(count):
        w = w - step * gradient(w)
    return float(np.max(np.abs(w - found)))


# --- dropout ----------------------------------------------------------------------------------------------------------------


def an_ensemble(context: Context) -> Experiment:
    """Every subnetwork that dropout can make, averaged, against the one network that stands for all of them."""
    given = classification(context)
    x = given.x[:, :8] if given.x.shape[1] >= 8 else given.x
    net = cr.nn.MLP([x.shape[1], 8, 2], "relu", key=cr.random.key(0))
    one_hot = np.eye(2)[given.y]
    loss = lambda m: cr.losses.categorical_cross_entropy(one_hot, m(x), from_logits=True)
    rule = cr.optim.adam(0.02)
    state, gradient = rule.init(net), cr.jit(cr.grad(loss))
    for _ in context.steps(context.pick(300, 150)):
        net, state = rule.step(net, gradient(net), state)
    hidden = np.maximum(x @ net.layers[0].weight.T + net.layers[0].bias, 0)
    keep, (weight, bias) = 0.5, (net.layers[1].weight, net.layers[1].bias)
    masks = np.array(list(product((0.0, 1.0), repeat=8)))
    chance = keep ** masks.sum(1) * (1 - keep) ** (8 - masks.sum(1))
    logits = (hidden[:, None, :] * masks / keep) @ weight.T + bias  # (examples, masks, classes)
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    whole = hidden @ weight.T + bias
    mean_logits = np.einsum("m,nmc->nc", chance, logits)
    arithmetic = np.einsum("m,nmc->nc", chance, np.exp(logs))
    geometric = np.exp(np.einsum("m,nmc->nc", chance, logs))
    geometric /= geometric.sum(1, keepdims=True)
    single = np.exp(whole - np.logaddexp.reduce(whole, axis=1, keepdims=True))
    drops = cr.nn.Dropout(1 - keep)
    draws = np.stack([drops(hidden[:1], training=True, key=cr.random.key(k)) for k in range(context.pick(4000, 1000))])[:, 0]
    z = np.abs(draws.mean(0) - hidden[0]) / np.maximum(draws.std(0, ddof=1) / np.sqrt(len(draws)), 1e-12)
    order = np.argsort(single[:, 1])
    made = plot.points(
        {
            "mean of all probabilities": np.stack([single[order, 1], arithmetic[order, 1]], 1),
            "geometric mean": np.stack([single[order, 1], geometric[order, 1]], 1),
        },
        "256 subnetworks against one network",
        "probability from the whole network",
        "from the ensemble",
    )
    spread = np.exp(logs)[:, :, 1]
    doubtful = int(np.argmin(np.abs(single[:, 1] - 0.5)))
    many = plot.curves(
        {"subnetworks, in order": (np.arange(256) / 255, np.sort(spread[doubtful]))},
        "One doubtful example, asked of each",
        "share of the subnetworks",
        f"probability of {given.classes[1] if given.classes else 'class 1'}",
        yscale="linear",
        bounds={"the whole network": ([0, 1], [single[doubtful, 1]] * 2)},
    )
    return Experiment(
        "Dropout's ensemble",
        """With eight hidden units, dropping each with probability ½ makes 256 networks. All of them can be asked. Because
        kept units are divided by the probability of keeping, the mean of their logits is exactly the logit of the whole
        network. The probabilities of the whole network are therefore the normalised geometric mean of theirs. The plain
        mean of their probabilities is something else, less sure of itself; "dropout averages an ensemble" is exact only
        in the first sense, and for one layer.""",
        [
            at_most("mean logit of all subnetworks against the whole network", float(np.max(np.abs(mean_logits - whole))), 1e-12),
            at_most("normalised geometric mean against the whole network", float(np.max(np.abs(geometric - single))), 1e-12),
            at_least("largest difference of the arithmetic mean from it", float(np.max(np.abs(arithmetic - single))), 1e-3),
            at_most("mean of dropped activations against the activations, in standard errors", float(np.max(z)), 4.5),
        ],
        formulas=[
            Formula(
                "E\\left[\\frac{m_i}{1 - p}\\, a_i\\right] = a_i, \\qquad P(m_i = 0) = p",
                "Inverted dropout. If activations are not divided in training, they are multiplied at inference by $1 - p$: the "
                "probability of keeping, not of dropping.",
            )
        ],
        figures=[
            drawn(
                made,
                "ensemble",
                "On the diagonal, or beside it.",
                "Geometric means lie on the diagonal, arithmetic means curve towards one half.",
            ),
            drawn(
                many,
                "ensemble-one",
                "An ensemble also says how far its members disagree.",
                "Sorted probabilities of 256 subnetworks for one example, from low to high.",
            ),
        ],
    )


# --- weight decay ------------------------------------------------------------------------------------------------------------


def two_decays(context: Context) -> Experiment:
    """A penalty in the gradient and decay apart from it: the same under gradient descent, different under Adam."""
    slopes = np.array([100.0, 1.0, 0.01])
    steps, decay, rate = context.pick(200, 200), 0.1, 0.01

    def run(rule: Any, penalty: float) -> Array:
        gradient = cr.jit(cr.grad(lambda w: np.sum(slopes * (np.logaddexp(0, w) - w)) + 0.5 * penalty * np.sum(w**2)))
        w, state, out = np.ones(3), rule.init(np.ones(3)), [np.ones(3)]
        for _ in range(steps):
            w, state = rule.step(w, gradient(w), state)
            out.append(w)
        return np.array(out)

    o = cr.optim
    plain = 1e-3
    inside, apart = (
        run(o.gradient_descent(plain), decay),
        run(o.chain(o.add_decayed_weights(decay), o.gradient_descent(plain)), 0.0),
    )
    coupled, decoupled, none = run(o.adam(rate), decay), run(o.adamw(rate, weight_decay=decay), 0.0), run(o.adam(rate), 0.0)
    pulls = {name: none[-1] - w[-1] for name, w in (("l2 in the gradient", coupled), ("decay apart", decoupled))}
    k = np.arange(steps + 1)
    made = plot.curves(
        {"Adam": (k, none[:, 0]), "Adam with l2": (k, coupled[:, 0]), "AdamW": (k, decoupled[:, 0])},
        "The weight with the largest gradient",
        "step",
        "weight",
        yscale="linear",
    )
    rows = [[f"slope {text(s)}", float(a), float(b)] for s, a, b in zip(slopes, *pulls.values(), strict=True)]
    return Experiment(
        "Weight decay is a penalty under gradient descent only",
        """Under gradient descent, adding $\\frac\\lambda2\\|w\\|^2$ to the loss and multiplying the weights by $1 -
        \\alpha\\lambda$ are the same step. Adam divides the penalty's gradient by the root of its second moment, like any
        other gradient: the larger the slopes of the loss, the less the penalty does. AdamW takes it out of the division,
        and all weights decay alike.""",
        [
            at_most("largest difference of the two under gradient descent", float(np.max(np.abs(inside - apart))), 1e-12),
            at_most(
                "Adam, l2: how far it holds back the weight with slope 100", float(abs(pulls["l2 in the gradient"][0])), 0.05
            ),
            at_least("AdamW: the same weight", float(pulls["decay apart"][0]), 0.1),
        ],
        figures=[
            drawn(
                made,
                "decays",
                "With l2 inside, the penalty is gone.",
                "Three curves of a weight over steps; Adam with and without l2 coincide, AdamW's is lower.",
            )
        ],
        tables=[Table("How far each is held back after the last step", ["Weight", *pulls], rows)],
    )


CHAPTER = Chapter(
    "9.4", "Regularisation", TEXT, (the_path, two_shapes, stopping_early, an_ensemble, two_decays), cover="the_path"
)
