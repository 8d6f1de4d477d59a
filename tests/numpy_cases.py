"""Every NumPy function that traced values have, called at ordinary and at edge shapes.

A case is a name, a function of a NumPy-like module and arrays, and those arrays.  Floating arrays are differentiated.
``needs`` says what a case needs beyond its types: "values" where the result's shape depends on numbers.
``jax`` is False, or the reason why JAX is no oracle for this case; ``smooth`` is False at a kink, where difference quotients
have nothing to say; ``single`` marks those that compute in float32.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One call."""

    name: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    jax: bool | str = True
    smooth: bool = True
    needs: str = ""
    single: bool = False


def A(*shape: int) -> Any:
    """Numbers well apart from each other and from zero, so that no difference quotient crosses a kink."""
    n = int(np.prod(shape))
    rng = np.random.default_rng(zlib.crc32(repr(shape).encode()))
    steps = np.linspace(-1.55, 1.65, n) if n > 1 else np.full(n, 0.7)
    return rng.permutation(steps).reshape(shape)


def B(*shape: int) -> Any:
    """Other numbers."""
    return A(*shape)[..., ::-1] * 0.9 + 0.03 if shape else np.asarray(-0.4)


TIED = np.array([[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 2.0, 2.0], [0.0, -1.0, 5.0, 5.0]])
ZEROS = np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 0.0], [1.5, 2.0, 3.0]])
NANS = np.array([[1.0, np.nan, 3.0], [4.0, 0.5, -2.0]])
I3 = np.array([2, 0, 1])
I22 = np.array([[0, 2], [-1, 1]])
INTS = np.array([[3, 1, 2], [0, 5, 4]])
MASK = np.array([[True, False, True], [False, True, True]])
SORTED = np.array([-1.5, -0.3, 0.4, 1.1, 2.0])
CASES: list[Case] = []


def case(name: str, call: Callable[..., Any], *args: Any, **kw: Any) -> None:
    """One more case."""
    CASES.append(Case(name, call, args, **kw))


NO_TIE_RULE = "JAX gives all to one of the equals, or shares otherwise"
NO_JAX = "JAX has no such function, or not with these arguments"
JAX_NAN = "JAX's derivative is NaN here; ours is that of the numbers that count"
LISTS = "JAX takes no lists"
METHOD = "a method is its function, which has cases of its own"

# --- reductions ------------------------------------------------------------------------------------------------------------
for _f in (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",
    "std",
    "ptp",
    "amax",
    "amin",
    "median",
    "nansum",
    "nanmean",
    "nanmax",
    "nanmin",
    "average",
):
    case(_f, lambda np, x, f=_f: getattr(np, f)(x), A(3, 4))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=-1), A(2, 3))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=0, keepdims=True), A(3, 2))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=(0, -1)), A(2, 3, 2))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=1), A(2, 1), smooth=_f != "std", jax=NO_TIE_RULE if _f == "std" else True)
    if _f not in ("average", "nansum", "median"):
        case(_f, lambda np, x, f=_f: getattr(np, f)(x, keepdims=True), A(), smooth=_f != "std", jax=_f not in ("std",) or JAX_NAN)
for _f in ("sum", "prod", "any", "all", "nansum", "count_nonzero", "cumsum", "cumprod"):
    case(_f, lambda np, x, f=_f: getattr(np, f)(x), A(0))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=1), A(2, 0))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=0), A(2, 0))
