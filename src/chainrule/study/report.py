"""The pages of a study: one for each chapter and an index of them, each whole in itself, so that it opens without a network."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chainrule import __version__
from chainrule.plot.style import variables
from chainrule.study.markup import cell, inline, mathml, words
from chainrule.study.model import VERDICTS, Chapter, Claim, Formula, Result, Statement, Table

INDEX = "index.html"

# What the series of a picture and its surroundings look like on dark paper.
_DARK = {
    "ink": "#e8ebf1",
    "muted": "#a3adbd",
    "rule": "#333c4b",
    "paper": "#161b24",
    "series-0": "#5db4f0",
    "series-1": "#ff9a57",
    "series-2": "#3ccfa4",
    "series-3": "#e795cb",
    "series-4": "#dcc04a",
    "level-0": "#1b2430",
    "level-1": "#1f2c3c",
    "level-2": "#233549",
    "level-3": "#273e56",
    "level-4": "#2b4763",
    "level-5": "#305171",
    "level-6": "#355b7f",
    "level-7": "#3b668e",
    "side-0": "#5a3a24",
    "side-1": "#3c2c22",
    "side-2": "#1f2c3c",
    "side-3": "#2b4763",
}


def page_name(chapter: str) -> str:
    """The file of a chapter's page."""
    return f"chapter-{chapter}.html"


def render(
    chapter: Chapter,
    results: Sequence[Result],
    planned: int | None = None,
    titles: Mapping[str, str] | None = None,
    pages: Collection[str] = (),
) -> str:
    """The page of a chapter.

    Args:
        chapter: the chapter.
        results: which of its experiments have run, and what they found.
        planned: how many experiments were to run, if not all have.
        titles: number and title of every chapter of the study, for the way to the others.
        pages: numbers of the chapters that have a page beside this one; only to them does it link.

    Returns:
        HTML, the same bytes for the same results.
    """
    parts: dict[str, Any] = {
        "chapter": chapter,
        "results": results,
        "passed": sum(r.judged and r.passed for r in results),
        "judged": sum(r.judged for r in results),
        "missing": 0 if planned is None else planned - len(results),
        "titles": titles or {chapter.id: chapter.title},
        "pages": pages,
        "page_name": page_name,
    }
    return filled("chapter.html.jinja", parts)


def index(titles: Mapping[str, str], chapters: Mapping[str, Mapping[str, Any]]) -> str:
    """The page that leads to the others.

    Args:
        titles: number and title of every chapter of the study.
        chapters: of those that have a page, what `summary` says of them.
    """
    parts: dict[str, Any] = {"titles": titles, "chapters": chapters, "page_name": page_name}
    return filled("index.html.jinja", parts)


