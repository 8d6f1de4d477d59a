r"""The chain rule as a lecture: one rule at a time.

Reverse mode starts at the result with 1 and asks of each value how much the result changes with it, walking back; forward mode
starts at the argument and says how much each value changes, walking on.  Both are read off the same program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.emit.symbols import symbol
from chainrule.explain import tensor as tn
from chainrule.explain.algebra import best
from chainrule.explain.build import jacobian, points
from chainrule.explain.instances import Instance, instances
from chainrule.explain.matrix import lower
from chainrule.explain.naming import substituted
from chainrule.explain.nodes import Node, in_elements
from chainrule.explain.reading import Reader
from chainrule.explain.sizes import ONE, fitted
from chainrule.explain.tensor import Leaf, Tensor
from chainrule.explain.typeset import Typesetter, subscript
from chainrule.explain.verify import TOLERANCE, VerificationError, difference, rounding
from chainrule.ir.graph import Eqn, Graph, Var
from chainrule.ir.hints import settle, text
from chainrule.transform.jvp import jvp
from chainrule.transform.stable import stable
from chainrule.transform.tidy import tidy
from chainrule.transform.vjp import vjp

if TYPE_CHECKING:
    from chainrule.explain.derive import Derivation

_PLUMBING = frozenset(("spread", "reshape", "cast", "neg", "stop_gradient", "select", "eq", "isfinite", "reduce_max"))
_RULES = {
    "add": "sum rule", "sub": "sum rule", "mul": "product rule", "div": "quotient rule", "pow": "power rule", "square": "power rule",
    "sqrt": "power rule", "reciprocal": "power rule", "exp": "derivative of the exponential", "log": "derivative of the logarithm",
    "expit": "derivative of the sigmoid", "tanh": "derivative of the hyperbolic tangent", "inv": "derivative of the inverse",
    "det": "Jacobi's formula", "slogdet": "derivative of the log-determinant", "maximum": "derivative of the maximum",
    "abs": "derivative of the absolute value", "solve": "derivative of a linear system", "logaddexp": "derivative of log-sum-exp",
    "sin": "derivative of the sine", "cos": "derivative of the cosine", "erf": "derivative of the error function",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One application of the chain rule.

    Attributes:
        rule: its name.
        expression: the value that is differentiated, as LaTeX ``z = W x + b``.
        local: the local derivative, as LaTeX.
        result: what is known after the step, as LaTeX.
    """

    rule: str
    expression: str
    local: str
    result: str

    def __str__(self) -> str:
        return f"{self.rule}:  {self.expression}   |   {self.local}   =>   {self.result}"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.expression} \quad\Rightarrow\quad {self.result}$ ({self.rule})"


class _Story:
    """The program as a chain of named values: every step of arithmetic that a reader would make."""

    def __init__(self, d: Derivation) -> None:
        self.d = d
        p = d.problem
        self.at = points(p)
        self.graphs = [p.placed(tidy(p.trace(s))) for s in self.at]
        self.graph = self.graphs[0]
        settle(self.graph)
        self.names: dict[Var, str] = dict(zip(self.graph.ins, p.names, strict=True))
        self.used = {*p.names, *p.sizes, d.function_name}
        self.depends = self._reached([self.graph.ins[k] for k in p.wrt])
        self.spots = [k for k, e in enumerate(self.graph.eqns) if self._told(e)]
        self._name()

    def _reached(self, start: Sequence[Var]) -> set[Var]:
        found = set(start)
        for e in self.graph.eqns:
            if any(a in found for a in e.ins if isinstance(a, Var)):
                found.update(e.outs)
        return found

    def _told(self, e: Eqn) -> bool:
        if len(e.outs) != 1 or e.out not in self.depends or not e.out.type.inexact:
            return e.prim == "slogdet" and e.outs[-1] in self.depends
        if e.prim in _PLUMBING and e.out not in self.graph.outs:
            return False
        return not (e.prim == "contract" and len(e.ins) == 1 and len(e.params["spec"].split("->")[0]) == e.out.type.rank)

    def _name(self) -> None:
        k = 0
        for spot in self.spots:
            v = self.value_of(spot)
            if v in self.graph.outs:
                self.names[v] = self.d.function_name
                continue
            raw = text(v.hint) if v.hint else None
            name = raw if raw and raw.isidentifier() and raw not in self.used else None
            while name is None or name in self.used:
                k += 1
                name = f"v_{k}"
            self.used.add(name)
            self.names[v] = name

    def moving(self, e: Eqn) -> list[Var]:
        """The operands of an equation that depend on the arguments."""
        return [a for a in e.ins if isinstance(a, Var) and a in self.depends]

    def value_of(self, spot: int) -> Var:
        """The value of a step."""
        return self.graph.eqns[spot].outs[-1]

    def columns(self, spot: int) -> list[Var]:
        """The value of a step at each of the sizes."""
        return [g.eqns[spot].outs[-1] for g in self.graphs]

    def definitions(self) -> dict[int, Tensor]:
        """The expression of every step, in terms of the steps before it."""
        p = self.d.problem
        inputs = [tn.leaf_tensor(Leaf(n, p.symbolic(k))) for k, n in enumerate(p.names)]
        r = Reader(self.graphs, self.at, inputs)
        found: dict[int, Tensor] = {}
        spots = {self.value_of(k): k for k in self.spots}

        def hook(v: Var, y: Tensor) -> Tensor:
            if v not in spots:
                return y
            found[spots[v]] = y
            return tn.leaf_tensor(Leaf(self.names[v], tuple(i.size for i in y.free)))

        r.hook = hook
        r.run()
        return found


