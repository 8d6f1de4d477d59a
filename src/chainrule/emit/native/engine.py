"""`to_native`: a graph as one native function, and what happens where that cannot be."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import warnings
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.emit import numpy as reference
from chainrule.emit.engines import MISS
from chainrule.ir.graph import Array, Eqn, Graph, Lit, Var
from chainrule.ir.types import ArrayType
from chainrule.prims import TABLE

from . import cache, module
from .call import Array as Spec
from .call import Program
from .lower import lowered
from .operations import DTYPES, Survey, graphs_of, is_identity
from .plan import plan
from .pool import shared
from .target import host
from .write import program_ir

__all__ = ["Native", "to_native"]

_LONG = 20_000  # elements of the operands from which the interpreter is let go


@functools.cache
def _warn(reason: str) -> None:
    told = f"chainrule runs on the numpy engine, which is slower: {reason}. CHAINRULE_ENGINE=numpy chooses it without a warning."
    warnings.warn(told, RuntimeWarning, stacklevel=4)


def to_native(g: Graph) -> Callable[..., Sequence[Array]]:
    """A function of arrays that runs as machine code; on the numpy engine, with one warning, where the machine cannot."""
    why = module.reason()
    if why is not None:
        _warn(why)
        return reference.to_numpy(g)
    survey = Survey(g)
    foreign = sorted(d for d in survey.dtypes if d not in DTYPES)
    if foreign or not g.outs:
        return reference.to_numpy(g)
    try:
        return Native(g, survey)
    except Exception as error:  # a function that NumPy can run is run, whatever is wrong here; our tests make it an error
        _warn(f"compiling to machine code failed, {type(error).__name__}: {error}")
        return reference.to_numpy(g)


class Native:
    """A compiled graph. Call it with the arrays.

    `entry` is the same in machine code: one result comes bare, and arguments that are not C-contiguous arrays of the right
    dtypes and shapes give `MISS`. It is `strict` if it takes no Python number for an array.
    """

    def __init__(self, g: Graph, survey: Survey):
        self.graph, self.survey = g, survey
        name, constants = _key(g), [np.ascontiguousarray(a.value) for a in survey.constants]
        code, self.cached = cache.build(name, lambda: self._ir(len(constants)), ["kernel", "arena"])
        self.pending: list[BaseException] = []
        calls = [_callback(e, self.pending) for e, _ in survey.calls]
        external = [*[a.ctypes.data for a in constants], *[ctypes.cast(c, ctypes.c_void_p).value or 0 for c in calls]]
        self.program = Program(
            code, "kernel", _specs(g.in_types), _specs(g.out_types), arena=code.function("arena", restype=ctypes.c_int64)(),
            pool=shared(), release_gil=_long(g), external=tuple(external),
        )  # fmt: skip
        self._alive = constants, calls
        self.single = len(g.outs) == 1
        self.strict = not survey.calls and not _may_fail(g) and not any(t == (np.float64, ()) for t in g.in_types)
        self.entry = self.program.callable("native", _miss)

    def _ir(self, constants: int) -> str:
        p = plan(lowered(self.graph, self.survey))
        return program_ir(p, p.size, constants, host())

    def __call__(self, *args: Any) -> Sequence[Array]:
        try:
            out = self.entry(*args)
            if out is MISS:
                return self.program.run(*args)
        except SystemError:
            return self._again(args)
        return (out,) if self.single else out

    def explain(self) -> str:
        """The schedule, with what it moves and computes."""
        from .report import report

        p = plan(lowered(self.graph, self.survey))
        return report(p, self.program.arena, [why for _, why in self.survey.calls], shared().threads, self.cached)

    def _again(self, args: Sequence[Any]) -> Sequence[Array]:
        """NumPy, to raise the error that the machine code met."""
        self.pending.clear()
        return reference.Program(self.graph)(*map(np.asarray, args))


def _miss(*args: Any, **kwargs: Any) -> Any:
    return MISS


def _may_fail(g: Graph) -> bool:
    """Can an index be out of range?"""
    return any(e.prim in ("take", "scatter_add") or any(map(_may_fail, graphs_of(e))) for e in g.eqns)


def _specs(types: Sequence[ArrayType]) -> tuple[Spec, ...]:
    return tuple([Spec(t.dtype, t.shape) for t in types])


def _long(g: Graph) -> bool:
    """Does it take long enough to let other threads run?"""
    return any(e.prim in ("scan", "while") or sum(v.type.size for v in e.outs) > _LONG for e in g.eqns)


def _callback(e: Eqn, pending: list[BaseException]) -> Any:
    """Machine code that evaluates an equation with NumPy, given the addresses of its operands and results."""
    row, types = TABLE[e.prim], [a.type for a in e.ins]
    outs = [v.type for v in e.outs]

    def array(address: int, t: Any) -> Array:
        if not t.size:
            return np.empty(t.shape, t.dtype)
        raw = (ctypes.c_byte * (t.size * t.dtype.itemsize)).from_address(address)
        return np.frombuffer(raw, t.dtype, prod(t.shape)).reshape(t.shape)

    def run(addresses: Any) -> int:
        try:
            xs = [array(addresses[k], t) for k, t in enumerate(types)]
            with np.errstate(all="ignore"):
                ys = reference.evaluate(row, xs, e.params)
            for k, (y, t) in enumerate(zip(ys, outs, strict=True), len(types)):
                array(addresses[k], t)[...] = y
        except BaseException as error:
            pending.append(error)
            return 1
        return 0

    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))(run)


# --- the key -------------------------------------------------------------------------------------------------------------------


@functools.cache
def _sources() -> str:
    """A hash of this engine: what another version of it made is not taken."""
    h = hashlib.sha256()
    for p in sorted(Path(__file__).parent.iterdir()):
        if p.suffix in (".py", ".json"):
            h.update(p.read_bytes())
    return h.hexdigest()


def _key(g: Graph) -> str:
    return cache.key(_sources() + "\n" + "\n".join(_lines(g)))


def _lines(g: Graph) -> list[str]:
    """A text that is equal for graphs that give the same code."""
    names: dict[Var, int] = {}
    out: list[str] = []

    def atom(a: Var | Lit) -> str:
        if isinstance(a, Var):
            return str(names.setdefault(a, len(names)))
        return f"{a.type}" + (f"={a.value.tobytes().hex()}" if a.value.size == 1 else "=1" if is_identity(a.value) else "")

    def walk(h: Graph) -> None:
        out.append(" ".join(f"{atom(v)}:{v.type}" for v in h.ins))
        for e in h.eqns:
            params = [k for k, p in e.params.items() if not _holds(p)]
            fixed = " ".join(f"{k}={e.params[k]!r}" for k in params if not callable(e.params[k]))
            out.append(f"{' '.join(map(atom, e.outs))} {e.prim} {' '.join(map(atom, e.ins))} {fixed}")
            for inner in graphs_of(e):
                walk(inner)
        out.append(" ".join(map(atom, h.outs)))

    walk(g)
    return out


def _holds(p: Any) -> bool:
    return isinstance(p, Graph) or (isinstance(p, tuple) and any(isinstance(q, Graph) for q in p))
