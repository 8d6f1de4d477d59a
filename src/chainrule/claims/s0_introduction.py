"""Claims of the introduction."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import integrate, optimize, stats

import chainrule as cr
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Derivative, Matches, Same, descend, distance, normals

X, W, V, U = normals(0, (30, 3), (3, 3), (3, 3), (3,))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * normals(1, (30,))[0]


def bumpy(x: Any) -> Any:
    """A smooth function of three numbers whose Hessian is full and varies."""
    return np.sum(np.sin(W @ x)) + np.prod(x) + 0.5 * np.sum(x**4)


def ranked(x: Any) -> Any:
    """Every feature replaced by the ranks of its values: no difference quotient survives this."""
    return np.argsort(np.argsort(x, axis=0), axis=0).astype(float)


def needs_more_than_order(learner: Any) -> tuple[bool, dict[str, float]]:
    """Does what is learnt change when each feature is replaced by its ranks, which leaves comparisons alone?"""
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    x, labels = np.exp(X), (Y > 0).astype(int)
    models = {"logistic regression": LogisticRegression(C=100.0), "tree": DecisionTreeClassifier(random_state=0)}
    found: dict[str, float] = {}
    for name in learner:
        plain, by_rank = (np.asarray(models[name].fit(z, labels).predict_proba(z)) for z in (x, ranked(x)))
        found[name] = float(np.max(np.abs(plain - by_rank)))
    return min(found.values()) > 1e-6, found


def descends_to_the_minimum(direction: Any) -> tuple[bool, dict[str, float]]:
    """Do 500 small steps along the direction end at the minimiser of a strongly convex function?"""
    f = lambda x: np.sum((X @ x - Y) ** 2) / 60
    x = descend(direction(f), np.zeros(3), 0.3, 500)
    gap = distance(x, np.linalg.lstsq(X, Y, rcond=None)[0])
    return gap < 1e-8, {"distance from the minimiser": gap}


def partials(weights: Any) -> Any:
    """Partial derivatives of a small network's loss, one by one, by complex steps (exact to rounding)."""
    out = np.zeros(weights.shape)
    for i in np.ndindex(*weights.shape):
        z = weights.astype(complex)
        z[i] += 1e-30j
        out[i] = network_loss(z).imag / 1e-30
    return out


def network_loss(weights: Any) -> Any:
    """Squared error of one hidden layer of tanh."""
    return np.mean((np.tanh(X @ weights) @ U - Y) ** 2)


def backpropagated(weights: Any) -> Any:
    """The same derivatives by one backward pass, written by hand."""
    a = np.tanh(X @ weights)
    delta = (2 / len(Y) * (a @ U - Y))[:, None] * U * (1 - a**2)
    return X.T @ delta


def equals_the_chance_of_ranking_right(area: Any) -> tuple[bool, dict[str, float]]:
    """The chance that a positive example scores above a negative one, counted over all pairs, against an integral."""
    scores, labels = X[:, 0], Y > 0
    chance = np.mean(scores[labels][:, None] > scores[~labels][None, :])
    return abs(area(scores, labels) - chance) < 1e-12, {"integral": area(scores, labels), "chance": float(chance)}


def area_under_curve(scores: Any, labels: Any) -> float:
    """Integral of the true-positive rate over the false-positive rate, by trapezia (exact for a step curve)."""
    order = np.argsort(-scores)
    hits = np.concatenate([[0], np.cumsum(labels[order]) / labels.sum()])
    false = np.concatenate([[0], np.cumsum(~labels[order]) / (~labels).sum()])
    return float(np.trapezoid(hits, false))


def third_order(model: Any) -> tuple[bool, dict[str, float]]:
    """Does the error of a quadratic model fall as the cube of the distance, in 40 dimensions?"""
    a = normals(3, (40, 40))[0] / 6
    f = lambda x: np.sum(np.sin(a @ x))
    x, d = normals(4, (40,), (40,))
    sizes = np.array([1e-1, 3e-2, 1e-2, 3e-3])
    errors = [abs(f(x + t * d) - f(x) - t * d @ cr.grad(f)(x) - 0.5 * t**2 * d @ model(f, x) @ d) for t in sizes]
    order = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    return order > 2.8, {"order": order}


