r"""Wasserstein generative adversarial networks (Arjovsky, Chintala and Bottou 2017), from the distance to the training.

The distance between two distributions is what the best 1-Lipschitz critic tells them apart by (Kantorovich and Rubinstein):

$$W(p, q) = \max_{\mathrm{Lip}(D) \le 1} E_p D(x) - E_q D(y).$$

A network is kept 1-Lipschitz, or nearly, in one of these ways:

- ``"clip"``: every weight is clipped to [-c, c] after each step.  D is then Lipschitz with an unknown constant.
- ``"penalty"``: $\lambda E (\lVert \nabla D \rVert - 1)^2$ on the lines between samples is subtracted (Gulrajani et al. 2017);
  its gradient is the derivative of a derivative.  It is biased: for a linear critic the maximum of $sW - \lambda (s - 1)^2$
  lies at the slope $s = 1 + W / 2\lambda$, so that the critic's value is $(1 + W / 2\lambda)$ times the distance.  And where
  the distance is small beside $\lambda$, it holds a critic whose slope has the wrong sign: on the way back it would be 0.
- ``"one_sided"``: the same for slopes above 1 only (Petzka, Fischer and Lukovnikov 2018), with the same bias, and no such trap.
- ``"spectral"``: every weight matrix is divided by its greatest singular value (Miyato et al. 2018).  Each layer is 1-Lipschitz;
  with rectifiers, which pass less than they get, the value stays below the distance.
- ``"sorting"``: rows of weights have norm 1, and hidden units are sorted in pairs (Anil, Lucas and Grosse 2019).  Such a
  network is 1-Lipschitz exactly, and those networks come arbitrarily near to every 1-Lipschitz function: no penalty, no bias.
  For two samples that stay as they are only: the critic is stationary where all its slopes are 1, and also where all are -1, so
  that it would not turn round when a generator has passed the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors, nn, optim, random
from chainrule.build.tree import map_tree
from chainrule.calculus import grad, value_and_grad
from chainrule.compilation import jit
from chainrule.flow import scan, stop_gradient
from chainrule.generative.batches import checked, run_epochs, saved, sizes, whole
from chainrule.nn.module import STATIC, Module, replaced

CONSTRAINTS = ("one_sided", "penalty", "clip", "spectral")
"""For a critic that follows a generator; a critic between two fixed samples has "sorting" too."""


def _normalised(v: Any) -> Any:
    return v / np.sqrt(np.sum(np.square(v)) + 1e-30)


def singular(weight: Any, u: Any) -> tuple[Any, Any]:
    """The greatest singular value by one step of the power method from u (with its derivative), and the next u."""
    fixed = stop_gradient(weight)
    v = _normalised(np.matmul(np.transpose(fixed), u))
    u = _normalised(np.matmul(fixed, v))
    return np.dot(u, np.matmul(weight, v)), u


def sorted_pairs(h: Any) -> Any:
    """Hidden units in pairs, each pair sorted: a permutation of its input everywhere, so it keeps every norm of a gradient."""
    a, b = np.split(h, 2, axis=-1)
    return np.concatenate([np.maximum(a, b), np.minimum(a, b)], -1)


def unit_rows(weight: Any, first: bool) -> Any:
    """Rows of norm 1: Euclidean from the input, and the sum of sizes between layers, whose norm is the greatest element."""
    size = np.sqrt(np.sum(np.square(weight), 1) + 1e-30) if first else np.sum(np.abs(weight), 1)
    return weight / np.expand_dims(size, 1)


@dataclass(frozen=True, eq=False, repr=False)
class Critic(Module):
    """A multilayer perceptron to one number, kept Lipschitz as `constraint` says; `u` are the vectors of the power method."""

    net: nn.MLP
    u: tuple[Any, ...]
    constraint: str = field(metadata=STATIC)

    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """(n, features) to (n,)."""
        last = len(self.net.layers) - 1
        for k, layer in enumerate(self.net.layers):
            x = np.matmul(x, np.transpose(self.weight(k))) + layer.bias
            if k < last:
                x = sorted_pairs(x) if self.constraint == "sorting" else layer.activation(x)
        return x[..., 0]

    def weight(self, k: int) -> Any:
        """The weights of layer k as they act."""
        w = self.net.layers[k].weight
        if self.constraint == "spectral":
            return w / singular(w, self.u[k])[0]
        return unit_rows(w, k == 0) if self.constraint == "sorting" else w

    def renewed(self, clip: float) -> Critic:
        """After a step of the optimiser: the power method has moved on, weights are clipped, rows have norm 1 again.

        (The last changes nothing that the critic computes.  But the gradient is at right angles to a row, so that rows would grow
        with every step, and steps count for less and less.)
        """
        if self.constraint == "spectral":
            return replace(self, u=tuple([singular(w.weight, u)[1] for w, u in zip(self.net.layers, self.u, strict=True)]))
        if self.constraint == "clip":
            return replace(self, net=map_tree(lambda w: np.clip(w, -clip, clip), self.net))
        if self.constraint == "sorting":
            layers = [replaced(w, weight=self.weight(k)) for k, w in enumerate(self.net.layers)]
            return replace(self, net=replaced(self.net, layers=tuple(layers)))
        return self


def _known(constraint: str, known: Sequence[str]) -> str:
    if constraint not in known:
        raise ValueError(f"constraint is one of {', '.join(map(repr, known))}, not {constraint!r}")
    return constraint


def make_critic(features: int, hidden: Sequence[int], constraint: str, activation: Any, key: Any) -> Critic:
    """A critic with random weights."""
    if constraint == "sorting" and any(n % 2 for n in hidden):
        raise ValueError(f"hidden units are sorted in pairs, so their number is even in every layer, unlike {tuple(hidden)}")
    a, b = random.split(key)
    net = nn.MLP([features, *sizes(hidden), 1], activation, key=a)
    u = [_normalised(random.normal(random.fold_in(b, k), w.weight.shape[0])) for k, w in enumerate(net.layers)]
    return Critic(net, tuple(u) if constraint == "spectral" else (), constraint)


def slopes(critic: Any, x: Any) -> Any:
    """Norm of the critic's derivative by its input, one for each row of x: over the features, not over the batch."""
    g = grad(lambda x: np.sum(critic(x)))(x)  # row k of the input is read by element k of the output alone
    return np.sqrt(np.sum(np.square(g), axis=1) + 1e-12)


