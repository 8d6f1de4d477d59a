"""Operations with loops of their own: gathers, running sums, extremes' places, random bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from . import loops, turning, vectors
from .builder import I32, I64, Function, Type, Val, select
from .loops import TYPES, Kernel, Stage, Step
from .math import FUNCTIONS
from .nodes import Access, Buffer, Special
from .vectors import memory_type

if TYPE_CHECKING:
    from .write import Writer

__all__ = ["WRITE"]


def _start(w: Writer, n: Special, k: int) -> Val:
    x = n.ins[k]
    assert isinstance(x, Access)
    return w.f.offset(w.pointer(x.base), x.offset, memory_type(TYPES[x.dtype]))


def _load(f: Function, base: Val, i: Val, dtype: str) -> Val:
    t = TYPES[dtype]
    return vectors.load(f.offset(base, i, memory_type(t)), t)


def _store(f: Function, v: Val, base: Val, i: Val) -> None:
    vectors.store(v, f.offset(base, i, memory_type(v.type)))


def _inner(f: Function, n: int, operands: Mapping[str, tuple[Buffer, Val]], step: Step | None) -> None:
    """One kernel along `n` contiguous elements; its result, or its first operand, goes to `y`."""
    kernel = Kernel(
        (n,),
        {name: loops.Operand(b.dtype, (1,), n) for name, (b, _) in operands.items()},
        (Stage(() if step is None else (step,), (("x" if step is None else step.out, "y"),)),),
    )
    loops.emit(f, kernel, {name: at for name, (_, at) in operands.items()})


# --- gathers ------------------------------------------------------------


def _looked_up(w: Writer, n: Special, indices: Sequence[int], point: Val) -> Val:
    """The place that the indices of a point name, along the axes looked up; leaves the program where one is out of range."""
    from .write import AGAIN

    f, flat = w.f, w.f.i64(0)
    for k, size in zip(indices, n.params["looked"], strict=True):
        x = n.ins[k]
        i = _load(f, _start(w, n, k), point, x.dtype)
        if i.type != I64:
            i = f.cast("zext" if x.dtype.startswith("u") else "sext", i, I64)
        i = select(i.lt(0), i + size, i)
        w.leave_if(i.lt(0) | i.ge(size), AGAIN)
        flat = flat * size + i
    return flat


def _gather(w: Writer, n: Special, body: Callable[[Val, Val], None]) -> None:
    """For every point: ``body(number of the point, place in the array)``, both counted in pieces of `inner` elements."""
    p, f = n.params, w.f
    every, end = prod(p["looked"]), len(n.ins) - ("onto" in p)
    indices = range(end - len(p["looked"]), end)

    def lead(a: Val, _: list[Val]) -> None:
        def point(b: Val, _: list[Val]) -> None:
            at = a * p["points"] + b
            body(at, a * every + _looked_up(w, n, indices, at))

        f.loop(0, p["points"], 1, point)

    f.loop(0, p["lead"], 1, lead)


def take(w: Writer, n: Special) -> None:
    x, y, inner, f = n.ins[0], n.outs[0], n.params["inner"], w.f
    assert isinstance(x, Access)
    source, goal, t = _start(w, n, 0), w.pointer(y), memory_type(TYPES[y.dtype])

    def move(point: Val, place: Val) -> None:
        operands = {"x": (x.base, f.offset(source, place * inner, t)), "y": (y, f.offset(goal, point * inner, t))}
        if inner == 1:
            f.store(f.load(operands["x"][1], t), operands["y"][1])
        else:
            _inner(f, inner, operands, None)

    _gather(w, n, move)


def scatter_add(w: Writer, n: Special) -> None:
    x, y, inner, f = n.ins[0], n.outs[0], n.params["inner"], w.f
    assert isinstance(x, Access)
    source, goal, t = _start(w, n, 0), w.pointer(y), memory_type(TYPES[y.dtype])
    if "onto" not in n.params:
        w.fill(y, 0)
    add = "logical_or" if y.dtype == "bool" else "add"

    def gather(point: Val, place: Val) -> None:
        at = f.offset(source, point * inner, t), f.offset(goal, place * inner, t)
        _inner(f, inner, {"x": (x.base, at[0]), "y": (y, at[1])}, Step("z", add, ("y", "x")))

    if x.size:
        _gather(w, n, gather)


# --- along an axis ------------------------------------------------------------


def _lines(w: Writer, n: Special, body: Callable[[Val, int], None]) -> None:
    """``body(index of the first element, stride)`` for every line along the axis."""
    outer, length, inner = n.params["sizes"]
    w.f.loop(0, outer, 1, lambda a, _: w.f.loop(0, inner, 1, lambda b, _: body(a * (length * inner) + b, inner)) and None)


def _running(combine: Callable[..., Val]) -> Callable[[Writer, Special], None]:
    """y_k = combine(y_{k-1}, x_k, ...), from the end where reversed."""

    def write(w: Writer, n: Special) -> None:
        f, y, length = w.f, n.outs[0], n.params["sizes"][1]
        sources, goal = [_start(w, n, k) for k in range(len(n.ins))], w.pointer(y)

        def line(first: Val, stride: int) -> None:
            def index(k: Val) -> Val:
                return first + ((length - 1) - k if n.params["reverse"] else k) * stride

            def step(k: Val, last: list[Val]) -> list[Val]:
                v = combine(*last, *[_load(f, s, index(k), x.dtype) for s, x in zip(sources, n.ins, strict=True)])
                _store(f, v, goal, index(k))
                return [v]

            start = _load(f, sources[-1], index(f.i64(0)), n.ins[-1].dtype)
            _store(f, start, goal, index(f.i64(0)))
            f.loop(1, length, 1, step, [start])

        if y.size:
            _lines(w, n, line)

    return write


def record(w: Writer, n: Special) -> None:
    """Where a running extreme last changed."""
    f, y, length = w.f, n.outs[0], n.params["sizes"][1]
    source, goal, dtype = _start(w, n, 0), w.pointer(y), n.ins[0].dtype

    def line(first: Val, stride: int) -> None:
        def step(k: Val, state: list[Val]) -> list[Val]:
            at = first + k * stride
            v = _load(f, source, at, dtype)
            place = select(v.ne(state[0]), k, state[1])
            _store(f, place, goal, at)
            return [v, place]

        start = _load(f, source, first, dtype)
        _store(f, f.i64(0), goal, first)
        f.loop(1, length, 1, step, [start, f.i64(0)])

    _lines(w, n, line)


def _extreme(greater: bool) -> Callable[[Writer, Special], None]:
    """The first place of the greatest (least) element; of the first NaN, if there is one."""

    def write(w: Writer, n: Special) -> None:
        f, y = w.f, n.outs[0]
        outer, length, inner = n.params["sizes"]
        source, goal, dtype = _start(w, n, 0), w.pointer(y), n.ins[0].dtype

        def better(v: Val, best: Val) -> Val:
            if dtype == "bool":
                return f.compare("ugt" if greater else "ult", v, best)
            found = v.gt(best) if greater else v.lt(best)
            return found | (v.isnan() & ~best.isnan()) if v.type.is_float else found

        def line(a: Val, b: Val) -> None:
            first = a * (length * inner) + b

            def step(k: Val, state: list[Val]) -> list[Val]:
                v = _load(f, source, first + k * inner, dtype)
                new = better(v, state[0])
                return [select(new, v, state[0]), select(new, k, state[1])]

            found = f.loop(1, length, 1, step, [_load(f, source, first, dtype), f.i64(0)])
            _store(f, found[1], goal, a * inner + b)

        f.loop(0, outer, 1, lambda a, _: f.loop(0, inner, 1, lambda b, _: line(a, b)) and None)

    return write


# --- random bits ------------------------------------------------------------

_LANES = 16
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def random_bits(w: Writer, n: Special) -> None:
    """Threefry-2x32 of the counters 0, 1, ..., sixteen at a time; words of a counter stand side by side."""
    f, words = w.f, n.params["words"]
    keys, goal = _start(w, n, 0), w.pointer(n.outs[0])
    t = I32.of(_LANES)

    def key(k: Val, _: list[Val]) -> None:
        word = [f.splat(f.load(f.offset(keys, k * 2 + j, I32), I32), _LANES) for j in range(2)]
        row = f.offset(goal, k * words, I32)

        def block(i: Val, count: int | None) -> None:
            low = f.splat(f.cast("trunc", i, I32), _LANES) + f.iota(t)
            high = f.splat(f.cast("trunc", i.lshr(32), I32), _LANES)
            x, y = _threefry(f, word, low, high)
            both = f.shuffle(x, y, [j // 2 + _LANES * (j % 2) for j in range(2 * _LANES)])
            vectors.store(both, f.offset(row, i * 2, I32), count)

        whole = words // (2 * _LANES) * _LANES
        f.loop(0, whole, _LANES, lambda i, _: block(i, None))
        if words > 2 * whole:
            block(f.i64(whole), words - 2 * whole)

    f.loop(0, n.params["keys"], 1, key)


def _threefry(f: Function, key: Sequence[Val], low: Val, high: Val) -> tuple[Val, Val]:
    """A function of the module, as it is long."""
    name, t = "threefry", low.type
    if name not in f.module.functions:
        g = f.module.function(name, [("k0", t), ("k1", t), ("x", t), ("y", t)], Type(f"{{ {t}, {t} }}"), internal=True)
        x, y = _rounds(*g.params)
        pair = Type(f"{{ {t}, {t} }}")
        one = g.emit(f"insertvalue {pair} poison, {x.type} {x.ref}, 0", pair)
        g.return_(g.emit(f"insertvalue {pair} {one.ref}, {y.type} {y.ref}, 1", pair))
    pair = f.call(name, Type(f"{{ {t}, {t} }}"), *key, low, high)
    first, second = (f.emit(f"extractvalue {pair.type} {pair.ref}, {k}", t) for k in (0, 1))
    return first, second


def _rounds(k0: Val, k1: Val, x: Val, y: Val) -> tuple[Val, Val]:
    words = (k0, k1, k0 ^ k1 ^ _PARITY)
    x, y = x + words[0], y + words[1]
    for group in range(5):
        for r in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << r) | y.lshr(32 - r)) ^ x
        x = x + words[(group + 1) % 3]
        y = y + words[(group + 2) % 3] + (group + 1)
    return x, y


WRITE: dict[str, Callable[[Any, Special], None]] = {
    "take": take, "scatter_add": scatter_add, "transpose": turning.write, "record": record,
    "argmax": _extreme(True), "argmin": _extreme(False),
    "cumsum": _running(lambda last, x: FUNCTIONS["logical_or"](last, x) if x.type.elem == "i1" else last + x),
    "cumprod": _running(lambda last, x: last & x if x.type.elem == "i1" else last * x),
    "cummax": _running(lambda last, x: last | x if x.type.elem == "i1" else FUNCTIONS["maximum"](last, x)),
    "cummin": _running(lambda last, x: last & x if x.type.elem == "i1" else FUNCTIONS["minimum"](last, x)),
    "recur": _running(lambda last, a, b: a * last + b), "random_bits": random_bits,
}  # fmt: skip