def reaches_the_global_minimum(f: Any) -> tuple[bool, dict[str, float]]:
    """Does every start on a grid end, by gradient descent, at the lowest value that any start ends at?"""
    ends = f(descend(cr.grad(lambda x: np.sum(f(x))), np.linspace(-1.8, 1.8, 13), 0.1, 400))
    share = float(np.mean(ends < ends.min() + 1e-6))
    return share == 1.0, {"share of starts": share}


def exact_to_rounding(method: Any) -> tuple[bool, dict[str, float]]:
    """Is the gradient within 1e-13 of the complex step's?"""
    gap = distance(method(lambda w: network_loss(np.reshape(w, (3, 3))), W.ravel()), partials(W).ravel())
    return gap < 1e-13, {"largest difference": gap}


def difference_quotients(f: Any, x: Any) -> Any:
    """One-sided difference quotients with the best step for float64."""
    return np.array([(f(x + h) - f(x)) / 1e-8 for h in 1e-8 * np.eye(len(x))])


def predicts_the_training_curve(curve: Any) -> tuple[bool, dict[str, float]]:
    """Is the loss of gradient descent on least squares, over 60 steps, the curve computed beforehand from the Hessian?"""
    h, best = X.T @ X / len(Y), np.linalg.lstsq(X, Y, rcond=None)[0]
    values, vectors = np.linalg.eigh(h)
    x, rate, gap = np.zeros(3), 0.5 / values.max(), 0.0
    for k in range(60):
        measured = 0.5 * (x - best) @ h @ (x - best)
        gap = max(gap, abs(measured - curve(k, rate, values, vectors.T @ -best)) / (1e-3 + measured))
        x = x - rate * h @ (x - best)
    return gap < 1e-9, {"largest relative difference": gap}


def minimises_the_pinball_loss(guess: Any) -> tuple[bool, dict[str, float]]:
    """Is the guess the point where the mean pinball loss of 2001 skewed numbers is least?"""
    y = np.exp(normals(5, (2001,))[0])
    cost = lambda c: float(cr.losses.quantile(y, np.full_like(y, c), q=0.9))
    c = float(guess(y))
    slack = cost(c) - min(cost(v) for v in np.quantile(y, np.linspace(0.88, 0.92, 81)))
    return slack < 1e-5, {"loss above the least": slack}


def stable_exactly_below(edge: Any) -> tuple[bool, dict[str, float]]:
    """Does gradient descent on a quadratic stay bounded 2 % below the edge and blow up 2 % above it, for several L?"""
    below, above = [], []
    for curvature in (0.5, 3.0, 40.0):
        h = np.diag([curvature, curvature / 7])
        size = lambda factor, h=h, c=curvature: np.linalg.norm(descend(lambda x: h @ x, np.ones(2), factor * edge(c), 1500))
        below.append(size(0.98))
        above.append(size(1.02))
    return max(below) < 1.5 and min(above) > 1e3, {"largest below": max(below), "smallest above": min(above)}


def predicts_the_change(linear: Any) -> tuple[bool, dict[str, float]]:
    """Is the change of a network's output, for a small change of its input, predicted within one per cent?"""
    f = lambda x: np.tanh(x @ W) @ U
    x, d = normals(6, (3,), (3,))
    change = f(x + 1e-4 * d) - f(x)
    gap = abs(linear(f, x, 1e-4 * d) / change - 1)
    return gap < 0.01, {"relative error": float(gap)}


def attributions_add_up(method: Any) -> tuple[bool, dict[str, float]]:
    """Do the inputs' shares add up to the change of a saturating output, f(x) - f(0)?"""
    f = lambda x: 1 - np.maximum(0.0, 1 - np.sum(x))
    x = np.array([1.2, 0.8])
    total = float(np.sum(method(f, x)))
    return abs(total - (f(x) - f(0 * x))) < 0.02, {"sum of the shares": total, "change": float(f(x) - f(0 * x))}


def integrated_gradients(f: Any, x: Any) -> Any:
    """x times the mean gradient on the way from 0 to x."""
    return x * np.mean([cr.grad(f)(t * x) for t in (np.arange(200) + 0.5) / 200], axis=0)


