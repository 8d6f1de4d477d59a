"""Several rows at a time, where dear operations are done once per row: these then work on vectors with one lane per row.

The passes along the rows stay as they are, row after row; only what follows from their reductions is gathered. No bit depends on
it, because a function gives the same bits for a number as for a lane of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from . import vectors
from .builder import Type, Val
from .math import HEAVY

if TYPE_CHECKING:
    from .loops import Emitter, Kernel, Stage, Step

__all__ = ["RowBlocks", "rows_together"]

_DEAR = HEAVY | {"divide", "sqrt", "reciprocal"}
_NEAR = 1 << 14  # bytes of the rows of a block: half of the nearest cache


def rows_together(kernel: Kernel, bits: Mapping[str, int]) -> int:
    """How many rows one block has; 0 if rows are better done one by one."""
    if len(kernel.shape) < 2 or not any(s.op in _DEAR for s in _row_level(kernel)) or _carries(kernel):
        return 0
    lanes = min(kernel.lanes, 1 << (kernel.shape[-2].bit_length() - 1))
    row = sum(kernel.shape[-1] * bits[name] // 8 for name, o in kernel.operands.items() if o.strides[-1] and o.strides[-2])
    return lanes if lanes > 1 and row * lanes <= _NEAR else 0


def _row_level(kernel: Kernel) -> list[Step]:
    """The steps that are done once per row."""
    known = {name for name, o in kernel.operands.items() if not o.strides[-1]}
    found: list[Step] = []
    for stage in kernel.stages:
        here = [s for s in stage.steps if _fixed(s, known) and not known.add(s.out)]
        found += [*here, *stage.row_steps]
        known.update([r.out for r in stage.reduces], [s.out for s in stage.row_steps])
    return found


def _fixed(step: Step, known: set[str]) -> bool:
    return all(not isinstance(i, str) or i in known for i in step.inputs)


def _carries(kernel: Kernel) -> bool:
    """Does one pass leave in memory, where the next row overwrites it, what another pass reads?"""
    for k, stage in enumerate(kernel.stages):
        still = {name for _, name in stage.stores if not kernel.operands[name].strides[-2]}
        others = {i for j, other in enumerate(kernel.stages) if j != k for s in other.steps for i in s.inputs}
        others |= {v for j, other in enumerate(kernel.stages) if j != k for v, _ in other.stores}
        others |= {r.value for j, other in enumerate(kernel.stages) if j != k for r in other.reduces}
        if still & others:
            return True
    return False


class RowBlocks:
    """Writes one block of rows of a kernel. `vector` holds values of its rows, `slots` those in memory, to read one by one."""

    def __init__(self, emitter: Emitter, lanes: int, bases: Mapping[str, Val]):
        self.e, self.f, self.lanes, self.bases = emitter, emitter.f, lanes, bases
        self.axis = len(emitter.kernel.shape) - 2
        self.vector: dict[str, Val] = {}
        self.slots: dict[str, Val] = {}
        self.done: dict[str, Step] = {}

    def write(self) -> None:
        """All stages, each on all rows before the next."""
        for stage in self.e.kernel.stages:
            self._stage(stage)

    def _stage(self, stage: Stage) -> None:
        steps = [s for s in stage.steps if not self._per_row(s)]
        if stage.stores or stage.reduces:
            self._passes(replace(stage, steps=tuple(steps)))
        for s in stage.row_steps:
            self._apply(s)
        for value, name in stage.row_stores:
            self._store(value, name)
        for value, op, name in stage.row_adds:
            self._add(value, op, name)

    # -- values of rows --------------------------------------------------------------------------------------------------

    def _known(self, name: object) -> bool:
        if not isinstance(name, str) or name in self.vector or name in self.e.fixed:
            return True
        return name in self.e.read and not self.e.kernel.operands[name].strides[-1]

    def _per_row(self, s: Step) -> bool:
        """Do a step of the pass here, if nothing in it differs along the row."""
        if not all(map(self._known, s.inputs)):
            return False
        if self.done.get(s.out) != s:
            self._apply(s)
        return True

    def _apply(self, s: Step) -> None:
        if s.out in self.vector or s.out in self.e.kernel.operands:
            raise ValueError(f"{s.out} is defined twice")
        self.vector[s.out] = self.e.apply(s, {i: self._of(i) for i in s.inputs if isinstance(i, str)})
        self.done[s.out] = s

    def _of(self, name: str) -> Val:
        """A value of every row of the block."""
        if name not in self.vector:
            if name in self.e.fixed:
                self.vector[name] = self.f.splat(self.e.fixed[name], self.lanes)
            else:
                stride, t = self.e.kernel.operands[name].strides[self.axis], self.e.type_of(name).of(self.lanes)
                at = self.bases[name]
                self.vector[name] = vectors.load(at, t) if stride == 1 else vectors.load_strided(at, stride, t)
        return self.vector[name]

    def _value(self, value: str | float | int, t: Type) -> Val:
        v = self._of(value) if isinstance(value, str) else self.f.const(value, t.of(self.lanes))
        return self.e.checked(v, t.of(self.lanes))

    # -- memory ----------------------------------------------------------------------------------------------------------

    def _store(self, value: str | float | int, name: str) -> None:
        v, stride = self._value(value, self.e.type_of(name)), self.e.kernel.operands[name].strides[self.axis]
        if stride == 1:
            vectors.store(v, self.bases[name])
        else:
            vectors.store_strided(v, self.bases[name], stride)

    def _add(self, value: str | float | int, op: str, name: str) -> None:
        """Row after row."""
        v, stride = self._value(value, self.e.type_of(name)), self.e.kernel.operands[name].strides[self.axis]
        t, base = self.e.type_of(name), self.bases[name]
        places = [self.f.offset(base, lane * stride, vectors.memory_type(t)) for lane in range(self.lanes if stride else 1)]
        for k, at in enumerate(places):
            new = vectors.load(at, t)
            for lane in [k] if stride else range(self.lanes):
                new = vectors.combine(op, new, self.f.extract(v, lane))
            vectors.store(new, at)

    def _slot(self, name: str) -> Val:
        """Memory with a value of every row."""
        if name not in self.slots:
            v = self._of(name)
            self.slots[name] = self.f.alloca(vectors.memory_type(v.type.scalar), self.lanes)
            vectors.store(v, self.slots[name])
        return self.slots[name]

    # -- passes ----------------------------------------------------------------------------------------------------------

    def _passes(self, stage: Stage) -> None:
        """The pass of a stage along each row."""
        used = self.e.used(stage)
        rows = sorted(n for n in used if isinstance(n, str) and n not in self.e.fixed and self._known(n))
        slots = {n: self._slot(n) for n in rows}
        found: dict[str, tuple[Val, Type]] = {}

        def one(r: Val, _: list[Val]) -> None:
            fixed = {n: vectors.load(self._at(slots[n], r, self.vector[n].type.scalar), self.vector[n].type.scalar) for n in rows}
            for name, v in self.e.pass_of_row(stage, self._advanced(r), fixed).items():
                if name not in found:
                    found[name] = self.f.alloca(vectors.memory_type(v.type), self.lanes), v.type
                vectors.store(v, self._at(found[name][0], r, v.type))

        self.f.loop(0, self.lanes, 1, one)
        for name, (slot, t) in found.items():
            self.slots[name], self.vector[name] = slot, vectors.load(slot, t.of(self.lanes))

    def _at(self, slot: Val, r: Val, t: Type) -> Val:
        return self.f.offset(slot, r, vectors.memory_type(t))

    def _advanced(self, r: Val) -> dict[str, Val]:
        return {n: self.e.advance(n, b, r, self.e.kernel.operands[n].strides[self.axis]) for n, b in self.bases.items()}
