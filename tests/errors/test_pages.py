"""Each class is a page of the docs; what its examples say is run."""

import doctest
import importlib
import pkgutil
import re

import pytest

import chainrule as cr
from chainrule import errors

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
CLASSES = {c.__name__: c for c in errors.CLASSES}
BUILT_IN = (TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError)


@pytest.mark.parametrize("name", CLASSES)
def test_examples_do_what_they_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_ERRORS", raising=False)
    text = CLASSES[name].__doc__ or ""
    assert re.search(r"Fails:.*Traceback.*Works:", text, re.DOTALL)
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    out: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=out.append)
    assert not out, "".join(out)


def test_the_example_of_debug_nans() -> None:
    text = cr.debug_nans.__doc__ or ""
    test = doctest.DocTestParser().get_doctest(text, {}, "debug_nans", None, 0)
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test)
    assert result.attempted == 2
    assert result.failed == 0


def test_codes_and_titles_tell_errors_apart() -> None:
    assert len({c.code for c in errors.CLASSES}) == len(errors.CLASSES)
    assert len({c.title for c in errors.CLASSES}) == len(errors.CLASSES)
    assert all(re.fullmatch(r"CR\d{3}", c.code) for c in errors.CLASSES)


def test_every_error_class_is_listed_and_fits_a_built_in_one() -> None:
    for module in pkgutil.iter_modules(errors.__path__):
        importlib.import_module(f"chainrule.errors.{module.name}")

    def below(c: type) -> set[type]:
        return {c}.union(*map(below, c.__subclasses__()))

    assert {c for c in below(errors.ChainruleError) if c.__module__.startswith("chainrule.errors")} == set(errors.CLASSES)
    assert all(issubclass(c, BUILT_IN) for c in errors.CLASSES if c is not errors.ChainruleError)


def test_a_plain_message_gets_title_code_and_line() -> None:
    lines = str(errors.ShapeError("They differ.")).splitlines()
    assert lines[0].startswith("-- SHAPES DISAGREE ---")
    assert lines[0].endswith(" CR203")
    assert lines[1].startswith("In `test_a_plain_message_gets_title_code_and_line`, test_pages.py:")
    assert lines[2].endswith('str(errors.ShapeError("They differ.")).splitlines()')
    assert lines[3].count("^") == len('errors.ShapeError("They differ.")')
    assert lines[4] == "They differ."
