"""Formulas of the rows whose notation depends on their operands: products and sums, indexing, choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from chainrule.emit.source import cut
from chainrule.emit.symbols import FUNCTION, NEGATIVE, PRODUCT, Term, number
from chainrule.ir.graph import Atom, Eqn, Lit, Var
from chainrule.prims import TABLE

if TYPE_CHECKING:
    from chainrule.emit.latex import Formulas

Index = tuple[str, ...]
Place = tuple[int, bool]
"""Which operand, and whether it is transposed."""


# --- products ------------------------------------------------------------------------------------------------------------------


def _mul(w: Formulas, e: Eqn, index: Index | None) -> Term:
    a, b = e.ins
    folded = _folded(w, e, index)
    if folded is not None:
        return folded
    x, y = w.term(a, index), w.term(b, index)
    if a is b:
        return x.raised("2")
    if index is not None and ":" not in index:
        return scaled(x, y) if not isinstance(b, Lit) else scaled(y, x)
    if scalar(w, b) and not (scalar(w, a) and isinstance(a, Lit)):
        x, y = (x, y) if scalar(w, a) and not isinstance(b, Lit) else (y, x)
        return scaled(x, y)
    return scaled(x, y) if scalar(w, a) else odot(x, y)


def _folded(w: Formulas, e: Eqn, index: Index | None) -> Term | None:
    """Numbers that multiply one after the other, as one number."""
    total, a = 1.0, e.outs[0]
    count = 0
    while isinstance(a, Var) and a not in w.named and (q := w.maker[a]).prim == "mul":
        numbers = [x for x in q.ins if isinstance(x, Lit) and x.splat and x.value.dtype.kind == "f"]
        if len(numbers) != 1:
            break
        total *= numbers[0].value.item()
        (a,) = [x for x in q.ins if x is not numbers[0]]
        count += 1
    if count < 2:
        return None
    x = w.term(a, index)
    return x if total == 1 else scaled(number(total), x)


def scalar(w: Formulas, a: Atom) -> bool:
    """Is it one number, however often it is repeated?"""
    if not a.type.rank:
        return True
    if isinstance(a, Lit):
        return a.splat
    e = w.maker.get(a)
    return e is not None and e.prim in ("spread", "cast") and a not in w.named and scalar(w, e.ins[0])


def scaled(x: Term, y: Term) -> Term:
    """A number times something."""
    left = x.bracketed if x.level < PRODUCT or x.big else x
    right = y.bracketed if y.text.startswith("-") or (y.level < PRODUCT and not y.big) or y.level < NEGATIVE else y
    touching = right.text[:1].isdigit() or right.text.startswith(r"\frac")
    numeric = left.text[-1:].isdigit() or left.text.startswith(r"\frac")
    space = r" \cdot " if (touching and numeric) or right.text[:1].isdigit() else " " if numeric else r" \, "
    return Term(f"{left.text}{space}{right.text}", PRODUCT, big=right.big, matrix=right.matrix)


def odot(x: Term, y: Term) -> Term:
    """Element by element."""
    left = x.bracketed if x.level < PRODUCT or x.big or x.matrix else x
    right = y.bracketed if y.level < PRODUCT or y.matrix or y.text.startswith("-") else y
    return Term(rf"{left.text} \odot {right.text}", PRODUCT)


def _factor(x: Term, last: bool) -> Term:
    """An operand of a matrix product."""
    numeric = x.text[:1].isdigit() or x.text.startswith(r"\frac")
    chained = x.level == PRODUCT and ((not last and numeric and r"\odot" not in x.text) or (x.matrix and not (last and numeric)))
    return x if x.level > FUNCTION or (chained and not x.big) else x.bracketed


# --- contract ------------------------------------------------------------------------------------------------------------------


def _contract(w: Formulas, e: Eqn, index: Index | None) -> Term:
    ins, out = e.params["spec"].split("->")
    letters = ins.split(",")
    if len(letters) == 1 and len(letters[0]) == len(out):
        return _permuted(w, e, letters[0], out, index)
    places = matrix(w, e)
    if places is not None:
        y = _product(w, e, places)
        return y.bracketed.indexed(w.subscript(index)) if index else y
    if index is not None or not out:
        return _summed(w, e, letters, dict(zip(out, index or (), strict=True)))
    if len(letters) == 1 and out == "".join(s for s in letters[0] if s in out):
        return _summed(w, e, letters, dict.fromkeys(out, ":"))
    free = w.fresh(len(out))
    w.active += free
    inner = _summed(w, e, letters, dict(zip(out, free, strict=True)))
    del w.active[len(w.active) - len(free) :]
    return Term(rf"\left[{inner.text}\right]", symbol=True).indexed(w.subscript(free))


def _permuted(w: Formulas, e: Eqn, a: str, out: str, index: Index | None) -> Term:
    (x,) = e.ins
    if index is not None:
        return w.term(x, tuple(index[out.index(s)] for s in a))
    if len(a) == 2:
        return w.whole(x).raised(r"\top")
    return w.whole(x).raised(rf"\pi({','.join(str(a.index(s)) for s in out)})")


def _summed(w: Formulas, e: Eqn, letters: Sequence[str], known: dict[str, str]) -> Term:
    """The sum over the letters that are not known."""
    lost = list(dict.fromkeys(s for a in letters for s in a if s not in known))
    new = w.fresh(len(lost))
    w.active += new
    at = {**known, **dict(zip(lost, new, strict=True))}
    xs = [w.term(x, tuple(at[s] for s in a)) for x, a in zip(e.ins, letters, strict=True)]
    del w.active[len(w.active) - len(new) :]
    if len(xs) == 1:
        (x,) = xs
        body = x.bracketed if x.level < PRODUCT and not x.big else x
    else:
        body = xs[0].raised("2") if e.ins[0] is e.ins[1] and letters[0] == letters[1] else scaled(*xs)
    if not lost:
        return body
    return Term(rf"\sum_{{{w.subscript(new)}}} {body.text}", NEGATIVE, big=True)


def _product(w: Formulas, e: Eqn, places: Sequence[Place]) -> Term:
    factors: list[Term] = []
    for k, (i, turned) in enumerate(places):
        x = w.whole(e.ins[i])
        if x.text != "I":
            factors.append(x.raised(r"\top") if turned else _factor(x, k > 0))
    if len(factors) < 2:
        return factors[0] if factors else Term("I", symbol=True)
    if not e.ins[0].type.rank * e.ins[1].type.rank:
        return scaled(*factors)
    space = r" \, " if any(r"\mathrm" in f.text for f in factors) else " "
    return Term(space.join(f.text for f in factors), PRODUCT, matrix=True)


def matrix(w: Formulas, e: Eqn) -> Sequence[Place] | None:
    """The product as matrix algebra, vectors being columns; None if it is none."""
    ins, out = e.params["spec"].split("->")
    letters = ins.split(",")
    if len(letters) != 2 or any(_spread(w, a) for a in e.ins):
        return None
    a, b = letters
    if not a or not b:
        return [(0, False), (1, False)] if not a else [(1, False), (0, False)]
    return ordered(a, b, out, 0, 1) or ordered(b, a, out, 1, 0)


def ordered(a: str, b: str, out: str, i: int, j: int) -> Sequence[Place] | None:
    """``a b`` with either transposed as needed, None where the sum is no such product."""
    summed = [s for s in a if s in b and s not in out]
    if len(a) == len(b) == 1:
        return [(i, True), (j, False)] if summed else [(i, False), (j, True)] if out == a + b else None
    if len(summed) != 1 or any(s in b and s in out for s in a):
        return None
    (s,) = summed
    if len(a) > 2 and len(b) <= 2 and a[-1] == s and out == a[:-1] + b.replace(s, ""):
        return [(i, False), (j, len(b) == 2 and b[0] != s)]
    if len(a) != 2 or len(b) > 2 or out != a.replace(s, "") + b.replace(s, ""):
        return None
    return [(i, a[0] == s), (j, len(b) == 2 and b[0] != s)]


def _spread(w: Formulas, a: Atom) -> bool:
    if isinstance(a, Lit):
        return a.splat and a.type.rank > 0
    return a not in w.named and w.maker[a].prim == "spread"


def general(w: Formulas, a: Atom) -> bool:
    """Does the formula of `a` have a sum that needs the indices of its result?"""
    if not isinstance(a, Var) or a in w.named or not a.type.rank:
        return False
    e = w.maker[a]
    if e.prim == "contract":
        ins, out = e.params["spec"].split("->")
        if "," not in ins:
            plain = out == "".join(s for s in ins if s in out)
            return not plain and len(ins) != len(out)
        return matrix(w, e) is None
    return (TABLE[e.prim].pointwise or e.prim == "spread") and any(general(w, x) for x in e.ins)


# --- the others ---------------------------------------------------------------------------------------------------------------


def _repeated(w: Formulas, e: Eqn, index: Index | None) -> Term:
    if index is not None:
        index = tuple(i for k, i in enumerate(index) if k not in e.params["axes"])
    return w.term(e.ins[0], index)


def _extreme(word: str) -> Callable[[Formulas, Eqn, Index | None], Term]:
    def write(w: Formulas, e: Eqn, index: Index | None) -> Term:
        (x,), axes = e.ins, e.params["axes"]
        new, kept = iter(w.fresh(len(axes))), iter(index or (":",) * e.out.type.rank)
        at = tuple(next(new) if k in axes else next(kept) for k in range(x.type.rank))
        over = tuple(i for k, i in enumerate(at) if k in axes)
        w.active += over
        y = w.term(x, at)
        del w.active[len(w.active) - len(over) :]
        body = y.bracketed if y.level < PRODUCT and not y.big else y
        return Term(rf"\{word}_{{{w.subscript(over)}}} {body.text}", NEGATIVE, big=True)

    return write


def _cast(w: Formulas, e: Eqn, index: Index | None) -> Term:
    x = w.term(e.ins[0], index)
    return Term(rf"\left[{x.text}\right]", symbol=True) if e.ins[0].type.dtype.kind == "b" and e.out.type.inexact else x


def _select(w: Formulas, e: Eqn, index: Index | None) -> Term:
    c, x, y = [w.term(a, index).text for a in e.ins]
    return Term(rf"\begin{{cases}} {x} & \text{{if }} {c} \\ {y} & \text{{otherwise}} \end{{cases}}", 2)


def _slice(w: Formulas, e: Eqn, index: Index | None) -> Term:
    p, (x,) = e.params, e.ins
    cuts = list(zip(p["start"], p["stop"], p["step"], x.type.shape, strict=True))
    at = tuple(_shifted(i, *c) for i, c in zip(index or (":",) * len(cuts), cuts, strict=True))
    return w.whole(x).indexed(w.subscript(at)) if isinstance(x, Lit) or ":" in "".join(at) else w.term(x, at)


def _shifted(i: str, start: int, stop: int, step: int, size: int) -> str:
    if i == ":":
        return cut(start, stop, step, size)
    factor = f"{step}{i}" if step != 1 else i
    return f"{factor}+{start}" if start else factor


def _reshape(w: Formulas, e: Eqn, index: Index | None) -> Term:
    (a,), shape = e.ins, e.params["shape"]
    inner = w.maker.get(a) if isinstance(a, Var) and a not in w.named else None
    if inner is not None and inner.prim == "slice" and shape == tuple(n for n in a.type.shape if n != 1) and not index:
        p, (x,) = inner.params, inner.ins
        cuts = zip(p["start"], p["stop"], p["step"], x.type.shape, a.type.shape, strict=True)
        return w.whole(x).indexed(w.subscript(tuple(str(c[0]) if c[4] == 1 else cut(*c[:4]) for c in cuts)))
    if tuple(n for n in shape if n != 1) == tuple(n for n in a.type.shape if n != 1) and index is None:
        return w.term(a)
    row = TABLE["reshape"]
    y = w.noted(row.name, row.notation, row.level, [w.whole(a)], e.params)
    return y.indexed(w.subscript(index)) if index else y


def _take(w: Formulas, e: Eqn, index: Index | None) -> Term:
    x, *at = [w.whole(a) for a in e.ins]
    y = x.indexed(",".join(i.text for i in at))
    return y.bracketed.indexed(w.subscript(index)) if index else y


TERMS: dict[str, Callable[[Formulas, Eqn, Index | None], Term]] = {
    "mul": _mul,
    "contract": _contract,
    "spread": _repeated,
    "cast": _cast,
    "select": _select,
    "slice": _slice,
    "reshape": _reshape,
    "take": _take,
    "reduce_max": _extreme("max"),
    "reduce_min": _extreme("min"),
    "reduce_prod": _extreme("prod"),
}
"""Row -> its formula, where a template does not do."""
