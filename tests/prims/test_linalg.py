"""Linear algebra: values against NumPy; derivatives against difference quotients and JAX; stacks and vmap against loops."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import chainrule as cr
from chainrule import errors

jax.config.update("jax_enable_x64", True)
_fixed = np.random.default_rng(3)
A, B, C = _fixed.normal(size=(3, 3)), _fixed.normal(size=(3, 2)), _fixed.normal(size=3)
TALL, WIDE = _fixed.normal(size=(4, 3)), _fixed.normal(size=(2, 3))
SPD = A @ A.T + np.eye(3)


def symmetric(a: Any) -> Any:
    return (a + a.T) / 2


# name -> (function of (np or jnp, argument), argument); NumPy reads one triangle, JAX makes it symmetric first
CASES: dict[str, tuple[Any, Any]] = {
    "solve": (lambda np, a: np.linalg.solve(a, B), A),
    "solve_vector": (lambda np, a: np.linalg.solve(a, C), A),
    "solve_right": (lambda np, b: np.linalg.solve(A, b) ** 2, B),
    "inv": (lambda np, a: np.linalg.inv(a), A),
    "det": (lambda np, a: np.linalg.det(a), A),
    "logdet": (lambda np, a: np.linalg.slogdet(a)[1], A),
    "cholesky": (lambda np, a: np.linalg.cholesky(symmetric(a)), SPD),
    "qr": (lambda np, a: sum(np.sum(x**3) for x in np.linalg.qr(a)), TALL),
    "qr_square": (lambda np, a: np.linalg.qr(a)[0], A),
    "eigvalsh": (lambda np, a: np.linalg.eigvalsh(symmetric(a)), SPD),
    "eigh": (lambda np, a: np.linalg.eigh(symmetric(a))[1] ** 2, SPD),
    "svd_tall": (lambda np, a: sum(np.sum(x**4) for x in np.linalg.svd(a, full_matrices=False)), TALL),
    "svd_wide": (lambda np, a: sum(np.sum(x**4) for x in np.linalg.svd(a, full_matrices=False)), WIDE),
    "singular_values": (lambda np, a: np.linalg.svd(a, compute_uv=False), WIDE),
    "pinv_tall": (lambda np, a: np.linalg.pinv(a), TALL),
    "pinv_wide": (lambda np, a: np.linalg.pinv(a), WIDE),
    "lstsq_tall": (lambda np, a: np.linalg.lstsq(a, np.ones(4))[0], TALL),
    "lstsq_wide": (lambda np, a: np.linalg.lstsq(a, np.ones((2, 2)))[0], WIDE),
    "norm": (lambda np, a: np.linalg.norm(a), A),
    "norm_nuclear": (lambda np, a: np.linalg.norm(a, "nuc"), TALL),
    "norm_spectral": (lambda np, a: np.linalg.norm(a, 2), TALL),
    "norm_least": (lambda np, a: np.linalg.norm(a, -2), TALL),
    "norm_3": (lambda np, a: np.linalg.norm(a, 3, axis=1), A),
    "power": (lambda np, a: np.linalg.matrix_power(a, 5), A),
    "power_inverse": (lambda np, a: np.linalg.matrix_power(a, -2), SPD),
    "multi_dot": (lambda np, a: np.linalg.multi_dot([C, a, A, B]), A),
    "cond": (lambda np, a: np.linalg.cond(a), A),
    "cond_1": (lambda np, a: np.linalg.cond(a, 1), A + 2 * np.eye(3)),
}


def scalar(np: Any, name: str) -> Any:
    f = CASES[name][0]
    return lambda a: np.sum(np.sin(f(np, a)))


def close(a: Any, b: Any, tolerance: float) -> None:
    scale = 1 + float(np.max(np.abs(b), initial=0))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def quotient(f: Any, x: Any, v: Any, h: float = 1e-3) -> Any:
    """Derivative along v to sixth order: error h^6 of a seventh derivative, and rounding 1e-16 / h."""
    d = [f(x + k * h * v) - f(x - k * h * v) for k in (1, 2, 3)]
    return (45 * d[0] - 9 * d[1] + d[2]) / (60 * h)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_difference_quotients(name: str, rng: np.random.Generator) -> None:
    x, f = CASES[name][1], scalar(np, name)
    v = rng.normal(size=x.shape) / 3
    np.testing.assert_allclose(cr.vjp(f, x)[0], f(x), rtol=1e-12)
    _, dy = cr.jvp(f, (x,), (v,))
    close(dy, quotient(f, x, v), 2e-6)
    g = cr.grad(f)
    close((g(x) * v).sum(), dy, 1e-9)
    close(cr.jvp(g, (x,), (v,))[1], quotient(g, x, v), 2e-5)
    close(cr.grad(lambda z: (g(z) * v).sum())(x), cr.jvp(g, (x,), (v,))[1], 1e-8)


@pytest.mark.parametrize(
    "name", ["cholesky", "eigh", "svd_tall", "svd_wide", "qr", "pinv_wide", "lstsq_tall", "det", "norm_nuclear"]
)
def test_gradients_agree_with_jax(name: str) -> None:
    x = CASES[name][1]
    close(cr.grad(scalar(np, name))(x), jax.grad(scalar(jnp, name))(x), 1e-8)


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith(("multi", "lstsq"))])
def test_vmap_is_a_loop(name: str) -> None:
    f, x = CASES[name]
    xs = np.stack([x, x + 0.1 * x * x, x * 1.5])
    if name in ("cholesky", "eigh", "eigvalsh"):
        xs = (xs + xs.swapaxes(1, 2)) / 2 + 2 * np.eye(3)
    close(cr.vmap(lambda a: f(np, a))(xs), np.stack([f(np, a) for a in xs]), 1e-10)
    g = cr.grad(scalar(np, name))
    close(cr.vmap(g)(xs), np.stack([g(a) for a in xs]), 1e-9)


def test_stacks_are_loops(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 4, 3, 3)), rng.normal(size=(2, 4, 3, 2))
    last = lambda x: np.linalg.norm(x, "nuc", (-2, -1))
    for f in (np.linalg.inv, np.linalg.det, np.linalg.pinv, np.linalg.svdvals, lambda x: np.linalg.qr(x)[1], last):
        g = cr.grad(lambda x, f=f: np.sum(f(x) ** 2))
        close(g(a), np.array([[g(y) for y in x] for x in a]), 1e-9)
    g = cr.grad(lambda x, y: (np.linalg.solve(x, y) ** 2).sum(), (0, 1))
    each = [[g(x, y) for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]
    close(g(a, b)[0], np.array([[e[0] for e in p] for p in each]), 1e-9)
    close(g(a, b)[1], np.array([[e[1] for e in p] for p in each]), 1e-9)
    shared = cr.grad(lambda x: (np.linalg.solve(x, b) ** 2).sum())(A)  # one matrix, many right-hand sides
    close(shared, sum(g(A, y)[0] for p in b for y in p), 1e-9)


def test_one_matrix_is_factorised_once_under_vmap(rng: np.random.Generator) -> None:
    bs = rng.normal(size=(5, 3))
    close(cr.vmap(lambda b: np.linalg.solve(A, b))(bs), np.linalg.solve(A, bs.T).T, 1e-12)
    graph = cr.trace(cr.vmap(lambda b: np.linalg.solve(A, b)))(bs)
    (shape,) = [e.ins[0].type.shape for e in graph.eqns if e.prim == "solve"]
    assert shape == (3, 3)
    close(cr.jacobian(lambda b: np.linalg.solve(A, b))(C), np.linalg.inv(A), 1e-12)


def test_determinants_of_singular_matrices(rng: np.random.Generator) -> None:
    def minors(a: Any) -> Any:
        n = len(a)
        cut = lambda i, j: np.delete(np.delete(a, i, 0), j, 1)
        return np.array([[(-1) ** (i + j) * np.linalg.det(cut(i, j)) for j in range(n)] for i in range(n)])

    once = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    for a in (
        once,
        np.ones((3, 3)),
        np.zeros((3, 3)),
        np.diag([1.0, 0, 2]),
        rng.normal(size=(4, 4)),
        np.zeros((1, 1)),
        -np.eye(2),
    ):
        close(cr.grad(np.linalg.det)(a), minors(a), 1e-12)
        v = rng.normal(size=a.shape)
        close(cr.jvp(cr.grad(np.linalg.det), (a,), (v,))[1], quotient(minors, a, v), 1e-8)
        close(cr.grad(lambda x, v=v: (cr.grad(np.linalg.det)(x) * v).sum())(a), quotient(minors, a, v), 1e-8)
    third = cr.jvp(lambda x: cr.jvp(cr.grad(np.linalg.det), (x,), (SPD,))[1], (A,), (TALL[:3],))[1]
    close(third, quotient(lambda x: cr.jvp(cr.grad(np.linalg.det), (x,), (SPD,))[1], A, TALL[:3]), 1e-7)


def test_only_the_lower_triangle_matters(rng: np.random.Generator) -> None:
    for f in (np.linalg.cholesky, lambda a: np.linalg.eigh(a)[0], lambda a: np.linalg.eigh(a)[1] ** 2):
        g = cr.grad(lambda a, f=f: np.sum(f(a) * np.arange(3.0)))(SPD)
        v = rng.normal(size=(3, 3))
        assert np.all(np.triu(g, 1) == 0)
        close((g * v).sum(), quotient(lambda a, f=f: np.sum(f(a) * np.arange(3.0)), SPD, v, 1e-4), 1e-7)
    upper = cr.grad(lambda a: np.linalg.eigh(a, "U")[0][0])(SPD)
    assert np.all(np.tril(upper, -1) == 0)
    close(upper, cr.grad(lambda a: np.linalg.eigh(a)[0][0])(SPD).T, 1e-12)


def test_equal_eigenvalues() -> None:
    """The sum of equal eigenvalues has a derivative, their vectors have none: nan, not a number that looks right."""
    close(cr.grad(lambda a: np.linalg.eigvalsh(a).sum())(np.eye(3)), np.eye(3), 1e-12)
    close(cr.grad(lambda a: np.linalg.svdvals(a).sum())(np.eye(3)), np.eye(3), 1e-12)
    assert not np.isfinite(cr.grad(lambda a: (np.linalg.eigh(a)[1] * A).sum())(np.eye(3))).all()
    assert not np.isfinite(cr.grad(lambda a: (np.linalg.svd(a)[0] * A).sum())(np.eye(3))).all()


@pytest.mark.parametrize("ord", [None, 2, 3, 1.5])
def test_the_norm_at_zero_has_subgradient_zero(ord: Any) -> None:
    g = cr.grad(lambda x: np.linalg.norm(x, ord))
    assert g(np.zeros(3)).tolist() == [0, 0, 0]
    close(g(C), quotient_gradient(lambda x: np.linalg.norm(x, ord), C), 1e-7)
    xs = np.array([[3.0, 4.0], [0.0, 0.0]])
    rows = cr.grad(lambda x: np.linalg.norm(x, ord, axis=1).sum())(xs)
    assert rows[1].tolist() == [0, 0]
    assert np.all(rows[0] > 0)


def quotient_gradient(f: Any, x: Any) -> Any:
    return np.array([quotient(f, x, e, 1e-4) for e in np.eye(x.size)])


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("keepdims", [False, True])
def test_values_of_matrix_norms(ord: Any, keepdims: bool, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4))
    f = lambda x: np.linalg.norm(x, ord, (0, 2), keepdims)
    np.testing.assert_allclose(cr.vjp(f, x)[0], f(x))
    last = lambda x: np.linalg.matrix_norm(x, ord=ord or "fro")
    np.testing.assert_allclose(cr.vjp(last, x)[0], last(x))


@pytest.mark.parametrize("ord", [None, 0, 1, 2, 3, -1, np.inf, -np.inf])
def test_values_of_vector_norms(ord: Any) -> None:
    x = np.array([[1.0, -2.0, 0.5], [3.0, 4.0, -1.0]])
    for kwargs in ({"axis": 1}, {"axis": 0, "keepdims": True}):
        np.testing.assert_allclose(
            cr.vjp(lambda x, k=kwargs: np.linalg.norm(x, ord, **k), x)[0], np.linalg.norm(x, ord, **kwargs)
        )


def test_results_look_like_numpys() -> None:
    def f(a: Any) -> Any:
        w, v = np.linalg.eigh(a)
        s = np.linalg.slogdet(a)
        d = np.linalg.svd(a, full_matrices=False)
        more = (*np.linalg.qr(a), np.linalg.matrix_rank(a), *np.linalg.lstsq(a[:, :2], a[:, 2]))
        return w, v, s.sign, s.logabsdet, d.U, d.S, d.Vh, *more

    for x in (SPD, SPD.astype(np.float32)):
        for ours, theirs in zip(cr.vjp(f, x)[0], f(x), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5 if x.dtype == np.float32 else 1e-12, atol=1e-6)
            assert ours.dtype == theirs.dtype or ours.dtype.kind == "i"
    assert cr.vjp(lambda x: np.linalg.det(np.arange(4).reshape(2, 2)) * x, 1.0)[0] == -2.0


@pytest.mark.parametrize(
    ("f", "x", "error", "text"),
    [
        (lambda a: np.linalg.inv(a), TALL, errors.ShapeError, "square"),
        (lambda a: np.linalg.det(a), C, errors.ShapeError, "matrix"),
        (lambda a: np.linalg.solve(a, TALL), A, errors.ShapeError, "solve"),
        (lambda a: np.linalg.svd(a)[0], TALL, errors.NotDifferentiableError, "full_matrices=False"),
        (lambda a: np.linalg.qr(a, "complete")[0], TALL, errors.NotDifferentiableError, "reduced"),
        (lambda a: np.linalg.qr(a)[0], WIDE, errors.NotDifferentiableError, "wide"),
        (lambda a: np.linalg.inv(a * 1j), A, errors.DtypeError, "complex128"),
        (lambda a: np.linalg.inv(a), np.zeros((2, 2)), np.linalg.LinAlgError, "[Ss]ingular"),
        (lambda a: np.linalg.cholesky(a), -np.eye(2), np.linalg.LinAlgError, "positive definite"),
    ],
)
def test_mistakes_are_named(f: Any, x: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        cr.grad(lambda a: np.sum(abs(f(a))))(x)


T1, T2, T3 = (np.random.default_rng(k).normal(size=s) for k, s in enumerate([(2, 3, 3), (2, 3, 3), (4, 6, 8, 3)]))


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.matmul(a, T2),
        lambda a: np.linalg.matrix_transpose(a),
        lambda a: np.linalg.diagonal(a, offset=1),
        lambda a: np.linalg.trace(a, offset=-1),
        lambda a: np.linalg.outer(a[0, 0], a[1, 2]),
        lambda a: np.linalg.cross(a, T2),
        lambda a: np.linalg.cross(a, T2, axis=1),
        lambda a: np.linalg.tensordot(a, T2, axes=2) if a.shape[0] == 3 else np.linalg.tensordot(a, T2, axes=([1, 2], [1, 2])),
        lambda a: np.linalg.vecdot(a, T2),
        lambda a: np.linalg.vecdot(a, T2, axis=0),
        lambda a: np.linalg.tensorsolve(a.reshape(3, 6)[:, :3].reshape(3, 1, 3), np.ones(3)),
        lambda a: np.linalg.tensorsolve(a[0].reshape(3, 3, 1), np.ones((3, 1)), axes=(1,)),
        lambda a: np.linalg.tensorinv(a[0].reshape(3, 3, 1), ind=1),
    ],
)
def test_other_names(f: Any, rng: np.random.Generator) -> None:
    v = rng.normal(size=T1.shape)
    y, dy = cr.jvp(f, (T1,), (v,))
    np.testing.assert_allclose(y, f(T1), rtol=1e-10)
    close(dy, quotient(f, T1, v), 1e-6)
