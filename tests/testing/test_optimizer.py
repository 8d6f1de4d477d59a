"""Optimisers written by hand: every variant in the table is told from every other, and named."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.testing.optimizer import _row, _same, _start, _walk
from chainrule.testing.updates import NAMES, hyperparameters, variants

H = {"learning_rate": 0.01, "weight_decay": 0.05, "momentum": 0.8}


def as_step(update, h):
    def step(p, g, state):
        t, s = state if state is not None else (0, {})
        return update(p, g, s, t + 1, h), (t + 1, s)

    return step


@pytest.mark.parametrize("rule", NAMES)
def test_every_variant_is_named(rule: str) -> None:
    h = hyperparameters(rule, H)
    walk = _walk(_start(0), h["epsilon"], 0)
    right = [walk.formula(v.update, h) for v in variants(rule, h) if v.right]
    for v in variants(rule, h):
        if not v.right and any(_same(walk.formula(v.update, h), path) for path in right):
            continue  # the same rule in other words: AMSGrad without any correction is the paper's
        c = cr.check_optimizer(as_step(v.update, h), rule, **H)
        assert c.ok is v.right, (v.name, str(c))
        if not v.right:
            said = " ".join(d.message for d in c.diagnoses).lower()
            assert v.name.lower() in said, (v.name, said)
            assert c.diagnoses[0].message.lower().startswith(v.name.lower()) or len(c.diagnoses) > 1


@pytest.mark.parametrize("rule", [n for n in NAMES if hasattr(cr.optim, n)])
def test_the_tables_agree_with_the_library(rule: str) -> None:
    """Two definitions of each rule, made apart, walk the same path."""
    h = hyperparameters(rule, {})
    mine = getattr(cr.optim, rule)(h["learning_rate"])
    step = lambda p, g, s: mine.step(p, g, mine.init(p) if s is None else s)
    assert cr.check_optimizer(step, rule).ok is True


def adam(correct=0, coupled=0.0, epsilon_first=False):
    def step(p, g, state):
        m, v, t = state if state is not None else (0 * p, 0 * p, 0)
        g, t = g + coupled * p, t + 1
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        top, low = 1 - 0.9 ** (t + correct), 1 - 0.999 ** (t + correct)
        root = (np.sqrt(v) + 1e-8) / np.sqrt(low) if epsilon_first else np.sqrt(v / low) + 1e-8
        return p - 0.01 * m / top / root, (m, v, t)

    return step


def test_the_sentences() -> None:
    say = lambda step, rule, **h: cr.check_optimizer(step, rule, lr=0.01, betas=(0.9, 0.999), eps=1e-8, **h).diagnoses[0].message
    assert say(adam(epsilon_first=True), "adam") == "This is Adam with epsilon inside the bias correction, as in TensorFlow."
    assert say(adam(coupled=0.1), "adamw", weight_decay=0.1) == "Coupled decay: L2 inside Adam, not AdamW."
    assert "ias correction off by one step" in say(adam(correct=1), "adam")
    assert cr.check_optimizer(adam(), cr.optim.adam(0.01)).ok is True
    assert "L2 inside Adam" in str(cr.check_optimizer(adam(coupled=0.1), cr.optim.adamw(0.01, weight_decay=0.1)))
    assert "2 times what was asked for" in str(cr.check_optimizer(adam(), "adam", lr=0.005))


def test_preflight_and_containers() -> None:
    params = {"W": np.ones((2, 3)), "b": np.zeros(3)}
    step = lambda p, g, s: ({k: p[k] - 0.1 * g[k] for k in p}, ())
    assert cr.check_optimizer(step, "sgd", params=params, lr=0.1).ok is True
    assert cr.check_optimizer(lambda p, g, s: p - g, "sgd").diagnoses[0].kind == "shape"
    assert cr.check_optimizer(lambda p, g, s: (p / 0, s), "sgd").diagnoses[0].kind == "preflight"
    assert cr.check_optimizer(lambda p, g, s: (np.sin(p), s), "sgd").diagnoses[0].kind == "unknown"
    with pytest.raises(ValueError, match="no rule"):
        cr.check_optimizer(step, "sgdx")
    with pytest.raises(TypeError, match="no hyper-parameter"):
        cr.check_optimizer(step, "sgd", lerning_rate=1)


def test_paths_that_differ_are_told_apart() -> None:
    """The walk shows differences as small as the place of epsilon."""
    walk = _walk(np.ones(10), 1e-8, 0)
    h = hyperparameters("adam", {})
    paths = [walk.formula(v.update, h) for v in variants("adam", h)[:3]]
    assert not _same(paths[0], paths[1])
    assert not _same(paths[1], paths[2])
    assert _row({"a": np.ones(2), "b": np.zeros(1)}).tolist() == [1, 1, 0]