case("max", lambda np, x: np.max(x, axis=1), TIED, smooth=False)
case("min", lambda np, x: np.min(x, axis=0), TIED, smooth=False)
case("max", lambda np, x: np.max(x), TIED, smooth=False)
case("max", lambda np, x: np.max(x, axis=1), A(0, 2))
case("max", lambda np, x: np.max(x, axis=1, initial=0.5), A(2, 3))
case("max", lambda np, x: np.max(x, axis=1, initial=-9.0, where=MASK), A(2, 3))
case("min", lambda np, x: np.min(x, initial=-0.5), A(0))
case("sum", lambda np, x: np.sum(x, axis=1, initial=2.0), A(2, 3))
case("sum", lambda np, x: np.sum(x, axis=0, where=MASK), A(2, 3))
case("mean", lambda np, x: np.mean(x, axis=0, where=MASK), A(2, 3))
case("mean", lambda np, x: np.mean(x, dtype=np.float32), A(2, 3), smooth=False, single=True)
case("prod", lambda np, x: np.prod(x, axis=1), ZEROS)
case("prod", lambda np, x: np.prod(x), ZEROS)
case("prod", lambda np, x: np.prod(x, axis=(0, 2)), A(2, 3, 2))
case("prod", lambda np, x: np.prod(x, axis=1, where=MASK, initial=2.0), A(2, 3))
case("var", lambda np, x: np.var(x, axis=1, ddof=1), A(2, 4))
case("var", lambda np, x: np.var(x, axis=1, where=MASK), A(2, 3))
case("std", lambda np, x: np.std(x, axis=0, ddof=1, keepdims=True), A(3, 2))
case("std", lambda np, x: np.std(x), np.ones(3), smooth=False, jax=JAX_NAN)
case("cumsum", lambda np, x: np.cumsum(x), A(2, 3))
case("cumsum", lambda np, x: np.cumsum(x, axis=-2), A(2, 3))
case("cumprod", lambda np, x: np.cumprod(x), A(2, 3))
case("cumprod", lambda np, x: np.cumprod(x, axis=0), ZEROS)
case("cumprod", lambda np, x: np.cumprod(x, axis=-1), ZEROS)
case("average", lambda np, x, w: np.average(x, axis=1, weights=w), A(2, 3), np.array([0.2, 0.5, 0.4]))
case("average", lambda np, x, w: np.average(x, weights=w, returned=True), A(2, 3), np.abs(A(2, 3)) + 0.1)
case("median", lambda np, x: np.median(x, axis=1, keepdims=True), A(2, 4))
case("median", lambda np, x: np.median(x, axis=(0, 2)), A(2, 3, 3))
case("median", lambda np, x: np.median(x, axis=1), TIED, smooth=False)
case("median", lambda np, x: np.median(x, axis=1), NANS, smooth=False, jax=JAX_NAN)
for _f in ("nansum", "nanmean", "nanmax", "nanmin", "nanprod", "nanvar", "nanstd", "nancumsum", "nancumprod"):
    _reason: Any = JAX_NAN if _f in ("nanvar", "nanstd", "nancumprod", "nanprod") else True
    case(_f, lambda np, x, f=_f: getattr(np, f)(x), NANS, smooth=False, jax=_reason)
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=1), NANS, smooth=False, jax=_reason)
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=1), A(2, 3))
for _f in ("argmax", "argmin"):
    case(_f, lambda np, x, f=_f: getattr(np, f)(x), TIED)
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=-1, keepdims=True), TIED)
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=0), A(1, 3))
for _f in ("any", "all", "count_nonzero"):
    case(_f, lambda np, x, f=_f: getattr(np, f)(x), ZEROS)
    case(_f, lambda np, x, f=_f: getattr(np, f)(x, axis=1, keepdims=True), ZEROS)
    case(_f, lambda np, x, f=_f: getattr(np, f)(x > 0.1, axis=(0,)), A(2, 3))
for _f in ("percentile", "quantile"):
    _q = 100 if _f == "percentile" else 1
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, 0.3 * q), A(2, 4))
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, 0.7 * q, axis=0, keepdims=True), A(4, 2))
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, np.array([0.0, 0.41, 1.0]) * q, axis=1), A(2, 4))
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, 0.4 * q, axis=-1, method="lower"), A(2, 4))
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, 0.4 * q, axis=-1, method="higher"), A(2, 4))
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, 0.4 * q, axis=-1, method="midpoint"), A(2, 4))
    case(_f, lambda np, x, f=_f, q=_q: getattr(np, f)(x, 0.25 * q, axis=-1), NANS, smooth=False, jax=JAX_NAN)
case("diff", lambda np, x: np.diff(x), A(2, 4))
case("diff", lambda np, x: np.diff(x, n=2, axis=0), A(4, 2))
case("diff", lambda np, x: np.diff(x, n=3), A(2))
case("diff", lambda np, x: np.diff(x, axis=1, prepend=0.0, append=x[:, :1]), A(2, 3))
case("diff", lambda np, x: np.diff(x > 0), A(4))
case("ediff1d", lambda np, x: np.ediff1d(x, to_begin=x[0, 0], to_end=x[1]), A(2, 2))
case("add.reduce", lambda np, x: np.add.reduce(x), A(2, 3))
case("multiply.reduce", lambda np, x: np.multiply.reduce(x, axis=1), ZEROS)
case("maximum.reduce", lambda np, x: np.maximum.reduce(x, axis=None), A(2, 3))
case("minimum.reduce", lambda np, x: np.minimum.reduce(x, axis=-1, keepdims=True), A(2, 3), jax=NO_JAX)
case("logical_and.reduce", lambda np, x: np.logical_and.reduce(x > 0, axis=1), A(2, 3))
case("logical_or.reduce", lambda np, x: np.logical_or.reduce(x > 0), A(2, 3))
case("add.accumulate", lambda np, x: np.add.accumulate(x), A(2, 3))
case("multiply.accumulate", lambda np, x: np.multiply.accumulate(x, axis=1), ZEROS)
case("maximum.accumulate", lambda np, x: np.maximum.accumulate(x, axis=1), A(2, 4))
case("minimum.accumulate", lambda np, x: np.minimum.accumulate(x), A(4, 2))
case("multiply.outer", lambda np, x, y: np.multiply.outer(x, y), A(2, 2), B(3))
case("add.outer", lambda np, x, y: np.add.outer(x, y), A(2), B())
case("cumulative_sum", lambda np, x: np.cumulative_sum(x, axis=1, include_initial=True), A(2, 3))
case("cumulative_prod", lambda np, x: np.cumulative_prod(x), A(3))

