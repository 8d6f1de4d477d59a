"""Programs as Python callables: the fast path in machine code, and what it falls back on.

A program is a kernel `i64 kernel(ptr arrays, ptr context)`: the addresses of its inputs and outputs in order, and a context
of addresses (the arena, the pool, external functions). It returns 0, or 1 if it was interrupted.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import cache, call_code
from .call_code import API, CONTIGUOUS_ALIGNED, HEADER, RECORD, WRITEABLE, Layout
from .module import Code, Unsupported
from .pool import Pool

__all__ = ["ARENA", "EXTERNAL", "POOL_POLL", "POOL_RUN", "POOL_STATE", "Array", "Program", "aligned"]

# Words of a context.
ARENA, POOL_STATE, POOL_RUN, POOL_POLL, EXTERNAL = range(5)

_FASTCALL_KEYWORDS = 0x82
_VOID = ctypes.c_void_p


@dataclass(frozen=True)
class Array:
    """An input or output: dtype, shape, and for an output the input whose memory it takes over (or None)."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    alias: int | None = None

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def aligned(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """`size` bytes, and at least 64, that start at a multiple of 64."""
    size = max(size, 64)
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size]


class _MethodDef(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("function", _VOID), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


class _Table(np.ndarray[Any, np.dtype[np.int64]]):
    """The words that the fast path reads; as `self` of the callable it keeps alive all that they point to."""

    keep: tuple[Any, ...]


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


@functools.cache
def head() -> int:
    """Bytes of the head of every Python object, once the layout of arrays has been found to be the one expected.

    Raises:
        Unsupported: this Python or NumPy lays its arrays out in another way (as free-threaded builds do).
    """
    size, sample = object.__basicsize__, np.zeros((2, 3))
    at, start = Layout(size), id(sample)
    seen = [_word(start + 8), _word(start + at.data), _word(start + at.dtype), _word(_word(start + at.dims) + 8)]
    half = [ctypes.c_int32.from_address(start + offset).value for offset in (at.ndim, at.flags)]
    expected = [id(np.ndarray), sample.ctypes.data, id(np.dtype(np.float64)), 3]
    wanted = CONTIGUOUS_ALIGNED | WRITEABLE
    if size != 16 or seen != expected or half[0] != 2 or half[1] & wanted != wanted or float.__basicsize__ != 24:
        raise Unsupported("arrays are laid out in an unknown way")
    return size


def _capsule(obj: Any, name: bytes | None) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = _VOID, [ctypes.py_object, ctypes.c_char_p]
    return get(obj, name)


@functools.cache
def _api() -> list[int]:
    """Addresses of the functions of Python and NumPy, in the order of `API`."""
    # The capsule that NumPy's own C header imports; NumPy has no public name for it.
    array_api = _capsule(importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    if _word(array_api + 8 * 2) != id(np.ndarray):
        raise Unsupported("NumPy's table of functions is not where it was")
    numpy_functions = {"PyArray_New": _word(array_api + 8 * 93), "PyArray_Return": _word(array_api + 8 * 76)}
    return [numpy_functions.get(n) or ctypes.cast(getattr(ctypes.pythonapi, n), _VOID).value or 0 for n in API]


@functools.cache
def _code() -> Code:
    code, _ = cache.build(cache.key(call_code.call_ir(head())), lambda: call_code.call_ir(head()), ["call", "invoke"])
    return code


def _write_records(words: list[int], arrays: Sequence[Array], written: set[int]) -> list[int]:
    dims = HEADER + RECORD * len(arrays)
    for k, a in enumerate(arrays):
        flags = CONTIGUOUS_ALIGNED | (WRITEABLE if k in written else 0)
        alias = -1 if a.alias is None else a.alias
        words += [id(a.dtype), a.dtype.num, len(a.shape), dims, flags, a.bytes, alias]
        dims += len(a.shape)
    for a in arrays:
        words += a.shape
    return words


@dataclass
class Program:
    """A loaded kernel with all that it needs to run.

    Args:
        code: the machine code.
        kernel: the name of the kernel in it.
        inputs, outputs: what the kernel takes and makes; dtypes are NumPy's own, in native byte order.
        arena: bytes of scratch memory, 64-byte aligned.
        pool: the threads that the kernel may use.
        external: addresses of further functions, for the words of the context from `EXTERNAL` on.
        release_gil: whether the kernel takes long enough (some microseconds) to let other threads run meanwhile.
    """

    code: Code
    kernel: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    arena: int = 0
    pool: Pool | None = None
    external: tuple[int, ...] = ()
    release_gil: bool = False
    _table: _Table = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check()
        context, scratch = self._context()
        words = [self.code.addresses[self.kernel], context.ctypes.data, len(self.inputs), len(self.outputs)]
        words += [int(self.release_gil), 0, 0, id(np.ndarray), id(float), *_api()]
        written = {a.alias for a in self.outputs if a.alias is not None}
        words = _write_records(words, (*self.inputs, *self.outputs), written)
        self._table = np.array(words, np.int64).view(_Table)
        self._table.keep = (self.code, _code(), self.pool, context, scratch, self.inputs, self.outputs)
        self._invoke = ctypes.PYFUNCTYPE(ctypes.c_int64, _VOID, _VOID, _VOID)(_code().addresses["invoke"])

    def _check(self) -> None:
        if not self.outputs:
            raise ValueError("a program has an output")
        for a in (*self.inputs, *self.outputs):
            if a.dtype is not np.dtype(a.dtype.type) or not a.dtype.isbuiltin:
                raise ValueError(f"{a.dtype} is no built-in dtype in native byte order")
        taken = [a.alias for a in self.outputs if a.alias is not None]
        for k, a in ((k, self.outputs[j]) for j, k in enumerate(o.alias for o in self.outputs) if k is not None):
            if not 0 <= k < len(self.inputs) or (a.dtype, a.shape) != (self.inputs[k].dtype, self.inputs[k].shape):
                raise ValueError(f"an output cannot take over input {k}")
        if len(set(taken)) < len(taken):
            raise ValueError("two outputs take over one input")

    def _context(self) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.uint8]]]:
        """A context with an arena of its own."""
        scratch = aligned(self.arena)
        pool = (self.pool.state, self.pool.run_address, self.pool.poll_address) if self.pool else (0, 0, 0)
        return np.array([scratch.ctypes.data, *pool, *self.external], np.int64), scratch

    def callable(self, name: str, slow: Callable[..., Any]) -> Callable[..., Any]:
        """The function of Python that runs the program.

        Args:
            name: what it is called.
            slow: called with the arguments as they came if there are keywords, if some argument is not a C-contiguous
                array of the dtype and shape expected (a float serves as a float64 without dimensions), if memory that is
                written is shared with another argument, or if the program is running in another thread.
        """
        table = self._table.copy().view(_Table)
        definition = _MethodDef(name.encode(), _code().addresses["call"], _FASTCALL_KEYWORDS, None)
        table[call_code.SLOW] = id(slow)
        table.keep = (*self._table.keep, slow, definition)
        # A busy flag of its own would let two callables use one arena at once.
        context, scratch = self._context()
        table[call_code.CONTEXT] = context.ctypes.data
        table.keep = (*table.keep, context, scratch)
        new = ctypes.pythonapi.PyCMethod_New
        new.restype, new.argtypes = ctypes.py_object, [_VOID, ctypes.py_object, _VOID, _VOID]
        return new(ctypes.addressof(definition), table, None, None)

    def run(self, *args: Any) -> list[np.ndarray[Any, Any]]:
        """Run on any arrays of the right dtype and shape: copied where they are not contiguous, in an arena of its own.

        An input whose memory an output takes over is not written: its copy is.

        Raises:
            TypeError: an argument has another dtype or shape, or there are more or fewer of them.
            KeyboardInterrupt: the kernel was interrupted.
        """
        if len(args) != len(self.inputs):
            raise TypeError(f"the program takes {len(self.inputs)} arrays, not {len(args)}")
        arrays = [self._input(k, a) for k, a in enumerate(args)]
        taken = {o.alias: o for o in self.outputs if o.alias is not None}
        arrays = [a.copy() if k in taken else a for k, a in enumerate(arrays)]
        made = [np.empty(o.shape, o.dtype) if o.alias is None else arrays[o.alias] for o in self.outputs]
        addresses = np.array([a.ctypes.data for a in (*arrays, *made)], np.int64)
        context, scratch = self._context()
        self._invoke(self._table.ctypes.data, addresses.ctypes.data, context.ctypes.data)
        del scratch  # the arena lives until here
        return made

    def _input(self, k: int, value: Any) -> np.ndarray[Any, Any]:
        a, spec = np.asarray(value), self.inputs[k]
        if a.dtype != spec.dtype or a.shape != spec.shape:
            raise TypeError(f"array {k} is {a.dtype}{list(a.shape)}, not {spec.dtype}{list(spec.shape)}")
        return np.require(a, spec.dtype, ["C", "A"]).reshape(spec.shape)
