"""Rows in blocks: dear operations per row on vectors of rows give the bits that they give row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.emit.native import loops, row_blocks
from chainrule.emit.native.engine import Native, to_native
from chainrule.emit.native.pool import using
from chainrule.emit.numpy import Program


def logistic(w: Any, x: Any, y: Any) -> Any:
    z = x @ w
    return np.mean(np.logaddexp(0, z) - y * z)


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, 1, keepdims=True))
    return e / np.sum(e, 1, keepdims=True), np.log(np.sum(e, 1))


def choosing(x: Any) -> Any:
    """Rows that are booleans, numbers that no row changes, and sums over rows."""
    s = np.sum(x, 1)
    c = np.where(s > 0, np.exp(-s), np.log1p(s * s))
    return x * c[:, None], np.sum(c), np.any(s > 1, 0), np.max(np.sqrt(np.abs(s)))


def programs(rows: int, columns: int, dtype: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    r = np.random.default_rng(rows * columns)
    x, w = r.normal(size=(rows, columns)).astype(dtype), r.normal(size=columns).astype(dtype)
    y = (r.random(rows) < 0.5).astype(dtype)
    return [(cr.value_and_grad(logistic), (w, x, y)), (softmax, (x,)), (choosing, (x,)), (lambda x: softmax(x.T)[1], (x,))]


def run(f: Any, args: tuple[Any, ...]) -> tuple[Native, list[Any]]:
    n = to_native(cr.jit(f).trace(*args))
    assert isinstance(n, Native)
    return n, [np.array(y) for y in n(*args)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (5, 7), (8, 16), (19, 4), (37, 33), (4003, 20)])
def test_the_same_bits_as_row_by_row(rows: int, columns: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for f, args in programs(rows, columns, dtype):
        n, blocks = run(f, args)
        with monkeypatch.context() as patch:
            patch.setattr(loops, "rows_together", lambda *_: 0)
            patch.setattr("chainrule.emit.native.cache.key", lambda text: f"row-by-row-{hash(text)}")
            _, single = run(f, args)
        for threads in (1, 3):
            with using(threads):
                for a, b, c in zip(blocks, single, n(*args), strict=True):
                    np.testing.assert_array_equal(a, b)
                    np.testing.assert_array_equal(a, c)
        tolerance = 1e-12 if dtype == np.float64 else 2e-5
        for a, b in zip(blocks, Program(n.graph)(*args), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_only_where_it_pays() -> None:
    row, column = loops.Operand("float64", (100, 1), 10_000), loops.Operand("float64", (1, 0), 100)
    dear = loops.Stage(
        reduces=(loops.Reduce("s", "sum", "x"),), row_steps=(loops.Step("e", "exp", ("s",)),), row_stores=(("e", "y"),)
    )
    bits = {"x": 64, "y": 64}
    k = loops.Kernel((100, 100), {"x": row, "y": column}, (dear,))
    assert row_blocks.rows_together(k, bits) == 8
    cheap = loops.Stage(reduces=dear.reduces, row_steps=(loops.Step("e", "negative", ("s",)),), row_stores=dear.row_stores)
    assert row_blocks.rows_together(loops.Kernel(k.shape, k.operands, (cheap,)), bits) == 0
    long = loops.Operand("float64", (10_000, 1), 1_000_000)
    assert row_blocks.rows_together(loops.Kernel((100, 10_000), {"x": long, "y": column}, (dear,)), bits) == 0
    few = loops.Kernel(
        (6, 100), {"x": loops.Operand("float64", (100, 1), 600), "y": loops.Operand("float64", (1, 0), 6)}, (dear,)
    )
    assert row_blocks.rows_together(few, bits) == 4


def test_scratch_of_one_row_is_not_overwritten_by_the_next() -> None:
    x, t = loops.Operand("float64", (10, 1), 100), loops.Operand("float64", (0, 1), 10)
    first = loops.Stage(
        (loops.Step("e", "exp", ("x",)),),
        (("e", "t"),),
        (loops.Reduce("s", "sum", "e"),),
        (loops.Step("r", "reciprocal", ("s",)),),
    )
    second = loops.Stage((loops.Step("p", "multiply", ("t", "r")),), (("p", "y"),))
    k = loops.Kernel((10, 10), {"x": x, "t": t, "y": x}, (first, second))
    assert row_blocks.rows_together(k, dict.fromkeys("xty", 64)) == 0
