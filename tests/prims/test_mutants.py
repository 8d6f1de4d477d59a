"""Every derivative in the table, made wrong in three ways: the laws must notice each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chainrule.build.row import Row, Tangent, Unknown, Zero
from chainrule.build.value import Value
from chainrule.prims.kinds import constant, dense
from prims import checks
from prims.samples import Sample
from prims.test_laws import SMOOTH, fixed, linear_in, smooth

MUTATIONS: dict[str, Callable[[Value, Tangent], Value]] = {
    "1.001 times": lambda dy, dx: dy * 1.001,
    "negated": lambda dy, dx: -dy,
    "1e-4 more": lambda dy, dx: dy + _like(dx, dy) * 1e-4,
}


def _like(dx: Tangent, dy: Value) -> Value:
    """The tangent itself where it has the type of the result, as for every elementwise row."""
    return dx if isinstance(dx, Value) and dx.type == dy.type else constant(1, dy.type)


def mutant(row: Row, how: str) -> Row:
    """The row with a wrong derivative."""
    change = MUTATIONS[how]

    def wrong(dys: Sequence[Tangent], dxs: Sequence[Tangent]) -> list[Tangent]:
        dx = next(d for d in dxs if not isinstance(d, Zero))
        return [change(dense(dy), dx) if dy.type.dtype.kind == "f" else dy for dy in dys]

    def jvp(xs: Any, dxs: Any, ys: Any, p: Any) -> Sequence[Tangent]:
        assert row.jvp is not None
        return wrong(row.jvp(xs, dxs, ys, p), dxs)

    def push(xs: Any, dxs: Any, p: Any) -> Any:
        assert row.push is not None
        ys, dys = row.push(xs, dxs, p)
        return ys, wrong(dys, dxs)

    return replace(row, jvp=jvp if row.jvp else None, push=push if row.push else None)


def partials() -> list[Any]:
    """Each row with each operand that it can be differentiated with respect to."""
    found = []
    for row in SMOOTH:
        if not has_samples(row):  # its laws are red already, by name
            continue
        good = [s for s in smooth(row, fixed(row)) if s.wrt and any(y.dtype.kind == "f" for y in value(row, s))]
        found += [pytest.param(row, k, id=f"{row.name}-{k}") for k in sorted({k for s in good for k in s.wrt})]
    return found


def has_samples(row: Row) -> bool:
    try:
        return bool(fixed(row))
    except LookupError:
        return False


def value(row: Row, s: Sample) -> list[Any]:
    return checks.run(checks.equation(row, s.args, s.params), s.args)


def noticed(row: Row, found: Sequence[Sample]) -> bool:
    for s in found:
        try:
            checks.derivative_is_the_difference_quotient(row, s, np.random.default_rng(1))
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize(("row", "k"), partials())
def test_wrong_derivatives_are_noticed(row: Row, k: int) -> None:
    """A derivative that is zero everywhere stays what it is when it is negated or multiplied."""
    found = [s._replace(wrt=[k]) for s in smooth(row, fixed(row)) if k in s.wrt]
    assert not noticed(row, found)
    flat = not any(
        np.any(dy) for s in found for dy in checks.run(checks.pushed(row, s, [k]), [*s.args, np.ones(s.args[k].shape)])
    )
    for how in MUTATIONS:
        if not flat or how == "1e-4 more":
            assert noticed(mutant(row, how), found), f"{row.name}, operand {k}, {how}"


def test_derivatives_that_are_zero_everywhere() -> None:
    """The only ones that two of the mutations leave alone, by name."""
    zero = []
    for p in partials():
        row, k = p.values
        found = [s for s in smooth(row, fixed(row)) if k in s.wrt]
        if not any(
            np.any(dy) for s in found for dy in checks.run(checks.pushed(row, s, [k]), [*s.args, np.ones(s.args[k].shape)])
        ):
            zero.append(p.id)
    flat = ["sign", "floor", "ceil", "trunc", "rint"]
    assert set(zero) - {"copysign-1", "heaviside-0", "floordiv-0", "floordiv-1"} == {f"{name}-0" for name in flat}


# --- transposes ---------------------------------------------------------------------------------------------------------------


def mutated_transpose(row: Row, how: str) -> Row:
    """The row with a wrong transpose."""
    change = MUTATIONS[how]

    def transpose(cts: Any, xs: Any, p: Any) -> list[Tangent | None]:
        assert row.transpose is not None
        back = row.transpose(cts, xs, p)
        return [
            change(dense(ct), Zero(x.type)) if isinstance(x, Unknown) and ct is not None else ct
            for ct, x in zip(back, xs, strict=True)
        ]

    return replace(row, transpose=transpose)


@pytest.mark.parametrize("row", [r for r in SMOOTH if r.transpose is not None and r.push is None], ids=lambda r: r.name)
@pytest.mark.parametrize("how", MUTATIONS)
def test_wrong_transposes_are_noticed(row: Row, how: str) -> None:
    caught = tried = 0
    for s in smooth(row, fixed(row)):
        for wrt in linear_in(row, s):
            if not any(np.size(y) for y in value(row, s)):
                continue
            tried += 1
            try:
                checks.transpose_is_adjoint(mutated_transpose(row, how), s, wrt, np.random.default_rng(4))
            except AssertionError:
                caught += 1
    assert caught == tried > 0
