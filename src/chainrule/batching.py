"""`vmap`: a function over a new axis of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten, unflatten
from chainrule.build.value import FUNCTIONS, Value
from chainrule.calls import Abstract, numbers, run, traced, write
from chainrule.ir.types import ArrayType
from chainrule.transform.vmap import vmap as vmap_graph

Axes = int | None | Sequence[Any] | dict[str, Any]


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """The function that maps `f` over an axis of its arguments, without a loop.

    ``vmap(f)(X)[k] = f(X[k])``.

    Args:
        f: any function that chainrule can trace; it sees one example at a time.
        in_axes: the axis to map over, None for an argument that all examples share; one for all arguments, or a
            tuple with one per argument, each an int, None or a container shaped like the front of that argument.
        out_axes: where the new axis goes in the results.

    Returns:
        A function of arguments that have one more axis. Keyword arguments are passed on whole, to every example.

    Raises:
        ShapeError: if the mapped axes have different sizes.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> cr.vmap(cr.grad(lambda w, x: np.tanh(w * x)), in_axes=(None, 0))(0.5, np.array([0.0, 1.0, 2.0])).round(3)
        array([0.   , 0.786, 0.84 ])
    """

    @errors.boundary
    @wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = flatten(args)
        axes = _per_leaf(in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args), args)
        arrays: list[Any] = [x if isinstance(x, Value) else numbers(x, "vmap") for x in leaves]
        n = _size(arrays, axes)
        fronted: list[Any] = [x if a is None else _moved(x, a, 0) for x, a in zip(arrays, axes, strict=True)]
        examples = [_example(x, raw, a) for x, raw, a in zip(fronted, leaves, axes, strict=True)]
        t = traced(f, unflatten(spec, examples), kwargs, range(len(args)), name="vmap", values=False)
        flags = [False] * len(t.builder.captured) + [a is not None for a in axes]

        def transform(g: Any) -> Any:
            return vmap_graph(g, n, [*flags, *[False] * (len(g.ins) - len(flags))])

        if t.outer is None:
            outs = run(t.graph, ("vmap", n, tuple(flags)), transform, fronted)
        else:
            outs = write(t, transform(t.graph), fronted)
        tree = t.outputs(outs)
        where = _per_leaf(out_axes, tree)
        return unflatten(flatten(tree)[1], [_moved(y, 0, a) for y, a in zip(outs, where, strict=True)])

    return mapped


def _per_leaf(axes: Any, tree: Any) -> list[int | None]:
    """One axis for each leaf of `tree`, from a container shaped like its front."""
    if axes is None or isinstance(axes, int):
        return [axes] * len(flatten(tree)[0])
    parts: list[tuple[Any, Any]] = []
    if isinstance(axes, tuple | list) and isinstance(tree, tuple | list) and len(axes) == len(tree):  # pyright: ignore[reportUnknownArgumentType]
        parts = list(zip(axes, tree, strict=True))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    elif isinstance(axes, dict) and isinstance(tree, dict) and set(axes) == set(tree):  # pyright: ignore[reportUnknownArgumentType]
        parts = [(axes[k], tree[k]) for k in sorted(tree)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    else:
        raise errors.TreeError(f"vmap: the axes {axes!r} do not fit the front of the arguments")
    return [a for part in parts for a in _per_leaf(*part)]


def _size(arrays: Sequence[Any], axes: Sequence[int | None]) -> int:
    sizes: dict[int, Any] = {}
    for x, a in zip(arrays, axes, strict=True):
        if a is not None:
            if not -x.ndim <= a < x.ndim:
                raise errors.ShapeError(f"vmap: axis {a} is not there in an argument of shape {x.shape}")
            sizes[x.shape[a]] = x
    if not sizes:
        raise errors.TreeError("vmap: no argument has an axis to map over")
    if len(sizes) > 1:
        raise errors.ShapeError(f"vmap: the mapped axes have different sizes: {', '.join(map(str, sizes))}")
    return next(iter(sizes))


def _moved(x: Any, a: int, b: int | None) -> Any:
    if b is None:
        raise errors.TreeError("vmap: out_axes=None would drop the results of all examples but one")
    if a % x.ndim == b % x.ndim:
        return x
    return FUNCTIONS[np.moveaxis](x, a, b) if isinstance(x, Value) else np.moveaxis(x, a, b)


def _example(x: Any, raw: Any, axis: int | None) -> Abstract:
    weak = raw.weak if isinstance(raw, Value) else type(raw) if type(raw) in (int, float, complex) else None
    return Abstract(ArrayType(x.dtype, x.shape if axis is None else x.shape[1:]), weak if axis is None else None)
