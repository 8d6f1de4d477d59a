"""What people call: derivatives of plain NumPy functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten, leaf_paths, unflatten
from chainrule.build.value import Value
from chainrule.calls import Traced, apply, differentiable, own, reverse, traced, write
from chainrule.ir.graph import Graph
from chainrule.transform import jacobian as jacobians
from chainrule.transform.jvp import jvp as jvp_graph
from chainrule.transform.prepare import prepare

Function = Callable[..., Any]
Argnums = int | Sequence[int]


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function x -> (f(x), df/dx)."""

    @errors.boundary
    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        t = traced(f, args, kwargs, argnums, name="grad", has_aux=has_aux, check=differentiable)
        ys, cts = reverse(t, [np.ones((), _scalar(t).dtype)])
        y = t.outputs(ys)
        return ((y, _released(t, t.aux)) if has_aux else y), t.arguments(cts)

    return value_and_gradient


def _scalar(t: Traced) -> Value:
    """The one output of a function to be differentiated, a number."""
    if len(t.outs) != 1 or t.outs[0].shape != ():
        raise errors.NonScalarError.of(t.name, [x.type for x in t.outs])
    if not t.outs[0].type.inexact:
        got = f"{t.name}: the function returned {t.outs[0].type}, which has no derivative"
        raise errors.NotDifferentiableError(f"{got}: True and False, and whole numbers, do not change a little.")
    return t.outs[0]


def _released(t: Traced, tree: Any) -> Any:
    """Values a function returned on the side, as arrays (or as values of the outer function)."""
    if tree is None:
        return None
    leaves, spec = flatten(tree)
    return unflatten(spec, [_release(t, x) for x in leaves])


def _release(t: Traced, x: Any) -> Any:
    if not isinstance(x, Value) or x.builder is not t.builder:
        return x
    if t.outer is None:
        return own(x.full)
    side = Graph(t.graph.ins, t.graph.eqns, (x.atom,))
    return write(t, side, t.leaves)[0]


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The gradient of a function that returns one number."""
    both = value_and_grad(f, argnums, has_aux)

    @errors.boundary
    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        y, g = both(*args, **kwargs)
        return (g, y[1]) if has_aux else g

    return gradient


@errors.boundary
def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """The value of f, and the function that pulls a cotangent of it back to the arguments."""
    t = traced(f, primals, {}, range(len(primals)), name="vjp", has_aux=has_aux, check=differentiable)
    y = _value(t)

    @errors.boundary
    def pull(ct: Any) -> Any:
        cts = _like(t.out_spec, t.outs, ct, "vjp")
        return t.arguments(reverse(t, cts)[1])

    return (y, pull, _released(t, t.aux)) if has_aux else (y, pull)


def _value(t: Traced) -> Any:
    return t.outputs([np.array(x.full)[()] for x in t.outs] if t.outer is None else write(t, t.graph, t.leaves))


def _like(spec: Any, outs: Sequence[Any], tree: Any, name: str) -> list[Any]:
    """The leaves of `tree`, which must look like `outs`."""
    leaves, got = flatten(tree)
    if got != spec or len(leaves) != len(outs):
        raise errors.TreeError.differ(name, leaf_paths(spec), leaf_paths(got))
    out: list[Any] = []
    for x, like in zip(leaves, outs, strict=True):
        x = x if isinstance(x, Value) else np.asarray(x, like.dtype)
        if x.shape != like.shape:
            raise errors.ShapeError(f"{name}: shape {like.shape} is needed, and {x.shape} was given")
        out.append(x)
    return out


@errors.boundary
def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of f, and its derivative along `tangents`."""
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise errors.TreeError("jvp: primals and tangents are tuples with one entry for each argument, like (x,) and (dx,)")
    t = traced(f, primals, {}, range(len(primals)), name="jvp", check=differentiable)
    inputs = [x if isinstance(x, Value) else np.asarray(x) for x in t.leaves]
    spec = flatten(tuple(primals))[1]
    dxs = _like(spec, inputs, tuple(tangents), "jvp")
    out = apply(t, ("jvp", tuple(t.wrt)), lambda g: jvp_graph(prepare(g), t.wrt), dxs)
    n = len(t.outs)
    return t.outputs(out[:n]), t.outputs(out[n:])


@errors.boundary
def linearize(f: Function, *primals: Any) -> tuple[Any, Function]:
    """The value of f, and its derivative as a linear function of the tangents."""
    t = traced(f, primals, {}, range(len(primals)), name="linearize", check=differentiable)
    n = len(t.outs)
    y = _value(t)
    inputs = [x if isinstance(x, Value) else np.asarray(x) for x in t.leaves]

    @errors.boundary
    def linear(*tangents: Any) -> Any:
        dxs = _like(flatten(tuple(primals))[1], inputs, tangents, "linearize")
        return t.outputs(apply(t, ("jvp", tuple(t.wrt)), lambda g: jvp_graph(prepare(g), t.wrt), dxs)[n:])

    return y, linear


def jacobian(f: Function, argnums: Argnums = 0, mode: str = "auto") -> Function:
    """The matrix of partial derivatives: axes of the result first, then those of the argument."""
    if mode not in ("auto", "forward", "reverse"):
        raise ValueError(f"mode is 'auto', 'forward' or 'reverse', not {mode!r}")

    @errors.boundary
    @wraps(f)
    def matrix(*args: Any, **kwargs: Any) -> Any:
        t = traced(f, args, kwargs, argnums, name="jacobian", check=differentiable)
        rows = sum(x.type.size for x in t.outs)
        columns = sum(v.type.size for v in t.graph.ins[-len(t.leaves) :])
        forward = columns <= rows if mode == "auto" else mode == "forward"
        make = jacobians.forward if forward else jacobians.reverse
        out = apply(t, ("jacobian", forward, tuple(t.wrt)), lambda g: make(prepare(g), t.wrt))
        n, k = len(t.outs), len(t.leaves)
        blocks = [t.arguments(out[n + i * k : n + (i + 1) * k]) for i in range(n)]
        return t.outputs(blocks)

    return matrix


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """The matrix of second derivatives of a function that returns one number."""
    return jacobian(grad(f, argnums), argnums, mode="forward")


def hvp(f: Function) -> Function:
    """The function (x, v) -> (second derivative of f at x) times v, without forming the matrix."""
    gradient = grad(f)

    @errors.boundary
    @wraps(f)
    def product(x: Any, v: Any, *args: Any) -> Any:
        return jvp(lambda z: gradient(z, *args), (x,), (v,))[1]

    return product


__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "linearize", "value_and_grad", "vjp"]
