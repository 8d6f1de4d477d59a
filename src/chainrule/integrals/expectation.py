"""Expectations that differentiate in the parameters of the distribution, and in everything the function reads.

Every method is a weighted sum of f over points.  A gradient is *pathwise* where the points move with the parameters, and by the
*score* where the points stay and the weights move: each is multiplied by p(x; theta) / p(x; theta as it is now), which is 1 and
has the right derivatives of every order (Foerster et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special as scipy_special

from chainrule import errors, random
from chainrule.batching import vmap
from chainrule.build.tree import flatten, map_tree
from chainrule.build.value import Value
from chainrule.distributions.base import Continuous, Discrete, Distribution
from chainrule.distributions.continuous import Uniform
from chainrule.distributions.discrete import Empirical
from chainrule.distributions.mixture import Mixture
from chainrule.flow import stop_gradient
from chainrule.integrals.integrate import Integral, integrate, quasi_points

special: Any = scipy_special
Function = Callable[[Any], Any]
METHODS = ("exact", "quadrature", "monte_carlo", "quasi")
GRADIENTS = ("pathwise", "score", "exact")
_NODES = {1: 128, 2: 128, 3: 48}
"""Nodes per coordinate of "quadrature"."""
_SAMPLES = 2**14
_SHIFTS = 8


@dataclass(frozen=True, eq=False)
class Estimate:
    """An expectation and how well it is known; unpacks as ``value, error``.

    Attributes:
        value: the expectation, which differentiates.
        error: standard error where it was sampled, else an estimate of the error of the rule.
        interval: lower and upper end of a confidence interval (value -+ error where nothing was sampled).
    """

    value: Any
    error: Any
    interval: tuple[Any, Any]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.value, self.error))


@dataclass(frozen=True)
class _How:
    method: str
    gradient: str
    samples: int | None
    key: Any
    baseline: bool
    confidence: float


@errors.boundary
def expectation(
    f: Function,
    distribution: Distribution,
    method: str = "exact",
    samples: int | None = None,
    key: Any = None,
    gradient: str | None = None,
    *,
    baseline: bool = True,
    full_output: bool = False,
    confidence: float = 0.95,
) -> Any:
    r"""$E\,f(x)$ for x drawn from a distribution.

    Args:
        f: function of one draw, of the distribution's ``shape`` (all components together where parameters are arrays); it returns
            a number, an array or a nested container of arrays.  It is traced for all draws at once: choices are ``np.where``.
        distribution: one of `cr.distributions`.
        method: "exact": a finite sum where the distribution is discrete, else an adaptive integral (up to three coordinates);
            "quadrature": a rule with a fixed number of nodes (Gauss and Hermite's, Gauss and Legendre's, or for gamma and beta
            the double exponential one), which also runs under `cr.jit`; "monte_carlo": the mean over draws; "quasi": the mean
            over Sobol points, shifted at random 8 times.
        samples: draws, or nodes per coordinate of "quadrature"; 16,384 draws, or 128 nodes (48 in three coordinates), by default.
        key: random key, needed by "monte_carlo" and "quasi".
        gradient: "pathwise": the draws move with the parameters (continuous distributions only); "score": the logarithm of the
            density is differentiated; "exact": the value is as the method says, its derivative that of ``method="exact"``.  By
            default pathwise where the distribution is continuous, and the score where it is discrete.
        baseline: subtract from f in the score the mean of f over the other draws, which leaves the mean of the gradient as it is
            and takes most of its variance away.
        full_output: return an `Estimate`, with the error and a confidence interval.
        confidence: of the interval.

    Returns:
        The expectation, in the containers of f's result.  An expectation over a mixture is the weighted sum of those over its
        parts, each with all `samples`, so that its derivative with respect to the weights is exact.

    Raises:
        ValueError: an unknown method, a missing key, a gradient that the distribution does not have.

    Example:
        >>> import chainrule as cr
        >>> second = lambda s: cr.expectation(lambda x: x**2, cr.distributions.normal(1.0, s), method="quadrature")
        >>> float(second(2.0).round(9)), float(cr.grad(second)(2.0).round(9))
        (5.0, 4.0)

    Source: Mohamed, Rosca, Figurnov and Mnih 2020 (all three gradients); Kool, van Hoof and Welling 2019 (the baseline).
    """
    how = _How(method, gradient or _natural(distribution), samples, key, baseline, confidence)
    _check(distribution, how)
    found = _expected(f, distribution, how)
    return found if full_output else found.value


def _natural(d: Distribution) -> str:
    parts = d.parts if isinstance(d, Mixture) else (d,)
    return "score" if any(isinstance(p, Discrete) and not isinstance(p, Empirical) for p in parts) else "pathwise"


def _check(d: Any, how: _How) -> None:
    if not isinstance(d, Distribution):
        raise TypeError(f"expectation needs a distribution, as cr.distributions.normal(0, 1), not {type(d).__name__}")
    if how.method not in METHODS:
        raise ValueError(f"method is one of {', '.join(map(repr, METHODS))}, not {how.method!r}")
    if how.gradient not in GRADIENTS:
        raise ValueError(f"gradient is one of {', '.join(map(repr, GRADIENTS))}, not {how.gradient!r}")
    if how.method in ("monte_carlo", "quasi") and how.key is None:
        raise ValueError(f'method="{how.method}" needs a random key: key=cr.random.key(0)')
    if how.samples is not None and how.samples < 2:
        raise ValueError(f"samples is at least 2, not {how.samples}")
    if not 0 < how.confidence < 1:
        raise ValueError(f"confidence is between 0 and 1, not {how.confidence}")


def _expected(f: Function, d: Distribution, how: _How) -> Estimate:
    if isinstance(d, Mixture):
        return _mixed(f, d, how)
    if how.gradient == "exact" and how.method in ("monte_carlo", "quasi"):
        drawn = _expected(f, stop_gradient(d), replace(how, gradient=_natural(d)))
        exact = _expected(f, d, replace(how, method="exact")).value
        return replace(drawn, value=map_tree(lambda y, e: stop_gradient(y) + (e - stop_gradient(e)), drawn.value, exact))
    if how.gradient == "score" and _moving(d) and isinstance(d, Uniform | Empirical):
        raise ValueError(
            'the points that this distribution can take move with its parameters: take gradient="pathwise", not the score'
        )
    jumps = isinstance(d, Discrete) and not isinstance(d, Empirical)
    if how.gradient == "pathwise" and jumps and _moving(d) and how.method in ("monte_carlo", "quasi"):
        raise ValueError('a discrete draw does not move with a parameter, it jumps: take gradient="score" or "exact"')
    return _METHODS[how.method](f, d, how)


def _moving(d: Distribution) -> bool:
    """Is a parameter a traced value, so that a derivative may be asked for?"""
    return any(isinstance(x, Value) for x in flatten(d)[0])


def _mixed(f: Function, d: Mixture, how: _How) -> Estimate:
    keys = [None] * len(d.parts) if how.key is None else random.split(how.key, len(d.parts))
    parts = [_expected(f, p, replace(how, key=k)) for p, k in zip(d.parts, keys, strict=True)]
    w = [d.weights[k] for k in range(len(parts))]
    fixed = stop_gradient(w)
    value = map_tree(lambda *ys: sum([a * y for a, y in zip(w, ys, strict=True)]), *[p.value for p in parts])
    error = map_tree(
        lambda *es: np.sqrt(sum([np.square(a * e) for a, e in zip(fixed, es, strict=True)])), *[p.error for p in parts]
    )
    sampled = how.method in ("monte_carlo", "quasi")
    return _with_interval(value, error, float(special.ndtri(0.5 + how.confidence / 2)) if sampled else 1.0)


def _with_interval(value: Any, error: Any, factor: float) -> Estimate:
    center = stop_gradient(value)
    low = map_tree(lambda v, e: v - factor * e, center, error)
    high = map_tree(lambda v, e: v + factor * e, center, error)
    return Estimate(value, error, (low, high))


# --- weights ------------------------------------------------------------------------------------------------------------------


def _log_density(d: Distribution, x: Any) -> Any:
    """Of whole draws (n, *shape): the components are independent."""
    log_p = d.log_density(x)
    return np.sum(np.reshape(log_p, (np.shape(log_p)[0], -1)), 1)


def _ratio(d: Distribution, x: Any) -> Any:
    """p(x; theta) / p(x; theta now) for each draw: 1, with the derivatives of the density."""
    log_p = _log_density(d, x)
    return np.exp(log_p - stop_gradient(log_p))


def _scaled(w: Any, y: Any) -> Any:
    """Row k of y times w_k."""
    return np.reshape(w, (-1, *[1] * (np.ndim(y) - 1))) * y


# --- methods ------------------------------------------------------------------------------------------------------------------


def _exact(f: Function, d: Distribution, how: _How) -> Estimate:
    if isinstance(d, Discrete):
        points, p = d.support()
        value = map_tree(lambda y: np.tensordot(p, y, 1)[()], vmap(f)(points))
        return _with_interval(value, map_tree(lambda y: np.zeros(np.shape(y)), value), 1.0)
    c = _continuous(d)
    low, high = c.bounds()
    base = stop_gradient(c) if how.gradient == "score" else c

    def integrand(z: Any) -> Any:
        z = np.reshape(z, (-1,))
        x, w = base.point(z), np.prod(base.weight(z))
        w = w * _ratio(d, np.expand_dims(x, 0))[0] if how.gradient == "score" else w
        return map_tree(lambda y: w * y, f(x))

    if c.coordinates > 3:
        raise ValueError(f'an exact integral over {c.coordinates} coordinates needs too many points: take method="quasi"')
    ends = (low[0], high[0]) if c.coordinates == 1 else (low, high)
    found: Integral = integrate(integrand, *ends, full_output=True)
    return _with_interval(found.value, found.error, 1.0)


def _continuous(d: Distribution) -> Continuous:
    if not isinstance(d, Continuous):
        raise TypeError(f'{type(d).__name__} has no integral here: take method="monte_carlo"')
    return d


def _quadrature(f: Function, d: Distribution, how: _How) -> Estimate:
    if isinstance(d, Discrete):
        return _exact(f, d, how)
    m = _continuous(d).coordinates
    if how.samples is None and m not in _NODES:
        raise ValueError(f'a product rule over {m} coordinates needs too many nodes: take method="quasi"')
    n = how.samples or _NODES[m]
    if n**m > 2**22:
        raise ValueError(f'{n} nodes along each of {m} coordinates are too many: take fewer samples, or method="quasi"')
    value = _product_rule(f, _continuous(d), n, how)
    coarse = _product_rule(f, stop_gradient(d), max(n // 2, 1), how)
    return _with_interval(value, stop_gradient(map_tree(lambda v, c: np.abs(v - c), value, coarse)), 1.0)


def _product_rule(f: Function, d: Continuous, n: int, how: _How) -> Any:
    base = stop_gradient(d) if how.gradient == "score" else d
    z, w = base.rule(n)
    m = d.coordinates
    at = np.stack(np.meshgrid(*[np.arange(n)] * m, indexing="ij"), -1).reshape(-1, m)
    grid = np.stack([z[:, j][at[:, j]] for j in range(m)], 1)
    weights = w[:, 0][at[:, 0]]
    for j in range(1, m):
        weights = weights * w[:, j][at[:, j]]
    x = vmap(base.point)(grid)
    weights = weights * _ratio(d, x) if how.gradient == "score" else weights
    return map_tree(lambda y: np.tensordot(weights, y, 1)[()], vmap(f)(x))


def _monte_carlo(f: Function, d: Distribution, how: _How) -> Estimate:
    n = how.samples or _SAMPLES
    base = stop_gradient(d) if how.gradient == "score" else d
    return _averaged(f, d, base.sample(how.key, n), n, how)


def _quasi(f: Function, d: Distribution, how: _How) -> Estimate:
    base: Any = stop_gradient(d) if how.gradient == "score" else d
    if not hasattr(base, "from_uniform"):
        raise TypeError(f'{type(d).__name__} is not made from uniform numbers: take method="monte_carlo"')
    size = max(int(np.prod(base.units)), 1)
    u, _ = quasi_points(how.samples or _SAMPLES, size, how.key)
    return _averaged(f, d, base.from_uniform(np.reshape(u, (-1, *base.units))), _SHIFTS, how)


def _averaged(f: Function, d: Distribution, x: Any, groups: int, how: _How) -> Estimate:
    """The mean over draws in independent groups (of one draw each, or the points of one shift)."""
    ys = vmap(f)(x)
    ratio = _ratio(d, x) if how.gradient == "score" and _moving(d) else None
    value = map_tree(lambda y: _mean(y, ratio, groups, how.baseline), ys)
    error = stop_gradient(map_tree(lambda y: np.std(_by_group(y, groups), 0, ddof=1) / np.sqrt(groups), ys))
    return _with_interval(value, error, float(special.stdtrit(groups - 1, 0.5 + how.confidence / 2)))


def _by_group(y: Any, groups: int) -> Any:
    return np.mean(np.reshape(y, (groups, -1, *np.shape(y)[1:])), 1)


def _mean(y: Any, ratio: Any, groups: int, baseline: bool) -> Any:
    if ratio is None:
        return np.mean(y, 0)
    weighted = _scaled(ratio, y)
    if baseline:
        means = stop_gradient(_by_group(y, groups))
        others = (np.sum(means, 0) - means) / (groups - 1)
        weighted = weighted - _scaled(ratio - 1, np.repeat(others, np.shape(y)[0] // groups, 0))
    return np.mean(weighted, 0)


_METHODS: dict[str, Callable[[Function, Distribution, _How], Estimate]] = {
    "exact": _exact, "quadrature": _quadrature, "monte_carlo": _monte_carlo, "quasi": _quasi,
}  # fmt: skip

__all__ = ["Estimate", "expectation"]
