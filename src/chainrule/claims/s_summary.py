"""Claims of the summary: what the sections were for, what to keep, where to go on."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, stats

import chainrule as cr
from chainrule.claims import s0_introduction as s0
from chainrule.claims import s92_backpropagation as s92
from chainrule.claims import s97_reinforcement as s97
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Bound, Matches, Same, above, descend, distance, normals, run_rule

SKEWED = np.exp(normals(101, (201,))[0])
GRADIENTS = normals(102, (12, 3))[0]


def tumours() -> tuple[Any, Any]:
    """Scikit-learn's breast cancer data, each feature with mean 0 and variance 1, and a column of ones; labels 0 and 1."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    return np.concatenate([x, np.ones((len(x), 1))], 1), data.target


def fit_models(rules: Any) -> tuple[bool, dict[str, float]]:
    """Logistic regression on half of the breast cancer data, 200 steps: does each optimiser name 94 % of the other half right?"""
    x, y = tumours()
    half = np.random.default_rng(103).permutation(len(y))
    train, test = half[:280], half[280:]
    gradient = lambda w: x[train].T @ (1 / (1 + np.exp(-x[train] @ w)) - y[train]) / len(train)
    ends = {name: run_rule(rule, gradient, np.zeros(x.shape[1]), 200)[-1] for name, rule in rules.items()}
    found = {name: float(np.mean((x[test] @ w > 0) == y[test])) for name, w in ends.items()}
    return min(found.values()) > 0.94, found


OPTIMISERS = {
    "gradient descent": cr.optim.gradient_descent(0.3),
    "momentum": cr.optim.momentum(0.05),
    "Adam": cr.optim.adam(0.05),
}


def is_stationary_in(statistic: Any) -> tuple[bool, dict[str, float]]:
    """Is the derivative of each mean loss, in a constant prediction, zero at the statistic it is paired with?"""
    losses = {
        "mse": lambda c: np.mean((SKEWED - c) ** 2),
        "mae": lambda c: np.mean(np.abs(SKEWED - c)),
        "quantile": lambda c: cr.losses.quantile(SKEWED, np.broadcast_to(c, SKEWED.shape), q=0.9),
    }
    found = {name: abs(float(cr.grad(losses[name])(float(s(SKEWED))))) for name, s in statistic.items()}
    return max(found.values()) < 0.01, found


def held_out_gain(strength: float, examples: int) -> Finding:
    """Noisy linear data, 20 features, 200 seeds: by how much does a ridge penalty lower the squared error on new data?"""
    gains = list[float]()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = 0.5 * rng.standard_normal(20)
        x = rng.standard_normal((examples, 20))
        y = x @ truth + rng.standard_normal(examples)
        plain, ridge = (np.linalg.solve(x.T @ x + s * np.eye(20), x.T @ y) for s in (0.0, strength))
        gains.append(float(np.sum((plain - truth) ** 2) - np.sum((ridge - truth) ** 2)))  # of standard normal inputs
    return above(gains)


class Helps:
    """Does ridge regression with this strength lower the error on new data, with 99 % confidence over 200 data sets, in each setting?"""

    name = "gain on new data"
    method = "The error on new data is measured with and without the penalty on 200 random data sets; Student's interval for the difference."

    def __call__(self, settings: Any) -> Finding:
        """Every (strength, examples) in turn."""
        found = {s: held_out_gain(*s) for s in settings}
        numbers = {f"gain, strength {s}, {n} examples": f.numbers["mean"] for (s, n), f in found.items()}
        return Finding(all(f.holds for f in found.values()), numbers)


def do_not_depend_on_the_scale(rules: Any) -> tuple[bool, dict[str, float]]:
    """When every gradient of one parameter is a thousand times as large: are the parameters' ways the same?"""
    found: dict[str, float] = {}
    for name, rule in rules.items():
        ways = [
            run_rule(rule, lambda x, s=s: s * np.array([1.0, 8.0, 0.2]) * x, np.ones(3), 30)
            for s in (1.0, np.array([1.0, 1e3, 1.0]))
        ]
        found[name] = distance(*ways)
    return max(found.values()) < 1e-3, found


