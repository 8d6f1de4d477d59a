"""NumPy's functions on traced values: NumPy's own results, and derivatives checked by difference quotients and by JAX."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.build.builder import Builder
from chainrule.build.value import Value
from chainrule.emit.numpy import Program, evaluate
from chainrule.ir.types import type_of
from chainrule.transform.vmap import vmap
from numpy_cases import CASES, Case

# Every function that must be there, by the name its cases have.
LISTED = """
sum mean prod max min amax amin var std ptp any all argmax argmin cumsum cumprod diff average median nansum nanmean
nanmax nanmin count_nonzero percentile quantile reshape ravel transpose swapaxes moveaxis rollaxis squeeze expand_dims
broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d concatenate stack vstack hstack dstack column_stack split
array_split hsplit vsplit flip fliplr flipud rot90 roll repeat tile pad take take_along_axis getitem delete insert
append triu tril diag diagonal diagflat trace kron outer inner dot vdot matmul tensordot einsum cross convolve correlate
sort argsort searchsorted interp unique nonzero zeros_like ones_like full_like empty_like meshgrid copy ndim shape size
array_equal iscomplexobj isclose allclose linspace gradient trapezoid cov corrcoef polyval vander add.reduce
multiply.reduce maximum.reduce minimum.reduce add.accumulate multiply.accumulate maximum.accumulate multiply.outer .sum
.mean .reshape .T .dot .astype .copy .flatten .ravel .max .min .argmax .argmin .clip .round .take .repeat .squeeze
.swapaxes .transpose .var .std .cumsum .cumprod .prod .any .all .trace .diagonal .item .nonzero .argsort .searchsorted
"""

NAMES = [f"{c.name}-{k}" for k, c in enumerate(CASES)]
STEP = 1e-5
"""Of difference quotients: their own error is some STEP**2 = 1e-10, that of rounding 1e-16 / STEP = 1e-11."""


def over(wanted: Callable[[Case], bool]) -> Any:
    """A test of each case that is wanted."""
    some = [(n, c) for n, c in zip(NAMES, CASES, strict=True) if wanted(c)]
    return pytest.mark.parametrize("c", [c for _, c in some], ids=[n for n, _ in some])


def floating(c: Case) -> list[int]:
    """Which arguments are differentiated."""
    return [k for k, a in enumerate(c.args) if np.asarray(a).dtype.kind == "f"]


def leaves(y: Any) -> list[Any]:
    """The arrays of a result."""
    return [z for part in y for z in leaves(part)] if isinstance(y, list | tuple) else [y]


@contextmanager
def quiet() -> Iterator[None]:
    """NumPy warns of empty slices and of NaN, which is not the point here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def expected(c: Case, args: Any = None) -> list[Any]:
    """What NumPy says."""
    with quiet():
        return [np.asarray(y) for y in leaves(c.call(np, *(c.args if args is None else args)))]


def assert_same(got: Any, want: Any) -> None:
    """Equal type, and equal numbers but for the order of sums."""
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if want.dtype.kind in "bui":
        np.testing.assert_array_equal(got, want)
    else:
        eps = np.finfo(want.dtype).eps
        np.testing.assert_allclose(got, want, rtol=20 * eps, atol=20 * eps)


def test_every_listed_function_has_cases() -> None:
    assert not set(LISTED.split()) - {c.name for c in CASES}


@over(lambda c: True)
def test_eager_calls_give_what_numpy_gives(c: Case) -> None:
    with quiet(), Builder(evaluate).here() as b:
        ys = leaves(c.call(np, *[b.input(type_of(np.asarray(a)), np.asarray(a)) for a in c.args]))
    want = expected(c)
    assert len(ys) == len(want)
    for y, w in zip(ys, want, strict=True):
        assert_same(y.full if isinstance(y, Value) else np.asarray(y), w)


def graph_of(c: Case) -> Any:
    with quiet(), Builder().here() as b:
        ys = leaves(c.call(np, *[b.input(type_of(np.asarray(a))) for a in c.args]))
        return b.finish([y if isinstance(y, Value) else b.constant(np.asarray(y)) for y in ys])


