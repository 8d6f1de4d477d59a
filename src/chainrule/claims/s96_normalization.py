"""Claims of 9.6 about batch and layer normalisation."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Derivative, Matches, Same, above, normals
from chainrule.nn.module import replaced

EPS = 1e-3
CHANNELS = normals(64, (6, 4))[0] * np.array([1.0, 5.0, 0.2, 2.0]) + np.array([0.0, 3.0, -1.0, 10.0])
GAMMA, BETA, SLOPES = normals(65, (4,), (4,), (6,))
ONE_CHANNEL = [(CHANNELS[:, j], float(GAMMA[j]), float(BETA[j])) for j in range(4)]


def whole_layer(layer: Any, gamma: Any, beta: Any, **statistics: Any) -> Any:
    """One of the library's layers with these parameters."""
    return replaced(layer, gamma=np.asarray(gamma), beta=np.asarray(beta), **statistics)


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    """The library's layer in training, on one channel."""
    layer = whole_layer(cr.nn.BatchNorm(1, eps=EPS), [gamma], [beta])
    return layer(x[:, None], training=True)[0][:, 0]


def batch_norm_at_inference(x: Any, gamma: Any, beta: Any, mean: float, variance: float) -> Any:
    """The library's layer in inference, on one channel."""
    layer = whole_layer(cr.nn.BatchNorm(1, eps=EPS), [gamma], [beta], mean=np.array([mean]), variance=np.array([variance]))
    return layer(x[:, None])[:, 0]


def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    """The library's layer on one example."""
    return whole_layer(cr.nn.LayerNorm(4, eps=EPS), gamma, beta)(x)


def standardised(x: Any, mean: Any, variance: Any, eps: float = 0.0) -> Any:
    """The normalised numbers."""
    return (x - mean) / np.sqrt(variance + eps)


class Centred:
    """Do the numbers of a channel (of an example) sum to zero when this mean is subtracted?"""

    name = "sum after centring"
    method = "The given mean is subtracted from several sets of numbers, which must then sum to zero."

    def __init__(self, sets: Any) -> None:
        self.sets = sets

    def __call__(self, mean: Any) -> Finding:
        """Subtract and sum."""
        left = max(abs(float(np.sum(x - mean(x)))) for x in self.sets)
        return Finding(left < 1e-12, {"largest sum": left})


class UnitSquares:
    """Is the mean square one when centred numbers are divided by the root of this variance?"""

    name = "mean square after scaling"
    method = "Centred numbers are divided by the root of the given variance; their mean square must then be one."

    def __init__(self, sets: Any) -> None:
        self.sets = sets

    def __call__(self, variance: Any) -> Finding:
        """Scale and square."""
        left = max(abs(float(np.mean(standardised(x, np.mean(x), variance(x)) ** 2)) - 1) for x in self.sets)
        return Finding(left < 1e-12, {"largest distance from one": left})


def only_the_given_axis_is_normalised(axis: int) -> Any:
    """A question: along this axis of examples x features, has the output mean 0 and mean square 1?"""

    def has_mean_zero_and_square_one(normalise: Any) -> tuple[bool, dict[str, float]]:
        y = normalise(CHANNELS)
        off = max(np.max(np.abs(np.mean(y, axis))), np.max(np.abs(np.mean(y * y, axis) - 1)))
        return off < 0.05, {"largest distance": float(off)}

    has_mean_zero_and_square_one.__doc__ = f"Has the output mean 0 and mean square 1 along axis {axis} of examples x features?"
    return has_mean_zero_and_square_one


def by_columns(x: Any) -> Any:
    """Batch normalisation of examples in rows."""
    return cr.nn.BatchNorm(4)(x, training=True)[0]


def by_rows(x: Any) -> Any:
    """Layer normalisation of examples in rows."""
    return cr.nn.LayerNorm(4)(x)


def normalised_loss(x: Any, gamma: float, beta: float) -> Any:
    """A loss after batch normalisation of one channel."""
    mu = np.mean(x)
    variance = np.mean((x - mu) ** 2)
    x_hat = (x - mu) / np.sqrt(variance + EPS)
    y = gamma * x_hat + beta
    return np.sum(np.sin(y) * SLOPES)


def mean_and_variance_held(x: Any, gamma: float, beta: float) -> Any:
    """dL/dy times gamma over the deviation."""
    mu = np.mean(x)
    variance = np.mean((x - mu) ** 2)
    x_hat = (x - mu) / np.sqrt(variance + EPS)
    dy = np.cos(gamma * x_hat + beta) * SLOPES
    return dy * gamma / np.sqrt(variance + EPS)


