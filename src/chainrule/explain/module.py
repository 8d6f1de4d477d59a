"""The module that a derivation is, as text: imports, constants, `value` and `gradient`; run and compared before it is shown."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.emit import source as s
from chainrule.explain.instances import instances
from chainrule.explain.naming import needed_by
from chainrule.explain.nodes import Name, Node
from chainrule.explain.source import WIDTH, Printer
from chainrule.explain.verify import TOLERANCE, VerificationError, difference, environment, rounding

if TYPE_CHECKING:
    from chainrule.explain.derive import Derivation

_RESERVED = {"np", "special", "value", "gradient"}
_SHADOWED = "_of_the_user"
"""Ends the name of an argument that is called like a module, until the text is whole."""


def module(d: Derivation) -> str:
    """The text; it has been run at two sets of sizes."""
    p = d.problem
    taken = {*p.names, *[n for n, _ in d.definitions], *_RESERVED}
    sizes = {n: n if n not in taken else f"{n}_" for n in p.sizes}
    printer = Printer(sizes, {n: f"{n}{_SHADOWED}" for n in p.names if n in ("np", "special")})
    with_value = {n for n, _ in needed_by([d.expressions.value], d.expressions.definitions)}
    with_targets = {n for n, _ in needed_by(d.expressions.targets, d.expressions.definitions)}
    value = _function(d, printer, "value", [(n, x) for n, x in d.definitions if n in with_value], [d.value])
    gradient = _function(d, printer, "gradient", [(n, x) for n, x in d.definitions if n in with_targets], d.gradients)
    text = _unshadowed(_assembled(printer, [value, gradient]))
    _checked(d, text)
    return text


def _unshadowed(text: str) -> str:
    """Modules by their full names, where an argument has the short one."""
    if _SHADOWED not in text:
        return text
    text = text.replace("import numpy as np", "import numpy").replace("from scipy import special", "import scipy.special")
    text = re.sub(r"\bnp\.", "numpy.", re.sub(r"(?<!\.)\bspecial\.", "scipy.special.", text))
    return text.replace("import scipy.scipy.special", "import scipy.special").replace(_SHADOWED, "")


def _assembled(printer: Printer, functions: Sequence[str]) -> str:
    helpers = list(printer.helpers.values())
    body = "\n\n\n".join([*[h for h in helpers if h.startswith("def ")], *functions])
    imports = [*sorted(h for h in helpers if h.startswith("from ")), "import numpy as np"]
    if "special." in body:
        imports.append("from scipy import special")
    short = [h for h in helpers if not h.startswith(("def ", "from "))]
    constants = [s.wrapped(name, ast.unparse(s.array(x))) for name, x in printer.constants]
    head = "\n".join([*imports, *([""] if short or constants else []), *short, *constants])
    return f"{head}\n\n\n{body}\n"


def _function(
    d: Derivation, printer: Printer, name: str, definitions: Sequence[tuple[str, Node]], results: Sequence[Node]
) -> str:
    """``def value(X, w, y):``, a line for each named part, and the result."""
    p = d.problem
    printer.used = set()
    lines = [(f"{n} = {_text(printer.full(x))}", _shape(x)) for n, x in definitions]
    texts = [
        _text(printer.full(x)) + (".copy()" if isinstance(x, Name) and x.name in p.names and x.rank else "") for x in results
    ]
    if name == "value" or p.single:
        lines.append((f"return {texts[0]}", _said(d, name, [results[0]])))
    else:
        tail = "," if len(texts) == 1 else ""
        lines.append((f"return {', '.join(texts)}{tail}", _said(d, name, results)))
    head = [f"def {name}({', '.join([printer.renamed.get(n, n) for n in p.names])}):"]
    head += [f'    """{_summary(d, name)}"""']
    return "\n".join([*head, *_sizes(d, printer), *[line for code, note in lines for line in _wrapped(code, note)]])


def _text(e: ast.expr) -> str:
    return ast.unparse(ast.fix_missing_locations(e))


def _shape(x: Node) -> str:
    return f"({', '.join(map(str, x.sizes))}{',' if x.rank == 1 else ''})" if x.rank else "a number"


def _said(d: Derivation, name: str, results: Sequence[Node]) -> str:
    if name == "value":
        return f"{d.function_name}: {_shape(results[0])}"
    if d.order == 2:
        return "; ".join(
            f"d2{d.function_name}/d{d.problem.names[k]}2: {_shape(x)}" for k, x in zip(d.problem.wrt, results, strict=True)
        )
    return "; ".join(
        f"d{d.function_name}/d{d.problem.names[k]}: {_shape(x)}" for k, x in zip(d.problem.wrt, results, strict=True)
    )


def _summary(d: Derivation, name: str) -> str:
    arguments = ", ".join(
        f"{n} ({', '.join(map(str, shape))})" if shape else n for n, shape in zip(d.problem.names, d.problem.shapes, strict=True)
    )
    if name == "value":
        return f"The function of {arguments}."
    return f"Its {d.kind} with respect to {', '.join(d.problem.names[k] for k in d.problem.wrt)}."


def _sizes(d: Derivation, printer: Printer) -> list[str]:
    """``n, d = X.shape``"""
    p, out, known = d.problem, list[str](), set[str]()
    for n in p.sizes:
        if n not in printer.used or n in known:
            continue
        k, axis = next((k, a) for k, shape in enumerate(p.shapes) for a, m in enumerate(shape) if m == n)
        shape, owner = p.shapes[k], printer.renamed.get(p.names[k], p.names[k])
        if (
            len(shape) > 1
            and all(isinstance(m, str) and m in printer.used and m not in known for m in shape)
            and len(set(shape)) == len(shape)
        ):
            out.append(f"    {', '.join(printer.sizes[str(m)] for m in shape)} = {owner}.shape")
            known.update(map(str, shape))
        else:
            out.append(f"    {printer.sizes[n]} = {owner}.shape[{axis}]")
            known.add(n)
    return out


def _wrapped(code: str, note: str) -> list[str]:
    line = f"    {code}  # {note}"
    if len(line) <= WIDTH:
        return [line]
    if len(code) + 4 <= WIDTH:
        return [f"    # {note}", f"    {code}"]
    head, text = code.split(" ", 1) if code.startswith("return ") else code.split(" = ", 1)
    head = head if code.startswith("return") else f"{head} ="
    body = textwrap.wrap(text, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    return [f"    # {note}", f"    {head} (", *[f"        {x}" for x in body], "    )"]


# --- running it ---------------------------------------------------------------------------------------------------------------


def functions(text: str) -> dict[str, Any]:
    """What the text defines."""
    space: dict[str, Any] = {}
    exec(compile(text, "<derivation>", "exec"), space)
    return space


def _checked(d: Derivation, text: str) -> None:
    space = functions(text)
    for inst in instances(d.problem, 2, seed=77):
        env = environment(d, inst)
        with np.errstate(all="ignore"):
            found = [space["value"](*inst.arrays)]
            derivative = space["gradient"](*inst.arrays)
        found += [derivative] if d.problem.single else list(derivative)
        least = [1e-12, *[rounding(d.problem, inst, k, d.order) for k in d.problem.wrt]]
        for x, y, small in zip([d.value, *d.gradients], found, least, strict=True):
            with np.errstate(all="ignore"):
                wanted = x.full(env, inst.sizes)
            if not difference(y, wanted, small) < TOLERANCE:
                raise VerificationError(f"the source does not compute the formula, at sizes {inst.sizes}")