# --- shapes ----------------------------------------------------------------------------------------------------------------
case("reshape", lambda np, x: np.reshape(x, (3, -1)), A(2, 3))
case("reshape", lambda np, x: np.reshape(x, 6, order="F"), A(2, 3))
case("reshape", lambda np, x: np.reshape(x, (0, 3)), A(2, 0))
case("reshape", lambda np, x: np.reshape(x, (1, 1)), A())
case("ravel", lambda np, x: np.ravel(x), A(2, 3))
case("ravel", lambda np, x: np.ravel(x), A())
case("ravel", lambda np, x: np.ravel(x, order="F"), A(2, 3))
case("transpose", lambda np, x: np.transpose(x), A(2, 3, 2))
case("transpose", lambda np, x: np.transpose(x, (1, -1, 0)), A(2, 3, 2))
case("matrix_transpose", lambda np, x: np.matrix_transpose(x), A(2, 3, 2))
case("swapaxes", lambda np, x: np.swapaxes(x, 0, -1), A(2, 3, 2))
case("moveaxis", lambda np, x: np.moveaxis(x, 0, -1), A(2, 3, 2))
case("moveaxis", lambda np, x: np.moveaxis(x, [0, 1], [-1, -2]), A(2, 3, 2))
case("rollaxis", lambda np, x: np.rollaxis(x, 2), A(2, 3, 2))
case("rollaxis", lambda np, x: np.rollaxis(x, 0, 2), A(2, 3, 2))
case("squeeze", lambda np, x: np.squeeze(x), A(1, 3, 1))
case("squeeze", lambda np, x: np.squeeze(x, axis=-1), A(1, 3, 1))
case("expand_dims", lambda np, x: np.expand_dims(x, -1), A(2))
case("expand_dims", lambda np, x: np.expand_dims(x, (0, 2)), A(2, 3))
case("broadcast_to", lambda np, x: np.broadcast_to(x, (2, 3)), A(3))
case("broadcast_to", lambda np, x: np.broadcast_to(x, (2, 3, 2)), A(3, 1))
case("broadcast_to", lambda np, x: np.broadcast_to(x, (0, 3)), A(1, 3))
case("broadcast_arrays", lambda np, x, y: np.broadcast_arrays(x, y), A(3), B(2, 1))
for _f in ("atleast_1d", "atleast_2d", "atleast_3d"):
    for _s in ((), (2,), (2, 3), (2, 1, 2)):
        case(_f, lambda np, x, f=_f: getattr(np, f)(x), A(*_s))
case("concatenate", lambda np, x, y: np.concatenate([x, y]), A(2, 2), B(1, 2))
case("concatenate", lambda np, x, y: np.concatenate((x, y, x), axis=-1), A(2, 2), B(2, 1))
case("concatenate", lambda np, x, y: np.concatenate([x, y], axis=None), A(2, 2), B(3))
case("concatenate", lambda np, x: np.concatenate([x, np.ones((2, 2))], axis=1), A(2, 0))
case("stack", lambda np, x, y: np.stack([x, y]), A(3), B(3))
case("stack", lambda np, x, y: np.stack([x, y, 2 * x], axis=-1), A(2, 2), B(2, 2))
case("stack", lambda np, x, y: np.stack([x, y, 1.0]), A(), B())
for _f in ("vstack", "hstack", "dstack", "column_stack"):
    case(_f, lambda np, x, y, f=_f: getattr(np, f)((x, y)), A(3), B(3))
    case(_f, lambda np, x, y, f=_f: getattr(np, f)([x, y]), A(2, 2), B(2, 2))
