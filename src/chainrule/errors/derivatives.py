"""Errors about derivatives: none to be had, or one that is no number."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors.base import ChainruleError
from chainrule.errors.frames import lookup, user_frame
from chainrule.errors.source import Expression, dotted, expression
from chainrule.ir.where import Where


class NonScalarError(ChainruleError, TypeError):
    """The gradient is asked for, and the function does not return one number.

    A gradient says how one number changes.  Reduce the result to one (`np.sum`, `np.mean`), or ask for the derivative of every
    result with `cr.jacobian`; a second result that is not to be differentiated is returned with ``has_aux=True``.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: x * x)(np.ones(2))
    Traceback (most recent call last):
    ...
    chainrule.errors.NonScalarError: -- NOT ONE NUMBER ... CR301
    ...
    grad needs a function that returns one number; this one returned f64[2].
    ...

    Works:

    >>> cr.grad(lambda x: np.sum(x * x))(np.ones(2))
    array([2., 2.])
    >>> cr.jacobian(lambda x: x * x)(np.ones(2))
    array([[2., 0.],
           [0., 2.]])
    """

    code = "CR301"
    title = "NOT ONE NUMBER"

    @classmethod
    def of(cls, name: str, types: Sequence[Any]) -> NonScalarError:
        """The types of what the function returned."""
        got = ", ".join(map(str, types)) or "nothing"
        seen = f"{name} needs a function that returns one number; this one returned {got}."
        if len(types) > 1:
            return cls(seen, "Return one number; what else there is to return goes into a pair (value, other) with has_aux=True.")
        if not types:
            return cls(seen, "Return the number that is to be differentiated.")
        return cls(seen, "Reduce the result with np.sum or np.mean, or ask for the derivative of each element with cr.jacobian.")


class IntegerArgumentError(ChainruleError, TypeError):
    """A derivative with respect to integers.

    A derivative says what a small change does, and integers have no small change.  Pass floats.

    Fails:

    >>> import chainrule as cr
    >>> cr.grad(lambda x: x * x)(3)
    Traceback (most recent call last):
    ...
    chainrule.errors.IntegerArgumentError: -- INTEGERS HAVE NO DERIVATIVE ... CR302
    ...
    Did you mean  cr.grad(lambda x: x * x)(3.0) ?

    Works:

    >>> cr.grad(lambda x: x * x)(3.0)
    np.float64(6.0)
    """

    code = "CR302"
    title = "INTEGERS HAVE NO DERIVATIVE"

    @classmethod
    def of(cls, name: str, x: Any) -> IntegerArgumentError:
        """An argument with an integer or boolean dtype."""
        e = cls(f"{name}: an argument is of dtype {x.dtype.name}, shape {x.shape}; a derivative is about small changes.")
        e.fix = _as_float(expression(e.where))
        e.needed = "" if e.fix else "Pass floats: 3.0 instead of 3, x.astype(float) instead of x."
        return e


def _as_float(e: Expression | None) -> str:
    """The user's call with its integer arguments made floats."""
    if e is None or not isinstance(e.node, ast.Call):
        return ""
    frame = user_frame()
    for node in e.node.args:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return e.with_parts({node: f"{node.value}.0"})
        x = lookup(frame, dotted(node) or "?")
        if type(x) is int:
            return e.with_parts({node: f"float({e.of(node)})"})
        if isinstance(x, np.ndarray) and x.dtype.kind in "bui":  # pyright: ignore[reportUnknownMemberType]
            return e.with_parts({node: f"{e.of(node)}.astype(float)"})
    return ""


