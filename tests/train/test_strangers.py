"""What a stranger passes to `fit`: numbers that are none, labels that are no class, names in the place of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr

X = np.random.default_rng(3).normal(size=(24, 3))
Y = np.ones((24, 1))


def fitted(x: Any, y: Any, loss: Any = cr.losses.mse, optimizer: Any = None, outputs: int = 1, **options: Any) -> Any:
    net = cr.nn.Dense(3, outputs, key=cr.random.key(0))
    rule = cr.optim.sgd(0.1) if optimizer is None else optimizer
    return cr.fit(net, loss, (x, y), rule, **{"epochs": 1, "batch_size": 8, "progress": False, **options})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_in_the_data_that_is_none_is_named(value: float) -> None:
    x, y = X.copy(), Y.copy()
    x[17, 2] = value
    with pytest.raises(cr.errors.DivergedError, match=rf"(?s)Step \d .epoch 1. makes NaN.*x\[17, 2\] is {value}"):
        fitted(x, Y)
    y[5, 0] = value
    with pytest.raises(cr.errors.DivergedError, match=rf"y\[5, 0\] is {value}"):
        fitted(X, y)


@pytest.mark.parametrize("row", [0, 23])  # in the batch that is looked at first, and in one that only compiled code sees
def test_a_label_that_is_no_class_is_named_wherever_it_comes(row: int) -> None:
    labels = np.zeros(24, int)
    labels[row] = 4
    with pytest.raises(ValueError, match="labels are 0 to 1, and y_true holds 0 to 4"):
        fitted(
            X, labels, lambda y, z: cr.losses.sparse_categorical_cross_entropy(y, z, from_logits=True), outputs=2, shuffle=False
        )


def test_targets_that_a_loss_is_not_for_are_an_error_before_the_first_step() -> None:
    y = np.concatenate([np.ones((20, 1)), np.zeros((4, 1))])
    with pytest.raises(ValueError, match=r"hinge is for y in .*holds 0"):
        fitted(X, y, cr.losses.hinge)
    assert np.isfinite(fitted(X, 2 * y - 1, cr.losses.hinge).history.loss).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": cr.optim.adam}, TypeError, r"call it, cr.optim.adam\(...\)"),
        ({"optimizer": "adam"}, TypeError, "a rule with init and step, not 'adam'"),
        ({"metrics": [lambda a, b: 1.0, lambda a, b: 2.0]}, ValueError, "cannot be told apart"),
        ({"validation": 1}, ValueError, "a share of the examples between 0 and 1, not 1"),
    ],
)
def test_arguments_that_cannot_be_meant(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fitted(X, Y, **options)


def test_a_list_of_arrays_is_not_a_pair() -> None:
    with pytest.raises(TypeError, match=r"a tuple \(x, y\)"):
        cr.fit(cr.nn.Dense(3, 1, key=cr.random.key(0)), cr.losses.mse, [X, Y], cr.optim.sgd(0.1), progress=False)


def test_a_file_in_the_place_of_a_folder_of_checkpoints_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is no folder"):
        fitted(X, Y, checkpoint=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
