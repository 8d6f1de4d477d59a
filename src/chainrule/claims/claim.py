"""What a claim is: a statement, a verdict on it, and a judge that can tell the statement from its correction.

The judge is one function of a *formula*: it says whether that formula holds, and what it measured.  A claim names two
formulas, the one that is stated and another.  For a statement that is true the other is a plausible wrong one, which the judge
must refuse; for a statement that is not, the other is its correction, which the judge must accept while it refuses what is
stated.  So no verdict can be given by a judge that says the same to everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

Verdict = Literal["true", "conditional", "imprecise", "false", "not_checkable"]
Kind = Literal["definition", "identity", "derivative", "update", "bound", "property", "remark", "table", "summary"]
VERDICTS: tuple[str, ...] = get_args(Verdict)
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Finding:
    """What a judge found.

    Attributes:
        holds: does the formula hold?
        numbers: what was measured, by name.
    """

    holds: bool
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", bool(self.holds))
        object.__setattr__(self, "numbers", {k: float(v) for k, v in self.numbers.items()})


Formula: TypeAlias = Any  # whatever the judge can hear: a function, a number, an optimiser, a list of settings
Judge = Callable[[Any], Finding]


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim:
    r"""A statement with its verdict and its witness.

    Attributes:
        id: dotted name that begins with the section, as ``9.3.bce.derivative``.
        lines: first and last line of the source that say it.
        kind: one of `KINDS`.
        statement: the statement in words.
        latex: the statement as a formula, without dollar signs.
        verdict: ``true``; ``conditional``: true under conditions that are not stated; ``imprecise``: true in the right reading;
            ``false``; ``not_checkable``: two readings, both fair, have different answers.
        judge: says of a formula whether it holds.
        stated: the formula as it is stated (for ``not_checkable``: a reading under which it fails).
        other: for ``true`` a wrong formula, which the judge must refuse; else the corrected formula (or the reading that holds).
        note: the missing condition or the correction in words; for ``true`` a remark, if any.
        note_latex: the same as a formula.
        source: where the correction can be read, if not obvious.
        slow: does the witness take more than about two seconds?  Quick runs leave it out.

    Example:
        >>> from chainrule.claims import Claim, Derivative, examine
        >>> claim = Claim(
        ...     id="1.square", lines=(1, 1), kind="derivative", verdict="false",
        ...     statement="The derivative of the square is x.", latex="(x^2)' = x",
        ...     judge=Derivative(lambda x: x * x, [(0.5,), (2.0,)]), stated=lambda x: x, other=lambda x: 2 * x,
        ...     note="A factor 2 is missing.", note_latex="(x^2)' = 2x")
        >>> examine(claim).passed
        True
    """

    id: str
    lines: tuple[int, int]
    kind: Kind
    statement: str
    latex: str
    verdict: Verdict
    judge: Judge
    stated: Formula
    other: Formula
    note: str = ""
    note_latex: str = ""
    source: str = ""
    slow: bool = False

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"claim {self.id}: verdict is one of {', '.join(VERDICTS)}, not {self.verdict!r}")
        if self.kind not in KINDS:
            raise ValueError(f"claim {self.id}: kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.verdict != "true" and not self.note:
            raise ValueError(f"claim {self.id}: a verdict of {self.verdict!r} needs a note that says what would be right")

    @property
    def section(self) -> str:
        """The section, read from the id: ``9.3`` of ``9.3.bce.derivative``, ``summary`` of ``summary.optimization``."""
        number = re.match(r"\d+(\.\d+)?(?=\.)", self.id)
        return number.group() if number else self.id.split(".")[0]

    @property
    def method(self) -> str:
        """How it is judged, in one sentence."""
        text = getattr(self.judge, "method", None) or (self.judge.__doc__ or "")
        return str(text).strip().splitlines()[0] if text.strip() else ""

    @property
    def witness(self) -> str:
        """The judge's name."""
        return str(getattr(self.judge, "name", None) or getattr(self.judge, "__name__", type(self.judge).__name__))


def unique(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The claims, known to have different ids."""
    found: dict[str, Claim] = {}
    for claim in claims:
        if claim.id in found:
            raise ValueError(f"two claims have the id {claim.id}")
        found[claim.id] = claim
    return tuple(found.values())


__all__ = ["KINDS", "VERDICTS", "Claim", "Finding", "Formula", "Judge", "Kind", "Verdict", "unique"]
