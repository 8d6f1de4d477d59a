"""exp, log and what is made of them, on vectors of float64 or float32, without branches."""

from __future__ import annotations

import math

from .builder import Val, fma, select
from .numbers import (
    Pair,
    clamp,
    constant,
    divide,
    estrin,
    fast_two_sum,
    multiply,
    nearest_product,
    polynomial,
    pow2,
    scale,
    table,
    two_prod,
    two_sum,
)

INF, NAN = math.inf, math.nan


def _wide(x: Val) -> bool:
    return x.type.bits == 64


# exp ---------------------------------------------------------------------------------------------------------------


def _reduce(x: Val) -> tuple[Val, Val, Val]:
    """n and r, r' with x = n ln 2 + r + r' and |r| <= ln(2) / 2 (Cody and Waite)."""
    n, integer = nearest_product(x, constant("1/ln2")[0])
    high, low = constant(f"ln2short{x.type.bits}")
    exact = fma(n, -high, x)
    r, tail = fast_two_sum(exact, n * -low)
    return integer, r, tail


def _limits(x: Val) -> tuple[float, float]:
    """Where exp has become 0 and infinity."""
    return (-746.0, 711.0) if _wide(x) else (-105.0, 90.0)


def exp(x: Val) -> Val:
    x = clamp(x, *_limits(x))
    n, integer = nearest_product(x, constant("1/ln2")[0])
    high, low = constant(f"ln2short{x.type.bits}")
    r = fma(n, -low, fma(n, -high, x))
    return scale(1.0 + fma(r * r, polynomial("exp", r), r), integer)


def exp_parts(x: Val, tail: Val | None = None) -> tuple[Val, Pair]:
    """n and the pair p with exp(x + tail) = 2**n (1 + p)."""
    n, r, low = _reduce(x)
    if tail is not None:
        low = low + tail
    p, rest = fast_two_sum(r, r * r * polynomial("exp", r))
    return n, (p, rest + fma(low, p, low))


def exp_pair(x: Val, tail: Val | None = None) -> tuple[Val, Pair]:
    """n and the pair m with exp(x + tail) = 2**n m, m in [0.7, 1.5]."""
    n, (p, low) = exp_parts(x, tail)
    h, rest = fast_two_sum(p.like(1.0), p)
    return n, (h, rest + low)


def exp2(x: Val) -> Val:
    """2**x: the fraction of x times ln 2, in two words, goes through exp."""
    low, high = (-1080.0, 1025.0) if _wide(x) else (-155.0, 129.0)
    x = clamp(x, low, high)
    n, integer = nearest_product(x, 1.0)
    f, (ln2, rest) = x - n, _pair_constant(x, "ln2")
    r = f * ln2
    tail = fma(f, ln2, -r) + f * rest
    return scale(1.0 + (fma(r * r, polynomial("exp", r), r) + tail), integer)


def _pair_constant(x: Val, name: str) -> tuple[float, float]:
    """A constant in two words of the precision of x."""
    import numpy as np

    words = constant(name)
    if _wide(x):
        return words[0], words[1]
    first = float(np.float32(words[0]))
    return first, float(np.float32(words[0] - first + words[1]))


def _expm1_pair(x: Val) -> tuple[Val, Pair]:
    """n and the pair e with exp(x) - 1 = 2**n e, for x above -40."""
    n, (p, low) = exp_parts(x)
    largest = 1000 if _wide(x) else 120
    h, rest = two_sum(1.0 - pow2(-select(n.gt(largest), largest, n)), p)
    return n, (h, rest + low)


def expm1(x: Val) -> Val:
    n, (h, low) = _expm1_pair(clamp(x, -40.0, _limits(x)[1]))
    return select(x.eq(0.0), x, scale(h + low, n))


def tanh(x: Val) -> Val:
    """e / (e + 2) with e = exp(2|x|) - 1, in two words: the three roundings of the short form would cost two units."""
    a = clamp(x.abs(), 0.0, 22.0 if _wide(x) else 10.0)
    n, (h, low) = _expm1_pair(a + a)
    s = pow2(n)
    e, tail = h * s, low * s
    d, rest = two_sum(e, e.like(2.0))
    q, correction = divide((e, tail), (d, rest + tail))
    return (q + correction).copysign(x)


def sigmoid(x: Val) -> Val:
    """1 / (1 + exp(-x)), from exp(-|x|) so that nothing overflows."""
    n, (m, low) = exp_pair(clamp(-x.abs(), _limits(x)[0], 0.0))
    d, rest = fast_two_sum(m.like(1.0), scale(m, n))
    negative = x.lt(0.0)
    numerator = select(negative, m, 1.0), select(negative, low, 0.0)
    q, correction = divide(numerator, (d, rest + scale(low, n)))
    return scale(q + correction, select(negative, n, 0))


