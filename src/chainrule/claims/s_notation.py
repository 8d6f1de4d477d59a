"""Claims about notation: what a symbol or a convention means from one section to the next."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

import re
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims import s97_reinforcement as s97
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Bound, Derivative, Matches, Same, descend, normals, run_rule

MEANINGS = {
    r"\alpha": {"9.1.gd.update": "learning rate", "9.3.triplet.definition": "margin"},
    r"\beta": {
        "9.1.schedule.decay": "decay of the learning rate",
        "9.5.adam.momentum": "share kept",
        "9.6.batchnorm.affine": "shift",
    },
    r"\gamma": {"9.3.focal.definition": "focus", "9.6.batchnorm.affine": "scale", "9.7.q_learning": "discount"},
    r"\delta": {"9.2.delta.hidden": "sensitivity", "9.3.huber.definition": "threshold"},
    r"\sigma": {
        "9.1.sgd.bound": "noise",
        "9.2.forward.activation": "activation",
        "9.6.batchnorm.variance": "deviation of a batch",
    },
    "L": {"9.1.lipschitz": "Lipschitz constant", "9.2.delta.output": "number of the last layer", "9.3.mse.definition": "loss"},
    "R": {"9.1.sgd.bound": "distance", "9.4.l2.definition": "penalty", "9.7.objective": "return"},
    r"\theta": {"9.1.sgd.update": "parameters", "9.4.l2.gradient": "parameters", "9.7.policy_gradient": "parameters"},
}


def have_one_meaning_each(symbols: Any) -> tuple[bool, dict[str, float]]:
    """In the formulas of these claims, where each symbol is looked up: has it the same meaning in all of them?"""
    from chainrule.claims import claims

    formulas = {c.id: c.latex for c in claims()}
    for symbol in symbols:
        for id in MEANINGS[symbol]:
            if not re.search(rf"(?<![A-Za-z\\]){re.escape(symbol)}(?![A-Za-z])", formulas[id]):
                raise LookupError(f"there is no {symbol} in {formulas[id]}")
    found = {f"meanings of {s}": float(len(set(MEANINGS[s].values()))) for s in symbols}
    return max(found.values()) == 1, found


Y, P = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([0.2, 0.7, 0.4, 0.1, 0.9])
SIGNS, SCORES = 2 * Y - 1, normals(111, (5,))[0]
CLASSES, CHANCES = np.eye(2)[Y.astype(int)], np.stack([1 - P, P], 1)

# Each mean loss as a function of the predictions, the predictions, and its derivative but for the factor.
LOSSES: dict[str, tuple[Any, Any, Any]] = {
    "mse": (lambda p: cr.losses.mse(SCORES, p), P, lambda p: 2 * (p - SCORES)),
    "binary": (lambda p: cr.losses.binary_cross_entropy(Y, p), P, lambda p: (p - Y) / (p * (1 - p))),
    "categorical": (lambda p: cr.losses.categorical_cross_entropy(CLASSES, p), CHANCES, lambda p: -CLASSES / p),
    "hinge": (lambda s: cr.losses.hinge(SIGNS, s), SCORES, lambda s: np.where(SIGNS * s < 1, -SIGNS, 0.0)),
    "huber": (lambda s: cr.losses.huber(3 * Y, s, delta=1.0), SCORES, lambda s: np.clip(s - 3 * Y, -1.0, 1.0)),
}


def are_derivatives_of_means(factors: Any) -> tuple[bool, dict[str, float]]:
    """With these factors before them: are the derivatives those of the mean losses over five examples?"""
    found = {
        name: float(np.max(np.abs(cr.grad(f)(at) - factors[name](5) * slope(at)))) for name, (f, at, slope) in LOSSES.items()
    }
    return max(found.values()) < 1e-9, {f"difference, {name}": v for name, v in found.items()}


FIRST, SECOND, POINT = normals(112, (4, 3), (2, 4), (3,))


def two_layers(x: Any) -> Any:
    """A loss behind two linear maps and a tanh."""
    return np.sum(np.sin(SECOND @ np.tanh(FIRST @ x)))


def product_in_this_order(x: Any, outer: Any) -> Any:
    """dL/dy, dy/da, da/dz, dz/dx multiplied as they are written; `outer` lays dL/dy out as a row or as a column."""
    a = np.tanh(FIRST @ x)
    return np.reshape(outer(np.cos(SECOND @ a)) @ SECOND @ np.diag(1 - a**2) @ FIRST, (-1,))


BATCH, WEIGHTS, OFFSET = normals(113, (5, 3), (3, 3), (3,))


def layer_on_each_example(x: Any) -> Any:
    """W x + b, example by example."""
    return np.stack([WEIGHTS @ row + OFFSET for row in x])


def adam_with(square: Any, count: Any) -> Any:
    """Adam's way down a quadratic of three parameters, with this square and this count of steps in the corrections."""

    def run(curvatures: Any) -> Any:
        x, m, v = np.ones(3), np.zeros(3), np.zeros(3)
        for k in range(12):
            g = curvatures * x
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * square(g)
            x = x - 0.05 * (m / (1 - 0.9 ** count(k))) / (np.sqrt(v / (1 - 0.999 ** count(k))) + 1e-8)
        return x

    return run


