"""9.2 Backpropagation: every layer's values and derivatives, printed, drawn and checked; XOR, then handwritten digits."""

# pyright: reportMissingTypeStubs=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.layers import (
    Params,
    by_chainrule,
    checked,
    compare,
    create,
    cross_entropy,
    forward,
    in_numbers,
    loss,
    train,
    worst,
)
from chainrule.study.model import Chapter, Claim, Context, Experiment, Figure, Formula, Table, at_least, at_most, equals, text
from chainrule.study.tools import Array, drawn, printed

TEXT = """
A network is a composition of simple functions, and its derivative is the product of theirs. Backpropagation is the order in
which that product is worked out: from the loss backwards, so that at every point there is one row of numbers,
$\\delta_l = \\partial L/\\partial z_l$, rather than a matrix. Everything else follows from $\\delta_l$ with one
multiplication.

The network here is ten lines of NumPy without a word about derivatives. chainrule differentiates it, and two independent
opinions judge the result: difference quotients, which know only the loss, and the textbook recursion, written out by hand.
The same code then learns XOR, and after that to read digits.
"""

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])
FORMULAS = (
    Formula(
        "z_l = W_l\\, a_{l-1} + b_l, \\qquad a_l = \\sigma(z_l)",
        "Forward, for one example as a column; a batch is a matrix with one example per row.",
    ),
    Formula(
        "\\delta_L = \\frac{\\partial L}{\\partial a_L} \\odot \\sigma'(z_L), \\qquad \\delta_l = (W_{l+1}^\\top\\, "
        "\\delta_{l+1}) \\odot \\sigma'(z_l)",
        "Backward. The elementwise product is right because $\\sigma$ acts on each number alone.",
    ),
    Formula(
        "\\frac{\\partial L}{\\partial W_l} = \\delta_l\\, a_{l-1}^\\top, \\qquad \\frac{\\partial L}{\\partial b_l} = \\delta_l",
        "For one example. Over a batch both are sums of this over the examples.",
    ),
)


# --- one example, by all means -------------------------------------------------------------------------------------------


_ONE_EXAMPLE_CLAIMS = [
    Claim(
        "$\\partial L/\\partial\\theta$ is the product "
        "$\\frac{\\partial L}{\\partial a_L}\\frac{\\partial a_L}{\\partial z_L}"
        "\\frac{\\partial z_L}{\\partial a_{L-1}}\\cdots\\frac{\\partial z_1}{\\partial\\theta}$.",
        "conditional",
        "The factors are Jacobian matrices, so their order matters, and it is the chain for a parameter of the first "
        "layer: for layer $l$ it ends at $\\partial z_l/\\partial\\theta$.",
    ),
    Claim(
        "$\\delta_L = \\frac{\\partial L}{\\partial a_L} \\odot \\sigma'(z_L)$.",
        "conditional",
        "Where the activation is elementwise. For softmax each output depends on all inputs, and "
        "$\\delta_L = J(z_L)^\\top\\, \\partial L/\\partial a_L$ with the whole Jacobian.",
    ),
    Claim(
        "$\\frac{\\partial L}{\\partial W_{ij}} = \\frac{\\partial L}{\\partial a_i}"
        "\\frac{\\partial a_i}{\\partial z_i}\\frac{\\partial z_i}{\\partial W_{ij}}$.",
        "true",
        "For elementwise activations: then the weight acts on the loss through this unit alone.",
    ),
]


