"""What ``chainrule train`` trains: a network between a table's columns and its target, and how to save and load it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import losses, nn, random
from chainrule.build.tree import flatten, unflatten
from chainrule.cli.common import CommandError
from chainrule.cli.table import Survey, categories, encoded

Array = np.ndarray[Any, np.dtype[Any]]
FORMAT = 1
AMOUNTS = ("mse", "mae", "huber", "log_cosh")
CLASSES = ("cross_entropy", "hinge", "squared_hinge")
MODELS: dict[str, bool | None] = {"mlp": None, "linear": False, "logistic": True, "svm": True}
"""Model -> does it predict classes?  None: both."""
_ALIASES: dict[str, str] = {
    "binary_cross_entropy": "cross_entropy",
    "categorical_cross_entropy": "cross_entropy",
    "sparse_categorical_cross_entropy": "cross_entropy",
}
LOSSES = (*AMOUNTS, *CLASSES, *_ALIASES)


def predicts_classes(model: str, loss: str | None) -> bool | None:
    """Does a model with this loss predict classes?  None: the target decides."""
    name = _ALIASES.get(loss, loss) if loss else None
    by_loss = None if name is None else name in CLASSES
    if by_loss is None or MODELS[model] is None:
        return MODELS[model] if by_loss is None else by_loss
    if by_loss != MODELS[model]:
        fitting = CLASSES if MODELS[model] else AMOUNTS
        raise CommandError(
            f"--model {model} predicts {'classes' if MODELS[model] else 'numbers'}; its losses are {', '.join(fitting)}"
        )
    return by_loss


def loss_name(model: str, loss: str | None, classes: bool) -> str:
    """The loss that was asked for, or the one that goes with the model."""
    if loss is not None:
        return _ALIASES.get(loss, loss)
    return {"svm": "hinge"}.get(model, "cross_entropy") if classes else "mse"


@dataclass(frozen=True)
class Predictor:
    """A trained network with all that leads from a table to a prediction.

    Attributes:
        network: of standardised features, with one output per class (one in all for two classes or an amount).
        facts: the columns, their categories, means and sizes; the target, its classes or scale; the loss.
    """

    network: Any
    facts: dict[str, Any]

    @property
    def classes(self) -> list[Any] | None:
        """The classes, None for an amount."""
        return self.facts["classes"]

    def scores(self, x: Array) -> Array:
        """The network's outputs for standardised features."""
        return np.asarray(self.network(x))

    def decided(self, z: Array) -> Array:
        """Predictions from the network's outputs: numbers of classes, or amounts."""
        if self.classes is None:
            return z[:, 0] * self.facts["target_size"] + self.facts["target_mean"]
        return (z[:, 0] > 0).astype(np.int64) if z.shape[1] == 1 else z.argmax(1)

    def predict(self, table: Any) -> Array:
        """A prediction for each row of a pandas DataFrame with the columns of the training table."""
        x = np.concatenate([encoded(name, values, table) for name, values in self.facts["columns"]], axis=1)
        x = np.nan_to_num((x - np.array(self.facts["mean"])) / np.array(self.facts["size"]), nan=0.0)
        found = self.decided(self.scores(x))
        return found if self.classes is None else np.array(self.classes)[found]

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``model.json``, each at once."""
        from safetensors.numpy import save

        arrays = {str(k): np.array(x, order="C") for k, x in enumerate(flatten(self.network)[0])}
        write(folder / "model.safetensors", save(arrays))
        write(folder / "model.json", json.dumps({"format": FORMAT, **self.facts}, indent=1).encode())


def load(folder: str | Path) -> Predictor:
    """The predictor that ``chainrule train --out FOLDER`` has saved."""
    from safetensors.numpy import load_file

    facts = json.loads((Path(folder) / "model.json").read_text())
    if facts.pop("format", None) != FORMAT:
        raise ValueError(f"{folder} was not written by this version of chainrule")
    arrays = load_file(Path(folder) / "model.safetensors")
    spec = flatten(network(facts["sizes"], facts["activation"], 0))[1]
    return Predictor(unflatten(spec, [arrays[str(k)] for k in range(len(arrays))]), facts)


def write(path: Path, data: bytes) -> None:
    """Write a file at once: a reader sees the old one or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def network(sizes: list[int], activation: str, seed: int) -> Any:
    """A multilayer perceptron; without hidden layers a linear map."""
    return nn.MLP(sizes, activation, key=random.key(seed))


def facts_of(s: Survey, mean: Array, size: Array, sizes: list[int], activation: str, loss: str) -> dict[str, Any]:
    """What a predictor must know of the table."""
    return {
        "columns": [[c.name, categories(c) if c.text else None] for c in s.features],
        "names": s.names,
        "mean": mean.tolist(),
        "size": size.tolist(),
        "target": s.target.name,
        "classes": s.classes,
        "target_mean": 0.0,
        "target_size": 1.0,
        "sizes": sizes,
        "activation": activation,
        "loss": loss,
    }


def objective(loss: str, outputs: int) -> Callable[[Any, Any], Any]:
    """The loss of targets as `targets` makes them."""
    if loss != "cross_entropy":
        named: Any = losses.LOSSES[loss]
        return named
    row = losses.binary_cross_entropy if outputs == 1 else losses.sparse_categorical_cross_entropy
    return lambda y_true, y_pred: row(y_true, y_pred, from_logits=True)


def targets(loss: str, y: Array, outputs: int) -> Array:
    """Targets in the form that the loss wants: numbers of classes, 0 and 1, -1 and 1, or amounts, each row for itself."""
    if loss in AMOUNTS or (loss == "cross_entropy" and outputs == 1):
        return y.astype(np.float64)[:, None]
    if loss == "cross_entropy":
        return y
    return np.where(y[:, None] == ([1] if outputs == 1 else np.arange(outputs)), 1.0, -1.0)
