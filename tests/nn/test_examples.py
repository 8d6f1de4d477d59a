"""The examples in docstrings and guides, run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import chainrule.nn

MODULES = ["chainrule.regularizers", *[f"chainrule.nn.{m.name}" for m in pkgutil.iter_modules(chainrule.nn.__path__)]]
GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", ["networks.md", "regularisation.md"])
def test_guides(name: str) -> None:
    result = doctest.testfile(str(GUIDES / name), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 10
