r"""SARSA (Rummery and Niranjan 1994) and expected SARSA (van Seijen et al. 2009): the values of the policy that acts.

$$Q(s, a) \leftarrow Q(s, a) + \alpha \bigl(r + \gamma Q(s', a') - Q(s, a)\bigr)$$

with a' the action that is taken next, or its expectation over the policy, which has the same mean and less noise.  The policy is
greedy but for exploration; as exploration goes to zero, Q tends to the best action values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.rl.episodes import Method, Step, TabularAgent, added, epsilon_greedy, exploration_of, learn, rate
from chainrule.rl.q_learning import Tables, polynomial
from chainrule.rl.table import checked_discount

Bootstrap = Callable[[Any, Step, Any], Any]
"""(Q of the next state, step, epsilon) -> what the next state is worth."""


@errors.boundary
def sarsa(
    env: Any,
    *,
    discount: float = 0.99,
    episodes: int = 10_000,
    key: Any,
    learning_rate: Any = polynomial,
    exploration: Any = (1.0, 0.0),
    initial: float = 0.0,
    start: Any = None,
    engine: str | None = "native",
) -> TabularAgent:
    r"""Learn the action values of an epsilon-greedy policy while it acts.

    Args:
        env, discount, episodes, key, learning_rate, exploration, initial, start, engine: As for `q_learning`.

    Returns:
        A `TabularAgent`.

    Example:
        >>> import chainrule as cr
        >>> careful = cr.rl.sarsa("CliffWalking-v1", episodes=2000, key=cr.random.key(0), exploration=0.1)
        >>> bool(careful.history.returns[-500:].mean() > -60)  # with exploration it keeps away from the edge
        True

    Source: Sutton and Barto 2018, section 6.4.
    """
    return _learned(
        lambda q, s, epsilon: q[s.next_action], env, discount, episodes, key, learning_rate, exploration, initial, start, engine
    )


@errors.boundary
def expected_sarsa(
    env: Any,
    *,
    discount: float = 0.99,
    episodes: int = 10_000,
    key: Any,
    learning_rate: Any = polynomial,
    exploration: Any = (1.0, 0.0),
    initial: float = 0.0,
    start: Any = None,
    engine: str | None = "native",
) -> TabularAgent:
    r"""SARSA with $\sum_{a'} \pi(a' \mid s') Q(s', a')$ in the place of $Q(s', a')$.

    Args:
        env, discount, episodes, key, learning_rate, exploration, initial, start, engine: As for `q_learning`.

    Returns:
        A `TabularAgent`.

    Source: van Seijen, van Hasselt, Whiteson and Wiering 2009; with exploration 0 it is Q-learning.
    """

    def expectation(q: Any, s: Step, epsilon: Any) -> Any:
        return np.sum(epsilon_greedy(q, epsilon) * q)

    return _learned(expectation, env, discount, episodes, key, learning_rate, exploration, initial, start, engine)


def _learned(
    worth: Bootstrap,
    env: Any,
    discount: Any,
    episodes: int,
    key: Any,
    learning_rate: Any,
    exploration: Any,
    initial: float,
    start: Any,
    engine: str | None,
) -> TabularAgent:
    alpha, epsilon, discount = rate(learning_rate), exploration_of(exploration), checked_discount(discount)

    def update(t: Tables, s: Step, progress: Any, u: Any) -> Tables:
        after = worth(t.q[s.following], s, epsilon(progress))
        target = s.reward + discount * np.where(s.terminated, 0.0, after)
        step = alpha(t.visits[s.state, s.action]) * (target - t.q[s.state, s.action])
        return Tables(added(t.q, (s.state, s.action), step), added(t.visits, (s.state, s.action), 1))

    method = Method(
        init=lambda n, m: Tables(np.full((n, m), float(initial)), np.zeros((n, m), np.int64)),
        begin=lambda t: t,
        policy=lambda t, s, progress: epsilon_greedy(t.q[s], epsilon(progress)),
        update=update,
    )
    found = learn(env, start, lambda _: method, episodes, key, engine)
    return TabularAgent(np.asarray(found.tables.q), found)


__all__ = ["expected_sarsa", "sarsa"]
