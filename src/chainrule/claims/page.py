"""Examined claims to be read: a table for the terminal, one claim in full, and a page in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from chainrule.claims.claim import Claim
from chainrule.claims.runner import Examined, Heard

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {
    "0": "Introduction",
    "9.1": "9.1 Gradient descent and optimisation",
    "9.2": "9.2 Backpropagation",
    "9.3": "9.3 Loss functions",
    "9.4": "9.4 Regularisation and clipping",
    "9.5": "9.5 Optimisers",
    "9.6": "9.6 Deep learning",
    "9.7": "9.7 Reinforcement learning",
    "9.8": "9.8 Generative models",
    "summary": "Summary",
    "notation": "What cuts across sections",
}
STYLES = {"true": "green", "conditional": "yellow", "imprecise": "yellow", "false": "red", "not_checkable": "dim"}


def words(verdict: str) -> str:
    """A verdict as it is printed."""
    return verdict.replace("_", " ")


def table(found: Sequence[Examined]) -> Table:
    """Id, verdict, statement, and whether the witness bears it out."""
    from rich.markup import escape
    from rich.table import Table

    out = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    out.add_column("Claim", no_wrap=True)
    out.add_column("Verdict", no_wrap=True)
    out.add_column("Statement")
    out.add_column("s", justify="right")
    out.add_column("", no_wrap=True)
    for e in found:
        c = e.claim
        verdict = f"[{STYLES[c.verdict]}]{words(c.verdict)}[/]"
        text = escape(c.statement) + (f"\n[dim]{escape(c.note)}[/]" if c.verdict != "true" else "")
        out.add_row(c.id, verdict, text, f"{e.seconds:.1f}", "[green]✓[/]" if e.passed else "[bold red]✗[/]")
    return out


def full(e: Examined) -> str:
    """All that is known about one claim."""
    c = e.claim
    true = c.verdict == "true"
    out = [
        f"{c.id} ({c.kind}, lines {c.lines[0]}-{c.lines[1]})",
        "",
        c.statement,
        f"  {c.latex}",
        "",
        f"Verdict: {words(c.verdict)}",
    ]
    out += [c.note] * bool(c.note) + [f"  {c.note_latex}"] * bool(c.note_latex) + [f"Source: {c.source}"] * bool(c.source)
    out += [f"The doctor of derivatives says: {e.diagnosis}"] * bool(e.diagnosis)
    out += ["", f"Witness: {c.witness}", *[f"  {c.method}"] * bool(c.method)]
    return "\n".join([*out, _heard("as stated", e.witness), _heard("a wrong formula" if true else "as corrected", e.second)])


def _heard(name: str, h: Heard) -> str:
    numbers = ", ".join(f"{n} {x:.4g}" for n, x in h.numbers.items())
    return f"  {'✓' if h.passed else '✗'} {name}: {h.error or numbers or 'nothing measured'} ({h.seconds:.2f} s)"


def _cell(text: str) -> str:
    """A bar would end the cell, in formulas too."""
    bars = lambda m: m.group().replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return re.sub(r"\$[^$]*\$", bars, text).replace("|", r"\|")


def _row(claim: Claim, diagnosis: str) -> str:
    said = f"{claim.statement} ${claim.latex}$" if claim.latex else claim.statement
    note = " ".join(
        [claim.note]
        + [f"${claim.note_latex}$"] * bool(claim.note_latex)
        + [f"*The doctor:* {diagnosis}"] * bool(diagnosis)
        + [f"({claim.source})"] * bool(claim.source)
    )
    return " | ".join(["", f"`{claim.id}`", _cell(said), words(claim.verdict), _cell(note.strip()), ""]).strip()


def markdown(claims: Iterable[tuple[Claim, str]]) -> str:
    """A table for each section of claims, each with what the doctor says of its formula."""
    found = list(claims)
    out: list[str] = []
    for section, group in groupby(found, key=lambda pair: pair[0].section):
        rows = [_row(*pair) for pair in group]
        out += [f"## {TITLES.get(section, section)}", "", "| claim | statement | verdict | condition, correction or remark |"]
        out += ["|---|---|---|---|", *rows, ""]
    return "\n".join(out)


__all__ = ["TITLES", "full", "markdown", "table", "words"]
