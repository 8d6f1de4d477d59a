"""Readable NumPy source of a graph."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from types import FunctionType
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.emit import source as s
from chainrule.emit.helpers import collect
from chainrule.emit.products import contraction, expanded, leading, reduced
from chainrule.emit.source import Expr
from chainrule.emit.statements import STATEMENTS
from chainrule.ir.graph import Array, Atom, Eqn, Graph, Lit, Var, subgraphs
from chainrule.ir.names import Names
from chainrule.ir.types import ArrayType
from chainrule.prims import TABLE

WIDTH = 64
"""An expression longer than this is given a name."""
SMALL = 8
"""Arrays of at most so many elements stand where they are used."""


def to_python(g: Graph, name: str = "f") -> str:
    """The text of a module that defines `name`, a function of arrays that does what the graph does.

    It uses NumPy (and scipy.special) only; a value that is used once stands where it is used, unless the user named it.
    """
    module = Module()
    body = Writer(g, module).function(name)
    text = "\n".join(body)
    helpers = list(module.helpers.values())
    imports = [*sorted(h for h in helpers if h.startswith("from ")), "import numpy as np"]
    imports += ["from scipy import special"] if any("special." in t for t in [text, *helpers]) else []
    head = "".join(f"{i}\n" for i in imports)
    short = "".join(f"\n{h}" for h in helpers if not h.startswith(("def ", "from ")))
    constants = (f"{short}\n" if short else "") + "".join(f"\n{c}\n" for c in module.constants)
    return "\n\n".join([head + constants, *[f"{h}\n" for h in helpers if h.startswith("def ")], f"{text}\n"])


class Module:
    """What stands before the function: arrays too long to be written in place, and helpers."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.helpers: dict[str, str] = {}
        self._named: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, x: Array) -> ast.expr:
        """A name for this array."""
        key = (x.dtype.str, x.shape, x.tobytes())
        if key not in self._named:
            self._named[key] = f"C{len(self._named) + 1}"
            self.constants.append(s.wrapped(self._named[key], ast.unparse(s.array(x))))
        return s.name(self._named[key])


