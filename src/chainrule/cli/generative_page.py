"""The page that ``chainrule train --task vae|gan|wgan`` writes: samples, codes, curves and figures of quality."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import plot, random
from chainrule.cli.generative_quality import Figure as Quality
from chainrule.cli.generative_quality import drawn
from chainrule.cli.images import Images
from chainrule.cli.train_page import SHOWN, Section
from chainrule.study.model import Figure, Table
from chainrule.study.report import filled

NAMES = {"vae": "A variational autoencoder", "gan": "A generative adversarial network", "wgan": "A Wasserstein network"}
BETWEEN = 10
"""Images from one end of an interpolation to the other."""


def page(args: argparse.Namespace, model: Any, data: Images, seen: dict[int, Any], numbers: Sequence[Quality]) -> str:
    """The page as HTML."""
    key = random.fold_in(random.key(args.seed), 4)
    shown = [_samples(model, data, seen, key), _codes(model, data, key), _quality(numbers), _training(args, model)]
    lead = f"{NAMES[args.task]} after {len(model.history)} epochs on {len(data.train):,} images of {data.name}."
    return filled("train.html.jinja", {"title": f"Images like those of {data.name}", "lead": lead, "sections": shown})


def _drawable(data: Images, rows: Any) -> Any:
    """Rows as images; rows that are no images as one line of pixels each."""
    return np.reshape(rows, (-1, *(data.shape or (1, data.train.shape[1]))))


def _picture(data: Images, parts: dict[str, Any], title: str, columns: int, name: str, caption: str) -> Figure:
    fig, _ = plot.sheet({k: _drawable(data, v) for k, v in parts.items()}, title, columns)
    return Figure(plot.svg(fig, name), caption, f"{title}: {', '.join(parts)}")


def _samples(model: Any, data: Images, seen: dict[int, Any], key: Any) -> Section:
    made = drawn(model, 40, random.fold_in(key, 0))
    parts = {"made by the model": made, "real, chosen by chance": data.train[:20]}
    figures = [_picture(data, parts, "Samples", 10, "samples", "The upper ones were made from noise.")]
    if seen:
        lines = {f"epoch {k}": x for k, x in sorted(seen.items())}
        figures.append(_picture(data, lines, "The same noise through training", 10, "progress", "One row each for some epochs."))
    return Section("samples", "What it makes", "", figures)


def _codes(model: Any, data: Images, key: Any) -> Section:
    """Walks between codes; for a VAE the codes of held-out images too."""
    if not hasattr(model, "net"):
        ends = random.normal(random.fold_in(key, 1), (5, 2, model.latent))
        lines = np.concatenate([model.generator(_walk(a, b)) for a, b in ends])
        title, note = "From one noise to another", "Five walks between two draws of noise, on the circle through both."
        return Section("codes", "Between samples", "", [_picture(data, {"": lines}, title, BETWEEN, "walks", note)])
    codes = model.encode(data.held_out).mean
    ends = data.held_out[: 2 * min(5, len(data.held_out) // 2)].reshape((-1, 2, data.held_out.shape[1]))
    z = [np.linspace(a, b, BETWEEN) for a, b in (model.encode(pair).mean for pair in ends)]
    lines = model.decode(np.concatenate(z))
    figures = [
        _picture(
            data, {"": lines}, "From one held-out image to another", BETWEEN, "walks", "Straight lines between their codes."
        ),
        _map(codes, None if data.labels is None else data.labels[1]),
        _plane(model, data, codes),
    ]
    text = "A code is the mean of q(z | x). The plane is that in which the codes of the held-out images vary most."
    return Section("codes", "Codes", text, figures)


def _walk(a: Any, b: Any) -> Any:
    """Along the circle, so that every point has the length that noise has."""
    t = np.linspace(0, np.pi / 2, BETWEEN)[:, None]
    return np.cos(t) * a + np.sin(t) * b


def _axes(codes: Any) -> tuple[Any, Any]:
    """Middle of the codes, and the two directions in which they vary most (one if there is one)."""
    middle = codes.mean(0)
    return middle, np.linalg.svd(codes - middle, full_matrices=False)[2][:2]


def _map(codes: Any, labels: Any) -> Figure:
    middle, axes = _axes(codes)
    points = (codes - middle) @ axes.T
    if points.shape[1] == 1:
        points = np.stack([points[:, 0], np.zeros(len(points))], 1)
    fig, _ = plot.map_of_codes(points, labels, "Codes of held-out images", ("first direction", "second direction"))
    caption = "Each point is an image" + ("." if labels is None else "; numbers stand at the middle of each class.")
    return Figure(plot.svg(fig, "map"), caption, "map of the codes of held-out images in the plane where they vary most")


def _plane(model: Any, data: Images, codes: Any) -> Figure:
    middle, axes = _axes(codes)
    reach = 2 * np.std((codes - middle) @ axes.T, axis=0)
    steps = np.linspace(-1, 1, BETWEEN)
    grid = np.stack(np.meshgrid(steps, steps[::-1]), -1).reshape(-1, 2)[:, : len(axes)]
    made = model.decode(middle + (grid * reach) @ axes)
    caption = "What the decoder makes of points of that plane, two standard deviations to each side."
    return _picture(data, {"": made}, "The plane of codes, decoded", BETWEEN, "plane", caption)


def _quality(numbers: Sequence[Quality]) -> Section:
    rows = [[n.name, n.value, n.of_real or "—", n.meaning] for n in numbers]
    text = (
        "Every figure stands beside the same figure of real images: nothing that a model makes can be expected to be better. "
        "Judged are samples as they are drawn above; those of a variational autoencoder are without the noise of their pixels."
    )
    table = Table("Quality", ["Figure", "Model", "Real images", "Meaning"], rows)
    return Section("quality", "How good it is", text, (), [table])


def _training(args: argparse.Namespace, model: Any) -> Section:
    rows = np.atleast_2d(np.array(model.history, np.float64).T)
    names = ["evidence lower bound"] if args.task == "vae" else [f"loss of the {n}" for n in model.history[0]._fields]
    epochs = np.arange(1, rows.shape[1] + 1)
    series = {name: (epochs, row) for name, row in zip(names, rows, strict=True)}
    fig, _ = plot.curves(series, "Through training", "epoch", "nats" if args.task != "wgan" else "loss", yscale="linear")
    caption = "Mean over the batches of each epoch."
    if args.task != "vae":
        caption += " The players' losses do not say how good samples are: each is measured against the other."
    figure = Figure(
        plot.svg(fig, "curves"), caption, ", ".join(f"{n} {row[-1]:.4g} at the end" for n, row in zip(names, rows, strict=True))
    )
    keep = sorted({round(k) for k in np.linspace(0, len(epochs) - 1, min(len(epochs), SHOWN))})
    table = Table("The numbers", ["epoch", *names], [[str(k + 1), *[float(r[k]) for r in rows]] for k in keep])
    return Section("training", "Training", "", [figure], [table])
