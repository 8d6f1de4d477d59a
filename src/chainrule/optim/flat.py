"""A function of nested containers as a function of one vector, compiled, with its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import errors
from chainrule.build.tree import flatten, unflatten
from chainrule.calculus import grad, hvp, value_and_grad
from chainrule.compilation import jit

Vector = NDArray[Any]
Function = Callable[..., Any]


class Flat:
    """`f`, a function of x (and of fixed further arguments), as a function of one vector.

    Everything is compiled where `f` can be traced without values, and runs step by step where it cannot (an `if` on a value).

    Attributes:
        x0: the starting point as a vector (n,).
        evaluations: how often the value, the gradient or a Hessian product was asked for.
    """

    def __init__(self, f: Function, x0: Any, args: Sequence[Any] = (), jac: Any = None) -> None:
        self.f, self.args, self.jac = f, tuple(args), jac
        leaves, self.spec = flatten(x0)
        arrays = [np.asarray(x) for x in leaves]
        if not arrays or any(x.dtype.kind not in "biuf" for x in arrays):
            raise errors.DtypeError("x0 must be real numbers: an array, a number, or containers of them")
        if not sum(x.size for x in arrays):
            raise errors.ShapeError("x0 has no elements: there is nothing to minimise over")
        dtype: np.dtype[Any] = np.result_type(*arrays)
        self.dtype: np.dtype[Any] = dtype if dtype.kind == "f" else np.dtype(np.float64)
        self.shapes = [x.shape for x in arrays]
        self.ends = np.cumsum([x.size for x in arrays]).tolist()
        self.x0: Vector = np.concatenate([np.ravel(x) for x in arrays]).astype(self.dtype)
        self.evaluations = {"value": 0, "gradient": 0, "product": 0}

    def tree(self, v: Any) -> Any:
        """A vector, an array or a traced value, in the containers of x0."""
        starts = [0, *self.ends[:-1]]
        leaves = [v[a:b].reshape(shape) for a, b, shape in zip(starts, self.ends, self.shapes, strict=True)]
        return unflatten(self.spec, [x if getattr(x, "shape", None) != () else x[()] for x in leaves])

    def vector(self, tree: Any) -> Any:
        """Inverse of `tree`."""
        return np.concatenate([np.reshape(x, (-1,)) for x in flatten(tree)[0]])

    def __call__(self, v: Any) -> Any:
        """f at a vector; works on traced values."""
        y = self.f(self.tree(v), *self.args)
        return y[0] if self.jac is True else y

    @cached_property
    def both(self) -> Callable[[Vector], tuple[float, Vector]]:
        """v -> (f, gradient)."""
        if self.jac is None:
            compute = _compiled(value_and_grad(self), self.x0)
        elif self.jac is True:
            compute = self._pair
        else:
            compute = self._with_jac
        return lambda v: self._counted(compute, v)

    def _pair(self, v: Vector) -> tuple[Any, Vector]:
        value, gradient = self.f(self.tree(v), *self.args)
        return value, self.vector(gradient)

    def _with_jac(self, v: Vector) -> tuple[Any, Vector]:
        return self(v), self.vector(self.jac(self.tree(v), *self.args))

    def _counted(self, compute: Function, v: Vector) -> tuple[float, Vector]:
        self.evaluations["gradient"] += 1
        y, g = compute(v)
        return float(y), np.asarray(g, self.dtype)

    @cached_property
    def value(self) -> Callable[[Vector], float]:
        """v -> f."""
        compute = _compiled(self, self.x0) if self.jac is None else self

        def run(v: Vector) -> float:
            self.evaluations["value"] += 1
            return float(compute(v))

        return run

    @cached_property
    def product(self) -> Callable[[Vector, Vector], Vector]:
        """(v, d) -> Hessian at v times d; by central differences of the gradient where the gradient was given."""
        compute = _compiled(hvp(self), self.x0, self.x0) if self.jac is None else self._difference

        def run(v: Vector, d: Vector) -> Vector:
            self.evaluations["product"] += 1
            return np.asarray(compute(v, d), self.dtype)

        return run

    def _difference(self, v: Vector, d: Vector) -> Vector:
        size = float(np.linalg.norm(d))
        if size == 0:
            return np.zeros_like(v)
        h = float(np.finfo(self.x0.dtype).eps) ** (1 / 3) * (1 + float(np.linalg.norm(v))) / size
        return (self.both(v + h * d)[1] - self.both(v - h * d)[1]) / (2 * h)

    @cached_property
    def gradient(self) -> Function:
        """The gradient as a function that can be traced."""
        return grad(self)


def _compiled(f: Function, *example: Any) -> Function:
    """`f` compiled, or as it is where it needs values to be traced."""
    fast = jit(f)
    try:
        with np.errstate(all="ignore"):
            fast(*example)
    except errors.ValueNeededError:
        return f
    return fast
