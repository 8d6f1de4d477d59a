"""How training went: one number per epoch and quantity, and the loss of every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, repr=False)
class History:
    """What was measured in training, epoch by epoch.

    Attributes:
        columns: name -> one number per epoch: "loss", and where they were asked for "val_loss" and the metrics.
        steps: the loss of every step, before the step was taken.

    A column is also an attribute: ``history.loss``, ``history.val_loss``.
    """

    columns: Mapping[str, Array]
    steps: Array

    def __getattr__(self, name: str) -> Array:
        columns = self.__dict__.get("columns", {})
        if name in columns:
            return columns[name]
        raise AttributeError(f"the history has no {name!r}; it has {', '.join(columns)} and steps")

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["loss"])

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.columns]

    def table(self, rows: int = 20) -> str:
        """The numbers as text, one line per epoch; of a long history about `rows` lines, the first and the last among them."""
        n = len(self)
        shown = range(n) if n <= rows else sorted({round(k * (n - 1) / (rows - 1)) for k in range(rows)})
        head = ["epoch", *self.columns]
        lines = [[str(k + 1), *[f"{c[k]:.6g}" for c in self.columns.values()]] for k in shown]
        return aligned([head, *lines])

    def __repr__(self) -> str:
        return self.table() if len(self) else "no epoch has been finished"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text, every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


def mean_by_size(losses: Array, sizes: Array) -> float:
    """The mean over examples, of means over parts of these sizes."""
    return float(np.sum(losses * sizes) / np.sum(sizes))
