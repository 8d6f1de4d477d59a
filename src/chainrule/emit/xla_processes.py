# pyright: reportUnknownMemberType=false
"""JAX in several processes."""

from __future__ import annotations

import socket

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
    jax.local_devices()  # all processes must meet here, before one of them waits for another in a computation


def disconnect() -> None:
    """End JAX's connections, in all processes at once."""
    import jax

    jax.distributed.shutdown()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("", 0))
        return int(s.getsockname()[1])
