"""Object code on disk, so that a program is compiled once per machine and version, not once per run.

An entry is one file: a line of JSON (what it is), then the object. It is written under another name and moved into
place, so that readers see all of it or nothing; its checksum is verified before anything is loaded. An entry that fails
is deleted and made again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import module
from .target import Target, host

__all__ = ["Cache", "Info", "build", "default", "key"]

FORMAT = 1
DEFAULT_LIMIT = 256 << 20
SUFFIX = ".obj"


@dataclass(frozen=True)
class Info:
    """How full the cache is."""

    path: Path
    entries: int
    bytes: int
    limit: int


def key(ir: str, target: Target | None = None) -> str:
    """The name of a program's object code: a hash of all that it depends on."""
    parts = [str(FORMAT), module.versions(), (target or host()).key, ir]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _user_only(path: Path) -> bool:
    """Is the directory ours alone? Code that others can write must not run."""
    if os.name != "posix":
        return True
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


class Cache:
    """A directory of objects, bounded in size; the least recently used go first.

    Args:
        path: the directory; made when something is stored.
        limit: bytes to keep at most.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int = DEFAULT_LIMIT):
        self.path, self.limit = Path(path), limit

    def _file(self, name: str) -> Path:
        return self.path / f"{name}{SUFFIX}"

    def get(self, name: str) -> bytes | None:
        """The object stored under a key, or None; a damaged entry is removed."""
        file = self._file(name)
        try:
            if not _user_only(self.path):
                return None
            data = file.read_bytes()
        except OSError:
            return None
        image = _verified(data, name)
        with contextlib.suppress(OSError):
            if image is None:
                file.unlink()
            else:
                os.utime(file)
        return image

    def put(self, name: str, image: bytes) -> None:
        """Store an object. A full or read-only disk is no error: the cache only saves time."""
        with contextlib.suppress(OSError):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _user_only(self.path):
                self._write(self._file(name), _header(name, image) + image)
                self._evict()

    def _write(self, file: Path, data: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
            os.replace(temporary, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, file) of every entry, the oldest first."""
        found: list[tuple[float, int, Path]] = []
        with contextlib.suppress(OSError):
            for file in self.path.iterdir():
                with contextlib.suppress(OSError):  # another process may be deleting it
                    if file.suffix == SUFFIX or file.name.startswith(".new-"):
                        status = file.stat()
                        found.append((status.st_mtime, status.st_size, file))
        return sorted(found)

    def _evict(self) -> None:
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for _, size, file in entries:
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                file.unlink()
            total -= size

    def info(self) -> Info:
        """Where the cache is and how full."""
        entries = self._entries()
        return Info(self.path, len(entries), sum(size for _, size, _ in entries), self.limit)

    def clear(self) -> int:
        """Delete every entry; returns how many there were."""
        entries = self._entries()
        for _, _, file in entries:
            with contextlib.suppress(OSError):
                file.unlink()
        return len(entries)


def _header(name: str, image: bytes) -> bytes:
    fields = {"chainrule": FORMAT, "key": name, "bytes": len(image), "sha256": hashlib.sha256(image).hexdigest()}
    return json.dumps(fields).encode() + b"\n"


def _verified(data: bytes, name: str) -> bytes | None:
    """The object in an entry, if the entry is whole and is the one asked for."""
    head, _, image = data.partition(b"\n")
    return image if hmac.compare_digest(head + b"\n", _header(name, image)) else None


@functools.cache
def default() -> Cache:
    """The user's cache. `CHAINRULE_CACHE_DIR` moves it, `CHAINRULE_CACHE_MB` bounds it."""
    path = os.environ.get("CHAINRULE_CACHE_DIR")
    if not path:
        import platformdirs

        path = os.path.join(platformdirs.user_cache_dir("chainrule", appauthor=False), "native")
    megabytes = os.environ.get("CHAINRULE_CACHE_MB", "")
    return Cache(path, int(megabytes) << 20 if megabytes.isdigit() else DEFAULT_LIMIT)


def build(name: str, make: Callable[[], str], exports: Sequence[str], cache: Cache | None = None) -> tuple[module.Code, bool]:
    """Loaded code from the cache, or compiled now and stored; says whether the cache had it.

    Args:
        name: the key; whoever calls may hash what the IR is made from, and so save making it.
        make: writes the IR; called only if the cache does not have the object.
        exports: functions to find in the object.
        cache: where to look; the user's cache if absent.
    """
    store = cache or default()
    image = store.get(name)
    if image is not None:
        try:
            return module.load_object(image, exports), True
        except RuntimeError:  # whole, but not what this version expects: make it again
            pass
    image = module.compile_object(make())
    store.put(name, image)
    return module.load_object(image, exports), False
