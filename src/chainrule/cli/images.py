"""Images to learn from: the digits that come with scikit-learn, or a file of NumPy's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.common import CommandError
from chainrule.random import key, permutation

Array = NDArray[Any]
_IMAGES = ("x", "images", "data", "X")
_LABELS = ("y", "labels", "target", "Y")


@dataclass(frozen=True)
class Images:
    """Rows to learn from, and rows kept back.

    Attributes:
        name: where they come from.
        shape: rows and columns of an image, or () where rows are no images.
        low, high: the smallest and the largest number found; elements are scaled to [0, 1] by them.
        train: (n, features).
        held_out: (m, features).
        labels: classes of both, or None.
    """

    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    train: Array
    held_out: Array
    labels: tuple[Array, Array] | None


def images(name: str | None, held_out: float, seed: int) -> Images:
    """Read ``digits`` or a file ``.npy`` or ``.npz``, and split it by chance.

    Raises:
        CommandError: what is read cannot be learned from.
    """
    if not name:
        raise CommandError("name the data: --data digits, or a file .npz or .npy with an array of images")
    x, y = _digits() if name == "digits" else _file(Path(name))
    shape, rows = (x.shape[1:] if x.ndim == 3 else _square(x)), np.reshape(x, (len(x), -1)).astype(np.float64)
    low, high = float(rows.min()), float(rows.max())
    if low == high:
        raise CommandError(f"{name}: all elements are {low:g}; there is nothing to learn")
    order = permutation(key(seed), len(rows))
    cut = len(rows) - max(2, round(held_out * len(rows)))
    rows = ((rows - low) / (high - low))[order]
    labels = None if y is None else (y[order][:cut], y[order][cut:])
    return Images(name, shape, low, high, rows[:cut], rows[cut:], labels)


def _digits() -> tuple[Array, Array]:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return found.images, found.target


def _square(x: Array) -> tuple[int, ...]:
    """Rows whose length is a square are taken for square images."""
    side = round(x.shape[1] ** 0.5)
    return (side, side) if side > 1 and side * side == x.shape[1] else ()


def _file(path: Path) -> tuple[Array, Array | None]:
    """The images of a file and, if it has them, their classes."""
    if path.suffix not in (".npy", ".npz"):
        raise CommandError(f"--data is digits, or a file .npy or .npz; not {path}")
    try:
        with np.errstate(all="ignore"):
            found: Any = np.load(path, allow_pickle=False)
            arrays = {"x": found} if isinstance(found, np.ndarray) else {k: found[k] for k in found.files}
    except FileNotFoundError:
        raise CommandError(f"there is no file {path}") from None
    except ValueError as e:
        if not path.read_bytes()[:6].startswith((b"PK", b"\x93NUMPY")):  # NumPy takes it for pickled objects
            raise CommandError(f"{path} is no file of NumPy's, whatever its name says") from None
        if "pickle" in str(e).lower() or "object" in str(e).lower():
            raise CommandError(
                f"{path}: images of unequal size; bring them to one size, as one array (n, rows, columns)"
            ) from None
        raise CommandError(f"{path} cannot be read: {e}") from None
    except Exception as e:  # a damaged archive raises what it likes
        raise CommandError(f"{path} cannot be read: {e}") from None
    return _images(path, arrays), _labels(path, arrays)


def _images(path: Path, arrays: dict[str, Array]) -> Array:
    name = next((k for k in _IMAGES if k in arrays), None)
    if name is None and len(arrays) == 1:
        (name,) = arrays
    if name is None:
        raise CommandError(f"{path}: none of its arrays ({', '.join(arrays)}) is named x, images or data")
    x = arrays[name]
    if x.dtype.kind not in "biuf":
        raise CommandError(f"{path}: {name} holds no numbers, but {x.dtype}")
    if x.ndim == 4 and x.shape[3] == 1:
        x = x[..., 0]
    if x.ndim not in (2, 3) or len(x) < 10 or 0 in x.shape:
        raise CommandError(f"{path}: {name} has shape {x.shape}; wanted are 10 or more of (n, rows, columns) or (n, features)")
    if not np.all(np.isfinite(x)):
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise CommandError(f"{path}: {name} has elements that are NaN or infinite, the first at {at}")
    return x


def _labels(path: Path, arrays: dict[str, Array]) -> Array | None:
    name = next((k for k in _LABELS if k in arrays), None)
    if name is None:
        return None
    y, n = arrays[name], len(_images(path, arrays))
    if y.shape != (n,):
        raise CommandError(f"{path}: {name} has shape {y.shape}, and there are {n} images")
    return np.unique(y, return_inverse=True)[1]
