"""Evaluate with NumPy: the reference engine, and the one that eager calls run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.build.row import Row
from chainrule.emit.watch import Watched, watching
from chainrule.ir.graph import Array, Eqn, Graph, Lit, Params, Var
from chainrule.prims import TABLE
from chainrule.prims.einsum import plan

Kernel = Callable[..., Any]
Runner = Callable[[Sequence[Array], Params], Sequence[Array]]

STRUCTURED: dict[str, Runner] = {}
"""Row that holds graphs -> how to run it."""


def evaluate(row: Row, xs: Sequence[Array], params: Params) -> Sequence[Array]:
    """Run one equation on arrays of its operands' full shapes."""
    run = STRUCTURED.get(row.name)
    if run is not None:
        return run(xs, params)
    assert row.value is not None
    y = row.value(*xs, **params)
    return y if type(y) is tuple else (y,)


class Step(NamedTuple):
    """One equation, ready to run on registers."""

    kernel: Kernel
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    single: bool
    dead: tuple[int, ...]


class Program:
    """A graph as a list of NumPy calls on numbered registers; registers are freed as soon as nobody reads them."""

    __slots__ = ("constants", "inputs", "outs", "registers", "steps")

    def __init__(self, g: Graph, shapes: Sequence[tuple[int, ...]] | None = None) -> None:
        """`shapes` are those of the arrays that will come, where they are smaller than their types (see `spread`)."""
        number: dict[Var, int] = {}
        self.constants: list[tuple[int, Array]] = []
        small: dict[int, tuple[int, ...]] = {}
        for v, shape in zip(g.ins, shapes or [v.type.shape for v in g.ins], strict=True):
            number[v] = len(number)
            small[number[v]] = shape
        self.inputs = len(number)
        self.registers = self.inputs

        def register(a: Any) -> int:
            if isinstance(a, Lit):
                self.constants.append((self.registers, a.value))
                small[self.registers] = a.value.shape
                self.registers += 1
                return self.registers - 1
            return number[a]

        steps: list[Step] = []
        for e in g.eqns:
            ins = tuple([register(a) for a in e.ins])
            kernel, shapes = _kernel(e, [small[i] for i in ins])
            outs = tuple(range(self.registers, self.registers + len(e.outs)))
            self.registers += len(outs)
            number.update(zip(e.outs, outs, strict=True))
            small.update(zip(outs, shapes, strict=True))
            steps.append(Step(kernel, ins, outs, len(outs) == 1 and e.prim not in STRUCTURED, ()))
        self.outs = [(register(a), a.type.shape) for a in g.outs]
        self.steps = _freed(steps, {r for r, _ in self.outs} | {r for r, _ in self.constants})

    def __call__(self, *args: Array) -> list[Array]:
        with np.errstate(all="ignore"):
            return self.run(args)

    def run(self, args: Sequence[Array]) -> list[Array]:
        """The outputs; the caller has silenced NumPy's warnings."""
        regs: list[Any] = [None] * self.registers
        regs[: self.inputs] = args
        for r, x in self.constants:
            regs[r] = x
        for kernel, ins, outs, single, dead in self.steps:
            if len(ins) == 2:
                y = kernel(regs[ins[0]], regs[ins[1]])
            elif len(ins) == 1:
                y = kernel(regs[ins[0]])
            else:
                y = kernel(*[regs[i] for i in ins])
            if single:
                regs[outs[0]] = y
            else:
                for r, z in zip(outs, y, strict=True):
                    regs[r] = z
            for r in dead:
                regs[r] = None
        return [_whole(regs[r], shape) for r, shape in self.outs]


def _whole(x: Array, shape: tuple[int, ...]) -> Array:
    return x if x.shape == shape else np.broadcast_to(x, shape)


def _freed(steps: Sequence[Step], keep: set[int]) -> list[Step]:
    """Note at each step which registers nobody reads any more."""
    seen = set(keep)
    out: list[Step] = []
    for s in reversed(steps):
        dead = tuple(dict.fromkeys(r for r in (*s.ins, *s.outs) if r not in seen))
        seen.update(dead)
        out.append(s._replace(dead=dead))
    return out[::-1]


def _kernel(e: Eqn, small: Sequence[tuple[int, ...]]) -> tuple[Kernel, list[tuple[int, ...]]]:
    """The call that runs `e`, and the shapes of what it leaves in its registers (see `spread`)."""
    row = TABLE[e.prim]
    if row.pointwise and row.value is not None:
        kernel = partial(row.value, **e.params) if e.params else row.value
        return kernel, [np.broadcast_shapes(*small)]
    wanted = [a.type.shape for a in e.ins]
    if row.name == "spread":
        (x,) = small
        kernel = partial(row.value or _never, **e.params)
        if x != wanted[0]:
            kernel = _widened(kernel, wanted)
            x = wanted[0]
        axes, shape = e.params["axes"], e.params["shape"]
        left = tuple([1 if k in axes else n for k, n in enumerate(shape)])
        return kernel, [x if axes == tuple(range(len(axes))) else left]
    kernel = _plain(e, row)
    if list(small) != wanted:
        kernel = _widened(kernel, wanted)
    return kernel, [v.type.shape for v in e.outs]


def _plain(e: Eqn, row: Row) -> Kernel:
    if row.name in STRUCTURED:
        run = STRUCTURED[row.name]
        return lambda *xs: run(xs, e.params)
    if row.name == "contract":
        return plan(e.params["spec"], tuple([a.type.shape for a in e.ins]))
    return partial(row.value or _never, **e.params) if e.params else row.value or _never


def _never(*_: Any) -> Any:
    raise AssertionError("a row without a value was run")


def _widened(kernel: Kernel, shapes: Sequence[tuple[int, ...]]) -> Kernel:
    return lambda *xs: kernel(*[_whole(x, s) for x, s in zip(xs, shapes, strict=True)])


_programs: WeakKeyDictionary[Graph, Program] = WeakKeyDictionary()


def compiled(g: Graph) -> Program | Watched:
    """The program of a graph, made once."""
    if watching():
        return Watched(g)
    p = _programs.get(g)
    if p is None:
        p = _programs[g] = Program(g)
    return p


def to_numpy(g: Graph) -> Callable[..., list[Array]]:
    """Graph -> a function of arrays."""
    return compiled(g)
