"""Grading: whatever a submission does, it decides about its own grade only, and only by its arrays."""

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.testing.grade import grade, read

LOSS = """
import numpy as np
def loss(w, X, y):
    return np.mean((X @ w - y) ** 2)
def example():
    rng = np.random.default_rng(0)
    return rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5)
"""
ASSIGNMENT = """
seconds = 4
megabytes = 1500
[[task]]
name = "least squares"
loss = "loss.py:loss"
gradient = "grad"
shapes = {w = "d", X = "n,d", y = "n"}
points = 2
"""
GOOD = "import numpy as np\ndef grad(w, X, y):\n    return 2 * X.T @ (X @ w - y) / len(y)\n"
SUBMISSIONS = {
    "a_good": (GOOD, "right", ""),
    "b_no_mean": (GOOD.replace(" / len(y)", ""), "wrong", "1/n"),
    "c_loops": ("def grad(w, X, y):\n    while True: pass\n", "wrong", "ran out of time"),
    "d_memory": ("import numpy as np\ndef grad(w, X, y):\n    return [np.ones(10**9) for _ in range(99)]\n", "wrong", "MemoryError"),
    "e_crashes": ("import os\ndef grad(w, X, y):\n    os.abort()\n", "wrong", "process ended"),
    "f_leaves": ("import os\ndef grad(w, X, y):\n    os._exit(0)\n", "wrong", "process ended"),
    "g_junk": (("import os\ndef grad(w, X, y):\n    for fd in range(3, 30):\n        try: os.write(fd, b'\\x07' + bytes(7) + b'{\"a\":1}')\n"
               "        except OSError: pass\n    return w\n"), "wrong", "no answer"),
    "h_changes_inputs": (GOOD.replace("return", "w *= 0; return"), "wrong", "in place"),
    "i_syntax": ("def grad(:\n", "wrong", "SyntaxError"),
    "j_text": ("def grad(w, X, y):\n    return 'right'\n", "wrong", "no number"),
    "k_tampers": (("import glob, os\nimport chainrule.explain.check as c\nc.check = c.Check\nhere = {here!r}\nfor p in glob.glob(here + '/*'):\n"
                  "    try: open(p, 'w').write('')\n    except OSError: pass\nfor p in os.listdir('/proc'):\n    if p.isdigit() and int(p) > 1 and p != str(os.getpid()):\n"
                  "        try: os.kill(int(p), 0) or os.kill(os.getppid(), 9) if os.getppid() else None\n        except OSError: pass\n"
                  "def grad(w, X, y):\n    return -w\n"), "wrong", ""),
    "l_good_too": (GOOD, "right", ""),
}  # fmt: skip


@pytest.fixture
def classroom(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "loss.py").write_text(LOSS)
    (tmp_path / "assignment.toml").write_text(ASSIGNMENT)
    folder = tmp_path / "submissions"
    folder.mkdir()
    for name, (text, _, _) in SUBMISSIONS.items():
        (folder / f"{name}.py").write_text(text.replace("{here!r}", repr(str(folder))))
    return tmp_path / "assignment.toml", folder


def test_every_submission_gets_its_own_grade(classroom: tuple[Path, Path]) -> None:
    assignment, folder = classroom
    grades = {g.file: g for g in grade(assignment, folder)}
    assert list(grades) == [f"{name}.py" for name in SUBMISSIONS]
    for name, (_, verdict, words) in SUBMISSIONS.items():
        g = grades[f"{name}.py"]
        assert (g.verdict, g.points) == (verdict, 2.0 if verdict == "right" else 0.0), g
        assert words in g.message, g
        assert g.seconds < 12


def test_assignments_are_checked(classroom: tuple[Path, Path]) -> None:
    assignment, _ = classroom
    assignment.write_text('loss = "loss.py:loss"\ngradient = "grad"\nexample = "loss.py:example"\n')
    tasks, limits = read(assignment)
    assert [t.gradient for t in tasks] == ["grad"]
    assert limits["seconds"] > 0
    for text, words in [("x = [", "no TOML"), ('loss = "loss.py:loss"', "lacks gradient"),
                        ('loss = "loss.py:nothing"\ngradient = "g"\nshapes = {}', "no function")]:  # fmt: skip
        assignment.write_text(text)
        with pytest.raises(ValueError, match=words):
            read(assignment)


# --- the command ----------------------------------------------------------------------------------------------------------------


def test_the_command(classroom: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assignment, folder = classroom
    loss = str(assignment.parent / "loss.py")
    (folder / "good.py").write_text(GOOD)
    (folder / "bad.py").write_text(GOOD.replace("2 *", "-2 *"))
    shapes = ["--shape", "w=d", "X=n,d", "y=n"]
    assert main(["check", f"{loss}:loss", f"{folder}/good.py:grad", *shapes]) == 0
    assert capsys.readouterr().out.startswith("Right.")
    assert main(["check", f"{loss}:loss", f"{folder}/bad.py:grad", "--example", f"{loss}:example", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["diagnoses"][0]["kind"] == "sign"
    assert main(["check", f"{loss}:loss", "2*X'@(X@w-y)/n", *shapes]) == 0
    (folder / "noise.py").write_text(
        "import numpy as np\ndef loss(w):\n    return np.sum(w) * np.random.default_rng().normal()\ndef grad(w):\n    return w\n"
    )
    assert main(["check", f"{folder}/noise.py:loss", f"{folder}/noise.py:grad", "--shape", "w=3"]) == 2
    capsys.readouterr()
    for wrong in (["check"], ["check", "x.py:f", "y.py:g"], ["check", f"{loss}:loss", f"{folder}/good.py:grad"],
                  ["check", f"{loss}:loss", f"{folder}/good.py:grad", "--shape", "w=d"]):  # fmt: skip
        assert main(wrong) == 2
        assert capsys.readouterr().err.startswith("chainrule: ")


@pytest.mark.parametrize("body", ["raise RuntimeError('no luck')", "raise SystemExit(0)"])
def test_code_that_fails_or_leaves_is_neither_right_nor_wrong(
    body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status 0 means right: no code of the user's can make the command say so by leaving the interpreter."""
    file = tmp_path / "code.py"
    file.write_text(f"def f(x):\n    return (x ** 2).sum()\ndef g(x):\n    {body}\n")
    for loss, gradient in (("g", "f"), ("f", "g"), ("g", "g")):
        assert main(["check", f"{file}:{loss}", f"{file}:{gradient}", "--shape", "x=n"]) in ((2,) if loss == "g" else (1, 2))
    file = tmp_path / "fails.py"
    file.write_text(body)
    assert main(["check", f"{file}:f", f"{file}:g", "--shape", "x=n"]) == 2
    assert "cannot be imported" in capsys.readouterr().err


def test_the_printed_test_runs(
    classroom: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment, folder = classroom
    loss = str(assignment.parent / "loss.py")
    (folder / "solution.py").write_text(GOOD)
    assert main(["check", f"{loss}:loss", f"{folder}/solution.py:grad", "--shape", "X=n,d", "y=n", "w=d", "--pytest"]) == 0
    text = capsys.readouterr().out
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(assignment.parent))
    space: dict[str, object] = {}
    exec(text, space)
    space["test_grad_is_the_gradient_of_loss"]()  # type: ignore[operator]
    assert isinstance(space["np"], type(np))
