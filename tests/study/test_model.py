"""What a study is made of: numbers that know whether they are right, and how they are written."""

import math

import pytest

from chainrule.study.model import Context, Experiment, Result, at_least, at_most, equals, text


@pytest.mark.parametrize(
    ("x", "written"),
    [
        (0, "0"),
        (-3.0, "−3"),
        (1797, "1,797"),
        (0.96527, "0.9653"),
        (123456.7, "123,457"),
        (3.21e-9, "3.21 × 10⁻⁹"),
        (1e-10, "10⁻¹⁰"),
        (-2e-7, "−2 × 10⁻⁷"),
        (2.5e12, "2.5 × 10¹²"),
        (math.nan, "not a number"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers_for_people(x: float, written: str) -> None:
    assert text(x) == written


def test_numbers_know_whether_they_are_right() -> None:
    assert equals("a", 0.5, 0.5001, 1e-3).passed
    assert not equals("a", 0.5, 0.502, 1e-3).passed
    assert at_most("a", 1.0, 1.0).passed
    assert not at_most("a", 1.1, 1.0).passed
    assert at_least("a", 1.0, 1.0).passed
    assert not at_least("a", 0.9, 1.0).passed
    for number in (equals("a", math.nan, 1.0, 1.0), at_most("a", math.nan, 1.0), at_least("a", math.nan, 1.0)):
        assert not number.passed


def test_digits_resolve_the_tolerance() -> None:
    number = equals("rate", 0.99960063, 0.99960064, 2e-7)
    assert number.shown != equals("rate", 0.99960033, 0.99960064, 2e-7).shown
    assert number.expected.startswith("0.9996006")


def test_key_number_is_the_one_to_look_at() -> None:
    good, bad = at_most("good", 0.0, 1.0), at_most("bad", 2.0, 1.0)
    assert Result("9.1", "one two", 0.0, Experiment("t", "", [good, good])).key is good
    result = Result("9.1", "one two", 0.0, Experiment("t", "", [good, bad]))
    assert result.key is bad
    assert not result.passed
    assert result.id == "9.1-one-two"
    assert not Result("9.1", "list", 0.0, Experiment("t", "", [])).judged
    failed = Result("9.1", "one two", 0.0, error="ValueError: no")
    assert (failed.title, failed.key, failed.passed, failed.judged) == ("One two", None, False, True)


def test_progress_goes_from_nothing_to_all() -> None:
    told: list[float] = []
    context = Context(tell=told.append)
    for part in range(2):
        assert list(context.part(part, 2).steps(100)) == list(range(100))
    assert told == sorted(told)
    assert told[0] == 0
    assert 0.9 < told[-1] < 1
    assert 50 <= len(told) <= 200
