"""The exact mean of stochastic gradient descent, against averages over every possible run of a tiny problem."""

import itertools

import numpy as np
import pytest

from chainrule.study.moments import LeastSquares, expected, floor

rng = np.random.default_rng(5)
TINY = LeastSquares(rng.standard_normal((3, 2)), rng.standard_normal(3))
START = np.array([0.7, -1.1])


def every_run(batch: int, steps: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean excess after, and mean squared gradient in, each step, over all equally likely sequences of batches."""
    n = len(TINY.x)
    batches = [list(rows) for rows in itertools.product(range(n), repeat=batch)]
    points = [START]
    excess, squared = [float(TINY.excess(START))], []
    for a in steps:
        moves = [(e, TINY.x[rows].T @ (TINY.x[rows] @ e - TINY.y[rows]) / batch) for e in points for rows in batches]
        squared.append(np.mean([g @ g for _, g in moves]))
        points = [e - a * g for e, g in moves]
        excess.append(float(np.mean([TINY.excess(p) for p in points])))
    return np.array(excess), np.array(squared)


@pytest.mark.parametrize("batch", [1, 2])
def test_recursion_is_the_mean_over_all_runs(batch: int) -> None:
    steps = [0.3, 0.1, 0.2][: 4 - batch]
    excess, squared = every_run(batch, steps)
    found = expected(TINY, START, lambda k: steps[k], len(steps), batch)
    np.testing.assert_allclose(found.excess, excess, rtol=1e-12)
    np.testing.assert_allclose(found.squared_gradient, squared, rtol=1e-12)


@pytest.mark.parametrize(("step", "batch"), [(0.05, 1), (0.2, 2), (0.1, 8)])
def test_floor_is_where_the_recursion_stays(step: float, batch: int) -> None:
    late = expected(TINY, START, lambda k: step, 4000, batch).excess[-1]
    assert floor(TINY, step, batch) == pytest.approx(late, rel=1e-9)


def test_floor_of_a_step_that_diverges() -> None:
    with pytest.raises(ValueError, match="grows without limit"):
        floor(TINY, 10.0, 1)


def test_solution_has_no_gradient_and_no_excess() -> None:
    np.testing.assert_allclose(TINY.x.T @ TINY.residuals, 0, atol=1e-14)
    assert TINY.excess(TINY.solution) == 0
    theta = np.array([[0.3, 0.4], [-1.0, 2.0]])
    direct = 0.5 * np.mean((TINY.x @ theta.T - TINY.y[:, None]) ** 2, axis=0) - 0.5 * np.mean(TINY.residuals**2)
    np.testing.assert_allclose(TINY.excess(theta), direct, rtol=1e-12)
