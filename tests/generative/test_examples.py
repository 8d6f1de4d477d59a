"""The examples in docstrings of distributions, integrals, sensitivity and generative models, run."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ["chainrule.distributions", "chainrule.integrals", "chainrule.generative"]
MODULES = [f"{p}.{m.name}" for p in PACKAGES for m in pkgutil.iter_modules(importlib.import_module(p).__path__)]


@pytest.mark.parametrize("name", [*MODULES, "chainrule.analysis.sensitivity"])
def test_examples_do_what_they_say(name: str) -> None:
    module = importlib.import_module(name)  # a function of the same name hides some of them from attribute access
    assert doctest.testmod(module).failed == 0
