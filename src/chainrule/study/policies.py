"""9.7, second half: the gradient of what a policy earns, exactly and by playing, and a policy that balances a pole."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study.model import Context, Experiment, Formula, Table, at_least, at_most, text
from chainrule.study.tools import Array, drawn


def walk_table(n: int) -> tuple[Array, Array]:
    """n places in a row, two actions, -1 beyond the left end and +1 beyond the right one."""
    transitions, rewards = np.zeros((n, 2, n)), np.zeros((n, 2))
    for s in range(n):
        for a, new in ((0, s - 1), (1, s + 1)):
            if 0 <= new < n:
                transitions[s, a, new] = 1.0
            else:
                rewards[s, a] = -1.0 if new < 0 else 1.0
    return transitions, rewards


def two_gradients(context: Context) -> Experiment:
    """The gradient of the expected return from a linear system, against REINFORCE with and without a baseline."""
    process, discount, start = walk_table(7), 0.95, 3
    logits = 0.3 * np.random.default_rng(0).standard_normal((7, 2))
    exact = np.asarray(cr.rl.policy_gradient_exact(process, logits, discount=discount, start=start))
    h, quotient = 1e-5, np.empty_like(logits)
    for at in np.ndindex(*logits.shape):
        moved = [logits.copy() for _ in range(2)]
        moved[0][at] += h
        moved[1][at] -= h
        up, down = (float(cr.rl.policy_objective(process, m, discount=discount, start=start)) for m in moved)
        quotient[at] = (up - down) / (2 * h)
    episodes = context.pick(40_000, 8_000)
    baselines: dict[str, Any] = {"none": False, "a constant, the value of the start": None, "V of each state": True}
    values = cr.rl.policy_evaluation(process, np.asarray(cr.special.softmax(logits, axis=1)), discount=discount).values
    baselines["a constant, the value of the start"] = np.full(7, values[start])
    each = {
        name: np.asarray(
            cr.rl.policy_gradient_estimate(
                process, logits, discount=discount, start=start, key=cr.random.key(k), episodes=episodes, baseline=b, each=True
            )
        )
        for k, (name, b) in enumerate(baselines.items())
    }
    spread = {name: float(np.sum(e.var(0, ddof=1))) for name, e in each.items()}
    z = max(float(np.max(np.abs(e.mean(0) - exact) / (e.std(0, ddof=1) / np.sqrt(episodes)))) for e in each.values())
    counts = np.unique(np.geomspace(10, episodes, 25).astype(int))
    errors = {
        name: np.array(
            [
                np.sqrt(
                    np.mean(
                        [np.sum((e[i : i + n].mean(0) - exact) ** 2) for i in range(0, episodes - n + 1, max(n, episodes // 40))]
                    )
                )
                for n in counts
            ]
        )
        for name, e in each.items()
    }
    made = plot.curves(
        {n: (counts, v) for n, v in errors.items()},
        "Error of the gradient",
        "episodes",
        "distance from the exact gradient",
        xscale="log",
        loc="lower left",
    )
    return Experiment(
        "One gradient, two ways",
        f"""Seven places in a row and a random policy with logits for left and right. What it earns is the solution of a
        linear system, and chainrule differentiates through the solution. REINFORCE plays {episodes:,} episodes and weighs
        $\\nabla \\ln \\pi(a \\mid s)$ with what was earned after. Subtracting a baseline that depends only on the state
        leaves the mean as it is, since $\\sum_a \\nabla \\pi(a \\mid s) = 0$, and takes variance away: the sum of all
        variances is {text(spread["none"], 3)} without and {text(spread["V of each state"], 3)} with the values as the
        baseline.""",
        [
            at_most("exact gradient against difference quotients", float(np.max(np.abs(exact - quotient))), 1e-8),
            at_most("largest deviation of the three estimates' means, in standard errors (42 numbers)", z, 4.5),
            at_most("variance with the values as baseline over that without", spread["V of each state"] / spread["none"], 0.95),
        ],
        formulas=[
            Formula(
                "\\nabla J = E\\left[\\sum_t \\gamma^t\\, \\nabla \\ln \\pi(a_t \\mid s_t)\\, (G_t - b(s_t))\\right]",
                "$G_t$ is the discounted return after $t$. The factor $\\gamma^t$ belongs to the gradient of $J$; it is "
                "often left out.",
            )
        ],
        figures=[
            drawn(
                made,
                "reinforce",
                "All fall like one over the root; the baseline moves the line.",
                "Errors against episodes for three baselines on parallel lines.",
            )
        ],
        tables=[
            Table("Sum of the variances of one episode's estimate", ["Baseline", "Variance"], [[n, v] for n, v in spread.items()])
        ],
    )


def climbing(context: Context) -> Experiment:
    """Gradient ascent on the exact objective, from a policy that knows nothing to the best one."""
    process, discount = cr.rl.frozen_lake_table(4, False), 0.95
    best = cr.rl.value_iteration(process, discount=discount).values[0]
    t = cr.rl.table(process)
    both = cr.jit(cr.value_and_grad(lambda x: cr.rl.policy_objective(t, x, discount=discount, start=0)))
    count = context.pick(600, 250)
    rules: dict[str, Any] = {"plain ascent": cr.optim.gradient_descent(20.0), "Adam": cr.optim.adam(0.2)}
    seen = dict[str, Array]()
    for k, (name, rule) in enumerate(rules.items()):
        x = np.zeros((16, 4))
        state, values = rule.init(x), list[float]()
        for _ in context.part(k, 2).steps(count):
            value, g = both(x)
            values.append(float(value))
            x, state = rule.step(x, -g, state)
        seen[name] = np.array(values)
    k = np.arange(1, count + 1)
    made = plot.curves(
        {n: (k, v) for n, v in seen.items()},
        "What the policy earns on firm ice",
        "step",
        "J",
        bounds={"the best": ([1, count], [best] * 2)},
        xscale="log",
        yscale="linear",
    )
    rise = float(np.min(np.diff(seen["plain ascent"])))
    return Experiment(
        "Climbing",
        f"""The policy is a table of logits, its objective the discounted chance of reaching the goal. At first it walks
        at random and earns {text(seen["Adam"][0], 2)}. The objective is not concave, and yet, with exact gradients and
        every state visited, softmax policies climb to the best (Agarwal, Kakade, Lee and Mahajan 2021), slowly at the
        end, where the gradient of a nearly certain choice vanishes.""",
        [
            at_least("what Adam's policy earns at the end over the best", float(seen["Adam"][-1] / best), 0.97),
            at_least("smallest gain of a step of plain ascent", rise, -1e-12),
            at_most("what the first policy earns over the best", float(seen["Adam"][0] / best), 0.1),
        ],
        figures=[
            drawn(made, "climb", "A plateau, a climb, a long approach.", "The objective rises from near zero to the best value.")
        ],
    )


def balancing(context: Context) -> Experiment:
    """Proximal policy optimisation learns to balance a pole."""
    steps = context.pick(100_000, 24_576)
    agent = cr.rl.ppo(cr.rl.cart_pole(500), key=cr.random.key(1), steps=steps)
    earned = agent.evaluate(50, key=cr.random.key(7))
    history = agent.history
    returns, at = np.asarray(history.returns), np.asarray(history.steps)
    ended = np.isfinite(returns)
    first = float(np.nanmean(returns[:2]))
    made = plot.curves(
        {"mean return of episodes that ended": (at[ended], returns[ended])},
        "Learning to balance",
        "steps of the environment",
        "return",
        yscale="linear",
        bounds={"the longest episode": (at[[0, -1]], [500, 500])},
    )
    goal = 150.0 if context.quick else 450.0
    return Experiment(
        "Balancing",
        f"""A pole on a cart, pushed left or right, one point for every step that it stands, at most 500. A policy that
        knows nothing keeps it up for {first:.0f} steps. PPO plays eight carts at once, weighs each action by how much
        better it did than expected, and lets no update change the odds of an action by much. After {steps:,} steps its
        policy, now taking the likelier action, balances for {text(float(earned.mean()), 4)} steps on average. An episode
        that is cut off at 500 has not failed: its last value still counts what would have come.""",
        [
            at_least("mean return of the policy over 50 new episodes", float(earned.mean()), goal),
            at_most("mean return at the start", first, 50.0),
        ],
        formulas=[
            Formula(
                "\\min\\left(\\rho_t A_t, \\operatorname{clip}(\\rho_t, 1 - \\epsilon, 1 + \\epsilon) A_t\\right), "
                "\\qquad \\rho_t = \\frac{\\pi(a_t \\mid s_t)}{\\pi_{old}(a_t \\mid s_t)}",
                "What PPO raises, on average over steps.",
            )
        ],
        figures=[drawn(made, "pole", "From twenty steps to hundreds.", "Returns rising with the steps taken.")],
    )


EXPERIMENTS = (two_gradients, climbing, balancing)
