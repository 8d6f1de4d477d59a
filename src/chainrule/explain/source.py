"""NumPy source of formulas: `value(...)` and `gradient(...)` that run without chainrule, at every size."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.emit import source as s
from chainrule.emit.helpers import collect
from chainrule.emit.products import transposed
from chainrule.explain import nodes as nd
from chainrule.explain.nodes import Node
from chainrule.explain.sizes import Linear, Monomial
from chainrule.prims import TABLE

WIDTH = 118
Axes = frozenset[int]
NONE: Axes = frozenset()


class Code:
    """An expression and which axes of its value it has (the others are left to broadcasting)."""

    __slots__ = ("axes", "node")

    def __init__(self, node: ast.expr, axes: Axes) -> None:
        self.node = node
        self.axes = axes


def every(x: Node) -> Axes:
    """All axes."""
    return frozenset(range(x.rank))


class Printer:
    """Writes trees as NumPy expressions; `sizes` are the names of the variables that hold sizes."""

    def __init__(self, sizes: dict[str, str]) -> None:
        self.sizes = sizes
        self.used: set[str] = set()
        self.helpers: dict[str, str] = {}
        self.constants: list[tuple[str, Any]] = []

    def full(self, x: Node) -> ast.expr:
        """The value at its full shape."""
        c = self.loose(x)
        if c.axes == every(x):
            return c.node
        return s.fill(f"np.full({self.shape(x)}, {{0}})", c.node)

    def loose(self, x: Node) -> Code:
        """The value, perhaps smaller where broadcasting will do the rest."""
        return WRITE[type(x)](self, x)

    def shape(self, x: Node) -> str:
        """The shape as source."""
        parts = [ast.unparse(self.monomial(m)) for m in x.sizes]
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"

    # --- numbers ---------------------------------------------------------------------------------------------------------

    def linear(self, base: Linear) -> ast.expr:
        """A sum of sizes."""
        text = ""
        for name, k in base[0]:
            self.used.add(name)
            part = self.sizes[name] if abs(k) == 1 else f"{abs(k)} * {self.sizes[name]}"
            text += (" - " if k < 0 else " + ") + part if text else ("-" if k < 0 else "") + part
        if base[1]:
            text += f" {'-' if base[1] < 0 else '+'} {abs(base[1])}"
        return s.fill(text)

    def split(self, m: Monomial) -> tuple[list[ast.expr], list[ast.expr]]:
        """Factors above and below the line."""
        top, bottom = list[ast.expr](), list[ast.expr]()
        n = m.number
        if isinstance(n, Fraction) and n.denominator != 1 and (len(str(n.denominator)) > 2 or float(n) in (0.5, 0.25, 0.1)) and not m.powers:
            top.append(s.number(np.float64(float(n))))
        elif isinstance(n, Fraction):
            if n.numerator != 1:
                top.append(s.number(np.int64(n.numerator)))
            if n.denominator != 1:
                bottom.append(s.number(np.int64(n.denominator)))
        else:
            top.append(s.number(np.float64(n)))
        for base, p in m.powers:
            e, q = self.linear(base), abs(p)
            if q == Fraction(1, 2):
                e = s.fill("np.sqrt({0})", e)
            elif q != 1:
                e = s.fill(f"{{0}}**{q.numerator if q.denominator == 1 else float(q)}", e)
            (top if p > 0 else bottom).append(e)
        return top, bottom

    def monomial(self, m: Monomial) -> ast.expr:
        """A number or a formula of sizes."""
        top, bottom = self.split(m)
        if m.number == 0:
            return s.fill("0.0")
        return quotient(top, bottom)


def quotient(top: Sequence[ast.expr], bottom: Sequence[ast.expr]) -> ast.expr:
    """``a * b / (c * d)``"""
    out = _times(top) if top else s.fill("1")
    return s.fill("{0} / {1}", out, _times(bottom)) if bottom else out


def negative(x: ast.expr) -> ast.expr:
    """``-a * b`` rather than ``-(a * b)``."""
    if isinstance(x, ast.BinOp) and isinstance(x.op, ast.Mult | ast.Div | ast.MatMult):
        return ast.BinOp(negative(x.left), x.op, x.right)
    if isinstance(x, ast.Constant) and isinstance(x.value, int | float):
        return ast.Constant(-x.value)
    return s.fill("-{0}", x)


def _times(xs: Sequence[ast.expr]) -> ast.expr:
    out = xs[0]
    for x in xs[1:]:
        out = s.fill("{0} * {1}", out, x)
    return out


# --- nodes ----------------------------------------------------------------------------------------------------------------------


def _name(p: Printer, x: Any) -> Code:
    return Code(s.name(x.name), every(x))


def _literal(p: Printer, x: Any) -> Code:
    if x.value.size <= 8:
        return Code(s.array(x.value), every(x))
    name = next((k for k, y in p.constants if y is x.value), f"C{len(p.constants) + 1}")
    if all(k != name for k, _ in p.constants):
        p.constants.append((name, x.value))
    return Code(s.name(name), every(x))


def _num(p: Printer, x: Any) -> Code:
    return Code(p.monomial(x.m), NONE)


def _total(p: Printer, x: Any) -> Code:
    out: ast.expr | None = None
    axes = NONE
    for sign, part in x.parts:
        c = p.loose(part)
        axes |= c.axes
        if out is None:
            out = c.node if sign > 0 else negative(c.node)
        else:
            out = s.fill("{0} + {1}" if sign > 0 else "{0} - {1}", out, c.node)
    assert out is not None
    return Code(out, axes)


def _scaled(p: Printer, x: Any) -> Code:
    if x.m.number == 0:
        return Code(s.fill("0.0"), NONE)
    if x.m.number < 0:
        c = _scaled(p, nd.Scaled(x.sizes, -x.m, x.top, x.bottom, x.body))
        return Code(negative(c.node), c.axes)
    top, bottom = p.split(x.m)
    top += [p.full(f) for f in x.top]
    bottom += [p.full(f) for f in x.bottom]
    if x.body is None:
        return Code(quotient(top, bottom), NONE)
    body = p.loose(x.body)
    if not top:
        return Code(s.fill("{0} / {1}", body.node, _times(bottom)), body.axes)
    return Code(s.fill("{0} * {1}", quotient(top, bottom), body.node), body.axes)


def _turn(p: Printer, x: Any) -> Code:
    if x.x.rank == 1:
        return p.loose(x.x)
    c = p.loose(x.x)
    if c.axes == every(x):
        return Code(transposed(c.node, (1, 0)), c.axes)
    return Code(transposed(p.full(x.x), (1, 0)), every(x))


def _had(p: Printer, x: Any) -> Code:
    axes = NONE
    out: ast.expr | None = None
    for f in x.top:
        c = p.loose(f)
        axes |= c.axes
        out = c.node if out is None else s.fill("{0} * {1}", out, c.node)
    below: list[ast.expr] = []
    for f in x.bottom:
        c = p.loose(f)
        axes |= c.axes
        below.append(c.node)
    return Code(quotient([out] if out is not None else [], below), axes)


def _power(p: Printer, x: Any) -> Code:
    c, q = p.loose(x.x), x.p
    if q == Fraction(1, 2):
        return Code(s.fill("np.sqrt({0})", c.node), c.axes)
    if q == -1:
        return Code(s.fill("1 / {0}", c.node), c.axes)
    return Code(s.fill(f"{{0}}**{q.numerator if q.denominator == 1 else float(q)}", c.node), c.axes)


_LOGISTIC = "special.log_expit({0})"


def _func(p: Printer, x: Any) -> Code:
    found = _log_logistic(p, x)
    if found is not None:
        return found
    codes = [p.loose(a) for a in x.args]
    axes = frozenset[int]().union(*[c.axes for c in codes])
    if any(c.axes != axes and c.axes for c in codes):
        codes = [Code(p.full(a), every(a)) for a in x.args]
        axes = every(x)
    return Code(_filled(p, x.row, [c.node for c in codes], x.rank), axes)


def _filled(p: Printer, name: str, xs: Sequence[ast.expr], rank: int) -> ast.expr:
    row = TABLE[name]
    template = row.python.replace("scipy.special.", "special.")
    template = template if "{" in template or not template else f"{template}({{*}})"
    if not template or not s.exists(template):
        if row.value is None:
            raise errors.NoFormulaError(f"'{name}' cannot be written as NumPy source.")
        template = f"{collect(row.value, p.helpers)}({{*}})"
    out = s.fill(template, *xs)
    if name in ("gt", "lt", "ge", "le", "eq", "ne", "invert", "bitand", "bitor"):
        return s.fill("({0}).astype(float)" if rank else "float({0})", out)
    return out


def _log_logistic(p: Printer, x: Any) -> Code | None:
    """log sigma(x) and log(1 - sigma(x)) without loss of digits."""
    if x.row != "log":
        return None
    (a,) = x.args
    if isinstance(a, nd.Func) and a.row == "expit":
        c = p.loose(a.args[0])
        return Code(s.fill(_LOGISTIC, c.node), c.axes)
    if isinstance(a, nd.Total) and len(a.parts) == 2:
        (one, first), (minus, second) = a.parts
        whole = isinstance(first, nd.Num) and first.m.one and one > 0
        if whole and minus < 0 and isinstance(second, nd.Func) and second.row == "expit":
            c = p.loose(second.args[0])
            return Code(s.fill(_LOGISTIC, s.fill("-{0}", c.node)), c.axes)
    return None


def _call(p: Printer, x: Any) -> Code:
    xs = [p.full(a) for a in x.args]
    special = CALLS.get(x.prim)
    if special is not None:
        return Code(special(p, x, xs), every(x))
    row = TABLE[x.prim]
    params = {k: _param(p, q) for k, q in x.params}
    template = row.python.replace("scipy.special.", "special.")
    template = template if "{" in template or not template else f"{template}({{*}})"
    if template and s.exists(template) and all(f"{{{k}}}" in template for k in params):
        out = s.fill(template, *xs, **params)
    else:
        if row.value is None:
            raise errors.NoFormulaError(f"'{x.prim}' cannot be written as NumPy source.")
        name = collect(row.value, p.helpers)
        out = s.fill(f"{name}({', '.join(['{*}', *[f'{k}={{{k}}}' for k in params]])})", *xs, **params)
    return Code(s.fill(f"{{0}}[{x.output}]", out) if x.output else out, every(x))


def _param(p: Printer, q: Any) -> str:
    if isinstance(q, Monomial):
        return ast.unparse(p.monomial(q))
    if isinstance(q, tuple):
        inner = [_param(p, r) for r in q]  # pyright: ignore[reportUnknownVariableType]
        return f"({', '.join(inner)}{',' if len(inner) == 1 else ''})"
    return f"np.{q.name}" if isinstance(q, np.dtype) else repr(q)


def _axis(x: Any) -> str:
    axes = dict(x.params)["axes"]
    whole = x.args[0].rank == len(axes)
    return "" if whole and len(axes) != 1 else f", axis={axes[0] if len(axes) == 1 else axes}" if not whole else ""


def _slice(p: Printer, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    q, keys = dict(x.params), list[str]()
    for start, stop, step, size in zip(q["start"], q["stop"], q["step"], x.args[0].sizes, strict=True):
        a = "" if start.number == 0 else ast.unparse(p.monomial(start))
        b = "" if stop == size else ast.unparse(p.monomial(stop))
        keys.append(f"{a}:{b}" if step.one else f"{a}:{b}:{ast.unparse(p.monomial(step))}")
    return s.index(xs[0], keys)


def _sign_log_det(p: Printer, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    return s.fill(f"np.linalg.slogdet({{0}})[{x.output}]", xs[0])


CALLS: dict[str, Callable[[Printer, Any, Sequence[ast.expr]], ast.expr]] = {
    "inv": lambda p, x, xs: s.fill("np.linalg.inv({0})", xs[0]),
    "softmax": lambda p, x, xs: s.fill(f"special.softmax({{0}}{_axis(x)})", xs[0]),
    "logsumexp": lambda p, x, xs: s.fill(f"special.logsumexp({{0}}{_axis(x)})", xs[0]),
    "reduce_max": lambda p, x, xs: s.fill(f"np.max({{0}}{_axis(x)})", xs[0]),
    "reduce_min": lambda p, x, xs: s.fill(f"np.min({{0}}{_axis(x)})", xs[0]),
    "reduce_prod": lambda p, x, xs: s.fill(f"np.prod({{0}}{_axis(x)})", xs[0]),
    "slogdet": _sign_log_det,
    "slice": _slice,
    "reshape": lambda p, x, xs: s.fill(f"np.reshape({{0}}, {p.shape(x) if x.rank != 0 else '()'})", xs[0]),
    "concat": lambda p, x, xs: s.fill(f"np.concatenate([{{*}}], axis={_param(p, dict(x.params)['axis'])})", *xs),
}


def _diag(p: Printer, x: Any) -> Code:
    return Code(s.fill("np.diag({0})", p.full(x.x)), every(x))


def _trace(p: Printer, x: Any) -> Code:
    return Code(s.fill("np.trace({0})", p.full(x.x)), NONE)


def _norm(p: Printer, x: Any) -> Code:
    inner = p.full(x.x)
    if x.p == 2:
        return Code(s.fill("np.sum({0}**2)", inner), NONE)
    out = s.fill("np.linalg.norm({0})", inner) if x.x.rank <= 2 else s.fill("np.sqrt(np.sum({0}**2))", inner)
    return Code(out if x.p == 1 else s.fill(f"{{0}}**{x.p}", out), NONE)


def _ones(p: Printer, x: Any) -> Code:
    return Code(s.fill(f"np.ones({p.shape(x)})"), every(x))


def _eye(p: Printer, x: Any) -> Code:
    return Code(s.fill(f"np.eye({ast.unparse(p.monomial(x.sizes[0]))})"), every(x))


def _einsum(p: Printer, x: Any) -> Code:
    xs = [p.full(q.x) if q.p == 1 else s.fill(f"{{0}}**{_exponent(q.p)}", p.full(q.x)) for q in x.pieces]
    letters = [q.letters for q in x.pieces]
    extent = dict(x.extent)
    for c in x.out:
        if not any(c in a for a in letters):
            letters.append(c)
            xs.append(s.fill(f"np.ones({ast.unparse(p.monomial(extent[c]))})"))
    if len(xs) == 1 and letters[0] == x.out:
        return Code(xs[0], every(x))
    return Code(s.fill(f"np.einsum('{','.join(letters)}->{x.out}', {{*}})", *xs), every(x))


def _exponent(p: Fraction) -> str:
    text = str(p.numerator) if p.denominator == 1 else str(float(p))
    return f"({text})" if text.startswith("-") else text


# --- matrix products --------------------------------------------------------------------------------------------------------------


def _row(f: Node) -> bool:
    return isinstance(f, nd.Turn) and f.x.rank == 1


def _chain(p: Printer, x: Any) -> Code:
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
        return Code(s.fill("{0} @ {1}", p.full(first.x), acc), NONE)
    if _row(fs[0]):
        return Code(_rows(p, fs), frozenset({1}))
    acc = p.full(fs[0]) if not isinstance(fs[0], nd.Diag) else None
    start = 1
    if acc is None:
        assert isinstance(fs[0], nd.Diag)
        acc = s.fill("{0}[:, None] * {1}", p.full(fs[0].x), p.full(fs[1]))
        start = 2
    elif _inverse(fs[0]) is not None:
        acc = s.fill("np.linalg.solve({0}, {1})", _inverse_of(p, fs[0]), _product(p, fs[1:], nd.Chain((fs[1].sizes[0], x.sizes[1]), tuple(fs[1:]))).node if len(fs) > 2 else p.full(fs[1]))
        return Code(acc, every(x))
    for f in fs[start:]:
        acc = _times_diagonal(p, acc, f.x) if isinstance(f, nd.Diag) else s.fill("{0} @ {1}", acc, p.full(f))
    return Code(acc, every(x))


def _times_diagonal(p: Printer, acc: ast.expr, d: Node) -> ast.expr:
    """Columns times the elements of a vector."""
    if isinstance(d, nd.Had) and not d.top:
        return s.fill("{0} / {1}", acc, _times([p.loose(f).node for f in d.bottom]))
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
    else:
        acc, rest = p.full(first.x), fs[1:]
    for f in rest:
        acc = s.fill("{0} * {1}", acc, p.full(f.x)) if isinstance(f, nd.Diag) else s.fill("{0} @ {1}", acc, p.full(f))
    return acc


def _summed(x: ast.expr, axis: str) -> ast.expr:
    if isinstance(x, ast.Name):
        return s.fill(f"{{0}}.sum({axis})", x)
    return s.fill(f"np.sum({{0}}{', ' if axis else ''}{axis})", x)


WRITE: dict[type[Node], Callable[[Printer, Any], Code]] = {
    nd.Name: _name, nd.Literal: _literal, nd.Num: _num, nd.Total: _total, nd.Scaled: _scaled, nd.Turn: _turn, nd.Chain: _chain,
    nd.Had: _had, nd.Power: _power, nd.Func: _func, nd.Call: _call, nd.Diag: _diag, nd.DiagOf: _diag, nd.Trace: _trace,
    nd.Norm: _norm, nd.Ones: _ones, nd.Eye: _eye, nd.Einsum: _einsum,
}  # fmt: skip
