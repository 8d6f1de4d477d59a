"""Laws that every row of the table obeys, so that a new row is tested by existing."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import errors
from chainrule.build.builder import Builder
from chainrule.build.row import Row
from chainrule.ir.graph import Array
from chainrule.ir.types import ArrayType, type_of
from chainrule.prims import TABLE
from prims import checks
from prims.samples import BY_HAND, FORWARD_ONLY, ORDERS, POINTWISE, STRUCTURED, TWICE, Sample, samples

ROWS = [r for r in TABLE.values() if r.name not in BY_HAND]
SMOOTH = [r for r in ROWS if r.name not in {"conj", "real", "imag", "stop_gradient"}]
BACKWARD = [r for r in SMOOTH if r.name not in FORWARD_ONLY]
SHAPES = st.sampled_from([(), (1,), (3,), (2, 1, 2)])
FEW = settings(max_examples=4)


def per_row(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=lambda r: r.name)


def drawn(data: st.DataObject, row: Row) -> list[Sample]:
    """Samples made of numbers that Hypothesis chose."""
    unit = st.floats(0, 1, width=32)
    return list(samples(row, lambda shape: data.draw(hnp.arrays(float, shape, elements=unit)), data.draw(SHAPES)))


def fixed(row: Row, seed: int = 0, shape: tuple[int, ...] = (5,)) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return list(samples(row, lambda s: rng.random(s), shape))


def smooth(row: Row, found: list[Sample]) -> list[Sample]:
    """Those of float64 results: in float32 a difference quotient has too few digits."""
    with Builder().here():
        return [s for s in found if all(t.dtype != np.float32 for t in row.type([type_of(x) for x in s.args], s.params))]


# --- types ------------------------------------------------------------------------------------------------------------------


FLOATING = {
    "solve",
    "inv",
    "det",
    "slogdet",
    "cholesky",
    "eigh",
    "qr",
    "svd",
    "pinv",
    "lstsq",
    "adjugate",
    "adjugate_slope",
    "matrix_rank",
}
"""Rows of linear algebra, to which integers come as floats."""
DTYPES = ["f4", "f8", "c8", "c16", "i4", "i8", "u1", "?"]


def recast(x: Array, dtype: str) -> Array:
    return x.astype(dtype) if x.dtype.kind in "fc" else x


@per_row([r for r in ROWS if r.value is not None])
def test_type_is_that_of_the_value(row: Row) -> None:
    assert row.value is not None
    tried = 0
    for s, dtype in itertools.product(fixed(row), ["f4", "f8"] if row.name in FLOATING else DTYPES):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            args = [recast(x, dtype) for x in s.args]
            try:
                y = row.value(*args, **s.params)
            except (TypeError, ValueError):  # NumPy has no loop for it; or integers to negative powers
                continue
            types = row.type([type_of(x) for x in args], s.params)
        tried += 1
        for z, t in zip(y if isinstance(y, tuple) else (y,), types, strict=True):
            assert np.asarray(z).dtype == t.dtype, f"{row.name} of {dtype}"
            # `spread` leaves its value to be broadcast by NumPy.
            assert np.shape(z) == t.shape or (row.name == "spread" and np.broadcast_shapes(np.shape(z), t.shape) == t.shape)
    assert tried


@per_row([r for r in ROWS if r.pointwise and r.value is not None])
def test_empty_and_scalar_operands(row: Row) -> None:
    for shape in ((0,), (2, 0), ()):
        (s, *_) = fixed(row, shape=shape)
        if row.name in {"cast"}:
            continue
        (y,) = checks.run(checks.equation(row, s.args, s.params), s.args)
        assert y.shape == shape


# --- derivatives --------------------------------------------------------------------------------------------------------------


@per_row(SMOOTH)
@FEW
@given(data=st.data())
def test_derivative_is_the_difference_quotient(row: Row, data: st.DataObject) -> None:
    for s in smooth(row, drawn(data, row)):
        checks.derivative_is_the_difference_quotient(row, s, np.random.default_rng(1))


@per_row(BACKWARD)
@FEW
@given(data=st.data())
def test_reverse_mode_is_forward_mode_transposed(row: Row, data: st.DataObject) -> None:
    for s in drawn(data, row):
        checks.reverse_is_forward_transposed(row, s, np.random.default_rng(2))


@per_row(BACKWARD)
def test_second_derivative(row: Row) -> None:
    for s in smooth(row, fixed(row)):
        s = s._replace(wrt=TWICE.get(row.name, s.wrt))
        if s.wrt:
            checks.second_derivative_is_symmetric(row, s, np.random.default_rng(3))


@per_row([r for r in ROWS if r.transpose is not None and r.push is None])
def test_transpose_is_adjoint(row: Row) -> None:
    for s in fixed(row):
        for wrt in linear_in(row, s):
            checks.transpose_is_adjoint(row, s, wrt, np.random.default_rng(4))


def linear_in(row: Row, s: Sample) -> list[list[int]]:
    """Groups of operands in which the row is linear together."""
    together = {"select": [1, 2], "recur": [1], "take": [0], "scatter_add": [0], "solve": [1], "adjugate_slope": [1]}
    if not s.wrt or not all(t.inexact for t in row.type([type_of(x) for x in s.args], s.params)):
        return []
    return [[k] for k in s.wrt] if row.kind == "multilinear" else [together.get(row.name, s.wrt)]


@per_row([r for r in ROWS if r.kind in ("linear", "multilinear") or r.name in {"select", "take", "scatter_add", "recur"}])
def test_linear_rows_are_linear(row: Row) -> None:
    for s in fixed(row):
        for which in linear_in(row, s):
            checks.row_is_linear(row, s, which, np.random.default_rng(5))


@pytest.mark.parametrize("name", [*ORDERS, "conj", "real", "imag"])
def test_no_derivative_is_an_error_and_not_a_number(name: str) -> None:
    row = TABLE[name]
    (s, *_) = fixed(row)
    for k in range(len(s.args)):
        if k not in s.wrt:
            with pytest.raises(errors.NotDifferentiableError):
                checks.pushed(row, s, [k])


# --- batching ---------------------------------------------------------------------------------------------------------------


@per_row(ROWS)
def test_vmap_is_a_loop(row: Row) -> None:
    for s in fixed(row):
        for mapped in itertools.product([False, True], repeat=len(s.args)):
            if any(mapped):
                checks.vmap_is_a_loop(row, s, mapped)


# --- what the other columns say -----------------------------------------------------------------------------------------------


@per_row([r for r in ROWS if r.on and r.name not in POINTWISE])
def test_value_and_derivative_are_finite_inside_the_domain(row: Row) -> None:
    s = Sample([np.asarray(i.inside) for i in row.on], {}, ORDERS.get(row.name, list(range(row.arity))))
    (y,) = checks.run(checks.equation(row, s.args, {}), s.args)
    assert np.isfinite(y)
    for k in s.wrt:
        assert np.all(np.isfinite(checks.run(checks.pushed(row, s, [k]), [*s.args, np.ones(())])))


@per_row([r for r in ROWS if r.arity == 1 and len(r.on) == 1 and not r.on[0].open and not r.on[0].everything])
def test_value_is_finite_at_closed_ends(row: Row) -> None:
    for end in (row.on[0].low, row.on[0].high):
        if math.isfinite(end):
            (y,) = checks.run(checks.equation(row, [np.asarray(end)], {}), [np.asarray(end)])
            assert np.isfinite(y)


@per_row([r for r in ROWS if r.expansion is not None])
def test_expansion_is_the_function(row: Row) -> None:
    """Up to a few units in the last place."""
    for s in fixed(row):
        checks.close(expanded(row, s.args), checks.run(checks.equation(row, s.args, {}), s.args), 1e-14, 1e-14, row.name)


EDGES = [0.0, -0.0, 0.1, 1.0, -0.3, 3.0, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize(
    "name", ["fmax", "fmin", "floordiv", "remainder", "heaviside", "xlogy", "entr", "log_expit", "logaddexp2"]
)
def test_expansion_is_the_function_at_the_edges(name: str) -> None:
    """Zeros of both signs, infinities and NaN."""
    row = TABLE[name]
    args = [np.array(c) for c in zip(*itertools.product(EDGES, repeat=row.arity), strict=True)]
    got, want = expanded(row, args), checks.run(checks.equation(row, args, {}), args)
    checks.close(got, want, 1e-15, 0, name)
    if name in {"floordiv", "remainder"}:
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


def expanded(row: Row, args: list[Array]) -> list[Array]:
    """The row's value, by its expansion."""
    assert row.expansion is not None
    with Builder().here() as b:
        g = b.finish([row.expansion(*[b.input(type_of(x)) for x in args])])
    return checks.run(g, args)


