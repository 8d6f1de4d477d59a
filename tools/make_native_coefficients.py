"""Make src/chainrule/emit/native/coefficients.json: the polynomials and constants of the native vector functions.

Each polynomial interpolates its function at the Chebyshev points of an interval, in 300-bit arithmetic, and is then
rounded to float64. That is within a small factor of the best polynomial of its degree, and it repeats bit for bit.

    python tools/make_native_coefficients.py          # write the file
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath as mp

OUT = Path(__file__).parent.parent / "src/chainrule/emit/native/coefficients.json"
Real = Any  # an mpmath number


def interpolate(f: Callable[[Real], Real], low: Real, high: Real, degree: int) -> list[float]:
    """Coefficients, constant first, of the polynomial through f at the Chebyshev points of [low, high]."""
    return [float(c) for c in exact(f, low, high, degree)]


def exact(f: Callable[[Real], Real], low: Real, high: Real, degree: int) -> list[Real]:
    """The same before rounding."""
    n, low, high = degree + 1, mp.mpf(low), mp.mpf(high)
    xs = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    return list(mp.lu_solve(mp.matrix([[x**j for j in range(n)] for x in xs]), mp.matrix([f(x) for x in xs])))


def words(value: Real, count: int) -> list[float]:
    """A constant as a sum of float64 numbers, each the rounding of what is left."""
    out: list[float] = []
    for _ in range(count):
        out.append(float(value))
        value -= out[-1]
    return out


def short(value: Real, bits: int) -> list[float]:
    """A constant as one number of few bits, whose products with small integers are exact, and the rest."""
    high = mp.nint(value * 2**bits) / mp.mpf(2) ** bits
    return [float(high), float(value - high)]


def exponential(r: Real) -> Real:
    """(exp(r) - 1 - r) / r^2"""
    return (mp.expm1(r) - r) / r**2 if abs(r) > mp.mpf(10) ** -40 else mp.mpf(1) / 2


def logarithm(z: Real) -> Real:
    """R in log((1 + s) / (1 - s)) = 2 s + s z R(z), z = s^2"""
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) - 2 * s) / (s * z) if z else mp.mpf(2) / 3


def logarithm_tail(z: Real) -> Real:
    """Q in R(z) = 2/3 + z (2/5 + z Q(z))"""
    return ((logarithm(z) - mp.mpf(2) / 3) / z - mp.mpf(2) / 5) / z if z else mp.mpf(2) / 7


def odd(f: Callable[[Real], Real], cubic: Real) -> Callable[[Real], Real]:
    """P in f(x) = x + x z P(z), z = x^2"""
    return lambda z: (f(mp.sqrt(z)) / mp.sqrt(z) - 1) / z if z else cubic


def cosine(z: Real) -> Real:
    """C in cos(x) = 1 - z/2 + z^2 C(z), z = x^2"""
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2 if z else mp.mpf(1) / 24


def error_function(z: Real) -> Real:
    """P in erf(x) = x + x P(z), z = x^2"""
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1 if z else 2 / mp.sqrt(mp.pi) - 1


def complement(k: Real) -> Callable[[Real], Real]:
    """(x + k) exp(x^2) erfc(x) in t = (x - k) / (x + k)"""

    def f(t: Real) -> Real:
        x = k * (1 + t) / (1 - t)
        return mp.erfc(x) * mp.exp(x * x) * (x + k)

    return f


def scaled(x: Real, k: Real) -> Real:
    return (x - k) / (x + k)


def erfc_polynomial() -> list[Real]:
    k = mp.mpf(2)
    return exact(complement(k), scaled(mp.mpf("0.45"), k), scaled(40, k), 22)


def polynomials() -> dict[str, list[float]]:
    half = mp.log(2) / 2 * mp.mpf("1.0001")
    s = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.0001")
    quarter, eighth = (mp.pi / 4) ** 2 * mp.mpf("1.0001"), mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.0001")
    sine, arctan, arcsin = odd(mp.sin, -mp.mpf(1) / 6), odd(mp.atan, -mp.mpf(1) / 3), odd(mp.asin, mp.mpf(1) / 6)
    k = mp.mpf(2)
    return {
        "exp64": interpolate(exponential, -half, half, 10),
        "exp32": interpolate(exponential, -half, half, 4),
        "log64": interpolate(logarithm, 0, s, 6),
        "log32": interpolate(logarithm, 0, s, 2),
        "logtail64": interpolate(logarithm_tail, 0, s, 7),
        "sin64": interpolate(sine, 0, quarter, 6),
        "cos64": interpolate(cosine, 0, quarter, 6),
        "sin32": interpolate(sine, 0, quarter, 3),
        "cos32": interpolate(cosine, 0, quarter, 3),
        "atan64": interpolate(arctan, 0, eighth, 11),
        "asin64": interpolate(arcsin, 0, mp.mpf("0.2501"), 13),
        "erf64": interpolate(error_function, 0, 1, 11),
        "erf32": interpolate(error_function, 0, 1, 6),
        "erftail64": interpolate(complement(k), scaled(1, k), scaled(6, k), 16),
        "erftail32": interpolate(complement(k), scaled(1, k), scaled(mp.mpf("4.2"), k), 7),
        "erfc64": [float(c) for c in erfc_polynomial()],
    }


def constants() -> dict[str, list[float]]:
    ln2 = mp.log(2)
    first, second = erfc_polynomial()[:2]
    return {
        "ln2": words(ln2, 2),
        "ln2short64": short(ln2, 32),
        "ln2short32": short(ln2, 14),
        "1/ln2": words(1 / ln2, 2),
        "1/ln10": words(1 / mp.log(10), 2),
        "log10(2)": words(mp.log(2, 10), 2),
        "pi/2": words(mp.pi / 2, 3),
        "2/pi": words(2 / mp.pi, 1),
        "2/3": words(mp.mpf(2) / 3, 2),
        "2/5": words(mp.mpf(2) / 5, 2),
        "erfc64[0]": words(first, 2),
        "erfc64[1]": words(second, 2),
        "sqrt(1/2)": words(mp.sqrt(mp.mpf(1) / 2), 2),
        "ln(sqrt(2pi))": words(mp.log(2 * mp.pi) / 2, 2),
    }


def two_over_pi_bits() -> list[int]:
    """2/pi as a string of bits in words of 64: enough for the largest float64 and what follows it."""
    count = 20
    whole = int(mp.floor(2 / mp.pi * mp.mpf(2) ** (64 * count)))
    return [whole >> (64 * (count - 1 - k)) & (2**64 - 1) for k in range(count)]


def make() -> dict[str, Any]:
    """All tables, as they are written."""
    with mp.workprec(300):
        tables: dict[str, Any] = {"polynomials": polynomials(), "constants": constants()}
    with mp.workprec(2000):
        tables["2/pi"] = two_over_pi_bits()
    return tables


if __name__ == "__main__":
    OUT.write_text(json.dumps(make(), indent=1) + "\n")
