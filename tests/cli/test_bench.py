"""chainrule bench: every row runs and agrees with JAX, figures come as a drawing or as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.cli.bench import Row, Time, drawn, timed, unit
from chainrule.cli.workloads import WORK

SMALL = ["P6s", "P11", "call", "tree"]
LONG = sorted(set(WORK) - set(SMALL))


def _agrees(name: str) -> None:
    row = timed(name, WORK[name](), 1, 0.0, True)
    assert row.difference is not None
    assert row.difference < (1e-4 if name in ("P2", "P3", "P8", "P9", "P9x") else 1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_rows_agree_with_jax(name: str) -> None:
    _agrees(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_long_rows_agree_with_jax(name: str) -> None:
    _agrees(name)


def test_figures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "call", "P6s", "--quick", "--alone", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in told["rows"]] == ["call", "P6s"]
    for r in told["rows"]:
        t = r["times"]["native"]
        assert 0 < t["best"] <= t["median"]
        assert r["ratio"] is None
    assert told["rows"][0]["times"]["native"]["best"] < told["rows"][1]["times"]["native"]["best"]
    assert f"NumPy {np.__version__}".lower() in told["machine"].lower()


def test_a_drawing_is_to_scale() -> None:
    times = {"native": Time(1e-3, 2e-3, 1e-3, 0.1), "jax": Time(4e-3, 5e-3, 4e-3, 0.5), "torch": Time(2e-3, 3e-3, 2e-3, 0.2)}
    row = Row("P0", "nothing", 1.5, "at least 1 ms", 0.0, times)
    bars = [line.count("█") for line in drawn(row).split("\n")]
    assert bars[1:4] == [11, 44, 22]
    assert "2.00 times as fast as the best peer; aimed at 1.5" in drawn(row)


def test_an_unknown_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "P99"]) == 2
    assert "no row is called P99; there are P1, P2" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(2.5, "2.5 s"), (3.21e-3, "3.21 ms"), (4e-6, "4 us"), (5.67e-8, "56.7 ns")])
def test_durations(seconds: float, text: str) -> None:
    assert unit(seconds) == text
