"""Row: everything chainrule knows about one operation, and what each column promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from chainrule import errors
from chainrule.build.context import CURRENT
from chainrule.ir.graph import Array, Params
from chainrule.ir.types import ArrayType

if TYPE_CHECKING:
    from chainrule.build.value import Value


class Zero:
    """A tangent or cotangent known, without computing, to be zero."""

    __slots__ = ("type",)

    def __init__(self, type: ArrayType) -> None:
        self.type = type


class Unknown:
    """An operand a linear map is being transposed against: only its type is known."""

    __slots__ = ("type",)

    def __init__(self, type: ArrayType) -> None:
        self.type = type


Tangent: TypeAlias = "Value | Zero"
Operand: TypeAlias = "Value | Unknown"


class TypeRule(Protocol):
    """Types in, type(s) out; raises `ShapeError` where the operation does not apply."""

    def __call__(self, ts: Sequence[ArrayType], p: Params, /) -> Sequence[ArrayType]: ...


class JvpRule(Protocol):
    """Tangents of the outputs, given arguments, their tangents and the outputs."""

    def __call__(self, xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params, /) -> Sequence[Tangent]: ...


class PushRule(Protocol):
    """Outputs and their tangents at once, for rows that compute something else when they are differentiated."""

    def __call__(
        self, xs: Sequence[Value], dxs: Sequence[Tangent], p: Params, /
    ) -> tuple[Sequence[Value], Sequence[Tangent]]: ...


class TransposeRule(Protocol):
    """Cotangents of the unknown operands (None for the known ones), given those of the outputs."""

    def __call__(self, cts: Sequence[Tangent], xs: Sequence[Operand], p: Params, /) -> Sequence[Tangent | None]: ...


class BatchRule(Protocol):
    """Outputs with a new leading axis, where the operands marked `mapped` carry one."""

    def __call__(self, xs: Sequence[Value], mapped: Sequence[bool], p: Params, /) -> Sequence[Value]: ...


@dataclass(frozen=True)
class Interval:
    """The numbers from `low` to `high`; `open` says that the ends themselves are left out."""

    low: float
    high: float
    open: bool = False
    safe: float | None = None

    @property
    def inside(self) -> float:
        """A point well inside, used where an argument does not matter."""
        if self.safe is not None:
            return self.safe
        if np.isfinite(self.low) and np.isfinite(self.high):
            return (self.low + self.high) / 2
        return self.low + 1 if np.isfinite(self.low) else self.high - 1 if np.isfinite(self.high) else 0.0

    @property
    def everything(self) -> bool:
        """Is it the whole line?"""
        return self.low == -np.inf and self.high == np.inf


LINE = Interval(-np.inf, np.inf)
POSITIVE = Interval(0, np.inf, open=True)
NONNEGATIVE = Interval(0, np.inf)
NONZERO = Interval(-np.inf, np.inf, open=True, safe=1.0)
"""Everything but zero: told from LINE by `open`."""
UNIT = Interval(-1, 1, open=True)
PROBABILITY = Interval(0, 1, open=True)
ABOVE_ONE = Interval(1, np.inf, open=True)
ABOVE_MINUS_ONE = Interval(-1, np.inf, open=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One row of the table.

    ``name``      the name in graphs; ``kind`` which columns were written and which derived
    ``type``      types of the outputs from types of the inputs
    ``value``     the NumPy function (None for rows that hold graphs: the engines run those)
    ``jvp``       derivative as an expression; ``push`` replaces it for rows that compute anew when differentiated
    ``transpose`` for rows linear in some argument
    ``batch``     how it acts on a new leading axis
    ``notation``  LaTeX with {0}, {1}, ...; ``level`` its precedence (atom 9, power 8, function 7, product 5, sum 3, relation 1)
    ``python``    NumPy source with {0}, {1}, ... and {name} of parameters
    ``native``    name of the native lowering, None where there is none
    ``on``        domain per argument; ``kink`` what is chosen where the derivative jumps
    ``curvature`` convex, concave, affine or None; ``monotone`` +1, -1 or None: per argument, for the convexity certificate
    ``pointwise`` element k of the output depends on elements k of the inputs, so that broadcasting may be left to NumPy
    """

    name: str
    kind: str
    type: TypeRule
    value: Callable[..., Any] | None
    batch: BatchRule
    arity: int = 1
    jvp: JvpRule | None = None
    push: PushRule | None = None
    transpose: TransposeRule | None = None
    notation: str = ""
    level: int = 7
    python: str = ""
    native: str | None = None
    on: tuple[Interval, ...] = ()
    kink: str | None = None
    curvature: str | None = None
    monotone: tuple[int | None, ...] = ()
    source: str = ""
    pointwise: bool = False
    partials: tuple[Callable[..., Any], ...] = ()
    expansion: Callable[..., Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __call__(self, *xs: Value, **params: Any) -> Value:
        """Append this equation to the graph being built; for rows with one output."""
        b = CURRENT.get()
        if b is None:
            raise errors.EscapedValueError.outside(xs)
        return b.add(self, xs, params)[0]

    def all(self, *xs: Value, **params: Any) -> tuple[Value, ...]:
        """Append this equation; every output."""
        b = CURRENT.get()
        if b is None:
            raise errors.EscapedValueError.outside(xs)
        return b.add(self, xs, params)

    def __repr__(self) -> str:
        return f"Row({self.name!r})"


Evaluate: TypeAlias = Callable[[Row, Sequence[Array], Params], Sequence[Array]]
