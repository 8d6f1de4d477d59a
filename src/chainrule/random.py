"""Random numbers from keys: no hidden state, the same numbers on every machine and engine.

A key is an array of two 32-bit words.  Every function here is a function of its key and nothing else, so a key is used once;
`split` makes new ones.  Samples are written as functions of their parameters (a normal sample is mean + deviation times a
standard one), so they can be differentiated with respect to them.

Example:
    >>> import numpy as np, chainrule as cr
    >>> key = cr.random.key(0)
    >>> a, b = cr.random.split(key)
    >>> cr.random.normal(a, (2,)).shape
    (2,)
    >>> bool(np.all(cr.random.uniform(b, (3,)) == cr.random.uniform(b, (3,))))
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from scipy import special as scipy_special

from chainrule import errors
from chainrule.build.value import Value
from chainrule.front.operands import ufunc, value
from chainrule.ir.graph import Array
from chainrule.prims import random as rows
from chainrule.prims.random import U32, random_words

Shape = int | Sequence[int]
_SPLIT, _FOLD = np.array([0, 0x9E3779B9], U32), np.array([0, 0xBB67AE85], U32)
"""Added to a key so that the bits behind new keys are not bits that the key itself gives (any two constants would do)."""

special: Any = scipy_special
ufunc(special.gammaincinv, rows.gammaincinv)


def _shape(shape: Shape) -> tuple[int, ...]:
    sizes = (shape.__index__(),) if hasattr(shape, "__index__") else tuple([n.__index__() for n in shape])  # pyright: ignore
    if any(n < 0 for n in sizes):
        raise ValueError(f"a shape has sizes of 0 or more, not {shape!r}")
    return sizes


def _shape_of(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, Value) else np.shape(x)


def _checked(key: Any) -> Any:
    if not isinstance(key, Value):
        key = np.asarray(key)
    if key.dtype != U32 or key.shape != (2,):
        raise errors.DtypeError(f"a random key is two 32-bit words, as cr.random.key makes it, not {key.dtype}{list(key.shape)}")
    return key


def _words(key: Any, shape: tuple[int, ...]) -> Any:
    key = _checked(key)
    return rows.random_bits(key, shape=shape) if isinstance(key, Value) else random_words(key, shape=shape)


def key(seed: int) -> Array:
    """A key from a number.

    Args:
        seed: Any integer, taken modulo 2^64.

    Returns:
        uint32 array of shape (2,): the high and the low word.
    """
    n = index(seed) % 2**64
    return np.array([n >> 32, n & 0xFFFFFFFF], U32)


def split(key: Any, n: Shape = 2) -> Any:
    """`n` new keys, independent of each other and of what the key itself gives.

    Returns:
        uint32 array of shape (n, 2); unpack it, ``a, b = split(key)``.
    """
    return _words(_checked(key) + _SPLIT, (*_shape(n), 2))


def fold_in(key: Any, data: Any) -> Any:
    """A new key for each number: the step of a loop, the index of an example.

    Args:
        key: uint32[2].
        data: One integer, taken modulo 2^32; it may be a traced value.

    Returns:
        uint32 array of shape (2,).
    """
    low = data.astype(U32) if isinstance(data, Value) else np.asarray(data.__index__() % 2**32).astype(U32)
    return _words(_words(_checked(key) + _FOLD, (2,)) + np.array([0, 1], U32) * low, (2,))


def bits(key: Any, shape: Shape = ()) -> Any:
    """uint32 words, every value equally likely."""
    return _words(key, _shape(shape))


def _integers(key: Any, shape: Shape, dtype: Any) -> tuple[Any, int]:
    """Whole numbers k of a floating dtype, 0 <= k < 2^n, and n: as many bits as k + 1/2 holds exactly."""
    kind = np.dtype(dtype)
    if kind.name not in ("float32", "float64"):
        raise errors.DtypeError(f"random numbers are float32 or float64, not {kind}")
    if kind.name == "float32":
        return (_words(key, _shape(shape)) >> np.uint32(9)).astype(kind), 23
    w = (_words(key, (*_shape(shape), 2)) >> np.uint32(6)).astype(kind)
    return w[..., 0] * 2.0**26 + w[..., 1], 52


def _unit(key: Any, shape: Shape, dtype: Any) -> Any:
    """Uniform in [0, 1)."""
    k, n = _integers(key, shape, dtype)
    return k * k.dtype.type(2.0**-n)


def _open(key: Any, shape: Shape, dtype: Any) -> Any:
    """Uniform in (0, 1), symmetric about 1/2."""
    k, n = _integers(key, shape, dtype)
    return (k + k.dtype.type(0.5)) * k.dtype.type(2.0**-n)


def uniform(key: Any, shape: Shape = (), low: Any = 0.0, high: Any = 1.0, dtype: Any = np.float64) -> Any:
    r"""$u \sim U[\text{low}, \text{high})$, a multiple of $2^{-52}$ of the interval ($2^{-23}$ in float32).

    Args:
        key: uint32[2].
        shape: Shape of the result.
        low, high: Bounds, numbers or arrays that broadcast; derivatives with respect to them are 1 - u and u.
        dtype: float64 or float32.

    Returns:
        Array of this shape.
    """
    u = _unit(key, shape, dtype)
    return u if _is(low, 0.0) and _is(high, 1.0) else low + u * (high - low)


def _is(x: Any, number: float) -> bool:
    return type(x) in (int, float) and x == number


def normal(key: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    r"""Standard normal numbers, $\sqrt 2\,\operatorname{erf}^{-1}(2u - 1)$.

    Args:
        key: uint32[2].
        shape: Shape of the result; write ``mean + deviation * normal(...)`` for another mean and deviation.
        dtype: float64 or float32.

    Returns:
        Array of this shape; at most 8.2 in absolute value (5.3 in float32), the most extreme u there is.
    """
    k, n = _integers(key, shape, dtype)
    t = k.dtype.type
    v = (k * t(2) + t(1 - 2.0**n)) * t(2.0**-n)  # 2u - 1 without a rounding
    return special.erfinv(v) * t(np.sqrt(2))


def truncated_normal(key: Any, low: Any, high: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Standard normal numbers between `low` and `high`, by inversion; derivatives go through the bounds."""
    root = np.dtype(dtype).type(np.sqrt(2))
    a, b = special.erf(low / root), special.erf(high / root)
    return special.erfinv(a + _open(key, shape, dtype) * (b - a)) * root


