"""The two passes of backpropagation as an SVG: values go right along the top, derivatives go left along the bottom."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.nn.backprop import Backpropagation, BackpropagationLayer

_GAP, _MARGIN, _LINE, _TOP, _LETTER = 86, 24, 17, 40, 7.2
_LIGHT = "--paper:#fff;--ink:#1c2430;--soft:#6b7685;--edge:#cfd6df;--card:#f8f9fb;--on:#3b6fd4;--back:#b8641a"
_DARK = "--paper:#14181f;--ink:#e7ebf1;--soft:#93a0b2;--edge:#3b4654;--card:#1e242d;--on:#7aa5f7;--back:#e59a4c"
_RULES = {
    "text": "fill:var(--ink);font:12px ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif",
    ".m": "text-anchor:middle",
    ".s": "fill:var(--soft);font-size:10.5px",
    ".h": "font-weight:600",
    "text.on": "fill:var(--on)",
    "text.back": "fill:var(--back)",
    "rect.card": "fill:var(--card);stroke:var(--edge)",
    "path": "fill:none;stroke-width:1.6",
    "path.on": "stroke:var(--on)",
    "path.back": "stroke:var(--back)",
}
_STYLE = f".passes{{{_LIGHT}}}@media(prefers-color-scheme:dark){{.passes{{{_DARK}}}}}" + "".join(
    [f".passes {selector}{{{rule}}}" for selector, rule in _RULES.items()]
)


def _text(x: float, y: float, said: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(said)}</text>'


def _arrow(x: float, y: float, to: float, kind: str) -> str:
    tip = 6 if to > x else -6
    return f'<path class="{kind}" d="M{x:g} {y:g}H{to:g}M{to - tip:g} {y - 4:g}L{to:g} {y:g}L{to - tip:g} {y + 4:g}"/>'


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "1"


def _symbol(plain: str) -> str:
    return plain.replace("delta", "δ").replace("dL/d", "∂L/∂")


def _card(layer: BackpropagationLayer, x: float, symbols: float, size: tuple[float, float]) -> list[str]:
    out = [f'<rect class="card" x="{x:g}" y="{_TOP}" width="{size[0]:g}" height="{size[1]:g}" rx="8"/>']
    out.append(_text(x + size[0] / 2, _TOP + 20, f"{layer.number} {layer.name}", "m h"))
    y = _TOP + 20
    for kind, entries in (("on", layer.forward), ("back", layer.backward)):
        y += 8
        for e in entries:
            y += _LINE
            out.append(_text(x + 12, y, _symbol(e.plain_symbol), kind))
            out.append(_text(x + 22 + symbols, y, f"{_shape(e.shape)}   ‖·‖ {e.norm:.3g}", "s"))
    return out


def svg(table: Backpropagation) -> str:
    """The picture of a table."""
    rows = max(len(layer.forward) + len(layer.backward) for layer in table.layers)
    symbols = _LETTER * max(len(_symbol(e.plain_symbol)) for _, e in table.rows)
    width, height = 150 + symbols, 20 + 16 + _LINE * rows + 14
    onward, back = _TOP + 28 + _LINE * 1.5, _TOP + height - 22
    x, parts = float(_MARGIN + _GAP), [_text(_MARGIN, onward - 7, "x", "on"), _arrow(_MARGIN, onward, _MARGIN + _GAP - 6, "on")]
    for layer in table.layers:
        parts += _card(layer, x, symbols, (width, height))
        right = x + width
        last = layer is table.layers[-1]
        said = ("loss" if last else _symbol(f"a{layer.number}"), _symbol(f"dL/da{layer.number}"))
        parts += [_arrow(right + 6, onward, right + _GAP - 6, "on"), _arrow(right + _GAP - 6, back, right + 6, "back")]
        parts += [_text(right + _GAP / 2, onward - 7, said[0], "m on"), _text(right + _GAP / 2, back - 7, said[1], "m back")]
        x = right + _GAP
    parts.append(_text(x, onward + 4, f"L = {table.loss:.4g}", "h"))
    wide, high = x + 110, _TOP + height + _MARGIN
    title = f"Backpropagation through {len(table.layers)} layers"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="passes" viewBox="0 0 {wide:g} {high:g}" '
        f'width="{wide:g}" height="{high:g}" role="img">'
        f"<title>{title}</title><style>{_STYLE}</style>"
        f'<rect width="100%" height="100%" style="fill:var(--paper)"/>{"".join(parts)}</svg>'
    )
