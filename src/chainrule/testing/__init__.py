"""For test suites: assertions about derivatives, and checks of losses and optimisers written by hand.

Example:
    >>> import numpy as np, chainrule as cr
    >>> cr.testing.assert_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, np.array([1.0, -2.0]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule import errors
from chainrule.explain.check import check


@errors.boundary
def assert_gradient(
    f: Callable[..., Any],
    claimed: Any,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    allow_undecided: bool = False,
    seed: int = 0,
    seconds: float = 8.0,
) -> None:
    """Raise unless `claimed` is the gradient of `f`.

    Args:
        f: a function that returns one number (or an array; then a Jacobian is claimed).
        claimed: the gradient: a function of the same arguments, an array, or a formula as text.
        *args: a point to check at.
        argnums: for which arguments the gradient is claimed.
        allow_undecided: accept where nothing can be told.
        seed: of the fresh data.
        seconds: how long to look for two mistakes that meet.

    Raises:
        AssertionError: the gradient is wrong, or nothing can be told; the message is the printed check.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> f, x = lambda x: np.sum(np.sin(x)), np.array([1.0, 2.0])
        >>> cr.testing.assert_gradient(f, lambda x: -np.cos(x), x)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        AssertionError: Wrong.
          The gradient for x has the wrong sign.
        ...
    """
    c = check(f, claimed, *args, argnums=argnums, seed=seed, seconds=seconds)
    if c.ok is False or (c.ok is None and not allow_undecided):
        raise AssertionError(str(c))


__all__ = ["assert_gradient"]
