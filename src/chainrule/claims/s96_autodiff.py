"""Claims of 9.6 about automatic differentiation: forward mode, reverse mode, graphs."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.claims.claim import Claim
from chainrule.claims.judges import Derivative, Matches, distance, normals
from chainrule.claims.s92_backpropagation import products

A, M = normals(61, (3,), (5, 3))
TIMES = [(0.3,), (-1.2,), (2.5,)]


def curve(t: Any) -> Any:
    """A path in three dimensions."""
    return np.stack([np.sin(t), t * t, np.exp(0.3 * t)])


def velocity(t: Any) -> Any:
    """Its derivative, by hand."""
    return np.stack([np.cos(t), 2 * t, 0.3 * np.exp(0.3 * t)])


def height(x: Any) -> Any:
    """A function of three numbers."""
    return np.sin(x @ A) + x[0] * x[1] - 0.2 * x[2] ** 2


def along_the_curve(t: Any) -> Any:
    """A number that changes with t."""
    return height(curve(t))


def takes_one_evaluation(method: Any) -> tuple[bool, dict[str, float]]:
    """Are value and derivative exact to rounding, while the user's function runs once?"""
    calls, worst = 0, 0.0

    def counted(t: Any) -> Any:
        nonlocal calls
        calls += 1
        return along_the_curve(t)

    for (t,) in TIMES:
        exact = along_the_curve(t), height(curve(t + 1e-30j)).imag / 1e-30
        worst = max(worst, distance(method(counted, t), exact))
    return calls == len(TIMES) and worst < 1e-13, {"calls": calls / len(TIMES), "largest difference": worst}


def by_a_quotient(f: Any, t: float) -> Any:
    """The value, and a difference quotient."""
    return f(t), (f(t + 1e-8) - f(t)) / 1e-8


def network(w: Any, outputs: int) -> Any:
    """Some outputs of five layers of one shape."""
    x = np.ones(w.shape[0])
    for _ in range(5):
        x = np.tanh(w @ x)
    return x[:outputs]


def costs_a_few_evaluations(outputs: int) -> tuple[bool, dict[str, float]]:
    """Derivatives of some outputs in all 1024 weights, by pullbacks: at most 4 times the matrix products of one evaluation?"""
    w = normals(62, (32, 32))[0] / 6
    evaluation = products(cr.trace(lambda w: network(w, outputs))(w))
    one = [products(cr.trace(cr.grad(lambda w, i=i: network(w, outputs)[i]))(w)) for i in range(outputs)]
    ratio = sum(one) / evaluation
    return ratio <= 4, {"cost in evaluations": ratio, "outputs": outputs}


def two_ways(x: Any, a: Any) -> Any:
    """x reaches the loss through y, and directly."""
    return np.sum(np.sin(inner(x))) + np.sum(x * x * a)


def inner(x: Any) -> Any:
    """y, five numbers made of three."""
    return np.tanh(M @ x)


def jacobian_of_inner(x: Any) -> Any:
    """dy/dx, rows for outputs."""
    return (1 - np.tanh(M @ x) ** 2)[:, None] * M


def through_y(x: Any, a: Any) -> Any:
    """The product along the one way."""
    return np.cos(inner(x)) @ jacobian_of_inner(x)


def program(x: Any, y: Any, z: Any) -> Any:
    """A function of three numbers with a value that is used twice."""
    a = x * y
    b = np.sin(a)
    return z * b + np.exp(a)


PARTIALS: dict[str, Any] = {
    "mul": lambda x, y: (y, x),
    "add": lambda x, y: (1.0, 1.0),
    "sin": lambda x: (np.cos(x),),
    "exp": lambda x: (np.exp(x),),
}
VALUES: dict[str, Any] = {"mul": lambda x, y: x * y, "add": lambda x, y: x + y, "sin": np.sin, "exp": np.exp}


