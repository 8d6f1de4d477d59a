"""Claims of 9.8: adversarial networks, with and without Wasserstein's distance, and variational autoencoders."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, stats

import chainrule as cr
from chainrule.claims.claim import Claim, Finding
from chainrule.claims.judges import Derivative, Matches, Same, descend, normals

DATA, MODEL = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.1, 0.2, 0.3, 0.4])  # two distributions on four points


def best_discriminator_is_the_share_of_the_data(loss: Any) -> tuple[bool, dict[str, float]]:
    """On four points, D free at each: does the least loss make D the data's share, p / (p + q)?"""
    slope = cr.jit(cr.grad(lambda odds: loss(1 / (1 + np.exp(-odds)))))
    end = 1 / (1 + np.exp(-descend(slope, np.zeros(4), 4.0, 400)))
    gap = float(np.max(np.abs(end - DATA / (DATA + MODEL))))
    return gap < 1e-6, {"largest difference": gap}


def pushes_where_the_discriminator_is_sure(loss: Any) -> tuple[bool, dict[str, float]]:
    """Does the loss fall as D(G(z)) rises, with a slope in its log-odds of at least 1/2, even where D is 10⁻⁶?"""
    slope = cr.grad(lambda odds: loss(1 / (1 + np.exp(-odds))))
    found = {f"slope at D = {d}": float(slope(np.log(d / (1 - d)))) for d in (1e-6, 1e-3, 0.5)}
    return max(found.values()) <= -0.499, found


REAL, NOISE = 3.0 + normals(91, (200,))[0], normals(92, (200,))[0]
FEW_REAL, FEW_MADE = REAL[:25], 0.5 * NOISE[:30]


def game(critic_loss: Any, generator_loss: Any) -> tuple[float, float]:
    """Where G(z) = θ + z gets to in 400 moves of a critic w x with |w| <= 1 and of the generator; mean of θ over the last 100."""
    w, theta, late = 0.1, 0.0, list[float]()
    of_critic = cr.jit(cr.grad(lambda w, t: critic_loss(w * REAL, w * (t + NOISE))))
    of_generator = cr.jit(cr.grad(lambda t, w: generator_loss(w * (t + NOISE))))
    for k in range(400):
        w = float(np.clip(w - 0.1 * of_critic(w, theta), -1, 1))
        theta = float(theta - 0.05 * of_generator(theta, w))
        if k >= 300:
            late.append(theta)
    return float(np.mean(late)), float(np.mean(REAL) - np.mean(NOISE))


def good_critic(real: Any, fake: Any) -> Any:
    """What the critic minimises: less the difference of the means."""
    return np.mean(fake) - np.mean(real)


def generator_finds_the_data(losses: Any) -> tuple[bool, dict[str, float]]:
    """Both players descend their losses; the generator can shift its samples: does it end, on average, at the data's mean?"""
    end, goal = game(*losses)
    return abs(end - goal) < 0.5, {"shift at the end": end, "shift of the data": goal}


def greatest_difference_of_means(slope: float) -> float:
    """The greatest E D(x) - E D(y) over all functions on the samples whose slope nowhere exceeds this: a linear program."""
    points = np.concatenate([FEW_REAL, FEW_MADE])
    weights = np.concatenate([np.full(25, 1 / 25), np.full(30, -1 / 30)])
    order = np.argsort(points)
    rise = np.diff(np.eye(len(points))[order], axis=0)
    room = slope * np.diff(points[order])
    steps, limits = np.vstack([rise, -rise]), np.concatenate([room, room])
    free = np.isinf(limits)
    found: Any = optimize.linprog(-weights, A_ub=steps[~free], b_ub=limits[~free], bounds=(None, None))
    return np.inf if found.status == 3 else -float(found.fun)  # 3: there is no greatest


def is_wassersteins_distance(slope: float) -> tuple[bool, dict[str, float]]:
    """With critics of this slope: is the greatest difference of means the distance that SciPy finds by sorting?"""
    found = greatest_difference_of_means(slope)
    exact = float(stats.wasserstein_distance(FEW_REAL, FEW_MADE))
    return abs(found - exact) < 1e-6, {"greatest difference": found, "distance": exact}


