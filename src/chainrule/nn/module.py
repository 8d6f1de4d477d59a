"""What a layer is: a frozen dataclass that is a tree of arrays, and a function of its input."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from chainrule import errors, random
from chainrule.build.tree import flatten, unflatten

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T", bound="Module")


STATIC: Final = {"static": True}
"""Metadata of a field that is no array: fixed, a part of the structure."""
STATISTIC: Final = {"statistic": True}
"""Metadata of a field that holds an array measured in training, not learned by gradients."""


class Module(ABC):
    """Base of every layer.

    A layer is a dataclass whose array fields are its parameters, so it is a container like a list or a dict: ``cr.grad`` with
    respect to a layer returns a layer with the gradients in it, and every optimiser, regulariser, `cr.jit` and `cr.vmap` takes
    it as it is.  Layers never change; what training makes of one is a new layer.

    Write your own by deriving a frozen dataclass from this class; mark what is no array with ``metadata={"static": True}``.

    Example:
        >>> import dataclasses, numpy as np, chainrule as cr
        >>> @dataclasses.dataclass(frozen=True)
        ... class Scale(cr.nn.Module):
        ...     factor: np.ndarray
        ...     def __call__(self, x, *, training=False, key=None, mask=None):
        ...         return self.factor * x
        >>> cr.grad(lambda m: np.sum(m(np.array([1.0, 2.0]))))(Scale(np.ones(2))).factor
        array([1., 2.])
    """

    @abstractmethod
    def __call__(self, x: Any, *, training: bool = False, key: Any = None, mask: Any = None) -> Any:
        """The layer's output; ``(output, new layer)`` in training if the layer learns statistics."""

    @property
    def learns_statistics(self) -> bool:
        """Does this layer, or one inside it, keep running statistics (so that training returns a pair)?"""
        return any(isinstance(f, _Statistic) or _learns(getattr(f, "value", None)) for f in _fields(self))

    def __repr__(self) -> str:
        parts = [f"{f.name}{_said(f.value)}" for f in _fields(self) if f.value is not None]
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    value: Any


class _Statistic(_Field):
    pass


def _fields(layer: Any) -> Iterator[_Field]:
    for f in dataclasses.fields(layer):
        kind = _Statistic if f.metadata.get("statistic") else _Field
        yield kind(f.name, getattr(layer, f.name))


def _learns(x: Any) -> bool:
    if isinstance(x, Module):
        return x.learns_statistics
    return any(map(_learns, children(x)))


def children(x: Any) -> Sequence[Any]:
    """The elements of a list, tuple or dict; nothing for anything else."""
    if isinstance(x, list | tuple):
        return list(x)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return list(x.values()) if isinstance(x, dict) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _said(x: Any) -> str:
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f": {x.dtype}{list(x.shape)}"
    return f"={getattr(x, '__name__', None) or repr(x)}"


# --- making layers -----------------------------------------------------------------------------------------------------------


def fill(layer: Module, /, **fields: Any) -> None:
    """Set the fields of a frozen layer, in its ``__init__``."""
    for name, value in fields.items():
        object.__setattr__(layer, name, value)


def replaced(layer: T, /, **fields: Any) -> T:
    """A copy of a layer with other values in some fields."""
    new = copy.copy(layer)
    fill(new, **fields)
    return new


def keys(key: Any, n: int) -> Any:
    """`n` keys for the parts of a layer."""
    if key is None:
        raise TypeError("a layer with parameters needs a random key: key=cr.random.key(0)")
    return random.split(key, n)


def positive(**sizes: Any) -> None:
    """Raise unless every size is a whole number of at least 1."""
    for name, n in sizes.items():
        if not hasattr(n, "__index__") or isinstance(n, bool) or n.__index__() < 1:
            raise ValueError(f"{name} is a whole number of at least 1, not {n!r}")


def array(x: Any) -> Any:
    """Lists and numbers as arrays; arrays and traced values as they are."""
    return x if hasattr(x, "dtype") else np.asarray(x)


def last_axis(layer: Module, x: Any, n: int, ndim: int = 1) -> Any:
    """`x` as an array whose last axis has size `n`."""
    x = array(x)
    if np.ndim(x) < ndim or np.shape(x)[-1] != n:
        lead = "..., " if ndim == 1 else "..., length, "
        raise errors.ShapeError(f"{layer!r} needs an input of shape ({lead}{n}), and was given one of shape {np.shape(x)}.")
    return x


# --- layers inside layers ----------------------------------------------------------------------------------------------------


def folded(key: Any, k: int) -> Any:
    """The key of part number `k`, None where there is no key."""
    return None if key is None else random.fold_in(key, k)


def applied(layer: Module, x: Any, training: bool, key: Any, mask: Any = None) -> tuple[Any, Any]:
    """The output of a layer, and the layer afterwards."""
    out = layer(x, training=training, key=key, mask=mask)
    return out if training and layer.learns_statistics else (out, layer)


def returned(layer: Module, y: Any, training: bool, /, **parts: Any) -> Any:
    """What a container returns: its output, and in training a new self if a part of it learns statistics."""
    return (y, replaced(layer, **parts)) if training and layer.learns_statistics else y


# --- parameters and statistics -----------------------------------------------------------------------------------------------


def _statistics(x: Any) -> Iterator[Any]:
    """Everything inside a tree that sits in a field for statistics."""
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        for f in _fields(x):
            if isinstance(f, _Statistic):
                yield f.value
            else:
                yield from _statistics(f.value)
    for y in children(x):
        yield from _statistics(y)


def learned(tree: Any) -> list[bool]:
    """For each leaf of a tree: is it a parameter (True) or a running statistic (False)?

    Example:
        >>> from chainrule.nn import BatchNorm
        >>> learned(BatchNorm(3))
        [True, True, False, False]
    """
    leaves, spec = flatten(tree)
    measured = {k for x in _statistics(unflatten(spec, range(len(leaves)))) for k in flatten(x)[0]}
    return [k not in measured for k in range(len(leaves))]


def with_statistics(model: Any, measured: Any) -> Any:
    """The parameters of `model` with the running statistics of `measured`.

    A training step has two results: parameters moved by the optimiser, and the new statistics that the layers returned.  This
    puts both into one model.

    Args:
        model: a layer, or any container of layers.
        measured: the same containers.
    """
    mine, spec = flatten(model)
    theirs, other = flatten(measured)
    if spec != other:
        raise errors.TreeError(f"with_statistics: the two models differ in their layers: {model!r} and {measured!r}.")
    return unflatten(spec, [a if keep else b for a, b, keep in zip(mine, theirs, learned(model), strict=True)])


Activation = Callable[[Any], Any]