def one_example(context: Context) -> Experiment:
    """Two inputs, two hidden units, one output: all numbers, forward and backward."""
    params, x, y = create([2, 2, 1], 4), X[1:2], Y[1:2]
    layers = by_chainrule(params, x, y)
    comparisons = compare(params, x, y, entries=100)
    quotients, recursion = worst(comparisons)
    weights = [W for W, _ in params]
    onward = [x[0], *[layer.a[0] for layer in layers]]
    back = [np.array((layers[0].delta @ weights[0])[0]), *[layer.delta[0] for layer in layers]]
    there = plot.network(weights, onward, "Forward: activations", ["input a₀", "hidden a₁", "output a₂"])
    here = plot.network(weights, back, "Backward: derivatives of the loss", ["∂L/∂a₀", "δ₁", "δ₂"])
    chain = float(layers[1].delta[0, 0] * weights[1][0, 0] * layers[0].a[0, 0] * (1 - layers[0].a[0, 0]) * x[0, 1])
    return Experiment(
        "One example, forward and backward",
        f"""The input is $(0, 1)$, the label 1, and the weights are random. Forward, each unit weighs what it receives and
        squashes the sum. Backward, each unit receives the deltas above it through the same weights, and multiplies by its
        own slope $a(1-a)$.

        Follow one weight: the first hidden unit's, for the second input. Its derivative is
        $\\delta_2 \\cdot W_2 \\cdot a_1(1-a_1) \\cdot x_2$ = {text(chain)}, one factor for each arrow from the loss to it.""",
        [
            at_most("largest error against difference quotients, all derivatives", quotients, 1e-10),
            at_most("largest error against the recursion by hand", recursion, 1e-15),
            at_most("error of the chain of factors for one weight", abs(chain - float(layers[0].dW[0, 1])), 1e-16),
        ],
        formulas=[*FORMULAS, printed(loss, params, X, Y, note="The loss of the network for the four points of XOR.")],
        figures=[
            drawn(
                there,
                "forward",
                "What each unit says. Wide edges are large weights, blue positive, orange negative.",
                f"A network of 2, 2 and 1 units with activations written in them; the output is {text(float(onward[-1][0]), 2)}.",
            ),
            drawn(
                here,
                "backward",
                "What the loss would gain if that unit's sum grew by one.",
                f"The same network with derivatives written in the units; the output's delta is {text(float(back[-1][0]), 2)}.",
            ),
            _program(params, x, y),
        ],
        tables=[
            in_numbers(layers, "Every number of every layer"),
            checked(comparisons, "Checked against two other opinions"),
        ],
        claims=_ONE_EXAMPLE_CLAIMS,
    )


def _program(params: Params, x: Array, y: Array) -> Figure:
    """The program of the loss, as chainrule recorded it."""

    def of_parameters(params: Params) -> Any:
        return loss(params, x, y)

    graph = cr.trace(of_parameters)(params)
    caption = "The program that chainrule recorded. Backpropagation walks it from the end to the start."
    alt = f"The graph of the loss: {len(graph.eqns)} operations, from weights and biases down to the loss."
    return Figure(graph.to_svg(), caption, alt, wide=True)


def the_size_of_the_step(context: Context) -> Experiment:
    """Why difference quotients check derivatives and do not replace them."""
    params = create([2, 3, 1], 1)
    found = by_chainrule(params, X, Y)[0].dW[0, 0]
    W = params[0][0]

    def f(t: float) -> float:
        moved = W.copy()
        moved[0, 0] += t
        return float(cross_entropy(forward([(moved, params[0][1]), params[1]], X)[0][-1], Y))

    hs = np.logspace(-13, 0, context.pick(105, 53))
    one_sided = np.array([abs((f(h) - f(0)) / h - found) for h in hs])
    central = np.array([abs((f(h) - f(-h)) / (2 * h) - found) for h in hs])
    tiny = 1e-17
    right = hs > 2e-3
    orders = [float(np.polyfit(np.log(hs[right]), np.log(e[right]), 1)[0]) for e in (one_sided, central)]
    made = plot.curves(
        {"one-sided (f(h) − f(0))/h": (hs, one_sided + tiny), "central (f(h) − f(−h))/2h": (hs, central + tiny)},
        "Error of a difference quotient",
        "step h",
        "error",
        bounds={"2⁻⁵²|f|/h": (hs, 2.0**-52 * abs(f(0)) / hs)},
        xscale="log",
        ylim=(1e-14, 10),
        loc="upper center",
    )
    return Experiment(
        "Difference quotients, and the step they need",
        """A difference quotient is wrong on both sides. With a large step it sees the curve and not the slope; with a small
        one it subtracts two numbers that agree in almost all digits, and keeps the rest. The best central difference has
        ten digits right or more, the best one-sided one eight or nine. Automatic differentiation has no step, and errs in
        the last digit; the checks in this chapter use four values in a way that cancels the next order too.""",
        [
            at_most("smallest error of a central difference", float(np.min(central)), 1e-9),
            at_least("smallest error of a one-sided difference: never as good", float(np.min(one_sided)), float(np.min(central))),
            equals("order of the one-sided error for large steps", orders[0], 1.0, 0.1),
            equals("order of the central error for large steps", orders[1], 2.0, 0.1),
        ],
        figures=[
            drawn(
                made,
                "quotients",
                "Left of the valley rounding rules, right of it the curve.",
                "Errors of two difference quotients against the step, V-shaped on logarithmic axes; the central one "
                "reaches lower.",
            )
        ],
    )


