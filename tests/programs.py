"""Random programs: shape-typed, smooth where they are evaluated, runnable on NumPy, on chainrule and on JAX.

A program is a list of instructions over numbered values; the first are its inputs.  Each instruction names an operation
of `OPERATIONS`, the values it reads, and fixed parameters.  It ends in one number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]
MAX_SIZE = 64


@dataclass(frozen=True)
class Operation:
    """``run(xp, args, params)``; ``draw(rng, shapes)`` gives (indices of operands, params) or None if it does not apply."""

    name: str
    run: Callable[..., Any]
    draw: Callable[[np.random.Generator, Sequence[Shape]], tuple[tuple[int, ...], tuple[Any, ...]] | None]


@dataclass(frozen=True)
class Program:
    """Inputs' shapes and the instructions."""

    inputs: tuple[Shape, ...]
    steps: tuple[tuple[Operation, tuple[int, ...], tuple[Any, ...]], ...]

    def run(self, xp: Any, *xs: Any) -> Any:
        """The number it computes, with the functions of `xp`."""
        values = list(xs)
        for op, ins, params in self.steps:
            values.append(op.run(xp, *[values[i] for i in ins], *params))
        total = 0.0
        for v in values[len(xs) :]:
            total = total + xp.mean(xp.tanh(0.5 * v))
        return total

    def __str__(self) -> str:
        lines = [f"x{k}: {s}" for k, s in enumerate(self.inputs)]
        for k, (op, ins, params) in enumerate(self.steps, len(self.inputs)):
            lines.append(f"x{k} = {op.name}({', '.join(f'x{i}' for i in ins)}{''.join(f', {p!r}' for p in params)})")
        return "\n".join(lines)


# --- what can be drawn -----------------------------------------------------------------------------------------------------


def _one(rng: np.random.Generator, shapes: Sequence[Shape], fits: Callable[[Shape], bool] = lambda s: True) -> int | None:
    found = [k for k, s in enumerate(shapes) if fits(s)]
    return found[rng.integers(len(found))] if found else None


def unary(name: str, run: Callable[..., Any]) -> Operation:
    return Operation(name, run, lambda rng, shapes: ((_one(rng, shapes),), ()))


def _compatible(rng: np.random.Generator, shapes: Sequence[Shape]) -> tuple[tuple[int, ...], tuple[Any, ...]] | None:
    a = _one(rng, shapes)
    for b in rng.permutation(len(shapes)):
        try:
            out = np.broadcast_shapes(shapes[a], shapes[b])
        except ValueError:
            continue
        if np.prod(out, dtype=int) <= MAX_SIZE:
            return ((a, int(b)) if rng.random() < 0.5 else (int(b), a)), ()
    return None


def binary(name: str, run: Callable[..., Any]) -> Operation:
    return Operation(name, run, _compatible)


