"""A certificate of convexity, from what the table knows of each row: its curvature and where it rises and falls.

The rules are those of disciplined convex programming, with the ranges of all values from interval arithmetic, and three more:
sums of exponentials stay log-convex, roots of sums of squares are norms, and products of affine functions are quadratic forms
whose matrix can be looked at.  They prove; they do not decide: a convex function may be "unknown".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule import errors
from chainrule.analysis.curvature import abstract, box_of, kinks, matrix, quadratic
from chainrule.analysis.intervals import Interval, bounds, everything, of
from chainrule.analysis.pieces import two_pieces
from chainrule.analysis.shapes import CONCAVE, CONVEX, Shape, composed, joined, row_shape, turned
from chainrule.build.builder import current
from chainrule.build.row import Row
from chainrule.ir.graph import Atom, Eqn, Graph, Lit, Var
from chainrule.optim.flat import Flat, Function
from chainrule.prims import TABLE
from chainrule.transform.rebuild import inline
from chainrule.transform.tidy import live

Verdict = Literal["convex", "concave", "affine", "unknown"]
SAME = frozenset({"reshape", "spread", "stop_gradient"})
"""Rows that only repeat or rearrange."""


@dataclass(frozen=True)
class Convexity:
    """What could be proved.

    Attributes:
        verdict: "convex", "concave", "affine" (both), or "unknown" (nothing could be proved).
        path: the steps of the proof, from the inputs to the result; for "unknown" the step where it ends.
    """

    verdict: Verdict
    path: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.verdict, *[f"  {line}" for line in self.path]])


@errors.boundary
def convexity(f: Function, *args: Any, box: Any = None) -> Convexity:
    r"""Is f convex, concave or affine, jointly in all its arguments, wherever it is defined?

    Args:
        f: any function that can be traced without values.
        args: example arguments; only their shapes and dtypes matter.  Data that should count as fixed belongs into a closure.
        box: (low, high), each a number: prove it for arguments within these bounds only.

    Returns:
        A `Convexity`.  "unknown" says nothing of the function.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> A, b = np.ones((3, 2)), np.ones(3)
        >>> cr.analysis.convexity(lambda x: np.sum((A @ x - b) ** 2) + np.max(x), np.zeros(2)).verdict
        'convex'
        >>> cr.analysis.convexity(lambda x: np.sum(np.sin(x)), np.zeros(2)).verdict
        'unknown'

    Source: Grant, Boyd and Ye 2006; Boyd and Vandenberghe 2004, sections 3.2 and 3.5.
    """
    p = Flat(lambda xs: f(*xs), args)
    g = abstract(p, p.x0)
    if g is None:
        return Convexity("unknown", ("f asks for values while it is traced, so one graph does not speak for all arguments",))
    box = [Interval(*box_of(p, box))] if box is not None else [everything(v.type.shape) for v in g.ins]
    prover = _Prover(g, box)
    shape = joined([prover.shape(a) for a in g.outs])
    if shape is Shape.UNKNOWN and len(g.outs) == 1 and g.outs[0].type.shape == ():
        found = _by_hessian(p)
        if found is not None:
            return found
    verdict: Verdict = "affine" if shape in (Shape.CONSTANT, Shape.AFFINE) else shape.value  # pyright: ignore[reportAssignmentType]
    return Convexity(verdict, prover.path(shape))


def _by_hessian(p: Flat) -> Convexity | None:
    """A quadratic function is as convex as its one Hessian says, up to rounding."""
    if p.x0.size > 256 or kinks(p) or not quadratic(p):
        return None
    shape, text = definite(matrix(p, p.x0))
    return None if shape is Shape.UNKNOWN else Convexity(shape.value, (f"the Hessian is the same everywhere; {text}",))  # pyright: ignore


def definite(h: Any) -> tuple[Shape, str]:
    """Convex, concave or neither, by the eigenvalues of a symmetric matrix; those within rounding of zero count as zero."""
    values = np.linalg.eigvalsh(0.5 * (h + h.T))
    low, high = float(values[0]), float(values[-1])
    room = 8 * len(values) * np.finfo(float).eps * max(abs(low), abs(high))
    if not np.all(np.isfinite(values)):
        return Shape.UNKNOWN, ""
    if low >= -room:
        return Shape.CONVEX, f"its least eigenvalue is {low:.3g}"
    return (Shape.CONCAVE, f"its greatest eigenvalue is {high:.3g}") if high <= room else (Shape.UNKNOWN, "")


class _Prover:
    """Walks a graph and notes of each variable what shape it has as a function of the inputs, and why."""

    def __init__(self, g: Graph, box: Sequence[Interval]) -> None:
        self.g, self.range = g, bounds(g, box)
        self.made = {v: e for e in g.eqns for v in e.outs}
        self.shapes: dict[Var, Shape] = dict.fromkeys(g.ins, Shape.AFFINE)
        self.why: dict[Var, str] = {}
        self.logconvex: dict[Var, Var | None] = {}
        """v -> s: v exp(s) is a sum of exponentials of convex functions (v itself where s is None)."""
        self.shifted: dict[Var, tuple[Var, frozenset[int]]] = {}
        """v -> (s, axes): v exp(s) is the exponential of a convex function, s repeated along the axes."""
        self.logs: dict[Var, Var] = {}
        """v -> s: v + s is convex, being the logarithm of such a sum."""
        for e in g.eqns:
            self._visit(e)

    def shape(self, a: Atom) -> Shape:
        return Shape.CONSTANT if isinstance(a, Lit) else self.shapes[a]

    def interval(self, a: Atom) -> Interval:
        return of(self.range, a)

    def _visit(self, e: Eqn) -> None:
        shapes = [self.shape(a) for a in e.ins]
        if all(s is Shape.CONSTANT for s in shapes):
            self.shapes.update(dict.fromkeys(e.outs, Shape.CONSTANT))
            return
        e = self._unguarded(e)
        shape, why = self._prove(e, [self.shape(a) for a in e.ins])
        for v in e.outs:
            self.shapes[v] = shape if len(e.outs) == 1 else Shape.UNKNOWN
            self.why[v] = why
        self._note_exponentials(e)

    def path(self, end: Shape) -> tuple[str, ...]:
        """The lines of the proof that the results rest on; where there is none, the first steps that could not be proved."""
        needed = [e for e in live(self.g).eqns if self.shapes[e.outs[0]] is not Shape.CONSTANT]
        if end is not Shape.UNKNOWN:
            proved = [e for e in needed if e.prim not in SAME and self.shapes[e.outs[0]] is not Shape.UNKNOWN]
            return tuple(dict.fromkeys([self._line(e) for e in proved])) or ("every step is affine",)
        bad = [e for e in needed if self.shapes[e.outs[0]] is Shape.UNKNOWN]
        first = [e for e in bad if not any(self.shape(a) is Shape.UNKNOWN for a in e.ins)]
        return tuple([self._line(e) for e in first]) or ("the results have different shapes",)

    def _line(self, e: Eqn) -> str:
        place = f" [{e.where.source}]" if e.where is not None and e.where.source else ""
        return f"{self.why[e.outs[0]]}: {self.shapes[e.outs[0]].value}{place}"

    # --- one equation ------------------------------------------------------------------------------------------------------

    def _prove(self, e: Eqn, shapes: Sequence[Shape]) -> tuple[Shape, str]:
        names = " and ".join(s.value for s in shapes if s is not Shape.CONSTANT)
        why = f"{e.prim} of {names}"
        special = self._special(e, shapes)
        if special is not None:
            return special
        if e.prim == "cast" and e.out.type.dtype.kind != "f":
            return Shape.UNKNOWN, why
        if e.prim in SAME or e.prim in ("take", "scatter_add"):
            return (shapes[0] if all(s is Shape.CONSTANT for s in shapes[1:]) else Shape.UNKNOWN), why
        if e.prim == "select":
            return (joined(shapes[1:]) if shapes[0] is Shape.CONSTANT else self._greater(e)), why
        if e.prim in ("mul", "contract"):
            return self._product(e, shapes), why
        row = TABLE[e.prim]
        return row_shape(row, e.params, shapes, [self.interval(a) for a in e.ins]), why

    def _special(self, e: Eqn, shapes: Sequence[Shape]) -> tuple[Shape, str] | None:
        """What needs more than one equation to be seen."""
        a = e.ins[0]
        if e.prim == "log" and isinstance(a, Var) and a in self.logconvex and self.logconvex[a] is None:
            return Shape.CONVEX, "logarithm of a sum of exponentials"
        if e.prim == "sqrt" and isinstance(a, Var) and self._squares(a):
            return Shape.CONVEX, "norm"
        if e.prim == "add":
            for x, y in (e.ins, e.ins[::-1]):
                if isinstance(x, Var) and x in self.logs and self._root(y, SAME - {"spread"}) is self.logs[x]:
                    return Shape.CONVEX, "logarithm of a sum of exponentials, shifted for stability"
        if e.prim == "sub" and self._log_softmax(e):
            return Shape.CONCAVE, "logarithm of softmax"
        if e.prim == "mul" and self._times_logarithm(e):
            return Shape.CONVEX, "x times log x"
        return None

    def _greater(self, e: Eqn) -> Shape:
        """``where(a < b, b, a)`` and ``where(a < b, b - a, 0)`` are maxima, the other way round minima; or two pieces of one."""
        test = self.made.get(e.ins[0]) if isinstance(e.ins[0], Var) else None
        if test is None or test.prim not in ("lt", "le", "gt", "ge"):
            return Shape.UNKNOWN
        a, b = test.ins if test.prim in ("lt", "le") else test.ins[::-1]
        yes, no = e.ins[1:]
        if _same(yes, b) and _same(no, a):
            self._at_least(e.out, yes, no)
            return composed("convex", (1, 1), [self.shape(a), self.shape(b)])
        if _same(yes, a) and _same(no, b):
            return composed("concave", (1, 1), [self.shape(a), self.shape(b)])
        for zero, rest, more, less in ((no, yes, b, a), (yes, no, a, b)):
            minus = self.made.get(rest) if isinstance(rest, Var) else None
            if (
                minus is not None
                and minus.prim == "sub"
                and _zero(zero)
                and _same(minus.ins[0], more)
                and _same(minus.ins[1], less)
            ):
                return composed("convex", (1,), [self.shape(rest)])
        return two_pieces(e, self.made, self.interval, self.shape, lambda g, r: _Prover(g, [r]).shape(g.outs[0]))

    def _at_least(self, v: Var, *others: Atom) -> None:
        """A maximum is no less than any of its operands, which its range may not show yet."""
        known = self.range[v]
        for a in others:
            known = known._replace(low=np.maximum(known.low, self.interval(a).low))
        self.range[v] = known

    def _product(self, e: Eqn, shapes: Sequence[Shape]) -> Shape:
        """Sums, products with constants of one sign, squares, and quadratic forms."""
        if len(e.ins) == 1:
            return shapes[0]
        for k in (0, 1):
            if shapes[1 - k] is Shape.CONSTANT:
                c = self.interval(e.ins[1 - k])
                return turned(shapes[k], 1 if np.all(c.low >= 0) else -1 if np.all(c.high <= 0) else 0)
        square = self._as_square(e)
        if square is not None:
            sign, base = square
            s, r = self.shape(base), self.interval(base)
            return turned(row_shape(TABLE["square"], {}, [s], [r]), sign)
        if all(s is Shape.AFFINE for s in shapes) and e.out.type.shape == ():
            return self._quadratic_form(e.out)
        return Shape.UNKNOWN

    def _as_square(self, e: Eqn) -> tuple[int, Atom] | None:
        """c x times x, element by element, with constants c of one sign: (sign, x)."""
        spec = e.params.get("spec", "i,i->")
        if len(set(spec.split("->")[0].split(","))) != 1:
            return None
        (c, x), (d, y) = map(self._scaled, e.ins)
        return (c * d, x) if x is y and c * d else None

    def _scaled(self, a: Atom) -> tuple[int, Atom]:
        """a = c x with constants c of one sign: (sign, x)."""
        e = self.made.get(a) if isinstance(a, Var) else None
        if e is None or e.prim not in ("mul", "div", "neg"):
            return 1, a
        if e.prim == "neg":
            sign, x = self._scaled(e.ins[0])
            return -sign, x
        for k in (0, 1) if e.prim == "mul" else (0,):
            if self.shape(e.ins[1 - k]) is Shape.CONSTANT:
                c = self.interval(e.ins[1 - k])
                sign, x = self._scaled(e.ins[k])
                return sign * (1 if np.all(c.low > 0) else -1 if np.all(c.high < 0) else 0), x
        return 1, a

    def _quadratic_form(self, v: Var) -> Shape:
        """The shape of a product of two affine functions: of its Hessian, which is the same everywhere."""
        if sum(x.type.size for x in self.g.ins) > 256:
            return Shape.UNKNOWN
        part = live(Graph(self.g.ins, self.g.eqns, (v,)))
        p = Flat(lambda x: inline(current(), part, [x])[0], np.zeros(part.ins[0].type.shape))
        return definite(matrix(p, p.x0))[0] if quadratic(p) else Shape.UNKNOWN

    # --- patterns --------------------------------------------------------------------------------------------------------------

    def _unguarded(self, e: Eqn) -> Eqn:
        """``where(y == 0, g(0), g(where(y == 0, anything, y)))`` is g(y), written so that its derivative is finite at 0."""
        if e.prim != "select" or not all(isinstance(a, Var) for a in (e.ins[0], e.ins[2])):
            return e
        test, outer = self.made.get(e.ins[0]), self.made.get(e.ins[2])  # pyright: ignore[reportArgumentType]
        if test is None or outer is None or test.prim != "eq" or not _zero(test.ins[1]) or len(outer.ins) != 1:
            return e
        inner = self.made.get(outer.ins[0]) if isinstance(outer.ins[0], Var) else None
        row, y = TABLE[outer.prim], test.ins[0]
        if inner is None or inner.prim != "select" or inner.ins[0] is not e.ins[0] or inner.ins[2] is not y:
            return e
        if row.kind != "unary" or not isinstance(e.ins[1], Lit) or not _value_at_zero(row, e.ins[1]):
            return e
        return outer._replace(ins=(y,), outs=e.outs)

    def _squares(self, v: Var) -> bool:
        """Is v a sum of squares of affine functions (or of convex ones that are not negative)?"""
        e = self.made.get(v)
        if e is None:
            return False
        if e.prim in ("reshape", "spread") or (e.prim == "contract" and len(e.ins) == 1):
            return isinstance(e.ins[0], Var) and self._squares(e.ins[0])
        if e.prim == "add":
            return all((isinstance(a, Lit) and np.all(a.value >= 0)) or (isinstance(a, Var) and self._squares(a)) for a in e.ins)
        if e.prim == "square":
            return self._rooted(e.ins[0])
        if e.prim in ("mul", "contract"):
            square = self._as_square(e)
            return square is not None and square[0] > 0 and self._rooted(square[1])
        return False

    def _rooted(self, a: Atom) -> bool:
        s = self.shape(a)
        return s in (Shape.AFFINE, Shape.CONSTANT) or (s is Shape.CONVEX and bool(np.all(self.interval(a).low >= 0)))

    def _times_logarithm(self, e: Eqn) -> bool:
        for x, y in (e.ins, e.ins[::-1]):
            log = self.made.get(y) if isinstance(y, Var) else None
            if log is not None and log.prim == "log" and log.ins[0] is x and self.shape(x) is Shape.AFFINE:
                return True
        return False

    def _note_exponentials(self, e: Eqn) -> None:
        """Sums, positive multiples and products of exponentials of convex functions are log-convex."""
        v = e.outs[0]
        if e.prim == "exp":
            if self.shape(e.ins[0]) in (Shape.CONSTANT, *CONVEX):
                self.logconvex[v] = None
            else:
                self._note_shifted(e)
        elif e.prim == "log" and isinstance(e.ins[0], Var) and self.logconvex.get(e.ins[0]) is not None:
            self.logs[v] = self.logconvex[e.ins[0]]  # pyright: ignore[reportArgumentType]
        elif e.prim == "reshape" and isinstance(e.ins[0], Var):
            for notes in (self.logconvex, self.logs):
                if e.ins[0] in notes:
                    notes[v] = notes[e.ins[0]]  # pyright: ignore[reportArgumentType]
        elif e.prim in ("add", "mul", "contract", "div", "spread"):
            self._note_sum(e)

    def _note_shifted(self, e: Eqn) -> None:
        """exp(x - s) with x convex and s the same along the axes that are summed next."""
        minus = self.made.get(e.ins[0]) if isinstance(e.ins[0], Var) else None
        if minus is not None and minus.prim == "sub" and self.shape(minus.ins[0]) in (Shape.CONSTANT, *CONVEX):
            root = self._root(minus.ins[1])
            if root is not None:
                self.shifted[e.outs[0]] = root, self._spread_axes(minus.ins[1])

    def _note_sum(self, e: Eqn) -> None:
        v = e.outs[0]
        if e.prim == "contract" and len(e.ins) == 1 and isinstance(e.ins[0], Var) and e.ins[0] in self.shifted:
            root, axes = self.shifted[e.ins[0]]
            letters, kept = e.params["spec"].split("->")
            lost = frozenset(k for k, a in enumerate(letters) if a not in kept)
            if lost == axes and [a for a in letters if a in kept] == list(kept):
                self.logconvex[v] = root
            return
        ins = e.ins[:1] if e.prim == "div" else e.ins
        good = [isinstance(a, Var) and a in self.logconvex and self.logconvex[a] is None for a in ins]
        positive = [self.shape(a) is Shape.CONSTANT and bool(np.all(self.interval(a).low >= 0)) for a in e.ins]
        if any(good) and all(x or y for x, y in zip(good, positive, strict=False)) and (e.prim != "div" or positive[1]):
            self.logconvex[v] = None

    def _root(self, a: Atom, through: frozenset[str] = SAME) -> Var | None:
        """What a only repeats, gives axes of size 1 or guards against infinity."""
        while isinstance(a, Var):
            e = self.made.get(a)
            if e is None:
                return a
            if e.prim in through and (e.prim != "reshape" or _squeezed(e.ins[0]) == _squeezed(a)):
                a = e.ins[0]
                continue
            test = self.made.get(e.ins[0]) if e.prim == "select" and isinstance(e.ins[0], Var) else None
            if test is None or test.prim != "isfinite" or test.ins[0] is not e.ins[1]:
                return a
            a = e.ins[1]
        return None

    def _spread_axes(self, a: Atom) -> frozenset[int]:
        e = self.made.get(a) if isinstance(a, Var) else None
        return frozenset(e.params["axes"]) if e is not None and e.prim == "spread" else frozenset()

    def _log_softmax(self, e: Eqn) -> bool:
        """z - log sum exp z, where z = x - s with affine x and s the same along the axes summed over."""
        z = self.made.get(e.ins[0]) if isinstance(e.ins[0], Var) else None
        root = self._root(e.ins[1])
        if z is None or root is None or root not in self.logs or z.prim != "sub":
            return False
        same = self._root(z.ins[1]) is self.logs[root] and self._spread_axes(z.ins[1]) == self._spread_axes(e.ins[1])
        return same and self.shape(z.ins[0]) in (Shape.AFFINE, *CONCAVE)


def _same(a: Atom, b: Atom) -> bool:
    """Are these the same value?"""
    if isinstance(a, Var) or isinstance(b, Var):
        return a is b
    return a.type == b.type and a.splat == b.splat and bool(np.all(a.value == b.value))


def _squeezed(a: Atom) -> tuple[int, ...]:
    return tuple([n for n in a.type.shape if n != 1])


def _zero(a: Atom) -> bool:
    return isinstance(a, Lit) and a.is_number(0)


def _value_at_zero(row: Row, lit: Lit) -> bool:
    assert row.value is not None
    with np.errstate(all="ignore"):
        return lit.splat and bool(np.asarray(lit.value) == row.value(0.0))


__all__ = ["Convexity", "convexity"]
