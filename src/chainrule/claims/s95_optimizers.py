"""Claims of 9.5 about Adam, RMSprop and AdaGrad: their recursions and what they do."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Matches, Same, distance, normals, run_rule
from chainrule.claims.s95_table import count, moving_target
from chainrule.optim import Rule

START, SCALES = np.array([1.5, -2.0, 0.7]), np.array([1.0, 8.0, 0.2])
STEPS = (0.1, 0.9, 0.95, 0.05)  # α, β₁, β₂, ε: far enough from zero for each to matter


def bowl_gradient(x: Any) -> Any:
    """Gradient of an elongated bowl with a ripple."""
    return SCALES * x + 0.3 * np.cos(3 * x)


ADAM: dict[str, Callable[..., Any]] = {
    "mean": lambda m, g, b: b * m + (1 - b) * g,
    "square": lambda v, g, b: b * v + (1 - b) * g**2,
    "mean, corrected": lambda m, b, k: m / (1 - b ** (k + 1)),
    "square, corrected": lambda v, b, k: v / (1 - b ** (k + 1)),
    "update": lambda x, m, v, a, eps: x - a / (np.sqrt(v) + eps) * m,
}


def adam_by_hand(steps: int, **parts: Any) -> Any:
    """Points of Adam from its five formulas, counted from k = 0 and with m and v zero at first."""
    f, (a, b1, b2, eps) = {**ADAM, **{k.replace("_", " "): v for k, v in parts.items()}}, STEPS
    x, m, v, out = START, 0 * START, 0 * START, [START]
    for k in range(steps):
        g = bowl_gradient(x)
        m, v = f["mean"](m, g, b1), f["square"](v, g, b2)
        x = f["update"](x, f["mean, corrected"](m, b1, k), f["square, corrected"](v, b2, k), a, eps)
        out.append(x)
    return np.array(out)


class Part:
    """With this formula in its place, does the recursion visit the points of the library's rule, over 30 steps?"""

    method = "The recursion is run by hand with the formula in its place, beside the library's rule."

    def __init__(self, rule: Rule, run: Callable[[int, Any], Any], name: str) -> None:
        self.points, self.run, self.name = run_rule(rule, bowl_gradient, START, 30), run, name

    def __call__(self, formula: Any) -> Finding:
        """Compare the points."""
        gap = distance(self.run(30, formula), self.points)
        return Finding(gap < 1e-9, {"largest difference": gap})


def adam_part(name: str) -> Part:
    """Adam with one formula exchanged."""
    rule = cr.optim.adam(STEPS[0], STEPS[1], STEPS[2], STEPS[3])
    return Part(rule, lambda n, formula: adam_by_hand(n, **{name: formula}), f"points of Adam ({name})")


def accumulating(square: Callable[..., Any], update: Callable[..., Any]) -> Any:
    """Points of RMSprop or AdaGrad."""

    def run(steps: int) -> Any:
        x, v, out = START, 0 * START, [START]
        for _ in range(steps):
            g = bowl_gradient(x)
            v = square(v, g)
            x = update(x, v, g)
            out.append(x)
        return np.array(out)

    return run


def rms_square(v: Any, g: Any) -> Any:
    """RMSprop's mean of squares."""
    return 0.9 * v + 0.1 * g**2


def scaled_step(x: Any, v: Any, g: Any) -> Any:
    """Epsilon outside the root."""
    return x - 0.1 / (np.sqrt(v) + 0.05) * g


RMS, ADA = cr.optim.rmsprop(0.1, 0.9, 0.05), cr.optim.adagrad(0.1, 0.05)


def steps_of(rule: Rule, gradients: Any) -> Any:
    """How the parameters move when these gradients come, one row after the other."""
    x = np.zeros(np.shape(gradients)[1])
    state, moves = rule.init(x), []
    for g in gradients:
        new, state = rule.step(x, g, state)
        moves.append(new - x)
        x = new
    return np.array(moves)


def has_momentum_and_own_rates(rule: Rule) -> tuple[bool, dict[str, float]]:
    """Does it go on when gradients stop, and make steps of one length for gradients of lengths 1 and 100?"""
    moves = steps_of(rule, np.array([[1.0, 100.0]] * 50 + [[0.0, 0.0]] * 5))
    coasting, ratio = abs(float(moves[50, 0])), float(moves[49, 1] / moves[49, 0])
    return coasting > 1e-3 and abs(ratio - 1) < 0.01, {"step without a gradient": coasting, "ratio of steps": ratio}


