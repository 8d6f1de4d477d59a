"""Choosing, bounding, rounding and replacing elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special as sp

from chainrule import errors
from chainrule.build.value import FUNCTIONS, UFUNCS, Value
from chainrule.front.arithmetic import conjugate, truth
from chainrule.front.operands import broadcast, broadcast_shape, implements, retyped, stacked, value
from chainrule.ir.types import DType
from chainrule.prims import elementwise, kinked
from chainrule.prims.kinds import constant, zeros
from chainrule.prims.kinked import either


def common_dtype(xs: Sequence[Any]) -> DType:
    """The dtype NumPy gives to a result made of these; Python numbers are weak."""
    return np.result_type(*[_rank(x) for x in xs])


def _rank(x: Any) -> Any:
    if isinstance(x, Value):
        return x.weak(0) if x.weak else x.dtype
    return x if type(x) in (int, float, complex) else np.asarray(x).dtype


def alike(*xs: Any) -> list[Value]:
    """Operands as values of one dtype and shape."""
    ready = [stacked(x) for x in xs]
    dtype = common_dtype(ready)
    values = [retyped(value(x), dtype) for x in ready]
    shape = broadcast_shape([v.shape for v in values])
    return [broadcast(v, shape) for v in values]


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, y elsewhere; without x and y, where it holds."""
    if x is None and y is None:
        return FUNCTIONS[np.nonzero](condition)
    if x is None or y is None:
        raise ValueError("either both or neither of x and y should be given")
    c = truth(value(stacked(condition)))
    x, y = alike(x, y)
    shape = broadcast_shape([c.shape, x.shape])
    return kinked.select(broadcast(c, shape), broadcast(x, shape), broadcast(y, shape))


@implements(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Value:
    """The choice whose condition is the first to hold, `default` where none does."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError("np.select needs as many conditions as choices, and at least one")
    conditions = [value(stacked(c)) for c in condlist]
    if any(c.dtype.kind != "b" for c in conditions):
        raise errors.DtypeError("np.select: conditions are arrays of bool")
    *choices, y = alike(*choicelist, default)
    shape = broadcast_shape([y.shape, *[c.shape for c in conditions]])
    y = broadcast(y, shape)
    for c, x in zip(reversed(conditions), reversed(choices), strict=True):
        y = kinked.select(broadcast(c, shape), broadcast(x, shape), y)
    return y


@implements(np.clip, method="clip")
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None, dtype: Any = None
) -> Value:
    """min(max(a, a_min), a_max); at a bound the derivative is 1/2, as of a maximum at a tie."""
    if out is not None:
        raise errors.InPlaceError.about(np.clip, "out")
    low, high = (min if a_min is None else a_min), (max if a_max is None else a_max)
    given = [x for x in (low, high) if x is not None]
    x, *bounds = alike(a, *given)
    if dtype is not None:
        x, *bounds = [retyped(v, np.dtype(dtype)) for v in (x, *bounds)]
    if low is not None:
        x = kinked.maximum(x, bounds.pop(0))
    return x if high is None else kinked.minimum(x, bounds.pop(0))


@implements(np.round, np.around, method="round")
def round(a: Any, decimals: int = 0, out: Any = None) -> Value:
    """To the nearest multiple of 10**-decimals, halves to even; its derivative is 0."""
    if out is not None:
        raise errors.InPlaceError.about(np.round, "out")
    x = value(stacked(a))
    if x.dtype.kind == "b":
        x = retyped(x, np.dtype(np.float16))
    if x.dtype.kind in "iu" and decimals >= 0:
        return x
    if decimals == 0:
        return kinked.rint(x)
    scale = 10.0 ** abs(decimals)
    y = kinked.rint(x * scale) / scale if decimals > 0 else kinked.rint(x / scale) * scale
    return retyped(y, x.dtype)


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Value:
    """Towards zero."""
    if out is not None:
        raise errors.InPlaceError.about(np.fix, "out")
    return kinked.trunc(value(stacked(x)))


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Value:
    """Numbers in place of NaN and infinities; the derivative is 0 where one was replaced."""
    x = value(stacked(x))
    if not x.type.inexact:
        return x
    if x.dtype.kind == "c":
        raise errors.DtypeError("np.nan_to_num of complex numbers cannot be traced; treat real and imaginary parts apart")
    limits = np.finfo(x.dtype)
    high, low = (limits.max if posinf is None else posinf), (limits.min if neginf is None else neginf)
    y = where(kinked.isnan(x), nan, x)
    y = where(x == math.inf, high, y)
    return retyped(where(x == -math.inf, low, y), x.dtype)


@implements(np.real)
def real(val: Any) -> Value:
    """Real part."""
    x = value(stacked(val))
    return elementwise.real(x) if x.dtype.kind == "c" else x


@implements(np.imag)
def imag(val: Any) -> Value:
    """Imaginary part."""
    x = value(stacked(val))
    return elementwise.imag(x) if x.dtype.kind == "c" else zeros(x.type)


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Value:
    """The argument of a complex number."""
    x = value(stacked(z))
    x = x if x.type.inexact else retyped(x, np.dtype(np.float64))
    y = elementwise.arctan2(imag(x), real(x))
    return y * (180 / math.pi) if deg else y


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Is the dtype complex?"""
    return x.dtype.kind == "c"


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Is the dtype not complex?"""
    return x.dtype.kind != "c"


@implements(np.sinc)
def sinc(x: Any) -> Value:
    """sin(pi x) / (pi x); by its series up to pi |x| = 1, where the quotient's derivatives would lose their digits."""
    x = value(stacked(x))
    u = math.pi * (x if x.type.inexact else retyped(x, np.dtype(np.float64)))
    near = abs(u) < 1.0
    s = elementwise.square(either(near, u, 0.0, like=u))
    series = constant(0, u.type)
    for k in range(10, -1, -1):
        series = series * s + (-1) ** k / math.factorial(2 * k + 1)
    far = either(near, 1.0, u, like=u)
    return kinked.select(near, series, elementwise.sin(far) / far)


@implements(np.i0)
def i0(x: Any) -> Value:
    """Modified Bessel function of order 0."""
    return UFUNCS[sp.i0](x)


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Value:
    """|a - b| <= atol + rtol |b|, and infinities equal."""
    x, y = alike(a, b)
    x, y = (v if v.type.inexact else retyped(v, np.dtype(np.float64)) for v in (x, y))
    near = (abs(x - y) <= atol + rtol * abs(y)) & kinked.isfinite(y) | (x == y)
    return near | kinked.isnan(x) & kinked.isnan(y) if equal_nan else near


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Value:
    """Is every element close?"""
    return FUNCTIONS[np.all](isclose(a, b, rtol, atol, equal_nan))


@implements(method="conjugate")
@implements(method="conj")
def conj(x: Value) -> Value:
    """Complex conjugate."""
    return conjugate(x)
