"""9.6 Networks: what flows through fifty layers, what normalisation normalises, and where attention looks."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study import looking
from chainrule.study.data import digits
from chainrule.study.model import Chapter, Context, Experiment, Figure, Formula, Table, at_least, at_most, equals, text
from chainrule.study.tools import Array, drawn

TEXT = """A deep network multiplies many Jacobians. If each shrinks a vector by a tenth, fifty of them leave half a
percent; if each stretches it by a tenth, it grows a hundredfold. Initial weights, residual connections and normalisation
are three ways to keep that product near one, and each can be measured.

Attention is a weighted mean whose weights are computed from the data. It can be watched: the maps below belong to
networks that solve their task completely, so that what they look at is what the task needs."""


# --- one network in numbers ---------------------------------------------------------------------------------------------------


def in_numbers(context: Context) -> Experiment:
    """A small network with its forward values and backward deltas, and the table of its backward pass."""
    net = cr.nn.MLP([2, 3, 2, 1], "tanh", key=cr.random.key(5))
    x, y = np.array([[0.5, -1.0]]), np.array([[0.7]])
    table = cr.nn.backpropagation(net, cr.losses.mse, x, y)
    grads = cr.grad(lambda m: cr.losses.mse(y, m(x)))(net)
    weights = [layer.weight for layer in net.layers]
    activations, zs = [x[0]], list[Array]()
    for k, layer in enumerate(net.layers):
        zs.append(layer.weight @ activations[-1] + layer.bias)
        activations.append(np.tanh(zs[-1]) if k < 2 else zs[-1])
    deltas = [2 * (activations[-1] - y[0])]
    for k in (1, 0):
        deltas.insert(0, (weights[k + 1].T @ deltas[0]) * (1 - activations[k + 1] ** 2))
    back = [weights[0].T @ deltas[0], *deltas]
    error = max(
        float(np.max(np.abs(np.outer(d, a) - g.weight))) for d, a, g in zip(deltas, activations[:-1], grads.layers, strict=True)
    )
    names = ["x", "a₁", "a₂", "ŷ"]
    there = plot.network(weights, activations, "Forward: activations", names)
    here = plot.network(weights, back, "Backward: ∂L/∂x and δ", ["∂L/∂x", "δ₁", "δ₂", "δ₃"])
    picture = Figure(
        table.svg,
        "The same passes as the library draws them.",
        "Forward and backward passes through three layers with shapes and norms.",
        wide=True,
    )
    return Experiment(
        "One network in numbers",
        """Forward, each unit weighs what it receives. Backward, the same weights are read the other way, and each unit
        multiplies by its own slope, $1 - a^2$ for tanh. A weight's derivative is the delta above it times the activation
        below it.""",
        [
            at_most("largest error of δ aᵀ by hand against the gradient", error, 1e-15),
            at_most("error of the loss", abs(table.loss - float((activations[-1][0] - 0.7) ** 2)), 1e-15),
        ],
        formulas=[
            Formula(
                "\\delta_l = (W_{l+1}^\\top \\delta_{l+1}) \\odot \\sigma'(z_l), \\qquad \\frac{\\partial L}{\\partial "
                "W_l} = \\delta_l\\, a_{l-1}^\\top",
                "For elementwise activations; softmax needs its whole Jacobian.",
            )
        ],
        figures=[
            drawn(
                there,
                "net-forward",
                "Wide edges are large weights, blue positive, orange negative.",
                "A network of 2, 3, 2 and 1 units with activations in them.",
            ),
            drawn(
                here,
                "net-backward",
                "What the loss would gain if a unit's sum grew by one.",
                "The same network with derivatives in the units.",
            ),
            picture,
        ],
    )


# --- fifty layers -------------------------------------------------------------------------------------------------------------


def fifty_layers(context: Context) -> Experiment:
    """Norms of the gradient in every layer, with and without residual connections and normalisation."""
    depth, width = 50, 32
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 8)), rng.standard_normal((64, 1))
    kinds: dict[str, dict[str, Any]] = {
        "plain, weights too small": {"gain": 0.7},
        "plain, weights too large": {"gain": 2.0},
        "residual, weights too small": {"gain": 0.7, "residual": True},
        "normalised, weights too small": {"gain": 0.7, "normalised": True},
    }
    seen, ends = dict[str, Array](), dict[str, float]()
    for name, options in kinds.items():
        net = cr.nn.deep_net(8, width, depth, 1, key=cr.random.key(1), **options)
        health = cr.nn.diagnose(net, cr.losses.mse, x, y, training=True)
        norms = np.array([layer.gradient_norm for layer in health.layers if layer.name == "Dense"])
        seen[name] = norms
        ends[name] = float(norms[1] / norms[-2])
    made = plot.curves(
        {n: (np.arange(1, len(v) + 1), np.maximum(v, 1e-20)) for n, v in seen.items()},
        "Gradient of each layer's weights",
        "layer, from the input",
        "norm",
        ylim=(1e-14, 1e8),
    )
    factor = ends["plain, weights too small"] ** (1 / (depth - 1))
    return Experiment(
        "Through fifty layers",
        f"""The gradient of an early layer is a product of all the Jacobians above it. With weights a little too small,
        each layer takes a factor of about {text(factor, 3)}, and the first layers hear nothing. With weights too large,
        tanh saturates and the factor wanders. A residual connection adds the identity to each Jacobian, and most of the
        signal goes round. Normalisation rescales what each layer receives, so that small weights stop mattering.""",
        [
            at_most(
                "plain, weights too small: gradient of layer 2 over that of the last but one",
                ends["plain, weights too small"],
                1e-4,
            ),
            at_least("the same with residual connections", ends["residual, weights too small"], 0.05),
            at_least("the same with normalisation", ends["normalised, weights too small"], 0.02),
        ],
        formulas=[
            Formula(
                "\\frac{\\partial}{\\partial x}\\left[x + F(x)\\right] = I + F'(x)",
                "Why a residual connection helps: the product of these contains the identity.",
            )
        ],
        figures=[
            drawn(
                made,
                "fifty",
                "Fourteen powers of ten on one axis.",
                "Norms of gradients over fifty layers: plain ones fall to nothing, residual and normalised ones stay level.",
            )
        ],
        tables=[Table("Layer 2 over layer 50", ["Network", "Ratio of gradients"], [[n, v] for n, v in ends.items()])],
    )


def first_weights(context: Context) -> Experiment:
    """The size of activations through twenty layers, for three ways to draw the weights."""
    depth, width = 20, 128
    x = np.random.default_rng(0).standard_normal((context.pick(512, 128), width))
    draws = {"He: 2/n": 2.0, "LeCun: 1/n": 1.0, "too large: 4/n": 4.0}
    seen = dict[str, Array]()
    for name, gain in draws.items():
        a, sizes = x, [float(np.mean(x**2))]
        for k in range(depth):
            w = np.asarray(cr.nn.he_normal(cr.random.key(k), (width, width))) * np.sqrt(gain / 2)
            a = np.maximum(a @ w.T, 0)
            sizes.append(float(np.mean(a**2)))
        seen[name] = np.array(sizes)
    k = np.arange(depth + 1)
    made = plot.curves(
        {n: (k, v) for n, v in seen.items()},
        "Mean square of the activations, relu",
        "layer",
        "E a²",
        bounds={"2⁻ᵏ": (k, 0.5**k), "2ᵏ": (k, 2.0**k)},
    )
    slope = {n: float(np.polyfit(k[1:], np.log2(v[1:]), 1)[0]) for n, v in seen.items()}
    variance = float(cr.nn.he_normal.variance(width, width))
    return Experiment(
        "The first weights",
        """A rectifier throws half of the square away. Weights with variance $2/n$ put it back, and a signal keeps its
        size through any number of layers. With $1/n$ it halves in every layer, with $4/n$ it doubles: three choices of
        one factor.""",
        [
            equals("He: growth of the mean square per layer, log₂", slope["He: 2/n"], 0.0, 0.15),
            equals("LeCun: growth per layer, log₂", slope["LeCun: 1/n"], -1.0, 0.15),
            equals("too large: growth per layer, log₂", slope["too large: 4/n"], 1.0, 0.15),
            equals("variance that the library states for He, times n", variance * width, 2.0, 1e-12),
        ],
        figures=[
            drawn(
                made,
                "initial",
                "Level, halving, doubling.",
                "Mean squares over twenty layers: one level, one falling, one rising along the predicted lines.",
            )
        ],
    )


# --- normalisation -------------------------------------------------------------------------------------------------------------


def two_axes(context: Context) -> Experiment:
    """Batch and layer normalisation: which axis, and who depends on whom."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((6, 10)) * np.linspace(0.3, 3, 10) + np.linspace(-2, 2, 6)[:, None]
    batch, layer = cr.nn.BatchNorm(10), cr.nn.LayerNorm(10)
    by_batch, by_layer = np.asarray(batch(x, training=True)[0]), np.asarray(layer(x))
    ct = rng.standard_normal(x.shape)
    through_batch = cr.grad(lambda x: np.sum(ct * batch(x, training=True)[0]))(x)
    through_layer = cr.grad(lambda x: np.sum(ct * layer(x)))(x)
    std = np.sqrt(x.var(0) + 1e-5)
    stated = ct / std  # the formula that treats mean and variance as constants
    full = (ct - ct.mean(0) - by_batch * (ct * by_batch).mean(0)) / std
    others = np.asarray(cr.jacobian(lambda rest: batch(np.concatenate([x[:1], rest]), training=True)[0][0])(x[1:]))
    others_layer = np.asarray(cr.jacobian(lambda rest: layer(np.concatenate([x[:1], rest]))[0])(x[1:]))
    made = plot.heat(
        {"x": x, "batch": by_batch, "layer": by_layer}, "Six examples (down), ten features (across)", "each on a scale of its own"
    )
    return Experiment(
        "Two axes",
        """Batch normalisation centres and scales each feature over the examples of the batch, layer normalisation each
        example over its features. So in training, what batch normalisation says of one example depends on the others in
        the batch, and its derivative goes to them. A formula that is often printed, $\\partial L/\\partial x_i =
        \\gamma\\,\\partial L/\\partial y_i / \\sqrt{\\sigma^2 + \\epsilon}$, treats mean and variance as constants. That
        is right at inference, and wrong in training, where the full derivative sums to zero over the batch.""",
        [
            at_most(
                "full formula for batch normalisation against the gradient", float(np.max(np.abs(full - through_batch))), 1e-5
            ),
            at_least("error of the formula with constant mean and variance", float(np.max(np.abs(stated - through_batch))), 0.1),
            at_most("sum of the gradient over the batch", float(np.max(np.abs(np.sum(through_batch, 0)))), 1e-12),
            at_most(
                "layer normalisation: sum of the gradient over the features",
                float(np.max(np.abs(np.sum(through_layer, 1)))),
                1e-12,
            ),
            at_least("batch: largest derivative of one example's output by another example", float(np.max(np.abs(others))), 1e-2),
            at_most("layer: the same", float(np.max(np.abs(others_layer))), 0.0),
        ],
        formulas=[
            Formula(
                "\\frac{\\partial L}{\\partial x_i} = \\frac{\\gamma}{\\sqrt{\\sigma_B^2 + \\epsilon}} "
                "\\left(\\frac{\\partial L}{\\partial y_i} - "
                "\\frac1m \\sum_j \\frac{\\partial L}{\\partial y_j} - \\frac{\\hat x_i}{m} \\sum_j \\frac{\\partial "
                "L}{\\partial y_j} \\hat x_j\\right)",
                "Batch normalisation in training, per feature, over a batch of $m$.",
            )
        ],
        figures=[
            drawn(made, "axes", "Columns become alike, or rows.", "Heat maps of data, batch-normalised and layer-normalised.")
        ],
    )


