"""Every experiment, in its quick setting: its numbers are what they should be, and so are its pictures."""

from collections.abc import Iterator

import numpy as np
import pytest

from chainrule.study import CHAPTERS, backpropagation, chapter, gradient_descent, quadratics, report, stochastic
from chainrule.study.model import Chapter, Context, Experiment, Result
from chainrule.study.run import loaded, plan, results
from chainrule.study.tools import descend

PLANS = plan([chapter(name) for name in CHAPTERS])


@pytest.fixture(scope="module")
def found() -> dict[str, Experiment]:
    return {}


@pytest.mark.parametrize("p", PLANS, ids=lambda p: p.name)
def test_experiment(p: object, found: dict[str, Experiment]) -> None:
    e: Experiment = p.run(Context(quick=True))  # type: ignore[attr-defined]
    assert not [(n.label, n.value, n.expected) for n in e.numbers if not n.passed]
    assert e.text.strip()
    if e.title != "What is said about this, judged":
        assert e.numbers
        assert e.figures
    for figure in e.figures:
        assert figure.svg.startswith("<svg")
        assert figure.alt
        assert figure.caption
    for table in e.tables:
        assert {len(row) for row in table.rows} == {len(table.head)}
    page = report.render(p.chapter, [Result(p.chapter.id, p.name, 0.0, e)])  # type: ignore[attr-defined]
    assert all(f.svg in page for f in e.figures)
    assert "merror" not in page
    assert "\\" not in "".join(part for part in page.split("alttext=")[0])


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
