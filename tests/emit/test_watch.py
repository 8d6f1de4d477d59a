"""debug_nans finds the first NaN, and costs nothing where it is not asked for."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.emit.numpy import Program, compiled
from chainrule.emit.watch import Watched, watching


def loss(x):
    return np.sum(np.where(x > 0, np.sqrt(x), 0.0) * 2.0)


def test_results_are_the_same_with_and_without() -> None:
    x = np.array([1.0, 4.0, 9.0])
    plain = cr.value_and_grad(loss)(x), cr.hessian(loss)(x), cr.jit(cr.grad(loss))(x)
    with cr.debug_nans():
        watched = cr.value_and_grad(loss)(x), cr.hessian(loss)(x), cr.jit(cr.grad(loss))(x)
    np.testing.assert_allclose(watched[0][1], plain[0][1], rtol=1e-15)
    np.testing.assert_allclose(watched[1], plain[1], rtol=1e-15)
    np.testing.assert_allclose(watched[2], plain[2], rtol=1e-15)


def test_off_means_off() -> None:
    graph = cr.trace(loss)(np.ones(3))
    assert not watching()
    assert isinstance(compiled(graph), Program)
    with cr.debug_nans():
        assert watching()
        assert isinstance(compiled(graph), Watched)
    with pytest.raises(cr.errors.NonFiniteError), cr.debug_nans():
        cr.grad(np.log)(-1.0)
    assert not watching()
    with np.errstate(invalid="ignore"):
        assert np.isnan(cr.value_and_grad(np.log)(-1.0)[0])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cr.grad(np.log)(-1.0), "log made NaN"),
        (lambda: cr.jit(lambda x: np.log(x))(-1.0), "log made NaN"),
        (lambda: cr.vmap(lambda x: np.log(x))(np.array([1.0, -1.0])), "in 1 of 2 elements; the first is at [1]"),
        (lambda: cr.jvp(np.sqrt, (0.0,), (0.0,)), "The derivative of sqrt made NaN"),
        (lambda: cr.grad(lambda x: np.sqrt(x) * 0.0)(0.0), "The derivative of sqrt made NaN"),
        (lambda: cr.grad(lambda x: np.sqrt(np.sum(x * 0.0)) * 3.0)(np.ones(2)), "Infinity was there before: it came from"),
        (lambda: cr.hessian(lambda x: np.sum(np.log(x)))(np.array([-1.0])), "log made NaN"),
    ],
)
def test_every_way_of_calling_is_watched(call, says: str) -> None:
    with pytest.raises(cr.errors.NonFiniteError) as caught, cr.debug_nans():
        call()
    assert says in str(caught.value)


def test_nan_in_the_data_that_is_left_out_is_no_error() -> None:
    x = np.array([1.0, np.nan])
    with cr.debug_nans():
        g = cr.grad(lambda x: np.sum(np.where(np.isnan(x), 0.0, x)))(x)
    np.testing.assert_array_equal(g, [1.0, 0.0])
