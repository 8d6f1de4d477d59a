"""The error function and the normal distribution, on vectors, without branches."""

from __future__ import annotations

import math

from .builder import Val, fma, select
from .elementary import add_constant as _add_constant
from .elementary import exp, exp_pair, log, log1p_pair, log_pair
from .numbers import Pair, clamp, constant, divide, estrin, fast_two_sum, multiply, polynomial, scale, table, two_prod, two_sum

_SHIFT = 2.0
_SMALL = 0.47  # below, erf is less than one half and 1 - erf(x) loses nothing


def erf(x: Val) -> Val:
    """x + x P(x^2) below 1; above, 1 - exp(-x^2) Q(t) / (x + 2) with t = (x - 2) / (x + 2)."""
    a = x.abs()
    small = fma(a, polynomial("erf", x * x), a)
    c = clamp(a, 0.0, 6.0 if x.type.bits == 64 else 4.2)
    d = c + _SHIFT
    tail = polynomial("erftail", (c - _SHIFT) / d) / d
    square, rest = two_prod(c, c)
    e = exp(-square)
    return select(a.lt(1.0), small, fma(-tail, fma(-rest, e, e), 1.0)).copysign(x)


def _small_erf(a: Val) -> Pair:
    """erf(a) for |a| < 1 as a pair. float64 only."""
    return fast_two_sum(a, a * polynomial("erf", a * a))


def _tail_ratio(a: Val) -> Pair:
    """exp(a^2) erfc(a) for 0.45 < a < 40 as a pair: Q(t) / (a + 2), t = (a - 2) / (a + 2). float64 only.

    The two leading terms of Q are added in pairs: in single words their roundings would cost a unit.
    """
    d = two_sum(a, a.like(_SHIFT))
    t = divide((a - _SHIFT, a.like(0.0)), d)
    rest = estrin(t[0], table()["polynomials"]["erfc64"][2:])
    slope = _add_constant("erfc64[1]", (t[0] * rest, a.like(0.0)))
    return divide(_add_constant("erfc64[0]", multiply(t, slope)), d)


def _tail(a: Val, square: Pair) -> tuple[Val, Pair]:
    """n and m with erfc(a) = 2**n m, a^2 given as a pair."""
    n, e = exp_pair(-square[0], -square[1])
    q = _tail_ratio(a)
    h, error = two_prod(e[0], q[0])
    return n, (h, error + fma(e[0], q[1], e[1] * q[0]))


def erfc(x: Val) -> Val:
    """1 - erf(x), also where it is tiny. float64 only."""
    a = clamp(x.abs(), 0.0, 28.0)
    n, (m, low) = _tail(a, two_prod(a, a))
    tail = scale(m + low, n)
    e, rest = _small_erf(x)
    h, error = two_sum(x.like(1.0), -e)
    r = select(x.abs().lt(_SMALL), h + (error - rest), select(x.lt(0.0), 2.0 - tail, tail))
    return select(x.isnan(), x, r)


def _standard(x: Val) -> tuple[Val, Val, Pair]:
    """a = |x| / sqrt(2), clamped; whether it is small; x^2 / 2 exactly."""
    square, error = two_prod(x, x)
    a = clamp(x.abs() * constant("sqrt(1/2)")[0], 0.0, 40.0)
    return a, a.lt(_SMALL), (square * 0.5, select(square.lt(1e300), error * 0.5, 0.0))


def _middle(x: Val) -> Pair:
    """The distribution function near zero: 1/2 + erf(x / sqrt(2)) / 2."""
    c, low = constant("sqrt(1/2)")
    p, rest = two_prod(x, x.like(c))
    e, error = _small_erf(p)
    correction = error + fma(x, low, rest) * (2 / math.sqrt(math.pi))
    h, more = fast_two_sum(x.like(0.5), e * 0.5)
    return h, more + correction * 0.5


def ndtr(x: Val) -> Val:
    """The distribution function of the standard normal: erfc(-x / sqrt(2)) / 2. float64 only."""
    a, small, square = _standard(x)
    inside = clamp(square[0], 0.0, 800.0)
    n, (m, low) = _tail(a, (inside, select(inside.eq(square[0]), square[1], 0.0)))
    tail = scale(m + low, n - 1)
    h, rest = _middle(x)
    r = select(small, h + rest, select(x.lt(0.0), tail, 1.0 - tail))
    return select(x.isnan(), x, r)


def log_ndtr(x: Val) -> Val:
    """log(ndtr(x)), also where ndtr(x) is 0 or 1 in float64. float64 only."""
    a, small, square = _standard(x)
    wide = clamp(x.abs() * constant("sqrt(1/2)")[0], 0.0, 1e150)
    # Beyond 40, exp(a^2) erfc(a) = (1 - 1/(2 a^2) + 1 3/(2 a^2)^2 - ...) / (a sqrt(pi)).
    far = wide.gt(40.0)
    inverse = 1.0 / (wide * wide)
    asymptotic = estrin(inverse, [1.0, -0.5, 0.75, -1.875, 6.5625]) / (wide * math.sqrt(math.pi))
    ratio = _tail_ratio(a)
    left = log(select(far, asymptotic, ratio[0] + ratio[1]) * 0.5)
    h, rest = two_sum(-square[0], left)
    left = h + (rest - square[1])
    inside = clamp(square[0], 0.0, 800.0)
    n, (m, low) = _tail(a, (inside, select(inside.eq(square[0]), square[1], 0.0)))
    right = -log1p_pair(scale(-m, n - 1), scale(-low, n - 1)).abs()  # where the tail is 0 it is -0
    h, rest = _middle(x)
    middle, more = log_pair(select(small, h, 0.5), select(small, rest, 0.0))
    r = select(small, middle + more, select(x.lt(0.0), left, right))
    r = select(square[0].eq(math.inf) & x.lt(0.0), -math.inf, r)
    return select(x.isnan(), x, r)