def adam_of_the_library(curvatures: Any) -> Any:
    """The library's, from the same start."""
    return run_rule(cr.optim.adam(0.05, beta2=0.999), lambda x: curvatures * x, np.ones(3), 12)[-1]


def many_huber_gap(k: int, n: int) -> float:
    """Measured: f(x_k) - f* for a sum of n Huber functions (L = 1), from the point of ones, after k steps of length 1."""
    width = 1 / (2 * k + 1)
    x = descend(lambda x: np.clip(x, -width, width), np.ones(n), 1.0, k)
    return float(np.sum(np.where(np.abs(x) <= width, 0.5 * x * x, width * np.abs(x) - 0.5 * width**2)))


def raises_the_return(sign: float) -> tuple[bool, dict[str, float]]:
    """Fifty steps along the policy gradient with this sign before the learning rate: is the expected return higher in the end?"""
    (theta,) = s97.THETAS[0]
    end = descend(lambda t: -sign * cr.grad(s97.objective)(t), theta, 0.1, 50)
    before, after = float(s97.objective(theta)), float(s97.objective(end))
    return after > before, {"return before": before, "after": after}


CURVATURES = [(np.array([1.0, 8.0, 0.2]),), (np.array([0.1, 0.2, 3.0]),)]

CLAIMS = (
    Claim(
        id="notation.symbols", lines=(38, 794), kind="definition", verdict="imprecise",
        statement="Symbols keep their meaning from section to section.", latex=r"\alpha, \beta, \gamma, \delta, \sigma, L, R, \theta",
        judge=Matches(have_one_meaning_each), stated=tuple(MEANINGS), other=(r"\theta",),
        note="Of these only θ does, the parameters. L is a Lipschitz constant, a loss and the number of layers; σ an activation and two deviations; γ a focus, a "
        "scale and a discount; R a penalty, a distance and a return. A formula must be read with its own section.",
    ),
    Claim(
        id="notation.layout", lines=(52, 205), kind="definition", verdict="imprecise",
        statement="Derivatives are multiplied in the order in which the chain rule is written, gradients being columns as in the update rules.", latex=r"\nabla_x L = \frac{\partial L}{\partial y} \frac{\partial y}{\partial a} \frac{\partial a}{\partial z} \frac{\partial z}{\partial x}",
        judge=Derivative(two_layers, [(POINT,), (2 * POINT,)], name="derivative of a composition"),
        stated=lambda x: product_in_this_order(x, lambda g: g[:, None]), other=lambda x: product_in_this_order(x, lambda g: g[None, :]),
        note="In this order the derivatives are rows, that is Jacobian matrices. The recursion for δ has columns: transposed matrices, in the opposite order. Both are in use, "
        "and neither is named.",
        note_latex=r"\nabla_x L = \left(\frac{\partial z}{\partial x}\right)^{\mathsf T} \left(\frac{\partial a}{\partial z}\right)^{\mathsf T} \left(\frac{\partial y}{\partial a}\right)^{\mathsf T} \nabla_y L",
    ),
    Claim(
        id="notation.counter", lines=(61, 502), kind="definition", verdict="true",
        statement="Iterations are counted from zero: the first step leads from point 0 to point 1, and the corrections of Adam then have exponent 1.", latex=r"\hat m_{k+1} = \frac{m_{k+1}}{1 - \beta_1^{k+1}}, \quad k = 0, 1, \ldots",
        judge=Same(adam_of_the_library, CURVATURES, "the library's Adam"), stated=adam_with(lambda g: g * g, lambda k: k + 1), other=adam_with(lambda g: g * g, lambda k: k + 2),
        note="The schedule with the root of k does not keep to it.",
    ),
    Claim(
        id="notation.norm", lines=(76, 86), kind="bound", verdict="conditional",
        statement="The bounds hold in the norm ‖·‖, which is not named.", latex=r"f(x_k) - f(x^*) \le \frac{L \|x_0 - x^*\|^2}{2k}",
        judge=Bound(many_huber_gap, [(k, n) for k in (1, 4, 20) for n in (1, 5, 50)], "error on sums of Huber functions"),
        stated=lambda k, n: np.linalg.norm(np.ones(n), np.inf) ** 2 / (2 * k), other=lambda k, n: np.linalg.norm(np.ones(n)) ** 2 / (2 * k),
        note="Euclidean throughout. With the largest component instead (L = 1 in that norm too) the error in many dimensions exceeds the bound.",
        note_latex=r"\|x\| = \sqrt{x^{\mathsf T} x}",
    ),
    Claim(
        id="notation.rows_or_columns", lines=(183, 657), kind="definition", verdict="imprecise",
        statement="A layer multiplies its input by the weights, in networks (W x) as in attention (X W).", latex=r"W x + b \quad \text{and} \quad X W + b",
        judge=Same(layer_on_each_example, [(BATCH,)]), stated=lambda x: x @ WEIGHTS + OFFSET, other=lambda x: x @ WEIGHTS.T + OFFSET,
        note="An example is a column in the section on networks and a row in that on attention. The same layer has transposed weights there.",
        note_latex=r"(W x)^{\mathsf T} = x^{\mathsf T} W^{\mathsf T}",
    ),
    Claim(
        id="notation.means", lines=(240, 313), kind="derivative", verdict="false",
        statement="The derivatives belong to the losses as they are defined, as means over n examples.", latex=r"L = \frac1n \sum_i \ell_i, \quad \frac{\partial L}{\partial \hat y_i} = \frac{\partial \ell_i}{\partial \hat y_i} \text{ or } \frac1n \frac{\partial \ell_i}{\partial \hat y_i}",
        judge=Matches(are_derivatives_of_means),
        stated={**dict.fromkeys(("mse", "categorical"), lambda n: 1 / n), **dict.fromkeys(("binary", "hinge", "huber"), lambda n: 1)}, other=dict.fromkeys(LOSSES, lambda n: 1 / n),
        note="Two of five have the factor 1/n, and three are the derivatives of one example's loss. Mixed in one program, their learning rates differ by a factor of n.",
        note_latex=r"\frac{\partial L}{\partial \hat y_i} = \frac1n \frac{\partial \ell_i}{\partial \hat y_i}",
    ),
    Claim(
        id="notation.logarithm", lines=(259, 787), kind="definition", verdict="true",
        statement="Logarithms are natural.", latex=r"\frac{d}{dp} \log p = \frac1p",
        judge=Same(lambda p: cr.grad(lambda p: cr.losses.binary_cross_entropy(Y, p))(p), [(P,)], "derivative of the cross-entropy"),
        stated=lambda p: cr.grad(lambda p: -np.mean(Y * np.log(p) + (1 - Y) * np.log(1 - p)))(p), other=lambda p: cr.grad(lambda p: -np.mean(Y * np.log2(p) + (1 - Y) * np.log2(1 - p)))(p),
        note="So that divergences are in nats; the derivatives that are given fit no other base.",
    ),
    Claim(
        id="notation.half", lines=(364, 408), kind="definition", verdict="imprecise",
        statement="The strength of the squared penalty means the same in ridge and elastic net.", latex=r"\frac{\lambda}{2} \|\theta\|_2^2 \quad \text{and} \quad \lambda_2 \|\theta\|_2^2",
        judge=Same(cr.grad(lambda t, s: 0.5 * s * np.sum(t * t)), [(POINT, 0.3), (BATCH, 2.0)], "gradient of the ridge penalty"),
        stated=lambda t, s: cr.grad(lambda t: cr.regularizers.elastic_net(0.0, s)(t))(t), other=lambda t, s: cr.grad(lambda t: cr.regularizers.elastic_net(0.0, s / 2)(t))(t),
        note="One has a half before it and the other has not: the same number is twice as strong in the elastic net.", note_latex=r"\lambda_2 = \lambda / 2",
    ),
    Claim(
        id="notation.elementwise", lines=(485, 547), kind="definition", verdict="imprecise",
        statement="The square of a gradient, and the root and the fraction made of it, are written as for numbers.", latex=r"v_{k+1} = \beta_2 v_k + (1 - \beta_2) (\nabla L)^2",
        judge=Same(adam_of_the_library, CURVATURES, "the library's Adam"), stated=adam_with(lambda g: g @ g, lambda k: k + 1), other=adam_with(lambda g: g * g, lambda k: k + 1),
        note="They act on each element. Read as the square of a vector, the product with itself, every parameter would have the same rate. (Elsewhere such products are marked by ⊙.)",
        note_latex=r"v_{k+1} = \beta_2 v_k + (1 - \beta_2)\, \nabla L \odot \nabla L",
    ),
    Claim(
        id="notation.up_or_down", lines=(709, 787), kind="update", verdict="imprecise",
        statement="All objectives are followed by the one update rule that is given, against the gradient.", latex=r"\theta \leftarrow \theta - \alpha \nabla J(\theta)",
        judge=Matches(raises_the_return), stated=-1.0, other=1.0,
        note="Losses go down. The expected return J and the bound of the autoencoder are to go up, which is not said.", note_latex=r"\theta \leftarrow \theta + \alpha \nabla J(\theta)",
    ),
)  # fmt: skip
