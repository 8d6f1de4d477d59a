r"""Q-learning (Watkins 1989) and its double form (van Hasselt 2010).

$$Q(s, a) \leftarrow Q(s, a) + \alpha \bigl(r + \gamma \max_{a'} Q(s', a') - Q(s, a)\bigr)$$

is a step of stochastic approximation towards the fixed point of Bellman's optimality operator, whatever policy acts.  If every
action is tried for ever and the rates satisfy $\sum \alpha_k = \infty$ and $\sum \alpha_k^2 < \infty$ (Robbins and Monro), Q
converges to the best action values with probability one; with a constant rate it stays at a distance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.rl.episodes import Method, Step, TabularAgent, added, epsilon_greedy, exploration_of, learn, rate
from chainrule.rl.table import checked_discount


class Tables(NamedTuple):
    """Action values and how often each was updated: (S, A), with a leading axis of two for the double form."""

    q: Any
    visits: Any


def polynomial(k: Any) -> Any:
    r"""$\alpha_k = (1 + k / 10)^{-0.7}$: Robbins and Monro's conditions hold for exponents above 1/2 and up to 1."""
    return (1 + k / 10) ** -0.7


@errors.boundary
def q_learning(
    env: Any,
    *,
    discount: float = 0.99,
    episodes: int = 10_000,
    key: Any,
    learning_rate: Any = polynomial,
    exploration: Any = (1.0, 0.1),
    initial: float = 0.0,
    start: Any = None,
    engine: str | None = "native",
) -> TabularAgent:
    r"""Learn the best action values from steps.

    Args:
        env: The name of an environment of Gymnasium's with finitely many states (those that have a table are played in the graph,
            as one compiled loop), an environment of Gymnasium's, a `cr.rl.Environment`, or a process as for `table`.
        discount: $\gamma$.
        episodes: How many are played.
        key: Random key, or a number.
        learning_rate: $\alpha$, a number or a function of how often this action of this state was updated before.
        exploration: How often a random action is taken: a probability, a pair (falling from the first to the last), or a function
            of progress from 0 to 1.
        initial: The first Q; above all values it makes for exploration, since everything untried looks good.
        start: For a process: a state, a distribution, or None (every state alike).
        engine: What compiles.

    Returns:
        A `TabularAgent`: ``.action_values``, ``.policy``, ``.act(state)``, ``.history``.

    Raises:
        ValueError: States or actions are not finitely many, there is no such environment, or a reward is NaN.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> agent = cr.rl.q_learning("CliffWalking-v1", episodes=300, key=cr.random.key(0))
        >>> agent.act(36)
        0

    Source: Watkins and Dayan 1992; Sutton and Barto 2018, section 6.5.  An episode that is cut off (truncated) is no end: the
    value of the state after it counts.  Where the environment sets no limit, that happens after 1000 steps.
    """
    alpha, epsilon, discount = rate(learning_rate), exploration_of(exploration), checked_discount(discount)

    def update(t: Tables, s: Step, progress: Any, u: Any) -> Tables:
        target = s.reward + discount * np.where(s.terminated, 0.0, np.max(t.q[s.following]))
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


@errors.boundary
def double_q_learning(
    env: Any,
    *,
    discount: float = 0.99,
    episodes: int = 10_000,
    key: Any,
    learning_rate: Any = polynomial,
    exploration: Any = (1.0, 0.1),
    initial: float = 0.0,
    start: Any = None,
    engine: str | None = "native",
) -> TabularAgent:
    r"""Q-learning with two tables: one chooses the action, the other says what it is worth.

    $Q_1(s, a) \leftarrow Q_1(s, a) + \alpha \bigl(r + \gamma Q_2(s', \arg\max_{a'} Q_1(s', a')) - Q_1(s, a)\bigr)$, or the same
    with the tables exchanged, as a coin falls.  The largest of several noisy numbers is too large on average; a number that had
    no part in the choice is not.

    Args:
        env, discount, episodes, key, learning_rate, exploration, initial, start, engine: As for `q_learning`; it acts on the sum.

    Returns:
        A `TabularAgent` with the mean of both tables.

    Source: van Hasselt 2010, algorithm 1.
    """
    alpha, epsilon, discount = rate(learning_rate), exploration_of(exploration), checked_discount(discount)

    def one(mine: Tables, other: Tables, s: Step) -> Tables:
        best = np.argmax(mine.q[s.following])
        target = s.reward + discount * np.where(s.terminated, 0.0, other.q[s.following, best])
        step = alpha(mine.visits[s.state, s.action]) * (target - mine.q[s.state, s.action])
        return Tables(added(mine.q, (s.state, s.action), step), added(mine.visits, (s.state, s.action), 1))

    def update(t: tuple[Tables, Tables], s: Step, progress: Any, u: Any) -> Any:
        a, b = t
        new_a, new_b = one(a, b, s), one(b, a, s)
        heads = u < 0.5
        return Tables(*[np.where(heads, x, y) for x, y in zip(new_a, a, strict=True)]), Tables(
            *[np.where(heads, y, x) for x, y in zip(new_b, b, strict=True)]
        )

    def init(n: int, m: int) -> Any:
        return tuple(Tables(np.full((n, m), float(initial)), np.zeros((n, m), np.int64)) for _ in range(2))

    method = Method(init, lambda t: t, lambda t, s, progress: epsilon_greedy(t[0].q[s] + t[1].q[s], epsilon(progress)), update)
    found = learn(env, start, lambda _: method, episodes, key, engine)
    return TabularAgent((np.asarray(found.tables[0].q) + np.asarray(found.tables[1].q)) / 2, found)


__all__ = ["Tables", "double_q_learning", "polynomial", "q_learning"]
