"""The steps of a training on a mesh of devices, of one process or of several.

Every process is given the same data and the same order of rows; it reads those of its devices.  What is computed is what one
device would compute with the whole batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import distributed
from chainrule.build.tree import flatten, map_tree, unflatten
from chainrule.train.data import Array, Piece, Rows
from chainrule.train.model import Anatomy, Objective, Parts
from chainrule.train.steps import State, Steps

if TYPE_CHECKING:
    from chainrule.emit.xla_mesh import Devices


class MeshSteps(Steps):
    """The compiled functions of one training, on a mesh."""

    def __init__(self, objective: Objective, anatomy: Anatomy, rule: Any, devices: Devices) -> None:
        from chainrule.emit.xla_mesh import Mesh

        super().__init__(objective, anatomy, rule, "xla")
        self.group = distributed.current()
        with self.group.together("the start of the training"):
            self.mesh = Mesh(devices)
        self.made: dict[Any, Any] = {}

    def kept(self, state: State) -> State:
        """The state itself: arrays on devices do not change."""
        return state

    def take(self, state: State, piece: Piece, key: Any, first: int) -> tuple[State, Array, bool]:
        """Take the steps of a piece: those of its rows that are ours are read here."""
        from chainrule.emit.xla_mesh import Loop

        runs = [self._mine(piece.source, rows) for rows in piece.runs]
        held, spec = flatten(state)
        leaves = flatten(runs)[0]
        sizes = [rows.shape[-1] for rows, run in zip(piece.runs, runs, strict=True) for _ in flatten(run)[0]]
        params = len(flatten(state.params)[0])

        def make() -> Any:
            whole = [
                map_tree(lambda x, n=rows.shape[-1]: _like(x[0], 1, n), run) for rows, run in zip(piece.runs, runs, strict=True)
            ]
            graph = self.one.trace(map_tree(_hollow, state), None, whole, key, np.int64(0))
            return Loop(graph, self.mesh, params, sizes)

        loop = self._once(("take", *[(x.shape[1:], x.dtype, n) for x, n in zip(leaves, sizes, strict=True)]), make)
        with self.group.together(f"step {first + 1}"):
            new, losses, good = loop(held, leaves, np.asarray(key), first)
        return unflatten(spec, new), losses, good

    def judge(self, state: State, source: Rows, rows: Array, key: Any) -> Array:
        """The loss of each batch of rows int64[count, size], nothing learned."""
        return self._read(self.losses, "judge", state, source, rows, np.asarray(key))

    def predict(self, state: State, source: Rows, rows: Array) -> Array:
        """The model's outputs on each batch of rows int64[count, size]."""
        return self._read(self.outputs, "predict", state, source, rows)

    def _read(self, f: Any, name: str, state: State, source: Rows, rows: Array, *more: Any) -> Array:
        from chainrule.emit.xla_mesh import OnMesh

        count, n = rows.shape
        held = flatten((state.params, state.statistics))[0]
        run = map_tree(lambda x: x[0], self._mine(source, rows[None]))
        leaves = flatten(run)[0]

        def make() -> Any:
            hollow = map_tree(_hollow, (state.params, state.statistics))
            graph = f.trace(*hollow, None, map_tree(lambda x: _like(x, 1, n), run), *more)
            return OnMesh(graph, self.mesh, {len(held) + k: (1, n) for k in range(len(leaves))})

        program = self._once((name, count, n), make)
        with self.group.together("the judgement of the model"):
            return program(*held, *leaves, *more)[0]

    def _mine(self, source: Rows, rows: Array) -> Parts:
        """The examples of this process's devices, of rows int64[steps, count, size]."""
        ours = rows[..., self.mesh.share(rows.shape[-1])]
        data, local = source.local(ours.ravel())
        return map_tree(lambda x: x[local].reshape(*ours.shape, *x.shape[1:]), data)

    def _once(self, key: Any, make: Any) -> Any:
        found = self.made.get(key)
        if found is None:
            found = self.made[key] = make()
        return found


def _hollow(x: Any) -> Array:
    """An array of this shape and dtype that takes no memory."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape)


def _like(x: Array, axis: int, n: int) -> Array:
    return np.broadcast_to(np.zeros((), x.dtype), (*x.shape[:axis], n, *x.shape[axis + 1 :]))
