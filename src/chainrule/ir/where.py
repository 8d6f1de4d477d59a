"""Where in the user's file an equation was written.

Tracing stores only a code object and a bytecode offset (cheap); lines, columns and the name the result was given
are worked out when somebody asks.
"""

from __future__ import annotations

import dis
import functools
import linecache
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, NamedTuple

_CACHES = functools.__file__
"""Stands between a property of ours and a user's function."""
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STORES = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")
_internal: dict[CodeType, bool] = {}
user_packages: list[str] = [
    os.path.join(_HERE, name) + os.sep for name in ("study", "claims", "nn", "losses", "rl", "generative")
]


class Written(NamedTuple):
    """What is known of a point in a program without its code object, which cannot be pickled."""

    co_filename: str
    co_name: str
    co_qualname: str
    line: int
    columns: tuple[int, int]
    name: str | None


class Where(NamedTuple):
    """A point in a program: resolve it with `file`, `line`, `columns`, `text`, `name`."""

    code: CodeType | Written
    offset: int

    def __reduce__(self) -> Any:
        return Where, (Written(self.file, self.function, self.code.co_qualname, self.line, self.columns, self.name), 0)

    @property
    def file(self) -> str:
        """Path of the file."""
        return self.code.co_filename

    @property
    def function(self) -> str:
        """Name of the function."""
        return self.code.co_name

    @property
    def line(self) -> int:
        """Line, from 1."""
        return _position(self)[0]

    @property
    def columns(self) -> tuple[int, int]:
        """First and one past the last column, from 0, on `line`."""
        return _position(self)[1]

    @property
    def text(self) -> str:
        """The line itself."""
        return linecache.getline(self.file, self.line).rstrip("\n")

    @property
    def source(self) -> str:
        """The expression itself, where it stands on one line."""
        a, b = self.columns
        return self.text.encode()[a:b].decode(errors="replace")

    @property
    def name(self) -> str | None:
        """The variable the user gave this result to, if it was assigned at once."""
        return self.code.name if isinstance(self.code, Written) else _stored(self.code).get(self.offset)

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


@lru_cache(maxsize=4096)
def _position(w: Where) -> tuple[int, tuple[int, int]]:
    if isinstance(w.code, Written):
        return w.code.line, w.code.columns
    spots = list(w.code.co_positions())
    line, end_line, col, end_col = spots[w.offset // 2]
    if line is None:
        return w.code.co_firstlineno, (0, 0)
    if col is None or end_col is None:
        return line, (0, 0)
    if end_line != line:
        end_col = len(linecache.getline(w.file, line).rstrip("\n").encode())
    return line, (col, end_col)


@lru_cache(maxsize=512)
def _stored(code: CodeType) -> dict[int, str]:
    """Offset of an instruction -> name its result is stored under by the very next instruction.

    A frame that has called a Python function stands at the last of the call's cache entries, not at the call.
    """
    found: dict[int, str] = {}
    before = None
    for i in dis.get_instructions(code):
        if before is not None and i.opname in _STORES:
            found.update(dict.fromkeys(range(before, i.offset, 2), str(i.argval)))
        if i.opname != "CACHE":
            before = i.offset
    return found


def is_internal(code: CodeType) -> bool:
    """Is this code chainrule's own or NumPy's, rather than the user's?"""
    known = _internal.get(code)
    if known is None:
        name = code.co_filename
        ours = name.startswith(_HERE) and not any(name.startswith(p) for p in user_packages)
        parts = set(name.replace("\\", "/").split("/"))
        known = _internal[code] = (
            ours or bool(parts & {"numpy", "scipy", "optree"}) or name.startswith("<frozen") or name == _CACHES
        )
    return known


def here(depth: int = 1) -> Where | None:
    """The nearest point of the call stack that lies in the user's code."""
    f: FrameType | None = sys._getframe(depth)  # pyright: ignore[reportPrivateUsage]
    while f is not None:
        code = f.f_code
        known = _internal.get(code)
        if not (is_internal(code) if known is None else known):
            return Where(code, f.f_lasti)
        f = f.f_back
    return None


@contextmanager
def counted_as_user(path: str) -> Generator[None, None, None]:
    """Treat files under `path` as the user's (for chainrule's own examples)."""
    user_packages.append(path)
    _internal.clear()
    try:
        yield
    finally:
        user_packages.remove(path)
        _internal.clear()
