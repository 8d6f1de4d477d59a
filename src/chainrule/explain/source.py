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
from chainrule.explain.fragments import NONE, Code, every, negative, quotient, times
from chainrule.explain.matmul import chain_code
from chainrule.explain.nodes import Node
from chainrule.explain.sizes import Linear, Monomial
from chainrule.prims import TABLE

WIDTH = 118


class Printer:
    """Writes trees as NumPy expressions; `sizes` are the names of the variables that hold sizes, `renamed` of some arguments."""

    def __init__(self, sizes: dict[str, str], renamed: dict[str, str] | None = None) -> None:
        self.sizes = sizes
        self.renamed = renamed or {}
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
        if (
            isinstance(n, Fraction)
            and n.denominator != 1
            and (len(str(n.denominator)) > 2 or float(n) in (0.5, 0.25, 0.1))
            and not m.powers
        ):
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

    def whole(self, m: Monomial) -> str:
        """A whole number or a size as text."""
        if m.plain:
            return str(int(m.number))
        return ast.unparse(self.monomial(m))

    def monomial(self, m: Monomial) -> ast.expr:
        """A number or a formula of sizes."""
        top, bottom = self.split(m)
        if m.number == 0:
            return s.fill("0.0")
        return quotient(top, bottom)


# --- nodes --------------------------------------------------------------------------------------------------------------------


def _name(p: Printer, x: Any) -> Code:
    return Code(s.name(p.renamed.get(x.name) or x.name), every(x))


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
        return Code(s.fill("{0} / {1}", body.node, times(bottom)), body.axes)
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
    return Code(s.fill(f"{{0}}[{x.output}]", out) if x.prim in _SEVERAL else out, every(x))


_SEVERAL = ("eigh", "qr", "svd")
"""Functions that give several arrays."""


def _param(p: Printer, q: Any) -> str:
    if isinstance(q, Monomial):
        return p.whole(q)
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
        a = "" if start.number == 0 else p.whole(start)
        b = "" if stop == size else p.whole(stop)
        keys.append(f"{a}:{b}" if step.one else f"{a}:{b}:{p.whole(step)}")
    return s.index(xs[0], keys)


def _sign_log_det(p: Printer, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    return s.fill(f"np.linalg.slogdet({{0}})[{x.output}]", xs[0])


_DILATED = """def padded(x, low, high, interior):
    shape = [a + n + max(n - 1, 0) * k + b for n, a, b, k in zip(x.shape, low, high, interior)]
    y = np.zeros(shape)
    y[tuple(slice(a, a + (n - 1) * (k + 1) + 1, k + 1) for n, a, k in zip(x.shape, low, interior))] = x
    return y"""


def _running(p: Printer, function: str, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    q = dict(x.params)
    axis = p.whole(q["axis"])
    text = f"{function}({{0}}, axis={axis})" if x.rank > 1 else f"{function}({{0}})"
    if q["reverse"]:
        text = f"np.flip({text.replace('{0}', f'np.flip({{0}}, {axis})')}, {axis})"
    return s.fill(text, xs[0])


def _taken(p: Printer, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    if dict(x.params)["lead"].number:
        raise errors.NoFormulaError("indexing along shared axes cannot be written as NumPy source here.")
    return s.fill(f"{{0}}[{', '.join(f'{{{k}}}' for k in range(1, len(xs)))}]", *xs)


_SCATTERED = """def scattered(x, sizes, *indices):
    y = np.zeros((*sizes, *x.shape[indices[0].ndim :]))
    np.add.at(y, indices, x)
    return y"""


def _scattered(p: Printer, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    q = dict(x.params)
    if q["lead"].number:
        raise errors.NoFormulaError("indexing along shared axes cannot be written as NumPy source here.")
    p.helpers["scattered"] = _SCATTERED
    return s.fill(f"scattered({{0}}, {_param(p, q['sizes'])}, {', '.join(f'{{{k}}}' for k in range(1, len(xs)))})", *xs)


def _pad(p: Printer, x: Any, xs: Sequence[ast.expr]) -> ast.expr:
    q = dict(x.params)
    low, high = [[p.whole(m) for m in q[k]] for k in ("low", "high")]
    if all(m.number == 0 for m in q["interior"]):
        return s.fill(f"np.pad({{0}}, [{', '.join(f'({a}, {b})' for a, b in zip(low, high, strict=True))}])", xs[0])
    p.helpers["padded"] = _DILATED
    inner = [p.whole(m) for m in q["interior"]]
    return s.fill(f"padded({{0}}, [{', '.join(low)}], [{', '.join(high)}], [{', '.join(inner)}])", xs[0])


CALLS: dict[str, Callable[[Printer, Any, Sequence[ast.expr]], ast.expr]] = {
    "inv": lambda p, x, xs: s.fill("np.linalg.inv({0})", xs[0]),
    "softmax": lambda p, x, xs: s.fill(f"special.softmax({{0}}{_axis(x)})", xs[0]),
    "logsumexp": lambda p, x, xs: s.fill(f"special.logsumexp({{0}}{_axis(x)})", xs[0]),
    "reduce_max": lambda p, x, xs: s.fill(f"np.max({{0}}{_axis(x)})", xs[0]),
    "reduce_min": lambda p, x, xs: s.fill(f"np.min({{0}}{_axis(x)})", xs[0]),
    "reduce_prod": lambda p, x, xs: s.fill(f"np.prod({{0}}{_axis(x)})", xs[0]),
    "slogdet": _sign_log_det,
    "slice": _slice,
    "pad": _pad,
    "take": lambda p, x, xs: _taken(p, x, xs),
    "cumsum": lambda p, x, xs: _running(p, "np.cumsum", x, xs),
    "cumprod": lambda p, x, xs: _running(p, "np.cumprod", x, xs),
    "flip": lambda p, x, xs: s.fill(f"np.flip({{0}}, axis={_param(p, dict(x.params)['axes'])})", xs[0]),
    "scatter_add": lambda p, x, xs: _scattered(p, x, xs),
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


def _unit(p: Printer, x: Any) -> Code:
    return Code(s.fill(f"np.eye({ast.unparse(p.monomial(x.sizes[0]))})[{x.place}]"), every(x))


def _known(p: Printer, x: Any) -> Code:
    n = ast.unparse(p.monomial(x.sizes[0]))
    return Code(s.fill(f"np.tri({n}, k=-1)" if x.kind == "below" else f"np.arange({n})"), every(x))


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


WRITE: dict[type[Node], Callable[[Printer, Any], Code]] = {
    nd.Name: _name, nd.Literal: _literal, nd.Num: _num, nd.Total: _total, nd.Scaled: _scaled, nd.Turn: _turn, nd.Chain: chain_code,
    nd.Had: _had, nd.Power: _power, nd.Func: _func, nd.Call: _call, nd.Diag: _diag, nd.DiagOf: _diag, nd.Trace: _trace,
    nd.Norm: _norm, nd.Ones: _ones, nd.Eye: _eye, nd.Unit: _unit, nd.Known: _known, nd.Einsum: _einsum,
}  # fmt: skip
