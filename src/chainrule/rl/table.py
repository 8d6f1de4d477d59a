r"""Finite Markov decision processes as arrays.

$P(s' \mid s, a)$ is an array of states x actions x states and $r(s, a)$ one of states x actions.  Where an episode may end, a row
of P sums to less than one: nothing follows the end, so what is missing is worth nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.ir.graph import Array


class Table(NamedTuple):
    """A Markov decision process.

    Attributes:
        transitions: (S, A, S), the probability of going on in each state; what a row lacks to one is the probability of the end.
        rewards: (S, A), the expected reward.
    """

    transitions: Array
    rewards: Array


def table(p: Any) -> Table:
    """A Markov decision process as two arrays.

    Args:
        p: Gymnasium's ``env.unwrapped.P`` (for each state and action a list of (probability, next state, reward, terminated)), an
            environment that has one, or a pair of arrays: transitions (S, A, S) and rewards (S, A) or (S, A, S).

    Returns:
        A `Table`.

    Raises:
        ValueError, ShapeError: It is none of these, or its numbers are no probabilities or no finite rewards.

    Example:
        >>> import chainrule as cr
        >>> t = cr.rl.table({0: {0: [(0.5, 0, 1.0, False), (0.5, 0, 3.0, True)]}})
        >>> t.transitions.tolist(), t.rewards.tolist()
        ([[[0.5]]], [[2.0]])
    """
    if isinstance(p, Table):
        return _checked(p)
    p = getattr(getattr(p, "unwrapped", p), "P", p)
    if isinstance(p, Mapping) or (isinstance(p, Sequence) and len(p) > 0 and isinstance(p[0], Mapping)):
        return _checked(_from_lists(p))
    if not isinstance(p, Sequence) or len(p) != 2:
        raise ValueError(
            "a Markov decision process is Gymnasium's env.unwrapped.P or a pair of arrays: "
            f"transitions (S, A, S) and rewards (S, A), not {type(p).__name__}"
        )
    transitions, rewards = np.asarray(p[0], float), np.asarray(p[1], float)
    if transitions.ndim != 3 or transitions.shape[0] != transitions.shape[2]:
        raise errors.ShapeError(f"transitions are an array of states x actions x states, not {transitions.shape}")
    if rewards.shape == transitions.shape:
        rewards = np.sum(transitions * rewards, 2)
    if rewards.shape != transitions.shape[:2]:
        raise errors.ShapeError(f"rewards have the shape {transitions.shape[:2]} or {transitions.shape}, not {rewards.shape}")
    return _checked(Table(transitions, rewards))


def _from_lists(p: Any) -> Table:
    states, actions = len(p), len(p[0])
    transitions, rewards = np.zeros((states, actions, states)), np.zeros((states, actions))
    total = np.zeros((states, actions))
    for s in range(states):
        if len(p[s]) != actions:
            raise ValueError(f"state {s} has {len(p[s])} actions, and state 0 has {actions}")
        for a in range(actions):
            for probability, after, reward, terminated in p[s][a]:
                transitions[s, a, after] += probability * (not terminated)
                rewards[s, a] += probability * reward
                total[s, a] += probability
    wrong = np.argwhere(np.abs(total - 1) > 1e-6)
    if len(wrong):
        s, a = wrong[0]
        raise ValueError(f"the probabilities of state {s}, action {a} sum to {total[s, a]:g}, not to 1")
    return Table(transitions, rewards)


class Outcomes(NamedTuple):
    """What can follow each action: arrays of states x actions x outcomes.

    Attributes:
        cumulated: Probabilities added up along the outcomes; -inf where there is no outcome.
        following: The next states.
        rewards: The rewards.
        terminated: Is it the end?
    """

    cumulated: Array
    following: Array
    rewards: Array
    terminated: Array


def outcomes(p: Any) -> Outcomes:
    """The outcomes of a table in Gymnasium's form, or of a `Table` (whose missing probability is one more outcome, the end)."""
    if isinstance(p, Table):
        p = _to_lists(p)
    most = max(len(p[s][a]) for s in range(len(p)) for a in range(len(p[s])))
    shape = (len(p), len(p[0]), most)
    o = Outcomes(np.full(shape, -np.inf), np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, bool))
    for s, a in np.ndindex(shape[:2]):
        probabilities, following, rewards, terminated = zip(*p[s][a], strict=True)
        n = len(probabilities)
        o.cumulated[s, a, :n] = np.cumsum(probabilities)
        o.following[s, a, :n], o.rewards[s, a, :n], o.terminated[s, a, :n] = following, rewards, terminated
    return o


def _to_lists(t: Table) -> Any:
    def of(s: int, a: int) -> list[Any]:
        r, row = t.rewards[s, a], t.transitions[s, a]
        go_on = [(row[k], int(k), r, False) for k in np.flatnonzero(row)]
        ends = 1 - row.sum()
        return [*go_on, (ends, s, r, True)] if ends > 1e-12 else go_on

    states, actions = t.rewards.shape
    return [[of(s, a) for a in range(actions)] for s in range(states)]


def _checked(t: Table) -> Table:
    if not np.all(np.isfinite(t.rewards)):
        s, a = np.argwhere(~np.isfinite(t.rewards))[0]
        raise ValueError(f"the reward of state {s}, action {a} is {t.rewards[s, a]}")
    sums = np.sum(t.transitions, 2)
    if not np.all((t.transitions >= 0).all(2) & (sums <= 1 + 1e-6)):  # NaN fails as well
        s, a = np.argwhere(~((t.transitions >= 0).all(2) & (sums <= 1 + 1e-6)))[0]
        raise ValueError(f"the transitions of state {s}, action {a} are no probabilities: they sum to {sums[s, a]:g}")
    return t


def checked_discount(discount: Any) -> float:
    """A discount between 0 and 1."""
    if not 0 <= discount <= 1:
        raise ValueError(f"discount is a number from 0 to 1, not {discount}")
    return float(discount)


def start_distribution(start: Any, states: int) -> Array:
    """The distribution of the first state: a state, a distribution, or (None) every state alike."""
    if start is None:
        return np.full(states, 1.0 / states)
    if np.ndim(start) == 0:
        s = int(start)
        if not 0 <= s < states:
            raise ValueError(f"start is a state from 0 to {states - 1} or a distribution over them, not {start}")
        return np.eye(states)[s]
    d = np.asarray(start, float)
    if d.shape != (states,) or not np.all(d >= 0) or abs(np.sum(d) - 1) > 1e-6:
        raise ValueError(f"start is a state or {states} probabilities that sum to 1, not {start!r}")
    return d


__all__ = ["Outcomes", "Table", "checked_discount", "outcomes", "start_distribution", "table"]
