"""Nested arguments: lists, tuples, dicts, named tuples and dataclasses of arrays, by optree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optree

from chainrule.build.value import Value

NAMESPACE = "chainrule"
_registered: set[type] = set()


def _register(cls: type) -> None:
    """Make a dataclass a container: its fields are children, but those marked ``metadata={"static": True}``."""
    fields = dataclasses.fields(cls)
    moving = [f.name for f in fields if not f.metadata.get("static")]
    fixed = [f.name for f in fields if f.metadata.get("static")]

    def flatten(x: Any) -> tuple[list[Any], Any, list[str]]:
        return [getattr(x, n) for n in moving], tuple([getattr(x, n) for n in fixed]), moving

    def unflatten(static: Any, children: Sequence[Any]) -> Any:
        x = object.__new__(cls)
        for n, v in (*zip(moving, children, strict=True), *zip(fixed, static, strict=True)):
            object.__setattr__(x, n, v)
        return x

    optree.register_pytree_node(cls, flatten, unflatten, namespace=NAMESPACE)  # pyright: ignore[reportArgumentType]
    _registered.add(cls)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """Leaves in order, and the structure that `unflatten` puts them back into."""
    if type(tree) is np.ndarray or type(tree) is float or type(tree) is Value:
        return [tree], _LEAF
    while True:
        leaves, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
        new = {type(x) for x in leaves if dataclasses.is_dataclass(x) and not isinstance(x, type)} - _registered
        if not new:
            return leaves, spec
        for cls in new:
            _register(cls)


def unflatten(spec: Any, leaves: Sequence[Any]) -> Any:
    """Inverse of `flatten`."""
    return optree.tree_unflatten(spec, leaves)


def paths(tree: Any) -> list[str]:
    """A name for each leaf: ``['layers'][0].weight``."""
    flatten(tree)
    return [a.codify("") if hasattr(a, "codify") else "" for a in optree.tree_accessors(tree, namespace=NAMESPACE)]


def leaf_paths(spec: Any) -> list[str]:
    """A name for each leaf of a structure: ``['layers'][0].weight``."""
    return paths(unflatten(spec, range(spec.num_leaves)))


def map_tree(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`f` on corresponding leaves."""
    leaves, spec = flatten(tree)
    others = [flatten(t)[0] for t in rest]
    return unflatten(spec, [f(*xs) for xs in zip(leaves, *others, strict=True)])


_LEAF: Any = optree.tree_structure(0)  # pyright: ignore[reportArgumentType]
