"""Functions whose derivative is computed in another way: recomputed, stopped, or given by the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, update_wrapper, wraps
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.builder import current, current_or_none
from chainrule.build.tree import flatten, map_tree, paths, unflatten
from chainrule.build.value import Value
from chainrule.front.control import Body, Leaf, known, pair, trace, weak_of, widened
from chainrule.front.operands import retyped, value
from chainrule.ir.graph import Array, Graph
from chainrule.ir.graph import _param_key as fingerprint  # pyright: ignore[reportPrivateUsage]
from chainrule.ir.types import ArrayType
from chainrule.prims import custom as rows
from chainrule.prims.kinds import zeros

Function = Callable[..., Any]
_ONE = flatten(0.0)[1]
_at_work: ContextVar[tuple[Any, ...]] = ContextVar("chainrule_rules_being_traced", default=())


KEEP_STOPS: ContextVar[bool] = ContextVar("chainrule_keep_stops", default=False)
"""Keep in the graph what was held constant, for those who want to see it."""


def stop_gradient(tree: Any) -> Any:
    """The same numbers, as constants: no derivative goes through."""
    return map_tree(_stopped, tree)


def _stopped(x: Any) -> Any:
    if not isinstance(x, Value):
        b = current_or_none()  # a handle, where values are not known: it can be indexed by what is traced
        if b is None or b.evaluate is not None:
            return x
        return b.constant(x) if type(x) is np.ndarray and x.ndim and x.dtype.kind in "biufc" else x
    if x.data is not None and not KEEP_STOPS.get():
        return np.array(x.full) if x.shape else x.full[()]
    return rows.stop_gradient(x) if x.type.inexact else x


# --- calls of functions on some traced leaves ---------------------------------------------------------------------------------


class Call:
    """A call of a user's function: which leaves of its arguments are traced, and how to call it with others in their place."""

    def __init__(self, args: Any) -> None:
        self.leaves, self.spec = flatten(args)
        self.at = [k for k, x in enumerate(self.leaves) if isinstance(x, Value)]
        self.values: list[Value] = [self.leaves[k] for k in self.at]
        self.fixed = [None if isinstance(x, Value) else x for x in self.leaves]

    def args(self, values: Sequence[Any], others: Sequence[Any] | None = None) -> Any:
        """The arguments with these in place of the traced leaves, and `others` in place of the rest."""
        leaves = list(self.fixed if others is None else others)
        for k, x in zip(self.at, values, strict=True):
            leaves[k] = x
        return unflatten(self.spec, leaves)

    def inputs(self, evaluate: Any) -> list[tuple[Any, list[Leaf]]]:
        """One handle per traced leaf."""
        return [(_ONE, [Leaf(x.type, weak_of(x), x.data if evaluate else None)]) for x in self.values]

    @property
    def key(self) -> tuple[Any, ...]:
        """What the traced function depends on besides values."""
        fixed = tuple(map(_identity, self.fixed))
        return (str(self.spec), tuple(self.at), fixed, tuple([(x.type, x.weak) for x in self.values]))


def _identity(x: Any) -> tuple[Any, Any]:
    """Equal for equal Python numbers and strings, and else for the same object only (which a `Rule` keeps alive)."""
    return x.__class__, repr(x) if x.__class__ in (int, float, complex, bool, str) else id(x)


def written(row: Any, xs: Sequence[Value], datas: Sequence[Array | None], **params: Any) -> list[Value]:
    """Append an equation whose results are known from tracing its body."""
    b = current()
    before = b.evaluate
    values = [d for d in datas if d is not None]

    def evaluate(row: Any, xs: Any, params: Any) -> list[Array]:
        return values

    b.evaluate = evaluate if len(values) == len(datas) else None
    try:
        return list(b.add(row, xs, params))
    finally:
        b.evaluate = before


