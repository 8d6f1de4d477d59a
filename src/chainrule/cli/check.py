"""``chainrule check``: is a gradient in a file the gradient of a loss in a file? Also grades many files at once."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.common import CommandError, example, failed, load, told

if TYPE_CHECKING:
    pass

_STATUS = {"right": 0, "wrong": 1, "cannot_tell": 2}


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check a gradient written by hand",
        description="Compare a gradient written by hand with the automatic one, and say what is wrong with it.",
        epilog="Exit status: 0 right, 1 wrong, 2 cannot tell or wrong usage.",
    )
    p.add_argument("loss", nargs="?", metavar="FILE.py:LOSS", help="the function")
    p.add_argument("gradient", nargs="?", metavar="FILE.py:GRADIENT", help="its gradient, a function, or a formula as text")
    p.add_argument(
        "--example", metavar="FILE.py:FUNCTION", help="a function without arguments that returns the arguments to check at"
    )
    p.add_argument(
        "--shape",
        nargs="+",
        default=[],
        metavar="NAME=SIZES",
        help="sizes of arguments for random data: X=n,d w=d lam= ('' is a number)",
    )
    p.add_argument("--argnums", default="0", metavar="K[,K...]", help="which arguments the gradient is for (default: the first)")
    p.add_argument("--seed", type=int, default=0, help="seed of the random data (default: 0)")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("--pytest", action="store_true", help="print a test that checks this gradient, and stop")
    p.add_argument("--grade", nargs=2, type=Path, metavar=("ASSIGNMENT.toml", "DIR"), help="grade every submission in a folder")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, or grade."""
    if args.grade:
        return _grade(args)
    if not (args.loss and args.gradient):
        raise CommandError("name the loss and its gradient: chainrule check loss.py:loss loss.py:gradient")
    argnums = _argnums(args.argnums)
    if args.pytest:
        print(_test(args, argnums), end="")
        return 0
    f = load(args.loss)
    claimed = load(args.gradient) if ".py:" in args.gradient else args.gradient
    point = _point(args, f)
    from chainrule import errors
    from chainrule.explain.check import check

    try:
        c = check(f, claimed, *point, argnums=argnums, seed=args.seed, progress=_progress())
    except errors.ChainruleError as e:
        raise CommandError(told(e)) from None
    except (Exception, SystemExit) as e:
        raise failed(e) from None
    print(c.to_json() if args.json else c)
    return _STATUS[c.verdict]


def _argnums(text: str) -> int | tuple[int, ...]:
    try:
        found = tuple(int(x) for x in text.split(",") if x)
    except ValueError:
        raise CommandError(f"--argnums takes numbers of arguments, counted from 0, and not {text!r}") from None
    return found[0] if len(found) == 1 and not text.endswith(",") else found


def _point(args: argparse.Namespace, f: Callable[..., Any]) -> Sequence[Any]:
    """The arguments to check at: an example, or random data of the shapes given."""
    if args.example:
        return example(args.example)
    if not args.shape:
        raise CommandError("say what the arguments are: --example FILE.py:FUNCTION, or --shape X=n,d w=d")
    from chainrule.testing.points import random_point

    shapes: dict[str, str] = {}
    for text in args.shape:
        name, sign, shape = text.partition("=")
        if not sign:
            raise CommandError(f"--shape takes NAME=SIZES, and not {text!r}")
        shapes[name.strip()] = shape
    try:
        return random_point(f, shapes, args.seed)
    except ValueError as e:
        raise CommandError(str(e)) from None


def _progress() -> Callable[[str, float], None] | None:
    """One line on a terminal, rewritten; nothing where nobody looks."""
    if not sys.stderr.isatty():
        return None

    def show(what: str, done: float) -> None:
        print(f"\r{what}: {100 * done:3.0f} %\x1b[K", end="" if done < 1 else "\r\x1b[K", file=sys.stderr, flush=True)

    return show


_TEST = '''"""Is the gradient right?"""

{imports}

import chainrule as cr


def test_{name}_is_the_gradient_of_{loss}() -> None:
{body}    cr.testing.assert_gradient({loss}, {claimed}, *args, argnums={argnums!r}, seed={seed})
'''


def _test(args: argparse.Namespace, argnums: int | tuple[int, ...]) -> str:
    """A test that checks this gradient."""
    path, _, loss = args.loss.rpartition(":")
    imports = {Path(path).stem: [loss]}
    claimed, name = repr(args.gradient), "formula"
    if ".py:" in args.gradient:
        where, _, name = args.gradient.rpartition(":")
        claimed = name
        imports.setdefault(Path(where).stem, []).append(name)
    if args.example:
        where, _, example = args.example.rpartition(":")
        imports.setdefault(Path(where).stem, []).append(example)
        body = f"    args = {example}()\n"
    else:
        import numpy as np

        shapes = [np.shape(x) for x in _point(args, load(args.loss))]
        drawn = [f"rng.normal(size={s})" if s else "rng.uniform(0.2, 0.8)" for s in shapes]
        body = f"    rng = np.random.default_rng({args.seed})\n    args = [{', '.join(drawn)}]\n"
    lines = [
        *([] if args.example else ["import numpy as np"]),
        *[f"from {m} import {', '.join(sorted(n))}" for m, n in imports.items()],
    ]
    return _TEST.format(
        imports="\n".join(lines), name=name, loss=loss, body=body, claimed=claimed, argnums=argnums, seed=args.seed
    )


def _grade(args: argparse.Namespace) -> int:
    """Every file of a folder, each in a process of its own."""
    from chainrule.testing.grade import grade, table

    assignment, folder = args.grade
    for path in (assignment, folder):
        if not path.exists():
            raise CommandError(f"{path} is not there")
    try:
        grades = grade(assignment, folder)
    except ValueError as e:
        raise CommandError(str(e)) from None
    print(json.dumps([g.as_data() for g in grades], indent=1) if args.json else table(grades))
    return 0 if all(g.verdict == "right" for g in grades) else 1
