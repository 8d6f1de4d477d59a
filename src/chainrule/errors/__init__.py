"""Every error chainrule raises on purpose.

The docstring of each class is its page: what it means, an example that fails, and one that works.
"""

from __future__ import annotations

from chainrule.errors.base import ChainruleError, locate_by
from chainrule.errors.derivatives import IntegerArgumentError, NonFiniteError, NonScalarError, NotDifferentiableError
from chainrule.errors.formulas import FormulaError, NoFormulaError
from chainrule.errors.frames import boundary
from chainrule.errors.functions import UnknownFunctionError, UnknownMethodError, UnsupportedArgumentError
from chainrule.errors.training import CheckpointError, DistributedError, DivergedError
from chainrule.errors.types import AxisError, DtypeError, ShapeError, TreeError
from chainrule.errors.values import ConversionError, EscapedValueError, InPlaceError, ValueNeededError

CLASSES: tuple[type[ChainruleError], ...] = (
    ChainruleError,
    UnknownFunctionError,
    UnknownMethodError,
    UnsupportedArgumentError,
    ValueNeededError,
    ConversionError,
    InPlaceError,
    EscapedValueError,
    DtypeError,
    AxisError,
    ShapeError,
    TreeError,
    NonScalarError,
    IntegerArgumentError,
    NotDifferentiableError,
    NonFiniteError,
    DivergedError,
    CheckpointError,
    DistributedError,
    FormulaError,
    NoFormulaError,
)
for _class in CLASSES:  # the name people import it by, in tracebacks too
    _class.__module__ = __name__

__all__ = [*[c.__name__ for c in CLASSES], "CLASSES", "boundary", "locate_by"]  # pyright: ignore[reportUnsupportedDunderAll]
