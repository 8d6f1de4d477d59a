"""Every optimiser walks the path of Optax's for 100 steps, and that of its published pseudo-code; on every way of running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import chainrule as cr

o = cr.optim
STEPS = 100
NAMES = [
    "gradient_descent", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "amsgrad", "adamw", "nadam", "radam",
    "lion", "adafactor", "muon",
]  # fmt: skip
# Both sides do the same few roundings per step in another order; errors add up over the steps and division by small roots amplifies.
RTOL = 1e-9


def params() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {"W": rng.normal(size=(5, 4)), "b": rng.normal(size=4), "deep": [rng.normal(size=3)]}


def gradients(k: int, x: Any) -> Any:
    """A gradient that depends on the place and the step: a bent bowl with noise that changes its size by orders of magnitude."""
    rng = np.random.default_rng(k)
    return {
        "W": np.sin(x["W"]) + 0.3 * rng.normal(size=(5, 4)),
        "b": x["b"] ** 3 * 10.0 ** rng.integers(-3, 2) + 0.01 * rng.normal(size=4),
        "deep": [x["deep"][0] + rng.normal(size=3)],
    }


def walk(rule: Any, steps: int = STEPS) -> dict[str, Any]:
    x = params()
    state = rule.init(x)
    for k in range(steps):
        x, state = rule.step(x, gradients(k, x), state)
    return x


def walk_optax(tx: Any) -> dict[str, Any]:
    x = jax.tree.map(jnp.asarray, params())
    state, update = tx.init(x), jax.jit(tx.update)
    for k in range(STEPS):
        g = gradients(k, jax.tree.map(np.asarray, x))
        updates, state = update(g, state, x)
        x = optax.apply_updates(x, updates)
    return x


def assert_close(x: Any, y: Any, rtol: float = RTOL) -> None:
    for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=rtol)


WITH_OPTAX: dict[str, tuple[Any, Any]] = {
    "gradient_descent": (o.gradient_descent(0.05), optax.sgd(0.05)),
    "sgd": (o.sgd(0.05), optax.sgd(0.05)),
    "sgd with decay": (o.sgd(0.05, weight_decay=0.1), optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05))),
    "momentum": (o.momentum(0.02, 0.9), optax.sgd(0.02, momentum=0.9)),
    "nesterov": (o.nesterov(0.02, 0.9), optax.sgd(0.02, momentum=0.9, nesterov=True)),
    "adagrad": (o.adagrad(0.1, eps=0.0, initial_accumulator=0.1), optax.adagrad(0.1, 0.1, eps=0.0)),
    "rmsprop": (o.rmsprop(0.01, decay=0.95, eps=1e-6), optax.rmsprop(0.01, 0.95, 1e-6, eps_in_sqrt=False)),
    "rmsprop, momentum": (o.rmsprop(0.01, momentum=0.8), optax.rmsprop(0.01, 0.9, 1e-8, eps_in_sqrt=False, momentum=0.8)),
    "rmsprop, centred": (o.rmsprop(0.01, eps=1e-4, centered=True), optax.rmsprop(0.01, 0.9, 1e-4, centered=True, eps_in_sqrt=False)),
    "adadelta": (o.adadelta(1.0, decay=0.9, eps=1e-6), optax.adadelta(1.0, 0.9, 1e-6)),
    "adam": (o.adam(0.01), optax.adam(0.01)),
    "adam, other betas": (o.adam(0.01, beta1=0.8, beta2=0.95, eps=1e-3), optax.adam(0.01, 0.8, 0.95, 1e-3)),
    "amsgrad": (o.amsgrad(0.01), optax.amsgrad(0.01)),
    "adamw": (o.adamw(0.01, weight_decay=0.1), optax.adamw(0.01, weight_decay=0.1)),
    "nadam": (o.nadam(0.01), optax.nadam(0.01)),
    "radam": (o.radam(0.01), optax.radam(0.01)),
    "radam, soon certain": (o.radam(0.01, beta2=0.9), optax.radam(0.01, b2=0.9)),
    "lion": (o.lion(0.01, weight_decay=0.1), optax.lion(0.01, weight_decay=0.1)),
    "adafactor": (o.adafactor(0.01), optax.adafactor(0.01, min_dim_size_to_factor=1)),
    "muon": (
        o.muon(0.01, nesterov=False, eps=0.0),
        optax.contrib.muon(
            0.01, nesterov=False, eps=0.0, adam_b2=0.999, weight_decay=0.0, muon_weight_dimension_numbers=None
        ),
    ),
    "a schedule": (o.adam(o.schedules.exponential(0.1, 0.9, 10)), optax.adam(optax.exponential_decay(0.1, 10, 0.9))),
    "clipping": (o.chain(o.clip_by_global_norm(0.5), o.adam(0.01)), optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.01))),
    "clipping by value": (o.chain(o.clip_by_value(0.1), o.sgd(0.1)), optax.chain(optax.clip(0.1), optax.sgd(0.1))),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_OPTAX)
def test_walks_the_path_of_optax(name: str) -> None:
    ours, theirs = WITH_OPTAX[name]
    if name == "muon":  # Optax's matrices act as x @ W, ours as W @ x
        flat = np.random.default_rng(2).normal(size=(STEPS, 6, 3))
        x, y = np.ones((6, 3)), jnp.ones((3, 6))
        state, other, update = ours.init(x), theirs.init(y), jax.jit(theirs.update)
        for g in flat:
            x, state = ours.step(x, g, state)
            updates, other = update(g.T, other, y)
            y = optax.apply_updates(y, updates)
        np.testing.assert_allclose(x, np.asarray(y).T, rtol=1e-9)
        return
    single = name in ("adafactor", "a schedule")  # Optax computes decay rates and schedules in single precision
    assert_close(walk(ours), walk_optax(theirs), 1e-6 if single else RTOL)


# --- PyTorch's documented pseudo-code, on one array --------------------------------------------------------------------------------


def torch_sgd(x: Any, grads: Iterator[Any], lr: float, mu: float, wd: float, nesterov: bool) -> Any:
    b = None
    for g in grads:
        g = g + wd * x
        b = g if b is None else mu * b + g
        x = x - lr * (g + mu * b if nesterov else b)
    return x


def torch_adagrad(x: Any, grads: Iterator[Any], lr: float, eps: float) -> Any:
    total = 0.0
    for g in grads:
        total = total + g * g
        x = x - lr * g / (np.sqrt(total) + eps)
    return x


def torch_rmsprop(x: Any, grads: Iterator[Any], lr: float, alpha: float, eps: float, mu: float, centered: bool) -> Any:
    v, b, mean = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for g in grads:
        v = alpha * v + (1 - alpha) * g**2
        mean = mean * alpha + (1 - alpha) * g
        tilde = v - mean**2 if centered else v
        b = mu * b + g / (np.sqrt(tilde) + eps)
        x = x - lr * b
    return x


def torch_adadelta(x: Any, grads: Iterator[Any], lr: float, rho: float, eps: float) -> Any:
    v, u = np.zeros_like(x), np.zeros_like(x)
    for g in grads:
        v = v * rho + g**2 * (1 - rho)
        delta = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u = u * rho + delta**2 * (1 - rho)
        x = x - lr * delta
    return x


def torch_adam(x: Any, grads: Iterator[Any], lr: float, wd: float, decoupled: bool) -> Any:
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(grads, 1):
        if decoupled:
            x = x - lr * wd * x
        else:
            g = g + wd * x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return x


def torch_radam(x: Any, grads: Iterator[Any], lr: float, b1: float, b2: float) -> Any:
    m, v, limit = np.zeros_like(x), np.zeros_like(x), 2 / (1 - b2) - 1
    for t, g in enumerate(grads, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        hat, rho = m / (1 - b1**t), limit - 2 * t * b2**t / (1 - b2**t)
        if rho > 5:
            length = np.sqrt(1 - b2**t) / np.sqrt(v)  # epsilon 0: it stands elsewhere in PyTorch
            r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            x = x - lr * hat * r * length
        else:
            x = x - lr * hat
    return x


PUBLISHED: dict[str, tuple[Any, Callable[..., Any], tuple[Any, ...]]] = {
    "SGD": (o.sgd(0.1), torch_sgd, (0.1, 0.0, 0.0, False)),
    "SGD, momentum, decay": (o.momentum(0.1, 0.9, weight_decay=0.2), torch_sgd, (0.1, 0.9, 0.2, False)),
    "SGD, nesterov": (o.nesterov(0.1, 0.8), torch_sgd, (0.1, 0.8, 0.0, True)),
    "Adagrad": (o.adagrad(0.01, eps=1e-10), torch_adagrad, (0.01, 1e-10)),
    "RMSprop": (o.rmsprop(0.01, decay=0.99), torch_rmsprop, (0.01, 0.99, 1e-8, 0.0, False)),
    "RMSprop, all": (o.rmsprop(0.01, decay=0.99, centered=True, momentum=0.5), torch_rmsprop, (0.01, 0.99, 1e-8, 0.5, True)),
    "Adadelta": (o.adadelta(1.0, decay=0.9, eps=1e-6), torch_adadelta, (1.0, 0.9, 1e-6)),
    "Adam": (o.adam(0.01), torch_adam, (0.01, 0.0, False)),
    "Adam, coupled decay": (o.adam(0.01, weight_decay=0.3), torch_adam, (0.01, 0.3, False)),
    "AdamW": (o.adamw(0.01, weight_decay=0.3), torch_adam, (0.01, 0.3, True)),
    "RAdam": (o.radam(0.01, eps=0.0), torch_radam, (0.01, 0.9, 0.999)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_walks_the_path_of_pytorchs_pseudo_code(name: str) -> None:
    rule, theirs, arguments = PUBLISHED[name]
    rng = np.random.default_rng(3)
    grads, x = rng.normal(size=(STEPS, 7)) * 10.0 ** rng.integers(-2, 2, (STEPS, 1)), rng.normal(size=7)
    expected = theirs(x, iter(grads), *arguments)
    state = rule.init(x)
    for g in grads:
        x, state = rule.step(x, g, state)
    # the centred square root divides by a difference that cancels
    np.testing.assert_allclose(x, expected, rtol=1e-7 if "all" in name else RTOL)


def test_adafactor_keeps_rows_and_columns_and_follows_the_paper() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 2))
    rule, r, c, y = o.adafactor(), np.zeros(3), np.zeros(2), x
    state = rule.init(x)
    assert sum(np.size(leaf) for leaf in jax.tree.leaves(state)) == 3 + 2 + 2  # rows, columns and two counts
    for t in range(1, 30):
        g = rng.normal(size=(3, 2))
        x, state = rule.step(x, g, state)
        beta, square = 1 - t**-0.8, g**2 + 1e-30
        r, c = beta * r + (1 - beta) * square.sum(1), beta * c + (1 - beta) * square.sum(0)
        u = g / np.sqrt(np.outer(r, c) / r.sum())
        u = u / max(1.0, np.sqrt(np.mean(u**2)))
        y = y - max(1e-3, np.sqrt(np.mean(y**2))) * min(1e-2, 1 / np.sqrt(t)) * u
        np.testing.assert_allclose(x, y, rtol=1e-12)


def test_muon_follows_jordans_code() -> None:
    rng = np.random.default_rng(5)
    x = y = rng.normal(size=(6, 4))
    rule, b = o.muon(0.1), np.zeros((6, 4))
    state = rule.init(x)
    for _ in range(20):
        g = rng.normal(size=(6, 4))
        x, state = rule.step(x, g, state)
        b = 0.95 * b + g
        z = (g + 0.95 * b).T
        z = z / (np.linalg.norm(z) + 1e-7)
        for _ in range(5):
            a = z @ z.T
            z = 3.4445 * z + (-4.7750 * a + 2.0315 * a @ a) @ z
        y = y - 0.1 * np.sqrt(6 / 4) * z.T
    np.testing.assert_allclose(x, y, rtol=1e-9)


def test_newton_schulz_makes_all_singular_values_nearly_one() -> None:
    g = np.random.default_rng(6).normal(size=(8, 5))
    u, _, vt = np.linalg.svd(g, full_matrices=False)
    z = o.newton_schulz(g)
    assert np.all((np.linalg.svd(z)[1] > 0.6) & (np.linalg.svd(z)[1] < 1.3))
    cubic = o.newton_schulz(g, steps=40, coefficients=(1.5, -0.5, 0.0))
    np.testing.assert_allclose(cubic, u @ vt, atol=1e-6)


# --- on every way of running ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_runs_eagerly_compiled_and_in_a_loop_alike(name: str, schedule: bool) -> None:
    rate = o.schedules.warmup(o.schedules.cosine(0.05, 6), 2) if schedule else 0.05
    rule = getattr(o, name)(rate)
    x = params()
    state, compiled = rule.init(x), cr.jit(rule.step)
    a, b = (x, state), (x, state)
    for _ in range(5):
        a, b = rule.step(a[0], a[0], a[1]), compiled(b[0], b[0], b[1])
    c, _ = cr.scan(lambda s, _: (rule.step(s[0], s[0], s[1]), None), (x, state), None, 5)
    assert_close(a, b, 1e-12)
    assert_close(a, c, 1e-12)
    assert not np.allclose(a[0]["W"], x["W"])


@pytest.mark.parametrize("schedule", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_single_precision_stays_single(name: str, schedule: bool) -> None:
    rule = getattr(o, name)(o.schedules.sqrt(0.05) if schedule else 0.05)
    x = jax.tree.map(lambda a: a.astype(np.float32), params())
    state = rule.init(x)
    for _ in range(3):
        x, state = rule.step(x, x, state)
    assert {a.dtype for a in jax.tree.leaves(x)} == {np.dtype(np.float32)}


def test_a_path_can_be_differentiated_with_respect_to_the_learning_rate() -> None:
    rule, x0 = o.momentum, np.array([1.0, -2.0])

    def end(rate: Any) -> Any:
        r = rule(rate, 0.5)
        x, state = x0, r.init(x0)
        for _ in range(3):
            x, state = r.step(x, np.array([1.0, 4.0]) * x, state)
        return np.sum(x**2)

    h = 1e-6
    assert cr.grad(end)(0.1) == pytest.approx((end(0.1 + h) - end(0.1 - h)) / (2 * h), rel=1e-7)


def test_epsilon_is_eps() -> None:
    assert_close(walk(o.adam(0.1, epsilon=0.5), 3), walk(o.adam(0.1, eps=0.5), 3), 0)


def test_a_rule_by_hand_is_a_stage_of_a_chain() -> None:
    by_hand = o.Rule(lambda p: (), lambda p, g, s: (p - 0.1 * g, s))
    chained = o.chain(o.clip_by_value(1.0), by_hand)
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(chained.step(x, np.array([5.0, 0.5]), chained.init(x))[0], [0.9, 1.95])


# --- decay, prox, averages ----------------------------------------------------------------------------------------------------------


def test_decay_is_the_l2_penalty_for_sgd_and_is_not_for_adam() -> None:
    def path(make: Callable[[float], Any], penalty: float) -> Any:
        rule, x = make(0.0 if penalty else 0.1), np.array([1.0, -3.0])
        state = rule.init(x)
        for _ in range(10):
            x, state = rule.step(x, np.array([1.0, 100.0]) * x + penalty * x, state)
        return x

    sgd = [path(lambda wd: o.sgd(0.01, weight_decay=wd), p) for p in (0.0, 0.1)]
    coupled = [path(lambda wd: o.adam(0.01, weight_decay=wd), p) for p in (0.0, 0.1)]
    decoupled = [path(lambda wd: o.adamw(0.01, weight_decay=wd), p) for p in (0.0, 0.1)]
    np.testing.assert_allclose(*sgd, rtol=1e-12)
    np.testing.assert_allclose(*coupled, rtol=1e-12)
    assert np.max(np.abs(decoupled[0] - decoupled[1])) > 1e-3


class SoftThreshold:
    """The proximal map of lam |x|_1."""

    def __init__(self, lam: float) -> None:
        self.lam = lam

    def prox(self, x: Any, step: Any) -> Any:
        return np.sign(x) * np.maximum(np.abs(x) - step * self.lam, 0)


def test_proximal_uses_the_rules_current_step_and_reaches_exact_zeros() -> None:
    rate = o.schedules.decay(0.5, beta=1.0)
    rule = o.chain(o.sgd(rate), o.proximal(SoftThreshold(1.0)))
    x, state, y = np.array([3.0, -0.2]), rule.init(np.zeros(2)), np.array([3.0, -0.2])
    for k in range(6):
        g = x - np.array([2.0, 0.1])
        x, state = rule.step(x, g, state)
        y = SoftThreshold(1.0).prox(y - rate(k) * (y - np.array([2.0, 0.1])), rate(k))
    np.testing.assert_array_equal(x, y)
    assert x[1] == 0.0
    # the fixed point of the proximal step is the minimiser of |x - a|^2 / 2 + |x|_1, which is the soft threshold of a at 1
    rule = o.chain(o.sgd(0.5), o.proximal(SoftThreshold(1.0)))
    state = rule.init(x)
    for _ in range(80):
        x, state = rule.step(x, x - np.array([2.0, 0.1]), state)
    np.testing.assert_allclose(x, [1.0, 0.0], atol=1e-12)


def test_averages() -> None:
    rng = np.random.default_rng(7)
    grads, x = rng.normal(size=(12, 3)), rng.normal(size=3)
    rule = o.chain(o.sgd(0.1), o.polyak_averaging(start=4))
    moving = o.chain(o.sgd(0.1), o.ema(0.75))
    state, other, path, y, mean = rule.init(x), moving.init(x), [], x, x
    for g in grads:
        x, state = rule.step(x, g, state)
        y, other = moving.step(y, g, other)
        path.append(x)
        mean = 0.75 * mean + 0.25 * y
    np.testing.assert_allclose(o.average(state), np.mean(path[4:], axis=0), rtol=1e-13)
    np.testing.assert_allclose(o.average(other), mean, rtol=1e-13)
    with pytest.raises(ValueError, match="keeps no average"):
        o.average(o.sgd(0.1).init(x))


# --- Adam's counter-example ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "good"), [("adam", False), ("amsgrad", True)])
def test_reddi_kale_and_kumar_2018_section_3(name: str, good: bool) -> None:
    """f_t(x) = C x every third step and -x else, on [-1, 1]: the best fixed point is -1; Adam is driven to +1, AMSGrad is not."""
    c = 4.0
    rule = getattr(o, name)(o.schedules.sqrt(0.5), beta1=0.0, beta2=1 / (1 + c**2), eps=0.0)
    x, state, regret = np.array(1.0), rule.init(np.array(1.0)), 0.0
    steps = 6000
    for t in range(1, steps + 1):
        slope = c if t % 3 == 1 else -1.0
        regret += slope * float(x) - slope * -1.0
        x, state = rule.step(x, np.array(slope), state)
        x = np.clip(x, -1.0, 1.0)
    assert (x < -0.9) == good
    # the average regret of the best fixed point against staying at +1 is 2 (C - 2) / 3
    assert (regret / steps < 0.1 * 2 * (c - 2) / 3) == good
