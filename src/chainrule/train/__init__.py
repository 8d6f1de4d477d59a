"""Training: the loop, its data, its history and its checkpoints."""

from __future__ import annotations

from chainrule.train.callbacks import Callback, EarlyStopping, Moment
from chainrule.train.fit import Fit, fit
from chainrule.train.history import History
from chainrule.train.report import Report

__all__ = ["Callback", "EarlyStopping", "Fit", "History", "Moment", "Report", "fit"]
