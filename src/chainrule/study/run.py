"""Runs chapters, one experiment after another; one that fails is reported, and the others go on."""

# pyright: reportMissingTypeStubs=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from threadpoolctl import threadpool_limits

from chainrule.study.model import Chapter, Context, Experiment, Result, Run

if TYPE_CHECKING:
    from chainrule.study.data import Dataset


class Watcher(Protocol):
    """Someone who is told how the study goes."""

    def start(self, chapter: str, name: str) -> None:
        """An experiment begins."""
        ...

    def tell(self, fraction: float) -> None:
        """The experiment is so far along, from 0 to 1."""
        ...

    def end(self, result: Result) -> None:
        """The experiment has ended."""
        ...


@dataclass(frozen=True)
class Plan:
    """An experiment that is to run."""

    chapter: Chapter
    run: Run

    @property
    def name(self) -> str:
        """What to call it before it has said its title."""
        return getattr(self.run, "__name__", "experiment").replace("_", " ")


def plan(chapters: Sequence[Chapter]) -> list[Plan]:
    """All experiments of these chapters, in order."""
    return [Plan(chapter, run) for chapter in chapters for run in chapter.experiments]


def loaded(name: str, title: str, load: Callable[[str], Chapter]) -> Chapter:
    """A chapter; where its module cannot be imported, one whose only experiment says so."""
    try:
        return load(name)
    except Exception as e:
        error = e

    def loading(context: Context) -> Experiment:
        raise error

    return Chapter(name, title, "", (loading,))


def results(plans: Sequence[Plan], watcher: Watcher, quick: bool = False, data: Dataset | None = None) -> Iterator[Result]:
    """Run one experiment after another."""
    context = Context(quick, watcher.tell, data)
    for p in plans:
        watcher.start(p.chapter.id, p.name)
        with threadpool_limits(1):  # small matrices gain nothing from threads, and sums keep their order
            result = _result(p, context)
        watcher.end(result)
        yield result


def _result(p: Plan, context: Context) -> Result:
    start = time.perf_counter()
    try:
        experiment, error = p.run(context), ""
    except Exception as e:
        experiment, error = None, _told(e)
    return Result(p.chapter.id, p.name, time.perf_counter() - start, experiment, error)


def _told(e: Exception) -> str:
    """What went wrong and where, in two lines: no path of this machine belongs on a page."""
    frame = traceback.extract_tb(e.__traceback__)[-1]
    return f"{type(e).__name__}: {e}\n(in {frame.name}, {Path(frame.filename).name} line {frame.lineno})"
