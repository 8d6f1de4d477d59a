"""Errors about what is called on traced values: functions, attributes and arguments that are not there."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from chainrule.errors.base import ChainruleError

_MODULES = (("np", "numpy"), ("np.linalg", "numpy.linalg"), ("np.fft", "numpy.fft"), ("np.random", "numpy.random"))
_SCIPY = (("scipy.special", "scipy.special"), ("scipy.linalg", "scipy.linalg"), ("scipy.stats", "scipy.stats"))

INSTEAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "np.vectorize": ("cr.vmap(f)(x)", ()),
    "np.apply_along_axis": ("cr.vmap(f, in_axes=axis)(x)", ()),
    "np.piecewise": ("np.where(condition, f(x), g(x))", ("np.where",)),
    "np.put": ("np.where(mask, v, x)", ("np.where",)),
    "np.place": ("np.where(mask, v, x)", ("np.where",)),
    "np.putmask": ("np.where(mask, v, x)", ("np.where",)),
    "np.copyto": ("np.where(mask, v, x)", ("np.where",)),
    "np.fill_diagonal": ("np.where(np.eye(n, dtype=bool), v, x)", ("np.where",)),
}
"""NumPy function -> what does the same with functions that are traced, and which these are."""

METHODS_INSTEAD = {
    "backward": "cr.grad(f)(x)",
    "grad": "cr.grad(f)(x)",
    "requires_grad_": "cr.grad(f)(x)",
    "detach": "cr.stop_gradient(x)",
    "numpy": "cr.stop_gradient(x)",
    "cpu": "x",
    "at": "np.where(mask, v, x)",
    "fill": "np.full_like(x, v)",
    "put": "np.where(mask, v, x)",
    "resize": "np.reshape(x, shape)",
    "permute": "np.transpose(x, axes)",
    "view": "np.reshape(x, shape)",
    "unsqueeze": "np.expand_dims(x, axis)",
    "numel": "x.size",
}
"""Method that arrays of other libraries have, or that changes an array in place -> what to write."""


def public_name(func: Any) -> str:
    """``np.linalg.eig``: the name by which people call a function."""
    name = getattr(func, "__name__", None) or str(func)
    for short, module in (*_MODULES, *_SCIPY):
        if getattr(sys.modules.get(module), name, None) is func:
            return f"{short}.{name}"
    where = getattr(func, "__module__", None)
    return name if where in (None, "builtins") else f"{where}.{name}".replace("numpy.", "np.")


def nearest(name: str, known: Iterable[str]) -> str:
    """The name most like `name` among `known`; empty if none is."""
    last = {k.rsplit(".", 1)[-1]: k for k in sorted(known, key=len, reverse=True)}
    found = difflib.get_close_matches(name.rsplit(".", 1)[-1], last, n=1, cutoff=0.6)
    return last[found[0]] if found else ""


class UnknownFunctionError(ChainruleError, TypeError):
    """A function that chainrule does not know.

    NumPy's functions and SciPy's ufuncs are known by name; one that is not known cannot be differentiated, and chainrule says
    so instead of guessing.  Functions made of known ones are differentiated as they are: write it out, or give its derivative
    with `cr.custom_jvp`.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: np.sum(np.piecewise(x, [x < 0, x >= 0], [0.0, 1.0])))(np.ones(2))
    Traceback (most recent call last):
    ...
    chainrule.errors.UnknownFunctionError: -- UNKNOWN FUNCTION ... CR101
    ...
    np.piecewise is not among the functions that chainrule can differentiate.
    Write instead  np.where(condition, f(x), g(x))

    Works:

    >>> cr.grad(lambda x: np.sum(np.where(x < 0, 0.0, x)))(np.ones(2))
    array([1., 1.])
    """

    code = "CR101"
    title = "UNKNOWN FUNCTION"

    @classmethod
    def about(cls, func: Any, *known: Mapping[Any, Any]) -> UnknownFunctionError:
        """A NumPy or SciPy function without an entry in the tables `known`."""
        name = public_name(func)
        names = {public_name(k) for table in known for k in table}
        seen = f"{name} is not among the functions that chainrule can differentiate."
        code, parts = INSTEAD.get(name, ("", ()))
        if code and names.issuperset(parts):
            return cls(seen, f"Write instead  {code}")
        near = nearest(name, names)
        return cls(seen, f"The nearest name that it knows is {near}." if near else "")


class UnknownMethodError(ChainruleError, AttributeError):
    """An attribute that traced values do not have.

    Values in a function that is being differentiated have the attributes and methods of NumPy arrays, but those that change an
    array in place.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: x.summ())(np.ones(2))
    Traceback (most recent call last):
    ...
    chainrule.errors.UnknownMethodError: -- UNKNOWN ATTRIBUTE ... CR102
    ...
    Did you mean  x.sum ?

    Works:

    >>> cr.grad(lambda x: x.sum())(np.ones(2))
    array([1., 1.])
    """

    code = "CR102"
    title = "UNKNOWN ATTRIBUTE"

    @classmethod
    def about(cls, name: str, known: Iterable[str] = ()) -> UnknownMethodError:
        """The attribute asked for, and those that exist."""
        seen = f"Values in a function that is being traced have no attribute '{name}'."
        if name in METHODS_INSTEAD:
            return cls(seen, f"Write instead  {METHODS_INSTEAD[name]}")
        if hasattr(np.ndarray, name):
            near = nearest(name, known)
            return cls(
                seen,
                f"NumPy's arrays have it, but chainrule does not know it.{f' The nearest it knows is {near}.' if near else ''}",
            )
        e = cls(seen)
        near = nearest(name, known)
        e.fix = _attribute(e, name, near) if near else ""
        return e


def _attribute(e: ChainruleError, name: str, near: str) -> str:
    """The expression with the attribute's name corrected."""
    from chainrule.errors.source import expression

    x = expression(e.where)
    text = x.text if x is not None else ""
    at = text.rfind(f".{name}")
    return text[: at + 1] + near if at >= 0 and text.endswith(name) else f".{near}"


class UnsupportedArgumentError(ChainruleError, TypeError):
    """An argument that a known function does not take here.

    The function is known, but not with this argument.  It is an error because leaving it out would give another result.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: np.sum(np.exp(x, order="F")))(np.ones(2))
    Traceback (most recent call last):
    ...
    chainrule.errors.UnsupportedArgumentError: -- ARGUMENT NOT SUPPORTED ... CR103
    ...
    np.exp is known, but not with the argument 'order'.
    ...

    Works:

    >>> cr.grad(lambda x: np.sum(np.exp(0 * x)))(np.ones(2))
    array([0., 0.])
    """

    code = "CR103"
    title = "ARGUMENT NOT SUPPORTED"

    @classmethod
    def about(cls, func: Any, names: Iterable[str], accepted: Iterable[str] = ()) -> UnsupportedArgumentError:
        """A function (or its name), the arguments it does not take, and those it takes."""
        name = func if isinstance(func, str) else public_name(func)
        said = " and ".join(f"'{n}'" for n in names)
        known = ", ".join(accepted)
        return cls(f"{name} is known, but not with the argument {said}.", f"It takes {known}." if known else "")
