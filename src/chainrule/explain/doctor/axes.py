"""Which axes of the arguments change size together, read off the graph of the function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from chainrule.build.tree import flatten
from chainrule.ir.graph import Atom, Eqn, Graph, Var
from chainrule.prims.linear import letters_of

Axis = tuple[int, int]
"""Number of a leaf of the arguments, number of an axis of it."""
Group = tuple[Axis, ...]


class _Union:
    """Sets that grow together."""

    def __init__(self) -> None:
        self.parent: dict[Any, Any] = {}

    def find(self, x: Any) -> Any:
        """The one that speaks for all."""
        while (p := self.parent.setdefault(x, x)) != x:
            self.parent[x] = x = self.parent.get(p, p)
        return x

    def join(self, x: Any, y: Any) -> None:
        """Make two sets one."""
        self.parent[self.find(x)] = self.find(y)


def _same_shape(e: Eqn) -> Iterator[tuple[Any, Any]]:
    for a in e.ins:
        if isinstance(a, Var) and a.type.shape == e.outs[0].type.shape:
            yield from (((a, k), (e.outs[0], k)) for k in range(a.type.rank))


def _contract(e: Eqn) -> Iterator[tuple[Any, Any]]:
    ins, out = letters_of(e.params)
    seen: dict[str, Any] = {}
    for a, letters in [*zip(e.ins, ins, strict=True), (e.outs[0], out)]:
        for k, letter in enumerate(letters):
            if isinstance(a, Var):
                yield seen.setdefault(letter, (a, k)), (a, k)


def _spread(e: Eqn) -> Iterator[tuple[Any, Any]]:
    kept = [k for k in range(e.outs[0].type.rank) if k not in e.params["axes"]]
    if isinstance(e.ins[0], Var):
        yield from (((e.ins[0], j), (e.outs[0], k)) for j, k in enumerate(kept))


def _reduced(e: Eqn) -> Iterator[tuple[Any, Any]]:
    a: Atom = e.ins[0]
    kept = [k for k in range(a.type.rank) if k not in e.params["axes"]]
    if isinstance(a, Var):
        yield from (((a, k), (e.outs[0], j)) for j, k in enumerate(kept))


def _reshape(e: Eqn) -> Iterator[tuple[Any, Any]]:
    a, b = e.ins[0], e.outs[0]
    old = [k for k, n in enumerate(a.type.shape) if n != 1]
    new = [k for k, n in enumerate(b.type.shape) if n != 1]
    if isinstance(a, Var) and [a.type.shape[k] for k in old] == [b.type.shape[k] for k in new]:
        yield from (((a, j), (b, k)) for j, k in zip(old, new, strict=True))


def _aligned(e: Eqn) -> Iterator[tuple[Any, Any]]:
    """Axes that keep their size, for rows that cut or join along others."""
    for a in e.ins:
        if isinstance(a, Var) and a.type.rank == e.outs[0].type.rank:
            for k, (m, n) in enumerate(zip(a.type.shape, e.outs[0].type.shape, strict=True)):
                if m == n:
                    yield (a, k), (e.outs[0], k)


_RULES: dict[str, Callable[[Eqn], Iterator[tuple[Any, Any]]]] = {
    "contract": _contract, "spread": _spread, "reshape": _reshape, "reduce_max": _reduced, "reduce_min": _reduced,
    "reduce_prod": _reduced, "slice": _aligned, "concat": _aligned, "pad": _aligned,
}  # fmt: skip


def groups(args: Sequence[Any], g: Graph | None, inputs: dict[int, Var]) -> list[Group]:
    """The axes that must change together; `inputs` says which leaf of the arguments is which input of the graph.

    Axes of leaves that are no inputs (class labels, say) join the group of their size that has the first axis of a leaf.
    """
    union = _Union()
    shapes = [getattr(x, "shape", ()) for x in flatten(tuple(args))[0]]
    if g is not None:
        for e in g.eqns:
            rule = _RULES.get(e.prim, _same_shape)
            for x, y in rule(e):
                union.join(x, y)
    named = {v: k for k, v in inputs.items()}
    axes = [(k, i) for k, shape in enumerate(shapes) for i, n in enumerate(shape) if n > 1]
    for k, i in axes:
        if g is not None and k in inputs:
            union.join((k, i), (inputs[k], i))
        else:
            same = [a for a in axes if shapes[a[0]][a[1]] == shapes[k][i] and a != (k, i) and (g is None or a[0] in inputs)]
            first = sorted(same, key=lambda a: (a[1] != i, a))
            if first:
                union.join((k, i), first[0])
    assert all(v in named for v in inputs.values())
    found: dict[Any, list[Axis]] = {}
    for a in axes:
        found.setdefault(union.find(a), []).append(a)
    return [tuple(x) for x in found.values()]


def by_size(args: Sequence[Any]) -> list[Group]:
    """Axes of one size are one group: the guess where nothing else is known."""
    return groups(args, None, {})


def letters(found: Sequence[Group], wrt: set[int], words: Sequence[str]) -> list[tuple[str, str]]:
    """A letter for each group and what it is in the user's words: ("n", "the number of rows of X")."""
    free = iter("dmkpqrstuv")
    out: list[tuple[str, str]] = []
    rows = next((g for g in found if any(i == 0 and leaf not in wrt for leaf, i in g)), None)
    for g in found:
        leaf, axis = next(((k, i) for k, i in g if k not in wrt), g[0])
        letter = "n" if g is rows or (rows is None and not out) else next(free, f"n_{len(out)}")
        out.append((letter, f"the size of axis {axis} of {words[leaf]}"))
    return out


def elements(shape: Sequence[int]) -> int:
    """How many elements an array of this shape has."""
    return prod(shape)
