"""The data of the study: columns on one scale, and the reader's own table in the place of ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.study import data, losses, regularisation, sensitivity, stochastic
from chainrule.study.data import breast_cancer, classification, diabetes, made, regression
from chainrule.study.model import Context

rng = np.random.default_rng(0)
X = rng.standard_normal((240, 4)) * [1, 10, 0.1, 3] + 5
Y = X @ [1.0, 0.2, -3.0, 0.0] + rng.standard_normal(240)


def test_columns_on_one_scale_and_constants_left_out() -> None:
    given = made("mine", np.column_stack([X, np.full(240, 7.0)]), Y, "abcde")
    assert given.features == list("abcd")
    np.testing.assert_allclose([given.x.mean(0), given.x.std(0)], [np.zeros(4), np.ones(4)], atol=1e-12)
    assert (abs(given.y.mean()), given.y.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    assert given.size == "240 rows with 4 features"


def test_large_tables_are_thinned() -> None:
    many = rng.standard_normal((data.MOST_ROWS + 100, 1))
    given = made("many", many, many[:, 0], "a")
    assert len(given.x) == len(given.y) == data.MOST_ROWS
    np.testing.assert_allclose(given.x[:, 0], given.y, atol=1e-12)


def test_split_leaves_nothing_out() -> None:
    given = diabetes()
    x, y, x_test, y_test = given.split(3)
    assert len(x_test) == round(0.3 * 442)
    together = np.concatenate([np.column_stack([x, y]), np.column_stack([x_test, y_test])])
    np.testing.assert_array_equal(
        together[np.lexsort(together.T)], np.column_stack([given.x, given.y])[np.lexsort(np.column_stack([given.x, given.y]).T)]
    )


def test_own_table_takes_the_place_of_ours() -> None:
    amounts = made("mine", X, Y, "abcd", own=True)
    assert regression(Context(data=amounts)) is amounts
    assert classification(Context(data=amounts)) is breast_cancer()
    classes = made("mine", X, np.digitize(Y, [3.0, 6.0]), "abcd", ["low", "middle", "high"], own=True)
    assert regression(Context(data=classes)) is diabetes()
    two = classification(Context(data=classes))
    most = int(np.argmax(np.bincount(classes.y)))
    assert list(two.classes or ()) == [f"not {(classes.classes or ())[most]}", (classes.classes or ())[most]]
    np.testing.assert_array_equal(two.y, classes.y == most)


@pytest.mark.parametrize(
    "run", [stochastic.linear_regression, losses.what_it_asks, pytest.param(regularisation.the_path, marks=pytest.mark.slow)]
)
def test_experiments_run_on_amounts_of_ones_own(run: object) -> None:
    e = run(Context(quick=True, data=made("mine.csv", X, Y, "abcd", own=True)))  # type: ignore[operator]
    assert "mine.csv" in e.title
    assert not [(n.label, n.value, n.expected) for n in e.numbers if not n.passed]


def test_experiments_run_on_classes_of_ones_own() -> None:
    mine = made("mine.csv", X, (Y.mean() < Y).astype(int), "abcd", ["no", "yes"], own=True)
    e = sensitivity.what_it_owes(Context(quick=True, data=mine))
    assert "mine.csv" in e.text
    complete = e.numbers[0]
    assert complete.passed, complete


@pytest.mark.slow
def test_own_table_from_the_command_line(tmp_path: Path) -> None:
    lines = [
        "size,colour,price",
        *(f"{a:.4f},{c},{p:.4f}" for a, c, p in zip(X[:, 0], np.tile(["red", "blue"], 120), Y, strict=True)),
    ]
    (tmp_path / "houses.csv").write_text("\n".join(lines))
    command = [
        sys.executable,
        "-m",
        "chainrule",
        "study",
        "9.1",
        "--quick",
        "--data",
        "houses.csv",
        "--target",
        "price",
        "--out",
        "o",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "o/chapter-9.1.html").read_text()
    assert "Linear regression on houses.csv" in page
    assert "colour=blue" in page
