"""A wrong line is refused: every formula changed in one place must fail its verification, and nothing of it be printed."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import chainrule as cr
from chainrule.explain import build, module, steps
from chainrule.explain import nodes as nd
from chainrule.explain.nodes import Node
from chainrule.explain.sizes import Monomial
from chainrule.explain.verify import VerificationError, verified
from derivation_cases import CLASSICS

BY_NAME = {c.name: c for c in CLASSICS}
CHANGED = (
    "least squares with intercept",
    "ridge",
    "sigmoid layer",
    "softmax cross-entropy",
    "layer normalisation",
    "Gaussian log-likelihood, covariance",
    "cosine distance",
    "trace form",
    "tanh layer, Jacobian",
    "quadratic, Hessian",
    "least squares, numerator layout",
)
TWO, MINUS = Monomial(Fraction(2)), Monomial(Fraction(-1))


def of_node(x: Node) -> Iterator[Node]:
    """A node with a mistake of its own: a sign, a factor, a term, a power, a transpose, another function."""
    if isinstance(x, nd.Scaled):
        yield replace(x, m=x.m * TWO)
        yield replace(x, m=x.m * MINUS)
        if x.m.powers:
            yield replace(x, m=Monomial(x.m.number))
        for k in range(len(x.top)):
            yield replace(x, top=(*x.top[:k], *x.top[k + 1 :]))
    if isinstance(x, nd.Total):
        for k, (sign, part) in enumerate(x.parts):
            yield replace(x, parts=(*x.parts[:k], (-sign, part), *x.parts[k + 1 :]))
            if len(x.parts) > 1:
                yield replace(x, parts=(*x.parts[:k], *x.parts[k + 1 :]))
    if isinstance(x, nd.Had):
        for k in range(len(x.top)):
            if len(x.top) > 1:
                yield replace(x, top=(*x.top[:k], *x.top[k + 1 :]))
    if isinstance(x, nd.Power):
        yield replace(x, p=x.p + 1)
    if isinstance(x, nd.Norm):
        yield replace(x, p=x.p + 1)
    if isinstance(x, nd.Func) and len(x.args) == 1:
        yield replace(x, row="tanh" if x.row != "tanh" else "expit")
    if isinstance(x, nd.Turn) and x.rank == 2 and x.sizes[0] == x.sizes[1]:
        yield x.x
    if isinstance(x, nd.Num):
        yield replace(x, m=x.m * TWO)


def mutants(x: Node) -> Iterator[Node]:
    """The tree with one node changed, for every node and every mistake."""
    yield from of_node(x)
    for field, inner in _children(x):
        for k, child in enumerate(inner):
            for y in mutants(child):
                yield _with(x, field, k, y)


def _children(x: Node) -> list[tuple[str, list[Node]]]:
    out: list[tuple[str, list[Node]]] = []
    for field in ("x", "body", "factors", "top", "bottom", "args", "parts"):
        value: Any = getattr(x, field, None)
        if isinstance(value, Node):
            out.append((field, [value]))
        elif isinstance(value, tuple) and value:
            out.append((field, [v[1] if isinstance(v, tuple) else v for v in value]))
    return out


def _with(x: Any, field: str, k: int, y: Node) -> Node:
    value = getattr(x, field)
    if isinstance(value, Node):
        return replace(x, **{field: y})
    new = (value[k][0], y) if isinstance(value[k], tuple) else y
    return replace(x, **{field: (*value[:k], new, *value[k + 1 :])})


@pytest.mark.parametrize("name", CHANGED)
def test_a_formula_changed_in_one_place_is_refused(name: str) -> None:
    d = BY_NAME[name].derive()
    places: list[tuple[list[Any], int]] = [(d.gradients, k) for k in range(len(d.gradients))]
    tried = 0
    for where, k in places:
        right = where[k]
        for wrong in mutants(right):
            where[k] = wrong
            tried += 1
            with pytest.raises(VerificationError):
                verified(d)
        where[k] = right
    for k, (part, right) in enumerate(d.definitions):
        for wrong in mutants(right):
            d.definitions[k] = (part, wrong)
            tried += 1
            with pytest.raises(VerificationError):
                verified(d)
        d.definitions[k] = (part, right)
    assert tried >= 2
    verified(d)


def test_a_mistake_in_the_algebra_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    best = build.best
    doubled = lambda x: best(x) if x.rank == 0 else best(x).scaled(TWO)
    monkeypatch.setattr(build, "best", doubled)
    with pytest.raises(VerificationError, match="derivative with respect to w is off"):
        BY_NAME["ridge"].derive()


def test_a_mistake_in_the_steps_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    d, e = BY_NAME["ridge"].derive(), BY_NAME["ridge"].derive()
    shares, tangent = steps._Part.shares, steps._Part.tangent
    monkeypatch.setattr(steps._Part, "shares", lambda self, seed: [x.scaled(TWO) for x in shares(self, seed)])
    with pytest.raises(VerificationError, match="with respect to w"):
        _ = d.steps
    monkeypatch.setattr(steps._Part, "tangent", lambda self: tangent(self).scaled(TWO))
    with pytest.raises(VerificationError, match="differentials"):
        _ = e.forward_steps


def test_a_mistake_in_the_source_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    d = BY_NAME["least squares"].derive()
    text = module._text
    monkeypatch.setattr(module, "_text", lambda e: text(e).replace("2 / n", "1 / n"))
    with pytest.raises(VerificationError, match="source does not compute"):
        _ = d.source


def test_both_witnesses_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """If automatic differentiation itself were wrong, difference quotients and the complex step would say so."""
    c = BY_NAME["ridge"]
    grad: Any = cr.calculus.grad
    d = c.derive()
    assert d.checks.quotient is not None
    assert d.checks.complex_step is not None
    monkeypatch.setattr(cr.calculus, "grad", lambda f, k: lambda *xs: 2 * grad(f, k)(*xs))
    d.gradients[0] = nd.Scaled(d.gradients[0].sizes, TWO, (), (), d.gradients[0])
    with pytest.raises(VerificationError, match="difference quotients"):
        verified(d)
