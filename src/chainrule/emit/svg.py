"""A picture of a graph: inputs on top, a node per equation, results at the bottom.  No program but this draws it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from chainrule.emit.labels import PLUMBING, Label, label, name_label, type_label, width
from chainrule.emit.layout import Point, layout
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.ir.hints import Of
from chainrule.ir.names import Names
from chainrule.ir.show import lit_text, number_text

MARGIN = 24.0
SIGN, CAPTION, SMALL = 16.0, 10.5, 11.0
_LIGHT = {
    "paper": "#fff", "ink": "#1c2430", "soft": "#6b7685", "line": "#b4bdc9", "card": "#f8f9fb",
    "edge": "#cfd6df", "in": "#e8f0fe", "inline": "#3b6fd4", "back": "#fdf1e4", "backline": "#d9822b",
    "out": "#e6f5ec", "outline": "#2f8f5b", "heat": "#d6456b",
}  # fmt: skip
_DARK = {
    "paper": "#14181f", "ink": "#e7ebf1", "soft": "#93a0b2", "line": "#56626f", "card": "#1e242d",
    "edge": "#3b4654", "in": "#1b2a45", "inline": "#7aa5f7", "back": "#35271a", "backline": "#e59a4c",
    "out": "#17301f", "outline": "#5cc98c", "heat": "#f27a99",
}  # fmt: skip
_SERIF = '"STIX Two Text","Latin Modern Roman","Cambria Math",Cambria,"Times New Roman",serif'
_SANS = 'ui-sans-serif,system-ui,"Segoe UI",Helvetica,Arial,sans-serif'
_RULES = {
    ".p": "fill:var(--paper)",
    "path": "fill:none;stroke:var(--line);stroke-width:1.3",
    ".e.back": "stroke:var(--backline);opacity:.65",
    ".h": "fill:var(--line);stroke:none",
    ".h.back": "fill:var(--backline)",
    "rect.n": "fill:var(--card);stroke:var(--edge);stroke-width:1.2",
    ".in rect.n": "fill:var(--in);stroke:var(--inline)",
    ".back rect.n": "fill:var(--back);stroke:var(--backline)",
    ".out rect.n": "fill:var(--out);stroke:var(--outline);stroke-width:1.8",
    ".small rect.n": "fill:var(--paper);stroke-dasharray:3 2",
    ".lit rect.n": "fill:var(--paper);stroke-dasharray:3 2",
    ".heat": "fill:var(--heat)",
    ".rail": "fill:var(--edge)",
    "text": f"fill:var(--ink);font-family:{_SERIF};text-anchor:middle",
    "text.c": f"fill:var(--soft);font-family:{_SANS}",
    "text.a": "text-anchor:start",
    ".i": "font-style:italic",
}


@dataclass
class Node:
    """A box and what stands in it."""

    kind: str
    runs: Label
    caption: Label
    title: str
    notes: list[str] = field(default_factory=list[str])
    heat: float | None = None
    size: Point = (0.0, 0.0)
    beside: float = 0.0

    def measure(self) -> Node:
        """Work out its size."""
        small = self.kind in ("small", "lit")
        inner = max(width(self.runs, SMALL if small else SIGN), width(self.caption, CAPTION))
        beside = max([width([(n, "")], CAPTION) for n in self.notes], default=0.0)
        self.size = (max(inner + (16 if small else 26), 34.0), 20.0 if small else 42.0)
        self.beside = beside + 14 if self.notes else 0.0
        return self


def to_svg(
    g: Graph, values: Mapping[Var, Any] | None = None, sensitivities: Mapping[Var, Any] | None = None, title: str | None = None
) -> str:
    """The picture as one SVG document.

    Args:
        g: the graph.
        values: arrays or numbers that variables hold, summarised beside their nodes.
        sensitivities: derivatives with respect to variables (or their norms), drawn as bars on a logarithmic scale.
        title: its name.

    Returns:
        The text, the same for equal graphs; light or dark as the reader's system asks.
    """
    nodes, edges = _Scene(g, values or {}, sensitivities or {}).build()
    return _drawn(nodes, edges, title or "Computation graph", _described(g))


class _Scene:
    """Nodes and edges of a graph."""

    def __init__(self, g: Graph, values: Mapping[Var, Any], sensitivities: Mapping[Var, Any]) -> None:
        self.graph = g
        self.names = Names(g)
        self.values = values
        self.norms = {v: float(np.linalg.norm(np.asarray(x, float).ravel())) for v, x in sensitivities.items()}
        self.nodes: list[Node] = []
        self.edges: dict[tuple[int, int], bool] = {}
        self.at: dict[Var, int] = {}
        self.back: set[Var] = set()

    def build(self) -> tuple[list[Node], dict[tuple[int, int], bool]]:
        """All of it."""
        used = {a for e in self.graph.eqns for a in e.ins} | set(self.graph.outs)
        for v in self.graph.ins:
            if v in used:
                name = self.names(v)
                node = Node("in", name_label(name), [(type_label(v.type), "")], f"input {name}: {v.type}")
                self.at[v] = self.add(node, [v])
        for e in self.graph.eqns:
            self.equation(e)
        for k, a in enumerate(self.graph.outs, 1):
            name = "result" if len(self.graph.outs) == 1 else f"result {k}"
            own = self.known(a) if isinstance(a, Var) and a not in self.graph.ins else None
            runs, caption = (name_label(own), name) if own else ([(name, "")], type_label(a.type))
            self.join(a, self.add(Node("out", runs, [(caption, "")], f"{name}: {a.type}")), False)
        return self.nodes, self.edges

    def add(self, node: Node, outs: Sequence[Var] = ()) -> int:
        """One node, with what is known about its variables beside it."""
        for v in outs:
            if v in self.values:
                node.notes.append(summary(self.values[v]))
            if v in self.norms:
                node.notes.append(f"‖∂‖ {_short(self.norms[v])}")
                node.heat = self.heat(self.norms[v])
        self.nodes.append(node.measure())
        return len(self.nodes) - 1

    def heat(self, norm: float) -> float:
        """Between 0 and 1, on a logarithmic scale over all that is given."""
        logs = [np.log(x) for x in self.norms.values() if x > 0 and np.isfinite(x)]
        if not logs or norm <= 0 or not np.isfinite(norm):
            return 0.0 if norm <= 0 else 1.0
        low, high = min(logs), max(logs)
        return 1.0 if high == low else float(0.08 + 0.92 * (np.log(norm) - low) / (high - low))

    def equation(self, e: Eqn) -> None:
        """The node of an equation, with edges from its operands."""
        hint = e.outs[0].hint
        back = isinstance(hint, Of) or (not hint and any(a in self.back for a in e.ins if isinstance(a, Var)))
        if back:
            self.back.update(e.outs)
        kind = "small" if e.prim in PLUMBING else "back" if back else "op"
        known = [v for v in e.outs if v in self.names.given]
        caption: Label = [(type_label(e.outs[0].type), "")]
        if known:
            caption = [*name_label(self.names(known[0])), ("  ", ""), *caption]
        node = Node(kind, label(e, self.known), caption if kind != "small" else [], self.title(e))
        me = self.add(node, e.outs)
        for v in e.outs:
            self.at[v] = me
        for a in e.ins:
            self.join(a, me, back)

    def known(self, v: Var) -> str | None:
        """The name the user gave it."""
        return self.names(v) if v in self.names.given else None

    def title(self, e: Eqn) -> str:
        """What a pointer over the node says: the equation, and the user's line."""
        outs = ", ".join(f"{self.names(v)}: {v.type}" for v in e.outs)
        ins = ", ".join(lit_text(a) if isinstance(a, Lit) else self.names(a) for a in e.ins)
        where = f"\n{e.where}  {e.where.text.strip()}" if e.where is not None else ""
        return f"{outs} = {e.prim}({ins}){where}"

    def join(self, a: Atom, to: int, back: bool) -> None:
        """An edge; numbers are written in the node that reads them, arrays are small nodes of their own."""
        if isinstance(a, Var):
            self.edges[self.at[a], to] = back
        elif not a.splat or self.nodes[to].kind == "out":
            text = number_text(a.value) if a.splat else type_label(a.type)
            self.edges[self.add(Node("lit", [(text, "")], [], f"constant {a.type}")), to] = back


