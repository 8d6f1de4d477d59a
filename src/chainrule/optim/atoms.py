"""Atoms: what rules are chains of.  Each is a few lines of NumPy on one array, and says its equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.build.tree import flatten, unflatten
from chainrule.optim.rule import Atom, Move, Schedule, Tree, counter, directed, each, mapped, stateless, times, zeros

__all__ = [
    "add_decayed_weights", "by_rank", "newton_schulz", "orthogonalized_momentum", "partition", "proximal", "scale",
    "scale_by_adadelta", "scale_by_adam", "scale_by_amsgrad", "scale_by_centered_rms", "scale_by_factored_rms",
    "scale_by_learning_rate", "scale_by_lion", "scale_by_nadam", "scale_by_param_rms", "scale_by_radam", "scale_by_rms",
    "scale_by_sum_of_squares", "trace", "trace_nesterov",
]  # fmt: skip


class Moments(NamedTuple):
    """Number of steps taken, and running means of gradients and of their squares."""

    count: Any
    m: Tree
    v: Tree


class Largest(NamedTuple):
    """`Moments`, and the greatest second moment so far."""

    count: Any
    m: Tree
    v: Tree
    largest: Tree


# --- step size and decay ----------------------------------------------------------------------------------------------------


def scale(factor: Any) -> Atom:
    r"""$d \leftarrow c\,d$."""
    return stateless(lambda d: times(factor, d))


def scale_by_learning_rate(learning_rate: float | Schedule) -> Atom:
    r"""$d \leftarrow \alpha_k d$, where $\alpha_k$ is a number or a schedule at k = 0, 1, 2, ..."""
    if callable(learning_rate):
        schedule = learning_rate

        def update(move: Move, k: Any, params: Tree) -> tuple[Move, Any]:
            rate = schedule(k)
            return _scaled(move, rate), k + 1

        return Atom(lambda params: counter(), update)
    return Atom(update=lambda move, state, params: (_scaled(move, learning_rate), state))


def _scaled(move: Move, rate: Any) -> Move:
    return Move(each(lambda d: times(rate, d), move.direction), rate * move.rate)


def add_decayed_weights(weight_decay: float) -> Atom:
    r"""$d \leftarrow d + \lambda x$.

    In front of a scaling by second moments this is the L2 penalty ("coupled": the decay of a parameter is divided by the size
    of its gradients); behind it, it is weight decay proper ("decoupled"), which shrinks all parameters by the same share.

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """
    return stateless(lambda d, x: d + weight_decay * x, params=True)


def proximal(regularizer: Any) -> Atom:
    r"""$x \leftarrow \operatorname{prox}_{\alpha_k R}(x)$ after the step, with the rule's current step $\alpha_k$.

    The proximal map is that of the Euclidean norm.  Behind a rule that scales each parameter by its own factor (Adam) this
    is therefore not the proximal method of that metric, though it is what makes exact zeros.

    Args:
        regularizer: something with ``prox(params, step)``, as in ``cr.regularizers``.

    Source: Parikh and Boyd 2014, section 4.2.
    """
    return Atom(after=lambda params, state, rate: (regularizer.prox(params, rate), state))


# --- momentum ---------------------------------------------------------------------------------------------------------------


def trace(momentum: float) -> Atom:
    r"""$b \leftarrow \mu b + d, \quad d \leftarrow b$."""

    def f(d: Tree, b: Tree, params: Tree) -> tuple[Tree, Tree]:
        b = each(lambda b, d: momentum * b + d, b, d)
        return b, b

    return directed(f, zeros)


def trace_nesterov(momentum: float) -> Atom:
    r"""$b \leftarrow \mu b + d, \quad d \leftarrow d + \mu b$."""

    def f(d: Tree, b: Tree, params: Tree) -> tuple[Tree, Tree]:
        b = each(lambda b, d: momentum * b + d, b, d)
        return each(lambda b, d: d + momentum * b, b, d), b

    return directed(f, zeros)


# --- scaling by squared gradients -------------------------------------------------------------------------------------------


def scale_by_sum_of_squares(eps: float, initial_accumulator: float = 0.0) -> Atom:
    r"""$v \leftarrow v + d^2, \quad d \leftarrow d / (\sqrt v + \epsilon)$."""

    def f(d: Tree, v: Tree, params: Tree) -> tuple[Tree, Tree]:
        v = each(lambda v, d: v + np.square(d), v, d)
        return each(lambda v, d: d / (np.sqrt(v) + eps), v, d), v

    return directed(f, lambda params: each(lambda x: np.full_like(x, initial_accumulator), params))


def scale_by_rms(decay: float, eps: float) -> Atom:
    r"""$v \leftarrow \beta v + (1 - \beta) d^2, \quad d \leftarrow d / (\sqrt v + \epsilon)$."""

    def f(d: Tree, v: Tree, params: Tree) -> tuple[Tree, Tree]:
        v = each(lambda v, d: decay * v + (1 - decay) * np.square(d), v, d)
        return each(lambda v, d: d / (np.sqrt(v) + eps), v, d), v

    return directed(f, zeros)


def scale_by_centered_rms(decay: float, eps: float) -> Atom:
    r"""$d \leftarrow d / (\sqrt{v - m^2} + \epsilon)$, $m$ and $v$ running means of $d$ and $d^2$: by the deviation, not the
    size."""

    def one(m: Any, v: Any, d: Any) -> tuple[Any, Any, Any]:
        m, v = decay * m + (1 - decay) * d, decay * v + (1 - decay) * np.square(d)
        return d / (np.sqrt(np.maximum(v - np.square(m), 0)) + eps), m, v

    def f(d: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        d, m, v = mapped(one, 3, *state, d)
        return d, (m, v)

    return directed(f, lambda params: (zeros(params), zeros(params)))


def scale_by_adadelta(decay: float, eps: float) -> Atom:
    r"""$d \leftarrow d \sqrt{u + \epsilon} / \sqrt{v + \epsilon}$, $v$ and $u$ running means of the squares of $d$ before and
    after."""

    def one(u: Any, v: Any, g: Any) -> tuple[Any, Any, Any]:
        v = decay * v + (1 - decay) * np.square(g)
        d = g * (np.sqrt(u + eps) / np.sqrt(v + eps))
        return d, decay * u + (1 - decay) * np.square(d), v

    def f(d: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        d, u, v = mapped(one, 3, *state, d)
        return d, (u, v)

    return directed(f, lambda params: (zeros(params), zeros(params)))


# --- Adam's family ----------------------------------------------------------------------------------------------------------


def _moments(s: Any, g: Tree, beta1: float, beta2: float) -> Moments:
    """Both running means, one step on."""
    m = each(lambda m, g: beta1 * m + (1 - beta1) * g, s.m, g)
    v = each(lambda v, g: beta2 * v + (1 - beta2) * np.square(g), s.v, g)
    return Moments(s.count + 1, m, v)


def _no_moments(params: Tree) -> Moments:
    return Moments(counter(), zeros(params), zeros(params))


def _unbiased(beta: float, count: Any) -> Any:
    """What a running mean that began at zero after `count` steps is divided by: 1 - beta^count, made a factor."""
    return 1 / (1 - beta**count)


def scale_by_adam(beta1: float, beta2: float, eps: float) -> Atom:
    r"""$d \leftarrow \hat m / (\sqrt{\hat v} + \epsilon)$ with $\hat m = m / (1 - \beta_1^k)$, $\hat v = v / (1 - \beta_2^k)$."""

    def f(g: Tree, s: Moments, params: Tree) -> tuple[Tree, Moments]:
        s = _moments(s, g, beta1, beta2)
        a, b = _unbiased(beta1, s.count), _unbiased(beta2, s.count)
        return each(lambda m, v: times(a, m) / (np.sqrt(times(b, v)) + eps), s.m, s.v), s

    return directed(f, _no_moments)


def scale_by_amsgrad(beta1: float, beta2: float, eps: float) -> Atom:
    r"""Adam with $\tilde v \leftarrow \max(\tilde v, \hat v)$ in the place of $\hat v$: the step of no parameter grows again."""

    def f(g: Tree, s: Largest, params: Tree) -> tuple[Tree, Largest]:
        new = _moments(s, g, beta1, beta2)
        a, b = _unbiased(beta1, new.count), _unbiased(beta2, new.count)
        top = each(lambda t, v: np.maximum(t, times(b, v)), s.largest, new.v)
        return each(lambda m, t: times(a, m) / (np.sqrt(t) + eps), new.m, top), Largest(*new, top)

    return directed(f, lambda params: Largest(*_no_moments(params), zeros(params)))


def scale_by_nadam(beta1: float, beta2: float, eps: float) -> Atom:
    r"""Adam with $\bar m = \beta_1 m / (1 - \beta_1^{k+1}) + (1 - \beta_1) g / (1 - \beta_1^k)$ in the place of $\hat m$."""

    def f(g: Tree, s: Moments, params: Tree) -> tuple[Tree, Moments]:
        s = _moments(s, g, beta1, beta2)
        a, b = beta1 * _unbiased(beta1, s.count + 1), (1 - beta1) * _unbiased(beta1, s.count)
        c = _unbiased(beta2, s.count)
        return each(lambda m, v, g: (times(a, m) + times(b, g)) / (np.sqrt(times(c, v)) + eps), s.m, s.v, g), s

    return directed(f, _no_moments)


def scale_by_radam(beta1: float, beta2: float, eps: float, threshold: float = 5.0) -> Atom:
    r"""Adam times $r_k$ once the variance of $1 / \sqrt{\hat v}$ is finite; plain momentum $\hat m$ before.

    $\rho_\infty = 2 / (1 - \beta_2) - 1$, $\rho_k = \rho_\infty - 2 k \beta_2^k / (1 - \beta_2^k)$ and
    $r_k = \sqrt{(\rho_k - 4)(\rho_k - 2) \rho_\infty / ((\rho_\infty - 4)(\rho_\infty - 2) \rho_k)}$, where $\rho_k$ is at least
    `threshold`.
    """
    limit = 2 / (1 - beta2) - 1

    def f(g: Tree, s: Moments, params: Tree) -> tuple[Tree, Moments]:
        s = _moments(s, g, beta1, beta2)
        a, b, power = _unbiased(beta1, s.count), _unbiased(beta2, s.count), beta2**s.count
        rho = limit - 2 * s.count * power * b
        safe = np.maximum(rho, threshold)
        r = np.sqrt((safe - 4) * (safe - 2) * limit / ((limit - 4) * (limit - 2) * safe))
        certain = rho >= threshold

        def one(m: Any, v: Any) -> Any:
            return np.where(certain, times(r * a, m) / (np.sqrt(times(b, v)) + eps), times(a, m))

        return each(one, s.m, s.v), s

    return directed(f, _no_moments)


def scale_by_lion(beta1: float, beta2: float) -> Atom:
    r"""$d \leftarrow \operatorname{sign}(\beta_1 m + (1 - \beta_1) g)$, then $m \leftarrow \beta_2 m + (1 - \beta_2) g$."""

    def f(g: Tree, m: Tree, params: Tree) -> tuple[Tree, Tree]:
        d = each(lambda m, g: np.sign(beta1 * m + (1 - beta1) * g), m, g)
        return d, each(lambda m, g: beta2 * m + (1 - beta2) * g, m, g)

    return directed(f, zeros)


# --- Adafactor --------------------------------------------------------------------------------------------------------------


class Factored(NamedTuple):
    """Number of steps taken; per matrix the mean squares of its rows and columns, per vector (in `rows`) all of them."""

    count: Any
    rows: Tree
    columns: Tree


def scale_by_factored_rms(decay: float, eps: float) -> Atom:
    r"""$d \leftarrow d / \sqrt{\hat v}$ with $\hat v = r c^{\mathsf T} / \operatorname{mean}(r)$ for matrices.

    r and c are running means of the mean of $d^2 + \epsilon$ along rows and columns (the last two axes), with
    $\beta_k = 1 - k^{-\gamma}$, $\gamma$ = `decay`.  Vectors keep all of $\hat v$.
    """

    def one(r: Any, c: Any, g: Any, beta: Any) -> tuple[Any, Any, Any]:
        square = np.square(g) + eps
        if np.ndim(g) < 2:
            r = times(beta, r) + times(1 - beta, square)
            return g / np.sqrt(r), r, c
        r = times(beta, r) + times(1 - beta, np.mean(square, axis=-1))
        c = times(beta, c) + times(1 - beta, np.mean(square, axis=-2))
        rows = r / np.mean(r, axis=-1, keepdims=True)
        return g / np.sqrt(rows)[..., :, None] / np.sqrt(c)[..., None, :], r, c

    def f(g: Tree, s: Factored, params: Tree) -> tuple[Tree, Factored]:
        beta = 1 - (s.count + 1.0) ** -decay
        d, rows, columns = mapped(lambda r, c, g: one(r, c, g, beta), 3, s.rows, s.columns, g)
        return d, Factored(s.count + 1, rows, columns)

    return directed(f, lambda params: Factored(counter(), each(_rows, params), each(_columns, params)))


def _rows(x: Any) -> Any:
    return np.zeros_like(x) if np.ndim(x) < 2 else np.zeros_like(x[..., :, 0])


def _columns(x: Any) -> Any:
    return np.zeros((0,)) if np.ndim(x) < 2 else np.zeros_like(x[..., 0, :])


def scale_by_param_rms(least: float = 1e-3) -> Atom:
    r"""$d \leftarrow d \cdot \max(\epsilon, \operatorname{rms}(x))$ for each array: steps relative to the parameters' size."""
    return stateless(lambda d, x: d * np.maximum(np.sqrt(np.mean(np.square(x))), least), params=True)


