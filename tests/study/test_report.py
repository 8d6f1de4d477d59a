"""The pages: whole, the same every time, without a network, and fit for every reader."""

import itertools
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chainrule import plot
from chainrule.plot.style import COLOURS
from chainrule.study import TITLES, markup, report
from chainrule.study.model import Chapter, Claim, Experiment, Formula, Result, Statement, Table, at_most
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


def made() -> tuple[Chapter, list[Result]]:
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
    said = Statement("9.1.a", "So it is.", "x > 0", "not_checkable", "It depends.", "y > 0", "Somebody 1950", "not run here")
    return Chapter("9.1", "First", "Idea.", (), cover="a_b"), [
        Result("9.1", "a b", 1.0, experiment),
        Result("9.1", "gone", 2.0, error="ValueError: <b>no</b>"),
        Result("9.1", "said", 1.0, Experiment("Said", "", [], statements=[said])),
    ]


def page() -> str:
    return report.render(*made())


def front() -> str:
    chapter, results = made()
    return report.index(TITLES, {"9.1": report.summary(chapter, results, 5, quick=True)})


def test_same_bytes_for_the_same_results() -> None:
    assert page() == page()


@pytest.mark.parametrize("source", [page(), front()])
def test_page_is_well_formed(source: str) -> None:
    found = Page(source)
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
    of_index = {h.split("#")[1] for h in Page(front()).all("href") if h.startswith("chapter-9.1.html#")}
    assert of_index
    assert of_index <= set(Page(page()).all("id"))


@pytest.mark.parametrize("source", [page(), front()])
def test_nothing_is_fetched(source: str) -> None:
    found = Page(source)
    beside = re.compile(r"(index|chapter-9\.1)\.html(#.*)?$")
    assert not [v for v in found.all("src") + found.all("href") if not v.startswith(("#", "data:")) and not beside.match(v)]
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
    assert "1 of 2 experiments agree" in source
    assert "This experiment failed" in source


def test_what_has_not_run_is_said() -> None:
    chapter, results = made()
    assert "2 more had not run" in report.render(chapter, results[:1], planned=3)
    source = front()
    assert "1 of 2 agree, 1 failed" in source
    assert "2 had not run" in source
    assert source.count("Not run yet") == len(TITLES) - 1
    assert "chainrule study 9.5" in source


def test_a_chapter_has_its_picture_in_the_index() -> None:
    found = Page(front())
    assert [a["aria-label"] for _, a in found.found if a.get("role") == "img"] == ['Alt "text".']
    ids = found.all("id")
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", front())) <= set(ids)
    assert any(i.startswith("9.1-one-") for i in ids)


def test_statements_are_shown_with_their_verdicts() -> None:
    source = page()
    assert '<span class="verdict not_checkable">not checkable</span> So it is.' in source
    assert "It depends. (Somebody 1950)" in source
    assert "witness not run here" in source
    assert "1 not checkable" in front()


def test_pictures_follow_the_page_in_the_dark() -> None:
    _chapter, results = made()
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
    assert re.search(r'<span class="together"><math.*</math>,</span>', markup.words("Take $x$, then"))


def test_a_page_is_replaced_at_once(tmp_path: Path) -> None:
    path = report.write(tmp_path, "one", "a.html")
    assert report.write(tmp_path, "two", "a.html") == path
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.html", "two")]


def links(path: Path) -> list[str]:
    return [h.split("#")[0] for h in Page(path.read_text()).all("href") if not h.startswith(("#", "data:"))]


def test_a_chapter_that_runs_alone_leaves_the_others(tmp_path: Path) -> None:
    first, results = made()
    report.Folder(tmp_path, TITLES).put(first, results, 3)
    before = (tmp_path / "chapter-9.1.html").read_bytes()
    second = report.Folder(tmp_path, TITLES, quick=True)
    second.put(Chapter("9.2", "Second", "Idea.", ()), [Result("9.2", "a", 1.0, results[0].experiment)], 1)
    assert (tmp_path / "chapter-9.1.html").read_bytes() == before
    index = second.finish()
    assert {*links(index)} == {"chapter-9.1.html", "chapter-9.2.html"}
    assert "full run" in index.read_text()
    assert "quick run" in index.read_text()
    assert "2 of 3 experiments agree" in index.read_text()
    assert "chapter-9.1.html" in links(tmp_path / "chapter-9.2.html")
    assert all((tmp_path / target).is_file() for page in tmp_path.glob("*.html") for target in links(page))


def test_what_is_no_data_of_a_chapter_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "chapter-9.1.json").write_text("{")
    (tmp_path / "chapter-9.3.json").write_text("[1]")
    _chapter, results = made()
    folder = report.Folder(tmp_path, TITLES)
    folder.put(Chapter("9.2", "Second", "Idea.", ()), results, 3)
    (tmp_path / "chapter-9.2.html").unlink()
    assert set(folder.chapters()) == {"9.2"}
    assert not report.Folder(tmp_path, TITLES).chapters()
