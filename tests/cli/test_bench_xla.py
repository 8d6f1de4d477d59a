"""chainrule bench --engine xla: the same results as the program by hand, and figures as text and as JSON."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("jax")

from chainrule.cli import main
from chainrule.cli.bench import Time
from chainrule.cli.bench_xla import Overhead, Scaling, overhead, scaling, shown, told


@pytest.mark.parametrize("name", ["P6s", "tree"])
def test_results_are_those_of_the_program_by_hand(name: str) -> None:
    found = overhead(name, 1, 0.0)
    assert found.difference < 1e-12
    assert all(t.best > 0 for t in found.times.values())


def test_figures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "call", "--engine", "xla", "--quick", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["name"] == "call"
    assert row["on the device"][0] == row["times"]["chainrule"]["best"] / row["times"]["jax"]["best"]


def test_an_unknown_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "P99", "--engine", "xla"]) == 2
    assert "no row is called P99" in capsys.readouterr().err


def test_drawn_to_the_letter() -> None:
    times = {"jax": Time(1e-3, 2e-3, 4e-3, 1), "chainrule": Time(1.1e-3, 2e-3, 3e-3, 1)}
    times |= {f"{name}, numpy": Time(1e-3, 1e-3, 1e-3, 1) for name in list(times)}
    assert shown(Overhead("P0", "nothing", 0.0, times)).splitlines()[1] == (
        "  on the device        jax     1 ms  chainrule   1.1 ms  ratio 1.100 (of medians 1.000, of processor time 0.750)"
    )
    assert told(Scaling(128, 1, {1: 100.0, 2: 150.0})).endswith("2 processes       150/s  ratio 1.50")


@pytest.mark.slow
def test_two_processes_beside_one() -> None:
    found = scaling(1024, 1, 1)
    assert min(found.rates.values()) > 0
