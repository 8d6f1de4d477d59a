r"""Advantages: how much better than expected things went after an action."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.flow import scan


def generalised_advantages(
    rewards: Any, values: Any, following: Any, terminated: Any, truncated: Any, discount: Any, decay: Any
) -> Any:
    r"""$A_t = \delta_t + \gamma \lambda A_{t+1}, \quad \delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$.

    At an end of the process (terminated) $V(s_{t+1})$ is 0, since nothing follows.  Where an episode was only cut off
    (truncated), or the batch ends, it is the value of the state that would have followed: in both cases the sum stops, and in
    the second the value stands for the rest.  $\lambda = 1$ gives returns of n steps, $\lambda = 0$ the error of one step.

    Args:
        rewards: (T, ...), r.
        values: (T, ...), V of the state before each step.
        following: (T, ...), V of the state after it, in the same episode.
        terminated, truncated: (T, ...), booleans.
        discount: $\gamma$.
        decay: $\lambda$.

    Returns:
        (T, ...), A; A + V is the target for V.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> one, yes, no = np.ones(2), np.array([False, True]), np.zeros(2, bool)
        >>> cr.rl.generalised_advantages(one, 0 * one, 5 * one, yes, no, 0.5, 1.0)
        array([4., 1.])

    Source: Schulman et al. 2016, equation 16.
    """
    goes_on = (~terminated).astype(values.dtype)
    errors = rewards.astype(values.dtype) + discount * goes_on * following - values
    same = discount * decay * goes_on * (~truncated).astype(values.dtype)
    _, found = scan(lambda a, x: (x[0] + x[1] * a,) * 2, np.zeros_like(values[0]), (errors, same), reverse=True)
    return found


def normalised(x: Any) -> Any:
    """Mean 0 and deviation 1 over the batch."""
    return (x - np.mean(x)) / (np.std(x) + 1e-8)


__all__ = ["generalised_advantages", "normalised"]
