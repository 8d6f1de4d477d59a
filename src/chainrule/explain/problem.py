"""What is to be derived: a function of named arrays whose sizes are letters."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.tree import flatten, unflatten
from chainrule.calls import Abstract, traced
from chainrule.explain.formula import CONSTANTS, Formula
from chainrule.explain.reading import Aligned, DifferentStructureError
from chainrule.explain.sizes import Monomial, NotSymbolicError, Sizes, samples
from chainrule.graphs import names as argument_names
from chainrule.ir.graph import Graph
from chainrule.ir.types import ArrayType

Shape = tuple[str | int, ...]
F64 = np.dtype(np.float64)
_LETTERS = ["n", "d", "m", "k", "p", "q", "r", "h", "s", "t", "u", "v", "c", "b", "a", "l", "g", "j"]


@dataclass
class Problem:
    """A function of arrays: their names, symbolic shapes and dtypes; `call` runs it on arrays or traced values at sizes."""

    names: list[str]
    shapes: list[Shape]
    dtypes: list[Any]
    call: Callable[[Sequence[Any], Sizes], Any]
    wrt: list[int]
    single: bool
    formula: Formula | None = None
    title: str = ""
    example: list[Any] | None = None
    fixed: list[str] = field(default_factory=list[str])
    locals: tuple[str, ...] = ()

    @property
    def sizes(self) -> list[str]:
        """Names of the sizes, in order of appearance."""
        return list(dict.fromkeys(s for shape in self.shapes for s in shape if isinstance(s, str)))

    def shape(self, k: int, sizes: Sizes) -> tuple[int, ...]:
        """The shape of argument k at these sizes."""
        return tuple([s if isinstance(s, int) else sizes[s] for s in self.shapes[k]])

    def symbolic(self, k: int) -> tuple[Monomial, ...]:
        """The sizes of argument k."""
        return tuple([Monomial.of(s) if isinstance(s, int) else Monomial.size(s) for s in self.shapes[k]])

    def trace(self, sizes: Sizes) -> Graph:
        """The graph at these sizes."""
        given = [Abstract(ArrayType(d, self.shape(k, sizes))) for k, d in enumerate(self.dtypes)]

        def run(*leaves: Any) -> Any:
            for v, name in zip(leaves, self.names, strict=True):
                v.atom.hint = name
            return self.call(leaves, sizes)

        t = traced(run, given, {}, range(len(given)), name="derive", values=False)
        if len(t.outs) != 1:
            raise errors.NoFormulaError(f"The function returns {len(t.outs)} arrays; a derivation is of one.")
        return t.graph

    def placed(self, g: Graph) -> Graph:
        """A graph without the places of its equations, if it is of a formula: they are in no file of the user's."""
        if self.formula is None:
            return g
        for v in (v for e in g.eqns for v in e.outs):
            v.hint = v.hint if isinstance(v.hint, str) else None
        return Graph(g.ins, tuple(e._replace(where=None) for e in g.eqns), g.outs)


# --- from a formula -----------------------------------------------------------------------------------------------------------


def parsed_shape(name: str, given: Any) -> Shape:
    """``"m,n"``, ``("m", 3)``, ``5``, ``""``."""
    parts: list[Any] = []
    if isinstance(given, str):
        parts = [p for p in re.split(r"[,\s]+", given.strip("() ")) if p]
    elif isinstance(given, int | np.integer):
        parts = [given]
    elif isinstance(given, Sequence):
        parts = list(given)  # pyright: ignore[reportUnknownArgumentType]
    else:
        parts = [given]
    out: list[str | int] = []
    for p in parts:
        if isinstance(p, int | np.integer) or str(p).isdigit():
            out.append(int(p))
        elif isinstance(p, str) and p.isidentifier():
            out.append(p)
        else:
            raise ValueError(f"the shape of {name} is {given!r}: a shape is names and numbers, as 'm,n' or ('m', 3)")
        if isinstance(out[-1], int) and out[-1] < 1:
            raise ValueError(f"the shape of {name} is {given!r}: a size is 1 or more")
    return tuple(out)


