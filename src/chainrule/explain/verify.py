"""Nothing is printed that has not been checked: formulas against the program, and against witnesses that know no calculus.

Three random instances of random unequal sizes; on each, every line is evaluated (the tree that is printed, not the program it
came from) and compared with automatic differentiation, with difference quotients of the user's own function and, where the
function is analytic, with the complex step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.explain import numeric
from chainrule.explain.instances import Instance, instances, repeatable
from chainrule.explain.nodes import Call, Func, Node
from chainrule.explain.problem import Problem
from chainrule.explain.sizes import Sizes

_ANALYTIC = frozenset(
    [
        "exp",
        "log",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "expm1",
        "log1p",
        "exp2",
        "log2",
        "log10",
        "erf",
        "arctan",
        "arcsinh",
        "pow",
        "sqrt",
    ]
)


class VerificationError(AssertionError):
    """A line of a derivation is not what it should be: a mistake of chainrule's own."""


class Report(NamedTuple):
    """What was compared: instances, the largest relative differences, and which witnesses spoke."""

    instances: list[dict[str, int]]
    automatic: float
    quotient: float | None
    complex_step: float | None
    seed: int


# --- comparing ----------------------------------------------------------------------------------------------------------------


def difference(a: Any, b: Any, least: float = 1e-12) -> float:
    """The greatest difference relative to the size of the whole, which counts as `least` at least."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return np.inf
    if not a.size:
        return 0.0
    scale = max(float(np.max(np.abs(b))), float(np.max(np.abs(a))), least)
    gap = float(np.max(np.abs(a - b))) / scale
    return gap if np.isfinite(gap) else np.inf


TOLERANCE = 1e-8
"""Two ways to round the same formula differ by less, on random data that no matrix of is singular."""


def rounding(p: Problem, at: Instance, k: int, order: int = 1) -> float:
    """A derivative below this is rounding: what is 0 because terms cancel (a correlation of two points) comes out as 1e-17."""
    with np.errstate(all="ignore"):
        value = float(np.max(np.abs(p.call(at.arrays, at.sizes)), initial=0.0))
    wide = float(np.max(np.abs(at.arrays[k]), initial=0.0)) or 1.0
    return max(1e-12, 1e-6 * value / wide**order) if np.isfinite(value) else 1e-12


def against_quotients(p: Problem, at: Instance, k: int, gradient: Any, rng: np.random.Generator) -> float | None:
    """How far the derivative along a random direction is from the difference quotient, in units of what can be told apart.

    None where the quotient says nothing (a kink nearby, too much noise).
    """
    x = at.arrays[k]
    v = rng.normal(size=np.shape(x))
    v = v / max(float(np.max(np.abs(v))), 1e-300)
    step = 0.05 * (float(np.max(np.abs(x))) or 1.0) / (1 + np.size(x)) ** 0.5

    def along(t: float) -> Any:
        xs = list(at.arrays)
        xs[k] = x + t * step * v
        with np.errstate(all="ignore"):
            return p.call(xs, at.sizes)

    try:
        q = numeric.along(along)
    except (np.linalg.LinAlgError, ValueError):
        return None
    told = np.tensordot(np.asarray(gradient), v * step, np.ndim(v)) if np.ndim(v) else np.asarray(gradient) * v * step
    least = rounding(p, at, k) * step
    scale = max(float(np.max(np.abs(told), initial=0.0)), float(np.max(np.abs(q.value), initial=0.0)), least)
    if not np.isfinite(q.error) or q.error > 1e-4 * scale:
        return None
    return float(np.max(np.abs(told - q.value), initial=0.0)) / (scale * 1e-6 + 100 * q.error)


def analytic(x: Node) -> bool:
    """Is the formula analytic in its arguments, with functions that take complex numbers?"""
    if isinstance(x, Func) and x.row not in _ANALYTIC:
        return False
    if isinstance(x, Call) and x.prim not in ("inv", "solve", "reshape", "det"):
        return False
    return all(analytic(c) for c in x.children)


def against_complex_step(
    run: Callable[[Sequence[Any], Sizes], Any], at: Instance, k: int, gradient: Any, rng: np.random.Generator, least: float
) -> float:
    """Relative distance of the derivative along a random direction from that of the complex step."""
    x = at.arrays[k]
    v = rng.normal(size=np.shape(x))

    def along(z: complex) -> Any:
        xs = list(at.arrays)
        xs[k] = x + z * v
        return run(xs, at.sizes)

    told = np.tensordot(np.asarray(gradient), v, np.ndim(v)) if np.ndim(v) else np.asarray(gradient) * v
    return difference(told, numeric.imaginary(along), least)


def verified(d: Any, seed: int = 20_240) -> Report:
    """Compare every line of a derivation; raise if one is wrong."""
    from chainrule.calculus import grad, hessian, jacobian

    p: Problem = d.problem
    rng = np.random.default_rng(seed)
    make: Any = hessian if d.order == 2 else grad if d.scalar else jacobian
    worst, witnesses = 0.0, _Witnesses(d, rng)
    at = instances(p, 3, seed)
    repeatable(p, at[0])
    for inst in at:
        env = environment(d, inst)
        worst = max(worst, _line(p.call(inst.arrays, inst.sizes), d.value, env, inst, "the value"))
        for k, g in zip(p.wrt, d.gradients, strict=True):
            truth = np.asarray(make(lambda *xs, s=inst.sizes: p.call(xs, s), k)(*inst.arrays))
            truth = truth.T if d.layout == "numerator" and d.scalar and d.order == 1 else truth
            name = f"the derivative with respect to {p.names[k]}"
            worst = max(worst, _line(truth, g, env, inst, name, rounding(p, inst, k, d.order)))
            if d.order == 1:
                out = g.full(env, inst.sizes)
                witnesses.hear(inst, k, out.T if d.layout == "numerator" and d.scalar else out)
    told, stepped = witnesses.told, witnesses.stepped
    if not witnesses.against:
        d.notes[:] = [n for n in d.notes if n != "stopped"]  # what was stopped does not change the derivative: a shift, say
    return Report([i.sizes for i in at], worst, max(told, default=None), max(stepped, default=None), seed)


class _Witnesses:
    """Difference quotients and the complex step: what they say, in the units in which more than 1 is a contradiction."""

    def __init__(self, d: Any, rng: np.random.Generator) -> None:
        self.d, self.rng = d, rng
        self.told, self.stepped = list[float](), list[float]()
        self.stopped = "stopped" in d.notes
        self.against = False
        self.analytic = all(map(analytic, [*[x for _, x in d.definitions], d.value]))

    def hear(self, inst: Instance, k: int, gradient: Any) -> None:
        """Ask both about one derivative; where the function stops gradients, they may contradict by decree."""
        p: Problem = self.d.problem
        name = f"the derivative with respect to {p.names[k]}"
        q = against_quotients(p, inst, k, gradient, self.rng)
        if q is not None and q > 1:
            self.contradicted(f"{name} is not what difference quotients say, at sizes {inst.sizes}")
        elif q is not None:
            self.told.append(q)
        if self.analytic:
            with np.errstate(all="ignore"):
                gap = against_complex_step(self.value, inst, k, gradient, self.rng, rounding(p, inst, k))
            if gap < TOLERANCE:
                self.stepped.append(gap)
            else:
                self.contradicted(f"{name} is not what the complex step says")

    def contradicted(self, text: str) -> None:
        if not self.stopped:
            raise VerificationError(text)
        self.against = True

    def value(self, xs: Sequence[Any], sizes: Sizes) -> Any:
        env = dict(zip(self.d.problem.names, xs, strict=True))
        for name, x in self.d.definitions:
            env[name] = x.full(env, sizes)
        return self.d.value.full(env, sizes)


def environment(d: Any, inst: Instance) -> dict[str, Any]:
    """Arguments and named parts, by name."""
    env = dict(zip(d.problem.names, inst.arrays, strict=True))
    with np.errstate(all="ignore"):
        for name, x in d.definitions:
            env[name] = x.full(env, inst.sizes)
    return env


def _line(truth: Any, x: Node, env: dict[str, Any], inst: Instance, what: str, least: float = 1e-12) -> float:
    with np.errstate(all="ignore"):
        found = x.full(env, inst.sizes)
    gap = difference(found, truth, least)
    if not gap < TOLERANCE:
        raise VerificationError(f"the formula for {what} is off by {gap:.1e} at sizes {inst.sizes}")
    return gap
