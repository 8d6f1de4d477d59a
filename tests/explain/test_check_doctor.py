"""The doctor, tested by mutation: planted mistakes are caught, and named."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.losses import LOSSES
from explain_gradients import CASES, PAIRS, Case

PLANTED = [(c, m) for c in CASES for m in c.mistakes]


def named(case: Case, *bugs: str) -> cr.Check:
    return cr.check(case.f, case.make(*bugs), *case.args, argnums=case.argnums, seconds=120)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_right_gradients_are_right(case: Case) -> None:
    c = named(case)
    assert c.ok is True, str(c)
    assert c.max_error < 1e-12


@pytest.mark.parametrize(("case", "mistake"), PLANTED, ids=[f"{c.name}: {m}" for c, m in PLANTED])
def test_planted_mistakes_are_named_first(case: Case, mistake: str) -> None:
    c = named(case, mistake)
    assert c.ok is False
    assert c.diagnoses[0].kind in case.mistakes[mistake], str(c)
    assert not c.diagnoses[0].same_numbers


@pytest.mark.parametrize(("name", "bugs"), [p for p in PAIRS if len(p[1]) == 2], ids=str)
def test_two_mistakes_are_both_named(name: str, bugs: tuple[str, str]) -> None:
    case = next(c for c in CASES if c.name == name)
    first = named(case, *bugs).diagnoses[0]
    assert len(first.parts) == 2, first
    wanted = [set(case.mistakes[b]) for b in bugs]
    kinds = [p.kind for p in first.parts]
    assert any(a in wanted[0] and b in wanted[1] for a, b in (kinds, kinds[::-1])), first


# --- losses: one edit of the derivative of each -----------------------------------------------------------------------------


def example(name: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), size=5)
    if name in ("categorical_cross_entropy", "kl_divergence", "js_divergence"):
        return rng.dirichlet(np.ones(4), size=5), probabilities
    if name == "sparse_categorical_cross_entropy":
        return rng.integers(0, 4, size=5), probabilities
    if name in ("binary_cross_entropy", "focal"):
        return (rng.random(6) < 0.5) * 1.0, rng.uniform(0.1, 0.9, size=6)
    if name in ("hinge", "squared_hinge"):
        return rng.choice([-1.0, 1.0], size=6), rng.normal(size=6)
    if name in ("contrastive", "poisson"):
        return (rng.random(6) < 0.5) * 1.0, rng.uniform(0.2, 2, size=6)
    if name in ("info_nce", "cosine"):
        return rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    return rng.normal(size=6), rng.normal(size=6)


EDITS = {
    "right": (lambda g, n: g, None),
    "sign": (lambda g, n: -g, "sign"),
    "no 1/n": (lambda g, n: g * n, "scale"),
    "1/n squared": (lambda g, n: g / n, "scale"),
    "doubled": (lambda g, n: 2 * g, "scale"),
    "halved": (lambda g, n: g / 2, "scale"),
    "column": (lambda g, n: g[..., None], "layout"),
    "not summed": (lambda g, n: np.stack([0.25 * g, 0.75 * g]), "layout"),
}


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "triplet"])
@pytest.mark.parametrize("edit", EDITS)
def test_edited_derivatives_of_losses(name: str, edit: str) -> None:
    loss = LOSSES[name]
    change, kind = EDITS[edit]
    y, p = example(name)
    c = cr.check(loss, lambda y, p: change(loss.derivative(y, p), len(y)), y, p, argnums=1)
    if kind is None:
        assert c.ok is True, str(c)
    else:
        assert c.ok is False
        assert c.diagnoses[0].kind == kind, str(c)


def test_the_factor_is_read_as_a_formula_of_sizes() -> None:
    """Even where the batch happens to be as large as the number of features."""
    X, w, y = np.random.default_rng(0).normal(size=(4, 4)), np.ones(4), np.zeros(4)
    c = cr.check(lambda w, X, y: np.mean((X @ w - y) ** 2), lambda w, X, y: 2 * X.T @ (X @ w - y) / len(w), w, X, y)
    assert c.diagnoses[0].kind == "scale"
    assert c.diagnoses[0].correction == "d/n * dw"
    assert any("they do not" in note for note in c.notes)


def test_a_stop_gradient_too_few_and_too_many() -> None:
    def loss(w, x):
        a = np.tanh(x * w)
        return np.sum(a * cr.stop_gradient(np.exp(w)))

    def both(w, x):
        a = np.tanh(x * w)
        return np.exp(w) * (x * (1 - a**2) + a)

    w, x = np.array([0.3, -0.7, 1.1]), np.array([1.0, 2.0, -1.5])
    c = cr.check(loss, both, w, x)
    assert c.diagnoses[0].kind == "constant"
    assert "stop_gradient" in c.diagnoses[0].message


def test_unknown_names_the_wrong_rows() -> None:
    def claimed(W, X):
        g = 2 * X.T @ (X @ W)
        g[1] += np.sin(37 * g[1]) + 0.3
        return g

    c = cr.check(
        lambda W, X: np.sum((X @ W) ** 2),
        claimed,
        *[np.random.default_rng(k).normal(size=s) for k, s in enumerate([(4, 3), (5, 4)])],
    )
    assert c.diagnoses[0].kind == "unknown"
    assert "rows 1 of W" in c.diagnoses[0].message


def test_large_graphs_are_diagnosed_in_time() -> None:
    import time

    def deep(w, x):
        h = x
        for _ in range(66):
            h = np.tanh(h * w) + 0.5 * x
        return np.sum(h)

    def claimed(w, x):
        return 2 * cr.grad(deep)(w, x)

    shown: list[str] = []
    start = time.process_time()
    c = cr.check(deep, claimed, np.full(3, 0.9), np.array([0.1, -0.4, 0.7]), progress=lambda what, done: shown.append(what))
    assert c.diagnoses[0].kind == "scale"
    assert shown
    assert time.process_time() - start < 10