def gradient_penalty(critic: Any, x: Any, y: Any, t: Any, one_sided: bool = False) -> Any:
    r"""$E (\lVert \nabla D(t x + (1 - t) y) \rVert - 1)^2$.

    Args:
        critic: (n, features) to (n,).
        x, y: (n, features).
        t: (n,), uniform in (0, 1).
        one_sided: let slopes below 1 alone.

    Source: Gulrajani et al. 2017, equation 3; Petzka, Fischer and Lukovnikov 2018, equation 8.
    """
    t = np.expand_dims(t, 1)
    above = slopes(critic, t * x + (1 - t) * y) - 1
    return np.mean(np.square(np.maximum(above, 0) if one_sided else above))


def critic_loss(critic: Critic, x: Any, y: Any, key: Any, penalty: float) -> tuple[Any, Any]:
    """What the critic minimises, and E_x D - E_y D, both of a batch."""
    distance = np.mean(critic(x)) - np.mean(critic(y))
    if critic.constraint not in ("penalty", "one_sided"):
        return -distance, distance
    t = random.uniform(key, x.shape[:1])
    return penalty * gradient_penalty(critic, x, y, t, critic.constraint == "one_sided") - distance, distance


class Losses(NamedTuple):
    """Means over an epoch: E_x D - E_y D as the critic finds it, and minus the critic's mean on generated samples."""

    distance: float
    generator: float