@over(lambda c: not c.needs)
def test_graphs_and_batches_of_them_give_what_numpy_gives(c: Case) -> None:
    g = graph_of(c)
    for y, w in zip(Program(g)(*map(np.asarray, c.args)), expected(c), strict=True):
        assert_same(np.asarray(y), w)
    mapped = floating(c) or range(len(c.args))
    other = [a if k not in mapped else np.asarray(a)[..., ::-1] if np.ndim(a) else np.asarray(a) for k, a in enumerate(c.args)]
    batch = [np.stack([a, b]) if k in mapped else np.asarray(a) for k, (a, b) in enumerate(zip(c.args, other, strict=True))]
    with quiet():
        found = Program(vmap(g, 2, [k in mapped for k in range(len(batch))]))(*batch)
    for y, w, v in zip(found, expected(c), expected(c, other), strict=True):
        if v.shape == w.shape:
            assert_same(np.asarray(y), np.stack([w, v]))


@over(lambda c: bool(c.needs))
def test_what_needs_values_says_so_without_them(c: Case) -> None:
    with pytest.raises((cr.errors.ValueNeededError, cr.errors.ConversionError)):
        graph_of(c)


# --- derivatives ------------------------------------------------------------------------------------------------------------


def weighted(c: Case, np_like: Any) -> Callable[..., Any] | None:
    """A number that depends on every floating element of the result, each in its own way, not linearly."""
    if not any(y.dtype.kind == "f" and y.size for y in expected(c)) or not floating(c):
        return None
    where = floating(c)

    def f(*xs: Any) -> Any:
        args = list(c.args)
        for k, x in zip(where, xs, strict=True):
            args[k] = x
        total: Any = 0.0
        for j, y in enumerate(leaves(c.call(np_like, *args))):
            if y.dtype.kind == "f":
                w = np.cos(1.3 * np.arange(y.size) + j).reshape(y.shape)
                total = total + np_like.sum(np_like.sin(y) * w)
        return total

    return f


def directions(xs: list[Any]) -> list[Any]:
    return [np.sin(1.7 * np.arange(x.size) + 1).reshape(x.shape) for x in xs]


def ours(c: Case, xs: list[Any], vs: list[Any]) -> tuple[Any, Any]:
    """The gradient, and its derivative along `vs`."""
    g = cr.grad(weighted(c, np), tuple(range(len(xs))))  # pyright: ignore[reportArgumentType]
    with quiet():
        return cr.jvp(lambda *zs: g(*zs), tuple(xs), tuple(vs))


@over(lambda c: c.smooth and weighted(c, np) is not None)
def test_derivatives_are_those_of_difference_quotients(c: Case) -> None:
    f = weighted(c, np)
    assert f is not None
    xs = [np.asarray(c.args[k]) for k in floating(c)]
    vs = directions(xs)
    gradient, second = ours(c, xs, vs)
    gradients = cr.grad(f, tuple(range(len(xs))))
    with quiet():
        ahead, behind = ([x + s * v for x, v in zip(xs, vs, strict=True)] for s in (STEP, -STEP))
        slope = (f(*ahead) - f(*behind)) / (2 * STEP)
        slopes = [(a - b) / (2 * STEP) for a, b in zip(gradients(*ahead), gradients(*behind), strict=True)]
        _, pushed = cr.jvp(f, tuple(xs), tuple(vs))
    along = sum(float(np.sum(d * v)) for d, v in zip(gradient, vs, strict=True))
    assert along == pytest.approx(slope, rel=1e-7, abs=1e-7)
    assert pushed == pytest.approx(along, rel=1e-12, abs=1e-12)
    for d, s in zip(second, slopes, strict=True):
        np.testing.assert_allclose(d, s, rtol=1e-6, atol=1e-6)


def theirs(c: Case, xs: list[Any], vs: list[Any]) -> tuple[Any, Any]:
    """The same by JAX, which need not optimise what runs once."""
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
    import jax
    import jax.numpy as jnp

    g = jax.grad(weighted(c, jnp), tuple(range(len(xs))))  # pyright: ignore[reportArgumentType]
    both = jax.jit(lambda zs, us: jax.jvp(g, zs, us))
    return both(tuple(map(jnp.asarray, xs)), tuple(map(jnp.asarray, vs)))


def assert_agree(c: Case) -> None:
    xs = [np.asarray(c.args[k]) for k in floating(c)]
    vs = directions(xs)
    for ours_, theirs_ in zip(ours(c, xs, vs), theirs(c, xs, vs), strict=True):
        for a, b in zip(ours_, theirs_, strict=True):
            np.testing.assert_allclose(a, np.asarray(b), rtol=1e-6 if c.single else 1e-10, atol=1e-6 if c.single else 1e-12)


@over(lambda c: c.jax is True and weighted(c, np) is not None)
def test_derivatives_are_those_of_jax(c: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_agree(c)
