"""Experiments: the function and the claimed gradient at the user's point, at fresh data, at other sizes and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.build.tree import flatten, unflatten
from chainrule.explain.doctor.axes import Group, by_size, groups, letters
from chainrule.explain.doctor.data import fresh
from chainrule.explain.doctor.scene import Backward, Scene, flat, gradient, is_float, leaf_names, scene
from chainrule.ir.graph import Array

EPS = float(np.finfo(float).eps)
_SIZES = (5, 3, 7, 4, 6, 8, 9, 10, 11)
_FACTORS = (2, 3, 4)


Bars = Callable[[], "list[Array]"]
"""Computes, when it is asked for, how large a difference rounding explains."""
Truth = Callable[[Sequence[Any]], "tuple[list[Array], Bars, Scene | None]"]


class OutsideError(Exception):
    """The function or the claimed gradient has no value there."""


@dataclass(eq=False)
class Instance:
    """One experiment; `claim` are the leaves of what the claimed gradient returned, with whatever shapes they have."""

    args: tuple[Any, ...]
    sizes: dict[str, int]
    params: dict[str, float]
    scene: Scene | None
    truth: list[Array]
    claim: list[Array]
    bars: Bars
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    @cached_property
    def noise(self) -> list[Array]:
        """How large a difference rounding explains, per element."""
        return self.bars()

    @cached_property
    def backward(self) -> Backward:
        """The plain backward pass."""
        assert self.scene is not None
        return Backward(self.scene)

    def fits(self, k: int) -> bool:
        """Has leaf k of the claim the right shape?"""
        return self.claim[k].shape == self.truth[k].shape


@dataclass(eq=False)
class Problem:
    """What is checked: f, the claimed gradient and the point; `truth` computes (leaves of the gradient, bars, scene)."""

    f: Callable[..., Any]
    claimed: Callable[..., Any] | None
    args: tuple[Any, ...]
    argnums: tuple[int, ...]
    single: bool
    truth: Truth
    seed: int = 0

    @cached_property
    def names(self) -> list[str]:
        """Names of the leaves the gradient is for."""
        return leaf_names(self.f, self.args, self.argnums)

    def claim(self, args: Sequence[Any]) -> list[Array]:
        """Leaves of the claimed gradient."""
        assert self.claimed is not None
        return claim_leaves(self.claimed(*copied(args)), self.single, args, self.argnums)


def copied(args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments whose arrays nobody else holds."""
    leaves, spec = flatten(tuple(args))
    return unflatten(spec, [np.array(x) if isinstance(x, np.ndarray) else x for x in leaves])


def claim_leaves(result: Any, single: bool, args: Sequence[Any], argnums: Sequence[int]) -> list[Array]:
    """The arrays in what a claimed gradient returned, one per leaf of the arguments asked about."""
    parts = [result] if single else list(result) if isinstance(result, tuple | list) else [result]
    if len(parts) != len(argnums):
        raise TypeError(f"{len(argnums)} gradients are needed, one per argument in argnums, and {len(parts)} came back")
    out: list[Array] = []
    for k, part in zip(argnums, parts, strict=True):
        wanted, spec = flatten(args[k])
        if len(wanted) == 1 and wanted[0] is args[k]:
            out.append(_numeric(part))
            continue
        leaves, got = flatten(part)
        if got != spec:
            raise TypeError("the gradient must have the same containers as the argument it is for")
        out += [_numeric(x) for x in leaves]
    return out


def _numeric(x: Any) -> Array:
    a = np.asarray(x)
    if a.dtype.kind == "c":
        raise TypeError("the claimed gradient holds complex numbers, and the arguments are real")
    if a.dtype.kind not in "biuf":
        raise TypeError(f"the claimed gradient is no array of numbers but {type(x).__name__}")
    return a if a.dtype.kind == "f" else a.astype(float)


def traced_truth(f: Callable[..., Any], argnums: Sequence[int]) -> Truth:
    """Truth by automatic differentiation, with the size of rounding errors per element."""

    def truth(args: Sequence[Any]) -> tuple[list[Array], Bars, Scene | None]:
        with np.errstate(all="ignore"):
            s = scene(f, args, argnums)
            g = gradient(s)
        return g, lambda: _rounding(f, argnums, args, s, g), s

    return truth


