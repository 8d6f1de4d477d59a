"""A training to be killed: ``victim.py FOLDER`` trains into the folder and prints a digest of all that came of it.

It has everything that a resumed training must get right: an optimiser with state, dropout, running averages, a ragged last batch,
accumulated gradients, checkpoints within epochs, held-out data and early stopping.
"""

import hashlib
import sys

import numpy as np

import chainrule as cr
from chainrule.build.tree import flatten


def train(folder=None, epochs=6):
    a, b, c = cr.random.split(cr.random.key(5), 3)
    x = np.asarray(cr.random.normal(c, (201, 4)))
    y = np.sin(x.sum(1, keepdims=True))
    net = cr.nn.Sequential(cr.nn.Dense(4, 16, key=a), cr.nn.BatchNorm(16), np.tanh, cr.nn.Dropout(0.2), cr.nn.Dense(16, 1, key=b))
    return cr.fit(
        net, cr.losses.mse, (x, y), cr.optim.adam(0.01), epochs=epochs, batch_size=5, accumulate=2, key=9, validation=0.2,
        early_stopping=8, checkpoint=folder, checkpoint_every=0.2,
    )  # fmt: skip


def digest(fit):
    found = hashlib.sha256()
    for x in (*flatten(fit.model)[0], fit.history.steps, *fit.history.columns.values()):
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    print("ready", flush=True)
    print(digest(train(sys.argv[1])), flush=True)
