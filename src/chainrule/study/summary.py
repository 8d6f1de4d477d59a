"""The summary: what the register of claims says of all sections, and the statements that cut across them."""

from __future__ import annotations

from chainrule import plot
from chainrule.study.model import VERDICTS, Chapter, Context, Experiment, Table, at_least, equals
from chainrule.study.tools import drawn

TEXT = """
The chapters end with the statements of their sections and a verdict on each. Here they are counted, and here stand the ones
that belong to no single section: those of the summary, and those about notation.

A verdict of true needs a witness that accepts the statement and refuses a wrong variant of it; any other verdict needs one
that refuses the statement and accepts its correction. So no witness can pass by saying the same to everything.
"""


def the_register(context: Context) -> Experiment:
    """How many statements there are, and what the verdicts are."""
    from chainrule.claims import SECTIONS, claims

    found = {s: claims(s) for s in SECTIONS}
    counts = {v: {s: float(sum(c.verdict == v for c in cs)) for s, cs in found.items()} for v in VERDICTS}
    everything = [c for cs in found.values() for c in cs]
    unlike = [c for c in everything if c.verdict != "true"]
    corrected = sum(bool(c.note) for c in unlike)
    made = plot.bars(
        {"true": counts["true"], "not true as stated": {s: sum(counts[v][s] for v in VERDICTS[1:]) for s in SECTIONS}},
        "Statements of each section",
        "statements",
    )
    rows = [[s, *(int(counts[v][s]) for v in VERDICTS), len(cs)] for s, cs in found.items()]
    return Experiment(
        "The register in numbers",
        f"""{len(everything)} statements were taken from the sections, one by one. {len(everything) - len(unlike)} are true as
        they are stated. The others need a condition, a more careful reading, or a correction, and each says which.""",
        [
            at_least("statements in the register", len(everything), 200),
            equals("statements that are not true as stated and say what would be", corrected, len(unlike), 0.5),
        ],
        figures=[
            drawn(
                made,
                "register",
                "What is not true as stated is rarely false: it leaves out a condition, or wants a more careful reading.",
                "; ".join(f"section {s}: {int(counts['true'][s])} of {len(cs)} true" for s, cs in found.items()) + ".",
            )
        ],
        tables=[Table("Verdicts", ["Section", *(v.replace("_", " ") for v in VERDICTS), "All"], rows)],
    )


CHAPTER = Chapter("summary", "Summary: all statements, counted", TEXT, (the_register,), cover="the_register")
