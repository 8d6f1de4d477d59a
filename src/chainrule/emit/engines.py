"""The engines by name: each turns a graph into a function of arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from chainrule.ir.graph import Array, Graph

Compiled = Callable[..., Sequence[Array]]
ENGINES = {
    "numpy": ("chainrule.emit.numpy", "to_numpy"),
    "native": ("chainrule.emit.native.engine", "to_native"),
    "xla": ("chainrule.emit.xla", "to_xla"),
}
"""Name -> module and function."""
DEFAULT = os.environ.get("CHAINRULE_ENGINE") or "native"
"""What compiles where nobody names an engine: machine code, and NumPy, with a warning, where this machine cannot run it.

The environment variable `CHAINRULE_ENGINE` chooses another.
"""
MISS = object()
"""What the `entry` of a native program returns for arguments that it was not made for."""


def compile_graph(g: Graph, engine: str | None = None, **options: Any) -> Compiled:
    """The function of arrays that computes `g` on the named engine."""
    name = engine or DEFAULT
    if name not in ENGINES:
        chosen = "engine" if engine else "CHAINRULE_ENGINE"
        raise ValueError(f"{chosen} is one of {', '.join(map(repr, ENGINES))}, not {name!r}")
    module, function = ENGINES[name]
    return getattr(import_module(module), function)(g, **options)
