"""Formulas as SymPy expressions, where SymPy has the operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule import errors
from chainrule.explain.nodes import Node
from chainrule.explain.sizes import Monomial

_FUNCTIONS = {
    "exp": "exp", "log": "log", "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "erf": "erf",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "abs": "Abs",
    "sign": "sign", "gammaln": "loggamma", "digamma": "digamma", "gamma": "gamma",
}  # fmt: skip


def to_sympy(x: Node, definitions: Mapping[str, Node]) -> Any:
    """A tree as an expression, named parts put in."""
    return _Writer(definitions)(x)


class _Writer:
    def __init__(self, definitions: Mapping[str, Node]) -> None:
        import sympy

        self.sp: Any = sympy
        self.definitions = definitions

    def __call__(self, x: Node) -> Any:
        method = getattr(self, f"_{type(x).__name__.lower()}", None)
        if method is None:
            raise errors.NoFormulaError(f"SymPy has no {type(x).__name__.lower()}.")
        return method(x)

    def _number(self, m: Monomial) -> Any:
        from fractions import Fraction

        sp = self.sp
        n = m.number
        out = sp.Rational(n.numerator, n.denominator) if isinstance(n, Fraction) else sp.Float(n)
        for base, p in m.powers:
            total = sp.Integer(base[1])
            for name, k in base[0]:
                total += k * self.size(name)
            out *= total ** sp.Rational(p.numerator, p.denominator)
        return out

    def size(self, name: str) -> Any:
        """A size: a positive whole number."""
        return self.sp.Symbol(name, integer=True, positive=True)

    def _name(self, x: Any) -> Any:
        if x.name in self.definitions:
            return self(self.definitions[x.name])
        if not x.rank:
            return self.sp.Symbol(x.name, real=True)
        if x.rank > 2:
            raise errors.NoFormulaError(f"{x.name} has {x.rank} axes; SymPy's matrices have two.")
        rows = [self._number(s) for s in x.sizes] + [self.sp.Integer(1)] * (2 - x.rank)
        return self.sp.MatrixSymbol(x.name, *rows)

    def _num(self, x: Any) -> Any:
        return self._number(x.m)

    def _total(self, x: Any) -> Any:
        parts = [sign * self._as(part, x) for sign, part in x.parts]
        return self.sp.MatAdd(*parts).doit() if x.rank else self.sp.Add(*parts)

    def _as(self, part: Node, like: Node) -> Any:
        if part.rank == like.rank:
            return self(part)
        rows = [self._number(s) for s in like.sizes] + [self.sp.Integer(1)] * (2 - like.rank)
        return self(part) * self.sp.OneMatrix(*rows)

    def _scaled(self, x: Any) -> Any:
        out = self._number(x.m)
        for f in x.top:
            out *= self._scalar(f)
        for f in x.bottom:
            out /= self._scalar(f)
        return out if x.body is None else out * self(x.body)

    def _scalar(self, x: Node) -> Any:
        y = self(x)
        return y[0, 0] if getattr(y, "is_Matrix", False) else y

    def _turn(self, x: Any) -> Any:
        return self(x.x).T

    def _chain(self, x: Any) -> Any:
        out = self.sp.MatMul(*[self(f) for f in x.factors]).doit()
        return out if x.rank else self.sp.Trace(out)  # of one element: what SymPy can differentiate further

    def _had(self, x: Any) -> Any:
        if x.bottom:
            raise errors.NoFormulaError("SymPy has no division element by element.")
        return self.sp.HadamardProduct(*[self(f) for f in x.top])

    def _power(self, x: Any) -> Any:
        p = self.sp.Rational(x.p.numerator, x.p.denominator)
        return self.sp.HadamardPower(self(x.x), p) if x.rank else self(x.x) ** p

    def _func(self, x: Any) -> Any:
        sp = self.sp
        if x.row == "expit" and not x.rank:
            return 1 / (1 + sp.exp(-self(x.args[0])))
        if x.row == "expit":
            z = sp.Dummy("z")
            return self(x.args[0]).applyfunc(sp.Lambda(z, 1 / (1 + sp.exp(-z))))
        name = _FUNCTIONS.get(x.row)
        if name is None or len(x.args) != 1:
            raise errors.NoFormulaError(f"SymPy's matrices have no {x.row}.")
        f = getattr(sp, name)
        return self(x.args[0]).applyfunc(f) if x.rank else f(self(x.args[0]))

    def _call(self, x: Any) -> Any:
        args = [self(a) for a in x.args]
        if x.prim == "inv":
            return args[0].inv()
        if x.prim == "det":
            return self.sp.Determinant(args[0])
        if x.prim == "slogdet":
            return self.sp.log(self.sp.Abs(self.sp.Determinant(args[0])))
        raise errors.NoFormulaError(f"SymPy's matrices have no {x.prim}.")

    def _trace(self, x: Any) -> Any:
        return self.sp.Trace(self(x.x))

    def _norm(self, x: Any) -> Any:
        y = self(x.x)
        return self.sp.Trace(y.T * y) ** self.sp.Rational(x.p, 2)

    def _ones(self, x: Any) -> Any:
        return self.sp.OneMatrix(self._number(x.sizes[0]), 1)

    def _eye(self, x: Any) -> Any:
        return self.sp.Identity(self._number(x.sizes[0]))

    def _diag(self, x: Any) -> Any:
        return self.sp.diagonalize_vector(self(x.x)) if hasattr(self.sp, "diagonalize_vector") else self.sp.DiagMatrix(self(x.x))
