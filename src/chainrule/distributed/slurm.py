"""What SLURM's ``srun`` tells a process in its environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def from_slurm(env: Mapping[str, str], port: int) -> dict[str, Any]:
    """Coordinator, number of processes and process of a job step; nothing outside of one.

    The port is made from the number of the job, so that two jobs that share a node do not meet.
    """
    if "SLURM_STEP_NODELIST" not in env or "SLURM_PROCID" not in env:
        return {}
    host = first_host(env["SLURM_STEP_NODELIST"])
    return {
        "coordinator": f"{host}:{port + int(env.get('SLURM_JOB_ID', '0')) % 4096}",
        "processes": int(env.get("SLURM_STEP_NUM_TASKS", env.get("SLURM_NTASKS", "1"))),
        "process_id": int(env["SLURM_PROCID"]),
    }


def first_host(nodes: str) -> str:
    """The first host of a list such as ``node[007-010,12],login1``."""
    first = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodes)
    if first is None:
        raise ValueError(f"{nodes!r} is no list of nodes")
    return "".join(filter(None, first.groups()))
