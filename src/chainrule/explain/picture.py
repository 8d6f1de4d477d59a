"""The picture of a derivation: its program with forward values and backward sensitivities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.explain.instances import arguments, instances
from chainrule.explain.sizes import TRIED
from chainrule.graphs import Graph
from chainrule.ir.graph import Graph as IrGraph
from chainrule.ir.graph import Var
from chainrule.transform.simplify import simplify
from chainrule.transform.vjp import vjp

if TYPE_CHECKING:
    from chainrule.explain.derive import Derivation


def example_sizes(d: Derivation) -> dict[str, int]:
    """Small sizes, all different."""
    return dict(zip(d.problem.sizes, [3, 4, 2, *TRIED], strict=False))


def whole_graph(d: Derivation) -> Graph:
    """(arguments..., sensitivity of the result) -> (value, derivatives...)"""
    return Graph.of(d.problem.placed(simplify(vjp(d.problem.trace(example_sizes(d)), d.problem.wrt))))


def picture(d: Derivation) -> str:
    """The forward program; values beside the nodes, sensitivities as bars."""
    sizes = example_sizes(d)
    xs = d.problem.example
    if xs is None or any(np.shape(x) != d.problem.shape(k, sizes) for k, x in enumerate(xs)):
        xs = arguments(d.problem, sizes, np.random.default_rng(0))
    if xs is None:
        sizes, xs = instances(d.problem, 1)[0]
    g = d.problem.placed(simplify(d.problem.trace(sizes)))
    values = _values(g, xs)
    shown = {v: x for v, x in values.items() if np.size(x) == 1}
    return Graph.of(g).to_svg(shown, _sensitivities(g, values), f"{d.function_name}: values forward, sensitivities backward")


def _values(g: IrGraph, xs: Any) -> dict[Var, Any]:
    from chainrule.emit.numpy import Program

    every = [v for e in g.eqns for v in e.outs]
    program = Program(IrGraph(g.ins, g.eqns, tuple(every)), [np.shape(x) for x in xs])
    with np.errstate(all="ignore"):
        found = program(*[np.asarray(x, v.type.dtype) for x, v in zip(xs, g.ins, strict=True)])
    return {**dict(zip(g.ins, xs, strict=True)), **dict(zip(every, found, strict=True))}


def _sensitivities(g: IrGraph, values: dict[Var, Any]) -> dict[Var, float]:
    """Norm of the derivative of the result with respect to every value: the program is cut at each in turn."""
    from chainrule.emit.numpy import Program

    out: dict[Var, float] = {}
    result = g.outs[0]
    if result.type.shape != ():
        return out
    for v in values:
        if not v.type.inexact:
            continue
        eqns = tuple(e for e in g.eqns if v not in e.outs)
        ins = (v, *[w for w in g.ins if w is not v])
        cut = IrGraph(ins, eqns, g.outs) if len(eqns) == len(g.eqns) or len(_maker(g, v)) == 1 else None
        if cut is None:
            continue
        back = vjp(cut, [0])
        program = Program(back, [np.shape(values[w]) for w in ins] + [()])
        with np.errstate(all="ignore"):
            found = program(*[np.asarray(values[w]) for w in ins], np.ones((), result.type.dtype))
        out[v] = float(np.linalg.norm(np.asarray(found[1])))
    return out


def _maker(g: IrGraph, v: Var) -> tuple[Var, ...]:
    return next((e.outs for e in g.eqns if v in e.outs), (v,))
