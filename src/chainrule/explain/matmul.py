"""Matrix products in NumPy, associated so that what is computed stays small."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from chainrule.emit import source as s
from chainrule.emit.products import transposed
from chainrule.explain import nodes as nd
from chainrule.explain.fragments import NONE, Code, every, times
from chainrule.explain.nodes import Node

if TYPE_CHECKING:
    from chainrule.explain.source import Printer


def _row(f: Node) -> bool:
    return isinstance(f, nd.Turn) and f.x.rank == 1


def chain_code(p: Printer, x: Any) -> Code:
    """Products from the side that keeps them small."""
    return _product(p, list(x.factors), x)


def _product(p: Printer, fs: list[Node], x: Node) -> Code:
    for k in range(len(fs) - 1):
        if fs[k].rank == 1 and not _row(fs[k]) and _row(fs[k + 1]):
            return _outer(p, fs[: k + 1], fs[k + 1 :], x)
    if fs[-1].rank == 1 and not _row(fs[-1]):
        first = fs[0] if _row(fs[0]) else None
        acc = _columns(p, fs[1 if first is not None else 0 :])
        if first is None:
            return Code(acc, every(x))
        assert isinstance(first, nd.Turn)
        if isinstance(first.x, nd.Ones):
            return Code(_summed(acc, ""), NONE)
        if isinstance(first.x, nd.Unit):
            return Code(s.index(acc, [str(first.x.place)]), NONE)
        return Code(s.fill("{0} @ {1}", p.full(first.x), acc), NONE)
    if _row(fs[0]):
        return Code(_rows(p, fs), every(x) if x.rank == 1 else frozenset({1}))
    acc = p.full(fs[0]) if not isinstance(fs[0], nd.Diag) else None
    start = 1
    if acc is None:
        assert isinstance(fs[0], nd.Diag)
        acc = s.fill("{0}[:, None] * {1}", p.full(fs[0].x), p.full(fs[1]))
        start = 2
    elif _inverse(fs[0]) is not None:
        acc = s.fill(
            "np.linalg.solve({0}, {1})",
            _inverse_of(p, fs[0]),
            _product(p, fs[1:], nd.Chain((fs[1].sizes[0], x.sizes[1]), tuple(fs[1:]))).node if len(fs) > 2 else p.full(fs[1]),
        )
        return Code(acc, every(x))
    for f in fs[start:]:
        acc = _times_diagonal(p, acc, f.x) if isinstance(f, nd.Diag) else s.fill("{0} @ {1}", acc, p.full(f))
    return Code(acc, every(x))


def _times_diagonal(p: Printer, acc: ast.expr, d: Node) -> ast.expr:
    """Columns times the elements of a vector."""
    if isinstance(d, nd.Had) and not d.top:
        return s.fill("{0} / {1}", acc, times([p.loose(f).node for f in d.bottom]))
    return s.fill("{0} * {1}", acc, p.full(d))


def _inverse(f: Node) -> Node | None:
    """The matrix that a factor is the inverse of."""
    if isinstance(f, nd.Call) and f.prim == "inv":
        return f.args[0]
    if isinstance(f, nd.Turn) and isinstance(f.x, nd.Call) and f.x.prim == "inv":
        return f.x.args[0]
    return None


def _inverse_of(p: Printer, f: Node) -> ast.expr:
    a = _inverse(f)
    assert a is not None
    return transposed(p.full(a), (1, 0)) if isinstance(f, nd.Turn) else p.full(a)


def _outer(p: Printer, left: list[Node], right: list[Node], x: Node) -> Code:
    """u v^T; where one is the vector of ones, the other is left to broadcasting."""
    row = right[0]
    assert isinstance(row, nd.Turn)
    if len(right) == 1 and isinstance(row.x, nd.Ones):
        return Code(s.fill("{0}[:, None]", _columns(p, left)), frozenset({0}))
    if len(left) == 1 and isinstance(left[0], nd.Ones):
        return Code(_rows(p, right), frozenset({1}))
    return Code(s.fill("np.outer({0}, {1})", _columns(p, left), _rows(p, right)), every(x))


def _columns(p: Printer, fs: list[Node]) -> ast.expr:
    """Matrices times a column, from the right."""
    if isinstance(fs[-1], nd.Ones) and len(fs) > 1 and not isinstance(fs[-2], nd.Diag):
        m = fs[-2]
        acc = _summed(p.full(m.x), "axis=0") if isinstance(m, nd.Turn) else _summed(p.full(m), "axis=1")
        rest = fs[:-2]
    elif isinstance(fs[-1], nd.Unit) and len(fs) > 1 and not isinstance(fs[-2], nd.Diag):
        acc, rest = s.index(p.full(fs[-2]), [":", str(fs[-1].place)]), fs[:-2]
    elif isinstance(fs[-1], nd.Ones) and len(fs) > 1:
        assert isinstance(fs[-2], nd.Diag)
        acc, rest = p.full(fs[-2].x), fs[:-2]
    else:
        acc, rest = p.full(fs[-1]), fs[:-1]
    for f in reversed(rest):
        if isinstance(f, nd.Diag):
            acc = s.fill("{0} * {1}", p.full(f.x), acc)
        elif _inverse(f) is not None:
            acc = s.fill("np.linalg.solve({0}, {1})", _inverse_of(p, f), acc)
        else:
            acc = s.fill("{0} @ {1}", p.full(f), acc)
    return acc


def _rows(p: Printer, fs: list[Node]) -> ast.expr:
    """A row times matrices, from the left."""
    first = fs[0]
    assert isinstance(first, nd.Turn)
    if isinstance(first.x, nd.Ones) and len(fs) > 1 and not isinstance(fs[1], nd.Diag):
        m = fs[1]
        acc = _summed(p.full(m.x), "axis=1") if isinstance(m, nd.Turn) else _summed(p.full(m), "axis=0")
        rest = fs[2:]
    elif isinstance(first.x, nd.Unit) and len(fs) > 1 and not isinstance(fs[1], nd.Diag):
        acc, rest = s.index(p.full(fs[1]), [str(first.x.place)]), fs[2:]
    else:
        acc, rest = p.full(first.x), fs[1:]
    for f in rest:
        acc = s.fill("{0} * {1}", acc, p.full(f.x)) if isinstance(f, nd.Diag) else s.fill("{0} @ {1}", acc, p.full(f))
    return acc


def _summed(x: ast.expr, axis: str) -> ast.expr:
    if isinstance(x, ast.Name):
        return s.fill(f"{{0}}.sum({axis})", x)
    return s.fill(f"np.sum({{0}}{', ' if axis else ''}{axis})", x)
