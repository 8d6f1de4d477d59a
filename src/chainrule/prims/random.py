"""Random bits from a key, and the quantile whose derivative is known implicitly.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a bijection
of 64-bit counters for every 64-bit key, made of sums, rotations and exclusive ors of 32-bit words.  Nothing is remembered between
calls, so the same key gives the same bits on every machine and engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from scipy import special

from chainrule import errors
from chainrule.build.row import POSITIVE, Interval, Row, Tangent, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Params
from chainrule.ir.types import ArrayType
from chainrule.prims.elementwise import exp, log
from chainrule.prims.kinds import binary
from chainrule.prims.special import digamma, gammaln

U32 = np.dtype(np.uint32)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_LOW = 0xFFFFFFFF
_FEW = 16


def threefry(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Threefry-2x32-20 of 32-bit words, NumPy's or JAX's; keys and counters broadcast.

    Source: Salmon et al. (2011), section 4; the words and their order are those of the Random123 library.
    """
    words = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x, y = counter[0] + words[0], counter[1] + words[1]
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << np.uint32(r)) | (y >> np.uint32(32 - r))
            y = y ^ x
        x = x + words[(group + 1) % 3]
        y = y + words[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def _few_words(key: Array, n: int) -> list[int]:
    """The same as `threefry` counts 0, 1, 2, ... with Python's integers: for a handful, arrays of one element cost ten times as much."""
    a, b = key.tolist()
    words, out = (a, b, a ^ b ^ int(_PARITY)), list[int]()
    for count in range((n + 1) // 2):
        x, y = (count + a) & _LOW, b
        for group in range(5):
            for r in _ROTATIONS[group % 2]:
                x = (x + y) & _LOW
                y = ((y << r | y >> (32 - r)) & _LOW) ^ x
            x = (x + words[(group + 1) % 3]) & _LOW
            y = (y + words[(group + 2) % 3] + group + 1) & _LOW
        out += (x, y)
    return out[:n]


def random_words(key: Array, *, shape: tuple[int, ...]) -> Array:
    """Element k in order is word k mod 2 of the encrypted counter k div 2 (low word first)."""
    n = prod(shape)
    if key.ndim == 1 and n <= _FEW:
        return np.array(_few_words(key, n), U32).reshape(shape)
    count = np.arange((n + 1) // 2, dtype=np.uint64)
    counter = (count & np.uint64(0xFFFFFFFF)).astype(U32), (count >> np.uint64(32)).astype(U32)
    words = threefry((key[..., :1], key[..., 1:]), counter)
    return np.stack(words, -1).reshape(*key.shape[:-1], -1)[..., :n].reshape(*key.shape[:-1], *shape)


def _bits_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    (t,) = ts
    if t.dtype != U32 or t.shape[-1:] != (2,):
        raise errors.DtypeError(f"a random key is u32[2], as cr.random.key makes it, not {t}")
    return (ArrayType(U32, (*t.shape[:-1], *p["shape"])),)


def _bits_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    return random_bits.all(*xs, **p)


def _no_tangent(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    return [Zero(y.type) for y in ys]


random_bits = Row(
    name="random_bits", kind="flat", type=_bits_type, value=random_words, batch=_bits_batch, jvp=_no_tangent,
    notation=r"\operatorname{{bits}}({0})",
)  # fmt: skip
"""uint32 words of this shape from a key, or for each of several keys."""


# --- the gamma distribution ----------------------------------------------------------------------------------------------------


def _incomplete_slope(a: Array, x: Array) -> Array:
    """dP(a, x)/da of the regularised lower incomplete gamma function, by its power series.

    P(a, x) = sum_n w_n with w_n = x^(a+n) e^(-x) / Gamma(a+n+1), so dP/da = sum_n w_n (ln x - digamma(a+n+1)).
    """
    a, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    safe = np.maximum(x, np.finfo(np.float64).tiny)
    log_x = np.log(safe)
    w = np.exp(a * log_x - safe - special.gammaln(a + 1))
    psi, total = special.digamma(a + 1), np.zeros_like(w)
    beyond = np.maximum(safe - a, 0)
    steps = int(np.max(beyond + 12 * np.sqrt(np.maximum(safe, a)) + 60, initial=0))  # 12 deviations past the largest term
    for n in range(steps):
        total += w * (log_x - psi)
        w = w * (safe / (a + n + 1))
        psi = psi + 1 / (a + n + 1)
    return total


def _slope_value(a: Array, x: Array) -> Array:
    return _incomplete_slope(a, x).astype(np.result_type(a, x), copy=False)


def _no_partial(a: Value, x: Value, s: Value) -> Value:
    raise errors.NotDifferentiableError("the second derivative of a gamma sample by its shape parameter is not known")


def _log_density(a: Value, x: Value) -> Value:
    return (a - 1) * log(x) - x - gammaln(a)


incomplete_gamma_slope = binary(
    "incomplete_gamma_slope", _slope_value,
    (_no_partial, lambda a, x, s: exp(_log_density(a, x)) * (log(x) - digamma(a))), r"\frac{{\partial P}}{{\partial a}}({0}, {1})",
    on=(POSITIVE, POSITIVE),
)  # fmt: skip
"""dP(a, x)/da, P the regularised lower incomplete gamma function."""
gammaincinv = binary(
    "gammaincinv", special.gammaincinv,
    (
        lambda a, u, x: -incomplete_gamma_slope(a, x) / exp(_log_density(a, x)),
        lambda a, u, x: 1 / exp(_log_density(a, x)),
    ),
    r"P^{{-1}}({0}, {1})", python="special.gammaincinv", on=(POSITIVE, Interval(0, 1, open=True)),
)  # fmt: skip
"""The x with P(a, x) = u; its derivative is implicit, dx/da = -(dP/da) / (dP/dx)."""
