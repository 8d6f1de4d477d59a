"""Pieces of a formula: terms that know when they need brackets, names and numbers as mathematics writes them."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from string import Formatter
from typing import Any, NamedTuple

import numpy as np

ATOM, POWER, FUNCTION, PRODUCT, NEGATIVE, SUM, RELATION = 9, 8, 7, 5, 4, 3, 1

_GREEK = re.findall(
    r"\w+",
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega",
)
GREEK = {**{g: rf"\{g}" for g in _GREEK}, "eps": r"\epsilon", "epsilon": r"\epsilon", "lam": r"\lambda", "ell": r"\ell"}
_BEFORE = {"bar": r"\bar", "d": r"\dot"}
_AFTER = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde", "dot": r"\dot", "star": None, "prime": None}
_ACCENTED = re.compile(rf"([A-Za-z]|{'|'.join(_GREEK)})(hat|bar|tilde)(\d*)")
_KNOWN = {
    math.pi: r"\pi", 2 * math.pi: r"2\pi", math.pi / 2: r"\frac{\pi}{2}", math.e: "e",
    math.log(2): r"\ln 2", math.log(10): r"\ln 10",
    math.sqrt(2): r"\sqrt{2}", math.sqrt(0.5): r"\frac{1}{\sqrt{2}}", math.sqrt(2 * math.pi): r"\sqrt{2\pi}",
    2 / math.sqrt(math.pi): r"\frac{2}{\sqrt{\pi}}", math.sqrt(2 / math.pi): r"\sqrt{\frac{2}{\pi}}",
}  # fmt: skip


class Term(NamedTuple):
    """LaTeX with its precedence.

    A symbol may take a subscript; `big` ends within the reach of a sum sign, which a factor behind it would enter; `matrix`
    is a product of matrices.
    """

    base: str
    level: int = ATOM
    sub: str = ""
    symbol: bool = False
    big: bool = False
    matrix: bool = False

    @property
    def text(self) -> str:
        """As LaTeX."""
        return f"{self.base}_{{{self.sub}}}" if self.sub else self.base

    @property
    def bracketed(self) -> Term:
        """In brackets."""
        return Term(rf"\left({self.text}\right)", symbol=True)

    def at_least(self, level: int) -> Term:
        """Itself, in brackets if it binds less than `level`."""
        return self if self.level >= level else self.bracketed

    def indexed(self, index: str) -> Term:
        """With a subscript more."""
        if not index:
            return self
        if not self.symbol:
            return self.bracketed.indexed(index)
        return self._replace(sub=f"{self.sub},{index}" if self.sub else index)

    def raised(self, power: str) -> Term:
        """With a superscript."""
        return Term(f"{(self if self.symbol else self.bracketed).text}^{{{power}}}", POWER)


def symbol(name: str) -> Term:
    r"""``W1`` as W_1, ``theta_old`` as \theta_{old}, ``bar_h`` as \bar h, ``learning_rate`` upright."""
    parts = [p for p in name.split("_") if p]
    if len(parts) > 1 and parts[0] in _BEFORE:
        inner = symbol("_".join(parts[1:]))
        return inner._replace(base=f"{_BEFORE[parts[0]]}{{{inner.base}}}")
    if len(parts) > 1 and parts[0] == "grad":
        return Term(r"\nabla", sub=symbol("_".join(parts[1:])).text, symbol=True)
    joined = _ACCENTED.fullmatch(parts[0]) if parts else None
    if joined:  # xhat
        parts[:1] = [joined[1] + joined[3], joined[2]]
    accents = [p for p in parts[1:] if _AFTER.get(p)]
    first, *digits = re.fullmatch(r"(.*?)(\d*)", parts[0] if parts else "x").groups()  # pyright: ignore[reportOptionalMemberAccess]
    base = _word(first or "x")
    for a in accents:
        base = f"{_AFTER[a]}{{{base}}}"
    rest = [*[d for d in digits if d], *[_word(p) for p in parts[1:] if p not in accents]]
    return Term(base, sub=",".join(rest), symbol=True)


def _word(w: str) -> str:
    if w in GREEK:
        return GREEK[w]
    return w if len(w) == 1 or w.isdigit() else rf"\mathrm{{{w}}}"


def number(x: Any) -> Term:
    """A number: fractions and well-known constants as such."""
    x = np.asarray(x)
    if x.dtype.kind == "b":
        return Term(r"\mathrm{true}" if x else r"\mathrm{false}")
    if x.dtype.kind == "c":
        return Term(f"{number(x.real).text} + {number(x.imag).text} i", SUM)
    value = x.item()
    if math.isnan(value):
        return Term(r"\mathrm{NaN}")
    if value < 0 or (value == 0 and math.copysign(1, value) < 0):
        return Term(f"-{_positive(-x).text}", NEGATIVE)
    return _positive(x)


def _positive(x: Any) -> Term:
    value = x.item()
    if math.isinf(value):
        return Term(r"\infty")
    if value in _KNOWN:
        return Term(_KNOWN[value])
    text = str(x[()]).removesuffix(".0")
    fraction = Fraction(value).limit_denominator(10_000)
    if value == int(value) and value < 1e15:
        return Term(str(int(value)))
    exact = bool(x.dtype.type(fraction.numerator / fraction.denominator) == x)
    if exact and "e" not in text and (len(text) > 6 or value == 0.5):
        return Term(rf"\frac{{{fraction.numerator}}}{{{fraction.denominator}}}")
    if "e" in text:
        digits, power = text.split("e")
        ten = f"10^{{{int(power)}}}"
        return Term(ten, POWER) if digits == "1" else Term(rf"{digits} \times {ten}", PRODUCT)
    return Term(text)


# --- templates --------------------------------------------------------------------------------------------------------------


class Hole(NamedTuple):
    """A place in a notation: which operand, and what binds it there."""

    before: str
    operand: str | None
    need: str


_OPEN = ("(", "[", "|", ",", "&", r"\lfloor", r"\lceil", r"\langle", r"\lVert", r"\lvert")
_CLOSE = (")", "]", "|", ",", "&", r"\right", r"\rfloor", r"\rceil", r"\rangle", r"\rVert", r"\rvert", r"\\", r"\end")


@lru_cache(maxsize=512)
def holes(notation: str) -> tuple[Hole, ...]:
    """The places of a notation: `base` of a power, `indexed`, `free` within delimiters, `left`, `right`, `only`."""
    notation = re.sub(r"(?<!\\left)(?<!\\bigl)\(", r"\\left(", re.sub(r"(?<!\\right)(?<!\\bigr)\)", r"\\right)", notation))
    literal: list[tuple[str, str | None]] = [("", None)]
    for text, field, _, _ in Formatter().parse(notation):
        before = literal.pop()[0] if literal[-1][1] is None else ""  # doubled braces come in pieces
        literal.append((before + text, field))
    literal = [x for x in literal if x != ("", None)]
    count = sum(field is not None for _, field in literal)
    found: list[Hole] = []
    for k, (before, field) in enumerate(literal):
        after = literal[k + 1][0] if k + 1 < len(literal) else ""
        found.append(Hole(before, field, "" if field is None else _need(before, after, count, k)))
    return tuple(found)


def _need(before: str, after: str, count: int, k: int) -> str:
    left, right = before.rstrip(), after.lstrip()
    if right.startswith(("}^", "^")):
        return "base"
    if right.startswith(("}_", "_")):
        return "indexed"
    if left.endswith("{") and right.startswith("}"):
        return "free"
    if (left.endswith(_OPEN) or not left) and (right.startswith(_CLOSE) or not right) and (left or right or count == 1):
        return "free" if left or right else "same"
    if left.endswith(_OPEN) and not right:
        return "free"
    if count == 1:
        return "only"
    return "left" if not left else "right"