def wires(f: Any, *args: float) -> tuple[int, list[tuple[str, tuple[int, ...], int]]]:
    """The number of inputs, and the operations of the traced program with the numbers of the values they read and make."""
    graph = cr.trace(f)(*args)
    number = {id(v): i for i, v in enumerate(graph.ins)}
    found: list[tuple[str, tuple[int, ...], int]] = []
    for e in graph.eqns:
        number[id(e.outs[0])] = len(number)
        found.append((e.prim, tuple(number[id(v)] for v in e.ins), number[id(e.outs[0])]))
    return len(graph.ins), found


def can_be_put_in_order(dependencies: Any) -> tuple[bool, dict[str, float]]:
    """Is there an order in which every value comes after those it depends on?"""
    try:
        order = list(TopologicalSorter(dependencies).static_order())
    except CycleError as e:
        return False, {"values in a circle": len(e.args[1]) - 1}
    return True, {"values in order": len(order)}


def tells_programs_apart(picture: Any) -> tuple[bool, dict[str, float]]:
    """Of four programs on the same values, two of them equal: are just the equal ones drawn alike?"""
    programs = (lambda x, y: np.sin(x) * y, lambda x, y: np.exp(x) * y, lambda x, y: np.sin(x) + y, lambda x, y: np.sin(x) * y)
    drawn = [str(picture(*wires(f, 0.3, 0.7))) for f in programs]
    alike = [(i, j) for i in range(4) for j in range(i) if drawn[i] == drawn[j]]
    return alike == [(3, 0)], {"pairs drawn alike": len(alike)}


def says_what_depends_on_what(reach: Any) -> tuple[bool, dict[str, float]]:
    """Is a value's derivative in an input other than zero just when the input is among those the edges lead to?"""
    at = (0.3, 0.7, 1.1)
    count, operations = wires(program, *at)
    parents = {out: set(ins) for _, ins, out in operations}
    wrong = 0
    for out in parents:
        slopes = [derivative(count, operations, out, i, at) for i in range(count)]
        wrong += sum((abs(s) > 0) != (i in reach(parents, out)) for i, s in enumerate(slopes))
    return wrong == 0, {"wrong pairs": wrong, "pairs": count * len(parents)}


def derivative(count: int, operations: Any, out: int, i: int, at: tuple[float, ...]) -> float:
    """Derivative of one value of a program in input i: the program, run on dual numbers."""
    dual = {k: (at[k], float(k == i)) for k in range(count)}
    for name, ins, made in operations:
        xs = [dual[j][0] for j in ins]
        slope = sum(p * dual[j][1] for p, j in zip(PARTIALS[name](*xs), ins, strict=True))
        dual[made] = VALUES[name](*xs), slope
    return float(dual[out][1])


def ancestors(parents: Any, out: int) -> set[int]:
    """Everything that edges lead back to."""
    found = set(parents.get(out, ()))
    return found.union(*(ancestors(parents, p) for p in found))


def traversal_gives_the_gradient(order: Any) -> tuple[bool, dict[str, float]]:
    """Adding, operation by operation in this order, an output's sensitivity times the partials to the inputs': the gradient?"""
    at = (0.3, 0.7, 1.1)
    count, operations = wires(program, *at)
    value = dict(enumerate(at))
    for name, ins, out in operations:
        value[out] = VALUES[name](*(value[i] for i in ins))
    sensitivity = dict.fromkeys(value, 0.0)
    sensitivity[operations[-1][2]] = 1.0
    for name, ins, out in order(operations):
        for i, p in zip(ins, PARTIALS[name](*(value[i] for i in ins)), strict=True):
            sensitivity[i] += sensitivity[out] * p
    gap = distance(tuple(sensitivity[i] for i in range(count)), cr.grad(program, (0, 1, 2))(*at))
    return gap < 1e-13, {"largest difference": gap}


def edges_of(f: Any, *args: float) -> Any:
    """What each value of the traced program depends on."""
    return {out: ins for _, ins, out in wires(f, *args)[1]}


