"""The introduction, second half: what the answer of a trained model owes to its inputs."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.data import Dataset, classification
from chainrule.study.model import Context, Experiment, Formula, at_least, at_most, equals, text
from chainrule.study.tools import Array, drawn


@cache
def _trained(data: Any, epochs: int) -> Any:
    """A small network that tells the two classes apart; it answers with log odds."""
    given: Dataset = data.given
    x, y, _, _ = given.split(0)
    net = cr.nn.MLP([x.shape[1], 16, 1], "tanh", key=cr.random.key(0))

    def loss(y_true: Any, y_pred: Any) -> Any:
        return cr.losses.binary_cross_entropy(y_true, y_pred, from_logits=True)

    rule = cr.optim.adamw(0.01, weight_decay=0.1)
    return cr.fit(net, loss, (x, y[:, None].astype(float)), rule, epochs=epochs, batch_size=32, key=1, progress=False).model


class _ByIdentity:
    """A data set as a key of a cache: arrays have no hash."""

    def __init__(self, given: Dataset) -> None:
        self.given = given

    def __hash__(self) -> int:
        return id(self.given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.given is self.given


def _network(context: Context) -> tuple[Dataset, Any, Any, float]:
    """The data, the network, its log odds for one example, and how often it is right on held-out examples."""
    given = classification(context)
    net = _trained(_ByIdentity(given), context.pick(60, 30))
    _, _, x, y = given.split(0)
    right = float(np.mean((net(x)[:, 0] > 0) == (y == 1)))
    return given, net, lambda v: net(v[None, :])[0, 0], right


def _names(given: Dataset, chosen: Array) -> list[str]:
    return [str(given.features[int(i)])[:26] for i in chosen]


def what_it_owes(context: Context) -> Experiment:
    """One answer, distributed over the inputs in two ways; only one of them adds up."""
    given, net, score, right = _network(context)
    _, _, x, _ = given.split(0)
    one = x[int(np.argmax(net(x)[:, 0]))]
    first = cr.analysis.input_x_gradient(score, one)
    whole = cr.analysis.integrated_gradients(score, one, steps=256, full_output=True)
    rise = float(score(one) - score(np.zeros(len(one))))
    most = np.argsort(-np.abs(whole.values))[:8]
    rows = _names(given, most)
    many = cr.analysis.expected_gradients(
        score, one, x[:64], samples=context.pick(2048, 512), key=cr.random.key(2), full_output=True
    )
    mean = float(score(one) - np.mean(net(x[:64])))
    made = plot.bars(
        {
            "integrated gradients": dict(zip(rows, map(float, whole.values[most]), strict=True)),
            "input × gradient": dict(zip(rows, map(float, first[most]), strict=True)),
        },
        "What one answer owes to the inputs",
        "contribution to the log odds",
    )
    tolerance = 4.5 * float(many.error)
    return Experiment(
        "What an answer owes to its inputs",
        f"""A network with one hidden layer learns {given.name} ({given.size}; right for {100 * right:.1f}% of the
        examples it has not seen). Take the example it is surest about. Its gradient says how the answer would change if
        an input changed a little. The question that people ask is another: how much of the answer, {text(rise)} above the
        answer for an average example, came from each input? Gradients times inputs need not add up to it, and here they
        miss most of it, because the units are saturated. Integrating the gradient along the straight way from the average
        example does add up, by the fundamental theorem of calculus.""",
        [
            at_most("integrated gradients: by how much their sum misses the rise", abs(float(np.sum(whole.values)) - rise), 1e-4),
            at_least("input × gradient: by what part of the rise its sum misses it", abs(float(np.sum(first)) / rise - 1), 0.1),
            at_most(
                "expected gradients: by how much their sum misses the rise over the mean answer",
                abs(float(np.sum(many.values)) - mean),
                tolerance,
            ),
            at_least("held-out examples that the network gets right", right, 0.5 if given.own else 0.93),
        ],
        formulas=[
            Formula(
                "\\phi_i = (x_i - b_i) \\int_0^1 \\frac{\\partial f}{\\partial x_i}(b + t(x - b))\\, dt, \\qquad \\sum_i \\phi_i "
                "= f(x) - f(b)",
                "Integrated gradients of $x$ against the baseline $b$.",
            )
        ],
        figures=[
            drawn(
                made,
                "owes",
                "The eight inputs that count most for this example.",
                "Pairs of horizontal bars for eight inputs; integrated gradients are mostly longer than inputs times gradients.",
            )
        ],
    )


def full_units(context: Context) -> Experiment:
    """A gradient of zero at an input that gave everything."""

    def answer(x: Any) -> Any:
        return 1 - np.maximum(0.0, 1 - x)

    at = 2.0
    xs = np.linspace(-0.2, 2.2, 241)
    slopes = cr.vmap(cr.grad(answer))(xs)
    along = np.linspace(0, 1, context.pick(2001, 501))
    share = cr.analysis.integrated_gradients(lambda v: answer(v[0]), np.array([at]), steps=200)[0]
    made = plot.curves(
        {"f(x)": (xs, answer(xs)), "f′(x)": (xs, slopes)}, "A unit that is full", "x", "value", yscale="linear", loc="lower right"
    )
    path = plot.curves(
        {"t · 2 · f′(2t), summed so far": (along, np.cumsum(cr.vmap(cr.grad(answer))(at * along)) * at / len(along))},
        "From 0 to 2, the gradient summed on the way",
        "t",
        "sum",
        bounds={"f(2t) − f(0)": (along, answer(at * along))},
        yscale="linear",
    )
    return Experiment(
        "Where the gradient is silent",
        """The function rises to 1 and stays there. At $x = 2$ its gradient is zero, and a map of gradients would call the input
        irrelevant, though without it the answer would be 0. The gradient is right: a small change changes nothing. It was
        asked the wrong question.""",
        [
            equals("gradient at 2", float(cr.grad(answer)(at)), 0.0, 1e-15),
            equals("integrated gradient from 0 to 2", float(share), 1.0, 0.01),
        ],
        figures=[
            drawn(
                made,
                "full",
                "Flat where it is full.",
                "A function that rises to one and stays, and its slope, which drops to zero.",
            ),
            drawn(
                path,
                "full-path",
                "All that was gained is gained in the first half of the way.",
                "The running sum of the gradient along the path follows the function's rise to one.",
            ),
        ],
    )


def one_input_at_a_time(context: Context) -> Experiment:
    """Partial dependence: the mean answer as one input moves, and its slope by differentiation."""
    given, net, score, _ = _network(context)
    x = given.split(0)[2][: context.pick(150, 60)]
    average = np.mean(np.abs(cr.vmap(cr.grad(score))(x)), 0)
    chosen = [int(i) for i in np.argsort(-average)[:3]]
    grid = np.linspace(-2, 2, 33)
    found = [cr.analysis.partial_dependence(score, x, i, grid=grid) for i in chosen]
    slopes = [np.gradient(f.mean, grid, edge_order=2) for f in found]
    worst = max(float(np.max(np.abs(s - f.slope)) / np.max(np.abs(f.slope))) for s, f in zip(slopes, found, strict=True))
    names = _names(given, np.array(chosen))
    values = plot.curves(
        {n: (grid, f.mean) for n, f in zip(names, found, strict=True)},
        "Mean answer as one input moves",
        "input, in standard deviations",
        "log odds",
        yscale="linear",
    )
    rates = plot.curves(
        {n: (grid, f.slope) for n, f in zip(names, found, strict=True)},
        "Its slope, by differentiation",
        "input, in standard deviations",
        "slope",
        yscale="linear",
    )
    del net
    return Experiment(
        "One input at a time",
        """Move one input of every example along a grid, leave the others, and average the answers. The slope of that curve is the
        mean of partial derivatives, so it needs no differences. Beware: inputs that go together in the data are torn apart by
        this, and the network is asked about examples that do not exist.""",
        [at_most("largest difference between slopes and difference quotients, relative", worst, 0.02)],
        figures=[
            drawn(
                values,
                "dependence",
                "The three inputs with the steepest mean slope.",
                "Three curves of the mean answer against an input.",
            ),
            drawn(rates, "dependence-slope", "Where the curve bends.", "The slopes of the three curves."),
        ],
    )


EXPERIMENTS = (what_it_owes, full_units, one_input_at_a_time)