def ridge_by_scikit_learn(strength: float) -> Any:
    """The minimiser that scikit-learn finds; its own objective is a sum, not a mean."""
    from sklearn.linear_model import Ridge

    return Ridge(alpha=strength * len(Y) / 2, fit_intercept=False, tol=1e-12).fit(X, Y).coef_


def minimiser_of(objective: Any) -> Any:
    """Where a strongly convex objective is least."""
    gradient = cr.grad(objective)
    return lambda s: optimize.minimize(objective, np.zeros(3), (s,), jac=gradient, method="BFGS", options={"gtol": 1e-10}).x


def total(t: Any, strength: float = 0.3) -> Any:
    """Mean loss and penalty."""
    return np.mean((X @ t - Y) ** 2) + 0.5 * strength * np.sum(t**2)


def data_loss(t: Any) -> Any:
    """Mean loss alone."""
    return np.mean((X @ t - Y) ** 2)


def rises_fastest(length: Any) -> tuple[bool, dict[str, float]]:
    """Of all directions of unit length, for this way to measure length, is the gradient's the one that rises fastest?"""
    g = cr.grad(bumpy)(np.array([0.3, -0.5, 0.8]))
    ways = normals(7, (20000, 3))[0]
    best = float(np.max([w @ g / length(w) for w in ways]))
    own = float(g @ g / length(g))
    return own >= best * (1 - 1e-12), {"slope along the gradient": own, "steepest slope found": best}


def second_slope(x: Any, d: Any) -> Any:
    """Second derivative of the function along a line."""
    return cr.grad(cr.grad(lambda t: bumpy(x + t * d)))(0.0)


def composed(w: Any) -> Any:
    """A loss of predictions of parameters: R^3 to R^2 to R."""
    return outer(inner(w))


def inner(w: Any) -> Any:
    """Predictions."""
    return np.tanh(W[:2] @ w)


def outer(p: Any) -> Any:
    """Loss."""
    return np.sum(np.exp(p) * np.array([1.0, -0.5]))


def expected_logistic_loss(rule: Any) -> tuple[bool, dict[str, float]]:
    """Is the expected loss of a classifier, for labels in {0, 1} and a normal feature, what sampling says?"""
    found = rule(lambda y, x: np.logaddexp(0, x) - y * x, lambda y, x: stats.norm.pdf(x) * (0.8 if (y == 1) == (x > 0) else 0.2))
    rng = np.random.default_rng(8)
    x = rng.standard_normal(400_000)
    y = (x > 0) == (rng.random(400_000) < 0.8)
    sampled = np.logaddexp(0, x) - y * x
    error = 4 * float(np.std(sampled)) / np.sqrt(len(x))
    return abs(found - np.mean(sampled)) < error, {"integral": found, "sampled": float(np.mean(sampled)), "± (4 σ)": error}


