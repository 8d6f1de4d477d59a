"""How good what a generative model makes is, each figure beside the same figure of real images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule import losses, nn, optim, random
from chainrule.generative import class_quality, frechet_distance

if TYPE_CHECKING:
    from chainrule.cli.images import Images

LARGEST = 2000
"""Samples and rows that are judged."""


class Figure(NamedTuple):
    """A figure of quality, the same of real images as words, and what it means."""

    name: str
    value: float
    of_real: str
    meaning: str


def drawn(model: Any, n: int, key: Any) -> Any:
    """Samples to look at: those of a VAE without the noise of its pixels."""
    return model.sample(n, key, mean=True) if hasattr(model, "net") else model.sample(n, key)


def judged(model: Any, data: Images, seed: int) -> list[Figure]:
    """All figures that model and data allow."""
    key = random.fold_in(random.key(seed), 3)
    n = min(LARGEST, len(data.held_out), len(data.train))
    samples = np.asarray(drawn(model, n, random.fold_in(key, 0)))
    out = _bounds(model, data, key) if hasattr(model, "net") else []
    out.append(_distance("Fréchet distance of pixels", samples, data.train[:n], data.held_out[:n], "their means and covariances"))
    return out + (_by_classifier(data, samples, n, key) if data.labels is not None else [])


def _bounds(model: Any, data: Images, key: Any) -> list[Figure]:
    """What a VAE says of images that it has not seen."""
    x = data.held_out[:LARGEST]
    error = float(np.mean(np.square(model.reconstruct(x) - x)))
    mean = float(np.mean(np.square(x - data.train.mean(0))))
    elbo = model.elbo(x, key=random.fold_in(key, 1), samples=16)
    likelihood = model.log_likelihood(x, key=random.fold_in(key, 2), samples=128)
    return [
        Figure(
            "reconstruction error", error, f"{mean:.4g} by the mean image", "mean squared difference per pixel, held-out images"
        ),
        Figure("evidence lower bound", elbo, "", "nats per held-out image; never above the logarithm of its probability"),
        Figure("log-likelihood", likelihood, "", "nats per held-out image, by importance sampling with 128 draws"),
    ]


def _distance(name: str, samples: Any, train: Any, held_out: Any, what: str) -> Figure:
    real = frechet_distance(held_out, train)
    value = frechet_distance(samples, train)
    return Figure(name, value, f"{real:.4g}", f"between {what}, samples against training images; 0 is none")


def _by_classifier(data: Images, samples: Any, n: int, key: Any) -> list[Figure]:
    """What a classifier makes of the samples that has learned from the held-out images alone."""
    assert data.labels is not None
    net, accuracy = _classifier(data, key)
    q, real = (class_quality(x, lambda x: nn.softmax(net(x))) for x in (samples, data.train[:n]))

    def features(x: Any) -> Any:
        return np.asarray(net.layers[0](x))

    judge = f"by a classifier trained on the held-out images; it is right on {100 * accuracy:.1f} % of the training images"
    return [
        Figure("confidence", q.confidence, f"{real.confidence:.4g}", f"mean probability of the likeliest class, {judge}"),
        Figure("diversity", q.diversity, f"{real.diversity:.4g}", "number of classes in effect: exponential of their entropy"),
        _distance("Fréchet distance of features", features(samples), features(data.train[:n]), features(data.held_out[:n]),
                  "features of the classifier"),
    ]  # fmt: skip


def _classifier(data: Images, key: Any) -> tuple[Any, float]:
    from chainrule.train import fit

    assert data.labels is not None
    train, held_out = data.labels
    net = nn.MLP([data.train.shape[1], 64, int(max(train.max(), held_out.max())) + 1], "relu", key=random.fold_in(key, 5))

    def loss(y: Any, z: Any) -> Any:
        return losses.sparse_categorical_cross_entropy(y, z, from_logits=True)

    size = min(64, len(held_out))
    done = fit(net, loss, (data.held_out, held_out), optim.adamw(3e-3), epochs=60, batch_size=size, key=7, progress=False)
    return done.model, float(np.mean(np.asarray(done.model(data.train)).argmax(1) == train))
