"""One training from its first step to its last: what it has, what it knows so far, and how it goes on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import distributed, errors, random
from chainrule.build.tree import flatten, map_tree, unflatten
from chainrule.calls import traced
from chainrule.emit.watch import debug_nans
from chainrule.ir.graph import Graph
from chainrule.losses import Loss
from chainrule.train import saved, together
from chainrule.train.blame import blamed
from chainrule.train.callbacks import Best, Callback, EarlyStopping, Moment
from chainrule.train.data import Arrays, Piece, Stream, is_stream
from chainrule.train.history import Array, History, mean_by_size
from chainrule.train.mesh import MeshSteps
from chainrule.train.model import Anatomy, Forward, Objective, Tree
from chainrule.train.pace import Pace
from chainrule.train.progress import watcher
from chainrule.train.report import Report
from chainrule.train.steps import State, Steps, copied, finite

_ORDER, _STEPS, _HELD_OUT, _JUDGED = range(4)
"""What random numbers are for: each has a key of its own."""


@dataclass(frozen=True)
class Options:
    """How to train; see `fit`."""

    epochs: int
    batch_size: int
    accumulate: int
    key: Any
    metrics: dict[str, Callable[..., Any]]
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callback]
    shuffle: bool
    folder: Path | None
    every: float
    resume: bool
    keep: int
    progress: bool | None
    engine: str | None
    devices: int | str | Sequence[int] | None


@dataclass
class Record:
    """What is known so far.  `losses` and `sizes` are those of the steps, of the epoch that runs and of all before."""

    columns: dict[str, list[float]]
    losses: list[Array]
    sizes: list[Array]
    epoch: int = 0
    at: int = 0  # steps taken in the epoch that runs
    step: int = 0
    examples: int = 0
    stopped: str = "finished"

    def history(self) -> History:
        """The numbers as arrays."""
        steps = np.concatenate(self.losses) if self.losses else np.empty(0)
        return History({name: np.array(c, np.float64) for name, c in self.columns.items()}, steps)


class Training:
    """A training that runs."""

    def __init__(
        self, model: Tree, loss: Callable[..., Any], data: Any, optimizer: Any, validation: Any, apply: Any, options: Options
    ) -> None:
        self.options = options
        self.group = distributed.current()
        anatomy = Anatomy.of(model)
        self._sources(data, validation, anatomy)
        first = self.first_batch()
        self.objective = Objective(loss, Forward(model, apply), len(first))
        if isinstance(loss, Loss):
            loss.checked_targets(self.source.targets() if isinstance(self.source, Arrays) else first[1])
        if options.metrics and not (len(first) == 2 and self.objective.forward.callable):
            raise TypeError("fit: metrics compare targets with outputs, which needs data (x, y) and a model that can be called")
        self.anatomy = self._examined(anatomy, first)
        self.rule = optimizer
        self.steps = self._compiled()
        params = self.anatomy.params
        self.state = State(params, self.anatomy.statistics, saved.as_arrays(optimizer.init(params)))
        names = [("val_" if self.held_out else "") + name for name in options.metrics]
        columns = ["loss", *["val_loss"] * (self.held_out is not None), *names]
        self.record = Record({name: [] for name in columns}, [], [])
        self.best = Best.of(options.early_stopping, columns)
        self.best_state: State | None = None
        self.pace = Pace()
        self.seconds = 0.0
        self.read = 0
        self.saved: tuple[int, int, int] | None = None

    # --- what it has ------------------------------------------------------------------------------------------------

    def _key(self, what: int) -> Any:
        return random.fold_in(self.options.key, what)

    def _compiled(self) -> Steps:
        o = self.options
        if self.group.processes > 1 and o.engine not in (None, "xla"):
            raise ValueError(f"fit: {self.group.processes} processes train with engine='xla', not {o.engine!r}")
        if o.engine == "xla" or self.group.processes > 1:
            return MeshSteps(self.objective, self.anatomy, self.rule, o.devices)
        if o.devices is not None:
            raise ValueError("fit: devices are those of engine='xla'")
        return Steps(self.objective, self.anatomy, self.rule, o.engine)

    def _sources(self, data: Any, validation: Any, anatomy: Anatomy) -> None:
        held_out = None if validation is None or isinstance(validation, float) else Arrays.of(validation, anatomy.dtype)
        if is_stream(data):
            if isinstance(validation, float):
                raise ValueError("fit: a part can be held out of arrays, not of batches; give validation=(x, y)")
            if self.options.metrics and held_out is None:
                raise ValueError("fit: metrics on data that comes in batches need validation=(x, y)")
            self.source: Arrays | Stream = Stream(data, anatomy.dtype)
        else:
            source = Arrays.of(data, anatomy.dtype)
            if isinstance(validation, float):
                source, held_out = self._split(source, validation)
            self.source = source
        self.held_out = held_out

    def _split(self, source: Arrays, part: float) -> tuple[Arrays, Arrays]:
        count = round(source.n * part)
        if not 0 < part < 1 or not 0 < count < source.n:
            raise ValueError(f"fit: validation={part} of {source.n} examples leaves none on one side")
        order = random.permutation(self._key(_HELD_OUT), source.n)
        return source.part(np.sort(order[count:])), source.part(np.sort(order[:count]))

    def first_batch(self) -> Any:
        """The examples of one batch."""
        if isinstance(self.source, Stream):
            batch, self.source = self.source.first()
            return batch
        return self.source.rows(np.arange(min(self.source.n, self.options.batch_size)))

    def _examined(self, anatomy: Anatomy, batch: Any) -> Anatomy:
        """The anatomy with the arrays that the model renews without having said so; raise if the model cannot be run."""
        found: list[int] = []

        def run(leaves: list[Any]) -> Any:
            values = iter(leaves)
            whole = unflatten(anatomy.spec, [next(values) if isinstance(x, np.ndarray) else x for x in anatomy.leaves])
            loss, new = self.objective.training(whole, batch, self.options.key)
            found[:] = [] if new is None else anatomy.changed(whole, new)
            return loss

        traced(run, ([x for x in anatomy.leaves if isinstance(x, np.ndarray)],), {}, name="fit", values=False)
        return anatomy.also_measured(found)

    def traced(self, batch: Any) -> Graph:
        """The graph of a step with one batch."""
        run = map_tree(lambda x: x[None], batch)
        return self.steps.one.trace(self.state, None, [run], self.options.key, np.int64(0))

    def signature(self) -> dict[str, Any]:
        """What a checkpoint must have in common with this training."""
        o, streamed = self.options, isinstance(self.source, Stream)
        return {
            "model": saved.shapes((self.state.params, self.state.statistics)),
            "optimizer": saved.shapes(self.state.optimizer),
            "batch_size": "that of the batches" if streamed else o.batch_size,
            "accumulate": o.accumulate,
            "shuffle": o.shuffle,
            "key": [int(w) for w in o.key],
            "data": "batches" if isinstance(self.source, Stream) else self.source.signature(),
        }

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run to the end, wherever that is."""
        start = time.perf_counter()
        try:
            together.alike(self)
            if self.options.folder is not None:
                saved.begin(self, self.options.folder)
        except BaseException as e:
            self.group.failed(e)
            raise
        self.watcher = watcher(self.options.progress if self.group.id == 0 else False, self.options.epochs)
        self.group.rescue = self._save
        try:
            with interruptions(several=self.group.processes > 1) as interrupted:
                self._epochs(interrupted)
            self._save()
        except errors.DistributedError as e:
            self.group.failed(e)
            self._save()
            raise
        except errors.DivergedError:
            raise
        except BaseException as e:
            if not self._ends_in_order(e):
                raise
        finally:
            self.group.rescue = None
            self.watcher.close()
            self.seconds = time.perf_counter() - start

    def _ends_in_order(self, e: BaseException) -> bool:
        """Ctrl-C out of a callback, or where no handler could be set, ends a training in order; nothing else does."""
        if self.group.processes > 1:
            self.group.failed(e)
            return False
        if isinstance(e, KeyboardInterrupt):
            self.record.stopped = "interrupted"
            self._save()
            return True
        return False

    def _epochs(self, interrupted: list[str]) -> None:
        r, patience = self.record, self.options.early_stopping
        while r.epoch < self.options.epochs:
            if patience and self.best.waited >= patience.patience:
                r.stopped = "early"
                return
            if not self._steps(interrupted):
                r.stopped = "interrupted"
                return
            if self._epoch_ends():
                r.stopped = "callback"
                return
            if r.epoch % max(1, self.options.every) == 0 and r.epoch < self.options.epochs:
                self._save()

    def _pieces(self) -> Any:
        r, o = self.record, self.options
        if isinstance(self.source, Stream):
            return self.source.pieces(r.epoch, o.accumulate, r.at, self._ask)
        order = self.source.order(random.fold_in(self._key(_ORDER), r.epoch), o.shuffle)
        return self.source.pieces(order, o.batch_size, o.accumulate, r.at, self._ask)

    def _ask(self, left: int) -> int:
        every = self._every()
        self.pace.total = left if self.record.at == 0 else self.pace.total
        self.pace.until = None if every is None else every - self.record.at % every
        return self.pace.ask(left)

    def _every(self) -> int | None:
        """Steps between two checkpoints within an epoch."""
        if self.options.folder is None or self.options.every >= 1:
            return None
        if isinstance(self.source, Stream):
            raise ValueError("fit: checkpoint_every is a whole number of epochs for data that comes in batches")
        total = -(-self.source.n // (self.options.batch_size * self.options.accumulate))
        return max(1, round(self.options.every * total))

    def _steps(self, interrupted: list[str]) -> bool:
        """The steps of an epoch, or what is left of them; False if interrupted in between."""
        r, key = self.record, self._key(_STEPS)
        for piece in self._pieces():
            before, start = self.steps.kept(self.state), time.perf_counter()
            try:
                state, losses, good = self.steps.take(self.state, piece, key, r.step)
            except BaseException:
                self.state = before
                raise
            seconds = together.agree(self, piece, time.perf_counter() - start, interrupted)
            if not good:
                self._diverged(before, piece, key)
            self._note(state, losses, piece.examples)
            self.pace.took(piece.steps, seconds)
            every = self._every()
            if every is not None and r.at % every == 0:
                self._save()
            self.watcher.tell(r.epoch, self._part(), float(losses[-1]))
            if interrupted:
                return False
        return True

    def _note(self, state: State, losses: Array, examples: int) -> None:
        r, n = self.record, len(losses)
        self.state = state
        r.losses.append(losses)
        r.sizes.append(np.full(n, examples))
        r.at, r.step, self.read = r.at + n, r.step + n, self.read + n * examples
        r.examples += n * examples

    def _part(self) -> float:
        if isinstance(self.source, Stream):
            return 0.0
        return min(1.0, self.record.at * self.options.batch_size * self.options.accumulate / self.source.n)

    def _epoch_ends(self) -> bool:
        """Measure, remember and tell; True if a callback wants to stop."""
        r, o = self.record, self.options
        r.columns["loss"].append(mean_by_size(last(r.losses, r.at), last(r.sizes, r.at)))
        if self.held_out is not None:
            r.columns["val_loss"].append(self.judged(self.held_out))
        if o.metrics:
            self._measure()
        together.settle(self, r.columns)
        r.epoch, r.at = r.epoch + 1, 0
        better = self.best.see(r.columns[self.best.monitor][-1], r.epoch)
        if better and o.early_stopping is not None and o.early_stopping.restore_best:
            self.best_state = copied(self.state)
        moment = Moment(r.epoch, r.step, r.history, lambda: self._model(copied(self.state))) if o.callbacks else None
        stop = [f(moment) for f in o.callbacks if moment].count(True) > 0
        return together.any_of(self, stop) if o.callbacks else stop

    # --- judging ----------------------------------------------------------------------------------------------------

    def judged(self, data: Arrays) -> float:
        """The mean loss of the model on data, nothing learned."""
        key, losses, sizes = self._key(_JUDGED), list[Array](), list[Array]()
        for rows in self._batches(data):
            losses.append(self.steps.judge(self.state, data, rows, key))
            sizes.append(np.full(len(rows), rows.shape[1]))
        return mean_by_size(np.concatenate(losses), np.concatenate(sizes))

    def _measure(self) -> None:
        data, r = self.held_out or self.source, self.record
        assert isinstance(data, Arrays)
        outputs, targets = list[Any](), list[Any]()
        for rows in self._batches(data):
            found = self.steps.predict(self.state, data, rows)
            outputs.append(np.reshape(found, (-1, *found.shape[2:])))
            targets.append(data.rows(rows.ravel())[1])
        y_true, y_pred = np.concatenate(targets), np.concatenate(outputs)
        for name, f in self.options.metrics.items():
            r.columns[("val_" if self.held_out else "") + name].append(float(f(y_true, y_pred)))

    def _batches(self, data: Arrays) -> Generator[Array, None, None]:
        """The rows of data in batches int64[count, size]."""
        for piece in data.pieces(np.arange(data.n), self.options.batch_size, 1, 0, lambda left: left):
            yield from piece.odd if piece.groups is None else [piece.groups[:, 0]]

    # --- ending -----------------------------------------------------------------------------------------------------

    def _diverged(self, state: State, piece: Piece, key: Any) -> None:
        """Take the steps of a piece one by one up to the first that makes NaN, and raise; all before it is kept."""
        r, step = self.record, piece
        for k in range(piece.steps):
            step = piece.only(k)
            new, loss, good = self.steps.take(self.steps.kept(state), step, key, r.step)
            if not good:
                break
            self._note(new, loss, piece.examples)
            state = new
        self.state = state
        r.stopped = "diverged"
        self._save()
        raise self._told(copied(state), step, key)

    def _told(self, state: State, step: Piece, key: Any) -> errors.DivergedError:
        r = self.record
        seen, needed, where = f"Step {r.step} (epoch {r.epoch + 1}) makes NaN.", "", None
        try:
            data, runs = step.local()
            needed = blamed(self.objective, self._model(state), step, data, runs, self.options.key)
            with debug_nans():
                new = self.steps.step(state, data, [rows[0] for rows in runs], key, r.step)[0]
            if not finite(new.params) and not needed:
                seen = f"Step {r.step} (epoch {r.epoch + 1}) makes infinite parameters."
        except errors.NonFiniteError as e:
            seen, needed, where = f"{seen}\n{e.seen}", needed or e.needed, e.where
        return errors.DivergedError(seen, needed, step=r.step, where=where)

    def _save(self) -> None:
        now = (self.record.epoch, self.record.at, self.record.step)
        if self.options.folder is not None and now != self.saved and self.group.id == 0:
            saved.write(self, self.options.folder)
            self.saved = now

    def _model(self, state: State) -> Tree:
        return self.anatomy.whole(state.params, state.statistics)

    def result(self) -> tuple[Tree, History, Report]:
        """Model, history and report."""
        r, rule = self.record, self.options.early_stopping
        restored = self.best_state is not None and rule is not None and rule.restore_best and r.stopped != "diverged"
        state = self.best_state if restored and self.best_state is not None else self.state
        history = r.history()
        report = Report(
            stopped=r.stopped,
            epochs=r.epoch,
            steps=r.step,
            parameters=sum([np.size(x) for x in flatten(state.params)[0]]),
            examples=r.examples,
            seconds=self.seconds,
            rate=self.read / self.seconds if self.seconds else 0.0,
            monitor=self.best.monitor,
            best_epoch=self.best.epoch,
            best=self.best.sign * self.best.value,
            restored=restored,
            history=history,
        )
        return self._model(copied(state)), history, report


def last(parts: Sequence[Array], n: int) -> Array:
    """The last n numbers of arrays one after another."""
    found, count = list[Array](), 0
    for part in reversed(parts):
        if count >= n:
            break
        found.insert(0, part)
        count += len(part)
    return np.concatenate(found)[count - n :] if found else np.empty(0)


@contextmanager
def interruptions(several: bool = False) -> Generator[list[str], None, None]:
    """A list that is filled by Ctrl-C, so that a step is never cut in two; a second Ctrl-C interrupts at once.

    Where several processes train, SIGTERM does the same, which is how a scheduler says that time is up.
    """
    pressed: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    signals = (signal.SIGINT, signal.SIGTERM) if several else (signal.SIGINT,)

    def press(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(signal.Signals(number).name)

    old = [(s, signal.signal(s, press)) for s in signals]
    try:
        yield pressed
    finally:
        for s, handler in old:
            signal.signal(s, handler)