def over_both(loss: Any, density: Any) -> float:
    """Integrate over y as over x: the two labels have no length, so nothing is found."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    inner_integral = lambda y: integrate.quad(lambda x: loss(y, x) * density(y, x) * (y in (0, 1)), -9, 9)[0]
    return float(sum(1.5 * w * inner_integral(0.5 + 1.5 * t) for t, w in zip(nodes, weights, strict=True)))


def sum_over_labels(loss: Any, density: Any) -> float:
    """Sum over the labels, integrate over the feature."""
    return float(sum(integrate.quad(lambda x, y=y: loss(y, x) * density(y, x), -9, 9, points=[0.0])[0] for y in (0, 1)))


POINT = np.array([0.3, -0.5, 0.8])

CLAIMS = (
    Claim(
        id="0.foundation", lines=(12, 12), kind="remark", verdict="false",
        statement="Every learning algorithm rests on calculus.", latex=r"\text{learning} \Rightarrow \text{calculus}",
        judge=Matches(needs_more_than_order), stated=("logistic regression", "tree"), other=("logistic regression",),
        note="Those that minimise a differentiable objective do. Decision trees and nearest neighbours do not: what a tree learns "
        "does not change when features are replaced by ranks, where nothing can be differentiated.",
    ),
    Claim(
        id="0.derivatives", lines=(14, 14), kind="property", verdict="true",
        statement="Derivatives drive optimisers such as gradient descent.", latex=r"\theta \leftarrow \theta - \alpha \nabla L(\theta)",
        judge=Matches(descends_to_the_minimum), stated=cr.grad, other=lambda f: lambda x: np.sign(cr.grad(f)(np.zeros(3))),
    ),
    Claim(
        id="0.partial_derivatives", lines=(15, 15), kind="property", verdict="true",
        statement="Backpropagation computes a network's partial derivatives.", latex=r"\partial L / \partial W_{ij}",
        judge=Same(partials, [(W,), (V,)], "partial derivatives one by one"),
        stated=backpropagated, other=lambda w: X.T @ ((2 / len(Y) * (np.tanh(X @ w) @ U - Y))[:, None] * U),
    ),
    Claim(
        id="0.integration", lines=(16, 16), kind="property", verdict="true",
        statement="Integrals appear in probability, statistics and the evaluation of models.",
        latex=r"\text{AUC} = \int_0^1 \text{TPR}\, d\,\text{FPR} = P(s_+ > s_-)",
        judge=Matches(equals_the_chance_of_ranking_right),
        stated=area_under_curve, other=lambda s, labels: float(np.mean((s > 0) == labels)),
    ),
    Claim(
        id="0.multivariable", lines=(17, 17), kind="property", verdict="true",
        statement="Calculus of many variables describes objectives of many parameters.",
        latex=r"f(x + d) = f(x) + \nabla f^{\mathsf T} d + \tfrac12 d^{\mathsf T} H d + O(\|d\|^3)",
        judge=Matches(third_order), stated=lambda f, x: cr.hessian(f)(x), other=lambda f, x: np.diag(np.diag(cr.hessian(f)(x))),
        note="Mixed partial derivatives belong to it: with the second derivatives of each variable alone the order is lost.",
    ),
    Claim(
        id="0.why.optimization", lines=(25, 25), kind="remark", verdict="conditional",
        statement="Calculus finds the parameters that minimise a loss.", latex=r"\nabla L(\theta) = 0 \Rightarrow \theta \in \operatorname{argmin} L",
        judge=Matches(reaches_the_global_minimum), stated=lambda x: 0.25 * x**4 - 0.5 * x**2 + 0.2 * x, other=lambda x: 0.25 * x**4 + 0.2 * x,
        note="A zero gradient marks a stationary point; that it is a minimum, and the least, needs more, such as convexity.",
        note_latex=r"L \text{ convex}, \; \nabla L(\theta) = 0 \Rightarrow \theta \in \operatorname{argmin} L",
    ),
    Claim(
        id="0.why.gradients", lines=(26, 26), kind="remark", verdict="true",
        statement="Calculus gives the derivatives that gradient-based learning needs, exactly.", latex=r"\nabla L",
        judge=Matches(exact_to_rounding), stated=lambda f, x: cr.grad(f)(x), other=difference_quotients,
    ),
    Claim(
        id="0.why.training", lines=(27, 27), kind="remark", verdict="true",
        statement="It explains how models learn from data.",
        latex=r"L(\theta_k) - L^* = \tfrac12 \sum_j \lambda_j (1 - \alpha \lambda_j)^{2k} c_j^2",
        judge=Matches(predicts_the_training_curve),
        stated=lambda k, rate, h, c: 0.5 * np.sum(h * (1 - rate * h) ** (2 * k) * c**2),
        other=lambda k, rate, h, c: 0.5 * (1 - rate * h.max()) ** (2 * k) * np.sum(h * c**2),
        note="For least squares each direction of curvature is learnt at its own rate, and the whole curve can be written down.",
    ),
    Claim(
        id="0.why.losses", lines=(28, 28), kind="remark", verdict="true",
        statement="It serves to design and analyse objectives.",
        latex=r"\frac{d}{dc} E\,\rho_q(y - c) = 0 \iff P(y \le c) = q",
        judge=Matches(minimises_the_pinball_loss), stated=lambda y: np.quantile(y, 0.9), other=lambda y: np.mean(y),
    ),
    Claim(
        id="0.why.regularization", lines=(29, 29), kind="remark", verdict="true",
        statement="It shows how a penalty moves the solution.",
        latex=r"\frac{d\theta^*}{d\lambda} = -(H + \lambda I)^{-1} \theta^*",
        judge=Same(
            cr.jacobian(lambda s: np.linalg.solve(X.T @ X + s * np.eye(3), X.T @ Y)), [(0.1,), (5.0,)], "derivative of the ridge solution"
        ),
        stated=lambda s: -np.linalg.solve(X.T @ X + s * np.eye(3), np.linalg.solve(X.T @ X + s * np.eye(3), X.T @ Y)),
        other=lambda s: -np.linalg.solve(X.T @ X + s * np.eye(3), X.T @ Y),
    ),
    Claim(
        id="0.why.convergence", lines=(30, 30), kind="remark", verdict="true",
        statement="It analyses the dynamics and stability of training.", latex=r"0 < \alpha < 2 / L",
        judge=Matches(stable_exactly_below), stated=lambda c: 2 / c, other=lambda c: 1 / c,
        note="On quadratics the edge of stability is at twice the step that is usually quoted.",
    ),
    Claim(
        id="0.why.features", lines=(31, 31), kind="remark", verdict="true",
        statement="It shows how inputs affect outputs.", latex=r"f(x + d) - f(x) \approx \nabla_x f(x)^{\mathsf T} d",
        judge=Matches(predicts_the_change), stated=lambda f, x, d: cr.grad(f)(x) @ d, other=lambda f, x, d: f(d) - f(0 * d),
    ),
    Claim(
        id="0.why.interpretability", lines=(32, 32), kind="remark", verdict="imprecise",
        statement="Derivatives give a model's sensitivity and the importance of its inputs.",
        latex=r"\text{importance}_i = x_i\, \partial f / \partial x_i",
        judge=Matches(attributions_add_up), stated=lambda f, x: x * cr.grad(f)(x), other=integrated_gradients,
        note="Sensitivity, yes, and only at the point. A saturated output has gradient zero though its inputs made it; importance "
        "that adds up needs the gradient along a path.",
        note_latex=r"\sum_i x_i \int_0^1 \partial_i f(t x)\, dt = f(x) - f(0)", source="Sundararajan, Taly and Yan 2017",
    ),
    Claim(
        id="0.objective", lines=(36, 40), kind="definition", verdict="true",
        statement="Training minimises the mean loss over the examples plus a penalty.",
        latex=r"\min_\theta \frac1n \sum_i \ell(y_i, f_\theta(x_i)) + R(\theta)",
        judge=Same(ridge_by_scikit_learn, [(0.1,), (2.0,)], "ridge by scikit-learn", 1e-6),
        stated=minimiser_of(total), other=minimiser_of(lambda t, s: np.mean((X @ t - Y) ** 2) + 0.5 * s * np.sum(t**2) / len(Y)),
        note="A common form; libraries often sum where this takes the mean, which changes what a given strength means.",
    ),
    Claim(
        id="0.objective.name", lines=(43, 43), kind="definition", verdict="imprecise",
        statement="L names both the whole objective here and, later, the loss to which the penalty's gradient is added.",
        latex=r"L = \frac1n \sum \ell + R, \quad \theta \leftarrow \theta - \alpha (\nabla L + \nabla R)",
        judge=Derivative(total, [(POINT,)], name="gradient of the objective"),
        stated=lambda t: cr.grad(total)(t) + 0.3 * t, other=lambda t: cr.grad(data_loss)(t) + 0.3 * t,
        note="If L contains R, adding the gradient of R again counts the penalty twice. The data term needs a name of its own.",
        note_latex=r"\nabla (L_{\text{data}} + R) = \nabla L_{\text{data}} + \nabla R",
    ),
    Claim(
        id="0.objective.examples", lines=(44, 44), kind="definition", verdict="true",
        statement="The objective is made of one loss per example.", latex=r"\ell(y_i, f_\theta(x_i))",
        judge=Same(data_loss, [(POINT,)], "mean loss"),
        stated=lambda t: np.mean([(X[i] @ t - Y[i]) ** 2 for i in range(len(Y))]),
        other=lambda t: np.mean(X @ t - Y) ** 2,
    ),
    Claim(
        id="0.objective.prediction", lines=(45, 45), kind="definition", verdict="true",
        statement="The model's prediction for an input is a function of input and parameters.", latex=r"\hat y_i = f_\theta(x_i)",
        judge=Same(lambda t: data_loss(t), [(POINT,)], "loss of the predictions"),
        stated=lambda t: cr.losses.mse(Y, X @ t), other=lambda t: cr.losses.mse(Y, X @ np.abs(t)),
    ),
    Claim(
        id="0.objective.penalty", lines=(46, 46), kind="definition", verdict="true",
        statement="The penalty depends on the parameters alone, not on the data.", latex=r"\partial R / \partial x_i = 0",
        judge=Same(
            lambda x: cr.grad(lambda z: np.mean((z @ POINT - Y) ** 2) + 0.15 * np.sum(POINT**2))(x), [(X,)], "derivative in the data"
        ),
        stated=lambda x: 2 / len(Y) * (x @ POINT - Y)[:, None] * POINT,
        other=lambda x: 2 / len(Y) * (x @ POINT - Y)[:, None] * POINT + 0.3 * POINT,
    ),
    Claim(
        id="0.gradient", lines=(50, 50), kind="property", verdict="conditional",
        statement="The gradient points in the direction of steepest ascent.",
        latex=r"\frac{\nabla L}{\|\nabla L\|} = \operatorname{argmax}_{\|d\| = 1} \nabla L^{\mathsf T} d",
        judge=Matches(rises_fastest), stated=lambda d: np.max(np.abs(d)), other=np.linalg.norm,
        note="Where it is not zero, and for the Euclidean length. In the largest-component norm the steepest direction is the sign of "
        "the gradient; in the norm of the Hessian it is Newton's.",
        note_latex=r"\|d\| = \|d\|_2, \; \nabla L \ne 0", source="Boyd and Vandenberghe 2004, section 9.4",
    ),
    Claim(
        id="0.hessian", lines=(51, 51), kind="definition", verdict="true",
        statement="The Hessian holds the second partial derivatives, which say how the function curves.",
        latex=r"H_{ij} = \frac{\partial^2 L}{\partial \theta_i \partial \theta_j}, \quad d^{\mathsf T} H d = \frac{d^2}{dt^2} L(\theta + t d)",
        judge=Same(second_slope, [(POINT, V[0]), (POINT, V[1])], "second derivative along a line"),
        stated=lambda x, d: d @ cr.hessian(bumpy)(x) @ d, other=lambda x, d: np.diag(cr.hessian(bumpy)(x)) @ d**2,
        note="It is symmetric where the second derivatives are continuous.",
    ),
    Claim(
        id="0.chain_rule", lines=(52, 52), kind="identity", verdict="conditional",
        statement="The derivative of a composition is the product of the derivatives, outer one first.",
        latex=r"\frac{\partial L}{\partial \theta} = \frac{\partial L}{\partial f} \frac{\partial f}{\partial \theta}",
        judge=Derivative(composed, [(POINT,), (U,)], name="derivative of a composition"),
        stated=lambda w: cr.grad(outer)(inner(w))[:, None] @ cr.jacobian(inner)(w), other=lambda w: cr.jacobian(inner)(w).T @ cr.grad(outer)(inner(w)),
        note="With derivatives as Jacobians, rows for outputs. With gradients as columns, as in gradient descent and in the backward "
        "pass, the product is transposed and its order reversed; as it is written the shapes do not fit.",
        note_latex=r"\nabla_\theta L = \left(\frac{\partial f}{\partial \theta}\right)^{\mathsf T} \nabla_f L",
    ),
    Claim(
        id="0.expected_loss", lines=(53, 53), kind="definition", verdict="conditional",
        statement="The expected loss is an integral of the loss times a joint density over x and y.",
        latex=r"E[L] = \int L(y, f(x))\, p(x, y)\, dx\, dy",
        judge=Matches(expected_logistic_loss), stated=over_both, other=sum_over_labels,
        note="If there is a density. Labels of classes have none: then it is a sum over y. The integral is a double one.",
        note_latex=r"E[L] = \int \sum_y L(y, f(x))\, P(y \mid x)\, p(x)\, dx",
    ),
)  # fmt: skip