WEIGHT, BIAS, SPREAD = 1.3, -0.4, 0.6  # x = w z + b + noise of this standard deviation; z standard normal
ENCODED = [(1.1, 0.9, 0.5), (-2.0, 0.3, 1.4), (0.2, 0.4, SPREAD / np.sqrt(WEIGHT**2 + SPREAD**2))]  # x, mean and deviation of q


def normal(mean: Any, std: Any) -> Any:
    """A normal distribution."""
    return cr.distributions.normal(mean, std)


def evidence_less_the_gap(x: float, mean: float, std: float) -> Any:
    """ln p(x) less the divergence of q from the true posterior; both are normal and known."""
    precision = 1 + (WEIGHT / SPREAD) ** 2
    posterior = normal(WEIGHT * (x - BIAS) / SPREAD**2 / precision, precision**-0.5)
    evidence = normal(BIAS, np.hypot(WEIGHT, SPREAD)).log_density(x)
    return evidence - cr.distributions.kl(normal(mean, std), posterior)


def expected_log_likelihood(x: float, mean: float, std: float) -> Any:
    """E_q ln p(x|z)."""
    return cr.expectation(lambda z: normal(WEIGHT * z + BIAS, SPREAD).log_density(x), normal(mean, std))


def elbo(x: float, mean: float, std: float) -> Any:
    """The bound: likelihood less the divergence of q from the prior."""
    return expected_log_likelihood(x, mean, std) - cr.distributions.kl(normal(mean, std), normal(0.0, 1.0))


def elbo_with_the_divergence_turned(x: float, mean: float, std: float) -> Any:
    """The same with the divergence of the prior from q."""
    return expected_log_likelihood(x, mean, std) - cr.distributions.kl(normal(0.0, 1.0), normal(mean, std))


def fourth_moment(mean: Any, std: Any) -> Any:
    """E z⁴ of a normal z, by its formula."""
    return mean**4 + 6 * mean**2 * std**2 + 3 * std**4


