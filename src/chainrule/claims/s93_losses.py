"""Claims of 9.3 about the common losses: definitions, derivatives, properties."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import special

import chainrule as cr
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Derivative, Matches, Same, normals

RNG = np.random.default_rng(50)
TARGETS = [RNG.standard_normal(n) for n in (1, 4, 7)]
GUESSES = [y + 2 * RNG.standard_normal(len(y)) for y in TARGETS]
REAL = list(zip(GUESSES, TARGETS, strict=True))

PROBABLE = [(RNG.uniform(0.05, 0.95, n), (RNG.random(n) < 0.5) * 1.0) for n in (2, 5, 8)]
SCORES = [(2 * RNG.standard_normal(n), RNG.choice([-1.0, 1.0], n)) for n in (3, 5, 8)]
ROWS = [(RNG.dirichlet(np.ones(c), n), np.eye(c)[RNG.integers(0, c, n)]) for n, c in ((1, 3), (4, 3), (5, 4))]
DELTA = 1.2


def squared(p: Any, y: Any) -> Any:
    """Mean squared error."""
    return np.mean((y - p) ** 2)


def cross_entropy(p: Any, y: Any) -> Any:
    """Mean binary cross-entropy of probabilities."""
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def categorical(p: Any, y: Any) -> Any:
    """Mean categorical cross-entropy; examples in rows."""
    return -np.mean(np.sum(y * np.log(p), axis=1))


def hinge(p: Any, y: Any) -> Any:
    """Mean hinge loss of scores."""
    return np.mean(np.maximum(0.0, 1 - y * p))


def huber(p: Any, y: Any, delta: float = DELTA) -> Any:
    """Mean Huber loss."""
    r = np.abs(y - p)
    return np.mean(np.where(r <= delta, 0.5 * r**2, delta * r - 0.5 * delta**2))


def by_scikit_learn(name: str) -> Any:
    """A metric of scikit-learn, of predictions and targets."""

    def metric(p: Any, y: Any) -> Any:
        from sklearn import metrics

        columns = [0.0, 1.0] if np.ndim(y) == 1 else list(range(np.shape(y)[1]))
        words = {"labels": columns} if name == "log_loss" else {}
        if name == "hinge_loss":
            return metrics.hinge_loss(y, p, labels=[-1.0, 1.0])
        labels = np.argmax(y, axis=1) if np.ndim(y) == 2 else y
        return getattr(metrics, name)(labels, p, **words)

    metric.__name__ = f"scikit-learn's {name}"
    return metric


def curves_upwards(model: Any) -> tuple[bool, dict[str, float]]:
    """Has the Hessian of the mean squared error, in what the model takes, no negative eigenvalue, at 20 points?"""
    x, y = normals(51, (6, 2), (6,))
    points = normals(52, *[(6,)] * 20)
    least = min(float(np.linalg.eigvalsh(cr.hessian(lambda t: squared(model(x, t), y))(t))[0]) for t in points)
    return least >= -1e-12, {"smallest eigenvalue": least}


def network(x: Any, t: Any) -> Any:
    """Two hidden units: six weights."""
    return np.tanh(x @ np.reshape(t[:4], (2, 2))) @ t[4:]


def moves_without_bound(centre: Any) -> tuple[bool, dict[str, float]]:
    """When one of 21 targets goes to 10⁶, does the constant that minimises the loss move by more than a thousand?"""
    y = normals(53, (21,))[0]
    moved = np.append(y[1:], 1e6)
    shift = float(abs(centre(moved) - centre(y)))
    return shift > 1e3, {"shift": shift}


def is_the_usual_default(name: str) -> tuple[bool, dict[str, float]]:
    """Do more than half of scikit-learn's regressors that name a loss have this one by default?"""
    from sklearn import ensemble, linear_model, neural_network, tree

    kinds = (
        ensemble.GradientBoostingRegressor, ensemble.HistGradientBoostingRegressor, ensemble.RandomForestRegressor,
        ensemble.ExtraTreesRegressor, tree.DecisionTreeRegressor, linear_model.SGDRegressor, neural_network.MLPRegressor,
    )  # fmt: skip
    words = [{k: v for k, v in kind().get_params().items() if k in ("loss", "criterion")} for kind in kinds]
    hits = sum(name in (w.get("loss"), w.get("criterion")) for w in words)
    return hits > len(kinds) / 2, {"regressors": len(kinds), "with this default": hits}


