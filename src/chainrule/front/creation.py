"""Arrays like others, grids, and sequences with traced ends."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from chainrule.build.value import FUNCTIONS, UFUNCS, Value
from chainrule.front.operands import array, broadcast, implements, retyped
from chainrule.front.shaping import astype, moveaxis, reshaped
from chainrule.ir.types import ArrayType
from chainrule.prims.kinds import constant


def _like(fill: int) -> Any:
    def like(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Value:
        return constant(fill, _type_like(array(a), dtype, shape))

    return like


def _type_like(x: Value, dtype: Any, shape: Any) -> ArrayType:
    size = x.shape if shape is None else (index(shape),) if np.ndim(shape) == 0 else tuple(map(index, shape))
    return ArrayType(x.dtype if dtype is None else np.dtype(dtype), size)


FUNCTIONS[np.zeros_like] = FUNCTIONS[np.empty_like] = _like(0)
FUNCTIONS[np.ones_like] = _like(1)


@implements(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Value:
    """One value everywhere, in the shape and dtype of another array."""
    t = _type_like(array(a), dtype, shape)
    return broadcast(astype(array(fill_value), t.dtype), t.shape)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Value, ...]:
    """Coordinates of a grid from those of its axes."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    xs = [array(x) for x in xi]
    place = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        place[:2] = [1, 0]
    whole = [0] * len(xs)
    for k, x in zip(place, xs, strict=True):
        whole[k] = x.size
    out = [reshaped(x, tuple([x.size if j == k else 1 for j in range(len(xs))])) for k, x in zip(place, xs, strict=True)]
    return tuple(out if sparse else [broadcast(x, tuple(whole)) for x in out])


def _ends(start: Any, stop: Any, dtype: Any) -> tuple[Value, Value, Any]:
    a, b = array(start), array(stop)
    real = np.result_type(a.weak(0) if a.weak else a.dtype, b.weak(0) if b.weak else b.dtype, float(1))
    a, b = retyped(a, np.dtype(real)), retyped(b, np.dtype(real))
    return a, b, real if dtype is None else np.dtype(dtype)


@implements(np.linspace)
def linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: Any = 0,
    *, device: Any = None,
) -> Any:  # fmt: skip
    """Evenly spaced numbers from start to stop: start + k (stop - start) / (num - 1)."""
    n = index(num)
    if n < 0:
        raise ValueError(f"Number of samples, {n}, must be non-negative.")
    a, b, final = _ends(start, stop, dtype)
    gaps = n - 1 if endpoint else n
    width = b - a
    k = np.arange(n, dtype=a.dtype).reshape(-1, *[1] * width.ndim)
    step = width / gaps if gaps > 0 else constant(np.nan, width.type)
    y = array(k) * step + a if gaps > 0 else array(k) * width + a
    if endpoint and n > 1:  # the end itself, not what rounding makes of it
        y = FUNCTIONS[np.concatenate]([y[:-1], broadcast(b, (1, *width.shape))])
    y = astype(UFUNCS[np.floor](y), final) if final.kind in "iu" else retyped(y, final)
    y = moveaxis(y, 0, axis) if axis else y
    return (y, step) if retstep else y


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: Any = 0
) -> Value:
    """Powers of the base with evenly spaced exponents."""
    y = UFUNCS[np.power](base, linspace(start, stop, num, endpoint, axis=axis))
    return y if dtype is None else astype(y, dtype)


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Value:
    """Powers of the elements, one column each."""
    v = array(x)
    if v.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    n = v.size if N is None else index(N)
    v = retyped(v, np.promote_types(v.dtype, np.int_))
    columns = [constant(1, ArrayType(v.dtype, (v.size, 1)))] if n else []
    if n > 1:
        powers = FUNCTIONS[np.cumprod](broadcast(reshaped(v, (v.size, 1)), (v.size, n - 1)), 1)
        columns.append(powers)
    if not columns:
        return constant(0, ArrayType(v.dtype, (v.size, 0)))
    y = FUNCTIONS[np.concatenate](columns, 1)
    return y if increasing else FUNCTIONS[np.flip](y, 1)
