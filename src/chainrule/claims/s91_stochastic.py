"""Claims of 9.1 about stochastic gradient descent."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import tracemalloc
from itertools import combinations
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Bound, Matches, Same, above, descend, normals

N, D = 12, 3
X, Y, T = normals(21, (N, D), (N,), (D,))
ALPHA = 0.1


def loss(t: Any, rows: Any = slice(None)) -> Any:
    """Mean squared error on some examples."""
    return np.mean((X[rows] @ t - Y[rows]) ** 2)


def gradients(t: Any) -> Any:
    """The gradient of each example's loss."""
    return 2 * (X @ t - Y)[:, None] * X


def expected_step(t: Any) -> Any:
    """One step of gradient descent on the whole loss."""
    return t - ALPHA * cr.grad(loss)(t)


def mean_step_over_batches(step: Any) -> Any:
    """The mean of a mini-batch step over all batches of 3 examples."""
    return lambda t: np.mean([step(t, np.array(b)) for b in combinations(range(N), 3)], axis=0)


def unbiased(probabilities: Any) -> tuple[bool, dict[str, float]]:
    """Is the expected gradient of one example, drawn with these probabilities, the whole gradient?"""
    gap = float(np.max(np.abs(probabilities(N) @ gradients(T) - cr.grad(loss)(T))))
    return gap < 1e-12, {"bias": gap}


def variance_of_batches(size: int) -> float:
    """Measured: the variance of the mini-batch gradient, drawn with replacement, over 40 000 batches."""
    rows = np.random.default_rng(22).integers(0, N, (40_000, size))
    return float(np.sum(np.var(np.mean(gradients(T)[rows], axis=1), axis=0)))


