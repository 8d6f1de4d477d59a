# pyright: reportUnknownMemberType=false
"""JAX in several processes."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np

from chainrule import errors


def connect(address: str, processes: int, process_id: int, timeout: float) -> None:
    """Have JAX know the devices of all processes.

    JAX's preemption service would swallow SIGTERM.  Its own watch over the other processes, which ends this one without a word
    that helps, is given more time than ours.
    """
    import jax

    try:
        jax.config.update("jax_enable_preemption_service", False)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            address,
            processes,
            process_id,
            cluster_detection_method="deactivate",
            initialization_timeout=int(timeout) + 60,
            heartbeat_timeout_seconds=int(timeout) + 120,
            shutdown_timeout_seconds=60,
        )
    except RuntimeError as e:
        if "before any JAX" in str(e) or "must be called before" in str(e):
            need = "Call cr.distributed.initialize before anything that uses JAX."
            raise errors.DistributedError("JAX is in use in this process already.", need) from None
        raise
    with _quiet():
        _meet()


def _meet() -> None:
    """All processes compute something together: what does not work shows here, and not in a training."""
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    devices = np.array(jax.devices())
    mesh = Mesh(devices, ("all",))
    ones = np.ones(len(jax.local_devices()), np.int32)
    x = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("all")), ones, (devices.size,))
    total = int(jax.jit(lambda x: x.sum(dtype=np.int32), out_shardings=NamedSharding(mesh, PartitionSpec()))(x))
    if total != devices.size:
        raise errors.DistributedError(f"The sum over {devices.size} devices is {total}: the network between them changes data.")


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """What libraries print goes to standard error, so that standard output is the program's own."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def disconnect() -> None:
    """End JAX's connections, in all processes at once."""
    import jax

    jax.distributed.shutdown()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("", 0))
        return int(s.getsockname()[1])
