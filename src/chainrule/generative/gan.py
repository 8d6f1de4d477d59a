r"""Generative adversarial networks (Goodfellow et al. 2014), from the game to its training.

A generator makes x = G(z) from noise; a discriminator D(x) says how likely x is to come from the data.  They play

$$\min_G \max_D \; E_{x \sim p} \ln D(x) + E_z \ln(1 - D(G(z))).$$

For a fixed generator with density q the best discriminator is $D = p / (p + q)$ (proposition 1), and the game's value is then
twice the Jensen-Shannon divergence of p and q, less $\ln 4$.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, nn, optim, random
from chainrule.calculus import value_and_grad
from chainrule.compilation import jit
from chainrule.flow import scan
from chainrule.generative.batches import checked, run_epochs, saved, sizes, whole

LOSSES = ("non_saturating", "saturating")


def discriminator_loss(real: Any, fake: Any) -> Any:
    r"""$-E \ln D(x) - E \ln(1 - D(G(z)))$, from the log-odds of D."""
    return np.mean(nn.softplus(-real)) + np.mean(nn.softplus(fake))


def generator_loss(fake: Any, loss: str) -> Any:
    r"""What the generator minimises, from the log-odds of D on its samples.

    "saturating" is the game itself, $E \ln(1 - D(G(z)))$, whose slope vanishes where D is sure; "non_saturating" is
    $-E \ln D(G(z))$, whose slope does not, with the same fixed point (section 3 of the paper).
    """
    return np.mean(nn.softplus(-fake)) if loss == "non_saturating" else -np.mean(nn.softplus(fake))


class Losses(NamedTuple):
    """Means over an epoch."""

    discriminator: float
    generator: float


class GAN:
    """A generative adversarial network.

    Args:
        features: number of elements of one example.
        latent: number of elements of the noise, standard normal.
        hidden: sizes of the hidden layers of both networks.
        loss: of the generator, "non_saturating" or "saturating".
        activation: of the hidden layers, a name or a function.
        key: random key of the initial weights.

    Attributes:
        generator, discriminator: the networks; the discriminator's output is the log-odds of D.
        history: the `Losses` of each epoch.

    Example:
        >>> import chainrule as cr
        >>> x = 3.0 + cr.random.normal(cr.random.key(0), (256, 1))
        >>> model = cr.generative.GAN(1, latent=1, hidden=(8,), key=cr.random.key(1))
        >>> model.fit(x, epochs=2, batch_size=64, key=cr.random.key(2)).sample(3, cr.random.key(3)).shape
        (3, 1)

    Source: Goodfellow et al. 2014, algorithm 1.
    """

    def __init__(
        self,
        features: int,
        *,
        latent: int,
        hidden: Sequence[int] = (128, 128),
        loss: str = "non_saturating",
        activation: Any = "leaky_relu",
        key: Any,
    ) -> None:
        features, latent = whole(features, "features"), whole(latent, "latent")
        if loss not in LOSSES:
            raise ValueError(f"loss is one of {', '.join(map(repr, LOSSES))}, not {loss!r}")
        a, b = random.split(key)
        self.features, self.latent, self.loss = features, latent, loss
        self.generator = nn.MLP([latent, *sizes(hidden), features], activation, key=a)
        self.discriminator = nn.MLP([features, *sizes(hidden), 1], activation, key=b)
        self.history: list[Losses] = []

    def __repr__(self) -> str:
        return f"GAN(features={self.features}, latent={self.latent}, {self.loss}, {self.generator!r}, {self.discriminator!r})"

    @errors.boundary
    def fit(
        self,
        x: Any,
        *,
        epochs: int,
        batch_size: int = 128,
        key: Any,
        learning_rate: Any = 2e-4,
        discriminator_steps: int = 1,
        optimizer: optim.Rule | None = None,
        after_epoch: Callable[[GAN], object] | None = None,
        checkpoint: Any = None,
        checkpoint_every: int = 1,
        resume: bool = False,
    ) -> GAN:
        """Play the game; each epoch is one compiled loop.

        Args:
            x: (n, features).
            epochs: passes through the data.
            batch_size: examples in a step of either player.
            key: random key of shuffling and noise.
            learning_rate: of Adam with beta1 = 0.5 (Radford, Metz and Chintala 2016), a number or a schedule.
            discriminator_steps: steps of the discriminator to one of the generator (k in algorithm 1).
            optimizer: a rule for both players in the place of Adam.
            after_epoch: called with the model after each epoch: to show progress, to draw.
            checkpoint: folder of checkpoints (`cr.fit`'s format: complete or not there at all).
            checkpoint_every: epochs between two of them.
            resume: go on from the newest checkpoint there; the model, its history and all that follows are bit for bit those of
                the training that was not interrupted.

        Returns:
            The model itself, trained; calling again goes on from there (with new optimisers).
        """
        data, k = checked(x, self.features), whole(discriminator_steps, "discriminator_steps")
        rule = optimizer or optim.adam(learning_rate, beta1=0.5)

        def noise(key: Any, n: int) -> Any:
            return random.normal(key, (n, self.latent))

        def of_discriminator(d: Any, g: Any, real: Any, key: Any) -> Any:
            return discriminator_loss(d(real), d(g(noise(key, real.shape[0]))))

        def of_generator(g: Any, d: Any, n: int, key: Any) -> Any:
            return generator_loss(d(g(noise(key, n))), self.loss)

        def epoch(state: Any, data: Any, rows: Any, keys: Any) -> Any:
            def step(state: Any, xs: Any) -> Any:
                (g, g_state), (d, d_state) = state
                key, rows, loss_d = xs[1], np.reshape(xs[0], (k, -1)), None
                for j in range(k):
                    loss_d, grads = value_and_grad(of_discriminator)(d, g, data[rows[j]], random.fold_in(key, j))
                    d, d_state = rule.step(d, grads, d_state)
                loss_g, grads = value_and_grad(of_generator)(g, d, rows.shape[1], random.fold_in(key, k))
                g, g_state = rule.step(g, grads, g_state)
                return ((g, g_state), (d, d_state)), (loss_d, loss_g)

            return scan(step, state, (rows, keys))

        start = (self.generator, rule.init(self.generator)), (self.discriminator, rule.init(self.discriminator))
        options = {"model": repr(self), "batch_size": batch_size, "discriminator_steps": k}
        where = saved(checkpoint, checkpoint_every, resume, data, key, **options)
        for e in run_epochs(jit(epoch), start, data, epochs, batch_size, key, where, group=k):
            (self.generator, _), (self.discriminator, _) = e.state
            self.history.append(Losses(*e.losses))
            if after_epoch is not None and not e.read:
                after_epoch(self)
        return self

    def sample(self, n: int, key: Any) -> Any:
        """Examples from the generator, (n, features)."""
        return self.generator(random.normal(key, (whole(n, "n"), self.latent)))

    def probability(self, x: Any) -> Any:
        """D(x): how likely the discriminator takes each row for data, (n,)."""
        return nn.sigmoid(self.discriminator(checked(x, self.features)))[:, 0]


@errors.boundary
def train_discriminator(
    x: Any,
    y: Any,
    *,
    key: Any,
    hidden: Sequence[int] = (64, 64),
    steps: int = 2000,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
) -> Callable[[Any], Any]:
    """The best discriminator between two samples, D = p / (p + q), where p and q are their densities.

    Args:
        x: (n, features), a sample from p.
        y: (m, features), a sample from q.
        key: random key.
        hidden: sizes of the hidden layers.
        steps: steps of Adam, its learning rate falling along a cosine.
        batch_size: examples of each sample in a step, drawn at random.
        learning_rate: of the first step.

    Returns:
        Function of points (k, features) to D, (k,).

    Source: Goodfellow et al. 2014, proposition 1.
    """
    x = checked(x, np.shape(x)[-1] if np.ndim(x) > 1 else 1)
    y = checked(y, x.shape[1], "y")
    rule = optim.adam(optim.schedules.cosine(learning_rate, whole(steps, "steps")))
    start, run = random.split(key)
    net = nn.MLP([x.shape[1], *hidden, 1], "tanh", key=start)

    def train(net: Any, x: Any, y: Any, keys: Any) -> Any:
        def step(state: Any, key: Any) -> Any:
            net, opt = state
            a, b = [data[random.randint(k, batch_size, 0, len(data))] for k, data in zip(random.split(key), (x, y), strict=True)]
            loss, grads = value_and_grad(lambda d: discriminator_loss(d(a), d(b)))(net)
            return rule.step(net, grads, opt), loss

        return scan(step, (net, rule.init(net)), keys)[0][0]

    net = jit(train)(net, x, y, random.split(run, steps))
    return lambda points: nn.sigmoid(net(checked(points, x.shape[1], "points")))[:, 0]


__all__ = ["GAN", "Losses", "discriminator_loss", "generator_loss", "train_discriminator"]
