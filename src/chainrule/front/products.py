"""dot, matmul, einsum and their relatives, as contractions."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.value import Value
from chainrule.front.operands import broadcast, broadcast_shape, implements, retyped, stacked, value
from chainrule.prims.linear import LETTERS, contract


def promoted(*xs: Any) -> list[Value]:
    """Operands as values of one dtype."""
    vs = [value(stacked(x)) for x in xs]
    dtype = np.result_type(*[v.weak(0) if v.weak else v.dtype for v in vs])
    return [retyped(v, dtype) for v in vs]


@implements(np.matmul)
def matmul(a: Any, b: Any) -> Value:
    """Matrix product over the last axis of a and the last but one of b; leading axes broadcast."""
    a, b = promoted(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise errors.ShapeError("matmul: a 0-d array has no axis to sum over; use *")
    left, right = ("j" if a.ndim == 1 else "ij"), ("j" if b.ndim == 1 else "jk")
    lead = broadcast_shape([a.shape[:-2], b.shape[:-2]])
    if lead:
        if a.ndim > 2:
            a = broadcast(a, (*lead, *a.shape[-2:]))
        if b.ndim > 2:
            b = broadcast(b, (*lead, *b.shape[-2:]))
    batch = LETTERS[26 : 26 + len(lead)]
    left = batch + left if a.ndim > 2 else left
    right = batch + right if b.ndim > 2 else right
    out = batch + left.replace("j", "")[len(batch) if a.ndim > 2 else 0 :] + right.replace("j", "")[len(batch) if b.ndim > 2 else 0 :]
    return contract(a, b, spec=f"{left},{right}->{out}")
