"""The progress bar: seen where somebody watches, and never a burden."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any, Protocol

SHARE = 0.01  # of the time may go into drawing
APART = 0.1  # seconds between two drawings, no fewer


class Watcher(Protocol):
    """Someone who is told how training goes."""

    def tell(self, epoch: int, part: float, loss: float) -> None:
        """So many epochs are finished and this part of the next; the last loss."""
        ...

    def close(self) -> None:
        """It is over."""
        ...


class Nobody:
    """Is told, and says nothing."""

    def tell(self, epoch: int, part: float, loss: float) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class Bar:
    """A bar that is drawn at most ten times a second, and more rarely where drawing is slow: it takes a hundredth of the time."""

    def __init__(self, epochs: int, console: Any = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns: Any = (TextColumn("{task.description}"), BarColumn(bar_width=28), TextColumn("{task.percentage:>3.0f}%"))
        console = console or Console(stderr=True)
        self.epochs = epochs
        self.bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, auto_refresh=False)
        self.bar.start()
        self.task = self.bar.add_task("", total=epochs)
        self.due = 0.0
        self.spent = 0.0

    def tell(self, epoch: int, part: float, loss: float) -> None:
        """Draw, if it is time to."""
        now = time.perf_counter()
        if now < self.due:
            return
        text = f"epoch {min(epoch + 1, self.epochs)}/{self.epochs}  loss {loss:.5g}"
        self.bar.update(self.task, completed=epoch + part, description=text, refresh=True)
        cost = time.perf_counter() - now
        self.spent += cost
        self.due = now + cost + max(APART, cost / SHARE)

    def close(self) -> None:
        """Take the bar away."""
        self.bar.stop()


def watcher(progress: bool | None, epochs: int) -> Watcher:
    """A bar if it is asked for (True), or if standard error is a terminal and rich is installed (None)."""
    wanted = (sys.stderr.isatty() and find_spec("rich") is not None) if progress is None else progress
    return Bar(epochs) if wanted else Nobody()
