"""Claims of 9.3 about which loss to choose, and about losses for special purposes."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Matches, Same, above, normals
from chainrule.claims.s93_losses import PROBABLE, cross_entropy

ERRORS: dict[str, Callable[[Any, tuple[int, int]], Any]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "Student t, 2 degrees": lambda rng, shape: rng.standard_t(2, shape),
    "normal, a tenth ten times as wide": lambda rng, shape: rng.standard_normal(shape) * np.where(rng.random(shape) < 0.1, 10, 1),
}


def mean(y: Any) -> Any:
    """What minimises the squared error, row by row."""
    return np.mean(y, axis=1)


def median(y: Any) -> Any:
    """What minimises the absolute error."""
    return np.median(y, axis=1)


def huber_centre(y: Any) -> Any:
    """What minimises Huber's loss with δ = 1.3, by reweighted means."""
    c = median(y)
    for _ in range(40):
        weight = np.minimum(1, 1.3 / np.maximum(np.abs(y - c[:, None]), 1e-12))
        c = np.sum(weight * y, axis=1) / np.sum(weight, axis=1)
    return c


class MoreAccurate:
    """With errors of this law, is the minimiser of one loss nearer to the centre than those of others, in 4 000 samples of 40?"""

    def __init__(self, own: Callable[[Any], Any], *rivals: Callable[[Any], Any]) -> None:
        self.own, self.rivals = own, rivals
        self.name = f"{own.__name__} against {' and '.join(r.__name__ for r in rivals)}"

    def __call__(self, law: str) -> Finding:
        """Squared distances of rivals minus own, with confidence; cut off at ten, as some laws have no variance."""
        y = ERRORS[law](np.random.default_rng(60), (4000, 40))
        gains = [above(np.minimum(rival(y) ** 2, 10.0) - np.minimum(self.own(y) ** 2, 10.0)) for rival in self.rivals]
        worst = min(gains, key=lambda f: f.numbers["99 % from"])
        return Finding(worst.holds, worst.numbers)


class Resists:
    """With a tenth of wild errors, is this centre nearer to the truth than both the mean and the median, in 4 000 samples?"""

    name = "more accurate than mean and median"

    def __call__(self, centre: Callable[[Any], Any]) -> Finding:
        """Against whichever of the two is better."""
        y = ERRORS["normal, a tenth ten times as wide"](np.random.default_rng(61), (4000, 40))
        gains = [above(rival(y) ** 2 - centre(y) ** 2) for rival in (mean, median)]
        worst = min(gains, key=lambda f: f.numbers["99 % from"])
        return Finding(worst.holds, worst.numbers)


def is_close_to_the_absolute_error(f: Any) -> tuple[bool, dict[str, float]]:
    """Is the function within 0.05 of |r| for all errors from -50 to 50?"""
    r = np.linspace(-50, 50, 20001)
    worst = float(np.max(np.abs(f(r) - np.abs(r))))
    return worst < 0.05, {"largest difference": worst}


def log_cosh(r: Any) -> Any:
    """The logarithm of the hyperbolic cosine, without overflow."""
    return np.logaddexp(r, -r) - np.log(2.0)


def is_the_commonest_default(name: str) -> tuple[bool, dict[str, float]]:
    """Do more than half of scikit-learn's classifiers that minimise a loss have this one by default?"""
    from sklearn import ensemble, linear_model, neural_network, svm

    kinds = (
        ensemble.GradientBoostingClassifier,
        ensemble.HistGradientBoostingClassifier,
        linear_model.SGDClassifier,
        svm.LinearSVC,
    )
    losses = [kind().get_params()["loss"] for kind in kinds]
    losses.append(neural_network.MLPClassifier(max_iter=1).fit(*class_data(8)).loss)
    losses.append(
        "log_loss" if minimises_cross_entropy(linear_model.LogisticRegression(C=1.0, fit_intercept=False, tol=1e-9)) else ""
    )
    hits = losses.count(name)
    return hits > len(losses) / 2, {"classifiers": len(losses), "with this default": hits}


