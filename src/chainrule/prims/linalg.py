"""Matrix factorisations and equations.  Every row takes leading axes: a stack of matrices in, a stack of results out.

NumPy's `cholesky` and `eigh` read the lower triangle only, and so do their derivatives here: an element above the diagonal does not
matter.  Where eigenvalues (or singular values) coincide their vectors are not differentiable, and the derivative of the vectors is
nan; that of the values alone is still right wherever it exists.

Sources: Giles (2008), "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"; Golub and
Pereyra (1973) for the pseudoinverse; Murray (2016), "Differentiation of the Cholesky decomposition".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import errors
from chainrule.build.row import JvpRule, Operand, Row, Tangent, TransposeRule, TypeRule, Unknown, Zero
from chainrule.build.value import Value
from chainrule.ir.graph import Array, Params
from chainrule.ir.types import F64, ArrayType, DType
from chainrule.prims.kinds import batched, plus, size_of
from chainrule.prims.linear import LETTERS, contract, reshape

# --- a few words for formulas ---------------------------------------------------------------------------------------------------


def turned(x: Value) -> Value:
    """Transpose of each matrix."""
    every = LETTERS[: x.ndim]
    return contract(x, spec=f"{every}->{every[:-2]}{every[-1]}{every[-2]}")


def inner(x: Value, y: Value) -> Value:
    """Trace of the product of each pair of matrices."""
    lead = LETTERS[26 : 24 + x.ndim]
    return contract(x, y, spec=f"{lead}ij,{lead}ji->{lead}")


def diagonal(x: Value) -> Value:
    """Diagonal of each square matrix."""
    lead = LETTERS[26 : 24 + x.ndim]
    masked = x * np.eye(x.shape[-1], dtype=x.dtype)
    return contract(masked, spec=f"{lead}ij->{lead}i")


def lower(x: Value, diagonal: float) -> Value:
    """Lower triangle of each square matrix, with the diagonal times a number."""
    n = x.shape[-1]
    return x * (np.tril(np.ones((n, n)), -1) + diagonal * np.eye(n)).astype(x.dtype)


def mirrored(x: Value) -> Value:
    """The symmetric matrix with this lower triangle."""
    return lower(x, 1) + turned(lower(x, 0))


def _gaps(x: Value) -> Value:
    """1 / (x_j - x_i), and 0 on the diagonal."""
    n = x.shape[-1]
    eye = np.eye(n, dtype=x.dtype)
    return 1 / (x[..., None, :] - x[..., :, None] + eye) - eye


# --- types, batching ------------------------------------------------------------------------------------------------------------


def _square(t: ArrayType, name: str) -> tuple[int, ...]:
    if t.rank < 2 or t.shape[-1] != t.shape[-2]:
        raise errors.ShapeError(f"{name} needs square matrices, not {t}")
    return t.shape


def _floats(t: ArrayType) -> DType:
    """dtype that LAPACK computes in."""
    return t.dtype if t.dtype.kind in "fc" else F64


def _real(t: ArrayType) -> DType:
    """dtype of absolute values: singular values, eigenvalues of symmetric matrices."""
    return np.finfo(_floats(t)).dtype


def _square_type(name: str, *cut: int, real: int | None = None) -> TypeRule:
    """Square matrices in; outputs with that many of the last axes cut off, the one numbered `real` real."""

    def rule(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
        t, shape = ts[0], _square(ts[0], name)
        return [ArrayType(_real(t) if k == real else _floats(t), shape[: len(shape) - c]) for k, c in enumerate(cut)]

    return rule


def _solve_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    a, b = ts
    shape = _square(a, "solve")
    if b.rank != a.rank or b.shape[:-1] != shape[:-1]:
        raise errors.ShapeError(f"solve: {a} and {b} do not fit")
    return (ArrayType(np.result_type(_floats(a), _floats(b)), b.shape),)


def _factor_type(ts: Sequence[ArrayType], p: Params) -> tuple[tuple[int, ...], int, int, int]:
    (t,) = ts
    if t.rank < 2:
        raise errors.ShapeError(f"a matrix is needed, not {t}")
    m, n = t.shape[-2:]
    return t.shape[:-2], m, n, min(m, n)


def _qr_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    lead, m, n, k = _factor_type(ts, p)
    d = _floats(ts[0])
    return ArrayType(d, (*lead, m, k)), ArrayType(d, (*lead, k, n))


def _svd_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    lead, m, n, k = _factor_type(ts, p)
    d = _floats(ts[0])
    return ArrayType(d, (*lead, m, k)), ArrayType(_real(ts[0]), (*lead, k)), ArrayType(d, (*lead, k, n))


def _pinv_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    lead, m, n, _ = _factor_type(ts, p)
    return (ArrayType(_floats(ts[0]), (*lead, n, m)),)


def _lstsq_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    a, b = ts
    if a.rank < 2 or b.rank != a.rank or a.shape[:-1] != b.shape[:-1]:
        raise errors.ShapeError(f"lstsq: {a} and {b} do not fit")
    return (ArrayType(np.result_type(_floats(a), _floats(b)), (*a.shape[:-2], a.shape[-1], b.shape[-1])),)


def _row(
    name: str, value: Callable[..., Any], type: TypeRule, jvp: JvpRule, transpose: TransposeRule | None = None, **columns: Any
) -> Row:
    def batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
        n = size_of(xs, mapped)
        return row.all(*[batched(x, m, n) for x, m in zip(xs, mapped, strict=True)], **p)

    row = Row(
        name=name, kind="structured", value=value, type=type, jvp=jvp, transpose=transpose, batch=columns.pop("batch", batch),
        notation=columns.pop("notation", rf"\operatorname{{{{{name}}}}}({{*}})"), python=columns.pop("python", f"np.linalg.{name}"), **columns,
    )  # fmt: skip
    return row


def _one(d: Tangent) -> Value:
    """The tangent of the only operand."""
    assert isinstance(d, Value)
    return d


# --- equations ------------------------------------------------------------------------------------------------------------------


def _solve_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """a x = b, so a dx = db - da x."""
    (a, _), (da, db), (x,) = xs, dxs, ys
    right = db if isinstance(da, Zero) else plus(db, -(da @ x))
    return [right if isinstance(right, Zero) else solve(a, right)]


def _solve_transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    (ct,), a = cts, xs[0]
    if isinstance(a, Unknown):
        raise errors.NotDifferentiableError("solve is not linear in its matrix")
    return [None, None if isinstance(ct, Zero) else solve(turned(a), ct)]


def _solve_batch(xs: Sequence[Value], mapped: Sequence[bool], p: Params) -> Sequence[Value]:
    """One matrix for all examples is factorised once: the examples become further columns."""
    a, b = xs
    n = size_of(xs, mapped)
    if mapped[0]:
        return solve.all(a, batched(b, mapped[1], n))
    lead, (m, k) = LETTERS[26 : 24 + a.ndim], a.shape[-1:] + b.shape[-1:]
    wide = reshape(contract(b, spec=f"z{lead}ij->{lead}izj"), shape=(*a.shape[:-1], n * k))
    x = reshape(solve(a, wide), shape=(*a.shape[:-2], m, n, k))
    return [contract(x, spec=f"{lead}izj->z{lead}ij")]


solve = _row(
    "solve", np.linalg.solve, _solve_type, _solve_jvp, _solve_transpose, batch=_solve_batch, arity=2,
    notation="{0}^{{-1}} {1}", level=5,
)  # fmt: skip
"""x with a x = b; b has columns."""
inv = _row(
    "inv", np.linalg.inv, _square_type("inv", 0), lambda xs, dxs, ys, p: [-(ys[0] @ _one(dxs[0]) @ ys[0])],
    notation="{0}^{{-1}}", level=8,
)  # fmt: skip


def _pinv_value(x: Array, *, rcond: float | None) -> Array:
    return np.linalg.pinv(x, rcond=rcond)  # pyright: ignore[reportArgumentType]


def _pinv_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """At constant rank (Golub and Pereyra 1973, theorem 4.3)."""
    a, da, y = xs[0], _one(dxs[0]), ys[0]
    up, yt = turned(da), turned(y)
    left = y @ yt @ (up - up @ a @ y)
    right = (up - y @ a @ up) @ yt @ y
    return [left + right - y @ da @ y]


pinv = _row("pinv", _pinv_value, _pinv_type, _pinv_jvp, notation="{0}^{{+}}", level=8)
"""Moore-Penrose pseudoinverse; differentiable where the rank does not change."""


def _lstsq_value(a: Array, b: Array, *, rcond: float | None) -> Array:
    if a.ndim == 2:
        return np.linalg.lstsq(a, b, rcond)[0]
    flat = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
    shape = (*a.shape[:-2], a.shape[-1], b.shape[-1])
    return np.array([np.linalg.lstsq(x, y, rcond)[0] for x, y in flat], a.dtype).reshape(shape)


def _lstsq_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """x = a+ b, with the derivative of the pseudoinverse a+."""
    (a, b), (da, db), (x,) = xs, dxs, ys
    y = pinv(a, rcond=p["rcond"])
    dx: Tangent = Zero(x.type) if isinstance(db, Zero) else y @ db
    if not isinstance(da, Zero):
        up, yt = turned(da), turned(y)
        residual = b - a @ x
        along = up @ (yt @ x)
        dx = plus(dx, y @ (yt @ (up @ residual)) + along - y @ (a @ along) - y @ (da @ x))
    return [dx]


lstsq = _row("lstsq", _lstsq_value, _lstsq_type, _lstsq_jvp, arity=2, python="np.linalg.lstsq({0}, {1})[0]")
"""The x of least norm among those that minimise the norm of a x - b; differentiable where the rank of a does not change."""


# --- determinants -----------------------------------------------------------------------------------------------------------------


def _range(n: int) -> Any:
    return np.arange(n)


def _others(s: Array, *without: Any) -> Array:
    """Products of the elements of s, for each of the indices (or pairs of indices) leaving those out."""
    n = s.shape[-1]
    keep: Any = np.all([_range(n) != w[..., None] for w in np.broadcast_arrays(*without)], axis=0)
    lead = s.reshape(*s.shape[:-1], *[1] * (keep.ndim - 1), n)
    return np.where(keep, lead, np.ones((), s.dtype)).prod(-1)


def _signed_svd(a: Array) -> tuple[Array, Array, Array, Array]:
    """a = u s v^T as (u^T, s, v), and det(u) det(v)."""
    u, s, vt = np.linalg.svd(a)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return np.swapaxes(u, -1, -2), s, np.swapaxes(vt, -1, -2), sign[..., None, None]


def _adjugate_value(a: Array) -> Array:
    """v (products of the other singular values) u^T det(u) det(v): no division, so right for singular matrices too."""
    ut, s, v, sign = _signed_svd(a)
    return (sign * v * _others(s, _range(s.shape[-1]))[..., None, :]) @ ut


def _adjugate_slope_value(a: Array, e: Array) -> Array:
    """In the frame of the singular vectors: sum_k f_kk s_(others) on the diagonal, -f_ij s_(others) elsewhere."""
    ut, s, v, sign = _signed_svd(a)
    n = s.shape[-1]
    f = ut @ e @ v
    i = _range(n)
    pairs = _others(s, i[:, None], i[None, :]) * (1 - np.eye(n, dtype=s.dtype))
    on = (pairs @ np.diagonal(f, axis1=-2, axis2=-1)[..., None])[..., 0]
    inside = np.eye(n, dtype=s.dtype) * on[..., None] - pairs * f
    return sign * v @ inside @ ut


def _adjugate_slope_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    return (ArrayType(_floats(ts[0]), _square(ts[0], "det")),)


def _adjugate_slope_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """Linear in e; in a, by way of the inverse: the slope is det(a) (tr(x e) x - x e x), x = 1/a."""
    (a, e), (da, de) = xs, dxs
    out: Tangent = Zero(ys[0].type) if isinstance(de, Zero) else adjugate_slope(a, de)
    if isinstance(da, Zero):
        return [out]
    x = inv(a)
    xe, xd = x @ e, x @ da
    dx = -(xd @ x)
    dxe = -(xd @ xe)
    first = _times(inner(x, e), x) - xe @ x
    second = _times(inner(dx, e), x) + _times(inner(x, e), dx) - dxe @ x - xe @ dx
    return [plus(out, _times(det(a), _times(inner(x, da), first) + second))]


def _times(scalar: Value, matrix: Value) -> Value:
    return scalar[..., None, None] * matrix


def _adjugate_slope_transpose(cts: Sequence[Tangent], xs: Sequence[Operand], p: Params) -> Sequence[Tangent | None]:
    (ct,), a = cts, xs[0]
    if isinstance(a, Unknown):
        raise errors.NotDifferentiableError("the derivative of det is not linear in the matrix")
    return [None, None if isinstance(ct, Zero) else turned(adjugate_slope(a, turned(ct)))]


adjugate_slope = _row(
    "adjugate_slope", _adjugate_slope_value, _adjugate_slope_type, _adjugate_slope_jvp, _adjugate_slope_transpose, arity=2, python="",
)  # fmt: skip
"""Derivative of the adjugate of a in direction e."""
adjugate = _row(
    "adjugate", _adjugate_value, _square_type("det", 0), lambda xs, dxs, ys, p: [adjugate_slope(xs[0], _one(dxs[0]))],
    notation=r"\operatorname{{adj}}({0})", python="",
)  # fmt: skip
"""det(a) times the inverse of a, for singular matrices too."""
det = _row(
    "det", np.linalg.det, _square_type("det", 2), lambda xs, dxs, ys, p: [inner(adjugate(xs[0]), _one(dxs[0]))],
    notation=r"\det {0}",
)  # fmt: skip


def _slogdet_value(a: Array) -> tuple[Array, Array]:
    sign, log = np.linalg.slogdet(a)
    return sign, log


def _slogdet_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    return [Zero(ys[0].type), inner(inv(xs[0]), _one(dxs[0]))]


slogdet = _row("slogdet", _slogdet_value, _square_type("slogdet", 2, 2, real=1), _slogdet_jvp, notation=r"\ln |\det {0}|")


# --- factorisations -----------------------------------------------------------------------------------------------------------------


def _cholesky_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """dl = l F(l^-1 da l^-T), F the lower triangle with half the diagonal (Murray 2016, equation 8)."""
    y = ys[0]
    half = solve(y, mirrored(_one(dxs[0])))
    return [y @ lower(turned(solve(y, turned(half))), 0.5)]


cholesky = _row("cholesky", np.linalg.cholesky, _square_type("cholesky", 0), _cholesky_jvp)


def _eigh_value(a: Array) -> tuple[Array, Array]:
    w, v = np.linalg.eigh(a)
    return w, v


def _eigh_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """dw = diag(v^T da v), dv = v (g o v^T da v) with g_ij = 1 / (w_j - w_i)."""
    w, v = ys
    moved = turned(v) @ mirrored(_one(dxs[0])) @ v
    return [diagonal(moved), v @ (_gaps(w) * moved)]


eigh = _row("eigh", _eigh_value, _square_type("eigh", 1, 0, real=0), _eigh_jvp)
"""Eigenvalues in ascending order and eigenvectors of a symmetric matrix, of which the lower triangle is read."""


def _qr_value(a: Array) -> tuple[Array, Array]:
    q, r = np.linalg.qr(a)
    return q, r


def _qr_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    (a,), (q, r) = xs, ys
    if a.shape[-1] > a.shape[-2]:
        raise errors.NotDifferentiableError(
            f"qr of a wide matrix ({a.type}) has no derivative here; factorise its leading columns"
        )
    da = turned(solve(turned(r), turned(_one(dxs[0]))))  # da r^-1
    inside = turned(q) @ da
    low = lower(inside, 0)
    spin = low - turned(low)
    return [q @ (spin - inside) + da, (inside - spin) @ r]


qr = _row("qr", _qr_value, _qr_type, _qr_jvp)
"""Reduced QR factors."""


def _svd_value(a: Array) -> tuple[Array, Array, Array]:
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    return u, s, vt


def _svd_jvp(xs: Sequence[Value], dxs: Sequence[Tangent], ys: Sequence[Value], p: Params) -> Sequence[Tangent]:
    """With f = u^T da v: ds = diag(f), du = u (g o (f s + s f^T)) and dv = v (g o (s f + f^T s)), g_ij = 1 / (s_j^2 - s_i^2)."""
    u, s, vt = ys
    da, v = _one(dxs[0]), turned(vt)
    f = turned(u) @ da @ v
    g, row = _gaps(s * s), s[..., None, :]
    fs, sf = f * row, s[..., :, None] * f
    du, dv = u @ (g * (fs + turned(fs))), v @ (g * (sf + turned(sf)))
    if u.shape[-2] > u.shape[-1]:
        beyond = da @ v
        du = du + (beyond - u @ (turned(u) @ beyond)) * (1 / row)
    if v.shape[-2] > v.shape[-1]:
        beyond = turned(da) @ u
        dv = dv + (beyond - v @ (vt @ beyond)) * (1 / row)
    return [du, diagonal(f), turned(dv)]


svd = _row("svd", _svd_value, _svd_type, _svd_jvp, python="np.linalg.svd({0}, full_matrices=False)")
"""Reduced singular value decomposition (u, s, v^T)."""


def _rank_type(ts: Sequence[ArrayType], p: Params) -> Sequence[ArrayType]:
    return (ArrayType(np.dtype(np.int64), _factor_type(ts, p)[0]),)


def _rank_value(a: Array, *, tol: float | None) -> Array:
    return np.asarray(np.linalg.matrix_rank(a, tol=tol), np.int64)


matrix_rank = _row("matrix_rank", _rank_value, _rank_type, lambda xs, dxs, ys, p: [Zero(ys[0].type)])
