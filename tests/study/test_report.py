"""The page: whole, the same every time, without a network, and fit for every reader."""

import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chainrule import plot
from chainrule.plot.style import COLOURS
from chainrule.study import report
from chainrule.study.model import Chapter, Claim, Experiment, Formula, Result, Table, at_most
from chainrule.study.tools import drawn

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a page holds; complains where tags do not match."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [value for _, attributes in self.found if (value := attributes.get(name)) is not None]


def made() -> tuple[list[Chapter], list[Result]]:
    curve = plot.curves(
        {"measured": ([0, 1, 2], [1.0, 0.1, 0.01])}, "Falling <fast>", "k", "f", bounds={"theory": ([0, 2], [1, 0.01])}
    )
    experiment = Experiment(
        "A & B",
        "Words with $x_k < 2$, and `code`.\n\nMore words.",
        [at_most("small", 0.5, 1.0)],
        [Formula(r"\begin{aligned}\bar{x} &= 2 x \\ y &= \frac{1}{2}\end{aligned}", "Note $a$.", printed=True)],
        [drawn(curve, "one", "Caption.", 'Alt "text".'), drawn(plot.heat({"a": [[1.0, -1.0]]}, "t"), "two", "c", "a")],
        [Table("Rows", ["a", "b"], [["x", 0.25]])],
        [Claim("It is so.", "conditional", "If $y > 0$.")],
    )
    chapters = [Chapter("9.1", "First", "Idea.", ()), Chapter("9.2", "Second", "Idea.", ())]
    return chapters, [
        Result("9.1", "a b", 1.0, experiment),
        Result("9.1", "gone", 2.0, error="ValueError: <b>no</b>"),
        Result("9.2", "a b", 1.0, experiment),
    ]


def page() -> str:
    return report.render(*made())


def test_same_bytes_for_the_same_results() -> None:
    assert page() == page()


def test_page_is_well_formed() -> None:
    found = Page(page())
    heads = [int(tag[1]) for tag, _ in found.found if re.fullmatch(r"h\d", tag)]
    assert heads[0] == 1
    assert heads.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(heads))


def test_ids_are_unique_and_links_lead_to_them() -> None:
    source = report.render(made()[0], made()[1][:2])
    found = Page(source)
    ids = Counter(found.all("id"))
    assert max(ids.values()) == 1
    targets = [h[1:] for h in found.all("href") if h.startswith("#")]
    targets += found.all("aria-labelledby") + re.findall(r"url\(#([^)]+)\)", source)
    assert targets
    assert not set(targets) - set(ids)


def test_nothing_is_fetched() -> None:
    source = page()
    found = Page(source)
    assert not [v for v in found.all("src") + found.all("href") if not v.startswith(("#", "data:"))]
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in found.found}
    assert "@import" not in source
    assert not re.search(r"url\((?!#)", source)
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", source)) <= names


def test_everything_can_be_read_without_eyes() -> None:
    found = Page(page())
    pictures = [a for _, a in found.found if a.get("role") == "img"]
    assert pictures
    assert all((a.get("aria-label") or a.get("aria-labelledby")) for a in pictures)
    assert next(a["aria-label"] for a in pictures) == 'Alt "text".'
    formulas = [a for tag, a in found.found if tag == "math"]
    assert len(formulas) >= 5
    assert all(a.get("alttext") for a in formulas)


def test_text_is_escaped_and_failures_are_told() -> None:
    source = page()
    assert "<b>no</b>" not in source
    assert "&lt;b&gt;no" in source
    assert "Falling &lt;fast&gt;" in source
    assert "1 of 3" not in source
    assert "2 of 3 experiments agree" in source
    assert "This experiment failed" in source


def test_what_has_not_run_is_said() -> None:
    chapters, results = made()
    source = report.render(chapters, results[:1], planned=3)
    assert "2 more had not run" in source
    assert "chapter-9.2" not in source


def test_pictures_follow_the_page_in_the_dark() -> None:
    _chapters, results = made()
    svg = results[0].experiment.figures[0].svg  # type: ignore[union-attr]
    assert f"var(--series-0, {COLOURS['series-0']})" in svg
    assert not re.search(r"(fill|stroke): #", svg)
    assert "font-family" not in svg
    assert "<style" not in svg
    assert set(report._DARK) == set(COLOURS)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("theme", [COLOURS, report._DARK])
def test_contrast(theme: dict[str, str]) -> None:
    def contrast(part: str) -> float:
        a, b = sorted((luminance(theme[part]), luminance(theme["paper"])))
        return (b + 0.05) / (a + 0.05)

    assert contrast("ink") > 7
    # Words in these colours: WCAG asks for 4.5.
    assert all(contrast(part) > 4.5 for part in ("muted", "series-0", "series-2"))
    assert all(contrast(part) > 4.2 for part in theme if part.startswith("series"))


def test_punctuation_stays_with_its_formula() -> None:
    assert re.search(r'<span class="together"><math.*</math>,</span>', report.words("Take $x$, then"))


def test_a_page_is_replaced_at_once(tmp_path: Path) -> None:
    path = report.write(tmp_path, "one")
    assert report.write(tmp_path, "two") == path
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("study.html", "two")]
