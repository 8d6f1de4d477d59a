"""Formulas as text: Python's expressions over NumPy's functions, evaluated on arrays or on traced values.

``mean((sigmoid(W @ x + b) - y)**2)``; ``A'`` is the transpose, ``*`` is element by element, names of sizes stand for numbers.
Every error points at the characters it is about.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from chainrule import errors
from chainrule.build.value import FUNCTIONS, METHODS, UFUNCS, Value
from chainrule.special import logsumexp as _stable_logsumexp

linalg: Any = np.linalg


def _axis_sum(x: Any, axis: Any, keepdims: bool = False) -> Any:
    return np.sum(x, axis=axis, keepdims=keepdims)


def _softmax(x: Any, axis: Any = -1) -> Any:
    if not isinstance(x, Value):
        return special.softmax(x, axis=axis)
    e = np.exp(x)
    return e / _axis_sum(e, axis, True)


def _logsumexp(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    return np.log(_axis_sum(np.exp(x), axis, keepdims)) if isinstance(x, Value) else _stable_logsumexp(x, axis, keepdims=keepdims)


def _log_softmax(x: Any, axis: Any = -1) -> Any:
    return x - _logsumexp(x, axis, True)


def _norm(x: Any, ord: Any = 2, axis: Any = None) -> Any:
    if ord == 1:
        return np.sum(np.abs(x), axis=axis)
    if ord in (2, "fro"):
        return np.sqrt(np.sum(x**2, axis=axis))
    return linalg.norm(x, ord, axis)


def _diag(x: Any) -> Any:
    return np.diag(x)


def _logdet(x: Any) -> Any:
    return linalg.slogdet(x)[1]


NAMED: dict[str, Callable[..., Any]] = {
    "sigmoid": special.expit,
    "softmax": _softmax,
    "logsumexp": _logsumexp,
    "log_softmax": _log_softmax,
    "relu": lambda x: np.maximum(x, 0.0),
    "gelu": lambda x: 0.5 * x * (1 + special.erf(x / math.sqrt(2))),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "silu": lambda x: x * special.expit(x),
    "norm": _norm,
    "tr": np.trace,
    "trace": np.trace,
    "det": linalg.det,
    "logdet": _logdet,
    "inv": linalg.inv,
    "pinv": linalg.pinv,
    "solve": linalg.solve,
    "diag": _diag,
    "eye": np.eye,
    "dot": np.dot,
    "outer": np.outer,
    "erf": special.erf,
    "abs": np.abs,
    "ln": np.log,
    "max": np.max,
    "min": np.min,
    "pow": np.power,
    "ones": np.ones,
    "zeros": np.zeros,
    "cholesky": linalg.cholesky,
}
"""Functions of formulas that NumPy does not have, or has under another name."""

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}

_LARGEST_POWER = 64


def _pow(a: Any, b: Any) -> Any:
    """A power, of e the exponential; large ones of whole numbers in floating point, for their digits would have no end."""
    if isinstance(a, float) and a == math.e:
        return np.exp(b)
    return float(a) ** b if isinstance(a, int) and isinstance(b, int) and b > _LARGEST_POWER else a**b


_BINARY: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: _pow,
    ast.MatMult: operator.matmul, ast.Mod: operator.mod, ast.FloorDiv: operator.floordiv, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}  # fmt: skip
_UNARY: dict[type, Callable[..., Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert}
_COMPARE: dict[type, Callable[..., Any]] = {
    ast.Gt: operator.gt, ast.Lt: operator.lt, ast.GtE: operator.ge, ast.LtE: operator.le, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_METHODS = {
    "sum",
    "mean",
    "max",
    "min",
    "prod",
    "var",
    "std",
    "dot",
    "trace",
    "transpose",
    "reshape",
    "cumsum",
    "squeeze",
    "ravel",
    "flatten",
}


def function_names() -> list[str]:
    """Every function a formula may call."""
    known = {getattr(f, "__name__", "") for f in (*UFUNCS, *FUNCTIONS)}
    return sorted({*NAMED, *known} - {""})


def _function(name: str) -> Callable[..., Any] | None:
    if name in NAMED:
        return NAMED[name]
    for module in (np, linalg, special):
        f = getattr(module, name, None)
        if f is not None and (f in UFUNCS or f in FUNCTIONS):
            return f
    return None


class Formula:
    """A formula that has been read: what it needs (`names`), and a function of these."""

    def __init__(self, text: str, shown: str | None = None, places: list[int] | None = None) -> None:
        self.text = shown if shown is not None else text
        python, self._places = _transposes(text)
        if places is not None:
            self._places = [places[min(k, len(places) - 1)] for k in self._places]
        if not text.strip():
            raise errors.FormulaError.at(self.text or " ", 0, 1, "The formula is empty.")
        self.python = python
        self.tree = self._parsed(python)
        self._check(self.tree)

    # --- reading -----------------------------------------------------------------------------------------------------------

    def _parsed(self, python: str) -> ast.expr:
        unclosed = _brackets(python)
        if unclosed is not None:
            k, what = unclosed
            raise self.error(k, k + 1, what)
        try:
            return ast.parse(python.strip("\n"), mode="eval").body
        except (RecursionError, MemoryError):
            raise self.error(0, len(python), "This is nested too deeply to be read.") from None
        except SyntaxError as e:
            if "too many nested" in str(e):
                raise self.error(0, len(python), "This is nested too deeply to be read.") from None
            lines = python.split("\n")
            k = sum(len(x) + 1 for x in lines[: (e.lineno or 1) - 1]) + max((e.offset or 1) - 1, 0)
            end = len(python.rstrip())
            side = re.match(r"[\w.]+(\s+)[\w(]", python[k:])  # Python points at the first of two things side by side
            if side:
                k += side.start(1)
            if re.search(r"[-+*/@,<>=]$", python[:end]):
                raise self.error(end - 1, end, "Something is missing after this.") from None
            raise self.error(k, k + 1, *_explained(python, k)) from None

    def error(self, start: int, end: int, seen: str, needed: str = "", fix: str = "") -> errors.FormulaError:
        """An error at characters of the Python text."""
        return errors.FormulaError.at(self.text, self._place(start), self._place(end - 1) + 1, seen, needed, fix)

    def _place(self, k: int) -> int:
        if not self._places:
            return 0
        return self._places[k] if k < len(self._places) else self._places[-1] + 1

    def blame(self, n: ast.AST, seen: str, needed: str = "", fix: str = "") -> errors.FormulaError:
        """An error at a part of the formula."""
        start, end = self._span(n)
        return self.error(start, end, seen, needed, fix)

    def _span(self, n: Any) -> tuple[int, int]:
        lines = self.python.split("\n")

        def offset(line: int, column: int) -> int:
            before = sum(len(x) + 1 for x in lines[: line - 1])
            return before + len(lines[line - 1].encode()[:column].decode(errors="replace"))

        return offset(n.lineno, n.col_offset), offset(n.end_lineno, n.end_col_offset)

    def source(self, n: ast.AST) -> str:
        """A part of the formula as it was written."""
        start, end = self._span(n)
        return self.text[self._place(start) : self._place(end - 1) + 1]

    def _check(self, tree: ast.expr) -> None:
        """Only what a formula is made of, and only functions that are known."""
        for n in ast.walk(tree):
            if isinstance(n, ast.BinOp) and isinstance(n.op, ast.BitXor):
                raise self.blame(n, "^ is no power in Python's syntax.", "", self.text.replace("^", "**"))
            if isinstance(n, ast.Call):
                name = _dotted(n.func)
                if name is None or ("." not in name and _function(name) is None):
                    self._unknown(n, name)

    def _unknown(self, n: ast.Call, name: str | None) -> None:
        if name is None:
            if isinstance(n.func, ast.Attribute):
                return  # a method of an expression
            raise self.blame(n, "A number or an array is not called like a function.", "Write * for a product.")
        near = difflib.get_close_matches(name, function_names(), n=1)
        raise self.blame(n.func, f"{name} is not a function that formulas know.", "", near[0] if near else "")

    @property
    def names(self) -> list[str]:
        """Variables in the order in which they occur; known functions and modules are none."""
        called = {id(n.func) for n in ast.walk(self.tree) if isinstance(n, ast.Call)}
        modules = {"np", "numpy", "special", "linalg", "cr"}
        found = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name) and id(n) not in called and n.id not in modules]
        found.sort(key=lambda n: (n.lineno, n.col_offset))
        return list(dict.fromkeys(n.id for n in found))

    # --- evaluating -----------------------------------------------------------------------------------------------------------

    def __call__(self, env: Mapping[str, Any]) -> Any:
        """Its value where the names mean this."""
        return self._value(self.tree, env)

    def _value(self, n: ast.expr, env: Mapping[str, Any]) -> Any:
        inner = self._operands(n, env)
        try:
            return inner()
        except errors.FormulaError:
            raise
        except (errors.ChainruleError, ValueError, TypeError, AttributeError, IndexError, ArithmeticError) as e:
            seen = e.seen if isinstance(e, errors.ChainruleError) else f"{e}"
            seen = "This number is too large" if isinstance(e, OverflowError) else seen
            if isinstance(n, ast.BinOp) and not isinstance(e, ArithmeticError):
                seen = self._shapes_of(n, env) or seen
            raise self.blame(n, _sentence(seen), e.needed if isinstance(e, errors.ChainruleError) else "") from None

    def _shapes_of(self, n: ast.BinOp, env: Mapping[str, Any]) -> str:
        try:
            left, right = (
                np.shape(self._value(x, env)) if not isinstance(v := self._value(x, env), Value) else v.shape
                for x in (n.left, n.right)
            )
        except Exception:
            return ""
        labels: dict[int, str] = {v: k for k, v in env.items() if isinstance(v, int)}
        a, b = (_shape_text(s, labels) for s in (left, right))
        word = "@" if isinstance(n.op, ast.MatMult) else "these"
        sides = f"{self.source(n.left)} is {a}, {self.source(n.right)} is {b}"
        return f"Sizes do not fit for {word}: {sides}." if word == "@" else f"Sizes do not fit: {sides}."

    def _operands(self, n: ast.expr, env: Mapping[str, Any]) -> Callable[[], Any]:
        """The operation of a node, its operands evaluated."""
        go = lambda x: self._value(x, env)
        if isinstance(n, ast.Constant):
            if not isinstance(n.value, int | float) or isinstance(n.value, bool):
                raise self.blame(n, f"{n.value!r} is not a number.")
            number = n.value
            return lambda: number
        if isinstance(n, ast.Name):
            return lambda: self._named(n, env)
        if isinstance(n, ast.BinOp) and type(n.op) in _BINARY:
            a, b = go(n.left), go(n.right)
            return lambda: _BINARY[type(n.op)](a, b)
        if isinstance(n, ast.UnaryOp) and type(n.op) in _UNARY:
            x = go(n.operand)
            return lambda: _UNARY[type(n.op)](x)
        if isinstance(n, ast.Compare) and len(n.ops) == 1 and type(n.ops[0]) in _COMPARE:
            a, b = go(n.left), go(n.comparators[0])
            return lambda: _COMPARE[type(n.ops[0])](a, b)
        if isinstance(n, ast.Attribute):
            return self._attribute(n, env)
        if isinstance(n, ast.Subscript):
            x, key = go(n.value), self._key(n.slice, env)
            return lambda: x[key]
        if isinstance(n, ast.Tuple | ast.List):
            xs = [go(x) for x in n.elts]
            return lambda: xs if isinstance(n, ast.List) else tuple(xs)
        if isinstance(n, ast.Call):
            return self._call(n, env)
        raise self.blame(
            n, "This has no meaning in a formula.", "A formula is made of +, -, *, /, **, @, functions and indexing."
        )

    def _named(self, n: ast.Name, env: Mapping[str, Any]) -> Any:
        if n.id in env:
            return env[n.id]
        if n.id in CONSTANTS:
            return CONSTANTS[n.id]
        raise self.blame(n, f"The shape of {n.id} is not known.", f'Give it: shapes={{"{n.id}": "n"}}.')

    def _attribute(self, n: ast.Attribute, env: Mapping[str, Any]) -> Callable[[], Any]:
        if isinstance(n.value, ast.Name) and n.value.id in ("np", "numpy", "math") and n.attr in CONSTANTS:
            return lambda: CONSTANTS[n.attr]
        x = self._value(n.value, env)
        if n.attr not in ("T", "mT", "shape", "ndim", "size"):
            raise self.blame(n, f".{n.attr} has no meaning in a formula.")
        return lambda: getattr(x, n.attr)

    def _key(self, k: ast.expr, env: Mapping[str, Any]) -> Any:
        if isinstance(k, ast.Slice):
            return slice(*[None if x is None else self._value(x, env) for x in (k.lower, k.upper, k.step)])
        if isinstance(k, ast.Tuple):
            return tuple([self._key(x, env) for x in k.elts])
        if isinstance(k, ast.Constant) and k.value in (None, ...):
            return k.value
        return self._value(k, env)

    def _call(self, n: ast.Call, env: Mapping[str, Any]) -> Callable[[], Any]:
        name = _dotted(n.func)
        last = name.rsplit(".", 1)[-1] if name else ""
        root = name.split(".")[0] if name else ""
        words = {k.arg: self._keyword(k, env) for k in n.keywords if k.arg}
        args = [self._value(x, env) for x in n.args]
        if name is not None and (
            "." not in name or (root in ("np", "numpy", "special", "scipy", "linalg", "cr") and root not in env)
        ):
            f = _function(last)
            if f is None:
                raise self.blame(n.func, f"{name} is not a function that formulas know.")
            return lambda: f(*args, **words)
        assert isinstance(n.func, ast.Attribute)
        x, method = self._value(n.func.value, env), n.func.attr
        if method not in _METHODS and method not in METHODS:
            raise self.blame(n.func, f".{method}() has no meaning in a formula.")
        return lambda: getattr(x, method)(*args, **words)

    def _keyword(self, k: ast.keyword, env: Mapping[str, Any]) -> Any:
        if isinstance(k.value, ast.Constant) and (k.value.value is None or isinstance(k.value.value, bool | str)):
            return k.value.value
        return self._value(k.value, env)


def _shape_text(shape: tuple[int, ...], labels: Mapping[int, str]) -> str:
    names = [labels.get(n, str(n)) for n in shape]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})" if names else "a number"


def _sentence(text: str) -> str:
    text = text.strip() or "This cannot be computed."
    first = text if re.match(r"\w+\(", text) else f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "?")) else f"{first}."


def _dotted(n: ast.expr) -> str | None:
    if isinstance(n, ast.Name):
        return n.id
    if isinstance(n, ast.Attribute):
        inner = _dotted(n.value)
        return f"{inner}.{n.attr}" if inner else None
    return None


def _transposes(text: str) -> tuple[str, list[int]]:
    """``A'`` as ``A.T``, and for each character of the result where it came from."""
    out, places = "", list[int]()
    for k, c in enumerate(text):
        if c in "'’" and re.search(r"[\w)\]'’]\s*$", text[:k]):
            out += ".T"
            places += [k, k]
        else:
            c = {"·": "*", "×": "*", "−": "-", "⊙": "*"}.get(c, c)
            out += c
            places.append(k)
    return out, places


_PAIRS = {")": "(", "]": "["}


def _brackets(text: str) -> tuple[int, str] | None:
    open_: list[tuple[str, int]] = []
    for k, c in enumerate(text):
        if c in "([":
            open_.append((c, k))
        elif c in ")]":
            if not open_:
                return k, "This bracket was never opened."
            if open_[-1][0] != _PAIRS[c]:
                return k, f"This closes a bracket that was opened with {open_[-1][0]}."
            open_.pop()
    return (open_[-1][1], "This bracket is never closed.") if open_ else None


def _explained(text: str, k: int) -> tuple[str, str]:
    """What a syntax error at this character means."""
    before, after = text[:k].rstrip(), text[k:].lstrip()
    if re.search(r"[\w)\]]$", before) and re.match(r"[\w(]", after):
        return "An operator is missing here.", "Write * for a product of numbers, @ for one of matrices."
    if re.search(r"[-+*/@,(]$", before) or not after:
        return "Something is missing here.", ""
    word = re.search(r"([A-Za-z_]\w*|\d+)\s+[A-Za-z_]\w*\s*$", text[: k + 1])
    if word:
        return "An operator is missing here.", "Write * for a product of numbers, @ for one of matrices."
    return "This cannot be read here.", ""
