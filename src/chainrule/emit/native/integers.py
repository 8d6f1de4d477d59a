"""Division with remainder as NumPy has it, and operations on integers. No argument can trap the processor."""

from __future__ import annotations

from .builder import Val, select

__all__ = ["floor_divide", "remainder", "shift_left", "shift_right", "shift_right_unsigned"]


def _safe(a: Val, b: Val) -> tuple[Val, Val]:
    """A divisor that cannot trap, and where the true one is 0. (The lowest integer by -1 is itself: dividing by 1 gives it.)"""
    lowest = -(2 ** (a.type.bits - 1))
    zero = b.eq(0)
    return select(zero | (a.eq(lowest) & b.eq(-1)), b.like(1), b), zero


def _integer_division(a: Val, b: Val) -> tuple[Val, Val]:
    """Quotient towards minus infinity and remainder with the sign of the divisor; both 0 for a divisor of 0."""
    f = a.f
    d, zero = _safe(a, b)
    q, r = f.op("sdiv", a, d), f.op("srem", a, d)
    low = r.ne(0) & (r ^ d).lt(0)
    return select(zero, 0, select(low, q - 1, q)), select(zero, 0, select(low, r + d, r))


def _float_remainder(a: Val, b: Val) -> tuple[Val, Val, Val]:
    """C's remainder, whether it has to move by one divisor, and the result."""
    m = a.f.op("frem", a, b)
    low = m.ne(0.0) & ~m.isnan() & (m.bits() ^ b.bits()).lt(0)
    return m, low, select(m.eq(0.0), m.copysign(b), select(low, m + b, m))


def remainder(a: Val, b: Val) -> Val:
    """a - b floor(a / b), exact; it has the sign of b."""
    return _float_remainder(a, b)[2] if a.type.is_float else _integer_division(a, b)[1]


def floor_divide(a: Val, b: Val) -> Val:
    """floor(a / b), from the exact remainder, so that it agrees with it."""
    if not a.type.is_float:
        return _integer_division(a, b)[0]
    m, low, _ = _float_remainder(a, b)
    q = (a - m) / b
    q = select(low, q - 1.0, q)
    whole = a.f.intrinsic("floor", q)
    whole = select((q - whole).gt(0.5), whole + 1.0, whole)
    plain = a / b
    return select(b.eq(0.0), plain, select(q.eq(0.0), q.like(0.0).copysign(plain), whole))


def _amount(b: Val) -> tuple[Val, Val]:
    """A shift within the width of the type, and whether the true one is outside."""
    outside = b.lt(0) | b.ge(b.type.bits)
    return select(outside, 0, b), outside


def shift_left(a: Val, b: Val) -> Val:
    """a 2**b; shifted out altogether it is 0."""
    amount, outside = _amount(b)
    return select(outside, 0, a << amount)


def shift_right(a: Val, b: Val) -> Val:
    """floor(a / 2**b); shifted out altogether only the sign is left."""
    amount, outside = _amount(b)
    return select(outside, a >> (a.type.bits - 1), a >> amount)


def shift_right_unsigned(a: Val, b: Val) -> Val:
    """floor(a / 2**b) of unsigned numbers; shifted out altogether it is 0."""
    outside = a.f.compare("uge", b, b.like(b.type.bits))
    return select(outside, 0, a.lshr(select(outside, 0, b)))
