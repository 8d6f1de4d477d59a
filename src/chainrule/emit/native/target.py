"""What machine code is made for: the instruction set, its registers, and what LLVM needs to know."""

from __future__ import annotations

import functools
import platform
import sys
from dataclasses import dataclass
from typing import cast

__all__ = ["VIRTUAL_BYTES", "Target", "host", "named"]

# Every vector function and every reduction works on vectors of this many bytes, whatever the registers hold. The order
# of additions, and so every bit of a result, is then the same on AVX2, AVX-512 and NEON.
VIRTUAL_BYTES = 64


@dataclass(frozen=True)
class Target:
    """A processor as the generator sees it."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    has_fma: bool

    @property
    def key(self) -> str:
        """What object code depends on."""
        return f"{self.triple}/{self.cpu}/{self.features}"

    @property
    def is_x86(self) -> bool:
        return self.triple.startswith(("x86_64", "amd64"))

    def lanes(self, bits: int) -> int:
        """Lanes of one hardware register."""
        return self.vector_bytes * 8 // bits

    def tile(self, bits: int) -> tuple[int, int]:
        """Rows and lanes of the block of a matrix product that is kept in registers."""
        rows = {32: 8, 16: 6}[self.registers] if self.vector_bytes > 16 else 4 if self.registers == 16 else 8
        return rows, 2 * self.lanes(bits)


def _x86(triple: str, cpu: str, features: set[str]) -> Target:
    wide = {"avx512f", "avx512dq", "avx512vl", "avx512bw"} <= features
    text = ",".join(f"+{f}" for f in sorted(features))
    size = 64 if wide else 32 if "avx2" in features else 16
    return Target(triple, cpu, text, size, 32 if wide else 16, "fma" in features and size > 16)


@functools.cache
def host() -> Target:
    """The processor we run on."""
    from llvmlite import binding as llvm  # pyright: ignore[reportMissingTypeStubs]

    features = cast("dict[str, bool]", llvm.get_host_cpu_features())
    triple: str = llvm.get_process_triple()
    cpu: str = llvm.get_host_cpu_name()
    if platform.machine().lower() in ("x86_64", "amd64"):
        found = _x86(triple, cpu, {f for f, on in features.items() if on})
        off = ",".join(f"-{f}" for f, on in sorted(features.items()) if not on)
        return Target(found.triple, cpu, f"{found.features},{off}", found.vector_bytes, found.registers, found.has_fma)
    text = ",".join(("+" if on else "-") + f for f, on in sorted(features.items()))
    return Target(triple, cpu, text, 16, 32, platform.machine().lower() in ("arm64", "aarch64"))


def named(name: str) -> Target:
    """A processor by name, to generate code that other machines run: `avx512`, `avx2`, `plain`, `aarch64`."""
    system = {"darwin": "apple-darwin", "win32": "pc-windows-msvc"}.get(sys.platform, "unknown-linux-gnu")
    triple = f"x86_64-{system}"
    if name == "aarch64":
        return Target(f"aarch64-{system}", "generic", "+neon,+fp-armv8", 16, 32, True)
    if name == "avx512":
        level4 = {"avx512f", "avx512dq", "avx512vl", "avx512bw", "avx512cd"}
        return _x86(triple, "x86-64-v4", level4 | {"avx2", "fma"})
    if name == "avx2":
        return _x86(triple, "x86-64-v3", {"avx2", "fma"})
    if name == "plain":
        return _x86(triple, "x86-64", set())
    raise ValueError(f"no such target: {name}")
