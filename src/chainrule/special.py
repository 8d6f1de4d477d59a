"""softmax, log_softmax and logsumexp with SciPy's signatures; SciPy's own are no ufuncs and cannot be traced.

They work on arrays as well as inside functions that are being differentiated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.front.custom import stop_gradient

__all__ = ["log_softmax", "logsumexp", "softmax"]

Axis = int | tuple[int, ...] | None


def softmax(x: Any, axis: Axis = None) -> Any:
    r"""exp(x_i) / sum_k exp(x_k).

    Args:
        x: array of any shape.
        axis: the axes that sum to 1; all of them by default.

    Returns:
        An array of the shape of `x`.

    Numerics:
        The greatest element is subtracted first, so nothing overflows; -inf gives 0. Where all elements are -inf, or one is
        inf, the result is NaN, as in SciPy.

    Example:
        >>> softmax(np.array([0.0, -np.inf, 0.0]))
        array([0.5, 0. , 0.5])
    """
    e = np.exp(_below_greatest(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: Axis = None) -> Any:
    r"""x_i - log sum_k exp(x_k).

    Args:
        x: array of any shape.
        axis: the axes whose exponentials sum to 1; all of them by default.

    Returns:
        An array of the shape of `x`.

    Numerics:
        Exact where `softmax` rounds to 0; NaN where all elements are -inf, as in SciPy.

    Example:
        >>> log_softmax(np.array([1000.0, 1.0]))
        array([   0., -999.])
    """
    z = _below_greatest(x, axis)
    return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))


def _below_greatest(x: Any, axis: Axis) -> Any:
    """x less its greatest element; the result of either softmax does not depend on it, so no derivative goes through it."""
    return x - stop_gradient(np.max(x, axis=axis, keepdims=True))


def logsumexp(a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    r"""log sum_k b_k exp(a_k).

    Args:
        a: array of any shape.
        axis: the axes to sum over; all of them by default.
        b: factors of the exponentials, of a shape that broadcasts with that of `a`; where one is 0, `a` does not matter.
        keepdims: keep the axes summed over, with size 1.
        return_sign: also return the sign of the sum, and take the logarithm of its size.

    Returns:
        An array, or with `return_sign` a pair of arrays. Negative sums give NaN without `return_sign`.

    Numerics:
        The greatest element is taken out of the sum, so nothing overflows. Where all elements are -inf the result is -inf
        and the derivative is 0 (every exponential is 0, and so is what any of them adds). The error is a few units in the
        last place of the greater of 1, the greatest element and the result.

    Example:
        >>> bool(np.isclose(logsumexp(np.array([1000.0, 1000.0])), 1000 + np.log(2)))
        True
    """
    if b is not None:
        a = np.where(np.not_equal(b, 0), a, -np.inf)
    top = stop_gradient(np.max(np.real(a), axis=axis, keepdims=True))
    top = np.where(np.isfinite(top), top, 0)
    e = np.exp(a - top)
    s = np.sum(e if b is None else b * e, axis=axis, keepdims=True)
    none = np.equal(s, 0)
    inside = np.where(none, 1, s)
    size = np.abs(inside) if return_sign else inside
    out = np.where(none, -np.inf, np.log(size)) + top
    sign = np.where(none, 0, inside / size) if return_sign else None
    if not keepdims:
        out = np.squeeze(out, axis=axis)
        sign = None if sign is None else np.squeeze(sign, axis=axis)
    return (out, sign) if return_sign else out
