"""Single edits of NumPy code as it runs: another axis, a sum for a mean, a constant left out, a broadcast undone.

A function is run on arrays that report every NumPy call made with them; the n-th call can be made differently.  So a mistake
in a loss is found by trying, at each place of the user's code, what should have been there.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.special as sp

from chainrule.build.tree import map_tree
from chainrule.ir.where import Where, here

Make = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""How a call is made instead: (function, arguments, keywords) -> result."""


@dataclass
class Call:
    """One NumPy call of a run."""

    number: int
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    where: Where | None

    @property
    def text(self) -> str:
        """The user's expression, the function's name where there is no source."""
        source = " ".join(self.where.source.split()) if self.where is not None else ""
        return source if source and len(source) <= 64 else f"np.{self.name}"

    @property
    def place(self) -> str:
        """``file:line``"""
        return str(self.where) if self.where is not None and not self.where.file.startswith("<") else ""


@dataclass
class _Run:
    """What is recorded, and what is changed."""

    edits: dict[int, Make]
    calls: list[Call] = field(default_factory=list[Call])


_RUN: contextvars.ContextVar[_Run] = contextvars.ContextVar("chainrule_edits")


class Watched(np.ndarray):
    """An array that reports the NumPy calls it takes part in."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return _made(name, function, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _made(func.__name__, func, tuple(args), dict(kwargs))


def _made(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    args, kwargs = _plain(args), {k: _plain(x) for k, x in kwargs.items()}
    run = _RUN.get()
    number = len(run.calls)
    run.calls.append(Call(number, name, args, kwargs, here(2)))
    edit = run.edits.get(number)
    with np.errstate(all="ignore"):
        y = function(*args, **kwargs) if edit is None else edit(function, args, kwargs)
    return _watched(y)


def _plain(x: Any) -> Any:
    if isinstance(x, Watched):
        return x.view(np.ndarray)
    if isinstance(x, tuple | list):
        return type(x)(_plain(y) for y in x)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return x


def _watched(x: Any) -> Any:
    """Numbers too, as arrays without axes, so that nothing goes unseen."""
    if isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "fiub":
        return np.asarray(x).view(Watched)
    return tuple(map(_watched, x)) if isinstance(x, tuple) else x  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def run(f: Callable[..., Any], args: Sequence[Any], edits: dict[int, Make] | None = None) -> tuple[Any, list[Call]]:
    """The value of f with some of its calls made differently, and the calls."""
    state = _Run(edits or {})
    token = _RUN.set(state)
    try:
        y = f(*[map_tree(_seen, x) if isinstance(x, np.ndarray | list | tuple | dict | float) else x for x in args])
    finally:
        _RUN.reset(token)
    return _plain(y), state.calls


def _seen(x: Any) -> Any:
    return np.array(x).view(Watched) if isinstance(x, np.ndarray) else x


# --- edits ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """Calls made differently, and what to say: `message` names what the code does, `correction` what it should do."""

    changes: dict[int, Make]
    kind: str
    message: str
    correction: str
    place: str
    rank: float


_REDUCE = {
    "sum",
    "mean",
    "max",
    "min",
    "amax",
    "amin",
    "prod",
    "norm",
    "var",
    "std",
    "add.reduce",
    "maximum.reduce",
    "minimum.reduce",
}


def edits(calls: Sequence[Call]) -> Iterator[Edit]:
    """Everything that may be tried on a run with these calls."""
    for c in calls:
        if c.name in _REDUCE:
            yield from _reductions(c)
        yield from _swaps(c)
        yield from _pairings(c)
        yield from _constants(c)
    yield from _everywhere(calls)
    yield from _orders(calls)
    yield from _epsilons(calls)


def _edit(c: Call, make: Make, kind: str, message: str, correction: str, rank: float) -> Edit:
    return Edit({c.number: make}, kind, message, correction, c.place, rank)


def _reductions(c: Call) -> Iterator[Edit]:
    x = np.asarray(c.args[0])
    own = c.kwargs.get("axis", c.args[1] if len(c.args) > 1 and c.name != "norm" else c.args[2] if len(c.args) > 2 else None)
    if c.name.endswith(".reduce"):
        own = c.kwargs.get("axis", 0)
    word = "the norm" if c.name == "norm" else f"the {c.name.removesuffix('.reduce').replace('add', 'sum')}"
    axes: list[Any] = [None, *range(-1, x.ndim - 1), *([tuple(range(1, x.ndim))] if x.ndim > 2 else [])]
    for axis in axes:
        if axis == own or (isinstance(own, int) and isinstance(axis, int) and own % x.ndim == axis % x.ndim):
            continue
        text = "all axes" if own is None else f"axis {own}"
        right = "all axes" if axis is None else f"axis {axis}"

        def make(
            f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], axis: Any = axis, name: str = c.name
        ) -> Any:
            more = {k: v for k, v in kwargs.items() if k != "axis"}
            if name == "norm":
                return _norm(args[0], args[1] if len(args) > 1 else more.get("ord"), axis, more.get("keepdims", False))
            return f(args[0], axis=axis, **more)

        yield _edit(
            c, make, "layout", f"`{c.text}` takes {word} over {text}, and should take it over {right}.", f"axis={axis}", 1
        )
    yield from _kinds(c, x, own)


def _norm(x: Any, order: Any, axis: Any, keepdims: bool) -> Any:
    """NumPy's norm, where more than one axis, or all of them, count as one vector."""
    if order in (None, 2, "fro"):
        return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    if order == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    return np.max(np.abs(x), axis=axis, keepdims=keepdims)


