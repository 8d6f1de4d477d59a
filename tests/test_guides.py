"""What the guides say is run."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = [DOCS / "start.md", *sorted((DOCS / "how").glob("*.md")), *sorted((DOCS / "guides").glob("*.md"))]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda p: p.stem)
def test_examples_do_what_they_say(guide: Path) -> None:
    test = doctest.DocTestParser().get_doctest(guide.read_text(), {}, guide.stem, str(guide), 0)
    out: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test, out=out.append)
    assert not out, "".join(out)