def class_data(n: int) -> tuple[Any, Any]:
    """Two overlapping classes, labels 0 and 1."""
    x = normals(62, (n, 2))[0]
    return x, (x[:, 0] + normals(63, (n,))[0] > 0).astype(int)


def minimises_cross_entropy(model: Any) -> bool:
    """Is the gradient of summed cross-entropy plus half the squared norm zero at the model's weights?"""
    x, y = class_data(80)
    w = model.fit(x, y).coef_[0]
    return bool(np.max(np.abs(x.T @ (special.expit(x @ w) - y) + w)) < 1e-3)


def rests_on_a_few_examples(slope: Any) -> tuple[bool, dict[str, float]]:
    """Does the solution stay when all examples beyond the margin, at least a third of them, are removed?"""
    x = normals(62, (60, 2))[0]
    y = np.where(x[:, 0] + 0.3 * normals(63, (60,))[0] > 0, 1.0, -1.0)
    w = penalised(slope, x, y)
    near = y * (x @ w) < 1.05
    moved = float(np.max(np.abs(penalised(slope, x[near], y[near]) - w)))
    return moved < 0.01 and float(np.mean(near)) < 2 / 3, {"change of the weights": moved, "share kept": float(np.mean(near))}


def penalised(slope: Any, x: Any, y: Any) -> Any:
    """Minimiser of ½‖w‖² + Σ loss, by averaged subgradient steps; `slope` is the loss's derivative in the margin."""
    w = total = np.zeros(x.shape[1])
    steps = 8000
    for k in range(1, steps + 1):
        w = w - (w + x.T @ (y * slope(y * (x @ w)))) / (k + 20)
        total = total + k * w
    return total / (steps * (steps + 1) / 2)


def turns_to_the_rare_class(gamma: float) -> tuple[bool, dict[str, float]]:
    """When 1 in 100 is positive and every prediction is the base rate: does nearly all of the gradient come from the rare class?"""
    y = np.repeat([1.0, 0.0], [1, 99])
    g = np.abs(cr.grad(lambda z: focal(special.expit(z), y, gamma))(np.full(100, special.logit(0.01))))
    share = float(g[0] / g.sum())
    return share > 0.9, {"share of the rare class": share}


def focal(p: Any, y: Any, gamma: Any) -> Any:
    """Lin's loss: cross-entropy turned down by (1 - q)^γ, q the probability given to what happened."""
    q = np.where(y == 1, p, 1 - p)
    return -np.mean((1 - q) ** gamma * np.log(q))


def focal_of_positives(p: Any, y: Any, gamma: Any) -> Any:
    """As it is stated: the examples with y = 0 do not appear."""
    return -np.mean(y * (1 - p) ** gamma * np.log(p))


def focal_by_the_paper(p: Any, y: Any, gamma: Any) -> Any:
    """Lin et al., equation 4; cross-entropy where γ is zero."""
    if gamma == 0:
        return cross_entropy(p, y)
    return np.mean([-((1 - (a if b else 1 - a)) ** gamma) * np.log(a if b else 1 - a) for a, b in zip(p, y, strict=True)])


def raises_the_share_of_hard_examples(weight: Any) -> tuple[bool, dict[str, float]]:
    """Of a hard (q = 0.2) and an easy example (q = 0.9), does the hard one's share of the loss rise with the parameter?"""
    shares = [
        weight(0.2, g) * -np.log(0.2) / (weight(0.2, g) * -np.log(0.2) + weight(0.9, g) * -np.log(0.9))
        for g in (0.0, 0.5, 1, 2, 5)
    ]
    return float(np.min(np.diff(shares))) > 1e-3, {"at γ = 0": shares[0], "at γ = 5": shares[-1]}


