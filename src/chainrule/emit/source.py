"""Pieces of Python source: templates filled in as syntax trees, so that brackets come where they are needed and nowhere else."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from chainrule.ir.graph import Array
from chainrule.ir.types import DType

Shape = tuple[int, ...]


class Expr(NamedTuple):
    """An expression, and the shape of what NumPy makes of it (smaller than the type where broadcasting will do the rest)."""

    node: ast.expr
    shape: Shape

    @property
    def text(self) -> str:
        """As source."""
        return ast.unparse(self.node)

    @property
    def named(self) -> bool:
        """Is it a name?"""
        return isinstance(self.node, ast.Name)

    @property
    def primary(self) -> bool:
        """May a method be called on it without brackets?"""
        return isinstance(self.node, ast.Name | ast.Call | ast.Subscript | ast.Attribute)


class _Fill(ast.NodeTransformer):
    def __init__(self, operands: Sequence[ast.expr]) -> None:
        self.operands = operands

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.operands[int(node.id[1:])] if node.id[:1] == "_" and node.id[1:].isdigit() else node


def fill(template: str, *operands: ast.expr, **params: str) -> ast.expr:
    """``fill("{0} @ {1}.T", a, b)``; ``{*}`` is all operands."""
    holes = [f"_{k}" for k in range(len(operands))]
    text = template.replace("{*}", ", ".join(holes)).format(*holes, **params)
    return _Fill(operands).visit(ast.parse(text, mode="eval").body)


def exists(template: str) -> bool:
    """Are all functions in it NumPy's or SciPy's?"""
    for root, path in re.findall(r"\b(np|special)\.([\w.]+)", template):
        found: Any = np if root == "np" else special
        for part in path.split("."):
            if part and not hasattr(found, part):
                return False
            found = getattr(found, part, None)
    return True


def name(identifier: str) -> ast.expr:
    """A variable."""
    return ast.Name(identifier)


# --- constants --------------------------------------------------------------------------------------------------------------


def number(x: Any) -> ast.expr:
    """A number that takes the dtype it meets, as short as it can be read back."""
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        return _signed(x.item())
    if x.dtype.kind == "c":
        return fill(f"complex('{x.item()}')") if not np.isfinite(x) else _complex(x.item())
    if np.isnan(x):
        return fill("np.nan")
    if np.isinf(x):
        return fill("np.inf" if x > 0 else "-np.inf")
    value = x.item()
    if value == int(value) and abs(value) < 1e6 and str(value) != "-0.0":
        return _signed(int(value))
    return _signed(float(str(x[()])))


def _signed(x: Any) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-x)) if str(x).startswith("-") else ast.Constant(x)


def _complex(x: complex) -> ast.expr:
    parts = [_signed(x.real), ast.Constant(abs(x.imag) * 1j)]
    return ast.BinOp(parts[0], ast.Sub() if str(x.imag).startswith("-") else ast.Add(), parts[1])


def dtype_name(d: DType) -> str:
    """``np.float32``."""
    return f"np.{d.name}"


def typed(x: Any) -> ast.expr:
    """A number with its dtype."""
    x = np.asarray(x)
    return fill(f"{dtype_name(x.dtype)}({{0}})", decided(x) if x.dtype == np.float64 else number(x))


def decided(x: Any) -> ast.expr:
    """A number that has its dtype with nothing else to take it from: ``1.0``, or ``np.float32(1)``."""
    x = np.asarray(x)
    if x.dtype == np.float64 and np.isfinite(x):
        return _signed(x.item())
    return number(x) if x.dtype in (np.float64, np.int64, np.bool_) else typed(x)


def filled(x: Any, shape: Shape) -> ast.expr:
    """An array of one number."""
    x = np.asarray(x)
    dtype = {} if x.dtype == np.float64 else {"dtype": dtype_name(x.dtype)}
    size = _shape(shape)
    if x == 0 and not np.signbit(x.real):
        return _call("np.zeros", size, dtype)
    if x == 1:
        return _call("np.ones", size, dtype)
    return fill(f"np.full({size}, {{0}})", typed(x))


def _shape(shape: Shape) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _call(function: str, argument: str, keywords: Mapping[str, str]) -> ast.expr:
    return fill(f"{function}({', '.join([argument, *[f'{k}={v}' for k, v in keywords.items()]])})")


def pattern(x: Array) -> ast.expr | None:
    """A well-known array in words: zeros, ones, the identity, a range."""
    if not x.size or x.dtype.kind == "c":
        return filled(np.zeros((), x.dtype), x.shape) if not x.size else None
    first = x.flat[0]
    if (x == first).all() and not (np.signbit(x).any() if x.dtype.kind == "f" and first == 0 else False):
        return filled(first, x.shape)
    dtype = {} if x.dtype == np.float64 else {"dtype": dtype_name(x.dtype)}
    if x.ndim >= 2 and x.size == x.shape[0] ** 2 and _same(x.reshape(x.shape[0], -1), np.eye(x.shape[0], dtype=x.dtype)):
        eye = _call("np.eye", str(x.shape[0]), dtype)
        return eye if x.ndim == 2 else fill(f"{{0}}.reshape{x.shape}", eye)
    if x.ndim == 1 and x.size > 2 and x.dtype.kind in "iu" and _same(x, np.arange(x.size, dtype=x.dtype)):
        return _call("np.arange", str(x.size), {} if x.dtype == np.int64 else dtype)
    return None


def _same(x: Array, y: Array) -> bool:
    return bool((x == y).all()) and not (x.dtype.kind == "f" and bool(np.signbit(x).any()))


def array(x: Array) -> ast.expr:
    """An array, element by element."""
    text = _nested(x)
    implied = {"f": np.float64, "i": np.int64, "b": np.bool_, "c": np.complex128}.get(x.dtype.kind)
    return _call("np.array", text, {} if x.dtype == implied and _decided(x) else {"dtype": dtype_name(x.dtype)})


def _decided(x: Array) -> bool:
    return x.size > 0


def _nested(x: Array) -> str:
    if x.ndim:
        return f"[{', '.join(map(_nested, x))}]"
    if x.dtype.kind == "f" and np.isfinite(x):
        return repr(float(str(x[()])))
    return ast.unparse(number(x))


def wrapped(head: str, text: str, width: int = 110) -> str:
    """``head = text``, broken over lines where it is long (brackets are open in it)."""
    return "\n    ".join(textwrap.wrap(f"{head} = {text}", width, break_long_words=False, break_on_hyphens=False))


# --- indexing ----------------------------------------------------------------------------------------------------------------


def index(x: ast.expr, keys: Sequence[str]) -> ast.expr:
    """``x[1:, :2]`` without the full slices at its end."""
    kept = list(keys)
    while kept and kept[-1] == ":":
        kept.pop()
    return fill(f"{{0}}[{', '.join(kept)}]", x) if kept else x


def cut(start: int, stop: int, step: int, size: int) -> str:
    """One slice, with nothing said that goes without saying."""
    a, b = str(start) if start else "", "" if stop >= size else "-1" if 1 < stop == size - 1 else str(stop)
    return f"{a}:{b}" if step == 1 else f"{a}:{b}:{step}"
