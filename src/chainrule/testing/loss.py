"""Is this loss the one it is meant to be? Values first, then gradients, where a missing stop_gradient shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten
from chainrule.calculus import grad
from chainrule.explain import preflight
from chainrule.explain.check import Check, check
from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.lab import Bars, Instance, Lab, Problem
from chainrule.explain.doctor.scale import read
from chainrule.explain.doctor.scene import Scene, is_float, leaf_names, scene
from chainrule.explain.doctor.texts import function as formula
from chainrule.explain.doctor.words import times
from chainrule.ir.graph import Array
from chainrule.testing.edits import Call, Edit, edits, run
from chainrule.testing.references import REFERENCES, find

Function = Callable[..., Any]
_CLOSE = 1e-9


class _Values(Problem):
    """Two losses: the reference is the truth, the user's the claim."""

    def claim(self, args: Sequence[Any]) -> list[Array]:
        """The user's value."""
        return [np.asarray(self.f(*args), float)]


def _accepts(f: Function, name: str) -> bool:
    try:
        known = inspect.signature(f).parameters
    except (TypeError, ValueError):
        return False
    return name in known or any(p.kind is p.VAR_KEYWORD for p in known.values())


def _bound(f: Function, params: Mapping[str, Any]) -> Function:
    mine = {k: x for k, x in params.items() if _accepts(f, k)}
    return partial(f, **mine) if mine else f


class _CheckLoss:
    """``check_loss(user_loss, reference, *args, **params)``: is a loss written by hand the one it is meant to be?

    Both are compared at the arguments given and at fresh data of other sizes; where their values agree, so must their gradients.

    Args:
        user_loss: a function of arrays that returns one number.
        reference: a name that ``check_loss.names()`` lists, a loss of `chainrule.losses`, a function of the same arguments, or a
            formula as text over the names of user_loss's parameters.
        *args: example arguments.
        **params: further arguments of the reference, and of user_loss where it takes them.

    Returns:
        A `Check`; its diagnoses say what user_loss does and what it should do, and where.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> def penalty(g):
        ...     return np.mean((np.linalg.norm(g, axis=0) - 1) ** 2)
        >>> c = cr.check_loss(penalty, "wgan-gp", np.random.default_rng(0).normal(size=(6, 3)))
        >>> c.verdict, c.diagnoses[0].kind, c.diagnoses[0].correction
        ('wrong', 'layout', 'axis=-1')
    """

    @errors.boundary
    def __call__(self, user_loss: Function, reference: Any, *args: Any, **params: Any) -> Check:
        """See the class."""
        other, also = _reference(user_loss, reference, args)
        return _Comparison(_bound(user_loss, params), partial(other, **params) if params else other, also, args, params).verdict()

    @staticmethod
    def names() -> dict[str, str]:
        """The losses known by name, with their arguments."""
        return {name: r.arguments for name, r in sorted(REFERENCES.items())}


check_loss = _CheckLoss()


def _reference(user: Function, given: Any, args: Sequence[Any]) -> tuple[Function, Sequence[tuple[str, Function]]]:
    if callable(given):
        return given, ()
    if not isinstance(given, str):
        raise TypeError("the reference is a name, a loss, a function or a formula")
    known = find(given)
    if known is not None:
        return known.call, known.also
    if given.replace("-", "_").isidentifier():
        raise ValueError(f"there is no loss {given!r}; there are {', '.join(sorted(REFERENCES))}")
    return formula(given, user, args), ()


