"""The laws as functions: each raises AssertionError where a row breaks it, so that mutants can be tried on them too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule.build.builder import Builder
from chainrule.build.row import Row, Tangent, Unknown, Zero
from chainrule.emit.numpy import Program
from chainrule.ir.graph import Array, Graph
from chainrule.ir.types import type_of
from chainrule.prims.kinds import dense
from chainrule.transform.jvp import jvp
from chainrule.transform.vjp import vjp
from chainrule.transform.vmap import vmap
from prims.samples import Sample

STEP = 0.02
"""First step of the difference quotients.  Samples lie at least 0.08 from where a function is not smooth."""


def equation(row: Row, args: Sequence[Any], params: dict[str, Any]) -> Graph:
    """The graph of one equation."""
    with Builder().here() as b:
        return b.finish(row.all(*[b.input(type_of(x)) for x in args], **params))


def run(g: Graph, args: Sequence[Any]) -> list[Array]:
    """Its results on these arrays."""
    return Program(g)(*args)


def pushed(row: Row, s: Sample, wrt: Sequence[int]) -> Graph:
    """(x..., dx...) -> dy..., as the row itself says (`transform.jvp` would look the row up in the table)."""
    with Builder().here() as b:
        xs = [b.input(type_of(x)) for x in s.args]
        dxs: list[Tangent] = [Zero(x.type) for x in xs]
        for k in wrt:
            dxs[k] = b.input(xs[k].type)
        if row.push is not None:
            ys, dys = row.push(xs, dxs, s.params)
        else:
            assert row.jvp is not None
            ys = row.all(*xs, **s.params)
            dys = row.jvp(xs, dxs, ys, s.params)
        return b.finish([dense(dy) for y, dy in zip(ys, dys, strict=True) if y.type.inexact])


def pulled(row: Row, s: Sample, wrt: Sequence[int]) -> Graph:
    """(x..., ct...) -> ct of the operands in `wrt`, by the row's own transpose."""
    with Builder().here() as b:
        xs = [b.input(type_of(x)) for x in s.args]
        assert row.transpose is not None
        outs = row.type([x.type for x in xs], s.params)
        cts = [b.input(t) for t in outs]
        back = row.transpose(cts, [Unknown(x.type) if k in wrt else x for k, x in enumerate(xs)], s.params)
        return b.finish([dense(back[k] if back[k] is not None else Zero(xs[k].type)) for k in wrt])  # pyright: ignore[reportArgumentType]


def direction(rng: np.random.Generator, x: Array) -> Array:
    """Numbers between 0.5 and 1 in size."""
    return np.asarray(rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1, x.shape))


def quotient(f: Any) -> list[Array]:
    """df/dt at 0 of a function that returns a list of arrays: central differences with halved steps, extrapolated (Richardson).

    Four steps from 0.02 leave an error of about 1e-10 where the nearest singularity is 0.15 away; rounding adds 1e-13.
    """
    rows = [[(np.asarray(a) - b) / (2 * h) for a, b in zip(f(h), f(-h), strict=True)] for h in STEP / 2.0 ** np.arange(4)]
    for k in range(1, 4):
        rows = [[(4**k * fine - coarse) / (4**k - 1) for coarse, fine in zip(*pair, strict=True)] for pair in pairwise(rows)]
    return rows[0]


def close(got: Sequence[Array], want: Sequence[Array], rtol: float, atol: float, what: str) -> None:
    """Equal up to rounding, NaN where NaN is wanted."""
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=what)


def inexact(ys: Sequence[Array]) -> list[Array]:
    """The results that can have a derivative."""
    return [y for y in ys if y.dtype.kind == "f"]


def _moved(s: Sample, wrt: Sequence[int], dxs: Sequence[Array], t: float) -> list[Any]:
    args = list(s.args)
    for k, dx in zip(wrt, dxs, strict=True):
        args[k] = args[k] + t * dx
    return args


def derivative_is_the_difference_quotient(row: Row, s: Sample, rng: np.random.Generator) -> None:
    """One operand at a time, so that an error in one partial derivative cannot hide behind another.

    The tolerance is 1e-6: a hundred times the quotient's error, a hundredth of the smallest mutation.
    """
    f = Program(equation(row, s.args, s.params))
    for k in s.wrt:
        dx = direction(rng, s.args[k])
        got = run(pushed(row, s, [k]), [*s.args, dx])
        want = quotient(lambda t, k=k, dx=dx: inexact(f(*_moved(s, [k], [dx], t))))
        close(got, want, 1e-6, 1e-6, f"{row.name}: derivative with respect to operand {k}")


def transpose_is_adjoint(row: Row, s: Sample, wrt: Sequence[int], rng: np.random.Generator) -> None:
    """<ct, J dx> = <J' ct, dx>, for the row's own transpose."""
    dxs = [direction(rng, s.args[k]) for k in wrt]
    dys = run(pushed(row, s, wrt), [*s.args, *dxs])
    cts = [direction(rng, y).astype(y.dtype) for y in dys]
    back = run(pulled(row, s, wrt), [*s.args, *cts])
    equal_products(cts, dys, back, dxs, row.name)


