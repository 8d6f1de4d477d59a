"""Rules on the unit cube, each with coarser ones inside it, whose differences estimate the error axis by axis."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Rule(NamedTuple):
    """Nodes in (0, 1)^d, (k, d); weights, (k,); weights of the rules that are coarse along one axis, (d, k)."""

    nodes: Array
    weights: Array
    coarse: Array


# Nodes in (0, 1) from the outermost to the middle, their weights, and those of Gauss's rule on every other node.
_TABLE = {
    15: (
        [0.991455371120812639206854697526329, 0.949107912342758524526189684047851, 0.864864423359769072789712788640926,
         0.741531185599394439863864773280788, 0.586087235467691130294144691693250, 0.405845151377397166906606412076961,
         0.207784955007898467600689403773245, 0.0],
        [0.022935322010529224963732008058970, 0.063092092629978553290700663189204, 0.104790010322250183839876322541518,
         0.140653259715525918745189590510238, 0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
         0.204432940075298892414161999234649, 0.209482141084727828012999174891714],
        [0.129484966168869693270611432679082, 0.279705391489276667901467771423780, 0.381830050505118944950369775488975,
         0.417959183673469387755102040816327],
    ),
    21: (
        [0.995657163025808080735527280689003, 0.973906528517171720077964012084452, 0.930157491355708226001207180059508,
         0.865063366688984510732096688423493, 0.780817726586416897063717578345042, 0.679409568299024406234327365114874,
         0.562757134668604683339000099272694, 0.433395394129247190799265943165784, 0.294392862701460198131126602103866,
         0.148874338981631210884826001129720, 0.0],
        [0.011694638867371874278064396062192, 0.032558162307964727478818972459390, 0.054755896574351996031381300244580,
         0.075039674810919952767043140916190, 0.093125454583697605535065465083366, 0.109387158802297641899210590325805,
         0.123491976262065851077958109585166, 0.134709217311473325928054001771707, 0.142775938577060080797094273138717,
         0.147739104901338491374841515972068, 0.149445554002916905664936468389821],
        [0.066671344308688137593568809893332, 0.149451349150580593145863396957658, 0.219086362515982043995534934228163,
         0.269266719309996355091226921569469, 0.295524224714752870173815619188769],
    ),
}  # fmt: skip


def _mirrored(xs: list[float], sign: float, n: int) -> Array:
    """The numbers for -1 to 1, symmetric or antisymmetric, so many of them."""
    half = np.array(xs)
    return np.concatenate([sign * half, half[: n - len(xs)][::-1]])


@cache
def gauss_kronrod(d: int = 1) -> Rule:
    """Kronrod's rule of 21 nodes, exact to degree 31, over Gauss's of 10; in more dimensions products of 15 nodes over 7.

    Source: Kronrod 1965; the numbers are those of QUADPACK's qk21 and qk15 (Piessens et al. 1983).
    """
    n = 21 if d == 1 else 15
    nodes, fine, gauss = _TABLE[n]
    x, w, g = (_mirrored(nodes, -1, n) + 1) / 2, _mirrored(fine, 1, n) / 2, np.zeros(n)
    g[1::2] = _mirrored(gauss, 1, n // 2) / 2
    grid = np.stack(np.meshgrid(*[x] * d, indexing="ij"), -1).reshape(-1, d)
    coarse = [_outer([g if k == j else w for k in range(d)]) for j in range(d)]
    return Rule(grid, _outer([w] * d), np.array(coarse))


def _outer(ws: list[Array]) -> Array:
    out = np.ones(1)
    for w in ws:
        out = np.multiply.outer(out, w)
    return out.ravel()


def gauss_legendre(n: int) -> tuple[Array, Array]:
    """Nodes in (0, 1) and weights, exact to degree 2n - 1."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1) / 2, w / 2


@cache
def sobol(n: int, d: int) -> Array:
    """The first n (a power of two) points of Sobol's sequence in [0, 1)^d."""
    from scipy.stats import qmc

    return qmc.Sobol(d, scramble=False).random_base2(int(np.log2(n)))


__all__ = ["Array", "Rule", "gauss_kronrod", "gauss_legendre", "sobol"]