case("append", lambda np, x, y: np.append(x, y), A(2), B(2, 2))
case("block", lambda np, x, y: np.block([[x, y], [np.zeros((1, 4))]]), A(2, 2), B(2, 2))
case("split", lambda np, x: np.split(x, 2), A(4, 2))
case("split", lambda np, x: np.split(x, [1, 3], axis=-1), A(2, 4))
case("split", lambda np, x: np.split(x, [1, 7]), A(3), jax=NO_JAX)
case("array_split", lambda np, x: np.array_split(x, 3), A(5))
case("array_split", lambda np, x: np.array_split(x, [2], axis=1), A(2, 4))
case("hsplit", lambda np, x: np.hsplit(x, 2), A(2, 4))
case("vsplit", lambda np, x: np.vsplit(x, [1]), A(3, 2))
case("dsplit", lambda np, x: np.dsplit(x, 2), A(1, 2, 4))
case("unstack", lambda np, x: np.unstack(x, axis=1), A(2, 3))
case("flip", lambda np, x: np.flip(x), A(2, 3))
case("flip", lambda np, x: np.flip(x, axis=-1), A(2, 3))
case("flip", lambda np, x: np.flip(x, (0, 2)), A(2, 3, 2))
case("fliplr", lambda np, x: np.fliplr(x), A(2, 3))
case("flipud", lambda np, x: np.flipud(x), A(2, 3))
for _k in range(5):
    case("rot90", lambda np, x, k=_k: np.rot90(x, k), A(2, 3))
case("rot90", lambda np, x: np.rot90(x, 1, (2, 0)), A(2, 3, 2))
case("roll", lambda np, x: np.roll(x, 2), A(2, 3))
case("roll", lambda np, x: np.roll(x, -1, axis=1), A(2, 3))
case("roll", lambda np, x: np.roll(x, (1, 2), axis=(0, 1)), A(2, 3))
case("roll", lambda np, x: np.roll(x, 3), A(0))
case("repeat", lambda np, x: np.repeat(x, 2), A(2, 2))
case("repeat", lambda np, x: np.repeat(x, 3, axis=0), A(2, 2))
case("repeat", lambda np, x: np.repeat(x, [1, 0, 2], axis=1), A(2, 3), jax=LISTS)
case("tile", lambda np, x: np.tile(x, 2), A(2, 2))
case("tile", lambda np, x: np.tile(x, (2, 1, 3)), A(2, 2))
case("tile", lambda np, x: np.tile(x, ()), A(2))
case("resize", lambda np, x: np.resize(x, (2, 4)), A(3))
case("pad", lambda np, x: np.pad(x, 1), A(2, 3))
case("pad", lambda np, x: np.pad(x, ((1, 0), (0, 2)), constant_values=1.5), A(2, 3))
case("pad", lambda np, x: np.pad(x, (2, 1), constant_values=(0.5, -0.5)), A(2, 1))
for _m in ("edge", "reflect", "symmetric", "wrap"):
    case("pad", lambda np, x, m=_m: np.pad(x, ((1, 2), (2, 0)), mode=m), A(3, 3))
    case("pad", lambda np, x, m=_m: np.pad(x, 5, mode=m), A(3))
case("delete", lambda np, x: np.delete(x, 1), A(2, 2))
case("delete", lambda np, x: np.delete(x, [0, 2], axis=1), A(2, 4), jax=LISTS)
case("insert", lambda np, x, y: np.insert(x, 1, y), A(3), B())
case("insert", lambda np, x, y: np.insert(x, 1, y, axis=1), A(2, 3), B(2))
case("insert", lambda np, x, y: np.insert(x, np.array([0, 2, 2]), y), A(3), B(3))
case("insert", lambda np, x, y: np.insert(x, np.array([3, 1]), y, axis=0), A(3, 2), B(2, 2))
case("zeros_like", lambda np, x: np.zeros_like(x) + x, A(2))
case("ones_like", lambda np, x: np.ones_like(x, shape=(3, 2)) * x, A(2))
case("full_like", lambda np, x: np.full_like(x, x[0]) * x, A(2))
case("empty_like", lambda np, x: np.empty_like(x) * 0 + x, A(2))
case("zeros_like", lambda np, x: np.zeros_like(x, dtype=bool), A(2))
case("meshgrid", lambda np, x, y: np.meshgrid(x, y), A(2), B(3))
case("meshgrid", lambda np, x, y: np.meshgrid(x, y, indexing="ij", sparse=True), A(2), B(3))
case("copy", lambda np, x: np.copy(x), A(2))
case("astype", lambda np, x: np.astype(x, np.float32), A(2), smooth=False, single=True)
case("astype", lambda np, x: np.astype(x, bool), ZEROS)
case("linspace", lambda np, a, b: np.linspace(a, b, 5), A(), B())
case("linspace", lambda np, a, b: np.linspace(a, b, 3, endpoint=False, axis=-1), A(2), B(2))
case("linspace", lambda np, a: np.linspace(a, 2.0, 1), A())
case("logspace", lambda np, a: np.logspace(a, 2.0, 4, base=2.0), A())
case("vander", lambda np, x: np.vander(x, 3), A(3))
case("vander", lambda np, x: np.vander(x, increasing=True), ZEROS[1], jax=JAX_NAN)


