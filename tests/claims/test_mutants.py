"""Judges of formulas see small errors: a formula that is accepted is refused when it is a little off, turned round, or reshaped."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.claims import Bound, Claim, Same, claims
from chainrule.claims.runner import hear


def accepted(claim: Claim) -> Any:
    """The formula that holds."""
    return claim.stated if claim.verdict == "true" else claim.other


def everywhere(change: Callable[[Any], Any], formula: Any) -> Callable[..., Any]:
    """The formula with every array of its result changed."""

    def at(value: Any) -> Any:
        return type(value)(at(v) for v in value) if isinstance(value, tuple | list) else change(np.asarray(value, float))

    return lambda *args: at(formula(*args))


def mutants(tolerance: float) -> dict[str, Callable[[Any], Any]]:
    """Changes that no judge may overlook."""
    part = max(1e-3, 3 * tolerance)
    return {
        "a little larger": lambda x: x * (1 + part) + 1e-6,
        "shifted": lambda x: x + part * (1 + np.max(np.abs(x), initial=0.0)),
        "the other sign": lambda x: -x - 1e-3,
        "another shape": lambda x: x[None],
        "not a number": lambda x: x + np.nan,
    }


QUICK = [c for c in claims() if not c.slow]
SAME = [c for c in QUICK if isinstance(c.judge, Same) and callable(accepted(c))]
BOUNDS = [c for c in QUICK if isinstance(c.judge, Bound)]


@pytest.mark.parametrize("claim", SAME, ids=lambda c: c.id)
def test_formulas_that_are_a_little_off_are_refused(claim: Claim) -> None:
    judge: Any = claim.judge
    for name, change in mutants(judge.tolerance).items():
        assert hear(claim, everywhere(change, accepted(claim)), accept=False).passed, name


@pytest.mark.parametrize("claim", BOUNDS, ids=lambda c: c.id)
def test_bounds_are_within_a_factor_of_three_of_what_is_measured(claim: Claim) -> None:
    bound: Any = accepted(claim)
    assert hear(claim, bound, accept=True).passed
    assert hear(claim, lambda *args: bound(*args) / 3, accept=False).passed


def test_there_are_formulas_and_bounds_in_the_register() -> None:
    assert len(SAME) > 60
    assert len(BOUNDS) >= 3
