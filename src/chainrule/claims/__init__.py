"""The register of claims: what is said about the calculus in machine learning, executed and judged.

Each module ``s...`` holds the claims of one section.  Claims of your own go into a file with a list called ``CLAIMS``, which
``chainrule claims my_claims.py`` runs.
"""

from __future__ import annotations

from importlib import import_module

from chainrule.claims.claim import KINDS, VERDICTS, Claim, Finding, Formula, Judge, unique
from chainrule.claims.judges import Bound, Derivative, Matches, Proof, Same, above, interval
from chainrule.claims.runner import Examined, Heard, as_data, examine, examine_all

# The modules of each section, in the order of the notes; a module is imported when its section is asked for.
SECTIONS = {
    "0": ("s0_introduction",),
    "9.1": ("s91_gradient_descent", "s91_stochastic"),
    "9.2": ("s92_backpropagation",),
    "9.3": ("s93_losses", "s93_selection"),
    "9.4": ("s94_penalties", "s94_clipping_dropout"),
    "9.5": ("s95_optimizers", "s95_table"),
    "9.6": ("s96_normalization", "s96_attention"),
    "9.7": ("s97_reinforcement",),
    "9.8": ("s98_generative",),
    "summary": ("summary",),
    "notation": ("notation",),
}


def claims(*sections: str) -> tuple[Claim, ...]:
    """The claims of these sections, or of all."""
    unknown = [s for s in sections if s not in SECTIONS]
    if unknown:
        raise ValueError(f"there is no section {' or '.join(unknown)}; there are {', '.join(SECTIONS)}")
    modules = [m for s, names in SECTIONS.items() if not sections or s in sections for m in names]
    return unique(claim for m in modules for claim in import_module(f"chainrule.claims.{m}").CLAIMS)


__all__ = [
    "KINDS", "SECTIONS", "VERDICTS", "Bound", "Claim", "Derivative", "Examined", "Finding", "Formula", "Heard", "Judge", "Matches",
    "Proof", "Same", "above", "as_data", "claims", "examine", "examine_all", "interval", "unique",
]  # fmt: skip