def _kinds(c: Call, x: Any, own: Any) -> Iterator[Edit]:
    """A mean for a sum, one order of a norm for another."""
    n = x.size if own is None else int(np.prod([x.shape[a] for a in (own if isinstance(own, tuple) else (own,))]))
    if c.name in ("sum", "add.reduce"):
        yield _edit(c, lambda f, a, k: f(*a, **k) / n, "scale", f"`{c.text}` is a sum where a mean is meant.", "np.mean", 0.5)
    if c.name == "mean":
        yield _edit(c, lambda f, a, k: f(*a, **k) * n, "scale", f"`{c.text}` is a mean where a sum is meant.", "np.sum", 0.5)
    if c.name == "norm":
        keep = c.kwargs.get("keepdims", False)
        given = c.args[1] if len(c.args) > 1 else c.kwargs.get("ord")
        for order, name in ((2, "2-norm"), (1, "1-norm"), (np.inf, "maximum norm")):
            if order == given or (order == 2 and given is None):
                continue
            message = f"`{c.text}` is another norm than is meant, which is the {name}."
            yield _edit(c, lambda f, a, k, o=order: _norm(a[0], o, own, keep), "term", message, f"ord={order}", 1.2)
        yield _edit(c, lambda f, a, k: np.square(f(*a, **k)), "term", f"`{c.text}` should be squared.", f"{c.text}**2", 1.2)


_OTHER: dict[str, tuple[tuple[str, Callable[..., Any], str, str], ...]] = {
    "log": (("log2", np.log2, "scale", "is the natural logarithm, and the one to base 2 is meant"),
            ("log10", np.log10, "scale", "is the natural logarithm, and the one to base 10 is meant"),
            ("log1p", np.log1p, "term", "should be the logarithm of 1 + x")),
    "log2": (("log", np.log, "scale", "is the logarithm to base 2, and the natural one is meant"),),
    "log10": (("log", np.log, "scale", "is the logarithm to base 10, and the natural one is meant"),),
    "log1p": (("log", np.log, "term", "is the logarithm of 1 + x, and that of x is meant"),),
    "sqrt": (("the argument itself", lambda x: x, "term", "is a square root that should not be there"),),
    "square": (("abs", np.abs, "term", "is a square where an absolute value is meant"),
               ("the argument itself", lambda x: x, "term", "should not be squared")),
    "absolute": (("square", np.square, "term", "is an absolute value where a square is meant"),),
    "exp": (("the argument itself", lambda x: x, "term", "is an exponential that should not be there"),),
    "negative": (("the argument itself", lambda x: x, "sign", "has the wrong sign"),),
    "add": (("-", np.subtract, "sign", "adds what should be subtracted"),),
    "subtract": (("+", np.add, "sign", "subtracts what should be added"),),
    "multiply": (("/", np.divide, "term", "multiplies by what it should be divided by"),),
    "divide": (("*", np.multiply, "term", "divides by what it should be multiplied with"),),
    "maximum": (("minimum", np.minimum, "term", "takes the larger, and the smaller is meant"),),
    "minimum": (("maximum", np.maximum, "term", "takes the smaller, and the larger is meant"),),
    "expit": (("the argument itself", lambda x: x, "term", "is a sigmoid of what has been through one already"),),
}  # fmt: skip


def _swaps(c: Call) -> Iterator[Edit]:
    """Another function in this place."""
    for name, g, kind, message in _OTHER.get(c.name, ()):
        yield _edit(
            c, lambda f, a, k, g=g: g(*a), kind, f"`{c.text}` {message}.", name if not name[0].isalpha() else f"{name}", 2
        )
    if c.name in ("power", "square", "multiply", "subtract", "add", "maximum") and len(c.args) == 2:
        for i in (0, 1):
            if np.size(c.args[i]) == 1 and np.size(c.args[1 - i]) >= 1:
                message = f"The constant {np.asarray(c.args[i]).item():g} in `{c.text}` should not be there."
                yield _edit(c, lambda f, a, k, i=i: a[1 - i] * 1.0, "term", message, "leave it out", 3)
    if c.name in ("subtract", "add", "multiply", "divide", "sum", "add.reduce", "mean"):
        for name, h in _OUTER.items():
            message = f"The {name} of `{c.text}` is missing."
            yield _edit(c, lambda f, a, k, h=h: h(f(*a, **k)), "term", message, f"{name} of {c.text}", 3)


_OUTER: dict[str, Callable[[Any], Any]] = {
    "square": np.square,
    "square root": np.sqrt,
    "absolute value": np.abs,
    "logarithm": np.log,
    "maximum with 0": lambda x: np.maximum(x, 0),
    "sigmoid": sp.expit,
}


