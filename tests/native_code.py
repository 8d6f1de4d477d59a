"""What the tests of the native engine share: kernels from specifications to calls on arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.emit.native import builder, module
from chainrule.emit.native.loops import Kernel, Operand, Stage, Step, emit
from chainrule.emit.native.target import Target, host

NAMES = {np.dtype(n): n for n in ("float64", "float32", "int64", "int32", "bool")}


def kernel_ir(kernels: dict[str, Kernel], target: Target | None = None, write: Callable[..., None] = emit) -> str:
    """A module with one function per kernel, each taking the addresses of its operands in order."""
    m = builder.Module((target or host()).triple)
    for name, kernel in kernels.items():
        f = m.function(name, [(f"p{k}", builder.PTR) for k in range(len(kernel.operands))])
        write(f, kernel, dict(zip(kernel.operands, f.params, strict=True)))
    return m.text()


def load(ir: str, names: list[str], target: Target | None = None) -> module.Code:
    return module.load_object(module.compile_object(ir, target), names)


def run(kernel: Kernel, arrays: dict[str, np.ndarray], target: Target | None = None, write: Callable[..., None] = emit) -> None:
    """Compile a kernel and call it on arrays, which must be what the operands say."""
    code = load(kernel_ir({"k": kernel}, target, write), ["k"], target)
    ordered = [arrays[name] for name in kernel.operands]
    for name, a in arrays.items():
        assert NAMES[a.dtype] == kernel.operands[name].dtype
        assert a.size >= kernel.operands[name].size
    code.function("k", *[ctypes.c_void_p] * len(ordered))(*(a.ctypes.data for a in ordered))


def elementwise(op: str, n: int, dtype: Any, arity: int = 1, out: str | None = None) -> Kernel:
    """`y = op(x0, ...)` on flat arrays."""
    name = NAMES[np.dtype(dtype)]
    inputs = tuple(f"x{k}" for k in range(arity))
    operands = {i: Operand(name, (1,), n) for i in inputs} | {"y": Operand(out or name, (1,), n)}
    return Kernel((n,), operands, (Stage((Step("v", op, inputs),), (("v", "y"),)),))


class Functions:
    """Vector functions as functions of arrays of any length, for one dtype; compiled together."""

    CHUNK = 1024

    def __init__(self, ops: list[str], dtype: Any, arity: int = 1, target: Target | None = None):
        self.dtype, self.arity = np.dtype(dtype), arity
        self.code = load(kernel_ir({op: elementwise(op, self.CHUNK, dtype, arity) for op in ops}, target), ops, target)

    def __call__(self, op: str, *xs: Any) -> np.ndarray:
        xs = tuple(np.asarray(x, self.dtype).ravel() for x in np.broadcast_arrays(*xs))
        n = xs[0].size
        padded = [np.resize(x, -(-n // self.CHUNK) * self.CHUNK) for x in xs]
        out = np.empty_like(padded[0])
        f = self.code.function(op, *[ctypes.c_void_p] * (self.arity + 1))
        for k in range(0, out.size, self.CHUNK):
            f(*(x[k:].ctypes.data for x in padded), out[k:].ctypes.data)
        return out[:n]
