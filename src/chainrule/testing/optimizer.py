"""Is this optimiser the one it is meant to be? Both walk the same sequence of gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten, map_tree
from chainrule.explain.check import Check
from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.scale import nice
from chainrule.explain.doctor.scene import flat
from chainrule.ir.graph import Array
from chainrule.testing.updates import NAMES, Update, Variant, hyperparameters, variants

_STEPS = 24
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class _Walk:
    """Gradients and a start, the same for all."""

    start: Any
    grads: Sequence[Any]

    def user(self, step: Step) -> Array:
        """Parameters after each step of the user's."""
        p, state, path = map_tree(np.array, self.start), None, [_row(self.start)]
        for g in self.grads:
            with np.errstate(all="ignore"):
                p, state = step(p, map_tree(np.array, g), state)
            path.append(_row(p))
        return np.stack(path)

    def rule(self, rule: Any) -> Array:
        """Parameters after each step of a rule with a state of its own."""
        p, state, path = self.start, rule.init(self.start), [_row(self.start)]
        for g in self.grads:
            p, state = rule.step(p, g, state)
            path.append(_row(p))
        return np.stack(path)

    def formula(self, update: Update, h: Mapping[str, float]) -> Array:
        """Parameters after each step of a formula."""
        p, state, path = _row(self.start), dict[str, Any](), [_row(self.start)]
        for t, g in enumerate(self.grads, 1):
            with np.errstate(all="ignore"):
                p = update(p, _row(g), state, t, h)
            path.append(p)
        return np.stack(path)


def _row(tree: Any) -> Array:
    return flat([np.asarray(x, float) for x in flatten(tree)[0]])


def _start(seed: int) -> Array:
    """Ten numbers; 0 where gradients are small, so that weight decay does not hide them in the first step."""
    return np.random.default_rng(seed + 1).normal(size=10) * np.tile([1.0, 1.0, 1.0, 0.0, 0.0], 2)


def _walk(params: Any, epsilon: float, seed: int) -> _Walk:
    """Gradients of very different sizes, some as small as epsilon: there its place shows."""
    rng = np.random.default_rng(seed)
    scales = np.array([1.0, 0.3, 3.0, max(10 * epsilon, 1e-12), max(epsilon**0.5, 1e-7)])
    at = 0

    def one(x: Any) -> Any:
        nonlocal at
        n = int(np.size(x))
        out = scales[(at + np.arange(n)) % len(scales)] * (rng.normal(size=n) + 0.5)
        at += n
        return np.reshape(out, np.shape(x))

    grads: list[Any] = []
    for _ in range(_STEPS):
        at = 0
        grads.append(map_tree(one, params))
    return _Walk(params, grads)


def _same(a: Array, b: Array) -> bool:
    """Equal paths: every step, at every parameter, up to rounding."""
    fine = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(np.isnan(a), np.isnan(b)) or not np.any(fine[1:]):
        return False
    a, b = np.where(fine, a, 0.0), np.where(fine, b, 0.0)
    da, db = np.diff(a, axis=0), np.diff(b, axis=0)
    bar = 1e-6 * np.maximum(np.abs(da), np.abs(db)) + 2e-14 * (1 + np.abs(b[1:]) + np.max(np.abs(db)))
    return bool(np.all(np.abs(da - db) <= bar))


@errors.boundary
def check_optimizer(user_step: Step, rule: Any, *, params: Any = None, seed: int = 0, **hyper: Any) -> Check:
    """Is `user_step` the update rule that it is meant to be, and if not, which one is it?

    Both take 24 steps from the same point with the same gradients.

    Args:
        user_step: (params, grads, state) -> (params, state); state is None at the first step.
        rule: the name of a rule ("adam", "adamw", "momentum", ...; see `chainrule.testing.updates.NAMES`) or a rule of
            `chainrule.optim`.
        params: where to start: an array or nested containers of arrays, ten numbers if not given.
        seed: of the start and of the gradients.
        **hyper: the hyper-parameters that user_step works with: ``learning_rate beta1 beta2 epsilon weight_decay momentum
            decay``; ``lr``, ``eps`` and ``betas`` are understood.  Defaults are those of `chainrule.optim`.

    Returns:
        A `Check`; published variants are right, and named in its notes.

    Example:
        >>> import chainrule as cr
        >>> def step(p, g, v):
        ...     v = g if v is None else 0.9 * v + g
        ...     return p - 0.1 * v, v
        >>> print(cr.check_optimizer(step, "momentum", lr=0.1, momentum=0.9))
        Right. The largest relative error is 0.0e+00.
          This is the heavy ball as in PyTorch, v = momentum*v + g (Polyak's and Keras' velocity takes the same path).
    """
    name = rule.lower().replace("-", "_") if isinstance(rule, str) else ""
    name = {"gd": "gradient_descent", "heavy_ball": "momentum", "rms_prop": "rmsprop", "nag": "nesterov"}.get(name, name)
    if isinstance(rule, str) and name not in NAMES:
        raise ValueError(f"there is no rule {rule!r}; there are {', '.join(NAMES)}")
    h = hyperparameters(name or "adam", hyper)
    start = _start(seed) if params is None else params
    walk = _walk(start, h["epsilon"], seed)
    found = _preflight(user_step, walk)
    if found is not None:
        return Check("wrong", float("nan"), (found,), seed=seed)
    mine = walk.user(user_step)
    with np.errstate(all="ignore"):
        if not name:
            return _against_rule(mine, rule, walk, hyper, seed)
        return _verdict(mine, [(v, walk.formula(v.update, h)) for v in variants(name, h)], walk, h, seed)


