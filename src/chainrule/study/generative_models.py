"""9.8 Generative models: a bound that can be checked, a game whose best move is known, and a distance that does not saturate."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.data import diabetes, digits
from chainrule.study.model import Chapter, Context, Experiment, Figure, Formula, Table, at_least, at_most, equals, text
from chainrule.study.tools import Array, drawn

TEXT = """
A generative model is a machine that turns noise into examples. What it should maximise, the probability of the data, is an
integral over all noise that could have made them. The variational autoencoder raises a bound on it; adversarial networks do
without, and train a judge instead. The judge of a GAN estimates a ratio of densities, the critic of a WGAN a distance.

All three have cases in which the answer is known exactly. They are run first, and then the models draw.
"""

g = cr.generative


# --- the bound ----------------------------------------------------------------------------------------------------------------


def a_bound_that_is_reached(context: Context) -> Experiment:
    """The linear variational autoencoder is probabilistic principal component analysis; the best likelihood is known."""
    x = diabetes().x
    n, d, k = *x.shape, 2
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    noise = float(values[k:].mean())
    best = float(-0.5 * (d * np.log(2 * np.pi) + np.log(values[:k]).sum() + (d - k) * np.log(noise) + d))
    epochs = context.pick(500, 120)
    model = g.VAE(d, latent=k, hidden=(), key=cr.random.key(0))
    model = model.fit(
        x, epochs=epochs, batch_size=64, key=cr.random.key(1), learning_rate=cr.optim.schedules.cosine(0.02, epochs * (n // 64))
    )
    bound, likelihood = (
        float(model.elbo(x, key=cr.random.key(2), samples=500)),
        float(model.log_likelihood(x, key=cr.random.key(3), samples=2000)),
    )
    at = np.arange(1, len(model.history) + 1)
    made = plot.curves(
        {"the bound, mean of each pass": (at, np.asarray(model.history))},
        "The bound on the way",
        "pass over the data",
        "per example",
        bounds={"the best likelihood": (at[[0, -1]], [best, best])},
        xscale="log",
        yscale="linear",
    )
    return Experiment(
        "A bound that is reached",
        f"""With linear networks and normal noise the variational autoencoder is a model whose likelihood has a known
        maximum (Tipping and Bishop 1999): for the diabetes data and two latent numbers, {text(best, 5)} per example. The
        bound is $\\ln p(x)$ less the divergence of the encoder's guess from the true posterior. Here the encoder can be
        exactly right, so training takes the bound all the way: {text(bound, 5)}.""",
        [
            equals("bound at the end, per example, against the best likelihood", bound, best, 0.05 if not context.quick else 0.1),
            at_most("bound less the likelihood of the same model (importance sampling): never above", bound - likelihood, 0.01),
            at_most("likelihood above the known maximum", likelihood - best, 0.01),
        ],
        formulas=[
            Formula(
                "\\ln p(x) \\ge E_{q(z \\mid x)}[\\ln p(x \\mid z)] - KL(q(z \\mid x) \\,\\|\\, p(z))",
                "To be raised; as a loss, its negative is lowered. A sign is lost easily here.",
            )
        ],
        figures=[
            drawn(
                made,
                "ppca",
                "The encoder's draws are noisy; their mean reaches the dashed line.",
                "The bound rises over passes to the line of the best likelihood.",
            )
        ],
    )


def a_plane_of_digits(context: Context) -> Experiment:
    """A variational autoencoder with two latent numbers, so that all it knows can be drawn."""
    x, labels = digits()
    epochs = context.pick(250, 30)
    train, test = x[:1500], x[1500:]
    model = g.VAE(64, latent=2, hidden=(128,), likelihood="bernoulli", key=cr.random.key(0))
    before = float(model.elbo(test, key=cr.random.key(5), samples=16))
    model = model.fit(train, epochs=epochs, batch_size=100, key=cr.random.key(1), learning_rate=2e-3)
    bound = np.asarray(model.elbo(test, key=cr.random.key(2), samples=64, each=True))
    likelihood = np.asarray(model.log_likelihood(test, key=cr.random.key(3), samples=512, each=True))
    places = np.asarray(model.encode(x).mean)
    near = np.argsort(np.sum((places[1500:, None] - places[None, :1500]) ** 2, -1), 1)[:, :5]
    votes = np.array([np.argmax(np.bincount(labels[:1500][row], minlength=10)) for row in near])
    right = float(np.mean(votes == labels[1500:]))
    line = np.linspace(-2, 2, 9)
    grid = np.array([[a, b] for b in line[::-1] for a in line])
    drawings = np.asarray(model.decode(grid)).reshape(-1, 8, 8)
    sheet = plot.sheet({"z₁ from −2 to 2 across, z₂ from 2 to −2 down": drawings}, "What the decoder draws", 9)
    shown = np.arange(0, 1797, 3)
    latent = plot.written(places[shown], [str(c) for c in labels[shown]], list(labels[shown]), "Where the encoder puts digits")
    mean = places.mean(0)
    return Experiment(
        "A plane of digits",
        f"""Two numbers for each picture of 64 pixels. The encoder spreads the digits over the plane without knowing what
        they are, alike beside alike: the five nearest neighbours agree with the label for {100 * right:.0f}% of held-out
        pictures. The decoder fills the plane; between two digits lie pictures that are neither. On held-out pictures the
        bound lies {text(float(np.mean(likelihood - bound)), 3)} below the likelihood that importance sampling finds.""",
        [
            at_least("gain of the bound on held-out pictures by training", float(bound.mean()) - before, 10.0),
            at_most("bound less likelihood on held-out pictures, mean", float(np.mean(bound - likelihood)), 0.0),
            at_least("held-out pictures among neighbours of their own kind", right, 0.4 if context.quick else 0.6),
            at_most("distance of the mean place from the prior's mean", float(np.linalg.norm(mean)), 0.6),
        ],
        formulas=[
            Formula(
                "KL(N(\\mu, \\sigma^2) \\,\\|\\, N(0, 1)) = \\frac12 \\left(\\mu^2 + \\sigma^2 - 1 - \\ln \\sigma^2\\right)",
                "For each latent number: what keeps the plane near the origin.",
            )
        ],
        figures=[
            drawn(
                latent,
                "latent",
                "Each sign is a picture; the labels were not used.",
                "Digits written in the plane, those of a kind close together.",
            ),
            drawn(
                sheet,
                "decoder",
                "A map of everything it can draw.",
                "A sheet of nine by nine small pictures of digits that change gradually.",
            ),
        ],
    )


# --- the game ------------------------------------------------------------------------------------------------------------------


def the_best_judge(context: Context) -> Experiment:
    """The best discriminator is a ratio of densities."""
    n = context.pick(20_000, 8_000)
    a, b, c = cr.random.split(cr.random.key(6), 3)
    x, y = cr.random.normal(a, n), 1.5 + 0.7 * cr.random.normal(b, n)
    judge = g.train_discriminator(x, y, key=c, hidden=(32,), steps=context.pick(1500, 700))
    at = np.linspace(-2.0, 3.5, 111)
    p = np.exp(-0.5 * at**2)
    q = np.exp(-0.5 * ((at - 1.5) / 0.7) ** 2) / 0.7
    found, exact = np.asarray(judge(at[:, None])), p / (p + q)
    weight = (p + q) / np.sum(p + q)
    error = float(np.sum(weight * np.abs(found - exact)))
    made = plot.curves(
        {"trained": (at, found)}, "A judge of two normals", "x", "D(x)", bounds={"p/(p + q)": (at, exact)}, yscale="linear"
    )
    return Experiment(
        "The best judge",
        """Shown examples of two distributions, a classifier that minimises the cross-entropy ends at $p/(p + q)$: where
        the two are equally likely it says ½. At that judge the game of a GAN has the value $2\\,JS(p, q) - 2\\ln 2$, so
        the generator lowers the Jensen–Shannon divergence, as far as the judge is the best one.""",
        [
            at_most("mean distance from p/(p + q)", error, 0.02),
            equals("D where p = q", float(np.interp(_crossing(at, p - q), at, found)), 0.5, 0.05),
        ],
        figures=[
            drawn(
                made,
                "judge",
                "Trained on samples; the dashed line knows the densities.",
                "The trained discriminator follows the ratio of densities.",
            )
        ],
    )


def _crossing(at: Array, difference: Array) -> float:
    """Where the first curve falls below the second, between 0 and 2."""
    inside = (at > 0) & (at < 2)
    return float(at[inside][np.argmax(difference[inside] < 0)])


def two_distances(context: Context) -> Experiment:
    """Two clouds move apart: one distance stops telling how far, the other does not."""
    n, apart = 512, np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0])
    a, b = cr.random.split(cr.random.key(4))
    x, y = 0.3 * np.asarray(cr.random.normal(a, (n, 2))), 0.3 * np.asarray(cr.random.normal(b, (n, 2)))
    w, js = np.empty(len(apart)), np.empty(len(apart))
    for k in context.steps(len(apart)):
        moved = y + np.array([apart[k], 0.0])
        w[k] = g.WGAN.distance(x, moved, key=cr.random.key(k), steps=context.pick(600, 250))
        js[k] = _divergence(float(apart[k]))
    made = plot.curves(
        {"Wasserstein, found by a critic": (apart, w)}, "Two clouds, moved apart", "distance of the centres θ", "distance",
        bounds={"θ": (apart, apart), "Jensen–Shannon, exact": (apart, js)}, yscale="linear", loc="upper left",
    )  # fmt: skip
    slope = float((js[-1] - js[-2]) / (apart[-1] - apart[-2]))
    return Experiment(
        "Two distances",
        """The Jensen–Shannon divergence of two clouds that no longer overlap is $\\ln 2$, however far they are apart, and
        its derivative by the distance is zero: a generator that is far off learns nothing from it. The Wasserstein
        distance is the length of the way, and its derivative is one. A critic whose slope is nowhere above one finds it
        from samples, and never finds too much.""",
        [
            at_most(
                "largest error of the critic's distance for θ ≥ 1, relative", float(np.max(np.abs(w[2:] / apart[2:] - 1))), 0.08
            ),
            equals("Jensen–Shannon divergence at θ = 6", float(js[-1]), float(np.log(2)), 1e-4),
            at_most("its slope between θ = 4 and 6", slope, 1e-3),
            equals("slope of the critic's distance there", float((w[-1] - w[-2]) / (apart[-1] - apart[-2])), 1.0, 0.08),
        ],
        formulas=[
            Formula(
                "W_1(p, q) = \\sup_{\\|f\\|_L \\le 1} E_p[f] - E_q[f]",
                "Kantorovich and Rubinstein: the supremum is over functions with slope at most one everywhere.",
            )
        ],
        figures=[
            drawn(
                made,
                "distances",
                "One goes on, one has stopped.",
                "The critic's distance follows the diagonal; the Jensen-Shannon divergence levels off at ln 2.",
            )
        ],
    )


def _divergence(apart: float) -> float:
    """The Jensen-Shannon divergence of two normals with deviation 0.3 whose centres are so far apart: an integral on a line."""
    x = np.linspace(-3, apart + 3, 20001)
    p, q = (np.exp(-0.5 * ((x - c) / 0.3) ** 2) / (0.3 * np.sqrt(2 * np.pi)) for c in (0.0, apart))
    m = 0.5 * (p + q)
    part = lambda r: np.where(r > 0, r * np.log(np.maximum(r, 1e-300) / np.maximum(m, 1e-300)), 0.0)
    return float(0.5 * np.trapezoid(part(p) + part(q), x))


def eight_modes(context: Context) -> Experiment:
    """GAN and WGAN on a ring of eight small clouds: what each covers."""
    data = g.ring(4096, cr.random.key(0))
    epochs = {"GAN": context.pick(150, 15), "WGAN": context.pick(300, 25)}
    models: dict[str, Any] = {
        "GAN": g.GAN(2, latent=2, hidden=(64, 64), key=cr.random.key(1)),
        "WGAN": g.WGAN(2, latent=2, hidden=(64, 64), key=cr.random.key(1)),
    }
    rows, figures, found = list[list[object]](), list[Figure](), dict[str, Any]()
    data_cover = g.coverage(data, g.ring_centers(), 0.05, within=6)
    rows.append(["the data", data_cover.modes, float(data_cover.quality)])
    for k, (name, model) in enumerate(models.items()):
        part, seen = context.part(k, 2), list[float]()

        def after(m: Any, seen: list[float] = seen, part: Context = part, of: int = epochs[name]) -> None:
            seen.append(float(g.coverage(m.sample(1000, cr.random.key(9)), g.ring_centers(), 0.05, within=6).quality))
            part.tell(len(seen) / of)

        model.fit(data, epochs=epochs[name], batch_size=256, key=cr.random.key(2), learning_rate=1e-3, after_epoch=after)
        drawn_points = np.asarray(model.sample(1500, cr.random.key(3)))
        cover = g.coverage(drawn_points, g.ring_centers(), 0.05, within=6)
        found[name] = cover, np.array(seen)
        rows.append([f"{name}, {epochs[name]} passes", cover.modes, float(cover.quality)])
        picture = plot.points(
            {"data": np.asarray(data)[:600], "samples": drawn_points[:600]},
            f"{name} after {epochs[name]} passes",
            span=2.8,
            loc="center",
        )
        figures.append(
            drawn(
                picture,
                f"ring-{name}",
                f"{cover.modes} of 8 clouds reached.",
                f"A ring of eight clouds with samples of the {name} over it.",
            )
        )
    track = plot.curves(
        {n: (np.arange(1, len(s) + 1), s) for n, (_, s) in found.items()},
        "Share of the samples near a cloud",
        "pass over the data",
        "share",
        yscale="linear",
        ylim=(0, 1),
    )
    figures.append(
        drawn(
            track,
            "ring-modes",
            "A game has no loss that falls; count instead.",
            "The share of samples near a cloud over passes for both models.",
        )
    )
    least = 4 if context.quick else 7
    return Experiment(
        "Eight clouds",
        """Eight small clouds on a ring: easy to draw, and hard for a model that may leave some out without being punished
        for it. Losses of a game say little about this, so samples are counted: how many clouds they reach, and what share
        of them lies within six deviations of one.""",
        [
            at_least("clouds that the GAN reaches", float(found["GAN"][0].modes), least),
            at_least("clouds that the WGAN reaches", float(found["WGAN"][0].modes), 3 if context.quick else 8),
            equals("clouds in the data", float(data_cover.modes), 8, 0.5),
        ],
        figures=figures,
        tables=[Table("Samples", ["Of", "Clouds reached", "Share near one"], rows)],
    )


CHAPTER = Chapter(
    "9.8",
    "Generative models",
    TEXT,
    (a_bound_that_is_reached, a_plane_of_digits, the_best_judge, two_distances, eight_modes),
    cover="a_plane_of_digits",
)
