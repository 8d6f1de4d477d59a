"""The source of a row's own value, with everything it rests on, as plain NumPy: for rows that NumPy has no function for."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np


class _Bare(ast.NodeTransformer):
    """Drops annotations, which speak of chainrule's types."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node


def collect(f: Callable[..., Any], found: dict[str, str]) -> str:
    """Put the definition of `f`, and before it what it uses, into `found`; its name."""
    if not isinstance(f, FunctionType) or not f.__name__.isidentifier():
        raise TypeError(f"{f!r} has no name of its own")
    if f.__name__ not in found:
        module = sys.modules[f.__module__]
        _definition(module, f.__name__, found)
    return f.__name__


def _definition(module: ModuleType, name: str, found: dict[str, str]) -> None:
    """The top-level statement that defines a name in a module, and first those of the names in it."""
    for node in ast.parse(inspect.getsource(module)).body:
        if name in _defined(node):
            node = _Bare().visit(node)
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                node = ast.Assign([node.target], node.value)
            found[name] = ""  # it may call itself
            for other in sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}):
                if other not in found and hasattr(module, other):
                    _used(module, other, found)
            del found[name]
            found[name] = ast.unparse(ast.fix_missing_locations(node))
            return
    raise TypeError(f"{name} is not defined at the top of {module.__name__}")


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]


def _used(module: ModuleType, name: str, found: dict[str, str]) -> None:
    value = getattr(module, name)
    if value is np or getattr(value, "__name__", "") == "scipy.special":
        return  # the source imports them anyway
    home = sys.modules.get(getattr(value, "__module__", None) or "", module)
    if home.__name__.startswith("chainrule"):
        _definition(home if hasattr(home, name) else module, name, found)
    elif home.__name__ != "builtins":
        found[name] = f"from {home.__name__} import {name}"