def checkpoint(f: Function) -> Function:
    """`f`, whose inner values the backward pass computes again."""

    @wraps(f)
    def g(*args: Any, **kwargs: Any) -> Any:
        b = current_or_none()
        if b is None:
            return f(*args, **kwargs)
        call = Call((args, kwargs))

        def inner(*values: Any) -> Any:
            a, k = call.args(values)
            return f(*a, **k)

        body = trace(inner, call.inputs(b.evaluate), "checkpoint", b.evaluate)
        out = written(rows.checkpoint, [*body.captured, *call.values], body.datas, body=body.graph)
        return unflatten(body.spec, out)

    return g


# --- the user's rules -----------------------------------------------------------------------------------------------------------


def _later(rule: Any) -> list[rows.Rule]:
    """Rules inside that will be traced later."""
    if isinstance(rule, tuple):
        return [r for part in rule for r in _later(part)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(rule, Graph):
        return [r for e in rule.eqns for p in e.params.values() for r in _later(p)]
    return [rule] if isinstance(rule, rows.Rule) else []


def _keys(x: Any) -> Any:
    """A fingerprint with the keys of rules in place of the rules, whose keys are about to change."""
    if isinstance(x, tuple):
        return tuple([_keys(y) for y in x])  # pyright: ignore[reportUnknownVariableType]
    return x.key if isinstance(x, rows.Rule) else x


def _marked(*graphs: Graph) -> None:
    """Tell rules that will be traced later by the constants of these graphs: the same code will read the same constants."""
    constants = _keys(tuple(map(fingerprint, graphs)))
    for r in _later(graphs):
        r.key = (*r.key, constants)


def _signature(f: Function) -> inspect.Signature | None:
    try:
        return inspect.signature(f)
    except ValueError:  # a ufunc, say
        return None


class Custom:
    """A function with a derivative of its own."""

    kind = ""
    row: Any = None

    def __init__(self, f: Function, nondiff_argnums: Sequence[int] = ()) -> None:
        update_wrapper(self, f, updated=())
        self.f = f
        self.__name__: str = getattr(f, "__name__", type(f).__name__)
        self.signature = _signature(f)
        self.rule: Any = None
        self.nondiff = tuple([nondiff_argnums] if isinstance(nondiff_argnums, int) else nondiff_argnums)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = self._positional(args, kwargs)
        static = [args[k] for k in self.nondiff]
        call = Call(tuple([x for k, x in enumerate(args) if k not in self.nondiff]))
        if current_or_none() is None or not call.values:
            return self.f(*args)
        if self.rule is None:
            how = ".defvjp" if self.kind == "custom_vjp" else ".defjvp"
            raise errors.NotDifferentiableError(f"{self.__name__} is a {self.kind} function without a rule: give one with {how}")
        evaluate = current().evaluate
        body = trace(lambda *vs: self.f(*self._merged(static, call.args(vs))), call.inputs(evaluate), self.kind, evaluate)
        consts, graph, rule = self._combined(body, call, static, evaluate)
        out = written(self.row, [*consts, *call.values], body.datas, body=graph, rule=rule, consts=len(consts))
        return unflatten(body.spec, out)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else partial(self, instance)

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in order, defaults filled in: the rules take them by position."""
        if not kwargs and (self.signature is None or len(args) == len(self.signature.parameters)):
            return args
        bound = (self.signature or inspect.signature(self.f)).bind(*args, **kwargs)
        bound.apply_defaults()
        names = ", ".join(name for name in kwargs if name in bound.kwargs)
        if names:
            raise TypeError(f"{self.__name__}: a {self.kind} function takes no keyword-only arguments ({names})")
        return bound.args

    def _merged(self, static: Sequence[Any], diff: Sequence[Any]) -> list[Any]:
        at, moving = dict(zip(self.nondiff, static, strict=True)), iter(diff)
        return [at[k] if k in at else next(moving) for k in range(len(static) + len(diff))]

    def _combined(self, body: Body, call: Call, static: Sequence[Any], evaluate: Any) -> tuple[list[Value], Graph, Any]:
        """Captured values, the function's graph and the rule, all reading the same captured values."""
        if any(self is x for x in _at_work.get()):  # the rule calls the function it is the rule of: trace it when it is needed
            c = [*body.captured]
            lazy = rows.Rule(lambda: self._late(body, call, static, c), (self, len(c), *call.key, *map(_identity, static)))
            return c, body.graph, lazy
        with self._working():
            more, rule = self._traced(body, call, static, evaluate, body.captured)
            if _later(rule):
                more, rule = self._traced(body, call, static, evaluate, body.captured, closed=True)
        return [*body.captured, *more], widened(body.graph, [], more, len(body.captured)), rule

    def _late(self, body: Body, call: Call, static: Sequence[Any], consts: Sequence[Value]) -> Any:
        with self._working():
            more, rule = self._traced(body, call, static, None, consts, closed=True)
        if more:
            raise errors.NotDifferentiableError(f"the rule of {self.__name__} reads a traced value; pass it as an argument")
        return rule

    def _traced(
        self, body: Body, call: Call, static: Sequence[Any], evaluate: Any, consts: Sequence[Value], closed: bool = False
    ) -> tuple[list[Value], Any]:
        """What the rule captures itself, and its graphs with (consts, that, arguments...) as inputs."""
        raise NotImplementedError

    @contextmanager
    def _working(self) -> Generator[None]:
        token = _at_work.set((*_at_work.get(), self))
        try:
            yield
        finally:
            _at_work.reset(token)


def _checked(x: Any, t: ArrayType, what: str) -> Value:
    """What a rule returned, which must be of type t; Python numbers take its dtype."""
    v = value(x)
    if weak_of(x) is not None:
        v = retyped(v, t.dtype)
    if v.type != t:
        kind = errors.ShapeError if v.shape != t.shape else errors.DtypeError
        raise kind(f"{what} is {v.type}, and {t} is needed")
    return v


def _like(tree: Any, spec: Any, what: str) -> list[Any]:
    leaves, got = flatten(tree)
    if got != spec:
        raise errors.TreeError(f"{what}: a container like {spec} is needed, and {got} was returned")
    return leaves


def _no_tangent(x: Any) -> Any:
    return np.zeros_like(np.asarray(x)) if isinstance(x, int | float | complex | np.ndarray | np.generic) else x


class CustomJvp(Custom):
    """A function with a forward rule of its own; made by `custom_jvp`."""

    kind = "custom_jvp"
    row = rows.custom_jvp

    def defjvp(self, rule: Function) -> Function:
        """Give the rule, ``rule(primals, tangents) -> (y, dy)``."""
        self.rule = rule
        return rule

    def _traced(
        self, body: Body, call: Call, static: Sequence[Any], evaluate: Any, consts: Sequence[Value], closed: bool = False
    ) -> tuple[list[Value], Any]:
        n = len(call.values)
        types = body.graph.out_types
        name = f"the rule of {self.__name__}"

        def both(*values: Any) -> Any:
            given = iter(values[n:])
            moving = [next(given) if x.type.inexact else np.zeros(x.shape, x.dtype) for x in call.values]
            tangents = call.args(moving, [_no_tangent(x) for x in call.fixed])
            result = pair(self.rule(*static, call.args(values[:n]), tangents), name, "(y, dy)")
            ys, dys = _like(result[0], body.spec, f"{name}, y"), _like(result[1], body.spec, f"{name}, dy")
            where = paths(result[0])
            ys = [_checked(y, t, f"{name}: y{w}") for y, t, w in zip(ys, types, where, strict=True)]
            dys = [_checked(d, t, f"{name}: dy{w}") for d, t, w in zip(dys, types, where, strict=True) if t.inexact]
            return [*ys, *dys]

        ins = [*call.inputs(evaluate), *[(_ONE, [Leaf(x.type)]) for x in call.values if x.type.inexact]]
        rule = trace(both, ins, self.kind, evaluate, closed)
        if closed:
            _marked(rule.graph)
        return rule.captured, widened(rule.graph, consts, [], len(rule.captured))


class CustomVjp(Custom):
    """A function with a backward rule of its own; made by `custom_vjp`."""

    kind = "custom_vjp"
    row = rows.custom_vjp

    def defvjp(self, forward: Function, backward: Function) -> None:
        """Give the rules, ``forward(*args) -> (y, kept)`` and ``backward(kept, ct) -> (ct of each argument)``."""
        self.rule = forward, backward

    def _traced(
        self, body: Body, call: Call, static: Sequence[Any], evaluate: Any, consts: Sequence[Value], closed: bool = False
    ) -> tuple[list[Value], Any]:
        forward, kept, saved = self._forward(body, call, static, evaluate, closed)
        backward = self._backward(body, call, static, evaluate, closed, kept, saved)
        if closed:
            _marked(forward.graph, backward.graph)
        m = len(body.graph.outs)
        more = [*forward.captured, *backward.captured]
        first = widened(forward.graph, consts, backward.captured, len(forward.captured))
        extra = first.ins[len(consts) + len(forward.captured) :][: len(backward.captured)]
        r = len(first.outs) - m
        ins = backward.graph.ins
        c = len(backward.captured)
        second = Graph((*ins[c : c + r], *ins[:c], *ins[c + r :]), backward.graph.eqns, backward.graph.outs)
        return more, (known(Graph(first.ins, first.eqns, (*first.outs, *extra))), known(second))

    def _forward(self, body: Body, call: Call, static: Sequence[Any], evaluate: Any, closed: bool) -> tuple[Body, Any, list[int]]:
        name = f"the forward rule of {self.__name__}"
        kept: list[Any] = []

        def run(*values: Any) -> Any:
            result = pair(self.rule[0](*self._merged(static, call.args(values))), name, "(y, kept)")
            ys = _like(result[0], body.spec, f"{name}, y")
            ys = [_checked(y, t, f"{name}: y{w}") for y, t, w in zip(ys, body.graph.out_types, paths(result[0]), strict=True)]
            kept[:] = flatten(result[1])
            return [*ys, *[x for x in kept[0] if isinstance(x, Value)]]

        forward = trace(run, call.inputs(evaluate), self.kind, evaluate, closed)
        return forward, kept, [k for k, x in enumerate(kept[0]) if isinstance(x, Value)]

    def _backward(
        self, body: Body, call: Call, static: Sequence[Any], evaluate: Any, closed: bool, kept: Any, saved: Sequence[int]
    ) -> Body:
        leaves, spec = kept
        types = body.graph.out_types

        def run(*values: Any) -> Any:
            mine = list(leaves)
            for k, x in zip(saved, values, strict=False):
                mine[k] = x
            given = iter(values[len(saved) :])
            cts = unflatten(body.spec, [next(given) if t.inexact else np.zeros(t.shape, t.dtype) for t in types])
            return self._cotangents(self.rule[1](*static, unflatten(spec, mine), cts), call)

        residuals = [leaves[k] for k in saved]
        ins = [(_ONE, [Leaf(x.type, None, x.data if evaluate else None)]) for x in residuals]
        return trace(run, [*ins, *[(_ONE, [Leaf(t)]) for t in types if t.inexact]], self.kind, evaluate, closed)

    def _cotangents(self, result: Any, call: Call) -> list[Value]:
        """The cotangents of the traced arguments that have one, checked."""
        name = f"the backward rule of {self.__name__}"
        args = call.args(call.values)
        if not isinstance(result, tuple) or len(result) != len(args):  # pyright: ignore[reportUnknownArgumentType]
            raise errors.TreeError(f"{name} returns a tuple with one cotangent for each of {len(args)} arguments, or None")
        out: list[Value] = []
        for k, (ct, arg) in enumerate(zip(result, args, strict=True)):  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
            leaves, spec = flatten(arg)
            cts = [None] * len(leaves) if ct is None else _like(ct, spec, f"{name}, argument {k}")
            for x, c, w in zip(leaves, cts, paths(arg), strict=True):
                if isinstance(x, Value) and x.type.inexact:
                    out.append(zeros(x.type) if c is None else _checked(c, x.type, f"{name}: the cotangent of argument {k}{w}"))
        return out


__all__ = ["CustomJvp", "CustomVjp", "checkpoint", "stop_gradient"]
