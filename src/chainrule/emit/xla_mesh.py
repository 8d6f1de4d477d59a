# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# JAX gives no types to most of what this file is about.
"""Graphs on a mesh of devices: each batch is spread over all devices of all processes, everything else is on each of them.

The program that runs is that of one device.  XLA's partitioner splits it: every device computes with its rows, and sums over a
batch become sums over devices.  So a mean is the sum over all rows divided by their number, batch statistics are those of the
whole batch, and random numbers are those of one device.  Axes are automatic: with explicit ones, JAX wants every product of the
program to say how its result lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.emit.xla import fallbacks, to_jax, x64
from chainrule.ir.graph import Array, Graph

AXIS = "batch"
Devices = int | str | Sequence[int] | None


class Mesh:
    """Devices in a row.

    Args:
        devices: A number of devices, ``"all"``, or their numbers in the order of ``jax.devices()``; None for all.
    """

    def __init__(self, devices: Devices = None) -> None:
        import jax
        from jax.sharding import AxisType, NamedSharding, PartitionSpec

        found = _chosen(devices, jax.devices())
        here = jax.process_index()
        self.size = len(found)
        self.processes = len({d.process_index for d in found})
        self.platform: str = found[0].platform
        mine = [k for k, d in enumerate(found) if d.process_index == here]
        self.first, self.mine = mine[0], len(mine)
        if self.processes > 1 and self.platform == "cpu" and self.mine > 1:
            raise ValueError(
                f"This process has {self.mine} CPU devices, and with several processes each must have one: "
                "unset --xla_force_host_platform_device_count in XLA_FLAGS"
            )
        mesh = jax.sharding.Mesh(np.array(found), (AXIS,), axis_types=(AxisType.Auto,))
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self._split = lambda axis: NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))

    def share(self, n: int) -> slice:
        """Which of the n rows of a batch are those of this process."""
        each = -(-n // self.size)
        return slice(min(n, self.first * each), min(n, (self.first + self.mine) * each))

    def spread(self, x: Array, axis: int, n: int) -> Any:
        """An array of n rows along an axis, of which `x` are those of this process; what the devices have beyond n is zero."""
        import jax

        each = -(-n // self.size)
        short = self.mine * each - x.shape[axis]
        if short:
            x = np.pad(x, [(0, short * (k == axis)) for k in range(x.ndim)])
        shape = (*x.shape[:axis], each * self.size, *x.shape[axis + 1 :])
        with x64():
            return jax.make_array_from_process_local_data(self._split(axis), np.ascontiguousarray(x), shape)

    def copy(self, x: Any) -> Any:
        """An array that every process has, on every device."""
        import jax

        if isinstance(x, jax.Array):
            return x
        with x64():
            return jax.make_array_from_process_local_data(self.everywhere, np.asarray(x), np.shape(x))

    def told(self, data: bytes) -> bytes:
        """The bytes of the first process, on every process; all must know their number."""
        import jax

        words = np.frombuffer(data.ljust(-(-len(data) // 4) * 4, b"\0"), np.uint32)
        rows = np.zeros((self.mine, len(words)), np.uint32)
        if self.first == 0:
            rows[0] = words
        total = jax.jit(lambda x: x.sum(0, dtype=np.uint32), out_shardings=self.everywhere)(self.spread(rows, 0, self.size))
        return np.asarray(total).tobytes()[: len(data)]


def _chosen(devices: Devices, every: Sequence[Any]) -> list[Any]:
    """Devices by number; all of several processes."""
    if devices is None or devices == "all":
        return list(every)
    several = len({d.process_index for d in every}) > 1
    if isinstance(devices, str):
        raise ValueError(f"devices is a number, 'all' or a list of numbers, not {devices!r}")
    numbers = list(range(devices)) if isinstance(devices, int) else list(devices)
    if several and sorted(numbers) != list(range(len(every))):
        raise ValueError(f"devices must be all {len(every)} where several processes work together, not {devices!r}")
    if not numbers or len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) >= len(every):
        raise ValueError(f"devices={devices!r}: there are {len(every)}: {', '.join(map(str, every))}")
    return [every[k] for k in sorted(numbers)]


def _refuse_host_calls(g: Graph, mesh: Mesh) -> None:
    """Raise for rows that NumPy computes on the host, of which there would be several."""
    rows = fallbacks(g) if mesh.size > 1 else []
    if rows:
        raise NotImplementedError(f"XLA has no {', '.join(rows)}, so this runs on one device only: pass devices=1")


class OnMesh:
    """A graph of which some inputs are spread over a mesh; its results are on every device.

    Args:
        g: the graph, written for whole batches.
        mesh: the devices.
        rows: input number -> (axis, how many rows) of the inputs that are spread.
    """

    def __init__(self, g: Graph, mesh: Mesh, rows: dict[int, tuple[int, int]]) -> None:
        import jax

        _refuse_host_calls(g, mesh)
        self.mesh, self.rows = mesh, rows
        f = to_jax(g)

        def run(*args: Any) -> list[Any]:
            return f(*[_first_rows(x, *rows[k]) if k in rows else x for k, x in enumerate(args)])

        self.run = jax.jit(run, out_shardings=mesh.everywhere)

    def __call__(self, *args: Any) -> list[Array]:
        """`args` are whole arrays, and of those that are spread the rows of this process."""
        given = [self.mesh.spread(x, *self.rows[k]) if k in self.rows else self.mesh.copy(x) for k, x in enumerate(args)]
        with x64():
            return [np.asarray(y) for y in self.run(*given)]


def _first_rows(x: Any, axis: int, n: int) -> Any:
    import jax

    return x if x.shape[axis] == n else jax.lax.slice_in_dim(x, 0, n, axis=axis)


class Loop:
    """A step taken again and again: ``(state, batch, key, number) -> (state, loss)`` as one program for any number of steps.

    The number of steps is an argument, so that the compiled step, and with it every bit of the result, is the same however the
    steps of an epoch are cut into calls.

    Args:
        step: The graph of one step; its inputs are the leaves of the state, of the batches, the key and the number.
        mesh: The devices.
        params: How many leaves of the state, the first ones, must stay finite.
        sizes: How many rows each leaf of the batches has along its axis 1.
    """

    def __init__(self, step: Graph, mesh: Mesh, params: int, sizes: Sequence[int]) -> None:
        import jax

        _refuse_host_calls(step, mesh)
        self.mesh, self.sizes = mesh, sizes
        jnp, lax, f = jax.numpy, jax.lax, to_jax(step)
        loss = step.outs[-1].type.dtype

        def run(held: Any, batches: Any, key: Any, first: Any, count: Any) -> Any:
            def body(k: Any, carry: Any) -> Any:
                held, losses = carry
                batch = [lax.dynamic_index_in_dim(x, k, keepdims=False) for x in batches]
                batch = [_first_rows(x, 1, n) for x, n in zip(batch, sizes, strict=True)]
                *held, found = f(*held, *batch, key, first + k)
                held = [lax.with_sharding_constraint(x, mesh.everywhere) for x in held]
                return held, losses.at[k].set(found)

            held, losses = lax.fori_loop(0, count, body, (list(held), jnp.zeros(len(batches[0]), loss)))
            good = ~jnp.isnan(losses).any()
            for x in held[:params]:
                good &= jnp.isfinite(x).all()
            return held, losses, good

        self.run = jax.jit(run, out_shardings=mesh.everywhere)
        self.capacities: set[int] = set()

    def _room(self, x: Array) -> Array:
        """Steps in an array for at most four times as many, where such a program has been compiled already."""
        n = len(x)
        c = min([c for c in self.capacities if n <= c <= 4 * n], default=n)
        self.capacities.add(c)
        return x if c == n else np.concatenate([x, np.zeros((c - n, *x.shape[1:]), x.dtype)])

    def __call__(self, state: Sequence[Any], batches: Sequence[Array], key: Array, first: int) -> tuple[list[Any], Array, bool]:
        """Take one step per row of the batches [steps, count, rows of this process, ...]; the state stays on the devices."""
        with x64():
            held, losses, good = self.run(*self.arguments(state, batches, key, first))
            return list(held), np.asarray(losses)[: len(batches[0])], bool(good)

    def arguments(self, state: Sequence[Any], batches: Sequence[Array], key: Array, first: int) -> tuple[Any, ...]:
        """What the program is called with, on the devices."""
        mesh = self.mesh
        spread = [mesh.spread(self._room(x), 2, n) for x, n in zip(batches, self.sizes, strict=True)]
        numbers = [mesh.copy(np.int64(k)) for k in (first, len(batches[0]))]
        return [mesh.copy(x) for x in state], spread, mesh.copy(key), *numbers