def deep_parts(x: Any, held: Any) -> Any:
    """Batch normalisation, attention and a residual connection, one after the other; `held` may hold statistics constant."""
    mean, variance = held(np.mean(x, axis=0)), held(np.var(x, axis=0))
    h = (x - mean) / np.sqrt(variance + 1e-5)
    scores = h @ h.T / np.sqrt(3.0)
    weights = np.exp(scores) / np.sum(np.exp(scores), axis=-1, keepdims=True)
    return np.sum(np.sin(x + weights @ h))


def derivative_is_exact(held: Any) -> tuple[bool, dict[str, float]]:
    """Is the gradient through the three parts that of complex steps?"""
    (x,) = normals(104, (5, 3))
    steps = [np.reshape(e, x.shape) for e in 1e-30 * np.eye(x.size)]
    exact = np.reshape([deep_parts_at(x + 1j * e).imag / 1e-30 for e in steps], x.shape)
    gap = distance(cr.grad(lambda x: deep_parts(x, held))(x), exact)
    return gap < 1e-12, {"largest difference": gap}


def deep_parts_at(x: Any) -> Any:
    """The same for complex numbers, for which NumPy's variance takes absolute values."""
    mean = np.mean(x, axis=0)
    h = (x - mean) / np.sqrt(np.mean((x - mean) ** 2, axis=0) + 1e-5)
    scores = np.exp(h @ h.T / np.sqrt(3.0))
    return np.sum(np.sin(x + scores / np.sum(scores, axis=-1, keepdims=True) @ h))


def find_the_best_policy(methods: Any) -> tuple[bool, dict[str, float]]:
    """On a small decision process: is the expected return within 1 % of the best?"""
    best = float(s97.START @ np.max(s97.best_action_values(), axis=1))
    found = {m: float(s97.discounted_objective(METHODS[m]())) / best for m in methods}
    return min(found.values()) > 0.99, found


def by_policy_gradient() -> Any:
    """Climb."""
    gradient = cr.jit(cr.grad(s97.discounted_objective))
    return descend(lambda t: -gradient(t), np.zeros((s97.STATES, s97.ACTIONS)), 1.0, 300)


def by_values() -> Any:
    """Value iteration; a policy as log-odds."""
    return 50 * cr.rl.value_iteration((s97.P, s97.R), discount=s97.DISCOUNT).policy


METHODS: dict[str, Any] = {
    "policy gradient": by_policy_gradient,
    "values": by_values,
    "chance": lambda: np.zeros((s97.STATES, s97.ACTIONS)),
}


def describes_the_data(penalty: Any) -> tuple[bool, dict[str, float]]:
    """A linear autoencoder trained on N(3, 2²): do mean and variance of what it generates come within 2 % of the data's?"""
    x = 3 + 2 * stats.norm.ppf((np.arange(100) + 0.5) / 100)

    def loss(t: Any) -> Any:
        w, bias, log_s, slope, shift, log_v = t[0], t[1], t[2], t[3], t[4], t[5]
        m, v, s = slope * x + shift, np.exp(2 * log_v), np.exp(log_s)
        likelihood = -log_s - ((x - w * m - bias) ** 2 + w * w * v) / (2 * s * s)
        return -np.mean(likelihood - penalty(m, v))

    start = np.array([0.5, 0.0, 0.0, 0.1, 0.0, -0.5])
    found: Any = optimize.minimize(loss, start, jac=cr.jit(cr.grad(loss)), method="BFGS", options={"maxiter": 500})
    w, bias, log_s = found.x[:3]
    numbers = {"mean": float(bias), "variance": float(w**2 + np.exp(2 * log_s))}
    off = abs(numbers["mean"] / 3 - 1), abs(numbers["variance"] / float(np.var(x)) - 1)
    return max(off) < 0.02, numbers


def kl_to_the_prior(mean: Any, variance: Any) -> Any:
    """The divergence of N(mean, variance) from N(0, 1)."""
    return 0.5 * (mean**2 + variance - 1 - np.log(variance))