def through_mean_and_variance(x: Any, gamma: float, beta: float) -> Any:
    """Less its mean, and less its part along the normalised numbers."""
    x_hat = standardised(x, np.mean(x), np.var(x), EPS)
    dy = np.cos(gamma * x_hat + beta) * SLOPES
    return gamma / np.sqrt(np.var(x) + EPS) * (dy - np.mean(dy) - x_hat * np.mean(dy * x_hat))


def averages_to_the_variance_of_the_data(statistic: Any) -> tuple[bool, dict[str, float]]:
    """Over 200 000 batches of 4 from a population of variance 9: is the average of the statistic within 1 % of 9?"""
    batches = 5 + 3 * np.random.default_rng(66).standard_normal((200_000, 4))
    found = float(np.mean(statistic(batches)))
    return abs(found / 9 - 1) < 0.01, {"average": found, "variance of the data": 9.0}


def per_unit_over_examples(y: Any) -> Any:
    """Mean and variance of each unit over the examples."""
    return np.stack([y.mean(0), y.var(0)])


def survives_layer_normalisation(change: Any) -> tuple[bool, dict[str, float]]:
    """When the layer before changes in this way, do all units keep mean and variance over the examples after layer normalisation?"""
    before = normals(67, (500, 8))[0]
    moved = np.abs(per_unit_over_examples(whitened(change(before))) - per_unit_over_examples(whitened(before))).max()
    return moved < 1e-9, {"largest change of a mean or variance": float(moved)}


def whitened(z: Any) -> Any:
    """Layer normalisation without parameters and epsilon."""
    return (z - z.mean(-1, keepdims=True)) / z.std(-1, keepdims=True)


@cache
def digits() -> tuple[Any, Any]:
    """Scikit-learn's handwritten digits, pixels from -1 to 1."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    return data.data / 8 - 1, data.target


def forward(x: Any, weights: list[Any], norm: bool) -> tuple[list[tuple[Any, Any, Any]], Any]:
    """What a network of rectified layers keeps of each (input, normalised z, deviation), and its log-probabilities."""
    kept: list[tuple[Any, Any, Any]] = []
    for w in weights[:-1]:
        z = x @ w
        deviation = np.sqrt(z.var(-1, keepdims=True) + 1e-5) if norm else np.ones((len(x), 1))
        h = (z - z.mean(-1, keepdims=True)) / deviation if norm else z
        kept.append((x, h, deviation))
        x = np.maximum(h, 0)
    scores = x @ weights[-1]
    scores = scores - scores.max(1, keepdims=True)
    return [*kept, (x, None, None)], scores - np.log(np.exp(scores).sum(1, keepdims=True))


def stepped(kept: list[tuple[Any, Any, Any]], d: Any, weights: list[Any], rate: float, norm: bool) -> list[Any]:
    """The weights after one step of gradient descent, d being the derivative in the last layer's output."""
    new = [weights[-1] - rate * kept[-1][0].T @ d]
    for (x, h, deviation), w, after in zip(kept[-2::-1], weights[-2::-1], weights[:0:-1], strict=True):
        d = d @ after.T * (h > 0)
        if norm:
            d = (d - d.mean(-1, keepdims=True) - h * (d * h).mean(-1, keepdims=True)) / deviation
        new.append(w - rate * x.T @ d)
    return new[::-1]


def trained(x: Any, labels: Any, weights: list[Any], rate: float, norm: bool) -> float:
    """The cross-entropy after 40 steps of gradient descent; infinite if it blows up."""
    target = np.eye(10)[labels]
    for _ in range(40):
        kept, log_p = forward(x, weights, norm)
        weights = stepped(kept, (np.exp(log_p) - target) / len(x), weights, rate, norm)
    loss = -float(np.mean(np.sum(target * forward(x, weights, norm)[1], 1)))
    return loss if np.isfinite(loss) else np.inf


def losses_by_rate(depth: int, scale: float, seed: int) -> Any:
    """Loss after training without and with layer normalisation (rows), at seven learning rates from 1/8 to 8 (columns)."""
    pixels, labels = digits()
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(pixels))[:128]
    sizes = [64, *[32] * depth, 10]
    weights = [scale * np.sqrt(2 / n) * rng.standard_normal((n, m)) for n, m in pairwise(sizes)]
    rates = 2.0 ** np.arange(-3, 4)
    return np.array([[trained(pixels[rows], labels[rows], weights, float(r), norm) for r in rates] for norm in (False, True)])


