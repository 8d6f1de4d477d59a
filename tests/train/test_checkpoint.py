"""Checkpoints: whole or not there, and resumed trainings with the bits of uninterrupted ones."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.train import checkpoint
from chainrule.train.checkpoint import Checkpoint

VICTIM = Path(__file__).parent / "victim.py"
_spec = importlib.util.spec_from_file_location("victim", VICTIM)
assert _spec is not None
assert _spec.loader is not None
victim = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(victim)

X = np.linspace(0.0, 1.0, 24)[:, None]
LINE = lambda m, x, y: np.mean((m * x - y) ** 2)


def train(folder, epochs=4, **changes):
    given = {"batch_size": 8, "key": 1, "checkpoint": folder, **changes}
    rule = given.pop("optimizer", cr.optim.momentum(0.1))
    data = given.pop("data", (X, 2 * X))
    return cr.fit(given.pop("model", np.array(0.0)), LINE, data, rule, epochs=epochs, **given)


@pytest.fixture(scope="module")
def through():
    return victim.digest(victim.train())


def test_saving_changes_no_bit(tmp_path, through):
    assert victim.digest(victim.train(tmp_path)) == through


def test_a_training_stopped_and_resumed_has_the_same_bits(tmp_path, through):
    for epochs in (1, 3, 6):
        fit = victim.train(tmp_path, epochs)
    assert victim.digest(fit) == through


def run_and_kill(folder, seconds):
    """Start a training and kill it; its output, and whether it was killed."""
    with subprocess.Popen([sys.executable, str(VICTIM), str(folder)], stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None
        assert p.stdout.readline() == "ready\n"
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(p.pid, signal.SIGKILL)
        return p.stdout.read().strip(), p.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("seed", "most"), [(0, 3), pytest.param(1, 12, marks=pytest.mark.slow), pytest.param(2, 12, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_and_resumed_has_the_same_bits(tmp_path, through, seed, most):
    """Killed again and again, at random moments, until it comes to its end."""
    draw, kills = random.Random(seed), 0
    for _ in range(30):
        out, killed = run_and_kill(tmp_path, draw.uniform(0.02, 0.5) if kills < most else 120)
        kills += killed
        if not killed:
            break
    assert kills >= 1
    assert out == through


@pytest.mark.parametrize("moment", range(8))
def test_killed_between_any_two_system_calls_of_a_save(tmp_path, monkeypatch, moment):
    """Dying after the k-th of open, fsync, rename and unlink leaves a folder from which training goes on with the same bits."""
    expected = train(None, 6)
    train(tmp_path, 2)
    calls = []

    class Killed(BaseException):
        pass

    def dying(f):
        def call(*args, **kwargs):
            if len(calls) == moment:
                raise Killed
            calls.append(f)
            return f(*args, **kwargs)

        return call

    with monkeypatch.context() as m:
        for module, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
            m.setattr(module, name, dying(getattr(module, name)))
        try:
            train(tmp_path, 3)
        except Killed:
            pass
        else:
            assert moment >= len(calls)
    rest = train(tmp_path, 6)
    np.testing.assert_array_equal(rest.history.steps, expected.history.steps)
    np.testing.assert_array_equal(rest.model, expected.model)
    assert not list(tmp_path.glob("*.part"))


def test_old_checkpoints_are_deleted_and_other_files_are_not(tmp_path):
    (tmp_path / "step-notes.txt").write_text("mine")
    train(tmp_path, 10, keep=3)
    assert checkpoint.steps(tmp_path) == [24, 27, 30]
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    train(tmp_path, 1, resume=False)
    assert checkpoint.steps(tmp_path) == [3]
    assert (tmp_path / "step-notes.txt").read_text() == "mine"


def test_a_finished_training_is_returned_as_it_is(tmp_path):
    first = train(tmp_path)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    again = train(tmp_path)
    assert again.report.steps == first.report.steps
    np.testing.assert_array_equal(again.model, first.model)
    np.testing.assert_array_equal(again.history.loss, first.history.loss)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def newest(folder, suffix):
    return max(folder.glob(f"*{suffix}"))


@pytest.mark.parametrize("where", [0, 40, -1])
def test_a_changed_byte_of_the_arrays_is_found(tmp_path, where):
    train(tmp_path)
    path = newest(tmp_path, ".safetensors")
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        cr.errors.CheckpointError, match=r"(?s)damaged: its checksum.*Delete step-0000000012.json to go on from step 9"
    ):
        train(tmp_path, 5)
    newest(tmp_path, ".json").unlink()
    np.testing.assert_array_equal(train(tmp_path, 5).model, train(None, 5).model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:100]), "it is no JSON"),
        (lambda p: p.write_text(p.read_text().replace('"epoch": 4', '"epoch": 3')), "its checksum is wrong"),
        (lambda p: p.write_text("{}"), "was not written by cr.fit"),
        (lambda p: p.write_text("[1, 2]"), "was not written by cr.fit"),
    ],
)
def test_a_damaged_or_foreign_manifest_is_found(tmp_path, damage, message):
    train(tmp_path)
    damage(newest(tmp_path, ".json"))
    with pytest.raises(cr.errors.CheckpointError, match=message):
        train(tmp_path, 5)


def test_missing_arrays_are_told(tmp_path):
    train(tmp_path)
    newest(tmp_path, ".safetensors").unlink()
    with pytest.raises(cr.errors.CheckpointError, match="is missing"):
        train(tmp_path, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 4}, "batch_size 8, and this training has 4"),
        ({"key": 2}, r"key \[0, 1\], and this training has \[0, 2\]"),
        ({"accumulate": 2}, "accumulate 1"),
        ({"shuffle": False}, "shuffle true"),
        ({"optimizer": cr.optim.adam(0.1)}, "with optimizer"),
        ({"model": np.zeros(1)}, "with model"),
        ({"data": (X, 3 * X)}, "with data"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, changes, message):
    train(tmp_path)
    with pytest.raises(cr.errors.CheckpointError, match=message):
        train(tmp_path, 5, **changes)
    assert train(tmp_path, 5).report.epochs == 5


def test_what_is_written_can_be_read_by_others(tmp_path):
    """The arrays are a safetensors file, the manifest is JSON."""
    from safetensors.numpy import load_file

    fit = train(tmp_path)
    arrays = load_file(newest(tmp_path, ".safetensors"))
    assert float(arrays["params"]) == float(fit.model)
    np.testing.assert_array_equal(arrays["history/loss"], fit.history.loss)
    facts = json.loads(newest(tmp_path, ".json").read_text())
    assert facts["epoch"] == 4
    assert facts["step"] == 12


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 1, Checkpoint({"x": np.ones(3)}, {}), 2)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save(tmp_path, 2, Checkpoint({"x": np.zeros(3)}, {}), 2)
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found.facts["step"] == 1
    np.testing.assert_array_equal(found.arrays["x"], np.ones(3))


def test_time_is_not_spent_on_saving_what_is_saved(tmp_path):
    start = time.perf_counter()
    train(tmp_path, 3, checkpoint_every=3)
    assert checkpoint.steps(tmp_path) == [9]
    assert time.perf_counter() - start < 30
