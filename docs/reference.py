"""The reference: one page in Markdown for each public module, from its docstrings."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = {
    "chainrule": "Differentiate, trace, compile",
    "chainrule.losses": "Losses",
    "chainrule.regularizers": "Regularisation",
    "chainrule.nn": "Networks",
    "chainrule.optim": "Optimisers",
    "chainrule.optim.schedules": "Learning rates",
    "chainrule.estimators": "Estimators in scikit-learn's way",
    "chainrule.analysis": "Analysis: curvature, convergence, sensitivity",
    "chainrule.integrals": "Integrals and expectations",
    "chainrule.distributions": "Distributions",
    "chainrule.rl": "Reinforcement learning",
    "chainrule.generative": "Generative models",
    "chainrule.random": "Random numbers",
    "chainrule.special": "Special functions",
    "chainrule.testing": "Testing",
    "chainrule.errors": "Errors",
}
_SECTION = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)?):\s*(.*)$")
_ITEM = re.compile(r"^(\S(?:[^:`]|`[^`]*`)*?): +(.*)$")
_LISTS = ("Args", "Attributes", "Raises")


def write(folder: Path) -> None:
    """Write the pages, and the list of them."""
    folder.mkdir(exist_ok=True)
    for name, title in MODULES.items():
        text = page(import_module(name), title)
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    entries = "\n".join(MODULES)
    (folder / "index.md").write_text(
        f"# Reference\n\nEverything that is public, from the docstrings.\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )


def page(module: ModuleType, title: str) -> str:
    """The page of a module: what it says of itself, and each of its public names."""
    parts = [f"# {title}", f"`{module.__name__}`", markdown(inspect.getdoc(module) or "")]
    for name in sorted(public(module), key=str.lower):
        value = getattr(module, name)
        if not isinstance(value, ModuleType):
            parts.append(entry(module.__name__, name, value))
    return "\n\n".join(parts) + "\n"


def public(module: ModuleType) -> list[str]:
    """The names that a module offers."""
    names: list[str] = list(getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")])
    return [n for n in names if not isinstance(getattr(module, n), dict | tuple | list)]


def entry(where: str, name: str, value: Any) -> str:
    """A heading, the signature, the docstring; of a class its public methods too."""
    short = where.replace("chainrule", "cr", 1)
    parts = [f"## {name}", f"```python\n{short}.{name}{signature(value)}\n```", markdown(inspect.getdoc(value) or "")]
    if inspect.isclass(value) and not issubclass(value, Exception):
        for k, v in sorted(vars(value).items()):
            function = v.fget if isinstance(v, property) else getattr(v, "func", getattr(v, "__func__", v))
            if not k.startswith("_") and inspect.isfunction(function) and inspect.getdoc(function):
                shown = "" if isinstance(v, property) or hasattr(v, "func") else signature(function)
                parts += [f"### {name}.{k}", f"```python\n.{k}{shown}\n```", markdown(inspect.getdoc(function) or "")]
    return "\n\n".join(parts)


def signature(value: Any) -> str:
    """The signature without types, which the text gives in words; nothing if there is none."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    kept = [p.replace(annotation=p.empty) for p in found.parameters.values() if p.name != "self"]
    text = str(found.replace(parameters=kept, return_annotation=found.empty))
    return re.sub(r"<class 'numpy\.(\w+)'>", r"np.\1", text)


def markdown(doc: str) -> str:
    """A docstring with Google's sections as Markdown; formulas are in dollars, examples become code."""
    out: list[str] = []
    name, body = "", list[str]()
    for line in [*doc.split("\n"), "End:"]:
        found = _SECTION.match(line)
        if found and (not found[2] or found[1] in ("Source", "Example")):
            out += section(name, body)
            name, body = found[1], [found[2]] if found[2] else []
        elif name and line and not line.startswith(" "):
            out += section(name, body)
            name, body = "", [line]
        else:
            body.append(line)
    return "\n".join(out).strip()


def section(name: str, lines: list[str]) -> list[str]:
    """One part of a docstring."""
    body = inspect.cleandoc("\n".join(lines)).split("\n")
    if not name:
        return ["", *fenced(body), ""]
    if name in _LISTS:
        return ["", f"**{name}**", "", *items(body), ""]
    return ["", f"**{name}**", "", *fenced(body), ""]


def items(lines: list[str]) -> list[str]:
    """``name: what it is`` as a list."""
    out: list[str] = []
    for line in lines:
        found = _ITEM.match(line)
        out.append(f"* `{found[1].strip('`')}`: {found[2]}" if found else f"  {line.strip()}")
    return out


def fenced(lines: list[str]) -> list[str]:
    """Examples and tables between fences, the rest as it is."""
    out: list[str] = []
    rules, code = 0, False
    for line in lines:
        rule = line.lstrip().startswith("====")
        starts = line.lstrip().startswith(">>> ")
        if (starts and not code) or (rule and not rules):
            out += ["", "```python" if starts else "```text"]
        if code and not line.strip():
            out.append("```")
        code = starts or (code and bool(line.strip()))
        out.append(line)
        rules = (rules + rule) % 3  # a table is what lies between three rules
        if rule and not rules:
            out.append("```")
    return [*out, "```"] if code else out
