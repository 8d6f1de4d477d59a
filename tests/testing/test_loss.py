"""Losses written by hand against what they are meant to be."""

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
G = RNG.normal(size=(6, 3))
labels = (RNG.random(8) < 0.5) * 1.0
p = RNG.uniform(0.1, 0.9, size=8)
a, b = RNG.normal(size=(2, 5))


def penalty(reduce=np.mean, axis=1, square=True, order=None):
    def f(g):
        norm = np.linalg.norm(g, order, axis=axis) if square else np.sum(g**2, axis=axis)
        return reduce((norm - 1) ** 2)

    return f


def cross_entropy(log=np.log, sign=1):
    return lambda y, p: -np.mean(y * log(p) + sign * (1 - y) * log(1 - p))


CASES = {
    "right": (penalty(), "wgan-gp", (G,), None, ""),
    "axis 0": (penalty(axis=0), "wgan-gp", (G,), "layout", "axis -1"),
    "all axes": (penalty(axis=None), "wgan-gp", (G,), "layout", "over all axes"),
    "sum": (penalty(np.sum), "wgan-gp", (G,), "scale", "sum where a mean"),
    "no root": (penalty(square=False), "wgan-gp", (G,), "term", "square root"),
    "1-norm": (penalty(order=1), "wgan-gp", (G,), "term", "2-norm"),
    "square of the mean": (lambda g: np.mean(np.linalg.norm(g, axis=1) - 1) ** 2, "wgan-gp", (G,), "term", "mean of the squares"),
    "base 2": (cross_entropy(np.log2), "binary_cross_entropy", (labels, p), "scale", "base 2"),
    "sign inside": (cross_entropy(sign=-1), "bce", (labels, p), "sign", "adds what should be subtracted"),
    "half": (lambda y, p: 0.5 * np.mean((y - p) ** 2), cr.losses.mse, (a, b), "scale", "1/2"),
    "absolute": (lambda y, p: np.mean(np.abs(y - p)), cr.losses.mse, (a, b), "term", "square is meant"),
    "pairs": (lambda y, p: np.mean((y - p) ** 2), cr.losses.mse, (a, b[:, None]), "shape", "every element against every other"),
    "epsilon": (lambda x: np.sum(np.log(x) + 1e-3), lambda x: np.sum(np.log(x + 1e-3)), (p,), "constant", "inside"),
    "per example": (lambda y, p: (y - p) ** 2, "mse", (a, b), "shape", "mean is meant"),
    "formula": (lambda y, p: np.sum((y - p) ** 2), "mean((y - p)**2)", (a, b), "scale", "sum where a mean"),
    "right formula": (lambda y, p: np.mean((y - p) ** 2), "mean((y - p)**2)", (a, b), None, ""),
    "kl turned round": (lambda y, q: np.mean(np.sum(q * np.log(q / y), axis=1)), "kl", tuple(RNG.dirichlet(np.ones(3), size=(2, 4))), "unknown", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_edit_is_found(name: str) -> None:
    f, reference, args, kind, words = CASES[name]
    c = cr.check_loss(f, reference, *args)
    assert c.ok is (kind is None), c
    if kind is not None:
        assert c.diagnoses[0].kind == kind, c
        assert words in c.diagnoses[0].message, c


def td(v, r, u, end, discount=0.99):
    target = r + discount * (1 - end) * u
    return np.mean((target - v) ** 2)


def stopped(v, r, u, end, discount=0.99):
    return np.mean((cr.stop_gradient(r + discount * (1 - end) * u) - v) ** 2)


def test_a_missing_stop_gradient_shows_in_gradients_only() -> None:
    args = (*RNG.normal(size=(3, 6)), (RNG.random(6) < 0.3) * 1.0)
    c = cr.check_loss(td, "td", *args)
    assert (c.ok, c.diagnoses[0].kind) == (False, "constant")
    assert "`target`" in c.diagnoses[0].message
    assert "stop_gradient is missing" in c.diagnoses[0].message
    assert cr.check_loss(stopped, "td", *args).ok is True
    assert cr.check_loss(stopped, td, *args).diagnoses[0].kind == "constant"
    assert cr.check_loss(lambda *a, discount=0.9: stopped(*a, discount=discount), "td", *args, discount=0.9).ok is True


def test_names() -> None:
    names = cr.check_loss.names()
    assert names["wgan-gp"].startswith("gradients (n, d)")
    assert {"huber", "focal", "triplet", "kl_divergence", "categorical_cross_entropy"} <= set(names)
    with pytest.raises(ValueError, match="there is no loss"):
        cr.check_loss(td, "nonsense", a)


def test_published_forms_are_right_and_named() -> None:
    c = cr.check_loss(lambda g: 10 * penalty()(g), "wgan-gp", G)
    assert c.ok is True
    assert "coefficient 10" in c.notes[0]


def test_parameters_reach_both() -> None:
    def huber(y, p, delta=1.0):
        r = np.abs(p - y)
        return np.mean(np.where(r <= delta, 0.5 * r**2, delta * (r - 0.5 * delta)))

    assert cr.check_loss(huber, "huber", a, b, delta=0.3).ok is True
    assert cr.check_loss(lambda y, p: huber(y, p), "huber", a, b, delta=0.3).ok is False


def test_random_losses_are_wrong() -> None:
    c = cr.check_loss(lambda y, p: np.mean((y - p) ** 2) + np.random.default_rng().normal(), "mse", a, b)
    assert c.diagnoses[0].kind == "preflight"
