"""Sums and products as a person writes them in NumPy: ``x.sum(axis=0)``, ``A @ B.T``, ``x[:, None] * y``."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from chainrule.emit.source import Expr, Shape, fill, index
from chainrule.ir.types import DType


def contraction(spec: str, xs: Sequence[Expr], dtype: DType) -> ast.expr:
    """``np.einsum(spec, *xs)`` in the words closest to mathematics; operands have their full shapes."""
    ins, out = spec.split("->")
    letters = ins.split(",")
    if len(xs) == 1:
        return _one(letters[0], out, xs[0], dtype)
    found = _two(letters[0], letters[1], out, xs[0], xs[1]) if len(xs) == 2 else None
    return found or fill(f"np.einsum('{spec}', {{*}})", *[x.node for x in xs])


def _one(a: str, out: str, x: Expr, dtype: DType) -> ast.expr:
    lost = [k for k, s in enumerate(a) if s not in out]
    kept = "".join(s for s in a if s in out)
    words = [f"dtype=np.{dtype.name}"] if dtype.kind in "biu" and dtype.itemsize < 8 else []
    node = reduced("sum", x, lost, len(a), words) if lost else x.node
    return transposed(node, tuple(kept.index(s) for s in out))


def reduced(method: str, x: Expr, axes: Sequence[int], rank: int, words: Sequence[str] = ()) -> ast.expr:
    """``x.sum(axis=0)`` of a name, ``np.sum(..., axis=0)`` of anything longer."""
    axis = [] if len(axes) == rank else [f"axis={axes[0] if len(axes) == 1 else tuple(axes)}"]
    said = ", ".join([*axis, *words])
    return fill(f"{{0}}.{method}({said})" if x.named and rank else f"np.{method}({{0}}{said and ', ' + said})", x.node)


def transposed(x: ast.expr, order: Sequence[int]) -> ast.expr:
    """`x` with its axes in another order."""
    straight = list(range(len(order)))
    if list(order) == straight:
        return x
    if list(order) == straight[::-1]:
        return fill("{0}.T", x)
    if list(order) == [*straight[:-2], len(order) - 1, len(order) - 2]:
        return fill("{0}.swapaxes(-1, -2)", x)
    return fill(f"{{0}}.transpose({', '.join(map(str, order))})", x)


def _two(a: str, b: str, out: str, x: Expr, y: Expr) -> ast.expr | None:
    summed = "".join(s for s in a if s in b and s not in out)
    if any(s not in out and s not in summed for s in a + b):
        return None
    if not summed:
        return _outer(a, b, out, x, y)
    if a == b:
        return _inner(a, out, x, y)
    return _matmul(a, b, out, x.node, y.node, summed) or _matmul(b, a, out, y.node, x.node, summed)


def _inner(a: str, out: str, x: Expr, y: Expr) -> ast.expr | None:
    """Both operands have the same axes."""
    if len(a) == 1:
        return fill("{0} @ {1}", x.node, y.node)
    lost = tuple(k for k, s in enumerate(a) if s not in out)
    if "".join(s for s in a if s in out) != out:
        return None
    axis = "" if not out else f", axis={lost[0] if len(lost) == 1 else lost}"
    return fill(f"np.sum({{0}} * {{1}}{axis})", x.node, y.node)


def _outer(a: str, b: str, out: str, x: Expr, y: Expr) -> ast.expr | None:
    """No sum: permute and broadcast."""
    if len(a) == len(b) == 1 and len(out) == 2:
        return fill("np.outer({0}, {1})", *([x.node, y.node] if out == a + b else [y.node, x.node]))
    return fill("{0} * {1}", _aligned(x.node, a, out), _aligned(y.node, b, out))


def _aligned(x: ast.expr, a: str, out: str) -> ast.expr:
    order = [a.index(s) for s in out if s in a]
    return expanded(transposed(x, order), len(out), [k for k, s in enumerate(out) if s not in a])


def expanded(x: ast.expr, rank: int, new: Sequence[int]) -> ast.expr:
    """`x` with axes of size 1 in the places `new`, leading ones left to broadcasting."""
    lead = 0
    while lead in new:
        lead += 1
    return index(x, ["None" if k in new else ":" for k in range(lead, rank)])


def leading(rank: int, axes: Sequence[int], shape: Shape) -> Shape:
    """The shape that `expanded` leaves."""
    lead = 0
    while lead in axes:
        lead += 1
    return tuple(1 if k in axes else shape[k] for k in range(lead, rank))


def _matmul(a: str, b: str, out: str, x: ast.expr, y: ast.expr, summed: str) -> ast.expr | None:
    """``x @ y`` with the last two axes of either transposed where that is all it takes."""
    if len(summed) != 1:
        return None
    lead = "".join(s for s in out if s in a and s in b)
    core_a, core_b = a[len(lead) :] if a.startswith(lead) else "", b[len(lead) :] if b.startswith(lead) else ""
    if not lead and len(b) <= 2 and len(a) > 2 and a[-1] == summed and out == a[:-1] + b.replace(summed, ""):
        return fill("{0} @ {1}", x, _turned(y, b, b[0] != summed))
    if lead and (len(core_a), len(core_b)) != (2, 2):
        return None
    if len(core_a) not in (1, 2) or len(core_b) not in (1, 2):
        return None
    if out != lead + core_a.replace(summed, "") + core_b.replace(summed, ""):
        return None
    left = _turned(x, a, len(core_a) == 2 and core_a[0] == summed)
    right = _turned(y, b, len(core_b) == 2 and core_b[0] != summed)
    return fill("{0} @ {1}", left, right)


def _turned(x: ast.expr, a: str, needed: bool) -> ast.expr:
    straight = list(range(len(a)))
    return transposed(x, [*straight[:-2], straight[-1], straight[-2]]) if needed else x
