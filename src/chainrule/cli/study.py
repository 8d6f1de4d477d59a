"""``chainrule study``: run the chapters, write the page, print the table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.common import INTERRUPTED, CommandError, need
from chainrule.study import CHAPTERS, chapter

if TYPE_CHECKING:
    from chainrule.study.model import Chapter, Result

_NEEDED = ("jinja2", "latex2mathml", "matplotlib", "rich", "sklearn")


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "study",
        help="run the study on real data and write a page to read",
        description="Run experiments on real data against what theory says, and write one self-contained HTML page.",
        epilog="Exit status: 0 all agree, 1 an experiment failed or differs from theory, 2 wrong usage, 130 interrupted.",
    )
    p.add_argument(
        "chapters", nargs="*", metavar="CHAPTER", help=f"which chapters (of {', '.join(CHAPTERS)}); all if none is named"
    )
    p.add_argument(
        "--out", type=Path, default=Path("study-out"), metavar="DIR", help="where to write the page (default: study-out)"
    )
    p.add_argument("--quick", action="store_true", help="smaller experiments: fewer steps and seeds")
    p.add_argument("--json", action="store_true", help="print what was found as JSON instead of a table")
    p.add_argument("--open", choices=("yes", "no"), default="no", help="show the page in the browser at the end (default: no)")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the study that was asked for."""
    names = _chapters(args.chapters)
    need("study", *_NEEDED)
    folder = _writable(args.out)
    from chainrule.study.progress import console, table

    chapters = [chapter(name) for name in names]
    out = console(stderr=args.json)
    results, planned, path = _study(chapters, folder, args.quick, out)
    if args.json:
        from chainrule.study.report import as_data

        print(json.dumps([as_data(r) for r in results], indent=1, ensure_ascii=False))
    else:
        out.print()
        out.print(table(results))
    return _finish(results, planned, path, out, show=args.open == "yes")


def _chapters(names: list[str]) -> list[str]:
    """The chapters asked for, in the order of the study, each once."""
    unknown = [n for n in names if n not in CHAPTERS]
    if unknown:
        raise CommandError(f"there is no chapter {' or '.join(unknown)}; there are {', '.join(CHAPTERS)}")
    return [n for n in CHAPTERS if not names or n in names]


def _writable(folder: Path) -> Path:
    """The folder, made if need be, and known to take files before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise CommandError(f"cannot write to {folder}: {e.strerror}. Name another folder with --out") from None
    return folder


def _study(chapters: list[Chapter], folder: Path, quick: bool, out: Any) -> tuple[list[Result], int, Path | None]:
    """Run, writing the page after each experiment; what is finished when the user interrupts stays."""
    from chainrule.study import report
    from chainrule.study.progress import watcher
    from chainrule.study.run import plan, results

    plans = plan(chapters)
    found: list[Result] = []
    path: Path | None = None
    try:
        with watcher(out, len(plans)) as w:
            for result in results(plans, w, quick):
                found.append(result)
                path = report.write(folder, report.render(chapters, found, len(plans)))
    except KeyboardInterrupt:
        out.print("Interrupted: what is finished is kept.")
    return found, len(plans), path


def _finish(results: list[Result], planned: int, path: Path | None, out: Any, show: bool) -> int:
    if path is not None:
        out.print(f"\nThe page: {path}", soft_wrap=True)
        if show:
            import webbrowser

            webbrowser.open(path.resolve().as_uri())
    if len(results) < planned:
        return INTERRUPTED
    return 0 if all(r.passed for r in results) else 1
