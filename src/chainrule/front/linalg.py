"""numpy.linalg on traced values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.linalg import _linalg as results  # pyright: ignore[reportPrivateUsage]

from chainrule import errors
from chainrule.build.value import FUNCTIONS, Value
from chainrule.front.operands import broadcast, broadcast_shape, implements, no_out, retyped, stacked, value
from chainrule.prims import linalg as rows
from chainrule.prims.linear import reshape

Result: Any = results
linalg: Any = np.linalg


def matrix(a: Any, name: str) -> Value:
    """A stack of matrices of a real floating dtype."""
    x = value(stacked(a))
    if x.ndim < 2:
        raise errors.ShapeError(f"np.linalg.{name} needs a matrix, not {x.type}")
    return _floating(x, name)


def _floating(x: Value, name: str) -> Value:
    kind = x.dtype.kind
    if kind == "c" or x.dtype == np.float16:
        raise errors.DtypeError(f"np.linalg.{name} is traced for float32 and float64 only, not for {x.dtype.name}")
    return x if kind == "f" else retyped(x, np.dtype(np.float64))


def _pair(a: Value, b: Value) -> tuple[Value, Value]:
    dtype = np.result_type(a.dtype, b.dtype)
    return retyped(a, dtype), retyped(b, dtype)


# --- equations --------------------------------------------------------------------------------------------------------


@implements(linalg.solve)
def solve(a: Any, b: Any) -> Value:
    """x with a x = b; a one-dimensional b is one vector, any other a stack of matrices."""
    a, b = _pair(matrix(a, "solve"), _floating(value(stacked(b)), "solve"))
    vector = b.ndim == 1
    b = reshape(b, shape=(*b.shape, 1)) if vector else b
    lead = broadcast_shape([a.shape[:-2], b.shape[:-2]])
    x = rows.solve(broadcast(a, (*lead, *a.shape[-2:])), broadcast(b, (*lead, *b.shape[-2:])))
    return reshape(x, shape=x.shape[:-1]) if vector else x


@implements(linalg.inv)
def inv(a: Any) -> Value:
    """Inverse."""
    return rows.inv(matrix(a, "inv"))


@implements(linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Value:
    """Pseudoinverse."""
    _only(not hermitian, "pinv", "hermitian=False")
    limit = rcond if rcond is not None else rtol if isinstance(rtol, int | float) else None
    x = matrix(a, "pinv")
    return rows.pinv(x, rcond=float(1e-15 if limit is None else limit) if rtol is None or limit is not None else _rtol(x))


def _rtol(x: Value) -> float:
    return float(max(x.shape[-2:]) * np.finfo(x.dtype).eps)


def _only(ok: bool, name: str, what: str) -> None:
    if not ok:
        raise errors.NotDifferentiableError(f"np.linalg.{name} is traced with {what} only")


@implements(linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Value, Value, Value, Value]:
    """Least squares: (x, sums of squared residuals, rank, singular values).

    The residuals are those of a matrix of full column rank: empty for others of which that is known.
    """
    a, b = _pair(matrix(a, "lstsq"), _floating(value(stacked(b)), "lstsq"))
    vector = b.ndim == 1
    columns = reshape(b, shape=(*b.shape, 1)) if vector else b
    limit = None if rcond is None else float(rcond)
    x = rows.lstsq(a, columns, rcond=limit)
    s = svdvals(a)
    rank = FUNCTIONS[np.sum](s > (_rtol(a) if limit is None else limit) * s[..., :1])
    full = a.shape[0] > a.shape[1] and (rank.data is None or int(rank.full) == a.shape[1])
    residual = FUNCTIONS[np.sum]((columns - a @ x) ** 2, 0) if full else value(np.zeros(0, a.dtype))
    return (reshape(x, shape=x.shape[:-1]) if vector else x), residual, retyped(rank, np.dtype(np.int32)), s


# --- determinants, factorisations -------------------------------------------------------------------------------------


@implements(linalg.det)
def det(a: Any) -> Value:
    """Determinant."""
    return rows.det(matrix(a, "det"))


@implements(linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Sign, and logarithm of the absolute value, of the determinant."""
    return Result.SlogdetResult(*rows.slogdet.all(matrix(a, "slogdet")))


