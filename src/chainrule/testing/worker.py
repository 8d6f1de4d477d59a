"""The process a submission runs in: it takes arguments, calls the submission's function, and gives arrays back.

It is run as a script and imports nothing of chainrule.  What it says is not trusted: the other side reads numbers only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pickle
import resource
import struct
import sys
from typing import Any, BinaryIO

_NEW_USER, _NEW_PID, _NEW_MOUNTS = 0x10000000, 0x20000000, 0x00020000
_READ_ONLY, _REMOUNT, _BIND, _ALL_BELOW, _PRIVATE = 1, 32, 4096, 1 << 14, 1 << 18
_DEATH_SIGNAL, _KILL = 1, 9
_NOBODY = 65534


def limits(seconds: int, megabytes: int) -> None:
    """Processor time, memory, and no files to be written."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def alone() -> None:
    """Out of sight of all other processes, and nothing on the disk to be written, as far as the system allows."""
    libc = ctypes.CDLL(None, use_errno=True)
    hidden = _called(libc, "unshare", _NEW_USER | _NEW_PID | _NEW_MOUNTS)
    if hidden:
        _read_only(libc)
    else:
        _called(libc, "unshare", _NEW_PID)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _called(libc, "prctl", _DEATH_SIGNAL, _KILL)
    if not hidden and os.getuid() == 0 and _readable_by_all():
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def _called(libc: ctypes.CDLL, name: str, *args: Any) -> bool:
    try:
        return getattr(libc, name)(*args) == 0
    except AttributeError:  # another system
        return False


def _read_only(libc: ctypes.CDLL) -> None:
    """In this process's own view of the disk, every file system is read-only."""
    _called(libc, "mount", b"none", b"/", None, _PRIVATE | _ALL_BELOW, None)
    _called(libc, "mount", b"/", b"/", None, _BIND | _ALL_BELOW, None)
    with contextlib.suppress(OSError), open("/proc/self/mounts", "rb") as f:
        for line in f:
            _called(libc, "mount", b"none", line.split()[1], None, _BIND | _REMOUNT | _READ_ONLY, None)


def _readable_by_all() -> bool:
    """May another user read Python and NumPy?  Otherwise submissions could import nothing."""
    import numpy as np

    for path in {os.path.realpath(np.__file__), os.path.realpath(os.__file__)}:
        while path != "/":
            if not os.stat(path).st_mode & (0o001 if os.path.isdir(path) else 0o004):
                return False
            path = os.path.dirname(path)
    return True


def read(pipe: BinaryIO) -> bytes:
    """One message."""
    head = pipe.read(8)
    if len(head) < 8:
        os._exit(0)
    return pipe.read(struct.unpack("<Q", head)[0])


def write(pipe: BinaryIO, header: Any, blobs: list[bytes]) -> None:
    """One answer: a header that says how many bytes each array has, then the bytes."""
    text = json.dumps({**header, "bytes": [len(b) for b in blobs]}).encode()
    pipe.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    pipe.flush()


def packed(x: Any, blobs: list[bytes]) -> Any:
    """Nested containers of arrays as JSON, the numbers apart."""
    import numpy as np

    if isinstance(x, tuple | list):
        kind = "tuple" if isinstance(x, tuple) else "list"
        return {kind: [packed(y, blobs) for y in x]}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(x, dict):
        return {"dict": {str(k): packed(y, blobs) for k, y in x.items()}}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    a = np.ascontiguousarray(x)
    if a.dtype.kind not in "fiub":
        raise TypeError(f"the result holds {type(x).__name__}, which is no number")  # pyright: ignore[reportUnknownArgumentType]
    blobs.append(a.tobytes())
    return {"array": len(blobs) - 1, "dtype": a.dtype.str, "shape": list(np.shape(x))}


def serve(source: str, path: str, requests: BinaryIO, answers: BinaryIO) -> None:
    """Run the submission, then answer each request with what its function returned, and with its arguments if it changed them."""
    space: dict[str, Any] = {"__name__": "submission", "__file__": path}
    try:
        exec(compile(source, path, "exec"), space)
    except BaseException as e:
        space = {"__error__": e}
    while True:
        name, args = pickle.loads(read(requests))
        before = [x.tobytes() if hasattr(x, "tobytes") else b"" for x in args]
        blobs: list[bytes] = []
        try:
            if "__error__" in space:
                raise space["__error__"]
            if not callable(space.get(name)):
                raise NameError(f"there is no function {name!r}")
            result = packed(space[name](*args), blobs)
            moved = [k for k, x in enumerate(args) if hasattr(x, "tobytes") and x.tobytes() != before[k]]
            write(answers, {"result": result, "changed": {k: packed(args[k], blobs) for k in moved}}, blobs)
        except BaseException as e:
            write(answers, {"error": f"{type(e).__name__}: {e}"[:500]}, [])


def main() -> None:
    """``worker.py SECONDS MEGABYTES``: requests come on standard input, answers go to what standard output was."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    source, path = pickle.loads(read(requests))
    alone()
    limits(int(sys.argv[1]), int(sys.argv[2]))
    serve(source, path, requests, answers)


if __name__ == "__main__":
    main()
