"""Running claims: each judge hears both formulas; what it says is set beside the verdict."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.claims.claim import Claim, Finding, Formula


@dataclass(frozen=True)
class Heard:
    """One run of a judge: what it said of one formula, and whether that is what the verdict needs.

    Attributes:
        name: the judge.
        passed: did it say what the verdict needs?
        seconds: how long it took.
        numbers: what it measured.
        error: the exception, if it raised one; then it has not passed.
    """

    name: str
    passed: bool
    seconds: float
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str = ""


@dataclass(frozen=True)
class Examined:
    """A claim after its witness was heard.

    Attributes:
        claim: the claim.
        witness: the judge on the formula as stated: it must accept it if the verdict is ``true`` and refuse it otherwise.
        second: the judge on the other formula: the opposite.
        diagnosis: what the doctor of derivatives says about the stated formula, where it is a derivative.
    """

    claim: Claim
    witness: Heard
    second: Heard
    diagnosis: str = ""

    @property
    def passed(self) -> bool:
        """Do both runs bear the verdict out?"""
        return self.witness.passed and self.second.passed

    @property
    def seconds(self) -> float:
        """Time of both runs."""
        return self.witness.seconds + self.second.seconds


def hear(claim: Claim, formula: Formula, accept: bool) -> Heard:
    """Let the claim's judge judge this formula; it passes if the judge accepts it just when it should."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            judge: Callable[[Any], Any] = claim.judge  # users write judges too: what comes out of one is looked at
            found = judge(formula)
        if not isinstance(found, Finding):
            raise TypeError(f"a judge returns a Finding, not {type(found).__name__}")
    except Exception as e:  # the witness of one claim must not end the run of all the others
        return Heard(claim.witness, False, time.perf_counter() - start, {}, f"{type(e).__name__}: {e}")
    return Heard(claim.witness, found.holds == accept, time.perf_counter() - start, found.numbers)


def examine(claim: Claim) -> Examined:
    """Hear the witness of a claim on what is stated and on the other formula."""
    true = claim.verdict == "true"
    witness, second = hear(claim, claim.stated, true), hear(claim, claim.other, not true)
    return Examined(claim, witness, second, "" if true else diagnosis(claim))


def diagnosis(claim: Claim) -> str:
    """The doctor's words about the stated formula, if the judge knows how to ask."""
    ask: Callable[[Any], str] | None = getattr(claim.judge, "diagnose", None)
    if ask is None:
        return ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return ask(claim.stated)
    except Exception as e:  # nor must what is only an explanation
        return f"There is no diagnosis: {type(e).__name__}: {e}"


def examine_all(claims: Iterable[Claim], tell: Callable[[Examined], None] = lambda e: None) -> list[Examined]:
    """Examine every claim in turn; `tell` hears of each as it ends."""
    out: list[Examined] = []
    for claim in claims:
        out.append(examine(claim))
        tell(out[-1])
    return out


def _number(x: float) -> float | str:
    """JSON has no infinity."""
    return x if np.isfinite(x) else str(x)


def _heard(h: Heard) -> dict[str, Any]:
    numbers = {name: _number(x) for name, x in h.numbers.items()}
    out: dict[str, Any] = {"name": h.name, "passed": h.passed, "seconds": round(h.seconds, 4), "numbers": numbers}
    return {**out, "error": h.error} if h.error else out


def as_data(e: Examined) -> dict[str, Any]:
    """An examined claim as plain data, ready for JSON."""
    c = e.claim
    out: dict[str, Any] = {
        "id": c.id, "section": c.section, "lines": list(c.lines), "kind": c.kind, "statement": c.statement, "latex": c.latex,
        "verdict": c.verdict, "method": c.method,
    }  # fmt: skip
    note = " ".join([c.note, f"${c.note_latex}$" if c.note_latex else ""]).strip()
    if note:
        out["remark" if c.verdict == "true" else "condition" if c.verdict == "conditional" else "correction"] = note
    out["witness"] = _heard(e.witness)
    out["control" if c.verdict == "true" else "correction_witness"] = _heard(e.second)
    extra = {"source": c.source, "diagnosis": e.diagnosis}
    return {**out, **{k: v for k, v in extra.items() if v}}


__all__ = ["Examined", "Heard", "as_data", "examine", "examine_all", "hear"]
