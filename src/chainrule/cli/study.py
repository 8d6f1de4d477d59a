"""``chainrule study``: run the chapters, write their pages, print the table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.common import INTERRUPTED, CommandError, need
from chainrule.study import CHAPTERS, TITLES, chapter

if TYPE_CHECKING:
    from chainrule.study.data import Dataset
    from chainrule.study.model import Chapter, Result

_NEEDED = ("jinja2", "latex2mathml", "matplotlib", "rich", "sklearn")


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "study",
        help="run the study on real data and write pages to read",
        description="Run experiments on real data against what theory says; write a self-contained HTML page for each chapter "
        "and an index. A chapter that is run alone leaves the pages of the others as they are.",
        epilog="Exit status: 0 all agree, 1 an experiment failed or differs from theory, 2 wrong usage, 130 interrupted.",
    )
    p.add_argument(
        "chapters",
        nargs="*",
        metavar="CHAPTER",
        help=f"which chapters (of {', '.join(CHAPTERS)}; 0 is the introduction); all if none is named",
    )
    p.add_argument("--out", type=Path, default=Path("study-out"), metavar="DIR", help="where to write (default: study-out)")
    p.add_argument(
        "--data", type=Path, metavar="TABLE", help="a CSV or Parquet file of your own, for the experiments that learn from data"
    )
    p.add_argument("--target", metavar="COLUMN", help="the column of --data to predict (default: the last)")
    p.add_argument("--quick", action="store_true", help="smaller experiments: fewer steps and seeds")
    p.add_argument("--json", action="store_true", help="print what was found as JSON instead of a table")
    p.add_argument("--open", choices=("yes", "no"), default="no", help="show the index in the browser at the end (default: no)")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the study that was asked for."""
    names = _chapters(args.chapters)
    need("study", *_NEEDED)
    folder = _writable(args.out)
    data = _data(args.data, args.target)
    from chainrule.study.progress import console, table
    from chainrule.study.run import loaded

    chapters = [loaded(name, TITLES[name], chapter) for name in names]
    out = console(stderr=args.json)
    results, planned, path = _study(chapters, folder, args.quick, data, out)
    if args.json:
        from chainrule.study.report import as_data

        print(json.dumps([as_data(r) for r in results], indent=1, ensure_ascii=False))
    else:
        out.print()
        out.print(table(results))
    return _finish(results, planned, path, out, show=args.open == "yes")


def _chapters(names: list[str]) -> list[str]:
    """The chapters asked for, in the order of the study, each once."""
    names = ["0" if n == "introduction" else n for n in names]
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


def _data(path: Path | None, target: str | None) -> Dataset | None:
    """The reader's own table, text as zeros and ones, gaps filled with means."""
    if path is None:
        if target is not None:
            raise CommandError("--target names a column of the table of --data, and there is none")
        return None
    need("train", "pandas", "pyarrow")
    from chainrule.cli.table import Wanted, whole
    from chainrule.study.data import made

    survey, rows = whole(Wanted(path, target or "", encode=True, impute=True))
    classes = None if survey.classes is None else [str(c) for c in survey.classes]
    return made(path.name, rows.x, rows.y, survey.names, classes, own=True)


def _study(
    chapters: list[Chapter], path: Path, quick: bool, data: Dataset | None, out: Any
) -> tuple[list[Result], int, Path | None]:
    """Run, writing pages after each experiment; what is finished when the user interrupts stays."""
    from chainrule.study.progress import watcher
    from chainrule.study.report import Folder
    from chainrule.study.run import plan, results

    plans, of = plan(chapters), {c.id: c for c in chapters}
    folder = Folder(path, TITLES, quick)
    found: list[Result] = []
    try:
        with watcher(out, len(plans)) as w:
            for result in results(plans, w, quick, data):
                found.append(result)
                c = of[result.chapter]
                folder.put(c, [r for r in found if r.chapter == c.id], sum(p.chapter is c for p in plans))
    except KeyboardInterrupt:
        out.print("Interrupted: what is finished is kept.")
    return found, len(plans), folder.finish() if found else None


def _finish(results: list[Result], planned: int, path: Path | None, out: Any, show: bool) -> int:
    if path is not None:
        out.print(f"\nThe pages: {path}", soft_wrap=True)
        if show:
            import webbrowser

            webbrowser.open(path.resolve().as_uri())
    if len(results) < planned:
        return INTERRUPTED
    return 0 if all(r.passed for r in results) else 1