def rates_differ_by_parameter(rule: Rule) -> tuple[bool, dict[str, float]]:
    """With gradients of 1 and 100, is a step per gradient a hundred times as large for the first?"""
    moves = steps_of(rule, np.array([[1.0, 100.0]] * 50))
    ratio = float(moves[-1, 0] / (moves[-1, 1] / 100))
    return abs(ratio / 100 - 1) < 0.01, {"ratio of the rates": ratio}


def reaches_the_deeper_minimum(start: float) -> tuple[bool, dict[str, float]]:
    """Does Adam, with two large learning rates, pass the shallow minimum of a double well and end in the deeper one?"""
    ends = [float(run_rule(cr.optim.adam(a), lambda x: x**3 - x - 0.05, np.array([start]), 1000)[-1, 0]) for a in (0.32, 0.46)]
    return min(ends) > 0.9, {"smallest end": min(ends)}


def is_unbiased(estimate: Any) -> tuple[bool, dict[str, float]]:
    """For gradients of 1 or 5, each with probability ½, is the expectation of both estimates right after every one of six steps?"""
    worst = 0.0
    for k in range(6):
        m = v = 0.0
        for g in np.array(list(product((1.0, 5.0), repeat=k + 1))).T:
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        worst = max(worst, abs(float(np.mean(estimate(m, 0.9, k))) - 3), abs(float(np.mean(estimate(v, 0.99, k))) - 13))
    return worst < 1e-9, {"largest bias": worst}


def solves_the_problem_of_reddi(rule: Rule) -> tuple[bool, dict[str, float]]:
    """Gradients 4, -1, -1, 4, ... on [-1, 1], where the sum is least at -1: is x near -1 after 3 000 steps?"""
    x = np.array([0.0])
    state = rule.init(x)
    for k in range(3000):
        x, state = rule.step(x, np.array([4.0 if k % 3 == 0 else -1.0]), state)
        x = np.clip(x, -1, 1)
    return float(x[0]) < -0.9, {"x at the end": float(x[0])}


def slowing(k: Any) -> Any:
    """A learning rate that falls as 1/√k."""
    return 0.5 / np.sqrt(k + 1.0)


def ignores_the_scale(rule: Rule) -> tuple[bool, dict[str, float]]:
    """Are the points the same when the function is multiplied by 100?"""
    paths = [run_rule(rule, lambda x, s=s: s * bowl_gradient(x), START, 50) for s in (1.0, 100.0)]
    gap = distance(*paths)
    return gap < 1e-6, {"largest difference": gap}


def recovers_its_rate(rule: Rule) -> tuple[bool, dict[str, float]]:
    """After 100 gradients of 100 and 150 of 1, is a step per gradient what it is when all were 1, within a tenth?"""
    moves = steps_of(rule, np.array([[100.0]] * 100 + [[1.0]] * 150))
    ratio = float(moves[-1, 0] / steps_of(rule, np.ones((250, 1)))[-1, 0])
    return abs(ratio - 1) < 0.1, {"ratio of the rates": ratio}


def makes_steps_of_one_length(sizes: tuple[float, ...]) -> tuple[bool, dict[str, float]]:
    """With gradients of each of these sizes, is RMSprop's step after 100 of them α, within a tenth?"""
    lengths = [float(np.abs(steps_of(cr.optim.rmsprop(0.1), np.full((100, 1), s))[-1, 0])) for s in sizes]
    return max(abs(length / 0.1 - 1) for length in lengths) < 0.1, {"shortest": min(lengths), "longest": max(lengths)}


def adam_is_better(problems: tuple[str, ...]) -> tuple[bool, dict[str, float]]:
    """Each with its best of 25 learning rates, is Adam better than RMSprop on every one of these problems?"""
    found: dict[str, float] = {}
    for p in problems:
        for name, make in (("Adam", cr.optim.adam), ("RMSprop", cr.optim.rmsprop)):
            found[f"{name}, {p}"] = moving_target(make) if p == "moving target" else count(make, p)
    return all(found[f"Adam, {p}"] < found[f"RMSprop, {p}"] for p in problems), found