def read(text: str, shapes: Mapping[str, Any] | None = None) -> Formula:
    """A formula in Python's syntax, or in LaTeX."""
    if "\\" in text or ("^" in text and "{" in text):
        from chainrule.explain.latex_input import from_latex

        return from_latex(text, shapes or {})
    return Formula(text)


def from_formula(formula: Formula, wrt: Any, shapes: Mapping[str, Any] | None) -> Problem:
    """A formula text with the shapes of its variables; a variable without one is a number."""
    given = {k: parsed_shape(k, v) for k, v in (shapes or {}).items()}
    letters = {s for shape in given.values() for s in shape if isinstance(s, str)}
    names = [n for n in formula.names if n in given or (n not in letters and n not in CONSTANTS)]
    unused = [k for k in given if k not in names]
    if unused:
        raise ValueError(f"shapes names {', '.join(unused)}, which the formula does not have; it has {', '.join(names)}")
    if not names:
        raise errors.FormulaError.at(formula.text, 0, len(formula.text), "The formula has no variable.")

    def call(leaves: Sequence[Any], sizes: Sizes) -> Any:
        return formula({**sizes, **dict(zip(names, leaves, strict=True))})

    chosen, single = chosen_names(wrt, names)
    return Problem(names, [given.get(n, ()) for n in names], [F64] * len(names), call, chosen, single, formula)


def chosen_names(wrt: Any, names: Sequence[str]) -> tuple[list[int], bool]:
    """Which arguments the derivative is taken with respect to, and whether one was named alone."""
    wanted, single = _wanted(wrt)
    out: list[int] = []
    for w in wanted:
        if isinstance(w, int):
            if not -len(names) <= w < len(names):
                raise ValueError(f"wrt is {w}, and there are {len(names)} arguments: {', '.join(names)}")
            out.append(w % len(names))
        elif w in names:
            out.append(list(names).index(w))
        else:
            raise ValueError(f"wrt names {w!r}, and the arguments are {', '.join(names)}")
    _different(out, names)
    return out, single


def _wanted(wrt: Any) -> tuple[list[Any], bool]:
    """What `wrt` names, and whether it is one argument named alone."""
    single = isinstance(wrt, str | int)
    wanted: list[Any] = [wrt] if single else list(wrt) if isinstance(wrt, Sequence) else []
    if not wanted or not all(isinstance(w, str | int) for w in wanted):
        raise ValueError(f"wrt is {wrt!r}: it names an argument, or several in a tuple, by name or number")
    return wanted, single


def _different(chosen: Sequence[int], names: Sequence[str]) -> None:
    twice = next((names[k] for k in chosen if list(chosen).count(k) > 1), None)
    if twice is not None:
        raise ValueError(f"wrt names {twice} twice")


# --- from a function ----------------------------------------------------------------------------------------------------------