def _rounding(f: Callable[..., Any], argnums: Sequence[int], args: Sequence[Any], s: Scene, g: Sequence[Array]) -> list[Array]:
    """How far off each element may be: from what cancels in it, and from what it does when its inputs are rounded."""
    rng = np.random.default_rng(5)
    spread = [np.zeros(x.shape) for x in g]
    with np.errstate(all="ignore"):
        size = Backward(s).magnitude()
        for _ in range(2):
            moved = gradient(scene(f, _jiggled(args, rng), argnums))
            spread = [np.maximum(a, np.abs(x - y)) for a, x, y in zip(spread, moved, g, strict=True)]
    both = zip(size, spread, strict=True)
    return [30 * EPS * np.nan_to_num(a, posinf=0) + 30 * np.nan_to_num(b, posinf=0) for a, b in both]


def _jiggled(args: Sequence[Any], rng: np.random.Generator) -> tuple[Any, ...]:
    leaves, spec = flatten(tuple(args))
    new = [x * (1 + EPS * rng.choice([-1.0, 1.0], size=np.shape(x))) if is_float(x) else x for x in leaves]
    return unflatten(spec, [float(x) if type(y) is float else x for x, y in zip(new, leaves, strict=True)])


def upcast(args: Sequence[Any], dtype: Any = float) -> tuple[Any, ...]:
    """The same numbers in float64."""
    leaves, spec = flatten(tuple(args))
    return unflatten(
        spec, [np.asarray(x, dtype) if isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "f" else x for x in leaves]
    )


