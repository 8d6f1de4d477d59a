"""Errors about the value behind a handle: asked for where it is not known, cut off, assigned to, or kept too long."""

from __future__ import annotations

import ast
import math
import random
import sys
from typing import Any

import numpy as np

from chainrule.errors.base import ChainruleError
from chainrule.errors.frames import lookup, user_frame
from chainrule.errors.source import Expression, dotted, expression
from chainrule.ir.where import Where

_SCIPY_SPECIAL = {"erf": "erf", "erfc": "erfc", "gamma": "gamma", "lgamma": "gammaln"}
_NUMPY_NAMES = {"pow": "power", "fabs": "abs", "dist": ""}
_ON_LISTS = {"softmax", "log_softmax", "logsumexp"}
_SAMPLE = 0.5


class Called:
    """The call in the user's program that asked for a value."""

    def __init__(self, where: Where | None) -> None:
        self.expression: Expression | None = expression(where)
        self.node = self.expression.node if self.expression is not None and isinstance(self.expression.node, ast.Call) else None
        self.name = (dotted(self.node.func) or "") if self.node is not None else ""
        self.function = lookup(user_frame(), self.name) if self.name else None

    @property
    def stores(self) -> bool:
        """Is it no call but an assignment to an element of an array?"""
        e = self.expression
        return e is not None and isinstance(e.node, ast.Subscript) and isinstance(e.node.ctx, ast.Store)

    def taken(self) -> str:
        """``cr.stop_gradient(a)[i]`` for ``a[i]``, and the like for np.take; empty for anything else."""
        e, n = self.expression, self.node
        if e is not None and isinstance(e.node, ast.Subscript) and isinstance(e.node.ctx, ast.Load):
            return e.with_parts({e.node.value: f"cr.stop_gradient({e.of(e.node.value)})"})
        if e is not None and n is not None and self.function is np.take and n.args:
            return e.with_parts({n.args[0]: f"cr.stop_gradient({e.of(n.args[0])})"})
        return ""

    @property
    def arguments(self) -> str:
        """The source between the parentheses."""
        if self.expression is None or self.node is None:
            return ""
        return ", ".join([self.expression.of(a) for a in self.node.args])

    def replaced(self) -> tuple[str, str]:
        """Why this function cannot be followed, and what to call instead; empty strings if that is not known."""
        f, args = self.function, self.arguments
        if f is None:
            return "", ""
        module = getattr(f, "__module__", None) or ""
        if module == "math" or getattr(math, getattr(f, "__name__", "") or "?", None) is f:
            return f"math.{f.__name__} works on one plain number.", _for_math(f.__name__, args)
        if module.startswith("scipy.special") and f.__name__ in _ON_LISTS:
            return f"scipy.special.{f.__name__} turns its argument into a plain array first.", f"cr.special.{f.__name__}({args})"
        if f is np.array or f is np.asarray:
            return "", self._stacked()
        if f is np.fromiter:
            return "np.fromiter collects plain numbers.", self._from_iterator()
        if isinstance(f, np.vectorize):
            return f"np.vectorize calls its function with plain numbers; cr.vmap({_pyname(f)}) does not.", ""
        return _for_random(f, self.name), ""

    def _stacked(self) -> str:
        first = self.node.args[0] if self.node is not None and self.node.args else None
        return _stack(self.expression, first) if self.expression is not None and isinstance(first, ast.List | ast.Tuple) else ""

    def _from_iterator(self) -> str:
        if self.expression is None or self.node is None or not self.node.args:
            return ""
        first = self.node.args[0]
        text = self.expression.of(first)
        inner = text[1:-1] if isinstance(first, ast.GeneratorExp) and text.startswith("(") else text
        return f"np.stack([{inner}])" if isinstance(first, ast.GeneratorExp) else f"np.stack(list({text}))"


def _pyname(f: Any) -> str:
    """The name of the function that `np.vectorize` was given."""
    name = getattr(f.pyfunc, "__name__", "f")
    return name if name.isidentifier() else "f"


def _for_math(name: str, args: str) -> str:
    """The NumPy or SciPy function that is the same as the one of `math`, compared with it at one number."""
    there = getattr(math, name)
    special = sys.modules.get("scipy.special")
    found = _SCIPY_SPECIAL.get(name)
    other = getattr(special, found, None) if found else getattr(np, _NUMPY_NAMES.get(name, name) or "?", None)
    for numbers in ((_SAMPLE,), (_SAMPLE, _SAMPLE)):
        try:
            agree = other is not None and bool(np.isclose(float(other(*numbers)), there(*numbers), rtol=1e-12))
        except TypeError:
            continue
        prefix = "scipy.special" if found else "np"
        return f"{prefix}.{found or _NUMPY_NAMES.get(name, name)}({args})" if agree else ""
    return ""


