"""Reading a constant: which number, which powers of the sizes and the parameters it is made of, found by varying each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from chainrule.explain.doctor.lab import Instance, Lab

Coefficient = Callable[[Instance], "Sequence[float] | None"]
"""The numbers that a hypothesis needs to fit an instance, None where it does not fit."""

_CLOSE = 2e-6
_EXPONENTS = tuple(Fraction(*x) for x in ((1, 1), (-1, 1), (1, 2), (-1, 2), (2, 1), (-2, 1), (3, 2), (-3, 2), (3, 1), (-3, 1)))
_SPECIAL = {
    math.pi: "pi", math.sqrt(2): "sqrt(2)", math.log(2): "ln 2", math.log(10): "ln 10", math.sqrt(2 * math.pi): "sqrt(2 pi)",
    math.sqrt(math.pi): "sqrt(pi)", math.e: "e",
}  # fmt: skip


@dataclass(frozen=True)
class Power:
    """A size or a parameter, shifted, to a power: ``(1 - p)^-1``."""

    name: str
    sign: int
    shift: int
    exponent: Fraction
    size: bool

    def base(self, x: float) -> float:
        """The number that is raised."""
        return self.sign * x + self.shift

    @property
    def text(self) -> str:
        """The base in words."""
        if not self.shift:
            return self.name
        if self.sign < 0:
            return f"({self.shift} - {self.name})"
        return f"({self.name} {'+' if self.shift > 0 else '-'} {abs(self.shift)})"


@dataclass(frozen=True)
class Factor:
    """A number times powers."""

    number: float
    powers: tuple[Power, ...] = ()

    def value(self, i: Instance) -> float:
        """What it is in an experiment."""
        out = self.number
        for p in self.powers:
            out *= p.base(float(i.sizes[p.name] if p.size else i.params[p.name])) ** float(p.exponent)
        return out

    @property
    def inverse(self) -> Factor:
        """One over it."""
        flipped = [Power(p.name, p.sign, p.shift, -p.exponent, p.size) for p in self.powers]
        return Factor(1 / self.number, tuple(flipped))

    def is_number(self, x: float) -> bool:
        """Is it this plain number?"""
        return not self.powers and abs(self.number - x) <= 1e-5 * max(1.0, abs(x))

    @property
    def text(self) -> str:
        """``1/n``, ``2*lam``, ``n/(1 - p)``"""
        number = nice(abs(self.number))
        over: list[str] = []
        under: list[str] = []
        if isinstance(number, Fraction):
            over += [str(number.numerator)] if number.numerator != 1 else []
            under += [str(number.denominator)] if number.denominator != 1 else []
        elif number.startswith("1/"):
            under.append(number[2:])
        else:
            over.append(number)
        for p in self.powers:
            (over if p.exponent > 0 else under).append(_raised(p.text, abs(p.exponent)))
        top = "*".join(over) or "1"
        bottom = "*".join(under)
        body = top if not under else f"{top}/{bottom}" if len(under) == 1 else f"{top}/({bottom})"
        return f"-{body}" if self.number < 0 else body

    @property
    def latex(self) -> str:
        """The same as a formula."""
        number = nice(abs(self.number))
        over, under = list[str](), list[str]()
        if isinstance(number, Fraction):
            over += [str(number.numerator)] if number.numerator != 1 else []
            under += [str(number.denominator)] if number.denominator != 1 else []
        else:
            over.append(rf"\text{{{number}}}")
        for p in self.powers:
            e = abs(p.exponent)
            base = p.text if e == 1 else rf"\sqrt{{{p.text}}}" if e == Fraction(1, 2) else f"{p.text}^{{{e}}}"
            (over if p.exponent > 0 else under).append(base)
        top = r" \cdot ".join(over) or "1"
        body = rf"\frac{{{top}}}{{{' '.join(under)}}}" if under else top
        return f"-{body}" if self.number < 0 else body


def _raised(text: str, e: Fraction) -> str:
    return (
        text
        if e == 1
        else f"sqrt({text.strip('()')})"
        if e == Fraction(1, 2)
        else f"{text}**{e if e.denominator == 1 else f'({e})'}"
    )


def nice(x: float) -> Fraction | str:
    """A number as a short fraction, a known constant, or six digits."""
    f = Fraction(x).limit_denominator(64)
    if f and abs(float(f) - x) <= 2e-6 * x:
        return f
    for value, name in _SPECIAL.items():
        for k in (1, 2, 3, 4):
            head = "" if k == 1 else f"{k} "
            if abs(x - k * value) <= 2e-6 * x:
                return head + name
            if abs(x - 1 / (k * value)) <= 2e-6 * x:
                return f"1/({head}{name})" if k > 1 or " " in name else f"1/{name}"
    return f"{x:.6g}"


def same(a: float, b: float) -> bool:
    """Equal as far as a fitted coefficient can tell."""
    return abs(a - b) <= _CLOSE * max(abs(a), abs(b)) + 1e-9


def read(lab: Lab, base: Instance, coefficient: Coefficient, only: bool = False) -> list[Factor] | None:
    """The factors in the coefficients, None if they are not made of sizes and parameters.

    Args:
        lab: where experiments are made.
        base: the instance at the planned sizes.
        coefficient: what is to be read.
        only: there is no experiment but this one (the claimed gradient is an array).
    """
    first = coefficient(base)
    if first is None:
        return None
    if only:
        return [Factor(_rounded(c)) for c in first]
    changes: list[tuple[str, bool, Instance]] = []
    for k, (letter, _) in enumerate(lab.letters):
        i = lab.grown(k)
        if i is not None:
            changes.append((letter, True, i))
    changes += [(lab.words[k], False, i) for k in lab.params if (i := lab.turned(k)) is not None]
    powers: list[list[Power]] = [[] for _ in first]
    for name, size, i in changes:
        now = coefficient(i)
        if now is None:
            return None
        x0, x1 = (base.sizes[name], i.sizes[name]) if size else (base.params[name], i.params[name])
        for j, (a, b) in enumerate(zip(first, now, strict=True)):
            found = _power(a, b, name, float(x0), float(x1), size)
            if found is None:
                return None
            powers[j] += found
    out: list[Factor] = []
    for c, ps in zip(first, powers, strict=True):
        plain = Factor(1.0, tuple(ps))
        out.append(Factor(_rounded(c / plain.value(base)), tuple(ps)) if abs(c) > 1e-7 else Factor(0.0))
    checks = [i for i in (lab.other(1), lab.same(0)) if i is not None]
    for i in checks:
        now = coefficient(i)
        if now is None or not all(same(f.value(i), c) for f, c in zip(out, now, strict=True)):
            return None
    return out


def _rounded(c: float) -> float:
    if abs(c) < 1e-7:
        return 0.0
    f = nice(abs(c))
    return math.copysign(float(f), c) if isinstance(f, Fraction) else c


def _power(a: float, b: float, name: str, x0: float, x1: float, size: bool) -> list[Power] | None:
    """The power that takes a to b when a size or parameter goes from x0 to x1; [] where nothing changes."""
    if same(a, b):
        return []
    if a == 0 or b == 0 or (a < 0) != (b < 0):
        return None
    for p in _candidates(name, size):
        before, after = p.base(x0), p.base(x1)
        if before > 0 and after > 0 and same((after / before) ** float(p.exponent), b / a):
            return [p]
    return None


def _candidates(name: str, size: bool) -> Iterator[Power]:
    for sign, shift in ((1, 0), (1, -1), (1, 1)) if size else ((1, 0), (-1, 1), (1, 1), (1, -1)):
        for e in _EXPONENTS:
            yield Power(name, sign, shift, e, size)


def coefficients(target: np.ndarray, columns: Sequence[np.ndarray], bar: float) -> list[float] | None:
    """The combination of the columns that is the target, None if there is none within `bar`."""
    size = float(np.linalg.norm(target))
    if not columns:
        return [] if size <= bar else None
    a = np.stack(columns, axis=1)
    scale = np.linalg.norm(a, axis=0)
    if np.any(scale == 0) or not np.all(np.isfinite(a)):
        return None
    c, *_ = np.linalg.lstsq(a / scale, target, rcond=1e-11)
    rest = float(np.linalg.norm(target - (a / scale) @ c))
    return [float(x) for x in c / scale] if rest <= 1e-7 * size + bar else None