def equal_products(cts: Sequence[Array], dys: Sequence[Array], back: Sequence[Array], dxs: Sequence[Array], what: str) -> None:
    """Both inner products; rounding is relative to the sum of the sizes of their terms."""
    left = sum(float(np.vdot(a, b)) for a, b in zip(cts, dys, strict=True))
    right = sum(float(np.vdot(a, b)) for a, b in zip(back, dxs, strict=True))
    size = sum(float(np.sum(np.abs(a * b))) for a, b in zip(cts, dys, strict=True))
    eps = max([np.finfo(y.dtype).eps for y in dys], default=0.0)
    assert abs(left - right) <= 100 * eps * (size + 1e-3), f"{what}: <ct, J dx> = {left} but <J' ct, dx> = {right}"


def reverse_is_forward_transposed(row: Row, s: Sample, rng: np.random.Generator) -> None:
    """<ct, J dx> = <J' ct, dx>, by the transformations."""
    g = equation(row, s.args, s.params)
    n = len(g.outs)
    dxs = [direction(rng, s.args[k]).astype(s.args[k].dtype) for k in s.wrt]
    dys = run(jvp(g, s.wrt), [*s.args, *dxs])[n:]
    keep = [k for k, y in enumerate(dys) if y.dtype.kind == "f"]
    cts = [direction(rng, y).astype(y.dtype) for y in dys]
    back = run(vjp(g, s.wrt), [*s.args, *cts])[n:]
    equal_products([cts[k] for k in keep], [dys[k] for k in keep], back, dxs, row.name)


def second_derivative_is_symmetric(row: Row, s: Sample, rng: np.random.Generator) -> None:
    """Reverse over forward = forward over reverse = the difference quotient of the gradient."""
    g = equation(row, s.args, s.params)
    n, m = len(g.outs), len(s.wrt)
    cts = [direction(rng, np.empty(a.type.shape)).astype(a.type.dtype) for a in g.outs]
    vs = [direction(rng, s.args[k]) for k in s.wrt]
    pull = vjp(g, s.wrt)
    forward_over_reverse = run(jvp(pull, s.wrt), [*s.args, *cts, *vs])[-m:]
    zeros = [np.zeros(a.type.shape, a.type.dtype) for a in g.outs]
    reverse_over_forward = run(vjp(jvp(g, s.wrt), s.wrt), [*s.args, *vs, *zeros, *cts])[-m:]
    close(reverse_over_forward, forward_over_reverse, 1e-9, 1e-9, f"{row.name}: second derivatives differ by the order of modes")
    program = Program(pull)
    want = quotient(lambda t: program(*_moved(s, s.wrt, vs, t), *cts)[n:])
    close(forward_over_reverse, want, 1e-5, 1e-5, f"{row.name}: second derivative")


def _another(row: Row, x: Array) -> Array:
    """Operands like x: from the same domain, and as regular a matrix."""
    if x.dtype.kind == "b":
        return ~x
    return x if x.dtype.kind not in "fc" else x[::-1] if row.pointwise and x.ndim else 1.25 * x


def vmap_is_a_loop(row: Row, s: Sample, mapped: Sequence[bool]) -> None:
    """F(X)[k] = f(X[k])"""
    g = equation(row, s.args, s.params)
    pairs = [(x, _another(row, x)) if m else (x, x) for x, m in zip(s.args, mapped, strict=True)]
    stacked = [np.stack(p) if m else p[0] for p, m in zip(pairs, mapped, strict=True)]
    together = run(vmap(g, 2, mapped), stacked)
    for k in range(2):
        alone = run(g, [p[k] for p in pairs])
        # A batched product of matrices may sum in another order.
        close([y[k] for y in together], alone, 1e-12, 1e-12, f"{row.name}: batched along {mapped}")
        assert [y[k].dtype for y in together] == [y.dtype for y in alone]


def row_is_linear(row: Row, s: Sample, which: Sequence[int], rng: np.random.Generator) -> None:
    """f(a x + b y) = a f(x) + b f(y), in the operands `which` together."""
    g = equation(row, s.args, s.params)
    other = [rng.uniform(-1, 1, x.shape) if k in which else x for k, x in enumerate(s.args)]
    a, b = 0.75, -2.5
    both = [a * x + b * y if k in which else x for k, (x, y) in enumerate(zip(s.args, other, strict=True))]
    (f_both,), (fx,), (fy,) = run(g, both), run(g, s.args), run(g, other)
    tolerance = 100 * np.finfo(fx.dtype).eps
    close([f_both], [a * fx + b * fy], tolerance, tolerance, f"{row.name} is not linear")
