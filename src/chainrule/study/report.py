"""One page of a study: pictures, formulas and style inside it, so that it opens anywhere, without a network."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from chainrule import __version__
from chainrule.plot.style import variables
from chainrule.study.model import Chapter, Claim, Formula, Result, Table, text

PAGE = "study.html"

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


def mathml(latex: str, display: str = "block") -> Markup:
    """A formula as MathML, with its LaTeX as the text for those who cannot see it."""
    if aligned := re.fullmatch(r"\s*\\begin{aligned}(.*)\\end{aligned}\s*", latex, re.DOTALL):
        lines = [line.replace("&", " ").strip() for line in aligned[1].split(r"\\")]
        return Markup("").join(mathml(line, display) for line in lines if line)
    made = convert(latex, display=display).replace("<mo>/</mo>", '<mo lspace="0" rspace="0">/</mo>')
    return Markup(made.replace("<math ", f'<math alttext="{escape(latex)}" ', 1))


def words(source: str) -> Markup:
    """Prose as HTML: blank lines part paragraphs, `code` is code, $x$ is mathematics."""
    paragraphs = [p for p in source.split("\n\n") if p.strip()]
    return Markup("").join(Markup("<p>{}</p>").format(_inline(" ".join(p.split()))) for p in paragraphs)


def _inline(source: str) -> Markup:
    out = Markup("")
    parts = re.split(r"\$([^$]+)\$([^\s\w]*)", source)
    for k, part in enumerate(parts):
        if k % 3 == 1:  # a formula, and the punctuation that must stay on its line
            out += Markup('<span class="together">{}{}</span>').format(mathml(part, "inline"), parts[k + 1])
        if k % 3:
            continue
        for j, piece in enumerate(part.split("`")):
            out += Markup("<code>{}</code>").format(piece) if j % 2 else escape(piece)
    return out


def _cell(x: object) -> str:
    return text(float(x)) if isinstance(x, int | float) and not isinstance(x, bool) else str(x)


def render(chapters: Sequence[Chapter], results: Sequence[Result], planned: int | None = None) -> str:
    """The page.

    Args:
        chapters: the chapters asked for, in order.
        results: what has run.
        planned: how many experiments were to run, if not all have.

    Returns:
        HTML, the same bytes for the same results.
    """
    by_chapter = {key: list(group) for key, group in groupby(results, lambda r: r.chapter)}
    parts: dict[str, Any] = {
        "parts": [(c, by_chapter[c.id]) for c in chapters if c.id in by_chapter],
        "results": results,
        "passed": sum(r.passed for r in results),
        "missing": 0 if planned is None else planned - len(results),
    }
    return filled("page.html.jinja", parts)


def filled(template: str, parts: dict[str, Any]) -> str:
    """A page from a template of the house and what goes into it."""
    environment = Environment(
        loader=PackageLoader("chainrule.study"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(mathml=mathml, words=words, inline=_inline, cell=_cell, svg=Markup)
    house = {
        "light": Markup(variables()),
        "dark": Markup("".join(f"--{part}: {colour}; " for part, colour in _DARK.items())),
        "version": __version__,
    }
    return environment.get_template(template).render({**house, **parts}) + "\n"


def write(folder: Path, page: str, name: str = PAGE) -> Path:
    """Write the page at once: a reader sees the old one or the new one, never half of it."""
    path = folder / name
    fresh = path.with_suffix(".html.part")
    fresh.write_text(page, encoding="utf-8")
    os.replace(fresh, path)
    return path


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
        "tables": [_table(t) for t in (e.tables if e else ())],
        "figures": [{"caption": f.caption, "alt": f.alt} for f in (e.figures if e else ())],
    }


def _number(n: Any) -> dict[str, Any]:
    finite = n.value == n.value and abs(n.value) != float("inf")
    return {"label": n.label, "value": n.value if finite else None, "expected": n.expected, "passed": n.passed}


def _formula(f: Formula) -> dict[str, Any]:
    return {"latex": f.latex, "note": f.note, "printed": f.printed}


def _table(t: Table) -> dict[str, Any]:
    return {"caption": t.caption, "head": list(t.head), "rows": [[_cell(c) for c in row] for row in t.rows]}


def _claim(c: Claim) -> dict[str, Any]:
    return {"statement": c.statement, "verdict": c.verdict, "because": c.because}
