"""``chainrule cache``: what the native engine keeps on disk."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "cache",
        help="show or clear the compiled code kept on disk",
        description="Compiled programs are kept on disk, so that they are compiled once per machine and version.",
        epilog="CHAINRULE_CACHE_DIR moves the cache, CHAINRULE_CACHE_MB bounds it.",
    )
    p.add_argument("action", choices=("info", "clear"), help="info: where it is and how full; clear: delete all of it")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    from chainrule.emit.native import cache

    store = cache.default()
    if args.action == "clear":
        print(f"{store.clear()} programs deleted from {store.path}")
        return 0
    i = store.info()
    print(f"{i.path}\n{i.entries} programs, {i.bytes / 2**20:.1f} of {i.limit / 2**20:.0f} MiB")
    return 0
