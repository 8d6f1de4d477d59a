"""Operands made ready for a row: dtypes by NumPy's promotion, shapes by written-out broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.builder import Builder, current
from chainrule.build.row import Row
from chainrule.build.value import FUNCTIONS, METHODS, UFUNCS, Value
from chainrule.ir.graph import Lit
from chainrule.ir.types import ArrayType, DType
from chainrule.prims.linear import cast, reshape, spread

_WEAK = {int: np.dtype(np.int64), float: np.dtype(np.float64), complex: np.dtype(np.complex128)}


def implements(*functions: Any, method: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say that the decorated function is what these NumPy functions (and this ndarray method) mean for traced values."""

    def decorate(f: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            (UFUNCS if isinstance(function, np.ufunc) else FUNCTIONS)[function] = f
        if method is not None:
            METHODS[method] = f
        return f

    return decorate


def value(x: Any) -> Value:
    """Anything array-like as a value of the builder at work."""
    if isinstance(x, Value):
        return x
    a = _array(x)
    return current().constant(a)


def refuse(x: Any, name: str = "") -> None:
    """Raise for the subclasses of ndarray whose elements, or whose product, mean something else."""
    if isinstance(x, np.matrix | np.ma.MaskedArray):
        raise errors.DtypeError.subclass(x, name)


def _array(x: Any) -> Any:
    if type(x) is not np.ndarray:
        refuse(x)
    if isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "biufc":
        return x if isinstance(x, np.ndarray) else np.asarray(x)
    if isinstance(x, list | tuple) and _holds_value(x):  # pyright: ignore[reportUnknownArgumentType]
        raise errors.ConversionError.about(x, "np.array")
    try:
        a = np.asarray(x)
    except ValueError:
        raise errors.DtypeError.of(x) from None
    if a.dtype.kind not in "biufc":
        raise errors.DtypeError.of(x)
    return a


def _holds_value(x: Any) -> bool:
    return isinstance(x, Value) or (isinstance(x, list | tuple) and any(map(_holds_value, x)))  # pyright: ignore[reportUnknownArgumentType]


def stacked(x: Any) -> Any:
    """Nested lists that hold traced values, as one value; anything else as it is."""
    if isinstance(x, list | tuple) and _holds_value(x):  # pyright: ignore[reportUnknownArgumentType]
        return FUNCTIONS[np.stack]([stacked(y) for y in x])  # pyright: ignore[reportUnknownVariableType]
    return x


def array(x: Any) -> Value:
    """Anything array-like, nested lists that hold traced values included, as one value."""
    return x if type(x) is Value else value(stacked(x))


def no_out(out: Any) -> None:
    """Results are new values: there is nothing to write them into."""
    if out is not None and not (type(out) is tuple and all(x is None for x in out)):  # pyright: ignore[reportUnknownVariableType]
        raise errors.InPlaceError.about(out, "out")


# --- shapes -----------------------------------------------------------------------------------------------------------------


def broadcast_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape NumPy gives to an elementwise result."""
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise errors.ShapeError.broadcasting(shapes) from None


def broadcast(x: Value, shape: tuple[int, ...]) -> Value:
    """`x` repeated to `shape`; size-1 axes and missing leading axes are repeated."""
    old = x.shape
    if old == shape:
        return x
    if isinstance(x.atom, Lit) and x.atom.splat:
        return Value(x.builder, Lit(x.atom.value, ArrayType(x.dtype, shape)), x.data)
    new = len(shape) - len(old)
    if new < 0 or any(m not in (1, n) for m, n in zip(old, shape[new:], strict=True)):
        raise errors.ShapeError(f"shape {old} does not broadcast to {shape}")
    ones = [k for k, (m, n) in enumerate(zip(old, shape[new:], strict=True)) if m != n]
    if ones:
        x = reshape(x, shape=tuple([m for k, m in enumerate(old) if k not in ones]))
    return spread(x, shape=shape, axes=(*range(new), *[k + new for k in ones]))


def retyped(x: Value, dtype: DType) -> Value:
    """`x` with another dtype."""
    if x.dtype == dtype:
        return x
    if isinstance(x.atom, Lit):
        a = x.atom.value.astype(dtype)
        return Value(x.builder, Lit(a, ArrayType(dtype, x.shape)), a)
    return cast(x, dtype=dtype)


def axis_tuple(axis: Any, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted, checked."""
    axes = range(ndim) if axis is None else (axis,) if np.ndim(axis) == 0 else axis
    out: list[int] = []
    for a in axes:
        k = a.__index__()
        if not -ndim <= k < ndim:
            raise errors.AxisError.of(k, ndim)
        out.append(k % ndim)
    if len(set(out)) != len(out):
        raise errors.AxisError.repeated()
    return tuple(sorted(out))


# --- elementwise ---------------------------------------------------------------------------------------------------------------


class Elementwise:
    """A ufunc on traced values: promote, broadcast, write one row."""

    __slots__ = ("loops", "plain", "row", "ufunc", "write")

    def __init__(self, ufunc: Any, row: Row | None = None, write: Callable[..., Value] | None = None) -> None:
        self.ufunc = ufunc
        self.row = row
        self.write = write or row
        self.loops: dict[Any, Any] = {}
        self.plain: set[Any] = set()
        """dtypes for which equal operands go to the row as they are."""

    def __call__(self, *xs: Any, **kwargs: Any) -> Value:
        if not kwargs:
            first = xs[0]
            if len(xs) == 1:
                if type(first) is Value and first.atom.type.dtype in self.plain:
                    return self.write(first)  # pyright: ignore[reportOptionalCall]
            else:
                second = xs[1]
                if type(first) is Value and type(second) is Value:
                    t = first.atom.type
                    if t == second.atom.type and t.dtype in self.plain:
                        return self.write(first, second)  # pyright: ignore[reportOptionalCall]
        return self.general(*xs, **kwargs)

    def general(
        self, *xs: Any, out: Any = None, where: Any = True, dtype: Any = None, casting: Any = None, **kwargs: Any
    ) -> Value:
        no_out(out)
        given = {"where": where is not True, "casting": casting not in (None, "same_kind"), **dict.fromkeys(kwargs, True)}
        if any(given.values()):
            raise errors.UnsupportedArgumentError.about(self.ufunc, [k for k, v in given.items() if v], ["dtype"])
        b = current(xs)
        kinds: list[Any] = []
        shapes: list[tuple[int, ...]] = []
        operands: list[Any] = []
        for x in xs:
            if type(x) is Value:
                t = x.atom.type
                kinds.append(getattr(x.atom, "weak", None) or t.dtype)
                shapes.append(t.shape)
            elif type(x) in _WEAK:
                kinds.append(type(x))
                shapes.append(())
            else:
                x = stacked(x)
                x = x if type(x) is Value else _array(x)
                kinds.append(x.dtype)
                shapes.append(x.shape)
            operands.append(x)
        loop = self.loops.get(key := (*kinds, dtype)) or self._resolve(key)
        shape = broadcast_shape(shapes)
        ins = [_fit(b, x, d, shape) for x, d in zip(operands, loop, strict=True)]
        return self.write(*ins)  # pyright: ignore[reportOptionalCall]

    def _resolve(self, key: tuple[Any, ...]) -> tuple[DType, ...]:
        """dtypes of the loop NumPy would choose, Python numbers being weak."""
        *kinds, dtype = key
        if all(k in _WEAK for k in kinds):
            kinds = [_WEAK[k] for k in kinds]
        given: Any = {} if dtype is None else {"signature": (*[None] * self.ufunc.nin, np.dtype(dtype)), "casting": "same_kind"}
        try:
            found = self.ufunc.resolve_dtypes((*kinds, *[None] * self.ufunc.nout), **given)
        except TypeError:
            names = " and ".join(getattr(k, "name", None) or k.__name__ for k in kinds)
            raise errors.DtypeError(f"np.{self.ufunc.__name__} has no meaning for {names}") from None
        loop = self.loops[key] = tuple(found[: self.ufunc.nin])
        if dtype is None and all(k == kinds[0] == d for k, d in zip(kinds, loop, strict=True)):
            self.plain.add(kinds[0])
        return loop


def _fit(b: Builder, x: Any, dtype: DType, shape: tuple[int, ...]) -> Value:
    """The operand `x` with this dtype and shape."""
    if type(x) is Value:
        t = x.atom.type
        if t.shape == shape and t.dtype == dtype:
            return x
        return broadcast(retyped(x, dtype), shape)
    a = np.asarray(x, dtype)
    if a.ndim == 0:
        return Value(b, Lit(a, ArrayType(dtype, shape)), a)
    return broadcast(b.constant(a), shape)


def ufunc(u: Any, row: Row | None = None, write: Callable[..., Value] | None = None) -> Elementwise:
    """Say which row a ufunc is (or how to write it with rows)."""
    e = UFUNCS[u] = Elementwise(u, row, write)
    return e