class Writer:
    """Writes one function: lines of code with the type of what they define beside them."""

    def __init__(self, g: Graph, module: Module, outer: Sequence[str] = ()) -> None:
        self.graph = g
        self.module = module
        own = [f.__name__ for e in g.eqns if isinstance(f := TABLE[e.prim].value, FunctionType)]
        self.names = Names(g, [*outer, *own])
        self.uses = _uses(g)
        self.maker = {v: e for e in g.eqns for v in e.outs}
        self.env: dict[Var, Expr] = {v: Expr(s.name(self.names(v)), v.type.shape) for v in g.ins}
        self.lines: list[tuple[str, str]] = []
        self.count = ""

    # --- lines --------------------------------------------------------------------------------------------------------------

    def function(self, name: str) -> list[str]:
        """The lines of ``def name(...)``."""
        for e in self.graph.eqns:
            if any(self.uses[v] for v in e.outs):
                self.equation(e)
        result = self.result()
        types = ", ".join(str(v.type) for v in self.graph.ins)
        head = _head(name, [self.names(v) for v in self.graph.ins])
        one_line = len(head) == 1 and len(head[0]) + len(types) < 110
        lines = [f"{head[0]}  # {types}" if one_line and types else head[0], *head[1:]]
        if not one_line:
            lines += [f"    # {self.names(v)}: {v.type}" for v in self.graph.ins]
        return [*lines, *_aligned(self.lines), *[f"    {x}" for x in result]]

    def result(self) -> list[str]:
        """The lines of ``return ...``."""
        texts = [self.full(a).text for a in self.graph.outs]
        line = f"return {', '.join(texts)}" if len(texts) != 1 else f"return {texts[0]}"
        return [line] if len(line) < 110 or len(texts) < 2 else ["return (", *[f"    {t}," for t in texts], ")"]

    def line(self, code: str, comment: str = "") -> None:
        """One line of the body."""
        self.lines.append((code, comment))

    def equation(self, e: Eqn) -> None:
        """Write an equation, or keep it until it is used."""
        statement = STATEMENTS.get(e.prim)
        if statement is not None:
            statement(self, e)
            return
        if len(e.outs) > 1:
            x = self.composed(e)
            self.line(f"{', '.join(self.bind(e))} = {x.text}", ", ".join(str(v.type) for v in e.outs))
            return
        v = e.out
        self.env[v] = x = self.composed(e)
        if not x.named and (v in self.names.given or (self.uses[v] > 1 and not _view(e))):
            self.assign(v)

    def composed(self, e: Eqn) -> Expr:
        """The expression of an equation; its longest operands are given names until it is short enough."""
        while True:
            x = self.expression(e)
            long = [a for a in e.ins if isinstance(a, Var) and not self.env[a].named and len(self.env[a].text) > 12]
            if len(x.text) <= WIDTH or not long:
                return x
            self.assign(max(long, key=lambda a: len(self.env[a].text)))

    def assign(self, v: Var) -> None:
        """Give `v` a line of its own."""
        x = self.env[v]
        if x.named:
            return
        name = self.names(v)
        self.line(f"{name} = {x.text}", str(ArrayType(v.type.dtype, x.shape)))
        self.env[v] = Expr(s.name(name), x.shape)

    def assign_all(self, e: Eqn) -> None:
        """Give every operand of an equation a line of its own."""
        for a in e.ins:
            if isinstance(a, Var):
                self.assign(a)

    def expression(self, e: Eqn) -> Expr:
        """The expression of an equation, its operands put in."""
        special = EXPRESSIONS.get(e.prim)
        if special is not None:
            return special(self, e)
        row = TABLE[e.prim]
        if row.pointwise:
            xs = [self.read(a) for a in e.ins]
            shape = np.broadcast_shapes(*[x.shape for x in xs])
        else:
            xs, shape = [self.full(a) for a in e.ins], e.outs[0].type.shape
        return Expr(s.fill(self.template(e), *[x.node for x in xs], **{k: _param(p) for k, p in e.params.items()}), shape)

    def template(self, e: Eqn) -> str:
        """How a row is written; one whose parameters NumPy does not know brings its own definition."""
        row = TABLE[e.prim]
        template = row.python.replace("scipy.special.", "special.")
        template = template if "{" in template or not template else f"{template}({{*}})"
        if template and s.exists(template) and all(f"{{{k}}}" in template for k in e.params):
            return template
        if row.value is None:
            raise errors.UnknownFunctionError(f"'{row.name}' cannot be written as Python")
        name = collect(row.value, self.module.helpers)
        return f"{name}({', '.join(['{*}', *[f'{k}={{{k}}}' for k in e.params]])})"

    # --- operands -------------------------------------------------------------------------------------------------------------

    def read(self, a: Atom) -> Expr:
        """An operand whose shape may be left to NumPy's broadcasting, and its dtype to the others."""
        if isinstance(a, Var):
            return self.env[a]
        return Expr(s.number(a.value), ()) if a.splat else self.array(a.value)

    def full(self, a: Atom) -> Expr:
        """An operand with its dtype at its full shape."""
        shape = a.type.shape
        if isinstance(a, Lit):
            if not a.splat:
                return self.array(a.value)
            return Expr(s.filled(a.value, shape) if shape else s.typed(a.value), shape)
        x = self.env[a]
        return x if x.shape == shape else Expr(s.fill(f"np.broadcast_to({{0}}, {shape})", x.node), shape)

    def array(self, x: Array) -> Expr:
        """A constant array, in place if it is short."""
        node = s.pattern(x) or (s.array(x) if x.size <= SMALL else self.module.constant(x))
        return Expr(node, x.shape)

    def single(self, a: Atom, prim: str) -> Eqn | None:
        """The equation of row `prim` that made `a` for this use alone, not yet written."""
        if not isinstance(a, Var) or self.uses[a] != 1 or a in self.names.given or a not in self.maker or self.env[a].named:
            return None
        e = self.maker[a]
        return e if e.prim == prim else None

    def nested(self, g: Graph, name: str) -> str:
        """Define a function inside this one, and say what it is called."""
        name = self.names.unique(name)
        for text in ["", *Writer(g, self.module, [name]).function(name), ""]:
            self.line(text)
        return name

    def counter(self) -> str:
        """The variable that loops count with."""
        if not self.count:
            self.count = self.names.unique("t")
        return self.count

    def bind(self, e: Eqn) -> list[str]:
        """Names for the outputs of an equation."""
        found = [self.names(v) for v in e.outs]
        for v, name in zip(e.outs, found, strict=True):
            self.env[v] = Expr(s.name(name), v.type.shape)
        return found


