"""What may happen between epochs: functions of yours, and stopping when nothing gets better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.train.history import History


@dataclass
class Moment:
    """What a callback is told after an epoch.

    Attributes:
        epoch: how many epochs are finished.
        step: how many steps have been taken.
    """

    epoch: int
    step: int
    _history: Callable[[], History] = field(repr=False)
    _model: Callable[[], Any] = field(repr=False)

    @property
    def history(self) -> History:
        """The numbers so far."""
        return self._history()

    @property
    def model(self) -> Any:
        """The model as it is now, yours to keep."""
        return self._model()


Callback = Callable[[Moment], Any]
"""Called after every epoch; training stops if it returns True."""


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a quantity has not become better for a while.

    Args:
        patience: how many epochs without an improvement are borne.
        monitor: a column of the history; by default "val_loss", "loss" where nothing is held out.
        min_delta: by how much a value must be better to count.
        mode: is smaller better ("min") or larger ("max")? By default larger for names other than losses and errors.
        restore_best: return the model of the best epoch, not of the last.

    Source: Prechelt 1998, "Early stopping - but when?", the third class of criteria.
    """

    patience: int = 5
    monitor: str | None = None
    min_delta: float = 0.0
    mode: str | None = None
    restore_best: bool = True

    def __post_init__(self) -> None:
        if not hasattr(self.patience, "__index__") or isinstance(self.patience, bool) or self.patience < 1:
            raise ValueError(f"EarlyStopping: patience is a number of epochs, 1 or more, not {self.patience!r}")
        if self.mode not in (None, "min", "max"):
            raise ValueError(f"EarlyStopping: mode is 'min' or 'max', not {self.mode!r}")


_SMALLER = ("loss", "error", "mse", "mae", "rmse", "deviance", "perplexity")


@dataclass
class Best:
    """The best epoch so far, by one quantity."""

    monitor: str
    sign: float
    min_delta: float
    value: float = np.inf
    epoch: int = 0
    waited: int = 0

    @classmethod
    def of(cls, rule: EarlyStopping | None, columns: list[str]) -> Best:
        """What to watch among the columns of a history."""
        name = (rule.monitor if rule else None) or ("val_loss" if "val_loss" in columns else "loss")
        if name not in columns:
            raise ValueError(f"EarlyStopping: the history will have no {name!r}; it will have {', '.join(columns)}")
        mode = (rule.mode if rule else None) or ("min" if any(name.endswith(s) for s in _SMALLER) else "max")
        return cls(name, 1.0 if mode == "min" else -1.0, rule.min_delta if rule else 0.0)

    def see(self, value: float, epoch: int) -> bool:
        """Take notice of an epoch; is it the best so far?"""
        if self.sign * value < self.value - self.min_delta:
            self.value, self.epoch, self.waited = self.sign * value, epoch, 0
            return True
        self.waited += 1
        return False
