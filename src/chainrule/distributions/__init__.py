"""Probability distributions: frozen dataclasses that are trees of parameters, differentiable in all of them."""

from __future__ import annotations

from chainrule.distributions.base import Continuous, Discrete, Distribution
from chainrule.distributions.continuous import beta, gamma, multivariate_normal, normal, uniform
from chainrule.distributions.discrete import bernoulli, categorical, empirical
from chainrule.distributions.divergence import kl
from chainrule.distributions.mixture import mixture

__all__ = [
    "Continuous", "Discrete", "Distribution", "bernoulli", "beta", "categorical", "empirical", "gamma", "kl", "mixture",
    "multivariate_normal", "normal", "uniform",
]  # fmt: skip
