"""Objects on disk: found again, never run when damaged or foreign, bounded, safe with other processes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chainrule.emit.native import cache as cache_module
from chainrule.emit.native import module
from chainrule.emit.native.builder import I64, Module
from chainrule.emit.native.cache import Cache, build, default, key
from chainrule.emit.native.target import host, named


def constant_ir(value: int) -> str:
    m = Module(host().triple)
    f = m.function("k", [], I64)
    f.return_(f.i64(value))
    return m.text()


def value(code: module.Code) -> int:
    return code.function("k", restype=ctypes.c_int64)()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "objects")


def test_what_is_stored_is_found(cache: Cache):
    ir = constant_ir(41)
    first, hit = build(key(ir), lambda: ir, ["k"], cache)
    assert (value(first), hit) == (41, False)
    second, hit = build(key(ir), lambda: pytest.fail("made again"), ["k"], cache)
    assert (value(second), hit) == (41, True)
    assert cache.info().entries == 1


def test_the_key_depends_on_program_machine_and_versions(monkeypatch: pytest.MonkeyPatch):
    keys = {key(constant_ir(1)), key(constant_ir(2)), key(constant_ir(1), named("avx2")), key(constant_ir(1), named("aarch64"))}
    monkeypatch.setattr(module, "versions", lambda: "others")
    keys.add(key(constant_ir(1)))
    assert len(keys) == 5


def damaged(data: bytes) -> dict[str, bytes]:
    half = len(data) // 2
    return {
        "empty": b"",
        "cut": data[:-1],
        "longer": data + b"x",
        "one bit": data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
        "no header": data.partition(b"\n")[2],
        "garbage": os.urandom(len(data)),
    }


@pytest.mark.parametrize("how", damaged(b"ab\ncd"))
def test_a_damaged_entry_is_made_again(cache: Cache, how: str):
    ir = constant_ir(7)
    build(key(ir), lambda: ir, ["k"], cache)
    (file,) = cache.path.glob("*.obj")
    file.write_bytes(damaged(file.read_bytes())[how])
    code, hit = build(key(ir), lambda: ir, ["k"], cache)
    assert (value(code), hit) == (7, False)
    code, hit = build(key(ir), lambda: pytest.fail("made again"), ["k"], cache)
    assert (value(code), hit) == (7, True)


def test_an_entry_under_a_wrong_name_is_not_run(cache: Cache):
    a, b = constant_ir(1), constant_ir(2)
    build(key(a), lambda: a, ["k"], cache)
    (cache.path / f"{key(a)}.obj").rename(cache.path / f"{key(b)}.obj")
    code, hit = build(key(b), lambda: b, ["k"], cache)
    assert (value(code), hit) == (2, False)


def test_a_whole_entry_that_is_no_object_is_made_again(cache: Cache):
    ir = constant_ir(3)
    cache.put(key(ir), b"not an object")
    code, hit = build(key(ir), lambda: ir, ["k"], cache)
    assert (value(code), hit) == (3, False)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_directory_that_others_can_write_is_not_trusted(cache: Cache):
    ir = constant_ir(4)
    build(key(ir), lambda: ir, ["k"], cache)
    cache.path.chmod(0o777)
    assert cache.get(key(ir)) is None
    cache.path.chmod(0o700)
    assert cache.get(key(ir)) is not None


def test_the_least_recently_used_goes_first(tmp_path: Path):
    cache = Cache(tmp_path, limit=3500)
    for k, name in enumerate("abc"):
        cache.put(name, bytes(1000))
        os.utime(tmp_path / f"{name}.obj", (k, k))
    assert cache.get("a") is not None  # now the youngest
    cache.put("d", bytes(1000))
    assert [n for n in "abcd" if cache.get(n) is not None] == ["a", "c", "d"]
    assert cache.info().bytes <= 3500


def test_clear_and_info(cache: Cache):
    assert cache.info().entries == cache.clear() == 0
    cache.put("a", b"1")
    cache.put("b", b"2")
    assert cache.info().entries == 2
    assert cache.clear() == 2
    assert cache.get("a") is None


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    ir = constant_ir(5)
    code, hit = build(key(ir), lambda: ir, ["k"], Cache(tmp_path / "file" / "objects"))
    assert (value(code), hit) == (5, False)


def test_writers_and_readers_at_once(cache: Cache):
    """Nobody sees half an entry."""
    image, seen = os.urandom(20_000), []

    def work() -> None:
        for _ in range(100):
            cache.put("x", image)
            seen.append(cache.get("x"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(found == image for found in seen)
    assert [p.name for p in cache.path.iterdir()] == ["x.obj"]


def test_another_process_finds_it(cache: Cache):
    text = (
        "import sys, ctypes; from chainrule.emit.native.cache import Cache, build\n"
        "code, hit = build(sys.argv[2], lambda: 1 / 0, ['k'], Cache(sys.argv[1]))\n"
        "print(hit, code.function('k', restype=ctypes.c_int64)())"
    )
    ir = constant_ir(6)
    build(key(ir), lambda: ir, ["k"], cache)
    command = [sys.executable, "-c", text, str(cache.path), key(ir)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "True 6\n"


def test_where_and_how_much_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CHAINRULE_CACHE_MB", "7")
    fresh = cache_module.default.__wrapped__()
    assert (fresh.path, fresh.limit) == (tmp_path, 7 << 20)
    monkeypatch.delenv("CHAINRULE_CACHE_DIR")
    monkeypatch.setenv("CHAINRULE_CACHE_MB", "much")
    assert cache_module.default.__wrapped__().limit == cache_module.DEFAULT_LIMIT
    assert isinstance(default(), Cache)


def test_a_mistake_in_the_ir_is_an_error_not_a_crash():
    with pytest.raises(RuntimeError):
        module.compile_object("define i64 @k() { ret i32 1 }")


def test_no_absolute_address_is_in_the_objects_that_are_shared():
    """What is cached must be right in another process: its code takes addresses from tables only."""
    from chainrule.emit.native.call_code import call_ir
    from chainrule.emit.native.pool_code import pool_ir

    for ir in (call_ir(16), pool_ir("futex"), pool_ir("nap")):
        numbers = [int(w) for w in ir.replace(",", " ").replace(")", " ").split() if w.isdigit()]
        assert max(numbers) < 2**40
