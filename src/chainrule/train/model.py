"""What training needs to know of a model: which arrays are learned, which are measured, and how it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten, leaf_paths, unflatten
from chainrule.build.value import Value
from chainrule.losses.loss import Loss
from chainrule.nn.module import learned

Tree = Any
Parts = tuple[Tree, ...]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Anatomy:
    """The leaves of a model: those that gradients move, those that training measures (running averages), and the others.

    Attributes:
        spec: the containers of the model.
        leaves: every leaf, arrays as arrays.
        moved: positions of the leaves that the optimiser moves.
        measured: positions of the leaves that the model itself renews in training.
    """

    spec: Any
    leaves: Sequence[Any]
    moved: Sequence[int]
    measured: Sequence[int]

    @classmethod
    def of(cls, model: Tree) -> Anatomy:
        """The anatomy of a model as its layers declare it."""
        given, spec = flatten(model)
        leaves = [np.array(x) if isinstance(x, float | np.ndarray | np.generic) else x for x in given]
        floats = [k for k, x in enumerate(leaves) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        own = learned(model)
        moved = [k for k in floats if own[k]]
        if not moved:
            raise errors.TreeError("fit: the model holds no array of floating-point numbers, so there is nothing to learn")
        measured = [k for k, x in enumerate(leaves) if isinstance(x, np.ndarray) and not own[k]]
        return cls(spec, leaves, moved, measured)

    def also_measured(self, more: Sequence[int]) -> Anatomy:
        """The same with further leaves that the model renews itself."""
        measured = sorted({*self.measured, *more})
        return Anatomy(self.spec, self.leaves, [k for k in self.moved if k not in measured], measured)

    @property
    def params(self) -> Tree:
        """The model with nothing (None) in the places of leaves that gradients do not move."""
        moved = set(self.moved)
        return unflatten(self.spec, [np.array(x) if k in moved else None for k, x in enumerate(self.leaves)])

    @property
    def statistics(self) -> list[Any]:
        """The measured leaves."""
        return [np.array(self.leaves[k]) for k in self.measured]

    def whole(self, params: Tree, statistics: Sequence[Any]) -> Tree:
        """The model with these parameters and statistics."""
        leaves = list(self.leaves)
        for k, x in zip((*self.moved, *self.measured), (*flatten(params)[0], *statistics), strict=True):
            leaves[k] = x
        return unflatten(self.spec, leaves)

    def renewed(self, before: Tree, after: Tree) -> list[Any]:
        """The statistics of `after`; raise if anything else has been changed in it."""
        old, new = flatten(before)[0], self._leaves(after)
        odd = [k for k, (a, b) in enumerate(zip(old, new, strict=True)) if a is not b and k not in self.measured]
        if odd:
            name = leaf_paths(self.spec)[odd[0]]
            raise errors.TreeError(
                f"fit: the model returned a new self in training in which {name} differs in every step but the first"
            )
        return [new[k] for k in self.measured]

    def changed(self, before: Tree, after: Tree) -> list[int]:
        """Positions of arrays that are others in `after`."""
        pairs = zip(flatten(before)[0], self._leaves(after), strict=True)
        return [k for k, (a, b) in enumerate(pairs) if a is not b]

    def _leaves(self, model: Tree) -> list[Any]:
        leaves, spec = flatten(model)
        if spec != self.spec:
            raise errors.TreeError(f"fit: the model returned a new self of another structure: {spec} instead of {self.spec}")
        return leaves

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of all learned arrays, None if they differ."""
        found = {self.leaves[k].dtype for k in self.moved}
        return found.pop() if len(found) == 1 else None


