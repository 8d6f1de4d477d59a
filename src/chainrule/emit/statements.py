"""Rows that take more than an expression in Python: loops, branches, calls, and arrays that are filled step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chainrule import errors
from chainrule.emit import source as s
from chainrule.ir.graph import Atom, Eqn, Graph, Lit
from chainrule.ir.types import ArrayType

if TYPE_CHECKING:
    from chainrule.emit.python import Writer


def _empty(function: str, t: ArrayType) -> str:
    dtype = "" if t.dtype.name == "float64" else f", dtype=np.{t.dtype.name}"
    return f"{function}({t.shape[0] if t.rank == 1 else t.shape}{dtype})"


def _axis(axis: int, item: str) -> str:
    """An index of one axis: ``[:, 1:]``."""
    return f"[{', '.join([*[':'] * axis, item])}]"


# --- arrays filled step by step ----------------------------------------------------------------------------------------------


def _pad(w: Writer, e: Eqn) -> None:
    (a,), t, p = e.ins, e.out.type, e.params
    sizes = zip(p["low"], a.type.shape, p["interior"], t.shape, strict=True)
    keys = [s.cut(i, i + (n - 1) * (k + 1) + 1 if n else i, k + 1, m) for i, n, k, m in sizes]
    item = w.single(a, "reshape")
    if item is not None and item.ins[0].type.shape == tuple(n for n in a.type.shape if n != 1):
        keys = [str(i) if n == 1 else key for i, n, key in zip(p["low"], a.type.shape, keys, strict=True)]
        a = item.ins[0]
    x = w.full(a)
    (name,) = w.bind(e)
    w.line(f"{name} = {_empty('np.zeros', t)}", str(t))
    w.line(f"{name}[{', '.join(keys) or '()'}] = {x.text}")


def _scatter_add(w: Writer, e: Eqn) -> None:
    from chainrule.emit.python import key

    xs = [w.full(a) for a in e.ins]
    where = key(e, e.out.type.shape).format(*[x.text for x in xs])
    (name,) = w.bind(e)
    w.line(f"{name} = {_empty('np.zeros', e.out.type)}", str(e.out.type))
    where = f"({where})" if len(e.ins) > 2 or e.params["lead"] else where
    w.line(f"np.add.at({name}, {where}, {xs[0].text})")


def _recur(w: Writer, e: Eqn) -> None:
    """y[k] = a[k] y[k - 1] + b[k]"""
    w.assign_all(e)
    a, b = [w.full(x).text for x in e.ins]
    axis: int = e.params["axis"]
    n = e.out.type.shape[axis]
    (y,) = w.bind(e)
    k = w.counter()
    steps, before = (f"range({n - 2}, -1, -1)", f"{k} + 1") if e.params["reverse"] else (f"range(1, {n})", f"{k} - 1")
    w.line(f"{y} = np.array({b})", str(e.out.type))
    w.line(f"for {k} in {steps}:")
    w.line(f"    {y}{_axis(axis, k)} += {a}{_axis(axis, k)} * {y}{_axis(axis, before)}")


def _record(w: Writer, e: Eqn) -> None:
    """Where the running extreme last changed."""
    w.assign_all(e)
    (a,), axis, shape = e.ins, e.params["axis"], e.out.type.shape
    x = w.full(a).text
    (y,) = w.bind(e)
    later, earlier = _axis(axis, "1:"), _axis(axis, ":-1")
    behind = len(shape) - axis - 1
    count = f"np.arange(1, {shape[axis]})" + (f"[{', '.join([':', *['None'] * behind])}]" if behind else "")
    w.line(f"{y} = {_empty('np.zeros', e.out.type)}", str(e.out.type))
    w.line(f"{y}{later} = np.where({x}{later} != {x}{earlier}, {count}, 0)")
    w.line(f"{y} = np.maximum.accumulate({y}, {axis})")


def _searchsorted(w: Writer, e: Eqn) -> None:
    w.assign_all(e)
    a, v = [w.full(x).text for x in e.ins]
    (y,) = w.bind(e)
    side = "" if e.params["side"] == "left" else f", {e.params['side']!r}"
    lead = e.ins[0].type.shape[:-1]
    if not lead:
        w.line(f"{y} = np.asarray(np.searchsorted({a}, {v}{side}))", str(e.out.type))
        return
    w.line(f"{y} = {_empty('np.empty', e.out.type)}", str(e.out.type))
    k = w.counter()
    w.line(f"for {k} in np.ndindex{lead}:")
    w.line(f"    {y}[{k}] = np.searchsorted({a}[{k}], {v}[{k}]{side})")


# --- rows that hold graphs ----------------------------------------------------------------------------------------------------


def _call(function: str, args: list[str]) -> str:
    return f"{function}({', '.join(args)})"


def _body(w: Writer, e: Eqn) -> None:
    body: Graph = e.params["body"]
    f = w.nested(body, "inner")
    args = [w.full(a).text for a in e.ins]
    w.line(f"{', '.join(w.bind(e))} = {_call(f, args)}", ", ".join(str(v.type) for v in e.outs))


def _cond(w: Writer, e: Eqn) -> None:
    yes, no = [w.nested(g, name) for g, name in zip(e.params["branches"], ("yes", "no"), strict=True)]
    p, *xs = [w.full(a).text for a in e.ins]
    w.line(f"{', '.join(w.bind(e))} = {_call(yes, xs)} if {p} else {_call(no, xs)}", ", ".join(str(v.type) for v in e.outs))


def _while(w: Writer, e: Eqn) -> None:
    test, body = w.nested(e.params["test"], "test"), w.nested(e.params["body"], "step")
    a, b = e.params["test_consts"], e.params["body_consts"]
    args = [w.full(x).text for x in e.ins]
    carry = w.bind(e)
    for name, x, v in zip(carry, args[a + b :], e.outs, strict=True):
        w.line(f"{name} = {x}", str(v.type))
    w.line(f"while {_call(test, [*args[:a], *carry])}:")
    w.line(f"    {', '.join(carry)} = {_call(body, [*args[a : a + b], *carry])}")


def _scan(w: Writer, e: Eqn) -> None:
    p = e.params
    c, k, n = p["consts"], p["carry"], p["length"]
    w.assign_all(e)
    step = w.nested(p["body"], "step")
    args = [w.full(a).text for a in e.ins]
    outs = w.bind(e)
    carry, ys = outs[:k], outs[k:]
    t = w.counter()
    for name, x, v in zip(carry, args[c : c + k], e.outs, strict=False):
        w.line(f"{name} = {x}", str(v.type))
    for name, v in zip(ys, e.outs[k:], strict=True):
        w.line(f"{name} = {_empty('np.empty', v.type)}", str(v.type))
    w.line(f"for {t} in {f'reversed(range({n}))' if p.get('reverse') else f'range({n})'}:")
    targets = ", ".join([*carry, *[f"{y}[{t}]" for y in ys]])
    items = [_item(w, a, x, t) for a, x in zip(e.ins[c + k :], args[c + k :], strict=True)]
    w.line(f"    {targets} = {_call(step, [*args[:c], *carry, *items])}")


def _item(w: Writer, a: Atom, x: str, t: str) -> str:
    """One element of a sequence."""
    if isinstance(a, Lit) and a.splat:
        return w.full(Lit(a.value, ArrayType(a.type.dtype, a.type.shape[1:]))).text
    return f"{x}[{t}]"


def _pulled(w: Writer, e: Eqn) -> None:
    raise errors.NotDifferentiableError("the derivative of a custom_vjp function is known backwards only: it has no source")


STATEMENTS: dict[str, Callable[[Writer, Eqn], None]] = {
    "pad": _pad,
    "scatter_add": _scatter_add,
    "recur": _recur,
    "record": _record,
    "searchsorted": _searchsorted,
    "scan": _scan,
    "cond": _cond,
    "while": _while,
    "checkpoint": _body,
    "custom_jvp": _body,
    "custom_vjp": _body,
    "pulled": _pulled,
}
"""Row -> the lines it is written as."""
