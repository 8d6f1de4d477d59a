"""Targets, object code and what happens where native code cannot run."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from chainrule.emit.native import module
from chainrule.emit.native.builder import F64, I32, I64, PTR, Module, Val
from chainrule.emit.native.call_code import call_ir
from chainrule.emit.native.pool_code import pool_ir
from chainrule.emit.native.target import Target, host, named


def test_tiles_fit_the_registers():
    """Block, one row of B and one element of A at once."""
    for target in (host(), *map(named, ("avx512", "avx2", "plain", "aarch64"))):
        for bits in (32, 64):
            rows, columns = target.tile(bits)
            vectors = columns // target.lanes(bits)
            assert rows * vectors + vectors + 1 <= target.registers


def test_names_of_targets():
    assert [named(n).vector_bytes for n in ("avx512", "avx2", "plain", "aarch64")] == [64, 32, 16, 16]
    assert not named("plain").has_fma
    with pytest.raises(ValueError, match="no such target: z80"):
        named("z80")


def test_wide_vectors_stay_wide_where_there_are_registers_for_them():
    m = Module(named("avx512").triple)
    f = m.function("k", [("p", PTR)])
    v = f.load(f.params[0], F64.of(8))
    f.store(v + v, f.params[0])
    assert "zmm" in module.assembly(m.text(), named("avx512"))
    assert "zmm" not in module.assembly(m.text(), named("avx2"))


def test_code_reaches_the_process_and_its_own_constants():
    m = Module(host().triple)
    f = m.function("k", [("p", PTR), ("n", I64)], F64)
    f.call("memset", PTR, f.params[0], f.const(7, I32), f.params[1])
    table = Val(f, m.table("t", [1.5, 2.5], F64), PTR)
    f.return_(f.load(f.offset(table, 1, F64), F64))
    room = ctypes.create_string_buffer(4)
    code = module.load_object(module.compile_object(m.text()), ["k"])
    assert code.function("k", ctypes.c_void_p, ctypes.c_int64, restype=ctypes.c_double)(room, 3) == 2.5
    assert room.raw == b"\7\7\7\0"


@pytest.mark.parametrize("kind", ["futex", "ulock", "address", "nap"])
@pytest.mark.parametrize("name", ["aarch64", "avx2"])
def test_the_pool_and_the_calls_compile_for_other_systems(kind: str, name: str):
    target = named(name)
    assert module.compile_object(pool_ir(kind, target), target)
    assert module.compile_object(call_ir(16, target), target)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_can_compile_while_the_parent_does():
    """Forked in the middle of a compilation of another thread."""
    text = """
import os, threading, time, warnings
from chainrule.emit.native import module
from chainrule.emit.native.builder import I64, Module
from chainrule.emit.native.target import host
warnings.simplefilter("ignore")
def ir(n):
    m = Module(host().triple)
    f = m.function("k", [("x", I64)], I64)
    v = f.params[0]
    for k in range(n):
        v = v * 3 + k
    f.return_(v)
    return m.text()
big = ir(20_000)
module.compile_object(ir(1))
threading.Thread(target=module.compile_object, args=(big,)).start()
time.sleep(0.01)
child = os.fork()
if child == 0:
    module.compile_object(ir(2))
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout == "0\n"


def test_missing_symbols_are_errors():
    m = Module(host().triple)
    m.function("k", []).call("no_such_function_anywhere", None)
    with pytest.raises(RuntimeError, match="materialize symbols"):
        module.load_object(module.compile_object(m.text()), ["k"])


def test_a_machine_without_what_is_needed_says_so(monkeypatch: pytest.MonkeyPatch):
    ask = module.reason.__wrapped__
    assert ask() is None or not host().has_fma
    monkeypatch.setattr(module, "host", lambda: named("plain"))
    assert ask() == "x86-64 has no fused multiply-add"
    strange: Target = replace(named("avx2"), triple="riscv64-unknown-linux-gnu")
    monkeypatch.setattr(module, "host", lambda: strange)
    assert ask() == "native code is not made for riscv64-unknown-linux-gnu"


def test_without_llvmlite_there_is_a_reason_and_no_crash():
    text = (
        "import sys; sys.modules['llvmlite'] = None\n"
        "from chainrule.emit.native import module; print(module.reason().startswith('llvmlite cannot be loaded'))"
    )
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "True\n"
