"""What a study is made of: chapters of experiments, which hand back numbers, pictures and words as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from chainrule.study.data import Dataset

Verdict = Literal["true", "conditional", "imprecise", "false", "not_checkable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Number:
    """A measured number, what it should be, and whether it is."""

    label: str
    value: float
    expected: str
    passed: bool
    digits: int = 4

    @property
    def shown(self) -> str:
        """The value, with as many digits as its tolerance asks for."""
        return text(self.value, self.digits)


def equals(label: str, value: float, target: float, within: float) -> Number:
    """A number that should be `target`, up to `within` (absolute)."""
    digits = min(12, max(4, math.ceil(math.log10(max(abs(target), within) / within)) + 1))
    return Number(label, float(value), f"{text(target, digits)} ± {text(within)}", bool(abs(value - target) <= within), digits)


def at_most(label: str, value: float, bound: float) -> Number:
    """A number that should not be above `bound`; NaN fails."""
    return Number(label, float(value), f"≤ {text(bound)}", bool(value <= bound))


def at_least(label: str, value: float, bound: float) -> Number:
    """A number that should not be below `bound`; NaN fails."""
    return Number(label, float(value), f"≥ {text(bound)}", bool(value >= bound))


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """10⁻³, in characters that every font has."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def text(x: float, digits: int = 4) -> str:
    """A number for people: 0.9653, 1,797, 3.2 × 10⁻⁹."""
    if x != x or x in (float("inf"), float("-inf")):
        return {"nan": "not a number", "inf": "∞", "-inf": "−∞"}[str(float(x))]
    if x == int(x) and abs(x) < 1e6:
        return f"{int(x):,}".replace("-", "−")
    if 1e-3 <= abs(x) < 1e6:
        return f"{x:.{digits}g}".replace("-", "−") if abs(x) < 10**digits else f"{x:,.0f}".replace("-", "−")
    mantissa, exponent = f"{x:.{min(digits, 3) - 1}e}".split("e")
    head = "" if mantissa.rstrip("0").rstrip(".") == "1" else f"{mantissa.rstrip('0').rstrip('.')} × ".replace("-", "−")
    return head + power_of_ten(int(exponent))


@dataclass(frozen=True)
class Figure:
    """A vector picture, what it shows, and the same in words for those who cannot see it."""

    svg: str
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Formula:
    """A formula in LaTeX; `printed` says that it was printed from the program that ran."""

    latex: str
    note: str = ""
    printed: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings; numbers in cells are written for people, and so are the flags."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Claim:
    """A statement, the verdict on it, and the condition or correction that the verdict rests on."""

    statement: str
    verdict: Verdict
    because: str


@dataclass(frozen=True)
class Statement:
    """An entry of the register of claims, and what was heard of its witness for this page."""

    id: str
    statement: str
    latex: str
    verdict: Verdict
    note: str
    note_latex: str
    source: str
    witness: Literal["borne out", "not borne out", "not run here"]


@dataclass(frozen=True)
class Experiment:
    """What one experiment found.  The first number is the one the summary shows."""

    title: str
    text: str
    numbers: Sequence[Number]
    formulas: Sequence[Formula] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    claims: Sequence[Claim] = ()
    statements: Sequence[Statement] = ()

    @property
    def passed(self) -> bool:
        """Are all numbers what they should be?"""
        return all(n.passed for n in self.numbers)


@dataclass(frozen=True)
class Context:
    """How an experiment is to run: whether in a hurry, whom to tell how far it is, and data of the reader's own, if any."""

    quick: bool = False
    tell: Callable[[float], None] = field(default=lambda fraction: None)
    data: Dataset | None = None

    def pick(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full

    def part(self, number: int, of: int) -> Context:
        """For one of several parts that take equally long."""
        return replace(self, tell=lambda fraction: self.tell((number + fraction) / of))

    def steps(self, count: int) -> Iterable[int]:
        """0, 1, ..., count - 1, telling now and then how far we are."""
        every = max(1, count // 50)
        for k in range(count):
            if k % every == 0:
                self.tell(k / count)
            yield k


Run = Callable[[Context], Experiment]


@dataclass(frozen=True)
class Chapter:
    """A section of the subject: its idea in a few paragraphs, and experiments that show it.

    The first picture of the experiment that `cover` names stands for the chapter in the index.
    """

    id: str
    title: str
    text: str
    experiments: Sequence[Run]
    cover: str = ""


@dataclass(frozen=True)
class Result:
    """One experiment of a chapter after it ran, or after it failed."""

    chapter: str
    name: str
    seconds: float
    experiment: Experiment | None = None
    error: str = ""

    @property
    def id(self) -> str:
        """Chapter and name: unique, and fit for a link."""
        return f"{self.chapter}-{self.name.replace(' ', '-')}"

    @property
    def title(self) -> str:
        """A heading."""
        return self.experiment.title if self.experiment else self.name.capitalize()

    @property
    def passed(self) -> bool:
        """Did it run, and are its numbers right?"""
        return self.experiment is not None and self.experiment.passed

    @property
    def judged(self) -> bool:
        """Is there anything to agree or to differ: numbers, or a failure?  A list of statements alone is neither."""
        return self.experiment is None or bool(self.experiment.numbers)

    @property
    def key(self) -> Number | None:
        """The number to show for it: the first that is wrong, else its first."""
        numbers = self.experiment.numbers if self.experiment else ()
        return next((n for n in numbers if not n.passed), numbers[0] if numbers else None)
