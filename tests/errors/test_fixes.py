"""What is suggested works: every suggestion among the golden cases is run on arrays like those that were traced."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.build.value import FUNCTIONS, UFUNCS, Value
from chainrule.errors import fixes
from chainrule.errors.functions import INSTEAD, nearest, public_name

_spec = importlib.util.spec_from_file_location("cases", Path(__file__).parent / "cases.py")
assert _spec is not None
assert _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)


def failure(name: str) -> cr.errors.ChainruleError:
    with pytest.raises(cr.errors.ChainruleError) as caught:
        cases.CASES[name]()
    return caught.value


def plain(x: Any) -> Any:
    return np.ones(x.shape, x.dtype) if isinstance(x, Value) else x


SUGGESTING = [
    "added_in_place", "array", "assigned", "assigned_mask", "einsum", "einsum_letters", "exponential", "fromiter", "integer",
    "integers", "joined", "joined_ranks", "misspelt", "product", "product_swapped", "reshaped", "several_lines",
    "softmax", "sum_of_columns", "under_jit",
]  # fmt: skip


def test_all_that_suggest_are_tried() -> None:
    assert [name for name in sorted(cases.CASES) if failure(name).fix] == SUGGESTING


@pytest.mark.parametrize("name", SUGGESTING)
def test_suggestion_runs(name: str) -> None:
    e = failure(name)
    tb = e.__traceback__
    assert tb is not None
    while tb.tb_next is not None:
        tb = tb.tb_next
    names = {k: plain(v) for k, v in {**tb.tb_frame.f_globals, **tb.tb_frame.f_locals}.items()}
    ast.parse(e.fix)
    exec(e.fix, names)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_a_specification_with_other_letters_fits(a: int, b: int, c: int) -> None:
    shapes = [(a, b), (c,)]
    new = fixes.relettered("ij,j->i", shapes)
    if new:
        np.einsum(new, *[np.ones(s) for s in shapes])
        assert sorted(new) == sorted("ij,j->i")
    else:
        assert c not in (a, b) or (b == c)


@pytest.mark.parametrize("name", INSTEAD)
def test_what_is_named_instead_is_known(name: str) -> None:
    known = {public_name(k) for table in (UFUNCS, FUNCTIONS) for k in table}
    assert hasattr(np, name.removeprefix("np."))
    assert known.issuperset(INSTEAD[name][1])


def test_nearest_is_one_that_exists() -> None:
    assert nearest("np.sqr", ["np.sqrt", "np.exp"]) == "np.sqrt"
    assert nearest("np.sort_complex", ["np.exp"]) == ""


def test_small_arrays_fit_as_the_large_ones_do() -> None:
    a, b, c = fixes.small([(1000, 1), (5000, 1000), (0, 7)])
    assert a.shape[0] == b.shape[1]
    assert a.shape[1] == 1
    assert c.shape[0] == 0
    assert max(max(x.shape) for x in (a, b, c)) < 10
