"""Training on devices of JAX computes what training on the other engines computes, on any number of devices."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")

import chainrule as cr
from chainrule.train.pace import Pace

KEY = cr.random.key(3)
COMPARE = Path(__file__).parent / "compare_devices.py"


@pytest.fixture
def data(rng):
    x = rng.normal(size=(50, 3))
    return x, x @ np.array([[1.0], [-2.0], [0.5]]) + 0.1 * rng.normal(size=(50, 1))


def linear(dtype=np.float64):
    return cr.nn.Dense(3, 1, key=cr.random.key(0), dtype=dtype)


def fit(data, engine, model=None, **changes):
    given = {"epochs": 3, "batch_size": 8, "key": KEY, "engine": engine, **changes}
    rule = given.pop("optimizer", cr.optim.momentum(0.05))
    return cr.fit(model or linear(), cr.losses.mse, data, rule, **given)


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "validation": 0.3, "metrics": cr.losses.mae}, {"batch_size": 64}])
def test_equals_the_numpy_engine(data, changes):
    """50 examples in batches of 8: the last step of an epoch is ragged."""
    a, b = fit(data, "numpy", **changes), fit(data, "xla", **changes)
    np.testing.assert_allclose(b.history.steps, a.history.steps, rtol=1e-12)
    np.testing.assert_allclose(b.model.weight, a.model.weight, rtol=1e-11)
    assert list(a.history) == list(b.history)
    for name in a.history:
        np.testing.assert_allclose(b.history[name], a.history[name], rtol=1e-12)
    assert type(b.model.weight) is np.ndarray
    b.model.weight[0] = 1.0  # yours, and not a view of what a device holds


def test_float32_stays_float32(data):
    b = fit(data, "xla", model=linear(np.float32))
    a = fit(data, "numpy", model=linear(np.float32))
    assert b.model.weight.dtype == np.float32
    np.testing.assert_allclose(b.model.weight, a.model.weight, rtol=1e-5)


def test_bits_do_not_depend_on_how_steps_are_cut_into_calls(data, monkeypatch):
    whole = fit(data, "xla", batch_size=4)
    lengths = iter([1, 5, 2, 7, 3] * 20)
    monkeypatch.setattr(Pace, "ask", lambda self, left: min(left, next(lengths)))
    parts = fit(data, "xla", batch_size=4)
    np.testing.assert_array_equal(parts.history.steps, whole.history.steps)
    np.testing.assert_array_equal(parts.model.weight, whole.model.weight)


def test_batches_from_outside_and_arrays_on_disk(tmp_path, data):
    x, y = data
    batches = [(x[k : k + 12], y[k : k + 12]) for k in range(0, 50, 12)]
    a, b = (fit(batches, e, accumulate=2) for e in ("numpy", "xla"))
    np.testing.assert_allclose(b.history.steps, a.history.steps, rtol=1e-12)
    np.save(tmp_path / "x.npy", x)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    a, b = fit((x, y), "numpy", shuffle=False), fit((stored, y), "xla", shuffle=False)
    np.testing.assert_allclose(b.history.steps, a.history.steps, rtol=1e-12)


def test_a_resumed_training_has_the_same_bits(tmp_path, data):
    through = fit(data, "xla", epochs=4)
    for epochs in (1, 3, 4):
        found = fit(data, "xla", epochs=epochs, checkpoint=tmp_path, checkpoint_every=0.5)
    np.testing.assert_array_equal(found.history.steps, through.history.steps)
    np.testing.assert_array_equal(found.model.weight, through.model.weight)


def test_divergence_is_found_at_its_step(data):
    with pytest.raises(cr.errors.DivergedError) as found:
        fit(data, "xla", optimizer=cr.optim.sgd(1e200), epochs=2)
    with pytest.raises(cr.errors.DivergedError) as expected:
        fit(data, "numpy", optimizer=cr.optim.sgd(1e200), epochs=2)
    assert found.value.step == expected.value.step
    assert found.value.seen == expected.value.seen
    np.testing.assert_allclose(found.value.fit.history.steps, expected.value.fit.history.steps)


@pytest.mark.parametrize(
    ("engine", "devices", "message"),
    [
        ("numpy", 1, "devices are those of engine='xla'"),
        ("xla", 0, "devices=0: there are"),
        ("xla", [0, 99], r"devices=\[0, 99\]: there are"),
        ("xla", [0, 0], r"devices=\[0, 0\]"),
        ("xla", "gpu", "a number, 'all' or a list"),
    ],
)
def test_devices_that_are_not_there(data, engine, devices, message):
    with pytest.raises(ValueError, match=message):
        fit(data, engine, devices=devices)


def compared(count: int, *what: str) -> None:
    env = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
    done = subprocess.run([sys.executable, str(COMPARE), *what], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [str(count), *what]


def test_four_devices_are_one():
    """A batch of which four devices have 2, 2, 2 and 1 example; batch statistics are those of the whole batch.

    What a step sends between devices is one sum, of the gradient and the loss, and nothing else.
    """
    compared(4, "ragged", "sums")


@pytest.mark.slow
def test_three_devices_are_one():
    compared(3, "even", "ragged", "accumulated", "dropout", "attention")
