"""``chainrule train --task vae|gan|wgan``: from images to a model that makes more of them, and a page about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.cli.common import INTERRUPTED, CommandError, finite, need, sizes, writable

if TYPE_CHECKING:
    from chainrule.cli.images import Images

DIVERGED = 1
EPOCHS = {"vae": 50, "gan": 200, "wgan": 200}
HIDDEN = {"vae": "128", "gan": "128,128", "wgan": "128,128"}
RATES = {"vae": 3e-3, "gan": 1e-3, "wgan": 1e-3}
SHOWN = 6
"""How many times samples are kept for the page while the model learns."""


def options(p: argparse.ArgumentParser) -> None:
    """Add what these tasks alone have."""
    g = p.add_argument_group("--task vae, gan or wgan", "DATA is digits, or a file .npz or .npy of images; y in it are classes.")
    g.add_argument(
        "--latent", type=int, metavar="N", help="numbers that an image is made from (default: 8; 16 for a gan or wgan)"
    )
    g.add_argument("--likelihood", choices=("bernoulli", "gaussian"), default="bernoulli", help="of a vae (default: bernoulli)")
    g.add_argument("--beta", type=float, default=1.0, help="weight of the divergence of a vae (default: 1)")
    g.add_argument("--constraint", choices=("one_sided", "penalty", "clip", "spectral"), default="one_sided", help="of a wgan")


def run(args: argparse.Namespace) -> int:
    """Train as asked."""
    need("study,train", "safetensors", "jinja2", "latex2mathml", "matplotlib", "sklearn")
    from chainrule.cli.images import images

    _check(args)
    data = images(args.data, args.test_size, args.seed)
    writable(args.out)
    model = _model(args, data.train.shape[1])
    seen: dict[int, Any] = {}
    code = 0
    try:
        _fit(args, model, data, seen)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ArithmeticError as e:
        print(f"chainrule: {e}", file=sys.stderr)
        code = DIVERGED
    if model.history:
        _written(args, model, data, seen, code)
    if code == INTERRUPTED:
        print(f"Interrupted after {len(model.history)} epochs. Go on with --resume.", file=sys.stderr)
    return code


def _check(args: argparse.Namespace) -> None:
    """Raise for options that cannot be meant; put in what was not given."""
    if args.target:
        raise CommandError(f"--target belongs to tables, and the task is {args.task}")
    default = {
        "epochs": EPOCHS[args.task],
        "hidden": HIDDEN[args.task],
        "latent": 8 if args.task == "vae" else 16,
        "learning_rate": RATES[args.task],
        "batch_size": 64,
    }
    for name, usual in default.items():
        setattr(args, name, usual if getattr(args, name) is None else getattr(args, name))
    for name in ("epochs", "batch_size", "latent"):
        if getattr(args, name) < 1:
            raise CommandError(f"--{name.replace('_', '-')} must be 1 or more, and is {getattr(args, name)}")
    if not args.learning_rate > 0:
        raise CommandError(f"--learning-rate must be above 0, and is {args.learning_rate:g}")
    if not 0 < args.test_size < 1:
        raise CommandError(f"--test-size must be between 0 and 1, and is {args.test_size:g}")
    if not args.beta >= 0:
        raise CommandError(f"--beta must not be negative, and is {args.beta:g}")


def _model(args: argparse.Namespace, features: int) -> Any:
    """The model that the options describe, untrained."""
    from chainrule import generative, random

    how: dict[str, Any] = {"latent": args.latent, "hidden": sizes(args.hidden), "key": random.fold_in(random.key(args.seed), 1)}
    if args.task == "vae":
        return generative.VAE(features, likelihood=args.likelihood, **how)
    if args.task == "gan":
        return generative.GAN(features, **how)
    return generative.WGAN(features, constraint=args.constraint, **how)


def _fit(args: argparse.Namespace, model: Any, data: Images, seen: dict[int, Any]) -> None:
    """Train; `seen` gets samples, always from the same noise, after some of the epochs."""
    from chainrule import errors, random
    from chainrule.cli.generative_quality import drawn
    from chainrule.train.progress import watcher

    kept = {max(1, round(k)) for k in np.geomspace(1, args.epochs, SHOWN)}
    bar = watcher(None, args.epochs)

    def after(model: Any) -> None:
        epoch = len(model.history)
        bar.tell(epoch, 0.0, loss_of(model.history[-1]))
        if epoch in kept:
            seen[epoch] = drawn(model, 10, random.key(args.seed))

    how = {"beta": args.beta} if args.task == "vae" else {}
    try:
        model.fit(
            data.train, epochs=args.epochs, batch_size=args.batch_size, key=random.fold_in(random.key(args.seed), 2),
            learning_rate=args.learning_rate, after_epoch=after, checkpoint=args.out / "checkpoints",
            checkpoint_every=max(1, args.epochs // 50), resume=args.resume, **how,
        )  # fmt: skip
    except errors.CheckpointError as e:
        raise CommandError(f"--resume: {e.seen} {e.needed}") from None
    finally:
        bar.close()


def loss_of(entry: Any) -> float:
    """The number that tells how a training goes: the bound of a VAE, the loss of the generator of a game."""
    return float(entry) if isinstance(entry, float) else float(entry.generator)


def _written(args: argparse.Namespace, model: Any, data: Images, seen: dict[int, Any], code: int) -> None:
    """The model, the history, samples, the numbers and the page."""
    from chainrule.cli.generative_page import page
    from chainrule.cli.generative_quality import judged
    from chainrule.cli.predictor import write
    from chainrule.study.report import write as write_page

    save(args, model, data)
    head = ["bound"] if args.task == "vae" else list(model.history[0]._fields)
    rows = [[k + 1, *([h] if args.task == "vae" else h)] for k, h in enumerate(model.history)]
    write(args.out / "history.csv", "".join(",".join(map(str, row)) + "\n" for row in [["epoch", *head], *rows]).encode())
    numbers = judged(model, data, args.seed)
    path = write_page(args.out, page(args, model, data, seen, numbers), "index.html")
    facts = {
        "task": args.task,
        "data": data.name,
        "rows": len(data.train),
        "held_out": len(data.held_out),
        "epochs": len(model.history),
        "stopped": {0: "", INTERRUPTED: "interrupted", DIVERGED: "diverged"}[code],
        "learning_rate": args.learning_rate,
        "quality": {n.name: n.value for n in numbers},
        "history": {h: [row[k + 1] for row in rows] for k, h in enumerate(head)},
        "page": str(path),
    }
    text = json.dumps(finite(facts), indent=1)
    write(args.out / "metrics.json", text.encode())
    print(text if args.json else _told(args, model, numbers, path))


def _told(args: argparse.Namespace, model: Any, numbers: Any, path: Path) -> str:
    from chainrule.train.history import aligned

    table = aligned([["", "value", "of real images"], *[[n.name, f"{n.value:.4g}", n.of_real] for n in numbers]])
    return f"{args.task}: {len(model.history)} epochs.\n\n{table}\n\nThe page: {path}"


def _arrays(model: Any) -> dict[str, Any]:
    from chainrule.build.tree import flatten

    return {str(k): np.array(x, order="C") for k, x in enumerate(flatten(_parts(model))[0])}


def _parts(model: Any) -> list[Any]:
    """The networks that make samples."""
    return [model.net] if hasattr(model, "net") else [model.generator]


def save(args: argparse.Namespace, model: Any, data: Images) -> None:
    """Write ``model.safetensors`` and ``model.json``, each at once."""
    from safetensors.numpy import save

    from chainrule.cli.predictor import write

    names = ("task", "latent", "hidden", "likelihood", "constraint", "seed")
    facts = {n: getattr(args, n) for n in names} | {"shape": data.shape, "low": data.low, "high": data.high, "format": 1}
    write(args.out / "model.safetensors", save(_arrays(model)))
    write(args.out / "model.json", json.dumps({**facts, "features": data.train.shape[1]}, indent=1).encode())


def load(folder: str | Path) -> tuple[Any, Callable[[Any], Any]]:
    """The model that ``chainrule train --task vae|gan|wgan --out FOLDER`` has saved, and its samples as images again.

    Returns:
        The model (of a game, the generator), and a function of rows (n, features) to images in the units of the data.
    """
    from safetensors.numpy import load_file

    from chainrule.build.tree import flatten, unflatten

    facts = json.loads((Path(folder) / "model.json").read_text())
    if facts.get("format") != 1 or "task" not in facts:
        raise ValueError(f"{folder} was not written by chainrule train --task vae, gan or wgan")
    arrays = load_file(Path(folder) / "model.safetensors")
    model = _model(argparse.Namespace(**facts), facts["features"])
    (part,) = unflatten(flatten(_parts(model))[1], [arrays[str(k)] for k in range(len(arrays))])
    setattr(model, "net" if hasattr(model, "net") else "generator", part)
    shape = tuple(facts["shape"]) or (facts["features"],)
    return model, lambda rows: np.reshape(rows, (-1, *shape)) * (facts["high"] - facts["low"]) + facts["low"]