@per_row([r for r in ROWS if any(r.monotone) and r.pointwise and r.name not in STRUCTURED])
def test_monotone_rows_are(row: Row) -> None:
    (s, *_) = fixed(row, shape=(50,))
    for k, sense in enumerate(row.monotone):
        if sense is not None and s.wrt:
            (dy,) = checks.run(checks.pushed(row, s, [k]), [*s.args, np.ones(50)])
            assert np.all(sense * dy >= 0)


@per_row([r for r in ROWS if r.curvature and r.pointwise and r.name not in STRUCTURED])
def test_curvature_is_what_the_second_derivative_says(row: Row) -> None:
    """v' H v >= 0 for a convex row, <= 0 for a concave one, in joint directions v; up to rounding."""
    from chainrule.transform.jvp import jvp

    rng = np.random.default_rng(6)
    (s, *_) = fixed(row, shape=(200,))
    args = [x.astype(float) for x in s.args]
    once = jvp(checks.equation(row, args, s.params))
    vs = [rng.normal(size=200) for _ in args]
    bend = checks.run(jvp(once, range(len(args))), [*args, *vs, *vs])[-1]
    if row.curvature == "affine":
        assert not np.any(bend)
    else:
        sense = {"convex": 1, "concave": -1}[row.curvature or ""]
        assert np.all(sense * bend >= -1e-9)


@per_row([r for r in ROWS if r.pointwise])
def test_notation_and_source_can_be_filled_in(row: Row) -> None:
    names = ["a", "b", "c"][: row.arity]
    assert row.notation.format(*names)
    if row.name != "cast":
        assert row.python.format(*names)


def test_every_jump_is_stated() -> None:
    """A row that is constant between jumps, or chooses, says what its derivative is there."""
    silent = {
        "bitand",
        "bitor",
        "bitxor",
        "invert",
        "lshift",
        "rshift",
        "isnan",
        "isinf",
        "isfinite",
        "stop_gradient",
        "random_bits",
    }
    assert not [r.name for r in TABLE.values() if r.kind == "flat" and r.kink is None and r.name not in silent]
    assert all(
        TABLE[name].kink for name in ("abs", "maximum", "minimum", "fmax", "fmin", "copysign", "heaviside", "hypot", "pow")
    )


def test_a_row_without_samples_is_an_error() -> None:
    row = Row(
        name="new", kind="structured", type=lambda ts, p: (ArrayType(np.dtype(float), ()),), value=None, batch=lambda xs, m, p: xs
    )
    with pytest.raises(LookupError, match="has no samples"):
        fixed(row)