def _preflight(step: Step, walk: _Walk) -> Diagnosis | None:
    """Does it run, keep shapes, and leave its inputs alone?"""
    p, g = map_tree(np.array, walk.start), map_tree(np.array, walk.grads[0])
    try:
        with np.errstate(all="ignore"):
            out = step(p, g, None)
            again = step(map_tree(np.array, walk.start), map_tree(np.array, walk.grads[0]), None)
    except Exception as e:
        return Diagnosis("preflight", f"The step fails: {type(e).__name__}: {e}")
    if len(_pair(out)) != 2:
        return Diagnosis("shape", "The step must return (params, state).", "return params, state")
    if [np.shape(x) for x in flatten(out[0])[0]] != [np.shape(x) for x in flatten(walk.start)[0]]:
        return Diagnosis("shape", "The new parameters have other shapes than the old ones.")
    if not np.array_equal(_row(g), _row(walk.grads[0])):
        return Diagnosis("preflight", "The step changes the gradients in place. Work on a copy.", "grads = grads.copy()")
    if not np.array_equal(_row(out[0]), _row(again[0]), equal_nan=True):
        return Diagnosis("preflight", "The step is random or remembers earlier calls: keep all that it remembers in state.")
    return None


def _pair(out: Any) -> Sequence[Any]:
    return out if isinstance(out, tuple) else ()  # pyright: ignore[reportUnknownVariableType]


def _verdict(mine: Array, table: Sequence[tuple[Variant, Array]], walk: _Walk, h: Mapping[str, float], seed: int) -> Check:
    right = next((v for v, path in table if v.right and _same(mine, path)), None)
    if right is not None:
        path = next(p for v, p in table if v is right)
        notes = (f"This is {right.name}.",)
        return Check("right", _error(mine, path), notes=notes, seed=seed)
    base = table[0][1]
    found = [_named(v) for v, path in table if not v.right and _same(mine, path)]
    found += _scaled(mine, table, walk, h) if not found else []
    found = found or [_lost(mine, base)]
    return Check("wrong", _error(mine, base), tuple(found), seed=seed)


def _named(v: Variant) -> Diagnosis:
    return Diagnosis(v.kind, f"{v.name[0].upper()}{v.name[1:]}.", v.correction, rank=1)


def _error(a: Array, b: Array) -> float:
    if not np.all(np.isfinite(a)):
        return float("inf")
    scale = max(float(np.max(np.abs(np.diff(b, axis=0)))), 1e-300)
    return float(np.max(np.abs(np.diff(a, axis=0) - np.diff(b, axis=0)))) / scale


_USUAL: dict[str, tuple[float, ...]] = {
    "beta1": (0.9, 0.99, 0.95, 0.8, 0.5, 0.0),
    "beta2": (0.999, 0.99, 0.9, 0.95, 0.98),
    "momentum": (0.9, 0.99, 0.95, 0.8, 0.5, 0.0),
    "decay": (0.9, 0.99, 0.95, 0.999, 0.5),
    "epsilon": (1e-8, 1e-7, 1e-6, 1e-10, 1e-5, 1e-4, 1e-3, 1e-12),
}
"""What people set hyper-parameters to."""