def allows_higher_rates(depth: int) -> Finding:
    """On the digits, 5 starts: is the largest of seven rates that brings the loss below 0.5 more than doubled by layer normalisation?"""
    last = lambda losses: max((i for i, x in enumerate(losses) if x < 0.5), default=-1)
    return above([last(norm) - last(plain) for plain, norm in (losses_by_rate(depth, 1.0, s) for s in range(5))], 1.0)


def learns_more_in_forty_steps(scale: float) -> Finding:
    """Two hidden layers, 5 starts, each at the best of seven rates: is the loss lower with layer normalisation? (log2 of the ratio)"""
    return above([float(np.log2(plain.min() / norm.min())) for plain, norm in (losses_by_rate(2, scale, s) for s in range(5))])


def gain_on_new_examples(task: str, seed: int) -> float:
    """How much higher is the share of held-out digits that ridge regression names right, if every image is normalised first?"""
    pixels, digit = digits()
    rng = np.random.default_rng(seed)
    contrast = np.exp(0.7 * rng.standard_normal(len(pixels)))
    images = (pixels + 1) * contrast[:, None]
    labels = digit if task == "which digit" else (contrast > 1).astype(int)
    rows = rng.permutation(len(pixels))
    train, test = rows[:400], rows[400:]
    shares = list[float]()
    for x in (images, whitened(images)):
        inputs = np.concatenate([x, np.ones((len(x), 1))], 1)
        gram = inputs[train].T @ inputs[train] + 0.1 * np.eye(65)
        weights = np.linalg.solve(gram, inputs[train].T @ np.eye(10)[labels[train]])
        shares.append(float(np.mean(np.argmax(inputs[test] @ weights, 1) == labels[test])))
    return shares[1] - shares[0]


def improves_the_model(tasks: Any) -> Finding:
    """Images of varying contrast, 12 splits: with layer normalisation, are more held-out examples right in each of these tasks?"""
    found = [above([gain_on_new_examples(task, seed) for seed in range(12)]) for task in tasks]
    numbers = {
        f"{task}, {name}": x for task, f in zip(tasks, found, strict=True) for name, x in f.numbers.items() if name != "seeds"
    }
    return Finding(all(f.holds for f in found), numbers)


EXAMPLES = list(CHANNELS)

