"""JAX as oracle: values, first and second derivatives at ordinary and at edge points; disagreements are listed with reasons."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
import pytest
import scipy.special as sp

import chainrule as cr
from chainrule import errors

INF = np.inf
LINE = [-2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 3.0]
POSITIVE = [1e-3, 0.3, 1.0, 2.5, 40.0]
NONNEGATIVE = [0.0, *POSITIVE]
UNIT = [-0.9, -0.2, 0.0, 0.5, 0.99]
PROBABILITY = [1e-3, 0.2, 0.5, 0.99]
WIDE = [-800.0, -30.0, *LINE, 30.0, 800.0]

# Name in NumPy or SciPy -> points.  JAX has each under the same name in jax.numpy or jax.scipy.special, but for those in JAX.
UNARY: dict[str, list[float]] = {
    **dict.fromkeys(("exp", "exp2", "expm1", "sin", "cos", "tan", "arctan", "sinh", "cosh", "arcsinh", "square"), LINE),
    **{
        key: [*LINE, -INF, INF]
        for key in ("absolute", "fabs", "sign", "negative", "positive", "floor", "ceil", "trunc", "rint", "fix")
    },
    **dict.fromkeys(("deg2rad", "rad2deg", "degrees", "radians", "round", "around"), LINE),
    **{key: [-2.5, 0.4, 3.0] for key in ("real", "imag", "conjugate", "angle")},
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "cbrt", "reciprocal"), POSITIVE),
    "log1p": [-0.9, 0.0, 1e-10, 0.5, 30.0],
    **dict.fromkeys(("arcsin", "arccos", "arctanh", "erfinv"), UNIT),
    "arccosh": [1.01, 2.0, 50.0],
    "sinc": LINE,
    "nan_to_num": [-INF, -1.0, 0.0, np.nan, INF],
    **dict.fromkeys(("tanh", "expit", "log_expit", "erf", "erfc", "ndtr"), WIDE),
    "log_ndtr": [-300.0, -30.0, *LINE, 30.0],
    **dict.fromkeys(("logit", "ndtri"), PROBABILITY),
    **{key: [0.1, 0.9, 1.0, 2.5, 12.0] for key in ("gammaln", "digamma", "gamma")},
    **{key: [-2.5, 0.3, 4.0] for key in ("i0", "i1", "i0e", "i1e")},
    "entr": PROBABILITY,
}
BINARY: dict[str, tuple[list[float], list[float]]] = {
    **dict.fromkeys(("add", "subtract", "multiply"), (LINE, LINE)),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), ([-1.0, 0.0, 2.0, INF], [-1.0, 0.0, 2.0, 3.0])),
    "divide": (LINE, [-2.0, 0.5, 1.0]),
    "power": (NONNEGATIVE, [1.0, 2.0, 3.0, 2.5]),
    "float_power": (POSITIVE, LINE),
    "arctan2": ([-2.0, 0.0, 1.5], [0.5, 1.0, 3.0]),
    "hypot": ([-2.0, 0.0, 1.5], [-1.0, 0.5, 3.0]),
    "logaddexp": ([-INF, -800.0, -1.0, 0.0, 2.0, 800.0], [-1.0, 0.0, 2.0, 800.0]),
    "logaddexp2": ([-30.0, -1.0, 0.0, 2.0], [-1.0, 0.0, 2.0, 30.0]),
    "copysign": ([-2.0, 1.5], [-1.0, 3.0]),
    "heaviside": ([-2.0, 0.0, 1.5], [0.0, 0.5, 3.0]),
    "remainder": ([-5.3, 0.7, 5.3], [-2.0, 2.0]),
    "fmod": ([-5.3, 0.7, 5.3], [-2.0, 2.0]),
    "floor_divide": ([-5.3, 0.7, 5.3], [-2.0, 2.0]),
    "xlogy": (LINE, POSITIVE),
    "xlog1py": (LINE, [-0.9, 0.0, 2.0]),
    **dict.fromkeys(("rel_entr", "kl_div"), (PROBABILITY, PROBABILITY)),
    "betaln": ([0.3, 1.0, 4.0], [0.5, 2.5]),
    **dict.fromkeys(("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"), (LINE, LINE)),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), (LINE, LINE)),
}
JAX: dict[str, Callable[..., Any]] = {
    "absolute": jnp.abs, "log_expit": jax.nn.log_sigmoid, "fix": jnp.trunc, "gamma": jsp.gamma, "around": jnp.round,
}  # fmt: skip

TIES = [(-1.0, -1.0), (0.0, 0.0), (2.0, 2.0)]
DISAGREE: dict[tuple[str, tuple[float, ...], str], tuple[float, str]] = {
    **{
        (f, (0.0,), "x"): (0.0, "at the kink the mean of the one-sided derivatives; JAX takes the right one")
        for f in ("absolute", "fabs")
    },
    **{
        (f, p, which): (0.5, "a tie is shared, as of maximum and minimum; JAX writes these two with where")
        for f in ("fmax", "fmin")
        for p in TIES
        for which in "xy"
    },
    ("power", (0.0, 1.0), "xx"): (0.0, "x^1 is x, so its second derivative is 0; JAX multiplies 0 by the infinite 0^-1"),
    ("log_ndtr", (-30.0,), "xx"): (-0.9988962284881099, "by mpmath to 60 digits; JAX differentiates a series that it cut off"),
    ("log_ndtr", (-300.0,), "xx"): (-0.9999888896295611, "by mpmath to 60 digits; JAX differentiates a series that it cut off"),
}
"""(function, point, which derivative) -> (the right value, the reason)."""


def ours(name: str) -> Callable[..., Any]:
    return getattr(np, name, None) or getattr(sp, name)


def jaxs(name: str) -> Callable[..., Any]:
    return JAX.get(name) or getattr(jnp, name, None) or getattr(jsp, name)


def derivatives(f: Callable[..., Any], xs: list[Any], jvp: Callable[..., Any], one: Callable[[Any], Any]) -> dict[str, Any]:
    """Value, partial and second partial derivatives of an elementwise function, by name ("", "x", "xy", ...)."""
    names = "xy"[: len(xs)]
    out: dict[str, Any] = {"": f(*xs)}
    if out[""].dtype.kind != "f":
        return out

    def along(g: Callable[..., Any], k: int) -> Callable[..., Any]:
        def dg(*zs: Any) -> Any:
            def at(z: Any) -> Any:
                return g(*zs[:k], z, *zs[k + 1 :])

            return jvp(at, (zs[k],), (one(zs[k]),))[1]

        return dg

    for k, a in enumerate(names):
        first = along(f, k)
        out[a] = first(*xs)
        for j, b in enumerate(names[k:], k):
            out[a + b] = along(first, j)(*xs)
    return out


def compare(name: str, points: list[tuple[float, ...]]) -> None:
    xs = [np.array(c) for c in zip(*points, strict=True)]
    with np.errstate(all="ignore"):
        got = derivatives(ours(name), xs, cr.jvp, np.ones_like)
        # One compilation for all of them: JAX spends its time on that.
        want = jax.jit(lambda *zs: derivatives(jaxs(name), list(zs), jax.jvp, jnp.ones_like))(*xs)
    assert got.keys() == want.keys()
    wrong = []
    for which, a in got.items():
        # Second derivatives of JAX's special functions have about ten digits.
        rtol = 1e-12 if not which else 1e-9
        b = np.asarray(want[which])
        assert np.asarray(a).shape == b.shape
        assert np.asarray(a).dtype == b.dtype, (name, which)
        for p, u, v in zip(points, np.asarray(a).tolist(), b.tolist(), strict=True):
            listed = DISAGREE.get((name, p, which))
            if listed is not None:
                np.testing.assert_allclose(u, listed[0], rtol=1e-9, err_msg=f"{name}{p} {which}: {listed[1]}")
                assert not np.isclose(u, v, rtol=rtol, atol=1e-12, equal_nan=True), f"{name}{p} {which} agrees now: {v}"
            elif not np.isclose(u, v, rtol=rtol, atol=1e-12, equal_nan=True):
                wrong.append(f"{name}{p} {which or 'value'}: {u}, JAX {v}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    compare(name, [(x,) for x in UNARY[name]])


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    compare(name, list(itertools.product(*BINARY[name])))


@pytest.mark.parametrize("shapes", [((), ()), ((0,), ()), ((1,), (3,)), ((2, 1), (1, 3)), ((2, 0), (1, 1)), ((3,), ())], ids=str)
@pytest.mark.parametrize("name", ["maximum", "power", "logaddexp"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_gradients_at_edge_shapes(name: str, shapes: tuple[Any, Any], dtype: str, rng: np.random.Generator) -> None:
    """Gradients have the shapes and dtypes of what they are gradients of, also where operands are repeated or empty."""
    x, y = (rng.uniform(0.5, 2, s).astype(dtype) for s in shapes)
    got = cr.grad(lambda a, b: np.sum(ours(name)(a, b)), argnums=(0, 1))(x, y)
    want = jax.grad(lambda a, b: jnp.sum(jaxs(name)(a, b)), argnums=(0, 1))(jnp.asarray(x), jnp.asarray(y))
    for a, b in zip(got, want, strict=True):
        assert (np.shape(a), a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=8 * np.finfo(dtype).eps)


# --- hard cases, by their known answers ---------------------------------------------------------------------------------------


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


HARD: list[tuple[str, Callable[[Any], Any], float, float]] = [
    ("relu(x) - relu(-x) is x", lambda x: relu(x) - relu(-x), 0.0, 1.0),
    ("relu at 0", relu, 0.0, 0.5),
    ("max(x, x) is x", lambda x: np.maximum(x, x), 3.0, 1.0),
    ("min(x, x) is x", lambda x: np.minimum(x, x), 3.0, 1.0),
    ("fmax with NaN", lambda x: np.fmax(x, np.nan), 3.0, 1.0),
    ("|x| at 0", np.abs, 0.0, 0.0),
    ("x^0 at 0", lambda x: x**0, 0.0, 0.0),
    ("x^0.0 at 0", lambda x: x**0.0, 0.0, 0.0),
    ("x^1 at 0", lambda x: x**1.0, 0.0, 1.0),
    ("x^3 at -2", lambda x: x**3, -2.0, 12.0),
    ("x^-3.0 at -2", lambda x: x**-3.0, -2.0, -3 / 16),
    ("0^x at 2", lambda x: 0.0**x, 2.0, 0.0),
    ("clip at its bound", lambda x: np.clip(x, -1, 1), 1.0, 0.5),
    ("clip inside", lambda x: np.clip(x, -1, 1), 0.3, 1.0),
    ("hypot at the origin", lambda x: np.hypot(x, 0.0), 0.0, 0.0),
    ("logaddexp of -inf", lambda x: np.logaddexp(x, -INF), 1.0, 1.0),
    ("logaddexp far apart", lambda x: np.logaddexp(x, 0.0), 1000.0, 1.0),
    ("xlogy at 0", lambda x: sp.xlogy(0.0, x), 0.0, 0.0),
    ("x ln x", lambda x: sp.xlogy(x, x), 0.5, np.log(0.5) + 1),
    ("log_ndtr far out", sp.log_ndtr, -1e10, 1e10),
    ("arcsinh of huge numbers", np.arcsinh, 1e200, 1e-200),
    ("expm1 far out", np.expm1, -50.0, np.exp(-50.0)),
    ("sinc at 0", np.sinc, 0.0, 0.0),
    ("select", lambda x: np.select([x > 2, x > 1], [x * 3, x * 2], x), 1.5, 2.0),
    ("nan_to_num keeps numbers", lambda x: np.nan_to_num(x) * 2, 1.5, 2.0),
    ("round", lambda x: np.round(x, 1) * x, 1.26, 1.3),
    ("divmod", lambda x: divmod(x, 2.0)[1], 5.0, 1.0),
    ("polar angle", lambda x: np.arctan2(x, -1.0), 0.0, -1.0),
]


@pytest.mark.parametrize(("what", "f", "x", "slope"), HARD, ids=[h[0] for h in HARD])
def test_hard_cases(what: str, f: Callable[[Any], Any], x: float, slope: float) -> None:
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(cr.grad(f)(x), slope, rtol=1e-15, atol=0)
        np.testing.assert_allclose(cr.jvp(f, (x,), (1.0,))[1], slope, rtol=1e-15, atol=0)


SECOND: list[tuple[str, Callable[[Any], Any], float, float]] = [
    ("sinc at 0", np.sinc, 0.0, -(np.pi**2) / 3),
    ("x^2 at 0", lambda x: x**2, 0.0, 2.0),
    ("x^1.0 at 0", lambda x: x**1.0, 0.0, 0.0),
    ("logaddexp at a tie", lambda x: np.logaddexp(x, 0.0), 0.0, 0.25),
    ("log_ndtr far right", sp.log_ndtr, 40.0, 0.0),
    ("i1 at 0", sp.i1, 0.0, 0.0),
    ("exprel at 0", sp.exprel, 0.0, 1 / 3),
    ("|x| at 0", np.abs, 0.0, 0.0),
    ("x^y in both, at y = 0", lambda x: cr.grad(lambda b: np.power(x, b))(0.0), 2.0, -0.25),
]


@pytest.mark.parametrize(("what", "f", "x", "bend"), SECOND, ids=[h[0] for h in SECOND])
def test_hard_second_derivatives(what: str, f: Callable[[Any], Any], x: float, bend: float) -> None:
    np.testing.assert_allclose(cr.grad(cr.grad(f))(x), bend, rtol=1e-14, atol=1e-15)


def test_complex_numbers_are_evaluated_and_not_differentiated() -> None:
    z = np.array([1 + 2j, 3j])
    got = cr.vmap(lambda z: np.abs(z) + np.angle(z) + np.real(z) * np.imag(z) + z.conj().real)(z)
    np.testing.assert_allclose(got, np.abs(z) + np.angle(z) + z.real * z.imag + z.real, rtol=1e-15)
    with pytest.raises(errors.NotDifferentiableError, match="complex"):
        cr.grad(lambda x: np.abs(np.exp(1j * x)))(1.0)
    with pytest.raises(errors.NotDifferentiableError, match="complex"):
        cr.jvp(np.sin, (1j,), (1j,))
