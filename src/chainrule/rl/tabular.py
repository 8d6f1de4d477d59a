r"""Dynamic programming: the values of a policy and the best policy of a Markov decision process that is known.

$$V_\pi(s) = \sum_a \pi(a \mid s)\, Q_\pi(s, a), \qquad Q(s, a) = r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V(s').$$

The values of a policy solve a linear system; those of the best policy are the fixed point of a contraction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.ir.graph import Array
from chainrule.rl.table import Table, checked_discount, table

_NEAR = 1e-9
"""Two actions whose values differ by less than this, in relation to the values' size, are equally good."""


class Solution(NamedTuple):
    """Values and a policy.

    Attributes:
        values: (S,), V.
        policy: (S, A), the probability of each action.
        action_values: (S, A), Q.
        residuals: largest change of V in each sweep (in each improvement, of policy iteration).
    """

    values: Array
    policy: Array
    action_values: Array
    residuals: Array


def backup(t: Table, values: Any, discount: Any) -> Any:
    r"""$Q(s, a) = r(s, a) + \gamma \sum_{s'} P(s' \mid s, a) V(s')$: one step ahead.

    Args:
        t: A `Table`.
        values: (S,).
        discount: $\gamma$.

    Returns:
        (S, A).
    """
    return t.rewards + discount * np.matmul(t.transitions, values)


def bellman(t: Table, values: Any, policy: Any, discount: Any) -> Any:
    r"""Bellman's operator of a policy, $(T_\pi V)(s) = \sum_a \pi(a \mid s) Q(s, a)$.

    It brings any two functions nearer: $\|T_\pi U - T_\pi V\|_\infty \le \gamma \|U - V\|_\infty$, so it has one fixed point.
    """
    return np.sum(policy * backup(t, values, discount), 1)


def bellman_optimality(t: Table, values: Any, discount: Any) -> Any:
    r"""Bellman's optimality operator, $(T V)(s) = \max_a Q(s, a)$, a contraction by $\gamma$ as well."""
    return np.max(backup(t, values, discount), 1)


def policy_values(t: Table, policy: Any, discount: Any) -> Any:
    r"""$V_\pi$ from the linear system $(I - \gamma P_\pi) V = r_\pi$; it differentiates.

    Args:
        t: A `Table`.
        policy: (S, A), the probability of each action.
        discount: $\gamma$.

    Returns:
        (S,).
    """
    p = np.einsum("sa,sat->st", policy, t.transitions)
    return np.linalg.solve(np.eye(len(t.rewards)) - discount * p, np.sum(policy * t.rewards, 1))


def greedy(action_values: Any) -> Array:
    """(S, A): probability one for the best action of each state (the first of equals)."""
    q = np.asarray(action_values)
    return np.eye(q.shape[1])[np.argmax(q, 1)]


def _policy(policy: Any, t: Table) -> Array:
    states, actions = t.rewards.shape
    given = np.asarray(policy)
    if given.shape == (states,) and given.dtype.kind in "iu" and np.all((given >= 0) & (given < actions)):
        return np.eye(actions)[given]
    if given.shape != (states, actions):
        raise errors.ShapeError(
            f"a policy is {states} x {actions} probabilities, or {states} actions as whole numbers; "
            f"this one is {given.dtype}{list(given.shape)}"
        )
    wrong = np.flatnonzero(~((given >= 0).all(1) & (np.abs(given.sum(1) - 1) <= 1e-6)))
    if len(wrong):
        raise ValueError(f"the policy of state {wrong[0]} is {given[wrong[0]]}: no probabilities that sum to 1")
    return given.astype(float)


def _solved(t: Table, policy: Array, discount: float) -> Array:
    endless = never_ends(t, policy) if discount == 1 else np.zeros(len(policy), bool)
    if endless.any():
        raise ValueError(
            f"with discount=1 this policy has no values: from state {np.flatnonzero(endless)[0]} it never comes to an end; "
            "take a discount below 1"
        )
    return np.asarray(policy_values(t, policy, discount))


def never_ends(t: Table, policy: Array) -> Any:
    """Which states cannot reach the end under the policy."""
    p = np.einsum("sa,sat->st", policy, t.transitions)
    ends = p.sum(1) < 1 - 1e-9
    while True:
        reach = ends | ((p > 0) & ends).any(1)
        if (reach == ends).all():
            return ~ends
        ends = reach


