"""The kinds of row.  Each kind says which columns are written and which are derived.

==============  ==========================  ====================================================
kind            you write                   derived for you
==============  ==========================  ====================================================
``unary``       value, dy/dx, notation      type, jvp, batch (transpose: never needed)
``binary``      value, both partials, ...   type, jvp, batch (transpose: never needed)
``flat``        value, notation             its derivative is zero wherever it has one
``linear``      value, type, transpose, ... jvp: the function itself, on the tangents
``multilinear`` value, type, transposes ... jvp: the product rule
``structured``  everything                  nothing
==============  ==========================  ====================================================

Operands of elementwise rows have equal shapes: broadcasting is written out by `spread` before it comes to a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.builder import current
from chainrule.build.row import LINE, BatchRule, Interval, Operand, PushRule, Row, Tangent, TypeRule, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Lit, Params, number
from chainrule.ir.types import ArrayType

Partial = Callable[..., "Value | float"]
Unary = Callable[[Value, Value], "Value | float"]
Binary = Callable[[Value, Value, Value], "Value | float"]


def zeros(t: ArrayType) -> Value:
    """The constant zero of this type: no equation, one number."""
    return constant(0, t)


def constant(x: complex, t: ArrayType) -> Value:
    """One number for all elements of this type: no equation."""
    lit = number(x, t)
    return Value(current(), lit, lit.value)


def dense(d: Tangent) -> Value:
    """A tangent as a value, zeros written out."""
    return zeros(d.type) if isinstance(d, Zero) else d


def plus(a: Tangent, b: Tangent) -> Tangent:
    """Sum of tangents, where a known zero costs nothing."""
    return b if isinstance(a, Zero) else a if isinstance(b, Zero) else a + b


def times(d: Tangent, factor: Value | float) -> Tangent:
    """Tangent times a local derivative, where 0, 1 and -1 cost nothing."""
    if isinstance(d, Zero):
        return d
    if isinstance(factor, Value):
        if not isinstance(factor.atom, Lit):
            return d * factor
        if not factor.atom.splat:
            return d * factor
        known: Any = factor.atom.value.item()
    else:
        known = factor
    return Zero(d.type) if known == 0 else d if known == 1 else -d if known == -1 else d * factor


# --- types ------------------------------------------------------------------------------------------------------------


def loop_type(value: Callable[..., Any]) -> TypeRule:
    """Type of an elementwise row: the shape of its operands, the dtype of the ufunc's loop for theirs."""
    known: dict[Any, Any] = {}

    def rule(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
        first = ts[0]
        key = first.dtype if len(ts) == 1 else tuple([t.dtype for t in ts])
        dtype = known.get(key)
        if dtype is None:
            dtype = known[key] = _loop_dtype(value, [t.dtype for t in ts])
        for t in ts:
            if t.shape != first.shape:
                raise errors.ShapeError(f"an elementwise operation met shapes {' and '.join(map(str, ts))}")
        return (first,) if dtype == first.dtype else (ArrayType(dtype, first.shape),)

    return rule


def _loop_dtype(value: Callable[..., Any], dtypes: Sequence[Any]) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(value(*[np.ones((), d) for d in dtypes])).dtype


# --- batching ---------------------------------------------------------------------------------------------------------


def size_of(xs: Sequence[Value], mapped: Sequence[bool]) -> int:
    """Length of the new leading axis."""
    return next(x.shape[0] for x, m in zip(xs, mapped, strict=True) if m)


def batched(x: Value, mapped: bool, n: int) -> Value:
    """`x` with the batch axis, repeated along it if it has none."""
    if mapped:
        return x
    if isinstance(x.atom, Lit) and x.atom.splat:
        return Value(x.builder, Lit(x.atom.value, ArrayType(x.dtype, (n, *x.shape))), x.data)
    from chainrule.prims.linear import spread

    return spread(x, shape=(n, *x.shape), axes=(0,))


def batch_pointwise(row: Callable[[], Row]) -> BatchRule:
    """Batching of anything elementwise: give every operand the batch axis, apply as before."""

    def batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
        n = size_of(xs, mapped)
        return row().all(*[batched(x, m, n) for x, m in zip(xs, mapped, strict=True)], **p)

    return batch


# --- the kinds --------------------------------------------------------------------------------------------------------


def elementwise(
    name: str, kind: str, value: Callable[..., Any], partials: Sequence[Partial], notation: str, python: str, **columns: Any
) -> Row:
    """Any number of arguments: write one partial derivative for each, as functions of the arguments and the value."""

    def jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
        dy: Tangent = Zero(ys[0].type)
        for partial, dx in zip(partials, dxs, strict=True):
            if not isinstance(dx, Zero):
                dy = plus(dy, times(dx, partial(*xs, ys[0])))
        return (dy,)

    on = columns.pop("on", ())
    on = (on,) if isinstance(on, Interval) else tuple(on)
    row = Row(
        name=name, kind=kind, value=value, type=loop_type(value), jvp=jvp, batch=batch_pointwise(lambda: row),
        arity=len(partials), notation=notation, python=python or _source(name, value), pointwise=True, partials=tuple(partials),
        on=on or (LINE,) * len(partials), **columns,
    )  # fmt: skip
    return row


def _source(name: str, value: Callable[..., Any]) -> str:
    """What the function is called by those who write NumPy."""
    return f"np.{name}" if getattr(np, name, None) is value else f"scipy.special.{name}"


def unary(
    name: str,
    value: Callable[..., Any],
    d: Unary,
    notation: str,
    *,
    python: str = "",
    monotone: int | None = None,
    expansion: Callable[[Value], Value] | None = None,
    **columns: Any,
) -> Row:
    """One argument: write dy/dx as a function of (x, y)."""
    return elementwise(name, "unary", value, (d,), notation, python, monotone=(monotone,), expansion=expansion, **columns)


def binary(
    name: str,
    value: Callable[..., Any],
    d: tuple[Binary, Binary],
    notation: str,
    *,
    python: str = "",
    expansion: Callable[[Value, Value], Value] | None = None,
    **columns: Any,
) -> Row:
    """Two arguments: write (dz/dx, dz/dy), each as a function of (x, y, z)."""
    return elementwise(name, "binary", value, d, notation, python, expansion=expansion, **columns)


def flat(
    name: str,
    value: Callable[..., Any],
    notation: str,
    *,
    arity: int = 1,
    python: str = "",
    expansion: Callable[[Value, Value], Value] | None = None,
    **columns: Any,
) -> Row:
    """Constant between jumps: the derivative is zero wherever there is one."""
    return elementwise(name, "flat", value, (_nothing,) * arity, notation, python, expansion=expansion, **columns)


def _nothing(*_: Value) -> float:
    return 0.0


def linear(
    name: str,
    value: Callable[..., Any] | None,
    transpose: Callable[[Value, Sequence[Operand], Params], Sequence[Value | None]],
    notation: str,
    *,
    type: TypeRule,
    batch: BatchRule | None = None,
    **columns: Any,
) -> Row:
    """Linear in all its arguments together: it is its own derivative; write its transpose."""

    def jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
        if all(isinstance(d, Zero) for d in dxs):
            return (Zero(ys[0].type),)
        return row.all(*map(dense, dxs), **p)

    def flip(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
        (ct,) = cts
        return [None] * len(xs) if isinstance(ct, Zero) else transpose(ct, xs, p)

    row = Row(
        name=name, kind="linear", value=value, type=type, jvp=jvp, transpose=flip,
        batch=batch or batch_pointwise(lambda: row), notation=notation, **columns,
    )  # fmt: skip
    return row


def multilinear(
    name: str,
    value: Callable[..., Any],
    transpose: Callable[[Value, Sequence[Operand], int, Params], Value],
    notation: str,
    *,
    type: TypeRule,
    batch: BatchRule | None = None,
    **columns: Any,
) -> Row:
    """Linear in each argument apart: the jvp is the product rule; write one transpose per argument."""

    def jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
        dy: Tangent = Zero(ys[0].type)
        for i, dx in enumerate(dxs):
            if not isinstance(dx, Zero):
                dy = plus(dy, row(*xs[:i], dx, *xs[i + 1 :], **p))
        return (dy,)

    def flip(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
        (ct,) = cts
        if isinstance(ct, Zero):
            return [None] * len(xs)
        return [transpose(ct, xs, i, p) if isinstance(x, Unknown) else None for i, x in enumerate(xs)]

    row = Row(
        name=name, kind="multilinear", value=value, type=type, jvp=jvp, transpose=flip,
        batch=batch or batch_pointwise(lambda: row), notation=notation, **columns,
    )  # fmt: skip
    return row


def structured(name: str, *, type: TypeRule, push: PushRule, batch: BatchRule, **columns: Any) -> Row:
    """Its rules by hand, in a file of its own."""
    return Row(name=name, kind="structured", type=type, push=push, batch=batch, value=columns.pop("value", None), **columns)


def rows_of(*modules: Any) -> Mapping[str, Row]:
    """Every row that the modules define, by name; two rows of one name are a mistake."""
    table: dict[str, Row] = {}
    for module in modules:
        for x in vars(module).values():
            if isinstance(x, Row) and table.setdefault(x.name, x) is not x:
                raise ValueError(f"two rows are named {x.name!r}")
    return table
