"""The study: what the theory of learning says, run on real data, drawn, and judged.

Each chapter is a module of small functions, one per experiment.  An experiment takes a `Context` and returns an
`Experiment`: numbers with what they should be, pictures, formulas and words as data.  `report` makes a page of each chapter.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from chainrule.study.model import Chapter
from chainrule.study.register import statements

# The chapters there are, and the module of each; a module is imported when its chapter is asked for.
CHAPTERS = {
    "0": "chainrule.study.introduction",
    "9.1": "chainrule.study.gradient_descent",
    "9.2": "chainrule.study.backpropagation",
    "9.3": "chainrule.study.losses",
    "9.4": "chainrule.study.regularisation",
    "9.5": "chainrule.study.optimisers",
    "9.6": "chainrule.study.networks",
    "9.7": "chainrule.study.reinforcement",
    "9.8": "chainrule.study.generative_models",
    "summary": "chainrule.study.summary",
}
TITLES = {
    "0": "Introduction: slopes, areas and averages",
    "9.1": "Gradient descent",
    "9.2": "Backpropagation",
    "9.3": "Loss functions",
    "9.4": "Regularisation",
    "9.5": "Optimisers",
    "9.6": "Networks",
    "9.7": "Reinforcement learning",
    "9.8": "Generative models",
    "summary": "Summary: all statements, counted",
}
# Chapters that list the statements of other sections than their own.
ALSO = {"summary": ("summary", "notation")}


def chapter(name: str) -> Chapter:
    """The chapter of this number; its last part are the section's statements with their verdicts."""
    found: Chapter = import_module(CHAPTERS[name]).CHAPTER
    return replace(found, experiments=(*found.experiments, statements(*ALSO.get(name, (name,)))))


__all__ = ["CHAPTERS", "TITLES", "chapter"]
