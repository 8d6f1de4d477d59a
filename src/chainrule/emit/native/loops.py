"""One pass over arrays: a list of operations on the elements, fused, vectorised, with what is stored and what is reduced.

A `Kernel` says what to do at every point of a grid; `emit` writes the loops. Nothing here chooses: what belongs in one
kernel is the scheduler's decision. Every access is checked against the size of its buffer before any code is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import vectors
from .builder import F32, F64, I1, I8, I32, I64, Function, Type, Val, select
from .math import HEAVY, PREDICATES, apply
from .row_blocks import RowBlocks, rows_together
from .target import VIRTUAL_BYTES

__all__ = ["TYPES", "Kernel", "Operand", "Reduce", "Stage", "Step", "emit", "emit_columns"]

I16 = Type("i16")
TYPES: dict[str, Type] = {
    "float64": F64, "float32": F32, "int64": I64, "int32": I32, "int16": I16, "int8": I8, "bool": I1,
    "uint64": I64, "uint32": I32, "uint16": I16, "uint8": I8,
}  # fmt: skip
"""The type of a dtype. Signs are a matter of operations: those of unsigned numbers are called `unsigned_...`."""
_BUSY = 4  # a body with as many steps keeps the processor busy with one accumulator


@dataclass(frozen=True)
class Operand:
    """An array as a kernel walks it: element (i, j, ...) of the grid is at offset + i strides[0] + j strides[1] + ...

    Args:
        dtype: a name of `TYPES`; a `bool` is a byte in memory.
        strides: one per axis of the grid, in elements; 0 repeats the array along that axis.
        size: elements that may be touched, counted from the pointer.
        offset: where the first element is.
    """

    dtype: str
    strides: tuple[int, ...]
    size: int
    offset: int = 0

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Refuse an operand of which some element would lie outside its buffer."""
        if len(self.strides) != len(shape):
            raise ValueError(f"operand {name} has {len(self.strides)} strides on a grid of {len(shape)} axes")
        reach = [(n - 1) * s for n, s in zip(shape, self.strides, strict=True)]
        first, last = (self.offset + sum(limit(0, r) for r in reach) for limit in (min, max))
        if all(shape) and not 0 <= first <= last < self.size:
            raise ValueError(f"operand {name} reaches elements {first} to {last} of {self.size}")


Input = str | float | int


@dataclass(frozen=True)
class Step:
    """`out = op(*inputs)`. Inputs are operands, earlier values, or numbers; `to` is the dtype of an `astype` or a `where`."""

    out: str
    op: str
    inputs: tuple[Input, ...]
    to: str = ""


@dataclass(frozen=True)
class Reduce:
    """`out` = the `sum`, `prod`, `max`, `min`, `any` or `all` of a value along the last axis; later stages may use it."""

    out: str
    op: str
    value: Input


