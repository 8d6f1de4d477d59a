"""Write docs/scoreboard.md: published identities of matrix calculus, derived by chainrule and by SymPy, compared in numbers."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr
from chainrule.errors import ChainruleError, NoFormulaError
from chainrule.explain.formula import Formula
from chainrule.explain.identities import COOKBOOK, IDENTITIES, LEARNING, MAGNUS, Identity
from chainrule.explain.instances import Instance, instances
from chainrule.explain.to_sympy import to_sympy
from chainrule.explain.verify import difference

PAGE = Path(__file__).parents[1] / "docs" / "scoreboard.md"
SECONDS = 20
"""How long SymPy may think about one of them."""
TOLERANCE = 1e-8


class Row(NamedTuple):
    """One identity: the derivative found, how far it is from the published one, and what SymPy makes of it."""

    identity: Identity
    latex: str
    gap: float
    sympy: str

    @property
    def ours(self) -> str:
        """``right`` if the numbers agree with the published formula's."""
        return "right" if self.gap < TOLERANCE else "wrong"


def row(i: Identity, with_sympy: bool = True) -> Row:
    """Derive one identity and compare it; what cannot be derived is infinitely far off."""
    try:
        d = cr.derive(i.formula, wrt=i.wrt, shapes=i.shapes, order=i.order)
    except (ChainruleError, AssertionError):
        return Row(i, "", np.inf, "")
    gap = 0.0
    for at in instances(d.problem, 3, seed=11):
        with np.errstate(all="ignore"):
            found = d.gradients[0].full(_environment(d, at), at.sizes)
        gap = max(gap, difference(found, published(i, d, at)))
    return Row(i, d.latex, gap, by_sympy(i, d) if with_sympy else "")


def published(i: Identity, d: cr.Derivation, at: Instance) -> Any:
    """The value of the formula that the book gives."""
    with np.errstate(all="ignore"):
        y = Formula(i.published)({**at.sizes, **dict(zip(d.problem.names, at.arrays, strict=True))})
    k = d.problem.wrt[0]
    shape = np.shape(at.arrays[k])
    return np.broadcast_to(y, shape) if d.scalar and i.order == 1 else np.asarray(y)


def _environment(d: cr.Derivation, at: Instance) -> dict[str, Any]:
    env: dict[str, Any] = dict(zip(d.problem.names, at.arrays, strict=True))
    for name, x in d.definitions:
        env[name] = x.full(env, at.sizes)
    return env


# --- SymPy --------------------------------------------------------------------------------------------------------------------


def by_sympy(i: Identity, d: cr.Derivation) -> str:
    """SymPy's derivative of the same function of matrix symbols: right, wrong, or why there is none."""
    import sympy

    try:
        with _at_most(SECONDS):
            value = to_sympy(d.value, dict(d.definitions))
            x = to_sympy(_named(d), {})
            found = sympy.diff(value, x)
            for _ in range(i.order - 1):
                found = sympy.diff(found, x)
            if found.has(sympy.Derivative):
                return "left undone"
            gaps = [_gap(_numbers(found, d, at), published(i, d, at), d) for at in instances(d.problem, 2, seed=11)]
    except NoFormulaError:
        return "has no such function"
    except TimeoutError:
        return f"none in {SECONDS} s"
    except Exception as e:  # whatever it raises, it has given no derivative
        return f"not evaluable ({type(e).__name__})"
    return "right" if max(gaps) < TOLERANCE else "wrong"


def _gap(found: Any, wanted: Any, d: cr.Derivation) -> float:
    """Jacobians and Hessians may be laid out either way."""
    y = _as_sympy_lays_out(wanted)
    return min(difference(found, y), difference(found, y.T) if not d.scalar or d.order == 2 else np.inf)


def _named(d: cr.Derivation) -> Any:
    from chainrule.explain.nodes import Name

    k = d.problem.wrt[0]
    return Name(d.problem.symbolic(k), d.problem.names[k], False)


def _as_sympy_lays_out(y: Any) -> Any:
    """Columns are matrices of one column."""
    y = np.asarray(y, float)
    return y[:, None] if y.ndim == 1 else y


def _numbers(expression: Any, d: cr.Derivation, at: Instance) -> Any:
    """The value of a matrix expression where the symbols are these arrays."""
    import sympy

    sizes = {sympy.Symbol(n, integer=True, positive=True): v for n, v in at.sizes.items()}
    e = expression.subs(sizes)
    for name, x in zip(d.problem.names, at.arrays, strict=True):
        x = np.asarray(x, float)
        if x.ndim:
            e = e.subs(sympy.MatrixSymbol(name, *_as_sympy_lays_out(x).shape), sympy.ImmutableMatrix(_as_sympy_lays_out(x)))
        else:
            e = e.subs(sympy.Symbol(name, real=True), sympy.Float(float(x)))
    e = e.doit()
    e = e.as_explicit() if hasattr(e, "as_explicit") else e
    return np.array(sympy.N(e).tolist(), float) if hasattr(e, "tolist") else np.asarray(float(e))


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


HEAD = """# A scoreboard of matrix calculus

{count} published derivatives, each derived anew from the function alone and compared in numbers with the formula that the source
gives, at three random instances of random unequal sizes: chainrule {version} finds **{right}**, SymPy {sympy} **{theirs}**.

SymPy was asked for the derivative of the same function of matrix symbols whose sizes are symbols, in the form it can
differentiate (traces). *Has no such function* means that its matrices know no such operation, *left undone* that it returns the
question, *not evaluable* that its answer has no value where the symbols are given arrays, *wrong* that the value is another.
Jacobians count in either layout. Formulas for symmetric matrices are written with $S + S^\\top$.

Written by `python tools/scoreboard.py`; the list is `chainrule.explain.identities`. SymPy had {seconds} s for each.
"""


# --- the page -----------------------------------------------------------------------------------------------------------------


def page(rows: Sequence[Row]) -> str:
    """The scoreboard as Markdown."""
    import sympy

    right, theirs = (sum(r == "right" for r in column) for column in ([r.ours for r in rows], [r.sympy for r in rows]))
    parts = [
        HEAD.format(count=len(rows), version=cr.__version__, right=right, sympy=sympy.__version__, theirs=theirs, seconds=SECONDS)
    ]
    chapters = (
        ("The Matrix Cookbook, by number of its equation", COOKBOOK),
        ("Magnus and Neudecker", MAGNUS),
        ("Losses, models and layers", LEARNING),
    )
    for title, identities in chapters:
        parts += [f"## {title}", "", "| | source | function | derivative found | ours | SymPy |", "|---|---|---|---|---|---|"]
        parts += [_line(r) for r in rows if r.identity in identities]
        parts.append("")
    return "\n".join(parts)


def _line(r: Row) -> str:
    i = r.identity
    latex = r.latex.replace("\n", " ").replace("|", r"\vert ")
    formula = i.formula.replace("|", r"\|")
    order = ", second" if i.order == 2 else ""
    return f"| {i.name} | {i.source} | `{formula}` by `{i.wrt}`{order} | ${latex}$ | {r.ours} | {r.sympy} |"


if __name__ == "__main__":
    found = [row(i) for i in IDENTITIES]
    PAGE.write_text(page(found))
    for r in found:
        print(f"{r.ours:6} {r.sympy:22} {r.gap:.1e}  {r.identity.name}")
    print(f"ours {sum(r.ours == 'right' for r in found)}, SymPy {sum(r.sympy == 'right' for r in found)} of {len(found)}")