# --- indexing --------------------------------------------------------------------------------------------------------------
def _has_list(key: Any) -> bool:
    return isinstance(key, tuple) and any(isinstance(k, list) for k in key)


_KEYS: list[Any] = [
    0, -1, (1, 2), (..., 1), (None, 1), np.s_[1:], np.s_[::-1], np.s_[:, ::-2], np.s_[3:0:-2, 1:], np.s_[5:2], np.s_[:0], ..., (),
    None, np.s_[:, None, 1:], np.s_[..., None], np.s_[:, :, 1], np.s_[-2:, ..., -3:-1], I3, [0, 1], I22, np.s_[:, I3], np.s_[..., I22],
    (I3, I3), (I3, 1), (0, I3), np.s_[I3, :, [0, 1, 1]], np.s_[:, I3, I3 - 1], np.s_[None, I3, :, 0], np.s_[I22, None, I22], np.s_[:, 1, None, [0, 1]],
    np.s_[::2, I3[:, None], [1, 0]], np.s_[[], 1], np.s_[np.array(1)], np.s_[1:, I3, ::-1], np.s_[0, :, I3], np.s_[[[0], [1]], [1, 2]], np.int64(2),
]  # fmt: skip
for _k in _KEYS:
    case("getitem", lambda np, x, k=_k: x[k], A(4, 3, 3), jax=LISTS if isinstance(_k, list) or _has_list(_k) else True)
_M3 = A(4, 3, 3) > 0
for _k in (
    _M3,
    _M3[:, 0, 0],
    np.s_[:, _M3[0, 0]],
    np.s_[..., _M3[0]],
    np.s_[_M3[:, 0, 0], 1:, [0]],
    np.array(True),
    np.s_[_M3[:, :, 0], 0],
):
    case("getitem", lambda np, x, k=_k: x[k], A(4, 3, 3))
case("getitem", lambda np, x: x[x > 0], A(2, 3), needs="values", jax=NO_JAX)
case("getitem", lambda np, x: x[np.argmax(x, axis=1)[0]], A(3, 3))
case("getitem", lambda np, x: x[np.argsort(x[0]), :, np.argmin(x[1, 0])], A(3, 3, 3))
case("getitem", lambda np, x, i: x[i], A(4, 2), I22)
case("getitem", lambda np, x, i: x[:, i], A(2, 3, 2), np.array(-1))
case("take", lambda np, x, i: np.take(x, i), A(2, 3), I22)
case("take", lambda np, x, i: np.take(x, i, axis=1), A(2, 3, 2), I3)
case("take", lambda np, x: np.take(x, 1, axis=-1), A(2, 3))
case("take", lambda np, x: np.take(x, np.array([7, -9]), mode="clip"), A(3))
case("take", lambda np, x: np.take(x, np.array([7, -2]), mode="wrap"), A(3))
case("take_along_axis", lambda np, x, i: np.take_along_axis(x, i, axis=1), A(2, 3), np.array([[0, -1], [1, 1]]))
case("take_along_axis", lambda np, x, i: np.take_along_axis(x, i, axis=0), A(3, 2), np.array([[1, 2]]))
case("take_along_axis", lambda np, x, i: np.take_along_axis(x, i, axis=None), A(3, 2), I3)
case("compress", lambda np, x: np.compress([True, False, True], x, axis=1), A(2, 3), jax=LISTS)
case("extract", lambda np, x: np.extract(MASK, x), A(2, 3), jax=NO_JAX)
case("sort", lambda np, x: np.sort(x), A(2, 4))
case("sort", lambda np, x: np.sort(x, axis=0), A(3, 2))
case("sort", lambda np, x: np.sort(x, axis=None), A(2, 2))
case("sort", lambda np, x: np.sort(x, axis=1), TIED, smooth=False)
case("argsort", lambda np, x: np.argsort(x, axis=0), A(3, 2))
case("argsort", lambda np, x: np.argsort(x, kind="stable"), TIED, jax=NO_JAX)
case("searchsorted", lambda np, a, v: np.searchsorted(a, v), SORTED, A(2, 3))
case("searchsorted", lambda np, a: np.searchsorted(a, a, side="right"), SORTED)
case("searchsorted", lambda np, a: np.searchsorted(a, 0.1), SORTED)
case("digitize", lambda np, v, a: np.digitize(v, a), A(2, 3), SORTED)
case("unique", lambda np, x: np.unique(x), TIED, needs="values", smooth=False, jax=NO_JAX)
case("nonzero", lambda np, x: np.nonzero(x), ZEROS, needs="values", jax=NO_JAX)
case("flatnonzero", lambda np, x: np.flatnonzero(x), ZEROS, needs="values", jax=NO_JAX)
case("argwhere", lambda np, x: np.argwhere(x), ZEROS, needs="values", jax=NO_JAX)
for _k in (-2, -1, 0, 1, 3):
    case("triu", lambda np, x, k=_k: np.triu(x, k), A(3, 4))
    case("tril", lambda np, x, k=_k: np.tril(x, k), A(2, 3, 2))
    case("diag", lambda np, x, k=_k: np.diag(x, k), A(3, 4))
    case("diag", lambda np, x, k=_k: np.diag(x, k), A(3))
    case("diagonal", lambda np, x, k=_k: np.diagonal(x, k, 1, 2), A(2, 3, 3))
    case("trace", lambda np, x, k=_k: np.trace(x, k), A(3, 2))
