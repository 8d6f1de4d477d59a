"""`jit`: a function traced once for each kind of arguments, then run without Python in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np
import optree

from chainrule import errors
from chainrule.build.builder import current_or_none
from chainrule.build.tree import NAMESPACE, flatten, unflatten
from chainrule.build.value import Value
from chainrule.calls import Abstract, Cache, Traced, owned, traced, whole_numbers, write
from chainrule.emit.engines import ENGINES, MISS, Compiled, compile_graph
from chainrule.emit.watch import Watched, watching
from chainrule.errors.frames import hide
from chainrule.front.operands import refuse
from chainrule.ir.graph import Eqn, Graph, Lit, Var
from chainrule.ir.types import ArrayType
from chainrule.transform.tidy import tidy

_PLAIN = (np.ndarray, np.generic)


class Jitted:
    """A compiled function; call it like the function it was made from."""

    def __init__(
        self, f: Callable[..., Any], engine: str | None, static_argnums: Sequence[int], donate_argnums: Sequence[int]
    ) -> None:
        if engine is not None and engine not in ENGINES:
            raise ValueError(f"engine is one of {', '.join(map(repr, ENGINES))}, not {engine!r}")
        self.function = f
        self.engine = engine
        self.static = frozenset(static_argnums)
        self.donated = frozenset(donate_argnums)
        self.cache = Cache()
        self.fast: Callable[..., Any] | None = None
        update_wrapper(self, f, updated=())  # a jitted f has attributes of its own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        fast = self.fast
        if fast is not None and not kwargs and not watching():  # as it was called last time
            y = fast(*args)
            if y is not MISS:
                return y
        try:
            return self._call(*args, **kwargs)
        except Exception as e:
            hide(e, isinstance(e, errors.ChainruleError))
            raise  # a bare raise adds no entry for this frame

    @errors.boundary
    def _call(self, *args: Any, **kwargs: Any) -> Any:
        leaves, key, spec, fixed = self._split(args, kwargs)
        if current_or_none() is not None:
            t = self._trace(leaves, spec, fixed)
            if t.outer is not None and (t.builder.captured or any(isinstance(x, Value) for x in leaves)):
                return t.outputs(write(t, t.graph, leaves))
        t, program = self.cache.lookup(key, lambda: self._compile(leaves, spec, fixed))
        arrays: list[Any] = [x if isinstance(x, _PLAIN) else np.asarray(x) for x in leaves]
        if watching():
            self.fast = None
            program = Watched(t.graph, "jit")
        elif not kwargs and not self.static and all(x is _MOVING for x in fixed):
            self.fast = direct_call(program, args, t.out_spec, [type(x) for x in leaves])
        return t.outputs(owned(program(*arrays), arrays))

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """What the engine does for arguments like these: its passes over memory, what they share, where time must go.

        Args:
            args, kwargs: Arguments like those of a call.

        Returns:
            A text to print; of the numpy engine, the graph.

        Example:
            >>> import numpy as np, chainrule as cr
            >>> print(cr.jit(lambda x: np.sum(np.tanh(x)), engine="numpy").explain(np.ones(3)))
            numpy engine, one call per equation:
            ...
        """
        leaves, key, spec, fixed = self._split(args, kwargs)
        t, program = self.cache.lookup(key, lambda: self._compile(leaves, spec, fixed))
        told = getattr(program, "explain", None)
        return told() if told is not None else f"numpy engine, one call per equation:\n{tidy(t.graph)}"

    def trace(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph for arguments like these, as it is given to the engine."""
        leaves, _, spec, fixed = self._split(args, kwargs)
        return tidy(self._trace(leaves, spec, fixed).graph)

    def _split(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[list[Any], Any, Any, list[Any]]:
        """Array leaves, the key of their kind, the container of all leaves, and the leaves that are no arrays."""
        static, n = self.static, len(args)
        given = [_Static(x) if k in static or k - n in static else x for k, x in enumerate(args)] if static else list(args)
        everything, spec = flatten((given, kwargs))
        leaves = [_native(x) for x in everything if not _fixed(x)]
        fixed = [x if _fixed(x) else _MOVING for x in everything]
        types = tuple([_kind(x) for x in leaves])
        try:
            key = (spec, types, tuple(fixed))
            hash(key)
        except TypeError:
            raise errors.TreeError("jit: an argument that is no array must be hashable, so that it can be a constant") from None
        return leaves, key, spec, fixed

    def _trace(self, leaves: Sequence[Any], spec: Any, fixed: Sequence[Any]) -> Traced:
        def flat(xs: list[Any]) -> Any:
            moving = iter(xs)
            every = [next(moving) if x is _MOVING else x.of if isinstance(x, _Static) else x for x in fixed]
            args, kwargs = unflatten(spec, every)
            return self.function(*args, **kwargs)

        return traced(flat, ([Abstract(*_kind(x)) for x in leaves],), {}, name="jit", values=False)

    def _compile(self, leaves: Sequence[Any], spec: Any, fixed: Sequence[Any]) -> tuple[Traced, Compiled]:
        t = self._trace(leaves, spec, fixed)
        return t, compile_graph(tidy(kept(t.graph)), self.engine)


def direct_call(program: Any, args: Sequence[Any], out_spec: Any, kinds: Sequence[type]) -> Callable[..., Any] | None:
    """The shortest way to call a native program with arguments like these; it returns `MISS` for any others.

    Numbers take the dtype they meet, so that 2.0 and np.array(2.0) are different arguments: there is no short way then.
    """
    entry = getattr(program, "entry", None)
    if entry is None or watching() or any(not issubclass(k, np.ndarray) for k in kinds) or not program.strict:
        return None
    n = out_spec.num_leaves
    structure_of: Any = optree.tree_structure
    plain = out_spec == _LEAF or (n > 1 and out_spec == structure_of((0,) * n))
    if plain and all(type(x) is np.ndarray for x in args):
        return entry
    known = structure_of(tuple(args), namespace=NAMESPACE)
    split: Any = optree.tree_flatten
    single = n == 1

    def call(*args: Any) -> Any:
        leaves, spec = split(args, namespace=NAMESPACE)
        if spec != known:
            return MISS
        y = entry(*leaves)
        if y is MISS or plain:
            return y
        return out_spec.unflatten((y,) if single else y)

    return call


_LEAF: Any = flatten(0.0)[1]


class _Static:
    """An argument that is a constant: equal ones share a compiled function."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and type(other.of) is type(self.of) and bool(other.of == self.of)

    def __hash__(self) -> int:
        return hash((type(self.of), self.of))


_MOVING = object()


def _fixed(x: Any) -> bool:
    return not isinstance(x, (*_PLAIN, Value, float, int, complex)) or isinstance(x, bool)


def _native(x: Any) -> Any:
    """An argument with a dtype of NumPy's own, in the machine's byte order."""
    if type(x) is not np.ndarray:
        refuse(x, "jit")
    return x.astype(np.dtype(x.dtype.type)) if isinstance(x, _PLAIN) and x.dtype.isbuiltin == 0 else x


def _kind(x: Any) -> tuple[ArrayType, type | None]:
    if isinstance(x, Value):
        return x.type, x.weak
    if isinstance(x, _PLAIN):
        return ArrayType(x.dtype, x.shape), None
    return ArrayType(np.asarray(x).dtype, ()), type(x)


def kept(g: Graph) -> Graph:
    """`g` with copies of its constant arrays, so that a change to the originals does not change the function."""
    copies: dict[int, Lit] = {}

    def copy(a: Any) -> Any:
        if isinstance(a, Var) or a.splat:
            return a
        return copies.setdefault(id(a.value), Lit(np.array(a.value), a.type))

    eqns = tuple([Eqn(e.prim, tuple(map(copy, e.ins)), e.outs, e.params, e.where) for e in g.eqns])
    return Graph(g.ins, eqns, tuple(map(copy, g.outs)))


def jit(
    f: Callable[..., Any],
    engine: str | None = None,
    static_argnums: int | Sequence[int] = (),
    donate_argnums: int | Sequence[int] = (),
) -> Jitted:
    """`f`, traced once for each structure, shapes and dtypes of its arguments and compiled for an engine.

    Args:
        f: a pure function of arrays.  Arrays it closes over are constants: they are copied when it is traced, and
            later changes to them are not seen.
        engine: "native" (machine code, made with llvmlite), "numpy" (the reference) or "xla" (JAX). None is what the
            environment variable ``CHAINRULE_ENGINE`` names, else "native"; a machine that cannot run machine code warns
            once and runs NumPy.
        static_argnums: arguments that are constants (hashable); each new value is traced again.  Arguments that are
            no arrays or numbers (strings, booleans, functions) are constants anyway.
        donate_argnums: arguments that may be overwritten with results.

    Returns:
        A function like `f`.

    Raises:
        ValueNeededError: where `f` asks for a value (an ``if``, a ``float()``), which is not known while tracing.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> step = cr.jit(lambda w, x: w - 0.1 * cr.grad(lambda w: np.sum((w * x) ** 2))(w))
        >>> step(np.array([1.0, 2.0]), np.array([1.0, 0.5]))
        array([0.8, 1.9])
    """
    return Jitted(
        f, engine, whole_numbers(static_argnums, "jit: static_argnums"), whole_numbers(donate_argnums, "jit: donate_argnums")
    )
