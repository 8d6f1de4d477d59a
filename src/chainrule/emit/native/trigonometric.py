"""sin, cos, tan and their inverses on vectors of float64, for every argument."""

from __future__ import annotations

import math

from .builder import F64, I64, PTR, Function, Type, Val, fma, select
from .numbers import Pair, constant, divide, fast_two_sum, nearest_product, polynomial, table, two_prod, two_sum

# Beyond this, what is left after subtracting multiples of pi/2 needs more bits of pi than three words hold.
LARGE = 2.0**28


def _reduce(x: Val) -> tuple[Pair, Val]:
    """r + r' and the quadrant q with x = q pi/2 + r + r' (mod 2 pi), |r| <= pi/4."""
    n, quadrant = nearest_product(x, constant("2/pi")[0])
    p1, p2, p3 = constant("pi/2")
    first = fma(n, -p1, x)  # exact: both terms are multiples of the last place of p1, and their difference is small
    t, error = two_prod(n, x.like(p2))
    r, rest = two_sum(first, -t)
    near = r, (rest - error) - n * p3
    f = x.f
    h, low, q = f.when(f.any(_is_large(x)), lambda: _reduce_lanes(x, near, quadrant), (*near, quadrant))
    return (h, low), q


def _is_large(x: Val) -> Val:
    return x.abs().ge(LARGE) & x.abs().ne(math.inf)


def _reduce_lanes(x: Val, near: Pair, quadrant: Val) -> list[Val]:
    """Replace the lanes that are large, one after the other in memory, by Payne and Hanek's reduction."""
    f, helper = x.f, _payne_hanek(x.f)
    values = [x, *near, quadrant]
    places = [f.alloca(v.type) for v in values]
    for v, place in zip(values, places, strict=True):
        f.store(v, place)

    def lane(i: Val, _: list[Val]) -> None:
        number, *results = (f.offset(place, i, v.type) for v, place in zip(values, places, strict=True))
        value = f.load(number, F64)
        f.when(_is_large(value), lambda: f.call(helper, None, value, *results) and None)

    f.loop(0, x.type.lanes or 1, 1, lane)
    return [f.load(place, v.type) for v, place in zip(values[1:], places[1:], strict=True)]


def _payne_hanek(caller: Function) -> str:
    """The function that reduces one large number by 192 bits of 2/pi (Payne and Hanek, SIGNUM 18, 1983)."""
    module, name = caller.module, "chainrule_reduce_large"
    if name in module.functions:
        return name
    f = module.function(name, [("x", F64), ("r", PTR), ("rest", PTR), ("quadrant", PTR)], internal=True)
    x, *results = f.params
    words = Val(f, module.table("two_over_pi", [0, *table()["2/pi"], 0, 0], I64), PTR)
    bits = x.bits()
    exponent = (bits.lshr(52) & 2047) - 1075
    mantissa = (bits & (2**52 - 1)) | 2**52
    start = exponent + 62  # the bit of (0 and then 2/pi) whose product with the mantissa weighs 2
    index, shift = start.lshr(6), start & 63
    w = [f.load(f.offset(words, index + k, I64), I64) for k in range(4)]
    w = [(w[k] << shift) | w[k + 1].lshr(1).lshr(63 - shift) for k in range(3)]
    i128 = Type("i128")
    wide = [f.cast("zext", v, i128) for v in w]
    m = f.cast("zext", mantissa, i128)
    low = m * wide[2]
    middle = m * wide[1] + low.lshr(64)
    high = m * wide[0] + middle.lshr(64)
    top = f.cast("trunc", high, I64)
    quadrant = (top + 2**61).lshr(62)
    fraction = (high << 66) | (f.cast("zext", f.cast("trunc", middle, I64), i128) << 2)
    fraction = fraction | f.cast("zext", f.cast("trunc", low, I64), i128).lshr(62)
    h, rest = _fraction_pair(fraction)
    p, p_low = constant("pi/2")[:2]
    r, error = two_prod(h, h.like(p))
    negative = x.lt(0.0)
    tail = error + fma(h, p_low, rest * p)
    r, tail = fast_two_sum(r, tail)
    for value, place in zip((r, tail, quadrant), results, strict=True):
        f.store(select(negative, -value, value), place)
    return name


def _fraction_pair(fraction: Val) -> Pair:
    """A signed 128-bit fraction in [-1/2, 1/2) as a pair: its first 53 bits and the next 53."""
    f = fraction.f
    negative = fraction.lt(0)
    size = select(negative, -fraction, fraction) | 1
    zeros = f.emit(f"call i128 @llvm.ctlz.i128(i128 {size.ref}, i1 true)", size.type)
    f.module.declare("llvm.ctlz.i128", "declare i128 @llvm.ctlz.i128(i128, i1)")
    bits = size << zeros
    count = f.cast("trunc", zeros, I64)

    def part(shift: int, weight: int) -> Val:
        value = f.cast("sitofp", f.cast("trunc", bits.lshr(shift), I64) & (2**53 - 1), F64)
        v = value * ((-count - weight + 1023) << 52).as_float()
        return select(negative, -v, v)

    return part(75, 53), part(22, 106)


def _sine(r: Pair) -> Pair:
    z = r[0] * r[0]
    return r[0], fma(r[0] * z, polynomial("sin", z), r[1] * fma(z, -0.5, 1.0))


def _cosine(r: Pair) -> Pair:
    z = r[0] * r[0]
    half = z * 0.5
    h = 1.0 - half
    return h, ((1.0 - h) - half) + (z * z * polynomial("cos", z) - r[0] * r[1])


