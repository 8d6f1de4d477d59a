"""``chainrule train`` on devices, in several processes, on several hosts."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from chainrule.cli.common import CommandError, need


def add(p: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    g = p.add_argument_group("devices and hosts")
    g.add_argument(
        "--engine", choices=("numpy", "native", "xla"), help="what computes (default: chainrule's own; xla for several processes)"
    )
    g.add_argument("--devices", type=int, metavar="N", help="with --engine xla: spread each batch over N devices (default: all)")
    g.add_argument("--processes", type=int, metavar="N", help="train with N processes, which are started on this machine")
    g.add_argument(
        "--hosts", metavar="A,B,...", help="train with a process on each of these hosts, started over SSH; the data must be there"
    )
    g.add_argument(
        "--coordinator", metavar="HOST:PORT", help="be one of N processes that somebody else starts: where process 0 listens"
    )
    g.add_argument("--process-id", type=int, metavar="K", help="which of the N this is, from 0")
    g.add_argument(
        "--timeout", type=float, default=300.0, metavar="S", help="seconds that processes wait for each other (default: 300)"
    )


def check(args: argparse.Namespace) -> None:
    """Raise for options that cannot be meant together."""
    for name in ("processes", "devices"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise CommandError(f"--{name} must be 1 or more, and is {value}")
    if (args.coordinator is None) != (args.process_id is None):
        raise CommandError("--coordinator and --process-id go together, with --processes")
    if args.coordinator is not None and (args.processes is None or args.hosts is not None):
        raise CommandError("--coordinator and --process-id need --processes, and no --hosts")
    if args.hosts is not None and args.processes is not None:
        raise CommandError("--hosts says how many processes there are: name a host twice for two")
    if _several(args) and args.engine not in (None, "xla"):
        raise CommandError(f"several processes train with --engine xla, not {args.engine}")
    if args.devices is not None and args.engine != "xla":
        raise CommandError("--devices are those of --engine xla")
    if not args.timeout > 0:
        raise CommandError(f"--timeout must be above 0, and is {args.timeout:g}")
    if _several(args) or args.engine == "xla":
        need("xla", "jax")


def _several(args: argparse.Namespace) -> bool:
    return args.hosts is not None or (args.processes or 1) > 1


def launch(args: argparse.Namespace) -> int | None:
    """Start the processes, and wait for them; None if this is one of them, or the only one."""
    if not _several(args) or args.coordinator is not None or "CHAINRULE_PROCESS_ID" in os.environ:
        return None
    from chainrule.distributed import PORT, launch
    from chainrule.emit.xla_processes import free_port

    command = [sys.executable, "-m", "chainrule", *args.argv]
    if args.hosts is None:
        return launch.local(command, args.processes, free_port())
    hosts = [h for h in args.hosts.split(",") if h]
    if not hosts or any(h.startswith("-") for h in hosts):
        raise CommandError(f"--hosts is a list such as node1,node2, and is {args.hosts!r}")
    return launch.over_ssh(command, hosts, PORT)


def join(args: argparse.Namespace) -> None:
    """Become one of the processes, if there are several: as told here, in the environment, or by SLURM."""
    from chainrule.distributed import initialize, told

    given: dict[str, Any] = {}
    if args.coordinator is not None:
        given = {"coordinator": args.coordinator, "processes": args.processes, "process_id": args.process_id}
    if given or told(os.environ).get("processes", 1) > 1:
        initialize(**given, timeout=args.timeout)
