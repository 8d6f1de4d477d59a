"""The examples in docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import chainrule

MODULES = [m.name for m in pkgutil.walk_packages(chainrule.__path__, "chainrule.") if not m.name.endswith("__main__")]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize(
    "name", [m for m in MODULES if not m.startswith("chainrule.errors")]
)  # error pages have a test of their own
def test_examples_do_what_they_say(name: str) -> None:
    module = importlib.import_module(name)  # a function of the same name hides some of them from attribute access
    assert doctest.testmod(module, optionflags=FLAGS).failed == 0


def test_public_functions_are_documented() -> None:
    """Every public name has a docstring that says more than its name."""
    for module in [
        chainrule,
        *[importlib.import_module(f"chainrule.{n}") for n in ("losses", "nn", "optim", "analysis", "rl", "generative")],
    ]:
        for name in module.__all__:
            assert len((getattr(module, name).__doc__ or "").strip()) > 15, f"{module.__name__}.{name}"
