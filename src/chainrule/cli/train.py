"""``chainrule train``: from a table to a trained model and a page about it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.cli import hosts
from chainrule.cli.common import INTERRUPTED, CommandError, finite, need, sizes, writable

if TYPE_CHECKING:
    from chainrule.cli.judged import Row
    from chainrule.cli.predictor import Predictor
    from chainrule.cli.table import Part, Survey
    from chainrule.train import Fit

_NEEDED = ("pandas", "pyarrow", "safetensors", "jinja2", "latex2mathml", "matplotlib", "threadpoolctl", "sklearn")
RATES = {
    "sgd": 0.05, "gradient_descent": 0.05, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.05, "rmsprop": 1e-3, "adadelta": 1.0,
    "adam": 3e-3, "amsgrad": 3e-3, "adamw": 3e-3, "nadam": 3e-3, "radam": 3e-3, "lion": 3e-4,
}  # fmt: skip
"""Optimisers and the learning rates they start with here, for standardised columns."""
TASKS = dict.fromkeys(("vae", "gan", "wgan"), "chainrule.cli.train_generative") | {"rl": "chainrule.cli.train_rl"}
"""Tasks other than tables -> module with ``options(parser)``, which adds what the task alone has, and ``run(args)``."""
DIVERGED = 1
_LOSS_HELP = (
    "mse, mae, huber or log_cosh for amounts; cross_entropy, hinge or squared_hinge for classes "
    "(default: mse or cross_entropy; hinge for svm)"
)


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "train",
        help="train a model on a table and write a page about it",
        description="Train a model on a CSV or Parquet file; write the model, its history and a self-contained HTML page.",
        epilog="Exit status: 0 trained, 1 training diverged (what was trained before is kept), 2 wrong usage or data that cannot "
        "be learned from, 75 another process of the same training is gone, 130 interrupted (go on after both with --resume).",
    )
    p.add_argument("table", nargs="?", metavar="DATA", help="a CSV or Parquet file with a header (for --task, see there)")
    p.add_argument("--task", choices=("table", *TASKS), default="table", help="default: table, to predict a column of a table")
    p.add_argument("--data", dest="named", metavar="DATA", help="the same as DATA")
    p.add_argument("--target", metavar="COLUMN", help="the column to predict")
    p.add_argument("--model", choices=("mlp", "linear", "logistic", "svm"), default="mlp", help="what to train (default: mlp)")
    p.add_argument("--loss", metavar="LOSS", help=_LOSS_HELP)
    p.add_argument("--optimizer", choices=tuple(RATES), default="adam", help="default: adam")
    p.add_argument("--learning-rate", type=float, metavar="A", help="default: depends on the optimizer")
    p.add_argument("--epochs", type=int, help="default: 50; 200 for a gan or wgan")
    p.add_argument("--batch-size", type=int, metavar="N", help="default: 32, more for large tables")
    p.add_argument("--hidden", metavar="SIZES", help="units of the hidden layers (default: 64,64; 128 for a vae)")
    p.add_argument("--activation", default="relu", help="of the hidden layers (default: relu)")
    p.add_argument("--out", type=Path, default=Path("train-out"), metavar="DIR", help="where to write (default: train-out)")
    p.add_argument("--encode", action="store_true", help="turn columns of text into columns of zeros and ones")
    p.add_argument("--impute", choices=("mean",), help="fill missing numbers with the mean of the training rows")
    p.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="leave a column out (may be given again)")
    p.add_argument("--test-size", type=float, default=0.2, metavar="PART", help="part of the rows to test with (default: 0.2)")
    p.add_argument("--early-stopping", type=int, metavar="N", help="stop after N epochs in which the training loss did not fall")
    p.add_argument("--seed", type=int, default=0, help="default: 0")
    p.add_argument("--resume", action="store_true", help="go on where an interrupted training in DIR stopped")
    p.add_argument("--json", action="store_true", help="print what came of it as JSON")
    for module in dict.fromkeys(TASKS.values()):
        import_module(module).options(p)
    hosts.add(p)
    p.set_defaults(run=run)


@dataclass(frozen=True)
class Job:
    """A training that is ready to begin."""

    survey: Survey
    train: Part
    test: Part
    facts: dict[str, Any]
    loss: Callable[[Any, Any], Any]
    rate: float

    def wanted(self, part: Part) -> Any:
        """Targets in the form that the loss wants."""
        from chainrule.cli.predictor import targets

        y = (part.y - self.facts["target_mean"]) / self.facts["target_size"] if self.facts["classes"] is None else part.y
        return targets(self.facts["loss"], y, self.facts["sizes"][-1])


def run(args: argparse.Namespace) -> int:
    """Train as asked."""
    args.data = args.table or args.named
    if args.table and args.named:
        raise CommandError(f"the data are named twice: {args.table} and --data {args.named}")
    if args.task in TASKS:
        return import_module(TASKS[args.task]).run(args)
    if not args.data or not args.target:
        raise CommandError(f"name the {'table' if not args.data else 'column to predict, with --target'}")
    args.data, args.hidden = Path(args.data), args.hidden or "64,64"
    args.epochs = 50 if args.epochs is None else args.epochs
    need("study,train", *_NEEDED)
    _check(args)
    status = hosts.launch(args)
    return _one(args) if status is None else status


def _one(args: argparse.Namespace) -> int:
    """Train, as the only process or as one of several."""
    from chainrule import distributed, errors

    scratch = args.out / ".data"
    try:
        hosts.join(args)
        scratch = args.out / f".data-{distributed.process_id()}"
        return _trained(args, _prepared(args, scratch))
    except errors.DistributedError as e:
        if distributed.process_count() == 1:  # otherwise it is said when the process ends
            print(f"chainrule: {e.seen}\n{e.needed}".rstrip(), file=sys.stderr)
        return distributed.FAULT
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check(args: argparse.Namespace) -> None:
    """Raise for options that cannot be meant."""
    from chainrule.cli.predictor import LOSSES, predicts_classes
    from chainrule.nn import ACTIVATIONS

    hosts.check(args)
    for name in ("epochs", "batch_size", "early_stopping"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise CommandError(f"--{name.replace('_', '-')} must be 1 or more, and is {value}")
    if not 0 < args.test_size < 1:
        raise CommandError(f"--test-size must be between 0 and 1, and is {args.test_size:g}")
    if args.learning_rate is not None and not args.learning_rate > 0:
        raise CommandError(f"--learning-rate must be above 0, and is {args.learning_rate:g}")
    for what, value, known in (("--loss", args.loss, LOSSES), ("--activation", args.activation, ACTIVATIONS)):
        if value is not None and value not in known:
            raise CommandError(f"{what}: there is no {value!r}; there are {', '.join(known)}")
    if args.target in args.drop:
        raise CommandError(f"--drop {args.target}: this is the target")
    predicts_classes(args.model, args.loss)
    _hidden(args)


def _hidden(args: argparse.Namespace) -> list[int]:
    return sizes(args.hidden) if args.model == "mlp" else []


def _prepared(args: argparse.Namespace, scratch: Path) -> Job:
    """Read the table and bring it into shape; nothing is written before the table is known to be good."""
    from chainrule import random
    from chainrule.cli.predictor import facts_of, loss_name, objective, predicts_classes
    from chainrule.cli.table import Wanted, fill, moments, standardise, survey

    classes = predicts_classes(args.model, args.loss)
    w = Wanted(args.data, args.target, args.encode, args.impute is not None, tuple(args.drop), classes)
    s = survey(w)
    writable(args.out)
    train, test = fill(w, s, args.test_size, random.key(args.seed), scratch)
    mean, size = moments(train.x)
    for part in (train, test):
        standardise(part.x, mean, size)
    outputs = 1 if s.classes is None or len(s.classes) == 2 else len(s.classes)
    loss = loss_name(args.model, args.loss, s.classes is not None)
    facts = facts_of(s, mean, size, [len(s.names), *_hidden(args), outputs], args.activation, loss)
    if s.classes is None:
        facts["target_mean"], facts["target_size"] = (float(a[0]) for a in moments(train.y[:, None]))
    rate = RATES[args.optimizer] if args.learning_rate is None else args.learning_rate
    return Job(s, train, test, facts, objective(loss, outputs), rate)


def _trained(args: argparse.Namespace, job: Job) -> int:
    from chainrule import distributed, errors
    from chainrule.cli.predictor import Predictor

    try:
        fit, code = _fit(args, job), 0
    except errors.CheckpointError as e:
        raise CommandError(f"--resume: {e.seen} {e.needed}") from None
    except errors.DivergedError as e:
        print(f"chainrule: {e.seen}\n{e.needed}\nTry a smaller --learning-rate than {job.rate:g}.", file=sys.stderr)
        fit, code = e.fit, DIVERGED
    if len(fit.history) and distributed.process_id() == 0:
        with np.errstate(all="ignore"):  # what has diverged may overflow
            _written(args, job, Predictor(fit.model, job.facts), fit)
    if fit.stopped == "interrupted":
        print(f"Interrupted after {fit.report.epochs} epochs. Go on with --resume.", file=sys.stderr)
        return INTERRUPTED
    return code


def _fit(args: argparse.Namespace, job: Job) -> Fit:
    from chainrule import optim
    from chainrule.cli.predictor import network
    from chainrule.train import EarlyStopping, fit

    held_out = slice(0, 50_000)  # enough for a curve
    return fit(
        network(job.facts["sizes"], job.facts["activation"], args.seed),
        job.loss,
        (job.train.x, job.wanted(job.train)),
        getattr(optim, args.optimizer)(job.rate),
        epochs=args.epochs,
        batch_size=_batch(args, job),
        key=args.seed,
        validation=(job.test.x[held_out], job.wanted(job.test)[held_out]),
        early_stopping=EarlyStopping(args.early_stopping, "loss", restore_best=False) if args.early_stopping else None,
        checkpoint=args.out / "checkpoints",
        checkpoint_every=max(1, args.epochs // 50),
        resume=args.resume,
        engine=args.engine,
        devices=args.devices,
    )


def _batch(args: argparse.Namespace, job: Job) -> int:
    return args.batch_size or min(4096, max(32, len(job.train.y) // 2000))


def _written(args: argparse.Namespace, job: Job, p: Predictor, fit: Fit) -> None:
    """The model, the history, the numbers and the page."""
    from chainrule.cli.judged import convergence, metrics, theory
    from chainrule.cli.predictor import network, write
    from chainrule.cli.train_page import page
    from chainrule.study.report import write as write_page

    p.save(args.out)
    scores = {"train": metrics(p, job.train), "test": metrics(p, job.test)}
    data, linear = (job.train.x, job.wanted(job.train)), not _hidden(args)
    start = network(job.facts["sizes"], job.facts["activation"], args.seed)
    report = theory(start, job.loss, *data) if linear else None
    converged: Sequence[Row] = [
        ("steps before training diverged", float(fit.report.steps), "of a path that leads away from every minimum")
    ]
    if fit.stopped != "diverged":
        converged = convergence(p.network, job.loss, *data, linear, job.rate, _batch(args, job))
    columns = fit.history.columns
    rows = [["epoch", *columns], *[[k + 1, *row] for k, row in enumerate(zip(*columns.values(), strict=True))]]
    write(args.out / "history.csv", "".join(",".join(map(str, row)) + "\n" for row in rows).encode())
    name = f"{args.model} with {job.facts['loss']} and {args.optimizer}"
    path = write_page(args.out, page(name, job.survey, p, fit, job.test, scores, converged, report), "index.html")
    written = {
        "task": "regression" if p.classes is None else "classification", "model": args.model, "loss": job.facts["loss"],
        "optimizer": args.optimizer, "learning_rate": job.rate, "rows": job.survey.rows, "features": len(job.survey.names),
        "classes": p.classes, "epochs": fit.report.epochs, "steps": fit.report.steps, "stopped": fit.stopped, "metrics": scores,
        "history": {k: c.tolist() for k, c in columns.items()},
        "convergence": {label: value for label, value, _ in converged},
        "theorem": report.theorem.name if report is not None and report.theorem is not None and report.applies else None,
        "page": str(path),
    }  # fmt: skip
    text = json.dumps(finite(written), indent=1, ensure_ascii=False)
    write(args.out / "metrics.json", text.encode())
    print(text if args.json else _told(name, fit, scores, path))


def _told(name: str, fit: Fit, scores: dict[str, dict[str, float]], path: Path) -> str:
    from chainrule.train.history import aligned

    rows = [["", "training", "test"], *[[k, _short(scores["train"][k]), _short(v)] for k, v in scores["test"].items()]]
    head = str(fit.report).split("\n")[0]
    return f"{name}: {head}\n\n{aligned(rows)}\n\nThe page: {path}"


def _short(x: float) -> str:
    return f"{x:.4f}" if abs(x) < 1e6 else f"{x:.4g}"
