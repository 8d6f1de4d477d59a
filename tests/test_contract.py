"""What a stranger tries: arguments said wrongly, arrays of other kinds, pull-backs taken elsewhere, indices that are traced."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors.source import spot

X = np.array([1.0, 2.0, 3.0])


# --- which arguments ----------------------------------------------------------------------------------------------------------


def product(a: Any, b: Any) -> Any:
    return a * b


@pytest.mark.parametrize("twice", [(0, 0), (1, -1), (0, -2)])
def test_an_argument_named_twice_is_an_error(twice: tuple[int, int]) -> None:
    for derivative in (cr.grad, cr.value_and_grad, cr.jacobian):
        with pytest.raises(cr.errors.TreeError, match="twice"):
            derivative(product, argnums=twice)(2.0, 3.0)


def test_argnums_are_whole_numbers_of_any_kind() -> None:
    assert cr.grad(product, argnums=np.int64(1))(2.0, 3.0) == 2.0  # pyright: ignore[reportArgumentType]
    assert cr.grad(product, argnums=np.array([1, 0]))(2.0, 3.0) == (2.0, 3.0)  # pyright: ignore[reportArgumentType]
    for bad in ("a", 1.0, (0, "b")):
        with pytest.raises(TypeError, match="argnums is a whole number"):
            cr.grad(product, argnums=bad)(2.0, 3.0)  # pyright: ignore[reportArgumentType]


def test_static_arguments_can_be_counted_from_the_end() -> None:
    f = cr.jit(lambda x, n: x * n if n > 1 else x, static_argnums=-1)
    assert f(3.0, 2) == 6.0
    assert f(3.0, 1) == 3.0
    with pytest.raises(TypeError, match="static_argnums is a whole number"):
        cr.jit(product, static_argnums="b")  # pyright: ignore[reportArgumentType]


def test_jvp_without_tuples_says_so() -> None:
    with pytest.raises(cr.errors.TreeError, match="tuples"):
        cr.jvp(np.sin, X, X)  # pyright: ignore[reportArgumentType]


# --- arrays of other kinds ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", ["masked", "matrix"])
def test_arrays_whose_elements_or_products_mean_something_else_are_refused(kind: str) -> None:
    other: Any = np.ma.masked_array(X, X == 2) if kind == "masked" else np.asmatrix(np.eye(3))
    calls: list[Any] = [
        lambda: cr.grad(lambda x: np.sum(x * x))(other),
        lambda: cr.grad(lambda x: np.sum(x * other))(X),
        lambda: cr.jit(lambda x: x * x)(other),
        lambda: cr.vmap(lambda x: x * x)(other),
    ]
    for call in calls:
        with pytest.raises(cr.errors.DtypeError, match=kind):
            call()


def test_compiled_functions_take_any_byte_order() -> None:
    other = np.dtype(np.float64).newbyteorder()
    f: Any = cr.jit(lambda x: x * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (X.astype(other), X, X.astype(other), X.astype(np.dtype("f8", metadata={"of": "a file"}))):
            got = f(x)
            np.testing.assert_array_equal(got, 2 * X)
            assert got.dtype.isnative


# --- pull-backs and linear functions, taken elsewhere -----------------------------------------------------------------------------


def test_a_pull_back_and_a_linear_function_can_be_transformed() -> None:
    pull = cr.vjp(np.sin, X)[1]
    push = cr.linearize(np.sin, X)[1]
    want = np.diag(np.cos(X))
    np.testing.assert_allclose(cr.vmap(pull)(np.eye(3))[0], want)
    np.testing.assert_allclose(cr.vmap(push)(np.eye(3)), want)
    np.testing.assert_allclose(cr.jit(pull)(X)[0], np.cos(X) * X)
    np.testing.assert_allclose(cr.grad(lambda c: np.sum(pull(c)[0] ** 2))(X), 2 * np.cos(X) ** 2 * X)


@pytest.mark.parametrize("linear", [lambda f, z: cr.vjp(f, z)[1], lambda f, z: cr.linearize(f, z)[1]])
def test_a_pull_back_can_be_mapped_inside_the_function_that_made_it(linear: Any) -> None:
    def total(z: Any) -> Any:
        out = cr.vmap(linear(lambda a: np.sin(a) * z, z))(np.eye(3))
        return np.sum(out[0] if isinstance(out, tuple) else out)

    want = np.cos(X) - np.sin(X) * X
    np.testing.assert_allclose(cr.grad(total)(X), want)
    np.testing.assert_allclose(cr.jit(cr.grad(total))(X), want)


# --- traced indices -----------------------------------------------------------------------------------------------------------


def test_positions_are_found_and_used_where_values_are_known() -> None:
    np.testing.assert_array_equal(cr.grad(lambda x: np.sum(x[np.where(x > 1)]))(X), [0.0, 1.0, 1.0])
    np.testing.assert_array_equal(cr.grad(lambda x: X[np.argmax(x)] * np.sum(x))(X), [3.0, 3.0, 3.0])
    np.testing.assert_array_equal(cr.grad(lambda x: round(x[1], 1) * x[1])(X), [0.0, 2.0, 0.0])
    with pytest.raises(cr.errors.ValueNeededError):
        cr.jit(lambda x: np.where(x > 1))(X)


def test_an_array_indexed_by_a_traced_number_is_answered_with_stop_gradient() -> None:
    table = np.arange(6.0).reshape(3, 2)
    rows = np.array([0, 2, 1])
    with pytest.raises(cr.errors.ValueNeededError) as e:
        cr.vmap(lambda i: table[i, 1])(rows)
    assert "cr.stop_gradient(table)[i, 1]" in str(e.value)
    with pytest.raises(cr.errors.ValueNeededError) as e:
        cr.jit(lambda i: np.take(table, i, axis=0))(rows)
    assert "np.take(cr.stop_gradient(table), i, axis=0)" in str(e.value)
    np.testing.assert_array_equal(cr.vmap(lambda i: cr.stop_gradient(table)[i, 1])(rows), table[rows, 1])
    np.testing.assert_array_equal(cr.jit(lambda i: np.take(cr.stop_gradient(table), i, axis=0))(rows), table[rows])
    np.testing.assert_array_equal(cr.jit(lambda i: np.asarray(cr.stop_gradient(table))[:2, 0] + i)(1.0), table[:2, 0] + 1)
    found = cr.grad(lambda x: cr.fori_loop(0, 3, lambda k, s: s + x * cr.stop_gradient(table)[k, 0], 0.0))(2.0)
    assert found == table[:, 0].sum()


def test_tables_of_the_library_are_looked_up_by_traced_numbers() -> None:
    embed = cr.nn.Embedding(3, 2, key=cr.random.key(0))
    rows = np.array([0, 2, 1])
    np.testing.assert_array_equal(cr.jit(lambda i: embed(i))(rows), embed(rows))
    data = cr.distributions.empirical(np.array([1.0, 2.0, 5.0]))
    key = cr.random.key(1)
    np.testing.assert_array_equal(cr.jit(lambda k: data.sample(k, (4,)))(key), data.sample(key, (4,)))


def test_loops_have_whole_bounds() -> None:
    with pytest.raises(cr.errors.DtypeError, match="bounds are integers"):
        cr.fori_loop(0.0, 3.0, lambda k, s: s * 2, 1.0)


# --- graphs are values ------------------------------------------------------------------------------------------------------------


def test_a_graph_can_be_pickled_and_copied_with_its_places_and_names() -> None:
    def f(x: Any) -> Any:
        halved = x / 2
        return cr.scan(lambda c, u: (c * np.sin(u), c), 1.0, halved)[0]

    g = cr.trace(cr.grad(f))(X)
    for h in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g), pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(g))))):
        assert str(h) == str(g)
        assert "halved" in str(h)
        assert h.to_python() == g.to_python()
        places = [
            [(e.where.line, e.where.columns, e.where.text, spot(e.where)) for e in x.eqns if e.where is not None] for x in (g, h)
        ]
        assert places[0] == places[1] != []


# --- results of NumPy's own kind ------------------------------------------------------------------------------------------------


def test_greatest_of_no_numbers_is_the_initial_value() -> None:
    nothing = np.full((2, 3), np.nan)
    for f in (np.nanmax, np.nanmin):
        np.testing.assert_array_equal(cr.jit(lambda x, f=f: f(x, axis=0, initial=1.5))(nothing), f(nothing, axis=0, initial=1.5))
        np.testing.assert_array_equal(cr.jit(lambda x, f=f: f(x, axis=0, initial=1.5))(nothing[:0]), [1.5] * 3)


def test_the_rank_has_the_dtype_of_numpy() -> None:
    assert cr.jit(lambda a: np.linalg.lstsq(a, np.ones(2))[2])(np.eye(2)).dtype == np.linalg.lstsq(np.eye(2), np.ones(2))[2].dtype


@pytest.mark.parametrize("engine", ["numpy", "native"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypotenuses_neither_overflow_nor_vanish(engine: str, dtype: Any) -> None:
    huge, tiny = np.sqrt(np.finfo(dtype).max) * dtype(8), np.sqrt(np.finfo(dtype).tiny) / dtype(8)
    x = np.array([3 * huge, 3 * tiny, 0.0, -0.0, np.inf, np.nan, -np.inf, np.nan, 3.0, 0.0, -5.0], dtype)
    y = np.array([4 * huge, -4 * tiny, 0.0, 2.0, np.nan, -np.inf, 1.0, 1.0, 4.0, np.nan, 0.0], dtype)
    got = cr.jit(np.hypot, engine=engine)(x, y)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, np.hypot(x, y), rtol=4 * np.finfo(dtype).eps)
