"""For every row of the table, operands from its domain, away from its kinks, at which its laws are checked.

Elementwise rows get theirs from the column `on`; the others from `row_samples.STRUCTURED`.  A row with neither is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from chainrule.build.row import Interval, Row
from chainrule.ir.graph import Array
from row_samples import STRUCTURED

Unit = Callable[[tuple[int, ...]], Array]
"""Shape -> numbers between 0 and 1."""


class Sample(NamedTuple):
    """Operands, parameters, and the operands with respect to which the row has a derivative."""

    args: list[Any]
    params: dict[str, Any]
    wrt: list[int]


def numbers(unit: Unit, shape: tuple[int, ...], on: Interval, slot: int = 0) -> Array:
    """Numbers of this interval; no integers, none near its ends, and never nearly equal in different slots."""
    low, width = [(0.15, 0.2), (0.6, 0.25), (0.4, 0.15)][slot]
    u = unit(shape)
    if np.isfinite(on.low) and np.isfinite(on.high):
        return on.low + (on.high - on.low) * (0.1 + 0.8 * u)
    cell = np.floor(2.999 * u)
    x = cell + low + width * (2.999 * u - cell)
    if np.isfinite(on.low) or np.isfinite(on.high):
        return on.low + x if np.isfinite(on.low) else on.high - x
    return np.where(unit(shape) < 0.5, -x, x)


def _floats(row: Row, unit: Unit, shape: tuple[int, ...]) -> list[Array]:
    return [numbers(unit, shape, on, k) for k, on in enumerate(row.on)]


def _modulo(unit: Unit, shape: tuple[int, ...]) -> list[Array]:
    y = np.where(unit(shape) < 0.5, -1, 1) * (0.5 + 2 * unit(shape))
    return [(np.floor(7 * unit(shape)) - 3 + 0.2 + 0.6 * unit(shape)) * y, y]


def _integers(n: int, low: int = -20, high: int = 20) -> Callable[[Unit, tuple[int, ...]], list[Array]]:
    return lambda unit, shape: [(low + np.floor((high - low) * unit(shape))).astype(np.int64) for _ in range(n)]


def _complex(unit: Unit, shape: tuple[int, ...]) -> list[Array]:
    return [unit(shape) * 4 - 2 + 1j * unit(shape)]


POINTWISE: dict[str, tuple[Callable[[Unit, tuple[int, ...]], list[Array]], list[int]]] = {
    **dict.fromkeys(("remainder", "fmod", "floordiv"), (_modulo, [0, 1])),
    **dict.fromkeys(("bitand", "bitor", "bitxor"), (_integers(2), list[int]())),
    **dict.fromkeys(("lshift", "rshift"), (_integers(2, 0, 10), list[int]())),
    "invert": (_integers(1), []),
    **dict.fromkeys(("conj", "real", "imag"), (_complex, list[int]())),
    "select": (lambda u, s: [u(s) < 0.5, 4 * u(s) - 2, 4 * u(s) - 2], [1, 2]),
}
"""Rows whose operands are more than numbers of an interval each."""

ORDERS = {"zeta": [1], "riemann_zeta": [], "hyp1f1": [2], "iv": [1], "ive": [1], "incomplete_gamma_slope": [1]}
"""Arguments with a derivative, of functions that have one with respect to some only."""
TWICE = {"gammaincinv": [1]}
"""Arguments with a second derivative, where these are fewer."""


def _negative_base(unit: Unit, shape: tuple[int, ...]) -> list[Array]:
    return [-0.5 - 2 * unit(shape), np.floor(7 * unit(shape)) - 3]


MORE: dict[str, list[Callable[[Unit], Sample]]] = {
    "pow": [
        lambda u: Sample(_negative_base(u, (3,)), {}, [0]),
        lambda u: Sample([np.zeros(4), np.array([1.0, 2.0, 3.0, 4.0])], {}, [0]),
    ],
    "heaviside": [lambda u: Sample([np.zeros(3), u((3,))], {}, [1])],
    "xlogy": [lambda u: Sample([np.zeros(3), 0.5 + u((3,))], {}, [0, 1])],
    "xlog1py": [lambda u: Sample([np.zeros(3), u((3,)) - 0.5], {}, [0, 1])],
    "logaddexp": [lambda u: Sample([u((3,)), np.array([-np.inf, 0.5, 40.0])], {}, [0])],
    "log_ndtr": [lambda u: Sample([np.array([-30.0, -8.0, 5.0])], {}, [0])],
    "arctan2": [lambda u: Sample([0.2 + u((3,)), np.zeros(3)], {}, [0, 1])],
    "digamma": [lambda u: Sample([np.array([-0.5, -1.3])], {}, [0])],
    "gamma": [lambda u: Sample([np.array([-0.5, -1.3])], {}, [0])],
    **{name: [lambda u: Sample([np.zeros(1)], {}, [0])] for name in ("i0", "i1", "exprel", "expit", "tanh", "erf", "square")},
    "cast": [lambda u: Sample([u((2, 3))], {"dtype": np.dtype(np.float64)}, [0])],
}
"""Samples besides the ordinary ones."""

BY_HAND = {"custom_jvp", "custom_vjp", "pulled"}
"""Rows whose derivative is whatever their user says it is."""
FORWARD_ONLY = {"while"}

TALL = np.array([[2.0, 0.3, 0.1], [0.4, -1.0, 0.2], [0.1, 0.5, 0.6], [-0.3, 0.2, 1.1]])
"""Of full rank, with singular values that are well apart."""

# Twelve steps of 4 from 3 pass 50 by 1, so that no small change of the operands changes the number of steps.
OWN: dict[str, list[tuple[list[Any], dict[str, Any]]]] = {
    **{name: [([TALL], STRUCTURED[name][0][1])] for name in ("qr", "svd", "pinv") if name in STRUCTURED},
    **{name: [([TALL, (4, 2)], STRUCTURED[name][0][1])] for name in ("lstsq",) if name in STRUCTURED},
    "while": [([np.array(2.0), np.array(3.0)], STRUCTURED["while"][0][1])],
}
"""Samples in place of those of STRUCTURED, where a derivative needs others than a value."""


def apart(unit: Unit, shape: tuple[int, ...]) -> Array:
    """Numbers from 0.2 upwards of which no two are nearer than 0.1, in any order: no ties among extremes."""
    u = unit(shape)
    rank = np.argsort(np.argsort(u, axis=None, kind="stable")).reshape(shape)
    return 0.2 + 0.15 * (rank + 0.3 * u)


def samples(row: Row, unit: Unit, shape: tuple[int, ...] = (5,)) -> Iterator[Sample]:
    """Some operands for this row."""
    if row.name in STRUCTURED:
        for operands, params in OWN.get(row.name, STRUCTURED[row.name]):
            args = [x if isinstance(x, np.ndarray) else apart(unit, x) for x in operands]
            yield Sample(args, params, [k for k, x in enumerate(args) if x.dtype.kind == "f"])
    elif row.name in POINTWISE:
        make, wrt = POINTWISE[row.name]
        yield Sample(make(unit, shape), {}, wrt)
    elif row.pointwise and row.value is not None:
        on = row.on or (Interval(-np.inf, np.inf),) * row.arity
        args = [numbers(unit, shape, i, k) for k, i in enumerate(on)]
        yield Sample(args, {}, ORDERS.get(row.name, list(range(len(args)))))
    else:
        raise LookupError(f"the row {row.name!r} has no samples: add some to STRUCTURED in tests/row_samples.py")
    for more in MORE.get(row.name, ()):
        yield more(unit)
