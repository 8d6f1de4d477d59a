"""Formulas of a graph: matrix algebra where it is matrix algebra, sums with indices elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Sequence

import numpy as np

from chainrule.emit.algebra import TERMS, Index, general
from chainrule.emit.symbols import FUNCTION, NEGATIVE, PRODUCT, RELATION, SUM, Term, holes, number, symbol
from chainrule.ir.graph import Array, Atom, Eqn, Graph, Lit, Params, Var, subgraphs
from chainrule.ir.names import Names
from chainrule.prims import TABLE

LONG = 60
"""A formula with more signs than this is given a name."""
MANY = 30
"""Arguments with more signs than this are not listed."""
_SILENT = re.compile(r"\\(left|right|mathrm|operatorname|begin|end|text|frac|bar|dot)\b|[{}\s_^]")
_SIGN = re.compile(r"\\[a-zA-Z]+")
INDICES = "ijklmnpqrstuv"


def to_latex(g: Graph, name: str = "f") -> str:
    """One aligned block: a line for each named value, and the results."""
    lines = Formulas(g).lines(name)
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(lines), r"\end{aligned}"])


class Formulas:
    """Writes the lines of one graph."""

    def __init__(self, g: Graph) -> None:
        self.graph = g
        self.names = Names(g)
        self.uses = _uses(g)
        self.maker = {v: e for e in g.eqns for v in e.outs}
        self.named: set[Var] = set(g.ins)
        self.active: list[str] = []
        self.done: list[str] = []
        self.constants: list[Array] = []
        self.bodies = 0
        letters = {self.names.of[v] for v in self.names.of}
        self.indices = [i for i in INDICES if i not in letters] or [f"i_{{{k}}}" for k in range(1, 9)]

    # --- lines ---------------------------------------------------------------------------------------------------------------

    def lines(self, name: str) -> list[str]:
        """All of it."""
        for e in self.graph.eqns:
            if any(self.uses[v] for v in e.outs):
                self.equation(e)
        head = symbol(name)
        ins = ", ".join(self.symbol(v).text for v in self.graph.ins)
        ins = ins if _signs(ins) <= MANY else r"\ldots"
        for k, a in enumerate(self.graph.outs, 1):
            if isinstance(a, Var) and a in self.names.given and a not in self.graph.ins:
                continue  # its own line says it
            f = head.indexed(str(k)) if len(self.graph.outs) > 1 else head
            self.define(Term(rf"{f.text}\left({ins}\right)", symbol=True), a)
        return self.done

    def equation(self, e: Eqn) -> None:
        """A line of its own for what has a name, is used twice, or is long."""
        if len(e.outs) > 1 or any(True for _ in subgraphs(e)):
            self.call(e)
            return
        v = e.out
        own = v in self.names.given or (self.uses[v] > 1 and not _light(e))
        if own or self.long(e):
            self.line(v)

    def long(self, e: Eqn) -> bool:
        """Is its formula long, even after its longest operand has been given a name?"""
        while _signs(self.term(e.out).text) > LONG:
            inner = [a for a in e.ins if isinstance(a, Var) and a not in self.named and _signs(self.term(a).text) > 12]
            if not inner:
                return False
            self.line(max(inner, key=lambda a: _signs(self.term(a).text)))
        return False

    def line(self, v: Var) -> None:
        """``h = ...``"""
        self.define(self.symbol(v), v)
        self.named.add(v)

    def define(self, left: Term, a: Atom) -> None:
        """One line; where the formula needs indices, the left side has them too."""
        index = self.fresh(a.type.rank) if general(self, a) else None
        self.active += index or ()
        right = (self.term(a, index) if index else self.whole(a)).at_least(RELATION + 1)
        del self.active[len(self.active) - len(index or ()) :]
        self.done.append(f"{left.indexed(self.subscript(index)).text} &= {right.text}")

    def call(self, e: Eqn) -> None:
        """An equation that holds graphs: a line for it, and one for each graph."""
        inner: list[str] = []
        for g in subgraphs(e):
            self.bodies += 1
            inner.append(rf"g_{{{self.bodies}}}")
            sub = Formulas(g)
            sub.bodies = self.bodies
            self.done += sub.tuple_lines(inner[-1])
            self.bodies = sub.bodies
        outs = [self.symbol(v).text for v in e.outs]
        self.named.update(e.outs)
        left = outs[0] if len(outs) == 1 else rf"\left({', '.join(outs)}\right)"
        word = rf"\operatorname{{{e.prim.replace('_', chr(92) + '_')}}}"
        args = ", ".join([*inner, *[self.whole(a).text for a in e.ins]])
        self.done.append(rf"{left} &= {word}\left({args}\right)")

    def tuple_lines(self, name: str) -> list[str]:
        """The lines of a graph inside an equation, its results as one tuple."""
        for e in self.graph.eqns:
            if any(self.uses[v] for v in e.outs):
                self.equation(e)
        ins = ", ".join(self.symbol(v).text for v in self.graph.ins)
        outs = [self.whole(a).text for a in self.graph.outs]
        right = outs[0] if len(outs) == 1 else rf"\left({', '.join(outs)}\right)"
        return [*[rf"\quad {x}" for x in self.done], rf"{name}\left({ins}\right) &= {right}"]

    # --- terms ---------------------------------------------------------------------------------------------------------------

    def symbol(self, v: Var) -> Term:
        """The name of a value."""
        return symbol(self.names(v))

    def fresh(self, n: int) -> Index:
        """Index letters that are not in use around here."""
        free = [i for i in self.indices if i not in self.active]
        free += [f"{i}'" for i in self.indices if f"{i}'" not in self.active]
        return tuple(free[:n])

    def term(self, a: Atom, index: Index | None = None) -> Term:
        """The formula of a value, or of its element at `index` (where ``:`` stands for a whole axis)."""
        if index is not None and all(i == ":" for i in index):
            index = None
        if isinstance(a, Lit):
            return number(a.value) if a.splat else self.constant(a).indexed(self.subscript(index))
        if a in self.named:
            return self.symbol(a).indexed(self.subscript(index))
        e = self.maker[a]
        special = TERMS.get(e.prim)
        if special is not None:
            return special(self, e, index)
        row = TABLE[e.prim]
        if row.pointwise:
            return self.noted(row.name, row.notation, row.level, [self.term(x, index) for x in e.ins], {})
        notation = row.notation or rf"\operatorname{{{{{row.name}}}}}({{*}})"
        y = self.noted(row.name, notation, row.level, [self.whole(x) for x in e.ins], e.params)
        return y.indexed(self.subscript(index))

    def subscript(self, index: Index | None) -> str:
        """Subscripts in a row, with commas where a reader would need them."""
        if not index or all(i == ":" for i in index):
            return ""
        return ("" if all(len(i) == 1 and i != ":" for i in index) else ",").join(i.replace(":", "{:}") for i in index)

    def whole(self, a: Atom) -> Term:
        """The formula of an operand that is not left to broadcasting."""
        if isinstance(a, Var) and a not in self.named and self.maker[a].prim == "spread":
            inner = self.whole(self.maker[a].ins[0])
            return Term(rf"{inner.at_least(PRODUCT).text}\,\mathbf{{1}}", PRODUCT)
        if isinstance(a, Lit) and a.splat and a.type.rank:
            if a.is_number(0) or a.is_number(1):
                return Term(rf"\mathbf{{{int(a.value.item().real)}}}")
            return Term(rf"{number(a.value).text}\,\mathbf{{1}}", PRODUCT)
        return self.term(a)

    def constant(self, a: Lit) -> Term:
        """An array: a small one in full, the identity as I, others by a name."""
        x = a.value
        if x.ndim == 2 and x.shape[0] == x.shape[1] and bool((x == np.eye(len(x))).all()):
            return Term("I", symbol=True)
        if x.size and x.ndim in (1, 2) and x.size <= 9:
            rows = x.reshape(-1, 1) if x.ndim == 1 else x
            body = r" \\ ".join(" & ".join(number(y).text for y in r) for r in rows)
            return Term(rf"\begin{{bmatrix}} {body} \end{{bmatrix}}", symbol=True)
        known = [k for k, c in enumerate(self.constants) if c is x]
        if not known:
            self.constants.append(x)
        return Term("C", sub=str(known[0] + 1 if known else len(self.constants)), symbol=True)

    def noted(self, name: str, notation: str, level: int, xs: Sequence[Term], params: Params) -> Term:
        """A row's notation with its operands put in, brackets where they are needed."""
        return noted(name, notation, level, xs, params, self.names.used)