class NotDifferentiableError(ChainruleError, TypeError):
    """There is no derivative here, or none can be computed.

    The error names the operation and the reason.  A result that is an integer or a boolean has no derivative; `cr.while_loop`
    has one in forward mode only, because its number of steps is not known beforehand (`cr.scan` and `cr.fori_loop` have both).
    A rule of your own is given with `cr.custom_jvp`, and a part that counts as a constant with `cr.stop_gradient`.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: x > 0)(1.0)
    Traceback (most recent call last):
    ...
    chainrule.errors.NotDifferentiableError: -- NOT DIFFERENTIABLE ... CR303
    ...

    Works:

    >>> cr.grad(lambda x: np.maximum(x, 0.0))(1.0)
    np.float64(1.0)
    """

    code = "CR303"
    title = "NOT DIFFERENTIABLE"

    @classmethod
    def row(cls, name: str, reason: str, where: Where | None = None) -> NotDifferentiableError:
        """The operation `name`, the reason, and where it stands in the user's program."""
        return cls(f"{name} has no derivative here: {reason}.", where=where)


class NonFiniteError(ChainruleError, FloatingPointError):
    """NaN found.

    Inside ``with cr.debug_nans():`` every equation is looked at as it is computed, forward and backward, and the first that
    makes NaN (not a number) out of numbers is named, with its line, its inputs and the place of the first bad element.  In the
    backward pass the line is that of the forward equation whose derivative it was.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> with cr.debug_nans():
    ...     cr.grad(lambda x: np.sum(np.sqrt(x)))(np.array([4.0, -1.0]))
    Traceback (most recent call last):
    ...
    chainrule.errors.NonFiniteError: -- NAN FOUND ... CR401
    ...
    sqrt made NaN in 1 of 2 elements; the first is at [1].
    x: f64[2], from -1 to 4; at [1] it is -1

    Works:

    >>> with cr.debug_nans():
    ...     cr.grad(lambda x: np.sum(np.sqrt(np.abs(x) + 1e-3)))(np.array([4.0, -1.0])).round(3)
    array([ 0.25, -0.5 ])
    """

    code = "CR401"
    title = "NAN FOUND"
    doing = "While computing"

    @classmethod
    def made(cls, what: str, bad: Any, inputs: Sequence[Any], where: Where | None, because: str = "") -> NonFiniteError:
        """An operation, where its result is NaN, what it was given, and what more there is to say."""
        e = cls(where=where)
        x = expression(e.where)
        nodes = x.operands(len(inputs)) if x is not None else None
        numbered = [f"input {k + 1}" for k in range(len(inputs))]
        names = [x.of(n) for n in nodes] if x is not None and nodes is not None else numbered
        at = tuple([int(k) for k in np.argwhere(bad)[0]])
        e.seen = f"{what} made NaN{_count(bad, at)}."
        e.needed = "\n".join(
            [*[_range(n, v, at, bad.shape) for n, v in zip(names, inputs, strict=True)], *filter(None, [because])]
        )
        e.args = (e.seen,)
        return e

    @classmethod
    def given(cls, name: str, x: Any) -> NonFiniteError:
        """NaN that came in with an argument and reached the result."""
        bad = np.isnan(x)
        at = tuple([int(k) for k in np.argwhere(bad)[0]])
        return cls(f"{name}: the result is NaN because an argument holds NaN already{_count(bad, at)}.", "Clean the data first.")


def _count(bad: Any, at: tuple[int, ...]) -> str:
    return f" in {int(bad.sum())} of {bad.size} elements; the first is at {list(at)}" if bad.ndim else ""


def _range(name: str, x: Any, at: tuple[int, ...], shape: tuple[int, ...]) -> str:
    from chainrule.ir.types import ArrayType

    a = np.asarray(x)
    head = f"{name if len(name) <= 40 else 'input'}: {ArrayType(a.dtype, a.shape)}"
    if a.size == 0:
        return f"{head}, empty"
    if a.ndim == 0:
        return f"{head} = {a.item():.6g}"
    here = f"; at {list(at)} it is {a[at].item():.6g}" if a.shape == shape else ""
    with np.errstate(all="ignore"):
        return f"{head}, from {np.nanmin(a).item():.6g} to {np.nanmax(a).item():.6g}{here}" if a.dtype.kind in "biuf" else head
