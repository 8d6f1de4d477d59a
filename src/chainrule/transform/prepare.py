"""What is done to a graph before it is differentiated."""

from __future__ import annotations

from chainrule.ir.graph import Graph
from chainrule.transform.guard import guard
from chainrule.transform.stable import stable


def prepare(g: Graph) -> Graph:
    """The same function, written so that its derivative is finite wherever it exists; `g` itself if nothing is to be done."""
    return guard(stable(g))
