"""Pictures are valid, the same each time, complete, and nothing in them overlaps."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.emit.layout import layout
from chainrule.emit.svg import summary, to_svg
from functions import FUNCTIONS
from row_samples import samples

SVG = "{http://www.w3.org/2000/svg}"
SAMPLES = {s.row: s for s in samples()}


def drawn(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    named = (root.get("aria-labelledby") or "").split()
    assert [e.tag for e in root.iter() if e.get("id") in named] == [f"{SVG}title", f"{SVG}desc"]
    return root


def groups(root: ET.Element, kind: str) -> list[ET.Element]:
    return [e for e in root.iter(f"{SVG}g") if e.get("class") == kind]


def texts(root: ET.Element) -> list[str]:
    return ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]


def boxes(root: ET.Element) -> list[tuple[float, float, float, float]]:
    found = [r for r in root.iter(f"{SVG}rect") if r.get("class") == "n"]
    return [tuple(float(r.get(k) or "nan") for k in ("x", "y", "width", "height")) for r in found]  # type: ignore[misc]


@pytest.mark.parametrize("row", SAMPLES)
def test_row(row: str) -> None:
    root = drawn(to_svg(SAMPLES[row].graph))
    assert len(groups(root, "in")) == len(SAMPLES[row].args)
    assert len(groups(root, "out")) == len(SAMPLES[row].graph.outs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient(name: str) -> None:
    f, args = FUNCTIONS[name]
    g = cr.trace(cr.grad(f))(*args)
    root = drawn(g.to_svg())
    nodes = [n for kind in ("op", "back", "small") for n in groups(root, kind)]
    assert len(nodes) == len(g.eqns)
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(boxes(root), 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay


def test_same_bytes_each_time() -> None:
    f, args = FUNCTIONS["attention"]
    assert len({cr.trace(cr.grad(f))(*args).to_svg() for _ in range(3)}) == 1


def test_what_is_written_in_it() -> None:
    def f(W: Any, x: Any, bias: Any) -> Any:
        h = np.tanh(W @ x + bias)
        return np.sum(np.maximum(h, 0) * 2)

    root = drawn(cr.trace(f)(np.ones((2, 3)), np.ones(3), np.ones(2)).to_svg(title="A <neuron> & more"))
    assert root.findtext(f"{SVG}title") == "A <neuron> & more"
    shown = texts(root)
    assert {"W", "x", "bias", "W x", "+", "tanh", "max(·, 0)", "× 2", "Σi", "result", "f64 2×3"} <= set(shown)
    assert any(t.startswith("h") and "f64 2" in t for t in shown)
    titles = [t.text or "" for t in root.iter(f"{SVG}title")]
    assert any("= tanh(" in t and "np.tanh(W @ x + bias)" in t for t in titles)


def test_backward_part_is_marked() -> None:
    f, args = FUNCTIONS["network"]
    assert not groups(drawn(cr.trace(f)(*args).to_svg()), "back")
    assert len(groups(drawn(cr.trace(cr.grad(f))(*args).to_svg()), "back")) >= 6


def test_values_and_sensitivities() -> None:
    g = cr.trace(lambda x: np.sum(np.exp(x)))(np.zeros(4))
    (x,), (e, s) = g.ins, g.eqns
    values = {x: np.zeros(4), e.out: np.array([1.0, 3.0]), s.out: 4.0}
    root = drawn(g.to_svg(values, {x: np.full(4, 2.0), e.out: 1e-3, s.out: 0.0}))
    assert {"0 ± 0", "2 ± 1", "4", "‖∂‖ 4", "‖∂‖ 0.001", "‖∂‖ 0"} <= set(texts(root))
    heat, rail = ([float(r.get("width") or 0) for r in root.iter(f"{SVG}rect") if r.get("class") == k] for k in ("heat", "rail"))
    largest, small, none = (a / b for a, b in zip(heat, rail, strict=True))
    assert largest == 1.0
    assert 0 < small < 0.1
    assert none == 0


@pytest.mark.parametrize(
    ("x", "said"), [(True, "true"), (np.array([True, False]), "50% true"), (3, "3"), (np.zeros(0), "empty"), (-0.5, "−0.5")]
)
def test_summary(x: Any, said: str) -> None:
    assert summary(x) == said


def test_graph_without_equations() -> None:
    root = drawn(cr.trace(lambda x: x)(1.0).to_svg())
    assert (len(groups(root, "in")), len(groups(root, "out"))) == (1, 1)


def test_large_graph() -> None:
    def f(x: Any) -> Any:
        for _ in range(60):
            x = np.tanh(x * 0.5) + x
        return np.sum(x)

    g = cr.trace(cr.grad(f))(np.ones(3))
    assert len(g.eqns) > 200
    assert len(boxes(drawn(g.to_svg()))) >= len(g.eqns)


# --- layout --------------------------------------------------------------------------------------------------------------------

SIZE = (40.0, 20.0)


def test_edges_run_downwards_between_their_nodes() -> None:
    rng = np.random.default_rng(0)
    edges = sorted({(int(a), int(b)) for a, b in (sorted(rng.choice(40, 2, replace=False)) for _ in range(80))})
    plan = layout([SIZE] * 40, edges)
    starts = {(round(x, 6), round(y, 6)) for (x, y), *_ in plan.routes}
    assert all((round(plan.centres[a][0], 6), round(plan.centres[a][1] + 10, 6)) in starts for a, _ in edges)
    ends = {k: plan.centres[b] for k, (_, b) in enumerate(edges)}
    for k, route in enumerate(plan.routes):
        ys = [y for _, y in route]
        assert ys == sorted(ys)
        assert route[-1][1] == pytest.approx(ends[k][1] - 10)
        assert abs(route[-1][0] - ends[k][0]) <= 20
    for (ax, ay), (bx, by) in combinations(plan.centres, 2):
        assert abs(ax - bx) >= 40 or abs(ay - by) >= 20
    assert all(20 <= x <= plan.width - 20 and 10 <= y <= plan.height - 10 for x, y in plan.centres)


def test_crossings_are_undone() -> None:
    # Two chains drawn crosswise: 0 -> 3, 1 -> 2.
    plan = layout([SIZE] * 4, [(0, 3), (1, 2)])
    (a, b, c, d) = (x for x, _ in plan.centres)
    assert (a < b) == (d < c)


def test_chain_is_upright() -> None:
    plan = layout([SIZE, (80.0, 20.0), SIZE, (10.0, 20.0)], [(0, 1), (1, 2), (2, 3)])
    assert len({round(x, 6) for x, _ in plan.centres}) == 1
    assert [y for _, y in plan.centres] == sorted(y for _, y in plan.centres)


def test_inputs_stand_near_their_readers() -> None:
    # 0 -> 1 -> 2 -> 3, and 4 is read by 3 alone.
    plan = layout([SIZE] * 5, [(0, 1), (1, 2), (2, 3), (4, 3)])
    assert plan.centres[4][1] == plan.centres[2][1]