def _for_random(f: Any, name: str) -> str:
    owner = getattr(f, "__self__", None)
    if not isinstance(owner, random.Random | np.random.Generator | np.random.RandomState):
        return ""
    return f"{name} draws from plain numbers; loc + scale * cr.random.normal(key, shape) has a derivative."


def _stack(e: Expression, node: ast.expr) -> str:
    if not isinstance(node, ast.List | ast.Tuple):
        return e.of(node)
    return f"np.stack([{', '.join([_stack(e, n) for n in node.elts])}])"


class ConversionError(ChainruleError, TypeError):
    """The derivative would be lost.

    `float(x)`, `x.item()`, `np.asarray(x)` and the functions of `math` make plain numbers.  What is computed from these is a
    constant, and the gradient would be wrong without a word.  Use NumPy's function; or, if it is meant to be a constant, say so
    with `cr.stop_gradient`.

    Fails:

    >>> import math, numpy as np, chainrule as cr
    >>> cr.grad(lambda x: math.exp(x))(0.0)
    Traceback (most recent call last):
    ...
    chainrule.errors.ConversionError: -- DERIVATIVE LOST ... CR105
    ...
    Did you mean  np.exp(x) ?

    Works:

    >>> cr.grad(lambda x: np.exp(x))(0.0)
    np.float64(1.0)
    """

    code = "CR105"
    title = "DERIVATIVE LOST"

    @classmethod
    def about(cls, value: Any, how: str) -> ConversionError:
        """The value, and the function or method that asks for plain numbers."""
        e = cls()
        call = Called(e.where)
        why, e.fix = call.replaced()
        if call.stores:
            e.seen = "An element of a NumPy array is a plain number, so what is assigned here would lose its derivative."
            e.needed = (
                "Collect the parts in a list and join them with np.stack, or start from np.zeros and add what belongs there."
            )
            e.args = (e.seen,)
            return e
        name = {"np.asarray": call.name or "np.asarray", "item": ".item()", "tolist": ".tolist()"}.get(how, how)
        why = why or f"{name} makes plain numbers."
        e.seen = f"{why} {_subject(value)} would lose its derivative."
        e.needed = "" if e.fix or "cr." in why else "If it is to count as a constant, say so:  " + _stopped(call, how)
        e.args = (e.seen,)
        return e


def _subject(value: Any) -> str:
    t = getattr(value, "type", None)
    return "This value" if t is None else f"This value ({t})"


def _stopped(call: Called, how: str) -> str:
    """The call with `cr.stop_gradient` around what it is given."""
    e, n = call.expression, call.node
    if e is not None and n is not None and isinstance(n.func, ast.Attribute) and n.func.attr == how:
        return e.with_parts({n.func.value: f"cr.stop_gradient({e.of(n.func.value)})"})
    if e is not None and n is not None and len(n.args) == 1:
        return e.with_parts({n.args[0]: f"cr.stop_gradient({e.of(n.args[0])})"})
    return "cr.stop_gradient(x)"


class ValueNeededError(ChainruleError, TypeError):
    """A value is needed where there is none yet.

    Under `cr.jit` and `cr.vmap` a function is read once, for all arguments of its kind, so no value is known while it is read.
    An `if`, a `while`, `range(n)` or `float(x)` asks for one.  Choose between values with `np.where`, between computations with
    `cr.cond`, repeat with `cr.while_loop` or `cr.fori_loop`; make an argument a constant with ``static_argnums``.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> f = cr.vmap(lambda x: x if x > 0 else -x)
    >>> f(np.array([1.0, -2.0]))
    Traceback (most recent call last):
    ...
    chainrule.errors.ValueNeededError: -- VALUE NEEDED ... CR104
    ...

    Works:

    >>> f = cr.vmap(lambda x: np.where(x > 0, x, -x))
    >>> f(np.array([1.0, -2.0]))
    array([1., 2.])
    """

    code = "CR104"
    title = "VALUE NEEDED"

    @classmethod
    def about(cls, value: Any, how: str) -> ValueNeededError:
        """The value, and what asks for it."""
        e = cls()
        call = Called(e.where)
        asker, e.needed = _asker(call, how)
        e.fix = call.replaced()[1] or (call.taken() if how == "np.asarray" else "")
        e.needed = "" if e.fix else e.needed
        e.seen = f"{asker} needs a value, but this function is traced for all arguments of its kind: only {value.type} is known."
        e.args = (e.seen,)
        return e