@implements(linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Value:
    """Lower (or upper) triangular factor."""
    x = matrix(a, "cholesky")
    return rows.turned(rows.cholesky(rows.turned(x))) if upper else rows.cholesky(x)


@implements(linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    x = matrix(a, "eigh")
    return Result.EighResult(*rows.eigh.all(rows.turned(x) if UPLO.upper() == "U" else x))


@implements(linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Value:
    """Eigenvalues of symmetric matrices."""
    return eigh(a, UPLO)[0]


@implements(linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Reduced QR factors."""
    _only(mode in ("reduced", "r"), "qr", 'mode="reduced" or mode="r"')
    q, r = rows.qr.all(matrix(a, "qr"))
    return r if mode == "r" else Result.QRResult(q, r)


@implements(linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Singular value decomposition."""
    x = matrix(a, "svd")
    if compute_uv:
        _only(
            not full_matrices or x.shape[-1] == x.shape[-2],
            "svd",
            "full_matrices=False (vectors of no singular value are arbitrary)",
        )
        _only(not hermitian, "svd", "hermitian=False")
    u, s, vt = rows.svd.all(x)
    return Result.SVDResult(u, s, vt) if compute_uv else s


@implements(linalg.svdvals)
def svdvals(a: Any, /) -> Value:
    """Singular values, largest first."""
    return rows.svd.all(matrix(a, "svdvals"))[1]


@implements(linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Value:
    """Number of singular values that are not negligible."""
    _only(not hermitian and rtol is None, "matrix_rank", "hermitian=False and without rtol")
    return rows.matrix_rank(matrix(A, "matrix_rank"), tol=None if tol is None else float(tol))


# --- norms ------------------------------------------------------------------------------------------------------------


def _root(total: Value, p: float) -> Value:
    """The p-th root, with derivative 0 at 0: the subgradient of least norm."""
    where: Callable[..., Value] = FUNCTIONS[np.where]
    zero = total == 0
    safe = where(zero, np.ones((), total.dtype), total)
    return where(zero, np.zeros((), total.dtype), np.sqrt(safe) if p == 2 else safe ** (1 / p))  # pyright: ignore[reportArgumentType, reportCallIssue]


def _vector_norm(x: Value, ord: Any, axis: Any, keepdims: bool) -> Value:
    sum, size = FUNCTIONS[np.sum], abs(x)
    if ord is None or ord == 2:
        return _root(sum(x * x, axis=axis, keepdims=keepdims), 2)
    if ord == np.inf:
        return FUNCTIONS[np.max](size, axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return FUNCTIONS[np.min](size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return FUNCTIONS[np.astype](sum(x != 0, axis=axis, keepdims=keepdims), x.dtype)
    if ord == 1:
        return sum(size, axis=axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    return _root(sum(size ** float(ord), axis=axis, keepdims=keepdims), float(ord))


def _matrix_norm(x: Value, ord: Any, axes: tuple[int, int], keepdims: bool) -> Value:
    r, c = (k % x.ndim for k in axes)
    if r == c:
        raise ValueError("Duplicate axes given.")
    if ord in (None, "fro", "f"):
        return _vector_norm(x, 2, (r, c), keepdims)
    y: Value = FUNCTIONS[np.moveaxis](x, (r, c), (-2, -1))
    most, least, sum = FUNCTIONS[np.max], FUNCTIONS[np.min], FUNCTIONS[np.sum]
    if ord in (1, -1, np.inf, -np.inf):
        sums = sum(abs(y), axis=-2 if abs(ord) == 1 else -1)
        out = (most if ord > 0 else least)(sums, axis=-1)
    elif ord in (2, -2, "nuc"):
        s = svdvals(y)
        out = sum(s, axis=-1) if ord == "nuc" else s[..., 0] if ord == 2 else s[..., -1]
    else:
        raise ValueError(f"Invalid norm order {ord!r} for matrices.")
    return reshape(out, shape=tuple([1 if k in (r, c) else n for k, n in enumerate(x.shape)])) if keepdims else out


@implements(linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Value:
    """Norm of vectors or matrices; at 0 the derivative is 0, a subgradient."""
    x = _floating(value(stacked(x)), "norm")
    if axis is None:
        if ord is None:
            return _vector_norm(x, 2, None, keepdims)
        axis = tuple(range(x.ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, (axes[0], axes[1]), keepdims)
    raise ValueError("Improper number of dimensions to norm.")


@implements(linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Value:
    """Norm of vectors, of all elements by default."""
    return _vector_norm(_floating(value(stacked(x)), "vector_norm"), ord, axis, keepdims)


@implements(linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Value:
    """Norm of the matrices in the last two axes."""
    return _matrix_norm(matrix(x, "matrix_norm"), ord, (-2, -1), keepdims)


@implements(linalg.cond)
def cond(x: Any, p: Any = None) -> Value:
    """Condition number: norm times norm of the inverse."""
    x = matrix(x, "cond")
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return norm(x, p, axis=(-2, -1)) * norm(inv(x), p, axis=(-2, -1))


# --- products ---------------------------------------------------------------------------------------------------------


@implements(linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Value:
    """a to a whole power, by repeated squaring."""
    x, n = value(stacked(a)), n.__index__()
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise errors.ShapeError(f"matrix_power needs square matrices, not {x.type}")
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        return broadcast(value(np.eye(x.shape[-1], dtype=x.dtype)), x.shape)
    out: Value | None = None
    while n:
        if n & 1:
            out = x if out is None else out @ x
        n >>= 1
        x = x @ x if n else x
    assert out is not None
    return out


@implements(linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Value:
    """Product of several matrices, in the order that costs least; the first and the last may be vectors."""
    no_out(out)
    xs = [value(stacked(x)) for x in arrays]
    if len(xs) < 2:
        raise ValueError("Expecting at least two arrays.")
    first, last = xs[0].ndim == 1, xs[-1].ndim == 1
    xs[0] = reshape(xs[0], shape=(1, *xs[0].shape)) if first else xs[0]
    xs[-1] = reshape(xs[-1], shape=(*xs[-1].shape, 1)) if last else xs[-1]
    if any(x.ndim != 2 for x in xs):
        raise errors.ShapeError("multi_dot: each array but the first and last has two axes")
    y = _cheapest(xs, [x.shape[0] for x in xs] + [xs[-1].shape[1]])
    return reshape(y, shape=y.shape[int(first) : 2 - int(last)])


def _cheapest(xs: Sequence[Value], sizes: Sequence[int]) -> Value:
    """The matrix chain problem, by dynamic programming over intervals."""
    n = len(xs)
    cost = {(i, i + 1): 0 for i in range(n)}
    cut: dict[tuple[int, int], int] = {}
    for width in range(2, n + 1):
        for i in range(n - width + 1):
            j = i + width
            prices = {k: cost[i, k] + cost[k, j] + sizes[i] * sizes[k] * sizes[j] for k in range(i + 1, j)}
            cut[i, j] = min(prices, key=lambda k: prices[k])
            cost[i, j] = prices[cut[i, j]]

    def product(i: int, j: int) -> Value:
        return xs[i] if j == i + 1 else product(i, cut[i, j]) @ product(cut[i, j], j)

    return product(0, n)


# --- what numpy.linalg calls by names of its own ------------------------------------------------------------------------


@implements(linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Value:
    """Matrix product."""
    return value(stacked(x1)) @ value(stacked(x2))


@implements(linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Value:
    """Transpose of the last two axes."""
    x = value(stacked(x))
    if x.ndim < 2:
        raise errors.ShapeError(f"np.linalg.matrix_transpose needs a matrix, not {x.type}")
    return rows.turned(x)


@implements(linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Value:
    """Diagonals of the matrices in the last two axes."""
    return FUNCTIONS[np.diagonal](x, offset, -2, -1)


@implements(linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Value:
    """Traces of the matrices in the last two axes."""
    return FUNCTIONS[np.trace](x, offset, -2, -1, dtype)


@implements(linalg.outer)
def outer(x1: Any, x2: Any, /) -> Value:
    """Outer product of two vectors."""
    a, b = value(stacked(x1)), value(stacked(x2))
    if a.ndim != 1 or b.ndim != 1:
        raise errors.ShapeError(f"np.linalg.outer needs two vectors, not {a.type} and {b.type}")
    return FUNCTIONS[np.outer](a, b)


@implements(linalg.cross)
def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Value:
    """Cross product of vectors with three elements."""
    a, b = value(stacked(x1)), value(stacked(x2))
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise errors.ShapeError(f"np.linalg.cross needs vectors of three elements, not {a.type} and {b.type}")
    return FUNCTIONS[np.cross](a, b, axis=axis)


@implements(linalg.tensordot)
def tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Value:
    """Sum of products over several axes."""
    return FUNCTIONS[np.tensordot](x1, x2, axes)


@implements(linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Value:
    """Dot products of vectors along an axis."""
    a, b = value(stacked(x1)), value(stacked(x2))
    if a.shape[axis] != b.shape[axis]:
        raise errors.ShapeError(f"np.linalg.vecdot: {a.type} and {b.type} differ along axis {axis}")
    first, second = (FUNCTIONS[np.moveaxis](x, axis, -1) for x in (a, b))
    return FUNCTIONS[np.sum](first * second, -1)


@implements(linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Value:
    """x with tensordot(a, x, x.ndim) = b."""
    x, y = value(stacked(a)), value(stacked(b))
    if axes is not None:
        last = [k % x.ndim for k in axes]
        x = FUNCTIONS[np.transpose](x, [*[k for k in range(x.ndim) if k not in last], *last])
    shape = x.shape[y.ndim :]
    return reshape(solve(reshape(x, shape=(y.size, x.size // y.size)), reshape(y, shape=(y.size,))), shape=shape)


@implements(linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Value:
    """Inverse with respect to tensordot over `ind` axes."""
    x = value(stacked(a))
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    n = int(np.prod(x.shape[:ind]))
    return reshape(inv(reshape(x, shape=(n, x.size // n))), shape=(*x.shape[ind:], *x.shape[:ind]))
