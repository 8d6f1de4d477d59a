"""Words and formulas as HTML: prose with mathematics in it, LaTeX as MathML."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from functools import lru_cache

from latex2mathml.converter import convert
from markupsafe import Markup, escape

from chainrule.study.model import text


def mathml(latex: str, display: str = "block") -> Markup:
    """A formula as MathML, with its LaTeX as the text for those who cannot see it."""
    if aligned := re.fullmatch(r"\s*\\begin{aligned}(.*)\\end{aligned}\s*", latex, re.DOTALL):
        lines = [line.replace("&", " ").strip() for line in aligned[1].split(r"\\")]
        return Markup("").join(_math(line, display) for line in lines if line)
    return _math(latex, display)


@lru_cache(4096)
def _math(latex: str, display: str) -> Markup:
    made = convert(latex, display=display).replace("<mo>/</mo>", '<mo lspace="0" rspace="0">/</mo>')
    return Markup(made.replace("<math ", f'<math alttext="{escape(latex)}" ', 1))


def words(source: str) -> Markup:
    """Prose as HTML: blank lines part paragraphs, `code` is code, $x$ is mathematics."""
    paragraphs = [p for p in source.split("\n\n") if p.strip()]
    return Markup("").join(Markup("<p>{}</p>").format(inline(" ".join(p.split()))) for p in paragraphs)


def inline(source: str) -> Markup:
    """A line of prose as HTML."""
    out = Markup("")
    parts = re.split(r"\$([^$]+)\$([^\s\w]*)", source)
    for k, part in enumerate(parts):
        if k % 3 == 1:  # a formula, and the punctuation that must stay on its line
            out += Markup('<span class="together">{}{}</span>').format(mathml(part, "inline"), parts[k + 1])
        if k % 3:
            continue
        for j, piece in enumerate(part.split("`")):
            out += Markup("<code>{}</code>").format(piece) if j % 2 else escape(piece)
    return out


def cell(x: object) -> str:
    """What stands in a cell of a table."""
    return text(float(x)) if isinstance(x, int | float) and not isinstance(x, bool) else str(x)