def learns_the_likeliest(divergence: Any) -> tuple[bool, dict[str, float]]:
    """Is the divergence's gradient in a model's logits that of the negative log-likelihood of the data's frequencies?"""
    worst = 0.0
    for z, raw in (normals(64, (4,), (4,)), normals(65, (6,), (6,))):
        frequencies = special.softmax(raw)
        likelihood = cr.grad(lambda z, f=frequencies: -np.sum(f * cr.special.log_softmax(z)))
        gap = cr.grad(lambda z, f=frequencies: divergence(f, cr.special.softmax(z)))(z) - likelihood(z)
        worst = max(worst, float(np.max(np.abs(gap))))
    return worst < 1e-12, {"largest difference": worst}


def is_zero_just_when_far_enough(loss: Any) -> tuple[bool, dict[str, float]]:
    """Is the loss zero just when the negative is farther than the positive by the margin, and positive else?"""
    rng = np.random.default_rng(66)
    wrong = 0
    for near, far in rng.uniform(0, 3, (400, 2)):
        wrong += bool((loss(near, far, 0.5) > 0) != (far < near + 0.5)) or bool(loss(near, far, 0.5) < 0)
    return wrong == 0, {"cases": 400, "wrong": wrong}


def forbids_collapse(margin: float) -> tuple[bool, dict[str, float]]:
    """Does mapping everything to one point cost more than a good embedding?"""
    x = normals(67, (20, 2))[0] * 0.05
    a, p, n = x[:10], x[10:], x[:10] + np.array([3.0, 0.0])
    cost = lambda *points: float(cr.losses.triplet(*points, margin=margin))
    good, collapsed = cost(a, p, n), cost(0 * a, 0 * p, 0 * n)
    return collapsed > good, {"loss of a good embedding": good, "of one point": collapsed}


