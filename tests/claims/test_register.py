"""Every claim of the register: its witness bears the verdict out and refuses the opposite."""

from dataclasses import replace
from pathlib import Path

import pytest

import chainrule.claims
from chainrule.claims import SECTIONS, Claim, claims, examine
from chainrule.claims.page import markdown

ALL = claims()

# First and last line of each section in the notes; what is under "notation" may be anywhere.
RANGES = {
    "0": (10, 54), "9.1": (55, 166), "9.2": (167, 233), "9.3": (234, 355), "9.4": (356, 471), "9.5": (472, 563), "9.6": (564, 700),
    "9.7": (701, 755), "9.8": (756, 797), "summary": (798, 827), "notation": (10, 827),
}  # fmt: skip

# Where the notes say something: every formula, bullet, row of a table and line that explains a symbol.
STATEMENTS = """
14 15 16 17 25 26 27 28 29 30 31 32 38-40 43 44 45 46 50 51 52 53 59 61-63 65 69 70 71 72 76 78 79-81 84-86 91
92-94 97 98-100 102-104 111 112 113 114 115 121 123-125 127 131 132 133 134 139-141 143 146 147 148 152 153-155 157
162 163 164 165 171 173-175 177 181 182-184 186-188 192 193-195 197 198-200 203-205 207-209 214-216 220 221 222 223
228 229 230 231 232 241-243 246-248 251 252 253 258-260 263-265 268-270 273-275 280-282 285-290 293 294 295 300-305
308-313 316 317 318 324 325 326 327 331 332 333 334 341-343 345 350-352 354 363-365 368-370 373-375 378 379 380
385-387 390-392 395-397 400 401 402 407-409 412 413 414 421-426 431-433 436-438 442 443 444 451-453 455 460-462 464
468 469 470 481-483 486-488 491-493 495-497 500-502 506 507 508 509 518-520 523-525 529 530 531 540-542 545-547 551
552 553 559 560 561 562 571-573 578-580 585 586 587 594-596 598-600 602-604 606-608 613-615 618-620 622 629-631
633-635 637-639 641-643 647 648 649 656-658 661-663 666-668 670 675-677 684-686 691-693 697 698 699 707 708-710 712
716-718 722-724 730-732 736-738 744-746 748 752-754 762-764 768-770 774-776 778-780 786-788 792-794 796 802 803 804
805 806 807 808 809 813 814 815 816 817 818 819 824 825 826 827
"""


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


def test_nothing_that_is_said_is_left_out() -> None:
    spans = [(int(a), int(b or a)) for a, _, b in (word.partition("-") for word in STATEMENTS.split())]
    assert len(spans) == 231
    assert not [s for s in spans if not any(c.lines[0] <= s[1] and s[0] <= c.lines[1] and c.section != "notation" for c in ALL)]


def test_the_page_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")
    fresh = markdown((c, "") for c in ALL)
    assert page.startswith(fresh.rstrip("\n")), "run: chainrule claims --markdown > docs/claims.md"


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
