"""Published identities of matrix calculus: all of ours are right, and the page says what the code finds."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from chainrule.explain.formula import Formula
from chainrule.explain.identities import COOKBOOK, IDENTITIES, LEARNING, MAGNUS, Identity

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def board() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scoreboard", ROOT / "tools" / "scoreboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scoreboard"] = module
    spec.loader.exec_module(module)
    return module


def test_there_are_a_hundred_and_each_has_a_source() -> None:
    assert len(IDENTITIES) >= 100
    assert (*COOKBOOK, *MAGNUS, *LEARNING) == IDENTITIES
    assert len({(i.source, i.name) for i in IDENTITIES}) == len(IDENTITIES)
    assert all(i.source for i in IDENTITIES)
    assert len(COOKBOOK) >= 50


def ours_is_right(board: ModuleType, i: Identity) -> None:
    r = board.row(i, with_sympy=False)
    assert r.gap < 1e-8, f"{i.name}: {r.gap}"
    assert board._line(r).rsplit("|", 3)[0] in board.PAGE.read_text(), f"{i.name}: write docs/scoreboard.md anew"


@pytest.mark.parametrize("i", IDENTITIES[::5], ids=lambda i: f"{i.source}, {i.name}")
def test_ours_is_right(board: ModuleType, i: Identity) -> None:
    ours_is_right(board, i)


@pytest.mark.slow
def test_all_of_ours_are_right(board: ModuleType) -> None:
    for i in IDENTITIES:
        ours_is_right(board, i)


@pytest.mark.slow
def test_the_page_says_what_is_found(board: ModuleType) -> None:
    rows = [board.row(i) for i in IDENTITIES]
    assert board.page(rows) == board.PAGE.read_text()


def test_a_wrong_derivative_would_be_seen(board: ModuleType) -> None:
    i = next(i for i in IDENTITIES if i.name == "ridge regression")
    assert board.row(i, with_sympy=False).ours == "right"
    for wrong in (f"2*({i.published})", f"-({i.published})", "X' @ (X @ w - y)", "X' @ (X @ w - y) + 1.000001*lam*w"):
        assert board.row(i._replace(published=wrong), with_sympy=False).ours == "wrong"


def test_a_function_that_is_not_derived_is_not_right(board: ModuleType) -> None:
    i = IDENTITIES[0]._replace(formula="log(-1 - norm(X))")
    assert (board.row(i, with_sympy=False).gap, board.row(i, with_sympy=False).ours) == (np.inf, "wrong")


def test_sympy_is_heard_fairly(board: ModuleType) -> None:
    """What SymPy gets right counts as right, in its own layout; what it gets wrong or leaves undone does not."""
    said = {
        i.name: board.row(i).sympy for i in IDENTITIES if i.name in ("(81)", "(49)", "linear map", "softmax regression", "(57)")
    }
    assert said == {
        "(81)": "right",
        "linear map": "right",
        "(49)": "left undone",
        "(57)": "wrong",
        "softmax regression": "has no such function",
    }


def test_the_published_formulas_are_those_of_the_books() -> None:
    """Spot checks by hand, so that the list itself is not only compared with us."""
    rng = np.random.default_rng(0)
    named = {i.name: Formula(i.published) for i in IDENTITIES}
    X, A, w, y = rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=3)
    np.testing.assert_allclose(named["(49)"]({"X": X}), np.linalg.det(X) * np.linalg.inv(X).T)
    np.testing.assert_allclose(named["(100)"]({"X": X, "A": A}), A.T)
    np.testing.assert_allclose(named["least squares"]({"X": X, "w": w, "y": y}), X.T @ (X @ w - y))
