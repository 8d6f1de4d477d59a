"""The examples in the texts that a newcomer reads first: each runs, and prints what is printed there."""

import doctest
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLACE = re.compile(r"# src/(chainrule/\S+\.py)\n")


def blocks(name: str) -> list[str]:
    """The Python in a text, in order."""
    return [found[1] for found in BLOCK.finditer((ROOT / name).read_text())]


def failures(sources: list[str]) -> str:
    """Run examples one after the other with the same names; what doctest says of those that fail."""
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.REPORT_ONLY_FIRST_FAILURE)
    said: list[str] = []
    for number, source in enumerate(sources):
        test = doctest.DocTestParser().get_doctest(source, names, f"block {number}", None, 0)
        assert test.examples, f"nothing to run in\n{source}"
        runner.run(test, out=said.append, clear_globs=False)
        names = test.globs
    return "".join(said)


def test_readme_runs() -> None:
    examples = blocks("README.md")
    assert len(examples) >= 3
    assert not failures(examples)


def test_readme_links_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "docs/adr/README.md"):
        text = ROOT / name
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text.read_text()):
            assert (text.parent / target).exists(), f"{name} points to {target}"


def test_contributing_works_when_followed_to_the_letter(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "chainrule", tmp_path / "chainrule", ignore=shutil.ignore_patterns("__pycache__"))
    examples = []
    for block in blocks("CONTRIBUTING.md"):
        if place := PLACE.match(block):
            with (tmp_path / place[1]).open("a") as file:
                file.write("\n\n" + block)
        else:
            examples.append(block)
    assert examples
    script = "import sys, test_readme; print(test_readme.failures(sys.argv[1:]))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests")])}
    done = subprocess.run([sys.executable, "-c", script, *examples], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), done.stdout


def test_the_picture_is_what_the_code_draws() -> None:
    names = runpy.run_path(str(ROOT / "tools" / "draw_readme_picture.py"))
    assert names["PICTURE"].read_text() == names["picture"]()