def _sizes(column: Sequence[Var], at: Sequence[Any]) -> list[Any]:
    return [fitted(ns, at) for ns in zip(*[v.type.shape for v in column], strict=True)]


def rule_name(e: Eqn, moving: Sequence[Any]) -> str:
    """What the rule for an equation is called; `moving` are the operands that depend on the argument."""
    first = len(moving) == 1 and moving[0] is e.ins[0]
    if e.prim == "neg" or (e.prim == "mul" and len(moving) == 1) or (e.prim == "div" and first):
        return "constant factor"
    if e.prim == "contract":
        if len(e.ins) == 1:
            return "sum over an index"
        return "linear map" if len(moving) == 1 else "product rule for matrices"
    return _RULES.get(e.prim, f"derivative of {e.prim}")


class _Writer:
    def __init__(self, story: _Story) -> None:
        self.story = story

    def text(self, x: Tensor) -> str:
        """An expression as LaTeX."""
        return self.node(lower(best(x)))

    def node(self, n: Node) -> str:
        w = Typesetter(self.story.used)
        if not in_elements(n):
            return w(n).text
        at = w.letters(n.rank)
        w.active += at
        return rf"\left[{w(n, at).text}\right]_{{{subscript(at)}}}"


def forward_steps(d: Derivation) -> list[Step]:
    """Differentials from the arguments on: dz = dW x, da = sigma'(z) dz, ..."""
    story = _Story(d)
    if not story.spots:
        return _at_once(d)
    write, p = _Writer(story), d.problem
    known = story.definitions()
    out: list[Step] = []
    for k in p.wrt:
        name = _symbol(p.names[k])
        out.append(Step("start", name, f"d{name}", f"d{name} \\text{{ is the change of the argument}}"))
    lines: list[tuple[str, Tensor]] = []
    for spot in story.spots:
        e, name = story.graph.eqns[spot], story.names[story.value_of(spot)]
        part = _Part(story, spot)
        tangent = part.own_name(part.tangent(), known[spot])
        lines.append((name, tangent))
        local = part.local(known[spot], write)
        left = _symbol(name)
        out.append(
            Step(
                rule_name(e, story.moving(e)),
                f"{left} = {write.text(known[spot])}",
                local,
                f"d{left} = {_with_d(write.text(tangent))}",
            )
        )
    _check_forward(d, story, known, lines)
    return out


def _at_once(d: Derivation) -> list[Step]:
    """Of a function that is its argument, or does not depend on it, there is nothing to tell but the derivative."""
    f = _symbol(d.function_name)
    return [Step("constant" if right == "0" else "identity", f, right, f"{left} = {right}") for left, right in d.lines]


def _symbol(name: str) -> str:
    return symbol(name).text


def _with_d(latex: str) -> str:
    """The dots of tangents as ``dz``."""
    return re.sub(r"\\dot\{([^{}]*(?:\{[^{}]*\})?)\}", lambda m: f"d{m[1]}", latex)


