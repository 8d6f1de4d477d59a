r"""The variational autoencoder (Kingma and Welling 2014), from the model to its training.

A latent z with a standard normal prior makes x through a decoder, $p_\theta(x \mid z)$; an encoder, $q_\phi(z \mid x)$, guesses
z back.  For every q

$$\ln p_\theta(x) \ge E_q \ln p_\theta(x \mid z) - \mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z)),$$

with equality where q is the posterior.  Training raises the right side (the evidence lower bound) in both networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import distributions, errors, nn, optim, random
from chainrule.calculus import value_and_grad
from chainrule.compilation import jit
from chainrule.distributions.continuous import Normal
from chainrule.flow import scan, stop_gradient
from chainrule.generative.batches import checked, run_epochs, saved, sizes, whole
from chainrule.nn.module import STATIC, Module, replaced
from chainrule.special import logsumexp

_LIKELIHOODS = ("gaussian", "bernoulli")
_GRADIENTS = ("pathwise", "score")
_KLS = ("analytic", "sampled")
_MOST = 2**22
"""Numbers in one array of an estimate; larger ones are made in parts."""


@dataclass(frozen=True, eq=False, repr=False)
class Networks(Module):
    """The parameters: both networks, and the logarithm of the deviation of x about its mean (Gaussian decoder only)."""

    encoder: nn.MLP
    decoder: nn.MLP
    log_std: Any
    likelihood: str = field(metadata=STATIC)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """Reconstruction: the mean of x given the mean of z given x."""
        return self.mean_of(self.posterior(x).mean)

    def posterior(self, x: Any) -> Normal:
        """q(z | x), normal with independent components."""
        mean, log_std = np.split(self.encoder(x), 2, axis=-1)
        return Normal(mean, np.exp(log_std))

    def mean_of(self, z: Any) -> Any:
        """E(x | z)."""
        out = self.decoder(z)
        return nn.sigmoid(out) if self.likelihood == "bernoulli" else out

    def log_likelihood(self, x: Any, z: Any) -> Any:
        """ln p(x | z), one number per example."""
        out = self.decoder(z)
        if self.likelihood == "bernoulli":
            return np.sum(x * out - np.logaddexp(0, out), -1)
        return np.sum(Normal(out, np.exp(self.log_std)).log_density(x), -1)


def log_weight(net: Networks, x: Any, z: Any, q: Normal) -> Any:
    """ln p(x | z) + ln p(z) - ln q(z | x): its mean under q is the bound, and the mean of its exponential is p(x)."""
    prior = distributions.normal()
    return net.log_likelihood(x, z) + np.sum(prior.log_density(z) - q.log_density(z), -1)


def reparameterised(net: Networks, x: Any, noise: Any, beta: float, kl: str) -> Any:
    r"""The bound of each example with z = mean + std * noise, so that its gradient goes through z; one z per example.

    With beta = 1 this is equation 7 ("sampled") or 8 and appendix B ("analytic") of Kingma and Welling.
    """
    q = net.posterior(x)
    z = q.mean + q.std * noise
    if kl == "analytic":
        return net.log_likelihood(x, z) - beta * np.sum(q.kl(distributions.normal()), -1)
    fit = net.log_likelihood(x, z)
    return fit + beta * (log_weight(net, x, z, q) - fit)


def importance_weighted(net: Networks, x: Any, noise: Any) -> Any:
    r"""$\ln \frac1K \sum_k p(x, z_k) / q(z_k \mid x)$ for K draws (K, n, latent): a bound that rises to ln p(x) with K.

    Source: Burda, Grosse and Salakhutdinov 2016, equation 8.
    """
    q = net.posterior(x)
    return logsumexp(log_weight(net, x, q.mean + q.std * noise, q), 0) - np.log(noise.shape[0])


def by_score(net: Networks, x: Any, noise: Any, beta: float) -> Any:
    """The same bound with z held fixed: the gradient goes through ln q(z | x), less the mean over the other examples.

    Source: Ranganath, Gerrish and Blei 2014 (black box variational inference).
    """
    q = net.posterior(x)
    z = stop_gradient(q.mean + q.std * noise)
    fit = net.log_likelihood(x, z)
    log_q = np.sum(q.log_density(z), -1)
    bound = fit + beta * (np.sum(distributions.normal().log_density(z), -1) - log_q)
    n = bound.shape[0]
    fixed = stop_gradient(bound)
    others = (np.sum(fixed) - fixed) / max(n - 1, 1)
    return bound + (fixed - others) * (log_q - stop_gradient(log_q))


def _sure(encoder: nn.MLP, latent: int) -> nn.MLP:
    """The encoder with deviation 1 for every x to begin with: an exponential of random numbers would make large losses."""
    *rest, last = encoder.layers
    keep = np.arange(2 * latent)[:, None] < latent
    return replaced(encoder, layers=(*rest, replaced(last, weight=np.where(keep, last.weight, 0.0))))


class VAE:
    r"""A variational autoencoder.

    Args:
        features: number of elements of one example.
        latent: number of elements of z.
        hidden: sizes of the hidden layers of the encoder, in reverse order those of the decoder; () makes both linear, which with
            the Gaussian likelihood is probabilistic principal component analysis.
        likelihood: "gaussian": x about the decoder's output with one deviation for all elements, which is learned; "bernoulli":
            elements in [0, 1], the decoder's output being log-odds.
        activation: of the hidden layers, a name or a function.
        key: random key of the initial weights.

    Attributes:
        net: the parameters, a `Networks`.
        history: the bound after each epoch of training (the objective's mean over the epoch's batches).

    Example:
        >>> import numpy as np, chainrule as cr
        >>> x = cr.random.normal(cr.random.key(0), (200, 1)) @ np.array([[1.0, 2.0, -1.0]])
        >>> model = cr.generative.VAE(3, latent=1, hidden=(), key=cr.random.key(1))
        >>> model = model.fit(x, epochs=20, batch_size=50, key=cr.random.key(2), learning_rate=0.01)
        >>> model.history[-1] > model.history[0], model.sample(5, cr.random.key(3)).shape
        (True, (5, 3))

    Source: Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014.
    """

    def __init__(
        self,
        features: int,
        *,
        latent: int,
        hidden: Sequence[int] = (128,),
        likelihood: str = "gaussian",
        activation: Any = "relu",
        key: Any,
    ) -> None:
        features, latent = whole(features, "features"), whole(latent, "latent")
        if likelihood not in _LIKELIHOODS:
            raise ValueError(f"likelihood is one of {', '.join(map(repr, _LIKELIHOODS))}, not {likelihood!r}")
        a, b = random.split(key)
        encoder = _sure(nn.MLP([features, *sizes(hidden), 2 * latent], activation, key=a), latent)
        decoder = nn.MLP([latent, *reversed(sizes(hidden)), features], activation, key=b)
        self.features, self.latent = features, latent
        self.net = Networks(encoder, decoder, np.zeros(()) if likelihood == "gaussian" else None, likelihood)
        self.history: list[float] = []

    def __repr__(self) -> str:
        return f"VAE(features={self.features}, latent={self.latent}, {self.net.likelihood}, {self.net.encoder!r})"

    # --- training -----------------------------------------------------------------------------------------------------------

    @errors.boundary
    def fit(
        self,
        x: Any,
        *,
        epochs: int,
        batch_size: int = 128,
        key: Any,
        learning_rate: Any = 1e-3,
        beta: float = 1.0,
        samples: int = 1,
        kl: str = "analytic",
        gradient: str = "pathwise",
        optimizer: optim.Rule | None = None,
        after_epoch: Callable[[VAE], object] | None = None,
        checkpoint: Any = None,
        checkpoint_every: int = 1,
        resume: bool = False,
    ) -> VAE:
        r"""Raise the bound on the data; each epoch is one compiled loop.

        Args:
            x: (n, features).
            epochs: passes through the data.
            batch_size: examples in a step; those left over at the end of a (newly shuffled) epoch wait for the next.
            key: random key of shuffling and noise.
            learning_rate: of Adam, a number or a schedule.
            beta: weight of the divergence; above 1 the latent is pressed harder towards the prior (Higgins et al. 2017).
            samples: above 1, train the importance-weighted bound with so many draws of z.
            kl: "analytic", the closed form, or "sampled".
            gradient: "pathwise", through z (the reparameterisation), or "score", through ln q.
            optimizer: a rule in the place of Adam.
            after_epoch: called with the model after each epoch: to show progress, to draw.
            checkpoint: folder of checkpoints (`cr.fit`'s format: complete or not there at all).
            checkpoint_every: epochs between two of them.
            resume: go on from the newest checkpoint there; the model, its history and all that follows are bit for bit those of
                the training that was not interrupted.

        Returns:
            The model itself, trained; calling again goes on from there (with a new optimiser).

        Raises:
            ValueError: data that are no numbers, outside [0, 1] for the Bernoulli likelihood, or options that exclude each other.
            ArithmeticError: the bound became NaN.
        """
        data = self._data(x)
        self._check(beta, samples, kl, gradient)
        rule = optimizer or optim.adam(learning_rate)

        def objective(net: Networks, batch: Any, key: Any) -> Any:
            if samples > 1:
                noise = random.normal(key, (samples, batch.shape[0], self.latent))
                return -np.mean(importance_weighted(net, batch, noise))
            noise = random.normal(key, (batch.shape[0], self.latent))
            each = by_score(net, batch, noise, beta) if gradient == "score" else reparameterised(net, batch, noise, beta, kl)
            return -np.mean(each)

        def epoch(state: Any, data: Any, rows: Any, keys: Any) -> Any:
            def step(state: Any, xs: Any) -> Any:
                net, opt = state
                batch, key = data[xs[0]], xs[1]
                loss, grads = value_and_grad(objective)(net, batch, key)
                return rule.step(net, grads, opt), -loss

            return scan(step, state, (rows, keys))

        state = (self.net, rule.init(self.net))
        options = {
            "model": repr(self),
            "batch_size": batch_size,
            "beta": beta,
            "samples": samples,
            "kl": kl,
            "gradient": gradient,
        }
        where = saved(checkpoint, checkpoint_every, resume, data, key, **options)
        for e in run_epochs(jit(epoch), state, data, epochs, batch_size, key, where):
            self.net = e.state[0]
            self.history.append(e.losses[0])
            if after_epoch is not None and not e.read:
                after_epoch(self)
        return self

    def _data(self, x: Any) -> Any:
        data = checked(x, self.features)
        if self.net.likelihood == "bernoulli" and (data.min() < 0 or data.max() > 1):
            raise ValueError(f"a Bernoulli likelihood needs data in [0, 1]; these go from {data.min():.4g} to {data.max():.4g}")
        return data

    def _check(self, beta: float, samples: int, kl: str, gradient: str) -> None:
        whole(samples, "samples")
        if not beta >= 0:
            raise ValueError(f"beta is not negative, and not {beta}")
        if kl not in _KLS or gradient not in _GRADIENTS:
            raise ValueError(f"kl is one of {_KLS} and gradient one of {_GRADIENTS}, not {kl!r} and {gradient!r}")
        if samples > 1 and (beta != 1 or gradient != "pathwise" or kl != "analytic"):
            raise ValueError("the importance-weighted bound (samples > 1) has no beta, no separate kl, and pathwise gradients")
        if gradient == "score" and kl != "analytic":
            raise ValueError('gradient="score" samples the whole bound: leave kl as it is')

    # --- use ----------------------------------------------------------------------------------------------------------------

    def encode(self, x: Any) -> Normal:
        """q(z | x): a normal distribution whose ``mean`` and ``std`` have shape (n, latent)."""
        return self.net.posterior(self._data(x))

    def decode(self, z: Any) -> Any:
        """E(x | z): (n, latent) to (n, features)."""
        return self.net.mean_of(checked(z, self.latent, "z"))

    def reconstruct(self, x: Any) -> Any:
        """The mean of x given the mean of its code."""
        return self.net(self._data(x))

    def sample(self, n: int, key: Any, mean: bool = False) -> Any:
        """Examples from the model, (n, features); with `mean` the decoder's means, without the noise of p(x | z)."""
        a, b = random.split(key)
        x = self.net.mean_of(random.normal(a, (whole(n, "n"), self.latent)))
        if mean:
            return x
        if self.net.likelihood == "bernoulli":
            return (random.uniform(b, x.shape) < x).astype(np.float64)
        return x + np.exp(self.net.log_std) * random.normal(b, x.shape)

    @errors.boundary
    def elbo(self, x: Any, *, key: Any, samples: int = 64, each: bool = False) -> Any:
        r"""$E_q \ln p(x \mid z) - \mathrm{KL}(q \| p)$, the divergence in closed form.

        Args:
            x: (n, features).
            key: random key.
            samples: draws of z for each example.
            each: one number per example in the place of their mean.
        """
        return self._estimated(lambda net, x, e: np.mean(reparameterised(net, x, e, 1.0, "analytic"), 0), x, key, samples, each)

    @errors.boundary
    def log_likelihood(self, x: Any, *, key: Any, samples: int = 1024, each: bool = False) -> Any:
        """ln p(x) by importance sampling from q: never too high on average, and exact as `samples` grows.

        Args:
            x: (n, features).
            key: random key.
            samples: draws of z for each example.
            each: one number per example in the place of their mean.
        """
        return self._estimated(importance_weighted, x, key, samples, each)

    def _estimated(self, bound: Any, x: Any, key: Any, samples: int, each: bool) -> Any:
        data, samples = self._data(x), whole(samples, "samples")
        size = max(1, _MOST // (samples * max(self.features, self.latent)))
        compiled = jit(bound)
        parts: list[Any] = []
        for k, i in enumerate(range(0, len(data), size)):
            batch = data[i : i + size]
            noise = random.normal(random.fold_in(key, k), (samples, len(batch), self.latent))
            parts.append(compiled(self.net, batch, noise))
        found = np.concatenate(parts)
        return found if each else float(found.mean())


__all__ = ["VAE", "Networks"]
