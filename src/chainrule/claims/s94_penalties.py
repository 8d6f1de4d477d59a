"""Claims of 9.4 about penalties: L2, L1 and the elastic net."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Derivative, Matches, Proof, Same, above, normals

LAM, ALPHA = 0.3, 0.1
POINTS = [(t,) for t in normals(70, (4,), (4,))]
X = normals(71, (30, 4))[0]
Y = X @ np.array([1.0, -2.0, 0.0, 0.5]) + 0.3 * normals(72, (30,))[0]


def data_loss(t: Any) -> Any:
    """Half the mean squared error."""
    return 0.5 * np.mean((X @ t - Y) ** 2)


def ridge_penalty(t: Any) -> Any:
    """λ/2 times the squared norm."""
    return 0.5 * LAM * np.sum(t**2)


def lasso_penalty(t: Any) -> Any:
    """λ times the sum of absolute values."""
    return LAM * np.sum(np.abs(t))


def norm(*numbers: Any) -> Any:
    """The Euclidean norm of symbols, by SymPy."""
    import sympy as sp

    return sp.Matrix(numbers).norm()


def step_on_the_sum(penalty: Any) -> Any:
    """Plain descent on the loss plus this penalty, by automatic differentiation."""
    return lambda t: t - ALPHA * cr.grad(lambda t: data_loss(t) + penalty(t))(t)


def never_grows(measure: Any) -> tuple[bool, dict[str, float]]:
    """Along the path of ridge solutions, with strength rising from 0 to 100 and two features that correlate: does this never grow?"""
    h = np.array([[1.0, 0.9], [0.9, 1.0]])
    path = [np.linalg.solve(h + s * np.eye(2), h @ np.array([5.0, 0.0])) for s in np.concatenate([[0.0], np.logspace(-2, 2, 60)])]
    growth = float(np.max(np.diff([measure(t) for t in path], axis=0)))
    return growth <= 1e-12, {"largest growth": growth}


def ridge(x: Any, y: Any, strength: float) -> Any:
    """Minimiser of the squared error plus strength times the squared norm."""
    return np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ y)


def by_validation(x: Any, y: Any) -> float:
    """The strength with the least error when each example is left out once."""
    grid = np.logspace(-2, 2, 9)

    def error(s: float) -> float:
        hat = x @ np.linalg.solve(x.T @ x + s * np.eye(x.shape[1]), x.T)
        return float(np.mean(((y - hat @ y) / (1 - np.diag(hat))) ** 2))

    return float(min(grid, key=error))


def small_data(seed: int) -> tuple[Any, Any, Any]:
    """20 noisy examples with 15 features, and the true coefficients."""
    x, true, noise = normals(seed, (20, 15), (15,), (20,))
    return x, x @ true * 0.5 + 0.7 * noise, true * 0.5


def reduces_the_error_on_new_data(strength: Any) -> Finding:
    """Is the expected error on new data below that of least squares, over 150 data sets?"""
    gains = []
    for seed in range(1000, 1150):
        x, y, true = small_data(seed)
        plain, kept = (np.sum((ridge(x, y, s) - true) ** 2) for s in (0.0, strength(x, y)))
        gains.append(min(float(plain - kept), 20.0))  # least squares can be off by any amount: its tail must not decide
    return above(gains)


def same_slope_on_both_sides(penalty: Any) -> tuple[bool, dict[str, float]]:
    """At zero, is the slope of loss plus penalty the same from the left and from the right?"""
    f = lambda s: 0.5 * (s - 1) ** 2 + penalty(s)
    jump = abs((f(1e-7) - f(0.0)) / 1e-7 - (f(0.0) - f(-1e-7)) / 1e-7)
    return jump < 1e-5, {"jump of the slope": float(jump)}


def has_two_slopes(penalty: Any) -> tuple[bool, dict[str, float]]:
    """At zero, do the slopes from the left and from the right differ?"""
    same, numbers = same_slope_on_both_sides(penalty)
    return not same, numbers


def recognises_the_minimiser(subgradients: Any) -> tuple[bool, dict[str, float]]:
    """Is zero among slopes plus subgradients just at the minimiser of ½(t - b)² + λ|t|, which is known, and not 0.1 beside it?"""
    missed = accepted = 0
    for b in (-2.0, -0.2, 0.0, 0.1, 0.29, 0.7):
        best = np.sign(b) * max(abs(b) - LAM, 0.0)
        for t in (best, best + 0.1, best - 0.1):
            low, high = subgradients(t)
            zero = t - b + low <= 1e-12 and t - b + high >= -1e-12
            missed += t == best and not zero
            accepted += t != best and zero
    return missed == accepted == 0, {"minimisers missed": missed, "other points accepted": accepted}


def settles_at_the_minimiser(rate: Any) -> tuple[bool, dict[str, float]]:
    """Do subgradient steps on ½(t - 0.2)² + 0.3|t| end within 0.001 of the minimiser 0, and stay for the last 100 steps?"""
    t, far = 1.0, 0.0
    for k in range(5000):
        t = t - rate(k) * (t - 0.2) - rate(k) * LAM * np.sign(t)
        far = max(far, abs(t)) if k >= 4900 else 0.0
    return far < 1e-3, {"largest distance in the last steps": far}


def sparse_problem() -> tuple[Any, Any]:
    """Twelve features, of which three count; the least-squares loss as its Hessian and linear term."""
    x, noise = normals(73, (80, 12), (80,))
    y = x[:, :3] @ np.array([2.0, -1.5, 1.0]) + 0.3 * noise
    return x.T @ x / 80, x.T @ y / 80


def makes_exact_zeros(step: Any) -> tuple[bool, dict[str, float]]:
    """After 3 000 steps on a lasso problem, is at least half of the nine idle coefficients exactly zero?"""
    h, c = sparse_problem()
    t = np.zeros(12) + 0.1
    for _ in range(3000):
        t = step(t, h @ t - c, 0.2)
    zeros = int(np.sum(t == 0))
    return zeros >= 5, {"exact zeros": zeros, "below 0.01": float(np.sum(np.abs(t) < 0.01))}


def subgradient_step(t: Any, g: Any, alpha: float) -> Any:
    """As it is stated."""
    return t - alpha * g - alpha * LAM * np.sign(t)


def proximal_step(t: Any, g: Any, alpha: float) -> Any:
    """A gradient step on the loss, then soft thresholding."""
    v = t - alpha * g
    return np.sign(v) * np.maximum(np.abs(v) - alpha * LAM, 0.0)


def net(x: Any, y: Any, l1: float, l2: float, start: Any = 0.0, steps: int = 3000) -> Any:
    """Minimiser of half the mean squared error plus l1 ‖t‖₁ + l2 ‖t‖², by proximal gradient; x and y may be stacks of problems."""
    h = np.swapaxes(x, -1, -2) @ x / x.shape[-2]
    c = np.einsum("...ij,...i->...j", x, y) / x.shape[-2]
    step = 1 / float(np.max(np.linalg.eigvalsh(h)))
    t = np.zeros_like(c) + start
    for _ in range(steps):
        v = t - step * (np.einsum("...ij,...j->...i", h, t) - c)
        t = np.sign(v) * np.maximum(np.abs(v) - step * l1, 0.0) / (1 + 2 * step * l2)
    return t


def drops_idle_features(strengths: tuple[float, float]) -> Finding:
    """Over 50 data sets, is more than half of the idle features given a coefficient of exactly zero, on average?"""
    x, noise = normals(74, (50, 60, 8), (50, 60))
    t = net(x, x[..., :3] @ np.array([2.0, -1.5, 1.0]) + 0.5 * noise, *strengths, steps=400)
    kept = float(np.mean(t[:, :3] != 0))
    found = above(np.mean(t[:, 3:] == 0, axis=1), 0.5)
    return Finding(found.holds and kept > 0.99, {**found.numbers, "features that count, kept": kept})


def least_at(t: float) -> Any:
    """Where ½(s - t)² plus a penalty of one number is least, by search."""

    def place(penalty: Any) -> float:
        grid = np.linspace(-3, 3, 601)
        s = grid[np.argmin([0.5 * (s - t) ** 2 + penalty(s) for s in grid])]
        found: Any = optimize.minimize_scalar(
            lambda s: 0.5 * (s - t) ** 2 + penalty(s), bounds=(s - 0.01, s + 0.01), method="bounded", options={"xatol": 1e-10}
        )
        return float(found.x)

    return place


def is_least_at_the_known_place(penalty: Any) -> tuple[bool, dict[str, float]]:
    """Is ½(s - t)² + R(s) least where Zou and Hastie say: at the soft threshold of t, divided by 1 + 2 λ₂?"""
    gaps = [abs(least_at(t)(penalty) - np.sign(t) * max(abs(t) - 0.2, 0) / 1.8) for t in (-2.0, 0.1, 0.7, 1.5)]
    return max(gaps) < 1e-5, {"largest difference": float(max(gaps))}


def twins(seed: int, n: int = 40, noise: float = 0.01) -> tuple[Any, Any]:
    """Two nearly equal features, four others, of which two are idle."""
    x, e, f = normals(seed, (n, 6), (n,), (n,))
    x[:, 1] = x[:, 0] + noise * e
    return x, 2 * x[:, 0] + x[:, 2] - x[:, 3] + 0.5 * f


def is_sparse_and_unique(strengths: tuple[float, float]) -> tuple[bool, dict[str, float]]:
    """With a feature twice in the data: do two starts end at the same coefficients, with exact zeros?"""
    x, y = twins(75, noise=0.0)
    ends = [net(x, y, *strengths, start=s) for s in (np.array([3.0, 0, 0, 0, 0, 0]), np.array([0, 3.0, 0, 0, 0, 0]))]
    gap, zeros = float(np.max(np.abs(ends[0] - ends[1]))), int(np.sum(ends[0] == 0))
    return gap < 1e-6 and zeros >= 1, {"difference by start": gap, "exact zeros": zeros}


def shares_among_twins(strengths: tuple[float, float]) -> tuple[bool, dict[str, float]]:
    """Do two features with correlation 0.9999 get coefficients that differ by less than a tenth, in each of ten data sets?"""
    x, y = (np.stack(parts) for parts in zip(*[twins(seed) for seed in range(80, 90)], strict=True))
    t = net(x, y, *strengths)[:, :2]
    worst = float(np.max(np.abs(t[:, 0] - t[:, 1]) / np.max(np.abs(t), axis=1)))
    return worst < 0.1, {"largest relative difference": worst}


def steadier_than_lasso(strengths: tuple[float, float]) -> Finding:
    """Between pairs of data sets from one source, do coefficients differ less than the lasso's do?"""
    x, y = (np.stack(parts) for parts in zip(*[twins(seed, noise=0.1) for seed in range(2000, 2100)], strict=True))
    spread = lambda t: np.sum((t[::2] - t[1::2]) ** 2, axis=1)
    return above(spread(net(x, y, 0.1, 0.0, steps=1500)) - spread(net(x, y, *strengths, steps=1500)))


