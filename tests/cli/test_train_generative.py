"""``chainrule train --task vae|gan|wgan``."""

from __future__ import annotations

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.cli.train_generative import load

FEW = ("--epochs", "2", "--hidden", "16")


@pytest.fixture
def small(tmp_path):
    """60 images of 4 x 4 with two classes."""
    x = cr.random.uniform(cr.random.key(0), (60, 4, 4))
    y = (x.mean((1, 2)) > 0.5).astype(int)
    np.savez(tmp_path / "small.npz", x=3 * x + 1, y=y)
    return tmp_path / "small.npz"


def train(*args, out):
    return main(["train", *map(str, args), "--out", str(out)])


@pytest.mark.parametrize("task", ["vae", "gan", "wgan"])
def test_every_task_writes_a_page_and_a_model(task, small, tmp_path, capsys):
    out = tmp_path / "out"
    assert train("--task", task, "--data", small, *FEW, "--json", out=out) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((out / "metrics.json").read_text())
    assert told["epochs"] == 2
    assert 0 <= told["quality"]["confidence"] <= 1
    assert 1 <= told["quality"]["diversity"] <= 2
    page = (out / "index.html").read_text()
    assert page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "")
    model, images = load(out)
    made = images(model.sample(5, cr.random.key(1)))
    assert made.shape == (5, 4, 4)


def test_what_is_saved_is_what_was_trained(small, tmp_path):
    train("--task", "vae", small, *FEW, "--likelihood", "gaussian", out=tmp_path / "out")
    model, images = load(tmp_path / "out")
    x = np.load(small)["x"]
    rows = ((x - x.min()) / (x.max() - x.min())).reshape(60, 16)
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert np.allclose(images(rows), x)
    reconstructed = np.mean(np.square(model.reconstruct(rows) - rows))
    assert reconstructed == pytest.approx(told["quality"]["reconstruction error"], rel=0.3)


def test_resumed_is_uninterrupted(small, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train("--task", "gan", small, "--epochs", "4", "--hidden", "16", "--json", out=whole)
    train("--task", "gan", small, "--epochs", "2", "--hidden", "16", out=parts)
    train("--task", "gan", small, "--epochs", "4", "--hidden", "16", "--resume", out=parts)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    assert (whole / "history.csv").read_text() == (parts / "history.csv").read_text()
    capsys.readouterr()
    assert train("--task", "gan", small, "--epochs", "4", "--hidden", "8", "--resume", out=parts) == 2
    assert "--resume" in capsys.readouterr().err


def test_digits_are_learned(tmp_path, capsys):
    """The bound rises, and reconstructions are nearer than the mean image, on images that it has not seen."""
    assert train("--task", "vae", "--data", "digits", "--epochs", "5", "--json", out=tmp_path) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["history"]["bound"][-1] > told["history"]["bound"][0] + 5
    assert told["quality"]["reconstruction error"] < 0.06
    assert told["quality"]["log-likelihood"] >= told["quality"]["evidence lower bound"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((20, 3, 3))}, "nothing to learn"),
        ({"x": np.full((20, 9), np.nan)}, "NaN"),
        ({"x": np.ones((3, 9))}, "10 or more"),
        ({"a": np.ones((20, 9)), "b": np.ones(3)}, "named x, images or data"),
        ({"x": np.array(["a"] * 20)}, "no numbers"),
        ({"x": np.eye(20), "y": np.zeros(3)}, "20 images"),
    ],
)
def test_bad_data_are_named(arrays, words, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **arrays)
    assert train("--task", "vae", tmp_path / "a.npz", out=tmp_path / "out") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_of_unequal_size(tmp_path, capsys):
    ragged = np.empty(12, object)
    ragged[:] = [np.ones((k + 1, 2)) for k in range(12)]
    np.save(tmp_path / "a.npy", ragged)
    assert train("--task", "gan", tmp_path / "a.npy", out=tmp_path / "out") == 2
    assert "unequal size" in capsys.readouterr().err


def test_a_file_of_another_kind(tmp_path, capsys):
    (tmp_path / "a.npz").write_text("hello")
    assert train("--task", "vae", tmp_path / "a.npz", out=tmp_path / "out") == 2
    assert "no file of NumPy's" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--task", "vae"), "name the data"),
        (("--task", "vae", "missing.npz"), "no file"),
        (("--task", "vae", "a.txt"), ".npz"),
        (("--task", "vae", "digits", "--target", "y"), "--target"),
        (("--task", "vae", "digits", "--beta", "-1"), "--beta"),
        (("--task", "vae", "digits", "--hidden", "a"), "--hidden"),
        (("--task", "vae", "digits", "--epochs", "0"), "--epochs must be 1 or more"),
        (("--task", "gan", "digits", "--latent", "0"), "--latent must be 1 or more"),
        (("--task", "vae", "digits", "--batch-size", "0"), "--batch-size must be 1 or more"),
        (("a.csv",), "--target"),
        (("a.csv", "--data", "b.csv", "--target", "y"), "twice"),
    ],
)
def test_wrong_usage(args, words, tmp_path, capsys):
    assert train(*args, out=tmp_path / "out") == 2
    assert words in capsys.readouterr().err
