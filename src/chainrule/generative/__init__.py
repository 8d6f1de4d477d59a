"""Models that make data: variational autoencoders and adversarial networks."""

from __future__ import annotations

from chainrule.generative.vae import VAE

__all__ = ["VAE"]
