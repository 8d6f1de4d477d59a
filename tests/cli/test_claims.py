"""The command that runs claims."""

import json
from pathlib import Path

import pytest

from chainrule.cli import main

MINE = """
import numpy as np
from chainrule.claims import Claim, Derivative

def loss(w):
    return np.sum(w**3)

CLAIMS = [
    Claim(
        id="week3.cube", lines=(1, 1), kind="derivative", verdict="{verdict}", statement="The derivative of the cube.", latex="3w^2",
        judge=Derivative(loss, [(np.array([1.0, 2.0]),)]), stated=lambda w: 3 * w**2, other=lambda w: w**2, note="No.",
    ),
]
"""


def test_a_section_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "9.2", "--verdict", "imprecise", "--quick"]) == 0
    out, err = capsys.readouterr()
    assert "9.2.product" in out
    assert "9.2.delta.hidden" not in out
    assert "2 imprecise. 2 of 2 borne out" in out
    assert err == ""


def test_one_claim_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "9.2.gradient.bias"]) == 0
    out = capsys.readouterr().out
    for part in (
        "lines 207-209",
        "Verdict: conditional",
        r"\sum_i \delta_l^{(i)}",
        "The doctor of derivatives says: The gradient for b2",
    ):
        assert part in out


def test_json_is_a_list_with_the_agreed_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "9.2.chain", "9.2.product", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [c["id"] for c in found] == ["9.2.chain.efficient", "9.2.chain.weight", "9.2.product"]
    for c in found:
        assert {"id", "section", "lines", "kind", "statement", "latex", "verdict", "witness"} <= set(c)
        assert c["witness"]["passed"] is True
        assert ("correction_witness" in c) == (c["verdict"] != "true")


def test_markdown_escapes_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "0.gradient", "--markdown"]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.replace(r"\|", "").count("|") == 5
    assert r"\Vert" in row


def test_claims_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own_claims_right.py"
    file.write_text(MINE.format(verdict="true"))
    assert main(["claims", str(file)]) == 0
    assert "week3.cube" in capsys.readouterr().out


def test_a_wrong_verdict_is_told_and_makes_the_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own_claims_wrong.py"
    file.write_text(MINE.format(verdict="false"))
    assert main(["claims", str(file)]) == 1
    assert "✗ week3.cube: the witness accepts the statement; the witness refuses the correction" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "AttributeError"),
        ("1 / 0", "ZeroDivisionError"),
        ("CLAIMS = [1]", "needs a list CLAIMS"),
        (MINE.format(verdict="maybe"), "verdict is one of"),
        (MINE.format(verdict="true") + "\nCLAIMS *= 2", "two claims have the id week3.cube"),
    ],
)
def test_a_file_without_usable_claims_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own_claims_broken.py"
    file.write_text(text)
    assert main(["claims", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_unknown_names_are_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "9.2.produkt"]) == 2
    assert "did you mean 9.2.product?" in capsys.readouterr().err
    assert main(["claims", "no_such_file.py"]) == 2
    assert main(["claims", "9.2.product", "--verdict", "true"]) == 2
    assert "no claim is left" in capsys.readouterr().err


def test_the_file_in_the_guide_runs_as_the_guide_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "claims.md").read_text(encoding="utf-8")
    code, said = (guide.split(f"```{language}\n")[1].split("```")[0] for language in ("python", "console"))
    file = tmp_path / "my_claims.py"
    file.write_text(code, encoding="utf-8")
    assert main(["claims", str(file)]) == 0
    out = capsys.readouterr().out
    for line in said.splitlines()[1:-1]:
        assert line.strip() in out
    assert main(["claims", str(file), "--json"]) == 0
    gradient = json.loads(capsys.readouterr().out)[0]
    assert "1/n" in gradient["diagnosis"]
