"""9.7 Reinforcement learning: values that are known, values that are learnt, and gradients of what a policy earns."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import plot
from chainrule.study import policies
from chainrule.study.model import Chapter, Context, Experiment, Figure, Formula, Table, at_least, at_most, equals, text
from chainrule.study.policies import walk_table
from chainrule.study.stochastic import interval
from chainrule.study.tools import Array, drawn

TEXT = """
The value of a state is what a policy earns from there on, and it satisfies an equation in which it stands on both sides: what
is earned now, and the discounted value of where that leads. For a finite process the equation is a linear system, or, for the
best policy, the fixed point of a contraction. Everything learnt by trial can be held against that.

What a policy earns also has a gradient. Here it is computed in two ways that have nothing in common: by differentiating the
solution of the linear system, and by playing.
"""

NAMES = ("left", "down", "right", "up")


def _lake(slippery: bool, discount: float) -> tuple[Any, Any]:
    process = cr.rl.frozen_lake_table(4, slippery)
    return process, cr.rl.value_iteration(process, discount=discount, tol=1e-12)


def _picture(values: Array, policy: Array, title: str, name: str, caption: str) -> Figure:
    holes, goal = {(1, 1), (1, 3), (2, 3), (3, 0)}, (3, 3)
    names = {**dict.fromkeys(holes, "hole"), goal: "goal"}
    best = policy.argmax(1).reshape(4, 4)
    arrows = {(i, j): NAMES[best[i, j]] for i in range(4) for j in range(4) if (i, j) not in names}
    made = plot.value_map(values.reshape(4, 4), title, names, arrows)
    cells = "; ".join(f"row {i + 1}: " + ", ".join(f"{v:.2f}" for v in row) for i, row in enumerate(values.reshape(4, 4)))
    return drawn(made, name, caption, f"A grid of four by four values with the best direction in each cell. {cells}.")


def the_lake(context: Context) -> Experiment:
    """Value iteration on the frozen lake, firm and slippery."""
    discount = 0.95
    _, firm = _lake(False, discount)
    process, slick = _lake(True, discount)
    solved = cr.rl.policy_evaluation(process, slick.policy, discount=discount)
    t = cr.rl.table(process)
    exact, v, gaps = slick.values, np.zeros(16), list[float]()
    for _ in range(context.pick(200, 120)):
        gaps.append(float(np.max(np.abs(v - exact))))
        v = np.asarray(cr.rl.bellman_optimality(t, v, discount))
    gap = np.array(gaps)
    k = np.arange(len(gap))
    shrinks = float(np.max(gap[1:] / gap[:-1]))
    made = plot.curves(
        {"‖Vₖ − V*‖": (k, gap)},
        "Value iteration on the slippery lake",
        "sweep k",
        "largest error",
        bounds={"γᵏ‖V₀ − V*‖": (k, gap[0] * discount**k)},
    )
    path = firm.values[0]
    return Experiment(
        "Values on the frozen lake",
        f"""From the upper left to the goal, without falling into a hole; a reward of 1 for the goal, discounted by
        {discount} in each step. On firm ice the value of a cell is $\\gamma$ to the number of steps between it and the last. On
        slippery ice, where a third of the steps goes to each side, the best directions point away from holes rather than
        to the goal: a step to the wall costs time, and time is cheap.""",
        [
            equals("value of the start on firm ice, γ⁵ (six steps, rewarded on the sixth)", float(path), discount**5, 1e-12),
            at_most("largest ratio of two successive errors (theory: γ)", shrinks, discount + 1e-9),
            at_most(
                "values of the best policy from the linear system against value iteration",
                float(np.max(np.abs(solved.values - exact))),
                1e-10,
            ),
            at_least("value of the start on slippery ice", float(exact[0]), 0.1),
        ],
        formulas=[
            Formula(
                "V(s) = \\max_a \\left[r(s, a) + \\gamma \\sum_{s'} P(s' \\mid s, a)\\, V(s')\\right]",
                "Bellman's optimality equation. The maximum is outside of the expectation.",
            ),
            Formula("\\|TU - TV\\|_\\infty \\le \\gamma\\, \\|U - V\\|_\\infty", "Why iterating it converges, from anywhere."),
        ],
        figures=[
            _picture(firm.values, firm.policy, "Firm ice", "lake-firm", "Straight to the goal."),
            _picture(slick.values, slick.policy, "Slippery ice", "lake-slippery", "Away from the holes."),
            drawn(
                made,
                "contraction",
                "Each sweep shrinks the error by γ or more.",
                "The error of value iteration falls below the line of gamma to the k.",
            ),
        ],
    )


def by_playing(context: Context) -> Experiment:
    """Q-learning on the lake: the error of what is learnt, for rates that fall and a rate that does not."""
    discount, seeds = 0.95, context.pick(8, 4)
    process, exact = _lake(True, discount)
    counts = [300, 1000, 3000, 10_000, 30_000][: context.pick(5, 4)]
    rates: dict[str, Any] = {"falling like n⁻⁰·⁷": None, "constant: 0.2": 0.2}
    found = {name: np.empty((len(counts), seeds)) for name in rates}
    lake = cr.rl.frozen_lake(4)
    total = len(counts) * len(rates) * seeds
    best = exact.action_values
    earned = np.empty((len(counts), seeds))
    for i, n in enumerate(counts):
        for j, (name, rate) in enumerate(rates.items()):
            for s in range(seeds):
                context.tell(((i * len(rates) + j) * seeds + s) / total)
                options = {} if rate is None else {"learning_rate": rate}
                agent = cr.rl.q_learning(lake, discount=discount, episodes=n, key=cr.random.key(s), exploration=1.0, **options)
                found[name][i, s] = float(np.max(np.abs(agent.action_values - best)))
                if rate is None:
                    earned[i, s] = float(cr.rl.policy_evaluation(process, agent.policy, discount=discount).values[0])
    bands = {n: interval(e) for n, e in found.items()}
    made = plot.curves(
        {n: (counts, m) for n, (m, _) in bands.items()}, "Largest error of Q", "episodes", "max |Q − Q*|",
        bands={n: (np.maximum(m - h, 1e-4), m + h) for n, (m, h) in bands.items()}, xscale="log",
    )  # fmt: skip
    falling, constant = (e.mean(1) for e in found.values())
    return Experiment(
        "Values by playing",
        f"""Q-learning sees only steps: a state, an action, a reward, the next state. Every action here is random, so that
        all are tried, and still it learns the values of the best policy: it is off-policy. With rates that fall as they
        must the error keeps falling; with a constant rate it stops at a distance, since each update brings new noise.
        After {counts[-1]:,} episodes the greedy policy earns {text(float(earned[-1].mean()), 4)} from the start; the best
        is {text(float(exact.values[0]), 4)}.""",
        [
            at_most("falling rates: error at the end over the error at the first mark", float(falling[-1] / falling[0]), 0.5),
            at_least(
                "constant rate: error at the end over that of falling rates",
                float(constant[-1] / falling[-1]),
                1.1 if context.quick else 1.5,
            ),
            at_least(
                "what the greedy policy earns, over the best, mean of all runs", float(earned[-1].mean() / exact.values[0]), 0.9
            ),
        ],
        formulas=[
            Formula(
                "Q(s, a) \\leftarrow Q(s, a) + \\alpha_n \\left[r + \\gamma \\max_{a'} Q(s', a') - Q(s, a)\\right]",
                "It converges if every pair is tried for ever, $\\sum \\alpha_n = \\infty$ and $\\sum \\alpha_n^2 < \\infty$.",
            )
        ],
        figures=[
            drawn(
                made,
                "q-learning",
                "Bands are 95% intervals over runs.",
                "Errors against episodes: falling rates go on, the constant rate levels off.",
            )
        ],
    )


def _cliff() -> tuple[tuple[Array, Array], int]:
    """A path of twelve along a cliff (Sutton and Barto 2018, example 6.6), and where it starts."""
    rows, columns = 4, 12
    transitions, rewards = np.zeros((48, 4, 48)), -np.ones((48, 4))
    start, goal = 36, 47
    for s in range(48):
        for a, (di, dj) in enumerate(((0, -1), (1, 0), (0, 1), (-1, 0))):
            i, j = min(max(s // columns + di, 0), rows - 1), min(max(s % columns + dj, 0), columns - 1)
            new = i * columns + j
            if start < new < goal:
                new, rewards[s, a] = start, -100.0
            if new != goal:
                transitions[s, a, new] = 1.0
    return (transitions, rewards), start


def along_the_cliff(context: Context) -> Experiment:
    """Q-learning and SARSA act alike and learn different things."""
    process, start = _cliff()
    seeds, episodes = context.pick(20, 8), 500
    kinds: dict[str, Any] = {"Q-learning": cr.rl.q_learning, "SARSA": cr.rl.sarsa}
    returns, walks = dict[str, Array](), dict[str, Array]()
    for name, learn in kinds.items():
        runs = [
            learn(process, discount=1.0, episodes=episodes, key=cr.random.key(s), learning_rate=0.5, exploration=0.1, start=start)
            for s in range(seeds)
        ]
        returns[name] = np.stack([r.history.returns for r in runs])
        walks[name] = np.array([_greedy_return(process, r.policy, start) for r in runs])
    width = 25
    smooth = {n: r.reshape(seeds, -1, width).mean(2) for n, r in returns.items()}
    k = (np.arange(episodes // width) + 0.5) * width
    bands = {n: interval(np.asarray(v).T) for n, v in smooth.items()}
    made = plot.curves(
        {n: (k, m) for n, (m, _) in bands.items()}, "What is earned while learning", "episode", "return",
        bands={n: (m - h, m + h) for n, (m, h) in bands.items()}, yscale="linear", ylim=(-120, 0), loc="lower right",
    )  # fmt: skip
    late = {n: r[:, -200:].mean(1) for n, r in returns.items()}
    mean, half = interval(late["SARSA"] - late["Q-learning"])
    return Experiment(
        "Along the cliff",
        """Both take a random action one time in ten. Q-learning learns what would be best without these, and that is the
        path along the edge, from which random steps fall. SARSA learns the values of what it does, random steps included,
        and keeps a row away. It earns more while it learns; Q-learning's answer earns more once exploring stops.""",
        [
            at_least(
                "SARSA's return minus Q-learning's in the last 200 episodes, lower end of the 95% interval",
                float(mean - half),
                0.0,
            ),
            equals(
                "return of Q-learning's greedy policy, the shortest way: median",
                float(np.median(walks["Q-learning"])),
                -13.0,
                0.5,
            ),
            at_most("return of SARSA's greedy policy: median (a longer way)", float(np.median(walks["SARSA"])), -14.0),
        ],
        figures=[drawn(made, "edge", "Careful, or right.", "Returns over episodes: SARSA's level off above Q-learning's.")],
    )


