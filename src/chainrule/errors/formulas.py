"""Errors about formulas that are given as text, and about what cannot be written as a formula."""

from __future__ import annotations

from chainrule.errors.base import ChainruleError
from chainrule.errors.source import Spot


class FormulaError(ChainruleError, ValueError):
    """A formula that cannot be read, or in which sizes do not fit.

    The carets stand under the part that is meant.  A formula is Python's own syntax over NumPy's functions, with ``A'`` for a
    transpose; sizes are given as ``shapes={"X": "n,d"}``.

    Fails:

    >>> import chainrule as cr
    >>> cr.derive("sum((X @ w - y)**2", wrt="w", shapes={"X": "n,d", "w": "d", "y": "n"})
    Traceback (most recent call last):
    ...
    chainrule.errors.FormulaError: -- FORMULA NOT UNDERSTOOD ... CR701
    In the formula
    1 | sum((X @ w - y)**2
           ^
    This bracket is never closed.

    Works:

    >>> print(cr.derive("sum((X @ w - y)**2)", wrt="w", shapes={"X": "n,d", "w": "d", "y": "n"}).latex)
    \\frac{\\partial f}{\\partial w} = 2 X^{\\top} \\left(X w - y\\right)
    """

    code = "CR701"
    title = "FORMULA NOT UNDERSTOOD"

    @classmethod
    def at(cls, text: str, start: int, end: int, seen: str, needed: str = "", fix: str = "") -> FormulaError:
        """At these characters of the formula."""
        e = cls(seen, needed, fix)
        e.where = None
        first = text.rfind("\n", 0, start) + 1
        line = text[first:].split("\n", 1)[0]
        a = start - first
        b = max(min(end - first, len(line)), a + 1)
        e._doing = "In the formula"
        e._spot = Spot("", "", text.count("\n", 0, start) + 1, (line.ljust(b),), ((a, b),))
        e.start, e.end = start, end
        return e

    start: int = 0
    end: int = 0

    def _long(self) -> str:
        return super()._long().replace("In the formula :1", "In the formula").replace("In the formula :", "In line ")


class NoFormulaError(ChainruleError, ValueError):
    """A derivative that exists but cannot be written as a formula.

    A formula needs a program that does the same at every size: one without loops that depend on values, and without data that
    it holds itself in shapes that must match.  The derivative itself is there all the same: call `cr.grad`.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> cr.derive(lambda x: cr.fori_loop(0, 3, lambda k, s: s * x, 1.0), 2.0)
    Traceback (most recent call last):
    ...
    chainrule.errors.NoFormulaError: -- NO FORMULA FOR THIS ... CR702
    ...

    Works:

    >>> float(cr.grad(lambda x: cr.fori_loop(0, 3, lambda k, s: s * x, 1.0))(2.0))
    12.0
    """

    code = "CR702"
    title = "NO FORMULA FOR THIS"