def from_function(
    f: Callable[..., Any], args: Sequence[Any], wrt: Any, names: Sequence[str] | None, shapes: Mapping[str, Any] | None
) -> Problem:
    """A function with example arguments, or with the shapes of its arguments by name."""
    if not args and shapes:
        return _from_shapes(f, wrt, shapes)
    flat = [flatten(a) for a in args]
    leaves = [x for xs, _ in flat for x in xs]
    owner = [k for k, (xs, _) in enumerate(flat) for _ in xs]
    labels = argument_names(f, args)
    if names is not None:
        given = list(names)
        if len(given) not in (len(args), len(leaves)):
            raise ValueError(f"names has {len(given)} names for {len(args)} arguments")
        labels = (
            given
            if len(given) == len(leaves)
            else [given[owner[k]] if owner.count(owner[k]) == 1 else n for k, n in enumerate(labels)]
        )
    arrays = [k for k, x in enumerate(leaves) if _is_array(x)]
    labels = _valid([labels[k] for k in arrays], arrays, labels)
    values = [np.asarray(leaves[k]) for k in arrays]

    def call(given: Sequence[Any], sizes: Sizes) -> Any:
        new = list(leaves)
        for k, v in zip(arrays, given, strict=True):
            new[k] = v.copy() if isinstance(v, np.ndarray) else v  # a function may change its arguments
        at, trees = 0, list[Any]()
        for xs, spec in flat:
            trees.append(unflatten(spec, new[at : at + len(xs)]))
            at += len(xs)
        return f(*trees)

    kept = [labels[k] for k in arrays]
    empty = [n for n, v in zip(kept, values, strict=True) if not v.size]
    if empty:
        raise ValueError(f"{empty[0]} is empty: an example needs something on each of its axes")
    dtypes = [F64 if v.dtype.kind == "f" else v.dtype for v in values]
    chosen, single = _chosen_arguments(wrt, f, args, kept, [owner[k] for k in arrays])
    for k in chosen:
        if dtypes[k].kind != "f":
            raise errors.IntegerArgumentError.of("derive", values[k])
    p = Problem(kept, [v.shape for v in values], dtypes, call, chosen, single, None, getattr(f, "__name__", ""), values)
    p.locals = getattr(getattr(f, "__code__", None), "co_varnames", ())
    _infer(p)
    return p


def _valid(kept: Sequence[str], arrays: Sequence[int], labels: Sequence[str]) -> list[str]:
    """The names, Python's own words with an underscore; those of arrays are identifiers, and differ."""
    for n in kept:
        if not n.isidentifier():
            raise ValueError(f"names has {n!r}, and a name is made of letters, digits and underscores")
        if kept.count(n) > 1:
            raise ValueError(f"names has {n} twice")
    return [f"{n}_" if k in arrays and keyword.iskeyword(n) else n for k, n in enumerate(labels)]


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic | float | list)


def _chosen_arguments(wrt: Any, f: Any, args: Sequence[Any], kept: Sequence[str], owner: Sequence[int]) -> tuple[list[int], bool]:
    wanted, single = _wanted(wrt)
    out: list[int] = []
    for w in wanted:
        if isinstance(w, int):
            if not -len(args) <= w < len(args):
                raise ValueError(f"wrt is {w}, and there are {len(args)} arguments")
            leaves = [k for k, o in enumerate(owner) if o == w % len(args)]
            out += leaves
            single = single and len(leaves) == 1
        else:
            found, alone = chosen_names(w, kept)
            out += found
            single = single and alone
    _different(out, kept)
    return out, single


def _from_shapes(f: Callable[..., Any], wrt: Any, shapes: Mapping[str, Any]) -> Problem:
    import inspect

    parameters = [p.name for p in inspect.signature(f).parameters.values() if p.default is p.empty or p.name in shapes]
    unknown = [k for k in shapes if k not in parameters]
    if unknown:
        raise ValueError(f"shapes names {', '.join(unknown)}, and the arguments are {', '.join(parameters)}")
    given = [parsed_shape(n, shapes.get(n, ())) for n in parameters]
    chosen, single = chosen_names(wrt, parameters)
    return Problem(
        parameters, given, [F64] * len(parameters), lambda xs, sizes: f(*xs), chosen, single, None, getattr(f, "__name__", "")
    )


# --- which numbers are sizes --------------------------------------------------------------------------------------------------

_Axis = tuple[int, int]


