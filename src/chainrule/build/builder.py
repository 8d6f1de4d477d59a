"""The collector of equations, and the stack of collectors at work."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.context import CURRENT
from chainrule.build.row import Evaluate, Row
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Atom, Eqn, Graph, Lit, Var
from chainrule.ir.hints import Hint
from chainrule.ir.types import ArrayType
from chainrule.ir.where import Where, here


class Builder:
    """Collects equations; values of an outer builder are captured as extra inputs.

    With `evaluate`, every equation is also run as it is written (eager calls), so that Python control flow on values
    works.  Arrays held in `data` may be smaller than their type where NumPy's broadcasting will do the rest.
    """

    __slots__ = ("_outer_atoms", "alive", "captured", "data", "eqns", "evaluate", "ins", "what", "where")

    def __init__(self, evaluate: Evaluate | None = None, what: str = "function") -> None:
        self.ins: list[Var] = []
        self.eqns: list[Eqn] = []
        self.captured: dict[Var, Value] = {}
        self._outer_atoms: dict[Var, Value] = {}
        self.data: dict[Var, Array] = {}
        self.evaluate = evaluate
        self.where: Where | None = None
        self.alive = True
        self.what = what

    def input(self, t: ArrayType, data: Array | None = None, weak: type | None = None, hint: Hint | None = None) -> Value:
        """A new input."""
        v = Var(t, weak, hint)
        self.ins.append(v)
        if data is not None:
            self.data[v] = data
        return Value(self, v, data)

    def constant(self, x: Array, shape: tuple[int, ...] | None = None) -> Value:
        """An array, or with `shape` one number for all elements of it."""
        return Value(self, Lit(x, ArrayType(x.dtype, x.shape if shape is None else shape)), x)

    def lift(self, x: Value) -> Value:
        """`x` as a value of this builder."""
        if x.builder is self:
            return x
        atom = x.atom
        if isinstance(atom, Lit):
            return Value(self, atom, atom.value)
        known = self._outer_atoms.get(atom)
        if known is None:
            if not x.builder.alive:
                raise errors.EscapedValueError.about(x)
            v = Var(atom.type, atom.weak, atom.hint)
            self.captured[v] = x
            known = self._outer_atoms[atom] = Value(self, v, x.data)
            if x.data is not None:
                self.data[v] = x.data
        return known

    def add(self, row: Row, xs: Sequence[Value], params: Mapping[str, Any]) -> tuple[Value, ...]:
        """Append ``row[params](*xs)``; operands have the types that the row asks for."""
        ins = [x if x.builder is self else self.lift(x) for x in xs]
        atoms: tuple[Atom, ...] = tuple([x.atom for x in ins])
        types = row.type([a.type for a in atoms], params)
        if row.pointwise and _all_splat(atoms):
            return (self._folded(row, atoms, types[0], params),)
        datas = None if self.evaluate is None else self._evaluated(row, ins, params)
        where, hint = (here(2), None) if self.where is None else (self.where, "")
        if len(types) == 1:
            v = Var(types[0], None, hint)
            self.eqns.append(Eqn(row.name, atoms, (v,), params, where))
            if datas is None:
                return (Value(self, v, None),)
            self.data[v] = d = datas[0]
            return (Value(self, v, d),)
        outs = tuple([Var(t, None, hint) for t in types])
        self.eqns.append(Eqn(row.name, atoms, outs, params, where))
        if datas is None:
            return tuple([Value(self, v, None) for v in outs])
        self.data.update(zip(outs, datas, strict=True))
        return tuple([Value(self, v, d) for v, d in zip(outs, datas, strict=True)])

    def copy(self, e: Eqn, row: Row, ins: Sequence[Value]) -> tuple[Value, ...]:
        """Append `e` with other operands of the same types."""
        if self.evaluate is not None:
            return self.add(row, ins, e.params)
        atoms: tuple[Atom, ...] = tuple([x.atom if x.builder is self else self.lift(x).atom for x in ins])
        outs = tuple([Var(v.type) for v in e.outs])
        self.eqns.append(Eqn(e.prim, atoms, outs, e.params, e.where))
        return tuple([Value(self, v, None) for v in outs])

    def _evaluated(self, row: Row, ins: Sequence[Value], params: Mapping[str, Any]) -> Sequence[Array] | None:
        assert self.evaluate is not None
        datas: list[Array] = []
        for x in ins:
            if x.data is None:
                return None
            datas.append(x.data if row.pointwise else x.full)
        return (row.value(*datas, **params),) if row.pointwise and row.value else self.evaluate(row, datas, params)

    def _folded(self, row: Row, atoms: Sequence[Atom], t: ArrayType, params: Mapping[str, Any]) -> Value:
        assert row.value is not None
        with np.errstate(all="ignore"):
            y = np.asarray(row.value(*[a.value for a in atoms if isinstance(a, Lit)], **params))
        return Value(self, Lit(y, t), y)

    def finish(self, outs: Sequence[Value]) -> Graph:
        """The graph from all inputs, captured ones first, to `outs`."""
        atoms = tuple([self.lift(x).atom for x in outs])
        return Graph((*self.captured, *self.ins), tuple(self.eqns), atoms)

    @contextmanager
    def here(self) -> Generator[Builder, None, None]:
        """Send equations to this builder."""
        token = CURRENT.set(self)
        try:
            yield self
        finally:
            CURRENT.reset(token)
            self.alive = False


def _all_splat(atoms: Sequence[Atom]) -> bool:
    return not any(isinstance(a, Var) or a.value.ndim for a in atoms)


def current(xs: Sequence[Any] = ()) -> Builder:
    """The builder that equations on `xs` go to now."""
    b = CURRENT.get()
    if b is None:
        raise errors.EscapedValueError.outside(xs)
    return b


def current_or_none() -> Builder | None:
    """The builder that equations go to now, if a function is being traced."""
    return CURRENT.get()


def _transformed() -> Where | None:
    """The user's place of the equation that is being transformed, if one is."""
    b = CURRENT.get()
    return None if b is None else b.where


errors.locate_by(_transformed)
