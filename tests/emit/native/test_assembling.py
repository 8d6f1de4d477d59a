"""Gradients of slices and look-ups: their parts are made where they belong, and the numbers are those of adding them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.build.tree import flatten
from chainrule.emit.native.engine import Native, to_native
from chainrule.emit.native.lower import lowered
from chainrule.emit.native.nodes import Assemble, Map
from chainrule.emit.native.plan import Plan, plan
from chainrule.emit.numpy import Program

I = np.array([0, 3, 3, 1])


def planned(f: Callable[..., Any], *args: Any) -> Plan:
    n = to_native(cr.jit(f).trace(*args))
    assert isinstance(n, Native)
    want = Program(n.graph)(*flatten(args)[0])
    for a, b in zip(n(*flatten(args)[0]), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    return plan(lowered(n.graph, n.survey))


def _layers(w: Any, x: Any) -> Any:
    for k in range(5):
        x = np.tanh(x @ w[k])
    return np.sum(x)


def test_the_gradient_of_every_layer_is_written_into_the_gradient_of_all(rng: np.random.Generator) -> None:
    p = planned(cr.grad(_layers), rng.normal(size=(5, 6, 6)) / 3, rng.normal(size=(4, 6)))
    (whole,) = [g.nodes[0] for g in p.groups if isinstance(g.nodes[0], Assemble)]
    assert whole.fill is None
    assert len(whole.parts) == len(p.aliases) == 5
    assert {to for to, _ in p.aliases.values()} == {whole.out}
    assert sorted(at for _, at in p.aliases.values()) == [0, 36, 72, 108, 144]


SLICES: dict[str, Callable[[Any], Any]] = {
    "columns": lambda a: np.sum(np.sin(a[:, :3]) * a[:, 3:6] + a[:, 6:] ** 2),
    "every other row": lambda a: np.sum(np.sin(a[::2, :3]) * a[1::2, 3:6]),
    "backwards": lambda a: np.sum(np.sin(a[::-1, :3]) * a[:, 3:6]),
    "overlapping": lambda a: np.sum(np.sin(a[1:]) * a[:-1]),
    "with gaps": lambda a: np.sum(np.sin(a[0]) * a[1] * a[5]),
    "one of them twice": lambda a: np.sum(np.sin(a[0]) * a[1]) + np.sum(np.cos(a[0])),
    "and all": lambda a: np.sum(np.sin(a[0]) * a[1]) + np.sum(a**2),
    "looked up": lambda a: np.sum(np.exp(a)) + np.sum(np.sin(a[I, I])),
    "looked up alone": lambda a: np.sum(np.sin(a[I])),
    "looked up twice": lambda a: np.sum(np.exp(a)) + np.sum(np.sin(a[I, I]) * a[I + 1, I]),
}


@pytest.mark.parametrize("name", SLICES)
def test_gradients(name: str, rng: np.random.Generator) -> None:
    planned(cr.value_and_grad(SLICES[name]), rng.normal(size=(6, 9)))


def test_adjacent_parts_leave_nothing_to_add(rng: np.random.Generator) -> None:
    p = planned(cr.grad(SLICES["columns"]), rng.normal(size=(6, 9)))
    assert not any(isinstance(n, Map) and n.op == "add" and n.out.shape == (6, 9) for g in p.groups for n in g.nodes)


def test_what_is_read_again_is_kept(rng: np.random.Generator) -> None:
    def f(a: Any) -> Any:
        b = np.exp(a)
        return cr.grad(lambda b: np.sum(b * b) + np.sum(np.sin(b[I, I])))(b), 2 * b, b

    planned(f, rng.normal(size=(6, 9)))


def test_in_a_loop(rng: np.random.Generator) -> None:
    def f(a: Any) -> Any:
        loss = lambda c: np.sum(np.sin(c[0]) * c[1] * c[5]) + np.sum(np.cos(c[2:5])) + np.sum(c[I, I])
        step = lambda c, _: (c - 0.1 * cr.grad(loss)(c), cr.grad(loss)(c))
        return cr.scan(step, a, None, length=5)

    planned(f, rng.normal(size=(6, 9)))


def test_a_part_of_two_arrays_is_in_both(rng: np.random.Generator) -> None:
    def f(a: Any) -> Any:
        b = np.exp(a)
        first, second = np.concatenate([a, b]), np.concatenate([b, a, b[:1]])
        return first * 2, second + 1, np.stack([b, a]), np.concatenate([np.stack([a, b]), np.stack([b, a])])

    planned(f, rng.normal(size=7))
    planned(f, rng.normal(size=1))
