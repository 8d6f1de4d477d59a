"""What the commands share."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule.errors import ChainruleError

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


class CommandError(Exception):
    """Something the user can put right: said in one line, without a traceback; exit status 2."""


def need(extra: str, *modules: str) -> None:
    """Raise, saying what to install, unless all these modules are there."""
    missing = [m for m in modules if find_spec(m) is None]
    if missing:
        raise CommandError(f'{" and ".join(missing)} must be installed for this. Try: pip install "chainrule[{extra}]"')


def failed(e: BaseException) -> CommandError:
    """What to say when the user's own code raises, or leaves the interpreter: where, and what."""
    at = traceback.extract_tb(e.__traceback__)[-1]
    ours = Path(at.filename).is_relative_to(Path(__file__).parents[1])
    place = "" if ours else f"{Path(at.filename).name}:{at.lineno}, in {at.name}: "
    return CommandError(f"{place}{type(e).__name__}: {e}")


_modules: dict[Path, ModuleType] = {}


def load(spec: str) -> Callable[..., Any]:
    """The function that ``file.py:name`` names."""
    path, _, name = spec.rpartition(":")
    file = Path(path).resolve()
    if not path or not file.is_file():
        raise CommandError(f"{spec!r} names no function: write FILE.py:NAME with a file that is there")
    if file not in _modules:
        found = importlib.util.spec_from_file_location(file.stem, file)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.path.insert(0, str(file.parent))
        sys.modules.setdefault(file.stem, module)
        try:
            found.loader.exec_module(module)
        except (Exception, SystemExit) as e:
            raise CommandError(f"{path} cannot be imported: {type(e).__name__}: {e}") from None
        _modules[file] = module
    function = getattr(_modules[file], name, None)
    if not callable(function):
        raise CommandError(f"{path} has no function {name!r}")
    return function


def example(spec: str) -> tuple[Any, ...]:
    """What the function ``file.py:name`` returns: arguments."""
    try:
        found = load(spec)()
    except CommandError:
        raise
    except (Exception, SystemExit) as e:
        raise failed(e) from None
    return found if isinstance(found, tuple) else (found,)  # pyright: ignore[reportUnknownVariableType]


def told(e: ChainruleError) -> str:
    """An error as text, without its place where that is the script that runs the command: the user wrote none."""
    ours = e.spot is not None and Path(e.spot.file).name == Path(sys.argv[0]).name
    return str(e.without_place() if ours else e)


def silence_broken_pipe() -> None:
    """The reader of our output went away: leave nothing that the interpreter would try to flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sizes(text: str) -> list[int]:
    """The numbers of units in ``64,64``."""
    try:
        found = [int(n) for n in text.split(",") if n.strip()]
    except ValueError:
        found = [0]
    if any(n < 1 for n in found):
        raise CommandError(f"--hidden is a list of sizes such as 64,64, and is {text!r}")
    return found


def writable(folder: Path) -> None:
    """Make the folder, and raise if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process of the same training may have been quicker
    except OSError as e:
        raise CommandError(f"cannot write to {folder}: {e.strerror}. Name another folder with --out") from None


def finite(x: Any) -> Any:
    """Data that JSON can hold: what is no finite number is null."""
    if isinstance(x, dict):
        return {k: finite(v) for k, v in x.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(x, list):
        return [finite(v) for v in x]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(x, float) and not abs(x) < float("inf") else x
