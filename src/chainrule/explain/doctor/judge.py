"""Right, wrong, or cannot tell: differences held against rounding, kinks and independent witnesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.build.tree import flatten, unflatten
from chainrule.explain import numeric
from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.kinks import Kink, kink
from chainrule.explain.doctor.lab import EPS, Bars, Instance, Lab, upcast
from chainrule.explain.doctor.scene import Scene, flat, gradient, scene
from chainrule.ir.graph import Array

_RELATIVE = 1e-10
_SMALL = 1e-4


class UndecidedError(Exception):
    """Nothing can be told, and why."""


@dataclass(frozen=True)
class Finding:
    """A verdict before any diagnosis."""

    verdict: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None


def widened(bar: Array, truth: Array, claim: Array) -> Array:
    """The bar of rounding errors, wider where the claimed gradient is in single or half precision."""
    if claim.dtype.itemsize >= 8:
        return bar
    eps = float(np.finfo(claim.dtype).eps)
    return bar * (eps / EPS) + 8 * eps * np.abs(truth)


def largest(i: Instance) -> float:
    """The largest difference, relative to the largest element of each leaf."""
    out = 0.0
    for c, t in zip(i.claim, i.truth, strict=True):
        if c.shape != t.shape:
            return float("nan")
        if t.size:
            scale = max(float(np.max(np.abs(t))), float(np.max(np.abs(c))), 1e-300)
            out = max(out, float(np.max(np.abs(c - t))) / scale)
    return out


def excess(i: Instance) -> float:
    """By how much the differences exceed what rounding explains: below 1 they do not."""
    worst = 0.0
    if any(c.shape != t.shape for c, t in zip(i.claim, i.truth, strict=True)):
        return float("inf")
    if all(np.all(np.abs(c - t) <= _RELATIVE * np.abs(t)) for c, t in zip(i.claim, i.truth, strict=True)):
        return 0.0
    for c, t, b in zip(i.claim, i.truth, i.noise, strict=True):
        if t.size:
            allowed = b + _RELATIVE * np.abs(t) + 1e-300
            worst = max(worst, float(np.max(np.abs(c - t) / allowed)))
    return worst


def quotients(f: Callable[..., Any], argnums: Sequence[int], args: Sequence[Any]) -> tuple[list[Array], Bars, None]:
    """The gradient by difference quotients, with bars that count their own error."""
    args = list(args)
    truth, bars = list[Array](), list[Array]()
    for k in argnums:
        leaves, spec = flatten(args[k])
        for j, x in enumerate(leaves):

            def moved(y: Array, k: int = k, j: int = j, leaves: list[Any] = leaves, spec: Any = spec) -> float:
                new = [*leaves[:j], float(y) if isinstance(leaves[j], float) else y, *leaves[j + 1 :]]
                return float(f(*args[:k], unflatten(spec, new), *args[k + 1 :]))

            q = numeric.gradient(moved, np.asarray(x, float))
            if not np.all(q.error < 1e-2 * np.maximum(np.abs(q.value), 1e-3 * np.max(np.abs(q.value), initial=1e-12)) + 1e-7):
                raise UndecidedError("the difference quotients do not settle at this point: a kink or a jump is near")
            truth.append(q.value)
            bars.append(20 * q.error + 1e-7 * np.abs(q.value) + 1e-12)
    return truth, lambda: bars, None


_OWN_RULES = frozenset(("stop_gradient", "custom_jvp", "custom_vjp", "pulled"))


def witnesses(
    f: Callable[..., Any], argnums: Sequence[int], args: Sequence[Any], s: Scene, truth: Sequence[Array], seed: int
) -> str | None:
    """What independent derivatives say against the truth; None if nothing (or if a rule of the user's own decides)."""
    if any(e.prim in _OWN_RULES for e in s.graph.eqns):
        return None
    rng = np.random.default_rng([seed, 3])
    for _ in range(2):
        d = [rng.choice([-1.0, 1.0], size=x.shape) * rng.uniform(0.5, 1, size=x.shape) * (np.abs(s.value(v)) + 1e-3)
             for x, v in zip(truth, s.wrt, strict=True)]  # fmt: skip
        expected = float(sum(np.sum(x * y) for x, y in zip(truth, d, strict=True)))
        q = numeric.along(lambda t, d=d: _moved(f, argnums, args, d, t), 0.1)
        if not np.isfinite(q.error) or abs(q.value - expected) <= 100 * q.error + 1e-5 * abs(expected):
            continue
        inside = dict(zip(s.wrt, d, strict=True))
        try:
            tangents = [inside.get(v, np.zeros(v.type.shape)) for v in s.graph.ins]
            step = numeric.complex_step(s.graph, [s.value(v) for v in s.graph.ins], tangents)
        except Exception:
            step = q.value
        if abs(step - expected) > 1e-9 * abs(expected) + 1e-12:
            return f"difference quotients give {q.value:.6g} along a random direction and the automatic derivative {expected:.6g}"
    return None


def _moved(f: Callable[..., Any], argnums: Sequence[int], args: Sequence[Any], d: Sequence[Array], t: float) -> float:
    new, rest = list(args), list(d)
    for k in argnums:
        leaves, spec = flatten(args[k])
        moved = [x + t * rest.pop(0) for x in leaves]
        new[k] = unflatten(spec, [float(y) if isinstance(x, float) else y for x, y in zip(leaves, moved, strict=True)])
    with np.errstate(all="ignore"):
        return float(f(*new))


class Court:
    """Weighs the differences at the user's point and at fresh data."""

    def __init__(self, lab: Lab, user: Instance, only: bool, traced: bool) -> None:
        self.lab, self.user, self.only, self.traced = lab, user, only, traced
        self.problem = lab.problem
        self.notes: list[str] = []

    def find(self) -> Finding:
        """The verdict."""
        here = self._weigh(self.user, own=True)
        outside = self.user.extra.get("kink")
        if here not in ("equal", "different"):
            return Finding("cannot_tell", here, tuple(self.notes))
        if self.only:
            return self._alone(here)
        if here == "different" and outside is None:
            return self._doubted(Finding("wrong", notes=tuple(self.notes)))
        away = self._away()
        if here == "different":
            kinked = None if "different" in away or outside is None else self._kinked(outside)
            return self._doubted(Finding("wrong", notes=tuple(self.notes), diagnosis=kinked))
        if "different" not in away:
            return self._doubted(Finding("right", notes=tuple(self.notes)))
        return self._elsewhere(away)

    def _away(self) -> list[str]:
        """The verdicts at fresh data, until two of them differ."""
        found: list[str] = []
        for i in self._trials():
            found.append(self._weigh(i))
            if found.count("different") >= 2:
                break
        return found

    def _alone(self, here: str) -> Finding:
        if here == "equal":
            return self._doubted(Finding("right", notes=tuple(self.notes)))
        outside = self.user.extra.get("kink")
        return self._doubted(
            Finding("wrong", notes=tuple(self.notes), diagnosis=None if outside is None else self._kinked(outside))
        )

    def _doubted(self, finding: Finding) -> Finding:
        doubt = self.user.extra.get("doubt")
        if doubt is None or "kink" in self.user.extra or self.user.extra.get("bends"):
            return finding
        return Finding("cannot_tell", f"{doubt}; the function jumps or is not what was traced", finding.notes)

    def _trials(self) -> Iterator[Instance]:
        if self.traced:
            yield from self.lab.trials()
        else:
            yield from (i for k in (0, 1) if (i := self.lab.same(k)) is not None)

    def _elsewhere(self, away: Sequence[str]) -> Finding:
        """Right at the point given, wrong at fresh data: the mistake does not show in the example."""
        still = [self._weigh(i) for i in (self.lab.same(0, True), self.lab.same(1, True)) if i is not None]
        if "different" in still or list(away).count("different") >= 2:
            note = "At the point given the two agree; at other data (or sizes) they do not."
            return self._doubted(Finding("wrong", notes=(*self.notes, note)))
        self.notes.append("At some other data the two differ; at this point and around it they agree.")
        return Finding("right", notes=tuple(self.notes))

    # --- one instance --------------------------------------------------------------------------------------------------------

    def _weigh(self, i: Instance, own: bool = False) -> str:
        """ "equal", "different", or why it cannot be told."""
        over = excess(i)
        if over <= 1:
            return "equal"
        if over == float("inf"):
            return "different"
        kinked = self._kink(i)
        if kinked is not None:
            i.extra["kink"] = kinked
            if own and kinked.inside:
                self.notes.append("At this point the derivative jumps; the claimed one is an element of the subdifferential.")
            if kinked.inside is None:
                return "the derivative jumps here in many elements at once, and the claimed one could not be placed among them"
            return "equal" if kinked.inside else "different"
        if largest(i) < _SMALL:
            return self._rounding(i, over)
        return "different"

    def _kink(self, i: Instance) -> Kink | None:
        if i.scene is None or not i.scene.jumps:
            return None
        return kink(
            lambda a: gradient(scene(self.problem.f, a, self.problem.argnums)),
            i.args,
            self.problem.argnums,
            flat(i.claim),
            flat(i.truth),
        )

    def _rounding(self, i: Instance, over: float) -> str:
        """Is a small difference rounding? With more digits (or fewer) it would shrink (or grow)."""
        if self.only or self.user.claim[0].dtype.itemsize < 8:
            return self._bar(i) if over < 1e4 else "different"
        gap = float(np.max(np.abs(flat(i.claim) - flat(i.truth))))
        for dtype, shrinks in ((np.longdouble, True), (np.float32, False)):
            other = self._gap(i, dtype)
            if other is None:
                continue
            if shrinks:
                return "equal" if other < 0.05 * gap else "different"
            return "equal" if other > 300 * gap else "different"
        return "different" if over > 1e3 else self._bar(i)

    def _gap(self, i: Instance, dtype: Any) -> float | None:
        try:
            args = upcast(i.args, dtype)
            with np.errstate(all="ignore"):
                s = scene(self.problem.f, args, self.problem.argnums)
                t, c = gradient(s), self.problem.claim(args)
            if any(x.dtype != np.dtype(dtype) for x in (*t, *c)):
                return None
            return max(float(np.max(np.abs(a - b), initial=0)) for a, b in zip(t, c, strict=True))
        except Exception:
            return None

    def _bar(self, i: Instance) -> str:
        size = max(float(np.max(b / (np.abs(t) + 1e-300))) for b, t in zip(i.noise, i.truth, strict=True) if t.size)
        return f"the difference ({largest(i):.1e} relative) is of the size of rounding errors at this point (up to {size:.1e})"

    def _kinked(self, k: Kink) -> Diagnosis:
        names, at = self.problem.names, k.worst
        for name, t in zip(names, self.user.truth, strict=True):
            if at < t.size:
                spot = f"{name}[{', '.join(str(int(x)) for x in np.unravel_index(at, t.shape))}]" if t.ndim else name
                value = flat(self.user.claim)[k.worst]
                low, high = k.low[k.worst], k.high[k.worst]
                text = f"The derivative jumps here: for {spot} every slope from {low:.6g} to {high:.6g} is right,"
                text += f" and {value:.6g} was claimed."
                return Diagnosis(
                    "kink",
                    text,
                    f"{low:.6g} <= d{spot} <= {high:.6g}",
                    rf"\partial f \ni g, \quad {low:.6g} \le g \le {high:.6g}",
                    rank=0,
                )
            at -= t.size
        return Diagnosis("kink", "The derivative jumps here, and the claimed one is not among those on both sides.", rank=0)
