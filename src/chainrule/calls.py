"""One call of a differentiated function: arguments in, a graph, its transformation run or written, results out.

A call from Python runs at once: the function is traced with its values, and the transformed graph is looked up by the
structure of what was traced, so that only the first call of its kind pays for the calculus.  A call inside a function
that is itself being traced writes the transformed graph into the outer one.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.builder import Builder, current, current_or_none
from chainrule.build.tree import flatten, unflatten
from chainrule.build.value import Value
from chainrule.emit.numpy import Program, evaluate
from chainrule.emit.watch import Watched, WatchedBuilder, watching
from chainrule.front.operands import refuse, value
from chainrule.ir.graph import Array, Graph, opened, structure
from chainrule.ir.types import ArrayType, type_of
from chainrule.transform.prepare import prepare
from chainrule.transform.rebuild import inline
from chainrule.transform.tidy import tidy
from chainrule.transform.vjp import pullback, vjp

Transform = Callable[[Graph], Graph]
_CACHE_SIZE = 1024


@contextmanager
def no_collection() -> Generator[None, None, None]:
    """Leave Python's search for reference cycles for later.

    A transformation makes many objects that all live on: the collector would walk them again and again and free none,
    which doubles the time a large graph takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Cache(OrderedDict[Any, Any]):
    """The most recently used programs."""

    def lookup(self, key: Any, make: Callable[[], Any]) -> Any:
        """The entry of this key, made if it is not there."""
        found = self.get(key)
        if found is None:
            with no_collection():
                found = self[key] = make()
            if len(self) > _CACHE_SIZE:
                self.popitem(last=False)
        else:
            self.move_to_end(key)
        return found


_programs = Cache()


class Abstract:
    """An argument of which only the type is given."""

    __slots__ = ("type", "weak")

    def __init__(self, type: ArrayType, weak: type | None = None) -> None:
        self.type = type
        self.weak = weak


class Traced:
    """A function traced at given arguments: its graph, and how to put leaves back into the caller's containers."""

    __slots__ = ("argnums", "aux", "builder", "graph", "in_specs", "leaves", "name", "out_spec", "outer", "outs", "single")

    argnums: list[int]
    aux: Any
    builder: Builder
    graph: Graph
    in_specs: list[Any]
    leaves: list[Any]
    out_spec: Any
    outs: list[Value]
    single: bool

    def __init__(self, name: str, outer: Builder | None) -> None:
        self.name = name
        self.outer = outer

    @property
    def wrt(self) -> list[int]:
        """Which inputs of the graph are arguments (the others are captured from an outer function)."""
        n = len(self.graph.ins)
        return list(range(n - len(self.leaves), n))

    def outputs(self, ys: Sequence[Any]) -> Any:
        """Results in the containers the function returned."""
        return unflatten(self.out_spec, ys)

    def arguments(self, xs: Sequence[Any]) -> Any:
        """One result per argument leaf, in the containers of the arguments."""
        at, trees = 0, list[Any]()
        for spec in self.in_specs:
            trees.append(unflatten(spec, xs[at : at + spec.num_leaves]))
            at += spec.num_leaves
        return trees[0] if self.single else tuple(trees)


