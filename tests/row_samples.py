"""For every row of the table, small graphs of one equation and arrays to run them on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.build.builder import Builder
from chainrule.build.row import Row
from chainrule.ir.graph import Graph
from chainrule.ir.types import ArrayType, type_of
from chainrule.prims import TABLE

F, I = np.float64, np.int64


class Sample(NamedTuple):
    """A graph and arguments for it."""

    row: str
    graph: Graph
    args: list[Any]


def _body(f: Any, *types: ArrayType) -> Graph:
    with Builder().here() as b:
        outs = f(*[b.input(t) for t in types])
        return b.finish(outs if isinstance(outs, tuple) else (outs,))


def _f(*shape: int) -> ArrayType:
    return ArrayType(np.dtype(F), shape)


SQUARE = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])
_SCALAR, _PAIR = _f(), _f(2)

# Shapes of the operands (or arrays themselves) and parameters of rows that are not elementwise.
STRUCTURED: dict[str, Sequence[tuple[Sequence[Any], dict[str, Any]]]] = {
    "contract": [
        ((s[0],) if "," not in spec else s, {"spec": spec})
        for spec, *s in [
            ("ab->", (2, 3)), ("ab->a", (2, 3)), ("ab->b", (2, 3)), ("ab->ba", (2, 3)), ("abc->ca", (2, 3, 4)), ("abc->acb", (2, 3, 4)),
            ("abc->bac", (2, 3, 4)), ("a->a", (3,)), ("->", ()), ("abc->c", (2, 3, 4)), ("abc->cba", (2, 3, 4)),
            ("i,i->", (3,), (3,)), ("ij,j->i", (2, 3), (3,)), ("ij,i->j", (2, 3), (2,)), ("j,ij->i", (3,), (2, 3)),
            ("ij,jk->ik", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("ji,jk->ik", (3, 2), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)),
            ("i,j->ij", (2,), (3,)), ("i,j->ji", (2,), (3,)), ("ij,j->ij", (2, 3), (3,)), ("ij,i->ij", (2, 3), (2,)), ("i,ij->ji", (2,), (2, 3)),
            ("ij,ij->", (2, 3), (2, 3)), ("ij,ij->i", (2, 3), (2, 3)), ("ij,ji->", (2, 3), (3, 2)), ("ij,ij->ij", (2, 3), (2, 3)),
            ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("bij,jk->bik", (2, 3, 4), (4, 5)), ("bij,j->bi", (2, 3, 4), (4,)), ("bij,kj->bik", (2, 3, 4), (5, 4)),
            ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)), ("bji,bjk->bik", (2, 4, 3), (2, 4, 5)), ("bij,bj->bi", (2, 3, 4), (2, 4)), ("bcij,bcjk->bcik", (2, 3, 2, 4), (2, 3, 4, 2)),
            ("ij,jk->i", (2, 3), (3, 4)), ("ijk,ilk->jl", (2, 3, 4), (2, 5, 4)), ("i,->i", (3,), ()), (",->", (), ()), ("bi,ij->bj", (2, 3), (3, 4)),
            ("a,b->", (2,), (3,)), ("ij,kij->k", (2, 3), (4, 2, 3)), ("Zi,ij->Zj", (4, 2), (2, 3)), ("ij,Zj->Zi", (2, 3), (4, 3)),
        ]
    ],
    "spread": [
        ([(3,)], {"shape": (2, 3), "axes": (0,)}), ([(2,)], {"shape": (2, 3), "axes": (1,)}), ([(3,)], {"shape": (2, 3, 4), "axes": (0, 2)}),
        ([()], {"shape": (2, 3), "axes": (0, 1)}), ([(2, 4)], {"shape": (2, 3, 4), "axes": (1,)}),
    ],
    "reshape": [([(2, 3)], {"shape": s}) for s in [(6,), (3, 2), (1, 2, 3), (2, 1, 3), (2, 3, 1)]] + [([()], {"shape": (1, 1)}), ([(1,)], {"shape": ()})],
    "slice": [
        ([(5, 4)], {"start": (1, 0), "stop": (5, 2), "step": (1, 1)}), ([(5, 4)], {"start": (0, 0), "stop": (5, 4), "step": (2, 1)}),
        ([(5, 4)], {"start": (0, 1), "stop": (5, 3), "step": (1, 1)}), ([(5,)], {"start": (2,), "stop": (2,), "step": (1,)}),
    ],
    "pad": [
        ([(2, 3)], {"low": (1, 0), "high": (0, 2), "interior": (0, 1)}), ([(2,)], {"low": (0,), "high": (3,), "interior": (0,)}),
        ([()], {"low": (), "high": (), "interior": ()}),
    ],
    "flip": [([(2, 3)], {"axes": (0,)}), ([(2, 3)], {"axes": (0, 1)})],
    "concat": [([(2, 3), (1, 3)], {"axis": 0}), ([(2, 3), (2, 1), (2, 2)], {"axis": 1})],
    "cumsum": [([(2, 3)], {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)],
    "cumprod": [([(2, 3)], {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)],
    "cummax": [([(2, 3)], {"axis": 1})],
    "cummin": [([(2, 3)], {"axis": 0})],
    "record": [([(2, 3)], {"axis": a}) for a in (0, 1)] + [([(4,)], {"axis": 0})],
    "recur": [([(2, 3), (2, 3)], {"axis": a, "reverse": r}) for a in (0, 1) for r in (False, True)],
    "reduce_max": [([(2, 3)], {"axes": (1,)}), ([(2, 3)], {"axes": (0, 1)})],
    "reduce_min": [([(2, 3)], {"axes": (0,)})],
    "reduce_prod": [([(2, 3)], {"axes": (1,)})],
    "argmax": [([(2, 3)], {"axis": 1})],
    "argmin": [([(2, 3)], {"axis": 0})],
    "argsort": [([(2, 3)], {"axis": 1})],
    "searchsorted": [([np.array([0.0, 1.0, 2.0]), (4,)], {"side": "left"}), ([np.array([[0.0, 1.0], [0.5, 2.0]]), (2, 3)], {"side": "right"})],
    "take": [
        ([(4, 3), np.array([0, 2, -1])], {"lead": 0}), ([(4, 3), np.array([[0], [3]]), np.array([[1], [2]])], {"lead": 0}),
        ([(2, 3), np.array([[0, 2, 1, 1], [1, 1, 0, 2]])], {"lead": 1}), ([(2, 3, 4), np.zeros((2, 3, 1), I)], {"lead": 2}),
    ],
    "scatter_add": [
        ([(3, 2), np.array([0, 2, 0])], {"lead": 0, "sizes": (4,)}), ([(3,), np.array([0, 1, 0]), np.array([1, 1, 1])], {"lead": 0, "sizes": (2, 2)}),
        ([(2, 3), np.array([[0, 2, 0], [1, 1, 3]])], {"lead": 1, "sizes": (4,)}),
    ],
    "cast": [([(2, 3)], {"dtype": np.dtype(np.float32)}), ([()], {"dtype": np.dtype(I)})],
    "cond": [
        ([np.array(p), ()], {"branches": (_body(lambda x: x + x, _SCALAR), _body(lambda x: TABLE["exp"](x), _SCALAR))}) for p in (True, False)
    ],
    "while": [
        ([(), np.array(3.0)], {
            "test": _body(lambda x: TABLE["lt"](x, TABLE["exp"](x) * 0 + 50), _SCALAR), "test_consts": 0,
            "body": _body(lambda c, x: x + TABLE["square"](c), _SCALAR, _SCALAR), "body_consts": 1,
        })
    ],
    "scan": [
        ([(), (2,), (4, 2)], {
            "body": _body(lambda c, h, x: (TABLE["tanh"](h + x), TABLE["contract"](h, x, spec="i,i->") * c), _SCALAR, _PAIR, _PAIR),
            "consts": 1, "carry": 1, "length": 4, "reverse": r,
        })
        for r in (False, True)
    ],
    "solve": [([SQUARE, (3, 2)], {})],
    "inv": [([SQUARE], {})],
    "det": [([SQUARE], {})],
    "slogdet": [([SQUARE], {})],
    "adjugate": [([SQUARE], {})],
    "adjugate_slope": [([SQUARE, (3, 3)], {})],
    "cholesky": [([SQUARE], {})],
    "eigh": [([SQUARE], {})],
    "qr": [([(4, 3)], {})],
    "svd": [([(4, 3)], {})],
    "pinv": [([(4, 3)], {"rcond": None})],
    "lstsq": [([(4, 3), (4, 2)], {"rcond": None})],
    "matrix_rank": [([(4, 3)], {"tol": None})],
    "random_bits": [([np.array([7, 9], np.uint32)], {"shape": (3,)}), ([np.array([7, 9], np.uint32)], {"shape": (2, 2)})],
    **{name: [([(2,)], {"body": _body(lambda x: TABLE["exp"](x) + x, _PAIR), "rule": None, "forward": None, "backward": None})]
       for name in ("checkpoint", "custom_jvp", "custom_vjp")},
}  # fmt: skip
WITHOUT = {"pulled"}
"""Rows that have no value of their own."""


def samples() -> Iterator[Sample]:
    """Every row at least once."""
    rng = np.random.default_rng(0)
    for name, row in TABLE.items():
        if name in WITHOUT:
            continue
        if name in STRUCTURED:
            for shapes, params in STRUCTURED[name]:
                args = [x if isinstance(x, np.ndarray) else rng.uniform(0.2, 0.9, x) for x in shapes]
                yield Sample(name, graph_of(row, args, params), args)
        else:
            args = operands(row, rng)
            yield Sample(name, graph_of(row, args, {}), args)


def graph_of(row: Row, args: Sequence[Any], params: dict[str, Any]) -> Graph:
    """The graph of one equation."""
    with Builder().here() as b:
        return b.finish(row.all(*[b.input(type_of(np.asarray(x))) for x in args], **params))


def operands(row: Row, rng: np.random.Generator) -> list[Any]:
    """Arrays from the domain of an elementwise row."""
    floats = [_inside(row.on[k] if k < len(row.on) else None, rng) for k in range(row.arity)]
    if row.name == "select":
        return [floats[0] > 0, *floats[1:]]
    for dtype in (F, I, np.bool_):
        args = [x.astype(dtype) if dtype is not I else rng.integers(1, 5, x.shape) for x in floats]
        try:
            assert row.value is not None
            row.value(*args)
        except TypeError:
            continue
        return args
    raise AssertionError(f"no sample for the row {row.name}")


def _inside(on: Any, rng: np.random.Generator) -> Any:
    low = max(on.low, -2.0) if on is not None else -2.0
    high = min(on.high, max(low + 2.0, 2.0)) if on is not None else 2.0
    return low + (high - low) * rng.uniform(0.1, 0.9, (2, 3))
