"""NumPy's promotion, exactly: every ufunc that is traced, with every pair of dtypes, Python numbers being weak."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import chainrule.front  # noqa: F401
from chainrule.build.builder import Builder
from chainrule.build.value import UFUNCS, Value
from chainrule.front.operands import Elementwise
from chainrule.ir.types import type_of

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
ARRAYS = [np.ones(2, d) for d in DTYPES]
NUMBERS: list[Any] = [True, 1, 1.0, 1j]
HANDLERS = {u: h for u, h in UFUNCS.items() if isinstance(h, Elementwise)}
PAIRS = itertools.product(ARRAYS + NUMBERS, repeat=2)
OPERANDS: dict[int, list[tuple[Any, ...]]] = {
    1: [(x,) for x in ARRAYS],
    2: [p for p in PAIRS if any(isinstance(x, np.ndarray) for x in p)],
    3: [(x, y, z) for x in ARRAYS[::3] + NUMBERS for y in ARRAYS[::3] for z in ARRAYS[::3]],
}


def numpys(ufunc: Any, xs: tuple[Any, ...]) -> Any:
    """dtypes of NumPy's results, None where it raises."""
    try:
        ys = ufunc(*xs)
    except TypeError:
        return None
    return [y.dtype.name for y in (ys if isinstance(ys, tuple) else (ys,))]


def traced(handler: Elementwise, xs: tuple[Any, ...], known: bool) -> Any:
    """dtypes of the traced results, None where tracing raises."""
    with Builder().here() as b:
        args = [b.input(type_of(np.asarray(x)), weak=_weak(x)) if known or isinstance(x, np.ndarray) else x for x in xs]
        try:
            ys = handler(*args)
        except TypeError:
            return None
    return [y.dtype.name for y in (ys if isinstance(ys, tuple) else (ys,))]


def name(x: Any) -> str:
    """Its dtype, or what kind of Python number it is."""
    return x.dtype.name if isinstance(x, np.ndarray) else type(x).__name__


def _weak(x: Any) -> type | None:
    return type(x) if type(x) in (int, float, complex) else None


@pytest.mark.parametrize("ufunc", HANDLERS, ids=lambda u: u.__name__)
@pytest.mark.parametrize("as_arguments", [False, True], ids=["literals", "arguments"])
def test_result_dtype_is_numpys(ufunc: Any, as_arguments: bool) -> None:
    """Python numbers promote weakly, whether they are written in the function or passed to it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wrong = []
        for xs in OPERANDS[ufunc.nin]:
            want, got = numpys(ufunc, xs), traced(HANDLERS[ufunc], xs, as_arguments)
            if want != got:
                wrong.append(f"{', '.join(map(name, xs))}: NumPy {want}, traced {got}")
    assert not wrong, "\n".join(wrong)


def test_values_have_the_types_they_claim() -> None:
    """What is traced with values has the dtype that the graph says."""
    with Builder(lambda row, xs, p: (row.value(*xs, **p),)).here() as b, np.errstate(all="ignore"):
        for ufunc, handler in HANDLERS.items():
            for x in ARRAYS:
                try:
                    ys = handler(*[b.input(type_of(x), x) for _ in range(ufunc.nin)])
                except TypeError:
                    continue
                for y in ys if isinstance(ys, tuple) else (ys,):
                    assert isinstance(y, Value)
                    assert y.full.dtype == y.dtype, (ufunc, x.dtype)


def test_every_pair_is_tried() -> None:
    assert len(OPERANDS[2]) == 14 * 14 + 2 * 14 * 4
    assert {u.nin for u in HANDLERS} == {1, 2, 3}
    assert len(HANDLERS) > 100
