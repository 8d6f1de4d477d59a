"""Derivatives from values alone: difference quotients with an error estimate, and the complex step.

They are witnesses: they know nothing of how a derivative was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.ir.graph import Eqn, Graph, Lit
from chainrule.prims import TABLE

Function = Callable[[float], Any]
EPS = float(np.finfo(np.float64).eps)


class Quotient(NamedTuple):
    """A derivative, and how far off it may be."""

    value: Any
    error: float


def along(f: Function, scale: float = 1.0, levels: int = 6) -> Quotient:
    r"""f'(0) by central differences, extrapolated (Richardson 1911; Ridders 1982).

    The steps are scale * 2^-2, 2^-3, ...; each column of the table removes the next even power of the step. The error is the
    distance of the best entry from its neighbours, plus what rounding of f adds.

    Args:
        f: a function of one number, with a number or an array as its value.
        scale: how far one may go from 0 before f is another function.
        levels: how many steps are tried.

    Returns:
        The entry of the table with the least error estimate, and that estimate.
    """
    h = scale / 4
    table: list[list[Any]] = []
    noise = 0.0
    best = Quotient(np.nan, np.inf)
    for k in range(levels):
        up, down = np.asarray(f(h), float), np.asarray(f(-h), float)
        row = [(up - down) / (2 * h)]
        noise = EPS * float(np.max(np.abs(up) + np.abs(down), initial=0.0)) / h
        for j in range(1, k + 1):
            row.append(row[j - 1] + (row[j - 1] - table[k - 1][j - 1]) / (4.0**j - 1))
            gap = max(_size(row[j] - row[j - 1]), _size(row[j] - table[k - 1][j - 1])) + 4 * noise
            if gap < best.error:
                best = Quotient(row[j], gap)
        table.append(row)
        h /= 2
    return best


def _size(x: Any) -> float:
    y = float(np.max(np.abs(x), initial=0.0))
    return y if np.isfinite(y) else np.inf


def gradient(f: Callable[[Any], float], x: Any) -> Quotient:
    """The partial derivatives of f at x one by one, and an error estimate for each.

    Steps are relative to the element, to the largest element and to 1: which of them suits f shows in the error.
    """
    x = np.asarray(x, float)
    value, error = np.zeros(x.shape), np.zeros(x.shape)
    largest = float(np.max(np.abs(x), initial=0.0))
    for k in np.ndindex(*x.shape):
        tries: list[Quotient] = []
        for size in {s for s in (abs(float(x[k])), largest, 1.0) if s > 0}:

            def moved(t: float, k: tuple[int, ...] = k, scale: float = 0.1 * size) -> float:
                y = x.copy()
                y[k] += t * scale
                return f(y)

            q = along(moved)
            tries.append(Quotient(q.value / (0.1 * size), q.error / (0.1 * size)))
        value[k], error[k] = min(tries, key=lambda q: q.error)
    return Quotient(value, error)  # pyright: ignore[reportArgumentType]


def imaginary(f: Callable[[complex], Any], h: float = 1e-30) -> Any:
    """Im f(ih) / h: exact to rounding where f is analytic (Squire and Trapp 1998), and wrong without warning where it is not."""
    return np.imag(f(1j * h)) / h


def _plus(x: Any) -> Any:
    return np.where(np.real(x) < 0, -x, x)


def _logistic(x: Any) -> Any:
    small = np.exp(-_plus(x))
    return np.where(np.real(x) < 0, small / (1 + small), 1 / (1 + small))


def _logaddexp(x: Any, y: Any) -> Any:
    return np.where(np.real(x) > np.real(y), x, y) + np.log1p(np.exp(-_plus(x - y)))


def _pick(x: Any, y: Any, first: Any) -> Any:
    return np.where(np.real(x) == np.real(y), (x + y) / 2, np.where(first, x, y))


def _extreme(pick: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, *, axes: tuple[int, ...]) -> Any:
        at = np.real(x) == pick(np.real(x), axis=axes, keepdims=True)
        return np.sum(np.where(at, x, 0), axis=axes) / np.sum(at, axis=axes)

    return run


def _cast(x: Any, dtype: Any) -> Any:
    return x if np.dtype(dtype).kind == "f" else np.real(x).astype(dtype)


_ANALYTIC = frozenset(
    [
        "add",
        "sub",
        "neg",
        "mul",
        "div",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "log2",
        "log10",
        "sqrt",
        "square",
        "reciprocal",
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
        "contract",
        "spread",
        "reshape",
        "slice",
        "pad",
        "flip",
        "concat",
        "cumsum",
        "take",
        "scatter_add",
        "cumprod",
        "reduce_prod",
        "recur",
        "pow",
    ]
)
_DECIDED = frozenset(
    [
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "isnan",
        "isinf",
        "isfinite",
        "signbit",
        "argsort",
        "argmax",
        "argmin",
        "record",
        "sign",
        "floor",
        "ceil",
        "rint",
        "trunc",
    ]
)
_MEANT: dict[str, Callable[..., Any]] = {
    "abs": _plus,
    "maximum": lambda x, y: _pick(x, y, np.real(x) > np.real(y)),
    "minimum": lambda x, y: _pick(x, y, np.real(x) < np.real(y)),
    "reduce_max": _extreme(np.max),
    "reduce_min": _extreme(np.min),
    "select": lambda c, x, y: np.where(c, x, y),
    "cast": _cast,
    "expit": _logistic,
    "logaddexp": _logaddexp,
    "hypot": lambda x, y: np.sqrt(x * x + y * y),
}
"""Rows that are analytic piece by piece: the piece is chosen by real parts."""


def complex_step(g: Graph, xs: Sequence[Any], tangents: Sequence[Any], h: float = 1e-30) -> float:
    """The derivative of the one output of a graph along `tangents`, by running the graph on complex numbers.

    Each row is known to be analytic, or is replaced by what it means there; any other raises TypeError.
    """
    env: dict[Any, Any] = {
        v: np.asarray(x) if not np.any(d) else np.asarray(x, float) + 1j * h * np.asarray(d, float)
        for v, x, d in zip(g.ins, xs, tangents, strict=True)
    }

    def value(a: Any) -> Any:
        return np.broadcast_to(a.value if isinstance(a, Lit) else env[a], a.type.shape)

    with np.errstate(all="ignore"):
        for e in g.eqns:
            y = _row(e, [value(a) for a in e.ins])
            env.update(zip(e.outs, y if isinstance(y, tuple) else (y,), strict=True))
    return float(np.imag(value(g.outs[0])) / h)


def _row(e: Eqn, ins: Sequence[Any]) -> Any:
    value = TABLE[e.prim].value
    if not any(np.iscomplexobj(x) for x in ins):
        if value is None:
            raise TypeError(f"'{e.prim}' holds graphs")
        return value(*ins, **e.params)
    if e.prim in _MEANT:
        return _MEANT[e.prim](*ins, **e.params)
    if e.prim in _DECIDED and value is not None:
        return value(*[np.real(x) for x in ins], **e.params)
    if e.prim not in _ANALYTIC or value is None or (e.prim == "pow" and np.any(np.real(ins[0]) <= 0)):
        raise TypeError(f"'{e.prim}' is not known to be analytic")
    return value(*ins, **e.params)