def filled(template: str, parts: dict[str, Any]) -> str:
    """A page from a template of the house and what goes into it."""
    environment = Environment(
        loader=PackageLoader("chainrule.study"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(mathml=mathml, words=words, inline=inline, cell=cell, svg=Markup)
    house = {
        "light": Markup(variables()),
        "dark": Markup("".join(f"--{part}: {colour}; " for part, colour in _DARK.items())),
        "version": __version__,
    }
    return environment.get_template(template).render({**house, **parts}) + "\n"


def write(folder: Path, page: str, name: str) -> Path:
    """Write a file at once: a reader sees the old one or the new one, never half of it."""
    path = folder / name
    fresh = path.with_name(name + ".part")
    fresh.write_text(page, encoding="utf-8")
    os.replace(fresh, path)
    return path


# --- the folder ------------------------------------------------------------------------------------------------------------


class Folder:
    """Where the pages are.  A chapter that is run again replaces its own page and leaves those of the others alone."""

    def __init__(self, path: Path, titles: Mapping[str, str], quick: bool = False) -> None:
        self.path = path
        self.titles = titles
        self.quick = quick
        self._written: dict[str, tuple[Chapter, list[Result], int]] = {}

    def put(self, chapter: Chapter, results: Sequence[Result], planned: int) -> None:
        """Write a chapter's page, what it found as data, and the index."""
        self._written[chapter.id] = chapter, list(results), planned
        data = {**summary(chapter, results, planned, self.quick), "results": [as_data(r) for r in results]}
        write(self.path, json.dumps(data, indent=1, ensure_ascii=False) + "\n", f"chapter-{chapter.id}.json")
        self._page(chapter.id, self.chapters())
        write(self.path, index(self.titles, self.chapters()), INDEX)

    def finish(self) -> Path:
        """Link the pages that were written to all that are there; returns the index."""
        there = self.chapters()
        for name in self._written:
            self._page(name, there)
        return self.path / INDEX

    def _page(self, name: str, there: Collection[str]) -> None:
        chapter, results, planned = self._written[name]
        write(self.path, render(chapter, results, planned, self.titles, there), page_name(name))

    def chapters(self) -> dict[str, dict[str, Any]]:
        """What is known of the chapters that are here, of this run and of earlier ones; a file that is none is passed over."""
        found = dict[str, dict[str, Any]]()
        for name in self.titles:
            try:
                data: Any = json.loads((self.path / f"chapter-{name}.json").read_text(encoding="utf-8"))
                known = {key: data[key] for key in _SUMMARY}
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if name in self._written or (self.path / page_name(name)).is_file():
                found[name] = known
        return found


_SUMMARY = ("chapter", "title", "idea", "quick", "passed", "failed", "ran", "missing", "experiments", "verdicts", "cover")


def summary(chapter: Chapter, results: Sequence[Result], planned: int, quick: bool) -> dict[str, Any]:
    """What the index says of a chapter."""
    verdicts = [s.verdict for r in results if r.experiment for s in r.experiment.statements]
    return {
        "chapter": chapter.id,
        "title": chapter.title,
        "idea": chapter.text.strip().split("\n\n")[0],
        "quick": quick,
        "passed": sum(r.judged and r.passed for r in results),
        "failed": sum(r.experiment is None for r in results),
        "ran": sum(r.judged for r in results),
        "missing": planned - len(results),
        "experiments": [_line(r) for r in results],
        "verdicts": {v: verdicts.count(v) for v in VERDICTS if v in verdicts},
        "cover": _cover(chapter, results),
    }


def _cover(chapter: Chapter, results: Sequence[Result]) -> dict[str, str] | None:
    """The picture that stands for a chapter; its ids are made its own, as pictures of other chapters stand beside it."""
    of = [r.experiment.figures for r in results if r.experiment and r.name.replace(" ", "_") == chapter.cover]
    if not of or not of[0]:
        return None
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{chapter.id}-", of[0][0].svg)
    return {"svg": svg, "alt": of[0][0].alt}


def _line(r: Result) -> dict[str, Any]:
    key = r.key
    shown = {"label": key.label, "shown": key.shown, "expected": key.expected} if key else None
    return {"id": r.id, "title": r.title, "passed": r.passed, "failed": r.experiment is None, "key": shown}


def as_data(result: Result) -> dict[str, Any]:
    """A result as plain data, for `--json`."""
    e = result.experiment
    return {
        "id": result.id,
        "chapter": result.chapter,
        "title": result.title,
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "error": result.error or None,
        "numbers": [_number(n) for n in (e.numbers if e else ())],
        "formulas": [_formula(f) for f in (e.formulas if e else ())],
        "claims": [_claim(c) for c in (e.claims if e else ())],
        "statements": [_statement(s) for s in (e.statements if e else ())],
        "tables": [_table(t) for t in (e.tables if e else ())],
        "figures": [{"caption": f.caption, "alt": f.alt} for f in (e.figures if e else ())],
    }


def _number(n: Any) -> dict[str, Any]:
    finite = n.value == n.value and abs(n.value) != float("inf")
    return {"label": n.label, "value": n.value if finite else None, "expected": n.expected, "passed": n.passed}


def _formula(f: Formula) -> dict[str, Any]:
    return {"latex": f.latex, "note": f.note, "printed": f.printed}


def _table(t: Table) -> dict[str, Any]:
    return {"caption": t.caption, "head": list(t.head), "rows": [[cell(c) for c in row] for row in t.rows]}


def _claim(c: Claim) -> dict[str, Any]:
    return {"statement": c.statement, "verdict": c.verdict, "because": c.because}


def _statement(s: Statement) -> dict[str, Any]:
    return {"id": s.id, "verdict": s.verdict, "witness": s.witness}
