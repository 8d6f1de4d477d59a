"""What the commands share."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


class CommandError(Exception):
    """Something the user can put right: said in one line, without a traceback; exit status 2."""


def need(extra: str, *modules: str) -> None:
    """Raise, saying what to install, unless all these modules are there."""
    missing = [m for m in modules if find_spec(m) is None]
    if missing:
        raise CommandError(f'{" and ".join(missing)} must be installed for this. Try: pip install "chainrule[{extra}]"')


def silence_broken_pipe() -> None:
    """The reader of our output went away: leave nothing that the interpreter would try to flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sizes(text: str) -> list[int]:
    """The numbers of units in ``64,64``."""
    try:
        found = [int(n) for n in text.split(",") if n.strip()]
    except ValueError:
        found = [0]
    if any(n < 1 for n in found):
        raise CommandError(f"--hidden is a list of sizes such as 64,64, and is {text!r}")
    return found


def writable(folder: Path) -> None:
    """Make the folder, and raise if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process of the same training may have been quicker
    except OSError as e:
        raise CommandError(f"cannot write to {folder}: {e.strerror}. Name another folder with --out") from None


def finite(x: Any) -> Any:
    """Data that JSON can hold: what is no finite number is null."""
    if isinstance(x, dict):
        return {k: finite(v) for k, v in x.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(x, list):
        return [finite(v) for v in x]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(x, float) and not abs(x) < float("inf") else x
