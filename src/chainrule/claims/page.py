"""Examined claims to be read: a table for the terminal, one claim in full, and a page in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from chainrule.claims.claim import VERDICTS, Claim
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
_INTRODUCTION = """\
Each statement has a verdict and a witness, a program that judges formulas. It is run on two: on what is stated, and on another, which
for a true statement is a plausible wrong formula and for the rest is the correction. It must accept one and refuse the other.
*Conditional*: true under conditions that are not stated. *Imprecise*: true in the right reading. *Not checkable*: two fair readings
have different answers. `chainrule claims` runs all witnesses; `chainrule claims 9.3.bce.derivative` shows one with its numbers."""
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


def _row(claim: Claim) -> str:
    said = f"{claim.statement} ${claim.latex}$" if claim.latex else claim.statement
    parts = [claim.note, f"${claim.note_latex}$" if claim.note_latex else "", f"({claim.source})" if claim.source else ""]
    cells = [f"`{claim.id}`", _cell(said), words(claim.verdict), _cell(" ".join(p for p in parts if p))]
    return f"| {' | '.join(cells)} |"


def _counts(claims: Sequence[Claim]) -> list[str]:
    """How many claims have each verdict, by section."""
    heads = [words(v) for v in VERDICTS]
    out = [f"| section | {' | '.join(heads)} | all |", "|---|" + "---:|" * (len(heads) + 1)]
    groups = [(TITLES.get(s, s), list(g)) for s, g in groupby(claims, key=lambda c: c.section)]
    for title, group in [*groups, ("All", list(claims))]:
        numbers = [sum(c.verdict == v for c in group) for v in VERDICTS]
        out.append(f"| {title} | {' | '.join(str(n or '') for n in numbers)} | {len(group)} |")
    return [*out, ""]


def markdown(examined: Iterable[tuple[Claim, str]]) -> str:
    """A page: how many claims have which verdict, a table for each section, and what the doctor says of wrong derivatives."""
    found = list(examined)
    out = ["# Claims, executed and judged", "", _INTRODUCTION, "", *_counts([c for c, _ in found])]
    for section, group in groupby((c for c, _ in found), key=lambda c: c.section):
        out += [f"## {TITLES.get(section, section)}", "", "| claim | statement | verdict | condition, correction or remark |"]
        out += ["|---|---|---|---|", *map(_row, group), ""]
    said = [f"- `{c.id}`: {diagnosis}" for c, diagnosis in found if diagnosis]
    return "\n".join(out + (["## What the doctor of derivatives says", "", *said, ""] if said else []))


__all__ = ["TITLES", "full", "markdown", "table", "words"]
