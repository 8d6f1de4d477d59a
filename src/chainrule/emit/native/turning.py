"""Copies that exchange two axes, in square blocks that are turned in registers."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from . import gemm, parallel
from .builder import Function, Val
from .loops import TYPES
from .nodes import Access, Operand, Special, contiguous

if TYPE_CHECKING:
    from .write import Writer

__all__ = ["turned_axis", "write"]

_LEAST = 8  # the side of a block


def turned_axis(x: Operand) -> int | None:
    """The axis that lies contiguous in memory, where it is not the last and both are long enough to be turned in blocks."""
    if not isinstance(x, Access) or x.dtype not in ("float32", "float64") or len(x.shape) < 2:
        return None
    last = x.shape[-1] >= _LEAST and x.strides[-1] > 1
    return next(
        (k for k, (n, s) in enumerate(zip(x.shape[:-1], x.strides, strict=False)) if last and s == 1 and n >= _LEAST), None
    )


def write(w: Writer, n: Special) -> None:
    """The copy, in shares if it is long: along the other axes, or along the one that becomes long."""
    (x,), (y,) = n.ins, n.outs
    axis = turned_axis(x)
    assert isinstance(x, Access)
    assert axis is not None
    t = TYPES[y.dtype]
    at = {"x": w.f.offset(w.pointer(x.base), x.offset, t), "y": w.pointer(y)}
    parts = parallel.copy_shares(2 * y.size * t.bits // 8, max(prod(_others(x, axis)), x.shape[axis] // 64))
    if parts < 2:
        _loops(w.f, x, axis, at["x"], at["y"], (w.f.i64(0), w.f.i64(max(prod(_others(x, axis)), 1))), x.shape[axis])
        return
    parallel.share(w, parts, at, lambda f, at, i: _part(f, x, axis, at, i, parts))


def _others(x: Access, axis: int) -> list[int]:
    return [n for k, n in enumerate(x.shape[:-1]) if k != axis]


def _part(f: Function, x: Access, axis: int, at: dict[str, Val], i: Val, parts: int) -> None:
    """One share: some of the other axes, or some of the rows."""
    many, t = prod(_others(x, axis)), TYPES[x.dtype]
    if many >= parts:
        _loops(f, x, axis, at["x"], at["y"], parallel.bounds(i, many, parts), x.shape[axis])
        return
    rows = x.shape[axis]
    size = -(-rows // (parts * 16)) * 16
    source, goal = f.offset(at["x"], i * size, t), f.offset(at["y"], i * (size * contiguous(x.shape)[axis]), t)
    whole, rest = divmod(rows, size)
    everything = f.i64(0), f.i64(many)
    f.when(i.lt(whole), lambda: _loops(f, x, axis, source, goal, everything, size))
    if rest:
        f.when(i.eq(whole), lambda: _loops(f, x, axis, source, goal, everything, rest))


def _loops(f: Function, x: Access, axis: int, source: Val, goal: Val, others: tuple[Val, Val], rows: int) -> None:
    """A turned matrix for each place of the other axes from the first to the last."""
    t, steps = TYPES[x.dtype], contiguous(x.shape)
    axes = [k for k in range(len(x.shape) - 1) if k != axis]

    def one(place: Val, _: list[Val]) -> None:
        a, b, rest = source, goal, place
        for k in reversed(axes):
            outermost = k == axes[0]
            i = rest if outermost else f.op("urem", rest, f.i64(x.shape[k]))
            a, b = _moved(f, a, i, x.strides[k], x.dtype), _moved(f, b, i, steps[k], x.dtype)
            rest = rest if outermost else f.op("udiv", rest, f.i64(x.shape[k]))
        gemm.transpose(f, x.shape[-1], rows, t, a, x.strides[-1], b, steps[axis])

    f.loop(others[0], others[1], 1, one)


def _moved(f: Function, base: Val, i: Val, stride: int, dtype: str) -> Val:
    return f.offset(base, i * stride, TYPES[dtype]) if stride else base
