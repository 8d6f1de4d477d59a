"""Pictures: the same bytes every time, ids of their own, and no state left behind."""

import re

import matplotlib as mpl
import numpy as np
import pytest

import chainrule as cr
from chainrule import plot
from chainrule.plot.curves import thinned


def run() -> cr.analysis.ConvergenceReport:
    """A run with a theorem."""
    f = lambda x: x[0] ** 2 + 4 * x[1] ** 2
    return cr.analysis.convergence_report(cr.minimize(f, np.ones(2), learning_rate=0.1), minimum=0.0, minimiser=np.zeros(2))


PICTURES = {
    "curves": lambda: plot.curves(
        {"a": ([1, 2, 3], [1.0, 0.1, 0.01])}, "t", "x", "y", bands={"a": ([0.9, 0.09, 0.009], [2, 0.2, 0.02])}
    ),
    "measured_against_theory": lambda: plot.measured_against_theory(
        {"m": ([1, 2], [1, 2], [0.1, 0.1])}, {"th": ([1, 2], [1, 2])}, "t", "x", "y"
    ),
    "steps_on_curve": lambda: plot.steps_on_curve(np.square, (-1, 1), {"a": np.array([1.0, 0.5])}, "t"),
    "contours_with_paths": lambda: plot.contours_with_paths(
        lambda x, y: x**2 + y**2, (-1, 1), (-1, 1), {"a": np.eye(2)}, "t", minimum=(0, 0)
    ),
    "decision": lambda: plot.decision(lambda p: p[:, 0] > p[:, 1], np.eye(2), np.array([0, 1]), "t"),
    "network": lambda: plot.network([np.array([[1.0, -2.0]])], [np.array([1.0, 2.0]), np.array([3.0])], "t", ["in", "out"]),
    "heat": lambda: plot.heat({"a": np.array([[1.0, -2.0]]), "zero": np.zeros((2, 2))}, "t", "note"),
    "predicted": lambda: plot.predicted(np.array([1.0, 2.0, 3.0]), np.array([1.1, 1.9, 3.2]), "t", "y"),
    "bars": lambda: plot.bars(
        {"s": {"a": 1.0, "b": -2.0}, "t": {"a": 0.5, "b": 1.0}}, "t", "x", {"s": {"a": 0.1, "b": 0.2}, "t": {"a": 0.1, "b": 0}}
    ),
    "points": lambda: plot.points({"a": np.eye(2), "b": -np.eye(2)}, "t", span=2.0),
    "written": lambda: plot.written(np.eye(2), ["0", "<"], [0, 7], "t"),
    "value_map": lambda: plot.value_map(
        np.array([[0.0, 1.0], [0.5, 0.2]]), "t", {(0, 0): "hole"}, {(0, 1): "left", (1, 0): "up"}
    ),
    "attention": lambda: plot.attention({"one": np.eye(3), "two": np.zeros((3, 3))}, "t", ["1", "2", "3"], ["a", "b", "c"]),
    "convergence": lambda: plot.convergence(run()),
    "sheet": lambda: plot.sheet({"one": np.ones((5, 3, 3)), "two": np.zeros((2, 4, 4))}, "t", 3),
    "map_of_codes": lambda: plot.map_of_codes(np.eye(2), np.array([0, 7]), "t", ["z1", "z2"]),
    "pictures": lambda: plot.pictures([np.eye(3)] * 7, [str(k) for k in range(7)], "t"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_same_bytes_and_own_ids(name: str) -> None:
    before = dict(mpl.rcParams)
    svg = plot.svg(PICTURES[name]()[0], name)
    assert svg == plot.svg(PICTURES[name]()[0], name)
    assert dict(mpl.rcParams) == before
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ')
    assert svg.endswith("</svg>")
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(set(ids)) == len(ids)
    assert all(i.startswith(f"{name}-") for i in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) == set(ids)
    assert not re.search(r"\bnan\b|\binf\b", svg)


def test_every_function_is_drawn_here() -> None:
    assert set(PICTURES) <= set(plot.__all__)
    assert set(plot.__all__) - set(PICTURES) == {"COLOURS", "SERIES", "figure", "styled", "svg", "thinned"}


def test_titles_of_others_are_only_text() -> None:
    svg = plot.svg(plot.curves({"a & b": ([1, 2], [1, 2])}, "<script>", "x", "y")[0], "x")
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


@pytest.mark.parametrize("count", [1, 299, 300, 301, 30_001])
def test_thinned_keeps_both_ends(count: int) -> None:
    kept = list(thinned(count))
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert kept == sorted(set(kept))
    assert len(kept) <= 300
