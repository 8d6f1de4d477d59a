"""The right numbers in the wrong places: transposed, flattened, not summed, not spread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from chainrule.ir.graph import Array

Shape = tuple[int, ...]


class Fix(NamedTuple):
    """How a claimed array is brought into place, None where that does not apply, and what to say."""

    name: str
    apply: Callable[[Array, Shape], Array | None]
    message: str
    correction: str


def fixes(claim: Shape, wanted: Shape, name: str) -> Iterator[Fix]:
    """What could have been done to the axes of the gradient for `name`, simple things first."""
    d = f"d{name}"
    have = f"The gradient for {name} has shape {claim}; {name} has shape {wanted}."
    if claim == wanted:
        have = f"The gradient for {name} has its elements in the wrong places."
    yield from _kept(have, d, claim, wanted)
    yield from _turned(have, d, len(claim))
    yield from _summed(have, d, claim, wanted)
    yield from _spread(have, d, name, claim, wanted)
    yield from _reordered(have, d, name)
    if len(claim) == 2 * len(wanted):
        yield Fix(
            "diagonal",
            _diagonal,
            f"{have} It is the whole Jacobian of an elementwise step; only its diagonal is needed.",
            f"np.diagonal({d})",
        )


def _fit(x: Array, shape: Shape) -> Array | None:
    return x if x.shape == shape else None


def _kept(have: str, d: str, claim: Shape, wanted: Shape) -> Iterator[Fix]:
    if claim != wanted and [n for n in claim if n != 1] == [n for n in wanted if n != 1]:
        why = "keepdims=True keeps an axis of size 1 that should go" if len(claim) > len(wanted) else "an axis of size 1 was lost"
        yield Fix("keepdims", lambda x, t: x.reshape(t) if x.size == np.prod(t, dtype=int) else None,
                  f"{have} The numbers are right; {why}.", f"np.reshape({d}, {wanted})")  # fmt: skip


def _turned(have: str, d: str, rank: int) -> Iterator[Fix]:
    for order in permutations(range(rank)):
        if order != tuple(range(rank)):
            text = f"{d}.T" if order == tuple(reversed(range(rank))) else f"np.transpose({d}, {order})"
            yield Fix(f"transpose {order}", lambda x, t, o=order: _fit(x.transpose(o), t) if x.ndim == len(o) else None,
                      f"{have} It is transposed.", text)  # fmt: skip


def _summed(have: str, d: str, claim: Shape, wanted: Shape) -> Iterator[Fix]:
    rank = len(claim)
    for k in range(1, rank + 1):
        for axes in combinations(range(rank), k):
            axis = axes[0] if k == 1 else axes
            size = " by ".join(str(claim[a]) for a in axes)
            why = f"Axis {axis} (size {size}) was not summed: what was broadcast forwards is summed backwards"
            for keep in (False, True):

                def summed(x: Array, t: Shape, axes: tuple[int, ...] = axes, keep: bool = keep) -> Array | None:
                    return _fit(x.sum(axes, keepdims=keep), t) if x.ndim > max(axes) else None

                text = f"np.sum({d}, axis={axis}{', keepdims=True' if keep else ''})"
                yield Fix(f"sum {axes} {keep}", summed, f"{have} {why}.", text)


def _spread(have: str, d: str, name: str, claim: Shape, wanted: Shape) -> Iterator[Fix]:
    if np.prod(claim, dtype=int) >= np.prod(wanted, dtype=int):
        return
    text = f"np.broadcast_to({d}, {name}.shape)"

    def spread(x: Array, t: Shape) -> Array | None:
        try:
            return np.broadcast_to(x, t)
        except ValueError:
            return None

    def rows(x: Array, t: Shape) -> Array | None:
        return spread(x[..., None], t) if x.ndim < len(t) else None

    yield Fix("spread", spread, f"{have} A sum or mean was not undone: each element has this same derivative.", text)
    yield Fix(
        "spread rows",
        rows,
        f"{have} A sum or mean over the last axis was not undone.",
        f"np.broadcast_to({d}[..., None], {name}.shape)",
    )


def _reordered(have: str, d: str, name: str) -> Iterator[Fix]:
    def column(x: Array, t: Shape) -> Array | None:
        return x.ravel().reshape(t, order="F") if x.size == np.prod(t, dtype=int) and len(t) > 1 else None

    def other(x: Array, t: Shape) -> Array | None:
        return x.ravel(order="F").reshape(t) if x.size == np.prod(t, dtype=int) and x.ndim > 1 else None

    def plain(x: Array, t: Shape) -> Array | None:
        return x.reshape(t) if x.size == np.prod(t, dtype=int) and x.shape != t else None

    yield Fix("flat", plain, f"{have} The numbers are right, in one row.", f"np.reshape({d}, {name}.shape)")
    wrong = "Its elements were reshaped in the wrong order (column by column instead of row by row)"
    yield Fix("column order", column, f"{have} {wrong}.", f'np.reshape({d}.ravel(), {name}.shape, order="F")')
    yield Fix("row order", other, f"{have} {wrong}.", f'np.reshape({d}.ravel(order="F"), {name}.shape)')


def _diagonal(x: Array, t: Shape) -> Array | None:
    n = int(np.prod(t, dtype=int))
    if x.shape != (*t, *t) or n < 2:
        return None
    flat = x.reshape(n, n)
    return np.diagonal(flat).reshape(t) if not np.any(flat - np.diag(np.diagonal(flat))) else None
