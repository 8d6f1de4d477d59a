"""Claims of 9.5's table that compares optimisers, cell by cell; and problems on which they are compared."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

import chainrule as cr
from chainrule.build.tree import flatten
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Matches, normals
from chainrule.optim import Rule

RATES = np.logspace(-3, 1, 25)[:, None]  # all learning rates are tried at once, one per row of the parameters
MOST = 1500
Maker = Callable[[Any], Rule]


class Problem(NamedTuple):
    """Function and gradient of many points (rows) at once, a start, and a value to get below."""

    f: Callable[[Any], Any]
    gradient: Callable[[Any], Any]
    start: Any
    target: float


def bowl(curvatures: Any, turn: Any, target: float) -> Problem:
    """A quadratic with these curvatures along the columns of `turn`."""
    h = turn @ np.diag(curvatures) @ turn.T
    start = normals(110, (10,))[0]
    return Problem(lambda x: 0.5 * np.einsum("ki,ij,kj->k", x, h, x), lambda x: x @ h, start + np.sign(start), target)


def rare_features() -> Problem:
    """Logistic regression on 0-1 features, the rarest of which is one in 200 examples; 0.001 above the least value."""
    rng = np.random.default_rng(111)
    x = (rng.random((400, 40)) < 0.5 * np.logspace(0, -2, 40)) * 1.0
    y = np.where(x @ rng.standard_normal(40) + 0.1 * rng.standard_normal(400) > 0, 1.0, -1.0)
    f = lambda t: np.mean(np.logaddexp(0, -y * (t @ x.T)), axis=1) + 1e-4 * np.sum(t * t, axis=1)
    gradient = lambda t: (-y / (1 + np.exp(y * (t @ x.T)))) @ x / 400 + 2e-4 * t
    least: Any = optimize.minimize(
        lambda t: f(t[None])[0], np.zeros(40), jac=lambda t: gradient(t[None])[0], options={"gtol": 1e-8}
    )
    return Problem(f, gradient, np.zeros(40), float(least.fun) + 1e-3)


@cache
def problem(name: str) -> Problem:
    """A problem by name."""
    turn = np.linalg.qr(normals(112, (10, 10))[0])[0]
    if name == "rare features":
        return rare_features()
    if name == "round bowl":
        return bowl(np.linspace(1, 2, 10), turn, 1e-6)
    return bowl(np.logspace(0, -3, 10), np.eye(10) if name == "bowl along the axes" else turn, 1e-4)


@cache
def count(make: Maker, name: str) -> float:
    """How many steps the best of 25 learning rates needs to get below the target."""
    p = problem(name)
    x = np.tile(p.start, (len(RATES), 1))
    rule = make(lambda _: RATES)
    state = rule.init(x)
    for k in range(1, MOST + 1):
        x, state = rule.step(x, p.gradient(x), state)
        if np.nanmin(p.f(x)) < p.target:
            return float(k)
    return MOST + 1.0


def moving_target(make: Maker) -> float:
    """Mean squared distance from a minimum that jumps between 1 and -1 every 20 steps, for the best of 25 learning rates."""
    x = np.zeros((len(RATES), 1))
    rule = make(lambda _: RATES)
    state, total = rule.init(x), np.zeros(len(RATES))
    for k in range(400):
        c = 1.0 if (k // 20) % 2 == 0 else -1.0
        total = total + (x[:, 0] - c) ** 2
        x, state = rule.step(x, 2 * (x - c), state)
    return float(np.nanmin(total / 400))


def goes_on_at_a_linear_rate(noise: float) -> tuple[bool, dict[str, float]]:
    """SGD with a constant rate on least squares: does the squared distance go on falling, to below 10⁻²⁰ after 4 000 steps?"""
    x, e = normals(113, (50, 3), (50,))
    y, rng, t, errors = x @ np.array([1.0, -2.0, 0.5]) + noise * e, np.random.default_rng(114), np.zeros(3), list[float]()
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    for k, i in enumerate(rng.integers(0, 50, 4001)):
        if k % 2000 == 0:
            errors.append(float(np.sum((t - best) ** 2)))
        t = t - 0.05 * (x[i] @ t - y[i]) * x[i]
    return errors[2] < 1e-20, {"after 2 000 steps": errors[1], "after 4 000": errors[2]}


class Memory:
    """Does the state of the rule hold this many numbers for each parameter?"""

    method = "The arrays in the state of the library's rule are counted."

    def __init__(self, rule: Rule, name: str) -> None:
        self.rule, self.name = rule, f"numbers that {name} keeps per parameter"

    def __call__(self, numbers: int) -> Finding:
        """Count, for two shapes."""
        kept = {sum(np.size(s) for s in flatten(self.rule.init(np.zeros(n)))[0] if np.size(s) == n) / n for n in (50, 700)}
        return Finding(kept == {float(numbers)}, {"per parameter": max(kept)})


class Settings:
    """Do runs that agree in these settings visit the same points, whatever the others are?"""

    method = "Each setting that is not listed is changed in turn; the points must not change."

    def __init__(self, run: Callable[..., Any], usual: dict[str, float], changed: dict[str, float], name: str) -> None:
        self.run, self.usual, self.changed, self.name = run, usual, changed, f"settings of {name}"

    def __call__(self, listed: tuple[str, ...]) -> Finding:
        """Change the others."""
        base, moved = self.run(**self.usual), {}
        for setting in set(self.usual) - set(listed):
            other = self.run(**{**self.usual, setting: self.changed[setting]})
            moved[f"change by {setting}"] = float(np.max(np.abs(other - base)))
        return Finding(max(moved.values(), default=0.0) < 1e-9, moved)


def by_rule(make: Callable[..., Rule]) -> Callable[..., Any]:
    """The end of 40 steps on a bowl that narrows."""

    def run(**settings: float) -> Any:
        rule, x = make(**settings), np.array([1.0, -2.0])
        state = rule.init(x)
        for _ in range(40):
            x, state = rule.step(x, np.array([0.05, 3.0]) * x, state)
        return x

    return run


def by_sgd(learning_rate: float, batch_size: float) -> Any:
    """The end of 40 steps of SGD."""
    x, y = normals(115, (64, 2), (64,))
    rng, t = np.random.default_rng(116), np.zeros(2)
    for _ in range(40):
        rows = rng.integers(0, 64, int(batch_size))
        t = t - learning_rate * x[rows].T @ (x[rows] @ t - y[rows]) / batch_size
    return t


def beats_descent(name: str) -> tuple[bool, dict[str, float]]:
    """Each with its best of 25 learning rates, does Adam need fewer steps than plain gradient descent?"""
    steps = {"Adam": count(cr.optim.adam, name), "descent": count(cr.optim.gradient_descent, name)}
    return steps["Adam"] < steps["descent"], steps


def lies_between(name: str) -> tuple[bool, dict[str, float]]:
    """Each with its best of 25 learning rates, does RMSprop need more steps than Adam and fewer than plain descent?"""
    makers: dict[str, Maker] = {"Adam": cr.optim.adam, "RMSprop": cr.optim.rmsprop, "descent": cr.optim.gradient_descent}
    steps = {who: count(make, name) for who, make in makers.items()}
    return steps["Adam"] < steps["RMSprop"] < steps["descent"], steps


def is_the_slowest(name: str) -> tuple[bool, dict[str, float]]:
    """Each with its best of 25 learning rates, does AdaGrad need more than twice as many steps as Adam?"""
    steps = {"AdaGrad": count(cr.optim.adagrad, name), "Adam": count(cr.optim.adam, name)}
    return steps["AdaGrad"] > 2 * steps["Adam"], steps


ADAM_USUAL = {"learning_rate": 0.05, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}

CLAIMS = (
    Claim(
        id="9.5.table.sgd.convergence", lines=(559, 559), kind="table", verdict="false",
        statement="SGD converges linearly.", latex=r"E\|\theta_k - \theta^*\|^2 \le C \rho^k",
        judge=Matches(goes_on_at_a_linear_rate), stated=0.5, other=0.0,
        note="With a constant rate it stops at a floor of the noise, with falling rates it converges like 1/k at best. Linear convergence needs strong convexity and exact "
        "gradients, or noise that vanishes at the minimum.",
        note_latex=r"E\|\theta_k - \theta^*\|^2 \le C \rho^k + O(\alpha \sigma^2)", source="Bottou, Curtis and Nocedal 2018, theorems 4.6 and 4.7",
    ),
    Claim(
        id="9.5.table.sgd.memory", lines=(559, 559), kind="table", verdict="true",
        statement="SGD needs little memory: nothing but the parameters and the gradient.", latex=r"0 \cdot d",
        judge=Memory(cr.optim.sgd(0.1), "SGD"), stated=0, other=1,
    ),
    Claim(
        id="9.5.table.sgd.settings", lines=(559, 559), kind="table", verdict="imprecise",
        statement="The learning rate is SGD's only hyperparameter.", latex=r"\alpha",
        judge=Settings(by_sgd, {"learning_rate": 0.1, "batch_size": 4}, {"learning_rate": 0.2, "batch_size": 8}, "SGD"),
        stated=("learning_rate",), other=("learning_rate", "batch_size"),
        note="The size of the mini-batch is one too, and the schedule, if the rate is to fall.", note_latex=r"\alpha_k, B",
    ),
    Claim(
        id="9.5.table.adam.convergence", lines=(560, 560), kind="table", verdict="not_checkable",
        statement="Adam converges fast.", latex=r"k_{\text{Adam}} < k_{\text{SGD}}",
        judge=Matches(beats_descent), stated="round bowl", other="rotated bowl",
        note="Fast is no rate. On an elongated bowl it needs a ninth of the steps of plain descent or fewer, on a round one many times as many; and there are convex problems "
        "on which it does not converge.",
        source="Reddi, Kale and Kumar 2018",
    ),
    Claim(
        id="9.5.table.adam.memory", lines=(560, 560), kind="table", verdict="imprecise",
        statement="Adam needs as much memory as RMSprop and AdaGrad.", latex=r"1 \cdot d",
        judge=Memory(cr.optim.adam(0.1), "Adam"), stated=1, other=2,
        note="Twice as much: two running means for each parameter, where the others have one.", note_latex=r"2 d",
    ),
    Claim(
        id="9.5.table.adam.settings", lines=(560, 560), kind="table", verdict="imprecise",
        statement="Adam's hyperparameters are the learning rate and two decays.", latex=r"\alpha, \beta_1, \beta_2",
        judge=Settings(by_rule(cr.optim.adam), ADAM_USUAL, {"eps": 0.1}, "Adam"),
        stated=("learning_rate", "beta1", "beta2"), other=("learning_rate", "beta1", "beta2", "eps"),
        note="And ε, which stands in its update and matters where gradients are small.", note_latex=r"\alpha, \beta_1, \beta_2, \epsilon",
    ),
    Claim(
        id="9.5.table.rmsprop.convergence", lines=(561, 561), kind="table", verdict="not_checkable",
        statement="RMSprop converges at a medium speed.", latex=r"k_{\text{Adam}} < k_{\text{RMSprop}} < k_{\text{SGD}}",
        judge=Matches(lies_between), stated="round bowl", other="rare features",
        note="Medium is no rate, and the order depends on the problem. With a constant learning rate it does not converge in general: its last steps stay about α long.",
    ),
    Claim(
        id="9.5.table.rmsprop.memory", lines=(561, 561), kind="table", verdict="true",
        statement="RMSprop needs one number more for each parameter.", latex=r"1 \cdot d",
        judge=Memory(cr.optim.rmsprop(0.1), "RMSprop"), stated=1, other=0,
    ),
    Claim(
        id="9.5.table.rmsprop.settings", lines=(561, 561), kind="table", verdict="imprecise",
        statement="RMSprop's hyperparameters are the learning rate and one decay.", latex=r"\alpha, \beta",
        judge=Settings(by_rule(cr.optim.rmsprop), {"learning_rate": 0.05, "decay": 0.9, "eps": 1e-8}, {"eps": 0.1}, "RMSprop"),
        stated=("learning_rate", "decay"), other=("learning_rate", "decay", "eps"),
        note="And ε, which stands in its update.", note_latex=r"\alpha, \beta, \epsilon",
    ),
    Claim(
        id="9.5.table.adagrad.convergence", lines=(562, 562), kind="table", verdict="not_checkable",
        statement="AdaGrad converges slowly.", latex=r"k_{\text{AdaGrad}} > 2 k_{\text{Adam}}",
        judge=Matches(is_the_slowest), stated="rare features", other="rotated bowl",
        note="Slow is no rate. On an elongated bowl it is; with rare features it is the fastest of all here. Its regret on convex problems grows as √k, the best there is in general.",
        source="Duchi, Hazan and Singer 2011, theorem 5",
    ),
    Claim(
        id="9.5.table.adagrad.memory", lines=(562, 562), kind="table", verdict="true",
        statement="AdaGrad needs one number more for each parameter.", latex=r"1 \cdot d",
        judge=Memory(cr.optim.adagrad(0.1), "AdaGrad"), stated=1, other=2,
    ),
    Claim(
        id="9.5.table.adagrad.settings", lines=(562, 562), kind="table", verdict="imprecise",
        statement="The learning rate is AdaGrad's only hyperparameter.", latex=r"\alpha",
        judge=Settings(by_rule(cr.optim.adagrad), {"learning_rate": 0.05, "eps": 1e-10}, {"eps": 0.1}, "AdaGrad"),
        stated=("learning_rate",), other=("learning_rate", "eps"),
        note="And ε, which stands in its update; some libraries start the sum above zero, which is another.", note_latex=r"\alpha, \epsilon",
    ),
)  # fmt: skip
