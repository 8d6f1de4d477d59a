"""One process of a timed training: ``python -m chainrule.cli.scaling BATCH_SIZE CORES`` prints examples per second.

With CORES above 0 it keeps to that many cores of its own, as if each process had a machine to itself.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from chainrule import distributed, losses, nn, optim, random
from chainrule.train import fit

ROWS, EPOCHS = 16_384, 4


def main(batch_size: int, cores: int) -> None:
    """Train the network of P3, and say how fast its best epoch after the first was."""
    k = int(os.environ.get("CHAINRULE_PROCESS_ID", "0"))
    if cores and hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))[k * cores : (k + 1) * cores]
        os.sched_setaffinity(0, mine)  # before JAX counts the cores
    if "CHAINRULE_PROCESSES" in os.environ:
        distributed.initialize()
    r = np.random.default_rng(7)
    x = r.random((ROWS, 784), dtype=np.float32)
    y = (x @ r.normal(size=(784, 10))).argmax(1)
    net = nn.MLP([784, 512, 256, 10], "relu", key=random.key(0), dtype=np.float32)
    times = [time.perf_counter()]
    loss = lambda y_true, y_pred: losses.sparse_categorical_cross_entropy(y_true, y_pred, from_logits=True)

    def note(moment: Any) -> None:
        times.append(time.perf_counter())

    fit(net, loss, (x, y), optim.adam(1e-3), EPOCHS, batch_size, 0, callbacks=note, engine="xla")
    if k == 0:
        print(ROWS / min(np.diff(times)[1:]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