class _Part:
    """The program between the named values and one step."""

    def __init__(self, story: _Story, spot: int) -> None:
        self.story, self.spot = story, spot
        pieces = [_piece(story, j, spot) for j in range(len(story.at))]
        self.graphs = [stable(g) for g, _ in pieces]
        self.sources = pieces[0][1]
        columns = list(zip(*[used for _, used in pieces], strict=True))
        self.inputs = [tn.leaf_tensor(Leaf(story.names[c[0]], tuple(_sizes(c, story.at)))) for c in columns]
        self.moving = [i for i, v in enumerate(self.sources) if v in story.depends]
        self.name = story.names[story.value_of(spot)]
        self.sizes = tuple(_sizes(story.columns(spot), story.at))

    def own_name(self, x: Tensor, definition: Tensor) -> Tensor:
        """The value of the step by its name where it occurs in its own derivative."""
        return substituted(best(x), best(definition).key, Leaf(self.name, self.sizes))

    def tangent(self) -> Tensor:
        """The differential of the step in terms of those of what it is made of."""
        names = [f"d_{self.story.names[v]}" for v in self.sources]
        dots = [
            tn.leaf_tensor(Leaf(n, tuple(i.size for i in x.free))) if k in self.moving else Tensor(x.free, ())
            for k, (n, x) in enumerate(zip(names, self.inputs, strict=True))
        ]
        graphs = [tidy(jvp(g, list(range(len(self.sources))))) for g in self.graphs]
        return Reader(graphs, self.story.at, [*self.inputs, *dots]).run()[-1]

    def shares(self, seed: Tensor) -> list[Tensor]:
        """What each moving operand receives of a sensitivity."""
        backs = [tidy(vjp(g, self.moving)) for g in self.graphs]
        return Reader(backs, self.story.at, [*self.inputs, seed]).run()[1:]

    def local(self, definition: Tensor, write: _Writer) -> str:
        """The local derivatives, one for each moving operand."""
        return r", \quad ".join(self.local_of(i, definition, write) for i in self.moving)

    def local_of(self, i: int, definition: Tensor, write: _Writer) -> str:
        """The derivative of the step with respect to one operand: element by element, or a Jacobian."""
        name, left = _symbol(self.story.names[self.sources[i]]), _symbol(self.name)
        seed = tn.leaf_tensor(Leaf("seed", self.sizes))
        y = self.shares(seed)[self.moving.index(i)]
        factor = _pointwise(y)
        if factor is not None:
            return rf"\frac{{\partial {left}}}{{\partial {name}}} = {write.text(self.own_name(factor, definition))}"
        found, _ = jacobian(self.graphs, self.story.at, self.inputs, i)
        n = lower(best(found))
        if not in_elements(n) and n.rank <= 2:
            below = _symbol(self.story.names[self.sources[i]]) if len(self.sizes) == 0 else rf"{name}^{{\top}}"
            return rf"\frac{{\partial {left}}}{{\partial {below}}} = {write.node(n)}"
        w = Typesetter(self.story.used)
        at = w.letters(n.rank)
        w.active += at
        out, inner = at[: len(self.sizes)], at[len(self.sizes) :]
        top, below = (
            symbol(self.name).indexed(subscript(out)).text,
            symbol(self.story.names[self.sources[i]]).indexed(subscript(inner)).text,
        )
        return rf"\frac{{\partial {top}}}{{\partial {below}}} = {w(n, at).text}"


def _pointwise(y: Tensor) -> Tensor | None:
    """A share without the sensitivity in it, where each element gets its own times a number."""
    out: list[tn.Term] = []
    for t in y.terms:
        seeds = [f for f in t.factors if isinstance(f.atom, Leaf) and f.atom.name == "seed"]
        if len(seeds) != 1 or seeds[0].at != y.free or seeds[0].power != 1:
            return None
        out.append(tn.Term(t.coef, tuple(f for f in t.factors if f is not seeds[0])))
    return tn.tensor(y.free, out)


def _piece(story: _Story, j: int, spot: int) -> tuple[Graph, list[Var]]:
    """The part of graph j between the named values and one step, and these values (variables of graph j)."""
    g = story.graphs[j]
    stops = {g.eqns[k].outs[-1] for k in story.spots if k < spot} | set(g.ins)
    maker = {v: e for e in g.eqns for v in e.outs}
    target = g.eqns[spot].outs[-1]
    used: list[Var] = []
    inside: list[Eqn] = []

    def need(v: Var) -> None:
        if v in stops and v is not target:
            if v not in used:
                used.append(v)
            return
        e = maker[v]
        if e in inside:
            return
        for a in e.ins:
            if isinstance(a, Var):
                need(a)
        inside.append(e)

    need(target)
    if j:  # the names belong to the variables of the first graph
        first = {v: w for e, f in zip(story.graphs[0].eqns, g.eqns, strict=True) for v, w in zip(f.outs, e.outs, strict=True)}
        first.update(zip(g.ins, story.graphs[0].ins, strict=True))
        for v in used:
            story.names.setdefault(v, story.names[first[v]])
    return Graph(tuple(used), tuple(inside), (target,)), used


