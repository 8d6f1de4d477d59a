"""What ails a network: gradients that vanish or explode, units that are dead or saturated, updates too large or too small.

Everything is measured on given data by one or more forward and backward passes; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.build.tree import flatten
from chainrule.calculus import grad
from chainrule.compilation import jit
from chainrule.nn.activations import identity
from chainrule.nn.module import Array, Module, applied, folded, learned, with_statistics
from chainrule.nn.steps import Loss, Pass, both_ways, elementwise, no_shifts, norm, passes, unrolled
from chainrule.optim.rule import Rule

__all__ = ["Diagnosis", "Finding", "LayerHealth", "Training", "diagnose", "gradient_norms", "observe"]

VANISHING, EXPLODING = 1e-3, 1e3
"""How much smaller or larger than at the last layer delta may be at the first before it has a name: three orders of magnitude."""
FLAT = 0.01
"""A unit whose slope is below this share of the activation's greatest one counts as saturated."""


@dataclass(frozen=True)
class Finding:
    """Something to look at: its kind, the layer it concerns (0 for the whole net), and a sentence with the numbers.

    Kinds: "vanishing", "exploding", "not finite", "dead", "saturated", "large updates", "small updates".
    """

    kind: str
    layer: int
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class LayerHealth:
    """What was measured at one layer.

    Attributes:
        number, name: 1, 2, ... and the layer's class.
        gradient_norm: Euclidean norm of the gradient of all its parameters.
        weight_norm: norm of its parameters.
        delta_rms: root mean square of dL/dz.
        units: number of units (size of z without its first axis, the examples); 0 if the activation mixes them, or if x is a
            single example.
        dead: share of the units whose activation has slope 0 for every example: no gradient reaches them.
        saturated: share of the units whose mean slope is below 1% of the activation's greatest, dead ones not counted.
        update_ratio: norm of the update over norm of the parameters; NaN if no rule was given or there are none.
    """

    number: int
    name: str
    gradient_norm: float
    weight_norm: float
    delta_rms: float
    units: int
    dead: float
    saturated: float
    update_ratio: float


@dataclass(frozen=True)
class Diagnosis:
    """The layers' numbers, what they mean, and how delta changes per layer on its way back.

    Attributes:
        loss: the loss.
        layers: one `LayerHealth` for each.
        findings: what was found; empty if nothing is wrong.
        rate: factor by which the root mean square of delta changes per layer from the last to the first.
    """

    loss: float
    layers: tuple[LayerHealth, ...]
    findings: tuple[Finding, ...]
    rate: float

    @property
    def kinds(self) -> set[str]:
        """The kinds of all findings."""
        return {f.kind for f in self.findings}

    def __str__(self) -> str:
        head = f"{'layer':<22} {'|dL/dθ|':>10} {'|θ|':>10} {'rms δ':>10} {'dead':>6} {'satur.':>6} {'|Δθ|/|θ|':>10}"
        rows = [
            f"{f'{x.number} {x.name}':<22} {x.gradient_norm:>10.3g} {x.weight_norm:>10.3g} {x.delta_rms:>10.3g} "
            f"{x.dead:>6.0%} {x.saturated:>6.0%} {'' if np.isnan(x.update_ratio) else f'{x.update_ratio:.3g}':>10}"
            for x in self.layers
        ]
        said = [f"- {f}" for f in self.findings] or ["- nothing to object to"]
        return "\n".join([f"loss {self.loss:.6g}, delta times {self.rate:.3g} per layer on the way back", head, *rows, *said])


# --- measuring ---------------------------------------------------------------------------------------------------------------


def _parameters(layer: Any) -> list[Array]:
    return [np.asarray(x) for x, ours in zip(flatten(layer)[0], learned(layer), strict=True) if ours]


def _size(layer: Any) -> float:
    return float(np.hypot.reduce([norm(x) for x in _parameters(layer)], initial=0.0))