def jumps_at(margin: float) -> tuple[bool, dict[str, float]]:
    """Do the slopes of the hinge loss to the left and to the right of this margin differ, for both labels?"""
    gaps = []
    for y in (-1.0, 1.0):
        f = lambda p, y=y: max(0.0, 1 - y * p)
        p, h = margin * y, 1e-6
        gaps.append(abs((f(p + h) - f(p)) / h - (f(p) - f(p - h)) / h))
    return min(gaps) > 0.5, {"smallest jump of the slope": min(gaps)}


def minimised_by_the_machine(loss: Any) -> tuple[bool, dict[str, float]]:
    """Are the weights of scikit-learn's support vector machine the least of ½‖w‖² + C Σ loss, against 200 neighbours?"""
    from sklearn.svm import LinearSVC

    x = normals(54, (60, 2))[0]
    y = np.sign(x @ np.array([1.0, -0.5]) + 0.5 * normals(55, (60,))[0])
    w = LinearSVC(C=0.5, loss="hinge", fit_intercept=False, tol=1e-10, max_iter=200_000).fit(x, y).coef_[0]
    cost = lambda v: 0.5 * v @ v + 0.5 * 60 * loss(x @ v, y)
    gain = max(cost(w) - cost(w + d) for size in (1e-4, 1e-3, 1e-2, 0.1) for d in normals(56, *[(2,)] * 50) for d in (size * d,))
    return gain < 1e-7, {"largest gain of a neighbour": float(gain)}


@cache
def separable() -> tuple[Any, Any, float]:
    """Two separate clouds, and the largest margin that a line through the origin can have (by trying all angles)."""
    x = normals(57, (40, 2))[0] * np.array([2.0, 0.4]) + np.array([0.0, 1.5])
    y = np.repeat([1.0, -1.0], 20)
    x = x * y[:, None]
    angles = np.linspace(0, 2 * np.pi, 20001)
    ways = np.stack([np.cos(angles), np.sin(angles)])
    return x, y, float(np.max(np.min(y[:, None] * (x @ ways), axis=0)))


def maximises_the_margin(strength: float) -> tuple[bool, dict[str, float]]:
    """Descending the hinge loss plus strength/2 ‖w‖²: does the separating line come within 2 % of the largest margin?"""
    x, y, best = separable()
    w = np.array([1.5, 0.5])
    for k in range(12_000):
        active = y * (x @ w) < 1
        w = w - (y * active @ -x / len(y) + strength * w) * (0.5 / (1 + 0.004 * k))
    margin = float(np.min(y * (x @ w)) / np.linalg.norm(w))
    return margin > 0.98 * best, {"margin": margin, "largest margin": best}


def is_round_and_bounded(loss: Any) -> tuple[bool, dict[str, float]]:
    """Has the loss a curvature at zero error, and a slope of at most δ at an error of 10⁶?"""
    slope = cr.grad(lambda r: loss(r, 0.0))
    curvature = float((slope(1e-3) - slope(-1e-3)) / 2e-3)
    far = float(abs(slope(1e6)))
    return abs(curvature - 1) < 1e-6 and far <= DELTA, {"curvature at zero": curvature, "slope far away": far}