def bernoulli(key: Any, p: Any = 0.5, shape: Shape | None = None) -> Any:
    """True with probability p; a choice between two values has no derivative with respect to p."""
    return _unit(key, _shape_of(p) if shape is None else shape, np.float64) < p


def exponential(key: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Exponential numbers of mean 1, -ln(1 - u)."""
    return -np.log1p(-_unit(key, shape, dtype))


def gumbel(key: Any, shape: Shape = (), dtype: Any = np.float64) -> Any:
    """Standard Gumbel numbers, -ln(-ln u)."""
    return -np.log(-np.log(_open(key, shape, dtype)))


def gamma(key: Any, a: Any, shape: Shape | None = None, dtype: Any = np.float64) -> Any:
    r"""Gamma numbers of shape parameter a and scale 1, by inversion: $P(a, x) = u$.

    Args:
        key: uint32[2].
        a: Positive number or array; the derivative is implicit, dx/da = -(dP/da) / (dP/dx).
        shape: Shape of the result, that of a by default.
        dtype: float64 or float32.

    Returns:
        Array of this shape.

    Raises:
        NotDifferentiableError: In second derivatives with respect to a.
    """
    u = _open(key, _shape_of(a) if shape is None else shape, dtype)
    return special.gammaincinv(a if isinstance(a, Value) else np.asarray(a, u.dtype), u)


def randint(key: Any, shape: Shape, low: Any, high: Any, dtype: Any = np.int64) -> Any:
    """Whole numbers, low <= k < high.

    Numerics: floor of a 52-bit fraction of the interval, so a number is more likely than another by at most (high - low) / 2^52.
    """
    if not isinstance(high, Value) and not isinstance(low, Value) and not 0 < np.max(np.asarray(high) - np.asarray(low)) <= 2**32:
        raise ValueError(f"randint: there must be between 1 and 2^32 numbers from {low} up to {high}")
    steps = np.floor(_unit(key, shape, np.float64) * (high - low)).astype(dtype)
    return steps + (low if isinstance(low, Value) else np.asarray(low)).astype(dtype)


def categorical(key: Any, logits: Any, axis: int = -1, shape: Shape | None = None) -> Any:
    """Positions drawn with probabilities softmax(logits), by the largest of logits plus Gumbel noise.

    Args:
        key: uint32[2].
        logits: Logarithms of the probabilities, up to a constant, along `axis`; -inf is never drawn.
        axis: Axis of the categories.
        shape: Shape of the result: that of logits without `axis`, with further axes in front.

    Returns:
        int64 array.

    Source: Gumbel (1954), "Statistical theory of extreme values and some practical applications"; the Gumbel-max trick.
    """
    full = _shape_of(logits)
    axis = axis % len(full)
    rest = (*full[:axis], *full[axis + 1 :])
    wanted = rest if shape is None else _shape(shape)
    lead = wanted[: len(wanted) - len(rest)]
    if wanted[len(lead) :] != rest:
        raise errors.ShapeError(
            f"categorical: the shape {wanted} does not end in {rest}, the shape of logits without its axis {axis}"
        )
    return np.argmax(logits + gumbel(key, (*lead, *full)), axis + len(lead))


def permutation(key: Any, x: Any, axis: int = 0) -> Any:
    """The numbers below x, or the array x along an axis, in random order, every order equally likely."""
    size = _shape_of(x)
    n = size[axis] if size else x.__index__()
    order = np.argsort(_unit(key, n, np.float64))
    return _taken(x, order, axis) if size else order


def choice(key: Any, a: Any, shape: Shape = (), replace: bool = True, p: Any = None, axis: int = 0) -> Any:
    """Elements of the array a along an axis, or numbers below a.

    Args:
        key: uint32[2].
        a: A number or an array.
        shape: How many, and in which shape.
        replace: May one be drawn twice?
        p: Probabilities, equal by default.
        axis: Axis of a.

    Returns:
        Array of this shape, followed by the other axes of a.

    Raises:
        ValueError: More are asked for than there are, without replacement.
    """
    size = _shape_of(a)
    n = size[axis] if size else a.__index__()
    wanted = _shape(shape)
    count = int(np.prod(wanted))
    if not replace and count > n:
        raise ValueError(f"choice: {count} of {n} cannot be drawn without replacement")
    if replace:
        which = randint(key, wanted, 0, n) if p is None else _inverse(p, _unit(key, wanted, np.float64))
    else:
        order = _unit(key, n, np.float64) if p is None else -(np.log(p) + gumbel(key, n))
        which = np.argsort(order)[:count].reshape(wanted)
    return _taken(a, which, axis) if size else which


def _taken(a: Any, which: Any, axis: int) -> Any:
    return np.take(value(a) if isinstance(which, Value) else a, which, axis)


def _inverse(p: Any, u: Any) -> Any:
    """The first position whose cumulated probability exceeds u."""
    total: Any = np.cumsum(p)
    search: Any = np.searchsorted
    return search(total, u * total[-1], side="right")


__all__ = [
    "bernoulli", "bits", "categorical", "choice", "exponential", "fold_in", "gamma", "gumbel", "key", "normal",
    "permutation", "randint", "split", "truncated_normal", "uniform",
]  # fmt: skip
