"""What a value is called: by the user, or after the value it is a derivative of.

Names are looked up in the user's code only when somebody asks for them (`text`); until then a hint is a point in that code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from chainrule.ir.where import Where

if TYPE_CHECKING:
    from chainrule.ir.graph import Graph

_DEEPEST = 3


class Of(NamedTuple):
    """``d_x`` is the tangent of x, ``bar_x`` its cotangent."""

    prefix: str
    what: Hint


Hint: TypeAlias = "str | Where | Of"


def tangent(h: Hint | None) -> Hint | None:
    """Name of the tangent of what `h` names."""
    return Of("d", h) if h else h


def cotangent(h: Hint | None) -> Hint | None:
    """Name of the cotangent of what `h` names; that of a tangent's is the value's."""
    return Of("bar", h.what if isinstance(h, Of) and h.prefix == "d" else h) if h else h


def text(h: Hint | None) -> str | None:
    """The name itself, None where there is none (or none that can be read)."""
    prefixes: list[str] = []
    while isinstance(h, Of):
        prefixes.append(h.prefix)
        h = h.what
    name = h.name if isinstance(h, Where) else h
    return "_".join([*prefixes, name]) if name and len(prefixes) <= _DEEPEST else None


def settle(g: Graph) -> None:
    """Let each value that the user's code wrote be called after where it was written, the last one where several were."""
    for e, after in zip(g.eqns, (*g.eqns[1:], None), strict=False):
        if e.outs[0].hint is None:
            last = after is None or after.where != e.where
            for v in e.outs:
                v.hint = e.where if last and e.where is not None else ""