# --- Muon -------------------------------------------------------------------------------------------------------------------

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan's coefficients: the steepest slope at 0 with singular values that end between about 0.7 and 1.2."""


def newton_schulz(g: Any, steps: int = 5, eps: float = 1e-7, coefficients: tuple[float, float, float] = QUINTIC) -> Any:
    r"""Nearly the orthogonal factor $U V^{\mathsf T}$ of $g = U S V^{\mathsf T}$.

    `steps` times $x \leftarrow a x + (b A + c A^2) x$ with $A = x x^{\mathsf T}$, from $x = g / \lVert g \rVert_F$.

    Args:
        g: (m, n) matrix.
        steps: number of iterations.
        eps: added to the norm that g is divided by first.
        coefficients: a, b, c.

    Source: Jordan et al. 2024 (Muon); Bernstein and Newhouse 2024.
    """
    a, b, c = coefficients
    x = g if g.shape[0] <= g.shape[1] else g.T
    x = x / (np.sqrt(np.sum(np.square(x))) + eps)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if g.shape[0] <= g.shape[1] else x.T


def orthogonalized_momentum(momentum: float, nesterov: bool = True, steps: int = 5, eps: float = 1e-7) -> Atom:
    r"""$b \leftarrow \mu b + d$; $d \leftarrow \sqrt{\max(1, m / n)}\,\operatorname{orth}(d + \mu b)$ for an (m, n) matrix.

    Without `nesterov` it is $\operatorname{orth}(b)$.
    """
    inner = trace_nesterov(momentum) if nesterov else trace(momentum)

    def orthogonal(d: Any) -> Any:
        m = d.shape[0]
        flat = d.reshape(m, -1)
        return (max(1.0, m / flat.shape[1]) ** 0.5 * newton_schulz(flat, steps, eps)).reshape(d.shape)

    def update(move: Move, state: Tree, params: Tree) -> tuple[Move, Tree]:
        move, state = inner.update(move, state, params)
        return move._replace(direction=each(orthogonal, move.direction)), state

    return Atom(inner.init, update)