class WGAN:
    """A Wasserstein generative adversarial network.

    Args:
        features: number of elements of one example.
        latent: number of elements of the noise, standard normal.
        hidden: sizes of the hidden layers of both networks.
        constraint: "one_sided", "penalty", "clip" or "spectral".
        penalty: weight of the gradient penalty; 10 in the paper, whose authors took 0.1 for data of a few dimensions.
        clip: greatest size of a weight under "clip".
        activation: of the hidden layers, a name or a function.
        key: random key of the initial weights.

    Attributes:
        generator, critic: the networks.
        history: the `Losses` of each epoch.

    Example:
        >>> import chainrule as cr
        >>> a, b, c = cr.random.split(cr.random.key(0), 3)
        >>> distance = cr.generative.WGAN.distance(cr.random.normal(a, 500), 2 + cr.random.normal(b, 500), key=c, steps=300)
        >>> bool(1.7 < distance < 2.3)
        True

    Source: Arjovsky, Chintala and Bottou 2017, algorithm 1; Gulrajani et al. 2017, algorithm 1.
    """

    def __init__(
        self,
        features: int,
        *,
        latent: int,
        hidden: Sequence[int] = (128, 128),
        constraint: str = "one_sided",
        penalty: float = 10.0,
        clip: float = 0.01,
        activation: Any = "leaky_relu",
        key: Any,
    ) -> None:
        features, latent = whole(features, "features"), whole(latent, "latent")
        if not (penalty > 0 and clip > 0):
            raise ValueError(f"penalty and clip are positive, not {penalty} and {clip}")
        a, b = random.split(key)
        self.features, self.latent, self.penalty, self.clip = features, latent, penalty, clip
        self.generator = nn.MLP([latent, *sizes(hidden), features], activation, key=a)
        self.critic = make_critic(features, hidden, _known(constraint, CONSTRAINTS), activation, b)
        self.history: list[Losses] = []

    def __repr__(self) -> str:
        how = f"{self.critic.constraint}, penalty={self.penalty:g}, clip={self.clip:g}"
        return f"WGAN(features={self.features}, latent={self.latent}, {how}, {self.generator!r}, {self.critic.net!r})"

    @errors.boundary
    def fit(
        self,
        x: Any,
        *,
        epochs: int,
        batch_size: int = 128,
        key: Any,
        learning_rate: Any = 1e-4,
        critic_steps: int = 5,
        optimizer: optim.Rule | None = None,
        after_epoch: Callable[[WGAN], object] | None = None,
        checkpoint: Any = None,
        checkpoint_every: int = 1,
        resume: bool = False,
    ) -> WGAN:
        """Train critic and generator in turn; each epoch is one compiled loop.

        Args:
            x: (n, features).
            epochs: passes of the critic through the data.
            batch_size: examples in a step of either network.
            key: random key of shuffling and noise.
            learning_rate: of Adam with beta1 = 0 and beta2 = 0.9, or of RMSProp under "clip", as in the papers.
            critic_steps: steps of the critic to one of the generator.
            optimizer: a rule for both networks in the place of these.
            after_epoch: called with the model after each epoch: to show progress, to draw.
            checkpoint: folder of checkpoints (`cr.fit`'s format: complete or not there at all).
            checkpoint_every: epochs between two of them.
            resume: go on from the newest checkpoint there; the model, its history and all that follows are bit for bit those of
                the training that was not interrupted.

        Returns:
            The model itself, trained; calling again goes on from there (with new optimisers).
        """
        data, k = checked(x, self.features), whole(critic_steps, "critic_steps")
        usual = optim.rmsprop(learning_rate) if self.critic.constraint == "clip" else optim.adam(learning_rate, 0.0, 0.9)
        rule = optimizer or usual

        def fake(g: Any, key: Any, n: int) -> Any:
            return g(random.normal(key, (n, self.latent)))

        def of_critic(c: Any, g: Any, real: Any, key: Any) -> Any:
            a, b = random.split(key)
            return critic_loss(c, real, fake(g, a, real.shape[0]), b, self.penalty)

        def epoch(state: Any, data: Any, rows: Any, keys: Any) -> Any:
            def step(state: Any, xs: Any) -> Any:
                (g, g_state), (c, c_state) = state
                key, rows, distance = xs[1], np.reshape(xs[0], (k, -1)), None
                for j in range(k):
                    (_, distance), grads = value_and_grad(of_critic, has_aux=True)(c, g, data[rows[j]], random.fold_in(key, j))
                    c, c_state = rule.step(c, grads, c_state)
                    c = c.renewed(self.clip)
                n, last = rows.shape[1], random.fold_in(key, k)
                loss, grads = value_and_grad(lambda g: -np.mean(c(fake(g, last, n))))(g)
                g, g_state = rule.step(g, grads, g_state)
                return ((g, g_state), (c, c_state)), (distance, loss)

            return scan(step, state, (rows, keys))

        start = (self.generator, rule.init(self.generator)), (self.critic, rule.init(self.critic))
        options = {"model": repr(self), "batch_size": batch_size, "critic_steps": k}
        where = saved(checkpoint, checkpoint_every, resume, data, key, **options)
        for e in run_epochs(jit(epoch), start, data, epochs, batch_size, key, where, group=k):
            (self.generator, _), (self.critic, _) = e.state
            self.history.append(Losses(*e.losses))
            if after_epoch is not None and not e.read:
                after_epoch(self)
        return self

    def sample(self, n: int, key: Any) -> Any:
        """Examples from the generator, (n, features)."""
        return self.generator(random.normal(key, (whole(n, "n"), self.latent)))

    @staticmethod
    def distance(x: Any, y: Any, *, key: Any, **how: Any) -> float:
        r"""The Wasserstein-1 distance between two samples, as a critic finds it: $E_x D - E_y D$.

        Args:
            x: (n, features), or (n,) for numbers.
            y: (m, features), or (m,).
            key: random key.
            how: options of `train_critic`: constraint, hidden, steps, batch_size, learning_rate, penalty, clip.

        Returns:
            A lower bound of the distance between the samples, near to it after enough steps.

        Numerics:
            With ``constraint="sorting"``, the default, the critic is 1-Lipschitz by construction: no penalty pulls its slope away
            from 1, and the value is never above the distance.  Under the other constraints the value is divided by the greatest
            slope found on the samples and the lines between them, which takes the penalty's bias away.
        """
        critic, a, b, scale = train_critic(x, y, key=key, **how)
        value = float(np.mean(critic(a)) - np.mean(critic(b)))
        if critic.constraint != "sorting":
            n = min(len(a), len(b))
            t = np.linspace(0, 1, 11)[:, None, None]
            between = np.reshape(t * a[:n] + (1 - t) * b[:n], (-1, a.shape[1]))
            value /= float(np.max(slopes(critic, np.concatenate([a, b, between]))))
        return scale * value