def derivative_through_samples(transform: Any) -> Any:
    """Derivative of the mean of z⁴, z made of standard normal nodes, in mean and deviation."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    return cr.grad(lambda m, s: np.sum(weights * transform(m, s, nodes) ** 4) / np.sum(weights), (0, 1))


def samples_are_of_q(noise: Any) -> Finding:
    """Of 200 000 samples μ + σ ε in two dimensions: are second and fourth moments those of N(μ, diag σ²), within 4.5 standard errors?"""
    mean, std = np.array([0.5, -1.0]), np.array([2.0, 0.3])
    z = mean + std * noise(np.random.default_rng(93), 200_000)
    centred = (z - mean) / std
    checks = {
        "variance": (centred**2, 1.0),
        "product": (centred[:, :1] * centred[:, 1:], 0.0),
        "fourth moment": (centred**4, 3.0),
    }
    off = {k: float(np.max(np.abs(v.mean(0) - e) / (v.std(0) / np.sqrt(len(v))))) for k, (v, e) in checks.items()}
    return Finding(max(off.values()) < 4.5, off)


CLAIMS = (
    Claim(
        id="9.8.gan.discriminator", lines=(760, 764), kind="definition", verdict="true",
        statement="The discriminator's loss is the cross-entropy of telling data from samples.", latex=r"L_D = -E_{x \sim p}[\log D(x)] - E_z[\log(1 - D(G(z)))]",
        judge=Matches(best_discriminator_is_the_share_of_the_data),
        stated=lambda d: -np.sum(DATA * np.log(d)) - np.sum(MODEL * np.log(1 - d)), other=lambda d: -np.sum(DATA * np.log(d)),
        note="Its minimiser is p/(p + q), and its least value ln 4 less twice the Jensen-Shannon divergence.", note_latex=r"D^* = \frac{p}{p + q}", source="Goodfellow et al. 2014, proposition 1",
    ),
    Claim(
        id="9.8.gan.generator", lines=(766, 770), kind="definition", verdict="true",
        statement="The generator's loss is minus the expected log of what the discriminator says of its samples.", latex=r"L_G = -E_z[\log D(G(z))]",
        judge=Matches(pushes_where_the_discriminator_is_sure), stated=lambda d: -np.log(d), other=lambda d: np.log(1 - d),
        note="The form that does not saturate: the game's own loss for the generator is E log(1 - D(G(z))), which has the same fixed point and hardly any slope "
        "where the discriminator is sure. With it the two losses are no longer one with two signs.",
        source="Goodfellow et al. 2014, section 3",
    ),
    Claim(
        id="9.8.wgan.critic", lines=(772, 776), kind="definition", verdict="false",
        statement="The loss of Wasserstein's critic is its mean on the data less its mean on samples.", latex=r"L_D = E_{x \sim p}[D(x)] - E_z[D(G(z))]",
        judge=Matches(generator_finds_the_data), stated=(lambda real, fake: np.mean(real) - np.mean(fake), lambda fake: -np.mean(fake)), other=(good_critic, lambda fake: -np.mean(fake)),
        note="That is what the critic maximises. As a loss it has the wrong sign: descending it, the critic scores samples above data, and the generator, which seeks high "
        "scores, runs away from the data.",
        note_latex=r"L_D = E_z[D(G(z))] - E_{x \sim p}[D(x)]", source="Arjovsky, Chintala and Bottou 2017, algorithm 1",
    ),
    Claim(
        id="9.8.wgan.lipschitz", lines=(772, 776), kind="property", verdict="conditional",
        statement="With these losses the networks are about Wasserstein's distance, as the greatest difference of a critic's means.", latex=r"W_1(p, q) = \max_D E_p D - E_q D",
        judge=Matches(is_wassersteins_distance), stated=np.inf, other=1.0,
        note="Over critics with Lipschitz constant 1 only, which has to be enforced: by clipped weights, a gradient penalty or spectral normalisation. Over all functions it has no maximum.",
        note_latex=r"W_1(p, q) = \max_{|D(x) - D(y)| \le \|x - y\|} E_p D - E_q D", source="Villani 2009, theorem 5.10; Gulrajani et al. 2017",
    ),
    Claim(
        id="9.8.wgan.generator", lines=(778, 780), kind="definition", verdict="true",
        statement="The generator's loss is minus the critic's mean on its samples.", latex=r"L_G = -E_z[D(G(z))]",
        judge=Matches(generator_finds_the_data), stated=(good_critic, lambda fake: -np.mean(fake)), other=(good_critic, np.mean),
        note="Against a critic that scores data high.",
    ),
    Claim(
        id="9.8.vae.elbo", lines=(784, 788), kind="definition", verdict="true",
        statement="The bound is the expected log-likelihood under q less the divergence of q from the prior.", latex=r"\mathcal L = E_{q_\phi(z|x)}[\log p_\theta(x|z)] - D_{KL}(q_\phi(z|x) \| p(z))",
        judge=Same(evidence_less_the_gap, ENCODED), stated=elbo, other=elbo_with_the_divergence_turned,
        note="It is below log p(x) by just the divergence of q from the true posterior, so it is maximised; the loss is minus it.",
        note_latex=r"\log p_\theta(x) - \mathcal L = D_{KL}(q_\phi(z|x) \| p_\theta(z|x)) \ge 0", source="Kingma and Welling 2014, equation 3",
    ),
    Claim(
        id="9.8.vae.reparameterization", lines=(790, 794), kind="identity", verdict="true",
        statement="A sample is written as mean plus deviation times noise, so that it has derivatives in both.", latex=r"z = \mu_\phi(x) + \sigma_\phi(x) \odot \epsilon",
        judge=Derivative(fourth_moment, [(0.7, 1.3), (-1.5, 0.4)], (0, 1), "derivative of an expectation"),
        stated=derivative_through_samples(lambda m, s, e: m + s * e), other=derivative_through_samples(lambda m, s, e: m + s**2 * e),
        note="σ is the standard deviation, not the variance. The derivative of the mean over samples is then the derivative of the expectation.", source="Kingma and Welling 2014, section 2.4",
    ),
    Claim(
        id="9.8.vae.noise", lines=(796, 796), kind="definition", verdict="true",
        statement="The noise is standard normal, its elements independent.", latex=r"\epsilon \sim \mathcal N(0, I)",
        judge=samples_are_of_q, stated=lambda rng, n: rng.standard_normal((n, 2)), other=lambda rng, n: rng.uniform(-(3**0.5), 3**0.5, (n, 2)),
        note="For a q that is normal with independent elements. Correlated ones take a matrix in the place of σ; discrete ones cannot be written so.",
    ),
)  # fmt: skip