def _hyperbolic(x: Val) -> tuple[Val, Pair, Val, Val]:
    """n, p, c, g of exp(|x|) = 2**n (1 + p), c = 4**-n, g = c p / (1 + p)."""
    a = clamp(x.abs(), 0.0, 712.0 if _wide(x) else 91.0)
    n, p = exp_parts(a)
    largest = 100 if _wide(x) else 50
    c = pow2(-select(n.gt(largest), largest, n))
    c = c * c
    return n, p, c, c * (p[0] / (1.0 + p[0]))


def sinh(x: Val) -> Val:
    """2**(n-1) ((1 - c) + p + c p / (1 + p)): no cancellation near zero, where c = 1."""
    n, (p, low), c, g = _hyperbolic(x)
    h, rest = two_sum(1.0 - c, p)
    return select(x.eq(0.0), x, scale(h + (g + (rest + low)), n - 1).copysign(x))


def cosh(x: Val) -> Val:
    n, (p, low), c, g = _hyperbolic(x)
    h, rest = two_sum(1.0 + c, p)
    return scale(h + ((rest + low) - g), n - 1)


# log ---------------------------------------------------------------------------------------------------------------


def _split(u: Val) -> tuple[Val, Val]:
    """k and m with u = 2**k m, m in [sqrt(1/2), sqrt(2))."""
    shift, offset = (52, 0x3FE6A09E00000000) if _wide(u) else (23, 0x3F3504F3)
    bits = u.bits()
    k = (bits - offset) >> shift
    return k, (bits - (k << shift)).as_float()


def _to_float(k: Val, like: Val) -> Val:
    return k.f.cast("sitofp", k, like.type)


def _log_positive(u: Val, rest: Val | None = None) -> Val:
    """log(u + rest) for normal u (as in fdlibm: log(1 + f) = f - (f^2/2 - s (f^2/2 + R)))."""
    k, m = _split(u)
    n, f = _to_float(k, u), m - 1.0
    s = f / (f + 2.0)
    z = s * s
    r = z * polynomial("log", z)
    half = (f * f) * 0.5
    high, low = constant(f"ln2short{u.type.bits}")
    tail = n * low if rest is None else n * low + rest / u
    return fma(n, high, f - (half - fma(s, half + r, tail)))


def _normalised(x: Val) -> tuple[Val, Val]:
    """x, or a subnormal x brought into the normal range, and the power of two taken out."""
    tiny, bits = (2.0**-1022, 54) if _wide(x) else (2.0**-126, 25)
    small = x.lt(tiny)
    return select(small, x * 2.0**bits, x), select(small, x.like(float(bits)), 0.0)


def _at_the_edges(r: Val, x: Val, zero: float) -> Val:
    """What log(x - zero) is at its pole, beyond it, at infinity and at NaN."""
    r = select(x.eq(INF), INF, r)
    r = select(x.eq(zero), -INF, r)
    r = select(x.lt(zero), NAN, r)
    return select(x.isnan(), x, r)


def log(x: Val) -> Val:
    u, out = _normalised(x)
    return _at_the_edges(fma(out, -constant("ln2")[0], _log_positive(u)), x, 0.0)


def log1p(x: Val) -> Val:
    u, rest = two_sum(x.like(1.0), x)
    return select(x.eq(0.0), x, _at_the_edges(_log_positive(u, rest), x, -1.0))


def log_pair(u: Val, rest: Val, more: Val | float = 0.0) -> Pair:
    """log(u + rest) + more ln 2 to about 65 bits, for normal u: 2 s + s z (2/3 + z (2/5 + z Q(z))) in pairs. float64 only."""
    k, m = _split(u)
    f = m - 1.0
    small = rest * pow2(-select(k.gt(1022), 1022, k))
    d, dl = two_sum(f, f.like(2.0))
    s = fast_two_sum(*divide((f, small), (d, dl + small)))
    z = multiply(s, s)
    tail = z[0] * estrin(z[0], table()["polynomials"]["logtail64"])
    inner = add_constant("2/5", (tail, tail.like(0.0)))
    outer = add_constant("2/3", multiply(z, inner))
    y = multiply(multiply(s, z), outer)
    h, low = fast_two_sum(s[0] + s[0], y[0])
    n, (high, ln2_low) = _to_float(k, u) + more, constant("ln2short64")
    total, correction = fast_two_sum(n * high, h)
    return fast_two_sum(total, correction + (fma(n, ln2_low, low) + fma(s[1], 2.0, y[1])))


def add_constant(name: str, v: Pair) -> Pair:
    """A constant of the table plus a smaller pair."""
    high, low = constant(name)
    h, rest = fast_two_sum(v[0].like(high), v[0])
    return h, rest + (v[1] + low)


def _log_base(x: Val, name: str, exact_exponent: float) -> Val:
    """log(x) / log(base) in two words; the power of two taken out of a subnormal is put back at the end."""
    u, out = _normalised(x)
    k, m = _split(u)
    h, low = log_pair(m, m.like(0.0))
    c, cl = constant(name)
    p, rest = multiply((h, low), (h.like(c), h.like(cl)))
    n = _to_float(k, u) - out
    if exact_exponent:
        total, more = two_sum(n, p)
    else:
        a, al = constant("log10(2)")
        q, ql = multiply((n, n.like(0.0)), (n.like(a), n.like(al)))
        total, more = two_sum(q, p)
        more = more + ql
    return _at_the_edges(total + (more + rest), x, 0.0)


