"""The site is built without a warning, and needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages."""
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        str(out / "trees"),
        str(DOCS),
        str(out / "html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(?:https?:)?//[^"]*"|@import|url\(["\']?https?:')
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    assert not {str(p.relative_to(site)): found for p in pages if (found := loaded.findall(p.read_text()))}


def test_formulas_are_drawn_and_names_are_there(site: Path) -> None:
    losses = (site / "api" / "chainrule.losses.html").read_text()
    assert losses.count("<math") > 30
    assert "Huber 1964" in losses
    for name in ("grad", "minimize", "derive", "check", "fit"):
        assert f'id="{name}"' in (site / "api" / "chainrule.html").read_text()