case("diagonal", lambda np, x: np.diagonal(x, axis1=-1, axis2=0), A(2, 3, 2))
case("diagflat", lambda np, x: np.diagflat(x, -1), A(2, 2))
case("diag", lambda np, x: np.diag(x), A(0))
case("trace", lambda np, x: np.trace(x, axis1=0, axis2=2), A(2, 3, 2))

# --- products --------------------------------------------------------------------------------------------------------------
for _a, _b in (((2, 3), (3, 2)), ((3,), (3, 2)), ((2, 3), (3,)), ((3,), (3,))):
    for _f in ("dot", "matmul"):
        case(_f, lambda np, x, y, f=_f: getattr(np, f)(x, y), A(*_a), B(*_b))
for _a, _b in (
    ((2, 2, 3), (3, 2)),
    ((1, 2, 3), (2, 3, 1)),
    ((3,), (2, 3, 2)),
    ((2, 1, 2, 3), (2, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 2, 3), (3,)),
):
    case("matmul", lambda np, x, y: np.matmul(x, y), A(*_a), B(*_b))
    case("matmul", lambda np, x, y: x @ y, A(*_a), B(*_b), jax=METHOD)
case("dot", lambda np, x, y: np.dot(x, y), A(2, 2, 3), B(2, 3, 2))
case("dot", lambda np, x, y: np.dot(x, y), A(), B(2, 3))
case("dot", lambda np, x: np.dot(np.ones((2, 3)), x), A(3, 1))
case("vdot", lambda np, x, y: np.vdot(x, y), A(2, 3), B(2, 3))
case("vecdot", lambda np, x, y: np.vecdot(x, y, axis=0), A(2, 3), B(2, 3))
case("inner", lambda np, x, y: np.inner(x, y), A(2, 3), B(2, 2, 3))
case("inner", lambda np, x, y: np.inner(x, y), A(3), B(3))
case("outer", lambda np, x, y: np.outer(x, y), A(2, 2), B(3))
case("kron", lambda np, x, y: np.kron(x, y), A(2, 2), B(1, 3))
case("kron", lambda np, x, y: np.kron(x, y), A(2), B(2, 2))
case("tensordot", lambda np, x, y: np.tensordot(x, y), A(2, 2, 3), B(2, 3, 2))
case("tensordot", lambda np, x, y: np.tensordot(x, y, axes=0), A(2), B(2, 2))
case("tensordot", lambda np, x, y: np.tensordot(x, y, axes=([0, -1], [1, 0])), A(2, 2, 3), B(3, 2))
case("tensordot", lambda np, x, y: np.tensordot(x, y, axes=(1, 0)), A(2, 3), B(3, 2))
for _spec, *_shapes in (
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ba,bc", (2, 3), (2, 2)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->j", (2, 2, 3)), ("iji->j", (2, 3, 2)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij", (2, 3)), ("ba", (2, 3)), ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("...ij,...jk", (2, 2, 3), (1, 3, 2)),
    ("i...->...", (2, 3)), ("...ii->...i", (2, 3, 3)), ("i,j,k->ijk", (2,), (3,), (2,)), ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), ("ij,ij,ij->", (2, 3), (2, 3), (2, 3)),
    ("i,i,i", (3,), (3,), (3,)), ("ij,ij->ij", (1, 3), (2, 3)), ("ij,j->i", (2, 1), (3,)), (",ij->ij", (), (2, 2)), ("ii,jj->ij", (2, 2), (3, 3)), ("ij,kl->", (2, 2), (2, 2)),
    ("i,i->", (0,), (0,)), ("bhqd,bhkd->bhqk", (1, 2, 2, 3), (1, 2, 2, 3)), ("ij,jk,kl,lm->im", (2, 2), (2, 2), (2, 2), (2, 2)), ("ij , jk -> ik", (2, 3), (3, 2)),
):  # fmt: skip
    _broadcast = _spec in ("ij,ij->ij", "ij,j->i")
    case(
        "einsum",
        lambda np, *xs, spec=_spec: np.einsum(spec, *xs),
        *[A(*s) if k % 2 else B(*s) for k, s in enumerate(_shapes)],
        jax=NO_JAX if _broadcast else True,
    )