def _everywhere(calls: Sequence[Call]) -> Iterator[Edit]:
    """The same other function in all places."""
    for name in dict.fromkeys(c.name for c in calls):
        same = [c for c in calls if c.name == name]
        for other, g, kind, message in _OTHER.get(name, ()) if len(same) > 1 else ():
            changes: dict[int, Make] = {c.number: lambda f, a, k, g=g: g(*a) for c in same}
            yield Edit(
                changes, kind, f"`{same[0].text}` {message}; so it is in all {len(same)} places.", other, same[0].place, 0.8
            )


def _orders(calls: Sequence[Call]) -> Iterator[Edit]:
    """The square of a mean for the mean of squares, and the like."""
    for c in calls:
        for d in calls:
            if c.name not in ("mean", "sum", "add.reduce") or d.name not in ("power", "square", "absolute", "log", "exp", "sqrt"):
                continue
            word = {
                "power": "power",
                "absolute": "absolute value",
                "log": "logarithm",
                "exp": "exponential",
                "sqrt": "square root",
            }
            what, reduced = word.get(d.name, "square"), "mean" if c.name == "mean" else "sum"

            def inside(f: Callable[..., Any], a: tuple[Any, ...], k: dict[str, Any], d: Call = d) -> Any:
                return f(getattr(np, d.name)(a[0], *d.args[1:]), *a[1:], **k)

            def outside(f: Callable[..., Any], a: tuple[Any, ...], k: dict[str, Any], d: Call = d) -> Any:
                return getattr(np, d.name)(f(*a, **k), *d.args[1:])

            drop: Make = lambda f, a, k: a[0] * 1.0
            first, second = f"the {what} of the {reduced}", f"the {reduced} of the {what}s"
            if d.number > c.number:
                message = f"`{d.text}` takes {first}, and {second} is meant."
                yield Edit({c.number: inside, d.number: drop}, "term", message, second, d.place, 1.3)
            else:
                message = f"`{c.text}` takes {second}, and {first} is meant."
                yield Edit({c.number: outside, d.number: drop}, "term", message, first, c.place, 1.3)


def _pairings(c: Call) -> Iterator[Edit]:
    """(n,) against (n, 1): every element meets every other."""
    if len(c.args) != 2 or not all(isinstance(a, np.ndarray) for a in c.args):
        return
    a, b = c.args
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return
    if a.size == b.size > 1 and int(np.prod(shape)) > a.size:
        message = (
            f"`{c.text}` pairs shapes {a.shape} and {b.shape}: broadcasting makes {shape}, every element against every other."
        )
        yield _edit(
            c, lambda f, x, k: f(np.ravel(x[0]), np.ravel(x[1]), **k), "shape", message, "give both one shape, np.ravel", 0
        )


def _constants(c: Call) -> Iterator[Edit]:
    """A factor that is missing, or too much, at this place."""
    if c.name in ("multiply", "divide", "mean", "sum", "power", "square"):
        for x, text in ((2.0, "2"), (0.5, "1/2")):
            message = f"The factor {text} is missing at `{c.text}`."
            yield _edit(c, lambda f, a, k, x=x: x * f(*a, **k), "scale", message, f"{text} * {c.text}", 1.5)


def _epsilons(calls: Sequence[Call]) -> Iterator[Edit]:
    """A small constant that stands in the wrong place, or should not be there."""
    for c in calls:
        small = [float(np.max(a)) for a in c.args if np.size(a) == 1 and np.asarray(a).dtype.kind == "f"]
        small = [x for x in small if 0 < x <= 0.05]
        if c.name not in ("add", "maximum") or not small:
            continue
        eps = small[0]
        i = next(k for k, a in enumerate(c.args) if np.size(a) == 1 and float(np.max(a)) == eps)
        drop: Make = lambda f, a, k, i=i: a[1 - i] * 1.0
        yield Edit(
            {c.number: drop},
            "constant",
            f"The small constant {eps:g} in `{c.text}` should not be there.",
            "leave it out",
            c.place,
            1.4,
        )
        for d in calls:
            if d.number == c.number or d.name not in (
                "log",
                "sqrt",
                "divide",
                "norm",
                "log2",
                "log10",
                "mean",
                "sum",
                "add.reduce",
            ):
                continue
            last = d.name == "divide"

            def before(f: Callable[..., Any], a: tuple[Any, ...], k: dict[str, Any], last: bool = last, e: float = eps) -> Any:
                return f(a[0], a[1] + e, **k) if last else f(a[0] + e, *a[1:], **k)

            where = f"in the denominator of `{d.text}`" if last else f"inside `{d.text}`"
            message = f"The small constant {eps:g} stands in `{c.text}`; it should stand {where}."
            yield Edit({c.number: drop, d.number: before}, "constant", message, f"add {eps:g} {where}", c.place, 1.0)
            after: Make = lambda f, a, k, e=eps: f(*a, **k) + e
            message = f"The small constant {eps:g} stands in `{c.text}`; it should be added to `{d.text}`."
            yield Edit({c.number: drop, d.number: after}, "constant", message, f"{d.text} + {eps:g}", c.place, 1.1)
