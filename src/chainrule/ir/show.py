"""The text of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.ir.graph import Atom, Eqn, Graph, Lit
from chainrule.ir.names import Names
from chainrule.ir.types import short


def number_text(x: Any) -> str:
    """A number as short as it can be read back: ``2`` for 2.0, ``0.1`` for a float32 too."""
    return str(np.asarray(x)[()]).removesuffix(".0")


def lit_text(a: Lit) -> str:
    """``2`` for a number, ``f64[5,3]{...}`` for an array."""
    return number_text(a.value) if a.splat else f"{a.type}{{...}}"


def param_text(p: Any) -> str:
    """A parameter of an equation in a few words."""
    if isinstance(p, np.dtype):
        return short(np.dtype(p))  # pyright: ignore[reportUnknownArgumentType]
    if callable(p):
        return getattr(p, "__name__", "function")
    return str(p)


def graphs_in(e: Eqn) -> Iterator[tuple[str, Graph]]:
    """The graphs an equation carries, by the name of the parameter."""
    for k, p in e.params.items():
        if isinstance(p, Graph):
            yield k, p
        elif isinstance(p, tuple):
            yield from ((k, q) for q in p if isinstance(q, Graph))  # pyright: ignore[reportUnknownVariableType]


def show(g: Graph) -> str:
    """One line per equation, the user's line beside it; graphs inside an equation are indented below it."""
    return "\n".join(_lines(g, ""))


def _lines(g: Graph, pad: str) -> Iterator[str]:
    names = Names(g)

    def name(a: Atom) -> str:
        return lit_text(a) if isinstance(a, Lit) else names(a)

    yield f"{pad}graph({', '.join(f'{name(v)}: {v.type}' for v in g.ins)}):"
    for e in g.eqns:
        inner = list(graphs_in(e))
        params = ", ".join(f"{k}={param_text(p)}" for k, p in e.params.items() if k not in dict(inner))
        outs = ", ".join(f"{name(v)}: {v.type}" for v in e.outs)
        text = f"{pad}  {outs} = {e.prim}{f'[{params}]' if params else ''} {' '.join(map(name, e.ins))}".rstrip()
        yield text if e.where is None else f"{text:<60}  # {e.where}"
        for k, q in inner:
            yield f"{pad}    {k}:"
            yield from _lines(q, pad + "      ")
    yield f"{pad}  return {', '.join(map(name, g.outs))}"
