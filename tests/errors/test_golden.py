"""Every message, word for word.  After a deliberate change: ``UPDATE_GOLDEN=1 pytest tests/errors`` and read the difference."""

import importlib.util
import os
import pickle
import re
import traceback
from pathlib import Path

import pytest

import chainrule as cr

FOLDER = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("cases", FOLDER / "cases.py")
assert _spec is not None
assert _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)


def raised(name: str) -> cr.errors.ChainruleError:
    with pytest.raises(cr.errors.ChainruleError) as caught:
        cases.CASES[name]()
    return caught.value


@pytest.fixture(autouse=True)
def _long_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_ERRORS", raising=False)


@pytest.mark.parametrize("name", cases.CASES)
def test_message(name: str) -> None:
    golden = FOLDER / "golden" / f"{name}.txt"
    text = str(raised(name)) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", cases.CASES)
def test_message_is_for_people(name: str) -> None:
    e = raised(name)
    title, place, *_ = str(e).splitlines()
    assert re.fullmatch(rf"-- {e.title} -+ {e.code}", title)
    assert len(title) == 77
    assert re.search(r"cases\.py:\d+$", place)
    assert not re.search(r"tracer|aval|pytree", str(e), re.IGNORECASE)


@pytest.mark.parametrize("name", sorted(set(cases.CASES) - {"escaped"}))
def test_traceback_has_the_users_frames_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = str(Path(cr.__file__).parent)
    files = [f.filename for f in traceback.extract_tb(raised(name).__traceback__)]
    assert str(FOLDER / "cases.py") in files
    assert not [f for f in files if f.startswith(package)]
    monkeypatch.setenv("CHAINRULE_ERRORS", "full")
    files = [f.filename for f in traceback.extract_tb(raised(name).__traceback__)]
    assert [f for f in files if f.startswith(package)]


@pytest.mark.parametrize("name", cases.CASES)
def test_short_message_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_ERRORS", "short")
    e = raised(name)
    assert "\n" not in str(e)
    assert str(e).startswith(f"{e.code} {e.title.lower()}, cases.py:")


@pytest.mark.parametrize("name", ["einsum", "nan_forward", "axis"])
def test_errors_can_be_sent_between_processes(name: str) -> None:
    e = raised(name)
    copy = pickle.loads(pickle.dumps(e))
    assert type(copy) is type(e)
    assert str(copy) == str(e)


def test_no_golden_file_is_left_over() -> None:
    assert {p.stem for p in (FOLDER / "golden").glob("*.txt")} == set(cases.CASES)


def test_an_error_of_the_user_keeps_its_frames_and_loses_ours() -> None:
    def f(x: float) -> float:
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        cr.grad(f)(1.0)
    names = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    assert names == ["test_an_error_of_the_user_keeps_its_frames_and_loses_ours", "f"]