def noted(name: str, notation: str, level: int, xs: Sequence[Term], params: Params, taken: Container[str] = ()) -> Term:
    """A row's notation with its operands put in, brackets where they are needed; `taken` are names in use."""
    if name == "exp" and "e" in taken:  # e is somebody else here
        notation, level = r"\exp\left({0}\right)", FUNCTION
    notation = notation.replace("{*}", ", ".join(f"{{{k}}}" for k in range(len(xs))))
    out, big, last = "", False, ""
    for before, field, need in holes(notation):
        if field is None:
            out += before
            last = before
            continue
        if not field.isdigit():
            out += before + str(params[field])
            continue
        x = xs[int(field)]
        y = _fitted(x, need, name, level)
        out += before.rstrip() + y.text if y is not x and need == "only" and y.base.startswith(r"\left(") else before + y.text
        big, last = y.big and need in ("right", "only"), ""
    return Term(out, level, big=big and not last)


def _fitted(x: Term, need: str, name: str, level: int) -> Term:
    """An operand in brackets if its place asks for them."""
    if need == "free":
        return x
    if need == "base":
        return x if x.symbol else x.bracketed
    if need == "indexed":
        return x if x.symbol and not x.sub else x.bracketed
    if need == "same":
        return x
    if need == "left":
        return x.bracketed if x.level < level or (x.big and level > SUM) or (level == 1 and x.level == 1) else x
    least = level if name in ("add", "mul") else level + 1
    if x.text.startswith("-") and need == "right":
        return x.bracketed
    return x if x.level >= least or (x.big and x.level >= NEGATIVE and level <= NEGATIVE) else x.bracketed


def _signs(text: str) -> int:
    """How much there is to read."""
    return len(_SIGN.sub("x", _SILENT.sub("", text)))


def _light(e: Eqn) -> bool:
    """Is it written again wherever it is used?"""
    if e.prim in ("spread", "cast"):
        return True
    a, _, out = str(e.params.get("spec", "a->")).partition("->")
    return e.prim == "contract" and len(e.ins) == 1 and len(a) == len(out)


def _uses(g: Graph) -> Counter[Var]:
    n: Counter[Var] = Counter(a for a in g.outs if isinstance(a, Var))
    for e in reversed(g.eqns):
        total = sum(n[v] for v in e.outs)
        for a in set(e.ins) if e.prim in ("mul", "add") else e.ins:
            if isinstance(a, Var) and total:
                n[a] += total if _light(e) else 1
    return n