CLAIMS = (
    Claim(
        id="9.6.forward.alongside", lines=(570, 570), kind="property", verdict="true",
        statement="Forward mode computes a derivative together with the value.", latex=r"(x, \dot x) \mapsto (f(x), f'(x)\, \dot x)",
        judge=Matches(takes_one_evaluation), stated=lambda f, t: cr.jvp(f, (t,), (1.0,)), other=by_a_quotient,
        note="One direction at a time: all n partial derivatives take n runs.",
    ),
    Claim(
        id="9.6.forward.chain", lines=(571, 573), kind="derivative", verdict="true",
        statement="Along a curve a function changes by its derivative at the point times the curve's velocity.", latex=r"\frac{d}{dt} f(x(t)) = f'(x(t))\, x'(t)",
        judge=Derivative(along_the_curve, TIMES), stated=lambda t: cr.grad(height)(curve(t)) @ velocity(t), other=lambda t: cr.grad(height)(velocity(t)) @ velocity(t),
        note="For several variables the dot is a product of matrices: the Jacobian at x(t) times the velocity.",
    ),
    Claim(
        id="9.6.reverse.one_pass", lines=(577, 577), kind="property", verdict="true",
        statement="Reverse mode gives the derivatives of a loss in all parameters with one backward pass.", latex=r"\operatorname{cost}(\nabla L) \le c \cdot \operatorname{cost}(L), \quad L : \mathbb R^n \to \mathbb R",
        judge=Matches(costs_a_few_evaluations), stated=1, other=32,
        note="Of one number, as a loss is. A function with m outputs takes m backward passes for its whole Jacobian.", source="Baur and Strassen 1983; Griewank and Walther 2008",
    ),
    Claim(
        id="9.6.reverse.chain", lines=(578, 580), kind="derivative", verdict="conditional",
        statement="The derivative in x is that in y times dy/dx.", latex=r"\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \frac{\partial y}{\partial x}",
        judge=Derivative(two_ways, [(x, A) for x in normals(63, (3,), (3,))], name="derivative of a value used twice"), stated=through_y, other=lambda x, a: through_y(x, a) + 2 * x * a,
        note="With derivatives as rows, and where x reaches the loss through y only. A value that is used several times collects one such product "
        "from each use: this sum is what the backward pass accumulates, and leaving it out is the classic mistake.",
        note_latex=r"\frac{\partial L}{\partial x} = \sum_{y \text{ made of } x} \frac{\partial L}{\partial y} \frac{\partial y}{\partial x}", source="Griewank and Walther 2008, section 3.2",
    ),
    Claim(
        id="9.6.graph.acyclic", lines=(584, 584), kind="definition", verdict="true",
        statement="A computation is a directed graph without cycles.", latex=r"v_j = \varphi_j(v_i)_{i \prec j}",
        judge=Matches(can_be_put_in_order), stated=edges_of(program, 0.3, 0.7, 1.1), other={0: (), 1: (2, 0), 2: (1,)},
        note="One run of a program is. A value defined by an equation that contains it (x = cos x) is not; its derivative comes from the implicit function theorem.",
    ),
    Claim(
        id="9.6.graph.nodes", lines=(585, 585), kind="definition", verdict="true",
        statement="Its nodes are the operations and the variables.", latex=r"\{\varphi_j\} \cup \{v_j\}",
        judge=Matches(tells_programs_apart), stated=lambda count, operations: operations, other=lambda count, operations: [(ins, out) for _, ins, out in operations],
        note="Constants belong to them too.",
    ),
    Claim(
        id="9.6.graph.edges", lines=(586, 586), kind="definition", verdict="true",
        statement="Its edges are the dependencies.", latex=r"i \prec j \iff \varphi_j \text{ reads } v_i",
        judge=Matches(says_what_depends_on_what), stated=ancestors, other=lambda parents, out: parents[out],
        note="An edge says that a value is read, and a path that it may have an influence; influences may still cancel, as in x - x.",
    ),
    Claim(
        id="9.6.graph.backward", lines=(587, 587), kind="property", verdict="true",
        statement="Gradients come from walking through the graph backward.", latex=r"\bar v_i = \sum_{j \succ i} \bar v_j\, \partial v_j / \partial v_i",
        judge=Matches(traversal_gives_the_gradient), stated=lambda operations: operations[::-1], other=lambda operations: operations,
        note="Every operation is visited after all that read its result. Walking forward with tangents gives them too, one input at a time.",
    ),
)  # fmt: skip
