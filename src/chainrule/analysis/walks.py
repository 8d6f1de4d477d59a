"""The points of a loop of one's own as a run: was it gradient descent, or were its gradients drawn?"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import errors
from chainrule.analysis.evidence import MANY, Run, Walks
from chainrule.batching import vmap
from chainrule.build.tree import flatten, unflatten
from chainrule.calculus import value_and_grad
from chainrule.compilation import jit
from chainrule.optim.flat import Flat, Vector
from chainrule.optim.schedules import as_schedule


def walked(points: Any, f: Any, learning_rate: Any) -> Run:
    """A run, or several, from the points visited.

    Args:
        points: x_0 to x_k along the first axis of an array (or of containers of arrays), or a list of such.
        f: the objective.
        learning_rate: a number or a schedule.
    """
    if f is None or learning_rate is None:
        raise TypeError("convergence_report takes the result of cr.minimize, or the points of a loop with f= and learning_rate=")
    several = list(points) if isinstance(points, list | tuple) else [points]
    p, x = _vectors(f, several)
    schedule = as_schedule(learning_rate)
    rates = np.array([float(schedule(k)) for k in range(x.shape[1] - 1)])
    if not np.all(rates > 0):
        raise ValueError("learning_rate is positive in every step")
    values, gradients = _seen(p, x)
    used = (x[:, :-1] - x[:, 1:]) / rates[:, None]
    noise = used - gradients[:, :-1]
    flat = x.reshape(-1, x.shape[-1])
    keep = np.unique(np.linspace(0, len(flat) - 1, min(len(flat), MANY)).astype(int))
    norms = np.linalg.norm(gradients, axis=2)
    if _exact(x, noise, gradients, rates) and len(several) == 1:
        return Run(p, "gradient_descent", x[0], values[0], norms[0], rates)
    walks = Walks(values, norms**2, np.mean(np.sum(noise**2, 2), 0), np.mean(noise, (0, 1)))
    return Run(
        p, "sgd", flat[keep], values.ravel()[keep], norms.ravel()[keep], rates, message=f"{len(several)} runs", walks=walks
    )


def _vectors(f: Any, several: list[Any]) -> tuple[Flat, Vector]:
    """The objective of a vector, and the points (runs, k + 1, n)."""
    leaves, spec = flatten(several[0])
    if not leaves or any(np.ndim(a) == 0 for a in leaves):
        raise errors.ShapeError("points are arrays with x_0, x_1, ... along the first axis")
    p = Flat(f, unflatten(spec, [np.asarray(a)[0] for a in leaves]))
    runs: list[Vector] = []
    for run in several:
        arrays = [np.asarray(a) for a in flatten(run)[0]]
        if [a.shape for a in arrays] != [np.shape(a) for a in leaves] or len({len(a) for a in arrays}) != 1 or len(arrays[0]) < 2:
            raise errors.ShapeError("every run has two points or more, and all runs have the same number of them")
        runs.append(np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1).astype(p.dtype))
    x = np.stack(runs)
    if not np.all(np.isfinite(x)):
        raise ValueError("the points are not all finite: give those before the run diverged")
    if not np.allclose(x[:, 0], x[0, 0]):
        raise ValueError("all runs start at the same point")
    return p, x


def _seen(p: Flat, x: Vector) -> tuple[Vector, Vector]:
    """Values (runs, k + 1) and gradients (runs, k + 1, n), a batch of points at a time where f can be batched."""
    flat = x.reshape(-1, x.shape[-1])
    try:
        run = jit(vmap(value_and_grad(p)))
        parts = [run(flat[a : a + 256]) for a in range(0, len(flat), 256)]
        values, gradients = (np.concatenate([np.asarray(q[k]) for q in parts]) for k in (0, 1))
    except errors.ValueNeededError:
        found = [p.both(v) for v in flat]
        values, gradients = np.array([v for v, _ in found]), np.array([g for _, g in found])
    return values.reshape(x.shape[:2]), gradients.reshape(x.shape)


def _exact(x: Vector, noise: Vector, gradients: Vector, rates: Vector) -> bool:
    """Are the gradients used those of f, up to the rounding of the points?"""
    eps = float(np.finfo(x.dtype).eps)
    rounding = 8 * eps * np.linalg.norm(x[:, :-1], axis=2) / rates + 64 * eps * np.linalg.norm(gradients[:, :-1], axis=2)
    return bool(np.all(np.linalg.norm(noise, axis=2) <= rounding + 1e-9 * np.max(np.linalg.norm(gradients, axis=2))))