def _described(g: Graph) -> str:
    rows = ", ".join(dict.fromkeys(e.prim for e in g.eqns)) or "nothing"
    return f"{len(g.ins)} inputs, {len(g.eqns)} equations ({rows}), {len(g.outs)} results."


def summary(x: Any) -> str:
    """A value in a few characters: the number, or mean and spread."""
    x = np.asarray(x)
    if x.dtype.kind == "b":
        return f"{x.mean():.0%} true" if x.size != 1 else str(bool(x.ravel()[0])).lower()
    if x.size == 1:
        return _short(x.ravel()[0])
    return f"{_short(x.mean())} ± {_short(x.std())}" if x.size else "empty"


def _short(x: Any) -> str:
    return f"{x:.3g}".replace("-", "−")


# --- drawing ------------------------------------------------------------------------------------------------------------------


def _drawn(nodes: Sequence[Node], edges: Mapping[tuple[int, int], bool], title: str, description: str) -> str:
    plan = layout([n.size for n in nodes], list(edges), [n.beside for n in nodes])
    body = [_edge(route, back) for route, back in zip(plan.routes, edges.values(), strict=True)]
    body += [_node(n, c) for n, c in zip(nodes, plan.centres, strict=True)]
    w, h = plan.width + 2 * MARGIN, plan.height + 2 * MARGIN
    text = "\n".join(body)
    mark = f"cr{zlib.crc32((title + text).encode()):08x}"
    size = f'viewBox="0 0 {_n(w)} {_n(h)}" width="{_n(w)}" height="{_n(h)}" style="max-width:100%;height:auto"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{mark}" role="img" aria-labelledby="{mark}t {mark}d" {size}>',
        f'<title id="{mark}t">{escape(title)}</title>',
        f'<desc id="{mark}d">{escape(description)}</desc>',
        f"<style>{_style(mark)}</style>",
        '<rect class="p" width="100%" height="100%" rx="10"/>',
        f'<g transform="translate({_n(MARGIN)} {_n(MARGIN)})">',
        text,
        "</g>",
        "</svg>",
        "",
    ])  # fmt: skip


