# ruff: noqa: E501 -- tables
"""Which vector function computes which elementwise row, for each kind of number, and which rows are left to NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from chainrule.build.builder import Builder
from chainrule.ir.graph import Array, Atom, Eqn, Graph, Lit, subgraphs
from chainrule.ir.types import ArrayType
from chainrule.prims import TABLE
from chainrule.prims.control import RULES

__all__ = ["DTYPES", "expanded", "graphs_of", "is_identity", "operation", "survey", "why_numpy"]

DTYPES = ("float64", "float32", "int64", "int32", "bool", "uint32", "uint64", "uint8", "int8", "int16", "uint16")
"""The dtypes that programs may have."""
INLINED = ("checkpoint", "custom_jvp", "custom_vjp", "pulled")
"""Rows that are one function of their operands."""

_ANY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "neg": "negative", "square": "square", "eq": "equal", "ne": "not_equal",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "maximum": "maximum", "minimum": "minimum",
    "abs": "absolute", "select": "where", "stop_gradient": "positive",
}  # fmt: skip
_FLOAT = _ANY | {
    "div": "divide", "reciprocal": "reciprocal", "sqrt": "sqrt", "sign": "sign", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "rint": "rint", "isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite", "signbit": "signbit", "copysign": "copysign",
    "fmod": "fmod", "remainder": "remainder", "floordiv": "floor_divide", "pow": "power", "expit": "sigmoid",
    **{n: n for n in (
        "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "cbrt", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
        "tanh", "arcsinh", "arccosh", "arctanh", "arctan2", "logaddexp", "erf", "erfc", "ndtr", "log_ndtr",
    )},
}  # fmt: skip
_INTEGER = _ANY | {
    "sign": "sign", "bitand": "bitwise_and", "bitor": "bitwise_or", "bitxor": "bitwise_xor", "invert": "invert", "lshift": "left_shift",
    "rshift": "right_shift", "floordiv": "floor_divide", "remainder": "remainder", "floor": "positive", "ceil": "positive",
    "trunc": "positive", "rint": "positive",
}  # fmt: skip
_UNSIGNED = {k: v for k, v in _INTEGER.items() if k not in ("sign", "floordiv", "remainder")} | {
    "lt": "unsigned_less", "le": "unsigned_less_equal", "gt": "unsigned_greater", "ge": "unsigned_greater_equal",
    "maximum": "unsigned_maximum", "minimum": "unsigned_minimum", "abs": "positive", "rshift": "unsigned_right_shift",
}  # fmt: skip
_BOOL = {
    "add": "logical_or", "mul": "logical_and", "maximum": "logical_or", "minimum": "logical_and", "eq": "equal", "ne": "not_equal",
    "lt": "unsigned_less", "le": "unsigned_less_equal", "gt": "unsigned_greater", "ge": "unsigned_greater_equal", "select": "where",
    "bitand": "logical_and", "bitor": "logical_or", "bitxor": "logical_xor", "invert": "logical_not", "stop_gradient": "positive",
    "abs": "positive",
}  # fmt: skip
_TABLES = {"f": _FLOAT, "i": _INTEGER, "u": _UNSIGNED, "b": _BOOL}


def is_identity(a: Array) -> bool:
    """Is it an identity matrix? A product with one is not computed; the code depends on it, and so does its key."""
    return a.ndim == 2 and a.shape[0] == a.shape[1] > 1 and bool(np.array_equal(a, np.eye(a.shape[0])))


LOWERED = frozenset(
    [
        "cast",
        "contract",
        "spread",
        "reshape",
        "slice",
        "pad",
        "flip",
        "concat",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "record",
        "recur",
        "reduce_max",
        "reduce_min",
        "reduce_prod",
        "take",
        "scatter_add",
        "argmax",
        "argmin",
        "random_bits",
        "scan",
        "cond",
        "while",
        "checkpoint",
        "custom_jvp",
        "custom_vjp",
        "pulled",
    ]
)
"""Rows that are not elementwise and have a lowering."""


def promoted(e: Eqn) -> tuple[ArrayType, ...]:
    """Types of the operands as NumPy's loop has them: integers become the float that the result is."""
    out = e.outs[0].type.dtype
    return tuple(
        [
            ArrayType(out, a.type.shape) if out.kind == "f" and a.type.dtype.kind in "iub" and e.prim != "select" else a.type
            for a in e.ins
        ]
    )


def operation(prim: str, types: Sequence[ArrayType]) -> str | None:
    """The vector function of an elementwise row on these operands, if there is one."""
    kind = types[-1].dtype.kind
    if any(t.dtype.name not in DTYPES for t in types):
        return None
    return _TABLES.get(kind, {}).get(prim)


@lru_cache(maxsize=1024)
def expanded(prim: str, types: tuple[ArrayType, ...]) -> Graph | None:
    """A row without a vector function, written out in rows that have one."""
    expansion = TABLE[prim].expansion
    if expansion is None or types[0].dtype.kind != "f":
        return None
    with Builder().here() as b:
        g = b.finish([expansion(*[b.input(t) for t in types])])
    return g if all(why_numpy(e) is None for e in g.eqns) else None


def why_numpy(e: Eqn) -> str | None:
    """Why an equation is left to the numpy engine, or None if machine code is made for it."""
    row, types = TABLE[e.prim], tuple([a.type for a in e.ins])
    if e.prim in ("reduce_max", "reduce_min", "argmax", "argmin", "cummax", "cummin") and types[0].dtype.kind == "u":
        return f"{e.prim} of unsigned integers has no machine code"
    if e.prim in LOWERED:
        return None
    if not row.pointwise:
        return f"{e.prim} has no machine code"
    wide = promoted(e)
    if operation(e.prim, wide) is not None or expanded(e.prim, wide) is not None:
        return None
    return f"{e.prim} has no vector function for {types[0].dtype}"


def graphs_of(e: Eqn) -> Iterator[Graph]:
    """The graphs that an equation runs."""
    if e.prim in INLINED:
        graph = RULES[e.prim].graph
        assert graph is not None
        yield graph(e.params)
    elif e.prim in ("scan", "cond", "while"):
        yield from subgraphs(e)


class Survey:
    """What a graph needs from outside: its array constants, the equations left to NumPy, and its dtypes."""

    def __init__(self, g: Graph):
        self.constants: list[Lit] = []
        self.calls: list[tuple[Eqn, str]] = []
        self.constant_numbers: dict[int, int] = {}
        self.call_numbers: dict[int, int] = {}
        self.inner: dict[int, list[Graph]] = {}
        self.dtypes: set[str] = {v.type.dtype.name for v in g.ins}
        self._walk(g)

    def _walk(self, g: Graph) -> None:
        for e in g.eqns:
            for a in e.ins:
                self._constant(a)
            self.dtypes.update(v.type.dtype.name for v in e.outs)
            why = why_numpy(e)
            if why is not None and id(e) not in self.call_numbers:
                self.call_numbers[id(e)] = len(self.calls)
                self.calls.append((e, why))
            if why is None:
                self.inner[id(e)] = list(graphs_of(e))
                for inner in self.inner[id(e)]:
                    self._walk(inner)
        for a in g.outs:
            self._constant(a)

    def _constant(self, a: Atom) -> None:
        if isinstance(a, Lit):
            self.dtypes.add(a.type.dtype.name)
            if not a.splat and id(a.value) not in self.constant_numbers:
                self.constant_numbers[id(a.value)] = len(self.constants)
                self.constants.append(a)


survey = Survey
