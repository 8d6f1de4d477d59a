"""How many steps to take between two looks at the world: enough for speed, few enough to stop and to show something."""

from __future__ import annotations

_PILOT = 32  # steps of a run before the time of a step is known
_SECONDS = 0.25  # how long a run may take


class Pace:
    """Lengths of runs of steps: few different ones, since each is compiled once."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.step: float | None = None
        self.total = 0
        self.until: int | None = None

    def ask(self, left: int) -> int:
        """How many of the steps that are left in the epoch to take at once."""
        whole = left == self.total
        most = left if self.until is None else min(left, self.until)
        if self.step is None:
            return most if left <= 2 * _PILOT else min(most, _PILOT)
        if whole and most == left and left * self.step <= 2 * _SECONDS:
            return left
        length = 1 << max(0, int(_SECONDS / max(self.step, 1e-9)).bit_length() - 1)
        if length > _PILOT and most < length:
            length = _PILOT
        return min(most, length)

    def took(self, steps: int, seconds: float) -> None:
        """A run took so long; the first of its length is not counted, for it was compiled."""
        if steps in self.seen:
            each = seconds / steps
            self.step = each if self.step is None else min(self.step * 1.1, each)
        self.seen.add(steps)
