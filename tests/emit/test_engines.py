"""Which engine runs: machine code where nobody says otherwise, NumPy with one warning where that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.emit import engines
from chainrule.emit.native import engine as native
from chainrule.emit.native import module


def _run(text: str, **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k != "CHAINRULE_ENGINE"} | environment
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, env=env, check=True)
    return found.stdout + found.stderr


USE = """
import numpy as np, chainrule as cr
f, g = cr.jit(lambda x: np.sum(np.tanh(x))), cr.jit(lambda x: x * 2)
print(f.explain(np.ones(3)).split(",")[0], g(np.ones(1)))
"""


def test_machine_code_is_the_default() -> None:
    assert _run(USE) == "native engine [2.]\n"


def test_the_environment_chooses() -> None:
    assert _run(USE, CHAINRULE_ENGINE="numpy") == "numpy engine [2.]\n"


def test_a_name_that_the_environment_has_wrong_is_an_error_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "DEFAULT", "numpi")
    with pytest.raises(ValueError, match="CHAINRULE_ENGINE is one of 'numpy', 'native', 'xla', not 'numpi'"):
        cr.jit(lambda x: x)(np.ones(1))


def test_without_llvmlite_numpy_runs_and_one_warning_says_so() -> None:
    out = _run("import sys; sys.modules['llvmlite'] = None" + USE)
    assert out.count("RuntimeWarning") == 1
    assert "llvmlite cannot be loaded" in out
    assert "numpy engine [2.]" in out


def test_to_import_loads_no_compiler_and_warns_of_nothing() -> None:
    text = "import sys; sys.modules['llvmlite'] = None; import chainrule; print('chainrule.emit.native' in sys.modules)"
    assert _run(text) == "False\n"


def test_a_function_that_cannot_be_compiled_runs_on_numpy_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no code today")

    native._warn.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(native, "Native", broken)
    f = cr.jit(lambda x: x + 1, engine="native")
    with pytest.warns(RuntimeWarning, match="no code today"):
        np.testing.assert_array_equal(f(np.ones(2)), [2.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(f(np.ones(3)), [2.0, 2.0, 2.0])  # told once
    assert module.reason() is None
