"""Derivations as HTML: for notebooks, and as a page that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.explain.derive import Derivation
    from chainrule.explain.steps import Step

_STYLE = """
.cr{font:15px/1.5 ui-sans-serif,system-ui,"Segoe UI",Helvetica,Arial,sans-serif;max-width:60rem}
.cr details{margin:.6rem 0}.cr summary{cursor:pointer;font-weight:600}
.cr pre{background:rgba(127,127,127,.12);padding:.8rem;border-radius:6px;overflow:auto}
.cr table{border-collapse:collapse}.cr td,.cr th{padding:.25rem .8rem;text-align:left;border-bottom:1px solid rgba(127,127,127,.3)}
.cr table.lines td{border:0;padding:.15rem .3rem}.cr table.lines td:first-child{text-align:right}.cr .wide{overflow:auto}.cr td.rule{white-space:nowrap}
.cr .said{opacity:.75;font-size:13px}
"""
_MATH = "math{font-size:1.15em}"


def fragment(d: Derivation) -> str:
    """What a notebook shows: the formula, and the rest to unfold; formulas are left to the notebook's MathJax."""
    return _body(d, math, [math(d.value_latex), math(d.latex)])


def page(d: Derivation) -> str:
    """A page of its own; formulas are MathML where `latex2mathml` is installed, LaTeX elsewhere."""
    title = escape(f"The {d.kind} of {d.problem.title or d.function_name}")
    body = _body(d, mathml, [_lines(d.value_lines), _lines(d.lines)])
    dark = "@media(prefers-color-scheme:dark){body{background:#14181f;color:#e7ebf1}}"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>body{{margin:2rem auto;max-width:62rem;padding:0 1rem}}{_MATH}{dark}</style>\n<h1>{title}</h1>\n{body}\n</html>\n"
    )


def math(latex: str, block: bool = True) -> str:
    """LaTeX between dollar signs."""
    return f"$${escape(latex, quote=False)}$$" if block else f"${escape(latex, quote=False)}$"


def mathml(latex: str, block: bool = True) -> str:
    """LaTeX as MathML, or as LaTeX if it cannot be turned into that here."""
    try:
        from latex2mathml.converter import convert
    except ImportError:
        return math(latex, block)
    return convert(latex, display="block" if block else "inline")


def _lines(lines: Sequence[tuple[str, str]]) -> str:
    """Formulas one below the other, aligned at their signs of equality: MathML has no environment for it."""
    right = [mathml(r"= \displaystyle " + b, False) for _, b in lines]
    rows = [f"<tr><td>{mathml(a, False)}</td><td>{b}</td></tr>" for (a, _), b in zip(lines, right, strict=True)]
    return f'<div class="wide"><table class="lines">{"".join(rows)}</table></div>'


def _body(d: Derivation, to_html: Callable[..., str], formulas: Sequence[str]) -> str:
    parts = [f"<style>{_STYLE}</style>", '<div class="cr">', *formulas]
    if d.conventions:
        parts.append(f'<p class="said">{"; ".join(map(escape, d.conventions))}.</p>')
    parts.append(f'<p class="said">{escape(checked(d))}</p>')
    parts.append(_unfold("Step by step, from the result back", _table(d.steps, to_html)))
    parts.append(_unfold("Step by step, from the argument on", _table(d.forward_steps, to_html)))
    parts.append(_unfold("NumPy source", f"<pre>{escape(d.source)}</pre>"))
    parts.append(_unfold("Picture", f'<div style="overflow:auto">{d.svg}</div>'))
    parts.append("</div>")
    return "\n".join(parts)


def checked(d: Derivation) -> str:
    """What the formulas were compared with, in a sentence."""
    r = d.checks
    sizes = "; ".join(", ".join(f"{k} = {v}" for k, v in s.items()) for s in r.instances if s)
    out = f"Checked on {len(r.instances)} random instances{f' ({sizes})' if sizes else ''}: "
    out += f"within {r.automatic:.0e} of automatic differentiation"
    if r.quotient is not None:
        out += ", within their error of difference quotients"
    if r.complex_step is not None:
        out += f", within {r.complex_step:.0e} of the complex step"
    return out + "."


def _unfold(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def _table(steps: Sequence[Step], to_html: Callable[..., str]) -> str:
    rows = [
        f"<tr><td class='rule'>{escape(s.rule)}</td><td>{to_html(s.expression, False)}</td><td>{to_html(s.local, False) if s.local else ''}</td>"
        f"<td>{to_html(s.result, False)}</td></tr>"
        for s in steps
    ]
    return f"<div class='wide'><table><tr><th>rule</th><th>value</th><th>local derivative</th><th>so</th></tr>{''.join(rows)}</table></div>"
