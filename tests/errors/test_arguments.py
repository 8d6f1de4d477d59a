"""An argument is used, or refused, or known to change no number: none is dropped in silence."""

import ast
import inspect
import textwrap

import numpy as np
import pytest

import chainrule as cr
from chainrule.build.value import FUNCTIONS, METHODS, UFUNCS

CHANGES_NO_NUMBER = {
    "casting": "results have the dtype that NumPy's default rule gives",
    "copy": "every result is a new value",
    "device": "there is one",
    "kind": "orders of equal elements are settled by position, as by a stable sort",
    "kth": "a sorted array is partitioned at every place",
    "order": "a layout in memory, or the fields of a structured dtype, which no value has",
    "overwrite_input": "a permission that need not be used",
    "sorted": "a permission that need not be used",
    "stable": "as kind",
    "subok": "no value is a subclass",
}


def dropped() -> dict[str, set[str]]:
    """Functions of the tables that never read one of their arguments."""
    found: dict[str, set[str]] = {}
    for handler in (*FUNCTIONS.values(), *UFUNCS.values(), *METHODS.values()):
        if inspect.isfunction(handler):
            tree = ast.parse(textwrap.dedent(inspect.getsource(handler))).body[0]
            if isinstance(tree, ast.FunctionDef):
                names = {a.arg for a in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs)}
                read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
                found.setdefault(f"{handler.__module__}.{handler.__name__}", set()).update(names - read)
    return found


def test_no_argument_is_dropped() -> None:
    assert len(dropped()) > 10
    assert not {name: left for name, args in dropped().items() if (left := args - set(CHANGES_NO_NUMBER))}


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.exp(x, where=x > 0),
        lambda x: np.add(x, x, casting="unsafe"),
    ],
)
def test_what_is_not_known_is_refused(call) -> None:
    with pytest.raises(cr.errors.UnsupportedArgumentError):
        cr.grad(lambda x: np.sum(call(x)))(np.ones(3))


def test_a_method_refuses_too() -> None:
    with pytest.raises(cr.errors.UnsupportedArgumentError) as caught:
        cr.grad(lambda x: x.sum(weights=2))(np.ones(3))
    assert "x.sum is known, but not with the argument 'weights'." in str(caught.value)
