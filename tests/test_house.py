"""The rules of the house that a machine can check."""

import ast
import importlib
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

import chainrule

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
WRITTEN = {".py", ".md", ".toml", ".yaml", ".yml", ".cff", ".bib", ".txt", ".html", ".jinja", ".css", ".js", ".cfg", ""}

# What is true of one machine or one plan of work, and means nothing to a reader. Spelt so that this file does not match itself.
FORBIDDEN = {
    "a numbered ticket": r"\b[i]ssues? #?\d",
    "who worked on it": r"(?<!scope=\")\b[s]essions?\b",
    "a path of one machine": r"(?<![\w.])/(?:[w]ork|[r]oot|[h]ome|[t]mp/h)/",
    "a package index": r"\b[f]arm-|\b[p]ypi\.org/simple|--(?:extra-)?[i]ndex-url",
    "something left for later": r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b",
}

# What `import chainrule` may load besides itself and the standard library.
LIGHT = "numpy, scipy.special, optree"


def written() -> Iterator[Path]:
    """Every text that belongs to the project."""
    for folder in ("src", "tests", "docs", "benchmarks", "examples", ".ci"):
        yield from (p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix in WRITTEN and "_build" not in p.parts)
    yield from (p for p in ROOT.iterdir() if p.is_file() and p.suffix in WRITTEN)


def length(f: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    body = f.body[1:] if ast.get_docstring(f) is not None else f.body
    return (f.end_lineno or f.lineno) - body[0].lineno + 1 if body else 0


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions defined in a file, nested ones too."""
    return [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_files_are_short() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := p.read_text().count("\n")) >= 500}
    assert not long


def test_functions_are_short() -> None:
    sizes = {f"{p.relative_to(ROOT)}:{f.lineno} {f.name}": length(f) for p in SOURCES for f in functions(p)}
    assert statistics.median(sizes.values()) < 15
    assert not {name: n for name, n in sizes.items() if n > 80}


def test_every_module_says_what_it_is() -> None:
    texts = {str(p.relative_to(ROOT)): p.read_text() for p in SOURCES}
    assert not [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_is_said_that_only_one_desk_understands(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in written()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(FORBIDDEN[what], line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_import_is_light() -> None:
    script = f"import sys, {LIGHT}; before = set(sys.modules); import chainrule; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert "chainrule" in loaded
    assert not [m for m in loaded if m.split(".")[0] not in {"chainrule", *sys.stdlib_module_names}]


def test_public_names_exist_and_are_explained() -> None:
    names = chainrule.__all__
    assert len(set(names)) == len(names)
    values = {name: getattr(chainrule, name) for name in names}
    assert not [name for name, value in values.items() if callable(value) and not (value.__doc__ or "").strip()]


def test_package_carries_its_types() -> None:
    assert (Path(chainrule.__file__).parent / "py.typed").exists()


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, inside functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return {m.split(".")[0] for m in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 0}}


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    users = {"study", "train", "env", "certificates", "xla"}
    asked = project["dependencies"] + [r for extra in users for r in project["optional-dependencies"][extra]]
    declared = {re.split(r"[<>=!~\[; ]", r)[0].lower() for r in asked}
    sold_as = packages_distributions()
    used = {m for p in SOURCES for m in imported(p)} - {"chainrule", *sys.stdlib_module_names}
    assert not [m for m in used if declared.isdisjoint(d.lower() for d in sold_as.get(m, [m]))]


def test_versions_agree() -> None:
    assert version("chainrule") == chainrule.__version__
    assert f"\nversion: {chainrule.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_command_exists() -> None:
    module, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["chainrule"].split(":")
    assert callable(getattr(importlib.import_module(module), function))