def axis_op(name: str, run: Callable[..., Any], least: int = 1) -> Operation:
    def draw(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
        k = _one(rng, shapes, lambda s: len(s) >= 1 and min(s) >= least)
        return None if k is None else ((k,), (int(rng.integers(-len(shapes[k]), len(shapes[k]))),))

    return Operation(name, run, draw)


def reduction(name: str, run: Callable[..., Any]) -> Operation:
    def draw(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
        k = _one(rng, shapes)
        n = len(shapes[k])
        axes = None if n == 0 or rng.random() < 0.3 else tuple(int(a) for a in rng.permutation(n)[: rng.integers(1, n + 1)])
        return (k,), (axes, bool(rng.integers(2)))

    return Operation(name, run, draw)


def _draw_matmul(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    a = _one(rng, shapes, lambda s: len(s) >= 1)
    if a is None:
        return None
    n = shapes[a][-1]
    b = _one(rng, shapes, lambda s: (len(s) == 1 and s[0] == n) or (len(s) == 2 and s[0] == n))
    return None if b is None else ((a, b), ())


def _draw_reshape(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    k = _one(rng, shapes)
    n = int(np.prod(shapes[k], dtype=int))
    factors = [d for d in range(1, n + 1) if n % d == 0]
    d = factors[rng.integers(len(factors))]
    return (k,), ((d, n // d) if rng.random() < 0.6 else (n,) if rng.random() < 0.5 else (d, 1, -1),)


def _draw_permute(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    k = _one(rng, shapes)
    return (k,), (tuple(int(a) for a in rng.permutation(len(shapes[k]))),)


def _draw_slice(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    k = _one(rng, shapes, lambda s: len(s) >= 1 and s[0] >= 1)
    if k is None:
        return None
    n = shapes[k][0]
    a, step = int(rng.integers(n)), int(rng.choice([1, 1, 2, -1, -2]))
    key: Any = int(rng.integers(-n, n)) if rng.random() < 0.3 else slice(a, None, step)
    return (k,), (key if rng.random() < 0.6 or len(shapes[k]) < 2 else (Ellipsis, None, slice(None, None, -1)),)


def _draw_gather(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    k = _one(rng, shapes, lambda s: len(s) >= 1 and s[0] >= 1)
    if k is None:
        return None
    size = (2,) if rng.random() < 0.6 else (2, 2)
    return (k,), (tuple(map(int, rng.integers(-shapes[k][0], shapes[k][0], int(np.prod(size))))), size)


def _draw_concat(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    a = _one(rng, shapes, lambda s: len(s) >= 1)
    if a is None:
        return None
    axis = int(rng.integers(len(shapes[a])))
    rest = [
        k
        for k, s in enumerate(shapes)
        if len(s) == len(shapes[a]) and s[:axis] + s[axis + 1 :] == shapes[a][:axis] + shapes[a][axis + 1 :]
    ]
    return (a, rest[rng.integers(len(rest))]), (axis,)


def _draw_stack(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    a = _one(rng, shapes)
    same = [k for k, s in enumerate(shapes) if s == shapes[a]]
    return (a, same[rng.integers(len(same))]), (int(rng.integers(-len(shapes[a]) - 1, len(shapes[a]) + 1)),)


def _draw_tile(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    k = _one(rng, shapes, lambda s: np.prod(s, dtype=int) <= MAX_SIZE // 2)
    return None if k is None else ((k,), ((2,) if rng.random() < 0.5 else (2, 1),))


def _draw_pad(rng: np.random.Generator, shapes: Sequence[Shape]) -> Any:
    k = _one(rng, shapes, lambda s: len(s) >= 1)
    return None if k is None else ((k,), (tuple((int(rng.integers(2)), int(rng.integers(2))) for _ in shapes[k]),))


def _where(xp: Any, a: Any, b: Any) -> Any:
    return xp.where(a > b, a * b, xp.sin(a) - b)


def _gather(xp: Any, a: Any, idx: Sequence[int], size: Shape) -> Any:
    return a[np.array(idx).reshape(size)]


# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    unary("exp", lambda xp, a: xp.exp(-a * a)),
    unary("sin", lambda xp, a: xp.sin(a)),
    unary("cos", lambda xp, a: xp.cos(2 * a)),
    unary("tanh", lambda xp, a: xp.tanh(a)),
    unary("sqrt", lambda xp, a: xp.sqrt(1 + a * a)),
    unary("log1p", lambda xp, a: xp.log1p(xp.square(a))),
    unary("log", lambda xp, a: xp.log(2 + xp.cos(a))),
    unary("arctan", lambda xp, a: xp.arctan(a)),
    unary("cube", lambda xp, a: 0.1 * a ** 3),
    unary("power", lambda xp, a: (1.5 + xp.sin(a)) ** 2.5),
    unary("abs", lambda xp, a: xp.abs(a)),
    unary("expm1", lambda xp, a: xp.expm1(0.3 * xp.tanh(a))),
    unary("sinh", lambda xp, a: xp.sinh(xp.sin(a))),
    unary("reciprocal", lambda xp, a: 1 / (1.2 + xp.cos(a))),
    unary("softplus", lambda xp, a: xp.log(1 + xp.exp(a))),
    unary("sigmoid", lambda xp, a: 1 / (1 + xp.exp(-a))),
    unary("clip", lambda xp, a: xp.clip(a, -0.7, 0.9)),
    unary("cast", lambda xp, a: a * (a > 0.1)),
    binary("add", lambda xp, a, b: a + b),
    binary("sub", lambda xp, a, b: a - 2 * b),
    binary("mul", lambda xp, a, b: a * b),
    binary("div", lambda xp, a, b: a / (1.5 + xp.sin(b))),
    binary("maximum", lambda xp, a, b: xp.maximum(a, b + 0.01)),
    binary("minimum", lambda xp, a, b: xp.minimum(a, b - 0.01)),
    binary("arctan2", lambda xp, a, b: xp.arctan2(a, 2 + xp.cos(b))),
    binary("hypot", lambda xp, a, b: xp.hypot(a, b + 3)),
    binary("logaddexp", lambda xp, a, b: xp.logaddexp(a, b)),
    binary("where", _where),
    reduction("sum", lambda xp, a, axes, keep: xp.sum(a, axis=axes, keepdims=keep)),
    reduction("mean", lambda xp, a, axes, keep: xp.mean(a, axis=axes, keepdims=keep)),
    reduction("max", lambda xp, a, axes, keep: xp.max(a, axis=axes, keepdims=keep)),
    reduction("var", lambda xp, a, axes, keep: xp.var(a, axis=axes, keepdims=keep)),
    reduction("norm", lambda xp, a, axes, keep: xp.sqrt(0.1 + xp.sum(a * a, axis=axes, keepdims=keep))),
    axis_op("cumsum", lambda xp, a, axis: xp.cumsum(a, axis=axis)),
    axis_op("prod", lambda xp, a, axis: xp.prod(a, axis=axis)),
    axis_op("cumprod", lambda xp, a, axis: xp.cumprod(a, axis=axis)),
    axis_op("sort", lambda xp, a, axis: xp.sort(a, axis=axis)),
    axis_op("flip", lambda xp, a, axis: xp.flip(a, axis)),
    axis_op("roll", lambda xp, a, axis: xp.roll(a, 1, axis)),
    axis_op("diff", lambda xp, a, axis: xp.diff(a, axis=axis), least=2),
    axis_op("softmax", lambda xp, a, axis: xp.exp(a - xp.max(a, axis=axis, keepdims=True)) /
            xp.sum(xp.exp(a - xp.max(a, axis=axis, keepdims=True)), axis=axis, keepdims=True)),
    axis_op("expand", lambda xp, a, axis: xp.expand_dims(a, axis)),
    Operation("matmul", lambda xp, a, b: xp.matmul(a, b), _draw_matmul),
    Operation("reshape", lambda xp, a, shape: xp.reshape(a, shape), _draw_reshape),
    Operation("transpose", lambda xp, a, axes: xp.transpose(a, axes), _draw_permute),
    Operation("slice", lambda xp, a, key: a[key], _draw_slice),
    Operation("gather", _gather, _draw_gather),
    Operation("concatenate", lambda xp, a, b, axis: xp.concatenate([a, b], axis=axis), _draw_concat),
    Operation("stack", lambda xp, a, b, axis: xp.stack([a, b], axis=axis), _draw_stack),
    Operation("tile", lambda xp, a, reps: xp.tile(a, reps), _draw_tile),
    Operation("pad", lambda xp, a, width: xp.pad(a, width), _draw_pad),
    Operation("outer", lambda xp, a, b: xp.outer(a, b),
              lambda rng, shapes: None if (k := _one(rng, shapes, lambda s: np.prod(s, dtype=int) <= 8)) is None else ((k, k), ())),
    Operation("einsum", lambda xp, a, b: xp.einsum("...i,...i->...", a, b),
              lambda rng, shapes: None if (k := _one(rng, shapes, lambda s: len(s) >= 1)) is None else ((k, k), ())),
)
# fmt: on


def random_program(rng: np.random.Generator, length: int) -> tuple[Program, list[np.ndarray]]:
    """A program of about `length` instructions, and inputs for it."""
    sizes = rng.integers(1, 4, size=3)
    shapes: list[Shape] = [tuple(int(n) for n in sizes[: rng.integers(0, 4)]) for _ in range(rng.integers(1, 4))]
    inputs = tuple(shapes)
    values: list[Any] = [rng.normal(size=s) for s in inputs]
    xs = list(values)
    steps: list[Any] = []
    while len(steps) < length:
        op = OPERATIONS[rng.integers(len(OPERATIONS))]
        drawn = op.draw(rng, [np.shape(v) for v in values])
        if drawn is None:
            continue
        ins, params = drawn
        y = op.run(np, *[values[i] for i in ins], *params)
        if np.size(y) == 0 or np.size(y) > MAX_SIZE or np.ndim(y) > 4 or not np.all(np.isfinite(y)) or np.max(np.abs(y)) > 1e3:
            continue
        steps.append((op, ins, params))
        values.append(y)
    return Program(inputs, tuple(steps)), xs


def near_kink(p: Program, xs: Sequence[np.ndarray], ds: Sequence[np.ndarray], h: float = 3e-4) -> bool:
    """Does the program bend within `h` of these inputs along `ds`?  Then its difference quotient there says nothing."""
    base = p.run(np, *xs)
    f = [p.run(np, *[x + k * h * d for x, d in zip(xs, ds, strict=True)]) for k in (-2, -1, 1, 2)]
    left, right = (3 * base - 4 * f[1] + f[0]) / 2, (-3 * base + 4 * f[2] - f[3]) / 2
    return bool(abs(left - right) > 1e-8 + 30 * h**2 * abs(right) + 1e-5 * abs(right))
