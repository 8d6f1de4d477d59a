"""Types: what is known about an array before it exists."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

DType: TypeAlias = "np.dtype[Any]"
Shape: TypeAlias = "tuple[int, ...]"

BOOL = np.dtype(np.bool_)
INT = np.dtype(np.int64)
F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)

_SHORT = {"bool": "bool", "float16": "f16", "float32": "f32", "float64": "f64", "complex64": "c64", "complex128": "c128"}


def short(dtype: DType) -> str:
    """``f64`` for float64, ``i32`` for int32, ``u8`` for uint8."""
    return _SHORT.get(dtype.name) or dtype.name.replace("uint", "u").replace("int", "i")


class ArrayType(NamedTuple):
    """A dtype and a shape; prints as ``f64[3,4]``."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for k in self.shape:
            n *= k
        return n

    @property
    def inexact(self) -> bool:
        """Is it a number a derivative can be taken of (floating or complex)?"""
        return self.dtype.kind in "fc"

    def __str__(self) -> str:
        return f"{short(self.dtype)}[{','.join(map(str, self.shape))}]"


def type_of(x: Any) -> ArrayType:
    """The type of a NumPy array or scalar."""
    return ArrayType(x.dtype, x.shape)