# --- XOR -----------------------------------------------------------------------------------------------------------------


def _solved(hidden: int, seeds: int, steps: int, context: Context) -> int:
    """In how many of so many random starts all four points come out right."""
    starts = [create([2, hidden, 1], seed) for seed in range(seeds)]
    params = [tuple(np.stack([s[k][j] for s in starts]) for j in (0, 1)) for k in range(2)]
    gradients = cr.jit(cr.vmap(cr.grad(loss), in_axes=(0, None, None)))
    for _ in context.steps(steps):
        grads = gradients(params, X, Y)
        params = [(W - 5.0 * dW, b - 5.0 * db) for (W, b), (dW, db) in zip(params, grads, strict=True)]
    each = [[(W[s], b[s]) for W, b in params] for s in range(seeds)]
    return sum(bool(np.all((forward(p, X)[1][-1] > 0.5) == (Y > 0.5))) for p in each)


def exclusive_or(context: Context) -> Experiment:
    """XOR: no line parts its points, and three hidden units do."""
    steps = context.pick(1500, 600)
    result = train(create([2, 3, 1], 2), X, Y, learning_rate=5.0, epochs=steps, batch_size=4, seed=0, context=context)
    outputs = forward(result.params, X)[1][-1]
    comparisons = compare(create([2, 3, 1], 2), X, Y, entries=100)
    quotients, recursion = worst(comparisons)
    line = train(create([2, 1], 2), X, Y, learning_rate=1.0, epochs=steps, batch_size=4, seed=0, context=Context())
    seeds = 40
    two, four = _solved(2, seeds, steps, context), _solved(4, seeds, steps, context)
    k = np.arange(1, steps + 1)
    fall = plot.curves(
        {"3 hidden units": (k, result.losses), "no hidden layer": (k, line.losses)},
        "Loss on the way",
        "step",
        "cross-entropy",
        bounds={"ln 2: guessing": (k, np.full(steps, np.log(2)))},
        xscale="log",
        loc="lower left",
    )
    slopes = plot.curves(
        {f"layer {j + 1}": (k, result.slopes[:, j]) for j in range(2)},
        "Gradient of each layer",
        "step",
        "‖∂L/∂(W, b)‖",
        xscale="log",
        loc="lower left",
    )

    def score(points: Array) -> Array:
        return forward(result.params, points)[1][-1]

    plane = plot.decision(score, X, Y[:, 0], "What it learnt")
    return Experiment(
        "XOR",
        f"""Four points, two labels, and no straight line between them: without a hidden layer the best that can be done is
        to say one half everywhere, a loss of $\\ln\\,2$. Three hidden units solve it. Two can, but not from every start:
        {two} of {seeds} random starts reach it, where four units reach it from {four}. The loss is not convex, and where
        descent ends depends on where it begins.""",
        [
            at_most(
                "largest error of an output for the four points",
                float(np.max(np.abs(outputs - Y))),
                0.02 if not context.quick else 0.1,
            ),
            at_most("final loss", float(result.losses[-1]), 0.01 if not context.quick else 0.05),
            equals("loss without a hidden layer (theory: ln 2)", float(line.losses[-1]), float(np.log(2)), 1e-3),
            at_most("largest error of a gradient against difference quotients", quotients, 1e-10),
            at_most("largest error against the recursion by hand", recursion, 1e-15),
            at_least(f"starts of {seeds} that solve it with four hidden units", four, 0.9 * seeds),
        ],
        figures=[
            drawn(
                plane,
                "xor",
                "The boundary that it drew: blue says 1, orange 0.",
                "The unit square's corners with their labels; a curved boundary parts equal corners from unequal ones.",
            ),
            drawn(
                fall,
                "xor-loss",
                "A plateau at guessing, then down. Without a hidden layer the plateau is the end.",
                "Loss against steps; the network's leaves the level of guessing and falls, the linear one stays.",
            ),
            drawn(
                slopes,
                "xor-slopes",
                "On the plateau the step is too large for the second layer, and goes back and forth; once the points are "
                "parted, both gradients fall together.",
                "Gradient norms of both layers against steps.",
            ),
        ],
        tables=[checked(comparisons, "Every array of every layer, all four examples, before training"), _answers(outputs)],
        claims=[
            Claim(
                "A network with one hidden layer learns XOR.",
                "conditional",
                f"With two sigmoid units {two} of {seeds} random starts do; four units make it almost certain.",
            ),
        ],
    )


