"""What a loss is: a formula per example, its derivative, and the facts people choose by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import Value

Formula = Callable[..., Any]
REDUCTIONS = ("mean", "sum", "none")
SLACK = 1e-3
"""By how much a target may be off, for rounding and for finite differences."""
_RANGES: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "delta": ("above 0", lambda v: v > 0),
    "temperature": ("above 0", lambda v: v > 0),
    "q": ("between 0 and 1", lambda v: 0 < v < 1),
    "eps": ("at least 0 and below 1/2", lambda v: 0 <= v < 0.5),
    "gamma": ("at least 0", lambda v: v >= 0),
    "margin": ("at least 0", lambda v: v >= 0),
    "alpha": ("between 0 and 1", lambda v: 0 <= v <= 1),
}


@dataclass(frozen=True)
class Facts:
    """What is known about a loss as a function of the prediction.

    Attributes:
        domain: which targets and predictions it is for.
        convex: is it convex in the prediction?
        differentiable: is it differentiable everywhere?
        lipschitz: bound on the derivative per example; None if there is none.
        smooth: Lipschitz constant of the derivative per example; None if there is none.
        minimiser: the prediction that minimises its expectation.
        link: the function from a model's raw output to the prediction.
        hessian: the second derivative per example.
        kink: what is chosen where the derivative jumps.
        source: where the definition is taken from.
    """

    domain: str
    convex: bool
    differentiable: bool
    minimiser: str
    hessian: str
    source: str
    lipschitz: str | None = None
    smooth: str | None = None
    link: str = "identity"
    kink: str = ""


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss: ``loss(y_true, y_pred, *, weights=None, reduction="mean", ...)``.

    Its value is the mean over examples of ``formula(y_true, y_pred)``; with weights, ``sum(w l) / sum(w)``.

    Attributes:
        name: its name.
        formula: the loss of each example, as NumPy code.
        slope: the derivative of each example's loss with respect to its prediction, as NumPy code.
        latex: the formula; ``derivative_latex`` its derivative, 1/n included.
        facts: see `Facts`.
        axes: how many trailing axes make up one example (0: every element is one; 1: a vector of classes or features).
        defaults: further keyword arguments and their default values.
        labels: are targets class numbers, with one axis less than predictions?
        targets: which targets it is for, as NumPy code; None for all.
    """

    name: str
    formula: Formula
    slope: Formula
    latex: str
    derivative_latex: str
    facts: Facts
    axes: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    labels: bool = False
    targets: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", _documented(self))

    def __call__(self, y_true: Any, y_pred: Any, *, weights: Any = None, reduction: str = "mean", **params: Any) -> Any:
        """The loss as one number, or one per example with ``reduction="none"``.

        Args:
            y_true: targets.
            y_pred: predictions, of the same shape (class labels have one axis less).
            weights: one weight per example; the mean divides by their sum.
            reduction: "mean", "sum" or "none".
            **params: what `defaults` lists.

        Raises:
            ShapeError: if the shapes differ; nothing is broadcast.
            ValueError: if a parameter is out of its range, or a target whose value is known is none that the loss is for.
        """
        y_true, y_pred, params = self.checked(y_true, y_pred, params)
        values = self.formula(y_true, y_pred, **params)
        return reduced(values, per_example(weights, np.shape(values), self.name), reduction)

    def derivative(self, y_true: Any, y_pred: Any, *, weights: Any = None, reduction: str = "mean", **params: Any) -> Any:
        """The derivative with respect to `y_pred` of the loss with the same arguments ("none" counts as "sum")."""
        y_true, y_pred, params = self.checked(y_true, y_pred, params)
        slope = self.slope(y_true, y_pred, **params)
        shape = np.shape(slope)[: np.ndim(slope) - self.axes]
        factor = share(per_example(weights, shape, self.name), shape, reduction)
        return slope * np.reshape(factor, np.shape(factor) + (1,) * self.axes) if np.ndim(factor) else slope * factor

    def checked(self, y_true: Any, y_pred: Any, params: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Arguments as arrays of one shape, parameters with their defaults."""
        y_true, y_pred = as_array(y_true), real(self.name, as_array(y_pred))
        unknown = set(params) - set(self.defaults)
        if unknown:
            known = ", ".join(["weights", "reduction", *self.defaults])
            raise TypeError(f"{self.name} has no argument {', '.join(sorted(unknown))}; it takes {known}")
        want = np.shape(y_pred)[:-1] if self.labels else np.shape(y_pred)
        if np.shape(y_true) != want:
            raise errors.ShapeError(_disagree(self.name, np.shape(y_true), np.shape(y_pred), want))
        _ranged(self.name, params)
        self.checked_targets(y_true)
        return y_true if self.labels else _alike(self.name, y_true, y_pred), y_pred, {**self.defaults, **params}

    def checked_targets(self, y_true: Any) -> None:
        """Raise if the values of targets are known, and the loss is not for them."""
        y = None if self.targets is None else known(y_true)
        if self.targets is None or y is None:
            return
        wrong = y[~np.asarray(self.targets(y) | (y != y))]
        if wrong.size:
            raise ValueError(f"{self.name} is for {self.facts.domain}; y_true holds {wrong.flat[0]}")

    def __repr__(self) -> str:
        return f"<loss {self.name}>"


def _documented(loss: Loss) -> str:
    """What `help` says of a loss, from its row."""
    f = loss.facts
    params = "".join(f", {k}={v!r}" for k, v in loss.defaults.items())
    told = {
        "Targets and predictions": f.domain,
        "Convex in the prediction": "yes" if f.convex else "no",
        "Differentiable": "everywhere" if f.differentiable else "not everywhere",
        "Bound on the slope of an example": f.lipschitz or "none",
        "Bound on its curvature": f.smooth or "none",
        "Second derivative of an example": f.hessian,
        "Where the slope jumps": f.kink,
        "Minimised in expectation by": f.minimiser,
        "Link": f.link,
    }
    facts = "\n".join(f"* {name}: {fact}" for name, fact in told.items() if fact)
    head = f'``{loss.name}(y_true, y_pred, *, weights=None, reduction="mean"{params})``: the loss, and its derivative by the prediction, are'
    return f"{head}\n\n$$L = {loss.latex}$$\n\n$${loss.derivative_latex}$$\n\n{facts}\n\nSource: {f.source}."


def _disagree(name: str, true: tuple[int, ...], pred: tuple[int, ...], want: tuple[int, ...]) -> str:
    text = f"{name}: y_true has shape {true} and y_pred has shape {pred}; y_true must have shape {want}."
    if true and pred and true[:1] == pred[:1] and int(np.prod(true)) == int(np.prod(want)):
        return text + f" Broadcasting would pair every target with every prediction. Reshape one: np.reshape(y_pred, {true})"
    return text


def as_array(x: Any) -> Any:
    """Lists, Python numbers and columns of tables as arrays; arrays and traced values as they are."""
    return np.asarray(x) if isinstance(x, list | tuple | int | float | bool) or hasattr(x, "to_numpy") else x


def known(x: Any) -> Any:
    """The numbers of an array, or of a traced value that has them; None where they are not known yet."""
    return getattr(x, "data", None) if isinstance(x, Value) else np.asarray(x)


def real(name: str, x: Any) -> Any:
    """Real numbers as they are, whole numbers and truth values in double precision, in which their differences do not overflow."""
    kind = np.dtype(x.dtype).kind
    if kind not in "biuf":
        raise errors.DtypeError(f"{name}: targets and predictions are real numbers, not {x.dtype}")
    return x if kind == "f" else x.astype(np.float64)


def _alike(name: str, y_true: Any, y_pred: Any) -> Any:
    """Targets that are whole numbers or truth values in the dtype of the predictions."""
    return y_true.astype(y_pred.dtype) if np.dtype(y_true.dtype).kind in "biu" else real(name, y_true)


def _ranged(name: str, params: Mapping[str, Any]) -> None:
    for key, v in params.items():
        if key in _RANGES and isinstance(v, int | float) and not _RANGES[key][1](v):
            raise ValueError(f"{name}: {key} is {_RANGES[key][0]}, not {v}")


def per_example(weights: Any, shape: tuple[int, ...], name: str) -> Any:
    """Weights that fit the examples' axes; one weight per row serves all elements of the row."""
    if weights is None:
        return None
    w = as_array(weights)
    if np.shape(w) != shape[: np.ndim(w)]:
        raise errors.ShapeError(f"{name}: weights of shape {np.shape(w)} do not fit examples of shape {shape}")
    w = np.reshape(w, np.shape(w) + (1,) * (len(shape) - np.ndim(w)))
    return np.broadcast_to(w, shape)


def reduced(values: Any, weights: Any, reduction: str) -> Any:
    """Mean (weighted: sum(w l) / sum(w)), sum or the values themselves."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    weighted = values if weights is None else weights * values
    if reduction == "none":
        return weighted
    total = np.sum(weighted)
    if reduction == "sum":
        return total
    return np.mean(values) if weights is None else total / np.sum(weights)


def share(weights: Any, shape: tuple[int, ...], reduction: str) -> Any:
    """Derivative of the reduction with respect to each example's value."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    if reduction == "mean":
        return 1 / max(int(np.prod(shape)), 1) if weights is None else weights / np.sum(weights)
    return 1.0 if weights is None else weights
