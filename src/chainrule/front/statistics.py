"""Order statistics and moments of two variables."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import UFUNCS, Value
from chainrule.front.arithmetic import conjugate
from chainrule.front.indexing import diagonal_of, sort
from chainrule.front.joining import concatenate
from chainrule.front.operands import array, axis_tuple, broadcast, implements, no_out, retyped, value
from chainrule.front.products import dot
from chainrule.front.reductions import average, keep, mean, root, summed
from chainrule.front.shaping import cut, permuted, reshaped
from chainrule.ir.types import F64
from chainrule.prims.indexing import moved, take
from chainrule.prims.kinds import constant
from chainrule.prims.kinked import select
from chainrule.prims.linear import reshape
from chainrule.prims.reductions import last_axis


def _nan_if_any(y: Value, last: Value) -> Value:
    """NaN where the sorted elements end with one."""
    if not last.type.inexact:
        return y
    return select(UFUNCS[np.not_equal](last, last), constant(np.nan, y.type), y)


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Value:
    """The middle element, or the mean of the two in the middle."""
    no_out(out)
    x = array(a)
    axes = axis_tuple(axis, x.ndim)
    shape = x.shape
    if not x.ndim:
        return retyped(x, F64) if x.dtype.kind in "bui" else x
    s = sort(last_axis(x, axes), -1)
    k, n = s.ndim - 1, s.shape[-1]
    if not n:
        return mean(x, axis, keepdims=keepdims)
    middle = mean(cut(s, k, (n - 1) // 2, n // 2 + 1), -1)
    return keep(_nan_if_any(middle, reshape(cut(s, k, n - 1, n), shape=middle.shape)), shape, axes, keepdims)


@implements(np.quantile)
def quantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: Any = False,
    *, weights: Any = None,
) -> Value:  # fmt: skip
    """The element below which a share q lies, interpolated between its neighbours; q is known."""
    no_out(out)
    if method not in _METHODS or weights is not None:
        there = ", ".join(_METHODS)
        raise errors.UnknownFunctionError(f"np.quantile with method={method!r} or weights cannot be traced; there are {there}")
    x = array(a)
    if isinstance(q, Value):
        raise errors.UnknownFunctionError("np.quantile of a traced q cannot be traced: q says which elements are read")
    share = np.asarray(q, x.dtype if isinstance(q, int | float) and x.dtype.kind == "f" else None)
    return _quantile(x, share, axis, method, keepdims)


_METHODS: dict[str, Any] = {
    "linear": lambda at: at,
    "lower": np.floor,
    "higher": np.ceil,
    "midpoint": lambda at: 0.5 * (np.floor(at) + np.ceil(at)),
    "nearest": np.rint,
}


@implements(np.percentile)
def percentile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: Any = False,
    **kwargs: Any,
) -> Value:  # fmt: skip
    """The quantile of q hundredths."""
    x = array(a)
    if not isinstance(q, Value):
        q = np.true_divide(q, x.dtype.type(100) if x.dtype.kind == "f" else 100)
    return quantile(x, q, axis, out, overwrite_input, method, keepdims, **kwargs)


def _quantile(x: Value, q: Any, axis: Any, method: str, keepdims: Any) -> Value:
    if q.size and not (q.min() >= 0 and q.max() <= 1):
        raise ValueError("Quantiles must be in the range [0, 1]")
    axes, shape = axis_tuple(axis, x.ndim), x.shape
    s = sort(last_axis(x, axes) if x.ndim else reshape(x, shape=(1,)), -1)
    n = s.shape[-1]
    s = moved(s, s.ndim - 1, 0)
    at = np.asarray(_METHODS[method](q * q.dtype.type(n - 1)))
    low = np.floor(at).astype(np.intp)
    t = np.asarray(at - low, q.dtype).reshape(q.shape + (1,) * (s.ndim - 1))
    below = take(s, value(low), lead=0)
    if t.any() or method in ("linear", "midpoint"):
        above = take(s, value(np.minimum(low + 1, n - 1)), lead=0)
        step = above - below
        y = UFUNCS[np.add](below, step * t) if not (t >= 0.5).any() else _lerp(below, above, step, t)
    else:
        y = below
    last = broadcast(reshaped(cut(s, 0, n - 1, n), s.shape[1:]), y.shape)
    y = _nan_if_any(y, retyped(last, y.dtype))
    if keepdims:
        kept = tuple([1 if k in axes else m for k, m in enumerate(shape)])
        y = reshaped(y, (*q.shape, *kept))
    return y


def _lerp(a: Value, b: Value, step: Value, t: Any) -> Value:
    """From the nearer end, so that it is hit exactly."""
    late = np.broadcast_to(t >= 0.5, a.shape)
    from_a, from_b = UFUNCS[np.add](a, step * t), UFUNCS[np.subtract](b, step * (1 - t))
    return from_b if late.all() else select(value(np.ascontiguousarray(late)), from_b, from_a)


@implements(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None, fweights: Any = None, aweights: Any = None,
    *, dtype: Any = None,
) -> Value:  # fmt: skip
    """Covariances of the rows (of the columns, where not rowvar)."""
    x = _observations(m, rowvar, True)
    x = retyped(x, np.dtype(dtype) if dtype is not None else np.result_type(x.dtype, F64))
    if y is not None:
        x = concatenate([x, _observations(y, rowvar, False)], 0)
    free = 1 - int(bias) if ddof is None else ddof
    w = _weights(fweights, aweights)
    if w is None:
        middle, norm = mean(x, 1), x.shape[1] - free
    else:
        middle, total = average(x, 1, w, True)
        total = total[0]
        norm = total - free if aweights is None else total - free * summed(w * aweights, (0,)) / total
    x = x - reshaped(middle, (*middle.shape, 1))
    z = x if w is None else x * w
    c = dot(z, conjugate(permuted(x, (1, 0)))) / norm
    return reshaped(c, tuple([n for n in c.shape if n != 1]))


def _observations(m: Any, rowvar: bool, first: bool) -> Value:
    x = array(m)
    if x.ndim > 2:
        raise ValueError("m has more than 2 dimensions")
    x = reshaped(x, (1,) * (2 - x.ndim) + x.shape)
    return x if rowvar or (first and x.shape[0] == 1) else permuted(x, (1, 0))


def _weights(frequencies: Any, reliabilities: Any) -> Any:
    given = [retyped(array(w), F64) for w in (frequencies, reliabilities) if w is not None]
    return None if not given else given[0] if len(given) == 1 else given[0] * given[1]


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Value:
    """Covariances over the deviations."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    deviation = root(diagonal_of(c, 0, 0, 1).real if c.dtype.kind == "c" else diagonal_of(c, 0, 0, 1))
    c = c / reshaped(deviation, (*deviation.shape, 1)) / deviation
    return c if c.dtype.kind == "c" else UFUNCS[np.minimum](UFUNCS[np.maximum](c, -1), 1)