def line_is_kept(outlier: Any) -> tuple[bool, dict[str, float]]:
    """Fitted with Huber's loss, does a slope of 2 keep within 0.3 when one of 41 examples goes far away?"""
    x = np.linspace(-1, 1, 41)
    y = 2 * x + 0.1 * normals(58, (41,))[0]
    worst = 0.0
    for far in (10.0, 1e3, 1e5):
        (u, v), t = outlier(x.copy(), y.copy(), far), 2.0
        for _ in range(100):  # iteratively reweighted least squares, for one parameter
            weight = np.minimum(1, DELTA / np.maximum(np.abs(v - t * u), 1e-12))
            t = np.sum(weight * u * v) / np.sum(weight * u * u)
        worst = max(worst, float(abs(t - 2)))
    return worst < 0.3, {"largest error of the slope": worst}


def far_target(x: Any, y: Any, far: float) -> tuple[Any, Any]:
    """One target goes away."""
    y[-1] = -far
    return x, y


def far_input(x: Any, y: Any, far: float) -> tuple[Any, Any]:
    """One input goes away: a point of leverage."""
    x[-1] = -far
    return x, y


def slope_is_lipschitz(loss: Any) -> tuple[bool, dict[str, float]]:
    """Is the derivative nowhere steeper than 1, on a fine grid that holds ±δ and 0?"""
    r = np.linspace(-3, 3, 6001)
    g = cr.grad(lambda p: len(r) * loss(p, 0 * p))(r)
    worst = float(np.max(np.abs(np.diff(g)) / np.diff(r)))
    return worst <= 1 + 1e-6, {"largest difference quotient": worst}