def by_rank(matrices: Atom, others: Atom) -> Atom:
    """One atom for arrays with at least two axes, another for the rest."""
    return partition(lambda x: np.ndim(x) >= 2, matrices, others)


def partition(choose: Callable[[Any], bool], yes: Atom, no: Atom) -> Atom:
    """`yes` for the arrays of parameters that `choose` picks, `no` for the rest."""

    def sides(tree: Tree, params: Tree) -> tuple[list[Any], list[Any]]:
        pairs = list(zip(flatten(tree)[0], flatten(params)[0], strict=True))
        return [d for d, x in pairs if choose(x)], [d for d, x in pairs if not choose(x)]

    def init(params: Tree) -> Tree:
        first, second = sides(params, params)
        return yes.init(first), no.init(second)

    def update(move: Move, state: Tree, params: Tree) -> tuple[Move, Tree]:
        directions, parameters = sides(move.direction, params), sides(params, params)
        stages = zip((yes, no), directions, state, parameters, strict=True)
        results = [a.update(Move(d, move.rate), s, x) for a, d, s, x in stages]
        left, right = (iter(r[0].direction) for r in results)
        leaves, spec = flatten(params)
        direction = unflatten(spec, [next(left if choose(x) else right) for x in leaves])
        return Move(direction, move.rate), (results[0][1], results[1][1])

    return Atom(init, update)
