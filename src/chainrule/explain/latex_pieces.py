"""Words of LaTeX, and pieces of the Python text that they become; every character knows where it came from."""

from __future__ import annotations

import re
from typing import NamedTuple

from chainrule.errors import FormulaError

GREEK = set(
    re.findall(
        r"\w+",
        "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi varphi chi "
        "psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell",
    )
)
ALIASES = {
    "lambda": ("lam", "lambda_", "lmbda"),
    "varepsilon": ("eps", "epsilon"),
    "epsilon": ("eps", "epsilon"),
    "varphi": ("phi",),
}
FUNCTIONS = {
    "log": "log", "ln": "log", "exp": "exp", "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan", "det": "det", "max": "max", "min": "min",
}  # fmt: skip
SPACE = {
    ",",
    ";",
    "!",
    ":",
    " ",
    "quad",
    "qquad",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "left",
    "right",
    "displaystyle",
    "limits",
}
FONTS = {"mathbf", "boldsymbol", "mathrm", "mathit", "mathsf", "bm", "text", "operatorname"}
ACCENTS = {"hat": "hat", "bar": "bar", "tilde": "tilde", "widehat": "hat", "dot": "dot"}
CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lVert": r"\rVert", r"\lvert": r"\rvert", r"\|": r"\|", "|": "|"}
ENDS = frozenset(("+", "-", ")", "]", "}", "=", ",", r"\}", r"\rVert", r"\rvert", r"\pm", r"\right", "<", ">", r"\le", r"\ge"))
"""What ends a product."""
TOKEN = re.compile(r"\\([a-zA-Z]+|.)|\d+(?:\.\d+)?|[a-zA-Z]|\s+|.", re.DOTALL)


class Token(NamedTuple):
    """A piece of LaTeX and where it stands."""

    text: str
    start: int
    end: int


class Piece:
    """Python text of a value, where each character came from, and what the value is."""

    def __init__(self, text: str, places: list[int], rank: int, row: bool = False, lead: bool = False, atom: bool = True) -> None:
        self.text, self.places, self.rank, self.row, self.lead, self.atom = text, places, rank, row, lead, atom

    def like(self, rank: int, row: bool = False, lead: bool | None = None, atom: bool = True) -> Piece:
        """The same text, said to be something else."""
        return Piece(self.text, self.places, rank, row, self.lead if lead is None else lead, atom)

    @property
    def grouped(self) -> Piece:
        """In brackets, if it is more than one thing."""
        return self if self.atom else cat(self.places[0], "(", self, ")").like(self.rank, self.row, self.lead)


class Tokens:
    """LaTeX text taken token by token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        for m in TOKEN.finditer(text):
            if not m[0].isspace() and not (m[0].startswith("\\") and m[0][1:] in SPACE) and m[0] not in ("$", "&", "~"):
                self.tokens.append(Token(m[0], m.start(), m.end()))
        self.k = 0

    @property
    def now(self) -> str:
        """The token at hand, empty at the end."""
        return self.tokens[self.k].text if self.k < len(self.tokens) else ""

    @property
    def place(self) -> int:
        """Where it stands."""
        return self.tokens[self.k].start if self.k < len(self.tokens) else max(len(self.text) - 1, 0)

    def take(self) -> str:
        """The token at hand; on to the next."""
        t = self.now
        self.k += 1
        return t

    def error(self, seen: str, needed: str = "", fix: str = "", start: int | None = None) -> FormulaError:
        """An error at the token at hand, or from `start` on."""
        a = self.place if start is None else start
        end = self.tokens[min(self.k, len(self.tokens) - 1)].end if self.tokens else 1
        return FormulaError.at(self.text, a, max(end, a + 1), seen, needed, fix)

    def need(self, token: str, opened: int) -> None:
        """The token that must come now."""
        if self.now != token:
            if not self.now:
                what = next(t.text for t in self.tokens if t.start == opened)
                raise self.error(f"The {what} that is opened here is never closed.", start=opened)
            raise self.error(f"{token} is missing before this.")
        self.take()


def cat(at: int, *parts: str | Piece) -> Piece:
    """Texts one after the other; plain ones belong to the character `at`."""
    text, places = "", list[int]()
    for p in parts:
        text += p if isinstance(p, str) else p.text
        places += [at] * len(p) if isinstance(p, str) else p.places
    lead = any(not isinstance(p, str) and p.lead for p in parts)
    return Piece(text, places, 0, lead=lead)


def raised(x: Piece, rank: int) -> Piece:
    """A number for each index in scope, made to stand for an array of this rank for each."""
    if x.rank == 0 and x.lead and rank:
        return cat(x.places[0], x.grouped, f"[..., {', '.join(['None'] * rank)}]").like(rank, lead=True)
    return x


def plus(at: int, a: Piece, op: str, b: Piece) -> Piece:
    """Both sides made to broadcast."""
    rank = max(a.rank, b.rank)
    a, b = raised(a, rank), raised(b, rank)
    right = b.grouped if not b.atom and op == "-" else b
    return cat(at, a, f" {op} ", right).like(rank, a.row or b.row, a.lead or b.lead, atom=False)


def times(at: int, a: Piece, op: str, b: Piece) -> Piece:
    """Element by element."""
    rank = max(a.rank, b.rank)
    a, b = raised(a, rank), raised(b, rank)
    left = a.grouped if " + " in a.text or " - " in a.text or a.text.startswith("-") else a
    return cat(at, left.grouped, f" {op} ", b.grouped).like(rank, a.row and b.row, a.lead or b.lead, atom=False)


def turned(at: int, y: Piece) -> Piece:
    """Transpose: of a column, the row."""
    if y.rank == 2:
        return cat(at, y.grouped, ".T").like(2)
    return y.like(y.rank, not y.row if y.rank == 1 else False, y.lead, y.atom)
