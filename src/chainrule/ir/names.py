"""Identifiers for the values of a graph: the user's own where there are some, letters for the rest."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Iterator

from chainrule.ir.graph import Graph, Var
from chainrule.ir.hints import settle, text

_TAKEN = {"np", "special", "math", "self", *keyword.kwlist, *dir(builtins)}
_UNCLEAR = {"l", "o"}


def letters() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    k = 0
    while True:
        text, n = "", k
        while True:
            text = chr(97 + n % 26) + text
            n = n // 26 - 1
            if n < 0:
                break
        yield text
        k += 1


def identifier(raw: str) -> str:
    """`raw` as a valid Python name."""
    name = re.sub(r"\W", "_", raw)
    name = name if name[:1].isalpha() else f"x_{name.strip('_')}"
    return f"{name}_" if name in _TAKEN else name


class Names:
    """One identifier per variable: all names that the user gave first, letters as they are asked for."""

    def __init__(self, g: Graph, taken: Iterable[str] = ()) -> None:
        settle(g)
        self.used: set[str] = set(taken)
        self.of: dict[Var, str] = {}
        self.given: set[Var] = set()
        self._letters = letters()
        for v in g.ins:
            self._give(v)
        for e in g.eqns:
            for v in e.outs:
                self._give(v)
        for v in g.ins:
            self(v)

    def _give(self, v: Var) -> None:
        name = text(v.hint)
        if name and name.strip("_"):
            self.of[v] = self.unique(name)
            self.given.add(v)

    def unique(self, raw: str) -> str:
        """`raw`, with a number where it is in use."""
        base = name = identifier(raw)
        k = 1
        while name in self.used:
            k += 1
            name = f"{base}_{k}" if not base.endswith("_") else f"{base}{k}"
        self.used.add(name)
        return name

    def fresh(self) -> str:
        """The next letter that is free."""
        name = next(x for x in self._letters if x not in self.used and x not in _UNCLEAR and x not in _TAKEN)
        self.used.add(name)
        return name

    def __call__(self, v: Var) -> str:
        if v not in self.of:
            self.of[v] = self.fresh()
        return self.of[v]
