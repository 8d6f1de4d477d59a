"""``chainrule claims``: run the witnesses of the register, or of claims in a file, and say whether they bear the verdicts out."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.common import CommandError, need

if TYPE_CHECKING:
    from chainrule.claims import Claim, Examined

_NEEDED = ("rich", "sklearn", "sympy")


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "claims",
        help="run the register of claims, or claims of your own",
        description="Every statement has a verdict, and a witness that is run: it must bear it out, and refuse the opposite.",
        epilog="Examples: chainrule claims 9.5; chainrule claims 9.3.bce.derivative; chainrule claims my_claims.py. "
        "Exit status: 0 all witnesses pass, 1 one fails, 2 wrong usage, 130 interrupted.",
    )
    p.add_argument("what", nargs="*", metavar="SECTION|ID|FILE.py", help="sections, ids or beginnings of ids, files; all if none")
    p.add_argument(
        "--verdict",
        action="append",
        choices=("true", "conditional", "imprecise", "false", "not_checkable"),
        help="only claims with this verdict; may be repeated",
    )
    p.add_argument("--quick", action="store_true", help="leave out witnesses that take more than about two seconds")
    out = p.add_mutually_exclusive_group()
    out.add_argument("--json", action="store_true", help="print all of it as JSON")
    out.add_argument("--markdown", action="store_true", help="print the table of statements and verdicts as Markdown")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; the status says whether every witness passed."""
    need("study", *_NEEDED)
    chosen = [c for c in selected(args.what) if (not args.verdict or c.verdict in args.verdict) and not (args.quick and c.slow)]
    if not chosen:
        raise CommandError("no claim is left by these options")
    found = _examined(chosen)
    if args.json:
        from chainrule.claims import as_data

        print(json.dumps([as_data(e) for e in found], indent=1, ensure_ascii=False))
    elif args.markdown:
        from chainrule.claims.page import markdown

        print(markdown((e.claim, e.diagnosis) for e in found), end="")
    else:
        _show(found, in_full=len(found) == 1)
    return 0 if all(e.passed for e in found) else 1


def selected(words: Sequence[str]) -> list[Claim]:
    """The claims that sections, ids and files name, each once."""
    from chainrule.claims import SECTIONS, claims

    if not words:
        return list(claims())
    out: dict[str, Claim] = {}
    for word in words:
        if word.endswith(".py"):
            found = from_file(word)
        else:
            section = next((s for s in SECTIONS if word == s or word.startswith(s + ".")), None)
            found = [c for c in claims(*([section] if section else [])) if c.id == word or c.id.startswith(word + ".")]
        if not found:
            raise CommandError(f"there is no claim {word}{_like(word)}; sections are {', '.join(SECTIONS)}")
        out.update((c.id, c) for c in found)
    return list(out.values())


def _like(word: str) -> str:
    from difflib import get_close_matches

    from chainrule.claims import claims

    near = get_close_matches(word, [c.id for c in claims()], 1)
    return f" (did you mean {near[0]}?)" if near else ""


def from_file(path: str) -> list[Claim]:
    """The claims in the list ``CLAIMS`` of a file."""
    from chainrule.claims import Claim, unique

    file = Path(path).resolve()
    if not file.is_file():
        raise CommandError(f"there is no file {path}")
    found = importlib.util.spec_from_file_location(file.stem, file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.path.insert(0, str(file.parent))
    sys.modules.setdefault(file.stem, module)
    try:
        found.loader.exec_module(module)
        listed: list[Any] = list(module.CLAIMS)
    except Exception as e:
        raise CommandError(f"{path} holds no claims that can be run: {type(e).__name__}: {e}") from None
    finally:
        sys.path.pop(0)
    if not listed or not all(isinstance(c, Claim) for c in listed):
        raise CommandError(f"{path} needs a list CLAIMS of chainrule.claims.Claim")
    try:
        return list(unique(listed))
    except ValueError as e:
        raise CommandError(f"{path}: {e}") from None


def _examined(chosen: Sequence[Claim]) -> list[Examined]:
    """Run all, with a bar where somebody watches and a line for each that fails."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from chainrule.claims import examine

    out = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description:<34}"), BarColumn(bar_width=28), MofNCompleteColumn(), TimeElapsedColumn()
    found: list[Examined] = []
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bars:
        task = bars.add_task("", total=len(chosen))
        for claim in chosen:
            bars.update(task, description=claim.id[:34])
            found.append(examine(claim))
            bars.advance(task)
            if not found[-1].passed:
                out.print(f"✗ {claim.id}: {why(found[-1])}", markup=False, soft_wrap=True)
    return found


def why(e: Examined) -> str:
    """What is wrong with a claim that was not borne out."""
    true = e.claim.verdict == "true"
    parts = [(e.witness, "the statement", true), (e.second, "the wrong formula" if true else "the correction", not true)]
    return "; ".join(
        f"the witness failed on {name}: {h.error}" if h.error else f"the witness {'refuses' if accept else 'accepts'} {name}"
        for h, name, accept in parts
        if not h.passed
    )


def _show(found: Sequence[Examined], in_full: bool) -> None:
    from rich.console import Console

    from chainrule.claims.page import full, table

    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=max(out.width, 140))
    if in_full:
        out.print(full(found[0]), markup=False, soft_wrap=True)
    else:
        out.print(table(found))
    out.print(_summary(found), markup=False)


def _summary(found: Sequence[Examined]) -> str:
    from chainrule.claims import VERDICTS

    counts = {v: sum(e.claim.verdict == v for e in found) for v in VERDICTS}
    said = ", ".join(f"{n} {v.replace('_', ' ')}" for v, n in counts.items() if n)
    passed, seconds = sum(e.passed for e in found), sum(e.seconds for e in found)
    claims = "claim" if len(found) == 1 else "claims"
    return f"\n{len(found)} {claims}: {said}. {passed} of {len(found)} borne out, in {seconds:.1f} s."