case("einsum", lambda np, x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), A(2, 3), B(3, 2))
case("einsum", lambda np, x, y: np.einsum(x, [0, 1], y, [1, 2]), A(2, 3), B(3, 2))
case("cross", lambda np, x, y: np.cross(x, y), A(3), B(3))
case("cross", lambda np, x, y: np.cross(x, y), A(2, 3), B(3))
case("cross", lambda np, x, y: np.cross(x, y, axisa=0, axisb=1, axisc=0), A(3, 2), B(2, 3))
case("cross", lambda np, x, y: np.cross(x, y, axis=0), A(3, 2), B(3, 2))
for _n, _m in ((4, 3), (3, 4), (4, 2), (2, 5), (3, 3), (1, 1), (5, 4)):
    for _mode in ("full", "same", "valid"):
        case("convolve", lambda np, x, y, mode=_mode: np.convolve(x, y, mode), A(_n), B(_m))
        case(
            "correlate",
            lambda np, x, y, mode=_mode: np.correlate(x, y, mode),
            A(_n),
            B(_m),
            jax=NO_JAX if _m > _n and _mode == "same" else True,
        )

# --- calculus and statistics -----------------------------------------------------------------------------------------------
case("interp", lambda np, x, a, f: np.interp(x, a, f), A(2, 3), SORTED, B(5))
case("interp", lambda np, x, a, f: np.interp(x, a, f, left=-1.0, right=2.0), np.array([-3.0, 0.0, 3.0]), SORTED, B(5))
case("interp", lambda np, x, f: np.interp(x, SORTED, f, period=4.5), np.array([-4.0, 0.1, 5.0]), B(5))
case("interp", lambda np, x: np.interp(x, [0.0], [1.0]), A(3), jax=LISTS)
case("interp", lambda np, x, f: np.interp(x, SORTED, f), SORTED, B(5), smooth=False, jax=NO_TIE_RULE)
case("gradient", lambda np, x: np.gradient(x), A(5))
case("gradient", lambda np, x: np.gradient(x, 0.5), A(3, 3))
case("gradient", lambda np, x, h: np.gradient(x, h, axis=1), A(2, 5), SORTED, jax=NO_JAX)
case("gradient", lambda np, x: np.gradient(x, 0.3, 0.2, edge_order=2), A(3, 4), jax=NO_JAX)
case("gradient", lambda np, x, h: np.gradient(x, h, edge_order=2), A(5), SORTED, jax=NO_JAX)
case("trapezoid", lambda np, y: np.trapezoid(y, dx=0.5), A(2, 4))
case("trapezoid", lambda np, y, x: np.trapezoid(y, x), A(2, 5), SORTED)
case("trapezoid", lambda np, y, x: np.trapezoid(y, x, axis=0), A(3, 2), A(3, 2))
case("polyval", lambda np, p, x: np.polyval(p, x), A(3), B(2, 2))
case("cov", lambda np, x: np.cov(x), A(3, 4))
case("cov", lambda np, x, y: np.cov(x, y, bias=True), A(4), B(4))
case("cov", lambda np, x: np.cov(x, rowvar=False, ddof=0), A(4, 2))
case("cov", lambda np, x: np.cov(x, fweights=np.array([1, 2, 1, 3]), aweights=np.array([0.5, 1.0, 0.25, 1.0])), A(2, 4))
case("corrcoef", lambda np, x: np.corrcoef(x)[0, 1:], A(3, 4))
case("array_equal", lambda np, x: np.array_equal(x, x), A(2, 3))
case("array_equiv", lambda np, x: np.array_equiv(x, x[0]), np.ones((2, 2)))
case("iscomplexobj", lambda np, x: np.iscomplexobj(x) + 0 * x, A(2))
case("isclose", lambda np, x: np.isclose(x, x + 1e-9), A(2, 3))
case("allclose", lambda np, x: np.allclose(x, x + 1e-9), A(2, 3))
case("ndim", lambda np, x: np.ndim(x) * x, A(2, 3))
case("shape", lambda np, x: np.shape(x)[1] * x, A(2, 3))
case("size", lambda np, x: np.size(x) * np.size(x, 0) * x, A(2, 3))

