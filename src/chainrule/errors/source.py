"""The user's expression as text: its operands, the statement it stands in, and the same expression with parts replaced."""

from __future__ import annotations

import ast
import linecache
import os
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from chainrule.ir.where import Where, Written

_Span = tuple[int, int, int, int]
_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.List, ast.Tuple)


class Spot(NamedTuple):
    """A place in the user's file as plain data."""

    file: str
    function: str
    line: int
    lines: tuple[str, ...]
    columns: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def title(self) -> str:
        """The function's name in backquotes and the place."""
        return f"{self.function}, {self}" if self.function else str(self)

    def picture(self) -> str:
        """The lines with their numbers, carets under the expression."""
        width = len(str(self.line + len(self.lines) - 1))
        rows: list[str] = []
        for k, (text, (a, b)) in enumerate(zip(self.lines, self.columns, strict=True)):
            rows.append(f"{self.line + k:>{width}} | {text}")
            if b > a:
                pad = "".join(c if c == "\t" else " " * _cells(c) for c in text[:a])
                rows.append(" " * (width + 3) + pad + "^" * sum(map(_cells, text[a:b])))
        return "\n".join(rows)


def _cells(c: str) -> int:
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def span(w: Where) -> _Span | None:
    """First line, first byte, last line, last byte of the expression at work there."""
    if isinstance(w.code, Written):
        return w.line, w.columns[0], w.line, w.columns[1]
    found = list(w.code.co_positions())[w.offset // 2]
    line, end, col, end_col = found
    return None if line is None or end is None or col is None or end_col is None else (line, col, end, end_col)


def spot(w: Where) -> Spot:
    """`w` as plain data; at most six lines of it."""
    s = span(w)
    first, last = (s[0], min(s[2], s[0] + 5)) if s else (w.line, w.line)
    texts = [linecache.getline(w.file, k).rstrip("\n") for k in range(first, last + 1)]
    columns = [_columns(t, first + k, s) for k, t in enumerate(texts)]
    shown = [(t, c) for t, c in zip(texts, columns, strict=True)] if any(texts) else []
    return Spot(_file(w), _function(w), first, tuple([t for t, _ in shown]), tuple([c for _, c in shown]))


def _columns(text: str, line: int, s: _Span | None) -> tuple[int, int]:
    if s is None:
        return 0, 0
    raw = text.encode()
    a = len(raw[: s[1]].decode(errors="replace")) if line == s[0] else len(text) - len(text.lstrip())
    b = len(raw[: s[3]].decode(errors="replace")) if line == s[2] else len(text)
    return a, b


def _file(w: Where) -> str:
    return w.file if w.file.startswith("<") else os.path.basename(w.file)


def _function(w: Where) -> str:
    """```loss```, ```Net.forward```, ``a lambda``, or nothing at the level of the module."""
    qualname: str = w.code.co_qualname
    parts = [p for p in qualname.split(".<locals>.") if not p.startswith("<") or p == "<lambda>"]
    if not parts:
        return ""
    return "a lambda" if parts[-1] == "<lambda>" else f"`{parts[-1]}`"


# --- expressions -----------------------------------------------------------------------------------------------------------


class _File(NamedTuple):
    source: bytes
    starts: list[int]
    nodes: Mapping[_Span, ast.AST]
    parents: Mapping[ast.AST, ast.AST]


@lru_cache(maxsize=16)
def _parsed(text: str) -> _File | None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    nodes: dict[_Span, ast.AST] = {}
    parents: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):
        parents.update((child, node) for child in ast.iter_child_nodes(node))
        if isinstance(node, ast.expr | ast.stmt):
            nodes[_span(node)] = node  # a walk meets parents first: of equal spans the innermost stays
    raw = text.encode()
    return _File(raw, [0, *accumulate(len(line) for line in raw.splitlines(keepends=True))], nodes, parents)


def _span(n: ast.expr | ast.stmt) -> _Span:
    return n.lineno, n.col_offset, n.end_lineno or n.lineno, n.end_col_offset or n.col_offset


class Expression:
    """An expression (or an assignment) in the user's file."""

    def __init__(self, file: _File, node: ast.expr | ast.stmt) -> None:
        self.file = file
        self.node = node

    @property
    def text(self) -> str:
        """Its source."""
        return self.of(self.node)

    def of(self, node: ast.expr | ast.stmt) -> str:
        """The source of a part."""
        a, b = self._bytes(node)
        return self.file.source[a:b].decode()

    def _bytes(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        line, col, end, end_col = _span(node)
        return self.file.starts[line - 1] + col, self.file.starts[end - 1] + end_col

    def atom(self, node: ast.expr | ast.stmt) -> str:
        """The source of a part, such that ``.T`` may follow."""
        return self.of(node) if isinstance(node, _ATOMS) else f"({self.of(node)})"

    def with_parts(self, parts: Mapping[ast.expr, str]) -> str:
        """The source with some parts replaced."""
        a, b = self._bytes(self.node)
        out, at = b"", a
        for node in sorted(parts, key=lambda n: self._bytes(n)[0]):
            first, last = self._bytes(node)
            out += self.file.source[at:first] + parts[node].encode()
            at = last
        return (out + self.file.source[at:b]).decode()

    def between(self, a: ast.expr, b: ast.expr) -> str:
        """The source between two parts."""
        return self.file.source[self._bytes(a)[1] : self._bytes(b)[0]].decode()

    def parent(self, node: ast.AST | None = None) -> ast.AST | None:
        """What the expression (or a part of it) is a part of."""
        return self.file.parents.get(self.node if node is None else node)

    def operands(self, count: int) -> list[ast.expr] | None:
        """The sources of `count` operands, where the expression says them one by one."""
        return next((list(x) for x in _operand_lists(self.node) if len(x) == count), None)


def _operand_lists(n: ast.AST) -> list[Sequence[ast.expr]]:
    """The ways in which the operands of an expression can be read."""
    match n:
        case ast.BinOp(left=a, right=b) | ast.AugAssign(target=a, value=b):
            return [[a, b]]
        case ast.Compare(left=a, comparators=rest):
            return [[a, *rest]]
        case ast.UnaryOp(operand=a):
            return [[a]]
        case ast.Call(func=f, args=args) if not any(isinstance(a, ast.Starred) for a in args):
            numbers = [a for a in args if not (isinstance(a, ast.Constant) and isinstance(a.value, str))]
            of_method = [[f.value, *args]] if isinstance(f, ast.Attribute) else []
            first = [args[0].elts] if args and isinstance(args[0], ast.List | ast.Tuple) else []
            return [*first, numbers, *of_method]
        case _:
            return []


def expression(w: Where | None) -> Expression | None:
    """The expression at work there, if the file can be read."""
    s = span(w) if w is not None else None
    if w is None or s is None:
        return None
    file = _parsed("".join(linecache.getlines(w.file)))
    node = file.nodes.get(s) if file else None
    return Expression(file, node) if file and isinstance(node, ast.expr | ast.stmt) else None


def dotted(node: ast.AST) -> str | None:
    """``np.linalg.solve`` for the expression of that name."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=v, attr=name):
            before = dotted(v)
            return before and f"{before}.{name}"
        case _:
            return None