def _scaled(mine: Array, table: Sequence[tuple[Variant, Array]], walk: _Walk, h: Mapping[str, float]) -> list[Diagnosis]:
    """The right update with another learning rate, or another single hyper-parameter."""
    base = table[0][0].update
    step, own = np.diff(mine, axis=0)[0], np.diff(table[0][1], axis=0)[0]
    with np.errstate(all="ignore"):
        ratio = float(np.median(step / own))
    tries: list[tuple[str, float]] = [("learning_rate", h["learning_rate"] * ratio)] if np.isfinite(ratio) else []
    tries += [
        (k, x)
        for k, xs in {**_USUAL, "weight_decay": tuple(k * h["weight_decay"] for k in (0, 2, 0.5, -1))}.items()
        for x in xs
        if x != h[k]
    ]
    for k, x in tries:
        if _same(mine, walk.formula(base, {**h, k: x})):
            factor = f", {nice(x / h[k])} times what was asked for" if k == "learning_rate" and h[k] else ""
            return [
                Diagnosis(
                    "sign" if x < 0 else "scale", f"The {k} is {x:.6g} and not {h[k]:.6g}{factor}.", f"{k} = {h[k]:.6g}", rank=2
                )
            ]
    for v, _ in table[1:]:
        path = walk.formula(v.update, {**h, "learning_rate": h["learning_rate"] * ratio}) if np.isfinite(ratio) else mine + 1
        if _same(mine, path):
            parts = (_named(v), Diagnosis("scale", f"The learning rate is {nice(abs(ratio))} times what was asked for."))
            return [
                Diagnosis(v.kind, f"Two mistakes meet. {parts[0].message} {parts[1].message}", v.correction, parts=parts, rank=3)
            ]
    return []


def _lost(mine: Array, base: Array) -> Diagnosis:
    """Where the two part."""
    mine = np.where(np.isfinite(mine), mine, np.nan)
    gap = np.abs(np.diff(mine, axis=0) - np.diff(base, axis=0))
    bar = 1e-6 * np.abs(np.diff(base, axis=0)) + 1e-13
    t = int(np.argmax(np.any(~(gap <= bar), axis=1)))
    k = int(np.argmax(np.where(np.isnan(gap[t]), np.inf, gap[t] / bar[t])))
    a, b = np.diff(mine, axis=0)[t, k], np.diff(base, axis=0)[t, k]
    text = f"No known variant takes these steps. At step {t + 1} parameter {k} moves by {a:.6g} and should move by {b:.6g}."
    if not np.isfinite(a):
        return Diagnosis("preflight", f"At step {t + 1} parameter {k} becomes NaN or infinite.", rank=20)
    return Diagnosis("unknown", text, rank=20)


def _against_rule(mine: Array, rule: Any, walk: _Walk, hyper: Mapping[str, Any], seed: int) -> Check:
    """A rule of `chainrule.optim` is the reference; its variants are looked up once it is known which it is."""
    theirs = walk.rule(rule)
    if _same(mine, theirs):
        return Check("right", _error(mine, theirs), seed=seed)
    for name in NAMES:
        h = _fitted(name, theirs, walk, hyper)
        if h is not None:
            table = [(v, walk.formula(v.update, h)) for v in variants(name, h)]
            return _verdict(mine, [(table[0][0], theirs), *table[1:]], walk, h, seed)
    ratio = float(np.median(np.diff(mine, axis=0) / np.where(np.diff(theirs, axis=0) == 0, np.nan, np.diff(theirs, axis=0))))
    if np.isfinite(ratio) and _same(mine, mine[0] + ratio * (theirs - theirs[0])):
        return Check(
            "wrong",
            _error(mine, theirs),
            (Diagnosis("scale", f"Every step is {nice(abs(ratio))} times what it should be."),),
            seed=seed,
        )
    return Check("wrong", _error(mine, theirs), (_lost(mine, theirs),), seed=seed)


def _fitted(name: str, path: Array, walk: _Walk, hyper: Mapping[str, Any]) -> dict[str, float] | None:
    """Hyper-parameters with which a named rule walks this path: those given, or its defaults with the learning rate read off."""
    try:
        h = hyperparameters(name, hyper)
    except TypeError:
        return None
    update = variants(name, h)[0].update
    for decay in dict.fromkeys((h["weight_decay"], 0.0, 0.1, 0.01, 0.001, 1e-4, 0.05, 0.5)):
        k = {**h, "weight_decay": decay}
        own = walk.formula(update, k)
        if _same(path, own):
            return k
        with np.errstate(all="ignore"):
            ratio = float(np.median(np.diff(path, axis=0)[0] / np.diff(own, axis=0)[0]))
        k["learning_rate"] *= ratio
        if np.isfinite(ratio) and _same(path, walk.formula(update, k)):
            return k
    return None


__all__ = ["check_optimizer"]
