"""The command line: ``chainrule study`` and its relatives, one module each.

A command is a module of this package with ``add(commands)``, which adds a parser whose default ``run`` takes the parsed
arguments and returns the exit status.  It imports what it needs when it runs, so that asking for help is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from chainrule import __version__
from chainrule.cli.common import INTERRUPTED, CommandError, silence_broken_pipe

# Every command, in the order in which help lists them.
COMMANDS = ("study", "claims", "derive", "check", "train", "bench", "cache")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    out = argparse.ArgumentParser(
        prog="chainrule",
        description="The calculus in machine learning: derivatives, derivations, checks, training and their study.",
    )
    out.add_argument("--version", action="version", version=f"chainrule {__version__}")
    commands = out.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"chainrule.cli.{name}").add(commands)
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    args = parser().parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return args.run(args)
    except CommandError as e:
        print(f"chainrule: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        silence_broken_pipe()
        return 1


__all__ = ["COMMANDS", "main", "parser"]
