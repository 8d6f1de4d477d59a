"""Numbers and sizes in formulas: fractions, well-known constants, products of scalars."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from chainrule.emit.symbols import ATOM, FUNCTION, PRODUCT, SUM, Term, number, symbol
from chainrule.explain.sizes import Linear, Monomial

HALF = Fraction(1, 2)


def size_term(base: Linear) -> Term:
    """``n``, ``n - 1``."""
    out = ""
    for name, k in base[0]:
        part = symbol(name).text if abs(k) == 1 else f"{abs(k)} {symbol(name).text}"
        out += (" - " if k < 0 else " + ") + part if out else ("-" if k < 0 else "") + part
    if base[1]:
        out += f" {'-' if base[1] < 0 else '+'} {abs(base[1])}"
    return Term(out, ATOM if len(base[0]) == 1 and not base[1] and base[0][0][1] == 1 else SUM, symbol=True)


def split_monomial(m: Monomial) -> tuple[list[Term], list[Term]]:
    """Factors above and below the line; 1 is left out."""
    top, bottom = list[Term](), list[Term]()
    n = m.number
    if isinstance(n, Fraction):
        if n.numerator != 1:
            top.append(_decimal(n.numerator))
        if n.denominator != 1:
            bottom.append(_decimal(n.denominator))
    elif n != 1:
        known = _familiar(n)
        if known is None:
            top.append(number(n))
        else:
            return _split_with(m, *known)
    for base, p in m.powers:
        t, q = size_term(base), abs(p)
        t = t.bracketed if t.level < ATOM and q != HALF else t
        if q == HALF:
            t = Term(rf"\sqrt{{{t.text}}}")
        elif q != 1:
            t = t.raised(str(q))
        (top if p > 0 else bottom).append(t)
    if isinstance(n, Fraction) and n.denominator not in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) and not m.powers:
        return [number(float(n))], []
    return top, bottom


_FAMILIAR = (
    (math.sqrt(2), r"\sqrt{2}", True), (1 / math.sqrt(2), r"\sqrt{2}", False), (math.sqrt(math.pi), r"\sqrt{\pi}", True),
    (1 / math.sqrt(math.pi), r"\sqrt{\pi}", False), (1 / math.sqrt(2 * math.pi), r"\sqrt{2\pi}", False),
    (math.sqrt(2 * math.pi), r"\sqrt{2\pi}", True), (math.pi, r"\pi", True), (1 / math.pi, r"\pi", False), (math.log(2), r"\ln 2", True),
    (1 / math.log(2), r"\ln 2", False), (1 / math.log(10), r"\ln 10", False), (math.sqrt(2 / math.pi), r"\sqrt{\frac{2}{\pi}}", True),
    (math.log(2 * math.pi), r"\ln\left(2\pi\right)", True),
)  # fmt: skip


def _familiar(n: float) -> tuple[Fraction, str, bool] | None:
    """A small fraction of a well-known constant: the fraction, the constant, and whether it stands above the line."""
    found: list[tuple[int, Fraction, str, bool]] = []
    for value, text, above in _FAMILIAR:
        q = Fraction(abs(n) / value).limit_denominator(12)
        if q and q.numerator <= 12 and math.isclose(float(q) * value, abs(n), rel_tol=1e-14):
            found.append((q.numerator * q.denominator, q if n > 0 else -q, text, above))
    return min(found)[1:] if found else None


def _split_with(m: Monomial, q: Fraction, text: str, above: bool) -> tuple[list[Term], list[Term]]:
    top, bottom = split_monomial(Monomial(q, m.powers))
    (top if above else bottom).append(Term(text))
    return top, bottom


def _decimal(n: int) -> Term:
    return Term(str(n)) if n >= 0 else Term(f"({n})")


def joined(factors: Sequence[Term]) -> str:
    """Scalars side by side, with a space or a dot where they would run together."""
    out = ""
    for t in factors:
        text = t.text
        if not out:
            out = text
        elif text[:1].isdigit() or (out[-1:].isdigit() and text.startswith(r"\frac")):
            out += rf" \cdot {text}"
        else:
            out += rf" \, {text}" if _WORD.match(text) or _WORD_AT_END.search(out) else f" {text}"
    return out


_WORD = re.compile(r"\\(operatorname|mathrm|sin|cos|tan|ln|log|det|sinh|cosh|tanh|arc\w+|max|min)\b|\|")
_WORD_AT_END = re.compile(r"\\(?:operatorname|mathrm)\{\w+\}(?:_\{[^{}]*\})?$|\|$|\\(?:sin|cos|tan|ln|sinh|cosh|tanh) \S+$")


def ratio(top: Sequence[Term], bottom: Sequence[Term]) -> Term:
    """A product, or a fraction."""
    if not bottom:
        return Term(joined(top) or "1", PRODUCT if len(top) > 1 else top[0].level if top else ATOM)
    alone = top[0].text if len(top) == 1 else joined([within(t) for t in top]) or "1"
    below = bottom[0].text if len(bottom) == 1 else joined([within(t) for t in bottom])
    return Term(rf"\frac{{{alone}}}{{{below}}}", ATOM)


def within(t: Term) -> Term:
    return t if t.level >= PRODUCT and not t.big else t.bracketed


def called(t: Term) -> bool:
    """A function whose argument stands in brackets: sign(x), and not sin x."""
    if t.level != FUNCTION or not t.text.endswith(r"\right)"):
        return False
    depth = 0
    for m in re.finditer(r"\\left\(|\\right\)", t.text):
        depth += 1 if m[0] == r"\left(" else -1
        if not depth:
            return m.end() == len(t.text)
    return False
