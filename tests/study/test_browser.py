"""The pages in a real browser: nothing is fetched, nothing complains, and formulas and pictures are there to be seen."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chainrule.study import TITLES, backpropagation, chapter, quadratics
from chainrule.study.model import Context, Result
from chainrule.study.register import statements
from chainrule.study.report import Folder

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = os.environ.get("CHAINRULE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium here (Debian: apt install chromium; or name one in CHAINRULE_CHROMIUM)")
    with sync_api.sync_playwright() as p:
        started = p.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chapters with few experiments."""
    path = tmp_path_factory.mktemp("pages")
    pages = Folder(path, TITLES, quick=True)
    for name, runs in (("9.1", (quadratics.round_bowl,)), ("9.2", (backpropagation.one_example, statements("9.2")))):
        c = replace(chapter(name), experiments=runs)
        found = [Result(name, run.__name__.replace("_", " "), 0.1, run(Context(quick=True))) for run in runs]
        pages.put(c, [*found, Result(name, "gone", 0.1, error="ValueError: by design")], 4)
    pages.finish()
    return path


class Visit:
    """A page that was opened, and all that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(path.as_uri())

    def look(self) -> dict[str, Any]:
        """Sizes of what is on the page."""
        return self.page.evaluate(
            """() => {
                const size = e => { const b = e.getBoundingClientRect(); return [b.width, b.height]; };
                const all = s => [...document.querySelectorAll(s)];
                const links = all('a[href^="#"]').map(a => a.getAttribute('href').slice(1)).filter(h => h);
                return {
                    formulas: all('math').map(size),
                    pictures: all('figure svg').map(size),
                    lost: links.filter(h => !document.getElementById(h)),
                    doubled: all('[id]').map(e => e.id).filter((h, k, ids) => ids.indexOf(h) !== k),
                    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                    paper: getComputedStyle(document.body).backgroundColor,
                    ink: getComputedStyle(document.body).color,
                };
            }"""
        )


def check(browser: Any, path: Path, **options: Any) -> dict[str, Any]:
    """Open a page, look, close."""
    visit = Visit(browser, path, **options)
    seen = visit.look()
    visit.context.close()
    assert not visit.complaints
    assert visit.requests == [path.as_uri()]
    assert not seen["lost"]
    assert not seen["doubled"]
    assert all(w > 1 and h > 1 for w, h in seen["formulas"])
    assert all(w > 150 and h > 60 for w, h in seen["pictures"])
    return seen


@pytest.mark.parametrize("name", ["chapter-9.1.html", "chapter-9.2.html", "index.html"])
def test_pages_open_without_network_and_complaints(browser: Any, folder: Path, name: str) -> None:
    seen = check(browser, folder / name)
    assert (len(seen["formulas"]) > 3 and len(seen["pictures"]) >= 3) or name == "index.html"


def test_links_lead_from_page_to_page(browser: Any, folder: Path) -> None:
    visit = Visit(browser, folder / "index.html")
    visit.page.click("section.card a:has-text('Backpropagation')")
    assert visit.page.url.endswith("chapter-9.2.html")
    visit.page.click("nav.chapters a:text-is('9.1')")
    assert visit.page.inner_text("h1") == "9.1 Gradient descent"
    visit.page.click("nav.contents a >> nth=0")
    assert visit.page.url.endswith("#9.1-round-bowl")
    assert visit.page.is_visible("text=Two dimensions")
    visit.page.click("footer a")
    assert visit.page.url.endswith("index.html")
    assert visit.page.is_visible("text=Not run yet")
    visit.context.close()
    assert not visit.complaints


@pytest.mark.parametrize("name", ["chapter-9.2.html", "index.html"])
def test_on_a_phone_nothing_sticks_out(browser: Any, folder: Path, name: str) -> None:
    assert check(browser, folder / name, viewport={"width": 360, "height": 740})["wide"] <= 0


def test_light_and_dark(browser: Any, folder: Path) -> None:
    light, dark = (check(browser, folder / "chapter-9.2.html", color_scheme=scheme) for scheme in ("light", "dark"))
    assert (light["paper"], light["ink"]) == ("rgb(254, 254, 253)", "rgb(28, 35, 48)")
    assert (dark["paper"], dark["ink"]) == ("rgb(22, 27, 36)", "rgb(232, 235, 241)")


def test_it_prints(browser: Any, folder: Path) -> None:
    visit = Visit(browser, folder / "chapter-9.1.html")
    assert visit.page.pdf(format="A4").startswith(b"%PDF")
    visit.context.close()


@pytest.mark.slow
def test_every_page_of_the_study(browser: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chainrule", "study", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    pages = sorted(tmp_path.glob("*.html"))
    assert len(pages) == len(TITLES) + 1
    assert sum(p.stat().st_size for p in pages) < 10e6
    for page in pages:
        check(browser, page)
        assert check(browser, page, viewport={"width": 360, "height": 740}, color_scheme="dark")["wide"] <= 0