def _asker(call: Called, how: str) -> tuple[str, str]:
    """Who asks for a value, and the way out."""
    e = call.expression
    if how == "bool":
        return _condition(e)
    if how in ("index", "int") and call.name == "range":
        return (
            "range()",
            f"Repeat with  cr.fori_loop(0, {call.arguments or 'n'}, body, init)  or make it a constant with static_argnums.",
        )
    if how == "np.asarray" and e is not None and isinstance(e.node, ast.Subscript):
        return "The index of a NumPy array", ""
    if how == "index":
        return "An index or a size", "Index with the value itself, x[i] works; a size must be a constant: use static_argnums."
    if how in ("float", "int", "complex") and call.name in ("float", "int", "complex"):
        return f"{how}()", f"Leave {how}() out, or convert with .astype({how})."
    name = {"item": ".item()", "tolist": ".tolist()"}.get(how, call.name or how)
    return name, "Keep the value as an array, or call the function without cr.jit and cr.vmap."


def _condition(e: Expression | None) -> tuple[str, str]:
    """The statement that asks for a truth value, and the way out."""
    node, text = (e.node, e.text) if e is not None else (None, "condition")
    parent = e.parent() if e is not None else None
    while e is not None and isinstance(parent, ast.BoolOp | ast.UnaryOp | ast.Compare):
        node, parent = parent, e.parent(parent)
    if e is not None and isinstance(node, ast.expr):
        text = _elementwise(e, node)
    match parent:
        case ast.IfExp(test=test, body=a, orelse=b) if test is node and e is not None:
            return (
                "if ... else",
                f"Choose with  np.where({text}, {e.of(a)}, {e.of(b)})  or, to compute one side only, with cr.cond.",
            )
        case ast.While():
            return "while", f"Repeat with  cr.while_loop(lambda state: {text}, body, state)."
        case ast.Assert():
            return "assert", "Check the results after the call, or the arguments before it."
        case ast.If():
            return (
                "if",
                f"Choose between values with  np.where({text}, a, b), or between computations with  cr.cond({text}, f, g, ...).",
            )
        case _:
            whole = f"np.where({text}, a, b)" if text else "np.where"
            return (
                "A truth value",
                f"Combine conditions with & and |, choose with  {whole}  or cr.cond, repeat with cr.while_loop.",
            )


def _elementwise(e: Expression, node: ast.expr) -> str:
    """A condition with & for `and`, | for `or` and ~ for `not`, which work on arrays."""
    match node:
        case ast.BoolOp(op=op, values=values):
            return (" & " if isinstance(op, ast.And) else " | ").join([f"({_elementwise(e, v)})" for v in values])
        case ast.UnaryOp(op=ast.Not(), operand=v):
            return f"~({_elementwise(e, v)})"
        case ast.Compare(left=left, comparators=rest) if len(rest) > 1:
            every = [left, *rest]
            between = [e.between(a, b) for a, b in zip(every, rest, strict=False)]
            return " & ".join([f"({e.of(a)}{o}{e.of(b)})" for a, o, b in zip(every, between, rest, strict=False)])
        case _:
            return e.of(node)


class InPlaceError(ChainruleError, TypeError):
    """An array in a traced function cannot be changed in place.

    Values are never overwritten, so that each keeps its derivative.  ``x += y`` is fine (it makes a new value);
    ``x[i] = v`` and ``out=`` are not.  Make the new array with `np.where` or `np.concatenate`, or collect parts in a list and
    `np.stack` it.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> def f(x):
    ...     x[x < 0] = 0.0
    ...     return np.sum(x)
    >>> cr.grad(f)(np.array([-1.0, 2.0]))
    Traceback (most recent call last):
    ...
    chainrule.errors.InPlaceError: -- CHANGED IN PLACE ... CR106
    ...
    Did you mean  x = np.where(x < 0, 0.0, x) ?

    Works:

    >>> def f(x):
    ...     x = np.where(x < 0, 0.0, x)
    ...     return np.sum(x)
    >>> cr.grad(f)(np.array([-1.0, 2.0]))
    array([0., 1.])
    """

    code = "CR106"
    title = "CHANGED IN PLACE"

    @classmethod
    def about(cls, value: Any, key: Any, new: Any = None) -> InPlaceError:
        """An assignment ``value[key] = new``, or with the key ``"out"`` a result to be written into an array."""
        if isinstance(key, str):
            return cls._into_array(key)
        e = cls("An array in a function that is being differentiated cannot be assigned to.")
        e.fix = _assigned(expression(e.where), value, key, new)
        e.needed = (
            ""
            if e.fix
            else "Make a new one: np.where(mask, v, x), np.concatenate([x[:i], v, x[j:]]), or a list of parts and np.stack."
        )
        return e

    @classmethod
    def _into_array(cls, key: str) -> InPlaceError:
        e = cls(f"{key}= asks for a result to be written into an array; here each result is a new value.")
        e.fix = _plain(expression(e.where))
        if e.fix:
            e.seen = "A NumPy array cannot take in a value that is being differentiated."
        e.needed = "" if e.fix else f"Leave {key}= out and use the result:  y = f(x)"
        e.args = (e.seen,)
        return e


