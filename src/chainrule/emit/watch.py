"""Looking for NaN: equations run one by one, and every result is looked at."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.build.row import Row
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Eqn, Graph, Lit, Var
from chainrule.prims import TABLE

_on: ContextVar[bool] = ContextVar("chainrule_debug_nans", default=False)
_PLUMBING = {"spread", "reshape", "cast", "neg"}


@contextmanager
def debug_nans() -> Generator[None, None, None]:
    """Within this context, the first operation that makes NaN out of numbers is an error that names it.

    The error (`NonFiniteError`) says the operation, the line, its inputs with their ranges, and where the first bad
    element is; in the backward pass, the operation whose derivative made it.  Everything is computed by the reference
    engine, one equation at a time, so this is slow; outside the context nothing is looked at.  NaN that comes in with
    the data is reported only if it reaches a result.

    Yields:
        None.

    Raises:
        NonFiniteError: at the first operation that makes NaN.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> with cr.debug_nans():
        ...     cr.grad(lambda x: np.sqrt(x) * 0.0)(0.0)
        Traceback (most recent call last):
        ...
        chainrule.errors.NonFiniteError: -- NAN FOUND ...
    """
    token = _on.set(True)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        _on.reset(token)


def watching() -> bool:
    """Are results looked at?"""
    return _on.get()


def bad(x: Any) -> bool:
    """Does this array hold NaN?"""
    return x.dtype.kind in "fc" and bool(np.isnan(x).any())


def infinite(x: Any) -> bool:
    """Does this array hold infinity?"""
    return x.dtype.kind in "fc" and bool(np.isinf(x).any())


class WatchedBuilder(Builder):
    """Looks at every result when its equation is written."""

    __slots__ = ()

    def add(self, row: Row, xs: Sequence[Value], params: Mapping[str, Any]) -> tuple[Value, ...]:
        """Append an equation, and look at what it gives."""
        ys = super().add(row, xs, params)
        for y in ys:
            if y.data is not None and bad(y.data) and not any(x.data is not None and bad(x.data) for x in xs):
                raise errors.NonFiniteError.made(row.name, np.isnan(y.full), [x.full for x in xs], self.where)
        return ys


class Watched:
    """A graph that is run by equations.  `forward` holds those whose derivatives the graph computes, with their data."""

    def __init__(self, g: Graph, name: str = "", forward: Sequence[Eqn] = (), data: Mapping[Var, Array] | None = None) -> None:
        self.graph = g
        self.name = name
        self.forward = {e.where: e for e in forward if e.prim not in _PLUMBING}
        self.data = data or {}
        self.infinite: Eqn | None = None

    def __call__(self, *args: Array) -> list[Array]:
        """The results of the graph."""
        out = self.run(args)
        holding = [x for x in args if bad(x)]
        if self.name and holding and any(map(bad, out)):
            raise errors.NonFiniteError.given(self.name, holding[0])
        return out

    def run(self, args: Sequence[Array]) -> list[Array]:
        """The results of the graph, NaN that came in with the arguments passed on."""
        from chainrule.emit.numpy import evaluate

        env: dict[Var, Array] = {v: np.broadcast_to(x, v.type.shape) for v, x in zip(self.graph.ins, args, strict=True)}
        with np.errstate(all="ignore"):
            for e in self.graph.eqns:
                xs = [self._read(env, a) for a in e.ins]
                ys = [np.asarray(y) for y in evaluate(TABLE[e.prim], xs, e.params)]
                if any(map(bad, ys)) and not any(map(bad, xs)):
                    self._report(e, xs, next(np.isnan(y) for y in ys if bad(y)))
                if self.infinite is None and any(map(infinite, ys)) and not any(map(infinite, xs)):
                    self.infinite = e
                env.update(zip(e.outs, ys, strict=True))
        return [self._read(env, a) for a in self.graph.outs]

    def _read(self, env: Mapping[Var, Array], a: Any) -> Array:
        return np.broadcast_to(a.value, a.type.shape) if isinstance(a, Lit) else np.broadcast_to(env[a], a.type.shape)

    def _report(self, e: Eqn, xs: Sequence[Array], where: Array) -> None:
        source = self.forward.get(e.where)
        elsewhere = source is not self.forward.get(self.infinite.where) if self.infinite is not None else False
        because = self._blame(self.infinite) if self.infinite is not None and elsewhere and any(map(infinite, xs)) else ""
        if source is None:
            raise errors.NonFiniteError.made(e.prim, where, xs, e.where, because)
        known = [np.broadcast_to(a.value if isinstance(a, Lit) else self.data[a], a.type.shape) for a in source.ins]
        raise errors.NonFiniteError.made(f"The derivative of {source.prim}", where, known, e.where, because)

    def _blame(self, e: Eqn) -> str:
        """Which equation made infinity."""
        source = self.forward.get(e.where)
        what = e.prim if source is None else f"the derivative of {source.prim}"
        place = "" if e.where is None else f" at {e.where}:  {e.where.source}"
        return f"Infinity was there before: it came from {what}{place}"
