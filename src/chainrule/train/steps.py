"""The compiled functions of a training: a run of steps, one step of odd size, predictions and losses without learning.

A step takes one gradient from one or several micro-batches.  Every micro-batch of size n weighs n / N, N the size of the whole
step, so the gradient is that of the mean over all N examples, also where the last micro-batch is smaller than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule import random
from chainrule.build.tree import map_tree
from chainrule.calculus import value_and_grad
from chainrule.compilation import jit
from chainrule.flow import scan
from chainrule.train.model import Anatomy, Objective, Parts, Tree


class State(NamedTuple):
    """All that a step changes."""

    params: Tree
    statistics: list[Any]
    optimizer: Tree


def copied(tree: Tree) -> Tree:
    """The same arrays elsewhere in memory."""
    return map_tree(lambda x: np.array(x), tree)


def batch_of(data: Parts, rows: Any) -> Parts:
    """Some rows of every array."""
    return map_tree(lambda x: x[rows], data)


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

    def _many(self, state: State, data: Parts, groups: Any, key: Any, first: Any) -> tuple[State, Any]:
        """Steps number first, first + 1, ...: `groups` are the rows of each, int[steps, micro-batches, batch size]."""

        def body(state: State, xs: Any) -> tuple[State, Any]:
            rows, number = xs
            return self.step(state, data, [rows], key, number)

        return scan(body, state, (groups, first + np.arange(groups.shape[0])))

    def step(self, state: State, data: Parts, runs: Sequence[Any], key: Any, number: Any) -> tuple[State, Any]:
        """One step: the rows of its micro-batches as arrays int[count, size], each of another size."""
        key = random.fold_in(key, number)
        total = sum([int(np.prod(rows.shape)) for rows in runs])
        loss, grads, statistics = None, None, state.statistics
        for j, rows in enumerate(runs):
            share = rows.shape[1] / total
            run = self._single if rows.shape[0] == 1 else self._several
            found = run(state.params, statistics, data, rows, random.fold_in(key, j), share)
            loss, grads, statistics = found if loss is None else (loss + found[0], _sum(grads, found[1]), found[2])
        params, optimizer = self.rule.step(state.params, grads, state.optimizer)
        return State(params, statistics, optimizer), loss

    def _single(self, params: Tree, statistics: Any, data: Parts, rows: Any, key: Any, share: float) -> tuple[Any, Any, Any]:
        loss, grads, statistics = self.gradient(params, statistics, batch_of(data, rows[0]), key)
        if share == 1:
            return loss, grads, statistics
        return loss * share, map_tree(lambda g: g * share, grads), statistics

    def _several(self, params: Tree, statistics: Any, data: Parts, rows: Any, key: Any, share: float) -> tuple[Any, Any, Any]:
        def body(carry: Any, xs: Any) -> tuple[Any, Any]:
            grads, statistics = carry
            loss, more, statistics = self._single(params, statistics, data, xs[0][None], random.fold_in(key, xs[1]), share)
            return (_sum(grads, more), statistics), loss

        start = (map_tree(np.zeros_like, params), statistics)
        (grads, statistics), losses = scan(body, start, (rows, np.arange(rows.shape[0])))
        return np.sum(losses), grads, statistics

    def gradient(self, params: Tree, statistics: Any, batch: Parts, key: Any) -> tuple[Any, Any, Any]:
        """Loss, gradient and new statistics of one micro-batch."""

        def loss_of(p: Tree) -> tuple[Any, Any]:
            model = self.anatomy.whole(p, statistics)
            loss, new = self.objective.training(model, batch, key)
            return loss, statistics if new is None else self.anatomy.renewed(model, new)

        (loss, statistics), grads = value_and_grad(loss_of, has_aux=True)(params)
        return loss, grads, statistics

    def _losses(self, params: Tree, statistics: Any, data: Parts, rows: Any, key: Any) -> Any:
        """The loss of each batch int[count, size], nothing learned."""

        def body(c: Any, xs: Any) -> tuple[Any, Any]:
            batch = batch_of(data, xs[0])
            return c, self.objective.inference(self.anatomy.whole(params, statistics), batch, random.fold_in(key, xs[1]))

        return scan(body, (), (rows, np.arange(rows.shape[0])))[1]

    def _outputs(self, params: Tree, statistics: Any, data: Parts, rows: Any) -> Any:
        """The model's outputs on each batch."""

        def body(c: Any, rows: Any) -> tuple[Any, Any]:
            return c, self.objective.forward.inference(self.anatomy.whole(params, statistics), batch_of(data, rows)[0])

        return scan(body, (), rows)[1]


def _sum(a: Tree, b: Tree) -> Tree:
    return map_tree(lambda x, y: x + y, a, b)
