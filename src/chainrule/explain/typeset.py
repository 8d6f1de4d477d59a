"""LaTeX of formulas that are trees of matrix algebra."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from fractions import Fraction
from typing import Any

from chainrule.emit.latex import noted
from chainrule.emit.symbols import ATOM, FUNCTION, NEGATIVE, POWER, PRODUCT, RELATION, SUM, Term, number, symbol
from chainrule.explain import nodes as nd
from chainrule.explain.nodes import Node
from chainrule.explain.numerals import called, joined, ratio, size_term, split_monomial, within
from chainrule.explain.sizes import Monomial
from chainrule.prims import TABLE

HALF = Fraction(1, 2)
INDICES = "ijklmnpqrstuvabch"
At = tuple[str, ...]
_PARTS = {"eigh": (r"\lambda", "Q"), "qr": ("Q", "R"), "svd": ("U", r"\sigma", r"V^{\top}")}
"""What the parts of a factorisation are called: eigenvalues and eigenvectors, ..."""


class Typesetter:
    """Writes trees as LaTeX; `taken` are the names in use, which indices avoid."""

    def __init__(self, taken: Container[str] = ()) -> None:
        self.taken = taken
        self.free = [i for i in INDICES if i not in taken] or [f"i_{{{k}}}" for k in range(1, 9)]
        self.active: list[str] = []
        self.constants: list[Any] = []

    def __call__(self, x: Node, at: At | None = None) -> Term:
        """The formula of a value, or of its element at these indices."""
        if at == ():
            at = None
        return WRITE[type(x)](self, x, at)

    def letters(self, n: int) -> At:
        """Index letters that are not in use around here."""
        found = [i for i in self.free if i not in self.active]
        found += [f"{i}'" for i in self.free if f"{i}'" not in self.active]
        return tuple(found[:n])

    def factor(self, x: Node, at: At | None = None) -> Term:
        """As a factor of a product."""
        t = self(x, at)
        return t if t.level >= PRODUCT and not t.big and not t.text.startswith("-") else t.bracketed


def subscript(at: At) -> str:
    """Indices in a row, with commas where a reader would need them."""
    return ("" if all(len(i) == 1 for i in at) else ",").join(at)


# --- nodes --------------------------------------------------------------------------------------------------------------------


def _name(w: Typesetter, x: Any, at: At | None) -> Term:
    return symbol(x.name).indexed(subscript(at or ()))


def _literal(w: Typesetter, x: Any, at: At | None) -> Term:
    if (x.rank == 1 and x.value.size <= 6) or (x.rank == 2 and x.value.size <= 9):
        rows = x.value.reshape(-1, 1) if x.rank == 1 else x.value
        body = r" \\ ".join(" & ".join(number(y).text for y in r) for r in rows)
        return Term(rf"\begin{{bmatrix}} {body} \end{{bmatrix}}", symbol=True).indexed(subscript(at or ()))
    k = next((k for k, y in enumerate(w.constants) if y is x.value), len(w.constants))
    if k == len(w.constants):
        w.constants.append(x.value)
    name = next(c for c in ("C", "D", "A") if c not in w.taken)
    return Term(name, sub=str(k + 1) if k else "", symbol=True).indexed(subscript(at or ()))


def _num(w: Typesetter, x: Any, at: At | None) -> Term:
    m: Monomial = x.m
    if m.number < 0:
        return Term(f"-{ratio(*split_monomial(-m)).text}", NEGATIVE)
    return ratio(*split_monomial(m))


def _total(w: Typesetter, x: Any, at: At | None) -> Term:
    out, big = "", False
    for sign, part in x.parts:
        t = _spread_part(w, part, x.rank, at)
        t = t.bracketed if t.level <= SUM or t.text.startswith("-") else t
        out += (" - " if sign < 0 else " + ") + t.text if out else ("-" if sign < 0 else "") + t.text
        big = t.big
    return Term(out, SUM if len(x.parts) > 1 else NEGATIVE, big=big)


def _spread_part(w: Typesetter, part: Node, rank: int, at: At | None) -> Term:
    if part.rank == rank or at is not None:
        return w(part, at if part.rank else None)
    ones = r"\mathbf{1}"  # the vector, or the matrix, of ones
    if isinstance(part, nd.Num) and part.m.one:
        return Term(ones)
    t = w.factor(part)
    return Term(rf"{t.text} \, {ones}" if not t.text[-1:].isdigit() else f"{t.text} {ones}", PRODUCT)


def _scaled(w: Typesetter, x: Any, at: At | None) -> Term:
    m: Monomial = x.m
    sign = "-" if m.number < 0 else ""
    top, bottom = split_monomial(-m if sign else m)
    above, below = [w(f) for f in sorted(x.top, key=_place)], [w(f) for f in x.bottom]
    if x.body is None:
        sums = [t for t in above if t.big]
        if (bottom or below) and not (len(sums) == 1 and len(above) == 1 and not below):
            t = ratio([*top, *[t for t in above if not t.big]], [*bottom, *below])
            for s in sums:
                t = Term(f"{t.text} {s.text}", PRODUCT, big=True)
            if sums and not top and len(above) == len(sums) and not (bottom or below):
                t = sums[0]
            return Term(f"{sign}{t.text}", NEGATIVE if sign else t.level, big=bool(sums))
        head = ratio(top, bottom) if top or bottom else None
        parts = [
            *([head] if head else []),
            *[t if t.big and k == len(above) - 1 and t.level >= NEGATIVE else within(t) for k, t in enumerate(above)],
        ]
        return Term(f"{sign}{joined(parts)}", NEGATIVE if sign else PRODUCT, big=bool(above and above[-1].big))
    products = [isinstance(f, nd.Chain) for f in sorted(x.top, key=_place)]
    coefficient = [
        *top,
        *[t.bracketed if inner and not t.symbol else within(t) for t, inner in zip(above, products, strict=True)],
    ]
    body = w(x.body, at)
    tail = (
        body
        if (body.level >= PRODUCT and not body.text.startswith("-")) or (body.big and body.level >= NEGATIVE)
        else body.bracketed
    )
    if not coefficient and not bottom and not below:
        return Term(f"{sign}{tail.text}", NEGATIVE, big=tail.big)
    if (
        below
        and len(body.text) < 40
        and r"\left(" not in body.text.replace(r"\left(t", "")
        and not body.big
        and len(coefficient) < 2
    ):
        t = ratio([*coefficient, body], [*bottom, *below])
        return Term(f"{sign}{t.text}", NEGATIVE if sign else ATOM)
    head = ratio(coefficient, [*bottom, *below])
    return Term(f"{sign}{joined([head, tail])}", NEGATIVE if sign else PRODUCT, big=tail.big, matrix=tail.matrix)


def _place(x: Node) -> int:
    """Letters before functions."""
    return (
        0
        if isinstance(x, nd.Name) or (isinstance(x, nd.Power) and isinstance(x.x, nd.Name))
        else 2
        if isinstance(x, nd.Func)
        else 1
    )


def _turn(w: Typesetter, x: Any, at: At | None) -> Term:
    if at is not None:
        return w(x.x, at[::-1])
    inner = x.x
    if isinstance(inner, nd.Call) and inner.prim == "inv":
        return Term(f"{_base(w(inner.args[0])).text}^{{-\\top}}", POWER)
    return _base(w(inner)).raised(r"\top")


def _base(t: Term) -> Term:
    return t if t.symbol else t.bracketed


def _chain(w: Typesetter, x: Any, at: At | None) -> Term:
    if at is not None:
        return _chain(w, x, None).bracketed.indexed(subscript(at))
    place = _element(w, x)
    if place is not None:
        return place
    parts: list[Term] = []
    for f in x.factors:
        t = w(f)
        parts.append(t if t.level > FUNCTION or t.symbol or called(t) else t.bracketed)
    text = parts[0].text
    for t in parts[1:]:
        text += rf" \, {t.text}" if t.text.startswith(r"\operatorname") and not text.endswith(r"\right)") else f" {t.text}"
    return Term(text, PRODUCT, matrix=True)


def _element(w: Typesetter, x: Any) -> Term | None:
    """x^T e_2 as x_2, e_1^T X e_2 as X_12."""
    fs = [f.x if isinstance(f, nd.Turn) and f.rank == 1 else f for f in x.factors]
    if x.rank or not all(isinstance(f, nd.Unit | nd.Name) for f in fs) or sum(isinstance(f, nd.Name) for f in fs) != 1:
        return None
    places = [str(f.place + 1) for f in fs if isinstance(f, nd.Unit)]
    (name,) = [f for f in fs if isinstance(f, nd.Name)]
    return symbol(name.name).indexed(subscript(tuple(places))) if len(places) == name.rank else None


def _had(w: Typesetter, x: Any, at: At | None) -> Term:
    def one(f: Node) -> Term:
        t = w(f, at)
        return t.bracketed if (t.level <= PRODUCT and (at is None or t.level < PRODUCT)) or t.text.startswith("-") else t

    if at is not None:
        above = [w(f, at) for f in x.top]
        return ratio(above, [w(f, at) for f in x.bottom])
    above = [one(f) for f in x.top]
    if not above:
        ones = r"\mathbf{1}"
        above = [Term(ones)]
    text = r" \odot ".join(t.text for t in above)
    if len(x.bottom) == 1 and len(above) == 1:
        return Term(rf"{text} \oslash {one(x.bottom[0]).text}", PRODUCT)
    for f in x.bottom:
        text = rf"{text} \oslash {one(f).text}"
    return Term(text, PRODUCT)


def _power(w: Typesetter, x: Any, at: At | None) -> Term:
    inner, p = w(x.x, at), x.p
    if p == HALF:
        return Term(rf"\sqrt{{{inner.text}}}")
    if p < 0:
        below = _power(w, nd.Power(x.sizes, x.x, -p), at) if p != -1 else inner
        return Term(rf"\frac{{1}}{{{below.text}}}")
    exponent = str(p.numerator) if p.denominator == 1 else f"{p.numerator}/{p.denominator}"
    if p.numerator % 2 and p.denominator == 2:
        whole = Term(rf"\sqrt{{{inner.text}}}") if p == HALF else None
        if whole is not None:
            return whole
    if isinstance(x.x, nd.Func) and p.denominator == 1 and (found := _POWERED.match(inner.text)):
        return Term(f"{found[1]}^{{{exponent}}}{inner.text[found.end() :]}", FUNCTION)
    if x.rank and at is None:
        return _base(inner).raised(rf"\odot {exponent}")
    return _base(inner).raised(exponent)


_POWERED = re.compile(r"(\\(?:sin|cos|tan|sinh|cosh|tanh|ln))(?= |\\left)")


def _func(w: Typesetter, x: Any, at: At | None) -> Term:
    row = TABLE[x.row]
    args = [
        _spread_part(w, a, x.rank, at)
        if a.rank < x.rank and isinstance(a, nd.Num) and x.row not in _PLAIN
        else w(a, at if a.rank else None)
        for a in x.args
    ]
    if x.row == "log" and called(args[0]):  # ln sigma(x), without brackets around what has some
        return Term(rf"\ln {args[0].text}", FUNCTION)
    if x.row in _COMPARED:
        left, right = [t.at_least(RELATION + 1).text for t in args]
        return Term(rf"\left[{left} {_COMPARED[x.row]} {right}\right]", symbol=True)
    if x.row == "logaddexp" and isinstance(x.args[0], nd.Num) and x.args[0].m.number == 0:
        return noted("log1p", TABLE["log1p"].notation, 7, [noted("exp", r"e^{{{0}}}", 8, args[1:], {}, self_taken(w))], {})
    t = noted(row.name, row.notation or rf"\operatorname{{{{{row.name}}}}}({{*}})", row.level, args, {}, self_taken(w))
    return t._replace(symbol=True) if x.row == "abs" else t


_COMPARED = {"gt": ">", "lt": "<", "ge": r"\ge", "le": r"\le", "eq": "=", "ne": r"\ne"}
_PLAIN = {"maximum", "minimum", "pow", "logaddexp", *_COMPARED}


def self_taken(w: Typesetter) -> Container[str]:
    """The names in use."""
    return w.taken


def _call(w: Typesetter, x: Any, at: At | None) -> Term:
    xs = [w(a) for a in x.args]
    params = dict(x.params)
    if x.prim == "inv":
        t = _base(xs[0]).raised("-1")
        return t if at is None else t.bracketed.indexed(subscript(at))
    if x.prim == "det":
        return Term(rf"\det\left({xs[0].text}\right)", FUNCTION, symbol=True)
    if x.prim == "slogdet":
        inner = rf"\det\left({xs[0].text}\right)" if x.output == 0 or not xs[0].symbol else rf"\det {xs[0].text}"
        return Term(rf"\ln \left|{inner}\right|" if x.output else rf"\operatorname{{sign}}\left({inner}\right)", FUNCTION)
    if x.prim in ("softmax", "logsumexp"):
        return _over_axes(w, x, at)
    if x.prim == "slice" and at is None:
        return (xs[0] if xs[0].symbol and not xs[0].sub else xs[0].bracketed).indexed(
            ",".join(_range(*c) for c in zip(params["start"], params["stop"], params["step"], x.args[0].sizes, strict=True))
        )
    if x.prim in ("concat", "pad") and x.rank == 1 and at is None:
        column = _column(w, x, xs, params)
        if column is not None:
            return column
    if x.prim in ("reduce_max", "reduce_min", "reduce_prod"):
        return _extreme(w, x, at, {"reduce_max": r"\max", "reduce_min": r"\min", "reduce_prod": r"\prod"}[x.prim], params["axes"])
    row = TABLE[x.prim]
    said = _said(x, params)
    if x.prim in _PARTS:
        text = rf"{_PARTS[x.prim][x.output]}\left({xs[0].text}\right)"
        return Term(text, FUNCTION, symbol=True).indexed(subscript(at or ()))
    notation = (
        row.notation
        if row.notation and not params
        else rf"\operatorname{{{{{x.prim.replace('_', chr(92) + '_')}}}}}{said}({{*}})"
    )
    t = noted(row.name, notation, row.level, xs, {})
    return t if at is None else (t if t.symbol else t.bracketed).indexed(subscript(at))


def _said(x: Any, params: Any) -> str:
    """The parameters of an operation as a subscript, where it is not plain without."""
    words: list[str] = []
    for k, q in params.items():
        if k == "reverse":
            words += [r"\text{{from the end}}"] if q else []
        elif k in ("axis", "axes") and x.rank > 1:
            axes = q if isinstance(q, tuple) else (q,)
            words.append(r"\text{{axis }}" + ",".join(_size_text(a) if isinstance(a, Monomial) else str(a) for a in axes))
        elif k not in ("axis", "axes", "lead", "sizes", "shape", "dtype"):
            words.append(rf"\text{{{{{k} }}}}" + _parameter(q))
    return f"_{{{{{', '.join(words)}}}}}" if words else ""


def _parameter(q: Any) -> str:
    if isinstance(q, Monomial):
        return _size_text(q)
    return ",".join(map(_parameter, q)) if isinstance(q, tuple) else str(q)


def _range(start: Monomial, stop: Monomial, step: Monomial, size: Monomial) -> str:
    """A range counted from 1, both ends included."""
    if start.number == 0 and stop == size and step.one:
        return "{:}"
    first = "1" if start.number == 0 else _plus_one(start)
    return f"{first}:{_size_text(stop)}" if step.one else f"{first}:{_size_text(step)}:{_size_text(stop)}"


def _size_text(m: Monomial) -> str:
    if len(m.powers) == 1 and m.powers[0][1] == 1 and m.number == 1:
        return size_term(m.powers[0][0]).text.replace(" ", "")
    return ratio(*split_monomial(m)).text


def _plus_one(m: Monomial) -> str:
    return str(m.number + 1) if m.plain else f"{_size_text(m)}+1"


def _column(w: Typesetter, x: Any, xs: Sequence[Term], params: Any) -> Term | None:
    """Vectors one below the other."""
    parts = [t.text for t in xs]
    if x.prim == "pad":
        if params["interior"][0].number != 0:
            return None
        low, high = params["low"][0], params["high"][0]
        parts = [
            *([r"\mathbf{0}" if not low.one else "0"] if low.number else []),
            *parts,
            *([r"\mathbf{0}" if not high.one else "0"] if high.number else []),
        ]
    body = r" \\ ".join(parts)
    return Term(rf"\begin{{bmatrix}} {body} \end{{bmatrix}}", symbol=True)


def _over_axes(w: Typesetter, x: Any, at: At | None) -> Term:
    """softmax and logsumexp: by name over all of an array or over the columns of each row, else with indices."""
    (a,), axes = x.args, dict(x.params)["axes"]
    if at is None and a.rank == len(axes):
        return Term(rf"\operatorname{{{x.prim}}}\left({w(a).text}\right)", FUNCTION, symbol=True)
    if at is None and a.rank == 2 and not nd.in_elements(a):
        which = "rows" if axes == (1,) else "columns"
        return Term(rf"\operatorname{{{x.prim}}}_{{\text{{{which}}}}}\left({w(a).text}\right)", FUNCTION, symbol=True)
    whole = tuple(at or ())
    new = w.letters(len(axes)) if True else ()
    w.active += new
    names = iter(new)
    kept = iter(whole if x.prim == "logsumexp" else [i for k, i in enumerate(whole) if k not in axes])
    inner = w(a, tuple(next(names) if k in axes else next(kept) for k in range(a.rank)))
    del w.active[len(w.active) - len(new) :]
    total = rf"\sum_{{{subscript(new)}}} e^{{{inner.text}}}"
    if x.prim == "logsumexp":
        return Term(rf"\ln {total}", FUNCTION, big=True)
    return Term(rf"\frac{{e^{{{w(a, whole).text}}}}}{{{total}}}")


def _extreme(w: Typesetter, x: Any, at: At | None, word: str, axes: Sequence[int]) -> Term:
    (a,) = x.args
    new = w.letters(len(axes))
    w.active += new
    names, kept = iter(new), iter(at or ())
    if at is None and x.rank:
        free = w.letters(x.rank)
        kept = iter(free)
    inner = w.factor(a, tuple(next(names) if k in axes else next(kept) for k in range(a.rank)))
    del w.active[len(w.active) - len(new) :]
    return Term(rf"{word}_{{{subscript(new)}}} {inner.text}", NEGATIVE, big=True)


def _diag(w: Typesetter, x: Any, at: At | None) -> Term:
    if at is not None:
        return Term(rf"{w.factor(x.x, at[:1]).text} \, \delta_{{{subscript(at)}}}", PRODUCT)
    return Term(rf"\operatorname{{diag}}\left({w(x.x).text}\right)", FUNCTION, symbol=True)


def _diag_of(w: Typesetter, x: Any, at: At | None) -> Term:
    if at is not None:
        return w(x.x, (at[0], at[0]))
    return Term(rf"\operatorname{{diag}}\left({w(x.x).text}\right)", FUNCTION, symbol=True)


def _trace(w: Typesetter, x: Any, at: At | None) -> Term:
    return Term(rf"\operatorname{{tr}}\left({w(x.x).text}\right)", FUNCTION, symbol=True)


def _norm(w: Typesetter, x: Any, at: At | None) -> Term:
    if nd.in_elements(x.x):
        letters = w.letters(x.x.rank)
        w.active += letters
        t = _base(w(x.x, letters)).raised("2")
        del w.active[len(w.active) - len(letters) :]
        total = Term(rf"\sum_{{{subscript(letters)}}} {t.text}", NEGATIVE, big=True)
        return total if x.p == 2 else Term(rf"\sqrt{{{total.text}}}") if x.p == 1 else total.bracketed.raised(f"{x.p}/2")
    kind = "2" if x.x.rank == 1 else "F"
    power = f"^{x.p}" if x.p != 1 else ""
    return Term(rf"\left\lVert {w(x.x).text} \right\rVert_{kind}{power}")


def _ones(w: Typesetter, x: Any, at: At | None) -> Term:
    return Term(r"\mathbf{1}", symbol=True) if at is None and not x.sizes[0].one else Term("1")


def _unit(w: Typesetter, x: Any, at: At | None) -> Term:
    t = Term(r"\mathbf{e}", sub=str(x.place + 1), symbol=True)
    return t if at is None else Term(rf"\delta_{{{at[0]},{x.place + 1}}}", symbol=True)


def _known(w: Typesetter, x: Any, at: At | None) -> Term:
    if at is not None:
        return Term(rf"\left[{at[0]} > {at[1]}\right]" if x.kind == "below" else f"({at[0]} - 1)", symbol=True)
    return Term(r"\mathbf{L}" if x.kind == "below" else r"\left(0, 1, 2, \ldots\right)", symbol=True)


def _eye(w: Typesetter, x: Any, at: At | None) -> Term:
    return Term("I", symbol=True) if at is None else Term(rf"\delta_{{{subscript(at)}}}")


def _einsum(w: Typesetter, x: Any, at: At | None) -> Term:
    if at is None and x.out:
        free = w.letters(len(x.out))
        w.active += free
        inner = _einsum(w, x, free)
        del w.active[len(w.active) - len(free) :]
        return Term(rf"\left[{inner.text}\right]", symbol=True).indexed(subscript(free))
    known = dict(zip(x.out, at or (), strict=True))
    new = w.letters(len(x.summed))
    w.active += new
    known.update(zip(x.summed, new, strict=True))
    above, below = list[Term](), list[Term]()
    for p in x.pieces:
        q = p.p if p.p > 0 else -p.p
        t = w(p.x, tuple(known[s] for s in p.letters))
        if q == HALF:
            t = Term(rf"\sqrt{{{t.text}}}")
        elif q != 1:
            t = _base(t).raised(str(q))
        (above if p.p > 0 else below).append(t)
    del w.active[len(w.active) - len(new) :]
    body = ratio([within(t) for t in above], below) if below else Term(joined([within(t) for t in above]) or "1", PRODUCT)
    if not new:
        return body
    return Term(rf"\sum_{{{subscript(new)}}} {body.text}", NEGATIVE, big=True)


WRITE: dict[type[Node], Callable[[Typesetter, Any, At | None], Term]] = {
    nd.Name: _name,
    nd.Literal: _literal,
    nd.Num: _num,
    nd.Total: _total,
    nd.Scaled: _scaled,
    nd.Turn: _turn,
    nd.Chain: _chain,
    nd.Had: _had,
    nd.Power: _power,
    nd.Func: _func,
    nd.Call: _call,
    nd.Diag: _diag,
    nd.DiagOf: _diag_of,
    nd.Trace: _trace,
    nd.Norm: _norm,
    nd.Ones: _ones,
    nd.Eye: _eye,
    nd.Unit: _unit,
    nd.Known: _known,
    nd.Einsum: _einsum,
}
