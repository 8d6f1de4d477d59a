"""Losses by name: what `check_loss` compares with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.flow import stop_gradient
from chainrule.losses import LOSSES


class Reference(NamedTuple):
    """A loss, its arguments in words, and published forms of it that count as right."""

    call: Callable[..., Any]
    arguments: str
    also: tuple[tuple[str, Callable[..., Any]], ...] = ()


def _gradient_penalty(gradients: Any, coefficient: float = 1.0) -> Any:
    """Mean over examples of (||g||_2 - 1)^2, the norm over all axes but the first (Gulrajani et al. 2017, equation 3)."""
    square = np.sum(np.square(gradients), axis=tuple(range(1, np.ndim(gradients))))
    return coefficient * np.mean(np.square(np.sqrt(square) - 1))


def _critic(real: Any, fake: Any) -> Any:
    return np.mean(fake) - np.mean(real)


def _discriminator(real_logits: Any, fake_logits: Any) -> Any:
    return np.mean(np.logaddexp(0.0, -real_logits)) + np.mean(np.logaddexp(0.0, fake_logits))


def _vae_kl(mean: Any, log_variance: Any) -> Any:
    return np.mean(np.sum(0.5 * (np.exp(log_variance) + np.square(mean) - 1 - log_variance), axis=-1))


def _td(values: Any, rewards: Any, next_values: Any, terminated: Any, discount: float = 0.99) -> Any:
    target = stop_gradient(rewards + discount * (1 - terminated) * next_values)
    return np.mean(np.square(target - values))


def _policy_gradient(log_probabilities: Any, advantages: Any) -> Any:
    return -np.mean(log_probabilities * stop_gradient(advantages))


def _named(name: str) -> Reference:
    row = LOSSES[name]
    known = getattr(row, "defaults", {"margin": 1.0, "squared": True})
    more = "".join(f", {k}={v!r}" for k, v in known.items())
    first = "anchor, positive, negative" if name == "triplet" else "y_true, y_pred"
    return Reference(row, f"{first}{more}")


_OWN: dict[str, Reference] = {
    "wgan-gp": Reference(
        _gradient_penalty, "gradients (n, d): of the critic by its inputs; coefficient=1.0",
        (("with the paper's coefficient 10", lambda g, coefficient=1.0: 10 * _gradient_penalty(g)),),
    ),
    "wgan-critic": Reference(_critic, "real, fake: the critic's values"),
    "wgan-generator": Reference(lambda fake: -np.mean(fake), "fake: the critic's values"),
    "gan-discriminator": Reference(
        _discriminator, "real_logits, fake_logits", (("as a mean of both", lambda r, f: _discriminator(r, f) / 2),)
    ),
    "gan-generator": Reference(
        lambda fake: np.mean(np.logaddexp(0.0, -fake)), "fake_logits (non-saturating)",
        (("in the saturating form", lambda fake: -np.mean(np.logaddexp(0.0, fake))),),
    ),
    "vae-kl": Reference(_vae_kl, "mean (n, d), log_variance (n, d)"),
    "td": Reference(
        _td, "values, rewards, next_values, terminated; discount=0.99",
        (("with the factor 1/2", lambda *a, **k: 0.5 * _td(*a, **k)),)
    ),
    "policy-gradient": Reference(_policy_gradient, "log_probabilities, advantages"),
    "l1": Reference(lambda w: np.sum(np.abs(w)), "w"),
    "l2": Reference(lambda w: np.sum(np.square(w)), "w", (("with the factor 1/2", lambda w: 0.5 * np.sum(np.square(w))),)),
}  # fmt: skip
ALIASES = {
    "bce": "binary_cross_entropy", "cross_entropy": "categorical_cross_entropy", "cce": "categorical_cross_entropy",
    "kl": "kl_divergence", "js": "js_divergence", "logcosh": "log_cosh", "l1_loss": "mae", "l2_loss": "mse",
    "gradient_penalty": "wgan-gp", "mean_squared_error": "mse", "mean_absolute_error": "mae", "infonce": "info_nce",
}  # fmt: skip
REFERENCES: dict[str, Reference] = {**{name: _named(name) for name in LOSSES}, **_OWN}


def find(name: str) -> Reference | None:
    """The reference of this name, spelt with hyphens, underscores or spaces."""
    plain = name.strip().lower()
    for x in (plain, plain.replace(" ", "-").replace("_", "-"), plain.replace(" ", "_").replace("-", "_")):
        if ALIASES.get(x, x) in REFERENCES:
            return REFERENCES[ALIASES.get(x, x)]
    return None