CLAIMS = (
    Claim(
        id="9.4.l2.definition", lines=(362, 365), kind="definition", verdict="true",
        statement="The L2 penalty is half λ times the squared norm, which is the sum of squares.", latex=r"R = \tfrac{\lambda}{2} \|\theta\|_2^2 = \tfrac{\lambda}{2} \sum_i \theta_i^2",
        judge=Proof(lambda a, b, s: s * (a**2 + b**2) / 2, "a b s", "half the squared norm"), stated=lambda a, b, s: s / 2 * norm(a, b) ** 2, other=lambda a, b, s: s / 2 * norm(a, b),
    ),
    Claim(
        id="9.4.l2.gradient", lines=(367, 370), kind="derivative", verdict="true",
        statement="Its gradient is λ times the parameters.", latex=r"\nabla R = \lambda \theta",
        judge=Derivative(ridge_penalty, POINTS), stated=lambda t: LAM * t, other=lambda t: 2 * LAM * t,
    ),
    Claim(
        id="9.4.l2.update", lines=(372, 375), kind="update", verdict="true",
        statement="A step follows the gradient of the loss plus λ times the parameters.", latex=r"\theta_{k+1} = \theta_k - \alpha (\nabla L(\theta_k) + \lambda \theta_k)",
        judge=Same(step_on_the_sum(ridge_penalty), POINTS, "descent on loss plus penalty"),
        stated=lambda t: t - ALPHA * (cr.grad(data_loss)(t) + LAM * t), other=lambda t: t - ALPHA * cr.grad(data_loss)(t) - LAM * t,
        note="L must not contain the penalty, as it does in the introduction. For plain gradient descent it is the same as weight decay by 1 - αλ; for Adam it is not.",
    ),
    Claim(
        id="9.4.l2.shrinks", lines=(378, 378), kind="property", verdict="imprecise",
        statement="It shrinks the parameters towards zero.", latex=r"|\theta_i(\lambda)| \text{ falls with } \lambda",
        judge=Matches(never_grows), stated=np.abs, other=lambda t: np.array([np.linalg.norm(t)]),
        note="The norm of the solution falls as λ rises; a single parameter may grow on the way, where features correlate.",
        note_latex=r"\|\theta(\lambda)\|_2 \text{ falls with } \lambda", source="Hoerl and Kennard 1970",
    ),
    Claim(
        id="9.4.l2.overfitting", lines=(379, 379), kind="remark", verdict="conditional",
        statement="It prevents overfitting.", latex=r"E\|\theta(\lambda) - \theta^*\|^2 < E\|\theta(0) - \theta^*\|^2",
        judge=reduces_the_error_on_new_data, stated=lambda x, y: 1e4, other=by_validation,
        note="It reduces it if λ is chosen well, by validation say: there always is a λ > 0 that is better than none. Too large a λ is worse than none.",
        source="Hoerl and Kennard 1970",
    ),
    Claim(
        id="9.4.l2.differentiable", lines=(380, 380), kind="property", verdict="true",
        statement="Loss and penalty together stay differentiable.", latex=r"\theta^2 \in C^\infty",
        judge=Matches(same_slope_on_both_sides), stated=lambda s: 0.5 * LAM * s * s, other=lambda s: LAM * abs(s),
        note="If the loss is.",
    ),
    Claim(
        id="9.4.l1.definition", lines=(384, 387), kind="definition", verdict="true",
        statement="The L1 penalty is λ times the sum of absolute values.", latex=r"R = \lambda \|\theta\|_1 = \lambda \sum_i |\theta_i|",
        judge=Same(lambda t: LAM * np.linalg.norm(t, 1), POINTS, "λ times NumPy's 1-norm"), stated=lasso_penalty, other=lambda t: LAM * np.abs(np.sum(t)),
    ),
    Claim(
        id="9.4.l1.subgradient", lines=(389, 392), kind="derivative", verdict="imprecise",
        statement="Its subgradient is λ times the sign of each parameter.", latex=r"\frac{\partial R}{\partial \theta_i} = \lambda \operatorname{sign}(\theta_i)",
        judge=Matches(recognises_the_minimiser), stated=lambda t: (LAM * np.sign(t), LAM * np.sign(t)),
        other=lambda t: (LAM * np.sign(t), LAM * np.sign(t)) if t else (-LAM, LAM),
        note="Where a parameter is zero every number from -λ to λ is a subgradient; sign(0) = 0 is one of them. With that one alone a minimiser with "
        "zeros does not look like one.",
        note_latex=r"\partial |\theta_i| = \{\operatorname{sign} \theta_i\} \text{ for } \theta_i \ne 0, \quad [-1, 1] \text{ at } 0", source="Rockafellar 1970, section 23",
    ),
    Claim(
        id="9.4.l1.update", lines=(394, 397), kind="update", verdict="conditional",
        statement="A step follows the gradient of the loss plus λ times the signs.", latex=r"\theta_{k+1} = \theta_k - \alpha \nabla L(\theta_k) - \alpha \lambda \operatorname{sign}(\theta_k)",
        judge=Matches(settles_at_the_minimiser), stated=lambda k: 0.1, other=lambda k: 1 / (k + 2),
        note="It is a subgradient step: with a constant α it keeps jumping over zero by about αλ. It converges for steps that tend to zero and sum to "
        "infinity; the proximal step converges with a constant one.",
        note_latex=r"\theta_{k+1} = S_{\alpha\lambda}(\theta_k - \alpha \nabla L(\theta_k)), \; S_t(v) = \operatorname{sign}(v) \max(|v| - t, 0)",
        source="Beck and Teboulle 2009",
    ),
    Claim(
        id="9.4.l1.sparsity", lines=(400, 400), kind="property", verdict="conditional",
        statement="Many parameters become exactly zero.", latex=r"\theta_i = 0",
        judge=Matches(makes_exact_zeros), stated=subgradient_step, other=proximal_step,
        note="Those of the minimiser, for λ large enough, and those of the proximal step. The update rule that is given never lands on zero: it has small numbers instead.",
        note_latex=r"|\partial_i L(\theta)| < \lambda \Rightarrow \theta_i = 0",
    ),
    Claim(
        id="9.4.l1.selection", lines=(401, 401), kind="property", verdict="true",
        statement="It selects features.", latex=r"\theta_i = 0 \text{ for idle features}",
        judge=drops_idle_features, stated=(0.2, 0.0), other=(0.0, 0.2),
        note="A selection; that it is the right one needs features that do not correlate too much with those that count.", source="Zhao and Yu 2006",
    ),
    Claim(
        id="9.4.l1.kink", lines=(402, 402), kind="property", verdict="true",
        statement="It is not differentiable at zero.", latex=r"|s|'(0^-) = -1 \ne 1 = |s|'(0^+)",
        judge=Matches(has_two_slopes),
        stated=lambda s: LAM * abs(s), other=lambda s: LAM * s * s,
        note="Wherever any one parameter is zero.",
    ),
    Claim(
        id="9.4.elastic.definition", lines=(406, 409), kind="definition", verdict="true",
        statement="The elastic net is λ₁ times the sum of absolute values plus λ₂ times the sum of squares.", latex=r"R = \lambda_1 \|\theta\|_1 + \lambda_2 \|\theta\|_2^2",
        judge=Matches(is_least_at_the_known_place), stated=lambda s: 0.2 * abs(s) + 0.4 * s * s, other=lambda s: 0.2 * abs(s) + 0.2 * s * s,
        note="There is no ½ here, unlike in the L2 penalty: with λ₁ = 0 it is the ridge of strength 2 λ₂, and its gradient has 2 λ₂ θ.", source="Zou and Hastie 2005, equation 3",
    ),
    Claim(
        id="9.4.elastic.both", lines=(412, 412), kind="property", verdict="true",
        statement="It has the advantages of both: exact zeros, and one solution.", latex=r"\nabla^2 (\lambda_2 \|\theta\|^2) = 2 \lambda_2 I \succ 0",
        judge=Matches(is_sparse_and_unique), stated=(0.1, 0.2), other=(0.1, 0.0),
    ),
    Claim(
        id="9.4.elastic.correlated", lines=(413, 413), kind="property", verdict="true",
        statement="Features that correlate get similar coefficients.", latex=r"|\theta_i - \theta_j| \le c \sqrt{2 (1 - \rho_{ij})} / \lambda_2",
        judge=Matches(shares_among_twins), stated=(0.05, 0.5), other=(0.05, 0.0), source="Zou and Hastie 2005, theorem 1",
    ),
    Claim(
        id="9.4.elastic.stable", lines=(414, 414), kind="property", verdict="true",
        statement="Its solution is more stable than with L1 alone.", latex=r"\operatorname{Var} \hat\theta_{\text{net}} < \operatorname{Var} \hat\theta_{\text{lasso}}",
        judge=steadier_than_lasso, stated=(0.1, 0.2), other=(0.0, 0.0),
        note="Most where features correlate, as they do here.",
    ),
)  # fmt: skip