def reverse_steps(d: Derivation) -> list[Step]:
    """Sensitivities from the result back: the derivative of the result with respect to each value in turn."""
    story = _Story(d)
    if not story.spots:
        return _at_once(d)
    write, p = _Writer(story), d.problem
    known = story.definitions()
    f = _symbol(d.function_name)
    out = [Step("start", f, "1", rf"\bar{{{f}}} = \frac{{\partial {f}}}{{\partial {f}}} = 1")]
    if not d.scalar:
        out[0] = Step("start", f, "I", rf"\bar{{{f}}} \text{{ is the sensitivity of some number to }} {f}")
    lines: list[tuple[str, Tensor]] = []
    for spot in reversed(story.spots):
        e, part = story.graph.eqns[spot], _Part(story, spot)
        left = _symbol(part.name)
        seed = tn.leaf_tensor(Leaf(f"bar_{part.name}", part.sizes))
        seed = tn.number(ONE) if part.name == d.function_name and d.scalar else seed
        for i, y in zip(part.moving, part.shares(seed), strict=True):
            name = story.names[part.sources[i]]
            share = part.own_name(y, known[spot])
            more = r"\mathrel{+}=" if any(n == name for n, _ in lines) else "="
            lines.append((name, share))
            local = part.local_of(i, known[spot], write)
            result = f"{_symbol(f'bar_{name}')} {more} {write.text(share)}"
            out.append(Step(rule_name(e, story.moving(e)), f"{left} = {write.text(known[spot])}", local, result))
    for k in p.wrt:
        name = p.names[k]
        out.append(
            Step("end", _symbol(name), "", rf"\frac{{\partial {f}}}{{\partial {_symbol(name)}}} = {_symbol(f'bar_{name}')}")
        )
    _check_reverse(d, story, known, lines)
    return out


# --- every line is evaluated --------------------------------------------------------------------------------------------------


def _environment(d: Derivation, story: _Story, known: dict[int, Tensor], inst: Instance) -> dict[str, Any]:
    """Values of all steps, computed from the formulas that are shown."""
    env: dict[str, Any] = dict(zip(d.problem.names, inst.arrays, strict=True))
    with np.errstate(all="ignore"):
        for spot in story.spots:
            env[story.names[story.value_of(spot)]] = lower(best(known[spot])).full(env, inst.sizes)
        truth = d.problem.call(inst.arrays, inst.sizes)
    if not difference(env[d.function_name], truth) < TOLERANCE:
        raise VerificationError("the steps do not add up to the function")
    return env


def _check_reverse(d: Derivation, story: _Story, known: dict[int, Tensor], lines: Sequence[tuple[str, Tensor]]) -> None:
    from chainrule.calculus import vjp as pull

    p = d.problem
    for inst in instances(p, 2, seed=5):
        env = _environment(d, story, known, inst)
        ct = np.random.default_rng(1).normal(size=np.shape(env[d.function_name])) if not d.scalar else np.ones(())
        env[f"bar_{d.function_name}"] = ct
        with np.errstate(all="ignore"):
            for name, share in lines:
                y = lower(best(share)).full(env, inst.sizes)
                env[f"bar_{name}"] = env[f"bar_{name}"] + y if f"bar_{name}" in env else y
            truth = pull(lambda *xs, s=inst.sizes: p.call(xs, s), *inst.arrays)[1](ct)
        for k in p.wrt:
            if not difference(env[f"bar_{p.names[k]}"], truth[k], rounding(p, inst, k)) < TOLERANCE:
                raise VerificationError(f"the steps do not lead to the derivative with respect to {p.names[k]}")


def _check_forward(d: Derivation, story: _Story, known: dict[int, Tensor], lines: Sequence[tuple[str, Tensor]]) -> None:
    from chainrule.calculus import jvp as push

    p, rng = d.problem, np.random.default_rng(2)
    for inst in instances(p, 2, seed=6):
        env = _environment(d, story, known, inst)
        moved = [k in p.wrt for k in range(len(p.names))]
        changes = [rng.normal(size=np.shape(x)) if m else np.zeros(np.shape(x)) for x, m in zip(inst.arrays, moved, strict=True)]
        env.update({f"d_{n}": v for n, v in zip(p.names, changes, strict=True)})
        with np.errstate(all="ignore"):
            for name, tangent in lines:
                env[f"d_{name}"] = lower(best(tangent)).full(env, inst.sizes)
            floats = [k for k, t in enumerate(p.dtypes) if t.kind == "f"]
            fixed = list(inst.arrays)

            def f(*xs: Any, fixed: list[Any] = fixed, floats: list[int] = floats, s: Any = inst.sizes) -> Any:
                args = list(fixed)
                for k, x in zip(floats, xs, strict=True):
                    args[k] = x
                return p.call(args, s)

            truth = push(f, [inst.arrays[k] for k in floats], [changes[k] for k in floats])[1]
        if not difference(env[f"d_{d.function_name}"], truth, max(rounding(p, inst, k) for k in p.wrt)) < TOLERANCE:
            raise VerificationError("the differentials do not add up to that of the function")