def _style(mark: str) -> str:
    """The rules of this picture alone, for it may stand beside others in one page."""
    light, dark = (";".join(f"--{k}:{v}" for k, v in colours.items()) for colours in (_LIGHT, _DARK))
    rules = "\n".join(f"#{mark} {where}{{{what}}}" for where, what in _RULES.items())
    return f"#{mark}{{{light}}}\n@media (prefers-color-scheme:dark){{#{mark}{{{dark}}}}}\n{rules}"


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _edge(points: Sequence[Point], back: bool) -> str:
    """A smooth curve, upright at every point it runs through, with a head."""
    (x, y), path = points[0], ""
    path = f"M{_n(x)} {_n(y)}"
    end = (points[-1][0], points[-1][1] - 5)
    for k, (px, py) in enumerate(steps := [*points[1:-1], end], 1):
        if abs(px - x) < 0.05:
            if k == len(steps) or abs(steps[k][0] - x) >= 0.05:
                path += f"V{_n(py)}"
        else:
            bend = (py - y) * 0.5
            path += f"C{_n(x)} {_n(y + bend)} {_n(px)} {_n(py - bend)} {_n(px)} {_n(py)}"
        x, y = px, py
    head = f"M{_n(x)} {_n(y + 5)}l-3.4 -6.2h6.8z"
    kind = " back" if back else ""
    return f'<path class="e{kind}" d="{path}"/><path class="h{kind}" d="{head}"/>'


def _node(n: Node, centre: Point) -> str:
    (middle, y), (box, h) = centre, n.size
    left = middle - box / 2
    radius = h / 2 if n.kind in ("in", "small", "out") else 8 if n.kind != "lit" else 4
    parts = [f"<title>{escape(n.title)}</title>", _rect("n", left, y - h / 2, box, h, radius)]
    if n.kind in ("small", "lit"):
        parts.append(_text(n.runs, middle, y + 3.8, SMALL, "c"))
    else:
        parts.append(_text(n.runs, middle, y - 1.5 if n.caption else y + 5, SIGN, ""))
        parts.append(_text(n.caption, middle, y + 14, CAPTION, "c"))
    if n.heat is not None:
        rail = box * 0.6 if n.kind == "in" else box - 16
        start = middle - rail / 2
        parts.append(_rect("rail", start, y + h / 2 + 3, rail, 3, 1.5))
        parts.append(_rect("heat", start, y + h / 2 + 3, rail * n.heat, 3, 1.5))
    first = y + 3.8 - (len(n.notes) - 1) * 7
    parts += [_text([(t, "")], left + box + 7, first + 14 * k, CAPTION, "c a") for k, t in enumerate(n.notes)]
    return f'<g class="{n.kind}">{"".join(parts)}</g>'


def _rect(kind: str, x: float, y: float, w: float, h: float, radius: float) -> str:
    return f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}" rx="{_n(radius)}"/>'


def _text(runs: Label, x: float, y: float, size: float, kind: str) -> str:
    """Runs of text; lowered and raised ones are moved by hand, as baseline-shift is not drawn everywhere."""
    out, shift = "", 0.0
    for text, style in runs:
        want = {"sub": 0.28, "sup": -0.38}.get(style, 0.0) * size
        attributes = f' dy="{_n(want - shift)}"' if want != shift else ""
        attributes += f' font-size="{_n(size * 0.72)}"' if style in ("sub", "sup") else ' class="i"' if style == "i" else ""
        shift = want
        body = escape(text).replace("  ", "\u2002")
        out += f"<tspan{attributes}>{body}</tspan>" if attributes else body
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}">{out}</text>'
