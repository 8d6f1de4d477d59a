"""What processes that train together tell each other: that they are alike, how a piece of work went, what was saved."""

from __future__ import annotations

import hashlib
import logging
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten
from chainrule.ir.graph import Graph, Lit, subgraphs
from chainrule.train import checkpoint
from chainrule.train.checkpoint import Checkpoint
from chainrule.train.data import Arrays, Held, Piece, checksum
from chainrule.train.mesh import MeshSteps

if TYPE_CHECKING:
    from chainrule.train.training import Training

WHOLE = 1 << 30  # bytes of data in memory that are compared to the last one
_log = logging.getLogger("chainrule")


def alike(t: Training) -> None:
    """Make sure that all processes train the same model with the same program on the same data.

    Raises:
        DistributedError: naming what differs.
    """
    if t.group.processes == 1:
        return
    told = t.group.exchange("the start of a training", _facts(t))
    for k, facts in enumerate(told):
        for name, value in told[0].items():
            if facts.get(name) != value:
                raise errors.DistributedError(
                    f"Process {k} trains with {name} {_short(facts.get(name))}, and process 0 with {_short(value)}.",
                    "All processes must be given the same.",
                )


def _short(x: Any) -> str:
    text = str(x)
    return text if len(text) <= 80 else text[:80] + " ..."


def _facts(t: Training) -> dict[str, Any]:
    o, batch, signature = t.options, t.first_batch(), t.signature()
    data = signature.pop("data")
    return {
        **signature,
        "data": data["arrays"] if isinstance(data, dict) else data,
        "epochs": o.epochs,
        "checkpoints every": o.every,
        "a checkpoint folder": o.folder is not None,
        "metrics": list(o.metrics),
        "early stopping": repr(o.early_stopping),
        "callbacks": len(o.callbacks),
        "initial parameters with the checksum": checksum((t.state.params, t.state.statistics, t.state.optimizer))[:12],
        "data with the checksum": _digest(t.source) if isinstance(t.source, Arrays) else checksum(batch)[:12],
        "held-out data with the checksum": None if t.held_out is None else _digest(t.held_out),
        "a step whose program has the checksum": program(t.traced(batch))[:12],
    }


def _digest(data: Arrays) -> str:
    size = sum([x.nbytes for x in data.leaves]) if not data.disk else WHOLE + 1
    return (checksum(data.leaves) if size <= WHOLE else data.signature()["sample"])[:12]


def program(g: Graph) -> str:
    """A digest of what a graph computes: its operations, their types, and the constants among their arguments."""
    digest = hashlib.sha256()

    def walk(g: Graph) -> None:
        for e in g.eqns:
            digest.update(e.prim.encode())
            for a in (*e.ins, *e.outs):
                digest.update(str(a.type).encode())
                if isinstance(a, Lit):
                    digest.update(np.ascontiguousarray(a.value).tobytes())
            for inner in subgraphs(e):
                walk(inner)

    walk(g)
    return digest.hexdigest()


def agree(t: Training, piece: Piece, seconds: float, interrupted: list[str]) -> float:
    """After a piece of work: how long the slowest process took.  If one was asked to stop, all are.

    Raises:
        DistributedError: The processes were not given the same batches.
    """
    if t.group.processes == 1:
        return seconds
    stop = interrupted[0] if interrupted else None
    crc = batches_crc(piece)
    told = t.group.exchange(f"step {t.record.step + piece.steps}", [seconds, stop, crc])
    other = next((k for k, (_, _, c) in enumerate(told) if c != told[0][2]), None)
    if other is not None:
        raise errors.DistributedError(f"Process {other} was given other batches than process 0 in epoch {t.record.epoch + 1}.")
    asked = next(((k, why) for k, (_, why, _) in enumerate(told) if why), None)
    if asked is not None:
        _log.warning("Process %d was asked to stop (%s): all stop after step %d.", *asked, t.record.step + piece.steps)
        interrupted[:] = interrupted or [asked[1]]
    return max([s for s, _, _ in told])


def batches_crc(piece: Piece) -> int:
    """A checksum of batches that come from outside; of arrays, which were compared at the start, nothing."""
    crc = 0
    if isinstance(piece.source, Held):
        for x in flatten(piece.source.data)[0]:
            crc = zlib.crc32(np.ascontiguousarray(x).data, crc)
    return crc


def settle(t: Training, columns: dict[str, list[float]]) -> None:
    """Take the numbers of an epoch that process 0 has measured, so that all decide alike."""
    if t.group.processes > 1:
        found = t.group.exchange(f"the end of epoch {t.record.epoch + 1}", {name: c[-1] for name, c in columns.items()})[0]
        for name, c in columns.items():
            c[-1] = found[name]


def any_of(t: Training, stop: bool) -> bool:
    """Does one of the processes want to stop?"""
    return any(t.group.exchange("callbacks", bool(stop))) if t.group.processes > 1 else stop


def loaded(t: Training, folder: Any) -> Checkpoint | None:
    """The newest checkpoint of a folder that process 0 sees."""
    if not isinstance(t.steps, MeshSteps) or t.group.processes == 1:
        return checkpoint.load(folder)
    data, trouble = b"", None
    if t.group.id == 0:
        try:
            found = checkpoint.load(folder)
            data = b"" if found is None else checkpoint.packed(found)
        except errors.CheckpointError as e:
            trouble = [e.seen, e.needed]
    size, trouble = t.group.exchange("a checkpoint", [len(data), trouble])[0]
    if trouble is not None:
        raise errors.CheckpointError(*trouble)
    if size == 0:
        return None
    with t.group.together("the reading of a checkpoint"):
        return checkpoint.unpacked(t.steps.mesh.told(data.ljust(size, b"\0")))