CLAIMS = (
    Claim(
        id="9.6.batchnorm", lines=(593, 593), kind="definition", verdict="true",
        statement="Batch normalisation normalises each activation over the examples of the batch.", latex=r"\hat x \text{ has mean } 0 \text{ and variance } 1 \text{ over the batch}",
        judge=Matches(only_the_given_axis_is_normalised(0)), stated=by_columns, other=by_rows,
        note="Each channel on its own; in a convolution over all positions too.", source="Ioffe and Szegedy 2015",
    ),
    Claim(
        id="9.6.batchnorm.mean", lines=(594, 596), kind="definition", verdict="true",
        statement="Its centre is the mean over the batch.", latex=r"\mu_B = \frac1m \sum_{i=1}^m x_i",
        judge=Centred([c[0] for c in ONE_CHANNEL]), stated=lambda x: sum(x) / len(x), other=np.median,
    ),
    Claim(
        id="9.6.batchnorm.variance", lines=(598, 600), kind="definition", verdict="true",
        statement="Its scale comes from the mean squared distance from that centre.", latex=r"\sigma_B^2 = \frac1m \sum_{i=1}^m (x_i - \mu_B)^2",
        judge=UnitSquares([c[0] for c in ONE_CHANNEL]), stated=lambda x: sum((x - sum(x) / len(x)) ** 2) / len(x), other=lambda x: sum((x - sum(x) / len(x)) ** 2) / (len(x) - 1),
        note="With 1/m, not 1/(m - 1): the m numbers then have mean square one. It is no unbiased estimate of the variance of the data.",
    ),
    Claim(
        id="9.6.batchnorm.normalised", lines=(602, 604), kind="definition", verdict="true",
        statement="The centred numbers are divided by the root of variance plus ε.", latex=r"\hat x_i = \frac{x_i - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}}",
        judge=Same(lambda x, gamma, beta: batch_norm(x, 1.0, 0.0), ONE_CHANNEL, "the library's layer in training"),
        stated=lambda x, gamma, beta: (x - np.mean(x)) / np.sqrt(np.var(x) + EPS), other=lambda x, gamma, beta: (x - np.mean(x)) / (np.std(x) + EPS),
        note="ε stands inside the root, and a constant channel becomes zero, not NaN.",
    ),
    Claim(
        id="9.6.batchnorm.affine", lines=(606, 608), kind="definition", verdict="true",
        statement="A learned scale and shift follow.", latex=r"y_i = \gamma \hat x_i + \beta",
        judge=Same(batch_norm, ONE_CHANNEL, "the library's layer in training"),
        stated=lambda x, gamma, beta: gamma * standardised(x, np.mean(x), np.var(x), EPS) + beta, other=lambda x, gamma, beta: gamma * (standardised(x, np.mean(x), np.var(x), EPS) + beta),
        note="One pair for each channel, the same for all examples, over which i runs.",
    ),
    Claim(
        id="9.6.batchnorm.gradient", lines=(612, 615), kind="derivative", verdict="false",
        statement="In training the derivative in an input is the output's times γ over the deviation.", latex=r"\frac{\partial L}{\partial x_i} = \frac{\partial L}{\partial y_i} \cdot \gamma \cdot \frac{1}{\sqrt{\sigma_B^2 + \epsilon}}",
        judge=Derivative(normalised_loss, ONE_CHANNEL, name="derivative through mean and variance"), stated=mean_and_variance_held, other=through_mean_and_variance,
        note="In training mean and variance are functions of all the inputs, and each output depends on every input. Two terms are missing. What is stated holds "
        "in inference, where both are constants. The right gradient sums to zero over the batch, and is orthogonal to the normalised inputs up to ε.",
        note_latex=r"\frac{\partial L}{\partial x_i} = \frac{\gamma}{\sqrt{\sigma_B^2 + \epsilon}} \left( g_i - \frac1m \sum_j g_j - \hat x_i \frac1m \sum_j g_j \hat x_j \right), \quad g_i = \frac{\partial L}{\partial y_i}",
        source="Ioffe and Szegedy 2015, section 3",
    ),
    Claim(
        id="9.6.batchnorm.inference", lines=(617, 620), kind="definition", verdict="true",
        statement="In inference stored statistics take the place of the batch's.", latex=r"y_i = \gamma \cdot \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
        judge=Same(batch_norm_at_inference, [(*c, 0.7, 2.5) for c in ONE_CHANNEL], "the library's layer in inference"),
        stated=lambda x, gamma, beta, mean, variance: gamma * (x - mean) / np.sqrt(variance + EPS) + beta, other=lambda x, gamma, beta, mean, variance: gamma * standardised(x, np.mean(x), np.var(x), EPS) + beta,
        note="It stands among the gradients but is the output. Its derivative, γ over the stored deviation, is the one that is given for training.",
    ),
    Claim(
        id="9.6.batchnorm.running", lines=(622, 622), kind="definition", verdict="imprecise",
        statement="These statistics are running averages of those of the batches.", latex=r"\mu, \sigma^2 = \text{averages of } \mu_B, \sigma_B^2",
        judge=Matches(averages_to_the_variance_of_the_data), stated=lambda x: np.var(x, axis=1), other=lambda x: 4 / 3 * np.var(x, axis=1),
        note="The average of the batches' σ², which has 1/m, is too small by the factor (m - 1)/m, a quarter for batches of four: it is averaged with m/(m - 1).",
        note_latex=r"\sigma^2 \leftarrow (1 - \rho)\, \sigma^2 + \rho\, \frac{m}{m - 1} \sigma_B^2", source="Ioffe and Szegedy 2015, algorithm 2",
    ),
    Claim(
        id="9.6.layernorm", lines=(628, 628), kind="definition", verdict="true",
        statement="Layer normalisation normalises each example over its features.", latex=r"\hat x \text{ has mean } 0 \text{ and variance } 1 \text{ over the features}",
        judge=Matches(only_the_given_axis_is_normalised(1)), stated=by_rows, other=by_columns,
        note="So it does the same in training and in inference.", source="Ba, Kiros and Hinton 2016",
    ),
    Claim(
        id="9.6.layernorm.mean", lines=(629, 631), kind="definition", verdict="true",
        statement="Its centre is the mean of an example's features.", latex=r"\mu_l = \frac1d \sum_{i=1}^d x_i",
        judge=Centred(EXAMPLES), stated=lambda x: sum(x) / 4, other=lambda x: sum(x) / 6,
        note="Over the d features, where batch normalisation has the m examples.",
    ),
    Claim(
        id="9.6.layernorm.variance", lines=(633, 635), kind="definition", verdict="true",
        statement="Its scale comes from their mean squared distance from it.", latex=r"\sigma_l^2 = \frac1d \sum_{i=1}^d (x_i - \mu_l)^2",
        judge=UnitSquares(EXAMPLES), stated=lambda x: sum((x - sum(x) / 4) ** 2) / 4, other=lambda x: sum(x**2) / 4,
    ),
    Claim(
        id="9.6.layernorm.normalised", lines=(637, 639), kind="definition", verdict="true",
        statement="The centred features are divided by the root of variance plus ε.", latex=r"\hat x_i = \frac{x_i - \mu_l}{\sqrt{\sigma_l^2 + \epsilon}}",
        judge=Same(lambda x: layer_norm(x, np.ones(4), np.zeros(4)), [(x,) for x in EXAMPLES], "the library's layer"),
        stated=lambda x: (x - np.mean(x)) / np.sqrt(np.var(x) + EPS), other=lambda x: x / np.sqrt(np.mean(x**2) + EPS),
    ),
    Claim(
        id="9.6.layernorm.affine", lines=(641, 643), kind="definition", verdict="imprecise",
        statement="A learned scale and shift follow, one pair for all features.", latex=r"y_i = \gamma \hat x_i + \beta",
        judge=Same(layer_norm, [(x, GAMMA, BETA) for x in EXAMPLES], "the library's layer"),
        stated=lambda x, gamma, beta: gamma[0] * standardised(x, np.mean(x), np.var(x), EPS) + beta[0], other=lambda x, gamma, beta: gamma * standardised(x, np.mean(x), np.var(x), EPS) + beta,
        note="The formula is batch normalisation's, where i runs over examples. Here it runs over features, and each has a scale and a shift of its own.",
        note_latex=r"y_i = \gamma_i \hat x_i + \beta_i", source="Ba, Kiros and Hinton 2016, equation 4",
    ),
    Claim(
        id="9.6.layernorm.stability", lines=(647, 647), kind="remark", verdict="imprecise",
        statement="It stabilises training by reducing internal covariate shift, the change of a layer's inputs while the layers before it learn.", latex=r"P(\hat x_j) \text{ stays when earlier weights change}",
        judge=Matches(survives_layer_normalisation), stated=lambda z: z + 3 * (np.arange(8) == 2), other=lambda z: 3 * z + 7,
        note="It undoes a common shift and scale of all units, and no more: a unit whose bias moves keeps its shift. Covariate shift was the reason given for batch "
        "normalisation; experiments have since found that it trains as well with more of it, by a smoother loss.",
        note_latex=r"\operatorname{LN}(a z + b \mathbf 1) = \operatorname{LN}(z), \quad a > 0", source="Santurkar, Tsipras, Ilyas and Madry 2018",
    ),
    Claim(
        id="9.6.layernorm.rates", lines=(648, 648), kind="remark", verdict="true",
        statement="It allows higher learning rates.", latex=r"\alpha_{\max}^{\text{norm}} > \alpha_{\max}",
        judge=allows_higher_rates, stated=1, other=0, slow=True,
        note="In hidden layers; in the input of a linear model whose inputs have one scale it changes nothing. The gradient is orthogonal to weights that "
        "are normalised afterwards, so that too large a step makes them grow, and the next one is smaller.",
    ),
    Claim(
        id="9.6.layernorm.faster", lines=(648, 648), kind="remark", verdict="conditional",
        statement="It makes training faster.", latex=r"L_{40}^{\text{norm}} < L_{40}",
        judge=learns_more_in_forty_steps, stated=1.0, other=0.3, slow=True,
        note="Where the signal's scale would go wrong: with first weights at a third of the scale that suits the activation it is much faster. With weights of the "
        "right scale, each network at its own best rate, no gain is seen, though that rate is higher.",
    ),
    Claim(
        id="9.6.layernorm.generalization", lines=(649, 649), kind="remark", verdict="conditional",
        statement="It makes models perform better on new data.", latex=r"\text{accuracy}_{\text{norm}} > \text{accuracy}",
        judge=improves_the_model, stated=("which digit", "how much contrast"), other=("which digit",),
        note="Where the size of an example's features means nothing, as the contrast of a picture of a digit. Where it carries the answer, normalisation erases it: what is left is a guess.",
    ),
)  # fmt: skip
