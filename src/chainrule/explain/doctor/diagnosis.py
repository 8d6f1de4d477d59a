"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

KINDS = (
    "shape", "layout", "scale", "sign", "term", "constant", "local_derivative", "jacobian", "preflight", "kink", "unknown",
)  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """One cause that explains every number.

    Attributes:
        kind: one of `KINDS`.
        message: the cause in one or two sentences.
        correction: what to write instead, one line.
        latex: the right formula beside what was computed.
        argument: which argument's gradient it is about; empty where it is about all of them.
        place: the line of the user's program, ``file:line``; empty where there is none.
        parts: two mistakes that meet.
        same_numbers: is it another name for the first diagnosis, which gives the same numbers on all instances?
    """

    kind: str
    message: str
    correction: str = ""
    latex: str = ""
    argument: str = ""
    place: str = ""
    parts: tuple[Diagnosis, ...] = ()
    same_numbers: bool = False
    rank: float = 5.0

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        own = ("kind", "message", "correction", "latex", "argument", "place", "same_numbers")
        return {**{name: getattr(self, name) for name in own}, "parts": [p.as_data() for p in self.parts]}


def ranked(found: list[Diagnosis]) -> list[Diagnosis]:
    """The most human first; the others have the same numbers. Each message once, few of them."""
    out: list[Diagnosis] = []
    for x in sorted(found, key=lambda x: x.rank):
        if all(x.message != y.message and (x.kind, x.place) != (y.kind, y.place or None) for y in out):
            out.append(replace(x, same_numbers=bool(out)))
    return [*out[:1], *[x for x in out[1:6] if x.rank < 8]]


def both(a: Diagnosis, b: Diagnosis) -> Diagnosis:
    """Two mistakes that meet."""
    first, second = sorted((a, b), key=lambda x: x.rank)
    message = f"Two mistakes meet. {first.message} {second.message}"
    fix = "; ".join(x for x in (first.correction, second.correction) if x)
    latex = r" \qquad ".join(x for x in (first.latex, second.latex) if x)
    return Diagnosis(
        first.kind, message, fix, latex, first.argument, first.place, (first, second), rank=10 + first.rank + second.rank
    )