@dataclass(frozen=True)
class Stage:
    """One pass along the last axis, and then, once per row, what is done with its reductions.

    `row_adds` are (value, operation of a `Reduce`, operand): values of rows gathered in memory over the rows.
    """

    steps: tuple[Step, ...] = ()
    stores: tuple[tuple[Input, str], ...] = ()
    reduces: tuple[Reduce, ...] = ()
    row_steps: tuple[Step, ...] = ()
    row_stores: tuple[tuple[Input, str], ...] = ()
    row_adds: tuple[tuple[Input, str, str], ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A grid, the arrays on it, and the passes over each row.

    An element's value does not outlive its stage: a later stage that needs it loads what was stored, or computes it
    again. Values of a row (reductions, and steps made of them) last until the row ends.
    """

    shape: tuple[int, ...]
    operands: Mapping[str, Operand]
    stages: tuple[Stage, ...] = field(default=())

    def check(self) -> None:
        for name, operand in self.operands.items():
            operand.check(name, self.shape)

    @property
    def lanes(self) -> int:
        """Lanes of the kernel: as many of its widest numbers as make a virtual vector."""
        bits = [TYPES[o.dtype].bits for o in self.operands.values() if o.dtype != "bool"]
        bits += [TYPES[s.to].bits for stage in self.stages for s in stage.steps if s.to and s.to != "bool"]
        return VIRTUAL_BYTES * 8 // max(bits, default=8)


def collapse(kernel: Kernel, keep_first: bool = False) -> Kernel:
    """The same kernel on fewer axes: neighbours that every operand walks in one stride become one axis.

    The last axis grows only where nothing is reduced along it, and the first stays apart if rows are dealt out.
    """
    kernel = _without_ones(kernel, keep_first)
    reduces = any(s.reduces or s.row_steps or s.row_stores or s.row_adds for s in kernel.stages)
    axis = len(kernel.shape) - (3 if reduces else 2)
    while axis >= (1 if keep_first else 0):
        inner = kernel.shape[axis + 1]
        if all(o.strides[axis] == inner * o.strides[axis + 1] for o in kernel.operands.values()):
            kernel = _merge(kernel, axis)
        axis -= 1
    return kernel


def _without_ones(kernel: Kernel, keep_first: bool) -> Kernel:
    last = len(kernel.shape) - 1
    kept = [k for k, n in enumerate(kernel.shape) if n != 1 or k == last or (k == 0 and keep_first)]
    operands = {name: replace(o, strides=tuple(o.strides[k] for k in kept)) for name, o in kernel.operands.items()}
    return replace(kernel, shape=tuple(kernel.shape[k] for k in kept), operands=operands)


def _merge(kernel: Kernel, axis: int) -> Kernel:
    n = kernel.shape[axis] * kernel.shape[axis + 1]
    shape = (*kernel.shape[:axis], n, *kernel.shape[axis + 2 :])
    operands = {name: replace(o, strides=(*o.strides[:axis], *o.strides[axis + 1 :])) for name, o in kernel.operands.items()}
    return replace(kernel, shape=shape, operands=operands)


def emit(f: Function, kernel: Kernel, pointers: Mapping[str, Val], rows: tuple[Val, Val] | None = None) -> None:
    """Append the loops of a kernel to a function.

    Args:
        f: the function being written.
        kernel: what to do. A reduction adds along fixed lanes in a fixed tree, the same on every machine.
        pointers: the address of each operand.
        rows: first and last + 1 of the rows of axis 0 to do, for one share of the work; 0 <= first <= last <= shape[0].

    Raises:
        ValueError: an operand would be read or written outside its buffer.
    """
    kernel.check()
    if not kernel.shape or (rows is not None and len(kernel.shape) < 2):
        raise ValueError("a kernel has an axis, and one more if its rows are dealt out")
    if 0 in kernel.shape[:-1] or (kernel.shape[-1] == 0 and not any(s.reduces for s in kernel.stages)):
        return
    Emitter(f, collapse(kernel, rows is not None), pointers, rows).rows()


def _used(stage: Stage) -> set[Input]:
    """What the pass of a stage reads."""
    return {i for s in stage.steps for i in s.inputs} | {v for v, _ in stage.stores} | {r.value for r in stage.reduces}


def emit_columns(f: Function, kernel: Kernel, pointers: Mapping[str, Val], rows: tuple[Val, Val] | None = None) -> None:
    """Append a kernel of two axes and one stage whose reductions run down the columns, each in the order of the rows.

    Args:
        f, pointers: as in `emit`.
        kernel: `row_steps` and `row_stores` of its stage follow once per column, on vectors of columns.
        rows: first and last + 1 of the rows to reduce, for one share of the work; 0 <= first <= last <= shape[0].
    """
    kernel.check()
    if len(kernel.shape) != 2 or len(kernel.stages) != 1:
        raise ValueError("columns are reduced in a kernel of two axes and one stage")
    if kernel.shape[1]:
        Emitter(f, kernel, pointers, rows).columns()


class Emitter:
    """Writes one kernel. Values live at one of three levels: the kernel, the row, the element."""

    def __init__(self, f: Function, kernel: Kernel, pointers: Mapping[str, Val], share: tuple[Val, Val] | None):
        self.f, self.kernel, self.pointers, self.share = f, kernel, pointers, share
        self.lanes = kernel.lanes
        self.fixed: dict[str, Val] = {}  # scalars that hold for the whole kernel or row
        self.splats: dict[str, Val] = {}
        self.done: dict[str, Step] = {}
        self.together = rows_together(kernel, {name: TYPES[o.dtype].bits for name, o in kernel.operands.items()})
        read: set[Input] = set()
        for stage in kernel.stages:
            read |= _used(stage) | {i for step in stage.row_steps for i in step.inputs} | {v for v, _ in stage.row_stores}
            read |= {v for v, _, _ in stage.row_adds}
        self.read = [name for name in kernel.operands if name in read]

    # -- the nest of loops ------------------------------------------------------------------------------------------

    def rows(self) -> None:
        self._axis(0, self._bases())

    def _bases(self) -> dict[str, Val]:
        """Where each operand starts; those that are one number are loaded once."""
        bases = {n: self.f.offset(self.pointers[n], o.offset, self._memory(n)) for n, o in self.kernel.operands.items()}
        for name in self.read:
            if not any(self.kernel.operands[name].strides):
                self.fixed[name] = vectors.load(bases[name], self.type_of(name))
        return bases

    def _axis(self, axis: int, bases: dict[str, Val]) -> None:
        """Loops over the outer axes; each adds its index times the stride to the addresses."""
        if axis == len(self.kernel.shape) - 1:
            self._row(bases)
            return
        start, stop = self.share if axis == 0 and self.share else (0, self.kernel.shape[axis])

        def body(i: Val, _: list[Val]) -> None:
            inner = {n: self.advance(n, base, i, self.kernel.operands[n].strides[axis]) for n, base in bases.items()}
            self._axis(axis + 1, inner)

        if axis == len(self.kernel.shape) - 2 and self.together:
            start = self._blocks(start, stop, bases)
        self.f.loop(start, stop, 1, body)

    def _blocks(self, start: Val | int, stop: Val | int, bases: dict[str, Val]) -> Val | int:
        """Rows in blocks; returns the first of those that are left over."""
        k, axis = self.together, len(self.kernel.shape) - 2

        def block(i: Val, _: list[Val]) -> None:
            here = {n: self.advance(n, b, i, self.kernel.operands[n].strides[axis]) for n, b in bases.items()}
            RowBlocks(self, k, here).write()

        if isinstance(start, int) and isinstance(stop, int):
            end: Val | int = start + (stop - start) // k * k
        else:
            first, last = (x if isinstance(x, Val) else self.f.i64(x) for x in (start, stop))
            end = first + ((last - first) & -k)
        self.f.loop(start, end, k, block)
        return end

    def pass_of_row(self, stage: Stage, bases: dict[str, Val], fixed: dict[str, Val]) -> dict[str, Val]:
        """The pass of a stage along one row, of which some values are known; returns its reductions."""
        outer, splats = self.fixed, self.splats
        self.fixed, self.splats = {**outer, **fixed}, dict(splats)
        self._splat_ahead(stage, stage.steps)
        found = self._pass(stage, bases)
        self.fixed, self.splats = outer, splats
        return found

    @staticmethod
    def used(stage: Stage) -> set[Input]:
        """What the pass of a stage reads."""
        return _used(stage)

    def advance(self, name: str, base: Val, index: Val, stride: int) -> Val:
        if not stride or index.ref == "0":
            return base
        if not index.ref.startswith("%"):
            return self.f.offset(base, int(index.ref) * stride, self._memory(name))
        return self.f.offset(base, index if stride == 1 else index * stride, self._memory(name))

    def _row(self, bases: dict[str, Val]) -> None:
        outer, splats = dict(self.fixed), dict(self.splats)
        for name in self.read:
            if name not in self.fixed and not self.kernel.operands[name].strides[-1]:
                self.fixed[name] = vectors.load(bases[name], self.type_of(name))
        for stage in self.kernel.stages:
            self._stage(stage, bases)
        self.fixed, self.splats = outer, splats

    def _stage(self, stage: Stage, bases: dict[str, Val]) -> None:
        """Steps of row values first, once; then the pass; then what follows from its reductions."""
        steps: list[Step] = []
        for step in stage.steps:
            if all(not isinstance(i, str) or i in self.fixed for i in step.inputs):
                self._fix(step)
            else:
                steps.append(step)
        if stage.stores or stage.reduces:
            self._splat_ahead(stage, steps)
            results = self._pass(replace(stage, steps=tuple(steps)), bases)
            self.fixed.update(results)
        for step in stage.row_steps:
            self._fix(step)
        for value, name in stage.row_stores:
            vectors.store(self._scalar(value, self.type_of(name)), bases[name])
        for value, op, name in stage.row_adds:
            old = vectors.load(bases[name], self.type_of(name))
            vectors.store(vectors.combine(op, old, self._scalar(value, old.type)), bases[name])

    def _fix(self, step: Step) -> None:
        if self.done.get(step.out) == step and step.out in self.fixed:
            return  # an earlier pass over this row needed it too
        if step.out in self.fixed or step.out in self.kernel.operands:
            raise ValueError(f"{step.out} is defined twice")
        self.fixed[step.out] = self.apply(step, self.fixed)
        self.done[step.out] = step

    def _splat_ahead(self, stage: Stage, steps: Sequence[Step]) -> None:
        """Spread over the lanes, before the loop, the row values that the loop uses."""
        used = _used(replace(stage, steps=tuple(steps)))
        for name in sorted(n for n in used if isinstance(n, str) and n in self.fixed and n not in self.splats):
            self.splats[name] = self.f.splat(self.fixed[name], self.lanes)

    # -- down the columns -----------------------------------------------------------------------------------------------

    def columns(self) -> None:
        """Blocks of up to four vectors of columns; for each, all rows."""
        bases = self._bases()
        stage, n, w = self.kernel.stages[0], self.kernel.shape[1], self.lanes
        self._splat_ahead(stage, stage.steps)
        group = min(4 if len(stage.steps) < _BUSY else 1, max(n // w, 1))
        whole = n // (w * group) * (w * group)
        self.f.loop(0, whole, w * group, lambda j, _: self._column_block(stage, bases, j, [None] * group))
        for start in range(whole, n, w):
            self._column_block(stage, bases, self.f.i64(start), [n - start if n - start < w else None])

    def _column_block(self, stage: Stage, bases: dict[str, Val], j: Val, counts: list[int | None]) -> None:
        starts = [self._plus(j, k * self.lanes) for k in range(len(counts))]
        kinds = [self._value_type(r.value, stage).of(self.lanes) for r in stage.reduces]
        zeros = [vectors.neutral(r.op, self.f.const(0, t)) for r, t in zip(stage.reduces, kinds, strict=True)]

        def row(i: Val, old: list[Val]) -> list[Val]:
            here = {n: self.advance(n, b, i, self.kernel.operands[n].strides[0]) for n, b in bases.items()}
            found = [v for at, c in zip(starts, counts, strict=True) for v in self._body(stage, here, at, c)]
            return [
                vectors.combine(stage.reduces[k % len(zeros)].op, o, v) for k, (o, v) in enumerate(zip(old, found, strict=True))
            ]

        first, last = self.share or (0, self.kernel.shape[0])
        sums = self.f.loop(first, last, 1, row, zeros * len(counts))
        for k, (at, count) in enumerate(zip(starts, counts, strict=True)):
            values = {r.out: sums[k * len(zeros) + m] for m, r in enumerate(stage.reduces)}
            self._finish_columns(stage, bases, values, at, count)

    def _finish_columns(self, stage: Stage, bases: dict[str, Val], values: dict[str, Val], at: Val, count: int | None) -> None:
        """What follows from the reductions of a vector of columns."""
        values = {**self.splats, **values}
        for step in stage.row_steps:
            for name in step.inputs:
                if isinstance(name, str) and name not in values:
                    values[name] = self._load(name, bases[name], at, count)
            values[step.out] = self.apply(step, values)
        for value, name in stage.row_stores:
            self._store(self._vector(value, values, self.type_of(name)), name, bases[name], at, count)

    # -- one pass along a row ------------------------------------------------------------------------------------------

    def _pass(self, stage: Stage, bases: dict[str, Val]) -> dict[str, Val]:
        """The loop over whole vectors, then the part that is left."""
        n, w = self.kernel.shape[-1], self.lanes
        light = len(stage.steps) < _BUSY and not any(s.op in HEAVY for s in stage.steps)
        group = min(4 if light and stage.reduces else 2 if light else 1, max(n // w, 1))
        kinds = [self._value_type(r.value, stage) for r in stage.reduces]
        zeros = [vectors.neutral(r.op, self.f.const(0, t.of(w))) for r, t in zip(stage.reduces, kinds, strict=True)]
        state = [z for z in zeros for _ in range(group)]

        def block(start: Val, parts: int, values: list[Val], count: int | None = None) -> list[Val]:
            out = list(values)
            for k in range(parts):
                at = start if k == 0 else self._plus(start, k * w)
                for r, v in enumerate(self._body(stage, bases, at, count)):
                    i = r * group + k
                    out[i] = vectors.combine(stage.reduces[r].op, out[i], vectors.only(stage.reduces[r].op, v, count))
            return out

        whole = n // (w * group) * (w * group)
        ops = [r.op for r in stage.reduces for _ in range(group)]
        state = vectors.in_blocks(self.f, whole, w * group, lambda i, c: block(i, group, c), state, ops)
        rest = (n - whole) // w
        if rest:
            state = block(self.f.i64(whole), rest, state)
        if n % w:
            state = block(self.f.i64(whole + rest * w), 1, state, n % w)
        return {r.out: vectors.tree(r.op, state[k * group : (k + 1) * group]) for k, r in enumerate(stage.reduces)}

    def _plus(self, i: Val, k: int) -> Val:
        return i + k if i.ref.startswith("%") else self.f.i64(int(i.ref) + k)

    def _body(self, stage: Stage, bases: dict[str, Val], at: Val, count: int | None) -> list[Val]:
        """One vector: load what the steps use, apply them, store; returns the values to reduce."""
        values = dict(self.splats)
        used = _used(stage)
        for name in self.read:
            if name in used and name not in values:
                values[name] = self._load(name, bases[name], at, count)
        for step in stage.steps:
            values[step.out] = self.apply(step, values)
        for value, name in stage.stores:
            self._store(self._vector(value, values, self.type_of(name)), name, bases[name], at, count)
        return [self._vector(r.value, values, None) for r in stage.reduces]

    def _load(self, name: str, base: Val, at: Val, count: int | None) -> Val:
        stride, t = self.kernel.operands[name].strides[-1], self.type_of(name).of(self.lanes)
        if not stride:
            return self.f.splat(vectors.load(base, self.type_of(name)), self.lanes)
        pointer = self.advance(name, base, at, stride)
        return vectors.load(pointer, t, count) if stride == 1 else vectors.load_strided(pointer, stride, t, count)

    def _store(self, value: Val, name: str, base: Val, at: Val, count: int | None) -> None:
        stride = self.kernel.operands[name].strides[-1]
        pointer = self.advance(name, base, at, stride)
        if stride == 1:
            vectors.store(value, pointer, count)
        else:
            vectors.store_strided(value, pointer, stride, count)

    # -- values --------------------------------------------------------------------------------------------------------

    def type_of(self, name: str) -> Type:
        return TYPES[self.kernel.operands[name].dtype]

    def _memory(self, name: str) -> Type:
        return vectors.memory_type(self.type_of(name))

    def apply(self, step: Step, values: Mapping[str, Val]) -> Val:
        known = [values[i] for i in step.inputs if isinstance(i, str)]
        if not known:
            raise ValueError(f"step {step.out} has no input but numbers")
        like = known[-1].type  # of `where`, the condition comes first and has another type
        if step.op == "where" and step.to:
            like = TYPES[step.to].of(known[-1].type.lanes)
        args = [values[i] if isinstance(i, str) else self.f.const(i, like) for i in step.inputs]
        if step.op.endswith("astype"):
            return cast(args[0], TYPES[step.to], step.op.startswith("unsigned"))
        return apply(self.f, step.op, *args)

    def _scalar(self, value: Input, type_: Type) -> Val:
        v = self.fixed[value] if isinstance(value, str) else self.f.const(value, type_)
        return self.checked(v, type_)

    def _vector(self, value: Input, values: Mapping[str, Val], type_: Type | None) -> Val:
        if not isinstance(value, str):
            return self.f.const(value, (type_ or F64).of(self.lanes))
        return self.checked(values[value], type_.of(self.lanes)) if type_ else values[value]

    @staticmethod
    def checked(v: Val, type_: Type) -> Val:
        if v.type != type_:
            raise ValueError(f"a value of type {v.type} cannot be stored as {type_}")
        return v

    def _value_type(self, value: Input, stage: Stage) -> Type:
        """The scalar type of a value of a pass."""
        types = {n: self.type_of(n) for n in self.kernel.operands} | {n: v.type for n, v in self.fixed.items()}
        for step in stage.steps:
            types[step.out] = _result_type(step, types)
        return types[value] if isinstance(value, str) else F64


def _result_type(step: Step, types: Mapping[str, Type]) -> Type:
    """Comparisons are booleans; everything else has the type of its last argument (of `where`, its first is another)."""
    if step.op.endswith("astype") or (step.op == "where" and step.to):
        return TYPES[step.to]
    if step.op in PREDICATES:
        return I1
    return [types[i] for i in step.inputs if isinstance(i, str)][-1]


def cast(v: Val, to: Type, unsigned: bool = False) -> Val:
    """Convert as NumPy does: floats to integers towards zero, booleans to 0 and 1."""
    target, source = to.of(v.type.lanes), v.type
    if source == target:
        return v
    if to.elem == "i1":
        return v.ne(0)
    name = _conversion(source, target)
    if unsigned:
        name = {"sitofp": "uitofp", "sext": "zext"}.get(name, name)
    if name == "saturate" and target.bits < 32:
        return v.f.cast("trunc", _float_to_int(v, I32.of(target.lanes)), target)
    return v.f.cast(name, v, target) if name != "saturate" else _float_to_int(v, target)


def _conversion(source: Type, target: Type) -> str:
    wider = target.bits > source.bits
    if source.elem == "i1":
        return "uitofp" if target.is_float else "zext"
    if source.is_float and target.is_float:
        return "fpext" if wider else "fptrunc"
    if source.is_float:
        return "saturate"
    return "sitofp" if target.is_float else "sext" if wider else "trunc"


def _float_to_int(v: Val, target: Type) -> Val:
    """Out of range gives the smallest integer, as x86 and so NumPy there have it; LLVM would leave it undefined."""
    lowest = -(2.0 ** (target.bits - 1))
    inside = v.ge(lowest) & v.lt(-lowest)
    number = v.f.cast("fptosi", select(inside, v, 0.0), target)
    return select(inside, number, int(lowest))