def _moved(before: Any, after: Any) -> float:
    size = _size(before)
    moves = [norm(a - b) for a, b in zip(_parameters(after), _parameters(before), strict=True)]
    return float(np.hypot.reduce(moves)) / size if size else float("nan")


def gradient_norms(grads: Module) -> list[float]:
    """The norm of each layer's gradient, `grads` being what `chainrule.grad` gives for a model.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> net = cr.nn.MLP([2, 3, 1], "tanh", key=cr.random.key(0))
        >>> len(cr.nn.gradient_norms(cr.grad(lambda m: np.sum(m(np.ones((4, 2)))))(net)))
        2
    """
    return [_size(row.layer) for row in unrolled(grads)]


def _rms(x: Any) -> float:
    return norm(x) / max(float(np.sqrt(np.size(x))), 1.0)


def _slopes(f: Callable[[Any], Any], z: Array) -> Array:
    return np.abs(grad(lambda z: np.sum(f(z)))(z))


def _units(f: Callable[[Any], Any], z: Array) -> tuple[int, float, float]:
    """How many units, and the shares that are dead and saturated."""
    if z.ndim < 2 or not elementwise(f):
        return 0, 0.0, 0.0
    if f is identity:
        return z[0].size, 0.0, 0.0
    per_unit = np.mean(_slopes(f, z), axis=0)
    greatest = float(np.max(_slopes(f, np.linspace(-10.0, 10.0, 2001))))
    dead = per_unit == 0
    return per_unit.size, float(np.mean(dead)), float(np.mean((per_unit < FLAT * greatest) & ~dead))


def _health(k: int, p: Pass, grads: Sequence[Any], after: Sequence[Any] | None) -> LayerHealth:
    row, size = p.rows[k], _size(p.rows[k].layer)
    units, dead, saturated = _units(row.activation, np.asarray(p.zs[k]))
    ratio = float("nan") if after is None else _moved(row.layer, after[k].layer)
    return LayerHealth(k + 1, row.name, _size(grads[k].layer), size, _rms(p.deltas[k]), units, dead, saturated, ratio)


def _flow(deltas: Sequence[float]) -> tuple[float, list[Finding]]:
    """The factor per layer on the way back, and whether it amounts to something."""
    if not np.all(np.isfinite(deltas)):
        return float("nan"), [Finding("not finite", 0, "The backward pass is not finite: a derivative overflowed or is NaN.")]
    if len(deltas) < 2 or deltas[-1] == 0:
        return 1.0, []
    share = deltas[0] / deltas[-1]
    rate = share ** (1 / (len(deltas) - 1))
    says = f"delta at the first layer is {share:.2g} times that at the last, a factor of {rate:.3g} per layer"
    if share < VANISHING:
        return rate, [Finding("vanishing", 0, f"Vanishing gradient: {says}.")]
    return rate, [Finding("exploding", 0, f"Exploding gradient: {says}.")] if share > EXPLODING else []


def _ailments(x: LayerHealth) -> list[Finding]:
    where = f"layer {x.number} ({x.name})"
    out: list[Finding] = []
    if x.dead > 0:
        n = round(x.dead * x.units)
        out.append(Finding("dead", x.number, f"Dead units: {n} of {x.units} in {where} have slope 0 for every example."))
    if x.saturated > 0.5:
        n = round(x.saturated * x.units)
        out.append(Finding("saturated", x.number, f"Saturated units: {n} of {x.units} in {where} have hardly any slope."))
    if x.update_ratio > 0.1:
        out.append(Finding("large updates", x.number, f"One step moves {where} by {x.update_ratio:.2g} of its size."))
    if x.update_ratio < 1e-6:
        out.append(Finding("small updates", x.number, f"One step moves {where} by only {x.update_ratio:.2g} of its size."))
    return out


