"""Is this gradient right? `check` compares a derivative written by hand with the automatic one and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten
from chainrule.explain import preflight
from chainrule.explain.doctor import judge
from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.hypotheses import Doctor, Progress
from chainrule.explain.doctor.lab import Bars, Instance, Lab, Problem, Truth, traced_truth, upcast
from chainrule.explain.doctor.scene import Scene, leaf_names
from chainrule.ir.graph import Array

_WIDTH = 78


@dataclass(frozen=True)
class Check:
    """The verdict on a derivative, and its reasons.

    Attributes:
        verdict: "right", "wrong" or "cannot_tell".
        max_error: largest relative difference between the claimed and the true gradient at the point given (relative to the
            largest element of each argument's gradient); NaN where the two cannot be compared.
        diagnoses: causes, best first; those after the first with ``same_numbers`` are other names for it.
        reason: for "cannot_tell", why not; for the others what else is to be said.
        notes: what was found on the way (kinks, witnesses, untraceable functions).
        names: the arguments the gradient is for; ``expected`` and ``claimed`` their gradients, true and claimed.
        seed: with which the fresh data were drawn.
    """

    verdict: str
    max_error: float
    diagnoses: tuple[Diagnosis, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    expected: tuple[Array, ...] = field(default=(), repr=False)
    claimed: tuple[Array, ...] = field(default=(), repr=False)
    seed: int = 0

    @property
    def ok(self) -> bool | None:
        """True, False, or None where nothing can be told."""
        return {"right": True, "wrong": False}.get(self.verdict)

    def __bool__(self) -> bool:
        return self.verdict == "right"

    def __str__(self) -> str:
        lines = [_HEAD[self.verdict](self)]
        first = [x for x in self.diagnoses if not x.same_numbers]
        for x in first:
            lines += _lines(x)
        other = [x for x in self.diagnoses if x.same_numbers]
        lines += ["  The same numbers come from:"] * bool(other) + [f"    {x.message}" for x in other[:3]]
        lines += [f"  {note}" for note in self.notes]
        if self.verdict == "wrong":
            lines += [f"  {x}" for x in self._numbers()]
        return "\n".join(lines)

    def _numbers(self) -> list[str]:
        out: list[str] = []
        for name, t, g in zip(self.names, self.expected, self.claimed, strict=False):
            if t.shape == g.shape and t.size and np.all(np.isfinite(g)) and not np.allclose(t, g, rtol=1e-11, atol=1e-14):
                at = np.unravel_index(int(np.argmax(np.abs(t - g))), t.shape)
                spot = f"d{name}[{', '.join(str(int(k)) for k in at)}]" if t.ndim else f"d{name}"
                digits = next((k for k in (6, 9, 12) if f"{t[at]:.{k}g}" != f"{g[at]:.{k}g}"), 17)
                out.append(f"{spot} should be {t[at]:.{digits}g} and is {g[at]:.{digits}g} (seed {self.seed}).")
        return out

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict, "ok": self.ok, "max_error": self.max_error if np.isfinite(self.max_error) else None,
            "reason": self.reason, "notes": list(self.notes), "seed": self.seed, "names": list(self.names),
            "diagnoses": [x.as_data() for x in self.diagnoses],
            "expected": [x.tolist() for x in self.expected],
            "claimed": [np.where(np.isfinite(x), x, np.nan).tolist() for x in self.claimed],
        }  # fmt: skip

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(self.as_data(), indent=1).replace("NaN", "null")

    def _repr_html_(self) -> str:
        from html import escape

        fix = [f" <code>{escape(x.correction)}</code>" if x.correction else "" for x in self.diagnoses]
        causes = "".join(f"<li>{escape(x.message)}{y}</li>" for x, y in zip(self.diagnoses, fix, strict=True))
        return f"<p><b>{escape(_HEAD[self.verdict](self))}</b></p><ul>{causes}</ul>"


_HEAD: Mapping[str, Callable[[Check], str]] = {
    "right": lambda c: f"Right. The largest relative error is {c.max_error:.1e}.",
    "wrong": lambda c: "Wrong." if c.diagnoses else f"Wrong. {c.reason}".rstrip(),
    "cannot_tell": lambda c: f"Cannot tell: {c.reason}.",
}


def _lines(x: Diagnosis) -> list[str]:
    place = f" ({x.place})" if x.place else ""
    return [f"  {x.message}{place}", *([f"  Correct is:  {x.correction}"] if x.correction else [])]


@errors.boundary
def check(
    f: Callable[..., Any],
    claimed: Any,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    seed: int = 0,
    seconds: float = 8.0,
    progress: Progress | None = None,
) -> Check:
    """Is `claimed` the gradient of `f`?  If not, what is wrong with it?

    The truth is the automatic derivative of f.  It is compared at the point given and at fresh random data, also of other
    sizes where both functions take them; difference quotients and the complex step are witnesses of the truth itself.

    Args:
        f: a function that returns one number (an array is taken as well; then a Jacobian is claimed).
        claimed: the gradient: a function of the same arguments, an array, or a formula as text over the names of f's parameters.
            For several `argnums` a function returns a tuple, and arrays are given as a tuple.
        *args: a point to check at; also what data look like.
        argnums: for which argument or arguments the gradient is claimed.
        seed: of the fresh data.
        seconds: how long to look for two mistakes that meet.
        progress: called with what is being done and the share that is done.

    Returns:
        A `Check`; print it.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> def loss(w, X, y):
        ...     return np.mean((X @ w - y) ** 2)
        >>> def gradient(w, X, y):
        ...     return 2 * X.T @ (X @ w - y)
        >>> rng = np.random.default_rng(0)
        >>> c = cr.check(loss, gradient, rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5))
        >>> c.verdict, c.diagnoses[0].kind, c.diagnoses[0].correction
        ('wrong', 'scale', 'dw / n')
    """
    nums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    nums = tuple(k + len(args) if k < 0 else k for k in nums)
    single = isinstance(argnums, int)
    for k in nums:
        if not 0 <= k < len(args):
            raise errors.TreeError(f"check: there is no argument {k}; the function is called with {len(args)}")
    if isinstance(claimed, str):
        claimed = _formula(f, claimed, args)
    return _Examination(f, claimed, args, nums, single, seed, seconds, progress).verdict()


def _formula(f: Callable[..., Any], text: str, args: Sequence[Any]) -> Callable[..., Any]:
    """A gradient given as text, as a function of the parameters of f."""
    from chainrule.explain.doctor.texts import function

    return function(text, f, args)


class _Examination:
    """One check from preflight to diagnosis."""

    def __init__(
        self, f: Callable[..., Any], claimed: Any, args: tuple[Any, ...], argnums: tuple[int, ...], single: bool, seed: int,
        seconds: float, progress: Progress | None,
    ) -> None:  # fmt: skip
        self.f, self.args, self.argnums, self.single, self.seed = f, args, argnums, single, seed
        self.seconds, self.progress = seconds, progress
        self.names = leaf_names(f, args, argnums)
        self.every = leaf_names(f, args, range(len(args)))
        self.array = None if callable(claimed) else claimed
        self.claimed: Callable[..., Any] = claimed if callable(claimed) else lambda *xs: claimed
        self.notes: list[str] = []
        self.traced = True

    def result(self, verdict: str, error: float = float("nan"), **more: Any) -> Check:
        """A finished check."""
        return Check(verdict, error, notes=tuple(self.notes), names=tuple(self.names), seed=self.seed, **more)

    def verdict(self) -> Check:
        """All stages in order."""
        for k in self.argnums:
            for x in flatten(self.args[k])[0]:
                if np.asarray(x).dtype.kind != "f":
                    raise errors.IntegerArgumentError.of("check", np.asarray(x))
        why = preflight.of_function(self.f, self.args, self.every)
        if why:
            return self.result("cannot_tell", reason=why)
        leaves, found = preflight.of_claim(self.claimed, self.single, self.args, self.argnums, self.every)
        if self._returns_array():
            return self._jacobian(leaves, found)
        if found is not None:
            return self.result("wrong", diagnoses=(found,))
        try:
            return self._judged(leaves)
        except judge.UndecidedError as e:
            return self.result("cannot_tell", reason=str(e))

    def _returns_array(self) -> bool:
        with np.errstate(all="ignore"):
            return np.ndim(self.f(*self.args)) > 0

    def _judged(self, leaves: list[Array]) -> Check:
        problem = Problem(self.f, self.claimed, self.args, self.argnums, self.single, self._truth(), self.seed)
        point = upcast(self.args)
        truth, bars, scene = problem.truth(point)
        if not all(np.all(np.isfinite(x)) for x in truth):
            return self.result("cannot_tell", reason="the derivative itself is not finite at this point", expected=tuple(truth))
        bad = next((n for n, x in zip(self.names, leaves, strict=True) if not np.all(np.isfinite(x))), None)
        if bad is not None:
            message = f"The claimed gradient for {bad} holds NaN or infinity where the function and its derivative are finite."
            return self._wrong([Diagnosis("preflight", message, rank=0)], leaves, truth, float("inf"))
        lab = Lab(problem, scene)
        user = self._at_point(lab, leaves, truth, bars, scene)
        if scene is not None:
            self._witnesses(scene, truth, user)
        court = judge.Court(lab, user, self.array is not None, self.traced)
        return self._conclude(lab, user, court)

    def _truth(self) -> Truth:
        """Truth by automatic differentiation; by difference quotients where the function cannot be traced."""
        truth = traced_truth(self.f, self.argnums)
        try:
            truth(upcast(self.args))
        except errors.NonScalarError:
            raise
        except Exception as e:
            self.traced = False
            first = str(getattr(e, "seen", "") or e).strip().splitlines() or [type(e).__name__]
            self.notes.append(
                f"chainrule cannot trace the function ({first[0].rstrip('.')}); the verdict rests on difference quotients."
            )
            return partial(judge.quotients, self.f, self.argnums)
        return truth

    def _at_point(self, lab: Lab, leaves: list[Array], truth: list[Array], bars: Bars, scene: Scene | None) -> Instance:
        """The user's own point, in float64 where the claimed gradient follows."""
        claim = leaves
        if self.array is None:
            try:
                found = lab.problem.claim(upcast(self.args))
                claim = found if all(np.all(np.isfinite(x)) for x in found) else leaves
            except Exception:
                claim = leaves

        def wide() -> list[Array]:
            return [judge.widened(b, t, c) for b, t, c in zip(bars(), truth, claim, strict=True)]

        sizes, params = lab.sizes_of(None), {lab.words[k]: float(lab.leaves[k]) for k in lab.params}
        return Instance(upcast(self.args), sizes, params, scene, truth, [np.asarray(c, float) for c in claim], wide)

    def _witnesses(self, scene: Scene, truth: list[Array], user: Instance) -> None:
        """Let difference quotients and the complex step confirm the truth along random directions."""
        doubt = judge.witnesses(self.f, self.argnums, user.args, scene, truth, self.seed)
        if doubt is not None:
            user.extra["doubt"] = doubt

    def _conclude(self, lab: Lab, user: Instance, court: judge.Court) -> Check:
        finding = court.find()
        kink = user.extra.get("kink")
        error = 0.0 if kink is not None and kink.inside else judge.largest(user)  # the distance to the subdifferential
        more: dict[str, Any] = {"expected": tuple(user.truth), "claimed": tuple(user.claim)}
        self.notes += finding.notes
        if finding.verdict == "right":
            return self.result("right", error, **more)
        if finding.verdict == "cannot_tell":
            return self.result("cannot_tell", error, reason=finding.reason, **more)
        if finding.diagnosis is not None:
            return self._wrong([finding.diagnosis], user.claim, user.truth, error)
        doctor = Doctor(lab, user, self.array is not None, self.seconds, self.progress)
        found = doctor.diagnose() or [doctor.unexplained(0, self.names[0])]
        return self._wrong(found, user.claim, user.truth, error)

    def _wrong(self, found: Sequence[Diagnosis], claim: Sequence[Array], truth: Sequence[Array], error: float) -> Check:
        return self.result(
            "wrong", error, diagnoses=tuple(found), expected=tuple(truth), claimed=tuple(np.asarray(c, float) for c in claim)
        )

    # --- functions that return arrays -----------------------------------------------------------------------------------------

    def _jacobian(self, leaves: list[Array], found: Diagnosis | None) -> Check:
        """Check a Jacobian: contracted with random weights it is a gradient."""
        if found is not None:
            return self.result("wrong", diagnoses=(found,))
        out = np.shape(self.f(*self.args))
        shapes = [np.shape(x) for k in self.argnums for x in flatten(self.args[k])[0]]
        for name, leaf, shape in zip(self.names, leaves, shapes, strict=True):
            if leaf.shape != (*out, *shape):
                return self.result("wrong", diagnoses=(_jacobian_shape(name, leaf.shape, out, shape),))
        inner = _Examination(
            _weighted(self.f),
            _contracted(self.claimed, self.f, len(out)),
            self.args,
            self.argnums,
            self.single,
            self.seed,
            self.seconds,
            self.progress,
        )
        if self.array is not None:
            inner.array = self.array
        c = inner.verdict()
        said = tuple(replace(x, message=x.message.replace("The gradient for", "The Jacobian for")) for x in c.diagnoses)
        full = errors_of_jacobian(self.f, self.argnums, self.args)
        return replace(c, diagnoses=said, expected=tuple(full), claimed=tuple(leaves))


