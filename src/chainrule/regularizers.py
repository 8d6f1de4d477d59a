"""Penalties on parameters: value, subgradient and proximal map, each on trees of arrays.

A penalty R is added to a loss.  Where R has a kink (l1 at 0) its subgradient is a choice, and gradient steps never land on the
kink; the proximal map

    prox_{s R}(v) = argmin_w  1/2 ||w - v||^2 + s R(w)

does, which is why it makes exact zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.build.tree import flatten, unflatten
from chainrule.build.value import Value
from chainrule.calculus import value_and_grad
from chainrule.nn.module import learned

__all__ = [
    "Facts", "Paths", "Regularizer", "elastic_net", "group_lasso", "l1", "l2", "label_smoothing", "nuclear", "side_by_side",
    "soft_threshold", "zeros",
]  # fmt: skip

Leaf = Callable[[Any], Any]


@dataclass(frozen=True)
class Facts:
    """What is known about a penalty.

    Attributes:
        convex: is it convex?
        differentiable: is it differentiable everywhere?
        smooth: Lipschitz constant of its gradient; None where there is a kink.
        strongly_convex: constant of strong convexity, 0 if it is not.
        kink: where it has one, and which subgradient is chosen there.
        sparse: what its proximal map sets to exactly zero.
        source: where the proximal map is taken from.
    """

    convex: bool
    differentiable: bool
    smooth: float | None
    strongly_convex: float
    kink: str
    sparse: str
    source: str


@dataclass(frozen=True, eq=False)
class Regularizer:
    """A penalty: call it for its value.

    Running statistics of layers (`chainrule.nn.BatchNorm`) are not parameters: they add nothing, and the maps leave them alone.

    Attributes:
        name: its name and strength.
        value: the penalty of one array.
        slope: a subgradient of the penalty of one array.
        shrink: (array, step) -> proximal map of step times the penalty.
        latex: the formula.
        facts: see `Facts`.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> r = cr.regularizers.l1(0.5)
        >>> w = {"w": np.array([3.0, -0.2])}
        >>> float(r(w)), r.subgradient(w)["w"].tolist(), r.prox(w, 1.0)["w"].tolist()
        (1.6, [0.5, -0.5], [2.5, 0.0])
    """

    name: str
    value: Leaf
    slope: Leaf
    shrink: Callable[[Any, Any], Any]
    latex: str
    facts: Facts

    def __call__(self, params: Any) -> Any:
        """The penalty of all arrays together, one number."""
        leaves = flatten(params)[0]
        parts = [self.value(_real(x)) for x, ours in zip(leaves, learned(params), strict=True) if ours]
        return sum(parts[1:], parts[0]) if parts else 0.0

    def subgradient(self, params: Any) -> Any:
        """A subgradient, in the containers of the parameters; the gradient where there is one."""
        return _mapped(self.slope, np.zeros_like, params)

    def prox(self, params: Any, step: Any) -> Any:
        """The minimiser w of 1/2 ||w - params||^2 + step R(w), in the containers of the parameters."""
        return _mapped(lambda x: self.shrink(x, step), lambda x: x, params)

    def __repr__(self) -> str:
        return f"<regularizer {self.name}>"


def _array(x: Any) -> Any:
    return x if hasattr(x, "dtype") else np.asarray(x)


def _real(x: Any) -> Any:
    """An array of real numbers: a subgradient of whole numbers is none."""
    x = _array(x)
    return x if np.dtype(x.dtype).kind == "f" else x.astype(np.float64)


def _mapped(f: Leaf, other: Leaf, params: Any) -> Any:
    """`f` on the parameters of a tree, `other` on its statistics; arrays of real numbers keep their dtype."""
    leaves, spec = flatten(params)
    ready = [_real(x) for x in leaves]
    return unflatten(spec, [(f if ours else other)(x).astype(x.dtype) for x, ours in zip(ready, learned(params), strict=True)])


def _kinked(kink: str, sparse: str, source: str) -> Facts:
    """Facts of a norm times a number."""
    return Facts(True, False, None, 0.0, kink, sparse, source)


def _strength(name: str, *strengths: float) -> None:
    for s in strengths:
        if not s >= 0:
            raise ValueError(f"{name}: the strength of a penalty is at least 0, not {s}")


# --- l1, l2, both ------------------------------------------------------------------------------------------------------------


def soft_threshold(v: Any, t: Any) -> Any:
    """sign(v) max(|v| - t, 0): towards zero by t, and zero for whatever is within t of it."""
    return np.where(np.abs(v) <= t, 0.0, v - t * np.sign(v))


def l1(strength: float) -> Regularizer:
    r"""$R(\theta) = \lambda \lVert\theta\rVert_1 = \lambda \sum_i |\theta_i|$.

    The subgradient is $\lambda \operatorname{sign}(\theta_i)$, 0 at 0; the proximal map is soft thresholding.

    Args:
        strength: lambda, at least 0.

    Source: Parikh and Boyd 2014, section 6.5.2.
    """
    _strength("l1", strength)
    return Regularizer(
        f"l1({strength})",
        lambda w: strength * np.sum(np.abs(w)),
        lambda w: strength * np.sign(w),
        lambda v, step: soft_threshold(v, step * strength),
        r"\lambda \sum_i |\theta_i|",
        _kinked("at theta_i = 0: 0 out of [-lambda, lambda]", "single elements", "Parikh and Boyd 2014, section 6.5.2"),
    )


def l2(strength: float) -> Regularizer:
    r"""$R(\theta) = \frac\lambda2 \lVert\theta\rVert_2^2$, whose gradient is $\lambda \theta$.

    Under plain gradient descent this is weight decay, $\theta \leftarrow (1 - \alpha\lambda)\theta - \alpha \nabla L$; under Adam
    it is not, as the gradient of the penalty is divided by the root of the second moment too (see `chainrule.optim.adamw`).

    Args:
        strength: lambda, at least 0.

    Source: Parikh and Boyd 2014, section 6.1.1.
    """
    _strength("l2", strength)
    return Regularizer(
        f"l2({strength})",
        lambda w: 0.5 * strength * np.sum(np.square(w)),
        lambda w: strength * w,
        lambda v, step: v / (1 + step * strength),
        r"\frac{\lambda}{2} \sum_i \theta_i^2",
        Facts(True, True, strength, strength, "", "nothing: it shrinks by a factor", "Parikh and Boyd 2014, section 6.1.1"),
    )


def elastic_net(lambda1: float, lambda2: float) -> Regularizer:
    r"""$R(\theta) = \lambda_1 \lVert\theta\rVert_1 + \lambda_2 \lVert\theta\rVert_2^2$, without a half before the square.

    The proximal map is soft thresholding by $s \lambda_1$, then division by $1 + 2 s \lambda_2$.

    Args:
        lambda1: strength of the absolute values, at least 0.
        lambda2: strength of the squares, at least 0.

    Source: Zou and Hastie 2005, equation 3; Parikh and Boyd 2014, section 6.5.3.
    """
    _strength("elastic_net", lambda1, lambda2)
    return Regularizer(
        f"elastic_net({lambda1}, {lambda2})",
        lambda w: lambda1 * np.sum(np.abs(w)) + lambda2 * np.sum(np.square(w)),
        lambda w: lambda1 * np.sign(w) + 2 * lambda2 * w,
        lambda v, step: soft_threshold(v, step * lambda1) / (1 + 2 * step * lambda2),
        r"\lambda_1 \sum_i |\theta_i| + \lambda_2 \sum_i \theta_i^2",
        Facts(
            True, lambda1 == 0, 2 * lambda2 if lambda1 == 0 else None, 2 * lambda2,
            "at theta_i = 0: 0 out of [-lambda1, lambda1]", "single elements", "Parikh and Boyd 2014, section 6.5.3",
        ),
    )  # fmt: skip


# --- groups and matrices -----------------------------------------------------------------------------------------------------


def _lengths(w: Any) -> Any:
    """The Euclidean length of each row, its axis kept."""
    return np.linalg.norm(np.atleast_1d(w) if not np.ndim(w) else w, axis=-1, keepdims=True)


def _by_length(w: Any, factor: Callable[[Any], Any]) -> Any:
    """Each row times a factor that depends on its length; rows of zeros stay."""
    size = _lengths(w)
    none = size == 0
    return np.reshape(np.where(none, 0.0, w * factor(np.where(none, 1.0, size))), np.shape(w))


def group_lasso(strength: float) -> Regularizer:
    r"""$R(\theta) = \lambda \sum_g \lVert\theta_g\rVert_2$; a group is a row, the last axis of an array.

    For the weights of `chainrule.nn.Dense` a row is everything that one unit reads, so whole units go to zero. No weight is given
    to the size of a group.

    Args:
        strength: lambda, at least 0.

    Source: Yuan and Lin 2006, equation 2.4; Parikh and Boyd 2014, section 6.5.4.
    """
    _strength("group_lasso", strength)
    return Regularizer(
        f"group_lasso({strength})",
        lambda w: strength * np.sum(_lengths(w)),
        lambda w: _by_length(w, lambda size: strength / size),
        lambda v, step: _by_length(v, lambda size: np.where(size <= step * strength, 0.0, 1 - step * strength / size)),
        r"\lambda \sum_g \lVert \theta_g \rVert_2",
        _kinked("at rows of zeros: 0 out of the ball of radius lambda", "whole rows", "Parikh and Boyd 2014, section 6.5.4"),
    )


def _matrix(w: Any) -> Any:
    """An array as matrices on its last two axes; a vector is a matrix with one row."""
    return w if np.ndim(w) >= 2 else np.reshape(w, (1, -1))


def _by_singular_values(w: Any, f: Callable[[Any], Any]) -> Any:
    """U diag(f(s)) V^T."""
    u, s, vt = np.linalg.svd(_matrix(w), full_matrices=False)
    return np.reshape(np.matmul(u * np.expand_dims(f(s), -2), vt), np.shape(w))


def nuclear(strength: float) -> Regularizer:
    r"""$R(W) = \lambda \lVert W \rVert_* = \lambda \sum_k \sigma_k(W)$, the sum of the singular values.

    A vector counts as a matrix with one row, so its norm is its length; more than two axes are many matrices.

    Args:
        strength: lambda, at least 0.

    Numerics:
        Singular values below 10 eps times the greatest count as zero in the subgradient.  `chainrule.grad` of the value gives
        U V^T of all singular vectors there, a subgradient too.

    Source: Cai, Candès and Shen 2010, theorem 2.1; Watson 1992 for the subgradient.
    """
    _strength("nuclear", strength)

    def direction(s: Any) -> Any:
        least = 10 * np.finfo(s.dtype).eps * np.max(s, axis=-1, keepdims=True)
        return np.where(s > least, strength, 0.0)

    return Regularizer(
        f"nuclear({strength})",
        lambda w: strength * np.sum(np.linalg.svd(_matrix(w), compute_uv=False)),
        lambda w: _by_singular_values(w, direction),
        lambda v, step: _by_singular_values(v, lambda s: np.where(s <= step * strength, 0.0, s - step * strength)),
        r"\lambda \sum_k \sigma_k(W)",
        _kinked(
            "where the rank is not full: lambda U V^T of the singular values that are not 0",
            "singular values, so it lowers the rank",
            "Cai, Candès and Shen 2010, theorem 2.1",
        ),
    )


# --- the two updates side by side --------------------------------------------------------------------------------------------


def zeros(params: Any) -> int:
    """How many elements are exactly zero."""
    return sum(int(np.sum(np.asarray(x) == 0)) for x in flatten(params)[0])


@dataclass(frozen=True)
class Paths:
    """Two ways to minimise f + R from the same start with the same steps.

    Attributes:
        subgradient, proximal: the last parameters of each.
        subgradient_values, proximal_values: f + R at the start and after each step, (steps + 1,).
        subgradient_zeros, proximal_zeros: exact zeros, (steps + 1,).
        size: number of parameters.
    """

    subgradient: Any
    proximal: Any
    subgradient_values: Any
    proximal_values: Any
    subgradient_zeros: Any
    proximal_zeros: Any
    size: int

    def __str__(self) -> str:
        rows = [
            ("subgradient", self.subgradient_values[-1], self.subgradient_zeros[-1]),
            ("proximal", self.proximal_values[-1], self.proximal_zeros[-1]),
        ]
        head = f"{'update':<12} {'f + R at the end':>18} {'exact zeros':>16}"
        return "\n".join([head, *[f"{name:<12} {value:>18.10g} {f'{n} of {self.size}':>16}" for name, value, n in rows]])


def side_by_side(f: Callable[[Any], Any], penalty: Regularizer, params: Any, learning_rate: float, steps: int) -> Paths:
    r"""The plain subgradient update and the proximal one, with how many exact zeros each reaches.

    $\theta \leftarrow \theta - \alpha (\nabla f(\theta) + \partial R(\theta))$ against
    $\theta \leftarrow \operatorname{prox}_{\alpha R}(\theta - \alpha \nabla f(\theta))$.

    Args:
        f: the smooth part, params -> one number.
        penalty: R.
        params: where both start.
        learning_rate: alpha; the proximal update descends if it is at most 1/L, for an L-smooth f.
        steps: how many.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> target = np.array([3.0, 0.25, -0.5])
        >>> f = lambda w: 0.5 * np.sum((w - target) ** 2)
        >>> paths = cr.regularizers.side_by_side(f, cr.regularizers.l1(1.0), np.ones(3), 0.3, 50)
        >>> int(paths.subgradient_zeros[-1]), int(paths.proximal_zeros[-1])
        (0, 2)
    """
    both = value_and_grad(f)

    def plain(w: Any, g: Any) -> Any:
        return _moved(
            w, [learning_rate * (a + b) for a, b in zip(flatten(g)[0], flatten(penalty.subgradient(w))[0], strict=True)]
        )

    def proximal(w: Any, g: Any) -> Any:
        return penalty.prox(_moved(w, [learning_rate * a for a in flatten(g)[0]]), learning_rate)

    def run(step: Callable[[Any, Any], Any]) -> tuple[Any, Any, Any]:
        w, values, counts = params, list[float](), list[int]()
        for k in range(steps + 1):
            value, g = both(w)
            values.append(float(value + penalty(w)))
            counts.append(zeros(w))
            w = step(w, g) if k < steps else w
        return w, np.array(values), np.array(counts)

    (a, a_values, a_zeros), (b, b_values, b_zeros) = run(plain), run(proximal)
    return Paths(a, b, a_values, b_values, a_zeros, b_zeros, sum(np.size(x) for x in flatten(params)[0]))


def _moved(params: Any, moves: list[Any]) -> Any:
    leaves, spec = flatten(params)
    return unflatten(spec, [x - m for x, m in zip(leaves, moves, strict=True)])


# --- targets -----------------------------------------------------------------------------------------------------------------


def label_smoothing(y: Any, smoothing: float) -> Any:
    r"""$(1 - s)\, y + s / C$: class probabilities that are never quite certain.

    The minimiser of the cross-entropy is then finite: logits differ by at most $\ln\frac{C (1 - s) + s}{s}$.

    Args:
        y: targets (..., C), one-hot or probabilities.
        smoothing: s, between 0 and 1.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.regularizers.label_smoothing(np.array([[0.0, 1.0]]), 0.1)
        array([[0.05, 0.95]])

    Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, section 7.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"label_smoothing: smoothing is between 0 and 1, not {smoothing}")
    y = _array(y)
    known = getattr(y, "data", None) if isinstance(y, Value) else y
    if known is not None and np.any((known < -1e-6) | (known > 1 + 1e-6)):
        raise ValueError("label_smoothing: targets are one-hot rows or probabilities, from 0 to 1; np.eye(C)[labels] makes them")
    return (1 - smoothing) * y + smoothing / np.shape(y)[-1]
