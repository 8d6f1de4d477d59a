"""Claims of 9.4 about clipping gradients and about dropout."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from itertools import product
from math import hypot
from typing import Any

import numpy as np
from scipy import special

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Bound, Matches, Same, above, distance, normals
from chainrule.claims.s94_penalties import small_data

GRADIENTS = [(g, c) for g in (*normals(90, (3,), (5,)), 100 * normals(91, (4,))[0], np.zeros(3)) for c in (0.5, 2.0)]


def clip_by_cases(g: Any, c: float) -> Any:
    """The gradient if it is short, else one of length c in its direction."""
    size = np.linalg.norm(g)
    return g if size <= c else c * g / size


def chain_gradient(w: Any) -> Any:
    """Gradient of ½(1 - Π w)², along the last axis: a deep network with one weight per layer."""
    p = np.prod(w, axis=-1, keepdims=True)
    return -(1 - p) * p / w


def stays_below_the_bound(seen: Any) -> tuple[bool, dict[str, float]]:
    """Training 50 layers of one weight with gradients clipped to 1: is this never above 1 in the first 20 steps?"""
    w, most = np.full(50, 1.3), 0.0
    for _ in range(20):
        g = chain_gradient(w)
        move = clip_by_cases(g, 1.0)
        most = max(most, float(np.linalg.norm(seen(g, move))))
        w = w - 0.01 * move
    return most <= 1 + 1e-12, {"largest norm": most}


def is_defined_for_every_gradient(formula: Any) -> tuple[bool, dict[str, float]]:
    """In plain arithmetic, where nothing may be divided by zero: is this the clipped gradient, for a gradient of zero too?"""
    worst, failed = 0.0, 0
    for g in ((3.0, 4.0), (0.3, -0.4), (0.0, 0.0)):
        try:
            worst = max(worst, distance(np.array(formula(g, 1.0)), clip_by_cases(np.array(g), 1.0)))
        except ZeroDivisionError:
            failed += 1
    return worst < 1e-12 and not failed, {"largest difference": worst, "divisions by zero": failed}


def length_of_the_step(alpha: float, c: float, size: float) -> float:
    """Measured: how far one step of descent with clipping goes."""
    rule = cr.optim.chain(cr.optim.clip_by_global_norm(c), cr.optim.gradient_descent(alpha))
    x = np.zeros(3)
    return float(np.linalg.norm(rule.step(x, size * np.array([1.0, -2.0, 2.0]) / 3, rule.init(x))[0]))


def trains_twelve_layers(c: float) -> Finding:
    """From 200 random starts with weights up to 1.6, is the share of runs that end below a loss of 10⁻⁴ above 0.95?"""
    w = np.random.default_rng(92).uniform(0.8, 1.6, (200, 12))
    with np.errstate(all="ignore"):
        for _ in range(1500):
            g = chain_gradient(w)
            w = w - 0.01 * g * np.minimum(1, c / np.linalg.norm(g, axis=-1, keepdims=True))
        loss = 0.5 * (1 - np.prod(w, axis=-1)) ** 2
    return above((loss < 1e-4) * 1.0, 0.95)


def widens_the_range_of_rates(slope: Any) -> tuple[bool, dict[str, float]]:
    """Started at π², is the largest learning rate that converges more than three times as large with clipping as without?"""
    rates = np.logspace(-4, 1, 101)

    def largest(c: float) -> float:
        x = np.full(101, np.pi**2)
        for _ in range(3000):
            x = x - rates * np.clip(slope(x), -c, c)
        return float(rates[np.abs(x) < 0.1].max(initial=rates[0]))

    plain, clipped = largest(np.inf), largest(1.0)
    return clipped > 3 * plain, {"without clipping": plain, "with clipping": clipped}


def keeps_or_zeroes(layer: Any) -> tuple[bool, dict[str, float]]:
    """Is every activation either as it was or zero, and are both common?"""
    a = normals(93, (1000,))[0]
    out = layer(a, np.random.default_rng(94).random(1000) < 0.6)
    kept, gone = float(np.mean(out == a)), float(np.mean(out == 0))
    return kept + gone == 1 and min(kept, gone) > 0.2, {"kept": kept, "zero": gone}


RATES = (0.1, 0.3, 0.8)


def drops_with_that_probability(chance_of_one: Any) -> Finding:
    """With p the probability of dropping: is the share of zeros p, for three values of p?"""
    rng, worst = np.random.default_rng(95), 0.0
    for p in RATES:
        mask = rng.random(100_000) < chance_of_one(p)
        worst = max(worst, abs(float(np.mean(~mask)) - p) / np.sqrt(p * (1 - p) / 100_000))
    return Finding(worst < 4, {"largest difference in standard errors": worst})


def expected_activation(p: float) -> Any:
    """Mean activation in training over all masks, each weighted by its probability; p is the probability of dropping."""
    a = np.array([1.5, -0.5, 2.0])
    masks = np.array(list(product((0, 1), repeat=3)))
    chance = np.prod(np.where(masks == 1, 1 - p, p), axis=1)
    return chance @ (masks * a)


def inference(scale: Any) -> Any:
    """Activations in inference with this factor."""
    return lambda p: scale(p) * np.array([1.5, -0.5, 2.0])


def meaning_of_the_letter(drop: Any) -> tuple[bool, dict[str, float]]:
    """If activations are multiplied by p in inference: what must the chance of dropping be for means to agree with training?"""
    worst = max(distance(expected_activation(drop(p)), inference(lambda p: p)(p)) for p in RATES)
    return worst < 1e-12, {"largest difference": worst}


def dropout_fit(x: Any, y: Any, p: float) -> Any:
    """Least squares with dropout on the features, the mean over all masks taken exactly; as it is used in inference."""
    keep, gram = 1 - p, x.T @ x
    return keep * np.linalg.solve(keep * gram + p * np.diag(np.diag(gram)), x.T @ y)


def generalises_better(p: float) -> Finding:
    """Is the expected error on new data below that without dropout, over 150 data sets?"""
    gains = []
    for seed in range(1000, 1150):
        x, y, true = small_data(seed)
        plain, dropped = (np.sum((dropout_fit(x, y, q) - true) ** 2) for q in (0.0, p))
        gains.append(min(float(plain - dropped), 20.0))  # least squares can be off by any amount: its tail must not decide
    return above(gains)


def ensemble(w: Any, x: Any) -> float:
    """The geometric mean of the predictions of all 2⁵ thinned logistic models, each weighted by its probability, normalised."""
    masks = np.array(list(product((0, 1), repeat=5)))
    chance = np.prod(np.where(masks == 1, 0.7, 0.3), axis=1)
    yes = np.exp(chance @ np.log(special.expit(masks @ (w * x))))
    no = np.exp(chance @ np.log(special.expit(-(masks @ (w * x)))))
    return float(yes / (yes + no))


def bears_noise(p: float) -> Finding:
    """Does noise in the inputs raise the error by less than without dropout, on average over 100 data sets?"""
    rises = []
    for seed in range(3000, 3100):
        x, y, _ = small_data(seed)
        plain, dropped = (np.sum(dropout_fit(x, y, q) ** 2) for q in (0.0, p))  # noise of variance one adds the squared norm
        rises.append(min(float(plain - dropped), 20.0))
    return above(rises)


def norm(g: tuple[float, ...]) -> float:
    """Euclidean length."""
    return hypot(*g)


CLAIMS = (
    Claim(
        id="9.4.clip.motivation", lines=(420, 420), kind="property", verdict="imprecise",
        statement="Clipping prevents exploding gradients in deep networks.", latex=r"\|\nabla L\| \le c",
        judge=Matches(stays_below_the_bound), stated=lambda g, move: g, other=lambda g, move: move,
        note="The gradients explode all the same, in the backward pass; clipping keeps the steps that follow from them short.",
        note_latex=r"\|\theta_{k+1} - \theta_k\| \le \alpha c", source="Pascanu, Mikolov and Bengio 2013",
    ),
    Claim(
        id="9.4.clip.definition", lines=(421, 426), kind="definition", verdict="true",
        statement="A gradient longer than c is shortened to c, its direction kept.", latex=r"c \nabla L / \|\nabla L\| \text{ if } \|\nabla L\| > c",
        judge=Same(lambda g, c: cr.optim.clipped(g, c), GRADIENTS, "the library's clipping"), stated=clip_by_cases, other=lambda g, c: g / max(1.0, c),
    ),
    Claim(
        id="9.4.clip.global", lines=(430, 433), kind="definition", verdict="conditional",
        statement="It is the gradient times the smaller of one and c over its norm.", latex=r"\nabla L \min(1, c / \|\nabla L\|)",
        judge=Matches(is_defined_for_every_gradient), stated=lambda g, c: [x * min(1, c / norm(g)) for x in g], other=lambda g, c: [x * c / max(norm(g), c) for x in g],
        note="Where the gradient is not zero; at a stationary point it divides by zero. The norm is that of all parameters together.",
        note_latex=r"\nabla L \cdot \frac{c}{\max(\|\nabla L\|, c)}",
    ),
    Claim(
        id="9.4.clip.elementwise", lines=(435, 438), kind="definition", verdict="true",
        statement="Each element keeps its sign and is cut off at c.", latex=r"\operatorname{sign}(g_i) \min(|g_i|, c)",
        judge=Same(lambda g, c: np.clip(g, -c, c), GRADIENTS, "NumPy's clip"), stated=lambda g, c: np.sign(g) * np.minimum(np.abs(g), c), other=clip_by_cases,
        note="By element, not by array. The direction changes.",
    ),
    Claim(
        id="9.4.clip.stability", lines=(442, 442), kind="property", verdict="true",
        statement="It keeps updates from becoming too large.", latex=r"\|\theta_{k+1} - \theta_k\| \le \alpha c",
        judge=Bound(length_of_the_step, [(a, c, s) for a in (0.1, 1.0) for c in (0.5, 5.0) for s in (0.1, 3.0, 1e6)], "length of a clipped step"),
        stated=lambda a, c, s: a * c, other=lambda a, c, s: 0.5 * a * c,
        note="For plain descent; with momentum β by α c / (1 - β). Adam's steps are bounded without it.",
    ),
    Claim(
        id="9.4.clip.convergence", lines=(443, 443), kind="property", verdict="true",
        statement="It helps deep networks to converge.", latex=r"L(\theta_k) \to 0",
        judge=trains_twelve_layers, stated=1.0, other=np.inf,
        note="Where the loss has cliffs. With gradients of mini-batches clipping is a bias: the mean of clipped gradients is not the clipped mean.",
        source="Zhang, He, Sra and Jadbabaie 2020",
    ),
    Claim(
        id="9.4.clip.robustness", lines=(444, 444), kind="property", verdict="conditional",
        statement="It makes training less sensitive to the learning rate.", latex=r"\alpha_{\max}(c) > \alpha_{\max}(\infty)",
        judge=Matches(widens_the_range_of_rates), stated=lambda x: x, other=lambda x: x**3,
        note="Where the curvature far away exceeds that at the minimum, as for x⁴. On a quadratic the largest rate is 2/L with clipping and without.",
        note_latex=r"\|\nabla^2 L\| \le L_0 + L_1 \|\nabla L\|", source="Zhang, He, Sra and Jadbabaie 2020",
    ),
    Claim(
        id="9.4.dropout.training", lines=(450, 453), kind="definition", verdict="true",
        statement="In training, activations are multiplied by a mask of zeros and ones.", latex=r"\text{mask} \odot a_l",
        judge=Matches(keeps_or_zeroes), stated=lambda a, mask: mask * a, other=lambda a, mask: mask * a / 0.6,
        note="Element by element. Today's libraries also divide by the probability of keeping, and then do nothing in inference.",
    ),
    Claim(
        id="9.4.dropout.mask", lines=(455, 455), kind="definition", verdict="imprecise",
        statement="The elements of the mask are drawn from a Bernoulli distribution.", latex=r"\text{mask}_i \sim \operatorname{Bernoulli}(p)",
        judge=drops_with_that_probability, stated=lambda p: p, other=lambda p: 1 - p,
        note="Its parameter is not named. With p the probability of dropping, as below, an element is one with probability 1 - p; elements are independent, "
        "and drawn anew for every example and step.",
        note_latex=r"\text{mask}_i \sim \operatorname{Bernoulli}(1 - p)",
    ),
    Claim(
        id="9.4.dropout.scaling", lines=(459, 462), kind="identity", verdict="false",
        statement="In inference the activations are multiplied by the probability of dropping.", latex=r"a_l^{\text{inference}} = p\, a_l",
        judge=Same(expected_activation, [(p,) for p in RATES], "mean activation in training"), stated=inference(lambda p: p), other=inference(lambda p: 1 - p),
        note="The mean over masks is the activation times the probability of keeping it. With p = 0.1, inference would have a ninth of the activations of training.",
        note_latex=r"a_l^{\text{inference}} = (1 - p)\, a_l = E[\text{mask} \odot a_l]", source="Srivastava et al. 2014, section 4",
    ),
    Claim(
        id="9.4.dropout.probability", lines=(464, 464), kind="definition", verdict="false",
        statement="The factor p of inference is the probability of dropping.", latex=r"p = P(\text{mask}_i = 0)",
        judge=Matches(meaning_of_the_letter), stated=lambda p: p, other=lambda p: 1 - p,
        note="It is the probability of keeping, as in the paper. The two agree for p = ½ only.",
        note_latex=r"p = P(\text{mask}_i = 1)", source="Srivastava et al. 2014, section 4",
    ),
    Claim(
        id="9.4.dropout.overfitting", lines=(468, 468), kind="remark", verdict="conditional",
        statement="It prevents overfitting, as units cannot rely on each other.", latex=r"E\|y - (m \odot X) w\|^2 = \|y - q X w\|^2 + q (1 - q) \sum_j \|x_j\|^2 w_j^2",
        judge=generalises_better, stated=0.99, other=0.3,
        note="It reduces it, at a rate that suits the data; too much of it is worse than none. For least squares it is a ridge penalty, each weight by the size of its feature (q is the probability of keeping).",
        source="Srivastava et al. 2014, section 9.1",
    ),
    Claim(
        id="9.4.dropout.ensemble", lines=(469, 469), kind="property", verdict="true",
        statement="It approximates an ensemble of many networks.", latex=r"\sigma(q\, w^{\mathsf T} x) = \text{normalised geometric mean of } \sigma((m \odot w)^{\mathsf T} x)",
        judge=Same(ensemble, [tuple(normals(s, (5,), (5,))) for s in (96, 97)], "geometric mean of all thinned models"),
        stated=lambda w, x: special.expit(0.7 * (w @ x)), other=lambda w, x: special.expit(w @ x),
        note="Exactly for one layer of softmax or sigmoid and the geometric mean; roughly for deep networks, whose thinned copies share their weights.",
        source="Baldi and Sadowski 2013",
    ),
    Claim(
        id="9.4.dropout.noise", lines=(470, 470), kind="property", verdict="true",
        statement="It makes networks more robust to noise.", latex=r"E\|(x + \sigma z)^{\mathsf T} w - x^{\mathsf T} w\|^2 = \sigma^2 \|w\|^2",
        judge=bears_noise, stated=0.3, other=0.0,
        note="To noise in what it was applied to, measured here for the inputs of a linear model.",
    ),
)  # fmt: skip