def _infer(p: Problem) -> None:
    """Give names to the sizes of the example: axes that may differ get different ones."""
    axes: list[_Axis] = [(k, a) for k, s in enumerate(p.shapes) for a, n in enumerate(s) if isinstance(n, int) and n > 1]
    groups: dict[int, list[_Axis]] = {}
    for k, a in axes:
        groups.setdefault(int(p.shapes[k][a]), []).append((k, a))
    example = list(p.shapes)
    blocks = {n: [[x] for x in xs] for n, xs in groups.items()}
    if not _works(p, example, list(blocks.values())):
        together = {n: [xs] for n, xs in groups.items()}
        fixed: set[int] = set()
        if not _works(p, example, list(together.values())):
            fixed = _structural(p, example, together)
        blocks = {n: b for n, b in together.items() if n not in fixed}
        for n in blocks:
            blocks[n] = _finest(p, example, blocks, n, groups[n])
        p.fixed = [str(n) for n in sorted(fixed)]
    _name_sizes(p, example, list(blocks.values()))


def _assigned(example: Sequence[Shape], blocks: Sequence[Sequence[Sequence[_Axis]]], names: Sequence[str]) -> list[Shape]:
    shapes = [list(s) for s in example]
    it = iter(names)
    for group in blocks:
        for block in group:
            name = next(it)
            for k, a in block:
                shapes[k][a] = name
    return [tuple(s) for s in shapes]


def _works(p: Problem, example: Sequence[Shape], blocks: Sequence[Sequence[Sequence[_Axis]]]) -> bool:
    """Does the program run, and do the same, when these blocks of axes have sizes of their own?"""
    count = sum(len(g) for g in blocks)
    p.shapes = _assigned(example, blocks, [f"s{k}" for k in range(count)])
    try:
        points = samples(p.sizes, 3) if p.sizes else [{}]
        graphs = [p.trace(s) for s in points]
        a = Aligned(graphs, points)
        for es in zip(*[g.eqns for g in graphs], strict=True):
            for column in zip(*[e.outs for e in es], strict=True):
                a.shape(column)
    except (errors.ValueNeededError, errors.ConversionError):
        raise
    except (errors.ChainruleError, ValueError, TypeError, IndexError, DifferentStructureError, NotSymbolicError):
        return False
    finally:
        p.shapes = list(example)
    return True


def _structural(p: Problem, example: Sequence[Shape], together: Mapping[int, list[list[_Axis]]]) -> set[int]:
    """Sizes that are part of the program: as few as possible."""
    for n in together:
        if _works(p, example, [b for m, b in together.items() if m != n]):
            return {n}
    return set(together)


def _finest(
    p: Problem, example: Sequence[Shape], blocks: Mapping[int, list[list[_Axis]]], n: int, axes: list[_Axis]
) -> list[list[_Axis]]:
    if len(axes) > 6:
        return [axes]
    for partition in sorted(_partitions(axes), key=len, reverse=True):
        if _works(p, example, [partition if m == n else b for m, b in blocks.items()]):
            return partition
    return [axes]


def _partitions(xs: list[_Axis]) -> list[list[list[_Axis]]]:
    if not xs:
        return [[]]
    first, out = xs[0], list[list[list[_Axis]]]()
    for rest in _partitions(xs[1:]):
        out.append([[first], *rest])
        for k in range(len(rest)):
            out.append([*rest[:k], [first, *rest[k]], *rest[k + 1 :]])
    return out


def _name_sizes(p: Problem, example: Sequence[Shape], blocks: Sequence[Sequence[Sequence[_Axis]]]) -> None:
    """n and d for the rows and columns of the data, X, or else of the first matrix; further letters for the rest."""
    flat = [block for group in blocks for block in group]
    first = max(range(len(example)), key=lambda k: (min(len(example[k]), 2), p.names[k] == "X", -k), default=0)
    order = sorted(flat, key=lambda b: min((k != first, k, a) for k, a in b))
    free = iter([s for s in _LETTERS if s not in p.names and s not in p.locals] + [f"n_{k}" for k in range(1, 99)])
    of = {id(b): next(free) for b in order}
    p.shapes = _assigned(example, [flat], [of[id(b)] for b in flat])
