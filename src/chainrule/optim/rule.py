"""Rules: how parameters move, as two functions; and atoms, the small steps that rules are chains of.

A rule is ``init(params) -> state`` and ``step(params, grads, state) -> (params, state)``, both plain NumPy code on nested
containers of arrays.  So a rule can be called on arrays, compiled, run inside `scan`, and differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np

from chainrule.build.tree import flatten, map_tree, unflatten
from chainrule.optim.numbers import alike

Tree: TypeAlias = Any
"""An array or nested containers of arrays."""
Schedule: TypeAlias = Callable[[Any], Any]
"""The learning rate as a function of the step k = 0, 1, 2, ..."""


class Move(NamedTuple):
    """What is about to be subtracted from the parameters, and the learning rate in it (1 before there is one)."""

    direction: Tree
    rate: Any


def no_state(params: Tree) -> Tree:
    """The state of an atom that remembers nothing."""
    return ()


def no_change(params: Tree, state: Tree, rate: Any) -> tuple[Tree, Tree]:
    """The parameters stay as the step has left them."""
    return params, state


@dataclass(frozen=True, eq=False)
class Atom:
    """One stage of a rule.

    Attributes:
        init: params -> state, a tree of arrays.
        update: (move, state, params) -> (move, state): changes the direction before the step.
        after: (params, state, rate) -> (params, state): changes the parameters after the step.
    """

    init: Callable[[Tree], Tree] = no_state
    update: Callable[[Move, Tree, Tree], tuple[Move, Tree]] = lambda move, state, params: (move, state)
    after: Callable[[Tree, Tree, Any], tuple[Tree, Tree]] = no_change


@dataclass(frozen=True, eq=False)
class Rule:
    """An optimiser.

    Attributes:
        init: params -> state, a tree of arrays.
        step: (params, grads, state) -> (params, state).
        atoms: what the rule is a chain of; none if it was written by hand.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> rule = cr.optim.sgd(learning_rate=0.1)
        >>> params, state = np.array([1.0, -2.0]), rule.init(np.zeros(2))
        >>> params, state = rule.step(params, 2 * params, state)
        >>> params
        array([ 0.8, -1.6])
    """

    init: Callable[[Tree], Tree]
    step: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]
    atoms: tuple[Atom, ...] = ()


def chain(*parts: Atom | Rule) -> Rule:
    """One rule from atoms and rules: each changes the direction that the one before it left.

    The gradient enters the first; what leaves the last is subtracted, x <- x - direction.  Then atoms that act on parameters
    (`proximal`, averages) act, in order, with the product of all learning rates of the chain.

    Args:
        parts: Atoms, or rules, whose atoms are put in their place.

    Returns:
        A rule; its state is a tuple with the state of each atom.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> rule = cr.optim.chain(cr.optim.clip_by_global_norm(1.0), cr.optim.sgd(0.5))
        >>> rule.step(np.zeros(2), np.array([3.0, 4.0]), rule.init(np.zeros(2)))[0]
        array([-0.3, -0.4])
    """
    atoms = tuple(a for p in parts for a in _atoms(p))

    def init(params: Tree) -> Tree:
        return tuple([a.init(params) for a in atoms])

    def step(params: Tree, grads: Tree, state: Tree) -> tuple[Tree, Tree]:
        alike(params, grads)
        move, middle = Move(grads, 1.0), list[Tree]()
        for a, s in zip(atoms, state, strict=True):
            move, s = a.update(move, s, params)
            middle.append(s)
        params, new = each(lambda x, d: x - d, params, move.direction), list[Tree]()
        for a, s in zip(atoms, middle, strict=True):
            params, s = a.after(params, s, move.rate)
            new.append(s)
        return params, tuple(new)

    return Rule(init, step, atoms)


def _atoms(part: Atom | Rule) -> tuple[Atom, ...]:
    if isinstance(part, Atom):
        return (part,)
    return part.atoms or (_from_rule(part),)


def _from_rule(rule: Rule) -> Atom:
    """A rule written by hand as a stage of another: the direction is the way it would go."""

    def update(move: Move, state: Tree, params: Tree) -> tuple[Move, Tree]:
        new, state = rule.step(params, move.direction, state)
        return move._replace(direction=each(lambda x, y: x - y, params, new)), state

    return Atom(rule.init, update)


def directed(f: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]], init: Callable[[Tree], Tree] = no_state) -> Atom:
    """An atom from a function (direction, state, params) -> (direction, state)."""

    def update(move: Move, state: Tree, params: Tree) -> tuple[Move, Tree]:
        direction, state = f(move.direction, state, params)
        return move._replace(direction=direction), state

    return Atom(init, update)


def stateless(f: Callable[..., Any], *, params: bool = False) -> Atom:
    """An atom from a function of one array of the direction (and of the array of parameters it belongs to)."""
    if params:
        return directed(lambda d, state, x: (each(f, d, x), state))
    return directed(lambda d, state, x: (each(f, d), state))


# --- arithmetic on trees ------------------------------------------------------------------------------------------------


@overload
def each(f: Callable[[Any], Any], a: Tree, /) -> Tree: ...
@overload
def each(f: Callable[[Any, Any], Any], a: Tree, b: Tree, /) -> Tree: ...
@overload
def each(f: Callable[[Any, Any, Any], Any], a: Tree, b: Tree, c: Tree, /) -> Tree: ...
def each(f: Callable[..., Any], /, *trees: Tree) -> Tree:
    """`f` on corresponding arrays."""
    return map_tree(f, *trees)


def zeros(params: Tree) -> Tree:
    """A tree of zeros like `params`."""
    return each(np.zeros_like, params)


def counter() -> Any:
    """The number of steps taken, 0."""
    return np.zeros((), np.int64)


def times(factor: Any, x: Any) -> Any:
    """A number times an array, in the array's dtype: a rate computed in double precision does not make it double."""
    if type(factor) in (int, float) or getattr(x, "dtype", None) in (None, getattr(factor, "dtype", None)):
        return factor * x
    return factor.astype(x.dtype) * x


def mapped(f: Callable[..., tuple[Any, ...]], outs: int, *trees: Tree) -> tuple[Tree, ...]:
    """`f`, which returns `outs` arrays, on corresponding leaves: one tree for each of them."""
    first, spec = flatten(trees[0])
    columns = [f(*xs) for xs in zip(first, *[flatten(t)[0] for t in trees[1:]], strict=True)]
    return tuple([unflatten(spec, [c[k] for c in columns]) for k in range(outs)])