def _answers(outputs: Array) -> Table:
    rows = [[f"({x[0]:g}, {x[1]:g})", f"{y[0]:g}", f"{a[0]:.4f}"] for x, y, a in zip(X, Y, outputs, strict=True)]
    return Table("What it says", ["Input", "Label", "Output"], rows)


# --- digits --------------------------------------------------------------------------------------------------------------


@cache
def digits() -> tuple[Array, Array, Array, Array]:
    """scikit-learn's 1,797 handwritten digits of 8 by 8 pixels: training and test images, training and test labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found: Any = load_digits()
    parts: Any = train_test_split(found.data / 16.0, found.target, test_size=450, random_state=0, stratify=found.target)
    return parts[0], parts[1], parts[2], parts[3]


def read(params: Params, images: Array) -> Array:
    """The digit that the network sees in each image."""
    return np.argmax(forward(params, images)[1][-1], axis=1)


def wilson(right: int, total: int) -> tuple[float, float]:
    """A 95% confidence interval for a proportion."""
    z, p = 1.959964, right / total
    middle, half = p + z * z / (2 * total), z * np.sqrt(p * (1 - p) / total + (z / (2 * total)) ** 2)
    return float((middle - half) / (1 + z * z / total)), float((middle + half) / (1 + z * z / total))


_HANDWRITTEN_DIGITS_CLAIMS = [
    Claim(
        "Backpropagation needs the activations of the forward pass.",
        "conditional",
        "It must have them when it reaches the layer; storing all is one way. Recomputing some from checkpoints trades "
        "time for memory.",
    ),
]


def handwritten_digits(context: Context) -> Experiment:
    """The same code, with 64 inputs, 64 hidden units and 10 outputs."""
    x, x_test, label, label_test = digits()
    y, epochs, seeds = np.eye(10)[label], context.pick(40, 30), context.pick(3, 1)
    runs: list[Any] = []
    for seed in range(seeds):
        runs.append(
            train(
                create([64, 64, 10], seed),
                x,
                y,
                learning_rate=1.0,
                epochs=epochs,
                batch_size=32,
                seed=seed,
                context=context.part(seed, seeds),
            )
        )
    accuracies = [float(np.mean(read(r.params, x_test) == label_test)) for r in runs]
    first = runs[0]
    seen = read(first.params, x_test)
    low, high = wilson(int(np.sum(seen == label_test)), len(label_test))
    comparisons = compare(first.params, x[:32], y[:32], entries=context.pick(60, 20))
    quotients, recursion = worst(comparisons)
    per = len(first.losses) // epochs
    smooth = first.losses[: per * epochs].reshape(epochs, per).mean(axis=1)
    wrong = np.flatnonzero(seen != label_test)[:12]
    fall = plot.curves(
        {"training loss": (np.arange(1, epochs + 1), smooth)}, "Loss, mean of each pass", "pass over the data", "cross-entropy"
    )
    layer = by_chainrule(first.params, x[:32], y[:32])
    flows = {"input": x[:32].T, "a₁": layer[0].a.T, "δ₁": layer[0].delta.T, "a₂": layer[1].a.T, "δ₂": layer[1].delta.T}
    figures = [
        drawn(
            fall,
            "digits-loss",
            "Forty-three mini-batches of 32 to a pass.",
            "Training loss against passes over the data, falling.",
        ),
        drawn(
            plot.heat(flows, "What flows, 32 images side by side", "one column per image"),
            "digits-flow",
            "Forward values and backward deltas. Once most images are read well, deltas are left only where the network is "
            "wrong.",
            "Heat maps of input, hidden activations and deltas, output activations and deltas, one column per image.",
        ),
    ]
    if len(wrong):
        sheet = plot.pictures(
            [x_test[i].reshape(8, 8) for i in wrong], [f"{label_test[i]} as {seen[i]}" for i in wrong], "Misread test images"
        )
        figures.append(
            drawn(
                sheet,
                "digits-wrong",
                "What it was, and what the network took it for.",
                f"{len(wrong)} small images of misread digits with true and read label.",
            )
        )
    return Experiment(
        "Handwritten digits",
        f"""1,797 images of 8 × 8 pixels, 450 of them kept for the test. Nothing in the code changes but the sizes: 64
        inputs, 64 hidden units, 10 outputs, mini-batches of 32. The test accuracy of the first run is
        {text(accuracies[0])}, with a 95% interval from {text(low, 3)} to {text(high, 3)}: with 450 images, a difference of
        one percent between two networks says little.

        The table checks a mini-batch's gradients after training, layer by layer, on randomly chosen entries.""",
        [
            at_least(f"test accuracy, lowest of {seeds} run{'s' if seeds > 1 else ''}", min(accuracies), 0.96),
            at_least("training accuracy", float(np.mean(read(first.params, x) == label)), 0.97),
            at_most("largest error of a gradient against difference quotients", quotients, 1e-10),
            at_most("largest error against the recursion by hand", recursion, 1e-15),
        ],
        figures=figures,
        tables=[checked(comparisons, "Every array of both layers, a mini-batch of 32, after training")],
        claims=_HANDWRITTEN_DIGITS_CLAIMS,
    )


