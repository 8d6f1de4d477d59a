"""The formulas, letter for letter: read as a mathematician would.  ``CHAINRULE_UPDATE_GOLDEN=1`` writes the file anew."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from latex2mathml.converter import convert

import chainrule as cr
from derivation_cases import derived

PATH = Path(__file__).parent / "golden" / "derivations.txt"


def test_the_formulas() -> None:
    whole = "\n\n".join(f"### {name}\n{d.value_latex}\n{d}" for name, d in derived().items()) + "\n"
    if os.environ.get("CHAINRULE_UPDATE_GOLDEN"):
        PATH.write_text(whole)
    assert whole == PATH.read_text()


def test_they_are_latex() -> None:
    """They convert to MathML, every delimiter has its other half, no letter has two subscripts or superscripts."""
    for name, d in derived().items():
        for text in (d.latex, d.value_latex):
            convert(text)  # raises on unbalanced braces and on double scripts
            assert text.count(r"\left") == text.count(r"\right"), name
            assert not re.search(r"_\{[^{}]*\}_|\^\{[^{}]*\}\^|_._|\^.\^", text), name


def test_they_are_short() -> None:
    """No bracket around a bracket, none around a letter, no plus before a minus, no number with ten digits."""
    for name, d in derived().items():
        text = d.latex
        for start, inner in brackets(text):
            function = re.search(r"(\\[a-zA-Z]+|\})$", text[:start].rstrip())  # det(X), softmax_rows(X)
            assert function or not re.fullmatch(r"\\?[a-zA-Z]+(_\{\w+\})?|\d+", inner), f"{name}: {inner}"
            assert (0, inner[6:-7]) not in list(brackets(inner)), f"{name}: {inner}"
        assert not re.search(r"[-+] -|\d\.\d{8}", text), name


def brackets(text: str) -> Iterator[tuple[int, str]]:
    """Where each pair of brackets starts, and what stands in it."""
    opened: list[int] = []
    for m in re.finditer(r"\\left\(|\\right\)", text):
        if m[0] == r"\left(":
            opened.append(m.start())
        else:
            start = opened.pop()
            yield start, text[start + 6 : m.start()].strip()


def test_each_line_was_checked() -> None:
    for name, d in derived().items():
        r = d.checks
        assert len(r.instances) == 3, name
        assert r.automatic < 1e-10, name
        assert d.order == 2 or r.quotient is not None, name
        sizes = [tuple(s.values()) for s in r.instances if s]
        assert all(len(set(s)) == len(s) for s in sizes), name


def test_the_conventions_are_named() -> None:
    said = lambda f, **k: " | ".join(cr.derive(f, shapes={"X": "n,d", "w": "d", "y": "n"}, **k).conventions)
    assert "mean" in said("mean((X @ w - y)**2)", wrt="w")
    assert "1/n" in said("mean((X @ w - y)**2)", wrt="w")
    assert "half" in said("sum((X @ w - y)**2)/2", wrt="w")
    assert "denominator layout" in said("mean((X @ w - y)**2)", wrt="w")
    assert "numerator layout" in said("mean((X @ w - y)**2)", wrt="w", layout="numerator")
    assert "element by element" in said("sum(sigmoid(X @ w)*y)", wrt="w")
    assert "axes of the result first" in said("X @ w - y", wrt="w")