CLAIMS = (
    Claim(
        id="9.3.mse.definition", lines=(240, 243), kind="definition", verdict="true",
        statement="The mean squared error is the mean of the squared differences.", latex=r"L = \frac1n \sum_i (y_i - \hat y_i)^2",
        judge=Same(by_scikit_learn("mean_squared_error"), REAL), stated=squared, other=lambda p, y: 0.5 * np.mean((y - p) ** 2),
        note="Much literature has a factor ½, and then no 2 in the derivative.",
    ),
    Claim(
        id="9.3.mse.derivative", lines=(245, 248), kind="derivative", verdict="true",
        statement="Its derivative in a prediction is twice the difference over n.", latex=r"\frac{\partial L}{\partial \hat y_i} = \frac2n (\hat y_i - y_i)",
        judge=Derivative(squared, REAL), stated=lambda p, y: 2 / len(y) * (p - y), other=lambda p, y: 2 / len(y) * (y - p),
    ),
    Claim(
        id="9.3.mse.convex", lines=(251, 251), kind="property", verdict="true",
        statement="It is convex and differentiable.", latex=r"\nabla^2_{\hat y} L = \tfrac2n I \succeq 0",
        judge=Matches(curves_upwards), stated=lambda x, t: t, other=network,
        note="In the predictions, and in the parameters of a model that is linear in them; in the weights of a network it is not convex.",
    ),
    Claim(
        id="9.3.mse.outliers", lines=(252, 252), kind="property", verdict="true",
        statement="It is sensitive to outliers.", latex=r"\operatorname{argmin}_c \sum_i (y_i - c)^2 = \bar y",
        judge=Matches(moves_without_bound), stated=np.mean, other=np.median,
        note="The constant that minimises it is the mean, which one target can carry anywhere.",
    ),
    Claim(
        id="9.3.mse.regression", lines=(253, 253), kind="remark", verdict="true",
        statement="It is common for regression.", latex=r"y \in \mathbb R",
        judge=Matches(is_the_usual_default), stated="squared_error", other="absolute_error",
        note="Counted among scikit-learn's regressors.",
    ),
    Claim(
        id="9.3.bce.definition", lines=(257, 260), kind="definition", verdict="true",
        statement="Binary cross-entropy is the mean negative logarithm of the probability given to what happened.",
        latex=r"L = -\frac1n \sum_i [y_i \log \hat y_i + (1 - y_i) \log(1 - \hat y_i)]",
        judge=Same(by_scikit_learn("log_loss"), PROBABLE), stated=cross_entropy, other=lambda p, y: -np.mean(y * np.log(p)),
        note="For labels 0 and 1 and probabilities strictly between. At the ends read 0 log 0 as 0; a certain prediction that is wrong costs infinity.",
    ),
    Claim(
        id="9.3.bce.derivative", lines=(262, 265), kind="derivative", verdict="false",
        statement="Its derivative in a prediction is the difference over p(1 - p).", latex=r"\frac{\partial L}{\partial \hat y_i} = \frac{\hat y_i - y_i}{\hat y_i (1 - \hat y_i)}",
        judge=Derivative(cross_entropy, PROBABLE), stated=lambda p, y: (p - y) / (p * (1 - p)), other=lambda p, y: (p - y) / (p * (1 - p)) / len(y),
        note="The 1/n of the definition is missing: the gradient is n times too long, and with it every step.",
        note_latex=r"\frac{\partial L}{\partial \hat y_i} = \frac1n \frac{\hat y_i - y_i}{\hat y_i (1 - \hat y_i)}",
    ),
    Claim(
        id="9.3.cce.definition", lines=(267, 270), kind="definition", verdict="true",
        statement="Categorical cross-entropy sums over the classes and takes the mean over the examples.", latex=r"L = -\frac1n \sum_i \sum_j y_{ij} \log \hat y_{ij}",
        judge=Same(by_scikit_learn("log_loss"), ROWS), stated=categorical, other=lambda p, y: -np.mean(y * np.log(p)),
        note="Not the mean over the classes too, which would divide it by their number. With 0 log 0 read as 0.",
    ),
    Claim(
        id="9.3.cce.derivative", lines=(272, 275), kind="derivative", verdict="true",
        statement="Its derivative in a predicted probability is minus target over n times prediction.", latex=r"\frac{\partial L}{\partial \hat y_{ij}} = -\frac{y_{ij}}{n \hat y_{ij}}",
        judge=Derivative(categorical, ROWS), stated=lambda p, y: -y / (len(y) * p), other=lambda p, y: (p - y) / len(y),
        note="With the other probabilities held constant, though they sum to one. In the logits of a softmax it is (p - y)/n.",
    ),
    Claim(
        id="9.3.hinge.definition", lines=(279, 282), kind="definition", verdict="conditional",
        statement="The hinge loss is the mean of what is missing to a margin of one.", latex=r"L = \frac1n \sum_i \max(0, 1 - y_i \hat y_i)",
        judge=Same(by_scikit_learn("hinge_loss"), SCORES), stated=lambda p, y: hinge(p, (y + 1) / 2), other=hinge,
        note="For labels -1 and 1 and scores of any size. With the labels 0 and 1 of the cross-entropy before it, every example of class 0 costs one whatever the score.",
        note_latex=r"y_i \in \{-1, 1\}, \; \hat y_i \in \mathbb R",
    ),
    Claim(
        id="9.3.hinge.derivative", lines=(284, 290), kind="derivative", verdict="false",
        statement="Its derivative in a score is minus the label where the margin is below one, and else zero.",
        latex=r"\frac{\partial L}{\partial \hat y_i} = -y_i [y_i \hat y_i < 1]",
        judge=Derivative(hinge, SCORES), stated=lambda p, y: np.where(y * p < 1, -y, 0.0), other=lambda p, y: np.where(y * p < 1, -y, 0.0) / len(y),
        note="The 1/n of the definition is missing. At the kink there is no derivative; zero is one of the subgradients there.",
        note_latex=r"\frac{\partial L}{\partial \hat y_i} = -\frac{y_i}{n} [y_i \hat y_i < 1]",
    ),
    Claim(
        id="9.3.hinge.kink", lines=(293, 293), kind="property", verdict="true",
        statement="It is not differentiable where the margin is one.", latex=r"y_i \hat y_i = 1",
        judge=Matches(jumps_at), stated=1.0, other=0.0,
    ),
    Claim(
        id="9.3.hinge.svm", lines=(294, 294), kind="property", verdict="true",
        statement="Support vector machines minimise it.", latex=r"\min_w \tfrac12 \|w\|^2 + C \sum_i \max(0, 1 - y_i w^{\mathsf T} x_i)",
        judge=Matches(minimised_by_the_machine), stated=hinge, other=lambda p, y: np.mean(np.logaddexp(0, -y * p)),
        note="Together with half the squared norm of the weights.",
    ),
    Claim(
        id="9.3.hinge.margin", lines=(295, 295), kind="property", verdict="conditional",
        statement="It encourages a large margin.", latex=r"\min_i y_i w^{\mathsf T} x_i / \|w\| \to \max",
        judge=Matches(maximises_the_margin), stated=0.0, other=1e-3,
        note="Together with a penalty on the norm of the weights. Alone it is zero for every separating line with long enough weights, and descent stops at the first.",
        note_latex=r"\min_w \tfrac{\lambda}{2} \|w\|^2 + \frac1n \sum_i \max(0, 1 - y_i w^{\mathsf T} x_i)", source="Cortes and Vapnik 1995",
    ),
    Claim(
        id="9.3.huber.definition", lines=(299, 305), kind="definition", verdict="true",
        statement="Huber's loss is half the square of small errors, and linear in large ones.",
        latex=r"\tfrac12 r^2 \text{ if } |r| \le \delta, \quad \delta |r| - \tfrac12 \delta^2 \text{ otherwise}",
        judge=Same(lambda p, y: np.mean(special.huber(DELTA, y - p)), REAL, "SciPy's huber"),
        stated=huber, other=lambda p, y: np.mean(np.where(abs(y - p) <= DELTA, 0.5 * (y - p) ** 2, DELTA * abs(y - p) - DELTA**2)),
        note="For δ > 0.",
    ),
    Claim(
        id="9.3.huber.derivative", lines=(307, 313), kind="derivative", verdict="false",
        statement="Its derivative in a prediction is the error, cut off at ±δ.",
        latex=r"\frac{\partial L}{\partial \hat y_i} = \hat y_i - y_i \text{ or } \delta \operatorname{sign}(\hat y_i - y_i)",
        judge=Derivative(huber, REAL), stated=lambda p, y: np.where(abs(y - p) <= DELTA, p - y, DELTA * np.sign(p - y)),
        other=lambda p, y: np.where(abs(y - p) <= DELTA, p - y, DELTA * np.sign(p - y)) / len(y),
        note="The 1/n of the definition is missing.",
        note_latex=r"\frac{\partial L}{\partial \hat y_i} = \frac1n \min(\max(\hat y_i - y_i, -\delta), \delta)",
    ),
    Claim(
        id="9.3.huber.both", lines=(316, 316), kind="property", verdict="true",
        statement="It combines the advantages of squared and absolute errors.", latex=r"\ell''(0) = 1, \quad |\ell'(r)| \le \delta",
        judge=Matches(is_round_and_bounded), stated=huber, other=lambda p, y: 0.5 * squared(p, y),
        note="Round at zero, so that steps shorten there; a bounded slope, so that no example pulls too hard. Near zero it is half the squared error.",
    ),
    Claim(
        id="9.3.huber.robust", lines=(317, 317), kind="property", verdict="conditional",
        statement="It is robust to outliers.", latex=r"|\ell'(r)| \le \delta",
        judge=Matches(line_is_kept), stated=far_input, other=far_target,
        note="To outliers in the targets. One example whose inputs are far away turns the line, as the slope in the parameters is multiplied by the input.",
        note_latex=r"\|\nabla_\theta \ell\| \le \delta \|x_i\|", source="Huber and Ronchetti 2009, section 7.3",
    ),
    Claim(
        id="9.3.huber.smooth", lines=(318, 318), kind="property", verdict="true",
        statement="Its derivative is continuous.", latex=r"|\ell'(r) - \ell'(s)| \le |r - s|",
        judge=Matches(slope_is_lipschitz), stated=huber, other=lambda p, y: np.mean(np.abs(p - y)),
        note="Even Lipschitz; its second derivative jumps at ±δ.",
    ),
)  # fmt: skip
