"""The search for a fix: small changes to an expression, each run with NumPy on small arrays before it is suggested."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors.source import Expression

Shape = tuple[int, ...]
Array = NDArray[Any]
_TOO_MANY_AXES = 5


def small(shapes: Sequence[Shape]) -> list[Array]:
    """Arrays with these shapes, every size above 1 replaced by a small one (different where the sizes are different)."""
    sizes = sorted({n for s in shapes for n in s if n > 1})
    code = {0: 0, 1: 1} | {n: k + 2 for k, n in enumerate(sizes)}
    return [np.ones([code[n] for n in s]) for s in shapes]


def _runs(f: Callable[[], Any]) -> Array | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return f()
    except Exception:
        return None


def variants(x: Array) -> list[tuple[str, Array]]:
    """Ways to write an operand: as it is first, then with its axes rearranged; a size-1 axis is dropped last."""
    found = [("", x)]
    if x.ndim == 2:
        found.append((".T", x.T))
    if x.ndim > 2:
        found.append((".swapaxes(-1, -2)", x.swapaxes(-1, -2)))
    if x.ndim == 1:
        found.append(("[:, None]", x[:, None]))
    if x.ndim == 2 and x.shape[1] == 1:
        found.append((".reshape(-1)", x.reshape(-1)))
    return found


def _candidates(xs: Sequence[Array]) -> Iterator[tuple[tuple[str, Array], ...]]:
    """All combinations of variants, those that change few operands first."""
    every = list(product(*[variants(x) for x in xs]))
    return iter(sorted(every[1:], key=lambda c: sum(bool(suffix) for suffix, _ in c)))


def rearranged(e: Expression | None, shapes: Sequence[Shape], run: Callable[..., Array], keep_shape: bool = False) -> str:
    """The expression with operands transposed, stood up or flattened so that `run` accepts them; empty if there is none.

    With `keep_shape`, the result must have the shape of one of the operands: a sum that fits only because it grew is not meant.
    """
    nodes = e.operands(len(shapes)) if e is not None else None
    if e is None or nodes is None or len(shapes) > 3:
        return ""
    for c in _candidates(small(shapes)):
        xs = [x for _, x in c]
        y = _runs(partial(run, *xs))
        if y is not None and (not keep_shape or y.shape in [x.shape for x in xs]):
            return e.with_parts({n: _suffixed(e.atom(n), s) for n, (s, _) in zip(nodes, c, strict=True) if s})
    return ""


def _suffixed(text: str, suffix: str) -> str:
    """``A.T`` transposed is ``A``."""
    return text.removesuffix(".T") if suffix == ".T" and text.endswith(".T") else text + suffix


def swapped(e: Expression | None, shapes: Sequence[Shape], run: Callable[..., Array]) -> str:
    """The expression with its two operands exchanged, if `run` accepts them so."""
    nodes = e.operands(2) if e is not None else None
    if e is None or nodes is None or len(shapes) != 2:
        return ""
    a, b = small(shapes)
    if _runs(partial(run, b, a)) is None:
        return ""
    return e.with_parts({nodes[0]: e.of(nodes[1]), nodes[1]: e.of(nodes[0])})


def relettered(spec: str, shapes: Sequence[Shape]) -> str:
    """An einsum specification with the letters of one operand in another order, that fits; empty if there is none."""
    left, arrow, out = spec.replace(" ", "").partition("->")
    terms = left.split(",")
    if "..." in spec or len(terms) != len(shapes):
        return ""
    xs = small(shapes)
    for k, term in enumerate(terms):
        if len(term) > _TOO_MANY_AXES:
            continue
        for order in list(permutations(term))[1:]:
            new = ",".join([*terms[:k], "".join(order), *terms[k + 1 :]]) + arrow + out
            if _runs(partial(np.einsum, new, *xs)) is not None:
                return new
    return ""


def with_spec(e: Expression | None, old: str, new: str) -> str:
    """A call with the string `old` among its arguments replaced by `new`."""
    if e is None or not isinstance(e.node, ast.Call) or not new:
        return ""
    first = next((a for a in e.node.args if isinstance(a, ast.Constant) and a.value == old), None)
    quote = e.of(first)[0] if first is not None else '"'
    return "" if first is None else e.with_parts({first: quote + new + quote})


def along_axis(e: Expression | None, shapes: Sequence[Shape], axis: int) -> str:
    """``np.concatenate([a, b], axis=...)`` with an axis that fits, or with 1-d operands stood up as columns or rows."""
    if e is None or not isinstance(e.node, ast.Call) or len({len(s) for s in shapes}) != 1:
        return _same_rank(e, shapes, axis)
    xs = small(shapes)
    axes = [k for k in range(len(shapes[0])) if k != axis and _runs(partial(np.concatenate, xs, k)) is not None]
    given = next((w.value for w in e.node.keywords if w.arg == "axis"), e.node.args[1] if len(e.node.args) > 1 else None)
    if not axes:
        return ""
    return e.with_parts({given: str(axes[0])}) if given is not None else f"{e.text[:-1]}, axis={axes[0]})"


def _same_rank(e: Expression | None, shapes: Sequence[Shape], axis: int) -> str:
    nodes = e.operands(len(shapes)) if e is not None else None
    if e is None or nodes is None or {len(s) for s in shapes} != {1, 2}:
        return ""
    xs = small(shapes)
    for suffix, place in (("[:, None]", 1), ("[None, :]", 0)):
        new: list[Array] = [np.expand_dims(x, place) if x.ndim == 1 else x for x in xs]
        if _runs(partial(np.concatenate, new, axis)) is not None:
            return e.with_parts({n: e.atom(n) + suffix for n, x in zip(nodes, xs, strict=True) if x.ndim == 1})
    return ""


def reshaped(e: Expression | None, size: int, shape: Shape) -> str:
    """A reshape with one size left to be worked out (-1), where that is possible."""
    if e is None or -1 in shape:
        return ""
    numbers = [n for n in ast.walk(e.node) if isinstance(n, ast.Constant) and isinstance(n.value, int)]
    if tuple([n.value for n in numbers]) != shape:
        return ""
    for k in reversed(range(len(shape))):
        rest = int(np.prod([n for j, n in enumerate(shape) if j != k]))
        if len(shape) > 1 and rest and size % rest == 0:
            return e.with_parts({numbers[k]: "-1"})
    return ""
