"""From the text of a module to code that runs: parse, verify, generate, load.

No pass pipeline runs. The generator writes vectors, unrolls and fuses itself; LLVM only selects instructions, schedules
them and allocates registers, which halves the time to compile and loses nothing on vector code.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

from .target import Target, host

__all__ = ["Code", "Unsupported", "assembly", "compile_object", "load_object", "reason", "versions"]

CODEGEN_LEVEL = 2
_names = itertools.count()
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit a compilation under way in a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Unsupported(RuntimeError):
    """This machine or this installation cannot run native code; the message says why."""


@functools.cache
def _llvm() -> Any:
    try:
        from llvmlite import binding as llvm  # pyright: ignore[reportMissingTypeStubs]
    except Exception as error:  # a missing or broken shared library is an OSError
        raise Unsupported(f"llvmlite cannot be loaded: {error}") from error
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def reason() -> str | None:
    """Why native code cannot run here, or None if it can."""
    try:
        _llvm()
        target = host()
    except Unsupported as error:
        return str(error)
    if sys.maxsize < 2**32:
        return "native code needs 64 bits"
    if not target.triple.startswith(("x86_64", "amd64", "aarch64", "arm64")):
        return f"native code is not made for {target.triple}"
    return None if target.has_fma else f"{target.cpu} has no fused multiply-add"


def versions() -> str:
    """The versions that object code depends on."""
    import llvmlite  # pyright: ignore[reportMissingTypeStubs]

    return f"llvmlite {llvmlite.__version__} llvm {'.'.join(map(str, _llvm().llvm_version_info))} O{CODEGEN_LEVEL}"


@functools.cache
def _machine(target: Target) -> Any:
    llvm = _llvm()
    if target.triple != host().triple:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=CODEGEN_LEVEL, reloc="pic", codemodel="small"
    )


def _parse(ir: str) -> Any:
    module = _llvm().parse_assembly(ir)
    module.verify()
    return module


def compile_object(ir: str, target: Target | None = None) -> bytes:
    """Object code of a module.

    Args:
        ir: LLVM assembly. It is verified: a mistake in it raises RuntimeError here, before anything runs.
        target: the processor to generate for; the one we run on if absent.
    """
    with _lock:
        return _machine(target or host()).emit_object(_parse(ir))


def assembly(ir: str, target: Target | None = None) -> str:
    """The machine code as text, to read."""
    with _lock:
        return _machine(target or host()).emit_assembly(_parse(ir))


@functools.cache
def _jit() -> Any:
    # JITLink lays all sections of an object side by side.  The older linker asks for memory section by section: in a process
    # whose address space is full of holes they can lie more than 2 GiB apart, which 32-bit offsets do not reach, and it aborts.
    return _llvm().create_lljit_compiler(use_jit_link=True)


class Code:
    """Loaded machine code: addresses of its functions, valid while this object lives."""

    def __init__(self, tracker: Any, names: Sequence[str]):
        self._tracker = tracker
        self.addresses: dict[str, int] = {name: tracker[name] for name in names}

    def function(self, name: str, *argtypes: Any, restype: Any = None) -> Any:
        """A ctypes function that keeps this code alive. Calls through it release the GIL."""
        pointer: Any = ctypes.CFUNCTYPE(restype, *argtypes)(self.addresses[name])
        pointer.code = self
        return pointer


def load_object(image: bytes, exports: Sequence[str]) -> Code:
    """Load object code into this process.

    Args:
        image: what `compile_object` returned for this machine.
        exports: the functions whose addresses are wanted.
    """
    with _lock:
        llvm = _llvm()
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for name in exports:
            builder.export_symbol(name)
        return Code(builder.link(_jit(), f"chainrule{next(_names)}"), exports)