def _plain(e: Expression | None) -> str:
    """``a = a + x`` for ``a += x``; empty for anything else."""
    if e is None or not isinstance(e.node, ast.AugAssign):
        return ""
    target, v = e.of(e.node.target), e.node.value
    operator = e.text[len(target) :].split("=", 1)[0].strip()
    return f"{target} = {target} {operator} {e.atom(v)}"


def _assigned(e: Expression | None, x: Any, key: Any, new: Any) -> str:
    """A new array that is equal to `x` after ``x[key] = new``: tried out on numbers."""
    if e is None or not isinstance(e.node, ast.Subscript) or x.size > 100_000:
        return ""
    statement = e.parent()
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return ""
    name, index, v = e.of(e.node.value), e.of(e.node.slice), e.of(statement.value)
    for code, mask in _masks(name, index, x.shape, key):
        if _same(x.shape, key, mask, np.shape(new)):
            return f"{name} = np.where({code}, {v}, {name})"
    return ""


def _masks(name: str, index: str, shape: tuple[int, ...], key: Any) -> list[tuple[str, Any]]:
    """Ways to say as a mask which elements are meant; each with the mask."""
    dtype = getattr(key, "dtype", None)
    if dtype is not None and dtype.kind == "b":
        return [(index, np.ones(key.shape, bool))]
    if isinstance(key, int) and shape and -shape[0] <= key < shape[0]:
        tail = "[:, None]" if len(shape) == 2 else ""
        mask = (np.arange(shape[0]) == key % shape[0])[(..., *[None] * (len(shape) - 1))]
        said = index if key >= 0 else f"len({name}) - {index.lstrip('-')}"
        return [(f"np.arange(len({name})){tail} == {said}", mask)] if len(shape) <= 2 else []
    return []


def _same(shape: tuple[int, ...], key: Any, mask: Any, new: tuple[int, ...]) -> bool:
    x = np.arange(float(np.prod(shape))).reshape(shape)
    v = -1.0 - np.arange(float(np.prod(new))).reshape(new)
    y = x.copy()
    try:
        y[mask if getattr(key, "dtype", None) is not None else key] = v
        return bool(np.array_equal(np.where(mask, v, x), y))
    except (ValueError, IndexError):
        return False


class EscapedValueError(ChainruleError, RuntimeError):
    """A value was used outside the function it belongs to.

    A value inside a function that is being differentiated stands for a number that belongs to this one call.  Stored in a
    global, a list or an object and used later, it means nothing.  Return it: ``has_aux=True`` lets a function return more than
    what is differentiated.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> kept = []
    >>> def f(x):
    ...     kept.append(x * x)
    ...     return np.sum(x)
    >>> _ = cr.grad(f)(np.ones(2))
    >>> kept[0] + 1
    Traceback (most recent call last):
    ...
    chainrule.errors.EscapedValueError: -- USED OUTSIDE ITS FUNCTION ... CR107
    ...

    Works:

    >>> def f(x):
    ...     return np.sum(x), x * x
    >>> gradient, squares = cr.grad(f, has_aux=True)(np.ones(2))
    >>> squares + 1
    array([2., 2.])
    """

    code = "CR107"
    title = "USED OUTSIDE ITS FUNCTION"

    @classmethod
    def about(cls, value: Any) -> EscapedValueError:
        """A value whose function has returned."""
        return cls.outside([value])

    @classmethod
    def outside(cls, values: Any = ()) -> EscapedValueError:
        """Values used while no function is being traced."""
        made = next((w for x in values if (w := _made(x)) is not None), None)
        place = f" It was made in `{made.function}`, {made}: {made.source}" if made is not None else ""
        return cls(
            f"A value was used after the function it belongs to had returned.{place}",
            "Return it from the function instead, with has_aux=True if it is not to be differentiated.",
        )


def _made(value: Any) -> Where | None:
    """Where a value was made."""
    atom, builder = getattr(value, "atom", None), getattr(value, "builder", None)
    return next((e.where for e in getattr(builder, "eqns", ()) if any(v is atom for v in e.outs)), None)
