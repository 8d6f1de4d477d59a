"""Rewrites that keep a derivative from overflowing where the function itself is harmless.

Each is an identity of real numbers; rounding may differ in the last digits.  They are applied before differentiation,
because ``log(1 + exp(x))`` at 1000 overflows on the way to a derivative that is 1.
"""

from __future__ import annotations

from chainrule.ir.graph import Graph
from chainrule.transform.rules import is_inexact, rewrite, rule

_real = is_inexact("x")

RULES = (
    rule("log(1 + exp(x))", "logaddexp(0, x)", _real),
    rule("log1p(exp(x))", "logaddexp(0, x)", _real),
    rule("log(exp(x) + exp(y))", "logaddexp(x, y)", _real),
    rule("1 / (1 + exp(-x))", "expit(x)", _real),
    rule("1 / (1 + exp(x))", "expit(-x)", _real),
    rule("exp(x) / (1 + exp(x))", "expit(x)", _real),
    rule("(exp(x) - exp(-x)) / (exp(x) + exp(-x))", "tanh(x)", _real),
    rule("(1 - exp(-x)) / (1 + exp(-x))", "tanh(0.5 * x)", _real),
    rule("log(expit(x))", "-logaddexp(0, -x)", _real),
    rule("log(1 - expit(x))", "-logaddexp(0, x)", _real),
    rule("log1p(-expit(x))", "-logaddexp(0, x)", _real),
    rule("log(exp(x))", "x", _real),
    rule("sqrt(x * x)", "abs(x)", _real),
    rule("sqrt(square(x))", "abs(x)", _real),
    rule("sqrt(pow(x, 2))", "abs(x)", _real),
    # The root that np.linalg.norm and np.std take has derivative 0 at 0; its square is smooth there.
    rule("square(select(eq(x, 0), 0, sqrt(select(eq(x, 0), 1, x))))", "x", _real),
    rule("pow(select(eq(x, 0), 0, sqrt(select(eq(x, 0), 1, x))), 2)", "x", _real),
    rule("select(eq(x, 0), 0, sqrt(select(eq(x, 0), 1, x))) * select(eq(x, 0), 0, sqrt(select(eq(x, 0), 1, x)))", "x", _real),
)
"""The rewrites, as equations from left to right."""


def stable(g: Graph) -> Graph:
    """The same function of real numbers, without the overflows that `RULES` know; `g` itself where there are none."""
    return rewrite(g, RULES)
