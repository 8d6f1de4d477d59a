"""What came of a training, in a few lines."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.train.history import History

REASONS = {
    "finished": "all epochs were run",
    "early": "early stopping: no better for a while",
    "callback": "a callback asked to stop",
    "interrupted": "interrupted",
    "diverged": "the next step makes NaN",
}
"""Why training ended, in words."""


@dataclass(frozen=True, repr=False)
class Report:
    """A training in numbers.

    Attributes:
        stopped: why it ended: "finished", "early", "callback", "interrupted" or "diverged".
        epochs: how many epochs were finished.
        steps: how many steps were taken.
        parameters: how many numbers are learned.
        examples: how many examples were read, repetitions counted.
        seconds: how long this call took, validation and checkpoints included; epochs that were resumed are not in it.
        rate: examples per second of this call.
        monitor: the quantity that decides what is best.
        best_epoch: the epoch in which it was best, counted from 1; 0 if none was finished.
        best: its value then.
        restored: is the model that of the best epoch?
        history: the numbers.
    """

    stopped: str
    epochs: int
    steps: int
    parameters: int
    examples: int
    seconds: float
    rate: float
    monitor: str
    best_epoch: int
    best: float
    restored: bool
    history: History

    def __repr__(self) -> str:
        lines = [
            f"{self.epochs} epochs, {self.steps} steps, {self.parameters} parameters: {REASONS[self.stopped]}",
            f"{self.seconds:.3g} s, {self.rate:.3g} examples per second",
        ]
        if self.best_epoch:
            kept = ", which is the model" if self.restored else ""
            lines.append(f"best {self.monitor} {self.best:.6g} in epoch {self.best_epoch}{kept}")
        return "\n".join([*lines, "", repr(self.history)])
