"""Errors about training: it went out of bounds, or what was saved of it cannot be used."""

from __future__ import annotations

from typing import Any

from chainrule.errors.base import ChainruleError
from chainrule.errors.derivatives import NonFiniteError


class DivergedError(NonFiniteError):
    """Training came to a step that makes NaN, and was stopped before it.

    The message names the step and the first operation that makes NaN in it. Nothing is lost: `fit` is what had been trained
    until then (``e.fit.model``, ``e.fit.history``), and it is saved where a checkpoint was asked for. The usual cure is a smaller
    learning rate, gradients clipped by their norm, or inputs brought to unit variance.

    Fails:

    >>> import numpy as np, chainrule as cr
    >>> x = np.linspace(1.0, 2.0, 8)
    >>> log = lambda m, x, y: np.mean((np.log(m * x) - y) ** 2)
    >>> cr.fit(np.array(1.0), log, (x, -x), cr.optim.sgd(10.0), epochs=5, batch_size=8)
    Traceback (most recent call last):
    ...
    chainrule.errors.DivergedError: -- TRAINING DIVERGED ... CR402
    ...
    Step 1 (epoch 2) makes NaN.
    log made NaN in 8 of 8 elements; the first is at [0].
    ...

    Works:

    >>> fit = cr.fit(np.array(1.0), log, (x, -x), cr.optim.sgd(0.01), epochs=5, batch_size=8)
    >>> bool(fit.history.loss[-1] < fit.history.loss[0])
    True
    """

    code = "CR402"
    title = "TRAINING DIVERGED"
    doing = "While training"

    def __init__(
        self, seen: str = "", needed: str = "", fix: str = "", *, fit: Any = None, step: int = -1, where: Any = None
    ) -> None:
        """`fit` is what was trained before step number `step`, counted from 0."""
        super().__init__(seen, needed, fix, where=where)
        self.fit = fit
        self.step = step


class CheckpointError(ChainruleError, ValueError):
    """What was saved cannot be used here.

    A checkpoint carries checksums of all it holds, and says what it was made for: the model's arrays, the optimiser's, the data,
    the random key, the batches. If a byte has changed, or training was started with something else, going on would silently give
    another result, so nothing is loaded.

    Fails:

    >>> import numpy as np, tempfile, chainrule as cr
    >>> x, folder = np.linspace(0.0, 1.0, 8), tempfile.mkdtemp()
    >>> line = lambda m, x, y: np.mean((m * x - y) ** 2)
    >>> fit = cr.fit(np.array(0.0), line, (x, x), cr.optim.sgd(0.1), epochs=2, batch_size=4, checkpoint=folder)
    >>> cr.fit(np.array(0.0), line, (x, x), cr.optim.sgd(0.1), epochs=3, batch_size=2, checkpoint=folder, resume=True)
    Traceback (most recent call last):
    ...
    chainrule.errors.CheckpointError: -- CHECKPOINT CANNOT BE USED ... CR501
    ...
    The checkpoint was made with batch_size 4, and this training has 2.
    ...

    Works:

    >>> fit = cr.fit(np.array(0.0), line, (x, x), cr.optim.sgd(0.1), epochs=3, batch_size=4, checkpoint=folder, resume=True)
    >>> len(fit.history.loss)
    3
    """

    code = "CR501"
    title = "CHECKPOINT CANNOT BE USED"


class DistributedError(ChainruleError, RuntimeError):
    """Processes that train together cannot begin, or cannot go on.

    The coordinator does not answer, its port is in use, a process has not called, has another version or other data; or, later,
    one of them is gone or has come to a halt. The message says which, and every process that is left gets it within the timeout
    that was given to `cr.distributed.initialize`. Where a checkpoint was asked for, process 0 has saved what was reached: start
    all processes again with the same arguments, and they go on from there.

    Fails:

    >>> import chainrule as cr
    >>> cr.distributed.initialize("127.0.0.1:9", processes=2, process_id=1, timeout=0.2)
    Traceback (most recent call last):
    ...
    chainrule.errors.DistributedError: -- PROCESSES CANNOT WORK TOGETHER ... CR502
    ...
    Nobody answers at 127.0.0.1:9 ...
    Is it running, is this its address, and does a firewall let the port through?

    Works:

    >>> cr.distributed.initialize(processes=1)
    >>> cr.distributed.process_count()
    1
    """

    code = "CR502"
    title = "PROCESSES CANNOT WORK TOGETHER"
