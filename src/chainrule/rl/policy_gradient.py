r"""The policy gradient of a process that is known: exactly, and as REINFORCE estimates it.

With a policy $\pi_\theta(a \mid s) = \operatorname{softmax}(\theta_s)_a$ and a first state drawn from $\mu$,

$$J(\theta) = \sum_s \mu(s) V_\pi(s), \qquad
\nabla J = E \sum_t \gamma^t\, \nabla \ln \pi(a_t \mid s_t)\, (G_t - b(s_t)), \qquad G_t = \sum_{k \ge t} \gamma^{k - t} r_k.$$

The baseline b changes no expectation, since $E \nabla \ln \pi(a \mid s) = \sum_a \nabla \pi(a \mid s) = \nabla 1 = 0$.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.calculus import grad
from chainrule.ir.graph import Array
from chainrule.rl.rollout import as_key
from chainrule.rl.table import Table, checked_discount, start_distribution, table
from chainrule.rl.tabular import never_ends, policy_values
from chainrule.special import log_softmax, softmax

_NOTHING = 1e-12
"""Steps whose discount is below this are not played: they would change the gradient by less than its rounding."""


def policy_objective(P: Any, logits: Any, *, discount: float = 0.99, start: Any = None) -> Any:
    r"""$J(\theta) = \sum_s \mu(s) V_\pi(s)$ for a softmax policy; it differentiates.

    Args:
        P: A Markov decision process, as in `table`.
        logits: (S, A), $\theta$.
        discount: $\gamma$.
        start: The first state, a distribution, or None: every state alike.
    """
    t = table(P)
    return np.sum(start_distribution(start, len(t.rewards)) * policy_values(t, softmax(logits, axis=1), discount))


@errors.boundary
def policy_gradient_exact(P: Any, logits: Any, *, discount: float = 0.99, start: Any = None) -> Array:
    r"""$\nabla J$, by differentiating the solution of the linear system $(I - \gamma P_\pi) V = r_\pi$.

    Args:
        P: A Markov decision process, as in `table`.
        logits: (S, A).
        discount: $\gamma$; with 1 the policy must come to an end from every state.
        start: The first state, a distribution, or None: every state alike.

    Returns:
        (S, A).

    Raises:
        ShapeError, ValueError: The logits do not fit, or the values are infinite.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> two_arms = np.zeros((1, 2, 1)), np.array([[1.0, 3.0]])
        >>> cr.rl.policy_gradient_exact(two_arms, np.zeros((1, 2)))
        array([[-0.5,  0.5]])

    Source: Sutton, McAllester, Singh and Mansour 2000, theorem 1, here derived by the chain rule.
    """
    t, x, discount = _checked(P, logits, discount)
    return grad(lambda x: policy_objective(t, x, discount=discount, start=start))(x)


@errors.boundary
def policy_gradient_estimate(
    P: Any,
    logits: Any,
    *,
    discount: float = 0.99,
    start: Any = None,
    key: Any,
    episodes: int = 1000,
    baseline: Any = False,
    each: bool = False,
) -> Array:
    r"""REINFORCE's estimate of $\nabla J$: the mean over episodes that are played by the policy.

    Args:
        P: A Markov decision process, as in `table`.
        logits: (S, A).
        discount: $\gamma$.
        start: The first state, a distribution, or None: every state alike.
        key: Random key, or a number.
        episodes: How many.
        baseline: True: $b = V_\pi$ from the linear system; an array (S,): this one; False: none.
        each: Return the estimate of every episode, to see how they scatter.

    Returns:
        (S, A), or (episodes, S, A).

    Numerics: An episode that does not end is played until $\gamma^t < 10^{-12}$.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> two_arms = np.zeros((1, 2, 1)), np.array([[1.0, 3.0]])
        >>> g = cr.rl.policy_gradient_estimate(two_arms, np.zeros((1, 2)), key=cr.random.key(0), episodes=1000)
        >>> bool(np.all(np.abs(g - [[-0.5, 0.5]]) < 0.1))
        True

    Source: Williams 1992.  The factor $\gamma^t$, which belongs to the gradient of J, is often left out in practice; without it
    the estimate is that of no function's gradient (Nota and Thomas 2020).
    """
    t, x, discount = _checked(P, logits, discount)
    states = len(x)
    if episodes < 1:
        raise ValueError(f"episodes is a whole number of at least 1, not {episodes}")
    policy = softmax(x, axis=1)
    b = np.zeros(states)
    if baseline is not False and baseline is not None:
        b = policy_values(t, policy, discount) if baseline is True else np.asarray(baseline, float)
        if b.shape != (states,):
            raise errors.ShapeError(f"a baseline is one number per state, an array ({states},), not {b.shape}")
    weights = _weights(t, policy, discount, start_distribution(start, states), key, episodes, b)
    if each:  # the gradient of sum w ln pi, with the softmax's derivative written for all episodes at once
        return weights - np.sum(weights, 2, keepdims=True) * policy
    return grad(lambda x: np.sum(np.mean(weights, 0) * log_softmax(x, axis=1)))(x)


def _weights(t: Table, policy: Array, discount: float, start: Array, key: Any, episodes: int, b: Array) -> Array:
    r"""$\sum_t \gamma^t (G_t - b(s_t)) [s_t = s, a_t = a]$ of each episode, the weights of the $\nabla \ln \pi(a \mid s)$."""
    first, key = random.split(as_key(key))
    s = _drawn(np.cumsum(start), random.uniform(first, (episodes,)))
    act, go = np.cumsum(policy, 1), np.cumsum(t.transitions, 2)
    going, k, factor = np.ones(episodes, bool), 0, 1.0
    path = list[tuple[Array, Array, Array, float]]()
    while going.any() and factor >= _NOTHING:
        u = random.uniform(random.fold_in(key, k), (2, episodes))
        a = _drawn(act[s], u[0])
        path.append((s, a, going, factor))
        after = np.argmax(np.concatenate([go[s, a], np.full((episodes, 1), np.inf)], 1) > u[1][:, None], 1)  # the last: the end
        going, s = going & (after < len(start)), np.where(after < len(start), after, 0)
        k, factor = k + 1, factor * discount
    weights, g, rows = np.zeros((episodes, *policy.shape)), np.zeros(episodes), np.arange(episodes)
    for s, a, played, factor in reversed(path):
        g = np.where(played, t.rewards[s, a] + discount * g, 0.0)
        weights[rows, s, a] += np.where(played, factor * (g - b[s]), 0.0)
    return weights


def _drawn(cumulated: Array, u: Array) -> Array:
    """The first position whose cumulated probability exceeds u."""
    top = cumulated[..., -1]
    return np.argmax(cumulated > (u * top)[:, None], -1)


def _checked(P: Any, logits: Any, discount: Any) -> tuple[Table, Array, float]:
    t, x, discount = table(P), np.asarray(logits, float), checked_discount(discount)
    if x.shape != t.rewards.shape:
        raise errors.ShapeError(f"logits are an array of states x actions {t.rewards.shape}, not {x.shape}")
    if discount == 1 and never_ends(t, softmax(x, axis=1)).any():
        raise ValueError("with discount=1 this policy has no values: it does not come to an end; take a discount below 1")
    return t, x, discount


__all__ = ["policy_gradient_estimate", "policy_gradient_exact", "policy_objective"]
