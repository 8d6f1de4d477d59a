"""What residuals, normalisation and clipping do, each measured against the same net without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.build.tree import map_tree
from chainrule.nn.dense import Dense, Function, Sequential
from chainrule.nn.diagnostics import Training, observe
from chainrule.nn.module import Module, keys
from chainrule.nn.norm import LayerNorm
from chainrule.nn.residual import Residual
from chainrule.nn.steps import Loss
from chainrule.optim.clip import clip_by_global_norm
from chainrule.optim.recipes import sgd
from chainrule.optim.rule import Rule, chain

__all__ = ["Effects", "deep_net", "effects"]


def deep_net(
    n_in: int,
    width: int,
    depth: int,
    n_out: int,
    *,
    key: Any,
    activation: Function = "tanh",
    gain: float = 1.0,
    residual: bool = False,
    normalised: bool = False,
) -> Sequential:
    """A deep net with and without what is to be compared: the same key gives the same weights.

    Args:
        n_in, n_out: number of inputs and outputs.
        width: of the hidden layers.
        depth: number of hidden layers between the first and the last.
        key: random key for the weights.
        activation: of all layers but the last.
        gain: factor of the initial weights of the hidden layers, to make gradients vanish or explode.
        residual: put each hidden layer on a branch beside the identity.
        normalised: put a layer normalisation before each hidden layer.
    """
    first, *between, last = keys(key, depth + 2)
    layers: list[Module] = [Dense(n_in, width, key=first, activation=activation)]
    for one in between:
        layer: Module = map_tree(lambda w: gain * w, Dense(width, width, key=one, activation=activation, init="glorot_normal"))
        if normalised:
            layer = Sequential(LayerNorm(width), layer)
        layers.append(Residual(layer) if residual else layer)
    return Sequential(*layers, Dense(width, n_out, key=last))


@dataclass(frozen=True)
class Effects:
    """The runs by name, "plain" being the net without anything."""

    runs: Mapping[str, Training]

    def measured(self, name: str) -> dict[str, float]:
        """The numbers of one run.

        Returns:
            ``first_over_last``: root mean square of delta at the first layer over that at the last, before the first step;
            ``largest_step``: the largest update relative to the size of its layer, over layers and steps;
            ``loss_at_start``, ``loss_at_end``.
        """
        run = self.runs[name]
        ratios = run.update_ratios[np.isfinite(run.update_ratios)]
        return {
            "first_over_last": float(run.delta_rms[0, 0] / run.delta_rms[0, -1]),
            "largest_step": float(np.max(ratios, initial=0.0)),
            "loss_at_start": float(run.losses[0]),
            "loss_at_end": float(run.losses[-1]),
        }

    def __str__(self) -> str:
        table = {name: self.measured(name) for name in self.runs}
        columns = list(next(iter(table.values())))
        head = " ".join([f"{'net':<14}", *[f"{c:>16}" for c in columns]])
        return "\n".join([head, *[" ".join([f"{n:<14}", *[f"{row[c]:>16.4g}" for c in columns]]) for n, row in table.items()]])


def effects(
    x: Any,
    y: Any,
    loss: Loss,
    *,
    key: Any,
    width: int = 32,
    depth: int = 20,
    activation: Function = "tanh",
    gain: float = 1.0,
    learning_rate: float = 0.01,
    steps: int = 50,
    clip: float = 1.0,
) -> Effects:
    """Train a deep net plain, with residuals, with normalisation and with clipped gradients, from the same weights.

    Args:
        x: (examples, features).
        y: (examples, outputs).
        loss: (y_true, y_pred) -> one number.
        key: random key for the weights.
        width, depth, activation, gain: see `deep_net`.
        learning_rate, steps: of gradient descent on all examples.
        clip: the greatest global norm of a gradient in the run named "clipping".

    Returns:
        An `Effects` with the runs "plain", "residual", "normalisation" and "clipping".
    """

    def run(rule: Rule, **parts: bool) -> Training:
        sizes = (np.shape(x)[-1], width, depth, np.shape(y)[-1])
        net = deep_net(*sizes, key=key, activation=activation, gain=gain, **parts)
        return observe(net, loss, x, y, rule, steps)

    plain = sgd(learning_rate)
    return Effects(
        {
            "plain": run(plain),
            "residual": run(plain, residual=True),
            "normalisation": run(plain, normalised=True),
            "clipping": run(chain(clip_by_global_norm(clip), plain)),
        }
    )
