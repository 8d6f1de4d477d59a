"""The handle a traced function runs on: it looks like an array and writes equations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import errors
from chainrule.ir.graph import Array, Atom, Lit
from chainrule.ir.types import ArrayType, DType

if TYPE_CHECKING:
    from chainrule.build.builder import Builder

UFUNCS: dict[Any, Callable[..., Any]] = {}
"""NumPy and SciPy ufunc -> what it means for traced values; filled by `chainrule.front`."""
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""NumPy function -> what it means for traced values; filled by `chainrule.front`."""
METHODS: dict[str, Callable[..., Any]] = {}
"""Name of an ndarray method -> what it means for traced values; filled by `chainrule.front`."""


def _call(name: Any, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call what a function means here; an argument that this lacks is an error that says so."""
    try:
        return handler(*args, **kwargs)
    except TypeError:
        accepted = signature(handler).parameters
        unknown = [k for k in kwargs if k not in accepted]
        if not unknown or any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            raise
        raise errors.UnsupportedArgumentError.about(name, unknown, accepted) from None


class Value:
    """A handle on one value of a graph under construction.

    `data` is the value itself when the function is traced with values; it may be smaller than the type where NumPy's
    broadcasting will do the rest (`full` never is).
    """

    __slots__ = ("atom", "builder", "data")
    __array_priority__ = 1000.0
    __hash__ = object.__hash__

    def __init__(self, builder: Builder, atom: Atom, data: Array | None) -> None:
        self.builder = builder
        self.atom = atom
        self.data = data

    # --- what an array tells about itself -----------------------------------------------------------------------

    @property
    def type(self) -> ArrayType:
        """dtype and shape."""
        return self.atom.type

    @property
    def weak(self) -> type | None:
        """The Python type of a number passed in as such: it takes the dtype that it meets."""
        return getattr(self.atom, "weak", None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.atom.type.shape

    @property
    def dtype(self) -> DType:
        """NumPy dtype."""
        return self.atom.type.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.atom.type.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.atom.type.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def full(self) -> Array:
        """The value, at its full shape (tracing with values only)."""
        assert self.data is not None
        return self.data if self.data.shape == self.shape else np.broadcast_to(self.data, self.shape)

    @property
    def T(self) -> Value:
        """Transpose."""
        return FUNCTIONS[np.transpose](self)

    @property
    def mT(self) -> Value:
        """Transpose of the last two axes."""
        return FUNCTIONS[np.swapaxes](self, -1, -2)

    @property
    def real(self) -> Value:
        """Real part."""
        return FUNCTIONS[np.real](self)

    @property
    def imag(self) -> Value:
        """Imaginary part."""
        return FUNCTIONS[np.imag](self)

    @property
    def flat(self) -> Value:
        """All elements in order."""
        return FUNCTIONS[np.ravel](self)

    # --- NumPy's protocols ----------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return METHODS["ufunc." + method](ufunc, *inputs, **kwargs) if "ufunc." + method in METHODS else NotImplemented
        handler = UFUNCS.get(ufunc)
        if handler is None:
            raise errors.UnknownFunctionError.about(ufunc, UFUNCS, FUNCTIONS)
        return handler(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        handler = FUNCTIONS.get(func)
        if handler is None:
            raise errors.UnknownFunctionError.about(func, UFUNCS, FUNCTIONS)
        return _call(func, handler, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.type.inexact and not isinstance(self.atom, Lit):
            raise errors.ConversionError.about(self, "np.asarray")
        return np.array(self._leave("np.asarray"), dtype)

    def __getattr__(self, name: str) -> Any:
        method = METHODS.get(name)
        if method is None:
            if name.startswith("__"):
                raise AttributeError(name)  # other libraries ask for their protocols
            raise errors.UnknownMethodError.about(name, [*METHODS, *vars(Value)])
        return lambda *args, **kwargs: _call(f"x.{name}", method, (self, *args), kwargs)

    # --- Python's operators -----------------------------------------------------------------------------------------

    def __add__(self, o: Any) -> Value:
        return UFUNCS[np.add](self, o)

    def __radd__(self, o: Any) -> Value:
        return UFUNCS[np.add](o, self)

    def __sub__(self, o: Any) -> Value:
        return UFUNCS[np.subtract](self, o)

    def __rsub__(self, o: Any) -> Value:
        return UFUNCS[np.subtract](o, self)

    def __mul__(self, o: Any) -> Value:
        return UFUNCS[np.multiply](self, o)

    def __rmul__(self, o: Any) -> Value:
        return UFUNCS[np.multiply](o, self)

    def __truediv__(self, o: Any) -> Value:
        return UFUNCS[np.divide](self, o)

    def __rtruediv__(self, o: Any) -> Value:
        return UFUNCS[np.divide](o, self)

    def __floordiv__(self, o: Any) -> Value:
        return UFUNCS[np.floor_divide](self, o)

    def __rfloordiv__(self, o: Any) -> Value:
        return UFUNCS[np.floor_divide](o, self)

    def __mod__(self, o: Any) -> Value:
        return UFUNCS[np.remainder](self, o)

    def __rmod__(self, o: Any) -> Value:
        return UFUNCS[np.remainder](o, self)

    def __divmod__(self, o: Any) -> tuple[Value, Value]:
        return self // o, self % o

    def __pow__(self, o: Any) -> Value:
        return UFUNCS[np.power](self, o)

    def __rpow__(self, o: Any) -> Value:
        return UFUNCS[np.power](o, self)

    def __matmul__(self, o: Any) -> Value:
        return UFUNCS[np.matmul](self, o)

    def __rmatmul__(self, o: Any) -> Value:
        return UFUNCS[np.matmul](o, self)

    def __neg__(self) -> Value:
        return UFUNCS[np.negative](self)

    def __pos__(self) -> Value:
        return UFUNCS[np.positive](self)

    def __abs__(self) -> Value:
        return UFUNCS[np.absolute](self)

    def __round__(self, digits: int | None = None) -> Value:
        return FUNCTIONS[np.round](self, digits or 0)

    def __invert__(self) -> Value:
        return UFUNCS[np.invert](self)

    def __and__(self, o: Any) -> Value:
        return UFUNCS[np.bitwise_and](self, o)

    __rand__ = __and__

    def __or__(self, o: Any) -> Value:
        return UFUNCS[np.bitwise_or](self, o)

    __ror__ = __or__

    def __xor__(self, o: Any) -> Value:
        return UFUNCS[np.bitwise_xor](self, o)

    __rxor__ = __xor__

    def __lshift__(self, o: Any) -> Value:
        return UFUNCS[np.left_shift](self, o)

    def __rlshift__(self, o: Any) -> Value:
        return UFUNCS[np.left_shift](o, self)

    def __rshift__(self, o: Any) -> Value:
        return UFUNCS[np.right_shift](self, o)

    def __rrshift__(self, o: Any) -> Value:
        return UFUNCS[np.right_shift](o, self)

    def __eq__(self, o: Any) -> Any:
        return UFUNCS[np.equal](self, o)

    def __ne__(self, o: Any) -> Any:
        return UFUNCS[np.not_equal](self, o)

    def __lt__(self, o: Any) -> Any:
        return UFUNCS[np.less](self, o)

    def __le__(self, o: Any) -> Any:
        return UFUNCS[np.less_equal](self, o)

    def __gt__(self, o: Any) -> Any:
        return UFUNCS[np.greater](self, o)

    def __ge__(self, o: Any) -> Any:
        return UFUNCS[np.greater_equal](self, o)

    # --- containers ---------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Value:
        return METHODS["__getitem__"](self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise errors.InPlaceError.about(self, key, value)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Value]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(self.shape[0]))

    def __contains__(self, x: Any) -> bool:
        return bool(FUNCTIONS[np.any](self == x))

    # --- leaving the graph: only where no derivative is lost ------------------------------------------------------------

    def _leave(self, how: str) -> Array:
        if self.data is None:
            raise errors.ValueNeededError.about(self, how)
        if self.type.inexact and not isinstance(self.atom, Lit):
            raise errors.ConversionError.about(self, how)
        return self.full

    def __bool__(self) -> bool:
        if self.data is None:
            raise errors.ValueNeededError.about(self, "bool")
        return bool(self.full)

    def __float__(self) -> float:
        return float(self._leave("float"))

    def __int__(self) -> int:
        return int(self._leave("int"))

    def __complex__(self) -> complex:
        return complex(self._leave("complex"))

    def __index__(self) -> int:
        return self._leave("index").__index__()

    def item(self, *args: int) -> Any:
        """The element as a Python number (for integers and booleans; a float would lose its derivative)."""
        return self._leave("item").item(*args)

    def tolist(self) -> Any:
        """Nested lists of Python numbers (for integers and booleans; floats would lose their derivative)."""
        return self._leave("tolist").tolist()

    def __repr__(self) -> str:
        return f"<{self.type}>" if self.data is None else f"{self.full!r}"

    def __str__(self) -> str:
        return repr(self) if self.data is None else str(self.full)

    def __format__(self, spec: str) -> str:
        return repr(self) if self.data is None else format(self.full if self.shape else self.full[()], spec)

    def __copy__(self) -> Value:
        return self

    def __deepcopy__(self, memo: Any) -> Value:
        return self

    def __reduce__(self) -> Any:
        raise errors.ConversionError.about(self, "pickle")
