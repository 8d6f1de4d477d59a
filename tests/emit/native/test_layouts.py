"""How arrays lie: copies that exchange axes, elementwise work in the order of its operands, products with an identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.build.tree import flatten
from chainrule.emit.native.engine import Native, to_native
from chainrule.emit.native.lower import lowered
from chainrule.emit.native.nodes import Contract, Map, Special
from chainrule.emit.native.pool import using
from chainrule.emit.numpy import Program


def compiled(f: Any, *args: Any) -> Native:
    n = to_native(cr.jit(f).trace(*args))
    assert isinstance(n, Native)
    return n


def nodes(n: Native, kind: Any) -> list[Any]:
    return [x for x in lowered(n.graph, n.survey).nodes if isinstance(x, kind)]


def same(n: Native, *args: Any, rtol: float = 1e-12) -> None:
    leaves = flatten(args)[0]
    for a, b in zip(n(*leaves), Program(n.graph)(*leaves), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((8, 8), (1, 0)), ((13, 9), (1, 0)), ((300, 257), (1, 0)), ((3, 8, 17), (0, 2, 1)), ((3, 9, 4, 11), (2, 3, 0, 1)),
     ((40, 9, 2, 33), (3, 1, 2, 0)), ((1031, 64), (1, 0))],
)  # fmt: skip
def test_exchanged_axes(shape: tuple[int, ...], axes: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=shape).astype(dtype)
    n = compiled(lambda x: np.transpose(x, axes), x)
    assert [s.kind for s in nodes(n, Special)] == ["transpose"]
    for threads in (1, 2):
        with using(threads):
            np.testing.assert_array_equal(n(x)[0], np.transpose(x, axes))


def test_elementwise_work_on_turned_arrays_needs_no_copy(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(20, 30)), rng.normal(size=(20, 30))
    n = compiled(lambda x, y: np.sum(np.exp(x.T) * y.T + 1, 0), x, y)
    assert not nodes(n, Special)
    assert {m.out.shape for m in nodes(n, Map)} == {(20, 30)}
    same(n, x, y)
    same(compiled(lambda x, y: x.T * y[:30, :20], x, rng.normal(size=(31, 21))), x, rng.normal(size=(31, 21)))


def test_a_hessian_multiplies_by_no_identity(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(50, 9)), rng.normal(size=9)
    n = compiled(cr.hessian(lambda w, x: np.sum(np.logaddexp(0, x @ w))), w, x)
    assert len(nodes(n, Contract)) == 1
    same(n, w, x)


def test_another_constant_has_other_code(rng: np.random.Generator) -> None:
    """What is done depends on the numbers of a constant only where it is an identity: its code is not taken for others."""
    x = rng.normal(size=(5, 9))
    for c in (np.eye(9), np.eye(9) * 2, np.ones((9, 9)), np.eye(9)[::-1]):
        same(compiled(lambda x, c=c: (x @ c, c @ x.T, x @ c.T), x), x)


@pytest.mark.parametrize("m", [7, 100])
@pytest.mark.parametrize("k", [1024, 1025, 3000])
def test_long_sums(m: int, k: int, rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(k, m)), rng.normal(size=(k, 50))
    n = compiled(lambda a, b: a.T @ b, a, b)
    same(n, a, b, rtol=1e-11)
    one = compiled(lambda a, b: np.stack([np.sum(a[:, 0] * b[:, 1]), np.sum(a[:, 1] * b[:, 0])]), a, b)
    np.testing.assert_allclose(one(a, b)[0], [n(a, b)[0][0, 1], n(a, b)[0][1, 0]], rtol=1e-11, atol=1e-11)
