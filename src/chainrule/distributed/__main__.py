"""``python -m chainrule.distributed -n 4 train.py ARGUMENTS``: a script in several processes on this machine."""

from __future__ import annotations

import argparse
import sys

from chainrule.distributed.launch import local
from chainrule.emit.xla_processes import free_port


def main() -> int:
    """Run the script that the command line names."""
    p = argparse.ArgumentParser(
        prog="python -m chainrule.distributed",
        description="Run a script in several processes on this machine. It calls chainrule.distributed.initialize().",
    )
    p.add_argument("-n", "--processes", type=int, required=True, help="how many processes")
    p.add_argument("-m", "--module", help="a module to run, instead of a script")
    p.add_argument("script", nargs=argparse.REMAINDER, help="a Python script and its arguments")
    args = p.parse_args()
    if args.processes < 1:
        p.error("--processes must be 1 or more")
    if not args.script and not args.module:
        p.error("name a script")
    module = ["-m", args.module] if args.module else []
    return local([sys.executable, *module, *args.script], args.processes, free_port())


if __name__ == "__main__":
    sys.exit(main())
