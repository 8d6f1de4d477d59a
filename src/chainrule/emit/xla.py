# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportAttributeAccessIssue=false
# JAX gives no types to most of what this file is about.
"""The graph as a JAX function, for GPUs, TPUs and several machines.

One lowering per row, over `jax.numpy` and `jax.lax`; what a row's formula says in other rows (`expansion`) is lowered by
that formula, and what JAX has no function for is a call back to NumPy on the host, which `fallbacks` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np

from chainrule.emit.numpy import evaluate
from chainrule.ir.graph import Array, Eqn, Graph, Lit, Params
from chainrule.prims import TABLE
from chainrule.prims.control import RULES

Lowering = Callable[..., Any]

_SAME = {
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "square", "reciprocal", "sin", "cos", "tan",
    "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "hypot", "arctan2", "logaddexp", "logaddexp2", "conj",
    "real", "imag", "isnan", "isinf", "isfinite", "signbit", "sign", "floor", "ceil", "trunc", "rint", "abs", "maximum", "minimum",
    "fmax", "fmin", "heaviside", "copysign", "remainder", "fmod",
}  # fmt: skip
"""Rows that jax.numpy has under the same name."""
_OTHER = {
    "add": "add", "sub": "subtract", "mul": "multiply", "neg": "negative", "div": "divide", "pow": "power", "eq": "equal",
    "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "bitand": "bitwise_and",
    "bitor": "bitwise_or", "bitxor": "bitwise_xor", "invert": "invert", "lshift": "left_shift", "rshift": "right_shift",
    "floordiv": "floor_divide", "select": "where", "det": "linalg.det", "inv": "linalg.inv", "cholesky": "linalg.cholesky",
    "solve": "linalg.solve",
}  # fmt: skip
"""Rows that jax.numpy has under another name."""
_SCIPY = {
    "expit", "logit", "erf", "erfc", "erfinv", "ndtr", "ndtri", "log_ndtr", "gammaln", "digamma", "xlogy", "xlog1py", "entr", "rel_entr",
    "zeta", "i0", "i0e", "i1", "i1e", "betaln", "kl_div",
}  # fmt: skip
"""Rows that jax.scipy.special has under the same name."""


def _lax() -> Any:
    import jax

    return jax.lax


def _jnp() -> Any:
    import jax.numpy as jnp

    return jnp


# --- structural rows -------------------------------------------------------------------------------------------------------


def _contract(*xs: Any, spec: str) -> Any:
    return _jnp().einsum(spec, *xs, precision="highest")


def _spread(x: Any, *, shape: Any, axes: Any) -> Any:
    kept = tuple([k for k in range(len(shape)) if k not in axes])
    return _lax().broadcast_in_dim(x, shape, kept)


def _pad(x: Any, *, low: Any, high: Any, interior: Any) -> Any:
    return _lax().pad(x, _jnp().zeros((), x.dtype), list(zip(low, high, interior, strict=True)))


def _cumulative(function: str) -> Lowering:
    def run(x: Any, *, axis: int, reverse: bool = False) -> Any:
        return getattr(_lax(), function)(x, axis=axis, reverse=reverse)

    return run


def _recur(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    jnp = _jnp()
    first, second = jnp.moveaxis(a, axis, 0), jnp.moveaxis(b, axis, 0)

    def step(y: Any, ab: Any) -> Any:
        y = ab[0] * y + ab[1]
        return y, y

    ys = _lax().scan(step, jnp.zeros(second.shape[1:], second.dtype), (first, second), reverse=reverse)[1]
    return jnp.moveaxis(ys, 0, axis)


def _key(shape: Any, lead: int, indices: Sequence[Any]) -> Any:
    """The index of an array whose first `lead` axes go along with those of the indices."""
    jnp = _jnp()
    rank = indices[0].ndim
    along = [jnp.arange(shape[k]).reshape([-1 if j == k else 1 for j in range(rank)]) for k in range(lead)]
    return (*along, *indices)


def _take(x: Any, *indices: Any, lead: int) -> Any:
    return x[_key(x.shape, lead, indices)]


def _scatter(x: Any, *indices: Any, lead: int, sizes: Any) -> Any:
    rank = indices[0].ndim
    y = _jnp().zeros((*x.shape[:lead], *sizes, *x.shape[rank:]), x.dtype)
    return y.at[_key(x.shape, lead, indices)].add(x)


def _bits(key: Any, *, shape: tuple[int, ...]) -> Any:
    """Threefry by the same formula as on the other engines: its operators are JAX's too."""
    from chainrule.prims.random import threefry

    jnp, n = _jnp(), prod(shape)
    count = np.arange((n + 1) // 2, dtype=np.uint64)
    low, high = (
        jnp.asarray((count & np.uint64(0xFFFFFFFF)).astype(np.uint32)),
        jnp.asarray((count >> np.uint64(32)).astype(np.uint32)),
    )
    with np.errstate(all="ignore"):
        words = threefry((key[..., :1], key[..., 1:]), (low, high))
    return jnp.stack(words, -1).reshape(*key.shape[:-1], -1)[..., :n].reshape(*key.shape[:-1], *shape)


# --- rows that hold graphs ----------------------------------------------------------------------------------------------------


def _scan(*xs: Any, body: Graph, consts: int, carry: int, length: int, reverse: bool, **_: Any) -> Any:
    f = to_jax(body)
    fixed = xs[:consts]

    def step(state: Any, row: Any) -> Any:
        out = f(*fixed, *state, *row)
        return tuple(out[:carry]), tuple(out[carry:])

    last, ys = _lax().scan(step, tuple(xs[consts : consts + carry]), tuple(xs[consts + carry :]), length=length, reverse=reverse)
    return (*last, *ys)


def _cond(p: Any, *xs: Any, branches: tuple[Graph, Graph], **_: Any) -> Any:
    yes, no = (to_jax(g) for g in branches)
    return _lax().cond(p, lambda *a: tuple(yes(*a)), lambda *a: tuple(no(*a)), *xs)


def _while(*xs: Any, test: Graph, body: Graph, test_consts: int, body_consts: int, **_: Any) -> Any:
    a, b = test_consts, body_consts
    check, step = to_jax(test), to_jax(body)
    return _lax().while_loop(lambda s: check(*xs[:a], *s)[0], lambda s: tuple(step(*xs[a : a + b], *s)), tuple(xs[a + b :]))


def _searchsorted(a: Any, v: Any, *, side: str) -> Any:
    import jax

    f = partial(_jnp().searchsorted, side=side)
    for _ in range(a.ndim - 1):
        f = jax.vmap(f)
    return f(a, v).astype(np.int64)


def _index(function: str) -> Lowering:
    return lambda x, *, axis: getattr(_jnp(), function)(x, axis=axis).astype(np.int64)


def _reduce(function: str) -> Lowering:
    return lambda x, *, axes: getattr(_jnp(), function)(x, axis=axes)


@cache
def lowerings() -> dict[str, Lowering]:
    """Row -> how JAX computes it."""
    import jax
    import jax.scipy.special as sp

    jnp, lax = jax.numpy, jax.lax
    table: dict[str, Lowering] = {name: getattr(jnp, name) for name in _SAME}
    for name, path in _OTHER.items():
        found: Any = jnp
        for part in path.split("."):
            found = getattr(found, part)
        table[name] = found
    table.update({name: getattr(sp, name) for name in _SCIPY})
    table.update({
        "cast": lambda x, *, dtype: x.astype(dtype),
        "stop_gradient": lambda x: x,
        "contract": _contract,
        "spread": _spread,
        "reshape": lambda x, *, shape: jnp.reshape(x, shape),
        "slice": lambda x, *, start, stop, step: lax.slice(x, start, stop, step),
        "pad": _pad,
        "flip": lambda x, *, axes: jnp.flip(x, axes),
        "concat": lambda *xs, axis: jnp.concatenate(xs, axis),
        "cumsum": _cumulative("cumsum"),
        "cumprod": _cumulative("cumprod"),
        "cummax": _cumulative("cummax"),
        "cummin": _cumulative("cummin"),
        "recur": _recur,
        "take": _take,
        "scatter_add": _scatter,
        "argmax": _index("argmax"),
        "argmin": _index("argmin"),
        "argsort": lambda x, *, axis: jnp.argsort(x, axis=axis, stable=True).astype(np.int64),
        "searchsorted": _searchsorted,
        "reduce_max": _reduce("max"),
        "reduce_min": _reduce("min"),
        "reduce_prod": _reduce("prod"),
        "random_bits": _bits,
        "log_expit": jax.nn.log_sigmoid,
        "slogdet": lambda a: tuple(jnp.linalg.slogdet(a)),
        "eigh": lambda a: tuple(jnp.linalg.eigh(a)),
        "svd": lambda a: tuple(jnp.linalg.svd(a, full_matrices=False)),
        "scan": _scan,
        "cond": _cond,
        "while": _while,
    })  # fmt: skip
    return table


def _host(e: Eqn, xs: Sequence[Any]) -> Any:
    """One equation computed by NumPy on the host."""
    import jax

    row = TABLE[e.prim]

    def run(*arrays: Any) -> tuple[Array, ...]:
        ys = evaluate(row, [np.asarray(x) for x in arrays], e.params)
        return tuple([np.broadcast_to(np.asarray(y, v.type.dtype), v.type.shape) for y, v in zip(ys, e.outs, strict=True)])

    like = tuple([jax.ShapeDtypeStruct(v.type.shape, v.type.dtype) for v in e.outs])
    return jax.pure_callback(run, like, *xs)


def _body(e: Eqn) -> Graph | None:
    """The graph that is all there is to an equation."""
    rules = RULES.get(e.prim)
    return rules.graph(e.params) if rules is not None and rules.graph is not None else None


def fallbacks(g: Graph) -> list[str]:
    """Rows of `g` that run on the host, one call of NumPy each."""
    known = lowerings()
    out: list[str] = []
    for e in g.eqns:
        inner = _body(e)
        if inner is not None:
            out += fallbacks(inner)
        elif e.prim not in known:
            out.append(e.prim)
    return sorted(set(out))


def to_jax(g: Graph) -> Callable[..., list[Any]]:
    """Graph -> a function of JAX arrays, to be traced by JAX."""

    def run(*args: Any) -> list[Any]:
        jnp, known = _jnp(), lowerings()
        env: dict[Any, Any] = dict(zip(g.ins, args, strict=True))

        def read(a: Any) -> Any:
            if isinstance(a, Lit):
                return jnp.full(a.type.shape, a.value, a.type.dtype) if a.splat else jnp.asarray(a.value)
            return env[a]

        for e in g.eqns:
            xs = [read(a) for a in e.ins]
            inner = _body(e)
            if inner is not None:
                ys: Any = to_jax(inner)(*xs)
            elif e.prim in known:
                ys = known[e.prim](*xs, **e.params)
            else:
                ys = _host(e, xs)
            ys = ys if isinstance(ys, tuple | list) else (ys,)
            env.update((v, y.astype(v.type.dtype)) for v, y in zip(e.outs, ys, strict=True))
        return [read(a) for a in g.outs]

    return run


class Compiled:
    """A graph under `jax.jit`; float64 stays float64 for this call, whatever the caller's own JAX settings are."""

    def __init__(self, g: Graph, donate: Sequence[int] = ()) -> None:
        import jax

        self.graph = g
        self.run = jax.jit(to_jax(g), donate_argnums=tuple(donate))

    def __call__(self, *args: Array) -> list[Array]:
        return [np.asarray(y) for y in self.on_device(*args)]

    def on_device(self, *args: Any) -> list[Any]:
        """The same on arrays that may live on a device already; results stay there."""
        with x64():
            return self.run(*[_given(x, v.type.dtype) for x, v in zip(args, self.graph.ins, strict=True)])


def x64() -> Any:
    """The context in which JAX keeps float64 and int64."""
    import jax

    enable = getattr(jax, "enable_x64", None)
    if enable is None:
        from jax.experimental import enable_x64 as enable
    return enable(True)


def _given(x: Any, dtype: Any) -> Any:
    import jax

    return x if isinstance(x, jax.Array) and x.dtype == dtype else _jnp().asarray(np.asarray(x, dtype))


def to_xla(g: Graph, **options: Params) -> Compiled:
    """Graph -> a function of arrays, compiled by XLA for JAX's default device."""
    return Compiled(g, **options)  # pyright: ignore[reportArgumentType]