def _uses(g: Graph) -> Counter[Var]:
    """How often each value is read; a view is read through."""
    n: Counter[Var] = Counter(a for a in g.outs if isinstance(a, Var))
    for e in reversed(g.eqns):
        total = sum(n[v] for v in e.outs)
        if total:
            weight = total if _view(e) else 2 if any(True for _ in subgraphs(e)) else 1
            for a in e.ins:
                if isinstance(a, Var):
                    n[a] += weight
    return n


def _view(e: Eqn) -> bool:
    """Is it an index or a transpose, written again wherever it is used?"""
    if e.prim == "spread":
        return True
    if e.prim != "contract" or len(e.ins) != 1:
        return False
    a, out = e.params["spec"].split("->")
    return len(a) == len(out)


def _head(name: str, ins: Sequence[str]) -> list[str]:
    line = f"def {name}({', '.join(ins)}):"
    return [line] if len(line) < 110 else [f"def {name}(", *[f"    {x}," for x in ins], "):"]


def _aligned(lines: Sequence[tuple[str, str]]) -> list[str]:
    width = min(max((len(code) for code, comment in lines if comment), default=0), WIDTH)
    return [f"    {f'{code:<{width}}  # {comment}' if comment else code}".rstrip() for code, comment in lines]


def _param(p: Any) -> str:
    if isinstance(p, np.dtype):
        return str(p.name)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return getattr(p, "__name__", "") if callable(p) else str(p)


# --- rows whose idiom depends on their parameters -------------------------------------------------------------------------------


def _contract(w: Writer, e: Eqn) -> Expr:
    return Expr(contraction(e.params["spec"], [w.full(a) for a in e.ins], e.out.type.dtype), e.out.type.shape)


def _spread(w: Writer, e: Eqn) -> Expr:
    (a,), shape, axes = e.ins, e.params["shape"], e.params["axes"]
    if isinstance(a, Lit) and a.splat:
        return w.full(Lit(a.value, ArrayType(a.type.dtype, shape)))
    x = w.env[a] if isinstance(a, Var) else w.full(a)
    if axes == tuple(range(len(axes))):
        return x
    x = w.full(a)
    return Expr(expanded(x.node, len(shape), axes), leading(len(shape), axes, shape))


def _reshape(w: Writer, e: Eqn) -> Expr:
    (a,), shape = e.ins, e.params["shape"]
    while (inner := w.single(a, "reshape")) is not None:
        a = inner.ins[0]
    old = a.type.shape
    if old == shape:
        return w.full(a)
    found = _item(w, a, shape) or _kept(w, a, shape)
    if found is not None:
        return Expr(found, shape)
    x = w.full(a)
    new = _ones(old, shape)
    if new is not None and old:
        return Expr(s.index(x.node, ["None" if k in new else ":" for k in range(len(shape))]), shape)
    text = str(shape[0]) if len(shape) == 1 else str(shape)
    method = x.primary and old and shape
    return Expr(s.fill(f"{{0}}.reshape({', '.join(map(str, shape))})" if method else f"np.reshape({{0}}, {text})", x.node), shape)


def _ones(old: s.Shape, shape: s.Shape) -> list[int] | None:
    """Where axes of size 1 have been put in, if that is all."""
    new, k = list[int](), 0
    for i, n in enumerate(shape):
        if k < len(old) and old[k] == n:
            k += 1
        elif n == 1:
            new.append(i)
        else:
            return None
    return new if k == len(old) else None


def _item(w: Writer, a: Atom, shape: s.Shape) -> ast.expr | None:
    """``x[0, 1:]`` for a slice of one element whose axis is then dropped."""
    e = w.single(a, "slice")
    if e is None:
        return None
    one = [k for k, n in enumerate(a.type.shape) if n == 1]
    if tuple(n for n in a.type.shape if n != 1) != shape:
        return None
    keys = _keys(e)
    return s.index(w.full(e.ins[0]).node, [str(e.params["start"][k]) if k in one else key for k, key in enumerate(keys)])


def _kept(w: Writer, a: Atom, shape: s.Shape) -> ast.expr | None:
    """``x.sum(axis=1, keepdims=True)``."""
    e = w.single(a, "contract")
    if e is None or len(e.ins) != 1:
        return None
    letters, out = e.params["spec"].split("->")
    if tuple(n if c in out else 1 for n, c in zip(e.ins[0].type.shape, letters, strict=True)) != shape:
        return None
    if not isinstance(a, Var) or not isinstance(w.env[a].node, ast.Call):
        return None
    call = deepcopy(w.env[a].node)
    assert isinstance(call, ast.Call)
    call.keywords.append(ast.keyword("keepdims", ast.Constant(True)))
    return call


