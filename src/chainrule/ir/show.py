"""The text of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.ir.graph import Atom, Graph, Lit, Var
from chainrule.ir.types import short


def number_text(x: Any) -> str:
    """A constant as short as it can be read back."""
    return repr(x.item()) if x.dtype.kind != "f" else f"{x.item():.17g}" if float(f"{x.item():.6g}") != x.item() else f"{x.item():g}"


def lit_text(a: Lit) -> str:
    """``2`` for a number, ``f64[5,3]{...}`` for an array."""
    return number_text(a.value) if a.splat else f"{a.type}{{...}}"


def letters() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    k = 0
    while True:
        text, n = "", k
        while True:
            text = chr(97 + n % 26) + text
            n = n // 26 - 1
            if n < 0:
                break
        yield text
        k += 1


def _param_text(p: Any) -> str:
    if isinstance(p, Graph):
        return "graph"
    if isinstance(p, np.dtype):
        return short(p)
    if callable(p):
        return getattr(p, "__name__", "function")
    return str(p)


def show(g: Graph) -> str:
    """One line per equation, the user's line beside it; graphs inside an equation are indented below it."""
    return "\n".join(_lines(g, ""))


def _lines(g: Graph, pad: str) -> Iterator[str]:
    names: dict[Var, str] = {}
    fresh = letters()

    def name(a: Atom) -> str:
        if isinstance(a, Lit):
            return lit_text(a)
        if a not in names:
            names[a] = next(fresh)
        return names[a]

    head = ", ".join(f"{name(v)}: {v.type}" + (f" = {v.hint}" if v.hint else "") for v in g.ins)
    yield f"{pad}graph({head}):"
    for e in g.eqns:
        ins = " ".join(map(name, e.ins))
        params = ", ".join(f"{k}={_param_text(p)}" for k, p in e.params.items() if not isinstance(p, Graph))
        outs = ", ".join(f"{name(v)}: {v.type}" for v in e.outs)
        text = f"{pad}  {outs} = {e.prim}{f'[{params}]' if params else ''} {ins}".rstrip()
        yield text if e.where is None else f"{text:<60}  # {e.where}"
        for k, p in e.params.items():
            if isinstance(p, Graph):
                yield f"{pad}    {k}:"
                yield from _lines(p, pad + "      ")
            elif isinstance(p, tuple) and p and isinstance(p[0], Graph):
                for q in p:  # pyright: ignore[reportUnknownVariableType]
                    yield f"{pad}    {k}:"
                    yield from _lines(q, pad + "      ")  # pyright: ignore[reportUnknownArgumentType]
    yield f"{pad}  return {', '.join(map(name, g.outs))}"