def train_critic(
    x: Any,
    y: Any,
    *,
    key: Any,
    constraint: str = "sorting",
    hidden: Sequence[int] = (32, 32),
    steps: int = 800,
    batch_size: int = 256,
    learning_rate: float = 1e-2,
    penalty: float = 10.0,
    clip: float = 0.1,
) -> tuple[Critic, Any, Any, float]:
    """The best critic between two samples.

    Args:
        x: (n, features), or (n,) for numbers.
        y: (m, features), or (m,).
        key: random key.
        constraint: "sorting", "penalty", "one_sided", "spectral" or "clip".
        hidden: sizes of the hidden layers.
        steps: steps of Adam, its learning rate falling along a cosine.
        batch_size: examples of each sample in a step, drawn at random; all of them where there are no more.
        learning_rate: of the first step.
        penalty: weight of the gradient penalty.
        clip: greatest size of a weight under "clip".

    Returns:
        The critic, both samples moved and scaled to the pooled mean 0 and deviation 1 (which is what the critic reads), and the
        scale, by which distances there are multiplied.
    """
    x = checked(x, np.shape(x)[-1] if np.ndim(x) > 1 else 1)
    y = checked(y, x.shape[1], "y")
    pooled = np.concatenate([x, y])
    scale = float(np.sqrt(np.mean(np.var(pooled, 0)))) or 1.0
    x, y = [(z - pooled.mean(0)) / scale for z in (x, y)]
    rule = optim.adam(optim.schedules.cosine(learning_rate, whole(steps, "steps")), 0.5, 0.9)
    start, run = random.split(key)
    critic = make_critic(x.shape[1], hidden, _known(constraint, (*CONSTRAINTS, "sorting")), "leaky_relu", start)

    def batch(key: Any, data: Any, n: int) -> Any:
        return data[random.randint(key, n, 0, data.shape[0])]

    def train(critic: Any, x: Any, y: Any, keys: Any) -> Any:
        n = x.shape[0] if x.shape[0] == y.shape[0] <= batch_size else batch_size

        def step(state: Any, key: Any) -> Any:
            c, opt = state
            a, b, t = random.split(key, 3)
            pair = (x, y) if n == x.shape[0] == y.shape[0] else (batch(a, x, n), batch(b, y, n))
            (_, distance), grads = value_and_grad(critic_loss, has_aux=True)(c, *pair, t, penalty)
            c, opt = rule.step(c, grads, opt)
            return (c.renewed(clip), opt), distance

        return scan(step, (critic, rule.init(critic)), keys)[0][0]

    return jit(train)(critic, x, y, random.split(run, steps)), x, y, scale


__all__ = ["CONSTRAINTS", "WGAN", "Critic", "Losses", "critic_loss", "gradient_penalty", "slopes", "train_critic"]