# --- methods ---------------------------------------------------------------------------------------------------------------
_METHODS: dict[str, list[Callable[[Any], Any]]] = {
    "sum": [lambda x: x.sum(), lambda x: x.sum(1, keepdims=True)],
    "mean": [lambda x: x.mean(axis=0)],
    "prod": [lambda x: x.prod(axis=0)],
    "max": [lambda x: x.max(), lambda x: x.max(axis=1)],
    "min": [lambda x: x.min(axis=0)],
    "var": [lambda x: x.var(axis=1, ddof=1)],
    "std": [lambda x: x.std()],
    "cumsum": [lambda x: x.cumsum(axis=1)],
    "cumprod": [lambda x: x.cumprod(0)],
    "any": [lambda x: (x > 0).any(axis=1)],
    "all": [lambda x: (x > -9).all()],
    "argmax": [lambda x: x.argmax(axis=1)],
    "argmin": [lambda x: x.argmin()],
    "argsort": [lambda x: x.argsort(axis=0)],
    "reshape": [lambda x: x.reshape(3, 2), lambda x: x.reshape((6,)), lambda x: x.reshape(-1)],
    "ravel": [lambda x: x.ravel()],
    "flatten": [lambda x: x.flatten()],
    "T": [lambda x: x.T],
    "mT": [lambda x: x.mT],
    "transpose": [lambda x: x.transpose(), lambda x: x.transpose(1, 0), lambda x: x.transpose((1, 0))],
    "swapaxes": [lambda x: x.swapaxes(0, 1)],
    "squeeze": [lambda x: x[:1].squeeze(0)],
    "repeat": [lambda x: x.repeat(2, axis=1)],
    "take": [lambda x: x.take(I3, axis=1)],
    "diagonal": [lambda x: x.diagonal()],
    "trace": [lambda x: x.trace()],
    "dot": [lambda x: x.dot(np.ones(3))],
    "astype": [lambda x: x.astype(np.float64), lambda x: x.astype(int)],
    "copy": [lambda x: x.copy()],
    "clip": [lambda x: x.clip(-0.5, 0.5)],
    "round": [lambda x: x.round(1)],
    "conj": [lambda x: x.conj()],
    "searchsorted": [lambda x: x[0].cumsum().searchsorted(0.2) + 0 * x],
}
for _f, _calls in _METHODS.items():
    for _call in _calls:  # a method of JAX's is its function; ours are told by NumPy and by difference quotients
        case(f".{_f}", lambda np, x, call=_call: call(x), A(2, 3), jax=METHOD, smooth=_f != "round")
case(".nonzero", lambda np, x: x.nonzero(), ZEROS, needs="values", jax=NO_JAX)
case(".item", lambda np, x: x * x.argmax().item(), A(2, 3), needs="values", jax=NO_JAX)
case(".compress", lambda np, x: x.compress([True, False, True], axis=1), A(2, 3), jax=LISTS)

# --- integers: the dtypes that NumPy gives ----------------------------------------------------------------------------------------
for _f in (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",
    "std",
    "ptp",
    "median",
    "cumsum",
    "cumprod",
    "argmax",
    "any",
    "all",
    "average",
    "count_nonzero",
    "sort",
    "nansum",
    "nanmax",
):
    case(_f, lambda np, i, f=_f: getattr(np, f)(i), INTS)
    case(_f, lambda np, i, f=_f: getattr(np, f)(i.astype("int8")), INTS)
    if _f not in ("ptp",):
        case(_f, lambda np, i, f=_f: getattr(np, f)(i > 1), INTS, jax=_f not in ("var", "std", "sort", "average"))
    case(_f, lambda np, x, f=_f: getattr(np, f)(x.astype("float32")), A(2, 3), smooth=False, single=True)
for _f in ("dot", "matmul", "outer", "kron", "inner"):
    case(_f, lambda np, i, f=_f: getattr(np, f)(i[0], i[1].astype("int8")), INTS)
case("einsum", lambda np, i: np.einsum("ij->j", i.astype("int16")), INTS)
case("quantile", lambda np, i: np.quantile(i, 0.3), INTS)
case("percentile", lambda np, x: np.percentile(x.astype("float32"), 30), A(2, 3), smooth=False, single=True)
case("cov", lambda np, i: np.cov(i), INTS)
case("diff", lambda np, i: np.diff(i), INTS)
case("interp", lambda np, x: np.interp(x.astype("float32"), [0, 1], [2, 5]), A(2, 3), smooth=False, jax=LISTS)
case("concatenate", lambda np, i, x: np.concatenate([i, x]), INTS, A(1, 3))
