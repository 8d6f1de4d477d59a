"""What checks say, word for word: read for tone. ``CHAINRULE_UPDATE_GOLDEN=1`` writes the files anew."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from explain_gradients import CASES, PAIRS

GOLDEN = Path(__file__).parent / "golden"


def reports() -> Iterator[tuple[str, cr.Check]]:
    """Every planted mistake, pairs, and some verdicts of other kinds."""
    for c in CASES:
        for m in c.mistakes:
            yield f"{c.name}: {m}", cr.check(c.f, c.make(m), *c.args, argnums=c.argnums, seconds=120)
    for name, bugs in PAIRS:
        c = next(c for c in CASES if c.name == name)
        if name != "attention":  # more than one pair explains it, found as time allows
            yield f"{name}: {' and '.join(bugs)}", cr.check(c.f, c.make(*bugs), *c.args, argnums=c.argnums, seconds=120)
    x = np.array([0.0, 1.5, -2.0])
    relu = lambda x: np.sum(np.maximum(x, 0))
    yield "kink, right", cr.check(relu, lambda x: np.where(x == 0, 0.25, x > 0), x)
    yield "kink, wrong", cr.check(relu, lambda x: np.where(x == 0, 3.0, x > 0), x)
    yield "outside the domain", cr.check(lambda x: np.sum(np.log(x)), lambda x: 1 / x, x)
    yield "NaN", cr.check(relu, lambda x: x * np.nan, x)
    yield "a number too few", cr.check(relu, lambda x: (x > 0)[:2] * 1.0, x)


def text(c: cr.Check) -> str:
    """Numbers that differ from machine to machine in the last digits are left out."""
    return re.sub(r"relative error is [0-9.e+-]+", "relative error is ...", str(c))


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    return {name: text(c) for name, c in reports()}


def test_there_are_many(said: dict[str, str]) -> None:
    assert len(said) >= 60


def test_the_words(said: dict[str, str]) -> None:
    path = GOLDEN / "diagnoses.txt"
    whole = "\n\n".join(f"### {name}\n{body}" for name, body in said.items()) + "\n"
    if os.environ.get("CHAINRULE_UPDATE_GOLDEN"):
        path.write_text(whole)
    assert whole == path.read_text()


def test_the_tone(said: dict[str, str]) -> None:
    """Short plain sentences, no jargon of ours, no line that runs on."""
    for name, body in said.items():
        assert not re.search(r"tracer|aval|pytree|cotangent|\bVar\(|contract\[", body), name
        assert body.count("\n") <= 12, name
        assert all(len(line) <= 330 for line in body.splitlines()), name
