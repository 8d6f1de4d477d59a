"""Symbolic sizes: the numbers in a program that depend on the shapes of its arguments, as formulas in the names of these sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from typing import TypeAlias

import numpy as np

Sizes: TypeAlias = "Mapping[str, int]"
Linear: TypeAlias = "tuple[tuple[tuple[str, int], ...], int]"
"""A sum of multiples of sizes and a whole number: ``((("n", 1),), -1)`` is n - 1."""

_LARGEST = 10_000


def exact(x: float | Fraction) -> Fraction | float:
    """A number as a fraction with a small denominator, if it is one (to the last bit)."""
    if isinstance(x, Fraction):
        return x
    if not math.isfinite(x):
        return x
    close = Fraction(x).limit_denominator(_LARGEST)
    if close.numerator / close.denominator == x:
        return close
    short = Fraction(x).limit_denominator(16)  # a product of roundings: 0.4999999999999999 is a half
    return short if math.isclose(short.numerator / short.denominator, x, rel_tol=1e-15) else x


def linear_value(base: Linear, sizes: Sizes) -> int:
    """The whole number that a sum of sizes is."""
    return sum(k * sizes[name] for name, k in base[0]) + base[1]


def linear_text(base: Linear) -> str:
    """``n - 1``, ``m + n``."""
    out = ""
    for name, k in base[0]:
        sign = " - " if k < 0 else " + "
        part = name if abs(k) == 1 else f"{abs(k)} {name}"
        out += (sign if out else "-" if k < 0 else "") + part
    if base[1]:
        out += f" {'-' if base[1] < 0 else '+'} {abs(base[1])}"
    return out


@dataclass(frozen=True)
class Monomial:
    """A number times powers of (sums of) sizes: 2 / n, 1 / (n - 1), sqrt(d)."""

    number: Fraction | float = Fraction(1)
    powers: tuple[tuple[Linear, Fraction], ...] = ()

    @staticmethod
    def of(x: float | Fraction) -> Monomial:
        """A plain number."""
        return Monomial(exact(float(x)) if not isinstance(x, Fraction) else x)

    @staticmethod
    def size(name: str) -> Monomial:
        """A size by its name."""
        return Monomial(Fraction(1), (((((name, 1),), 0), Fraction(1)),))

    def __mul__(self, other: Monomial) -> Monomial:
        powers = dict(self.powers)
        for base, p in other.powers:
            powers[base] = powers.get(base, Fraction(0)) + p
        number = self.number * other.number
        return Monomial(exact(number), tuple(sorted((b, p) for b, p in powers.items() if p)))

    def __truediv__(self, other: Monomial) -> Monomial:
        return self * other.raised(Fraction(-1))

    def __neg__(self) -> Monomial:
        return Monomial(-self.number, self.powers)

    def raised(self, p: Fraction) -> Monomial:
        """To a power; fractional ones of positive numbers only."""
        if p.denominator == 1 and isinstance(self.number, Fraction):
            number: Fraction | float = self.number**p.numerator
        else:
            number = exact(float(self.number) ** float(p))
        return Monomial(number, tuple((b, q * p) for b, q in self.powers))

    @property
    def plain(self) -> bool:
        """Is it a number without sizes?"""
        return not self.powers

    @property
    def one(self) -> bool:
        """Is it 1?"""
        return not self.powers and self.number == 1

    @property
    def names(self) -> set[str]:
        """Which sizes occur."""
        return {name for base, _ in self.powers for name, _ in base[0]}

    def value(self, sizes: Sizes) -> float:
        """The number it is at these sizes."""
        out = float(self.number)
        for base, p in self.powers:
            out *= float(linear_value(base, sizes)) ** float(p)
        return out

    def whole(self, sizes: Sizes) -> int:
        """The same, of a size."""
        return round(self.value(sizes))

    def __str__(self) -> str:
        parts = [] if self.number == 1 and self.powers else [str(self.number)]
        for base, p in self.powers:
            text = linear_text(base) if len(base[0]) == 1 and not base[1] else f"({linear_text(base)})"
            parts.append(text if p == 1 else f"{text}^{p}")
        return " ".join(parts)


ONE = Monomial()


class NotSymbolicError(Exception):
    """A number of a program changes with the sizes in a way that no short formula describes."""


def fitted(values: Sequence[float], samples: Sequence[Sizes]) -> Monomial:
    """The short formula in the sizes that gives `values` at `samples`.

    Tried in this order: a number, one size or a shifted one, products and quotients of two and three, sums.
    """
    first = values[0]
    if all(v == first for v in values):
        return Monomial.of(first)
    names = sorted(samples[0])
    if any(not math.isfinite(v) for v in values):
        raise NotSymbolicError(f"the numbers {list(values)} are no formula of the sizes")
    whole = all(isinstance(v, int | np.integer) or float(v).is_integer() for v in values)
    for m in _candidates(names, whole):
        c = first / m.value(samples[0])
        c = _near(c)
        if c and all(math.isclose(c * m.value(s), v, rel_tol=4e-15) for v, s in zip(values, samples, strict=True)):
            return Monomial.of(c) * m
    if whole:
        found = _sum_of(values, samples, names)
        if found is not None:
            return found
    raise NotSymbolicError(f"the numbers {list(values)} are no formula of the sizes {', '.join(names)}")


def _near(c: float) -> float:
    close = Fraction(c).limit_denominator(1000)
    return close.numerator / close.denominator if math.isclose(float(close), c, rel_tol=1e-14) else c


def _candidates(names: Sequence[str], whole: bool) -> Iterable[Monomial]:
    half = Fraction(1, 2)
    exponents = (Fraction(1), Fraction(2)) if whole else (Fraction(-1), -half, half, Fraction(1), Fraction(-2), Fraction(2))
    bases: list[Linear] = [(((n, 1),), k) for k in (0, -1, 1, -2, 2) for n in names]
    for base in bases:
        for p in exponents:
            yield Monomial(Fraction(1), ((base, p),))
    for k in (2, 3):
        for chosen in combinations(bases[: 3 * len(names)], k):
            for ps in product(exponents if k == 2 else exponents[:1] if whole else (Fraction(-1), Fraction(1)), repeat=k):
                yield Monomial(Fraction(1), tuple(sorted(zip(chosen, ps, strict=True))))


def _sum_of(values: Sequence[float], samples: Sequence[Sizes], names: Sequence[str]) -> Monomial | None:
    for k in (1, 2, 3):
        for chosen in combinations(names, k):
            for ks in product((1, -1, 2), repeat=k):
                rest = {
                    round(v - sum(c * s[n] for c, n in zip(ks, chosen, strict=True)))
                    for v, s in zip(values, samples, strict=True)
                }
                if len(rest) == 1:
                    base: Linear = (tuple(zip(chosen, ks, strict=True)), rest.pop())
                    return Monomial(Fraction(1), ((base, Fraction(1)),))
    return None


TRIED = (5, 7, 11, 12, 18, 20, 23, 29, 31, 37, 41, 43)
"""Sizes to trace at: odd and even for every name, so that a program that does other things at odd sizes is found out."""


def samples(names: Sequence[str], count: int = 3) -> list[dict[str, int]]:
    """Sizes to try, all different from each other and from 1, 2 and 3."""
    out: list[dict[str, int]] = []
    for k in range(count):
        values = [*TRIED[3 * k :], *TRIED[: 3 * k], *range(47, 47 + 2 * len(names), 2)]
        out.append(dict(zip(names, values, strict=False)))
    return out
