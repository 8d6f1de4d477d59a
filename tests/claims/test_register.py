"""Every claim of the register: its witness bears the verdict out and refuses the opposite."""

from dataclasses import replace

import pytest

import chainrule.claims
from chainrule.claims import SECTIONS, Claim, claims, examine

ALL = claims()

# First and last line of each section in the notes; what is under "notation" may be anywhere.
RANGES = {
    "0": (10, 54), "9.1": (55, 166), "9.2": (167, 233), "9.3": (234, 355), "9.4": (356, 471), "9.5": (472, 563), "9.6": (564, 700),
    "9.7": (701, 755), "9.8": (756, 797), "summary": (798, 827), "notation": (10, 827),
}  # fmt: skip


@pytest.mark.parametrize("claim", [pytest.param(c, id=c.id, marks=[pytest.mark.slow] if c.slow else []) for c in ALL])
def test_witness_accepts_what_holds_and_refuses_what_does_not(claim: Claim) -> None:
    e = examine(claim)
    assert [e.witness.error, e.second.error] == ["", ""]
    assert e.witness.passed, f"the judge of what is stated found {dict(e.witness.numbers)}, which does not fit {claim.verdict}"
    assert e.second.passed, f"the judge of the other formula found {dict(e.second.numbers)}, which does not fit {claim.verdict}"


@pytest.mark.parametrize("section", SECTIONS)
def test_a_register_with_the_formulas_exchanged_is_refused(section: str) -> None:
    quick = [c for c in claims(section) if not c.slow][:4]
    exchanged = [examine(replace(c, stated=c.other, other=c.stated)) for c in quick]
    assert not [e.claim.id for e in exchanged if e.witness.passed or e.second.passed]


def test_ids_are_unique_and_begin_with_a_section() -> None:
    assert len({c.id for c in ALL}) == len(ALL)
    assert {c.section for c in ALL} <= set(SECTIONS)


def test_lines_are_those_of_the_section() -> None:
    def inside(c: Claim) -> bool:
        first, last = RANGES[c.section]
        return first <= c.lines[0] <= c.lines[1] <= last

    assert not [f"{c.id}: {c.lines}" for c in ALL if not inside(c)]


def test_claims_are_in_the_order_of_the_notes() -> None:
    keys = [(SECTIONS.index(c.section), c.lines) for c in ALL]
    assert keys == sorted(keys)


def test_what_is_not_true_says_what_would_be() -> None:
    wrong = [c for c in ALL if c.verdict != "true"]
    assert len(wrong) > 10
    assert not [c.id for c in wrong if not c.note.endswith((".", ")")) or c.other is None]


def test_statements_are_sentences_with_a_formula() -> None:
    assert not [c.id for c in ALL if not c.statement.endswith(".") or not c.latex or "$" in c.latex + c.note_latex]
    assert not [
        c.id for c in ALL if c.latex.count("{") != c.latex.count("}") or c.note_latex.count("{") != c.note_latex.count("}")
    ]


def test_every_judge_says_how_it_judges() -> None:
    assert not [c.id for c in ALL if not c.method or not c.witness]


def test_quick_and_slow_claims_in_each_section() -> None:
    for section in {c.section for c in ALL}:
        assert [c for c in claims(section) if not c.slow]


def test_modules_are_found_by_their_names() -> None:
    assert {c.section for c in claims("9.1", "9.2")} == {"9.1", "9.2"}
    with pytest.raises(ValueError, match=r"no section 9\.9"):
        chainrule.claims.claims("9.9")
