"""Numbers in two words, polynomials and powers of two: the arithmetic under the vector functions.

A pair (h, l) stands for h + l, with l smaller than half a unit in the last place of h. The basic operations are exact:
Dekker, Numer. Math. 18 (1971); Knuth, The Art of Computer Programming 2, 4.2.2.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from .builder import Val, fma, select

__all__ = ["constant", "divide", "estrin", "fast_two_sum", "polynomial", "pow2", "scale", "table", "two_prod", "two_sum"]

Pair = tuple[Val, Val]


@functools.cache
def table() -> dict[str, Any]:
    """Coefficients and constants, made by tools/make_native_coefficients.py."""
    return json.loads(resources.files(__name__.rpartition(".")[0]).joinpath("coefficients.json").read_text())


def constant(name: str) -> list[float]:
    """A constant as a sum of float64 words."""
    return table()["constants"][name]


def estrin(x: Val, coefficients: Sequence[float]) -> Val:
    """A polynomial, constant first, in a tree: short dependencies, the same order on every machine."""
    level: list[Val] = [x.like(c) for c in coefficients]
    power = x
    while len(level) > 1:
        pairs = [fma(level[i + 1], power, level[i]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
        if len(level) > 1:
            power = power * power
    return level[0]


def polynomial(name: str, x: Val) -> Val:
    """The table's polynomial for the precision of x."""
    return estrin(x, table()["polynomials"][f"{name}{x.type.bits}"])


def fast_two_sum(a: Val, b: Val) -> Pair:
    """a + b exactly, where |a| >= |b| or a = 0."""
    s = a + b
    return s, b - (s - a)


def two_sum(a: Val, b: Val) -> Pair:
    """a + b exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_prod(a: Val, b: Val) -> Pair:
    """a * b exactly."""
    p = a * b
    return p, fma(a, b, -p)


def multiply(a: Pair, b: Pair) -> Pair:
    """Product of two pairs, to about twice the precision."""
    p, e = two_prod(a[0], b[0])
    return p, e + fma(a[0], b[1], a[1] * b[0])


def divide(n: Pair, d: Pair) -> Pair:
    """Quotient of two pairs, to about twice the precision, with one division."""
    inverse = 1.0 / d[0]
    q = n[0] * inverse
    rest = fma(-q, d[0], n[0]) + fma(-q, d[1], n[1])
    return q, rest * inverse


def pow2(n: Val) -> Val:
    """2**n for an integer n in the normal range, by its bits."""
    mantissa, bias = (52, 1023) if n.type.bits == 64 else (23, 127)
    return ((n + bias) << mantissa).as_float()


def scale(x: Val, n: Val) -> Val:
    """x * 2**n with one rounding, also where the result is subnormal or overflows. n must be within twice the exponents."""
    half = n >> 1
    return (x * pow2(half)) * pow2(n - half)


def nearest(x: Val) -> tuple[Val, Val]:
    """The nearest integer to x, as a float and as an integer; |x| < 2**50 (float64) or 2**21 (float32).

    Adding 1.5 * 2**52 leaves the integer in the low bits, also for a NaN, for which a conversion would be undefined.
    """
    return _nearest_shifted(x + _magic(x))


def nearest_product(x: Val, factor: float) -> tuple[Val, Val]:
    """The nearest integer to x * factor, with one rounding."""
    return _nearest_shifted(fma(x, factor, x.like(_magic(x))))


def _magic(x: Val) -> float:
    return 6755399441055744.0 if x.type.bits == 64 else 12582912.0


def _nearest_shifted(t: Val) -> tuple[Val, Val]:
    up, down = (13, 13) if t.type.bits == 64 else (10, 10)
    return t - _magic(t), (t.bits() << up) >> down


def clamp(x: Val, low: float, high: float) -> Val:
    """x within [low, high]; a NaN stays."""
    x = select(x.lt(low), low, x)
    return select(x.gt(high), high, x)