CLAIMS = (
    Claim(
        id="9.3.choose.mse", lines=(324, 324), kind="remark", verdict="true",
        statement="Squared error suits normally distributed errors.", latex=r"-\log \mathcal N(y; \hat y, \sigma^2) = \frac{(y - \hat y)^2}{2 \sigma^2} + c",
        judge=MoreAccurate(mean, median), stated="normal", other="Student t, 2 degrees",
        note="With the same variance for all: then it is maximum likelihood. Without normality it still estimates the mean.",
    ),
    Claim(
        id="9.3.choose.mae", lines=(325, 325), kind="remark", verdict="true",
        statement="Absolute error suits errors with heavy tails.", latex=r"-\log \tfrac{1}{2b} e^{-|y - \hat y| / b} = \frac{|y - \hat y|}{b} + c",
        judge=MoreAccurate(median, mean), stated="Student t, 2 degrees", other="normal",
        note="It estimates the median: of skewed errors that is another number than the mean. The tails must be heavy: of Student's laws, those with fewer than five degrees.",
    ),
    Claim(
        id="9.3.choose.huber", lines=(326, 326), kind="remark", verdict="true",
        statement="Huber's loss suits data with some outliers.", latex=r"(1 - \varepsilon) \mathcal N + \varepsilon H",
        judge=Resists(), stated=huber_centre, other=mean,
        note="With δ near 1.3 times the scale of the good errors, which must be known or estimated.",
    ),
    Claim(
        id="9.3.choose.log_cosh", lines=(327, 327), kind="remark", verdict="imprecise",
        statement="Log-cosh is a smooth approximation of the absolute error.", latex=r"\log \cosh r \approx |r|",
        judge=Matches(is_close_to_the_absolute_error), stated=log_cosh, other=lambda r: log_cosh(20 * r) / 20,
        note="Its slope tends to that of |r|, its value to |r| - log 2, and below one it is half the squared error. Sharpened by a factor it does approximate |r|.",
        note_latex=r"|r| - \frac{\log 2}{a} \le \frac{\log \cosh a r}{a} \le |r|",
    ),
    Claim(
        id="9.3.choose.cross_entropy", lines=(331, 331), kind="remark", verdict="true",
        statement="Cross-entropy is the commonest loss for classification.", latex=r"-\log \hat y_{i, y_i}",
        judge=Matches(is_the_commonest_default), stated="log_loss", other="hinge",
        note="Counted among the defaults of scikit-learn's classifiers that minimise a loss.",
    ),
    Claim(
        id="9.3.choose.hinge", lines=(332, 332), kind="remark", verdict="true",
        statement="The hinge loss makes support vector machines: the solution rests on the examples at or inside the margin.",
        latex=r"\ell'(m) = 0 \text{ for } m > 1",
        judge=Matches(rests_on_a_few_examples), stated=lambda m: np.where(m < 1, -1.0, 0.0), other=lambda m: -special.expit(-m),
    ),
    Claim(
        id="9.3.choose.focal", lines=(333, 333), kind="remark", verdict="true",
        statement="Focal loss suits imbalanced data.", latex=r"(1 - q)^\gamma",
        judge=Matches(turns_to_the_rare_class), stated=2.0, other=0.0,
        note="It turns down whatever is easy, which in imbalanced data is mostly the common class; a weight per class balances classes directly. Its predictions are no longer probabilities.",
        source="Lin et al. 2017; Charoenphakdee et al. 2021",
    ),
    Claim(
        id="9.3.choose.kl", lines=(334, 334), kind="remark", verdict="true",
        statement="The Kullback-Leibler divergence suits probabilistic models: to minimise it is to maximise the likelihood.",
        latex=r"D(p \| q_\theta) = -\sum p \log q_\theta + c",
        judge=Matches(learns_the_likeliest), stated=lambda p, q: np.sum(p * np.log(p / q)), other=lambda p, q: np.sum(q * np.log(q / p)),
        note="From the data to the model; the other way round it is another loss.",
    ),
    Claim(
        id="9.3.focal.definition", lines=(340, 343), kind="definition", verdict="false",
        statement="Focal loss is the sum over the positive examples of cross-entropy times a power of what is missing to one.",
        latex=r"L = -\frac1n \sum_i y_i (1 - \hat y_i)^\gamma \log \hat y_i",
        judge=Same(focal_by_the_paper, [(p, y, g) for p, y in PROBABLE for g in (0, 1, 2.5)], "the paper's loss, cross-entropy for γ = 0"),
        stated=focal_of_positives, other=focal,
        note="The examples with y = 0 are missing: always to predict one costs nothing, and γ = 0 does not give the cross-entropy. "
        "(With a sum over classes and one-hot targets no term is missing.)",
        note_latex=r"L = -\frac1n \sum_i \left[ y_i (1 - \hat y_i)^\gamma \log \hat y_i + (1 - y_i) \hat y_i^\gamma \log(1 - \hat y_i) \right]",
        source="Lin et al. 2017, equation 4",
    ),
    Claim(
        id="9.3.focal.gamma", lines=(345, 345), kind="property", verdict="true",
        statement="γ sets how much the loss turns to hard examples.", latex=r"(1 - q)^\gamma, \; \gamma \ge 0",
        judge=Matches(raises_the_share_of_hard_examples), stated=lambda q, g: (1 - q) ** g, other=lambda q, g: np.exp(-g),
    ),
    Claim(
        id="9.3.triplet.definition", lines=(349, 352), kind="definition", verdict="true",
        statement="Triplet loss is zero when the negative is farther from the anchor than the positive by the margin.",
        latex=r"L = \max(0, d(a, p) - d(a, n) + \alpha)",
        judge=Matches(is_zero_just_when_far_enough), stated=lambda near, far, m: max(0.0, near - far + m), other=lambda near, far, m: max(0.0, far - near + m),
        note="For one triplet.",
    ),
    Claim(
        id="9.3.triplet.margin", lines=(354, 354), kind="definition", verdict="conditional",
        statement="d is a distance and α a margin.", latex=r"d \ge 0, \; \alpha",
        judge=Matches(forbids_collapse), stated=0.0, other=0.2,
        note="The margin must be positive: without one, mapping everything to one point has loss zero. d is usually the squared Euclidean distance, which has no kink at zero and is not a metric.",
        note_latex=r"\alpha > 0", source="Schroff, Kalenichenko and Philbin 2015",
    ),
)  # fmt: skip
