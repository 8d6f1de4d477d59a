r"""Schedules: the learning rate as a function of the step k = 0, 1, 2, ...

Every schedule is a plain function of k, a number or a traced value, and goes wherever a learning rate goes.

Example:
    >>> import chainrule as cr
    >>> rate = cr.optim.schedules.decay(0.1, beta=1.0)
    >>> [round(float(rate(k)), 4) for k in range(4)]
    [0.1, 0.05, 0.0333, 0.025]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.optim.numbers import meant, recipe
from chainrule.optim.rule import Schedule

__all__ = ["as_schedule", "constant", "cosine", "decay", "exponential", "one_cycle", "sqrt", "step", "warmup"]


def as_schedule(learning_rate: Any) -> Schedule:
    """A learning rate as a function of the step, whether it was a number or a schedule."""
    if callable(learning_rate):
        return learning_rate
    meant("optim", "learning_rate", learning_rate)
    return lambda k: learning_rate


@recipe
def constant(learning_rate: Any) -> Schedule:
    r"""$\alpha_k = \alpha_0$."""
    return lambda k: learning_rate


@recipe
def decay(learning_rate: Any, beta: Any = 1.0) -> Schedule:
    r"""$\alpha_k = \alpha_0 / (1 + \beta k)$.

    The sum of all rates diverges and the sum of their squares does not: the conditions of Robbins and Monro.

    Source: Robbins and Monro 1951, equation 27.
    """
    return lambda k: learning_rate / (1 + beta * k)


@recipe
def sqrt(learning_rate: Any) -> Schedule:
    r"""$\alpha_k = \alpha_0 / \sqrt{k + 1}$: the rule $\alpha_0 / \sqrt{k}$ for steps counted from 1, which has no value at 0.

    Source: Nesterov 2018, section 3.2.3.
    """
    return lambda k: learning_rate / np.sqrt(k + 1.0)


@recipe
def step(learning_rate: Any, rate: Any = 0.1, steps: int = 1000) -> Schedule:
    r"""$\alpha_k = \alpha_0 r^{\lfloor k / s \rfloor}$: multiplied by `rate` every `steps` steps."""
    return lambda k: learning_rate * rate ** np.floor(k / steps)


@recipe
def exponential(learning_rate: Any, rate: Any = 0.99, steps: int = 1) -> Schedule:
    r"""$\alpha_k = \alpha_0 r^{k / s}$: multiplied by `rate` in the course of `steps` steps."""
    return lambda k: learning_rate * rate ** (k / steps)


@recipe
def cosine(learning_rate: Any, steps: int, final: Any = 0.0) -> Schedule:
    r"""$\alpha_k = \alpha_T + \tfrac12 (\alpha_0 - \alpha_T)(1 + \cos(\pi \min(k, T) / T))$, constant after T = `steps`.

    Source: Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts.
    """
    return lambda k: final + 0.5 * (learning_rate - final) * (1 + np.cos(np.pi * np.minimum(k, steps) / steps))


@recipe
def warmup(learning_rate: Any, warmup_steps: int) -> Schedule:
    r"""$\alpha_k = \alpha_0 (k + 1) / w$ for k < w = `warmup_steps`, then the schedule itself, from its own step 1 on.

    The first step is not wasted on a rate of 0, and step w - 1 is the first at the full rate.

    Args:
        learning_rate: a number or a schedule, which starts when the warm-up ends.
        warmup_steps: how many steps it takes to reach the full rate.

    Source: Goyal et al. 2017, section 2.2 (gradual warm-up).
    """
    after, last = as_schedule(learning_rate), max(warmup_steps, 1) - 1
    return lambda k: after(np.maximum(k - last, 0)) * np.minimum((k + 1) / (last + 1), 1.0)


@recipe
def one_cycle(
    learning_rate: Any, steps: int, warmup_steps: int | None = None, start: Any = 1 / 25, final: Any = 1e-4
) -> Schedule:
    """Up along half a cosine wave to `learning_rate`, then down along another.

    Args:
        learning_rate: the greatest rate.
        steps: length of the whole cycle.
        warmup_steps: length of the way up; three tenths of the cycle by default.
        start: first rate, as a share of the greatest.
        final: last rate, as a share of the first.

    Source: Smith and Topin 2018; the shares are those of PyTorch's OneCycleLR and Optax's cosine_onecycle_schedule.
    """
    up = int(0.3 * steps) if warmup_steps is None else warmup_steps
    low, last = learning_rate * start, learning_rate * start * final

    def rate(k: Any) -> Any:
        rise: Any = low + 0.5 * (learning_rate - low) * (1 - np.cos(np.pi * np.minimum(k, up) / max(up, 1)))
        done = np.clip(k - up, 0, steps - up) / max(steps - up, 1)
        fall: Any = last + 0.5 * (learning_rate - last) * (1 + np.cos(np.pi * done))
        return np.where(k < up, rise, fall)

    return rate
