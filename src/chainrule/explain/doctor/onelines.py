"""One-line NumPy formulas for parts of a gradient, with letters for sizes."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from chainrule.build.builder import Builder
from chainrule.emit.python import to_python
from chainrule.ir.graph import Graph, Var
from chainrule.prims.kinds import constant
from chainrule.transform.rebuild import inline, same_input
from chainrule.transform.simplify import simplify

_LONGEST = 100


class _Fill(ast.NodeTransformer):
    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The expression that a name stands for."""
        return self.known.get(node.id, node)


def expression(g: Graph, fixed: Mapping[Var, float], sizes: Mapping[str, int]) -> str:
    """The first result of a graph as one expression, "" if that would be long or needs statements.

    Args:
        g: the graph, its inputs with names.
        fixed: inputs that are one number.
        sizes: letters for sizes; numbers equal to a size (or one over it) are written with its letter.
    """
    with Builder().here() as b:
        args = [constant(fixed[v], v.type) if v in fixed else same_input(b, v) for v in g.ins]
        h = simplify(b.finish(inline(b, g, args)))
    used = {a for e in h.eqns for a in e.ins} | set(h.outs)
    function = next(
        x
        for x in ast.parse(to_python(Graph(tuple(v for v in h.ins if v in used), h.eqns, h.outs))).body
        if isinstance(x, ast.FunctionDef)
    )
    known: dict[str, ast.expr] = {}
    for line in function.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            known[line.targets[0].id] = _Fill(known).visit(line.value)
        elif isinstance(line, ast.Return) and line.value is not None:
            text = _text(_Fill(known).visit(line.value), sizes)
            return text if len(text) <= _LONGEST else ""
        else:
            return ""
    return ""


def _text(x: ast.expr, sizes: Mapping[str, int]) -> str:
    while isinstance(x, ast.Call) and ast.unparse(x.func) == "np.broadcast_to":
        x = x.args[0]
    text = re.sub(r"np\.float\d+\(([-\w.]+)\)", r"\1", ast.unparse(x))
    text = re.sub(r"(?<![\w.*])(1(\.0)? \* )+|(?<! \*\*)( \* 1(\.0)?)+(?![\w.])", "", text)
    for letter, n in sizes.items():
        text = re.sub(rf"(?<![\w.]){n}(\.0)?(?![\w.])", letter, text)
        text = re.sub(rf"(?<![\w.])({re.escape(repr(1 / n))})(?![\w])", f"(1 / {letter})", text)
        text = text.replace(f" * (1 / {letter})", f" / {letter}")
    return text