def more_than_half_do(reading: Any) -> tuple[bool, dict[str, float]]:
    """Of six optimisers, none with memory yet: does the first step of more than half of them fit the reading of "is gradient descent"?"""
    o, g = cr.optim, np.array([1.0, -0.2, 0.05])
    rules = (o.gradient_descent(0.1), o.momentum(0.1), o.nesterov(0.1), o.adagrad(0.1), o.rmsprop(0.1), o.adam(0.1))
    share = float(np.mean([reading(run_rule(rule, lambda x: g, np.zeros(3), 1)[1], g) for rule in rules]))
    return share > 0.5, {"share of optimisers": share}


def cosine(step: Any, gradient: Any) -> float:
    """Of the angle between a step and minus the gradient."""
    return float(-step @ gradient / np.linalg.norm(step) / np.linalg.norm(gradient))


def by_forward_mode(w: Any, x: Any) -> float:
    """Products of matrices that one tangent for each parameter takes."""
    return w.size * s92.products(cr.trace(lambda w: cr.jvp(lambda w: s92.deep(w, x), (w,), (w,))[1])(w))


def can_be_learnt_from(loss: Any) -> tuple[bool, dict[str, float]]:
    """200 steps down the gradient of this loss of the margins, from zero: are 94 % of the breast cancer data named right?"""
    x, y = tumours()
    gradient = cr.grad(lambda w: np.mean(loss((2 * y - 1) * (x @ w))))
    share = float(np.mean((x @ descend(gradient, np.zeros(x.shape[1]), 0.3, 200) > 0) == y))
    return share > 0.94, {"share named right": share}


def adam_of_the_library(gradients: Any) -> Any:
    """Where Adam gets to, along these gradients."""
    left = iter(gradients)
    return run_rule(cr.optim.adam(0.1), lambda x: next(left), np.zeros(3), len(gradients))[-1]


def averaged(gradients: Any, beta: float) -> list[Any]:
    """Exponential averages from zero, corrected for that."""
    out, m = list[Any](), np.zeros(3)
    for k, g in enumerate(gradients):
        m = beta * m + (1 - beta) * g
        out.append(m / (1 - beta ** (k + 1)))
    return out


def momentum_over_size(gradients: Any) -> Any:
    """Momentum, divided by the root of the averaged squares."""
    pairs = zip(averaged(gradients, 0.9), averaged(gradients**2, 0.999), strict=True)
    return -0.1 * sum(m / (np.sqrt(v) + 1e-8) for m, v in pairs)


def grows_no_faster_than_the_function(size: Any) -> tuple[bool, dict[str, float]]:
    """x -> 4 x (1 - x), repeated 4 and 8 times: is the derivative of the longer program at most three times as long?"""
    short, long = size(4), size(8)
    return long <= 3 * short, {"operations, 4 times": short, "operations, 8 times": long}


def repeated(n: int) -> Any:
    """The logistic map, n times."""

    def f(x: Any) -> Any:
        for _ in range(n):
            x = 4 * x * (1 - x)
        return x

    return f


def of_the_expression(n: int) -> int:
    """Operations in the derivative as an expression, nothing shared."""
    import sympy as sp

    x = sp.Symbol("x")
    return int(sp.count_ops(sp.diff(repeated(n)(x), x)))


def solves_the_equation(method: Any) -> tuple[bool, dict[str, float]]:
    """Kepler's equation E - e sin E = M, which has no solution in elementary functions: is the residual below 10⁻¹²?"""
    cases = [(m, e) for m in (0.3, 1.0, 2.5) for e in (0.1, 0.5, 0.8)]
    worst = max(abs(float(method(m, e) - e * np.sin(method(m, e)) - m)) for m, e in cases)
    return worst < 1e-12, {"largest residual": worst}


def by_newton(m: float, e: float) -> float:
    """Newton's method, with the derivative by automatic differentiation."""
    f = lambda x: x - e * np.sin(x) - m
    x = m + 0.5 * e
    for _ in range(8):
        x = x - f(x) / cr.grad(f)(x)
    return float(x)


LINKS = (normals(105, (6, 6))[0] > 0.3).astype(float)
PAIR, HIDDEN, MIXING = normals(106, (3, 3), (3, 3), (6, 6))


