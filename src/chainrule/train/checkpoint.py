"""Checkpoints: a file of arrays and a manifest with its checksum, both complete or not there at all.

``step-0000000120.json`` holds facts, and the name and checksum of the file of arrays, ``step-0000000120-<checksum>.safetensors``.
Each is written under another name, flushed to the disk and renamed, the manifest last, so a checkpoint exists when its manifest
does; what is written later never touches a file that a manifest names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule import errors
from chainrule.train.history import Array

FORMAT = 1
_MANIFEST = re.compile(r"step-(\d+)\.json")
_OURS = re.compile(r"step-\d+(-[0-9a-f]+\.safetensors|\.json)(\.part)?")


class Checkpoint(NamedTuple):
    """What is saved: named arrays, and facts that JSON can hold."""

    arrays: Mapping[str, Array]
    facts: dict[str, Any]


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError('Checkpoints need safetensors. Try: pip install "chainrule[train]"') from None
    return safetensors.numpy


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(facts: Any) -> bytes:
    return json.dumps(facts, indent=1, sort_keys=True).encode()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere folders cannot be opened, and renaming is the file system's care
        _flush(folder)


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there with all its bytes, or not at all."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)
    _flush_folder(path.parent)


def save(folder: Path, step: int, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint, and delete all but the newest `keep`.

    Returns:
        The path of its manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {k: np.asarray(x, order="C") for k, x in checkpoint.arrays.items()}
    data: bytes = _safetensors().save(arrays)
    digest = _digest(data)
    name = f"step-{step:010d}-{digest[:16]}.safetensors"
    _write(folder / name, data)
    facts = {**checkpoint.facts, "format": FORMAT, "step": step, "arrays": {"file": name, "bytes": len(data), "sha256": digest}}
    path = folder / f"step-{step:010d}.json"
    _write(path, _plain({**facts, "sha256": _digest(_plain(facts))}))
    _prune(folder, keep, step, name)
    return path


def _prune(folder: Path, keep: int, step: int, name: str) -> None:
    """Delete old checkpoints, manifests first, and what was being written when a training was killed."""
    kept = {f"step-{s:010d}" for s in [s for s in steps(folder) if s <= step][-keep:]}
    for p in sorted(_files(folder), key=lambda p: ".json" not in p.name):
        outdated = p.name.startswith(f"step-{step:010d}-") and p.name != name
        if p.name[:15] not in kept or p.name.endswith(".part") or outdated:
            p.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    """All files of checkpoints, half-written ones too, and no other file."""
    return [p for p in folder.iterdir() if _OURS.fullmatch(p.name)] if folder.is_dir() else []


def clear(folder: Path) -> None:
    """Delete all checkpoints of a folder, and nothing else."""
    for p in sorted(_files(folder), key=lambda p: ".json" not in p.name):
        p.unlink(missing_ok=True)


def steps(folder: Path) -> list[int]:
    """The steps at which there are checkpoints, oldest first."""
    found = [_MANIFEST.fullmatch(p.name) for p in folder.iterdir()] if folder.is_dir() else []
    return sorted([int(m[1]) for m in found if m])


def load(folder: Path) -> Checkpoint | None:
    """The newest checkpoint of a folder, None if there is none.

    Raises:
        CheckpointError: a byte of it is not what was written.
    """
    found = steps(folder)
    if not found:
        return None
    path = folder / f"step-{found[-1]:010d}.json"
    then = f"go on from step {found[-2]}" if len(found) > 1 else "start anew"
    cure = f"Delete {path.name} to {then}."
    facts = _facts(path, cure)
    made = facts["arrays"]
    file = folder / made["file"]
    if not file.exists():
        raise errors.CheckpointError(f"{file.name} is missing, and {path.name} names it.", cure)
    data = file.read_bytes()
    if _digest(data) != made["sha256"]:
        wrong = f"It has {len(data)} bytes, and {made['bytes']} were written."
        raise errors.CheckpointError(f"{file.name} is damaged: its checksum is wrong. {wrong}", cure)
    return Checkpoint({k: np.array(x) for k, x in _safetensors().load(data).items()}, facts)


def packed(found: Checkpoint) -> bytes:
    """A checkpoint as bytes, for a process that does not see the folder."""
    facts = json.dumps(found.facts).encode()
    return len(facts).to_bytes(8, "little") + facts + _safetensors().save(dict(found.arrays))


def unpacked(data: bytes) -> Checkpoint:
    """What `packed` has packed."""
    end = 8 + int.from_bytes(data[:8], "little")
    return Checkpoint({k: np.array(x) for k, x in _safetensors().load(data[end:]).items()}, json.loads(data[8:end]))


def _facts(path: Path, cure: str) -> dict[str, Any]:
    try:
        facts: Any = json.loads(path.read_bytes())
    except ValueError:
        raise errors.CheckpointError(f"{path.name} is damaged: it is no JSON.", cure) from None
    if not isinstance(facts, dict) or "sha256" not in facts or "format" not in facts or "arrays" not in facts:
        raise errors.CheckpointError(f"{path.name} was not written by cr.fit.", "Name another folder for the checkpoints.")
    told: str = facts.pop("sha256")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if _digest(_plain(facts)) != told:
        raise errors.CheckpointError(f"{path.name} is damaged: its checksum is wrong.", cure)
    if facts["format"] != FORMAT:
        raise errors.CheckpointError(f"{path.name} has format {facts['format']}, and this version of chainrule reads {FORMAT}.")
    return facts  # pyright: ignore[reportUnknownVariableType]


def compare(saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise unless a checkpoint was made for this training.

    Raises:
        CheckpointError: naming what differs.
    """
    for name, value in here.items():
        if saved.get(name) != value:
            what = f"with {name} {_short(saved.get(name))}, and this training has {_short(value)}"
            fix = "Resume with the same arguments, name another folder, or pass resume=False to start anew."
            raise errors.CheckpointError(f"The checkpoint was made {what}.", fix)


def _short(x: Any) -> str:
    text = json.dumps(x).replace('"', "")
    return text if len(text) <= 200 else text[:200] + " ..."
