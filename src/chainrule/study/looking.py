"""9.6, second half: attention, watched while it solves a task, and its derivative."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.model import Context, Experiment, Formula, at_least, at_most, equals, text
from chainrule.study.tools import Array, drawn

LENGTH, TOKENS, WIDTH = 8, 10, 32


def _network(key: Any) -> dict[str, Any]:
    """Tokens and positions to features, one layer of attention, features to tokens."""
    a, b, c, d = cr.random.split(key, 4)
    return {
        "tokens": cr.nn.Embedding(TOKENS, WIDTH, key=a),
        "positions": cr.nn.LearnedPositions(LENGTH, WIDTH, key=b),
        "attention": cr.nn.SelfAttention(WIDTH, key=c),
        "out": cr.nn.Dense(WIDTH, TOKENS, key=d),
    }


def _features(net: Any, sequences: Any) -> Any:
    return net["positions"](net["tokens"](sequences))


def _answer(net: Any, sequences: Any) -> Any:
    """(n, length) tokens to (n, length, tokens) logits."""
    return net["out"](net["attention"](_features(net, sequences)))


def _loss(net: Any, sequences: Any, targets: Any) -> Any:
    logits = _answer(net, sequences)
    return cr.losses.sparse_categorical_cross_entropy(
        np.reshape(targets, (-1,)), np.reshape(logits, (-1, TOKENS)), from_logits=True
    )


def _trained(task: Any, steps: int, context: Context) -> tuple[Any, Array]:
    """The network after `steps` batches of a task, which maps sequences to targets."""
    net, rng = _network(cr.random.key(4)), np.random.default_rng(0)
    rule = cr.optim.adam(cr.optim.schedules.cosine(0.02, steps))

    @cr.jit
    def update(net: Any, state: Any, sequences: Any, targets: Any) -> Any:
        value, g = cr.value_and_grad(_loss)(net, sequences, targets)
        net, state = rule.step(net, g, state)
        return net, state, value

    state, losses = rule.init(net), list[float]()
    for _ in context.steps(steps):
        sequences = rng.integers(TOKENS, size=(64, LENGTH))
        net, state, value = update(net, state, sequences, task(sequences))
        losses.append(float(value))
    return net, np.array(losses)


def where_it_looks(context: Context) -> Experiment:
    """Two copying tasks, each solved by one layer of attention, and the maps that solve them."""
    tasks: dict[str, Any] = {
        "copy in reverse": lambda s: s[:, ::-1].copy(),
        "copy, shifted by one": partial(np.roll, shift=1, axis=1),
    }
    rng = np.random.default_rng(9)
    fresh = rng.integers(TOKENS, size=(500, LENGTH))
    maps, right, losses = dict[str, Array](), dict[str, float](), dict[str, Array]()
    for k, (name, task) in enumerate(tasks.items()):
        net, losses[name] = _trained(task, context.pick(600, 300), context.part(k, len(tasks)))
        said = np.argmax(np.asarray(_answer(net, fresh)), -1)
        right[name] = float(np.mean(np.all(said == task(fresh), 1)))
        maps[name] = np.asarray(net["attention"].weights(_features(net, fresh))).mean(0)
    where = {"copy in reverse": np.fliplr(np.eye(LENGTH)), "copy, shifted by one": np.roll(np.eye(LENGTH), 1, axis=0)}
    on = {name: float(np.mean(maps[name][where[name] == 1])) for name in maps}
    positions = [str(i + 1) for i in range(LENGTH)]
    made = plot.attention(maps, "Mean attention over 500 new sequences", positions, positions)
    falls = plot.curves(
        {n: (np.arange(1, len(v) + 1), v) for n, v in losses.items()}, "Loss while learning to copy", "step", "cross-entropy"
    )
    return Experiment(
        "Where attention looks",
        f"""Sequences of eight digits. One network must say each in reverse, another must say it shifted by one. Each is
        one layer of attention between an embedding and a linear layer, and nothing tells it where to look. After training
        both get every digit of {100 * min(right.values()):.0f}% of new sequences right or more, and the maps are the
        tasks: position $i$ looks at position $9 - i$, or at the one before it.""",
        [
            at_least("new sequences reversed without a mistake", right["copy in reverse"], 0.99),
            at_least("new sequences shifted without a mistake", right["copy, shifted by one"], 0.99),
            at_least("attention on the position that the task needs, reversing", on["copy in reverse"], 0.8),
            at_least("attention on the position that the task needs, shifting", on["copy, shifted by one"], 0.8),
        ],
        formulas=[
            Formula(
                "\\operatorname{Attention}(Q, K, V) = \\operatorname{softmax}\\left(\\frac{Q K^\\top}{\\sqrt{d_k}}\\right) V",
                "The softmax is taken over each row.",
            )
        ],
        figures=[
            drawn(
                made,
                "maps",
                "Rows are the positions that speak, columns those they look at.",
                "Two attention maps: an anti-diagonal and a shifted diagonal.",
            ),
            drawn(falls, "maps-loss", "From guessing, ln 10, to certainty.", "Two losses falling from 2.3 to near zero."),
        ],
    )


def its_derivative(context: Context) -> Experiment:
    """Softmax as a matrix of derivatives, the scale of scores, and what attention does not see."""
    rng = np.random.default_rng(3)
    z = rng.standard_normal(6)
    p = np.asarray(cr.special.softmax(z))
    jacobian = np.asarray(cr.jacobian(cr.special.softmax)(z))
    sizes = 2 ** np.arange(1, context.pick(11, 8))
    raw, scaled = list[float](), list[float]()
    for d in sizes:
        q, k = rng.standard_normal((400, d)), rng.standard_normal((400, 16, d))
        scores = np.einsum("nd,nkd->nk", q, k)
        for s, out in ((scores, raw), (scores / np.sqrt(d), scaled)):
            w = np.asarray(cr.special.softmax(s, axis=-1))
            out.append(float(np.mean(np.sum(w * (1 - w), -1))))  # the trace of the Jacobian
    made = plot.curves(
        {"softmax(q·k)": (sizes, np.array(raw)), "softmax(q·k/√d)": (sizes, np.array(scaled))},
        "How much softmax still answers: trace of its Jacobian",
        "size d of queries and keys",
        "trace",
        xscale="log",
        yscale="linear",
        ylim=(0, 1),
    )
    layer, x = cr.nn.SelfAttention(8, key=cr.random.key(1)), rng.standard_normal((5, 8))
    order = np.array([3, 0, 4, 1, 2])
    moved = float(np.max(np.abs(np.asarray(layer(x[order])) - np.asarray(layer(x))[order])))
    causal = cr.nn.SelfAttention(8, key=cr.random.key(1), causal=True)
    J = np.abs(np.asarray(cr.jacobian(causal)(x))).max(axis=(1, 3))
    heat = plot.heat({"∂softmax/∂z": jacobian}, "The Jacobian of a softmax of six numbers")
    return Experiment(
        "The derivative of attention",
        """Softmax mixes all the numbers of a row, so its derivative is a matrix, $\\operatorname{diag}(p) - pp^\\top$,
        and not a slope for each number. Its entries vanish when one weight takes all. Scores of random queries and keys
        have variance $d$: without the division by $\\sqrt d$ that is what happens as $d$ grows. Without positions,
        attention does not know the order of its inputs: permute them, and the outputs are permuted alike.""",
        [
            at_most(
                "error of diag(p) − ppᵀ against the Jacobian",
                float(np.max(np.abs(np.diag(p) - np.outer(p, p) - jacobian))),
                1e-15,
            ),
            at_most(
                "largest row sum of the Jacobian: moving all scores together changes nothing",
                float(np.max(np.abs(jacobian.sum(1)))),
                1e-15,
            ),
            at_least("trace with scaling at the largest d", scaled[-1], 0.7),
            at_most("trace without scaling at the largest d, over the one with", raw[-1] / scaled[-1], 0.5),
            at_most("how far permuted inputs are from permuted outputs", moved, 1e-14),
            equals(
                "largest derivative of a causal output by a later input", float(np.max(J[np.triu_indices(5, 1)])), 0.0, 1e-300
            ),
        ],
        formulas=[Formula("\\frac{\\partial p}{\\partial z} = \\operatorname{diag}(p) - p\\, p^\\top", "For each row.")],
        figures=[
            drawn(
                made,
                "saturation",
                "With the scale, the size of the vectors does not matter.",
                "The trace without scaling falls with d, with scaling it stays level.",
            ),
            drawn(
                heat,
                "softmax-jacobian",
                f"A matrix; its largest entry is {text(float(np.max(jacobian)), 2)}.",
                "A heat map of the Jacobian, positive on the diagonal and negative off it.",
            ),
        ],
    )


EXPERIMENTS = (where_it_looks, its_derivative)
