r"""TD($\lambda$) (Sutton 1988): the values of a policy, from its steps.

$$\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t), \qquad e_t = \gamma \lambda e_{t-1} + \mathbf 1_{s_t}, \qquad
V \leftarrow V + \alpha\, \delta_t\, e_t :$$

the error of each step is shared out among the states that led to it.  With $\lambda = 0$ it looks one step ahead, with
$\lambda = 1$ it learns from whole returns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.ir.graph import Array
from chainrule.rl.episodes import Method, Step, added, learn, rate, sizes
from chainrule.rl.q_learning import polynomial
from chainrule.rl.table import checked_discount


class Traces(NamedTuple):
    """Values, eligibility and the number of visits of each state: (S,)."""

    values: Any
    trace: Any
    visits: Any


class Prediction(NamedTuple):
    """What was learned about a policy.

    Attributes:
        values: (S,), V.
        returns: The return of each episode.
        visits: (S,), how often each state was left.
    """

    values: Array
    returns: Array
    visits: Array


@errors.boundary
def td_lambda(
    env: Any,
    policy: Any = None,
    *,
    discount: float = 0.99,
    decay: float = 0.9,
    episodes: int = 10_000,
    key: Any,
    learning_rate: Any = polynomial,
    start: Any = None,
    engine: str | None = "native",
) -> Prediction:
    r"""Estimate the values of a policy from episodes that it plays.

    Args:
        env: As for `q_learning`.
        policy: (S, A) probabilities; every action alike if None.
        discount: $\gamma$.
        decay: $\lambda$, from 0 to 1.
        episodes: How many are played.
        key: Random key.
        learning_rate: $\alpha$, a number or a function of how often the state was left before.
        start: As for `q_learning`.
        engine: What compiles.

    Returns:
        A `Prediction`.

    Raises:
        ShapeError, ValueError: The policy does not fit the environment, or as for `q_learning`.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> walk = np.zeros((3, 2, 3)), np.zeros((3, 2))  # three places in a row; right of the last is a reward of 1
        >>> for s, a, t in ((0, 1, 1), (1, 0, 0), (1, 1, 2), (2, 0, 1)):
        ...     walk[0][s, a, t] = 1.0
        >>> walk[1][2, 1] = 1.0
        >>> found = cr.rl.td_lambda(walk, discount=1.0, episodes=20_000, key=cr.random.key(0))
        >>> bool(np.all(np.abs(found.values - [0.25, 0.5, 0.75]) < 0.05))
        True

    Source: Sutton and Barto 2018, section 12.2 (accumulating traces).
    """
    alpha, discount = rate(learning_rate), checked_discount(discount)
    if not 0 <= decay <= 1:
        raise ValueError(f"decay is a number from 0 to 1, not {decay}")

    def make(e: Any) -> Method:
        states, actions = sizes(e)
        pi = np.full((states, actions), 1.0 / actions) if policy is None else np.asarray(policy, float)
        if pi.shape != (states, actions):
            raise errors.ShapeError(f"the policy is an array of {states} x {actions} probabilities, not {pi.shape}")

        def update(t: Traces, s: Step, progress: Any, u: Any) -> Traces:
            error = s.reward + discount * np.where(s.terminated, 0.0, t.values[s.following]) - t.values[s.state]
            trace = added(discount * decay * t.trace, (s.state,), 1.0)
            return Traces(t.values + alpha(t.visits) * error * trace, trace, added(t.visits, (s.state,), 1))

        return Method(
            init=lambda n, m: Traces(np.zeros(n), np.zeros(n), np.zeros(n, np.int64)),
            begin=lambda t: t._replace(trace=np.zeros(states)),
            policy=lambda t, s, progress: np.take_along_axis(pi, np.stack([s])[:, None], 0)[0],
            update=update,
        )

    found = learn(env, start, make, episodes, key, engine)
    return Prediction(np.asarray(found.tables.values), found.returns, np.asarray(found.tables.visits))


__all__ = ["Prediction", "td_lambda"]
