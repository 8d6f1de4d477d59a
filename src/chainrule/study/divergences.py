"""9.3, second half: losses between distributions, losses between distances, and what arithmetic does to logarithms."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.data import digits
from chainrule.study.model import Context, Experiment, Formula, at_least, at_most, equals, text
from chainrule.study.tools import Array, drawn

GRID = np.linspace(-6, 6, 601)


def _two_hills(x: Array) -> Array:
    """The density of an even mixture of normals at -2 and 2 with deviation 0.6."""
    return 0.5 * (_hill(x, -2.0, 0.6) + _hill(x, 2.0, 0.6))


def _hill(x: Any, mean: Any, deviation: Any) -> Any:
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _log_hill(x: Any, mean: Any, log_deviation: Any) -> Any:
    return -0.5 * ((x - mean) / np.exp(log_deviation)) ** 2 - log_deviation - 0.5 * np.log(2 * np.pi)


def two_directions(context: Context) -> Experiment:
    """One normal for two hills: which one depends on the order of the arguments."""
    p, dx = _two_hills(GRID), GRID[1] - GRID[0]

    def forward(q: Any) -> Any:  # KL(p || q)
        return np.sum(p * (np.log(p) - _log_hill(GRID, q[0], q[1]))) * dx

    def backward(q: Any) -> Any:  # KL(q || p)
        log_q = _log_hill(GRID, q[0], q[1])
        return np.sum(np.exp(log_q) * (log_q - np.log(p))) * dx

    wide = cr.minimize(forward, np.array([0.7, 0.3]), method="lbfgs", tol=1e-9)
    narrow = cr.minimize(backward, np.array([1.5, -0.5]), method="lbfgs", tol=1e-9)
    variance = 4 + 0.6**2
    made = plot.curves(
        {
            "two hills, p": (GRID, p),
            "least KL(p ‖ q)": (GRID, _hill(GRID, wide.x[0], np.exp(wide.x[1]))),
            "least KL(q ‖ p)": (GRID, _hill(GRID, narrow.x[0], np.exp(narrow.x[1]))),
        },
        "One normal for two hills",
        "x",
        "density",
        yscale="linear",
    )
    return Experiment(
        "A divergence has a direction",
        f"""$KL(p\\|q) = \\int p \\ln(p/q)$ is not a distance: exchanging the arguments changes the number and the answer.
        Fit one normal to two hills. Where $p$ is, $KL(p\\|q)$ wants $q$ to be too, so $q$ covers both hills and the
        valley; its mean and variance are those of $p$. Where $p$ is not, $KL(q\\|p)$ wants $q$ not to be, so $q$ takes
        one hill, {text(float(narrow.x[0]), 3)}.""",
        [
            equals("mean of the q with least KL(p‖q): that of p", float(wide.x[0]), 0.0, 1e-6),
            equals("its variance: that of p", float(np.exp(2 * wide.x[1])), variance, 1e-5),
            equals("distance of the other q's mean from the nearest hill", float(abs(abs(narrow.x[0]) - 2)), 0.0, 0.02),
            at_least("KL(p‖q) − KL(q‖p) for the first q: not symmetric", float(abs(forward(wide.x) - backward(wide.x))), 0.01),
        ],
        figures=[
            drawn(
                made,
                "hills",
                "Cover everything, or choose.",
                "A density with two hills, one wide normal over both and one narrow normal on one.",
            )
        ],
    )


def never_the_logarithm_of_zero(context: Context) -> Experiment:
    """The same formula written in two ways, for logits that are far from zero."""
    zs = np.linspace(0, 60, context.pick(241, 121))

    def naive(z: Any) -> Any:  # -ln(1 - sigmoid(z)): label 0, logit z
        return -np.log(1 - 1 / (1 + np.exp(-z)))

    def stable(z: Any) -> Any:
        return cr.losses.binary_cross_entropy(np.zeros(1), np.reshape(z, (1,)), from_logits=True)

    with np.errstate(all="ignore"):
        bad = np.asarray(naive(zs))
    good = np.array([float(stable(z)) for z in zs])
    slopes = np.asarray(cr.vmap(cr.grad(stable))(zs))
    exact = np.logaddexp(0, zs)
    lost = np.where(np.isfinite(bad), np.abs(bad - exact), np.nan)
    broken = float(zs[np.argmax(~np.isfinite(bad))])
    made = plot.curves(
        {"−ln(1 − σ(z)) as written": (zs, np.maximum(lost, 1e-17)), "from logits": (zs, np.maximum(np.abs(good - exact), 1e-17))},
        "Error of the cross-entropy, label 0",
        "logit z",
        "error",
        ylim=(1e-17, 10),
        loc="upper left",
    )
    return Experiment(
        "Never the logarithm of zero",
        f"""For a confident wrong answer the probability of the right class is a rounding error away from zero, and its
        logarithm is noise, then infinity: from $z \\approx {broken:.0f}$ on. Written with the logit, $\\ln(1 + e^z)$, the
        same loss has all its digits for every $z$, and a derivative to learn from.""",
        [
            at_least("largest error of the formula as written, before it is infinite", float(np.nanmax(lost)), 0.1),
            at_most("largest relative error from logits", float(np.max(np.abs(good / exact - 1))), 1e-15),
            equals("derivative from logits at z = 60", float(slopes[-1]), 1.0, 1e-12),
        ],
        formulas=[
            Formula(
                "-y \\ln \\sigma(z) - (1 - y) \\ln(1 - \\sigma(z)) = \\max(z, 0) - y z + \\ln(1 + e^{-|z|})",
                "The right-hand side neither overflows nor cancels.",
            )
        ],
        figures=[
            drawn(
                made,
                "logits",
                "Digits are lost one by one, then all at once.",
                "The error of the naive formula rises to one near 36; the stable one's stays at zero.",
            )
        ],
    )


def _triplets(labels: Array, count: int, rng: Any) -> tuple[Array, Array, Array]:
    """Indices of examples, others of the same class, and others of another class."""
    anchor = rng.integers(len(labels), size=count)
    draw = rng.integers(len(labels), size=(count, 60))
    same = labels[draw] == labels[anchor][:, None]
    other = draw != anchor[:, None]
    return anchor, draw[np.arange(count), np.argmax(same & other, 1)], draw[np.arange(count), np.argmax(~same, 1)]


def near_and_far(context: Context) -> Experiment:
    """The triplet loss maps pictures of digits to the plane, so that what belongs together lies together."""
    x, labels = digits()
    train, test = x[:1200], x[1200:]
    net = cr.nn.MLP([64, 64, 2], "relu", key=cr.random.key(3))
    rng = np.random.default_rng(0)
    steps, batch = context.pick(1500, 300), 256
    rule = cr.optim.adam(cr.optim.schedules.cosine(0.01, steps))

    def loss(net: Any, a: Any, p: Any, n: Any) -> Any:
        return cr.losses.triplet(net(a), net(p), net(n), margin=1.0)

    @cr.jit
    def update(net: Any, state: Any, a: Any, p: Any, n: Any) -> Any:
        value, g = cr.value_and_grad(loss)(net, a, p, n)
        net, state = rule.step(net, g, state)
        return net, state, value

    state, values = rule.init(net), list[float]()
    for _ in context.steps(steps):
        a, p, n = _triplets(labels[:1200], batch, rng)
        net, state, value = update(net, state, train[a], train[p], train[n])
        values.append(float(value))
    centres = np.stack([net(train)[labels[:1200] == c].mean(0) for c in range(10)])
    placed = np.asarray(net(test))
    nearest = np.argmin(np.sum((placed[:, None] - centres) ** 2, -1), 1)
    right = float(np.mean(nearest == labels[1200:]))
    shown = np.arange(0, len(test), 2)
    made = plot.written(
        placed[shown], [str(c) for c in labels[1200:][shown]], list(labels[1200:][shown]), "Held-out digits in the plane"
    )
    return Experiment(
        "Near and far",
        f"""A triplet is an example, another of its class and one of another class. The loss asks that the third be
        farther than the second, by a margin, and nothing else: no class is ever named. A network with two outputs learns
        it from pictures of digits. Then a held-out digit is given the class of the nearest centre, which is right for
        {100 * right:.0f}% of them.""",
        [
            at_least("held-out digits nearest to the centre of their class", right, 0.8 if not context.quick else 0.6),
            at_most("mean loss at the end, over that at the start", float(np.mean(values[-20:]) / np.mean(values[:5])), 0.5),
        ],
        formulas=[Formula(cr.losses.triplet.latex, "The loss, printed from the library.", printed=True)],
        figures=[
            drawn(
                made,
                "triplets",
                "Each sign is a picture that the network had not seen.",
                "Digits written in the plane, those of the same class close together.",
            )
        ],
    )


EXPERIMENTS = (two_directions, never_the_logarithm_of_zero, near_and_far)