def traced(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int] = 0,
    *,
    name: str,
    has_aux: bool = False,
    values: bool = True,
    check: Callable[[Any, str], None] | None = None,
) -> Traced:
    """Run `f` on handles for the arguments `argnums`; the others pass through as they are."""
    t = Traced(name, current_or_none())
    t.single = isinstance(argnums, int | np.integer)
    t.argnums = whole_numbers(argnums, f"{name}: argnums")
    call_args = list(args)
    flat: list[tuple[int, list[Any], Any]] = []
    for k in t.argnums:
        if not -len(args) <= k < len(args):
            raise errors.TreeError(f"{name}: there is no argument {k}; the function was called with {len(args)} by position")
        if args[k] is None and check is not None:
            raise errors.DtypeError.of(None, name)
        leaves, spec = flatten(args[k])
        flat.append((k, leaves, spec))
    if len({k % len(args) for k in t.argnums}) < len(t.argnums):
        raise errors.TreeError(f"{name}: argnums={argnums!r} names an argument twice")
    t.leaves = [x for _, leaves, _ in flat for x in leaves]
    t.in_specs = [spec for _, _, spec in flat]
    eager = values and (t.outer is None or t.outer.evaluate is not None) and _all_known(t.leaves)
    t.builder = b = (WatchedBuilder if watching() else Builder)(evaluate if eager else None, what=name)
    with b.here():
        for k, leaves, spec in flat:
            call_args[k] = unflatten(spec, [_input(b, x, name, check, eager) for x in leaves])
        result = f(*call_args, **kwargs)
        t.aux = None
        if has_aux:
            result, t.aux = _pair(result, name)
        outs, t.out_spec = flatten(result)
        t.outs = [_output(x, name) for x in outs]
        t.graph = b.finish(t.outs)
    return t


def whole_numbers(numbers: Any, what: str) -> list[int]:
    """One whole number, or several, as a list."""
    try:
        return [index(k) for k in ([numbers] if isinstance(numbers, int | np.integer) else numbers)]
    except TypeError:
        raise TypeError(f"{what} is a whole number or a sequence of them, like 0 or (0, 1), not {numbers!r}") from None


def _pair(result: Any, name: str) -> tuple[Any, Any]:
    if not (isinstance(result, tuple) and len(result) == 2):  # pyright: ignore[reportUnknownArgumentType]
        raise errors.TreeError(f"{name} with has_aux=True needs a function that returns a pair (value, aux)")
    return result  # pyright: ignore[reportUnknownVariableType]


def _all_known(leaves: Sequence[Any]) -> bool:
    return all(x.data is not None for x in leaves if type(x) is Value)


def _input(b: Builder, x: Any, name: str, check: Callable[[Any, str], None] | None, eager: bool) -> Value:
    if type(x) is Abstract:
        return b.input(x.type, None, x.weak)
    if type(x) is Value:
        if check is not None:
            check(x, name)
        return b.input(x.type, x.data if eager else None, x.weak, getattr(x.atom, "hint", None))
    weak = type(x) if type(x) in (float, int, complex) else None
    a = numbers(x, name)
    if check is not None:
        check(a, name)
    return b.input(type_of(a), a if eager else None, weak)


def numbers(x: Any, name: str) -> Array:
    """An argument as an array of numbers."""
    if type(x) is not np.ndarray:
        refuse(x, name)
    try:
        a = np.asarray(x)
    except ValueError:
        raise errors.DtypeError.of(x, name) from None
    if a.dtype.kind not in "biufc":
        raise errors.DtypeError.of(x, name)
    return a


def _output(x: Any, name: str) -> Value:
    return x if type(x) is Value else value(numbers(x, f"{name}, a result of the function"))


def differentiable(x: Any, name: str) -> None:
    """Raise unless a derivative with respect to `x` makes sense."""
    if x.dtype.kind in "bui":
        raise errors.IntegerArgumentError.of(name, x)


# --- running -------------------------------------------------------------------------------------------------------------


def own(x: Any) -> Any:
    """A result the caller may write to: a NumPy scalar, or an array that nobody else holds."""
    if x.ndim == 0:
        return x[()]
    return x if type(x) is np.ndarray and x.base is None and x.flags.writeable else np.array(x)