class _Comparison:
    """One comparison of two losses."""

    def __init__(
        self,
        user: Function,
        other: Function,
        also: Sequence[tuple[str, Function]],
        args: Sequence[Any],
        params: Mapping[str, Any],
    ) -> None:
        self.user, self.other, self.args, self.params = user, other, tuple(args), params
        self.also = [(name, partial(f, **params) if params else f) for name, f in also]
        self.floats = tuple(k for k, x in enumerate(args) if all(map(is_float, flatten(x)[0])))

    def verdict(self) -> Check:
        """Preflight, values, gradients."""
        names = leaf_names(self.user, self.args, range(len(self.args)))
        try:
            why = preflight.of_function(self.user, self.args, names)
        except Exception as e:
            return self._wrong([Diagnosis("preflight", f"The loss fails: {type(e).__name__}: {e}")])
        if why:
            return self._wrong([Diagnosis("preflight", f"{why[0].upper()}{why[1:]}.")])
        self._fit()
        mine, truth = np.asarray(self.user(*self.args), float), np.asarray(self.other(*self.args), float)
        if mine.ndim:
            return self._wrong([_per_example(mine, truth)])
        lab = self._lab(self.other)
        trials = [i for i in (self._here(lab), lab.other(0), lab.other(1), lab.same(0)) if i is not None]
        if all(map(_equal, trials)):
            return self._gradients(_gap(trials[0]))
        for name, f in self.also:
            other = self._lab(f)
            if all(_equal(i) for i in (self._here(other), other.other(0), other.same(0)) if i is not None):
                return Check("right", _gap(self._here(other)), notes=(f"It is the loss {name}.",))
        return self._wrong(self._causes(lab, trials), _gap(trials[0]))

    @staticmethod
    def _wrong(found: Sequence[Diagnosis], error: float = float("nan")) -> Check:
        return Check("wrong", error, tuple(found))

    def _fit(self) -> None:
        """Where the reference refuses shapes that broadcast, it is given arrays in one row, so that both have a value."""
        try:
            self.other(*self.args)
        except errors.ShapeError:
            plain = self.other
            shapes = {np.shape(x) for x in self.args if isinstance(x, np.ndarray)}
            if len({int(np.prod(s)) for s in shapes}) > 1:
                raise
            self.other = lambda *xs: plain(*[np.ravel(x) if isinstance(x, np.ndarray) else x for x in xs])

    def _lab(self, other: Function) -> Lab:
        def truth(args: Sequence[Any]) -> tuple[list[Array], Bars, Scene | None]:
            y = np.asarray(other(*args), float)
            return [y], lambda: [_CLOSE * np.abs(y) + 1e-13], None

        argnums = self.floats[-1:] or (0,)
        try:
            first = scene(self.user, self.args, self.floats)
        except Exception:
            first = None
        return Lab(_Values(self.user, self.user, self.args, argnums, True, truth), first)

    @staticmethod
    def _here(lab: Lab) -> Instance:
        return lab.run(lab.leaves)

    # --- values that differ -------------------------------------------------------------------------------------------------

    def _causes(self, lab: Lab, trials: Sequence[Instance]) -> list[Diagnosis]:
        out = [*self._edited(trials), *self._scaled(lab, trials)]
        out.sort(key=lambda x: x.rank)
        kept = [x for k, x in enumerate(out) if all(x.message != y.message for y in out[:k])]
        if not kept:
            i = trials[0]
            text = "No single change makes it the reference."
            text += f" Here it is {float(i.claim[0]):.6g} and should be {float(i.truth[0]):.6g}."
            kept = [Diagnosis("unknown", text, rank=20)]
        return [kept[0], *[_again(x) for x in kept[1:5]]]

    def _scaled(self, lab: Lab, trials: Sequence[Instance]) -> list[Diagnosis]:
        def coefficient(i: Instance) -> Sequence[float] | None:
            t = float(i.truth[0])
            return [float(i.claim[0]) / t] if t else None

        base = trials[min(1, len(trials) - 1)]
        factors = read(lab, base, coefficient, only=len(trials) == 1)
        if factors is None:
            return []
        c = factors[0]
        if c.is_number(-1):
            return [Diagnosis("sign", "The loss has the wrong sign.", "-loss", rank=0)]
        if not c.powers and abs(c.number - round(c.number, 6)) > 1e-7 and c.text.replace(".", "").isdigit():
            return []
        names = {p.name for p in c.powers if p.size}
        sizes = " and ".join(f"{a} = {b}" for a, b in lab.letters if a in names)
        text = f"The loss is {c.text} times what it should be{f' ({sizes})' if sizes else ''}: multiply it by {c.inverse.text}."
        return [Diagnosis("scale", text, times(c.inverse, "loss"), rank=0.9)]

    def _edited(self, trials: Sequence[Instance]) -> Iterator[Diagnosis]:
        """Single changes to the user's code that make it the reference everywhere."""
        try:
            lists = [list(edits(self._calls(i))) for i in trials]
        except Exception:
            return
        if len({len(x) for x in lists}) != 1:
            lists, trials = lists[:1], trials[:1]
        for versions in zip(*lists, strict=True):
            if all(self._fixes(i, e) for i, e in zip(trials, versions, strict=True)):
                e = versions[0]
                yield Diagnosis(e.kind, e.message, e.correction, place=e.place, rank=e.rank)

    def _calls(self, i: Instance) -> list[Call]:
        with np.errstate(all="ignore"):
            return run(self.user, i.args)[1]

    def _fixes(self, i: Instance, e: Edit) -> bool:
        try:
            with np.errstate(all="ignore"):
                y = np.asarray(run(self.user, i.args, e.changes)[0], float)
        except Exception:
            return False
        return y.ndim == 0 and bool(abs(y - i.truth[0]) <= i.noise[0])

    # --- values that agree ---------------------------------------------------------------------------------------------------

    def _gradients(self, error: float) -> Check:
        """Equal values with different gradients: something is held constant in one and not in the other."""
        arrays = tuple(k for k in self.floats if np.size(flatten(self.args[k])[0][0]) >= 1)
        try:
            theirs = grad(self.other, arrays)
            theirs(*self.args)
            grad(self.user, arrays)(*self.args)
        except Exception:
            return Check(
                "right", error, notes=("Their gradients could not be compared: one of the two cannot be differentiated.",)
            )
        c = check(self.user, theirs, *self.args, argnums=arrays)
        if c.verdict == "right":
            return Check("right", error)
        if c.verdict == "cannot_tell":
            return Check("right", error, notes=(f"Of their gradients nothing can be told: {c.reason}.",))
        return Check(
            "wrong",
            c.max_error,
            tuple(self._detached(x) for x in c.diagnoses),
            notes=("The values agree; the gradients do not.",),
        )

    def _detached(self, x: Diagnosis) -> Diagnosis:
        name = x.message.split("`")[1] if x.message.count("`") > 1 else x.argument
        if "stop_gradient holds constant" in x.message:
            text = f"Here stop_gradient holds `{name}` constant, and in the reference the gradient flows through it."
            return Diagnosis("constant", text, name, x.latex, x.argument, x.place, same_numbers=x.same_numbers, rank=x.rank)
        if x.kind in ("constant", "term"):
            text = f"The reference holds `{name}` constant, and here the gradient flows through it: a stop_gradient is missing."
            fix = f"cr.stop_gradient({name})"
            return Diagnosis("constant", text, fix, x.latex, x.argument, x.place, same_numbers=x.same_numbers, rank=x.rank)
        return x


def _again(x: Diagnosis) -> Diagnosis:
    from dataclasses import replace

    return replace(x, same_numbers=True)


def _equal(i: Instance) -> bool:
    """Equal values, but for a small constant that somebody put there for safety."""
    return i.fits(0) and bool(np.all(np.abs(i.claim[0] - i.truth[0]) <= i.noise[0]))


def _gap(i: Instance) -> float:
    a, b = float(i.claim[0]), float(i.truth[0])
    return abs(a - b) / max(abs(a), abs(b), 1e-300)


def _per_example(mine: Array, truth: Array) -> Diagnosis:
    for name, value in (("mean", np.mean(mine)), ("sum", np.sum(mine))):
        if truth.ndim == 0 and abs(value - truth) <= _CLOSE * abs(truth):
            return Diagnosis(
                "shape", f"The loss returns {mine.shape}, one value for each example; their {name} is meant.", f"np.{name}(loss)"
            )
    return Diagnosis("shape", f"The loss returns an array of shape {mine.shape}, and one number is meant.", "np.mean(loss)")


__all__ = ["check_loss"]