def _greedy_return(process: tuple[Array, Array], policy: Array, start: int) -> float:
    """What a deterministic policy earns in a deterministic process; it is stopped after 200 steps."""
    transitions, rewards = process
    s, earned = start, 0.0
    for _ in range(200):
        a = int(policy[s].argmax())
        earned += rewards[s, a]
        if transitions[s, a].sum() == 0:
            return float(earned)
        s = int(transitions[s, a].argmax())
    return float(earned)


def between_one_and_all(context: Context) -> Experiment:
    """TD(lambda) on the random walk: one step, whole episodes, and between."""
    process = walk_table(19)
    exact = cr.rl.policy_evaluation(process, np.full((19, 2), 0.5), discount=1.0).values
    decays = (0.0, 0.8, 1.0) if context.quick else (0.0, 0.4, 0.8, 0.95, 1.0)
    rates = np.array([0.03, 0.1, 0.4] if context.quick else [0.01, 0.03, 0.1, 0.2, 0.4, 0.6])
    seeds = context.pick(20, 6)
    rms = {d: np.empty(len(rates)) for d in decays}
    for i, d in enumerate(decays):
        for j, rate in enumerate(rates):
            context.tell((i * len(rates) + j) / (len(decays) * len(rates)))
            runs = [
                cr.rl.td_lambda(
                    process, discount=1.0, decay=d, episodes=10, key=cr.random.key(s), learning_rate=float(rate), start=9
                ).values
                for s in range(seeds)
            ]
            errors = np.clip(np.stack(runs) - exact, -1e6, 1e6)  # where it diverges, it does so without bounds
            rms[d][j] = float(np.mean(np.sqrt(np.mean(errors**2, 1))))
    lowest = {d: float(np.min(v)) for d, v in rms.items()}
    made = plot.curves(
        {f"λ = {d}": (rates, np.minimum(v, 2.0)) for d, v in rms.items()},
        "Error after ten episodes",
        "learning rate α",
        "root mean square error",
        yscale="linear",
        ylim=(0.2, 0.9),
        xscale="log",
    )
    return Experiment(
        "One step, whole episodes, and between",
        """Nineteen places in a row, −1 beyond the left end and +1 beyond the right. TD(0) learns each value from the next
        one, TD(1) from the return of the whole episode. After ten episodes the best is between: one step passes news on
        too slowly, whole returns are too noisy.""",
        [
            equals("exact value of the first place, −0.9", float(exact[0]), -0.9, 1e-10),
            at_most("lowest error of λ = 0.8 over that of λ = 0", lowest[0.8] / lowest[0.0], 1.0),
            at_most("lowest error of λ = 0.8 over that of λ = 1", lowest[0.8] / lowest[1.0], 1.0),
        ],
        figures=[
            drawn(
                made,
                "td-lambda",
                "Each curve has its own best rate.",
                "Errors against the learning rate for five values of lambda; those between reach lowest.",
            )
        ],
        tables=[Table("Lowest error over all rates", ["λ", "Error"], [[f"{d}", v] for d, v in lowest.items()])],
    )


CHAPTER = Chapter(
    "9.7",
    "Reinforcement learning",
    TEXT,
    (the_lake, by_playing, along_the_cliff, between_one_and_all, *policies.EXPERIMENTS),
    cover="the_lake",
)
