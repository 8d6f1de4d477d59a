"""Every error chainrule raises on purpose."""

from __future__ import annotations

from typing import Any


class ChainruleError(Exception):
    """Base of every error chainrule raises on purpose."""


class ShapeError(ChainruleError, ValueError):
    """Shapes disagree."""


class DtypeError(ChainruleError, TypeError):
    """An operation has no meaning for this dtype."""


class UnknownFunctionError(ChainruleError, TypeError):
    """A NumPy or SciPy function that chainrule does not trace."""

    @classmethod
    def about(cls, func: Any) -> UnknownFunctionError:
        return cls(f"{getattr(func, '__name__', func)} cannot be traced")


class UnknownMethodError(ChainruleError, AttributeError):
    """An ndarray method or attribute that traced values lack."""

    @classmethod
    def about(cls, name: str) -> UnknownMethodError:
        return cls(f"traced values have no attribute {name!r}")


class ConversionError(ChainruleError, TypeError):
    """A conversion that would cut the derivative silently."""

    @classmethod
    def about(cls, value: Any, how: str) -> ConversionError:
        return cls(f"{how} would cut the derivative; use cr.stop_gradient")


class ValueNeededError(ChainruleError, TypeError):
    """A value is needed where only its type is known."""

    @classmethod
    def about(cls, value: Any, how: str) -> ValueNeededError:
        return cls(f"{how} needs a value, but only its type {value.type} is known here; use np.where or cr.cond")


class InPlaceError(ChainruleError, TypeError):
    """Assignment into a traced array."""

    @classmethod
    def about(cls, value: Any, key: Any) -> InPlaceError:
        return cls("traced arrays cannot be assigned to; use np.where or np.concatenate")


class EscapedValueError(ChainruleError, RuntimeError):
    """A traced value was used after its function had returned."""

    @classmethod
    def about(cls, value: Any) -> EscapedValueError:
        return cls("a traced value was used outside its function")

    @classmethod
    def outside(cls) -> EscapedValueError:
        return cls("a traced value was used while no function is being traced")


class NonScalarError(ChainruleError, TypeError):
    """The gradient of something that is not one number."""


class IntegerArgumentError(ChainruleError, TypeError):
    """A derivative with respect to integers."""


class NotDifferentiableError(ChainruleError, TypeError):
    """There is no derivative here, or none is known."""


class TreeError(ChainruleError, ValueError):
    """Nested arguments of the wrong structure."""


class NonFiniteError(ChainruleError, FloatingPointError):
    """NaN or infinity found."""
