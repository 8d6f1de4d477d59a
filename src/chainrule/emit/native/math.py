"""The vector functions by name: what a row of the table of calculus lowers to.

Each is a sequence of additions, products and selections on vectors, the same on every processor, so that its results are
too. Functions of float64 only serve float32 through float64, which costs twice the time and half a unit in the last place.
"""

from __future__ import annotations

from collections.abc import Callable

from . import elementary, integers, special, trigonometric
from .builder import F64, Function, Val, fma, select

__all__ = ["FUNCTIONS", "apply", "supports"]

Operation = Callable[..., Val]


def _through_float64(function: Operation) -> Operation:
    def apply(*args: Val) -> Val:
        narrow = args[0].type
        if narrow.bits == 64:
            return function(*args)
        f, wide = args[0].f, F64.of(narrow.lanes)
        return f.cast("fptrunc", function(*(f.cast("fpext", a, wide) for a in args)), narrow)

    return apply


def _maximum(a: Val, b: Val) -> Val:
    """The greater, or the NaN, as in NumPy."""
    return select(a.ge(b) | a.isnan(), a, b) if a.type.is_float else select(a.gt(b), a, b)


def _minimum(a: Val, b: Val) -> Val:
    return select(a.le(b) | a.isnan(), a, b) if a.type.is_float else select(a.lt(b), a, b)


def _sign(x: Val) -> Val:
    r = select(x.gt(0), x.like(1), select(x.lt(0), x.like(-1), 0))
    return select(x.isnan(), x, r) if x.type.is_float else r


def _absolute(x: Val) -> Val:
    return x.abs() if x.type.is_float else select(x.lt(0), -x, x)


def _to_integer(name: str) -> Callable[[Val], Val]:
    def round_(x: Val) -> Val:
        return x.f.intrinsic(name, x) if x.type.is_float else x

    return round_


_UNARY: dict[str, Callable[[Val], Val]] = {
    "negative": lambda a: -a,
    "positive": lambda a: a,
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1.0 / a,
    "absolute": _absolute,
    "sign": _sign,
    "logical_not": lambda a: ~a,
    "invert": lambda a: ~a,
    "isnan": lambda a: a.isnan(),
    "isinf": lambda a: a.abs().eq(float("inf")),
    "isfinite": lambda a: a.abs().lt(float("inf")),
    "signbit": lambda a: a.bits().lt(0),
    "sqrt": lambda a: a.sqrt(),
    "floor": _to_integer("floor"),
    "ceil": _to_integer("ceil"),
    "trunc": _to_integer("trunc"),
    "rint": _to_integer("roundeven"),
}

_BINARY: dict[str, Callable[[Val, Val], Val]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "maximum": _maximum,
    "minimum": _minimum,
    "less": lambda a, b: a.lt(b),
    "less_equal": lambda a, b: a.le(b),
    "greater": lambda a, b: a.gt(b),
    "greater_equal": lambda a, b: a.ge(b),
    "equal": lambda a, b: a.eq(b),
    "not_equal": lambda a, b: a.ne(b),
    "logical_and": lambda a, b: a & b,
    "logical_or": lambda a, b: a | b,
    "logical_xor": lambda a, b: a ^ b,
    "copysign": lambda a, b: a.copysign(b),
    "remainder": integers.remainder,
    "fmod": lambda a, b: a.f.op("frem", a, b),
    "floor_divide": integers.floor_divide,
    "bitwise_and": lambda a, b: a & b,
    "bitwise_or": lambda a, b: a | b,
    "bitwise_xor": lambda a, b: a ^ b,
    "left_shift": integers.shift_left,
    "right_shift": integers.shift_right,
}

_UNSIGNED: dict[str, Callable[[Val, Val], Val]] = {
    "unsigned_less": lambda a, b: a.f.compare("ult", a, b),
    "unsigned_less_equal": lambda a, b: a.f.compare("ule", a, b),
    "unsigned_greater": lambda a, b: a.f.compare("ugt", a, b),
    "unsigned_greater_equal": lambda a, b: a.f.compare("uge", a, b),
    "unsigned_maximum": lambda a, b: select(a.f.compare("ugt", a, b), a, b),
    "unsigned_minimum": lambda a, b: select(a.f.compare("ult", a, b), a, b),
    "unsigned_right_shift": integers.shift_right_unsigned,
}

_TERNARY: dict[str, Callable[[Val, Val, Val], Val]] = {"fma": fma, "where": select}

_NATIVE: dict[str, Operation] = {
    name: getattr(elementary, name)
    for name in ("exp", "exp2", "expm1", "log", "log1p", "tanh", "sigmoid", "sinh", "cosh", "softplus", "logaddexp")
} | {"erf": special.erf}

_FLOAT64: dict[str, Operation] = {
    **{name: getattr(elementary, name) for name in ("log2", "log10", "cbrt", "arcsinh", "arccosh", "arctanh")},
    **{name: getattr(trigonometric, name) for name in ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2")},
    **{name: getattr(special, name) for name in ("erfc", "ndtr", "log_ndtr")},
    "power": elementary.pow,
}

FUNCTIONS: dict[str, Operation] = {
    **_UNARY,
    **_BINARY,
    **_UNSIGNED,
    **_TERNARY,
    **_NATIVE,
    **{name: _through_float64(function) for name, function in _FLOAT64.items()},
}


_TRUTHS = ("less", "greater", "equal", "not_equal", "logical", "is", "signbit", "unsigned_less", "unsigned_greater")
PREDICATES = frozenset(n for n in (*_UNARY, *_BINARY, *_UNSIGNED) if n.startswith(_TRUTHS))
"""Functions whose results are booleans."""

HEAVY = frozenset({*_NATIVE, *_FLOAT64})
"""Functions of dozens of instructions."""


def supports(name: str) -> bool:
    """Is there a vector function of this name?"""
    return name in FUNCTIONS


def apply(f: Function, name: str, *args: Val, inline: bool = False) -> Val:
    """Append a function by name; all arguments have one type (but the condition of `where`).

    A heavy function becomes one function of the module and is called, so that it is compiled once however often it is
    used; that costs nothing measurable. With `inline` its instructions are written here.
    """
    if name not in FUNCTIONS:
        raise KeyError(f"the native engine has no function {name!r}")
    if any(a.f is not f for a in args):
        raise ValueError(f"an argument of {name} belongs to another function")
    return FUNCTIONS[name](*args) if inline or name not in HEAVY else _call(f, name, args)


def _call(f: Function, name: str, args: tuple[Val, ...]) -> Val:
    t = args[0].type
    symbol = f"{name}_{t.suffix}"
    if symbol not in f.module.functions:
        body = f.module.function(symbol, [(f"x{k}", a.type) for k, a in enumerate(args)], t, internal=True)
        body.return_(FUNCTIONS[name](*body.params))
    return f.call(symbol, t, *args)