def log2(x: Val) -> Val:
    return _log_base(x, "1/ln2", 1.0)


def log10(x: Val) -> Val:
    return _log_base(x, "1/ln10", 0.0)


def log1p_pair(u: Val, rest: Val) -> Val:
    """log(1 + u + rest) in one word, with its error in the result alone."""
    one, tail = two_sum(u.like(1.0), u)
    h, low = log_pair(one, tail + rest)
    return h + low


def softplus(x: Val) -> Val:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))"""
    r = select(x.gt(0.0), x, 0.0) + log1p(exp(-x.abs()))
    return select(x.isnan(), x, r)


def logaddexp(a: Val, b: Val) -> Val:
    """log(exp(a) + exp(b)) = max + log1p(exp(-|a - b|))"""
    r = select(a.gt(b), a, b) + log1p(exp(-(a - b).abs()))
    r = select(a.eq(b), a + math.log(2), r)  # infinities, whose difference is no number
    return select((a - b).isnan() & a.ne(b), a + b, r)


# powers and roots ----------------------------------------------------------------------------------------------------


def pow(x: Val, y: Val) -> Val:
    """x**y = exp(y log|x|) in two words, then C99's table of special cases. float64 only."""
    a = x.abs()
    u, out = _normalised(a)
    h, low = log_pair(u, u.like(0.0), -out)
    h = select(a.eq(0.0), -INF, select(a.eq(INF), INF, h))
    e = y * h
    inside = e.abs().lt(800.0)
    tail = select(inside, fma(y, h, -e) + y * low, 0.0)
    n, (m, rest) = exp_pair(clamp(e, *_limits(x)), tail)
    r = scale(m + rest, n)
    whole = y.f.intrinsic("trunc", y).eq(y)
    half = y * 0.5
    odd = whole & y.f.intrinsic("trunc", half).ne(half) & y.abs().lt(2.0**53)
    negative = x.bits().lt(0)
    r = select(odd & negative, -r, r)
    r = select(x.lt(0.0) & ~whole & a.ne(INF), NAN, r)
    r = select(x.isnan(), x, select(y.isnan(), y, r))
    return select(y.eq(0.0) | x.eq(1.0) | (a.eq(1.0) & y.abs().eq(INF)), 1.0, r)


def cbrt(x: Val) -> Val:
    """One Newton step, with its residual in two words, from exp(log(|x|) / 3). float64 only."""
    a = x.abs()
    u, out = _normalised(a)
    y = exp(_log_positive(u) * (1 / 3))
    square, low = two_prod(y, y)
    cube = multiply((square, low), (y, y.like(0.0)))
    y = y - ((cube[0] - u) + cube[1]) / (square * 3.0)
    y = y * select(out.gt(0.0), 2.0**-18, y.like(1.0))
    return select(a.eq(0.0) | a.eq(INF) | x.isnan(), x, y.copysign(x))


def arcsinh(x: Val) -> Val:
    """log1p(a + a^2 / (1 + sqrt(1 + a^2))); for large a, log(2 a). float64 only."""
    a = x.abs()
    big = a.gt(2.0**28)
    b = select(big, 1.0, a)
    square = b * b
    w = square / (1.0 + (square + 1.0).sqrt())
    u, rest = fast_two_sum(b, w)
    one, tail = two_sum(u.like(1.0), u)
    h, low = log_pair(select(big, a, one), select(big, 0.0, tail + rest), select(big, a.like(1.0), 0.0))
    r = select(a.eq(INF) | x.isnan(), a, h + low)
    return select(x.eq(0.0), x, r.copysign(x))


def arccosh(x: Val) -> Val:
    """log1p(t + sqrt(t (t + 2))), t = x - 1; for large x, log(2 x). float64 only."""
    big = x.gt(2.0**28)
    t = select(big, 1.0, x - 1.0)
    root = (t * (t + 2.0)).sqrt()
    u, rest = two_sum(root, t)
    one, tail = two_sum(u.like(1.0), u)
    h, low = log_pair(select(big, x, one), select(big, 0.0, tail + rest), select(big, x.like(1.0), 0.0))
    return select(x.lt(1.0), NAN, select(x.eq(INF) | x.isnan(), x, h + low))


def arctanh(x: Val) -> Val:
    """log1p(2 a / (1 - a)) / 2. float64 only."""
    a = x.abs()
    d = two_sum(a.like(1.0), -a)
    q = divide((a + a, a.like(0.0)), d)
    r = log1p_pair(*q) * 0.5
    r = select(a.eq(1.0), INF, select(a.gt(1.0), NAN, r))
    return select(x.eq(0.0) | x.isnan(), x, r.copysign(x))
