"""What the commands share."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

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