def keep_the_symmetry(layers: Any) -> tuple[bool, dict[str, float]]:
    """When the six things are numbered otherwise, are the outputs the same, numbered otherwise?"""
    x, order = normals(107, (6, 3))[0], np.random.default_rng(108).permutation(6)
    links = LINKS[np.ix_(order, order)]
    found = {name: distance(LAYERS[name](x[order], links), LAYERS[name](x, LINKS)[order]) for name in layers}
    return max(found.values()) < 1e-12, found


LAYERS: dict[str, Any] = {
    "attention": lambda x, links: cr.nn.scaled_dot_product_attention(x @ PAIR, x @ HIDDEN, x),
    "graph layer": lambda x, links: np.tanh(x @ PAIR + links @ x @ HIDDEN),
    "dense": lambda x, links: np.tanh(MIXING @ x),
}


def slowest_shrinkage(smallest: float, largest: float, steps: int) -> float:
    """Measured: by how much gradient descent with the step 2/(L + μ) shrinks the distance on the worst quadratic."""
    h = np.array([smallest, largest])
    x = descend(lambda x: h * x, np.ones(2), 2 / (smallest + largest), steps)
    return float(np.linalg.norm(x) / np.sqrt(2))


def cover_nine_of_ten(deviation: Any) -> tuple[bool, dict[str, float]]:
    """Bayesian linear regression, 8 examples, 5 features, 4000 problems from the prior: do 90 % intervals hold 90 % ± 2 % of new labels?"""
    rng, hits = np.random.default_rng(109), list[bool]()
    for _ in range(4000):
        truth, x, new = rng.standard_normal(5), rng.standard_normal((8, 5)), rng.standard_normal(5)
        y = x @ truth + 0.7 * rng.standard_normal(8)
        cov = np.linalg.inv(np.eye(5) + x.T @ x / 0.49)
        error = new @ truth + 0.7 * rng.standard_normal() - new @ cov @ x.T @ y / 0.49
        hits.append(abs(error) < 1.6449 * deviation(new, cov))
    share = float(np.mean(hits))
    return abs(share - 0.9) < 0.02, {"share inside": share}


BETTER = "It helps where the data are few for the parameters, and with a strength that suits; that is chosen on data held out. "