def _keys(e: Eqn) -> list[str]:
    p = e.params
    return [s.cut(*c) for c in zip(p["start"], p["stop"], p["step"], e.ins[0].type.shape, strict=True)]


def _slice(w: Writer, e: Eqn) -> Expr:
    return Expr(s.index(w.full(e.ins[0]).node, _keys(e)), e.out.type.shape)


def _cast(w: Writer, e: Eqn) -> Expr:
    x = w.read(e.ins[0])
    dtype = s.dtype_name(e.params["dtype"])
    return Expr(s.fill(f"{{0}}.astype({dtype})" if x.primary and x.shape else f"np.asarray({{0}}, {dtype})", x.node), x.shape)


def _reduced(method: str) -> Callable[[Writer, Eqn], Expr]:
    def write(w: Writer, e: Eqn) -> Expr:
        return Expr(reduced(method, w.full(e.ins[0]), e.params["axes"], e.ins[0].type.rank), e.out.type.shape)

    return write


def _select(w: Writer, e: Eqn) -> Expr:
    xs = [w.read(a) for a in e.ins]
    if all(isinstance(a, Lit) and a.splat for a in e.ins[1:]):  # nobody else says which dtype is meant
        xs[1:] = [Expr(s.decided(a.value), ()) for a in e.ins[1:] if isinstance(a, Lit)]
    shape = np.broadcast_shapes(*[x.shape for x in xs])
    return Expr(s.fill("np.where({0}, {1}, {2})", *[x.node for x in xs]), shape)


def _concat(w: Writer, e: Eqn) -> Expr:
    axis = e.params["axis"]
    parts = [w.single(a, "reshape") for a in e.ins]
    if all(p is not None and p.ins[0].type.shape == _without(e.ins[0].type.shape, axis) for p in parts):
        xs, f = [w.full(p.ins[0]) for p in parts if p is not None], "np.stack"
    else:
        xs, f = [w.full(a) for a in e.ins], "np.concatenate"
    return Expr(s.fill(f"{f}([{{*}}]{f', axis={axis}' if axis else ''})", *[x.node for x in xs]), e.out.type.shape)


def _without(shape: s.Shape, axis: int) -> s.Shape | None:
    return (*shape[:axis], *shape[axis + 1 :]) if shape[axis] == 1 else None


def _running(function: str) -> Callable[[Writer, Eqn], Expr]:
    def write(w: Writer, e: Eqn) -> Expr:
        x, axis, t = w.full(e.ins[0]), e.params["axis"], e.out.type
        dtype = f", dtype={s.dtype_name(t.dtype)}" if t.dtype.kind in "biu" and t.dtype.itemsize < 8 else ""
        text = f"{function}({{0}}, axis={axis}{dtype})"
        if e.params["reverse"]:
            text = f"np.flip({text.replace('{0}', f'np.flip({{0}}, {axis})')}, {axis})"
        return Expr(s.fill(text, x.node), t.shape)

    return write


def key(e: Eqn, shape: s.Shape) -> str:
    """What stands between the brackets: the shared axes run along, the others are looked up."""
    lead, rank = e.params["lead"], e.ins[1].type.rank
    along: list[str] = []
    for k in range(lead):
        tail = ", ".join([":", *["None"] * (rank - k - 1)])
        along.append(f"np.arange({shape[k]})" + (f"[{tail}]" if rank > k + 1 else ""))
    return ", ".join([*along, *[f"{{{k}}}" for k in range(1, len(e.ins))]])


def _take(w: Writer, e: Eqn) -> Expr:
    xs = [w.full(a) for a in e.ins]
    return Expr(s.fill(f"{{0}}[{key(e, e.ins[0].type.shape)}]", *[x.node for x in xs]), e.out.type.shape)


EXPRESSIONS: dict[str, Callable[[Writer, Eqn], Expr]] = {
    "contract": _contract,
    "spread": _spread,
    "reshape": _reshape,
    "slice": _slice,
    "cast": _cast,
    "select": _select,
    "concat": _concat,
    "take": _take,
    "reduce_max": _reduced("max"),
    "reduce_min": _reduced("min"),
    "reduce_prod": _reduced("prod"),
    "cumsum": _running("np.cumsum"),
    "cumprod": _running("np.cumprod"),
}
"""Row -> how it is written, where that depends on its parameters; the others have a template."""
