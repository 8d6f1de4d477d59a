"""The compiled functions of a training: a run of steps, one step of odd size, predictions and losses without learning.

A step takes one gradient from one or several micro-batches.  Every micro-batch of size n weighs n / N, N the size of the whole
step, so the gradient is that of the mean over all N examples, also where the last micro-batch is smaller than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import random
from chainrule.build.tree import flatten, map_tree
from chainrule.calculus import value_and_grad
from chainrule.compilation import jit
from chainrule.flow import scan
from chainrule.train.data import Array, Piece, Rows
from chainrule.train.model import Anatomy, Objective, Parts, Tree

Data = Parts | None
"""Arrays, of which rows are taken; None where the rows themselves are given."""


class State(NamedTuple):
    """All that a step changes."""

    params: Tree
    statistics: list[Any]
    optimizer: Tree


def copied(tree: Tree) -> Tree:
    """The same arrays elsewhere in memory."""
    return map_tree(lambda x: np.array(x), tree)


def finite(tree: Tree) -> bool:
    """Are all numbers of a tree finite?"""
    return all(bool(np.isfinite(x).all()) for x in flatten(tree)[0])


def batch_of(data: Data, rows: Any) -> Parts:
    """Some rows of every array; where there are no data, the rows are what they are."""
    return rows if data is None else map_tree(lambda x: x[rows], data)


def _sizes(rows: Any) -> tuple[int, int]:
    """How many micro-batches, and how many examples in each."""
    count, size = flatten(rows)[0][0].shape[:2]
    return count, size


def _at(rows: Any, k: int | None) -> Any:
    """Micro-batch number k; a new first axis for None."""
    return map_tree(lambda x: x[k], rows)


class Steps:
    """The compiled functions of one training."""

    def __init__(self, objective: Objective, anatomy: Anatomy, rule: Any, engine: str | None) -> None:
        self.objective = objective
        self.anatomy = anatomy
        self.rule = rule
        self.many = jit(self._many, engine, donate_argnums=(0,))
        self.one = jit(self.step, engine)
        self.losses = jit(self._losses, engine)
        self.outputs = jit(self._outputs, engine)

    def kept(self, state: State) -> State:
        """A state that is still there after a step has been taken from the other one."""
        return copied(state)

    def take(self, state: State, piece: Piece, key: Any, first: int) -> tuple[State, Array, bool]:
        """Take the steps of a piece, which are number `first` and on: the new state, a loss each, and whether all is finite."""
        data, runs = piece.local()
        if piece.groups is not None:
            state, losses = self.many(state, data, runs[0], key, first)
        else:
            state, loss = self.one(state, data, [rows[0] for rows in runs], key, first)
            losses = np.reshape(loss, 1)
        return state, losses, finite(state.params) and not bool(np.isnan(losses).any())

    def judge(self, state: State, source: Rows, rows: Array, key: Any) -> Array:
        """The loss of each batch of rows int64[count, size], nothing learned."""
        data, local = source.local(rows.ravel())
        return self.losses(state.params, state.statistics, data, local.reshape(rows.shape), key)

    def predict(self, state: State, source: Rows, rows: Array) -> Array:
        """The model's outputs on each batch of rows int64[count, size]."""
        data, local = source.local(rows.ravel())
        return self.outputs(state.params, state.statistics, data, local.reshape(rows.shape))

    def _many(self, state: State, data: Parts, groups: Any, key: Any, first: Any) -> tuple[State, Any]:
        """Steps number first, first + 1, ...: `groups` are the rows of each, int[steps, micro-batches, batch size]."""

        def body(state: State, xs: Any) -> tuple[State, Any]:
            rows, number = xs
            return self.step(state, data, [rows], key, number)

        return scan(body, state, (groups, first + np.arange(groups.shape[0])))

    def step(self, state: State, data: Data, runs: Sequence[Any], key: Any, number: Any) -> tuple[State, Any]:
        """One step of its micro-batches [count, size], each of another size: rows of the data, or examples if there are none."""
        key = random.fold_in(key, number)
        sizes = [_sizes(rows) for rows in runs]
        total = sum([count * size for count, size in sizes])
        loss, grads, statistics = None, None, state.statistics
        for j, (rows, (count, size)) in enumerate(zip(runs, sizes, strict=True)):
            share = size / total
            run = self._single if count == 1 else self._several
            found = run(state.params, statistics, data, rows, random.fold_in(key, j), share)
            loss, grads, statistics = found if loss is None else (loss + found[0], _sum(grads, found[1]), found[2])
        params, optimizer = self.rule.step(state.params, grads, state.optimizer)
        return State(params, statistics, optimizer), loss

    def _single(self, params: Tree, statistics: Any, data: Data, rows: Any, key: Any, share: float) -> tuple[Any, Any, Any]:
        loss, grads, statistics = self.gradient(params, statistics, batch_of(data, _at(rows, 0)), key)
        if share == 1:
            return loss, grads, statistics
        return loss * share, map_tree(lambda g: g * share, grads), statistics

    def _several(self, params: Tree, statistics: Any, data: Data, rows: Any, key: Any, share: float) -> tuple[Any, Any, Any]:
        def body(carry: Any, xs: Any) -> tuple[Any, Any]:
            grads, statistics = carry
            loss, more, statistics = self._single(params, statistics, data, _at(xs[0], None), random.fold_in(key, xs[1]), share)
            return (_sum(grads, more), statistics), loss

        start = (map_tree(np.zeros_like, params), statistics)
        (grads, statistics), losses = scan(body, start, (rows, np.arange(_sizes(rows)[0])))
        return np.sum(losses), grads, statistics

    def gradient(self, params: Tree, statistics: Any, batch: Parts, key: Any) -> tuple[Any, Any, Any]:
        """Loss, gradient and new statistics of one micro-batch."""

        def loss_of(p: Tree) -> tuple[Any, Any]:
            model = self.anatomy.whole(p, statistics)
            loss, new = self.objective.training(model, batch, key)
            return loss, statistics if new is None else self.anatomy.renewed(model, new)

        (loss, statistics), grads = value_and_grad(loss_of, has_aux=True)(params)
        return loss, grads, statistics

    def _losses(self, params: Tree, statistics: Any, data: Data, rows: Any, key: Any) -> Any:
        """The loss of each batch int[count, size], nothing learned."""

        def body(c: Any, xs: Any) -> tuple[Any, Any]:
            batch = batch_of(data, xs[0])
            return c, self.objective.inference(self.anatomy.whole(params, statistics), batch, random.fold_in(key, xs[1]))

        return scan(body, (), (rows, np.arange(_sizes(rows)[0])))[1]

    def _outputs(self, params: Tree, statistics: Any, data: Data, rows: Any) -> Any:
        """The model's outputs on each batch."""

        def body(c: Any, rows: Any) -> tuple[Any, Any]:
            return c, self.objective.forward.inference(self.anatomy.whole(params, statistics), batch_of(data, rows)[0])

        return scan(body, (), rows)[1]


def _sum(a: Tree, b: Tree) -> Tree:
    return map_tree(lambda x, y: x + y, a, b)
