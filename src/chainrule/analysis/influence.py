"""What a fitted model owes to its training examples, and how sure it can be of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors, random
from chainrule.batching import vmap
from chainrule.build.tree import flatten, unflatten
from chainrule.calculus import grad, hessian, hvp, jacobian
from chainrule.compilation import jit

Array = np.ndarray[Any, np.dtype[Any]]
Tree = Any
Loss = Callable[..., Any]


class _Vector:
    """A tree of parameters as one vector."""

    def __init__(self, tree: Tree) -> None:
        leaves, self.spec = flatten(tree)
        self.leaves = [np.asarray(x) for x in leaves]
        if not self.leaves or any(x.dtype.kind != "f" for x in self.leaves):
            raise errors.TreeError("params is a floating-point array or a nested container of such arrays")
        self.ends = np.cumsum([0, *[x.size for x in self.leaves]])

    @property
    def x(self) -> Array:
        """The vector."""
        return np.concatenate([x.ravel() for x in self.leaves])

    def tree(self, v: Any) -> Tree:
        """A vector in the containers of the parameters."""
        parts = [v[i:j] for i, j in zip(self.ends[:-1], self.ends[1:], strict=True)]
        return unflatten(self.spec, [np.reshape(p, x.shape) for p, x in zip(parts, self.leaves, strict=True)])


def _examples(data: Any) -> tuple[Array, ...]:
    arrays = tuple([np.asarray(x) for x in data])
    if not arrays or len({len(x) for x in arrays}) != 1 or len(arrays[0]) == 0:
        raise errors.ShapeError(f"data is a tuple of arrays with the same number of examples, not {[x.shape for x in arrays]}")
    return arrays


def _objective(loss: Loss, v: _Vector, arrays: Sequence[Array], penalty: Callable[[Tree], Any] | None, mean: bool) -> Loss:
    """Sum or mean of the losses plus the penalty, as a function of the vector."""
    many = vmap(loss, in_axes=(None, *[0] * len(arrays)))

    def total(x: Any) -> Any:
        tree = v.tree(x)
        losses = many(tree, *arrays)
        fit = np.mean(losses) if mean else np.sum(losses)
        return fit if penalty is None else fit + penalty(tree)

    return total


@errors.boundary
def influence(
    loss: Loss,
    params: Tree,
    data: Any,
    quantity: Callable[[Tree], Any],
    *,
    penalty: Callable[[Tree], Any] | None = None,
    damping: float = 0.0,
    tol: float = 1e-10,
    max_steps: int | None = None,
) -> Array:
    r"""The change of a quantity q without example i, to first order: $\frac1n \nabla q^{\mathsf T} H^{-1} \nabla \ell_i$.

    H is the second derivative of the training objective $\frac1n \sum_i \ell_i(\theta) + r(\theta)$ at its minimum.  One system
    $H s = \nabla q$ is solved, by conjugate gradients on Hessian-vector products: H is never formed.

    Args:
        loss: ``loss(params, x, y, ...)``, the loss of one example.
        params: parameters that minimise the objective.
        data: arrays (x, y, ...), the first axis counting the examples.
        quantity: params -> number: the loss of a test example, a prediction, a parameter.
        penalty: r, as it was in the training objective.
        damping: added to the diagonal of H, for models at a minimum that is flat, or not quite reached.
        tol: accuracy of the solution, relative to the size of the gradient of the quantity.
        max_steps: most steps of conjugate gradients; ten times the number of parameters by default.

    Returns:
        (n,): predicted q without example i, less q.

    Raises:
        ArithmeticError: H is not positive definite along a direction, or the system was not solved.

    Source: Koh and Liang 2017, equation 2; Cook and Weisberg 1982.
    """
    arrays, v = _examples(data), _Vector(params)
    total = _objective(loss, v, arrays, penalty, mean=True)
    product = jit(hvp(total))
    target = grad(lambda x: quantity(v.tree(x)))(v.x)
    s = _solved(lambda d: product(v.x, d) + damping * d, target, tol, max_steps or 10 * v.x.size)
    gradients = vmap(grad(lambda x, *example: loss(v.tree(x), *example)), in_axes=(None, *[0] * len(arrays)))
    return gradients(v.x, *arrays) @ s / len(arrays[0])


def _solved(apply: Callable[[Array], Array], b: Array, tol: float, most: int) -> Array:
    """The x with apply(x) = b, by conjugate gradients (Hestenes and Stiefel 1952)."""
    x = np.zeros_like(b)
    r, d = b.copy(), b.copy()
    square = float(r @ r)
    goal = tol**2 * square
    for _ in range(most):
        if square <= goal:
            return x
        image = apply(d)
        curvature = float(d @ image)
        if not curvature > 0:
            raise ArithmeticError(
                f"the training objective has curvature {curvature / float(d @ d):.3g} along a direction: params is no minimum "
                "of it, or the minimum is flat; train further, or give damping"
            )
        step = square / curvature
        x = x + step * d
        r = r - step * image
        old, square = square, float(r @ r)
        d = r + square / old * d
    if square <= goal:
        return x
    raise ArithmeticError(
        f"the system is not solved after {most} steps (residual {np.sqrt(square):.3g}); give damping or a larger tol"
    )


@dataclass(frozen=True, eq=False)
class Laplace:
    """A normal approximation to the posterior of the parameters; see `laplace`.

    Attributes:
        params: the parameters at the maximum.
        covariance: (p, p), of the parameters as one vector, in the order of their leaves.
        log_evidence: logarithm of the approximate integral of exp(-objective).
    """

    params: Tree
    covariance: Array
    log_evidence: float
    _vector: _Vector = field(repr=False)

    @property
    def std(self) -> Tree:
        """Standard deviation of each parameter, in the containers of the parameters."""
        return self._vector.tree(np.sqrt(np.diagonal(self.covariance)))

    def predict(self, f: Callable[[Tree], Any]) -> tuple[Any, Any]:
        r"""A prediction and its standard deviation, $\sqrt{J \Sigma J^{\mathsf T}}$ with J the derivative of f by the parameters.

        Args:
            f: params -> number or array.

        Returns:
            The pair (f(params), deviation), of equal shape.
        """
        value = np.asarray(f(self.params))
        j = np.reshape(jacobian(lambda x: f(self._vector.tree(x)))(self._vector.x), (value.size, -1))
        variance = np.einsum("ij,jk,ik->i", j, self.covariance, j)
        return value[()], np.sqrt(np.maximum(variance, 0)).reshape(value.shape)[()]

    def sample(self, key: Any) -> Tree:
        """Parameters drawn from the approximation."""
        factor = np.linalg.cholesky(self.covariance)
        return self._vector.tree(self._vector.x + factor @ random.normal(key, self._vector.x.size))


@errors.boundary
def laplace(loss: Loss, params: Tree, data: Any, *, penalty: Callable[[Tree], Any] | None = None) -> Laplace:
    r"""$p(\theta \mid \text{data}) \approx \mathcal N(\hat\theta, H^{-1})$.

    H is the second derivative of $\sum_i \ell_i(\theta) + r(\theta)$ at its minimum.

    Args:
        loss: ``loss(params, x, y, ...)``, minus the log-likelihood of one example.
        params: parameters that minimise the sum of the losses plus the penalty.
        data: arrays (x, y, ...), the first axis counting the examples.
        penalty: r, minus the logarithm of the prior's density.

    Returns:
        A `Laplace`, whose ``predict`` gives predictions with deviations.

    Raises:
        ArithmeticError: H is not positive definite.

    Numerics:
        H is formed, so this is for models of up to a few thousand parameters.

    Source: MacKay 1992, section 2; Bishop 2006, section 4.4.
    """
    arrays, v = _examples(data), _Vector(params)
    total = _objective(loss, v, arrays, penalty, mean=False)
    h = jit(hessian(total))(v.x)
    h = (h + h.T) / 2
    values, vectors = np.linalg.eigh(h)
    if not values[0] > 1e-12 * max(values[-1], 0.0) or values[-1] <= 0:
        raise ArithmeticError(
            f"the second derivative at params has an eigenvalue of {values[0]:.3g}: there is no normal approximation; train "
            "further, or give a penalty (a prior)"
        )
    evidence = -float(total(v.x)) + 0.5 * v.x.size * np.log(2 * np.pi) - 0.5 * float(np.log(values).sum())
    return Laplace(params, (vectors / values) @ vectors.T, evidence, v)


__all__ = ["Laplace", "influence", "laplace"]
