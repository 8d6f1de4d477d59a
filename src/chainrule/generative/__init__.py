"""Models that make data: variational autoencoders and adversarial networks, and how good what they make is."""

from __future__ import annotations

from chainrule.generative.gan import GAN, train_discriminator
from chainrule.generative.quality import class_quality, coverage, frechet_distance, ring, ring_centers
from chainrule.generative.vae import VAE
from chainrule.generative.wgan import WGAN, train_critic

__all__ = [
    "GAN", "VAE", "WGAN", "class_quality", "coverage", "frechet_distance", "ring", "ring_centers", "train_critic",
    "train_discriminator",
]  # fmt: skip
