"""How good samples are: modes covered, distance of moments, and what a classifier makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, random
from chainrule.generative.batches import checked, whole


def ring(n: int, key: Any, *, modes: int = 8, radius: float = 2.0, std: float = 0.05) -> Any:
    """Points from normal distributions around a circle, (n, 2): what adversarial networks are tried on.

    Args:
        n: number of points.
        key: random key.
        modes: number of normal distributions.
        radius: of the circle of their means.
        std: their deviation.

    Source: Metz et al. 2017, section 3.3.1.
    """
    choose, noise = random.split(key)
    which = random.randint(choose, whole(n, "n"), 0, modes)
    return ring_centers(modes, radius)[which] + std * random.normal(noise, (n, 2))


def ring_centers(modes: int = 8, radius: float = 2.0) -> Any:
    """Means of the distributions of `ring`, (modes, 2)."""
    angle = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


class Coverage(NamedTuple):
    """Which modes samples reach.

    Attributes:
        modes: number of modes with at least one sample in a hundred of an even share near them.
        quality: share of the samples that are near a mode.
        counts: samples near each mode.
    """

    modes: int
    quality: float
    counts: Any


@errors.boundary
def coverage(samples: Any, centers: Any, std: float, *, within: float = 3.0) -> Coverage:
    """Modes that samples reach, and the share of samples that are near one.

    Args:
        samples: (n, d).
        centers: (k, d), the modes.
        std: deviation of each mode.
        within: how many deviations count as near.

    Source: Dumoulin et al. 2017 and Lin et al. 2018 count the same way.
    """
    centers = np.asarray(centers, np.float64)
    x = checked(samples, centers.shape[1], "samples")
    distance = np.linalg.norm(x[:, None] - centers, axis=2)
    nearest = distance.argmin(1)
    near = distance.min(1) <= within * std
    counts = np.bincount(nearest[near], minlength=len(centers))
    return Coverage(int(np.sum(counts >= max(1, 0.01 * len(x) / len(centers)))), float(near.mean()), counts)


@errors.boundary
def frechet_distance(x: Any, y: Any) -> float:
    r"""$\lVert \mu_x - \mu_y \rVert^2 + \operatorname{tr}(\Sigma_x + \Sigma_y - 2 (\Sigma_x \Sigma_y)^{1/2})$ of two samples.

    It is the squared Wasserstein-2 distance between the normal distributions with these moments.  With features of a classifier
    it is the FID.  It is too high for small samples, so compare equal sizes only.

    Args:
        x: (n, d), features of the samples.
        y: (m, d), features of the data.

    Source: Dowson and Landau 1982; Heusel et al. 2017.
    """
    x = checked(x, np.shape(x)[-1], "x")
    y = checked(y, x.shape[1], "y")
    if min(len(x), len(y)) < 2:
        raise errors.ShapeError("a covariance needs at least two samples")
    a, b = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * cross)


class ClassQuality(NamedTuple):
    """What a classifier makes of samples.

    Attributes:
        confidence: mean probability of the class it chooses.
        diversity: exponential of the entropy of the classes chosen: how many classes there are in effect.
        score: exp of the mean divergence of a sample's class probabilities from their mean, from 1 to the number of classes.
    """

    confidence: float
    diversity: float
    score: float


@errors.boundary
def class_quality(samples: Any, classify: Callable[[Any], Any]) -> ClassQuality:
    """How sure a classifier is of samples, and how many classes there are among them.

    Args:
        samples: (n, ...).
        classify: (n, ...) to class probabilities (n, k); train it on data that the generative model has not seen.

    Source: Salimans et al. 2016, section 4, for the score.
    """
    p = np.asarray(classify(samples), np.float64)
    if p.ndim != 2 or np.any(p < 0) or not np.allclose(p.sum(1), 1, atol=1e-4):
        raise ValueError(f"classify returns class probabilities (n, k) with a sum of 1, not an array of shape {p.shape}")
    share = np.bincount(p.argmax(1), minlength=p.shape[1]) / len(p)
    return ClassQuality(
        float(p.max(1).mean()), float(np.exp(_entropy(share))), float(np.exp(_entropy(p.mean(0)) - np.mean(_entropy(p))))
    )


def _entropy(p: Any) -> Any:
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), -1)


__all__ = ["ClassQuality", "Coverage", "class_quality", "coverage", "frechet_distance", "ring", "ring_centers"]
