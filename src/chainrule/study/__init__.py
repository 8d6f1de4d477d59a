"""The study: what the theory of learning says, run on real data, drawn, and judged.

Each chapter is a module of small functions, one per experiment.  An experiment takes a `Context` and returns an
`Experiment`: numbers with what they should be, pictures, formulas and words as data.  `report` makes a page of them.
"""

from __future__ import annotations

from importlib import import_module

from chainrule.study.model import Chapter

# The chapters there are, and the module of each; a module is imported when its chapter is asked for.
CHAPTERS = {
    "9.1": "chainrule.study.gradient_descent",
    "9.2": "chainrule.study.backpropagation",
}


def chapter(name: str) -> Chapter:
    """The chapter of this number."""
    return import_module(CHAPTERS[name]).CHAPTER


__all__ = ["CHAPTERS", "chapter"]