def _names(f: Function) -> tuple[set[str], int]:
    """Names of the arguments of a function ("**" if it takes any), and how many it must be given by position."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return set(), -1
    names = {"**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters}
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return names, len(positional)


class Forward:
    """How a model is called: ``model(x)``, ``model.apply(x)`` or ``apply(model, x)``, with what it takes of training and key."""

    def __init__(self, model: Tree, apply: Function | None) -> None:
        self.apply = apply
        f = apply or _method(model)
        self.callable = f is not None
        self.names = _names(f)[0] if f is not None else set[str]()
        self.by_name = "apply" if not callable(model) else "__call__"

    def _given(self, **options: Any) -> dict[str, Any]:
        return {k: v for k, v in options.items() if k in self.names or "**" in self.names}

    def _run(self, model: Tree, x: Any, options: dict[str, Any]) -> Any:
        if self.apply is not None:
            return self.apply(model, x, **options)
        return getattr(model, self.by_name)(x, **options)

    def training(self, model: Tree, x: Any, key: Any) -> tuple[Any, Tree | None]:
        """The output in training, and the new self of a model that has one."""
        return split(self._run(model, x, self._given(training=True, key=key)), model)

    def inference(self, model: Tree, x: Any) -> Any:
        """The output."""
        return self._run(model, x, self._given(training=False))


def _method(model: Tree) -> Function | None:
    return model if callable(model) else getattr(model, "apply", None)


def split(out: Any, model: Tree) -> tuple[Any, Tree | None]:
    """(result, new model) of something that may return both."""
    if type(out) is tuple and len(out) == 2 and type(out[1]) is type(model) and not isinstance(model, np.ndarray | Value):  # pyright: ignore[reportUnknownArgumentType]
        return out  # pyright: ignore[reportUnknownVariableType]
    return out, None


class Objective:
    """A loss as a function of the model and a batch, whichever way it was written.

    A loss of `cr.losses`, or a function of (y_true, y_pred), is applied to the model's output; a function of (model, *batch),
    with or without a key, is called as it is.
    """

    def __init__(self, loss: Function, forward: Forward, parts: int) -> None:
        self.loss, self.forward, self.parts = loss, forward, parts
        names, positional = _names(loss)
        self.by_key = "key" in names
        self.by_position = not self.by_key and positional == parts + 2
        self.told = "training" in names
        self.of_outputs = isinstance(loss, Loss) or (parts == 2 and positional == 2)
        self._check(positional)

    def _check(self, positional: int) -> None:
        name = getattr(self.loss, "__name__", None) or repr(self.loss)
        if self.of_outputs and self.parts != 2:
            raise TypeError(
                f"fit: {name} compares targets with predictions, so the data must be a pair (x, y), not {self.parts} part(s)"
            )
        if self.of_outputs and not self.forward.callable:
            raise TypeError(
                f"fit: {name} needs the model's predictions, and the model cannot be called. "
                "Give it a __call__, pass apply=lambda model, x: ..., or write the loss as a function of (model, x, y)"
            )
        if not self.of_outputs and positional not in (1 + self.parts, 2 + self.parts):
            batch = ", ".join("xyzuvw"[: self.parts]) if self.parts <= 6 else "*batch"
            raise TypeError(f"fit: the loss {name} must take (y_true, y_pred), (model, {batch}) or (model, {batch}, key)")

    def training(self, model: Tree, batch: Parts, key: Any) -> tuple[Any, Tree | None]:
        """The loss of a batch in training, and the new self of a model that has one."""
        if not self.of_outputs:
            return split(self._called(model, batch, key, True), model)
        x, y = batch
        y_pred, new = self.forward.training(model, x, key)
        return self.loss(y, y_pred), new

    def inference(self, model: Tree, batch: Parts, key: Any) -> Any:
        """The loss of a batch of a model that is being judged."""
        if not self.of_outputs:
            return split(self._called(model, batch, key, False), model)[0]
        x, y = batch
        return self.loss(y, self.forward.inference(model, x))

    def _called(self, model: Tree, batch: Parts, key: Any, training: bool) -> Any:
        options = {"training": training} if self.told else {}
        if self.by_key:
            return self.loss(model, *batch, key=key, **options)
        return self.loss(model, *batch, *[key] * self.by_position, **options)