def errors_of_jacobian(f: Callable[..., Any], argnums: Sequence[int], args: Sequence[Any]) -> list[Array]:
    """The true Jacobians, where they can be had."""
    from chainrule.calculus import jacobian

    try:
        return [np.asarray(x) for x in flatten(jacobian(f, tuple(argnums))(*args))[0]]
    except Exception:
        return []


def _weights(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(list(shape)).normal(size=shape)


def _weighted(f: Callable[..., Any]) -> Callable[..., Any]:
    from functools import wraps

    @wraps(f)
    def g(*args: Any) -> Any:
        y = f(*args)
        return np.sum(_weights(np.shape(y)) * y)

    return g


def _contracted(claimed: Callable[..., Any], f: Callable[..., Any], rank: int) -> Callable[..., Any]:
    def g(*args: Any) -> Any:
        w = _weights(np.shape(f(*args)))
        result = claimed(*args)
        parts = result if isinstance(result, tuple) else (result,)
        out = tuple(np.tensordot(w, np.asarray(x), rank) for x in parts)  # pyright: ignore[reportUnknownVariableType]
        return out if isinstance(result, tuple) else out[0]

    return g


def _jacobian_shape(name: str, have: tuple[int, ...], out: tuple[int, ...], shape: tuple[int, ...]) -> Diagnosis:
    wanted = (*out, *shape)
    text = f"The Jacobian for {name} has shape {have}; axes of the result come first, then those of {name}: {wanted}."
    if have == (*shape, *out):
        return Diagnosis(
            "layout",
            f"{text} It is transposed.",
            f"np.moveaxis(d{name}, {tuple(range(len(shape)))}, {tuple(range(-len(shape), 0))})",
            rank=0,
        )
    if have == shape and shape == out:
        return Diagnosis("jacobian", f"{text} Only the diagonal is there.", f"np.diag(d{name})", rank=0)
    return Diagnosis("shape", text, f"return an array of shape {wanted}", rank=0)


__all__ = ["Check", "Diagnosis", "check"]
