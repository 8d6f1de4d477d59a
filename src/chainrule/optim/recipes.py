"""The optimisers by name: each is a chain of atoms, with its paper's equation and where implementations differ.

In all of them g is the gradient at x, the count k of a step begins at 1, and `learning_rate` is a number or a schedule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.optim import atoms
from chainrule.optim.clip import clip_by_block_rms
from chainrule.optim.numbers import recipe
from chainrule.optim.rule import Atom, Rule, Schedule, chain

Rate = float | Schedule

__all__ = [
    "adadelta", "adafactor", "adagrad", "adam", "adamw", "amsgrad", "gradient_descent", "lion", "momentum", "muon", "nadam",
    "nesterov", "radam", "rmsprop", "sgd",
]  # fmt: skip


def _decay(weight_decay: float) -> list[Atom]:
    return [atoms.add_decayed_weights(weight_decay)] if weight_decay else []


@recipe
def gradient_descent(learning_rate: Rate) -> Rule:
    r"""$x \leftarrow x - \alpha g$.

    Args:
        learning_rate: $\alpha$; below 2/L, for a gradient with Lipschitz constant L.

    Source: Cauchy 1847.
    """
    return chain(atoms.scale_by_learning_rate(learning_rate))


@recipe
def sgd(learning_rate: Rate = 0.01, momentum: float = 0.0, weight_decay: float = 0.0) -> Rule:
    r"""$x \leftarrow x - \alpha (g + \lambda x)$, where g is the gradient on a mini-batch; with momentum as in `momentum`.

    Args:
        learning_rate: $\alpha$.
        momentum: $\mu$.
        weight_decay: $\lambda$.  For this rule alone decay and an L2 penalty of $\lambda/2$ are the same.

    Source: Robbins and Monro 1951, equation 8.
    """
    parts = [atoms.trace(momentum)] if momentum else []
    return chain(*_decay(weight_decay), *parts, atoms.scale_by_learning_rate(learning_rate))


@recipe
def momentum(learning_rate: Rate = 0.01, momentum: float = 0.9, weight_decay: float = 0.0) -> Rule:
    r"""$b \leftarrow \mu b + g, \quad x \leftarrow x - \alpha b$ (the heavy ball).

    PyTorch and Optax do this.  Polyak, Sutskever and Keras keep the velocity $v \leftarrow \mu v - \alpha g$ instead; the paths
    are the same as long as the learning rate stays the same, and differ when it changes.  There is no dampening.

    Source: Polyak 1964, equation 9.
    """
    return sgd(learning_rate, momentum, weight_decay)


@recipe
def nesterov(learning_rate: Rate = 0.01, momentum: float = 0.9, weight_decay: float = 0.0) -> Rule:
    r"""$b \leftarrow \mu b + g, \quad x \leftarrow x - \alpha (g + \mu b)$.

    The form of PyTorch and Optax: x here is the point where the gradient is taken, Nesterov's y.  With a constant learning
    rate it is his method with a constant momentum; `minimize` has the one whose momentum grows.

    Source: Nesterov 1983; Sutskever et al. 2013, equation 7, in the variables of Bengio et al. 2013.
    """
    rate = atoms.scale_by_learning_rate(learning_rate)
    return chain(*_decay(weight_decay), atoms.trace_nesterov(momentum), rate)


@recipe
def adagrad(learning_rate: Rate = 0.01, eps: float = 1e-10, initial_accumulator: float = 0.0, weight_decay: float = 0.0) -> Rule:
    r"""$v \leftarrow v + g^2, \quad x \leftarrow x - \alpha\, g / (\sqrt v + \epsilon)$.

    PyTorch does this.  Optax adds epsilon inside the root and starts v at 0.1; Duchi et al. have it outside.

    Source: Duchi, Hazan and Singer 2011, figure 1.
    """
    scaling = atoms.scale_by_sum_of_squares(eps, initial_accumulator)
    return chain(*_decay(weight_decay), scaling, atoms.scale_by_learning_rate(learning_rate))


@recipe
def rmsprop(
    learning_rate: Rate = 0.01, decay: float = 0.9, eps: float = 1e-8, centered: bool = False, momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Rule:  # fmt: skip
    r"""$v \leftarrow \beta v + (1 - \beta) g^2, \quad x \leftarrow x - \alpha\, g / (\sqrt v + \epsilon)$.

    PyTorch does this (with $\beta$ = 0.99).  Optax and Keras add epsilon inside the root by default.  There is no bias
    correction: as v starts at 0, the first steps are longer by up to $1 / \sqrt{1 - \beta}$.

    Args:
        learning_rate: $\alpha$.
        decay: $\beta$.
        eps: $\epsilon$.
        centered: divide by the deviation, $\sqrt{v - m^2}$ with the running mean m of g (Graves 2013, equation 40, with epsilon
            outside the root).
        momentum: $\mu$, of a momentum that acts on the scaled gradient.
        weight_decay: coupled, $g + \lambda x$.

    Source: Hinton, Srivastava and Swersky 2012, lecture 6e.
    """
    scaling = atoms.scale_by_centered_rms(decay, eps) if centered else atoms.scale_by_rms(decay, eps)
    heavy = [atoms.trace(momentum)] if momentum else []
    return chain(*_decay(weight_decay), scaling, *heavy, atoms.scale_by_learning_rate(learning_rate))


@recipe
def adadelta(learning_rate: Rate = 1.0, decay: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> Rule:
    r"""$x \leftarrow x - \alpha \Delta$ with $\Delta = g \sqrt{u + \epsilon} / \sqrt{v + \epsilon}$.

    Before it $v \leftarrow \rho v + (1 - \rho) g^2$, after it $u \leftarrow \rho u + (1 - \rho) \Delta^2$.

    Epsilon is inside both roots everywhere.  The paper has no learning rate ($\alpha$ = 1), and u does not see it.

    Source: Zeiler 2012, algorithm 1.
    """
    return chain(*_decay(weight_decay), atoms.scale_by_adadelta(decay, eps), atoms.scale_by_learning_rate(learning_rate))


@recipe
def adam(
    learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Rule:
    r"""$x \leftarrow x - \alpha \hat m / (\sqrt{\hat v} + \epsilon)$ with $\hat m = m / (1 - \beta_1^k)$,
    $\hat v = v / (1 - \beta_2^k)$.

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$ and $v \leftarrow \beta_2 v + (1 - \beta_2) g^2$.

    Epsilon is outside the root and after the bias correction, as in the paper's algorithm 1, PyTorch and Optax.  TensorFlow and
    the paper's section 2 add it before the correction: their epsilon is $\epsilon \sqrt{1 - \beta_2^k}$ of this one.

    Args:
        learning_rate: $\alpha$.
        beta1: decay of the mean of the gradients.
        beta2: decay of the mean of their squares.
        eps: $\epsilon$.
        weight_decay: coupled, $g + \lambda x$ (an L2 penalty of $\lambda/2$); `adamw` decouples it.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> rule = cr.optim.adam(0.1)
        >>> x = np.array([1.0]); state = rule.init(x)
        >>> rule.step(x, 2 * x, state)[0].round(6)
        array([0.9])

    Source: Kingma and Ba 2015, algorithm 1.
    """
    return chain(*_decay(weight_decay), atoms.scale_by_adam(beta1, beta2, eps), atoms.scale_by_learning_rate(learning_rate))


@recipe
def amsgrad(
    learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Rule:
    r"""Adam with $\tilde v \leftarrow \max(\tilde v, \hat v)$ in the place of $\hat v$.

    Optax does this.  PyTorch takes the maximum of v and corrects its bias afterwards, Keras and Reddi et al. the maximum of v
    (the paper corrects no bias at all); they differ while $\beta_2^k$ is not yet small.

    Source: Reddi, Kale and Kumar 2018, algorithm 2.
    """
    return chain(*_decay(weight_decay), atoms.scale_by_amsgrad(beta1, beta2, eps), atoms.scale_by_learning_rate(learning_rate))


@recipe
def adamw(
    learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01
) -> Rule:
    r"""$x \leftarrow x - \alpha (\hat m / (\sqrt{\hat v} + \epsilon) + \lambda x)$: Adam with decoupled weight decay.

    The decay is multiplied by the learning rate, as in PyTorch and Optax; the paper has a factor of its own, $\eta_k$, for both.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """
    scaling = atoms.scale_by_adam(beta1, beta2, eps)
    return chain(scaling, *_decay(weight_decay), atoms.scale_by_learning_rate(learning_rate))


@recipe
def nadam(
    learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Rule:
    r"""Adam with $\beta_1 m / (1 - \beta_1^{k+1}) + (1 - \beta_1) g / (1 - \beta_1^k)$ in the place of $\hat m$: Nesterov's
    look ahead.

    Optax does this, with a constant $\beta_1$.  PyTorch and Keras let it grow,
    $\mu_k = \beta_1 (1 - \tfrac12 0.96^{0.004 k})$, as in the paper's experiments.

    Source: Dozat 2016, algorithm 8.
    """
    return chain(*_decay(weight_decay), atoms.scale_by_nadam(beta1, beta2, eps), atoms.scale_by_learning_rate(learning_rate))


@recipe
def radam(
    learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Rule:
    r"""Adam times a factor $r_k$ that rises to 1, and plain momentum as long as the variance of $1 / \sqrt{\hat v}$ is infinite.

    Epsilon is after the bias correction, as in Optax; PyTorch adds it before.  Both start at $\rho_k$ = 5; the paper starts at 4.
    The equations are those of `chainrule.optim.atoms.scale_by_radam`.

    Source: Liu et al. 2020, algorithm 2.
    """
    return chain(*_decay(weight_decay), atoms.scale_by_radam(beta1, beta2, eps), atoms.scale_by_learning_rate(learning_rate))


@recipe
def lion(learning_rate: Rate = 1e-4, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0) -> Rule:
    r"""$x \leftarrow x - \alpha (\operatorname{sign}(\beta_1 m + (1 - \beta_1) g) + \lambda x)$.

    Then $m \leftarrow \beta_2 m + (1 - \beta_2) g$.  The decay is decoupled everywhere.

    Source: Chen et al. 2023, algorithm 2.
    """
    return chain(atoms.scale_by_lion(beta1, beta2), *_decay(weight_decay), atoms.scale_by_learning_rate(learning_rate))


def _relative_step(k: Any) -> Any:
    return np.minimum(1e-2, 1 / np.sqrt(k + 1.0))


@recipe
def adafactor(
    learning_rate: Rate = _relative_step, decay: float = 0.8, eps: float = 1e-30, clipping: float = 1.0, weight_decay: float = 0.0
) -> Rule:
    r"""$x \leftarrow x - \alpha_k \max(10^{-3}, \operatorname{rms}(x))\, u / \max(1, \operatorname{rms}(u) / d)$.

    $u = g / \sqrt{\hat v}$; for a matrix $\hat v$ is $r c^{\mathsf T} / \operatorname{mean}(r)$, from running means r and c of
    $g^2 + \epsilon$ over rows and columns: m + n numbers in the place of m n.  Every matrix is factored, along its last two
    axes; Optax factors the two longest axes, and only from size 128 on.

    Args:
        learning_rate: $\alpha_k$, relative to the size of the parameters; $\min(10^{-2}, 1 / \sqrt{k + 1})$ by default.
        decay: $\gamma$ of $\beta_k = 1 - k^{-\gamma}$.
        eps: added to the squared gradients.
        clipping: d, the greatest root mean square of u.
        weight_decay: decoupled, not multiplied by the learning rate (as in Optax).

    Source: Shazeer and Stern 2018, algorithms 4 and 5.
    """
    parts = [atoms.scale_by_factored_rms(decay, eps), clip_by_block_rms(clipping), atoms.scale_by_learning_rate(learning_rate)]
    return chain(*parts, atoms.scale_by_param_rms(1e-3), *_decay(weight_decay))


@recipe
def muon(
    learning_rate: Rate = 0.02, momentum: float = 0.95, nesterov: bool = True, steps: int = 5, eps: float = 1e-7,
    weight_decay: float = 0.0, beta1: float = 0.9, beta2: float = 0.999,
) -> Rule:  # fmt: skip
    r"""$x \leftarrow x - \alpha (\sqrt{\max(1, m / n)}\,\operatorname{orth}(g + \mu b) + \lambda x)$ for (m, n) matrices;
    Adam for the rest.

    $b \leftarrow \mu b + g$, and orth sets all singular values to about 1 (`newton_schulz`).  Matrices act as W @ x: m outputs, n
    inputs.  Axes after the first are taken together.  Jordan's code does this; Optax corrects the bias of b, which changes the
    mixture of g and b in the first steps, and Moonshot's variant scales by $0.2 \sqrt{\max(m, n)}$.

    Args:
        learning_rate: $\alpha$, for the rest too.
        momentum: $\mu$.
        nesterov: look ahead, g + mu b, or not, b.
        steps: iterations of Newton and Schulz.
        eps: added to the norm of the matrix before it is divided by it.
        weight_decay: decoupled.
        beta1, beta2: decays of Adam for vectors.

    Source: Jordan et al. 2024.
    """
    rest = atoms.scale_by_adam(beta1, beta2, 1e-8)
    both = atoms.by_rank(atoms.orthogonalized_momentum(momentum, nesterov, steps, eps), rest)
    return chain(both, *_decay(weight_decay), atoms.scale_by_learning_rate(learning_rate))
