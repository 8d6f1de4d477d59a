"""The wheel holds all that the package needs, and works where the source is not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "chainrule"


def run(*command: str, cwd: Path) -> str:
    """What a command prints; its errors when it fails."""
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT), cwd=out)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_holds_every_file(wheel: Path) -> None:
    ours = {p.relative_to(ROOT / "src").as_posix() for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert held == ours


def test_wheel_works_without_the_source(wheel: Path, tmp_path: Path) -> None:
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path), str(wheel), cwd=tmp_path)
    script = "import chainrule as cr, numpy as np; print(cr.__file__); print(cr.grad(lambda x: np.sin(x) * x)(np.pi))"
    where, value = run("-c", script, cwd=tmp_path).splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert float(value) == pytest.approx(-np.pi)