def owned(ys: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """Results the caller may write to, none of them one of the arrays `given` or another result."""
    held = {id(x) for x in given}
    out: list[Any] = []
    for y in ys:
        out.append(np.array(y) if y.ndim and id(y) in held else own(y))
        held.add(id(y))
    return out


def apply(t: Traced, key: Any, transform: Transform, extra: Sequence[Any] = ()) -> list[Any]:
    """The results of ``transform(graph)`` at the call's arguments and `extra`."""
    if t.outer is not None or _any_traced(extra):
        return write(t, transform(t.graph), [*t.leaves, *extra])
    given = [np.asarray(x) for x in t.leaves]
    return run(t.graph, key, transform, given, extra)


def write(t: Traced, g: Graph, args: Sequence[Any]) -> list[Any]:
    """Copy `g`, which has the captured inputs of the traced graph and then `args`, into the function that is being traced.

    That need not be the one `t` was traced in: what `vjp` and `linearize` return can be called in a further one.
    """
    xs = [*t.builder.captured.values(), *args]
    b = current(xs)
    return inline(b, g, [value(x) for x in xs])


def _any_traced(xs: Sequence[Any]) -> bool:
    return any(type(x) is Value for x in xs)


def run(g: Graph, key: Any, transform: Transform, given: Sequence[Array], extra: Sequence[Any] = ()) -> list[Any]:
    """``transform(g)`` on arrays, its program remembered by the structure of `g`."""
    if watching():
        return owned(Watched(transform(g), str(key[0]))(*given, *map(np.asarray, extra)), given)
    shape, lits = structure(g)
    constants = [a.value for a in lits]
    args = [*given, *constants, *[np.asarray(x) for x in extra]]
    program = _programs.lookup((key, shape), lambda: Program(tidy(transform(opened(g))), [x.shape for x in args]))
    return owned(program(*args), args)


def reverse(t: Traced, cts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Results of the function, and the gradients of ``sum(cts * results)`` with respect to its arguments."""
    n = len(t.graph.outs)
    if t.outer is not None or _any_traced(cts):
        out = apply(t, "vjp", lambda g: vjp(prepare(g), t.wrt), cts)
        return out[:n], out[n:]
    if watching():
        data = t.builder.data
        back = Watched(tidy(vjp(prepare(t.graph), t.wrt)), t.name, t.graph.eqns, data)
        out = back(*[data[v] for v in t.graph.ins], *map(np.asarray, cts))
        return owned(out[:n], ()), owned(out[n:], ())
    shape, lits = structure(t.graph)
    entry: _Reverse = _programs.lookup(("reverse", tuple(t.wrt), shape), lambda: _Reverse(t, [a.value for a in lits], cts))
    return entry.run(t, [a.value for a in lits], cts)


class _Reverse:
    """The backward half of a traced function, to be run on the values that tracing left."""

    __slots__ = ("outs", "program", "read", "whole")

    def __init__(self, t: Traced, constants: Sequence[Array], cts: Sequence[Any]) -> None:
        g = opened(t.graph)
        ready = prepare(g)
        self.outs = len(g.outs)
        self.whole = ready is not g
        if self.whole:
            back, self.read = vjp(ready, t.wrt), list[int]()
        else:
            back, reads = pullback(g, t.wrt)
            number = {v: k for k, v in enumerate((*g.ins, *[v for e in g.eqns for v in e.outs]))}
            self.read = [number[v] for v in reads]
        shapes = [x.shape for x in self._inputs(t, constants)]
        self.program = Program(tidy(back), [*shapes, *[np.shape(c) for c in cts]])

    def _inputs(self, t: Traced, constants: Sequence[Array]) -> list[Array]:
        data = t.builder.data
        ins = [data[v] for v in t.graph.ins]
        if self.whole:
            return [*ins, *constants]
        known = [*ins, *constants, *[data[v] for e in t.graph.eqns for v in e.outs]]
        return [known[k] for k in self.read]

    def run(self, t: Traced, constants: Sequence[Array], cts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        args = self._inputs(t, constants)
        out = self.program(*args, *cts)
        ys = owned([x.full for x in t.outs], args)
        if not self.whole:
            return ys, owned(out, args)
        rewritten = owned(out[: self.outs], args)
        return [y if np.all(np.isfinite(y)) else z for y, z in zip(ys, rewritten, strict=True)], owned(out[self.outs :], args)
