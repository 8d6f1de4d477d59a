"""Rows whose derivative is computed in another way than their value: recomputed, stopped, or given by the user.

=================  ===========================================================================================
``checkpoint``     a function whose inner values are not kept for the backward pass but computed again
``stop_gradient``  the identity, with derivative zero by decree
``custom_jvp``     a function and the user's ``rule``, (x, dx) -> (y, dy)
``custom_vjp``     a function and the user's pair ``forward``, x -> (y, r), and ``backward``, (r, ct) -> ct_x
``pulled``         the derivative of ``custom_vjp``: linear, known through its transpose ``backward``
=================  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.ir.graph import Graph, Params
from chainrule.ir.types import ArrayType
from chainrule.prims.control import agree, holder
from chainrule.prims.kinds import flat


class Rule:
    """A user's rule, traced when it is first needed: it may call the function that it is the rule of.

    Equal to another rule if both were made from the same function at the same types, so that programs are found again.
    """

    __slots__ = ("key", "make")

    def __init__(self, make: Callable[[], Any], key: tuple[Any, ...]) -> None:
        self.make = make
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def _body_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    body: Graph = p["body"]
    agree("a function", body.in_types, ts)
    return body.out_types


def _pulled_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    backward: Graph = p["backward"]
    known: int = p["known"]
    agree("the derivative of a custom_vjp function", [*backward.in_types[:known], *backward.out_types], ts)
    return backward.in_types[known:]


stop_gradient = flat("stop_gradient", np.positive, r"\operatorname{{stop}}({0})", python="{0}")
"""The identity, with derivative zero by decree."""
checkpoint = holder("checkpoint", type=_body_type)
custom_jvp = holder("custom_jvp", type=_body_type, transposed=False)
custom_vjp = holder("custom_vjp", type=_body_type, transposed=False)
pulled = holder("pulled", type=_pulled_type)
