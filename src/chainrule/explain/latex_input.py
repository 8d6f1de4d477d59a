r"""Formulas in LaTeX, turned into formulas in Python's syntax: ``\frac{1}{n} \|X w - y\|_2^2 + \lambda \|w\|_2^2``.

What a letter is (a number, a column, a matrix) is known from its shape, so that ``A x`` is a product of matrices, ``\lambda x`` a
multiple and ``x^\top y`` a number.  Sums with indices, ``\sum_{i=1}^n (y_i - w^\top x_i)^2``, run over the axes of what carries
the index: ``x_i`` is the i-th row of x.  Every character of the result remembers where it came from, for the errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.errors import FormulaError
from chainrule.explain.formula import Formula, function_names
from chainrule.explain.latex_pieces import (
    ACCENTS,
    ALIASES,
    CLOSING,
    ENDS,
    FONTS,
    FUNCTIONS,
    GREEK,
    Piece,
    Token,
    Tokens,
    cat,
    plus,
    raised,
    times,
    turned,
)


def from_latex(text: str, shapes: Mapping[str, Any]) -> Formula:
    """The formula that LaTeX text means.

    Raises:
        FormulaError: something in it is not understood; the error points at it.
    """
    from chainrule.explain.problem import parsed_shape

    ranks = {name: parsed_shape(name, shape) for name, shape in shapes.items()}
    reader = _Reader(text, ranks)
    piece = reader.whole()
    return Formula(piece.text, text, piece.places)


class _Reader(Tokens):
    def __init__(self, text: str, shapes: Mapping[str, tuple[str | int, ...]]) -> None:
        super().__init__(text)
        self.shapes = shapes
        self.scope: list[str] = []
        self.closing: list[str] = []

    def whole(self) -> Piece:
        """All of it; ``f =`` in front is left out."""
        if not self.tokens:
            raise FormulaError.at(self.text or " ", 0, 1, "The formula is empty.")
        depth = 0
        for k, t in enumerate(self.tokens[:8]):
            depth += (t.text == "{") - (t.text == "}")
            if t.text == "=" and not depth:
                self.k = k + 1
        y = self.sum()
        if self.now:
            raise self.error("This bracket was never opened." if self.now in (")", "]", "}") else "This cannot be read here.")
        return y

    def sum(self) -> Piece:
        """a + b - c"""
        at = self.place
        sign = self.take() if self.now in ("+", "-") else ""
        y = self.product()
        if sign == "-":
            y = cat(at, "-", y.grouped).like(y.rank, y.row, y.lead, atom=False)
        while self.now in ("+", "-", r"\pm"):
            at, op = self.place, self.take()
            if op == r"\pm":
                raise self.error("± is two formulas.", start=at)
            y = plus(at, y, op, self.product())
        return y

    def product(self) -> Piece:
        """Factors side by side, or with a sign between them."""
        y = self.power()
        while self.now and self.now not in ENDS:
            if self.now in (r"\|", "|") and self.closing and self.closing[-1] == self.now:
                break
            at = self.place
            if self.now in (r"\odot", r"\circ", r"\times", "*"):
                self.take()
                y = times(at, y, "*", self.power())
            elif self.now in (r"\oslash", "/", r"\div"):
                self.take()
                y = times(at, y, "/", self.power())
            else:
                if self.now in (r"\cdot", "@"):
                    self.take()
                y = self.matrix(at, y, self.power())
        return y

    def matrix(self, at: int, a: Piece, b: Piece) -> Piece:
        """What two things side by side mean."""
        if not a.rank or not b.rank:
            y = times(at, a, "*", b)
            return y.like(y.rank, a.row or b.row, y.lead, atom=False)
        lead = a.lead or b.lead
        if a.rank == 1 and b.rank == 1:
            if a.row and not b.row:
                if not lead:
                    return cat(at, a.grouped, " @ ", b.grouped).like(0, lead=False, atom=False)
                return cat(at, "sum(", a.grouped, " * ", b.grouped, ", axis=-1)").like(0, lead=True)
            if b.row and not a.row and not lead:
                return cat(at, "outer(", a, ", ", b, ")").like(2)
            raise self.error(
                "Two columns have no product.",
                "Write x^\\top y for the number, x y^\\top for the matrix, x \\odot y for element by element.",
                start=at,
            )
        if lead:
            if a.rank == 2 and not a.lead and b.rank == 1:
                return cat(at, b.grouped, " @ ", a.grouped, ".T").like(1, lead=True, atom=False)
            if a.rank == 1 and b.rank == 2 and not b.lead:
                return cat(at, a.grouped, " @ ", b.grouped).like(1, row=True, lead=True, atom=False)
            raise self.error("Matrices with an index cannot be multiplied here.", start=at)
        if a.rank == 1 and not a.row:
            raise self.error("A column times a matrix has no meaning.", "Is a transpose missing?", start=at)
        if (a.rank, b.rank) not in ((2, 2), (2, 1), (1, 2)) or b.row:
            raise self.error("A matrix times a row has no meaning." if b.row else "These have no product.", start=at)
        rank = {(2, 2): 2, (2, 1): 1, (1, 2): 1}[(a.rank, b.rank)]
        return cat(at, a.grouped if " @ " not in a.text or not a.atom else a, " @ ", b.grouped).like(
            rank, row=a.rank == 1, atom=False
        )

    def power(self) -> Piece:
        """A factor with its superscripts."""
        start = self.place
        y = self.factor()
        while self.now in ("^", "'"):
            if self.take() == "'":
                y = turned(start, y)
                continue
            y = self.superscript(start, y)
        return y

    def superscript(self, start: int, y: Piece) -> Piece:
        """Transposes, inverses, powers."""
        at = self.place
        words = self.script()
        text = "".join(t.text for t in words)
        if text in (r"\top", "T", r"\intercal", r"\mathsfT", r"{\top}", r"\mathrm{T}", "'", r"\prime") and not (
            text == "T" and "T" in self.shapes
        ):
            return turned(at, y)
        if text == "-1" and y.rank == 2:
            return cat(start, "inv(", y, ")").like(2)
        if text in (r"-\top", "-T") and y.rank == 2:
            return cat(start, "inv(", y, ").T").like(2)
        inner = self.inside(words)
        if y.text == "e" and "e" not in self.shapes:
            return cat(start, "exp(", inner, ")").like(inner.rank, lead=inner.lead)
        if text == "2" and y.rank == 2 and not y.text.startswith("norm"):
            return cat(start, y.grouped, " @ ", y.grouped).like(2, atom=False)
        return cat(at, y.grouped, "**", inner.grouped).like(y.rank, y.row, y.lead or inner.lead, atom=False)

    def script(self) -> list[Token]:
        """The tokens of a subscript or superscript."""
        if self.now != "{":
            if not self.now:
                raise self.error("Something is missing after this sign.", start=max(self.place - 1, 0))
            self.take()
            return [self.tokens[self.k - 1]]
        opened, depth, first = self.place, 0, self.k + 1
        while self.now:
            t = self.take()
            depth += (t == "{") - (t == "}")
            if not depth:
                return self.tokens[first : self.k - 1]
        raise self.error("The { that is opened here is never closed.", start=opened)

    def inside(self, words: Sequence[Token]) -> Piece:
        """A group of tokens as an expression."""
        saved, self.tokens = (self.tokens, self.k, self.closing), list(words)
        self.k, self.closing = 0, []
        if not words:
            self.tokens, self.k, self.closing = saved
            raise self.error("The braces are empty.")
        y = self.sum()
        if self.now:
            raise self.error("This cannot be read here.")
        self.tokens, self.k, self.closing = saved
        return y

    # --- factors --------------------------------------------------------------------------------------------------------------

    def factor(self) -> Piece:
        """A number, a letter, brackets, a function, a sum."""
        at, t = self.place, self.now
        if not t:
            raise self.error("The formula ends where something is missing.", start=max(len(self.text) - 1, 0))
        if t[0].isdigit():
            self.take()
            return Piece(t, list(range(at, at + len(t))), 0)
        if t in (r"\|", r"\lVert", r"\Vert"):
            return self.norm(at)
        if t in CLOSING:
            return self.bracket(at, t)
        if t in (r"\frac", r"\tfrac", r"\dfrac"):
            return self.fraction(at)
        if t == r"\sqrt":
            return self.root(at)
        if t in (r"\sum", r"\prod"):
            return self.summed(at)
        if t in (r"\int", r"\partial", r"\nabla"):
            raise self.error(f"{t} is not understood in formulas.")
        if t.startswith("\\") or t.isalpha():
            return self.word(at)
        raise self.error("This cannot be read here.")

    def bracket(self, at: int, t: str) -> Piece:
        """( ), [ ], { }, | |"""
        self.take()
        self.closing = [*self.closing, CLOSING[t]]
        y = self.sum()
        compared = self.now in ("<", ">", r"\le", r"\ge")
        if compared:
            op = {r"\le": "<=", r"\ge": ">="}.get(self.now, self.now)
            self.take()
            z = self.sum()
            y = cat(at, y, f" {op} ", z).like(max(y.rank, z.rank), lead=y.lead or z.lead, atom=False)
        self.closing = self.closing[:-1]
        self.need(CLOSING[t], at)
        if t in ("|", r"\lvert"):
            if y.rank == 2:
                return cat(at, "det(", y, ")").like(0)
            return cat(at, "abs(", y, ")").like(y.rank, lead=y.lead)
        if t == "{":
            return y.grouped
        return cat(at, "(", y, ")").like(y.rank, y.row, y.lead)

    def group(self) -> Piece:
        """``{...}``, or one factor."""
        if self.now == "{":
            opened = self.place
            self.take()
            saved, self.closing = self.closing, []
            y = self.sum()
            self.closing = saved
            self.need("}", opened)
            return y
        return self.factor()

    def argument(self) -> Piece:
        """An argument of a command: braces, or one digit or letter."""
        t = self.tokens[self.k] if self.k < len(self.tokens) else None
        if t is not None and t.text.isdigit() and len(t.text) > 1:  # \\frac12
            self.tokens[self.k : self.k + 1] = [Token(t.text[0], t.start, t.start + 1), Token(t.text[1:], t.start + 1, t.end)]
        return self.group()

    def fraction(self, at: int) -> Piece:
        r"""\frac{a}{b}"""
        self.take()
        a, b = self.argument(), self.argument()
        rank = max(a.rank, b.rank)
        a, b = raised(a, rank), raised(b, rank)
        return cat(at, "(", a.grouped, " / ", b.grouped, ")").like(rank, a.row, a.lead or b.lead)

    def root(self, at: int) -> Piece:
        r"""\sqrt{x}, \sqrt[3]{x}"""
        self.take()
        degree = None
        if self.now == "[":
            self.take()
            degree = self.sum()
            self.need("]", at)
        x = self.group()
        if degree is None:
            return cat(at, "sqrt(", x, ")").like(x.rank, lead=x.lead)
        return cat(at, x.grouped, "**(1 / ", degree.grouped, ")").like(x.rank, lead=x.lead, atom=False)

    def norm(self, at: int) -> Piece:
        r"""\|x\|_2^2"""
        t = self.take()
        end = {r"\lVert": r"\rVert", r"\Vert": r"\Vert"}.get(t, r"\|")
        self.closing = [*self.closing, end]
        x = self.sum()
        self.closing = self.closing[:-1]
        self.need(end, at)
        kind = "".join(w.text for w in self.subscript()) if self.now == "_" else "2"
        if kind not in ("1", "2", "F", r"\mathrm{F}", r"\text{F}"):
            raise self.error(f"The norm with subscript {kind} is not understood.", "Known are 1, 2 and F.", start=at)
        square = self.now == "^" and self.k + 1 < len(self.tokens) and self.tokens[self.k + 1].text in ("2", "{")
        axis = f", axis={tuple(range(-x.rank, 0))}" if x.lead and x.rank else ""
        if kind == "1":
            return cat(at, "sum(abs(", x, f"){axis})").like(0, lead=x.lead)
        if square and "".join(w.text for w in self._peeked()) == "2":
            self.take()
            self.script()
            return cat(at, "sum((", x, f")**2{axis})").like(0, lead=x.lead)
        return cat(at, "sqrt(sum((", x, f")**2{axis}))").like(0, lead=x.lead)

    def _peeked(self) -> list[Token]:
        saved = self.k
        self.take()
        words = self.script()
        self.k = saved
        return words

    def subscript(self) -> list[Token]:
        """The tokens after an underscore or a circumflex."""
        self.take()
        return self.script()

    def raised_to(self) -> str:
        """What stands after a circumflex, if one is there."""
        return "".join(w.text for w in self.subscript()) if self.now == "^" else ""

    def summed(self, at: int) -> Piece:
        r"""\sum_{i=1}^{n} body: an axis in front of everything that carries the index, summed (or multiplied) away."""
        word = self.take().lstrip("\\")
        if self.now != "_":
            raise self.error(f"\\{word} needs its index.", f"Write \\{word}_{{i=1}}^n.", start=at)
        words = self.subscript()
        names = [w.text for w in words if w.text.isalpha()]
        below = "".join(w.text for w in words)
        upper = self.raised_to()
        indices = names[:1] if "=" in below or r"\in" in below else names
        if not indices or any(i in self.scope for i in indices):
            raise self.error("This sum has no index of its own.", start=at)
        if "=" in below and not below.endswith("=1"):
            raise self.error("Sums over part of an axis are not understood.", "Sums run from 1 to the size.", start=at)
        self.scope = [*self.scope, *indices]
        body = self.product()
        inner = len(indices)
        self.scope = self.scope[: len(self.scope) - inner]
        if not body.lead:
            if not upper:
                raise self.error(f"Nothing here carries the index {indices[0]}.", start=at)
            parts = (upper, " * ", body.grouped) if word == "sum" else (body.grouped, f"**{upper}")
            return cat(at, *parts).like(body.rank, lead=False, atom=False)
        left = len(self.scope)
        axes = tuple(range(left, left + inner))
        axis = str(axes[0]) if inner == 1 else str(axes)
        return cat(at, f"{word}(", body, f", axis={axis})").like(body.rank, body.row, bool(left))

    # --- words ----------------------------------------------------------------------------------------------------------------

    def word(self, at: int) -> Piece:
        """A letter, a Greek letter, a function, a word in \\mathrm."""
        raw = self.take()
        name = raw.lstrip("\\")
        if name in ACCENTS:
            name = self._accented(name)
        elif name in FONTS:
            name = "".join(w.text for w in self.script())
            if name == "1":
                return self._ones(at)
        elif raw.startswith("\\") and name not in GREEK and name not in FUNCTIONS:
            raise self.error(f"{raw} is not understood.", start=at)
        known = function_names()
        name = self._known(name)
        name = self._scripted(name)
        if name in self.shapes:
            return self.variable(at, name)
        letter = raw.startswith("\\") and raw[1:] in GREEK  # \gamma is a letter, not the gamma function
        if (name == "sigma" and self.now in ("(", "{")) or name in FUNCTIONS or (len(name) > 1 and not letter and name in known):
            return self.function(at, name)
        if name == "I" and "I" not in self.shapes:
            raise self.error("The size of I is not known.", 'Write eye(n), or give shapes={"I": "n,n"}.', start=at)
        return self._indexed(at, name, 0)

    def _ones(self, at: int) -> Piece:
        if self.now == "^":
            self.take()
            self.script()
            x = self.power()
            if x.rank == 1:
                return cat(at, "sum(", x, ")").like(0)
            if x.rank == 2:
                return cat(at, "sum(", x, ", axis=0)").like(1, row=True)
        raise self.error("A vector of ones is understood as \\mathbf{1}^\\top x only.", start=at)

    def _accented(self, accent: str) -> str:
        words = "".join(w.text for w in self.script()).lstrip("\\")
        options = [f"{words}{ACCENTS[accent]}", f"{words}_{ACCENTS[accent]}"]
        return next((o for o in options if o in self.shapes), options[1])

    def _known(self, name: str) -> str:
        """The variable a Greek letter stands for."""
        options = [name, *ALIASES.get(name, ())]
        found = next((o for o in options if o in self.shapes), None)
        return found or (ALIASES[name][0] if name == "lambda" else name)

    def _scripted(self, name: str) -> str:
        """``W_1``, ``W^{(1)}`` as W1, where there is such a variable."""
        if self.now in ("_", "^"):
            saved = self.k
            self.take()
            raw = "".join(w.text for w in self.script()).strip("()")
            for option in (f"{name}{raw}", f"{name}_{raw}"):
                if option in self.shapes:
                    return option
            self.k = saved
        return name

    def variable(self, at: int, name: str) -> Piece:
        """An argument, at its indices."""
        return self._indexed(at, name, len(self.shapes[name]))

    def _indexed(self, at: int, name: str, rank: int) -> Piece:
        y = Piece(name, [at] * len(name), rank)
        if self.now != "_":
            return y
        start = self.place
        words = self.subscript()
        letters = [w.text for w in words if w.text != ","]
        unknown = [s for s in letters if s not in self.scope and not s.isdigit()]
        if unknown:
            raise self.error(
                f"The index {unknown[0]} is not summed over.", f"No sum around this runs over {unknown[0]}.", start=start
            )
        if len(letters) > rank:
            raise self.error(
                f"{name} has {rank} axes and gets {len(letters)} indices.", 'Its shape says so: shapes={"x": "n,d"}.', start=start
            )
        return self._at(at, y, letters)

    def _at(self, at: int, y: Piece, letters: list[str]) -> Piece:
        """An array with an axis in front for each index in scope."""
        numbers = [s for s in letters if s.isdigit()]
        if numbers:
            keys = [str(int(s) - 1) if s.isdigit() else ":" for s in letters]
            y = cat(at, y, f"[{', '.join(keys)}]").like(y.rank - len(numbers))
            letters = [s for s in letters if not s.isdigit()]
        if len(set(letters)) != len(letters):
            y = cat(at, "diag(", y, ")").like(1)
            letters = letters[:1]
        if not letters:
            return y
        order = sorted(range(len(letters)), key=lambda k: self.scope.index(letters[k]))
        if order != list(range(len(letters))):
            y = cat(at, y, ".T").like(y.rank)
        rest = y.rank - len(letters)
        keys = [":" if s in letters else "None" for s in self.scope] + [":"] * rest
        text = f"[{', '.join(keys)}]" if "None" in keys else ""
        return cat(at, y, text).like(rest, lead=True)

    def function(self, at: int, name: str) -> Piece:
        """A function of what follows."""
        called = {"sigma": "sigmoid", **FUNCTIONS}.get(name, name)
        reduces = called in ("tr", "trace", "det", "logdet", "logsumexp", "norm", "sum", "mean")
        exponent = None
        if self.now == "^":  # \log^2 x
            self.take()
            exponent = self.inside(self.script())
        args = self.arguments() if self.now in ("(", "{", "[") else [self.power()]
        if called in ("max", "min") and len(args) == 2:
            called = {"max": "maximum", "min": "minimum"}[called]
        rank = max(x.rank for x in args)
        args = [raised(x, rank) for x in args]
        lead = any(x.lead for x in args)
        if called == "det" or reduces or (called in ("max", "min")):
            rank = 0
        if called in ("inv",):
            rank = 2
        if called == "diag":
            rank = 2 if rank == 1 else 1
        parts: list[str | Piece] = [f"{called}("]
        for k, x in enumerate(args):
            parts += [", "] * bool(k) + [x]
        if lead and called == "logsumexp":
            parts.append(", axis=-1")
        y = cat(at, *parts, ")").like(rank, lead=lead)
        return y if exponent is None else cat(at, y, "**", exponent.grouped).like(rank, lead=lead, atom=False)

    def arguments(self) -> list[Piece]:
        """``(a, b)``"""
        at, opened = self.place, self.take()
        saved, self.closing = self.closing, []
        args = [self.sum()]
        while self.now == ",":
            self.take()
            args.append(self.sum())
        self.closing = saved
        self.need(CLOSING[opened], at)
        return args
