"""The command line as its users meet it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chainrule
from chainrule.cli import common, main


def chainrule_command(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chainrule", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_version_and_help() -> None:
    assert chainrule_command("--version").stdout.strip() == f"chainrule {chainrule.__version__}"
    shown = chainrule_command("--help")
    assert shown.returncode == 0
    assert "study" in shown.stdout


@pytest.mark.slow
def test_a_chapter_of_the_study(tmp_path: Path) -> None:
    done = chainrule_command("study", "9.2", "--quick", "--out", "pages/here", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/6] 9.2 one example: ok" in done.stdout
    assert "test accuracy" in done.stdout
    page = (tmp_path / "pages/here/chapter-9.2.html").read_text()
    assert "5 of 5 experiments agree" in page
    assert "chapter-9.1" not in page
    names = ["chapter-9.2.html", "chapter-9.2.json", "index.html"]
    assert sorted(p.name for p in (tmp_path / "pages/here").iterdir()) == names


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["9.9"], "there is no chapter 9.9; there are "),
        (["--target", "x"], "--target names a column of the table of --data, and there is none"),
        (["--data", "none.csv"], "there is no file none.csv"),
        (["--out", "taken/x"], "cannot write to taken/x: Not a directory"),
    ],
)
def test_what_the_user_can_put_right(args: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    done = chainrule_command("study", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    there = common.find_spec
    monkeypatch.setattr(common, "find_spec", lambda name: None if name in ("jinja2", "sklearn") else there(name))
    assert main(["study", "--out", str(tmp_path)]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith('jinja2 and sklearn must be installed for this. Try: pip install "chainrule[study]"')
    )


FAKE = """
import sys, time
from chainrule import cli, study
from chainrule.study.model import Chapter, Experiment, at_most

def good(context):
    return Experiment("Good", "Words.", [at_most("x", 0.0, 1.0)])

def differs(context):
    return Experiment("Differs", "Words.", [at_most("x", 2.0, 1.0)])

def breaks(context):
    raise ValueError("by design")

def sleeps(context):
    print("ASLEEP", flush=True)
    time.sleep(60)

runs = {name: globals()[name] for name in sys.argv[1].split(",")}
import chainrule.cli.study as command
command.chapter = lambda name: Chapter(name, "Fake", "Idea.", tuple(runs.values()))
sys.exit(cli.main(["study", "9.1", *sys.argv[2:]]))
"""


def fake(*args: str) -> list[str]:
    return [sys.executable, "-c", FAKE, *args]


def test_failures_give_status_one_and_json(tmp_path: Path) -> None:
    run = subprocess.run(
        fake("breaks,good,differs", "--json", "--out", str(tmp_path)), capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    found = json.loads(run.stdout)
    assert [r["passed"] for r in found] == [False, True, False]
    assert found[0]["error"].startswith("ValueError: by design")
    assert found[2]["numbers"] == [{"label": "x", "value": 2.0, "expected": "≤ 1", "passed": False}]
    assert "[3/3] 9.1 differs: differs" in run.stderr
    assert "1 of 3 experiments agree" in (tmp_path / "chapter-9.1.html").read_text()


def test_study_writes_pages_and_table(tmp_path: Path) -> None:
    done = subprocess.run(fake("good", "--out", "pages/here"), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/1] 9.1 good: ok" in done.stdout
    assert "The pages: pages/here/index.html" in done.stdout
    assert sorted(p.name for p in (tmp_path / "pages/here").iterdir()) == ["chapter-9.1.html", "chapter-9.1.json", "index.html"]
    assert "1 of 1 experiments agree" in (tmp_path / "pages/here/chapter-9.1.html").read_text()
    assert json.loads((tmp_path / "pages/here/chapter-9.1.json").read_text())["results"][0]["numbers"][0]["passed"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupt_leaves_what_is_finished(tmp_path: Path) -> None:
    run = subprocess.Popen(
        fake("good,sleeps,differs", "--out", str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    deadline = time.monotonic() + 60
    while "ASLEEP" not in run.stdout.readline():
        assert time.monotonic() < deadline
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "Traceback" not in out + err
    assert "Interrupted: what is finished is kept." in out
    page = (tmp_path / "chapter-9.1.html").read_text()
    assert "1 of 1 experiments agree" in page
    assert "2 more had not run" in page
    assert page.rstrip().endswith("</html>")