def normalised_training(context: Context) -> Experiment:
    """The same network on digits at three learning rates, with and without normalisation."""
    x, labels = digits()
    epochs = context.pick(8, 3)
    loss = lambda target, out: cr.losses.sparse_categorical_cross_entropy(target, out, from_logits=True)
    k = cr.random.split(cr.random.key(2), 3)
    d = cr.nn.Dense
    nets = {
        "plain": cr.nn.Sequential(d(64, 64, key=k[0]), cr.nn.relu, d(64, 64, key=k[1]), cr.nn.relu, d(64, 10, key=k[2])),
        "batch": cr.nn.Sequential(
            d(64, 64, key=k[0]),
            cr.nn.BatchNorm(64),
            cr.nn.relu,
            d(64, 64, key=k[1]),
            cr.nn.BatchNorm(64),
            cr.nn.relu,
            d(64, 10, key=k[2]),
        ),
        "layer": cr.nn.Sequential(
            d(64, 64, key=k[0]),
            cr.nn.LayerNorm(64),
            cr.nn.relu,
            d(64, 64, key=k[1]),
            cr.nn.LayerNorm(64),
            cr.nn.relu,
            d(64, 10, key=k[2]),
        ),
    }
    rates = [0.01, 1.0] if context.quick else [0.01, 0.1, 1.0]
    tries = [(name, rate) for name in nets for rate in rates]
    found = dict[tuple[str, float], Array]()
    for i, (name, rate) in enumerate(tries):
        context.tell(i / len(tries))
        fit = cr.fit(nets[name], loss, (x, labels), cr.optim.sgd(rate), epochs=epochs, batch_size=64, key=3, progress=False)
        found[name, rate] = np.asarray(fit.history.loss)
    at = np.arange(1, epochs + 1)
    made = plot.curves(
        {name: (at, found[name, 0.01]) for name in nets},
        "Training loss at a small rate, 0.01",
        "pass over the data",
        "cross-entropy",
    )
    rows = [[rate, *(float(found[name, rate][-1]) for name in nets)] for rate in rates]
    return Experiment(
        "Normalised training",
        """Two hidden layers on digits, with SGD. At a small rate the normalised networks are ahead at once, because every
        layer receives numbers of a useful size. At a rate of 1 the plain network is thrown about and learns little; the
        batch-normalised one learns.""",
        [
            at_most(
                "loss after the last pass at rate 0.01, batch over plain",
                float(found["batch", 0.01][-1] / found["plain", 0.01][-1]),
                0.6,
            ),
            at_least("the same at rate 1, plain over batch", float(found["plain", 1.0][-1] / found["batch", 1.0][-1]), 2.0),
            at_most(
                "largest loss of the batch-normalised network at any rate",
                max(float(found["batch", r][-1]) for r in rates),
                1.5 if context.quick else 0.6,
            ),
        ],
        figures=[drawn(made, "normalised", "Means over each pass.", "Training losses: with normalisation they fall faster.")],
        tables=[Table("Training loss after the last pass", ["Rate", *nets], rows)],
    )


CHAPTER = Chapter(
    "9.6",
    "Networks",
    TEXT,
    (in_numbers, fifty_layers, first_weights, two_axes, normalised_training, *looking.EXPERIMENTS),
    cover="where_it_looks",
)