def diagnose(
    model: Module,
    loss: Loss,
    x: Any,
    y: Any,
    *,
    rule: Rule | None = None,
    training: bool = False,
    key: Any = None,
    mask: Any = None,
) -> Diagnosis:
    """One forward and one backward pass, judged layer by layer.

    Args:
        model: a layer; `Sequential` and `MLP` are taken apart, as in `backpropagation`.
        loss: (y_true, y_pred) -> one number.
        x, y: the examples it is judged on.
        rule: an optimiser; the size of its first step is compared with that of the parameters.
        training, key, mask: as in a call of the model.

    Returns:
        A `Diagnosis`. Vanishing and exploding gradients are named where the root mean square of dL/dz at the first layer is
        a thousand times smaller or larger than at the last.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> net = cr.nn.MLP([4] + 20 * [16] + [1], "sigmoid", key=cr.random.key(0))
        >>> x = cr.random.normal(cr.random.key(1), (8, 4))
        >>> cr.nn.diagnose(net, cr.losses.mse, x, np.ones((8, 1))).kinds
        {'vanishing'}
    """
    p = both_ways(model, loss, x, y, training, key, mask)
    after = None if rule is None else unrolled(rule.step(model, p.grads, rule.init(model))[0])
    grads = unrolled(p.grads)
    layers = tuple([_health(k, p, grads, after) for k in range(len(p.rows))])
    rate, flow = _flow([layer.delta_rms for layer in layers])
    return Diagnosis(p.loss, layers, (*flow, *[f for layer in layers for f in _ailments(layer)]), rate)


# --- over a training run -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """A training run, watched.

    Attributes:
        model: the last model.
        losses: (steps + 1,), before each step and after the last.
        gradient_norms: (steps, layers).
        delta_rms: (steps, layers), root mean square of dL/dz.
        update_ratios: (steps, layers), norm of the update over norm of the parameters; NaN for a layer without parameters.
        names: of the layers.
    """

    model: Any
    losses: Array
    gradient_norms: Array
    delta_rms: Array
    update_ratios: Array
    names: tuple[str, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the backward passes amount to, each kind once, with the steps at which it was seen."""
        seen: dict[str, list[tuple[int, str]]] = {}
        for k, deltas in enumerate(self.delta_rms):
            for f in _flow(deltas.tolist())[1]:
                seen.setdefault(f.kind, []).append((k, f.message))
        return tuple([_over_steps(kind, found, len(self.delta_rms)) for kind, found in seen.items()])


def _over_steps(kind: str, found: list[tuple[int, str]], total: int) -> Finding:
    return Finding(kind, 0, f"In {len(found)} of {total} steps, first in step {found[0][0]}: {found[0][1]}")


def observe(
    model: Module, loss: Loss, x: Any, y: Any, rule: Rule, steps: int, *, training: bool = False, key: Any = None
) -> Training:
    """Train on all examples in every step, and record per layer what gradients and updates do.

    Args:
        model, loss, x, y: as in `diagnose`.
        rule: an optimiser of `chainrule.optim`.
        steps: number of steps.
        training: call the model in training, where layers measure statistics and draw at random.
        key: random key, folded with the number of the step.

    Returns:
        A `Training`. A run that diverges goes on to its end; its numbers are inf or NaN.
    """
    run = jit(passes(loss, x, y, training))
    shifts, state = no_shifts(model, x, training, key), rule.init(model)
    losses, norms, deltas, ratios = list[float](), list[list[float]](), list[list[float]](), list[list[float]]()
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(steps):
            one = folded(key, k)
            (value, _), (grads, slopes) = run(model, shifts, one)
            measured = applied(model, x, training, one)[1] if model.learns_statistics else model
            moved, state = rule.step(model, grads, state)
            losses.append(float(value))
            norms.append(gradient_norms(grads))
            deltas.append([_rms(d) for d in slopes])
            ratios.append([_moved(a.layer, b.layer) for a, b in zip(unrolled(model), unrolled(moved), strict=True)])
            model = with_statistics(moved, measured)
        losses.append(float(loss(y, applied(model, x, training, folded(key, steps))[0])))
    names = tuple([row.name for row in unrolled(model)])
    return Training(model, np.array(losses), np.array(norms), np.array(deltas), np.array(ratios), names)
