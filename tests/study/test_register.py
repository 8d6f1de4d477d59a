"""The statements of a section in its chapter: verdicts are shown, and what was run is said."""

import pytest

from chainrule.claims import Claim, Derivative
from chainrule.study import register
from chainrule.study.model import Context

POINTS = [(0.5,), (2.0,)]


def claim(name: str, stated: object, other: object, **more: object) -> Claim:
    options: dict[str, object] = {"verdict": "true", "statement": "The slope of x^2.", "latex": "2x", **more}
    return Claim(
        id=f"9.3.{name}", lines=(1, 1), kind="derivative", judge=Derivative(lambda x: x * x, POINTS), stated=stated, other=other, **options  # type: ignore[arg-type]
    )  # fmt: skip


RIGHT = claim("right", lambda x: 2 * x, lambda x: x)
WRONG = claim("wrong", lambda x: x, lambda x: 2 * x)  # the verdict is true, the formula is not
SLOW = claim("slow", lambda x: x, lambda x: 2 * x, verdict="false", note="A factor 2 is missing.", slow=True)


@pytest.fixture(autouse=True)
def claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.claims.claims", lambda *sections: (RIGHT, WRONG, SLOW) if "9.3" in sections else ())


def test_a_full_run_hears_the_quick_witnesses() -> None:
    e = register.statements("9.3")(Context())
    assert [(s.id, s.verdict, s.witness) for s in e.statements] == [
        ("9.3.right", "true", "borne out"),
        ("9.3.wrong", "true", "not borne out"),
        ("9.3.slow", "false", "not run here"),
    ]
    assert not e.passed
    assert (e.numbers[0].value, e.numbers[0].expected) == (1, "2 ± 0.5")
    assert "3 statements about this section: 2 true, 1 false" in e.text
    assert "2 of the witnesses were run" in e.text


def test_a_quick_run_hears_none_and_says_so() -> None:
    e = register.statements("9.3")(Context(quick=True))
    assert {s.witness for s in e.statements} == {"not run here"}
    assert not e.numbers
    assert "No witness was run" in e.text
    assert "chainrule claims 9.3" in e.text


def test_a_section_without_statements() -> None:
    e = register.statements("9.8")(Context())
    assert not e.statements
    assert "nothing about this section yet" in e.text
