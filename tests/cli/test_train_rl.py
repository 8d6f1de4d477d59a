"""``chainrule train --task rl``: an agent, its history, a page; and what cannot be meant is answered."""

import csv
import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main


def train(out, *args):
    return main(["train", "--task", "rl", "--out", str(out), *args])


def test_trains_and_writes_everything(tmp_path, capsys):
    args = ["--env", "CartPole-v1", "--algorithm", "ppo", "--key", "3", "--steps", "4096", "--hidden", "16"]
    assert train(tmp_path / "a", "--json", *args) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["env"], found["algorithm"], found["key"], found["steps"]) == ("CartPole-v1", "ppo", 3, 4096)
    assert found["evaluation"]["episodes"] == 100
    assert found["evaluation"]["min"] <= found["evaluation"]["mean"] <= found["evaluation"]["max"]
    assert "Learning curve" in (tmp_path / "a" / "index.html").read_text()
    rows = list(csv.reader((tmp_path / "a" / "history.csv").read_text().splitlines()))
    assert rows[0][:3] == ["steps", "episodes", "returns"]
    assert float(rows[-1][0]) == 4096
    again = cr.rl.ppo("CartPole-v1", key=cr.random.key(3), steps=4096, hidden=(16,))
    loaded = cr.rl.load_agent(tmp_path / "a" / "agent.npz")
    x = np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_array_equal(loaded.act(x), again.act(x))
    np.testing.assert_array_equal(loaded.history.returns, again.history.returns)
    assert train(tmp_path / "b", *args) == 0
    assert "mean return" in capsys.readouterr().out
    assert (tmp_path / "b" / "history.csv").read_text() == (tmp_path / "a" / "history.csv").read_text()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "name the environment with --env"),
        (["--env", "CartPole-v9"], "Did you mean CartPole-v1"),
        (["--env", "CartPole-v1", "--steps", "0"], "--steps must be 1 or more"),
        (["--env", "CartPole-v1", "--steps", "10"], "steps=10 is less"),
        (["--env", "CartPole-v1", "--data", "x.csv"], "takes no data"),
        (["--env", "CartPole-v1", "--resume"], "--resume"),
        (["--env", "CartPole-v1", "--hidden", "a"], "--hidden is a list of sizes"),
    ],
)
def test_what_cannot_be_meant_is_answered(tmp_path, capsys, args, told):
    assert train(tmp_path, *args) == 2
    assert told in capsys.readouterr().err


def test_divergence_is_told(tmp_path, capsys):
    assert train(tmp_path, "--env", "CartPole-v1", "--steps", "4096", "--learning-rate", "1e38") == 1
    assert "lower learning_rate" in capsys.readouterr().err
