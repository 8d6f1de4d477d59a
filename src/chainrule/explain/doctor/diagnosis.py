"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
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
