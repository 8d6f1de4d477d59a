"""Control flow and functions with derivatives of their own, for traced values and for plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from chainrule.build.builder import Builder, current_or_none
from chainrule.build.tree import map_tree
from chainrule.build.value import Value
from chainrule.calls import own
from chainrule.emit.numpy import evaluate
from chainrule.front import control, custom

Function = Callable[..., Any]


def _anywhere(f: Function) -> Function:
    """`f`, which writes equations, made to run at once where no function is being traced."""

    @wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        if current_or_none() is not None:
            return f(*args, **kwargs)
        with Builder(evaluate, what=f.__name__).here():
            return map_tree(_released, f(*args, **kwargs))

    return g


def _released(x: Any) -> Any:
    return own(x.full) if isinstance(x, Value) else x


@_anywhere
def scan(f: Function, init: Any, xs: Any, length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    r"""A loop that carries something along: $c_{t+1}, y_t = f(c_t, x_t)$.

    The body is traced once; the loop is one equation whatever its length, and so is its gradient, which runs the other way.

    Args:
        f: The step, (carry, x) -> (carry, y); carry keeps its containers, shapes and dtypes.
        init: The first carry: an array or nested containers of arrays.
        xs: What the loop runs over, along the first axis: an array, nested containers of arrays, or None.
        length: Number of steps, needed where xs is None.
        reverse: Run from the last element to the first; y keeps the positions of x.

    Returns:
        The last carry, and the y stacked along a new first axis.

    Raises:
        TreeError: The carry changes its containers or shapes, or the body returns no pair.
        DtypeError: The carry changes a dtype.
        ShapeError: The sequences differ in length.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> total, partial = cr.scan(lambda c, x: (c + x, c + x), 0.0, np.array([1.0, 2.0, 3.0]))
        >>> float(total), partial.tolist()
        (6.0, [1.0, 3.0, 6.0])
    """
    return control.scan(f, init, xs, length, reverse)


@_anywhere
def cond(p: Any, yes: Function, no: Function, *args: Any) -> Any:
    """``yes(*args)`` if p holds, else ``no(*args)``; only the branch that is chosen is run.

    Args:
        p: One boolean (or a number: true unless 0).
        yes, no: The branches; their results have the same containers, shapes and dtypes.
        args: Arrays or nested containers of arrays.

    Returns:
        What the chosen branch returns.  Under `vmap`, with a p that differs from example to example, both branches are run.

    Raises:
        TreeError: The branches return different containers or shapes.
        DtypeError: The branches return different dtypes.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> float(cr.grad(lambda x: cr.cond(x > 0, lambda x: x**2, lambda x: -x, x))(3.0))
        6.0
    """
    return control.cond(p, yes, no, *args)


@_anywhere
def while_loop(cond: Function, body: Function, init: Any) -> Any:
    """``while cond(carry): carry = body(carry)``.

    The number of steps is not known beforehand, so there is forward mode only: use `scan` or `fori_loop` for a gradient.

    Args:
        cond: carry -> one boolean.
        body: carry -> carry, with the same containers, shapes and dtypes.
        init: The first carry.

    Returns:
        The first carry for which the condition does not hold.

    Raises:
        NotDifferentiableError: In reverse mode.

    Example:
        >>> import chainrule as cr
        >>> int(cr.while_loop(lambda k: k < 100, lambda k: 2 * k, 1))
        128
    """
    return control.while_loop(cond, body, init)


@_anywhere
def fori_loop(low: Any, high: Any, body: Function, init: Any) -> Any:
    """``for i in range(low, high): carry = body(i, carry)``.

    Args:
        low, high: Bounds; where they are known numbers, the loop is a `scan` and has reverse mode, else a `while_loop`.
        body: (i, carry) -> carry, with the same containers, shapes and dtypes.
        init: The first carry.

    Returns:
        The last carry.

    Raises:
        NotDifferentiableError: In reverse mode, where a bound is a traced value.

    Example:
        >>> import chainrule as cr
        >>> int(cr.fori_loop(1, 6, lambda i, c: c * i, 1))
        120
    """
    return control.fori_loop(low, high, body, init)


def checkpoint(f: Function) -> Function:
    """`f`, whose inner values are not kept for the backward pass but computed again there.

    Memory against time: a chain of n layers in about sqrt(n) checkpointed groups keeps about sqrt(n) arrays in place of n.

    Args:
        f: Any function of arrays.

    Returns:
        A function with the same values and derivatives.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> float(cr.grad(cr.checkpoint(lambda x: np.sin(np.sin(x))))(0.0))
        1.0
    """
    return custom.checkpoint(f)


def stop_gradient(x: Any) -> Any:
    """The same numbers with derivative zero: x is a constant from here on.

    Args:
        x: An array or nested containers of arrays.

    Returns:
        Where values are known (outside `jit` and `vmap`) plain arrays, which may also be printed, converted or stored; else
        handles, so that ``cr.stop_gradient(table)[i]`` looks up a traced number in an array of NumPy's (which itself cannot).

    Example:
        >>> import chainrule as cr
        >>> float(cr.grad(lambda x: x * cr.stop_gradient(x))(3.0))
        3.0
    """
    return custom.stop_gradient(x)


def custom_jvp(f: Function, nondiff_argnums: Sequence[int] = ()) -> custom.CustomJvp:
    """`f` with a forward rule of its own; reverse mode follows by transposing the rule.

    Args:
        f: Any function of arrays.
        nondiff_argnums: Arguments passed on as they are, in front: ``rule(*nondiff, primals, tangents)``.

    Returns:
        A function; give it its rule with ``.defjvp(lambda primals, tangents: (y, dy))``.

    Raises:
        TreeError, ShapeError, DtypeError: The rule returns something that does not look like y.
        NotDifferentiableError: There is no rule, or f reads a differentiated value from outside.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> f = cr.custom_jvp(lambda x: np.log(1 + np.exp(x)))
        >>> rule = f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] / (1 + np.exp(-primals[0]))))
        >>> float(cr.grad(f)(0.0))
        0.5
    """
    return custom.CustomJvp(f, nondiff_argnums)


def custom_vjp(f: Function, nondiff_argnums: Sequence[int] = ()) -> custom.CustomVjp:
    """`f` with a backward rule of its own; forward mode follows where that rule is linear in the cotangent.

    Args:
        f: Any function of arrays.
        nondiff_argnums: Arguments passed on as they are; the backward rule gets them in front.

    Returns:
        A function; give it its rules with ``.defvjp(forward, backward)``: ``forward(*args) -> (y, kept)`` and
        ``backward(*nondiff, kept, ct) -> (cotangent of each other argument)``, None standing for zero.

    Raises:
        TreeError, ShapeError, DtypeError: A rule returns something that does not fit.
        NotDifferentiableError: There are no rules, f reads a differentiated value from outside, or forward mode is asked of a
            backward rule that is not linear.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> clip_gradient = cr.custom_vjp(lambda x: x)
        >>> clip_gradient.defvjp(lambda x: (x, None), lambda kept, ct: (np.clip(ct, -1.0, 1.0),))
        >>> float(cr.grad(lambda x: 5 * clip_gradient(x))(2.0))
        1.0
    """
    return custom.CustomVjp(f, nondiff_argnums)
