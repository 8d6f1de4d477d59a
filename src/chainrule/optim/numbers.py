"""Hyperparameters that cannot be meant are errors where they are written, not NaN a thousand steps later."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten, paths
from chainrule.build.value import Value

P = ParamSpec("P")
T = TypeVar("T")

AT_LEAST_ZERO = (0.0, np.inf, "0 or more")
SHARE = (0.0, np.nextafter(1.0, 0.0), "0 or more and below 1")
LIMITS: dict[str, tuple[float, float, str]] = {
    **dict.fromkeys(("learning_rate", "eps", "weight_decay", "initial_accumulator", "beta", "start", "final"), AT_LEAST_ZERO),
    **dict.fromkeys(("momentum", "beta1", "beta2", "decay"), SHARE),
    "rate": (np.nextafter(0.0, 1.0), np.inf, "positive"),
    "clipping": (np.nextafter(0.0, 1.0), np.inf, "positive"),
    "steps": (1, np.inf, "1 or more"),
    "warmup_steps": (0, np.inf, "0 or more"),
}
"""Hyperparameter -> least and greatest value, in words."""


def meant(where: str, name: str, value: Any) -> None:
    """Raise unless a hyperparameter has a value that it may have.  Schedules and traced values are not looked at."""
    if name not in LIMITS or value is None or isinstance(value, Value) or callable(value):
        return
    if isinstance(value, bool | str) or np.ndim(value) != 0 or np.asarray(value).dtype.kind not in "iuf":
        schedule = " or a schedule" if name == "learning_rate" else ""
        raise TypeError(f"{where}: {name} is a number{schedule}, not {value!r}")
    low, high, words = LIMITS[name]
    if not low <= float(value) <= high or value == np.inf:
        raise ValueError(f"{where}: {name} is {words}, not {value!r}")


def recipe(make: Callable[P, T]) -> Callable[P, T]:
    """`make`, whose numbers are looked at first, and whose argument ``eps`` may also be called ``epsilon``."""
    signature = inspect.signature(make)

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        if "epsilon" in kwargs and "eps" in signature.parameters:
            kwargs["eps"] = kwargs.pop("epsilon")
        named = [*zip(signature.parameters, args, strict=False), *kwargs.items()]
        for name, value in named:
            if name == "learning_rate" and value is None:
                raise TypeError(f"{make.__name__}: learning_rate is a number or a schedule, not None")
            meant(make.__name__, name, value)
        return make(*args, **kwargs)

    return made


def alike(params: Any, grads: Any) -> None:
    """Raise unless every array of the parameters has a gradient of its shape, in its place."""
    (xs, spec), (gs, other) = flatten(params), flatten(grads)
    if len(xs) != len(gs):
        raise errors.ShapeError(f"step: there are {len(xs)} arrays of parameters and {len(gs)} of gradients")
    if spec != other and paths(params) != paths(grads):
        a, b = next((a, b) for a, b in zip(paths(params), paths(grads), strict=True) if a != b)
        raise errors.TreeError(f"step: where the parameters have {a or 'one array'}, the gradients have {b or 'one array'}.")
    for k, (x, g) in enumerate(zip(xs, gs, strict=True)):
        if np.shape(x) != np.shape(g):
            of = "" if len(xs) == 1 else f" of array {k}"
            raise errors.ShapeError(f"step: the parameters{of} have the shape {np.shape(x)}, their gradient has {np.shape(g)}")
