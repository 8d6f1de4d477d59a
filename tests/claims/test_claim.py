"""What a claim must be, and what judges do."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chainrule.claims import (
    Bound,
    Claim,
    Derivative,
    Finding,
    Matches,
    Proof,
    Same,
    above,
    as_data,
    examine,
    examine_all,
    interval,
    unique,
)


def square(x: Any) -> Any:
    return np.sum(x * x)


CASES = [(np.array([0.5, 2.0]),), (np.array([-1.0, 3.0]),)]
WRONG = Claim(
    id="1.2.square", lines=(3, 4), kind="derivative", verdict="false", statement="The derivative of the square is x.", latex="x",
    judge=Derivative(square, CASES), stated=lambda x: x, other=lambda x: 2 * x, note="A factor is missing.", note_latex="2x",
)  # fmt: skip
RIGHT = replace(WRONG, id="1.2.right", verdict="true", stated=WRONG.other, other=WRONG.stated, note="", note_latex="")


def test_false_claim_is_borne_out_with_its_correction() -> None:
    e = examine(WRONG)
    assert e.passed
    assert e.witness.numbers["largest difference"] == pytest.approx(0.5)
    assert "2" in e.diagnosis


@pytest.mark.parametrize("verdict", ["true", "conditional", "imprecise", "false", "not_checkable"])
def test_only_the_right_verdict_passes(verdict: Any) -> None:
    assert examine(replace(WRONG, verdict=verdict)).passed == (verdict != "true")
    assert examine(replace(RIGHT, verdict=verdict, note="No.")).passed == (verdict == "true")


def test_a_judge_that_says_yes_to_everything_passes_nothing() -> None:
    def yes(_: Any) -> Finding:
        """Is it so?"""
        return Finding(True)

    e = examine(replace(RIGHT, judge=yes))
    assert (e.witness.passed, e.second.passed) == (True, False)
    assert examine(replace(WRONG, judge=yes)).witness.passed is False


def test_an_error_in_a_judge_fails_that_claim_only() -> None:
    def broken(_: Any) -> Finding:
        raise RuntimeError("out of luck")

    first, second = examine_all([replace(RIGHT, judge=broken), WRONG])
    assert first.witness.error == "RuntimeError: out of luck"
    assert not first.passed
    assert second.passed


def test_a_judge_that_returns_something_else_is_told_so() -> None:
    def says_yes(_: Any) -> Any:
        return True

    assert examine(replace(RIGHT, judge=says_yes)).witness.error == "TypeError: a judge returns a Finding, not bool"


def test_a_doctor_who_fails_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def ill(self: Any, formula: Any) -> str:
        raise RuntimeError("ill")

    monkeypatch.setattr(Derivative, "diagnose", ill)
    e = examine(WRONG)
    assert (e.passed, e.diagnosis) == (True, "There is no diagnosis: RuntimeError: ill")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"verdict": "maybe"}, "verdict is one of"), ({"kind": "guess"}, "kind is one of"), ({"note": ""}, "needs a note")],
)
def test_claims_are_checked_when_made(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(WRONG, **change)


def test_ids_must_differ() -> None:
    with pytest.raises(ValueError, match=r"two claims have the id 1\.2\.square"):
        unique([WRONG, WRONG])


@pytest.mark.parametrize(("id", "section"), [("9.3.a.b", "9.3"), ("0.a", "0"), ("summary.a", "summary"), ("12.x", "12")])
def test_section_is_read_from_the_id(id: str, section: str) -> None:
    assert replace(WRONG, id=id).section == section


def test_data_have_the_agreed_keys() -> None:
    wrong, right = as_data(examine(WRONG)), as_data(examine(RIGHT))
    common = {"id", "section", "lines", "kind", "statement", "latex", "verdict", "witness"}
    assert common | {"correction", "correction_witness"} <= set(wrong)
    assert common <= set(right)
    assert {"correction", "condition", "correction_witness"}.isdisjoint(right)
    assert "condition" in as_data(examine(replace(WRONG, verdict="conditional")))
    assert set(wrong["witness"]) == set(wrong["correction_witness"]) == {"name", "passed", "seconds", "numbers"}
    assert wrong["correction"] == "A factor is missing. $2x$"
    json.dumps([wrong, right], allow_nan=False)


def test_numbers_that_json_lacks_become_words() -> None:
    data = as_data(examine(replace(WRONG, stated=lambda x: np.ones(7))))
    assert data["witness"]["numbers"]["largest difference"] == "inf"


def test_same_refuses_what_has_other_shapes_or_does_not_fit() -> None:
    judge = Same(lambda x: 2 * x, CASES)
    assert judge(lambda x: x + x).holds
    assert not judge(lambda x: np.sum(2 * x)).holds
    assert not judge(lambda x: np.ones((3, 3)) @ x).holds
    with pytest.raises(ValueError, match="something else"):
        judge(lambda x: (_ for _ in ()).throw(ValueError("something else")))


@pytest.mark.parametrize("order", [1, -1])
def test_nan_in_one_case_is_refused(order: int) -> None:
    def sometimes(x: Any) -> Any:
        return 2 * x if x[0] > 0 else x * np.nan

    assert not Same(lambda x: 2 * x, CASES[::order])(sometimes).holds
    assert not Bound(lambda x: x, [(1.0,), (np.nan,)][::order])(lambda x: 2.0).holds
    assert not Bound(lambda x: x, [(1.0,), (0.5,)][::order])(lambda x: 2.0 if x == 1 else np.nan).holds


def test_the_doctor_hears_the_case_in_which_the_formula_is_wrong() -> None:
    judge = Derivative(lambda p: np.mean(p**2), [(np.ones(1),), (np.arange(4.0),)])
    assert "1/n" in judge.diagnose(lambda p: 2 * p)


def test_proof_proves_or_finds_a_point() -> None:
    judge = Proof(lambda x, y: (x + y) ** 2, "x y")
    assert judge(lambda x, y: x**2 + 2 * x * y + y**2).holds
    assert judge(lambda x, y: x**2 + y**2).numbers["difference at a point"] > 0.1


def test_bound_is_broken_by_one_case_and_says_how_tight_it_is() -> None:
    judge = Bound(lambda x: x * x, [(1.0,), (2.0,), (3.0,)])
    assert judge(lambda x: 3 * x).numbers["largest measured / bound"] == pytest.approx(1.0)
    assert not judge(lambda x: 2.9 * x).holds
    assert not judge(lambda x: -1.0).holds


def test_matches_asks_its_question() -> None:
    def is_even(n: int) -> tuple[bool, dict[str, float]]:
        """Is it even?"""
        return n % 2 == 0, {"n": n}

    judge = Matches(is_even)
    assert (judge(4).holds, judge(3).holds, judge.name, judge.method) == (True, False, "is even", "Is it even?")


def test_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [low < 0 < high for _, low, high in (interval(rng.standard_normal(8), 0.9) for _ in range(2000))]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.03)  # four standard errors
    assert above(np.array([1.0, 1.1, 0.9]), 0.0).holds
    assert not above(np.array([1.0, 1.1, 0.9]), 0.95).holds


def test_shapes_that_do_not_fit_are_said_to_be_that() -> None:
    judge = Derivative(square, CASES)
    assert judge.diagnose(lambda x: np.ones((3, 3)) @ x) == "The shapes do not fit together."