class Lab:
    """Makes and remembers instances."""

    def __init__(self, p: Problem, first: Scene | None) -> None:
        self.problem = p
        self.args = upcast(p.args)
        self.leaves, self.spec = flatten(tuple(self.args))
        counts = [len(flatten(x)[0]) for x in self.args]
        starts = [sum(counts[:k]) for k in range(len(counts))]
        self.wrt = {starts[k] + j for k in p.argnums for j in range(counts[k])}
        self.words = leaf_names(p.f, self.args, range(len(self.args)))
        self._known: dict[Any, Instance | None] = {}
        self.groups: list[Group] = self._groups(first, starts, counts)
        self.letters = letters(self.groups, self.wrt, self.words)
        self.params = [k for k, x in enumerate(self.leaves) if k not in self.wrt and is_float(x) and np.ndim(x) == 0]

    def _groups(self, first: Scene | None, starts: Sequence[int], counts: Sequence[int]) -> list[Group]:
        if first is None:
            return by_size(self.args)
        named = {v.hint: v for v in first.graph.ins}
        inputs = {k: named[w] for k, w in enumerate(self.words) if w in named and named[w].type.shape == np.shape(self.leaves[k])}
        return groups(self.args, first.graph, inputs)

    # --- arguments --------------------------------------------------------------------------------------------------------

    def sizes_of(self, sizes: Sequence[int] | None) -> dict[str, int]:
        """Size of each group by its letter."""
        own = [np.shape(self.leaves[g[0][0]])[g[0][1]] for g in self.groups]
        return {letter: n for (letter, _), n in zip(self.letters, sizes or own, strict=True)}

    def drawn(self, sizes: Sequence[int] | None, key: int, near: bool = False, still: bool = False) -> list[Any]:
        """Fresh leaves with these sizes of the groups; `still` keeps what the gradient is not for."""
        rng = np.random.default_rng([self.problem.seed, key])
        shapes = [list(np.shape(x)) for x in self.leaves]
        for g, n in zip(self.groups, sizes or [], strict=False):
            for leaf, axis in g:
                shapes[leaf][axis] = n
        out: list[Any] = []
        for k, (x, shape) in enumerate(zip(self.leaves, shapes, strict=True)):
            if np.ndim(x) == 0 and k not in self.wrt:  # parameters stay, so that a constant made of them stays
                own = np.random.default_rng([self.problem.seed, 1, k])
                out.append(x if still else fresh(x, shape, own, near, False))
            else:
                out.append(x if still and k not in self.wrt else fresh(x, shape, rng, near, k in self.wrt))
        return out

    def run(self, leaves: Sequence[Any], sizes: Sequence[int] | None = None) -> Instance:
        """Both gradients there."""
        args = unflatten(self.spec, list(leaves))
        params = {self.words[k]: float(leaves[k]) for k in self.params}
        with np.errstate(all="ignore"):
            g, bars, s = self.problem.truth(args)
            claim = self.problem.claim(args)
        if not all(np.all(np.isfinite(x)) for x in g) or not all(np.all(np.isfinite(x)) for x in claim):
            raise OutsideError
        own = [np.shape(self.leaves[k]) for k in sorted(self.wrt)]
        if any(c.shape != t.shape and c.shape == o for c, t, o in zip(claim, g, own, strict=True)):
            raise OutsideError  # it returns arrays of the user's size whatever it is given: it is for that size
        ratio = [max(1.0, float(np.finfo(c.dtype).eps) / EPS) for c in claim]
        wide = bars if max(ratio) == 1 else lambda: [b * r for b, r in zip(bars(), ratio, strict=True)]
        claim = [np.asarray(c, float) for c in claim]
        return Instance(tuple(args), self.sizes_of(sizes), params, s, g, claim, wide)

    def attempt(self, key: Any, sizes: Sequence[int] | None, seed: int, still: bool = False) -> Instance | None:
        """An instance with fresh data, None where there is none to be had."""
        if key not in self._known:
            self._known[key] = None
            for near in (False, True):
                try:
                    self._known[key] = self.run(self.drawn(sizes, seed, near, still), sizes)
                    break
                except Exception:
                    continue
        return self._known[key]

    # --- the instances -----------------------------------------------------------------------------------------------------

    def same(self, k: int, still: bool = False) -> Instance | None:
        """Fresh data at the user's own sizes; `still` changes only what the gradient is for."""
        return self.attempt(("same", k, still), None, 100 + k, still)

    @cached_property
    def plan(self) -> list[int] | None:
        """Sizes of the groups, all different, with which both functions run; None if there are none but the user's."""
        own = list(self.sizes_of(None).values())
        wanted: list[int] = []
        for n in own:
            wanted.append(next(s for s in (*_SIZES, n + 12) if s not in wanted and s != n))
        if own and self._works(wanted):
            return wanted
        found = list(own)
        for k, n in enumerate(own):
            for size in (*[s for s in _SIZES if s not in found and s != n], *[f * n for f in _FACTORS]):
                if self._works([*found[:k], size, *found[k + 1 :]]):
                    found[k] = size
                    break
        return found if found != own else None

    def _works(self, sizes: Sequence[int]) -> bool:
        return self.attempt(("sizes", *sizes), sizes, 7) is not None

    def other(self, k: int) -> Instance | None:
        """Fresh data at the planned sizes (the user's where there are none)."""
        return self.same(10 + k) if self.plan is None else self.attempt(("other", k), self.plan, 200 + k)

    def grown(self, k: int) -> Instance | None:
        """The planned sizes, one of them different."""
        base = self.plan or list(self.sizes_of(None).values())
        for size in (base[k] + 2, base[k] + 3, *[f * base[k] for f in _FACTORS], base[k] - 1):
            sizes = [*base[:k], size, *base[k + 1 :]]
            if size > 1 and sizes.count(size) == 1:
                found = self.attempt(("grown", k, size), sizes, 200)
                if found is not None:
                    return found
        return None

    def turned(self, k: int) -> Instance | None:
        """The planned sizes and the same data, one number among the parameters different."""
        base = self.other(0)
        key = ("turned", k)
        if base is not None and key not in self._known:
            leaves = flatten(base.args)[0]
            x = float(leaves[k])
            new = x + 0.17 if 0 <= x < 0.8 else x * 1.3
            leaves[k] = new if type(self.leaves[k]) is float else np.asarray(new)
            try:
                self._known[key] = self.run(leaves, self.plan)
            except Exception:
                self._known[key] = None
        return self._known.get(key)

    def trials(self) -> Iterator[Instance]:
        """Fresh instances to compare at: other sizes first."""
        for make in (lambda: self.other(0), lambda: self.same(0), lambda: self.other(1), lambda: self.same(1)):
            found = make()
            if found is not None:
                yield found


def vector(xs: Sequence[Array], chosen: Sequence[int]) -> Array:
    """The chosen leaves in one row."""
    return flat([xs[k] for k in chosen])
