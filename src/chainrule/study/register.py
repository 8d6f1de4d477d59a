"""The statements of a section with their verdicts, from the register of claims, as the last part of its chapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.study.model import Context, Experiment, Number, Run, Statement, equals

if TYPE_CHECKING:
    from chainrule.claims import Claim, Examined


def statements(*sections: str) -> Run:
    """An experiment that lists what is said in sections; a full run hears the quick witnesses, a quick run hears none."""

    def statements_judged(context: Context) -> Experiment:
        from chainrule.claims import claims, examine

        found = claims(*sections)
        chosen = () if context.quick else [c for c in found if not c.slow]
        heard = {chosen[k].id: examine(chosen[k]) for k in context.steps(len(chosen))}
        return Experiment(
            "What is said about this, judged",
            _words(sections, found, len(heard)),
            _numbers(list(heard.values())),
            statements=[_statement(c, heard.get(c.id)) for c in found],
        )

    return statements_judged


def _words(sections: Sequence[str], found: Sequence[Claim], heard: int) -> str:
    if not found:
        return "The register of claims holds nothing about this section yet."
    counts = {v: sum(c.verdict == v for c in found) for v in dict.fromkeys(c.verdict for c in found)}
    said = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in counts.items())
    run = f"{heard} of the witnesses were run for this page" if heard else "No witness was run for this page"
    command = f"chainrule claims {' '.join(sections)}"
    return f"""The register of claims holds {len(found)} statements about this section: {said}. Behind each verdict stands a
    witness, a program that must bear it out and refuse its opposite. {run}; `{command}` runs all of them."""


def _numbers(heard: Sequence[Examined]) -> list[Number]:
    return [equals("witnesses that bear their verdict out", sum(e.passed for e in heard), len(heard), 0.5)] if heard else []


def _statement(c: Claim, e: Examined | None) -> Statement:
    state = "not run here" if e is None else "borne out" if e.passed else "not borne out"
    return Statement(c.id, c.statement, c.latex, c.verdict, c.note, c.note_latex, c.source, state)