def peak_bytes_do_not_grow_with_the_data(size: Any) -> tuple[bool, dict[str, float]]:
    """Is the memory that one gradient allocates the same for 1 000 and for 50 000 examples?"""
    peaks = []
    for n in (1_000, 50_000):
        x = np.zeros((n, 4))
        tracemalloc.start()
        rows = x[: size(n)]
        _ = rows.T @ (rows @ np.ones(4) - 1.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return peaks[1] < 1.5 * peaks[0], {"bytes for 1 000": peaks[0], "bytes for 50 000": peaks[1]}


def leaves_a_saddle(noise: float) -> Finding:
    """Started exactly on a saddle of x²/2 + y⁴/4 - y²/2: do more than 95 % of 200 runs end near a minimum?"""
    rng = np.random.default_rng(23)
    x = np.zeros((200, 2))
    for _ in range(400):
        x -= 0.1 * (np.stack([x[:, 0], x[:, 1] ** 3 - x[:, 1]], 1) + noise * rng.standard_normal(x.shape))
    return above(np.abs(np.abs(x[:, 1]) - 1) < 0.5, 0.95)


def finds_the_deeper_minimum(noise: float) -> Finding:
    """Started in the shallower minimum of x⁴/4 - x²/2 + x/5: do more than half of 200 runs end near the deeper one, at x < 0?"""
    rng = np.random.default_rng(29)
    x = np.full(200, 0.88)
    for _ in range(2000):
        x = x - 0.1 * (x**3 - x + 0.2 + noise * rng.standard_normal(200))
    return above(x < 0, 0.5)


def saves_gradients(size: Any) -> tuple[bool, dict[str, float]]:
    """Least squares with 5000 examples: do batches of this size need a fifth of descent's gradients to bring the error to 2 %?"""
    x, noise, best = normals(30, (5000, 5), (5000,), (5,))
    y = x @ best + 0.1 * noise
    rng, t, batch, used = np.random.default_rng(30), np.zeros(5), size(5000), 0
    while np.sum((t - best) ** 2) > 0.02 * np.sum(best**2):
        rows = rng.permutation(5000)[:batch]
        t = t - 0.1 * x[rows].T @ (x[rows] @ t - y[rows]) / batch
        used += batch
    whole, steps = np.zeros(5), 0
    while np.sum((whole - best) ** 2) > 0.02 * np.sum(best**2):
        whole, steps = whole - 0.9 * x.T @ (x @ whole - y) / 5000, steps + 1
    return used <= 1000 * steps, {"gradients": used, "of gradient descent": 5000 * steps}


def does_not_fit_the_noise(method: Any) -> tuple[bool, dict[str, float]]:
    """On labels that are pure noise, with more parameters than examples: does training keep away from zero training error?"""
    x, y = normals(24, (20, 50), (20,))
    error = float(np.mean((x @ method(x, y) - y) ** 2))
    return error > 0.1, {"training error": error}


def by_sgd(x: Any, y: Any) -> Any:
    """One example at a time, for 2 000 sweeps."""
    rng, t = np.random.default_rng(25), np.zeros(x.shape[1])
    for i in rng.integers(0, len(y), 40_000):
        t = t - 0.01 * (x[i] @ t - y[i]) * x[i]
    return t


def by_ridge(x: Any, y: Any) -> Any:
    """With a penalty."""
    return np.linalg.solve(x.T @ x + 50.0 * np.eye(x.shape[1]), x.T @ y)


def noisy_descent(alpha: float, sigma: float, k: int, average: bool) -> float:
    """Measured: mean of f - f* over 4 000 runs on f = x²/2 from 1, gradients with normal noise; at x_k or at the mean point."""
    rng = np.random.default_rng(26)
    x, total = np.ones(4000), np.zeros(4000)
    for _ in range(k):
        total += x
        x = x - alpha * (x + sigma * rng.standard_normal(4000))
    at = total / k if average else x
    return float(np.mean(0.5 * at**2))


def sgd_gap(alpha: float, sigma: float, k: int) -> float:
    """Measured at the mean point, which is the kinder choice for a bound."""
    return noisy_descent(alpha, sigma, k, average=True)


def last_gap(alpha: float, sigma: float, k: int) -> float:
    """Measured at the last point, of which the notes speak."""
    return noisy_descent(alpha, sigma, k, average=False)


class Rate:
    """Are errors at the last point of a stated bound, and at the mean point of a corrected one, below it?"""

    name = "bound on the expected error of SGD"
    method = "The mean error of 4 000 runs on x²/2 is measured while step, noise and number of steps are swept."

    def __call__(self, formula: Any) -> Finding:
        """`formula` is a bound and which point it is for."""
        bound, measured = formula
        cases = [(a, s, k) for a in (0.1, 0.5, 1.0) for s in (0.5, 2.0) for k in (1, 10, 100, 1000)]
        return Bound(measured, cases, slack=0.1)(bound)  # the mean of 4 000 runs is known to about 3 %


def noise_is_bounded(bound: Any) -> tuple[bool, dict[str, float]]:
    """Is the mean squared gradient of one example, from near the minimiser to 10⁴ away from it, below the bound?"""
    best = np.linalg.lstsq(X, Y, rcond=None)[0]
    smooth, least = 2 * np.max(np.sum(X**2, 1)), np.mean(np.sum(gradients(best) ** 2, 1))
    ratios = []
    for r in (0.0, 1.0, 100.0, 1e4):
        t = best + r * T
        ratios.append(np.mean(np.sum(gradients(t) ** 2, 1)) / bound(smooth, loss(t) - loss(best), least))
    return max(ratios) <= 1 + 1e-9, {"largest measured / bound": float(max(ratios))}


def keeps_robbins_and_monro(schedule: Any) -> tuple[bool, dict[str, float]]:
    """Do the steps sum to infinity and their squares to a finite number? (SymPy decides both.)"""
    import sympy as sp

    k = sp.symbols("k", integer=True, positive=True)
    total: Any = sp.Sum(schedule(k), (k, 1, sp.oo))
    squares: Any = sp.Sum(schedule(k) ** 2, (k, 1, sp.oo))
    diverges = total.is_convergent() == False  # noqa: E712  SymPy's own truth values
    finite = squares.is_convergent() == True  # noqa: E712
    return bool(diverges and finite), {"sum diverges": float(diverges), "sum of squares converges": float(finite)}


def settles(schedule: Any) -> tuple[bool, dict[str, float]]:
    """With noisy gradients on x²/2: is the mean error after 4 000 steps a tenth of the error after 400?"""
    rng = np.random.default_rng(27)
    x, seen = np.ones(500), []
    for k in range(4001):
        if k in (400, 4000):
            seen.append(float(np.mean(x**2)))
        x = x - schedule(k) * (x + rng.standard_normal(500))
    return seen[1] < 0.2 * seen[0], {"after 400": seen[0], "after 4 000": seen[1]}


def is_finite_from_the_first_step(schedule: Any) -> tuple[bool, dict[str, float]]:
    """Steps are counted from k = 0, as x_0 is the start: is the first learning rate a number?"""
    first = float(schedule(np.float64(0)))
    return bool(np.isfinite(first)), {"first learning rate": first}


def sees_only_the_batch(gradient: Any) -> tuple[bool, dict[str, float]]:
    """Is the gradient the same when the examples outside the batch are changed, and different when those inside are?"""
    inside, outside = X.copy(), X.copy()
    inside[:3] += 1.0
    outside[3:] += 1.0
    base = gradient(X)
    moved = [float(np.max(np.abs(gradient(x) - base))) for x in (inside, outside)]
    return moved[0] > 0 and moved[1] == 0, {"change by the batch": moved[0], "change by the rest": moved[1]}


def tells_whether_it_got_worse(history: Any) -> tuple[bool, dict[str, float]]:
    """When the recorded loss rises from one step to the next, has the loss on all data risen, 19 times out of 20?"""
    rng, t, seen, full = np.random.default_rng(28), np.zeros(D) + 2.0, [], []
    for _ in range(400):
        rows = rng.integers(0, N, 2)
        seen.append(float(history(t, rows)))
        full.append(float(loss(t)))
        t = t - 0.02 * gradients(t)[rows].mean(0)
    rises = np.diff(seen) > 0
    right = float(np.mean(np.diff(full)[rises] > 0)) if rises.any() else 1.0
    return right > 0.95, {"share of rises that are real": right, "rises": float(rises.sum())}


CLAIMS = (
    Claim(
        id="9.1.sgd.loss", lines=(121, 121), kind="definition", verdict="true",
        statement="The loss is the mean of the losses of the examples; its gradient is the mean of theirs.", latex=r"L = \frac1n \sum_i L_i, \quad \nabla L = \frac1n \sum_i \nabla L_i",
        judge=Same(cr.grad(loss), [(T,), (0 * T,)], "gradient of the mean loss"), stated=lambda t: gradients(t).mean(0), other=lambda t: gradients(t).sum(0),
    ),
    Claim(
        id="9.1.sgd.purpose", lines=(121, 121), kind="property", verdict="true",
        statement="Noisy estimates of the gradient let descent handle large sets of data.", latex=r"\text{cost of a step} = O(B), \text{ not } O(n)",
        judge=Matches(saves_gradients), stated=lambda n: 16, other=lambda n: n,
        note="Far from the minimum a few examples show the direction; near it, noise calls for smaller steps or larger batches.", source="Bottou and Bousquet 2008",
    ),
    Claim(
        id="9.1.sgd.update", lines=(123, 125), kind="update", verdict="true",
        statement="A step follows the gradient of one example; on average that is a step of gradient descent.", latex=r"\theta_{k+1} = \theta_k - \alpha \nabla L_i(\theta_k)",
        judge=Same(expected_step, [(T,), (0 * T,)]), stated=lambda t: np.mean([t - ALPHA * g for g in gradients(t)], 0), other=lambda t: np.mean([t - ALPHA * g / N for g in gradients(t)], 0),
    ),
    Claim(
        id="9.1.sgd.sampling", lines=(127, 127), kind="definition", verdict="conditional",
        statement="The example is drawn at random.", latex=r"i \sim \text{random}",
        judge=Matches(unbiased), stated=lambda n: np.arange(1, n + 1) / (n * (n + 1) / 2), other=lambda n: np.full(n, 1 / n),
        note="Uniformly, and anew for each step; with other probabilities the gradient is biased unless it is divided by them.",
        note_latex=r"P(i) = \tfrac1n \quad \text{or} \quad \frac{1}{n P(i)} \nabla L_i",
    ),
    Claim(
        id="9.1.sgd.noise", lines=(131, 131), kind="property", verdict="true",
        statement="Mini-batches estimate the gradient, with noise.", latex=r"\operatorname{Var} = \sigma^2 / B",
        judge=Same(variance_of_batches, [(1,), (4,), (16,)], "measured variance", 0.05), stated=lambda b: np.sum(np.var(gradients(T), 0)) / b, other=lambda b: np.sum(np.var(gradients(T), 0)) / b**2,
        note="The update rule above it has single examples, mini-batches of size one.",
    ),
    Claim(
        id="9.1.sgd.memory", lines=(132, 132), kind="property", verdict="true",
        statement="Working on small batches needs less memory.", latex=r"O(B) \text{ instead of } O(n)",
        judge=Matches(peak_bytes_do_not_grow_with_the_data), stated=lambda n: 32, other=lambda n: n,
    ),
    Claim(
        id="9.1.sgd.escape_minimum", lines=(133, 133), kind="property", verdict="true",
        statement="Noise can carry the iteration out of a local minimum.", latex=r"P(\text{leaves the minimum}) > 0",
        judge=finds_the_deeper_minimum, stated=1.5, other=0.05,
        note="Noise that is large against the barrier, as here; with a thirtieth of it no run leaves.",
    ),
    Claim(
        id="9.1.sgd.escape", lines=(133, 133), kind="property", verdict="true",
        statement="Noise can carry the iteration away from saddle points.", latex=r"P(\text{leaves the saddle}) > 0",
        judge=leaves_a_saddle, stated=0.1, other=0.0,
        note="If it has a part along the way down.",
    ),
    Claim(
        id="9.1.sgd.generalization", lines=(134, 134), kind="remark", verdict="imprecise",
        statement="Noise prevents overfitting and so improves generalisation.", latex=r"\text{noise} \Rightarrow \text{less overfitting}",
        judge=Matches(does_not_fit_the_noise), stated=by_sgd, other=by_ridge,
        note="Not by itself: with more parameters than examples SGD fits labels of pure noise exactly. Which of the fitting solutions it "
        "picks may generalise better, an observation about some networks; a penalty does prevent the fit.",
        source="Zhang, Bengio, Hardt, Recht and Vinyals 2017",
    ),
    Claim(
        id="9.1.sgd.bound", lines=(138, 141), kind="bound", verdict="false",
        statement="For convex functions the expected error of SGD is at most (R² + σ²)/(2αk).", latex=r"E[f(\theta_k) - f(\theta^*)] \le \frac{R^2 + \sigma^2}{2 \alpha k}",
        judge=Rate(), stated=(lambda a, s, k: (1 + s**2) / (2 * a * k), last_gap), other=(lambda a, s, k: 1 / (2 * a * k) + a * s**2 / 2, sgd_gap),
        note="With a constant step the error does not tend to zero: noise leaves a floor proportional to α. It holds for the mean of the "
        "points, for a gradient with Lipschitz constant L and α at most 1/L; α proportional to 1/√k then gives the rate 1/√k.",
        note_latex=r"E[f(\bar\theta_k) - f(\theta^*)] \le \frac{R^2}{2 \alpha k} + \frac{\alpha \sigma^2}{2}", source="Nemirovski, Juditsky, Lan and Shapiro 2009",
    ),
    Claim(
        id="9.1.sgd.constants", lines=(143, 143), kind="definition", verdict="imprecise",
        statement="R is the distance to the optimum and σ² the variance of the gradient.", latex=r"R = \|\theta - \theta^*\|, \; \sigma^2 = \operatorname{Var} \nabla L_i",
        judge=Matches(noise_is_bounded), stated=lambda smooth, gap, least: least + 1e4, other=lambda smooth, gap, least: 4 * smooth * gap + 2 * least,
        note="R is the distance of the start. One number σ² bounds the variance everywhere only if it is bounded: for least squares it "
        "grows with the distance, and is bounded by the error instead.",
        note_latex=r"E\|\nabla L_i(\theta)\|^2 \le 4 L_{\max} (L(\theta) - L^*) + 2 E\|\nabla L_i(\theta^*)\|^2", source="Bach and Moulines 2011; Gower et al. 2019",
    ),
    Claim(
        id="9.1.schedule.constant", lines=(146, 146), kind="definition", verdict="true",
        statement="A common schedule keeps the learning rate constant.", latex=r"\alpha_k = \alpha_0",
        judge=Same(lambda k: float(cr.optim.schedules.constant(0.3)(k)), [(0,), (7,)], "the library's schedule"), stated=lambda k: 0.3, other=lambda k: 0.3 / (1 + k),
        note="With noisy gradients it does not converge but to a floor; see the bound for SGD.",
    ),
    Claim(
        id="9.1.schedule.decay", lines=(147, 147), kind="definition", verdict="true",
        statement="Another divides it by 1 + βk, which satisfies the conditions of Robbins and Monro.", latex=r"\alpha_k = \frac{\alpha_0}{1 + \beta k}",
        judge=Matches(keeps_robbins_and_monro), stated=lambda k: 1 / (1 + 2 * k), other=lambda k: 1 / (1 + 2 * k) ** 2,
        note=r"Necessary for speed too: on a μ-strongly convex function α₀/β must not be small against 1/μ.",
    ),
    Claim(
        id="9.1.schedule.common", lines=(145, 145), kind="property", verdict="true",
        statement="Schedules lower the learning rate so that noisy gradients settle.", latex=r"\alpha_k \to 0",
        judge=Matches(settles), stated=lambda k: 1 / (1 + 0.5 * k), other=lambda k: 0.3,
    ),
    Claim(
        id="9.1.schedule.sqrt", lines=(148, 148), kind="definition", verdict="imprecise",
        statement="A third divides it by the square root of k.", latex=r"\alpha_k = \frac{\alpha_0}{\sqrt{k}}",
        judge=Matches(is_finite_from_the_first_step), stated=lambda k: 0.1 / np.sqrt(k), other=lambda k: 0.1 / np.sqrt(k + 1),
        note="At k = 0, the first step as everything here is counted, it divides by zero. The squares of these steps do not have a finite "
        "sum, so the theorem of Robbins and Monro does not cover it; the rate 1/√k for mean points does.",
        note_latex=r"\alpha_k = \frac{\alpha_0}{\sqrt{k + 1}}",
    ),
    Claim(
        id="9.1.minibatch.update", lines=(152, 155), kind="update", verdict="true",
        statement="A mini-batch step follows the mean gradient of the batch; on average it is a step of gradient descent.", latex=r"\theta_{k+1} = \theta_k - \frac{\alpha}{B} \sum_{i \in \mathcal B_k} \nabla L_i(\theta_k)",
        judge=Same(expected_step, [(T,), (0 * T,)]), stated=mean_step_over_batches(lambda t, b: t - ALPHA / len(b) * gradients(t)[b].sum(0)), other=mean_step_over_batches(lambda t, b: t - ALPHA * gradients(t)[b].sum(0)),
    ),
    Claim(
        id="9.1.minibatch.batch", lines=(157, 157), kind="definition", verdict="true",
        statement="Each iteration has a mini-batch of its own.", latex=r"\mathcal B_k \subset \{1, \ldots, n\}",
        judge=Same(cr.grad(loss), [(T,), (0 * T,)], "whole gradient"), stated=lambda t: np.mean([gradients(t)[list(b)].mean(0) for b in combinations(range(N), 3)], 0), other=lambda t: gradients(t)[:3].mean(0),
        note="Drawn uniformly: the mean over all batches is the whole gradient; one fixed batch would not do.",
    ),
    Claim(
        id="9.1.program.sgd.memory", lines=(159, 162), kind="property", verdict="true",
        statement="For linear regression, mini-batches make the memory for a gradient independent of the number of examples.", latex=r"O(B d)",
        judge=Matches(peak_bytes_do_not_grow_with_the_data), stated=lambda n: 128, other=lambda n: n // 10,
    ),
    Claim(
        id="9.1.program.sgd.subset", lines=(163, 163), kind="property", verdict="true",
        statement="The gradient of a step sees a subset of the data only.", latex=r"\nabla L_{\mathcal B}",
        judge=Matches(sees_only_the_batch), stated=lambda x: cr.grad(lambda t: np.mean((x[:3] @ t - Y[:3]) ** 2))(T), other=lambda x: cr.grad(lambda t: np.mean((x @ t - Y) ** 2))(T),
    ),
    Claim(
        id="9.1.program.sgd.same", lines=(164, 164), kind="update", verdict="true",
        statement="The rule is that of gradient descent; with the whole data as the batch it is the same.", latex=r"\mathcal B = \{1, \ldots, n\} \Rightarrow \text{gradient descent}",
        judge=Same(lambda n: descend(cr.grad(loss), T, 0.05, n), [(1,), (20,)], "gradient descent"), stated=lambda n: descend(lambda t: gradients(t)[np.arange(N)].mean(0), T, 0.05, n), other=lambda n: descend(lambda t: gradients(t)[:6].mean(0), T, 0.05, n),
    ),
    Claim(
        id="9.1.program.sgd.history", lines=(165, 165), kind="remark", verdict="imprecise",
        statement="The recorded losses show whether training converges.", latex=r"L_{\mathcal B_k}(\theta_k)",
        judge=Matches(tells_whether_it_got_worse), stated=loss, other=lambda t, rows: loss(t),
        note="The loss of a mini-batch is a noisy estimate: most of its rises are not real. Record the loss on all data, on held-out data, "
        "or a running mean.",
    ),
)  # fmt: skip
