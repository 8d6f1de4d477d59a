"""``chainrule derive``: formulas and functions in, LaTeX, source, steps, files and JSON out, mistakes said in a line."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import main

LEAST = ["mean((X @ w - y)**2)", "--wrt", "w", "--shape", "X=n,d", "w=d", "y=n"]
GRADIENT = r"\frac{\partial f}{\partial w} = \frac{2}{n} X^{\top} \left(X w - y\right)"
MODULE = """
import numpy as np
def loss(w, X, y):
    return np.mean((X @ w - y) ** 2)
def example():
    rng = np.random.default_rng(0)
    return rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5)
def noise(w):
    return np.sum(w * np.random.default_rng().normal(size=w.shape))
number = 5
def fails(w):
    raise RuntimeError("no luck")
def leaves(w):
    raise SystemExit(0)
"""

Out = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    return str(path)


def test_a_formula(capsys: Out) -> None:
    assert main(["derive", *LEAST, "--latex"]) == 0
    assert capsys.readouterr().out == GRADIENT + "\n"
    assert main(["derive", *LEAST]) == 0
    said = capsys.readouterr().out
    assert GRADIENT in said
    assert "the factor 1/n is in the derivative too" in said
    assert "Checked on 3 random instances" in said


def test_latex_in(capsys: Out) -> None:
    assert main(["derive", r"\|X w - y\|_2^2", *LEAST[1:], "--latex"]) == 0
    assert capsys.readouterr().out == r"\frac{\partial f}{\partial w} = 2 X^{\top} \left(X w - y\right)" + "\n"


def test_a_function(file: str, capsys: Out) -> None:
    for more in (["--shape", "X=n,d", "w=d", "y=n"], ["--example", file.replace(".py", ".py:example")]):
        assert main(["derive", f"{file}:loss", "--wrt", "w", *more, "--source"]) == 0
        space: dict[str, object] = {}
        exec(capsys.readouterr().out, space)
        w, X, y = np.ones(2), np.arange(8.0).reshape(4, 2), np.ones(4)
        np.testing.assert_allclose(space["gradient"](w, X, y), X.T @ (X @ w - y) / 2)  # type: ignore[operator]


def test_layout_order_and_several_arguments(capsys: Out) -> None:
    assert main(["derive", *LEAST, "--layout", "numerator", "--latex"]) == 0
    assert capsys.readouterr().out.endswith("\\frac{2}{n} \\left(X w - y\\right)^{\\top} X\n")
    assert main(["derive", *LEAST, "--order", "2", "--latex"]) == 0
    assert capsys.readouterr().out.endswith("= \\frac{2}{n} X^{\\top} X\n")
    assert main(["derive", LEAST[0], "--wrt", "w", "X", *LEAST[3:], "--latex"]) == 0
    assert capsys.readouterr().out.count("partial f") == 2


def test_steps(capsys: Out) -> None:
    assert main(["derive", *LEAST, "--steps"]) == 0
    back = capsys.readouterr().out.splitlines()
    assert main(["derive", *LEAST, "--steps", "forward"]) == 0
    forward = capsys.readouterr().out.splitlines()
    assert back[0].startswith("  1  start:  f")
    assert forward[0].startswith("  1  start:  w")
    assert "linear map" in back[-2]
    assert "linear map" in forward[1]


def test_files(tmp_path: Path, capsys: Out) -> None:
    assert main(["derive", *LEAST, "--svg", str(tmp_path / "a.svg")]) == 0
    assert main(["derive", *LEAST, "--html", str(tmp_path / "a.html")]) == 0
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out.count("wrote") == 2


def test_json(capsys: Out) -> None:
    assert main(["derive", *LEAST, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["latex"] == GRADIENT
    assert data["kind"] == "gradient"
    assert data["wrt"] == ["w"]
    assert data["shapes"] == {"X": ["n", "d"], "w": ["d"], "y": ["n"]}
    assert data["checks"]["automatic"] < 1e-12
    assert len(data["steps"]) > 4
    assert "def gradient(X, w, y):" in data["source"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mean((X @ w - y)**2", *LEAST[1:]], "never closed"),
        (["x**2", "--wrt", "z"], "wrt names 'z', and the arguments are x"),
        (["x**2", "--wrt", "x", "--shape", "x"], "--shape takes NAME=SIZES"),
        (["x**2", "--wrt", "x", "--svg", "/nowhere/at/all.svg"], "cannot be written"),
        (["x**2", "--example", "a.py:b"], "--example is for functions"),
        (["nothere.py:loss", "--shape", "w=n"], "names no function"),
        (["FILE:nothing", "--shape", "w=n"], "has no function 'nothing'"),
        (["FILE:number", "--shape", "w=n"], "has no function 'number'"),
        (["FILE:loss"], "a function needs --shape"),
        (["FILE:noise", "--shape", "w=n"], "different results for the same arguments"),
        (["", "--wrt", "x"], "empty"),
        (["FILE:fails", "--shape", "w=n"], "in fails: RuntimeError: no luck"),
        (["FILE:leaves", "--shape", "w=n"], "in leaves: SystemExit: 0"),
        (["FILE:loss", "--example", "FILE:leaves"], "chainrule: TypeError: leaves() missing"),
    ],
)
def test_mistakes(words: list[str], says: str, file: str, capsys: Out) -> None:
    assert main(["derive", *[w.replace("FILE", file) for w in words]]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert not told.out
    assert "Traceback" not in told.err
