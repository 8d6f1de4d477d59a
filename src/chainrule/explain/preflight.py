"""Before any derivative is compared: what a function must not do if its value, or its gradient, is to mean anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.build.tree import flatten
from chainrule.explain.doctor.diagnosis import Diagnosis
from chainrule.explain.doctor.lab import claim_leaves, copied
from chainrule.ir.graph import Array


def snapshot(args: Sequence[Any]) -> list[bytes]:
    """The bits of all arrays."""
    return [np.asarray(x).tobytes() for x in flatten(tuple(args))[0] if isinstance(x, np.ndarray)]


def changed(args: Sequence[Any], before: Sequence[bytes], names: Sequence[str]) -> list[str]:
    """Which arrays are not what they were."""
    leaves = flatten(tuple(args))[0]
    arrays = [(n, x) for n, x in zip(names, leaves, strict=True) if isinstance(x, np.ndarray)]
    return [n for (n, x), b in zip(arrays, before, strict=True) if x.tobytes() != b]


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, NaN equal to NaN."""
    return all(
        np.array_equal(np.asarray(x), np.asarray(y), equal_nan=True) for x, y in zip(flatten(a)[0], flatten(b)[0], strict=True)
    )


def of_function(f: Callable[..., Any], args: Sequence[Any], names: Sequence[str]) -> str:
    """Why nothing can be told about f; empty if it behaves."""
    first_args, second_args = copied(args), copied(args)
    before = snapshot(first_args)
    with np.errstate(all="ignore"):
        first, second = f(*first_args), f(*second_args)
    touched = changed(first_args, before, names)
    if touched:
        return f"the function changes its input {' and '.join(touched)} in place, so that each call computes something else"
    if not same(first, second):
        return "the function is random or remembers earlier calls: two calls with the same input give different values"
    if not all(np.all(np.isfinite(np.asarray(x))) for x in flatten(first)[0]):
        return "the function is not finite at this point: it is outside its domain"
    return ""


def of_claim(
    claimed: Callable[..., Any], single: bool, args: Sequence[Any], argnums: Sequence[int], names: Sequence[str]
) -> tuple[list[Array], Diagnosis | None]:
    """The leaves of the claimed gradient, or what is wrong with it before numbers are compared."""

    def wrong(message: str, correction: str = "") -> tuple[list[Array], Diagnosis]:
        return [], Diagnosis("preflight", message, correction, rank=0)

    first_args, second_args = copied(args), copied(args)
    before = snapshot(first_args)
    try:
        with np.errstate(all="ignore"):
            first = claimed(*first_args)
            touched = changed(first_args, before, names)
            second = claimed(*second_args)
    except (Exception, SystemExit) as e:
        return wrong(f"The claimed gradient fails: {type(e).__name__}: {e}")
    try:
        first, second = (claim_leaves(x, single, args, argnums) for x in (first, second))
    except (TypeError, ValueError) as e:
        return [], Diagnosis("shape", f"The result is no gradient: {e}.", rank=0)
    if touched:
        return wrong(
            f"The claimed gradient changes its input {' and '.join(touched)} in place. Work on a copy.",
            f"{touched[0]} = {touched[0]}.copy()",
        )
    if not same(first, second):
        return wrong("The claimed gradient is random: two calls with the same input give different results.")
    return first, None
