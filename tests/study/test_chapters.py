"""Every experiment, in its quick setting: its numbers are what they should be, and so are its pictures."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chainrule.study import ALSO, CHAPTERS, TITLES, backpropagation, chapter, gradient_descent, quadratics, report, stochastic
from chainrule.study.model import Chapter, Context, Experiment, Result
from chainrule.study.run import Plan, loaded, plan, results
from chainrule.study.tools import descend

PLANS = plan([chapter(name) for name in CHAPTERS])
# The others are kept for the thorough run: these are the ones that take seconds.
SLOW = {
    "averages", "what it owes", "exclusive or", "noise floor", "rosenbrock valley", "a bound that cannot hold", "handwritten digits", "near and far", "which is robust",
    "the path", "an ensemble", "all paths", "reading digits", "over the cliff", "promises", "normalised training", "where it looks",
    "by playing", "between one and all", "balancing", "a bound that is reached", "a plane of digits", "two distances", "eight modes",
}  # fmt: skip


def cases() -> list[object]:
    """Every experiment, the slow ones marked."""
    return [pytest.param(p, marks=[pytest.mark.slow] if p.name in SLOW else [], id=f"{p.chapter.id}-{p.name}") for p in PLANS]


@pytest.mark.parametrize("p", cases())
def test_experiment(p: Plan) -> None:
    e = p.run(Context(quick=True))
    assert not [(n.label, n.value, n.expected) for n in e.numbers if not n.passed]
    assert e.text.strip()
    if p.name == "statements judged":
        assert {s.id.startswith(tuple(f"{name}." for name in ALSO.get(p.chapter.id, (p.chapter.id,)))) for s in e.statements} <= {
            True
        }
        assert {s.witness for s in e.statements} <= {"not run here"}
    else:
        assert e.numbers
        assert e.figures
    for figure in e.figures:
        assert figure.svg.startswith("<svg")
        assert figure.alt
        assert figure.caption
    for table in e.tables:
        assert {len(row) for row in table.rows} == {len(table.head)}
    page = report.render(p.chapter, [Result(p.chapter.id, p.name, 0.0, e)])
    assert all(f.svg in page for f in e.figures)
    assert "merror" not in page
    shown = re.sub(r'alttext="[^"]*"|<pre>.*?</pre>', "", page, flags=re.DOTALL)
    assert not re.search(r"<m[in]>\\\\", shown), "a command that MathML does not know"


def test_slow_experiments_exist() -> None:
    assert {p.name for p in PLANS} >= SLOW


def test_every_section_has_a_chapter() -> None:
    assert list(CHAPTERS) == list(TITLES)
    assert [chapter(name).title for name in CHAPTERS] == list(TITLES.values())
    for name in CHAPTERS:
        assert chapter(name).cover in [run.__name__ for run in chapter(name).experiments]


def test_pictures_have_names_of_their_own() -> None:
    """Ids of two pictures of one chapter must differ; the names are literals in the source."""
    for name in CHAPTERS:
        names = [n for module in sources(name) for n in re.findall(r'drawn\(\s*[^"]*?"([a-z][\w-]*)",', module)]
        assert len(names) == len(set(names)), (name, [n for n in names if names.count(n) > 1])


def sources(name: str) -> list[str]:
    """The text of the modules that the experiments of a chapter come from."""
    files = {inspect.getsourcefile(p) or "" for p in chapter(name).experiments}
    return [Path(f).read_text(encoding="utf-8") for f in sorted(files)]


def test_names_are_unique() -> None:
    assert len({(p.chapter.id, p.name) for p in PLANS}) == len(PLANS)


class Silent:
    """Nobody watches."""

    def start(self, chapter: str, name: str) -> None: ...
    def tell(self, fraction: float) -> None: ...
    def end(self, result: Result) -> None: ...


def test_same_picture_twice() -> None:
    run = Chapter("9.1", "t", "", (quadratics.round_bowl,))
    pages = [report.render(run, list(results(plan([run]), Silent(), quick=True))) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_failed_experiment_does_not_stop_the_others() -> None:
    def breaks(context: Context) -> Experiment:
        raise RuntimeError("by design")

    def interrupts(context: Context) -> Experiment:
        raise KeyboardInterrupt

    run = Chapter("9.1", "t", "", (breaks, quadratics.round_bowl, interrupts))
    seen: Iterator[Result] = results(plan([run]), Silent(), quick=True)
    first, second = next(seen), next(seen)
    assert first.error.startswith("RuntimeError: by design\n(in breaks, test_chapters.py line ")
    assert not first.passed
    assert second.passed
    with pytest.raises(KeyboardInterrupt):
        next(seen)


def test_a_chapter_that_cannot_be_imported_does_not_stop_the_others() -> None:
    def load(name: str) -> Chapter:
        raise ImportError("by design")

    broken = loaded("9.3", "Loss functions", load)
    good = Chapter("9.1", "t", "", (quadratics.round_bowl,))
    first, second = results(plan([broken, good]), Silent(), quick=True)
    assert first.error.startswith("ImportError: by design")
    assert first.chapter == "9.3"
    assert second.passed


def test_a_wrong_step_is_noticed() -> None:
    """The numbers can fail: a descent that does something else leaves the closed form."""
    path = descend(quadratics.parabola, [1.0], 0.1, 24)
    exact = (1 - 2 * 0.1) ** path.steps
    assert np.max(np.abs(path.points[:, 0] - exact)) < 1e-14
    other = descend(lambda x: 1.001 * quadratics.parabola(x), [1.0], 0.1, 24)
    assert np.max(np.abs(other.points[:, 0] - exact)) > 1e-5


def test_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    mean, half = stochastic.interval(rng.standard_normal((4000, 6)))
    assert np.mean(np.abs(mean) <= half) == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_wilson_interval() -> None:
    low, high = backpropagation.wilson(81, 263)  # Newcombe (1998), table I: 0.2553 to 0.3662
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_rosenbrock_minimum() -> None:
    assert gradient_descent.rosenbrock(1.0, 1.0) == 0