_THE_PRICE_OF_A_GRADIENT_CLAIMS = [
    Claim(
        "Backpropagation computes all derivatives in two passes.",
        "true",
        "One forward, one backward, at a cost of a few evaluations of the loss.",
    ),
]


def the_price_of_a_gradient(context: Context) -> Experiment:
    """Operations of the gradient program over those of the loss, as networks get deeper."""
    depths = np.array([1, 2, 4, 8, 16, 32][: context.pick(6, 5)])
    x, y = np.ones((2, 3)), np.zeros((2, 3))
    counts = list[tuple[int, int]]()
    for depth in depths:
        params = create([3] * (int(depth) + 1), 0)
        forwards, both = cr.trace(loss)(params, x, y), cr.trace(cr.value_and_grad(loss))(params, x, y)
        counts.append((len(forwards.eqns), len(both.eqns)))
    ahead, whole = np.array(counts, dtype=float).T
    growth = np.diff(whole) / np.diff(depths)
    made = plot.curves(
        {"value and gradient": (depths, whole), "loss alone": (depths, ahead)},
        "Operations in the program",
        "layers",
        "operations",
        bounds={"4 × loss alone": (depths, 4 * ahead)},
        xscale="log",
    )
    return Experiment(
        "The price of a gradient",
        """A difference quotient needs one more evaluation of the loss for each parameter. Backpropagation needs a fixed
        multiple of one evaluation, whatever their number. chainrule's programs can be counted: here they are for networks
        of growing depth.""",
        [
            at_most("largest ratio of operations, value and gradient to loss alone", float(np.max(whole / ahead)), 4.0),
            at_most("spread of operations per added layer: 0 means exactly linear", float(np.ptp(growth)), 0.0),
        ],
        figures=[
            drawn(
                made,
                "price",
                "Two parallel lines: the ratio does not depend on the depth.",
                "Numbers of operations against depth, both growing linearly, the gradient's below four times the loss's.",
            )
        ],
        tables=[
            Table(
                "Operations",
                ["Layers", "Loss", "Value and gradient", "Ratio"],
                [[int(d), int(a), int(w), f"{w / a:.2f}"] for d, a, w in zip(depths, ahead, whole, strict=True)],
            )
        ],
        claims=_THE_PRICE_OF_A_GRADIENT_CLAIMS,
    )


CHAPTER = Chapter(
    "9.2",
    "Backpropagation",
    TEXT,
    (one_example, the_size_of_the_step, exclusive_or, handwritten_digits, the_price_of_a_gradient),
    cover="one_example",
)