CLAIMS = (
    Claim(
        id="summary.optimization", lines=(802, 802), kind="summary", verdict="true",
        statement="Gradient descent and its variants train models.", latex=r"\theta_{k+1} = \theta_k - \alpha \nabla L(\theta_k)",
        judge=Matches(fit_models), stated=OPTIMISERS, other={"ascent": cr.optim.chain(cr.optim.scale(-0.3))},
    ),
    Claim(
        id="summary.backpropagation", lines=(803, 803), kind="summary", verdict="true",
        statement="Backpropagation computes gradients of networks at a low price.", latex=r"\operatorname{cost}(\nabla L) \le c \cdot \operatorname{cost}(L)",
        judge=Matches(s92.costs_a_few_evaluations), stated=s92.two_passes, other=s92.one_difference_per_parameter,
    ),
    Claim(
        id="summary.losses", lines=(804, 804), kind="summary", verdict="true",
        statement="Objectives are designed and analysed by their derivatives.", latex=r"\partial_c E\,\ell(y, c) = 0",
        judge=Matches(is_stationary_in), stated={"mse": np.mean, "mae": np.median, "quantile": lambda y: np.quantile(y, 0.9)}, other={"mse": np.median, "mae": np.mean},
        note="The derivative says which statistic a loss asks for: the mean, the median, a quantile.",
    ),
    Claim(
        id="summary.regularization", lines=(805, 805), kind="summary", verdict="conditional",
        statement="Penalties prevent overfitting and improve generalisation.", latex=r"E_{\text{new}}(\lambda) < E_{\text{new}}(0)",
        judge=Helps(), stated=((4.0, 30), (400.0, 30)), other=((4.0, 30),),
        note=BETTER + "A hundred times that strength does harm.",
        note_latex=r"0 < \lambda < 2 \sigma^2 / \|\theta\|^2 \Rightarrow E_{\text{new}}(\lambda) < E_{\text{new}}(0)", source="Hoerl and Kennard 1970; Theobald 1974",
    ),
    Claim(
        id="summary.optimizers", lines=(806, 806), kind="summary", verdict="true",
        statement="Adam, RMSprop and others adapt to the scale of each parameter.", latex=r"g \to c \odot g \Rightarrow \theta_k \text{ unchanged}",
        judge=Matches(do_not_depend_on_the_scale), stated={"Adam": cr.optim.adam(0.01), "RMSprop": cr.optim.rmsprop(0.01)}, other={"gradient descent": cr.optim.gradient_descent(0.01)},
        note="But for the small constant under the fraction.",
    ),
    Claim(
        id="summary.deep_learning", lines=(807, 807), kind="summary", verdict="true",
        statement="Calculus handles batch normalisation, attention and residual connections.", latex=r"\nabla (x + A(x)\, \hat x)",
        judge=Matches(derivative_is_exact), stated=lambda s: s, other=cr.stop_gradient,
        note="Through all of their parts, the statistics of the batch included.",
    ),
    Claim(
        id="summary.reinforcement_learning", lines=(808, 808), kind="summary", verdict="true",
        statement="Policy gradients and value functions find good policies.", latex=r"J(\pi) \to \max_\pi J(\pi)",
        judge=Matches(find_the_best_policy), stated=("policy gradient", "values"), other=("chance",),
        note="With exact gradients and values, on a small process; from samples both have errors.",
    ),
    Claim(
        id="summary.generative_models", lines=(809, 809), kind="summary", verdict="true",
        statement="Generative models are trained by gradients of objectives over distributions.", latex=r"\max_{\theta, \phi} \mathcal L",
        judge=Matches(describes_the_data), stated=kl_to_the_prior, other=lambda m, v: 0 * m,
        note="A linear autoencoder with the divergence in its objective learns mean and variance of the data; without the divergence it does not.",
    ),
    Claim(
        id="summary.takeaway.gradient_descent", lines=(813, 813), kind="summary", verdict="not_checkable",
        statement="Gradient descent is the foundation of most optimisation algorithms in machine learning.", latex=r"\theta_{k+1} - \theta_k \parallel -\nabla L",
        judge=Matches(more_than_half_do), stated=lambda step, g: cosine(step, g) > 0.999, other=lambda step, g: cosine(step, g) > 0,
        note="Neither the list of algorithms is given nor what a foundation is. Read as a step along the negative gradient, it fits half of six common optimisers (those "
        "that divide by sizes leave that direction); read as a step that goes downhill by the gradient, all. Trees, nearest neighbours and closed solutions use none.",
        note_latex=r"(\theta_{k+1} - \theta_k)^{\mathsf T} \nabla L < 0",
    ),
    Claim(
        id="summary.takeaway.backpropagation", lines=(814, 814), kind="summary", verdict="true",
        statement="Backpropagation is the chain rule, applied in the order that is cheap.", latex=r"(\bar y^{\mathsf T} J_3) J_2 J_1",
        judge=Matches(s92.costs_a_few_evaluations), stated=s92.two_passes, other=by_forward_mode,
        note="The same rule from the inputs on, one parameter at a time, costs as many passes as there are parameters.",
    ),
    Claim(
        id="summary.takeaway.losses", lines=(815, 815), kind="summary", verdict="true",
        statement="Training needs a loss with a useful derivative.", latex=r"\nabla L \ne 0",
        judge=Matches(can_be_learnt_from), stated=lambda m: np.logaddexp(0, -m), other=lambda m: np.where(m > 0, 0.0, 1.0) + 0 * m,
        note="The share of errors itself has derivative zero wherever it has one.",
    ),
    Claim(
        id="summary.takeaway.regularization", lines=(816, 816), kind="summary", verdict="conditional",
        statement="Regularisation helps to prevent overfitting, and improves generalisation.", latex=r"E_{\text{new}}(\lambda) < E_{\text{new}}(0)",
        judge=Helps(), stated=((4.0, 30), (4 / 30 * 2000, 2000)), other=((4.0, 30), (4.0, 100)),
        note=BETTER + "Beside a mean loss, the strength that suits 30 examples does harm with 2000: there is less to prevent.",
        note_latex=r"\lambda_{\text{mean}} \sim 1/n",
    ),
    Claim(
        id="summary.takeaway.adam", lines=(817, 817), kind="summary", verdict="true",
        statement="Adam combines momentum with rates that adapt to each parameter.", latex=r"\hat m_k / (\sqrt{\hat v_k} + \epsilon)",
        judge=Same(adam_of_the_library, [(GRADIENTS,), (10 * GRADIENTS,)]), stated=momentum_over_size, other=lambda g: -0.1 * sum(averaged(g, 0.9)),
    ),
    Claim(
        id="summary.takeaway.differentiation", lines=(818, 818), kind="summary", verdict="true",
        statement="Automatic differentiation makes gradients efficient in frameworks.", latex=r"|\nabla f| = O(|f|)",
        judge=Matches(grows_no_faster_than_the_function), stated=lambda n: len(cr.trace(cr.grad(repeated(n)))(0.3).eqns), other=of_the_expression,
        note="It shares what is used again; a derivative as one expression, nothing shared, grows exponentially.", source="Griewank and Walther 2008; Baydin et al. 2018",
    ),
    Claim(
        id="summary.takeaway.everywhere", lines=(819, 819), kind="summary", verdict="not_checkable",
        statement="Calculus appears throughout modern machine learning.", latex=r"\text{machine learning} \ni \partial",
        judge=Matches(s0.needs_more_than_order), stated=("logistic regression", "tree"), other=("logistic regression",),
        note="It depends on what throughout means. In every method, no: a decision tree is learnt from comparisons alone. In all that is trained by gradients, by what the word says.",
    ),
    Claim(
        id="summary.next.numerical", lines=(824, 824), kind="summary", verdict="true",
        statement="Numerical methods serve where there is no solution in closed form.", latex=r"E - e \sin E = M",
        judge=Matches(solves_the_equation), stated=by_newton, other=lambda m, e: m + e * np.sin(m) + 0.5 * e**2 * np.sin(2 * m),
        note="Kepler's equation, to rounding, by Newton's method; a series cut after the second power of e does not come near.",
    ),
    Claim(
        id="summary.next.deep_learning", lines=(825, 825), kind="summary", verdict="true",
        statement="Transformers, networks on graphs and geometric learning build on these parts.", latex=r"f(P x, P A P^{\mathsf T}) = P f(x, A)",
        judge=Matches(keep_the_symmetry), stated=("attention", "graph layer"), other=("dense",),
        note="What they share is a symmetry: attention and graph layers do not depend on how the things are numbered. A dense layer over the things does.", source="Bronstein, Bruna, Cohen and Veličković 2021",
    ),
    Claim(
        id="summary.next.theory", lines=(826, 826), kind="summary", verdict="true",
        statement="The theory of optimisation says how fast algorithms converge.", latex=r"\|x_k - x^*\| \le \left(\frac{\kappa - 1}{\kappa + 1}\right)^k \|x_0 - x^*\|",
        judge=Bound(slowest_shrinkage, [(1.0, c, k) for c in (1.5, 10.0, 1000.0) for k in (1, 10, 100)]),
        stated=lambda mu, largest, k: ((largest - mu) / (largest + mu)) ** k, other=lambda mu, largest, k: ((largest**0.5 - mu**0.5) / (largest**0.5 + mu**0.5)) ** k,
        note="For gradient descent with the step 2/(L + μ), κ = L/μ. With the roots of κ it would be the rate of accelerated methods, which this one does not reach.", source="Polyak 1987, section 1.4",
    ),
    Claim(
        id="summary.next.probabilistic", lines=(827, 827), kind="summary", verdict="true",
        statement="Bayesian methods quantify uncertainty.", latex=r"\operatorname{Var}(y \mid x, \text{data}) = \sigma^2 + x^{\mathsf T} \Sigma x",
        judge=Matches(cover_nine_of_ten), stated=lambda x, cov: np.sqrt(0.49 + x @ cov @ x), other=lambda x, cov: 0.7,
        note="If prior and noise are right. Without the parameters' own uncertainty, intervals are too narrow.",
    ),
)  # fmt: skip
