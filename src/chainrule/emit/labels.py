"""What stands in the nodes of a picture: short runs of text, some of them raised, lowered or slanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from chainrule.emit.algebra import ordered
from chainrule.emit.source import cut
from chainrule.ir.graph import Eqn, Lit, Var
from chainrule.ir.show import number_text, param_text
from chainrule.ir.types import ArrayType, short
from chainrule.prims import TABLE

Run = tuple[str, str]
"""Text and style: plain "", slanted "i", lowered "sub", raised "sup"."""
Label = list[Run]

_GREEK = dict(
    alpha="α", beta="β", gamma="γ", delta="δ", epsilon="ε", eps="ε", zeta="ζ", eta="η", theta="θ", iota="ι", kappa="κ", lam="λ",
    mu="μ", nu="ν", xi="ξ", pi="π", rho="ρ", sigma="σ", tau="τ", phi="φ", chi="χ", psi="ψ", omega="ω", Gamma="Γ", Delta="Δ",
    Theta="Θ", Lambda="Λ", Xi="Ξ", Pi="Π", Sigma="Σ", Phi="Φ", Psi="Ψ", Omega="Ω", **{"lambda": "λ"},
)  # fmt: skip
_BEFORE = {"bar": "\u0304", "d": "\u0307"}
_AFTER = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "dot": "\u0307"}
_WORDS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "−", "pow": "^", "expit": "σ", "sqrt": "√", "cbrt": "∛", "eq": "=",
    "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "bitand": "∧", "bitor": "∨", "invert": "¬", "logaddexp": "log-add-exp",
    "abs": "|·|", "reciprocal": "1/·", "select": "where", "while": "while", "stop_gradient": "stop",
    "maximum": "max", "minimum": "min", "log": "ln",
}  # fmt: skip
_INFIX = {"*": "×", "-": "−", "/": "÷", "**": "^", "==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}
PLUMBING = ("spread", "reshape", "cast", "slice", "stop_gradient", "flip")
"""Rows that move elements and compute nothing: drawn small."""


def name_label(name: str) -> Label:
    """``bar_W_1`` as W with a bar and a lowered 1."""
    parts = [p for p in name.split("_") if p]
    marks = ""
    while len(parts) > 1 and parts[0] in _BEFORE:
        marks += _BEFORE[parts.pop(0)]
    first, digits = re.fullmatch(r"(.*?)(\d*)", parts[0]).groups()  # pyright: ignore[reportOptionalMemberAccess]
    marks += "".join(_AFTER[p] for p in parts[1:] if p in _AFTER)
    rest = ([digits] if digits else []) + [_GREEK.get(p, p) for p in parts[1:] if p not in _AFTER]
    base = _GREEK.get(first, first)
    base = base[:1] + marks + base[1:] if marks else base
    return [(base, "i"), *([(",".join(rest), "sub")] if rest else [])]


def type_label(t: ArrayType) -> str:
    """``f64[10,5]``; a plain float64 number says just that."""
    return f"{short(t.dtype)} {'×'.join(map(str, t.shape))}" if t.shape else short(t.dtype)


def label(e: Eqn, name: Callable[[Var], str | None]) -> Label:
    """What an equation does, in a few signs."""
    special = _LABELS.get(e.prim)
    if special is not None:
        return special(e, name)
    if any(isinstance(a, Lit) and a.splat for a in e.ins) and TABLE[e.prim].pointwise:
        return _applied(e)
    return [(_WORDS.get(e.prim, e.prim.replace("_", " ").removeprefix("reduce ")), "")]


def _applied(e: Eqn) -> Label:
    """``× 2``, ``1 − ·``, ``max(·, 0)``"""
    template = re.sub(r"^(np|special|scipy\.special)\.", "", TABLE[e.prim].python)
    known = [number_text(a.value).replace("-", "−") if isinstance(a, Lit) and a.splat else "·" for a in e.ins]
    infix = re.fullmatch(r"\{0\} (\S+) \{1\}", template)
    word = _WORDS.get(e.prim, e.prim)
    if infix is None:
        return [(f"{word}({', '.join(known)})", "")]
    sign = _INFIX.get(infix[1], infix[1])
    if sign in "×+" and known[1] == "·":
        known.reverse()
    return [(f"{sign} {known[1]}" if known[0] == "·" else f"{known[0]} {sign} ·", "")]


def _contract(e: Eqn, name: Callable[[Var], str | None]) -> Label:
    ins, out = e.params["spec"].split("->")
    letters = ins.split(",")
    if len(letters) == 1:
        a = letters[0]
        if len(a) == len(out):
            return [("transpose", "")]
        names = dict(zip(a, "ijklmnpq", strict=False))
        kept = "".join(s for s in a if s in out)
        return [("Σ", ""), ("".join(names[s] for s in a if s not in out), "sub"), *([] if kept == out else [("⊤", "sup")])]
    runs = [_operand(a, name) for a in e.ins]
    if letters == ["i"] * 2 and not out:
        return [*runs[0], (" · ", ""), *runs[1]]
    if len(letters[0]) == len(letters[1]) == 1 and len(out) == 2:
        first, second = runs if out == letters[0] + letters[1] else runs[::-1]
        return [*first, (" ⊗ ", ""), *second]
    places = ordered(letters[0], letters[1], out, 0, 1) or ordered(letters[1], letters[0], out, 1, 0)
    if places is None:
        return [("Σ ", ""), (f"{','.join(letters)}→{out}", "")]
    found: Label = []
    for k, (i, turned) in enumerate(places):
        found += [*([(" ", "")] if k else []), *runs[i], *([("⊤", "sup")] if turned else [])]
    return found


def _operand(a: Var | Lit, name: Callable[[Var], str | None]) -> Label:
    known = name(a) if isinstance(a, Var) else None
    return name_label(known) if known else [("C" if isinstance(a, Lit) else "·", "i" if isinstance(a, Lit) else "")]


def _slice(e: Eqn, name: Callable[[Var], str | None]) -> Label:
    p = e.params
    keys = [cut(*c) for c in zip(p["start"], p["stop"], p["step"], e.ins[0].type.shape, strict=True)]
    return [(f"[{', '.join(keys)}]", "")]


def _pow(e: Eqn, name: Callable[[Var], str | None]) -> Label:
    return _applied(e) if any(isinstance(a, Lit) for a in e.ins) else [("xʸ", "i")]


_LABELS: dict[str, Callable[[Eqn, Callable[[Var], str | None]], Label]] = {
    "contract": _contract,
    "slice": _slice,
    "pow": _pow,
    "spread": lambda e, name: [(f"repeat → {'×'.join(map(str, e.params['shape']))}", "")],
    "reshape": lambda e, name: [(f"shape → {'×'.join(map(str, e.params['shape'])) or '()'}", "")],
    "cast": lambda e, name: [(f"as {param_text(e.params['dtype'])}", "")],
    "select": lambda e, name: [("where", "")],
}


def width(runs: Sequence[Run], size: float) -> float:
    """How wide it will be, near enough."""
    total = 0.0
    for text, style in runs:
        seen = re.sub("[\u0300-\u036f]", "", text)
        narrow = sum(c in "iljtf.,:;|()[]' ·" for c in seen)
        total += (narrow * 0.34 + (len(seen) - narrow) * 0.58) * size * (0.75 if style in ("sub", "sup") else 1.0)
    return total
