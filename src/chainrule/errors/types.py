"""Errors about what arrays are: shapes, dtypes, axes, containers, and numbers that are none."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import fixes
from chainrule.errors.base import ChainruleError
from chainrule.errors.source import Expression, dotted, expression

_PRODUCTS = ("dot", "matmul", "inner", "vdot")


def _sizes(e: Expression | None, shapes: Sequence[Any]) -> list[tuple[str, str]]:
    """What the operands are called, and their shapes."""
    nodes = e.operands(len(shapes)) if e is not None else None
    few = ("the left operand", "the right operand") if len(shapes) == 2 else [f"operand {k + 1}" for k in range(len(shapes))]
    names = [e.of(n) for n in nodes] if e is not None and nodes is not None else few
    return [(n if len(n) <= 40 and "\n" not in n else w, str(s)) for n, w, s in zip(names, few, shapes, strict=True)]


def _said(e: Expression | None, shapes: Sequence[Any]) -> str:
    return ", ".join(f"{name} is {shape}" for name, shape in _sizes(e, shapes))


class ShapeError(ChainruleError, ValueError):
    """Shapes disagree.

    NumPy lines up the last axes of two arrays; sizes must be equal, or one of them 1.  A matrix product needs as many columns
    on the left as there are rows on the right, and in `einsum` each letter stands for one size.  The error says the shapes as
    they were, by the names they have in your program; a suggestion was tried out on arrays of these shapes.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> X, y = np.ones((5, 3)), np.ones(5)
    >>> cr.grad(lambda w: np.sum((w @ X - y) ** 2))(np.ones(3))
    Traceback (most recent call last):
    ...
    chainrule.errors.ShapeError: -- SHAPES DISAGREE ... CR203
    ...
    Did you mean  w @ X.T ?

    Works:

    >>> cr.grad(lambda w: np.sum((w @ X.T - y) ** 2))(np.ones(3))
    array([20., 20., 20.])
    """

    code = "CR203"
    title = "SHAPES DISAGREE"

    @classmethod
    def broadcasting(cls, shapes: Sequence[tuple[int, ...]]) -> ShapeError:
        """Shapes of operands of an elementwise function."""
        e = cls()
        x = expression(e.where)
        e.seen = f"Shapes {' and '.join(map(str, shapes))} do not broadcast: {_said(x, shapes)}."
        e.needed = "From the last axis on, sizes must be equal, or one of them 1."
        e.fix = fixes.rearranged(x, shapes, lambda *xs: np.broadcast_arrays(*xs)[0], keep_shape=True)
        return e._told()

    @classmethod
    def product(cls, a: tuple[int, ...], b: tuple[int, ...], run: Callable[..., Any] = np.matmul) -> ShapeError:
        """Shapes of the factors of a matrix product (`run` is NumPy's function for it)."""
        e = cls()
        x = expression(e.where)
        e.seen = f"The shapes of a matrix product do not fit: {_said(x, [a, b])}."
        if not a or not b:
            e.needed = "A single number has no axis to sum over: multiply with *."
            return e._told()
        at = -1 if len(b) == 1 else -2
        e.needed = f"The last axis of the left ({a[-1]}) and the {'only' if at == -1 else 'last but one'} axis of the right "
        e.needed += f"({b[at]}) must be equal." if a[-1] != b[at] else "are equal, but the leading axes do not broadcast."
        single = [s for s in (a, b) if len(s) > 1]
        e.fix = (single and fixes.rearranged(x, [a, b], run)) or fixes.swapped(x, [a, b], run)
        return e._told()

    @classmethod
    def einsum(cls, spec: str, shapes: Sequence[tuple[int, ...]]) -> ShapeError:
        """An einsum specification, as the user wrote it, and the shapes of its operands."""
        e = cls()
        x = expression(e.where)
        terms = spec.replace(" ", "").partition("->")[0].split(",")
        named = _sizes(x, shapes)
        e.seen = _letters(terms, named, shapes)
        e.needed = "Each letter stands for one size."
        if len(terms) == len(shapes) and any(len(t.replace("...", "")) > len(s) for t, s in zip(terms, shapes, strict=True)):
            e.needed = "Each axis has one letter."
        e.fix = fixes.with_spec(x, spec, fixes.relettered(spec, shapes))
        return e._told()

    @classmethod
    def contraction(cls, shapes: Sequence[tuple[int, ...]]) -> ShapeError:
        """Shapes of the operands of a sum of products: what it is called depends on how the user wrote it."""
        x = expression(cls().where)
        call = dotted(x.node.func) if x is not None and isinstance(x.node, ast.Call) else None
        name = (call or "").rsplit(".", 1)[-1]
        if len(shapes) == 2 and name in _PRODUCTS:
            return cls.product(shapes[0], shapes[1], getattr(np, name))
        if len(shapes) == 2 and x is not None and isinstance(x.node, ast.BinOp):
            return cls.product(shapes[0], shapes[1])
        written = x.node.args[0] if x is not None and isinstance(x.node, ast.Call) and x.node.args else None
        if isinstance(written, ast.Constant) and isinstance(written.value, str):
            return cls.einsum(written.value, shapes)
        return cls(f"The axes that are summed over have different sizes: {_said(x, shapes)}.")

    @classmethod
    def joining(cls, shapes: Sequence[tuple[int, ...]], axis: int) -> ShapeError:
        """Shapes of arrays to be concatenated along `axis`."""
        e = cls()
        x = expression(e.where)
        e.seen = f"Arrays of these shapes cannot be joined along axis {axis}: {_said(x, shapes)}."
        e.needed = "They must have the same number of axes, and the same sizes along all axes but the one they are joined along."
        e.fix = fixes.along_axis(x, shapes, axis)
        return e._told()

    @classmethod
    def stacking(cls, shapes: Sequence[tuple[int, ...]]) -> ShapeError:
        """Shapes of arrays to be stacked along a new axis."""
        e = cls()
        e.seen = f"Arrays that are stacked have one shape; here {_said(expression(e.where), shapes)}."
        return e._told()

    @classmethod
    def reshaping(cls, shape: tuple[int, ...], new: tuple[int, ...]) -> ShapeError:
        """An array of `shape` that is to become `new`."""
        e = cls()
        size = int(np.prod(shape))
        many = f", which has {int(np.prod(new))}" if -1 not in new else ""
        e.seen = f"An array with {size} elements cannot take the shape {new}{many}."
        e.fix = fixes.reshaped(expression(e.where), size, new)
        return e._told()

    @classmethod
    def ragged(cls, x: Sequence[Any]) -> ShapeError:
        """Nested lists of unequal lengths."""
        return cls(
            _ragged(x), "All rows of an array have the same length: pad the short ones, or pass the rows as a list of arrays."
        )

    @classmethod
    def empty(cls, what: str) -> ShapeError:
        """Data without elements, where `what` needs some."""
        return cls(
            f"{what} of no elements is not defined: the array is empty.", "Pass at least one element, or give an initial value."
        )

    def _told(self) -> ShapeError:
        self.args = (self.seen,)
        return self


def _letters(terms: Sequence[str], named: Sequence[tuple[str, str]], shapes: Sequence[tuple[int, ...]]) -> str:
    if len(terms) != len(shapes):
        return f"The specification has {len(terms)} operands, and {len(shapes)} were given."
    sizes: dict[str, tuple[int, str]] = {}
    for term, (name, _), shape in zip(terms, named, shapes, strict=True):
        if "..." in term:
            continue
        if len(term) != len(shape):
            return f"'{term}' names {len(term)} axes, and {name} has {len(shape)}: {shape}."
        for letter, n in zip(term, shape, strict=True):
            known, owner = sizes.setdefault(letter, (n, name))
            if known != n:
                return f"Axis '{letter}' is {known} in {owner} and {n} in {name}."
    return f"The shapes do not fit the specification: {', '.join(f'{n} is {s}' for n, s in named)}."


def _ragged(x: Any, path: str = "") -> str:
    lengths: list[int] = [len(y) if isinstance(y, list | tuple) else 0 for y in x]  # pyright: ignore[reportUnknownArgumentType]
    for k, n in enumerate(lengths):
        if n != lengths[0]:
            return f"The rows of this list have different lengths: row {path}0 has {lengths[0]} and row {path}{k} has {n}."
    inner = [_ragged(y, f"{path}{k}, ") for k, y in enumerate(x) if lengths[k]]
    return next((s for s in inner if "different lengths" in s), "The entries of this list are not of one shape.")


class AxisError(ChainruleError, np.exceptions.AxisError):
    """There is no such axis.

    Axes are counted from 0, or from -1 backwards.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: np.sum(np.sum(x, axis=2)))(np.ones((2, 3)))
    Traceback (most recent call last):
    ...
    chainrule.errors.AxisError: -- NO SUCH AXIS ... CR202
    ...
    There is no axis 2: the array has 2 axes.
    They are numbered 0 to 1, or -2 to -1.

    Works:

    >>> cr.grad(lambda x: np.sum(np.sum(x, axis=1)))(np.ones((2, 3)))
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """

    code = "CR202"
    title = "NO SUCH AXIS"

    @classmethod
    def of(cls, axis: int, ndim: int) -> AxisError:
        """An axis that an array of `ndim` axes lacks."""
        count = f"{ndim} ax{'is' if ndim == 1 else 'es'}"
        e = cls(
            f"There is no axis {axis}: the array has {count}.",
            f"They are numbered 0 to {ndim - 1}, or {-ndim} to -1." if ndim else "",
        )
        e.axis, e.ndim = axis, ndim
        return e

    @classmethod
    def repeated(cls) -> AxisError:
        """One axis named twice."""
        return cls("The same axis is named twice.", "Name each axis once.")


class DtypeError(ChainruleError, TypeError):
    """This is not a number, or not one of a kind that the operation takes.

    Arguments are numbers, arrays of numbers, or containers of these.  Text, None and arrays of dtype object are none; some
    functions have no meaning for some dtypes (a bitwise operation for floats, an order for complex numbers).

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.grad(lambda x: x * x)("3")
    Traceback (most recent call last):
    ...
    chainrule.errors.DtypeError: -- NOT A NUMBER ... CR201
    ...
    grad: text was given ('3'), where a number or an array of numbers is needed.

    Works:

    >>> cr.grad(lambda x: x * x)(float("3"))
    np.float64(6.0)
    """

    code = "CR201"
    title = "NOT A NUMBER"

    @classmethod
    def of(cls, x: Any, name: str = "") -> ChainruleError:
        """Something that is no array of numbers, given to `name`."""
        if isinstance(x, list | tuple) and _is_ragged(x):  # pyright: ignore[reportUnknownArgumentType]
            return ShapeError.ragged(x)  # pyright: ignore[reportUnknownArgumentType]
        head = f"{name}: " if name else ""
        said, needed = _described(x)
        return cls(f"{head}{said}, where a number or an array of numbers is needed.", needed)

    @classmethod
    def subclass(cls, x: Any, name: str = "") -> DtypeError:
        """A masked array or a matrix, whose elements or products mean something else than those of an array."""
        head = f"{name}: " if name else ""
        if isinstance(x, np.matrix):
            return cls(f"{head}a np.matrix was given, for which * is the matrix product.", "Pass np.asarray(x), and write @.")
        return cls(
            f"{head}a masked array was given; masks are not followed, so what is masked would count.",
            "Pass x.filled(value), or the data and np.where(mask, 0, data).",
        )


def _is_ragged(x: Any) -> bool:
    try:
        np.asarray(x)
    except ValueError:
        return True
    return False


def _described(x: Any) -> tuple[str, str]:
    if x is None:
        return "None was given", "Has a function forgotten to return its result?"
    if isinstance(x, str | bytes):
        return f"text was given ({x!r:.60})", ""
    a: Any = np.asarray(x)
    kind = a.dtype.kind
    if kind == "O" and isinstance(x, np.ndarray):
        types = sorted({type(v).__name__ for v in a.flat[:100]})
        return (
            f"an array of dtype object was given (it holds {', '.join(types) or 'nothing'})",
            "If all of it is numbers, x.astype(float) makes them so.",
        )
    if kind == "O":
        return f"something of type {type(x).__name__} was given", ""
    if kind in "Mm":
        return (
            f"dates or times were given (dtype {a.dtype})",
            "Subtract a date and divide by np.timedelta64(1, 's') to have numbers.",
        )
    return f"an array of dtype {a.dtype} was given", ""


class TreeError(ChainruleError, ValueError):
    """Containers differ.

    Arguments and results may be nested lists, tuples, dicts, named tuples and dataclasses.  Where two of them must look alike (a
    tangent and what it is a tangent of, the results of two branches) the error names the first place where they differ.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> f = lambda p: p["w"] * p["b"]
    >>> cr.jvp(f, ({"w": 2.0, "b": 3.0},), ({"w": 1.0},))
    Traceback (most recent call last):
    ...
    chainrule.errors.TreeError: -- CONTAINERS DIFFER ... CR204
    ...
    jvp: [0]['b'] is missing.
    ...

    Works:

    >>> cr.jvp(f, ({"w": 2.0, "b": 3.0},), ({"w": 1.0, "b": 0.0},))
    (np.float64(6.0), np.float64(3.0))
    """

    code = "CR204"
    title = "CONTAINERS DIFFER"

    @classmethod
    def differ(cls, name: str, wanted: Sequence[str], given: Sequence[str]) -> TreeError:
        """Two containers, each as the paths of its leaves."""
        missing = [p for p in wanted if p not in given]
        extra = [p for p in given if p not in wanted]
        says = [f"{_path(missing[0])} is missing"] if missing else []
        says += [f"{_path(extra[0])} is not expected"] if extra else []
        if not says:
            says = ["the containers hold the same things, but are of different types"]
        return cls(
            f"{name}: {', and '.join(says)}.",
            f"Needed is a container with {_listed(wanted)}; given was one with {_listed(given)}.",
        )


def _path(p: str) -> str:
    return p or "a single value"


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    return (", ".join(map(_path, paths[:6])) or "nothing") + more
