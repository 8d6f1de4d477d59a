"""A formula given as text, as a function of the parameters of another function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten
from chainrule.explain.doctor.lab import Lab, Problem, upcast
from chainrule.explain.doctor.scene import is_float, scene
from chainrule.explain.problem import read


def parameters(f: Callable[..., Any], count: int) -> list[str]:
    """Names of the first parameters of f."""
    try:
        return [p.name for p in inspect.signature(f).parameters.values()][:count]
    except (TypeError, ValueError):
        return []


def function(text: str, f: Callable[..., Any], args: Sequence[Any]) -> Callable[..., Any]:
    """The formula as a function of the same arguments as f; other names in it are sizes (n, d, ...) of the example's axes."""
    names = parameters(f, len(args))
    shapes = {n: np.shape(x) for n, x in zip(names, args, strict=False) if is_float(x)}
    formula = read(text, shapes)
    other = [n for n in formula.names if n not in names]
    axes = _sizes(f, args) if other else {}
    unknown = [n for n in other if n not in axes]
    if unknown:
        known = ", ".join([*names, *axes])
        raise errors.TreeError(f"the formula {text!r} speaks of {', '.join(unknown)}, and the function has {known}")

    def run(*xs: Any) -> Any:
        leaves = flatten(tuple(xs))[0]
        sizes = {n: np.shape(leaves[leaf])[axis] for n, (leaf, axis) in axes.items()}
        return formula({**dict(zip(names, xs, strict=True)), **sizes})

    return run


def _sizes(f: Callable[..., Any], args: Sequence[Any]) -> dict[str, tuple[int, int]]:
    """Letter of each size -> a leaf of the arguments and its axis."""
    point = upcast(args)
    floats = tuple(k for k, x in enumerate(point) if all(map(is_float, flatten(x)[0])))
    try:
        s = scene(f, point, floats[:1])
    except Exception:
        s = None
    lab = Lab(Problem(f, None, tuple(args), floats[:1], True, lambda a: ([], list, None)), s)
    return {letter: group[0] for (letter, _), group in zip(lab.letters, lab.groups, strict=True)}
