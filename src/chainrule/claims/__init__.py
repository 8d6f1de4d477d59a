"""The register of claims: what is said about the calculus in machine learning, executed and judged.

Each module ``s...`` holds claims of one section, which its name says: ``s93_losses`` those of 9.3, ``s_summary`` those of the
summary.  Claims of your own go into a file with a list called ``CLAIMS``, which ``chainrule claims my_claims.py`` runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from chainrule.claims.claim import KINDS, VERDICTS, Claim, Finding, Formula, Judge, unique
from chainrule.claims.judges import Bound, Derivative, Matches, Proof, Same, above, interval
from chainrule.claims.runner import Examined, Heard, as_data, examine, examine_all

# In the order of the notes; "notation" is what cuts across them.
SECTIONS = ("0", "9.1", "9.2", "9.3", "9.4", "9.5", "9.6", "9.7", "9.8", "summary", "notation")


def _modules() -> Iterator[tuple[str, str]]:
    """Every module of claims, with its section: ``s93_losses`` is of 9.3."""
    of = {f"s{s.replace('.', '')}" if s[0].isdigit() else f"s_{s}": s for s in SECTIONS}
    for module in iter_modules(__path__):
        name = module.name
        section = of.get(name) or of.get(name.split("_")[0]) or of.get("_".join(name.split("_")[:2]))
        if section:
            yield name, section


def claims(*sections: str) -> tuple[Claim, ...]:
    """The claims of these sections, or of all, in the order of the notes."""
    unknown = [s for s in sections if s not in SECTIONS]
    if unknown:
        raise ValueError(f"there is no section {' or '.join(unknown)}; there are {', '.join(SECTIONS)}")
    modules = [name for name, section in _modules() if not sections or section in sections]
    found = unique(claim for name in modules for claim in import_module(f"{__name__}.{name}").CLAIMS)
    return tuple(sorted(found, key=lambda c: (SECTIONS.index(c.section), c.lines)))


__all__ = [
    "KINDS", "SECTIONS", "VERDICTS", "Bound", "Claim", "Derivative", "Examined", "Finding", "Formula", "Heard", "Judge", "Matches",
    "Proof", "Same", "above", "as_data", "claims", "examine", "examine_all", "interval", "unique",
]  # fmt: skip