def _sum(pair: Pair) -> Val:
    return pair[0] + pair[1]


def _flip(v: Val, quadrant: Val) -> Val:
    """-v in the third and fourth quadrants."""
    return (v.bits() ^ ((quadrant & 2) << 62)).as_float()


def sin(x: Val) -> Val:
    r, q = _reduce(x)
    v = _flip(select((q & 1).eq(1), _sum(_cosine(r)), _sum(_sine(r))), q)
    return select(x.eq(0.0), x, v)


def cos(x: Val) -> Val:
    r, q = _reduce(x)
    return _flip(select((q & 1).eq(1), _sum(_sine(r)), _sum(_cosine(r))), q + 1)


def tan(x: Val) -> Val:
    """sin / cos, or -cos / sin, in two words."""
    r, q = _reduce(x)
    s, c = fast_two_sum(*_sine(r)), fast_two_sum(*_cosine(r))
    odd = (q & 1).eq(1)
    n = select(odd, -c[0], s[0]), select(odd, -c[1], s[1])
    d = select(odd, s[0], c[0]), select(odd, s[1], c[1])
    return select(x.eq(0.0), x, _sum(divide(n, d)))


def _octant(small: Val, large: Val) -> Pair:
    """arctan(small / large), 0 <= small <= large; above tan(pi/8) it is pi/4 + arctan((small - large) / (small + large))."""
    upper = small.gt(large * math.tan(math.pi / 8))
    difference, total = two_sum(small, -large), two_sum(small, large)
    n = select(upper, difference[0], small), select(upper, difference[1], 0.0)
    d = select(upper, total[0], large), select(upper, total[1], 0.0)
    t, rest = divide(n, d)
    z = t * t
    tail = fma(t * z, polynomial("atan", z), rest)
    high, low = (w / 2 for w in constant("pi/2")[:2])
    base, more = select(upper, t.like(high), 0.0), select(upper, t.like(low), 0.0)
    h, error = fast_two_sum(base, t)
    return h, error + (tail + more)


def _minus(name_high: float, name_low: float, p: Pair) -> Pair:
    """A constant in two words less a pair."""
    h, rest = fast_two_sum(p[0].like(name_high), -p[0])
    return h, rest + (name_low - p[1])


def _choose(condition: Val, yes: Pair, no: Pair) -> Pair:
    return select(condition, yes[0], no[0]), select(condition, yes[1], no[1])


def arctan(x: Val) -> Val:
    a = x.abs()
    capped = select(a.gt(1e17), 1e17, a)
    over = a.gt(1.0)
    p = _octant(select(over, 1.0, capped), select(over, capped, 1.0))
    half = constant("pi/2")
    r = _sum(_choose(over, _minus(half[0], half[1], p), p)).copysign(x)
    return select(x.eq(0.0) | x.isnan(), x, r)


def arctan2(y: Val, x: Val) -> Val:
    """The angle of the point (x, y), C99's special cases included."""
    a, b = y.abs(), x.abs()
    over = a.gt(b)
    small, large = select(over, b, a), select(over, a, b)
    infinite = large.eq(math.inf)
    small = select(infinite, select(small.eq(math.inf), small.like(1.0), 0.0), small)
    large = select(infinite | large.eq(0.0), 1.0, large)
    factor = select(large.gt(2.0**1000), large.like(2.0**-100), select(large.lt(2.0**-900), large.like(2.0**120), 1.0))
    p = _octant(small * factor, large * factor)
    half = constant("pi/2")
    p = _choose(over, _minus(half[0], half[1], p), p)
    left = x.bits().lt(0)
    p = _choose(left, _minus(2 * half[0], 2 * half[1], p), p)
    # The quotient of a tiny y may be subnormal: then it is divided once more, with its one rounding.
    direct = ~left & ~over & a.lt(b * 2.0**-300)
    r = select(direct, a / select(b.eq(0.0), 1.0, b), _sum(p))
    return select(x.isnan() | y.isnan(), x + y, r.copysign(y))


def _asin_parts(a: Val) -> tuple[Val, Pair, Pair]:
    """Is a > 1/2; then s = sqrt((1 - a)/2) and arcsin(s), else arcsin(a), as pairs (root, polynomial part)."""
    upper = a.gt(0.5)
    z = select(upper, (1.0 - a) * 0.5, a * a)
    root = z.sqrt()
    error = select(z.gt(0.0), fma(-root, root, z) / (root + root), 0.0)
    s = select(upper, root, a)
    tail = s * z * polynomial("asin", z)
    return upper, (s, tail), (s, tail + select(upper, error, 0.0))


def arcsin(x: Val) -> Val:
    a = x.abs()
    upper, _, (s, tail) = _asin_parts(a)
    half = constant("pi/2")
    h, rest = fast_two_sum(s.like(half[0]), s * -2.0)
    r = select(upper, h + (rest + (half[1] - (tail + tail))), s + tail)
    return select(x.isnan(), x, select(a.gt(1.0), math.nan, r.copysign(x)))


def arccos(x: Val) -> Val:
    a = x.abs()
    upper, _, (s, tail) = _asin_parts(a)
    negative, half = x.lt(0.0), constant("pi/2")
    small = _minus(half[0], half[1], (s.copysign(x), select(negative, -tail, tail)))
    twice = s + s, tail + tail
    large = _choose(negative, _minus(2 * half[0], 2 * half[1], twice), twice)
    r = _sum(_choose(upper, large, small))
    return select(x.isnan(), x, select(a.gt(1.0), math.nan, r))
