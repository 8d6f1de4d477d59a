"""Every formula of the register can be shown: it becomes MathML, and no command is left over."""

import re

import latex2mathml.converter
import pytest

from chainrule.claims import claims

FORMULAS = {f"{c.id}{part}": text for c in claims() for part, text in (("", c.latex), (".note", c.note_latex)) if text}


def left_over(latex: str) -> list[str]:
    """Commands that the converter did not know."""
    found = latex2mathml.converter.convert(latex)
    return re.findall(r"\\\w+", found)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_becomes_mathml(name: str) -> None:
    assert left_over(FORMULAS[name]) == []


def test_commands_that_are_not_known_are_seen() -> None:
    assert left_over(r"\arg\min_x f") == [r"\arg"]
