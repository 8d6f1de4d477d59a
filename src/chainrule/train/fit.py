"""`fit`: train a model on data with an optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import errors, optim, random
from chainrule.train.callbacks import Callback, EarlyStopping
from chainrule.train.history import History
from chainrule.train.report import Report
from chainrule.train.training import Options, Training

Metrics = Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]] | Callable[..., Any]


@dataclass(frozen=True, repr=False)
class Fit:
    """A trained model and how it was trained.

    Attributes:
        model: the model, in the containers it came in.
        history: one number per epoch and quantity.
        report: what came of it, in a few lines.
    """

    model: Any
    history: History
    report: Report

    @property
    def stopped(self) -> str:
        """Why it ended: "finished", "early", "callback", "interrupted" or "diverged"."""
        return self.report.stopped

    def __repr__(self) -> str:
        return repr(self.report)


@errors.boundary
def fit(
    model: Any,
    loss: Callable[..., Any],
    data: Any,
    optimizer: Any,
    epochs: int = 10,
    batch_size: int = 32,
    key: Any = 0,
    *,
    validation: Any = None,
    metrics: Metrics = (),
    early_stopping: EarlyStopping | int | None = None,
    callbacks: Iterable[Callback] | Callback = (),
    accumulate: int = 1,
    shuffle: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 1,
    resume: bool = True,
    keep: int = 2,
    progress: bool | None = None,
    engine: str | None = None,
    devices: int | str | Sequence[int] | None = None,
    apply: Callable[..., Any] | None = None,
) -> Fit:
    r"""Train: $\theta_{k+1}$ is the step from $\theta_k$ along $\nabla \frac{1}{|B|} \sum_{i \in B} \ell_i(\theta_k)$.

    In every epoch each example is used once, in an order drawn from the key.  The loop over the steps of an epoch is one compiled
    function.  If the number of examples is no multiple of the batch size, the last step of an epoch uses those that are left, and
    its loss is the mean over these; the loss of an epoch is the mean over examples, not over steps.

    Args:
        model: Any containers of arrays: a layer of `cr.nn`, a dict, a dataclass.  Floating-point arrays are learned; running
            averages of layers that have them are renewed as the layers say.
        loss: A loss of `cr.losses` or a function of (y_true, y_pred), for a model that can be called; or a function of
            (model, x, y), which may take a ``key`` and ``training``.  It returns the mean over its batch.
        data: ``(x, y)``, each an array or containers of arrays with examples along the first axis; one array, a tuple of several,
            or a dict for losses of (model, *parts).  Arrays on disk (`np.memmap`) are read in windows.  Or batches: an iterable
            of them, or a function of the epoch number that returns one.  Floating-point data takes the dtype of the model.
        optimizer: A rule of `cr.optim`, or anything with ``init(params)`` and ``step(params, grads, state)``.
        epochs: How often to go through the data.
        batch_size: Examples per gradient; batches that come from outside keep their sizes.
        key: A random key or a seed: for the order, for the held-out examples, for layers and losses that draw.
        validation: Part of the data to hold out (0 < validation < 1), or data of its own.
        metrics: Functions of (y_true, y_pred), by name or not, computed after each epoch on all held-out examples at once (on the
            training data if none are held out).
        early_stopping: How many epochs without improvement are borne, or an `EarlyStopping`.
        callbacks: Functions of a `Moment`, called after each epoch; training stops if one returns True.
        accumulate: How many batches make one step.  Its gradient is that of the mean over all their examples.
        shuffle: Draw a new order in each epoch?
        checkpoint: Folder for checkpoints.
        checkpoint_every: Epochs between two checkpoints; a part of an epoch (0.1) for arrays.  The last state is always saved.
        resume: Go on from the newest checkpoint in the folder, with the same bits as if training had never been interrupted; with
            False, checkpoints in the folder are deleted first.
        keep: How many checkpoints to keep.
        progress: A progress bar; by default where standard error is a terminal.
        engine: See `cr.jit`; "xla" spreads every batch over devices, and over the processes of `cr.distributed`.
        devices: With "xla": how many devices, or their numbers in the order of ``jax.devices()``; by default all.
            The result does not depend on it, but for rounding.
        apply: ``apply(model, x)``, for a model that cannot be called.

    Returns:
        The model, its history and a report; after Ctrl-C too, and ``fit.stopped`` is "interrupted" then.

    Raises:
        DivergedError: A step makes NaN. The error names step and operation, and its ``fit`` is what was trained before.
        CheckpointError: What the folder holds is damaged or was made for another training.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> x = np.linspace(-1.0, 1.0, 64)[:, None]
        >>> net = cr.nn.MLP([1, 16, 1], "tanh", key=cr.random.key(0))
        >>> fit = cr.fit(net, cr.losses.mse, (x, np.sin(3 * x)), cr.optim.adam(0.02), epochs=100, batch_size=16, key=1)
        >>> bool(fit.history.loss[-1] < 0.01), fit.model(x).shape
        (True, (64, 1))
    """
    options = Options(
        epochs=_whole("epochs", epochs, 0),
        batch_size=_whole("batch_size", batch_size),
        accumulate=_whole("accumulate", accumulate),
        key=_key(key),
        metrics=_named(metrics),
        early_stopping=EarlyStopping(early_stopping) if isinstance(early_stopping, int) else early_stopping,
        callbacks=[callbacks] if callable(callbacks) else list(callbacks),
        shuffle=shuffle,
        folder=_folder(checkpoint),
        every=_every(checkpoint_every),
        resume=resume,
        keep=_whole("keep", keep),
        progress=progress,
        engine=engine,
        devices=devices,
    )
    _rule(optimizer)
    training = Training(model, loss, data, optimizer, _apart(validation), apply, options)
    try:
        training.run()
    except errors.DivergedError as e:
        e.fit = Fit(*training.result())
        raise
    return Fit(*training.result())


def _whole(name: str, n: Any, least: int = 1) -> int:
    if not hasattr(n, "__index__") or isinstance(n, bool) or n.__index__() < least:
        raise ValueError(f"fit: {name} is a whole number, {least} or more, not {n!r}")
    return n.__index__()


def _rule(optimizer: Any) -> None:
    if callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "step", None)):
        return
    name = getattr(optimizer, "__name__", None)
    known = callable(optimizer) and getattr(optim, str(name), None) is optimizer
    cure = f"call it, cr.optim.{name}(...)" if known else "such as cr.optim.adam(1e-3)"
    raise TypeError(f"fit: the optimizer is a rule with init and step, not {name or repr(optimizer)}: {cure}")


def _apart(validation: Any) -> Any:
    """A share of the data to hold out, or data to judge by."""
    if not isinstance(validation, int | float | np.number):
        return validation
    if not 0 < validation < 1:
        raise ValueError(f"fit: validation is data, or a share of the examples between 0 and 1, not {validation}")
    return float(validation)


def _folder(checkpoint: str | Path | None) -> Path | None:
    """Where checkpoints go; an error now is better than one after the first epoch."""
    if checkpoint is None:
        return None
    folder = Path(checkpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"fit: checkpoint={str(checkpoint)!r} is no folder, and cannot become one") from None
    return folder


def _key(key: Any) -> Any:
    """A random key as it is, or made from a seed."""
    return random.key(0 if key is None else key) if np.ndim(key) == 0 else np.asarray(key)


def _every(n: float) -> float:
    if not n > 0 or (n > 1 and n != int(n)):
        raise ValueError(f"fit: checkpoint_every is a number of epochs, or a part of one, not {n!r}")
    return n


def _named(metrics: Metrics) -> dict[str, Callable[..., Any]]:
    if isinstance(metrics, Mapping):
        return dict(metrics)
    found = [metrics] if callable(metrics) else list(metrics)
    for f in found:
        if not callable(f):
            raise TypeError(f"fit: a metric is a function of (y_true, y_pred), not {f!r}")
    names = [getattr(f, "name", None) or getattr(f, "__name__", "metric") for f in found]
    if len(set(names)) < len(names):
        raise ValueError(f"fit: metrics of one name cannot be told apart: {', '.join(names)}. Give a dict of names and functions")
    return dict(zip(names, found, strict=True))
