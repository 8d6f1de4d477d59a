"""One process of a training: ``worker.py COORDINATOR PROCESSES ID JSON`` trains, and prints a digest of all that came of it.

The JSON says what to train, and what to do to it: a signal that this process sends to itself after a step, other data, and so on.
"""

import hashlib
import json
import os
import signal
import sys
import time

import numpy as np

import chainrule as cr
from chainrule.build.tree import flatten

A, B, C = cr.random.split(cr.random.key(5), 3)


def data(n):
    x = np.asarray(cr.random.normal(C, (n, 4)))
    return x, np.sin(x.sum(1, keepdims=True))


def linear():
    return cr.nn.Dense(4, 1, key=A)


def network():
    """Batch statistics and dropout: what goes wrong first where processes see only their part of a batch."""
    return cr.nn.Sequential(cr.nn.Dense(4, 8, key=A), cr.nn.BatchNorm(8), np.tanh, cr.nn.Dropout(0.2), cr.nn.Dense(8, 1, key=B))


def numbers(fit):
    arrays = [x for x in flatten(fit.model)[0] if isinstance(x, np.ndarray)]
    return [*arrays, fit.history.steps, *fit.history.columns.values()]


def digest(fit):
    found = hashlib.sha256()
    for x in numbers(fit):
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


def disturber(k, job):
    """A callback that does what the job says to one process."""

    def disturb(moment):
        if moment.epoch == job.get("epoch", 2) and job.get("victim") == k:
            if "kill" in job:
                os.kill(os.getpid(), getattr(signal, job["kill"]))
            if "sleep" in job:
                time.sleep(job["sleep"])
            if "raise" in job:
                raise RuntimeError(job["raise"])
            if "leave" in job:
                sys.exit(0)
            if "stop" in job:
                return True
        return None

    return disturb


def train(k, job):
    x, y = data(job.get("examples", 61))
    if job.get("other_data") == k:
        y = y + 1e-9
    rate = 0.03 if job.get("other_rate") == k else 0.02
    loss = cr.losses.mse
    given = (x, y)
    if "batches" in job:
        given = [(x[a : a + 7], y[a : a + 7] + (k == job["batches"] and a == 7)) for a in range(0, len(x), 7)]
    return cr.fit(
        globals()[job.get("model", "linear")](), loss, given, cr.optim.momentum(rate), epochs=job.get("epochs", 4),
        batch_size=7, key=9, engine="xla", validation=None if "batches" in job else 0.2, checkpoint=job.get("folder"),
        checkpoint_every=job.get("every", 1), callbacks=disturber(k, job), accumulate=job.get("accumulate", 1),
    )  # fmt: skip


def main():
    coordinator, n, k, job = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    if job.get("other_version") == k:
        import chainrule.distributed

        chainrule.distributed.version = lambda name: "0.0.0"
    cr.distributed.initialize(coordinator, n, k, timeout=job.get("timeout", 120))
    print("ready", flush=True)
    fit = train(k, job)
    if "out" in job:
        np.savez(f"{job['out']}-{n}-{k}.npz", *numbers(fit))
    print(fit.stopped, digest(fit), flush=True)


if __name__ == "__main__":
    main()
