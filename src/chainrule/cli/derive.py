"""``chainrule derive``: the derivative of a formula or of a function, as LaTeX, source, steps, a picture or a page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.common import CommandError, example, failed, load, told

if TYPE_CHECKING:
    from chainrule.explain.derive import Derivation


def add(commands: Any) -> None:
    """Add the command to the command line."""
    p: argparse.ArgumentParser = commands.add_parser(
        "derive",
        help="write the derivative of a formula or a function as one can read it",
        description="The derivative as formulas, steps, NumPy source or a picture. Every line is checked numerically first.",
        epilog='Example: chainrule derive "mean((sigmoid(W @ x + b) - y)**2)" --wrt W --shape W=m,n x=n b=m y=m',
    )
    p.add_argument(
        "what", metavar="FORMULA|FILE.py:FUNCTION", help="a formula (Python's syntax or LaTeX), or a function in a file"
    )
    p.add_argument("--wrt", nargs="+", metavar="NAME", help="the arguments to differentiate with respect to (default: the first)")
    p.add_argument("--shape", nargs="+", action="extend", default=[], metavar="NAME=SIZES", help="shapes: X=n,d w=d")
    p.add_argument("--example", metavar="FILE.py:FUNCTION", help="a function without arguments that returns example arguments")
    p.add_argument("--layout", choices=("denominator", "numerator"), default="denominator", help="(default: denominator)")
    p.add_argument("--order", type=int, choices=(1, 2), default=1, help="2 for the Hessian (default: 1)")
    out = p.add_mutually_exclusive_group()
    out.add_argument("--latex", action="store_true", help="print LaTeX only")
    out.add_argument("--source", action="store_true", help="print NumPy source of value(...) and gradient(...)")
    out.add_argument(
        "--steps", choices=("reverse", "forward"), nargs="?", const="reverse", help="print the chain rule step by step"
    )
    out.add_argument("--svg", type=Path, metavar="FILE", help="write a picture")
    out.add_argument("--html", type=Path, metavar="FILE", help="write a page with all of it")
    out.add_argument("--json", action="store_true", help="print all of it as JSON")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Derive what was asked for, and print or write it."""
    from chainrule import errors

    try:
        d = _derivation(args)
        _write(d, args)
    except errors.ChainruleError as e:
        print(told(e), file=sys.stderr)
        return 2
    except CommandError:
        raise
    except (TypeError, ValueError) as e:
        raise CommandError(str(e)) from None
    except (Exception, SystemExit) as e:
        raise failed(e) from None
    return 0


def shapes_of(words: Sequence[str]) -> dict[str, str]:
    """``X=n,d`` as a shape by name."""
    out: dict[str, str] = {}
    for word in words:
        name, equals, sizes = word.partition("=")
        if not equals or not name.isidentifier():
            raise CommandError(f"--shape takes NAME=SIZES, as in X=n,d; got {word!r}")
        out[name] = sizes
    return out


def _derivation(args: argparse.Namespace) -> Derivation:
    from chainrule.explain.derive import derive

    shapes = shapes_of(args.shape)
    wrt: Any = 0 if not args.wrt else args.wrt[0] if len(args.wrt) == 1 else tuple(args.wrt)
    words: dict[str, Any] = {"layout": args.layout, "order": args.order}
    if not is_function(args.what):
        if args.example:
            raise CommandError("--example is for functions; a formula takes --shape")
        return derive(args.what, wrt=wrt, shapes=shapes, **words)
    f = load(args.what)
    if args.example:
        return derive(f, *example(args.example), wrt=wrt, **words)
    if not shapes:
        raise CommandError("a function needs --shape NAME=SIZES for its arguments, or --example FILE.py:FUNCTION")
    return derive(f, wrt=wrt, shapes=shapes, **words)


def is_function(what: str) -> bool:
    """Is it a function in a file, rather than a formula?"""
    path, colon, name = what.rpartition(":")
    return bool(colon) and path.endswith(".py") and name.isidentifier()


def _write(d: Derivation, args: argparse.Namespace) -> None:
    if args.latex:
        print(d.latex)
    elif args.source:
        print(d.source, end="")
    elif args.steps:
        for k, step in enumerate(d.steps if args.steps == "reverse" else d.forward_steps, 1):
            print(f"{k:>3}  {step}")
    elif args.svg or args.html:
        _to_file(args.svg or args.html, d, picture=bool(args.svg))
    elif args.json:
        print(json.dumps(as_data(d), indent=1, ensure_ascii=False))
    else:
        _summary(d)


def _to_file(path: Path, d: Derivation, picture: bool) -> None:
    from chainrule.explain.html import page

    try:
        path.write_text(d.svg if picture else page(d), encoding="utf-8")
    except OSError as e:
        raise CommandError(f"{path} cannot be written: {e.strerror}") from None
    print(f"wrote {path}")


def _summary(d: Derivation) -> None:
    from chainrule.explain.html import checked

    print(d.value_latex, d.latex, sep="\n\n")
    print()
    for line in d.conventions:
        print(f"  {line}")
    print(f"  {checked(d)}")


def as_data(d: Derivation) -> dict[str, Any]:
    """All of a derivation, for other programs."""
    p = d.problem

    def steps(found: Sequence[Any]) -> list[dict[str, str]]:
        return [{"rule": s.rule, "expression": s.expression, "local": s.local, "result": s.result} for s in found]

    return {
        "kind": d.kind,
        "wrt": [p.names[k] for k in p.wrt],
        "shapes": {n: list(s) for n, s in zip(p.names, p.shapes, strict=True)},
        "layout": d.layout,
        "value": d.value_latex,
        "latex": d.latex,
        "lines": [list(line) for line in d.lines],
        "conventions": d.conventions,
        "source": d.source,
        "steps": steps(d.steps),
        "forward_steps": steps(d.forward_steps),
        "checks": d.checks._asdict(),
    }
