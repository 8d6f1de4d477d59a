"""``chainrule train`` in several processes: started here, over SSH, or one by one."""

import json
import os
import shlex
import socket
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax")

from chainrule.cli import main
from chainrule.distributed.launch import local, over_ssh

LONGEST = 240


@pytest.fixture
def table(tmp_path, rng):
    x = rng.normal(size=(60, 2))
    path = tmp_path / "table.csv"
    np.savetxt(path, np.c_[x, x @ [1.0, -2.0]], delimiter=",", header="a,b,y", comments="")
    return path


def command(table, out, *more):
    return ["train", str(table), "--target", "y", "--model", "linear", "--epochs", "3", "--out", str(out), "--json", *more]


def chainrule(args, **env):
    return subprocess.run(
        [sys.executable, "-m", "chainrule", *args], env={**os.environ, **env}, capture_output=True, text=True, timeout=LONGEST
    )


def free_port():
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes", "0"], "--processes must be 1 or more"),
        (["--coordinator", "a:1"], "--coordinator and --process-id go together"),
        (["--coordinator", "a:1", "--process-id", "0"], "need --processes"),
        (["--hosts", "a,b", "--processes", "2"], "name a host twice for two"),
        (["--processes", "2", "--engine", "numpy"], "several processes train with --engine xla, not numpy"),
        (["--devices", "2"], "--devices are those of --engine xla"),
        (["--hosts", "a,-oProxyCommand=x"], "--hosts is a list such as node1,node2"),
        (
            ["--coordinator", "127.0.0.1:9", "--processes", "2", "--process-id", "1", "--timeout", "0"],
            "--timeout must be above 0",
        ),
    ],
)
def test_options_that_cannot_be_meant(table, tmp_path, capsys, options, message):
    assert main(command(table, tmp_path / "out", *options)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_coordinator_that_is_not_there(table, tmp_path, capsys):
    options = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process-id", "1", "--timeout", "0.2"]
    assert main(command(table, tmp_path / "out", *options)) == 75
    assert "Nobody answers at 127.0.0.1" in capsys.readouterr().err


def test_processes_are_told_who_they_are(capfd):
    code = "import os, sys; e = os.environ; print(e['CHAINRULE_PROCESSES'], e['CHAINRULE_PROCESS_ID'], file=sys.stderr)"
    assert local([sys.executable, "-c", code], 3, 1234) == 0
    assert sorted(capfd.readouterr().err.splitlines()) == ["3 0", "[1] 3 1", "[2] 3 2"]


def test_the_status_that_says_most(capfd):
    code = "import os, sys; sys.exit([0, 75, 3][int(os.environ['CHAINRULE_PROCESS_ID'])])"
    assert local([sys.executable, "-c", code], 3, 1234) == 3
    assert local([sys.executable, "-c", code], 2, 1234) == 75
    assert local([sys.executable, "-c", code], 1, 1234) == 0


def test_commands_over_ssh(tmp_path, capfd, monkeypatch):
    """A shell in the place of SSH: the folder, the environment and odd arguments arrive."""
    monkeypatch.chdir(tmp_path)
    shell = tmp_path / "run.sh"
    shell.write_text('#!/bin/sh\necho "to $1" >&2\nshift\nexec sh -c "$*"\n')
    shell.chmod(0o755)
    code = "import os, sys; print(os.getcwd(), os.environ['CHAINRULE_COORDINATOR'], sys.argv[1:], file=sys.stderr)"
    assert over_ssh([sys.executable, "-c", code, "it's", "a b"], ["me@one", "two"], 77, ssh=[str(shell)]) == 0
    lines = sorted(capfd.readouterr().err.splitlines())
    told = f"""{tmp_path} one:77 ["it's", 'a b']"""
    assert lines == sorted(["to me@one", told, "[1] to two", f"[1] {told}"])
    assert shlex.split(told)


@pytest.mark.slow
def test_a_table_is_trained_on_alike(table, tmp_path):
    done = chainrule(command(table, tmp_path / "one", "--engine", "xla"))
    assert done.returncode == 0, done.stderr
    several = chainrule(command(table, tmp_path / "two", "--processes", "2"))
    assert several.returncode == 0, several.stderr
    one, two = json.loads(done.stdout), json.loads(several.stdout)
    np.testing.assert_allclose(two["history"]["loss"], one["history"]["loss"], rtol=1e-9)
    assert {p.name for p in (tmp_path / "one").iterdir()} == {p.name for p in (tmp_path / "two").iterdir()}


@pytest.mark.slow
def test_started_one_by_one(table, tmp_path):
    options = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2"]
    args = [command(table, tmp_path / "out", *options, "--process-id", str(k)) for k in range(2)]
    started = [subprocess.Popen([sys.executable, "-m", "chainrule", *a], stdout=subprocess.PIPE, text=True) for a in args]
    try:
        outs = [p.communicate(timeout=LONGEST)[0] for p in started]
    finally:
        for p in started:
            p.kill()
    assert [p.returncode for p in started] == [0, 0]
    assert json.loads(outs[0])["epochs"] == 3
    assert outs[1] == ""
