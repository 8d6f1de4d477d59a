"""How good a trained predictor is on rows it has not seen, and how near its training came to a minimum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import analysis
from chainrule.build.tree import flatten
from chainrule.calculus import grad
from chainrule.cli.predictor import Predictor
from chainrule.cli.table import Array, Part, pieces
from chainrule.optim.minimize import minimize

SAMPLE = 5_000  # rows on which curvature is measured
NOISY = 500  # rows whose gradients are looked at one by one
THEORY = 300  # steps that are compared with a theorem
Row = tuple[str, float | str, str]


def predictions(p: Predictor, part: Part) -> tuple[Array, Array]:
    """Outputs and predictions for all rows, computed some at a time."""
    z = np.concatenate([p.scores(x) for x in pieces(part.x)])
    return z, p.decided(z)


def metrics(p: Predictor, part: Part) -> dict[str, float]:
    """Accuracy and its relatives for classes, R^2 and its relatives for amounts."""
    z, found = predictions(p, part)
    if p.classes is None:
        return _of_amounts(part.y, found)
    table = confusion(part.y, found, len(p.classes))
    hits, actual, said = np.diag(table), table.sum(1), table.sum(0)
    f1 = 2 * hits / np.maximum(actual + said, 1)
    out = {"accuracy": hits.sum() / table.sum(), "macro_f1": f1[actual > 0].mean(), "majority": actual.max() / table.sum()}
    if p.facts["loss"] == "cross_entropy":
        wide = np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z
        top = wide.max(1, keepdims=True)
        logs = wide - top - np.log(np.exp(wide - top).sum(1, keepdims=True))
        out["log_loss"] = -logs[np.arange(len(z)), part.y].mean()
    return {k: float(v) for k, v in out.items()}


def _of_amounts(y: Array, found: Array) -> dict[str, float]:
    rest, spread = y - found, np.sum((y - y.mean()) ** 2)
    r2 = 1 - np.sum(rest**2) / spread if spread > 0 else np.nan
    return {"r2": float(r2), "rmse": float(np.sqrt(np.mean(rest**2))), "mae": float(np.mean(np.abs(rest)))}


def confusion(y: Array, found: Array, k: int) -> Array:
    """How often class i (row) was taken for class j (column)."""
    return np.bincount(y * k + found, minlength=k * k).reshape(k, k)


def convergence(
    model: Any, loss: Callable[[Any, Any], Any], x: Array, y: Array, convex: bool, rate: float, batch_size: int
) -> list[Row]:
    """How the training objective looks where training ended, on a sample of the training rows.

    Args:
        model: the trained network.
        loss: of (targets, outputs).
        x, y: training rows and targets in the form of the loss.
        convex: is the network linear, so that theory speaks about the minimum?
        rate: the learning rate.
        batch_size: rows in a batch.
    """
    x, y = np.asarray(x[:SAMPLE]), np.asarray(y[:SAMPLE])

    def f(m: Any) -> Any:
        return loss(y, m(x))

    slope = float(np.sqrt(sum([np.sum(g**2) for g in flatten(grad(f)(model))[0]])))
    rows: list[Row] = [
        ("objective at the end", float(f(model)), f"mean loss of {len(x)} training rows, without noise from batches"),
        ("norm of its gradient", slope, "0 at a minimum"),
    ]
    rows += _curvature(f, model, rate) + _noise(model, loss, x, y, batch_size)
    return rows + (_gap(f, model) if convex else [])


def theory(start: Any, loss: Callable[[Any, Any], Any], x: Array, y: Array) -> analysis.ConvergenceReport:
    """Gradient descent on the training objective with the step 1/L, beside the theorem that speaks of it.

    Args:
        start: the network before training, linear.
        loss: of (targets, outputs).
        x, y: training rows and targets in the form of the loss.
    """
    x, y = np.asarray(x[:SAMPLE]), np.asarray(y[:SAMPLE])
    return minimize(lambda m: loss(y, m(x)), start, max_steps=THEORY).report


def _noise(model: Any, loss: Callable[[Any, Any], Any], x: Array, y: Array, batch_size: int) -> list[Row]:
    """How far the gradients of batches scatter where training ended."""
    if len(x) < 3:
        return []
    found = analysis.gradient_noise(
        lambda m, a, b: loss(b, m(a)), model, (x, y), min(batch_size, len(x)), sample=min(len(x), NOISY)
    )
    kind = f"of batches of {found.batch_size} rows, from the gradients of {found.used} rows"
    return [
        ("variance of the gradient", found.variance, kind),
        ("gradient noise scale", found.scale, "rows in a batch whose noise is as large as the gradient itself"),
    ]


def _curvature(f: Callable[[Any], Any], model: Any, rate: float) -> list[Row]:
    high, low = analysis.smoothness(f, model), analysis.strong_convexity(f, model)
    said = "below" if high.value * rate < 2 else "above"
    return [
        ("largest curvature L", high.value, f"{high.scope}; {high.how}"),
        ("smallest curvature", low.value, f"{low.scope}; negative where the objective is not convex"),
        ("2 / L", 2 / high.value if high.value > 0 else float("inf"), "above it, plain gradient descent diverges here"),
        ("learning rate", rate, f"{said} 2 / L; adaptive optimisers scale it by coordinate"),
    ]


def _gap(f: Callable[[Any], Any], model: Any) -> list[Row]:
    """How far above the minimum training ended, the minimum found by L-BFGS from there."""
    verdict = analysis.convexity(f, model).verdict
    best = minimize(f, model, "lbfgs", tol=1e-8, max_steps=500)
    gap = float(f(model)) - best.fun
    how = "L-BFGS from where training ended" + ("" if best.success else f" ({best.message})")
    return [
        ("convex in the parameters", verdict, "proved from the curvature of each operation" if verdict == "convex" else ""),
        ("least value found", best.fun, how),
        ("gap", gap, "objective at the end less the least value found"),
    ]