@errors.boundary
def policy_evaluation(
    P: Any, policy: Any, *, discount: float = 0.99, method: str = "solve", tol: float = 1e-10, max_sweeps: int = 100_000
) -> Solution:
    r"""The values of a policy.

    Args:
        P: A Markov decision process, as in `table`.
        policy: (S, A) probabilities, or (S,) actions.
        discount: $\gamma$; with 1 the policy must come to an end from every state.
        method: "solve", the linear system $(I - \gamma P_\pi) V = r_\pi$, or "iterate", $V \leftarrow T_\pi V$ from zero.
        tol: of "iterate": how far the values may be from the fixed point (the last change, with discount=1).
        max_sweeps: of "iterate".

    Returns:
        A `Solution` with the policy as probabilities.

    Raises:
        ValueError, ShapeError: The process or the policy is none.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> stay_or_leave = np.array([[[1.0], [0.0]]]), np.array([[1.0, 0.0]])
        >>> cr.rl.policy_evaluation(stay_or_leave, np.array([[1.0, 0.0]]), discount=0.9).values
        array([10.])

    Source: Sutton and Barto 2018, section 4.1.
    """
    t, discount = table(P), checked_discount(discount)
    pi = _policy(policy, t)
    if method == "solve":
        values, residuals = _solved(t, pi, discount), np.zeros(0)
    elif method == "iterate":
        values, residuals = _fixed_point(lambda v: bellman(t, v, pi, discount), len(pi), discount, tol, max_sweeps)
    else:
        raise ValueError(f"method is 'solve' or 'iterate', not {method!r}")
    return Solution(values, pi, backup(t, values, discount), residuals)


def _fixed_point(operator: Any, states: int, discount: float, tol: float, max_sweeps: int) -> tuple[Array, Array]:
    r"""Repeat a contraction; $\|V_k - V\| \le \gamma / (1 - \gamma) \|V_k - V_{k-1}\|$ says when it is near enough."""
    values, residuals = np.zeros(states), list[float]()
    far = discount / (1 - discount) if discount < 1 else 1.0
    for _ in range(max_sweeps):
        new = operator(values)
        residuals.append(float(np.max(np.abs(new - values))))
        values = new
        if far * residuals[-1] <= tol:
            return values, np.array(residuals)
    raise ArithmeticError(
        f"the values still change by {residuals[-1]:.2g} after {max_sweeps} sweeps; take a smaller discount or a larger tol"
    )


@errors.boundary
def value_iteration(P: Any, *, discount: float = 0.99, tol: float = 1e-10, max_sweeps: int = 100_000) -> Solution:
    r"""The best policy, by repeating $V \leftarrow T V$ from zero.

    Args:
        P: A Markov decision process, as in `table`.
        discount: $\gamma$.
        tol: How far the values may be from the best ones (the last change, with discount=1).
        max_sweeps: How often at most.

    Returns:
        A `Solution`; residuals shrink by at least $\gamma$ from sweep to sweep.

    Raises:
        ArithmeticError: The values have not settled after `max_sweeps`.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> stay_or_leave = np.array([[[1.0], [0.0]]]), np.array([[1.0, 20.0]])
        >>> best = cr.rl.value_iteration(stay_or_leave, discount=0.9)
        >>> best.values, best.policy
        (array([20.]), array([[0., 1.]]))

    Source: Bellman 1957; Sutton and Barto 2018, section 4.4.
    """
    t, discount = table(P), checked_discount(discount)
    values, residuals = _fixed_point(lambda v: bellman_optimality(t, v, discount), len(t.rewards), discount, tol, max_sweeps)
    q = backup(t, values, discount)
    return Solution(values, greedy(q), q, residuals)


@errors.boundary
def policy_iteration(P: Any, *, discount: float = 0.99, max_improvements: int = 1000) -> Solution:
    """The best policy, by evaluating a policy and acting greedily on its values, until no action can be bettered.

    Args:
        P: A Markov decision process, as in `table`.
        discount: From 0 to 1.
        max_improvements: How often at most; a finite process needs finitely many.

    Returns:
        A `Solution` whose values are exact but for rounding: they solve the linear system.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> stay_or_leave = np.array([[[1.0], [0.0]]]), np.array([[1.0, 20.0]])
        >>> cr.rl.policy_iteration(stay_or_leave, discount=0.99).policy
        array([[1., 0.]])

    Source: Howard 1960; Sutton and Barto 2018, section 4.3.
    """
    t, discount = table(P), checked_discount(discount)
    pi = np.full(t.rewards.shape, 1.0 / t.rewards.shape[1])
    values, residuals = _solved(t, pi, discount), list[float]()
    for k in range(max_improvements):
        q = backup(t, values, discount)
        kept = np.sum(pi * q, 1) >= np.max(q, 1) - _NEAR * (1 + np.abs(values).max())
        if k > 0 and kept.all():
            return Solution(values, pi, q, np.array(residuals))
        pi = np.where(kept[:, None] & (k > 0), pi, greedy(q))  # equals are not exchanged, so that it ends
        before, values = values, _solved(t, pi, discount)
        residuals.append(float(np.max(np.abs(values - before))))
    raise ArithmeticError(f"the policy still changes after {max_improvements} improvements")


__all__ = [
    "Solution", "backup", "bellman", "bellman_optimality", "greedy", "never_ends", "policy_evaluation", "policy_iteration",
    "policy_values", "value_iteration",
]  # fmt: skip
