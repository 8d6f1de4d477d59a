"""Optimisers as plain functions on trees of arrays: rules, the atoms they are chains of, schedules, clipping, averages."""

from chainrule.optim import atoms, schedules
from chainrule.optim.atoms import add_decayed_weights, newton_schulz, partition, proximal, scale, scale_by_learning_rate
from chainrule.optim.averaging import average, ema, polyak_averaging
from chainrule.optim.clip import clip_by_block_rms, clip_by_global_norm, clip_by_value, clipped, global_norm
from chainrule.optim.recipes import (
    adadelta,
    adafactor,
    adagrad,
    adam,
    adamw,
    amsgrad,
    gradient_descent,
    lion,
    momentum,
    muon,
    nadam,
    nesterov,
    radam,
    rmsprop,
    sgd,
)
from chainrule.optim.rule import Atom, Rule, chain

__all__ = [
    "Atom", "Rule", "adadelta", "adafactor", "adagrad", "adam", "adamw", "add_decayed_weights", "amsgrad", "atoms",
    "average", "chain", "clip_by_block_rms", "clip_by_global_norm", "clip_by_value", "clipped", "ema", "global_norm",
    "gradient_descent", "lion", "momentum", "muon", "nadam", "nesterov", "newton_schulz", "partition",
    "polyak_averaging", "proximal", "radam", "rmsprop", "scale", "scale_by_learning_rate", "schedules", "sgd",
]  # fmt: skip
