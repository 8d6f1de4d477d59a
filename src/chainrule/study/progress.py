"""What is seen in the terminal while a study runs, and the table at its end."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from chainrule.study.model import Result


def console(stderr: bool = False) -> Console:
    """Where the study speaks; wide enough for its table where nobody watches."""
    found = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=max(found.width, 120))


def _verdict(r: Result) -> str:
    return "[green]✓[/]" if r.passed else "[bold red]✗[/]"


class Lines:
    """One plain line for each experiment that ends: for logs and pipes."""

    def __init__(self, out: Console, total: int) -> None:
        self.out = out
        self.total = total
        self.ended = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, chapter: str, name: str) -> None:
        """Nothing to say yet."""

    def tell(self, fraction: float) -> None:
        """Nothing to say in between."""

    def end(self, result: Result) -> None:
        """Say how it went."""
        self.ended += 1
        state = "ok" if result.passed else "failed" if result.experiment is None else "differs"
        self.out.print(
            f"[{self.ended}/{self.total}] {result.chapter} {result.name}: {state} ({result.seconds:.1f} s)", markup=False
        )


class Bars(Lines):
    """A bar for the whole study and one for the experiment that runs, renewed as it goes."""

    def __init__(self, out: Console, total: int) -> None:
        super().__init__(out, total)
        columns: Any = (TextColumn("{task.description}"), BarColumn(bar_width=28), TextColumn("{task.percentage:>3.0f}%"))
        self.bars = Progress(*columns, TimeElapsedColumn(), console=out, transient=True)
        self.whole = self.bars.add_task("Study", total=total)
        self.part = self.bars.add_task("", total=1.0, visible=False)
        self.drawn = 0.0

    def __enter__(self) -> Bars:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def start(self, chapter: str, name: str) -> None:
        """Show its bar, empty."""
        self.bars.reset(self.part, description=f"  {chapter} {name}", visible=True)

    def tell(self, fraction: float) -> None:
        """Move both bars, not more often than an eye can follow."""
        now = time.perf_counter()
        if now - self.drawn > 0.05:
            self.drawn = now
            self.bars.update(self.part, completed=fraction)
            self.bars.update(self.whole, completed=self.ended + fraction)

    def end(self, result: Result) -> None:
        """Leave a line, and go on."""
        self.ended += 1
        self.bars.update(self.part, completed=1.0)
        self.bars.update(self.whole, completed=self.ended)
        self.bars.print(f"{_verdict(result)} {result.chapter} {result.name} [dim]{result.seconds:.1f} s[/]")


def watcher(out: Console, total: int) -> Lines:
    """Bars where somebody watches, lines where nobody does."""
    return Bars(out, total) if out.is_terminal else Lines(out, total)


def table(results: Sequence[Result]) -> Table:
    """Experiment, key number, what it should be, and whether it is."""
    out = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for head in ("", "Experiment", "Key number"):
        out.add_column(head)
    out.add_column("Measured", justify="right", no_wrap=True)
    out.add_column("Expected", no_wrap=True)
    out.add_column("", no_wrap=True)
    for r in results:
        n = r.key
        found = (n.label, n.shown, n.expected) if n else (r.error.split("\n")[0], "—", "—")
        out.add_row(r.chapter, r.title, *found, ("[green]pass[/]" if r.passed else "[bold red]fail[/]") if r.judged else "listed")
    return out