def rates_never_grow(rule: Rule) -> tuple[bool, dict[str, float]]:
    """Over 300 random gradients of changing size, does a step per gradient never grow?"""
    (g,) = normals(100, (300, 1))
    g = g * np.where(np.arange(300) < 100, 10.0, 0.1)[:, None]
    rates = np.abs(steps_of(rule, g) / g)
    growth = float(np.max(np.diff(rates, axis=0)))
    return growth <= 1e-9, {"largest growth": growth}


def suits_the_problem(problem: str) -> tuple[bool, dict[str, float]]:
    """Each with its best of 25 learning rates, does AdaGrad need at most half as many steps as plain descent?"""
    steps = {"AdaGrad": count(cr.optim.adagrad, problem), "descent": count(cr.optim.gradient_descent, problem)}
    return 2 * steps["AdaGrad"] <= steps["descent"], steps


def is_stuck_on_the_way(rule: Rule) -> tuple[bool, dict[str, float]]:
    """On a slope of one, is less than a tenth of what 2 000 steps of α would make covered?"""
    way = float(abs(np.sum(steps_of(rule, np.ones((2000, 1))))))
    return way < 0.1 * 2000 * 0.1, {"way": way, "2 000 α": 200.0}


CLAIMS = (
    Claim(
        id="9.5.adam.idea", lines=(478, 478), kind="property", verdict="true",
        statement="Adam combines momentum with a learning rate for each parameter.", latex=r"\text{Adam} = \text{momentum} + \text{RMSprop}",
        judge=Matches(has_momentum_and_own_rates), stated=cr.optim.adam(0.1), other=cr.optim.rmsprop(0.1),
    ),
    Claim(
        id="9.5.adam.momentum", lines=(480, 483), kind="update", verdict="true",
        statement="Adam keeps a running mean of the gradients.", latex=r"m_{k+1} = \beta_1 m_k + (1 - \beta_1) \nabla L(\theta_k)",
        judge=adam_part("mean"), stated=ADAM["mean"], other=lambda m, g, b: b * m + g,
        note="It starts from m₀ = 0, which is not said but which the bias correction rests on. A mean, unlike the sum of classical momentum.",
    ),
    Claim(
        id="9.5.adam.square", lines=(485, 488), kind="update", verdict="true",
        statement="It keeps a running mean of the squared gradients.", latex=r"v_{k+1} = \beta_2 v_k + (1 - \beta_2) (\nabla L(\theta_k))^2",
        judge=adam_part("square"), stated=ADAM["square"], other=lambda v, g, b: b * v + (1 - b) * np.sum(g**2),
        note="The square is taken element by element: v is a vector. It starts from v₀ = 0.",
    ),
    Claim(
        id="9.5.adam.mean_corrected", lines=(490, 493), kind="update", verdict="true",
        statement="The mean is divided by one minus the power of its decay.", latex=r"\hat m_{k+1} = \frac{m_{k+1}}{1 - \beta_1^{k+1}}",
        judge=adam_part("mean, corrected"), stated=ADAM["mean, corrected"], other=lambda m, b, k: m / (1 - b ** (k + 2)),
        note="The superscript is a power. With steps counted from k = 0, as here.",
    ),
    Claim(
        id="9.5.adam.square_corrected", lines=(495, 497), kind="update", verdict="true",
        statement="So is the mean of the squares.", latex=r"\hat v_{k+1} = \frac{v_{k+1}}{1 - \beta_2^{k+1}}",
        judge=adam_part("square, corrected"), stated=ADAM["square, corrected"], other=lambda v, b, k: v / (1 - b ** (k + 2)),
    ),
    Claim(
        id="9.5.adam.update", lines=(499, 502), kind="update", verdict="true",
        statement="A step is the learning rate times the corrected mean over the root of the corrected squares plus ε.",
        latex=r"\theta_{k+1} = \theta_k - \frac{\alpha}{\sqrt{\hat v_{k+1}} + \epsilon} \hat m_{k+1}",
        judge=adam_part("update"), stated=ADAM["update"], other=lambda x, m, v, a, eps: x - a / np.sqrt(v + eps) * m,
        note="Root and division element by element, ε outside the root.", source="Kingma and Ba 2015, algorithm 1",
    ),
    Claim(
        id="9.5.adam.own_rates", lines=(506, 506), kind="property", verdict="true",
        statement="Each parameter has a learning rate of its own.", latex=r"\alpha_i = \alpha / (\sqrt{\hat v_i} + \epsilon)",
        judge=Matches(rates_differ_by_parameter), stated=cr.optim.adam(0.1), other=cr.optim.momentum(0.1),
    ),
    Claim(
        id="9.5.adam.escape", lines=(507, 507), kind="property", verdict="conditional",
        statement="Momentum helps to escape local minima and saddle points.", latex=r"x_k \to \text{a deeper minimum}",
        judge=Matches(reaches_the_deeper_minimum), stated=-1.1, other=-3.0,
        note="If it arrives with speed, and the barrier is narrow against its steps. From within the shallow well it does not get out, and where "
        "the gradient is zero and nothing moves, as on a saddle, it stays.",
        note_latex=r"m_k \ne 0, \; \alpha \text{ large against the width}",
    ),
    Claim(
        id="9.5.adam.bias", lines=(508, 508), kind="property", verdict="true",
        statement="Bias correction makes up for the start from zero.", latex=r"E[m_k] = (1 - \beta_1^k) E[g] \;\Rightarrow\; E[\hat m_k] = E[g]",
        judge=Matches(is_unbiased), stated=lambda m, b, k: m / (1 - b ** (k + 1)), other=lambda m, b, k: m,
        note="Exactly where the gradients have one distribution throughout.",
    ),
    Claim(
        id="9.5.adam.robust", lines=(509, 509), kind="remark", verdict="conditional",
        statement="It works well across many problems.", latex=r"x_k \to x^*",
        judge=Matches(solves_the_problem_of_reddi), stated=cr.optim.adam(slowing, 0.0, 1 / 17), other=cr.optim.amsgrad(slowing, 0.0, 1 / 17),
        note="On many, by experience. For all decays with β₁ < √β₂ there are convex problems of one variable on which it goes to the worst point: rare "
        "large gradients are scaled down as they come, and with them what they say. With the largest v so far instead of the last it converges.",
        note_latex=r"\tilde v_k = \max(\tilde v_{k-1}, v_k)", source="Reddi, Kale and Kumar 2018, theorems 1 and 2",
    ),
    Claim(
        id="9.5.rmsprop.idea", lines=(515, 515), kind="property", verdict="true",
        statement="RMSprop adapts the rates to the size of the gradients.", latex=r"g \mapsto c\, g \text{ leaves the steps as they are}",
        judge=Matches(ignores_the_scale), stated=cr.optim.rmsprop(0.01, 0.9, 1e-14), other=cr.optim.gradient_descent(0.001),
    ),
    Claim(
        id="9.5.rmsprop.square", lines=(517, 520), kind="update", verdict="true",
        statement="RMSprop keeps a running mean of the squared gradients.", latex=r"v_{k+1} = \beta v_k + (1 - \beta) (\nabla L(\theta_k))^2",
        judge=Part(RMS, lambda n, f: accumulating(f, scaled_step)(n), "points of RMSprop (square)"),
        stated=rms_square, other=lambda v, g: 0.9 * v + g**2, note="Element by element.", source="Hinton, Srivastava and Swersky 2012",
    ),
    Claim(
        id="9.5.rmsprop.update", lines=(522, 525), kind="update", verdict="true",
        statement="A step is the learning rate times the gradient over the root of that mean plus ε.", latex=r"\theta_{k+1} = \theta_k - \frac{\alpha}{\sqrt{v_{k+1}} + \epsilon} \nabla L(\theta_k)",
        judge=Part(RMS, lambda n, f: accumulating(rms_square, f)(n), "points of RMSprop (update)"),
        stated=scaled_step, other=lambda x, v, g: x - 0.1 / np.sqrt(v + 0.05) * g,
        note="There is no bias correction: the first step is α/√(1 - β) long. Some libraries have ε inside the root.",
    ),
    Claim(
        id="9.5.rmsprop.adaptive", lines=(529, 529), kind="property", verdict="true",
        statement="Its rates follow the size of the gradients, up and down.", latex=r"\alpha_i \approx \alpha / \operatorname{rms}(g_i)",
        judge=Matches(recovers_its_rate), stated=cr.optim.rmsprop(0.1), other=cr.optim.adagrad(0.1),
    ),
    Claim(
        id="9.5.rmsprop.stability", lines=(530, 530), kind="property", verdict="conditional",
        statement="It helps with vanishing and exploding gradients.", latex=r"|\theta_{k+1} - \theta_k| \approx \alpha \text{ for every size of } g",
        judge=Matches(makes_steps_of_one_length), stated=(1e-12, 1.0, 1e6), other=(1e-4, 1.0, 1e6),
        note="It makes steps of one length of gradients that are large against ε. The gradients themselves still vanish and explode: what is rounded away or "
        "drowned in noise does not come back.",
        note_latex=r"|g_i| \gg \epsilon", source="Pascanu, Mikolov and Bengio 2013",
    ),
    Claim(
        id="9.5.rmsprop.simplicity", lines=(531, 531), kind="remark", verdict="imprecise",
        statement="It is simpler than Adam, but less effective.", latex=r"\text{RMSprop} \prec \text{Adam}",
        judge=Matches(adam_is_better), stated=("rotated bowl", "moving target"), other=("rotated bowl",),
        note="Simpler, yes: one running mean instead of two. Which is more effective depends on the problem: where the minimum moves, Adam's momentum lags behind.",
    ),
    Claim(
        id="9.5.adagrad.idea", lines=(537, 537), kind="property", verdict="true",
        statement="AdaGrad adds up squared gradients.", latex=r"v_k = \sum_{j < k} g_j^2",
        judge=Same(lambda n: steps_of(cr.optim.adagrad(0.1, 0.0), normals(101, (n, 2))[0]), [(1,), (7,), (40,)], "the library's steps"),
        stated=lambda n: -0.1 * normals(101, (n, 2))[0] / np.sqrt(np.cumsum(normals(101, (n, 2))[0] ** 2, axis=0)),
        other=lambda n: -0.1 * normals(101, (n, 2))[0] / np.cumsum(np.abs(normals(101, (n, 2))[0]), axis=0),
    ),
    Claim(
        id="9.5.adagrad.square", lines=(539, 542), kind="update", verdict="true",
        statement="The sum grows by each squared gradient.", latex=r"v_{k+1} = v_k + (\nabla L(\theta_k))^2",
        judge=Part(ADA, lambda n, f: accumulating(f, scaled_step)(n), "points of AdaGrad (square)"),
        stated=lambda v, g: v + g**2, other=lambda v, g: v + np.sum(g**2), note="Element by element, from v₀ = 0.",
        source="Duchi, Hazan and Singer 2011",
    ),
    Claim(
        id="9.5.adagrad.update", lines=(544, 547), kind="update", verdict="true",
        statement="A step is the learning rate times the gradient over the root of the sum plus ε.", latex=r"\theta_{k+1} = \theta_k - \frac{\alpha}{\sqrt{v_{k+1}} + \epsilon} \nabla L(\theta_k)",
        judge=Part(ADA, lambda n, f: accumulating(lambda v, g: v + g**2, f)(n), "points of AdaGrad (update)"),
        stated=scaled_step, other=lambda x, v, g: x - 0.1 / (v + 0.05) * g,
    ),
    Claim(
        id="9.5.adagrad.monotonic", lines=(551, 551), kind="property", verdict="true",
        statement="Its rates never rise.", latex=r"v_{k+1} \ge v_k",
        judge=Matches(rates_never_grow), stated=cr.optim.adagrad(0.1), other=cr.optim.rmsprop(0.1),
        note="With a constant α. They stay where a gradient is zero.",
    ),
    Claim(
        id="9.5.adagrad.sparse", lines=(552, 552), kind="property", verdict="true",
        statement="It works well with sparse gradients.", latex=r"\alpha_i \propto 1 / \sqrt{\#\{k : g_{k,i} \ne 0\}}",
        judge=Matches(suits_the_problem), stated="rare features", other="round bowl",
        note="Features that are seen rarely keep large rates.", source="Duchi, Hazan and Singer 2011",
    ),
    Claim(
        id="9.5.adagrad.limitation", lines=(553, 553), kind="property", verdict="true",
        statement="Its rates can become too small.", latex=r"\alpha_k \sim \alpha / \sqrt{k}",
        judge=Matches(is_stuck_on_the_way), stated=cr.optim.adagrad(0.1), other=cr.optim.rmsprop(0.1),
        note="On a steady slope k steps cover about 2α√k. Their sum is infinite, so for convex functions it still converges.",
    ),
)  # fmt: skip
